#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Every error and notice that a client can see is a row of PGW_FAULTS, and each row is one that a client can see.

A row that nothing outside the table uses is dead; a PGW_FAULT_ name without a row does not exist; and nothing in src/ may tell a
client of trouble past the table: no ErrorResponse or NoticeResponse is begun there, and no SQLSTATE is spelled there unless it is
compared with one that a server sent (COMPARED).
"""

import re
import sys

import tree

TABLE = "proto/include/pgw/fault.h"
MACHINERY = {TABLE, "proto/fault.c"}
NOT_ROWS = {"TEXT_BYTES", "ENUM"}  # other names that begin with PGW_FAULT_

# (file, SQLSTATE): what a server's answer is compared with, and why we have to know it.
COMPARED = {
    ("src/session/replay.c", "0A000"): "what PostgreSQL says of a stale copy, with the name of its routine",
    ("src/service/sampler.c", "42P01"): "the table is not there: a log line says what to load",
    ("src/service/sampler.c", "42703"): "a column is not there: the same",
    ("src/service/sampler.c", "42501"): "no permission: a log line says what to grant",
    ("src/service/forwarder.c", "42883"): "a function of the outbox is not there: a log line says what to run",
    ("src/service/forwarder.c", "42P01"): "a table is not there: the same",
    ("src/service/forwarder.c", "42703"): "the column of vectors is not there: a log line asks after it",
    ("src/service/forwarder.c", "42501"): "no permission: a log line says what to grant",
    ("src/tools/db.c", "42P01"): "a table of the schema is not there: the message says what to run",
    ("src/tools/db.c", "42883"): "a function is not there: the same",
    ("src/tools/db.c", "42501"): "no permission: the message says which role is needed",
    ("src/session/replica.c", "25006"): "a replica refuses what writes out of sight: the primary runs it",
    ("src/session/replica.c", "40001"): "the replay of the log is in the statement's way: the same",
    ("src/session/server_login.c", "53300"): "PostgreSQL has no room: the budget shrinks, and who waits goes on waiting",
    ("src/session/ahead.c", "25P02"): "the transaction had failed before: the client is told so in the server's words",
    ("src/session/ahead.c", "42883"): "the database lacks a function of ours: a hint says what brings it",
    ("src/session/ahead.c", "42501"): "no permission for a function of ours: a hint says what to grant",
    ("src/session/replay.c", "0A000"): "a statement's tables have changed since it was parsed: it is parsed anew, unseen",
    ("src/session/server_reply.c", "57014"): "the server's answer to our cancel at a lane's limit becomes LANE_TIMEOUT",
    ("src/session/sequence.c", "55000"): "currval() of what its session was not given: the statement that moved the sequence is kept for from now on",
    ("src/session/replay.c", "26000"): "the server lacks a statement that it should have: it is not used again",
    ("src/session/replay.c", "42P05"): "the server has a statement that it should lack: the same",
    ("src/session/client_login.c", "42704"): "PostgreSQL does not know a startup parameter: a hint says how to do without",
    ("src/session/server_reply.c", "08P01"): "the server ends because its client broke the protocol: so must the client's connection",
}

# Classes of PostgreSQL's error codes ("10000" is a number, "BEGIN" a command tag).
CLASSES = set("00 01 02 03 08 09 0A 0B 0F 0L 0P 0Z 20 21 22 23 24 25 26 27 28 2B 2D 2F 34 38 39 3B 3D 3F 40 42 44 53 54 55 57 58 72 "
              "F0 HV P0 XX".split())

ROW = re.compile(r"\bX\(\s*([A-Z][A-Z0-9_]*)\s*,\s*\"")
USE = re.compile(r"\bPGW_FAULT_([A-Z0-9_]+)\b")
LITERAL = re.compile(r'"([0-9A-Z]{5})"')
BY_HAND = re.compile(r"\b\w+\([^;{}]*?\bPGW_(?:ERROR|NOTICE)_RESPONSE\b")
WRITES = re.compile(r"\bpgw_(?:write_\w+|build_\w+)\(")
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def without_comments(text):
    """The text with its comments blanked, line numbers kept."""
    def blank(match):
        found = match.group(0)
        return re.sub(r"[^\n]", " ", found) if found.startswith("/") else found
    return COMMENT_OR_STRING.sub(blank, text)


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def rows_of(text):
    """The ids of the table, in order."""
    start = text.index("#define PGW_FAULTS(X)")
    return ROW.findall(text[start:text.index("enum pgw_fault_id", start)])


def uses_of(name, text):
    """(id, place) of each PGW_FAULT_ name in one file."""
    text = without_comments(text)
    return [(m.group(1), f"{name}:{line_of(text, m.start())}") for m in USE.finditer(text) if m.group(1) not in NOT_ROWS]


def table_faults(rows, uses):
    used = {row for row, _ in uses}
    doubled = sorted({row for row in rows if rows.count(row) > 1})
    return ([f"{TABLE}:1: row {row} stands there twice" for row in doubled] +
            [f"{TABLE}:1: row {row} is used by nothing" for row in rows if row not in used] +
            [f"{place}: PGW_FAULT_{row} is no row of the table" for row, place in uses if row not in rows])


def past_the_table(name, text, compared):
    """Faults of one file of src/: answers to a client that no row stands for."""
    text = without_comments(text)
    faults = []
    for match in LITERAL.finditer(text):
        state = match.group(1)
        if state[:2] in CLASSES and any(c.isdigit() for c in state) and (name, state) not in compared:
            faults.append(f"{name}:{line_of(text, match.start())}: \"{state}\" looks like an SQLSTATE: make it a row of PGW_FAULTS")
    for match in BY_HAND.finditer(text):
        if WRITES.match(match.group(0)):
            faults.append(f"{name}:{line_of(text, match.start())}: an error or notice written by hand: use pgw_build_fault()")
    return faults


# What the check itself must find, and must let pass: (text of a file of src/, how many faults).
CASES = [
    ('pgw_fault_set(&fault, PGW_FAULT_A, NULL, NULL);', 0),
    ('fault.sqlstate = "57014";', 1),
    ('f("0A000", "no");', 1),
    ('/* "57014" */ f("10000"); g("BEGIN"); h("FATAL"); // "57014"', 0),
    ('if (streq(view.sqlstate, "26000"))', 0),
    ('pgw_write_begin(&w, PGW_ERROR_RESPONSE);', 1),
    ('pgw_build_empty(&w,\n\tPGW_NOTICE_RESPONSE);', 1),
    ('if (frame.type == PGW_ERROR_RESPONSE)\n\tpgw_build_ready(&w, xact);', 0),
    ('expect_reply(server, PGW_ERROR_RESPONSE);', 0),
]


def self_faults():
    faults = [f"check_faults: {text!r} should give {n}" for text, n in CASES
              if len(past_the_table("src/a.c", text, {("src/a.c", "26000"): ""})) != n]
    found = table_faults(["A", "B", "B"], uses_of("src/a.c", "PGW_FAULT_A; /* PGW_FAULT_B */ PGW_FAULT_C; PGW_FAULT_TEXT_BYTES;"))
    if len(found) != 4:  # B twice, B unused (each time it stands there), C unknown
        faults.append(f"check_faults: the table's own cases gave {found}")
    return faults


def main():
    faults = self_faults()
    rows = rows_of(tree.text(TABLE))
    uses = []
    for name in tree.files("src/*.c", "src/*.h", "proto/*.c", "proto/*.h"):
        if name not in MACHINERY:
            uses += uses_of(name, tree.text(name))
        if name.startswith("src/"):
            faults += past_the_table(name, tree.text(name), COMPARED)
    return tree.report(faults + table_faults(rows, uses))


if __name__ == "__main__":
    sys.exit(main())
