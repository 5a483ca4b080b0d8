# SPDX-License-Identifier: ISC
"""Session pooling: the lane comes from what is known of the session, and every statement has its clock, also in a pipeline."""

import pytest

from harness import system, wire

TRAINING = "/*ml_class='training'*/ SELECT 1"
SLOW = "SELECT pg_sleep(60)"


def in_use(proxy):
    with proxy.console() as console:
        return {row["lane"]: row["in_use"] for row in console.show("LANES") if row["in_use"]}


@pytest.fixture
def sessions(start):
    return lambda **settings: start(pool_mode="session", **settings)


@pytest.mark.parametrize("ask", [lambda client, sql: client.query(sql), lambda client, sql: client.extended(sql)], ids=["simple", "extended"])
def test_first_statement_does_not_decide_the_lane(sessions, ask):
    proxy = sessions()
    with proxy.client() as client:
        assert ask(client, TRAINING).value == "1"
        assert in_use(proxy) == {"default": 1}


@pytest.mark.parametrize("ask", [lambda client, sql: client.query(sql), lambda client, sql: client.extended(sql)], ids=["simple", "extended"])
def test_session_setting_decides_the_lane(sessions, ask):
    proxy = sessions()
    with proxy.client(options="-c pglane.class=training") as client:
        assert ask(client, "SELECT 1").value == "1"
        assert in_use(proxy) == {"training": 1}


def test_rule_on_the_session_decides_the_lane(sessions):
    proxy = sessions(sections={"rules": {"training if user=u_other": None}})
    with proxy.client(user="u_other") as client:
        assert client.query("SELECT 1").value == "1"
        assert in_use(proxy) == {"training": 1}


def test_pipelined_statements_have_their_own_clocks(sessions):
    """The lane's limit is that of each: two that fit one after the other do, and the one that does not is cancelled, whichever it is."""
    proxy = sessions(sections={"lane:default": {"statement_timeout": "700ms"}})
    with proxy.client() as client:
        client.send(wire.query("SELECT pg_sleep(0.5)"), wire.query("SELECT pg_sleep(0.5)"), wire.query(SLOW), wire.query("SELECT 1"))
        assert not client.result().errors
        assert not client.result().errors
        late = client.result()
        assert late.sqlstate == "57014" and "lane timeout" in late.errors[0].fields["M"], late.messages
        assert client.result().value == "1"


def test_pipelined_batches_have_their_own_clocks(sessions):
    proxy = sessions(sections={"lane:default": {"statement_timeout": "700ms"}})
    with proxy.client() as client:
        for sql in ("SELECT pg_sleep(0.5)", SLOW, "SELECT 1"):
            client.send(wire.parse("", sql), wire.bind("", ""), wire.execute(), wire.SYNC)
        assert not client.result().errors
        assert client.result().sqlstate == "57014"
        assert client.result().value == "1"


def test_cancel_does_not_hit_the_clients_next_statement(sessions):
    """What is sent while a cancel request is on its way waits for its end, as in transaction pooling."""
    proxy = sessions()
    with proxy.client() as client:
        for n in range(30):
            client.send(wire.query("SELECT pg_sleep(0.002)"))
            proxy.cancel(client)
            client.result()
            assert client.query(f"SELECT {n}").value == str(n)


def test_clients_that_waited_have_their_parameters(sessions):
    proxy = sessions(lanes={"default": 1}, workers=1)
    for zone in ("Asia/Tokyo", "UTC"):
        proxy.client(TimeZone=zone).close()
    with proxy.client(TimeZone="Asia/Tokyo") as one, proxy.client(TimeZone="UTC") as two:
        assert one.query("SHOW TimeZone").value == "Asia/Tokyo"
        two.send(wire.query("SHOW TimeZone"))
        with proxy.console() as console:
            system.eventually(lambda: console.lane("default")["waiting"] == 1)
        one.close()
        assert two.result().value == "UTC"
