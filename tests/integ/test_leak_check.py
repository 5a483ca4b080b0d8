# SPDX-License-Identifier: ISC
"""leak_check: what a function leaves in its session is found behind its transaction, reported, and nobody's."""

import random

import pytest

from harness import system, wire
from harness.traffic import in_parallel, scaled

SETUP = """
    DROP SCHEMA IF EXISTS leak CASCADE
    CREATE SCHEMA leak
    GRANT ALL ON SCHEMA leak TO PUBLIC
    CREATE FUNCTION leak.does(what text) RETURNS int LANGUAGE plpgsql AS 'BEGIN EXECUTE what; RETURN 7; END'
    CREATE TABLE leak.t (n int)
    CREATE FUNCTION leak.trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_lock(NEW.n); RETURN NEW; END'
    CREATE TRIGGER t BEFORE INSERT ON leak.t FOR EACH ROW WHEN (NEW.n > 0) EXECUTE FUNCTION leak.trigger()
    CREATE VIEW leak.v AS SELECT leak.does('SET work_mem = ''5MB''') AS n
    GRANT ALL ON ALL TABLES IN SCHEMA leak TO PUBLIC"""

LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"

# What a function does, what another client would find, what it finds when there is nothing, what is reported.
HIDDEN = {
    "temporary table": ("CREATE TEMP TABLE own (n int)", "SELECT to_regclass('pg_temp.own') IS NULL", "t", "temporary objects"),
    "temporary view": ("CREATE TEMP VIEW own AS SELECT 1", "SELECT to_regclass('pg_temp.own') IS NULL", "t", "temporary objects"),
    "advisory lock": ("SELECT pg_advisory_lock(4711)", LOCKS, "0", "advisory lock"),
    "listen": ("LISTEN own", "SELECT count(*) FROM pg_listening_channels()", "0", "listen own"),
    "prepare": ("PREPARE own AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements WHERE from_sql", "0", "prepare own"),
    "cursor with hold": ("DECLARE own CURSOR WITH HOLD FOR SELECT 1", "SELECT count(*) FROM pg_cursors WHERE is_holdable", "0", "cursor with hold own"),
    "setting": ("SET work_mem = '5MB'", "SHOW work_mem", "4MB", "setting work_mem"),
    "set_config": ("SELECT set_config('search_path', 'leak', false)", "SHOW search_path", '"$user", public', "setting search_path"),
    "role": ("SET ROLE u_other", "SELECT current_user", "app", "role u_other"),
    "custom setting": ("SELECT set_config('leak.tenant', 'mine', false)", "SELECT coalesce(current_setting('leak.tenant', true), '')", "", None),
}


@pytest.fixture(autouse=True)
def schema(cluster):
    for statement in SETUP.strip().split("\n"):
        cluster.run(statement, "app")
    cluster.run("GRANT u_other TO app")
    yield
    cluster.run("REVOKE u_other FROM app")


def call(what):
    return "SELECT leak.does('" + what.replace("'", "''") + "')"


def leaks(proxy):
    with proxy.console() as console:
        return console.show("LEAKS")


def same_server(proxy, question):
    """What a client finds that comes next; there is one server."""
    with proxy.client() as other:
        return other.query(question).value


@pytest.mark.parametrize("mode", ["always", "sampled"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_what_a_function_leaves(start, mode, extended):
    """One server. The first time of each statement is checked in both modes; the other client finds nothing, whatever it was."""
    proxy = start(lanes={"default": 1}, workers=1, leak_check=mode)
    n = 0
    with proxy.client() as client:
        for name, (what, question, nothing, report) in HIDDEN.items():
            if name == "custom setting" and mode == "sampled":
                continue # listed by no PostgreSQL: only `always` clears it every time
            told = client.extended(call(what)) if extended else client.query(call(what))
            assert told.value == "7", (name, told.messages)
            assert same_server(proxy, question) == nothing, name
            if report is None:
                continue
            n += 1
            row = leaks(proxy)[0]
            assert (row["what"], row["certain"], row["database"], row["user"]) == (report, 1, "app", "app"), (name, row)
            assert row["count"] == n and row["query"] == "SELECT leak.does(?)", "one statement without its constants"
            assert client.query(question).value == nothing, "nor does the one that called it find it, on whichever server"
    assert "left in its session" in proxy.log_text()


def test_off_asks_nothing(start):
    """The control: without the check the next client finds it."""
    proxy = start(lanes={"default": 1}, workers=1, leak_check="off")
    with proxy.client() as client:
        for name in ("temporary table", "advisory lock", "setting"):
            what, question, nothing, _ = HIDDEN[name]
            client.query(call(what))
            assert same_server(proxy, question) != nothing, name
    assert leaks(proxy) == []


@pytest.mark.parametrize("scope", ["global", "database", "user"])
def test_scopes(start, cluster, scope):
    settings, sections = {"leak_check": "always" if scope == "global" else "off"}, {}
    if scope == "database":
        sections["databases"] = {"app": f"host={cluster.directory} port={cluster.port} leak_check=always"}
    elif scope == "user":
        sections["users"] = {"app": "leak_check=always"}
    proxy = start(lanes={"default": 1}, workers=1, sections=sections, **settings)
    with proxy.client() as client:
        client.query(call("SELECT pg_advisory_lock(1)"))
    # It has gone while the server is asked.
    system.eventually(lambda: [row["what"] for row in leaks(proxy)] == ["advisory lock"])


def test_what_no_call_shows(start):
    """always: a trigger and a view. Both are reported, the lock at once, the setting as often as settings are asked for."""
    proxy = start(lanes={"default": 1}, workers=1, leak_check="always")
    with proxy.client() as client:
        assert not client.query("INSERT INTO leak.t VALUES (5)").errors
        assert same_server(proxy, LOCKS) == "0"
        assert [(row["what"], row["query"], row["certain"]) for row in leaks(proxy)] == [("advisory lock", "INSERT INTO leak.t VALUES (?)", 1)]
        for _ in range(10):
            assert client.query("SELECT * FROM leak.v").value == "7"
            assert same_server(proxy, "SHOW work_mem") == "4MB"


def test_sampled_finds_what_no_call_shows(start):
    """A trigger: no call is seen. A hundred transactions and a second later it is found, then its pool is looked at until it is known who it was."""
    proxy = start(lanes={"default": 1}, workers=1, leak_check="sampled")
    with proxy.client() as client, proxy.client() as other:
        def found():
            assert not client.query("INSERT INTO leak.t VALUES (6)").errors
            for _ in range(60):
                other.query("SELECT 1")
            return [row for row in leaks(proxy) if row["query"].startswith("INSERT") and row["certain"] == 1]

        system.eventually(found, 20)
        # From now on always.
        for _ in range(10):
            client.query("INSERT INTO leak.t VALUES (7)")
            assert other.query(LOCKS).value == "0"


def test_statement_that_was_found_is_checked_from_then_on(start):
    proxy = start(lanes={"default": 1}, workers=1, leak_check="sampled")
    with proxy.client() as client:
        for i in range(20): # nothing between them, so that each is certain and nobody is hunted
            assert client.query(call(f"SELECT pg_advisory_lock({i})")).value == "7"
        assert client.query(LOCKS).value == "0"
        assert [(row["count"], row["certain"]) for row in leaks(proxy)] == [(20, 1)]


def test_statement_that_leaves_nothing_is_not_asked_for_ever(start, cluster):
    """The first three times of a call; the questions are prepared statements of the server, and what PostgreSQL says of those counts them."""
    proxy = start(lanes={"default": 1}, workers=1, leak_check="sampled")
    with proxy.client() as client:
        def asked():
            return int(client.query("SELECT coalesce(sum(generic_plans + custom_plans), 0) FROM pg_prepared_statements "
                                    "WHERE statement LIKE '%pg_listening_channels%' AND NOT from_sql").value)

        for _ in range(3):
            client.query(call("SELECT 1"))
        before = asked()
        assert before == 3
        for _ in range(20):
            client.query(call("SELECT 1"))
        assert asked() == before
    assert leaks(proxy) == []


def test_pipeline_goes_on_through_the_check(start):
    """What comes while the server is asked, and reset, waits and is answered, in its order; parameters stay."""
    proxy = start(lanes={"default": 2}, workers=1, leak_check="always")
    with proxy.client(application_name="pipe") as client:
        client.query("SET work_mem = '3MB'")
        client.exchange(wire.parse("p", "SELECT $1::int + 1"))
        for i in range(scaled(30)):
            lock = "SELECT pg_advisory_lock(1)" if i % 2 else "SELECT 1"
            client.send(wire.query(call(lock)), wire.query("SHOW work_mem"), wire.query("SHOW application_name"),
                        wire.bind("", "p", [str(i)]), wire.execute(), wire.SYNC, wire.query("BEGIN"), wire.query(call(lock)),
                        wire.query("ROLLBACK"), wire.query(LOCKS))
            answers = [client.result() for _ in range(8)]
            assert [a.value for a in answers[:4]] == ["7", "3MB", "pipe", str(i + 1)]
            assert [a.status for a in answers[4:7]] == ["T", "T", "I"] and answers[7].value == "0"


def test_client_that_goes_while_the_server_is_asked(start):
    """Nobody hears of it, and nothing is left: reset by then, or by the end of its client."""
    proxy = start(lanes={"default": 1}, workers=1, leak_check="always")
    for i in range(scaled(30)):
        client = proxy.client()
        client.send(wire.query(call("CREATE TEMP TABLE own (n int)")))
        if i % 3:
            client.result()
        if i % 3 == 2:
            client.send(wire.query("BEGIN"), wire.query(call("LISTEN own")))
        client.close()
        assert same_server(proxy, "SELECT to_regclass('pg_temp.own') IS NULL") == "t"
        assert same_server(proxy, "SELECT count(*) FROM pg_listening_channels()") == "0"


def test_a_reset_query_that_does_not_reset(start):
    """What was found cannot be taken back by it: the server is closed."""
    for reset in ("", "SELECT 1"):
        proxy = start(lanes={"default": 1}, workers=1, leak_check="always", server_reset_query=reset)
        with proxy.client() as client:
            mine = client.query("SELECT pg_backend_pid()").value
            client.query(call("SELECT pg_advisory_lock(1)"))
            assert client.query("SELECT pg_backend_pid()").value != mine
            assert client.query(LOCKS).value == "0"


def test_question_that_is_refused(start, cluster):
    """Nobody may say what the session has: its client hears nothing of it, and the server is closed."""
    cluster.run("REVOKE SELECT ON pg_catalog.pg_locks FROM PUBLIC", "app")
    try:
        proxy = start(lanes={"default": 1}, workers=1, leak_check="always")
        with proxy.client() as client:
            mine = client.query("SELECT pg_backend_pid()").value
            assert client.query("SELECT pg_backend_pid()").value != mine
    finally:
        cluster.run("GRANT SELECT ON pg_catalog.pg_locks TO PUBLIC", "app")


def test_settings_of_clients_are_no_leaks(start):
    """Two clients with settings, a role and a time zone of their own on one server: each finds its own, and nothing is reported."""
    proxy = start(lanes={"default": 1}, workers=1, leak_check="always")
    with proxy.client() as client, proxy.client() as other:
        client.query("SET work_mem = '5120kB'")
        client.query("SET leak.tenant = 'mine'")
        client.query("SET ROLE u_other")
        other.query("SET TIME ZONE 'Asia/Tokyo'")
        for _ in range(10):
            assert not client.query("SELECT 1").errors
            assert client.query("SELECT current_user || current_setting('work_mem') || current_setting('leak.tenant') || current_setting('TimeZone')"
                                ).value.startswith("u_other5MBmine")
            assert other.query("SELECT current_user || current_setting('work_mem') || current_setting('TimeZone')").value == "app4MBAsia/Tokyo"
    assert leaks(proxy) == []


def test_pins_and_checks(start):
    """A pin keeps its server unasked; when it ends, what hides behind it is found."""
    proxy = start(lanes={"default": 2}, workers=1, leak_check="always")
    with proxy.client() as client:
        client.query("CREATE TEMP TABLE own (n int)")
        client.query(call("SET work_mem = '5MB'"))
        assert client.query("SHOW work_mem").value == "5MB", "its session is its own"
        assert leaks(proxy) == []
        client.query("DROP TABLE own")
        system.eventually(lambda: [row["what"] for row in leaks(proxy)] == ["setting work_mem"])
        assert client.query("SHOW work_mem").value == "4MB"


def test_servers_that_keep_one_statement(start):
    """Each question takes the other's place, and the clients' statements take theirs."""
    proxy = start(lanes={"default": 2}, workers=1, leak_check="always", max_prepared_statements=1)

    def work(number):
        with proxy.client() as client:
            client.exchange(wire.parse("s", f"SELECT {number} + $1::int"))
            for i in range(scaled(20)):
                assert client.exchange(wire.bind("", "s", [str(i)]), wire.execute()).value == str(number + i)
                assert client.query(call("SELECT 1")).value == "7"

    in_parallel(5, work)


@pytest.mark.parametrize("workers", [1, 2])
def test_always_leaks_to_nobody(start, workers):
    """Six clients on three servers, each leaving one thing or nothing behind each transaction, and looking for everything."""
    everything = ("SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) + (SELECT count(*) FROM pg_listening_channels())"
                  " + (SELECT count(*) FROM pg_cursors WHERE is_holdable) + (SELECT count(*) FROM pg_prepared_statements WHERE from_sql)"
                  " + (to_regclass('pg_temp.own') IS NOT NULL)::int + (current_user <> 'app')::int + (current_setting('work_mem') <> '4MB')::int"
                  " + (coalesce(current_setting('leak.tenant', true), '') <> '')::int")
    proxy = start(lanes={"default": 3}, workers=workers, leak_check="always")
    seed = random.randrange(1 << 30)

    def work(number):
        dice = random.Random(seed + number)
        with proxy.client() as client:
            for _ in range(scaled(40)):
                what = dice.choice([hidden[0] for hidden in HIDDEN.values()])
                what = what.replace("pg_advisory_lock(4711)", f"pg_advisory_lock({number})")
                form = dice.randrange(4)
                if form == 0:
                    assert client.query(call(what)).value == "7"
                elif form == 1:
                    assert client.extended(call(what)).value == "7"
                elif form == 2:
                    assert client.query("BEGIN; " + call(what) + "; " + dice.choice(["COMMIT", "ROLLBACK"])).errors == []
                else:
                    assert client.query(f"DO $$BEGIN PERFORM leak.does($q${what}$q$); END$$").errors == []
                found = client.query(everything)
                assert found.value == "0", f"seed {seed}: {what}"

    in_parallel(6, work)
    assert sum(row["count"] for row in leaks(proxy)) > 0


def test_reload_turns_it_on_and_off(start):
    proxy = start(lanes={"default": 1}, workers=1, leak_check="off")
    with proxy.client() as client:
        for mode, n in (("always", 1), ("off", 0), ("sampled", 1)):
            proxy.write(leak_check=mode)
            proxy.reload()
            before = sum(row["count"] for row in leaks(proxy))
            client.query(call("SELECT pg_advisory_lock(3)"))
            client.query(call("SELECT pg_advisory_unlock_all()"))
            assert sum(row["count"] for row in leaks(proxy)) - before == n, mode
