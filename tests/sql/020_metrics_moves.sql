-- SPDX-License-Identifier: ISC
-- Statements that moved or were denied: columns behind those of 004_metrics, 0 where nobody says otherwise.
BEGIN;
SELECT plan(4);
SELECT col_type_is('public', 'db_connection_pool_metrics', name, 'integer', name || ' is a number') FROM unnest('{hopped_count,spilled_count,denied_count}'::name[]) name;
INSERT INTO db_connection_pool_metrics (total_connections, active_connections, idle_connections, waiting_connections) VALUES (1, 0, 1, 0);
SELECT is((SELECT count(*) FROM db_connection_pool_metrics WHERE hopped_count = 0 AND spilled_count = 0 AND denied_count = 0), (SELECT count(*) FROM db_connection_pool_metrics),
	'a row that does not say has none');
SELECT * FROM finish();
ROLLBACK;
