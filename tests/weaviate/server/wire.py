# SPDX-License-Identifier: ISC
"""HTTP/1.1 over asyncio, with what clients use: connections that are kept, Expect: 100-continue, chunked bodies. And what tests want: connections that are cut."""

import asyncio
import http
import json
import time

from .rest import Request

REASONS = {status.value: status.phrase for status in http.HTTPStatus}
HEAD_BYTES = 1 << 20


class Bad(Exception):
    """Bytes that are no HTTP."""


class Connection(asyncio.Protocol):
    """One connection. serve is a coroutine function from Request to faults.Reply; requests of a connection are served one after the other."""

    def __init__(self, serve, living):
        self.serve, self.living = serve, living
        self.transport, self.buffer, self.task, self.has_continued = None, bytearray(), None, False

    def connection_made(self, transport):
        self.transport = transport
        self.living.add(self)

    def connection_lost(self, error):
        self.living.discard(self)  # what was asked for is done all the same, as a server that has read it would

    def cut(self):
        """Ends it as a crash would."""
        self.transport.abort()

    def data_received(self, data):
        self.buffer += data
        if self.task is None:
            self.advance()

    def advance(self):
        """Takes the next request, if it is whole."""
        try:
            request = self.read()
        except Bad as error:
            self.transport.write(f"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n400 Bad Request: {error}".encode())
            self.transport.close()
            return
        if request is not None:
            self.task = asyncio.get_running_loop().create_task(self.respond(request))

    def read(self):
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self.buffer) > HEAD_BYTES:
                raise Bad("the head is too long")
            return None
        method, target, headers = head(bytes(self.buffer[:end]).decode("latin-1"))
        start = end + 4
        if headers.get("transfer-encoding", "").lower() == "chunked":
            whole = chunked(self.buffer, start)
            if whole is None:
                return self.wait_for_body(headers)
            body, past = whole
        else:
            n = headers.get("content-length", "0")
            if not n.isdigit():
                raise Bad("Content-Length is no number")
            past = start + int(n)
            if len(self.buffer) < past:
                return self.wait_for_body(headers)
            body = bytes(self.buffer[start:past])
        del self.buffer[:past]
        self.has_continued = False
        request = Request(method, target, headers, body)
        request.port = self.transport.get_extra_info("peername")[1]
        return request

    def wait_for_body(self, headers):
        if headers.get("expect", "").lower() == "100-continue" and not self.has_continued:
            self.has_continued = True
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def respond(self, request):
        reply = await self.serve(request)
        request.ended = time.monotonic()
        data = encoded(reply, request)
        self.task = None
        if reply.cut_at is not None:
            self.transport.write(data[:reply.cut_at])
            if reply.cut_at:
                self.transport.close()
            else:
                self.transport.abort()
            return
        self.transport.write(data)
        if request.headers.get("connection", "").lower() == "close":
            self.transport.close()
        elif self.buffer:
            self.advance()


def head(text):
    lines = text.split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Bad("malformed HTTP request")
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Bad("malformed header line")
        headers[name.lower()] = value.strip()
    return words[0], words[1], headers


def chunked(buffer, place):
    """(body, where it ends), or None while it is not whole."""
    body = bytearray()
    while True:
        end = buffer.find(b"\r\n", place)
        if end < 0:
            return None
        try:
            size = int(bytes(buffer[place:end]).partition(b";")[0], 16)
        except ValueError:
            raise Bad("malformed chunk") from None
        place = end + 2 + size + 2
        if len(buffer) < place:
            return None
        if size == 0:
            return bytes(body), place
        body += buffer[end + 2:end + 2 + size]


def encoded(reply, request):
    body = reply.body
    if body is None:
        data = b""
    else:
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    if request.method == "HEAD":
        data = b""
    if reply.status == 204:
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    kind = "" if not data else "Content-Type: application/json\r\n"
    return f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Unknown')}\r\n{kind}Content-Length: {len(data)}\r\n\r\n".encode() + data
