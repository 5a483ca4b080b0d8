# SPDX-License-Identifier: ISC
"""Conditions (`where`), as REST and GraphQL share them: compiled once into a function of an object, which is then asked of each."""

import datetime
import math
import re

from . import values
from .answers import ObjectError, QueryError

EARTH_M = 6371008.8
VALUE_KEYS = {"valueText": str, "valueString": str, "valueInt": int, "valueNumber": (int, float), "valueBoolean": bool, "valueDate": str}
KINDS = {"text": ("valueText", "valueString"), "uuid": ("valueText", "valueString"), "int": ("valueInt",), "number": ("valueNumber", "valueInt"),
         "boolean": ("valueBoolean",), "date": ("valueDate",)}
COMPARISONS = {"Equal": lambda a, b: a == b, "NotEqual": lambda a, b: a != b, "GreaterThan": lambda a, b: a > b, "GreaterThanEqual": lambda a, b: a >= b,
               "LessThan": lambda a, b: a < b, "LessThanEqual": lambda a, b: a <= b}
OPERATORS = {*COMPARISONS, "Like", "IsNull", "WithinGeoRange", "ContainsAny", "ContainsAll", "ContainsNone"}
KEYS = {"operator", "operands", "path", "valueGeoRange", *VALUE_KEYS, *(key + "Array" for key in VALUE_KEYS)}
ALNUM = re.compile(r"[^\W_]+")


def tokens(text, tokenization):
    if tokenization == "word":
        return ALNUM.findall(text.lower())
    if tokenization == "lowercase":
        return text.lower().split()
    if tokenization == "whitespace":
        return text.split()
    if tokenization == "trigram":
        joined = "".join(ALNUM.findall(text.lower()))
        return [joined[i:i + 3] for i in range(max(1, len(joined) - 2))]
    return [text.strip()]


def invalid(text, status=400):
    """status 422: it is no filter at all, or the index is missing."""
    return QueryError(f"invalid 'where' filter: {text}", status)


def compiled(where, config):
    """A function that says whether an object passes. Raises QueryError."""
    if not isinstance(where, dict):
        raise invalid("it must be an object", 422)
    unknown = where.keys() - KEYS
    if unknown:
        raise invalid(f"unknown field '{sorted(unknown)[0]}'")
    operator = where.get("operator")
    if operator in ("And", "Or", "Not"):
        operands = where.get("operands")
        if not isinstance(operands, list) or not operands:
            raise invalid(f"operator {operator} requires operands", 422)
        parts = [compiled(operand, config) for operand in operands]
        if operator == "Not":
            return lambda stored: not parts[0](stored)
        return (lambda stored: all(part(stored) for part in parts)) if operator == "And" else (lambda stored: any(part(stored) for part in parts))
    if operator not in OPERATORS:
        raise invalid(f"unrecognized operator: {operator}", 422)
    path = where.get("path")
    if not isinstance(path, list) or len(path) != 1 or not isinstance(path[0], str):
        raise invalid(f"path {path!r}: one property is expected")
    return of_property(operator, path[0], where, config)


def of_property(operator, name, where, config):
    prop = next((prop for prop in config["properties"] if prop["name"] == name), None)
    if name in ("id", "_id"):
        kind, get = "uuid", lambda stored: stored.id
    elif prop is None:
        raise invalid(f"no such prop with name '{name}' found in class '{config['class']}' in the schema. Check your schema files for which properties in this class are available")
    else:
        kind, get = prop["dataType"][0].removesuffix("[]"), lambda stored: stored.properties.get(name)
        if not prop["indexFilterable"] and operator != "IsNull" and kind != "geoCoordinates":
            raise invalid(f"property '{name}' is missing an inverted index: set indexFilterable", 422)
    if operator == "IsNull":
        raise invalid("Nullstate must be indexed to be filterable! Add `IndexNullState: true` to the invertedIndexConfig")
    if operator == "WithinGeoRange":
        return within(kind, name, get, where)
    if kind not in KINDS:
        raise invalid(f"property '{name}' of type '{kind}' cannot be filtered by {operator}")
    if operator in ("ContainsAny", "ContainsAll", "ContainsNone"):
        return contains(operator, kind, name, get, where, prop)
    value = read(kind, one_value(kind, name, where))
    if operator == "Like":
        return like(kind, name, get, value, prop)
    if kind == "text":
        return text_equal(operator, get, value, prop["tokenization"])
    compare = COMPARISONS[operator]
    return lambda stored: any(compare(read(kind, item), value) for item in items(get(stored)))


def items(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def one_value(kind, name, where):
    """The value of the one key that goes with the type."""
    given = [key for key in where if key in VALUE_KEYS]
    if len(given) != 1:
        raise invalid(f"got operator '{where.get('operator')}', but {'no value' if not given else 'more than one value'} is set")
    if given[0] not in KINDS[kind]:
        raise invalid(f"data type filter cannot use \"{given[0]}\" on type \"{kind}\" (property '{name}'), use \"{KINDS[kind][0]}\" instead")
    value = where[given[0]]
    if not isinstance(value, VALUE_KEYS[given[0]]) or (isinstance(value, bool) and given[0] != "valueBoolean"):
        raise invalid(f"{given[0]} has the value {value!r}")
    return value


def many_values(kind, name, where):
    """The list of ContainsAny and its like: REST spells the key with Array, GraphQL without."""
    given = [key for key in where if key.removesuffix("Array") in VALUE_KEYS]
    if len(given) != 1 or not isinstance(where[given[0]], list):
        raise invalid(f"operator '{where['operator']}' requires an array of values")
    key = given[0].removesuffix("Array")
    return [one_value(kind, name, {"operator": where["operator"], key: item}) for item in where[given[0]]]


def read(kind, value):
    """A value in the form in which it is compared."""
    try:
        if kind == "uuid":
            return values.identifier(value, "of the filter")
        if kind == "date":
            return datetime.datetime.fromisoformat(values.date(value, "of the filter").replace("Z", "+00:00").replace("z", "+00:00"))
    except ObjectError as error:
        raise invalid(str(error)) from None
    return value


def text_equal(operator, get, value, tokenization):
    """Equal on text means: has all these tokens."""
    wanted = tokens(value, tokenization)
    if operator not in ("Equal", "NotEqual"):
        return lambda stored: any(COMPARISONS[operator](token, value) for item in items(get(stored)) for token in tokens(item, tokenization))

    def holds(stored):
        have = {token for item in items(get(stored)) for token in tokens(item, tokenization)}
        return all(token in have for token in wanted)
    return holds if operator == "Equal" else lambda stored: not holds(stored)


def like(kind, name, get, value, prop):
    if kind != "text":
        raise invalid(f"operator Like is for text, property '{name}' is {kind}")
    pattern = re.compile(re.escape(value).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL | (0 if prop["tokenization"] in ("field", "whitespace") else re.IGNORECASE))
    return lambda stored: any(pattern.fullmatch(token) for item in items(get(stored)) for token in tokens(item, prop["tokenization"]))


def contains(operator, kind, name, get, where, prop):
    wanted = {read(kind, value) for value in many_values(kind, name, where)}
    if kind == "text":
        wanted = {token for value in wanted for token in tokens(value, prop["tokenization"])}

    def have(stored):
        if kind == "text":
            return {token for item in items(get(stored)) for token in tokens(item, prop["tokenization"])}
        return {read(kind, item) for item in items(get(stored))}
    if operator == "ContainsAny" and name == "id":
        return lambda stored: stored.id in wanted
    if operator == "ContainsAny":
        return lambda stored: not wanted.isdisjoint(have(stored))
    if operator == "ContainsAll":
        return lambda stored: wanted <= have(stored)
    return lambda stored: wanted.isdisjoint(have(stored))


def within(kind, name, get, where):
    place = where.get("valueGeoRange")
    if kind != "geoCoordinates":
        raise invalid(f"property '{name}' of type '{kind}' has no place")
    try:
        latitude, longitude = (place["geoCoordinates"][key] for key in ("latitude", "longitude"))
        limit_m = place["distance"]["max"]
    except (KeyError, TypeError):
        raise invalid("valueGeoRange needs geoCoordinates {latitude, longitude} and distance {max}") from None
    if not all(map(values.is_number, (latitude, longitude, limit_m))) or limit_m < 0:
        raise invalid("valueGeoRange holds something else than numbers")

    def near(stored):
        point = get(stored)
        return point is not None and distance_m(latitude, longitude, point["latitude"], point["longitude"]) <= limit_m
    return near


def distance_m(latitude_1, longitude_1, latitude_2, longitude_2):
    """Over the ground, on a sphere."""
    one, two = math.radians(latitude_1), math.radians(latitude_2)
    half = math.sin((two - one) / 2) ** 2 + math.cos(one) * math.cos(two) * math.sin(math.radians(longitude_2 - longitude_1) / 2) ** 2
    return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(half)))
