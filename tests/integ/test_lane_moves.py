# SPDX-License-Identifier: ISC
"""Permits that move: a statement that spills into another lane when its own is full, and one that hops on because it runs too long."""

import re

import pytest

from harness import system, wire
from harness.traffic import Background, scaled


def statement(query_class, sql):
    return f"/*ml_class='{query_class}'*/ {sql}"


def lanes(proxy):
    with proxy.console() as console:
        return {row["lane"]: row for row in console.show("LANES")}


def in_use(proxy):
    return {name: row["in_use"] for name, row in lanes(proxy).items() if row["in_use"]}


def waiting(proxy, lane):
    return lanes(proxy)[lane]["waiting"]


def route_now(proxy, sql):
    with proxy.console() as console:
        return {row["key"]: row["value"] for row in console.run(f"EXPLAIN ROUTE {sql}")}["now"]


def begin(proxy, query_class):
    """A client in a transaction, which holds a permit."""
    client = proxy.client()
    client.query("BEGIN")
    assert client.query(statement(query_class, "SELECT 1")).value == "1"
    return client


def end(client):
    assert client.query("COMMIT").status == "I"
    client.close()


# ---- spill ----


def spills(below, **keys):
    return {"lane:ml": {"spill": f"default:{below}", **keys}}


def test_full_lane_spills_while_few_permits_are_in_use_there(start):
    proxy = start(lanes={"default": 4}, sections=spills(2))
    one = begin(proxy, "hybrid")
    assert in_use(proxy) == {"ml": 1}, "its own lane first"
    assert route_now(proxy, statement("serving", "SELECT 1")) == "spill to default"
    two, three = begin(proxy, "serving"), begin(proxy, "hybrid")
    assert in_use(proxy) == {"ml": 1, "default": 2}
    assert route_now(proxy, statement("serving", "SELECT 1")) == "wait"
    with proxy.client() as waiter:
        waiter.send(wire.query(statement("serving", "SELECT 'served'")))
        system.eventually(lambda: waiting(proxy, "ml") == 1)
        # The permits that are left are default's own.
        others = [begin(proxy, "default") for _ in range(2)]
        assert in_use(proxy) == {"ml": 1, "default": 4}
        end(two)
        assert waiting(proxy, "ml") == 1, "three are in use in default"
        for client in others:
            end(client)
        assert waiter.result().value == "served"
    end(three)
    end(one)
    system.eventually(lambda: not in_use(proxy), what="every permit's return")
    rows = lanes(proxy)
    assert (rows["ml"]["spilled_out"], rows["default"]["spilled_in"]) == (3, 3)
    assert rows["ml"]["spilled_in"] == rows["default"]["spilled_out"] == 0


def test_priority_lane_goes_before_a_spill(start):
    proxy = start(lanes={"default": 4}, sections=spills(2))
    one = begin(proxy, "hybrid")
    with proxy.client() as urgent:
        urgent.query("BEGIN")
        urgent.query("/*ml_class='hybrid', ml_priority='9'*/ SELECT 1")
        assert in_use(proxy) == {"ml": 1, "priority": 1}
        urgent.query("COMMIT")
    end(one)


def test_spilled_statement_has_the_timeout_of_its_own_lane(start):
    proxy = start(lanes={"default": 4}, sections={"lane:ml": {"spill": "default:4", "statement_timeout": "300ms"}})
    one = begin(proxy, "hybrid")
    with proxy.client() as client:
        late = client.query(statement("hybrid", "SELECT pg_sleep(60)"))
        assert late.sqlstate == "57014" and "lane ml: the limit is 300 ms" in late.errors[0].fields["D"]
    end(one)


def test_neutral_statements_then_one_of_a_full_lane_that_spills(start):
    """The permit of default that the neutral statement took is kept as a spilled one."""
    proxy = start(lanes={"default": 4}, sections=spills(1))
    one = begin(proxy, "hybrid")
    with proxy.client() as client:
        client.query("BEGIN")
        client.query("SET LOCAL work_mem = '8MB'")
        assert client.query(statement("hybrid", "SELECT 1")).value == "1"
        assert in_use(proxy) == {"ml": 1, "default": 1}
        assert client.query("SHOW work_mem").value == "8MB"
        client.query("COMMIT")
    end(one)


def test_default_lanes_spill_only_where_the_file_leaves_room(start):
    """ml spills into default of 120 permits below 100; a file that made default smaller, or a pgbouncer.ini, has no spill that it did not ask for."""
    proxy = start(lanes={"default": 99})
    one = begin(proxy, "hybrid")
    assert route_now(proxy, statement("hybrid", "SELECT 1")) == "wait"
    end(one)
    proxy = start(lanes={"default": 100})
    one = begin(proxy, "hybrid")
    assert route_now(proxy, statement("hybrid", "SELECT 1")) == "spill to default"
    end(one)


# ---- hop ----


class Gate:
    """Statements stand before it, running on their servers, until it opens."""

    def __init__(self, cluster, key):
        self.connection, self.key = cluster.connect("app"), key
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [key])

    def sql(self, value):
        return f"SELECT '{value}' FROM pg_advisory_xact_lock_shared({self.key})"

    def __enter__(self):
        return self

    def open(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def __exit__(self, *exc):
        self.open()


def hops(after, training=None, **keys):
    sections = {"lane:vector": {"hop_after": after, "hop_to": "training", **keys}}
    return {**sections, "lane:training": training} if training else sections


def test_statement_hops_while_it_runs(start, cluster):
    proxy = start(lanes={"default": 2}, sections=hops("200ms"))
    with Gate(cluster, 1) as gate, proxy.client() as slow, proxy.client() as waiter:
        slow.send(wire.query(statement("vector", gate.sql("slow"))))
        system.eventually(lambda: in_use(proxy) == {"vector": 1})
        waiter.send(wire.query(statement("vector", "SELECT 'quick'")))
        assert waiter.result().value == "quick", "the lane has its permit back"
        assert in_use(proxy) == {"training": 1}
        gate.open()
        assert slow.result().value == "slow", "nothing was interrupted"
    system.eventually(lambda: not in_use(proxy), what="the permit's return")
    rows = lanes(proxy)
    assert (rows["vector"]["hopped_out"], rows["training"]["hopped_in"]) == (1, 1)
    assert rows["vector"]["hopped_in"] == rows["training"]["hopped_out"] == 0
    with proxy.console() as console:
        assert {row["class"]: row["hops"] for row in console.show("CLASSES")}["vector"] == 1


def test_statement_that_finds_no_permit_stays_and_tries_again(start, cluster):
    proxy = start(lanes={"default": 2}, sections=hops("100ms"))
    holder = begin(proxy, "training")
    with Gate(cluster, 2) as gate, proxy.client() as slow, proxy.client() as clock:
        slow.send(wire.query(statement("vector", gate.sql("slow"))))
        system.eventually(lambda: in_use(proxy).get("vector") == 1)
        clock.query("SELECT pg_sleep(0.8)")
        assert in_use(proxy) == {"vector": 1, "training": 1}
        assert lanes(proxy)["vector"]["hopped_out"] == 0
        end(holder)
        system.eventually(lambda: in_use(proxy) == {"training": 1}, what="the hop")
        gate.open()
        assert slow.result().value == "slow"


def test_hopped_statement_has_the_timeout_of_its_new_lane_from_its_start(start):
    proxy = start(lanes={"default": 2}, sections=hops("1500ms", training={"statement_timeout": "1800ms"}))
    with proxy.client() as client:
        late = client.query(statement("vector", "SELECT pg_sleep(60)"))
        assert late.sqlstate == "57014" and late.status == "I"
        detail = late.errors[0].fields["D"]
        assert "Class vector, lane training: the limit is 1800 ms" in detail, detail
        assert int(re.search(r"ran for (\d+) ms", detail)[1]) < 1500 + 1800, "it is not counted from the hop"
        assert client.query("SELECT 1").value == "1"
    assert lanes(proxy)["vector"]["hopped_out"] == 1


def test_hopped_statement_outlives_the_limit_of_its_old_lane(start):
    proxy = start(lanes={"default": 2}, sections=hops("100ms", statement_timeout="400ms"))
    with proxy.client() as client:
        assert client.query(statement("vector", "SELECT 'slept' FROM pg_sleep(1)")).value == "slept"
        holder = begin(proxy, "training")
        late = client.query(statement("vector", "SELECT pg_sleep(60)"))
        assert late.sqlstate == "57014", "without a permit to hop to, its own lane's limit holds"
        assert "lane vector: the limit is 400 ms" in late.errors[0].fields["D"]
        end(holder)


def test_hop_over_the_extended_protocol(start):
    proxy = start(lanes={"default": 2}, sections=hops("100ms", statement_timeout="400ms"))
    with proxy.client() as client:
        assert client.extended(statement("vector", "SELECT 'slept' FROM pg_sleep($1)"), ["1"]).value == "slept"
    assert lanes(proxy)["training"]["hopped_in"] == 1


def test_permit_stays_in_the_new_lane_until_the_transaction_ends(start):
    proxy = start(lanes={"default": 2}, sections=hops("100ms"))
    with proxy.client() as client:
        client.query("BEGIN")
        client.query(statement("vector", "SELECT pg_sleep(0.5)"))
        assert in_use(proxy) == {"training": 1}
        client.query(statement("vector", "SELECT 1"))
        assert in_use(proxy) == {"training": 1}
        client.query("COMMIT")
        client.query("BEGIN")
        client.query(statement("vector", "SELECT 1"))
        assert in_use(proxy) == {"vector": 1}, "the next one begins in its own lane"
        client.query("COMMIT")


def test_client_that_leaves_a_hopped_statement_gives_the_permit_back(start, cluster):
    proxy = start(lanes={"default": 2}, sections=hops("100ms"))
    with proxy.client() as client:
        client.send(wire.query(statement("vector", "SELECT pg_sleep(60)")))
        system.eventually(lambda: in_use(proxy) == {"training": 1})
    system.eventually(lambda: not in_use(proxy), what="the permit's return")
    assert not cluster.backends("state = 'active' AND query LIKE '%pg_sleep(60)%'")


def test_sessions_do_not_hop(start):
    """In session pooling the permit is the session's."""
    proxy = start(lanes={"default": 2}, pool_mode="session", sections=hops("100ms"))
    with proxy.client(options="-c pglane.class=vector") as client:
        client.query("SELECT pg_sleep(0.5)")
        assert in_use(proxy) == {"vector": 1}
    assert lanes(proxy)["vector"]["hopped_out"] == 0


def test_spilled_statement_hops_out_of_the_lane_it_spilled_to(start, cluster):
    proxy = start(lanes={"default": 2}, sections=spills(2, hop_after="200ms", hop_to="training"))
    one = begin(proxy, "hybrid")
    with Gate(cluster, 3) as gate, proxy.client() as slow:
        slow.send(wire.query(statement("hybrid", gate.sql("slow"))))
        system.eventually(lambda: in_use(proxy) == {"ml": 1, "training": 1})
        gate.open()
        assert slow.result().value == "slow"
    end(one)
    rows = lanes(proxy)
    assert rows["ml"]["spilled_out"] == rows["ml"]["hopped_out"] == 1


# ---- both, under load ----


MIXTURE = ("default", "hybrid", "serving", "vector", "training")


def worker(proxy, i):
    """Statements of all classes, the hybrid ones in excess, the vector ones long enough to hop; each must be answered rightly."""
    def work(stop):
        with proxy.client(timeout_s=120) as client:
            n = 0
            while not stop.is_set():
                n += 1
                query_class = "hybrid" if i % 2 else MIXTURE[(i + n) % len(MIXTURE)]
                seconds = 0.1 if query_class == "vector" else 0.005
                result = client.query(statement(query_class, f"SELECT {n} FROM pg_sleep({seconds})"))
                assert not result.errors, result.errors[0].fields
                assert result.value == str(n)
    return work


def budget_watch(cluster, limit):
    """Asks Postgres how many connections there are, all the time; more than limit is a failure."""
    cluster.end_backends()
    connection = cluster.connect()

    def watch(stop):
        with connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("""SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
                                  AND application_name <> 'direct'""")
                assert cursor.fetchone()[0] <= limit
        connection.close()

    return watch


def test_spill_and_hop_under_load(start, cluster):
    watch = budget_watch(cluster, 11)
    proxy = start(lanes={"default": 6, "training": 2}, queue_timeout=120, sections={**spills(4), **hops("20ms")})
    with Background(watch, *(worker(proxy, i) for i in range(scaled(24, 12)))):
        def moved():
            rows = lanes(proxy)
            assert all(row["in_use"] <= row["permits"] for row in rows.values())
            return rows["ml"]["spilled_out"] >= scaled(200, 20) and rows["vector"]["hopped_out"] >= scaled(10, 3)
        system.eventually(moved, 60, "enough of moves")
    system.eventually(lambda: not in_use(proxy), what="every permit's return")
    rows = lanes(proxy)
    for what in ("spilled", "hopped"):
        assert sum(row[f"{what}_in"] for row in rows.values()) == sum(row[f"{what}_out"] for row in rows.values())


def test_reload_takes_spill_and_hop_away_and_shrinks_lanes_under_load(start, cluster):
    watch = budget_watch(cluster, 11)
    proxy = start(lanes={"default": 6, "training": 2}, queue_timeout=120, sections={**spills(4), **hops("20ms")})
    shapes = [
        ({"default": 2}, {"lane:ml": {"spill": ""}}),
        ({"default": 4, "training": 1}, hops("20ms")),
        ({"default": 3, "ml": 2, "training": 2}, {**spills(1), **hops("50ms")}),
        ({"default": 6, "training": 2}, {**spills(4), **hops("20ms")}),
    ]
    with Background(watch, *(worker(proxy, i) for i in range(scaled(24, 12)))):
        for sizes, sections in shapes * scaled(3, 1):
            permits = {"ml": 1, "vector": 1, "training": 1, "priority": 1, **sizes}
            spills_at_all = sections.get("lane:ml", {}).get("spill")
            proxy.lanes, proxy.sections = sizes, sections
            proxy.write(budget=sum(permits.values()))
            proxy.reload()
            before = lanes(proxy)
            assert {name: row["permits"] for name, row in before.items()} == permits, "the sizes are those of the file"
            # What is above its size only falls; and everybody goes on.
            system.eventually(lambda: all(row["in_use"] <= row["permits"] for row in lanes(proxy).values()), what="the debt's end")
            system.eventually(lambda: lanes(proxy)["ml"]["granted"] > before["ml"]["granted"] + 20, what="the traffic of lane ml")
            system.eventually(lambda: len(cluster.backends()) <= sum(permits.values()), what="the closing of what is above the new budget")
            if not spills_at_all:
                system.eventually(lambda: route_now(proxy, statement("hybrid", "SELECT 1")) == "wait", what="a moment when lane ml is full")
                assert lanes(proxy)["ml"]["spilled_out"] == before["ml"]["spilled_out"], "nothing spills where the file has no spill"
        rows = lanes(proxy)
        assert rows["ml"]["spilled_out"] > 0 and rows["vector"]["hopped_out"] > 0
    system.eventually(lambda: not in_use(proxy), what="every permit's return")


@pytest.mark.parametrize("sections, said", [
    ({"lane:ml": {"spill": "defualt:1"}}, "spill: there is no lane \"defualt\""),
    ({"lane:vector": {"hop_to": "training"}}, "hop_to: hop_after and hop_to belong together"),
])
def test_mistake_keeps_the_running_configuration(start, sections, said):
    proxy = start(lanes={"default": 2})
    proxy.sections = sections
    proxy.write()
    with pytest.raises(Exception, match=said):
        proxy.reload()
    assert proxy.run("SELECT 1") == [(1,)]
