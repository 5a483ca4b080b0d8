# SPDX-License-Identifier: ISC
"""Names that clients think of, databases through "*" and users nobody configured, leave nothing behind that grows with them."""

import pytest

from harness import system
from harness.traffic import SANITIZED, in_parallel, memory_limit, scaled

N_NAMES = scaled(600)
N_THREADS = 8
UNUSED_MAX = 1024  # as in pool.c


def count(proxy, what):
    with proxy.console() as console:
        return {row["list"]: int(row["items"]) for row in console.show("LISTS")}[what]


def totals(proxy):
    with proxy.console() as console:
        return {row["name"]: int(row["value"]) for row in console.show("TOTALS")}


def log_in(proxy, prefix, n_names):
    def work(thread):
        for i in range(thread, n_names, N_THREADS):
            with proxy.client(database=f"{prefix}_{i}") as client:
                assert client.query("SELECT 1").value == "1"
    in_parallel(N_THREADS, work)


def test_databases_through_the_wildcard_are_forgotten(start):
    proxy = start(databases={"*": "{server} dbname=app"}, autodb_idle_timeout=1, server_idle_timeout=1)
    resident = []
    for round_ in range(3):
        log_in(proxy, f"r{round_}", N_NAMES)
        system.eventually(lambda: count(proxy, "pools") <= 2, 30, "the pools of names that nobody uses")
        assert count(proxy, "databases") <= 4
        resident.append(proxy.resident_bytes())
        assert totals(proxy)["total_query_count"] == (round_ + 1) * N_NAMES, "what was counted stays counted"
    if not SANITIZED:
        assert resident[-1] - resident[0] < memory_limit(1 << 20), resident


def test_many_are_forgotten_before_their_time(start):
    """The time limit does not decide how much memory a client can take."""
    proxy = start(databases={"*": "{server} dbname=app"}, workers=1, server_idle_timeout=1)
    log_in(proxy, "name", UNUSED_MAX + 200)
    system.eventually(lambda: count(proxy, "pools") <= UNUSED_MAX + 1, 30, "at most the unused pools that are kept, and the console's")
    assert count(proxy, "pools") >= UNUSED_MAX


def test_what_is_in_use_or_configured_is_kept(start):
    proxy = start(databases={"*": "{server} dbname=app", "named": "{server} dbname=app"}, autodb_idle_timeout=1, server_idle_timeout=1)
    proxy.run("SELECT 1", dbname="named")
    with proxy.client(database="held") as client:
        client.query("BEGIN")
        client.query("SELECT 1")
        proxy.run("SELECT 1", dbname="left")
        system.eventually(lambda: "left" not in pools(proxy), what="the one that nobody uses")
        assert {"named", "held"} <= pools(proxy)
        assert client.query("SELECT 2").value == "2"
    system.eventually(lambda: "held" not in pools(proxy), what="the one that is left now")
    assert "named" in pools(proxy)


def pools(proxy):
    with proxy.console() as console:
        return {row["database"] for row in console.show("POOLS")}


def test_a_pause_outlives_its_pool(start):
    """What the operator said of a database holds when nobody is left in it, and again when somebody comes."""
    proxy = start(databases={"*": "{server} dbname=app"}, autodb_idle_timeout=1, server_idle_timeout=1)
    proxy.run("SELECT 1", dbname="auto")
    with proxy.console() as console:
        console.run("PAUSE auto")
        system.eventually(lambda: "auto" not in pools(proxy))
        assert {row["name"]: row["paused"] for row in console.show("DATABASES")}["auto"] in (1, "1")
        console.run("RESUME auto")
        assert "auto" not in {row["name"] for row in console.show("DATABASES")}
    assert proxy.run("SELECT 1", dbname="auto") == [(1,)]


@pytest.mark.parametrize("database", ["app", "pglane"])
def test_users_that_nobody_configured_are_forgotten(start, database):
    proxy = start(auth_type="any", databases={"app": "{server} dbname=app user=app"}, autodb_idle_timeout=1, server_idle_timeout=1)
    before = count(proxy, "users")
    for i in range(50):
        proxy.client(database=database, user=f"nobody_{i}").close()
    system.eventually(lambda: count(proxy, "users") == before, what="the users' end")
