# SPDX-License-Identifier: ISC
"""A real streaming standby: what reads works there, what writes says so."""

import os

import psycopg2
import pytest

from harness import schema
from harness.cluster import Cluster, Standby

N = 300
ORGANIZATION = "md5('1organization1')::uuid"


@pytest.fixture(scope="module")
def standby():
    """A standby of a primary with the whole schema and rows, in the database app; it is caught up."""
    primary = Cluster(Standby.REPLICATION)
    replica = None
    try:
        schema.load(primary, "app", "demo/foundation.sql")
        schema.migrate(primary, "app")
        schema.load(primary, "app", "demo/data.sql", n=N)
        path = schema.key_file(primary, "standby.key", os.urandom(32))
        primary.run("SELECT ml_register_key('standby', 'vector_data', %s)", "app", (str(path),))
        replica = Standby(primary)
        replica.catch_up()
        yield replica
    finally:
        if replica:
            replica.destroy()
        primary.destroy()


READS = {
    "training": "SELECT count(*) > 0 FROM get_ml_training_dataset('service_event')",
    "typed training": "SELECT count(*) > 0 FROM ml_training_service_events()",
    "routing": f"SELECT route_ml_query('vector_search', {ORGANIZATION}) ? 'recommended_pool'",
    "features": "SELECT count(*) = 1 FROM ml_features('service_event_context', '1', 'service_event', ARRAY[md5('1event7')::uuid])",
    "features of a time": "SELECT count(*) = 1 FROM ml_features_at('service_event_context', '1', 'service_event', ARRAY[md5('1event7')::uuid], ARRAY[now()])",
    "vector object": "SELECT ml_vector_object('service_event', md5('1event7')::uuid) IS NOT NULL",
    "spatial": f"SELECT count(*) > 0 FROM ml_spatial_candidates(13.4, 52.5, 50000, {ORGANIZATION})",
    "encryption": "SELECT decrypt_ml_data(encrypt_ml_data('{\"a\": 1}', 'vector_data')) = '{\"a\": 1}'",
    "audit seals": "SELECT count(*) >= 0 FROM ml_audit_verify()",
    "dashboard": "SELECT count(*) >= 0 FROM ml_performance_dashboard",
}


@pytest.mark.parametrize("what", READS)
def test_reads_work(standby, what):
    """As first asked for, encryption and routing could not be used on a standby."""
    assert standby.run(READS[what], "app") == [(True,)]


def test_hits_work(standby):
    connection = standby.connect("app")
    with connection.cursor() as cursor:
        cursor.execute("BEGIN; SELECT set_config('pglane.hits', '[[\"%s\",0.5,0.5]]', true)" % os.urandom(16).hex())
        cursor.execute("SELECT count(*) FROM ml_vector_hits()")
        assert cursor.fetchall() == [(1,)]
    connection.close()


@pytest.mark.parametrize("sql", ["SELECT count(*) FROM ml_outbox_lease()", "SELECT ml_rotate_key('vector_data')", "SELECT ml_maintain()",
                                 f"SELECT ml_outbox_note('service_event', gen_random_uuid(), {ORGANIZATION})"])
def test_writes_say_that_it_is_read_only(standby, sql):
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        standby.run(sql, "app")


def test_migrate_status_works_and_up_does_not_harm(standby):
    assert "001_extensions" in schema.migrate(standby, "app", "status")
    assert schema.migrate(standby, "app") == "nothing to do\n"
