# SPDX-License-Identifier: ISC
"""Logins to PostgreSQL take turns: a cold pool asks for a few connections at a time, and who waits for one takes a server that comes free."""

import contextlib
import socket
import threading

import pytest

from harness import system, wire

BACKEND = wire.query("SELECT pg_backend_pid()")
OF_A_POOL, TOGETHER = 2, 8  # with one worker: max_server_logins, and the fourth part of it
N = 20


class Door:
    """Before PostgreSQL: connections are taken, and get no answer until they are let in."""

    def __init__(self, port):
        self.target, self.listener = port, socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port, self.is_open, self.n_ever = self.listener.getsockname()[1], True, 0
        self.outside, self.sockets, self.lock = [], [], threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                with self.lock:
                    self.n_ever += 1
                    self.sockets.append(near)
                    self.outside.append(near)
                if self.is_open:
                    self.let_in()

    def let_in(self, n=None):
        """The first n of those who wait, or all of them."""
        with self.lock:
            admitted, self.outside = self.outside[:n], self.outside[n:] if n else []
        for near in admitted:
            far = socket.create_connection(("127.0.0.1", self.target))
            self.sockets.append(far)
            for way in ((near, far), (far, near)):
                threading.Thread(target=self.pass_on, args=way, daemon=True).start()

    @staticmethod
    def pass_on(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for side in (source, sink):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for each in (self.listener, *self.sockets):
            each.close()


@pytest.fixture
def door(cluster):
    with Door(cluster.port) as door:
        yield door


@pytest.fixture
def begin(start, cluster, door):
    """begin(**settings) -> a proxy whose pools app and slow0 … are known, and have no server and a shut door."""
    def beginner(**settings):
        through = f"host=127.0.0.1 port={door.port} dbname=app"
        proxy = start(workers=1, max_server_logins=TOGETHER, lanes={"default": 60}, **settings,
                      databases={"app": through, **{f"slow{i}": through for i in range(N)}, "near": "{server} dbname=app"})
        for name in ("app", "near", *(f"slow{i}" for i in range(N))):
            proxy.run("SELECT 1", dbname=name)
        door.is_open = False
        cluster.end_backends()
        with proxy.console() as console:
            system.eventually(lambda: not console.show("SERVERS"), what="the end of all servers")
        return proxy
    return beginner


def ask(proxy, stack, n, database="app"):
    clients = [stack.enter_context(proxy.client(database=database)) for _ in range(n)]
    for client in clients:
        client.send(BACKEND)
    return clients


def waiting_for(proxy, what):
    with proxy.console() as console:
        return sum(row["waits_for"] == what for row in console.show("QUEUE"))


def logging_in(proxy):
    with proxy.console() as console:
        return sum(int(row["sv_login"]) for row in console.show("POOLS"))


def in_use(proxy):
    with proxy.console() as console:
        return console.lane("default")["in_use"]


def test_a_cold_pool_logs_in_a_few_at_a_time_and_shares_what_it_has(begin, door):
    proxy = begin()
    with contextlib.ExitStack() as stack:
        clients = ask(proxy, stack, N)
        system.eventually(lambda: waiting_for(proxy, "login") == N - OF_A_POOL, what="the queue for a login")
        system.eventually(lambda: len(door.outside) == OF_A_POOL, what="the first logins")
        assert logging_in(proxy) == OF_A_POOL
        assert in_use(proxy) == N, "they have their permits"
        door.let_in(1)
        # The others have the one server after each other; two are for the two logins that are under way now.
        system.eventually(lambda: in_use(proxy) == OF_A_POOL, what="the answers")
        system.eventually(lambda: len(door.outside) == OF_A_POOL, what="the logins under way")
        assert waiting_for(proxy, "login") == 0
        door.is_open = True
        door.let_in()
        backends = [client.result().value for client in clients]
        assert all(backends) and len(set(backends)) <= 1 + OF_A_POOL
    system.eventually(lambda: in_use(proxy) == 0, what="the permits' return")


def test_a_host_that_does_not_answer_holds_up_no_other(begin, door):
    proxy = begin()
    with contextlib.ExitStack() as stack:
        slow = [client for i in range(N) for client in ask(proxy, stack, 1, f"slow{i}")]
        system.eventually(lambda: len(door.outside) == N, what="a login of each pool")
        ask(proxy, stack, 1, "slow0")
        system.eventually(lambda: waiting_for(proxy, "login") == 1, what="one that is beyond the sum")
        assert ask(proxy, stack, 1, "near")[0].result().value, "a pool may always have one login"
        door.is_open = True
        door.let_in()
        assert all(client.result().value for client in slow)


def test_who_waits_for_a_login_hears_of_the_failure_of_those_before(begin, door):
    """Nobody tries again what has just failed: two logins, and twenty who are told the same."""
    proxy = begin(server_connect_timeout=1)
    before = door.n_ever
    with contextlib.ExitStack() as stack:
        for client in ask(proxy, stack, N):
            refused = client.result()
            assert refused.sqlstate == "08006" and "server_connect_timeout" in refused.errors[0].fields["D"], refused.errors[0].fields
    assert door.n_ever - before == OF_A_POOL
    assert in_use(proxy) == 0


def test_who_gives_up_waiting_for_a_login_gives_everything_back(begin, door):
    proxy = begin(queue_timeout=60)
    with contextlib.ExitStack() as stack:
        first = ask(proxy, stack, OF_A_POOL)
        system.eventually(lambda: len(door.outside) == OF_A_POOL)
        with contextlib.ExitStack() as inner:
            ask(proxy, inner, 3)
            canceled = ask(proxy, stack, 1)[0]
            system.eventually(lambda: waiting_for(proxy, "login") == 4)
        system.eventually(lambda: in_use(proxy) == OF_A_POOL + 1, what="the permits of those that left")
        wire.send_cancel(proxy.host, proxy.port, canceled.pid, canceled.key)
        assert canceled.result().sqlstate == "57014"
        assert in_use(proxy) == OF_A_POOL and waiting_for(proxy, "login") == 0
        door.is_open = True
        door.let_in()
        assert all(client.result().value for client in first)
        canceled.send(BACKEND)
        assert canceled.result().value


def test_without_a_bound_all_log_in_at_once(begin, door):
    proxy = begin()
    proxy.write(max_server_logins=0)
    proxy.reload()
    with contextlib.ExitStack() as stack:
        clients = ask(proxy, stack, N)
        system.eventually(lambda: len(door.outside) == N, what="all logins")
        door.is_open = True
        door.let_in()
        assert all(client.result().value for client in clients)
