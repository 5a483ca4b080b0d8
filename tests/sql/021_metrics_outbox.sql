-- SPDX-License-Identifier: ISC
-- The outbox in the metrics: columns behind those of 020_metrics_moves, null where nobody says otherwise.
BEGIN;
SELECT plan(9);
SELECT col_type_is('public', 'db_connection_pool_metrics', name, 'integer', name || ' is a number')
FROM unnest('{outbox_depth,outbox_delivered_count,outbox_failed_count,outbox_dead,outbox_request_errors}'::name[]) name;
SELECT col_type_is('public', 'db_connection_pool_metrics', name, 'bigint', name || ' is a time') FROM unnest('{outbox_oldest_age_ms,outbox_lag_p50_ms,outbox_lag_p99_ms}'::name[]) name;
INSERT INTO db_connection_pool_metrics (total_connections, active_connections, idle_connections, waiting_connections) VALUES (1, 0, 1, 0);
SELECT is((SELECT count(*) FROM db_connection_pool_metrics WHERE num_nonnulls(outbox_depth, outbox_oldest_age_ms, outbox_lag_p50_ms, outbox_lag_p99_ms, outbox_delivered_count,
	outbox_failed_count, outbox_dead, outbox_request_errors) = 0), (SELECT count(*) FROM db_connection_pool_metrics), 'a row that does not say has none');
SELECT * FROM finish();
ROLLBACK;
