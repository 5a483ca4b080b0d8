# SPDX-License-Identifier: ISC
"""kill -9 of the backend, of the client and of Postgres in the middle of a transaction; and how pglane itself ends."""

import os
import signal
import subprocess

import psycopg2
import pytest

from harness import system, wire
from harness.cluster import Cluster, binaries
from harness.proxy import Proxy
from harness.traffic import Background, scaled


def kill_backend(cluster, pid, how=signal.SIGTERM):
    """SIGTERM ends one backend. (SIGKILL makes Postgres restart all of them, as in test_postgres_killed.)"""
    os.kill(pid, how)
    system.eventually(lambda: not cluster.run("SELECT FROM pg_stat_activity WHERE pid = %s", arguments=(pid,)))


def reconnects(proxy):
    def answers():
        try:
            return proxy.run("SELECT 1") == [(1,)]
        except psycopg2.Error:
            return False
    system.eventually(answers, 30, "a working connection")


def test_backend_ends_while_its_client_waits(shared, cluster):
    with shared.client() as client:
        client.query("BEGIN")
        pid = int(client.query("SELECT pg_backend_pid()").value)
        client.send(wire.query("SELECT pg_sleep(60)"))
        system.eventually(lambda: cluster.backends("query LIKE '%pg_sleep(60)%' AND state = 'active'"))
        kill_backend(cluster, pid)
        try:
            messages = client.receive_until("ZE")
        except wire.Closed:
            messages = []
        assert messages and messages[-1][0] == "E", "the client is told"
        assert wire.ServerError(wire.error_fields(messages[-1][1])).sqlstate in ("57P01", "08006")
    assert shared.run("SELECT 1") == [(1,)]


def test_idle_backend_ends_and_nobody_notices(start, cluster):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client:
        for _ in range(5):
            pid = int(client.query("SELECT pg_backend_pid()").value)
            kill_backend(cluster, pid)
            system.eventually(lambda: client.query("SELECT 1").rows == [[b"1"]], 10, "another server")


def test_backend_killed_9(start, cluster):
    """Postgres restarts all backends after a SIGKILL; the transaction is gone, pglane and its clients go on."""
    proxy = start()
    proxy.run("CREATE TABLE IF NOT EXISTS killed (n int)")
    with proxy.client() as client:
        client.query("BEGIN")
        client.query("INSERT INTO killed VALUES (1)")
        cluster.crash(int(client.query("SELECT pg_backend_pid()").value))
        client.send(wire.query("SELECT 1"))
        try:
            assert client.receive_until("ZE")[-1][0] == "E"
        except wire.Closed:
            pass
    reconnects(proxy)
    assert proxy.run("SELECT count(*) FROM killed") == [(0,)]


def test_postgres_killed_in_the_middle_of_a_transaction(start, cluster):
    proxy = start(server_login_retry="100ms", queue_timeout=60)
    proxy.run("CREATE TABLE IF NOT EXISTS killed_postgres (n int)")
    with proxy.client() as client, proxy.client() as idle:
        idle.query("SELECT 1")
        client.query("BEGIN")
        client.query("INSERT INTO killed_postgres VALUES (1)")
        client.send(wire.query("SELECT pg_sleep(60)"))
        try:
            cluster.kill()
            with pytest.raises((wire.ServerError, wire.Closed)):
                raise client.result().errors[0]
        finally:
            cluster.start()
        reconnects(proxy)
        assert idle.query("SELECT count(*) FROM killed_postgres").value == "0", "a client without a transaction stays connected"


def test_postgres_away_is_said_and_its_return_is_found(start, cluster):
    proxy = start(server_login_retry="100ms")
    with proxy.client() as client:
        client.query("SELECT 1")
        try:
            cluster.stop()
            failed = client.query("SELECT 1")
            assert failed.sqlstate in ("08006", "57P01", "53300"), failed.errors
        finally:
            cluster.start()
        reconnects(proxy)


def test_client_killed_9_in_a_transaction(shared, cluster):
    """A real process that dies: its transaction is rolled back and its server serves others."""
    shared.run("CREATE TABLE IF NOT EXISTS killed_client (n int)")
    script = "BEGIN; INSERT INTO killed_client VALUES (1); SELECT pg_sleep(60) /* killed client */;\n"
    psql = subprocess.Popen([f"{binaries()}/psql", "-X", "-h", shared.host, "-p", str(shared.port), "-U", "app", "app"], stdin=subprocess.PIPE,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    psql.stdin.write(script.encode())
    psql.stdin.flush()
    system.eventually(lambda: cluster.backends("query LIKE '%killed client%' AND state = 'active'"))
    psql.kill()
    psql.wait()
    system.eventually(lambda: not cluster.backends("query LIKE '%killed client%' AND state <> 'idle'"), 10)
    system.eventually(lambda: shared.run("SELECT count(*) FROM killed_client") == [(0,)])
    assert not cluster.backends("state LIKE 'idle in transaction%'")


def test_client_reset_in_a_copy(shared, cluster):
    shared.run("CREATE TABLE IF NOT EXISTS killed_copy (n int)")
    client = shared.client()
    client.send(wire.query("COPY killed_copy FROM STDIN"))
    client.receive_until("G")
    client.send(wire.copy_data(b"1\n"))
    client.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: the close is a reset
    client.close()
    system.eventually(lambda: not cluster.backends("query LIKE 'COPY killed_copy%' AND state = 'active'"))
    assert shared.run("SELECT count(*) FROM killed_copy") == [(0,)]


def test_transaction_of_a_client_that_left_is_not_the_next_ones(start):
    proxy = start(lanes={"default": 1})
    proxy.run("CREATE TABLE IF NOT EXISTS killed_left (n int)")
    for end in (lambda client: client.send(wire.TERMINATE), lambda client: None):
        client = proxy.client()
        client.query("BEGIN")
        client.query("INSERT INTO killed_left VALUES (1)")
        end(client)
        client.close()
        with proxy.client() as next_one:
            result = next_one.query("SELECT count(*) FROM killed_left")
            assert result.value == "0" and result.status == "I"


def test_sigterm_waits_for_clients(start):
    proxy = start()
    with proxy.client() as client:
        client.query("BEGIN")
        client.query("SELECT 1")
        proxy.send_signal(signal.SIGTERM)
        system.eventually(lambda: not can_connect(proxy), what="the listening socket's end")
        assert client.query("SELECT 2").value == "2"
        assert client.query("COMMIT").status == "I"
    assert proxy.process.wait(15) == 0


def test_second_sigterm_is_immediate(start):
    proxy = start()
    with proxy.client() as client:
        client.query("SELECT 1")
        proxy.send_signal(signal.SIGTERM)
        system.eventually(lambda: not can_connect(proxy), what="the listening socket's end")
        proxy.send_signal(signal.SIGTERM)
        assert proxy.process.wait(15) == 0


def test_sigint_waits_for_transactions_only(start):
    proxy = start()
    with proxy.client() as client, proxy.client() as idle:
        idle.query("SELECT 1")
        client.query("BEGIN")
        client.query("SELECT 1")
        proxy.send_signal(signal.SIGINT)
        assert client.query("SELECT 2").value == "2"
        assert client.query("COMMIT").tags == ["COMMIT"]
        assert proxy.process.wait(15) == 0


def test_immediate_shutdown_leaves_no_backend(start, cluster):
    proxy = start()
    with proxy.client() as client:
        client.query("BEGIN")
        pid = client.query("SELECT pg_backend_pid()").value
        proxy.send_signal(signal.SIGQUIT)
        assert proxy.process.wait(15) == 0
    system.eventually(lambda: not cluster.backends(f"pid = {pid}"))


def can_connect(proxy):
    try:
        proxy.raw().close()
    except OSError:
        return False
    return True


def test_connections_that_arrive_during_a_shutdown(start):
    """Those that were handed to another worker in the last moment are closed too (a leak would show in the sanitizers' runs)."""
    for _ in range(scaled(5, 3)):
        proxy = start(workers=3)

        def knock(stop, proxy=proxy):
            while not stop.is_set():
                try:
                    proxy.raw().close()
                except OSError:
                    return

        with Background(knock, knock, knock):
            proxy.stop_only(signal.SIGQUIT)


# ---- was it committed? ----

@pytest.fixture(scope="module")
def waits_for_nobody(program):
    """A PostgreSQL whose COMMIT is done on disk, and then waits for a standby that never comes: a backend that ends there has committed, and could not say so."""
    cluster = Cluster("wal_level = replica\nmax_wal_senders = 2\n")
    cluster.run("CREATE TABLE unsure (what text); GRANT ALL ON unsure TO PUBLIC", "app")
    cluster.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    cluster.run("SELECT pg_reload_conf()")
    proxy = Proxy(cluster, program)
    yield cluster, proxy
    proxy.stop()
    cluster.destroy()


def extended(sql):
    return wire.parse("", sql) + wire.bind("", "") + wire.execute() + wire.SYNC


LAST_WORDS = {
    # in a transaction?, and what is sent last
    "an INSERT by itself": (False, wire.query("INSERT INTO unsure VALUES ('it')")),
    "an INSERT by itself, extended": (False, extended("INSERT INTO unsure VALUES ('it')")),
    "COMMIT": (True, wire.query("COMMIT")),
    "COMMIT, extended": (True, extended("COMMIT")),
    "COMMIT AND CHAIN": (True, wire.query("COMMIT AND CHAIN")),
    "COMMIT amid others": (True, wire.query("SELECT 1; COMMIT; SELECT 2")),
}


@pytest.mark.parametrize("what", LAST_WORDS)
def test_what_may_be_committed_is_not_said_to_be_rolled_back(waits_for_nobody, what):
    in_block, last = LAST_WORDS[what]
    cluster, proxy = waits_for_nobody
    cluster.run("SET synchronous_commit = local; TRUNCATE unsure", "app")
    with proxy.client() as client:
        if in_block:
            client.query("BEGIN")
            client.query("INSERT INTO unsure VALUES ('it')")
        client.send(last)
        (pid,) = system.eventually(lambda: cluster.run("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"))[0]
        kill_backend(cluster, pid)
        result = client.result()
        assert result.sqlstate == "08007" and "not known" in result.errors[0].fields["H"] and result.status == "I", result.messages
        assert client.query("SELECT what FROM unsure").value == "it", "it was committed"


def test_what_is_rolled_back_is_said_to_be(shared, cluster):
    for last in (wire.query("SELECT pg_sleep(60)"), extended("SELECT pg_sleep(60)")):
        with shared.client() as client:
            client.query("BEGIN")
            pid = int(client.query("SELECT pg_backend_pid()").value)
            client.send(last)
            system.eventually(lambda: cluster.backends("query LIKE '%pg_sleep(60)%' AND state = 'active'"))
            kill_backend(cluster, pid)
            result = client.result()
            assert result.sqlstate == "08006" and "rolled back" in result.errors[0].fields["H"] and result.status == "E", result.messages
