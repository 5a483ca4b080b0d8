# SPDX-License-Identifier: ISC
"""RELOAD under load: nobody is disturbed, a bad file changes nothing and says why."""

import signal
import subprocess

import psycopg2
import pytest

from harness import proxy as proxy_module
from harness import system, wire
from harness.traffic import Background, scaled


def setting(proxy, key):
    with proxy.console() as console:
        return next(row["value"] for row in console.show("CONFIG") if row["key"] == key)


def load(proxy, counts):
    """A client that works until told to stop and never sees an error."""
    def work(stop):
        with proxy.client() as client:
            n = 0
            while not stop.is_set() or not n:
                assert client.query(f"SELECT {n}").value == str(n)
                assert client.extended("SELECT $1::int", [n], statement="").value == str(n)
                n += 1
            counts.append(n)
    return work


@pytest.mark.parametrize("how", ["console", "signal"])
def test_reload_under_load(start, how):
    proxy, counts = start(lanes={"default": 4}), []
    with Background(*[load(proxy, counts) for _ in range(8)]):
        for n in range(scaled(30, 6)):
            proxy.write(query_wait_notify=n + 10)
            if how == "console":
                proxy.reload()
            else:
                proxy.send_signal(signal.SIGHUP)
            system.eventually(lambda: setting(proxy, "query_wait_notify") == str(n + 10))
    assert len(counts) == 8


def test_bad_file_keeps_the_old_one_and_says_so(start):
    proxy, counts = start(lanes={"default": 4}, slow_query=7), []
    good = proxy.ini.read_text()
    with Background(load(proxy, counts)):
        for old, new, word in (("slow_query = 7", "slow_query = 9\nno_such_key = 1", "no_such_key"), ("slow_query = 7", "slow_query = 9\npool_mode = sideways", "pool_mode"),
                               ("permits = 4", "permits = 5", "budget")):
            proxy.ini.write_text(good.replace("slow_query = 7", "slow_query = 9").replace(old.replace("7", "9"), new))
            with pytest.raises(psycopg2.Error) as refused:
                proxy.reload()
            assert refused.value.pgcode == "F0000"
            assert word in str(refused.value) + (refused.value.diag.message_detail or "") + proxy.log_text()
            assert setting(proxy, "slow_query") == "7"
        proxy.ini.write_text(good.replace("slow_query = 7", "slow_query = 8"))
        proxy.reload()
        assert setting(proxy, "slow_query") == "8"
    assert counts[0] > 0


def test_bad_file_by_signal_is_logged(start):
    proxy = start(slow_query=7)
    proxy.ini.write_text(proxy.ini.read_text().replace("slow_query = 7", "slow_query = soon"))
    proxy.send_signal(signal.SIGHUP)
    system.eventually(lambda: "soon" in proxy.log_text() or "slow_query" in proxy.log_text())
    assert setting(proxy, "slow_query") == "7"
    assert proxy.run("SELECT 1") == [(1,)]


def test_missing_file_keeps_the_old_one(start):
    proxy = start()
    proxy.ini.rename(proxy.ini.with_suffix(".away"))
    with pytest.raises(psycopg2.Error):
        proxy.reload()
    assert proxy.run("SELECT 1") == [(1,)]


def test_lane_sizes_change_while_in_use(start):
    proxy = start(lanes={"default": 2})
    holders = []
    try:
        for _ in range(2):
            holders.append(proxy.client())
            holders[-1].query("BEGIN")
            holders[-1].query("SELECT 1")
        with proxy.client() as waiter:
            waiter.send(wire.query("SELECT 'served'"))
            with proxy.console() as console:
                system.eventually(lambda: console.lane("default")["waiting"] == 1)
            proxy.lanes = {"default": 3}
            proxy.write()
            proxy.reload()
            assert waiter.result().value == "served", "growth serves waiters at once"
        proxy.lanes = {"default": 1}
        proxy.write(budget=5)
        proxy.reload()
        with proxy.console() as console, proxy.client() as waiter:
            assert (console.lane("default")["permits"], console.lane("default")["in_use"]) == (1, 2)
            waiter.send(wire.query("SELECT 'served'"))
            system.eventually(lambda: console.lane("default")["waiting"] == 1)
            for holder in holders:
                assert holder.query("SELECT 1").value == "1", "who holds a permit keeps it"
            assert holders[0].query("COMMIT").status == "I"
            system.eventually(lambda: console.lane("default")["in_use"] == 1, what="the debt's end")
            assert console.lane("default")["waiting"] == 1, "the permit that came back is no more"
            assert holders[1].query("COMMIT").status == "I"
            assert waiter.result().value == "served"
            system.eventually(lambda: console.lane("default")["in_use"] == 0, what="the permit's return")
    finally:
        for holder in holders:
            holder.close()
    assert proxy.run("SELECT 1") == [(1,)]


def test_new_database_and_secret_are_there_after_reload(start):
    proxy = start(sections={"databases": {}}, auth_type="scram-sha-256")
    with pytest.raises(psycopg2.OperationalError):
        proxy.run("SELECT 1", user="u_new", password="fresh")
    proxy.databases = {"renamed": "{server} dbname=app user=app"}
    proxy.secrets["u_new"] = "fresh"
    proxy.write()
    proxy.reload()
    assert proxy.run("SELECT current_database()", user="u_new", password="fresh", dbname="renamed") == [("app",)]


@pytest.mark.parametrize("stored", ["plain", "scram"])
def test_a_secret_that_changed_counts_from_the_reload_on(start, stored):
    """A secret is read once, not at every login; a new one is read all the same, and the old one is worth nothing."""
    def secret(password):
        return password if stored == "plain" else wire.scram_secret(password)

    proxy = start(auth_type="scram-sha-256")
    proxy.databases = {"app": "{server} dbname=app user=app"}
    for new, old in (("first", "second"), ("second", "first"), ("first", "second")):
        proxy.secrets["changing"] = secret(new)
        proxy.write()
        proxy.reload()
        for _ in range(2):
            assert proxy.run("SELECT 1", user="changing", password=new) == [(1,)]
            with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
                proxy.run("SELECT 1", user="changing", password=old)


def test_boot_only_setting_is_kept_and_said(start):
    proxy = start()
    port = proxy.port
    proxy.ini.write_text(proxy.ini.read_text().replace(f"listen_port = {port}", f"listen_port = {system.free_port()}"))
    proxy.reload()
    assert proxy.run("SELECT 1") == [(1,)]
    assert setting(proxy, "listen_port") == str(port)
    assert "listen_port" in proxy.log_text()


# Start: every mistake at once, before anything is bound.


def check(program, ini):
    return subprocess.run(proxy_module.command(program, "--check", ini), capture_output=True, text=True, timeout=30)


def test_all_mistakes_are_reported_at_once_with_their_lines(program, tmp_path):
    ini = tmp_path / "bad.ini"
    ini.write_text("[pglane]\nlisten_port = many\npool_mood = transaction\nbudget = 180\n\n[databases]\napp = host=localhost prot=5432\n\n"
                   "[lane:default]\npermits = 121\n\n"
                   "[rules]\ntraining if user=etl\nlane night if vector\npriority 11 if user=etl\n")
    done = check(program, ini)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    for line, word in ((2, "listen_port"), (3, "pool_mood"), (7, "prot")):
        assert f"bad.ini:{line}" in said and word in said, said
    assert "181" in said and "180" in said, "both sums are named"
    assert "bad.ini:14: [rules]: column 6: a lane is wanted (" in said, said
    assert "bad.ini:15: [rules]: column 10: a priority from 1 to 10 is wanted" in said, said
    assert "bad.ini:13" not in said, "that one is a rule"


def test_what_is_given_twice_is_a_warning(start, program):
    """In the log and in --check; the later one counts, as ever."""
    proxy = start(slow_query=7)
    proxy.ini.write_text(proxy.ini.read_text().replace("slow_query = 7", "slow_query = 7\nslow_query = 8"))
    line = next(n for n, text in enumerate(proxy.ini.read_text().splitlines(), 1) if text == "slow_query = 8")
    warning = f"pglane.ini:{line}: [pglane] slow_query: warning: given twice: what stands at {proxy.ini}:{line - 1} does not count"
    done = check(program, proxy.ini)
    assert done.returncode == 0 and warning in done.stdout
    with proxy.console() as console:
        console.run("RELOAD")
        assert warning in console.connection.notices[-1]
    assert f"RELOAD: {proxy.ini.parent}/{warning}" in proxy.log_text()
    assert setting(proxy, "slow_query") == "8"
    proxy.stop_only()
    proxy.start()
    assert proxy.log_text().count(warning) == 2, "at the start, too"


def test_console_is_told_of_every_mistake(start):
    """However long the list is."""
    proxy = start()
    proxy.ini.write_text(proxy.ini.read_text() + "\n[rules]\n" + "".join(f"fast{n} if vector\n" for n in range(30)))
    with pytest.raises(psycopg2.Error) as refused:
        proxy.reload()
    told = refused.value.diag.message_detail
    assert all(f'not "fast{n}"' in told and f'not "fast{n}"' in proxy.log_text() for n in range(30)), told


def test_a_plain_pgbouncer_ini_starts_unchanged(start, program, cluster, tmp_path):
    proxy = start()
    ini = proxy.directory / "pgbouncer.ini"
    port = system.free_port()
    ini.write_text(f"""
;; database name = connect string
[databases]
* = host=127.0.0.1 port={cluster.port}
app = host=127.0.0.1 port={cluster.port} dbname=app pool_size=5

[pgbouncer]
logfile = {proxy.directory}/pgbouncer.log
pidfile = {proxy.directory}/pgbouncer.pid
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {proxy.directory}/userlist.txt
admin_users = app
server_reset_query = DISCARD ALL
max_client_conn = 100
default_pool_size = 20
;server_check_query = select 1
""")
    system.own(ini, system.unprivileged_user(), 0o600)
    proxy.stop_only()
    proxy.ini, proxy.port = ini, port
    proxy.start()
    assert proxy.run("SELECT 1") == [(1,)]
    assert setting(proxy, "pool_mode") == "session" and setting(proxy, "default_pool_size") == "20"
    assert setting(proxy, "warm_min") == "0" and setting(proxy, "scale_step") == "0", "min_pool_size decides, as in PgBouncer"
