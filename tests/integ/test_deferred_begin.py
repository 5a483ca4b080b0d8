# SPDX-License-Identifier: ISC
"""BEGIN is answered by pglane and travels with the first statement; nobody can tell, except by the clock."""

import pytest

from harness import system, wire


@pytest.mark.parametrize("begin, tag", [("BEGIN", "BEGIN"), ("begin;", "BEGIN"), ("START TRANSACTION", "START TRANSACTION"), ("BEGIN WORK", "BEGIN"),
                                        ("BEGIN TRANSACTION READ ONLY", "BEGIN"), ("/* c */ BEGIN -- d", "BEGIN"),
                                        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "BEGIN"), ("START TRANSACTION READ WRITE", "START TRANSACTION"),
                                        ("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY, DEFERRABLE", "BEGIN")])
def test_answer_is_that_of_postgres(shared, begin, tag):
    with shared.client() as client:
        result = client.query(begin)
        assert result.kinds == "CZ" and result.tags == [tag] and result.status == "T"
        assert client.query("SELECT 1").status == "T"
        assert client.query("COMMIT").tags == ["COMMIT"]


def test_begin_alone_takes_no_server(start, cluster):
    proxy = start(lanes={"default": 1})
    with proxy.client() as idle, proxy.client() as worker:
        assert idle.query("BEGIN").status == "T"
        assert worker.query("SELECT 1").value == "1"
        assert idle.query("SELECT 2").value == "2"
        assert idle.query("COMMIT").status == "I"


def test_empty_transaction_never_reaches_postgres(start, cluster):
    proxy = start()
    with proxy.client() as client:
        pid = client.query("SELECT pg_backend_pid()").value
        seen = "SELECT query FROM pg_stat_activity WHERE pid = %s"
        for begin, end, tag in (("BEGIN", "COMMIT", "COMMIT"), ("BEGIN", "ROLLBACK", "ROLLBACK"), ("START TRANSACTION", "END", "COMMIT"), ("BEGIN", "ABORT", "ROLLBACK")):
            assert client.query(begin).status == "T"
            ended = client.query(end)
            assert ended.tags == [tag] and ended.status == "I"
            assert cluster.run(seen, arguments=(pid,))[0][0] == "SELECT pg_backend_pid()"


def test_second_begin_warns(shared):
    with shared.client() as client:
        client.query("BEGIN")
        again = client.query("BEGIN")
        assert again.status == "T" and again.notices and again.notices[0]["C"] == "25001"
        client.query("SELECT 1")
        assert client.query("BEGIN").notices[0]["C"] == "25001"
        assert client.query("COMMIT").status == "I"


def test_isolation_level_is_kept(shared):
    with shared.client() as client:
        client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        assert client.query("SHOW transaction_isolation").value == "repeatable read"
        assert client.query("SHOW transaction_read_only").value == "on"
        client.query("ROLLBACK")


def test_error_in_the_first_statement(shared):
    with shared.client() as client:
        client.query("BEGIN")
        failed = client.query("SELEC")
        assert failed.sqlstate == "42601" and failed.status == "E"
        assert client.query("ROLLBACK").status == "I"


def test_begin_over_the_extended_protocol(shared):
    with shared.client() as client:
        begun = client.extended("BEGIN")
        assert begun.kinds == "12nCZ" and begun.status == "T"
        assert client.extended("SELECT $1::int", ["5"]).value == "5"
        ended = client.extended("COMMIT")
        assert ended.tags == ["COMMIT"] and ended.status == "I"


def test_begin_and_statement_in_one_pipeline(shared):
    with shared.client() as client:
        client.send(*(wire.parse("", sql) + wire.bind("", "") + wire.execute() for sql in ("BEGIN", "SELECT 1", "COMMIT")), wire.SYNC)
        result = client.result()
        assert result.tags == ["BEGIN", "SELECT 1", "COMMIT"] and result.status == "I"


def test_begin_ahead_of_the_answer(shared):
    """All three sent before anything is read."""
    with shared.client() as client:
        for i in range(50):
            client.send(wire.query("BEGIN"), wire.query(f"SELECT {i}"), wire.query("COMMIT"))
        for i in range(50):
            assert client.result().status == "T"
            assert client.result().value == str(i)
            assert client.result().status == "I"


def test_begin_in_a_string_of_several(shared):
    with shared.client() as client:
        assert client.query("BEGIN; SELECT 1").status == "T"
        assert client.query("SELECT 2; COMMIT").status == "I"


def test_prepared_begin(shared):
    with shared.client() as client:
        client.exchange(wire.parse("b", "BEGIN"), wire.parse("c", "COMMIT"))
        for _ in range(3):
            assert client.exchange(wire.bind("", "b"), wire.execute()).status == "T"
            assert client.query("SELECT 1").status == "T"
            assert client.exchange(wire.bind("", "c"), wire.execute()).status == "I"


def test_transaction_time_starts_with_the_first_statement(shared):
    """now() is Postgres's, and savepoints belong to the same transaction."""
    with shared.client() as client:
        client.query("BEGIN")
        client.query("SAVEPOINT a")
        assert client.query("SELECT 1/0").status == "E"
        assert client.query("ROLLBACK TO a").status == "T"
        assert client.query("SELECT 1").value == "1"
        assert client.query("COMMIT").tags == ["COMMIT"]


def test_set_local_before_the_first_statement(shared):
    with shared.client() as client:
        client.query("BEGIN")
        assert client.query("SET LOCAL statement_timeout = '12345ms'").status == "T"
        assert client.query("SHOW statement_timeout").value == "12345ms"
        client.query("COMMIT")
        assert client.query("SHOW statement_timeout").value != "12345ms"


def test_and_chain(shared):
    with shared.client() as client:
        client.query("BEGIN")
        client.query("SELECT 1")
        assert client.query("COMMIT AND CHAIN").status == "T"
        assert client.query("SELECT 1").status == "T"
        assert client.query("ROLLBACK").status == "I"


def test_client_that_leaves_after_begin(start, cluster):
    proxy = start(lanes={"default": 1})
    for _ in range(5):
        with proxy.client() as client:
            client.query("BEGIN")
    assert proxy.run("SELECT 1") == [(1,)]
    system.eventually(lambda: not cluster.backends("state LIKE 'idle in transaction%'"))


def test_commit_without_a_transaction_warns(shared):
    with shared.client() as client:
        ended = client.query("COMMIT")
        assert ended.tags == ["COMMIT"] and ended.notices[0]["C"] == "25P01"
