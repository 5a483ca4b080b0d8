-- SPDX-License-Identifier: ISC
-- Features as of a time: training never sees what was not known yet.
BEGIN;
SELECT plan(26);
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;
CREATE FUNCTION pg_temp.known(name text, at timestamptz, max_age interval DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
	SELECT features FROM ml_features_at('tap', '1', 'customer_behavior', ARRAY[md5(name)::uuid], ARRAY[at], NULL, max_age)
$$;
INSERT INTO ml_feature_store (feature_set_name, feature_version, entity_type, entity_id, features, feature_schema, extraction_timestamp, organization_id)
	SELECT 'tap', '1', 'customer_behavior', md5(name)::uuid, '{"n": 1}', '{}', '2026-01-10', md5('1organization1')::uuid FROM unnest('{a,b}'::text[]) name;
UPDATE ml_feature_store SET features = '{"n": 2}', extraction_timestamp = '2026-02-10' WHERE feature_set_name = 'tap' AND entity_id = md5('a')::uuid;
UPDATE ml_feature_store SET features = '{"n": 3}', extraction_timestamp = '2026-03-10', feature_freshness_hours = 48 WHERE feature_set_name = 'tap' AND entity_id = md5('a')::uuid;

SELECT is(pg_temp.known('a', '2026-01-09'), NULL, 'before the first: nothing');
SELECT is(pg_temp.known('a', '2026-01-10'), '{"n": 1}', 'from its time on: the first');
SELECT is(pg_temp.known('a', '2026-02-09 23:59'), '{"n": 1}', 'still');
SELECT is(pg_temp.known('a', '2026-02-10'), '{"n": 2}', 'then the second, though the table holds the third');
SELECT is(pg_temp.known('a', '2026-03-11'), '{"n": 3}', 'then the third');
SELECT is(pg_temp.known('a', '2026-03-12'), NULL, 'until it expires');
SELECT is(pg_temp.known('b', '2026-03-12'), '{"n": 1}', 'another entity has its own');
SELECT is(pg_temp.known('b', '2026-03-12', '30 days'), NULL, 'which is too old for who says so');
SELECT is((SELECT array_agg(features ->> 'n') FROM ml_features_at('tap', '1', 'customer_behavior', ARRAY[md5('b'), md5('x'), md5('a'), md5('a')]::uuid[],
	'{2026-05-01,2026-05-01,2026-02-11,2026-01-11}'::timestamptz[])), '{1,NULL,2,1}', 'a row for each question, in their order');

UPDATE ml_feature_store SET usage_count = usage_count + 1 WHERE feature_set_name = 'tap';
SELECT is((SELECT count(*) FROM ml_feature_store_history WHERE feature_set_name = 'tap'), 4::bigint, 'a counter leaves no trace');
UPDATE ml_feature_store SET deleted_at = '2026-04-01' WHERE feature_set_name = 'tap' AND entity_id = md5('b')::uuid;
SELECT is(pg_temp.known('b', '2026-04-02'), NULL, 'deleted is gone');
SELECT is(pg_temp.known('b', '2026-03-31'), '{"n": 1}', 'from then on');
INSERT INTO ml_feature_store (feature_set_name, feature_version, entity_type, entity_id, features, feature_schema, extraction_timestamp, organization_id)
	VALUES ('tap', '1', 'customer_behavior', md5('b')::uuid, '{"n": 9}', '{}', '2026-05-01', md5('1organization1')::uuid);
SELECT is(pg_temp.known('b', '2026-05-02'), '{"n": 9}', 'and may come back');
DELETE FROM ml_feature_store WHERE feature_set_name = 'tap' AND entity_id = md5('b')::uuid AND deleted_at IS NULL;
SELECT is(pg_temp.known('b', now() + interval '1 second'), NULL, 'a DELETE ends it too');
SELECT is(pg_temp.known('b', '2026-05-02'), '{"n": 9}', 'but not its past');

SELECT is((SELECT features FROM ml_features('tap', '1', 'customer_behavior', ARRAY[md5('a'), md5('x')]::uuid[])), '{"n": 3}', 'the present ones');
SELECT is((SELECT count(*) FROM ml_features('service_event_context', '1', 'service_event', (SELECT array_agg(id) FROM service_events))), (SELECT count(*) FROM ml_feature_store WHERE feature_set_name = 'service_event_context'), 'of many');
SELECT ok((SELECT bool_and(line !~ 'Function Scan on ml_features') FROM (SELECT 1) one, LATERAL (SELECT prosecdef::text AS line FROM pg_proc WHERE proname = 'ml_features' AND NOT prosecdef AND proconfig IS NULL) p), 'a plain function, planned into its statement');

SELECT throws_ok($$SELECT * FROM ml_features('nothing', '1', 'customer_behavior', '{}')$$, '22023', NULL, 'an unknown set is an error');
SELECT throws_ok($$SELECT * FROM ml_features('tap', '1', 'customer_behavior', NULL)$$, '22004', NULL, 'no entities');
SELECT throws_ok($$SELECT * FROM ml_features_at('tap', '1', 'customer_behavior', ARRAY[md5('a')]::uuid[], '{2026-01-01,2026-01-02}')$$, '2202E', NULL, 'more times than entities');
SELECT throws_ok($$SELECT * FROM ml_features_at('tap', '1', 'customer_behavior', ARRAY[md5('a')]::uuid[], '{NULL}')$$, '22004', NULL, 'no time');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT features FROM ml_features(''tap'', ''1'', ''customer_behavior'', ARRAY[md5(''a'')]::uuid[])')$$, '22023', NULL, 'what a role may not see it is not told of');
INSERT INTO ml_role_organizations VALUES ('data_scientist', md5('1organization1')::uuid);
SELECT is(pg_temp.as_role('data_scientist', 'SELECT features FROM ml_features(''tap'', ''1'', ''customer_behavior'', ARRAY[md5(''a'')]::uuid[])'), '{"n": 3}', 'what it may, it is');
SELECT is(pg_temp.as_role('data_scientist', 'SELECT features FROM ml_features_at(''tap'', ''1'', ''customer_behavior'', ARRAY[md5(''a'')]::uuid[], ''{2026-01-11}'')'), '{"n": 1}', 'past and present');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT features FROM ml_features(''tap'', ''1'', ''customer_behavior'', ARRAY[md5(''a'')]::uuid[], md5(''1organization2'')::uuid)')$$, '42501', NULL, 'a foreign organization is refused');

SELECT * FROM finish();
ROLLBACK;
