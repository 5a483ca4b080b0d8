# SPDX-License-Identifier: ISC
"""Parameters that Postgres reports belong to the client: whichever server it gets has them as the client set them."""

import pytest

from harness import wire
from harness.traffic import in_parallel, scaled

VALUES = {
    "client_encoding": ("LATIN1", "UTF8"),
    "DateStyle": ("German, DMY", "ISO, MDY"),
    "TimeZone": ("Asia/Tokyo", "America/New_York"),
    "application_name": ("first app", "second app"),
    "standard_conforming_strings": ("off", "on"),
    "IntervalStyle": ("iso_8601", "postgres"),
}


@pytest.mark.parametrize("name", VALUES)
def test_at_startup(start, name):
    """Two clients on one server, each with its own value, in turn."""
    proxy = start(lanes={"default": 1})
    one_value, two_value = VALUES[name]
    with proxy.client(**{name: one_value}) as one, proxy.client(**{name: two_value}) as two:
        assert (one.parameters[name], two.parameters[name]) == (one_value, two_value)
        for _ in range(3):
            assert one.query(f"SHOW {name}").value == one_value
            assert two.query(f"SHOW {name}").value == two_value
        assert one.query("SELECT pg_backend_pid()").value == two.query("SELECT pg_backend_pid()").value


@pytest.mark.parametrize("name", VALUES)
def test_by_set(start, name):
    """SET at run time: reported to the client, kept for it, unknown to the next."""
    proxy = start(lanes={"default": 1})
    changed, _ = VALUES[name]
    with proxy.client() as one, proxy.client() as two:
        usual = two.query(f"SHOW {name}").value
        result = one.query(f"SET {name} = '{changed}'" if name != "DateStyle" else f"SET DateStyle = {changed}")
        assert result.tags == ["SET"] and result.parameters.get(name) == changed
        for _ in range(3):
            assert two.query(f"SHOW {name}").value == usual
            assert one.query(f"SHOW {name}").value == changed


def test_set_on_two_servers(start):
    proxy = start(lanes={"default": 2})
    with proxy.client() as client, proxy.client() as other:
        client.query("SET TimeZone = 'Asia/Tokyo'")
        other.query("BEGIN")
        other.query("SELECT 1")
        assert client.query("SHOW TimeZone").value == "Asia/Tokyo"
        other.query("COMMIT")


def test_set_that_is_rolled_back(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        before = client.query("SHOW TimeZone").value
        client.query("BEGIN")
        client.query("SET TimeZone = 'Asia/Tokyo'")
        client.query("ROLLBACK")
        other.query("SELECT 1")
        assert client.query("SHOW TimeZone").value == before


def test_encoding_is_really_in_force(start):
    proxy = start(lanes={"default": 1})
    with proxy.client(client_encoding="LATIN1") as latin, proxy.client(client_encoding="UTF8") as utf8:
        for _ in range(3):
            assert latin.query("SELECT chr(233)").rows == [[b"\xe9"]]
            assert utf8.query("SELECT chr(233)").rows == [["\u00e9".encode()]]


def test_options_at_startup(start):
    """options=-c: each client has its own settings although servers are shared."""
    proxy = start(lanes={"default": 1})
    with proxy.client(options="-c statement_timeout=12345 -c work_mem=7MB") as one, proxy.client() as two:
        usual = two.query("SHOW work_mem").value
        for _ in range(3):
            assert one.query("SHOW statement_timeout").value == "12345ms"
            assert one.query("SHOW work_mem").value == "7MB"
            assert two.query("SHOW statement_timeout").value == "0"
            assert two.query("SHOW work_mem").value == usual


def test_options_with_escapes(start):
    proxy = start()
    with proxy.client(options=r"-c application_name=two\ words --work_mem=6MB") as client:
        assert client.query("SHOW application_name").value == "two words"
        assert client.query("SHOW work_mem").value == "6MB"


def test_bad_value_at_startup_is_an_error_for_this_client_only(start):
    proxy = start()
    with pytest.raises((wire.ServerError, wire.Closed)):
        with proxy.client(TimeZone="Nowhere/AtAll") as client:
            result = client.query("SELECT 1")
            if result.errors:
                raise result.errors[0]
    assert proxy.run("SELECT 1") == [(1,)]


def test_value_with_quotes(start):
    proxy = start(lanes={"default": 1})
    name = "it's \"quoted\" \\ and $1"
    with proxy.client(application_name=name) as one, proxy.client() as two:
        for _ in range(2):
            assert two.query("SELECT 1").value == "1"
            assert one.query("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()").value == name


def test_entry_of_the_database_sets_what_the_client_does_not(start):
    proxy = start(databases={"zoned": "{server} dbname=app timezone=Asia/Tokyo application_name=entry"})
    with proxy.client(database="zoned") as client:
        assert client.query("SHOW TimeZone").value == "Asia/Tokyo"


def test_many_clients_with_their_own_zones(start):
    proxy = start(lanes={"default": 3})
    zones = ["UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Sydney"]

    def work(i):
        zone = zones[i % len(zones)]
        with proxy.client(TimeZone=zone) as client:
            for n in range(scaled(40, 10)):
                if n % 10 == 9:
                    zone = zones[(i + n) % len(zones)]
                    client.query(f"SET TimeZone = '{zone}'")
                assert client.query("SHOW TimeZone").value == zone

    in_parallel(20, work)


def test_application_name_with_the_clients_address(start):
    proxy = start(application_name_add_host=1)
    with proxy.client(application_name="tool") as client:
        name = client.query("SHOW application_name").value
        assert name.startswith("tool") and "127.0.0.1" in name
