-- SPDX-License-Identifier: ISC
-- The audit log takes rows and gives none back; what a superuser does to it shows in test_audit.py.
BEGIN;
SET LOCAL client_min_messages = error;
SELECT plan(30);
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;
INSERT INTO ml_audit_logs (id, timestamp, operation_type, user_id, organization_id) VALUES (md5('one')::uuid, now(), 'training', md5('1user1')::uuid, md5('1organization1')::uuid);
INSERT INTO ml_audit_logs (id, timestamp, operation_type) SELECT md5('past' || n)::uuid, date_trunc('month', now()) - interval '1 month' + n * interval '1 day', 'training' FROM generate_series(0, 20) n;

-- ---- append only, for the superuser of this session too ----

SELECT throws_ok($$UPDATE ml_audit_logs SET operation_type = 'x' WHERE id = md5('one')::uuid$$, '42501', 'ml_audit_logs is append-only', 'no UPDATE');
SELECT throws_ok($$DELETE FROM ml_audit_logs WHERE id = md5('one')::uuid$$, '42501', 'ml_audit_logs is append-only', 'no DELETE');
SELECT throws_ok('TRUNCATE ml_audit_logs', '42501', 'ml_audit_logs is append-only', 'no TRUNCATE');
SELECT tableoid::regclass AS part FROM ml_audit_logs WHERE id = md5('one')::uuid \gset
SELECT throws_ok(format('DELETE FROM %s', :'part'), '42501', NULL, 'no DELETE from a partition');
SELECT throws_ok(format('TRUNCATE %s', :'part'), '42501', NULL, 'no TRUNCATE of a partition');
SELECT throws_ok('TRUNCATE ml_audit_logs_default', '42501', NULL, 'nor of the default partition');
SELECT throws_ok($$SET LOCAL ml.maintenance = 'on'; DELETE FROM ml_audit_logs WHERE id = md5('one')::uuid$$, '42501', NULL, 'the maintenance''s mark is not a key');
RESET ml.maintenance;
SELECT is_empty($$SELECT grantee, privilege_type FROM information_schema.role_table_grants WHERE table_name LIKE 'ml\_audit\_logs%' AND privilege_type NOT IN ('SELECT', 'INSERT') AND grantee <> 'ml_owner'$$, 'nobody is granted more than reading and adding');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relname LIKE 'ml\_audit\_logs\_%' AND relkind = 'r' AND relacl IS NOT NULL$$, 'and nobody anything on a partition');
SELECT lives_ok($$DELETE FROM users WHERE id = md5('1user1')::uuid$$, 'the log does not stand in the way of erasing a user');
SELECT is((SELECT user_id FROM ml_audit_logs WHERE id = md5('one')::uuid), md5('1user1')::uuid, 'nor does that change the log');

-- ---- seals ----

SELECT ml_maintain_partitions() \g /dev/null
SELECT is((SELECT count(*) FROM ml_audit_logs_default WHERE id = md5('past1')::uuid), 0::bigint, 'maintenance may move rows to their month');
CREATE FUNCTION pg_temp.month(n int) RETURNS date LANGUAGE sql AS $$ SELECT (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => n))::date $$;
SELECT throws_ok('SELECT ml_audit_seal(pg_temp.month(0))', '55000', NULL, 'a month that has not ended is not sealed');
SELECT throws_ok('SELECT ml_audit_seal(pg_temp.month(-40))', '42P01', NULL, 'nor one that is not there');
SELECT throws_ok('SELECT ml_audit_seal(NULL)', '22004', NULL, 'nor none');
SELECT throws_ok('SELECT * FROM ml_audit_verify(pg_temp.month(-1))', '42704', NULL, 'what was not sealed cannot be verified');
SELECT is(length(ml_audit_seal(pg_temp.month(-1))), 32, 'one that has ended is');
SELECT is(ml_audit_seal(pg_temp.month(-1)), (SELECT digest FROM ml_audit_seals WHERE month = pg_temp.month(-1)), 'once');
SELECT results_eq('SELECT ok, problem FROM ml_audit_verify()', $$VALUES (true, NULL::text)$$, 'it verifies');
SELECT throws_ok(format($$INSERT INTO ml_audit_logs (timestamp, operation_type) VALUES (%L, 'late')$$, pg_temp.month(-1) + interval '3 days'), '55000', NULL, 'a sealed month takes no more rows');
SELECT lives_ok($$INSERT INTO ml_audit_logs (operation_type) VALUES ('now')$$, 'the present one does');
SELECT throws_ok('UPDATE ml_audit_seals SET n_rows = 0', '42501', 'ml_audit_seals is append-only', 'a seal is not changed');
SELECT throws_ok('TRUNCATE ml_audit_seals', '42501', NULL, 'nor removed');
SET LOCAL session_replication_role = replica;
UPDATE ml_audit_logs SET operation_type = 'forged' WHERE id = md5('past1')::uuid;
SET LOCAL session_replication_role = origin;
SELECT results_eq('SELECT ok, problem FROM ml_audit_verify()', $$VALUES (false, 'rows were changed')$$, 'a change by one who can switch triggers off shows');

-- ---- retention ----

UPDATE ml_partition_policy SET retention_months = 1 WHERE table_name = 'ml_audit_logs';
SELECT is((SELECT count(*) FROM ml_maintain_partitions(now() + interval '1 month') WHERE action = 'dropped' AND relation = 'ml_audit_logs_' || to_char(pg_temp.month(-1), 'YYYY_MM')), 1::bigint, 'a sealed month may be dropped when it is old');
SELECT results_eq('SELECT ok, problem LIKE ''dropped by retention%'' FROM ml_audit_verify()', $$VALUES (NULL::boolean, true)$$, 'and its seal says so');

-- ---- who ----

SELECT isnt(pg_temp.as_role('ml_auditor', 'SELECT count(*) FROM ml_audit_logs'), '0', 'an auditor reads');
SELECT throws_ok($$SELECT pg_temp.as_role('ml_auditor', 'INSERT INTO ml_audit_logs (operation_type) VALUES (''x'') RETURNING 1')$$, '42501', NULL, 'and does not write');
SELECT throws_ok($$SELECT pg_temp.as_role('ml_proxy', 'SELECT count(*) FROM ml_audit_logs')$$, '42501', NULL, 'the proxy writes and does not read');
SELECT lives_ok($$SET LOCAL ROLE ml_proxy; INSERT INTO ml_audit_logs (operation_type) SELECT 'x' FROM generate_series(1, 3); RESET ROLE$$, 'many at once');

SELECT * FROM finish();
ROLLBACK;
