#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""The tree speaks of the project alone, its documents link only to what is there, and each source says its licence.

Scratch words and machine paths have no place in what is read by others. Links of Markdown files must lead to a file of the tree
and, where they name a heading, to a heading of it.
"""

import posixpath
import re
import sys
import urllib.parse

import tree

# What no text file may say, and why. This file is the one that has to spell them.
WORDS = [
    (re.compile(r"(?<![\w.])/work/"), "a path of one machine"),
    (re.compile(r"(?<![\w.])/root/"), "a path of one machine"),
    (re.compile(r"\.\./shared/"), "a path outside the tree"),
    (re.compile(r"\b(?:TODO|FIXME|XXX)\b"), "an unfinished word"),
    (re.compile(r"\b(?:LLM|AI) (?:assistant|agent|helper)\b", re.IGNORECASE), "a word of the workplace"),
    (re.compile(r"\b(?:claude|chatgpt|copilot|anthropic|openai (?:assistant|codex))\b", re.IGNORECASE), "a word of the workplace"),
    (re.compile(r"(?<!an )\bissue #?\d+\b", re.IGNORECASE), "an issue number: say what the thing is"),
]
EXEMPT = {"tests/lint/check_docs.py", "tests/lint/check_checks.py"}
TEXTS = ("*.md", "*.c", "*.h", "*.py", "*.sh", "*.sql", "*.ini", "*.build", "*.txt", "*.conf", "packaging/*", "tests/run", ".ci/run", "conf/*")
LICENSED = ("*.c", "*.h", "*.py", "*.sql")

LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+\s+(.+?)\s*$", re.MULTILINE)


def words_of(name, text):
    """Forbidden words of one file."""
    for pattern, why in WORDS:
        for match in pattern.finditer(text):
            yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group(0)!r} is {why}"


def anchors_of(text):
    """The anchors that GitHub makes of a document's headings."""
    plain = (re.sub(r"[`*]", "", heading) for heading in HEADING.findall(FENCE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def links_of(name, text, exists, read):
    """Links of a Markdown file that lead nowhere. exists(path) and read(path) look into the tree."""
    prose = FENCE.sub(lambda match: "\n" * match.group(0).count("\n"), text)
    for match in LINK.finditer(prose):
        line = prose.count("\n", 0, match.start()) + 1
        target, _, anchor = urllib.parse.unquote(match.group(1)).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target)) if target else name
        if not exists(path):
            yield f"{name}:{line}: the link to {target} leads nowhere"
        elif anchor and path.endswith(".md") and anchor not in anchors_of(read(path)):
            yield f"{name}:{line}: {path} has no heading #{anchor}"


def licence_of(name, text):
    """A source names its licence in its first lines."""
    if text.strip() and "SPDX-License-Identifier: ISC" not in "\n".join(text.splitlines()[:3]):
        yield f"{name}:1: no SPDX-License-Identifier: ISC in the first three lines"


def main():
    faults = []
    for name in tree.files(*TEXTS):
        if name not in EXEMPT and "/corpus/" not in name:
            faults += words_of(name, tree.text(name))
    for name in tree.files("*.md"):
        faults += links_of(name, tree.text(name), lambda path: (tree.ROOT / path).exists(), tree.text)
    for name in tree.files(*LICENSED):
        if "/corpus/" not in name:
            faults += licence_of(name, tree.text(name))
    return tree.report(faults)


if __name__ == "__main__":
    sys.exit(main())
