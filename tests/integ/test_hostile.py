# SPDX-License-Identifier: ISC
"""Bad input: a FATAL with its SQLSTATE, the connection closed, nobody else disturbed, memory as before."""

import os
import random
import struct

import pytest

from harness import system, wire
from harness.traffic import memory_limit, scaled

GOOD = {"user": "app", "database": "app"}


def packet(body, length=None):
    return struct.pack("!i", len(body) + 4 if length is None else length) + body


def parameters(*pairs):
    return b"".join(wire.text(key) + wire.text(value) for key, value in pairs) + b"\0"


VERSION_3 = struct.pack("!i", wire.PROTOCOL_3_0)

# What is sent first on a fresh connection -> SQLSTATE.
FIRST_BYTES = {
    "http": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "08P01"),
    "zeros": (b"\0" * 64, "08P01"),
    "ones": (b"\xff" * 64, "08P01"),
    "ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", "08P01"),
    "length 0": (packet(VERSION_3, 0), "08P01"),
    "length 4": (packet(b"", 4) + VERSION_3, "08P01"),
    "length 7": (packet(b"\0\3\0", 7), "08P01"),
    "negative length": (packet(VERSION_3, -1), "08P01"),
    "claims 1 GB": (packet(VERSION_3 + b"user\0app\0", 1 << 30), "08P01"),
    "claims 2 GB": (packet(VERSION_3, 0x7FFFFFFF), "08P01"),
    "a query before startup": (wire.query("SELECT 1"), "08P01"),
    "protocol 2": (packet(struct.pack("!i", 131072) + b"\0" * 288), "0A000"),
    "protocol 4": (packet(struct.pack("!i", 4 << 16) + parameters(("user", "app"))), "0A000"),
    "protocol 0": (packet(struct.pack("!i", 0) + parameters(("user", "app"))), "0A000"),
    "no parameters": (packet(VERSION_3), "08P01"),
    "no user": (packet(VERSION_3 + parameters(("database", "app"))), "28000"),
    "empty user": (packet(VERSION_3 + parameters(("user", ""), ("database", "app"))), "28000"),
    "no terminator": (packet(VERSION_3 + b"user\0app\0"), "08P01"),
    "key without value": (packet(VERSION_3 + b"user\0"), "08P01"),
    "unterminated value": (packet(VERSION_3 + b"user\0app"), "08P01"),
    "trailing bytes": (packet(VERSION_3 + parameters(("user", "app"), ("database", "app")) + b"trailing"), "08P01"),
    "SSLRequest with a body": (packet(struct.pack("!i", wire.SSL_REQUEST) + b"xx"), "08P01"),
    "10 KB of a parameter": (packet(VERSION_3 + parameters(("user", "app"), ("database", "app"), ("application_name", "x" * 10240))), "08P01"),
    "10 KB of parameters": (packet(VERSION_3 + parameters(("user", "app"), *((f"x{i}", "y") for i in range(2000)))), "08P01"),
    "unknown parameter": (packet(VERSION_3 + parameters(("user", "app"), ("database", "app"), ("no_such_parameter", "1"))), "42704"),
    "parameter with a bad name": (packet(VERSION_3 + parameters(("user", "app"), ("database", "app"), ("a b;c'", "1"))), "08P01"),
}


@pytest.mark.parametrize("name", FIRST_BYTES)
def test_first_bytes(shared, name):
    data, sqlstate = FIRST_BYTES[name]
    with shared.client() as bystander, shared.raw() as client:
        client.send(data)
        assert client.fatal().sqlstate == sqlstate
        assert bystander.query("SELECT 1").value == "1"


@pytest.mark.parametrize("name", ["http", "claims 1 GB", "no terminator"])
def test_first_bytes_then_end_of_file(shared, name):
    """A half sent packet and a client that leaves."""
    data, _ = FIRST_BYTES[name]
    with shared.raw() as client:
        client.send(data[:7])
    assert shared.run("SELECT 1") == [(1,)]


def test_ignored_parameter_is_accepted(start):
    proxy = start(ignore_startup_parameters="extra_float_digits, no_such_parameter")
    with proxy.client(no_such_parameter="1", extra_float_digits="3") as client:
        assert client.query("SELECT 1").value == "1"


# After login -> SQLSTATE of the FATAL.
MESSAGES = {
    "unknown type": (wire.message("\x01", b"xx"), "08P01"),
    "backend's type": (wire.message("Z", b"I"), "08P01"),
    "password after login": (wire.message("p", wire.text("x")), "08P01"),
    "startup again": (wire.startup_packet(GOOD), "08P01"),
    "length 0": (b"Q\0\0\0\0", "08P01"),
    "length 3": (b"Q\0\0\0\3", "08P01"),
    "negative length": (b"Q\xff\xff\xff\xff", "08P01"),
    "query without terminator": (wire.message("Q", b"SELECT 1"), "08P01"),
    "empty query message": (wire.message("Q"), "08P01"),
    "query with trailing bytes": (wire.message("Q", b"SELECT 1\0SELECT 2\0"), "08P01"),
    "sync with a body": (wire.message("S", b"x"), "08P01"),
    "parse without terminator": (wire.message("P", b"name"), "08P01"),
    "parse with too many types": (wire.message("P", b"\0SELECT 1\0" + struct.pack("!h", 30000)), "08P01"),
    "bind without anything": (wire.message("B"), "08P01"),
    "bind with a truncated value": (wire.parse("", "SELECT $1") + wire.message("B", b"\0\0" + struct.pack("!hhi", 0, 1, 1000) + b"x"), "08P01"),
    "describe of nothing": (wire.message("D", b"X\0"), "08P01"),
    "execute without rows": (wire.message("E", b"\0"), "08P01"),
    "close of nothing": (wire.message("C", b"Q\0"), "08P01"),
}


def refusal(client):
    """The first error, FATAL or not: what a server may refuse in band is as good as a closed connection."""
    try:
        while True:
            kind, body = client.receive()
            if kind == "E":
                return wire.ServerError(wire.error_fields(body))
    except wire.Closed:
        return None


@pytest.mark.parametrize("name", MESSAGES)
def test_message_after_login(shared, name):
    data, sqlstate = MESSAGES[name]
    with shared.client() as bystander, shared.client() as client:
        client.send(data, wire.SYNC)
        refused = refusal(client)
        assert refused and refused.sqlstate == sqlstate, refused
        assert bystander.query("SELECT 1").value == "1"


@pytest.mark.parametrize("name", MESSAGES)
def test_message_inside_a_transaction(shared, cluster, name):
    """The transaction is gone with its connection and its server is clean for the next."""
    data, _ = MESSAGES[name]
    with shared.client() as client:
        client.query("BEGIN")
        client.query("SELECT 1")
        client.send(data, wire.SYNC)
        assert refusal(client)
    system.eventually(lambda: not cluster.backends("state LIKE 'idle in transaction%'"))
    assert shared.run("SELECT 1") == [(1,)]


@pytest.mark.parametrize("size", [1 << 30, 0x7FFFFFFF])
def test_oversized_message(start, size):
    """Beyond max_packet_size: refused by its head, without reading or keeping the body."""
    proxy = start(max_packet_size=1 << 20)
    before = proxy.resident_bytes()
    with proxy.client() as client:
        client.send(b"Q" + struct.pack("!i", size) + b"x" * 1000)
        assert client.fatal().sqlstate == "08P01"
    assert proxy.resident_bytes() - before < memory_limit(4 << 20)


def test_claimed_length_costs_nothing(shared):
    """A hundred clients that claim a gigabyte each and send little."""
    clients = [shared.client() for _ in range(100)]
    try:
        before = shared.resident_bytes()
        for client in clients:
            client.send(b"Q" + struct.pack("!i", 1 << 30) + b"SELECT '" + b"x" * 5000)
        assert shared.run("SELECT 1") == [(1,)]
        assert shared.resident_bytes() - before < memory_limit(32 << 20)
    finally:
        for client in clients:
            client.close()


OUT_OF_ORDER = {
    "copy data out of nowhere": (wire.copy_data(b"x"), wire.COPY_DONE),
    "execute without bind": (wire.execute("nothing"), wire.SYNC),
    "bind without parse": (wire.bind("", "nothing"), wire.SYNC),
    "describe without parse": (wire.describe("S", "nothing"), wire.SYNC),
    "many syncs": (wire.SYNC,) * 50,
    "many flushes": (wire.FLUSH,) * 50,
    "query inside a batch": (wire.parse("", "SELECT 1"), wire.query("SELECT 2")),
    "function call": (wire.message("F", struct.pack("!Ihhh", 1598, 0, 0, 0)),),
}


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_out_of_order_is_survived(shared, name):
    """Odd but framed: an error in band or silence, then the connection works or was closed with a reason; never a hang."""
    with shared.client() as client:
        client.send(*OUT_OF_ORDER[name], wire.query("SELECT 'marker'"))
        try:
            while True:
                kind, body = client.receive()
                if kind == "D" and b"marker" in body:
                    break
        except wire.Closed:
            pytest.fail(f"closed by: {name}")
    assert shared.run("SELECT 1") == [(1,)]


def test_random_bytes(shared):
    """Noise of every length, before and after login; the process outlives it with its memory unchanged."""
    source = random.Random(int(os.environ.get("PGLANE_SEED", "20")))
    before = shared.resident_bytes()
    for round_ in range(scaled(300, 50)):
        noise = source.randbytes(source.choice((1, 5, 8, 40, 500, 9000)))
        client = shared.client() if round_ % 2 else shared.raw()
        with client:
            try:
                client.send(noise)
            except OSError:
                pass
    assert shared.run("SELECT 1") == [(1,)]
    assert shared.resident_bytes() - before < memory_limit(16 << 20)


def test_mutated_conversations(shared):
    """A right conversation with one byte changed."""
    source = random.Random(int(os.environ.get("PGLANE_SEED", "21")))
    right = (wire.parse("s", "SELECT $1::text") + wire.bind("", "s", ["v"]) + wire.describe("P") + wire.execute() + wire.close("S", "s") + wire.SYNC)
    for _ in range(scaled(200, 40)):
        changed = bytearray(right)
        changed[source.randrange(len(changed))] = source.randrange(256)
        with shared.client() as client:
            client.send(bytes(changed))
            client.socket.shutdown(1)
            try:
                while True:
                    client.receive()
            except (wire.Closed, AssertionError):
                pass
    assert shared.run("SELECT 1") == [(1,)]


def test_connections_that_say_nothing_do_not_stop_others(start):
    proxy = start(client_login_timeout=60)
    silent = [proxy.raw() for _ in range(200)]
    try:
        assert proxy.run("SELECT 1") == [(1,)]
    finally:
        for client in silent:
            client.close()
