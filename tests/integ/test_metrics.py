# SPDX-License-Identifier: ISC
"""Rows of db_connection_pool_metrics: every column, and none is lost while the database is away."""

import time

import pytest

from harness import system, wire
from harness.cluster import binaries


@pytest.fixture
def table(cluster):
    system.run(f"{binaries()}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-h", cluster.directory, "-p", cluster.port, "-U", "postgres",
               "-d", "app", "-f", system.ROOT / "sql/004_metrics.sql", "-f", system.ROOT / "sql/020_metrics_moves.sql",
               "-f", system.ROOT / "sql/021_metrics_outbox.sql")
    cluster.run("TRUNCATE db_connection_pool_metrics; GRANT INSERT ON db_connection_pool_metrics TO app", "app")
    yield
    cluster.run("DROP TABLE db_connection_pool_metrics", "app")


@pytest.fixture
def sampled(start, table):
    def starter(**settings):
        return start(**{"metrics_database": "app", "metrics_user": "app", "sample_period": "200ms", "instance_id": "tested", "slow_query": "50ms",
                        "server_login_retry": "100ms", **settings})
    return starter


def rows(cluster, where="true", columns="*"):
    return cluster.run(f"SELECT {columns} FROM db_connection_pool_metrics WHERE {where} ORDER BY timestamp", "app")


def test_every_column_has_a_value(sampled, cluster):
    """Under traffic of every class; averages and worst times are there once a statement of the class has run. Nothing is forwarded: the outbox's are null."""
    proxy = sampled()

    def complete():
        for query_class in ("default", "vector", "training", "hybrid", "serving"):
            proxy.run(f"/*ml_class='{query_class}'*/ SELECT pg_sleep(0.01)")
        return cluster.run("""SELECT count(*) FROM db_connection_pool_metrics WHERE avg_query_time_ms > 0 AND max_query_time_ms >= 0
            AND ml_query_avg_time_ms > 0 AND vector_query_avg_time_ms > 0 AND spatial_ml_hybrid_avg_time_ms > 0
            AND ml_query_max_time_ms >= ml_query_avg_time_ms AND vector_query_max_time_ms >= vector_query_avg_time_ms
            AND spatial_ml_hybrid_max_time_ms >= spatial_ml_hybrid_avg_time_ms AND training_query_max_time_ms >= training_query_avg_time_ms
            AND default_query_max_time_ms >= default_query_avg_time_ms AND instance_id = 'tested' AND pool_name <> ''
            AND cpu_usage_percent BETWEEN 0 AND 100 AND memory_usage_percent BETWEEN 0 AND 100 AND disk_io_wait_percent BETWEEN 0 AND 100
            AND total_connections >= active_connections AND total_connections = active_connections + idle_connections
            AND samples_dropped = 0 AND created_at >= timestamp - interval '1 second'
            AND num_nonnulls(outbox_depth, outbox_oldest_age_ms, outbox_lag_p50_ms, outbox_lag_p99_ms, outbox_delivered_count, outbox_failed_count, outbox_dead,
                outbox_request_errors) = 0""", "app")[0][0]

    system.eventually(complete, 20, "a row with every column")


def test_a_row_for_each_period(sampled, cluster):
    """At the pace of the period: not more often, however late single samples are on a busy machine, and never skipped for long."""
    sampled()
    system.eventually(lambda: len(rows(cluster)) >= 10, 20)
    times = [at for at, in rows(cluster, columns="timestamp")]
    # The first is taken before the third is due, the last one not before it is due.
    assert (times[-1] - times[0]).total_seconds() >= 0.2 * (len(times) - 3) - 0.01
    assert all(0 < (after - before).total_seconds() < 5 for before, after in zip(times, times[1:]))


def test_lane_actives_and_waiting_are_counted(sampled, cluster):
    proxy = sampled(lanes={"default": 2})
    clients = [proxy.client() for _ in range(4)]
    try:
        for client, query_class in zip(clients, ("vector", "training", "serving")):
            client.query("BEGIN")
            client.query(f"/*ml_class='{query_class}'*/ SELECT 1")
        clients[3].send(wire.query("/*ml_class='vector'*/ SELECT 1"))
        system.eventually(lambda: rows(cluster, "vector_operation_active = 1 AND training_job_active = 1 AND ml_dedicated_active = 1"
                                                " AND waiting_connections = 1 AND active_connections >= 3"), 20)
    finally:
        for client in clients:
            client.close()


def test_slow_queries_and_errors_are_counted(sampled, cluster):
    proxy = sampled(databases={"broken": f"host=127.0.0.1 port={system.free_port()} dbname=app"})
    proxy.run("SELECT pg_sleep(0.2)")
    system.eventually(lambda: rows(cluster, "slow_query_count >= 1 AND max_query_time_ms >= 200"), 20)
    with proxy.console() as console:
        shown = {row["class"]: row for row in console.show("CLASSES")}["default"]
        assert shown["max_us"] >= 200000 and shown["max_us"] >= shown["avg_us"], "the sampler takes a maximum of its own"

    def fails_and_is_counted():
        try:
            with proxy.client(database="broken") as client:
                client.query("SELECT 1")
        except (wire.ServerError, wire.Closed):
            pass
        return rows(cluster, "connection_errors >= 1")

    system.eventually(fails_and_is_counted, 20)


def test_moves_and_denials_are_counted(sampled, cluster):
    """Each in the period in which it happened: the rows add up to what there was."""
    proxy = sampled(lanes={"default": 4}, sections={"lane:vector": {"spill": "default:4"}, "lane:default": {"hop_after": "50ms", "hop_to": "training"},
                                                    "rules": {"deny 'no exports' if copy-to": None}})

    def totals():
        return cluster.run("SELECT sum(spilled_count), sum(hopped_count), sum(denied_count) FROM db_connection_pool_metrics", "app")[0]

    with proxy.client() as holder, proxy.client() as client:
        assert holder.query("BEGIN").errors == [] and holder.query("/*ml_class='vector'*/ SELECT 1").errors == []
        for _ in range(3):
            assert client.query("/*ml_class='vector'*/ SELECT 1").errors == []
        assert client.query("SELECT pg_sleep(0.6)").errors == []
        for _ in range(2):
            assert client.query("COPY (SELECT 1) TO STDOUT").sqlstate == "42501"
        system.eventually(lambda: totals() == (3, 1, 2), 20)
        n_rows = len(rows(cluster))
        system.eventually(lambda: len(rows(cluster)) > n_rows + 2, 20)
        assert totals() == (3, 1, 2)


def test_database_away_and_back(sampled, cluster):
    """Several periods pass without it; the samples taken meanwhile arrive later, each once, with the time at which it was taken."""
    sampled()
    system.eventually(lambda: len(rows(cluster)) >= 2, 20)
    try:
        away = cluster.run("SELECT clock_timestamp()")[0][0]
        cluster.stop()
        gone = time.monotonic()
        system.eventually(lambda: time.monotonic() > gone + 1.5, 5, "a second and a half without a database")
    finally:
        cluster.start()
    back = cluster.run("SELECT clock_timestamp()")[0][0]
    system.eventually(lambda: cluster.run("SELECT count(*) FROM db_connection_pool_metrics WHERE timestamp > %s", "app", (back,))[0][0] >= 2, 30)
    kept = cluster.run("SELECT count(*), count(DISTINCT timestamp), max(created_at - timestamp) > interval '300 milliseconds'"
                       " FROM db_connection_pool_metrics WHERE timestamp BETWEEN %s AND %s", "app", (away, back))[0]
    assert kept[0] >= 3 and kept[0] == kept[1] and kept[2]
    doubles = cluster.run("SELECT timestamp FROM db_connection_pool_metrics GROUP BY timestamp HAVING count(*) > 1", "app")
    assert not doubles


def test_backlog_is_bounded_and_drops_are_counted(sampled, cluster):
    sampled(sample_backlog=3, sample_period="100ms")
    system.eventually(lambda: rows(cluster), 20)
    cluster.run("ALTER TABLE db_connection_pool_metrics RENAME TO metrics_away", "app")
    try:
        start, gone = cluster.run("SELECT clock_timestamp()")[0][0], time.monotonic()
        system.eventually(lambda: time.monotonic() > gone + 2, 10, "twenty periods without the table")
    finally:
        cluster.run("ALTER TABLE metrics_away RENAME TO db_connection_pool_metrics", "app")
    system.eventually(lambda: rows(cluster, "samples_dropped > 0"), 20)
    assert len(rows(cluster, f"timestamp BETWEEN '{start}' AND '{start}'::timestamptz + interval '1 second'")) <= 3


def test_missing_table_is_logged_and_nobody_is_disturbed(start):
    proxy = start(metrics_database="app", metrics_user="app", sample_period="100ms")
    system.eventually(lambda: "db_connection_pool_metrics" in proxy.log_text(), 20)
    assert proxy.run("SELECT 1") == [(1,)]
    assert proxy.log_text().count("db_connection_pool_metrics") < 200


def test_samplers_connection_counts_against_the_budget(sampled, cluster):
    proxy = sampled(lanes={"default": 1})
    system.eventually(lambda: rows(cluster), 20)
    for _ in range(20):
        assert proxy.run("SELECT 1") == [(1,)]
    assert len(rows(cluster, "total_connections > 5")) == 0


# ---- maintenance ----

@pytest.fixture
def maintained(cluster, table):
    """A database whose ml_maintain() notes its calls."""
    cluster.run("CREATE TABLE maintained (at timestamptz NOT NULL DEFAULT clock_timestamp(), by name NOT NULL DEFAULT session_user, patience text);"
                "CREATE FUNCTION ml_maintain(timestamptz DEFAULT now()) RETURNS TABLE (action text, relation text, n_rows bigint) LANGUAGE sql SECURITY DEFINER "
                "AS $$ INSERT INTO maintained (patience) VALUES (current_setting('statement_timeout')); SELECT 'done', '', 0::bigint $$", "app")
    yield lambda: cluster.run("SELECT by, patience FROM maintained", "app")
    cluster.run("DROP FUNCTION ml_maintain; DROP TABLE maintained", "app")


def test_maintenance_is_called_once_a_period(sampled, cluster, maintained):
    sampled(maintenance_period="1s")
    system.eventually(lambda: len(maintained()) >= 3, 20)
    assert set(maintained()) == {("app", "10min")}
    calls, samples = len(maintained()), len(rows(cluster))
    assert samples > 2 * calls, "samples go on, and are not the maintenance's clock"


def test_maintenance_can_be_left_to_others(sampled, cluster, maintained):
    sampled(maintenance_period=0)
    system.eventually(lambda: len(rows(cluster)) >= 4, 20)
    assert not maintained()


def test_failed_maintenance_is_said_and_samples_go_on(sampled, cluster, maintained):
    cluster.run("CREATE OR REPLACE FUNCTION ml_maintain(timestamptz DEFAULT now()) RETURNS TABLE (action text, relation text, n_rows bigint) LANGUAGE plpgsql "
                "AS $$ BEGIN RAISE 'no luck today'; END $$", "app")
    proxy = sampled(maintenance_period="500ms")
    system.eventually(lambda: proxy.log_text().count("no luck today") >= 2, 20)
    before = len(rows(cluster))
    system.eventually(lambda: len(rows(cluster)) > before + 2, 20)


def test_database_without_maintenance_has_none(sampled, cluster):
    proxy = sampled(maintenance_period="200ms")
    system.eventually(lambda: len(rows(cluster)) >= 4, 20)
    assert "ml_maintain" not in proxy.log_text()
