# SPDX-License-Identifier: ISC
"""Annotated writes of real client libraries: prepared statements, pipelines, binary uuids, executemany, COPY, ids that come back."""

import asyncio
import uuid

import asyncpg
import psycopg
import psycopg2
import pytest

from harness import schema
from harness.entities import EMPTY, make_database, note, notes, rows
from harness.proxy import Proxy


@pytest.fixture(scope="module")
def database(cluster):
    name = make_database(cluster)
    yield name
    schema.drop(cluster, name)


@pytest.fixture(scope="module", params=("transaction", "session"))
def proxy(request, cluster, program):
    running = Proxy(cluster, program, users={"app": "annotations=all"}, pool_mode=request.param)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def clean(cluster, database):
    cluster.run(EMPTY, database)


def in_step(cluster, database, n_rows):
    written = rows(cluster, database)
    assert len(written) == n_rows
    assert notes(cluster, database, "item") == written


RETURNING = note("item", "INSERT INTO items (name) VALUES (%s) RETURNING id")
NAMED = note("item:$1", "INSERT INTO items (id, name) VALUES (%s, %s)")


def connect(proxy, database, **kwargs):
    return psycopg.connect(host=proxy.host, port=proxy.port, dbname=database, user="app", sslmode="disable", **kwargs)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("autocommit", [False, True])
def test_psycopg3(cluster, database, proxy, autocommit, binary):
    with connect(proxy, database, autocommit=autocommit, prepare_threshold=2) as connection:
        with connection.cursor(binary=binary) as cursor:
            for n in range(8):
                returned = cursor.execute(RETURNING, (f"name {n}",), binary=binary).fetchone()[0]
                assert isinstance(returned, uuid.UUID)
                cursor.execute(NAMED, (uuid.uuid4(), "x"), binary=binary)
            cursor.executemany(NAMED, [(uuid.uuid4(), f"many {n}") for n in range(10)])
            cursor.executemany(RETURNING, [(f"many {n}",) for n in range(10)], returning=True)
            with cursor.copy(note("item", "COPY items (id, name) FROM STDIN")) as copy:
                for n in range(10):
                    copy.write_row((uuid.uuid4(), f"copy {n}"))
    in_step(cluster, database, 46)


def test_psycopg3_pipeline_and_savepoints(cluster, database, proxy):
    with connect(proxy, database) as connection:
        with connection.pipeline():
            for n in range(10):
                connection.execute(RETURNING, (f"pipe {n}",))
                connection.execute(NAMED, (uuid.uuid4(), "x"))
        connection.commit()
        with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute(RETURNING, ("gone",))
            connection.execute("SELECT 1/0")
        with connection.transaction():
            connection.execute(RETURNING, ("stays",))
            with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
                connection.execute(NAMED, (uuid.uuid4(), "gone"))
                connection.execute("SELECT 1/0")
    in_step(cluster, database, 21)


def test_psycopg2(cluster, database, proxy):
    connection = proxy.connect(database)
    for autocommit in (True, False):
        connection.autocommit = autocommit
        with connection.cursor() as cursor:
            cursor.execute(RETURNING, ("x",))
            entity = str(uuid.uuid4())
            cursor.execute(note("item:" + entity, "INSERT INTO items (id) VALUES (%s)"), (entity,))
            with pytest.raises(psycopg2.errors.InvalidTextRepresentation):
                cursor.execute(note("item:x", "SELECT 1"))
        connection.rollback()
    connection.close()
    in_step(cluster, database, 2)


def test_asyncpg(cluster, database, proxy):
    async def work():
        connection = await asyncpg.connect(host=proxy.host, port=proxy.port, database=database, user="app", ssl=False)
        returning, named = RETURNING.replace("%s", "$1"), NAMED.replace("%s, %s", "$1, $2")
        for n in range(5):
            assert isinstance(await connection.fetchval(returning, f"name {n}"), uuid.UUID)
            await connection.execute(named, uuid.uuid4(), "x")
        await connection.executemany(named, [(uuid.uuid4(), f"many {n}") for n in range(10)])
        async with connection.transaction():
            await connection.executemany(named, [(uuid.uuid4(), f"more {n}") for n in range(10)])
            with pytest.raises(asyncpg.UniqueViolationError):
                async with connection.transaction():
                    entity = uuid.uuid4()
                    await connection.execute(named, entity, "gone")
                    await connection.execute(named, entity, "gone")
            async for _ in connection.cursor(note("item", "INSERT INTO items (name) SELECT 'cursor' FROM generate_series(1, 20) RETURNING id"), prefetch=7):
                pass
        await connection.close()

    asyncio.run(asyncio.wait_for(work(), 120))
    in_step(cluster, database, 50)
