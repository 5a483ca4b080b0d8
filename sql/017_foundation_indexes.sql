-- no-transaction
-- optional
-- SPDX-License-Identifier: ISC
-- Indexes on the application's tables for training and spatial queries, built while they are in use. An index whose columns are not there, or have a type that cannot be indexed so, is left out with a notice.
--
-- EXTRACT of a timestamptz depends on the session's zone and cannot be indexed: queries that are to use idx_service_events_ml_features write AT TIME ZONE 'UTC' as it does. A date has no hour.

SELECT CASE WHEN is_possible
	THEN format('CREATE INDEX CONCURRENTLY IF NOT EXISTS %I ON public.%I %s%s', name, tab, definition,
		' WHERE ' || nullif(concat_ws(' AND ', CASE WHEN public.ml_column_type(to_regclass('public.' || tab), 'deleted_at') IS NOT NULL THEN 'deleted_at IS NULL' END, condition), ''))
	ELSE format('DO $do$ BEGIN RAISE NOTICE %L; END $do$', format('%s is left out: %s does not have the columns it needs', name, tab)) END
FROM (
	SELECT *, definition IS NOT NULL AND NOT EXISTS (SELECT FROM unnest(columns) col WHERE public.ml_column_type(to_regclass('public.' || tab), col) IS NULL) AS is_possible
	FROM (VALUES
		('idx_service_events_time_series_ml', 'service_events', ARRAY['service_date', 'event_type', 'organization_id']::name[], '(service_date, event_type, organization_id)', NULL),
		('idx_service_events_feature_engineering', 'service_events', ARRAY['customer_id', 'service_date', 'event_type', 'status'], '(customer_id, service_date, event_type, status)', NULL),
		('idx_service_events_ml_features', 'service_events', ARRAY['service_date', 'organization_id'],
			CASE public.ml_column_type(to_regclass('public.service_events'), 'service_date')::text
				WHEN 'timestamp with time zone' THEN '((extract(hour FROM service_date AT TIME ZONE ''UTC'')), (extract(dow FROM service_date AT TIME ZONE ''UTC'')), organization_id)'
				WHEN 'timestamp without time zone' THEN '((extract(hour FROM service_date)), (extract(dow FROM service_date)), organization_id)'
				WHEN 'date' THEN '((extract(dow FROM service_date)), organization_id)' END, NULL),
		('idx_service_events_location_geog', 'service_events', ARRAY['location'],
			CASE WHEN public.ml_is_spatial(to_regclass('public.service_events'), 'location') AND public.ml_column_type(to_regclass('public.service_events'), 'location')::text LIKE '%geometry'
				THEN format('USING gist ((%s::%s.geography))', public.ml_geometry_sql(to_regclass('public.service_events'), 'service_events', 'location'), public.ml_postgis())
				ELSE 'USING gist (location)' END, NULL),
		('idx_customers_behavior_analysis', 'customers', ARRAY['organization_id', 'service_tier', 'status', 'created_at'], '(organization_id, service_tier, status, created_at)', NULL),
		('idx_routes_optimization_training', 'routes', ARRAY['organization_id', 'route_date', 'total_distance', 'total_duration', 'status'],
			'(organization_id, route_date, total_distance, total_duration)', 'status = ''completed'''),
		('idx_bins_spatial_temporal_ml', 'bins', ARRAY['location', 'last_service_date'], 'USING gist (location, last_service_date)', NULL)
	) wanted (name, tab, columns, definition, condition)
) checked \gexec
