#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""No unused configuration key: each field of the table is read outside src/config; the generated documents are up to date.

Takes the program that prints the table (tests/unit/config/schema_dump.c), or looks for it in build/. Keys that PgBouncer has and pglane does
not need are marked as accepted in the table and have no field. To write the documents anew: check_config_keys.py SCHEMA_DUMP --write
"""

import pathlib
import re
import subprocess
import sys

import tree

DOCUMENTS = {"example": "conf/pglane.ini", "manual": "conf/KEYS.md"}

# "scope key": fields that are read inside src/config on behalf of others, and where.
READ_INSIDE = {
    "main auth_file": "load.c reads the secrets from it",
    "lane hop_to": "moves.c makes hop_lane of it",
    "lane spill": "moves.c makes spill_lane and spill_below of it",
    "lane classes": "lanes.c makes lane_of_class of it",
    "lane urgent": "lanes.c makes urgent_lane of it",
    "main weaviate_api_key": "weaviate.c makes weaviate_key of it",
    "main weaviate_api_key_file": "weaviate.c makes weaviate_key of it",
    "main outbox_database": "weaviate.c: config_outbox_database()",
    "main outbox_user": "weaviate.c: config_outbox_user()",
    "main outbox_password": "weaviate.c: config_outbox_password()",
    "main weaviate_classes": "weaviate.c: config_weaviate_classes()",
    "entity vector": "weaviate.c: config_entity_vector()",
    "collection organization": "weaviate.c: config_organization()",
}


def printed(dump, what):
    return subprocess.run([dump, what], check=True, capture_output=True, text=True).stdout


def fields_read(sources):
    """Every name that follows a dot or an arrow."""
    names = set()
    for text in sources:
        names.update(re.findall(r"(?:\.|->)\s*([a-z_][a-z0-9_]*)", text))
    return names


def unread(rows, names, read_inside):
    """Faults, given (scope, key, field, use) of the table and the names that are read."""
    for scope, key, field, use in rows:
        if use == "accepted" or f"{scope} {key}" in read_inside:
            continue
        if field.rpartition(".")[2] not in names:
            yield f"src/config/keys.c:1: nobody reads {field} of the {scope} key {key}: use it, or mark the key as accepted only"


def stale(name, generated, present):
    if generated == present:
        return []
    pairs = list(zip(generated.splitlines() + [""], present.splitlines() + [""]))
    line = next((i for i, (a, b) in enumerate(pairs, 1) if a != b), len(pairs))
    return [f"{name}:{line}: not what the table of keys gives; write it with check_config_keys.py SCHEMA_DUMP --write"]


def main():
    dump = sys.argv[1] if len(sys.argv) > 1 else tree.ROOT / "build/tests/unit/config/schema_dump"
    if not pathlib.Path(dump).is_file():
        tree.skip(f"no {dump}: build it, or name it")
    if sys.argv[2:] == ["--write"]:
        for what, name in DOCUMENTS.items():
            (tree.ROOT / name).write_text(printed(dump, what), encoding="utf-8")
        return 0
    faults = []
    for what, name in DOCUMENTS.items():
        present = tree.text(name) if (tree.ROOT / name).is_file() else ""
        faults += stale(name, printed(dump, what), present)
    rows = [line.split("\t") for line in printed(dump, "fields").splitlines()]
    sources = [tree.text(name) for name in tree.files("src/*.c", "src/*.h") if not name.startswith("src/config/")]
    faults += unread(rows, fields_read(sources), READ_INSIDE)
    return tree.report(faults)


if __name__ == "__main__":
    sys.exit(main())
