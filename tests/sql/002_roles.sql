-- SPDX-License-Identifier: ISC
-- Roles: none is more than it has to be.
BEGIN;
SELECT plan(11);

SELECT is_empty($$SELECT name FROM unnest('{ml_owner,ml_migrator,ml_service,ml_engineer,data_scientist,ml_auditor,ml_proxy,ml_key_reader}'::name[]) name
	WHERE name NOT IN (SELECT rolname FROM pg_roles)$$, 'all roles are there');
SELECT is_empty($$SELECT rolname FROM pg_roles WHERE rolname ~ '^(ml_|data_scientist)' AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)$$, 'none has an attribute of power');
SELECT results_eq($$SELECT rolname FROM pg_roles WHERE rolname ~ '^(ml_|data_scientist)' AND rolcanlogin$$, $$VALUES ('ml_proxy'::name)$$, 'only ml_proxy can log in');
SELECT is((SELECT rolinherit FROM pg_roles WHERE rolname = 'ml_migrator'), false, 'ml_migrator is not ml_owner until it says SET ROLE');
SELECT is_empty($$SELECT FROM pg_auth_members WHERE roleid = 'ml_key_reader'::regrole$$, 'nobody is a member of ml_key_reader');
SELECT results_eq($$SELECT member::regrole::text FROM pg_auth_members WHERE roleid = 'ml_owner'::regrole$$, $$VALUES ('ml_migrator')$$, 'only ml_migrator may become ml_owner');
SELECT is_empty($$SELECT c.relname FROM pg_class c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) permission
	WHERE c.oid IN ('users'::regclass, 'organizations'::regclass, 'customers'::regclass, 'bins'::regclass, 'vehicles'::regclass, 'routes'::regclass, 'service_events'::regclass,
		'user_security'::regclass, 'audit_logs'::regclass) AND has_table_privilege('ml_proxy', c.oid, permission)$$, 'ml_proxy has no right on the application''s tables');

SET LOCAL ROLE ml_owner;
CREATE FUNCTION public.made_later() RETURNS int LANGUAGE sql AS 'SELECT 1';
RESET ROLE;
SELECT ok(NOT has_function_privilege('ml_proxy', 'public.made_later()', 'EXECUTE'), 'a function of ml_owner is nobody else''s until granted');

-- All functions of the migrations, not only those that somebody remembered to list.
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc p WHERE p.prosecdef AND p.pronamespace = 'public'::regnamespace AND p.proowner IN ('ml_owner'::regrole, 'ml_key_reader'::regrole, 'postgres'::regrole)
	AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
	AND p.oid <> 'ml_outbox_note_known(text, uuid, uuid)'::regprocedure -- 023_known_notes shows that it finds nothing by the path
	AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false)$$, 'every SECURITY DEFINER function pins its search path, pg_temp last');
SELECT is_empty($$SELECT p.oid::regprocedure, p.proowner::regrole FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner WHERE p.prosecdef AND p.pronamespace = 'public'::regnamespace
	AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e') AND (r.rolsuper OR r.rolcanlogin)$$, 'none is owned by a superuser or by a role that logs in');
SELECT bag_eq($$SELECT p.oid::regprocedure::text FROM pg_proc p WHERE p.prosecdef AND p.pronamespace = 'public'::regnamespace
	AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
	AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) WHERE grantee = 0))$$, $$VALUES ('ml_visible_organizations()')$$,
	'PUBLIC may execute none but the one that tells a caller its own organizations');

SELECT * FROM finish();
ROLLBACK;
