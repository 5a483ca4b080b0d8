# SPDX-License-Identifier: ISC
"""Settings that are not ASCII, of clients whose client_encoding changes: on whatever server they are set again, they are the same characters.

Each case is said to a direct connection, too, in the same bytes.
"""

import pytest

from harness import proxy as proxy_module
from harness import wire

SHOW = "SELECT coalesce(current_setting('my.own', true), ''), current_setting('application_name'), current_setting('search_path'), current_setting('client_encoding')"
BYTES = "SELECT encode(convert_to(coalesce(current_setting('my.own', true), ''), 'UTF8'), 'hex'), encode(convert_to(current_setting('search_path'), 'UTF8'), 'hex')"
UTF8, LATIN1 = "grün".encode(), "grün".encode("latin-1")

NAMED = b"SELECT coalesce(current_setting('my." + LATIN1 + b"', true), '')"


def set_to(name, value):
    return b"SET " + name + b" = '" + value + b"'"


CASES = {
    "UTF8 only": [set_to(b"my.own", UTF8), set_to(b"application_name", UTF8), set_to(b"search_path", UTF8)],
    "then LATIN1": [set_to(b"my.own", UTF8), set_to(b"search_path", UTF8), b"SET client_encoding = 'LATIN1'"],
    "in LATIN1": [b"SET client_encoding = 'LATIN1'", set_to(b"my.own", LATIN1), set_to(b"application_name", LATIN1), set_to(b"search_path", LATIN1)],
    "in LATIN1, then UTF8": [b"SET client_encoding = 'LATIN1'", set_to(b"my.own", LATIN1), set_to(b"search_path", UTF8), b"SET NAMES 'UTF8'"],
    "both": [set_to(b"my.own", UTF8), b"SET client_encoding = 'LATIN1'", set_to(b"search_path", LATIN1), b"SET client_encoding = 'LATIN9'", b"SET client_encoding = 'UTF8'"],
    "the same bytes": [set_to(b"my.own", UTF8), b"SET client_encoding = 'LATIN1'", set_to(b"my.own", UTF8), b"RESET client_encoding"],
    "in a transaction": [b"BEGIN", set_to(b"my.own", UTF8), b"SET client_encoding = 'LATIN1'", set_to(b"search_path", LATIN1), b"COMMIT", b"SET client_encoding = 'WIN1252'"],
    "another encoding within": [set_to(b"my.own", UTF8), b"BEGIN", b"SET LOCAL client_encoding = 'LATIN1'", set_to(b"my.own", LATIN1), b"COMMIT"],
    "a transaction rolled back": [set_to(b"my.own", UTF8), b"BEGIN", b"SET client_encoding = 'LATIN1'", set_to(b"my.own", LATIN1), b"ROLLBACK"],
    "set_config": [b"SELECT set_config('my.own', '" + UTF8 + b"', false)", b"SET client_encoding = 'LATIN1'"],
    "a name": [b"SET my." + UTF8 + b" = '" + UTF8 + b"'", b"SET client_encoding = 'LATIN1'", NAMED, b"RESET my." + LATIN1, NAMED],
    "reset": [set_to(b"my.own", UTF8), b"SET client_encoding = 'LATIN1'", b"BEGIN", b"RESET my.own", SHOW.encode(), b"COMMIT", set_to(b"my.own", LATIN1), b"RESET ALL"],
    "invalid": [set_to(b"my.own", LATIN1), b"SET client_encoding = 'LATIN1'", set_to(b"my.own", LATIN1)],
    "quoted": [b"SET my.own = E'it''s \\\\ " + UTF8 + b"'", b"SET client_encoding = 'LATIN1'"],
}
LOGINS = {
    "none": {},
    "UTF8": {"options": "-c my.own=gegeben-ü -c search_path=schön", "application_name": "größer"},
    "LATIN1": {"client_encoding": "LATIN1", "options": "-c my.own=gegeben-ü -c search_path=schön", "application_name": "größer"},
}


def simple(client, sql):
    client.send(wire.query(sql))
    return client.receive_until("Z")


def extended(client, sql):
    client.send(wire.parse("", sql), wire.bind("", ""), wire.describe("P"), wire.execute(), wire.SYNC)
    return client.receive_until("Z")


def told(messages):
    """Errors by what does not depend on the source's lines."""
    return [(kind, b"".join(field for field in body.split(b"\0") if field[:1] in b"SCMDHP")) if kind in "EN" else (kind, body) for kind, body in messages]


@pytest.fixture(scope="module")
def proxy(shared_by_module, cluster, program):
    shared_by_module.append(proxy_module.Proxy(cluster, program, lanes={"default": 1}, workers=1))
    return shared_by_module[-1]


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("other_encoding", ["UTF8", "LATIN1"])
@pytest.mark.parametrize("ask", [simple, extended])
@pytest.mark.parametrize("case", CASES)
def test_as_on_a_connection_of_its_own(proxy, cluster, case, ask, other_encoding, login):
    """One server, which another client with an encoding of its own uses in between."""
    parameters = LOGINS[login]
    with proxy.client(client_encoding=other_encoding) as other, proxy.client(**parameters) as client, \
            wire.RawClient("127.0.0.1", cluster.port, 30).login(**parameters) as direct:
        simple(other, set_to(b"my.own", "fremd-é".encode("latin-1" if other_encoding == "LATIN1" else "utf-8")))
        before = told(simple(other, SHOW))
        for sql in [*CASES[case], SHOW.encode(), BYTES.encode(), SHOW.encode()]:
            ours, theirs = told(ask(client, sql)), told(ask(direct, sql))
            assert ours == theirs, sql
            if theirs[-1] == ("Z", b"I") and case != "a name":  # which pins
                assert told(simple(other, SHOW)) == before, sql


@pytest.mark.parametrize("in_transaction", [False, True])
def test_a_name_keeps_its_server(start, in_transaction):
    """In another client_encoding it is another name: what is said of it is not told by its bytes."""
    proxy = start(lanes={"default": 2}, workers=1, sections={"lane:default": {"permits": 2, "max_pinned": 1}})
    with proxy.client() as client, proxy.client() as other:
        name, encoding = CASES["a name"][:2]
        for sql in [b"BEGIN"] * in_transaction + [name, encoding] + [b"COMMIT"] * in_transaction + [b"SELECT 1"]:
            assert simple(client, sql)[-1][0] == "Z"
        for sql in ("BEGIN", "SELECT 1"):  # takes the server if it is free
            simple(other, sql)
        assert wire.row_values(dict(simple(client, NAMED))["D"]) == [LATIN1]
        simple(other, "COMMIT")
        simple(client, b"RESET my." + LATIN1)
        simple(client, b"SELECT 1")
        for sql in ("BEGIN", "SELECT 1"):
            simple(other, sql)
        assert wire.row_values(dict(simple(client, NAMED))["D"]) == [b""]


def test_a_startup_packet_is_in_the_servers_encoding(start, cluster):
    """Whatever client_encoding the entry gives its servers."""
    proxy = start(lanes={"default": 1}, workers=1, databases={"app": "{server} dbname=app client_encoding=LATIN1"})
    for login in (LOGINS["LATIN1"], {**LOGINS["UTF8"], "client_encoding": "UTF8"}):
        with proxy.client(**login) as client, proxy.client() as other, wire.RawClient("127.0.0.1", cluster.port, 30).login(**login) as direct:
            for _ in range(2):
                for sql in (SHOW, BYTES):
                    assert told(simple(client, sql)) == told(simple(direct, sql))
                simple(other, SHOW)
