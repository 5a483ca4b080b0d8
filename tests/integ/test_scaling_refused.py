# SPDX-License-Identifier: ISC
"""PostgreSQL takes fewer connections than the budget: 53300 at a server's login shrinks what is used of it, nobody fails for that, and it recovers."""

import pytest

from harness import system, wire
from harness.cluster import Cluster
from harness.traffic import in_parallel
from test_lanes import Holder
from test_scaling import budget, scaling

ROOM = 9  # max_connections without what is kept for superusers


@pytest.fixture(scope="module")
def cluster():
    """A PostgreSQL of this file's own, with little room."""
    tight = Cluster(f"max_connections = {ROOM + 3}\nsuperuser_reserved_connections = 3\n")
    yield tight
    tight.destroy()


@pytest.fixture
def taken(cluster):
    """taken(n): n connections of ordinary users that pass pglane by. They are closed after the test, and gone when it ends."""
    connections = []

    def take(n):
        connections.extend(cluster.connect("app", "app") for _ in range(n))
        return connections

    yield take
    for connection in connections:
        connection.close()
    system.eventually(lambda: cluster.run("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND application_name = 'direct'")[0][0] == 0)


def hammer(proxy, n_clients, n_statements=10, **kwargs):
    """Errors that n_clients at once are told."""
    def work(_):
        with proxy.client(**kwargs) as client:
            return [error for _ in range(n_statements) for error in client.query("SELECT pg_sleep(0.01)").errors]
    return [error for errors in in_parallel(n_clients, work) for error in errors]


def test_nobody_fails_and_the_budget_shrinks(start):
    proxy = start(lanes={"default": 20}, queue_timeout=20)
    assert hammer(proxy, 30) == []
    row = budget(proxy)
    assert row["budget"] == 24 and 1 <= row["slots"] <= ROOM and row["effective_budget"] < 24, row
    _, decisions = scaling(proxy)
    shrink = [line for line in decisions if line["event"] == "shrink"]
    assert shrink and min(line["servers"] for line in shrink) <= ROOM and "PostgreSQL refused" in shrink[0]["why"], decisions
    assert "scaling: shrink" in proxy.log_text()


def test_lanes_share_what_there_is(start):
    proxy = start(lanes={"default": 40, "ml": 20, "vector": 10, "training": 10}, queue_timeout=20)
    assert hammer(proxy, 30) == []
    with proxy.console() as console:
        lanes = {row["lane"]: row for row in console.show("LANES")}
    # One each for the four ordinary lanes, the rest in proportion: none is without a permit, and default has the most.
    assert all(lanes[name]["permits"] >= 1 for name in ("default", "ml", "vector", "training")), lanes
    assert lanes["default"]["permits"] == max(row["permits"] for row in lanes.values()) < 40
    with proxy.client() as client:
        assert client.query("/*ml_class='training'*/ SELECT 1").value == "1"


def test_who_waits_is_served_when_there_is_room_again(start, taken):
    direct = taken(ROOM)
    proxy = start(lanes={"default": 20}, queue_timeout=30)

    def client_that_waits(i):
        if i > 0:  # the one that makes room
            system.eventually(lambda: scaling(proxy)[0]["effective_budget"] == 0, what="nothing is left")
            for connection in direct:
                connection.close()
            return None
        with proxy.client() as client:
            return client.query("SELECT 1")
    result, _ = in_parallel(2, client_that_waits)
    assert result.value == "1" and result.errors == []


def test_waiting_ends_with_the_reason(start, taken):
    taken(ROOM - 1)
    proxy = start(lanes={"default": 20}, queue_timeout=1)
    with Holder(proxy), proxy.client() as client:
        result = client.query("SELECT 1")
        assert result.sqlstate == "53300" and result.status == "I"
        assert "PostgreSQL refuses connections: 1 of a budget of 24 can be used" in result.errors[0].fields["D"], result.errors


def test_servers_of_other_pools_make_room(start, cluster, taken):
    taken(ROOM - 6)
    proxy = start(lanes={"default": 20}, queue_timeout=10)
    holders = [Holder(proxy, query_class) for query_class in ("default", "default", "vector", "training", "hybrid")]
    for holder in holders:
        holder.close()
    assert len(cluster.backends("datname = 'app'")) == 5
    with Holder(proxy, database="other"), proxy.client(database="other") as client:  # the sixth
        assert client.query("SELECT 1").value == "1"
        assert len(cluster.backends("datname = 'other'")) == 2 and len(cluster.backends("datname = 'app'")) == 4
        assert budget(proxy)["effective_budget"] <= 7


def test_it_recovers_when_postgresql_has_more(start, cluster):
    proxy = start(lanes={"default": 20}, queue_timeout=30)
    assert hammer(proxy, 30) == []
    assert budget(proxy)["effective_budget"] < 24
    cluster.run("ALTER SYSTEM SET max_connections = 60")
    cluster.restart()
    try:
        holders = in_parallel(20, lambda _: Holder(proxy))
        assert budget(proxy)["slots"] >= 20
        system.eventually(lambda: budget(proxy)["effective_budget"] == 24, 60, "the whole budget")
        events = [line["event"] for line in scaling(proxy)[1]]
        assert events[0] == "recover" and "probe" in events and "shrink" in events, events
        for holder in holders:
            holder.close()
    finally:
        cluster.run("ALTER SYSTEM RESET max_connections")
        cluster.restart()


def test_limit_of_a_role_concerns_only_its_pool(start, cluster):
    """Same SQLSTATE, another meaning: the role's clients share the servers it may have, the budget stays."""
    cluster.run("ALTER ROLE u_other CONNECTION LIMIT 2")
    try:
        proxy = start(lanes={"default": 20}, queue_timeout=20)
        with proxy.client(user="u_other") as client:
            assert client.query("SELECT 1").value == "1"
            assert hammer(proxy, 8, user="u_other") == []
        assert budget(proxy)["effective_budget"] == 24
        assert len(cluster.backends("usename = 'u_other'")) <= 2
        assert "shrink" not in [line["event"] for line in scaling(proxy)[1]]
    finally:
        cluster.run("ALTER ROLE u_other CONNECTION LIMIT -1")


def test_other_refusals_do_not_shrink(start):
    """They are told at once, in PostgreSQL's words."""
    proxy = start(lanes={"default": 20})
    with pytest.raises(wire.ServerError) as refused:
        proxy.client(database="not_there")
    assert "3D000" in refused.value.fields["D"] and "does not exist" in refused.value.fields["D"]
    assert budget(proxy)["effective_budget"] == 24 and scaling(proxy)[1] == []
