# SPDX-License-Identifier: ISC
"""The console as drivers speak with it: batches, portals, binary results, errors in the middle; and commands that wait."""

import struct

import pytest

from harness import system, wire

SHOW_CONFIG = wire.parse("", "SHOW CONFIG") + wire.bind("", "")


@pytest.fixture
def console(shared):
    with shared.client(database="pglane") as client:
        yield client


def ask(console, *messages):
    """One batch and its Sync."""
    console.send(b"".join(messages) + wire.SYNC)
    return console.result()


def numeric(value):
    """An integer in PostgreSQL's binary numeric."""
    n, weight, sign, scale = struct.unpack_from("!hhhh", value)
    assert sign == 0 and scale == 0
    digits = struct.unpack_from(f"!{n}h", value, 8)
    assert len(value) == 8 + 2 * n
    return sum(digit * 10000 ** (weight - i) for i, digit in enumerate(digits))


def test_binary_results_mean_the_same(start):
    proxy = start()
    with proxy.client() as client, proxy.client(database="pglane") as console:
        for _ in range(300):
            client.query("SELECT repeat('x', 1000)")
        text = console.query("SHOW STATS_TOTALS")
        binary = ask(console, wire.parse("", "SHOW STATS_TOTALS"), wire.bind("", "", binary=True), wire.execute())
        name, values = binary.rows[0][0], [numeric(value) for value in binary.rows[0][1:]]
        assert name == b"app" and values == [int(value) for value in text.rows[0][1:]] and max(values) > 300000
        binary = ask(console, wire.parse("", "SHOW LANES"), wire.bind("", "", binary=True), wire.describe("P"), wire.execute())
        oids = [oid for _, oid in binary.columns]
        row = [struct.unpack({23: "!i", 20: "!q"}[oid], value)[0] if oid != 25 else value for oid, value in zip(oids, binary.rows[0])]
        assert row[:4] == [b"default", 120, 0, 120] and row[12] == 30000


def test_describe_does_not_run(console):
    result = ask(console, wire.parse("s", "SHOW VERSION"), wire.describe("S", "s"), wire.bind("p", "s"), wire.describe("P", "p"))
    assert result.kinds == "1tT2TZ"
    result = ask(console, wire.parse("t", "RELOAD"), wire.describe("S", "t"))
    assert result.kinds == "1tnZ"
    result = ask(console, wire.parse("", ""), wire.bind("", ""), wire.describe("P"), wire.execute())
    assert result.kinds == "12nIZ"


def test_named_statements_live_until_closed(console):
    assert ask(console, wire.parse("v", "SHOW VERSION")).kinds == "1Z"
    for _ in range(3):
        assert ask(console, wire.bind("", "v"), wire.execute()).kinds == "2DCZ"
    assert ask(console, wire.parse("v", "SHOW STATE")).sqlstate == "42P05"
    assert ask(console, wire.close("S", "v"), wire.close("S", "v")).kinds == "33Z"
    assert ask(console, wire.bind("", "v")).sqlstate == "26000"
    ask(console, wire.parse("v", "SHOW VERSION"))
    assert console.query("DEALLOCATE ALL").tags == ["DEALLOCATE"]
    assert ask(console, wire.bind("", "v")).sqlstate == "26000"


def test_portals_end_with_the_batch(console):
    assert ask(console, wire.parse("", "SHOW STATE"), wire.bind("p", "")).kinds == "12Z"
    assert ask(console, wire.execute("p")).sqlstate == "34000"
    assert console.query("BEGIN").status == "T"
    assert ask(console, wire.parse("", "SHOW STATE"), wire.bind("p", "")).status == "T"
    assert ask(console, wire.execute("p")).kinds == "DDDCZ"
    assert console.query("COMMIT").status == "I"
    assert console.query("NONSENSE").status == "I"


def test_portals_are_read_in_parts(console):
    result = ask(console, wire.parse("", "SHOW STATE"), wire.bind("", ""), wire.execute(max_rows=2), wire.execute(max_rows=2), wire.execute())
    assert result.kinds == "12DDsDCCZ"


def test_an_error_discards_up_to_sync(console):
    result = ask(console, wire.parse("", "SHOW NONSENSE"), wire.bind("", ""), wire.execute(), wire.query("SHOW VERSION"))
    assert result.kinds == "EZ"
    assert ask(console, wire.parse("", "SHOW VERSION"), wire.bind("", ""), wire.execute()).kinds == "12DCZ"


def test_an_error_does_not_wait_for_sync(console):
    console.send(wire.parse("", "SHOW NONSENSE") + wire.describe("S") + wire.FLUSH)
    assert console.receive()[0] == "E"
    console.send(wire.SYNC)
    assert console.receive()[0] == "Z"


def test_denied_in_a_batch(shared):
    with shared.client(user="u_other", database="pglane") as reader:
        result = ask(reader, wire.parse("", "PAUSE"), wire.bind("", ""), wire.execute(), wire.bind("", ""), wire.execute())
        assert result.kinds == "12EZ" and result.sqlstate == "42501"
        assert reader.query("SET server_lifetime = 5").sqlstate == "42501"
        assert reader.query("SET client_encoding TO 'UTF8'").tags == ["SET"]


def test_answers_keep_their_order(console):
    commands = ["SHOW POOLS", "SHOW VERSION", "RELOAD", "SHOW CLIENTS", "SHOW STATE", "NONSENSE", "SHOW STATS"] * 20
    console.send(b"".join(wire.query(command) for command in commands))
    for command in commands:
        result = console.result()
        assert result.tags == ([] if command == "NONSENSE" else [command.split()[0]])


def test_flush_brings_what_there_is(console):
    console.send(wire.parse("", "SHOW POOLS") + wire.bind("", "") + wire.FLUSH)
    assert [console.receive()[0] for _ in range(2)] == ["1", "2"]
    console.send(wire.execute() + wire.SYNC)
    assert console.result().tags == ["SHOW"]


@pytest.mark.parametrize("messages", [
    wire.message("Q", b"no end"),
    wire.message("P", b"\0"),
    wire.message("B", b"\0\0\0\1"),
    wire.message("D", b"X\0"),
    wire.message("p", b"secret\0"),
    wire.message("?", b""),
])
def test_garbled_messages_end_the_connection(shared, messages):
    with shared.client(database="pglane") as console:
        console.send(wire.parse("", "SHOW VERSION") + messages + wire.SYNC)
        assert console.fatal().sqlstate == "08P01"
    with shared.client(database="pglane") as console:
        assert console.query("SHOW VERSION").tags == ["SHOW"]


def test_parameters_are_refused(console):
    assert ask(console, wire.parse("", "SHOW VERSION"), wire.bind("", "", values=["1"])).sqlstate == "0A000"


def test_names_are_bounded(console):
    text = "EXPLAIN ROUTE SELECT " + "1" * 60000
    result = ask(console, *(wire.parse(f"s{i}", text) for i in range(40)))
    assert result.sqlstate == "53200"
    assert ask(console, wire.close("S", "s0"), wire.parse("again", text)).kinds == "31Z"
    result = ask(console, wire.parse("", "SHOW STATE"), *(wire.bind(f"p{i}", "") for i in range(100)))
    assert result.sqlstate == "53200"


def test_a_console_that_does_not_read(start):
    """It is not read either: memory stays, and nobody else waits."""
    proxy = start()
    with proxy.client(database="pglane") as deaf, proxy.client(database="pglane") as other:
        other.query("SHOW CONFIG")
        before = proxy.resident_bytes()
        deaf.socket.setblocking(False)
        sent = 0
        batch = wire.query("SHOW CONFIG") * 1000
        try:
            while sent < 50_000_000:
                sent += deaf.socket.send(batch)
        except BlockingIOError:
            pass
        assert other.query("SHOW VERSION").tags == ["SHOW"]
        assert proxy.resident_bytes() - before < 64_000_000  # the answers to what was sent are a gigabyte
        deaf.socket.setblocking(True)
        deaf.socket.settimeout(30)
        for _ in range(100):
            assert deaf.result().tags == ["SHOW"]


def holder_of_a_server(proxy):
    client = proxy.client()
    client.query("BEGIN")
    client.query("SELECT 1")
    return client


def test_cancel_takes_a_pause_back(start):
    proxy = start()
    with holder_of_a_server(proxy) as holder, proxy.client(database="pglane") as console, proxy.console() as other:
        console.send(wire.query("PAUSE"))
        system.eventually(lambda: {row["key"]: row["value"] for row in other.show("STATE")}["paused"] == "yes")
        with proxy.client(user="u_other", database="pglane") as reader:
            assert reader.query("SHOW POOLS").tags == ["SHOW"]
        proxy.cancel(console)
        assert console.result().sqlstate == "57014"
        assert {row["key"]: row["value"] for row in other.show("STATE")}["paused"] == "no"
        assert proxy.run("SELECT 1") == [(1,)]
        assert holder.query("COMMIT").status == "I"


def test_a_pause_outlives_its_console(start):
    proxy = start()
    with holder_of_a_server(proxy) as holder, proxy.console() as other, proxy.client() as parked:
        console = proxy.client(database="pglane")
        console.send(wire.query("PAUSE app") + wire.TERMINATE)
        console.close()
        system.eventually(lambda: next(row["paused"] for row in other.show("DATABASES") if row["name"] == "app") == 1)
        system.eventually(lambda: len([row for row in other.show("CLIENTS") if row["database"] == "pglane"]) == 1)
        parked.send(wire.query("SELECT 'parked'"))
        system.eventually(lambda: [row["waits_for"] for row in other.show("QUEUE")] == ["resume"])
        assert holder.query("COMMIT").status == "I"
        system.eventually(lambda: not other.show("SERVERS"))
        other.run("RESUME app")
        assert parked.result().value == "parked"


def test_pause_of_all_holds_for_new_databases(start):
    proxy = start()
    with proxy.console() as console:
        console.run("PAUSE")
        with pytest.raises(Exception, match="already"):
            console.run("PAUSE")
        with proxy.raw() as client:
            client.send(wire.startup_packet({"user": "app", "database": "other"}))
            system.eventually(lambda: any(row["database"] == "other" and row["cl_waiting"] == 1 for row in console.show("POOLS")))
            console.run("RESUME")
            system.eventually(lambda: any(row["database"] == "other" and row["cl_waiting"] == 0 for row in console.show("POOLS")))


def test_queue_is_shown_as_it_will_be_served(start):
    proxy = start(lanes={"default": 1})
    with proxy.client(application_name="p3") as late, proxy.client(application_name="p5") as early, holder_of_a_server(proxy) as holder, \
            proxy.console() as console:
        for n, (client, priority) in enumerate([(late, 3), (early, 5)], 1):
            client.send(wire.query(f"/*ml_priority='{priority}'*/ SELECT 1"))
            system.eventually(lambda: len(console.show("QUEUE")) == n)
        queue = console.show("QUEUE")
        assert [(row["lane"], row["priority"], row["application_name"]) for row in queue] == [("default", 5, "p5"), ("default", 3, "p3")]
        assert all(row["waits_for"] == "permit" and row["database"] == "app" for row in queue)
        assert route(console, "SELECT 1")["now"] == "wait"
        assert route(console, "/*ml_priority='9'*/ SELECT 1")["now"] == "run in lane priority"
        assert holder.query("COMMIT").status == "I"
        assert early.result().tags == late.result().tags == ["SELECT 1"]
        budget = console.show("BUDGET")[0]
        assert budget["budget"] == 5 and budget["slots"] >= 1


def route(console, sql):
    return {row["key"]: row["value"] for row in console.run(f"EXPLAIN ROUTE {sql}")}


def test_explain_route_hears_annotations(shared):
    with shared.console() as console:
        found = route(console, "SELECT 1 /*ml_class='training',ml_priority='9'*/;")
        assert (found["class"], found["lane"], found["priority"], found["rule"]) == ("training", "training", "9", "annotation")
        found = route(console, "/*ml_class='vector'*/ SELECT 1")
        assert (found["class"], found["timeout_ms"], found["now"]) == ("vector", "5000", "run")
        assert route(console, "BEGIN")["now"] == "answered by pglane"
    with shared.client(database="pglane") as console:
        assert console.query("EXPLAIN ROUTE ;").errors and console.query("EXPLAIN SELECT 1").errors


def test_kill_ends_running_statements(start, cluster):
    """At once, as PostgreSQL sees it: the statement would take a quarter of an hour."""
    cluster.end_backends()
    proxy = start()
    with proxy.client() as runner, holder_of_a_server(proxy) as holder, proxy.console() as console:
        runner.send(wire.query("SELECT pg_sleep(1000)"))
        system.eventually(lambda: cluster.backends("query LIKE '%pg_sleep(1000)%' AND state = 'active'"), 40)
        console.run("KILL app")
        assert runner.fatal().sqlstate == holder.fatal().sqlstate == "57P01"
        system.eventually(lambda: not cluster.backends("datname = 'app'"), 40)
        console.run("RESUME app")
        assert proxy.run("SELECT 1") == [(1,)]


def test_killing_oneself(shared):
    with shared.client(database="pglane", application_name="myself") as console:
        result = console.query("SHOW CLIENTS")
        at = [name for name, _ in result.columns].index("application_name")
        me = next(row[-1].decode() for row in result.rows if row[at] == b"myself")
        console.send(wire.query(f"KILL_CLIENT {me}"))
        assert console.fatal().sqlstate == "57P01"
