# SPDX-License-Identifier: ISC
"""sql/ itself by the runner: empty databases, databases with a foundation, two in one cluster, and one that 0.1.0 has been at."""

import pytest

from harness import schema

FILES = sorted(path.stem for path in schema.SQL.glob("[0-9][0-9][0-9]_*.sql"))
OPTIONAL = {path.stem for path in schema.SQL.glob("[0-9][0-9][0-9]_*.sql") if "-- optional" in path.read_text().splitlines()[:2]}
METRICS = "004_metrics.sql"


def applied(cluster, database):
    return [name for name, in cluster.run("SELECT name FROM schema_version ORDER BY version", database)]


def everything(cluster, database):
    """What a database has: columns, constraints, functions, indexes and rights, without the partitions, whose names hang on the day."""
    return sorted( cluster.run("""SELECT 'column', attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod) || attnotnull FROM pg_attribute a JOIN pg_class c
            ON c.oid = attrelid WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND NOT relispartition AND attnum > 0 AND NOT attisdropped
        UNION ALL SELECT 'constraint', conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
            AND conrelid NOT IN (SELECT oid FROM pg_class WHERE relispartition)
        UNION ALL SELECT 'function', p.oid::regprocedure || ' ' || proowner::regrole || coalesce(array_to_string(proacl, ','), '') FROM pg_proc p
            WHERE pronamespace = 'public'::regnamespace AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND deptype = 'e')
        UNION ALL SELECT 'index', pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE relnamespace = 'public'::regnamespace AND NOT relispartition
        UNION ALL SELECT 'right', c.oid::regclass || ' ' || relowner::regrole || array_to_string(relacl, ',') || relrowsecurity || relforcerowsecurity FROM pg_class c
            WHERE relnamespace = 'public'::regnamespace AND relname <> 'spatial_ref_sys' AND relacl IS NOT NULL AND NOT relispartition""", database))


def test_an_empty_database(cluster, empty):
    said = schema.migrate(cluster, empty)
    assert applied(cluster, empty) == [name for name in FILES if name not in OPTIONAL]
    assert said.count(": applied in") == len(FILES) - len(OPTIONAL)
    before = everything(cluster, empty)
    assert schema.migrate(cluster, empty) == "nothing to do\n"
    assert everything(cluster, empty) == before


def test_optional_files_do_no_harm_without_a_foundation(cluster, empty):
    schema.migrate(cluster, empty, "--with", "all")
    assert applied(cluster, empty) == FILES


def test_a_foundation_before_and_after_comes_to_the_same(cluster, empty):
    """The other way round: tables first asked for after the migrations are taken in by ml_attach_foundation(), to the same schema."""
    other = empty + "_other"
    schema.create(cluster, other)
    try:
        schema.load(cluster, empty, "demo/foundation.sql")
        schema.migrate(cluster, empty)
        schema.migrate(cluster, other)
        schema.load(cluster, other, "demo/foundation.sql")
        for _ in range(2):
            cluster.run("SELECT count(*) FROM ml_attach_foundation()", other)
        one, two = everything(cluster, empty), everything(cluster, other)
        assert [row for row in one if row not in two] == [] and [row for row in two if row not in one] == []
        schema.load(cluster, other, "demo/data.sql", n=200)
        assert cluster.run("SELECT count(*) > 100 FROM get_ml_training_dataset('service_event')", other) == [(True,)]
    finally:
        schema.drop(cluster, other)


def test_the_table_of_the_first_release_is_taken_over_with_its_rows(cluster, empty):
    schema.load(cluster, empty, METRICS)
    cluster.run("""INSERT INTO db_connection_pool_metrics (timestamp, total_connections, active_connections, idle_connections, waiting_connections, instance_id)
                   VALUES (now(), 1, 1, 0, 0, 'mine'), (now() - interval '40 days', 1, 1, 0, 0, 'mine'), (now() + interval '2 years', 1, 1, 0, 0, 'mine')""", empty)
    schema.migrate(cluster, empty)
    assert cluster.run("SELECT count(*) FROM db_connection_pool_metrics WHERE instance_id = 'mine'", empty) == [(3,)]
    fresh = empty + "_fresh"
    schema.create(cluster, fresh)
    try:
        schema.migrate(cluster, fresh)
        assert everything(cluster, empty) == everything(cluster, fresh)
    finally:
        schema.drop(cluster, fresh)


@pytest.mark.parametrize("setting", ["search_path = elsewhere, public", "timezone = 'Pacific/Auckland'", "default_transaction_isolation = 'serializable'",
                                     "check_function_bodies = off", "standard_conforming_strings = on"])
def test_settings_of_the_database_do_not_matter(cluster, empty, setting):
    cluster.run("CREATE SCHEMA elsewhere", empty)
    cluster.run(f"ALTER DATABASE {empty} SET {setting}")
    schema.migrate(cluster, empty)
    assert cluster.run("""SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace
                          AND relname IN ('ml_vector_metadata', 'ml_feature_store', 'ml_models', 'ml_predictions')""", empty) == [(4,)]


def test_the_order_of_files_has_no_gaps():
    assert [int(name[:3]) for name in FILES] == list(range(1, len(FILES) + 1))
