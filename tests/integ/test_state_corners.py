# SPDX-License-Identifier: ISC
"""Corners of session state in transaction pooling: nothing of a client stays on a server that serves others, and nothing of its own is lost."""

import pytest

from harness import system, wire


@pytest.fixture
def two(start):
    """One worker, servers for both, so that the second client gets what the first one leaves."""
    proxy = start(lanes={"default": 4}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        yield proxy, client, other


def pid(client):
    return client.query("SELECT pg_backend_pid()").value


def everywhere(proxy, question, n=4):
    """What other clients are told on each of the pool's servers."""
    clients = [proxy.client() for _ in range(n)]
    for client in clients:
        client.query("BEGIN")
    answers = {client.query(question).value for client in clients}
    for client in clients:
        client.close()
    return answers


LISTENING = "SELECT count(*) FROM pg_listening_channels()"


@pytest.mark.parametrize("then, question", [("LISTEN late", LISTENING), ("CREATE TEMP TABLE u (n int)", "SELECT (to_regclass('u') IS NOT NULL)::int"),
                                            ("SELECT pg_advisory_lock(5)", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")])
def test_state_that_comes_behind_the_question(two, then, question):
    """The pin's end is being asked for when the next state is made."""
    proxy, client, _ = two
    for _ in range(20):
        client.query("CREATE TEMP TABLE t (n int)")
        client.send(wire.query("DROP TABLE t"), wire.query(then))
        assert not client.result().errors and not client.result().errors
        assert client.query(question).value == "1"
        assert everywhere(proxy, question, 2) == {"0"}
        client.query("DISCARD ALL")


def test_reset_all_leaves_the_role_and_it_stays_its_clients(two, cluster):
    proxy, client, other = two
    cluster.run("GRANT u_other TO app")
    try:
        client.query("SET ROLE u_other")
        client.query("SET work_mem = '5MB'")
        client.query("RESET ALL")
        for _ in range(3):
            assert other.query("SELECT current_user").value == "app"
            assert (client.query("SELECT current_user").value, client.query("SHOW work_mem").value) == ("u_other", "4MB")
        assert everywhere(proxy, "SELECT current_user") == {"app"}
    finally:
        cluster.run("REVOKE u_other FROM app")


TEXTS = ["RESET ALL; SET work_mem = '5MB'", "RESET TimeZone; SET work_mem = '5MB'", "SET TimeZone = 'Asia/Tokyo'; SET work_mem = '5MB'",
         "DISCARD PLANS; SET work_mem = '5MB'"]


@pytest.mark.parametrize("text", TEXTS)
def test_every_statement_of_a_text_counts(two, text):
    proxy, client, _ = two
    assert not client.query(text).errors
    assert everywhere(proxy, "SHOW work_mem") == {"4MB"}
    assert client.query("SHOW work_mem").value == "5MB"


def test_reset_and_begin_in_one_text(two):
    proxy, client, _ = two
    client.query("SET work_mem = '5MB'")
    client.query("RESET work_mem; BEGIN")
    client.query("ROLLBACK")
    assert client.query("SHOW work_mem").value == "5MB"
    assert everywhere(proxy, "SHOW work_mem") == {"4MB"}


def one(sql, execute=True):
    return wire.parse("", sql) + wire.bind("", "") + (wire.execute() if execute else b"")


@pytest.mark.parametrize("first", ["RESET ALL", "SET TimeZone = 'Asia/Tokyo'", "RESET TimeZone"])
def test_several_settings_in_one_batch(two, first):
    proxy, client, _ = two
    assert not client.exchange(one(first), one("SET work_mem = '5MB'")).errors
    assert everywhere(proxy, "SHOW work_mem") == {"4MB"}
    assert everywhere(proxy, "SHOW TimeZone") != {"Asia/Tokyo"}
    assert client.query("SHOW work_mem").value == "5MB"


@pytest.mark.parametrize("bound", ["RESET ALL", "RESET work_mem", "SET work_mem = '6MB'", "SET work_mem TO DEFAULT"])
def test_what_is_bound_and_not_executed_did_not_happen(two, bound):
    proxy, client, _ = two
    client.query("SET work_mem = '5MB'")
    assert not client.exchange(one(bound, execute=False)).errors
    assert client.query("SHOW work_mem").value == "5MB"
    assert everywhere(proxy, "SHOW work_mem") == {"4MB"}
    assert not client.exchange(one("SET TimeZone = 'Asia/Tokyo'"), one(bound, execute=False)).errors
    assert (client.query("SHOW work_mem").value, client.query("SHOW TimeZone").value) == ("5MB", "Asia/Tokyo")
    assert everywhere(proxy, "SHOW work_mem") == {"4MB"}


def test_settings_of_the_next_transaction_leave_nothing(two):
    proxy, client, other = two
    for sql in ("SET transaction_isolation = 'serializable'", "BEGIN; SET transaction_read_only = on; COMMIT"):
        assert not client.query(sql).errors
    for _ in range(3):
        assert not client.query("SELECT 1").errors and not other.query("SELECT 1").errors
    with proxy.console() as console:
        assert console.show("PINS") == []


def test_value_too_long_to_be_followed_keeps_its_server(two):
    proxy, client, other = two
    assert not client.query("SELECT set_config('my.blob', repeat('x', 200000), false)").errors
    mine = pid(client)
    assert pid(other) != mine and pid(client) == mine
    assert client.query("SELECT length(current_setting('my.blob'))").value == "200000"


@pytest.mark.parametrize("how", ["SET search_path = pg_temp, public", "SELECT set_config('search_path', 'pg_temp, public', false)", "BEGIN; SET search_path TO 'pg_temp'; COMMIT"])
def test_table_that_is_temporary_by_its_search_path(two, how):
    """No word of its statement says so."""
    proxy, client, _ = two
    assert not client.query(how).errors
    for table in ("hidden_away", "another"):
        assert not client.query(f"CREATE TABLE {table} (n int)").errors
        assert everywhere(proxy, f"SELECT count(*) FROM pg_class WHERE relname = '{table}' AND relnamespace = pg_my_temp_schema()", 2) == {"0"}
        assert client.query(f"SELECT count(*) FROM {table}").value == "0"
    client.query("DISCARD ALL")
    with proxy.console() as console:
        assert console.show("PINS") == []


def test_temp_buffers_stay_where_they_could_be_set(two):
    """A server that has used temporary tables takes no other value: its client would be refused there, whatever it says."""
    proxy, client, other = two
    other.query("CREATE TEMP TABLE t (n int)")
    other.query("INSERT INTO t VALUES (1)")
    assert not client.query("SET temp_buffers = '2MB'").errors
    other.query("DISCARD ALL")
    for _ in range(4):
        assert client.query("SHOW temp_buffers").value == "2MB"
        assert everywhere(proxy, "SHOW temp_buffers", 2) == {"8MB"}


def test_flush_with_a_body_ends_its_client(start):
    """Its rest would be the place for words of the client's making amid ours."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        client.query("CREATE TEMP TABLE t (n int)")
        client.send(wire.message("H", b"x" * 10))
        assert client.fatal().sqlstate == "08P01"
        assert other.query("SELECT to_regclass('t') IS NULL").value == "t"


def test_half_of_a_stray_copy_message_waits(start, cluster):
    """Sent behind a statement that is no COPY: it is dropped, whole, and what comes behind it is heard."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        stray = wire.copy_data(b"y" * 300000)
        client.send(wire.query("SELECT pg_sleep(0.1)"), stray[:100000])
        assert client.result().kinds == "TDCZ"
        client.send(stray[100000:], wire.query("SELECT 2"))
        assert client.result().value == "2"
        assert other.query("SELECT 3").value == "3"


def test_question_that_a_cancel_hits_is_asked_again(two):
    proxy, client, _ = two
    for _ in range(10):
        client.send(wire.query("BEGIN; SET work_mem = '5MB'; COMMIT"))
        client.result()
        proxy.cancel(client)
        assert client.query("SHOW work_mem").value == "5MB"
        assert not client.query("RESET work_mem").errors
    with proxy.console() as console:
        system.eventually(lambda: console.show("PINS") == [])


def test_bound_is_kept_by_who_only_sets(start):
    proxy = start(lanes={"default": 4})
    clients = [proxy.client() for _ in range(4)]
    outcomes = [client.query("SET a.b = '1'; CREATE TEMP TABLE t (i int)").sqlstate for client in clients]
    assert outcomes.count("53300") == 2, outcomes
    for client in clients:
        client.close()
