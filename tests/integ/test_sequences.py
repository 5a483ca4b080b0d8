# SPDX-License-Identifier: ISC
"""currval() and lastval() in transaction pooling: what a direct connection says, and never what another client was given."""

import contextlib
import time

import pytest

from harness import system, wire
from harness.traffic import in_parallel, scaled

SCHEMA = """
    DROP SCHEMA IF EXISTS seq CASCADE;
    CREATE SCHEMA seq; GRANT ALL ON SCHEMA seq TO PUBLIC;
    CREATE TABLE seq.a (id serial PRIMARY KEY, n int); CREATE TABLE seq.b (id serial PRIMARY KEY, n int);
    CREATE FUNCTION seq.hidden_move() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN nextval(''seq.a_id_seq''); END';
    CREATE FUNCTION seq.hidden_read() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN lastval(); END';
    CREATE PROCEDURE seq.proc() LANGUAGE plpgsql AS 'BEGIN INSERT INTO seq.a (n) VALUES (0); END';
    GRANT ALL ON ALL TABLES IN SCHEMA seq TO PUBLIC; GRANT ALL ON ALL SEQUENCES IN SCHEMA seq TO PUBLIC"""
A, B = "INSERT INTO seq.a (n) VALUES (1)", "INSERT INTO seq.b (n) VALUES (1)"
CURRVAL_A, CURRVAL_B, LASTVAL = "SELECT currval('seq.a_id_seq')", "SELECT currval('seq.b_id_seq')", "SELECT lastval()"


@pytest.fixture(autouse=True)
def schema(cluster):
    for statement in SCHEMA.split(";\n"):
        cluster.run(statement, "app")


def pins(proxy):
    with proxy.console() as console:
        return [row["reason"] for row in console.show("PINS")]


def answer(client, sql, extended=False):
    result = client.extended(sql) if extended else client.query(sql)
    return result.sqlstate or [row[0] for row in result.rows]


@contextlib.contextmanager
def direct(cluster):
    with wire.RawClient(str(cluster.directory), cluster.port).login(user="app", password="app-secret") as client:
        yield client


SCRIPTS = {
    "currval": [A, CURRVAL_A, CURRVAL_A],
    "lastval": [A, LASTVAL],
    "two sequences": [A, B, CURRVAL_A, CURRVAL_B, LASTVAL, CURRVAL_A],
    "one of which was not moved": [A, CURRVAL_B, CURRVAL_A],
    "none": [CURRVAL_A, LASTVAL, CURRVAL_B],
    "one transaction": ["BEGIN", A, CURRVAL_A, B, LASTVAL, CURRVAL_A, "COMMIT"],
    "a transaction, then": ["BEGIN", A, "COMMIT", CURRVAL_A],
    "rolled back": ["BEGIN", A, "ROLLBACK", CURRVAL_A],
    "nextval": ["SELECT nextval('seq.a_id_seq')", LASTVAL],
    "setval": ["SELECT setval('seq.a_id_seq', 4711)", CURRVAL_A],
    "of a transaction that only reads": ["BEGIN", "SELECT 1", CURRVAL_A, "ROLLBACK"],
    "a function": ["SELECT seq.hidden_move()", CURRVAL_A],
    "a procedure": ["CALL seq.proc()", CURRVAL_A],
    "DO": ["DO 'BEGIN PERFORM seq.hidden_move(); END'", LASTVAL],
    "several": [A + ";" + B, CURRVAL_A, CURRVAL_B],
    "with statements between": [A, "SELECT 1", "UPDATE seq.a SET n = 2", LASTVAL],
    "DISCARD SEQUENCES": [A, "DISCARD SEQUENCES", CURRVAL_A],
    "in WITH": ["WITH w AS (INSERT INTO seq.a (n) VALUES (1) RETURNING id) SELECT count(*) FROM w", LASTVAL],
    "COPY of a query": ["COPY (SELECT nextval('seq.a_id_seq')) TO STDOUT", LASTVAL],
    "read by a function": [A, "SELECT seq.hidden_read()"],
    "read by an insert": [A, "INSERT INTO seq.b (n) VALUES (currval('seq.a_id_seq')) RETURNING n"],
}


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_as_a_direct_connection(start, cluster, extended):
    """Another client moves both sequences, before and between."""
    def said(script, client, other):
        cluster.run("ALTER SEQUENCE seq.a_id_seq RESTART; ALTER SEQUENCE seq.b_id_seq RESTART 1000", "app")
        cluster.run("TRUNCATE seq.a, seq.b", "app")
        answers = []
        for statement in script:
            for move in (A, B):
                assert not other.query(move).errors
            answers.append(answer(client, statement, extended and ";" not in statement))
        return answers

    proxy = start(lanes={"default": 2}, workers=1, sequence_state="pin")
    with proxy.client() as other, direct(cluster) as moves:
        for name, script in SCRIPTS.items():
            with proxy.client() as client, direct(cluster) as reads:
                assert said(script, client, other) == said(script, reads, moves), name


@pytest.mark.parametrize("state", ["pin", "learned"])
def test_two_servers_and_eight_clients_at_once(start, state):
    """What INSERT … RETURNING told is what the transactions behind it read, for each client at its own pace."""
    proxy = start(lanes={"default": 2}, workers=2, sequence_state=state)
    if state == "learned":
        with proxy.client() as client:  # the first one finds nothing; the second is learned
            for _ in range(2):
                client.query(LASTVAL)
                client.query("INSERT INTO seq.a (n) VALUES (1) RETURNING id")
            assert answer(client, LASTVAL) != "55000"

    def work(number):
        n_quick = 0
        with proxy.client() as client:
            for i in range(scaled(60, 20)):
                began = time.monotonic()
                given = client.query("INSERT INTO seq.a (n) VALUES (1) RETURNING id").value
                if (i + number) % 3 == 0:
                    assert answer(client, "SELECT 1") == [b"1"]
                read = answer(client, CURRVAL_A, extended=i % 2 == 1)
                # It is kept for a tenth of a second, though others wait: a busy machine may miss that.
                is_quick = time.monotonic() - began < 0.1
                n_quick += is_quick
                assert read == [given.encode()] or (read == "55000" and not is_quick)
                assert answer(client, LASTVAL) in ([given.encode()], "55000")
        assert n_quick > 0

    in_parallel(8, work)
    system.eventually(lambda: not pins(proxy))


@pytest.mark.parametrize("state", ["learned", "off"])
def test_never_the_value_of_another_client(start, state):
    """Every first read there can be, of clients that were given nothing, on servers where others were."""
    proxy = start(lanes={"default": 2}, workers=1, sequence_state=state)
    others = [proxy.client() for _ in range(2)]

    def move_everywhere():
        """On both servers; and reads there, so that nobody is kept."""
        for other in others:
            assert not (other.query("BEGIN").errors or other.query(A).errors or other.query(CURRVAL_A).errors)
        for other in others:
            other.query("COMMIT")

    for reads in ([CURRVAL_A], [LASTVAL], ["BEGIN", CURRVAL_A, "ROLLBACK"], ["BEGIN", "SELECT 1", LASTVAL, "ROLLBACK"]):
        for extended in (False, True):
            move_everywhere()
            with proxy.client() as client:
                assert "55000" in [answer(client, read, extended) for read in reads]
            # Parse and Bind in batches of their own, and in a pipeline behind something else
            move_everywhere()
            with proxy.client() as client:
                client.exchange(wire.parse("read", CURRVAL_A))
                assert client.exchange(wire.bind("", "read"), wire.execute()).sqlstate == "55000"
                assert client.exchange(wire.parse("", "SELECT 1"), wire.bind("", ""), wire.execute(), wire.parse("", LASTVAL), wire.bind("", ""),
                                       wire.execute()).sqlstate == "55000"
    # By now it is known that the pool reads: a hidden read is safe as well, and one behind a move of another sequence.
    for reads in (["SELECT seq.hidden_read()"], ["BEGIN", B, CURRVAL_A, "ROLLBACK"]):
        move_everywhere()
        with proxy.client() as client:
            assert "55000" in [answer(client, read) for read in reads]
    for other in others:
        other.close()


def test_first_use_is_learned(start):
    proxy = start(lanes={"default": 2}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        for _ in range(3):
            assert client.query(A).errors == [] and other.query(A).errors == []
            assert pins(proxy) == []
        given = client.query("INSERT INTO seq.a (n) VALUES (1) RETURNING id").value
        assert other.query(A).errors == []
        assert answer(client, CURRVAL_A) in ("55000", [given.encode()])
        for _ in range(3):
            given = client.query("INSERT INTO seq.a (n) VALUES (1) RETURNING id").value
            assert "sequence" in pins(proxy)
            assert other.query("INSERT INTO seq.a (n) VALUES (1)").errors == []
            assert answer(client, CURRVAL_A) == [given.encode()]
    assert "calls currval() or lastval()" in proxy.log_text()


def test_alone_on_its_server_the_first_use_is_right(start):
    proxy = start(lanes={"default": 4}, workers=1)
    with proxy.client() as client:
        given = client.query("INSERT INTO seq.a (n) VALUES (1) RETURNING id").value
        assert answer(client, CURRVAL_A) == [given.encode()]


def test_nextval_alone_never_pins(start):
    """One server for three clients that take ids all the time, as Hibernate does: none waits for another."""
    proxy = start(lanes={"default": 1}, workers=1)
    clients = [proxy.client() for _ in range(3)]
    clients[0].query("SELECT 1")

    def waited():
        with proxy.console() as console:
            return [row["total_wait_time"] for row in console.show("STATS") if row["database"] == "app"]

    before = waited()
    for _ in range(20):
        for client in clients:
            assert not client.query("SELECT nextval('seq.a_id_seq')").errors
            assert not client.query(A).errors
    assert waited() == before and pins(proxy) == []
    for client in clients:
        client.close()


def test_a_transaction_that_reads_what_it_moved_is_no_pin(start):
    proxy = start(lanes={"default": 1}, workers=1, sequence_state="pin")
    with proxy.client() as client, proxy.client() as other:
        for _ in range(10):
            client.query("BEGIN")
            given = client.query("INSERT INTO seq.a (n) VALUES (1) RETURNING id").value
            assert answer(client, CURRVAL_A) == [given.encode()]
            client.query("COMMIT")
            assert pins(proxy) == []
            assert not other.query("SELECT 1").errors


def test_a_pin_ends_by_itself_and_refuses_nothing(start):
    """Nobody reads: others who wait have the server a tenth of a second later. max_pinned (1) is not asked, and pin_idle_timeout ends no client."""
    proxy = start(lanes={"default": 2}, workers=1, sequence_state="pin", pin_idle_timeout="1")
    clients = [proxy.client() for _ in range(4)]
    for client in clients:
        assert not client.query(A).errors
    system.eventually(lambda: not pins(proxy))
    for client in clients:
        assert client.query("SELECT 1").value == "1"
        client.close()


def test_clients_that_only_insert_take_turns(start):
    """As fast as they can, four clients on one server that each would keep: all get on."""
    proxy = start(lanes={"default": 1}, workers=1, sequence_state="pin")
    until = time.monotonic() + 2.6

    def work(_):
        n = 0
        with proxy.client() as client:
            while time.monotonic() < until:
                assert not client.query(A).errors
                n += time.monotonic() < until
        assert n > 0

    in_parallel(3, work)


def test_loss_of_the_server_is_no_end_of_the_client(start, cluster):
    proxy = start(lanes={"default": 2}, workers=1, sequence_state="pin")
    with proxy.client() as client:
        client.query(A)
        mine = client.query("SELECT pg_backend_pid()").value
        assert pins(proxy) == ["sequence"]
        cluster.run(f"SELECT pg_terminate_backend({mine})")
        system.eventually(lambda: not pins(proxy))
        assert answer(client, CURRVAL_A) == "55000"


def test_with_a_temporary_table(start):
    """One pin for two reasons: the table's goes, the sequence's stays."""
    proxy = start(lanes={"default": 2}, workers=1, sequence_state="pin")
    with proxy.client() as client, proxy.client() as other:
        client.query(A)
        client.query("CREATE TEMP TABLE own (n int)")
        assert set(pins(proxy)[0].split(", ")) == {"temporary objects", "sequence"}
        assert not other.query(A).errors
        assert not answer(client, LASTVAL) == "55000"
        assert client.query("SELECT count(*) FROM own").value == "0"
        client.query("DROP TABLE own")
        system.eventually(lambda: pins(proxy) == ["sequence", "sequence"])  # the other's, too
        assert not answer(client, LASTVAL) == "55000"
    system.eventually(lambda: not pins(proxy))


def test_idle_transaction_with_a_sequence_is_rolled_back_as_any(start):
    proxy = start(lanes={"default": 1}, workers=1, sequence_state="pin", idle_transaction_timeout="1")
    with proxy.client() as client, proxy.client() as other:
        client.query("BEGIN")
        client.query(A)
        assert other.query("SELECT count(*) FROM seq.a").value == "0"
        assert client.query("SELECT 1").sqlstate == "25P03"
        assert client.query("ROLLBACK").status == "I"
        assert client.query("SELECT 1").value == "1"
