# SPDX-License-Identifier: ISC
"""pglane holds Weaviate's classes against weaviate_classes before it sends; and pglane-weaviate together with pglane as the forwarder."""

import itertools
import json
import shutil
import subprocess

import pytest

from harness import schema, system
from harness.proxy import command
from harness.weaviate_tool import Tool, make_template

TYPE, NAME = "service_event", "ServiceEventVector"
WAITS = f"objects of {TYPE} wait in the outbox: "
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def template(cluster):
    """Events are tracked, and none has a vector yet."""
    name = "template_weaviate_classes"
    make_template(cluster, name, 300)
    cluster.run(f"DELETE FROM ml_vector_metadata; ALTER TABLE service_events ADD embedding float4[]; SELECT ml_vector_track('service_events', '{TYPE}')", name)
    yield name
    schema.drop(cluster, name)


class Setup:
    """A tool, and pglane on the same database, Weaviate and classes."""

    def __init__(self, start, cluster, database, weaviate, directory):
        self.start_proxy, self.cluster, self.database, self.weaviate = start, cluster, database, weaviate
        self.classes, self.directory = directory / "classes", directory
        shutil.copytree(system.ROOT / "conf/weaviate/own-vectors", self.classes)

    def tool(self, **settings):
        return Tool(self.cluster, self.database, self.weaviate, self.directory, classes=self.classes, **settings)

    def start(self, **settings):
        """A lease is 3 s, so that what was put off comes back soon."""
        return self.start_proxy(databases={"shop": f"host={self.cluster.directory} port={self.cluster.port} dbname={self.database}"}, **{
            "weaviate_url": self.weaviate.url, "weaviate_api_key": self.weaviate.api_key, "weaviate_classes": self.classes, "outbox_poll": "50ms",
            "weaviate_timeout": "1s", "weaviate_write_timeout": "1500ms", "outbox_database": "shop", "outbox_user": "ml_forwarder", **settings})

    def change_class(self, change):
        path = self.classes / f"{NAME}.json"
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))

    def sql(self, statement, arguments=None):
        return self.cluster.run(statement, self.database, arguments)

    def touch(self):
        """One event changes; its key."""
        return self.sql("UPDATE service_events SET description = description || '!' WHERE id = (SELECT min(id::text)::uuid FROM service_events) RETURNING id::text")[0][0]

    def n_waiting(self):
        return self.sql("SELECT count(*) FROM ml_vector_outbox")[0][0]

    def wait_delivered(self):
        system.eventually(lambda: self.n_waiting() == 0, 30, "an empty outbox")
        assert self.sql("SELECT count(*) FROM ml_vector_dead") == [(0,)]


@pytest.fixture
def setup(start, cluster, template, weaviate):
    name = f"weaviate_classes_{next(numbers)}"
    schema.create(cluster, name, template)
    weaviate.made.extend(name_ for name_ in ("CustomerBehaviorVector", "RouteOptimizationVector", NAME) if name_ not in weaviate.made)
    directory = system.temporary_directory("pglane-classes-")  # where the user that pglane runs as can read
    yield Setup(start, cluster, name, weaviate, directory)
    system.remove(directory)
    schema.drop(cluster, name)


def wait_log(proxy, text):
    system.eventually(lambda: text in proxy.log.read_text(), 20, f"the log line {text!r}")


def set_type(config, name, kind):
    for one in config["properties"]:
        if one["name"] == name:
            one.pop("tokenization", None)
            one["dataType"] = [kind]


def test_objects_wait_for_their_class(setup):
    setup.touch()
    proxy = setup.start()
    wait_log(proxy, f"{WAITS}{NAME}: the class is missing: run pglane-weaviate init")
    with proxy.console() as console:
        assert console.show("OUTBOX")[0]["trouble"] == f"{NAME}: the class is missing"
    assert "CustomerBehaviorVector" not in proxy.log.read_text()  # nobody asked for it
    setup.tool().run("init")
    setup.wait_delivered()
    assert len(setup.weaviate.objects(NAME)) == 1
    wait_log(proxy, "no objects wait for their class any more")
    with proxy.console() as console:
        assert console.show("OUTBOX")[0]["trouble"] == ""


def test_objects_wait_while_their_class_is_another(setup):
    setup.change_class(lambda config: set_type(config, "customerId", "text"))
    setup.tool().run("init")
    setup.change_class(lambda config: set_type(config, "customerId", "uuid"))
    setup.touch()
    proxy = setup.start()
    wait_log(proxy, f"Weaviate's class {NAME}.customerId: the type is text, wanted is uuid; a class cannot change this")
    wait_log(proxy, f"{WAITS}{NAME}.customerId: the type is text, wanted is uuid")
    assert setup.weaviate.n_calls("POST /v1/batch/objects") == 0
    setup.tool().run("drop", "--yes", NAME)
    setup.tool().run("init")
    setup.wait_delivered()


def test_a_property_is_added_while_it_waits(setup):
    setup.change_class(lambda config: config["properties"].pop(1))
    setup.tool().run("init")
    shutil.copy(system.ROOT / f"conf/weaviate/own-vectors/{NAME}.json", setup.classes)
    setup.touch()
    proxy = setup.start()
    wait_log(proxy, f"{WAITS}{NAME}.description: the property is missing")
    setup.tool().run("init")
    setup.wait_delivered()


def test_what_makes_no_object_wrong_is_told_only(setup):
    setup.tool().run("init")
    setup.change_class(lambda config: next(one for one in config["properties"] if one["name"] == "description").update(tokenization="whitespace"))
    setup.touch()
    proxy = setup.start()
    setup.wait_delivered()
    wait_log(proxy, f"Weaviate's class {NAME}.description: tokenization is word, wanted is whitespace; ")
    assert WAITS not in proxy.log.read_text()


def test_after_a_reload_other_classes_hold(setup):
    setup.tool().run("init")
    proxy = setup.start()
    setup.touch()
    setup.wait_delivered()
    setup.change_class(lambda config: set_type(config, "customerId", "text"))
    with proxy.console() as console:
        console.run("RELOAD")
    wait_log(proxy, f"Weaviate's class {NAME}.customerId: the type is uuid, wanted is text; ")
    setup.touch()
    wait_log(proxy, f"{WAITS}{NAME}.customerId: the type is uuid, wanted is text")
    setup.change_class(lambda config: set_type(config, "customerId", "uuid"))
    with proxy.console() as console:
        console.run("RELOAD")
    setup.wait_delivered()


def test_classes_that_cannot_be_read_are_not_verified(setup):
    setup.tool().run("init")
    (setup.classes / "Broken.json").write_text("{")
    setup.touch()
    proxy = setup.start()
    setup.wait_delivered()
    wait_log(proxy, "Weaviate's classes are not verified: ")
    assert "Broken.json:1: not JSON" in proxy.log.read_text()


def test_a_key_that_may_not_read_the_schema(setup):
    setup.tool().run("init")
    setup.touch()
    with setup.weaviate.fault("answer", "GET /v1/schema", status=403, body={"error": [{"message": "forbidden"}]}):
        proxy = setup.start()
        setup.wait_delivered()
        wait_log(proxy, f"Weaviate's classes are not verified: GET {setup.weaviate.url}/v1/schema: status 403")


def test_weaviate_is_away_at_the_start(setup):
    setup.change_class(lambda config: set_type(config, "customerId", "text"))
    setup.tool().run("init")
    setup.change_class(lambda config: set_type(config, "customerId", "uuid"))
    with setup.weaviate.away():
        setup.touch()
        proxy = setup.start()
        wait_log(proxy, "the outbox waits for Weaviate")
    wait_log(proxy, f"{WAITS}{NAME}.customerId")
    assert setup.sql("SELECT count(*) FROM ml_vector_dead") == [(0,)]


def test_check_tells_of_bad_classes(program, tmp_path):
    (tmp_path / "classes").mkdir()
    (tmp_path / "classes/A.json").write_text('{"class": "A", "vectorizer": "none",\n"properties": [{"name": "a", "dataType": ["string"]}]}')
    ini = tmp_path / "pglane.ini"
    ini.write_text("[pglane]\nweaviate_url = http://127.0.0.1:1\nweaviate_classes = classes\n[databases]\napp = host=127.0.0.1\n")
    done = subprocess.run(command(program, "--check", ini), capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "A.json:2: property a: type string is split into words" in done.stderr, done
    (tmp_path / "classes/A.json").write_text('{"class": "A", "vectorizer": "none", "properties": [{"name": "a", "dataType": ["uuid"]}]}')
    done = subprocess.run(command(program, "--check", ini), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done


# ---- with the tool ----

@pytest.mark.parametrize("vector", ["none", "column embedding"])
def test_repaired_by_pglane_nothing_differs(setup, vector):
    """What the forwarder stores and records is what the tool wants to find, to the last digit and checksum."""
    sections = {f"entity:{TYPE}": {"vector": vector}}
    setup.sql("SELECT ml_vector_untrack('service_events', 'service_event'); UPDATE service_events SET embedding = ARRAY[0.1, random(), 1e-7, -random()]")
    setup.sql("""CREATE VIEW with_vectors AS SELECT s.*, e.embedding FROM ml_source_service_event s JOIN service_events e USING (id);
        ALTER VIEW ml_source_service_event RENAME TO plain_source; ALTER VIEW with_vectors RENAME TO ml_source_service_event;
        GRANT SELECT ON ml_source_service_event TO ml_owner, ml_proxy""")
    tool = setup.tool(sections=sections)
    tool.run("init")
    said, _ = tool.run("reconcile", "--repair", TYPE)
    n = setup.n_waiting()
    assert n > 200 and f"{n} missing" in said
    setup.start(sections=sections)
    setup.wait_delivered()
    assert tool.run("reconcile", TYPE)[0].rstrip().splitlines()[-1] == "0 differences"
    key = setup.touch()
    assert f"service_event {key} differs: description is" in tool.run("reconcile", "--repair", TYPE)[0]
    setup.wait_delivered()
    assert tool.run("reconcile", TYPE)[0].rstrip().splitlines()[-1] == "0 differences"
