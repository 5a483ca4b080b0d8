# SPDX-License-Identifier: ISC
"""Classes: what the server takes for one, and what it makes of it. It answers with every default filled in, as the real one does."""

import copy
import re

from .answers import refused

CLASS_NAME = re.compile(r"[A-Z][_0-9A-Za-z]{0,254}")
PROPERTY_NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,230}")
RESERVED = {"_additional", "_id", "id"}
BASE_TYPES = ("text", "int", "number", "boolean", "date", "uuid", "object")
TYPES = {*BASE_TYPES, *(name + "[]" for name in BASE_TYPES), "geoCoordinates", "phoneNumber", "blob"}
DEPRECATED = {"string": "text", "string[]": "text[]"}
TOKENIZATIONS = ("word", "lowercase", "whitespace", "field", "trigram", "gse", "kagome_kr", "kagome_ja", "gse_ch")
DISTANCES = ("cosine", "dot", "l2-squared", "manhattan", "hamming")
INDEX_TYPES = ("hnsw", "flat", "dynamic")
EMBEDDERS = ("text2vec-openai",)
MODELS = {"text-embedding-3-small": (512, 1536), "text-embedding-3-large": (256, 1024, 3072), "text-embedding-ada-002": (1536,), "ada": (1536,)}

CLASS_KEYS = {"class", "description", "vectorIndexType", "vectorIndexConfig", "replicationConfig", "multiTenancyConfig", "vectorizer", "moduleConfig",
              "properties", "invertedIndexConfig", "shardingConfig"}
PROPERTY_KEYS = {"name", "dataType", "description", "tokenization", "indexFilterable", "indexSearchable", "indexRangeFilters", "indexInverted",
                 "moduleConfig", "nestedProperties"}

HNSW = {"skip": False, "cleanupIntervalSeconds": 300, "maxConnections": 32, "efConstruction": 128, "ef": -1, "dynamicEfMin": 100, "dynamicEfMax": 500,
        "dynamicEfFactor": 8, "vectorCacheMaxObjects": 1000000000000, "flatSearchCutoff": 40000, "distance": "cosine", "filterStrategy": "sweeping",
        "pq": {"enabled": False, "bitCompression": False, "segments": 0, "centroids": 256, "trainingLimit": 100000,
               "encoder": {"type": "kmeans", "distribution": "log-normal"}},
        "bq": {"enabled": False}, "sq": {"enabled": False, "trainingLimit": 100000, "rescoreLimit": 20}}
INVERTED = {"bm25": {"b": 0.75, "k1": 1.2}, "cleanupIntervalSeconds": 60, "stopwords": {"additions": None, "preset": "en", "removals": None}}
REPLICATION = {"factor": 1, "asyncEnabled": False, "deletionStrategy": "NoAutomatedResolution"}
TENANCY = {"enabled": False, "autoTenantCreation": False, "autoTenantActivation": False}
SHARDING = {"actualCount": 1, "actualVirtualCount": 128, "desiredCount": 1, "desiredVirtualCount": 128, "function": "murmur3", "key": "_id",
            "strategy": "hash", "virtualPerPhysical": 128}

# What may be changed of a class that exists; the rest is refused.
MUTABLE = {"description", "invertedIndexConfig", "replicationConfig", "vectorIndexConfig", "multiTenancyConfig", "moduleConfig"}
MUTABLE_INDEX = {"ef", "dynamicEfMin", "dynamicEfMax", "dynamicEfFactor", "vectorCacheMaxObjects", "flatSearchCutoff", "filterStrategy", "pq", "bq", "sq"}


def wrong(text):
    return refused(422, text)


def accept(given, version):
    """A class as it will be kept, from one as it was posted. version is a tuple."""
    name = given.get("class")
    if not isinstance(name, str) or not name:
        raise wrong("class name must be set")
    name = name[0].upper() + name[1:]
    if not CLASS_NAME.fullmatch(name):
        raise wrong(f"'{name}' is not a valid class name")
    if "vectorConfig" in given:
        raise wrong("this stand-in has no named vectors")
    if given.get("vectorIndexType", "hnsw") not in INDEX_TYPES:
        raise wrong(f"unrecognized or unsupported vectorIndexType \"{given['vectorIndexType']}\"")
    vectorizer = given.get("vectorizer") or "none"
    if vectorizer != "none" and vectorizer not in EMBEDDERS:
        raise wrong(f"vectorizer: no module with name \"{vectorizer}\" present")
    for key in given:
        if key in ("vectorIndexConfig", "replicationConfig", "multiTenancyConfig", "invertedIndexConfig", "shardingConfig", "moduleConfig") \
                and not isinstance(given[key], (dict, type(None))):
            raise wrong(f"parse class '{name}': {key} must be an object")
    kept = {key: value for key, value in given.items() if key in CLASS_KEYS}
    kept.update({"class": name, "vectorizer": vectorizer, "vectorIndexType": given.get("vectorIndexType", "hnsw"),
                 "vectorIndexConfig": filled(HNSW, given.get("vectorIndexConfig")), "invertedIndexConfig": filled(INVERTED, given.get("invertedIndexConfig")),
                 "replicationConfig": filled(REPLICATION, given.get("replicationConfig")), "multiTenancyConfig": filled(TENANCY, given.get("multiTenancyConfig")),
                 "shardingConfig": filled(SHARDING, given.get("shardingConfig")), "moduleConfig": module_config(given, vectorizer)})
    if kept["vectorIndexConfig"]["distance"] not in DISTANCES:
        raise wrong(f"unrecognized or unsupported distance \"{kept['vectorIndexConfig']['distance']}\"")
    if not kept["moduleConfig"]:
        del kept["moduleConfig"]
    kept["properties"] = []
    for prop in given.get("properties") or []:
        add_property(kept, prop, version)
    return kept


def filled(defaults, given):
    """given over a copy of defaults, one level deep more where both are objects."""
    whole = copy.deepcopy(defaults)
    for key, value in (given or {}).items():
        whole[key] = {**whole[key], **value} if isinstance(value, dict) and isinstance(whole.get(key), dict) else value
    return whole


def module_config(given, vectorizer):
    """The vectorizer's settings; what is pinned in them must exist."""
    config = copy.deepcopy(given.get("moduleConfig") or {})
    for name in config:
        if name not in EMBEDDERS:
            raise wrong(f"module '{name}' is not available")
    if vectorizer == "none":
        return config
    own = {"model": "text-embedding-3-small", "type": "text", "vectorizeClassName": True, **(config.get(vectorizer) or {})}
    if own["model"] not in MODELS:
        raise wrong(f"module '{vectorizer}': wrong OpenAI model name, available model names are: {sorted(MODELS)}")
    allowed = MODELS[own["model"]]
    if own.setdefault("dimensions", allowed[-1]) not in allowed:
        raise wrong(f"module '{vectorizer}': wrong dimensions setting for {own['model']} model, available dimensions are: {list(allowed)}")
    return {**config, vectorizer: own}


def add_property(kept, given, version):
    """Checks a property and puts it into the class."""
    made = accept_property(kept, given, version)
    if any(prop["name"].lower() == made["name"].lower() for prop in kept["properties"]):
        raise wrong(f"class \"{kept['class']}\": conflict for property \"{made['name']}\": already in use or provided multiple times")
    kept["properties"].append(made)
    return made


def accept_property(kept, given, version):
    name = given.get("name")
    if not isinstance(name, str) or not PROPERTY_NAME.fullmatch(name):
        raise wrong(f"'{name}' is not a valid property name. Property names in Weaviate are restricted to valid GraphQL names")
    name = name[0].lower() + name[1:]
    if name in RESERVED:
        raise wrong(f"\"{name}\" is a reserved property name")
    kind = data_type(name, given, version)
    made = {key: value for key, value in given.items() if key in PROPERTY_KEYS}
    made.update({"name": name, "dataType": [kind], **index_flags(name, given, kind)})
    if kept["vectorizer"] != "none" and "moduleConfig" not in given:
        made["moduleConfig"] = {kept["vectorizer"]: {"skip": False, "vectorizePropertyName": False}}
    made.pop("nestedProperties", None)
    if kind in ("object", "object[]"):
        if not given.get("nestedProperties"):
            raise wrong(f"property '{name}': At least one nested property is required for data type object/object[]")
        made["nestedProperties"] = [nested_property(name, nested, version) for nested in given["nestedProperties"]]
    elif given.get("nestedProperties"):
        raise wrong(f"property '{name}': nestedProperties is allowed only for data types object/object[]")
    return made


def data_type(name, given, version):
    kinds = given.get("dataType")
    if not isinstance(kinds, list) or not kinds or not all(isinstance(kind, str) for kind in kinds):
        raise wrong(f"property '{name}': invalid dataType: dataType must contain at least one element")
    kind = DEPRECATED.get(kinds[0], kinds[0])
    if len(kinds) > 1 or kind not in TYPES or (kind.startswith("object") and version < (1, 22)):
        raise wrong(f"property '{name}': invalid dataType: {kinds}: unknown primitive data type '{kinds[0]}'")
    return kind


def index_flags(name, given, kind):
    """Tokenization and the three indexes, each with its default and only where it may be."""
    is_text = kind in ("text", "text[]")
    if given.get("indexSearchable") and not is_text:
        raise wrong(f"property '{name}': `indexSearchable` is allowed only for text/text[] data types. For other data types set false or leave empty")
    if given.get("indexRangeFilters") and kind not in ("int", "number", "date"):
        raise wrong(f"property '{name}': `indexRangeFilters` is allowed only for number/int/date data types")
    flags = {"indexFilterable": given.get("indexFilterable", True), "indexSearchable": given.get("indexSearchable", is_text),
             "indexRangeFilters": given.get("indexRangeFilters", False)}
    for flag, value in flags.items():
        if not isinstance(value, bool):
            raise wrong(f"property '{name}': {flag} must be a boolean")
    tokenization = given.get("tokenization") or ""
    if is_text:
        if tokenization and tokenization not in TOKENIZATIONS:
            raise wrong(f"property '{name}': Tokenization '{tokenization}' is not allowed for data type '{kind}'")
        flags["tokenization"] = tokenization or ("whitespace" if given["dataType"][0] in DEPRECATED else "word")
    elif tokenization:
        raise wrong(f"property '{name}': Tokenization is not allowed for data type '{kind}'")
    return flags


def nested_property(outer, given, version):
    name = given.get("name")
    if not isinstance(name, str) or not PROPERTY_NAME.fullmatch(name):
        raise wrong(f"property '{outer}': '{name}' is not a valid nested property name")
    if (given.get("dataType") or [""])[0] in (*DEPRECATED, "geoCoordinates", "phoneNumber"):
        raise wrong(f"property '{outer}.{name}': data type '{given['dataType'][0]}' not allowed in nested properties")
    kind = data_type(f"{outer}.{name}", given, version)
    made = {"name": name, "dataType": [kind], **index_flags(f"{outer}.{name}", given, kind)}
    if "description" in given:
        made["description"] = given["description"]
    if kind in ("object", "object[]"):
        if not given.get("nestedProperties"):
            raise wrong(f"property '{outer}.{name}': At least one nested property is required for data type object/object[]")
        made["nestedProperties"] = [nested_property(f"{outer}.{name}", nested, version) for nested in given["nestedProperties"]]
    return made


def change(old, given):
    """The class after an update; what cannot be changed must be as it was."""
    for key in ("class", "vectorizer", "vectorIndexType"):
        if key in given and given[key] != old[key]:
            raise wrong(f"{key} is immutable: attempted change from \"{old[key]}\" to \"{given[key]}\"")
    new = copy.deepcopy(old)
    for key in MUTABLE & given.keys():
        new[key] = filled(old[key], given[key]) if isinstance(old.get(key), dict) else given[key]
    for key, value in new["vectorIndexConfig"].items():
        if value != old["vectorIndexConfig"].get(key) and key not in MUTABLE_INDEX:
            raise wrong(f"{key} is immutable: attempted change from \"{old['vectorIndexConfig'].get(key)}\" to \"{value}\"")
    if new["multiTenancyConfig"]["enabled"] != old["multiTenancyConfig"]["enabled"]:
        raise wrong("enabling or disabling multi-tenancy for an existing class is not supported")
    return new
