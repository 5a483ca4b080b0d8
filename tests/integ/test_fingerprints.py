# SPDX-License-Identifier: ISC
"""Statements by fingerprint: what is counted of each, what is learned of it, and what that never overrides."""

import psycopg2
import pytest

from harness import system, wire
from harness.traffic import Background, in_parallel, memory_limit, scaled
from harness.wire import FLUSH, SYNC, bind, describe, execute, parse, query

BULK = "SELECT g FROM generate_series(1, {n}) g WHERE g > {above}"
LATE_S = 0.12
HOPS = {"lane:default": {"hop_after": "100ms", "hop_to": "training"}}
TIMES = ["lt_1ms", "lt_10ms", "lt_100ms", "lt_1s", "lt_10s", "ge_10s"]
LEARN_HEAVY, FORGET_LIGHT = 4, 8


def detecting(start, **settings):
    """Rows of more than 100 teach."""
    return start(**{"workload_detection": "on", "bulk_rows": 100, **settings})


def shown(proxy, *filters):
    with proxy.console() as console:
        return console.run(" ".join(("SHOW FINGERPRINTS", *map(str, filters))))


def one(proxy, *filters):
    rows = shown(proxy, *filters)
    assert len(rows) == 1, rows
    return rows[0]


def of(proxy, text):
    """The row of the statement whose text begins so."""
    rows = [row for row in shown(proxy) if row["query"].startswith(text)]
    assert len(rows) == 1, (text, rows)
    return rows[0]


def route(proxy, sql):
    with proxy.console() as console:
        return {row["key"]: row["value"] for row in console.run(f"EXPLAIN ROUTE {sql}")}


def row_bytes(result):
    return sum(len(body) + 5 for kind, body in result.messages if kind in "Dd")


def bulk(client, n=200, above=0):
    result = client.query(BULK.format(n=n, above=above))
    assert not result.errors
    return result


def learn_by_rows(client):
    for _ in range(LEARN_HEAVY):
        bulk(client)


# ---- what is counted ----


def test_nothing_is_counted_unless_it_is_asked_for(start):
    proxy = start()
    with proxy.client() as client, proxy.client(database="pglane") as console:
        client.query("SELECT 1")
        result = console.query("SHOW FINGERPRINTS")
        assert result.rows == [] and result.notices[0]["M"] == "no statement is counted"
        assert "workload_detection" in result.notices[0]["H"]


def test_calls_rows_bytes_and_times(start):
    proxy = detecting(start)
    with proxy.client() as client:
        n_bytes = sum(row_bytes(bulk(client, n)) for n in (3, 5, 7))
        client.query("SELECT pg_sleep(0.02)")
    row = of(proxy, "SELECT g")
    assert (row["calls"], row["rows"], row["bytes"]) == (3, 15, n_bytes)
    assert (row["database"], row["user"], row["class"], row["chosen"]) == ("app", "app", "default", "default")
    assert row["mean_us"] == row["total_us"] // 3 and row["max_us"] <= row["total_us"]
    assert sum(row[name] for name in TIMES) == 3
    assert row["query"] == "SELECT g FROM generate_series(?, ...) g WHERE g > ?"
    late = of(proxy, "SELECT pg_sleep")
    assert late["total_us"] >= 20000 and late["lt_1ms"] == late["lt_10ms"] == 0
    totals = [row["total_us"] for row in shown(proxy)]
    assert totals == sorted(totals, reverse=True), "the ones that took most time are first"


def test_one_fingerprint_in_every_protocol(start):
    """Simple, extended, prepared, pipelined; with other constants, another layout, a comment."""
    proxy = detecting(start)
    with proxy.client() as client:
        assert client.query("SELECT 1 + 2, 'simple'").rows
        assert client.query("select 7+8  ,'other' /* a comment */;").rows
        assert client.extended("SELECT $1 + 2, $2::text", ("4", "x"), types=(23, 25)).rows
        client.query("SELECT 1 + 2, 'x'::text")
        client.exchange(parse("s", "SELECT 3 + 4, 'prepared'"))
        for _ in range(3):
            assert client.exchange(bind("", "s"), execute()).rows
        client.send(*(part for _ in range(5) for part in (bind("", "s"), execute())), SYNC)
        assert len(client.result().rows) == 5
        client.send(*(part for _ in range(2) for part in (bind("", "s"), execute(), SYNC)), query("SELECT 5 + 6, 'x'"))
        assert [len(client.result().rows) for _ in range(3)] == [1, 1, 1]
    rows = {row["query"]: row["calls"] for row in shown(proxy)}
    assert sorted(rows.values()) == [2, 13], rows


def test_pipeline_counts_each_statement_by_itself(start):
    proxy = detecting(start)
    with proxy.client() as client:
        client.send(parse("", "SELECT g FROM generate_series(1, 10) g"), bind("", ""), execute(), parse("", "SELECT 'one'"), bind("", ""), execute(),
                    parse("", "SELECT 1 / $1::int", (23,)), bind("", "", ("0",)), execute(),
                    parse("", "SELECT 'never'"), bind("", ""), execute(), SYNC)
        result = client.result()
        assert len(result.rows) == 11 and result.sqlstate == "22012"
    assert (of(proxy, "SELECT g")["rows"], of(proxy, "SELECT ? /")["errors"]) == (10, 1)
    assert not [row for row in shown(proxy) if row["errors"] and "/" not in row["query"]], "what was skipped did not run"
    assert [row["calls"] for row in shown(proxy) if row["query"] == "SELECT ?"] == [1]


def test_pipeline_shares_its_time_out(start):
    """A statement's time begins when the one before it ended; none passes while the client thinks."""
    proxy = detecting(start)
    with proxy.client() as client:
        client.exchange(parse("", "SELECT pg_sleep(0.2)"), bind("", ""), execute(), parse("", "SELECT 'behind'"), bind("", ""), execute())
        client.send(parse("s", "SELECT 1 AS thought"), bind("", "s"), execute(), FLUSH)
        assert client.receive_until("C")
        assert proxy.run("SELECT pg_sleep(0.3) AS other")
        assert client.exchange(bind("", "s"), execute()).rows
    rows = {row["query"]: row for row in shown(proxy)}
    assert rows["SELECT pg_sleep(?)"]["total_us"] >= 200000 > rows["SELECT ?"]["total_us"]
    assert rows["SELECT ? AS thought"]["total_us"] < 300000


def test_errors_of_parse_and_of_bind_are_of_their_statement(start):
    proxy = detecting(start)
    with proxy.client() as client:
        assert client.extended("SELECT no_such_column").sqlstate == "42703"
        assert client.exchange(parse("s", "SELECT $1::int"), bind("", "s", ("word",)), execute()).sqlstate == "22P02"
        assert client.query("SELECT no_such_thing").sqlstate == "42703"
    assert (of(proxy, "SELECT no_such_column")["errors"], of(proxy, "SELECT $1")["errors"], of(proxy, "SELECT no_such_thing")["errors"]) == (1, 1, 1)


def test_named_portals(start):
    """An Execute is of the statement that its portal was bound to, whatever was bound in between; a portal's rows are of one run."""
    proxy = detecting(start)
    with proxy.client() as client:
        client.query("BEGIN")
        client.exchange(parse("s", "SELECT g FROM generate_series(1, 50) g"), bind("p", "s"), execute("p", 20))
        client.exchange(parse("", "SELECT 'between'"), bind("", ""), execute())
        client.exchange(execute("p", 20))
        assert len(client.exchange(execute("p", 20)).rows) == 10
        client.exchange(bind("q", "s"), execute("q", 5))
        client.query("COMMIT")
    row = of(proxy, "SELECT g")
    assert (row["calls"], row["rows"]) == (2, 55)
    assert of(proxy, "SELECT ?")["calls"] == 1


@pytest.mark.parametrize("extended", [False, True])
def test_cursor_is_one_run(start, extended):
    """What is fetched from a cursor is of its DECLARE; a FETCH by itself is a statement like any other."""
    proxy = detecting(start)
    with proxy.client() as client:
        run = client.extended if extended else client.query
        client.query("BEGIN")
        run("DECLARE c CURSOR FOR SELECT g FROM generate_series(1, 50) g")
        sizes = [len(run("FETCH 20 FROM c").rows) for _ in range(4)]
        assert sizes == [20, 20, 10, 0]
        client.query("COMMIT")
    row = of(proxy, "DECLARE")
    assert (row["calls"], row["rows"]) == (1, 50)
    assert len(shown(proxy)) == 1, "FETCH has no row of its own"


def test_fetch_from_a_cursor_that_nobody_declared_here(start):
    """WITH HOLD, of a transaction before; also while a portal is open: it is a statement like any other."""
    proxy = detecting(start)
    with proxy.client() as client:
        client.query("BEGIN")
        client.query("DECLARE c CURSOR WITH HOLD FOR SELECT g FROM generate_series(1, 50) g")
        assert len(client.query("FETCH 10 FROM c").rows) == 10
        client.query("COMMIT")
        client.query("BEGIN")
        client.exchange(parse("", "SELECT h FROM generate_series(1, 50) h"), bind("p", ""), execute("p", 20))
        assert len(client.query("FETCH 5 FROM c").rows) == 5
        client.query("COMMIT")
    rows = {row["query"].split(" ")[0]: (row["calls"], row["rows"]) for row in shown(proxy)}
    assert rows == {"DECLARE": (1, 10), "SELECT": (1, 20), "FETCH": (1, 5)}


def test_copy_and_writes(start, cluster):
    cluster.run("CREATE TABLE fingerprints_t (a int); GRANT ALL ON fingerprints_t TO app", "app")
    proxy = detecting(start)
    with proxy.client() as client:
        client.query("INSERT INTO fingerprints_t SELECT generate_series(1, 30)")
        client.extended("UPDATE fingerprints_t SET a = a + 1 WHERE a <= 12")
        out = client.query("COPY fingerprints_t TO STDOUT")
        client.send(query("COPY fingerprints_t FROM STDIN"))
        client.receive_until("G")
        client.send(wire.copy_data(b"1\n2\n3\n"), wire.COPY_DONE)
        assert client.result().tags == ["COPY 3"]
    cluster.run("DROP TABLE fingerprints_t", "app")
    rows = {row["query"].split(" ")[0] + row["query"].split(" ")[2]: row for row in shown(proxy)}
    assert (rows["INSERTfingerprints_t"]["rows"], rows["INSERTfingerprints_t"]["bytes"]) == (30, 0)
    assert rows["UPDATESET"]["rows"] == 12
    assert (rows["COPYTO"]["rows"], rows["COPYTO"]["bytes"]) == (30, row_bytes(out))
    assert (rows["COPYFROM"]["rows"], rows["COPYFROM"]["bytes"]) == (3, 0)


def test_rows_longer_than_any_buffer(start):
    proxy = detecting(start)
    with proxy.client() as client:
        result = client.query("SELECT repeat('x', 300000) FROM generate_series(1, 5)")
        assert len(result.rows) == 5
        other = client.extended("SELECT repeat('y', 200000), 2 FROM generate_series(1, 3)")
    assert (of(proxy, "SELECT repeat(?, ...) FROM")["rows"], of(proxy, "SELECT repeat(?, ...) FROM")["bytes"]) == (5, row_bytes(result))
    assert (of(proxy, "SELECT repeat(?, ...), ?")["rows"], of(proxy, "SELECT repeat(?, ...), ?")["bytes"]) == (3, row_bytes(other))


def test_neutral_statements_and_session_pooling_are_not_counted(start):
    proxy = detecting(start, databases={"whole": "{server} dbname=app pool_mode=session"})
    with proxy.client() as client, proxy.client(database="whole") as session:
        for sql in ("BEGIN", "SET LOCAL work_mem = '8MB'", "SHOW work_mem", "SAVEPOINT a", "COMMIT", "DISCARD ALL", ""):
            client.query(sql)
        session.query("SELECT 1")
        assert shown(proxy) == []


def test_timeouts_hops_and_lost_servers(start, cluster):
    proxy = detecting(start, sections={"lane:default": {"statement_timeout": "400ms"},
                                       "lane:vector": {"hop_after": "100ms", "hop_to": "training"}})
    with proxy.client() as client:
        assert client.query("SELECT pg_sleep(60)").sqlstate == "57014"
        assert not client.query("/*ml_class='vector'*/ SELECT 'hop', pg_sleep(0.3)").errors
        assert client.query("SELECT 'lost', pg_terminate_backend(pg_backend_pid())").errors
        assert client.query("SELECT 'alive'").value == "alive"
    late, hop = of(proxy, "SELECT pg_sleep"), of(proxy, "SELECT ?, pg_sleep")
    assert (late["timeouts"], late["errors"], late["hops"]) == (1, 1, 0)
    assert (hop["timeouts"], hop["errors"], hop["hops"], hop["class"], hop["chosen"]) == (0, 0, 1, "vector", "annotation")
    assert of(proxy, "SELECT ?, pg_terminate")["errors"] == 1


def test_batch_that_is_said_again_ran_once(start, cluster):
    """Its prepared statement was stale: neither an error nor another run is counted."""
    cluster.run("CREATE TABLE fingerprints_s (a int); GRANT ALL ON fingerprints_s TO app", "app")
    proxy = detecting(start, lanes={"default": 1}, workers=1)
    run = bind("", "s"), describe("P"), execute()
    with proxy.client() as client:
        assert client.exchange(parse("s", "SELECT * FROM fingerprints_s"), *run).columns
        cluster.run("ALTER TABLE fingerprints_s ADD b text", "app")
        assert len(client.exchange(*run).columns) == 2
    cluster.run("DROP TABLE fingerprints_s", "app")
    assert (one(proxy)["calls"], one(proxy)["errors"]) == (2, 0)


@pytest.mark.parametrize("extended", [False, True])
def test_client_that_leaves(start, extended):
    """What it ran has failed, once it is cancelled."""
    proxy = detecting(start)
    with proxy.client() as client:
        sql = "SELECT pg_sleep(60)"
        client.send(*((parse("", sql), bind("", ""), execute(), SYNC) if extended else (query(sql),)))
        system.eventually(lambda: of_lane(proxy, "default")["in_use"] == 1)
    system.eventually(lambda: len(shown(proxy)) == 1, what="the end of its statement")
    assert (one(proxy)["calls"], one(proxy)["errors"]) == (1, 1)


def test_secrets_are_not_shown(start):
    """Not in the console, not in the log, wherever literals end."""
    proxy = detecting(start)
    with proxy.client() as client:
        client.query("BEGIN")
        client.query("CREATE ROLE fingerprints_r PASSWORD 'sEcReT1'")
        client.query("ROLLBACK")
        client.query("SELECT $t$sEcReT2$t$, E'\\'sEcReT3', 'sEcReT4'\n'sEcReT5' -- sEcReT6")
        client.query("SELECT 'sEcReT7")
        client.query("SET standard_conforming_strings = off")
        client.query("SELECT 'it\\'s sEcReT8', 1")
        client.extended("SELECT 'it\\'s sEcReT9', 2, 3")
    rows = shown(proxy)
    assert len(rows) >= 4 and "sEcReT" not in str(rows), rows
    assert "CREATE ROLE fingerprints_r PASSWORD ?" in [row["query"] for row in rows]


def test_text_that_is_no_utf8(start):
    proxy = detecting(start)
    with proxy.client(client_encoding="LATIN1") as client:
        assert client.query(b'SELECT 1 FROM (SELECT 2) AS "caf\xe9"').rows
    assert one(proxy)["query"] == 'SELECT ? FROM (SELECT ?) AS "caf?"'


# ---- what is learned ----


def test_bulk_rows_are_learned(start):
    proxy = detecting(start)
    with proxy.client() as client:
        for _ in range(LEARN_HEAVY - 1):
            bulk(client)
        assert route(proxy, BULK.format(n=9, above=0))["class"] == "default"
        bulk(client, above=17)
        row = of(proxy, "SELECT g")
        assert (row["class"], row["chosen"], row["calls"]) == ("training", "learned", LEARN_HEAVY)
        found = route(proxy, BULK.format(n=9, above=0))
        assert (found["class"], found["lane"], found["rule"], found["learned_for"]) == ("training", "training", "learned", "app/app")
        assert found["fingerprint"] == row["id"]
        client.query("BEGIN")
        bulk(client)
        with proxy.console() as console:
            assert console.lane("training")["in_use"] == 1
        client.query("COMMIT")
        client.query("BEGIN")
        client.extended(BULK.format(n=200, above=1))
        with proxy.console() as console:
            assert console.lane("training")["in_use"] == 1, "the extended protocol, too"
        client.query("COMMIT")
    assert f"fingerprint {row['id']} of app@app is learned" in proxy.log_text()


def test_prepared_statements_go_where_was_learned(start):
    """Their class is kept since Parse, but what is learned later holds for the next Bind."""
    proxy = detecting(start)
    with proxy.client() as client:
        client.exchange(parse("s", BULK.format(n=200, above=0)))
        for _ in range(LEARN_HEAVY):
            client.exchange(bind("", "s"), execute())
        client.query("BEGIN")
        client.exchange(bind("", "s"), execute())
        with proxy.console() as console:
            assert console.lane("training")["in_use"] == 1
        client.query("COMMIT")
        with proxy.console() as console:
            console.run("RESET FINGERPRINT ALL")
        client.query("BEGIN")
        client.exchange(bind("", "s"), execute())
        with proxy.console() as console:
            assert (console.lane("training")["in_use"], console.lane("default")["in_use"]) == (0, 1)
        client.query("COMMIT")


def test_batch_behind_begin_goes_where_was_learned(start):
    proxy = detecting(start)
    with proxy.client() as client:
        learn_by_rows(client)
        client.exchange(parse("", "BEGIN"), bind("", ""), execute(), parse("", BULK.format(n=200, above=0)), bind("", ""), execute())
        with proxy.console() as console:
            assert console.lane("training")["in_use"] == 1
        client.query("COMMIT")


def test_long_runs_are_learned(start):
    proxy = detecting(start, sections=HOPS)
    sql = f"SELECT pg_sleep({LATE_S})"
    with proxy.client() as client:
        for _ in range(LEARN_HEAVY):
            assert route(proxy, sql)["class"] == "default"
            client.query(sql)
        assert route(proxy, sql)["rule"] == "learned"
        assert of(proxy, "SELECT pg_sleep")["hops"] >= LEARN_HEAVY - 1
        client.query(sql)
        with proxy.console() as console:
            assert console.lane("default")["hopped_out"] <= LEARN_HEAVY, "a learned one begins in training"


def test_cursor_of_many_rows_is_learned(start):
    proxy = detecting(start)
    sql = "DECLARE c CURSOR FOR SELECT g FROM generate_series(1, 150) g"
    with proxy.client() as client:
        for _ in range(LEARN_HEAVY):
            client.query("BEGIN")
            client.query(sql)
            for _ in range(3):
                assert len(client.query("FETCH 50 FROM c").rows) == 50
            client.query("COMMIT")
    assert route(proxy, sql)["rule"] == "learned"


def test_one_outlier_teaches_nothing(start):
    """Nor do as many as are needed, when short runs lie between them."""
    proxy = detecting(start, sections=HOPS)
    with proxy.client() as client:
        for _ in range(2 * LEARN_HEAVY):
            bulk(client)
            for _ in range(2):
                bulk(client, n=10)
    row = of(proxy, "SELECT g")
    assert (row["calls"], row["class"], row["chosen"]) == (6 * LEARN_HEAVY, "default", "default")


def test_what_a_lock_holds_up_is_one_event(start, cluster):
    """Many runs of a lookup that all wait for one lock, longer than hop_after: it stays what it is."""
    proxy = detecting(start, sections={"lane:default": {"permits": 40, "hop_after": "100ms", "hop_to": "training"},
                                       "lane:training": {"permits": 10}}, budget=100)
    sql = "SELECT 'held' FROM pg_advisory_xact_lock_shared(77)"
    gate = cluster.connect("app")
    with gate.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(77)")
    clients = [proxy.client() for _ in range(12)]
    for client in clients:
        client.send(query(sql))
    system.eventually(lambda: of_lane(proxy, "default")["hopped_out"] >= 8, what="the hops")
    gate.close()
    for client in clients:
        assert client.result().value == "held"
        client.close()
    row = of(proxy, "SELECT ? FROM")
    assert row["calls"] == 12 and row["hops"] >= 8
    assert (row["class"], row["chosen"]) == ("default", "default")


def of_lane(proxy, name):
    with proxy.console() as console:
        return console.lane(name)


def test_failed_runs_teach_nothing(start):
    proxy = detecting(start)
    sql = "SELECT 1 / (150 - g) FROM generate_series(1, 200) g"
    with proxy.client() as client:
        for _ in range(2 * LEARN_HEAVY):
            assert client.query(sql).sqlstate == "22012"
    assert (one(proxy)["errors"], one(proxy)["chosen"]) == (2 * LEARN_HEAVY, "default")


def test_forgotten_when_it_behaves(start):
    proxy = detecting(start)
    with proxy.client() as client:
        learn_by_rows(client)
        for _ in range(FORGET_LIGHT - 1):
            bulk(client, n=10)
        assert of(proxy, "SELECT g")["chosen"] == "learned"
        bulk(client)
        for _ in range(FORGET_LIGHT):
            assert of(proxy, "SELECT g")["chosen"] == "learned"
            bulk(client, n=10)
        assert (of(proxy, "SELECT g")["class"], of(proxy, "SELECT g")["chosen"]) == ("default", "default")
        assert "is forgotten" in proxy.log_text()
        learn_by_rows(client)
        assert of(proxy, "SELECT g")["chosen"] == "learned", "and learned again"


def test_databases_and_users_are_apart(start):
    """The same text may be another's bulk and one's own lookup."""
    proxy = detecting(start)
    with proxy.client() as client, proxy.client(user="u_other") as other:
        learn_by_rows(client)
        bulk(other, n=10)
        rows = {row["user"]: row for row in shown(proxy)}
        assert (rows["app"]["chosen"], rows["u_other"]["chosen"]) == ("learned", "default")
        assert rows["app"]["id"] == rows["u_other"]["id"]
        other.query("BEGIN")
        bulk(other, n=10)
        assert of_lane(proxy, "training")["in_use"] == 0
        other.query("COMMIT")


def test_learned_by_one_worker_holds_for_all(start):
    """Each client's worker has counted its part; the decision is of them all together."""
    proxy = detecting(start, workers=3)
    clients = [proxy.client() for _ in range(9)]
    for client in clients[:LEARN_HEAVY]:
        bulk(client)
    assert of(proxy, "SELECT g")["calls"] == LEARN_HEAVY
    for client in clients:
        client.query("BEGIN")
        bulk(client)
    assert of_lane(proxy, "training")["in_use"] == len(clients)
    for client in clients:
        client.query("COMMIT")
        client.close()
    row = of(proxy, "SELECT g")
    assert (row["calls"], row["rows"]) == (LEARN_HEAVY + 9, 200 * (LEARN_HEAVY + 9))


# ---- what it never overrides ----


@pytest.mark.parametrize("comment, setting, rule, expected, chosen", [
    ("/*ml_class='serving'*/ ", None, None, "serving", "annotation"),
    ("", "vector", None, "vector", "setting"),
    ("", None, "hybrid if user=app", "hybrid", "rule"),
    ("", None, "default if user=app", "default", "rule"),
    ("", None, "lane vector if user=app", "default", "rule"),
])
def test_stronger_decisions_hold(start, comment, setting, rule, expected, chosen):
    proxy = detecting(start, sections={"rules": {rule: None}} if rule else {})
    login = {"options": f"-c pglane.class={setting}"} if setting else {}
    with proxy.client(**login) as client:
        for _ in range(2 * LEARN_HEAVY):
            assert client.query(comment + BULK.format(n=200, above=0)).rows
        row = one(proxy)
        assert (row["class"], row["chosen"], row["calls"]) == (expected, chosen, 2 * LEARN_HEAVY)


def test_stronger_decisions_hold_over_what_is_learned(start):
    proxy = detecting(start)
    with proxy.client() as client:
        learn_by_rows(client)
        sql = BULK.format(n=10, above=0)
        client.query("BEGIN")
        client.query("/*ml_class='vector'*/ " + sql)
        assert (of_lane(proxy, "vector")["in_use"], of_lane(proxy, "training")["in_use"]) == (1, 0)
        client.query("COMMIT")
        client.query("SET pglane.class = serving")
        client.query("BEGIN")
        client.query(sql)
        assert (of_lane(proxy, "ml")["in_use"], of_lane(proxy, "training")["in_use"]) == (1, 0)
        client.query("COMMIT")
        client.query("RESET pglane.class")
        client.query("BEGIN")
        client.query(sql)
        assert of_lane(proxy, "training")["in_use"] == 1
        client.query("COMMIT")
    assert route(proxy, "/*ml_class='vector'*/ " + sql)["rule"] == "annotation"


def test_rule_without_a_class_leaves_it_to_learning(start):
    """What a rule ranks and limits stays so, whoever gives the class."""
    proxy = detecting(start, sections={"rules": {"priority 7 if user=app": None}})
    with proxy.client() as client:
        learn_by_rows(client)
    found = route(proxy, BULK.format(n=10, above=0))
    assert (found["rule"], found["class"], found["priority"]) == ("learned", "training", "7")


def test_built_in_rules_hold(start, cluster):
    proxy = detecting(start, sections=HOPS)
    with proxy.client() as client:
        for _ in range(2 * LEARN_HEAVY):
            assert client.query("EXPLAIN SELECT 1" + " UNION ALL SELECT 1" * 150).rows
    row = one(proxy)
    assert (row["class"], row["chosen"]) == ("default", "built-in") and row["rows"] > 100


# ---- the console ----


def test_filters(start):
    proxy = detecting(start)
    with proxy.client() as client, proxy.client(user="u_other", database="other") as other:
        learn_by_rows(client)
        client.query("/*ml_class='vector'*/ SELECT 'v'")
        client.query("SELECT 'd', 1 AS d")
        other.query("SELECT 'd', 1 AS d")
    assert len(shown(proxy)) == 4
    assert [len(shown(proxy, n)) for n in (1, 3, 100)] == [1, 3, 4]
    assert [row["chosen"] for row in shown(proxy, "class=training")] == ["learned"]
    assert {row["class"] for row in shown(proxy, "chosen=annotation")} == {"vector"}
    assert len(shown(proxy, "database=other")) == len(shown(proxy, "user = 'u_other'")) == len(shown(proxy, 'USER="u_other"', "class=default", 5)) == 1
    row = of(proxy, "SELECT g")
    assert one(proxy, f"id={row['id']}")["query"] == one(proxy, f"id={row['id'].upper()}", "/* comment */")["query"] == row["query"]
    assert shown(proxy, "database=nobody") == shown(proxy, "class=hybrid") == []


@pytest.mark.parametrize("text, sqlstate, says", [
    ("class=slow", "22023", "class=slow; expected class= default, serving, vector, hybrid or training"),
    ("chosen=luck", "22023", "expected chosen= default, learned, built-in, rule, setting or annotation"),
    ("id=12", "22023", "id=12; expected id= 16 hex digits"),
    ("lane=ml", "22023", "lane=ml; expected id=, class=, chosen=, database= or user="),
    ("0", "22023", "0; expected a number of rows"),
    ("many", "22023", "many; expected a number of rows"),
    ("-3", "22023", "-3; expected a number of rows"),
    ("class=", "08P01", "invalid command"),
    ("= 3", "08P01", "invalid command"),
    ("user=a,b", "08P01", "invalid command"),
    ("3; SHOW LANES", "08P01", "invalid command"),
])
def test_filters_that_are_none(start, shared, text, sqlstate, says):
    with shared.client(database="pglane") as console:
        result = console.query(f"SHOW FINGERPRINTS {text}")
        assert result.sqlstate == sqlstate and says in result.errors[0].fields["M"], result.messages
        assert console.extended(f"SHOW FINGERPRINTS {text}").sqlstate == sqlstate


def test_reset(start):
    proxy = detecting(start, workers=2)
    with proxy.client() as client, proxy.client() as second:
        learn_by_rows(client)
        bulk(second, n=10)
        client.query("SELECT 'other'")
        row = of(proxy, "SELECT g")
        with proxy.console() as console:
            console.run(f"RESET FINGERPRINT {row['id']}")
            assert [row["query"] for row in console.show("FINGERPRINTS")] == ["SELECT ?"]
            with pytest.raises(psycopg2.Error, match="fingerprint not found"):
                console.run(f"RESET FINGERPRINT {row['id']}")
            for wrong in ("", "12", "x" * 16):
                with pytest.raises(psycopg2.Error, match="16 hex digits"):
                    console.run(f"RESET FINGERPRINT {wrong}")
        assert route(proxy, BULK.format(n=10, above=0))["rule"] == "default"
        bulk(client)
        assert (of(proxy, "SELECT g")["calls"], of(proxy, "SELECT g")["chosen"]) == (1, "default")
        learn_by_rows(client)
        with proxy.console() as console:
            console.run("RESET FINGERPRINT ALL")
            assert console.show("FINGERPRINTS") == []
        assert route(proxy, BULK.format(n=10, above=0))["rule"] == "default"
        with proxy.console(user="u_other") as console:
            assert console.show("FINGERPRINTS") == []
            with pytest.raises(psycopg2.Error, match="admin access needed"):
                console.run("RESET FINGERPRINT ALL")


def test_help_names_them(shared):
    with shared.client(database="pglane") as console:
        said = " ".join(notice["D"] for notice in console.query("SHOW HELP").notices)
        assert "SHOW FINGERPRINTS [<n>]" in said and "RESET FINGERPRINT <id>|ALL" in said


# ---- memory, and settings that change ----


def test_memory_is_bounded(start):
    """100,000 statements, each another one: the table holds the last ones, and nothing more is kept."""
    proxy = detecting(start, workers=1, max_fingerprints=500)
    n = scaled(100000)
    with proxy.client() as client:

        def send(first, count):
            client.send(*(parse("", f"SELECT 1 AS c{i}_{'x' * 40}") + bind("", "") + execute() for i in range(first, first + count)), SYNC)
            received = b""
            while not received.endswith(b"Z\0\0\0\5I"):
                received += client.socket.recv(1 << 20)
            assert received.count(b"C\0\0\0\rSELECT 1\0") == count

        send(0, 500)
        before = proxy.resident_bytes()
        for first in range(500, n, 500):
            send(first, 500)
        rows = shown(proxy, 100000)
        assert len(rows) == 500 and sum(row["calls"] for row in rows) == 500
        assert {row["query"] for row in rows} == {f"SELECT ? AS c{i}_{'x' * 40}" for i in range(n - 500, n)}
        assert proxy.resident_bytes() - before < memory_limit(2 << 20)


def test_least_recently_used_goes_first(start):
    proxy = detecting(start, workers=1, max_fingerprints=3)
    with proxy.client() as client:
        for name in "abcadae":
            client.query(f"SELECT 1 AS {name}")
    assert sorted(row["query"][-1] for row in shown(proxy)) == ["a", "d", "e"]


def test_settings_change_while_it_runs(start):
    proxy = detecting(start, workers=2)
    with proxy.client() as client:
        learn_by_rows(client)
        for i in range(20):
            client.query(f"SELECT 1 AS c{i}")
        client.exchange(parse("s", "SELECT 'kept'"), bind("", "s"), execute())
        with proxy.console() as console:
            console.run("SET max_fingerprints = 4")
            assert len(console.show("FINGERPRINTS")) <= 8
            console.run("SET workload_detection = off")
            assert console.show("FINGERPRINTS") == []
        client.query("BEGIN")
        bulk(client)
        assert of_lane(proxy, "training")["in_use"] == 0, "what was learned is forgotten"
        client.query("COMMIT")
        assert client.exchange(bind("", "s"), execute()).value == "kept"
        assert shown(proxy) == []
        with proxy.console() as console:
            console.run("SET workload_detection = on")
        assert client.exchange(bind("", "s"), execute()).value == "kept"
        bulk(client)
        assert {row["query"]: row["calls"] for row in shown(proxy)} == {"SELECT ?": 1, of(proxy, "SELECT g")["query"]: 1}
        assert of(proxy, "SELECT g")["chosen"] == "default"


def test_many_at_once(start):
    """Workers that learn, forget, show and reset at the same time."""
    proxy = detecting(start, workers=3, max_fingerprints=20)

    def work(i):
        with proxy.client() as client:
            for j in range(scaled(60)):
                bulk(client, n=200 if j % 16 < 6 else 10)
                client.exchange(parse("", f"SELECT {j} AS c{j % 30}"), bind("", ""), describe("P"), execute(), FLUSH)
        return True

    def watch(stop):
        with proxy.console() as console:
            while not stop.is_set():
                console.show("FINGERPRINTS")
                console.run("EXPLAIN ROUTE " + BULK.format(n=1, above=0))
                console.run("RESET FINGERPRINT ALL")

    with Background(watch):
        assert all(in_parallel(6, work))
    assert len(shown(proxy, 1000)) <= 60
