-- SPDX-License-Identifier: ISC
-- Vectors, features, models and predictions for the rows of data.sql, which includes this file and whose functions and variables it uses.

INSERT INTO ml_vector_metadata (id, entity_type, entity_id, vector_id, vector_version, embedding_model, vectorization_timestamp, vector_dimensions, vector_checksum,
	generation_time_ms, organization_id)
SELECT pg_temp.id(entity_type, row_number() OVER (PARTITION BY entity_type ORDER BY id)), entity_type, id, md5('vector' || id)::uuid, 1, 'all-MiniLM-L6-v2',
	least(changed + interval '20 minutes', :'as_of'::timestamptz), 384, encode(sha256(convert_to(entity_type || id, 'UTF8')), 'hex'), 4 + hashtext(id::text) & 15, organization_id
FROM (SELECT 'service_event' AS entity_type, id, updated_at AS changed, organization_id FROM service_events
	UNION ALL SELECT 'customer_behavior', id, created_at, organization_id FROM customers
	UNION ALL SELECT 'route_optimization', id, created_at, organization_id FROM routes) entity;

-- One in fifty has been vectorized again by a newer model; the older version is kept.
INSERT INTO ml_vector_metadata (id, entity_type, entity_id, vector_id, vector_version, embedding_model, vectorization_timestamp, vector_dimensions, vector_checksum,
	generation_time_ms, organization_id)
SELECT md5(id || 'second')::uuid, entity_type, entity_id, vector_id, 2, 'bge-base-en-v1.5', :'as_of'::timestamptz - interval '1 hour', 768, md5(vector_checksum) || md5(vector_id),
	11, organization_id
FROM ml_vector_metadata WHERE hashtext(entity_id::text) % 50 = 0;

-- What is known of an event before it happens, for forecasts of fill level and effort: 21 keys.
INSERT INTO ml_feature_store (id, feature_set_name, feature_version, entity_type, entity_id, features, feature_schema, model_version, extraction_timestamp,
	feature_freshness_hours, source_tables, transformation_pipeline, data_quality_score, feature_generation_time_ms, organization_id)
SELECT md5('features' || e.id)::uuid, 'service_event_context', '1', 'service_event', e.id, jsonb_build_object(
		'hour', extract(hour FROM service_date), 'weekday', extract(isodow FROM service_date), 'month', extract(month FROM service_date), 'event_type', event_type,
		'priority', priority, 'bin_type', bin_type, 'capacity_liters', capacity_liters, 'fill_percent', e.fill_percent, 'weight_kg', weight_kg, 'duration_minutes', duration_minutes,
		'customer_type', customer_type, 'service_tier', service_tier, 'monthly_fee', monthly_fee, 'battery_percent', battery_percent, 'bin_age_days', :'as_of'::date - installed_on,
		'fuel_type', fuel_type, 'stop_count', stop_count, 'route_km', total_distance, 'route_minutes', total_duration,
		'temperature_c', round((10 + 12 * sin((extract(doy FROM service_date) - 105) / 58.1) + 6 * (hashtext(e.id::text) & 255) / 256.0)::numeric, 1),
		'rain_mm', round(greatest(0, (hashtext(e.id::text) >> 8 & 255) - 180) / 10.0, 1)),
	'{"type": "object", "properties": 21}', '1.1.0', e.updated_at, 24 * 30, '{service_events,bins,customers,routes}', 'context/3',
	round((0.7 + 0.3 * (hashtext(e.id::text) & 1023) / 1024.0)::numeric, 4), 3, e.organization_id
FROM service_events e JOIN bins b ON b.id = e.bin_id JOIN customers c ON c.id = e.customer_id JOIN routes r ON r.id = e.route_id JOIN vehicles v ON v.id = e.vehicle_id;

INSERT INTO ml_feature_store (id, feature_set_name, feature_version, entity_type, entity_id, features, feature_schema, model_version, extraction_timestamp,
	feature_freshness_hours, source_tables, transformation_pipeline, data_quality_score, organization_id)
SELECT md5('churn' || c.id)::uuid, 'churn', '1', 'customer_behavior', c.id, jsonb_build_object('tenure_days', :'as_of'::date - contract_start, 'monthly_fee', monthly_fee,
		'service_tier', service_tier, 'pickups_90d', count(e.id) FILTER (WHERE event_type = 'pickup'), 'overflows_90d', count(e.id) FILTER (WHERE event_type = 'overflow'),
		'missed_90d', count(e.id) FILTER (WHERE event_type = 'missed_pickup'), 'complaints_90d', count(e.id) FILTER (WHERE event_type = 'complaint'),
		'weight_90d_kg', coalesce(sum(weight_kg), 0)),
	'{"type": "object", "properties": 8}', '1.1.0', :'as_of'::timestamptz - interval '2 hours', 24, '{customers,service_events}', 'churn/2',
	round((0.8 + 0.2 * (hashtext(c.id::text) & 1023) / 1024.0)::numeric, 4), c.organization_id
FROM customers c LEFT JOIN service_events e ON e.customer_id = c.id AND e.service_date > :'as_of'::timestamptz - interval '90 days' GROUP BY c.id;

INSERT INTO ml_models (id, model_name, model_version, model_type, model_config, hyperparameters, feature_set_version, training_metrics, validation_metrics, model_file_path,
	model_file_hash, model_size_bytes, serialization_format, deployment_status, deployment_timestamp, organization_id, created_by, created_at)
SELECT md5(organization_id || model_name || model_version)::uuid, model_name, model_version, model_type, config, parameters, '1', jsonb_build_object('rmse', 8.4, 'n_rows', :n),
	jsonb_build_object('rmse', 9.1), 's3://models/' || number || '/' || model_name || '-' || model_version, md5(model_name) || md5(model_version), 1048576, 'onnx', status,
	:'as_of'::timestamptz - age, organization_id, pg_temp.id('user', 16 + number), :'as_of'::timestamptz - age - interval '5 days'
FROM city, (VALUES ('demand_forecast', 'prophet', '{"horizon_days": 14}'::jsonb, '{"changepoint_prior_scale": 0.05}'::jsonb),
		('churn_risk', 'lightgbm', '{"target": "cancelled_90d"}', '{"num_leaves": 31}'), ('similar_events', 'vector_similarity', '{"metric": "cosine"}', NULL)
	) model (model_name, model_type, config, parameters),
	(VALUES ('1.0.0', 'retired', interval '200 days'), ('1.1.0', 'production', interval '40 days'), ('1.2.0', 'staging', interval '1 day')) version (model_version, status, age);

-- Two months of forecasts; what came of those that are old enough is known.
INSERT INTO ml_predictions (id, model_id, prediction_type, input_features, input_feature_hash, entity_type, entity_id, prediction_result, confidence_score, prediction_timestamp,
	inference_time_ms, total_response_time_ms, actual_outcome, outcome_timestamp, prediction_accuracy, prediction_error, organization_id, requested_by)
SELECT md5('prediction' || e.id)::uuid, m.id, 'demand_forecast', jsonb_build_object('bin_id', e.bin_id, 'weekday', extract(isodow FROM e.service_date)), md5(e.bin_id || e.service_date::text),
	'service_event', e.id, jsonb_build_object('fill_percent', e.fill_percent + miss), round((0.95 - abs(miss) / 50.0)::numeric, 4), e.service_date - interval '12 hours', 3 + abs(miss), 9 + abs(miss),
	CASE WHEN known THEN jsonb_build_object('fill_percent', e.fill_percent) END, CASE WHEN known THEN e.service_date END,
	CASE WHEN known THEN round((1 - abs(miss) / 100.0)::numeric, 4) END, CASE WHEN known THEN miss END, e.organization_id, e.performed_by
FROM (SELECT *, hashtext(id::text) % 16 AS miss, service_date < :'as_of'::timestamptz AS known FROM service_events
		WHERE service_date BETWEEN :'as_of'::timestamptz - interval '60 days' AND :'as_of'::timestamptz + interval '10 hours') e
	JOIN ml_models m ON m.organization_id = e.organization_id AND m.model_name = 'demand_forecast' AND m.model_version = '1.1.0';

-- The last day, as one pglane called "demo" and its clients would have left it, so that dashboards have something to show.
INSERT INTO db_connection_pool_metrics (timestamp, total_connections, active_connections, idle_connections, waiting_connections, ml_dedicated_active, vector_operation_active,
	training_job_active, avg_query_time_ms, max_query_time_ms, slow_query_count, ml_query_avg_time_ms, vector_query_avg_time_ms, spatial_ml_hybrid_avg_time_ms,
	cpu_usage_percent, memory_usage_percent, disk_io_wait_percent, instance_id, pool_name)
SELECT :'as_of'::timestamptz - i * interval '5 minutes', active + 20, active, 20, pg_temp.upto('waiting', i, 4), active / 5, active / 10, pg_temp.upto('training', i, 6),
	round((2 + 5 * pg_temp.unit('average', i))::numeric, 3), 100 + pg_temp.upto('longest', i, 4000), pg_temp.upto('slow', i, 3), 1.8, 14.2, 21.5,
	round((15 + 50 * pg_temp.unit('cpu', i))::numeric, 2), 41.5, 0.4, 'demo', 'all'
FROM generate_series(1, 288) i, LATERAL (SELECT 20 + pg_temp.upto('active', i, 60)::int AS active OFFSET 0) a;

INSERT INTO ml_audit_logs (id, timestamp, operation_type, operation_subtype, model_id, user_id, organization_id, request_id, data_sources, data_volume_rows, data_sensitivity_level,
	operation_duration_ms, operation_status, pii_data_accessed, ip_address)
SELECT md5('audit' || id)::uuid, :'as_of'::timestamptz - (hashtext(id::text) & 65535) * interval '1.3 seconds', 'prediction', prediction_type, model_id, requested_by, organization_id,
	md5(id::text), '{ml_feature_store}', 1, 'internal', total_response_time_ms, CASE WHEN hashtext(id::text) % 40 = 0 THEN 'failure' ELSE 'success' END, false, '192.0.2.20'
FROM ml_predictions ORDER BY id LIMIT 5000;
