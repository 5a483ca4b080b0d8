# SPDX-License-Identifier: ISC
"""COPY both ways: 100 MB arrive as they were sent, and a COPY that fails leaves the connection usable."""

import hashlib
import io
import threading

import pytest

from harness import wire
from harness.traffic import memory_limit, scaled

LINE_BYTES = 1000
N_LINES = scaled(100_000, 2_000)


class Lines(io.RawIOBase):
    """N_LINES different lines as a file that never exists; its checksum is known when it has been read."""

    def __init__(self):
        self.line, self.rest, self.digest = 0, b"", hashlib.sha256()

    def readable(self):
        return True

    def readinto(self, buffer):
        while len(self.rest) < len(buffer) and self.line < N_LINES:
            pad = str(self.line).encode()
            self.rest += pad + b"\t" + (pad + b"ZI").ljust(LINE_BYTES - len(pad) - 2, b"x") + b"\n"
            self.line += 1
        taken, self.rest = self.rest[:len(buffer)], self.rest[len(buffer):]
        self.digest.update(taken)
        buffer[:len(taken)] = taken
        return len(taken)


class Digest(io.RawIOBase):
    """Takes bytes and keeps their checksum and count."""

    def __init__(self):
        self.digest, self.n_bytes = hashlib.sha256(), 0

    def writable(self):
        return True

    def write(self, data):
        self.digest.update(data)
        self.n_bytes += len(data)
        return len(data)


CHECKSUM = []


@pytest.fixture
def filled(shared):
    """A table that was filled once by COPY FROM through the proxy, and the checksum of what was sent."""
    if not CHECKSUM:
        shared.run("DROP TABLE IF EXISTS copied; CREATE TABLE copied (n int, payload text)")
        connection, source = shared.connect(), Lines()
        with connection.cursor() as cursor:
            cursor.copy_expert("COPY copied FROM STDIN", io.BufferedReader(source, 65536))
            assert cursor.rowcount == N_LINES
        connection.close()
        CHECKSUM.append(source.digest.hexdigest())
    return CHECKSUM[0]


def test_copy_in_arrives_whole(shared, cluster, filled):
    rows = cluster.run("""SELECT count(*), count(DISTINCT n), min(length(payload)) > 900,
                          bool_and(starts_with(payload, n || 'ZI')) FROM copied""", "app")
    assert rows == [(N_LINES, N_LINES, True, True)]


def test_copy_out_gives_back_what_was_sent(shared, filled):
    connection, sink = shared.connect(), Digest()
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT", sink)
    connection.close()
    assert sink.n_bytes == N_LINES * LINE_BYTES
    assert sink.digest.hexdigest() == filled


def test_copy_out_over_the_extended_protocol(shared, filled):
    with shared.client() as client:
        client.send(wire.parse("", "COPY (SELECT * FROM copied ORDER BY n) TO STDOUT"), wire.bind("", ""), wire.execute(), wire.SYNC)
        digest, kinds = hashlib.sha256(), set()
        while True:
            kind, body = client.receive()
            kinds.add(kind)
            if kind == "d":
                digest.update(body)
            if kind == "Z":
                break
        assert kinds == set("12HdcCZ") and digest.hexdigest() == filled


def test_copy_memory_is_bounded(shared, filled):
    """The proxy's own memory does not follow the size of what passes."""
    before = shared.resident_bytes()
    connection = shared.connect()
    with connection.cursor() as cursor:
        cursor.copy_expert("COPY copied TO STDOUT", Digest())
    connection.close()
    assert shared.resident_bytes() - before < memory_limit(16 << 20)


def test_copy_fail_from_the_client(shared):
    with shared.client() as client:
        client.query("CREATE TABLE copy_failed (n int)")
        client.send(wire.query("COPY copy_failed FROM STDIN"))
        client.receive_until("G")
        client.send(wire.copy_data(b"1\n"), wire.copy_fail("changed my mind"))
        failed = client.result()
        assert failed.sqlstate == "57014" and failed.status == "I"
        assert client.query("SELECT count(*) FROM copy_failed").value == "0"
        client.query("DROP TABLE copy_failed")


def test_copy_error_from_the_server(shared):
    """The server gives up in the middle; what the client still sends is dropped and the connection goes on."""
    with shared.client() as client:
        client.query("CREATE TABLE copy_bad (n int)")
        client.send(wire.query("COPY copy_bad FROM STDIN"))
        client.receive_until("G")
        client.send(wire.copy_data(b"not a number\n"), *(wire.copy_data(b"1\n" * 1000) for _ in range(200)), wire.COPY_DONE)
        assert client.result().sqlstate == "22P02"
        assert client.query("SELECT count(*) FROM copy_bad").value == "0"
        client.query("DROP TABLE copy_bad")


def test_copy_error_over_the_extended_protocol(shared):
    """After the error the server waits for Sync; CopyData on the way is dropped, and the Sync is answered once."""
    with shared.client() as client:
        client.query("CREATE TABLE copy_bad_extended (n int)")
        client.send(wire.parse("", "COPY copy_bad_extended FROM STDIN"), wire.bind("", ""), wire.execute())
        client.send(wire.copy_data(b"not a number\n"), wire.copy_data(b"1\n"), wire.COPY_DONE, wire.SYNC)
        assert client.result().sqlstate == "22P02"
        assert client.query("SELECT 1").value == "1"
        client.query("DROP TABLE copy_bad_extended")


def test_copy_in_over_the_extended_protocol(shared):
    with shared.client() as client:
        client.query("CREATE TABLE copy_extended (n int)")
        client.send(wire.parse("", "COPY copy_extended FROM STDIN"), wire.bind("", ""), wire.execute(), wire.SYNC)
        client.receive_until("G")
        client.send(wire.copy_data(b"1\n2\n3\n"), wire.COPY_DONE, wire.SYNC)
        assert client.result().tags == ["COPY 3"]
        assert client.query("SELECT count(*) FROM copy_extended").value == "3"
        client.query("DROP TABLE copy_extended")


def test_two_copies_at_once_do_not_mix(shared, filled):
    digests = []

    def work():
        connection, sink = shared.connect(), Digest()
        with connection.cursor() as cursor:
            cursor.copy_expert("COPY (SELECT * FROM copied ORDER BY n) TO STDOUT", sink)
        connection.close()
        digests.append(sink.digest.hexdigest())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests == [filled] * 4


@pytest.mark.parametrize("stranger", [wire.query("SELECT 1"), wire.parse("", "SELECT 1"), wire.execute()], ids=["Query", "Parse", "Execute"])
@pytest.mark.parametrize("begin", [(wire.query("COPY stray FROM STDIN"),),
                                   (wire.parse("", "COPY stray FROM STDIN"), wire.bind("", ""), wire.execute(), wire.FLUSH)],
                         ids=["simple", "extended"])
@pytest.mark.parametrize("early", [False, True], ids=["late", "early"])
def test_other_messages_in_a_copy_end_the_connection(shared, cluster, begin, stranger, early):
    """As in PostgreSQL, and at once; `early`: sent before the server has asked for the data."""
    cluster.run("CREATE TABLE IF NOT EXISTS stray (t text); GRANT ALL ON stray TO PUBLIC", "app")
    client = shared.client(timeout_s=10)
    if early:
        client.send(*begin, stranger)
    else:
        client.send(*begin)
        client.receive_until("G")
        client.send(wire.copy_data(b"1\n"), stranger)
    assert client.fatal().sqlstate == "08P01"
    assert shared.run("SELECT count(*) FROM stray") == [(0,)]
