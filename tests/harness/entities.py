# SPDX-License-Identifier: ISC
"""A database whose rows are entities with an outbox, and annotated statements that change them."""

import itertools

from . import schema

TABLES = """
CREATE TABLE items (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, n int, organization_id uuid,
    CONSTRAINT items_n UNIQUE (n) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE others (id uuid PRIMARY KEY, name text);
CREATE TABLE numbered (id int PRIMARY KEY, name text);
CREATE TABLE keyed ("Key" uuid PRIMARY KEY DEFAULT gen_random_uuid(), id int);
CREATE VIEW ml_source_item AS SELECT id, organization_id, NULL::timestamptz AS event_time, name FROM items;
CREATE VIEW ml_source_other AS SELECT id, NULL::uuid AS organization_id, NULL::timestamptz AS event_time, name FROM others;
CREATE VIEW ml_source_keyed AS SELECT "Key" AS id, NULL::uuid AS organization_id, NULL::timestamptz AS event_time FROM keyed;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app, u_other;
"""
GRANTS = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO ml_owner; GRANT ml_service TO app;"
EMPTY = "TRUNCATE items, others, numbered, keyed, ml_vector_outbox"

numbers = itertools.count(1)


def make_database(cluster):
    """The name of a new one; schema.drop() it."""
    name = f"entities_{next(numbers)}"
    schema.create(cluster, name)
    cluster.run(TABLES, name)
    schema.migrate(cluster, name)
    cluster.run(GRANTS, name)
    return name


def note(value, sql, at_end=False, **more):
    """The statement with an annotation ml_entity, and others, at one of its ends."""
    pairs = ",".join(f"{key}='{text}'" for key, text in {"ml_entity": value, **more}.items())
    return f"{sql} /*{pairs}*/" if at_end else f"/*{pairs}*/ {sql}"


def notes(cluster, database, kind):
    """The ids of this type that wait in the outbox."""
    return sorted(str(entity) for entity, in cluster.run("SELECT entity_id FROM ml_vector_outbox WHERE entity_type = %s", database, (kind,)))


def rows(cluster, database, table="items"):
    """The ids of its rows."""
    return sorted(str(entity) for entity, in cluster.run(f"SELECT id FROM {table}", database))
