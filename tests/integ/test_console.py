# SPDX-License-Identifier: ISC
"""The console: PgBouncer 1.25.2's columns, their order and types, over both protocols, and its commands."""

import re

import psycopg
import psycopg2
import pytest

from harness import system, wire

TYPES = {"i": 23, "q": 20, "N": 1700, "s": 25, "T": 25, "b": 17}

SOCKET_COLUMNS = ("type user database replication state addr port local_addr local_port connect_time request_time wait wait_us close_needed ptr link "
                  "remote_pid tls application_name prepared_statements id")
SOCKET_TYPES = "ssssssisiTTiiississii"

COLUMNS = {
    "POOLS": ("database user cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req sv_active sv_active_cancel sv_being_canceled sv_idle "
              "sv_used sv_tested sv_login maxwait maxwait_us pool_mode load_balance_hosts", "ssiiiiiiiiiiiiiss"),
    "CLIENTS": (SOCKET_COLUMNS, SOCKET_TYPES),
    "SERVERS": (SOCKET_COLUMNS, SOCKET_TYPES),
    "SOCKETS": (SOCKET_COLUMNS + " recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail", SOCKET_TYPES + "iiiiiii"),
    "ACTIVE_SOCKETS": (SOCKET_COLUMNS + " recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail", SOCKET_TYPES + "iiiiiii"),
    "STATS": ("database total_server_assignment_count total_xact_count total_query_count total_received total_sent total_xact_time total_query_time "
              "total_wait_time total_client_parse_count total_server_parse_count total_bind_count avg_server_assignment_count avg_xact_count "
              "avg_query_count avg_recv avg_sent avg_xact_time avg_query_time avg_wait_time avg_client_parse_count avg_server_parse_count "
              "avg_bind_count", "s" + "N" * 22),
    "STATS_TOTALS": ("database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time "
                     "client_parse_count server_parse_count bind_count", "s" + "N" * 11),
    "STATS_AVERAGES": ("database server_assignment_count xact_count query_count bytes_received bytes_sent xact_time query_time wait_time "
                       "avg_client_parse_count avg_server_parse_count avg_bind_count", "s" + "N" * 11),
    "TOTALS": ("name value", "sN"),
    "DATABASES": ("name host port database force_user pool_size min_pool_size reserve_pool_size server_lifetime pool_mode load_balance_hosts "
                  "max_connections current_connections max_client_connections current_client_connections paused disabled", "ssissiiiissiiiiii"),
    "USERS": ("name pool_size reserve_pool_size pool_mode max_user_connections current_connections max_user_client_connections "
              "current_client_connections", "ssssiiii"),
    "LISTS": ("list items", "si"),
    "CONFIG": ("key value default changeable", "ssss"),
    "STATE": ("key value", "ss"),
    "MEM": ("name size used free memtotal", None),
    "VERSION": ("version", "s"),
}


@pytest.fixture
def console(shared):
    with shared.client(database="pglane") as client:
        yield client


@pytest.mark.parametrize("what", COLUMNS)
def test_columns_over_the_simple_protocol(shared, console, what):
    shared.run("SELECT 1")
    check_columns(console.query(f"SHOW {what}"), what)


@pytest.mark.parametrize("what", COLUMNS)
def test_columns_over_the_extended_protocol(shared, console, what):
    shared.run("SELECT 1")
    result = console.extended(f"SHOW {what}")
    assert result.kinds.startswith("12T") and result.kinds.endswith("CZ"), result.errors
    check_columns(result, what)


def check_columns(result, what):
    names, types = COLUMNS[what]
    assert not result.errors, result.errors[0]
    assert [name for name, _ in result.columns] == names.split()
    if types:
        assert [oid for _, oid in result.columns] == [TYPES[letter] for letter in types]
    assert result.tags == ["SHOW"] and result.status == "I"


@pytest.mark.parametrize("name", ["pglane", "pgbouncer"])
def test_both_names(shared, name):
    with shared.console(dbname=name) as console:
        assert console.show("VERSION")[0]["version"].startswith("PgBouncer 1.25.2")


def test_version_has_what_tools_look_for(shared):
    with shared.console() as console:
        assert re.search(r"PgBouncer \d+\.\d+\.\d+", console.show("VERSION")[0]["version"])


@pytest.mark.parametrize("spelling", ["show pools", "SHOW POOLS;", "  Show   Pools ;  ", "SELECT pools"])
def test_spelling(console, spelling):
    assert console.query(spelling).tags == ["SHOW"]


def test_help_is_a_notice(console):
    result = console.query("SHOW HELP")
    assert [notice["M"] for notice in result.notices] == ["Console usage"]
    lines = [line.strip() for line in result.notices[0]["D"].splitlines()]
    assert len([line for line in lines if line.startswith("SHOW ") and "|" in line]) > 2
    assert not [line for line in lines if line.startswith("SHOW ") and "|" not in line and " " not in line[5:]], "no command stands alone"
    assert "RELOAD" in lines and "SHUTDOWN [WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]" in lines and lines[-1].startswith("pglane ")


@pytest.mark.parametrize("command", ["NONSENSE", "SHOW NONSENSE", "SHOW", "PAUSE no_such_database", "KILL_CLIENT x", "SET", "SET no_such_key = 1"])
def test_invalid_command(console, command):
    result = console.query(command)
    assert result.errors and result.errors[0].severity == "ERROR" and result.status == "I"
    assert console.query("SHOW VERSION").tags == ["SHOW"]


def test_unknown_command_has_pgbouncers_sqlstate(console):
    assert console.query("NONSENSE").sqlstate == "08P01"


def test_drivers_can_prepare_and_set(shared):
    """psycopg 3 speaks only the extended protocol."""
    with psycopg.connect(host=shared.host, port=shared.port, dbname="pglane", user="app", autocommit=True, sslmode="disable") as connection:
        rows = connection.execute("SHOW DATABASES").fetchall()
        assert any(row[0] == "app" for row in rows)
        for _ in range(10):
            assert connection.execute("SHOW STATE").fetchall()
        assert connection.execute("SHOW client_encoding").fetchone()[0] in ("UTF8", "UTF-8")
        connection.execute("SET client_encoding TO 'UTF8'")


@pytest.mark.parametrize("name", ["client_encoding", "default_transaction_isolation", "standard_conforming_strings", "datestyle", "timezone"])
def test_parameters_that_drivers_ask_for(console, name):
    assert len(console.query(f"SHOW {name}").rows) == 1


def test_login_parameters(console):
    assert console.parameters["client_encoding"] == "UTF8" and console.parameters["is_superuser"] == "on"
    assert re.match(r"\d+\.\d+", console.parameters["server_version"])


def test_who_may_use_it(start):
    proxy = start()
    with proxy.client(user="u_other", database="pglane") as reader:
        assert reader.query("SHOW POOLS").tags == ["SHOW"]
        assert reader.query("PAUSE").sqlstate == "42501"
    with pytest.raises(wire.ServerError) as refused:
        proxy.client(user="u_plain", database="pglane")
    assert refused.value.severity == "FATAL"


def test_numbers_are_true(start):
    proxy = start(lanes={"default": 3})
    with proxy.client(application_name="counted") as holder, proxy.client() as idle, proxy.console() as console:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        pool = next(row for row in console.show("POOLS") if row["database"] == "app")
        assert (pool["user"], pool["cl_active"], pool["sv_active"], pool["cl_waiting"]) == ("app", 2, 1, 0)
        assert pool["pool_mode"] == "transaction"
        clients = console.show("CLIENTS")
        assert any(row["application_name"] == "counted" and row["state"] == "active" for row in clients)
        assert any(row["database"] in ("pglane", "pgbouncer") for row in clients), "the console's own connection is listed"
        servers = console.show("SERVERS")
        assert len(servers) == 1 and servers[0]["state"] == "active" and servers[0]["type"] == "S"
        pid = int(holder.query("SELECT pg_backend_pid()").value)
        assert servers[0]["remote_pid"] == pid
        holder.query("COMMIT")
        system.eventually(lambda: console.show("SERVERS")[0]["state"] in ("idle", "used"))
        assert idle.query("SELECT 1").value == "1"
        lists = {row["list"]: row["items"] for row in console.show("LISTS")}
        assert list(lists) == ["databases", "users", "peers", "pools", "peer_pools", "free_clients", "used_clients", "login_clients",
                               "free_servers", "used_servers", "dns_names", "dns_zones", "dns_queries", "dns_pending"]


def test_stats_count_what_happened(start):
    proxy = start()
    with proxy.client() as client, proxy.console() as console:
        def totals():
            return next((row for row in console.show("STATS_TOTALS") if row["database"] == "app"), None)
        client.query("SELECT 1")
        before = totals()
        for _ in range(5):
            client.query("SELECT repeat('x', 1000)")
        client.query("BEGIN")
        client.query("SELECT 1")
        client.query("SELECT 1")
        client.query("COMMIT")
        system.eventually(lambda: totals()["xact_count"] - before["xact_count"] == 6, 5)
        assert totals()["query_count"] - before["query_count"] in (7, 8, 9)
        assert totals()["bytes_sent"] - before["bytes_sent"] > 5000
        assert all(value >= 0 for key, value in totals().items() if key != "database")


def test_stats_are_integers(shared):
    """Some tools read every column but the first as a 64-bit integer."""
    with shared.client(database="pglane") as client:
        for row in client.query("SHOW STATS").rows:
            assert all(value is not None and re.fullmatch(rb"\d+", value) for value in row[1:])


def test_times_can_be_read_by_tools(shared):
    with shared.client() as client, shared.console() as console:
        client.query("SELECT 1")
        for row in console.show("CLIENTS"):
            assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row["connect_time"])


def test_config_has_every_key_in_order(shared):
    with shared.console() as console:
        keys = [row["key"] for row in console.show("CONFIG")]
        assert keys == sorted(keys) and len(keys) == len(set(keys))
        assert {"max_client_conn", "log_pooler_errors", "budget", "pool_mode"} <= set(keys)
        assert {row["changeable"] for row in console.show("CONFIG")} == {"yes", "no"}


def test_set_changes_the_running_value(start):
    proxy = start()
    with proxy.console() as console:
        for command in ("SET query_wait_notify = '11'", "SET query_wait_notify TO 12"):
            console.run(command)
        assert next(row["value"] for row in console.show("CONFIG") if row["key"] == "query_wait_notify") == "12"
        with pytest.raises(psycopg2.Error):
            console.run("SET pool_mode = 'sideways'")


def test_pause_and_resume(start):
    proxy = start()
    with proxy.client() as client, proxy.console() as console:
        assert client.query("SELECT 1").value == "1"
        console.run("PAUSE app")
        assert next(row["paused"] for row in console.show("DATABASES") if row["name"] == "app") == 1
        client.send(wire.query("SELECT 'after'"))
        system.eventually(lambda: sum(pool["cl_waiting"] for pool in console.show("POOLS")) == 1)
        assert not console.show("SERVERS"), "a paused database has no servers"
        console.run("RESUME app")
        assert client.result().value == "after"
        console.run("PAUSE")
        assert {row["key"]: row["value"] for row in console.show("STATE")}["paused"] == "yes"
        console.run("RESUME")
        assert client.query("SELECT 1").value == "1"


def test_pause_waits_for_transactions(start):
    proxy = start()
    with proxy.client() as holder, proxy.client(database="pglane") as console:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        console.send(wire.query("PAUSE app"))
        assert holder.query("SELECT 2").value == "2"
        assert holder.query("COMMIT").status == "I"
        assert console.result().tags == ["PAUSE"]
        assert console.query("RESUME app").tags == ["RESUME"]


@pytest.mark.parametrize("what", ["", " app"])
def test_resume_ends_a_pause_that_still_waits(start, cluster, what):
    """It is told, and closes no server any more."""
    proxy = start(lanes={"default": 2}, workers=1)
    with proxy.client() as holder, proxy.client() as other, proxy.client(database="pglane", timeout_s=10) as pauser, proxy.console() as console:
        holder.query("BEGIN")
        holder.query("SELECT 1")
        pauser.send(wire.query(f"PAUSE{what}"))
        other.send(wire.query("SELECT 'after'"))
        system.eventually(lambda: sum(pool["cl_waiting"] for pool in console.show("POOLS")) == 1)
        console.run(f"RESUME{what}")
        assert other.result().value == "after"
        assert pauser.result().sqlstate == "55000"
        pid = other.query("SELECT pg_backend_pid()").value
        for _ in range(3):
            assert other.query("SELECT pg_backend_pid()").value == pid
        assert holder.query("COMMIT").status == "I"


def test_disable_and_enable(start):
    proxy = start()
    with proxy.console() as console:
        console.run("DISABLE app")
        with pytest.raises(psycopg2.OperationalError):
            proxy.run("SELECT 1")
        console.run("ENABLE app")
        assert proxy.run("SELECT 1") == [(1,)]


def test_kill_and_resume(start):
    proxy = start()
    with proxy.client() as client, proxy.console() as console:
        client.query("SELECT 1")
        console.run("KILL app")
        with pytest.raises((wire.Closed, wire.ServerError)):
            raise client.query("SELECT 1").errors[0]
        console.run("RESUME app")
        assert proxy.run("SELECT 1") == [(1,)]


def test_kill_client(start, cluster):
    proxy = start()
    with proxy.client(application_name="victim") as victim, proxy.client() as other, proxy.console() as console:
        victim.query("BEGIN")
        victim.query("SELECT 1")
        row = next(row for row in console.show("CLIENTS") if row["application_name"] == "victim")
        console.run(f"KILL_CLIENT {row['id']}")
        assert victim.fatal().sqlstate == "57P01"
        assert other.query("SELECT 1").value == "1"
        system.eventually(lambda: not cluster.backends("state LIKE 'idle in transaction%'"))


def test_reconnect_replaces_servers(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as client, proxy.console() as console:
        pid = client.query("SELECT pg_backend_pid()").value
        console.run("RECONNECT")
        system.eventually(lambda: client.query("SELECT pg_backend_pid()").value != pid, 10, "another server")


def test_wait_close(start):
    proxy = start()
    with proxy.client() as client, proxy.console() as console:
        client.query("SELECT 1")
        console.run("RECONNECT app")
        console.run("WAIT_CLOSE app")
        assert client.query("SELECT 1").value == "1"


@pytest.mark.parametrize("command", ["SHUTDOWN", "SHUTDOWN WAIT_FOR_SERVERS", "SHUTDOWN WAIT_FOR_CLIENTS"])
def test_shutdown(start, command):
    proxy = start()
    console = proxy.client(database="pglane")
    console.send(wire.query(command))
    try:
        console.result()
    except wire.Closed:
        pass
    console.close()
    assert proxy.process.wait(20) == 0


def test_lanes_classes_and_queue(start):
    proxy = start()
    with proxy.console() as console:
        lanes = {row["lane"]: row for row in console.show("LANES")}
        assert {name: row["permits"] for name, row in lanes.items()} == {"default": 120, "ml": 30, "vector": 15, "training": 10, "priority": 5}
        assert console.show("CLASSES")
        assert console.show("QUEUE") == []
    with proxy.client(user="u_other", database="app") as client:
        assert client.query("SELECT 1").value == "1"
