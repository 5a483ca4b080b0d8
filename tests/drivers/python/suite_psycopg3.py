# SPDX-License-Identifier: ISC
"""psycopg 3 as its documentation shows it: both protocols of values, prepared statements, pipelines, two-phase commit, async."""

import asyncio
import datetime
import decimal
import ipaddress
import uuid

import psycopg
from psycopg.rows import dict_row, namedtuple_row
from psycopg.types.json import Json, Jsonb

from steps import OPTIONS, SCHEMA, fault, in_thread, run, scaled, step, told, until_over

SETTINGS = {"options": OPTIONS, "application_name": "psycopg suite"}
UTC = datetime.timezone.utc
VALUES = (1, 2.5, "é'\\", True, None, b"\x00\x01\xff", decimal.Decimal("1.10"), datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3, 4, 5, 6, UTC), datetime.datetime(2026, 1, 2, 3, 4, 5),
          datetime.timedelta(days=1, seconds=7), uuid.UUID(int=170), ["a", 'b"c', None], [1, 2, 3], ipaddress.ip_address("10.0.0.1"))
CASTS = "int8 float8 text bool int bytea numeric date timestamptz timestamp interval uuid text[] int[] inet".split()


def connect(**more):
    return psycopg.connect("", **{**SETTINGS, **more})


@step("plain", "tables")
def _():
    with connect(autocommit=True) as connection:
        connection.execute("CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, amount numeric CHECK (amount >= 0))")
        return connection.execute("INSERT INTO items SELECT n, 'name ' || n, n FROM generate_series(1, 40) n").statusmessage


for binary in (False, True):
    @step("plain", f"types there and back, binary {binary}")
    def _(binary=binary):
        with connect() as connection:
            parameter = "%b" if binary else "%t"
            query = "SELECT " + ", ".join(f"{parameter}::{cast}" for cast in CASTS)
            row = connection.execute(query, VALUES, binary=binary).fetchone()
            extra = connection.execute("SELECT %s::json, %s::jsonb, '[1,5)'::int4range, ROW(1, 'x'), '{{1,2},{3,NULL}}'::int[]", (Json({"a": [1]}), Jsonb({"b": None})), binary=binary).fetchone()
            return row == VALUES, row, extra


@step("plain", "shapes of rows")
def _():
    with connect() as connection:
        return [connection.cursor(row_factory=factory).execute("SELECT id, name FROM items ORDER BY id LIMIT 2").fetchall() for factory in (dict_row, namedtuple_row)]


for threshold in (None, 0, 3):
    @step("plain", f"the same statements on whichever server is free, threshold {threshold}")
    def _(threshold=threshold):
        with connect(autocommit=True, prepare_threshold=threshold) as one, connect(autocommit=True, prepare_threshold=threshold) as two:
            one.prepared_max = 5
            seen = []
            for n in range(scaled(40, 15)):
                seen.append((one.execute(f"SELECT %s::int + {n % 8}", (n,)).fetchone(), two.execute("SELECT name FROM items WHERE id = %s", (n,)).fetchone()))
            return seen


@step("plain", "transactions and savepoints")
def _():
    seen = []
    with connect() as connection:
        with connection.transaction():
            connection.execute("INSERT INTO items VALUES (100, 'outer')")
            try:
                with connection.transaction("named"):
                    connection.execute("INSERT INTO items VALUES (101, 'inner')")
                    connection.execute("INSERT INTO items VALUES (100, 'taken')")
            except psycopg.errors.UniqueViolation as error:
                seen.append(fault(error))
            with connection.transaction():
                connection.execute("INSERT INTO items VALUES (102, 'inner')")
                with connection.transaction(force_rollback=True):
                    connection.execute("DELETE FROM items")
            with connection.transaction():
                raise psycopg.Rollback()
        seen.append(connection.execute("SELECT id FROM items WHERE id >= 100 ORDER BY id").fetchall())
        connection.execute("DELETE FROM items WHERE id >= 100")
    return seen


@step("plain", "characteristics of transactions")
def _():
    with connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        connection.read_only = connection.deferrable = True
        shown = connection.execute("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), current_setting('transaction_deferrable')").fetchone()
        refused = told(psycopg.errors.ReadOnlySqlTransaction, connection.execute, "DELETE FROM items")
        connection.rollback()
        connection.isolation_level = connection.read_only = connection.deferrable = None
        return shown, refused, connection.execute("SHOW transaction_isolation").fetchone()


@step("plain", "errors leave the connection usable")
def _():
    seen = []
    with connect(autocommit=True) as connection:
        for query, values in [("SELEC 1", None), ("SELECT 1 / %s::int", (0,)), ("SELECT * FROM no_such_table", None), ("INSERT INTO items VALUES (1, %s)", (None,)), ("INSERT INTO items VALUES (%s, 'taken')", (1,)),
                              ("INSERT INTO items VALUES (500, 'x', %s)", (-1,)), ("SELECT %s::text::int", ("no number",)),
                              ("DO $$ BEGIN RAISE EXCEPTION 'raised' USING DETAIL = 'the detail', HINT = 'the hint', ERRCODE = 'P0042'; END $$", None)]:
            seen += [told(psycopg.Error, connection.execute, query, values), connection.execute("SELECT %s::int", (len(seen),)).fetchone(), connection.info.transaction_status.name]
    return seen


@step("plain", "executemany, with rows and without")
def _():
    with connect() as connection, connection.cursor() as cursor:
        cursor.executemany("INSERT INTO items VALUES (%s, %s)", [(n, f"many {n}") for n in range(200, 300)])
        counted = cursor.rowcount
        cursor.executemany("DELETE FROM items WHERE id = %s RETURNING name", [(n,) for n in range(200, 210)], returning=True)
        names = [cursor.fetchone()]
        while cursor.nextset():
            names.append(cursor.fetchone())
        wrong = told(psycopg.errors.UniqueViolation, cursor.executemany, "INSERT INTO items VALUES (%s, 'x')", [(400,), (1,), (401,)])
        connection.rollback()
        return counted, names, wrong, cursor.execute("SELECT count(*) FROM items WHERE id >= 200").fetchone()


@step("plain", "several statements in one string")
def _():
    with connect(autocommit=True) as connection:
        cursor = connection.execute("SELECT 1; SELECT 2, 3 WHERE false; SELECT 'four'")
        results = [(cursor.statusmessage, cursor.fetchall())]
        while cursor.nextset():
            results.append((cursor.statusmessage, cursor.fetchall()))
        return results


@step("plain", "pipelines")
def _():
    with connect(autocommit=True, prepare_threshold=2) as connection:
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", (n,)) for n in range(scaled(200, 50))]
            names = [connection.execute("SELECT name FROM items WHERE id = %s", (n,)) for n in range(20)]
        seen = [[cursor.fetchone()[0] for cursor in cursors], [cursor.fetchone() for cursor in names]]
        with connection.pipeline() as pipeline, connection.transaction():
            connection.execute("INSERT INTO items VALUES (600, 'piped')")
            pipeline.sync()
            connection.execute("UPDATE items SET name = 'twice' WHERE id = 600")
            found = connection.execute("SELECT name FROM items WHERE id = 600")
        seen.append(found.fetchone())
        try:
            with connection.pipeline(), connection.transaction():
                connection.execute("DELETE FROM items WHERE id = 600")
                connection.execute("SELECT 1 / 0")
        except psycopg.errors.DivisionByZero as error:
            seen.append(fault(error))
        return seen, connection.execute("DELETE FROM items WHERE id = 600 RETURNING name").fetchall()


for binary in (False, True):
    @step("plain", f"server-side cursors, binary {binary}")
    def _(binary=binary):
        with connect() as connection:
            with connection.cursor("export", scrollable=True) as cursor:
                cursor.execute("SELECT n FROM generate_series(1, %s::int) n", (50,), binary=binary)
                seen = [cursor.fetchone(), cursor.fetchmany(3)]
                cursor.scroll(-2)
                seen += [cursor.fetchmany(3)]
                cursor.scroll(45, mode="absolute")
                seen += [cursor.fetchall(), cursor.description[0].name]
            return seen, connection.execute("SELECT count(*) FROM pg_cursors").fetchone()


@step("plain", "a stream of rows")
def _():
    with connect() as connection:
        return sum(n for n, in connection.cursor().stream("SELECT n FROM generate_series(1, %s::int) n", (scaled(2000, 200),)))


for how in ("", "WITH (FORMAT BINARY)"):
    @step("plain", f"COPY {how}")
    def _(how=how):
        with connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE copied (n int4, t text, at timestamptz, ia int4[])")
            types = ["int4", "text", "timestamptz", "int4[]"]
            with cursor.copy(f"COPY copied FROM STDIN {how}") as copy:
                copy.set_types(types)
                for n in range(scaled(1000, 100)):
                    copy.write_row((n, f"row\t{n}\né" if n % 7 else None, datetime.datetime(2026, 1, 2, tzinfo=UTC), [n, n]))
            with cursor.copy(f"COPY (SELECT * FROM copied ORDER BY n) TO STDOUT {how}") as copy:
                copy.set_types(types)
                rows = list(copy.rows())
            connection.rollback()
            return len(rows), rows[:3], rows[-1]


@step("plain", "COPY that goes wrong")
def _():
    with connect(autocommit=True) as connection, connection.cursor() as cursor:
        def put(text):
            with cursor.copy("COPY items FROM STDIN") as copy:
                copy.write(text)

        def half():
            with cursor.copy("COPY items (id, name) FROM STDIN") as copy:
                copy.write_row((900, "x"))
                raise ValueError("changed my mind")

        seen = [told(psycopg.Error, put, text) for text in ("no number\tx\t1\n", "1\ttaken\t1\n", "901\n")]
        seen.append(told(psycopg.errors.QueryCanceled, half))
        return seen, cursor.execute("SELECT count(*) FROM items WHERE id >= 900").fetchone()


@step("plain", "notices")
def _():
    heard = []
    with connect(autocommit=True) as connection:
        connection.add_notice_handler(lambda diagnostic: heard.append((diagnostic.severity, diagnostic.sqlstate, diagnostic.message_primary)))
        connection.execute("DROP TABLE IF EXISTS nothing_such")
        connection.execute("DO $$ BEGIN RAISE WARNING 'warned'; END $$")
    return heard


@step("plain", "cancel")
def _():
    with connect(autocommit=True) as connection:
        thread, results = in_thread(lambda: told(psycopg.errors.QueryCanceled, connection.execute, "SELECT pg_sleep(60)"))
        until_over(thread, connection.cancel)
        return results[0][:3]


@step("plain", "two-phase commit")
def _():
    with connect() as connection:
        seen = []
        for n, commit in ((700, True), (701, False)):
            connection.tpc_begin(connection.xid(1, f"{SCHEMA} {n}", "branch"))
            connection.execute("INSERT INTO items VALUES (%s, 'prepared')", (n,))
            connection.tpc_prepare()
            seen.append(connection.info.transaction_status.name)
            connection.tpc_commit() if commit else connection.tpc_rollback()
    connection = connect()
    connection.tpc_begin(f"{SCHEMA} left")
    connection.execute("INSERT INTO items VALUES (702, 'left behind')")
    connection.tpc_prepare()
    connection.close()
    # Found and ended by another connection, as a transaction manager does after a crash.
    with connect() as connection:
        left = [xid for xid in connection.tpc_recover() if str(xid) == f"{SCHEMA} left"]
        connection.rollback()
        for xid in left:
            connection.tpc_commit(xid)
        return seen, len(left), connection.execute("SELECT id FROM items WHERE id >= 700 ORDER BY id").fetchall()


@step("plain", "DEALLOCATE as Rails and PDO send it")
def _():
    """They prepare by Parse and drop by text."""
    with connect(autocommit=True, prepare_threshold=None) as connection:
        raw, seen = connection.pgconn, []
        for name in (b"a1", b"pdo_stmt_00000001"):
            seen.append(raw.prepare(name, b"SELECT $1::int * 2").status)
            seen.append(raw.exec_prepared(name, [b"21"]).get_value(0, 0))
            connection.execute("SELECT 1")
            deallocate = b'DEALLOCATE "a1"' if name == b"a1" else b"DEALLOCATE " + name
            seen += [raw.exec_(deallocate).command_status, raw.exec_prepared(name, [b"21"]).error_message.splitlines()[0], raw.exec_(deallocate).error_message.splitlines()[0]]
            seen.append(raw.prepare(name, b"SELECT $1::int * 3").status)
            seen.append(raw.exec_prepared(name, [b"21"]).get_value(0, 0))
        for everything in (b"DEALLOCATE ALL", b"DISCARD ALL"):
            raw.prepare(b"again", b"SELECT 7")
            seen += [raw.exec_(everything).command_status, raw.exec_prepared(b"again", []).error_message.splitlines()[0], raw.describe_prepared(b"again").error_message.splitlines()[0]]
        # Within a transaction, where a name that is unknown costs the transaction.
        raw.prepare(b"inside", b"SELECT 7")
        seen += [[result.command_status or result.error_message.splitlines()[0] for result in (raw.exec_(text) for text in (b"BEGIN", b"DEALLOCATE inside", b"DEALLOCATE inside", b"SELECT 1", b"ROLLBACK"))]]
        seen.append(raw.prepare(b"inside", b"SELECT 8").status)
        return seen, raw.exec_prepared(b"inside", []).get_value(0, 0)


@step("plain", "settings of a session")
def _():
    with connect(autocommit=True) as connection, connect(autocommit=True) as other:
        connection.execute("SET work_mem = '7MB'; SET TIME ZONE 'Asia/Tokyo'; SET client_encoding = 'LATIN1'")
        seen = []
        for _ in range(4):
            seen.append(connection.execute("SELECT current_setting('work_mem'), 'é', '2026-01-01 00:00+00'::timestamptz").fetchone())
            seen.append(other.execute("SELECT current_setting('work_mem'), 'é', current_setting('TimeZone')").fetchone())
        return seen, connection.info.encoding, connection.info.timezone


@step("plain", "async")
async def _():
    async def one(n):
        async with await psycopg.AsyncConnection.connect("", **SETTINGS) as connection:
            seen = []
            for i in range(scaled(10, 3)):
                async with connection.transaction():
                    cursor = await connection.execute("SELECT name, %s::int FROM items WHERE id = %s", (n, i + 1))
                    seen.append(await cursor.fetchone())
            async with connection.pipeline():
                cursors = [await connection.execute("SELECT %s::int", (i,)) for i in range(10)]
            async with connection.cursor("named") as cursor:
                await cursor.execute("SELECT generate_series(1, 10)")
                seen.append([row async for row in cursor])
            async with connection.cursor() as cursor, cursor.copy("COPY (SELECT generate_series(1, 3)) TO STDOUT") as copy:
                seen.append([bytes(block) async for block in copy])
            return seen, [await cursor.fetchone() for cursor in cursors]
    return await asyncio.gather(*(one(n) for n in range(4)))


@step("session", "LISTEN and NOTIFY")
def _():
    heard = []
    with connect(autocommit=True) as connection, connect(autocommit=True) as other:
        connection.execute(f'LISTEN "{SCHEMA} news"')
        for n in range(5):
            other.execute("SELECT pg_notify(%s, %s)", (f"{SCHEMA} news", f"payload {n}"))
        notifications = connection.notifies()
        for notification in notifications:
            heard.append(notification.payload)
            if len(heard) == 5:
                notifications.close()
        connection.add_notify_handler(lambda notification: heard.append(notification.payload))
        with other.transaction():
            other.execute(f"NOTIFY \"{SCHEMA} news\", 'committed'")
        while len(heard) < 6:
            connection.execute("SELECT 1")
        connection.execute("UNLISTEN *")
        other.execute(f'NOTIFY "{SCHEMA} news"')
        return heard, connection.execute("SELECT 42").fetchone()


@step("session", "temporary tables and cursors with hold")
def _():
    with connect(autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE mine AS SELECT generate_series(1, 5) AS n")
        cursor = connection.cursor("held", withhold=True)
        cursor.execute("SELECT n FROM mine ORDER BY n")
        seen = [cursor.fetchmany(2), cursor.fetchall()]
        cursor.close()
        connection.execute("DROP TABLE mine")
        return seen


run()
