# SPDX-License-Identifier: ISC
"""Values made of protocol bytes: a proxy that looks for messages where data is would take them for messages."""

import hashlib
import random

import pytest

from harness import wire

READY = wire.message("Z", b"I")
FAKES = {
    "ready": READY,
    "ready in failed transaction": wire.message("Z", b"E"),
    "many ready": READY * 500,
    "error": wire.message("E", b"SFATAL\0C57P01\0Mfake\0\0"),
    "command complete": wire.message("C", b"COMMIT\0") + READY,
    "row": wire.message("D", b"\0\1\0\0\0\1x"),
    "copy in": wire.message("G", b"\0\0\0"),
    "copy out and done": wire.message("H", b"\0\0\0") + wire.COPY_DONE + wire.message("C", b"COPY 1\0") + READY,
    "parameter status": wire.message("S", b"client_encoding\0EVIL\0"),
    "authentication": wire.message("R", b"\0\0\0\3"),
    "terminate": wire.TERMINATE,
    "sync": wire.SYNC * 100,
    "query": wire.query("DROP TABLE pgbench_accounts"),
    "startup": wire.startup_packet({"user": "evil"}),
    "cancel": wire.cancel_packet(1, b"\0\0\0\1"),
    "huge length": b"D\x7f\xff\xff\xff" + b"x" * 100,
    "negative length": b"D\xff\xff\xff\xff" + b"x" * 100,
    "every byte": bytes(range(256)) * 16,
}
LENGTHS = [0, 1, 4, 5, 4090, 4095, 4096, 4097, 8187, 8192, 16379, 16384, 32768, 65531, 65535, 65536, 65537, 131072, 262144 + 3]


def echo(client, value):
    """The value there and back as a binary bytea."""
    result = client.exchange(wire.parse("", "SELECT $1", [17]), bind_binary(value), wire.execute())
    assert result.kinds == "12DCZ", result.errors or result.kinds
    return result.rows[0][0]


def bind_binary(value):
    length = len(value).to_bytes(4, "big")
    return wire.message("B", b"\0\0" + b"\0\1\0\1" + b"\0\1" + length + value + b"\0\1\0\1")


@pytest.mark.parametrize("name", FAKES)
def test_fake_messages_as_values(shared, name):
    with shared.client() as client:
        assert echo(client, FAKES[name]) == FAKES[name]
        assert client.query("SELECT 1").value == "1"


@pytest.mark.parametrize("name", FAKES)
def test_fake_messages_in_copy(shared, name):
    """One COPY in whose CopyData bodies are fake messages, as one stream cut anywhere."""
    value = FAKES[name]
    with shared.client() as client:
        client.query("CREATE TABLE IF NOT EXISTS payload_copy (value bytea)")
        client.query("TRUNCATE payload_copy")
        client.send(wire.query("COPY payload_copy FROM STDIN (FORMAT binary)"))
        client.receive_until("G")
        stream = b"PGCOPY\n\xff\r\n\0" + b"\0" * 8 + b"\0\1" + len(value).to_bytes(4, "big") + value + b"\xff\xff"
        cuts = sorted(random.Random(1).sample(range(1, len(stream)), min(20, len(stream) - 1)))
        client.send(*(wire.copy_data(stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)])), wire.COPY_DONE)
        assert client.result().tags == ["COPY 1"]
        assert client.query("SELECT sha256(value) FROM payload_copy").value == "\\x" + hashlib.sha256(value).hexdigest()


def test_every_length_around_the_buffers(shared):
    with shared.client() as client:
        for length in LENGTHS:
            value = (READY * (length // len(READY) + 1))[:length]
            assert echo(client, value) == value, f"{length} bytes"


def test_a_pipeline_of_mixed_lengths(shared):
    """Lengths that put message heads at every place of a receive buffer, many in flight."""
    source = random.Random(20)
    values = [(READY * 20000)[:source.choice((source.randrange(64), source.randrange(5000), source.randrange(100000)))] for _ in range(150)]
    with shared.client() as client:
        for start in range(0, len(values), 30):
            batch = values[start:start + 30]
            client.send(*(wire.parse("", "SELECT $1", [17]) + bind_binary(value) + wire.execute() + wire.SYNC for value in batch))
            for value in batch:
                assert client.result().rows == [[value]]


def test_statement_text_made_of_fake_messages(shared):
    with shared.client() as client:
        assert client.query("SELECT 'Z\x05I; X\x04 $$ /* -- '").value == "Z\x05I; X\x04 $$ /* -- "


def test_statements_cut_anywhere(shared):
    """The same bytes in pieces of every size give the same answers."""
    stream = wire.query("SELECT 'a'") + wire.parse("", "SELECT $1", [17]) + bind_binary(READY * 3) + wire.execute() + wire.SYNC + wire.query("SELECT 'b'")
    with shared.client() as client:
        for size in (1, 2, 3, 4, 5, 6, 7, 11, 13, 64):
            for start in range(0, len(stream), size):
                client.send(stream[start:start + size])
            assert client.result().value == "a"
            assert client.result().rows == [[READY * 3]]
            assert client.result().value == "b"
