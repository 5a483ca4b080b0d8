# SPDX-License-Identifier: ISC
"""PostgreSQL's own programs through transaction pooling: what they print, dump and leave is what they do on a connection of their own."""

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios

import pytest

from harness import system
from harness.cluster import binaries

TABLES = """
    DROP SCHEMA IF EXISTS tools CASCADE;
    CREATE SCHEMA tools AUTHORIZATION app;
    SET ROLE app;
    CREATE TABLE tools.kinds (id serial PRIMARY KEY, name text UNIQUE NOT NULL);
    CREATE TABLE tools.things (id bigint PRIMARY KEY, kind int REFERENCES tools.kinds, note text, at timestamptz DEFAULT '2026-01-01', extra jsonb);
    CREATE INDEX ON tools.things (kind);
    CREATE VIEW tools.counts AS SELECT name, count(*) FROM tools.kinds k JOIN tools.things t ON t.kind = k.id GROUP BY name;
    CREATE FUNCTION tools.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n';
    INSERT INTO tools.kinds (name) SELECT 'kind ' || n FROM generate_series(1, 9) n;
    INSERT INTO tools.things SELECT n, n % 9 + 1, repeat('x', n % 50), '2026-01-01', jsonb_build_object('n', n) FROM generate_series(1, 5000) n;
    SELECT pg_catalog.lo_from_bytea(4711, 'large') WHERE NOT EXISTS (SELECT FROM pg_largeobject_metadata WHERE oid = 4711);
"""


@pytest.fixture(scope="module")
def tools(cluster):
    psql(["-X", "-q", "-v", "ON_ERROR_STOP=1"], cluster.directory, cluster.port, stdin=TABLES, user="postgres")
    yield cluster
    cluster.run("DROP SCHEMA tools CASCADE; SELECT lo_unlink(4711)", "app")


@pytest.fixture
def dense(start, tools):
    """Two servers for everybody."""
    return start(lanes={"default": 2, "training": 1})


def run(program, *arguments, host, port, user="app", stdin=None, timeout_s=90, check=True, **kwargs):
    environment = {**os.environ, "PGPASSWORD": "app-secret", "PGOPTIONS": "", "PGDATESTYLE": "", "LC_ALL": "C"}
    done = subprocess.run([f"{binaries()}/{program}", "-h", str(host), "-p", str(port), "-U", user, *map(str, arguments)], input=stdin,
                          capture_output=True, text=True, timeout=timeout_s, env=environment, **kwargs)
    if check:
        assert done.returncode == 0, f"{program}: {done.stderr}\n{done.stdout[-2000:]}"
    return done


def psql(arguments, host, port, **kwargs):
    return run("psql", *arguments, "-d", kwargs.pop("database", "app"), host=host, port=port, **kwargs)


def both(proxy, cluster, program, *arguments, **kwargs):
    """(through pglane, direct)"""
    return (run(program, *arguments, host=proxy.host, port=proxy.port, **kwargs), run(program, *arguments, host=cluster.directory, port=cluster.port, **kwargs))


SCRIPTS = {
    "describe": r"""
        \d tools.things
        \d+ tools.counts
        \dt tools.*
        \df tools.*
        \dn tools
        \l app
        \du app
        \sf tools.twice
        \dx postgis
        \dconfig work_mem
    """,
    "settings": r"""
        SET search_path TO tools, public;
        BEGIN; SET work_mem = '7MB'; COMMIT;
        SHOW work_mem; SHOW search_path;
        SELECT count(*) FROM things;
        \timing off
        \encoding LATIN1
        SHOW client_encoding;
        RESET ALL;
        SHOW search_path;
    """,
    "state": r"""
        CREATE TEMP TABLE mine AS SELECT * FROM tools.things WHERE id < 10;
        PREPARE one (bigint) AS SELECT note FROM mine WHERE id = $1;
        EXECUTE one (3);
        SELECT count(*) FROM mine;
        BEGIN;
        DECLARE held CURSOR WITH HOLD FOR SELECT id FROM mine ORDER BY id;
        COMMIT;
        FETCH 3 FROM held;
        FETCH 3 FROM held;
        CLOSE held;
        DEALLOCATE one;
        DROP TABLE mine;
        SELECT pg_advisory_lock(99), pg_advisory_unlock(99);
    """,
    "gexec, gset, bind": r"""
        SELECT format('SELECT %s + 1 AS next', n) FROM generate_series(1, 5) n \gexec
        SELECT 7 AS seven \gset
        SELECT :seven * 6 AS answer;
        SELECT count(*) FROM tools.things \gdesc
        \set FETCH_COUNT 100
        SELECT id FROM tools.things ORDER BY id;
        \crosstabview
    """,
    "errors and savepoints": r"""
        \set ON_ERROR_ROLLBACK on
        BEGIN;
        INSERT INTO tools.kinds (id, name) VALUES (1000, 'new');
        SELECT 1/0;
        INSERT INTO tools.kinds (id, name) VALUES (1, 'taken');
        SELECT name FROM tools.kinds WHERE id = 1000;
        ROLLBACK;
        SELECT count(*) FROM tools.kinds WHERE id = 1000;
        SELECT no_such_column;
        \errverbose
    """,
    "copy": r"""
        BEGIN;
        CREATE TABLE tools.copied (n int, t text);
        COPY tools.copied FROM STDIN;
1	one
2	two
\.
        \copy (SELECT * FROM tools.copied ORDER BY n) TO STDOUT
        COPY tools.copied TO STDOUT WITH CSV HEADER;
        ROLLBACK;
    """,
    "describe all": r"""
        \d
        \d+ tools.*
        \da pg_catalog.sum
        \db
        \dC integer
        \ddp
        \des
        \df+ tools.twice
        \di tools.*
        \dp tools.*
        \drds
        \ds tools.*
        \dT+ public.geometry
        \dv+ tools.*
        \dy
        \z tools.things
        \sv tools.counts
    """,
    "gset of several columns, if, bind": r"""
        SELECT 1 AS one, 'two words' AS two, NULL AS three \gset pre_
        \echo :pre_one :'pre_two' :{?pre_three}
        \if :pre_one
        SELECT 'taken';
        \else
        SELECT 'not taken';
        \endif
        SELECT 1/0;
        \echo :ERROR :SQLSTATE :LAST_ERROR_MESSAGE :ROW_COUNT
        \errverbose
        SELECT id FROM tools.kinds WHERE id < 3 \gx
        SELECT format('SELECT %s/%s', 4, n) FROM generate_series(1, -1, -1) n \gexec
        \set AUTOCOMMIT off
        INSERT INTO tools.kinds (id, name) VALUES (2000, 'not kept');
        SELECT count(*) FROM tools.kinds WHERE id = 2000;
        ROLLBACK;
        SELECT count(*) FROM tools.kinds WHERE id = 2000;
    """,
    "copy to and from files and programs": r"""
        BEGIN;
        CREATE TABLE tools.copied (n int, t text);
        \copy tools.copied from program 'seq 1 2000 | sed "s/$/,row/"' csv
        SELECT count(*), sum(n) FROM tools.copied;
        \copy (SELECT n FROM tools.copied ORDER BY n) to program 'md5sum'
        SAVEPOINT s;
        \copy tools.copied from program 'echo no number,x' csv
        ROLLBACK TO s;
        SELECT count(*) FROM tools.copied;
        ROLLBACK;
    """,
    "several statements at once": "SELECT 1\\; SELECT 2\\; SELECT 3;\nBEGIN\\; SELECT 4\\; COMMIT;\nSELECT 5\\; SELECT 1/0\\; SELECT 6;\n",
    "large objects": r"""
        \lo_list
        BEGIN;
        SELECT lo_get(4711), lo_open(4711, 262144);
        SELECT encode(loread(0, 3), 'escape'), encode(loread(0, 10), 'escape');
        COMMIT;
    """,
    "two-phase commit": r"""
        BEGIN;
        INSERT INTO tools.kinds (id, name) VALUES (3000, 'prepared');
        PREPARE TRANSACTION 'tools';
        SELECT count(*) FROM tools.kinds WHERE id = 3000;
        SELECT gid, owner, database FROM pg_prepared_xacts;
        COMMIT PREPARED 'tools';
        DELETE FROM tools.kinds WHERE id = 3000 RETURNING name;
        ROLLBACK PREPARED 'tools';
        BEGIN;
        SELECT 1/0;
        PREPARE TRANSACTION 'tools';
        SELECT 1;
    """,
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_psql_prints_the_same(dense, tools, script):
    text = "\n".join(line.strip() if not line[:1].isdigit() and not line.startswith("\\.") else line for line in SCRIPTS[script].splitlines())
    ours, theirs = both(dense, tools, "psql", "-X", "-a", "-d", "app", stdin=text)
    assert ours.stdout == theirs.stdout
    assert re.sub(r"LOCATION.*", "", ours.stderr) == re.sub(r"LOCATION.*", "", theirs.stderr)


def test_psql_interrupted(dense):
    """Ctrl-C ends the statement, not psql."""
    environment = {**os.environ, "PGPASSWORD": "app-secret"}
    script = "SELECT 'begins';\nSELECT pg_sleep(60);\nSELECT 'goes on';\n"
    process = subprocess.Popen([f"{binaries()}/psql", "-X", "-At", "-h", dense.host, "-p", str(dense.port), "-U", "app", "app"], env=environment,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    try:
        process.stdin.write(script)
        process.stdin.flush()
        with dense.console() as console:
            system.eventually(lambda: any(row["sv_active"] for row in console.show("POOLS") if row["database"] == "app"))
            system.eventually(lambda: dense.cluster.run("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(60)%'")[0][0])
        process.send_signal(signal.SIGINT)
        process.stdin.close()
        assert "begins" in process.stdout.readline()
        rest, said = process.stdout.read(), process.stderr.read()
        assert "canceling statement due to user request" in said
        # psql that reads a script from a pipe ends at an interrupt; an interactive one goes on. The server lives in either case.
        assert process.wait(30) in (0, 2, 3, 130, -2), (rest, said)
    finally:
        process.kill()
        process.wait()
    assert dense.run("SELECT 1") == [(1,)]


def test_psql_watches(dense):
    environment = {**os.environ, "PGPASSWORD": "app-secret"}
    process = subprocess.Popen([f"{binaries()}/psql", "-X", "-At", "-h", dense.host, "-p", str(dense.port), "-U", "app", "app"], env=environment,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        process.stdin.write("SELECT 'tick' \\watch 0.1\n")
        process.stdin.flush()
        seen = 0
        while seen < 3:
            seen += "tick" in process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def interactive(proxy, *arguments):
    """psql on a terminal of its own, as a person has it: (process, its terminal)."""
    ours, its = pty.openpty()
    process = subprocess.Popen([f"{binaries()}/psql", "-X", "-At", "-n", "-h", proxy.host, "-p", str(proxy.port), "-U", "app", *arguments, "app"], stdin=its, stdout=its, stderr=its,
                               env={**os.environ, "PGPASSWORD": "app-secret", "TERM": "dumb", "PAGER": ""}, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(its)
    return process, ours


def until_said(terminal, text, timeout_s=30):
    """What the terminal shows up to this text."""
    shown = ""

    def more():
        nonlocal shown
        if select.select([terminal], [], [], 0)[0]:
            shown += os.read(terminal, 4096).decode(errors="replace")
        assert text in shown, shown
        return True
    system.eventually(more, timeout_s, f"{text!r} on the terminal")
    return shown


@pytest.fixture
def terminal(start):
    """psql before one server: (pglane, what is typed, what is shown)."""
    proxy = start(lanes={"default": 1})
    process, ours = interactive(proxy)
    until_said(ours, "app=> ")  # what is typed before would be psql's, but not yet its terminal's
    yield proxy, lambda text: os.write(ours, text.encode()), lambda text: until_said(ours, text)
    process.kill()
    process.wait()
    os.close(ours)


CTRL_C = "\x03"


def test_ctrl_c_while_a_statement_runs(terminal):
    proxy, types, shows = terminal
    for _ in range(3):
        types("SELECT pg_sleep(60);\n")
        system.eventually(lambda: proxy.cluster.backends("state = 'active' AND query LIKE 'SELECT pg_sleep(60)%'"))
        types(CTRL_C)
        shows("canceling statement due to user request")
        types("SELECT 6 * 7;\n")
        shows("42\r")
    types("BEGIN;\nSELECT pg_sleep(60);\n")
    system.eventually(lambda: proxy.cluster.backends("state = 'active' AND query LIKE 'SELECT pg_sleep(60)%'"))
    types(CTRL_C)
    shows("canceling statement due to user request")
    types("SELECT 1;\n")
    shows("current transaction is aborted")
    types("ROLLBACK;\nSELECT 6 * 7;\n")
    shows("42\r")


def test_ctrl_c_while_a_statement_waits(terminal):
    proxy, types, shows = terminal
    with proxy.client() as other:
        other.query("BEGIN")
        other.query("SELECT 1")
        types("SELECT 'never';\n")
        with proxy.console() as console:
            system.eventually(lambda: console.lane("default")["waiting"] == 1)
            types(CTRL_C)
            shows("canceling statement due to user request")
            assert console.lane("default")["waiting"] == 0
        assert other.query("SELECT 7").value == "7"
        other.query("COMMIT")
    types("SELECT 6 * 7;\n")
    shows("42\r")


def test_ctrl_c_ends_watch(terminal):
    """Between two runs of it, or amid one. What is typed before psql shows its prompt again may be lost with the signal."""
    proxy, types, shows = terminal
    types("SELECT 'ti' || 'ck' \\watch 0.1\n")
    shows("tick")
    types(CTRL_C)
    shows("app=> ")
    types("SELECT 6 * 7;\n")
    shows("42\r\napp=> ")
    types("SELECT 'slow' || 'ly', pg_sleep(30) \\watch 0.1\n")
    system.eventually(lambda: proxy.cluster.backends("query LIKE '%slow%' AND state = 'active'"))
    types(CTRL_C)
    shows("app=> ")
    types("SELECT 6 * 7;\n")
    shows("42\r\napp=> ")


def normal(dump):
    """Without what differs from dump to dump."""
    return re.sub(r"(?m)^(-- (Dumped|Started|Completed)|\\(un)?restrict ).*$", "", dump)


def test_pg_dump_is_the_same(dense, tools):
    ours, theirs = both(dense, tools, "pg_dump", "--schema=tools", "--inserts", "-d", "app")
    assert normal(ours.stdout) == normal(theirs.stdout)
    ours, theirs = both(dense, tools, "pg_dump", "--schema=tools", "--blobs", "-d", "app")
    assert normal(ours.stdout) == normal(theirs.stdout)
    assert len(ours.stdout) > 100000


def test_parallel_dump_and_restore(start, tools):
    proxy = start(lanes={"default": 4, "training": 4})
    directory = system.temporary_directory("pglane-dump-")
    try:
        run("pg_dump", "-Fd", "-j", 2, "--schema=tools", "-f", directory / "dump", "-d", "app", host=proxy.host, port=proxy.port)
        tools.run("DROP SCHEMA IF EXISTS tools CASCADE; GRANT CREATE ON DATABASE other TO app", "other")
        run("pg_restore", "-j", 2, "-d", "other", directory / "dump", host=proxy.host, port=proxy.port)
        dumps = [run("pg_dump", "--schema=tools", "-d", database, host=tools.directory, port=tools.port, user="postgres").stdout for database in ("app", "other")]
        assert normal(dumps[0]) == normal(dumps[1])
    finally:
        tools.run("DROP SCHEMA IF EXISTS tools CASCADE", "other")
        system.remove(directory)


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(start, pgbench_tables, cluster, mode):
    """pgbench prepares with all clients of a thread waiting: a transaction of theirs must not hold the server that the Parse waits for. One
    worker: what another worker's servers have parsed is not known."""
    dense = start(lanes={"default": 2}, workers=1)
    before = cluster.run("SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)", "app")[0]
    run("pgbench", "-n", "-M", mode, "-c", 8, "-j", 2, "-t", 50, "app", host=dense.host, port=dense.port)
    after = cluster.run("SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)", "app")[0]
    assert after[0] - before[0] == after[1] - before[1]
    n = cluster.run("SELECT count(*) FROM pgbench_history", "app")[0][0]
    assert n >= 400


def test_pgbench_initializes(dense, tools):
    run("pgbench", "-i", "-q", "-s", 1, "--foreign-keys", "other", host=dense.host, port=dense.port)
    assert tools.run("SELECT count(*) FROM pgbench_accounts", "other") == [(100000,)]
    tools.run("DROP TABLE pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers", "other")


@pytest.mark.parametrize("tool, arguments", [("vacuumdb", ["-z", "-j", 2, "-t", "tools.things", "-t", "tools.kinds", "-d", "app"]),
                                                ("reindexdb", ["-t", "tools.things", "-d", "app"]), ("clusterdb", ["-t", "tools.things", "-d", "app"]),
                                                ("pg_isready", ["-d", "app"])])
def test_maintenance(start, tools, tool, arguments):
    proxy = start(lanes={"default": 3})
    if tool == "clusterdb":
        tools.run("ALTER TABLE tools.things CLUSTER ON things_pkey", "app")
    run(tool, *arguments, host=proxy.host, port=proxy.port)
