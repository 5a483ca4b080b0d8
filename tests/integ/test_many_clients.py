# SPDX-License-Identifier: ISC
"""A thousand clients on five servers: everybody is served, nobody gets another's rows, Postgres never sees a sixth connection."""

import selectors

import pytest

from harness import system, wire
from harness.traffic import Background, scaled

CLIENTS = 1000
PERMITS = 5
ROUNDS = scaled(10, 2)


@pytest.fixture
def proxy(start, cluster):
    cluster.end_backends()
    return start(lanes={"default": PERMITS}, max_client_conn=2000, queue_timeout=120, listen_backlog=1024)


def drive(clients, rounds):
    """All clients at once from one thread: each asks for its own number, again and again, and checks the answer."""
    selector, done = selectors.DefaultSelector(), {}
    for i, client in enumerate(clients):
        done[i] = 0
        selector.register(client.socket, selectors.EVENT_READ, (i, client))
        client.send(question(i, 0))
    while selector.get_map():
        ready = selector.select(120)
        assert ready, "nobody has been answered for 120 s"
        for key, _ in ready:
            i, client = key.data
            assert client.result().value == f"{i}.{done[i]}"
            done[i] += 1
            if done[i] == rounds:
                selector.unregister(client.socket)
            else:
                client.send(question(i, done[i]))
    return done


def question(i, n):
    if (i + n) % 2:
        return wire.query(f"SELECT '{i}.{n}'")
    return wire.parse("", "SELECT $1::text") + wire.bind("", "", [f"{i}.{n}"]) + wire.execute() + wire.SYNC


def test_a_thousand_clients_on_five_servers(proxy, cluster):
    seen = [0]
    watcher = cluster.connect()

    def watch(stop):
        with watcher.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = 'app' AND backend_type = 'client backend'")
                seen[0] = max(seen[0], cursor.fetchone()[0])

    clients = []
    try:
        clients += (proxy.client(timeout_s=120) for _ in range(CLIENTS))
        with Background(watch):
            done = drive(clients, ROUNDS)
        assert set(done.values()) == {ROUNDS}
        assert 1 <= seen[0] <= PERMITS + 4, "the budget is that of all lanes: 5 + 1 + 1 + 1 + 1"
    finally:
        watcher.close()
        for client in clients:
            client.close()


def test_transactions_of_many_clients_stay_apart(proxy):
    """Each transaction sees only its own setting although servers go from hand to hand."""
    clients = [proxy.client() for _ in range(100)]
    try:
        for i, client in enumerate(clients):
            client.send(*map(wire.query, ("BEGIN", f"SET LOCAL my.number = {i}", "SELECT current_setting('my.number')", "COMMIT",
                                          "SELECT coalesce(nullif(current_setting('my.number', true), ''), 'none')")))
        for i, client in enumerate(clients):
            assert client.result().status == "T"
            assert client.result().tags == ["SET"]
            assert client.result().value == str(i)
            assert client.result().tags == ["COMMIT"]
            assert client.result().value == "none"
    finally:
        for client in clients:
            client.close()


def test_clients_beyond_the_limit_are_refused_and_others_live(start):
    proxy = start(max_client_conn=10)
    clients = [proxy.client() for _ in range(10)]
    try:
        with pytest.raises(wire.ServerError) as refused:
            proxy.client()
        assert refused.value.sqlstate == "53300"
        assert clients[0].query("SELECT 1").value == "1"
        clients.pop().close()
        system.eventually(lambda: _can_log_in(proxy), what="a free place")
    finally:
        for client in clients:
            client.close()


def _can_log_in(proxy):
    try:
        proxy.client().close()
    except wire.ServerError:
        return False
    return True
