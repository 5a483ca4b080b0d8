-- SPDX-License-Identifier: ISC
-- Roles. They belong to the cluster, not to the database: a second database finds them there and leaves them as they are.
--
--   ml_owner        owns all of pglane's objects; nobody logs in as it
--   ml_migrator     may act as ml_owner (SET ROLE), for later migrations and repair
--   ml_service      applications that serve all organizations
--   ml_engineer     people and jobs bound to organizations (ml_role_organizations): write features and models
--   data_scientist  the same, read only
--   ml_auditor      reads the audit log and its seals
--   ml_proxy        pglane's own connections. LOGIN without a password: set one, or a line in pg_hba.conf
--   ml_key_reader   owns the one function that reads key files; nobody is a member of it

DO $$
DECLARE
	wanted record;
BEGIN
	FOR wanted IN SELECT * FROM (VALUES ('ml_owner', 'NOLOGIN'), ('ml_migrator', 'NOLOGIN NOINHERIT'), ('ml_service', 'NOLOGIN'), ('ml_engineer', 'NOLOGIN'),
			('data_scientist', 'NOLOGIN'), ('ml_auditor', 'NOLOGIN'), ('ml_proxy', 'LOGIN'), ('ml_key_reader', 'NOLOGIN')) role (name, options) LOOP
		BEGIN
			IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
				EXECUTE format('CREATE ROLE %I %s', wanted.name, wanted.options);
				IF wanted.name = 'ml_proxy' THEN
					-- Short statements on PostGIS look expensive to the planner and would be compiled for longer than they run.
					ALTER ROLE ml_proxy SET jit = off;
				END IF;
			END IF;
		EXCEPTION WHEN duplicate_object OR unique_violation THEN
			NULL; -- another database's migration was faster
		END;
		IF (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = wanted.name) THEN
			RAISE EXCEPTION 'the role % is there already and is a superuser or bypasses row security', wanted.name
				USING ERRCODE = 'invalid_grant_operation', HINT = format('ALTER ROLE %I NOSUPERUSER NOBYPASSRLS, or rename it if it is not pglane''s.', wanted.name);
		END IF;
	END LOOP;
END
$$;

GRANT ml_owner TO ml_migrator;

GRANT USAGE, CREATE ON SCHEMA public TO ml_owner;
GRANT USAGE ON SCHEMA public TO ml_key_reader, ml_migrator, ml_service, ml_engineer, data_scientist, ml_auditor, ml_proxy;

DO $$
DECLARE
	home text;
BEGIN
	FOR home IN SELECT DISTINCT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname IN ('pgcrypto', 'postgis') LOOP
		EXECUTE format('GRANT USAGE ON SCHEMA %I TO ml_owner', home);
	END LOOP;
END
$$;

-- What ml_owner makes from here on nobody may execute unless a file says so.
ALTER DEFAULT PRIVILEGES FOR ROLE ml_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

GRANT SELECT ON public.schema_version TO ml_service, ml_engineer, data_scientist, ml_auditor, ml_proxy, ml_migrator;
