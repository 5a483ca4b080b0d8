# SPDX-License-Identifier: ISC
"""The pgTAP files, one for each migration: each on a copy of the template of its own, by pg_prove, which knows plans and broken output."""

import pathlib
import re

import pytest

from harness import schema, system

FILES = sorted(pathlib.Path(__file__).parent.glob("*.sql"))
MIGRATIONS = sorted(schema.SQL.glob("[0-9][0-9][0-9]_*.sql"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_pgtap(cluster, database, path, record_property):
    said = system.run("pg_prove", "--verbose", "--failures", "--comments", "--dbname", database, path, env=schema.environment(cluster, database), timeout_s=200)
    n_assertions = len(re.findall(r"^ok \d+", said, re.MULTILINE))
    assert n_assertions, said
    record_property("n_assertions", n_assertions)


@pytest.mark.parametrize("path", MIGRATIONS, ids=[path.stem for path in MIGRATIONS])
def test_every_migration_has_its_pgtap_file(path):
    assert path.name in {file.name for file in FILES}
