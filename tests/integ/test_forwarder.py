# SPDX-License-Identifier: ISC
"""The forwarder: what is noted in the outbox becomes so in Weaviate, whatever either side does meanwhile."""

import itertools
import signal
import socket
import ssl
import threading
import time
import urllib.parse
import uuid

import psycopg2
import pytest

from harness import schema, system

TYPE, NAME = "service_event", "ServiceEventVector"
ORGANIZATION = "6f1c1c1e-0000-4000-8000-0000000000aa"
OTHER = "6f1c1c1e-0000-4000-8000-0000000000bb"
BATCH = "POST /v1/batch/objects"
numbers = itertools.count(1)


def collection(name=NAME, tenants=False, **changes):
    properties = [{"name": name_, "dataType": [kind]} for name_, kind in
                  (("eventType", "text"), ("description", "text"), ("location", "geoCoordinates"), ("customerId", "uuid"), ("routeId", "uuid"),
                   ("postgresqlId", "uuid"), ("organizationId", "uuid"))]
    properties.append({"name": "performanceMetrics", "dataType": ["object"], "indexFilterable": False,
                       "nestedProperties": [{"name": "durationSeconds", "dataType": ["number"]}, {"name": "success", "dataType": ["boolean"]}]})
    return {"class": name, "vectorizer": "none", "properties": properties, **({"multiTenancyConfig": {"enabled": True}} if tenants else {}), **changes}


def id_of(key, name=NAME):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name + str(key)))


@pytest.fixture(scope="module")
def template(cluster):
    """A database with the application's tables and every migration, whose events are tracked; its events have vectors."""
    name = "template_outbox"
    schema.create(cluster, name)
    schema.load(cluster, name, "demo/foundation.sql")
    schema.migrate(cluster, name)
    cluster.run(f"""INSERT INTO organizations (id, name, slug, country) VALUES ('{ORGANIZATION}', 'One', 'one', 'DE'), ('{OTHER}', 'Other', 'other', 'DE');
        ALTER TABLE service_events ADD COLUMN embedding float4[];
        SELECT ml_vector_track('service_events', '{TYPE}');
        GRANT ml_proxy TO app, u_other""", name)
    yield name
    cluster.run("REVOKE ml_proxy FROM app, u_other")  # roles are the cluster's
    schema.drop(cluster, name)


class Outbox:
    """A database with an outbox."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name

    def run(self, sql, arguments=None):
        return self.cluster.run(sql, self.name, arguments)

    def insert(self, n=1, description="overflow at the gate", organization=ORGANIZATION):
        """n events in one statement; their keys."""
        return [key for key, in self.run(f"""INSERT INTO service_events (organization_id, event_type, description, service_date, location)
            SELECT '{organization}', 'overflow', %s || ' ' || i, now(), ST_MakePoint(13.4, 52.5) FROM generate_series(1, {n}) i RETURNING id""", (description,))]

    def count(self, table="ml_vector_outbox", where="true"):
        return self.run(f"SELECT count(*) FROM {table} WHERE {where}")[0][0]

    def wait_empty(self, timeout_s=30):
        system.eventually(lambda: self.count() == 0, timeout_s, "an empty outbox")

    def dead(self):
        return self.run("SELECT entity_id, last_error FROM ml_vector_dead ORDER BY entity_id")


@pytest.fixture
def outbox(cluster, template):
    name = f"outbox_{next(numbers)}"
    schema.create(cluster, name, template)
    yield Outbox(cluster, name)
    schema.drop(cluster, name)


@pytest.fixture
def forward(start, outbox, weaviate):
    """forward(**settings): pglane, forwarding the outbox to Weaviate. Patience is short: a lease is 6 s, a request 1 s."""
    def starter(**settings):
        settings = {"databases": {"box": f"{{server}} dbname={outbox.name}"}, "outbox_poll": "50ms", "weaviate_timeout": "1s", "weaviate_write_timeout": "3s",
                    "weaviate_url": weaviate.url, "weaviate_api_key": weaviate.api_key, "outbox_database": "box", "outbox_user": "app", "server_login_retry": "100ms", **settings}
        return start(**settings)
    return starter


@pytest.fixture
def events(weaviate):
    weaviate.create_class(collection())
    return lambda: weaviate.objects(NAME)


def status(proxy):
    with proxy.console() as console:
        return console.show("OUTBOX")[0]


# ---- what is right ----

def test_rows_become_objects_and_follow_their_changes(forward, outbox, weaviate, events):
    proxy = forward()
    key, other = outbox.insert(2)
    system.eventually(lambda: len(events()) == 2, 20)
    outbox.wait_empty()
    found = events()[id_of(key)]
    assert found["properties"]["postgresqlId"] == str(key) and found["properties"]["organizationId"] == ORGANIZATION
    assert found["properties"]["description"] == "overflow at the gate 1" and abs(found["properties"]["location"]["latitude"] - 52.5) < 1e-4
    metadata = outbox.run("SELECT vector_id, vector_version, length(vector_checksum), generation_time_ms >= 0, organization_id::text, deleted_at,"
                          " vector_dimensions FROM ml_vector_metadata WHERE entity_id = %s", (key,))
    assert metadata == [(id_of(key), 1, 64, True, ORGANIZATION, None, None)]
    outbox.run("UPDATE service_events SET description = 'emptied' WHERE id = %s", (key,))
    system.eventually(lambda: events()[id_of(key)]["properties"]["description"] == "emptied", 20)
    outbox.run("DELETE FROM service_events WHERE id = %s", (key,))
    system.eventually(lambda: set(events()) == {id_of(other)}, 20)
    outbox.run("UPDATE service_events SET deleted_at = now() WHERE id = %s", (other,))
    system.eventually(lambda: not events(), 20)
    outbox.wait_empty()
    assert outbox.count("ml_vector_metadata", "deleted_at IS NOT NULL") == 2
    outbox.run("UPDATE service_events SET deleted_at = NULL WHERE id = %s", (other,))
    system.eventually(lambda: set(events()) == {id_of(other)}, 20)
    shown = status(proxy)
    assert shown["state"] == "forwarding" and shown["trouble"] == "" and shown["dead"] == 0 and shown["stored"] >= 4 and shown["deleted"] == 2
    assert 0 < shown["lag_p50_ms"] <= shown["lag_p99_ms"] <= shown["lag_max_ms"] < 20000 and shown["rate"] > 0


def test_a_note_of_the_application(forward, outbox, events):
    """Without a trigger, for one entity, in the application's transaction."""
    key, = outbox.insert()
    outbox.run("DELETE FROM ml_vector_outbox")
    forward()
    connection = psycopg2.connect(host=str(outbox.cluster.directory), port=outbox.cluster.port, user="app", dbname=outbox.name)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT ml_outbox_note(%s, %s)", (TYPE, str(key)))
        assert not events()
    connection.close()
    system.eventually(lambda: set(events()) == {id_of(key)}, 20)


def test_many_changes_cost_one_object(forward, outbox, weaviate, events):
    """Changes while nothing is forwarded are one note; batches have at most outbox_batch objects."""
    keys = outbox.insert(250)
    for i in range(5):
        outbox.run("UPDATE service_events SET description = %s", (f"change {i}",))
    before = weaviate.n_calls(BATCH)
    forward()
    outbox.wait_empty()
    assert set(events()) == {id_of(key) for key in keys}
    assert {one["properties"]["description"] for one in events().values()} == {"change 4"}
    assert weaviate.n_calls(BATCH) - before == 3


def test_batches_are_bounded_in_bytes(forward, outbox, weaviate, events):
    outbox.insert(8, "x" * 30000)
    before = weaviate.n_calls(BATCH)
    forward(outbox_batch_bytes="65536")
    outbox.wait_empty()
    assert len(events()) == 8 and weaviate.n_calls(BATCH) - before >= 4
    big, = outbox.insert(1, "y" * 70000)
    system.eventually(lambda: outbox.dead(), 20)
    assert outbox.dead()[0][0] == str(big) and outbox.dead()[0][1].startswith("size: ") and "outbox_batch_bytes" in outbox.dead()[0][1]


def test_many_deletions_are_few_requests(forward, outbox, weaviate, events):
    """Those that were never stored, and one that is refused among many, are asked about by themselves."""
    def alone():
        return sum(n for call, n in weaviate.state()["calls"].items() if call.startswith("DELETE /v1/objects/"))

    many = f"DELETE {BATCH.split()[1]}"
    keys = outbox.insert(250)
    proxy = forward(outbox_batch=100)
    outbox.wait_empty()
    assert len(events()) == 250
    with proxy.console() as console:
        console.run("PAUSE FORWARDING")
        outbox.insert(3)
        outbox.run("DELETE FROM service_events")
        weaviate.lay({"do": "refuse", "call": many, "ids": [id_of(keys[7])], "text": "no luck today"})
        n_many, n_alone = weaviate.n_calls(many), alone()
        console.run("RESUME FORWARDING")
    outbox.wait_empty()
    assert events() == {} and not outbox.dead() and status(proxy)["deleted"] == 253
    assert weaviate.n_calls(many) - n_many <= 10 and alone() - n_alone == 4


def test_vectors_from_a_column(forward, outbox, weaviate, events):
    outbox.run("""DO $$ BEGIN EXECUTE (SELECT 'CREATE OR REPLACE VIEW ml_source_service_event AS ' || regexp_replace(
        pg_get_viewdef('ml_source_service_event'), '\\s+FROM \\(?service_events', ', e.embedding\\&')); END $$""")
    outbox.run(f"SELECT ml_vector_track('service_events', '{TYPE}')")
    key, = outbox.insert()
    outbox.run("UPDATE service_events SET embedding = '{0.25,-0.5,1e-7}' WHERE id = %s", (key,))
    forward(sections={f"entity:{TYPE}": {"vector": "column embedding"}})
    outbox.wait_empty()
    vector = weaviate.objects(NAME, with_vector=True)[id_of(key)]["vector"]
    assert [round(x, 9) for x in vector] == [0.25, -0.5, 1e-7]
    assert outbox.run("SELECT vector_dimensions FROM ml_vector_metadata") == [(3,)]
    outbox.run("UPDATE service_events SET embedding = '{0.25,NaN,1}' WHERE id = %s", (key,))
    system.eventually(lambda: outbox.dead() and outbox.dead()[0][1].startswith("vector: "), 20)
    outbox.run("UPDATE service_events SET embedding = '{0.25,1}' WHERE id = %s", (key,))  # another length than the collection's
    system.eventually(lambda: outbox.count() == 0 and "2" in outbox.dead()[0][1], 20)
    assert outbox.dead()[0][1].startswith("vector: ")


def test_tenants(forward, outbox, weaviate):
    """Each organization is a tenant; who moves to another one is deleted in the first."""
    weaviate.create_class(collection(tenants=True))
    weaviate.must("POST", f"/v1/schema/{NAME}/tenants", [{"name": ORGANIZATION}, {"name": OTHER}])
    forward(sections={f"collection:{NAME}": {"organization": "tenant"}})
    key, = outbox.insert()
    system.eventually(lambda: set(weaviate.objects(NAME, ORGANIZATION)) == {id_of(key)}, 20)
    outbox.wait_empty()
    outbox.run("UPDATE service_events SET organization_id = %s WHERE id = %s", (OTHER, key))
    system.eventually(lambda: set(weaviate.objects(NAME, OTHER)) == {id_of(key)}, 20)
    assert not weaviate.objects(NAME, ORGANIZATION)
    outbox.wait_empty()
    outbox.run("DELETE FROM service_events WHERE id = %s", (key,))
    system.eventually(lambda: not weaviate.objects(NAME, OTHER), 20)
    outbox.wait_empty()
    assert not outbox.dead()


def test_another_collection(forward, outbox, weaviate):
    weaviate.create_class(collection("Events"))
    forward(sections={f"entity:{TYPE}": {"collection": "Events"}})
    key, = outbox.insert()
    system.eventually(lambda: set(weaviate.objects("Events")) == {id_of(key, "Events")}, 20)


# ---- what one object does ----

def test_a_bad_object_does_not_harm_its_batch(forward, outbox, weaviate, events):
    keys = outbox.insert(20)
    bad = keys[7]
    weaviate.lay({"do": "refuse", "call": BATCH, "ids": [id_of(bad)], "text": "invalid object: no such prop with name 'x' found"})
    proxy = forward()
    outbox.wait_empty()
    assert set(events()) == {id_of(key) for key in keys} - {id_of(bad)}
    assert [(key, error.split(":")[0]) for key, error in outbox.dead()] == [(str(bad), "rejected")]
    assert status(proxy)["dead_reasons"] == "rejected=1" and status(proxy)["parked"] == 1
    weaviate.lay()
    with proxy.console() as console:
        with pytest.raises(psycopg2.Error, match="TYPE:UUID"):
            console.run(f'RETRY OUTBOX "{TYPE}:x"')
        assert console.run(f'RETRY OUTBOX "{TYPE}:{keys[0]}"') == [{"revived": 0}]
        assert console.run("RETRY OUTBOX") == [{"revived": 1}]
    system.eventually(lambda: id_of(bad) in events(), 20)
    assert not outbox.dead()


def test_what_may_succeed_later_is_tried_again(forward, outbox, weaviate, events):
    key, = outbox.insert()
    weaviate.lay({"do": "refuse", "call": BATCH, "times": 2, "text": "connection to: OpenAI API failed with status: 429"})
    proxy = forward()
    outbox.wait_empty()
    assert set(events()) == {id_of(key)} and not outbox.dead() and status(proxy)["failed"] == 2


@pytest.mark.parametrize("fault", [{"do": "empty"}, {"do": "answer", "status": 500}, {"do": "answer", "status": 422}], ids=lambda fault: fault.get("status", "empty"))
def test_one_object_that_the_server_cannot_bear(forward, outbox, weaviate, events, fault):
    """It is found among a hundred; the others are stored."""
    keys = outbox.insert(100)
    bad = id_of(keys[41])
    weaviate.lay({**fault, "call": BATCH, "holds": bad})
    forward()
    system.eventually(lambda: len(events()) == 99, 20)
    assert bad not in events()
    parks = fault.get("status") == 422
    system.eventually(lambda: (len(outbox.dead()), outbox.count("ml_vector_outbox", "attempts > 0")) == ((1, 0) if parks else (0, 1)), 20)
    weaviate.lay()
    if not parks:
        outbox.wait_empty()
        assert bad in events()


@pytest.mark.parametrize("how", ["one_too_few", "one_too_many", "other_order", "other_ids", "no_result", "error_in_success", "unknown_status", "object", "no_json"])
def test_answers_that_say_nothing_are_no_delivery(forward, outbox, weaviate, events, how):
    keys = outbox.insert(3)
    weaviate.lay({"do": "lie", "call": BATCH, "how": how})
    forward()
    if how != "other_order":  # a single object has no other order: one by one they are delivered
        system.eventually(lambda: outbox.count("ml_vector_outbox", "attempts > 0") == 3, 20)
    weaviate.lay()
    outbox.wait_empty()
    assert set(events()) == {id_of(key) for key in keys} and not outbox.dead()


def test_a_read_only_shard_lies(forward, outbox, weaviate, events):
    """One object of the batch fails, the others are SUCCESS, and nothing was stored: nothing may be taken for delivered, and nobody is blamed."""
    keys = outbox.insert(10)
    weaviate.set_read_only(NAME)
    proxy = forward()
    system.eventually(lambda: status(proxy)["state"] == "weaviate_away", 20)
    assert "read-only" in status(proxy)["trouble"]
    before = weaviate.n_calls(BATCH)
    system.eventually(lambda: weaviate.n_calls(BATCH) >= before + 2, 20)
    assert outbox.count() == 10 and not events() and outbox.count("ml_vector_outbox", "attempts > 0") == 0
    weaviate.set_read_only(NAME, False)
    outbox.wait_empty()
    assert set(events()) == {id_of(key) for key in keys} and not outbox.dead()


def test_an_unknown_type_harms_no_other(forward, outbox, events):
    key, = outbox.insert()
    outbox.run("INSERT INTO ml_vector_outbox (entity_type, entity_id) VALUES ('no_such', gen_random_uuid())")
    forward()
    system.eventually(lambda: id_of(key) in events(), 20)
    system.eventually(lambda: outbox.count("ml_vector_outbox", "last_error LIKE 'source: unknown entity type%'") == 1, 20)
    assert outbox.count() == 1


def test_one_row_that_its_view_cannot_bear(forward, outbox, weaviate, events):
    """The database cannot say what one entity of a hundred looks like: the others are stored."""
    outbox.run("""DO $$ BEGIN EXECUTE (SELECT 'CREATE OR REPLACE VIEW ml_source_service_event AS ' || regexp_replace(pg_get_viewdef('ml_source_service_event'),
        '\\s+FROM \\(?service_events', ', ARRAY[1.0 / (CASE e.description WHEN ''poison'' THEN 0 ELSE 1 END)] AS share\\&')); END $$""")
    keys = outbox.insert(100)
    outbox.run("UPDATE service_events SET description = 'poison' WHERE id = %s", (keys[57],))
    proxy = forward(sections={f"entity:{TYPE}": {"vector": "column share"}})
    system.eventually(lambda: len(events()) == 99, 20)
    system.eventually(lambda: outbox.run("SELECT entity_id, last_error FROM ml_vector_outbox") == [(keys[57], "source: division by zero")], 20)
    assert status(proxy)["stored"] == 99 and not outbox.dead()


# ---- when Weaviate is not well ----

def test_weaviate_away_and_back(forward, outbox, weaviate, events):
    proxy = forward()
    system.eventually(lambda: status(proxy)["state"] == "forwarding", 20)
    with weaviate.away():
        keys = outbox.insert(500)
        system.eventually(lambda: status(proxy)["state"] == "weaviate_away", 20)
        assert status(proxy)["waiting"] + status(proxy)["leased"] == 500 and status(proxy)["oldest_age_s"] > 0
    outbox.wait_empty()
    assert set(events()) == {id_of(key) for key in keys}
    assert not outbox.dead() and status(proxy)["failed"] == 0 and "takes the outbox's objects again" in proxy.log_text()
    assert proxy.log_text().count("the outbox waits for Weaviate") < 5


@pytest.mark.parametrize("code", [429, 503, 418])
def test_a_server_that_takes_nothing_now(forward, outbox, weaviate, events, code):
    keys = outbox.insert(5)
    weaviate.lay({"do": "answer", "status": code, "call": BATCH, "times": 3})
    proxy = forward()
    outbox.wait_empty()
    assert set(events()) == {id_of(key) for key in keys} and status(proxy)["failed"] == 0


@pytest.mark.parametrize("code", [401, 403])
def test_refused_until_the_key_is_right(forward, outbox, weaviate, events, code):
    key, = outbox.insert()
    wrong = "wrong" if code == 401 else "reader"
    proxy = forward(weaviate_api_key=wrong)
    system.eventually(lambda: status(proxy)["state"] == "refused", 20)
    assert f"permission: {code}" in status(proxy)["trouble"] and "weaviate_api_key" in proxy.log_text()
    calls = weaviate.n_calls(BATCH)
    outbox.insert(3)
    assert status(proxy)["waiting"] == 3 and weaviate.n_calls(BATCH) == calls and outbox.count("ml_vector_outbox", "attempts > 0") == 0
    with proxy.console() as console:
        console.run(f"SET weaviate_api_key = '{weaviate.api_key}'")
    outbox.wait_empty()
    assert id_of(key) in events() and len(events()) == 4
    assert weaviate.api_key not in proxy.log_text()


def test_a_request_without_an_answer_is_not_overtaken(forward, outbox, weaviate, events):
    """It may arrive late: the object is not sent again before weaviate_write_timeout, so that the newer state is the last."""
    key, = outbox.insert()
    weaviate.lay({"do": "hold", "call": BATCH, "times": 1})
    proxy = forward()
    weaviate.wait_held()
    began = time.monotonic()
    outbox.run("UPDATE service_events SET description = 'newer' WHERE id = %s", (key,))
    before = weaviate.n_calls(BATCH)
    system.eventually(lambda: "timeout: " in proxy.log_text(), 20)
    other, = outbox.insert()  # others go on
    system.eventually(lambda: id_of(other) in events(), 20)
    assert weaviate.n_calls(BATCH) == before + 1
    weaviate.release()  # the late one arrives
    system.eventually(lambda: events().get(id_of(key), {}).get("properties", {}).get("description") == "newer", 20)
    assert time.monotonic() - began > 2.5 and status(proxy)["failed"] == 1, "it is put off by its failure, not by its lease's end"
    outbox.wait_empty()
    assert events()[id_of(key)]["properties"]["description"] == "newer"


@pytest.mark.parametrize("late", [False, True])
def test_cut_connections(forward, outbox, weaviate, events, late):
    keys = outbox.insert(10)
    weaviate.lay({"do": "cut", "call": BATCH, "late": late, "bytes": 20, "times": 1})
    proxy = forward()
    outbox.wait_empty()
    assert set(events()) == {id_of(key) for key in keys} and not outbox.dead() and status(proxy)["failed"] == 10


def test_random_faults_converge(forward, outbox, weaviate, events):
    """Everything at once; in the end both sides are the same."""
    forward(outbox_batch=7)
    keys = outbox.insert(60)
    weaviate.lay({"do": "cut", "call": BATCH, "skip": 1, "times": 1}, {"do": "answer", "status": 503, "call": BATCH, "skip": 2, "times": 2},
                 {"do": "empty", "call": BATCH, "done": True, "skip": 1, "times": 1}, {"do": "lie", "how": "other_ids", "call": BATCH, "skip": 2, "times": 1},
                 {"do": "answer", "status": 500, "call": "DELETE .*", "times": 2})
    for i in range(20):
        outbox.run("UPDATE service_events SET description = %s WHERE id = ANY (%s::uuid[])", (f"round {i}", [str(key) for key in keys[i::7]]))
    gone = keys[::9]
    outbox.run("DELETE FROM service_events WHERE id = ANY (%s::uuid[])", ([str(key) for key in gone],))
    outbox.wait_empty(60)
    expected = {id_of(key): text for key, text in outbox.run("SELECT id, description FROM service_events")}
    assert {one: found["properties"]["description"] for one, found in events().items()} == expected and not outbox.dead()


class TlsFront:
    """https://127.0.0.1:port before a server that speaks http; certificate: as harness.certificates names them."""

    def __init__(self, cluster, url, certificate):
        parts = urllib.parse.urlsplit(url)
        self.target, self.context = (parts.hostname, parts.port), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cluster.certificates.path(f"{certificate}.crt"), cluster.certificates.path(f"{certificate}.key"))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                plain, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(plain,), daemon=True).start()

    def serve(self, plain):
        try:
            with self.context.wrap_socket(plain, server_side=True) as near, socket.create_connection(self.target) as far:
                back = threading.Thread(target=self.pump, args=(far, near), daemon=True)
                back.start()
                self.pump(near, far)
                back.join()
        except OSError:
            pass

    @staticmethod
    def pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@pytest.mark.parametrize("certificate, ca, is_right", [("server", "ca.crt", True), ("server", "stranger_ca.crt", False), ("elsewhere", "ca.crt", False), ("server", None, False)])
def test_tls_is_verified(forward, outbox, weaviate, events, cluster, certificate, ca, is_right):
    front = TlsFront(cluster, weaviate.url, certificate)
    key, = outbox.insert()
    proxy = forward(weaviate_url=front.url, **({"weaviate_ca_file": cluster.certificates.path(ca)} if ca else {}))
    if is_right:
        system.eventually(lambda: id_of(key) in events(), 20)
    else:
        system.eventually(lambda: status(proxy)["state"] == "weaviate_away", 20)
        assert "certificate" in status(proxy)["trouble"].lower() and not events()
    front.listener.close()


# ---- when the database is not well ----

def test_postgres_restarted(forward, outbox, weaviate, events, cluster):
    proxy = forward()
    first, = outbox.insert()
    system.eventually(lambda: id_of(first) in events(), 20)
    weaviate.lay({"do": "slow", "seconds": 0.5, "call": BATCH})
    second, = outbox.insert()
    cluster.stop()
    system.eventually(lambda: "cannot be forwarded" in proxy.log_text(), 20)
    assert status(proxy)["state"] == "database_away" and status(proxy)["waiting"] is None and status(proxy)["trouble"]
    cluster.start()
    third, = outbox.insert()
    outbox.wait_empty()
    assert {id_of(key) for key in (first, second, third)} == set(events())


def test_a_writer_holds_the_note(forward, outbox, weaviate, events):
    """Delivered while a transaction has it locked: it goes once more, with the writer's change."""
    outbox.run(f"ALTER DATABASE {outbox.name} SET track_functions = 'all'")
    key, = outbox.insert()
    weaviate.lay({"do": "hold", "call": BATCH, "times": 1})
    forward(weaviate_timeout="10s", weaviate_write_timeout="60s")
    weaviate.wait_held()
    connection = psycopg2.connect(host=str(outbox.cluster.directory), port=outbox.cluster.port, user="postgres", dbname=outbox.name)
    with connection, connection.cursor() as cursor:
        cursor.execute("UPDATE service_events SET description = 'held' WHERE id = %s", (str(key),))
        weaviate.release()
        system.eventually(lambda: id_of(key) in events(), 20)
        calls = "SELECT calls FROM pg_stat_user_functions WHERE funcname = 'ml_outbox_done'"
        system.eventually(lambda: outbox.run(calls) and outbox.run(calls)[0][0] >= 3, 20, "several attempts to end the note")
    connection.close()
    outbox.wait_empty(20)  # not only when the lease ends, after two minutes
    assert events()[id_of(key)]["properties"]["description"] == "held"


def test_missing_rights_are_said_once(forward, outbox):
    proxy = forward(outbox_user="u_scram")
    system.eventually(lambda: "grant ml_proxy to it" in proxy.log_text(), 20)
    gone = time.monotonic()
    system.eventually(lambda: time.monotonic() > gone + 2, 5)
    assert proxy.log_text().count("grant ml_proxy") == 1 and status(proxy)["state"] == "database_away"
    assert proxy.run("SELECT 1") == [(1,)]


def test_metadata_that_cannot_be_written_does_not_stop_it(forward, outbox, events):
    outbox.run("REVOKE INSERT, UPDATE ON ml_vector_metadata FROM ml_proxy")
    key, = outbox.insert()
    proxy = forward()
    outbox.wait_empty()
    assert set(events()) == {id_of(key)} and outbox.count("ml_vector_metadata") == 0 and "ml_vector_metadata" in proxy.log_text()


# ---- pglane's own end ----

def test_kill_and_start_again(forward, outbox, weaviate, events):
    keys = outbox.insert(300)
    weaviate.lay({"do": "slow", "seconds": 0.3, "call": BATCH})
    proxy = forward(outbox_batch=20)
    system.eventually(lambda: 0 < len(events()) < 300, 20)
    system.end(proxy.process, signal.SIGKILL, 10)
    assert outbox.count() > 0
    weaviate.lay()
    proxy.start()
    outbox.wait_empty(40)
    assert set(events()) == {id_of(key) for key in keys} and not outbox.dead()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_shutdown_ends_what_flies(forward, outbox, weaviate, events, how):
    key, = outbox.insert()
    weaviate.lay({"do": "slow", "seconds": 0.7, "call": BATCH})
    proxy = forward(weaviate_timeout="2s")
    system.eventually(lambda: weaviate.n_calls(BATCH) > 0, 20)
    proxy.stop_only(how)
    assert set(events()) == {id_of(key)} and outbox.count() == 0


def test_forwarding_goes_on_while_clients_are_waited_for(forward, outbox, events):
    """Who is still served still writes."""
    proxy = forward()
    with proxy.client() as client:
        client.query("SELECT 1")
        proxy.send_signal(signal.SIGTERM)
        system.eventually(lambda: "shutting down" in proxy.log_text(), 20)
        key, = outbox.insert()
        system.eventually(lambda: id_of(key) in events(), 20)
        outbox.wait_empty()
        assert proxy.process.poll() is None
    assert proxy.process.wait(20) == 0
    assert outbox.run("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pglane outbox' AND datname = current_database()") == [(0,)]


def test_shutdown_does_not_wait_for_ever(forward, outbox, weaviate, events):
    outbox.insert()
    weaviate.lay({"do": "hold", "call": BATCH})
    proxy = forward(weaviate_timeout="30s", weaviate_write_timeout="60s")
    weaviate.wait_held()
    began = time.monotonic()
    proxy.stop_only(signal.SIGTERM)
    assert time.monotonic() - began < 10 and outbox.count() == 1
    weaviate.release()


def test_two_pglanes_share_an_outbox(forward, outbox, weaviate, events):
    keys = outbox.insert(400)
    proxies = [forward(outbox_batch=10), forward(outbox_batch=10)]
    stopped = threading.Event()

    def change():
        while not stopped.is_set():
            outbox.run("UPDATE service_events SET description = 'at ' || clock_timestamp() WHERE id IN (SELECT id FROM service_events ORDER BY random() LIMIT 10)")

    writer = threading.Thread(target=change)
    writer.start()
    try:
        system.eventually(lambda: all(status(proxy)["stored"] > 20 for proxy in proxies) and len(events()) == 400, 40)
    finally:
        stopped.set()
        writer.join()
    outbox.wait_empty()
    expected = {id_of(key): text for key, text in outbox.run("SELECT id, description FROM service_events")}
    assert len(keys) == len(expected)
    assert {one: found["properties"]["description"] for one, found in events().items()} == expected and not outbox.dead()


# ---- in the metrics ----

@pytest.fixture
def measured(forward, outbox):
    """measured(columns, where) gives the rows of a pglane that forwards and takes a sample every 100 ms."""
    forward(metrics_database="box", metrics_user="app", sample_period="100ms", maintenance_period=0)

    def rows(columns, where="true"):
        return outbox.run(f"SELECT {columns} FROM db_connection_pool_metrics WHERE {where}")
    return rows


def test_lag_and_failures_are_measured(measured, outbox, weaviate, events):
    """Weaviate away: depth, age and errors. Back: lag. An object that is refused: it failed, and is dead."""
    system.eventually(lambda: measured("1", "outbox_depth = 0 AND outbox_oldest_age_ms IS NULL AND outbox_lag_p99_ms IS NULL AND outbox_dead = 0"), 20)
    with weaviate.away():
        keys = outbox.insert(30)
        system.eventually(lambda: measured("1", "outbox_depth = 30 AND outbox_oldest_age_ms >= 200 AND outbox_delivered_count = 0 AND outbox_lag_p99_ms IS NULL"), 20)
        system.eventually(lambda: measured("sum(outbox_request_errors)")[0][0] >= 2, 20)
    outbox.wait_empty()
    system.eventually(lambda: measured("sum(outbox_delivered_count), sum(outbox_failed_count)") == [(30, 0)], 20)
    system.eventually(lambda: measured("1", "outbox_depth = 0 AND outbox_lag_p50_ms >= 200 AND outbox_lag_p99_ms >= outbox_lag_p50_ms"), 20)
    n_errors = measured("sum(outbox_request_errors)")
    weaviate.lay({"do": "refuse", "call": BATCH, "ids": [id_of(keys[3])], "text": "invalid object: no such prop with name 'x' found"})
    outbox.run("UPDATE service_events SET description = 'changed' WHERE id = %s", (keys[3],))
    system.eventually(lambda: measured("1", "outbox_dead = 1 AND outbox_depth = 0"), 20)
    system.eventually(lambda: measured("sum(outbox_delivered_count), sum(outbox_failed_count)") == [(30, 1)], 20)
    assert measured("sum(outbox_request_errors)") == n_errors, "an object that is refused is no request that fails"


def test_samples_do_not_wait_for_the_outboxes_database(forward, outbox, cluster, events):
    """It is away while the metrics' own is there: samples come on time and say nothing of the outbox itself."""
    cluster.run("CREATE DATABASE box_metrics")
    try:
        for name in ("004_metrics.sql", "020_metrics_moves.sql", "021_metrics_outbox.sql"):
            schema.load(cluster, "box_metrics", name)
        forward(metrics_database="box_metrics", metrics_user="postgres", sample_period="100ms", maintenance_period=0,
                databases={"box": f"host=127.0.0.1 port={system.free_port()} dbname=x", "box_metrics": "{server} dbname=box_metrics"})

        def rows(where="true"):
            return cluster.run(f"SELECT count(*) FROM db_connection_pool_metrics WHERE {where}", "box_metrics")[0][0]

        system.eventually(lambda: rows("outbox_depth IS NULL AND outbox_dead IS NULL AND outbox_failed_count = 0") >= 6, 60)
        assert rows("outbox_depth IS NOT NULL") == 0
        # An order of the console waits 3 s.
        assert cluster.run("SELECT max(timestamp) - min(timestamp) < interval '6 seconds' FROM (SELECT timestamp FROM db_connection_pool_metrics ORDER BY 1 LIMIT 6) s",
                           "box_metrics")[0][0]
    finally:
        cluster.run("DROP DATABASE box_metrics WITH (FORCE)")


# ---- the operator ----

def test_pause_and_resume(forward, outbox, events):
    proxy = forward()
    with proxy.console() as console:
        console.run("PAUSE FORWARDING")
        with pytest.raises(psycopg2.Error, match="paused already"):
            console.run("PAUSE FORWARDING")
        assert console.show("OUTBOX")[0]["state"] == "paused"
        key, = outbox.insert()
        gone = time.monotonic()
        system.eventually(lambda: time.monotonic() > gone + 0.5, 5)
        assert console.show("OUTBOX")[0]["waiting"] == 1 and not events()
        system.eventually(lambda: outbox.run("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pglane outbox' AND datname = current_database()")[0][0] == 0, 20)
        console.run("RESUME FORWARDING")
        system.eventually(lambda: id_of(key) in events(), 20)
        with pytest.raises(psycopg2.Error, match="not paused"):
            console.run("RESUME FORWARDING")
    with proxy.console(user="u_other") as console:
        assert console.show("OUTBOX")[0]["state"] == "forwarding"
        with pytest.raises(psycopg2.Error, match="admin"):
            console.run("PAUSE FORWARDING")


def test_switched_on_and_off_by_reload(forward, outbox, weaviate, events):
    proxy = forward(weaviate_url="")
    key, = outbox.insert()
    assert status(proxy)["state"] == "off" and status(proxy)["waiting"] == 1
    proxy.write(weaviate_url=weaviate.url)
    proxy.reload()
    system.eventually(lambda: id_of(key) in events(), 20)
    proxy.write(weaviate_url="")
    proxy.reload()
    system.eventually(lambda: status(proxy)["state"] == "off", 20)
    outbox.insert()
    gone = time.monotonic()
    system.eventually(lambda: time.monotonic() > gone + 0.5, 5)
    assert outbox.count() == 1


def test_its_connection_is_one_of_the_budget(forward, outbox, events):
    proxy = forward(lanes={"default": 2})
    system.eventually(lambda: status(proxy)["state"] == "forwarding" and outbox.run(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pglane outbox' AND datname = current_database()")[0][0] == 1, 20)
    with proxy.console() as console:
        assert console.lane("default")["in_use"] == 1
    for _ in range(5):
        assert proxy.run("SELECT 1") == [(1,)]
    key, = outbox.insert()
    system.eventually(lambda: id_of(key) in events(), 20)


@pytest.mark.parametrize("what", ["", " box"])
def test_a_paused_database_is_left_alone(forward, outbox, events, what):
    """Who has PAUSE's answer may restart or drop the database: no connection of the forwarder's is left, and none is made before RESUME."""
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pglane outbox' AND datname = current_database()"
    proxy = forward()
    first, = outbox.insert()
    system.eventually(lambda: id_of(first) in events(), 20)
    with proxy.console() as console:
        console.run(f"PAUSE{what}")
        assert outbox.run(ours) == [(0,)]
        key, = outbox.insert()
        gone = time.monotonic()
        system.eventually(lambda: time.monotonic() > gone + 1, 5)
        shown = console.show("OUTBOX")[0]
        assert outbox.run(ours) == [(0,)] and outbox.count() == 1 and shown["state"] == "database_paused" and shown["waiting"] is None
        console.run(f"RESUME{what}")
    system.eventually(lambda: id_of(key) in events(), 20)
    assert "cannot be forwarded" not in proxy.log_text()


def test_off_holds_nothing(start):
    proxy = start()
    with proxy.console() as console:
        assert console.lane("default")["in_use"] == 0
        assert console.show("OUTBOX")[0]["state"] == "off"
        with pytest.raises(psycopg2.Error, match="outbox_database is not set"):
            console.run("RETRY OUTBOX")
