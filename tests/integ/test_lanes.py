# SPDX-License-Identifier: ISC
"""Lanes: each class has its share, its queue and its clock, and Postgres never sees more connections than the budget."""

import re
import statistics
import time

import pytest

from harness import system, wire
from harness.traffic import Background, in_parallel, scaled

STATEMENTS = {
    "default": "SELECT 1",
    "vector": "/*ml_class='vector'*/ SELECT 1",
    "training": "/*ml_class='training'*/ SELECT 1",
    "hybrid": "/*ml_class='hybrid'*/ SELECT 1",
    "serving": "/*ml_class='serving'*/ SELECT 1",
}
LANE_OF = {"default": "default", "vector": "vector", "training": "training", "hybrid": "ml", "serving": "ml"}


def in_use(proxy):
    with proxy.console() as console:
        return {row["lane"]: row["in_use"] for row in console.show("LANES")}


def waiting(proxy):
    with proxy.console() as console:
        return {row["lane"]: row["waiting"] for row in console.show("LANES")}


class Holder:
    """A client inside a transaction: it holds a permit of the class's lane until the block ends."""

    def __init__(self, proxy, query_class="default", **kwargs):
        self.client = proxy.client(**kwargs)
        self.client.query("BEGIN")
        result = self.client.query(STATEMENTS[query_class])
        assert result.value == "1"

    def __enter__(self):
        return self.client

    def __exit__(self, *exc):
        self.close()

    def close(self):
        if self.client:
            self.client.send(wire.query("ROLLBACK"))
            self.client.result()
            self.client.close()
            self.client = None


@pytest.mark.parametrize("query_class", STATEMENTS)
def test_each_class_takes_a_permit_of_its_lane(start, query_class):
    proxy = start()
    with Holder(proxy, query_class):
        assert {lane: n for lane, n in in_use(proxy).items() if n} == {LANE_OF[query_class]: 1}
    system.eventually(lambda: not any(in_use(proxy).values()), what="the permit's return")


REAL_STATEMENTS = [
    ("SELECT n FROM lane_items ORDER BY embedding <=> '[1,2,3]'::lane_vector LIMIT 1", "vector"),
    ("COPY (SELECT * FROM service_events) TO STDOUT", "training"),
    ("SELECT features FROM ml_feature_store WHERE entity_id = 1", "ml"),
    ("SELECT * FROM service_events e JOIN ml_vector_metadata m ON m.entity_id = e.id"
     " WHERE ST_DWithin(e.location, ST_MakePoint(13.4, 52.5)::geography, 500)", "ml"),
    ("SELECT * FROM service_events ORDER BY location <-> ST_MakePoint(1, 2)::geography LIMIT 1", "default"),
    ("SELECT count(*) FROM service_events", "default"),
]


@pytest.fixture(scope="module")
def tables(cluster):
    """Just enough for REAL_STATEMENTS to be answered or refused by Postgres; their class does not depend on it."""
    cluster.run("""CREATE TABLE IF NOT EXISTS service_events (id int, location geography);
                   CREATE TABLE IF NOT EXISTS ml_feature_store (entity_id int, features jsonb);
                   CREATE TABLE IF NOT EXISTS ml_vector_metadata (entity_id int);
                   GRANT ALL ON service_events, ml_feature_store, ml_vector_metadata TO PUBLIC""", "app")
    yield
    cluster.run("DROP TABLE service_events, ml_feature_store, ml_vector_metadata", "app")


@pytest.mark.parametrize("sql, lane", REAL_STATEMENTS)
def test_statements_are_routed_by_what_they_do(start, tables, sql, lane):
    """In a transaction, where the permit stays after the statement: failed or not, the lane is that of the statement."""
    proxy = start()
    with proxy.client() as client:
        client.query("BEGIN")
        client.query(sql)
        assert {name: n for name, n in in_use(proxy).items() if n} == {lane: 1}
        client.query("ROLLBACK")


def test_neutral_statements_do_not_decide_the_lane(start):
    proxy = start()
    with proxy.client() as client:
        client.query("BEGIN")
        client.query("SET LOCAL work_mem = '8MB'")
        client.query(STATEMENTS["vector"])
        assert {name: n for name, n in in_use(proxy).items() if n} == {"vector": 1}
        assert client.query("SHOW work_mem").value == "8MB"
        client.query("COMMIT")


def test_session_setting_at_startup_decides(start):
    proxy = start()
    with proxy.client(options="-c pglane.class=training") as client:
        client.query("BEGIN")
        client.query("SELECT 1")
        assert in_use(proxy)["training"] == 1
        client.query("COMMIT")


def test_session_setting_by_set_decides(start):
    proxy = start()
    with proxy.client() as client:
        client.query("SET pglane.class = 'vector'")
        client.query("BEGIN")
        client.query("SELECT 1")
        assert in_use(proxy)["vector"] == 1
        client.query("COMMIT")
        client.query("RESET pglane.class")
        client.query("BEGIN")
        client.query("SELECT 1")
        assert in_use(proxy)["default"] == 1
        client.query("COMMIT")


def test_full_lane_does_not_stop_others(start):
    proxy = start(lanes={"default": 1, "training": 1})
    with Holder(proxy, "training"), proxy.client() as starved, proxy.client() as client:
        starved.send(wire.query(STATEMENTS["training"]))
        system.eventually(lambda: waiting(proxy)["training"] == 1)
        for _ in range(10):
            assert client.query(STATEMENTS["default"]).value == "1"
            assert client.query(STATEMENTS["vector"]).value == "1"
        assert waiting(proxy)["training"] == 1
    assert proxy.run("SELECT 1") == [(1,)]


def test_waiters_are_served_in_order(start):
    proxy = start(lanes={"default": 1})
    proxy.run("CREATE TABLE IF NOT EXISTS lane_order (n serial, who int); TRUNCATE lane_order RESTART IDENTITY")
    holder = Holder(proxy)
    clients = []
    for i in range(10):
        clients.append(proxy.client())
        clients[-1].send(wire.query(f"INSERT INTO lane_order (who) VALUES ({i})"))
        system.eventually(lambda: waiting(proxy)["default"] == len(clients))
    holder.close()
    for client in clients:
        assert client.result().tags == ["INSERT 0 1"]
        client.close()
    assert proxy.run("SELECT who FROM lane_order ORDER BY n") == [(i,) for i in range(10)]


def test_urgent_statement_of_a_full_lane_uses_the_priority_lane(start):
    proxy = start(lanes={"default": 1, "priority": 1})
    with Holder(proxy), proxy.client() as usual, proxy.client() as urgent:
        usual.send(wire.query("/*ml_priority='7'*/ SELECT 'usual'"))
        system.eventually(lambda: waiting(proxy)["default"] == 1)
        assert urgent.query("/*ml_priority='8'*/ SELECT 'urgent'").value == "urgent"
        assert waiting(proxy)["default"] == 1, "7 is not urgent"


def test_priority_order_within_a_lane(start):
    proxy = start(lanes={"default": 1, "priority": 1})
    proxy.run("CREATE TABLE IF NOT EXISTS lane_priority (n serial, who int); TRUNCATE lane_priority RESTART IDENTITY")
    holder = Holder(proxy)
    clients = []
    for priority in (1, 5, 3, 7, 5, 2):
        clients.append(proxy.client())
        clients[-1].send(wire.query(f"/*ml_priority='{priority}'*/ INSERT INTO lane_priority (who) VALUES ({priority})"))
        system.eventually(lambda: waiting(proxy)["default"] == len(clients))
    holder.close()
    for client in clients:
        assert client.result().tags == ["INSERT 0 1"]
        client.close()
    assert [who for who, in proxy.run("SELECT who FROM lane_priority ORDER BY n")] == [7, 5, 5, 3, 2, 1]


def test_low_priority_is_served_within_a_bound(start):
    """Statements of priority 7 keep the lane busy without a break; one of priority 1 has its turn after six steps of aging."""
    proxy = start(lanes={"default": 1}, priority_aging="200ms", queue_timeout=60)

    def flood(stop):
        with proxy.client() as client:
            while not stop.is_set():
                assert client.query("/*ml_priority='7'*/ SELECT 'high' FROM pg_sleep(0.02)").value == "high"

    with Background(*[flood] * 4), proxy.client() as low:
        system.eventually(lambda: waiting(proxy)["default"] >= 2)
        begin = time.monotonic()
        assert low.query("/*ml_priority='1'*/ SELECT 'low'").value == "low"
        waited_s = time.monotonic() - begin
        assert waiting(proxy)["default"] >= 1, "the flood goes on"
    assert 1 < waited_s < 8, waited_s


def test_queue_timeout(start):
    proxy = start(lanes={"default": 1}, queue_timeout="300ms")
    with Holder(proxy) as holder, proxy.client() as client:
        refused = client.query("SELECT 1")
        assert refused.sqlstate == "53300" and refused.status == "I"
        assert "default" in refused.errors[0].fields.get("D", "") + refused.errors[0].fields["M"]
        assert holder.query("SELECT 1").value == "1"
        waited = client.extended("SELECT 1")
        assert waited.sqlstate == "53300" and waited.kinds == "EZ"
    with proxy.client() as client:
        assert client.query("SELECT 1").value == "1"


def test_queue_timeout_of_the_first_statement_of_a_transaction(start):
    """BEGIN was answered locally; when its statement gets no permit the transaction has failed, as after any error."""
    proxy = start(lanes={"default": 1}, queue_timeout="200ms")
    with Holder(proxy), proxy.client() as client:
        assert client.query("BEGIN").status == "T"
        refused = client.query("SELECT 1")
        assert refused.sqlstate == "53300" and refused.status == "E"
        assert client.query("SELECT 1").sqlstate == "25P02"
        ended = client.query("COMMIT")
        assert ended.status == "I" and ended.tags == ["ROLLBACK"]
        assert client.query("BEGIN").status == "T"
        assert client.query("ROLLBACK").status == "I"


def test_full_queue_refuses_at_once(start):
    proxy = start(lanes={"default": 1}, sections={"lane:default": {"max_waiting": 2}})
    with Holder(proxy), proxy.client() as one, proxy.client() as two, proxy.client() as three:
        for n, client in enumerate((one, two)):
            client.send(wire.query("SELECT 1"))
            system.eventually(lambda: waiting(proxy)["default"] == n + 1)
        took_s = []
        for _ in range(9):
            begin = time.monotonic()
            refused = three.query("SELECT 1")
            took_s.append(time.monotonic() - begin)
            assert refused.sqlstate == "53300" and refused.status == "I"
        assert statistics.median(took_s) < 0.3, f"it is refused when it asks, and not after a while: {took_s}"
        assert three.query(STATEMENTS["vector"]).value == "1"


def refusal_of(proxy, query_class):
    """What a newcomer is told while one client waits, that being all who may."""
    with proxy.client() as waiter, proxy.client() as client:
        waiter.send(wire.query(STATEMENTS[query_class]))
        system.eventually(lambda: waiting(proxy)[LANE_OF[query_class]] == 1)
        refused = client.query(STATEMENTS[query_class])
        assert refused.sqlstate == "53300"
        return refused.errors[0].fields["D"]


def test_refusal_tells_the_estimated_wait(start):
    """Two have to end before a newcomer's turn: the holder and the waiter."""
    proxy = start(lanes={"default": 5}, sections={"lane:vector": {"permits": 1, "max_waiting": 1}})
    with proxy.client() as holder:
        holder.query("BEGIN")
        assert holder.query(STATEMENTS["vector"]).value == "1"
        assert refusal_of(proxy, "vector") == ("Lane vector: 1 permit, 1 in use, 1 waiting; this statement waited 0 ms;"
                                               " estimated wait of a new one: unknown, none ended yet.")
        holder.query("ROLLBACK")
    proxy.stop_only()
    proxy.start()
    with proxy.client() as holder:
        begin = time.monotonic()
        assert holder.query("/*ml_class='vector'*/ SELECT pg_sleep(0.4)").rows
        most_ms = (time.monotonic() - begin) * 1000
        holder.query("BEGIN")
        assert holder.query(STATEMENTS["vector"]).value == "1"
        said = re.fullmatch(r".* estimated wait of a new one: (\d+) ms\.", refusal_of(proxy, "vector"))
        assert 2 * 390 <= int(said.group(1)) <= 2 * most_ms + 10
        holder.query("ROLLBACK")


def test_lane_timeout(start, cluster):
    proxy = start(sections={"lane:vector": {"permits": 15, "classes": "vector", "statement_timeout": "300ms"}})
    with proxy.client() as client:
        late = client.query("/*ml_class='vector'*/ SELECT pg_sleep(60)")
        assert late.sqlstate == "57014" and late.status == "I"
        fields = late.errors[0].fields
        assert fields["M"] == "canceling statement due to lane timeout"
        detail = fields["D"]
        assert "vector" in detail and "300" in detail.replace("0.3", "300"), detail
        assert client.query("SELECT 1").value == "1"
        assert client.query("SELECT pg_sleep(0.5)").rows, "another lane has another limit"
    assert not cluster.backends("state = 'active' AND query LIKE '%pg_sleep(60)%'")


def test_lane_timeout_in_a_transaction_keeps_the_connection(start):
    proxy = start(sections={"lane:vector": {"permits": 15, "classes": "vector", "statement_timeout": "200ms"}})
    with proxy.client() as client:
        client.query("BEGIN")
        late = client.query("/*ml_class='vector'*/ SELECT pg_sleep(60)")
        assert late.sqlstate == "57014" and late.status == "E"
        assert client.query("ROLLBACK").status == "I"
        assert client.query("SELECT 1").value == "1"


def test_lane_timeout_over_the_extended_protocol(start):
    proxy = start(sections={"lane:vector": {"permits": 15, "classes": "vector", "statement_timeout": "200ms"}})
    with proxy.client() as client:
        late = client.extended("/*ml_class='vector'*/ SELECT pg_sleep($1)", ["60"])
        assert late.sqlstate == "57014" and late.status == "I"
        assert client.extended("SELECT 1").value == "1"


def test_server_that_does_not_answer_the_cancel_is_closed(start, cluster):
    """A statement that cannot be cancelled: after cancel_grace its server is given up, the permit comes back, the client is told."""
    cluster.run("""CREATE OR REPLACE FUNCTION deaf(seconds float8) RETURNS void LANGUAGE plpgsql AS $$
                   DECLARE until timestamptz := clock_timestamp() + make_interval(secs => seconds);
                   BEGIN WHILE clock_timestamp() < until LOOP
                   BEGIN PERFORM pg_sleep(0.05); EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$""", "app")
    proxy = start(cancel_grace="300ms", sections={"lane:vector": {"permits": 15, "classes": "vector", "statement_timeout": "200ms"}})
    with proxy.client() as client:
        client.send(wire.query("/*ml_class='vector'*/ SELECT deaf(20)"))
        kind, body = client.receive_until("ZE")[-1]
        assert kind == "E" and wire.ServerError(wire.error_fields(body)).sqlstate in ("57014", "08006")
    system.eventually(lambda: in_use(proxy)["vector"] == 0, what="the permit's return")
    assert proxy.run("SELECT 1") == [(1,)]
    # At its own end pglane would wait for this server for a while, its slot being taken as long as PostgreSQL counts it.
    cluster.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%deaf(20)%' AND pid <> pg_backend_pid()")


def budget_watch(cluster):
    """(watch function for Background, list with the most connections seen). Begins when earlier tests' connections are gone."""
    seen = [0]
    cluster.end_backends()
    connection = cluster.connect()

    def watch(stop):
        with connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("""SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
                                  AND application_name <> 'direct'""")
                seen[0] = max(seen[0], cursor.fetchone()[0])
        connection.close()

    return watch, seen


def test_budget_of_180_is_never_exceeded(start, cluster):
    """The default lanes; 300 clients of two users and two databases want servers at once, all classes, while idle ones must be closed for others."""
    proxy = start(queue_timeout=120, max_client_conn=1000, listen_backlog=1024)
    users, databases, classes = ("app", "u_other"), ("app", "other"), list(STATEMENTS)
    watch, seen = budget_watch(cluster)
    clients = [proxy.client(user=users[i % 2], database=databases[i // 2 % 2], timeout_s=180) for i in range(300)]
    rounds = scaled(6, 1)
    try:
        with Background(watch):
            for round_ in range(rounds):
                for i, client in enumerate(clients):
                    comment = STATEMENTS[classes[(i + round_) % 5]].replace("SELECT 1", "").strip()
                    client.send(wire.query(f"{comment} SELECT {i}, pg_sleep(0.1)"))
                for i, client in enumerate(clients):
                    result = client.result()
                    assert not result.errors, result.errors[0]
                    assert result.rows[0][0] == str(i).encode()
    finally:
        for client in clients:
            client.close()
    assert 100 < seen[0] <= 180, f"at most {seen[0]} connections were seen"


def test_small_budget_is_shared_by_pools(start, cluster):
    """Six servers, two of them for this class, for four pools: idle servers of one are closed for another, and no one starves:
    three pools ask without end, and the fourth is served all the same, each time."""
    watch, seen = budget_watch(cluster)
    proxy = start(lanes={"default": 2})
    pools = [(user, database) for user in ("app", "u_other") for database in ("app", "other")]
    served = [0] * len(pools)

    def ask(client, i):
        user, database = pools[i]
        n = served[i]
        assert client.query(f"SELECT current_user || current_database() || {n} FROM pg_sleep(0.01)").value == f"{user}{database}{n}"
        served[i] += 1

    def flood(i):
        def work(stop):
            with proxy.client(user=pools[i][0], database=pools[i][1]) as client:
                while not stop.is_set():
                    ask(client, i)
        return work

    took_s = []
    with Background(watch, *(flood(i) for i in range(3) for _ in range(4))):
        with proxy.client(user=pools[3][0], database=pools[3][1]) as client:
            system.eventually(lambda: all(served[:3]), what="the flood")
            for _ in range(scaled(30, 8)):
                begin = time.monotonic()
                ask(client, 3)
                took_s.append(time.monotonic() - begin)
                was = sum(served[:3])
                system.eventually(lambda: sum(served[:3]) > was + 6, what="the flood's going on")
    assert statistics.median(took_s) < 0.5 and max(took_s) < 5, took_s
    assert seen[0] <= 6


def test_connection_storm_of_new_clients(start, cluster):
    """Each with its own connection for one statement: servers are reused, not opened and closed."""
    proxy = start(lanes={"default": 3})

    def work(i):
        for _ in range(scaled(10, 3)):
            with proxy.client() as client:
                assert client.query("SELECT 1").value == "1"

    in_parallel(20, work)
    assert len(cluster.backends("datname = 'app'")) <= 7


def test_explain_route(start):
    proxy = start()
    with proxy.console() as console:
        rows = console.run("EXPLAIN ROUTE SELECT id FROM items ORDER BY embedding <=> '[1,2]' LIMIT 5")
    said = " ".join(str(value) for row in rows for value in [*row.keys(), *row.values()])
    assert "vector" in said


@pytest.mark.parametrize("begin", ["BEGIN /*ml_class='training'*/", "BEGIN ISOLATION LEVEL SERIALIZABLE /*ml_class='training'*/",
                                   "/*ml_class='training'*/ START TRANSACTION READ WRITE"])
@pytest.mark.parametrize("ask", [lambda client, sql: client.query(sql), lambda client, sql: client.extended(sql)], ids=["simple", "extended"])
def test_annotation_on_begin_decides_the_whole_transaction(start, ask, begin):
    """Also on one that is sent ahead because it can fail by itself."""
    proxy = start()
    with proxy.client() as client:
        assert ask(client, begin).status == "T"
        assert ask(client, "SELECT 1").value == "1"
        assert {lane: n for lane, n in in_use(proxy).items() if n} == {"training": 1}
        assert ask(client, "COMMIT").status == "I"
        client.query("BEGIN")
        client.query("SELECT 1")
        assert {lane: n for lane, n in in_use(proxy).items() if n} == {"default": 1}
