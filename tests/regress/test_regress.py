# SPDX-License-Identifier: ISC
"""Scripts for psql (sql/*.sql), in the manner of PostgreSQL's own regression tests: each is run directly, in session pooling, and in transaction pooling
on two servers that three other clients keep busy. What psql prints must be the same byte for byte, but for the lines of DIFFERENT.

The direct run is what is expected: a script may say anything whose outcome does not depend on time, OIDs or pids. Each of the three has a database of its own, which is as new for each
script; the servers of pglane are not, so whatever a script leaves there is found by the next.
"""

import difflib
import pathlib

import pytest

from harness import proxy as proxy_module
from harness.bystanders import bystand
from harness.psql import prepare_database, run_script
from harness.traffic import Background

SCRIPTS = pathlib.Path(__file__).resolve().parent / "sql"
N_BYSTANDERS = 3

# (pooling, script): what is not equal, and why: the lines that only one side has; None where they depend on the servers that were free.
DIFFERENT = {
    ("transaction", "notify"): (None, "pg_listening_channels() is the server's"),
    ("transaction", "prepared"): (None, "pg_prepared_statements is the server's"),
    ("transaction", "sequences"): (None, "currval() and lastval() are the server's, not the client's"),
}

PROXIES = {"session": {"pool_mode": "session", "lanes": {"default": 4}},
           # beside the server that listens for all
           "transaction": {"pool_mode": "transaction", "lanes": {"default": 3}, "sections": {"lane:default": {"permits": 3, "max_pinned": 3}}}}
DATABASES = {"direct": "regress_d", "session": "regress_s", "transaction": "regress_t"}
AS_NEW = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT evtname FROM pg_event_trigger LOOP EXECUTE format('DROP EVENT TRIGGER %I', name); END LOOP;
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', name);
    END LOOP;
    PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
END $$"""


@pytest.fixture(scope="module")
def server(cluster):
    """The cluster with the databases, and the roles that the scripts name."""
    cluster.run("CREATE ROLE regress_reader; CREATE ROLE regress_writer")
    for database in DATABASES.values():
        prepare_database(cluster, database)
    yield cluster
    for database in DATABASES.values():
        cluster.run(f"DROP DATABASE {database} WITH (FORCE)")
    cluster.run("DROP ROLE regress_reader, regress_writer")


@pytest.fixture(scope="module")
def proxies(server, program):
    """One pglane for each way of pooling."""
    running = {}
    yield lambda pooling: running.setdefault(pooling, None) or running.update({pooling: make_proxy(server, program, pooling)}) or running[pooling]
    for proxy in running.values():
        proxy.stop()


def make_proxy(server, program, pooling):
    return proxy_module.Proxy(server, program, secrets={"postgres": "", "u_other": "", "app": ""}, **PROXIES[pooling])


@pytest.fixture
def direct(server):
    """direct(script) -> what it prints without pglane; asked once for each script."""
    def run(script):
        if script not in DIRECT:
            DIRECT[script] = run_in_database(server, script, DATABASES["direct"], server.port)
        return DIRECT[script]
    return run


DIRECT = {}


def run_in_database(server, script, database, port, bystanders=0, proxy=None):
    """The database is as new before, and its name is masked in the output."""
    server.run(AS_NEW, database)
    surprises = []
    with Background(*[bystand(proxy, database, surprises)] * bystanders):
        said = run_script(script, port, database)
    assert not surprises, surprises[:3]
    return said.replace(database.encode(), b"regress_x")


@pytest.mark.parametrize("pooling", PROXIES)
@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sql")), ids=lambda script: script.stem)
def test_psql_prints_the_same(server, proxies, direct, script, pooling):
    expected, proxy = direct(script), proxies(pooling)
    said = run_in_database(server, script, DATABASES[pooling], proxy.port, N_BYSTANDERS if pooling == "transaction" else 0, proxy)
    assert b"connection to server" not in expected
    difference = [line for line in difflib.unified_diff(expected.decode(errors="replace").splitlines(), said.decode(errors="replace").splitlines(), lineterm="", n=3)][2:]
    changed = [line for line in difference if line[:1] in "+-"]
    known, why = DIFFERENT.get((pooling, script.stem), ([], ""))
    if known is None and changed:
        pytest.xfail(why)
    assert changed == (known or []), "\n".join(difference)
