# SPDX-License-Identifier: ISC
"""What the lint checks share: where the tree is, which files it has, how a check reports.

A check is a program tests/lint/check_*.py. It prints one line for each fault, `path:line: what is wrong`, and
exits 0 (clean), 1 (faults) or 77 (cannot be run here, and says why).
"""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIP = 77


def files(*patterns):
    """The files of the tree that match, relative to its root and sorted: what git knows and what it would add."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others",
         "--exclude-standard", "--", *patterns],
        check=True, capture_output=True, text=True)
    return sorted(name for name in set(listed.stdout.split("\0")) if name and (ROOT / name).is_file())


def text(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def report(faults):
    """Prints the faults and gives the exit status."""
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIP)
