-- SPDX-License-Identifier: ISC
-- Indexes on the application's tables. That they are made for each type of column is in test_other_foundations.py; here, that they serve and do no harm.
BEGIN;
SELECT plan(6);

SELECT bag_eq($$SELECT indexname::text FROM pg_indexes WHERE indexname ~ '^idx_(service_events|customers|routes|bins)_'$$,
	$$SELECT unnest('{idx_service_events_time_series_ml,idx_service_events_feature_engineering,idx_service_events_ml_features,idx_service_events_location_geog,idx_customers_behavior_analysis,idx_routes_optimization_training,idx_bins_spatial_temporal_ml}'::text[])$$, 'all are there');
SELECT is_empty('SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid', 'all are valid');
SELECT lives_ok($$INSERT INTO service_events (organization_id, event_type, description, location, service_date) VALUES (md5('1organization1')::uuid, 'pickup', 'd', 'POINT(1 1)', now())$$, 'rows can be inserted');
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; whole text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		whole := whole || line || E'\n';
	END LOOP;
	RETURN whole;
END $$;
SET LOCAL enable_seqscan = off;
SELECT matches(pg_temp.plan_of($$SELECT * FROM service_events WHERE extract(hour FROM service_date AT TIME ZONE 'UTC') = 7 AND extract(dow FROM service_date AT TIME ZONE 'UTC') = 1 AND deleted_at IS NULL$$),
	'idx_service_events_ml_features', 'hours are found by the expression that README.md shows');
DROP INDEX bins_location;
SELECT matches(pg_temp.plan_of($$SELECT * FROM bins WHERE ST_DWithin(location, 'POINT(13.4 52.5)'::geography, 500) AND last_service_date > now() - interval '7 days' AND deleted_at IS NULL$$),
	'Index Cond: .*last_service_date', 'place and time are conditions of one index');
SELECT matches(pg_temp.plan_of($$SELECT * FROM service_events WHERE customer_id = md5('1customer1')::uuid AND service_date > now() AND deleted_at IS NULL$$), 'Index Cond: .*customer_id.*service_date', 'as are a customer''s events of a time');

SELECT * FROM finish();
ROLLBACK;
