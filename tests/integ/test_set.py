# SPDX-License-Identifier: ISC
"""SET in transaction pooling: what a client sets is its own on every server, and nobody else's."""

import pytest

from harness import wire


def show(client, name):
    return client.query(f"SHOW {name}").value


SETTINGS = [
    ("SET work_mem = '7MB'", "work_mem", "7MB"),
    ("SET work_mem TO 8192", "work_mem", "8MB"),
    ("SET SESSION search_path TO \"Mixed\", 'other schema', public;", "search_path", "\"Mixed\", \"other schema\", public"),
    ("SET search_path TO public", "search_path", "public"),
    ("SET extra_float_digits = -2", "extra_float_digits", "-2"),
    ("SET my.own = 'it''s'", "my.own", "it's"),
    ("SET enable_seqscan TO off", "enable_seqscan", "off"),
]


@pytest.mark.parametrize("statement, name, value", SETTINGS)
def test_set_is_the_clients_own(start, statement, name, value):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        other.query("SET my.own = 'unset'")
        before = show(other, name)
        assert client.query(statement).tags == ["SET"]
        assert show(client, name) == value
        assert show(other, name) == before
        assert show(client, name) == value
        assert client.query(f"RESET {name}").tags == ["RESET"]
        assert show(client, name) != value


def test_set_over_the_extended_protocol(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        assert client.exchange(wire.parse("s", "SET work_mem = '9MB'"), wire.bind("", "s"), wire.execute()).tags == ["SET"]
        assert show(other, "work_mem") == "4MB"
        assert show(client, "work_mem") == "9MB"


def test_failed_set_changes_nothing(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client:
        client.query("SET work_mem = '6MB'")
        assert client.query("SET work_mem = 'no size'").sqlstate == "22023"
        assert show(client, "work_mem") == "6MB"


LEAKS = {
    "SET in a transaction": (["BEGIN", "SET work_mem = '5MB'", "COMMIT"], "SHOW work_mem", "4MB"),
    "set_config": (["SELECT set_config('work_mem', '5MB', false)"], "SHOW work_mem", "4MB"),
    "SET ROLE": (["SET ROLE app"], "SHOW role", "none"),
    "temporary table": (["CREATE TEMP TABLE leak (n int)"], "SELECT to_regclass('pg_temp.leak') IS NULL", "t"),
    "advisory lock": (["SELECT pg_advisory_lock(4711)"], "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", "0"),
    "prepared statement": (["PREPARE leak AS SELECT 1"], "SELECT count(*) FROM pg_prepared_statements WHERE name = 'leak'", "0"),
    "listening": (["LISTEN leak"], "SELECT count(*) FROM pg_listening_channels()", "0"),
    "held cursor": (["BEGIN", "DECLARE leak CURSOR WITH HOLD FOR SELECT 1", "COMMIT"], "SELECT count(*) FROM pg_cursors WHERE name = 'leak'", "0"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_nothing_of_a_session_reaches_another_client(start, leak):
    statements, question, answer = LEAKS[leak]
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        pid = other.query("SELECT pg_backend_pid()").value
        for statement in statements:
            assert not client.query(statement).errors
        assert other.query(question).value == answer
        assert other.query("SELECT pg_backend_pid()").value == pid  # reset, not replaced
