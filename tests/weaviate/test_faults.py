# SPDX-License-Identifier: ISC
"""What may befall a note on its way: after each fault Weaviate holds what PostgreSQL holds, and nothing was given up that could be delivered."""

import os
import signal

import pytest

from harness import system, traffic
from harness.shop import COLLECTION, CUSTOMER, ORGANIZATION, Shop, frozen, kill, object_id
from harness.weaviate import Weaviate, real_url

BATCH = "POST /v1/batch/objects"
# The volume of the test of a long absence. PGLANE_TEST_NOTES=100000 is what is promised.
N_NOTES = int(os.environ.get("PGLANE_TEST_NOTES", traffic.scaled(10000)))
SHORT = {"weaviate_timeout": "0.5", "weaviate_write_timeout": "1"}

INSERT = """/*ml_entity='service_event'*/ INSERT INTO service_events (organization_id, customer_id, event_type, service_date, description, location)
            VALUES (%s, %s, 'pickup', now(), %s, ST_SetSRID(ST_MakePoint(13.4, 52.5), 4326)::geography) RETURNING id::text"""


def insert(cursor, text):
    """An annotated INSERT; the row's id."""
    cursor.execute(INSERT, (ORGANIZATION, CUSTOMER, text))
    return cursor.fetchone()[0]


# ---- pglane dies ----

def test_killed_between_statement_and_commit(shop):
    """Neither the row nor a note of it remains."""
    proxy = shop.start()
    connection = proxy.connect("shop")
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        insert(cursor, "never committed")
        kill(proxy)
    connection.close()
    system.eventually(lambda: not shop.run("SELECT 1 FROM pg_stat_activity WHERE application_name <> 'direct' AND state LIKE 'idle in transaction%%'"), 30, "the rollback")
    assert shop.run("SELECT count(*) FROM service_events")[0][0] == 0 and shop.notes() == 0
    proxy.start()
    shop.check()


def test_killed_after_commit(shop):
    """The note was part of the transaction."""
    proxy = shop.start()
    shop.weaviate.lay({"do": "hold", "call": BATCH})
    with proxy.connect("shop") as connection, connection.cursor() as cursor:
        insert(cursor, "committed")
    kill(proxy)
    assert shop.notes() == 1
    shop.weaviate.release()
    proxy.start()
    shop.check()
    assert len(shop.weaviate.objects(COLLECTION)) == 1


def test_killed_between_answer_and_deletion_of_the_note(shop):
    shop.track()
    proxy = shop.start(**SHORT)
    shop.weaviate.lay({"do": "hold", "call": BATCH, "late": True})
    shop.add(10)
    shop.weaviate.wait_held()
    kill(proxy)
    assert shop.notes() == 10
    shop.weaviate.release()
    assert len(shop.weaviate.objects(COLLECTION)) == 10
    proxy.start()
    shop.check()


def test_killed_again_and_again(shop):
    shop.track()
    proxy = shop.start(**SHORT)
    shop.add(traffic.scaled(1000))
    for i in range(5):
        before = shop.weaviate.n_calls(BATCH)
        system.eventually(lambda before=before: shop.weaviate.n_calls(BATCH) > before or not shop.notes(), 60, "one more batch")
        kill(proxy)
        shop.add(20, f"round {i}")
        proxy.start()
    shop.check()


# ---- PostgreSQL goes away ----

@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "crashed"])
def test_postgres_restarts_while_a_batch_is_in_flight(shop, how):
    shop.track()
    shop.start(**SHORT)
    shop.weaviate.lay({"do": "hold", "call": BATCH})
    shop.add(50)
    shop.weaviate.wait_held()
    shop.cluster.stop(how)
    shop.weaviate.release()
    shop.cluster.start()
    shop.add(50, "after")
    shop.check()


# ---- Weaviate goes away, is slow, lies ----

def test_weaviate_is_down_and_many_notes_wait(shop):
    shop.track()
    proxy = shop.start()
    with shop.weaviate.away():
        shop.add(N_NOTES)
        shop.run("UPDATE service_events SET description = description || ' again'")
        before = proxy.resident_bytes()
        with proxy.connect("shop") as connection, connection.cursor() as cursor:
            insert(cursor, "while it is down")
        assert shop.notes() == N_NOTES + 1
    shop.check(300)
    assert proxy.resident_bytes() - before <= traffic.memory_limit(32 << 20)
    assert len(shop.weaviate.objects(COLLECTION)) == N_NOTES + 1


def test_weaviate_is_slow(shop):
    shop.track()
    shop.start()
    with shop.weaviate.fault("slow", BATCH, seconds=0.2):
        shop.add(300)
        shop.check()


@pytest.mark.parametrize("late", [False, True], ids=["before_the_work", "after_it"])
def test_weaviate_is_too_slow(shop, late):
    shop.track()
    shop.start(**SHORT)
    shop.weaviate.lay({"do": "slow", "call": BATCH, "seconds": 2, "late": late, "times": 2})
    shop.add(150)
    shop.check()


@pytest.mark.parametrize("late", [False, True], ids=["before_the_work", "after_it"])
def test_connections_are_cut(shop, late):
    shop.track()
    shop.start(**SHORT)
    shop.weaviate.lay({"do": "cut", "call": BATCH, "late": late, "bytes": 150, "times": 3})
    shop.add(150)
    shop.check()


@pytest.mark.parametrize("how", ["one_too_few", "one_too_many", "other_order", "other_ids", "no_result", "error_in_success", "unknown_status", "object", "no_json", "half_json"])
def test_answers_that_lie(shop, how):
    shop.track()
    shop.start(**SHORT)
    shop.weaviate.lay({"do": "lie", "call": BATCH, "how": how, "times": 2})
    shop.add(150)
    shop.check(90)


@pytest.mark.parametrize("answer", [
    {"do": "empty"}, {"do": "answer", "status": 500}, {"do": "answer", "status": 502}, {"do": "answer", "status": 503},
    {"do": "answer", "status": 429, "body": {"errorCode": "USAGE_LIMIT_EXCEEDED", "limit": "objects", "value": 1, "message": "too many objects"}},
    {"do": "refuse", "every": 3, "text": "context deadline exceeded"}, {"do": "refuse", "ids": [], "text": "x"},
    {"do": "refuse", "every": 7, "text": "update vector: connection to: OpenAI API failed with status: 429 error: Rate limit reached"},
], ids=lambda answer: f"{answer['do']}-{answer.get('status', answer.get('text', ''))}"[:30].replace(" ", "_"))
def test_failures_that_pass(shop, answer):
    shop.track()
    shop.start(**SHORT)
    shop.weaviate.lay({**answer, "call": BATCH, "times": 2})
    shop.add(150)
    shop.check(90)


def test_a_read_only_shard_lies_to_nobody(shop):
    """In many versions only one object of a batch hears that nothing was stored."""
    shop.track()
    shop.start(**SHORT)
    shop.weaviate.set_read_only(COLLECTION)
    ids = shop.add(120)
    system.eventually(lambda: shop.weaviate.is_real or shop.weaviate.n_calls(BATCH) > 0, 30, "a batch")
    shop.run("DELETE FROM service_events WHERE id = ANY (%s::uuid[])", (ids[:20],))
    assert not shop.weaviate.objects(COLLECTION) and shop.notes() == 120
    shop.weaviate.set_read_only(COLLECTION, False)
    shop.check(90)


def test_a_key_that_is_refused(shop):
    """Somebody has to change the key; nothing is given up meanwhile."""
    shop.track()
    proxy = shop.start()
    shop.weaviate.control("keys", {"keys": ["another"]})
    try:
        shop.add(50)
        system.eventually(lambda: shop.weaviate.state()["calls"].get(BATCH, 0) > 0, 30, "a try")
        assert shop.notes() == 50
        proxy.write(weaviate_api_key="another")
        proxy.reload()
        shop.settle()
        assert not shop.dead()
    finally:
        shop.weaviate.control("keys", {"keys": [shop.weaviate.api_key], "readers": ["reader"]})
    proxy.write(weaviate_api_key=shop.weaviate.api_key)
    proxy.reload()
    shop.check()


def test_an_object_that_nobody_can_store_holds_up_no_other(shop):
    shop.track()
    proxy = shop.start(**SHORT)
    bad = shop.add(1, "bad")[0]
    shop.settle()
    with shop.weaviate.fault("refuse", BATCH, ids=[object_id(bad)], text="invalid object: no such prop with name 'x' found in class"):
        shop.run("UPDATE service_events SET description = 'changed' WHERE id = %s", (bad,))
        shop.add(99)
        shop.settle()
        assert [id for id, _ in shop.dead()] == [bad]
    with proxy.console() as console:
        console.run("RETRY OUTBOX")
    shop.check()


def test_a_crash_in_a_deletion_is_no_deletion(shop):
    """It looks like success: 200 without a body, where a deletion is told by 204."""
    shop.track()
    shop.start(**SHORT)
    shop.add(3)
    shop.check()
    shop.weaviate.lay({"do": "empty", "call": "DELETE /v1/objects/.*", "times": 4})
    shop.run("DELETE FROM service_events")
    shop.check(90)


# ---- rows change on the way ----

def test_a_row_is_deleted_while_its_object_is_in_flight(shop):
    shop.track()
    shop.start()
    shop.weaviate.lay({"do": "hold", "call": BATCH})
    ids = shop.add(3)
    shop.weaviate.wait_held()
    shop.run("DELETE FROM service_events WHERE id = %s", (ids[0],))
    shop.run("UPDATE service_events SET deleted_at = now() WHERE id = %s", (ids[1],))
    shop.run("UPDATE service_events SET description = 'newer' WHERE id = %s", (ids[2],))
    shop.weaviate.release()
    shop.check()
    assert shop.weaviate.objects(COLLECTION).keys() == {object_id(ids[2])}


def test_a_row_that_comes_back(shop):
    shop.track()
    shop.start()
    ids = shop.add(2)
    shop.check()
    shop.run("UPDATE service_events SET deleted_at = now()")
    shop.check()
    assert not shop.weaviate.objects(COLLECTION)
    shop.run("UPDATE service_events SET deleted_at = NULL WHERE id = %s", (ids[0],))
    shop.check()
    assert shop.weaviate.objects(COLLECTION).keys() == {object_id(ids[0])}


# ---- several workers ----

def test_two_pglanes_on_one_outbox(shop):
    """Both work, and no object is in two requests at once: of two writes under way the older may win."""
    shop.track()
    with shop.weaviate.fault("slow", BATCH, seconds=0.05):
        shop.add(traffic.scaled(1500))
        proxies = [shop.start(instance_id=f"pglane-{i}") for i in range(2)]
        shop.run("UPDATE service_events SET description = 'changed'")
        shop.check(120)
    assert len({(request["port"]) for request in shop.weaviate.control("requests") if request["target"].startswith("/v1/batch/objects")}) >= len(proxies)
    assert overlaps(shop.weaviate.control("requests")) == []


def overlaps(requests):
    """Ids that were in two writes at once."""
    told, last = [], {}
    for request in sorted((request for request in requests if request["ids"]), key=lambda request: request["began"]):
        for id in request["ids"]:
            if last.get(id, 0) > request["began"]:
                told.append(id)
            last[id] = max(last.get(id, 0), request["ended"] or float("inf"))
    return told


def test_a_zombie_after_its_lease(shop):
    """It wakes up when another has delivered newer states: what it has in hand it neither sends nor reports as delivered."""
    shop.track()
    zombie = shop.start(**SHORT)
    shop.weaviate.lay({"do": "hold", "call": BATCH})
    ids = shop.add(20)
    shop.weaviate.wait_held()
    with frozen(zombie):
        shop.weaviate.release()
        system.eventually(lambda: len(shop.weaviate.objects(COLLECTION)) == 20, 30, "the zombie's write")
        shop.run("UPDATE service_events SET description = 'newer' WHERE id = ANY (%s::uuid[])", (ids[:10],))
        shop.run("DELETE FROM service_events WHERE id = ANY (%s::uuid[])", (ids[10:15],))
        shop.start(**SHORT)
        shop.check()
    shop.run("UPDATE service_events SET description = 'newest' WHERE id = %s", (ids[0],))
    shop.check()


# ---- a server of another time ----

def test_deletes_before_1_26_are_told_when_the_id_is_missing(cluster, start, shop_template):
    if real_url():
        pytest.skip("the real server is of the version that it is")
    weaviate = Weaviate("1.25.9")
    shop = Shop(cluster, weaviate, start, shop_template)
    try:
        shop.track()
        proxy = shop.start()
        ids = shop.add(5)
        shop.check()
        weaviate.control("forget", {"class": COLLECTION, "ids": [object_id(ids[0])]})
        shop.run("DELETE FROM service_events")
        shop.check()
        proxy.stop_only()
    finally:
        shop.drop()
        weaviate.stop()
