# SPDX-License-Identifier: ISC
"""Replication connections: PostgreSQL's own tools, a standby and a subscriber, whose server is a walsender behind pglane."""

import contextlib
import hashlib
import random
import signal
import socket
import struct
import subprocess
import tarfile
import time

import pytest

from harness import proxy as proxy_module
from harness import system, wire
from harness.cluster import USERS, Cluster, binaries
from harness.relay import Relay
from harness.traffic import Background, memory_limit, scaled

MB = 1 << 20
SENDERS = 8
SETTINGS = f"""
wal_level = logical
max_wal_senders = {SENDERS}
max_replication_slots = 8
wal_keep_size = 512MB
checkpoint_timeout = 1h
"""
PHYSICAL, LOGICAL = {"replication": "true"}, {"replication": "database"}
IS_STREAM = "backend_type = 'walsender'"


class Copy(Cluster):
    """A cluster that pg_basebackup made through pglane; with -R its standby, through pglane as well."""

    def __init__(self, publisher, proxy, *options, settings=""):
        self._place()
        base_backup(proxy, self.data, *options)
        system.run(f"{binaries()}/pg_verifybackup", self.data)
        with open(self.data / "postgresql.conf", "a", encoding="ascii") as config:
            config.write(f"port = {self.port}\nunix_socket_directories = '{self.directory}'\nwal_retrieve_retry_interval = 50ms\n{settings}")
        self.start()
        self.publisher = publisher

    def catch_up(self):
        written = self.publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0]
        system.eventually(lambda: self.run(f"SELECT pg_last_wal_replay_lsn() >= '{written}'")[0][0], 30, "the standby's catching up")


def base_backup(proxy, directory, *options):
    tool("pg_basebackup", proxy, "-D", directory, "-c", "fast", "--no-sync", *options)


def tool(name, proxy, *options):
    return system.run(f"{binaries()}/{name}", "-h", proxy.host, "-p", proxy.port, "-U", "postgres", *options, user=system.unprivileged_user())


def tool_in_background(name, proxy, *options):
    command = [f"{binaries()}/{name}", "-h", proxy.host, "-p", proxy.port, "-U", "postgres", *options]
    return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd="/",
                            text=True, **system.become(system.unprivileged_user()))


@pytest.fixture(scope="module")
def publisher():
    """A primary that replicates."""
    cluster = Cluster(SETTINGS)
    with open(cluster.data / "pg_hba.conf", "a", encoding="ascii") as hba:
        for name in ("postgres", *USERS):
            hba.write(f"host replication {name} 127.0.0.1/32 {'scram-sha-256' if name == 'u_scram' else 'trust'}\n")
    cluster.run("SELECT pg_reload_conf()")
    cluster.run("ALTER ROLE u_scram REPLICATION")
    cluster.run("ALTER ROLE u_other REPLICATION")
    cluster.run("CREATE TABLE items AS SELECT i AS id, md5(i::text) AS name FROM generate_series(1, 5000) i", "app")
    yield cluster
    cluster.destroy()


@pytest.fixture
def start(publisher, program):
    running = []

    def starter(**settings):
        settings.setdefault("secrets", {**{name: password for name, (password, _) in USERS.items()}, "postgres": "any"})
        running.append(proxy_module.Proxy(publisher, program, **settings))
        return running[-1]

    yield starter
    for proxy in running:
        proxy.stop()
    system.eventually(lambda: not streams(publisher), 10, "the end of its walsenders")


@pytest.fixture
def directory():
    path = system.temporary_directory("pglane-repl-")
    yield path
    system.remove(path)


def streams(cluster, columns="pid"):
    return cluster.run(f"SELECT {columns} FROM pg_stat_activity WHERE {IS_STREAM}")


def contents(cluster, table="items"):
    return cluster.run(f"SELECT count(*), md5(string_agg(t::text, ',' ORDER BY id)) FROM {table} t", "app")[0]


def sender(proxy, kind=PHYSICAL, user="postgres", **parameters):
    return proxy.client(user=user, **kind, **parameters)


def direct(cluster, kind=PHYSICAL, user="postgres", **parameters):
    """The same without pglane, over its unix socket, where everybody is trusted."""
    return wire.RawClient(str(cluster.directory), cluster.port).login(user=user, **kind, **parameters)


def sockets(proxy, what, replication=None):
    with proxy.console() as console:
        return [row for row in console.show(what) if row["database"] != "pglane" and replication in (None, row["replication"])]


def budget(proxy):
    with proxy.console() as console:
        return console.show("BUDGET")[0]


def lsn(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def lsn_text(number):
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"


def start_stream(client, where):
    """The answer up to CopyBothResponse."""
    client.send(wire.query(f"START_REPLICATION {lsn_text(where)}"))
    kind, _ = client.receive()
    assert kind == "W", kind


def read_wal(client, start_at, up_to):
    """What a physical stream brings, which must be one piece from start_at on."""
    at, wal = start_at, bytearray()
    while at < up_to:
        kind, body = client.receive()
        assert kind == "d", (kind, body[:200])
        if body[:1] == b"w":
            (begin,) = struct.unpack_from("!q", body, 1)
            assert begin == at, "the stream has no gap"
            wal += body[25:]
            at += len(body) - 25
    return bytes(wal)


def wal_of_files(cluster, start_at, n_bytes):
    segment = 16 * MB
    wal = bytearray()
    while len(wal) < n_bytes:
        at = start_at + len(wal)
        name = f"{1:08X}{at // (256 * segment):08X}{at // segment % 256:08X}"
        with open(cluster.data / "pg_wal" / name, "rb") as file:
            file.seek(at % segment)
            wal += file.read(min(segment - at % segment, n_bytes - len(wal)))
    return bytes(wal)


def status_update(at):
    return wire.copy_data(b"r" + struct.pack("!qqqqb", at, at, at, 0, 0))


# ---- the startup parameter ----


@pytest.mark.parametrize("value, shown", [("true", "physical"), ("on", "physical"), ("YES", "physical"), ("1", "physical"), ("t", "physical"),
                                          ("database", "logical")])
def test_values_that_ask_for_a_walsender(start, publisher, value, shown):
    proxy = start()
    with sender(proxy, {"replication": value}) as client:
        assert client.query("IDENTIFY_SYSTEM").columns[0][0] == "systemid"
        assert [row["replication"] for row in sockets(proxy, "CLIENTS")] == [shown]
        (server,) = sockets(proxy, "SERVERS")
        assert (server["replication"], server["state"]) == (shown, "active")
        assert streams(publisher) == [(server["remote_pid"],)]
    system.eventually(lambda: budget(proxy)["slots"] == 0, 10, "the end of its server")


def test_values_that_do_not(start):
    proxy = start()
    for value in ("false", "off", "No", "0", "f"):
        with proxy.client(replication=value) as client:
            assert client.query("SELECT 1").value == "1"
    assert {row["replication"] for row in sockets(proxy, "SERVERS")} == {"none"}


@pytest.mark.parametrize("value", ["maybe", "", "Database", "o", "truest", "2"])
def test_wrong_values_are_refused_as_postgresql_does(start, publisher, value):
    proxy = start()
    with pytest.raises(wire.ServerError) as refused:
        sender(proxy, {"replication": value})
    with pytest.raises(wire.ServerError) as directly:
        direct(publisher, {"replication": value})
    for field in "SCMH":
        assert refused.value.fields[field] == directly.value.fields[field]


def test_the_console_has_none(start):
    proxy = start()
    with pytest.raises(wire.ServerError) as refused:
        proxy.client(database="pglane", **PHYSICAL)
    assert refused.value.sqlstate == "08P01"


def test_database_is_looked_up_as_ever(start):
    """Physical replication has no database, yet it is [databases] that says where its server is."""
    named = start(databases={"*": "host=127.0.0.1 port=1", "replication": "{server}"})
    with sender(named, database="replication") as client:
        assert client.query("IDENTIFY_SYSTEM").rows[0][3] is None
    with pytest.raises(wire.ServerError) as refused:
        sender(named, database="other")
    assert refused.value.sqlstate == "08006"


# ---- what is said ----

PHYSICAL_COMMANDS = ["IDENTIFY_SYSTEM", "SHOW wal_level", "TIMELINE_HISTORY 77", "CREATE_REPLICATION_SLOT mine TEMPORARY PHYSICAL RESERVE_WAL",
                     "READ_REPLICATION_SLOT mine", "DROP_REPLICATION_SLOT mine", "DROP_REPLICATION_SLOT mine", "SELECT 1", "nonsense", "", ";"]
LOGICAL_COMMANDS = ["IDENTIFY_SYSTEM", "SHOW application_name", "SHOW TimeZone", "SELECT 1; SELECT 2", "BEGIN", "SELECT nothing", "SELECT 1", "ROLLBACK",
                    "/*ml_entity='no:such'*/ SELECT 1", "/*ml_near_text='x'*/ SELECT 2", "SET work_mem = '5MB'", "SHOW work_mem", "nonsense",
                    "COPY (SELECT id FROM items ORDER BY id LIMIT 3) TO STDOUT", "LISTEN a; NOTIFY a; SELECT pg_sleep(0)"]


def said(client, commands):
    """All that is answered, pids and lines of source apart."""
    answers = []
    for command in commands:
        for kind, body in client.query(command).messages:
            answers.append((kind, body if kind not in "EN" else {field: text for field, text in wire.error_fields(body).items() if field != "L"}))
    return [answer for answer in answers if answer[0] != "A"]


@pytest.mark.parametrize("kind, commands", [(PHYSICAL, PHYSICAL_COMMANDS), (LOGICAL, LOGICAL_COMMANDS)], ids=["physical", "logical"])
def test_answers_are_those_of_postgresql(start, publisher, kind, commands):
    proxy = start()
    parameters = {"application_name": "twin", "TimeZone": "Asia/Tokyo", "options": "-c datestyle=German -c extra_float_digits=2"}

    def same():
        with sender(proxy, kind, **parameters) as client, direct(publisher, kind, **parameters) as other:
            assert client.parameters == other.parameters
            assert said(client, commands) == said(other, commands)
        return True

    system.eventually(same, 10, "the same answers")


def test_extended_protocol_is_refused_in_its_turn(start, publisher):
    proxy = start()
    for client in (sender(proxy, LOGICAL), direct(publisher, LOGICAL)):
        with client:
            client.send(wire.query("SELECT 1"), wire.parse("", "SELECT 2"), wire.bind("", ""), wire.describe("P"), wire.execute(), wire.SYNC,
                        wire.query("SELECT 3"), wire.SYNC, wire.query("IDENTIFY_SYSTEM"))
            assert client.result().value == "1"
            refused = client.result()
            assert (refused.kinds, refused.sqlstate) == ("EZ", "08P01")
            assert client.result().value == "3"
            assert client.result().kinds == "Z"
            assert len(client.result().rows) == 1


def test_stream_ends_and_commands_follow(start, publisher):
    proxy = start()
    kinds = []
    for client in (sender(proxy), direct(publisher)):
        with client:
            at = lsn(client.query("IDENTIFY_SYSTEM").rows[0][2].decode())
            for _ in range(2):
                start_stream(client, at)
                client.send(status_update(at), wire.COPY_DONE)
                kinds.append("".join(kind for kind, _ in client.receive_until("Z") if kind != "d"))
            assert client.query("SHOW wal_level").value == "logical"
    assert set(kinds) == {"cCCZ"}, kinds


def test_stream_that_fails_is_over(start, publisher):
    """What its client still sends of a stream that the server has ended is dropped there, as without pglane."""
    proxy = start()
    for client in (sender(proxy), direct(publisher)):
        with client:
            client.send(wire.query("START_REPLICATION 0/100000"))
            result = client.result()
            assert (result.kinds, result.sqlstate) == ("WEZ", "58P01"), "there is no such segment"
            client.send(status_update(1)[:9])
            client.send(status_update(1)[9:], wire.COPY_DONE, wire.query("SHOW wal_level"))
            assert client.result().value == "logical"


def test_message_that_is_none_of_a_stream(start, publisher):
    """PostgreSQL's own answer to it comes through."""
    proxy = start()
    told = []
    for client in (sender(proxy), direct(publisher)):
        with client:
            start_stream(client, lsn(publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0]))
            client.send(wire.query("SELECT 1"))
            told.append(client.fatal().fields)
    assert told[0] == told[1] and told[0]["C"] == "08P01"


def test_stream_in_pieces(start, publisher):
    """However the line cuts it."""
    relay = Relay(publisher.port, random.Random(7))
    try:
        proxy = start(databases={"app": f"host=127.0.0.1 port={relay.port} dbname=app"}, workers=1)
        at = lsn(publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0])
        for i in range(20):
            publisher.run(f"SELECT pg_logical_emit_message(true, 'pieces', repeat('x{i}', 10000))")
        n_bytes = lsn(publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0]) - at
        with sender(proxy) as client:
            start_stream(client, at)
            wal = read_wal(client, at, at + n_bytes)
            assert wal == wal_of_files(publisher, at, len(wal))
            client.send(*(status_update(at + i) for i in range(1000)), wire.COPY_DONE)
            assert client.receive_until("Z")[-1] == ("Z", b"I")
            assert client.query("SHOW wal_level").value == "logical"
    finally:
        relay.close()


def test_killed_walsender_has_the_last_word(start, publisher):
    proxy = start()
    with sender(proxy) as client:
        start_stream(client, lsn(publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0]))
        publisher.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {IS_STREAM}")
        assert client.fatal().fields["M"] == "terminating connection due to administrator command"
    with sender(proxy) as client:
        with proxy.console() as console:
            console.run(f"KILL_CLIENT {sockets(proxy, 'CLIENTS', 'physical')[0]['id']}")
        assert client.fatal().sqlstate == "57P01"


def test_cancel(start, publisher):
    proxy = start()
    with sender(proxy, LOGICAL) as client:
        for _ in range(3):
            client.send(wire.query("SELECT pg_sleep(60)"))
            system.eventually(lambda: streams(publisher, "wait_event") == [("PgSleep",)], 10, "a statement that runs")
            proxy.cancel(client)
            assert client.result().sqlstate == "57014"
            assert client.query("SELECT 1").value == "1"


# ---- who may ----


def test_scram_keys_of_the_client_are_the_servers(start, publisher):
    proxy = start(auth_type="scram-sha-256", secrets={"u_scram": publisher.secret("u_scram"), "app": USERS["app"][0]})
    with sender(proxy, user="u_scram", password=USERS["u_scram"][0]) as client:
        assert len(client.query("IDENTIFY_SYSTEM").rows) == 1
    with pytest.raises(wire.ServerError) as refused:
        sender(proxy, user="u_scram", password="wrong")
    assert refused.value.sqlstate == "28P01"


@pytest.mark.parametrize("options", ["-c user=postgres", "--user=postgres", "-cuser=postgres", "-c database=other", "-c replication=database",
                                     "-c options=-csearch_path=x", "-c _pq_.x=1", "-c =x"])
def test_options_are_settings_and_nothing_else(start, options):
    """Whose server it is, and where, is not for the client's `options` to say."""
    proxy = start()
    with pytest.raises(wire.ServerError) as refused:
        sender(proxy, user="u_other", options=options)
    assert (refused.value.severity, refused.value.sqlstate) == ("FATAL", "08P01")
    with sender(proxy, LOGICAL, user="u_other", options="-c work_mem=6MB") as client:
        assert client.query("SELECT session_user, current_setting('work_mem')").rows == [[b"u_other", b"6MB"]]


def test_login_that_postgresql_refuses_is_told_and_hurts_nobody_else(start):
    proxy = start()
    for _ in range(2):
        with pytest.raises(wire.ServerError) as refused:
            sender(proxy, user="app")
        assert "42501" in refused.value.fields["D"] and refused.value.severity == "FATAL"
        assert proxy.run("SELECT 1") == [(1,)]
    with pytest.raises(wire.ServerError) as refused:
        sender(proxy, no_such="1")
    assert "42704" in refused.value.fields["D"]


def test_walsender_is_no_server_that_others_wait_for(start, publisher):
    """Statements that cannot have a server hear why at once, though replication has one there."""
    proxy = start(queue_timeout="20s")
    publisher.run("ALTER DATABASE other ALLOW_CONNECTIONS false")
    try:
        with sender(proxy, database="other") as client:
            with pytest.raises(wire.ServerError) as refused:
                proxy.client(user="postgres", database="other")
            assert refused.value.sqlstate == "08006"
            assert client.query("SHOW wal_level").value == "logical"
        with sender(proxy, database="other") as client:
            assert client.query("SHOW wal_level").value == "logical"
    finally:
        publisher.run("ALTER DATABASE other ALLOW_CONNECTIONS true")


def test_connect_query_is_for_those_who_know_sql(start):
    proxy = start(databases={"app": "{server} dbname=app connect_query='SET work_mem = 12345'"})
    with sender(proxy) as client:
        assert client.query("SHOW wal_level").value == "logical"
    with sender(proxy, LOGICAL) as client:
        assert client.query("SHOW work_mem").value == "12345kB"


def test_replica_is_for_statements(start):
    """A lane that reads from a replica has the walsender of the database that was named."""
    proxy = start(databases={"app": "{server} dbname=app replicas=app_r", "app_r": "host=127.0.0.1 port=1 dbname=app"},
                  sections={"lane:default": {"target": "replica"}}, replica_check_user="app")
    with sender(proxy, LOGICAL, options="-c default_transaction_read_only=on") as client:
        for _ in range(2):
            assert client.query("SHOW transaction_read_only").value == "on"


def test_as_many_as_max_wal_senders(start):
    """53300 for a walsender is no reason to shrink the budget: it is not max_connections that is used up."""
    proxy = start()
    clients = [sender(proxy) for _ in range(SENDERS)]
    with pytest.raises(wire.ServerError) as refused:
        sender(proxy)
    assert "max_wal_senders" in refused.value.fields["D"]
    shown = budget(proxy)
    assert shown["effective_budget"] == shown["budget"]
    for client in clients:
        client.close()


def test_rule_denies_them(start):
    proxy = start(sections={"rules": {"deny 'no streams' if user=u_other": None}})
    with pytest.raises(wire.ServerError) as refused:
        sender(proxy, user="u_other")
    assert (refused.value.severity, refused.value.sqlstate) == ("FATAL", "42501") and "no streams" in refused.value.fields["M"]
    assert sockets(proxy, "SERVERS") == []


# ---- lanes, servers, limits ----


def lanes_in_use(proxy):
    with proxy.console() as console:
        return {row["lane"]: row["in_use"] for row in console.show("LANES") if row["in_use"]}


def test_permit_is_kept_in_the_sessions_lane(start):
    proxy = start()
    with sender(proxy), sender(proxy, LOGICAL, options="-c pglane.class=training"):
        assert lanes_in_use(proxy) == {"default": 1, "training": 1}
    system.eventually(lambda: lanes_in_use(proxy) == {}, 10, "their permits' return")


def test_server_is_its_own_and_others_keep_theirs(start):
    proxy = start(workers=1)
    with proxy.client(user="postgres") as other:
        assert other.query("SELECT 1").value == "1"
        (mine,) = [row["remote_pid"] for row in sockets(proxy, "SERVERS")]
        for _ in range(3):
            with sender(proxy, LOGICAL) as client:
                client.query("SET work_mem = '7MB'")
                assert client.query("SELECT pg_backend_pid()").value != str(mine)
                assert other.query("SELECT pg_backend_pid()").value == str(mine)
        assert other.query("SHOW work_mem").value != "7MB"
    system.eventually(lambda: [row["remote_pid"] for row in sockets(proxy, "SERVERS")] == [mine], 10, "no other server")


def test_pool_size_bounds_them_apart(start):
    proxy = start(databases={"app": "{server} pool_size=1"}, workers=2)
    with proxy.client(user="postgres") as other:
        other.query("BEGIN")
        other.query("SELECT 1")
        with sender(proxy) as client:
            late = proxy.raw()
            late.send(wire.startup_packet({"user": "postgres", "database": "app", **PHYSICAL}))
            system.eventually(lambda: [row["state"] for row in sockets(proxy, "CLIENTS", "physical")].count("waiting") == 1, 10, "a client that waits")
            assert client.query("SHOW wal_level").value == "logical"
            client.send(wire.TERMINATE)
            late.receive_until("Z")
            assert late.query("SHOW wal_level").value == "logical"
            late.close()


def test_idle_servers_make_room(start):
    """A budget that idle servers use up: one of them is closed for it, and the budget holds."""
    proxy = start(lanes={"default": 2})
    clients = [proxy.client() for _ in range(6)]
    for client, annotation in zip(clients, ("", "", "ml_class='serving'", "ml_class='vector'", "ml_class='training'", "ml_priority='10'")):
        client.query("BEGIN")
        assert client.query(f"/*{annotation}*/ SELECT 1").value == "1"
    for client in clients:
        client.query("ROLLBACK")
        client.close()
    shown = budget(proxy)
    assert shown["slots"] == shown["budget"] == 6
    with sender(proxy) as client:
        assert client.query("SHOW wal_level").value == "logical"
        shown = budget(proxy)
        assert shown["slots"] <= 6


def test_no_time_limit_ends_a_stream(start, publisher):
    proxy = start(workers=1, query_timeout="200ms", idle_transaction_timeout="200ms", client_idle_timeout="200ms", transaction_timeout="200ms",
                  sections={"lane:default": {"statement_timeout": "200ms"}})
    with sender(proxy) as client, sender(proxy, LOGICAL) as other, proxy.client() as idle:
        at = lsn(publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0])
        start_stream(client, at)
        other.query("BEGIN")
        assert idle.fatal().sqlstate == "57P05", "the janitor has been there"
        assert other.query("SELECT pg_sleep(0.6)").value == ""
        assert other.query("SELECT 1").value == "1"
        publisher.run("SELECT pg_logical_emit_message(false, 'a', 'b')")
        read_wal(client, at, at + 1)


def test_client_that_goes_takes_its_server_along(start, publisher):
    proxy = start()
    at = lsn(publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0])
    idle, streaming, backup, busy = sender(proxy), sender(proxy), sender(proxy), sender(proxy, LOGICAL)
    start_stream(streaming, at)
    backup.send(wire.query("BASE_BACKUP ( LABEL 'x', CHECKPOINT 'fast' )"))
    backup.receive_until("d")
    busy.send(wire.query("SELECT pg_sleep(60)"))
    system.eventually(lambda: publisher.run("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), 10, "a statement that runs")
    streaming.send(status_update(at)[:7])  # half a message
    for client in (idle, streaming, backup, busy):
        client.close()
    system.eventually(lambda: not streams(publisher) and budget(proxy)["slots"] == 0, 8, "the end of their servers")


def test_client_that_goes_before_its_server_is_there(start):
    """A connection that was begun for it is for nobody else."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        proxy = start(databases={"silent": f"host=127.0.0.1 port={silent.getsockname()[1]}"})
        client = proxy.raw()
        client.send(wire.startup_packet({"user": "postgres", "database": "silent", **PHYSICAL}))
        near, _ = silent.accept()
        with near:
            near.settimeout(8)
            assert b"replication\0true\0" in near.recv(1000)
            client.close()
            assert near.recv(1000) == b""
        system.eventually(lambda: budget(proxy)["slots"] == 0 and lanes_in_use(proxy) == {}, 10, "permit and slot")


# ---- PostgreSQL's tools ----


@pytest.mark.parametrize("wal", ["stream", "fetch"])
def test_base_backup(start, directory, wal):
    """As archives; Copy makes the plain ones."""
    proxy = start()
    base_backup(proxy, directory / "copy", "-F", "tar", "-X", wal)
    for name, place in (("base.tar", ""), ("pg_wal.tar", "pg_wal")):
        if (directory / "copy" / name).exists():
            with tarfile.open(directory / "copy" / name) as archive:
                archive.extractall(directory / "copy" / place)
            (directory / "copy" / name).unlink()
    assert (directory / "copy" / "pg_wal").exists()
    system.run(f"{binaries()}/pg_verifybackup", directory / "copy")


def test_received_wal_is_that_of_the_server(start, publisher, directory):
    proxy = start()
    publisher.run("CREATE TABLE received (i int, name text)", "app")
    name, at = publisher.run("SELECT pg_walfile_name(pg_current_wal_lsn()), pg_current_wal_lsn()")[0]
    receiver = tool_in_background("pg_receivewal", proxy, "-D", directory, "--no-loop", "--status-interval", "1")
    try:
        system.eventually(lambda: streams(publisher), 20, "its stream")
        publisher.run("INSERT INTO received SELECT i, md5(i::text) FROM generate_series(1, 20000) i", "app")
        publisher.run("SELECT pg_switch_wal()")
        system.eventually((directory / name).exists, 20, f"segment {name}, from {at}")
        assert (directory / name).read_bytes() == (publisher.data / "pg_wal" / name).read_bytes()
    finally:
        status = system.end(receiver, signal.SIGINT, 20)
    assert status == 0, receiver.stdout.read()


def test_logical_changes_are_those_of_the_slot(start, publisher):
    proxy = start()
    tool("pg_recvlogical", proxy, "-d", "app", "-S", "decoded", "--create-slot", "-P", "test_decoding")
    publisher.run("CREATE TABLE decoded (id int PRIMARY KEY, name text)", "app")
    publisher.run("INSERT INTO decoded SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 3000) i", "app")
    publisher.run("UPDATE decoded SET name = 'x' WHERE id % 3 = 0", "app")
    end = publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0]
    changes = [text for (text,) in publisher.run("SELECT data FROM pg_logical_slot_peek_changes('decoded', NULL, NULL)", "app")]
    told = tool("pg_recvlogical", proxy, "-d", "app", "-S", "decoded", "--start", "--endpos", end, "--no-loop", "-f", "-")
    assert told.splitlines() == changes and len(changes) > 4000
    tool("pg_recvlogical", proxy, "-d", "app", "-S", "decoded", "--drop-slot")


def test_standby_follows_and_outlives_pglane(start, publisher):
    """Also what a synchronous standby needs: its name in pg_stat_replication, and its answers."""
    proxy = start()
    standby = Copy(publisher, proxy, "-R", "-X", "stream", settings="cluster_name = 'twin'\n")
    try:
        publisher.run("ALTER SYSTEM SET synchronous_standby_names = 'twin'")
        publisher.run("SELECT pg_reload_conf()")
        system.eventually(lambda: publisher.run("SELECT application_name, sync_state FROM pg_stat_replication") == [("twin", "sync")], 20, "the standby")
        publisher.run("INSERT INTO items SELECT i, md5(i::text) FROM generate_series(5001, 6000) i", "app")
        standby.catch_up()
        assert contents(standby) == contents(publisher)
        proxy.stop_only()
        system.eventually(lambda: not streams(publisher), 10, "the end of its walsender")
        proxy.start()
        publisher.run("INSERT INTO items SELECT i, md5(i::text) FROM generate_series(6001, 7000) i", "app")  # waits for the standby
        standby.catch_up()
        assert contents(standby) == contents(publisher)
    finally:
        publisher.run("ALTER SYSTEM RESET synchronous_standby_names")
        publisher.run("SELECT pg_reload_conf()")
        standby.destroy()


def test_subscription(start, publisher):
    """The first contents, what follows, and a walsender that is killed; statements in transaction pooling go on beside it."""
    proxy = start()
    subscriber = Copy(publisher, proxy, "-X", "fetch")
    publisher.run("CREATE TABLE shared (id int PRIMARY KEY, name text)", "app")
    publisher.run("CREATE PUBLICATION pub FOR TABLE shared", "app")
    subscriber.run("CREATE TABLE shared (id int PRIMARY KEY, name text)", "app")

    def others(stop):
        while not stop.is_set():
            assert proxy.run("SELECT count(*) FROM (SELECT pg_backend_pid()) a") == [(1,)]
            time.sleep(0.01)

    def write(first, last):
        publisher.run(f"INSERT INTO shared SELECT i, md5(i::text) FROM generate_series({first}, {last}) i", "app")

    def is_same():
        return contents(subscriber, "shared") == contents(publisher, "shared")

    try:
        with Background(others):
            write(1, 3000)
            subscriber.run(f"""CREATE SUBSCRIPTION sub CONNECTION 'host={proxy.host} port={proxy.port} dbname=app user=postgres'
                               PUBLICATION pub""", "app")
            system.eventually(is_same, 60, "the first contents")
            write(3001, 6000)
            system.eventually(is_same, 60, "what followed")
            system.eventually(lambda: {row["replication"] for row in sockets(proxy, "SERVERS")} == {"none", "logical"}, 30, "both kinds of servers")
            publisher.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {IS_STREAM}")
            write(6001, 7000)
            system.eventually(is_same, 60, "what followed a reconnection")
        subscriber.run("DROP SUBSCRIPTION sub", "app")
    finally:
        subscriber.destroy()
    assert publisher.run("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'sub'") == [(0,)]


# ---- volume ----


def test_slow_reader_is_bounded_and_gets_all(start, publisher):
    proxy = start(workers=1)
    n_bytes = scaled(160, 64) * MB
    at = lsn(publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0])
    with sender(proxy) as client:
        before = proxy.resident_bytes()
        start_stream(client, at)
        publisher.run(f"SELECT count(pg_logical_emit_message(false, 'volume', repeat(md5(i::text), 1 << 15))) FROM generate_series(1, {n_bytes // MB}) i")
        system.eventually(lambda: is_held_back(publisher, at + n_bytes), 20, "a walsender that waits")
        assert proxy.resident_bytes() - before < memory_limit(4 * MB)
        wal = read_wal(client, at, at + n_bytes)
        assert hashlib.sha256(wal).digest() == hashlib.sha256(wal_of_files(publisher, at, len(wal))).digest()
        assert proxy.resident_bytes() - before < memory_limit(4 * MB)


def is_held_back(cluster, end):
    """Its walsender has not come to the end, and gets no further."""
    sent = {cluster.run("SELECT sent_lsn FROM pg_stat_replication")[0][0] for _ in range(20)}
    return len(sent) == 1 and lsn(sent.pop()) < end


# ---- the end ----


def test_shutdown_does_not_wait_for_streams(start, publisher):
    proxy = start(workers=1)
    with sender(proxy) as client:
        start_stream(client, lsn(publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0]))
        proxy.send_signal(signal.SIGTERM)
        assert client.fatal().sqlstate == "57P01"
    assert proxy.process.wait(20) == 0
    proxy.start()


def test_streams_stay_as_long_as_others_hold_up_a_shutdown(start, publisher):
    """On whatever worker these are."""
    proxy = start(workers=2)
    with contextlib.ExitStack() as stack:
        other = sender(proxy, LOGICAL)
        readers = [stack.enter_context(sender(proxy)) for _ in range(5)]
        assert {row["id"] % 2 for row in sockets(proxy, "CLIENTS", "physical")} == {0, 1}, "streams on each worker"
        at = lsn(publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0])
        for reader in readers:
            start_stream(reader, at)
        proxy.send_signal(signal.SIGTERM)
        other.query("SELECT pg_sleep(2.1)")  # each worker has looked twice
        publisher.run("SELECT pg_logical_emit_message(true, 'still', 'there')")
        for reader in readers:
            read_wal(reader, at, at + 1)
        other.close()
        for reader in readers:
            assert reader.fatal().sqlstate == "57P01"
    assert proxy.process.wait(20) == 0
    proxy.start()


def test_shutdown_lets_a_base_backup_end(start, publisher, directory):
    proxy = start(workers=2)
    backup = tool_in_background("pg_basebackup", proxy, "-D", directory / "copy", "-c", "fast", "--no-sync", "-X", "stream", "--max-rate", "64M")
    system.eventually(lambda: len(streams(publisher)) == 2, 20, "its two connections")
    proxy.send_signal(signal.SIGTERM)
    status = backup.wait(60)
    assert status == 0, backup.stdout.read()
    system.run(f"{binaries()}/pg_verifybackup", directory / "copy")
    assert proxy.process.wait(20) == 0
    proxy.start()


def test_postgresqls_shutdown_is_heard_as_it_is(start, publisher):
    """A walsender whose server stops ends the COPY and says no more."""
    proxy = start()
    with sender(proxy) as client:
        at = lsn(publisher.run("SELECT pg_current_wal_flush_lsn()")[0][0])
        start_stream(client, at)
        publisher.process.send_signal(signal.SIGINT)
        kinds = []
        while "C" not in kinds:
            kind, body = client.receive()
            kinds.append(kind)
            if body[:1] in (b"w", b"k"):
                (sent,) = struct.unpack_from("!q", body, 9 if kind == "d" and body[:1] == b"w" else 1)
                client.send(status_update(sent))
        assert set(kinds) == {"d", "C"} and client.is_closed()
        publisher.process.wait(20)
        publisher.start()
