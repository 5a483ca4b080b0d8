# SPDX-License-Identifier: ISC
"""Two connections that are sent the same bytes, one through pglane and one straight to PostgreSQL, and must be told the same."""

import re
import struct
import time

from . import wire

LENGTH = struct.Struct("!i")
STATEMENT_NAME = re.compile(r'prepared statement "\w*"')
OIDS = re.compile(r"pg_temp_\d+|pg_toast_temp_\d+")
# Errors that name what has another name on a server.
NAMELESS = ("26000", "42P05", "34000")


class Tail(wire.RawClient):
    """A client that reads replies fast, and keeps what is asynchronous (notifications, parameters) apart."""

    def __init__(self, host, port, timeout_s):
        super().__init__(host, port, timeout_s)
        self.notes = []

    def login(self, **parameters):
        super().login(**parameters)
        self.pending = bytes(self.pending)
        return self

    def take(self, kinds):
        """Messages up to one of these kinds, without what is asynchronous."""
        data, at, messages = self.pending, 0, []
        while True:
            while len(data) - at >= 5:
                end = at + 1 + LENGTH.unpack_from(data, at + 1)[0]
                if end > len(data):
                    break
                kind, body = chr(data[at]), data[at + 5:end]
                at = end
                if kind == "A":
                    self.note(body)
                elif kind == "S":
                    name, value = body.split(b"\0")[:2]
                    self.parameters[name.decode()] = value.decode("latin-1")
                else:
                    messages.append((kind, body))
                    if kind in kinds:
                        self.pending = data[at:]
                        return messages
            received = self.socket.recv(262144)
            if not received:
                raise wire.Closed(f"closed behind {messages!r}")
            data, at = data[at:] + received, 0

    def note(self, body):
        channel, payload = body[4:].split(b"\0")[:2]
        self.notes.append((channel.decode(), payload.decode()))

    def listen_for(self, seconds):
        """Whatever comes within this time; only notifications and parameters may."""
        self.socket.settimeout(seconds)
        try:
            self.take("")
        except TimeoutError:
            pass
        finally:
            self.socket.settimeout(self.timeout_s)


def error_fields(body):
    return {field[:1].decode(): field[1:].decode("latin-1") for field in body.split(b"\0") if field}


def comparable(message):
    """The message without what must differ: OIDs of tables, names of statements and temporary schemas, lines of our own sources."""
    kind, body = message
    if kind == "T":
        return kind, tuple(wire.column_names(body))
    if kind in "EN":
        fields = error_fields(body)
        if fields["C"] in NAMELESS:
            return kind, fields["C"]
        if fields["C"] in ("3F000", "42883") and "pg_temp" in fields["M"]:  # a server that was used before has that schema already
            return kind, "no such function"
        return kind, fields["C"], OIDS.sub("pg_temp", STATEMENT_NAME.sub("prepared statement", fields["M"])), fields.get("S"), fields.get("P")
    return message


def same(expected, got):
    return expected == got or [comparable(m) for m in expected] == [comparable(m) for m in got]


def has_forgotten(got):
    """An answer to currval() or lastval() outside of transactions, of a session that has been told no value."""
    errors = [error_fields(body)["C"] for kind, body in got if kind == "E"]
    return errors == ["55000"] and got[-1] == ("Z", b"I")


class Differs(AssertionError):
    pass


class Twin:
    """subject and oracle. make_subject and make_oracle give connected Tails that have not logged in."""

    def __init__(self, make_subject, make_oracle, parameters, timeout_s):
        self.subject, self.oracle = make_subject(), make_oracle()
        for side, database in ((self.subject, "hunt"), (self.oracle, "hunt_oracle")):
            side.timeout_s = timeout_s
            side.socket.settimeout(timeout_s)
            side.login(database=database, **parameters)
        self.status = "I"
        self.compare_parameters()

    def send(self, data):
        self.oracle.socket.sendall(data)
        self.subject.socket.sendall(data)

    def until(self, kinds, may_forget=False):
        """What both say up to one of these kinds; raises Differs."""
        n_due = len(self.oracle.notes)
        expected = self.oracle.take(kinds)
        try:
            got = self.subject.take(kinds)
        except (OSError, wire.Closed) as error:
            raise Differs(f"expected {brief(expected)}\ngot {error!r}") from error
        if not same(expected, got) and not self.is_refused(expected, got) and not (may_forget and has_forgotten(got)):
            raise Differs(difference(expected, got))
        if kinds == "Z":
            self.status = expected[-1][1].decode()
            self.compare_parameters()
            if self.compare_notes() < n_due:
                raise Differs(f"notifications: {self.oracle.notes} came ahead of this there and not here")
        return expected

    def is_refused(self, expected, got):
        """A transaction that failed before it had a server, or a statement that its server lacks and cannot be given any more: PostgreSQL may find another fault with it
        before it finds that one. What is told ahead of it is the same."""
        if self.status != "E" or [kind for kind, _ in got[-2:]] != ["E", "Z"] or error_fields(got[-2][1])["C"] != "25P02" or not got[-1][1] == b"E" == expected[-1][1]:
            return False
        return len(got) == 2 or ([kind for kind, _ in expected[-2:]] == ["E", "Z"] and same(expected[:-2], got[:-2]))

    def ask(self, data, n_ready=1, may_forget=False):
        self.send(data)
        for _ in range(n_ready):
            reply = self.until("Z", may_forget)
        return reply

    def compare_parameters(self):
        if self.subject.parameters != self.oracle.parameters:
            there, here = self.oracle.parameters, self.subject.parameters
            raise Differs("parameters: " + ", ".join(f"{name} is {here.get(name)!r} and not {there.get(name)!r}" for name in sorted({*there, *here})
                                                     if here.get(name) != there.get(name)))

    def compare_notes(self):
        """As far as both have heard; returns how many. The oracle may be ahead by what came since the last statement began."""
        there, here = self.oracle.notes, self.subject.notes
        n = min(len(there), len(here))
        if there[:n] != here[:n]:
            raise Differs(f"notifications: {here} and not {there}")
        del there[:n], here[:n]
        return n

    def settle(self, timeout_s=10):
        """All that was notified so far has come to both; only outside of transactions."""
        self.ask(wire.query(""))
        deadline = time.monotonic() + timeout_s
        while self.oracle.notes or self.subject.notes:
            if time.monotonic() > deadline:
                raise Differs(f"notifications: still {self.subject.notes} here and {self.oracle.notes} there")
            for side in (self.oracle, self.subject):
                side.listen_for(0.005)
            self.compare_notes()

    def close(self, data=b""):
        for side in (self.subject, self.oracle):
            if data:
                side.socket.sendall(data)
            side.close()


def difference(expected, got):
    """Of two answers of the same shape, only the columns that differ."""
    if "".join(kind for kind, _ in expected) != "".join(kind for kind, _ in got):
        return f"expected {brief(expected)}\ngot      {brief(got)}"
    lines = []
    for there, here in zip(expected, got):
        if comparable(there) == comparable(here):
            continue
        if there[0] == "D":
            lines += [f"column {i}: {b!r} and not {a!r}" for i, (a, b) in enumerate(zip(wire.row_values(there[1]), wire.row_values(here[1]))) if a != b]
        else:
            lines.append(f"{brief([here])} and not {brief([there])}")
    return "\n".join(lines)


def brief(messages):
    return [(kind, body if len(body) < 200 else body[:200] + b"...") for kind, body in messages[-30:]]
