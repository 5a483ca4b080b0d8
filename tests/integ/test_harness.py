# SPDX-License-Identifier: ISC
"""The harness against plain PostgreSQL: a test that cannot see a fault there would not see it in pglane either."""

import psycopg2
import pytest

from harness import system, wire
from harness.cluster import USERS


def direct(cluster, **kwargs):
    return wire.RawClient("127.0.0.1", cluster.port).login(**kwargs)


@pytest.mark.parametrize("user", USERS)
def test_raw_client_logs_in_with_every_method(cluster, user):
    with direct(cluster, user=user, password=USERS[user][0]) as client:
        assert client.query("SELECT current_user").value == user


@pytest.mark.parametrize("user", ["u_scram", "u_md5", "u_plain"])
def test_wrong_password_is_refused(cluster, user):
    with pytest.raises(wire.ServerError) as refused:
        direct(cluster, user=user, password="wrong")
    assert refused.value.sqlstate == "28P01"


def test_extended_protocol_and_rows(cluster):
    with direct(cluster) as client:
        result = client.extended("SELECT $1::text, NULL, 1", ["x"])
        assert result.rows == [[b"x", None, b"1"]]
        assert [name for name, _ in result.columns] == ["text", "?column?", "?column?"]
        assert result.kinds == "12TDCZ"
        assert client.query("SELEC").sqlstate == "42601"


def test_cancel(cluster):
    with direct(cluster) as client:
        client.send(wire.query("SELECT pg_sleep(60)"))
        system.eventually(lambda: cluster.backends("query LIKE '%pg_sleep(60)%' AND state = 'active'"))
        wire.send_cancel("127.0.0.1", cluster.port, client.pid, client.key)
        assert client.result().sqlstate == "57014"


def test_tls(cluster):
    with wire.RawClient("127.0.0.1", cluster.port) as client:
        assert client.start_tls()
        client.login()
        assert client.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").value == "t"


def test_kill_and_start_again(cluster):
    cluster.kill()
    with pytest.raises(psycopg2.OperationalError):
        cluster.connect()
    cluster.start()
    assert cluster.run("SELECT postgis_lib_version() IS NOT NULL", "app") == [(True,)]


def test_what_is_left_at_work_is_ended(cluster):
    with direct(cluster) as client:
        client.send(wire.query("SELECT pg_sleep(1000)"))
        system.eventually(lambda: cluster.backends("state = 'active'"))
    assert cluster.backends()  # its client has gone, and it does not know
    cluster.end_backends()
    assert not cluster.backends()


def test_eventually_gives_up():
    with pytest.raises(AssertionError, match="never"):
        system.eventually(lambda: False, 0.05, "never")
