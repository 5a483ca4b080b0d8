-- SPDX-License-Identifier: ISC
-- The optional index on features serves containment.
BEGIN;
SELECT plan(2);

SELECT index_is_type('public', 'ml_feature_store', 'idx_ml_feature_store_features_gin', 'gin');
-- On few rows any index would do.
INSERT INTO ml_feature_store (feature_set_name, feature_version, entity_type, entity_id, features, feature_schema) SELECT 'tap', '1', 'tap', gen_random_uuid(), jsonb_build_object('n', n), '{}' FROM generate_series(1, 5000) n;
SELECT gin_clean_pending_list('idx_ml_feature_store_features_gin') \g /dev/null
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; whole text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		whole := whole || line || E'\n';
	END LOOP;
	RETURN whole;
END $$;
ANALYZE ml_feature_store;
SELECT matches(pg_temp.plan_of($$SELECT * FROM ml_feature_store WHERE features @> '{"service_tier": "no such tier"}' AND deleted_at IS NULL$$), 'idx_ml_feature_store_features_gin', 'it is used');

SELECT * FROM finish();
ROLLBACK;
