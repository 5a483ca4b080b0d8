# SPDX-License-Identifier: ISC
"""Random sessions, many at once on few servers, each beside an oracle: a connection of its own straight to PostgreSQL that is sent the same. What
comes back must be the same, message by message. PGLANE_SEED varies the steps, and is printed; PGLANE_STEPS is how many steps each client makes."""

import os
import random
import re

import psycopg

from harness import system, wire
from harness.traffic import in_parallel, memory_limit, scaled

N_CLIENTS = 10
N_DRIVERS = 3
N_STEPS = int(os.environ.get("PGLANE_STEPS", scaled(250, 40)))
NAMES = ["a", "b", "c"]

# A statement, the values that may be bound to it, and whether it works in an open transaction only.
STATEMENTS = [
    ("SELECT $1::int + 1", [["1"], ["41"], ["x"], []]),
    ("SELECT n, t FROM {s}.items WHERE n < $1 ORDER BY n, t", [["5"], ["1000"], [None]]),
    ("INSERT INTO {s}.items VALUES ($1, $2)", [["1", "one"], ["2", None], ["3", "three"], ["x", "bad"]]),
    ("INSERT INTO {s}.items SELECT g, 'many' FROM generate_series(1000, 1020) g ON CONFLICT DO NOTHING", [[]]),
    ("UPDATE {s}.items SET t = $1 WHERE n = 102 RETURNING n", [["changed"], [None]]),
    ("DELETE FROM {s}.items WHERE n > $1", [["2"], ["500"]]),
    ("SELECT g, repeat('y', g % 700) FROM generate_series(1, $1::int) g", [["3"], ["700"]]),
    ("SELECT 10 / ($1::int - 3)", [["3"], ["4"]]),
    ("SELECT '2026-02-03'::date, '2026-02-03 04:05:06+00'::timestamptz", [[]]),
    ("SHOW DateStyle", [[]]),
    ("SELECT current_setting('application_name')", [[]]),
    ("SELECT", [[]]),
    ("", [[]]),
    ("SELEC 1", [[]]),
    ("SELECT * FROM {s}.nothing_there", [[]]),
    ("SELECT repeat('z', $1::int)", [["10"], ["90000"], ["300000"]]),
    ("SELECT repeat('w', $1::int)::int", [["10"], ["80000"]]),
    ("/*ml_class='vector'*/ SELECT $1::text", [["v"]]),
]
SIMPLE = [
    "SELECT 1", "SELECT 1; SELECT 2", "", "SELECT 1/0", "SELEC", "INSERT INTO {s}.items VALUES (7, 'seven')", "SELECT count(*) FROM {s}.items",
    "SELECT 1; INSERT INTO {s}.items VALUES (8, 'eight'); SELECT 1/0", "SELECT g, repeat('q', 50) FROM generate_series(1, 2000) g",
    "SET DateStyle = 'German'", "SET DateStyle = 'ISO, DMY'", "SET TimeZone = 'Asia/Tokyo'", "SET TimeZone = 'UTC'", "SET application_name = 'näme'",
    "SET application_name = 'two'", "RESET DateStyle", "RESET TimeZone", "SET LOCAL DateStyle = 'SQL'", "SHOW TimeZone", "SHOW application_name",
    "SELECT '2026-02-03'::date", "SAVEPOINT p", "ROLLBACK TO p", "RELEASE p", "/*ml_class='vector'*/ SELECT 'vector'", "TRUNCATE {s}.items",
    "DO $$ BEGIN RAISE NOTICE 'noticed'; END $$", "DO $$ BEGIN RAISE EXCEPTION 'raised' USING ERRCODE = 'P9999'; END $$",
    "COPY (SELECT g FROM generate_series(1, 300) g) TO STDOUT", "COPY (SELECT n, t FROM {s}.items ORDER BY n, t) TO STDOUT",
    "SELECT repeat('e', 150000)::int",
]
BEGINS = ["BEGIN", "START TRANSACTION", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN READ ONLY", "BEGIN /* with a comment */"]
ENDS = ["COMMIT", "ROLLBACK", "END", "ABORT"]
COPY_BODIES = [b"100\tcopied\n101\t\\N\n", b"102\tx\n" * 1, b"x\tbad\n", b"", b"".join(b"%d\tbulk\n" % n for n in range(5000, 9000))]

STATEMENT_NAME = re.compile(r'prepared statement "\w*"')
SCHEMA = re.compile(rb"\bx(\d+)[po]\b")


def comparable(kind, body):
    """The message without what must differ: schemas, OIDs, the names that copies of statements have on servers."""
    body = SCHEMA.sub(rb"x\1", body)
    if kind == "E":
        fields = wire.error_fields(body)
        if fields["C"] in ("26000", "42P05", "34000"):
            return kind, fields["C"]
        return kind, fields["C"], STATEMENT_NAME.sub("prepared statement", fields["M"]), fields.get("D"), fields.get("S")
    if kind == "N":
        fields = wire.error_fields(body)
        return kind, fields["C"], fields["M"]
    if kind == "T":
        return kind, tuple(wire.column_names(body))
    return kind, body


def split(data, rng):
    """The bytes in pieces that do not care for messages."""
    if rng.random() < 0.6 or len(data) < 2:
        return [data]
    cuts = sorted(rng.sample(range(1, len(data)), min(len(data) - 1, rng.randint(1, 4))))
    return [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]


class Session:
    """One client and its oracle."""

    def __init__(self, proxy, cluster, number, seed):
        self.proxy, self.cluster, self.number, self.seed = proxy, cluster, number, seed
        self.rng = random.Random(f"{seed} {number}")
        self.history = []
        for side in "po":
            cluster.run(f"CREATE SCHEMA x{number}{side} AUTHORIZATION app; CREATE TABLE x{number}{side}.items (n int, t text);"
                        f"ALTER TABLE x{number}{side}.items OWNER TO app; CREATE UNIQUE INDEX ON x{number}{side}.items (n) WHERE n < 50", "app")
        self.connect()

    def connect(self):
        self.subject = self.proxy.client()
        self.oracle = wire.RawClient("127.0.0.1", self.cluster.port, 60).login()
        self.status, self.unnamed, self.portals = "I", None, set()

    def close(self):
        self.subject.close()
        self.oracle.close()

    # both sides

    def send(self, data):
        """data: bytes with {s}-made schemas of the subject."""
        self.history.append(data[:300])
        theirs = SCHEMA.sub(rb"x\1o", data)
        assert len(theirs) == len(data)
        self.oracle.send(theirs)
        for piece in split(data, self.rng):
            self.subject.send(piece)

    def until(self, kinds):
        """Both sides' messages up to one of these kinds, compared."""
        expected = self.oracle.receive_until(kinds)
        got = []
        try:
            while not got or got[-1][0] not in kinds:
                got.append(self.subject.receive())
        except (wire.Closed, TimeoutError) as error:
            self.fail(expected, got, error)
        if self.order(expected) != self.order(got) and not self.is_refused(expected, got):
            self.fail(expected, got, None)
        return got

    def is_refused(self, expected, got):
        """A transaction that failed before it had a server: PostgreSQL may find another fault with a statement before it finds that one."""
        return self.status == "E" and [kind for kind, _ in got] == ["E", "Z"] and wire.error_fields(got[0][1])["C"] == "25P02" and \
            got[1][1] == b"E" == expected[-1][1]

    @staticmethod
    def order(messages):
        """Notices and parameters may come anywhere in a reply; the order of the rest is the protocol's."""
        masked = [comparable(*m) for m in messages]
        return [m for m in masked if m[0] not in "NS"], sorted(m for m in masked if m[0] == "S"), [m for m in masked if m[0] == "N"]

    def ready(self):
        result = wire.Result(self.until("Z"))
        self.status = result.status
        if self.status == "I":
            self.portals.clear()
        return result

    def fail(self, expected, got, error):
        def short(messages):
            return [(kind, body[:160]) for kind, body in messages[-40:]]
        raise AssertionError(f"seed {self.seed}, client {self.number}: {error!r}\nexpected {short(expected)}\ngot      {short(got)}\nafter\n" +
                             "\n".join(repr(step) for step in self.history[-int(os.environ.get("PGLANE_HISTORY", "12")):]))

    # steps

    def sql(self, text):
        return text.replace("{s}", f"x{self.number}p")

    def simple(self, text):
        self.send(wire.query(self.sql(text)))
        self.unnamed = None
        self.ready()

    def step_simple(self):
        self.simple(self.rng.choice(SIMPLE))

    def step_transaction(self):
        if self.status == "I":
            self.simple(self.rng.choice(BEGINS))
        elif self.rng.random() < 0.7:
            self.simple(self.rng.choice(ENDS))

    def step_extended_transaction(self):
        text = self.rng.choice(BEGINS if self.status == "I" else ENDS)
        self.send(wire.parse("", text) + wire.bind("", "") + (wire.describe("P") if self.rng.random() < 0.5 else b"") + wire.execute() + wire.SYNC)
        self.unnamed = None
        self.ready()

    def part(self):
        """Some messages of a batch, without its end."""
        rng, out = self.rng, b""
        kind = rng.choice(["whole", "whole", "whole", "parse", "named", "named", "close", "describe", "portal", "flush"])
        if self.status == "E" and kind in ("close", "describe"):
            kind = "whole"
        text, values = rng.choice([entry for entry in STATEMENTS if entry[0] or self.status != "E"])
        # A Parse whose copy a server has is answered without asking it, also in a failed transaction.
        name = rng.choice(NAMES)
        if kind == "whole":
            # What a suspended UPDATE did is seen by the next statement of the batch only if a Parse comes between, be it a replayed one.
            limit = rng.choice([0, 0, 1, 5]) if text.startswith("SELECT") else 0
            out = wire.parse("", self.sql(text)) + wire.bind("", "", rng.choice(values)) + wire.describe("P") + wire.execute("", limit)
        elif kind == "parse" and self.status != "E":
            # Without a server, a name that is taken is refused before anybody looks at the text.
            is_faulty = text.startswith("SELEC 1") or "nothing_there" in text
            out = (wire.close("S", name) if is_faulty or rng.random() < 0.7 else b"") + wire.parse(name, self.sql(text))
        elif kind == "named":
            out = wire.bind("", name, rng.choice(values)) + (wire.describe("P") if rng.random() < 0.5 else b"") + wire.execute()
        elif kind == "close":
            out = wire.close(rng.choice("SP"), name)
        elif kind == "describe":
            out = wire.describe("S", name)
        elif kind == "portal" and self.status == "T":
            portal = rng.choice(["p1", "p2"])
            if portal in self.portals:
                out = wire.execute(portal, 2)
            else:
                self.portals.add(portal)
                out = wire.parse("", "SELECT generate_series(1, 9)") + wire.bind(portal, "") + wire.execute(portal, 2)
        elif kind == "flush":
            out = wire.FLUSH
        return out

    def step_batch(self):
        self.send(b"".join(self.part() for _ in range(self.rng.randint(1, 5))) + wire.SYNC)
        self.unnamed = None
        self.ready()

    def step_pipeline(self):
        """Several Syncs, and simple queries, in one send."""
        n, data = self.rng.randint(2, 6), b""
        in_transaction = self.status
        for _ in range(n):
            if self.rng.random() < 0.3:
                data += wire.query(self.sql(self.rng.choice([text for text in SIMPLE if not text.startswith("COPY")] + BEGINS + ENDS)))
            else:
                self.status = "E"  # nothing here that depends on how the transaction stands
                data += b"".join(self.part() for _ in range(self.rng.randint(1, 3))) + wire.SYNC
        self.status = in_transaction
        self.send(data)
        for _ in range(n):
            self.ready()

    def step_flush(self):
        """Replies without a Sync, then the rest of the batch."""
        self.send(wire.parse("", self.sql(self.rng.choice(["SELECT generate_series(1, 5)", "SELECT 1/0", "INSERT INTO {s}.items VALUES (9, 'nine')"]))) +
                  wire.bind("", "") + wire.execute("", self.rng.choice([0, 2])) + wire.FLUSH)
        self.until("CsEI")
        self.send(self.rng.choice([wire.SYNC, wire.parse("", "SELECT 5") + wire.bind("", "") + wire.execute() + wire.SYNC]))
        self.ready()

    def step_copy_in(self):
        body, end = self.rng.choice(COPY_BODIES), self.rng.choice([wire.COPY_DONE, wire.COPY_DONE, wire.copy_fail("changed my mind")])
        data = b"".join(wire.copy_data(piece) for piece in split(body, self.rng)) + end
        start = wire.query(self.sql("COPY {s}.items FROM STDIN"))
        if self.rng.random() < 0.4:
            self.send(start + data)
        else:
            self.send(start)
            if self.until("GE")[-1][0] == "G":
                self.send(data)
        self.unnamed = None
        self.ready()

    def step_copy_in_extended(self):
        if self.status == "E":
            return
        data = wire.copy_data(self.rng.choice(COPY_BODIES)) + self.rng.choice([wire.COPY_DONE, wire.copy_fail("no")])
        start = wire.parse("", self.sql("COPY {s}.items FROM STDIN")) + wire.bind("", "") + wire.execute()
        style = self.rng.randrange(3)
        if style == 0:
            self.send(start + data + wire.SYNC)
        else:
            self.send(start + (wire.SYNC if style == 1 else wire.FLUSH))
            if self.until("GE")[-1][0] == "E":
                if style == 2:
                    self.send(wire.SYNC)
                self.ready()
                return
            self.send(data + wire.SYNC)
        self.unnamed = None
        self.ready()

    def step_cancel(self):
        """Only outside of transactions, and only the subject: it gets its answer or 57014."""
        if self.status != "I":
            return
        self.subject.send(wire.query("SELECT pg_sleep(0.02), 'uncancelled'"))
        self.proxy.cancel(self.subject)
        result = self.subject.result()
        assert result.status == "I"
        assert result.sqlstate == "57014" or result.rows[0][1] == b"uncancelled", result.messages

    def step_vanish(self):
        """Both connections end in the middle of something; what was not committed is not there afterwards."""
        leave = self.rng.choice([
            b"", wire.query("SELECT pg_sleep(0.3)"), wire.query(self.sql("COPY {s}.items FROM STDIN")) + wire.copy_data(b"200\tgone\n"),
            wire.parse("", self.sql("INSERT INTO {s}.items VALUES (201, 'gone')")) + wire.bind("", "") + wire.execute(),
            wire.parse("", "SELECT 1") + wire.bind("", "") + wire.execute() + wire.FLUSH,
            wire.query(self.sql("SELECT 'half a message'"))[:-7], wire.bind("", "a", ["x" * 5000])[:3000], wire.TERMINATE,
            wire.query("SELECT repeat('l', 5000000)"), wire.query("SELECT 1") * 20 + wire.TERMINATE,
            wire.parse("", self.sql("COPY {s}.items FROM STDIN")) + wire.bind("", "") + wire.execute() + wire.SYNC,
        ])
        self.send(leave)
        if self.rng.random() < 0.3:
            self.subject.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: a reset
        self.close()
        self.history.append(b"-- vanished")
        self.connect()

    STEPS = [(12, step_simple), (6, step_transaction), (3, step_extended_transaction), (12, step_batch), (6, step_pipeline), (3, step_flush),
             (3, step_copy_in), (2, step_copy_in_extended), (1, step_cancel), (1, step_vanish)]

    def run(self):
        weights, steps = [weight for weight, _ in self.STEPS], [step for _, step in self.STEPS]
        for _ in range(N_STEPS):
            self.rng.choices(steps, weights)[0](self)
        if self.status != "I":
            self.simple("ROLLBACK")
        self.simple("SELECT n, t FROM {s}.items ORDER BY n, t")
        self.close()


def drive(proxy, number, seed):
    """A driver's view: transactions of psycopg, also in pipeline mode, that count what they did."""
    rng, n = random.Random(f"{seed} driver {number}"), 0
    with psycopg.connect(host=proxy.host, port=proxy.port, dbname="app", user="app", autocommit=True, sslmode="disable") as connection:
        connection.execute(f"CREATE TABLE driven_{number} (n int)")
        for i in range(N_STEPS):
            keep = rng.random() < 0.7
            try:
                with connection.transaction():
                    if rng.random() < 0.5:
                        with connection.pipeline():
                            for _ in range(3):
                                connection.execute(f"INSERT INTO driven_{number} VALUES (%s)", (i,), prepare=rng.random() < 0.5)
                    else:
                        for _ in range(3):
                            connection.execute(f"INSERT INTO driven_{number} VALUES (%s)", (i,), prepare=True)
                    assert connection.execute(f"SELECT count(*) FROM driven_{number}").fetchone() == (n + 3,)
                    if not keep:
                        connection.execute(rng.choice(["SELECT 1/0", "SELEC", "SELECT %s::int"]), ("x",) if rng.random() < 0.1 else None)
                        raise psycopg.Rollback()
                n += 3
            except (psycopg.Error, psycopg.Rollback):
                assert not keep
        assert connection.execute(f"SELECT count(*) FROM driven_{number}").fetchone() == (n,)


def test_random_sessions(start, cluster):
    seed = int(os.environ.get("PGLANE_SEED", 1))
    print(f"PGLANE_SEED={seed} PGLANE_STEPS={N_STEPS}")
    proxy = start(lanes={"default": 3, "vector": 1}, workers=2, max_prepared_statements=3, queue_timeout=120)
    sessions = [Session(proxy, cluster, number, seed) for number in range(N_CLIENTS)]
    before = proxy.resident_bytes()

    def work(i):
        if i < N_CLIENTS:
            try:
                sessions[i].run()
            finally:  # one that failed holds up nobody else
                sessions[i].close()
        else:
            drive(proxy, i, seed)

    in_parallel(N_CLIENTS + N_DRIVERS, work, timeout_s=max(140, N_STEPS))
    with proxy.console() as console:
        system.eventually(lambda: not any(lane["in_use"] or lane["waiting"] for lane in console.show("LANES")), what="every permit's return")
        budget = console.show("BUDGET")[0]
        assert budget["slots"] <= budget["budget"]
        system.eventually(lambda: not any(row["state"] == "active" for row in console.show("SERVERS")))
    assert proxy.resident_bytes() - before < memory_limit(48 << 20)
    system.eventually(lambda: not cluster.backends("state <> 'idle'"), what="backends at rest")
