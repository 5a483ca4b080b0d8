# SPDX-License-Identifier: ISC
"""One space of names: what PREPARE and Parse make is the same thing, whichever way it is used and taken away. What is right is what a connection of its own says."""

import pytest

from harness import wire
from test_sql_prepared import Pair, pinned_for, pins, servers  # noqa: F401  (servers is a fixture)

EXECUTE_OWN = [wire.bind("", "own"), wire.execute(), wire.SYNC]


def unknown(pair):
    """Nobody finds the name, by neither way."""
    assert pair.exchange(*EXECUTE_OWN).sqlstate == "26000"
    assert pair.exchange(wire.describe("S", "own"), wire.SYNC).sqlstate == "26000"
    assert pair.query("EXECUTE own").sqlstate == "26000"
    assert pair.extended("EXECUTE own").sqlstate == "26000"
    assert pair.query("DEALLOCATE own").sqlstate == "26000"


def found(pair, value):
    assert pair.exchange(*EXECUTE_OWN).value == value
    assert pair.query("EXECUTE own").value == value
    assert pair.extended("EXECUTE own").value == value
    assert pair.query("PREPARE own AS SELECT 'other'").sqlstate == "42P05"
    assert pair.extended("PREPARE own AS SELECT 'other'").sqlstate == "42P05"
    assert pair.exchange(wire.parse("own", "SELECT 'other'"), wire.SYNC).sqlstate == "42P05"
    assert pair.exchange(*EXECUTE_OWN).value == value


MAKE = {
    "PREPARE": lambda pair: pair.query("PREPARE own AS SELECT 7"),
    "PREPARE, extended": lambda pair: pair.extended("PREPARE own AS SELECT 7"),
    "Parse": lambda pair: pair.exchange(wire.parse("own", "SELECT 7"), wire.SYNC),
}
TAKE = {
    "DEALLOCATE": lambda pair: pair.query("DEALLOCATE own"),
    "DEALLOCATE, extended": lambda pair: pair.extended("DEALLOCATE own"),
    "Close": lambda pair: pair.exchange(wire.close("S", "own"), wire.SYNC),
    "DEALLOCATE ALL": lambda pair: pair.query("DEALLOCATE ALL"),
    "DISCARD ALL": lambda pair: pair.extended("DISCARD ALL"),
}
# What keeps the server of its client: nothing, a pin, a pin by which names are the server's own.
PINS = {"free": [], "pinned": ["CREATE TEMP TABLE keeps (n int)"], "own": ["SET work_mem = '6MB'; PREPARE keeps AS SELECT 1"]}


@pytest.mark.parametrize("pin", PINS)
@pytest.mark.parametrize("make", MAKE)
def test_one_space_of_names(servers, cluster, make, pin):
    proxy, swap = servers
    for take in TAKE.values():
        with Pair(proxy, cluster) as pair:
            for sql in PINS[pin]:
                pair.query(sql)
            for _ in range(2):
                MAKE[make](pair)
                if pin == "free":
                    swap()
                found(pair, "7")
                take(pair)
                unknown(pair)
                MAKE[make](pair)
                found(pair, "7")
                TAKE["Close"](pair)


@pytest.mark.parametrize("make", MAKE)
def test_policy_that_pins(start, cluster, make):
    """on_session_state = pin: nothing is followed, and a name is one all the same."""
    proxy = start(lanes={"default": 2}, on_session_state="pin")
    with Pair(proxy, cluster) as pair:
        pair.query("PREPARE keeps AS SELECT 1")
        pinned_for(proxy, "prepare")
        for take in TAKE.values():
            MAKE[make](pair)
            found(pair, "7")
            take(pair)
            unknown(pair)
            if not pins(proxy):
                pair.query("PREPARE keeps AS SELECT 1")


# ---- where names are the server's own ----

OWN = ["DEALLOCATE ALL; PREPARE own AS SELECT 'own'", "SET DateStyle = 'ISO'; PREPARE own AS SELECT 'own'"]


@pytest.mark.parametrize("sql", OWN)
def test_name_that_is_not_followed(servers, cluster, sql):
    proxy, _ = servers
    for take in ("DEALLOCATE", "DEALLOCATE, extended", "Close", "DEALLOCATE ALL", "DISCARD ALL"):
        with Pair(proxy, cluster) as pair:
            pair.query(sql)
            pinned_for(proxy, "prepare")
            found(pair, "own")
            TAKE[take](pair)
            unknown(pair)
            pair.exchange(wire.parse("own", "SELECT 'parsed'"), wire.SYNC)
            found(pair, "parsed")
            pair.exchange(wire.close("S", "own"), wire.SYNC)
            unknown(pair)


def test_refused_prepare_leaves_nothing_behind(servers, cluster):
    """42P05 is the server's word on what stands in for the client's statement; that is not found when the client has closed its own."""
    proxy, _ = servers
    for sql in ([], PINS["pinned"], PINS["own"]):
        with Pair(proxy, cluster) as pair:
            for each in sql:
                pair.query(each)
            pair.exchange(wire.parse("own", "SELECT 7"), wire.SYNC)
            for prepare in (wire.query("PREPARE own AS SELECT 8"), wire.parse("", "PREPARE own AS SELECT 8") + wire.bind("", "") + wire.execute() + wire.SYNC):
                assert pair.exchange(prepare).sqlstate == "42P05"
            pair.exchange(wire.close("S", "own"), wire.SYNC)
            unknown(pair)


def test_closed_ahead_of_an_error(servers, cluster):
    """What comes before an error has happened, what comes behind it has not."""
    proxy, _ = servers
    fails = wire.parse("", "SELECT 1/0") + wire.bind("", "") + wire.execute()
    for pin in PINS.values():
        for make in MAKE.values():
            with Pair(proxy, cluster) as pair:
                for sql in pin:
                    pair.query(sql)
                make(pair)
                pair.query("EXECUTE own")
                pair.exchange(fails, wire.close("S", "own"), wire.SYNC)
                found(pair, "7")
                pair.exchange(wire.close("S", "own"), fails, wire.SYNC)
                unknown(pair)
                pair.exchange(wire.parse("own", "SELECT 8"), fails, wire.SYNC)
                found(pair, "8")
                pair.exchange(wire.close("S", "own"), wire.parse("own", "SELECT 9"), fails, wire.close("S", "own"), wire.SYNC)
                found(pair, "9")


# ---- all of them, and errors ----

def test_discard_all_that_fails(servers, cluster):
    """It takes nothing; and what is closed behind it is not found again on a server that its client keeps."""
    proxy, _ = servers
    for pin in PINS.values():
        with Pair(proxy, cluster) as pair:
            for sql in pin:
                pair.query(sql)
            pair.exchange(wire.parse("own", "SELECT 7"), wire.SYNC)
            for spoil in ("EXECUTE own", "PREPARE own AS SELECT 8"):
                pair.query("BEGIN")
                pair.query(spoil)
                pair.query("ROLLBACK")
                pair.query("BEGIN")
                assert pair.extended("DISCARD ALL").sqlstate == "25001"
                pair.query("ROLLBACK")
                found(pair, "7")
            pair.query("BEGIN")
            pair.extended("DISCARD ALL")
            pair.query("ROLLBACK")
            pair.exchange(wire.close("S", "own"), wire.SYNC)
            unknown(pair)


def test_deallocate_all_ahead_of_an_error(servers, cluster):
    """It is not transactional."""
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        for make in MAKE.values():
            make(pair)
            pair.query("EXECUTE own")
            assert pair.query("DEALLOCATE ALL; SELECT 1/0").sqlstate == "22012"
            unknown(pair)
            make(pair)
            assert pair.query("DEALLOCATE ALL; DEALLOCATE own").sqlstate == "26000"
            unknown(pair)
            make(pair)
            assert pair.query("DEALLOCATE own; DEALLOCATE ALL; PREPARE own AS SELECT 8; SELECT 1/0").sqlstate == "22012"
            found(pair, "8")
            assert pair.query("DEALLOCATE ALL").tags == ["DEALLOCATE ALL"]
            unknown(pair)
            make(pair)
            assert pair.query("SELECT 1/0; DEALLOCATE ALL").sqlstate == "22012"
            found(pair, "7")
            pair.query("DEALLOCATE own")


def test_deallocated_of_the_protocol_out_of_sight(start):
    """Where no name is seen (in a function) it is gone, too."""
    proxy = start(lanes={"default": 1})
    hidden = "DO $$BEGIN EXECUTE 'EXECUTE own'; END$$"
    with proxy.client() as client:
        client.exchange(wire.parse("own", "SELECT 7"))
        client.query("BEGIN")
        assert client.query("EXECUTE own").value == "7"
        assert not client.query(hidden).errors
        assert client.query("DEALLOCATE own").tags == ["DEALLOCATE"]
        assert client.query(hidden).sqlstate == "26000"


# ---- transactions that failed ----

def test_parse_in_a_failed_transaction(servers, cluster):
    """It is refused, whatever the server has; but for what ends the transaction."""
    proxy, swap = servers
    with Pair(proxy, cluster) as pair:
        for name, sql in (("known", "SELECT 7"), ("ends", "ROLLBACK")):
            pair.exchange(wire.parse(name, sql), wire.SYNC)
        for other in range(2):
            for end in ("ROLLBACK", "COMMIT"):
                pair.query("BEGIN")
                pair.query("SELECT 1/0")
                assert pair.exchange(wire.parse("again", "SELECT 7"), wire.SYNC).sqlstate == "25P02"
                assert pair.exchange(wire.parse("known", "SELECT 7"), wire.SYNC).sqlstate == "25P02"
                assert pair.exchange(wire.parse("fourth", "PREPARE own AS SELECT 7"), wire.SYNC).sqlstate == "25P02"
                assert pair.exchange(wire.parse("again", "ROLLBACK"), wire.SYNC).kinds == "1Z"
                assert pair.exchange(wire.parse("empty", ""), wire.SYNC).kinds == "1Z"
                assert pair.exchange(wire.close("S", "again"), wire.close("S", "empty"), wire.SYNC).kinds == "33Z"
                pair.query(end)
                assert pair.exchange(wire.bind("", "known"), wire.execute(), wire.SYNC).value == "7"
                assert pair.exchange(wire.bind("", "again"), wire.execute(), wire.SYNC).sqlstate == "26000"
            swap()
            pair.query("BEGIN")
            pair.query("SELECT 1/0")
            assert pair.exchange(wire.bind("", "ends"), wire.execute(), wire.SYNC).tags == ["ROLLBACK"]


def test_parse_in_a_transaction_that_failed_before_it_had_a_server(servers, cluster):
    proxy, _ = servers
    with Pair(proxy, cluster) as pair:
        pair.exchange(wire.parse("known", "SELECT 7"), wire.SYNC)
        pair.query("BEGIN")
        assert pair.exchange(wire.bind("", "unknown"), wire.SYNC).sqlstate == "26000"
        for name in ("known", "again"):
            assert pair.exchange(wire.parse(name, "SELECT 7"), wire.SYNC).sqlstate == "25P02"
        assert pair.exchange(wire.parse("known", "ROLLBACK"), wire.SYNC).sqlstate == "42P05"
        pair.query("ROLLBACK")
        assert pair.exchange(wire.parse("known", "SELECT 7"), wire.SYNC).sqlstate == "42P05"
