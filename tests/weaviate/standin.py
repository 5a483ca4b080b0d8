#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""A stand-in for a Weaviate server, for tests and demonstrations: it keeps the rules of the documented API, in memory, and needs nothing but Python.

It is not a vector database: searches look at every object, nothing is kept when it ends. Faults are asked for on a port of its own (--control-port), which no client
of the API sees; see README.md.
"""

import argparse
import asyncio
import collections
import json
import re
import signal

from server import faults, rest, vectors, wire

KEPT_REQUESTS = 1000
KEPT_BYTES = 65536
OBJECT_ID = re.compile(rb'"id"\s*:\s*"([0-9a-fA-F-]{36})"')


def written_ids(request):
    if request.path == "/v1/batch/objects" and request.method == "POST":
        return [found.decode() for found in OBJECT_ID.findall(request.body)]
    return [request.path.rpartition("/")[2]] if request.method in ("PUT", "DELETE") and request.path.startswith("/v1/objects/") else []


class StandIn:
    """The server: its port for clients and its control port."""

    def __init__(self, options):
        self.options, self.living = options, set()
        self.api = rest.Api(options.version, options.api_key, options.read_only_key, not options.no_graphql)
        self.faults = faults.Faults(self.api)
        self.counts, self.requests = collections.Counter(), collections.deque(maxlen=KEPT_REQUESTS)
        self.listener, self.port = None, options.port

    async def serve(self, request):
        """One call of a client."""
        self.counts[f"{request.method} {request.path}"] += 1
        self.requests.append(request)
        rule = self.faults.find(request)
        return await self.faults.carry_out(rule, request) if rule else self.faults.done(request)

    async def up(self):
        if self.listener is None:
            loop = asyncio.get_running_loop()
            self.listener = await loop.create_server(lambda: wire.Connection(self.serve, self.living), self.options.host, self.port, reuse_address=True)
            self.port = self.listener.sockets[0].getsockname()[1]

    def down(self):
        """As if the machine were off: nobody listens, every connection is cut. What was stored stays."""
        if self.listener is not None:
            self.listener.close()
            self.listener = None
        for connection in list(self.living):
            connection.cut()

    # control

    async def control(self, request):
        """One call on the control port."""
        handler = getattr(self, f"control_{request.path.strip('/').replace('/', '_')}", None)
        if request.method != "POST" or handler is None:
            return faults.Reply(404, {"error": f"no {request.method} {request.path}"})
        try:
            told = handler(json.loads(request.body or b"{}"))
            return faults.Reply(200, await told if asyncio.iscoroutine(told) else told)
        except (KeyError, ValueError, TypeError) as error:
            return faults.Reply(400, {"error": f"{type(error).__name__}: {error}"})

    def control_state(self, given):
        """What it has seen and what it has."""
        return {"version": self.api.version_text, "is_up": self.listener is not None, "connections": len(self.living), "held": self.faults.held,
                "calls": self.counts, "hits": [rule.n_hits for rule in self.faults.rules],
                "objects": {name: collection.n_objects() for name, collection in self.api.store.collections.items()}}

    def control_requests(self, given):
        """The last calls, the oldest first: what came in, when (s, monotonic), from which port, and the ids of objects that it writes."""
        return [{"method": request.method, "target": request.target, "headers": request.headers, "body": request.body[:KEPT_BYTES].decode("utf-8", "replace"),
                 "port": request.port, "began": request.began, "ended": request.ended, "ids": written_ids(request)} for request in self.requests]

    def control_faults(self, given):
        """Lays these rules instead of those that lie."""
        self.faults.lay(given)

    def control_release(self, given):
        self.faults.release()

    async def control_up(self, given):
        await self.up()

    def control_down(self, given):
        self.down()

    def control_forget(self, given):
        """Loses objects that it had acknowledged: ids of a class, in every shard."""
        shards = self.api.store.collections[given["class"]].shards.values()
        return sum(shard.remove(id) for id in given["ids"] for shard in shards)

    def control_keys(self, given):
        self.api.keys, self.api.readers = set(given.get("keys", [])), set(given.get("readers", []))

    def control_reset(self, given):
        """As after its start: no classes, no faults, nothing counted."""
        self.faults.release()
        self.faults.lay([])
        self.api.store.collections.clear()
        self.counts.clear()
        self.requests.clear()

    def control_v1_embeddings(self, given):
        """OpenAI's call, for a real server whose class has moduleConfig baseURL."""
        texts = given["input"] if isinstance(given["input"], list) else [given["input"]]
        rows = [{"object": "embedding", "index": i, "embedding": vectors.embed(text, given.get("dimensions", 1536)).numbers()} for i, text in enumerate(texts)]
        return {"object": "list", "data": rows, "model": given.get("model", ""), "usage": {"prompt_tokens": 0, "total_tokens": 0}}


async def run(options):
    standin, loop = StandIn(options), asyncio.get_running_loop()
    await standin.up()
    told = f"weaviate http://{options.host}:{standin.port}"
    if options.control_port is not None:
        control = await loop.create_server(lambda: wire.Connection(standin.control, set()), options.host, options.control_port)
        told += f" control http://{options.host}:{control.sockets[0].getsockname()[1]}"
    print(told, flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--control-port", type=int, help="0: a free one; without it there is none")
    parser.add_argument("--version", default="1.36.5", help="which server it is like")
    parser.add_argument("--api-key", action="append", default=[], help="may do everything; without a key nobody is asked for one")
    parser.add_argument("--read-only-key", action="append", default=[])
    parser.add_argument("--no-graphql", action="store_true", help="as newer clusters have it")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
