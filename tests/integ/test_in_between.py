# SPDX-License-Identifier: ISC
"""What happens between two messages: ends, errors and cancels that come when something is half done. Whoever is served next must not notice."""

import os
import re
import signal
import socket
import threading

import psycopg2
import pytest

from harness import system, wire
from harness.traffic import memory_limit


class Stopped:
    """A backend that does nothing until the block ends."""

    def __init__(self, pid):
        self.pid = int(pid)

    def __enter__(self):
        os.kill(self.pid, signal.SIGSTOP)
        return self

    def __exit__(self, *exc):
        os.kill(self.pid, signal.SIGCONT)


def in_use(proxy):
    with proxy.console() as console:
        return {row["lane"]: row["in_use"] for row in console.show("LANES") if row["in_use"]}


def waiting(proxy, lane="default"):
    with proxy.console() as console:
        return {row["lane"]: row["waiting"] for row in console.show("LANES")}[lane]


def end_backend(cluster, pid):
    cluster.run("SELECT pg_terminate_backend(%s)", arguments=(int(pid),))
    system.eventually(lambda: not cluster.run("SELECT FROM pg_stat_activity WHERE pid = %s", arguments=(int(pid),)))


# ---- logins ----

def test_client_leaves_while_its_parameters_are_tried(start):
    """The server that was to say what they become is nobody's welcome afterwards."""
    proxy = start(lanes={"default": 1}, workers=1)
    pid = proxy.run("SELECT pg_backend_pid()")[0][0]
    with Stopped(pid):
        leaver = proxy.raw()
        leaver.send(wire.startup_packet({"user": "app", "database": "app", "extra_float_digits": "2", "DateStyle": "German"}))
        system.eventually(lambda: in_use(proxy) == {"default": 1}, what="the login's permit")
        leaver.close()
    system.eventually(lambda: not in_use(proxy), what="the permit's return")
    with proxy.client() as client:
        assert client.query("SELECT 1").value == "1"
        assert client.query("SHOW DateStyle").value == client.parameters["DateStyle"]


def test_console_statement_sent_with_the_startup_packet(start):
    proxy = start()
    with proxy.raw() as client:
        client.send(wire.startup_packet({"user": "app", "database": "pglane"}), wire.query("SHOW VERSION"))
        client.receive_until("Z")
        assert len(client.result().rows) == 1


# ---- a server that is lost while its client says nothing ----

def lose_idle_transaction(proxy, cluster, client, table):
    cluster.run(f"CREATE TABLE IF NOT EXISTS {table} (n int); GRANT ALL ON {table} TO PUBLIC", "app")
    client.query("BEGIN")
    client.query(f"INSERT INTO {table} VALUES (1)")
    end_backend(cluster, client.query("SELECT pg_backend_pid()").value)
    system.eventually(lambda: not in_use(proxy), what="the permit's return")


def test_commit_of_a_lost_transaction_is_an_error(shared, cluster):
    """COMMIT that says ROLLBACK is read by nobody: who was not told before is told now."""
    with shared.client() as client:
        lose_idle_transaction(shared, cluster, client, "between_commit")
        result = client.query("COMMIT")
        assert result.errors and result.status == "I", result.messages
        assert client.query("SELECT count(*) FROM between_commit").value == "0"
        assert client.query("COMMIT").tags == ["COMMIT"], "once is enough"


def test_commit_of_a_lost_transaction_in_the_extended_protocol(shared, cluster):
    with shared.client() as client:
        lose_idle_transaction(shared, cluster, client, "between_commit")
        result = client.extended("COMMIT")
        assert result.errors and result.status == "I", result.messages
        assert client.extended("SELECT count(*) FROM between_commit").value == "0"


def test_rollback_of_a_lost_transaction(shared, cluster):
    for end in (lambda client: client.query("ROLLBACK"), lambda client: client.extended("ROLLBACK")):
        with shared.client() as client:
            lose_idle_transaction(shared, cluster, client, "between_commit")
            result = end(client)
            assert result.tags == ["ROLLBACK"] and result.status == "I", result.messages


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("protocol", ["simple", "extended", "described", "named", "bound"])
def test_the_end_of_a_lost_transaction_needs_no_server(start, cluster, protocol, told):
    """Others have the lane, or PostgreSQL is down: a driver's rollback() is answered all the same."""
    proxy = start(lanes={"default": 1}, queue_timeout="60s")
    execution = {"extended": [], "described": [wire.describe("P", "")], "named": [], "bound": []}
    name = "end" if protocol in ("named", "bound") else ""
    with proxy.client() as holder, proxy.client() as client:
        if protocol == "bound":
            client.exchange(wire.parse(name, "ROLLBACK"))
        lose_idle_transaction(proxy, cluster, client, "between_commit")
        if told:
            assert client.query("SELECT 1").sqlstate == "08006"
        holder.query("BEGIN")
        holder.query("SELECT 1")
        if protocol == "simple":
            result = client.query("ROLLBACK")
        else:
            parse = [] if protocol == "bound" else [wire.parse(name, "ROLLBACK")]
            result = client.exchange(*parse, wire.bind("", name), *execution[protocol], wire.execute())
        assert result.tags == ["ROLLBACK"] and not result.errors and result.status == "I", result.messages
        holder.query("COMMIT")
        assert client.query("SELECT count(*) FROM between_commit").value == "0"
        if name:
            assert client.exchange(wire.bind("", name), wire.execute()).tags == ["ROLLBACK"], "the name is there"


def test_commit_of_a_failed_transaction_says_rollback(start):
    """Failed here, not on a server: the tag is the same, in both protocols."""
    proxy = start(lanes={"default": 1}, queue_timeout="200ms")
    with proxy.client() as holder, proxy.client() as client:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        for commit in (lambda: client.query("COMMIT"), lambda: client.extended("COMMIT"),
                       lambda: client.exchange(wire.bind("", "commit"), wire.execute())):
            holder.query("COMMIT")
            client.exchange(wire.close("S", "commit"), wire.parse("commit", "COMMIT"))
            holder.query("BEGIN")
            holder.query("SELECT 1")
            client.query("BEGIN")
            assert client.query("SELECT 1").sqlstate == "53300"
            result = commit()
            holder.query("COMMIT")
            assert result.tags == ["ROLLBACK"] and not result.errors and result.status == "I", result.messages


ENDS_AND_MORE = {"ROLLBACK AND CHAIN": (["ROLLBACK"], "T"), "COMMIT AND CHAIN": (["ROLLBACK"], "T"), "ROLLBACK; BEGIN": (["ROLLBACK", "BEGIN"], "T"),
                 "COMMIT; SELECT 1": (["ROLLBACK", "SELECT 1"], "I"), "END; SELECT 1; BEGIN": (["ROLLBACK", "SELECT 1", "BEGIN"], "T"),
                 "ROLLBACK; SELECT 1/0": (["ROLLBACK"], "I"), "SELECT 1; COMMIT": ([], "E"), "SAVEPOINT a; ROLLBACK": ([], "E")}


@pytest.mark.parametrize("text", ENDS_AND_MORE)
def test_end_and_more_of_a_transaction_that_failed_here(start, cluster, text):
    """As PostgreSQL does it: the end is heard, and what comes behind it in its text."""
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, wire.RawClient("127.0.0.1", cluster.port, 30).login() as oracle:
        for extended in [False, True][:1 if ";" in text else 2]:
            for side in (client, oracle):
                side.query("BEGIN")
                assert side.exchange(wire.bind("", "unknown"), wire.execute()).sqlstate == "26000"
                assert side.query("SELECT 1").sqlstate == "25P02"
                result = side.extended(text) if extended else side.query(text)
                assert (result.tags, result.status) == ENDS_AND_MORE[text], result.messages
                side.query("ROLLBACK")
                assert side.query("SELECT 2").value == "2"


def test_function_call_in_a_lost_transaction(shared, cluster):
    """The fast path is no way around: what follows would be outside of any transaction."""
    with shared.client() as client:
        lose_idle_transaction(shared, cluster, client, "between_commit")
        oid = 1598  # random()
        for _ in range(2):
            client.send(wire.message("F", oid.to_bytes(4, "big") + bytes(2) + bytes(2) + bytes(2)))
            result = client.result()
            assert result.errors and result.status == "E", result.messages
        assert client.query("SELECT 1").sqlstate == "25P02"
        assert client.query("ROLLBACK").status == "I"


# ---- errors of pglane's own while a server is linked ----

def test_own_error_inside_a_transaction_fails_it_on_the_server_too(start):
    proxy = start(lanes={"default": 1}, max_client_prepared_bytes=2000)
    proxy.run("CREATE TABLE between_own (n int)")
    with proxy.client() as client:
        client.query("BEGIN")
        client.query("INSERT INTO between_own VALUES (1)")
        refused = client.exchange(wire.parse("long", f"SELECT '{'x' * 3000}'"))
        assert refused.errors and refused.status == "E", refused.messages
        assert client.query("SELECT 1").sqlstate == "25P02"
        assert client.query("ROLLBACK").tags == ["ROLLBACK"]
        assert client.query("SELECT count(*) FROM between_own").value == "0"
        assert client.query("COMMIT").status == "I"
    assert proxy.run("SELECT count(*) FROM between_own") == [(0,)]


def test_own_error_comes_in_order_and_undoes_its_batch(start):
    proxy = start(lanes={"default": 1}, max_client_prepared_bytes=2000)
    proxy.run("CREATE TABLE between_batch (n int)")
    with proxy.client() as client:
        result = client.exchange(wire.parse("", "INSERT INTO between_batch VALUES (1)"), wire.bind("", ""), wire.execute(),
                                 wire.parse("long", f"SELECT '{'x' * 3000}'"), wire.bind("", "long"), wire.execute())
        assert result.kinds == "12CEZ" and result.status == "I", result.messages
        assert "prepared" in str(result.errors[0])
        assert client.query("SELECT count(*) FROM between_batch").value == "0"
        assert client.extended("SELECT 2").value == "2"
        assert client.exchange(wire.bind("", "long")).sqlstate == "26000"


# ---- prepared statements ----

def test_eviction_that_was_not_heard(start):
    """The Close of an evicted copy behind an error is skipped by the server: the copy is still there."""
    proxy = start(lanes={"default": 1}, max_prepared_statements=1)
    with proxy.client() as client:
        assert client.exchange(wire.parse("one", "SELECT $1::int")).kinds == "1Z"
        failed = client.exchange(wire.bind("", "one", ["x"]), wire.execute(), wire.parse("two", "SELECT 2"), wire.bind("", "two"), wire.execute())
        assert failed.sqlstate == "22P02"
        for _ in range(2):
            assert client.exchange(wire.bind("", "one", [1]), wire.execute()).value == "1"
            assert client.exchange(wire.close("S", "two"), wire.parse("two", "SELECT 2"), wire.bind("", "two"), wire.execute()).value == "2"


def test_eviction_while_a_bind_is_on_its_way(start):
    """The Close of an evicted copy is not put into the middle of a Bind that comes in pieces."""
    proxy = start(lanes={"default": 1}, workers=1, max_prepared_statements=1)
    with proxy.client() as client, proxy.console() as console:
        for name in ("one", "two"):
            client.exchange(wire.parse(name, f"SELECT $1::text || '{name}'"))
        for name in ("one", "two", "one"):
            bind, received = wire.bind("", name, ["v" * 3000]), stat(console, "total_received")
            client.send(bind[:2000])
            system.eventually(lambda: stat(console, "total_received") >= received + 2000)
            client.send(bind[2000:] + wire.execute() + wire.SYNC)
            assert client.result().value == "v" * 3000 + name


def stat(console, column):
    return sum(row[column] for row in console.show("STATS") if row["database"] == "app")


def test_close_behind_an_error_did_not_happen(shared):
    with shared.client() as client:
        assert client.exchange(wire.parse("kept", "SELECT 'kept'"), wire.parse("bad", "SELECT $1::int")).kinds == "11Z"
        assert client.exchange(wire.bind("", "bad", ["x"]), wire.close("S", "kept")).sqlstate == "22P02"
        assert client.exchange(wire.bind("", "kept"), wire.execute()).value == "kept"
        failed = client.exchange(wire.bind("", "bad", ["x"]), wire.close("S", "kept"), wire.parse("kept", "SELECT 'other'"), wire.close("S", "kept"))
        assert failed.sqlstate == "22P02"
        assert client.exchange(wire.bind("", "kept"), wire.execute()).value == "kept"
        assert client.exchange(wire.parse("kept", "SELECT 1")).sqlstate == "42P05"
        assert client.exchange(wire.close("S", "kept"), wire.parse("kept", "SELECT 'new'"), wire.bind("", "kept", ["too many"])).errors
        assert client.exchange(wire.bind("", "kept"), wire.execute()).value == "new", "only what came behind the error is undone"


def test_deallocate_all_prepared_in_one_batch_and_run_in_another(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        for user in (client, other):
            assert user.exchange(wire.parse("s", "SELECT 's'")).kinds == "1Z"
        assert client.exchange(wire.parse("", "DEALLOCATE ALL"), wire.describe("S")).kinds == "1tnZ"
        assert client.exchange(wire.bind("", "s"), wire.execute()).value == "s", "nothing was run yet"
        assert client.exchange(wire.parse("", "DEALLOCATE ALL"), wire.describe("S")).kinds == "1tnZ"
        assert client.exchange(wire.bind("", ""), wire.execute()).tags == ["DEALLOCATE ALL"]
        assert other.exchange(wire.bind("", "s"), wire.execute()).value == "s", "the other's is prepared again"
        assert client.exchange(wire.bind("", "s"), wire.execute()).sqlstate == "26000"


@pytest.mark.parametrize("text", ["DISCARD ALL", "DEALLOCATE ALL"])
@pytest.mark.parametrize("pinned", [True, False])
def test_deallocate_all_that_fails_takes_nothing(start, text, pinned):
    """Its client stays with the server, and goes on with what it has prepared there."""
    proxy = start(lanes={"default": 1})
    with proxy.client() as client:
        client.exchange(wire.parse("s", "SELECT 's'"))
        if pinned:
            client.query("CREATE TEMP TABLE pinning (n int)")
        client.query("BEGIN")
        client.query("SAVEPOINT a")
        if text == "DEALLOCATE ALL":
            client.query("SELECT 1/0")
        assert client.exchange(wire.parse("", text), wire.bind("", ""), wire.execute()).sqlstate == ("25001" if text == "DISCARD ALL" else "25P02")
        client.query("ROLLBACK TO a")
        for _ in range(2):
            assert client.exchange(wire.bind("", "s"), wire.execute()).value == "s"
        client.query("COMMIT")
        assert client.exchange(wire.bind("", "s"), wire.execute()).value == "s"


# ---- clocks ----

def test_open_batch_does_not_run_out_of_time(start):
    """A batch that was flushed and waits for its client runs no statement."""
    proxy = start(lanes={"default": 1}, cancel_grace="500ms", sections={"lane:default": {"permits": 1, "statement_timeout": "500ms"}})
    with proxy.client() as client, proxy.client() as other:
        client.send(wire.parse("", "SELECT generate_series(1, 3)"), wire.bind("", ""), wire.execute("", 1), wire.FLUSH)
        client.receive_until("s")
        other.query("BEGIN")
        # The clock that must not run is measured by one that does: a statement of another client times out meanwhile.
        other_result = other.query("/*ml_class='vector'*/ SELECT pg_sleep(2.5)")
        assert not other_result.errors
        other.query("COMMIT")
        client.send(wire.execute("", 0), wire.SYNC)
        result = client.result()
        assert result.kinds == "DDCZ", result.messages


def test_lane_timeout_of_a_later_part_of_an_open_batch(start):
    proxy = start(sections={"lane:default": {"permits": 1, "statement_timeout": "500ms"}}, lanes={"default": 1})
    with proxy.client() as client:
        client.send(wire.parse("", "SELECT 1"), wire.bind("", ""), wire.execute(), wire.FLUSH)
        client.receive_until("C")
        client.send(wire.parse("", "SELECT pg_sleep(30)"), wire.bind("", ""), wire.execute(), wire.SYNC)
        assert client.result().sqlstate == "57014"


# ---- batches that end in other ways than Sync ----

def test_query_behind_an_open_batch_ends_it(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client:
        client.send(wire.parse("", "SELECT 1"), wire.bind("", ""), wire.execute(), wire.query("SELECT 2"))
        assert client.result().kinds == "12DCTDCZ"
        system.eventually(lambda: not in_use(proxy), what="the permit's return")


def test_query_behind_a_failed_batch_waits_for_sync(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client:
        client.send(wire.parse("", "SELECT x"), wire.query("SELECT 2"), wire.SYNC)
        result = client.result()
        assert result.kinds == "EZ", result.messages
        assert client.query("SELECT 3").value == "3"
        system.eventually(lambda: not in_use(proxy), what="the permit's return")


# ---- swaps of lanes ----

SMALL = {"default": 2, "vector": 1}


def test_replies_that_come_during_a_swap(start):
    """A flushed batch gets its replies while the next statement of it waits for another lane."""
    proxy = start(lanes=SMALL, workers=1)
    with proxy.client() as holder, proxy.client() as client:
        holder.query("BEGIN")
        holder.query("/*ml_class='vector'*/ SELECT 1")
        client.query("BEGIN")
        pid = None
        client.query("SET LOCAL work_mem = '4MB'")
        pid = next(iter(r[0] for r in [client.exchange(wire.parse("", "SHOW work_mem"), wire.bind("", ""), wire.execute()).rows[0]]))
        assert pid == b"4MB"
        client.send(wire.parse("", "SHOW work_mem"), wire.bind("", ""), wire.execute(), wire.FLUSH,
                    wire.parse("", "/*ml_class='vector'*/ SELECT 'vector'"), wire.bind("", ""), wire.execute(), wire.SYNC)
        assert "".join(kind for kind, _ in client.receive_until("C")) == "12DC"
        system.eventually(lambda: waiting(proxy, "vector") == 1)
        holder.query("COMMIT")
        assert client.result().kinds == "12DCZ"
        assert client.query("COMMIT").tags == ["COMMIT"]


def test_swap_in_the_middle_of_a_batch_has_its_limits(start):
    proxy = start(lanes=SMALL, workers=1, queue_timeout="500ms")
    with proxy.client() as holder, proxy.client() as client:
        holder.query("BEGIN")
        holder.query("/*ml_class='vector'*/ SELECT 1")
        client.query("BEGIN")
        client.query("SET LOCAL work_mem = '4MB'")
        client.send(wire.parse("", "SHOW work_mem"), wire.bind("", ""), wire.execute(), wire.FLUSH,
                    wire.parse("", "/*ml_class='vector'*/ SELECT 'vector'"), wire.bind("", ""), wire.execute(), wire.SYNC)
        result = client.result()
        assert result.sqlstate == "53300" and result.status == "E", result.messages
        assert client.query("ROLLBACK").status == "I"


def test_clock_of_the_lane_that_was_swapped_to(start):
    proxy = start(lanes=SMALL, workers=1, sections={"lane:vector": {"permits": 1, "statement_timeout": "500ms"}})
    with proxy.client() as client:
        client.query("BEGIN")
        client.query("SET LOCAL work_mem = '4MB'")
        client.send(wire.parse("", "SHOW work_mem"), wire.bind("", ""), wire.execute(), wire.FLUSH)
        client.receive_until("C")
        client.send(wire.parse("", "/*ml_class='vector'*/ SELECT pg_sleep(60)"), wire.bind("", ""), wire.execute(), wire.SYNC)
        result = client.result()
        assert result.sqlstate == "57014" and "vector" in result.errors[0].fields["D"], result.messages
        ran_ms = int(re.search(r"ran for (\d+) ms", result.errors[0].fields["D"]).group(1))
        assert ran_ms < 15000, "its own limit, not the half minute of the lane it came from"


def test_transaction_clock_ends_with_an_aborted_swap(start):
    proxy = start(lanes=SMALL, workers=1, queue_timeout="200ms", transaction_timeout=2)
    with proxy.client() as holder, proxy.client() as client:
        client.query("BEGIN")
        client.query("SET LOCAL work_mem = '4MB'")
        with proxy.client() as vector:
            vector.query("BEGIN")
            vector.query("/*ml_class='vector'*/ SELECT 1")
            assert client.query("/*ml_class='vector'*/ SELECT 1").sqlstate == "53300"
        assert client.query("ROLLBACK").status == "I"
        holder.query("BEGIN")
        holder.query("SELECT 1")
        assert holder.fatal().sqlstate, "by then the clock of the other, had it run on, would have ended it too"
        assert client.query("SELECT 1").value == "1"


# ---- reset of servers ----

def test_reset_after_every_transaction_is_not_overtaken(start):
    """server_reset_query_always: what a client sends while the reset runs waits for it."""
    proxy = start(lanes={"default": 1}, workers=1, server_reset_query_always=1,
                  server_reset_query="RESET ALL; DEALLOCATE ALL; SELECT pg_sleep(0.1)")
    with proxy.client(DateStyle="German") as client:
        client.exchange(wire.parse("s", "SELECT 's'"))
        for _ in range(5):
            client.send(wire.query("SELECT '2026-02-01'::date"), wire.bind("", "s"), wire.execute(), wire.SYNC, wire.query("SHOW DateStyle"))
            assert client.result().value == "01.02.2026"
            assert client.result().value == "s"
            assert client.result().value == "German, DMY"


def test_reset_that_fails_retires_the_server(start, cluster):
    proxy = start(lanes={"default": 1}, workers=1, server_reset_query_always=1, server_reset_query="SELECT 1/0")
    with proxy.client() as client:
        pids = {client.query("SELECT pg_backend_pid()").value for _ in range(3)}
        assert len(pids) == 3, "none is used again"
        assert client.query("SELECT 1").kinds == "TDCZ", "the client hears nothing of it"


@pytest.mark.parametrize("change", [{"server_reset_query_always": 0}, {"server_reset_query": ""}])
def test_reset_that_a_reload_does_away_with(start, cluster, change):
    """It is under way when it is no longer wanted: who gets the server is not kept waiting for its end."""
    proxy = start(lanes={"default": 1}, workers=1, server_reset_query_always=1, server_reset_query="SELECT pg_sleep(2)")
    with proxy.client(timeout_s=10) as client:
        client.query("SELECT 1")
        system.eventually(lambda: cluster.backends("query = 'SELECT pg_sleep(2)' AND state = 'active'"))
        proxy.write(**change)
        proxy.reload()
        assert client.query("BEGIN").status == "T"
        for n in range(3):
            assert client.query(f"SELECT {n}").value == str(n)
        assert client.query("COMMIT").status == "I"


# ---- clients that do not read ----

def test_pipeline_of_one_who_never_reads_is_bounded(start):
    """Small statements with middling results, each of which fits into one read."""
    proxy = start(lanes={"default": 2}, workers=1)
    proxy.run("SELECT 1", dbname="other")
    before, n = proxy.resident_bytes(), 50000

    def n_answered():
        with proxy.console() as console:
            return sum(row["total_query_count"] for row in console.show("STATS") if row["database"] == "app")

    def stands_still():
        then = n_answered()
        for _ in range(100):
            proxy.run("SELECT 1", dbname="other")
        return n_answered() == then

    with proxy.client() as client:
        sender = threading.Thread(target=send_all, args=(client, wire.query("SELECT repeat('x', 7000)") * n), daemon=True)
        sender.start()
        system.eventually(stands_still, 60)
        assert n_answered() < n
        assert proxy.resident_bytes() - before < memory_limit(32 << 20)
        client.socket.shutdown(socket.SHUT_RDWR)
        sender.join(30)
    system.eventually(lambda: not in_use(proxy), what="the permit's return")


def send_all(client, data):
    try:
        client.send(data)
    except OSError:
        pass


def test_one_who_reads_late_gets_everything(start):
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client:
        n = 400
        client.send(wire.query("SELECT repeat('x', 60000)") * n)
        for _ in range(n):
            assert len(client.result().value) == 60000


# ---- servers that change workers ----

def test_failed_copy_of_one_worker_feeds_another(start):
    """What a server has not read of a failed COPY is still on its way when it is wanted elsewhere."""
    proxy = start(lanes={"default": 1}, workers=2)
    proxy.run("CREATE TABLE between_copy (n int)")
    clients = [proxy.client() for _ in range(6)]
    data = wire.copy_data(b"x\n" * 30000)
    for _ in range(15):
        for client in clients:
            client.send(wire.query("COPY between_copy FROM STDIN"), data * 6, wire.COPY_DONE, wire.query("SELECT 1"))
        for client in clients:
            assert client.result().sqlstate == "22P02"
            assert client.result().value == "1"
    for client in clients:
        client.close()


def test_reconnect_after_lost_server_says_so(shared, cluster):
    connection = shared.connect()
    connection.autocommit = False
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        end_backend(cluster, cursor.fetchone()[0])
    system.eventually(lambda: not in_use(shared), what="the permit's return")
    try:
        connection.commit()
    except psycopg2.Error:
        return
    raise AssertionError("commit() of a lost transaction succeeded")

# ---- messages that are looked at and too long to be kept ----

def test_error_longer_than_any_buffer(start):
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client:
        for n in (60000, 70000, 131072, 200000, 3000000):
            result = client.query(f"SELECT repeat('x', {n})::int")
            assert result.sqlstate == "22P02" and len(result.errors[0].fields["M"]) > n, n
            result = client.extended("SELECT repeat('x', $1::int)::int", [n])
            assert result.sqlstate == "22P02" and len(result.errors[0].fields["M"]) > n, n
            assert client.query("SELECT 1").value == "1"


def test_batch_goes_on_behind_a_flushed_error(start):
    """The server hears nothing of it but the Sync."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client:
        for rest in (b"", wire.parse("", "SELECT 5") + wire.bind("", "") + wire.execute(), wire.close("S", "x"),
                     wire.parse("named", "SELECT 6") + wire.bind("", "named") + wire.execute(), wire.query("SELECT 7")):
            client.send(wire.parse("", "SELECT 1/0"), wire.bind("", ""), wire.execute(), wire.FLUSH)
            client.receive_until("E")
            client.send(rest, wire.SYNC)
            assert client.result().kinds == "Z"
            assert client.exchange(wire.parse("named", "SELECT 6"), wire.bind("", "named"), wire.execute(), wire.close("S", "named")).value == "6"


def test_parameters_of_another_spelling_are_not_sent_into_a_batch(start):
    """SET to what is set already is reported by nobody: the next server reports another spelling."""
    proxy = start(lanes={"default": 2}, workers=1)
    with proxy.client() as client, proxy.client() as other:
        for change in ("SET DateStyle = 'german'", "RESET DateStyle"):
            client.query("SET DateStyle = 'German'")
            client.query(change)
            other.query("BEGIN")
            other.query("SELECT 1")  # on the server that has it
            client.send(wire.parse("", "SELECT generate_series(1, 2)"), wire.bind("", ""), wire.execute("", 1), wire.FLUSH)
            client.receive_until("s")
            client.send(wire.bind("second", ""), wire.execute(), wire.SYNC)
            assert client.result().kinds == "2DCZ", "the portal is still open"
            other.query("COMMIT")


def test_batch_without_its_sync_is_not_committed(start, cluster):
    proxy = start(lanes={"default": 1}, workers=1)
    proxy.run("CREATE TABLE between_sync (n int)")
    pid = proxy.run("SELECT pg_backend_pid()")[0][0]
    for last in (b"", wire.FLUSH, wire.TERMINATE):
        with proxy.client() as client:
            client.send(wire.parse("", "INSERT INTO between_sync VALUES (1)"), wire.bind("", ""), wire.execute(), last)
            if last == wire.FLUSH:
                client.receive_until("C")
            elif not last:
                system.eventually(lambda: in_use(proxy) == {"default": 1})
        assert proxy.run("SELECT count(*) FROM between_sync") == [(0,)]
    assert proxy.run("SELECT pg_backend_pid()") == [(pid,)], "the server is kept"
