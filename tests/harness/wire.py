# SPDX-License-Identifier: ISC
"""A client that speaks PostgreSQL's protocol by hand, rightly or wrongly: what drivers would never send, tests send with this."""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct

PROTOCOL_3_0 = 196608
PROTOCOL_3_2 = 196610
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102


class Closed(Exception):
    """The other side closed the connection."""


class ServerError(Exception):
    """An ErrorResponse, as the dictionary of its fields."""

    def __init__(self, fields):
        super().__init__(": ".join(filter(None, (f"{fields.get('S')} {fields.get('C')}", fields.get("M"), fields.get("D")))))
        self.fields = fields
        self.sqlstate = fields.get("C")
        self.severity = fields.get("S")


def text(value):
    """A protocol string."""
    return (value if isinstance(value, bytes) else value.encode()) + b"\0"


def message(kind, body=b""):
    """One framed message."""
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


def startup_packet(parameters, protocol=PROTOCOL_3_0):
    body = struct.pack("!i", protocol)
    for key, value in parameters.items():
        body += text(key) + text(value)
    body += b"\0"
    return struct.pack("!i", len(body) + 4) + body


def parse(name, sql, types=()):
    return message("P", text(name) + text(sql) + struct.pack("!h", len(types)) + b"".join(struct.pack("!I", oid) for oid in types))


def bind(portal, statement, values=(), binary=False):
    """Parameters are bytes, text or None; results come as text, or all binary."""
    body = text(portal) + text(statement) + struct.pack("!hh", 0, len(values))
    for value in values:
        if value is None:
            body += struct.pack("!i", -1)
            continue
        raw = value if isinstance(value, bytes) else str(value).encode()
        body += struct.pack("!i", len(raw)) + raw
    return message("B", body + (struct.pack("!hh", 1, 1) if binary else struct.pack("!h", 0)))


def describe(kind, name=""):
    return message("D", kind.encode() + text(name))


def close(kind, name=""):
    return message("C", kind.encode() + text(name))


def execute(portal="", max_rows=0):
    return message("E", text(portal) + struct.pack("!i", max_rows))


def query(sql):
    return message("Q", text(sql))


SYNC = message("S")
FLUSH = message("H")
TERMINATE = message("X")
COPY_DONE = message("c")


def copy_data(data):
    return message("d", data)


def copy_fail(reason):
    return message("f", text(reason))


def error_fields(body):
    return {field[:1].decode(): field[1:].decode() for field in body.split(b"\0") if field}


def row_values(body):
    """The columns of a DataRow as bytes or None."""
    (n_columns,), offset, values = struct.unpack_from("!h", body), 2, []
    for _ in range(n_columns):
        (length,) = struct.unpack_from("!i", body, offset)
        offset += 4
        values.append(None if length < 0 else body[offset:offset + length])
        offset += max(length, 0)
    assert offset == len(body), "a DataRow ends where its columns end"
    return values


def column_names(body):
    """(name, type oid) of each column of a RowDescription."""
    (n_columns,), offset, columns = struct.unpack_from("!h", body), 2, []
    for _ in range(n_columns):
        ending = body.index(b"\0", offset)
        (oid,) = struct.unpack_from("!I", body, ending + 7)
        columns.append((body[offset:ending].decode(), oid))
        offset = ending + 19
    return columns


class Result:
    """What came back up to ReadyForQuery."""

    def __init__(self, messages):
        self.messages = messages
        self.kinds = "".join(kind for kind, _ in messages)
        self.rows = [row_values(body) for kind, body in messages if kind == "D"]
        self.tags = [body[:-1].decode() for kind, body in messages if kind == "C"]
        self.errors = [ServerError(error_fields(body)) for kind, body in messages if kind == "E"]
        self.notices = [error_fields(body) for kind, body in messages if kind == "N"]
        self.columns = next((column_names(body) for kind, body in messages if kind == "T"), None)
        self.parameters = dict(tuple(part.decode() for part in body.split(b"\0")[:2]) for kind, body in messages if kind == "S")
        self.status = messages[-1][1].decode() if messages and messages[-1][0] == "Z" else None

    @property
    def value(self):
        """The first column of the only row, as text."""
        if self.errors:
            raise self.errors[0]
        assert len(self.rows) == 1, f"one row expected, not {len(self.rows)}"
        return None if self.rows[0][0] is None else self.rows[0][0].decode()

    @property
    def sqlstate(self):
        return self.errors[0].sqlstate if self.errors else None


class RawClient:
    """One TCP (or unix) connection. connect() leaves it raw; login() brings it to ReadyForQuery."""

    def __init__(self, host, port, timeout_s=30):
        if host.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout_s)
            self.socket.connect(f"{host}/.s.PGSQL.{port}")
        else:
            self.socket = socket.create_connection((host, port), timeout_s)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = bytearray()
        self.parameters = {}
        self.pid = self.key = None
        self.protocol_answer = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.socket.close()

    # bytes

    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def receive_exactly(self, n_bytes):
        while len(self.pending) < n_bytes:
            try:
                received = self.socket.recv(65536)
            except ConnectionResetError as error:
                raise Closed() from error
            if not received:
                raise Closed()
            self.pending += received
        taken = bytes(self.pending[:n_bytes])
        del self.pending[:n_bytes]
        return taken

    def is_closed(self):
        """Nothing more comes but the end."""
        try:
            self.receive_exactly(1)
        except Closed:
            return True
        return False

    # messages

    def receive(self):
        head = self.receive_exactly(5)
        (length,) = struct.unpack("!i", head[1:])
        assert length >= 4, f"length {length} in a message"
        return chr(head[0]), self.receive_exactly(length - 4)

    def receive_until(self, kinds):
        """All messages up to the first of one of these kinds, that one included."""
        messages = []
        while not messages or messages[-1][0] not in kinds:
            messages.append(self.receive())
        return messages

    def result(self):
        return Result(self.receive_until("Z"))

    def query(self, sql):
        self.send(query(sql))
        return self.result()

    def exchange(self, *parts):
        """Sends messages and a Sync; what came back."""
        self.send(*parts, SYNC)
        return self.result()

    def extended(self, sql, values=(), statement="", types=()):
        return self.exchange(parse(statement, sql, types), bind("", statement, values), describe("P"), execute())

    def fatal(self):
        """The FATAL that ends this connection; fails unless the connection is closed after it."""
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except Closed:
            pass
        errors = [ServerError(error_fields(body)) for kind, body in messages if kind == "E"]
        assert errors, f"closed without an ErrorResponse: {messages!r}"
        assert errors[-1].severity == "FATAL", errors[-1]
        return errors[-1]

    # login

    def start_tls(self, context=None):
        """SSLRequest; True when the server agreed and TLS is up."""
        self.send(struct.pack("!ii", 8, SSL_REQUEST))
        if self.receive_exactly(1) != b"S":
            return False
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        return True

    def login(self, user="app", database="app", password=None, protocol=PROTOCOL_3_0, **parameters):
        self.send(startup_packet({"user": user, "database": database, **parameters}, protocol))
        self._authenticate(user, password)
        for kind, body in self.receive_until("Z"):
            if kind == "S":
                name, value = body.split(b"\0")[:2]
                self.parameters[name.decode()] = value.decode()
            elif kind == "K":
                self.pid, self.key = struct.unpack("!i", body[:4])[0], body[4:]
            elif kind == "E":
                raise ServerError(error_fields(body))
        return self

    def _authenticate(self, user, password):
        scram = None
        while True:
            kind, body = self.receive()
            if kind == "E":
                raise ServerError(error_fields(body))
            if kind == "v":
                self.protocol_answer = body
                continue
            if kind == "N":
                continue
            assert kind == "R", kind
            (code,) = struct.unpack_from("!i", body)
            if code == 0:
                return
            if code == 3:
                self.send(message("p", text(password)))
            elif code == 5:
                self.send(message("p", text(md5_answer(user, password, body[4:8]))))
            elif code == 10:
                scram = Scram(password)
                first = scram.first()
                self.send(message("p", text("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first))
            elif code == 11:
                self.send(message("p", scram.final(body[4:])))
            elif code == 12:
                scram.check(body[4:])
            else:
                raise AssertionError(f"authentication request {code}")


def md5_answer(user, password, salt):
    inner = hashlib.md5((password + user).encode()).hexdigest()
    return "md5" + hashlib.md5(inner.encode() + salt).hexdigest()


class Scram:
    """The client's half of SCRAM-SHA-256 (RFC 5802), written on its own so that it shares no mistake with what it tests."""

    def __init__(self, password):
        self.password = (password or "").encode()
        self.nonce = base64.b64encode(os.urandom(18))
        self.bare = b"n=,r=" + self.nonce
        self.signature = None

    def first(self):
        return b"n,," + self.bare

    def final(self, server_first):
        fields = dict(part.split(b"=", 1) for part in server_first.split(b","))
        assert fields[b"r"].startswith(self.nonce), "the server's nonce extends ours"
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(fields[b"s"]), int(fields[b"i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = b"c=biws,r=" + fields[b"r"]
        signed = self.bare + b"," + server_first + b"," + without_proof
        client_signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, client_signature))
        self.signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), signed, "sha256")
        return without_proof + b",p=" + base64.b64encode(proof)

    def check(self, server_final):
        assert server_final == b"v=" + base64.b64encode(self.signature), "the server knows the secret"


def scram_secret(password, iterations=4096):
    """The secret of a password, as PostgreSQL and an auth_file hold it."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    salt, stored, server = (base64.b64encode(key).decode() for key in (salt, stored, hmac.digest(salted, b"Server Key", "sha256")))
    return f"SCRAM-SHA-256${iterations}:{salt}${stored}:{server}"


def cancel_packet(pid, key):
    return struct.pack("!ii", 12 + len(key), CANCEL_REQUEST) + struct.pack("!i", pid) + key


def send_cancel(host, port, pid, key):
    """Sends a CancelRequest and waits until the other side has closed."""
    with RawClient(host, port) as client:
        client.send(cancel_packet(pid, key))
        assert client.is_closed()
