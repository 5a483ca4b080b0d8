# SPDX-License-Identifier: ISC
"""psycopg2: the libpq of most Python applications; simple protocol, named cursors, COPY, async mode."""

import io

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import pytest

from harness import system

def test_transactions(shared):
    connection = shared.connect()
    connection.autocommit = False
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE psycopg2_rows (n int, t text)")
        psycopg2.extras.execute_values(cursor, "INSERT INTO psycopg2_rows VALUES %s", [(i, f"row {i}") for i in range(1000)])
    with pytest.raises(psycopg2.errors.DivisionByZero), connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM psycopg2_rows")
        cursor.execute("SELECT 1/0")
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM psycopg2_rows")
        assert cursor.fetchone() == (1000,)
        cursor.execute("DROP TABLE psycopg2_rows")
    connection.close()


def test_named_cursor(shared):
    connection = shared.connect()
    connection.autocommit = False
    with connection, connection.cursor("export") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT generate_series(1, 1050)")
        assert sum(n for n, in cursor) == 1050 * 1051 // 2
    connection.close()


def test_savepoints(shared):
    connection = shared.connect()
    connection.autocommit = False
    with connection, connection.cursor() as cursor:
        cursor.execute("SAVEPOINT s")
        with pytest.raises(psycopg2.errors.SyntaxError):
            cursor.execute("SELEC")
        cursor.execute("ROLLBACK TO SAVEPOINT s")
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
    connection.close()


def test_copy(shared):
    connection = shared.connect()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE psycopg2_copy (n int)")
        cursor.copy_expert("COPY psycopg2_copy FROM STDIN", io.StringIO("".join(f"{i}\n" for i in range(10000))))
        out = io.StringIO()
        cursor.copy_expert("COPY (SELECT * FROM psycopg2_copy ORDER BY n) TO STDOUT", out)
        assert out.getvalue() == "".join(f"{i}\n" for i in range(10000))
        cursor.execute("DROP TABLE psycopg2_copy")
    connection.close()


def test_settings_of_a_session(shared):
    connection = shared.connect()
    connection.set_client_encoding("LATIN1")
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s", ("é",))
        assert cursor.fetchone() == ("é",) and connection.encoding == "LATIN1"
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
    with connection, connection.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        assert cursor.fetchone() == ("repeatable read",)
    connection.close()


def test_cancel(shared, cluster):
    asynchronous = psycopg2.connect(host=shared.host, port=shared.port, dbname="app", user="app", async_=1, sslmode="disable")
    psycopg2.extras.wait_select(asynchronous)
    cursor = asynchronous.cursor()
    cursor.execute("SELECT pg_sleep(60) /* psycopg2 cancel */")
    system.eventually(lambda: asynchronous.poll() != psycopg2.extensions.POLL_OK and cluster.backends("query LIKE '%psycopg2 cancel%' AND state = 'active'"))
    asynchronous.cancel()
    with pytest.raises(psycopg2.errors.QueryCanceled):
        psycopg2.extras.wait_select(asynchronous)
    asynchronous.close()


def test_notices(shared):
    connection = shared.connect()
    with connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN RAISE NOTICE 'noted'; END $$")
    assert any("noted" in notice for notice in connection.notices)
    connection.close()


def test_large_objects_in_a_transaction(shared):
    connection = shared.connect()
    connection.autocommit = False
    with connection:
        large = connection.lobject(0, "wb")
        large.write(b"x" * 300000)
        oid = large.oid
        large.close()
    with connection:
        large = connection.lobject(oid, "rb")
        assert large.read() == b"x" * 300000
        large.unlink()
    connection.close()
