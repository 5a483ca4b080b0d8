# SPDX-License-Identifier: ISC
"""Lanes with target = replica: what only reads goes to a real streaming standby, what may write never does, and who cannot use the standby
is served by the primary, or waits."""

import random
import re
import threading

import psycopg2
import pytest

from harness import proxy as proxy_module
from harness import system, wire
from harness.cluster import USERS, Cluster, Standby
from harness.traffic import Background, in_parallel, scaled

HERE = "SELECT pg_is_in_recovery()"
REPLICA, PRIMARY = "t", "f"

SCHEMA = """
CREATE TABLE events (id int PRIMARY KEY, name text);
INSERT INTO events SELECT i, 'event ' || i FROM generate_series(1, 1000) i;
CREATE TABLE notes (id serial, text text);
CREATE SEQUENCE counter;
CREATE FUNCTION note(what text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN INSERT INTO notes (text) VALUES (what); RETURN pg_is_in_recovery(); END $$;
CREATE FUNCTION note_last(i int, n int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN IF i = n THEN PERFORM note('last'); END IF; RETURN repeat('x', 100); END $$;
CREATE VIEW counted AS SELECT nextval('counter') AS n;
GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO PUBLIC;
"""


class Pair:
    """A primary and its standby, with the proxies that stand before them."""

    def __init__(self, program):
        self.program, self.proxies = program, []
        self.primary = Cluster(Standby.REPLICATION + "autovacuum = off\nmax_standby_streaming_delay = 100ms\n")
        self.standby = None
        try:
            self.primary.run(SCHEMA, "app")
            self.standby = self.new_standby()
        except BaseException:
            self.destroy()
            raise

    def new_standby(self):
        standby = Standby(self.primary)
        with open(standby.data / "postgresql.conf", "a", encoding="ascii") as config:
            config.write("log_statement = all\n")
        standby.run("SELECT pg_reload_conf()")
        standby.catch_up()
        return standby

    def destroy(self):
        if self.standby:
            self.standby.destroy()
        self.primary.destroy()

    def start(self, *, replicas=None, lane=None, sections=None, lanes=None, databases=None, wait=True, target="training", **settings):
        """A proxy whose lane `target` goes to the replicas (a dictionary of standbys by entry). It has seen them up when it returns."""
        replicas = {"app_r1": self.standby} if replicas is None else replicas
        entries = {"app": f"{{server}} dbname=app replicas={','.join(replicas)}"}
        entries.update({name: f"host=127.0.0.1 port={standby.port} dbname=app" for name, standby in replicas.items()})
        own = {name: {"target": "replica", **(lane or {})} for name in (f"lane:{target}",)}
        for name, keys in (sections or {}).items():
            own[name] = {**own.get(name, {}), **keys}
        settings.setdefault("secrets", {**{name: password for name, (password, _) in USERS.items()}, "postgres": "any"})
        settings.setdefault("replica_check_user", "app")
        settings.setdefault("replica_check_period", "50ms")
        proxy = proxy_module.Proxy(self.primary, self.program, databases={**entries, **(databases or {})}, sections=own, lanes=lanes, **settings)
        self.proxies.append(proxy)
        if wait:
            system.eventually(lambda: all(row["lag_ms"] is not None for row in shown(proxy).values()), 20, "the replicas' being up")
        return proxy

    def stop(self):
        running, self.proxies = self.proxies, []
        for proxy in running:
            proxy.stop()


@pytest.fixture(scope="module")
def made(program):
    pair = Pair(program)
    yield pair
    pair.destroy()


@pytest.fixture
def pair(made):
    yield made
    made.stop()


@pytest.fixture
def own(program):
    """A pair that the test may spoil."""
    pair = Pair(program)
    try:
        yield pair
        pair.stop()
    finally:
        pair.destroy()


def shown(proxy):
    with proxy.console() as console:
        return {row["replica"]: row for row in console.show("REPLICAS")}


def counts(proxy, replica="app_r1"):
    row = shown(proxy)[replica]
    return row["statements"], row["fallbacks"], row["reruns"]


def training(sql):
    return f"/*ml_class='training'*/ {sql}"


def notes(pair, text):
    return pair.primary.run("SELECT count(*) FROM notes WHERE text = %s", "app", (text,))[0][0]


# ---- where statements go ----


def test_statements_that_read_go_to_the_standby(pair):
    proxy = pair.start()
    with proxy.client() as client:
        assert client.query(training(HERE)).value == REPLICA
        assert client.query(HERE).value == PRIMARY, "another lane"
        assert client.extended(training(HERE)).value == REPLICA
        assert client.extended(HERE).value == PRIMARY
        copy = client.query(training(f"COPY ({HERE}) TO STDOUT"))
        assert [body for kind, body in copy.messages if kind == "d"] == [b"t\n"]
        assert client.query(training(f"EXPLAIN ANALYZE {HERE}")).errors == []
        assert client.query(training(f"{HERE}; {HERE}")).rows == [[b"f"], [b"f"]], "not a single statement"
    assert counts(proxy) == (4, 0, 0)


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_a_server_that_is_kept_for_currval_is_given_up_for_it(pair, extended):
    """When it was read, as often as it is."""
    proxy = pair.start()
    with proxy.client() as client:
        ask = client.extended if extended else client.query
        for _ in range(2):
            client.query("SELECT lastval()")  # the first one finds nothing; the second is learned
            assert not client.query("INSERT INTO notes (text) VALUES ('kept')").errors
        assert ask("SELECT lastval()").errors == []
        with proxy.console() as console:
            assert [row["reason"] for row in console.show("PINS")] == ["sequence"]
        assert ask(training(HERE)).value == REPLICA


def test_transactions_go_there_only_if_they_are_declared_read_only(pair):
    proxy = pair.start()
    with proxy.client() as client:
        for begin, where in (("BEGIN READ ONLY", REPLICA), ("START TRANSACTION READ ONLY", REPLICA),
                             ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", REPLICA), ("BEGIN", PRIMARY),
                             ("BEGIN ISOLATION LEVEL REPEATABLE READ", PRIMARY), ("BEGIN READ WRITE", PRIMARY),
                             ("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", PRIMARY)):
            assert client.query(begin).status == "T"
            assert client.query(training(HERE)).value == where, begin
            assert client.query(HERE).value == where, f"{begin}: all of a transaction is in one place"
            assert client.query("SAVEPOINT a").errors == []
            assert client.query("COMMIT").status == "I"
        # In the extended protocol, too.
        assert client.extended("BEGIN READ ONLY").status == "T"
        assert client.extended(training(HERE)).value == REPLICA
        assert client.extended("COMMIT").status == "I"
        # An annotation on BEGIN decides about all of it.
        client.query("/*ml_class='training'*/ BEGIN READ ONLY")
        assert client.query(HERE).value == REPLICA
        client.query("COMMIT")
        # Its first statement decides; a neutral one takes a server of the primary.
        client.query("BEGIN READ ONLY")
        client.query("SET LOCAL work_mem = '8MB'")
        assert client.query(training(HERE)).value == PRIMARY
        client.query("COMMIT")


def test_cursor_of_a_read_only_transaction(pair):
    proxy = pair.start()
    with proxy.client() as client:
        client.query("BEGIN READ ONLY")
        assert client.query(training("DECLARE c CURSOR FOR SELECT pg_is_in_recovery() FROM events")).errors == []
        assert client.query("FETCH 2 FROM c").rows == [[b"t"], [b"t"]]
        client.query("COMMIT")
        # Where nothing says that the transaction reads, it is the primary's.
        client.query("BEGIN")
        client.query(training("DECLARE c CURSOR FOR SELECT pg_is_in_recovery() FROM events"))
        assert client.query("FETCH 1 FROM c").value == PRIMARY
        client.query("COMMIT")


def test_default_transaction_read_only_declares_all_transactions(pair):
    proxy = pair.start()
    with proxy.client(default_transaction_read_only="on") as client:
        for _ in range(2):
            client.query("BEGIN")
            assert client.query(training(HERE)).value == REPLICA
            client.query("COMMIT")
        client.query("BEGIN READ WRITE")
        assert client.query(training(HERE)).value == PRIMARY
        client.query("COMMIT")
        client.query("SET default_transaction_read_only = off")
        client.query("BEGIN")
        assert client.query(training(HERE)).value == PRIMARY
        client.query("COMMIT")


def test_serializable_sessions_stay_at_the_primary(pair):
    """A hot standby has no serializable transactions."""
    proxy = pair.start()
    with proxy.client(default_transaction_isolation="serializable") as client:
        assert client.query(training(HERE)).value == PRIMARY


def test_session_pooling_goes_by_the_session(pair):
    proxy = pair.start(pool_mode="session", target="default")
    for _ in range(2):  # with and without a server for the login
        with proxy.client() as client:
            assert client.query(HERE).value == PRIMARY
        with proxy.client(default_transaction_read_only="on") as client:
            assert client.query(HERE).value == REPLICA
            assert client.query(HERE).value == REPLICA
            assert client.query("INSERT INTO notes (text) VALUES ('session')").sqlstate == "25006"
    assert notes(pair, "session") == 0


# ---- what writes ----

WRITES = [
    "INSERT INTO notes (text) VALUES ('{0}')",
    "UPDATE events SET name = name WHERE id = 1",
    "DELETE FROM events WHERE id = -1",
    "MERGE INTO events USING (VALUES (-1)) v(i) ON id = i WHEN MATCHED THEN DELETE",
    "TRUNCATE notes",
    "CREATE TABLE {0} (a int)",
    "CREATE TABLE {0} AS SELECT 1 AS a",
    "SELECT 1 AS a INTO {0}",
    "CREATE TEMP TABLE {0} AS SELECT 1 AS a",
    "SELECT * INTO TEMP {0} FROM events",
    "WITH w AS (INSERT INTO notes (text) VALUES ('{0}') RETURNING 1) SELECT * FROM w",
    "WITH w AS (SELECT 1) INSERT INTO notes (text) SELECT '{0}' FROM w",
    "WITH w AS (SELECT 1), x AS (DELETE FROM events WHERE id = -1 RETURNING id) SELECT count(*) FROM x",
    "SELECT * FROM events WHERE id = 1 FOR UPDATE",
    "SELECT * FROM (SELECT * FROM events LIMIT 1 FOR SHARE) e",
    "TABLE events FOR KEY SHARE",
    "SELECT nextval('counter')",
    "SELECT \"nextval\"('counter'), '{0}'",
    "SELECT setval('counter', 5)",
    "VALUES (nextval('counter'))",
    "SELECT 1 WHERE nextval('counter') > 0",
    "COPY (SELECT nextval('counter')) TO STDOUT",
    "COPY (DELETE FROM events WHERE id = -1 RETURNING id) TO STDOUT",
    "SELECT pg_advisory_xact_lock(1)",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT U&\"pg\\005fadvisory_xact_lock\"(1)",
    "SELECT lo_create(0)",
    "SELECT lo_unlink(lo_create(0))",
    "SELECT pg_notify('channel', '{0}')",
    "NOTIFY channel, '{0}'",
    "LISTEN channel",
    "SELECT set_config('search_path', 'public', false)",
    "SELECT txid_current()",
    "SELECT pg_current_xact_id()",
    "SELECT pg_current_wal_lsn()",
    "SELECT pg_logical_emit_message(true, 'a', '{0}')",
    "DO $$ BEGIN LOCK TABLE events IN SHARE MODE; END $$",
    "DO $$ BEGIN INSERT INTO notes (text) VALUES ('{0}'); END $$",
    "EXPLAIN ANALYZE INSERT INTO notes (text) VALUES ('{0}')",
    "EXPLAIN (ANALYZE, COSTS off) WITH w AS (DELETE FROM events WHERE id = -1 RETURNING 1) SELECT * FROM w",
    "EXPLAIN ANALYZE CREATE TABLE {0} AS SELECT 1 AS a",
    "SELECT 1; INSERT INTO notes (text) VALUES ('{0}')",
    "PREPARE {0} AS INSERT INTO notes (text) VALUES ('{0}')",
    "REFRESH MATERIALIZED VIEW mat",
    "ANALYZE events",
    "GRANT SELECT ON events TO app",
    "COMMENT ON TABLE events IS '{0}'",
    "SELECT count(*) FROM pg_stat_activity",
    "SELECT 'a\\' , nextval('counter') --'",
]


@pytest.mark.parametrize("protocol", ["simple", "extended", "transaction"])
def test_no_write_reaches_the_standby(pair, protocol):
    """Every lane's target is the replica. What the standby executed is in its log."""
    pair.primary.run("CREATE MATERIALIZED VIEW IF NOT EXISTS mat AS SELECT 1", "app")
    pair.primary.run("GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC", "app")
    everything = {f"lane:{name}": {"target": "replica"} for name in ("default", "ml", "vector", "training")}
    proxy = pair.start(sections=everything)
    def run(number, shape):
        marker = f"w_{protocol}_{number}_"
        sql = f"{shape.format(marker)} /* {marker} */" if "--" not in shape else f"/* {marker} */ {shape}"
        with proxy.client(user="postgres", password="any") as client:  # one of its own: what a session has may keep its server
            if protocol == "simple":
                results = [client.query(sql)]
            elif protocol == "extended":
                results = [client.extended(sql)]
            else:
                results = [client.query("BEGIN"), client.query(sql), client.query("ROLLBACK")]
        states = [result.sqlstate for result in results if result.errors]
        assert states == [], f"{sql}: {states}"

    for i, shape in enumerate(WRITES):
        if protocol != "extended" or ";" not in shape or shape.startswith("DO"):
            run(i, shape)
    with proxy.client(user="postgres", password="any") as client:
        client.query("SET standard_conforming_strings = off")
        assert client.query("SELECT 'w_backslash_\\'', nextval('counter') /*'*/").errors == []
        # It does go there, after all that.
        assert client.query("SELECT pg_is_in_recovery() /* r_1_ */").value == REPLICA
    system.eventually(lambda: "r_1_" in pair.standby.log.read_text(errors="replace"), 10, "the standby's log")
    text = pair.standby.log.read_text(errors="replace")
    assert not re.findall(r"(?m)^.*w_[a-z]+_.*$", text)


def test_read_only_on_its_servers_does_not_follow_the_client(pair):
    proxy = pair.start()
    with proxy.client() as client:
        assert client.query(training("SHOW default_transaction_read_only")).value == "off", "neutral: the primary's"
        assert client.query(training("SELECT current_setting('default_transaction_read_only')")).value == "on"
        client.query("BEGIN READ ONLY")
        assert client.query(training(HERE)).value == REPLICA
        client.query("SET TimeZone = 'Asia/Tokyo'")
        client.query("COMMIT")
        for _ in range(3):
            assert client.query("SELECT current_setting('default_transaction_read_only')").value == "off"
            assert client.query("INSERT INTO notes (text) VALUES ('mine')").errors == []
            assert client.query(training(HERE)).value == REPLICA
    with proxy.client() as other:
        assert other.query("SELECT current_setting('default_transaction_read_only')").value == "off"


def test_state_of_a_session_on_the_standby_does_not_keep_its_client_there(pair):
    proxy = pair.start()
    with proxy.client() as client:
        for state in ("SELECT pg_advisory_lock(7)", "PREPARE p AS SELECT 1", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SET work_mem = '11MB'",
                      "SET default_transaction_read_only = off"):
            client.query("BEGIN READ ONLY")
            assert client.query(training(HERE)).value == REPLICA
            assert client.query(state).errors == [], state
            assert client.query("COMMIT").errors == [], state
            assert client.query("INSERT INTO notes (text) VALUES ('state') RETURNING pg_is_in_recovery()").value == PRIMARY, state
            assert client.query(training(HERE)).value == REPLICA
            assert client.query(training("SELECT current_setting('default_transaction_read_only')")).value == "on"
            assert client.query("SELECT current_setting('default_transaction_read_only')").value == "off"
        system.eventually(lambda: pair.standby.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")[0][0] == 0)


# ---- functions that write out of sight ----


def test_statement_that_the_standby_refuses_runs_on_the_primary(pair):
    proxy = pair.start()
    before = notes(pair, "hidden")
    with proxy.client() as client:
        for run in (client.query, client.extended):
            result = run(training("SELECT note('hidden')"))
            assert (result.value, result.errors, result.status) == (PRIMARY, [], "I")
            assert result.kinds in ("TDCZ", "12TDCZ"), "each message once"
        result = client.query(training("SELECT n > 0 FROM counted"))
        assert result.value == "t", "a view over nextval"
        assert client.query(training(HERE)).value == REPLICA
    assert notes(pair, "hidden") == before + 2, "each ran once"
    assert counts(proxy) == (4, 0, 3)


def test_prepared_statement_is_refused_only_once(pair):
    proxy = pair.start()
    with proxy.client() as client:
        parsed = client.exchange(wire.parse("s", training("SELECT note($1)"), [25]), wire.describe("S", "s"))
        assert parsed.kinds == "1tTZ"
        for i in range(3):
            result = client.exchange(wire.bind("", "s", ["prepared"]), wire.execute())
            assert (result.value, result.kinds) == (PRIMARY, "2DCZ")
        assert counts(proxy)[2] == 1
        # Parsed in the batch that is refused: the name is given once.
        batch = (wire.parse("t", training("SELECT note($1 || 't')"), [25]), wire.bind("", "t", ["prepared"]), wire.describe("P"), wire.execute())
        assert client.exchange(*batch).kinds == "12TDCZ"
        assert counts(proxy)[2] == 2
        assert client.exchange(wire.bind("", "t", ["prepared"]), wire.execute()).value == PRIMARY
        assert client.exchange(*batch).sqlstate == "42P05", "it is taken now"
    # What was learnt is of the text: another client does not ask the standby again.
    with proxy.client() as other:
        other.exchange(wire.parse("x", training("SELECT note($1)"), [25]))
    assert notes(pair, "prepared") == 3


def test_name_of_before_is_not_what_its_batch_parses(pair):
    """A batch that parses one name and runs another does what that other does: it is not the standby's to refuse."""
    proxy = pair.start()
    with proxy.client() as client:
        client.exchange(wire.parse("w", training("INSERT INTO notes (text) VALUES ('named')")))
        result = client.exchange(wire.parse("r", training(HERE)), wire.bind("", "w"), wire.execute(), wire.bind("", "r"), wire.execute())
        assert (result.rows, result.errors) == ([[b"f"]], [])
        assert counts(proxy) == (0, 0, 0)
        # What it parses and runs itself is read.
        assert client.exchange(wire.parse("s", training(HERE)), wire.bind("", "s"), wire.execute()).value == REPLICA
    assert notes(pair, "named") == 1


def test_batch_of_several_statements_runs_again_as_a_whole(pair):
    proxy = pair.start()
    with proxy.client() as client:
        result = client.exchange(
            wire.parse("a", training(HERE)), wire.bind("", "a"), wire.execute(), wire.close("S", "a"),
            wire.parse("a", training("SELECT note('batch')")), wire.bind("", "a"), wire.execute())
        assert [row[0] for row in result.rows] == [b"f", b"f"], result.errors
        assert result.kinds == "12DC312DCZ"
        # Names and the unnamed statement are what they were before it: a name that is taken stays taken, and what is closed is there.
        client.exchange(wire.parse("s", training("SELECT 's'")), wire.parse("", training("SELECT 'unnamed'")))
        result = client.exchange(
            wire.bind("", "s"), wire.execute(), wire.bind("", ""), wire.execute(), wire.close("S", "s"),
            wire.parse("", training("SELECT note('batch')::text")), wire.bind("", ""), wire.execute(),
            wire.parse("a", training(HERE)), wire.bind("", "a"), wire.execute())
        assert [row[0] for row in result.rows] == [b"s", b"unnamed", b"false"] and result.sqlstate == "42P05", result.errors
        assert client.exchange(wire.bind("", "s"), wire.execute()).sqlstate == "26000", "Close is not undone by an error behind it"
        # And one that only reads: all of it is there.
        result = client.exchange(*[part for i in range(3) for part in (wire.parse("", training(HERE)), wire.bind("", ""), wire.execute())])
        assert [row[0] for row in result.rows] == [b"t"] * 3
        # One statement that may write takes all of its batch to the primary.
        result = client.exchange(wire.parse("", training(HERE)), wire.bind("", ""), wire.execute(),
                                 wire.parse("", training("INSERT INTO notes (text) VALUES ('batch')")), wire.bind("", ""), wire.execute())
        assert (result.rows, result.errors) == ([[b"f"]], [])
    assert notes(pair, "batch") == 2
    assert counts(proxy)[2] == 2


def test_pipeline_behind_a_refused_statement_keeps_its_order(pair):
    proxy = pair.start()
    with proxy.client() as client:
        client.send(wire.query(training("SELECT note('pipeline')")), wire.query(training("SELECT 'second'")),
                    wire.parse("", training("SELECT note('pipeline')")), wire.bind("", ""), wire.execute(), wire.SYNC,
                    wire.query("SELECT 'fourth'"))
        values = [client.result().value for _ in range(4)]
    assert values == [PRIMARY, "second", PRIMARY, "fourth"]
    assert notes(pair, "pipeline") == 2


def test_error_behind_rows_is_the_clients(pair):
    """What has been sent cannot be taken back: the client hears 25006, and runs it again as it does with any other error."""
    proxy = pair.start()
    with proxy.client() as client:
        result = client.query(training("SELECT note_last(i, 5000) FROM generate_series(1, 5000) i"))
        assert result.sqlstate == "25006" and len(result.rows) > 10 and result.status == "I"
        assert client.query(training(HERE)).value == REPLICA
    assert counts(proxy)[2] == 0
    assert notes(pair, "last") == 0


def test_refused_in_a_transaction_is_the_clients(pair):
    """It is declared READ ONLY: the primary would refuse it as well."""
    proxy = pair.start()
    with proxy.client() as client:
        client.query("BEGIN READ ONLY")
        assert client.query(training("SELECT note('read only')")).sqlstate == "25006"
        assert client.query("SELECT 1").sqlstate == "25P02"
        assert client.query("ROLLBACK").status == "I"
    assert notes(pair, "read only") == 0 and counts(proxy)[2] == 0


def test_conflict_with_the_replay_runs_on_the_primary(pair):
    """max_standby_streaming_delay is over: the standby cancels the statement, whose client need not know."""
    proxy = pair.start()
    pair.primary.run("CREATE TABLE IF NOT EXISTS dead (i int)", "app")
    pair.primary.run("INSERT INTO dead SELECT generate_series(1, 1000)", "app")
    pair.primary.run("GRANT ALL ON dead TO PUBLIC", "app")
    pair.standby.catch_up()
    with proxy.client() as client:
        client.send(wire.query(training("SELECT count(*) FROM dead, (SELECT CASE WHEN pg_is_in_recovery() THEN pg_sleep(60) END) s")))
        system.eventually(lambda: pair.standby.run("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")[0][0] == 1)
        pair.primary.run("DELETE FROM dead", "app")
        pair.primary.run("VACUUM dead", "app")
        assert client.result().value == "0"
    assert counts(proxy) == (1, 0, 1)


NAMES = ["", "", "s", "t"]
TEXTS = ["SELECT $1::text", "SELECT $1::text, name FROM events WHERE id < 3 ORDER BY id", "SELECT note($1)::text", "SELECT 1 / length(substr($1, 9))",
         "INSERT INTO notes (text) VALUES ($1) RETURNING text", "SELECT note_last(i, 2) FROM generate_series(1, 2) i WHERE $1::text IS NOT NULL",
         "SELECT nextval('counter') > 0, $1::text", "SELEC $1"]
QUERIES = ["SELECT 'simple'", "SELECT note('simple') IS NOT NULL", "INSERT INTO notes (text) VALUES ('simple')", "BEGIN", "BEGIN READ ONLY", "COMMIT", "ROLLBACK",
           "SELECT 1 / 0", "COPY (SELECT 5) TO STDOUT", "SAVEPOINT a", "SELECT 1; SELECT 2", ""]


def random_batch(rng):
    """Messages of one batch and its Sync, or one Query; what a driver could send, or would never."""
    if rng.random() < 0.3:
        return [wire.query(rng.choice(QUERIES))]
    parts = []
    for _ in range(rng.randint(1, 4)):
        name = rng.choice(NAMES)
        parts += rng.choice([
            [wire.parse(name, rng.choice(TEXTS), [25]), wire.bind("", name, ["value"]), wire.describe("P"), wire.execute()],
            [wire.bind("", name, ["value"]), wire.execute()],
            [wire.parse(name, rng.choice(TEXTS), [25]), wire.describe("S", name)],
            [wire.close("S", name)],
            [wire.execute()],
        ])
    return [*parts, wire.SYNC]


def essence(result):
    return result.kinds, result.rows, [error.sqlstate for error in result.errors], result.status, result.tags


@pytest.mark.parametrize("seed", range(4))
def test_random_batches_are_answered_as_by_the_primary(pair, seed):
    """The same messages to a pglane without a target and to one all of whose lanes have it: nobody can tell them apart, and each write happened once."""
    rng = random.Random(seed)
    everything = {f"lane:{name}": {"target": "replica"} for name in ("default", "ml", "vector", "training")}
    proxy = pair.start(sections=everything)
    plain = pair.start(lane={"target": "primary"}, wait=False)
    written = []
    with proxy.client() as client, plain.client() as direct:
        seen = [("", [], [], "I", [])]
        for _ in range(scaled(250)):
            # What a failed transaction answers to Parse hangs on the copies that its server has.
            batch = [wire.query("ROLLBACK")] if seen[0][3] == "E" else random_batch(rng)
            seen = []
            for one in (direct, client):
                before = pair.primary.run("SELECT count(*) FROM notes", "app")[0][0]
                one.send(*batch)
                seen.append(essence(one.result()))
                written.append(pair.primary.run("SELECT count(*) FROM notes", "app")[0][0] - before)
            assert seen[0] == seen[1], batch
            assert written[-1] == written[-2], batch
    statements, _, reruns = counts(proxy)
    assert statements >= scaled(20) and reruns > 0  # it did go there, and came back


# ---- lag ----


def write_something(pair):
    pair.primary.run("INSERT INTO notes (text) VALUES ('something')", "app")


@pytest.fixture
def paused(pair):
    """The standby's replay stands still, with something to replay."""
    pair.standby.run("SELECT pg_wal_replay_pause()")
    system.eventually(lambda: pair.standby.run("SELECT pg_get_wal_replay_pause_state()")[0][0] == "paused")
    write_something(pair)
    yield pair
    pair.standby.run("SELECT pg_wal_replay_resume()")
    pair.standby.catch_up()


def test_replica_that_is_behind_is_not_used(pair, paused):
    proxy = pair.start(lane={"max_lag": "1s"})
    with proxy.client() as client:
        system.eventually(lambda: client.query(training(HERE)).value == PRIMARY, 20, "the lag's being too long")
        row = shown(proxy)["app_r1"]
        assert row["state"] == "up" and row["lag_ms"] > 1000 and row["lag_bytes"] > 0 and row["fallbacks"] > 0
        pair.standby.run("SELECT pg_wal_replay_resume()")
        system.eventually(lambda: client.query(training(HERE)).value == REPLICA, 20, "the standby's catching up")
        row = shown(proxy)["app_r1"]
        assert (row["lag_ms"], row["reason"]) == (0, "")


def test_each_lane_has_its_own_patience(pair, paused):
    proxy = pair.start(lane={"max_lag": "500ms"}, sections={"lane:vector": {"target": "replica", "max_lag": 0}})
    with proxy.client() as client:
        system.eventually(lambda: client.query(training(HERE)).value == PRIMARY, 20, "the lag's being too long")
        assert client.query(f"/*ml_class='vector'*/ {HERE}").value == REPLICA


def test_idle_primary_is_no_lag(pair):
    """Nothing has been written for longer than max_lag: the standby's last transaction is old, and what it shows is not."""
    proxy = pair.start(lane={"max_lag": "300ms"}, replica_check_period="100ms")
    pair.primary.run("CHECKPOINT")
    write_something(pair)
    pair.standby.catch_up()
    with proxy.client() as client:
        system.eventually(lambda: pair.standby.run("SELECT now() - pg_last_xact_replay_timestamp() > '2 s'")[0][0], 20, "two idle seconds")
        for _ in range(20):
            assert client.query(training(HERE)).value == REPLICA
    assert shown(proxy)["app_r1"]["lag_ms"] == 0


def test_statement_waits_for_a_replica_where_it_is_to(pair, paused):
    proxy = pair.start(lane={"max_lag": "500ms", "replica_fallback": "queue", "queue_timeout": "20s"})
    system.eventually(lambda: shown(proxy)["app_r1"]["lag_ms"] > 500, 20, "the lag's being too long")
    with proxy.client() as waiter, proxy.client() as leaver, proxy.client() as canceled, proxy.client() as writer, proxy.console() as console:
        for client in (waiter, leaver, canceled):
            client.send(wire.query(training(HERE)))
        system.eventually(lambda: [row["waits_for"] for row in console.show("QUEUE")] == ["replica"] * 3)
        assert writer.query(training("INSERT INTO notes (text) VALUES ('w') RETURNING pg_is_in_recovery()")).value == PRIMARY, "it need not wait"
        leaver.close()
        wire.send_cancel(proxy.host, proxy.port, canceled.pid, canceled.key)
        assert canceled.result().sqlstate == "57014"
        assert canceled.query("SELECT 1").value == "1"
        system.eventually(lambda: len(console.show("QUEUE")) == 1)
        pair.standby.run("SELECT pg_wal_replay_resume()")
        assert waiter.result().value == REPLICA
        assert counts(proxy)[1] == 0


def test_waiting_outlasts_a_crash_and_the_operator(own):
    proxy = own.start(lane={"replica_fallback": "queue", "queue_timeout": "60s"}, lanes={"default": 8, "training": 2})
    with proxy.console() as console, proxy.client() as first, proxy.client() as second, proxy.client() as third:
        assert first.query(training(HERE)).value == REPLICA
        own.standby.kill()
        system.eventually(lambda: shown(proxy)["app_r1"]["state"] == "down", 20, "the loss's being seen")
        for client in (first, second, third):
            client.send(wire.query(training(HERE)))
        system.eventually(lambda: len(console.show("QUEUE")) == 3)
        own.standby.start()
        assert [client.result().value for client in (first, second, third)] == [REPLICA] * 3
        console.run("DISABLE app_r1")
        first.send(wire.query(training(HERE)))
        system.eventually(lambda: len(console.show("QUEUE")) == 1)
        console.run("ENABLE app_r1")
        assert first.result().value == REPLICA
        assert console.lane("training")["in_use"] == 0


def test_waiting_for_a_replica_has_an_end(pair, paused):
    proxy = pair.start(lane={"max_lag": "200ms", "replica_fallback": "queue", "queue_timeout": "700ms"})
    system.eventually(lambda: shown(proxy)["app_r1"]["lag_ms"] > 500, 20, "the lag's being too long")
    with proxy.client() as client:
        result = client.query(training(HERE))
        assert result.sqlstate == "53300" and "No replica of database app can be used" in result.errors[0].fields["D"]
        assert client.query("SELECT 1").value == "1"
        # A reload that lets the primary serve it frees who waits.
        client.send(wire.query(training(HERE)))
        proxy.sections["lane:training"]["replica_fallback"] = "primary"
        proxy.write()
        proxy.reload()
        assert client.result().value == PRIMARY


# ---- a standby that goes ----


def readers(proxy, n, seen, lost):
    """n clients that read in the training lane until they are stopped; what they saw, and errors by SQLSTATE."""
    def work(stop):
        with proxy.client() as client:
            while not stop.is_set():
                result = client.query(training(HERE))
                if result.errors:
                    lost.append(result.sqlstate)
                else:
                    seen.append(result.rows[0][0].decode())
    return [work] * n


def test_standby_that_is_killed_under_load(own):
    proxy = own.start(lanes={"default": 8, "training": 6})
    seen, lost = [], []
    with Background(*readers(proxy, 20, seen, lost)):
        system.eventually(lambda: len(seen) > 200)
        own.standby.kill()
        system.eventually(lambda: shown(proxy)["app_r1"]["state"] == "down", 20, "the loss's being seen")
        n = len(seen)
        system.eventually(lambda: len(seen) > n + 200, 20, "the primary's serving them")
        assert set(seen[n:n + 200]) <= {REPLICA, PRIMARY} and PRIMARY in seen[n:n + 200]
        own.standby.start()
        system.eventually(lambda: shown(proxy)["app_r1"]["state"] == "up", 30, "the standby's return")
        system.eventually(lambda: seen[-1] == REPLICA, 30, "its use")
    assert set(lost) <= {"08006"} and len(lost) <= 6, f"only what ran there is lost: {lost}"
    row = shown(proxy)["app_r1"]
    assert row["fallbacks"] > 0 and row["reruns"] == 0
    assert re.search(r"WARNING replica app_r1 of database app is down: ", proxy.log_text())
    assert re.search(r"LOG replica app_r1 of database app is up", proxy.log_text())


def test_promoted_standby_is_no_replica(own):
    proxy = own.start()
    with proxy.client() as client:
        assert client.query(training(HERE)).value == REPLICA
        own.standby.run("SELECT pg_promote()")
        system.eventually(lambda: shown(proxy)["app_r1"]["state"] == "promoted", 20, "the promotion's being seen")
        for _ in range(10):
            system_id = client.query(training("SELECT inet_server_port()")).value
            assert int(system_id) == own.primary.port
        # A write that nobody can see: its server's sessions were read-only all the time.
        assert own.standby.run("SELECT count(*) FROM notes", "app") == own.primary.run("SELECT count(*) FROM notes", "app")


def test_hidden_write_in_the_moment_of_the_promotion(own):
    """Nobody has asked since: pglane takes it for a replica still."""
    proxy = own.start(replica_check_period="1h")
    with proxy.client() as client:
        assert client.query(training(HERE)).value == REPLICA
        own.standby.run("SELECT pg_promote()")
        assert client.query(training(HERE)).value == PRIMARY
        assert client.query(training("SELECT inet_server_port()")).value == str(own.standby.port), "it is still used"
        assert client.query(training("SELECT note('split')")).value == PRIMARY
    assert own.standby.run("SELECT count(*) FROM notes WHERE text = 'split'", "app")[0][0] == 0
    assert notes(own, "split") == 1


def test_standby_of_another_cluster_is_not_used(pair, cluster):
    stranger = Cluster(Standby.REPLICATION)
    replica = None
    try:
        replica = Standby(stranger)
        proxy = pair.start(replicas={"app_r1": replica}, wait=False)
        system.eventually(lambda: shown(proxy)["app_r1"]["state"] == "foreign", 20, "the stranger's being known")
        assert "system identifier" in shown(proxy)["app_r1"]["reason"]
        with proxy.client() as client:
            assert client.query(training(HERE)).value == PRIMARY
    finally:
        if replica:
            replica.destroy()
        stranger.destroy()


def test_replica_that_is_not_there_at_the_start(pair):
    class Nothing:
        port = system.free_port()

    proxy = pair.start(replicas={"app_r1": Nothing}, wait=False)
    with proxy.client() as client:
        assert client.query(training(HERE)).value == PRIMARY
    system.eventually(lambda: shown(proxy)["app_r1"]["state"] == "down", 20, "the refusal")
    row = shown(proxy)["app_r1"]
    assert row["lag_ms"] is None and row["reason"]


def test_several_replicas_share_the_work_and_stand_in_for_each_other(own):
    second = own.new_standby()
    try:
        proxy = own.start(replicas={"app_r1": own.standby, "app_r2": second}, lanes={"default": 8, "training": 4})
        with proxy.client() as client:
            ports = [client.query(training("SELECT inet_server_port()")).value for _ in range(10)]
            assert sorted(set(ports)) == sorted([str(own.standby.port), str(second.port)])
            second.stop()
            for _ in range(30):
                result = client.query(training("SELECT inet_server_port()"))
                assert result.errors == [] and result.value == str(own.standby.port)
    finally:
        second.destroy()


# ---- operators ----


def test_console_can_take_a_replica_out(pair):
    proxy = pair.start()
    with proxy.client() as client, proxy.console() as console:
        console.run("DISABLE app_r1")
        assert client.query(training(HERE)).value == PRIMARY
        assert shown(proxy)["app_r1"]["state"] == "disabled"
        console.run("ENABLE app_r1")
        assert client.query(training(HERE)).value == REPLICA
        console.run("PAUSE app_r1")
        assert client.query(training(HERE)).value == PRIMARY
        console.run("RESUME app_r1")
        assert client.query(training(HERE)).value == REPLICA
        pools = {(row["database"], row["user"]) for row in console.show("POOLS")}
        assert {("app", "app"), ("app_r1", "app")} <= pools
        assert {str(row["port"]) for row in console.show("SERVERS")} == {str(pair.primary.port), str(pair.standby.port)}
        ports = {row["name"]: row["port"] for row in console.show("DATABASES")}
        assert (ports["app"], ports["app_r1"]) == (pair.primary.port, pair.standby.port)


def test_explain_route_shows_the_target(pair):
    proxy = pair.start()

    def target(sql):
        with proxy.console() as console:
            return {row["key"]: row["value"] for row in console.run(f"EXPLAIN ROUTE {sql}")}["target"]

    assert target("SELECT 1") == "primary"
    assert target(training("SELECT 1")) == "replica"
    assert target(training("DELETE FROM events")) == "primary: it may write"
    assert target(training("DECLARE c CURSOR FOR SELECT 1")) == "replica, in a transaction that is declared READ ONLY"


def test_reload_adds_and_removes_replicas_under_load(pair):
    proxy = pair.start(lanes={"default": 8, "training": 4})
    seen, lost = [], []
    app = proxy.databases["app"]

    def change(replicas, target):
        proxy.databases["app"] = "{server} dbname=app" + replicas
        proxy.sections["lane:training"]["target"] = target
        proxy.write()
        proxy.reload()

    with Background(*readers(proxy, 12, seen, lost)):
        for _ in range(5):
            system.eventually(lambda: seen and seen[-1] == REPLICA, 20, "the replica's use")
            change("", "primary")
            n = len(seen)
            system.eventually(lambda: len(seen) > n + 50 and set(seen[-20:]) == {PRIMARY}, 20, "the primary's use")
            assert not shown(proxy)
            change(" replicas=app_r1", "replica")
            system.eventually(lambda: shown(proxy)["app_r1"]["state"] == "up", 20, "the replica's being up")
    assert lost == []
    proxy.databases["app"] = app
    # An entry that is named as a replica cannot be taken away.
    gone = proxy.databases.pop("app_r1")
    proxy.sections["lane:training"]["target"] = "replica"
    proxy.write()
    with pytest.raises(psycopg2.Error, match="app_r1"):
        proxy.reload()
    proxy.databases["app_r1"] = gone


def test_watch_waits_for_its_permits(pair):
    proxy = pair.start(lanes={"default": 3}, lane={"target": "primary"}, wait=False)

    def change(target):
        proxy.sections["lane:training"]["target"] = target
        proxy.write()
        proxy.reload()

    holders = [proxy.client() for _ in range(3)]
    for holder in holders:
        holder.query("BEGIN")
        holder.query("SELECT 1")
    assert shown(proxy)["app_r1"]["state"] == "unused"
    with proxy.console() as console:
        for _ in range(2):  # given up while it waits, and asked for again
            change("replica")
            system.eventually(lambda: console.lane("default")["waiting"] == 2, what="the watch's waiting")
            assert shown(proxy)["app_r1"]["state"] == "unknown"
            change("primary")
            assert console.lane("default")["waiting"] == 0
        change("replica")
        for holder in holders:
            holder.query("COMMIT")
            holder.close()
        system.eventually(lambda: shown(proxy)["app_r1"]["lag_ms"] is not None, 20, "the replica's being up")
        system.eventually(lambda: console.lane("default")["in_use"] == 2)
        assert proxy.run(training(HERE)) == [(True,)]
        change("primary")
        system.eventually(lambda: console.lane("default")["in_use"] == 0, what="the return of its permits")
        proxy.sections["lane:training"]["target"] = "replica"
        proxy.sections["lane:default"] = {"permits": 2}
        proxy.write(budget=6)
        with pytest.raises(psycopg2.Error, match="give it more"):
            proxy.reload()


# ---- budget, cancels, clocks, parameters ----


def test_budget_counts_both_hosts(pair):
    """Never more backends than the budget, over both hosts, as PostgreSQL counts them; the lane has its permits, wherever they are used."""
    proxy = pair.start(lanes={"default": 4, "training": 3})
    most, stop = [], threading.Event()
    mine = "backend_type = 'client backend' AND application_name <> 'direct'"

    def watch(_):
        primary, standby = pair.primary.connect(), pair.standby.connect()
        while not stop.is_set():
            n = 0
            for connection in (primary, standby):
                with connection.cursor() as cursor:
                    cursor.execute(f"SELECT count(*) FROM pg_stat_activity WHERE {mine} AND pid <> pg_backend_pid()")
                    n += cursor.fetchone()[0]
            most.append(n)
        primary.close()
        standby.close()

    def client(i):
        with proxy.client() as one:
            for j in range(40):
                sql = training(f"{HERE}, pg_sleep(0.005)") if (i + j) % 2 else "SELECT pg_is_in_recovery(), pg_sleep(0.005)"
                result = one.query(sql)
                assert result.errors == [] and result.rows[0][0].decode() == (REPLICA if (i + j) % 2 else PRIMARY)

    thread = threading.Thread(target=watch, args=(0,))
    thread.start()
    try:
        in_parallel(16, client)
    finally:
        stop.set()
        thread.join()
    with proxy.console() as console:
        budget = console.show("BUDGET")[0]
        assert budget["budget"] == 10 and max(most) <= 10 and budget["slots"] <= 10
        assert console.lane("training")["in_use"] == 0
        assert console.lane("default")["in_use"] == 2, "the watch of the primary and of the replica"


def test_cancel_request_goes_to_the_standby(pair):
    proxy = pair.start()
    with proxy.client() as client:
        client.send(wire.query(training("SELECT pg_sleep(60)")))
        system.eventually(lambda: pair.standby.run("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")[0][0] == 1)
        wire.send_cancel(proxy.host, proxy.port, client.pid, client.key)
        assert client.result().sqlstate == "57014"
        assert client.query(training(HERE)).value == REPLICA


def test_time_limit_and_hop_of_a_statement_on_the_standby(pair):
    proxy = pair.start(lanes={"default": 4}, lane={"statement_timeout": "700ms"},
                       sections={"lane:vector": {"target": "replica", "hop_after": "100ms", "hop_to": "training", "statement_timeout": 0}})
    with proxy.client() as client:
        late = client.query(training("SELECT pg_sleep(60)"))
        assert late.sqlstate == "57014" and "lane training: the limit is 700 ms" in late.errors[0].fields["D"]
        assert client.query("/*ml_class='vector'*/ SELECT pg_is_in_recovery(), pg_sleep(0.4)").rows[0][0] == b"t"
        with proxy.console() as console:
            assert console.lane("training")["hopped_in"] == 1


def test_statement_that_hops_into_a_replica_lane_stays_where_it_is(pair):
    proxy = pair.start(sections={"lane:default": {"hop_after": "100ms", "hop_to": "training"}})
    with proxy.client() as client:
        assert client.query("SELECT pg_is_in_recovery(), pg_sleep(0.5)").rows[0][0] == b"f"
        with proxy.console() as console:
            assert console.lane("training")["hopped_in"] == 1


def test_parameters_and_prepared_statements_are_there_too(pair):
    proxy = pair.start()
    with proxy.client(options="-c work_mem=7MB", TimeZone="Asia/Tokyo") as client:
        client.exchange(wire.parse("s", training("SELECT current_setting('TimeZone') || current_setting('work_mem') || pg_is_in_recovery()")))
        assert client.exchange(wire.bind("", "s"), wire.execute()).value == "Asia/Tokyo7MBtrue"
        client.query("SET TimeZone = 'Europe/Berlin'")
        client.query("SET work_mem = '9MB'")
        for _ in range(2):
            assert client.exchange(wire.bind("", "s"), wire.execute()).value == "Europe/Berlin9MBtrue"
    with proxy.client() as other:
        assert other.query(training("SELECT current_setting('work_mem') || pg_is_in_recovery()")).value == "4MBtrue"


def test_primary_that_is_away_does_not_keep_readers_from_the_standby(own):
    proxy = own.start(lane={"max_lag": 0})
    with proxy.client() as client:
        assert client.query(training(HERE)).value == REPLICA
        own.primary.stop()
        for _ in range(5):
            assert client.query(training(HERE)).value == REPLICA
        assert client.query("SELECT 1").sqlstate is not None
        own.primary.start()
        system.eventually(lambda: not client.query("SELECT 1").errors, 30, "the primary's return")
