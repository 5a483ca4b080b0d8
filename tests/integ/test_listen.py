# SPDX-License-Identifier: ISC
"""LISTEN in transaction pooling: one connection listens for all clients of a pool, and each hears what a connection of its own would hear."""

import os
import random
import select
import signal
import socket
import threading
import time

import psycopg2
import pytest

from harness import system, wire

SCALE = float(os.environ.get("PGLANE_TEST_SCALE", "1"))


class Ear:
    """A raw client that keeps what it was notified of, whenever that came."""

    def __init__(self, client):
        self.client, self.heard, self.notices = client, [], []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.client.close()

    def take(self, messages):
        for kind, body in messages:
            if kind == "A":
                channel, payload, _ = body[4:].split(b"\0")
                self.heard.append((channel.decode(), payload.decode()))
            elif kind == "N":
                self.notices.append(wire.error_fields(body))

    def query(self, sql):
        result = self.client.query(sql)
        self.take(result.messages)
        return result

    def extended(self, sql):
        result = self.client.extended(sql)
        self.take(result.messages)
        return result

    def ok(self, *statements):
        for sql in statements:
            result = self.query(sql)
            assert not result.errors, (sql, result.errors)
        return self

    def until(self, condition, timeout_s=20):
        """Reads without saying anything until the condition holds."""
        end = time.monotonic() + timeout_s
        while not condition():
            left = end - time.monotonic()
            assert left > 0, f"heard only {self.heard[-5:]!r} of {len(self.heard)}, notices {self.notices!r}"
            if self.client.pending or select.select([self.client.socket], [], [], left)[0]:
                self.take([self.client.receive()])

    def until_heard(self, channel, payload):
        self.until(lambda: (channel, payload) in self.heard)

    def payloads(self, channel):
        return [payload for name, payload in self.heard if name == channel]

    def forget(self):
        self.heard.clear()


def ear(proxy, **kwargs):
    return Ear(proxy.client(**kwargs))


def direct(cluster, user="app", database="app"):
    return Ear(wire.RawClient("127.0.0.1", cluster.port).login(user=user, database=database))


def listeners(proxy):
    with proxy.console() as console:
        return console.show("LISTENERS")


def pins(proxy):
    with proxy.console() as console:
        return console.show("PINS")


def until_served(proxy, n_clients):
    """They listen with no server of their own."""
    system.eventually(lambda: not pins(proxy) and sum(row["clients"] for row in listeners(proxy)) == n_clients, 20, "clients at the listener")


def backends(cluster, query="%LISTEN%"):
    return [row[0] for row in cluster.rows(f"SELECT pid FROM pg_stat_activity WHERE application_name <> 'psql' AND query ILIKE '{query}' AND pid <> pg_backend_pid()")]


def test_a_client_that_listens_keeps_no_server(start):
    proxy = start(lanes={"default": 2})
    with ear(proxy) as client, proxy.client() as other, proxy.client() as third:
        client.ok("LISTEN news")
        until_served(proxy, 1)
        other.query("BEGIN")
        assert other.query("SELECT 1").value == "1"
        other.query("ROLLBACK")
        other.query("NOTIFY news, 'first'")
        third.query("NOTIFY news, 'second'")
        third.query("NOTIFY olds, 'nobody hears'")
        client.until(lambda: len(client.heard) == 2)
        assert client.heard == [("news", "first"), ("news", "second")]
        row, = listeners(proxy)
        assert (row["database"], row["user"], row["state"], row["channels"], row["clients"], row["reconnects"]) == ("app", "app", "active", 1, 1, 0)
        with proxy.console() as console:
            assert row["remote_pid"] in [server["remote_pid"] for server in console.show("SERVERS")]
    system.eventually(lambda: not listeners(proxy), 20, "the listener's end")


def test_delivery_to_a_driver(start):
    proxy = start(lanes={"default": 2})
    connection, sender = proxy.connect(), proxy.connect()
    connection.cursor().execute("LISTEN news")
    until_served(proxy, 1)
    with sender.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        cursor.execute("NOTIFY news, 'hello'")
    assert select.select([connection], [], [], 20)[0]
    connection.poll()
    notify, = connection.notifies
    assert (notify.channel, notify.payload) == ("news", "hello") and notify.pid > 0
    # What came meanwhile is there with the answer of a statement, too.
    with sender.cursor() as cursor:
        cursor.execute("NOTIFY news, 'again'")
    assert select.select([connection], [], [], 20)[0]
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    assert [notify.payload for notify in connection.notifies] == ["hello", "again"]
    connection.close()
    sender.close()


def test_many_clients_on_one_connection(start, cluster):
    n = max(40, int(200 * SCALE))
    proxy = start(lanes={"default": 6}, max_client_conn=2000, listen_backlog=1024)
    clients = [ear(proxy) for _ in range(n)]
    for client in clients:
        client.client.send(wire.query("LISTEN crowd"))
    for client in clients:
        client.take(client.client.result().messages)
    until_served(proxy, n)
    assert len(listeners(proxy)) == 1
    listening, = cluster.run("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    assert listening[0] == 1
    with proxy.client() as sender:
        for number in range(20):
            assert not sender.query(f"NOTIFY crowd, '{number}'").errors
    for client in clients:
        client.until(lambda client=client: len(client.heard) == 20)
        assert client.payloads("crowd") == [str(number) for number in range(20)]
        client.client.close()


# Statements one after the other; {} is a number of the test's own. What is heard at the end of each is the same as over a connection of its own.
SCRIPTS = {
    "commit": ["BEGIN", "LISTEN a", "!a", "COMMIT", "!a"],
    "commit behind others": ["BEGIN", "!a", "LISTEN a", "!a", "COMMIT", "!a"],
    "commit and chain": ["LISTEN a", "BEGIN", "!a", "UNLISTEN a", "COMMIT AND CHAIN", "!a", "LISTEN b", "COMMIT AND CHAIN", "!b", "NOTIFY b, 'mine'", "COMMIT", "!a", "!b"],
    "rollback": ["BEGIN", "LISTEN a", "ROLLBACK", "!a", "LISTEN a", "!a"],
    "savepoint": ["BEGIN", "LISTEN a", "SAVEPOINT s", "LISTEN b", "ROLLBACK TO s", "COMMIT", "!a", "!b"],
    "unlisten": ["LISTEN a", "LISTEN b", "!a", "UNLISTEN a", "!a", "!b", "UNLISTEN b", "!a", "!b"],
    "unlisten all": ["LISTEN a", "LISTEN b", "!a", "UNLISTEN *", "!a", "!b"],
    "unlisten what is not": ["LISTEN a", "UNLISTEN b", "!a", "!b"],
    "unlisten rolled back": ["LISTEN a", "BEGIN", "UNLISTEN a", "ROLLBACK", "!a"],
    "unlisten in a failed transaction": ["LISTEN a", "BEGIN", "SELECT 1/0", "UNLISTEN a", "COMMIT", "!a"],
    "unlisten then failed": ["LISTEN a", "BEGIN", "UNLISTEN a", "SELECT 1/0", "COMMIT", "!a"],
    "unlisten and listen": ["LISTEN a", "BEGIN", "UNLISTEN a", "LISTEN a", "COMMIT", "!a"],
    "listen and unlisten": ["LISTEN a", "BEGIN", "LISTEN b", "UNLISTEN a", "COMMIT", "!a", "!b"],
    "unlisten late": ["LISTEN a", "LISTEN b", "BEGIN", "SELECT 1", "UNLISTEN a", "COMMIT", "!a", "!b"],
    "unlisten late all": ["LISTEN a", "LISTEN b", "BEGIN", "SELECT 1", "UNLISTEN *", "LISTEN c", "COMMIT", "!a", "!b", "!c"],
    "unlisten behind a savepoint": ["LISTEN a", "LISTEN b", "BEGIN", "UNLISTEN a", "SAVEPOINT s", "UNLISTEN b", "ROLLBACK TO s", "COMMIT", "!a", "!b"],
    "unlisten in a savepoint": ["LISTEN a", "LISTEN b", "BEGIN", "SAVEPOINT s", "UNLISTEN a", "ROLLBACK TO s", "UNLISTEN b", "COMMIT", "!a", "!b"],
    "unlisten in a savepoint that is released": ["LISTEN a", "LISTEN b", "BEGIN", "SAVEPOINT s", "UNLISTEN a", "RELEASE s", "UNLISTEN b", "COMMIT", "!a", "!b"],
    "unlisten around a savepoint": ["LISTEN a", "LISTEN b", "LISTEN c", "BEGIN", "SELECT 1", "UNLISTEN a", "SAVEPOINT s", "UNLISTEN b", "ROLLBACK TO s",
                                    "UNLISTEN c", "COMMIT", "!a", "!b", "!c"],
    "all in one string": ["LISTEN a", "LISTEN b; UNLISTEN a", "!a", "!b"],
    "a transaction in one string": ["LISTEN a", "BEGIN; UNLISTEN a; LISTEN b; COMMIT", "!a", "!b"],
    "a rollback in one string": ["LISTEN a", "BEGIN; UNLISTEN a; LISTEN b; ROLLBACK", "!a", "!b"],
    "twice": ["LISTEN a", "LISTEN a", "!a", "UNLISTEN a", "!a"],
    "again": ["LISTEN a", "UNLISTEN a", "LISTEN a", "!a", "UNLISTEN *", "LISTEN a", "!a"],
    "own, in its transaction": ["BEGIN", "LISTEN a", "NOTIFY a, 'mine'", "COMMIT", "!a"],
    "own": ["LISTEN a", "NOTIFY a, 'mine'", "BEGIN", "NOTIFY a, 'late'", "NOTIFY a, 'late'", "NOTIFY a, 'later'", "!a", "COMMIT", "!a"],
    "own, rolled back": ["LISTEN a", "BEGIN", "NOTIFY a, 'never'", "ROLLBACK", "!a"],
    "own, then listened to": ["LISTEN b", "BEGIN", "NOTIFY a, 'mine'", "LISTEN a", "COMMIT", "!a"],
    "own, then listened to again": ["LISTEN a", "BEGIN", "NOTIFY a, 'mine'", "LISTEN a", "NOTIFY a, 'too'", "COMMIT", "!a"],
    "own, of several channels": ["LISTEN b", "LISTEN c", "BEGIN", "NOTIFY a, '1'", "NOTIFY b, '2'", "NOTIFY c, '3'", "NOTIFY a, '4'", "LISTEN a", "UNLISTEN c", "NOTIFY b, '5'",
                                 "NOTIFY a, '6'", "COMMIT", "!a", "!b", "!c"],
    "own, unlistened and listened to": ["LISTEN a", "BEGIN", "NOTIFY a, '1'", "UNLISTEN a", "NOTIFY a, '2'", "LISTEN a", "NOTIFY a, '3'", "COMMIT", "!a"],
    "own, around a savepoint": ["LISTEN b", "BEGIN", "NOTIFY a, '1'", "SAVEPOINT s", "NOTIFY b, 'never'", "LISTEN c", "ROLLBACK TO s", "NOTIFY b, '2'", "LISTEN a", "COMMIT", "!a"],
    "own, and all are another": ["LISTEN a", "LISTEN b", "BEGIN", "NOTIFY a, '1'", "NOTIFY b, '2'", "UNLISTEN *", "LISTEN a", "NOTIFY a, '3'", "COMMIT", "!a", "!b"],
    "own, and all are another, in one string": ["LISTEN a", "LISTEN b", "BEGIN", "NOTIFY a, '1'", "NOTIFY c, '2'", "NOTIFY b, '3'", "NOTIFY a, '4'",
                                                "UNLISTEN *; LISTEN a; LISTEN c", "NOTIFY a, '5'", "COMMIT", "!a", "!b", "!c"],
    "own, twice, and all are the same": ["LISTEN a", "NOTIFY a, 'x'; UNLISTEN *; LISTEN a; NOTIFY a, 'y'", "!a", "NOTIFY a, 'x'; UNLISTEN *; LISTEN a", "!a"],
    "own, then listened to, rolled back": ["LISTEN b", "BEGIN", "NOTIFY a, 'mine'", "NOTIFY b, 'mine'", "LISTEN a", "ROLLBACK", "!a", "!b"],
    "own, unlistened": ["LISTEN a", "BEGIN", "NOTIFY a, 'never'", "UNLISTEN a", "COMMIT", "!a"],
    "discard all": ["LISTEN a", "!a", "DISCARD ALL", "!a", "LISTEN b", "!a", "!b"],
    "discard all, refused": ["LISTEN a", "BEGIN", "SELECT 1", "DISCARD ALL", "ROLLBACK", "!a"],
    "names": ['LISTEN "A b"', 'NOTIFY "A b", \'x\'', "LISTEN \"q\"\"'é\"", "NOTIFY \"q\"\"'é\", 'ü'", 'UNLISTEN "A b"', 'NOTIFY "A b", \'y\'', "!a"],
    "reset all": ["LISTEN a", "RESET ALL", "!a"],
    "read only": ["LISTEN a", "BEGIN READ ONLY", "UNLISTEN a", "LISTEN b", "COMMIT", "!a", "!b"],
    "serializable": ["LISTEN a", "BEGIN ISOLATION LEVEL SERIALIZABLE", "SELECT 1", "LISTEN b", "COMMIT", "!a", "!b"],
    "twice in a transaction": ["LISTEN a", "BEGIN", "LISTEN b", "UNLISTEN b", "LISTEN c", "UNLISTEN a", "COMMIT", "!a", "!b", "!c"],
    "all, then one": ["LISTEN a", "LISTEN b", "BEGIN", "UNLISTEN *", "LISTEN b", "COMMIT", "!a", "!b"],
    "all, then one, in one string": ["LISTEN a", "LISTEN b", "UNLISTEN *; LISTEN b", "!a", "!b"],
    "all in a savepoint": ["LISTEN a", "BEGIN", "SAVEPOINT s", "UNLISTEN *", "LISTEN b", "ROLLBACK TO s", "LISTEN c", "COMMIT", "!a", "!b", "!c"],
    "a hidden one": ["DO $$ BEGIN LISTEN a; END $$", "!b"],
    "beside a temporary table": ["CREATE TEMP TABLE own (n int)", "LISTEN a", "!a", "SELECT count(*) FROM own", "UNLISTEN a", "!a", "DROP TABLE own"],
}


def play(script, listener, sender, extended, expected=None, settle=lambda: None):
    """Runs the statements; a "!channel" is notified over another connection. What was said, what was heard, and how much of it by each step. expected:
    what another listener had heard by then, to be waited for: PostgreSQL, too, drops at UNLISTEN what it has not passed. settle: called between
    transactions."""
    said, by_then, status = [], [], "I"
    for number, step in enumerate(script):
        if step.startswith("!"):
            sender.ok(f"NOTIFY {step[1:]}, '{number}'")
            if expected is None:
                listener.query("SELECT 1")  # its backend has the signal by now, and passes what it was sent for
            elif status == "I":
                listener.until(lambda number=number: len(listener.heard) >= expected[number])
        else:
            result = listener.extended(step) if extended and ";" not in step else listener.query(step)
            status = result.status
            said.append((step, result.sqlstate, status))
            if status == "I":
                settle()
        by_then.append(len(listener.heard))
    listener.ok("ROLLBACK", "LISTEN \"the end\"")
    sender.ok("NOTIFY \"the end\"")
    listener.until_heard("the end", "")
    listener.ok("UNLISTEN *")
    heard = [entry for entry in listener.heard if entry[0] != "the end"]
    listener.forget()
    return (said, heard), by_then


@pytest.mark.parametrize("settled", [False, True], ids=["at_once", "settled"])
@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_semantics_are_those_of_a_connection_of_its_own(start, cluster, extended, settled):
    """At once: most of a script runs on the server that the client has for its first LISTEN. Settled: each transaction finds its client at the listener."""
    proxy = start(lanes={"default": 3})
    with direct(cluster) as own, ear(proxy) as client, direct(cluster) as sender, proxy.console() as console:

        def settle():
            system.eventually(lambda: all(row["state"] != "active" for row in console.show("CLIENTS") if row["database"] == "app"))

        for name, script in SCRIPTS.items():
            wanted, by_then = play(script, own, sender, extended)
            assert play(script, client, sender, extended, by_then, settle if settled and "beside" not in name else lambda: None)[0] == wanted, name
            assert [notice["C"] for notice in client.notices] == [notice["C"] for notice in own.notices], name


def check_moments(listener, sender, a, n):
    """What a client can tell for certain: what was notified, and acknowledged, before it says something, and what while it was in a transaction."""

    def notify(what):
        sender.ok(f"NOTIFY {a}, '{what}'")

    def heard():
        entries, listener.heard = listener.heard, []
        return [payload for _, payload in entries]

    listener.ok(f"LISTEN {a}", f"LISTEN {a}_too")
    for i in range(n):
        # Ahead of the answer of whatever comes next.
        for say in ("SELECT 1", "", f"LISTEN {a}", "UNLISTEN c", "BEGIN; ROLLBACK"):
            notify(f"{i} {say}")
            listener.ok(say)
            assert heard() == [f"{i} {say}"], say
        notify(f"{i} ahead")
        assert not listener.extended("SELECT 1").errors
        assert heard() == [f"{i} ahead"]
        # To who leaves the channel: what was said before, and nothing of what came in its transaction.
        for unlisten in (f"UNLISTEN {a}", "UNLISTEN *"):
            notify(f"{i} before")
            listener.ok(unlisten)
            assert heard() == [f"{i} before"], unlisten
            notify(f"{i} nobody hears")
            listener.ok(f"LISTEN {a}", "SELECT 1")
            assert not heard()
        notify(f"{i} before")
        listener.ok("BEGIN")
        assert heard() == [f"{i} before"]
        notify(f"{i} within")
        listener.ok(f"UNLISTEN {a}")
        notify(f"{i} later within")
        listener.ok("COMMIT", f"LISTEN {a}", "SELECT 1")
        assert not heard()
        # To who stays: all, when it ends.
        for leave in ([f"UNLISTEN {a}", "ROLLBACK"], [f"UNLISTEN {a}", f"LISTEN {a}", "COMMIT"], [f"LISTEN {a}_three", "COMMIT"], ["SELECT 1", "COMMIT"], ["COMMIT"]):
            listener.ok("BEGIN")
            notify(f"{i} within")
            listener.ok(*leave, "SELECT 1")
            assert heard() == [f"{i} within"], leave
        notify(f"{i} ahead of all")
        listener.ok("DISCARD ALL")
        assert heard() == [f"{i} ahead of all"]
        listener.ok(f"LISTEN {a}", f"LISTEN {a}_too")


@pytest.mark.parametrize("workers", [1, 2])
def test_moments_are_those_of_a_connection_of_its_own(start, cluster, workers):
    """Nobody waits for anything here: what must have come has come."""
    proxy, faults = start(lanes={"default": 8}, workers=workers), []
    with direct(cluster) as own, direct(cluster) as sender:
        check_moments(own, sender, "oracle", 1)

    def check(channel):
        try:
            with ear(proxy) as client, direct(cluster) as sender:
                check_moments(client, sender, channel, int(20 * SCALE) or 1)
        except BaseException as error:  # pylint: disable=broad-except
            faults.append((channel, error))

    threads = [threading.Thread(target=check, args=(f"c{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults


def test_listener_that_hangs_stops_nobody_for_long(start):
    """Its clients go on without it, as when it is lost, and hear what it was notified of when it goes on itself."""
    proxy = start(lanes={"default": 3})
    with ear(proxy) as client, ear(proxy) as second, proxy.client() as sender:
        client.ok("LISTEN a")
        second.ok("LISTEN a")
        until_served(proxy, 2)
        pid = listeners(proxy)[0]["remote_pid"]
        os.kill(pid, signal.SIGSTOP)
        try:
            sender.query("NOTIFY a, 'x'")
            for one in (client, second):
                one.client.send(wire.query("SELECT 1"))
            for one in (client, second):
                one.take(one.client.result().messages)
            begun = time.monotonic()
            client.ok(*["SELECT 1", "BEGIN", "SELECT 1", "COMMIT"] * 10)
            assert time.monotonic() - begun < 10, "each waits anew"
            assert not client.heard and not second.heard
        finally:
            os.kill(pid, signal.SIGCONT)
        for one in (client, second):
            one.until_heard("a", "x")
        sender.query("NOTIFY a, 'y'")
        client.ok("SELECT 1")
        assert client.payloads("a") == ["x", "y"]


def test_what_waits_for_a_reader_is_ahead_of_its_unlisten(start):
    proxy, n = start(lanes={"default": 4}, max_listen_bytes=4 << 20), 300
    with ear(proxy) as client, proxy.client() as sender:
        client.ok("LISTEN a")
        until_served(proxy, 1)
        client.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for number in range(n):
            assert not sender.query(f"NOTIFY a, '{number:05} {'x' * 7000}'").errors
        client.client.send(wire.query("UNLISTEN a"))
        client.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        client.take(client.client.result().messages)
        assert [int(payload[:5]) for payload in client.payloads("a")] == list(range(n))


def test_a_pin_without_a_question_is_in_no_doubt(start):
    """Who keeps its server for currval() alone has nothing that is asked for: it hears as it goes."""
    proxy = start(lanes={"default": 4}, sequence_state="pin")
    with ear(proxy) as client, proxy.client() as sender:
        client.ok("CREATE TABLE IF NOT EXISTS public.heard (n serial)", "LISTEN a")
        until_served(proxy, 1)
        for number in range(20):
            client.ok("INSERT INTO public.heard DEFAULT VALUES", "SET work_memory.own = 1", "SELECT currval('public.heard_n_seq')", "INSERT INTO public.heard DEFAULT VALUES")
            sender.query(f"NOTIFY a, '{number}'")
            client.ok("BEGIN", "DISCARD TEMP", "COMMIT")
            client.ok("SELECT 1")
            assert client.payloads("a") == [str(n) for n in range(number + 1)]


def test_nothing_interrupts_a_transaction(start, cluster):
    """As PostgreSQL: what comes while a statement runs or a transaction is open arrives when it ends, ahead of its ReadyForQuery."""
    proxy = start(lanes={"default": 4})
    with ear(proxy) as client, ear(proxy) as witness, proxy.client() as sender:
        client.ok("LISTEN a")
        witness.ok("LISTEN a")
        until_served(proxy, 2)
        client.client.send(wire.query("SELECT pg_sleep(1)"))
        system.eventually(lambda: cluster.run("SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(1)'"))
        sender.query("NOTIFY a, 'during'")
        messages = client.client.receive_until("Z")
        client.take(messages)
        client.until_heard("a", "during")
        kinds = "".join(kind for kind, _ in messages)
        assert kinds in ("TDCAZ", "TDCZ"), kinds
        for begin in ("BEGIN", "BEGIN; SELECT 1"):
            client.forget()
            client.ok(begin)
            sender.query("NOTIFY a, 'within'")
            witness.until_heard("a", "within")
            witness.forget()
            client.ok("SELECT 1", "SELECT 2")
            assert not client.heard
            result = client.query("COMMIT")
            assert result.kinds in ("CAZ", "CZ"), result.kinds
            client.until_heard("a", "within")
        # A batch that is open.
        client.forget()
        client.client.send(wire.parse("", "SELECT 1"), wire.FLUSH)
        client.client.receive_until("1")
        sender.query("NOTIFY a, 'batch'")
        witness.until_heard("a", "batch")
        result = client.client.exchange(wire.bind("", ""), wire.execute())
        assert result.kinds in ("2DCAZ", "2DCZ"), result.kinds
        client.take(result.messages)
        client.until_heard("a", "batch")


def test_order_of_many_senders(start, cluster):
    proxy = start(lanes={"default": 6})
    n_senders, n_each = 6, int(150 * SCALE) or 1
    with ear(proxy) as client, ear(proxy) as second, direct(cluster) as own:
        for one in (client, second, own):
            one.ok("LISTEN a", "LISTEN b")
        until_served(proxy, 2)

        def send(number):
            with proxy.client() as sender:
                for i in range(n_each):
                    assert not sender.query(f"BEGIN; NOTIFY a, '{number} {i}'; NOTIFY b, '{number} {i}'; COMMIT").errors

        threads = [threading.Thread(target=send, args=(number,)) for number in range(n_senders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for one in (client, second, own):
            one.until(lambda one=one: len(one.heard) >= 2 * n_senders * n_each)
        assert client.heard == own.heard and second.heard == own.heard


def test_pools_are_apart(start):
    proxy = start(lanes={"default": 8})
    with ear(proxy) as app, ear(proxy, user="u_other") as user, ear(proxy, database="other") as database:
        everybody = (app, user, database)
        for client in everybody:
            client.ok("LISTEN a")
        until_served(proxy, 3)
        assert sorted((row["database"], row["user"]) for row in listeners(proxy)) == [("app", "app"), ("app", "u_other"), ("other", "app")]
        app.ok("NOTIFY a, 'of app'")
        database.ok("NOTIFY a, 'of other'")
        for client in everybody:
            client.until(lambda client=client: client.heard)
            client.ok("SELECT 1")
        assert [client.heard for client in everybody] == [[("a", "of app")], [("a", "of app")], [("a", "of other")]]


def test_listener_is_lost(start, cluster):
    proxy = start(lanes={"default": 3}, server_login_retry="0.2")
    with ear(proxy) as client, ear(proxy) as second, proxy.client() as sender:
        client.ok("LISTEN a", "LISTEN b")
        second.ok("LISTEN b")
        until_served(proxy, 2)
        row, = listeners(proxy)
        cluster.run(f"SELECT pg_terminate_backend({row['remote_pid']})")
        for one in (client, second):
            one.until(lambda one=one: one.notices)
            assert (one.notices[0]["S"], one.notices[0]["C"], one.notices[0]["M"]) == ("NOTICE", "01000", "notifications may have been missed")
        for channel in "ab":
            sender.query(f"NOTIFY {channel}, 'on it goes'")
        client.until(lambda: len(client.heard) == 2)
        second.until_heard("b", "on it goes")
        again, = listeners(proxy)
        assert again["reconnects"] == 1 and again["remote_pid"] != row["remote_pid"]
        client.ok("UNLISTEN a")
        sender.query("NOTIFY a, 'not heard'")
        sender.query("NOTIFY b, 'the end'")
        client.until_heard("b", "the end")
        assert client.payloads("a") == ["on it goes"]


@pytest.mark.parametrize("command", ["RECONNECT", "PAUSE"])
def test_console_takes_the_connection(start, command):
    proxy = start(lanes={"default": 3})
    with ear(proxy) as client, proxy.client() as sender:
        client.ok("LISTEN a")
        until_served(proxy, 1)
        with proxy.console() as console:
            console.run(f"{command} app")
            if command == "PAUSE":
                assert not [row for row in console.show("SERVERS") if row["database"] == "app"]
                console.run("RESUME app")
        client.until(lambda: client.notices)
        sender.query("NOTIFY a, 'again'")
        client.until_heard("a", "again")


def test_kill_ends_everything(start):
    proxy = start(lanes={"default": 3})
    client = ear(proxy).ok("LISTEN a")
    until_served(proxy, 1)
    with proxy.console() as console:
        console.run("KILL app")
        assert client.client.fatal().sqlstate == "57P01"
        system.eventually(lambda: not [row for row in console.show("SERVERS") if row["database"] == "app"])
        console.run("RESUME app")
    with ear(proxy) as again:
        again.ok("LISTEN a", "NOTIFY a, 'x'")
        again.until_heard("a", "x")


def test_channels_are_bounded(start):
    proxy = start(lanes={"default": 4}, max_listen_channels=3)
    with ear(proxy) as client, ear(proxy) as other:
        client.ok("LISTEN a", "LISTEN b", "LISTEN c", "LISTEN a")
        until_served(proxy, 1)
        for refused in (client.query("LISTEN d"), client.extended("LISTEN d")):
            assert (refused.sqlstate, refused.status) == ("53400", "I"), refused.messages
            assert refused.errors[0].fields["D"] == "This client listens to 3; max_listen_channels is 3."
        client.ok("NOTIFY c, 'x'")
        client.until_heard("c", "x")
        # The listener has no room for it: its own server keeps it, and counts as a pin.
        other.ok("LISTEN e")
        system.eventually(lambda: [row["reason"] for row in pins(proxy)] == ["listen"])
        client.ok("NOTIFY e, 'y'")
        other.until_heard("e", "y")
        client.ok("UNLISTEN b", "LISTEN a")
        until_served(proxy, 2)
        client.ok("NOTIFY e, 'z'")
        other.until_heard("e", "z")
        assert other.heard == [("e", "y"), ("e", "z")]


def test_without_listeners_its_server_keeps_them(start):
    for settings in ({"max_listen_channels": 0}, {"on_session_state": "pin"}, {"lanes": {"default": 1}}):
        proxy = start(**{"lanes": {"default": 3}, **settings})
        with ear(proxy) as client:
            client.ok("LISTEN a", "NOTIFY a, 'x'")
            client.until_heard("a", "x")
            system.eventually(lambda proxy=proxy: [row["reason"] for row in pins(proxy)] == ["listen"])
            assert not listeners(proxy)
            client.ok("UNLISTEN a")
            system.eventually(lambda proxy=proxy: not pins(proxy))


def test_slow_reader_is_ended_and_stops_nobody(start):
    proxy = start(lanes={"default": 4}, max_listen_bytes=65536)
    with ear(proxy) as client, ear(proxy) as sleeper, proxy.client() as sender:
        for one in (client, sleeper):
            one.ok("LISTEN a")
        until_served(proxy, 2)
        sleeper.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        before, sent = proxy.resident_bytes(), 0
        with proxy.console() as console:
            while sum(row["clients"] for row in console.show("LISTENERS")) == 2:
                for _ in range(50):
                    assert not sender.query(f"NOTIFY a, '{sent:05} {'x' * 7000}'").errors
                    sent += 1
                client.until(lambda: len(client.heard) == sent)
                assert sent < 5000
        assert [payload[:5] for payload in client.payloads("a")] == [f"{number:05}" for number in range(sent)]
        assert proxy.resident_bytes() - before < 64 << 20
        assert "too many notifications wait" in proxy.log_text()


def test_transaction_that_never_ends_is_ended(start):
    proxy = start(lanes={"default": 4}, max_listen_bytes=16384)
    with ear(proxy) as client, proxy.client() as sender:
        client.ok("LISTEN a")
        until_served(proxy, 1)
        client.ok("BEGIN")
        client.ok("SELECT 1")
        for number in range(10):
            sender.query(f"NOTIFY a, '{number} {'x' * 7000}'")
        fault = client.client.fatal()
        assert (fault.sqlstate, fault.fields["M"]) == ("53400", "terminating connection because too many notifications wait")
        assert fault.fields["D"] == "2 notifications waited for it to read, or to end its transaction; max_listen_bytes is 16384."


def test_encoding_of_the_listener(start):
    """Notifications come in the encoding of the connection that hears them: who has another one keeps its server."""
    proxy = start(lanes={"default": 4})
    with ear(proxy, client_encoding="LATIN1") as client, proxy.client() as sender:
        client.ok("LISTEN a")
        system.eventually(lambda: [row["reason"] for row in pins(proxy)] == ["listen"])
        sender.query("NOTIFY a, 'é'")
        messages = client.client.receive_until("A")
        assert messages[-1][1][4:] == b"a\0\xe9\0"
    with ear(proxy) as client, proxy.client() as sender:
        client.ok("LISTEN a")
        until_served(proxy, 1)
        client.ok("SET client_encoding = 'LATIN1'")
        sender.query("NOTIFY a, 'ascii'")
        client.until_heard("a", "ascii")
        sender.query("NOTIFY a, 'é'")
        assert client.client.fatal().sqlstate == "22021"


def test_users_with_passwords(start):
    """The listener logs in as its user does: by SCRAM, with the keys of the client's login."""
    secret = wire.scram_secret("scram secret é")
    proxy = start(lanes={"default": 4}, auth_type="scram-sha-256", secrets={"u_scram": "scram secret é", "app": "app-secret"})
    assert secret
    with ear(proxy, user="u_scram", password="scram secret é") as client:
        client.ok("LISTEN a", "NOTIFY a, 'x'")
        client.until_heard("a", "x")


def walk_at_random(proxy, listeners_, n_steps, meanwhile=lambda: None):
    """(kind of Walk, how it connects) for each; all at a time, while others notify."""
    seed = int(os.environ.get("PGLANE_TEST_SEED", random.randrange(1 << 32)))
    print("seed", seed)
    rng, faults = random.Random(seed), []
    channels, done = [f"c{i}" for i in range(5)], threading.Event()
    acknowledged, lock = {channel: [] for channel in channels}, threading.Lock()  # (number, begun, acknowledged)

    def send(channel):
        with proxy.client() as sender:
            number = 0
            while not done.is_set():
                begun = time.monotonic()
                assert not sender.query(f"NOTIFY {channel}, '{number}'").errors
                with lock:
                    acknowledged[channel].append((number, begun, time.monotonic()))
                number += 1
                time.sleep(0.002)

    def walk(kind, connect, seed):
        try:
            kind(random.Random(seed), connect(), channels, acknowledged, lock).run(n_steps)
        except BaseException as error:  # pylint: disable=broad-except
            faults.append((seed, error))

    def disturb():
        while not done.is_set():
            meanwhile()
            time.sleep(0.1)

    others = [threading.Thread(target=send, args=(channel,)) for channel in channels] + [threading.Thread(target=disturb)]
    walkers = [threading.Thread(target=walk, args=(kind, connect, rng.randrange(1 << 32))) for kind, connect in listeners_]
    for thread in others + walkers:
        thread.start()
    for thread in walkers:
        thread.join()
    done.set()
    for thread in others:
        thread.join()
    assert not faults, (seed, faults)


def test_random_walk(start, cluster):
    """Clients listen, unlisten, commit and roll back at random while others notify: each hears exactly what it must."""
    proxy = start(lanes={"default": 6})
    walk_at_random(proxy, [(Walk, lambda: ear(proxy))] * 6 + [(Walk, lambda: direct(cluster))] * 2, int(40 * SCALE) or 1)


def test_random_walk_while_the_listener_is_lost(start, cluster):
    """What it misses it misses; nothing comes twice, out of order, or to who does not listen."""
    proxy = start(lanes={"default": 8}, server_login_retry="0.1")

    def kill():
        for row in listeners(proxy):
            cluster.run(f"SELECT pg_terminate_backend({row['remote_pid']}) WHERE {row['remote_pid']} <> 0")

    walk_at_random(proxy, [(WalkWithLosses, lambda: ear(proxy))] * 6, int(60 * SCALE) or 1, kill)


class Walk:
    """One client of the random walk. It knows from when to when it surely listened to a channel, and when perhaps."""

    may_miss = False

    def __init__(self, rng, listener, channels, acknowledged, lock):
        self.rng, self.listener, self.channels, self.acknowledged, self.lock = rng, listener, channels, acknowledged, lock
        self.now = set()     # what it listens to
        self.caught_up = 0   # when
        self.sure = {channel: [] for channel in channels}  # [from, to] of answered LISTEN to the last time it had heard all
        self.maybe = {channel: [] for channel in channels}  # from sent LISTEN to answered UNLISTEN
        self.opened = {}

    def catch_up(self):
        """What was acknowledged before is heard. What comes later an UNLISTEN may lose: PostgreSQL, too, passes nothing behind it."""
        with self.lock:
            self.caught_up = time.monotonic()
            due = {channel: [n for n, begun, _ in self.acknowledged[channel] if begun > self.opened[channel][1]] for channel in self.now}
        for channel, numbers in due.items():
            if numbers:
                self.listener.until_heard(channel, str(numbers[-1]))

    def change(self, wanted, sent):
        answered = time.monotonic()
        for channel in wanted - self.now:
            self.opened[channel] = (sent, answered)
        for channel in self.now - wanted:
            begun, sure = self.opened.pop(channel)
            self.sure[channel].append((sure, self.caught_up))
            self.maybe[channel].append((begun, answered))
        self.now = wanted

    def statements(self):
        """A few at random, and what is listened to behind them when they are committed."""
        listening, stack, texts = set(self.now), [], []
        for _ in range(self.rng.randint(1, 4)):
            what, channel = self.rng.random(), self.rng.choice(self.channels)
            if what < 0.5:
                texts.append(f"LISTEN {channel}")
                listening = listening | {channel}
            elif what < 0.75:
                texts.append(f"UNLISTEN {channel}")
                listening = listening - {channel}
            elif what < 0.8:
                texts.append("UNLISTEN *")
                listening = set()
            elif what < 0.9:
                texts.append(f"SAVEPOINT s{len(stack)}")
                stack.append(listening)
            elif stack:
                listening = stack[-1]
                texts.append(f"ROLLBACK TO s{len(stack) - 1}")
        return texts, listening

    def step(self):
        what = self.rng.random()
        if what < 0.3:
            self.listener.ok(self.rng.choice(["SELECT 1", "SELECT pg_sleep(0.01)", "BEGIN; SELECT 1; COMMIT"]))
            return
        self.catch_up()
        sent = time.monotonic()
        if what < 0.6:
            channel = self.rng.choice(self.channels)
            listens = self.rng.random() < 0.6
            run = self.listener.extended if self.rng.random() < 0.5 else self.listener.query
            assert not run(f"{'LISTEN' if listens else 'UNLISTEN'} {channel}").errors
            self.change(self.now | {channel} if listens else self.now - {channel}, sent)
            return
        texts, listening = self.statements()
        commits = self.rng.random() < 0.7
        self.listener.ok("BEGIN", *(["SELECT 1"] if self.rng.random() < 0.5 else []))
        self.listener.ok(*texts)
        self.listener.ok("COMMIT" if commits else "ROLLBACK")
        # A transaction that unlistens drops what came while it was open, when it is committed.
        self.change(listening if commits else set(self.now), sent)

    def run(self, n_steps):
        for _ in range(n_steps):
            self.step()
            time.sleep(self.rng.random() * 0.01)
        self.catch_up()
        self.change(set(), time.monotonic())
        self.check()
        self.listener.client.close()

    def check(self):
        for channel in self.channels:
            heard = [int(payload) for payload in self.listener.payloads(channel)]
            assert heard == sorted(set(heard)), (channel, "twice or out of order", heard)
            for number, begun, ended in list(self.acknowledged[channel]):
                must = any(sure <= begun and ended <= until for sure, until in self.sure[channel])
                may = any(first <= ended and begun <= last for first, last in self.maybe[channel])
                assert self.may_miss or not must or number in heard, (channel, number, "lost", begun, ended, self.sure[channel])
                assert may or number not in heard, (channel, number, "heard, though it did not listen", begun, ended, self.maybe[channel])


class WalkWithLosses(Walk):
    may_miss = True

    def catch_up(self):
        self.caught_up = time.monotonic()


def test_database_that_restarts(start, cluster):
    """It is listened again as soon as PostgreSQL is there; a reload meanwhile finds the listener's permit in order."""
    proxy = start(lanes={"default": 3}, server_login_retry="0.3")
    with ear(proxy) as client, ear(proxy) as late, proxy.client() as sender:
        client.ok("LISTEN a")
        until_served(proxy, 1)
        cluster.stop()
        try:
            system.eventually(lambda: [row["state"] for row in listeners(proxy)] in (["lost"], ["login"]))
            proxy.reload()
            assert client.query("LISTEN b").errors
        finally:
            cluster.start()
        client.until(lambda: client.notices)
        system.eventually(lambda: not sender.query("SELECT 1").errors)
        late.ok("LISTEN a")
        sender.query("NOTIFY a, 'x'")
        for one in (client, late):
            one.until_heard("a", "x")
        assert [row["state"] for row in listeners(proxy)] == ["active"]


def test_all_permits_are_wanted_at_once(start):
    """The listener gets its permit, though everybody who listens first waits for it."""
    proxy = start(lanes={"default": 2}, queue_timeout=60)
    clients = [ear(proxy) for _ in range(12)]
    for number, client in enumerate(clients):
        client.client.send(wire.query("LISTEN a") if number % 2 else wire.query("BEGIN; LISTEN a; SELECT pg_sleep(0.01); COMMIT"))
    for client in clients:
        result = client.client.result()
        assert not result.errors, result.errors
    until_served(proxy, len(clients))
    with proxy.client() as sender:
        sender.query("NOTIFY a, 'x'")
    for client in clients:
        client.until_heard("a", "x")
        client.client.close()


def test_listening_in_statement_pooling(start):
    proxy = start(lanes={"default": 2}, pool_mode="statement")
    with ear(proxy) as client, proxy.client() as sender:
        client.ok("LISTEN a", "LISTEN b", "UNLISTEN a")
        until_served(proxy, 1)
        sender.query("NOTIFY a, 'x'")
        sender.query("NOTIFY b, 'x'")
        client.until_heard("b", "x")
        assert not client.payloads("a")


def test_shutdown_ends_the_listener(start):
    proxy = start(lanes={"default": 2})
    client = ear(proxy).ok("LISTEN a")
    until_served(proxy, 1)
    with proxy.console() as console:
        console.run("SHUTDOWN WAIT_FOR_SERVERS")
    assert client.client.fatal().sqlstate == "57P01"
    assert proxy.process.wait(20) == 0
