-- SPDX-License-Identifier: ISC
-- The tables keep what applications were promised, and do not do what was wrong with them.
BEGIN;
SELECT plan(46);

-- ---- names ----

CREATE TEMP TABLE promised (tab name, columns name[]);
INSERT INTO promised VALUES
	('ml_vector_metadata', '{id,entity_type,entity_id,vector_id,vector_version,embedding_model,vectorization_timestamp,vector_dimensions,vector_checksum,generation_time_ms,last_search_used,search_frequency_count,organization_id,created_by,created_at,updated_at,deleted_at}'),
	('ml_feature_store', '{id,feature_set_name,feature_version,entity_type,entity_id,features,feature_schema,feature_importance,model_version,training_run_id,extraction_timestamp,feature_freshness_hours,source_tables,transformation_pipeline,data_quality_score,feature_generation_time_ms,feature_size_bytes,usage_count,last_used,organization_id,created_by,created_at,updated_at,deleted_at}'),
	('ml_models', '{id,model_name,model_version,model_type,model_config,hyperparameters,feature_set_version,training_data_version,training_metrics,validation_metrics,test_metrics,performance_benchmark,model_file_path,model_file_hash,model_size_bytes,serialization_format,deployment_status,deployment_timestamp,rollback_model_id,business_metric_impact,a_b_test_results,drift_detection_config,performance_thresholds,alert_config,organization_id,created_by,trained_by,deployed_by,created_at,updated_at,deleted_at}'),
	('ml_predictions', '{id,model_id,prediction_type,input_features,input_feature_hash,entity_type,entity_id,prediction_result,confidence_score,prediction_timestamp,inference_time_ms,model_load_time_ms,total_response_time_ms,business_context,user_feedback,actual_outcome,outcome_timestamp,prediction_accuracy,prediction_error,prediction_bias,anomaly_detected,drift_detected,quality_alert_triggered,organization_id,requested_by,created_at,updated_at}'),
	('ml_encryption_keys', '{id,key_name,key_type,encryption_algorithm,key_version,key_status,created_at,expires_at,rotated_from,rotation_schedule,key_hash,access_control,created_by,last_used,usage_count}'),
	('ml_audit_logs', '{id,timestamp,operation_type,operation_subtype,model_id,user_id,organization_id,session_id,request_id,data_accessed,data_sources,data_volume_rows,data_sensitivity_level,operation_params,operation_result,operation_duration_ms,operation_status,gdpr_data_processed,pii_data_accessed,data_retention_policy,consent_verification,ip_address,user_agent,api_endpoint,security_context,error_message,error_code,error_context,business_impact_type,business_impact_value,business_impact_currency}'),
	('ml_predictions_monthly', '{id,model_id,prediction_type,input_features,entity_type,entity_id,prediction_result,prediction_timestamp,organization_id}');
SELECT is_empty(format($$SELECT unnest(%L::name[]) EXCEPT SELECT attname FROM pg_attribute WHERE attrelid = %L::regclass AND attnum > 0 AND NOT attisdropped$$, columns, tab),
	format('%s has every promised column', tab)) FROM promised;
SELECT is_empty($$SELECT p.tab, a.attname FROM promised p JOIN pg_attribute a ON a.attrelid = p.tab::text::regclass AND a.attnum > 0
	WHERE a.attnotnull AND NOT a.atthasdef AND a.attgenerated = '' AND NOT a.attname = ANY (p.columns)$$, 'what was added has a default or may be null');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND relname LIKE 'ml\_%' AND relowner <> 'ml_owner'::regrole$$,
	'ml_owner owns all of them');

-- ---- vectors ----

SELECT lives_ok($$INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id, organization_id) VALUES ('t', md5('a')::uuid, 'x', md5('1organization1')::uuid)$$, 'a vector');
SELECT throws_ok($$INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id) VALUES ('t', md5('a')::uuid, 'y')$$, '23505', NULL, 'the same version twice is refused');
SELECT lives_ok($$INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id, vector_version) VALUES ('t', md5('a')::uuid, 'x', 2)$$, 'a second version of the same object is not');
SELECT lives_ok($$INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id) VALUES ('t2', md5('a')::uuid, 'x')$$, 'nor is the same id in another collection');
SELECT lives_ok($$UPDATE ml_vector_metadata SET deleted_at = now() WHERE entity_type = 't' AND vector_version = 1;
	INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id) VALUES ('t', md5('a')::uuid, 'x')$$, 'vectorized again after a soft delete');
SELECT lives_ok($$INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id) VALUES ('t', md5('a')::uuid, 'x')
	ON CONFLICT ON CONSTRAINT ml_vector_metadata_entity_unique DO UPDATE SET vector_checksum = 'new'$$, 'an upsert by the constraint''s name');
SELECT is((SELECT count(*) FROM ml_vector_metadata WHERE entity_type = 't' AND vector_checksum = 'new'), 1::bigint, 'which met the row that lives');
SELECT is((SELECT ROW(embedding_model, vector_dimensions)::text FROM ml_vector_metadata WHERE entity_type = 't2'), '(,)', 'nobody invents a model or its dimensions');
SELECT throws_ok($$INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id, vector_dimensions) VALUES ('t', md5('z')::uuid, 'z', 0)$$, '23514', NULL, 'no dimensions are no dimensions');

-- ---- features ----

SELECT lives_ok($$INSERT INTO ml_feature_store (feature_set_name, feature_version, entity_type, entity_id, features, feature_schema, feature_freshness_hours)
	SELECT 's', '2025.08.13-1a2b3c4d5e6', kind, md5('a')::uuid, '{}', '{}', 24 FROM unnest('{a,b}'::text[]) kind$$, 'a long version; two types of entity with one id');
SELECT is((SELECT count(*) FROM ml_feature_store WHERE feature_set_name = 's' AND expires_at = extraction_timestamp + interval '24 hours'), 2::bigint, 'expires_at follows');
SELECT throws_ok($$INSERT INTO ml_feature_store (feature_set_name, feature_version, entity_type, entity_id, features, feature_schema) VALUES ('s', '2025.08.13-1a2b3c4d5e6', 'a', md5('a')::uuid, '{}', '{}')$$,
	'23505', NULL, 'the same features twice are refused');
SELECT lives_ok($$UPDATE ml_feature_store SET deleted_at = now() WHERE feature_set_name = 's';
	INSERT INTO ml_feature_store (feature_set_name, feature_version, entity_type, entity_id, features, feature_schema) VALUES ('s', '2025.08.13-1a2b3c4d5e6', 'a', md5('a')::uuid, '{}', '{}')$$,
	'and possible again after a soft delete');

-- ---- models ----

SELECT lives_ok($$INSERT INTO ml_models (model_name, model_version, model_type, model_config, organization_id, deployment_status)
	SELECT 'm', '1', 'prophet', '{}', md5('1organization' || n)::uuid, 'production' FROM generate_series(1, 2) n$$, 'two organizations own m/1');
SELECT throws_ok($$INSERT INTO ml_models (model_name, model_version, model_type, model_config, organization_id) VALUES ('m', '1', 'prophet', '{}', md5('1organization1')::uuid)$$, '23505', NULL, 'one of them twice is refused');
SELECT throws_ok($$INSERT INTO ml_models (model_name, model_version, model_type, model_config, organization_id, deployment_status) VALUES ('m', '2', 'prophet', '{}', md5('1organization1')::uuid, 'production')$$,
	'23505', NULL, 'a second one in production is refused');
SELECT lives_ok($$INSERT INTO ml_models (model_name, model_version, model_type, model_config, organization_id, deployment_status, ab_variant) VALUES ('m', '2', 'prophet', '{}', md5('1organization1')::uuid, 'production', 'B')$$,
	'unless it is a variant of a test');
SELECT throws_ok($$INSERT INTO ml_models (model_name, model_version, model_type, model_config, deployment_status) VALUES ('n', '1', 'prophet', '{}', NULL)$$, '23502', NULL, 'a model has a status');

-- ---- predictions ----

PREPARE predict (timestamptz, numeric) AS INSERT INTO ml_predictions (model_id, prediction_type, input_features, prediction_result, prediction_timestamp, prediction_error)
	SELECT id, 'p', '{}', '{}', $1, $2 FROM ml_models WHERE model_name = 'm' LIMIT 1;
SELECT lives_ok($$EXECUTE predict(now(), 12500.5)$$, 'an error of 12500.5');
SELECT lives_ok($$EXECUTE predict('2001-01-01', 0)$$, 'a time that no month was made for');
SELECT throws_ok($$EXECUTE predict(NULL, 0)$$, '23502', NULL, 'no time is refused');
SELECT is((SELECT count(*) FROM ml_predictions_monthly WHERE prediction_type = 'p'), 2::bigint, 'ml_predictions_monthly shows them');
SELECT lives_ok($$INSERT INTO ml_predictions_monthly (model_id, prediction_type, input_features, prediction_result) SELECT model_id, 'p', '{}', '{}' FROM ml_predictions LIMIT 1$$, 'and takes them');
SELECT throws_ok($$INSERT INTO ml_predictions_monthly (model_id, prediction_type, input_features, prediction_result) VALUES (gen_random_uuid(), 'p', '{}', '{}')$$, '23503', NULL, 'but none of a model that is not there');
SELECT throws_ok($$DELETE FROM ml_models WHERE id IN (SELECT model_id FROM ml_predictions)$$, '23503', NULL, 'a model with predictions stays');

-- ---- updated_at, organization ----

UPDATE ml_vector_metadata SET created_at = '2020-01-01' WHERE entity_type = 't2';
INSERT INTO ml_models (model_name, model_version, model_type, model_config, updated_at) VALUES ('old', '1', 'prophet', '{}', '2020-01-01');
UPDATE ml_models SET model_size_bytes = 1 WHERE model_name = 'old';
SELECT is((SELECT updated_at FROM ml_models WHERE model_name = 'old'), now(), 'updated_at follows a change');
SELECT throws_ok($$UPDATE ml_models SET created_at = NULL WHERE model_name = 'old'$$, '23502', NULL, 'created_at is never null');
SET LOCAL ml.organization_id = '22b7d49f-2aa0-bf75-4a15-d34496f15642';
INSERT INTO organizations (id, name, slug, country) VALUES ('22b7d49f-2aa0-bf75-4a15-d34496f15642', 'x', 'x-tap', 'DE') ON CONFLICT DO NOTHING;
INSERT INTO ml_models (model_name, model_version, model_type, model_config) VALUES ('mine', '1', 'prophet', '{}');
SELECT is((SELECT organization_id FROM ml_models WHERE model_name = 'mine'), '22b7d49f-2aa0-bf75-4a15-d34496f15642', 'a row belongs to the session''s organization');
RESET ml.organization_id;

-- ---- who sees what ----

CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;
SELECT is(pg_temp.as_role('data_scientist', 'SELECT ml_caller()'), 'data_scientist', 'the caller is who SET ROLE chose');
SELECT is(pg_temp.as_role('data_scientist', 'SELECT count(*) FROM ml_visible_organizations()'), '0', 'a role without a row sees no organization');
INSERT INTO ml_role_organizations (role_name, organization_id) VALUES ('data_scientist', md5('1organization1')::uuid), ('ml_engineer', NULL), ('gone', md5('1organization1')::uuid);
SELECT is(pg_temp.as_role('data_scientist', 'SELECT array_agg(o) FROM ml_visible_organizations() o'), format('{%s}', md5('1organization1')::uuid), 'with a row, that one');
SET LOCAL ml.organization_id = '22b7d49f-2aa0-bf75-4a15-d34496f15642';
SELECT is(pg_temp.as_role('data_scientist', 'SELECT count(*) FROM ml_visible_organizations()'), '0', 'naming another one does not help');
SELECT is(pg_temp.as_role('ml_engineer', 'SELECT array_agg(o) FROM ml_visible_organizations() o'), '{22b7d49f-2aa0-bf75-4a15-d34496f15642}', 'unless the role is trusted to name it');
RESET ml.organization_id;
SELECT is(pg_temp.as_role('ml_engineer', 'SELECT count(*) FROM ml_visible_organizations()'), '0', 'and names none: none');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT ml_require_organization(NULL)')$$, '22004', 'an organization is required', 'an organization is required');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT ml_require_organization(md5(''1organization2'')::uuid)')$$, '42501', NULL, 'a foreign one is refused');
SELECT is(pg_temp.as_role('ml_service', 'SELECT ml_require_organization(NULL)'), 'true', 'a role that serves all need not name one');

SELECT * FROM finish();
ROLLBACK;
