# SPDX-License-Identifier: ISC
"""idle_transaction_timeout: what waits for the transaction goes on; its client is told at its next statement, and stays."""

import pytest

from harness import system, wire


@pytest.fixture
def table(cluster):
    cluster.run("DROP TABLE IF EXISTS idle_rows; CREATE TABLE idle_rows (n int); INSERT INTO idle_rows VALUES (1); GRANT ALL ON idle_rows TO PUBLIC", "app")


def simple(client, sql):
    return client.query(sql)


def extended(client, sql):
    return client.extended(sql)


ASK = pytest.mark.parametrize("ask", [simple, extended])


def rolled_back(proxy, client, other, ask):
    """The client holds a row that the other one waits for, and falls silent."""
    ask(client, "BEGIN")
    assert ask(client, "UPDATE idle_rows SET n = 2").tags == ["UPDATE 1"]
    assert other.query("UPDATE idle_rows SET n = n + 10").tags == ["UPDATE 1"]
    assert other.query("SELECT n FROM idle_rows").value == "11"
    with proxy.console() as console:
        system.eventually(lambda: console.lane("default")["in_use"] == 0)


@ASK
@pytest.mark.parametrize("then", ["SELECT 1", "COMMIT"])
def test_next_statement_hears_of_it(start, table, ask, then):
    proxy = start(lanes={"default": 2}, idle_transaction_timeout="1")
    with proxy.client() as client, proxy.client() as other:
        rolled_back(proxy, client, other, ask)
        result = ask(client, then)
        assert result.sqlstate == "25P03" and result.status == ("I" if then == "COMMIT" else "E"), result.messages
        assert result.errors[0].severity == "ERROR"
        if then != "COMMIT":
            assert ask(client, "SELECT 1").sqlstate == "25P02"
            assert ask(client, "COMMIT").tags == ["ROLLBACK"]
        assert ask(client, "SELECT n FROM idle_rows").value == "11", "the session lives"


@ASK
def test_rollback_is_a_rollback(start, table, ask):
    proxy = start(lanes={"default": 2}, idle_transaction_timeout="1")
    with proxy.client() as client, proxy.client() as other:
        rolled_back(proxy, client, other, ask)
        assert ask(client, "ROLLBACK").tags == ["ROLLBACK"]
        assert ask(client, "SELECT 1").value == "1"


def test_of_the_user(start, table):
    proxy = start(lanes={"default": 2}, users={"app": "idle_transaction_timeout=1"})
    with proxy.client() as client, proxy.client() as other:
        rolled_back(proxy, client, other, simple)
        assert client.query("SELECT 1").sqlstate == "25P03"


def test_settings_of_the_transaction_go(start, table):
    proxy = start(lanes={"default": 2}, idle_transaction_timeout="1")
    with proxy.client() as client, proxy.client() as other:
        client.query("SET work_mem = '5MB'")
        client.query("BEGIN")
        client.query("SELECT 1")
        client.query("SET LOCAL work_mem = '6MB'")
        client.query("UPDATE idle_rows SET n = 2")
        assert other.query("UPDATE idle_rows SET n = n + 10").tags == ["UPDATE 1"]
        assert client.query("SELECT 1").sqlstate == "25P03"
        assert client.query("ROLLBACK").status == "I"
        assert client.query("SHOW work_mem").value == "5MB"


@pytest.mark.parametrize("case", ["session pooling", "an open batch", "a pin"])
def test_where_it_cannot_go_on_it_ends(start, table, case):
    proxy = start(lanes={"default": 2}, idle_transaction_timeout="1", **({"pool_mode": "session"} if case == "session pooling" else {}))
    with proxy.client() as client:
        if case == "a pin":
            client.query("CREATE TEMP TABLE own (n int)")
        client.query("BEGIN")
        client.query("UPDATE idle_rows SET n = 2")
        if case == "an open batch":
            client.send(wire.parse("", "SELECT 1"), wire.bind("", ""), wire.execute(), wire.FLUSH)
            client.receive_until("C")
        assert client.fatal().sqlstate == "25P03"
