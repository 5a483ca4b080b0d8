# SPDX-License-Identifier: ISC
"""The audit log: who could change it anyway is found out, and it does not stand in the way of erasing a user."""

import pytest

LAST_MONTH = "(date_trunc('month', now() AT TIME ZONE 'UTC') - interval '1 month')"
USER = "md5('1user9')::uuid"


@pytest.fixture
def sealed(cluster, database):
    """A database whose last month has rows in a partition of its own, sealed."""
    cluster.run(f"""INSERT INTO ml_audit_logs (timestamp, operation_type, user_id, operation_params) SELECT {LAST_MONTH} AT TIME ZONE 'UTC' + i * interval '1 hour', 'training', {USER},
                    jsonb_build_object('i', i) FROM generate_series(0, 99) i""", database)
    cluster.run("SELECT count(*) FROM ml_maintain_partitions()", database)
    cluster.run(f"SELECT ml_audit_seal({LAST_MONTH}::date)", database)
    assert problems(cluster, database) == [(True,)]
    return database


def problems(cluster, database):
    return cluster.run(f"SELECT ok FROM ml_audit_verify({LAST_MONTH}::date)", database)


TAMPERINGS = {
    "a value": f"UPDATE ml_audit_logs SET operation_params = '{{\"i\": 1000}}' WHERE timestamp = {LAST_MONTH} AT TIME ZONE 'UTC' + interval '7 hours'",
    "a null": f"UPDATE ml_audit_logs SET error_message = '' WHERE timestamp = {LAST_MONTH} AT TIME ZONE 'UTC' + interval '7 hours'",
    "what stood in two columns": f"UPDATE ml_audit_logs SET session_id = 'ab', request_id = 'c' WHERE timestamp = {LAST_MONTH} AT TIME ZONE 'UTC'",
    "a user": f"UPDATE ml_audit_logs SET user_id = md5('1user1')::uuid WHERE timestamp = {LAST_MONTH} AT TIME ZONE 'UTC'",
    "a row gone": f"DELETE FROM ml_audit_logs WHERE timestamp = {LAST_MONTH} AT TIME ZONE 'UTC' + interval '7 hours'",
    "a row more": f"INSERT INTO ml_audit_logs (timestamp, operation_type) VALUES ({LAST_MONTH} AT TIME ZONE 'UTC' + interval '7 hours', 'training')",
    "all gone": f"DELETE FROM ml_audit_logs WHERE timestamp < date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AND timestamp >= {LAST_MONTH} AT TIME ZONE 'UTC'",
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_tampering_breaks_the_seal(cluster, sealed, what):
    """A superuser can switch the triggers off (session_replication_role); the seal says so all the same."""
    connection = cluster.connect(sealed)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(TAMPERINGS[what])
        assert cursor.rowcount > 0
    connection.close()
    assert problems(cluster, sealed) == [(False,)], what
    assert cluster.run(f"SELECT problem FROM ml_audit_verify({LAST_MONTH}::date)", sealed)[0][0]


def test_moving_text_between_columns_is_seen(cluster, database, sealed):
    """Two rows of columns that read the same when put one after the other have different seals."""
    connection = cluster.connect(sealed)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(f"UPDATE ml_audit_logs SET session_id = 'a', request_id = 'bc' WHERE timestamp = {LAST_MONTH} AT TIME ZONE 'UTC'")
        cursor.execute(f"DELETE FROM ml_audit_seals; SELECT ml_audit_seal({LAST_MONTH}::date)")
        assert problems(cluster, sealed) == [(True,)]
        cursor.execute(f"UPDATE ml_audit_logs SET session_id = 'ab', request_id = 'c' WHERE timestamp = {LAST_MONTH} AT TIME ZONE 'UTC'")
    connection.close()
    assert problems(cluster, sealed) == [(False,)]


def test_the_seal_is_the_same_in_any_session(cluster, sealed):
    """Time zone, output formats and plan of the session that verifies do not matter."""
    connection = cluster.connect(sealed)
    with connection.cursor() as cursor:
        cursor.execute("SET timezone = 'Asia/Kathmandu'; SET DateStyle = 'German'; SET IntervalStyle = 'sql_standard'; SET bytea_output = 'escape';"
                       " SET extra_float_digits = -3; SET enable_seqscan = off; SET enable_sort = off")
        cursor.execute(f"SELECT ok FROM ml_audit_verify({LAST_MONTH}::date)")
        assert cursor.fetchall() == [(True,)]
    connection.close()


def test_a_user_can_be_erased(cluster, database):
    """References to users from ml_* tables let go, the audit log keeps the bare id as a fact, and no index is missing for it."""
    model = cluster.run("SELECT id FROM ml_models ORDER BY id LIMIT 1", database)[0][0]
    cluster.run(f"UPDATE ml_models SET created_by = {USER}, trained_by = {USER}, deployed_by = {USER} WHERE id = %s", database, (model,))
    cluster.run(f"UPDATE ml_vector_metadata SET created_by = {USER} WHERE entity_type = 'route_optimization'", database)
    cluster.run(f"UPDATE ml_feature_store SET created_by = {USER} WHERE feature_set_name = 'churn'", database)
    cluster.run(f"UPDATE ml_predictions SET requested_by = {USER}", database)
    cluster.run(f"INSERT INTO ml_audit_logs (operation_type, user_id, model_id) VALUES ('training', {USER}, %s)", database, (model,))
    cluster.run(f"DELETE FROM users WHERE id = {USER}", database)
    assert cluster.run("SELECT created_by, trained_by, deployed_by FROM ml_models WHERE id = %s", database, (model,)) == [(None, None, None)]
    for table, column in (("ml_vector_metadata", "created_by"), ("ml_feature_store", "created_by"), ("ml_predictions", "requested_by")):
        assert cluster.run(f"SELECT count(*) FROM {table} WHERE {column} = {USER}", database) == [(0,)], table
    assert cluster.run(f"SELECT count(*) FROM ml_audit_logs WHERE user_id = {USER} AND model_id = %s", database, (model,)) == [(1,)]
