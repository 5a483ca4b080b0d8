#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A file includes only from floors below its own, or from its own folder.

FLOORS is the floor table of the design. proto/ and base/ both stand on the ground and do not know each other; service/ and
session/ stand side by side, and so never include each other.
"""

import re
import sys

import tree

# folder: floor. Folders are named as their headers are included: "config/config.h" is of config, "pgw/frame.h" of pgw.
FLOORS = {
    "pgw": 0,
    "base": 0,
    "config": 1,
    "stats": 1,
    "io": 1,
    "record": 1,
    "lane": 2,
    "classify": 2,
    "session": 3,
    "service": 3,
    "admin": 4,
    "daemon": 5,
    "tools": 5,
}

# Neighbours on one floor that a folder may include all the same, and why. Never both ways.
BESIDE = {
    ("io", "config"): "listeners and TLS contexts are made from the plain values of a snapshot",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


def folder_of(name):
    """The folder of FLOORS that a file of the tree belongs to."""
    parts = name.split("/")
    if parts[0] == "proto":
        return "pgw"
    return parts[1] if parts[0] == "src" and len(parts) > 2 else None


def target_of(name, included):
    """The folder that an include names: "io/loop.h" is io's; a bare name ("scram_priv.h") is of the file's own folder."""
    return included.split("/")[0] if "/" in included else folder_of(name)


def faults_of(name, text):
    """The faults of one file as text lines."""
    own = folder_of(name)
    if own not in FLOORS:
        return [f"{name}:1: its folder is not in the floor table of tests/lint/check_floors.py"]
    faults = []
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        target = target_of(name, match.group(1))
        if target == own or (own, target) in BESIDE:
            continue
        if target not in FLOORS:
            faults.append(f'{name}:{line}: "{match.group(1)}" names no folder of the floor table')
        elif FLOORS[target] >= FLOORS[own]:
            faults.append(f"{name}:{line}: {own} (floor {FLOORS[own]}) includes {target} (floor {FLOORS[target]})")
    return faults


def main():
    faults = [f"tests/lint/check_floors.py: {a} and {b} include each other" for a, b in BESIDE if (b, a) in BESIDE]
    for name in tree.files("src/*.c", "src/*.h", "proto/*.c", "proto/*.h"):
        faults += faults_of(name, tree.text(name))
    return tree.report(faults)


if __name__ == "__main__":
    sys.exit(main())
