-- SPDX-License-Identifier: ISC
-- Pool metrics: what the sampler writes fits, and it needs no other right.
BEGIN;
SELECT plan(11);

SELECT is_empty($$SELECT unnest('{id,timestamp,total_connections,active_connections,idle_connections,waiting_connections,ml_dedicated_active,vector_operation_active,training_job_active,avg_query_time_ms,max_query_time_ms,slow_query_count,connection_errors,ml_query_avg_time_ms,vector_query_avg_time_ms,spatial_ml_hybrid_avg_time_ms,cpu_usage_percent,memory_usage_percent,disk_io_wait_percent,organization_id,created_at,instance_id,pool_name}'::name[])
	EXCEPT SELECT attname FROM pg_attribute WHERE attrelid = 'db_connection_pool_metrics'::regclass$$, 'every promised column, instance and pool');
SELECT is((SELECT relkind FROM pg_class WHERE oid = 'db_connection_pool_metrics'::regclass), 'p', 'it is partitioned');
SELECT is((SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum WHERE adrelid = 'db_connection_pool_metrics'::regclass AND attname = 'id'),
	'gen_random_uuid()', 'id has a default');
SELECT throws_ok($$INSERT INTO db_connection_pool_metrics (timestamp, total_connections, active_connections, idle_connections, waiting_connections) VALUES (NULL, 1, 1, 0, 0)$$,
	'23502', NULL, 'a row without a time, which would be the newest for ever, is refused');

SELECT results_eq($$SELECT permission FROM unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) permission WHERE has_table_privilege('ml_proxy', 'db_connection_pool_metrics', permission)$$,
	$$VALUES ('INSERT')$$, 'the writer needs INSERT only');
SET LOCAL ROLE ml_proxy;
INSERT INTO db_connection_pool_metrics (id, timestamp, total_connections, active_connections, idle_connections, waiting_connections, instance_id, pool_name)
	SELECT *, 'i', 'all' FROM unnest(ARRAY[md5('sample')::uuid], ARRAY[now()], ARRAY[3], ARRAY[2], ARRAY[1], ARRAY[0]) ON CONFLICT DO NOTHING;
INSERT INTO db_connection_pool_metrics (id, timestamp, total_connections, active_connections, idle_connections, waiting_connections, instance_id, pool_name)
	SELECT *, 'i', 'all' FROM unnest(ARRAY[md5('sample')::uuid], ARRAY[now()], ARRAY[3], ARRAY[2], ARRAY[1], ARRAY[0]) ON CONFLICT DO NOTHING;
RESET ROLE;
SELECT is((SELECT count(*) FROM db_connection_pool_metrics WHERE id = md5('sample')::uuid), 1::bigint, 'a batch sent twice is written once');
SELECT throws_ok($$SET LOCAL ROLE ml_proxy; SELECT * FROM db_connection_pool_metrics$$, '42501', NULL, 'and cannot read');
SELECT throws_ok($$SET LOCAL ROLE ml_proxy; INSERT INTO db_connection_pool_metrics_default (total_connections, active_connections, idle_connections, waiting_connections) VALUES (1, 1, 0, 0)$$, '42501', NULL, 'nor reach a partition');

-- Asked for with DESC alone, an index cannot give NULLS LAST.
SELECT ok(indexdef LIKE '%DESC NULLS LAST%', indexname || ' puts null last') FROM pg_indexes WHERE tablename = 'db_connection_pool_metrics' AND indexname IN ('idx_db_pool_metrics_performance', 'idx_db_pool_metrics_ml_performance');
SELECT fk_ok('public', 'db_connection_pool_metrics', 'organization_id', 'public', 'organizations', 'id');

SELECT * FROM finish();
ROLLBACK;
