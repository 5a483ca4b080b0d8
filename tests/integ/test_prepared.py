# SPDX-License-Identifier: ISC
"""Protocol-level prepared statements in transaction mode: a name is the client's own, whichever server answers."""

import pytest

from harness import system, wire
from harness.traffic import in_parallel, scaled


class Server:
    """Occupies the server that is handed out next, so that another client is given another one."""

    def __init__(self, proxy):
        self.client = proxy.client()
        self.client.query("BEGIN")
        self.pid = self.client.query("SELECT pg_backend_pid()").value

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.client.query("COMMIT")
        self.client.close()


PID = "SELECT pg_backend_pid(), $1::int"


def run(client, name, value):
    result = client.exchange(wire.bind("", name, [value]), wire.describe("P"), wire.execute())
    assert not result.errors, result.errors[0]
    pid, echoed = result.rows[0]
    assert echoed == str(value).encode()
    return pid.decode()


def test_named_statement_on_other_servers(start):
    proxy = start(lanes={"default": 3})
    with proxy.client() as client:
        assert client.exchange(wire.parse("s", PID)).kinds == "1Z"
        pids = {run(client, "s", 1)}
        with Server(proxy) as one:
            pids.add(run(client, "s", 2))
            with Server(proxy):
                pids.add(run(client, "s", 3))
        assert len(pids) == 3 and one.pid in pids


def test_names_of_two_clients_do_not_meet(start):
    proxy = start(lanes={"default": 1})
    with proxy.client() as one, proxy.client() as two:
        one.exchange(wire.parse("s", "SELECT 'one'"))
        two.exchange(wire.parse("s", "SELECT 'two'"))
        for _ in range(3):
            for client, text in ((one, "one"), (two, "two")):
                assert client.exchange(wire.bind("", "s"), wire.execute()).value == text


def test_describe_on_another_server(start):
    proxy = start(lanes={"default": 2})
    with proxy.client() as client:
        client.exchange(wire.parse("s", "SELECT $1::text AS named"))
        with Server(proxy):
            described = client.exchange(wire.describe("S", "s"))
            assert described.kinds == "tTZ" and described.columns[0][0] == "named"


def test_duplicate_name(shared):
    with shared.client() as client:
        client.exchange(wire.parse("s", "SELECT 1"))
        again = client.exchange(wire.parse("s", "SELECT 2"))
        assert again.sqlstate == "42P05" and again.status == "I"
        assert client.exchange(wire.bind("", "s"), wire.execute()).value == "1"


def test_unknown_name(shared):
    with shared.client() as client:
        for message in (wire.bind("", "nothing"), wire.describe("S", "nothing")):
            failed = client.exchange(message)
            assert failed.sqlstate == "26000" and failed.status == "I"
        assert client.query("SELECT 1").value == "1"


def test_unknown_name_in_a_transaction_fails_it(shared):
    with shared.client() as client:
        client.query("BEGIN")
        client.query("SELECT 1")
        assert client.exchange(wire.bind("", "nothing"), wire.execute()).status == "E"
        assert client.query("SELECT 1").sqlstate == "25P02"
        assert client.query("ROLLBACK").status == "I"


def test_close_frees_the_name(shared):
    with shared.client() as client:
        client.exchange(wire.parse("s", "SELECT 1"))
        assert client.exchange(wire.close("S", "s")).kinds == "3Z"
        assert client.exchange(wire.bind("", "s")).sqlstate == "26000"
        assert client.exchange(wire.parse("s", "SELECT 2")).kinds == "1Z"
        assert client.exchange(wire.bind("", "s"), wire.execute()).value == "2"
        assert client.exchange(wire.close("S", "never there")).kinds == "3Z"


@pytest.mark.parametrize("sql", ["DEALLOCATE s", "DEALLOCATE PREPARE s", "DEALLOCATE ALL", "DISCARD ALL"])
def test_deallocate_of_a_protocol_statement(shared, sql):
    """What PDO and ActiveRecord send."""
    with shared.client() as client:
        client.exchange(wire.parse("s", "SELECT 1"))
        done = client.query(sql)
        assert not done.errors, done.errors[0]
        assert client.exchange(wire.bind("", "s")).sqlstate == "26000"
        assert client.exchange(wire.parse("s", "SELECT 2")).kinds == "1Z"


def test_deallocate_of_an_unknown_statement(shared):
    with shared.client() as client:
        assert client.query("DEALLOCATE nothing").sqlstate == "26000"
        assert client.query("SELECT 1").value == "1"


def test_parse_error_leaves_no_name(shared):
    with shared.client() as client:
        assert client.exchange(wire.parse("s", "SELEC 1")).sqlstate == "42601"
        assert client.exchange(wire.bind("", "s")).sqlstate == "26000"
        assert client.exchange(wire.parse("s", "SELECT 1")).kinds == "1Z"


def test_parse_that_was_skipped_after_an_error_leaves_no_name(shared):
    with shared.client() as client:
        client.send(wire.parse("", "SELECT 1/0"), wire.bind("", ""), wire.execute(), wire.parse("late", "SELECT 1"), wire.SYNC)
        assert client.result().sqlstate == "22012"
        assert client.exchange(wire.bind("", "late")).sqlstate == "26000"


def test_more_statements_than_a_server_keeps(start, cluster):
    """max_prepared_statements = 2: the least recently used is closed on the server; the client never notices."""
    proxy = start(lanes={"default": 1}, max_prepared_statements=2)
    with proxy.client() as client:
        for i in range(6):
            assert client.exchange(wire.parse(f"s{i}", f"SELECT {i} + $1::int")).kinds == "1Z"
        for round_ in range(3):
            for i in range(6):
                assert client.exchange(wire.bind("", f"s{i}", [round_]), wire.execute()).value == str(i + round_)
        assert int(client.query("SELECT count(*) FROM pg_prepared_statements").value) <= 2


def test_more_statements_than_a_server_keeps_in_one_pipeline(start):
    proxy = start(lanes={"default": 1}, max_prepared_statements=2)
    with proxy.client() as client:
        client.send(*(wire.parse(f"s{i}", f"SELECT {i}") for i in range(5)), *(wire.bind("", f"s{i}") + wire.execute() for i in range(5)), wire.SYNC)
        assert [row[0] for row in client.result().rows] == [b"0", b"1", b"2", b"3", b"4"]


def test_same_text_is_one_statement_on_the_server(start):
    proxy = start(lanes={"default": 1})
    clients = [proxy.client() for _ in range(5)]
    try:
        for i, client in enumerate(clients):
            client.exchange(wire.parse(f"name{i}", "SELECT 'same'"))
            assert client.exchange(wire.bind("", f"name{i}"), wire.execute()).value == "same"
        assert clients[0].query("SELECT count(*) FROM pg_prepared_statements").value == "1"
    finally:
        for client in clients:
            client.close()


def test_same_text_with_other_types_is_another_statement(shared):
    with shared.client() as client:
        client.exchange(wire.parse("a", "SELECT pg_typeof($1)::text", [23]), wire.parse("b", "SELECT pg_typeof($1)::text", [25]))
        assert client.exchange(wire.bind("", "a", ["1"]), wire.execute()).value == "integer"
        assert client.exchange(wire.bind("", "b", ["1"]), wire.execute()).value == "text"


def test_unnamed_statement_after_sync_on_another_server(start):
    """Parse, Sync, then Bind: drivers do that, and in between the server may be another client's."""
    proxy = start(lanes={"default": 2})
    with proxy.client() as client:
        described = client.exchange(wire.parse("", PID), wire.describe("S"))
        assert described.kinds == "1tTZ"
        with Server(proxy) as other:
            assert run(client, "", 4) != other.pid
        with proxy.client() as another:
            another.exchange(wire.parse("", "SELECT 'not yours', 0"))
        assert run(client, "", 5)


def test_unnamed_statement_is_replaced(shared):
    with shared.client() as client:
        for i in range(3):
            client.exchange(wire.parse("", f"SELECT {i}"))
        assert client.exchange(wire.bind("", ""), wire.execute()).value == "2"


def test_simple_query_ends_the_unnamed_statement(shared):
    with shared.client() as client:
        client.exchange(wire.parse("", "SELECT 1"))
        client.query("SELECT 2")
        assert client.exchange(wire.bind("", ""), wire.execute()).sqlstate == "26000"


def test_memory_cap_of_a_client(start):
    proxy = start(max_client_prepared_bytes=65536)
    with proxy.client() as client:
        sqlstates = [client.exchange(wire.parse(f"s{i}", f"SELECT '{'x' * 8000}'")).sqlstate for i in range(20)]
        assert sqlstates[0] is None and sqlstates[-1] == "53200"
        client.exchange(*(wire.close("S", f"s{i}") for i in range(20)))
        assert client.exchange(wire.parse("again", f"SELECT '{'x' * 8000}'")).sqlstate is None


def test_statement_survives_a_schema_change(start):
    """`cached plan must not change result type` outside a transaction is mended without the client."""
    proxy = start(lanes={"default": 1})
    with proxy.client() as client:
        client.query("DROP TABLE IF EXISTS prepared_schema; CREATE TABLE prepared_schema (a int)")
        client.query("INSERT INTO prepared_schema VALUES (1)")
        client.exchange(wire.parse("s", "SELECT * FROM prepared_schema"))
        assert client.exchange(wire.bind("", "s"), wire.execute()).value == "1"
        client.query("ALTER TABLE prepared_schema ADD b int")
        result = client.exchange(wire.bind("", "s"), wire.describe("P"), wire.execute())
        assert result.sqlstate in (None, "0A000")
        client.query("DROP TABLE prepared_schema")


def test_many_clients_with_the_same_names(start):
    """Every client's `s` is another statement; few servers serve them all."""
    proxy = start(lanes={"default": 3}, max_prepared_statements=5)

    def work(i):
        with proxy.client() as client:
            client.exchange(wire.parse("s", f"SELECT {i} * 1000 + $1::int"))
            for n in range(scaled(50, 10)):
                assert client.exchange(wire.bind("", "s", [n]), wire.execute()).value == str(i * 1000 + n)

    in_parallel(30, work)


def test_sql_prepare_in_session_pooling(start):
    proxy = start(pool_mode="session")
    with proxy.client() as client:
        client.query("PREPARE q (int) AS SELECT $1 + 1")
        assert client.query("EXECUTE q(1)").value == "2"


# ---- DEALLOCATE in batches ----

def run_unnamed(sql):
    return wire.parse("", sql), wire.bind("", ""), wire.execute()


def is_there(client, name="keep", value="42"):
    return client.exchange(wire.bind("", name), wire.execute()).value == value


@pytest.fixture
def keeper(start):
    """A client with a statement named keep, on the only server there is."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as client:
        assert client.exchange(wire.parse("keep", "SELECT 42")).kinds == "1Z"
        yield client


@pytest.mark.parametrize("sql", ["DEALLOCATE keep", "DEALLOCATE ALL", "DISCARD ALL"])
def test_deallocate_acts_when_it_is_executed(keeper, sql):
    keeper.exchange(wire.parse("", sql))
    assert is_there(keeper)
    keeper.exchange(wire.parse("", sql), wire.bind("", ""))
    assert is_there(keeper)
    assert keeper.exchange(*run_unnamed(sql)).tags == [sql.replace(" keep", "")]
    assert keeper.exchange(wire.bind("", "keep"), wire.execute()).sqlstate == "26000"
    assert keeper.exchange(wire.parse("keep", "SELECT 42")).kinds == "1Z"
    assert is_there(keeper)


def test_deallocate_executed_twice(keeper):
    """The second time the portal has run already; the name is gone all the same, as DEALLOCATE knows no transactions."""
    result = keeper.exchange(*run_unnamed("DEALLOCATE keep"), wire.execute())
    assert result.tags == ["DEALLOCATE"] and result.sqlstate == "55000", result.messages
    assert keeper.exchange(*run_unnamed("DEALLOCATE keep")).sqlstate == "26000"
    assert keeper.exchange(wire.bind("", "keep")).sqlstate == "26000"


@pytest.mark.parametrize("sql", ["DEALLOCATE keep", "DEALLOCATE ALL"])
def test_deallocate_behind_an_error_did_not_happen(keeper, sql):
    assert keeper.exchange(*run_unnamed("SELECT 1/0"), *run_unnamed(sql), wire.parse("late", "SELECT 1")).sqlstate == "22012"
    assert is_there(keeper)
    assert keeper.exchange(wire.bind("", "late")).sqlstate == "26000"


@pytest.mark.parametrize("sql", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_statement_parsed_behind_deallocate_all(keeper, sql):
    """In the same batch: what came before is gone, what came after stays, also of a text that the server had."""
    batch = (wire.parse("", sql), wire.bind("", ""), wire.execute()) if sql == "DEALLOCATE ALL" else ()
    if not batch:  # DISCARD ALL does not run in a pipeline
        assert keeper.exchange(*run_unnamed(sql)).tags == [sql]
    result = keeper.exchange(*batch, wire.parse("after", "SELECT 42"), wire.bind("", "after"), wire.execute())
    assert result.rows == [[b"42"]], result.messages
    assert is_there(keeper, "after")
    assert keeper.exchange(wire.bind("", "keep")).sqlstate == "26000"


def test_two_names_of_one_text(keeper):
    assert keeper.exchange(wire.parse("twin", "SELECT 42")).kinds == "1Z"
    assert keeper.exchange(*run_unnamed("DEALLOCATE twin"), wire.bind("", "keep"), wire.execute()).rows == [[b"42"]]
    assert is_there(keeper)
    assert keeper.exchange(wire.bind("", "twin")).sqlstate == "26000"


def test_deallocate_in_the_next_batch(keeper):
    """Parsed in one batch and executed in another, with other statements in between."""
    assert keeper.exchange(wire.parse("", "DEALLOCATE keep")).kinds == "1Z"
    assert keeper.exchange(wire.bind("", ""), wire.execute()).tags == ["DEALLOCATE"]
    assert keeper.exchange(wire.bind("", "keep")).sqlstate == "26000"


def test_query_of_deallocate_waits_for_its_turn(keeper):
    keeper.send(*run_unnamed("SELECT 1"), wire.query("DEALLOCATE keep"))
    result = keeper.result()
    assert result.kinds == "12DCCZ" and result.tags == ["SELECT 1", "DEALLOCATE"], result.messages
    assert keeper.exchange(wire.bind("", "keep")).sqlstate == "26000"


def test_query_of_deallocate_in_a_failed_transaction(keeper):
    keeper.query("BEGIN")
    keeper.query("SELECT 1/0")
    assert keeper.query("DEALLOCATE keep").sqlstate == "25P02"
    keeper.query("ROLLBACK")
    assert is_there(keeper)


def test_query_of_deallocate_all_behind_an_open_batch(keeper):
    keeper.send(*run_unnamed("SELECT 1"), wire.parse("open", "SELECT 7"), wire.query("DEALLOCATE ALL"))
    assert keeper.result().tags == ["SELECT 1", "DEALLOCATE ALL"]
    for name in ("keep", "open"):
        assert keeper.exchange(wire.bind("", name)).sqlstate == "26000"


def test_refusal_of_statement_pooling_waits_for_its_turn(start):
    proxy = start(pool_mode="statement")
    with proxy.client() as client:
        client.send(*run_unnamed("SELECT 1"), wire.query("BEGIN"))
        result = client.result()
        assert result.kinds == "12DCEZ" and result.status == "I", result.messages
        assert client.query("SELECT 1").value == "1"


def test_route_of_a_statement_is_not_that_of_others_who_are_gone(start):
    """What was decided for one application is not taken for another's because its set of parameters lies where the first one's lay."""
    proxy = start(workers=1, sections={"rules": {"training if application_name=etl": None}})
    messages = wire.parse("s", "SELECT 'route'"), wire.bind("", "s"), wire.execute()
    with proxy.client(application_name="keeps") as keeper, proxy.console() as console:
        keeper.exchange(*messages)
        for n in range(1, 11):
            for name in ("etl", "web"):
                with proxy.client(application_name=name) as client:
                    assert client.exchange(*messages).value == "route"
                system.eventually(lambda: len([row for row in console.show("CLIENTS") if row["database"] == "app"]) == 1)
                keeper.query("SELECT 1")  # its server has another set now
            assert next(row["statements"] for row in console.show("CLASSES") if row["class"] == "training") == n


def test_copies_that_another_client_has_dropped(start):
    """By the names that they have on the server, or by a portal of a DEALLOCATE whose statement was replaced: the error comes once, not for ever."""
    proxy = start(workers=1, lanes={"default": 1})
    with proxy.client() as client, proxy.client() as other:
        for user in (client, other):
            user.exchange(wire.parse("a", "SELECT 'a'"), wire.parse("b", "SELECT 'b'"))
        client.exchange(wire.parse("", "DEALLOCATE a"), wire.bind("", ""), wire.parse("", "DEALLOCATE b"), wire.execute())
        for name in "aabb":
            result = other.exchange(wire.bind("", name), wire.execute())
            assert result.errors or result.value == name
        for name in "ab":
            assert other.exchange(wire.bind("", name), wire.execute()).value == name
        for (name,) in client.query("SELECT name FROM pg_prepared_statements").rows:
            client.query(f"DEALLOCATE {name.decode()}")
        assert other.exchange(wire.bind("", "a"), wire.execute()).sqlstate == "26000"
        for name in "ab":
            assert other.exchange(wire.bind("", name), wire.execute()).value == name


def test_parse_by_itself_of_what_a_server_knows_waits_for_none(start):
    """All servers are taken, one by a transaction whose client prepared it: others who prepare the same are answered."""
    proxy = start(lanes={"default": 1}, workers=1)
    with proxy.client() as first, proxy.client() as second, proxy.console() as console:
        first.query("BEGIN")
        assert first.exchange(wire.parse("a", "SELECT $1::int + 1")).kinds == "1Z"
        assert second.exchange(wire.parse("b", "SELECT $1::int + 1")).kinds == "1Z"
        assert second.query("BEGIN").status == "T"
        result = second.exchange(wire.parse("c", "SELECT $1::int + 1"))
        assert (result.kinds, result.status) == ("1Z", "T")
        assert second.exchange(wire.parse("c", "SELECT 1")).sqlstate == "42P05"
        assert second.query("ROLLBACK").status == "I"
        assert console.lane("default")["in_use"] == 1
        first.query("COMMIT")
        assert second.exchange(wire.bind("", "b", ["41"]), wire.execute()).value == "42"
