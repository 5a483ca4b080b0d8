# SPDX-License-Identifier: ISC
"""sql/demo/: the same year for the same seed, plausible, and every statement that packaging/quickstart shows finds rows."""

import re
import string

import pytest

from harness import schema, system

N = 500
# What of a row a seed decides; times hang on as_of.
FINGERPRINT = """SELECT md5(string_agg(e::text, ',' ORDER BY e.id)) FROM (SELECT id, customer_id, event_type, description, notes, location::text, service_date, weight_kg
                 FROM service_events) e"""


@pytest.fixture
def foundation(cluster, empty):
    schema.load(cluster, empty, "demo/foundation.sql")
    return empty


def counts(cluster, database):
    tables = ("organizations", "users", "customers", "bins", "vehicles", "routes", "service_events", "user_security", "audit_logs")
    return cluster.run("SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in tables), database)[0]


def test_the_same_seed_is_the_same_year_and_loads_once(cluster, foundation):
    at = "2026-06-01 10:00+00"
    schema.load(cluster, foundation, "demo/data.sql", n=N, as_of=at)
    first, n_rows = cluster.run(FINGERPRINT, foundation), counts(cluster, foundation)
    assert all(n_rows)
    schema.load(cluster, foundation, "demo/data.sql", n=N, as_of=at)
    assert counts(cluster, foundation) == n_rows
    cluster.run("TRUNCATE organizations CASCADE", foundation)
    cluster.run("ALTER DATABASE " + foundation + " SET timezone = 'Pacific/Auckland'")
    schema.load(cluster, foundation, "demo/data.sql", n=N, as_of=at)
    cluster.run("ALTER DATABASE " + foundation + " RESET timezone")
    assert cluster.run(FINGERPRINT, foundation) == first


def test_another_seed_is_another_year_beside_it(cluster, foundation):
    for seed in (1, 2):
        schema.load(cluster, foundation, "demo/data.sql", n=N, seed=seed)
    assert counts(cluster, foundation)[6] == 2 * N and counts(cluster, foundation)[0] == 16


def test_the_year_is_plausible(cluster, database):
    assert cluster.run("SELECT count(*), count(DISTINCT organization_id), count(DISTINCT event_type) FROM service_events", database) == [(N, 8, 7)]
    for fault, condition in {
        "far from its customer": "ST_Distance(e.location, c.service_address) > 300",
        "of another organization": "e.organization_id <> c.organization_id OR e.organization_id <> b.organization_id OR e.organization_id <> r.organization_id",
        "at another customer's bin": "b.customer_id <> e.customer_id",
        "on a Sunday": "extract(isodow FROM e.service_date AT TIME ZONE 'UTC') = 7",
        "done before its day": "e.status = 'completed' AND e.service_date > now() + interval '1 day'",
        "older than a year": "e.service_date < now() - interval '368 days'",
    }.items():
        found = cluster.run(f"""SELECT count(*) FROM service_events e JOIN customers c ON c.id = e.customer_id JOIN bins b ON b.id = e.bin_id
                                JOIN routes r ON r.id = e.route_id WHERE {condition}""", database)
        assert found == [(0,)], fault
    pickups, soft_deleted, noted = cluster.run("""SELECT avg((event_type = 'pickup')::int), count(*) FILTER (WHERE deleted_at IS NOT NULL), count(notes)
                                                  FROM service_events""", database)[0]
    assert 0.6 < pickups < 0.8 and soft_deleted and noted


def test_every_entity_has_a_vector_and_its_features(cluster, database):
    for entity_type, table in (("service_event", "service_events"), ("customer_behavior", "customers"), ("route_optimization", "routes")):
        missing = cluster.run(f"""SELECT count(*) FROM {table} t WHERE NOT EXISTS (SELECT FROM ml_vector_metadata m WHERE m.entity_type = '{entity_type}'
                                  AND m.entity_id = t.id AND m.organization_id = t.organization_id)""", database)
        assert missing == [(0,)], table
    assert cluster.run("SELECT count(DISTINCT vector_version) FROM ml_vector_metadata", database) == [(2,)]
    assert cluster.run("""SELECT count(*), min(n) FROM (SELECT (SELECT count(*) FROM jsonb_object_keys(features)) AS n FROM ml_feature_store
                          WHERE feature_set_name = 'service_event_context') s""", database) == [(N, 21)]
    assert cluster.run("SELECT count(*) > 0, count(actual_outcome) > 0 FROM ml_predictions", database) == [(True, True)]
    assert cluster.run("SELECT count(DISTINCT organization_id), count(*) FROM ml_models WHERE deployment_status = 'production'", database) == [(8, 24)]


def test_quickstarts_statements_find_rows(cluster, foundation):
    """On the rows of quickstart, which are more."""
    schema.migrate(cluster, foundation)
    schema.load(cluster, foundation, "demo/data.sql", n=2000)
    for _ in range(2):
        schema.load(cluster, foundation, "demo/vectors.sql")
    quickstart = (system.ROOT / "packaging/quickstart").read_text()
    names = {"origin": re.search(r'origin="(.*?)"', quickstart).group(1), "here": re.search(r"here='(.*?)'", quickstart).group(1),
             "customer": cluster.run("SELECT md5('1customer7')", foundation)[0][0]}
    statements = [string.Template(text).substitute(names) for text in re.findall(r"""^\tone '[^']*' ['"](.*)['"]$""", quickstart, re.MULTILINE)]
    assert len(statements) == 7
    for statement in statements:
        if statement.startswith("COPY ("):
            statement = statement[len("COPY ("):statement.rindex(")")]
        assert cluster.run(statement, foundation), statement
    nearest = cluster.run("""SELECT id, embedding <=> (SELECT embedding FROM service_events WHERE id = md5('1event7')::uuid) AS distance
                             FROM service_events ORDER BY distance LIMIT 2""", foundation)
    assert abs(nearest[0][1]) < 1e-6 < nearest[1][1]
