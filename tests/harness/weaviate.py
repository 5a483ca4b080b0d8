# SPDX-License-Identifier: ISC
"""A Weaviate for tests: the stand-in (tests/weaviate/standin.py) as a process, or the real server that WEAVIATE_URL names.

Faults are asked of the stand-in; a test that needs one is skipped with the reason where a real server is used.
"""

import contextlib
import copy
import http.client
import json
import os
import subprocess
import sys
import urllib.parse

import pytest

from . import system

STANDIN = system.ROOT / "tests" / "weaviate" / "standin.py"
KEY = "stand-in-key"
PAGE = 1000


def real_url():
    """The address of the real server that tests shall use, or None."""
    return os.environ.get("WEAVIATE_URL", "").rstrip("/") or None


class Weaviate:
    """url, api_key, version (a tuple). Classes it made are dropped at the end; on a real server it touches no others."""

    def __init__(self, version=None, has_graphql=True, api_key=KEY):
        self.is_real, self.process, self.control_url, self.made = real_url() is not None, None, None, []
        if self.is_real:
            self.url, self.api_key = real_url(), os.environ.get("WEAVIATE_API_KEY", "")
        else:
            self.api_key = api_key
            self._start(version or "1.36.5", has_graphql)
        self.version = tuple(int(part) for part in self.call("GET", "/v1/meta")[1]["version"].split("-")[0].split("."))

    def _start(self, version, has_graphql):
        options = ["--control-port", "0", "--version", version, *(["--api-key", self.api_key, "--read-only-key", "reader"] if self.api_key else []), *([] if has_graphql else ["--no-graphql"])]
        self.process = subprocess.Popen([sys.executable, str(STANDIN), *options], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                                        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        words = self.process.stdout.readline().split()
        assert len(words) == 4, f"the stand-in did not start: {words}"
        self.url, self.control_url = words[1], words[3]

    def stop(self):
        if self.is_real:
            for name in self.made:
                self.call("DELETE", f"/v1/schema/{name}")
        else:
            self.process.terminate()
            assert self.process.wait(10) == 0, "the stand-in did not end well"
            self.process.stdout.close()

    # calls

    def call(self, method, path, body=None, *, key=..., headers=None, timeout_s=30):
        """(status, body): what is JSON comes as a value, anything else as bytes. body is a value, or bytes that go out as they are."""
        return ask(self.url, method, path, body, key=self.api_key if key is ... else key, headers=headers, timeout_s=timeout_s)

    def must(self, method, path, body=None):
        status, told = self.call(method, path, body)
        assert 200 <= status < 300, f"{method} {path}: {status} {told}"
        return told

    def create_class(self, config):
        """Makes a class; on a real server it must not have been there."""
        made = self.must("POST", "/v1/schema", config)
        self.made.append(made["class"])
        return made

    def drop_class(self, name):
        assert name in self.made, f"{name} is not ours"
        self.must("DELETE", f"/v1/schema/{name}")
        self.made.remove(name)

    def objects(self, name, tenant=None, with_vector=False):
        """All objects of a class by id, read by the cursor."""
        found, after = {}, None
        while True:
            query = {"class": name, "limit": PAGE, **({"after": after} if after else {}), **({"tenant": tenant} if tenant else {}),
                     **({"include": "vector"} if with_vector else {})}
            page = self.must("GET", f"/v1/objects?{urllib.parse.urlencode(query)}")["objects"]
            found.update((one["id"], one) for one in page)
            if len(page) < PAGE:
                return found
            after = page[-1]["id"]

    def graphql(self, query):
        """The data; errors[] is a failure."""
        told = self.must("POST", "/v1/graphql", {"query": query})
        assert not told.get("errors"), told
        return told["data"]

    # faults

    def control(self, what, body=None):
        """One call on the stand-in's control port; a real server has none."""
        if self.is_real:
            pytest.skip(f"a real server cannot be told to do '{what}'")
        status, told = ask(self.control_url, "POST", f"/{what}", {} if body is None else body)
        assert status == 200, f"{what}: {status} {told}"
        return told

    def lay(self, *rules):
        """Lays these rules of faults (server/faults.py) instead of those that lie."""
        self.control("faults", list(rules))

    @contextlib.contextmanager
    def fault(self, do, call=".*", **given):
        """One rule for the time of the block."""
        self.lay({"do": do, "call": call, **given})
        try:
            yield
        finally:
            self.lay()

    @contextlib.contextmanager
    def away(self):
        """Down for the time of the block; what was stored stays."""
        self.control("down")
        try:
            yield
        finally:
            self.control("up")

    def state(self):
        return self.control("state")

    def n_calls(self, call):
        """How often the call 'METHOD /path' came in."""
        return self.state()["calls"].get(call, 0)

    def wait_held(self, n=1, timeout_s=30):
        """Waits until n calls are held."""
        system.eventually(lambda: self.state()["held"] >= n, timeout_s, f"{n} held calls")

    def release(self):
        self.control("release")

    def reset(self):
        """Ready for the next test: no classes of ours, no faults."""
        if self.is_real:
            for name in copy.copy(self.made):
                self.drop_class(name)
        else:
            self.control("up")
            self.control("reset")
            self.made.clear()

    def set_read_only(self, name, is_read_only=True):
        """By the API, so that a real server can do it too."""
        for shard in self.must("GET", f"/v1/schema/{name}/shards"):
            self.must("PUT", f"/v1/schema/{name}/shards/{shard['name']}", {"status": "READONLY" if is_read_only else "READY"})


def ask(url, method, path, body=None, *, key=None, headers=None, timeout_s=30):
    """One HTTP call on a connection of its own: (status, body)."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    sent = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    with contextlib.closing(kind(parts.hostname, parts.port, timeout=timeout_s)) as connection:
        connection.request(method, path, data, {name: value for name, value in sent.items() if value is not None})
        answer = connection.getresponse()
        told = answer.read()
    try:
        return answer.status, json.loads(told)
    except ValueError:
        return answer.status, told
