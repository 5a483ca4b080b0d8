-- SPDX-License-Identifier: ISC
-- Row security: who sees and writes which organization's rows, by every way in.
BEGIN;
SELECT plan(29);
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;
CREATE FUNCTION pg_temp.sees(who name, tab text) RETURNS text LANGUAGE sql AS $$ SELECT pg_temp.as_role(who, format('SELECT count(*) || '','' || count(DISTINCT organization_id) FROM %s', tab)) $$;
CREATE FUNCTION pg_temp.has(organization text, tab text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SELECT count(*) || '','' || count(DISTINCT organization_id) FROM %s WHERE organization_id = md5(%L)::uuid', tab, organization) INTO answer;
	RETURN answer;
END $$;

SELECT is(pg_temp.sees('data_scientist', tab), '0,0', 'without an organization no row of ' || tab) FROM unnest('{ml_vector_metadata,ml_feature_store,ml_feature_store_history,ml_models,ml_predictions,ml_predictions_monthly}'::text[]) tab;
SET LOCAL ml.organization_id = '5d41402a-bc4b-2a76-b971-9d911017c592';
SELECT is(pg_temp.sees('data_scientist', 'ml_predictions'), '0,0', 'nor by naming one in the setting, which everybody can');
RESET ml.organization_id;
INSERT INTO ml_role_organizations VALUES ('data_scientist', md5('1organization1')::uuid), ('data_scientist', md5('1organization2')::uuid), ('ml_engineer', md5('1organization1')::uuid);
SELECT is(pg_temp.sees('ml_engineer', tab), pg_temp.has('1organization1', tab), 'all of its own in ' || tab) FROM unnest('{ml_vector_metadata,ml_feature_store,ml_feature_store_history,ml_models,ml_predictions,ml_predictions_monthly}'::text[]) tab;
SELECT is(pg_temp.as_role('data_scientist', 'SELECT count(DISTINCT organization_id) FROM ml_models'), '2', 'two organizations are two');
SELECT set_config('ml.organization_id', md5('1organization2')::text, true) \g /dev/null
SELECT is(pg_temp.sees('data_scientist', 'ml_models'), pg_temp.has('1organization2', 'ml_models'), 'the setting narrows');
RESET ml.organization_id;
SELECT is(pg_temp.sees('ml_service', 'ml_predictions'), (SELECT count(*) || ',' || count(DISTINCT organization_id) FROM ml_predictions), 'who serves all sees all');

-- A row that belongs to nobody is nobody's.
INSERT INTO ml_models (model_name, model_version, model_type, model_config) VALUES ('nobody', '1', 'prophet', '{}');
SELECT is(pg_temp.as_role('ml_engineer', $$SELECT count(*) FROM ml_models WHERE model_name = 'nobody'$$), '0', 'a row without organization');

-- Writing.
SELECT throws_ok($$SELECT pg_temp.as_role('ml_engineer', 'INSERT INTO ml_models (model_name, model_version, model_type, model_config, organization_id) VALUES (''x'', ''1'', ''p'', ''{}'', md5(''1organization2'')::uuid) RETURNING 1')$$, '42501', NULL, 'a foreign organization''s row is not written');
SELECT is(pg_temp.as_role('ml_engineer', 'INSERT INTO ml_models (model_name, model_version, model_type, model_config, organization_id) VALUES (''x'', ''1'', ''p'', ''{}'', md5(''1organization1'')::uuid) RETURNING 1'), '1', 'its own is');
SELECT throws_ok($$SELECT pg_temp.as_role('ml_engineer', 'UPDATE ml_models SET organization_id = md5(''1organization2'')::uuid RETURNING 1')$$, '42501', NULL, 'nor given away');
SELECT is(pg_temp.as_role('ml_engineer', 'WITH u AS (UPDATE ml_models SET model_type = ''stolen'' RETURNING organization_id) SELECT count(DISTINCT organization_id) FROM u'), '1', 'an update without condition changes its own');
SELECT throws_ok($$SELECT pg_temp.as_role('ml_engineer', 'DELETE FROM ml_models RETURNING 1')$$, '42501', NULL, 'and it deletes nothing');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'UPDATE ml_models SET model_type = ''x'' RETURNING 1')$$, '42501', NULL, 'a data scientist changes nothing');
SELECT throws_ok($$SELECT pg_temp.as_role('ml_engineer', 'INSERT INTO ml_audit_logs (operation_type, organization_id) VALUES (''x'', md5(''1organization2'')::uuid)')$$, '42501', NULL, 'no entry in another''s name');

-- Partitions are another way in, and "GRANT ... ON ALL TABLES" opens it. Row security of their own shuts it.
GRANT SELECT ON ALL TABLES IN SCHEMA public TO data_scientist;
SELECT is((SELECT sum(pg_temp.as_role('data_scientist', format('SELECT count(*) FROM %s', inhrelid::regclass))::int) FROM pg_inherits WHERE inhparent IN ('ml_predictions'::regclass, 'ml_audit_logs'::regclass)), 0::bigint, 'no row by naming a partition, even when granted');
REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM data_scientist;
SELECT is_empty($$SELECT relname FROM pg_class WHERE relname ~ '^(users|organizations|customers|bins|vehicles|routes|service_events|user_security|audit_logs)$' AND relrowsecurity$$, 'none on the application''s tables');

-- Somebody who may become a role but has not.
CREATE ROLE tap_analyst NOINHERIT;
GRANT data_scientist TO tap_analyst;
GRANT SELECT ON ml_models TO tap_analyst;
SELECT is(pg_temp.as_role('tap_analyst', 'SELECT count(*) FROM ml_models'), '0', 'a role that does not inherit has to say SET ROLE');
ALTER ROLE tap_analyst INHERIT;
SELECT isnt(pg_temp.as_role('tap_analyst', 'SELECT count(*) FROM ml_models'), '0', 'one that inherits has not');
SELECT throws_ok($$SELECT pg_temp.as_role('ml_engineer', 'INSERT INTO ml_role_organizations VALUES (''ml_engineer'', md5(''1organization2'')::uuid) RETURNING 1')$$, '42501', NULL, 'nobody lets himself in');

SELECT * FROM finish();
ROLLBACK;
