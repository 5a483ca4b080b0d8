# SPDX-License-Identifier: ISC
"""Pins: in transaction pooling a client keeps its server while its session has state that cannot move, and no longer."""

import pytest

from harness import system, wire


def pid(client):
    return client.query("SELECT pg_backend_pid()").value


def pins(proxy, **conditions):
    with proxy.console() as console:
        return [row for row in console.show("PINS") if all(row[key] == value for key, value in conditions.items())]


def until_unpinned(proxy):
    system.eventually(lambda: not pins(proxy))


# What makes a pin, what shows that the state is there, what ends it.
STATES = {
    "temporary table": (["CREATE TEMP TABLE own (n int)", "INSERT INTO own VALUES (7)"], "SELECT n FROM own", "7", "DROP TABLE own", "temporary objects"),
    "temporary table whose rows go": (["CREATE TEMP TABLE own (n int) ON COMMIT DELETE ROWS"], "SELECT count(*) FROM own", "0", "DROP TABLE own",
                                      "temporary objects"),
    "SELECT INTO TEMP": (["SELECT 7 AS n INTO TEMP own"], "SELECT n FROM own", "7", "DROP TABLE own", "temporary objects"),
    "temporary view": (["CREATE TEMP VIEW own AS SELECT 7"], "TABLE own", "7", "DROP VIEW own", "temporary objects"),
    "temporary sequence": (["CREATE TEMP SEQUENCE own START 7"], "SELECT nextval('own')", "7", "DROP SEQUENCE own", "temporary objects"),
    "cursor with hold": (["BEGIN", "DECLARE own CURSOR WITH HOLD FOR SELECT 7", "COMMIT"], "FETCH FROM own", "7", "CLOSE own", "cursor with hold"),
    "advisory lock": (["SELECT pg_advisory_lock(4711)"], "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", "1",
                      "SELECT pg_advisory_unlock(4711)", "advisory lock"),
    "advisory lock, all at once": (["SELECT pg_try_advisory_lock_shared(1, 2), pg_advisory_lock(3)"],
                                   "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()", "2",
                                   "SELECT pg_advisory_unlock_all()", "advisory lock"),
    "prepare": (['PREPARE "eigenhändig" AS SELECT 7'], 'EXECUTE "eigenhändig"', "7", 'DEALLOCATE "eigenhändig"', "prepare"),
}


@pytest.mark.parametrize("state", STATES)
def test_state_stays_with_its_client(start, state):
    """Two servers, clients enough to move everybody around; the state is there every time, and gone when it was ended."""
    statements, question, answer, end, reason = STATES[state]
    proxy = start(lanes={"default": 2})
    others = [proxy.client() for _ in range(3)]
    with proxy.client() as client:
        for statement in statements:
            assert not client.query(statement).errors
        mine = pid(client)
        assert [row["reason"] for row in pins(proxy)] == [reason]
        for other in others:
            assert pid(other) != mine
            assert pid(client) == mine
        assert client.query(question).value == answer
        assert not client.query(end).errors
        until_unpinned(proxy)
    for other in others:
        other.close()


@pytest.mark.parametrize("state", STATES)
def test_state_is_gone_with_its_client(start, state):
    """One server: who comes next finds it clean."""
    statements, question, answer, _, _ = STATES[state]
    proxy = start(lanes={"default": 1})
    with proxy.client() as client:
        for statement in statements:
            assert not client.query(statement).errors
        mine = pid(client)
    with proxy.client() as other:
        assert pid(other) == mine, "reset, not replaced"
        result = other.query(question)
        assert result.errors or not result.rows or result.value != answer
        assert not pins(proxy)


@pytest.mark.parametrize("state", STATES)
def test_state_over_the_extended_protocol(start, state):
    statements, question, answer, end, _ = STATES[state]
    proxy = start(lanes={"default": 2})
    with proxy.client() as client, proxy.client() as other:
        for statement in statements:
            assert not client.extended(statement).errors
        mine = pid(client)
        assert pid(other) != mine
        assert client.extended(question).value == answer
        assert not client.extended(end).errors
        until_unpinned(proxy)


NOTHING_IS_LEFT = {
    "rolled back": ["BEGIN", "CREATE TEMP TABLE own (n int)", "ROLLBACK"],
    "dropped in the same transaction": ["BEGIN", "CREATE TEMP TABLE own (n int)", "DROP TABLE own", "COMMIT"],
    "failed": ["CREATE TEMP TABLE own (n int) WITH (nonsense = 1)"],
    "dropped on commit": ["BEGIN", "CREATE TEMP TABLE own (n int) ON COMMIT DROP", "COMMIT"],
    "locked and unlocked": ["SELECT pg_advisory_lock(1), pg_advisory_unlock(1)"],
    "listen and not": ["BEGIN", "LISTEN own", "UNLISTEN *", "COMMIT"],
    "transaction's lock": ["SELECT pg_advisory_xact_lock(1)"],
    "DISCARD ALL": ["CREATE TEMP TABLE own (n int)", "DISCARD ALL"],
    "DISCARD TEMP": ["CREATE TEMP TABLE own (n int)", "DISCARD TEMP"],
}


@pytest.mark.parametrize("case", NOTHING_IS_LEFT)
def test_no_pin_where_nothing_is_left(start, case):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        for statement in NOTHING_IS_LEFT[case]:
            client.query(statement)
        assert other.query("SELECT 1").value == "1", "the only server is free"
        assert not pins(proxy)


def test_lock_that_was_not_granted_is_no_pin(start):
    proxy = start(lanes={"default": 4})
    with proxy.client() as holder, proxy.client() as client:
        holder.query("SELECT pg_advisory_lock(1)")
        assert client.query("SELECT pg_try_advisory_lock(1)").value == "f"
        system.eventually(lambda: [row["statement"] for row in pins(proxy)] == ["SELECT pg_advisory_lock(1)"])


def test_what_a_function_ended_is_noticed_when_the_client_is_quiet(start, cluster):
    cluster.run("CREATE OR REPLACE FUNCTION hidden_unlock() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_unlock_all(); END'", "app")
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        client.query("SELECT pg_advisory_lock(1)")
        client.query("SELECT hidden_unlock()")
        assert other.query("SELECT 1").value == "1"


def test_load_pins_and_retires_the_server(start, cluster):
    proxy = start(lanes={"default": 1}, databases={"app": f"host={cluster.directory} port={cluster.port} user=postgres"})
    with proxy.client() as client:
        client.query("LOAD 'auto_explain'")
        mine = pid(client)
        assert client.query("SHOW auto_explain.log_min_duration").value == "-1"
        assert [row["reason"] for row in pins(proxy)] == ["load"]
    with proxy.client() as other:
        assert pid(other) != mine


def test_pinned_client_moves_to_the_lane_of_its_statement(start):
    proxy = start(lanes={"default": 2, "training": 1})
    with proxy.client() as client, proxy.client() as other:
        client.query("CREATE TEMP TABLE own (n int)")
        mine = pid(client)
        assert pins(proxy)[0]["lane"] == "default"
        assert client.query("/*ml_class='training'*/ SELECT pg_backend_pid()").value == mine
        system.eventually(lambda: pins(proxy)[0]["lane"] == "training")
        assert client.query("SELECT pg_backend_pid()").value == mine
        system.eventually(lambda: pins(proxy)[0]["lane"] == "default")
        # Its lane is full: it runs on the permit it has.
        other.query("BEGIN")
        other.query("/*ml_class='training'*/ SELECT 1")
        assert client.query("/*ml_class='training'*/ SELECT pg_backend_pid()").value == mine
        assert pins(proxy)[0]["lane"] == "default"
        other.query("ROLLBACK")


def test_pins_are_bounded(start):
    proxy = start(lanes={"default": 4})
    clients = [proxy.client() for _ in range(3)]
    for client in clients[:2]:
        assert not client.query("CREATE TEMP TABLE own (n int)").errors
    refused = clients[2].query("CREATE TEMP TABLE own (n int)")
    assert refused.sqlstate == "53300" and refused.status == "I", refused.messages
    assert refused.errors[0].fields["M"] == "too many sessions keep a server"
    assert refused.errors[0].fields["D"] == "Lane default: 2 of 4 permits are pinned by sessions with state of their own; max_pinned is 2."
    refused = clients[2].extended("SELECT pg_advisory_lock(1)")
    assert refused.sqlstate == "53300" and refused.status == "I", refused.messages
    assert clients[2].query("BEGIN").status == "T"
    assert clients[2].query("SELECT 1").value == "1"
    refused = clients[2].query("CREATE TEMP TABLE own (n int)")
    assert refused.sqlstate == "53300" and refused.status == "E", refused.messages
    assert clients[2].query("ROLLBACK").status == "I"
    assert clients[2].query("SELECT 1").value == "1", "the client goes on"
    clients[0].query("DROP TABLE own")
    system.eventually(lambda: len(pins(proxy)) == 1)
    assert not clients[2].query("CREATE TEMP TABLE own (n int)").errors
    for client in clients:
        client.close()
    until_unpinned(proxy)


def test_idle_pin_is_ended(start):
    proxy = start(lanes={"default": 1}, pin_idle_timeout="1")
    with proxy.client() as client, proxy.client() as other:
        client.query("CREATE TEMP TABLE own (n int)")
        fault = client.fatal()
        assert fault.sqlstate == "57P05" and fault.fields["D"] == "It kept a server for: temporary objects.", fault
        assert other.query("SELECT to_regclass('pg_temp.own') IS NULL").value == "t"


POLICIES = {
    "warn": ("WARNING", "01000"),
    "error": ("ERROR", "0A000"),
}


@pytest.mark.parametrize("scope", ["global", "database", "user"])
@pytest.mark.parametrize("policy", POLICIES)
def test_policy(start, cluster, policy, scope):
    settings, sections = ({"on_session_state": policy} if scope == "global" else {}), {}
    if scope == "database":
        sections["databases"] = {"app": f"host={cluster.directory} port={cluster.port} on_session_state={policy}"}
    elif scope == "user":
        sections["users"] = {"app": f"on_session_state={policy}"}
    proxy = start(lanes={"default": 1}, sections=sections, **settings)
    severity, sqlstate = POLICIES[policy]
    with proxy.client() as client, proxy.client() as other:
        for statement in ("CREATE TEMP TABLE own (n int)", "SELECT pg_advisory_lock(1)", "SELECT set_config(chr(97) || '.b', '1', false)"):
            result = client.query(statement)
            assert [(said["S"], said["C"]) for said in [error.fields for error in result.errors] + result.notices] == [(severity, sqlstate)], result.messages
            assert result.status == "I"
        assert client.query("SET work_mem = '7MB'").tags == ["SET"], "what follows its client is no state"
        assert other.query("SELECT to_regclass('pg_temp.own') IS NULL").value == "t"
        assert client.query("SHOW work_mem").value == "7MB"
        assert not pins(proxy)


def test_policy_pin_pins_for_settings_too(start):
    proxy = start(lanes={"default": 2}, on_session_state="pin")
    with proxy.client() as client:
        client.query("SET work_mem = '7MB'")
        assert [row["reason"] for row in pins(proxy)] == ["setting"]
        client.query("RESET ALL")
        until_unpinned(proxy)


def test_server_that_dies_takes_its_pinned_client_along(start, cluster):
    """Its session is gone: it must not go on as if it were not."""
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        client.query("CREATE TEMP TABLE own (n int)")
        cluster.run(f"SELECT pg_terminate_backend({pid(client)})")
        assert client.fatal().sqlstate == "08006"
        assert other.query("SELECT 1").value == "1"
        assert not pins(proxy)


def test_pin_of_one_who_has_gone_is_nobodys(start, cluster):
    """Its server is being reset, slowly; the next to come (psql's \\c, a pool of connections) is not refused for it."""
    proxy = start(lanes={"default": 2}, workers=1, server_reset_query="SELECT pg_sleep(1); DISCARD ALL", cancel_grace="20s")
    with proxy.client() as client:
        assert not client.query("CREATE TEMP TABLE own (n int)").errors
        client.send(wire.TERMINATE)
        assert client.is_closed()
        system.eventually(lambda: cluster.backends("query LIKE 'SELECT pg_sleep(1)%' AND state = 'active'"))
    with proxy.client() as other:
        assert not other.query("CREATE TEMP TABLE own (n int)").errors
        system.eventually(lambda: len(pins(proxy)) == 1)


def test_pins_count_for_several_workers(start):
    proxy = start(lanes={"default": 4}, workers=2)
    clients = [proxy.client() for _ in range(8)]
    outcomes = [not client.query("CREATE TEMP TABLE own (n int)").errors for client in clients]
    assert outcomes.count(True) == 2
    for client in clients:
        client.close()
    until_unpinned(proxy)


def test_two_servers_and_eight_clients(start):
    """Density: pins that begin and end in turn share what there is."""
    proxy = start(lanes={"default": 2}, sections={"lane:default": {"permits": 2, "max_pinned": 2}})
    clients = [proxy.client() for _ in range(8)]
    for _ in range(3):
        for n, client in enumerate(clients):
            assert not client.query(f"SELECT pg_advisory_lock({n})").errors
            assert client.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()").value == "1"
            assert client.query(f"SELECT pg_advisory_unlock({n})").value == "t"
    for client in clients:
        client.close()
