-- SPDX-License-Identifier: ISC
-- Indexes: what queries need, nothing twice, and no update of a counter rewrites one.
BEGIN;
SELECT plan(11);

-- ON DELETE of the referenced row looks for the referencing ones by this column.
SELECT is_empty($$SELECT c.conrelid::regclass, a.attname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
	WHERE c.contype = 'f' AND c.conparentid = 0 AND c.conrelid::regclass::text ~ '^(ml_|db_)'
	AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = a.attnum AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', a.attname)))
	AND c.confrelid <> 'ml_lanes'::regclass$$, 'every foreign key has an index that serves it');
SELECT is_empty($$SELECT a.indexrelid::regclass, b.indexrelid::regclass FROM pg_index a JOIN pg_index b ON a.indrelid = b.indrelid AND a.indexrelid <> b.indexrelid
	WHERE a.indrelid::regclass::text ~ '^ml_[a-z_]+$' AND a.indpred IS NOT DISTINCT FROM b.indpred AND a.indexprs IS NULL AND b.indexprs IS NULL AND a.indoption[0] = b.indoption[0]
	AND a.indkey::text = (string_to_array(b.indkey::text, ' '))[1:a.indnatts]::text AND NOT a.indisunique$$, 'none is the beginning of another');
SELECT is_empty($$SELECT indexrelid::regclass FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
	WHERE (indrelid, attname) IN (('ml_vector_metadata'::regclass, 'search_frequency_count'), ('ml_vector_metadata'::regclass, 'last_search_used'), ('ml_feature_store'::regclass, 'usage_count'))$$, 'counters are in no index');
SELECT is_empty($$SELECT indexname FROM pg_indexes WHERE tablename ~ '^(ml_|db_)' AND indexname ~ 'quality|accuracy_analysis|deployment_tracking|idx_db_pool_metrics_(ml_)?perf' AND indexdef NOT LIKE '%NULLS LAST%'
	AND indexname !~ '_20\d\d_'$$, 'where a query sorts null last, the index does');

ANALYZE ml_feature_store;
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; whole text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		whole := whole || line || E'\n';
	END LOOP;
	RETURN whole;
END $$;
SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;
SELECT matches(pg_temp.plan_of($$SELECT * FROM ml_vector_metadata WHERE entity_type = 'service_event' AND deleted_at IS NULL ORDER BY vectorization_timestamp DESC, id LIMIT 10$$), '^Limit\n  ->  Index Scan', 'the newest vectors need no sort');
SELECT matches(pg_temp.plan_of($$SELECT * FROM ml_feature_store WHERE deleted_at IS NULL ORDER BY data_quality_score DESC NULLS LAST LIMIT 10$$), '^Limit\n  ->  Index Scan', 'nor do the best features');
SELECT matches(pg_temp.plan_of($$SELECT * FROM ml_feature_store WHERE expires_at < '2000-01-01' AND deleted_at IS NULL$$), 'Index Cond: \(expires_at < ', 'freshness is a condition of an index');
SELECT matches(pg_temp.plan_of($$SELECT * FROM ml_predictions WHERE input_feature_hash = 'x'$$), 'Index Cond: \(\(input_feature_hash', 'duplicates are found by hash');
SELECT matches(pg_temp.plan_of($$SELECT * FROM ml_predictions WHERE entity_type = 'service_event' AND entity_id = md5('x')::uuid$$), 'Index Cond: .*entity_id', 'and predictions by entity');
SELECT matches(pg_temp.plan_of($$SELECT * FROM ml_audit_logs WHERE pii_data_accessed AND organization_id = md5('x')::uuid$$), 'compliance|organization_id_operation_type', 'compliance reports by theirs');
SELECT throws_ok($$INSERT INTO ml_encryption_keys (key_name, key_type, key_hash, key_version) VALUES ('one', 'tap', 'h', 1), ('two', 'tap', 'i', 1)$$, '23505', NULL, 'of a type one key is active');

SELECT * FROM finish();
ROLLBACK;
