# SPDX-License-Identifier: ISC
"""SET in transaction pooling: what a client sets is its own on every server, and nobody else's."""

import pytest

from harness import wire


def show(client, name):
    return client.query(f"SHOW {name}").value


SETTINGS = [
    ("SET work_mem = '7MB'", "work_mem", "7MB"),
    ("SET work_mem TO 8192", "work_mem", "8MB"),
    ("SET SESSION search_path TO \"Mixed\", 'other schema', public;", "search_path", "\"Mixed\", \"other schema\", public"),
    ("SET search_path TO public", "search_path", "public"),
    ("SET extra_float_digits = -2", "extra_float_digits", "-2"),
    ("SET my.own = 'it''s'", "my.own", "it's"),
    ("SET enable_seqscan TO off", "enable_seqscan", "off"),
]


@pytest.mark.parametrize("statement, name, value", SETTINGS)
def test_set_is_the_clients_own(start, statement, name, value):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        other.query("SET my.own = 'unset'")
        before = show(other, name)
        assert client.query(statement).tags == ["SET"]
        assert show(client, name) == value
        assert show(other, name) == before
        assert show(client, name) == value
        assert client.query(f"RESET {name}").tags == ["RESET"]
        assert show(client, name) != value


def test_set_over_the_extended_protocol(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        assert client.exchange(wire.parse("s", "SET work_mem = '9MB'"), wire.bind("", "s"), wire.execute()).tags == ["SET"]
        assert show(other, "work_mem") == "4MB"
        assert show(client, "work_mem") == "9MB"


def test_failed_set_changes_nothing(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client:
        client.query("SET work_mem = '6MB'")
        assert client.query("SET work_mem = 'no size'").sqlstate == "22023"
        assert show(client, "work_mem") == "6MB"


LEAKS = {
    "SET in a transaction": (["BEGIN", "SET work_mem = '5MB'", "COMMIT"], "SHOW work_mem", "4MB"),
    "set_config": (["SELECT set_config('work_mem', '5MB', false)"], "SHOW work_mem", "4MB"),
    "SET ROLE": (["SET ROLE app"], "SHOW role", "none"),
    "temporary table": (["CREATE TEMP TABLE leak (n int)"], "SELECT to_regclass('pg_temp.leak') IS NULL", "t"),
    "advisory lock": (["SELECT pg_advisory_lock(4711)"], "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'", "0"),
    "prepared statement": (["PREPARE leak AS SELECT 1"], "SELECT count(*) FROM pg_prepared_statements WHERE name = 'leak'", "0"),
    "listening": (["LISTEN leak"], "SELECT count(*) FROM pg_listening_channels()", "0"),
    "held cursor": (["BEGIN", "DECLARE leak CURSOR WITH HOLD FOR SELECT 1", "COMMIT"], "SELECT count(*) FROM pg_cursors WHERE name = 'leak'", "0"),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_nothing_of_a_session_reaches_another_client(start, leak):
    statements, question, answer = LEAKS[leak]
    proxy = start(lanes={"default": 1})
    with proxy.client() as other:
        pid = other.query("SELECT pg_backend_pid()").value
        with proxy.client() as client:
            for statement in statements:
                assert not client.query(statement).errors
        assert other.query(question).value == answer
        assert other.query("SELECT pg_backend_pid()").value == pid  # reset, not replaced


# ---- a value that was good, and no more when it must be applied again ----

@pytest.fixture
def stale(start, cluster):
    """(client, other, pid): one server; the client's session has a parameter that nobody can set any more."""
    cluster.run("DROP TABLE IF EXISTS stale_rows; CREATE TABLE stale_rows (n int); GRANT ALL ON stale_rows TO PUBLIC;"
                "CREATE TEXT SEARCH CONFIGURATION stale_words (COPY = simple)", "app")
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        assert client.query("SET default_text_search_config = 'public.stale_words'").tags == ["SET"]
        pid = other.query("SELECT pg_backend_pid()").value
        cluster.run("DROP TEXT SEARCH CONFIGURATION stale_words", "app")
        yield client, other, pid


def n_rows(client):
    return client.query("SELECT count(*) FROM stale_rows").value


INSERT = "INSERT INTO stale_rows VALUES (1)"
ATTEMPTS = {
    "simple": lambda client: client.query(INSERT),
    "extended": lambda client: client.extended(INSERT),
    "several statements": lambda client: client.query(f"{INSERT}; SELECT 1"),
    "named statement": lambda client: client.exchange(wire.parse("s", INSERT), wire.bind("", "s"), wire.execute()),
    "a COMMIT of nothing": lambda client: client.extended("COMMIT"),
    "an empty statement": lambda client: client.extended(""),
}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_statement_does_not_run_without_its_parameters(stale, attempt):
    client, other, pid = stale
    for _ in range(2):
        result = ATTEMPTS[attempt](client)
        assert result.sqlstate == "22023" and result.kinds == "EZ" and result.status == "I", result.messages
        assert n_rows(other) == "0"
        assert other.query("SHOW default_text_search_config").value != "public.stale_words"
    assert other.query("SELECT pg_backend_pid()").value == pid, "the server lives"


@pytest.mark.parametrize("statement", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_others_keep_what_a_refused_statement_would_have_dropped(stale, statement):
    client, other, _ = stale
    for user in (client, other):
        user.exchange(wire.close("S", "s"))
    assert other.exchange(wire.parse("s", "SELECT 's'")).kinds == "1Z"
    assert client.query(statement).sqlstate == "22023"
    assert other.query("SELECT 1").value == "1"
    assert other.exchange(wire.bind("", "s"), wire.execute()).value == "s"
    assert other.exchange(wire.parse("t", "SELECT 's'"), wire.bind("", "t"), wire.execute()).value == "s"


def test_what_runs_behind_refused_parameters_is_not_answered_by_half(stale):
    """A ROLLBACK ends the transaction in which nothing was to run."""
    client, other, _ = stale
    result = client.query("ROLLBACK; SELECT 1")
    assert result.sqlstate == "22023" and result.kinds == "EZ" and result.status == "I", result.messages
    assert other.query("SELECT 1").value == "1"


def test_transaction_does_not_run_without_its_parameters(stale):
    client, other, pid = stale
    for begin in (lambda: client.query("BEGIN"), lambda: client.extended("BEGIN")):
        assert begin().status == "T"
        result = client.query(INSERT)
        assert result.sqlstate == "22023" and result.kinds == "EZ" and result.status == "E", result.messages
        assert client.query(INSERT).sqlstate == "25P02"
        assert client.query("COMMIT").tags == ["ROLLBACK"]
        assert n_rows(other) == "0"
    assert other.query("SELECT pg_backend_pid()").value == pid


def test_long_statement_of_a_transaction_without_its_parameters(stale):
    """The server refuses it before all of it was sent: what ends the batch comes behind it, not into it."""
    client, other, pid = stale
    assert client.query("BEGIN").status == "T"
    statement = wire.query(f"SELECT '{'x' * 3000000}'")
    client.send(statement[:2000000])
    kind, body = client.receive()
    assert kind == "E" and b"22023" in body
    for _ in range(3):  # its only worker has had its turn
        other.query("BEGIN")
        other.query("COMMIT")
    client.send(statement[2000000:])
    assert client.result().kinds == "Z"
    assert client.query("SELECT 1").sqlstate == "25P02"
    assert client.query("ROLLBACK").tags == ["ROLLBACK"]
    assert other.query("SELECT pg_backend_pid()").value == pid


def test_pipeline_does_not_run_without_its_parameters(stale):
    client, other, pid = stale
    parts = (wire.parse("", INSERT), wire.bind("", ""), wire.execute(), wire.SYNC)
    client.send(*parts, *parts, wire.query(INSERT), wire.query("SELECT 1"))
    for _ in range(4):
        assert client.result().sqlstate == "22023"
    assert n_rows(other) == "0"
    assert other.query("SELECT pg_backend_pid()").value == pid


def test_client_leaves_while_its_parameters_fail(stale):
    client, other, pid = stale
    client.send(wire.query(INSERT), wire.TERMINATE)
    client.close()
    assert n_rows(other) == "0"
    assert other.query("SELECT pg_backend_pid()").value == pid


def test_session_does_not_run_without_its_parameters(start, cluster):
    """Session pooling: each statement tries again, until they can be applied."""
    cluster.run("CREATE TEXT SEARCH CONFIGURATION stale_words (COPY = simple)", "app")
    options = "-c default_text_search_config=public.stale_words"
    proxy = start(lanes={"default": 1}, workers=1, pool_mode="session")
    proxy.client(options=options).close()
    cluster.run("DROP TEXT SEARCH CONFIGURATION stale_words", "app")
    with proxy.client(options=options) as client:
        for _ in range(2):
            result = client.query("SELECT 1")
            assert result.sqlstate == "22023" and result.kinds == "EZ" and result.status == "I", result.messages
        cluster.run("CREATE TEXT SEARCH CONFIGURATION stale_words (COPY = simple)", "app")
        assert client.query("SHOW default_text_search_config").value == "public.stale_words"
        cluster.run("DROP TEXT SEARCH CONFIGURATION stale_words", "app")


def test_long_statement_behind_one_of_a_session_without_its_parameters(start, cluster):
    """The ROLLBACK of what was refused comes behind the statement of which a part was sent."""
    cluster.run("CREATE TEXT SEARCH CONFIGURATION stale_words (COPY = simple)", "app")
    options = "-c default_text_search_config=public.stale_words"
    proxy = start(lanes={"default": 1}, workers=1, pool_mode="session", sections={"lane:default": {"permits": 1, "statement_timeout": 0}})
    proxy.client(options=options).close()
    cluster.run("DROP TEXT SEARCH CONFIGURATION stale_words", "app")
    with proxy.client(options=options) as client:
        statement = wire.query(f"SELECT '{'x' * 3000000}'")
        client.send(wire.query("SELECT 1") + statement[:2000000])
        assert client.result().sqlstate == "22023"
        client.send(statement[2000000:])
        assert client.result().sqlstate in ("25P02", "22023")  # the latter when it was not on its way yet, and tried again
        assert client.query("ROLLBACK").status == "I"
        cluster.run("CREATE TEXT SEARCH CONFIGURATION stale_words (COPY = simple)", "app")
        assert client.query("SHOW default_text_search_config").value == "public.stale_words"
        cluster.run("DROP TEXT SEARCH CONFIGURATION stale_words", "app")


# ---- RESET goes back to what the client asked for when it connected ----

LOGIN = {"options": "-c work_mem=77MB -c search_path=a,b -c my.own=login", "TimeZone": "Asia/Tokyo"}
NAMES = ("work_mem", "search_path", "my.own", "TimeZone", "statement_timeout")
CHANGES = [f"SET {name} = '{value}'" for name, value in zip(NAMES, ("9MB", "c", "set", "Europe/Paris", "12s"))]
RESETS = {
    "RESET": [f"RESET {name}" for name in NAMES],
    "DEFAULT": [f"SET {name} TO DEFAULT" for name in NAMES],
    "RESET ALL": ["RESET ALL"],
    "DISCARD ALL": ["DISCARD ALL"],
    "in transactions": [statement for name in NAMES for statement in ("BEGIN", f"RESET {name}", "COMMIT")],
    "all in a transaction": ["BEGIN", "RESET ALL", "COMMIT"],
    "and set again": ["BEGIN", "RESET ALL", "SET work_mem = '5MB'", "SET TimeZone = 'UTC'", "COMMIT"],
    "and rolled back": ["BEGIN", "RESET ALL", "ROLLBACK", "BEGIN", "RESET work_mem", "SAVEPOINT s", "RESET TimeZone", "ROLLBACK TO s", "COMMIT"],
    "amid a string": ["SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;"],  # as asyncpg's pool does
    "beside a role": ["SET ROLE app", "RESET ALL", "RESET ROLE"],
}


def seen(client):
    return [show(client, name) for name in NAMES] + [client.parameters["TimeZone"]]


@pytest.mark.parametrize("kept", ["free", "kept"])
@pytest.mark.parametrize("how", RESETS)
def test_reset_goes_back_to_the_login(start, cluster, how, kept):
    """As on a connection of one's own, also for a client that keeps its server, and not for the others."""
    def run(client):
        if kept == "kept":
            client.query("CREATE TEMP TABLE keeps (n int)")
        answers = [seen(client)]
        for _ in range(2):
            for statement in CHANGES:
                client.query(statement)
            answers.append(seen(client))
            for statement in RESETS[how]:
                assert not client.query(statement).errors
            answers.append(seen(client))
        return answers

    proxy = start(lanes={"default": 2})
    with proxy.client() as other, proxy.client(**LOGIN) as client, wire.RawClient("127.0.0.1", cluster.port, 30).login(**LOGIN) as direct:
        assert run(client) == run(direct)
        assert [show(other, name) for name in ("work_mem", "search_path", "TimeZone")] == ["4MB", '"$user", public', other.parameters["TimeZone"]]


def test_reset_and_set_in_one_batch(start, cluster):
    def run(client):
        client.query("SET work_mem = '9MB'")
        result = client.exchange(*[message for sql in ("RESET work_mem", "SET search_path = x", "RESET TimeZone", "SET work_mem = '8MB'")
                                   for message in (wire.parse("", sql), wire.bind("", ""), wire.execute())])
        return result.tags, seen(client)

    proxy = start(lanes={"default": 1})
    with proxy.client(**LOGIN) as client, wire.RawClient("127.0.0.1", cluster.port, 30).login(**LOGIN) as direct:
        assert run(client) == run(direct)


@pytest.mark.parametrize("how", ["RESET application_name", "RESET ALL"])
def test_reset_of_what_the_server_had_by_default_is_told(start, cluster, how):
    """To the server the RESET is no change, so it reports none."""
    def run(client):
        told = dict(client.parameters)
        for statement in ("SET application_name = ''", how):
            told.update(client.query(statement).parameters)
        return told["application_name"], show(client, "application_name")

    proxy = start(lanes={"default": 1})
    with proxy.client(application_name="mine") as client, wire.RawClient("127.0.0.1", cluster.port, 30).login(application_name="mine") as direct:
        assert run(client) == run(direct) == ("mine", "mine")


def test_reset_that_does_not_run(start, cluster):
    """In a batch that fails: nothing was reset, and the server has what it had."""
    def run(client):
        client.query("SET work_mem = '9MB'")
        result = client.exchange(wire.parse("", "RESET work_mem"), wire.bind("", ""), wire.execute(), wire.parse("", "SELECT 1/0"), wire.bind("", ""), wire.execute())
        return result.sqlstate, seen(client)

    proxy = start(lanes={"default": 1})
    with proxy.client() as other, proxy.client(**LOGIN) as client, wire.RawClient("127.0.0.1", cluster.port, 30).login(**LOGIN) as direct:
        assert run(client) == run(direct)
        assert show(other, "work_mem") == "4MB"


def test_the_servers_default_is_not_a_reset(start, cluster):
    """A client that chose what is the default of the server, which need not be told, keeps it behind a rollback."""
    def run(client):
        client.query("SET TimeZone = 'Etc/UTC'")
        for statement in ("BEGIN", "SET TimeZone = 'Europe/Paris'", "ROLLBACK"):
            client.query(statement)
        return show(client, "TimeZone")

    proxy = start(lanes={"default": 1})
    with proxy.client() as other, proxy.client(TimeZone="Asia/Tokyo") as client, wire.RawClient("127.0.0.1", cluster.port, 30).login(TimeZone="Asia/Tokyo") as direct:
        assert show(other, "TimeZone") == "Etc/UTC"
        client.query("SET TimeZone = 'Etc/UTC'")
        show(other, "TimeZone")
        assert run(client) == run(direct)
