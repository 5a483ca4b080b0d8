# SPDX-License-Identifier: ISC
"""Vector columns learned from the databases' catalogs: what statements become, when it is read, and what it costs the budget.

pgvector cannot be installed here; a type of the name `vector` with an operator <-> stands in for it: pglane goes by names of types too.
"""

import contextlib
import re
import socket
import threading

import psycopg2
import pytest

from harness import system, wire

VECTORS = """
CREATE TYPE vector AS (x float8, y float8);
CREATE FUNCTION distance(vector, vector) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT sqrt(($1.x - $2.x)^2 + ($1.y - $2.y)^2)';
CREATE OPERATOR <-> (LEFTARG = vector, RIGHTARG = vector, FUNCTION = distance);
CREATE TABLE items (id int PRIMARY KEY, v vector, place geometry);
CREATE TABLE notes (id int PRIMARY KEY, v text, embedding text);
INSERT INTO items SELECT n, (n, n)::vector, ST_Point(n, n) FROM generate_series(1, 20) n;
"""
GONE = "DROP TABLE IF EXISTS items, notes, later, many; DROP TYPE IF EXISTS vector CASCADE; DROP TYPE IF EXISTS halfvec CASCADE"
NEAREST = "SELECT id FROM items ORDER BY v <-> (SELECT v FROM items WHERE id = 3) LIMIT 1"


@pytest.fixture
def vectors(cluster):
    """The database app has vectors; other has none."""
    cluster.run(GONE, "app")
    cluster.run(VECTORS, "app")
    cluster.run("GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC", "app")
    yield cluster
    cluster.run(GONE, "app")


@pytest.fixture
def learning(start, vectors):
    def starter(**settings):
        return start(**{"catalog_period": "60s", "catalog_user": "app", "server_login_retry": "100ms", **settings})
    return starter


def known(console, database="app"):
    """Columns that are known, and what is wrong."""
    rows = [row for row in console.show("CATALOG") if row["database"] == database]
    return {f"{row['schema']}.{row['table']}.{row['column']}": row["type"] for row in rows if row["column"]}, {row["problem"] for row in rows}


def knows(console, *columns, database="app"):
    system.eventually(lambda: set(columns) <= set(known(console, database)[0]), 20, f"{columns} of {database} to be known")


def route(console, sql, database="app"):
    on = f"ON {database} " if database else ""
    return {row["key"]: row["value"] for row in console.run(f"EXPLAIN ROUTE {on}{sql}")}["class"]


def n_statements(console, query_class="vector"):
    return next(row["statements"] for row in console.show("CLASSES") if row["class"] == query_class)


def is_open(connection):
    """Has the other side not closed it?"""
    connection.setblocking(False)
    try:
        while connection.recv(4096):
            pass
        return False
    except BlockingIOError:
        return True


def readers(cluster):
    return cluster.backends("application_name = 'pglane catalog'")


def test_a_columns_type_decides(learning, vectors):
    proxy = learning()
    with proxy.console() as console:
        knows(console, "public.items.v")
        assert known(console) == ({"public.items.v": "public.vector"}, {None})
        told = {row["key"]: row["value"] for row in console.run("EXPLAIN ROUTE ON app SELECT 1")}["catalog"]
        assert re.fullmatch(r"1 vector column, \d+ that only looks? like one", told), "as SHOW CATALOG has them"
        assert route(console, NEAREST) == "vector"
        assert route(console, "SELECT id FROM items i ORDER BY $1 <-> i.v") == "vector"
        assert route(console, "SELECT id FROM notes ORDER BY v <-> $1") == "default"
        assert route(console, "SELECT id FROM notes ORDER BY embedding <-> $1") == "default"
        assert route(console, "SELECT n.id FROM notes n, items i ORDER BY n.v <-> $1") == "default"
        assert route(console, "SELECT n.id FROM notes n, items i ORDER BY i.v <-> $1") == "vector"
        assert route(console, "SELECT id FROM items ORDER BY place <-> ST_Point(1, 2)") == "default"
        # Without a database nothing is known, as in one whose catalog was not read.
        assert route(console, NEAREST, None) == route(console, NEAREST, "nowhere") == "default"
        before = n_statements(console)
        assert proxy.run(NEAREST) == [(3,)]
        assert proxy.run("SELECT id FROM items ORDER BY place <-> ST_Point(4, 4) LIMIT 1") == [(4,)]
        assert n_statements(console) == before + 1
        with proxy.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET pglane.class = 'training'")
            cursor.execute(NEAREST)
        assert n_statements(console) == before + 1


def test_every_kind_of_vector(learning, vectors):
    """Domains, other types of pgvector's, views, partitions, bit strings with an index of its access methods."""
    vectors.run("""
        CREATE TYPE halfvec AS (x real);
        CREATE DOMAIN unit_vector AS vector; CREATE DOMAIN small_unit_vector AS unit_vector;
        CREATE TABLE many (id int, h halfvec, d unit_vector, dd small_unit_vector, b bit(8), c bit(8), "Quoted" vector) PARTITION BY LIST (id);
        CREATE TABLE many_1 PARTITION OF many FOR VALUES IN (1);
        CREATE VIEW many_view AS SELECT h AS shown FROM many;
        CREATE ACCESS METHOD hnsw TYPE INDEX HANDLER brinhandler;
        CREATE OPERATOR CLASS bit_ops DEFAULT FOR TYPE bit USING hnsw AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
            FUNCTION 1 brin_minmax_opcinfo(internal), FUNCTION 2 brin_minmax_add_value(internal, internal, internal, internal),
            FUNCTION 3 brin_minmax_consistent(internal, internal, internal), FUNCTION 4 brin_minmax_union(internal, internal, internal);
        CREATE INDEX ON many_1 USING hnsw (b)""", "app")
    try:
        with learning().console() as console:
            knows(console, "public.many.h", "public.many_1.b")
            columns, _ = known(console)
            assert {name for name in columns if name.startswith("public.many.")} == {f"public.many.{name}" for name in ("h", "d", "dd", "Quoted")}
            assert columns["public.many_1.b"] == "bit(8)" and columns["public.many_view.shown"] == "public.halfvec" and columns["public.many.dd"] == "public.small_unit_vector"
            assert route(console, "SELECT 1 FROM many_view ORDER BY shown <-> $1") == "vector"
            assert route(console, "SELECT 1 FROM many_1 ORDER BY b <-> $1") == "vector"
            assert route(console, "SELECT 1 FROM many ORDER BY c <-> $1") == "default"
            assert route(console, 'SELECT 1 FROM many ORDER BY "Quoted" <-> $1') == "vector"
            assert route(console, "SELECT 1 FROM many ORDER BY quoted <-> $1") == "default"
    finally:
        vectors.run("DROP VIEW many_view; DROP TABLE many; DROP ACCESS METHOD hnsw CASCADE; DROP TYPE halfvec", "app")


def test_refresh_after_alter_table(learning, vectors):
    """Also a statement that was prepared before has the new class."""
    proxy = learning()
    ask = "SELECT id FROM items ORDER BY w <-> (SELECT w FROM items WHERE id = 1) LIMIT 1"
    with proxy.console() as console, proxy.client() as client:
        knows(console, "public.items.v")
        vectors.run("ALTER TABLE items ADD w vector", "app")
        assert client.exchange(wire.parse("mine", ask)).errors == []
        before = n_statements(console)
        assert client.exchange(wire.bind("", "mine"), wire.execute()).errors == []
        assert n_statements(console) == before and route(console, ask) == "default"
        console.run("REFRESH CATALOG app")
        assert "public.items.w" in known(console)[0] and route(console, ask) == "vector"
        assert client.exchange(wire.bind("", "mine"), wire.execute()).errors == []
        assert n_statements(console) == before + 1
        vectors.run("ALTER TABLE items DROP w, ADD w text", "app")
        console.run("REFRESH CATALOG")
        assert "public.items.w" not in known(console)[0] and route(console, ask) == "default"
        vectors.run("ALTER TABLE items ADD by_reload vector", "app")
        proxy.reload()
        knows(console, "public.items.by_reload")
    assert "database app: 2 vector columns are known" in proxy.log_text()


def test_a_period_is_kept(learning, vectors):
    proxy = learning(catalog_period="1s")
    with proxy.console() as console:
        knows(console, "public.items.v")
        vectors.run("CREATE TABLE later (id int, found_later vector)", "app")
        knows(console, "public.later.found_later")
        vectors.run("DROP TABLE later", "app")
        system.eventually(lambda: "public.later.found_later" not in known(console)[0], 20)


def test_databases_are_apart(learning, vectors):
    """other has the same table, with no vectors, and no such type at all: nothing is learned there, and names are guessed."""
    vectors.run("CREATE TABLE items (id int, v text, embedding text)", "other")
    try:
        proxy = learning(databases={"second": "{server} dbname=other"})
        with proxy.console() as console:
            knows(console, "public.items.v")
            system.eventually(lambda: any(row["database"] == "second" and row["refreshed"] for row in console.show("CATALOG")), 20)
            assert known(console, "second") == ({}, {None})
            assert route(console, NEAREST) == "vector" and route(console, NEAREST, "second") == "default"
            assert route(console, "SELECT 1 FROM items ORDER BY embedding <-> $1", "second") == "vector"
    finally:
        vectors.run("DROP TABLE items", "other")


def test_databases_behind_the_star(start, vectors):
    """Read once a client has come, as that client's user when nobody else is set; not before, and not for a user whose password is not known."""
    proxy = start(catalog_period="60s", secrets={"app": "app-secret", "u_other": "md5" + "0" * 32})
    with proxy.console() as console:
        assert "postgres" not in {row["database"] for row in console.show("CATALOG")}
        vectors.run("CREATE TYPE vector AS (x real); CREATE TABLE items (id int, v vector)", "other")
        try:
            with proxy.client(database="other", user="u_other"):
                system.eventually(lambda: known(console, "other")[1] == {"nobody is known who could ask, see catalog_user"}, 20)
                with proxy.client(database="other"):
                    knows(console, "public.items.v", database="other")
            assert proxy.log_text().count("vector columns of other are not read") == 1
        finally:
            vectors.run("DROP TABLE items; DROP TYPE vector", "other")


def test_database_away_and_back(learning, cluster):
    proxy = learning()
    with proxy.console() as console:
        knows(console, "public.items.v")
        cluster.stop()
        try:
            with pytest.raises(psycopg2.Error) as error:
                console.run("REFRESH CATALOG app")
            assert error.value.pgcode == "58000" and "app: " in str(error.value)
            columns, problems = known(console)
            assert "public.items.v" in columns and None not in problems
            assert route(console, NEAREST) == "vector"
            for _ in range(3):
                with pytest.raises(psycopg2.Error):
                    console.run("REFRESH CATALOG")
            assert proxy.log_text().count("vector columns of app cannot be read") == 1
        finally:
            cluster.start()
        # It comes back by itself.
        system.eventually(lambda: known(console) == ({"public.items.v": "public.vector"}, {None}), 30)
        assert "vector columns of app are read again" in proxy.log_text()


def test_who_may_not_connect(learning, cluster):
    """What is wrong is shown and logged; clients are not disturbed; RELOAD with another user puts it right."""
    proxy = learning(catalog_user="u_scram", catalog_password="wrong")
    with proxy.console() as console:
        system.eventually(lambda: "password authentication failed" in str(known(console)[1]), 20)
        assert proxy.run("SELECT 1") == [(1,)]
        assert route(console, NEAREST) == "default" and known(console)[0] == {}
        assert "names are guessed" in proxy.log_text() and "wrong" not in proxy.log_text().replace("authentication failed", "")
        proxy.write(catalog_password="scram secret é")
        proxy.reload()
        knows(console, "public.items.v")
        # Off: all is forgotten, and nothing is read.
        console.run("SET catalog_period = 0")
        system.eventually(lambda: console.show("CATALOG") == [], 20)
        assert route(console, NEAREST) == "default"
        with pytest.raises(psycopg2.Error) as error:
            console.run("REFRESH CATALOG")
        assert "catalog_period is 0" in str(error.value)
        console.run("SET catalog_period = 60")
        knows(console, "public.items.v")


def test_who_may_ask(learning):
    proxy = learning()
    with proxy.console() as console, proxy.console("u_other") as looker:
        knows(console, "public.items.v")
        assert "public.items.v" in known(looker)[0]
        with pytest.raises(psycopg2.Error) as error:
            looker.run("REFRESH CATALOG")
        assert error.value.pgcode == "42501"
        for name in ("nowhere", "pglane"):
            with pytest.raises(psycopg2.Error) as error:
                console.run(f"REFRESH CATALOG {name}")
            assert error.value.pgcode == "58000"


def test_a_paused_database_is_left_alone(learning, cluster):
    proxy = learning(catalog_period="1s")
    with proxy.console() as console:
        knows(console, "public.items.v")
        console.run("PAUSE app")
        system.eventually(lambda: not readers(cluster), 10)
        with pytest.raises(psycopg2.Error) as error:
            console.run("REFRESH CATALOG app")
        assert "app: it is paused" in str(error.value)
        cluster.run("CREATE TABLE later (id int, found_later vector)", "app")
        assert not readers(cluster) and "public.later.found_later" not in known(console)[0]
        console.run("RESUME app")
        knows(console, "public.later.found_later")


@pytest.mark.parametrize("what", ["PAUSE", "PAUSE app"])
def test_a_pause_waits_for_a_reading(start, what):
    """Whoever has PAUSE's answer may drop the database: no connection of pglane's own is left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = start(catalog_period="60s", catalog_user="app", databases={"app": f"host=127.0.0.1 port={listener.getsockname()[1]}"})
        reading, _ = listener.accept()
        done = threading.Event()
        with reading, proxy.console() as pauser, proxy.console() as console:
            thread = threading.Thread(target=lambda: (pauser.run(what), done.set()))
            thread.start()
            paused = (lambda: console.show("STATE")) if what == "PAUSE" else (lambda: console.show("DATABASES"))
            system.eventually(lambda: any(row.get("paused") == 1 or (row.get("key"), row.get("value")) == ("paused", "yes") for row in paused()), 10)
            for _ in range(30):  # rounds of the console over all workers
                finished = done.is_set()
                assert not (finished and is_open(reading)), "a reading is under way"
                console.show("POOLS")
            reading.close()
            assert done.wait(20)
            thread.join(20)
            console.run("RESUME" + what.removeprefix("PAUSE"))


def test_its_connection_is_one_of_the_budget(learning, cluster):
    """It waits its turn for the only permit of its lane, holds nothing between readings, and evicts an idle server like anybody."""
    proxy = learning(lanes={"default": 1}, databases={"second": "{server} dbname=other"})
    with proxy.console() as console, proxy.client() as holder:
        knows(console, "public.items.v")
        system.eventually(lambda: not readers(cluster), 10)
        assert holder.query("BEGIN").errors == [] and holder.query("SELECT 1").errors == []
        done = threading.Event()
        with proxy.console() as asker:
            thread = threading.Thread(target=lambda: (asker.run("REFRESH CATALOG"), done.set()))
            thread.start()
            system.eventually(lambda: console.lane("default")["waiting"] == 1, 10)
            assert not readers(cluster) and not done.is_set()
            assert holder.query("COMMIT").errors == []
            thread.join(20)
            assert done.is_set()
        lane = console.lane("default")
        assert lane["in_use"] == 0 and lane["waiting"] == 0
        system.eventually(lambda: not readers(cluster), 10)


def test_budget_holds_under_refreshes(learning, cluster):
    cluster.end_backends()
    proxy = learning(lanes={"default": 2}, databases={f"more{n}": "{server} dbname=" + ("other" if n % 2 else "app") for n in range(6)})
    stop, peak = threading.Event(), []

    def traffic():
        while not stop.is_set():
            assert proxy.run("SELECT 1") == [(1,)]

    threads = [threading.Thread(target=traffic) for _ in range(3)]
    with proxy.console() as console:
        knows(console, "public.items.v")
        for thread in threads:
            thread.start()
        try:
            for _ in range(10):
                console.run("REFRESH CATALOG")
                budget = console.show("BUDGET")[0]
                assert budget["slots"] <= budget["budget"]
                peak.append(len(cluster.backends()))
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
        assert max(peak) <= budget["budget"]
        for database in ("app", *(f"more{n}" for n in range(6))):
            assert known(console, database)[1] == {None}


def test_more_columns_than_are_kept(learning, cluster):
    cluster.run("CREATE TABLE many (" + ", ".join(f"v{n} vector" for n in range(1100)) + ")", "app")
    with learning().console() as console:
        system.eventually(lambda: len(known(console)[0]) == 1024, 20)
        assert known(console)[1] == {"it has more columns than are kept"}


@pytest.mark.parametrize("how", ["waits", "connects"])
def test_the_end_while_reading(start, vectors, how):
    """pglane ends well while a reading waits for its permit, or for a server that says nothing; who asked is told."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        databases = {"app": f"host=127.0.0.1 port={listener.getsockname()[1]}"} if how == "connects" else None
        proxy = start(catalog_period="60s", catalog_user="app", lanes={"default": 1}, databases=databases)
        if how == "waits":
            holder = stack.enter_context(proxy.client(database="other"))
            holder.query("BEGIN")
            holder.query("SELECT 1")
        asker = proxy.console()
        thread = threading.Thread(target=lambda: pytest.raises(psycopg2.Error, asker.run, "REFRESH CATALOG"))
        thread.start()
        proxy.stop_only()
        thread.join(20)
        assert not thread.is_alive()
