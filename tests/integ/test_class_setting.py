# SPDX-License-Identifier: ISC
"""pglane.class by SET and SET LOCAL inside transactions: it holds as long as PostgreSQL would hold it, and for nobody else."""

import pytest

from harness.wire import bind, execute, parse, query


def in_use(proxy):
    with proxy.console() as console:
        return {row["lane"]: row["in_use"] for row in console.show("LANES") if row["in_use"]}


def simple(client, sql):
    return client.query(sql)


def extended(client, sql):
    return client.extended(sql)


ASK = pytest.mark.parametrize("ask", [simple, extended])
SET_LOCAL = "SET LOCAL pglane.class = 'training'"


def lane(proxy, client, ask=simple):
    """Of the client's next transaction."""
    ask(client, "BEGIN")
    assert ask(client, "SELECT 1").value == "1"
    lanes = list(in_use(proxy))
    ask(client, "COMMIT")
    return lanes


@ASK
@pytest.mark.parametrize("end", ["COMMIT", "ROLLBACK"])
def test_set_local_holds_for_its_transaction(start, ask, end):
    proxy = start()
    with proxy.client() as client, proxy.client() as other:
        assert ask(client, "BEGIN").status == "T"
        assert not ask(client, SET_LOCAL).errors
        assert ask(client, "SELECT 1").value == "1"
        assert in_use(proxy) == {"training": 1}
        assert lane(proxy, other) == ["default", "training"]
        assert not ask(client, end).errors
        assert lane(proxy, client, ask) == ["default"]
        assert client.query("SELECT current_setting('pglane.class', true)").value in (None, "")


@ASK
def test_a_statement_kept_from_before_is_classed_anew(start, ask):
    """Of another transaction's decision nothing is left."""
    proxy = start()
    with proxy.client() as client, proxy.client() as other:
        for one in (client, other):
            assert not one.exchange(parse("kept", "SELECT 1")).errors
        kept = (bind("", "kept"), execute())
        for sql, lanes in ((SET_LOCAL, {"training": 1}), ("SELECT", {"default": 1}), (SET_LOCAL.replace("training", "vector"), {"vector": 1})):
            client.query("BEGIN")
            if sql != "SELECT":
                ask(client, sql)
            assert client.exchange(*kept).value == "1"
            assert in_use(proxy) == lanes
            assert other.exchange(*kept).value == "1"
            client.query("ROLLBACK")


def test_in_one_batch(start):
    proxy = start()
    with proxy.client() as client:
        batch = [part for sql in ("BEGIN", SET_LOCAL, "SELECT 1") for part in (parse("", sql), bind("", ""), execute())]
        assert client.exchange(*batch).value == "1"
        assert in_use(proxy) == {"training": 1}
        client.query("COMMIT")
        assert lane(proxy, client) == ["default"]


def test_in_one_text(start):
    proxy = start()
    with proxy.client() as client:
        assert client.query(f"BEGIN; {SET_LOCAL}").status == "T"
        assert client.query("SELECT 1").value == "1"
        assert in_use(proxy) == {"training": 1}
        client.query("COMMIT")
        assert client.query(f"BEGIN; {SET_LOCAL}; SELECT 1").status == "T"
        assert in_use(proxy) == {"training": 1}
        client.query("ROLLBACK")
        assert lane(proxy, client) == ["default"]


@pytest.mark.parametrize("text, lanes", [("SET pglane.class = 'vector'; SELECT 1", ["vector"]), ("SET pglane.class = 'vector'; SELECT 1/0", ["default"])])
def test_a_text_without_begin_is_a_transaction(start, text, lanes):
    proxy = start()
    with proxy.client() as client:
        client.query(text)
        assert lane(proxy, client) == lanes


def test_queries_sent_ahead(start):
    proxy = start()
    with proxy.client() as client:
        client.send(query("BEGIN"), query(SET_LOCAL), query("SELECT 1"))
        assert [client.result().status for _ in range(3)] == ["T", "T", "T"]
        assert in_use(proxy) == {"training": 1}
        client.query("COMMIT")


@ASK
@pytest.mark.parametrize("sql, lanes", [("SET pglane.class = 'vector'", ["vector"]), ("SET SESSION pglane.class TO vector", ["vector"]),
                                        ("SET pglane.class TO DEFAULT", ["default"]), ("RESET pglane.class", ["default"])])
def test_set_in_a_transaction_is_the_sessions_when_it_commits(start, ask, sql, lanes):
    proxy = start()
    with proxy.client() as client, proxy.client() as other:
        client.query("SET pglane.class = 'training'")
        assert lane(proxy, client) == ["training"]
        ask(client, "BEGIN")
        assert not ask(client, sql).errors
        assert ask(client, "SELECT 1").value == "1"
        assert list(in_use(proxy)) == lanes
        assert ask(client, "COMMIT").tags == ["COMMIT"]
        assert lane(proxy, client, ask) == lanes
        assert lane(proxy, other, ask) == ["default"]


@ASK
@pytest.mark.parametrize("ends", [["ROLLBACK"], ["SELECT 1/0", "COMMIT"], ["SELECT 1/0", "ROLLBACK"]], ids=" ".join)
def test_set_in_a_transaction_is_rolled_back_with_it(start, ask, ends):
    proxy = start()
    with proxy.client() as client:
        client.query("SET pglane.class = 'vector'")
        ask(client, "BEGIN")
        ask(client, "SET pglane.class = 'training'")
        ask(client, "SELECT 1")
        for sql in ends:
            ask(client, sql)
        assert lane(proxy, client, ask) == ["vector"]
        assert client.query("SELECT current_setting('pglane.class')").value == "vector"


def test_a_commit_that_fails_keeps_nothing(start, cluster):
    """A deferred constraint: the error comes at COMMIT."""
    proxy = start()
    cluster.run("CREATE TABLE IF NOT EXISTS class_twice (n int UNIQUE DEFERRABLE INITIALLY DEFERRED); GRANT ALL ON class_twice TO PUBLIC", "app")
    with proxy.client() as client:
        client.query("BEGIN")
        client.query("SET pglane.class = 'training'")
        client.query("INSERT INTO class_twice VALUES (1), (1)")
        assert client.query("COMMIT").sqlstate == "23505"
        assert lane(proxy, client) == ["default"]
    cluster.run("DROP TABLE class_twice", "app")


def test_set_local_outside_of_a_transaction_does_nothing(start):
    proxy = start()
    with proxy.client() as client:
        assert client.query(SET_LOCAL).notices
        assert lane(proxy, client) == ["default"]
        client.exchange(parse("", SET_LOCAL), bind("", ""), execute())
        assert lane(proxy, client) == ["default"]


def test_rollback_to_a_savepoint_takes_the_class_back(start):
    proxy = start()
    with proxy.client() as client:
        for sql in ("BEGIN", SET_LOCAL, "SAVEPOINT a", "ROLLBACK TO a", "SELECT 1"):
            assert not client.query(sql).errors
        assert in_use(proxy) == {"training": 1}
        assert client.query("SHOW pglane.class").value == "training"
        client.query("SET pglane.class = 'vector'")
        client.query("ROLLBACK TO a")
        client.query("COMMIT")
        assert lane(proxy, client) == ["default"]


def test_who_loses_the_server_loses_the_class(start, cluster):
    proxy = start()
    with proxy.client() as client:
        client.query("BEGIN")
        client.query(SET_LOCAL)
        pid = client.query("SELECT pg_backend_pid()").value
        cluster.run(f"SELECT pg_terminate_backend({pid}, 10000)")
        assert client.query("SELECT 1").errors
        client.query("ROLLBACK")
        assert lane(proxy, client) == ["default"]


def test_an_unknown_class_decides_nothing(start):
    proxy = start()
    with proxy.client() as client:
        client.query("BEGIN")
        client.query("SET LOCAL pglane.class = 'fast'")
        client.query("SELECT 1")
        assert in_use(proxy) == {"default": 1}
        client.query("COMMIT")


@ASK
def test_an_unknown_class_is_warned_of(start, ask):
    proxy = start()
    with proxy.client() as client:
        for sql in ("SET pglane.class = fast", "SET pglane.class TO 'fast'"):
            warned = ask(client, sql)
            assert not warned.errors and [(n["S"], n["C"], n["M"]) for n in warned.notices] == \
                [("WARNING", "01000", "pglane.class decides nothing: its value is no class")]
            assert "vector" in warned.notices[0]["H"]
        for sql in ("SET pglane.class = 'vector'", "SET pglane.class TO DEFAULT", "SET pglane.class = ''", "RESET pglane.class"):
            assert not ask(client, sql).notices, sql


def test_explain_route_of_a_transaction(start):
    proxy = start()
    with proxy.console() as console:
        rows = console.run(f"EXPLAIN ROUTE BEGIN; {SET_LOCAL}; SELECT 1")
        found = {row["key"]: row["value"] for row in rows}
        assert (found["class"], found["rule"]) == ("training", "setting")
