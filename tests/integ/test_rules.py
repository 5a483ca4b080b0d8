# SPDX-License-Identifier: ISC
"""The operator's rules: lanes, limits and refusals by [rules], and what EXPLAIN ROUTE says of them."""

import datetime
import struct
import time

import pytest

from harness import system, wire
from harness.wire import SYNC, bind, describe, execute, parse, query

ORGANIZATION = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


def in_use(proxy):
    with proxy.console() as console:
        return {row["lane"]: row["in_use"] for row in console.show("LANES") if row["in_use"]}


def route(console, sql):
    return {row["key"]: row["value"] for row in console.run(f"EXPLAIN ROUTE {sql}")}


def rules(*lines, **sections):
    return {"rules": {line: None for line in lines}, **sections}


def lane_of(proxy, sql, **login):
    """The lane of a transaction that begins with the statement."""
    with proxy.client(**login) as client:
        client.query("BEGIN")
        client.query(sql)
        lanes = in_use(proxy)
        client.query("ROLLBACK")
    return list(lanes)


def denied(result, text="no exports by day"):
    assert result.sqlstate == "42501", result.messages
    assert result.errors[0].fields["M"] == f"statement denied: {text}"
    assert result.errors[0].fields["D"].startswith("Rule rules:")
    return result


EXPORT = "COPY (SELECT 1) TO STDOUT"
DENY = rules("deny 'no exports by day' if copy-to")


def test_a_rule_gives_the_lane_and_keeps_the_class(start):
    proxy = start(sections=rules("lane training if user=u_other", f"training if organization={ORGANIZATION}",
                                 "vector lane ml if application_name=model* !application_name='model x'"))
    assert lane_of(proxy, "SELECT 1", user="u_other") == ["training"]
    assert lane_of(proxy, f"SELECT 1 /*ml_organization='{ORGANIZATION}'*/") == ["training"]
    assert lane_of(proxy, "SELECT 1", application_name="model 7") == ["ml"]
    assert lane_of(proxy, "SELECT 1", application_name="model x") == ["default"]
    assert lane_of(proxy, "/*ml_class='vector'*/ SELECT 1", user="u_other") == ["vector"]
    with proxy.console() as console:
        found = route(console, f"SELECT 1 /*ml_organization='{ORGANIZATION}'*/")
        assert (found["class"], found["rule"], found["now"]) == ("training", "rules:2", "run")


@pytest.mark.parametrize("linked", [False, True], ids=["by itself", "in a transaction"])
def test_deny_in_the_simple_protocol(start, cluster, linked):
    proxy = start(sections=DENY)
    with proxy.client() as client:
        if linked:
            client.query("BEGIN")
            client.query("SELECT 1")
        result = denied(client.query(EXPORT))
        assert result.status == ("E" if linked else "I")
        if linked:
            assert client.query("SELECT 1").sqlstate == "25P02"
            assert client.query("COMMIT").tags == ["ROLLBACK"]
        assert client.query("SELECT 2").value == "2"


def test_deny_behind_a_deferred_begin(start):
    proxy = start(sections=DENY)
    with proxy.client() as client:
        assert client.query("BEGIN").status == "T"
        assert denied(client.query(EXPORT)).status == "E"
        assert client.query("SELECT 1").sqlstate == "25P02"
        assert client.query("ROLLBACK").status == "I"
        assert client.query("SELECT 1").value == "1"
        assert in_use(proxy) == {}


def test_deny_never_reaches_the_server(start, cluster):
    proxy = start(sections=rules("deny 'not this table' if write"))
    with proxy.client() as client:
        client.query("SELECT 1")
        before = cluster.run("SELECT count(*) FROM pg_class WHERE relname = 'denied_target'", "app")
        denied(client.query("INSERT INTO denied_target VALUES (1)"), "not this table")  # else: 42P01
        denied(client.query("SELECT 1; INSERT INTO denied_target VALUES (1)"), "not this table")
        denied(client.extended("INSERT INTO denied_target VALUES (1)"), "not this table")
        assert client.query("SELECT 3").value == "3"
        assert before == [(0,)]


@pytest.mark.parametrize("linked", [False, True], ids=["by itself", "in a transaction"])
@pytest.mark.parametrize("name", ["", "export"])
def test_deny_in_the_extended_protocol(start, name, linked):
    proxy = start(sections=DENY)
    with proxy.client() as client:
        if linked:
            client.query("BEGIN")
            client.query("SELECT 1")
        result = denied(client.exchange(parse(name, EXPORT), bind("", name), describe("P"), execute()))
        assert result.status == ("E" if linked else "I")
        if linked:
            client.query("ROLLBACK")
        assert client.extended("SELECT 4", statement=name).value == "4"


@pytest.mark.parametrize("pool_mode", ["transaction", "session"])
def test_denials_are_counted(start, pool_mode):
    """By the class that the statement had; each once, whatever protocol it came by. In session pooling it is the session's."""
    proxy = start(pool_mode=pool_mode, sections=rules("deny 'no exports by day' if copy-to", "training deny 'not you' if application_name=fit*"))

    def counts(console):
        return {row["class"]: row["denied"] for row in console.show("CLASSES") if row["denied"]}

    with proxy.client() as client, proxy.client(application_name="fitting") as fitting, proxy.console() as console:
        assert counts(console) == {}
        denied(fitting.query("SELECT 1"), "not you")
        denied(fitting.extended("SELECT 1"), "not you")
        assert counts(console) == {"training": 2}
        if pool_mode == "transaction":
            denied(client.query(EXPORT))
            denied(client.exchange(parse("export", EXPORT), bind("", "export"), execute()))
            assert client.query("BEGIN").errors == []
            denied(client.query(EXPORT))
            assert client.query(EXPORT).sqlstate == "25P02"
            client.query("ROLLBACK")
            assert counts(console) == {"training": 2, "default": 3}


def test_deny_in_a_pipeline_comes_in_its_turn(start):
    """What is before it in the batch runs and is undone; what is behind it is not heard; the next batch is as ever."""
    proxy = start(sections=DENY)
    with proxy.client() as client:
        client.query("CREATE TABLE IF NOT EXISTS deny_order (n int)")
        client.query("TRUNCATE deny_order")
        client.send(parse("", "INSERT INTO deny_order VALUES (1)"), bind("", ""), execute(),
                    parse("", EXPORT), bind("", ""), execute(),
                    parse("", "INSERT INTO deny_order VALUES (2)"), bind("", ""), execute(), SYNC,
                    parse("", "SELECT 5"), bind("", ""), execute(), SYNC)
        first = denied(client.result())
        assert first.tags == ["INSERT 0 1"] and first.status == "I"
        assert client.result().value == "5"
        assert client.query("SELECT count(*) FROM deny_order").value == "0"
        client.send(query("SELECT 6"), query(EXPORT), query("SELECT 7"))
        assert client.result().value == "6"
        denied(client.result())
        assert client.result().value == "7"
        client.query("DROP TABLE deny_order")


def test_an_annotation_does_not_lift_a_denial(start):
    proxy = start(sections=DENY)
    with proxy.client(options="-c pglane.class=serving") as client:
        denied(client.query(f"/*ml_class='serving',ml_priority='10'*/ {EXPORT}"))
        denied(client.query(f"BEGIN; {EXPORT}; COMMIT"))


@pytest.mark.parametrize("pool_mode", ["session", "transaction", "statement"])
def test_deny_a_user(start, pool_mode):
    """In session pooling, too, the error is in band, and nothing of the session runs."""
    proxy = start(pool_mode=pool_mode, sections=rules("deny 'closed for u_other' if user=u_other"))
    with proxy.client(user="u_other") as client, proxy.client() as other:
        for _ in range(2):
            denied(client.query("SELECT 1"), "closed for u_other")
            denied(client.extended("SELECT 1"), "closed for u_other")
            denied(client.exchange(parse("a", "SELECT 1")), "closed for u_other")
        assert other.query("SELECT 1").value == "1"
        if pool_mode == "transaction":
            assert client.query("BEGIN").status == "T"
            assert client.query("COMMIT").status == "I"


def test_session_pooling_hears_only_rules_on_the_session(start):
    proxy = start(pool_mode="session", sections=rules("deny 'no exports by day' if copy-to", "deny 'x' if !where",
                                                      "lane training timeout 300ms log if user=u_other"))
    with proxy.client(user="u_other") as client:
        assert not client.query(EXPORT).errors
        assert in_use(proxy) == {"training": 1}
        assert client.query("SELECT pg_sleep(60)").sqlstate == "57014"
        assert client.extended("SELECT pg_sleep(60)").sqlstate == "57014"
        assert client.query("SELECT 1").value == "1"
    system.eventually(lambda: proxy.log_text().count("rules:3: sent, class default, user u_other, database app: a session") == 1)


def test_statement_pooling_refuses_begin_in_the_middle_of_a_batch(start):
    proxy = start(pool_mode="statement")
    with proxy.client() as client:
        result = client.exchange(parse("", "SELECT 1"), bind("", ""), execute(), parse("", "BEGIN"), bind("", ""), execute())
        assert result.sqlstate == "0A000" and result.status == "I", result.messages
        assert client.extended("SELECT 2").value == "2"


def test_timeout_of_a_rule_is_shorter_or_longer_than_the_lanes(start):
    proxy = start(sections=rules("timeout 300ms if user=u_other", "timeout 1min if application_name=patient",
                                 **{"lane:default": {"statement_timeout": "700ms"}}))
    with proxy.client(user="u_other") as client:
        for ask in (client.query, client.extended):
            late = ask("SELECT pg_sleep(60)")
            assert late.sqlstate == "57014" and "limit is 300 ms" in late.errors[0].fields["D"], late.messages
        named = client.exchange(parse("slow", "SELECT pg_sleep(60)"))
        assert not named.errors
        assert "limit is 300 ms" in client.exchange(bind("", "slow"), execute()).errors[0].fields["D"]
    with proxy.client(application_name="patient") as client:
        assert not client.query("SELECT pg_sleep(1)").errors
        assert not client.extended("SELECT pg_sleep(1)").errors
    with proxy.client() as client:
        assert "limit is 700 ms" in client.query("SELECT pg_sleep(60)").errors[0].fields["D"]


def test_the_shortest_limit_of_a_batch_holds(start):
    proxy = start(sections=rules("timeout 300ms if write", "timeout 1min if where"))
    with proxy.client() as client:
        slow = [parse("", "SELECT pg_sleep(60) WHERE true"), bind("", ""), execute()]
        client.query("CREATE TABLE IF NOT EXISTS limit_order (n int)")
        write = [parse("", "INSERT INTO limit_order VALUES (1)"), bind("", ""), execute()]
        for batch in (write + slow, slow + write):
            result = client.exchange(*batch)
            assert result.sqlstate == "57014" and "limit is 300 ms" in result.errors[0].fields["D"], result.messages
        client.query("DROP TABLE limit_order")


def test_a_rule_that_logs(start):
    proxy = start(sections=rules("log if copy-to", "deny 'no exports by day' log if copy-to user=u_other"))
    with proxy.client() as client, proxy.client(user="u_other") as other:
        assert not client.query(EXPORT).errors
        assert not client.exchange(parse("kept", EXPORT)).errors
        assert client.exchange(bind("", "kept"), execute()).tags == ["COPY 1"]
        denied(other.query(EXPORT + " -- theirs"))
        assert not client.query("SELECT 1").errors
    sent = f"rules:1: sent, class default, user app, database app: {EXPORT}"
    system.eventually(lambda: proxy.log_text().count(sent) == 2, what="a line for each run")
    assert f"rules:1: denied, class default, user u_other, database app: {EXPORT} -- theirs" in proxy.log_text()


def test_mistakes_name_the_place_and_the_column(start):
    with pytest.raises(RuntimeError) as failure:
        start(sections=rules("default if where", "lane fast if where"))
    assert "column 6: a lane is wanted (default, ml, vector, training), not \"fast\"" in str(failure.value)
    assert "pglane.ini:" in str(failure.value)


def hour_ends_in(seconds):
    """A TZ in which the next hour begins so soon, and the hour that ends then."""
    now = datetime.datetime.now(datetime.timezone.utc)
    ahead = (3600 - seconds - now.minute * 60 - now.second) % 3600
    local = now + datetime.timedelta(seconds=ahead)
    return f"TST-00:{ahead // 60:02}:{ahead % 60:02}", local.hour


def test_rules_by_time_are_asked_anew(start, monkeypatch):
    """A prepared statement is not bound to the hour in which it was parsed."""
    zone, hour = hour_ends_in(8)
    monkeypatch.setenv("TZ", zone)
    proxy = start(sections=rules(f"training if hour={hour}", f"deny 'too late' if !hour={hour} copy-to"))
    with proxy.client() as client:
        assert not client.exchange(parse("kept", "SELECT 1"), parse("export", EXPORT)).errors

        def lane():
            client.query("BEGIN")
            client.exchange(bind("", "kept"), execute())
            lanes = in_use(proxy)
            client.query("COMMIT")
            return list(lanes)

        began = time.monotonic()
        assert lane() == ["training"]
        assert client.exchange(bind("", "export"), execute()).tags == ["COPY 1"]
        assert time.monotonic() - began < 6, "too slow to tell"
        system.eventually(lambda: lane() == ["default"], 20, "the next hour")
        denied(client.exchange(bind("", "export"), execute()), "too late")


def test_a_function_call_goes_by_its_session(start, cluster):
    """The message F has no text: rules on the session decide."""
    oid = cluster.run("SELECT 'pi'::regproc::oid", "app")[0][0]
    call = wire.message("F", struct.pack("!IhhhH", oid, 0, 0, 1, 0)[:10])
    proxy = start(sections=rules("deny 'closed for u_other' if user=u_other", "lane training if user=app"))
    with proxy.client(user="u_other") as client, proxy.client() as other:
        client.send(call)
        denied(client.result(), "closed for u_other")
        client.send(call)
        denied(client.result(), "closed for u_other")
        other.query("BEGIN")
        other.send(call)
        assert not other.result().errors
        assert in_use(proxy) == {"training": 1}
        other.query("COMMIT")


def test_explain_route_shows_what_rules_do(start):
    proxy = start(sections=rules("log if where", "deny 'no exports by day' if copy-to", "lane training timeout 90s priority 3 if where"))
    with proxy.console() as console:
        found = route(console, EXPORT)
        assert (found["deny"], found["rule"], found["now"]) == ("no exports by day", "rules:2", "deny")
        found = route(console, "SELECT 1 WHERE true")
        assert (found["class"], found["lane"], found["timeout_ms"], found["priority"]) == ("default", "training", "90000", "3")
        assert (found["rule"], found["log"], found["deny"], found["free_permits"]) == ("rules:3", "rules:1", "", "10")


def test_explain_route_says_what_comes_next(start):
    proxy = start(lanes={"default": 3, "training": 1}, sections={"lane:training": {"max_waiting": 1}, **rules("lane training if where")})
    held = "SELECT 1 WHERE true"
    with proxy.client() as holder, proxy.client() as waiter, proxy.console() as console:
        assert route(console, held)["now"] == "run"
        holder.query("BEGIN")
        holder.query(held)
        assert (route(console, held)["now"], route(console, held)["free_permits"]) == ("wait", "0")
        waiter.send(wire.query(held))
        system.eventually(lambda: route(console, held)["waiting"] == "1")
        assert route(console, held)["now"] == "refuse"
        holder.query("COMMIT")
        assert waiter.result().value == "1"
