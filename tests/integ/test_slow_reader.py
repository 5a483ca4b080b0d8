# SPDX-License-Identifier: ISC
"""A client that never reads costs bounded memory and nobody else's time."""

import socket

from harness import system, wire
from harness.traffic import in_parallel, memory_limit, scaled

ROW_BYTES = 1 << 20
MB = 1 << 20


def never_reads(proxy, n_megabytes, small_window=True):
    """A client that has asked for much and reads nothing of it."""
    client = proxy.raw()
    if small_window:
        client.socket.close()
        client.socket = socket.socket()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.socket.settimeout(60)
        client.socket.connect((proxy.host, proxy.port))
    client.login()
    client.send(wire.query(f"SELECT repeat('x', {ROW_BYTES}) FROM generate_series(1, {n_megabytes})"))
    return client


def stalled(cluster):
    """Backends that wait for their peer to read."""
    return cluster.backends("wait_event = 'ClientWrite'")


def test_memory_is_bounded_and_others_proceed(start, cluster):
    proxy = start(workers=1)
    with proxy.client() as client:
        client.query("SELECT repeat('x', 1000)")
    before = proxy.resident_bytes()
    slow = [never_reads(proxy, 200) for _ in range(8)]
    try:
        system.eventually(lambda: len(stalled(cluster)) == 8, 20, "eight stalled servers")
        assert proxy.resident_bytes() - before < memory_limit(24 * MB), "eight streams of 200 MB"
        for _ in range(scaled(200, 50)):
            assert proxy.run("SELECT 1") == [(1,)]
        assert proxy.resident_bytes() - before < memory_limit(24 * MB)
    finally:
        for client in slow:
            client.close()
    system.eventually(lambda: not stalled(cluster), 10, "the end of their statements")


def test_what_was_held_back_arrives_whole(start, cluster):
    proxy = start(workers=1)
    slow = never_reads(proxy, 40)
    system.eventually(lambda: stalled(cluster), 20)
    result = slow.result()
    assert len(result.rows) == 40 and all(row == [b"x" * ROW_BYTES] for row in result.rows)
    assert slow.query("SELECT 1").value == "1"
    slow.close()


def test_server_that_does_not_read_holds_the_client_back(start, cluster):
    """COPY into a table that is locked: what the client sends is not kept in memory."""
    proxy = start(workers=1)
    proxy.run("CREATE TABLE IF NOT EXISTS slow_copy (t text)")
    with proxy.client() as warm:
        warm.query("SELECT 1")
    before = proxy.resident_bytes()
    blocker = cluster.connect("app")
    blocker.autocommit = False
    with blocker.cursor() as cursor:
        cursor.execute("LOCK TABLE slow_copy IN ACCESS EXCLUSIVE MODE")
    client = proxy.client()
    client.send(wire.query("COPY slow_copy FROM STDIN"))
    client.socket.setblocking(False)
    sent, chunk = 0, wire.copy_data(b"y" * 65000 + b"\n")

    def pushes():
        """True when nothing more is taken: the kernel's buffers and ours are full."""
        nonlocal sent
        try:
            while sent < 200 * MB:
                sent += client.socket.send(chunk)
        except BlockingIOError:
            return True
        return False

    try:
        assert system.eventually(pushes) and sent < 100 * MB
        assert proxy.resident_bytes() - before < memory_limit(16 * MB)
        assert proxy.run("SELECT 1") == [(1,)]
    finally:
        client.close()
        blocker.close()


def test_idle_clients_own_no_buffers(start):
    """Many idle clients: what remains of each after it was served is small."""
    proxy = start(max_client_conn=3000, listen_backlog=1024)
    n = scaled(2000, 200)
    clients = [proxy.client() for _ in range(200)]
    for client in clients:
        client.query("SELECT repeat('x', 100000)")
    before = proxy.resident_bytes()
    clients += [proxy.client() for _ in range(n)]
    try:
        for client in clients[200:]:
            client.query("SELECT 1")
        growth = proxy.resident_bytes() - before
        assert growth < memory_limit(n * 4096), f"{growth / n:.0f} bytes per idle client"
    finally:
        for client in clients:
            client.close()


def test_slow_readers_of_one_lane_do_not_slow_another(start, cluster):
    proxy = start(lanes={"default": 2, "training": 2})
    slow = [never_reads(proxy, 100) for _ in range(2)]
    try:
        system.eventually(lambda: len(stalled(cluster)) == 2, 20)
        comment = "/*ml_class='serving'*/"

        def work(i):
            with proxy.client() as client:
                for n in range(scaled(50, 10)):
                    assert client.query(f"{comment} SELECT {n}").value == str(n)

        in_parallel(4, work)
    finally:
        for client in slow:
            client.close()
