#!/usr/bin/python3
# SPDX-License-Identifier: ISC
"""PostgreSQL's own regression tests, directly (twice) and through pglane in session and in transaction pooling, and what differs.

    tests/regress/postgres_suite.py SOURCE/src/test/regress [--mode MODE …] [--out DIRECTORY]

SOURCE is PostgreSQL's source (apt-get source postgresql-15). Each mode has a cluster of its own; the tests run one after the other in the order of
the schedule. What two direct runs do not agree about is no difference. Not a part of tests/run: it takes minutes and needs the source.
"""

import argparse
import difflib
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from harness import proxy as proxy_module  # noqa: E402 (the path comes first)
from harness import system  # noqa: E402
from harness.bystanders import bystand  # noqa: E402
from harness.cluster import Cluster  # noqa: E402
from harness.traffic import Background  # noqa: E402

from harness.psql import prepare_database, run_script  # noqa: E402

DATABASE = "regression"
SETTINGS = "max_prepared_transactions = 2\nlog_autovacuum_min_duration = -1\nallow_in_place_tablespaces = on\n"
PROXY = {"session": {"pool_mode": "session"}, "transaction": {"pool_mode": "transaction", "lanes": {"default": 2},
                         "sections": {"lane:default": {"permits": 2, "max_pinned": 2}}}}
OID = re.compile(rb"\b(\d{5,}|pg_temp_\d+|pg_toast_\d+)\b")


def tests_of(source):
    for line in (source / "parallel_schedule").read_text().splitlines():
        if line.startswith("test:"):
            yield from line.split()[1:]


def run_mode(mode, source, out, timeout_s):
    out.mkdir(parents=True, exist_ok=True)
    work = system.temporary_directory("pglane-regress-")
    cluster = Cluster(SETTINGS)
    prepare_database(cluster, DATABASE)
    program = system.temporary_directory("pglane-bin-")
    proxy = None
    if mode in PROXY:
        proxy = proxy_module.Proxy(cluster, proxy_module.installed_binary(program), secrets={"postgres": "", "app": ""}, **PROXY[mode])
    (work / "results").mkdir()
    system.own(work / "results", cluster.user, 0o777)
    surprises = []
    try:
        with Background(*[bystand(proxy, DATABASE, surprises)] * (3 if mode == "transaction" else 0)):
            for name in tests_of(source):
                start = time.monotonic()
                try:
                    text = run_script(source / "sql" / f"{name}.sql", (proxy or cluster).port, DATABASE, directory=work, timeout_s=timeout_s,
                                      PG_ABS_SRCDIR=str(source), PG_ABS_BUILDDIR=str(work), PG_LIBDIR=str(source), PG_DLSUFFIX=".so")
                except subprocess.TimeoutExpired as error:
                    text = (error.stdout or b"") + b"\ntimed out\n"
                (out / f"{name}.out").write_bytes(text)
                print(f"{mode:12} {name} {time.monotonic() - start:.1f} s", *surprises, flush=True)
                surprises.clear()
        if proxy:
            proxy.stop()
    finally:
        cluster.destroy()
        system.remove(work)
        system.remove(program)


def comparable(path):
    return [OID.sub(b"#", line) for line in path.read_bytes().splitlines()]


def changed(a, b):
    return [line for line in difflib.unified_diff([x.decode(errors="replace") for x in comparable(a)], [x.decode(errors="replace") for x in comparable(b)],
                                                  lineterm="", n=2)][2:]


def compare(out, mode):
    """Prints what differs; how many tests do."""
    n_different = 0
    for path in sorted((out / "direct").glob("*.out")):
        other = out / mode / path.name
        difference = changed(path, other) if other.exists() else ["not run"]
        known = changed(path, out / "again" / path.name) if (out / "again" / path.name).exists() else []
        said = {line for line in known if line[:1] in "-+"}
        left = [line for line in difference if line[:1] in "-+" and line not in said]
        if left:
            n_different += 1
            print(f"==== {mode}: {path.stem}: {len(left)} lines")
            print("\n".join(difference[:60]))
    print(f"{mode}: {n_different} tests differ")
    return n_different


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("--mode", action="append", choices=["direct", "again", *PROXY])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("/tmp/pglane-postgres-suite"))
    parser.add_argument("--timeout", type=float, default=120, metavar="SECONDS", help="of one test")
    options = parser.parse_args()
    system.raise_file_limit()
    for mode in options.mode or ["direct", "again", *PROXY]:
        run_mode(mode, options.source.resolve(), options.out / mode, options.timeout)
    return 1 if sum([compare(options.out, mode) for mode in options.mode or PROXY if mode in PROXY]) else 0


if __name__ == "__main__":
    sys.exit(main())
