# SPDX-License-Identifier: ISC
"""pglane-weaviate as a process, and a forwarder of a few lines, so that the tool is tested alone: the notes of the outbox are delivered when a test says so."""

import json
import pathlib
import subprocess
import uuid

from . import proxy, schema, system

RECORD = """
    INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id) SELECT %s, * FROM unnest(%s::uuid[], %s)
    ON CONFLICT ON CONSTRAINT ml_vector_metadata_entity_unique
    DO UPDATE SET vector_id = excluded.vector_id, vector_checksum = NULL, vectorization_timestamp = now()"""


def program():
    """The tool beside the program under test."""
    path = proxy.binary().parent / "pglane-weaviate"
    assert path.is_file(), f"{path} is not there: build it"
    return path


def object_id(collection, key):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{collection}{key}"))


def collection_of(entity_type):
    return "".join(word.capitalize() for word in entity_type.split("_")) + "Vector"


class Tool:
    """A configuration for one database and one Weaviate. sections are added to it; settings are keys of [pglane]."""

    def __init__(self, cluster, database, weaviate, directory, *, classes=system.ROOT / "conf/weaviate/own-vectors", sections=None, **settings):
        self.cluster, self.database, self.weaviate = cluster, database, weaviate
        self.ini = pathlib.Path(directory) / "pglane.ini"
        self.organization_is_tenant = (sections or {}).get("collection:ServiceEventVector", {}).get("organization") == "tenant"
        keys = {"listen_addr": "127.0.0.1", "listen_port": system.free_port(), "weaviate_url": weaviate.url, "weaviate_api_key": weaviate.api_key,
                "weaviate_classes": classes, "outbox_database": "shop", "outbox_user": "ml_forwarder", **settings}
        keys = {key: value for key, value in keys.items() if value is not None}
        entry = f"host={cluster.directory} port={cluster.port} dbname={database}"
        self.ini.write_text(proxy.ini({"pglane": keys, "databases": {"shop": entry}, **(sections or {})}))

    def start(self, command, *arguments, **options):
        return subprocess.Popen(proxy.command(program(), command, self.ini, *arguments),
                                **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options})

    def run(self, command, *arguments, status=0, timeout_s=120):
        """What it said on standard output and error; it must end with this status."""
        process = self.start(command, *arguments)
        said, complained = process.communicate(timeout=timeout_s)
        assert process.returncode == status, f"{command} {arguments}: exit {process.returncode}\n{said}\n{complained}"
        assert not proxy.ALARM.search(complained), complained
        return said, complained

    def sql(self, statement, arguments=None):
        return self.cluster.run(statement, self.database, arguments)

    # a forwarder

    def deliver(self):
        """Every note of the outbox. How many."""
        notes = self.sql("SELECT lease, entity_type, entity_id::text, gen FROM ml_outbox_lease(10000)")
        for lease, entity_type, key, gen in notes:
            self._deliver(entity_type, key)
            self.sql("SELECT ml_outbox_done(%s, ARRAY[%s], ARRAY[%s]::uuid[], ARRAY[%s])", (lease, entity_type, key, gen))
        return len(notes)

    def _deliver(self, entity_type, key):
        told = self.sql("SELECT ml_vector_object(%s, %s)", (entity_type, key))[0][0]
        collection = collection_of(entity_type)
        if told is None:
            self.weaviate.call("DELETE", f"/v1/objects/{collection}/{object_id(collection, key)}")
            self.sql("UPDATE ml_vector_metadata SET deleted_at = now() WHERE entity_type = %s AND entity_id = %s AND deleted_at IS NULL", (entity_type, key))
        else:
            self.put(collection, key, told)
            self.record(entity_type, [key])

    def record(self, entity_type, keys):
        """That these were delivered."""
        self.sql(RECORD, (entity_type, keys, [object_id(collection_of(entity_type), key) for key in keys]))

    def put(self, collection, key, told, vector=None):
        """One object as ml_vector_object() tells it."""
        sent = {"class": collection, "id": object_id(collection, key), "properties": told["properties"]}
        if vector:
            sent["vector"] = vector
        if self.organization_is_tenant:
            sent["tenant"] = told["organization_id"]
            self.weaviate.must("POST", f"/v1/schema/{collection}/tenants", [{"name": sent["tenant"]}])
        answer = self.weaviate.must("POST", "/v1/batch/objects", {"objects": [sent]})
        assert answer[0]["result"]["status"] == "SUCCESS", answer

    def deliver_all(self, entity_type="service_event", limit=None):
        """All entities in batches, without notes: what a first delivery leaves."""
        collection = collection_of(entity_type)
        rows = self.sql(f"SELECT entity_id::text, object FROM ml_vector_objects(%s, ARRAY(SELECT id FROM ml_source_{entity_type} ORDER BY id LIMIT %s))",
                        (entity_type, limit))
        for start in range(0, len(rows), 500):
            objects = [{"class": collection, "id": object_id(collection, key), "properties": told["properties"]} for key, told in rows[start:start + 500]]
            for one in self.weaviate.must("POST", "/v1/batch/objects", {"objects": objects}):
                assert one["result"]["status"] == "SUCCESS", json.dumps(one)
        self.record(entity_type, [key for key, _ in rows])
        return [key for key, _ in rows]


def make_template(cluster, name, n_events):
    """A database with the demonstration's rows, to be copied, where service events alone have vectors; a role that may what a forwarder may."""
    schema.create(cluster, name)
    schema.load(cluster, name, "demo/foundation.sql")
    schema.migrate(cluster, name)
    schema.load(cluster, name, "demo/data.sql", n=n_events)
    cluster.run("DELETE FROM ml_vector_metadata WHERE entity_type <> 'service_event'", name)
    if not cluster.run("SELECT 1 FROM pg_roles WHERE rolname = 'ml_forwarder'"):
        cluster.run("CREATE ROLE ml_forwarder LOGIN IN ROLE ml_proxy")
