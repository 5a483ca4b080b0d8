# SPDX-License-Identifier: ISC
"""A shop: a database with entities, a Weaviate, and pglane that keeps the second equal to the first."""

import contextlib
import itertools
import json
import signal
import subprocess
import uuid

from . import proxy, schema, system, weaviate_tool

COLLECTION = "PglaneShopEvent"
ENTITY = "service_event"
ORGANIZATION = str(uuid.UUID(int=0xa0))
CUSTOMER = str(uuid.UUID(int=0xc0))
N_TOLD = 5

CLASS = {
    "class": COLLECTION, "vectorizer": "none", "vectorIndexConfig": {"distance": "cosine"},
    "properties": [
        {"name": "eventType", "dataType": ["text"], "tokenization": "field", "indexSearchable": False},
        {"name": "description", "dataType": ["text"]},
        {"name": "location", "dataType": ["geoCoordinates"]},
        {"name": "customerId", "dataType": ["uuid"]},
        {"name": "routeId", "dataType": ["uuid"]},
        {"name": "postgresqlId", "dataType": ["uuid"]},
        {"name": "organizationId", "dataType": ["uuid"]},
        {"name": "performanceMetrics", "dataType": ["object"], "indexFilterable": False, "nestedProperties": [
            {"name": "durationSeconds", "dataType": ["number"], "indexFilterable": False},
            {"name": "success", "dataType": ["boolean"], "indexFilterable": False}]},
    ],
}

MODEL = "text2vec-openai"
# The same, where Weaviate makes the vectors.
TEXT_CLASS = {**CLASS, "vectorizer": MODEL, "moduleConfig": {MODEL: {"model": "text-embedding-3-small", "dimensions": 1536, "type": "text", "vectorizeClassName": False}},
              "properties": [{**prop, "moduleConfig": {MODEL: {"skip": prop["name"] != "description", "vectorizePropertyName": False}}} if prop["dataType"] == ["text"] else prop
                             for prop in CLASS["properties"]]}

numbers = itertools.count(1)


def make_template(cluster, name="template_shop"):
    """A database with the application's tables, every migration, one organization and one customer."""
    schema.create(cluster, name)
    schema.load(cluster, name, "demo/foundation.sql")
    schema.migrate(cluster, name)
    cluster.run(f"""INSERT INTO organizations (id, name, slug, country) VALUES ('{ORGANIZATION}', 'shop', 'shop', 'DE');
                    INSERT INTO customers (id, organization_id, name, customer_type) VALUES ('{CUSTOMER}', '{ORGANIZATION}', 'shop', 'shop');
                    GRANT SELECT, INSERT, UPDATE, DELETE ON service_events, customers, organizations, routes TO app;
                    GRANT ml_service TO app""", name)
    return name


def object_id(key, collection=COLLECTION):
    """The id of a row's object: Weaviate's clients' generate_uuid5(key, collection)."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{collection}{key}"))


class Shop:
    """Its pglanes are started with start(), the fixture; the database is called shop for their clients."""

    def __init__(self, cluster, weaviate, starter, template, config=CLASS):
        self.cluster, self.weaviate, self.starter, self.name = cluster, weaviate, starter, f"shop_{next(numbers)}"
        schema.create(cluster, self.name, template)
        weaviate.create_class(config)
        self.proxies = []
        self.classes = system.temporary_directory("pglane-classes-")
        (self.classes / f"{COLLECTION}.json").write_text(json.dumps(config))

    def start(self, **settings):
        """One more pglane. Times are short: what takes a minute in the world takes a second here."""
        given = {"weaviate_url": self.weaviate.url, "weaviate_api_key": self.weaviate.api_key, "outbox_database": "shop", "outbox_user": "ml_proxy", "outbox_poll": "0.02",
                 "weaviate_timeout": "5", "weaviate_write_timeout": "6", "weaviate_classes": self.classes, **settings}
        sections = {f"entity:{ENTITY}": {"collection": COLLECTION, "vector": "none"}, **given.pop("sections", {})}
        self.proxies.append(self.starter(databases={"shop": f"{{server}} dbname={self.name}"}, users={"app": "annotations=all"}, sections=sections, **given))
        return self.proxies[-1]

    def drop(self):
        schema.drop(self.cluster, self.name)
        system.remove(self.classes)

    # rows

    def run(self, sql, arguments=None):
        """A statement that passes pglane by."""
        return self.cluster.run(sql, self.name, arguments)

    def track(self):
        """From now on the table takes notes by itself."""
        self.run(f"SELECT ml_vector_track('service_events', '{ENTITY}')")

    def add(self, n, text="event"):
        """n rows at once, past pglane; their ids."""
        return [row[0] for row in self.run(
            """INSERT INTO service_events (organization_id, customer_id, event_type, service_date, description, location)
               SELECT %s, %s, 'pickup', now(), %s || ' ' || i, ST_SetSRID(ST_MakePoint(13.4 + i %% 100 * 0.001, 52.5), 4326)::geography
               FROM generate_series(1, %s) i RETURNING id::text""", (ORGANIZATION, CUSTOMER, text, n))]

    # what is where

    def notes(self):
        return self.run("SELECT count(*) FROM ml_vector_outbox")[0][0]

    def dead(self):
        return self.run("SELECT entity_id::text, last_error FROM ml_vector_dead")

    def settle(self, timeout_s=60):
        """Waits until no note is left."""
        def empty():
            waiting = self.run("SELECT entity_id::text, attempts, lease IS NOT NULL, left(last_error, 200) FROM ml_vector_outbox LIMIT 3")
            assert not waiting, f"{self.notes()} notes wait: {waiting}"
            return True
        system.eventually(empty, timeout_s, "the outbox's end")

    def wanted(self):
        """What Weaviate should hold, by id, as PostgreSQL says it."""
        rows = self.run(f"SELECT entity_id::text, object -> 'properties' FROM ml_vector_objects('{ENTITY}', ARRAY(SELECT id FROM ml_source_{ENTITY}))")
        return {object_id(key): properties for key, properties in rows}

    def differences(self):
        """Texts about what Weaviate has otherwise than PostgreSQL; none: they are equal."""
        wanted, have = self.wanted(), {id: one["properties"] for id, one in self.weaviate.objects(COLLECTION).items()}
        told = [f"{id} is missing: {wanted[id]}" for id in wanted.keys() - have.keys()]
        told += [f"{id} should not be there: {have[id]}" for id in have.keys() - wanted.keys()]
        told += [f"{id} is {have[id]}, not {wanted[id]}" for id in wanted.keys() & have.keys() if comparable(wanted[id]) != comparable(have[id])]
        return told

    def check(self, timeout_s=60):
        """Settles, and then both are equal and nothing was given up."""
        self.settle(timeout_s)
        told = self.differences()
        assert not told, f"{len(told)} differences: {told[:N_TOLD]}"
        dead = self.dead()
        assert not dead, f"{len(dead)} were given up: {dead[:N_TOLD]}"
        self.reconcile()

    def reconcile(self):
        """pglane-weaviate finds the same: no difference."""
        done = subprocess.run(proxy.command(weaviate_tool.program(), "--quiet", "reconcile", self.proxies[0].ini, COLLECTION), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0 and done.stdout.splitlines()[-1] == "0 differences", f"reconcile: exit {done.returncode}\n{done.stdout}{done.stderr}"


def comparable(properties):
    """With places as a float32 still tells them apart; an empty object says nothing."""
    return {name: {part: round(value, 4) for part, value in one.items()} if name == "location" else one for name, one in properties.items() if one != {}}


def kill(proxy):
    """kill -9, and its end."""
    proxy.process.kill()
    proxy.process.wait()


@contextlib.contextmanager
def frozen(proxy):
    """SIGSTOP for the time of the block."""
    proxy.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        proxy.send_signal(signal.SIGCONT)
