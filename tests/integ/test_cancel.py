# SPDX-License-Identifier: ISC
"""Cancel: with pglane's own keys, never against another client, from the queue too, and for those who disappeared."""

import contextlib
import os
import socket
import struct
import threading

import pytest

from harness import system, wire
from harness.traffic import in_parallel, scaled


def running(cluster, marker):
    """Backends that run a statement with this marker."""
    return cluster.backends(f"state = 'active' AND query LIKE '%{marker}%'")


def sleep_statement(marker, seconds=60):
    return wire.query(f"SELECT pg_sleep({seconds}) /* {marker} */")


@pytest.mark.parametrize("protocol", [wire.PROTOCOL_3_0, wire.PROTOCOL_3_2])
def test_cancel_of_a_running_statement(shared, cluster, protocol):
    with shared.client(protocol=protocol) as client:
        client.send(sleep_statement("running"))
        system.eventually(lambda: running(cluster, "running"))
        shared.cancel(client)
        assert client.result().sqlstate == "57014"
        assert client.query("SELECT 1").value == "1"


def test_cancel_in_a_transaction_fails_only_the_statement(shared, cluster):
    with shared.client() as client:
        client.query("BEGIN")
        client.send(sleep_statement("in transaction"))
        system.eventually(lambda: running(cluster, "in transaction"))
        shared.cancel(client)
        cancelled = client.result()
        assert cancelled.sqlstate == "57014" and cancelled.status == "E"
        assert client.query("ROLLBACK").status == "I"


def test_cancel_when_nothing_runs_changes_nothing(shared):
    with shared.client() as client, shared.client() as other:
        for _ in range(20):
            shared.cancel(client)
            assert client.query("SELECT 1").value == "1"
            assert other.query("SELECT 2").value == "2"


def test_cancel_between_statements_of_a_transaction_hits_neither(shared):
    with shared.client() as client:
        client.query("BEGIN")
        assert client.query("SELECT 1").value == "1"
        shared.cancel(client)
        assert client.query("SELECT 2").value == "2"
        assert client.query("COMMIT").status == "I"


@pytest.mark.parametrize("spoil", ["key", "pid", "short", "long", "empty"])
def test_wrong_key_is_ignored(shared, cluster, spoil):
    with shared.client() as client:
        marker = f"wrong {spoil}"
        client.send(sleep_statement(marker, 1.5))
        system.eventually(lambda: running(cluster, marker))
        pid, key = client.pid, client.key
        key = {"key": bytes([key[0] ^ 1]) + key[1:], "pid": key, "short": key[:-1], "long": key + b"\0", "empty": b""}[spoil]
        wire.send_cancel(shared.host, shared.port, pid ^ 1 if spoil == "pid" else pid, key)
        assert not client.result().errors


def test_servers_own_key_is_not_ours(shared, cluster):
    """Keys are pglane's: the backend's pid says nothing to it."""
    with shared.client() as client:
        pid = int(client.query("SELECT pg_backend_pid()").value)
        client.send(sleep_statement("own key", 1))
        system.eventually(lambda: running(cluster, "own key"))
        wire.send_cancel(shared.host, shared.port, pid, client.key)
        assert not client.result().errors


def test_cancel_from_the_queue(start, cluster):
    """One who waits for a permit is answered at once; who holds it notices nothing, and the place in the queue is gone."""
    proxy = start(lanes={"default": 1})
    with proxy.client() as holder, proxy.client() as waiter, proxy.client() as next_one:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        waiter.send(wire.query("SELECT 'never'"))
        with proxy.console() as console:
            system.eventually(lambda: sum(pool["cl_waiting"] for pool in console.show("POOLS")) == 1)
        next_one.send(wire.query("SELECT 'next'"))
        proxy.cancel(waiter)
        cancelled = waiter.result()
        assert cancelled.sqlstate == "57014" and cancelled.status == "I"
        assert holder.query("COMMIT").status == "I"
        assert next_one.result().value == "next"
        assert waiter.query("SELECT 'again'").value == "again"


def test_cancel_from_the_queue_of_a_pipeline(start):
    """All up to the Sync is cancelled, nothing behind it."""
    proxy = start(lanes={"default": 1})
    with proxy.client() as holder, proxy.client() as waiter:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        waiter.send(wire.parse("", "SELECT 'first'"), wire.bind("", ""), wire.execute(), wire.SYNC)
        with proxy.console() as console:
            system.eventually(lambda: sum(pool["cl_waiting"] for pool in console.show("POOLS")) == 1)
        proxy.cancel(waiter)
        assert waiter.result().sqlstate == "57014"
        holder.query("COMMIT")
        assert waiter.extended("SELECT 'second'").value == "second"


def test_storm_never_hits_the_wrong_client(start, cluster):
    """Half of the clients are cancelled again and again while all of them work on few servers. The others never see an error, and who is cancelled
    gets either 57014 or its own answer."""
    proxy = start(lanes={"default": 8}, max_client_conn=500)
    clients = [proxy.client() for _ in range(100)]
    rounds = scaled(20, 4)

    def work(i):
        client = clients[i // 2] if i % 2 else None
        if client is not None:  # canceller of the even ones
            if (i // 2) % 2 == 0:
                for _ in range(rounds * 3):
                    proxy.cancel(client)
            return 0
        me, n_cancelled = clients[i // 2], 0
        for n in range(rounds):
            result = me.query(f"SELECT pg_sleep(0.005), '{i}.{n}'")
            if result.errors:
                assert (i // 2) % 2 == 0, f"client {i // 2} was never cancelled but got {result.errors[0]}"
                assert result.sqlstate == "57014"
                n_cancelled += 1
            else:
                assert result.rows[0][1].decode() == f"{i}.{n}"
        return n_cancelled

    try:
        assert sum(in_parallel(200, work)) > 0, "no cancel arrived"
    finally:
        for client in clients:
            client.close()


def test_cancels_are_not_counted_as_clients(start):
    proxy = start(max_client_conn=2)
    with proxy.client() as one, proxy.client() as two:
        for _ in range(10):
            proxy.cancel(one)
        assert two.query("SELECT 1").value == "1"


def test_cancel_works_when_every_permit_is_taken(start, cluster):
    proxy = start(lanes={"default": 2})
    with proxy.client() as one, proxy.client() as two:
        for client in (one, two):
            client.send(sleep_statement("saturated"))
        system.eventually(lambda: len(running(cluster, "saturated")) == 2)
        proxy.cancel(one)
        assert one.result().sqlstate == "57014"
        proxy.cancel(two)
        assert two.result().sqlstate == "57014"


def test_statement_of_a_vanished_client_is_cancelled_and_rolled_back(shared, cluster):
    shared.run("CREATE TABLE IF NOT EXISTS cancel_vanished (n int)")
    client = shared.client()
    client.query("BEGIN")
    client.query("INSERT INTO cancel_vanished VALUES (1)")
    client.send(sleep_statement("vanished"))
    system.eventually(lambda: running(cluster, "vanished"))
    client.close()
    system.eventually(lambda: not running(cluster, "vanished"), 10, "the end of the vanished client's statement")
    system.eventually(lambda: shared.run("SELECT count(*) FROM cancel_vanished") == [(0,)])
    assert not cluster.backends("state LIKE 'idle in transaction%'")


def test_cancel_packets_of_every_form(shared):
    """Malformed cancels are closed without an answer, and nobody else notices."""
    with shared.client() as client:
        for body in (b"", b"\0", b"\0\0\0\1", os.urandom(300)):
            with shared.raw() as hostile:
                hostile.send(struct.pack("!ii", 8 + len(body), wire.CANCEL_REQUEST) + body)
                rest = b""
                try:
                    while True:
                        rest += hostile.receive_exactly(1)
                except wire.Closed:
                    pass
        assert client.query("SELECT 1").value == "1"


# ---- a cancel request that takes its time ----

class SlowPostmaster:
    """Hands bytes on to PostgreSQL, but keeps connections with a CancelRequest open until it is told, and does nothing about them."""

    def __init__(self, port):
        self.target, self.listener = port, socket.create_server(("127.0.0.1", 0))
        self.port, self.cancels = self.listener.getsockname()[1], []
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.listener.close()
        self.end_cancels()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.carry, args=(self.listener.accept()[0],), daemon=True).start()

    def carry(self, near):
        head = near.recv(8, socket.MSG_PEEK | socket.MSG_WAITALL)
        if head[4:] == struct.pack("!i", wire.CANCEL_REQUEST):
            self.cancels.append(near)
            return
        far = socket.create_connection(("127.0.0.1", self.target))
        for way in ((near, far), (far, near)):
            threading.Thread(target=self.pump, args=way, daemon=True).start()

    def pump(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def end_cancels(self):
        while self.cancels:
            self.cancels.pop().close()


def narrow_client(proxy):
    client = proxy.raw(20)
    client.socket.close()
    client.socket = socket.socket()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.socket.settimeout(20)
    client.socket.connect((proxy.host, proxy.port))
    return client.login()


def test_server_released_by_the_end_of_a_cancel_is_read(start, cluster):
    """Its client has not read its result when the cancel request, which came too late, is over: the server goes to the next client, whose reply is
    read although the last one kept the server from being read."""
    n_held_back = 0
    with SlowPostmaster(cluster.port) as postmaster:
        proxy = start(workers=1, lanes={"default": 1}, tcp_socket_buffer=4096, databases={"app": f"host=127.0.0.1 port={postmaster.port} dbname=app"})
        with proxy.client(timeout_s=10) as other, proxy.console() as console:

            def is_held_back():
                return any(row["send_remain"] for row in console.show("SOCKETS") if row["database"] == "app" and row["type"] == "C")

            for n_bytes in range(500, 4000, 500):  # lie in the buffers, unread, when the last result comes
                with narrow_client(proxy) as client, proxy.raw() as canceller:
                    client.send(wire.query(f"SELECT repeat('x', {n_bytes})"))
                    system.eventually(lambda: not console.lane("default")["in_use"] or is_held_back())
                    if is_held_back():
                        break
                    client.send(wire.query("SELECT repeat('y', 7000) FROM pg_sleep(0.3) /* late cancel */"))
                    system.eventually(lambda: running(cluster, "late cancel"))
                    canceller.send(wire.cancel_packet(client.pid, client.key))
                    system.eventually(lambda: postmaster.cancels, what="the cancel request")
                    system.eventually(lambda: not running(cluster, "late cancel"))
                    n_held_back += is_held_back()
                    postmaster.end_cancels()
                    assert canceller.is_closed()
                    other.send(wire.query("SELECT 1"))
                    console.show("SOCKETS")
                assert other.result().value == "1"
    assert n_held_back


def test_cancel_request_that_is_killed_hears_nothing(start, cluster):
    with SlowPostmaster(cluster.port) as postmaster:
        proxy = start(workers=1, databases={"app": f"host=127.0.0.1 port={postmaster.port} dbname=app"})
        with proxy.client() as client, proxy.console() as console, proxy.raw(10) as canceller:
            client.send(wire.query("SELECT pg_sleep(1) /* killed cancel */"))
            system.eventually(lambda: running(cluster, "killed cancel"))
            canceller.send(wire.cancel_packet(client.pid, client.key))
            system.eventually(lambda: postmaster.cancels, what="the cancel request")
            requests = [row["id"] for row in console.show("CLIENTS") if row["state"] == "active_cancel_req"]
            assert len(requests) == 1
            console.run(f"KILL_CLIENT {requests[0]}")
            assert canceller.is_closed()
            postmaster.end_cancels()
            assert client.result().kinds == "TDCZ"


def test_second_of_a_pipeline_in_session_pooling_is_cancelled(start, cluster):
    """Without a time limit a session's statements run on: the first one's end does not make the second nobody's."""
    proxy = start(pool_mode="session", lanes={"default": 1}, sections={"lane:default": {"permits": 1, "statement_timeout": 0}})
    with proxy.client(timeout_s=20) as client:
        client.send(wire.query("SELECT 1"), wire.query("SELECT pg_sleep(60) /* second */"))
        assert client.result().value == "1"
        system.eventually(lambda: cluster.run("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%/* second */'"
                                              " AND pid <> pg_backend_pid()")[0][0])
        proxy.cancel(client)
        assert client.result().sqlstate == "57014"
        assert client.query("SELECT 2").value == "2"
