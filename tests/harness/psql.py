# SPDX-License-Identifier: ISC
"""psql with a script, called as pg_regress calls it: what it prints, errors among the rest, as one text."""

import os
import subprocess

from .cluster import binaries

# What pg_regress sets, so that scripts written for it print what they were written to print.
ENVIRONMENT = {"PGTZ": "PST8PDT", "PGDATESTYLE": "Postgres, MDY", "PGOPTIONS": "-c intervalstyle=postgres_verbose", "PGAPPNAME": "regress",
               "LC_MESSAGES": "C", "PGSSLMODE": "disable", "PGCONNECT_TIMEOUT": "30"}
DATABASE_SETTINGS = ("lc_messages = 'C'", "lc_monetary = 'C'", "lc_numeric = 'C'", "lc_time = 'C'", "bytea_output = 'hex'",
                     "timezone_abbreviations = 'Default'", "timezone = 'UTC'")


def prepare_database(cluster, name):
    """A new database with the defaults that such scripts count on."""
    cluster.run(f'CREATE DATABASE "{name}" TEMPLATE template0')
    cluster.run(";".join(f'ALTER DATABASE "{name}" SET {setting}' for setting in DATABASE_SETTINGS))


def run_script(script, port, database, user="postgres", directory="/", timeout_s=120, **environment):
    """What psql prints that reads the script; killed when it takes longer."""
    command = [f"{binaries()}/psql", "-X", "-a", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", user, "-d", database]
    with open(script, "rb") as text:
        done = subprocess.run(command, stdin=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=directory, timeout=timeout_s,
                              env={**os.environ, **ENVIRONMENT, **environment})
    return done.stdout + (f"\npsql ended with status {done.returncode}\n".encode() if done.returncode else b"")
