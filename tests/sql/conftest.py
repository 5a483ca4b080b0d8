# SPDX-License-Identifier: ISC
"""Fixtures: databases of the cluster, empty or with the whole schema and the demonstration's rows."""

import itertools

import pytest

from harness import schema

N_EVENTS = 500
numbers = itertools.count(1)


@pytest.fixture
def empty(cluster):
    """The name of an empty database."""
    name = f"empty_{next(numbers)}"
    schema.create(cluster, name)
    yield name
    schema.drop(cluster, name)


@pytest.fixture(scope="session")
def template(cluster):
    """A database with foundation, every migration, demonstration rows and pgTAP, to be copied; nothing else connects to it."""
    name = "template_schema"
    schema.create(cluster, name)
    schema.load(cluster, name, "demo/foundation.sql")
    schema.migrate(cluster, name, "--with", "all")
    schema.load(cluster, name, "demo/data.sql", n=N_EVENTS)
    cluster.run("CREATE EXTENSION pgtap", name)
    return name


@pytest.fixture
def database(cluster, template):
    """The name of a copy of the template, for one test."""
    name = f"schema_{next(numbers)}"
    schema.create(cluster, name, template)
    yield name
    schema.drop(cluster, name)
