# SPDX-License-Identifier: ISC
"""Adaptive scaling: servers are there before they are needed, and go when they are not; SHOW SCALING says why."""

import psycopg2
import pytest

from harness import system
from test_lanes import Holder


def budget(proxy):
    with proxy.console() as console:
        return console.show("BUDGET")[0]


def scaling(proxy):
    """The present, and the decisions, newest first."""
    with proxy.console() as console:
        rows = console.show("SCALING")
    assert rows[0]["event"] == "now"
    return rows[0], rows[1:]


def opened(proxy, n):
    row = budget(proxy)
    return row["slots"] == n and row["connecting_orphans"] == 0 and row["closing"] == 0


def test_warm_min_is_kept_while_there_are_clients(start, cluster):
    proxy = start(lanes={"default": 20}, warm_min=6, server_idle_timeout=1)
    assert budget(proxy)["slots"] == 0
    with proxy.client() as client:
        assert client.query("SELECT 1").value == "1"
        system.eventually(lambda: opened(proxy, 6), what="six warm servers")
        assert len(cluster.backends()) == 6
        now, decisions = scaling(proxy)
        assert (now["open"], now["warm_min"], now["budget"], now["effective_budget"]) == (6, 6, 24, 24)
        assert decisions[-1]["event"] == "warm" and "warm_min 6" in decisions[-1]["why"], decisions
        # server_idle_timeout does not take what warm_min keeps: one more comes and goes, and those stay.
        pids = set(cluster.backends())
        with Holder(proxy), Holder(proxy), Holder(proxy), Holder(proxy), Holder(proxy), Holder(proxy), Holder(proxy):
            assert budget(proxy)["slots"] == 7
        system.eventually(lambda: opened(proxy, 6), what="the seventh goes after server_idle_timeout")
        assert len(pids & set(cluster.backends())) >= 4  # each worker may have taken one
    system.eventually(lambda: opened(proxy, 0), what="without clients none is kept")


def test_warm_servers_are_for_the_pools_with_clients(start, cluster):
    """The pool that was used most lately comes first: it has four logins under way before another gets its first."""
    proxy = start(lanes={"default": 20}, workers=1)
    with proxy.client() as one, proxy.client(database="other") as two, proxy.console() as console:
        two.query("SELECT 1")
        for _ in range(20):
            one.query("SELECT 1")
        assert opened(proxy, 2)
        console.run("SET warm_min = 6")
        system.eventually(lambda: opened(proxy, 6), what="warm servers")
        assert len(cluster.backends("datname = 'app'")) == 5 and len(cluster.backends("datname = 'other'")) == 1


def test_a_step_is_opened_at_the_threshold(start):
    proxy = start(lanes={"default": 20}, scale_step=3)
    with Holder(proxy):  # 1 of 1
        system.eventually(lambda: opened(proxy, 4), what="three more")
        with Holder(proxy), Holder(proxy):  # 3 of 4 are fewer than 0.8
            assert opened(proxy, 4)
            with Holder(proxy):
                system.eventually(lambda: opened(proxy, 7), what="three more again")
    _, decisions = scaling(proxy)
    assert [(row["event"], row["servers"]) for row in decisions] == [("up", 3), ("up", 3)]
    assert decisions[0]["why"] == "4 of 4 open in use, threshold 0.800"


def test_opening_ahead_stops_at_the_budget_and_makes_room(start, cluster):
    proxy = start(lanes={"default": 3}, warm_min=50, scale_step=50)
    with proxy.client() as client:
        client.query("SELECT 1")
        system.eventually(lambda: opened(proxy, 7), what="the whole budget")
        with Holder(proxy, database="other"), Holder(proxy, database="other"):
            assert budget(proxy)["slots"] <= 7
            assert len(cluster.backends("datname = 'other'")) == 2
        row = budget(proxy)
        assert row["slots"] <= 7 and row["slot_waiters"] == 0


def test_what_is_not_needed_is_closed_step_by_step(start):
    proxy = start(lanes={"default": 20}, scale_step=3, scale_down_delay=1, warm_min=2)
    with proxy.client() as client:
        holders = [Holder(proxy) for _ in range(9)]
        system.eventually(lambda: budget(proxy)["slots"] >= 12, what="a step ahead of nine")
        for holder in holders:
            holder.close()
        system.eventually(lambda: opened(proxy, 2), what="down to warm_min")
        client.query("SELECT 1")
        assert opened(proxy, 2)
    _, decisions = scaling(proxy)
    down = [row["servers"] for row in decisions if row["event"] == "down"]
    assert len(down) >= 4 and max(down) == 3, decisions


def test_a_step_of_zero_is_pgbouncers_way(start):
    proxy = start(lanes={"default": 20}, scale_down_delay=1)
    with proxy.client() as client, Holder(proxy), Holder(proxy):
        client.query("SELECT 1")
        assert budget(proxy)["slots"] == 3
    assert scaling(proxy)[1] == []


def test_settings_can_be_changed_and_are_checked(start):
    proxy = start()
    with proxy.console() as console:
        for key, value in (("scale_threshold", "80"), ("scale_step", "1.5"), ("warm_min", "many")):
            with pytest.raises(psycopg2.Error, match="is not valid"):
                console.run(f"SET {key} = '{value}'")
        console.run("SET scale_threshold = 0.9")
        console.run("SET warm_min = 3")
    with proxy.client() as client:
        client.query("SELECT 1")
        system.eventually(lambda: opened(proxy, 3), what="warm_min as it was set")
