# SPDX-License-Identifier: ISC
"""Write sync: an annotated write is noted by its own transaction, and the client sees what it would have seen without."""

import itertools
import uuid

import pytest

from harness import schema, wire
from harness.wire import bind, close, copy_data, describe, execute, parse, query

A, B, C = (str(uuid.UUID(int=n)) for n in (0xA, 0xB, 0xC))
ORGANIZATION = str(uuid.UUID(int=0x0F))
OID_UUID = 2950

TABLES = """
CREATE TABLE items (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), name text, n int, organization_id uuid,
    CONSTRAINT items_n UNIQUE (n) DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE others (id uuid PRIMARY KEY, name text);
CREATE TABLE numbered (id int PRIMARY KEY, name text);
CREATE VIEW ml_source_item AS SELECT id, organization_id, NULL::timestamptz AS event_time, name FROM items;
CREATE VIEW ml_source_other AS SELECT id, NULL::uuid AS organization_id, NULL::timestamptz AS event_time, name FROM others;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app, u_other;
"""
GRANTS = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO ml_owner; GRANT ml_service TO app;"

numbers = itertools.count(1)


@pytest.fixture(scope="module")
def database(cluster):
    """A database with the schema of the outbox and tables whose rows are entities."""
    name = f"sync_{next(numbers)}"
    schema.create(cluster, name)
    cluster.run(TABLES, name)
    schema.migrate(cluster, name)
    cluster.run(GRANTS, name)
    yield name
    schema.drop(cluster, name)


MODES = ("transaction", "session", "statement")


@pytest.fixture(scope="module")
def proxies(cluster, program, database):
    """pglane in each mode of pooling; made when it is asked for."""
    from harness.proxy import Proxy
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
    cluster.run("TRUNCATE items, others, numbered, ml_vector_outbox", database)


def notes(cluster, database):
    """What waits in the outbox: (type, id)."""
    return sorted(tuple(map(str, row)) for row in cluster.run("SELECT entity_type, entity_id FROM ml_vector_outbox", database))


def item_notes(cluster, database):
    return [entity for kind, entity in notes(cluster, database) if kind == "item"]


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


def note(value, sql, at_end=False, **more):
    pairs = ",".join(f"{key}='{text}'" for key, text in {"ml_entity": value, **more}.items())
    return f"{sql} /*{pairs}*/" if at_end else f"/*{pairs}*/ {sql}"


INSERT_A = f"INSERT INTO items (id, name, n) VALUES ('{A}', 'a', 1)"
INSERT_B = f"INSERT INTO items (id, name, n) VALUES ('{B}', 'b', 2)"
INSERT_BOTH = f"INSERT INTO items (id, name, n) VALUES ('{A}', 'a', 1), ('{B}', 'b', 2) RETURNING name, id, n"
INSERT_P = "INSERT INTO items (id, name) VALUES ($1, $2)"
SYNC, FLUSH = wire.SYNC, wire.FLUSH
ITEM_A = note(f"item:{A}", INSERT_A)
ITEM_A_BEHIND = note(f"item:{A}", INSERT_A, at_end=True)
RETURNING = note("item", INSERT_BOTH)

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
    "block, deferred commit": ([[query("BEGIN")], [query(note(f"item:{A}", "COMMIT"))]], [A]),
    "block rolled back": ([[query("BEGIN")], [query(ITEM_A)], [query("ROLLBACK")]], []),
    "block, rollback annotated": ([[query("BEGIN")], [query(ITEM_A)], [query(note(f"item:{A}", "ROLLBACK"))]], []),
    "savepoint": ([[query("BEGIN")], [query(ITEM_A)], [query("SAVEPOINT s")], [query(note(f"item:{B}", INSERT_B))], [query("ROLLBACK TO s")], [query("COMMIT")]], [A]),
    "savepoint after an error": ([[query("BEGIN")], [query("SAVEPOINT s")], [query(ITEM_A)], [query("SELECT 1/0")], [query(note(f"item:{C}", "SELECT 1"))], [query("ROLLBACK TO s")],
                                 [query(note(f"item:{B}", INSERT_B))], [query("COMMIT")]], [B]),
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
    "execute of SQL": ([[query("BEGIN")], [query(f"PREPARE i AS {INSERT_A}")], [query(note(f"item:{A}", "EXECUTE i"))], [query("DEALLOCATE i")], [query("COMMIT")]], [A]),
    "query behind an open batch": ([[*whole("SELECT 1"), query(ITEM_A)]], [A]),
    # ids in rows
    "returning": ([[query(RETURNING)]], [A, B]),
    "returning, no row": ([[query(note("item", "UPDATE items SET n = 1 RETURNING id"))]], []),
    "returning that fails": ([[query(note("item", INSERT_BOTH.replace("2)", "'x')")))]], []),
    "returning, deferred constraint": ([[query(INSERT_A)], [query(note("item", f"INSERT INTO items (id, n) VALUES ('{B}', 1) RETURNING id"))], [query("SELECT 1")]], []),
    "returning in a block": ([[query("BEGIN")], [query(RETURNING)], [query("COMMIT")]], [A, B]),
    "returning in a block, rolled back": ([[query("BEGIN")], [query(RETURNING)], [query("ROLLBACK")]], []),
    "returning, savepoints": ([[query("BEGIN")], [query("SAVEPOINT s")], [query(RETURNING)], [query("ROLLBACK TO s")],
                              [query(note("item", f"INSERT INTO items (id, n) VALUES ('{C}', 9) RETURNING id"))], [query("SAVEPOINT t")], [query("SELECT 1/0")], [query("ROLLBACK TO t")],
                              [query("COMMIT")]], [C]),
    "returning in a string": ([[query(f"SELECT '{C}'::uuid AS id; {RETURNING}; SELECT '{C}'::uuid AS id")]], [A, B]),
    "returning in a string that fails": ([[query(f"{RETURNING}; SELECT 1/0")], [query("SELECT 1")]], []),
    "returning in a string in a block": ([[query("BEGIN")], [query(f"SELECT 1; {RETURNING}; SELECT 2")], [query("COMMIT")]], [A, B]),
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


def n_answers(step):
    """COPY's answer comes with the Query; nothing else ends it."""
    return step


def comparable(answers):
    """Errors are allowed to differ in their words, not in their SQLSTATE."""
    return [[(kind, wire.error_fields(body)["C"]) if kind == "E" else (kind, body) for kind, body in answer] for answer in answers]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_noted_and_looks_as_without(cluster, database, proxy, shape):
    steps, expected = SHAPES[shape]
    with direct(cluster, database) as client:
        wanted = run_steps(client, steps)
    cluster.run("TRUNCATE items, others, ml_vector_outbox", database)
    with proxy.client(database=database) as client:
        seen = run_steps(client, steps)
        assert comparable(seen) == comparable(wanted)
        assert item_notes(cluster, database) == sorted(expected)
        assert client.query("SELECT 1").value == "1"
