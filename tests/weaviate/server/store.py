# SPDX-License-Identifier: ISC
"""Objects in collections, in memory: one shard for a collection, or one for each tenant."""

import re
import time
import uuid

from . import classes, values, vectors
from .answers import ObjectError, QueryError, Refusal, refused

READ_ONLY = "store is read-only"
TENANT_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAXIMUM_RESULTS = 10000


def now_ms():
    return int(time.time() * 1000)


class Stored:
    """One object. id is lower-case with hyphens; vector is a vectors.Vector or None."""

    __slots__ = ("id", "properties", "vector", "created_ms", "updated_ms", "tenant")

    def __init__(self, id, properties, vector, created_ms, updated_ms, tenant):
        self.id, self.properties, self.vector, self.tenant = id, properties, vector, tenant
        self.created_ms, self.updated_ms = created_ms, updated_ms

    def shown(self, class_name, with_vector=False):
        """As the API shows it."""
        shown = {"class": class_name, "creationTimeUnix": self.created_ms, "id": self.id, "lastUpdateTimeUnix": self.updated_ms, "properties": self.properties,
                 "vectorWeights": None}
        if with_vector and self.vector:
            shown["vector"] = self.vector.numbers()
        if self.tenant:
            shown["tenant"] = self.tenant
        return shown


class Shard:
    """objects by id. n_dimensions is fixed by the first vector, for ever."""

    def __init__(self, name):
        self.name, self.is_read_only, self.objects, self.n_dimensions, self._sorted = name, False, {}, None, None

    def put(self, stored):
        if stored.id not in self.objects:
            self._sorted = None
        self.objects[stored.id] = stored
        if stored.vector:
            self.n_dimensions = stored.vector.n_dimensions

    def remove(self, id):
        """Was it there?"""
        if self.objects.pop(id, None) is None:
            return False
        self._sorted = None
        return True

    def sorted_ids(self):
        if self._sorted is None:
            self._sorted = sorted(self.objects)
        return self._sorted


class Collection:
    def __init__(self, config):
        self.config, self.shards = config, {}
        if not self.has_tenants:
            self.add_shard(uuid.uuid4().hex[:12])

    @property
    def name(self):
        return self.config["class"]

    @property
    def has_tenants(self):
        return self.config["multiTenancyConfig"]["enabled"]

    def add_shard(self, name):
        self.shards[name] = Shard(name)
        return self.shards[name]

    def shard_of(self, tenant, creates=False):
        """The shard that holds the tenant's objects. Raises ObjectError where class and tenant do not go together."""
        if not self.has_tenants:
            if tenant:
                raise ObjectError(f"class {self.name} has multi-tenancy disabled, but request was with tenant")
            return next(iter(self.shards.values()))
        if not tenant:
            raise ObjectError(f"class {self.name} has multi-tenancy enabled, but request was without tenant")
        if tenant not in self.shards:
            if not (creates and self.config["multiTenancyConfig"]["autoTenantCreation"] and TENANT_NAME.fullmatch(tenant)):
                raise ObjectError(f"tenant not found: \"{tenant}\"")
            self.add_shard(tenant)
        return self.shards[tenant]

    def n_objects(self):
        return sum(len(shard.objects) for shard in self.shards.values())


class Store:
    """All collections, by name."""

    def __init__(self, version):
        self.version, self.collections = version, {}

    def collection(self, name, status=404):
        """By name; a missing one is refused with this status."""
        found = self.collections.get(name)
        if found is None:
            raise Refusal(404, None) if status == 404 else refused(status, f"could not find class {name} in schema")
        return found

    def add_class(self, given):
        config = classes.accept(given, self.version)
        if config["class"].lower() in map(str.lower, self.collections):
            raise refused(422, f"class name {config['class']} already exists")
        self.collections[config["class"]] = Collection(config)
        return config

    # one object

    def made(self, given, creates_tenant=False):
        """(collection, shard, Stored) of an object as it was posted; nothing is written yet. Raises ObjectError."""
        name, id = given.get("class"), given.get("id")
        if not name:
            raise ObjectError("object has an empty class")
        if name not in self.collections:
            raise ObjectError(f"class '{name}' not present in schema")
        collection = self.collections[name]
        shard = collection.shard_of(given.get("tenant"), creates_tenant)
        properties = values.properties_of(collection.config, given.get("properties"))
        id = str(uuid.UUID(id)) if id else str(uuid.uuid4())
        old = shard.objects.get(id)
        now = now_ms()
        vector = self._vector(collection, shard, given, properties)
        return collection, shard, Stored(id, properties, vector, old.created_ms if old else now, now, given.get("tenant"))

    def _vector(self, collection, shard, given, properties):
        numbers = values.vector_of(given.get("vector"))
        if numbers is not None:
            vector = vectors.Vector(numbers)
        elif collection.config["vectorizer"] != "none":
            vector = vectors.embed_object(collection.config, properties)
        else:
            return None
        if shard.n_dimensions is not None and vector.n_dimensions != shard.n_dimensions:
            raise ObjectError(f"vector with length {vector.n_dimensions}. Existing nodes have vectors with length {shard.n_dimensions}")
        return vector

    def put_one(self, given):
        """An object by itself: POST, PUT, PATCH. What is wrong becomes the status it has there."""
        try:
            _, shard, stored = self.made(given)
        except ObjectError as error:
            raise refused(422, str(error)) from None
        if shard.is_read_only:
            raise refused(500, f"put object: import into index {given['class'].lower()}: {READ_ONLY}")
        shard.put(stored)
        return stored

    # batches

    def put_batch(self, objects, refuse=None):
        """Outcomes in order: None or the error's text. refuse(given, i) -> text fails one more object.

        Versions before the repair tell only the first object of a read-only shard that nothing was written; the others hear SUCCESS.
        """
        outcomes, told = [], set()
        for i, given in enumerate(objects):
            try:
                collection, shard, stored = self.made(given, creates_tenant=True)
                text = refuse(given, i) if refuse else None
                if text:
                    raise ObjectError(text)
            except ObjectError as error:
                outcomes.append(str(error))
                continue
            if not shard.is_read_only:
                shard.put(stored)
                outcomes.append(None)
            elif self.tells_all() or (collection.name, shard.name) not in told:
                told.add((collection.name, shard.name))
                outcomes.append(READ_ONLY)
            else:
                outcomes.append(None)
        return outcomes

    def tells_all(self):
        return (1, 38, 10) <= self.version < (1, 39) or self.version >= (1, 40)

    # reading

    def listed(self, collection, tenant, limit, offset=0, after=None):
        """Objects in the order of their ids, behind after."""
        try:
            shard = collection.shard_of(tenant)
        except ObjectError as error:
            raise refused(422, str(error)) from None
        ids = shard.sorted_ids()
        if after:
            low, high = 0, len(ids)
            while low < high:
                middle = (low + high) // 2
                low, high = (middle + 1, high) if ids[middle] <= after else (low, middle)
            offset = low
        return [shard.objects[id] for id in ids[offset:offset + limit]]

    def shard_for_query(self, collection, tenant):
        try:
            return collection.shard_of(tenant)
        except ObjectError as error:
            raise QueryError(str(error), 404 if "not found" in str(error) else 422) from None
