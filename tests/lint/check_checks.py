#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The checks themselves: each finds the fault it is there for, and lets the good case pass."""

import shutil
import sys

import check_compose
import check_docs
import check_floors
import check_headers
import check_sizes
import tree

FLOOR_CASES = [
    ("src/io/loop.c", '#include "base/log.h"\n', 0),
    ("src/io/loop.c", '#include "io/loop.h"\n', 0),
    ("src/io/loop.c", '#include "lane/lane.h"\n', 1),
    ("src/io/tls.c", '#include "config/config.h"\n', 0),
    ("src/config/reader.c", '#include "io/loop.h"\n', 1),
    ("src/base/log.c", '#include "pgw/frame.h"\n', 1),
    ("proto/frame.c", '#include "base/log.h"\n', 1),
    ("proto/scram.c", '#include "scram_priv.h"\n', 0),
    ("src/service/sampler.c", '#include "session/client.h"\n', 1),
    ("src/session/client.c", '  #  include "service/sampler.h"\n', 1),
    ("src/daemon/main.c", '#include "admin/console.h"\n#include "session/client.h"\n', 0),
    ("src/daemon/main.c", '#include "nowhere/thing.h"\n', 1),
    ("src/newcomer/thing.c", "", 1),
]

WORD_CASES = [
    ("see /work/main/README.md", 1),
    ("see https://example.org/work/", 0),
    ("TODO", 1),
    ("closes issue 12", 1),
    ("a plain sentence", 0),
]

LINK_CASES = [
    ("[a](there.md)", 0),
    ("[a](gone.md)", 1),
    ("[a](there.md#the-heading)", 0),
    ("[a](there.md#no-heading)", 1),
    ("[a](https://example.org/gone.md)", 0),
    ("```\n[a](gone.md)\n```", 0),
]

KEYED = {**check_compose.WEAVIATE_NEEDS, "AUTHENTICATION_APIKEY_USERS": "pglane", "AUTHORIZATION_ADMINLIST_USERS": "pglane"}
COMPOSE_CASES = [
    (KEYED, 0),
    ({**KEYED, "OPENAI_API_KEY": "x"}, 1),
    ({**KEYED, "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true"}, 1),
    ({**KEYED, "AUTHORIZATION_ADMINLIST_USERS": "somebody"}, 1),
]

SIZE_CASES = [
    ([("a.c", 600)], [("a.c", "f", 1, 100)], {}, 0),
    ([("a.c", 601)], [], {}, 1),
    ([("a.c", 601)], [], {"a.c": "why"}, 0),
    ([], [("a.c", "f", 1, 101)], {}, 1),
    ([], [("a.c", "f", 1, 101)], {"a.c:f": "why"}, 0),
    ([("a.c", 10)], [], {"a.c": "why"}, 1),
]


def wrong(what, case, expected, found):
    found = list(found)
    return [f"{what} {case!r}: {expected} faults expected, found {found}"] if len(found) != expected else []


def header_faults():
    if not shutil.which("gcc"):
        return []
    clean = check_headers.compile_alone("gcc", [], "#include <stddef.h>\nextern size_t n;\n")
    lacking = check_headers.compile_alone("gcc", [], "extern size_t n;\n")
    return [] if not clean and lacking else [f"headers: clean gave {clean!r}, lacking gave {lacking!r}"]


def main():
    faults = header_faults()
    for name, text, expected in FLOOR_CASES:
        faults += wrong("floors", (name, text), expected, check_floors.faults_of(name, text))
    for text, expected in WORD_CASES:
        faults += wrong("words", text, expected, check_docs.words_of("a.md", text))
    for text, expected in LINK_CASES:
        found = check_docs.links_of("a.md", text, lambda path: path == "there.md", lambda path: "# The heading\n")
        faults += wrong("links", text, expected, found)
    for files, functions, allowed, expected in SIZE_CASES:
        faults += wrong("sizes", (files, functions), expected, check_sizes.too_long(files, functions, allowed))
    for environment, expected in COMPOSE_CASES:
        faults += wrong("compose", environment, expected, check_compose.weaviate_faults(environment))
    faults += wrong("licence", "", 1, check_docs.licence_of("a.c", "int a;\n"))
    return tree.report(faults)


if __name__ == "__main__":
    sys.exit(main())
