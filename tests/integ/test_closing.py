# SPDX-License-Identifier: ISC
"""A server that is being closed has its slot until PostgreSQL has closed its end, whatever that takes: the budget is what PostgreSQL counts."""

import select
import signal
import socket
import struct

import pytest

from harness import system, wire
from test_in_between import Stopped

MB = 1 << 20


def budget(proxy):
    with proxy.console() as console:
        return console.show("BUDGET")[0]


def send_until_nobody_reads(client):
    """CopyData until every buffer on the way is full; ends in the middle of a message."""
    block = wire.copy_data(b"x" * MB + b"\n")
    client.socket.setblocking(False)
    while select.select([], [client.socket], [], 1)[1]:
        client.socket.send(block)
    client.socket.settimeout(60)


def reset(client):
    """Closes the connection at once: its end does not queue up behind what was not read."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.fixture
def copying(start, cluster):
    """A client in a COPY whose backend is stopped, with unsent bytes kept for it: (proxy, client, backend's pid)."""
    proxy = start(lanes={"default": 1}, workers=1)
    cluster.run("CREATE TABLE IF NOT EXISTS closing_copy (t text); GRANT ALL ON closing_copy TO PUBLIC", "app")
    client = proxy.client()
    pid = int(client.query("SELECT pg_backend_pid()").value)
    client.send(wire.query("COPY closing_copy FROM STDIN"))
    client.receive_until("G")
    with Stopped(pid):
        send_until_nobody_reads(client)
        yield proxy, client, pid
    client.close()


def test_server_with_unsent_bytes_keeps_its_slot(copying, cluster):
    proxy, client, pid = copying
    reset(client)
    system.eventually(lambda: budget(proxy)["closing"] == 1, what="the server's end has begun")
    with proxy.client() as other:
        assert other.query("SELECT 1").value == "1"
        assert budget(proxy)["closing"] == 1 and budget(proxy)["slots"] == 2


def test_slot_of_a_backend_that_does_not_end_is_kept_for_as_long_as_it_lives(copying, cluster):
    """What the operator sees meanwhile is a warning, again and again."""
    proxy, client, pid = copying
    reset(client)
    system.eventually(lambda: proxy.log_text().count("has not closed its end") >= 1, 20)
    assert budget(proxy)["closing"] == 1


def test_shutdown_does_not_wait_for_a_backend_that_hangs(copying):
    proxy, client, pid = copying
    reset(client)
    system.eventually(lambda: budget(proxy)["closing"] == 1)
    proxy.stop_only(signal.SIGQUIT, 20)
    proxy.start()


def test_server_that_came_too_late_for_its_client_and_is_wanted_elsewhere(start):
    """It connects for nobody any more, and its slot is needed: it is closed, and leaves the account that it was in."""
    proxy = start(lanes={"default": 1}, workers=1, databases={"slow": "{server} dbname=app connect_query='SELECT pg_sleep(1)'"})
    holders = []
    for query_class in ("serving", "vector", "training"):
        holders.append(proxy.client())
        holders[-1].query("BEGIN")
        holders[-1].query(f"/*ml_class='{query_class}'*/ SELECT 1")
    holders.append(proxy.client())
    with proxy.raw() as leaver:
        leaver.send(wire.startup_packet({"user": "app", "database": "slow"}))
        system.eventually(lambda: budget(proxy)["slots"] == 4)
    holders[-1].query("BEGIN")
    holders[-1].query("SELECT 1")
    assert budget(proxy)["slots"] == 5 and budget(proxy)["connecting_orphans"] == 1
    with proxy.client(database="other") as other:
        assert other.query("/*ml_priority='9'*/ SELECT 1").value == "1"
        assert budget(proxy)["connecting_orphans"] == 0
    for holder in holders:
        holder.query("COMMIT")
        holder.close()
    with proxy.console() as console:
        console.run("RECONNECT")
    system.eventually(lambda: budget(proxy)["slots"] == 0)
