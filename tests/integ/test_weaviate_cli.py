# SPDX-License-Identifier: ISC
"""pglane-weaviate: classes made and verified, objects compared both ways and repaired, against a Weaviate and a real outbox."""

import itertools
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import uuid

import pytest

from harness import schema, system
from harness.weaviate_tool import Tool, make_template, object_id, program

N_EVENTS = 300
CLASSES = ["CustomerBehaviorVector", "RouteOptimizationVector", "ServiceEventVector"]
EVENTS = "ServiceEventVector"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def template(cluster):
    name = "template_weaviate_cli"
    make_template(cluster, name, N_EVENTS)
    yield name
    schema.drop(cluster, name)


@pytest.fixture
def make(cluster, template, weaviate, tmp_path):
    """make(**settings) -> a Tool on a database of its own."""
    names = []

    def maker(**settings):
        names.append(f"weaviate_cli_{next(numbers)}")
        schema.create(cluster, names[-1], template)
        weaviate.made.extend(name for name in CLASSES if name not in weaviate.made)
        return Tool(cluster, names[-1], weaviate, tmp_path, **settings)

    yield maker
    for name in names:
        schema.drop(cluster, name)


@pytest.fixture
def tool(make):
    """With classes, and every event delivered."""
    tool = make()
    tool.run("init")
    tool.keys = tool.deliver_all()
    assert len(tool.keys) > 200
    return tool


def last_line(said):
    return said.rstrip().splitlines()[-1]


def changed_classes(tmp_path, change, name=EVENTS):
    """A copy of the classes in which one is changed."""
    directory = tmp_path / "classes"
    shutil.copytree(system.ROOT / "conf/weaviate/own-vectors", directory, dirs_exist_ok=True)
    path = directory / f"{name}.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))
    return directory


# ---- init ----

def test_init_makes_verifies_and_is_harmless_again(make, weaviate):
    tool = make(classes=system.ROOT / "conf/weaviate")
    said, _ = tool.run("init")
    assert re.findall(r"(\S+) +made$", said, re.MULTILINE) == CLASSES
    said, _ = tool.run("init")
    assert re.findall(r"(\S+) +is as it should be$", said, re.MULTILINE) == CLASSES
    served = weaviate.must("GET", f"/v1/schema/{EVENTS}")
    assert served["moduleConfig"]["text2vec-openai"]["dimensions"] == 1536


def test_init_of_some_and_dry_run(make, weaviate):
    tool = make(sections={"collection:MadeElsewhere": {"organization": "none"}})
    said, _ = tool.run("init", EVENTS, "--dry-run")
    assert re.search(rf"{EVENTS} +would be made", said)
    assert weaviate.must("GET", "/v1/schema")["classes"] == []
    tool.run("init", EVENTS)
    assert [one["class"] for one in weaviate.must("GET", "/v1/schema")["classes"]] == [EVENTS]
    _, complained = tool.run("init", "NoSuch", status=2)
    assert "has no class NoSuch" in complained


def test_init_adds_missing_properties(make, weaviate, tmp_path):
    def without(config):
        config["properties"] = [one for one in config["properties"] if one["name"] not in ("vectorVersion", "description")]

    make(classes=changed_classes(tmp_path, without)).run("init", EVENTS)
    tool = make()
    said, _ = tool.run("init", EVENTS)
    assert re.search(rf"{EVENTS} +given description, given vectorVersion", said), said
    assert {"vectorVersion", "description"} <= {one["name"] for one in weaviate.must("GET", f"/v1/schema/{EVENTS}")["properties"]}


def test_init_tells_what_cannot_be_mended(make, tmp_path):
    def other(config):
        config["vectorIndexConfig"]["distance"] = "dot"
        for one in config["properties"]:
            if one["name"] == "organizationId":
                one.update(dataType=["text"], tokenization="word")

    make(classes=changed_classes(tmp_path, other)).run("init", EVENTS)
    said, _ = make().run("init", EVENTS, status=1)
    assert f"{EVENTS}: distance is dot, wanted is cosine; a class cannot change this" in said
    assert f"{EVENTS}.organizationId: the type is text, wanted is uuid" in said


def test_init_with_bad_files(make, weaviate, tmp_path):
    def old(config):
        config["properties"][0]["dataType"] = ["string"]

    directory = changed_classes(tmp_path, old)
    (directory / "Broken.json").write_text('{\n"class": "Broken",\n oops }')
    _, complained = make(classes=directory).run("init", status=2)
    assert "Broken.json:3: not JSON" in complained
    assert "ServiceEventVector.json:1: property eventType: type string is split into words" in complained
    assert weaviate.must("GET", "/v1/schema")["classes"] == []


def test_init_waits_until_ready(make, weaviate):
    tool = make()
    with weaviate.fault("answer", "GET /v1/.well-known/ready", status=503):
        process = tool.start("init")
        line = process.stderr.readline()
        assert line.startswith("waiting for Weaviate: ") and "503" in line
    assert process.wait(30) == 0
    process.communicate()


def test_init_gives_up_waiting(make, weaviate):
    tool = make()
    with weaviate.fault("answer", "GET /v1/.well-known/ready", status=503):
        _, complained = tool.run("init", "--wait=0", status=2)
    assert "Weaviate was not ready within 0 s: GET" in complained and ": 503" in complained


def test_init_verifies_dimensions(make, weaviate):
    tool = make(sections={"entity:service_event": {"vector": "column embedding"}})
    tool.sql("ALTER TABLE service_events ADD embedding float4[]")
    tool.sql("UPDATE service_events SET embedding = '{0.5,0.25,0.125}'")
    tool.sql("CREATE VIEW with_vectors AS SELECT s.*, e.embedding FROM ml_source_service_event s JOIN service_events e USING (id)")
    tool.sql("ALTER VIEW ml_source_service_event RENAME TO plain_source; ALTER VIEW with_vectors RENAME TO ml_source_service_event;"
             "GRANT SELECT ON ml_source_service_event TO ml_owner, ml_proxy")
    tool.run("init")
    key, told = tool.sql("SELECT entity_id::text, object FROM ml_vector_objects('service_event', ARRAY(SELECT id FROM service_events LIMIT 1))")[0]
    tool.put(EVENTS, key, told, [1, 2, 3])
    tool.run("init")
    weaviate.must("DELETE", f"/v1/schema/{EVENTS}")
    tool.run("init")
    tool.put(EVENTS, key, told, [1, 2, 3, 4])
    said, _ = tool.run("init", status=1)
    assert f"{EVENTS}: vectors have 4 dimensions there, and 3 in column embedding of ml_source_service_event" in said


def test_a_class_that_cannot_make_the_vectors_it_is_asked_for(make):
    said, _ = make(sections={"entity:service_event": {"vector": "vectorizer"}}).run("init", status=1)
    assert "the class has no vectorizer, and [entity:service_event] leaves vectors to it" in said


# ---- reconcile ----

def test_nothing_differs(tool):
    said, complained = tool.run("reconcile")
    assert last_line(said) == "0 differences"
    assert f"{EVENTS}: {len(tool.keys)} objects, 0 missing" in said
    assert f"{EVENTS}: {len(tool.keys)} of {len(tool.keys)}" in complained  # no terminal: lines
    assert "\r" not in complained


def test_quiet(tool):
    said, complained = tool.run("reconcile", "-q")
    assert (said, complained) == ("0 differences\n", "")


def test_every_kind_of_difference_is_found_and_repaired(tool, weaviate):
    keys = tool.keys
    gone, lost, other, stranger = keys[0], keys[1], keys[2], "00000000-0000-4000-8000-00000000abcd"
    tool.sql("DELETE FROM service_events WHERE id = %s", (gone,))
    weaviate.must("DELETE", f"/v1/objects/{EVENTS}/{object_id(EVENTS, lost)}")
    weaviate.must("PATCH", f"/v1/objects/{EVENTS}/{object_id(EVENTS, other)}", {"class": EVENTS, "properties": {"eventType": "forged"}})
    weaviate.must("POST", "/v1/objects", {"class": EVENTS, "id": stranger, "properties": {"description": "somebody else's"}})

    said, _ = tool.run("reconcile", status=1)
    assert last_line(said) == "4 differences"
    assert f"service_event {gone} should not be there" in said
    assert f"service_event {lost} is missing" in said
    assert re.search(rf'service_event {other} differs: eventType is "forged" there and ".+" here', said)
    assert f"{EVENTS} {stranger} is no entity's: it has no postgresqlId" in said

    assert last_line(tool.run("reconcile", "--repair", "--dry-run", status=1)[0]) == "4 differences"
    assert tool.sql("SELECT count(*) FROM ml_vector_outbox") == [(0,)]
    said, _ = tool.run("reconcile", "--repair", status=1)
    assert last_line(said) == "1 differences"  # the stranger's
    assert tool.sql("SELECT count(*) FROM ml_vector_outbox") == [(3,)]
    served = weaviate.objects(EVENTS)
    assert stranger in served and object_id(EVENTS, other) not in served and object_id(EVENTS, gone) not in served

    said, _ = tool.run("reconcile", status=1)
    assert last_line(said) == "1 differences" and "2 pending" in said
    assert tool.deliver() == 3
    assert last_line(tool.run("reconcile", "--repair", "--unknown")[0]) == "0 differences"
    said, _ = tool.run("reconcile")
    assert last_line(said) == "0 differences" and "0 pending" in said
    assert stranger not in weaviate.objects(EVENTS)


def test_an_object_under_another_id_than_its_key_gives_it(tool, weaviate):
    served = weaviate.objects(EVENTS)[object_id(EVENTS, tool.keys[0])]
    weaviate.must("POST", "/v1/objects", {"class": EVENTS, "id": "00000000-0000-4000-8000-000000000001", "properties": served["properties"]})
    said, _ = tool.run("reconcile", status=1)
    assert "its postgresqlId would have another id" in said and last_line(said) == "1 differences"


def test_what_is_there_and_not_recorded_is_noted_and_stays(tool, weaviate):
    lost, renamed, changed, right = tool.keys[:4]
    tool.sql("UPDATE ml_vector_metadata SET deleted_at = now() WHERE entity_id = %s", (lost,))
    tool.sql("UPDATE ml_vector_metadata SET vector_id = 'old' WHERE entity_id = %s", (renamed,))
    tool.sql("UPDATE ml_vector_metadata SET vector_checksum = repeat('0', 64) WHERE entity_id = %s", (changed,))
    tool.sql("UPDATE ml_vector_metadata SET vector_checksum = (SELECT encode(sha256(convert_to((ml_vector_object('service_event', entity_id) -> 'properties')::text, 'UTF8')), 'hex'))"
             " WHERE entity_id = %s", (right,))
    said, _ = tool.run("reconcile", "--repair")
    for key, why in ((lost, "ml_vector_metadata does not have it"), (renamed, "ml_vector_metadata has another vector_id"), (changed, "ml_vector_metadata has another checksum")):
        assert f"service_event {key} is not recorded: {why}" in said
    assert "3 not recorded, 0 pending, 3 repaired" in said
    assert len(weaviate.objects(EVENTS)) == len(tool.keys)
    assert tool.deliver() == 3
    assert last_line(tool.run("reconcile")[0]) == "0 differences"


def test_notes_that_wait_are_pending_and_dead_ones_tell_why(tool):
    waits, dead = tool.keys[:2]
    tool.sql("UPDATE service_events SET description = 'changed' WHERE id IN (%s, %s)", (waits, dead))
    tool.sql("SELECT ml_outbox_note('service_event', %s)", (waits,))
    tool.sql("INSERT INTO ml_vector_dead (entity_type, entity_id, op, gen, attempts, last_error, enqueued_at) VALUES ('service_event', %s, 'U', 1, 12, 'too large', now())",
             (dead,))
    said, _ = tool.run("reconcile", status=1)
    assert last_line(said) == "1 differences" and "1 pending" in said
    assert re.search(rf"service_event {dead} differs: description .* here; given up: too large", said)
    assert "1 will be tried again" in tool.run("retry", "service_event", dead)[0]
    said, _ = tool.run("reconcile")
    assert last_line(said) == "0 differences" and "2 pending" in said


def test_repairing_revives_what_was_given_up(tool, weaviate):
    dead = tool.keys[0]
    weaviate.must("DELETE", f"/v1/objects/{EVENTS}/{object_id(EVENTS, dead)}")
    tool.sql("INSERT INTO ml_vector_dead (entity_type, entity_id, op, gen, attempts, enqueued_at) VALUES ('service_event', %s, 'U', 1, 12, now())", (dead,))
    tool.run("reconcile", "--repair")
    assert tool.sql("SELECT count(*) FROM ml_vector_dead") == [(0,)]
    assert tool.deliver() == 1
    assert last_line(tool.run("reconcile")[0]) == "0 differences"


def test_a_delivery_that_passes_the_reading_is_no_difference(tool, weaviate):
    """The object is read before, and Postgres after a change was delivered: it is read again."""
    key = tool.keys[0]
    with weaviate.fault("hold", "GET /v1/objects", late=True, times=1):
        process = tool.start("reconcile")
        weaviate.wait_held()
        tool.sql("UPDATE service_events SET description = 'changed' WHERE id = %s", (key,))
        tool.sql("SELECT ml_outbox_note('service_event', %s)", (key,))
        assert tool.deliver() == 1
        weaviate.release()
        said, complained = process.communicate(timeout=60)
    assert process.returncode == 0, said + complained
    assert last_line(said) == "0 differences" and "0 pending" in said


@pytest.mark.parametrize("page", [0, 1])
def test_an_entity_made_and_delivered_meanwhile_is_no_difference(tool, weaviate, page):
    """Its place in the cursor's order was passed when it was delivered, during the first page or the last, which is empty."""
    key = next(key for key in (str(uuid.uuid4()) for _ in itertools.count()) if object_id(EVENTS, key) < min(weaviate.objects(EVENTS)))
    with weaviate.fault("hold", "GET /v1/objects", late=True, skip=page, times=1):
        process = tool.start("reconcile")
        weaviate.wait_held()
        tool.sql("INSERT INTO service_events SELECT (jsonb_populate_record(e, jsonb_build_object('id', %s))).* FROM service_events e LIMIT 1", (key,))
        tool.sql("SELECT ml_outbox_note('service_event', %s)", (key,))
        assert tool.deliver() == 1
        weaviate.release()
        said, complained = process.communicate(timeout=60)
    assert process.returncode == 0, said + complained
    assert last_line(said) == "0 differences" and f"{len(tool.keys)} objects" in said


def test_many_pages_and_a_set_that_does_not_fit(make, weaviate):
    """More objects than a page has, and an empty side."""
    tool = make()
    tool.run("init")
    tool.sql("INSERT INTO service_events SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid()))).*"
             " FROM service_events e, generate_series(1, 9)")
    n = tool.sql("SELECT count(*) FROM ml_source_service_event")[0][0]
    assert n > 2500
    said, _ = tool.run("reconcile", "service_event", status=1)
    assert last_line(said) == f"{n} differences"
    assert said.count("is missing") == 100 and "more differences are counted, not told" in said
    tool.deliver_all()
    assert last_line(tool.run("reconcile", EVENTS)[0]) == "0 differences"
    tool.sql("DELETE FROM service_events")
    said, _ = tool.run("reconcile", "--repair", EVENTS)
    assert f"{n} should not be there" in said and last_line(said) == "0 differences"
    assert weaviate.objects(EVENTS) == {}
    assert tool.sql("SELECT count(*) FROM ml_vector_outbox") == [(n,)]


def test_tenants(make, weaviate):
    tool = make(sections={"collection:ServiceEventVector": {"organization": "tenant"}})
    tool.run("init", EVENTS)
    assert weaviate.must("GET", f"/v1/schema/{EVENTS}")["multiTenancyConfig"]["enabled"]
    rows = tool.sql("SELECT entity_id::text, object FROM ml_vector_objects('service_event', ARRAY(SELECT id FROM service_events))")
    for key, told in rows:
        tool.put(EVENTS, key, told)
    tool.record("service_event", [key for key, _ in rows])
    assert last_line(tool.run("reconcile", EVENTS)[0]) == "0 differences"
    key, told = rows[0]
    wrong = next(other["organization_id"] for _, other in rows if other["organization_id"] != told["organization_id"])
    tool.put(EVENTS, key, {**told, "organization_id": wrong})
    weaviate.must("DELETE", f"/v1/objects/{EVENTS}/{object_id(EVENTS, key)}?tenant={told['organization_id']}")
    said, _ = tool.run("reconcile", EVENTS, status=1)
    assert f"service_event {key} should not be there: it belongs to organization {told['organization_id']}" in said
    assert f"service_event {key} is missing" in said and last_line(said) == "2 differences"
    tool.run("reconcile", "--repair", EVENTS)
    assert weaviate.objects(EVENTS, wrong).keys().isdisjoint({object_id(EVENTS, key)})
    assert tool.deliver() == 1
    assert last_line(tool.run("reconcile", EVENTS)[0]) == "0 differences"


def test_vectors_of_a_column_are_compared(make, weaviate):
    tool = make(sections={"entity:service_event": {"vector": "column embedding"}})
    tool.sql("ALTER TABLE service_events ADD embedding float8[]")
    tool.sql("UPDATE service_events SET embedding = ARRAY[0.1, 1.0 / 3, 2]")
    tool.sql("ALTER VIEW ml_source_service_event RENAME TO plain_source;"
             "CREATE VIEW ml_source_service_event AS SELECT s.*, e.embedding FROM plain_source s JOIN service_events e USING (id);"
             "ALTER VIEW plain_source OWNER TO postgres; GRANT SELECT ON ml_source_service_event TO ml_owner, ml_proxy")
    tool.run("init")
    rows = tool.sql("SELECT entity_id::text, object FROM ml_vector_objects('service_event', ARRAY(SELECT id FROM service_events))")
    for key, told in rows:
        tool.put(EVENTS, key, told, [0.1, 1 / 3, 2])
    tool.record("service_event", [key for key, _ in rows])
    assert last_line(tool.run("reconcile")[0]) == "0 differences"
    tool.put(EVENTS, *rows[0], [0.1, 0.25, 2])
    said, _ = tool.run("reconcile", status=1)
    assert f"service_event {rows[0][0]} differs: its vector is another" in said and last_line(said) == "1 differences"


def test_a_bar_on_a_terminal(tool):
    main, other = pty.openpty()
    process = tool.start("reconcile", stderr=other)
    os.close(other)
    shown = b""
    while True:
        try:
            part = os.read(main, 4096)
        except OSError:
            break
        if not part:
            break
        shown += part
    assert process.wait(60) == 0
    os.close(main)
    process.stdout.close()
    assert b"\r[" in shown and b"% " in shown and EVENTS.encode() in shown


def test_names_of_reconcile(make):
    tool = make()
    tool.sql("TRUNCATE ml_vector_metadata CASCADE")
    _, complained = tool.run("reconcile", status=2)
    assert "no entity type is in use" in complained
    _, complained = tool.run("reconcile", "nothing", status=2)
    assert "nothing is neither an entity type" in complained
    _, complained = tool.run("reconcile", EVENTS, status=2)
    assert f"{EVENTS}: the class is missing; pglane-weaviate init makes it" in complained


# ---- status, retry, drop ----

def test_status(tool, weaviate):
    weaviate.must("DELETE", "/v1/schema/RouteOptimizationVector")
    tool.sql("SELECT ml_outbox_note('service_event', %s)", (tool.keys[0],))
    tool.sql("INSERT INTO ml_vector_dead (entity_type, entity_id, op, gen, attempts, last_error, enqueued_at)"
             " SELECT 'service_event', id, 'U', 1, 12, E'too\\nlarge', now() FROM service_events LIMIT 3")
    said, _ = tool.run("status")
    version = ".".join(map(str, weaviate.version))
    assert re.search(rf"weaviate {re.escape(weaviate.url)} version {version}, search by (graphql|rest)", said)
    assert re.search(rf"class {EVENTS} +{len(tool.keys)} objects, as it should be", said)
    assert "RouteOptimizationVector: the class is missing; pglane-weaviate init makes it" in said
    assert re.search(r"outbox 1 waiting, 0 leased, 0 failing, 3 given up, oldest 00:00:\d\d", said)
    assert "given up service_event 3: too large" in said
    assert re.search(r"delivered service_event \d+, deleted 0, last 20", said)


def test_status_tells_the_other_side_when_one_is_away(tool, weaviate):
    with weaviate.away():
        said, complained = tool.run("status", status=2)
    assert "GET" in complained and "see weaviate_url" in complained and "outbox 0 waiting" in said
    tool.cluster.run(f"ALTER DATABASE {tool.database} RENAME TO hidden_database")
    try:
        said, complained = tool.run("status", status=2)
    finally:
        tool.cluster.run(f"ALTER DATABASE hidden_database RENAME TO {tool.database}")
    assert f"class {EVENTS}" in said and "outbox_database shop: " in complained and "does not exist" in complained


def test_retry(tool):
    tool.sql("INSERT INTO ml_vector_dead (entity_type, entity_id, op, gen, attempts, enqueued_at) SELECT 'service_event', id, 'U', 1, 12, now() FROM service_events LIMIT 5")
    assert tool.run("retry", "--dry-run")[0] == "5 would be tried again\n"
    assert tool.run("retry", "customer_behavior")[0] == "0 will be tried again\n"
    assert tool.run("retry", "service_event")[0] == "5 will be tried again\n"
    assert tool.run("retry")[0] == "0 will be tried again\n"
    _, complained = tool.run("retry", "service_event", "no-uuid", status=2)
    assert "22P02" in complained


def test_drop_asks_first(tool, weaviate):
    said, complained = tool.run("drop", status=2)
    assert f"{EVENTS} with {len(tool.keys)} objects would be deleted" in said and "--yes" in complained
    assert len(weaviate.objects(EVENTS)) == len(tool.keys)
    tool.run("drop", "--yes", "--dry-run", EVENTS)
    assert len(weaviate.objects(EVENTS)) == len(tool.keys)
    said, _ = tool.run("drop", "--yes", EVENTS)
    assert said == f"{EVENTS} is deleted\n"
    assert sorted(one["class"] for one in weaviate.must("GET", "/v1/schema")["classes"]) == CLASSES[:2]
    tool.run("drop", "--yes")
    assert weaviate.must("GET", "/v1/schema")["classes"] == []
    assert "nothing to delete" in tool.run("drop", "--yes")[0]


def test_a_deletion_that_crashed_is_none(tool, weaviate):
    with weaviate.fault("empty", f"DELETE /v1/schema/{EVENTS}"):
        _, complained = tool.run("drop", "--yes", EVENTS, status=2)
    assert f"{EVENTS} is still there" in complained
    weaviate.must("PATCH", f"/v1/objects/{EVENTS}/{object_id(EVENTS, tool.keys[0])}", {"class": EVENTS, "properties": {"eventType": "forged"}})
    with weaviate.fault("empty", f"DELETE /v1/objects/{EVENTS}/.*"):
        _, complained = tool.run("reconcile", "--repair", status=2)
    assert "Weaviate said 200, and a deletion is told by 204" in complained
    assert last_line(tool.run("reconcile", "--repair")[0]) == "0 differences"
    tool.deliver()
    assert last_line(tool.run("reconcile")[0]) == "0 differences"


def test_all_comes_back_after_a_drop(tool, weaviate):
    tool.run("drop", "--yes")
    tool.run("init")
    tool.run("reconcile", "--repair")
    assert tool.deliver() == len(tool.keys)
    assert last_line(tool.run("reconcile")[0]) == "0 differences"


# ---- trouble ----

def test_keys_and_rights(make, weaviate):
    _, complained = make(weaviate_api_key="wrong").run("init", status=2)
    assert ": 401: " in complained and "see weaviate_api_key" in complained
    _, complained = make(weaviate_api_key="reader").run("init", status=2)
    assert ": 403: " in complained
    tool = make(outbox_user="u_other")
    tool.run("init")
    _, complained = tool.run("reconcile", status=2)
    assert "42501" in complained and "outbox_user must be a member of ml_proxy" in complained


def test_settings_that_are_missing(make, cluster):
    _, complained = make(weaviate_url=None).run("status", status=2)
    assert "weaviate_url is not set" in complained
    _, complained = make(outbox_database=None).run("retry", status=2)
    assert "outbox_database is not set" in complained
    tool = make()
    tool.database, empty = "postgres", tool.database
    tool.ini.write_text(tool.ini.read_text().replace(f"dbname={empty}", "dbname=postgres"))
    _, complained = tool.run("retry", status=2)
    assert "run sql/pglane-migrate there" in complained


def test_a_busy_server_is_asked_again(tool, weaviate):
    with weaviate.fault("answer", "GET /v1/objects", status=503, times=2):
        assert last_line(tool.run("reconcile")[0]) == "0 differences"


def test_answers_that_make_no_sense(tool, weaviate):
    for fault in ({"do": "empty"}, {"do": "answer", "status": 200, "body": {"objects": 1}}, {"do": "answer", "status": 200, "text": "<html>"},
                  {"do": "answer", "status": 200, "body": {"objects": [{"id": "x"}]}},
                  {"do": "answer", "status": 200, "body": {"objects": [{"id": "00000000-0000-4000-8000-000000000001"}]}}):
        weaviate.lay({"call": "GET /v1/objects", **fault})
        _, complained = tool.run("reconcile", status=2)
        assert re.search("makes no sense|an object without an id|cursor does not move on", complained), (fault, complained)
    weaviate.lay()


def test_a_crash_in_a_deletion_is_no_deletion(tool, weaviate):
    stranger = "00000000-0000-4000-8000-00000000abcd"
    weaviate.must("POST", "/v1/objects", {"class": EVENTS, "id": stranger, "properties": {}})
    with weaviate.fault("empty", "DELETE /v1/objects/.*"):
        _, complained = tool.run("reconcile", "--repair", "--unknown", status=2)
    assert "a deletion is told by 204" in complained and stranger in weaviate.objects(EVENTS)
    assert last_line(tool.run("reconcile", "--repair", "--unknown")[0]) == "0 differences"


def test_killed_amid_a_repair_nothing_is_lost(tool, weaviate):
    for key in tool.keys[:5]:
        weaviate.must("PATCH", f"/v1/objects/{EVENTS}/{object_id(EVENTS, key)}", {"class": EVENTS, "properties": {"eventType": "forged"}})
    with weaviate.fault("hold", f"DELETE /v1/objects/{EVENTS}/.*", late=True, skip=2, times=1):
        process = tool.start("reconcile", "--repair")
        weaviate.wait_held()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        weaviate.release()
    assert tool.deliver() == 5
    assert last_line(tool.run("reconcile")[0]) == "0 differences"


def test_a_delivery_amid_a_repair_is_made_again(tool, weaviate):
    """The note is delivered before the object is deleted: another one follows the deletion."""
    weaviate.must("PATCH", f"/v1/objects/{EVENTS}/{object_id(EVENTS, tool.keys[0])}", {"class": EVENTS, "properties": {"eventType": "forged"}})
    with weaviate.fault("hold", f"DELETE /v1/objects/{EVENTS}/.*", times=1):
        process = tool.start("reconcile", "--repair")
        weaviate.wait_held()
        assert tool.deliver() == 1
        weaviate.release()
        process.communicate()
    assert process.returncode == 0
    assert tool.deliver() == 1
    assert last_line(tool.run("reconcile")[0]) == "0 differences"


def test_command_line():
    def ask(*arguments, status=2):
        done = subprocess.run([str(program()), *arguments], capture_output=True, text=True, timeout=30)
        assert done.returncode == status, done
        return done.stdout + done.stderr

    assert "Usage: pglane-weaviate" in ask("--help", status=0)
    assert ask("--version", status=0).startswith("pglane-weaviate ")
    assert "a command and a configuration file are needed" in ask("init")
    assert "unknown command" in ask("frobnicate", "x.ini")
    assert "does not go with this command" in ask("status", "x.ini", "--repair")
    assert "--unknown goes with --repair" in ask("reconcile", "x.ini", "--unknown")
    assert "--wait needs seconds" in ask("init", "x.ini", "--wait=soon")
    assert "too many names" in ask("status", "x.ini", "A")
    assert "x.ini" in ask("status", "/nonexistent/x.ini")
