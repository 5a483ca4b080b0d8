# SPDX-License-Identifier: ISC
"""Partition maintenance while rows come in: none is lost, none refused, and two maintainers do not get in each other's way."""

import threading

import pytest

from harness import system

TABLES = ("ml_predictions", "ml_audit_logs", "db_connection_pool_metrics")
INSERTS = {
    "ml_predictions": """INSERT INTO ml_predictions (model_id, prediction_type, input_features, prediction_result, prediction_timestamp, organization_id)
        SELECT id, 'demand_forecast', '{}', '{}', %s, organization_id FROM ml_models ORDER BY id LIMIT 1""",
    "ml_audit_logs": "INSERT INTO ml_audit_logs (operation_type, timestamp) VALUES ('prediction', %s)",
    "db_connection_pool_metrics": """INSERT INTO db_connection_pool_metrics (total_connections, active_connections, idle_connections, waiting_connections, timestamp)
        VALUES (1, 1, 0, 0, %s)""",
}
N_MONTHS = 8


def counts(cluster, database):
    return {table: cluster.run(f"SELECT count(*) FROM {table}", database)[0][0] for table in TABLES}


@pytest.fixture
def writers(cluster, database):
    """Threads that insert into each table, every month of the coming ones in turn, until told to stop; the rows each has written and its error."""
    stop, written, errors, threads = threading.Event(), dict.fromkeys(TABLES, 0), [], []

    def write(table):
        connection = cluster.connect(database, options="-c deadlock_timeout=200ms")
        months = [row[0] for row in cluster.run(f"SELECT now() + make_interval(months => m) FROM generate_series(0, {N_MONTHS - 1}) m")]
        try:
            with connection.cursor() as cursor:
                while not stop.is_set():
                    cursor.execute(INSERTS[table], (months[written[table] % N_MONTHS],))
                    written[table] += 1
        except Exception as error:  # in a thread: told by the test
            errors.append((table, error))
        finally:
            connection.close()

    for table in TABLES:
        threads.append(threading.Thread(target=write, args=(table,), daemon=True))
        threads[-1].start()

    def finish():
        stop.set()
        for thread in threads:
            thread.join(30)
        return written, errors

    def all_go_on():
        """Every table has had more inserts since now."""
        before = dict(written)
        system.eventually(lambda: errors or all(written[table] > before[table] + N_MONTHS for table in TABLES), 30, "more inserts")
        assert not errors, errors

    yield all_go_on, finish
    finish()


def test_maintenance_during_inserts_loses_nothing(cluster, database, writers):
    """The clock goes a month further each time, so that partitions are made over rows that the default partition holds already."""
    all_go_on, finish = writers
    all_go_on()
    for month in range(N_MONTHS):
        cluster.run("SELECT count(*) FROM ml_maintain_partitions(now() + make_interval(months => %s))", database, (month,))
        all_go_on()
    written, errors = finish()
    assert not errors
    cluster.run(f"SELECT count(*) FROM ml_maintain_partitions(now() + make_interval(months => {N_MONTHS}))", database)
    after = counts(cluster, database)
    for table in ("ml_predictions", "ml_audit_logs"):
        assert after[table] >= written[table] > 0, table
        assert cluster.run(f"SELECT count(*) FROM ONLY {table}_default", database) == [(0,)], table
        assert cluster.run(f"SELECT count(DISTINCT tableoid) >= {N_MONTHS} FROM {table}", database) == [(True,)], table


def test_two_maintainers_at_once(cluster, database):
    """Of each partition one is made, and both end well."""
    cluster.run("""INSERT INTO ml_audit_logs (operation_type, timestamp) SELECT 'prediction', now() + make_interval(months => m) FROM generate_series(5, 15) m""", database)
    errors = []

    def maintain():
        try:
            cluster.run("SELECT count(*) FROM ml_maintain_partitions(now() + interval '12 months')", database)
        except Exception as error:  # in a thread: told below
            errors.append(error)

    threads = [threading.Thread(target=maintain) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    again = cluster.run("SELECT * FROM ml_maintain_partitions(now() + interval '12 months')", database)
    assert again == []
    assert cluster.run("SELECT count(*) FROM ml_audit_logs WHERE timestamp > now() + interval '4 months'", database) == [(11,)]
