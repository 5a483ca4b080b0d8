# SPDX-License-Identifier: ISC
"""Write sync: an annotated write is noted by its own transaction, and the client sees what it would have seen without."""

import os
import random
import uuid

import pytest

from harness import schema, system, wire
from harness.entities import EMPTY, make_database, note, notes
from harness.proxy import Proxy
from harness.relay import Relay
from harness.wire import bind, close, copy_data, describe, execute, parse, query

A, B, C, D = (str(uuid.UUID(int=n)) for n in (0xA, 0xB, 0xC, 0xD))
ORGANIZATION = str(uuid.UUID(int=0x0F))
OID_UUID = 2950


@pytest.fixture(scope="module")
def database(cluster):
    """A database with the schema of the outbox and tables whose rows are entities."""
    name = make_database(cluster)
    yield name
    schema.drop(cluster, name)


MODES = ("transaction", "session", "statement")


@pytest.fixture(scope="module")
def proxies(cluster, program, database):
    """pglane in each mode of pooling; made when it is asked for."""
    running = {}

    def of(mode):
        if mode not in running:
            running[mode] = Proxy(cluster, program, users={"app": "annotations=all", "u_other": "annotations=route"}, pool_mode=mode)
        return running[mode]

    yield of
    for proxy in running.values():
        proxy.stop()


@pytest.fixture(params=("transaction", "session"))
def proxy(request, proxies):
    return proxies(request.param)


@pytest.fixture(autouse=True)
def clean(cluster, database):
    cluster.run(EMPTY, database)


def direct(cluster, database):
    return wire.RawClient("127.0.0.1", cluster.port).login(database=database)


def run_steps(client, steps):
    """Each step is a list of messages, sent at once, and answered up to one ReadyForQuery for each Query and Sync in it."""
    seen = []
    for step in steps:
        client.send(*step)
        for message in step:
            if message[:1] in (b"Q", b"S"):
                seen.append(client.receive_until("Z"))
            elif message[:1] == b"H":
                seen.append([])
    return seen


INSERT_A = f"INSERT INTO items (id, name, n) VALUES ('{A}', 'a', 1)"
INSERT_B = f"INSERT INTO items (id, name, n) VALUES ('{B}', 'b', 2)"
INSERT_BOTH = f"INSERT INTO items (id, name, n) VALUES ('{A}', 'a', 1), ('{B}', 'b', 2) RETURNING name, id, n"
INSERT_P = "INSERT INTO items (id, name) VALUES ($1, $2)"
SYNC, FLUSH = wire.SYNC, wire.FLUSH
ITEM_A = note(f"item:{A}", INSERT_A)
ITEM_A_BEHIND = note(f"item:{A}", INSERT_A, at_end=True)
RETURNING = note("item", INSERT_BOTH)
RETURNING_ONE = note("item", f"{INSERT_A} RETURNING id")


def whole(sql, values=(), types=(), statement="", portal="", binary=False):
    return [parse(statement, sql, types), bind(portal, statement, values, binary), describe("P", portal), execute(portal)]


# name: (steps, ids of items that are noted)
SHAPES = {
    "simple": ([[query(ITEM_A)]], [A]),
    "simple, behind": ([[query(ITEM_A_BEHIND)]], [A]),
    "two entities": ([[query(note(f"item:{A}, item:{B}", INSERT_A))]], [A, B]),
    "upper case, no hyphens": ([[query(note("item:" + A.replace("-", "").upper(), INSERT_A))]], [A]),
    "no row": ([[query(note(f"item:{A}", f"UPDATE items SET n = 5 WHERE id = '{A}'"))]], [A]),
    "select": ([[query(note(f"item:{A}", "SELECT 1"))]], [A]),
    "string": ([[query(f"{ITEM_A}; {note(f'item:{B}', INSERT_B)}; SELECT 1")]], [A, B]),
    "string, behind": ([[query(f"{ITEM_A_BEHIND}; SELECT 1; {note(f'item:{B}', INSERT_B, at_end=True)};")]], [A, B]),
    "string that fails": ([[query(f"{ITEM_A}; SELECT 1/0")]], []),
    "fails": ([[query(ITEM_A + " garbage")]], []),
    "block": ([[query("BEGIN")], [query(ITEM_A)], [query("COMMIT")]], [A]),
    "block of two": ([[query("BEGIN")], [query(ITEM_A)], [query(note(f"item:{B}", INSERT_B))], [query("COMMIT")]], [A, B]),
    "block, string": ([[query("BEGIN")], [query(f"{ITEM_A}; {note(f'item:{B}', INSERT_B)}")], [query("COMMIT")]], [A, B]),
    "block, a string that ends it": ([[query("BEGIN")], [query(ITEM_A)], [query("COMMIT; SELECT 1")]], [A]),
    "block, chained": ([[query("BEGIN")], [query(ITEM_A)], [query("COMMIT AND CHAIN")], [query(note(f"item:{B}", INSERT_B))], [query("ROLLBACK")]], [A]),
    "block, two phases": ([[query("BEGIN")], [query(ITEM_A)], [query(f"PREPARE TRANSACTION '{A}'")], [query(f"COMMIT PREPARED '{A}'")]], [A]),
    "block, its own error": ([[query("BEGIN")], [query("SAVEPOINT s")], [query(ITEM_A + " garbage")], [query("ROLLBACK TO s")], [query(note(f"item:{B}", INSERT_B))], [query("COMMIT")]], [B]),
    "block, read by itself": ([[query("BEGIN")], [query(ITEM_A)], [*whole("SELECT 1"), SYNC], [*whole("COMMIT"), SYNC]], [A]),
    "block, ended by a batch without Sync": ([[query("BEGIN")], [query("SELECT 1")], [*whole("COMMIT"), query(ITEM_A)]], [A]),
    "block, ended by a portal": ([[query("BEGIN")], [query("SELECT 1")], [parse("", "COMMIT"), bind("c", ""), SYNC], [query(ITEM_A)], [execute("c"), SYNC]], [A]),
    "block, deferred commit": ([[query("BEGIN")], [query(note(f"item:{A}", "COMMIT"))]], [A]),
    "block rolled back": ([[query("BEGIN")], [query(ITEM_A)], [query("ROLLBACK")]], []),
    "block, rollback annotated": ([[query("BEGIN")], [query(ITEM_A)], [query(note(f"item:{A}", "ROLLBACK"))]], []),
    "savepoint": ([[query("BEGIN")], [query(ITEM_A)], [query("SAVEPOINT s")], [query(note(f"item:{B}", INSERT_B))], [query("ROLLBACK TO s")], [query("COMMIT")]], [A]),
    "savepoint after an error": ([[query("BEGIN")], [query("SAVEPOINT s")], [query(ITEM_A)], [query("SELECT 1/0")], [query(note(f"item:{C}", "SELECT 1"))], [query("ROLLBACK TO s")],
                                 [query(note(f"item:{B}", INSERT_B))], [query("COMMIT")]], [B]),
    "savepoint, its rollback annotated": ([[query("BEGIN")], [query("SAVEPOINT s")], [query("SELECT 1/0")], [query(note(f"item:{A}", "ROLLBACK TO s"))],
                                           [query(note(f"item:{B}", INSERT_B))], [query("COMMIT")]], [B]),
    "failed block, bad annotation": ([[query("BEGIN")], [query("SELECT 1/0")], [query(note("item:zz", "SELECT 1"))], [*whole(note("", "SELECT 1")), SYNC], [query("ROLLBACK")]], []),
    "failed block": ([[query("BEGIN")], [query("SELECT 1/0")], [query(ITEM_A)], [query(note("item", INSERT_BOTH))], [query("COMMIT")]], []),
    "deferred constraint": ([[query(f"{INSERT_A}")], [query(note(f"item:{B}", f"INSERT INTO items (id, n) VALUES ('{B}', 1)"))]], []),
    "deferred constraint in a block": ([[query(INSERT_A)], [query("BEGIN")], [query(note(f"item:{B}", f"INSERT INTO items (id, n) VALUES ('{B}', 1)"))], [query("COMMIT")]], []),
    "extended": ([[*whole(ITEM_A), SYNC]], [A]),
    "extended, parameters": ([[*whole(note("item:$1", INSERT_P), (A, "x"), (OID_UUID, 25)), SYNC]], [A]),
    "extended, binary parameter": ([[parse("", note("item:$1", INSERT_P), (OID_UUID, 25)),
                                     wire.message("B", b"\0\0" + b"\0\2\0\1\0\0" + b"\0\2" + b"\0\0\0\x10" + uuid.UUID(A).bytes + b"\0\0\0\1x" + b"\0\0"), execute(), SYNC]], [A]),
    "prepared": ([[parse("p", note("item:$1", INSERT_P), (OID_UUID, 25)), describe("S", "p"), SYNC], [bind("", "p", (A, "x")), execute(), SYNC], [bind("", "p", (B, "y")), execute(), SYNC],
                  [close("S", "p"), SYNC]], [A, B]),
    "prepared, only described": ([[parse("p", note("item", INSERT_BOTH)), describe("S", "p"), SYNC], [bind("", "p"), describe("P"), SYNC], [close("S", "p"), SYNC]], []),
    "pipeline": ([[*whole(ITEM_A), SYNC, *whole("SELECT 1"), SYNC, *whole(note(f"item:{B}", INSERT_B)), SYNC]], [A, B]),
    "pipeline, one batch": ([[*whole(ITEM_A), *whole("SELECT 1"), *whole(note(f"item:{B}", INSERT_B)), SYNC]], [A, B]),
    "pipeline that fails": ([[*whole(ITEM_A), *whole("SELECT 1/0"), *whole(note(f"item:{B}", INSERT_B)), SYNC, *whole("SELECT 1"), SYNC]], []),
    "pipeline with a block": ([[*whole("BEGIN"), *whole(ITEM_A), *whole("COMMIT"), SYNC]], [A]),
    "named portals": ([[parse("", note(f"item:{A}", "SELECT generate_series(1, 3)")), bind("x", ""), parse("", note(f"item:{B}", "SELECT generate_series(5, 7)")), bind("", ""),
                       execute("x", 2), execute("", 2), execute("x", 2), execute("", 2), SYNC]], [A, B]),
    "unnamed portal behind a named one": ([[parse("", note(f"item:{A}", "SELECT generate_series(1, 3)")), bind("", ""), parse("", note(f"item:{B}", "SELECT generate_series(5, 7)")), bind("x", ""),
                                            execute("", 2), execute("x", 2), execute("", 2), execute("x", 2), SYNC]], [A, B]),
    "execute of SQL": ([[query("BEGIN")], [query(f"PREPARE i AS {INSERT_A}")], [query(note(f"item:{A}", "EXECUTE i"))], [query("DEALLOCATE i")], [query("COMMIT")]], [A]),
    "query behind an open batch": ([[*whole("SELECT 1"), query(ITEM_A)]], [A]),
    # ids in rows
    "returning": ([[query(RETURNING)]], [A, B]),
    "returning, no row": ([[query(note("item", "UPDATE items SET n = 1 RETURNING id"))]], []),
    "returning that fails": ([[query(note("item", INSERT_BOTH.replace("2)", "'x')")))]], []),
    "returning, deferred constraint": ([[query(INSERT_A)], [query(note("item", f"INSERT INTO items (id, n) VALUES ('{B}', 1) RETURNING id"))], [query("SELECT 1")]], []),
    "returning in a block": ([[query("BEGIN")], [query(RETURNING)], [query("COMMIT")]], [A, B]),
    "returning one in a block": ([[query("BEGIN")], [query(RETURNING_ONE)], [query("commit;")]], [A]),
    "returning one in a block, extended commit": ([[query("BEGIN")], [query(RETURNING_ONE)], [*whole("COMMIT;"), SYNC]], [A]),
    "returning one in a block, not committed": ([[query("BEGIN")], [query(RETURNING_ONE)], [parse("c", "COMMIT"), SYNC], [query("ROLLBACK")], [close("S", "c"), SYNC]], []),
    "returning one in a block, more than a commit": ([[query("BEGIN")], [query(RETURNING_ONE)], [query("COMMIT; SELECT 1")]], [A]),
    "returning one in a block, and named ones": ([[query("BEGIN")], [query(ITEM_A)], [query(note("item", f"{INSERT_B} RETURNING id"))], [query("COMMIT;")]], [A, B]),
    "returning one in a block, savepoint": ([[query("BEGIN")], [query("SAVEPOINT s")], [query(RETURNING_ONE)], [query("ROLLBACK TO s")], [query("COMMIT;")]], []),
    "returning in a block, rolled back": ([[query("BEGIN")], [query(RETURNING)], [query("ROLLBACK")]], []),
    "returning, savepoints": ([[query("BEGIN")], [query("SAVEPOINT s")], [query(RETURNING)], [query("ROLLBACK TO s")],
                              [query(note("item", f"INSERT INTO items (id, n) VALUES ('{C}', 9) RETURNING id"))], [query("SAVEPOINT t")], [query("SELECT 1/0")], [query("ROLLBACK TO t")],
                              [query("COMMIT")]], [C]),
    "returning in a string": ([[query(f"SELECT '{C}'::uuid AS id; {RETURNING}; SELECT '{C}'::uuid AS id")]], [A, B]),
    "returning in a string that fails": ([[query(f"{RETURNING}; SELECT 1/0")], [query("SELECT 1")]], []),
    "returning in a string in a block": ([[query("BEGIN")], [query(f"SELECT 1; {RETURNING}; SELECT 2")], [query("COMMIT")]], [A, B]),
    "returning in a string that fails in a block": ([[query("BEGIN")], [query("SAVEPOINT s")], [query(f"{RETURNING}; SELECT 1/0")], [query("ROLLBACK TO s")], [query("SELECT 1")], [query("COMMIT")]], []),
    "returning twice in a string": ([[query(note("item", f"{INSERT_A} RETURNING id") + ";" + note("other,item", f"{INSERT_B} RETURNING *", at_end=True))]], [A, B]),
    "select of ids": ([[query(note("item", f"SELECT '{A}'::text AS id"))]], [A]),
    "extended returning": ([[*whole(RETURNING), SYNC]], [A, B]),
    "extended returning, binary": ([[*whole(RETURNING, binary=True), SYNC]], [A, B]),
    "extended returning, not described": ([[parse("", RETURNING), bind("", ""), execute(), SYNC]], [A, B]),
    "extended returning, deferred constraint": ([[query(INSERT_A)], [*whole(note("item", f"INSERT INTO items (id, n) VALUES ('{B}', 1) RETURNING id")), SYNC], [query("SELECT 1")]], []),
    "extended returning in a block": ([[*whole("BEGIN"), SYNC], [*whole(RETURNING), SYNC], [*whole("COMMIT"), SYNC]], [A, B]),
    "extended returning, pipeline": ([[*whole(note("item", f"{INSERT_A} RETURNING id")), *whole(note("item", f"{INSERT_B} RETURNING id"), binary=True), SYNC, *whole("SELECT 1"), SYNC]], [A, B]),
    "extended returning, pipeline with a block": ([[*whole("BEGIN"), *whole(RETURNING), *whole("COMMIT"), *whole("SELECT 1"), SYNC]], [A, B]),
    "extended returning, pipeline that fails": ([[*whole(RETURNING), *whole("SELECT 1/0"), SYNC, *whole("SELECT 1"), SYNC]], []),
    "extended returning in parts": ([[parse("", RETURNING), bind("x", ""), execute("x", 1), execute("x", 1), execute("x", 1), close("P", "x"), SYNC]], [A, B]),
    "extended returning in parts, unnamed": ([[parse("", RETURNING), bind("", ""), execute("", 1), execute("", 1), execute("", 1), SYNC]], [A, B]),
    "extended returning, only a part": ([[parse("", note("item", "SELECT * FROM (VALUES ('%s'::uuid), ('%s')) v(id)" % (A, B))), bind("x", ""), execute("x", 1), SYNC]], [A]),
    "extended returning, query ends it": ([[*whole(RETURNING), query("SELECT 1")]], [A, B]),
    "prepared returning": ([[parse("p", note("item", "INSERT INTO items (id) VALUES ($1) RETURNING id"), (OID_UUID,)), SYNC], [bind("", "p", (A,)), execute(), SYNC],
                            [bind("", "p", (B,), True), execute(), SYNC], [close("S", "p"), SYNC]], [A, B]),
    # COPY
    "copy": ([[query(note("item", "COPY items (id, n) FROM STDIN")), copy_data(f"{A}\t1\n{B}\t2\n".encode()), wire.COPY_DONE]], [A, B]),
    "copy that fails": ([[query(note("item", "COPY items (id, n) FROM STDIN")), copy_data(f"{A}\tx\n".encode()), wire.COPY_DONE]], []),
    "copy given up": ([[query(note("item", "COPY items (id, n) FROM STDIN")), copy_data(f"{A}\t1\n".encode()), wire.copy_fail("no")]], []),
    "copy, named entity": ([[query(note(f"item:{C}", "COPY items (id, n) FROM STDIN")), copy_data(f"{A}\t1\n".encode()), wire.COPY_DONE]], [C]),
    "copy, extended": ([[parse("", note("item", 'COPY public."items" (id, n) FROM STDIN')), bind("", ""), execute(), copy_data(f"{A}\t1\n".encode()), wire.COPY_DONE, SYNC]], [A]),
    "copy in a block": ([[query(INSERT_B)], [query("BEGIN")], [query("SET CONSTRAINTS ALL IMMEDIATE")], [query(note("item", "COPY items (id, n) FROM STDIN")),
                        copy_data(f"{A}\t1\n".encode()), wire.COPY_DONE], [query("COMMIT")]], [A]),
    "copy rolled back to a savepoint": ([[query("BEGIN")], [query("SAVEPOINT s")], [query(note("item", "COPY items (id, n) FROM STDIN")), copy_data(f"{A}\t1\n".encode()), wire.COPY_DONE],
                                         [query("ROLLBACK TO s")], [query(note(f"item:{B}", INSERT_B))], [query("COMMIT")]], [B]),
}


def comparable(answers):
    """Errors are allowed to differ in their words, not in their SQLSTATE."""
    return [[(kind, wire.error_fields(body)["C"]) if kind == "E" else (kind, body) for kind, body in answer] for answer in answers]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_noted_and_looks_as_without(cluster, database, proxy, shape):
    steps, expected = SHAPES[shape]
    with direct(cluster, database) as client:
        wanted = run_steps(client, steps)
    cluster.run(EMPTY, database)
    with proxy.client(database=database) as client:
        seen = run_steps(client, steps)
        assert comparable(seen) == comparable(wanted)
        assert notes(cluster, database, "item") == sorted(expected)
        assert client.query("SELECT 1").value == "1"


class Counting(Relay):
    """Notes which way bytes go."""

    def __init__(self, port):
        super().__init__(port)
        self.ways = []

    def taken(self, n, limited):
        self.ways.append(limited)
        return super().taken(n, limited)

    def n_round_trips(self):
        """How often PostgreSQL answered what came before."""
        return sum(1 for before, after in zip(self.ways, self.ways[1:]) if after and not before)


def through(relay):
    return {"*": f"host=127.0.0.1 port={relay.port}"}


@pytest.mark.parametrize("mode", ("transaction", "session"))
def test_every_shape_however_the_bytes_come(cluster, database, start, mode):
    """In pieces of any length, both ways between pglane and PostgreSQL."""
    seed = int(os.environ.get("PGLANE_SEED", random.randrange(1 << 30)))
    print(f"PGLANE_SEED={seed}")
    relay = Relay(cluster.port, pieces=random.Random(seed))
    try:
        proxy = start(users={"app": "annotations=all"}, pool_mode=mode, databases=through(relay))
        for shape, (steps, expected) in SHAPES.items():
            cluster.run(EMPTY, database)
            with direct(cluster, database) as client:
                wanted = run_steps(client, steps)
            cluster.run(EMPTY, database)
            with proxy.client(database=database) as client:
                assert comparable(run_steps(client, steps)) == comparable(wanted), shape
            assert notes(cluster, database, "item") == sorted(expected), shape
    finally:
        relay.close()


# what is sent at once, and how often PostgreSQL is waited for
ROUND_TRIPS = {
    "named, simple": ([query(note("item:" + A, "SELECT 1"))], 1),
    "named, extended": ([*whole(note("item:" + A, "SELECT 1")), SYNC], 1),
    "by parameter": ([*whole(note("item:$1", "SELECT $1::uuid"), (A,), (OID_UUID,)), SYNC], 1),
    "ids in rows, simple": ([query(note("item", f"SELECT '{A}'::uuid AS id"))], 2),
    "ids in rows, extended": ([*whole(note("item", f"SELECT '{A}'::uuid AS id")), SYNC], 2),
    "not annotated": ([query("SELECT 1")], 1),
}


@pytest.mark.parametrize("shape", ROUND_TRIPS)
def test_a_named_entity_costs_no_round_trip(cluster, database, start, shape):
    messages, n_round_trips = ROUND_TRIPS[shape]
    relay = Counting(cluster.port)
    try:
        proxy = start(users={"app": "annotations=all"}, workers=1, databases=through(relay))
        with proxy.client(database=database) as client:
            for _ in range(2):  # the second time the server knows our statement, and the client
                relay.ways.clear()
                client.send(*messages)
                assert client.result().errors == []
            assert relay.n_round_trips() == n_round_trips
            if n_round_trips == 2:
                client.query("BEGIN")
                client.query("SELECT 1")
                relay.ways.clear()
                client.send(*messages)
                client.result()
                client.query("COMMIT")
                assert relay.n_round_trips() == (2 if "simple" in shape else 3), "a Query's notes go with the COMMIT"
    finally:
        relay.close()


# ---- what cannot be honoured ----

INSERT_ANY = f"INSERT INTO items (id) VALUES ('{A}')"
# annotation, statement, SQLSTATE; all are refused before anything is written
REFUSED = [
    ("weather:" + A, INSERT_ANY, "22023"),
    ("weather", INSERT_ANY + " RETURNING id", "22023"),
    ("item:1234", INSERT_ANY, "22P02"),
    ("item:", INSERT_ANY, "22P02"),
    ("it em:" + A, INSERT_ANY, "22023"),
    ("", INSERT_ANY, "22023"),
    ("item", INSERT_ANY, "42703"),
    ("item:" + A, "BEGIN", "0A000"),
    ("item:" + A, "SET work_mem = '1MB'", "0A000"),
    ("item:" + A, "PREPARE x AS SELECT 1", "0A000"),
    ("item", "COPY items TO STDOUT", "0A000"),
    ("item", "COPY numbered FROM STDIN", "22023"),
    ("item", "COPY nothing FROM STDIN", "42P01"),
    (",".join(["item:" + A] * 65), INSERT_ANY, "54000"),
]


def refused(client, answer, sqlstate, status):
    assert [error.sqlstate for error in answer.errors] == [sqlstate], answer.messages
    assert answer.status == status
    assert not answer.rows and not answer.tags


@pytest.mark.parametrize("value,sql,sqlstate", REFUSED)
def test_what_cannot_be_honoured_is_an_error_and_writes_nothing(cluster, database, proxy, value, sql, sqlstate):
    with proxy.client(database=database) as client:
        refused(client, client.query(note(value, sql)), sqlstate, "I")
        refused(client, client.extended(note(value, sql)), sqlstate, "I")
        assert client.query("BEGIN").tags == ["BEGIN"]
        assert client.query("INSERT INTO others VALUES (gen_random_uuid())").tags == ["INSERT 0 1"]
        refused(client, client.query(note(value, sql)), sqlstate, "E")
        assert client.query("SELECT 1").sqlstate == "25P02"
        assert client.query("ROLLBACK").tags == ["ROLLBACK"]
        assert client.query("BEGIN").tags == ["BEGIN"]
        refused(client, client.extended(note(value, sql)), sqlstate, "E")
        assert client.query("COMMIT").tags == ["ROLLBACK"]
        assert client.query("SELECT count(*) FROM items").value == "0"
        assert client.query("SELECT count(*) FROM others").value == "0"
    assert cluster.run("SELECT * FROM ml_vector_outbox", database) == []


@pytest.mark.parametrize("sql", [f"/*ml_entity='item:{A}*/ {INSERT_ANY}", f"/*ml_entity=item:{A}*/ {INSERT_ANY}", f"{INSERT_ANY} /*x='1' ml_entity='item:{A}'*/"])
def test_a_malformed_comment_is_no_silence(cluster, database, proxy, sql):
    with proxy.client(database=database) as client:
        refused(client, client.query(sql), "22023", "I")
        refused(client, client.extended(sql), "22023", "I")
        assert client.query("SELECT count(*) FROM items").value == "0"


@pytest.mark.parametrize("parameters,number,sqlstate", [((A, "x"), 3, "42P02"), ((None, "x"), 1, "22004"), ((A, "x"), 2, "22P02"), ((A, "x"), 65535, "42P02")])
def test_a_parameter_must_be_there_and_be_a_uuid(cluster, database, proxy, parameters, number, sqlstate):
    sql = note(f"item:${number}", INSERT_P)
    with proxy.client(database=database) as client:
        answer = client.exchange(parse("", sql, (OID_UUID, 25)), bind("", "", parameters), execute())
        assert [error.sqlstate for error in answer.errors] == [sqlstate]
        assert answer.status == "I"
        assert client.query(sql).sqlstate == "42P02", "a Query has no parameters"
        assert client.query("SELECT count(*) FROM items").value == "0"
        answer = client.exchange(parse("", note("item:$1", INSERT_P), (OID_UUID, 25)), bind("", "", (A, "x")), execute())
        assert answer.tags == ["INSERT 0 1"]
    assert notes(cluster, database, "item") == [A]


def test_a_parameter_is_found_however_the_bind_is_cut(cluster, database, proxy):
    with proxy.client(database=database) as client:
        whole_bind = bind("", "", ("x" * 300, A))
        client.send(parse("", note("item:$2", "INSERT INTO items (name, id) VALUES ($1, $2)"), (25, OID_UUID)))
        for cut in (3, 5, 6, 7, 9, 20, 200, 320, 330):
            client.send(whole_bind[:cut])
            assert client.exchange(whole_bind[cut:], execute()).errors == []
            assert client.query(f"DELETE FROM items WHERE id = '{A}'").tags == ["DELETE 1"]
            client.send(parse("", note("item:$2", "INSERT INTO items (name, id) VALUES ($1, $2)"), (25, OID_UUID)))
        client.exchange()
    assert notes(cluster, database, "item") == [A]


ROUTE = note("item:" + A, "SELECT 1")


@pytest.mark.parametrize("mode", MODES)
def test_who_may_not_annotate_is_told_so(cluster, database, proxies, mode):
    with proxies(mode).client(user="u_other", database=database) as client:
        answer = client.query(ROUTE)
        refused(client, answer, "42501", "I")
        assert "annotations = route" in answer.errors[0].fields["D"]
        refused(client, client.extended(ROUTE), "42501", "I")
        assert client.query("/*ml_class='training'*/ SELECT 1").value == "1"
        assert client.query("SELECT 'ml_entity' /* a comment */").value == "ml_entity"


def test_rights_of_the_database_are_said_with_a_hint(cluster, database, start):
    cluster.run("REVOKE ml_service FROM u_other", database)
    proxy = start(users={"u_other": "annotations=all"})
    with proxy.client(user="u_other", database=database) as client:
        for sql in (ITEM_A, RETURNING):
            answer = client.query(sql)
            refused(client, answer, "42501", "I")
            assert "ml_service" in answer.errors[0].fields["H"]
        assert client.query("SELECT 1").value == "1"


def test_a_database_without_the_outbox_says_what_to_run(cluster, database, proxy):
    with proxy.client() as client:
        for answer in (client.query(ROUTE), client.extended(ROUTE), client.query(note("item", "SELECT 1 AS id"))):
            refused(client, answer, "42883", "I")
            assert "pglane-migrate" in answer.errors[0].fields["H"]
        assert client.query("SELECT 1").value == "1"


# SQLSTATE of statements whose rows cannot be noted: they have run, and are taken back
@pytest.mark.parametrize("sql,sqlstate", [
    (INSERT_ANY + " RETURNING name", "42703"),
    ("INSERT INTO numbered VALUES (1, 'x') RETURNING id", "42804"),
    ("INSERT INTO numbered VALUES (1, 'x') RETURNING name AS id", "22P02"),
    ("INSERT INTO numbered VALUES (1, 'x') RETURNING NULL::uuid AS id", "22P02"),
    ("WITH x AS (INSERT INTO numbered VALUES (1) RETURNING *) SELECT gen_random_uuid() AS id FROM generate_series(1, 4)", "54000"),
])
def test_rows_that_cannot_be_noted_fail_the_transaction(cluster, database, proxies, sql, sqlstate):
    sql = note("item", sql)
    for mode in MODES:
        proxy = proxies(mode)
        with proxy.console() as console:
            console.run("SET max_noted_entities = 3")
        with proxy.client(database=database) as client:
            for answer in (client.query(sql), client.exchange(*whole(sql)), client.exchange(*whole("SELECT 1"), *whole(sql), *whole("SELECT 2"))):
                assert [error.sqlstate for error in answer.errors] == [sqlstate], answer.messages
                assert answer.status == "I"
                assert "INSERT 0 1" not in answer.tags
            if mode != "statement":
                client.query("BEGIN")
                answer = client.query(sql)
                assert (answer.sqlstate, answer.status) == (sqlstate, "E")
                assert client.query("COMMIT").tags == ["ROLLBACK"]
                client.query("BEGIN")
                answer = client.exchange(*whole(sql))
                assert (answer.sqlstate, answer.status) == (sqlstate, "E")
                assert client.query("ROLLBACK").tags == ["ROLLBACK"]
            assert client.query("SELECT (SELECT count(*) FROM items) + (SELECT count(*) FROM numbered)").value == "0"
            assert client.query(note("item", f"INSERT INTO items (id) SELECT ('{{A}}'::uuid) FROM generate_series(1, 0) RETURNING id".replace("{A}", A))).tags == ["INSERT 0 0"]
        with proxy.console() as console:
            console.run("SET max_noted_entities = 10000")
    assert cluster.run("SELECT * FROM ml_vector_outbox", database) == []


def test_transaction_control_in_a_string_is_refused(cluster, database, proxy):
    with proxy.client(database=database) as client:
        for sql in (f"BEGIN; {ITEM_A}; COMMIT", f"{ITEM_A}; COMMIT; SELECT 1", f"SELECT 1; COMMIT; {RETURNING}"):
            refused(client, client.query(sql), "0A000", "I")
        assert client.query("SELECT count(*) FROM items").value == "0"


def test_a_procedure_that_may_commit_needs_a_transaction_around_it(cluster, database, proxy):
    """Else its note could be committed, and followed, before its last change."""
    cluster.run(f"CREATE OR REPLACE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN {INSERT_A}; COMMIT; UPDATE items SET name = 'late'; END $$;"
                f"CREATE OR REPLACE PROCEDURE writes() LANGUAGE plpgsql AS $$ BEGIN {INSERT_A}; END $$", database)
    with proxy.client(database=database) as client:
        for sql in (note("item:" + A, "CALL commits()"), note("item:" + A, "DO $$ BEGIN COMMIT; END $$")):
            refused(client, client.query(sql), "0A000", "I")
            refused(client, client.extended(sql), "0A000", "I")
        client.query("BEGIN")
        assert client.query(note("item:" + A, "CALL commits()")).sqlstate == "2D000"
        client.query("ROLLBACK")
        assert cluster.run("SELECT * FROM ml_vector_outbox", database) == []
        client.query("BEGIN")
        assert client.query(note("item:" + A, "CALL writes()")).tags == ["CALL"]
        assert client.query("COMMIT").tags == ["COMMIT"]
    assert notes(cluster, database, "item") == [A]


CHECK = "ml_outbox_notes(text[], uuid[], uuid)"


def test_a_type_is_checked_once_in_a_while(cluster, database, start):
    """Not ahead of every statement of a transaction that returns its ids; what a transaction ends with takes one note at once. A check that failed is no knowledge."""
    proxy = start(users={"app": "annotations=all"}, workers=1)
    with proxy.client(database=database) as client:
        for end in ("ROLLBACK", "COMMIT"):
            for _ in range(2):
                client.query("BEGIN")
                assert client.query(note("weather", f"{INSERT_A} RETURNING id")).sqlstate == "22023"
                client.query(end)
        client.query("BEGIN")
        assert client.query(RETURNING_ONE).errors == [] and client.query("COMMIT;").errors == []
        cluster.run(f"ALTER FUNCTION {CHECK} RENAME TO ml_outbox_away", database)
        try:
            client.query("BEGIN")
            assert client.query(note("item", f"{INSERT_B} RETURNING id")).errors == [] and client.query("COMMIT;").errors == []
            client.query("BEGIN")
            assert client.query(note("item", f"INSERT INTO items (id) VALUES ('{C}') RETURNING id")).errors == []
            client.send(*whole("COMMIT"), SYNC)
            assert client.result().errors == []
            client.query("BEGIN")
            assert client.query(note(f"item:{D}", f"INSERT INTO items (id) VALUES ('{D}')")).errors == [] and client.query("COMMIT").errors == []
        finally:
            cluster.run(f"ALTER FUNCTION {CHECK.replace('notes', 'away')} RENAME TO ml_outbox_notes", database)
    assert notes(cluster, database, "item") == [A, B, C, D]


def test_what_cannot_run_in_a_transaction_says_so(cluster, database, proxy):
    with proxy.client(database=database) as client:
        answer = client.query(note("item:" + A, "VACUUM items"))
        refused(client, answer, "25001", "I")
        assert client.query("VACUUM items").tags == ["VACUUM"]
    assert cluster.run("SELECT * FROM ml_vector_outbox", database) == []


@pytest.mark.parametrize("mode", MODES)
def test_statement_pooling_has_it_too(cluster, database, proxies, mode):
    with proxies(mode).client(database=database) as client:
        assert client.query(ITEM_A).tags == ["INSERT 0 1"]
        assert client.query(f"DELETE FROM items WHERE id = '{A}'").tags == ["DELETE 1"]
        assert client.query(RETURNING).tags == ["INSERT 0 2"]
        assert client.exchange(*whole(note("item:$1", INSERT_P), (C, "x"), (OID_UUID, 25))).tags == ["INSERT 0 1"]
    assert notes(cluster, database, "item") == [A, B, C]


def test_the_organization_goes_with_the_note(cluster, database, proxy):
    with proxy.client(database=database) as client:
        client.query(note(f"item:{A}", INSERT_A, ml_organization=ORGANIZATION))
        client.exchange(*whole(note("item", f"{INSERT_B} RETURNING id", ml_organization=ORGANIZATION)))
        client.query(note(f"other:{A}", "SELECT 1"))
    assert cluster.run("SELECT entity_type, organization_id::text FROM ml_vector_outbox ORDER BY 1", database) == [("item", ORGANIZATION), ("item", ORGANIZATION), ("other", None)]


def test_many_rows_and_wide_ones(cluster, database, proxy):
    with proxy.client(database=database) as client:
        sql = "INSERT INTO items (id, name) SELECT gen_random_uuid(), repeat('x', %s) FROM generate_series(1, %s) RETURNING %s"
        assert client.query(note("item", sql % (10, 9000, "*"))).tags == ["INSERT 0 9000"]
        assert len(notes(cluster, database, "item")) == 9000
        assert client.exchange(*whole(note("item", sql % (200000, 5, "id, name")))).tags == ["INSERT 0 5"]
        assert client.query(note("item", sql % (60000, 20, "name, id"))).tags == ["INSERT 0 20"]
        assert len(notes(cluster, database, "item")) == 9025
        answer = client.query(note("item", sql % (200000, 2, "name, id")))
        assert answer.sqlstate == "54000", "the key is not in sight"
        assert len(notes(cluster, database, "item")) == 9025
        assert client.query("SELECT count(*) FROM items").value == "9025"


# ---- configuration, other sessions ----

def test_the_key_column_is_the_configurations(cluster, database, start):
    proxy = start(users={"app": "annotations=all"}, sections={"entity:keyed": {"key_column": "Key"}})
    with proxy.client(database=database) as client:
        assert client.query(note("keyed", f"INSERT INTO keyed VALUES ('{A}', 1) RETURNING *")).tags == ["INSERT 0 1"]
        assert client.query(note("keyed", f"INSERT INTO keyed VALUES ('{B}', 1) RETURNING id")).sqlstate == "42703"
        client.send(query(note("keyed", 'COPY keyed ("Key") FROM STDIN')), copy_data(f"{C}\n".encode()), wire.COPY_DONE)
        assert client.result().tags == ["COPY 1"]
    assert notes(cluster, database, "keyed") == [A, C]


def test_a_serialization_failure_leaves_no_note(cluster, database, proxy):
    cluster.run(f"INSERT INTO items (id, n) VALUES ('{A}', 1), ('{B}', 2)", database)
    writes = [note("item:" + A, f"UPDATE items SET n = (SELECT sum(n) FROM items) + 10 WHERE id = '{A}'"),
              note("item", f"UPDATE items SET n = (SELECT sum(n) FROM items) + 20 WHERE id = '{B}' RETURNING id")]
    with proxy.client(database=database) as one, proxy.client(database=database) as two:
        for client in (one, two):
            client.query("BEGIN ISOLATION LEVEL SERIALIZABLE")
            assert client.query("SELECT sum(n) FROM items").value == "3"
        assert one.query(writes[0]).tags == ["UPDATE 1"]
        assert two.query(writes[1]).tags == ["UPDATE 1"]
        assert one.query("COMMIT").tags == ["COMMIT"]
        answer = two.query("COMMIT")
        assert (answer.sqlstate, answer.status) == ("40001", "I") or answer.status == "E"
        two.query("ROLLBACK")
    assert notes(cluster, database, "item") == [A]


def test_a_note_does_not_turn_the_order_of_locks(cluster, database, proxy):
    """One has the row and notes it, the other notes it and wants the row: they wait in a line, not in a circle, and the note is free until the end."""
    cluster.run(f"INSERT INTO items (id) VALUES ('{A}')", database)
    update = note("item:" + A, f"UPDATE items SET name = 'x' WHERE id = '{A}'")
    waits = "SELECT pid FROM pg_locks WHERE NOT granted"
    with proxy.client(database=database) as one, proxy.client(database=database) as two, proxy.client(database=database) as three:
        for ends in (query(update), b"".join(whole(update)) + SYNC):
            one.query("BEGIN")
            assert one.query(f"SELECT n FROM items WHERE id = '{A}' FOR UPDATE").errors == []
            two.send(ends)
            system.eventually(lambda: cluster.run(waits), 10, "the second writer to wait")
            assert three.query(note("item:" + A, "SELECT 1")).tags == ["SELECT 1"], "who wants the note alone waits for neither"
            assert one.query(update).tags == ["UPDATE 1"]
            assert one.query("COMMIT").tags == ["COMMIT"]
            assert two.result().tags == ["UPDATE 1"]
    assert cluster.run("SELECT gen FROM ml_vector_outbox", database) == [(6,)]


@pytest.mark.parametrize("sql", [note("item:" + A, "SELECT pg_sleep(60)"), note("item", f"SELECT '{A}'::uuid AS id, pg_sleep(60)")])
def test_a_cancel_leaves_no_note(cluster, database, proxy, sql):
    with proxy.client(database=database) as client:
        for send in (lambda: client.send(query(sql)), lambda: client.send(*whole(sql), SYNC)):
            send()
            system.eventually(lambda: cluster.backends("query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()"))
            proxy.cancel(client)
            answer = client.result()
            assert (answer.sqlstate, answer.status) == ("57014", "I")
        assert client.query("SELECT 1").value == "1"
    assert notes(cluster, database, "item") == []


def test_a_transaction_that_was_idle_too_long_leaves_no_note(cluster, database, start):
    """Its ids were still to be noted when it was rolled back."""
    proxy = start(users={"app": "annotations=all"}, idle_transaction_timeout="1")
    with proxy.client(database=database) as client:
        client.query("BEGIN")
        assert client.query(RETURNING).tags == ["INSERT 0 2"]
        system.eventually(lambda: not cluster.backends("state = 'idle in transaction'"), 10, "the rollback")
        assert client.query("SELECT 1").sqlstate == "25P03"
        assert client.query("ROLLBACK").tags == ["ROLLBACK"]
        client.query("BEGIN")
        assert client.query(note("item:" + C, "SELECT 1")).value == "1"
        assert client.query("COMMIT").tags == ["COMMIT"]
    assert notes(cluster, database, "item") == [C]


@pytest.mark.parametrize("value", ["other:$1", "other"])
def test_a_batch_that_is_said_again_is_noted_once(cluster, database, proxies, value):
    """A statement whose table changed: PostgreSQL refuses the old plan, and pglane says the batch again, notes and all."""
    with proxies("transaction").client(database=database) as client:
        assert client.exchange(parse("p", note(value, "INSERT INTO others (id) VALUES ($1) RETURNING *"), (OID_UUID,)), bind("", "p", (A,)), describe("P"), execute()).errors == []
        cluster.run("ALTER TABLE others ADD COLUMN later int", database)
        try:
            answer = client.exchange(bind("", "p", (B,)), describe("P"), execute())
            assert (answer.errors, answer.tags) == ([], ["INSERT 0 1"])
        finally:
            cluster.run("ALTER TABLE others DROP COLUMN later", database)
    assert cluster.run("SELECT entity_id::text, gen FROM ml_vector_outbox ORDER BY 1", database) == [(A, 1), (B, 1)]


def test_names_of_session_pooling_are_followed(cluster, database, proxies):
    """Close, a Parse that fails, DISCARD ALL and DEALLOCATE: what a name means is what the server means."""
    with proxies("session").client(database=database) as client:
        noted, plain = note("item:$1", INSERT_P), "INSERT INTO others (id, name) VALUES ($1, $2)"

        def run(name, entity):
            return client.exchange(bind("", name, (entity, "x")), execute()).sqlstate

        def make(name, sql):
            return client.exchange(parse(name, sql, (OID_UUID, 25))).sqlstate

        def entity(n):
            return str(uuid.UUID(int=0x100 + n))

        assert make("p", noted) is None and run("p", entity(1)) is None
        assert make("p", plain) == "42P05" and run("p", entity(2)) is None
        client.exchange(close("S", "p"))
        assert make("p", plain) is None and run("p", entity(3)) is None
        assert make("p", noted) == "42P05" and run("p", entity(4)) is None
        assert client.query("DISCARD ALL").tags == ["DISCARD ALL"]
        assert run("p", entity(5)) == "26000"
        assert make("p", noted) is None and run("p", entity(6)) is None
        assert client.query("DEALLOCATE p").tags == ["DEALLOCATE"]
        assert make("p", plain) is None and run("p", entity(7)) is None
        assert make("", noted) is None and run("", entity(8)) is None
        assert make("", plain) is None and run("", entity(9)) is None
        assert client.query("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'pglane%'").value == "0"
    assert notes(cluster, database, "item") == [entity(n) for n in (1, 2, 6, 8)]


def test_queries_sent_without_waiting_in_session_pooling(cluster, database, proxies):
    steps = [query("BEGIN"), query(ITEM_A), query(note("item:" + A, "DO $$ BEGIN END $$")), query(note("item", f"{INSERT_B} RETURNING id")), query("COMMIT"), query(note("weather:" + A, "SELECT 2")), query("SELECT 3"),
             query(RETURNING), query("SELECT 4"), *whole(note("item", f"INSERT INTO items (id) VALUES ('{C}') RETURNING id")), SYNC, *whole("SELECT 5"), SYNC]
    with proxies("session").client(database=database) as client:
        client.send(*steps)
        answers = [client.result() for _ in range(11)]
    assert [(answer.sqlstate, answer.tags) for answer in answers] == [
        (None, ["BEGIN"]), (None, ["INSERT 0 1"]), (None, ["DO"]), (None, ["INSERT 0 1"]), (None, ["COMMIT"]), ("22023", []), (None, ["SELECT 1"]), ("23505", []), (None, ["SELECT 1"]),
        (None, ["INSERT 0 1"]), (None, ["SELECT 1"])]
    assert notes(cluster, database, "item") == [A, B, C]


def test_the_console_counts(cluster, database, start):
    proxy = start(users={"app": "annotations=all"})
    with proxy.client(database=database) as client:
        client.query(ITEM_A)
        client.exchange(*whole(note("item:$1,item:$1", INSERT_P), (C, "x"), (OID_UUID, 25)))
        client.query(note("item", f"{INSERT_B} RETURNING id"))
        client.query(note("item:1", "SELECT 1"))
        client.query(note("weather:" + A, "SELECT 1"))
        client.query("/*ml_class='none'*/ SELECT 1")
    with proxy.console() as console:
        counts = {(row["annotation"], row["outcome"]): row["count"] for row in console.show("ANNOTATIONS")}
    assert counts == {("route", "malformed or not allowed"): 1, ("ml_entity", "named by id"): 2, ("ml_entity", "named by parameter"): 1, ("ml_entity", "ids in rows"): 1,
                      ("ml_entity", "copy"): 0, ("ml_entity", "entities"): 5, ("ml_entity", "refused"): 1, ("ml_entity", "failed"): 1}
