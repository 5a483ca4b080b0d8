# SPDX-License-Identifier: ISC
"""The documented rules of Weaviate's API, asked of the stand-in of several versions, or of the real server that WEAVIATE_URL names."""

import contextlib
import http.client
import json
import urllib.parse
import uuid

import pytest

from harness import weaviate as harness

NAME = "PglaneContract"
TEXT_NAME = "PglaneContractText"
TENANT_NAME = "PglaneContractTenant"
ORGANIZATIONS = [str(uuid.UUID(int=0xa0 + i)) for i in range(2)]

PROPERTIES = [
    {"name": "description", "dataType": ["text"]},
    {"name": "eventType", "dataType": ["text"], "tokenization": "field", "indexSearchable": False},
    {"name": "organizationId", "dataType": ["uuid"]},
    {"name": "place", "dataType": ["geoCoordinates"]},
    {"name": "n", "dataType": ["int"]},
    {"name": "weight", "dataType": ["number"]},
    {"name": "isDone", "dataType": ["boolean"]},
    {"name": "happenedAt", "dataType": ["date"]},
    {"name": "line", "dataType": ["object[]"], "indexFilterable": False, "nestedProperties": [{"name": "lat", "dataType": ["number"], "indexFilterable": False}]},
]
CLASS = {"class": NAME, "vectorizer": "none", "vectorIndexConfig": {"distance": "cosine"}, "properties": PROPERTIES}
TENANTS = {"class": TENANT_NAME, "vectorizer": "none", "multiTenancyConfig": {"enabled": True}, "properties": PROPERTIES[:1]}
TEXTS = {"class": TEXT_NAME, "vectorizer": "text2vec-openai", "moduleConfig": {"text2vec-openai": {
    "model": "text-embedding-3-small", "dimensions": 1536, "type": "text", "vectorizeClassName": False}}, "properties": PROPERTIES[:1]}


def id_of(i):
    return str(uuid.UUID(int=i + 1))


def made(i, vector=None, class_name=NAME, **properties):
    return {"class": class_name, "id": id_of(i), **({"vector": vector} if vector else {}), "properties": properties}


def store(server, *objects):
    for one in server.must("POST", "/v1/batch/objects", {"objects": list(objects)}):
        assert one["result"]["status"] == "SUCCESS" and not one["result"].get("errors"), one


def outcomes(server, *objects):
    """What a batch says: None or the text of the failure, in order."""
    told = server.must("POST", "/v1/batch/objects", {"objects": list(objects)})
    assert [one["id"] for one in told] == [one["id"] for one in objects]
    return [None if one["result"]["status"] == "SUCCESS" else one["result"]["errors"]["error"][0]["message"] for one in told]


def handler_error(answer, status):
    """The text of a handler's refusal, after its shape was checked."""
    assert answer[0] == status, answer
    return answer[1]["error"][0]["message"]


def layer_error(answer, status):
    assert answer[0] == status, answer
    assert isinstance(answer[1]["code"], int)
    return answer[1]["message"]


# ---- the server, keys, bodies ----

def test_ready_asks_for_no_key(each):
    for path in ("/v1/.well-known/ready", "/v1/.well-known/live"):
        assert each.call("GET", path, key=None) == (200, b"")


def test_version(each):
    assert each.must("GET", "/v1/meta")["version"].count(".") == 2


def test_keys(each):
    if each.is_real and not each.api_key:
        pytest.skip("the real server has no keys")
    layer_error(each.call("GET", "/v1/meta", key=None), 401)
    layer_error(each.call("GET", "/v1/meta", key="wrong"), 401)
    layer_error(each.call("POST", "/v1/batch/objects", {"objects": [made(1)]}, key=None), 401)


def test_a_key_that_may_only_read(each):
    if each.is_real:
        pytest.skip("the real server's read-only key is not known")
    each.create_class(CLASS)
    assert each.call("GET", f"/v1/schema/{NAME}", key="reader")[0] == 200
    assert "insufficient permissions" in handler_error(each.call("POST", "/v1/batch/objects", {"objects": [made(1)]}, key="reader"), 403)


def test_a_key_where_none_is_configured():
    if harness.real_url():
        pytest.skip("the real server has keys")
    server = harness.Weaviate(api_key=None)
    try:
        assert "no authentication scheme" in layer_error(server.call("GET", "/v1/meta", key="k"), 401)
    finally:
        server.stop()


def test_bodies_that_are_none(each):
    each.create_class(CLASS)
    layer_error(each.call("POST", "/v1/batch/objects", b"{", ), 400)
    layer_error(each.call("POST", "/v1/batch/objects", b'{"objects": [{"class": "%s", "vector": [NaN]}]}' % NAME.encode()), 400)
    layer_error(each.call("POST", "/v1/batch/objects", b"{}", headers={"Content-Type": "text/plain"}), 415)
    layer_error(each.call("GET", "/v1/nothing"), 404)
    layer_error(each.call("PATCH", "/v1/meta"), 405)


# ---- classes ----

def test_a_class_comes_back_with_defaults(each):
    each.create_class(CLASS)
    told = each.must("GET", f"/v1/schema/{NAME}")
    assert told["vectorIndexConfig"]["distance"] == "cosine" and told["vectorIndexConfig"]["efConstruction"] == 128
    assert told["vectorIndexType"] == "hnsw" and told["vectorizer"] == "none" and told["multiTenancyConfig"]["enabled"] is False
    by_name = {prop["name"]: prop for prop in told["properties"]}
    assert by_name["description"]["tokenization"] == "word" and by_name["description"]["indexSearchable"] is True
    assert by_name["eventType"]["tokenization"] == "field" and by_name["n"]["indexFilterable"] is True
    assert by_name["line"]["nestedProperties"][0]["name"] == "lat"


def test_a_class_is_made_once(each):
    each.create_class(CLASS)
    assert "already exists" in handler_error(each.call("POST", "/v1/schema", CLASS), 422)


def test_a_class_that_is_not_there(each):
    assert each.call("GET", "/v1/schema/PglaneNowhere")[0] == 404


@pytest.mark.parametrize("change", [
    {"class": "not a name"}, {"vectorizer": "text2vec-nothing"}, {"vectorIndexType": "tree"}, {"vectorIndexConfig": {"distance": "far"}},
    {"properties": [{"name": "a b", "dataType": ["text"]}]}, {"properties": [{"name": "_id", "dataType": ["text"]}]},
    {"properties": [{"name": "x", "dataType": ["geoCoordinates[]"]}]}, {"properties": [{"name": "x", "dataType": ["object"]}]},
    {"properties": [{"name": "x", "dataType": ["object"], "nestedProperties": [{"name": "y", "dataType": ["geoCoordinates"]}]}]},
    {"properties": [{"name": "x", "dataType": ["object"], "nestedProperties": [{"name": "y", "dataType": ["string"]}]}]},
    {"properties": [{"name": "x", "dataType": ["int"], "tokenization": "word"}]}, {"properties": [{"name": "x", "dataType": ["int"], "indexSearchable": True}]},
    {"properties": [{"name": "x", "dataType": ["text"]}, {"name": "X", "dataType": ["int"]}]},
], ids=lambda change: json.dumps(change)[:60])
def test_classes_that_are_refused(each, change):
    handler_error(each.call("POST", "/v1/schema", {**CLASS, **change}), 422)


def test_what_cannot_be_changed_of_a_class(each):
    each.create_class(CLASS)
    told = each.must("GET", f"/v1/schema/{NAME}")
    assert each.call("PUT", f"/v1/schema/{NAME}", {**told, "vectorIndexConfig": {**told["vectorIndexConfig"], "ef": 100}})[0] == 200
    handler_error(each.call("PUT", f"/v1/schema/{NAME}", {**told, "vectorIndexConfig": {**told["vectorIndexConfig"], "distance": "dot"}}), 422)
    handler_error(each.call("PUT", f"/v1/schema/{NAME}", {**told, "multiTenancyConfig": {"enabled": True}}), 422)


def test_a_property_can_be_added(each):
    each.create_class(CLASS)
    each.must("POST", f"/v1/schema/{NAME}/properties", {"name": "extra", "dataType": ["int"]})
    store(each, made(1, extra=3))
    handler_error(each.call("POST", f"/v1/schema/{NAME}/properties", {"name": "extra", "dataType": ["int"]}), 422)


# ---- batches ----

def test_batch_upserts(each):
    each.create_class(CLASS)
    store(each, made(1, [1, 0], n=1), made(2, [0, 1], n=2))
    store(each, made(1, [1, 1], n=10, description=None))
    objects = each.objects(NAME, with_vector=True)
    assert objects.keys() == {id_of(1), id_of(2)}
    assert objects[id_of(1)]["properties"] == {"n": 10} and len(objects[id_of(1)]["vector"]) == 2


def test_a_batch_fails_in_part(each):
    each.create_class(CLASS)
    told = outcomes(each, made(1, n=1), made(2, n="one"), made(3, nothing=1), made(4, class_name="PglaneNowhere"), made(5, happenedAt="yesterday"),
                    made(6, happenedAt="2026-01-02T03:04:05"), made(7, organizationId="no-uuid"), made(8, n=2.5), made(9, isDone=1), made(10, n=3))
    assert [text is None for text in told] == [True, False, False, False, False, False, False, False, False, True], told
    assert "requires an integer" in told[1] and "no such prop" in told[2] and "RFC3339" in told[4] and "RFC3339" in told[5]
    assert each.objects(NAME).keys() == {id_of(1), id_of(10)}


def test_the_first_vector_fixes_the_length(each):
    each.create_class(CLASS)
    store(each, made(1, [1, 0]))
    told = outcomes(each, made(2, [1, 0, 0]), made(3, [0, 1]), made(4))
    assert "vectors with length" in told[0] and told[1:] == [None, None]


def test_the_last_of_two_in_one_batch_wins(each):
    each.create_class(CLASS)
    store(each, made(1, n=1), made(1, n=2))
    assert each.objects(NAME)[id_of(1)]["properties"]["n"] == 2


def test_an_id_that_is_none_fails_the_whole_batch(each):
    each.create_class(CLASS)
    layer_error(each.call("POST", "/v1/batch/objects", {"objects": [made(1), {**made(2), "id": "2"}]}), 422)
    assert not each.objects(NAME)
    layer_error(each.call("POST", "/v1/batch/objects", {}), 422)
    handler_error(each.call("POST", "/v1/batch/objects", {"objects": []}), 422)


def test_consistency_level(each):
    each.create_class(CLASS)
    assert each.call("POST", "/v1/batch/objects?consistency_level=QUORUM", {"objects": [made(1)]})[0] == 200


def test_values_lose_what_the_server_cannot_hold(each):
    each.create_class(CLASS)
    store(each, made(1, n=2**53 + 1, place={"latitude": 52.520008123, "longitude": 13.404954}, organizationId=ORGANIZATIONS[0].upper()))
    kept = each.objects(NAME)[id_of(1)]["properties"]
    assert kept["n"] == 2**53 and kept["organizationId"] == ORGANIZATIONS[0]
    assert kept["place"]["latitude"] != 52.520008123 and abs(kept["place"]["latitude"] - 52.520008123) < 1e-5


def test_a_read_only_shard_lies(each):
    each.create_class(CLASS)
    each.set_read_only(NAME)
    told = outcomes(each, made(1, n="bad"), made(2), made(3), made(4))
    assert "requires an integer" in told[0] and "read-only" in told[1]
    repaired = (1, 38, 10) <= each.version < (1, 39) or each.version >= (1, 40)
    assert [text is None for text in told[2:]] == [not repaired] * 2
    each.set_read_only(NAME, False)
    assert not each.objects(NAME)
    store(each, made(2))


# ---- one object ----

def test_put_is_no_upsert(each):
    each.create_class(CLASS)
    assert each.call("PUT", f"/v1/objects/{NAME}/{id_of(1)}", made(1, n=1))[0] == 404
    assert each.call("POST", "/v1/objects", made(1, n=1))[0] == 200
    handler_error(each.call("POST", "/v1/objects", made(1, n=1)), 422)
    assert each.call("PUT", f"/v1/objects/{NAME}/{id_of(1)}", made(1, n=2))[0] == 200
    assert each.call("PUT", f"/v1/objects/{NAME}/{id_of(1)}", made(2, n=2))[0] == 422
    assert each.call("PATCH", f"/v1/objects/{NAME}/{id_of(1)}", {"class": NAME, "properties": {"weight": 0.5}})[0] == 204
    assert each.must("GET", f"/v1/objects/{NAME}/{id_of(1)}")["properties"] == {"n": 2, "weight": 0.5}
    assert each.call("PATCH", f"/v1/objects/{NAME}/{id_of(9)}", {"class": NAME, "properties": {}})[0] == 404


def test_deletes(each):
    each.create_class(CLASS)
    store(each, made(1))
    assert each.call("DELETE", f"/v1/objects/{NAME}/{id_of(1)}") == (204, b"")
    assert each.call("DELETE", f"/v1/objects/{NAME}/{id_of(1)}")[0] == (204 if each.version >= (1, 26) else 404)
    assert each.call("DELETE", f"/v1/objects/PglaneNowhere/{id_of(1)}")[0] == 500
    layer_error(each.call("DELETE", f"/v1/objects/{NAME}/one"), 422)
    assert not each.objects(NAME)


def test_batch_delete(each):
    each.create_class(CLASS)
    store(each, *(made(i, n=i) for i in range(5)))
    where = {"path": ["id"], "operator": "ContainsAny", "valueTextArray": [id_of(1), id_of(3), id_of(77)]}
    dry = each.must("DELETE", "/v1/batch/objects", {"match": {"class": NAME, "where": where}, "dryRun": True, "output": "verbose"})
    assert dry["results"]["matches"] == 2 and dry["results"]["successful"] == 0 and len(each.objects(NAME)) == 5
    told = each.must("DELETE", "/v1/batch/objects", {"match": {"class": NAME, "where": where}, "output": "verbose"})["results"]
    assert (told["matches"], told["successful"], told["failed"], told["limit"]) == (2, 2, 0, 10000)
    assert {one["id"]: one["status"] for one in told["objects"]} == {id_of(1): "SUCCESS", id_of(3): "SUCCESS"}
    assert each.objects(NAME).keys() == {id_of(0), id_of(2), id_of(4)}
    handler_error(each.call("DELETE", "/v1/batch/objects", {"match": {"class": NAME}}), 422)


def test_the_cursor(each):
    each.create_class(CLASS)
    store(each, *(made(i) for i in range(7)))
    found, after = [], ""
    while page := each.must("GET", f"/v1/objects?class={NAME}&limit=3&after={after}")["objects"]:
        found += [one["id"] for one in page]
        after = found[-1]
    assert found == sorted(map(id_of, range(7)))
    handler_error(each.call("GET", f"/v1/objects?class={NAME}&limit=3&offset=1&after={after}"), 422)


def test_tenants(each):
    each.create_class(TENANTS)
    one, two = ORGANIZATIONS
    assert "tenant" in outcomes(each, made(1, class_name=TENANT_NAME))[0]
    assert "tenant not found" in outcomes(each, {**made(1, class_name=TENANT_NAME), "tenant": one})[0]
    each.must("POST", f"/v1/schema/{TENANT_NAME}/tenants", [{"name": one}, {"name": two}])
    store(each, {**made(1, [1, 0], TENANT_NAME), "tenant": one}, {**made(1, [0, 1], TENANT_NAME), "tenant": two}, {**made(2, [0, 1], TENANT_NAME), "tenant": two})
    assert each.objects(TENANT_NAME, one).keys() == {id_of(1)} and each.objects(TENANT_NAME, two).keys() == {id_of(1), id_of(2)}
    found = each.graphql(f'{{Get{{{TENANT_NAME}(tenant:"{one}",limit:9,nearVector:{{vector:[1,0]}}){{_additional{{id distance}}}}}}}}')
    assert [hit["_additional"]["id"] for hit in found["Get"][TENANT_NAME]] == [id_of(1)]
    assert each.call("DELETE", f"/v1/objects/{TENANT_NAME}/{id_of(1)}?tenant={two}")[0] == 204
    assert each.objects(TENANT_NAME, one) and each.objects(TENANT_NAME, two).keys() == {id_of(2)}
    handler_error(each.call("POST", f"/v1/schema/{TENANT_NAME}/tenants", [{"name": "no tenant"}]), 422)


def test_a_tenant_where_there_are_none(each):
    each.create_class(CLASS)
    assert "tenant" in outcomes(each, {**made(1), "tenant": ORGANIZATIONS[0]})[0]


# ---- searches ----

@pytest.fixture
def searchable(each):
    each.create_class(CLASS)
    places = [(52.52, 13.405), (52.521, 13.405), (48.137, 11.575), (40.71, -74.0)]
    store(each, *(made(i, [1.0, float(i)], n=i, description=f"container {'overflow' if i % 2 else 'empty'} {i}", eventType=f"type-{i % 2}",
                       organizationId=ORGANIZATIONS[i % 2], place={"latitude": places[i][0], "longitude": places[i][1]}) for i in range(4)))
    return each


def ask(server, arguments, fields="_additional{id distance}"):
    """The whole answer of a Get on the class."""
    return server.must("POST", "/v1/graphql", {"query": f"{{Get{{{NAME}({arguments}){{{fields}}}}}}}"})


def found(answer):
    assert not answer.get("errors"), answer
    return [hit["_additional"]["id"] for hit in answer["data"]["Get"][NAME]]


def test_near_vector(searchable):
    answer = ask(searchable, "limit:3,nearVector:{vector:[1.0,0.0]}", "n _additional{id distance certainty score}")
    hits = answer["data"]["Get"][NAME]
    assert [hit["n"] for hit in hits] == [0, 1, 2] and hits[0]["_additional"]["distance"] == pytest.approx(0, abs=1e-6)
    assert hits[1]["_additional"]["distance"] == pytest.approx(1 - 0.5**0.5, abs=1e-6)
    assert hits[1]["_additional"]["certainty"] == pytest.approx(1 - hits[1]["_additional"]["distance"] / 2, abs=1e-6)
    assert found(ask(searchable, "limit:9,nearVector:{vector:[1.0,0.0],distance:0.3}")) == [id_of(0), id_of(1)]


def test_filters(searchable):
    def ids(where):
        return set(found(ask(searchable, f"limit:9,nearVector:{{vector:[1.0,0.0]}},where:{where}")))
    assert ids(f'{{path:["organizationId"],operator:Equal,valueText:"{ORGANIZATIONS[1]}"}}') == {id_of(1), id_of(3)}
    assert ids('{path:["eventType"],operator:Equal,valueText:"type-0"}') == {id_of(0), id_of(2)}
    assert ids('{path:["description"],operator:Equal,valueText:"OVERFLOW container"}') == {id_of(1), id_of(3)}
    assert ids('{operator:And,operands:[{path:["n"],operator:GreaterThan,valueInt:0},{path:["n"],operator:LessThanEqual,valueInt:2}]}') == {id_of(1), id_of(2)}
    assert ids(f'{{path:["id"],operator:ContainsAny,valueText:["{id_of(2)}","{id_of(8)}"]}}') == {id_of(2)}
    near = '{path:["place"],operator:WithinGeoRange,valueGeoRange:{geoCoordinates:{latitude:52.52,longitude:13.405},distance:{max:2000.0}}}'
    assert ids(near) == {id_of(0), id_of(1)}
    assert ids(f'{{operator:Or,operands:[{near},{{path:["n"],operator:Equal,valueInt:3}}]}}') == {id_of(0), id_of(1), id_of(3)}


def test_words_and_both(searchable):
    scores = ask(searchable, 'limit:9,bm25:{query:"overflow",properties:["description"]}', "_additional{id score}")["data"]["Get"][NAME]
    assert {hit["_additional"]["id"] for hit in scores} == {id_of(1), id_of(3)}
    assert all(isinstance(hit["_additional"]["score"], str) and float(hit["_additional"]["score"]) > 0 for hit in scores)
    both = found(ask(searchable, 'limit:9,hybrid:{query:"overflow",alpha:0.5,vector:[1.0,3.0],properties:["description"]}', "_additional{id score}"))
    assert both[0] == id_of(3)


@pytest.mark.parametrize("arguments", [
    'nearText:{concepts:["x"]}', "nearVector:{vector:[1.0]}", 'where:{path:["nothing"],operator:Equal,valueText:"x"}',
    'where:{path:["n"],operator:Equal,valueText:"1"}', 'where:{path:["organizationId"],operator:Equal,valueInt:1}', "limit:-1", "limit:10001", 'limit:"1"',
    'limit:1,nearVector:{vector:["1.0","0.0"]}', "nothing:1", f'tenant:"{ORGANIZATIONS[0]}"', 'bm25:{query:"a\nb"}', 'bm25:{query:"a\\qb"}', "limit:1 limit:2 )",
    "limit:99999999999", "nearVector:{vector:[1.0,0.0]},bm25:{query:\"x\"}",
])
def test_graphql_errors_come_with_status_200(searchable, arguments):
    answer = ask(searchable, arguments)
    assert answer["errors"][0]["message"], answer


def test_a_vector_is_no_variable(searchable):
    answer = searchable.must("POST", "/v1/graphql", {"query": f"query($v:[Float]){{Get{{{NAME}(limit:1,nearVector:{{vector:$v}}){{_additional{{id}}}}}}}}",
                                                     "variables": {"v": [1.0, 0.0]}})
    assert answer.get("errors"), answer


@pytest.mark.parametrize("text", ["plain", 'a "quoted" word', "back\\slash", "tab\tand\nline", "}}}} # no end", "käse 📦", '"', "$v", '\\"'])
def test_escaped_texts_arrive_whole(each, text):
    """As a client has to write them: GraphQL's escapes for quotes, backslashes and controls, everything else raw."""
    each.create_class(CLASS)
    store(each, made(1, eventType=text.strip()), made(2, eventType="other"))
    written = "".join({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}.get(one, one) for one in text)
    assert found(ask(each, f'limit:9,where:{{path:["eventType"],operator:Equal,valueText:"{written}"}}')) == [id_of(1)]


def test_half_a_pair_is_no_character(each):
    each.create_class(CLASS)
    store(each, made(1, eventType="📦"))
    assert found(ask(each, 'limit:9,where:{path:["eventType"],operator:Equal,valueText:"\\ud83d\\udce6"}')) == []


def test_counting(searchable):
    assert searchable.graphql(f"{{Aggregate{{{NAME}{{meta{{count}}}}}}}}")["Aggregate"][NAME] == [{"meta": {"count": 4}}]


def test_rest_near_vector(searchable):
    body = {"vector": [1.0, 0.0], "limit": 2, "returnProperties": ["n"], "returnMetadata": ["distance"], "nobodyKnows": 1,
            "where": {"path": ["organizationId"], "operator": "Equal", "valueText": ORGANIZATIONS[1]}}
    answer = searchable.call("POST", f"/v1/search/{NAME}/near-vector", body)
    if searchable.version < (1, 40):
        layer_error(answer, 404)
        return
    assert answer[0] == 200
    hits = answer[1]["results"]
    assert [hit["id"] for hit in hits] == [id_of(1), id_of(3)] and hits[0]["properties"] == {"n": 1} and isinstance(answer[1]["tookMs"], int)
    assert hits[0]["metadata"]["distance"] == pytest.approx(1 - 0.5**0.5, abs=1e-6)
    handler_error(searchable.call("POST", "/v1/search/PglaneNowhere/near-vector", body), 404)
    handler_error(searchable.call("POST", f"/v1/search/{NAME}/near-text", {"query": ["x"]}), 422)
    handler_error(searchable.call("POST", f"/v1/search/{NAME}/near-vector", {**body, "limit": "2"}), 400)
    handler_error(searchable.call("POST", f"/v1/search/{NAME}/near-vector", {**body, "where": {"path": ["nothing"], "operator": "Equal", "valueText": "x"}}), 400)
    handler_error(searchable.call("POST", f"/v1/search/{NAME}/near-vector", {**body, "returnMetadata": ["color"]}), 422)
    handler_error(searchable.call("POST", f"/v1/search/{NAME}/near-vector", {**body, "limit": -1}), 400)
    handler_error(searchable.call("POST", f"/v1/search/{NAME}/near-vector", {**body, "tenant": ORGANIZATIONS[0]}), 422)
    handler_error(searchable.call("POST", f"/v1/search/{NAME}/near-vector", b"{"), 400)
    handler_error(searchable.call("POST", f"/v1/search/{NAME}/near-text", {"query": "x"}), 400)
    handler_error(searchable.call("POST", f"/v1/search/{NAME}/near-text", {}), 422)


def test_rest_bm25(searchable):
    answer = searchable.call("POST", f"/v1/search/{NAME}/bm25", {"query": "overflow", "limit": 9, "returnMetadata": ["score"]})
    if searchable.version < (1, 39, 7):
        layer_error(answer, 404)
        return
    assert answer[0] == 200 and {hit["id"] for hit in answer[1]["results"]} == {id_of(1), id_of(3)}


def test_near_text(each):
    if each.is_real:
        pytest.skip("a real server needs a model for this")
    each.create_class(TEXTS)
    store(each, made(1, class_name=TEXT_NAME, description="the bin overflows at the gate"), made(2, class_name=TEXT_NAME, description="a quiet street"))
    told = each.graphql(f'{{Get{{{TEXT_NAME}(limit:1,nearText:{{concepts:["bin overflows"]}}){{_additional{{id distance}}}}}}}}')
    assert told["Get"][TEXT_NAME][0]["_additional"]["id"] == id_of(1)
    if each.version >= (1, 39, 7):
        told = each.must("POST", f"/v1/search/{TEXT_NAME}/near-text", {"query": ["quiet street"], "limit": 1})
        assert told["results"][0]["id"] == id_of(2)


def test_without_graphql():
    if harness.real_url():
        pytest.skip("the real server has what it has")
    server = harness.Weaviate("1.40.1", has_graphql=False)
    try:
        server.create_class(CLASS)
        handler_error(server.call("POST", "/v1/graphql", {"query": f"{{Get{{{NAME}{{n}}}}}}"}), 422)
    finally:
        server.stop()


# ---- the stand-in's own: faults, HTTP ----

def test_faults(each):
    each.create_class(CLASS)
    batch = {"objects": [made(1), made(2), made(3)]}
    call = "POST /v1/batch/objects"
    with each.fault("answer", call, status=429, body={"errorCode": "USAGE_LIMIT_EXCEEDED", "limit": "objects", "value": 1, "message": "too many"}, times=1):
        assert each.call("POST", "/v1/batch/objects", batch)[0] == 429
        assert each.call("POST", "/v1/batch/objects", batch)[0] == 200
    with each.fault("empty", call):
        assert each.call("POST", "/v1/batch/objects", batch) == (200, b"")
    with each.fault("refuse", call, ids=[id_of(2)], text="context deadline exceeded"):
        assert outcomes(each, *batch["objects"]) == [None, "context deadline exceeded", None]
    with each.fault("lie", call, how="one_too_few"):
        assert len(each.call("POST", "/v1/batch/objects", batch)[1]) == 2
    with each.fault("cut", call), pytest.raises((OSError, http.client.HTTPException)):
        each.call("POST", "/v1/batch/objects", batch)
    with each.fault("cut", call, late=True, bytes=150), pytest.raises((OSError, http.client.HTTPException)):
        each.call("POST", "/v1/batch/objects", batch)
    with each.fault("slow", call, seconds=30), pytest.raises(TimeoutError):
        each.call("POST", "/v1/batch/objects", batch, timeout_s=0.2)
    with each.away(), pytest.raises(OSError):
        each.call("GET", "/v1/meta")
    assert each.call("GET", "/v1/meta")[0] == 200 and len(each.objects(NAME)) == 3
    each.control("forget", {"class": NAME, "ids": [id_of(1)]})
    assert each.objects(NAME).keys() == {id_of(2), id_of(3)}


def test_a_call_can_be_held(each):
    each.create_class(CLASS)
    each.lay({"do": "hold", "call": "POST /v1/batch/objects", "late": True})
    parts = urllib.parse.urlsplit(each.url)
    with contextlib.closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)) as connection:
        connection.request("POST", "/v1/batch/objects", json.dumps({"objects": [made(1)]}), {"Content-Type": "application/json", "Authorization": f"Bearer {each.api_key}"})
        each.wait_held()
        assert each.objects(NAME).keys() == {id_of(1)}
        each.release()
        assert connection.getresponse().status == 200


def test_one_connection_serves_many_calls(each):
    parts = urllib.parse.urlsplit(each.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {each.api_key}"}
    each.create_class(CLASS)
    with contextlib.closing(kind(parts.hostname, parts.port, timeout=30)) as connection:
        for i in range(3):
            body = json.dumps({"objects": [made(i)]}).encode()
            connection.request("POST", "/v1/batch/objects", iter([body[:10], body[10:]]), headers, encode_chunked=True)
            answer = connection.getresponse()
            assert answer.status == 200 and len(json.loads(answer.read())) == 1
    assert len(each.objects(NAME)) == 3
