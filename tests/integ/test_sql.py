# SPDX-License-Identifier: ISC
"""sql/ on an empty database: it loads, loads again, and is what sql/README.md says."""

import re

import psycopg2
import pytest

from harness import system
from harness.cluster import binaries

SQL = system.ROOT / "sql"


@pytest.fixture
def database(cluster):
    cluster.run("CREATE DATABASE sql_test")
    yield "sql_test"
    cluster.run("DROP DATABASE sql_test WITH (FORCE)")


def load(cluster, database, name, *options):
    return system.run(f"{binaries()}/psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *options, "-h", cluster.directory, "-p", cluster.port,
                      "-U", "postgres", "-d", database, "-f", SQL / name)


def columns(cluster, database):
    return cluster.run("""SELECT attname FROM pg_attribute WHERE attrelid = 'db_connection_pool_metrics'::regclass
                          AND attnum > 0 AND NOT attisdropped ORDER BY attnum""", database)


def partitions(cluster, database):
    return cluster.run("""SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                          WHERE i.inhparent = 'db_connection_pool_metrics'::regclass ORDER BY 1""", database)


def test_metrics_load_twice_and_their_columns_are_documented(cluster, database):
    for _ in range(2):
        load(cluster, database, "004_metrics.sql", "-1")
        load(cluster, database, "020_metrics_moves.sql", "-1")
        load(cluster, database, "021_metrics_outbox.sql", "-1")
    section = (SQL / "README.md").read_text().partition("\n## db_connection_pool_metrics")[2].partition("\n## ")[0]
    rows = (line for line in section.splitlines() if line.startswith("| `"))
    documented = [name for row in rows for name in re.findall(r"`([a-z0-9_]+)`", row.split("|")[1])]
    assert [name for name, in columns(cluster, database)] == documented


def test_partitions_have_utc_bounds_whatever_the_session_zone(cluster, database):
    cluster.run("ALTER DATABASE sql_test SET timezone = 'Pacific/Auckland'")
    load(cluster, database, "004_metrics.sql", "-1")
    found = dict(partitions(cluster, database))
    assert found.pop("db_connection_pool_metrics_default") == "DEFAULT"
    assert len(found) == 3
    in_utc = cluster.run("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY_MM')", database)[0][0]
    assert f"db_connection_pool_metrics_{in_utc}" in found
    starts = cluster.run("""SELECT (regexp_match(pg_get_expr(relpartbound, oid), $$FROM \\('([^']+)'\\)$$))[1]::timestamptz AT TIME ZONE 'UTC'
                            FROM pg_class WHERE relname ~ '^db_connection_pool_metrics_2\\d+_\\d+$'""", database)
    assert [(start.day, start.hour) for start, in starts] == [(1, 0)] * 3


def test_rows_go_to_their_month_and_old_ones_to_the_default_partition(cluster, database):
    load(cluster, database, "004_metrics.sql", "-1")
    cluster.run("""INSERT INTO db_connection_pool_metrics (timestamp, total_connections, active_connections, idle_connections, waiting_connections)
                   VALUES (now(), 1, 1, 0, 0), ('2001-01-01', 1, 1, 0, 0)""", database)
    places = cluster.run("SELECT tableoid::regclass::text, count(*) FROM db_connection_pool_metrics GROUP BY 1 ORDER BY 1", database)
    assert [n for _, n in places] == [1, 1] and places[-1][0] == "db_connection_pool_metrics_default"


def test_a_month_that_the_default_partition_holds_does_not_stop_the_load(cluster, database):
    load(cluster, database, "004_metrics.sql", "-1")
    cluster.run("""DO $$ DECLARE part text; BEGIN
                   FOR part IN SELECT relname FROM pg_class WHERE relname ~ '^db_connection_pool_metrics_2\\d+_\\d+$' LOOP
                   EXECUTE 'DROP TABLE ' || part; END LOOP; END $$""", database)
    cluster.run("""INSERT INTO db_connection_pool_metrics (total_connections, active_connections, idle_connections, waiting_connections)
                   VALUES (1, 1, 0, 0)""", database)
    load(cluster, database, "004_metrics.sql", "-1")
    assert len(partitions(cluster, database)) == 3


def test_null_timestamp_is_refused(cluster, database):
    load(cluster, database, "004_metrics.sql", "-1")
    with pytest.raises(psycopg2.errors.NotNullViolation):
        cluster.run("""INSERT INTO db_connection_pool_metrics (timestamp, total_connections, active_connections, idle_connections, waiting_connections)
                       VALUES (NULL, 1, 1, 0, 0)""", database)


def test_foundation_tables_and_roles_are_used_when_they_are_there(cluster, database):
    cluster.run("CREATE TABLE organizations (id uuid PRIMARY KEY)", database)
    is_new = not cluster.run("SELECT 1 FROM pg_roles WHERE rolname = 'ml_proxy'")
    if is_new:
        cluster.run("CREATE ROLE ml_proxy")
    try:
        for _ in range(2):
            load(cluster, database, "004_metrics.sql", "-1")
        assert cluster.run("""SELECT count(*) FROM pg_constraint WHERE conrelid = 'db_connection_pool_metrics'::regclass
                              AND confrelid = 'organizations'::regclass""", database) == [(1,)]
        rights = "has_table_privilege('ml_proxy', 'db_connection_pool_metrics', '{}')"
        granted = cluster.run("SELECT " + ", ".join(map(rights.format, ("INSERT", "SELECT", "UPDATE", "DELETE"))), database)
        assert granted == [(True, False, False, False)]
    finally:
        cluster.run("DROP OWNED BY ml_proxy", database)
        if is_new:
            cluster.run("DROP ROLE ml_proxy")
