# SPDX-License-Identifier: ISC
"""Applications whose tables are not like the demonstration's: other types of columns, extensions in another schema."""

import pytest

from harness import schema

KEY = "'\\x" + "01" * 32 + "'"
ORGANIZATION = "md5('organization')::uuid"

# Type of service_date: what can be indexed of it.
DATES = {
    "date": "EXTRACT(dow FROM service_date)",
    "timestamp": "EXTRACT(hour FROM service_date)",
    "timestamptz": "EXTRACT(hour FROM (service_date AT TIME ZONE 'UTC'::text))",
    "text": None,
}
PLACES = ["geography(Point, 4326)", "geometry(Point, 4326)", "geometry(Point, 3857)", "geometry"]


def small_foundation(cluster, database, date="timestamptz", place="geography(Point, 4326)"):
    cluster.run("CREATE EXTENSION IF NOT EXISTS postgis", database)
    cluster.run(f"""CREATE TABLE organizations (id uuid PRIMARY KEY); INSERT INTO organizations VALUES ({ORGANIZATION});
        CREATE TABLE service_events (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL, event_type text, service_date {date}, location {place})""", database)


def insert_event(cluster, database, srid=4326):
    return cluster.run(f"""INSERT INTO service_events (organization_id, event_type, service_date, location)
        VALUES ({ORGANIZATION}, 'pickup', '2026-01-02', ST_Transform('SRID=4326;POINT(13.4 52.5)'::geometry, {srid})) RETURNING id""", database)[0][0]


@pytest.mark.parametrize("date", DATES)
def test_rows_go_in_whatever_the_type_of_their_date(cluster, empty, date):
    """As asked for, the index on a date was made while the table was empty, and then refused every row."""
    small_foundation(cluster, empty, date)
    said = schema.migrate(cluster, empty, "--with", "17")
    event = insert_event(cluster, empty)
    found = cluster.run("SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_service_events_ml_features'", empty)
    if DATES[date] is None:
        assert not found and "idx_service_events_ml_features is left out" in said
    else:
        assert DATES[date] in found[0][0]
        assert cluster.run("SELECT event_time = '2026-01-02 00:00:00+00' FROM ml_source_service_event WHERE id = %s", empty, (event,)) == [(True,)]


@pytest.mark.parametrize("place", PLACES)
def test_metres_are_metres_whatever_the_type_of_the_place(cluster, empty, place):
    small_foundation(cluster, empty, place=place)
    schema.migrate(cluster, empty, "--with", "17")
    event = insert_event(cluster, empty, 3857 if "3857" in place else 4326)
    cluster.run("INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id, organization_id) VALUES ('service_event', %s, 'v', " + ORGANIZATION + ")", empty, (event,))
    near = "SELECT entity_id::text, round(distance_m) FROM ml_spatial_candidates(13.4, 52.501, %s)"
    assert cluster.run(near, empty, (150,)) == [(event, 111)]
    assert cluster.run(near, empty, (100,)) == []
    connection = cluster.connect(empty)
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;"
                       " SET client_min_messages = log; SELECT count(*) FROM ml_spatial_candidates(13.4, 52.501, 150)")
    plans = "".join(connection.notices)
    connection.close()
    assert "idx_service_events_location_geog" in plans, plans


def test_extensions_may_live_elsewhere(cluster, empty):
    for extension in ("postgis", "pgcrypto", "btree_gist"):
        cluster.run(f'CREATE SCHEMA IF NOT EXISTS "Elsewhere"; CREATE EXTENSION {extension} SCHEMA "Elsewhere"', empty)
    cluster.run(f"""ALTER DATABASE {empty} SET search_path = public, "Elsewhere" """)
    schema.load(cluster, empty, "demo/foundation.sql")
    schema.migrate(cluster, empty, "--with", "all")
    schema.load(cluster, empty, "demo/data.sql", n=500)
    cluster.run("SELECT ml_vector_track('service_events', 'service_event')", empty)
    cluster.run(f"SELECT ml_register_key('k', 'k', p_access => '{{\"read\": [\"ml_engineer\"], \"write\": [\"ml_engineer\"]}}', p_key => {KEY})", empty)
    connection = cluster.connect(empty)
    with connection.cursor() as cursor:
        cursor.execute("SET search_path = pg_catalog; SET ROLE ml_service")
        cursor.execute("SELECT count(*) > 0 FROM public.ml_spatial_candidates(13.4, 52.5, 100000)")
        assert cursor.fetchall() == [(True,)]
        cursor.execute("SELECT count(*) > 0, count(spatial_context) > 0 FROM public.get_ml_training_dataset('service_event')")
        assert cursor.fetchall() == [(True, True)]
        cursor.execute("SET ROLE ml_engineer")
        cursor.execute(f"SELECT public.decrypt_ml_data(public.encrypt_ml_data('{{\"a\": 1}}', 'k', '', {KEY}), '', {KEY})")
        assert cursor.fetchall() == [({"a": 1},)]
        cursor.execute("RESET ROLE; UPDATE public.service_events SET location = location, fill_percent = 3")
        cursor.execute("SELECT count(*) > 0 FROM public.ml_vector_outbox")
        assert cursor.fetchall() == [(True,)]
    connection.close()
