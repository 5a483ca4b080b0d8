# SPDX-License-Identifier: ISC
"""Prepared statements whose tables change: outside a transaction nobody notices, whatever server has whichever copy."""

import pytest

from harness import wire


@pytest.fixture
def table(cluster):
    def make():
        cluster.run("DROP TABLE IF EXISTS shifting; CREATE TABLE shifting (a int); INSERT INTO shifting VALUES (1); GRANT ALL ON shifting TO PUBLIC", "app")

    make()
    yield lambda: cluster.run("ALTER TABLE shifting ADD b text DEFAULT 'new'", "app")


EXECUTE = (wire.bind("", "s"), wire.describe("P"), wire.execute())
PREPARE = wire.parse("s", "SELECT * FROM shifting")


def spread(clients):
    """A copy on each of as many servers as there are clients."""
    for client in clients:
        client.query("BEGIN")
        assert client.exchange(PREPARE, *EXECUTE).rows == [[b"1"]]
    for client in clients:
        client.query("COMMIT")


def test_outside_a_transaction_it_is_prepared_again(start, table):
    proxy = start(lanes={"default": 2}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        spread([client, other])
        table()
        for one in (client, other) * 2:
            result = one.exchange(*EXECUTE)
            assert (result.kinds, result.rows) == ("2TDCZ", [[b"1", b"new"]]), result.messages
        # the server that had not been met
        other.query("BEGIN")
        other.query("SELECT 1")
        for _ in range(2):
            assert client.exchange(*EXECUTE).rows == [[b"1", b"new"]]
        other.query("COMMIT")


def test_what_was_sent_behind_it_is_answered_behind_it(start, table):
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client:
        assert client.exchange(PREPARE, *EXECUTE).rows == [[b"1"]]
        table()
        client.send(*EXECUTE, wire.SYNC, wire.query("SELECT 2"), *EXECUTE, wire.SYNC)
        results = [client.result() for _ in range(3)]
        assert [result.kinds for result in results] == ["2TDCZ", "TDCZ", "2TDCZ"]
        assert results[1].value == "2" and results[2].rows == [[b"1", b"new"]]


def test_in_a_transaction_it_is_the_clients(start, table):
    """As on a connection of its own; and preparing again helps, which it would not if the server's copy stayed."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client:
        assert client.exchange(PREPARE, *EXECUTE).rows == [[b"1"]]
        table()
        client.query("BEGIN")
        result = client.exchange(*EXECUTE)
        assert (result.sqlstate, result.status) == ("0A000", "E")
        client.query("ROLLBACK")
        assert client.exchange(*EXECUTE).rows == [[b"1", b"new"]]


def test_who_does_not_ask_for_the_description_hears_of_it(start, table):
    """It would take the new rows for old ones. What it prepares then is new on every server."""
    proxy = start(lanes={"default": 2}, workers=1)
    again = (wire.bind("", "s"), wire.execute())
    with proxy.client() as client, proxy.client() as other:
        spread([client, other])
        table()
        result = client.exchange(*again)
        assert (result.kinds, result.sqlstate, result.status) == ("EZ", "0A000", "I")
        pids = set()
        for held in (False, True):
            if held:  # the other server
                other.query("BEGIN")
                pids.add(other.query("SELECT pg_backend_pid()").value)
            name = f"t{held}"
            assert not client.exchange(wire.parse(name, "SELECT * FROM shifting"), wire.describe("S", name)).errors
            assert client.exchange(wire.bind("", name), wire.execute()).rows == [[b"1", b"new"]]
        assert client.query("SELECT pg_backend_pid()").value not in pids


def test_in_a_savepoint(start, table):
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client:
        assert client.exchange(PREPARE, *EXECUTE).rows == [[b"1"]]
        table()
        for sql in ("BEGIN", "SAVEPOINT a"):
            client.query(sql)
        assert client.exchange(*EXECUTE).sqlstate == "0A000"
        client.query("ROLLBACK TO a")
        assert client.exchange(wire.close("S", "s"), PREPARE, *EXECUTE).rows == [[b"1", b"new"]]
        client.query("COMMIT")


def test_amid_a_batch_it_is_the_clients(start, table):
    """Something of the batch has been answered: it cannot be said again."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client:
        assert client.exchange(PREPARE, *EXECUTE).rows == [[b"1"]]
        assert not client.exchange(wire.parse("t", "SELECT 2")).errors
        table()
        result = client.exchange(wire.bind("", "t"), wire.execute(), *EXECUTE)
        assert (result.kinds, result.sqlstate) == ("2DCEZ", "0A000")
        assert client.exchange(*EXECUTE).rows == [[b"1", b"new"]]


def test_too_long_to_be_kept(start, table):
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client:
        prepare = wire.parse("s", "SELECT *, length($1) FROM shifting")
        batch = (wire.bind("", "s", ["x" * 9000]), wire.describe("P"), wire.execute())
        assert client.exchange(prepare, *batch).rows == [[b"1", b"9000"]]
        table()
        assert client.exchange(*batch).sqlstate == "0A000"
        assert client.exchange(*batch).rows == [[b"1", b"new", b"9000"]]


def test_a_pin_stays(start, table):
    proxy = start(lanes={"default": 2}, workers=1)
    with proxy.client() as client:
        client.query("CREATE TEMP TABLE own AS SELECT 7 AS n")
        client.query("PREPARE mine AS SELECT n FROM own")
        assert client.exchange(PREPARE, *EXECUTE).rows == [[b"1"]]
        table()
        assert client.exchange(*EXECUTE).rows == [[b"1", b"new"]]
        assert client.query("EXECUTE mine").value == "7"


def test_many_clients_while_the_table_changes(start, table, cluster):
    proxy = start(lanes={"default": 3}, workers=2)
    clients = [proxy.client() for _ in range(12)]
    for client in clients:
        assert not client.exchange(PREPARE).errors
    for n in range(6):
        cluster.run(f"ALTER TABLE shifting ADD c{n} int DEFAULT {n}", "app")
        for client in clients:
            client.send(*EXECUTE, wire.SYNC, *EXECUTE, wire.SYNC)
        for client in clients:
            for _ in range(2):
                result = client.result()
                assert result.rows and len(result.rows[0]) == n + 2, result.messages
    for client in clients:
        client.close()
