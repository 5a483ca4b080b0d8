# SPDX-License-Identifier: ISC
"""asyncpg: binary protocol, a prepared statement for everything, its own cancel and reset."""

import asyncio
import datetime

import asyncpg
import pytest

from harness.traffic import scaled


def drive(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 120))


async def connect(proxy, **kwargs):
    return await asyncpg.connect(host=proxy.host, port=proxy.port, database="app", user="app", ssl=False, **kwargs)


def test_types_and_transactions(shared):
    async def work():
        connection = await connect(shared)
        row = await connection.fetchrow("SELECT $1::int AS i, $2::text AS t, $3::timestamptz AS at", 1, "é", datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc))
        assert tuple(row) == (1, "é", datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc))
        async with connection.transaction():
            await connection.execute("CREATE TEMP TABLE asyncpg_rows (n int) ON COMMIT DROP")
            await connection.executemany("INSERT INTO asyncpg_rows VALUES ($1)", [(i,) for i in range(1000)])
            assert await connection.fetchval("SELECT sum(n) FROM asyncpg_rows") == 999 * 500
            with pytest.raises(asyncpg.DivisionByZeroError):
                async with connection.transaction():
                    await connection.fetch("SELECT 1/0")
            assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    drive(work())


def test_cursor(shared):
    async def work():
        connection = await connect(shared)
        async with connection.transaction():
            total = 0
            async for record in connection.cursor("SELECT generate_series(1, 1050) AS n", prefetch=100):
                total += record["n"]
            assert total == 1050 * 1051 // 2
        await connection.close()
    drive(work())


def test_copy(shared):
    async def work():
        connection = await connect(shared)
        await connection.execute("CREATE TABLE asyncpg_copy (n int, t text)")
        await connection.copy_records_to_table("asyncpg_copy", records=[(i, f"row {i}") for i in range(5000)])
        received = bytearray()

        async def take(data):
            received.extend(data)

        await connection.copy_from_query("SELECT n FROM asyncpg_copy ORDER BY n", output=take)
        assert received.decode() == "".join(f"{i}\n" for i in range(5000))
        await connection.execute("DROP TABLE asyncpg_copy")
        await connection.close()
    drive(work())


def test_timeout_cancels_and_the_connection_lives(shared):
    async def work():
        connection = await connect(shared)
        with pytest.raises(asyncio.TimeoutError):
            await connection.execute("SELECT pg_sleep(60)", timeout=0.3)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
    drive(work())


def test_pool_over_few_servers(start):
    """A pool of connections whose prepared statements are answered by whichever server is free; resets between uses."""
    proxy = start(lanes={"default": 3})

    async def work():
        pool = await asyncpg.create_pool(host=proxy.host, port=proxy.port, database="app", user="app", ssl=False, min_size=20, max_size=20)

        async def one(i):
            async with pool.acquire() as connection:
                assert await connection.fetchval("SELECT $1::int * 2", i) == i * 2
                async with connection.transaction():
                    await connection.execute("SELECT set_config('my.asyncpg', $1, true)", str(i))
                    assert await connection.fetchval("SELECT current_setting('my.asyncpg')") == str(i)

        await asyncio.gather(*(one(i) for i in range(scaled(400, 80))))
        await pool.close()
    drive(work())


def test_statement_cache_turns_over(start):
    proxy = start(lanes={"default": 2}, max_prepared_statements=10)

    async def work():
        connections = [await connect(proxy, statement_cache_size=5) for _ in range(4)]
        for n in range(scaled(100, 30)):
            values = await asyncio.gather(*(connection.fetchval(f"SELECT {n % 15} + $1::int", n) for connection in connections))
            assert values == [n % 15 + n] * 4
        for connection in connections:
            await connection.close()
    drive(work())


def test_introspection_of_unusual_types(shared):
    """asyncpg asks the catalog about types it does not know, with prepared statements of its own."""
    async def work():
        connection = await connect(shared)
        await connection.execute("DROP TYPE IF EXISTS asyncpg_pair; CREATE TYPE asyncpg_pair AS (a int, b text)")
        assert tuple(await connection.fetchval("SELECT ROW(1, 'x')::asyncpg_pair")) == (1, "x")
        await connection.execute("DROP TYPE asyncpg_pair")
        await connection.close()
    drive(work())


def test_scram(start):
    proxy = start(auth_type="scram-sha-256")

    async def work():
        connection = await connect(proxy, password="app-secret")
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await connect(proxy, password="wrong")
    drive(work())
