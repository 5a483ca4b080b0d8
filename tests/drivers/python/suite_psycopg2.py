# SPDX-License-Identifier: ISC
"""psycopg2 as its documentation shows it."""

import datetime
import decimal
import io
import select
import uuid

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.pool

from steps import OPTIONS, SCHEMA, fault, in_thread, run, scaled, step, told, until_over

psycopg2.extras.register_uuid()
UTC = datetime.timezone.utc


def connect(autocommit=False, **more):
    connection = psycopg2.connect("", options=OPTIONS, application_name="psycopg2 suite", **more)
    connection.autocommit = autocommit
    return connection


def run_one(connection, query, values=None):
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall() if cursor.description else cursor.statusmessage


@step("plain", "tables")
def _():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, amount numeric CHECK (amount >= 0))")
        psycopg2.extras.execute_values(cursor, "INSERT INTO items VALUES %s", [(n, f"name {n}", n) for n in range(1, 41)], page_size=7)
        psycopg2.extras.execute_batch(cursor, "UPDATE items SET amount = amount + %s WHERE id = %s", [(1, n) for n in range(1, 41)], page_size=9)
        cursor.executemany("DELETE FROM items WHERE id = %s", [(31,), (32,)])
        cursor.execute("SELECT count(*), sum(amount) FROM items")
        return cursor.fetchone()


@step("plain", "types there and back")
def _():
    with connect() as connection:
        values = (1, 2.5, "é'\\", True, None, decimal.Decimal("1.10"), datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 3, 4, 5, 6, UTC), datetime.timedelta(days=1, seconds=7), uuid.UUID(int=170), ["a", 'b"c'],
                  [1, 2, None], psycopg2.extras.NumericRange(1, 5))
        row = run_one(connection, "SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s", values)[0]
        more = run_one(connection, "SELECT %s::jsonb, %s::bytea, %s IN %s", (psycopg2.extras.Json({"a": [1]}), psycopg2.Binary(b"\x00\xff"), 3, (1, 2, 3)))[0]
        return row == values, row, more[0], bytes(more[1]), more[2]


@step("plain", "kinds of cursors")
def _():
    with connect() as connection:
        return [[str(row) for row in run_rows(connection.cursor(cursor_factory=factory))] for factory in (psycopg2.extras.DictCursor, psycopg2.extras.RealDictCursor, psycopg2.extras.NamedTupleCursor)]


def run_rows(cursor):
    cursor.execute("SELECT id, name FROM items ORDER BY id LIMIT 2")
    return cursor.fetchall()


@step("plain", "transactions and savepoints")
def _():
    connection, seen = connect(), []
    with connection:
        run_one(connection, "INSERT INTO items VALUES (100, 'outer')")
        run_one(connection, "SAVEPOINT one")
        seen.append(told(psycopg2.errors.UniqueViolation, run_one, connection, "INSERT INTO items VALUES (100, 'taken')"))
        seen.append(told(psycopg2.errors.InFailedSqlTransaction, run_one, connection, "SELECT 1"))
        run_one(connection, "ROLLBACK TO SAVEPOINT one")
    try:
        with connection:
            run_one(connection, "DELETE FROM items")
            raise ValueError("changed my mind")
    except ValueError:
        pass
    seen.append(run_one(connection, "SELECT count(*) FROM items"))
    connection.rollback()
    connection.set_session(isolation_level="SERIALIZABLE", readonly=True, deferrable=True)
    seen.append(run_one(connection, "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only'), current_setting('transaction_deferrable')"))
    seen.append(told(psycopg2.errors.ReadOnlySqlTransaction, run_one, connection, "DELETE FROM items"))
    connection.rollback()
    connection.set_session(isolation_level="DEFAULT", readonly="DEFAULT", deferrable="DEFAULT", autocommit=True)
    seen.append(run_one(connection, "DELETE FROM items WHERE id = 100 RETURNING name"))
    connection.close()
    return seen


@step("plain", "errors leave the connection usable")
def _():
    connection, seen = connect(autocommit=True), []
    for query in ("SELEC 1", "SELECT 1/0", "SELECT * FROM no_such_table", "INSERT INTO items VALUES (1, NULL)", "INSERT INTO items VALUES (1, 'taken')", "SELECT 1; SELECT 1/0; SELECT 2", "SELECT 'x'::int",
                  "DO $$ BEGIN RAISE EXCEPTION 'raised' USING HINT = 'the hint'; END $$"):
        seen += [told(psycopg2.Error, run_one, connection, query), run_one(connection, "SELECT %s", (len(seen),)), connection.info.transaction_status]
    connection.close()
    return seen


@step("plain", "named cursors")
def _():
    with connect() as connection:
        with connection.cursor("export", scrollable=True) as cursor:
            cursor.itersize = 7
            cursor.execute("SELECT n FROM generate_series(1, 50) n")
            seen = [cursor.fetchone(), cursor.fetchmany(3)]
            cursor.scroll(-2)
            seen.append(cursor.fetchmany(2))
            seen.append([row for row in cursor][-1])
        return seen


@step("plain", "COPY")
def _():
    with connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE copied (n int, t text)")
        text = "".join(f"{n}\trow {n}é\n" for n in range(scaled(3000, 300)))
        cursor.copy_from(io.StringIO(text), "copied")
        out = io.StringIO()
        cursor.copy_to(out, "copied")
        cursor.execute("SAVEPOINT one")
        wrong = told(psycopg2.errors.InvalidTextRepresentation, cursor.copy_expert, "COPY copied FROM STDIN CSV", io.StringIO("no number,x\n"))
        cursor.execute("ROLLBACK TO one")
        return out.getvalue() == text, cursor.rowcount, wrong, run_one(connection, "SELECT 42")


@step("plain", "large objects")
def _():
    connection = connect()
    with connection:
        large = connection.lobject(0, "wb")
        large.write(b"x" * scaled(100000, 10000))
        large.seek(10)
        large.truncate(5000)
        oid = large.oid
        large.close()
    with connection:
        large = connection.lobject(oid, "rb")
        seen = [large.read(3), large.seek(0, 2), large.tell()]
        large.unlink()
    missing = told(psycopg2.Error, connection.lobject, oid, "rb")
    connection.close()
    return seen, missing[2]


@step("plain", "notices and settings")
def _():
    connection = connect(autocommit=True)
    run_one(connection, "DROP TABLE IF EXISTS nothing_such")
    connection.set_client_encoding("LATIN1")
    run_one(connection, "SET work_mem = '7MB'")
    seen = [(run_one(connection, "SELECT 'é', current_setting('work_mem')"), connection.encoding, connection.get_parameter_status("client_encoding")) for _ in range(3)]
    connection.reset()
    seen.append((run_one(connection, "SHOW work_mem"), connection.notices))
    connection.close()
    return seen


@step("plain", "cancel")
def _():
    connection = connect(autocommit=True)
    thread, results = in_thread(lambda: told(psycopg2.errors.QueryCanceled, run_one, connection, "SELECT pg_sleep(60)"))
    until_over(thread, connection.cancel)
    connection.close()
    return results[0][:3]


@step("plain", "two-phase commit")
def _():
    connection, seen = connect(), []
    for n, commit in ((700, True), (701, False)):
        connection.tpc_begin(connection.xid(1, f"{SCHEMA} {n}", "branch"))
        run_one(connection, "INSERT INTO items VALUES (%s, 'prepared')", (n,))
        connection.tpc_prepare()
        connection.tpc_commit() if commit else connection.tpc_rollback()
    seen.append(run_one(connection, "SELECT id FROM items WHERE id >= 700"))
    connection.close()
    return seen


@step("plain", "a pool of threads")
def _():
    pool = psycopg2.pool.ThreadedConnectionPool(1, 3, "", options=OPTIONS)

    def work(n):
        connection = pool.getconn()
        try:
            with connection:
                return [run_one(connection, "SELECT %s, name FROM items WHERE id = %s", (n, i)) for i in range(1, scaled(20, 5))]
        finally:
            pool.putconn(connection)
    threads = [in_thread(lambda n=n: work(n)) for n in range(3)]
    for thread, _ in threads:
        thread.join(60)
    pool.closeall()
    return [results for _, results in threads]


@step("plain", "asynchronous connections")
def _():
    connection = psycopg2.connect("", options=OPTIONS, async_=1)
    psycopg2.extras.wait_select(connection)
    cursor, seen = connection.cursor(), []
    for query in ("SELECT 1", "SELECT 1/0", "SELECT 2"):
        cursor.execute(query)
        try:
            psycopg2.extras.wait_select(connection)
            seen.append(cursor.fetchall())
        except psycopg2.Error as error:
            seen.append(fault(error))
    connection.close()
    return seen


@step("session", "LISTEN and NOTIFY")
def _():
    connection, other, heard = connect(autocommit=True), connect(autocommit=True), []
    run_one(connection, f'LISTEN "{SCHEMA} news"')
    for n in range(5):
        run_one(other, "SELECT pg_notify(%s, %s)", (f"{SCHEMA} news", f"payload {n}"))
    while len(heard) < 5:
        select.select([connection], [], [], 10)
        connection.poll()
        heard += [notify.payload for notify in connection.notifies]
        connection.notifies.clear()
    run_one(connection, f'UNLISTEN "{SCHEMA} news"')
    run_one(other, f'NOTIFY "{SCHEMA} news"')
    seen = run_one(connection, "SELECT 42"), connection.notifies
    connection.close()
    other.close()
    return heard, seen


@step("session", "temporary tables, cursors with hold, PREPARE")
def _():
    connection = connect(autocommit=True)
    run_one(connection, "CREATE TEMP TABLE mine AS SELECT generate_series(1, 5) AS n")
    cursor = connection.cursor("held", withhold=True)
    cursor.execute("SELECT n FROM mine ORDER BY n")
    seen = [cursor.fetchmany(2), cursor.fetchall()]
    cursor.close()
    run_one(connection, "PREPARE one (int) AS SELECT n FROM mine WHERE n = $1")
    seen.append(run_one(connection, "EXECUTE one (%s)", (3,)))
    run_one(connection, "DEALLOCATE one")
    run_one(connection, "DROP TABLE mine")
    connection.close()
    return seen


run()
