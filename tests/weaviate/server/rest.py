# SPDX-License-Identifier: ISC
"""The calls: from method, path and body to status and body. Faults are put on in faults.py, bytes in wire.py."""

import json
import re
import time
import urllib.parse
import uuid

from . import classes, filters, graphql, values
from .answers import QueryError, Refusal, messages, misused, refused
from .search import Query
from .store import MAXIMUM_RESULTS, READ_ONLY, TENANT_NAME, Store

NO_AUTH = {"/v1/.well-known/ready", "/v1/.well-known/live"}
LEVELS = {"ONE", "QUORUM", "ALL"}
SEARCH_SINCE = {"near-text": (1, 39, 7), "bm25": (1, 39, 7), "hybrid": (1, 39, 7), "near-object": (1, 39, 7), "near-vector": (1, 40)}
SEARCH_METADATA = {"id", "distance", "certainty", "score", "explainScore", "creationTime", "lastUpdateTime"}


def version_tuple(version):
    return tuple(int(part) for part in version.split("."))


class Request:
    """path has no query; query is a dictionary. refuse is a batch's hook for failures of single objects."""

    def __init__(self, method, target, headers, body):
        self.method, self.headers, self.body = method, headers, body
        path, _, query = target.partition("?")
        self.target, self.path = target, path
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.refuse, self.port, self.began, self.ended = None, None, time.monotonic(), None

    def json(self):
        """The body; what is wrong with it is refused as the layer before the handlers does."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise misused(415, f"unsupported media type \"{kind}\", only [application/json application/yaml] are allowed")
        try:
            return json.loads(self.body.decode("utf-8"), parse_constant=no_constant)
        except ValueError as error:
            raise misused(400, f"parsing body body from \"\" failed, because {error}") from None

    def object(self):
        body = self.json()
        if not isinstance(body, dict):
            raise misused(400, "parsing body body from \"\" failed, because json: cannot unmarshal it into an object")
        return body

    def number(self, name, default):
        text = self.query.get(name)
        if text is None:
            return default
        if not re.fullmatch(r"\d{1,18}", text):
            raise misused(422, f"{name} in query must be of type int64: \"{text}\"", 601)
        return int(text)


def no_constant(word):
    raise ValueError(f"invalid character in literal {word}")


class Api:
    """keys: those that may do everything; readers: those that may read. graphql_status: 200, or how a server that has it off answers."""

    def __init__(self, version, keys=(), readers=(), has_graphql=True):
        self.version_text, self.store = version, Store(version_tuple(version))
        self.keys, self.readers, self.has_graphql = set(keys), set(readers), has_graphql

    @property
    def version(self):
        return self.store.version

    def answer(self, request):
        """(status, body): the body is what becomes JSON, or None for an empty one."""
        try:
            return self._answer(request)
        except Refusal as refusal:
            return refusal.status, refusal.body
        except QueryError as error:
            return 422, messages(str(error))

    def _answer(self, request):
        if request.path in NO_AUTH and request.target == request.path and request.method in ("GET", "HEAD"):
            return 200, None
        self._authenticate(request)
        allowed = []
        for method, pattern, handler, writes in ROUTES:
            found = pattern.fullmatch(request.path)
            if found and method == request.method:
                if writes:
                    self._authorize(request)
                return handler(self, request, *map(urllib.parse.unquote, found.groups()))
            if found:
                allowed.append(method)
        if allowed:
            raise misused(405, f"method {request.method} is not allowed, but [{','.join(sorted(set(allowed)))}] are")
        raise misused(404, f"path {request.path} was not found")

    def _authenticate(self, request):
        if not self.keys:
            if "authorization" in request.headers:
                raise misused(401, "no authentication scheme is configured (unable to validate the provided credentials)")
            return
        given = request.headers.get("authorization", "")
        if not given:
            raise misused(401, "anonymous access not enabled. Please authenticate through one of the available methods: [API-keys]")
        if not given.startswith("Bearer ") or given[7:] not in self.keys | self.readers:
            raise misused(401, "unauthorized: invalid api key, please provide a valid api key")

    def _authorize(self, request):
        if self.keys and request.headers["authorization"][7:] not in self.keys:
            raise refused(403, f"forbidden: user 'reader' has insufficient permissions to {request.method} {request.path}")

    # the server

    def meta(self, request):
        return 200, {"grpcMaxMessageSize": 104858000, "hostname": "http://[::]:8080", "modules": {}, "version": self.version_text}

    def nodes(self, request):
        shards = [{"class": c.name, "name": s.name, "objectCount": len(s.objects), "vectorIndexingStatus": "READONLY" if s.is_read_only else "READY"}
                  for c in self.store.collections.values() for s in c.shards.values()]
        return 200, {"nodes": [{"name": "stand-in", "status": "HEALTHY", "version": self.version_text, "gitHash": "",
                                "shards": shards if request.query.get("output") == "verbose" else None}]}

    # classes

    def get_schema(self, request):
        return 200, {"classes": [collection.config for collection in self.store.collections.values()]}

    def post_class(self, request):
        return 200, self.store.add_class(request.object())

    def get_class(self, request, name):
        return 200, self.store.collection(name).config

    def put_class(self, request, name):
        collection = self.store.collection(name)
        collection.config = classes.change(collection.config, request.object())
        return 200, collection.config

    def delete_class(self, request, name):
        self.store.collections.pop(name, None)
        return 200, None

    def post_property(self, request, name):
        return 200, classes.add_property(self.store.collection(name, 422).config, request.object(), self.version)

    def get_shards(self, request, name):
        shards = self.store.collection(name).shards.values()
        return 200, [{"name": s.name, "status": "READONLY" if s.is_read_only else "READY", "vectorQueueSize": 0} for s in shards]

    def put_shard(self, request, name, shard):
        status = request.object().get("status")
        if status not in ("READY", "READONLY"):
            raise refused(422, f"'{status}' is not a valid shard status")
        if shard not in self.store.collection(name).shards:
            raise Refusal(404, None)
        self.store.collection(name).shards[shard].is_read_only = status == "READONLY"
        return 200, {"status": status}

    # tenants

    def tenants_of(self, name):
        collection = self.store.collection(name, 422)
        if not collection.has_tenants:
            raise refused(422, f"multi-tenancy is not enabled for class \"{name}\"")
        return collection

    def get_tenants(self, request, name):
        return 200, [{"activityStatus": "HOT", "name": shard} for shard in self.tenants_of(name).shards]

    def post_tenants(self, request, name):
        collection, given = self.tenants_of(name), request.json()
        names = [tenant.get("name") for tenant in given] if isinstance(given, list) and all(isinstance(t, dict) for t in given) else [None]
        for tenant in names:
            if not isinstance(tenant, str) or not TENANT_NAME.fullmatch(tenant):
                raise refused(422, f"invalid tenant name: '{tenant}' should only contain alphanumeric characters (a-z, A-Z, 0-9), underscore (_), and hyphen (-), "
                              "with a length between 1 and 64 characters")
        for tenant in names:
            if tenant not in collection.shards:
                collection.add_shard(tenant)
        return 200, given

    def delete_tenants(self, request, name):
        for tenant in request.json():
            self.tenants_of(name).shards.pop(tenant, None)
        return 200, None

    def get_tenant(self, request, name, tenant):
        if tenant not in self.tenants_of(name).shards:
            raise refused(404, f"tenant '{tenant}' not found")
        return 200, {"activityStatus": "HOT", "name": tenant}

    # objects, one by one

    def post_object(self, request):
        given = checked_object(request.object(), "")
        if given.get("id") and self._find(given.get("class"), given["id"], given.get("tenant")):
            raise refused(422, f"id '{given['id']}' already exists")
        return 200, self.store.put_one(given).shown(given["class"], True)

    def get_object(self, request, name, id):
        stored = self._required(name, id, request.query.get("tenant"))
        return 200, stored.shown(name, "vector" in request.query.get("include", "").split(","))

    def head_object(self, request, name, id):
        return (204 if self._find(name, checked_id(id), request.query.get("tenant")) else 404), None

    def put_object(self, request, name, id):
        given = checked_object(request.object(), "")
        if str(given.get("id", "")).lower() != id.lower():
            raise refused(422, f"field 'id' is immutable: attempted change from '{id}' to '{given.get('id')}'")
        self._required(name, id, given.get("tenant"))
        return 200, self.store.put_one({**given, "class": name}).shown(name, True)

    def patch_object(self, request, name, id):
        given = checked_object(request.object(), "")
        old = self._required(name, id, given.get("tenant"))
        merged = {**old.properties, **(given.get("properties") or {})}
        kept = {} if given.get("vector") else {"vector": old.vector.numbers()} if old.vector and self.store.collections[name].config["vectorizer"] == "none" else {}
        self.store.put_one({**given, **kept, "class": name, "id": id, "properties": {key: value for key, value in merged.items() if value is not None}})
        return 204, None

    def delete_object(self, request, name, id):
        level(request)
        if name not in self.store.collections:
            raise refused(500, f"delete object: could not find class {name} in schema")
        shard = self.store.shard_for_query(self.store.collections[name], request.query.get("tenant"))
        if shard.is_read_only:
            raise refused(500, f"delete object: {READ_ONLY}")
        was_there = shard.remove(checked_id(id))
        return (204 if was_there or self.version >= (1, 26) else 404), None

    def list_objects(self, request):
        name, after = request.query.get("class"), request.query.get("after")
        limit, offset = request.number("limit", 25), request.number("offset", 0)
        if after is not None and (not name or "offset" in request.query or "sort" in request.query):
            raise refused(422, "cursor api: invalid 'after' parameter: it needs a class and goes with limit only")
        if limit + offset > MAXIMUM_RESULTS:
            raise refused(422, "query maximum results exceeded")
        collections = [self.store.collection(name)] if name else list(self.store.collections.values())
        with_vector = "vector" in request.query.get("include", "").split(",")
        found = [stored.shown(collection.name, with_vector) for collection in collections
                 for stored in self.store.listed(collection, request.query.get("tenant"), limit, offset, after)]
        return 200, {"deprecations": None, "objects": found[:limit], "totalResults": len(found[:limit])}

    def _find(self, name, id, tenant):
        if name not in self.store.collections:
            return None
        return self.store.shard_for_query(self.store.collections[name], tenant).objects.get(str(uuid.UUID(id)))

    def _required(self, name, id, tenant):
        found = self._find(name, checked_id(id), tenant)
        if found is None:
            raise Refusal(404, None)
        return found

    # batches

    def post_batch(self, request):
        level(request)
        body = request.object()
        if not isinstance(body.get("objects"), list):
            raise misused(422, "objects in body is required", 602)
        for i, given in enumerate(body["objects"]):
            checked_object(given, f"objects.{i}.")
        if not body["objects"]:
            raise refused(422, "invalid param 'objects': cannot be empty, need at least one object for batching")
        outcomes = self.store.put_batch(body["objects"], request.refuse)
        now = int(time.time() * 1000)
        return 200, [{**given, "creationTimeUnix": now, "lastUpdateTimeUnix": now, "deprecations": None,
                      "result": {"status": "SUCCESS"} if text is None else {"errors": messages(text), "status": "FAILED"}}
                     for given, text in zip(body["objects"], outcomes)]

    def delete_batch(self, request):
        level(request)
        body = request.object()
        match = body.get("match")
        if not isinstance(match, dict) or not isinstance(match.get("where"), dict) or not match.get("class"):
            raise refused(422, "empty match clause: a class and a where filter are needed")
        output = body.get("output") or "minimal"
        if output not in ("minimal", "verbose"):
            raise refused(422, f"invalid output: \"{output}\", possible values are: \"minimal\", \"verbose\"")
        collection = self.store.collection(match["class"], 422)
        try:
            shard = self.store.shard_for_query(collection, request.query.get("tenant"))
            passes = filters.compiled(match["where"], collection.config)
        except QueryError as error:
            raise refused(422, str(error)) from None
        ids = [stored.id for stored in shard.objects.values() if passes(stored)]
        chosen, is_dry = ids[:MAXIMUM_RESULTS], bool(body.get("dryRun"))
        outcomes = [{"id": id, "status": "DRYRUN"} if is_dry else self._deleted(request, shard, id, i) for i, id in enumerate(chosen)]
        n_failed = sum(outcome["status"] == "FAILED" for outcome in outcomes)
        return 200, {"dryRun": is_dry, "match": match, "output": output,
                     "results": {"matches": len(ids), "limit": MAXIMUM_RESULTS, "successful": 0 if is_dry else len(chosen) - n_failed, "failed": n_failed,
                                 "objects": outcomes if output == "verbose" else [outcome for outcome in outcomes if outcome["status"] == "FAILED"] or None}}

    def _deleted(self, request, shard, id, i):
        text = READ_ONLY if shard.is_read_only else request.refuse and request.refuse({"id": id}, i)
        if text:
            return {"id": id, "status": "FAILED", "errors": messages(text)}
        shard.remove(id)
        return {"id": id, "status": "SUCCESS"}

    # searches

    def graphql(self, request):
        body = request.object()
        if not self.has_graphql:
            raise refused(422, "graphql api is disabled")
        if not self.store.collections:
            raise refused(422, "no graphql provider present, this is most likely because no schema is present. Import a schema first!")
        if not isinstance(body.get("query"), str) or not body["query"]:
            raise refused(422, "query cannot be empty")
        return 200, graphql.answer(body["query"], self.store)

    def search(self, request, name, kind):
        if self.version < SEARCH_SINCE.get(kind, (9,)):
            raise misused(404, f"path {request.path} was not found")
        try:
            started, body = time.monotonic(), request.object()
        except Refusal as refusal:  # here even the layer before the handlers speaks as they do
            raise refused(refusal.status, refusal.body["message"]) from None
        arguments = search_arguments(kind, body)
        if name not in self.store.collections:
            raise refused(404, f"collection {name} not found")
        collection = self.store.collections[name]
        properties = {prop["name"] for prop in collection.config["properties"]}
        for prop in body.get("returnProperties") or []:
            if prop not in properties:
                raise refused(400, f"no such prop with name '{prop}' found in class '{name}'")
        try:
            query = Query(self.store, collection, kind.replace("-", "_"), arguments, limit=body.get("limit"), offset=body.get("offset") or 0,
                          where=body.get("where"), tenant=body.get("tenant"))
            results = [shown_hit(hit, body, collection) for hit in query.hits()]
        except QueryError as error:
            raise refused(error.status, str(error)) from None
        return 200, {"results": results, "tookMs": int((time.monotonic() - started) * 1000)}


def shown_hit(hit, body, collection):
    wanted, stored = body.get("returnProperties"), hit.stored
    is_cosine = collection.config["vectorIndexConfig"]["distance"] == "cosine"
    known = {"id": stored.id, "distance": hit.distance, "certainty": 1 - hit.distance / 2 if hit.distance is not None and is_cosine else None, "score": hit.score,
             "creationTime": stored.created_ms, "lastUpdateTime": stored.updated_ms}
    return {"id": stored.id, "properties": {key: value for key, value in stored.properties.items() if wanted is None or key in wanted},
            "metadata": {key: known[key] for key in body.get("returnMetadata") or [] if known.get(key) is not None}}


# What a body may hold: fields that nobody knows are ignored, those of another type are refused.
SEARCH_TYPES = {"vector": list, "limit": int, "offset": int, "distance": (int, float), "certainty": (int, float), "alpha": (int, float), "tenant": str, "where": dict,
                "returnProperties": list, "returnMetadata": list, "properties": list, "id": str, "targetVector": str, "consistencyLevel": str}
SEARCH_NEEDS = {"near-vector": "vector", "near-text": "query", "bm25": "query", "hybrid": "query", "near-object": "id"}


def search_arguments(kind, body):
    """What of the body is the search's own, with its types checked. near-text takes a list of texts, bm25 and hybrid one text; hybrid takes no vector."""
    types = {**SEARCH_TYPES, "query": list if kind == "near-text" else str}
    for key, value in body.items():
        if value is not None and key in types and (not isinstance(value, types[key]) or isinstance(value, bool)):
            raise refused(400, f"parsing body body from \"\" failed, because json: cannot unmarshal it into field {key}")
    if body.get(SEARCH_NEEDS[kind]) is None:
        raise refused(422, f"{SEARCH_NEEDS[kind]} in body is required")
    for key, allowed in (("returnMetadata", SEARCH_METADATA), ("consistencyLevel", LEVELS)):
        given = body.get(key) or []
        for word in [given] if isinstance(given, str) else given:
            if word not in allowed:
                raise refused(422, f"{key} in body should be one of {sorted(allowed)}")
    arguments = {key: body.get(key) for key in ("vector", "query", "distance", "certainty", "alpha", "properties", "id") if not (kind == "hybrid" and key == "vector")}
    return {**arguments, "concepts": body.get("query")}


def checked_id(id):
    if not values.UUID.fullmatch(id):
        raise misused(422, f"id in path must be of type uuid: \"{id}\"", 601)
    return str(uuid.UUID(id))


def checked_object(given, where):
    """What the layer before the handlers asks of an object: types of its fields, a UUID for an id."""
    if not isinstance(given, dict):
        raise misused(400, f"{where}: cannot unmarshal it into an object")
    for key, kind in (("class", str), ("id", str), ("tenant", str), ("properties", dict), ("vector", list)):
        if given.get(key) is not None and not isinstance(given[key], kind):
            raise misused(400, f"parsing body body from \"\" failed, because json: cannot unmarshal into field {where}{key}")
    if given.get("id") and not values.UUID.fullmatch(given["id"]):
        raise misused(422, f"{where}id in body must be of type uuid: \"{given['id']}\"", 601)
    return given


def level(request):
    wanted = request.query.get("consistency_level")
    if wanted is not None and wanted not in LEVELS:
        raise refused(422, f"unrecognized consistency level '{wanted}'")


NAME, ONE = r"([^/]+)", r"/v1/objects/([^/]+)/([^/]+)"

# method, path, handler, does it write?
ROUTES = [(method, re.compile(pattern), handler, writes) for method, pattern, handler, writes in (
    ("GET", "/v1/meta", Api.meta, False),
    ("GET", "/v1/nodes", Api.nodes, False),
    ("GET", "/v1/schema", Api.get_schema, False),
    ("POST", "/v1/schema", Api.post_class, True),
    ("GET", f"/v1/schema/{NAME}", Api.get_class, False),
    ("PUT", f"/v1/schema/{NAME}", Api.put_class, True),
    ("DELETE", f"/v1/schema/{NAME}", Api.delete_class, True),
    ("POST", f"/v1/schema/{NAME}/properties", Api.post_property, True),
    ("GET", f"/v1/schema/{NAME}/shards", Api.get_shards, False),
    ("PUT", f"/v1/schema/{NAME}/shards/{NAME}", Api.put_shard, True),
    ("GET", f"/v1/schema/{NAME}/tenants", Api.get_tenants, False),
    ("POST", f"/v1/schema/{NAME}/tenants", Api.post_tenants, True),
    ("DELETE", f"/v1/schema/{NAME}/tenants", Api.delete_tenants, True),
    ("GET", f"/v1/schema/{NAME}/tenants/{NAME}", Api.get_tenant, False),
    ("GET", "/v1/objects", Api.list_objects, False),
    ("POST", "/v1/objects", Api.post_object, True),
    ("GET", ONE, Api.get_object, False),
    ("HEAD", ONE, Api.head_object, False),
    ("PUT", ONE, Api.put_object, True),
    ("PATCH", ONE, Api.patch_object, True),
    ("DELETE", ONE, Api.delete_object, True),
    ("POST", "/v1/batch/objects", Api.post_batch, True),
    ("DELETE", "/v1/batch/objects", Api.delete_batch, True),
    ("POST", "/v1/graphql", Api.graphql, False),
    ("POST", f"/v1/search/{NAME}/{NAME}", Api.search, False),
)]
