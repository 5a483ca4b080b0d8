# SPDX-License-Identifier: ISC
"""How a server's login ends, byte by byte: a relay between pglane and PostgreSQL decides what comes in one piece."""

import contextlib
import re
import selectors
import socket
import threading

import pytest

from harness import system, wire

READY = wire.message("Z", b"I")
PARAMETER = wire.message("S", wire.text("TimeZone") + wire.text("Asia/Tokyo"))
NOTICE = wire.message("N", b"SNOTICE\0C00000\0Mof no matter\0\0")
FATAL = wire.message("E", b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0")


class Relay:
    """Hands bytes between pglane and PostgreSQL. Behind the ReadyForQuery of each login it puts `behind`, in the same send; `later` goes
    ahead of the first bytes that the server sends after that. hang_up: the server's end comes right behind."""

    def __init__(self, port, behind=b"", later=b"", hang_up=False):
        self.server_port, self.behind, self.later, self.hang_up = port, behind, later, hang_up
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.carry, args=(client,), daemon=True).start()

    def carry(self, client):
        with client, socket.create_connection(("127.0.0.1", self.server_port)) as server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, (server, False))
            selector.register(server, selectors.EVENT_READ, (client, True))
            login, ahead = b"", None
            while True:
                for key, _ in selector.select():
                    to, from_server = key.data
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    if from_server and ahead is None:
                        login += data
                        if not login.endswith(READY):
                            to.sendall(data)
                            continue
                        to.sendall(data + self.behind)
                        ahead = self.later
                        if self.hang_up:
                            return
                    elif from_server:
                        to.sendall(ahead + data)
                        ahead = b""
                    else:
                        to.sendall(data)


def through(start, relay, **settings):
    return start(databases={"app": f"host=127.0.0.1 port={relay.port} dbname=app"}, workers=1, **settings)


def test_parameter_behind_the_login(start, cluster):
    """What the server says last is what its session has."""
    with Relay(cluster.port, behind=PARAMETER) as relay, through(start, relay).client() as client:
        assert client.parameters["TimeZone"] == "Asia/Tokyo"
        assert client.query("SELECT 1").value == "1"


@pytest.mark.parametrize("n_bytes", range(1, len(NOTICE + PARAMETER), 7))
def test_part_of_a_message_behind_the_login(start, cluster, n_bytes):
    """Its rest comes ahead of the first reply; nothing is lost in between."""
    words = NOTICE + PARAMETER
    with Relay(cluster.port, behind=words[:n_bytes], later=words[n_bytes:]) as relay, through(start, relay).client() as client:
        first = client.query("SELECT 1")
        assert (first.value, first.parameters) == ("1", {"TimeZone": "Asia/Tokyo"})
        assert client.query("SELECT 2").value == "2"


def test_notices_behind_the_login(start, cluster):
    with Relay(cluster.port, behind=NOTICE * 2000) as relay, through(start, relay).client() as client:
        assert client.query("SELECT 1").value == "1"


def test_end_behind_the_login(start, cluster):
    """The server's own words say why."""
    with Relay(cluster.port, behind=FATAL, hang_up=True) as relay:
        proxy = through(start, relay)
        with pytest.raises(wire.ServerError) as refused:
            proxy.client()
        assert refused.value.fields["D"] == "terminating connection due to administrator command (57P01)"


def test_garbage_behind_the_login(start, cluster):
    with Relay(cluster.port, behind=wire.message("D", b"\0\0")) as relay:
        proxy = through(start, relay)
        with pytest.raises(wire.ServerError) as refused:
            proxy.client()
        assert "unexpected message during login" in refused.value.fields["D"]


def test_failure_of_an_attempt_before_is_said_to_be_one(start):
    """For server_login_retry the words are those of an attempt that may be history by now."""
    proxy = start(databases={"gone": f"host=127.0.0.1 port={system.free_port()}"}, server_login_retry="60s")
    told = []
    for _ in range(2):
        with pytest.raises(wire.ServerError) as refused:
            proxy.client(database="gone")
        told.append(refused.value.fields)
    assert told[0]["C"] == told[1]["C"] == "08006" and told[0]["M"] == told[1]["M"]
    assert told[0]["D"].startswith("127.0.0.1:") and "refused" in told[0]["D"]
    said = re.fullmatch(r"Connecting failed \d+ ms ago, and is tried again in (\d+) ms \(server_login_retry\): (.*)", told[1]["D"])
    assert said and 0 < int(said.group(1)) <= 60000 and said.group(2) == told[0]["D"]
