# SPDX-License-Identifier: ISC
"""Django's database layer: persistent connections, atomic blocks, server-side cursors (WITH HOLD in autocommit), schema editor, eight threads."""

import concurrent.futures

import django
import pytest
from django.conf import settings
from django.db import IntegrityError, transaction

from harness.cluster import USERS


@pytest.fixture(scope="module")
def db():
    """Settings can be made once in a process: the address is put in by each test."""
    settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "app", "USER": "app", "PASSWORD": USERS["app"][0],
                                              "HOST": "127.0.0.1", "PORT": "1", "CONN_MAX_AGE": None}}, USE_TZ=True, TIME_ZONE="UTC",
                       DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
    django.setup()
    from django import db
    return db


@pytest.fixture(scope="module")
def models(db):
    from django.db import models

    class Account(models.Model):
        name = models.CharField(max_length=50, unique=True)
        balance = models.IntegerField(default=0)
        extra = models.JSONField(default=dict)

        class Meta:
            app_label = "bank"

    return {"Account": Account}


@pytest.fixture
def account(start, db, models):
    proxy = start(lanes={"default": 2}, sections={"lane:default": {"max_pinned": 2}})
    db.connections.close_all()
    db.connections.databases["default"]["PORT"] = str(proxy.port)
    db.connection.settings_dict["PORT"] = str(proxy.port)
    with db.connection.schema_editor() as editor:
        editor.create_model(models["Account"])
    yield models["Account"]
    with db.connection.schema_editor() as editor:
        editor.delete_model(models["Account"])
    db.connections.close_all()


def test_queries(account):
    account.objects.bulk_create([account(name=f"account {n}", balance=n, extra={"n": n}) for n in range(500)], batch_size=100)
    assert account.objects.filter(balance__gte=490).count() == 10
    assert account.objects.get(extra__n=7).name == "account 7"
    account.objects.filter(balance__lt=10).update(balance=1000)
    assert account.objects.filter(balance=1000).count() == 10
    assert account.objects.update_or_create(name="account 7", defaults={"balance": 7})[1] is False


def test_atomic(account, db):
    with pytest.raises(IntegrityError), transaction.atomic():
        account.objects.create(name="a")
        account.objects.create(name="a")
    assert account.objects.count() == 0
    with transaction.atomic():
        account.objects.create(name="outer")
        with pytest.raises(ValueError), transaction.atomic():
            account.objects.create(name="inner")
            raise ValueError
    assert [one.name for one in account.objects.all()] == ["outer"]


def test_server_side_cursors(account, db):
    """In autocommit Django declares them WITH HOLD: PgBouncer's users must switch them off."""
    account.objects.bulk_create([account(name=str(n), balance=1) for n in range(3000)])
    assert sum(one.balance for one in account.objects.iterator(chunk_size=100)) == 3000
    with transaction.atomic():
        assert sum(one.balance for one in account.objects.iterator(chunk_size=100)) == 3000
    first, second = account.objects.order_by("id").iterator(chunk_size=10), account.objects.order_by("-id").iterator(chunk_size=10)
    for _ in range(50):
        assert next(first).balance == next(second).balance
        account.objects.filter(name="1").update(balance=1)
    first.close()
    second.close()


def test_introspection(account, db):
    with db.connection.cursor() as cursor:
        assert "bank_account" in db.connection.introspection.table_names(cursor)
        assert [column.name for column in db.connection.introspection.get_table_description(cursor, "bank_account")] == ["id", "name", "balance", "extra"]


def test_eight_threads_on_two_servers(account, db):
    account.objects.create(name="counter")

    def work(_):
        try:
            for _ in range(20):
                with transaction.atomic():
                    counter = account.objects.select_for_update().get(name="counter")
                    counter.balance += 1
                    counter.save(update_fields=["balance"])
            return True
        finally:
            db.connection.close()

    with concurrent.futures.ThreadPoolExecutor(8) as executor:
        assert all(executor.map(work, range(8)))
    assert account.objects.get(name="counter").balance == 160
