# SPDX-License-Identifier: ISC
"""Searches that statements ask for by annotations: what reaches Weaviate, what the statement finds, and everything that can go wrong between."""

import os
import random
import re
import struct
import threading
import time
import urllib.parse
import uuid

import psycopg
import pytest

from harness import schema, system
from harness.proxy import Proxy
from harness.weaviate import KEY, Weaviate
from harness.wire import SYNC, bind, close, describe, execute, parse, query

HERE, THERE = str(uuid.UUID(int=0xaa)), str(uuid.UUID(int=0xbb))
VECTORS, TEXTS, TENANTS = "PglaneVector", "PglaneText", "PglaneTenant"
PROPERTIES = [{"name": "postgresqlId", "dataType": ["uuid"]}, {"name": "organizationId", "dataType": ["uuid"]}, {"name": "description", "dataType": ["text"]}]
OPENAI = {"vectorizer": "text2vec-openai", "moduleConfig": {"text2vec-openai": {
    "model": "text-embedding-3-small", "dimensions": 1536, "type": "text", "vectorizeClassName": False}}}
HITS = "SELECT id, round(distance::numeric, 3), score, rank FROM ml_vector_hits() ORDER BY rank"
NAMES = "SELECT string_agg(name, ' ' ORDER BY rank) FROM ml_vector_hits() JOIN search_rows USING (id)"
WITH_PARAMETER = f"{NAMES} WHERE $1::text IS NOT NULL"
ROWS = {  # name: (vector, organization, text)
    "near": ([1, 0, 0], HERE, "overflowing bin at the gate"),
    "close": ([0.9, 0.1, 0], HERE, "overflowing bin behind the house"),
    "far": ([0, 0, 1], HERE, "broken lamp"),
    "foreign": ([1, 0.01, 0], THERE, "overflowing bin of somebody else"),
}


def row_id(name):
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def object_id(name):
    """Not the row's: a hit must come with the row's all the same."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def asked(sql, **keys):
    """sql with an annotation; ml_ is put before the keys."""
    return "/*" + ",".join(f"ml_{key}='{urllib.parse.quote(str(value), safe='$')}'" for key, value in keys.items()) + "*/ " + sql


def near(sql=NAMES, vector="[1,0,0]", **keys):
    return asked(sql, near_vector=vector, collection=VECTORS, **keys)


WITH_SEARCH = near(WITH_PARAMETER, vector="$1", limit=1)


@pytest.fixture(scope="module", params=["1.36.5", "1.40.1"], ids=["graphql", "rest"])
def server(request):
    server = Weaviate(request.param)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def table(cluster):
    """search_rows, and ml_vector_hits() as sql/ has it."""
    text = (schema.SQL / "012_search.sql").read_text()
    function = re.search(r"CREATE FUNCTION public.ml_vector_hits.*?\$\$;", text, re.DOTALL).group(0)
    cluster.run(function.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"), "app")
    cluster.run("CREATE TABLE search_rows (id uuid PRIMARY KEY, name text); GRANT SELECT ON search_rows TO PUBLIC", "app")
    for name in ROWS:
        cluster.run(f"INSERT INTO search_rows VALUES ('{row_id(name)}', '{name}')", "app")
    yield
    cluster.run("DROP TABLE search_rows; DROP FUNCTION ml_vector_hits", "app")


@pytest.fixture
def weaviate(server, table):
    server.create_class({"class": VECTORS, "vectorizer": "none", "vectorIndexConfig": {"distance": "cosine"}, "properties": PROPERTIES})
    server.create_class({"class": TEXTS, **OPENAI, "properties": PROPERTIES})
    server.create_class({"class": TENANTS, "vectorizer": "none", "multiTenancyConfig": {"enabled": True}, "properties": PROPERTIES})
    server.must("POST", f"/v1/schema/{TENANTS}/tenants", [{"name": HERE}, {"name": THERE}])
    objects = []
    for name, (vector, organization, text) in ROWS.items():
        known = {"postgresqlId": row_id(name), "organizationId": organization, "description": text}
        objects += [{"class": VECTORS, "id": object_id(name), "vector": vector, "properties": known},
                    {"class": TEXTS, "id": object_id(name), "properties": known},
                    {"class": TENANTS, "id": object_id(name), "vector": vector, "tenant": organization, "properties": known}]
    for one in server.must("POST", "/v1/batch/objects", {"objects": objects}):
        assert one["result"]["status"] == "SUCCESS", one
    yield server
    server.reset()


def settings(weaviate, users=None, sections=None, **more):
    return {"users": users or {"app": "annotations=all"}, "sections": sections or {}, "weaviate_url": weaviate.url, "weaviate_api_key": KEY, **more}


@pytest.fixture
def proxy(start, weaviate):
    return start(**settings(weaviate))


def searches(weaviate):
    """The bodies of the searches that came in."""
    return [call["body"] for call in weaviate.control("requests") if call["target"].startswith(("/v1/graphql", "/v1/search/"))]


def fails(result, sqlstate, text, detail=""):
    assert result.sqlstate == sqlstate, result.errors or result.rows
    fields = result.errors[0].fields
    assert text in fields["M"], fields
    assert detail in fields.get("D", ""), fields


def in_use(proxy):
    with proxy.console() as console:
        return sum(row["in_use"] for row in console.show("LANES"))


# ---- kinds ----

def test_the_vector_of_a_literal(proxy):
    with proxy.client() as client:
        result = client.query(near(HITS, limit=2))
        assert [(row[0].decode(), row[1], row[2], row[3]) for row in result.rows] == [
            (row_id("near"), b"0.000", None, b"1"), (row_id("foreign"), b"0.000", None, b"2")]
        assert result.tags == ["SELECT 2"] and result.kinds == "TDDCZ"


def test_a_text(proxy):
    with proxy.client() as client:
        found = client.query(asked(NAMES, near_text="overflowing bin", collection=TEXTS, limit=3)).value.split()
        assert set(found) == {"near", "close", "foreign"}


def test_hybrid_has_scores(proxy):
    with proxy.client() as client:
        rows = client.query(asked(HITS, hybrid="broken lamp", collection=TEXTS, limit=1)).rows
        assert rows[0][0].decode() == row_id("far") and rows[0][1] is None and float(rows[0][2]) > 0


def test_a_distance(proxy):
    with proxy.client() as client:
        assert client.query(near(max_distance="0.001")).value == "near foreign"
        assert client.query(near(max_distance="0.5", limit=1)).value == "near"
        assert client.query(near("SELECT count(*) FROM ml_vector_hits()", vector="[-1,0,0]", max_distance="0.5")).value == "0"


def test_behind_the_statement(proxy):
    with proxy.client() as client:
        assert client.query(f"{NAMES} /*ml_near_vector='[1,0,0]',ml_collection='{VECTORS}',ml_limit='1'*/;").value == "near"


def test_hits_and_places_meet(proxy, cluster):
    """The README's statement: of what is alike, what is near; by the distance of Weaviate, whatever the distance in metres."""
    example = re.search(r"```sql\n(/\*ml_near_text.*?)```", (system.ROOT / "README.md").read_text(), re.DOTALL).group(1)
    example = example.replace("ServiceEventVector", TEXTS).replace("6f1c1c1e-0000-4000-8000-0000000000aa", HERE)
    places = {"near": (13.41, 52.5), "close": (13.42, 52.51), "far": (13.4, 52.5), "foreign": (13.4, 52.5)}
    cluster.run("CREATE TABLE service_events (id uuid PRIMARY KEY, location geography(Point, 4326)); GRANT SELECT ON service_events TO PUBLIC;"
                "CREATE INDEX ON service_events USING gist (location)", "app")
    try:
        cluster.run("INSERT INTO service_events SELECT gen_random_uuid(), ST_MakePoint(13 + i / 200.0, 52.5) FROM generate_series(1, 200) i", "app")
        for name, (x, y) in places.items():
            cluster.run(f"INSERT INTO service_events VALUES ('{row_id(name)}', ST_MakePoint({x}, {y}))", "app")
        with proxy.client() as client:
            found = [row[0].decode() for row in client.query(example).rows]
            assert len(found) == 3 and found[2] == row_id("far") and set(found[:2]) == {row_id("near"), row_id("close")}
            found = [row[0].decode() for row in client.query(example.replace("5000", "800")).rows]
            assert found == [row_id("near"), row_id("far")]
    finally:
        cluster.run("DROP TABLE service_events", "app")


# ---- organizations ----

def test_an_organization_is_a_filter(proxy):
    with proxy.client() as client:
        assert client.query(near(organization=HERE)).value == "near close far"
        assert client.query(near(organization=THERE.upper())).value == "foreign"


def test_an_organization_is_a_tenant(start, weaviate):
    proxy = start(**settings(weaviate, sections={f"collection:{TENANTS}": {"organization": "tenant"}}))
    with proxy.client() as client:
        ask = {"near_vector": "[1,0,0]", "collection": TENANTS}
        assert client.query(asked(NAMES, organization=THERE, **ask)).value == "foreign"
        assert client.query(asked(NAMES, organization=HERE, **ask)).value == "near close far"
        fails(client.query(asked(NAMES, **ask)), "22023", "names no organization")
        # One that nothing was stored for yet has no tenant.
        assert client.query(asked("SELECT count(*) FROM ml_vector_hits()", organization=str(uuid.uuid4()), **ask)).value == "0"


def test_an_organization_may_be_required(start, weaviate):
    proxy = start(**settings(weaviate, sections={f"collection:{VECTORS}": {"organization_required": 1}}))
    with proxy.client() as client:
        fails(client.query(near()), "22023", "names no organization", VECTORS)
        assert client.query(near(organization=HERE)).value == "near close far"
    assert len(searches(weaviate)) == 1


def test_a_users_organization_holds(start, weaviate):
    proxy = start(**settings(weaviate, users={"app": f"annotations=all organization={HERE.upper()}"}))
    with proxy.client() as client:
        assert client.query(near()).value == "near close far"
        assert client.query(near(organization=HERE)).value == "near close far"
        fails(client.query(near(organization=THERE)), "42501", "another organization")
    assert all(HERE in body for body in searches(weaviate)) and len(searches(weaviate)) == 2


# ---- shapes ----

def pgvector(*numbers):
    return struct.pack(f"!HH{len(numbers)}f", len(numbers), 0, *numbers)


def array(*numbers, kind="f", oid=700):
    head = struct.pack("!iiIii", 1, 0, oid, len(numbers), 1)
    return head + b"".join(struct.pack(f"!i{kind}", struct.calcsize(kind), number) for number in numbers)


def bind_binary(portal, statement, *values):
    body = portal.encode() + b"\0" + statement.encode() + b"\0" + struct.pack("!hhh", 1, 1, len(values))
    for value in values:
        body += struct.pack("!i", len(value)) + value
    body += struct.pack("!h", 0)
    return b"B" + struct.pack("!i", len(body) + 4) + body


@pytest.mark.parametrize("value", ["[1,0,0]", "{1,0,0}", " [ 1.0 , 0 , 0e0 ] "])
def test_a_vector_is_a_parameter(proxy, value):
    with proxy.client() as client:
        assert client.extended(near(WITH_PARAMETER, vector="$1", limit=1), [value]).value == "near"


@pytest.mark.parametrize("value", [pgvector(1, 0, 0), array(1, 0, 0), array(1, 0, 0, kind="d", oid=701)], ids=["vector", "float4", "float8"])
def test_a_vector_is_a_binary_parameter(proxy, value):
    sql = near(f"{NAMES} WHERE $1::bytea IS NOT NULL", vector="$1", limit=1)
    with proxy.client() as client:
        assert client.exchange(parse("", sql), bind_binary("", "", value), execute()).value == "near"


def test_a_text_is_a_parameter(proxy):
    sql = asked(f"{NAMES} WHERE $2::text <> $1", near_text="$2", collection=TEXTS, limit=1)
    with proxy.client() as client:
        assert client.extended(sql, ["x", "broken lamp"]).value == "far"


def test_psycopg_binds_a_list_of_floats(proxy):
    with psycopg.connect(f"host={proxy.host} port={proxy.port} user=app dbname=app sslmode=disable", autocommit=True) as connection:
        sql = near(f"{NAMES} WHERE cardinality(%s::float4[]) = 3", vector="$1", limit=2)
        for binary in (False, True):
            cursor = connection.cursor(binary=binary)
            for _ in range(7):  # unprepared, then prepared
                assert cursor.execute(sql, ([0.9, 0.1, 0.0],)).fetchone()[0] == "close foreign"


def test_a_prepared_statement_searches_anew_each_time(proxy):
    sql = near(WITH_PARAMETER, vector="$1", limit=1)
    with proxy.client() as client:
        assert client.exchange(parse("s", sql), describe("S", "s")).errors == []
        for value, name in (("[1,0,0]", "near"), ("[0,0,1]", "far"), ("[1,0,0]", "near")):
            assert client.exchange(bind("", "s", [value]), execute()).value == name


def test_a_stale_statement_is_said_again_with_its_hits(proxy, cluster):
    sql = near("SELECT * FROM ml_vector_hits() JOIN search_rows USING (id) WHERE $1::text IS NOT NULL", vector="$1", limit=1)
    batch = (bind("", "star", ["[0,0,1]"]), describe("P"), execute())
    with proxy.client() as client:
        assert client.exchange(parse("star", sql), *batch).rows[0][4] == b"far"
        cluster.run("ALTER TABLE search_rows ADD COLUMN more text DEFAULT 'x'", "app")
        try:
            result = client.exchange(*batch)
            assert result.errors == [] and result.rows[0][4:] == [b"far", b"x"]
        finally:
            cluster.run("ALTER TABLE search_rows DROP COLUMN more", "app")
        assert client.exchange(*batch[:2]).kinds == "2TZ"  # without an Execute it is said again, too
        assert client.exchange(*batch).rows[0][4:] == [b"far"]


def test_portals_in_one_batch(proxy):
    sql = near(WITH_PARAMETER, vector="$1", limit=1)
    with proxy.client() as client:
        client.send(parse("s", sql), bind("a", "s", ["[1,0,0]"]), execute("a"), bind("b", "s", ["[0,0,1]"]), execute("b"), SYNC)
        assert [row[0] for row in client.result().rows] == [b"near", b"far"]
        client.send(bind("a", "s", ["[1,0,0]"]), bind("b", "s", ["[0,0,1]"]), execute("a"), execute("b"), SYNC)
        fails(client.result(), "0A000", "no search is possible here", "Execute it before")
        assert client.exchange(bind("", "s", ["[1,0,0]"]), execute()).value == "near"


def test_beside_other_statements_of_a_batch(proxy):
    sql = near(WITH_PARAMETER, vector="$1", limit=1)
    with proxy.client() as client:
        client.send(parse("", "SELECT 7"), bind("", ""), execute(), parse("", sql), bind("", "", ["[0,0,1]"]), execute(),
                    parse("", "SELECT 8"), bind("", ""), execute(), SYNC)
        assert [row[0] for row in client.result().rows] == [b"7", b"far", b"8"]
        client.send(query(near(limit=1)), query("SELECT 9"), query(near(vector="[0,0,1]", limit=1)))
        assert [client.result().value for _ in range(3)] == ["near", "9", "far"]


def test_hits_reach_only_who_asked(proxy):
    """The search of a Parse may be done long before its Bind comes to its turn."""
    with proxy.client() as client:
        assert client.exchange(parse("other", "SELECT count(*) FROM ml_vector_hits()")).errors == []
        client.send(parse("", WITH_SEARCH), bind("", "other"), execute(), bind("", "", ["[0,0,1]"]), execute(), SYNC)
        assert [row[0] for row in client.result().rows] == [b"0", b"far"]


def test_the_unnamed_statement_and_portal_are_left_alone(proxy):
    with proxy.client() as client:
        client.send(parse("", "SELECT generate_series(1, 3)"), bind("", ""), execute("", 1),
                    parse("s", near(limit=1)), bind("p", "s"), execute("p"), execute("", 1), close("P", "p"), SYNC)
        assert [row[0] for row in client.result().rows] == [b"1", b"near", b"2"]


def test_a_string_of_statements(proxy):
    with proxy.client() as client:
        result = client.query(near(f"SELECT 1; {NAMES}; SELECT 2", limit=1))
        assert [row[0] for row in result.rows] == [b"1", b"near", b"2"]


def test_in_transactions(proxy):
    with proxy.client() as client:
        client.query("BEGIN")
        assert client.query(near(limit=1)).value == "near"
        assert client.query(NAMES).value == "near"  # they hold up to the end of the transaction
        assert client.query(near(vector="[0,0,1]", limit=1)).value == "far"
        fails(client.query(near(limit=0)), "22023", "ml_limit")
        assert client.query("SELECT 1").sqlstate == "25P02"
        assert client.query("ROLLBACK").status == "I"
        assert client.query("SELECT count(*) FROM ml_vector_hits()").value == "0"


def test_nothing_stays_for_the_next_transaction(proxy):
    with proxy.client() as client, proxy.client() as other:
        assert client.query(near(limit=1)).value == "near"
        for one in (client, other):
            assert one.query("SELECT count(*) FROM ml_vector_hits()").value == "0"


def test_copy(proxy):
    with proxy.client() as client:
        result = client.query(near(f"COPY ({NAMES}) TO STDOUT", limit=2))
        assert [body for kind, body in result.messages if kind == "d"] == [b"near foreign\n"]


def test_a_long_statement(proxy):
    """Longer than inspect_limit: what is not here yet waits with the rest, or is dropped with it."""
    long = "x" * 3_000_000
    with proxy.client() as client:
        assert client.query(near(f"{NAMES} WHERE '{long}' <> ''", limit=1)).value == "near"
        fails(client.query(near(f"SELECT '{long}'", limit=0)), "22023", "ml_limit")
        fails(client.extended(near(f"SELECT '{long}'", limit=1)), "0A000", "no search is possible here", "inspect_limit")
        assert client.exchange(parse("long", near(f"{NAMES} WHERE '{long}' <> ''", limit=1)), bind("", "long"), execute()).value == "near"
        assert client.query("SELECT 1").value == "1"


def test_in_statement_pooling(start, weaviate):
    proxy = start(**settings(weaviate, pool_mode="statement"))
    with proxy.client() as client:
        assert client.query(near(limit=1)).value == "near"


def test_in_session_pooling_it_is_refused(start, weaviate):
    proxy = start(**settings(weaviate, pool_mode="session"))
    with proxy.client() as client:
        fails(client.query(near()), "0A000", "no search is possible here", "session pooling")
        fails(client.extended(near()), "0A000", "no search is possible here")
        assert client.query("SELECT 'ml_near_text'").value == "ml_near_text"


# ---- what is said to Weaviate ----

NASTY = ['"', "\\", '\\"', "}", '"}]){id}}}', "}}}\n{Get{Other{x}}}", "\x01\x1f\x7f\t\r\n", "\u2028\ufeffä€\U0001f600", "$1x", "${a}", "'; DROP TABLE x; --", "%s%n",
         '\\u0022', '"""', "a" * 20000]


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_a_text_stays_a_text(proxy, weaviate, text):
    """The stand-in parses strictly: what got out of its string would be an error, and what came in is what was sent."""
    sql = asked("SELECT count(*) FROM ml_vector_hits() WHERE $1::text IS NOT NULL", near_text="$1", collection=TEXTS, organization=HERE)
    before = len(searches(weaviate))
    with proxy.client() as client:
        assert client.extended(sql, [text]).value == "3"
        if len(text) < 1000:
            assert client.query(asked("SELECT count(*) FROM ml_vector_hits()", near_text=text, collection=TEXTS, organization=HERE)).value == "3"
    assert all(HERE in body for body in searches(weaviate)[before:])


def test_the_interface_follows_the_version(proxy, weaviate):
    with proxy.client() as client:
        client.query(near(limit=1))
    paths = {call["target"] for call in weaviate.control("requests") if call["method"] == "POST" and "/schema" not in call["target"] and "batch" not in call["target"]}
    assert paths == ({f"/v1/search/{VECTORS}/near-vector"} if weaviate.version >= (1, 40) else {"/v1/graphql"})


def test_the_interface_may_be_chosen(start, weaviate):
    proxy = start(**settings(weaviate, weaviate_search="graphql"))
    with proxy.client() as client:
        assert client.query(near(limit=1)).value == "near"
    assert weaviate.n_calls("POST /v1/graphql") > 0


# ---- bad input ----

BAD = {
    "no collection": (dict(near_text="x"), "22023", "ml_collection is missing"),
    "no search": (dict(collection=VECTORS), "22023", "nothing is searched for"),
    "two searches": (dict(near_text="x", hybrid="y", collection=VECTORS), "22023", "two searches"),
    "limit 0": (dict(near_vector="[1,0,0]", collection=VECTORS, limit=0), "22023", "ml_limit"),
    "limit 10001": (dict(near_vector="[1,0,0]", collection=VECTORS, limit=10001), "22023", "ml_limit"),
    "limit x": (dict(near_vector="[1,0,0]", collection=VECTORS, limit="1x"), "22023", "ml_limit"),
    "distance": (dict(near_vector="[1,0,0]", collection=VECTORS, max_distance="nan"), "22023", "ml_max_distance"),
    "distance of hybrid": (dict(hybrid="x", collection=VECTORS, max_distance="1"), "22023", "ml_max_distance"),
    "organization": (dict(near_vector="[1,0,0]", collection=VECTORS, organization="x"), "22023", "ml_organization"),
    "vector": (dict(near_vector="[1,0,", collection=VECTORS), "22P02", "invalid vector"),
    "vector of words": (dict(near_vector="[a,b,c]", collection=VECTORS), "22P02", "invalid vector"),
    "infinite vector": (dict(near_vector="[1,1e99,0]", collection=VECTORS), "22P02", "invalid vector"),
    "empty text": (dict(near_text="", collection=VECTORS), "22023", "ml_near_text"),
    "collection's name": (dict(near_text="x", collection="a{b}"), "42704", "collection does not exist"),
    "parameter of a simple query": (dict(near_text="$1", collection=VECTORS), "42P02", "does not exist"),
    "too long": (dict(near_text="a" * 1100, collection=VECTORS), "54000", "too long"),
}


@pytest.fixture(scope="module")
def small(server, table, cluster, program):
    proxy = Proxy(cluster, program, **settings(server, search_max_bytes=1024))
    yield proxy
    proxy.stop()


@pytest.mark.parametrize("case", BAD)
def test_bad_input(small, weaviate, case):
    keys, sqlstate, text = BAD[case]
    with small.client() as client:
        fails(client.query(asked(NAMES, **keys)), sqlstate, text)
        assert client.query("SELECT 1").value == "1"
        fails(client.extended(asked(NAMES, **keys)), sqlstate, text)
        client.query("BEGIN")
        fails(client.query(asked(NAMES, **keys)), sqlstate, text)
        assert client.query("SELECT 1").sqlstate == "25P02"
        assert client.query("COMMIT").tags == ["ROLLBACK"]
    assert searches(weaviate) == []


def test_bytes_that_are_no_utf8(small):
    with small.client() as client:
        fails(client.query(f"/*ml_near_text='%E4',ml_collection='{TEXTS}'*/ SELECT 1"), "22021", "not UTF-8")


def test_a_malformed_comment(small):
    with small.client() as client:
        fails(client.query("/*ml_near_text=x,ml_collection='A'*/ SELECT 1"), "22023", "malformed")
        assert client.query("/* ml_near_text is what it says */ SELECT 1").value == "1"


@pytest.mark.parametrize("values,sqlstate,text", [([], "42P02", "does not exist"), ([None], "22004", "null"), (["[]"], "22P02", "invalid vector")])
def test_bad_parameters(small, weaviate, values, sqlstate, text):
    with small.client() as client:
        fails(client.extended(near("SELECT 1", vector="$1"), values), sqlstate, text)
        assert client.exchange(parse("s", near("SELECT 1", vector="$1"))).errors == []
        fails(client.exchange(bind("", "s", values), execute()), sqlstate, text)
        assert client.query("SELECT 1").value == "1"
    assert searches(weaviate) == []


def test_a_bind_over_the_cap(small, weaviate):
    sql = near("SELECT $2::text IS NOT NULL AND $1::text IS NOT NULL", vector="$1", limit=1)
    with small.client() as client:
        fails(client.extended(sql, ["[" + ",".join(["1"] * 3000) + "]", "x"]), "54000", "too long")
        assert client.extended(sql, ["[1,0,0]", "y" * 60000]).value == "t"
        fails(client.extended(sql, ["[1,0,0]", "y" * 200000]), "54000", "too long")
        assert client.query("SELECT 1").value == "1"


def test_the_wrong_length(proxy):
    with proxy.client() as client:
        fails(client.query(near(vector="[1,0]")), "22023", "Weaviate refused the search")
        assert client.query(near(limit=1)).value == "near"


def test_an_unknown_collection(proxy):
    with proxy.client() as client:
        fails(client.query(asked(NAMES, near_vector="[1]", collection="PglaneNowhere")), "42704", "collection does not exist: PglaneNowhere")


def test_no_vectorizer(proxy):
    with proxy.client() as client:
        fails(client.query(asked(NAMES, near_text="x", collection=VECTORS)), "22023", "Weaviate refused the search")


def test_who_may_not(start, weaviate):
    proxy = start(**settings(weaviate, users={"app": "annotations=route", "u_other": "annotations=none"}))
    for user in ("app", "u_other"):
        with proxy.client(user=user) as client:
            fails(client.query(near()), "42501", "not allowed", "annotations = ")
            assert client.query("/*ml_class='vector'*/ SELECT 1").value == "1"
    assert searches(weaviate) == []


def test_without_weaviate(start, table):
    proxy = start(users={"app": "annotations=all"})
    with proxy.client() as client:
        fails(client.query(near()), "55000", "no Weaviate is configured")


@pytest.mark.parametrize("sql", ["BEGIN", "COMMIT", "SHOW server_version", ""])
def test_statements_that_read_no_hits(proxy, sql):
    with proxy.client() as client:
        fails(client.query(near(sql)), "0A000", "no search is possible here")
        assert client.query("SELECT 1").value == "1"


# ---- failures of Weaviate ----

FAULTS = [dict(do="empty"), dict(do="answer", status=500), dict(do="answer", status=503), dict(do="answer", status=429), dict(do="cut"),
          dict(do="answer", status=200, text="<html>"), dict(do="answer", status=200, body={"data": None, "errors": [{"message": "explorer: out of memory"}]}),
          dict(do="answer", status=200, body={"results": [{"id": "nonsense"}], "data": {"Get": {VECTORS: [{"_additional": {"id": "nonsense"}}]}}})]


@pytest.mark.parametrize("fault", FAULTS, ids=range(len(FAULTS)))
def test_failures(start, weaviate, fault):
    proxy = start(**settings(weaviate, users={"app": "annotations=all", "u_other": "annotations=all on_search_failure=empty"}, search_breaker_failures=0))
    with proxy.client() as client, proxy.client(user="u_other") as other:
        with weaviate.fault(call="POST /v1/(graphql|search).*", **fault):
            fails(client.query(near()), "58000", "search failed")
            assert other.query(near("SELECT count(*), current_setting('pglane.hits') FROM ml_vector_hits()")).rows == [[b"0", b"[]"]]
        assert client.query(near(limit=1)).value == "near"
        assert other.query(near(limit=1)).value == "near"
        fails(other.query(near(vector="[1,0]")), "22023", "refused")  # what the client can mend is never made up for


def test_data_beside_errors_is_a_failure(start, weaviate):
    proxy = start(**settings(weaviate, weaviate_search="graphql"))
    body = {"data": {"Get": {VECTORS: [{"postgresqlId": row_id("near"), "_additional": {"id": object_id("near"), "distance": 0}}]}}, "errors": [{"message": "429 Too many requests"}]}
    with proxy.client() as client, weaviate.fault("answer", "POST /v1/graphql", status=200, body=body):
        fails(client.query(near()), "58000", "search failed", "429")


def test_it_is_away(start, weaviate):
    proxy = start(**settings(weaviate))
    with proxy.client() as client:
        with weaviate.away():
            fails(client.query(near()), "58000", "search failed")
        assert client.query(near(limit=1)).value == "near"


def test_a_wrong_key(start, weaviate):
    proxy = start(**settings(weaviate, weaviate_api_key="wrong"))
    with proxy.client() as client:
        fails(client.query(near()), "58000", "search failed")


def test_search_timeout(start, weaviate):
    proxy = start(**settings(weaviate, search_timeout="300ms"))
    with proxy.client() as client:
        with weaviate.fault("hold", "POST /v1/(graphql|search).*"):
            fails(client.query(near()), "58000", "search failed")
            weaviate.release()
        assert client.query(near(limit=1)).value == "near"


def test_searches_wait_for_their_turn(start, weaviate):
    proxy = start(**settings(weaviate, search_requests=1, search_timeout="2s"))
    with proxy.client() as first, proxy.client() as second:
        assert first.query(near(limit=1)).value == "near"
        with weaviate.fault("hold", "POST /v1/(graphql|search).*", times=1):
            first.send(query(near(limit=1)))
            weaviate.wait_held()
            second.send(query(near(limit=1)))
            weaviate.release()
            assert first.result().value == "near" and second.result().value == "near"


def test_too_many_wait(start, weaviate):
    proxy = start(**settings(weaviate, search_requests=1, search_max_waiting=1))
    with proxy.client() as first, proxy.client() as second, proxy.client() as third:
        with weaviate.fault("hold", "POST /v1/(graphql|search).*"):
            first.send(query(near(limit=1)))
            weaviate.wait_held()
            second.send(query(near(limit=1)))
            system.eventually(lambda: shown(proxy)["waiting"] == 1, 10, "one that waits")
            fails(third.query(near(limit=1)), "58000", "search failed", "search_max_waiting")
            weaviate.release()
        assert first.result().value == "near" and second.result().value == "near" and third.query(near(limit=1)).value == "near"


def test_the_breaker(start, weaviate):
    proxy = start(**settings(weaviate, search_breaker_failures=3, search_breaker_pause="1s"))
    call = "POST /v1/(graphql|search).*"
    with proxy.client() as client:
        with weaviate.fault("answer", call, status=500):
            for _ in range(3):
                fails(client.query(near()), "58000", "search failed", "HTTP 500")
            n = len(searches(weaviate))
            fails(client.query(near()), "58000", "search failed", "search_breaker_pause")
            assert len(searches(weaviate)) == n
            # Half open: one tries, fails, and it is open again.
            system.eventually(lambda: "HTTP 500" in client.query(near()).errors[0].fields["D"], 10, "an attempt")
            fails(client.query(near()), "58000", "search failed", "search_breaker_pause")
        system.eventually(lambda: client.query(near(limit=1)).sqlstate is None, 10, "a closed breaker")
        for _ in range(3):
            assert client.query(near(limit=1)).value == "near"
    assert "searches fail at once" in proxy.log_text() and "answers again" in proxy.log_text()


def test_the_cache(start, weaviate):
    proxy = start(**settings(weaviate, search_cache_ttl="1s", search_cache_bytes=3000))
    with proxy.client() as client, proxy.client(user="u_other") as stranger:
        for _ in range(3):
            assert client.query(near(limit=1)).value == "near"
        assert len(searches(weaviate)) == 1
        assert client.query(near(organization=THERE, limit=1)).value == "foreign"  # another organization, another entry
        assert client.query(near(limit=2)).value == "near foreign"
        assert len(searches(weaviate)) == 3
        fails(stranger.query(near(limit=1)), "42501", "not allowed")
        system.eventually(lambda: client.query(near(limit=1)).value == "near" and len(searches(weaviate)) == 4, 10, "the entry's end")
        # The cap: what was used least recently is gone.
        for limit in range(10, 40):
            client.query(near(limit=limit))
        n = len(searches(weaviate))
        assert n == 34
        client.query(near(limit=39))
        assert len(searches(weaviate)) == n
        client.query(near(limit=10))
        assert len(searches(weaviate)) == n + 1


# ---- what is known of them ----

def shown(proxy):
    with proxy.console() as console:
        return console.show("SEARCHES")[0]


def test_the_console_tells(start, weaviate):
    proxy = start(**settings(weaviate, users={"app": "annotations=all", "u_other": "annotations=all on_search_failure=empty"}, search_cache_ttl="60s",
                             search_breaker_failures=2, search_breaker_pause="60s"))
    assert shown(proxy)["interface"] == "unknown"
    with proxy.client() as client, proxy.client(user="u_other") as other:
        for _ in range(2):
            assert client.query(near(limit=2)).value == "near foreign"
        assert shown(proxy)["interface"] == ("rest" if weaviate.version >= (1, 40) else "graphql")
        client.query(near(vector="[1]"))
        client.query(near(limit=0))
        with weaviate.fault("answer", "POST /v1/(graphql|search).*", status=500):
            client.query(near(limit=3))
            other.query(near("SELECT 1", limit=3))
            client.query(near(limit=3))
    row = shown(proxy)
    assert row["interface"] == "unknown"  # it is asked for anew after a failure
    expected = {"breaker": "open", "running": 0, "waiting": 0, "statements": 6, "errors": 4, "made_empty": 1, "searches": 6, "found": 1, "refused": 1, "failed": 3, "timed_out": 0,
                "broken": 1, "hits": 2, "breaker_opened": 1, "cache_hits": 1, "cache_misses": 5, "cache_entries": 1, "not_counted": 0}
    assert {key: row[key] for key in expected} == expected
    assert 0 < row["avg_us"] <= row["max_us"] and row["cache_bytes"] > 0


@pytest.fixture
def counters(cluster):
    """A database with the tables of sql/, and the role that pglane counts as."""
    name = "search_counters"
    schema.create(cluster, name)
    schema.load(cluster, name, "demo/foundation.sql")
    schema.migrate(cluster, name)
    cluster.run("GRANT ml_proxy TO app")
    yield name
    cluster.run("REVOKE ml_proxy FROM app")
    schema.drop(cluster, name)


def test_what_is_found_is_counted(start, weaviate, cluster, counters):
    metadata = {}
    for name in ("near", "close"):
        metadata[name] = cluster.run("INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id) VALUES ('service_event', %s, %s) RETURNING id",
                                     counters, (row_id(name), object_id(name)))[0][0]
    counted = {"databases": {counters: "{server} dbname=" + counters}, "outbox_database": counters, "outbox_user": "app", "search_stats_period": "200ms"}
    proxy = start(**settings(weaviate, sections={"entity:service_event": {"collection": VECTORS}}, **counted))

    def hits():
        return dict(cluster.run("SELECT metadata_id, sum(hits)::int FROM ml_vector_search_stats GROUP BY 1", counters))
    with proxy.client() as client:
        for limit in (1, 3, 3):
            client.query(near(limit=limit, organization=HERE))
        system.eventually(lambda: hits() == {metadata["near"]: 3, metadata["close"]: 2}, 20, "the counts")
        row = shown(proxy)
        assert (row["to_count"], row["counted"]) == (0, 7)  # "far" has no row in ml_vector_metadata, and is asked for none the less
        with proxy.console() as console:
            console.run("PAUSE FORWARDING")  # which keeps a connection; counting does not
        system.eventually(lambda: in_use(proxy) == 0, 10, "no connection")
        # The database refuses: nothing is lost, and all is counted later.
        cluster.run("ALTER FUNCTION ml_search_stats_add RENAME TO away", counters)
        client.query(near(limit=1, organization=HERE))
        system.eventually(lambda: "cannot be counted" in proxy.log_text(), 20, "a complaint")
        cluster.run("ALTER FUNCTION away RENAME TO ml_search_stats_add", counters)
        system.eventually(lambda: hits()[metadata["near"]] == 4, 20, "the counts")


def test_a_search_and_a_note(start, weaviate, cluster, counters):
    """Both go ahead of one statement, also where a transaction is put around it."""
    cluster.run("CREATE TABLE found (id uuid); GRANT INSERT, SELECT ON found TO app; GRANT ml_service TO app", counters)
    proxy = start(**settings(weaviate, databases={counters: "{server} dbname=" + counters}))
    try:
        with proxy.client(database=counters) as client:
            insert = "INSERT INTO found SELECT id FROM ml_vector_hits() RETURNING id"
            for before, behind in (("SELECT 1", "SELECT 1"), ("BEGIN", "COMMIT")):
                client.query(before)
                assert client.query(near(insert, limit=1, entity="service_event", organization=HERE)).value == row_id("near")
                client.query(behind)
            assert cluster.run("SELECT DISTINCT entity_id::text FROM ml_vector_outbox", counters) == [(row_id("near"),)]
    finally:
        cluster.run("REVOKE ml_service FROM app")


# ---- waiting ----

@pytest.fixture
def held(weaviate):
    """Searches are held until weaviate.release()."""
    with weaviate.fault("hold", "POST /v1/(graphql|search).*"):
        yield
        weaviate.release()


def test_no_permit_is_held_meanwhile(proxy, weaviate, held):
    with proxy.client() as simple, proxy.client() as extended, proxy.client() as deferred:
        simple.send(query(near(limit=1)))
        extended.send(parse("", near(WITH_PARAMETER, limit=1, vector="$1")), bind("", "", ["[1,0,0]"]), describe("P"), execute(), SYNC)
        deferred.query("BEGIN")
        deferred.send(query(near(limit=1)))
        weaviate.wait_held(3)
        assert in_use(proxy) == 0
        weaviate.release()
        for client in (simple, extended, deferred):
            assert client.result().value == "near"
        deferred.query("COMMIT")


def test_a_batch_in_pieces(proxy, weaviate, held):
    """Its Bind comes late, and in two parts: no permit is taken for the Parse alone."""
    pieces = parse("", near(WITH_PARAMETER, limit=1, vector="$1")), bind("", "", ["[1,0,0]"]) + execute() + SYNC
    with proxy.client() as client:
        client.send(pieces[0])
        client.send(pieces[1][:20])
        assert in_use(proxy) == 0
        client.send(pieces[1][20:])
        weaviate.wait_held()
        assert in_use(proxy) == 0
        weaviate.release()
        assert client.result().value == "near"


def test_cancel(proxy, weaviate, held):
    with proxy.client() as client:
        client.send(query(near(limit=1)))
        weaviate.wait_held()
        proxy.cancel(client)
        fails(client.result(), "57014", "canceling statement due to user request", VECTORS)
        assert client.query("SELECT 1").value == "1"
        client.query("BEGIN")
        client.query("SELECT 1")
        client.send(parse("", near(limit=1)), bind("", ""), execute(), SYNC)
        weaviate.wait_held(2)
        proxy.cancel(client)
        fails(client.result(), "57014", "canceling statement due to user request")
        assert client.query("SELECT 1").sqlstate == "25P02"
        assert client.query("ROLLBACK").status == "I"
        weaviate.release()
        weaviate.lay()
        assert client.query(near(limit=1)).value == "near"


def test_the_client_goes(proxy, weaviate, held):
    clients = [proxy.client() for _ in range(4)]
    for i, client in enumerate(clients):
        if i % 2:
            client.query("BEGIN")
            client.query("SELECT 1")
        client.send(query(near(limit=1)))
    weaviate.wait_held(4)
    for client in clients:
        client.close()
    system.eventually(lambda: in_use(proxy) == 0, 10, "the permits")
    weaviate.release()
    weaviate.lay()
    with proxy.client() as client:
        assert client.query(near(limit=1)).value == "near"


def test_who_goes_leaves_the_place_to_others(start, weaviate):
    proxy = start(**settings(weaviate, search_requests=1, search_timeout="59s"))
    call = "POST /v1/(graphql|search).*"
    with proxy.client() as other:
        for how in ("close", "cancel"):
            with weaviate.fault("hold", call, times=1), proxy.client() as client:
                client.send(query(near(limit=1)))
                weaviate.wait_held()
                other.send(query(near(limit=1)))
                if how == "close":
                    client.close()
                else:
                    proxy.cancel(client)
                    fails(client.result(), "57014", "user request")
                assert other.result().value == "near"  # while the first is held yet
                weaviate.release()
        # One that waits for its turn goes, too.
        with weaviate.fault("hold", call, times=1), proxy.client() as client:
            other.send(query(near(limit=1)))
            weaviate.wait_held()
            client.send(query(near(limit=1)))
            system.eventually(lambda: shown(proxy)["waiting"] == 1, 10, "one that waits")
            client.close()
            system.eventually(lambda: shown(proxy)["waiting"] == 0, 10, "its end")
            weaviate.release()
            assert other.result().value == "near"
        row = shown(proxy)
        assert (row["abandoned"], row["running"], row["breaker"]) == (3, 0, "closed")


def test_its_time_is_the_lanes(start, weaviate, held):
    proxy = start(**settings(weaviate, sections={"lane:default": {"statement_timeout": "500ms"}}))
    with proxy.client() as client:
        client.send(query(near("SELECT 1", limit=1)))
        fails(client.result(), "57014", "lane timeout", "its search")
        client.query("BEGIN")
        client.query("SELECT 1")
        client.send(query(near("SELECT 1", limit=1)))
        fails(client.result(), "57014", "lane timeout")
        assert client.query("ROLLBACK").status == "I"
        weaviate.release()
        weaviate.lay({"do": "slow", "call": "POST /v1/(graphql|search).*", "seconds": 0.3})
        began = time.monotonic()
        fails(client.query(near("SELECT pg_sleep(5)", limit=1)), "57014", "lane timeout")
        assert time.monotonic() - began < 3


def test_the_server_dies_meanwhile(proxy, cluster, weaviate, held):
    with proxy.client() as client:
        client.query("BEGIN")
        client.query("SELECT 1")
        client.send(query(near(limit=1)))
        weaviate.wait_held()
        cluster.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app' AND pid <> pg_backend_pid()")
        assert client.result().sqlstate == "08006"
        assert client.query("ROLLBACK").status == "I"
        weaviate.release()
        weaviate.lay()
        assert client.query(near(limit=1)).value == "near"


def test_shutdown_meanwhile(start, weaviate, held):
    for how in ("QUIT", "TERM"):
        proxy = start(**settings(weaviate))
        client = proxy.client()
        client.send(query(near(limit=1)))
        weaviate.wait_held()
        if how == "TERM":  # who went before the answer came, and whose answer never comes
            client.close()
        proxy.stop_only()
        client.close()


def test_reload_meanwhile(start, weaviate, held):
    proxy = start(**settings(weaviate))
    with proxy.client() as client:
        client.send(query(near(limit=1)))
        weaviate.wait_held()
        proxy.write(search_timeout="7s")
        proxy.reload()
        weaviate.release()
        weaviate.lay()
        assert client.result().value == "near"
        proxy.write(weaviate_url="")
        proxy.reload()
        fails(client.query(near()), "55000", "no Weaviate is configured")


def test_a_full_lane_behind_a_search(start, weaviate):
    proxy = start(**settings(weaviate, lanes={"default": 1}, queue_timeout="300ms"))
    with proxy.client() as holder, proxy.client() as client:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        fails(client.query(near("SELECT 1", limit=1)), "53300", "queue timeout")
        holder.query("COMMIT")
        assert client.query(near(vector="[0,0,1]", limit=1)).value == "far"


def test_many_at_once(proxy, weaviate):
    clients = [proxy.client() for _ in range(40)]
    for i, client in enumerate(clients):
        client.send(query(near(vector="[0,0,1]" if i % 2 else "[1,0,0]", limit=1)))
    assert [client.result().value for client in clients] == ["far" if i % 2 else "near" for i in range(40)]
    for client in clients:
        client.close()


# ---- everything at once ----

class Wanderer:
    """A client that does this and that. What it is told is what its own search finds, or an error that it has earned."""

    WANTED = {"[1,0,0]": "near", "[0,0,1]": "far", "[0.8,0.2,0]": "close"}
    SHAPES = ("simple", "extended", "prepared", "transaction", "pipeline", "leave", "cancel", "bad", "plain")

    def __init__(self, proxy, seed, log):
        self.proxy, self.random, self.log, self.client = proxy, random.Random(seed), log, None

    def wander(self, n):
        for _ in range(n):
            if self.client is None:
                self.client = self.proxy.client()
                assert self.client.exchange(parse("s", WITH_SEARCH)).errors == []
            shape = self.random.choice(self.SHAPES)
            self.log.append(shape)
            getattr(self, shape)(*self.random.choice(list(self.WANTED.items())))
        if self.client:
            self.client.close()

    def told(self, result, name):
        assert result.errors and result.sqlstate in ("58000", "57014", "53300") or result.value == name, (result.errors, result.rows, name)
        return result.sqlstate is None

    def simple(self, vector, name):
        self.told(self.client.query(near(vector=vector, limit=1)), name)

    def extended(self, vector, name):
        self.told(self.client.extended(WITH_SEARCH, [vector]), name)

    def prepared(self, vector, name):
        self.told(self.client.exchange(bind("", "s", [vector]), execute()), name)

    def transaction(self, vector, name):
        self.client.query("BEGIN")
        if self.told(self.client.query(near(vector=vector, limit=1)), name):
            assert self.client.query(NAMES).value == name
        else:
            assert self.client.query("SELECT 1").sqlstate == "25P02"
        assert self.client.query(self.random.choice(["COMMIT", "ROLLBACK"])).status == "I"

    def pipeline(self, vector, name):
        self.client.send(query(near(vector=vector, limit=1)), query("SELECT 7"), bind("", "s", [vector]), execute(), SYNC, query("SELECT 8"))
        self.told(self.client.result(), name)
        assert self.client.result().value == "7"
        self.told(self.client.result(), name)
        assert self.client.result().value == "8"

    def leave(self, vector, name):
        self.client.send(self.random.choice([query(near(vector=vector, limit=1)), bind("", "s", [vector]) + execute() + SYNC, bind("", "s", [vector])]))
        self.client.close()
        self.client = None

    def cancel(self, vector, name):
        self.client.send(query(near(vector=vector, limit=1)))
        self.proxy.cancel(self.client)
        self.told(self.client.result(), name)

    def bad(self, vector, name):
        assert self.client.query(near(vector="[1,0]", limit=1)).sqlstate in ("22023", "58000", "53300")

    def plain(self, vector, name):
        assert self.client.query("SELECT count(*) FROM ml_vector_hits()").value == "0"


def test_random_searches(start, weaviate):
    seed = int(os.environ.get("PGLANE_SEED", 1))
    print(f"PGLANE_SEED={seed}")
    proxy = start(**settings(weaviate, search_requests=3, search_timeout="2s", search_breaker_failures=0, search_cache_ttl="50ms", default_pool_size=4))
    call = "POST /v1/(graphql|search).*"
    weaviate.lay({"do": "answer", "call": call, "status": 503, "skip": 20, "times": 20}, {"do": "slow", "call": call, "seconds": 0.05, "skip": 10, "times": 40},
                 {"do": "cut", "call": call, "skip": 60, "times": 10})
    logs, failures = [[] for _ in range(8)], []

    def go(i):
        try:
            Wanderer(proxy, seed + i, logs[i]).wander(40)
        except BaseException as error:  # also what pytest raises: it belongs to the test
            failures.append((i, logs[i][-5:], error))
    threads = [threading.Thread(target=go, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    system.eventually(lambda: in_use(proxy) == 0, 10, "the permits")
    row = shown(proxy)
    assert row["running"] == row["waiting"] == 0
    assert row["searches"] == sum(row[key] for key in ("found", "refused", "failed", "timed_out", "abandoned")) + row["cache_hits"]
