# SPDX-License-Identifier: ISC
"""RESET in all its forms goes back to what the client logged in with, at once, wherever it stands; and nobody is told of the server's default in between.

Each case is said to a direct connection, too, and every message that comes back is the same, ParameterStatus included.
"""

import pytest

from harness import proxy as proxy_module
from harness import wire

LOGIN = {"options": "-c work_mem=77MB -c search_path=a,b -c my.own=login -c statement_timeout=9min", "TimeZone": "Asia/Tokyo", "application_name": "mine",
         "DateStyle": "German", "client_encoding": "LATIN1"}
NAMES = ("work_mem", "search_path", "my.own", "statement_timeout", "TimeZone", "application_name", "DateStyle", "client_encoding", "enable_seqscan")
SHOW = "SELECT " + ", ".join(f"coalesce(current_setting('{name}', true), '')" for name in NAMES)
CHANGES = ["SET work_mem = '9MB'", "SET search_path = c", "SET my.own = set", "SET statement_timeout = 0", "SET TimeZone = 'Europe/Paris'", "SET application_name = 'other'",
           "SET DateStyle = 'SQL, MDY'", "SET client_encoding = 'UTF8'", "SET enable_seqscan = off"]
EACH = [f"RESET {name}" for name in NAMES]
CASES = {
    "outside": EACH,
    "default": [f"SET {name} TO DEFAULT" for name in NAMES],
    "equals default": [f"SET SESSION {name} = DEFAULT;" for name in NAMES],
    "all": ["RESET ALL"],
    "discard": ["DISCARD ALL"],
    "commented": ["/* all */ RESET /* of */ ALL -- it"],
    "time zone": ["RESET TIME ZONE", SHOW, "SET TimeZone = 'UTC'", "SET TIME ZONE DEFAULT", SHOW, "SET TimeZone = 'UTC'", "SET TIME ZONE LOCAL"],
    "names": ["SET NAMES DEFAULT", SHOW, "SET NAMES 'UTF8'", "SET NAMES"],
    "transaction": ["BEGIN", *EACH, SHOW, "COMMIT"],
    "all in a transaction": ["BEGIN", "RESET ALL", SHOW, "COMMIT"],
    "rolled back": ["BEGIN", *EACH, SHOW, "ROLLBACK"],
    "all rolled back": ["BEGIN", "RESET ALL", SHOW, "ROLLBACK"],
    "a savepoint": ["BEGIN", "RESET work_mem", "SAVEPOINT s", "RESET TimeZone", "RESET my.own", SHOW, "ROLLBACK TO s", SHOW, "COMMIT"],
    "in a savepoint": ["BEGIN", "SAVEPOINT s", "RESET ALL", SHOW, "RELEASE s", SHOW, "SAVEPOINT t", "SET work_mem = '3MB'", "RESET work_mem", "ROLLBACK TO t", "COMMIT"],
    "local": ["BEGIN", "SET LOCAL work_mem TO DEFAULT", "SET LOCAL TimeZone TO DEFAULT", "SET LOCAL search_path = DEFAULT", SHOW, "COMMIT"],
    "local outside": ["SET LOCAL TimeZone TO DEFAULT", "SET LOCAL my.own TO DEFAULT"],
    "and set again": ["BEGIN", "RESET ALL", "SET work_mem = '5MB'", "SET TimeZone = 'UTC'", SHOW, "COMMIT"],
    "and an error": ["BEGIN", "RESET ALL", "SELECT 1/0", "RESET work_mem", "ROLLBACK"],
    "isolation behind it": ["BEGIN", "RESET work_mem", "RESET TimeZone", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SHOW transaction_isolation", "COMMIT"],
    "nonsense": ["RESET work_memory", "RESET work_mem, TimeZone", "SET work_mem TO DEFAULT, 1", "DISCARD EVERYTHING", "BEGIN", "DISCARD ALL", "ROLLBACK"],
    "read only": ["BEGIN READ ONLY", "RESET work_mem", "RESET ALL", SHOW, "COMMIT"],
    "a temporary table": ["CREATE TEMP TABLE keeps (n int)", "BEGIN", "RESET my.own", SHOW, "COMMIT", "RESET ALL"],
    "as another role": ["SET ROLE app", "BEGIN", "RESET TimeZone", "RESET ALL", SHOW, "COMMIT", "RESET ROLE"],
    "chained": ["BEGIN", "RESET work_mem", "COMMIT AND CHAIN", "RESET TimeZone", "ROLLBACK AND CHAIN", "RESET my.own", "COMMIT"],
}
STRINGS = {
    "amid": f"SELECT 1; RESET work_mem; {SHOW}; SELECT 2",
    "first and last": f"RESET TimeZone;{SHOW};RESET my.own",
    "all": f"SELECT 1;; RESET ALL ; {SHOW};",
    "several": f"BEGIN; RESET work_mem; SAVEPOINT s; RESET ALL; {SHOW}; ROLLBACK TO s; {SHOW}; SET DateStyle TO DEFAULT; COMMIT; {SHOW}",
    "set again": f"SET work_mem TO DEFAULT; SET work_mem = '3MB'; {SHOW}",
    "rolled back": f"RESET ALL; {SHOW}; SELECT 1/0; SELECT 2",
    "local": f"BEGIN; SET LOCAL search_path TO DEFAULT; SET LOCAL work_mem = DEFAULT; {SHOW}; COMMIT",
    "a place": "RESET work_mem; SELECT nothing FROM nowhere",
    "places": "SELECT 'ü'; RESET TimeZone; SELECT 'ü', 1; RESET work_mem; SELECT 'ü' + nowhere",
    "a place before": "SELECT nowhere; RESET work_mem",
    "a place in it": "SELECT 1; RESET work_mem nonsense; RESET my.own",
    "nonsense behind": "RESET work_mem; SELECT 1; SELEC",
    "refused": "SELECT 1; RESET work_memory; SELECT 2",
    "commented": f"SELECT 1; RESET work_mem -- ; RESET TimeZone\n; /* ; RESET my.own */ {SHOW}; RESET my.own -- it",
    "quoted": f"SELECT '; RESET work_mem;', $$; RESET my.own;$$, \"a;RESET\" FROM (SELECT 1 AS \"a;RESET\") x; RESET \"work_mem\"; {SHOW}",
    "a copy": f"COPY (SELECT 1) TO STDOUT; RESET work_mem; COPY (SELECT 2) TO STDOUT; {SHOW}",
    "functions": f"CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; DROP FUNCTION pg_temp.f(); RESET enable_seqscan; SELECT 3",
    "nothing of the login": f"SELECT 1; RESET enable_seqscan; {SHOW}",
    "a rule": f"BEGIN; CREATE TEMP TABLE r (n int); CREATE RULE w AS ON INSERT TO r DO ALSO (SELECT 1; SELECT 2); RESET enable_seqscan; INSERT INTO r VALUES (1); ROLLBACK",
    "discard": "SELECT 1; DISCARD ALL; RESET work_mem",
    "many": ";".join(["RESET work_mem"] * 12 + [SHOW]),
    "in another encoding": f"SET client_encoding = 'UTF8'; SELECT 'ü'; RESET client_encoding; {SHOW}; SELECT 'ü', nowhere",
}


def simple(client, sql):
    return client.query(sql)


def extended(client, sql):
    return client.exchange(wire.parse("", sql), wire.bind("", ""), wire.describe("P"), wire.execute())


def named(client, sql):
    """Prepared in one batch, and run in another by a portal with a name, behind one that is not run."""
    client.exchange(wire.close("S", "n"), wire.parse("n", sql))
    return client.exchange(wire.bind("", "n"), wire.bind("p", "n"), wire.execute("p"), wire.close("P", "p"))


def told(result):
    """All messages; errors and notices by what does not depend on the source's lines."""
    return [(kind, tuple(wire.error_fields(body).get(field) for field in "SCMDHP")) if kind in "EN" else (kind, body) for kind, body in result.messages]


@pytest.fixture(scope="module")
def proxies(cluster, program):
    running = {mode: proxy_module.Proxy(cluster, program, pool_mode=mode, lanes={"default": 1}, workers=1) for mode in ("transaction", "session")}
    yield running
    for proxy in running.values():
        proxy.stop()


def compare(proxy, cluster, ask, statements, pooling, keeps=False):
    """On one server, which in transaction pooling another client uses in between, who notices nothing."""
    with proxy.client() as other:
        before = told(other.query(SHOW))
        if pooling == "session":
            other.close()
        with proxy.client(**LOGIN) as client, wire.RawClient("127.0.0.1", cluster.port, 30).login(**LOGIN) as direct:
            assert {**client.parameters, "is_superuser": ""} == {**direct.parameters, "is_superuser": ""}
            for change in CHANGES:
                assert told(simple(client, change)) == told(simple(direct, change)), change
            for sql in [*statements, SHOW]:
                ours, theirs = told(ask(client, sql)), told(ask(direct, sql))
                assert ours == theirs, sql
                if pooling == "transaction" and theirs[-1] == ("Z", b"I") and not keeps:
                    assert told(other.query(SHOW)) == before, sql
            assert told(client.query(SHOW)) == told(direct.query(SHOW))
    if pooling == "session":
        with proxy.client() as other:
            assert told(other.query(SHOW)) == before


@pytest.mark.parametrize("pooling", ["transaction", "session"])
@pytest.mark.parametrize("ask", [simple, extended, named])
@pytest.mark.parametrize("case", CASES)
def test_as_on_a_connection_of_its_own(proxies, cluster, case, ask, pooling):
    compare(proxies[pooling], cluster, ask, CASES[case], pooling, keeps=case == "a temporary table")


@pytest.mark.parametrize("pooling", ["transaction", "session"])
@pytest.mark.parametrize("xact", ["alone", "in a transaction"])
@pytest.mark.parametrize("case", STRINGS)
def test_amid_others_in_one_string(proxies, cluster, case, xact, pooling):
    compare(proxies[pooling], cluster, simple, [STRINGS[case]] if xact == "alone" else ["BEGIN", STRINGS[case], "ROLLBACK"], pooling)


def test_pipelined_strings(proxies, cluster):
    """In session pooling one comes behind the other before the first is answered; each has its own places."""
    texts = ["RESET work_mem; SELECT 1", "SELECT 1; RESET TimeZone; SELECT nowhere", "SELECT 2", "RESET ALL; SELECT 'x' + nowhere", "DISCARD ALL", "SELECT 3; RESET my.own"]
    with proxies["session"].client(**LOGIN) as client, wire.RawClient("127.0.0.1", cluster.port, 30).login(**LOGIN) as direct:
        for side in (client, direct):
            side.send(*map(wire.query, texts))
        for text in texts:
            assert told(client.result()) == told(direct.result()), text


@pytest.mark.parametrize("pooling", ["transaction", "session"])
def test_in_pieces(proxies, cluster, pooling):
    """However the bytes come, and with portals that wait, are bound anew, and are never run."""
    batch = b"".join([
        wire.parse("one", "RESET work_mem"), wire.parse("two", "RESET TimeZone"), wire.parse("three", SHOW),
        wire.bind("a", "one"), wire.bind("b", "two"), wire.bind("", "one"), wire.bind("", "three"), wire.execute(), wire.execute("b"), wire.bind("", "three"), wire.execute(),
        wire.close("P", "a"), wire.bind("a", "three"), wire.execute("a"), wire.bind("c", "one"), wire.execute("c"), wire.execute("c"), wire.SYNC])
    with proxies[pooling].client(**LOGIN) as client, wire.RawClient("127.0.0.1", cluster.port, 30).login(**LOGIN) as direct:
        for n in (len(batch), 97, 7, 1):
            for change in CHANGES:
                assert told(simple(client, change)) == told(simple(direct, change))
            for side in (client, direct):
                for statement in ("BEGIN", "SAVEPOINT s"):
                    side.query(statement)
                for at in range(0, len(batch), n):
                    side.send(batch[at:at + n])
            assert told(client.result()) == told(direct.result())
            for sql in ("ROLLBACK TO s", SHOW, "COMMIT", SHOW):
                assert told(client.query(sql)) == told(direct.query(sql)), sql
            for side in (client, direct):
                side.exchange(*(wire.close("S", name) for name in ("one", "two", "three")))


def test_more_portals_than_are_kept(proxies, cluster):
    """What is not known of a server is nobody else's."""
    n = 100
    with proxies["transaction"].client(**LOGIN) as client:
        client.query("SET work_mem = '9MB'")
        assert not client.exchange(wire.parse("n", "RESET work_mem"), *(wire.bind(f"p{i}", "n") for i in range(n)), *(wire.execute(f"p{i}") for i in range(n))).errors
    with proxies["transaction"].client(**LOGIN) as client, wire.RawClient("127.0.0.1", cluster.port, 30).login(**LOGIN) as direct:
        assert told(client.query(SHOW)) == told(direct.query(SHOW))


@pytest.mark.parametrize("pooling", ["transaction", "session"])
def test_what_cannot_be_set_any_more(start, cluster, pooling):
    """RESET ALL takes temp_buffers back where SET is an error."""
    login = {"options": "-c temp_buffers=2MB -c work_mem=3MB"}
    proxy = start(pool_mode=pooling)
    with proxy.client(**login) as client, wire.RawClient("127.0.0.1", cluster.port, 30).login(**login) as direct:
        for sql in ("SET temp_buffers = '4MB'", "CREATE TEMP TABLE t AS SELECT 1", "SET work_mem = '5MB'", "BEGIN", "RESET ALL", "SELECT count(*) FROM t", "SHOW work_mem", "COMMIT", "RESET ALL", "SHOW work_mem"):
            assert told(client.query(sql)) == told(direct.query(sql)), sql


@pytest.mark.parametrize("sql", ["SELECT 1/0", "SELECT 1"])
@pytest.mark.parametrize("pooling", ["transaction", "session"])
def test_behind_a_batch_without_its_end(proxies, cluster, pooling, sql):
    """One that has failed lets PostgreSQL hear nothing until its Sync, a RESET neither."""
    with proxies[pooling].client(**LOGIN) as client, wire.RawClient("127.0.0.1", cluster.port, 30).login(**LOGIN) as direct:
        for change in CHANGES:
            assert told(simple(client, change)) == told(simple(direct, change))
        for side in (client, direct):
            side.send(wire.parse("", sql), wire.bind("", ""), wire.execute(), wire.query("RESET work_mem"), wire.SYNC)
        for _ in range(1 if "0" in sql else 2):
            assert told(client.result()) == told(direct.result())
        assert told(client.query(SHOW)) == told(direct.query(SHOW))
