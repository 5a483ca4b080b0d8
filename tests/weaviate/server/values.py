# SPDX-License-Identifier: ISC
"""Values of properties: what each type takes, and what is left of it. Numbers lose what float64 (int, number) and float32 (geoCoordinates) cannot hold."""

import base64
import binascii
import re
import struct
import uuid

from .answers import ObjectError

RFC3339 = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
UUID = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}")


def float32(number):
    """The nearest float32, as the shortest decimal that means it."""
    try:
        narrow = struct.unpack("f", struct.pack("f", number))[0]
    except OverflowError:
        raise ObjectError(f"{number} does not fit into a float32") from None
    for digits in (6, 7, 8, 9):
        short = float(f"{narrow:.{digits}g}")
        if struct.unpack("f", struct.pack("f", short))[0] == narrow:
            return short
    return narrow


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def text(value, where):
    if not isinstance(value, str):
        raise ObjectError(f"invalid text property {where}: not a string, but {value!r}")
    return value


def integer(value, where):
    if not isinstance(value, int) or isinstance(value, bool) or not -2**63 <= value < 2**63:
        raise ObjectError(f"invalid integer property {where}: requires an integer, the given value is '{value}'")
    return int(float(value))


def number(value, where):
    if not is_number(value):
        raise ObjectError(f"invalid number property {where}: requires a float, the given value is '{value}'")
    return value


def boolean(value, where):
    if not isinstance(value, bool):
        raise ObjectError(f"invalid boolean property {where}: requires a bool, the given value is '{value}'")
    return value


def date(value, where):
    if not isinstance(value, str) or not RFC3339.fullmatch(value):
        raise ObjectError(f"invalid date property {where}: requires a string with a RFC3339 formatted date, but the given value is '{value}'")
    return value


def identifier(value, where):
    if not isinstance(value, str) or not UUID.fullmatch(value):
        raise ObjectError(f"invalid uuid property {where}: requires a string of UUID format, but the given value is '{value}'")
    return str(uuid.UUID(value))


def place(value, where):
    if not isinstance(value, dict) or set(value) != {"latitude", "longitude"} or not all(map(is_number, value.values())):
        raise ObjectError(f"invalid geoCoordinates property {where}: requires a map with latitude and longitude, the given value is '{value}'")
    return {key: float32(part) for key, part in value.items()}


def phone(value, where):
    if not isinstance(value, dict) or not isinstance(value.get("input"), str):
        raise ObjectError(f"invalid phoneNumber property {where}: phoneNumber must be a map with an input")
    return value


def blob(value, where):
    try:
        base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise ObjectError(f"invalid blob property {where}: requires a valid base64 encoded string") from None
    return value


CHECKS = {"text": text, "int": integer, "number": number, "boolean": boolean, "date": date, "uuid": identifier, "geoCoordinates": place,
          "phoneNumber": phone, "blob": blob}


def value_of(prop, value, class_name, path):
    kind = prop["dataType"][0]
    where = f"'{path}' on class '{class_name}'"
    if kind.endswith("[]"):
        if not isinstance(value, list):
            raise ObjectError(f"invalid {kind} property {where}: not an array, but {value!r}")
        return [single(prop, kind[:-2], item, class_name, path, where) for item in value]
    return single(prop, kind, value, class_name, path, where)


def single(prop, kind, value, class_name, path, where):
    if kind != "object":
        return CHECKS[kind](value, where)
    if not isinstance(value, dict):
        raise ObjectError(f"invalid object property {where}: object must be a map, but is {value!r}")
    nested = {inner["name"]: inner for inner in prop["nestedProperties"]}
    kept = {}
    for name, item in value.items():
        if name not in nested:
            raise ObjectError(f"invalid object property {where}: unknown property '{path}.{name}'")
        if item is not None:
            kept[name] = value_of(nested[name], item, class_name, f"{path}.{name}")
    return kept


def properties_of(config, given):
    """The properties of an object as they are kept; nulls are dropped. Raises ObjectError."""
    known = {prop["name"]: prop for prop in config["properties"]}
    kept = {}
    for name, value in (given or {}).items():
        if name not in known:
            raise ObjectError(f"invalid object: no such prop with name '{name}' found in class '{config['class']}' in the schema. "
                              "Check your schema files for which properties in this class are available")
        if value is not None:
            try:
                kept[name] = value_of(known[name], value, config["class"], name)
            except ObjectError as error:
                raise ObjectError(f"invalid object: {error}") from None
    return kept


def vector_of(given):
    """A vector as it came: a list of finite numbers, or None."""
    if given is None or given == []:
        return None
    if not isinstance(given, list) or not all(map(is_number, given)):
        raise ObjectError("invalid object: vector must be an array of numbers")
    try:
        packed = struct.pack(f"{len(given)}f", *given)
    except OverflowError:
        raise ObjectError("invalid object: vector has a number that does not fit into a float32") from None
    return struct.unpack(f"{len(given)}f", packed)
