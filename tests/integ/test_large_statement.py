# SPDX-License-Identifier: ISC
"""Statements longer than what is inspected, parameters and rows of many megabytes."""

import hashlib

import pytest

from harness import wire
from harness.traffic import memory_limit, scaled

MB = 1 << 20


@pytest.mark.parametrize("megabytes", [1, 3, 16])
def test_simple_statement(shared, megabytes):
    literal = "x" * (megabytes * MB)
    with shared.client() as client:
        assert client.query(f"SELECT length('{literal}')").value == str(len(literal))
        assert client.query("SELECT 1").value == "1"


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_at_the_inspect_limit(start, extra):
    proxy = start(inspect_limit=65536)
    with proxy.client() as client:
        frame = len(wire.query("SELECT ''"))
        for around in (65536, 65536 + 5, 65536 - 5):
            literal = "y" * (around - frame + extra)
            assert client.query(f"SELECT '{literal}'").value == literal


def test_prepared_statement(shared):
    literal = "x" * (2 * MB)
    with shared.client() as client:
        prepared = client.exchange(wire.parse("long", f"SELECT length('{literal}') + $1"))
        assert prepared.kinds == "1Z"
        for i in range(3):
            assert client.exchange(wire.bind("", "long", [i]), wire.execute()).value == str(len(literal) + i)


@pytest.mark.parametrize("megabytes", [1, 8, 64])
def test_parameter(shared, megabytes):
    value = b"p" * scaled(megabytes * MB, MB)
    with shared.client() as client:
        result = client.extended("SELECT md5($1)", [value], types=[25])
        assert result.value == hashlib.md5(value).hexdigest()


def test_several_large_statements_in_a_transaction(shared):
    with shared.client() as client:
        client.query("BEGIN")
        for n in (MB, 2 * MB, 3 * MB):
            assert client.query(f"SELECT length('{'x' * n}')").value == str(n)
        assert client.query("COMMIT").status == "I"


@pytest.mark.parametrize("megabytes", [8, 64])
def test_row(shared, megabytes):
    length = scaled(megabytes * MB, MB)
    with shared.client() as client:
        assert client.query(f"SELECT repeat('r', {length})").value == "r" * length


def test_large_statement_as_the_first_of_a_deferred_transaction(shared):
    with shared.client() as client:
        client.send(wire.query("BEGIN"), wire.query(f"SELECT length('{'x' * (3 * MB)}')"), wire.query("COMMIT"))
        assert client.result().status == "T"
        assert client.result().value == str(3 * MB)
        assert client.result().status == "I"


def test_client_that_leaves_in_the_middle_of_a_statement(shared):
    """Half of a large statement never reaches anybody else."""
    for _ in range(5):
        with shared.client() as client:
            client.send(wire.query(f"SELECT '{'x' * (4 * MB)}'")[:3 * MB])
        assert shared.run("SELECT 1") == [(1,)]


def test_memory_does_not_grow_with_each_large_statement(shared):
    statement = f"SELECT length('{'x' * (8 * MB)}')"
    with shared.client() as client:
        client.query(statement)
        before = shared.resident_bytes()
        for _ in range(10):
            assert client.query(statement).value == str(8 * MB)
        assert shared.resident_bytes() - before < memory_limit(24 * MB)
