# SPDX-License-Identifier: ISC
"""A query goes through: protocols, pool modes, transactions, errors, notices. The first file to look at when much is red."""

import struct

import psycopg2
import pytest

from harness import wire

MODES = ["session", "transaction", "statement"]


def test_simple_query(shared):
    with shared.client() as client:
        result = client.query("SELECT 1, NULL, 'x'")
        assert result.rows == [[b"1", None, b"x"]]
        assert result.kinds == "TDCZ" and result.tags == ["SELECT 1"] and result.status == "I"


def test_several_statements_in_one_string(shared):
    with shared.client() as client:
        result = client.query("SELECT 1; SELECT 2; SELECT 3")
        assert result.rows == [[b"1"], [b"2"], [b"3"]]
        assert result.kinds == "TDCTDCTDCZ"


@pytest.mark.parametrize("sql", ["", ";", "  ", "-- nothing", "/* nothing */"])
def test_empty_query(shared, sql):
    with shared.client() as client:
        assert client.query(sql).kinds == "IZ"
        assert client.query("SELECT 1").value == "1"


def test_error_leaves_the_connection_usable(shared):
    with shared.client() as client:
        result = client.query("SELECT 1/0")
        assert result.sqlstate == "22012" and result.status == "I"
        assert client.query("SELECT 1").value == "1"


def test_error_in_the_middle_of_a_string(shared):
    with shared.client() as client:
        result = client.query("SELECT 1; SELECT 1/0; SELECT 2")
        assert result.kinds == "TDCEZ"


def test_transaction_status(shared):
    with shared.client() as client:
        assert client.query("BEGIN").status == "T"
        assert client.query("SELECT 1").status == "T"
        assert client.query("SELEC").status == "E"
        refused = client.query("SELECT 1")
        assert refused.sqlstate == "25P02" and refused.status == "E"
        rolled_back = client.query("COMMIT")
        assert rolled_back.tags == ["ROLLBACK"] and rolled_back.status == "I"


def test_transaction_commits_and_rolls_back(shared):
    with shared.client() as client:
        client.query("CREATE TABLE basic_transaction (n int)")
        for end in ("ROLLBACK", "COMMIT"):
            client.query("BEGIN")
            client.query("INSERT INTO basic_transaction VALUES (1)")
            client.query(end)
        assert client.query("SELECT count(*) FROM basic_transaction").value == "1"
        client.query("DROP TABLE basic_transaction")


def test_notice_comes_through(shared):
    with shared.client() as client:
        result = client.query("DO $$ BEGIN RAISE NOTICE 'hello %', 1; RAISE WARNING 'careful'; END $$")
        assert [(notice["S"], notice["M"]) for notice in result.notices] == [("NOTICE", "hello 1"), ("WARNING", "careful")]


def test_extended_protocol(shared):
    with shared.client() as client:
        result = client.extended("SELECT $1::int + $2::int", ["20", "22"])
        assert result.kinds == "12TDCZ" and result.value == "42"


def test_binary_results(shared):
    with shared.client() as client:
        result = client.exchange(wire.parse("", "SELECT 258::int4"), wire.bind("", "", binary=True), wire.execute())
        assert result.rows == [[b"\0\0\1\2"]]


def test_describe_statement(shared):
    with shared.client() as client:
        result = client.exchange(wire.parse("s", "SELECT $1::text AS a"), wire.describe("S", "s"))
        assert result.kinds == "1tTZ" and result.columns[0][0] == "a"


def test_portal_is_fetched_in_parts(shared):
    with shared.client() as client:
        client.query("BEGIN")
        result = client.exchange(wire.parse("", "SELECT generate_series(1, 25)"), wire.bind("p", ""), wire.execute("p", 10))
        assert result.kinds == "12" + "D" * 10 + "sZ"
        assert len(client.exchange(wire.execute("p", 10)).rows) == 10
        rest = client.exchange(wire.execute("p", 10), wire.close("P", "p"))
        assert rest.kinds == "DDDDDC3Z"
        client.query("COMMIT")


def test_pipeline_without_waiting(shared):
    with shared.client() as client:
        n = 200
        client.send(*(part for i in range(n) for part in (wire.parse("", "SELECT $1::int"), wire.bind("", "", [i]), wire.execute(), wire.SYNC)))
        assert [client.result().value for _ in range(n)] == [str(i) for i in range(n)]


def test_error_in_a_pipeline_skips_to_its_sync(shared):
    with shared.client() as client:
        client.send(wire.parse("", "SELECT 1/0"), wire.bind("", ""), wire.execute(), wire.parse("", "SELECT 1"), wire.bind("", ""),
                    wire.execute(), wire.SYNC, wire.query("SELECT 2"))
        failed = client.result()
        assert failed.sqlstate == "22012" and "D" not in failed.kinds and failed.kinds.count("E") == 1
        assert client.result().value == "2"


def test_flush_brings_what_there_is(shared):
    with shared.client() as client:
        client.send(wire.parse("", "SELECT 7"), wire.describe("S"), wire.FLUSH)
        assert [kind for kind, _ in client.receive_until("T")] == ["1", "t", "T"]
        client.send(wire.bind("", ""), wire.execute(), wire.FLUSH)
        assert [kind for kind, _ in client.receive_until("C")] == ["2", "D", "C"]
        client.send(wire.SYNC)
        assert client.result().kinds == "Z"


def test_queries_sent_ahead_are_answered_in_order(shared):
    with shared.client() as client:
        client.send(*(wire.query(f"SELECT {i}") for i in range(300)))
        assert [client.result().value for _ in range(300)] == [str(i) for i in range(300)]


def test_bytes_one_at_a_time(shared):
    with shared.raw() as client:
        for byte in wire.startup_packet({"user": "app", "database": "app"}):
            client.send(bytes([byte]))
        client.receive_until("Z")
        for byte in wire.query("SELECT 'trickle'"):
            client.send(bytes([byte]))
        assert client.result().value == "trickle"


@pytest.mark.parametrize("mode", MODES)
def test_every_pool_mode(start, mode):
    proxy = start(pool_mode=mode)
    assert proxy.run("SELECT count(*) FROM generate_series(1, 1000)") == [(1000,)]
    with proxy.client() as client:
        assert client.extended("SELECT $1::text", [mode]).value == mode


def test_transaction_pooling_shares_one_server(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as one, proxy.client() as two:
        pids = {client.query("SELECT pg_backend_pid()").value for client in (one, two, one, two)}
        assert len(pids) == 1


def test_session_pooling_keeps_its_server_and_leaves_it_clean(start):
    proxy = start(pool_mode="session", lanes={"default": 2})
    with proxy.client() as first:
        pid = first.query("SELECT pg_backend_pid()").value
        with proxy.client() as second:
            assert second.query("SELECT pg_backend_pid()").value != pid
        first.query("SET work_mem = '123MB'")
        first.query("CREATE TEMP TABLE mine (n int)")
        assert first.query("SHOW work_mem").value == "123MB"
        assert first.query("SELECT count(*) FROM mine").value == "0"
        assert first.query("SELECT pg_backend_pid()").value == pid
    with proxy.client() as one, proxy.client() as two:
        for client in (one, two):
            assert client.query("SHOW work_mem").value != "123MB"
            assert client.query("SELECT to_regclass('mine') IS NULL").value == "t"


def test_notification_in_session_pooling(start):
    proxy = start(pool_mode="session")
    with proxy.client() as listener, proxy.client() as speaker:
        listener.query("LISTEN news")
        speaker.query("NOTIFY news, 'now'")
        messages = listener.receive_until("A")
        assert messages[-1][1][4:] == b"news\0now\0"


def test_statement_pooling_refuses_transactions(start):
    proxy = start(pool_mode="statement")
    with proxy.client() as client:
        assert client.query("BEGIN").sqlstate == "0A000"
    with proxy.client() as client:
        assert client.query("SELECT 1").value == "1"


def test_unix_socket(shared):
    with wire.RawClient(str(shared.directory), shared.port) as client:
        assert client.login().query("SELECT 'unix'").value == "unix"


def test_parameters_at_login(shared):
    with shared.client(application_name="basic") as client:
        for name in ("server_version", "server_encoding", "client_encoding", "DateStyle", "TimeZone", "integer_datetimes", "standard_conforming_strings"):
            assert client.parameters.get(name), f"{name} is missing at login"
        assert client.parameters["application_name"] == "basic"
        assert client.parameters["server_version"].startswith(client.query("SHOW server_version_num").value[:2])


def test_protocol_3_0_has_a_key_of_4_bytes(shared):
    with shared.client() as client:
        assert len(client.key) == 4


def test_protocol_3_2_has_a_long_key(shared):
    with shared.client(protocol=wire.PROTOCOL_3_2) as client:
        assert 4 < len(client.key) <= 256
        assert client.query("SELECT 1").value == "1"


def test_newer_minor_version_and_unknown_option_are_negotiated(shared):
    parameters = {"_pq_.shiny": "1"}
    with shared.client(protocol=196618, **parameters) as client:
        newest, n_options = struct.unpack_from("!ii", client.protocol_answer)
        assert newest in (wire.PROTOCOL_3_2, 2) and n_options == 1 and client.protocol_answer[8:] == b"_pq_.shiny\0"
        assert client.query("SELECT 1").value == "1"


@pytest.mark.parametrize("request_code", [wire.SSL_REQUEST, wire.GSSENC_REQUEST])
def test_encryption_that_is_not_there_is_declined(shared, request_code):
    with shared.raw() as client:
        client.send(struct.pack("!ii", 8, request_code))
        assert client.receive_exactly(1) == b"N"
        assert client.login().query("SELECT 1").value == "1"


def test_unknown_database(start):
    proxy = start(sections={"databases": {}})
    with pytest.raises(psycopg2.OperationalError, match="no_such_database"):
        proxy.run("SELECT 1", dbname="no_such_database")
    assert proxy.run("SELECT 1") == [(1,)]


def test_terminate_is_quiet(shared):
    with shared.client() as client:
        client.send(wire.TERMINATE)
        assert client.is_closed()
