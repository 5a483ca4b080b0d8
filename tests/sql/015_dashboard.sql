-- SPDX-License-Identifier: ISC
-- The dashboard shows every hour, true averages, and null for what was not measured.
BEGIN;
SET LOCAL client_min_messages = error;
SELECT plan(19);
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;
-- Three hours ago: 1 training of 10 min and 999 predictions of 10 ms, of which 500 failed; no pool metrics. Two hours ago: two instances.
CREATE FUNCTION pg_temp.ago(n int) RETURNS timestamptz LANGUAGE sql AS $$ SELECT date_trunc('hour', now()) - make_interval(hours => n) + interval '1 minute' $$;
SET LOCAL session_replication_role = replica;
DELETE FROM ml_audit_logs; DELETE FROM db_connection_pool_metrics; DELETE FROM ml_vector_search_stats;
SET LOCAL session_replication_role = origin;
INSERT INTO ml_audit_logs (timestamp, operation_type, operation_duration_ms, operation_status) VALUES (pg_temp.ago(3), 'training', 600000, 'success');
INSERT INTO ml_audit_logs (timestamp, operation_type, operation_duration_ms, operation_status) SELECT pg_temp.ago(3), 'prediction', 10, CASE WHEN n <= 500 THEN 'failure' ELSE 'success' END FROM generate_series(1, 999) n;
INSERT INTO db_connection_pool_metrics (timestamp, total_connections, active_connections, idle_connections, waiting_connections, avg_query_time_ms, connection_errors, instance_id)
	SELECT pg_temp.ago(2), 100, 50, 50, 0, 4, 1, 'one' FROM generate_series(1, 9) UNION ALL SELECT pg_temp.ago(2), 20, 10, 10, 0, NULL, 1, 'two';
SELECT ml_search_stats_add(array_agg(id), array_agg(hits::int), pg_temp.ago(1)) FROM (SELECT id, 5 AS hits FROM ml_vector_metadata WHERE deleted_at IS NULL ORDER BY id LIMIT 2) v \g /dev/null
SELECT ml_search_stats_roll_up() \g /dev/null
REFRESH MATERIALIZED VIEW ml_performance_dashboard;
CREATE FUNCTION pg_temp.hour(n int) RETURNS ml_performance_dashboard LANGUAGE sql AS $$ SELECT * FROM ml_performance_dashboard WHERE hour = date_trunc('hour', now()) - make_interval(hours => n) $$;

SELECT columns_are('public', 'ml_performance_dashboard', '{hour,avg_total_connections,avg_active_connections,avg_ml_connections,peak_connections,overall_avg_query_time,ml_avg_query_time,vector_avg_query_time,hybrid_avg_query_time,avg_cpu_usage,avg_memory_usage,peak_cpu_usage,peak_memory_usage,total_connection_errors,total_slow_queries,vector_searches,avg_search_frequency,active_vector_types,total_ml_operations,avg_ml_operation_duration,total_ml_failures,avg_business_impact}'::name[], 'the promised columns');
SELECT is((SELECT count(*) FROM ml_performance_dashboard), 24::bigint, 'every hour of a day');
SELECT is((pg_temp.hour(3)).total_ml_failures, 500::bigint, 'failures of an hour without pool metrics are there');
SELECT is(round((pg_temp.hour(3)).avg_ml_operation_duration, 2), 609.99, 'the average is over operations, not over averages');
SELECT is((pg_temp.hour(3)).avg_total_connections, NULL, 'what was not measured is null');
SELECT is((pg_temp.hour(2)).avg_total_connections::int, 120, 'connections of two instances add up');
SELECT is((pg_temp.hour(2)).overall_avg_query_time::int, 4, 'an instance without statements does not pull an average down');
SELECT is((pg_temp.hour(2)).avg_cpu_usage, NULL, 'unknown is not 0');
SELECT is((pg_temp.hour(2)).total_connection_errors, 10::bigint, 'errors are added');
SELECT is((pg_temp.hour(2)).avg_ml_operation_duration, NULL, 'no operations, no average');
SELECT is((pg_temp.hour(1)).vector_searches, 10::bigint, 'hits are counted');
SELECT ml_search_stats_add((SELECT array_agg(id) FROM (SELECT id FROM ml_vector_metadata WHERE deleted_at IS NULL ORDER BY id LIMIT 2) v), '{1,1}') \g /dev/null
SELECT ml_search_stats_roll_up() \g /dev/null
SELECT lives_ok('SELECT ml_refresh_dashboard()', 'it is refreshed while it is read');
SELECT is((pg_temp.hour(1)).vector_searches, 10::bigint, 'and stay, when the same vectors are found again');
SELECT is((pg_temp.hour(0)).vector_searches, 2::bigint, 'in another hour');

SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT count(*) FROM ml_performance_dashboard')$$, '42501', NULL, 'it is about all organizations: not for who serves one');
SELECT is(pg_temp.as_role('ml_service', 'SELECT count(*) FROM ml_performance_dashboard'), '24', 'but for who serves all');

-- ---- the hourly work ----

INSERT INTO ml_audit_logs (timestamp, operation_type) VALUES (date_trunc('month', now()) - interval '40 days', 'old');
SELECT lives_ok($$SELECT pg_temp.as_role('ml_proxy', 'SELECT count(*) FROM ml_maintain()')$$, 'the proxy does it');
SELECT ok(EXISTS (SELECT FROM ml_maintain() WHERE action = 'sealed'), 'the next time what was moved is sealed');
SELECT is((SELECT count(*) FROM ml_maintain() WHERE action NOT IN ('rows in default')), 0::bigint, 'then nothing is left');

SELECT * FROM finish();
ROLLBACK;
