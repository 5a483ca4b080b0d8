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
        self.limit, self.n_under_way = None, 0
        self.condition = threading.Condition()
        self.lines, self.is_resetting = [], False
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
            threads = [threading.Thread(target=self.pass_on, args=way, daemon=True) for way in ((near, far, False), (far, near, True))]
            self.lines.append((near, far, threads))
            for thread in threads:
                thread.start()

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
            if self.limit is not None:
                n = min(self.limit, n)
                self.limit -= n
                self.n_under_way += 1
                return n
        return n

    def is_shut(self):
        """All that may pass has passed."""
        with self.condition:
            return self.limit == 0 and self.n_under_way == 0

    def pass_on(self, source, sink, limited):
        try:
            while data := source.recv(65536):
                while data:
                    n = self.taken(len(data), limited)
                    sink.sendall(data[:n])
                    with self.condition:
                        self.n_under_way *= not limited
                    data = data[n:]
            if not self.is_resetting:
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            for side in (source, sink):  # a reset passes on as an end
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

    def reset(self):
        """pglane gets what PostgreSQL has said, and at once behind it a reset of every line."""
        self.is_resetting = True
        self.let(None)
        for near, far, threads in self.lines:
            for side in (near, far):
                with contextlib.suppress(OSError):
                    side.shutdown(socket.SHUT_RD)
            for thread in threads:
                thread.join(10)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            near.close()
            far.close()
        self.lines, self.is_resetting = [], False

    def close(self):
        self.listener.close()
