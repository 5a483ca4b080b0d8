# SPDX-License-Identifier: ISC
"""The outbox between several sessions: leases, zombies, changes that arrive while a worker works, writers that nobody makes wait."""

import threading

import psycopg2
import pytest

from harness import system

EVENT = "md5('1event7')::uuid"


@pytest.fixture
def tracked(cluster, database):
    """A database whose service_events are tracked and whose outbox is empty."""
    cluster.run("SELECT ml_vector_track('service_events', 'service_event'); DELETE FROM ml_vector_outbox", database)
    return database


@pytest.fixture
def session(cluster, tracked):
    """session() -> a connection that waits for no lock longer than 2 s."""
    opened = []

    def opener(autocommit=True):
        opened.append(cluster.connect(tracked, options="-c lock_timeout=2s -c deadlock_timeout=100ms"))
        opened[-1].autocommit = autocommit
        return opened[-1]

    yield opener
    for connection in opened:
        connection.close()


def ask(connection, sql, arguments=None):
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def change(connection, condition=f"id = {EVENT}"):
    assert ask(connection, f"UPDATE service_events SET description = description || '!' WHERE {condition}") > 0


def lease(connection, limit=100, length="30 s"):
    """[(lease, entity_type, entity_id, op, gen)]"""
    return ask(connection, "SELECT lease, entity_type, entity_id, op, gen FROM ml_outbox_lease(%s, %s)", (limit, length))


def finish(connection, notes):
    """Says done for leased notes of one lease; how many were deleted."""
    types, ids, gens = ([note[i] for note in notes] for i in (1, 2, 4))
    return ask(connection, "SELECT ml_outbox_done(%s, %s, %s::uuid[], %s)", (notes[0][0], types, [str(i) for i in ids], gens))[0][0]


def outbox(connection):
    return ask(connection, "SELECT op, gen FROM ml_vector_outbox")


def test_a_rolled_back_change_leaves_no_note(session):
    writer = session(autocommit=False)
    change(writer)
    assert len(outbox(writer)) == 1
    writer.rollback()
    assert outbox(writer) == []


def test_two_workers_share_the_notes_and_neither_waits(session):
    change(session(), "true")
    one, two = session(autocommit=False), session()
    first = lease(one, 200)
    second = lease(two, 200)
    assert len(first) == len(second) == 200
    assert not {note[2] for note in first} & {note[2] for note in second}


def test_a_delete_during_the_lease_survives_done(session):
    writer, worker = session(), session()
    change(writer)
    notes = lease(worker)
    assert [note[3] for note in notes] == ["U"]
    ask(writer, f"DELETE FROM service_events WHERE id = {EVENT}")
    assert finish(worker, notes) == 0
    assert [op for op, _ in outbox(worker)] == ["D"]
    again = lease(worker)
    assert [note[3] for note in again] == ["D"] and again[0][4] > notes[0][4]
    assert finish(worker, again) == 1 and outbox(worker) == []


def test_a_change_during_the_lease_is_not_given_to_another_worker(session):
    """With one column for both times the note would be due at once, and two workers would write the same object in either order."""
    writer, one, two = session(), session(), session()
    change(writer)
    notes = lease(one)
    change(writer)
    assert lease(two) == []
    assert finish(one, notes) == 0
    assert len(lease(two)) == 1


def test_a_zombie_deletes_nothing(session):
    """Its lease has run out and another worker has the note: neither that worker's lease nor a finished note is touched by it."""
    writer, zombie, worker = session(), session(), session()
    change(writer)
    old = lease(zombie, length="10 milliseconds")
    assert len(old) == 1
    new = system.eventually(lambda: lease(worker), 10, "the note being due again")
    assert finish(zombie, old) == 0
    assert len(outbox(worker)) == 1 and lease(session()) == []
    assert finish(worker, new) == 1
    assert finish(zombie, old) == 0 and outbox(worker) == []


def test_a_leased_note_makes_no_writer_wait(session):
    writer, worker = session(), session()
    change(writer)
    assert lease(worker)
    change(writer)


def test_done_does_not_wait_for_a_writer_nor_take_its_note(session):
    writer, worker = session(autocommit=False), session()
    change(session())
    notes = lease(worker)
    change(writer)
    assert finish(worker, notes) == 0
    writer.commit()
    assert len(outbox(worker)) == 1


def test_failures_wait_and_are_parked_in_the_end(session):
    worker = session()
    change(worker)
    for i in range(100):
        ask(worker, "UPDATE ml_vector_outbox SET next_attempt = now() - interval '1 s', leased_until = NULL")
        notes = lease(worker)
        if not notes:
            break
        arguments = (notes[0][0], [notes[0][1]], [str(notes[0][2])], [notes[0][4]], [f"attempt {i}: refused"])
        ask(worker, "SELECT ml_outbox_fail(%s, %s, %s::uuid[], %s, %s)", arguments)
        if outbox(worker):
            assert lease(worker) == [], "a failed note is due at once"
    assert outbox(worker) == [] and 3 <= i < 50
    assert ask(worker, "SELECT count(*), min(last_error) FROM ml_vector_dead") == [(1, f"attempt {i - 1}: refused")]


def test_workers_and_writers_together_lose_nothing(session):
    """Writers update and delete while workers drain. What the workers have put into their store in the end is what the table says, and no note is left."""
    store, failures, writing = {}, [], threading.Event()
    writing.set()

    def work(connection):
        """A note that a writer holds while it is finished keeps its lease; finishing it once more when the writer is through makes it due."""
        unfinished = []
        while writing.is_set() or outbox(connection):
            notes = lease(connection, 20)
            for note in notes:
                store[note[2]] = ask(connection, "SELECT ml_vector_object(%s, %s)", (note[1], note[2]))[0][0]
            unfinished = [batch for batch in [*unfinished, notes] if batch and finish(connection, batch) < len(batch)][-3:]

    def write(connection, seed):
        for i in range(120):
            event = f"md5('1event' || {1 + (i * 7 + seed) % 60})::uuid"
            if (i + seed) % 10:
                ask(connection, f"UPDATE service_events SET description = 'change {seed} {i}' WHERE id = {event}")
            else:
                ask(connection, f"DELETE FROM service_events WHERE id = {event}")

    def guarded(function, *arguments):
        def run():
            try:
                function(*arguments)
            except Exception as error:  # in a thread: told by the assertion below
                failures.append(error)
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    workers = [guarded(work, session()) for _ in range(3)]
    writers = [guarded(write, session(), seed) for seed in range(4)]
    for thread in writers:
        thread.join(60)
    writing.clear()
    for thread in workers:
        thread.join(60)
    assert not failures and not any(thread.is_alive() for thread in workers + writers)
    reader = session()
    assert outbox(reader) == [] and len(store) == 60
    for event, stored in store.items():
        assert ask(reader, "SELECT ml_vector_object('service_event', %s)", (event,))[0][0] == stored, event


def test_unknown_entity_types_are_refused(session):
    with pytest.raises(psycopg2.errors.InvalidParameterValue):
        ask(session(), "SELECT ml_outbox_note('weather', gen_random_uuid())")
