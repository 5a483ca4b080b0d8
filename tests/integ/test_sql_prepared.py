# SPDX-License-Identifier: ISC
"""PREPARE, EXECUTE and DEALLOCATE in SQL: they follow their client over servers, and pin none. What is right is what a connection of its own says."""

import contextlib
import os
import random

import psycopg2
import pytest

from harness import system, wire
from harness.relay import Relay
from harness.traffic import scaled

BOTH = "SELECT pg_backend_pid()"


def pins(proxy):
    with proxy.console() as console:
        return console.show("PINS")


def pid(client):
    return client.query(BOTH).value


def pinned_for(proxy, *reasons):
    system.eventually(lambda: [row["reason"] for row in pins(proxy)] == list(reasons))


class Pair:
    """A client of pglane and an oracle, a connection straight to PostgreSQL, that are sent the same."""

    def __init__(self, proxy, cluster):
        self.subject = proxy.client()
        self.oracle = wire.RawClient("127.0.0.1", cluster.port, 60).login()
        self.status, self.history = "I", []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.subject.close()
        self.oracle.close()

    def exchange(self, *parts):
        self.history.append(parts)
        self.oracle.send(*parts)
        expected = self.oracle.result()
        self.subject.send(*parts)
        got = self.subject.result()
        theirs, ours = ([comparable(*message) for message in result.messages if message[0] not in "SN"] for result in (expected, got))
        if self.status == "E" and expected.errors and got.errors:  # which of two errors of a failed transaction is told first may differ
            ours, theirs = ([message for message in side if message[0] == "Z"] for side in (ours, theirs))
        assert ours == theirs, f"pglane: {ours}\nPostgreSQL: {theirs}\nbehind: {self.history[-int(os.environ.get('PGLANE_HISTORY', 12)):]}"
        self.status = got.status
        return got

    def query(self, sql):
        return self.exchange(wire.query(sql))

    def extended(self, sql, values=(), statement="", describe=False):
        middle = [wire.describe("S", statement)] if describe else []
        return self.exchange(wire.parse(statement, sql), *middle, wire.bind("", statement, values), wire.describe("P"), wire.execute(), wire.SYNC)


def comparable(kind, body):
    """Without what a copy of a protocol statement is called on servers, and where in PREPARE's text an error is."""
    if kind == "E":
        fields = wire.error_fields(body)
        message = fields["M"] if fields["C"] not in ("26000", "42P05", "08P01") else ""
        return kind, fields["C"], message, fields.get("D"), fields["S"]
    if kind == "T":
        return kind, tuple(wire.column_names(body))
    return kind, body


@pytest.fixture
def servers(start):
    """Two servers, and a function that makes the next statement of whoever is not in a transaction run on the other one than the last."""
    proxy = start(lanes={"default": 2})
    keepers = [proxy.client() for _ in range(2)]

    def keep():
        keepers[0].query("BEGIN")
        return pid(keepers[0])

    kept = [keep()]

    def swap():
        keepers.reverse()
        assert keep() != kept[0]
        kept[0] = pid(keepers[0])
        keepers[1].query("COMMIT")

    yield proxy, swap
    for keeper in keepers:
        keeper.close()


# ---- one client on two servers ----

FORMS = {
    "no parameters": ("PREPARE own AS SELECT 7", "EXECUTE own"),
    "types": ("PREPARE own (int, text) AS SELECT $1 + 1, $2", "EXECUTE own (41, 'x')"),
    "inferred": ("prepare Own as select $1 || 'x'", 'EXECUTE "own"(\'y\')'),
    "quoted": ('PREPARE "My own; ""it""" AS VALUES (1), (2)', 'EXECUTE "My own; ""it"""'),
    "comments": ("/* a */ PREPARE -- b\n own /* ; */ AS SELECT 'a;b', $$;$$;", "/* c */ EXECUTE /* d */ own;"),
    "explain": ("PREPARE own (int) AS SELECT $1", "EXPLAIN (COSTS off) EXECUTE own(1)"),
    "explain analyze": ("PREPARE own AS SELECT 7", "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) EXECUTE own"),
    "create table as": ("PREPARE own AS SELECT 7 AS n", "CREATE TEMP TABLE made ON COMMIT DROP AS EXECUTE own"),
    "explain create table as": ("PREPARE own AS SELECT 7 AS n", "EXPLAIN (COSTS off) CREATE TABLE made AS EXECUTE own"),
    "writes": ("PREPARE own (int) AS INSERT INTO kept VALUES ($1) RETURNING n", "EXECUTE own(8)"),
    "two": ("PREPARE own AS SELECT 7; PREPARE other AS SELECT 8", "EXECUTE own; EXECUTE other; EXECUTE own"),
    "wrong number": ("PREPARE own (int) AS SELECT $1", "EXECUTE own"),
    "wrong type": ("PREPARE own (int) AS SELECT $1", "EXECUTE own('x')"),
    "fails": ("PREPARE own (int) AS SELECT 1 / $1", "EXECUTE own(0)"),
}


@pytest.mark.parametrize("protocol", ["simple", "extended"])
@pytest.mark.parametrize("form", FORMS)
def test_forms(servers, cluster, form, protocol):
    proxy, swap = servers
    prepare, execute = FORMS[form]
    cluster.run("DROP TABLE IF EXISTS kept; CREATE TABLE kept (n int); GRANT ALL ON kept TO app", "app")
    with Pair(proxy, cluster) as pair:
        run = pair.query if protocol == "simple" or form == "two" else pair.extended
        run(prepare)
        for _ in range(3):
            run(execute)
            swap()
        assert not pins(proxy)
        run(prepare)  # 42P05
        swap()
        run(prepare)
        run("DEALLOCATE PREPARE own")
        swap()
        run(execute)  # 26000
        run("DEALLOCATE own")
        run(prepare)
    assert not pins(proxy)


def test_words_of_postgresql(servers, cluster):
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        pair.query("PREPARE own AS SELECT 7")
        swap()
        assert pair.query("PREPARE own AS SELECT 8").errors[0].fields["M"] == 'prepared statement "own" already exists'
        pair.query("DEALLOCATE own")
        swap()
        for sql in ("EXECUTE own", "DEALLOCATE own", "EXPLAIN EXECUTE own", "CREATE TABLE made AS EXECUTE own"):
            assert pair.query(sql).errors[0].fields["M"] == 'prepared statement "own" does not exist'


# ---- many clients ----

def test_same_names_other_texts(start):
    proxy = start(lanes={"default": 2})
    clients = [proxy.client() for _ in range(8)]
    for i, client in enumerate(clients):
        assert client.query(f"PREPARE own (text) AS SELECT '{i}' || $1").tags == ["PREPARE"]
    for round_ in range(3):
        for i, client in enumerate(clients):
            assert client.query(f"EXECUTE own('-{round_}')").value == f"{i}-{round_}"
    assert not pins(proxy)
    with proxy.console() as console:
        assert sum(row["state"] in ("active", "idle", "used") for row in console.show("SERVERS")) <= 2
    for client in clients:
        client.close()


def test_psycopg2(start):
    """Simple protocol only; execute_batch() sends many EXECUTEs in one string."""
    from psycopg2.extras import execute_batch

    proxy = start(lanes={"default": 2})
    connections = [proxy.connect() for _ in range(4)]
    for i, connection in enumerate(connections):
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE IF NOT EXISTS batch{i} (n int)")
            cursor.execute(f"PREPARE add AS INSERT INTO batch{i} VALUES ($1)")
    for _ in range(2):
        for i, connection in enumerate(connections):
            with connection.cursor() as cursor:
                execute_batch(cursor, "EXECUTE add (%s)", [(n,) for n in range(250)], page_size=100)
                cursor.execute(f"SELECT count(*) FROM batch{i}; TRUNCATE batch{i}")
    for i, connection in enumerate(connections):
        with connection.cursor() as cursor:
            with pytest.raises(psycopg2.errors.DuplicatePreparedStatement):
                cursor.execute("PREPARE add AS SELECT 1")
            cursor.execute(f"DEALLOCATE add; DROP TABLE batch{i}")
        connection.close()
    assert not pins(proxy)


def test_nobody_sees_what_another_prepared(start, cluster):
    """One server: neither by name, nor where no name is seen, nor in the catalog."""
    cluster.run("CREATE OR REPLACE FUNCTION hidden() RETURNS void LANGUAGE plpgsql AS $$BEGIN EXECUTE 'EXECUTE own'; END$$", "app")
    proxy = start(lanes={"default": 1}, leak_check="off") # its questions are prepared statements, too
    with proxy.client() as client, proxy.client() as other:
        assert not client.query("PREPARE own AS SELECT 'secret'").errors
        mine = pid(client)
        for sql in ("EXECUTE own", "SELECT hidden()", "DO $$BEGIN EXECUTE 'EXECUTE own'; END$$", "DEALLOCATE own", "EXPLAIN EXECUTE own",
                    "SELECT 1; EXECUTE own"):
            assert other.query(sql).sqlstate == "26000", sql
            assert client.query("EXECUTE own").value == "secret"
        assert not other.query("SELECT * FROM pg_prepared_statements").rows
        for parts in ((wire.bind("", "own"),), (wire.describe("S", "own"),)):
            assert other.exchange(*parts).sqlstate == "26000"
        assert pid(other) == mine
        assert client.query("SELECT name FROM pg_prepared_statements").rows in ([], [[b"own"]])
        assert client.query("EXECUTE own").value == "secret"


def test_what_a_function_prepared_out_of_sight(start):
    """pglane does not know of it, and whoever needs the name does not meet it."""
    proxy = start(lanes={"default": 1})
    hide = "DO $$BEGIN EXECUTE 'PREPARE own AS SELECT 7'; END$$"
    with proxy.client() as client, proxy.client() as other:
        assert not client.query(hide).errors
        assert other.query("EXECUTE own").sqlstate == "26000"
        assert not client.query(hide).errors
        assert other.query("PREPARE own AS SELECT 8").tags == ["PREPARE"]
        assert other.query("EXECUTE own").value == "8"
        assert not client.query(hide).errors
        assert other.query("EXECUTE own").value == "8"


def test_client_that_leaves(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client:
        assert not client.query("PREPARE own AS SELECT 'secret'").errors
        mine = pid(client)
    with proxy.client() as other:
        assert other.query("EXECUTE own").sqlstate == "26000"
        assert other.query("PREPARE own AS SELECT 'other'").tags == ["PREPARE"]
        assert other.query("EXECUTE own").value == "other"
        assert pid(other) == mine, "the server was neither reset nor closed"


def test_settings_that_texts_hang_on(start):
    """The same text means another thing under other settings."""
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        client.query("SET DateStyle = 'ISO, DMY'")
        other.query("SET DateStyle = 'ISO, MDY'")
        for each in (client, other):
            each.query("PREPARE own AS SELECT '01/02/2003'::date")
        for _ in range(2):
            assert client.query("EXECUTE own").value == "2003-02-01"
            assert other.query("EXECUTE own").value == "2003-01-02"


def test_text_is_read_as_it_was(servers, cluster):
    """Another server reads it under the settings of its PREPARE, and the session's stay what they are."""
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        pair.query("SET DateStyle = 'ISO, DMY'")
        pair.query("PREPARE own AS SELECT '01/02/2003'::date, '\u00e9', length('\u00e9'), '2003-01-01'::timestamptz")
        pair.query("SET DateStyle = 'ISO, MDY'")
        pair.query("SET TimeZone = 'Asia/Tokyo'")
        pair.query("SET standard_conforming_strings = off")
        pair.query("SET client_encoding = 'LATIN1'")
        for _ in range(2):
            swap()
            assert pair.query("EXECUTE own").rows[0][:3] == [b"2003-02-01", b"\xe9", b"1"]
            pair.extended("EXECUTE own")
            for name in ("DateStyle", "TimeZone", "client_encoding", "standard_conforming_strings"):
                pair.query(f"SHOW {name}")
            swap()
            pair.query("BEGIN")
            pair.extended("EXECUTE own")
            pair.query("SHOW DateStyle")
            pair.query("COMMIT")
            pair.query("SHOW DateStyle")


def test_string_that_sets_and_prepares_pins(start):
    proxy = start(lanes={"default": 2})
    with proxy.client() as client:
        client.query("SET DateStyle = 'ISO, DMY'; PREPARE own AS SELECT '01/02/2003'::date")
        pinned_for(proxy, "prepare")
        assert client.query("EXECUTE own").value == "2003-02-01"
        client.query("DEALLOCATE own")
        system.eventually(lambda: not pins(proxy))


# ---- transactions ----

def test_rollback_takes_nothing_back(servers, cluster):
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        for sql in ("BEGIN", "PREPARE own AS SELECT 7", "PREPARE other AS SELECT 8", "DEALLOCATE other", "ROLLBACK"):
            pair.query(sql)
        swap()
        assert pair.query("EXECUTE own").value == "7"
        assert pair.query("EXECUTE other").sqlstate == "26000"
        for sql in ("BEGIN", "DEALLOCATE own", "SELECT 1/0", "EXECUTE own", "PREPARE own AS SELECT 9", "DEALLOCATE own", "ROLLBACK"):
            pair.query(sql)
        swap()
        assert pair.query("EXECUTE own").sqlstate == "26000"


def test_inside_a_transaction(servers, cluster):
    """Prepared on demand inside one, on a server that lacks it, it does not disturb it."""
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        pair.query("PREPARE own AS SELECT 7")
        pair.query("PREPARE other AS SELECT 8")
        swap()
        for sql in ("BEGIN ISOLATION LEVEL REPEATABLE READ", "SAVEPOINT a", "EXECUTE own", "ROLLBACK TO a", "EXECUTE own", "SET LOCAL work_mem = '1MB'",
                    "EXECUTE other", "SHOW work_mem", "COMMIT", "EXECUTE own"):
            pair.query(sql)
        swap()
        for sql in ("BEGIN", "SELECT 1/0", "EXECUTE own", "PREPARE third AS SELECT 1", "COMMIT", "EXECUTE third", "EXECUTE own"):
            pair.query(sql)


def test_strings_of_several(servers, cluster):
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        for sql in ("PREPARE own AS SELECT 7; EXECUTE own; SELECT 1/0; DEALLOCATE own",
                    "EXECUTE own; DEALLOCATE own; SELECT 1/0; PREPARE own AS SELECT 8",
                    "EXECUTE own",
                    "PREPARE own AS SELECT 9; DEALLOCATE own; PREPARE own AS SELECT 10",
                    "EXECUTE own",
                    "DEALLOCATE own; PREPARE own AS SELECT 11; EXECUTE own",
                    "BEGIN; EXECUTE own", "PREPARE other AS SELECT 12; EXECUTE other", "EXECUTE other; DEALLOCATE own; ROLLBACK; EXECUTE other; EXECUTE own",
                    "EXECUTE own; EXECUTE other"):
            pair.query(sql)
            if pair.status == "I":
                swap()
        assert not pins(proxy)
        # These pin.
        pair.query("BEGIN; PREPARE third AS SELECT 13; COMMIT; EXECUTE third")
        pair.query("DEALLOCATE third")
        pair.query("EXECUTE other")
        pair.query("DEALLOCATE ALL; PREPARE own AS SELECT 14; EXECUTE own")
        pair.query("EXECUTE own")
        pair.query("DEALLOCATE own")
        system.eventually(lambda: not pins(proxy))


@pytest.mark.parametrize("all_of_it", ["DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE PREPARE ALL"])
@pytest.mark.parametrize("protocol", ["simple", "extended"])
def test_all_are_forgotten(servers, cluster, all_of_it, protocol):
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        pair.query("PREPARE own AS SELECT 7")
        swap()
        pair.query("PREPARE other AS SELECT 8")
        (pair.query if protocol == "simple" else pair.extended)(all_of_it)
        for _ in range(2):
            pair.query("EXECUTE own")
            pair.query("EXECUTE other")
            swap()
        pair.query("PREPARE own AS SELECT 9")
        swap()
        assert pair.query("EXECUTE own").value == "9"
    assert not pins(proxy)


def test_nothing_is_forgotten_where_it_failed(start, cluster):
    """A DISCARD ALL in a failed transaction takes no names from the server: they are in the way of the next who wants them."""
    proxy = start(lanes={"default": 1})
    with Pair(proxy, cluster) as first, Pair(proxy, cluster) as second:
        first.exchange(wire.parse("protocol", "SELECT 1"), wire.bind("", "protocol"), wire.execute(), wire.SYNC)
        first.query("PREPARE own AS SELECT 7")
        first.query("BEGIN")
        first.query("SELECT 1/0")
        first.extended("DISCARD ALL")
        first.query("SELECT 1; SET client_min_messages = 'warning'; SAVEPOINT s")  # it is asked for, so the server is not reset
        first.query("COMMIT")
        second.query("BEGIN")
        second.query("SELECT 2")
        second.extended("PREPARE own AS SELECT 8")
        assert second.query("EXECUTE own").value == "8"
        second.query("COMMIT")
        assert first.query("EXECUTE own").value == "7"


# ---- tables that change ----

def test_table_is_dropped_meanwhile(servers, cluster):
    proxy, swap = servers
    cluster.run("CREATE TABLE going (n int); GRANT ALL ON going TO app", "app")
    with Pair(proxy, cluster) as pair:
        pair.query("PREPARE own AS SELECT n FROM going")
        swap()
        cluster.run("DROP TABLE going", "app")
        assert pair.query("EXECUTE own").sqlstate == "42P01"
        pair.query("BEGIN")
        assert pair.query("EXECUTE own").sqlstate == "42P01"
        pair.query("ROLLBACK")
        assert pair.subject.extended("EXECUTE own").sqlstate == "42P01"
        swap()
        assert pair.query("PREPARE own AS SELECT 1").sqlstate == "42P05"
        swap()
        assert pair.query("DEALLOCATE own").tags == ["DEALLOCATE"], "what it was of is not asked"
        assert pair.query("PREPARE own AS SELECT 1").tags == ["PREPARE"]


def test_table_that_changes(servers, cluster):
    """Stale plans: the error is PostgreSQL's, and the next attempt works, on whichever server."""
    proxy, swap = servers
    cluster.run("DROP TABLE IF EXISTS changing; CREATE TABLE changing AS SELECT 1 AS n; GRANT ALL ON changing TO app", "app")
    with proxy.client() as client:
        client.query("PREPARE own AS SELECT * FROM changing")
        swap()
        assert client.query("EXECUTE own").value == "1"
        cluster.run("ALTER TABLE changing ADD m int DEFAULT 2", "app")
        assert client.query("EXECUTE own").errors[0].fields["M"] == "cached plan must not change result type"
        for _ in range(2):
            assert client.query("EXECUTE own").rows == [[b"1", b"2"]]
            swap()
        client.query("CREATE TEMP TABLE pinned (n int)")
        assert client.query("EXECUTE own").rows == [[b"1", b"2"]]
        cluster.run("ALTER TABLE changing ADD o int DEFAULT 3", "app")
        assert client.query("EXECUTE own").sqlstate == "0A000"
        assert client.query("EXECUTE own").rows == [[b"1", b"2", b"3"]]


# ---- both protocols ----

def test_sql_of_what_the_protocol_prepared(servers, cluster):
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        pair.exchange(wire.parse("own", "SELECT $1::int + 1"), wire.SYNC)
        for _ in range(2):
            assert pair.query("EXECUTE own(1)").value == "2"
            assert pair.extended("EXECUTE own(2)").value == "3"
            swap()
        assert pair.query("PREPARE own AS SELECT 1").sqlstate == "42P05"
        swap()
        pair.exchange(wire.bind("", "own", ["5"]), wire.execute(), wire.SYNC)
        pair.query("DEALLOCATE own")
        swap()
        assert pair.query("EXECUTE own(1)").sqlstate == "26000"
        pair.exchange(wire.parse("own", "SELECT $1::int + 2"), wire.SYNC)
        swap()
        assert pair.query("SELECT 1; EXECUTE own(1); DEALLOCATE own; SELECT 2").tags == ["SELECT 1", "SELECT 1", "DEALLOCATE", "SELECT 1"]
        assert pair.exchange(wire.bind("", "own", ["5"]), wire.execute(), wire.SYNC).sqlstate == "26000"


def test_protocol_of_what_sql_prepared(servers, cluster):
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        pair.query("PREPARE own (int) AS SELECT $1 + 1 AS n")
        for _ in range(2):
            swap()
            pair.exchange(wire.describe("S", "own"), wire.SYNC)
            pair.exchange(wire.bind("", "own", ["5"]), wire.describe("P"), wire.execute(), wire.SYNC)
            swap()
            pair.exchange(wire.bind("", "own", ["6"]), wire.describe("P"), wire.execute(), wire.SYNC)
        assert pair.exchange(wire.parse("own", "SELECT 1"), wire.SYNC).sqlstate == "42P05"
        swap()
        pair.query("BEGIN")
        pair.query("SELECT 1")
        assert pair.exchange(wire.parse("own", "SELECT 1"), wire.SYNC).sqlstate == "42P05"
        pair.query("ROLLBACK")
        pair.exchange(wire.close("S", "own"), wire.SYNC)
        assert pair.query("EXECUTE own(1)").sqlstate == "26000"
        swap()
        pair.query("PREPARE own AS SELECT 'new'")
        assert pair.exchange(wire.bind("", "own"), wire.execute(), wire.SYNC).value == "new"
    assert not pins(proxy)


def test_closed_amid_a_batch(servers, cluster):
    """Whatever takes a name from its client takes it from the server: nothing runs behind it under that name."""
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        for prepare in (wire.query("PREPARE own AS SELECT 7"), wire.parse("own", "SELECT 8") + wire.SYNC):
            pair.exchange(prepare)
            swap()
            pair.query("EXECUTE own")
            pair.query("BEGIN")
            pair.query("EXECUTE own")
            close = [wire.close("S", "own"), wire.parse("", "EXECUTE own"), wire.bind("", ""), wire.execute(), wire.SYNC]
            pair.exchange(*close)
            pair.query("ROLLBACK")
            pair.exchange(wire.parse("", "SELECT 1"), wire.bind("", "own"), wire.execute(), wire.SYNC)
            pair.query("EXECUTE own")
            pair.exchange(prepare)
            pair.exchange(wire.parse("", "EXECUTE own"), wire.bind("", ""), wire.execute(), wire.close("S", "own"), wire.bind("", "own"), wire.SYNC)
            pair.exchange(wire.describe("S", "own"), wire.SYNC)
        pair.subject.query("BEGIN")
        for sql in ("PREPARE own AS SELECT 7", "EXECUTE own"):
            assert not pair.subject.query(sql).errors
        hidden = "DO $$BEGIN EXECUTE 'EXECUTE own'; END$$"
        assert not pair.subject.query(hidden).errors
        assert pair.subject.exchange(wire.close("S", "own")).kinds == "3Z"
        assert pair.subject.query(hidden).sqlstate == "26000"


def test_batches(servers, cluster):
    """PREPARE and DEALLOCATE in a pipeline, behind errors, executed and not."""
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        def run(sql, name=""):
            return [wire.parse(name, sql), wire.bind("", name), wire.describe("P"), wire.execute()]

        pair.exchange(*run("PREPARE own AS SELECT 7"), *run("EXECUTE own"), *run("DEALLOCATE own"), *run("PREPARE own AS SELECT 8"), wire.SYNC)
        swap()
        pair.exchange(*run("EXECUTE own"), *run("SELECT 1/0"), *run("DEALLOCATE own"), wire.SYNC)
        pair.query("EXECUTE own")
        pair.exchange(*run("DEALLOCATE own"), *run("SELECT 1/0"), *run("PREPARE own AS SELECT 9"), wire.SYNC)
        pair.query("EXECUTE own")
        pair.exchange(wire.parse("", "PREPARE own AS SELECT 10"), wire.bind(""  , ""), wire.SYNC)
        pair.query("EXECUTE own")  # it was not executed
        pair.exchange(*run("PREPARE own AS SELECT 11", "keeps"), wire.SYNC)
        swap()
        pair.exchange(*run("EXECUTE own", "runs"), wire.SYNC)
        for _ in range(2):
            swap()
            pair.exchange(wire.describe("S", "runs"), wire.bind("", "runs"), wire.execute(), wire.SYNC)
        pair.query("DEALLOCATE own")
        pair.query("PREPARE own AS SELECT 'text'")
        swap()
        pair.exchange(wire.bind("", "runs"), wire.describe("P"), wire.execute(), wire.SYNC)
        pair.exchange(wire.bind("", "keeps"), wire.execute(), wire.SYNC)
        pair.query("DEALLOCATE own")
        swap()
        pair.exchange(wire.bind("", "keeps"), wire.execute(), wire.SYNC)
        pair.query("EXECUTE own")


def test_shared_text_of_an_execute_is_described_anew(start):
    """Two clients name their statement alike, and prepare the same EXECUTE of it; what it returns is another thing."""
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        client.query("PREPARE own AS SELECT 1 AS number")
        other.query("PREPARE own AS SELECT 'x'::text AS word, 2 AS number")
        for each in (client, other):
            assert not each.exchange(wire.parse("runs", "EXECUTE own")).errors
        for _ in range(2):
            assert client.exchange(wire.describe("S", "runs")).columns == [("number", 23)]
            assert other.exchange(wire.describe("S", "runs")).columns == [("word", 25), ("number", 23)]
            assert client.exchange(wire.bind("", "runs"), wire.execute()).value == "1"
            assert other.exchange(wire.bind("", "runs"), wire.execute()).rows == [[b"x", b"2"]]


def test_portal_with_a_name_pins(start):
    proxy = start(lanes={"default": 2})
    with proxy.client() as client, proxy.client() as other:
        result = client.exchange(wire.parse("", "PREPARE own AS SELECT 7"), wire.bind("p", ""), wire.execute("p"))
        assert result.tags == ["PREPARE"]
        pinned_for(proxy, "prepare")
        assert pid(client) != pid(other)
        assert client.query("EXECUTE own").value == "7"
        assert client.query("PREPARE own AS SELECT 8").sqlstate == "42P05"
        assert client.query("EXECUTE own").value == "7"
        client.query("PREPARE followed AS SELECT 9")
        assert not client.query("DEALLOCATE own").errors
        system.eventually(lambda: not pins(proxy))
        assert client.query("EXECUTE own").sqlstate == "26000"
        assert client.query("EXECUTE followed").value == "9"


# ---- bounds ----

def test_servers_keep_only_so_many(start, cluster):
    proxy = start(lanes={"default": 1}, max_prepared_statements=5)
    with proxy.client() as client:
        for i in range(20):
            assert client.query(f"PREPARE s{i} AS SELECT {i}").tags == ["PREPARE"]
        for _ in range(2):
            for i in range(20):
                assert client.query(f"EXECUTE s{i}").value == str(i)
                assert int(client.query("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 's%'").value) <= 6
        many = client.query(";".join(f"EXECUTE s{i}" for i in range(20)))
        assert [row[0] for row in many.rows] == [str(i).encode() for i in range(20)]
        too_many = client.query(";".join(f"PREPARE t{i} AS SELECT {i}" for i in range(40)))
        assert len(too_many.tags) == 40
        pinned_for(proxy, "prepare")
        assert client.query("EXECUTE t39").value == "39"
        assert client.query("EXECUTE s19").value == "19"


def test_memory_of_a_client(start):
    proxy = start(lanes={"default": 1}, max_client_prepared_bytes=4096)
    with proxy.client() as client:
        long = f"SELECT '{'x' * 1500}'"
        assert client.query(f"PREPARE one AS {long}").tags == ["PREPARE"]
        assert client.query(f"PREPARE two AS {long}").tags == ["PREPARE"]
        for refused in (client.query(f"PREPARE three AS {long}"), client.extended(f"PREPARE three AS {long}"),
                        client.query(f"SELECT 1; PREPARE three AS {long}")):
            assert refused.sqlstate == "53200" and refused.status == "I", refused.messages
        assert client.query("EXECUTE two").rows
        client.query("DEALLOCATE one")
        assert client.query(f"PREPARE three AS {long}").tags == ["PREPARE"]


def test_text_beyond_inspect_limit_pins(start):
    proxy = start(lanes={"default": 2}, inspect_limit="16384")
    with proxy.client() as client, proxy.client() as other:
        assert client.query(f"PREPARE own AS SELECT length('{'x' * 200000}')").tags == ["PREPARE"]
        pinned_for(proxy, "prepare")
        assert pid(client) != pid(other)
        assert client.query("EXECUTE own").value == "200000"
        assert other.query("EXECUTE own").sqlstate == "26000"
        assert client.query(f"DEALLOCATE own; SELECT length('{'x' * 200000}')").rows == [[b"200000"]]
        system.eventually(lambda: not pins(proxy))
        # What can be followed, ahead of what cannot be seen.
        client.query("PREPARE own AS SELECT 7")
        assert client.query(f"EXECUTE own; SELECT length('{'x' * 200000}')").rows == [[b"7"], [b"200000"]]
        assert not pins(proxy)


def test_unnamed_statement_beyond_inspect_limit_pins(start):
    proxy = start(lanes={"default": 2}, inspect_limit="16384")
    with proxy.client() as client, proxy.client() as other:
        assert client.extended(f"PREPARE own AS SELECT length('{'x' * 200000}')").tags == ["PREPARE"]
        pinned_for(proxy, "prepare")
        assert other.query("PREPARE own AS SELECT 7").tags == ["PREPARE"]
        assert client.extended("EXECUTE own").value == "200000"
        assert other.extended(f"EXECUTE own /* {'x' * 200000} */").value == "7"
        client.query("DEALLOCATE own")
        system.eventually(lambda: not pins(proxy))


# ---- policies and lanes ----

@pytest.mark.parametrize("policy", ["warn", "error", "pin"])
def test_policies(start, policy):
    proxy = start(lanes={"default": 2}, on_session_state=policy)
    with proxy.client() as client, proxy.client() as other:
        result = client.query("PREPARE own AS SELECT 7")
        assert result.kinds == "CZ", "what follows its client is allowed, and nothing is said of it"
        pinned_for(proxy, *(["prepare"] if policy == "pin" else []))
        other.query("SELECT 1")
        assert client.query("EXECUTE own").value == "7"
        assert client.query('PREPARE "ö" AS SELECT 8').kinds == {"warn": "NCZ", "error": "EZ", "pin": "CZ"}[policy]


def test_statement_pooling(start):
    proxy = start(lanes={"default": 1}, pool_mode="statement")
    with proxy.client() as client, proxy.client() as other:
        assert client.query("PREPARE own AS SELECT 7").tags == ["PREPARE"]
        assert other.query("EXECUTE own").sqlstate == "26000"
        assert client.query("EXECUTE own").value == "7"
        assert not pins(proxy)


def test_execute_has_the_lane_of_what_it_runs(start):
    proxy = start(lanes={"default": 1, "training": 1})
    with proxy.client() as client, proxy.client() as other:
        assert client.query("/*ml_class='training'*/ PREPARE own AS SELECT pg_sleep(0)").tags == ["PREPARE"]
        other.query("BEGIN")
        other.query("SELECT 1")  # the only permit of default
        assert client.query("EXECUTE own").tags == ["SELECT 1"]
        assert client.extended("EXECUTE own").tags == ["SELECT 1"]
        assert client.exchange(wire.bind("", "own"), wire.execute()).tags == ["SELECT 1"]


def test_what_it_runs_pins(start):
    proxy = start(lanes={"default": 2})
    with proxy.client() as client:
        client.query("PREPARE own AS SELECT pg_advisory_lock(1)")
        assert not pins(proxy)
        for run in (lambda: client.query("EXECUTE own"), lambda: client.extended("EXECUTE own"),
                    lambda: client.exchange(wire.bind("", "own"), wire.execute())):
            assert not run().errors
            pinned_for(proxy, "advisory lock")
            client.query("SELECT pg_advisory_unlock(1)")
            system.eventually(lambda: not pins(proxy))


def test_pinned_client_keeps_what_follows_it(start):
    """A pin for something else is asked about, and ends, while statements of SQL are there."""
    proxy = start(lanes={"default": 2})
    with proxy.client() as client:
        client.query("PREPARE own AS SELECT 7")
        client.query("CREATE TEMP TABLE mine (n int)")
        pinned_for(proxy, "temporary objects")
        client.query("PREPARE other AS SELECT n FROM mine")
        assert client.query("EXECUTE own").value == "7"
        client.query("DROP TABLE mine")
        system.eventually(lambda: not pins(proxy))
        assert client.query("EXECUTE own").value == "7"
        assert client.query("EXECUTE other").sqlstate == "42P01"


# ---- no round trip of its own ----

def test_no_round_trip_of_its_own(start, cluster):
    """PostgreSQL has run EXECUTE on a server that lacked the statement before pglane has heard anything of it."""
    relay = Relay(cluster.port)
    proxy = start(lanes={"default": 2}, databases={"app": f"host=127.0.0.1 port={relay.port}"})
    with proxy.client() as client, proxy.client() as other, contextlib.closing(cluster.connect("app")) as direct:
        direct.autocommit = True  # and no transaction around it: each look at pg_stat_activity is a new one
        client.query("PREPARE own AS SELECT 7")
        mine = pid(client)
        other.query("BEGIN")
        assert pid(other) == mine, "the server used last"
        theirs = pid(client)
        assert theirs != mine
        client.query("SELECT 'last'")
        relay.let(0)
        client.send(wire.query("EXECUTE own"))

        def last_statement():
            with direct.cursor() as cursor:
                cursor.execute("SELECT state, query FROM pg_stat_activity WHERE pid = %s", [theirs])
                return cursor.fetchone()

        system.eventually(lambda: last_statement() == ("idle", "EXECUTE own"))
        relay.let(None)
        assert client.result().value == "7"
        with proxy.console() as console:
            counts = [int(row["total_query_count"]) for row in console.show("STATS") if row["database"] == "app"]
        client.query("EXECUTE own")
        with proxy.console() as console:
            assert [int(row["total_query_count"]) for row in console.show("STATS") if row["database"] == "app"] == [counts[0] + 1]


# ---- random ----

NAMES = ["a", "b", '"C c"']
TEXTS = ["SELECT {n}", "SELECT {n}, $1::int", "SELECT 'x{n}' || $1", "VALUES ({n}), (2)", "SELECT {n} / (g - $1::int) FROM generate_series(1, 2) g",
         "INSERT INTO random_rows VALUES ({n}) RETURNING n"]
# Its literal is read when it is prepared. Copies of protocol statements, which all clients share, are not told apart by that.
SQL_TEXTS = TEXTS + ["SELECT '01/02/2003'::date, {n}"]
BAD_TEXTS = ["SELECT nothing_there", "SELEC"]


class Walk:
    """Random steps of one pair."""

    def __init__(self, pair, rng, number):
        self.pair, self.rng, self.number = pair, rng, number

    def name(self):
        return self.rng.choice(NAMES)

    def protocol_name(self):
        return self.rng.choice(["a", "b", "C c", "p"])

    def prepare(self):
        types = self.rng.choice(["", "", " (int)"])
        return f"PREPARE {self.name()}{types} AS {self.text(SQL_TEXTS) if self.rng.random() < 0.9 else self.rng.choice(BAD_TEXTS)}"

    def text(self, texts=TEXTS):
        return self.rng.choice(texts).format(n=self.number * 10 + self.rng.randrange(2))

    def execute(self):
        return f"EXECUTE {self.name()}{self.rng.choice(['', '(1)', '(2)', '(3)'])}"

    def one(self):
        pick = self.rng.random()
        if pick < 0.25:
            return self.prepare()
        if pick < 0.65:
            return self.execute()
        if pick < 0.72:
            return f"EXPLAIN (COSTS off) {self.execute()}"
        if pick < 0.85:
            return f"DEALLOCATE {self.rng.choice(['', 'PREPARE '])}{self.name()}"
        return self.rng.choice(["SELECT 1", "SELECT 1/0"])

    def alone(self):
        """What a PREPARE beside it in one string or batch could not be followed with."""
        return self.rng.choice(["SET DateStyle = 'ISO, DMY'", "SET DateStyle = 'ISO, MDY'", "SET LOCAL DateStyle = 'ISO, DMY'", "SAVEPOINT s", "ROLLBACK TO s"])

    def batch(self):
        parts = []
        for _ in range(self.rng.randint(1, 3)):
            pick = self.rng.random()
            if pick < 0.4:
                name = self.rng.choice(["", "", "", "p"])
                parts += [wire.parse(name, self.one() if name == "" else self.execute())]
                parts += [wire.describe("S", name)] if self.rng.random() < 0.3 else []
                parts += [wire.bind("", name), wire.describe("P")]
                parts += [wire.execute()] if self.rng.random() < 0.9 else []
            elif pick < 0.5:
                parts += [wire.parse(self.protocol_name(), self.text())]
            elif pick < 0.8:
                parts += [wire.bind("", self.protocol_name(), self.rng.choice([[], ["1"], ["2"]])), wire.describe("P"), wire.execute()]
            elif pick < 0.9:
                # Not "p": PostgreSQL describes an EXECUTE as it was when it was parsed, pglane as it is.
                parts += [wire.describe("S", self.rng.choice(["a", "b", "C c"]))]
            else:
                parts += [wire.close("S", self.protocol_name())]
        return parts + [wire.SYNC]

    def step(self, may_begin):
        pick = self.rng.random()
        if pick < 0.5:
            self.pair.query(self.one() if pick < 0.44 else self.alone())
        elif pick < 0.65:
            self.pair.query("; ".join(self.one() for _ in range(self.rng.randint(2, 4))))
        elif pick < 0.9:
            self.pair.exchange(*self.batch())
        elif self.pair.status != "I":
            self.pair.query(self.rng.choice(["COMMIT", "ROLLBACK"]))
        elif may_begin and pick < 0.97:
            self.pair.query("BEGIN")
        elif pick > 0.99:
            self.pair.query(self.rng.choice(["DISCARD ALL", "DEALLOCATE ALL"]))


def test_random(start, cluster):
    """Eight clients on two servers do what each could do alone; two more come and go."""
    seed = int(os.environ.get("PGLANE_SEED", random.randrange(1 << 30)))
    print(f"PGLANE_SEED={seed}")
    rng = random.Random(seed)
    cluster.run("DROP TABLE IF EXISTS random_rows; CREATE TABLE random_rows (n int); GRANT ALL ON random_rows TO app", "app")
    proxy = start(lanes={"default": 2}, max_prepared_statements=rng.choice([2, 200]))
    walks = [Walk(Pair(proxy, cluster), rng, i) for i in range(8)]
    for step in range(scaled(3000, 300)):
        walk = rng.choice(walks)
        in_transaction = [other for other in walks if other.pair.status != "I"]
        walk.step(may_begin=not in_transaction)
        if rng.random() < 0.005:
            i = walks.index(walk)
            walk.pair.close()
            walks[i] = Walk(Pair(proxy, cluster), rng, walk.number)
    for walk in walks:
        if walk.pair.status != "I":
            walk.pair.query("ROLLBACK")
    assert not pins(proxy)
    with proxy.console() as console:
        assert len([row for row in console.show("SERVERS") if row["database"] == "app"]) <= 2
    for walk in walks:
        walk.pair.close()
