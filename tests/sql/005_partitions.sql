-- SPDX-License-Identifier: ISC
-- Partitions: made ahead, over rows that are there already, and dropped when they are old.
BEGIN;
SET LOCAL client_min_messages = error;
SET LOCAL timezone = 'Pacific/Auckland';
SELECT plan(26);

CREATE TEMP TABLE first_run AS SELECT * FROM ml_maintain_partitions();
SELECT is_empty('SELECT * FROM ml_maintain_partitions()', 'a second run finds nothing to do');
SELECT is((SELECT count(*) FROM ml_partitions(tab::regclass) WHERE ending > now()), 4::bigint, tab || ': this month and three more') FROM ml_partition_policy p, LATERAL (SELECT p.table_name::text AS tab) t;
SELECT is_empty($$SELECT * FROM ml_partition_policy, ml_partitions(table_name::text::regclass) WHERE date_trunc('month', beginning AT TIME ZONE 'UTC') <> beginning AT TIME ZONE 'UTC'$$, 'months begin in UTC, whatever the session''s zone');
SELECT is(ml_default_partition(table_name::text::regclass)::text, table_name || '_default', 'a default partition') FROM ml_partition_policy;

-- Rows that wait in the default partition of months that are past and to come.
INSERT INTO ml_audit_logs (id, timestamp, operation_type) SELECT md5('waiting' || m)::uuid, date_trunc('month', now()) + make_interval(months => m) + interval '5 days', 'training' FROM generate_series(-5, 6) m WHERE m < -1 OR m > 3;
INSERT INTO ml_audit_logs (id, timestamp, operation_type) VALUES (md5('far')::uuid, '9999-01-01', 'training'), (md5('infinite')::uuid, 'infinity', 'training');
SELECT is((SELECT count(*) FROM ml_audit_logs_default), 9::bigint, 'rows without a month wait');
CREATE TEMP TABLE second_run AS SELECT * FROM ml_maintain_partitions();
SELECT is((SELECT sum(n_rows) FROM second_run WHERE action = 'created'), 4::numeric, 'those of the past are moved');
SELECT is((SELECT n_rows FROM second_run WHERE action = 'rows in default'), 5::bigint, 'those of a farther future are told');
CREATE TEMP TABLE third_run AS SELECT * FROM ml_maintain_partitions(now() + interval '3 months');
SELECT is((SELECT sum(n_rows) FROM third_run WHERE action = 'created' AND relation LIKE 'ml_audit%'), 3::numeric, 'and moved when their time comes');
SELECT is((SELECT count(*) FROM ml_audit_logs WHERE id IN (SELECT md5('waiting' || m)::uuid FROM generate_series(-5, 6) m)), 7::bigint, 'no row is lost');
SELECT is_empty($$SELECT count(*) FROM ml_audit_logs WHERE id IN (SELECT md5('waiting' || m)::uuid FROM generate_series(-5, 6) m) GROUP BY tableoid HAVING count(*) > 1$$, 'each is in a partition of its own');

-- Partitions are like their parent.
SELECT is_empty($$SELECT relation FROM (SELECT * FROM first_run UNION ALL SELECT * FROM second_run UNION ALL SELECT * FROM third_run) run JOIN pg_class c ON c.relname = relation
	WHERE action = 'created' AND (c.relowner <> 'ml_owner'::regrole OR (relation !~ '^db' AND NOT c.relrowsecurity))$$, 'owner and row security');
SELECT is_empty($$SELECT relation FROM third_run WHERE action = 'created' AND relation LIKE 'ml_audit%' AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = relation::regclass AND tgname = 'ml_append_only_truncate')$$,
	'the trigger against TRUNCATE, which is not inherited');
SELECT is_empty($$SELECT relation FROM third_run WHERE action = 'created' AND relation LIKE 'ml_pred%' AND (SELECT count(*) FROM pg_constraint WHERE conrelid = relation::regclass AND contype = 'f') <>
	(SELECT count(*) FROM pg_constraint WHERE conrelid = 'ml_predictions'::regclass AND contype = 'f')$$, 'foreign keys');
SELECT is_empty($$SELECT relation FROM third_run WHERE action = 'created' AND relation LIKE 'ml_pred%' AND (SELECT count(*) FROM pg_index WHERE indrelid = relation::regclass) <>
	(SELECT count(*) FROM pg_index WHERE indrelid = 'ml_predictions'::regclass)$$, 'and indexes');

-- Retention.
SELECT ok(EXISTS (SELECT FROM ml_maintain_partitions(now() + interval '27 months') WHERE action = 'dropped' AND relation LIKE 'ml\_predictions%'), 'predictions are dropped after 24 months');
SELECT is((SELECT min(beginning) FROM ml_partitions('ml_predictions')), date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' + interval '3 months', 'no younger ones');
SELECT is((SELECT count(*) FROM ml_audit_logs WHERE id IN (SELECT md5('waiting' || m)::uuid FROM generate_series(-5, 6) m)), 7::bigint, 'the audit log is kept as long as nobody says otherwise');
UPDATE ml_partition_policy SET retention_months = 12 WHERE table_name = 'ml_audit_logs';
SELECT ok(NOT EXISTS (SELECT FROM ml_maintain_partitions(now() + interval '27 months') WHERE action = 'dropped' AND relation LIKE 'ml\_audit%'), 'and then no month that is not sealed');

SELECT throws_ok('SELECT ml_maintain_partitions(NULL)', '22004', NULL, 'no time is refused');
SELECT throws_ok($$SET LOCAL ROLE ml_proxy; SELECT ml_maintain_partitions(now() + interval '10 years')$$, '42501', NULL, 'the proxy cannot have everything dropped by naming a time');
SELECT lives_ok($$SET LOCAL ROLE ml_proxy; SELECT ml_maintain_partitions(); RESET ROLE$$, 'but has its hourly run');
SELECT throws_ok($$SET LOCAL ROLE data_scientist; SELECT ml_maintain_partitions()$$, '42501', NULL, 'others have not');

SELECT * FROM finish();
ROLLBACK;
