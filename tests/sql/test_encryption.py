# SPDX-License-Identifier: ISC
"""Encryption with keys in files: what is wrong with a key, a file or a ciphertext is refused; nothing is ever decrypted to something else."""

import base64
import json
import os
import threading

import psycopg2
import pytest

from harness import schema

PLAIN = {"weights": [0.25, -1.5, 3], "note": "Überlauf"}
TYPE = "training_data"
CANNOT_VERIFY = "22000"
NO_KEY = "55000"


@pytest.fixture
def key(cluster, database):
    """The path of the file of the active key `tested`, version 1."""
    # The superuser's tests come first of all to a type without an active key.
    cluster.run("UPDATE ml_encryption_keys SET key_status = 'deprecated' WHERE key_type = %s", database, (TYPE,))
    path = schema.key_file(cluster, f"{database}.key", os.urandom(32))
    cluster.run("SELECT ml_register_key('tested', %s, %s)", database, (TYPE, str(path)))
    return path


@pytest.fixture
def call(cluster, database):
    def caller(sql, *arguments):
        return cluster.run("SELECT " + sql, database, arguments)[0][0]
    return caller


def encrypt(call, context=""):
    return call("encrypt_ml_data(%s, %s, %s)", json.dumps(PLAIN), TYPE, context)


def decrypt(call, sealed, context=""):
    return call("decrypt_ml_data(%s, %s)", json.dumps(sealed), context)


def refused(sqlstate, function, *arguments):
    with pytest.raises(psycopg2.Error) as caught:
        function(*arguments)
    assert caught.value.pgcode == sqlstate, f"{caught.value.pgcode}: {caught.value}"
    return str(caught.value)


def test_round_trip_and_shape(call, key):
    sealed = encrypt(call, "customer 7")
    assert set(sealed) == {"encrypted_data", "encryption_method", "key_version"}
    assert sealed["key_version"] == "tested:1" and "GCM" not in sealed["encryption_method"]
    assert "\n" not in sealed["encrypted_data"]
    assert decrypt(call, sealed, "customer 7") == PLAIN
    assert encrypt(call, "customer 7")["encrypted_data"] != sealed["encrypted_data"], "the same initialisation vector twice"


def test_what_is_returned_does_not_open_it(cluster, database, call, key):
    """As first asked for, the name of the key was the passphrase and came with the ciphertext."""
    sealed = encrypt(call)
    for secret in (sealed["key_version"], "tested", TYPE):
        with pytest.raises(psycopg2.Error):
            cluster.run("SELECT pgp_sym_decrypt(decode(%s, 'base64'), %s)", database, (sealed["encrypted_data"], secret))
    assert key.read_bytes().hex() not in json.dumps([[str(v) for v in row] for row in cluster.run("SELECT * FROM ml_encryption_keys", database)])


def test_every_changed_byte_is_refused(call, key):
    sealed = encrypt(call)
    blob = base64.b64decode(sealed["encrypted_data"])
    for i in range(len(blob)):
        changed = bytearray(blob)
        changed[i] ^= 1 << (i % 8)
        refused_data = {**sealed, "encrypted_data": base64.b64encode(bytes(changed)).decode()}
        with pytest.raises(psycopg2.Error) as caught:
            decrypt(call, refused_data)
        assert caught.value.pgcode in (CANNOT_VERIFY, "22023", "42704", NO_KEY), f"byte {i}: {caught.value}"


@pytest.mark.parametrize("length", [0, 1, 16, 47])
def test_a_cut_ciphertext_is_refused(call, key, length):
    sealed = encrypt(call)
    sealed["encrypted_data"] = base64.b64encode(base64.b64decode(sealed["encrypted_data"])[:length]).decode()
    with pytest.raises(psycopg2.Error) as caught:
        decrypt(call, sealed)
    assert caught.value.pgcode in (CANNOT_VERIFY, "22023", "22004")


def test_another_context_is_refused(call, key):
    sealed = encrypt(call, "customer 7")
    for context in ("customer 8", "", "customer 7 "):
        refused(CANNOT_VERIFY, decrypt, call, sealed, context)


def test_another_label_or_key_name_is_refused(cluster, database, call, key):
    sealed = encrypt(call)
    for change in ({"key_version": "tested:2"}, {"key_version": "nobody:1"}, {"key_version": "tested"}, {"encryption_method": "AES-256-GCM"}):
        with pytest.raises(psycopg2.Error):
            decrypt(call, {**sealed, **change})
    assert decrypt(call, sealed) == PLAIN


def test_name_and_type_of_the_key_are_sealed_in(cluster, database, call, key):
    """The same bytes under another name are another key: who can write the register cannot pass one organization's data off as another's."""
    sealed = encrypt(call)
    cluster.run("UPDATE ml_encryption_keys SET key_name = 'renamed' WHERE key_name = 'tested'", database)
    refused(CANNOT_VERIFY, decrypt, call, {**sealed, "key_version": "renamed:1"})
    cluster.run("UPDATE ml_encryption_keys SET key_name = 'tested', key_type = 'vector_data' WHERE key_name = 'renamed'", database)
    refused(CANNOT_VERIFY, decrypt, call, sealed)


def test_a_key_is_registered_under_one_name(cluster, database, call, key):
    other = schema.key_file(cluster, f"{database}.other.key", key.read_bytes())
    refused("23505", call, "ml_register_key('other', 'vector_data', %s)", str(other))


def test_a_wrong_key_in_the_file_is_refused(cluster, database, call, key):
    """The register knows a check value of the key: another key is refused before it encrypts or decrypts anything."""
    sealed = encrypt(call)
    schema.key_file(cluster, key.name, os.urandom(32))
    refused(NO_KEY, encrypt, call)
    assert refused(NO_KEY, decrypt, call, sealed).count("tested")


@pytest.mark.parametrize("key_bytes", [None, b"", b"x" * 31, b"x" * 33, b"x" * 64], ids=["gone", "empty", "short", "long", "hex"])
def test_no_usable_key_file_fails_closed(cluster, database, call, key, key_bytes):
    sealed = encrypt(call)
    key.unlink()
    if key_bytes is not None:
        schema.key_file(cluster, key.name, key_bytes)
    refused(NO_KEY, encrypt, call)
    refused(NO_KEY, decrypt, call, sealed)


def test_an_unregistered_type_and_bad_input_are_refused(cluster, database, call, key):
    cluster.run("UPDATE ml_encryption_keys SET key_status = 'deprecated' WHERE key_type = 'vector_data'", database)
    refused("42704", call, "encrypt_ml_data('{}', 'vector_data')")
    refused("42704", call, "encrypt_ml_data('{}', 'cookies')")
    refused("22004", call, "encrypt_ml_data(NULL, %s)", TYPE)
    for broken in ({}, {"encrypted_data": "?"}, {"encrypted_data": "AAAA", "key_version": "tested:1"}, []):
        with pytest.raises(psycopg2.Error) as caught:
            decrypt(call, broken)
        assert caught.value.pgcode in ("22023", "22004", CANNOT_VERIFY), str(caught.value)


def test_bad_files_are_refused_when_registered(cluster, database, call):
    inside = cluster.data / "inside.key"
    inside.write_bytes(os.urandom(32))
    absent = cluster.directory / "keys" / "absent.key"
    short = schema.key_file(cluster, f"{database}.short.key", b"short")
    try:
        for path in (inside, absent, short, "relative.key"):
            with pytest.raises(psycopg2.Error) as caught:
                call("ml_register_key('refused', 'model_weights', %s)", str(path))
            assert caught.value.pgcode in ("22023", NO_KEY), f"{path}: {caught.value}"
    finally:
        inside.unlink()


def test_rotation_keeps_old_ciphertexts_readable(cluster, database, call, key):
    old = encrypt(call)
    new_path = schema.key_file(cluster, f"{database}.2.key", os.urandom(32))
    call("ml_rotate_key(%s, %s)", TYPE, str(new_path))
    new = encrypt(call)
    assert (old["key_version"], new["key_version"]) == ("tested:1", "tested:2")
    assert decrypt(call, old) == PLAIN and decrypt(call, new) == PLAIN
    rows = cluster.run("SELECT key_version, key_status = 'active' FROM ml_encryption_keys WHERE key_name LIKE 'tested%%' ORDER BY key_version", database)
    assert rows == [(1, False), (2, True)]


def test_two_rotations_at_once_leave_one_active_key(cluster, database, call, key):
    paths = [schema.key_file(cluster, f"{database}.r{i}.key", os.urandom(32)) for i in range(4)]
    outcomes = []

    def rotate(path):
        try:
            outcomes.append(call("ml_rotate_key(%s, %s)", TYPE, str(path)))
        except psycopg2.Error as error:
            outcomes.append(error)

    threads = [threading.Thread(target=rotate, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert any(isinstance(outcome, str) for outcome in outcomes), outcomes
    assert cluster.run("SELECT count(*) FROM ml_encryption_keys WHERE key_type = %s AND key_status = 'active'", database, (TYPE,)) == [(1,)]
    assert decrypt(call, encrypt(call)) == PLAIN


def test_an_expired_key_encrypts_no_more_and_still_decrypts(cluster, database, call, key):
    sealed = encrypt(call)
    cluster.run("UPDATE ml_encryption_keys SET expires_at = now() - interval '1 s' WHERE key_type = %s AND key_status = 'active'", database, (TYPE,))
    assert "expired" in refused(NO_KEY, encrypt, call)
    assert decrypt(call, sealed) == PLAIN


def test_encrypting_writes_nothing(cluster, database, key):
    """No counter is updated in the call: many encrypt at once without a row that all of them lock, and so does a read-only transaction."""
    holder, reader = cluster.connect(database), cluster.connect(database, options="-c lock_timeout=2s")
    try:
        holder.autocommit = False
        for connection in (holder, reader):
            with connection.cursor() as cursor:
                if connection is reader:
                    cursor.execute("BEGIN READ ONLY")
                cursor.execute("SELECT encrypt_ml_data('{}', %s)", (TYPE,))
                assert cursor.fetchone()
    finally:
        holder.close()
        reader.close()
