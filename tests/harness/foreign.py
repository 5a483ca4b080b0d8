# SPDX-License-Identifier: ISC
"""Client libraries of other languages: fetched and built by their own tools, and run on a direct connection and through pglane.

A *suite* is a program that is given one word (which of its steps to run) and prints one line of JSON for each step: its name and what came of it.
Where to connect stands in libpq's environment variables; its tables go to the schema SUITE_SCHEMA, and SUITE_SCALE says how much volume a build can
afford. It exits with another status than 0 when a step failed that should not: an error that is meant to come is a result like any other.
"""

import concurrent.futures
import fcntl
import hashlib
import os
import shutil
import subprocess

import pytest

from . import system
from .cluster import USERS
from .traffic import SCALE

PLACE = system.ROOT / "build-tests" / "drivers"
TIMEOUT_S = 110

# What a client of a registry says when something else is wrong than that the registry cannot be reached.
OUR_FAULTS = ("EINTEGRITY", "EUSAGE", "EJSONPARSE", "SECURITY ERROR", "checksum mismatch", "missing go.sum", "updates to go.mod", "Non-parseable POM")

_unreachable = {}


def tool(name, *places):
    """The path of a program; the test is skipped when the machine has none."""
    found = shutil.which(name) or next((place for place in places if os.access(place, os.X_OK)), None)
    if not found:
        pytest.skip(f"there is no {name}")
    return found


def made(name, sources, fetch, build=None, environment=None):
    """The directory build-tests/drivers/NAME with copies of the sources, in which the command fetch, then build, has been run; again only when a
    source has changed. Runs of other builds wait for the first. Skipped when what is needed cannot be fetched."""
    if name in _unreachable:
        pytest.skip(_unreachable[name])
    directory = PLACE / name
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    PLACE.mkdir(parents=True, exist_ok=True)
    with open(PLACE / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = directory / "made-of"
        if not stamp.is_file() or stamp.read_text() != digest.hexdigest():
            directory.mkdir(exist_ok=True)
            stamp.unlink(missing_ok=True)
            for path in sources:
                shutil.copy(path, directory)
            _fetch(name, directory, fetch, environment)
            if build:
                system.run(*build, cwd=directory, timeout_s=700, env={**os.environ, **(environment or {})})
            stamp.write_text(digest.hexdigest())
    return directory


def _fetch(name, directory, command, environment):
    try:
        done = subprocess.run([str(word) for word in command], cwd=directory, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL,
                              env={**os.environ, **(environment or {})})
        said, failed = done.stdout + done.stderr, done.returncode != 0
    except subprocess.TimeoutExpired:
        said, failed = "no answer within 300 s", True
    assert not any(fault in said for fault in OUR_FAULTS), said
    if failed:
        lines = said.strip().splitlines() or ["it says nothing"]
        why = next((line for line in lines if "error" in line.lower()), lines[-1])
        _unreachable[name] = f"what {name} needs cannot be fetched: {why[:200]}"
        pytest.skip(_unreachable[name])


def _run(command, steps, host, port, number, environment):
    """What a suite prints. Each number has a schema of its own."""
    variables = {"PGHOST": host, "PGPORT": str(port), "PGUSER": "app", "PGDATABASE": "app", "PGPASSWORD": USERS["app"][0], "PGSSLMODE": "disable", "TZ": "UTC",
                 "SUITE_SCHEMA": f"suite_{number}", "SUITE_SCALE": str(SCALE), "PGCONNECT_TIMEOUT": "60"}
    process = subprocess.Popen([*map(str, command), steps], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, **variables, **(environment or {})})
    try:
        printed, said = process.communicate(timeout=TIMEOUT_S)
        how = f"status {process.returncode}"
    except subprocess.TimeoutExpired:
        process.kill()
        printed, said = process.communicate()
        how = f"no end within {TIMEOUT_S} s"
    assert process.returncode == 0, f"{steps}, {'direct' if number == 0 else 'through pglane'}: {how}\n{said[-5000:]}\nlast steps:\n{printed[-2000:]}"
    return printed.splitlines()


def same_as_direct(command, steps, proxy, n_at_once=4, environment=None):
    """Runs a suite on a direct connection, then n_at_once times at once through pglane; each prints the same, byte for byte."""
    cluster = proxy.cluster
    numbers = range(n_at_once + 1)
    for number in numbers:
        cluster.run(f"DROP SCHEMA IF EXISTS suite_{number} CASCADE; CREATE SCHEMA suite_{number} AUTHORIZATION app", "app")
    try:
        expected = _run(command, steps, "127.0.0.1", cluster.port, 0, environment)
        assert len(expected) > 1, f"no steps: {expected}"
        with concurrent.futures.ThreadPoolExecutor(n_at_once) as pool:
            runs = [pool.submit(_run, command, steps, proxy.host, proxy.port, number, environment) for number in numbers[1:]]
        for run in runs:
            different = [f"through pglane: {ours[:3000]}\ndirect:         {direct[:3000]}" for ours, direct in zip(run.result(), expected) if ours != direct]
            assert not different, "\n".join(different)
            assert len(run.result()) == len(expected), "all steps, and no more"
    finally:
        for gid, in cluster.run("SELECT gid FROM pg_prepared_xacts WHERE database = 'app'"):  # a suite that failed may leave some, and their locks
            cluster.run(f"ROLLBACK PREPARED '{gid}'", "app")
        for number in numbers:
            cluster.run(f"DROP SCHEMA IF EXISTS suite_{number} CASCADE", "app")
