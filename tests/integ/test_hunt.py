# SPDX-License-Identifier: ISC
"""Corners of the data path that were found by looking for them: each is what PostgreSQL itself does, said to pglane."""

import os
import re
import signal
import threading

import pytest

from harness import system, wire
from harness.relay import Relay


def in_use(proxy):
    with proxy.console() as console:
        return {row["lane"]: row["in_use"] for row in console.show("LANES") if row["in_use"]}


# ---- replies that are made here, behind replies of the server ----

def test_flush_brings_the_replies_made_here_too(start):
    """Behind a Flush PostgreSQL answers all that came before it, a Close and a Parse of a text that it has among them."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client(timeout_s=10) as client:
        client.exchange(wire.parse("here", "SELECT 'here'"))
        client.send(wire.bind("", "here"), wire.execute(), wire.close("S", "here"), wire.FLUSH)
        assert "".join(kind for kind, _ in client.receive_until("3")) == "2DC3"
        client.send(wire.bind("", ""), wire.SYNC)
        client.result()
        client.send(wire.parse("one", "SELECT 1"), wire.parse("two", "SELECT 1"), wire.FLUSH)
        client.receive_until("1")
        client.receive_until("1")
        client.send(wire.SYNC)
        assert client.result().kinds == "Z"


def test_replies_made_here_do_not_come_into_the_middle_of_one(start, cluster):
    """What is answered here waits for the rest of the reply before it, which may come in pieces."""
    relay = Relay(cluster.port)
    proxy = start(lanes={"default": 1}, workers=1, databases={"app": f"host=127.0.0.1 port={relay.port} dbname=app"})
    try:
        with proxy.client(timeout_s=10) as client, proxy.console() as console:
            for more in (b"", wire.FLUSH):
                client.exchange(wire.close("S", "s"), wire.parse("s", "SELECT 1"))
                relay.let(5 + 12 + 8)  # BindComplete, DataRow, half of CommandComplete
                client.send(wire.bind("", "s"), wire.execute(), wire.close("S", "s"), wire.FLUSH)
                system.eventually(relay.is_shut, what="half of the reply")
                for _ in range(3):
                    console.show("VERSION")
                client.send(more)
                for _ in range(3):
                    console.show("VERSION")
                relay.let(None)
                assert [(kind, body) for kind, body in client.receive_until("3")][2:] == [("C", b"SELECT 1\0"), ("3", b"")]
                client.send(wire.SYNC)
                assert client.result().kinds == "Z"
    finally:
        relay.let(None)
        relay.close()


# ---- batches of many messages ----

def test_batch_of_more_messages_than_are_expected_at_once(start):
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client(timeout_s=60) as client:
        client.exchange(wire.parse("s", "SELECT 1"))
        n = 30000
        sender = threading.Thread(target=client.send, args=((wire.bind("", "s") + wire.execute()) * n + wire.SYNC,), daemon=True)
        sender.start()
        result = client.result()
        sender.join()
        assert len(result.rows) == n and result.status == "I"


def test_batch_of_many_small_replies(start):
    """Replies of 5 bytes: PostgreSQL holds back the most of them."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client(timeout_s=60) as client:
        client.exchange(wire.parse("s", "SELECT 1"))
        n = 40000
        sender = threading.Thread(target=client.send, args=(wire.bind("", "s") * n + wire.SYNC,), daemon=True)
        sender.start()
        result = client.result()
        sender.join()
        assert result.kinds == "2" * n + "Z"


def test_batch_of_many_replies_made_here(start):
    """More of them than are expected at once, behind one of the server's that it holds back."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client(timeout_s=20) as client:
        client.exchange(wire.parse("s", "SELECT 1"))
        n = 40000
        for first in (b"", wire.bind("", "s")):
            begin = wire.query("BEGIN; SELECT 1") if not first else b""
            if begin:
                client.send(begin)
                client.result()
            sender = threading.Thread(target=client.send, args=(first + wire.close("S", "nothing") * n + wire.SYNC,), daemon=True)
            sender.start()
            result = client.result()
            sender.join()
            assert result.kinds == "2" * bool(first) + "3" * n + "Z"


# ---- settings ----

def test_more_settings_than_are_kept_track_of_are_nobody_elses(start):
    """Their client keeps its server."""
    proxy = start(lanes={"default": 2}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        pid = other.query("SELECT pg_backend_pid()").value
        for n in range(70):
            assert client.query(f"SET my.p{n} = 'secret'").tags == ["SET"]
        for n in range(70):
            assert client.query(f"SHOW my.p{n}").value == "secret"
        for n in range(70):
            assert other.query(f"SELECT coalesce(current_setting('my.p{n}', true), '')").value == "", n
        assert pid


VALUES = [
    ("SET search_path = 'Mixed'", "search_path", '"Mixed"'),
    ("SET search_path = 'a, b'", "search_path", '"a, b"'),
    ("SET search_path = 'plain'", "search_path", "plain"),
    ("SET search_path = Folded, \"Kept\"", "search_path", 'folded, "Kept"'),
    ("SET my.own = Folded", "my.own", "folded"),
    ("SET my.own = \"Quoted\"", "my.own", "Quoted"),
    ("SET my.own = E'a\\nb'", "my.own", "a\nb"),
    ("SET my.own = 1.50", "my.own", "1.50"),
    ("SET my.own = - 5", "my.own", "-5"),
    ("SET my.own = $x$dollar$x$", "my.own", "dollar"),
    ("SET my.own = U&'\\0041'", "my.own", "A"),
    ("SET my.own = 'one' \n 'two'", "my.own", "onetwo"),
    ("SET my.own = ''", "my.own", ""),
    ("SET search_path = '$user', public", "search_path", '"$user", public'),
    ("SET search_path = ''", "search_path", '""'),
    ("SET search_path = '1st', A_2", "search_path", '"1st", a_2'),
    ("SET DateStyle = 'ISO', 'DMY'", "DateStyle", "ISO, DMY"),
    ("SET DateStyle = ISO, DMY", "DateStyle", "ISO, DMY"),
    ("SET temp_tablespaces = 'pg_default'", "temp_tablespaces", "pg_default"),
    ("SET work_mem = DEFAULT", "work_mem", "4MB"),
    ("SET TIME ZONE 'Asia/Tokyo'", "TimeZone", "Asia/Tokyo"),
    ("SET TimeZone = 'Asia/Tokyo'", "TimeZone", "Asia/Tokyo"),
]


def test_value_with_a_backslash_that_escapes(start):
    proxy = start(lanes={"default": 2}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        client.query("SET standard_conforming_strings = off")
        client.query("SET my.own = 'a\\'b'")
        assert client.query("SHOW my.own").value == "a'b"
        other.query("BEGIN")
        other.query("SELECT 1")
        assert client.query("SHOW standard_conforming_strings").value == "off"
        assert client.query("SHOW my.own").value == "a'b"


@pytest.mark.parametrize("statement, name, value", VALUES)
def test_value_of_a_setting_is_the_same_on_every_server(start, cluster, statement, name, value):
    proxy = start(lanes={"default": 2}, workers=1)
    cluster.run("SELECT 1")
    with proxy.client() as client, proxy.client() as other, wire.RawClient("127.0.0.1", cluster.port, 30).login() as oracle:
        assert oracle.query(statement).tags == client.query(statement).tags == ["SET"]
        expected = oracle.query(f"SHOW {name}").value
        assert expected == value, "the test's own expectation"
        assert client.query(f"SHOW {name}").value == expected
        first = client.query("SELECT pg_backend_pid()").value
        other.query("BEGIN")
        holder = other.query("SELECT pg_backend_pid()").value
        assert holder == first, "the server that it was said to is another's now"
        assert client.query(f"SHOW {name}").value == expected
        assert client.query("SELECT pg_backend_pid()").value != first


def test_date_style_that_keeps_the_order_it_had(start):
    """Said again it changes nothing and is not reported; on a server with another order it would mean another one."""
    proxy = start(lanes={"default": 2}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        client.query("SET DateStyle = 'Postgres, DMY'")
        client.query("SET DateStyle = 'Postgres'")
        first = client.query("SELECT pg_backend_pid()").value
        other.query("BEGIN")
        assert other.query("SELECT pg_backend_pid()").value == first
        assert client.query("SHOW DateStyle").value == "Postgres, DMY"


RESETS = ["RESET ALL", "DISCARD ALL"]


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("extended", [False, True])
def test_reset_of_everything_is_for_good(start, reset, extended):
    proxy = start(lanes={"default": 2}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        client.query("SET work_mem = '8MB'")
        client.query("SET DateStyle = 'German'")
        result = client.extended(reset) if extended else client.query(reset)
        assert result.tags == [reset.split()[0] if reset == "RESET ALL" else reset]
        assert client.query("SHOW work_mem").value == "4MB"
        assert client.query("SHOW DateStyle").value == "ISO, MDY"
        other.query("BEGIN")
        other.query("SELECT 1")
        assert client.query("SHOW work_mem").value == "4MB"
        assert client.query("SHOW DateStyle").value == "ISO, MDY"


@pytest.mark.parametrize("reset", RESETS)
def test_reset_of_everything_goes_back_to_what_the_client_logged_in_with(start, cluster, reset):
    """Npgsql says DISCARD ALL whenever a connection goes back to its pool, and goes on with the search_path of its connection string."""
    asked = {"TimeZone": "Asia/Tokyo", "options": "-c search_path=mine,public -c work_mem=7MB"}
    proxy = start(lanes={"default": 2}, workers=1)
    with proxy.client(**asked) as client, proxy.client() as other, wire.RawClient("127.0.0.1", cluster.port, 30).login(**asked) as oracle:
        for side in (client, oracle):
            known = dict(side.parameters)
            for statement in ("SET TimeZone = 'UTC'", "SET search_path = 'theirs'", "SET work_mem = '9MB'", "SET my.own = 'x'", reset):
                result = side.query(statement)
                assert not result.errors
                known.update(result.parameters)
            assert known["TimeZone"] == "Asia/Tokyo", "as the client was told"
            for _ in range(2):
                assert side.query("SHOW TimeZone").value == "Asia/Tokyo"
                assert side.query("SHOW search_path").value == "mine,public"
                assert side.query("SHOW work_mem").value == "7MB"
                assert side.query("SELECT coalesce(current_setting('my.own', true), '')").value == ""
                if side is client:
                    other.query("BEGIN")
                    other.query("SELECT 1")
        assert client.exchange(wire.parse("", reset), wire.bind("", ""), wire.execute(),
                               wire.parse("", "SET work_mem = 'x'"), wire.bind("", ""), wire.execute()).errors


def test_set_in_a_transaction_that_began_in_its_batch(start):
    """BEGIN and SET in one batch: the SET is the transaction's, and goes with it."""
    proxy = start(lanes={"default": 1}, workers=1)

    def one(sql):
        return wire.parse("", sql) + wire.bind("", "") + wire.execute()

    with proxy.client() as client, proxy.client() as other:
        assert client.exchange(one("BEGIN"), one("SET work_mem = '8MB'")).tags == ["BEGIN", "SET"]
        assert client.query("ROLLBACK").tags == ["ROLLBACK"]
        assert client.query("SHOW work_mem").value == "4MB"
        other.query("SET work_mem = '8MB'")
        assert other.query("SHOW work_mem").value == "8MB"
        assert client.exchange(one("BEGIN"), one("SET work_mem = '9MB'"), one("ROLLBACK")).tags == ["BEGIN", "SET", "ROLLBACK"]
        assert client.query("SHOW work_mem").value == "4MB"
        other.query("SET work_mem = '9MB'")
        assert other.query("SHOW work_mem").value == "9MB"
        assert client.exchange(one("SET work_mem = '10MB'"), one("BEGIN"), one("ROLLBACK")).tags == ["SET", "BEGIN", "ROLLBACK"]
        assert client.query("SHOW work_mem").value == "4MB"


# ---- a server that is lost ----

def test_lost_server_is_told_to_who_waits_for_a_portal(start, cluster):
    """Execute of a portal that is open, and Flush: PostgreSQL's client would see the end of the connection at once."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client(timeout_s=10) as client:
        client.query("BEGIN")
        pid = int(client.query("SELECT pg_backend_pid()").value)
        client.exchange(wire.parse("", "SELECT pg_sleep(CASE g WHEN 1 THEN 0 ELSE 60 END) FROM generate_series(1, 2) g"), wire.bind("p", ""), wire.execute("p", 1))
        client.send(wire.execute("p", 1), wire.FLUSH)
        system.eventually(lambda: cluster.backends(f"pid = {pid} AND state = 'active'"))
        cluster.run("SELECT pg_terminate_backend(%s)", arguments=(pid,))
        assert client.receive()[0] == "E"
        client.send(wire.SYNC)
        assert client.result().status == "E"
        assert client.query("ROLLBACK").status == "I"


def test_own_error_that_was_never_said_is_forgotten(start, cluster):
    """An error of pglane's own waits behind the server's replies; the server is lost: the next such error is another one."""
    proxy = start(lanes={"default": 1}, workers=1, max_client_prepared_bytes=2000)
    with proxy.client(timeout_s=10) as client:
        client.send(wire.parse("", "SELECT pg_sleep(60)"), wire.bind("", ""), wire.execute(), wire.parse("long", f"SELECT '{'x' * 3000}'"), wire.SYNC)
        pid = system.eventually(lambda: cluster.backends("query LIKE 'SELECT pg_sleep(60)%' AND state = 'active'"))[0][0]
        cluster.run("SELECT pg_terminate_backend(%s)", arguments=(pid,))
        assert client.result().sqlstate in ("08007", "57P01")
        result = client.exchange(wire.parse("", "SELECT 1"), wire.parse("long", f"SELECT '{'x' * 4000}'"))
        assert re.search(r"\b40\d\d\b", result.errors[0].fields["D"]), result.errors[0].fields


def stopped_reset(proxy, relay):
    """What the server said and the reset behind it find pglane asleep."""
    os.kill(proxy.pid, signal.SIGSTOP)
    try:
        relay.reset()
    finally:
        os.kill(proxy.pid, signal.SIGCONT)


@pytest.mark.parametrize("what", ["running", "idle"])
def test_reset_behind_the_last_words_of_a_server(start, cluster, what):
    """A backend that crashes says so and resets its connection: both come at once, and the reset has no event of its own."""
    relay = Relay(cluster.port)
    proxy = start(lanes={"default": 1}, workers=1, databases={"app": f"host=127.0.0.1 port={relay.port} dbname=app"}, server_reset_query="",
                  on_session_state="warn")
    try:
        with proxy.client(timeout_s=10) as client, proxy.console() as console:
            client.query("LISTEN last_words")
            relay.let(1)
            if what == "running":
                client.send(wire.query("DO $$ BEGIN RAISE NOTICE 'last words'; PERFORM pg_sleep(60); END $$"))
            else:
                cluster.run("NOTIFY last_words", "app")
            system.eventually(relay.is_shut, what="the beginning of what it says")
            stopped_reset(proxy, relay)
            if what == "running":
                result = client.result()
                assert result.kinds == "NEZ" and result.sqlstate == "08007", result.messages
            system.eventually(lambda: not console.show("SERVERS"), what="the end of the lost server")
            assert client.query("SELECT 1").value == "1"
    finally:
        relay.close()


# ---- messages that come in pieces while nobody is linked ----

def test_rest_of_a_message_to_nobody_is_nobodys(start, cluster):
    """A notification to an idle server (nothing resets it), half of it read when a client gets the server: its rest is not the client's."""
    relay = Relay(cluster.port)
    proxy = start(lanes={"default": 1}, workers=1, server_reset_query="", on_session_state="warn",
                  databases={"app": f"host=127.0.0.1 port={relay.port} dbname=app"})
    try:
        with proxy.client(timeout_s=10) as listener, proxy.client(timeout_s=10) as client, proxy.console() as console:
            assert listener.query("LISTEN corner").tags == ["LISTEN"]
            relay.let(20)
            cluster.run("SELECT pg_notify('corner', repeat('n', 7000))", "app")
            system.eventually(relay.is_shut, what="the beginning of the notification")
            for _ in range(3):  # its only worker has had its turn
                console.show("VERSION")
            client.send(wire.query("SELECT 2"))
            system.eventually(lambda: sum(pool["cl_active"] for pool in console.show("POOLS")) > 0)
            relay.let(None)
            assert client.result().value == "2"
            assert client.query("SELECT 3").value == "3"
    finally:
        relay.let(None)
        relay.close()


# ---- last words ----

@pytest.mark.parametrize("tls", [False, True])
def test_fatal_is_not_said_in_the_middle_of_a_message(start, cluster, tls):
    """A client that is killed while half of a row is on its way: the row's rest must not be the text of the error."""
    relay = Relay(cluster.port)
    settings = {"client_tls_sslmode": "prefer", "client_tls_cert_file": cluster.certificates.path("server.crt"),
                "client_tls_key_file": cluster.certificates.path("server.key")} if tls else {}
    proxy = start(lanes={"default": 1}, workers=1, databases={"app": f"host=127.0.0.1 port={relay.port} dbname=app"}, **settings)
    raw = proxy.raw(10)
    if tls:
        raw.start_tls()
    try:
        with raw.login() as client, proxy.console() as console:
            client.send(wire.query("SELECT 1"))
            client.result()
            relay.let(320)
            client.send(wire.query("SELECT repeat('r', 300)"))
            system.eventually(relay.is_shut, what="half of the row")
            kind, _ = client.receive()
            assert kind == "T"
            row = next(row for row in console.show("CLIENTS") if row["database"] == "app")
            console.run(f"KILL_CLIENT {row['id']}")
            with pytest.raises(wire.Closed):
                client.receive()
    finally:
        relay.let(None)
        relay.close()


# ---- the account of slots ----

def test_server_that_nobody_waits_for_any_more_is_refused(start, cluster):
    """It logs in after its client has left, when its slot is wanted for another database: it is closed, and counted once."""
    relay = Relay(cluster.port)
    proxy = start(lanes={"default": 1}, workers=1, databases={"app": f"host=127.0.0.1 port={relay.port} dbname=app"},
                  users={"app": "annotations=all max_priority=10"})
    holders = []
    try:
        with proxy.console() as console:
            leaver = proxy.client()
            console.run("RECONNECT app")
            system.eventually(lambda: not console.show("SERVERS"))
            relay.let(0)
            leaver.send(wire.query("SELECT 1"))
            system.eventually(lambda: sum(pool["sv_login"] for pool in console.show("POOLS")) == 1)
            leaver.close()
            system.eventually(lambda: not any(lane["in_use"] for lane in console.show("LANES")))
            for annotation in ("ml_class='default'", "ml_class='serving'", "ml_class='vector'", "ml_class='training'", "ml_class='vector',ml_priority='9'"):
                holders.append(proxy.client(database="other"))
                holders[-1].query("BEGIN")
                holders[-1].send(wire.query(f"/*{annotation}*/ SELECT 1"))
                if len(holders) < 5:
                    assert holders[-1].result().value == "1"
            system.eventually(lambda: console.lane("priority")["in_use"] == 1)
            assert console.show("BUDGET")[0]["slots"] == 5
            relay.let(None)
            assert holders[-1].result().value == "1"
            for holder in holders:
                assert holder.query("COMMIT").status == "I"
            assert len(console.show("SERVERS")) == console.show("BUDGET")[0]["slots"] == 5
    finally:
        relay.let(None)
        relay.close()
        for holder in holders:
            holder.close()


# ---- errors that are told in other words ----

def test_rest_of_an_error_that_is_told_in_other_words(start):
    """Time is over inside a long dynamic statement, and the server's error repeats it: nothing of that follows the one that names the lane."""
    proxy = start(workers=1, lanes={"default": 1}, sections={"lane:default": {"permits": 1, "statement_timeout": "500ms"}})
    with proxy.client(timeout_s=20) as client:
        client.send(wire.query("DO $do$ BEGIN EXECUTE 'SELECT pg_sleep(60) /*' || repeat('x', 300000) || '*/'; END $do$"))
        result = client.result()
        assert result.kinds == "EZ" and result.sqlstate == "57014" and "lane default" in result.errors[0].fields["D"]
        assert client.query("SELECT 1").value == "1"
