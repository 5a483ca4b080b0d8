-- SPDX-License-Identifier: ISC
-- What bench/sql measures beside sql/: the statements as they were first asked for, changed only as far as it takes to make them run (gen_random_uuid, no
-- CONCURRENTLY, constraint names left out). In a schema of their own, filled from the demonstration's rows. Their faults are kept: they are what is shown.

CREATE SCHEMA requested;
SET search_path = requested, public;

-- Places as geometry, which is what its spatial query is written for.
CREATE TABLE service_events (LIKE public.service_events INCLUDING DEFAULTS);
INSERT INTO service_events SELECT * FROM public.service_events;
ALTER TABLE service_events ALTER location TYPE geometry(Point, 4326) USING location::geometry;
ALTER TABLE service_events ADD PRIMARY KEY (id);
CREATE INDEX ON service_events USING gist (location);

CREATE TABLE ml_vector_metadata (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	entity_type varchar(50) NOT NULL,
	entity_id uuid NOT NULL,
	vector_id varchar(255) NOT NULL UNIQUE,
	vector_version integer DEFAULT 1,
	embedding_model varchar(100) DEFAULT 'text2vec-openai',
	vectorization_timestamp timestamptz DEFAULT now(),
	vector_dimensions integer DEFAULT 1536,
	vector_checksum varchar(64),
	generation_time_ms integer,
	last_search_used timestamptz,
	search_frequency_count integer DEFAULT 0,
	organization_id uuid REFERENCES organizations,
	created_by uuid REFERENCES users,
	created_at timestamptz DEFAULT now(),
	updated_at timestamptz DEFAULT now(),
	deleted_at timestamptz,
	UNIQUE (entity_type, entity_id, vector_version)
);
INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id, embedding_model, vectorization_timestamp, vector_dimensions, vector_checksum, generation_time_ms, organization_id)
SELECT entity_type, entity_id, vector_id, embedding_model, vectorization_timestamp, vector_dimensions, vector_checksum, generation_time_ms, organization_id
FROM public.ml_vector_metadata WHERE vector_version = 1;
CREATE INDEX idx_ml_vector_metadata_entity_lookup ON ml_vector_metadata (entity_type, entity_id) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_vector_metadata_vector_id ON ml_vector_metadata (vector_id) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_vector_metadata_org_performance ON ml_vector_metadata (organization_id, search_frequency_count DESC) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_vector_metadata_search_analytics ON ml_vector_metadata (last_search_used DESC, search_frequency_count DESC) WHERE deleted_at IS NULL;

CREATE FUNCTION get_ml_training_dataset(p_entity_type varchar, p_organization_id uuid DEFAULT NULL, p_date_range_start timestamptz DEFAULT NULL,
	p_date_range_end timestamptz DEFAULT NULL, p_limit integer DEFAULT 10000)
RETURNS TABLE (entity_id uuid, entity_data jsonb, vector_metadata jsonb, spatial_context jsonb) LANGUAGE plpgsql SET search_path = requested, public AS $$
BEGIN
	RETURN QUERY
	WITH training_data AS (
		SELECT vmm.entity_id,
			CASE vmm.entity_type WHEN 'service_event' THEN to_jsonb(se.*) WHEN 'customer_behavior' THEN to_jsonb(c.*)
				WHEN 'route_optimization' THEN to_jsonb(r.*) END AS entity_data,
			to_jsonb(vmm.*) AS vector_metadata,
			CASE WHEN vmm.entity_type = 'service_event' THEN jsonb_build_object('location', ST_AsGeoJSON(se.location)::jsonb,
					'customer_location', ST_AsGeoJSON(c.service_address)::jsonb)
				WHEN vmm.entity_type = 'route_optimization' THEN jsonb_build_object('route_geometry', ST_AsGeoJSON(r.route_geometry)::jsonb,
					'start_location', ST_AsGeoJSON(r.start_location)::jsonb)
				ELSE jsonb_build_object() END AS spatial_context
		FROM ml_vector_metadata vmm
		LEFT JOIN service_events se ON vmm.entity_type = 'service_event' AND vmm.entity_id = se.id
		LEFT JOIN customers c ON vmm.entity_type = 'customer_behavior' AND vmm.entity_id = c.id
		LEFT JOIN routes r ON vmm.entity_type = 'route_optimization' AND vmm.entity_id = r.id
		WHERE vmm.entity_type = p_entity_type
			AND (p_organization_id IS NULL OR (vmm.entity_type = 'service_event' AND se.organization_id = p_organization_id)
				OR (vmm.entity_type = 'customer_behavior' AND c.organization_id = p_organization_id)
				OR (vmm.entity_type = 'route_optimization' AND r.organization_id = p_organization_id))
			AND (p_date_range_start IS NULL OR vmm.vectorization_timestamp >= p_date_range_start)
			AND (p_date_range_end IS NULL OR vmm.vectorization_timestamp <= p_date_range_end)
			AND vmm.deleted_at IS NULL
		ORDER BY vmm.vectorization_timestamp DESC
		LIMIT p_limit
	)
	SELECT td.entity_id, td.entity_data, td.vector_metadata, td.spatial_context FROM training_data td;
END $$;

CREATE TABLE ml_feature_store (LIKE public.ml_feature_store INCLUDING DEFAULTS);
INSERT INTO ml_feature_store SELECT * FROM public.ml_feature_store;
ALTER TABLE ml_feature_store ADD PRIMARY KEY (id), ADD UNIQUE (feature_set_name, feature_version, entity_id);
CREATE INDEX idx_ml_feature_store_training_lookup ON ml_feature_store (feature_set_name, feature_version, entity_type) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_feature_store_model_features ON ml_feature_store (model_version, training_run_id) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_feature_store_freshness ON ml_feature_store (extraction_timestamp DESC, feature_freshness_hours) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_feature_store_quality ON ml_feature_store (data_quality_score DESC, usage_count DESC) WHERE deleted_at IS NULL;
CREATE INDEX idx_ml_feature_store_features_gin ON ml_feature_store USING gin (features) WHERE deleted_at IS NULL;

CREATE TABLE ml_audit_logs (LIKE public.ml_audit_logs INCLUDING DEFAULTS);
ALTER TABLE ml_audit_logs ADD PRIMARY KEY (id), ADD FOREIGN KEY (model_id) REFERENCES public.ml_models, ADD FOREIGN KEY (user_id) REFERENCES users,
	ADD FOREIGN KEY (organization_id) REFERENCES organizations;
CREATE INDEX idx_ml_audit_logs_user_activity ON ml_audit_logs (user_id, timestamp DESC);
CREATE INDEX idx_ml_audit_logs_compliance ON ml_audit_logs (organization_id, operation_type, timestamp DESC) WHERE gdpr_data_processed = true OR pii_data_accessed = true;
CREATE INDEX idx_ml_audit_logs_security ON ml_audit_logs (ip_address, timestamp DESC) WHERE operation_status = 'failure';
CREATE INDEX idx_ml_audit_logs_business_impact ON ml_audit_logs (organization_id, business_impact_type, business_impact_value DESC) WHERE business_impact_value IS NOT NULL;

CREATE TABLE db_connection_pool_metrics (LIKE public.db_connection_pool_metrics INCLUDING DEFAULTS);
ALTER TABLE db_connection_pool_metrics ADD PRIMARY KEY (id), ADD FOREIGN KEY (organization_id) REFERENCES organizations;
CREATE INDEX idx_db_pool_metrics_timeline ON db_connection_pool_metrics (timestamp DESC);
CREATE INDEX idx_db_pool_metrics_performance ON db_connection_pool_metrics (avg_query_time_ms DESC, active_connections DESC);
CREATE INDEX idx_db_pool_metrics_ml_performance ON db_connection_pool_metrics (ml_query_avg_time_ms DESC, timestamp DESC);

ANALYZE requested.service_events, requested.ml_vector_metadata, requested.ml_feature_store;
