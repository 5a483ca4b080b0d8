-- SPDX-License-Identifier: ISC
-- Encryption of JSON with keys that are never in the database.
--
-- Threat: who has the tables, a dump or a base backup must neither read the data nor change it unseen. Who is superuser of the running server, or can read the
-- key's file, is not held off; for that encrypt in the application.
--
-- Construction: AES-256-CBC, then HMAC-SHA-256 over what identifies the data and over the ciphertext (encrypt-then-MAC), with two keys derived from the 32 bytes of the
-- key's file. Bound by the MAC: algorithm, name, version and type of the key, and p_context. Give a context that says where the value belongs (table, column, row), and it
-- cannot be moved elsewhere. pgcrypto has no GCM; the label says what is used. Result, base64 without line breaks: 16 bytes IV, ciphertext, 32 bytes MAC.
--
-- Key source: a file of exactly 32 bytes outside the data directory (base backups copy that), readable by the server's user alone; or, where the server's files are out of
-- reach, p_key with each call, as a bind parameter. Not a setting: every role may read those. key_hash in the register tells whether a key is the right one.
--
-- Every way to fail is an error; nothing is ever stored or returned unencrypted instead. Neither function writes: they work on a standby and in read-only transactions.

DO $$
DECLARE
	crypto text := (SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'pgcrypto');
	made text;
BEGIN
	-- Bound when they are made, wherever pgcrypto lives.
	EXECUTE format('CREATE FUNCTION public.ml_hmac(bytea, bytea) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN %s.hmac($1, $2, ''sha256'')', crypto);
	EXECUTE format('CREATE FUNCTION public.ml_aes(bytea, bytea, bytea) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
		RETURN %s.encrypt_iv($1, $2, $3, ''aes-cbc/pad:pkcs'')', crypto);
	EXECUTE format('CREATE FUNCTION public.ml_aes_inverse(bytea, bytea, bytea) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
		RETURN %s.decrypt_iv($1, $2, $3, ''aes-cbc/pad:pkcs'')', crypto);
	EXECUTE format('CREATE FUNCTION public.ml_random_bytes(integer) RETURNS bytea LANGUAGE sql VOLATILE STRICT PARALLEL SAFE RETURN %s.gen_random_bytes($1)', crypto);
	FOREACH made IN ARRAY ARRAY['ml_hmac(bytea, bytea)', 'ml_aes(bytea, bytea, bytea)', 'ml_aes_inverse(bytea, bytea, bytea)', 'ml_random_bytes(integer)'] LOOP
		EXECUTE format('ALTER FUNCTION public.%s OWNER TO ml_owner', made);
		EXECUTE format('REVOKE ALL ON FUNCTION public.%s FROM PUBLIC', made);
	END LOOP;
END
$$;

-- The only function that may read files. It gives them to ml_owner's functions alone, and only what looks like a key.
CREATE FUNCTION public.ml_read_key_file(p_file text) RETURNS bytea LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	key bytea;
BEGIN
	IF p_file IS NULL OR p_file NOT LIKE '/%' OR p_file ~ '(^|/)\.\.(/|$)' THEN
		RAISE EXCEPTION 'a key file is named by an absolute path without ".."' USING ERRCODE = 'invalid_parameter_value';
	ELSIF starts_with(p_file, current_setting('data_directory') || '/') THEN
		RAISE EXCEPTION 'a key file must not be in the data directory' USING ERRCODE = 'invalid_parameter_value',
			HINT = 'Base backups copy the data directory, and the key would be in each.';
	END IF;
	BEGIN
		key := pg_read_binary_file(p_file, 0, 33);
	EXCEPTION WHEN undefined_file OR insufficient_privilege OR io_error OR wrong_object_type OR system_error THEN
		RAISE EXCEPTION 'the key file cannot be read' USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = SQLERRM,
			HINT = 'It belongs on this server, readable by the user that PostgreSQL runs as (mode 0400).';
	END;
	IF length(key) <> 32 THEN
		RAISE EXCEPTION 'the key file does not hold 32 bytes' USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = p_file,
			HINT = 'Make one with: openssl rand -out FILE 32';
	END IF;
	RETURN key;
END
$$;
REVOKE ALL ON FUNCTION public.ml_read_key_file(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.ml_read_key_file(text) TO ml_owner;
ALTER FUNCTION public.ml_read_key_file(text) OWNER TO ml_key_reader;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint) TO ml_key_reader;
DO $$
BEGIN
	GRANT pg_read_server_files, pg_read_all_settings TO ml_key_reader;
EXCEPTION WHEN insufficient_privilege THEN
	RAISE NOTICE 'ml_key_reader may not read files: keys have to come with each call (p_key)';
END
$$;

SET LOCAL ROLE ml_owner;

CREATE FUNCTION public.ml_key_hash(p_key bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
	SELECT encode(sha256('ml-key-id'::bytea || p_key), 'hex')
$$;

-- The key of a row of the register, from its file or as given; never one that is not the registered one.
CREATE FUNCTION public.ml_key_material(p_row public.ml_encryption_keys, p_key bytea) RETURNS bytea LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	key bytea := p_key;
BEGIN
	IF key IS NULL AND p_row.key_file IS NULL THEN
		RAISE EXCEPTION 'key "%" version % has no file: it must be given as p_key', p_row.key_name, p_row.key_version USING ERRCODE = 'null_value_not_allowed';
	ELSIF key IS NULL THEN
		key := public.ml_read_key_file(p_row.key_file);
	END IF;
	IF public.ml_key_hash(key) IS DISTINCT FROM p_row.key_hash THEN
		RAISE EXCEPTION '% is not key "%" version %', CASE WHEN p_key IS NULL THEN 'what the key file holds' ELSE 'p_key' END, p_row.key_name, p_row.key_version
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'key_hash in ml_encryption_keys is the hash of the registered key.';
	END IF;
	RETURN key;
END
$$;

-- access_control: {"read": [roles], "write": [roles]}, or {"roles": [...], "permissions": ["read", "write"]}. Without any, nobody but ml_owner.
CREATE FUNCTION public.ml_key_allow(p_row public.ml_encryption_keys, p_permission text) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	allowed jsonb := CASE WHEN p_row.access_control ? p_permission THEN p_row.access_control -> p_permission
		WHEN p_row.access_control -> 'permissions' ? p_permission THEN p_row.access_control -> 'roles' END;
BEGIN
	IF NOT pg_has_role(public.ml_caller(), 'ml_owner', 'USAGE') AND NOT EXISTS (
			SELECT FROM pg_roles r WHERE allowed ? r.rolname::text AND pg_has_role(public.ml_caller(), r.oid, 'USAGE')) THEN
		RAISE EXCEPTION 'role "%" may not % with key "%"', public.ml_caller(), CASE p_permission WHEN 'read' THEN 'decrypt' ELSE 'encrypt' END, p_row.key_name
			USING ERRCODE = 'insufficient_privilege', HINT = 'access_control in ml_encryption_keys lists the roles that may.';
	END IF;
END
$$;

-- What the MAC binds, each part with its length before it, so that no two lists of parts read the same.
CREATE FUNCTION public.ml_key_binding(p_row public.ml_encryption_keys, p_context text) RETURNS bytea LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(int4send(length(convert_to(part, 'UTF8'))) || convert_to(part, 'UTF8'), ''::bytea ORDER BY place)
	FROM unnest(ARRAY['AES-256-CBC+HMAC-SHA256', p_row.key_name, p_row.key_version::text, p_row.key_type, coalesce(p_context, '')]) WITH ORDINALITY list (part, place)
$$;

CREATE FUNCTION public.encrypt_ml_data(p_data jsonb, p_key_type varchar(50), p_context text DEFAULT '', p_key bytea DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	registered public.ml_encryption_keys;
	key bytea;
	sealed bytea;
BEGIN
	IF p_data IS NULL OR p_key_type IS NULL THEN
		RAISE EXCEPTION 'p_data and p_key_type must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	SELECT * INTO registered FROM public.ml_encryption_keys WHERE key_type = p_key_type AND key_status = 'active';
	IF NOT FOUND THEN
		RAISE EXCEPTION 'no active encryption key for type "%"', p_key_type USING ERRCODE = 'undefined_object', HINT = 'ml_register_key() makes one.';
	END IF;
	PERFORM public.ml_key_allow(registered, 'write');
	IF registered.expires_at <= now() THEN
		RAISE EXCEPTION 'encryption key "%" version % expired at %', registered.key_name, registered.key_version, registered.expires_at
			USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'ml_rotate_key() makes the next version; data encrypted so far can still be decrypted.';
	ELSIF registered.encryption_algorithm <> 'AES-256-CBC+HMAC-SHA256' THEN
		RAISE EXCEPTION 'key "%" is for % outside of the database', registered.key_name, registered.encryption_algorithm USING ERRCODE = 'feature_not_supported';
	END IF;
	key := public.ml_key_material(registered, p_key);
	sealed := public.ml_random_bytes(16);
	sealed := sealed || public.ml_aes(convert_to(p_data::text, 'UTF8'), public.ml_hmac('ml-encrypt', key), sealed);
	sealed := sealed || public.ml_hmac(public.ml_key_binding(registered, p_context) || sealed, public.ml_hmac('ml-authenticate', key));
	RETURN jsonb_build_object('encrypted_data', translate(encode(sealed, 'base64'), E'\n', ''), 'encryption_method', registered.encryption_algorithm,
		'key_version', registered.key_name || ':' || registered.key_version);
END
$$;

-- Keys that were rotated out or have expired still decrypt.
CREATE FUNCTION public.decrypt_ml_data(p_encrypted jsonb, p_context text DEFAULT '', p_key bytea DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	registered public.ml_encryption_keys;
	key bytea;
	sealed bytea;
	blind bytea := public.ml_random_bytes(32);
	label text[] := regexp_match(p_encrypted ->> 'key_version', '^(.+):([0-9]{1,9})$');
BEGIN
	IF p_encrypted IS NULL THEN
		RAISE EXCEPTION 'p_encrypted must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF label IS NULL OR p_encrypted ->> 'encrypted_data' IS NULL OR p_encrypted ->> 'encryption_method' IS NULL THEN
		RAISE EXCEPTION 'p_encrypted is no result of encrypt_ml_data()' USING ERRCODE = 'invalid_parameter_value',
			DETAIL = 'It needs encrypted_data, encryption_method, and key_version as "name:version".';
	ELSIF p_encrypted ->> 'encryption_method' <> 'AES-256-CBC+HMAC-SHA256' THEN
		RAISE EXCEPTION 'encryption method "%" is not one that the database can decrypt', p_encrypted ->> 'encryption_method' USING ERRCODE = 'feature_not_supported';
	END IF;
	SELECT * INTO registered FROM public.ml_encryption_keys WHERE key_name = label[1] AND key_version = label[2]::integer;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'unknown encryption key "%"', p_encrypted ->> 'key_version' USING ERRCODE = 'undefined_object';
	END IF;
	PERFORM public.ml_key_allow(registered, 'read');
	key := public.ml_key_material(registered, p_key);
	sealed := decode(p_encrypted ->> 'encrypted_data', 'base64');
	-- Compared through a random key, so that how long it takes tells nothing about how much was right.
	IF length(sealed) < 64 OR public.ml_hmac(substr(sealed, length(sealed) - 31), blind) <>
			public.ml_hmac(public.ml_hmac(public.ml_key_binding(registered, p_context) || substr(sealed, 1, length(sealed) - 32), public.ml_hmac('ml-authenticate', key)), blind) THEN
		RAISE EXCEPTION 'the encrypted data does not verify' USING ERRCODE = 'data_exception',
			DETAIL = format('It was changed, or not encrypted with key "%s" for this context.', p_encrypted ->> 'key_version');
	END IF;
	RETURN convert_from(public.ml_aes_inverse(substr(sealed, 17, length(sealed) - 48), public.ml_hmac('ml-encrypt', key), substr(sealed, 1, 16)), 'UTF8')::jsonb;
END
$$;
GRANT EXECUTE ON FUNCTION public.encrypt_ml_data(jsonb, varchar, text, bytea), public.decrypt_ml_data(jsonb, text, bytea) TO ml_service, ml_engineer, data_scientist;

-- ---- the register ----

CREATE FUNCTION public.ml_add_key(p_row public.ml_encryption_keys, p_key bytea) RETURNS uuid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_key IS NOT NULL AND length(p_key) <> 32 THEN
		RAISE EXCEPTION 'a key is 32 bytes, not %', length(p_key) USING ERRCODE = 'invalid_parameter_value';
	ELSIF p_row.expires_at <= now() THEN
		RAISE EXCEPTION 'p_expires_at (%) has passed', p_row.expires_at USING ERRCODE = 'invalid_parameter_value';
	END IF;
	p_row.id := gen_random_uuid();
	p_row.key_hash := public.ml_key_hash(coalesce(p_key, public.ml_read_key_file(p_row.key_file)));
	IF EXISTS (SELECT FROM public.ml_encryption_keys WHERE key_hash = p_row.key_hash) THEN
		RAISE EXCEPTION 'this key is registered already' USING ERRCODE = 'unique_violation', HINT = 'Every name and version needs a key of its own.';
	END IF;
	INSERT INTO public.ml_encryption_keys (id, key_name, key_type, key_version, key_hash, key_file, access_control, expires_at, rotated_from, rotation_schedule)
	VALUES (p_row.id, p_row.key_name, p_row.key_type, p_row.key_version, p_row.key_hash, p_row.key_file, p_row.access_control, p_row.expires_at, p_row.rotated_from, p_row.rotation_schedule);
	RETURN p_row.id;
END
$$;

-- The first version of a key, active at once. With p_key the key itself is not kept, and must come with every call.
CREATE FUNCTION public.ml_register_key(p_name text, p_type text, p_file text DEFAULT NULL, p_access jsonb DEFAULT NULL, p_expires_at timestamptz DEFAULT NULL, p_key bytea DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	added public.ml_encryption_keys;
BEGIN
	IF p_name IS NULL OR p_type IS NULL THEN
		RAISE EXCEPTION 'p_name and p_type must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF p_name !~ '^[A-Za-z0-9_.-]{1,100}$' THEN
		RAISE EXCEPTION 'a key''s name is made of letters, digits, "_", "." and "-"' USING ERRCODE = 'invalid_parameter_value';
	ELSIF EXISTS (SELECT FROM public.ml_encryption_keys WHERE key_type = p_type AND key_status = 'active') THEN
		RAISE EXCEPTION 'key type "%" has an active key already', p_type USING ERRCODE = 'unique_violation', HINT = 'ml_rotate_key() makes its next version.';
	END IF;
	added.key_name := p_name;
	added.key_type := p_type;
	added.key_version := 1;
	added.key_file := CASE WHEN p_key IS NULL THEN coalesce(p_file, format('/etc/pglane/keys/%s.1.key', p_name)) END;
	added.access_control := p_access;
	added.expires_at := p_expires_at;
	RETURN public.ml_add_key(added, p_key);
END
$$;

-- The next version of a type's key. The present one goes on decrypting.
CREATE FUNCTION public.ml_rotate_key(p_type text, p_file text DEFAULT NULL, p_expires_at timestamptz DEFAULT NULL, p_key bytea DEFAULT NULL)
RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	present public.ml_encryption_keys;
	added public.ml_encryption_keys;
BEGIN
	SELECT * INTO present FROM public.ml_encryption_keys WHERE key_type = p_type AND key_status = 'active' FOR UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'no active encryption key for type "%"', p_type USING ERRCODE = 'undefined_object', HINT = 'ml_register_key() makes the first.';
	END IF;
	added := present;
	added.key_version := present.key_version + 1;
	added.rotated_from := present.id;
	added.expires_at := p_expires_at;
	added.key_file := CASE WHEN p_key IS NULL THEN coalesce(p_file, format('/etc/pglane/keys/%s.%s.key', present.key_name, added.key_version)) END;
	UPDATE public.ml_encryption_keys SET key_status = CASE WHEN id = present.id THEN 'rotating' ELSE 'deprecated' END
		WHERE key_type = p_type AND key_status IN ('active', 'rotating');
	RETURN public.ml_add_key(added, p_key);
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_register_key(text, text, text, jsonb, timestamptz, bytea), public.ml_rotate_key(text, text, timestamptz, bytea) TO ml_migrator;

RESET ROLE;
