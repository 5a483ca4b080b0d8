# SPDX-License-Identifier: ISC
"""sql/ as the tests use it: the migration runner, and databases with the demonstration's tables and rows."""

import os
import subprocess

from . import system
from .cluster import binaries

SQL = system.ROOT / "sql"
RUNNER = SQL / "pglane-migrate"


def environment(cluster, database):
    return {**os.environ, "PATH": f"{binaries()}:{os.environ['PATH']}", "PGHOST": str(cluster.directory), "PGPORT": str(cluster.port), "PGUSER": "postgres",
            "PGDATABASE": database, "PGAPPNAME": "pglane-migrate"}


def start_migrate(cluster, database, *options):
    """The runner as a process of a group of its own, with its output on pipes."""
    return subprocess.Popen([str(RUNNER), *map(str, options)], env=environment(cluster, database), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, start_new_session=True, cwd="/")


def migrate(cluster, database, *options, status=0, timeout_s=120):
    """Runs it to the end; what it said on both outputs. It must end with this status."""
    process = start_migrate(cluster, database, *options)
    said = "".join(process.communicate(timeout=timeout_s))
    assert process.returncode == status, f"pglane-migrate {options}: exit {process.returncode}\n{said}"
    return said


def load(cluster, database, file, **variables):
    """Loads a file of sql/ by psql in one transaction."""
    words = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
    return system.run(f"{binaries()}/psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", *words, "-f", SQL / file, env=environment(cluster, database))


def create(cluster, database, template="template0"):
    cluster.run(f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY file_copy")


def drop(cluster, database):
    cluster.run(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


def key_file(cluster, name, key):
    """A key file as an operator would lay it: outside the data directory, readable by the server alone."""
    directory = cluster.directory / "keys"
    if not directory.exists():
        directory.mkdir()
        system.own(directory, cluster.user)
    path = directory / name
    if path.exists():
        path.unlink()
    path.write_bytes(key)
    system.own(path, cluster.user, 0o400)
    return path
