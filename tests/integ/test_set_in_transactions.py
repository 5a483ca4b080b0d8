# SPDX-License-Identifier: ISC
"""Settings made inside transactions, by any form of SET: they follow the client as PostgreSQL would have them after the transaction.

Each case is run on a direct connection, too, which says what is right.
"""

import pytest

from harness import wire

SHOWN = ["work_mem", "search_path", "role", "session_authorization", "TimeZone", "DateStyle", "client_encoding", "default_transaction_isolation",
         "default_transaction_read_only", "xmloption", "statement_timeout"]

CASES = {
    "committed": ["BEGIN", "SET work_mem = '5MB'", "COMMIT"],
    "rolled back": ["BEGIN", "SET work_mem = '5MB'", "ROLLBACK"],
    "failed": ["BEGIN", "SET work_mem = '5MB'", "SELECT 1/0", "COMMIT"],
    "back to a savepoint": ["BEGIN", "SET work_mem = '5MB'", "SAVEPOINT a", "SET work_mem = '6MB'", "ROLLBACK TO a", "COMMIT"],
    "savepoint released": ["BEGIN", "SAVEPOINT a", "SET work_mem = '6MB'", "SAVEPOINT b", "SET work_mem = '7MB'", "RELEASE a", "COMMIT"],
    "local over it": ["BEGIN", "SET work_mem = '5MB'", "SET LOCAL work_mem = '6MB'", "COMMIT"],
    "over a local": ["BEGIN", "SET LOCAL work_mem = '6MB'", "SET work_mem = '5MB'", "COMMIT"],
    "reset": ["SET work_mem = '5MB'", "BEGIN", "RESET work_mem", "COMMIT"],
    "reset and back": ["SET work_mem = '5MB'", "BEGIN", "RESET work_mem", "ROLLBACK"],
    "all reset": ["SET work_mem = '5MB'", "SET TimeZone = 'Asia/Tokyo'", "BEGIN", "SET search_path = pg_catalog", "RESET ALL", "COMMIT"],
    "all reset and back": ["SET work_mem = '5MB'", "SET TimeZone = 'Asia/Tokyo'", "BEGIN", "RESET ALL", "ROLLBACK"],
    "in one text": ["SET work_mem = '5MB'; SET search_path TO pg_catalog, public"],
    "in one text with BEGIN": ["BEGIN; SET work_mem = '5MB'; SET TIME ZONE 'Asia/Tokyo'; COMMIT"],
    "one text that fails": ["SET work_mem = '5MB'; SELECT 1/0"],
    "role": ["SET ROLE u_other"],
    "role in a transaction": ["BEGIN", "SET ROLE u_other", "SET work_mem = '9MB'", "COMMIT"],
    "role and none": ["SET ROLE u_other", "SET ROLE NONE"],
    "local role": ["BEGIN", "SET LOCAL ROLE u_other", "SET work_mem = '9MB'", "COMMIT"],
    "time zone by an interval": ["SET TIME ZONE INTERVAL '+02:30' HOUR TO MINUTE"],
    "time zone by a number": ["SET TIME ZONE -7"],
    "names": ["SET NAMES 'LATIN1'"],
    "schema": ["SET SCHEMA 'pg_catalog'"],
    "characteristics": ["SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY"],
    "set_config": ["SELECT set_config('work_mem', '5MB', false), set_config('search_path', 'a, \"B c\"', false)"],
    "set_config for the transaction": ["BEGIN", "SELECT set_config('work_mem', '5MB', true)", "COMMIT"],
    "set_config rolled back": ["BEGIN", "SELECT set_config('work_mem', '5MB', false)", "ROLLBACK"],
    "those of the view": ["SELECT set_config(name, '5MB', false) FROM pg_settings WHERE name = 'work_mem'"],
    "reported ones": ["BEGIN", "SET DateStyle = 'German'", "SET TimeZone = 'Asia/Tokyo'", "COMMIT"],
    "reported ones rolled back": ["BEGIN", "SET DateStyle = 'German'", "SET TimeZone = 'Asia/Tokyo'", "ROLLBACK"],
    "a list of names": ["BEGIN", "SET search_path = 'Mixed', folded, \"a, b\"", "COMMIT"],
}


def simple(client, sql):
    return client.query(sql)


def extended(client, sql):
    return client.extended(sql)


@pytest.fixture(scope="module", autouse=True)
def role(cluster):
    cluster.run("GRANT u_other TO app")
    yield
    cluster.run("REVOKE u_other FROM app")


def shown(client, names=()):
    return {name: client.query(f"SHOW {name}").value for name in [*SHOWN, *names]}


@pytest.mark.parametrize("ask", [simple, extended])
@pytest.mark.parametrize("case", CASES)
def test_as_on_a_connection_of_its_own(start, cluster, case, ask):
    """One server and another client on it in between, who notices nothing."""
    proxy = start(lanes={"default": 1}, workers=1)
    statements = CASES[case]
    if ask is extended and any(";" in sql for sql in statements):
        ask = simple  # several statements
    with proxy.client() as client, proxy.client() as other, wire.RawClient("127.0.0.1", cluster.port, 30).login() as direct:
        pid, before = other.query("SELECT pg_backend_pid()").value, shown(other)
        for sql in statements:
            ours, theirs = ask(client, sql), ask(direct, sql)
            assert (ours.kinds, ours.tags, ours.status) == (theirs.kinds, theirs.tags, theirs.status), sql
        for _ in range(2):
            assert shown(other) == before
            assert shown(client) == shown(direct)
        assert other.query("SELECT pg_backend_pid()").value == pid, "the server lives and is nobody's"


def test_custom_settings(start, cluster):
    """How row security is told its tenant."""
    proxy = start(lanes={"default": 1}, workers=1)
    ask = "SELECT coalesce(current_setting('app.tenant', true), '')"
    with proxy.client() as client, proxy.client() as other:
        client.query("BEGIN")
        assert not client.query("SELECT set_config('app.tenant', 'a''b', false)").errors
        client.query("COMMIT")
        assert other.query(ask).value == ""
        assert client.query(ask).value == "a'b"
        client.query("BEGIN")
        client.query("SET app.tenant = 'c'")
        client.query("ROLLBACK")
        assert other.query(ask).value == ""
        assert client.query(ask).value == "a'b"


def test_pipeline_behind_a_set(start):
    """What is sent ahead of the answers comes behind the setting, and with it."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        client.send(*(wire.query(sql) for sql in ("BEGIN", "SET work_mem = '5MB'", "COMMIT", "SHOW work_mem", "SET work_mem = '6MB'", "SHOW work_mem")))
        results = [client.result() for _ in range(6)]
        assert [results[3].value, results[5].value] == ["5MB", "6MB"]
        assert other.query("SHOW work_mem").value == "4MB"
        assert client.query("SHOW work_mem").value == "6MB"


def test_settings_beside_a_pin(start):
    proxy = start(lanes={"default": 2}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        client.query("CREATE TEMP TABLE own (n int)")
        for sql in ("BEGIN", "SET work_mem = '5MB'", "COMMIT", "SET TimeZone = 'Asia/Tokyo'", "BEGIN", "SET search_path = pg_catalog", "ROLLBACK"):
            client.query(sql)
        before = shown(client)
        assert before["work_mem"] == "5MB" and before["TimeZone"] == "Asia/Tokyo"
        client.query("DROP TABLE own")
        other.query("BEGIN")
        other.query("SELECT 1")
        assert shown(client) == before


def test_order_of_role_and_settings(start, cluster):
    """A setting that only the first user may make, under a role that may not: it is made again in the right order."""
    proxy = start(lanes={"default": 1}, workers=1, databases={"app": f"host={cluster.directory} port={cluster.port} user=postgres"})
    with proxy.client() as client, proxy.client() as other:
        client.query("SET log_statement = 'none'")
        client.query("SET track_counts = off")
        client.query("SET ROLE app")
        other.query("SET ROLE u_other")
        for _ in range(2):
            assert (client.query("SHOW role").value, client.query("SHOW track_counts").value) == ("app", "off")
            assert (other.query("SHOW role").value, other.query("SHOW track_counts").value) == ("u_other", "on")


def test_server_lost_while_it_is_asked(start, cluster):
    """The transaction is over and its settings are not known yet: the client must not go on without them."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client:
        client.query("BEGIN")
        pid = client.query("SELECT pg_backend_pid()").value
        client.query("SET work_mem = '5MB'")
        cluster.run(f"SELECT pg_terminate_backend({pid}, 10000)")
        assert client.query("COMMIT").sqlstate == "08006"
        assert client.query("SHOW work_mem").value == "4MB"
