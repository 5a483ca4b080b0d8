-- SPDX-License-Identifier: ISC
-- Encryption: what it withstands. Keys in files are in test_encryption.py; here each comes with the call.
BEGIN;
SELECT plan(43);
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;
SELECT ml_register_key('tap', 'tap', NULL, '{"read": ["ml_engineer", "data_scientist"], "write": ["ml_engineer"]}', now() + interval '1 day', '\x0101010101010101010101010101010101010101010101010101010101010101') \g /dev/null
CREATE FUNCTION pg_temp.k(n int) RETURNS bytea LANGUAGE sql AS $$ SELECT decode(repeat(lpad(to_hex(n), 2, '0'), 32), 'hex') $$;
CREATE TEMP TABLE sealed AS SELECT encrypt_ml_data('{"secret": "ü", "n": 1.50}', 'tap', 'row 1', pg_temp.k(1)) AS v;

-- ---- what comes back ----

SELECT is(decrypt_ml_data(v, 'row 1', pg_temp.k(1)), '{"secret": "ü", "n": 1.50}', 'there and back') FROM sealed;
SELECT is((SELECT array_agg(key ORDER BY key) FROM jsonb_object_keys(v) key), '{encrypted_data,encryption_method,key_version}', 'the promised keys') FROM sealed;
SELECT is(v ->> 'encryption_method', 'AES-256-CBC+HMAC-SHA256', 'the label is what is used') FROM sealed;
SELECT is(v ->> 'key_version', 'tap:1', 'key_version names the key') FROM sealed;
SELECT ok(v ->> 'encrypted_data' !~ '\s', 'base64 without line breaks') FROM (SELECT encrypt_ml_data(jsonb_build_object('long', repeat('x', 500)), 'tap', '', pg_temp.k(1)) AS v) long;
SELECT isnt(encrypt_ml_data('{}', 'tap', '', pg_temp.k(1)), encrypt_ml_data('{}', 'tap', '', pg_temp.k(1)), 'the same twice is not the same');
SELECT throws_ok(format($$SELECT pgp_sym_decrypt(decode(%L, 'base64'), %L)$$, v ->> 'encrypted_data', v ->> 'key_version'), '39000', NULL, 'what is in the result does not open it') FROM sealed;
SELECT is_empty($$SELECT FROM ml_encryption_keys WHERE key_name = 'tap' AND (to_jsonb(ml_encryption_keys)::text LIKE '%' || encode(pg_temp.k(1), 'hex') || '%' OR key_hash <> encode(sha256('ml-key-id'::bytea || pg_temp.k(1)), 'hex'))$$, 'the register has a hash of the key, not the key');
SELECT is((SELECT usage_count FROM ml_encryption_keys WHERE key_name = 'tap'), 0, 'no row is written by a call, which all calls would queue for');

-- ---- what does not ----

CREATE FUNCTION pg_temp.flipped(v jsonb, place int) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_set(v, '{encrypted_data}', to_jsonb(encode(set_byte(bytes, place, get_byte(bytes, place) # 1), 'base64'))) FROM (SELECT decode(v ->> 'encrypted_data', 'base64') AS bytes) b
$$;
SELECT throws_ok(format('SELECT decrypt_ml_data(pg_temp.flipped(%L, %s), ''row 1'', pg_temp.k(1))', v, place), '22000', 'the encrypted data does not verify', 'a flipped bit of the ' || what)
	FROM sealed, LATERAL (VALUES (0, 'IV'), (16, 'ciphertext'), (length(decode(v ->> 'encrypted_data', 'base64')) - 1, 'MAC')) place (place, what);
SELECT throws_ok(format('SELECT decrypt_ml_data(%L, ''row 2'', pg_temp.k(1))', v), '22000', NULL, 'another context') FROM sealed;
SELECT throws_ok(format('SELECT decrypt_ml_data(%L, NULL, pg_temp.k(1))', v), '22000', NULL, 'no context') FROM sealed;
SELECT throws_ok(format('SELECT decrypt_ml_data(%L, ''row 1'', pg_temp.k(2))', v), '55000', 'p_key is not key "tap" version 1', 'another key') FROM sealed;
SELECT throws_ok(format('SELECT decrypt_ml_data(%L, ''row 1'')', v), '22004', NULL, 'no key') FROM sealed;
SELECT throws_ok($$SELECT decrypt_ml_data('{"encrypted_data": "AAAA", "encryption_method": "AES-256-CBC+HMAC-SHA256", "key_version": "tap:1"}', '', pg_temp.k(1))$$, '22000', NULL, 'too short to be anything');
SELECT throws_ok($$SELECT decrypt_ml_data('{"encrypted_data": "AAAA", "encryption_method": "AES-256-CBC+HMAC-SHA256", "key_version": "tap:7"}', '', pg_temp.k(1))$$, '42704', 'unknown encryption key "tap:7"', 'an unknown key');
SELECT throws_ok(format('SELECT decrypt_ml_data(%L, ''row 1'', pg_temp.k(1))', jsonb_set(v, '{encryption_method}', '"AES-256-GCM"')), '0A000', NULL, 'another method') FROM sealed;
SELECT throws_ok($$SELECT decrypt_ml_data('{}')$$, '22023', NULL, 'no result of encryption at all');
SELECT throws_ok($$SELECT decrypt_ml_data(NULL)$$, '22004', NULL, 'nothing to decrypt');
SELECT throws_ok($$SELECT encrypt_ml_data(NULL, 'tap')$$, '22004', NULL, 'nothing to encrypt');
SELECT throws_ok($$SELECT encrypt_ml_data('{}', 'cookies')$$, '42704', 'no active encryption key for type "cookies"', 'no key of the type');

-- ---- who ----

SELECT is(pg_temp.as_role('ml_engineer', 'SELECT encrypt_ml_data(''{}'', ''tap'', '''', ''\x' || encode(pg_temp.k(1), 'hex') || ''') ->> ''key_version'''), 'tap:1', 'who may write, may');
SELECT throws_ok(format('SELECT pg_temp.as_role(''data_scientist'', %L)', 'SELECT encrypt_ml_data(''{}'', ''tap'', '''', ''\x' || encode(pg_temp.k(1), 'hex') || ''')'), '42501', 'role "data_scientist" may not encrypt with key "tap"', 'who may only read, may not');
SELECT is(pg_temp.as_role('data_scientist', format('SELECT decrypt_ml_data(%L, ''row 1'', ''\x%s'')', v, encode(pg_temp.k(1), 'hex'))), '{"n": 1.50, "secret": "ü"}', 'but may read') FROM sealed;
UPDATE ml_encryption_keys SET access_control = '{"roles": ["data_scientist"], "permissions": ["read"]}' WHERE key_name = 'tap';
SELECT is(pg_temp.as_role('data_scientist', format('SELECT decrypt_ml_data(%L, ''row 1'', ''\x%s'') IS NOT NULL', v, encode(pg_temp.k(1), 'hex'))), 'true', 'the promised form of access_control works') FROM sealed;
SELECT throws_ok(format('SELECT pg_temp.as_role(''ml_engineer'', %L)', format('SELECT decrypt_ml_data(%L, ''row 1'', ''\x%s'')', v, encode(pg_temp.k(1), 'hex'))), '42501', NULL, 'and refuses') FROM sealed;
UPDATE ml_encryption_keys SET access_control = NULL WHERE key_name = 'tap';
SELECT throws_ok(format('SELECT pg_temp.as_role(''ml_service'', %L)', format('SELECT decrypt_ml_data(%L, ''row 1'', ''\x%s'')', v, encode(pg_temp.k(1), 'hex'))), '42501', NULL, 'without access_control nobody may') FROM sealed;
SELECT throws_ok($$SELECT pg_temp.as_role('ml_engineer', 'SELECT ml_read_key_file(''/etc/passwd'')')$$, '42501', NULL, 'nobody reads files');
SELECT throws_ok($$SELECT pg_temp.as_role('ml_engineer', 'SELECT ml_register_key(''mine'', ''mine'')')$$, '42501', NULL, 'nor registers keys');

-- ---- the life of a key ----

SELECT throws_ok($$SELECT ml_register_key('again', 'tap', p_key => pg_temp.k(3))$$, '23505', NULL, 'a type has one active key');
SELECT throws_ok($$SELECT ml_rotate_key('tap', p_key => pg_temp.k(1))$$, '23505', NULL, 'the next version is another key');
SELECT ml_rotate_key('tap', p_key => pg_temp.k(2)) \g /dev/null
SELECT is(encrypt_ml_data('{}', 'tap', '', pg_temp.k(2)) ->> 'key_version', 'tap:2', 'after rotation the new one encrypts');
SELECT isnt(decrypt_ml_data(v, 'row 1', pg_temp.k(1)), NULL, 'and the old one still decrypts') FROM sealed;
SELECT is((SELECT string_agg(key_status, ',' ORDER BY key_version) FROM ml_encryption_keys WHERE key_name = 'tap'), 'rotating,active', 'both know what they are');
UPDATE ml_encryption_keys SET expires_at = now() - interval '1 second' WHERE key_name = 'tap';
SELECT throws_like($$SELECT encrypt_ml_data('{}', 'tap', '', pg_temp.k(2))$$, 'encryption key "tap" version 2 expired at %', 'an expired key encrypts nothing');
SELECT throws_ok($$SELECT encrypt_ml_data('{}', 'tap', '', pg_temp.k(2))$$, '55000', NULL, 'with a code of its own');
SELECT throws_ok($$SELECT ml_register_key('short', 'short', p_key => '\x01')$$, '22023', 'a key is 32 bytes, not 1', 'a key that is none');
SELECT throws_ok($$INSERT INTO ml_encryption_keys (key_name, key_type, key_hash, key_version, key_status) VALUES ('tap', 'tap', 'x', 2, 'deprecated')$$, '23505', NULL, 'a version is there once');

-- ---- the escalation that the function asked for allows ----

-- A role that may do nothing but call the function makes a table of the same name with a trigger that makes it superuser, and calls. First the function as it was asked for, to know that the
-- attack is one.
CREATE ROLE tap_mallory;
GRANT ml_engineer TO tap_mallory;
CREATE FUNCTION encrypt_as_asked(p_data jsonb, p_key_type varchar(50)) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	encryption_key record;
BEGIN
	SELECT key_name, encryption_algorithm INTO encryption_key FROM ml_encryption_keys WHERE key_type = p_key_type AND key_status = 'active' AND (expires_at IS NULL OR expires_at > now())
		ORDER BY created_at DESC LIMIT 1;
	UPDATE ml_encryption_keys SET usage_count = usage_count + 1, last_used = now() WHERE key_name = encryption_key.key_name;
	RETURN jsonb_build_object('encrypted_data', encode(pgp_sym_encrypt(p_data::text, encryption_key.key_name), 'base64'));
END
$$;
CREATE FUNCTION pg_temp.attack(call text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	escalated boolean;
BEGIN
	SET LOCAL ROLE tap_mallory;
	CREATE TEMP TABLE ml_encryption_keys AS SELECT gen_random_uuid() AS id, 'bait'::varchar(100) AS key_name, 'bait'::varchar(50) AS key_type, 'AES-256-CBC+HMAC-SHA256'::varchar(50) AS encryption_algorithm,
		1 AS key_version, 'active'::varchar(20) AS key_status, now() AS created_at, NULL::timestamptz AS expires_at, NULL::uuid AS rotated_from, NULL::varchar(50) AS rotation_schedule, 'bait'::varchar(64) AS key_hash,
		'{"read": ["tap_mallory"], "write": ["tap_mallory"]}'::jsonb AS access_control, NULL::uuid AS created_by, NULL::timestamptz AS last_used, 0 AS usage_count, NULL::text AS key_file;
	CREATE FUNCTION pg_temp.bite() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN ALTER ROLE tap_mallory SUPERUSER; RETURN NEW; END';
	CREATE TRIGGER bite BEFORE UPDATE ON pg_temp.ml_encryption_keys FOR EACH ROW EXECUTE FUNCTION pg_temp.bite();
	-- And everything that ours calls, in the hope that it looks there.
	CREATE FUNCTION pg_temp.ml_caller() RETURNS name LANGUAGE plpgsql AS 'BEGIN ALTER ROLE tap_mallory SUPERUSER; RETURN ''ml_owner''; END';
	CREATE FUNCTION pg_temp.ml_key_allow(public.ml_encryption_keys, text) RETURNS void LANGUAGE plpgsql AS 'BEGIN ALTER ROLE tap_mallory SUPERUSER; END';
	CREATE FUNCTION pg_temp.now() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN ALTER ROLE tap_mallory SUPERUSER; RETURN ''2020-01-01''; END';
	BEGIN
		EXECUTE call;
	EXCEPTION WHEN OTHERS THEN
		NULL;
	END;
	RESET ROLE;
	SELECT rolsuper INTO escalated FROM pg_roles WHERE rolname = 'tap_mallory';
	ALTER ROLE tap_mallory NOSUPERUSER;
	DROP TABLE pg_temp.ml_encryption_keys;
	DROP FUNCTION pg_temp.bite(), pg_temp.ml_caller(), pg_temp.ml_key_allow(public.ml_encryption_keys, text), pg_temp.now();
	RETURN escalated;
END
$$;
GRANT TEMPORARY ON DATABASE :"DBNAME" TO tap_mallory;
SELECT is(pg_temp.attack($$SELECT encrypt_as_asked('{}', 'bait')$$), true, 'the function as asked makes its caller superuser');
SELECT is(pg_temp.attack($$SELECT public.encrypt_ml_data('{}', 'bait')$$), false, 'ours does not');
SELECT is(pg_temp.attack($$SELECT public.decrypt_ml_data('{"encrypted_data": "AAAA", "encryption_method": "AES-256-CBC+HMAC-SHA256", "key_version": "bait:1"}')$$), false, 'in neither direction');

SELECT * FROM finish();
ROLLBACK;
