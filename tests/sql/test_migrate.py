# SPDX-License-Identifier: ISC
"""pglane-migrate with migrations of its own: order, refusals, interruptions, two at once."""

import contextlib
import hashlib
import os
import signal
import subprocess

import pytest

from harness import schema, system

GATE = 4711
TWO = {"001_first.sql": "CREATE TABLE t (id int);\nINSERT INTO t SELECT generate_series(1, 1000);",
       "002_index.sql": "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS t_id ON t (id);"}


@pytest.fixture
def files(tmp_path):
    """files(name=text, ...) writes migrations and gives their directory."""
    def write(texts):
        for name, text in texts.items():
            (tmp_path / name).write_text(text + "\n")
        return tmp_path
    return write


@pytest.fixture
def run(cluster, empty, tmp_path):
    def runner(*options, **kwargs):
        return schema.migrate(cluster, empty, "--dir", tmp_path, *options, **kwargs)
    return runner


@contextlib.contextmanager
def running(cluster, database, directory, *options):
    process = schema.start_migrate(cluster, database, "--dir", directory, *options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def applied(cluster, database):
    return [name for name, in cluster.run("SELECT name FROM schema_version ORDER BY version", database)]


def table_exists(cluster, database, name):
    return cluster.run(f"SELECT to_regclass('{name}') IS NOT NULL", database)[0][0]


def runner_sessions(cluster, database, condition="true"):
    return cluster.run(f"""SELECT pid FROM pg_stat_activity WHERE application_name = 'pglane-migrate' AND datname = '{database}'
                           AND pid <> pg_backend_pid() AND {condition}""")


def index_is_valid(cluster, database, name="t_id"):
    """None when there is no such index."""
    found = cluster.run(f"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('{name}')", database)
    return found[0][0] if found else None


def test_files_are_applied_in_order_and_once(cluster, empty, files, run):
    directory = files(TWO)
    assert "001_first: applied" in run()
    rows = cluster.run("SELECT version, name, sha256, applied_by, duration_ms >= 0, applied_at <= now() FROM schema_version ORDER BY version", empty)
    assert rows == [(i + 1, name.removesuffix(".sql"), hashlib.sha256((directory / name).read_bytes()).hexdigest(), "postgres", True, True)
                    for i, name in enumerate(sorted(TWO))]
    assert run() == "nothing to do\n"
    assert cluster.run("SELECT count(*) FROM t", empty) == [(1000,)] and index_is_valid(cluster, empty)


@pytest.mark.parametrize("conninfo", ["{database}", "dbname={database} user=postgres", "postgresql:///{database}"])
def test_conninfo_wins_over_the_environment(cluster, empty, files, conninfo):
    directory = files(TWO)
    schema.migrate(cluster, "postgres", "--dir", directory, "up", conninfo.format(database=empty))
    assert applied(cluster, empty) == ["001_first", "002_index"]


def test_status_tells_and_changes_nothing(cluster, empty, files, run):
    files({**TWO, "003_more.sql": "-- optional\nCREATE TABLE more ();"})
    said = run("status")
    assert [line.split()[1] for line in said.splitlines()] == ["pending", "pending", "optional"]
    assert not table_exists(cluster, empty, "schema_version")
    run()
    assert [line.split()[1] for line in run("status").splitlines()] == ["applied", "applied", "optional"]


def test_optional_files_run_when_asked_for(cluster, empty, files, run):
    files({"001_a.sql": "-- optional\nCREATE TABLE a ();", "002_b.sql": "CREATE TABLE b ();", "003_c.sql": "-- no-transaction\n-- optional\nCREATE TABLE c ();"})
    run()
    assert applied(cluster, empty) == ["002_b"]
    run("--with", "1")
    assert applied(cluster, empty) == ["001_a", "002_b"]
    run("--with", "all")
    assert applied(cluster, empty) == ["001_a", "002_b", "003_c"]
    assert "no such optional file" in run("--with", "002", status=2)


def test_a_failing_file_is_undone_whole_and_says_where(cluster, empty, files, run):
    directory = files({"001_good.sql": "CREATE TABLE good ();", "002_bad.sql": "CREATE TABLE half ();\nSELECT 1/0;", "003_never.sql": "CREATE TABLE never ();"})
    said = run(status=1)
    assert f"{directory}/002_bad.sql:2: ERROR:  division by zero" in said and "002_bad failed; all of it is undone" in said
    assert applied(cluster, empty) == ["001_good"]
    assert not table_exists(cluster, empty, "half") and not table_exists(cluster, empty, "never")
    files({"002_bad.sql": "CREATE TABLE half ();"})
    run()
    assert applied(cluster, empty) == ["001_good", "002_bad", "003_never"]


def test_the_first_file_failing_leaves_nothing(cluster, empty, files, run):
    files({"001_bad.sql": "CREATE TABLE half ();\nSELECT 1/0;"})
    run(status=1)
    assert not table_exists(cluster, empty, "schema_version") and not table_exists(cluster, empty, "half")


def test_a_changed_file_is_refused_before_anything_runs(cluster, empty, files, run):
    files(TWO)
    run()
    files({"001_first.sql": "CREATE TABLE t (id bigint);", "003_next.sql": "CREATE TABLE next ();"})
    said = run(status=3)
    assert "001_first is not the file that was applied" in said and "put the old text back" in said
    assert not table_exists(cluster, empty, "next")
    assert "applied, file changed" in run("status", status=3)


def test_a_missing_file_and_one_out_of_order_are_refused_and_all_are_told(cluster, empty, files, run, tmp_path):
    files({"001_a.sql": "SELECT 1;", "003_c.sql": "SELECT 1;"})
    run()
    (tmp_path / "001_a.sql").unlink()
    files({"002_b.sql": "CREATE TABLE b ();"})
    said = run(status=3)
    assert "001_a was applied" in said and "older release" in said
    assert "002_b was never applied, and 003_c, which comes after it, was" in said
    assert not table_exists(cluster, empty, "b")


def test_two_files_of_one_number_and_bad_names_are_refused(files, run, tmp_path):
    files({"001_a.sql": "SELECT 1;", "001_b.sql": "SELECT 1;"})
    assert "001 is the number of two files: 001_a, 001_b" in run(status=3)
    (tmp_path / "001_b.sql").unlink()
    files({"002_B c.sql": "SELECT 1;"})
    assert "a name is three digits" in run(status=2)


@pytest.mark.parametrize("options", [("--what",), ("--with",), ("--with", "x"), ("--lock-wait", "soon"), ("up", "db", "db2"), ("--dir", "/nowhere")])
def test_bad_usage_ends_with_2(cluster, empty, options):
    assert schema.migrate(cluster, empty, *options, status=2).startswith("pglane-migrate: ")


def test_no_database_ends_with_1(files, run):
    files(TWO)
    said = run("no_such_database", status=1)
    assert 'database "no_such_database" does not exist' in said and "no connection" in said


def test_a_file_may_not_end_its_own_transaction(cluster, empty, files, run):
    files({"001_commits.sql": "CREATE TABLE t ();\nCOMMIT;"})
    assert "ends its own transaction" in run(status=1)
    assert applied(cluster, empty) == []


def test_settings_and_roles_of_a_file_end_with_it(cluster, empty, files, run):
    files({"001_a.sql": "CREATE SCHEMA other;\nSET search_path = other;\nSET ROLE pg_monitor;", "002_b.sql": "CREATE TABLE b ();"})
    run()
    assert applied(cluster, empty) == ["001_a", "002_b"]
    assert cluster.run("SELECT relnamespace::regnamespace::text, relowner::regrole::text FROM pg_class WHERE relname = 'b'", empty) == [("public", "postgres")]


def test_what_a_file_echoes_is_shown_and_its_rows_are_not(files, run):
    files({"001_a.sql": "\\echo the index is left out\nSELECT 'row of a query';"})
    said = run()
    assert "the index is left out\n" in said and "row of a query" not in said


def test_another_tools_table_is_not_touched(cluster, empty, files, run):
    files(TWO)
    cluster.run("CREATE TABLE schema_version (installed_rank int, version text, checksum int)", empty)
    assert "another tool made it" in run(status=3)
    assert not table_exists(cluster, empty, "t")


def test_a_locked_table_is_waited_for_only_so_long(cluster, empty, files):
    directory = files({"001_a.sql": "ALTER TABLE foundation ADD COLUMN more int;"})
    cluster.run("CREATE TABLE foundation (id int)", empty)
    holder = cluster.connect(empty)
    try:
        holder.autocommit = False
        holder.cursor().execute("LOCK TABLE foundation IN ACCESS SHARE MODE")
        said = schema.migrate(cluster, empty, "--dir", directory, f"dbname={empty} options='-c lock_timeout=200ms'", status=1)
        assert "canceling statement due to lock timeout" in said
    finally:
        holder.close()


def test_killed_inside_a_transaction_nothing_of_the_file_is_left(cluster, empty, files, run):
    """SIGKILL for runner and psql while a file is half way; the server is told, as the kernel does when a machine goes."""
    directory = files({"001_good.sql": "CREATE TABLE good ();", "002_slow.sql": f"CREATE TABLE half ();\nSELECT pg_advisory_xact_lock({GATE});\nCREATE TABLE whole ();"})
    gate = cluster.connect(empty)
    gate.cursor().execute(f"SELECT pg_advisory_lock({GATE})")
    with running(cluster, empty, directory) as process:
        system.eventually(lambda: runner_sessions(cluster, empty, "wait_event_type = 'Lock'"), 20)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    gate.close()
    system.eventually(lambda: not runner_sessions(cluster, empty), 20, "the end of the runner's session")
    assert applied(cluster, empty) == ["001_good"] and not table_exists(cluster, empty, "half")
    run()
    assert applied(cluster, empty) == ["001_good", "002_slow"] and table_exists(cluster, empty, "whole")


def test_terminated_it_cancels_what_runs(cluster, empty, files):
    """SIGTERM for the runner alone: the server's query is cancelled, not left to run on with nobody to hear of it."""
    directory = files({"001_slow.sql": f"CREATE TABLE half ();\nSELECT pg_advisory_xact_lock({GATE});"})
    gate = cluster.connect(empty)
    gate.cursor().execute(f"SELECT pg_advisory_lock({GATE})")
    with running(cluster, empty, directory) as process:
        system.eventually(lambda: runner_sessions(cluster, empty, "wait_event_type = 'Lock'"), 20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 130
        system.eventually(lambda: not runner_sessions(cluster, empty), 20, "the end of the runner's session")
    gate.close()
    assert not table_exists(cluster, empty, "half")


def test_an_invalid_index_of_an_interrupted_run_is_made_anew(cluster, empty, files, run):
    """CREATE INDEX CONCURRENTLY waits for a writer, its session is ended, the index stays behind, invalid; IF NOT EXISTS would be content with it."""
    directory = files({"001_first.sql": TWO["001_first.sql"]})
    run()
    files(TWO)
    writer = cluster.connect(empty)
    writer.autocommit = False
    writer.cursor().execute("INSERT INTO t VALUES (0)")
    with running(cluster, empty, directory) as process:
        session = system.eventually(lambda: runner_sessions(cluster, empty, "query ILIKE 'CREATE INDEX%' AND wait_event_type = 'Lock'"), 20)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        cluster.run(f"SELECT pg_terminate_backend({session[0][0]})")
        system.eventually(lambda: not runner_sessions(cluster, empty), 20, "the end of the runner's session")
    writer.close()
    assert index_is_valid(cluster, empty) is False
    said = run()
    assert "dropping public.t_id, left invalid" in said
    assert index_is_valid(cluster, empty) is True and applied(cluster, empty) == ["001_first", "002_index"]


def test_invalid_indexes_of_others_are_left_alone(cluster, empty, files, run):
    files(TWO)
    cluster.run("CREATE TABLE theirs (id int); CREATE INDEX theirs_id ON theirs (id)", empty)
    cluster.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'theirs_id'::regclass", empty)
    run()
    assert index_is_valid(cluster, empty, "theirs_id") is False and index_is_valid(cluster, empty)


def test_two_at_once_apply_everything_once(cluster, empty, files):
    """The second polls while the first makes an index concurrently: had it waited inside the server, its snapshot would be what that waits for."""
    directory = files({**TWO, "001_first.sql": TWO["001_first.sql"] + f"\nSELECT pg_advisory_xact_lock({GATE});"})
    gate = cluster.connect(empty)
    gate.cursor().execute(f"SELECT pg_advisory_lock({GATE})")
    with running(cluster, empty, directory) as first:
        holder = system.eventually(lambda: runner_sessions(cluster, empty, "wait_event_type = 'Lock'"), 20)[0][0]
        with running(cluster, empty, directory) as second:
            assert second.stderr.readline() == f"waiting for another run (server process {holder}) to end\n"
            gate.close()
            said = [process.communicate(timeout=60) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], said
    assert said[1][0] == "nothing to do\n"
    assert applied(cluster, empty) == ["001_first", "002_index"] and index_is_valid(cluster, empty)


def test_the_wait_for_another_run_ends(cluster, empty, files):
    directory = files({"001_slow.sql": f"SELECT pg_advisory_xact_lock({GATE});"})
    gate = cluster.connect(empty)
    gate.cursor().execute(f"SELECT pg_advisory_lock({GATE})")
    with running(cluster, empty, directory):
        system.eventually(lambda: runner_sessions(cluster, empty, "wait_event_type = 'Lock'"), 20)
        assert "another run holds the lock" in schema.migrate(cluster, empty, "--dir", directory, "--lock-wait", "0", status=4)
    gate.close()


def test_help_needs_no_database():
    done = subprocess.run([schema.RUNNER, "--help"], capture_output=True, text=True, check=True)
    assert "--lock-wait" in done.stdout and "Exit status" in done.stdout
