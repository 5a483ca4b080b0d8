# SPDX-License-Identifier: ISC
"""asyncpg as its documentation shows it."""

import asyncio
import datetime
import decimal
import ipaddress
import json
import uuid

import asyncpg

from steps import SCHEMA, run, scaled, step

UTC = datetime.timezone.utc


def settings(**more):
    return {"ssl": False, "server_settings": {"search_path": f"{SCHEMA},public", "application_name": "asyncpg suite"}, **more}


class connected:
    def __init__(self, **more):
        self.more = more

    async def __aenter__(self):
        self.connection = await asyncpg.connect(**settings(**self.more))
        return self.connection

    async def __aexit__(self, *exc):
        await self.connection.close()


async def told(awaitable):
    try:
        await awaitable
    except asyncpg.PostgresError as error:
        return [type(error).__name__, error.sqlstate, str(error), error.detail, error.hint, getattr(error, "constraint_name", None)]
    raise AssertionError("no error came")


def plain(records):
    return [dict(record) for record in records]


@step("plain", "tables")
async def _():
    async with connected() as connection:
        tags = [await connection.execute("CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, amount numeric CHECK (amount >= 0)); CREATE TYPE pair AS (a int, b text); CREATE TYPE mood AS ENUM ('sad', 'glad')"),
                await connection.execute("INSERT INTO items SELECT n, 'name ' || n, n FROM generate_series(1, $1::int) n", 40)]
        await connection.executemany("UPDATE items SET amount = $2 WHERE id = $1", [(n, decimal.Decimal(n) / 4) for n in range(1, 41)])
        return tags, await connection.fetchval("SELECT sum(amount) FROM items")


@step("plain", "types there and back")
async def _():
    async with connected() as connection:
        values = (1, 2.5, "é'\\", True, None, b"\x00\xff", decimal.Decimal("1.10"), datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3, 4, 5, 6, UTC), datetime.timedelta(days=1, seconds=7), uuid.UUID(int=170),
                  ["a", 'b"c', None], [[1, 2], [3, 4]], ipaddress.ip_interface("10.0.0.1/8"), '{"a": 1}', asyncpg.Range(1, 5))
        casts = "int8 float8 text bool int bytea numeric date timestamptz interval uuid text[] int[] inet jsonb int4range".split()
        row = await connection.fetchrow("SELECT " + ", ".join(f"${n}::{cast} AS c{n}" for n, cast in enumerate(casts, 1)), *values)
        return tuple(row) == values, tuple(row)


@step("plain", "types of the database's own")
async def _():
    async with connected() as connection:
        await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
        seen = await connection.fetchrow("SELECT ROW(1, 'x')::pair, $1::mood, $2::pair[], '{\"a\": [1]}'::jsonb AS j", "glad", [(1, "x"), (2, None)])
        await connection.reset_type_codec("jsonb", schema="pg_catalog")
        await connection.reload_schema_state()
        return tuple(seen), await connection.fetchval("SELECT '{\"a\": [1]}'::jsonb")


for cache in (100, 3, 0):
    @step("plain", f"the same statements on whichever server is free, cache {cache}")
    async def _(cache=cache):
        async with connected(statement_cache_size=cache) as one, connected(statement_cache_size=cache) as two:
            return [await asyncio.gather(one.fetchval(f"SELECT $1::int + {n % 8}", n), two.fetchval("SELECT name FROM items WHERE id = $1", n)) for n in range(scaled(40, 15))]


@step("plain", "prepared statements")
async def _():
    async with connected() as connection:
        statement = await connection.prepare("SELECT id, name FROM items WHERE id = $1")
        seen = [[str(parameter.name) for parameter in statement.get_parameters()], [attribute.name for attribute in statement.get_attributes()]]
        for n in range(1, 10):
            seen.append(plain(await statement.fetch(n)))
        return seen, (await statement.explain(1))[0]["Plan"]["Node Type"], await statement.fetchval(1, column=1), statement.get_statusmsg()


@step("plain", "transactions")
async def _():
    async with connected() as connection:
        seen = []
        async with connection.transaction():
            await connection.execute("INSERT INTO items VALUES (100, 'outer')")
            try:
                async with connection.transaction():
                    await connection.execute("INSERT INTO items VALUES (100, 'taken')")
            except asyncpg.UniqueViolationError as error:
                seen.append(error.constraint_name)
            async with connection.transaction():
                await connection.execute("INSERT INTO items VALUES (101, 'inner')")
        transaction = connection.transaction(isolation="serializable", readonly=True, deferrable=True)
        await transaction.start()
        seen.append(await connection.fetchval("SHOW transaction_isolation"))
        seen.append(await told(connection.execute("DELETE FROM items")))
        await transaction.rollback()
        return seen, plain(await connection.fetch("DELETE FROM items WHERE id >= 100 RETURNING id"))


@step("plain", "errors leave the connection usable")
async def _():
    async with connected() as connection:
        seen = []
        for query, values in [("SELEC 1", ()), ("SELECT 1 / $1::int", (0,)), ("SELECT * FROM no_such_table", ()), ("INSERT INTO items VALUES (1, $1)", (None,)), ("INSERT INTO items VALUES ($1, 'taken')", (1,)),
                              ("SELECT $1::text::int", ("no number",)), ("SELECT 1; SELECT 1/0", ()), ("DO $$ BEGIN RAISE EXCEPTION 'raised' USING HINT = 'the hint'; END $$", ())]:
            seen += [await told(connection.execute(query, *values)), await connection.fetchval("SELECT $1::int", len(seen))]
        try:
            await connection.fetchval("SELECT $1::int", "no number")
        except asyncpg.DataError as error:
            seen.append(str(error))
        return seen, await told(connection.executemany("INSERT INTO items VALUES ($1, 'x')", [(300,), (1,), (301,)])), await connection.fetchval("SELECT count(*) FROM items WHERE id >= 300")


@step("plain", "cursors")
async def _():
    async with connected() as connection, connection.transaction():
        cursor = await connection.cursor("SELECT n FROM generate_series(1, $1::int) n", 50)
        seen = [plain(await cursor.fetch(3)), await cursor.forward(10), plain([await cursor.fetchrow()])]
        seen.append([record["n"] async for record in connection.cursor("SELECT generate_series(1, 30) AS n", prefetch=7)])
        return seen, len(await cursor.fetch(100))


@step("plain", "COPY")
async def _():
    async with connected() as connection:
        await connection.execute("CREATE TABLE copied (n int, t text, at timestamptz)")
        n = scaled(2000, 200)
        records = [(i, f"row {i}" if i % 7 else None, datetime.datetime(2026, 1, 2, tzinfo=UTC)) for i in range(n)]
        seen, received = [await connection.copy_records_to_table("copied", records=records) == f"COPY {n}"], bytearray()

        async def take(data):
            received.extend(data)

        seen.append(await connection.copy_from_query("SELECT n, t FROM copied WHERE n < $1 ORDER BY n", 20, output=take, format="csv"))

        async def source():
            yield b"1,one\n"
            yield b"no number,x\n"

        seen.append(await told(connection.copy_to_table("copied", source=source(), columns=["n", "t"], format="csv")))

        async def broken():
            yield b"1,one\n"
            raise ValueError("changed my mind")

        try:
            await connection.copy_to_table("copied", source=broken(), columns=["n", "t"], format="csv")
        except ValueError as error:
            seen.append(str(error))
        return seen, bytes(received), await connection.fetchval("SELECT count(*) = $1 FROM copied", n)


@step("plain", "timeouts and tasks that are cancelled")
async def _():
    async with connected(command_timeout=60) as connection:
        seen = []
        try:
            await connection.fetch("SELECT pg_sleep(60)", timeout=0.2)
        except asyncio.TimeoutError:
            seen.append(await connection.fetchval("SELECT 1"))
        task = asyncio.ensure_future(connection.execute("SELECT pg_sleep(60)"))
        await asyncio.sleep(0.2)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            seen.append(await connection.fetchval("SELECT 2"))
        return seen


@step("plain", "a pool")
async def _():
    async def one(pool, n):
        async with pool.acquire() as connection, connection.transaction():
            # A pool runs RESET ALL amid others when a connection comes back: its search_path is that of the login again.
            return await connection.fetchval("SELECT $1::int * 2", n), await connection.fetchval("SELECT name FROM items WHERE id = $1", n % 40)
    async with asyncpg.create_pool(**settings(min_size=2, max_size=3, max_queries=20)) as pool:
        seen = await asyncio.gather(*(one(pool, n) for n in range(scaled(100, 20))))
        return seen, await pool.fetchval("SELECT 42")


@step("plain", "notices and settings")
async def _():
    heard = []
    async with connected() as connection, connected() as other:
        connection.add_log_listener(lambda _, message: heard.append((message.sqlstate, str(message))))
        await connection.execute("DROP TABLE IF EXISTS nothing_such")
        await connection.execute("SET work_mem = '7MB'")
        seen = [(await connection.fetchval("SHOW work_mem"), await other.fetchval("SHOW work_mem")) for _ in range(4)]
        await asyncio.sleep(0)
        await connection.reset()
        return seen, heard, await connection.fetchval("SHOW work_mem")


@step("session", "LISTEN and NOTIFY")
async def _():
    async with connected() as connection, connected() as other:
        heard, there = [], asyncio.Event()

        def hear(_connection, _pid, _channel, payload):
            heard.append(payload)
            there.set()

        await connection.add_listener(f"{SCHEMA} news", hear)
        for n in range(5):
            await other.execute("SELECT pg_notify($1, $2)", f"{SCHEMA} news", f"payload {n}")
        while len(heard) < 5:
            await asyncio.wait_for(there.wait(), 30)
            there.clear()
        await connection.remove_listener(f"{SCHEMA} news", hear)
        await other.execute("SELECT pg_notify($1, 'unheard')", f"{SCHEMA} news")
        return heard, await connection.fetchval("SELECT 42")


@step("session", "temporary tables")
async def _():
    async with connected() as connection:
        await connection.execute("CREATE TEMP TABLE mine (n int)")
        await connection.copy_records_to_table("mine", records=[(1,), (2,)])
        seen = plain(await connection.fetch("SELECT n FROM mine ORDER BY n"))
        await connection.execute("DROP TABLE mine")
        return seen


run()
