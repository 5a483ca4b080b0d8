# SPDX-License-Identifier: ISC
"""Searches, exactly: every object is looked at. Both interfaces end here."""

import math
import operator

from . import filters, values, vectors
from .answers import ObjectError, QueryError
from .store import MAXIMUM_RESULTS

DEFAULT_LIMIT = 10
K1, B = 1.2, 0.75


class Hit:
    """An object with its distance (near searches) or its score (bm25, hybrid)."""

    __slots__ = ("stored", "distance", "score")

    def __init__(self, stored, distance=None, score=None):
        self.stored, self.distance, self.score = stored, distance, score


class Query:
    """What both interfaces have in common. kind: near_vector, near_text, near_object, bm25, hybrid or None (all); arguments are its own."""

    def __init__(self, store, collection, kind, arguments, *, limit=None, offset=0, where=None, tenant=None):
        self.collection, self.kind, self.arguments = collection, kind, arguments
        self.shard = store.shard_for_query(collection, tenant)
        self.limit = limit or DEFAULT_LIMIT
        self.offset = offset or 0
        if self.limit < 0 or self.offset < 0 or self.limit + self.offset > MAXIMUM_RESULTS:
            raise QueryError(f"query maximum results exceeded: limit and offset are {self.limit} and {self.offset}")
        passes = filters.compiled(where, collection.config) if where is not None else None
        self.objects = [stored for stored in self.shard.objects.values() if passes is None or passes(stored)]

    def hits(self):
        found = getattr(self, f"_{self.kind}")() if self.kind else [Hit(stored) for stored in sorted(self.objects, key=lambda stored: stored.id)]
        return found[self.offset:self.offset + self.limit]

    # near

    def _near_vector(self):
        return self._nearest(read_vector(self.arguments.get("vector")))

    def _near_text(self):
        concepts = self.arguments.get("concepts")
        if not isinstance(concepts, list) or not concepts or not all(isinstance(text, str) for text in concepts):
            raise QueryError("nearText: concepts must be a list of at least one text")
        return self._nearest(vectors.embed_query(self.collection.config, concepts))

    def _near_object(self):
        origin = self.shard.objects.get(str(self.arguments.get("id")).lower())
        if origin is None or origin.vector is None:
            raise QueryError("nearObject: vector not found")
        return self._nearest(origin.vector)

    def _nearest(self, vector):
        vectors.check_length(vector, self.shard.n_dimensions)
        distance = vectors.DISTANCES[self.collection.config["vectorIndexConfig"]["distance"]]
        hits = [Hit(stored, distance(vector, stored.vector)) for stored in self.objects if stored.vector is not None]
        limit = self._distance_limit()
        return sorted((hit for hit in hits if limit is None or hit.distance <= limit), key=lambda hit: (hit.distance, hit.stored.id))

    def _distance_limit(self):
        distance, certainty = (self.arguments.get(key) for key in ("distance", "certainty"))
        if distance is not None and certainty is not None:
            raise QueryError("cannot provide distance and certainty")
        if certainty is not None:
            if not 0 <= certainty <= 1:
                raise QueryError("certainty must be between 0 and 1")
            if self.collection.config["vectorIndexConfig"]["distance"] != "cosine":
                raise QueryError("certainty is only supported for cosine distance", 422)
            return 2 * (1 - certainty)
        return distance

    # words

    def _bm25(self):
        query = self.arguments.get("query")
        if not isinstance(query, str) or not query:
            raise QueryError("bm25: query must be a text")
        hits = []
        for prop, weight in self._searchable():
            documents = {stored.id: [token for item in filters.items(stored.properties.get(prop["name"])) for token in filters.tokens(item, prop["tokenization"])]
                         for stored in self.objects}
            mean = sum(map(len, documents.values())) / max(1, len(documents)) or 1
            for word in set(filters.tokens(query, prop["tokenization"])):
                n_with = sum(word in document for document in documents.values())
                rarity = math.log(1 + (len(documents) - n_with + 0.5) / (n_with + 0.5))
                for stored in self.objects:
                    n = documents[stored.id].count(word)
                    if n:
                        hits.append((stored, weight * rarity * n * (K1 + 1) / (n + K1 * (1 - B + B * len(documents[stored.id]) / mean))))
        return summed(hits)

    def _searchable(self):
        """(property, weight) of those that are searched."""
        by_name = {prop["name"]: prop for prop in self.collection.config["properties"]}
        wanted = self.arguments.get("properties") or [name for name, prop in by_name.items() if prop["indexSearchable"]]
        for name in wanted:
            name, _, weight = name.partition("^")
            prop = by_name.get(name)
            if prop is None or not prop["indexSearchable"]:
                raise QueryError(f"bm25: property {name} is not a searchable text property of {self.collection.name}")
            yield prop, float(weight or 1)

    def _hybrid(self):
        alpha = self.arguments.get("alpha")
        alpha = 0.75 if alpha is None else alpha
        if not values.is_number(alpha) or not 0 <= alpha <= 1:
            raise QueryError("hybrid: alpha should be between 0.0 and 1.0")
        query, given = self.arguments.get("query"), self.arguments.get("vector")
        parts = []
        if alpha > 0:
            vector = read_vector(given) if given is not None else vectors.embed_query(self.collection.config, [query or ""])
            parts += [(hit.stored, alpha * score) for hit, score in scaled([(hit, -hit.distance) for hit in self._nearest(vector)])]
        if alpha < 1 and query:
            parts += [(hit.stored, (1 - alpha) * score) for hit, score in scaled([(hit, hit.score) for hit in self._bm25()])]
        return summed(parts)


def read_vector(given):
    try:
        numbers = values.vector_of(given)
    except ObjectError as error:
        raise QueryError(str(error).removeprefix("invalid object: ")) from None
    if numbers is None:
        raise QueryError("nearVector: vector must not be empty")
    return vectors.Vector(numbers)


def scaled(pairs):
    """The scores of (hit, score) between 0 and 1, as relativeScoreFusion does it."""
    if not pairs:
        return []
    low, high = min(score for _, score in pairs), max(score for _, score in pairs)
    return [(hit, (score - low) / (high - low) if high > low else 1.0) for hit, score in pairs]


def summed(parts):
    """Hits of (object, score) pairs, the scores of one object added up, best first."""
    scores, objects = {}, {}
    for stored, score in parts:
        scores[stored.id] = scores.get(stored.id, 0.0) + score
        objects[stored.id] = stored
    hits = [Hit(objects[id], score=score) for id, score in scores.items()]
    return sorted(hits, key=lambda hit: (-hit.score, operator.attrgetter("stored.id")(hit)))
