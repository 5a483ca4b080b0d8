# SPDX-License-Identifier: ISC
"""Random transactions on random entities, while random faults befall pglane, PostgreSQL and Weaviate: afterwards Weaviate's content equals the table's.

The seed is printed; PGLANE_SEED=n repeats its choices (threads and processes still take turns as they like). PGLANE_TEST_SECONDS makes it longer.
"""

import collections
import os
import random
import signal
import threading

import psycopg
import psycopg2
import pytest

from harness import system, traffic
from harness.shop import CUSTOMER, ENTITY, ORGANIZATION, kill
from harness.traffic import Background

SECONDS = float(os.environ.get("PGLANE_TEST_SECONDS", max(5, traffic.scaled(12))))
N_WRITERS = 4
PACE_S = 0.02  # between transactions: the faults shall meet changes, and not a day's worth of them afterwards
BATCH = "POST /v1/batch/objects"
DELETES = "DELETE /v1/.*"
ANY = "(POST|DELETE) /v1/.*"

# none: the connection ended without a word. 57P01, 57P02, 57P03: PostgreSQL ends, crashed, starts. 40P01: deadlock.
EXPECTED = {"none", "57P01", "57P02", "57P03", "40P01"}

# Shorter than weaviate_write_timeout below: what it promises holds of these too.
RULES = [
    {"do": "answer", "status": 500, "call": ANY}, {"do": "answer", "status": 503, "call": ANY}, {"do": "answer", "status": 429, "call": ANY},
    {"do": "empty", "call": ANY}, {"do": "empty", "done": True, "call": ANY},
    {"do": "cut", "call": ANY}, {"do": "cut", "late": True, "call": ANY}, {"do": "cut", "late": True, "bytes": 120, "call": BATCH},
    {"do": "slow", "seconds": 0.1, "call": ANY}, {"do": "slow", "seconds": 0.7, "call": ANY}, {"do": "slow", "seconds": 0.7, "late": True, "call": ANY},
    {"do": "refuse", "every": 2, "text": "context deadline exceeded", "call": BATCH}, {"do": "refuse", "every": 3, "text": "store is read-only", "call": BATCH},
    *({"do": "lie", "how": how, "call": BATCH} for how in ("one_too_few", "other_order", "other_ids", "no_result", "error_in_success", "no_json")),
]


class Ids:
    """The rows that were committed, and perhaps deleted since."""

    def __init__(self):
        self.lock, self.ids = threading.Lock(), []

    def add(self, ids):
        with self.lock:
            self.ids += ids

    def pick(self, dice, more):
        """One of them, or of more."""
        with self.lock:
            if more and (not self.ids or dice.random() < 0.5):
                return dice.choice(more)
            return dice.choice(self.ids) if self.ids else None


class Writer:
    """A client that never gives up: what it loses with its connection it does not mind. By the simple protocol (psycopg2), or by the extended one (psycopg)."""

    def __init__(self, proxy, ids, dice, is_extended):
        self.proxy, self.ids, self.dice, self.n_commits, self.is_extended = proxy, ids, dice, 0, is_extended
        self.made, self.errors = [], collections.Counter()  # made: in the present transaction

    def __call__(self, stop):
        connection = None
        while not stop.wait(PACE_S):
            try:
                connection = connection or self.connect()
                with connection.cursor() as cursor:
                    self.transaction(cursor)
            except (psycopg2.Error, psycopg.Error) as error:
                # Deadlocks are the application's own affair; a lost connection is made anew. What is not among these is a fault.
                sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or "none"
                if not (sqlstate in EXPECTED or sqlstate.startswith("08")):
                    raise
                self.errors[sqlstate] += 1
                if connection is not None and (connection.closed or isinstance(error, (psycopg2.OperationalError, psycopg.OperationalError))):
                    connection.close()
                    connection = None
                elif connection is not None:
                    with connection.cursor() as cursor:
                        cursor.execute("ROLLBACK")
        if connection is not None:
            connection.close()

    def connect(self):
        if self.is_extended:
            return psycopg.connect(host=self.proxy.host, port=self.proxy.port, dbname="shop", user="app", sslmode="disable", autocommit=True, connect_timeout=30, prepare_threshold=3)
        return self.proxy.connect("shop")

    def transaction(self, cursor):
        self.made = []
        if self.dice.random() < 0.4:
            self.statement(cursor)
            self.ids.add(self.made)
            return
        cursor.execute("BEGIN")
        for _ in range(self.dice.randint(1, 4)):
            if self.dice.random() < 0.15:
                before = list(self.made)
                cursor.execute("SAVEPOINT s")
                self.statement(cursor)
                cursor.execute("ROLLBACK TO s")
                self.made = before
            else:
                self.statement(cursor)
        if self.dice.random() < 0.2:
            cursor.execute("ROLLBACK")
            return
        cursor.execute("COMMIT")
        self.ids.add(self.made)
        self.n_commits += 1

    def statement(self, cursor):
        id, what = self.ids.pick(self.dice, self.made), self.dice.random()
        text = f"text {self.dice.randint(0, 99)} 'quoted' \"and\" käse"
        if id is None or what < 0.4:
            cursor.execute(f"/*ml_entity='{ENTITY}'*/ INSERT INTO service_events (organization_id, customer_id, event_type, service_date, description, location) "
                           "SELECT %s::uuid, %s::uuid, 'overflow', now(), %s, ST_SetSRID(ST_MakePoint(13.4, 52.5), 4326)::geography FROM generate_series(1, %s) RETURNING id::text",
                           (ORGANIZATION, CUSTOMER, text, self.dice.choice((1, 1, 1, 5))))
            self.made += [made for (made,) in cursor.fetchall()]
        elif what < 0.75:
            cursor.execute(f"/*ml_entity='{self.named(id, 3)}'*/ UPDATE service_events SET description = %s, duration_minutes = %s WHERE id = %s::uuid",
                           (text, self.dice.choice((None, 5, 60)), id))
        elif what < 0.85:
            cursor.execute(f"/*ml_entity='{self.named(id, 1)}'*/ DELETE FROM service_events WHERE id = %s::uuid", (id,))
        else:
            cursor.execute(f"/*ml_entity='{ENTITY}'*/ UPDATE service_events SET deleted_at = CASE WHEN deleted_at IS NULL THEN now() END WHERE id = %s::uuid RETURNING id", (id,))

    def named(self, id, place):
        """The row in an annotation: its id, or the parameter in which it is."""
        return f"{ENTITY}:${place}" if self.is_extended else f"{ENTITY}:{id}"


class Weather:
    """Faults, one after the other; calm() puts everything right again."""

    def __init__(self, shop, proxy, dice, weights=(12, 3, 2, 2, 1)):
        self.shop, self.proxy, self.dice, self.weights, self.n_faults = shop, proxy, dice, weights, 0

    def __call__(self, stop):
        while not stop.wait(self.dice.uniform(0.02, 0.4)):
            fault = self.dice.choices((self.rules, self.away, self.kill, self.freeze, self.crash), self.weights)[0]
            fault(stop)
            self.n_faults += 1

    def rules(self, stop):
        self.shop.weaviate.lay(*({**self.dice.choice(RULES), "times": self.dice.randint(1, 5), "skip": self.dice.randint(0, 3)} for _ in range(self.dice.randint(1, 3))))

    def away(self, stop):
        with self.shop.weaviate.away():
            stop.wait(self.dice.uniform(0, 1))

    def kill(self, stop):
        kill(self.proxy)
        self.proxy.start()

    def freeze(self, stop):
        """Long enough that leases end."""
        self.proxy.send_signal(signal.SIGSTOP)
        stop.wait(self.dice.uniform(0, 2.5))
        self.proxy.send_signal(signal.SIGCONT)

    def crash(self, stop):
        self.shop.cluster.stop(self.dice.choice((signal.SIGINT, signal.SIGKILL)))
        self.shop.cluster.start()

    def calm(self):
        """No faults any more; nobody is hurried, and what was put off is due."""
        self.shop.weaviate.lay()
        for proxy in self.shop.proxies:
            system.eventually(proxy.listens, 30, "pglane's answer")
            proxy.write(weaviate_timeout="20", weaviate_write_timeout="30")
            proxy.reload()
        self.shop.run("UPDATE ml_vector_outbox SET next_attempt = now()")


def seeded():
    seed = int(os.environ.get("PGLANE_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"PGLANE_SEED={seed}")
    return random.Random(seed)


def tell(writers, weather):
    """What happened, and that it was enough."""
    print(f"transactions {[writer.n_commits for writer in writers]}, errors {[dict(writer.errors) for writer in writers]}, {weather.n_faults} faults")
    assert all(writer.n_commits > SECONDS / 4 for writer in writers) and weather.n_faults > SECONDS / 4


def test_every_change_leaves_its_note(shop):
    """Of what was committed, and of nothing else: a trigger of the test writes down which rows were changed, and there is nobody who takes notes away."""
    proxy, dice, ids = shop.start(weaviate_url=""), seeded(), Ids()
    shop.run("""CREATE TABLE changed (id uuid);
                CREATE FUNCTION changes() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO changed VALUES (coalesce(NEW.id, OLD.id)); RETURN NULL; END $$;
                CREATE TRIGGER changes AFTER INSERT OR UPDATE OR DELETE ON service_events FOR EACH ROW EXECUTE FUNCTION changes()""")
    writers, weather = [Writer(proxy, ids, random.Random(dice.random()), i % 2) for i in range(N_WRITERS)], Weather(shop, proxy, random.Random(dice.random()), (0, 0, 3, 1, 1))
    with Background(*writers, weather):
        threading.Event().wait(SECONDS)
    missing = shop.run("SELECT id FROM changed EXCEPT SELECT entity_id FROM ml_vector_outbox")
    assert not missing, f"{len(missing)} changes have no note: {missing[:3]}"
    # A note of a row that was never there comes from a transaction that was undone: writers name only rows of their own or that were committed.
    invented = shop.run("SELECT entity_id FROM ml_vector_outbox EXCEPT SELECT id FROM changed")
    assert not invented, f"{len(invented)} notes are of rows that were never committed: {invented[:3]}"
    tell(writers, weather)


@pytest.mark.parametrize("n_pglanes", [1, 2])
def test_random_transactions_and_faults(shop, n_pglanes):
    ids, dice = Ids(), seeded()
    proxies = [shop.start(weaviate_timeout="0.3", weaviate_write_timeout="1", instance_id=f"pglane-{i}") for i in range(n_pglanes)]
    writers = [Writer(proxies[i % n_pglanes], ids, random.Random(dice.random()), i // 2 % 2) for i in range(N_WRITERS)]
    weather = Weather(shop, proxies[-1], random.Random(dice.random()))
    with Background(*writers, weather):
        threading.Event().wait(SECONDS)
    weather.calm()
    shop.check(120)
    tell(writers, weather)
