# SPDX-License-Identifier: ISC
"""Write sync under random shapes, and when the client, the server or pglane goes away in the middle: the outbox holds exactly the rows that were committed. PGLANE_SEED
varies the steps, and is printed."""

import os
import random
import signal
import threading
import uuid

import pytest

from harness import schema, system, wire
from harness.entities import EMPTY, make_database, note, notes, rows
from harness.traffic import in_parallel, scaled
from harness.wire import bind, close, copy_data, describe, execute, parse, query

N_CLIENTS = 6
N_STEPS = scaled(150, 40)
OID_UUID = 2950


@pytest.fixture(scope="module")
def database(cluster):
    name = make_database(cluster)
    yield name
    schema.drop(cluster, name)


@pytest.fixture(autouse=True)
def clean(cluster, database):
    cluster.run(EMPTY, database)


def seeded():
    seed = int(os.environ.get("PGLANE_SEED", random.randrange(1 << 30)))
    print(f"PGLANE_SEED={seed}")
    return random.Random(seed)


class Session:
    """One client that inserts rows, each annotated in some way, and now and then fails or takes them back."""

    def __init__(self, client, rng):
        self.client, self.rng = client, rng
        self.status = "I"
        self.n_savepoints = 0
        self.prepared = set()
        self.generation = 0  # of their names: after an error it is not known which there are

    def ids(self, least=1):
        return [str(uuid.UUID(int=self.rng.getrandbits(128))) for _ in range(self.rng.randint(least, 4))]

    def insert(self, entities, bad):
        values = ", ".join(f"('{entity}', {'1/0' if bad else 'NULL'})" for entity in entities)
        return f"INSERT INTO items (id, n) VALUES {values}"

    def text(self):
        """One statement, annotated by names or by what it returns."""
        entities = self.ids()
        sql = self.insert(entities, self.rng.random() < 0.08)
        if self.rng.random() < 0.5:
            return note(",".join("item:" + entity for entity in entities), sql, self.rng.random() < 0.5)
        return note("item", sql + self.rng.choice([" RETURNING id", " RETURNING *", " RETURNING name, id"]), self.rng.random() < 0.5)

    # each gives messages, and how many ReadyForQuery they bring

    def simple(self):
        return [query(self.text())], 1

    def string(self):
        return [query("; ".join(self.rng.choice([self.text(), "SELECT 1", self.text()]) for _ in range(self.rng.randint(2, 4))))], 1

    def one_extended(self):
        portal = self.rng.choice(["", "p"])
        messages = [parse("", self.text()), bind(portal, "", (), self.rng.random() < 0.5)]
        if self.rng.random() < 0.6:
            messages.append(describe("P", portal))
        if self.rng.random() < 0.3:
            messages += [execute(portal, 2), execute(portal, 2), execute(portal, 0)]
        else:
            messages.append(execute(portal))
        if portal:
            messages.append(close("P", portal))
        if self.rng.random() < 0.1:
            messages.append(wire.FLUSH)
        return messages

    def extended(self):
        return [*self.one_extended(), wire.SYNC], 1

    def batch(self):
        messages = []
        for _ in range(self.rng.randint(2, 4)):
            messages += self.one_extended()
        return [*messages, wire.SYNC], 1

    def pipeline(self):
        messages, n = [], self.rng.randint(2, 4)
        for _ in range(n):
            messages += [*self.one_extended(), wire.SYNC]
        return messages, n

    def block(self):
        """A transaction in one batch."""
        if self.status != "I":
            return self.batch()
        ends = [parse("", self.rng.choice(["COMMIT", "COMMIT", "ROLLBACK"])), bind("", ""), execute()]
        return [parse("", "BEGIN"), bind("", ""), execute(), *self.one_extended(), *self.one_extended(), *ends, wire.SYNC], 1

    def statement(self):
        kind = self.rng.choice("ab")
        name = f"{kind}{self.generation}"
        sql = {"a": note("item:$1", "INSERT INTO items (id) VALUES ($1)"), "b": note("item", "INSERT INTO items (id) VALUES ($1) RETURNING *", True)}[kind]
        messages = [] if name in self.prepared else [parse(name, sql, (OID_UUID,))]
        if self.rng.random() < 0.1:
            messages = [close("S", name), parse(name, sql, (OID_UUID,))]
        self.prepared.add(name)
        for entity in self.ids():
            messages += [bind("", name, (entity,), self.rng.random() < 0.5), execute()]
        return [*messages, wire.SYNC], 1

    def copy(self):
        lines = "".join(entity + ("\tx\n" if self.rng.random() < 0.05 else "\t\\N\n") for entity in self.ids())
        return [query(note("item", "COPY items (id, n) FROM STDIN")), copy_data(lines.encode()), wire.COPY_DONE], 1

    def control(self):
        if self.status == "I":
            return [query(self.rng.choice(["BEGIN", "BEGIN", "START TRANSACTION", "SELECT 1/0"]))], 1
        if self.status == "E" and self.n_savepoints == 0:
            return [query(self.rng.choice(["COMMIT", "ROLLBACK"]))], 1
        choice = self.rng.random()
        if self.status == "T" and choice < 0.4:
            self.n_savepoints += 1
            return [query("SAVEPOINT s")], 1
        if self.n_savepoints and choice < 0.7:
            return [query("ROLLBACK TO s")], 1
        if self.status == "T" and choice < 0.75:
            return [query("SET CONSTRAINTS ALL IMMEDIATE")], 1
        return [query("COMMIT" if self.rng.random() < 0.7 else "ROLLBACK")], 1

    def step(self):
        shapes = [self.simple, self.string, self.extended, self.batch, self.pipeline, self.block, self.statement, self.copy, self.control, self.control]
        messages, n_ready = self.rng.choice(shapes)()
        self.client.send(*messages)
        for _ in range(n_ready):
            answer = self.client.result()
            assert all(error.sqlstate in ("22012", "25P02", "22P02", "55000") for error in answer.errors), f"{[str(error) for error in answer.errors]} after {messages}"
            if answer.errors:
                self.prepared.clear()
                self.generation += 1
        self.status = answer.status
        if self.status == "I":
            self.n_savepoints = 0

    def end(self):
        if self.status != "I":
            self.client.query("COMMIT")


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_random_shapes_leave_the_notes_of_their_rows(cluster, database, start, mode):
    rng = seeded()
    proxy = start(users={"app": "annotations=all"}, pool_mode=mode, lanes={"default": 4 if mode == "transaction" else N_CLIENTS})
    seeds = [rng.random() for _ in range(N_CLIENTS)]

    def work(i):
        with proxy.client(database=database) as client:
            session = Session(client, random.Random(seeds[i]))
            for _ in range(N_STEPS):
                session.step()
            session.end()

    in_parallel(N_CLIENTS, work)
    written = rows(cluster, database)
    assert len(written) > N_STEPS
    assert notes(cluster, database, "item") == written
    assert cluster.run("SELECT count(*) FROM ml_vector_pending", database) == [(0,)]


def test_writers_of_few_entities_never_wait_in_a_circle(cluster, database, start):
    """They lock rows in one order and note them in any."""
    rng = seeded()
    proxy = start(users={"app": "annotations=all"})
    entities = [str(uuid.UUID(int=n + 1)) for n in range(5)]
    cluster.run("INSERT INTO items (id) SELECT * FROM unnest(%s::uuid[])", database, (entities,))
    seeds = [rng.random() for _ in range(N_CLIENTS)]

    def work(i):
        own = random.Random(seeds[i])
        with proxy.client(database=database) as client:
            for _ in range(N_STEPS):
                chosen = sorted(own.sample(entities, 3))
                noted = own.sample(chosen, 3)
                assert client.query("BEGIN").errors == []
                for entity, other in zip(chosen, noted):
                    sql = f"UPDATE items SET name = 'x' WHERE id = '{entity}'"
                    answer = client.query(own.choice([note(f"item:{other}", sql), note("item", sql + " RETURNING id")]))
                    assert answer.tags == ["UPDATE 1"], answer.messages
                assert client.query("COMMIT").tags == ["COMMIT"]

    in_parallel(N_CLIENTS, work)
    assert notes(cluster, database, "item") == entities


def quiet(cluster, database):
    """Nobody of the database runs anything, or is in a transaction."""
    return not cluster.run("SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() AND state <> 'idle'", arguments=(database,))


def insists(proxy, database, seed, stop):
    """Steps until it is told to stop, whatever happens to its connection."""
    rng = random.Random(seed)
    while not stop.is_set():
        try:
            with proxy.client(database=database) as client:
                session = Session(client, rng)
                while not stop.is_set():
                    session.step()
                return
        except (wire.Closed, wire.ServerError, OSError, AssertionError):
            continue


def hunt(cluster, database, proxy, rng, strike, n_strikes):
    """Clients at work while strike() falls again and again; afterwards the outbox is what the table is."""
    stop = threading.Event()
    threads = [threading.Thread(target=insists, args=(proxy, database, rng.random(), stop), daemon=True) for _ in range(N_CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        for n in range(n_strikes):
            before = len(rows(cluster, database))
            system.eventually(lambda: len(rows(cluster, database)) > before + rng.randint(0, 60), 30, "work")
            strike()
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    system.eventually(lambda: quiet(cluster, database), 20, "the end of what was under way")
    assert notes(cluster, database, "item") == rows(cluster, database)
    assert cluster.run("SELECT count(*) FROM ml_vector_pending", database) == [(0,)]


def backends(cluster, database):
    return [pid for pid, in cluster.run("SELECT pid FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid() AND state <> 'idle'", arguments=(database,))]


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_backends_that_are_ended_leave_the_notes_of_their_rows(cluster, database, start, mode):
    rng = seeded()
    proxy = start(users={"app": "annotations=all"}, pool_mode=mode)

    def strike():
        busy = backends(cluster, database)
        if busy:
            cluster.run("SELECT pg_terminate_backend(%s)", arguments=(rng.choice(busy),))

    hunt(cluster, database, proxy, rng, strike, scaled(20, 6))


def test_clients_that_vanish_leave_the_notes_of_their_rows(cluster, database, start):
    """Each says a step and is gone, at any moment of it."""
    rng = seeded()
    proxy = start(users={"app": "annotations=all"})
    for _ in range(scaled(150, 40)):
        with proxy.client(database=database) as client:
            session = Session(client, rng)
            for _ in range(rng.randint(0, 3)):
                session.step()
            messages, _ = rng.choice([session.simple, session.string, session.batch, session.pipeline, session.statement, session.copy])()
            whole = b"".join(messages)
            is_whole = rng.random() < 0.3
            client.send(whole if is_whole else whole[:rng.randint(1, len(whole))])
            if is_whole and rng.random() < 0.5:
                client.receive()
    system.eventually(lambda: quiet(cluster, database), 20, "the end of what was under way")
    assert notes(cluster, database, "item") == rows(cluster, database)


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_pglane_killed_leaves_the_notes_of_the_rows(cluster, database, start, mode):
    rng = seeded()
    proxy = start(users={"app": "annotations=all"}, pool_mode=mode)

    def strike():
        proxy.process.send_signal(signal.SIGKILL)
        proxy.process.wait(20)
        system.eventually(lambda: quiet(cluster, database), 20, "the end of what was under way")
        assert notes(cluster, database, "item") == rows(cluster, database)
        proxy.start()

    hunt(cluster, database, proxy, rng, strike, scaled(8, 3))
