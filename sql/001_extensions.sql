-- SPDX-License-Identifier: ISC
-- The extensions that later files use, and the table in which pglane-migrate keeps what was applied.
--
-- Extensions that are there already stay in the schema they are in; later files find them there.

DO $$
BEGIN
	IF current_setting('server_version_num')::int < 150000 THEN
		RAISE EXCEPTION 'PostgreSQL 15 or newer is needed, this is %', current_setting('server_version')
			USING ERRCODE = 'feature_not_supported', HINT = 'UNIQUE NULLS NOT DISTINCT and security_invoker views came with 15.';
	END IF;
	IF to_regnamespace('public') IS NULL THEN
		RAISE EXCEPTION 'there is no schema public' USING ERRCODE = 'invalid_schema_name',
			HINT = 'pglane''s tables live in it: CREATE SCHEMA public.';
	END IF;
END
$$;

CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA public;
CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA public;
CREATE EXTENSION IF NOT EXISTS postgis SCHEMA public;

CREATE TABLE IF NOT EXISTS schema_version (
	version integer PRIMARY KEY,
	name text NOT NULL,
	sha256 text NOT NULL,
	applied_at timestamptz NOT NULL DEFAULT now(),
	applied_by text NOT NULL,
	duration_ms bigint NOT NULL
);
