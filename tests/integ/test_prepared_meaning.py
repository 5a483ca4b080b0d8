# SPDX-License-Identifier: ISC
"""Prepared statements of the same text under other settings: what PostgreSQL decides at Parse (constants, types of parameters) is never another client's."""

import pytest

from harness import wire

# name: (parameter, its value here, its value there, a text, parameters, what it says here, what it says there)
CASES = {
    "TimeZone": ("TimeZone", "UTC", "Asia/Tokyo", "SELECT '2026-01-01 12:00'::timestamptz AT TIME ZONE 'UTC'", (), "2026-01-01 12:00:00", "2026-01-01 03:00:00"),
    "DateStyle": ("DateStyle", "ISO, MDY", "ISO, DMY", "SELECT extract(month FROM '01/02/2026'::date)", (), "1", "2"),
    "IntervalStyle": ("IntervalStyle", "postgres", "sql_standard", "SELECT extract(hour FROM '-1 2:00:00'::interval)", (), "2", "-2"),
    "client_encoding": ("client_encoding", "UTF8", "LATIN1", "SELECT length('é')", (), "1", "2"),
    "standard_conforming_strings": ("standard_conforming_strings", "on", "off", "SELECT length('a\\tb')", (), "4", "3"),
    "transform_null_equals": ("transform_null_equals", "off", "on", "SELECT coalesce((n = NULL)::text, 'null') FROM (SELECT NULL::int AS n) AS t", (), "null", "true"),
    "search_path": ("search_path", "meaning_a", "meaning_b", "SELECT $1::mood::text || pg_typeof($1::mood)::oid::regtype::oid::text", ("glad",), None, None),
}


@pytest.fixture(scope="module")
def moods(cluster):
    """A type of the same name in two schemas."""
    for schema in ("meaning_a", "meaning_b"):
        cluster.run(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO PUBLIC; CREATE TYPE {schema}.mood AS ENUM ('sad', 'glad')", "app")
    yield {schema: "glad" + str(cluster.run(f"SELECT '{schema}.mood'::regtype::oid::int8", "app")[0][0]) for schema in ("meaning_a", "meaning_b")}
    cluster.run("DROP SCHEMA meaning_a CASCADE; DROP SCHEMA meaning_b CASCADE", "app")


@pytest.fixture(params=CASES)
def case(request, moods):
    parameter, here, there, sql, values, says_here, says_there = CASES[request.param]
    return parameter, here, there, sql, values, says_here or moods["meaning_a"], says_there or moods["meaning_b"]


def says(client, values, *before, name="s"):
    result = client.exchange(*before, wire.bind("", name, values), wire.execute())
    assert not result.errors, result.errors
    return result.value


@pytest.mark.parametrize("how,name", [("connection", "s"), ("connection", ""), ("SET", "s"), ("SET", ""), ("named late", "s")])
def test_two_sessions(start, case, how, name):
    parameter, here, there, sql, values, says_here, says_there = case
    proxy = start(lanes={"default": 1}, workers=1)
    given = [{}, {}] if how != "connection" else [{parameter: here}, {parameter: there}]
    with proxy.client(**given[0]) as one, proxy.client(**given[1]) as two:
        if how == "named late":  # prepared under one setting, used under another: what holds when it is run
            for client in (one, two):
                client.exchange(wire.parse(name, sql))  # the type may not be known yet
        if how != "connection":
            for client, value in ((one, here), (two, there)):
                assert not client.query(f"SET {parameter} TO {value if ',' in value else repr(value)}").errors
        parse = () if how == "named late" and parameter != "search_path" else (wire.parse(name, sql),)
        assert says(one, values, *parse, name=name) == says_here
        assert says(two, values, *parse, name=name) == says_there
        for _ in range(2):
            again = parse if name == "" else ()
            assert says(one, values, *again, name=name) == says_here
            assert says(two, values, *again, name=name) == says_there


LOCALLY = {
    "SET LOCAL": lambda parameter, value: wire.query(f"SET LOCAL {parameter} TO {value if ',' in value else repr(value)}"),
    "set_config, local": lambda parameter, value: (wire.parse("", "SELECT set_config($1, $2, true)"), wire.bind("", "", (parameter, value)), wire.execute(), wire.SYNC),
    "SET": lambda parameter, value: wire.query(f"SET {parameter} TO {value if ',' in value else repr(value)}"),
}


@pytest.mark.parametrize("case", sorted(set(CASES) - {"client_encoding"}), indirect=True)  # texts of these tests are in UTF-8
@pytest.mark.parametrize("how", LOCALLY)
def test_a_setting_of_a_transaction(start, case, how):
    """What is prepared under it serves nobody who has not got it, nor its own client later."""
    parameter, here, there, sql, values, says_here, says_there = case
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client(**{parameter: there}) as one, proxy.client(**{parameter: there}) as two:
        for client in (one, two):
            client.query("BEGIN")
            client.query("SAVEPOINT before")
            message = LOCALLY[how](parameter, here)
            client.send(message if isinstance(message, bytes) else b"".join(message))
            assert not client.result().errors
            assert says(client, values, *([wire.parse("s", sql)])) == says_here
            client.query("ROLLBACK TO before")
            assert says(client, values) == says_there
            client.query("ROLLBACK")
            assert says(client, values) == says_there
        client.query("BEGIN")
        client.query(f"SET LOCAL {parameter} TO {here if ',' in here else repr(here)}")
        assert says(client, values) == says_here
        client.query("COMMIT")
        assert says(client, values) == says_there
        assert says(one, values) == says_there


def test_a_setting_within_a_pipeline(start):
    """Parse behind SET in one batch, and a SET that is bound and never run."""
    sql = "SELECT '2026-01-01 12:00'::timestamptz AT TIME ZONE 'UTC'"
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client(TimeZone="UTC") as one, proxy.client(TimeZone="Asia/Tokyo") as two:
        run = (wire.parse("s", sql), wire.bind("", "s"), wire.execute())
        result = one.exchange(wire.parse("", "SET TimeZone TO 'Asia/Tokyo'"), wire.bind("", ""), *run)
        assert result.value == "2026-01-01 12:00:00"
        assert says(two, (), wire.parse("s", sql)) == "2026-01-01 03:00:00"
        result = one.exchange(wire.parse("", "SET TimeZone TO 'Asia/Tokyo'"), wire.bind("", ""), wire.execute(), wire.bind("", "s"), wire.execute())
        assert result.value == "2026-01-01 03:00:00"
        assert says(two, ()) == says(one, ()) == "2026-01-01 03:00:00"
        result = two.exchange(wire.parse("", "RESET ALL"), wire.bind("", ""), wire.execute(), wire.parse("r", sql), wire.bind("", "r"), wire.execute())
        assert says(two, (), name="r") == "2026-01-01 03:00:00"


def test_copies_are_found_again(start, moods):
    """Who begins every transaction with the same SET LOCAL has its statements prepared once, and shares them with who does the same."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as one, proxy.client() as two, proxy.client(application_name="another", statement_timeout="7000") as three:
        def copies():
            return one.query("SELECT count(*) FROM pg_prepared_statements").value

        for client in (one, two, three) * 2:
            for schema in moods:
                client.query("BEGIN")
                client.query(f"SET LOCAL search_path TO {schema}")
                parse = [wire.close("S", "s"), wire.parse("s", "SELECT $1::mood")]
                assert says(client, ("glad",), *parse) == "glad"
                client.query("COMMIT")
        assert copies() == "2"
        # The session's own, inside a transaction: a copy for the two, from behind it on.
        for client in (one, two):
            client.query("BEGIN")
            client.query("SET search_path TO meaning_a")
            client.query("COMMIT")
            assert says(client, ("glad",)) == "glad"
        assert copies() == "3"
        three.query("SET search_path TO meaning_a")
        assert says(three, ("glad",)) == "glad"
        assert copies() == "3"
        for client in (one, two, three):
            client.query("BEGIN")
            client.query("SAVEPOINT a")
            client.query("ROLLBACK TO a")
            assert says(client, (), wire.parse("t", "SELECT 7"), name="t") == "7"
            client.query("COMMIT")
            assert says(client, (), name="t") == "7"
        assert copies() == "4"


def test_settings_that_nobody_can_name(start):
    """While a client keeps its server for them, its statements are its own."""
    sql = "SELECT '2026-01-01 12:00'::timestamptz AT TIME ZONE 'UTC'"
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client(TimeZone="UTC") as one, proxy.client(TimeZone="UTC") as two:
        assert says(two, (), wire.parse("s", sql)) == "2026-01-01 12:00:00"
        unnamed = one.extended("SELECT set_config($1, $2, false)", ("TimeZone", "Asia/Tokyo"))
        assert unnamed.value == "Asia/Tokyo"
        for _ in range(3):
            assert says(one, (), wire.close("S", "s"), wire.parse("s", sql)) == "2026-01-01 03:00:00"
        assert not one.query("DISCARD ALL").errors
        assert says(two, ()) == "2026-01-01 12:00:00"
        assert says(one, (), wire.parse("s", sql)) == "2026-01-01 12:00:00"


def test_set_before_begin_in_one_batch(start):
    sql = "SELECT '2026-01-01 12:00'::timestamptz AT TIME ZONE 'UTC'"
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client(TimeZone="UTC") as one, proxy.client(TimeZone="UTC") as two:
        parts = []
        for text in ("SET TimeZone TO 'Asia/Tokyo'", "BEGIN"):
            parts += [wire.parse("", text), wire.bind("", ""), wire.execute()]
        result = one.exchange(*parts, wire.parse("s", sql), wire.bind("", "s"), wire.execute())
        assert result.value == "2026-01-01 03:00:00"
        one.query("COMMIT")
        assert says(two, (), wire.parse("s", sql)) == "2026-01-01 12:00:00"
        assert says(one, ()) == "2026-01-01 03:00:00"
