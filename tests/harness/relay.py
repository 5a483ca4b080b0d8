# SPDX-License-Identifier: ISC
"""A bad line: a TCP relay that holds bytes back and cuts them anywhere."""

import contextlib
import socket
import threading


class Relay:
    """Between pglane and PostgreSQL. let(n): only n bytes more of what PostgreSQL says pass; None: all. With a random generator (pieces), both
    directions come in pieces of any length from 1 byte on."""

    def __init__(self, port, pieces=None):
        self.pieces = pieces
        self.target, self.listener = port, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.limit = None
        self.condition = threading.Condition()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.target))
            for side in (near, far):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.pass_on, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(far, near, True), daemon=True).start()

    def let(self, limit):
        with self.condition:
            self.limit = limit
            self.condition.notify_all()

    def taken(self, n, limited):
        """How many of n bytes may pass now."""
        if self.pieces and n > 1 and self.pieces.random() < 0.5:
            n = min(n, self.pieces.choice([1, 2, 4, 5, 6, self.pieces.randrange(1, n)]))
        if not limited:
            return n
        with self.condition:
            self.condition.wait_for(lambda: self.limit is None or self.limit > 0)
            return n if self.limit is None else min(self.limit, n)

    def gone(self, n, limited):
        with self.condition:
            if limited and self.limit is not None:
                self.limit -= n

    def pass_on(self, source, sink, limited):
        try:
            while data := source.recv(65536):
                while data:
                    n = self.taken(len(data), limited)
                    sink.sendall(data[:n])
                    self.gone(n, limited)
                    data = data[n:]
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for side in (source, sink):  # a reset passes on as an end
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()
