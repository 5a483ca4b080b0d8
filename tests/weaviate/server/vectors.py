# SPDX-License-Identifier: ISC
"""Vectors and their distances, exactly; and the embedding that stands for a model's: texts with the same words are near, with none in common far."""

import functools
import math
import operator
import re
import zlib

from .answers import QueryError

WORD = re.compile(r"[^\W_]+")


class Vector:
    """Dense (a tuple of float32s) or sparse (a dictionary; what is not in it is 0). n_dimensions, and the length in space."""

    __slots__ = ("n_dimensions", "dense", "sparse", "norm")

    def __init__(self, dense=None, sparse=None, n_dimensions=None):
        self.dense, self.sparse = dense, sparse
        self.n_dimensions = len(dense) if sparse is None else n_dimensions
        self.norm = math.sqrt(sum(part * part for part in (dense if sparse is None else sparse.values())))

    def numbers(self):
        """All of them, as the API shows them."""
        if self.sparse is None:
            return list(self.dense)
        return [self.sparse.get(i, 0.0) for i in range(self.n_dimensions)]

    def dot(self, other):
        if self.sparse is None and other.sparse is None:
            return sum(map(operator.mul, self.dense, other.dense))
        one, two = (self, other) if self.sparse is not None else (other, self)
        if two.sparse is None:
            return sum(part * two.dense[i] for i, part in one.sparse.items())
        if len(two.sparse) < len(one.sparse):
            one, two = two, one
        return sum(part * two.sparse.get(i, 0.0) for i, part in one.sparse.items())


def cosine(one, two):
    return 1 - one.dot(two) / (one.norm * two.norm) if one.norm and two.norm else 1.0


def l2_squared(one, two):
    return one.norm ** 2 + two.norm ** 2 - 2 * one.dot(two)


def manhattan(one, two):
    return sum(abs(a - b) for a, b in zip(one.numbers(), two.numbers()))


def hamming(one, two):
    return float(sum(a != b for a, b in zip(one.numbers(), two.numbers())))


DISTANCES = {"cosine": cosine, "dot": lambda one, two: -one.dot(two), "l2-squared": l2_squared, "manhattan": manhattan, "hamming": hamming}


@functools.lru_cache(maxsize=65536)
def place_of_word(word, n_dimensions):
    return zlib.crc32(word.encode()) % n_dimensions


def embed(text, n_dimensions):
    """A bag of words, each at a place of its own by its hash."""
    sparse = {}
    for word in WORD.findall(text.lower()):
        place = place_of_word(word, n_dimensions)
        sparse[place] = sparse.get(place, 0.0) + 1.0
    return Vector(sparse=sparse, n_dimensions=n_dimensions)


def dimensions_of(config):
    """How many numbers the class's model makes; None without one."""
    if config["vectorizer"] == "none":
        return None
    return config["moduleConfig"][config["vectorizer"]]["dimensions"]


def embed_object(config, properties):
    """The vector of an object's texts, as its class says which."""
    own = config["moduleConfig"][config["vectorizer"]]
    words = [config["class"]] if own["vectorizeClassName"] else []
    for prop in config["properties"]:
        settings = (prop.get("moduleConfig") or {}).get(config["vectorizer"]) or {}
        if prop["dataType"][0] not in ("text", "text[]") or settings.get("skip") or prop["name"] not in properties:
            continue
        if settings.get("vectorizePropertyName"):
            words.append(prop["name"])
        value = properties[prop["name"]]
        words += value if isinstance(value, list) else [value]
    return embed(" ".join(words), own["dimensions"])


def embed_query(config, concepts):
    if config["vectorizer"] == "none":
        raise QueryError(f"could not vectorize input for collection {config['class']} with search-type nearText: class has no vectorizer", 422)
    return embed(" ".join(concepts), dimensions_of(config))


def check_length(vector, n_dimensions):
    if n_dimensions is not None and vector.n_dimensions != n_dimensions:
        raise QueryError(f"vector search: knn search: distance between entrypoint and query node: vector lengths don't match: {n_dimensions} vs {vector.n_dimensions}")
