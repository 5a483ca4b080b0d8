# SPDX-License-Identifier: ISC
"""Random sessions in bad weather: servers and clients are killed, the configuration changes, lines are cut anywhere, buffers are tiny. Each client
knows its own bytes when it sees them, and what it wrote is there once, or not at all, or (when the answer was lost) one of the two.
PGLANE_SEED chooses the weather and the steps and is printed; PGLANE_WEATHER_S is how long it lasts."""

import contextlib
import os
import random
import socket
import threading
import time

import psycopg2
import pytest

from harness import system, wire
from harness.relay import Relay
from harness.traffic import Background, scaled

N_CLIENTS = 9
WEATHER_S = float(os.environ.get("PGLANE_WEATHER_S", 9))
PATIENCE_S = 30
DEBUG = os.environ.get("PGLANE_WEATHER_LOG")

# What weather may do to a statement: it was not executed; it may have been.
NOT_DONE = {"53300", "57P03", "25P02", "25006", "08P01"}
UNKNOWN = {"08006", "08007", "57P01", "57P02", "08003", "08000", "58000"}
SIZES = [0, 1, 5, 100, 4000, 16383, 16384, 65530, 65536, 131060, 131067, 131072, 131080, 200000, 262144]


class Lost(Exception):
    """The connection, or the statement, fell to the weather. known: it was certainly not executed."""

    def __init__(self, what, known=False):
        super().__init__(what)
        self.known = known


class Sailor:
    """One client: connects again whenever the weather takes its connection."""

    def __init__(self, storm, number, seed):
        self.storm, self.number = storm, number
        self.rng = random.Random(f"{seed} sailor {number}")
        self.me = f"<{number}>"
        self.database, self.user = self.rng.choice(storm.places)
        self.session = self.database == "sessions"
        self.statement_mode = self.database == "statements"
        self.outcomes, self.next_i = {}, 0
        self.client = None
        self.who = self.temporary = None
        self.history = []

    def note(self, what):
        self.history.append(what)
        if DEBUG:
            print(f"{time.monotonic():.3f} {self.number} {what}", flush=True)

    # the connection

    def connect(self):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self.client = self.dial()
                self.who, self.names, self.temporary = None, {}, False
                return
            except (wire.Closed, wire.ServerError, ConnectionError) as error:
                self.note(f"login: {error!r}")
                if isinstance(error, wire.ServerError):
                    assert error.sqlstate in NOT_DONE | UNKNOWN, error
                assert time.monotonic() < deadline, f"client {self.number} cannot log in: {error!r}"

    def dial(self):
        proxy = self.storm.proxy
        client = proxy.raw(PATIENCE_S)
        try:
            if self.storm.tiny:
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.rng.choice([2048, 8192, 65536]))
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.rng.choice([2048, 8192, 65536]))
            if self.storm.client_tls and self.rng.random() < 0.7:
                client.start_tls()
            options = {"TimeZone": self.rng.choice(["UTC", "Asia/Tokyo"])} if self.rng.random() < 0.3 else {}
            return client.login(user=self.user, database=self.database, protocol=self.rng.choice([wire.PROTOCOL_3_0, wire.PROTOCOL_3_2]), **options)
        except BaseException:
            client.close()
            raise

    def leave(self, rudely):
        if rudely and not hasattr(self.client.socket, "context"):
            self.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.client.close()

    def send(self, data):
        """In pieces that care for nothing. A long one is sent beside reading, so that nobody waits for the other."""
        pieces = [data]
        if self.rng.random() < 0.4 and len(data) > 1:
            cuts = sorted({self.rng.randrange(1, len(data)) for _ in range(self.rng.randint(1, 6))})
            pieces = [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]
        elif self.rng.random() < 0.1:
            pieces = [data[i:i + 1] for i in range(min(len(data), 300))] + [data[300:]]
        try:
            for piece in pieces:
                self.client.send(piece)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            # What was said last may still lie there.
            self.note(f"send: {error!r}")

    def receive_until(self, kinds):
        try:
            return self.client.receive_until(kinds)
        except wire.Closed as error:
            raise Lost("closed") from error
        except ConnectionError as error:
            raise Lost(repr(error)) from error

    def result(self):
        """Up to ReadyForQuery; what is in it is this client's."""
        messages = []
        try:
            while not messages or messages[-1][0] != "Z":
                messages.append(self.client.receive())
        except (wire.Closed, ConnectionError, OSError) as error:
            if isinstance(error, TimeoutError):
                self.note([(kind, body[:80]) for kind, body in messages[-5:]])
                raise
            result = wire.Result(messages)
            self.look(result)
            self.note(f"closed behind {result.kinds[-20:]} {[str(e) for e in result.errors]}")
            raise Lost(f"closed: {error!r}", bool(result.errors) and result.sqlstate in NOT_DONE) from error
        result = wire.Result(messages)
        self.look(result)
        self.note(f"{result.kinds[-30:]} {result.tags} {[str(e) for e in result.errors]}")
        return result

    def look(self, result):
        assert set(result.kinds) <= set("TDCEZ123nstISNGHdcA"), (self.number, result.kinds)
        for row in result.rows:
            assert row[0] == self.me.encode(), f"client {self.number} was given {row!r:.200} after {self.history[-8:]}"

    def check(self, result, allowed=()):
        """Raises Lost for what the weather does, AssertionError for what it does not."""
        if not result.errors:
            return result
        code = result.sqlstate
        assert code in NOT_DONE | UNKNOWN | set(allowed), f"client {self.number}: {result.errors} after {self.history[-8:]}"
        if code not in allowed:
            raise Lost(str(result.errors[0]), code in NOT_DONE)
        return result

    def recover(self):
        """After an error inside of a transaction."""
        self.send(wire.query("ROLLBACK"))
        result = self.result()
        if result.status != "I":
            raise Lost(f"ROLLBACK: {result.messages}")

    # steps

    def insert_sql(self, i):
        return f"INSERT INTO weather VALUES ({self.number}, {i})"

    def new(self):
        self.next_i += 1
        self.outcomes[self.next_i] = "unknown"
        return self.next_i

    def one(self, sql, values=(), name=""):
        return wire.parse(name, sql) + wire.bind("", name, values) + wire.execute()

    def settle(self, numbers, exchange):
        """exchange() runs what writes the numbers: all or nothing."""
        try:
            exchange()
        except Lost as lost:
            if lost.known:
                for i in numbers:
                    self.outcomes[i] = "not"
            raise
        for i in numbers:
            self.outcomes[i] = "done"

    def step_insert(self):
        i = self.new()
        how = self.rng.randrange(3)
        self.note(f"insert {i} {how}")
        if how == 0:
            self.send(wire.query(self.insert_sql(i)))
        elif how == 1:
            self.send(self.one(self.insert_sql(i)) + wire.SYNC)
        else:
            self.send(self.one(f"INSERT INTO weather VALUES ({self.number}, $1)", [i]) + wire.SYNC)
        self.settle([i], lambda: self.check(self.result()))

    def step_many(self):
        """Statements one behind the other, without waiting."""
        numbers = [self.new() for _ in range(self.rng.randint(2, 6))]
        self.note(f"many {numbers}")
        self.send(b"".join(wire.query(self.insert_sql(i)) if self.rng.random() < 0.5 else self.one(self.insert_sql(i)) + wire.SYNC for i in numbers))
        lost = None
        for i in numbers:
            try:
                self.settle([i], lambda: self.check(self.result()))
            except Lost as error:
                lost = error
                if "closed" in str(error):
                    break
        if lost:
            raise lost

    def step_transaction(self):
        if self.statement_mode:
            return
        numbers, commit = [self.new() for _ in range(self.rng.randint(1, 3))], self.rng.random() < 0.8
        lane = "/*ml_class='vector'*/ " if self.rng.random() < 0.4 else ""
        self.note(f"transaction {numbers} {commit} {lane}")
        for i in numbers:
            self.outcomes[i] = "not"
        style = self.rng.randrange(3)
        if style == 2:  # all in one batch: its end is the transaction's, or COMMIT's
            for i in numbers:
                self.outcomes[i] = "unknown"
            self.send(self.one("BEGIN") + b"".join(self.one(lane + self.insert_sql(i)) for i in numbers) + self.one("COMMIT" if commit else "ROLLBACK") + wire.SYNC)
            self.check(self.result())
            for i in numbers:
                self.outcomes[i] = "done" if commit else "not"
            return
        self.send(wire.query("BEGIN") if style else self.one("BEGIN") + wire.SYNC)
        self.check(self.result())
        try:
            if self.rng.random() < 0.3:
                self.send(wire.query("SET LOCAL work_mem = '5MB'"))
                self.check(self.result())
            for i in numbers:
                self.send(wire.query(lane + self.insert_sql(i)) if style else self.one(lane + self.insert_sql(i)) + wire.SYNC)
                self.check(self.result())
            if self.rng.random() < 0.1:
                self.leave(self.rng.random() < 0.5)
                raise Lost("left")
        except Lost as lost:
            if "closed" not in str(lost) and "left" not in str(lost) and not self.session:
                self.recover()
            raise
        if commit:
            for i in numbers:
                self.outcomes[i] = "unknown"
        self.send(wire.query("COMMIT" if commit else "ROLLBACK"))
        result = self.check(self.result())
        assert result.tags == ["COMMIT" if commit else "ROLLBACK"] and result.status == "I", result.messages
        for i in numbers:
            self.outcomes[i] = "done" if commit else "not"

    def step_copy(self):
        numbers = [self.new() for _ in range(self.rng.choice([1, 3]))]
        fail = self.rng.random() < 0.2
        self.note(f"copy {numbers} fail={fail}")
        start = f"COPY weather FROM STDIN"
        data = b"".join(wire.copy_data(f"{self.number}\t{i}\n".encode()) for i in numbers) + (wire.copy_fail("no") if fail else wire.COPY_DONE)
        extended = self.rng.random() < 0.4
        self.send(self.one(start) + wire.FLUSH if extended else wire.query(start))
        first = self.receive_until("GEZ")
        if first[-1][0] == "G":
            if self.rng.random() < 0.1:
                self.send(data[:self.rng.randrange(len(data))])
                self.leave(self.rng.random() < 0.5)
                raise Lost("left")
            self.send(data + (wire.SYNC if extended else b""))
        else:
            assert first[-1][0] == "E", first
            if extended:
                self.send(wire.SYNC)
        rest = self.receive_until("Z")
        result = wire.Result(first + rest)
        self.look(result)
        self.note(f"{result.kinds} {[str(e) for e in result.errors]}")

        def outcome():
            self.check(result, ["57014"] if fail else [])
            if fail:
                raise Lost("COPY failed", True)
        try:
            self.settle(numbers, outcome)
        except Lost:
            if not fail:
                raise

    def rows(self, n, size):
        return f"SELECT '{self.me}', g, repeat('{self.me}', {size // len(self.me)}) FROM generate_series(1, {n}) g"

    def step_rows(self):
        n, size = self.rng.choice([(1, 10), (3, 70000), (300, 200), (2000, 30), (2, 200000)])
        self.note(f"rows {n} {size}")
        extended = self.rng.random() < 0.5
        lane = "/*ml_class='vector'*/ " if self.rng.random() < 0.4 else ""
        sql = lane + self.rows(n, size)
        self.send(self.one(sql) + wire.SYNC if extended else wire.query(sql))
        result = self.check(self.result())
        assert [int(row[1]) for row in result.rows] == list(range(1, n + 1))
        assert all(row[2] == self.me.encode() * (size // len(self.me)) for row in result.rows)

    def step_echo(self):
        """A statement of a size at which something is full."""
        size = max(0, self.rng.choice(SIZES) + self.rng.randint(-40, 40))
        text = (self.me * (size // len(self.me) + 1))[:size]
        how = self.rng.randrange(3)
        self.note(f"echo {size} {how}")
        if how == 0:
            data = wire.query(f"SELECT '{self.me}', '{text}'")
        elif how == 1:
            data = self.one("SELECT $1::text, $2::text", [self.me, text]) + wire.SYNC
        else:
            data = self.one(f"SELECT $1::text, '{text}'", [self.me]) + wire.SYNC
        sender = threading.Thread(target=self.send, args=(data,), daemon=True)
        sender.start()
        try:
            result = self.check(self.result())
        finally:
            if self.client.socket.fileno() >= 0:
                sender.join(PATIENCE_S)
        assert result.rows == [[self.me.encode(), text.encode()]], f"client {self.number}: {result.kinds} {result.rows!r:.300} {self.history[-6:]}"

    def step_named(self):
        name = self.rng.choice("abc")
        data = b""
        if self.names.get(name) is None or self.rng.random() < 0.2:
            self.names[name] = f"SELECT '{self.me}', '{name}', {self.rng.randrange(3)}"
            data = wire.close("S", name) + wire.parse(name, self.names[name])
        expected = self.names[name].rsplit(" ", 1)[1]
        self.note(f"named {name} {expected} {bool(data)}")
        self.names[name], text = None, self.names[name]
        self.send(data + wire.bind("", name) + wire.execute() + wire.SYNC)
        result = self.check(self.result())
        assert result.rows == [[self.me.encode(), name.encode(), expected.encode()]], result.rows
        self.names[name] = text

    def step_setting(self):
        """What was SET is there, and is one's own."""
        self.note(f"setting {self.who}")
        if self.rng.random() < 0.3:
            self.who, value = None, self.rng.randrange(1000)
            self.unsure = True
            self.send(wire.query(f"SET my.who = '{self.me}{value}'"))
            self.check(self.result())
            self.who, self.unsure = f"{self.me}{value}", False
            return
        if getattr(self, "unsure", False):
            return
        self.send(wire.query(f"SELECT '{self.me}', coalesce(current_setting('my.who', true), ''), to_regclass('pg_temp.mine') IS NOT NULL"))
        result = self.check(self.result())
        _, who, has_table = result.rows[0]
        assert who.decode() == (self.who or ""), f"client {self.number} has {who}, not {self.who}"
        assert has_table == (b"t" if self.session and self.temporary else b"f"), f"client {self.number} finds a table"

    def step_taint(self):
        if self.temporary:
            return
        self.note("taint")
        if self.session:
            self.send(wire.query("CREATE TEMP TABLE mine (n int)"))
            self.check(self.result())
            self.temporary = True
            return
        self.send(wire.query("CREATE TEMP TABLE mine (n int)" if self.rng.random() < 0.5 else "SELECT '%s', pg_advisory_lock(%d)" % (self.me, self.number)))
        self.check(self.result())

    def step_cancel(self):
        right = self.rng.random() < 0.7
        marker = self.new()
        self.note(f"cancel {right} {marker}")
        self.send(wire.query(f"INSERT INTO weather SELECT {self.number}, {marker} FROM pg_sleep({self.rng.choice([0, 0.003, 0.03])})"))
        key = self.client.key if right else bytes(len(self.client.key))
        with contextlib.suppress(OSError):
            wire.send_cancel(self.storm.proxy.host, self.storm.proxy.port, self.client.pid, key)

        def outcome():
            result = self.check(self.result(), ["57014"] if right else [])
            if result.errors:
                raise Lost("canceled", True)
        try:
            self.settle([marker], outcome)
        except Lost as lost:
            if "canceled" not in str(lost):
                raise

    def step_flush(self):
        if self.statement_mode:
            return
        self.note("flush")
        self.send(self.one(self.rows(2, 10)) + wire.FLUSH)
        first = self.receive_until("CEZ")
        self.note(f"{[(k, b[:80]) for k, b in first]}")
        self.send(self.one(self.rows(1, 10)) + wire.close("S", "nothing") + wire.FLUSH if self.rng.random() < 0.5 else b"")
        self.send(wire.SYNC)
        result = wire.Result(first + self.receive_until("Z"))
        self.look(result)
        self.check(result)

    def step_vanish(self):
        i = self.new()
        self.note(f"vanish {i}")
        insert = wire.query(self.insert_sql(i))
        what = self.rng.choice([
            insert, insert[:-3], self.one(self.insert_sql(i)), self.one(self.insert_sql(i)) + wire.SYNC, wire.query("SELECT pg_sleep(0.05)") + insert,
            wire.query(self.rows(3000, 3000)), wire.query("COPY weather FROM STDIN") + wire.copy_data(f"{self.number}\t{i}\n".encode()), wire.TERMINATE,
            wire.bind("", "a", ["x" * 5000])[:3000], wire.query(self.insert_sql(i) + " -- " + "z" * 300000)[:200000], b"\0\0\0\0\0\0\0", b"Q\0\0\0\3",
        ])
        self.send(what)
        if self.rng.random() < 0.5:
            with contextlib.suppress(OSError, wire.Closed):
                self.client.socket.settimeout(0.01)
                self.client.receive_exactly(self.rng.choice([1, 100, 70000]))
        self.leave(self.rng.random() < 0.5)
        raise Lost("vanished: closed")

    STEPS = [(8, step_insert), (4, step_many), (8, step_transaction), (4, step_copy), (6, step_rows), (5, step_echo), (5, step_named), (4, step_setting),
             (1, step_taint), (2, step_cancel), (3, step_flush), (1, step_vanish)]

    def run(self, stop):
        weights, steps = [weight for weight, _ in self.STEPS], [step for _, step in self.STEPS]
        self.connect()
        while not stop.is_set():
            try:
                self.rng.choices(steps, weights)[0](self)
            except TimeoutError as error:
                with self.storm.console() as console:
                    state = [row for what in ("CLIENTS", "SERVERS", "LANES") for row in console.show(what)]
                raise AssertionError(f"client {self.number} ({self.database}, {self.user}) hangs at {self.client.socket.getsockname()}, "
                                     f"{bytes(self.client.pending[:100])}, after {self.history[-8:]}\n" + "\n".join(map(str, state))) from error
            except Lost as lost:
                self.note(f"lost: {lost}")
                self.storm.n_lost += 1
                if "closed" in str(lost) or "left" in str(lost) or self.session or self.rng.random() < 0.1:
                    self.client.close()
                    self.connect()
            self.storm.n_steps += 1
        self.client.close()


# What a reload says of statements that move between lanes.
MOVES = [{}, {"lane:vector": {"spill": "default:1"}}, {"lane:default": {"hop_after": "20ms", "hop_to": "vector"}},
         {"lane:vector": {"spill": "default:1", "hop_after": "10ms", "hop_to": "default"}, "lane:ml": {"spill": "vector:1"}}]


class Storm:
    """pglane, and what happens to it."""

    def __init__(self, start, cluster, seed):
        self.cluster, self.seed, self.rng = cluster, seed, random.Random(f"{seed} storm")
        rng = self.rng
        self.n_lost = self.n_steps = 0
        self.places = rng.sample([("app", "app"), ("app", "u_other"), ("other", "app"), ("other", "u_other")], 3) + \
            [rng.choice([("sessions", "app"), ("statements", "app"), ("app", "app")])]
        self.tiny, self.client_tls, server_tls, chopped = (rng.random() < p for p in (0.5, 0.4, 0.3, 0.4))
        settings = {"workers": rng.randint(1, 4), "inspect_limit": rng.choice([2000, 65536, 131072, 1 << 20]), "max_prepared_statements": rng.choice([1, 2, 100]),
                    "queue_timeout": 20, "server_login_retry": "20ms", "cancel_grace": "2s", "pool_mode": "transaction", "suspend_timeout": 5,
                    "on_session_state": "warn"}  # lanes of one permit: a pin would be the only client
        if self.tiny:
            settings["tcp_socket_buffer"] = rng.choice([0, 4096, 16384])
        if self.client_tls:
            settings.update({"client_tls_sslmode": "prefer", "client_tls_cert_file": cluster.certificates.path("server.crt"),
                             "client_tls_key_file": cluster.certificates.path("server.key")})
        if server_tls:
            settings["server_tls_sslmode"] = "require"
        self.relay = Relay(cluster.port, random.Random(f"{seed} relay")) if chopped else None
        port = self.relay.port if chopped else cluster.port
        server = f"host=127.0.0.1 port={port}"
        databases = {"app": f"{server} dbname=app", "other": f"{server} dbname=other", "sessions": f"{server} dbname=app pool_mode=session",
                     "statements": f"{server} dbname=app pool_mode=statement"}
        self.lanes = [{"default": 3, "vector": 1}, {"default": 2, "vector": 2}, {"default": 1, "vector": 3}]
        sessions = sum(1 for n in range(N_CLIENTS) for place in [random.Random(f"{seed} sailor {n}").choice(self.places)] if place[0] == "sessions")
        for lanes in self.lanes:  # a session keeps its permit: somebody else must have one, too
            lanes["default"] += sessions
        self.proxy = start(lanes=dict(self.lanes[0]), databases=databases, users={"app": "annotations=all"}, **settings)
        self.budget = self.settings_budget()
        print({**settings, "places": self.places, "server_tls": server_tls, "client_tls": self.client_tls, "chopped": chopped, "tiny": self.tiny, "budget": self.budget})

    def settings_budget(self):
        with self.proxy.console() as console:
            return console.show("BUDGET")[0]["budget"]

    def console(self):
        return self.proxy.console()

    def act(self, console):
        rng = self.rng
        kind = rng.choices(["reload", "pause", "pause_db", "kill_client", "reconnect", "kill", "terminate", "crash", "cancel"],
                           [5, 2, 2, 5, 4, 1, 6, self.crashes, 3])[0]
        if DEBUG:
            print(f"{time.monotonic():.3f} -- {kind}", flush=True)
        if kind == "reload":
            self.proxy.lanes = dict(rng.choice(self.lanes))
            self.proxy.sections = rng.choice(MOVES)
            self.proxy.write(default_pool_size=rng.choice([0, 2, 20]), query_wait_notify=rng.randint(1, 5), server_lifetime=rng.choice(["1h", "1s"]),
                             max_prepared_statements=rng.choice([1, 2, 100]))
            console.run("RELOAD")
        elif kind in ("pause", "pause_db"):
            name = "" if kind == "pause" else " " + rng.choice(self.places)[0]
            # PAUSE waits for servers that clients hold, sessions among them: only for a moment.
            pauser = threading.Thread(target=self.pause, args=(name,), daemon=True)
            pauser.start()
            self.stop.wait(0.05)
            while pauser.is_alive():  # it may not have begun, or begin to wait and be told
                with contextlib.suppress(psycopg2.Error):
                    console.run("RESUME" + name)
                pauser.join(0.05)
            with contextlib.suppress(psycopg2.Error):
                console.run("RESUME" + name)
        elif kind == "kill_client":
            with contextlib.suppress(psycopg2.Error):  # it may have left
                ids = [row["id"] for row in console.show("CLIENTS") if row["database"] != "pglane"] if "id" in console.show("CLIENTS")[0] else []
                if ids:
                    console.run(f"KILL_CLIENT {rng.choice(ids)}")
        elif kind == "reconnect":
            console.run("RECONNECT")
        elif kind == "kill":
            name = rng.choice(self.places)[0]
            console.run(f"KILL {name}")
            console.run(f"RESUME {name}")
        elif kind in ("terminate", "cancel"):
            function = "pg_terminate_backend" if kind == "terminate" else "pg_terminate_backend"
            pids = self.cluster.backends()
            if pids:
                self.cluster.run(f"SELECT {function}(%s)", arguments=(rng.choice(pids)[0],))
        elif kind == "crash":
            pids = self.cluster.backends()
            if pids:
                self.cluster.crash(rng.choice(pids)[0])

    def pause(self, name):
        with contextlib.suppress(psycopg2.Error), self.console() as console:
            console.run("PAUSE" + name)

    def blow(self, stop):
        self.stop = stop
        with self.console() as console:
            while not stop.wait(self.rng.choice([0.01, 0.05, 0.2])):
                with contextlib.suppress(psycopg2.OperationalError):
                    self.act(console)

    def watch(self, stop):
        """PostgreSQL's own count, and the console's."""
        n_samples, connection = 0, None
        with self.console() as console:
            while not stop.is_set():
                try:
                    connection = connection or self.cluster.connect()
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT count(*), array_agg(state || ' ' || query) FROM pg_stat_activity WHERE backend_type = 'client backend'"
                                       " AND application_name <> 'direct' AND pid <> pg_backend_pid()")
                        n, what = cursor.fetchone()
                except psycopg2.Error:
                    connection = None
                    continue
                assert n <= self.budget, f"{n} backends of a budget of {self.budget}: {what}"
                row = console.show("BUDGET")[0]
                assert row["slots"] <= row["budget"] == self.budget, row
                n_samples += 1
                stop.wait(0.01)
        assert n_samples > 10


@pytest.mark.parametrize("nth", range(2))
def test_random_weather(start, cluster, nth):
    seed = int(os.environ.get("PGLANE_SEED", 1)) * 2 + nth
    print(f"PGLANE_SEED={seed // 2} nth={nth} PGLANE_WEATHER_S={WEATHER_S}")
    cluster.end_backends()  # the storm's budget is held against all that there are
    for database in ("app", "other"):
        cluster.run("DROP TABLE IF EXISTS weather; CREATE TABLE weather (who int, i int); GRANT ALL ON weather TO PUBLIC", database)
    storm = Storm(start, cluster, seed)
    storm.crashes = 1 if WEATHER_S > 5 else 0
    sailors = [Sailor(storm, number, seed) for number in range(N_CLIENTS)]
    calm = threading.Event()

    def sail(sailor):
        def body(stop):
            sailor.run(calm)
        return body

    try:
        with Background(*[sail(sailor) for sailor in sailors], timeout_s=2 * PATIENCE_S) as crew:
            try:
                with Background(storm.blow, storm.watch, timeout_s=PATIENCE_S) as weather:
                    deadline = time.monotonic() + WEATHER_S
                    while time.monotonic() < deadline and not crew.errors and not weather.errors:
                        calm.wait(0.1)
            finally:
                calm.set()
        print(f"{storm.n_steps} steps, {storm.n_lost} lost")
        aftermath(storm, cluster, sailors)
    finally:
        calm.set()
        if storm.relay:
            storm.relay.close()


def aftermath(storm, cluster, sailors):
    with storm.console() as console:
        system.eventually(lambda: not any(lane["in_use"] or lane["waiting"] for lane in console.show("LANES")), 20, "every permit's return")
        system.eventually(lambda: not any(row["state"] == "active" for row in console.show("SERVERS")), 20, "servers at rest")
        system.eventually(lambda: console.show("BUDGET")[0]["slots"] == len(console.show("SERVERS")), 20, "every slot's return")
    system.eventually(lambda: not cluster.backends("state <> 'idle'"), 20, what="backends at rest")
    found = {}
    for database in ("app", "other"):
        for who, i, n in cluster.run("SELECT who, i, count(*) FROM weather GROUP BY 1, 2", database):
            assert (who, i) not in found
            found[who, i] = n
    for sailor in sailors:
        for i, outcome in sailor.outcomes.items():
            n = found.pop((sailor.number, i), 0)
            assert n in {"done": (1,), "not": (0,), "unknown": (0, 1)}[outcome], f"{sailor.number}: {i} is there {n} times, but {outcome}"
    assert not found, f"rows of nobody: {found}"
    counts = [list(sailor.outcomes.values()) for sailor in sailors]
    print({outcome: sum(one.count(outcome) for one in counts) for outcome in ("done", "not", "unknown")})
    assert sum(one.count("done") for one in counts) > scaled(20, 5), "something was done at all"
