# SPDX-License-Identifier: ISC
"""A cancel request carries a key that cancels: it goes to the server as the server's own connection does."""

import contextlib
import socket
import struct
import threading

import pytest

from harness import system, wire


class Ear:
    """Hands bytes on to PostgreSQL and remembers how each connection began."""

    def __init__(self, port, decline_from=None):
        self.server_port, self.decline_from = port, decline_from
        self.beginnings = []
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
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.carry, args=(self.listener.accept()[0],), daemon=True).start()

    def carry(self, client):
        """decline_from: the how-manieth connection is the first whose SSLRequest is answered N."""
        index = len(self.beginnings)
        self.beginnings.append([])
        code = struct.unpack("!i", client.recv(8, socket.MSG_PEEK | socket.MSG_WAITALL)[4:])[0]
        self.beginnings[index].append(code)
        if code == wire.SSL_REQUEST and self.decline_from is not None and index >= self.decline_from:
            client.recv(8)
            client.sendall(b"N")
        server = socket.create_connection(("127.0.0.1", self.server_port))
        threads = [threading.Thread(target=self.pump, args=way, daemon=True) for way in ((client, server, index), (server, client, None))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
        server.close()

    def pump(self, source, sink, index):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if index is not None:
                    self.beginnings[index].append(data)
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def cancel_a_sleep(proxy, cluster):
    """Cancels a statement that would run for a minute; the error it gets."""
    with proxy.client() as client:
        client.send(wire.query("SELECT pg_sleep(60)"))
        system.eventually(lambda: cluster.backends("query LIKE '%pg_sleep(60)%' AND state = 'active'"))
        proxy.cancel(client)
        messages = client.receive_until("Z")
        errors = [wire.error_fields(body)["C"] for kind, body in messages if kind == "E"]
        assert client.query("SELECT 1").value == "1"
    return errors


def start_through(start, cluster, ear, mode, host="127.0.0.1"):
    files = {"server_tls_ca_file": cluster.certificates.path("ca.crt")} if mode.startswith("verify") else {}
    return start(databases={"app": f"host={host} port={ear.port} dbname=app"}, server_tls_sslmode=mode, workers=1, **files)


@pytest.mark.parametrize("mode, host", [("prefer", "127.0.0.1"), ("require", "127.0.0.1"), ("verify-full", "localhost")])
def test_cancel_goes_through_tls(start, cluster, mode, host):
    with Ear(cluster.port) as ear:
        assert cancel_a_sleep(start_through(start, cluster, ear, mode, host), cluster) == ["57014"]
        assert len(ear.beginnings) >= 2
        for code, request, hello, *rest in ear.beginnings:
            assert code == wire.SSL_REQUEST and len(request) == 8
            assert hello[0] == 0x16, "a TLS record"


def test_cancel_in_the_clear_to_a_server_in_the_clear(start, cluster):
    with Ear(cluster.port) as ear:
        assert cancel_a_sleep(start_through(start, cluster, ear, "disable"), cluster) == ["57014"]
        assert wire.CANCEL_REQUEST in [code for code, *rest in ear.beginnings]


def test_a_server_that_declines_tls_for_a_cancel(start, cluster):
    """prefer: in the clear, then, as the connection would have gone. The first connection had TLS."""
    with Ear(cluster.port, decline_from=1) as ear:
        assert cancel_a_sleep(start_through(start, cluster, ear, "prefer"), cluster) == ["57014"]
        assert struct.pack("!i", wire.CANCEL_REQUEST) in ear.beginnings[1][1]


def test_no_key_in_the_clear_where_tls_is_required(start, cluster):
    with Ear(cluster.port, decline_from=1) as ear:
        proxy = start_through(start, cluster, ear, "require")
        with proxy.client() as client:
            client.send(wire.query("SELECT pg_sleep(2)"))
            system.eventually(lambda: cluster.backends("query LIKE '%pg_sleep(2)%' AND state = 'active'"))
            proxy.cancel(client)
            assert [kind for kind, _ in client.receive_until("Z")][-2:] == ["C", "Z"]
        system.eventually(lambda: "cancel request failed" in proxy.log_text(), what="a line in the log")
        assert all(struct.pack("!i", wire.CANCEL_REQUEST) not in piece for piece in ear.beginnings[1][1:])
