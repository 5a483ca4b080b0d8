#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""No function is over 100 lines and no file over 600; what may be longer says here why."""

import json
import shutil
import subprocess
import sys

import tree

FUNCTION_LINES = 100
FILE_LINES = 600

# "path" or "path:function": why it may be longer. An entry that is no longer needed is a fault too.
ALLOWED = {
    "src/config/keys.c": "the one table of keys",
}


def functions_of(names):
    """(path, function, first line, lines) of each function, by ctags."""
    done = subprocess.run(
        ["ctags", "-L", "-", "--languages=C", "--langmap=C:.c.h", "--kinds-C=f", "--fields=+ne", "--output-format=json"],
        cwd=tree.ROOT, input="\n".join(names), capture_output=True, text=True, check=True)
    for row in map(json.loads, done.stdout.splitlines()):
        yield row["path"], row["name"], row["line"], row.get("end", row["line"]) - row["line"] + 1


def too_long(files, functions, allowed):
    """Faults, given (path, lines) of files and functions_of() of them."""
    faults, used = [], set()
    for path, n_lines in files:
        if n_lines > FILE_LINES:
            used.add(path)
            if path not in allowed:
                faults.append(f"{path}:1: {n_lines} lines, over {FILE_LINES}")
    for path, name, line, n_lines in functions:
        if n_lines > FUNCTION_LINES:
            used.add(f"{path}:{name}")
            if f"{path}:{name}" not in allowed:
                faults.append(f"{path}:{line}: {name}() has {n_lines} lines, over {FUNCTION_LINES}")
    faults += [f"tests/lint/check_sizes.py: the entry {entry} is not needed" for entry in sorted(set(allowed) - used)]
    return faults


def main():
    if not shutil.which("ctags"):
        tree.skip("no ctags (package universal-ctags)")
    names = tree.files("src/*.c", "src/*.h", "proto/*.c", "proto/*.h")
    sizes = [(name, tree.text(name).count("\n")) for name in names]
    return tree.report(too_long(sizes, functions_of(names), ALLOWED))


if __name__ == "__main__":
    sys.exit(main())
