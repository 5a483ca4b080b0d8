# SPDX-License-Identifier: ISC
"""The leak hunter: eight clients do all that leaves something in a session, at random, on two servers that they share in transaction pooling.

Each has an oracle: a connection of its own straight to PostgreSQL, in a database with the same content, that is sent the same bytes. Replies, SQLSTATEs,
parameters and notifications must be the same at every step. Steps go one after the other, so locks and notifications have one order on both sides. At the
end every server is looked at: nothing of anybody is left there.

PGLANE_SEED varies the steps, and is printed; PGLANE_STEPS is how many there are. A failure says the last steps of its client; PGLANE_HISTORY is how many.
"""

import os
import random

import pytest

from harness import system, wire
from harness.traffic import scaled
from harness.twin import Tail, Twin

N_CLIENTS = 8
N_SERVERS = 2  # that may be somebody's; beside them are the one that listens for all, and that of a client whose channels are on their way there
N_PARTS = 4  # a test each, so that none takes long
N_STEPS = int(os.environ.get("PGLANE_STEPS", scaled(60000, 400)))
N_HISTORY = int(os.environ.get("PGLANE_HISTORY", "15"))
SEED = int(os.environ.get("PGLANE_SEED", "1"))
TIMEOUT_S = 30

# What is done, and how often. 0: not equal today, and why; see tests/README.md.
WEIGHTS = {
    "read": 10, "write": 10, "set": 10, "set_local": 4, "reset": 4, "reset_of_login": 4, "set_config": 5, "role": 5, "transaction": 26, "savepoint": 6, "sql_prepared": 8,
    "protocol_prepared": 12, "advisory": 7, "notify": 5, "temporary": 10, "cursor": 8, "portal": 4, "copy": 4, "discard": 3, "sequence": 4,
    "currval": 6,
    "look": 7, "text": 6, "block": 3, "pipeline": 5, "leave": 2, "listen": 3, "mixed_names": 4,
    "hidden": 0,             # SET, advisory locks and LISTEN in DO and functions are not seen
}

SETTINGS = {
    "work_mem": ["'5MB'", "'6MB'", "7168"], "DateStyle": ["'German'", "'ISO, DMY'", "SQL, MDY", "'Postgres'"], "TimeZone": ["'Asia/Tokyo'", "'UTC'", "'America/New_York'"],
    "IntervalStyle": ["'iso_8601'", "postgres_verbose"], "application_name": ["'one'", "'näme'", "''"], "search_path": ["hidden, public", "'hüdden', public", "'public'", "''", "pg_catalog, hidden"],
    "extra_float_digits": ["0", "-3", "3"], "bytea_output": ["escape", "'hex'"], "client_encoding": ["'LATIN1'", "'UTF8'"], "my.own": ["'mine'", "'it''s'", "7", "'mü'"],
    "default_transaction_isolation": ["'repeatable read'", "'read committed'"], "default_transaction_read_only": ["on", "off"], "statement_timeout": ["'9min'", "0", "600000"],
    "enable_seqscan": ["off", "on"], "standard_conforming_strings": ["on"], "client_min_messages": ["'warning'", "'notice'", "error"], "lc_numeric": ["'C'"],
    "xmloption": ["document", "content"], "idle_in_transaction_session_timeout": ["'8min'"], "lock_timeout": ["'7min'", "0"], "row_security": ["off", "on"],
    "work_memory": ["'1MB'"], "transform_null_equals": ["on", "off"], "enable_hashjoin": ["nonsense"],
}
LOGIN_PARAMETERS = [{}, {}, {}, {"TimeZone": "Asia/Tokyo"}, {"application_name": "logged in"}, {"options": "-c work_mem=9MB -c search_path=hidden,public"},
                    {"DateStyle": "German", "client_encoding": "LATIN1"}, {"options": "-c my.own=given"},
                    {"options": "-c my.own=gegebenä", "client_encoding": "LATIN1", "application_name": "ängemeldet"}]
GIVEN = ("TimeZone", "application_name", "work_mem", "search_path", "DateStyle", "client_encoding", "my.own")
READS = ["SELECT n, v FROM public.t{i} ORDER BY n", "SELECT count(*) FROM public.t{i}", "SELECT who FROM public.shown", "SELECT who FROM shown", "SELECT 1/0", "SELEC",
         "SELECT * FROM nowhere", "SELECT '2026-02-03'::date, '2026-02-03 04:05:06+00'::timestamptz, '1 day 2 hours'::interval, 0.1::float4, '\\x00ff'::bytea",
         "SELECT current_user, session_user", "", "SELECT g FROM generate_series(1, 300) g", "SELECT NULL = NULL", "SELECT hidden_thing()", "SHOW work_mem", "SHOW ALL_NONSENSE",
         "SHOW search_path", "SHOW transaction_isolation", "SHOW transaction_read_only", "SELECT v FROM secret", "EXPLAIN (COSTS OFF) SELECT * FROM public.t{i} WHERE n = 1"]
WRITES = ["INSERT INTO public.t{i} VALUES ({k}, 'row {k} of {i}')", "INSERT INTO public.t{i} VALUES ({k}, 'x') ON CONFLICT DO NOTHING",
          "UPDATE public.t{i} SET v = 'changed {k}' WHERE n = {k} RETURNING n, v", "DELETE FROM public.t{i} WHERE n > {k}", "INSERT INTO public.t{i} VALUES (NULL, 'bad')",
          "WITH d AS (DELETE FROM public.t{i} WHERE n = {k} RETURNING v) SELECT v FROM d"]
BEGINS = ["BEGIN", "BEGIN", "BEGIN", "START TRANSACTION", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN READ ONLY", "BEGIN READ WRITE"]
ENDS = ["COMMIT", "COMMIT", "COMMIT", "END", "ROLLBACK", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN"]
SHARED_LOCK = 777

# All that a session has, as its client can see it; prepared statements and channels follow it, but the views of them are the server's.
LOOK = """SELECT current_user, session_user,
 (SELECT string_agg(name || ' ' || is_holdable, '; ' ORDER BY name) FROM pg_catalog.pg_cursors WHERE name LIKE 'c%'),
 (SELECT string_agg(objid || mode, ' ' ORDER BY objid, mode) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid()),
 (SELECT string_agg(relname || relkind::text, ' ' ORDER BY relname, relkind::text) FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()),
 (SELECT string_agg(proname, ' ' ORDER BY proname) FROM pg_catalog.pg_proc WHERE pronamespace = pg_catalog.pg_my_temp_schema()), """ + \
    ", ".join(f"coalesce(pg_catalog.current_setting('{name}', true), '')" for name in SETTINGS)

# As pglane asks it: is there anything that keeps a server? A listener speaks one encoding.
KEEPS = wire.query("""SELECT WHERE EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema())
 OR EXISTS (SELECT FROM pg_catalog.pg_proc WHERE pronamespace = pg_catalog.pg_my_temp_schema())
 OR EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)
 OR (EXISTS (SELECT FROM pg_catalog.pg_listening_channels()) AND pg_catalog.current_setting('client_encoding') <> 'UTF8')
 OR EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = pg_catalog.pg_backend_pid())
 OR EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)""")

# What no server may have when its client is gone; settings that a client brought by its login are its own.
LEFT = """SELECT session_user, current_user, (SELECT count(*) FROM pg_listening_channels()), (SELECT count(*) FROM pg_prepared_statements WHERE name NOT LIKE 'pglane\\_%'),
 (SELECT count(*) FROM pg_cursors), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
 (SELECT count(*) FROM pg_class WHERE relnamespace = pg_my_temp_schema()), (SELECT count(*) FROM pg_proc WHERE pronamespace = pg_my_temp_schema()),
 (SELECT string_agg(name, ' ') FROM pg_settings WHERE source = 'session' AND setting IS DISTINCT FROM reset_val),
 coalesce(current_setting('my.own', true), '')"""
NOTHING = [b"app", b"app", b"0", b"0", b"0", b"0", b"0", b"0", None, b""]


class Client:
    """One of the hunters. Each kind of step says it to both sides, and what it makes of the client's hold on its server."""

    def __init__(self, hunt, number):
        self.hunt, self.number, self.rng = hunt, number, hunt.rng
        self.history, self.twin = [], None
        self.enter()

    def enter(self):
        self.parameters = self.rng.choice(LOGIN_PARAMETERS)
        self.history.append(f"-- login {self.parameters}")
        self.twin = Twin(self.hunt.make_subject, self.hunt.make_oracle, self.parameters, TIMEOUT_S)
        self.is_pinned = self.may_pin = self.had_role = False
        self.portals = set()
        self.listening, self.notifying, self.since = set(), set(), 0  # channels, in the transaction that is open; when that began

    @property
    def status(self):
        return self.twin.status

    @property
    def holds(self):
        """Its server is nobody else's, now. A BEGIN by itself needs none, unless pglane still asked what the statement before it had left."""
        return self.is_pinned or self.status != "I"

    def fill(self, text):
        return text.replace("{i}", str(self.number)).replace("{k}", str(self.rng.randint(1, 12)))

    # what is sent

    def say(self, *parts, n_ready=1, may_forget=False):
        self.history.append(parts)
        return self.twin.ask(b"".join(parts), n_ready, may_forget)

    def sql(self, text, extended=None, may_forget=False):
        """By either protocol."""
        text = self.fill(text)
        if extended is None:
            extended = self.rng.random() < 0.35
        if extended:
            return self.say(wire.parse("", text), wire.bind("", ""), wire.describe("P"), wire.execute(), wire.SYNC, may_forget=may_forget)
        return self.say(wire.query(text), may_forget=may_forget)

    def step(self):
        kind = self.rng.choices(self.hunt.kinds, self.hunt.weights)[0]
        self.hunt.now += 1
        if self.status == "I":
            self.since = self.hunt.now
        getattr(self, "do_" + kind)()
        if self.status == "I":
            self.portals.clear()
            self.hunt.notified.update((channel, (self.hunt.now, self)) for channel in self.notifying)
            self.listening, self.notifying = set(), set()
            if self.may_pin or self.is_pinned:
                self.twin.oracle.socket.sendall(KEEPS)
                self.is_pinned = any(message[0] == "D" for message in self.twin.oracle.take("Z"))
                self.may_pin = False

    # kinds of steps

    def do_read(self):
        self.sql(self.rng.choice(READS))

    def do_write(self):
        self.sql(self.rng.choice(WRITES))

    def setting(self):
        name = self.rng.choice(list(SETTINGS))
        return name, self.rng.choice(SETTINGS[name])

    def do_set(self):
        name, value = self.setting()
        self.sql(f"{self.rng.choice(['SET', 'SET', 'SET SESSION'])} {name} {self.rng.choice(['=', 'TO'])} {value}")

    def do_set_local(self):
        name, value = self.setting()
        self.sql(f"SET LOCAL {name} = {value}")

    def resettable(self):
        return self.rng.choice([name for name in SETTINGS if name not in GIVEN])

    def do_reset(self):
        name = self.resettable()
        self.sql(self.rng.choice([f"RESET {name}", f"SET {name} TO DEFAULT", f"RESET {name}" if self.parameters else "RESET ALL"]))

    def do_reset_of_login(self):
        name = self.rng.choice(GIVEN)
        self.sql(self.rng.choice([f"RESET {name}", f"RESET {name}", f"SET {name} TO DEFAULT", f"SET LOCAL {name} TO DEFAULT", "RESET ALL"]))

    def do_set_config(self):
        name, value = self.setting()
        value = value if value.startswith("'") else f"'{value}'"
        self.sql(f"SELECT set_config('{name}', {value}, {self.rng.choice(['false', 'false', 'true'])})")

    def do_role(self):
        self.had_role = True
        self.sql(self.rng.choice(["SET ROLE hunt_a", "SET ROLE hunt_b", "SET ROLE NONE", "RESET ROLE", "SET LOCAL ROLE hunt_a", "SET ROLE postgres", "SET ROLE nobody_such",
                                  "SET SESSION AUTHORIZATION DEFAULT", "SET SESSION AUTHORIZATION app", "SET SESSION AUTHORIZATION hunt_b"]))

    def do_transaction(self):
        begins = self.status == "I" or self.rng.random() < 0.05
        # Within a transaction its modes can be set before the first query only, and a Parse is none where it was answered by pglane.
        text = "BEGIN" if begins and self.status != "I" else self.rng.choice(BEGINS if begins else ENDS)
        self.sql(text)

    def do_savepoint(self):
        self.sql(f"{self.rng.choice(['SAVEPOINT', 'SAVEPOINT', 'ROLLBACK TO', 'RELEASE'])} {self.rng.choice('xy')}")

    def do_sql_prepared(self):
        self.may_pin = True
        name = self.rng.choice(["q0", "q1"])
        self.sql(self.rng.choice([f"PREPARE {name} AS SELECT current_setting('TimeZone'), {{i}}", f"PREPARE {name} (int) AS SELECT n, v FROM public.t{{i}} WHERE n > $1 ORDER BY n",
                                  f"EXECUTE {name}", f"EXECUTE {name}(3)", f"EXECUTE {name}", f"EXECUTE {name}(1)", f"DEALLOCATE {name}", f"DEALLOCATE {name}",
                                  "DEALLOCATE ALL", f"PREPARE {name} AS SELECT nonsense"]))

    def protocol_part(self, names=("p0", "p1", "p2")):
        name, rng = self.rng.choice(names), self.rng
        kind = rng.choice(["parse", "run", "run", "close", "unnamed"])
        text, values = rng.choice([("SELECT $1::int + 1", ["41"]), ("SELECT v FROM public.t{i} WHERE n = $1", ["3"]), ("INSERT INTO public.t{i} VALUES ($1, $2)", [str(rng.randint(1, 12)), "p"]),
                                   ("SELECT current_setting('work_mem'), current_user", []), ("SELECT 1/$1::int", ["0"])])
        text = self.fill(text)
        if kind == "parse":
            return wire.close("S", name) + wire.parse(name, text)
        if kind == "close":
            return wire.close("S", name)
        if kind == "unnamed":
            return wire.parse("", text) + wire.bind("", "", values) + wire.execute()
        return wire.bind("", name, rng.choice([[], ["5"], ["7", "z"]])) + (wire.describe("P") if rng.random() < 0.3 else b"") + wire.execute()

    def do_protocol_prepared(self):
        self.say(*[self.protocol_part() for _ in range(self.rng.randint(1, 4))], wire.SYNC)

    def mixed_text(self):
        """Names of both kinds, by SQL."""
        name = self.rng.choice(["p0", "p1", "q0", "q1"])
        return self.rng.choice([f"EXECUTE {name}", f"EXECUTE {name}(5)", f"EXECUTE {name}(7, 'z')", f"PREPARE {name} AS SELECT 'sql'", f"PREPARE {name} (int) AS SELECT $1 + {{i}}",
                                f"DEALLOCATE {name}", f"EXECUTE {name}(3)"])

    def mixed_part(self):
        """The same, by the protocol: named statements without the Close ahead, and SQL in the midst of a batch."""
        name, pick = self.rng.choice(["p0", "p1", "q0", "q1"]), self.rng.random()
        if pick < 0.25:
            return wire.parse(name, self.fill(self.rng.choice(["SELECT $1::int + 1", "SELECT 'protocol'", "SELECT v FROM public.t{i} WHERE n = $1"])))
        if pick < 0.6:
            return wire.parse("", self.fill(self.mixed_text())) + wire.bind("", "") + wire.execute()
        return self.protocol_part(("p0", "p1", "q0", "q1"))

    def do_mixed_names(self):
        """Prepared statements have one space of names, whichever way they come, are used and go."""
        self.may_pin = True
        pick = self.rng.random()
        if pick < 0.45:
            self.sql(self.mixed_text())
        elif pick < 0.85:
            self.say(*[self.mixed_part() for _ in range(self.rng.randint(1, 4))], wire.SYNC)
        elif pick < 0.95:
            self.sql("; ".join(self.mixed_text() for _ in range(self.rng.randint(2, 3))), False)
        else:  # these pin
            self.sql(self.rng.choice([f"DEALLOCATE ALL; {self.mixed_text()}", f"{self.mixed_text()}; DEALLOCATE ALL", f"SET work_mem = '7MB'; {self.mixed_text()}"]), False)

    def do_advisory(self):
        self.may_pin = True
        own = 1000 + self.number * 10 + self.rng.randint(0, 2)
        self.sql(self.rng.choice([f"SELECT pg_advisory_lock({own})", f"SELECT pg_try_advisory_lock({SHARED_LOCK})", f"SELECT pg_try_advisory_lock_shared({SHARED_LOCK})",
                                  f"SELECT pg_advisory_unlock({own})", f"SELECT pg_advisory_unlock({SHARED_LOCK})", f"SELECT pg_advisory_unlock_shared({SHARED_LOCK})",
                                  "SELECT pg_advisory_unlock_all()", f"SELECT pg_advisory_xact_lock({own})", f"SELECT pg_try_advisory_xact_lock({SHARED_LOCK})",
                                  f"SELECT pg_advisory_unlock({own})", "SELECT pg_advisory_unlock_all()"]))

    def may_listen(self, channel):
        """Who listens to others already hears what was notified on a new channel since its transaction began, even before its LISTEN: not through pglane.
        So nobody notifies a channel while somebody's transaction may listen to it."""
        when, who = self.hunt.notified.get(channel, (0, None))
        return (who is self or when < self.since) and not any(channel in other.notifying for other in self.hunt.clients if other is not self)

    def may_notify(self, channel):
        return not any(channel in other.listening for other in self.hunt.clients if other is not self)

    def do_listen(self):
        self.may_pin = True
        channel = self.rng.choice(["ch0", "ch1", "Ch2"])
        listens = self.rng.random() < 0.5 and self.may_listen(channel)
        if listens:
            self.listening.add(channel)
        self.sql(f'LISTEN "{channel}"' if listens else self.rng.choice([f'UNLISTEN "{channel}"', "UNLISTEN *"]))

    def do_notify(self):
        channel, payload = self.rng.choice(["ch0", "ch1", "Ch2", "ch3"]), f"{self.number} {self.rng.randint(0, 999)}"
        if not self.may_notify(channel):
            channel = "ch3"  # nobody's
        self.notifying.add(channel)
        self.sql(self.rng.choice([f"NOTIFY \"{channel}\", '{payload}'", f"SELECT pg_notify('{channel}', '{payload}')", f'NOTIFY "{channel}"']))

    def do_temporary(self):
        self.may_pin = True
        name = self.rng.choice(["tt0", "tt1"])
        self.sql(self.rng.choice([
            f"CREATE TEMP TABLE {name} (n int, who text DEFAULT 'client {{i}}')", f"CREATE TEMP TABLE {name} (n int, who text) ON COMMIT DELETE ROWS",
            f"CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS SELECT {{k}} AS n, 'of {{i}}' AS who", f"SELECT {{i}} AS n, 'into' AS who INTO TEMP {name}",
            f"CREATE TEMP VIEW {name} AS SELECT {{i}} AS n, 'view' AS who", f"CREATE TABLE pg_temp.{name} (n int, who text)", f"INSERT INTO {name} (n) VALUES ({{k}})",
            f"INSERT INTO {name} (n) VALUES ({{k}})", f"SELECT n, who FROM {name} ORDER BY 1, 2", f"SELECT n, who FROM {name} ORDER BY 1, 2", f"DROP TABLE {name}",
            f"DROP TABLE IF EXISTS {name}", f"DROP VIEW {name}", "DISCARD TEMP", f"TRUNCATE {name}", "CREATE TEMP SEQUENCE tt2", "SELECT nextval('tt2')", "DROP SEQUENCE tt2",
            "CREATE FUNCTION pg_temp.tf() RETURNS text LANGUAGE sql AS $$ SELECT 'of {i}'::text $$", "SELECT pg_temp.tf()", "DROP FUNCTION pg_temp.tf()",
            f"SELECT {{i}} AS n, 'schema' AS who INTO pg_temp.{name}"]))

    def do_cursor(self):
        self.may_pin = True
        name = self.rng.choice(["c0", "c1"])
        self.sql(self.rng.choice([
            f"DECLARE {name} CURSOR WITH HOLD FOR SELECT g, {{i}} FROM generate_series(1, 20) g", f"DECLARE {name} CURSOR FOR SELECT n, v FROM public.t{{i}} ORDER BY n",
            f"DECLARE {name} SCROLL CURSOR FOR SELECT generate_series(1, 9)", f"FETCH 3 FROM {name}", f"FETCH BACKWARD 2 FROM {name}", f"FETCH ALL FROM {name}",
            f"MOVE FORWARD 2 IN {name}", f"CLOSE {name}", "CLOSE ALL", f"FETCH NEXT FROM {name}", f"CLOSE {name}"]))

    def do_portal(self):
        if self.status != "T":
            return self.do_protocol_prepared()
        name = self.rng.choice(["o0", "o1"])
        if name in self.portals:
            return self.say(wire.execute(name, self.rng.choice([0, 2])), wire.SYNC)
        self.portals.add(name)
        return self.say(wire.parse("", "SELECT g, current_user FROM generate_series(1, 6) g"), wire.bind(name, ""), wire.execute(name, 2), wire.SYNC)

    def do_copy(self):
        if self.rng.random() < 0.4:
            return self.sql("COPY (SELECT n, v FROM public.t{i} ORDER BY n) TO STDOUT")
        rows = self.rng.choice([b"20\tcopied\n21\t\\N\n", b"x\tbad\n", b"", b"22\thalf"])
        end = self.rng.choice([wire.COPY_DONE, wire.COPY_DONE, wire.copy_fail("no")])
        data = wire.query(self.fill("COPY public.t{i} FROM STDIN"))
        self.history.append((data, rows, end))
        self.twin.send(data)
        if self.twin.until("GE")[-1][0] == "G":
            self.twin.send(wire.copy_data(rows) + end)
        return self.twin.until("Z")

    def do_discard(self):
        self.sql(self.rng.choice(["DISCARD ALL", "DISCARD ALL", "DISCARD PLANS", "DISCARD TEMP", "DISCARD SEQUENCES"]))

    def do_sequence(self):
        self.sql(self.rng.choice(["SELECT nextval('public.s{i}')", "SELECT nextval('public.s{i}'), currval('public.s{i}'), lastval()", "SELECT setval('public.s{i}', {i}00000{k})"]))

    def do_currval(self):
        """The value that it was given, or none: who waits has its server a tenth of a second later. In a transaction the error would be all that is told."""
        if self.status == "I":
            self.sql(self.rng.choice(["SELECT currval('public.s{i}')", "SELECT lastval()"]), may_forget=True)

    def do_look(self):
        if self.status != "E":
            self.sql(LOOK)
        if self.status == "I":
            self.twin.settle()

    def do_text(self):
        """Several statements in one Query: they are one transaction, unless they say something else."""
        self.may_pin = True
        self.had_role = True
        name, value = self.setting()
        given = self.rng.choice(GIVEN)
        listens = [f"LISTEN ch0; SET {name} = {value}"] if self.may_listen("ch0") else []
        listens += ["LISTEN ch1; SELECT 1/0"] if self.may_listen("ch1") else []
        text = self.rng.choice(listens + [
            f"SET {name} = {value}; SELECT 1", f"SET {name} = {value}; SELECT 1/0", f"BEGIN; SET {name} = {value}; COMMIT", f"BEGIN; SET {name} = {value}; ROLLBACK",
            f"SELECT 1; SET {name} = {value}; SAVEPOINT s", "CREATE TEMP TABLE tt0 (n int, who text); DROP TABLE tt0",
            f"BEGIN; INSERT INTO public.t{{i}} VALUES ({{k}}, 'text')", "COMMIT; SELECT 1", "ROLLBACK; BEGIN", "SET ROLE hunt_a; SELECT current_user; RESET ROLE",
            "PREPARE q0 AS SELECT 1; EXECUTE q0; DEALLOCATE q0", f"SELECT pg_advisory_lock({1000 + self.number * 10}); SELECT pg_advisory_unlock({1000 + self.number * 10})",
            f"RESET {given}; SELECT current_setting('{given}', true)", f"SELECT 1; SET {given} TO DEFAULT; SELECT current_setting('{given}', true), nowhere", f"RESET ALL; SET {name} = {value}; SHOW {name}",
            f"BEGIN; RESET ALL; SAVEPOINT s; SET {name} = {value}; ROLLBACK TO s; COMMIT"])
        self.listening.update(channel for channel in ("ch0", "ch1") if f"LISTEN {channel}" in text)
        self.sql(text, False)

    def do_block(self):
        self.sql(self.rng.choice(["DO $$ BEGIN RAISE NOTICE 'noticed by {i}'; END $$", "DO $$ BEGIN RAISE EXCEPTION 'raised by {i}' USING ERRCODE = 'P9999'; END $$",
                                  "DO $$ BEGIN RAISE WARNING 'warned'; INSERT INTO public.t{i} VALUES ({k}, 'block'); EXCEPTION WHEN OTHERS THEN RAISE NOTICE 'caught %', SQLSTATE; END $$",
                                  "DO $$ BEGIN COMMIT; END $$"]))

    def do_hidden(self):
        self.sql(self.rng.choice(["DO $$ BEGIN SET work_mem = '3MB'; END $$", f"DO $$ BEGIN PERFORM pg_advisory_lock({1000 + self.number * 10}); END $$", "DO $$ BEGIN EXECUTE 'LISTEN ch1'; END $$",
                                  "DO $$ BEGIN PERFORM set_config('my.own', 'hidden', false); END $$"]))
        self.may_pin = True

    def do_pipeline(self):
        """Several batches and simple queries in one send."""
        parts, n_ready = [], self.rng.randint(2, 4)
        name, value = self.setting()
        choices = ["SELECT 1", "SELECT 1/0", f"SET {name} = {value}", "RESET work_mem", "RESET ALL", "SELECT current_setting('work_mem')", "BEGIN", "COMMIT", "ROLLBACK", "SELECT current_user",
                   "INSERT INTO public.t{i} VALUES ({k}, 'pipelined')", f"SHOW {name}" if name not in ("work_memory", "my.own") else "SHOW work_mem"]
        for _ in range(n_ready):
            text = self.fill(self.rng.choice(choices))
            parts.append(wire.query(text) if self.rng.random() < 0.5 else wire.parse("", text) + wire.bind("", "") + wire.execute() + wire.SYNC)
        self.say(*parts, n_ready=n_ready)

    def do_leave(self):
        """Goes as it stands, properly or not, and comes again."""
        if self.status == "I":
            self.twin.settle()
        how = self.rng.choice([wire.TERMINATE, wire.TERMINATE, b"", wire.query("SELECT 'half'")[:-3], wire.parse("", "SELECT 1") + wire.bind("", "")])
        self.history = [f"-- left with {how}"]
        self.twin.close(how)
        self.hunt.until_gone(self.twin.oracle.pid)
        self.enter()


def told(step):
    """A step of the history, readable."""
    return step if isinstance(step, str) else repr(b"".join(step).replace(LOOK.encode(), b"LOOK"))[:1500]


class Hunt:
    def __init__(self, proxy, cluster, seed):
        self.proxy, self.cluster, self.seed = proxy, cluster, seed
        self.rng = random.Random(seed)
        self.kinds = [kind for kind, weight in WEIGHTS.items() if weight]
        self.weights = [WEIGHTS[kind] for kind in self.kinds]
        self.control = cluster.connect()
        self.clients = []
        self.now, self.notified = 0, {}  # steps; when a channel was notified last, and by whom

    def make_subject(self):
        return Tail(self.proxy.host, self.proxy.port, TIMEOUT_S)

    def make_oracle(self):
        return Tail("127.0.0.1", self.cluster.port, TIMEOUT_S)

    def until_gone(self, pid):
        """What the last one held is free on both sides: locks that others try, names that others use. Its own server first: until that is gone both may hold them."""
        question = """SELECT count(*) FILTER (WHERE datname = 'hunt'), count(*) FILTER (WHERE datname = 'hunt_oracle'), EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)
                      FROM (SELECT database, objid, mode FROM pg_locks WHERE locktype = 'advisory') l JOIN pg_database d ON d.oid = l.database"""

        def equal():
            with self.control.cursor() as cursor:
                cursor.execute(question, [pid])
                here, there, is_there = cursor.fetchone()
            return here == there and not is_there
        system.eventually(equal, 10, "locks of one who has left are free")

    def run(self, n_steps):
        self.clients = [Client(self, number) for number in range(N_CLIENTS)]
        for n in range(n_steps):
            holders = [client for client in self.clients if client.holds]
            client = self.rng.choice(self.clients if len(holders) < N_SERVERS else holders)
            try:
                client.step()
            except (AssertionError, OSError, wire.Closed) as error:
                raise AssertionError(self.story(client, n, error)) from error
        for client in self.clients:
            client.twin.close(wire.TERMINATE)
        self.control.close()

    def story(self, client, n, error):
        steps = "\n".join(f"  {told(step)}" for step in client.history[-N_HISTORY:])
        others = ", ".join(f"{other.number}{'*' if other.holds else ''}" for other in self.clients)
        with self.proxy.console() as console:
            pins = "".join(f"  {row}\n" for row in console.show("PINS"))
            servers = ", ".join(f"{row['state']} of client {row['link'] or '-'}" for row in console.show("SERVERS") if row["database"] == "hunt")
        return f"PGLANE_SEED={SEED} step {n}, client {client.number} (of {others}; * has a server)\n{error}\nservers: {servers}\npins:\n{pins}its last steps:\n{steps}"


@pytest.fixture(scope="module")
def twins(cluster):
    """Two databases with the same content, down to the OIDs."""
    cluster.run("CREATE ROLE hunt_a; CREATE ROLE hunt_b; GRANT hunt_a, hunt_b TO app")
    cluster.run("CREATE DATABASE hunt")
    tables = "".join(f"CREATE TABLE t{i} (n int PRIMARY KEY, v text); CREATE SEQUENCE s{i} START {i}000100;" for i in range(N_CLIENTS))
    cluster.run(f"""{tables} GRANT ALL ON ALL TABLES IN SCHEMA public TO app, hunt_a; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app, hunt_a;
        CREATE SCHEMA hidden; GRANT USAGE ON SCHEMA hidden TO app, hunt_a;
        CREATE TABLE public.shown AS SELECT 'public' AS who; CREATE TABLE hidden.shown AS SELECT 'hidden' AS who; GRANT SELECT ON public.shown, hidden.shown TO app;
        CREATE FUNCTION hidden.hidden_thing() RETURNS text LANGUAGE sql AS $$ SELECT 'found' $$;
        CREATE TABLE public.secret AS SELECT 'secret' AS v; GRANT SELECT ON public.secret TO hunt_b""", "hunt")
    cluster.run("CREATE DATABASE hunt_oracle TEMPLATE hunt")
    for database in ("hunt", "hunt_oracle"):
        cluster.run(f"GRANT ALL ON DATABASE {database} TO PUBLIC")
    yield
    for database in ("hunt", "hunt_oracle"):
        cluster.run(f"DROP DATABASE {database} WITH (FORCE)")
    cluster.run("DROP OWNED BY hunt_a, hunt_b; DROP ROLE hunt_a, hunt_b")


@pytest.mark.parametrize("part", range(N_PARTS // 2))
@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_sees_what_is_anothers(start, cluster, twins, workers, part):
    print(f"PGLANE_SEED={SEED} PGLANE_STEPS={N_STEPS}")
    proxy = start(lanes={"default": N_SERVERS + 2}, workers=workers, sequence_state=("off", "learned")[part], sections={"lane:default": {"permits": N_SERVERS + 2, "max_pinned": N_CLIENTS}})
    Hunt(proxy, cluster, f"{SEED} {workers} {part}").run(N_STEPS // N_PARTS)
    check_servers(proxy)


def check_servers(proxy):
    """Each server, by clients that have one at the same time."""
    with proxy.console() as console:
        system.eventually(lambda: not console.show("LISTENERS"), what="nobody listens any more")
    lookers = [proxy.client(database="hunt") for _ in range(N_SERVERS + 2)]
    pids = set()
    for looker in lookers:
        assert not looker.query("BEGIN").errors
        pids.add(looker.query("SELECT pg_backend_pid()").value)
        assert looker.query(LEFT).rows == [NOTHING]
    assert len(pids) == N_SERVERS + 2
    for looker in lookers:
        looker.close()
