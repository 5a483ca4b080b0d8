# SPDX-License-Identifier: ISC
"""psycopg 3: extended protocol, automatic prepared statements, pipeline mode, server-side cursors, COPY, async."""

import asyncio

import psycopg
import pytest

from harness.traffic import scaled


def connect(proxy, **kwargs):
    return psycopg.connect(host=proxy.host, port=proxy.port, dbname="app", user="app", sslmode="disable", **kwargs)


def test_transactions(shared):
    with connect(shared) as connection:
        with connection.transaction():
            connection.execute("CREATE TABLE psycopg3_rows (n int)")
        with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute("INSERT INTO psycopg3_rows VALUES (1)")
            connection.execute("SELECT 1/0")
        with connection.transaction():
            with pytest.raises(psycopg.errors.SyntaxError), connection.transaction():
                connection.execute("SELEC")
            assert connection.execute("SELECT count(*) FROM psycopg3_rows").fetchone() == (0,)
        connection.execute("DROP TABLE psycopg3_rows")


def test_prepared_statements_across_servers(start):
    """After five executions psycopg prepares by name, keeps 100 names and drops old ones with DEALLOCATE."""
    proxy = start(lanes={"default": 3})
    with connect(proxy, autocommit=True) as one, connect(proxy, autocommit=True) as two:
        one.prepare_threshold = two.prepare_threshold = 0
        one.prepared_max = two.prepared_max = 5
        for n in range(scaled(60, 20)):
            with two.transaction():
                assert two.execute(f"SELECT %s + {n % 12}", (n,)).fetchone() == (n + n % 12,)
                assert one.execute(f"SELECT %s + {n % 12}", (n,)).fetchone() == (n + n % 12,)


@pytest.mark.parametrize("autocommit", [True, False])
def test_pipeline(shared, autocommit):
    with connect(shared, autocommit=autocommit) as connection:
        with connection.pipeline() as pipeline:
            cursors = [connection.execute("SELECT %s::int", (i,)) for i in range(scaled(500, 100))]
            pipeline.sync()
            assert [cursor.fetchone()[0] for cursor in cursors] == list(range(len(cursors)))


def test_pipeline_with_an_error(shared):
    """The error may already be there when the next statement is sent: psycopg raises it from whichever call reads it first, and leaves the
    pipeline then. Later statements are skipped, the connection lives."""
    with connect(shared, autocommit=True) as connection:
        cursors = [connection.cursor() for _ in range(3)]
        with pytest.raises(psycopg.errors.DivisionByZero), connection.pipeline() as pipeline:
            for cursor, statement in zip(cursors, ("SELECT 1", "SELECT 1/0", "SELECT 2")):
                cursor.execute(statement)
            pipeline.sync()
        assert cursors[0].fetchone() == (1,)
        for cursor in cursors[1:]:
            with pytest.raises(psycopg.Error):
                cursor.fetchone()
        assert connection.execute("SELECT 3").fetchone() == (3,)


def test_executemany(shared):
    with connect(shared) as connection:
        connection.execute("CREATE TEMP TABLE psycopg3_many (n int) ON COMMIT DROP")
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO psycopg3_many VALUES (%s)", [(i,) for i in range(500)])
        assert connection.execute("SELECT sum(n) FROM psycopg3_many").fetchone() == (500 * 499 // 2,)
        connection.rollback()


def test_server_side_cursor(shared):
    with connect(shared) as connection, connection.cursor("export") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT generate_series(1, 1050)")
        assert sum(n for n, in cursor) == 1050 * 1051 // 2


def test_copy(shared):
    with connect(shared) as connection:
        connection.execute("CREATE TEMP TABLE psycopg3_copy (n int, t text) ON COMMIT DROP")
        cursor = connection.cursor()
        with cursor.copy("COPY psycopg3_copy FROM STDIN") as copy:
            for i in range(5000):
                copy.write_row((i, f"row\t{i}\n"))
        with cursor.copy("COPY (SELECT * FROM psycopg3_copy ORDER BY n) TO STDOUT") as copy:
            rows = list(copy.rows())
        assert len(rows) == 5000 and rows[-1] == ("4999", "row\t4999\n")
        connection.rollback()


def test_copy_that_fails_in_the_client(shared):
    with connect(shared, autocommit=True) as connection:
        connection.execute("CREATE TABLE psycopg3_failed (n int)")
        with pytest.raises(psycopg.errors.QueryCanceled), connection.cursor().copy("COPY psycopg3_failed FROM STDIN") as copy:
            copy.write_row((1,))
            raise RuntimeError("changed my mind")
        assert connection.execute("SELECT count(*) FROM psycopg3_failed").fetchone() == (0,)
        connection.execute("DROP TABLE psycopg3_failed")


def test_binary_types(shared):
    with connect(shared) as connection:
        cursor = connection.cursor(binary=True)
        value = cursor.execute("SELECT 1::int8, 1.5::float8, '{1,2}'::int[], now(), '\\xdeadbeef'::bytea").fetchone()
        assert value[:3] == (1, 1.5, [1, 2]) and value[4] == b"\xde\xad\xbe\xef"


def test_many_async_connections(start):
    proxy = start(lanes={"default": 5})

    async def one(i):
        connection = await psycopg.AsyncConnection.connect(host=proxy.host, port=proxy.port, dbname="app", user="app", sslmode="disable")
        async with connection:
            for n in range(scaled(10, 3)):
                cursor = await connection.execute("SELECT %s::int, %s::int", (i, n))
                assert await cursor.fetchone() == (i, n)
                await connection.commit()

    async def all_of_them():
        await asyncio.gather(*(one(i) for i in range(50)))

    asyncio.run(all_of_them())


def test_scram_and_tls(start, cluster):
    path = cluster.certificates.path
    proxy = start(auth_type="scram-sha-256", client_tls_sslmode="require", client_tls_cert_file=path("server.crt"), client_tls_key_file=path("server.key"))
    with psycopg.connect(host=proxy.host, port=proxy.port, dbname="app", user="app", password="app-secret", sslmode="require") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
