-- SPDX-License-Identifier: ISC
-- Indexes. Of those that were asked for, the ones that a stated query can use, with NULLS LAST where a query sorts so; README.md says
-- why each of the others is left out. New: every foreign key has an index, so that erasing a user or organization does not scan.

SET LOCAL ROLE ml_owner;

CREATE INDEX idx_ml_vector_metadata_training ON public.ml_vector_metadata (entity_type, vectorization_timestamp DESC, id) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_vector_metadata_organization ON public.ml_vector_metadata (organization_id, entity_type, vectorization_timestamp DESC, id);
CREATE INDEX idx_ml_vector_metadata_created_by ON public.ml_vector_metadata (created_by) WHERE created_by IS NOT NULL;

CREATE INDEX idx_ml_feature_store_model_features ON public.ml_feature_store (model_version, training_run_id) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_feature_store_freshness ON public.ml_feature_store (expires_at) WHERE deleted_at IS NULL AND expires_at IS NOT NULL;
CREATE INDEX idx_ml_feature_store_quality ON public.ml_feature_store (data_quality_score DESC NULLS LAST) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_feature_store_organization ON public.ml_feature_store (organization_id);
CREATE INDEX idx_ml_feature_store_created_by ON public.ml_feature_store (created_by) WHERE created_by IS NOT NULL;

CREATE INDEX idx_ml_feature_store_history_at
	ON public.ml_feature_store_history (feature_set_name, feature_version, entity_type, entity_id, extraction_timestamp DESC, id DESC);
CREATE INDEX idx_ml_feature_store_history_organization ON public.ml_feature_store_history (organization_id);

CREATE INDEX idx_ml_models_production_lookup ON public.ml_models (model_name, deployment_status) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_models_performance_ranking ON public.ml_models (model_type, deployment_status, created_at DESC) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_models_deployment_tracking ON public.ml_models (deployment_timestamp DESC NULLS LAST, deployment_status) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX idx_ml_models_one_in_production ON public.ml_models (organization_id, model_name, ab_variant) NULLS NOT DISTINCT
	WHERE deployment_status = 'production' AND deleted_at IS NULL;
CREATE INDEX idx_ml_models_rollback ON public.ml_models (rollback_model_id) WHERE rollback_model_id IS NOT NULL;
CREATE INDEX idx_ml_models_created_by ON public.ml_models (created_by) WHERE created_by IS NOT NULL;
CREATE INDEX idx_ml_models_trained_by ON public.ml_models (trained_by) WHERE trained_by IS NOT NULL;
CREATE INDEX idx_ml_models_deployed_by ON public.ml_models (deployed_by) WHERE deployed_by IS NOT NULL;

CREATE INDEX idx_ml_predictions_model_performance ON public.ml_predictions (model_id, prediction_timestamp DESC);
CREATE INDEX idx_ml_predictions_accuracy_analysis ON public.ml_predictions (prediction_type, prediction_accuracy DESC, confidence_score DESC NULLS LAST)
	WHERE prediction_accuracy IS NOT NULL;
CREATE INDEX idx_ml_predictions_monitoring ON public.ml_predictions (prediction_timestamp DESC) WHERE anomaly_detected OR drift_detected;
CREATE INDEX idx_ml_predictions_business_impact ON public.ml_predictions (organization_id, prediction_type, prediction_timestamp DESC);
CREATE INDEX idx_ml_predictions_input_hash ON public.ml_predictions (input_feature_hash) WHERE input_feature_hash IS NOT NULL;
CREATE INDEX idx_ml_predictions_entity ON public.ml_predictions (entity_type, entity_id, prediction_timestamp DESC) WHERE entity_id IS NOT NULL;
CREATE INDEX idx_ml_predictions_requested_by ON public.ml_predictions (requested_by) WHERE requested_by IS NOT NULL;

CREATE INDEX idx_ml_audit_logs_user_activity ON public.ml_audit_logs (user_id, timestamp DESC);
CREATE INDEX idx_ml_audit_logs_compliance ON public.ml_audit_logs (organization_id, operation_type, timestamp DESC) WHERE gdpr_data_processed OR pii_data_accessed;
CREATE INDEX idx_ml_audit_logs_security ON public.ml_audit_logs (ip_address, timestamp DESC) WHERE operation_status = 'failure';
CREATE INDEX idx_ml_audit_logs_business_impact ON public.ml_audit_logs (organization_id, business_impact_type, business_impact_value DESC)
	WHERE business_impact_value IS NOT NULL;
-- The dashboard reads a day of a month; rows come in order of time, so a summary of blocks does.
CREATE INDEX idx_ml_audit_logs_time ON public.ml_audit_logs USING brin (timestamp) WITH (pages_per_range = 16, autosummarize = on);

CREATE UNIQUE INDEX idx_ml_encryption_keys_one_active ON public.ml_encryption_keys (key_type) WHERE key_status = 'active';
CREATE INDEX idx_ml_encryption_keys_rotated_from ON public.ml_encryption_keys (rotated_from) WHERE rotated_from IS NOT NULL;
CREATE INDEX idx_ml_encryption_keys_created_by ON public.ml_encryption_keys (created_by) WHERE created_by IS NOT NULL;

CREATE INDEX idx_ml_vector_outbox_due ON public.ml_vector_outbox (next_attempt);
CREATE INDEX idx_ml_vector_search_stats_metadata ON public.ml_vector_search_stats (metadata_id);

RESET ROLE;
