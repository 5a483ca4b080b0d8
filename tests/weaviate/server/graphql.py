# SPDX-License-Identifier: ISC
"""GraphQL, as far as Get and Aggregate go, and strict: a mistake of the client's writer (escapes, names, types) is an error, as it would be.

Errors come with HTTP 200. Variables are refused: a vector cannot be one since 1.29, and types of values have a name for each class.
"""

import re

from .answers import QueryError
from .search import Query

TOKEN = re.compile(r"""(?P<space>[\s,\ufeff]+|\#[^\n\r]*)|(?P<name>[_A-Za-z][_0-9A-Za-z]*)|(?P<spread>\.\.\.)|(?P<mark>[!$():=@\[\]{|}&])
	|(?P<number>-?(?:0|[1-9]\d*)(?P<part>\.\d+)?(?P<power>[eE][+-]?\d+)?(?![_0-9A-Za-z.]))|(?P<block>\"{3}(?s:.*?)(?<!\\)\"{3})
	|(?P<text>"(?:[^"\\\x00-\x08\x0a-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*")""", re.VERBOSE)
ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))")
INT32 = 2**31

# Argument of a class field: the kind of search it asks for.
SEARCHES = {"nearVector": "near_vector", "nearText": "near_text", "nearObject": "near_object", "bm25": "bm25", "hybrid": "hybrid"}
FIELDS_OF_SEARCH = {
    "nearVector": {"vector": "vector", "distance": "number", "certainty": "number"},
    "nearText": {"concepts": "texts", "distance": "number", "certainty": "number", "autocorrect": "boolean"},
    "nearObject": {"id": "text", "beacon": "text", "distance": "number", "certainty": "number"},
    "bm25": {"query": "text", "properties": "texts"},
    "hybrid": {"query": "text", "alpha": "number", "vector": "vector", "properties": "texts", "fusionType": "enum", "maxVectorDistance": "number"},
}
PLAIN_ARGUMENTS = {"limit": "int", "offset": "int", "tenant": "text", "after": "text"}
FIELDS_OF_WHERE = {"operator": "enum", "path": "texts", "valueText": "texts", "valueString": "texts", "valueInt": "ints", "valueNumber": "numbers",
                   "valueBoolean": "booleans", "valueDate": "texts", "valueGeoRange": "place", "operands": "operands"}
ADDITIONAL = {"id", "distance", "certainty", "score", "explainScore", "vector", "creationTimeUnix", "lastUpdateTimeUnix"}


def unescaped(found):
    """What an escape means. Each \\u is a character by itself: halves of a pair are none."""
    if found.group(2):
        return {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(found.group(2), found.group(2))
    code = int(found.group(1), 16)
    return "\ufffd" if 0xd800 <= code < 0xe000 else chr(code)


class Name(str):
    """An enum's value: a bare word."""


class Invalid(Exception):
    """The whole document is wrong: nothing of it is done. place is an offset in the text, or None."""

    def __init__(self, text, place=None):
        super().__init__(text)
        self.place = place


class Field:
    __slots__ = ("name", "alias", "arguments", "fields", "place")

    def __init__(self, name, alias, place):
        self.name, self.alias, self.place, self.arguments, self.fields = name, alias, place, {}, []


class Parser:
    """A document with one operation."""

    def __init__(self, text):
        self.text, self.tokens, self.i = text, [], 0
        place = 0
        while place < len(text):
            found = TOKEN.match(text, place)
            if not found:
                raise Invalid(f"Unexpected character {text[place]!r}.", place)
            if found.lastgroup != "space" and not found.group("space"):
                kind = next(kind for kind in ("name", "spread", "mark", "number", "block", "text") if found.group(kind) is not None)
                self.tokens.append((kind, found, place))
            place = found.end()
        self.tokens.append(("end", None, len(text)))

    def document(self):
        if self.at("name"):
            if self.word() != "query":
                raise Invalid("only a query is served here", self.place())
            if self.at("name"):
                self.word()
            if self.at("mark", "("):
                raise Invalid("this stand-in knows no variables", self.place())
        fields = self.selection()
        if not self.at("end"):
            raise Invalid(f"Unexpected {self.shown()}", self.place())
        return fields

    # tokens

    def place(self):
        return self.tokens[self.i][2]

    def shown(self):
        kind, found, _ = self.tokens[self.i]
        return "<EOF>" if kind == "end" else found.group()

    def at(self, kind, text=None):
        token = self.tokens[self.i]
        return token[0] == kind and (text is None or token[1].group() == text)

    def take(self, kind, text=None):
        if not self.at(kind, text):
            raise Invalid(f"Expected {text or kind}, found {self.shown()}", self.place())
        self.i += 1
        return self.tokens[self.i - 1][1]

    def word(self):
        return self.take("name").group()

    # grammar

    def selection(self):
        self.take("mark", "{")
        fields = [self.field()]
        while not self.at("mark", "}"):
            fields.append(self.field())
        self.take("mark", "}")
        return fields

    def field(self):
        if self.at("spread"):
            raise Invalid("no reference properties here", self.place())
        place, name = self.place(), self.word()
        alias = name
        if self.at("mark", ":"):
            self.i += 1
            name = self.word()
        field = Field(name, alias, place)
        if self.at("mark", "("):
            self.take("mark", "(")
            while not self.at("mark", ")"):
                self.pair(field.arguments)
            if not field.arguments:
                raise Invalid(f"Expected Name, found {self.shown()}", self.place())
            self.take("mark", ")")
        if self.at("mark", "{"):
            field.fields = self.selection()
        return field

    def pair(self, into):
        place, name = self.place(), self.word()
        self.take("mark", ":")
        if name in into:
            raise Invalid(f"There can be only one argument named \"{name}\".", place)
        into[name] = self.value()

    def value(self):
        kind, found, place = self.tokens[self.i]
        if kind == "mark" and found.group() == "[":
            self.i += 1
            items = []
            while not self.at("mark", "]"):
                items.append(self.value())
            self.i += 1
            return items
        if kind == "mark" and found.group() == "{":
            self.i += 1
            pairs = {}
            while not self.at("mark", "}"):
                self.pair(pairs)
            self.i += 1
            return pairs
        if kind == "mark" and found.group() == "$":
            raise Invalid("this stand-in knows no variables", place)
        self.i += 1
        if kind == "number":
            return float(found.group()) if found.group("part") or found.group("power") else int(found.group())
        if kind == "text":
            return ESCAPE.sub(unescaped, found.group()[1:-1])
        if kind == "block":
            return found.group()[3:-3].replace('\\"""', '"""')
        if kind == "name":
            word = found.group()
            return {"true": True, "false": False, "null": None}.get(word, Name(word))
        raise Invalid(f"Unexpected {'<EOF>' if kind == 'end' else found.group()}", place)


# types of arguments

def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_text(value):
    return isinstance(value, str) and not isinstance(value, Name)


SCALARS = {"text": is_text, "number": is_number, "int": lambda v: isinstance(v, int) and not isinstance(v, bool) and -INT32 <= v < INT32,
           "boolean": lambda v: isinstance(v, bool), "enum": lambda v: isinstance(v, Name)}


def typed(kind, value, where, place):
    """The value as the type takes it: a single one also stands for a list."""
    if kind in SCALARS:
        if not SCALARS[kind](value):
            raise Invalid(f"Argument \"{where}\" has invalid value {value!r}.", place)
        return value
    if kind == "vector":
        if not isinstance(value, list) or not all(map(is_number, value)):
            raise Invalid(f"Argument \"{where}\" has invalid value: a vector is a list of numbers.", place)
        return value
    if kind == "place":
        return typed_object({"geoCoordinates": {"latitude": "number", "longitude": "number"}, "distance": {"max": "number"}}, value, where, place)
    if kind == "operands":
        return [typed_object(FIELDS_OF_WHERE, one, where, place) for one in (value if isinstance(value, list) else [value])]
    single = kind.removesuffix("s")
    if isinstance(value, list):
        return [typed(single, one, where, place) for one in value]
    one = typed(single, value, where, place)
    return one if where.rpartition(".")[2].startswith("value") else [one]


def typed_object(fields, value, where, place):
    if not isinstance(value, dict):
        raise Invalid(f"Argument \"{where}\" has invalid value {value!r}.", place)
    made = {}
    for name, item in value.items():
        if name not in fields:
            raise Invalid(f"Argument \"{where}\" has invalid value. In field \"{name}\": Unknown field.", place)
        kind = fields[name]
        made[name] = typed_object(kind, item, f"{where}.{name}", place) if isinstance(kind, dict) else typed(kind, item, f"{where}.{name}", place)
    return made


class Get:
    """One class field of Get, checked against the schema before anything runs."""

    def __init__(self, field, collection):
        self.field, self.collection = field, collection
        self.search, self.plain, self.where = None, {}, None
        for name, value in field.arguments.items():
            self._argument(name, value)
        if self.search and self.search[0] == "near_text" and collection.config["vectorizer"] == "none":
            raise Invalid(f"Unknown argument \"nearText\" on field \"{field.name}\" of type \"GetObjectsObj\".", field.place)
        if not field.fields:
            raise Invalid(f"Field \"{field.name}\" of type \"[{field.name}]\" must have a sub selection.", field.place)
        self.properties = {prop["name"]: prop for prop in collection.config["properties"]}
        for chosen in field.fields:
            self._check_chosen(chosen)

    def _argument(self, name, value):
        place = self.field.place
        if name in SEARCHES:
            if self.search:
                raise Invalid(f"found both '{self.search[1]}' and '{name}' which are not allowed together", place)
            self.search = (SEARCHES[name], name, typed_object(FIELDS_OF_SEARCH[name], value, name, place))
        elif name == "where":
            self.where = typed_object(FIELDS_OF_WHERE, value, "where", place)
        elif name in PLAIN_ARGUMENTS and (name != "tenant" or self.collection.has_tenants):
            self.plain[name] = typed(PLAIN_ARGUMENTS[name], value, name, place)
        else:
            raise Invalid(f"Unknown argument \"{name}\" on field \"{self.field.name}\" of type \"GetObjectsObj\".", place)

    def _check_chosen(self, chosen):
        if chosen.name == "_additional":
            if not chosen.fields:
                raise Invalid("Field \"_additional\" must have a sub selection.", chosen.place)
            for inner in chosen.fields:
                if inner.name not in ADDITIONAL:
                    raise Invalid(f"Cannot query field \"{inner.name}\" on type \"{self.field.name}AdditionalProps\".", inner.place)
        elif chosen.name not in self.properties:
            raise Invalid(f"Cannot query field \"{chosen.name}\" on type \"{self.field.name}\".", chosen.place)
        elif bool(chosen.fields) != (self.properties[chosen.name]["dataType"][0] in ("object", "object[]", "geoCoordinates", "phoneNumber")):
            raise Invalid(f"Field \"{chosen.name}\" {'must not' if chosen.fields else 'must'} have a sub selection.", chosen.place)

    def run(self, store):
        kind, _, arguments = self.search or (None, None, {})
        query = Query(store, self.collection, kind, arguments, limit=self.plain.get("limit"), offset=self.plain.get("offset", 0), where=self.where,
                      tenant=self.plain.get("tenant"))
        return [{chosen.alias: self._shown(hit, chosen) for chosen in self.field.fields} for hit in query.hits()]

    def _shown(self, hit, chosen):
        if chosen.name == "_additional":
            return {inner.alias: self._additional(hit, inner.name) for inner in chosen.fields}
        return picked(hit.stored.properties.get(chosen.name), chosen.fields)

    def _additional(self, hit, name):
        if name == "certainty":
            is_cosine = self.collection.config["vectorIndexConfig"]["distance"] == "cosine"
            return 1 - hit.distance / 2 if hit.distance is not None and is_cosine else None
        return {"id": hit.stored.id, "distance": hit.distance, "score": None if hit.score is None else repr(hit.score), "explainScore": "",
                "vector": hit.stored.vector.numbers() if hit.stored.vector and name == "vector" else None, "creationTimeUnix": str(hit.stored.created_ms),
                "lastUpdateTimeUnix": str(hit.stored.updated_ms)}[name]


def picked(value, fields):
    """The chosen parts of an object's value."""
    if not fields or value is None:
        return value
    if isinstance(value, list):
        return [picked(item, fields) for item in value]
    return {inner.alias: picked(value.get(inner.name), inner.fields) for inner in fields}


class Aggregate:
    """{Aggregate {Class {meta {count}}}}, and no more."""

    def __init__(self, field, collection):
        self.collection, self.tenant = collection, field.arguments.get("tenant")
        if set(field.arguments) - {"tenant"} or [chosen.name for chosen in field.fields] != ["meta"] or [f.name for f in field.fields[0].fields] != ["count"]:
            raise Invalid("this stand-in aggregates meta {count} only", field.place)

    def run(self, store):
        return [{"meta": {"count": len(store.shard_for_query(self.collection, self.tenant).objects)}}]


ROOTS = {"Get": Get, "Aggregate": Aggregate}


def prepared(text, store):
    """(root, class, what to run) of each field, in order; all of it is checked before any of it runs."""
    found = []
    for root in Parser(text).document():
        if root.name not in ROOTS:
            raise Invalid(f"Cannot query field \"{root.name}\" on type \"WeaviateObj\".", root.place)
        if root.arguments or not root.fields:
            raise Invalid(f"Field \"{root.name}\" must have a sub selection and no arguments.", root.place)
        for field in root.fields:
            if field.name not in store.collections:
                raise Invalid(f"Cannot query field \"{field.name}\" on type \"{root.name}ObjectsObj\".", field.place)
            found.append((root.name, field, ROOTS[root.name](field, store.collections[field.name])))
    return found


def location(text, place):
    before = text[:place]
    return {"line": before.count("\n") + 1, "column": place - (before.rfind("\n") + 1) + 1}


def answer(text, store):
    """The body of the answer, whose status is 200 whatever is in it."""
    try:
        fields = prepared(text, store)
    except Invalid as error:
        places = [] if error.place is None else [location(text, error.place)]
        kind = "Syntax Error GraphQL request " + "".join(f"({p['line']}:{p['column']}) " for p in places) if "xpected" in str(error) else ""
        return {"data": None, "errors": [{"locations": places, "message": f"{kind}{error}", "path": None}]}
    data, errors = {}, []
    for root, field, runner in fields:
        try:
            result = runner.run(store)
        except QueryError as error:
            errors.append({"locations": [location(text, field.place)], "message": f"explorer: get class: {error}", "path": [root, field.alias]})
            result = None
        data.setdefault(root, {})[field.alias] = result
    return {"data": data, "errors": errors} if errors else {"data": data}
