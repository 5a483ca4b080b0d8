#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""pglane route as its users see it: text in, JSON lines out, errors with line numbers, exit codes."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)

CONFIG = """\
[pglane]
[databases]
* = host=/tmp
[users]
bob = annotations=none
eve = annotations=route max_priority=4
[lane:default]
permits = 125
[lane:training]
permits = 5
statement_timeout = 77s
[rules]
training if user=etl
serving priority 7 if application_name='model server*' !write
"""


def route(stdin, *args, config=None):
    if isinstance(stdin, list):
        stdin = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in stdin)
    with tempfile.TemporaryDirectory() as folder:
        if config is not None:
            path = os.path.join(folder, "pglane.ini")
            with open(path, "w", encoding="utf-8") as file:
                file.write(config)
            args += (path,)
        done = subprocess.run([PROGRAM, *args], input=stdin.encode(), capture_output=True, timeout=60, check=False)
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    return answers, done.stderr.decode(), done.returncode


class Route(unittest.TestCase):
    def test_default_lanes(self):
        answers, error, code = route([
            {"sql": "SELECT id FROM items ORDER BY embedding <=> $1 LIMIT 5"},
            {"sql": "SELECT features FROM ml_feature_store WHERE entity_id = $1"},
            {"sql": "COPY events TO STDOUT"},
            {"sql": "SELECT 1"},
            {"sql": "/*ml_priority='9'*/ SELECT 1"},
        ])
        self.assertEqual((error, code), ("", 0))
        self.assertEqual([a["class"] for a in answers], ["vector", "serving", "training", "default", "default"])
        self.assertEqual([a["lane"] for a in answers], ["vector", "ml", "training", "default", "default"])
        self.assertEqual([a["timeout"] for a in answers], [5000, 30000, 300000, 30000, 30000])
        self.assertEqual([a["priority"] for a in answers], [5, 5, 5, 5, 9])
        self.assertEqual(answers[0], {"class": "vector", "lane": "vector", "priority": 5, "timeout": 5000, "rule": "vector-distance"})

    def test_bad_lines_do_not_hide_the_others(self):
        answers, error, code = route([
            "{\"sql\": \"SELECT 1\"}\n", "not json\n", "[1]\n", "\n", "{\"query\": \"x\"}\n", "{\"sql\": 7}\n",
            "{\"sql\": \"SELECT 2\", \"user\": 5}\n", "{\"sql\": \"SELECT 3\"} trailing\n", "{\"sql\": \"SELECT 4\"}",
        ])
        lines = error.splitlines()
        self.assertEqual([a.get("error") for a in answers], [None, *lines, None], "answers pair with lines")
        self.assertEqual(code, 1)
        self.assertEqual([line.split(":")[0] for line in lines], ["line 2", "line 3", "line 5", "line 6", "line 7", "line 8"])
        self.assertIn("not JSON", lines[0])
        self.assertIn("\"sql\"", lines[2])

    def test_nul_separated(self):
        answers, error, code = route("SELECT 1;\n\0COPY events\nTO STDOUT\0BEGIN\0SELECT id FROM a ORDER BY embedding <=> '[1]'", "-0")
        self.assertEqual((error, code), ("", 0))
        self.assertEqual([a["class"] for a in answers], ["default", "training", "default", "vector"])

    def test_config(self):
        annotated = "/*ml_class='vector',ml_priority='9'*/ SELECT 1"
        answers, error, code = route([
            {"sql": "SELECT 1", "user": "etl"},
            {"sql": "SELECT 1", "application_name": "model server 3"},
            {"sql": "DELETE FROM t", "application_name": "model server 3"},
            {"sql": annotated, "user": "bob"},
            {"sql": annotated, "user": "eve"},
            {"sql": annotated},
        ], config=CONFIG)
        self.assertEqual((error, code), ("", 0))
        self.assertEqual([(a["class"], a["priority"], a["rule"]) for a in answers], [
            ("training", 5, "rules:1"), ("serving", 7, "rules:2"), ("default", 5, "default"),
            ("default", 5, "default"), ("vector", 4, "annotation"), ("vector", 9, "annotation")])
        self.assertEqual(answers[0]["timeout"], 77000)

    def test_rules(self):
        config = CONFIG + """\
deny 'no exports by day' if copy-to hour=7-20 weekday=mon-fri
log if write
lane training timeout 90s if database=crm
"""
        export = {"sql": "COPY t TO STDOUT"}
        answers, error, code = route([
            {**export, "time": "2026-07-31T12:00"}, {**export, "time": "2026-08-01T12:00"}, {**export, "time": "2026-07-31T20:00"},
            {"sql": "DELETE FROM t", "database": "crm"}, export,
        ], config=config)
        self.assertEqual((error, code), ("", 0))
        self.assertEqual([a.get("deny") for a in answers[:4]], ["no exports by day", None, None, None])
        self.assertEqual([a["rule"] for a in answers[:4]], ["rules:3", "default", "default", "rules:5"])
        self.assertEqual(answers[3], {"class": "default", "lane": "training", "priority": 5, "timeout": 90000, "rule": "rules:5", "log": "rules:4"})
        answers, error, code = route([{**export, "time": "noon"}, {**export, "time": 12}], config=config)
        self.assertEqual(([list(a) for a in answers], code), ([["error"]] * 2, 1))
        self.assertEqual(error.count("2026-03-31T22:15"), 2)

    def test_columns(self):
        """What the catalog would say comes with the line."""
        columns = {"items.v": "vector(3)", "notes.v": "text", "crm.docs.h": "public.halfvec(8)", "notes.embedding": "text", "many.vs": "vector[]"}
        nearest = "SELECT id FROM {} ORDER BY {} <-> $1"
        asked = [("items", "v"), ("notes", "v"), ("crm.docs", "h"), ("notes", "embedding"), ("scratch", "embedding"), ("many", "vs")]
        answers, error, code = route([{"sql": nearest.format(*names), "columns": columns} for names in asked] + [{"sql": nearest.format("items", "v")}])
        self.assertEqual((error, code), ("", 0))
        self.assertEqual([a["class"] for a in answers], ["vector", "default", "vector", "default", "vector", "default", "default"])
        for wrong in ([], "x", {"v": "vector"}, {"a.b.c.v": "vector"}, {"items.v": 1}, {".v": "vector"}, {"items.": "vector"}):
            answers, error, code = route([{"sql": "SELECT 1", "columns": wrong}])
            self.assertEqual((answers, code), ([{"error": error.rstrip("\n")}], 1), wrong)
            self.assertIn("\"columns\"", error)
        many = {f"t.c{n}": "text" for n in range(5000)}
        self.assertEqual(route([{"sql": "SELECT 1", "columns": many}])[0][0]["class"], "default")

    def test_bad_config(self):
        answers, error, code = route("", config="[rules]\nfast if spatial\n")
        self.assertEqual((answers, code), ([], 1))
        self.assertIn("column 1", error)
        answers, error, code = route("", "/nonexistent.ini")
        self.assertEqual((answers, code), ([], 1))
        self.assertIn("/nonexistent.ini", error)

    def test_usage(self):
        self.assertEqual(route("", "-x")[2], 2)
        answers, error, code = route("", "--anything")
        self.assertEqual(code, 2)
        self.assertTrue(error.startswith("pglane route: unknown option: --anything\nusage: "), error)
        self.assertEqual(route("", "a", "b")[2], 2)
        for option in ("-h", "--help"):
            done = subprocess.run([PROGRAM, option], capture_output=True, timeout=60, check=False)
            self.assertEqual((done.returncode, done.stderr, done.stdout[:7]), (0, b"", b"usage: "))
        self.assertEqual(route("", "a", "b")[2], 2)
        self.assertEqual(route("")[:], ([], "", 0))


if __name__ == "__main__":
    unittest.main()
