-- SPDX-License-Identifier: ISC
-- Routing advice: pglane's own rules, from what is known now and not from what was once.
BEGIN;
SELECT plan(32);
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;
DELETE FROM db_connection_pool_metrics WHERE timestamp > now() - interval '5 minutes';
-- load(total active, ml, vector, training): as an instance would say of itself now.
CREATE FUNCTION pg_temp.load(active int, ml int, vector int, training int, age interval DEFAULT '5 s', instance text DEFAULT 'one') RETURNS void LANGUAGE sql AS $$
	INSERT INTO db_connection_pool_metrics (timestamp, total_connections, active_connections, idle_connections, waiting_connections, ml_dedicated_active, vector_operation_active, training_job_active, instance_id, pool_name)
	VALUES (now() - age, 180, active, 180 - active, 0, ml, vector, training, instance, 'all')
$$;
CREATE FUNCTION pg_temp.lane(type text, priority int DEFAULT 5) RETURNS text LANGUAGE sql AS $$ SELECT route_ml_query(type, NULL, priority) ->> 'lane' $$;

SELECT is(route_ml_query('vector_search', NULL) - '{class,lane,priority,would_wait,basis,instances}'::text[],
	'{"routing_strategy": "vector_optimized", "recommended_pool": "vector", "cache_strategy": "vector_cache", "timeout_ms": 5000}', 'the promised keys');
SELECT is(route_ml_query('vector_search', NULL) ->> 'basis', 'no_metrics', 'without metrics it says so');
SELECT is(route_ml_query(type, NULL) ->> 'timeout_ms', timeout, type || ' has its time') FROM (VALUES ('ml_training', '300000'), ('vector_search', '5000'), ('spatial_ml_hybrid', '30000'), ('prediction_serving', '30000'), ('anything', '30000')) t (type, timeout);
SELECT is(pg_temp.lane(type), lane, type || ' has its lane') FROM (VALUES ('ml_training', 'training'), ('vector_search', 'vector'), ('spatial_ml_hybrid', 'ml'), ('prediction_serving', 'ml'), ('anything', 'default'), ('hybrid', 'ml')) t (type, lane);

SELECT pg_temp.load(150, 30, 15, 5, '90 days') \g /dev/null
SELECT is(route_ml_query('prediction_serving', NULL) ->> 'basis', 'no_metrics', 'what was so 90 days ago decides nothing');
SELECT pg_temp.load(105, 4, 3, 2) \g /dev/null
SELECT is(route_ml_query('anything', NULL) ->> 'recommended_pool', 'default', 'a busy system does not send everyday work to the ML pool');
SELECT is(route_ml_query('anything', NULL) ->> 'basis', 'live', 'what is so now decides');
SELECT pg_temp.load(60, 30, 15, 10, '1 s') \g /dev/null
SELECT is(pg_temp.lane('prediction_serving'), 'default', 'a full ml lane spills');
SELECT is(pg_temp.lane('prediction_serving', 8), 'priority', 'an urgent statement takes the urgent lane first');
SELECT is(pg_temp.lane('vector_search', 7), 'vector', 'a full vector lane waits');
SELECT is(route_ml_query('vector_search', NULL, 7) ->> 'would_wait', 'true', 'and says so');
SELECT is(route_ml_query('vector_search', NULL, 10) ->> 'recommended_pool', 'high_priority', 'unless it is urgent');
SELECT is(route_ml_query('vector_search', NULL, 10) ->> 'timeout_ms', '5000', 'with the time of its class');
SELECT is(pg_temp.lane('anything'), 'default', 'everyday work has room');
SELECT is(pg_temp.lane('anything', 10), 'default', 'and keeps its lane however urgent');
SELECT pg_temp.load(155, 30, 15, 10, '0 s') \g /dev/null
SELECT is(route_ml_query('prediction_serving', NULL) ->> 'would_wait', 'true', 'no spilling from 100 on');
SELECT pg_temp.load(20, 5, 0, 0, '0 s', 'two') \g /dev/null
SELECT is(route_ml_query('prediction_serving', NULL) ->> 'would_wait', 'false', 'another instance has room');

SELECT throws_ok($$SELECT route_ml_query(NULL, NULL)$$, '22004', NULL, 'no type');
SELECT throws_ok($$SELECT route_ml_query('vector_search', NULL, 11)$$, '22023', 'p_priority must be between 1 and 10, not 11', 'a priority there is not');
SELECT throws_ok($$SELECT route_ml_query('vector_search', NULL, NULL)$$, '22004', NULL, 'no priority');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT route_ml_query(''vector_search'', md5(''1organization1'')::uuid)')$$, '42501', NULL, 'a foreign organization');
SELECT is((SELECT provolatile FROM pg_proc WHERE proname = 'route_ml_query'), 's', 'it is stable');
SELECT is((SELECT sum(size) FROM ml_lanes), 180::bigint, 'the lanes are the budget');

SELECT * FROM finish();
ROLLBACK;
