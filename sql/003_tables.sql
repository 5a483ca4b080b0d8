-- SPDX-License-Identifier: ISC
-- All tables but the pool's metrics (004), and who may see which organization's rows.
--
-- Names, columns and types are those that applications were promised; what was added has a default or may be null. Foreign keys to
-- tables of the application (organizations, users) come with 007, because those tables may not be there.
--
-- organization_id takes the session's ml.organization_id when a statement does not name one. A row without organization belongs to
-- nobody: only roles that serve all organizations see it.

SET LOCAL ROLE ml_owner;

CREATE FUNCTION public.ml_session_organization() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
	RETURN nullif(pg_catalog.current_setting('ml.organization_id', true), '')::uuid;
GRANT EXECUTE ON FUNCTION public.ml_session_organization() TO PUBLIC;
COMMENT ON FUNCTION public.ml_session_organization() IS 'ml.organization_id of the session, null when it is not set';

CREATE TABLE public.ml_vector_metadata (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	entity_type varchar(50) NOT NULL,
	entity_id uuid NOT NULL,
	vector_id varchar(255) NOT NULL,
	vector_version integer NOT NULL DEFAULT 1 CHECK (vector_version > 0),
	embedding_model varchar(100),
	vectorization_timestamp timestamptz NOT NULL DEFAULT now(),
	vector_dimensions integer CHECK (vector_dimensions > 0),
	vector_checksum varchar(64),

	generation_time_ms integer,
	last_search_used timestamptz,
	search_frequency_count integer NOT NULL DEFAULT 0,

	organization_id uuid DEFAULT public.ml_session_organization(),
	created_by uuid,

	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz,

	CONSTRAINT ml_vector_metadata_entity_unique UNIQUE NULLS NOT DISTINCT (entity_type, entity_id, vector_version, deleted_at),
	CONSTRAINT ml_vector_metadata_vector_id_unique UNIQUE NULLS NOT DISTINCT (entity_type, vector_id, vector_version, deleted_at)
) WITH (fillfactor = 90);

CREATE TABLE public.ml_feature_store (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	feature_set_name varchar(100) NOT NULL,
	feature_version varchar(100) NOT NULL,
	entity_type varchar(50) NOT NULL,
	entity_id uuid NOT NULL,

	features jsonb NOT NULL,
	feature_schema jsonb NOT NULL,
	feature_importance jsonb,

	model_version varchar(100),
	training_run_id uuid,
	extraction_timestamp timestamptz NOT NULL DEFAULT now(),
	feature_freshness_hours integer CHECK (feature_freshness_hours >= 0),

	source_tables text[],
	transformation_pipeline text,
	data_quality_score decimal(5,4),

	feature_generation_time_ms integer,
	feature_size_bytes integer,
	usage_count integer NOT NULL DEFAULT 0,
	last_used timestamptz,

	organization_id uuid DEFAULT public.ml_session_organization(),
	created_by uuid,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz,

	-- Through UTC, because adding an interval to a timestamptz depends on the session's zone.
	expires_at timestamptz GENERATED ALWAYS AS
		(((extraction_timestamp AT TIME ZONE 'UTC') + make_interval(hours => feature_freshness_hours)) AT TIME ZONE 'UTC') STORED,

	CONSTRAINT ml_feature_store_feature_set_unique
		UNIQUE NULLS NOT DISTINCT (feature_set_name, feature_version, entity_type, entity_id, organization_id, deleted_at),
	CONSTRAINT ml_feature_store_quality_check CHECK (data_quality_score BETWEEN 0.0 AND 1.0)
);

-- What a set of features was at each time; written by triggers on ml_feature_store (009). features is null from when the set was deleted.
CREATE TABLE public.ml_feature_store_history (
	id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	feature_id uuid NOT NULL,
	feature_set_name varchar(100) NOT NULL,
	feature_version varchar(100) NOT NULL,
	entity_type varchar(50) NOT NULL,
	entity_id uuid NOT NULL,
	organization_id uuid,
	features jsonb,
	extraction_timestamp timestamptz NOT NULL,
	expires_at timestamptz,
	recorded_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.ml_models (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	model_name varchar(100) NOT NULL,
	model_version varchar(100) NOT NULL,
	model_type varchar(50) NOT NULL,

	model_config jsonb NOT NULL,
	hyperparameters jsonb,
	feature_set_version varchar(100),
	training_data_version varchar(100),

	training_metrics jsonb,
	validation_metrics jsonb,
	test_metrics jsonb,
	performance_benchmark jsonb,

	model_file_path text,
	model_file_hash varchar(64),
	model_size_bytes bigint,
	serialization_format varchar(50),

	deployment_status varchar(50) NOT NULL DEFAULT 'training',
	deployment_timestamp timestamptz,
	rollback_model_id uuid REFERENCES public.ml_models (id) ON DELETE SET NULL,

	business_metric_impact jsonb,
	a_b_test_results jsonb,

	drift_detection_config jsonb,
	performance_thresholds jsonb,
	alert_config jsonb,

	organization_id uuid DEFAULT public.ml_session_organization(),
	created_by uuid,
	trained_by uuid,
	deployed_by uuid,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz,

	-- Two versions of a model may be in production at once only as variants of a test.
	ab_variant varchar(50),

	CONSTRAINT ml_models_name_version_unique UNIQUE NULLS NOT DISTINCT (organization_id, model_name, model_version, deleted_at),
	CONSTRAINT ml_models_status_check CHECK (deployment_status IN ('training', 'staging', 'production', 'retired'))
);

CREATE TABLE public.ml_predictions (
	id uuid NOT NULL DEFAULT gen_random_uuid(),
	model_id uuid NOT NULL REFERENCES public.ml_models (id) ON DELETE RESTRICT,
	prediction_type varchar(50) NOT NULL,

	input_features jsonb NOT NULL,
	input_feature_hash varchar(64),
	entity_type varchar(50),
	entity_id uuid,

	prediction_result jsonb NOT NULL,
	confidence_score decimal(5,4),
	prediction_timestamp timestamptz NOT NULL DEFAULT now(),

	inference_time_ms integer,
	model_load_time_ms integer,
	total_response_time_ms integer,

	business_context jsonb,
	user_feedback jsonb,
	actual_outcome jsonb,
	outcome_timestamp timestamptz,

	prediction_accuracy decimal(5,4),
	prediction_error decimal(18,6),
	prediction_bias decimal(18,6),

	anomaly_detected boolean NOT NULL DEFAULT false,
	drift_detected boolean NOT NULL DEFAULT false,
	quality_alert_triggered boolean NOT NULL DEFAULT false,

	organization_id uuid DEFAULT public.ml_session_organization(),
	requested_by uuid,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),

	CONSTRAINT ml_predictions_pkey PRIMARY KEY (id, prediction_timestamp),
	CONSTRAINT ml_predictions_confidence_check CHECK (confidence_score BETWEEN 0.0 AND 1.0),
	CONSTRAINT ml_predictions_accuracy_check CHECK (prediction_accuracy IS NULL OR prediction_accuracy BETWEEN 0.0 AND 1.0)
) PARTITION BY RANGE (prediction_timestamp);
CREATE TABLE public.ml_predictions_default PARTITION OF public.ml_predictions DEFAULT;

-- The name by which the partitioned table was first asked for.
CREATE VIEW public.ml_predictions_monthly WITH (security_invoker = true) AS SELECT * FROM public.ml_predictions;

-- The audit log states facts: it has no foreign keys, so that who is erased elsewhere can be erased, and a row stays as it was written.
CREATE TABLE public.ml_audit_logs (
	id uuid NOT NULL DEFAULT gen_random_uuid(),
	timestamp timestamptz NOT NULL DEFAULT now(),

	operation_type varchar(50) NOT NULL,
	operation_subtype varchar(50),
	model_id uuid,

	user_id uuid,
	organization_id uuid DEFAULT public.ml_session_organization(),
	session_id varchar(255),
	request_id varchar(255),

	data_accessed jsonb,
	data_sources text[],
	data_volume_rows integer,
	data_sensitivity_level varchar(20),

	operation_params jsonb,
	operation_result jsonb,
	operation_duration_ms integer,
	operation_status varchar(20),

	gdpr_data_processed boolean NOT NULL DEFAULT false,
	pii_data_accessed boolean NOT NULL DEFAULT false,
	data_retention_policy varchar(50),
	consent_verification jsonb,

	ip_address inet,
	user_agent text,
	api_endpoint text,
	security_context jsonb,

	error_message text,
	error_code varchar(50),
	error_context jsonb,

	business_impact_type varchar(50),
	business_impact_value decimal(12,2),
	business_impact_currency varchar(3) DEFAULT 'USD',

	CONSTRAINT ml_audit_logs_pkey PRIMARY KEY (id, timestamp)
) PARTITION BY RANGE (timestamp);
CREATE TABLE public.ml_audit_logs_default PARTITION OF public.ml_audit_logs DEFAULT;

-- The register of keys. A key itself is never in the database: key_hash tells whether a key that is at hand is the right one.
CREATE TABLE public.ml_encryption_keys (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	key_name varchar(100) NOT NULL CHECK (key_name !~ ':'),
	key_type varchar(50) NOT NULL,

	encryption_algorithm varchar(50) NOT NULL DEFAULT 'AES-256-CBC+HMAC-SHA256',
	key_version integer NOT NULL DEFAULT 1 CHECK (key_version > 0),
	key_status varchar(20) NOT NULL DEFAULT 'active',

	created_at timestamptz NOT NULL DEFAULT now(),
	expires_at timestamptz,
	rotated_from uuid REFERENCES public.ml_encryption_keys (id),
	rotation_schedule varchar(50),

	key_hash varchar(64) NOT NULL,
	access_control jsonb,

	created_by uuid,
	last_used timestamptz,
	usage_count integer NOT NULL DEFAULT 0,

	-- Where the server reads the key: an absolute path outside the data directory. Null: the key comes with each call.
	key_file text CHECK (key_file LIKE '/%'),

	CONSTRAINT ml_encryption_keys_name_version_unique UNIQUE (key_name, key_version),
	CONSTRAINT ml_encryption_keys_status_check CHECK (key_status IN ('active', 'rotating', 'deprecated'))
);

-- An entity whose vector must follow. One row an entity, however often it changes; gen counts the changes. leased_until is apart from
-- next_attempt: a change during a lease must not hand the entity to a second worker.
CREATE TABLE public.ml_vector_outbox (
	entity_type varchar(50) NOT NULL,
	entity_id uuid NOT NULL,
	op char(1) NOT NULL DEFAULT 'U', -- or 'D'; no CHECK, which every note would parse anew
	organization_id uuid,
	gen bigint NOT NULL DEFAULT 1,
	attempts integer NOT NULL DEFAULT 0,
	next_attempt timestamptz NOT NULL DEFAULT now(),
	leased_until timestamptz,
	lease bigint,
	last_error text,
	enqueued_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (entity_id, entity_type) -- ids first: they tell rows apart at once
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_cost_delay = 0,
	autovacuum_analyze_scale_factor = 0.2);

-- What could not be brought to the vector store after many attempts, or never can.
CREATE TABLE public.ml_vector_dead (
	entity_type varchar(50) NOT NULL,
	entity_id uuid NOT NULL,
	op char(1) NOT NULL,
	organization_id uuid,
	gen bigint NOT NULL,
	attempts integer NOT NULL,
	last_error text,
	enqueued_at timestamptz NOT NULL,
	died_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (entity_type, entity_id)
);

-- How often a vector was found, by hour. rolled_up: already counted in ml_vector_metadata.
CREATE TABLE public.ml_vector_search_stats (
	hour timestamptz NOT NULL,
	metadata_id uuid NOT NULL REFERENCES public.ml_vector_metadata (id) ON DELETE CASCADE,
	hits bigint NOT NULL CHECK (hits > 0),
	rolled_up bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (hour, metadata_id)
) WITH (fillfactor = 80);

-- Row (role, organization): members of the role see that organization. Row (role, null): they may name any in ml.organization_id, which
-- protects against a forgotten condition, not against them.
CREATE TABLE public.ml_role_organizations (
	role_name name NOT NULL,
	organization_id uuid,
	granted_at timestamptz NOT NULL DEFAULT now(),
	granted_by name NOT NULL DEFAULT session_user,
	CONSTRAINT ml_role_organizations_unique UNIQUE NULLS NOT DISTINCT (role_name, organization_id)
);

-- ---- who sees what ----

-- The role that asks, also inside a function that runs as its owner: what SET ROLE chose, else who logged in. Called from an application's
-- own SECURITY DEFINER function it is still who logged in.
CREATE FUNCTION public.ml_caller() RETURNS name LANGUAGE sql STABLE PARALLEL SAFE
	RETURN CASE WHEN pg_catalog.current_setting('role') IN ('none', '') THEN session_user ELSE pg_catalog.current_setting('role')::name END;
GRANT EXECUTE ON FUNCTION public.ml_caller() TO PUBLIC;

CREATE FUNCTION public.ml_sees_all() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
	RETURN pg_catalog.pg_has_role(public.ml_caller(), 'ml_service', 'USAGE') OR pg_catalog.pg_has_role(public.ml_caller(), 'ml_owner', 'USAGE');
GRANT EXECUTE ON FUNCTION public.ml_sees_all() TO PUBLIC;

-- The organizations of a caller that does not see all. Roles that were dropped since are skipped.
CREATE FUNCTION public.ml_visible_organizations() RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER ROWS 4
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
	SELECT DISTINCT coalesce(o.organization_id, public.ml_session_organization())
	FROM public.ml_role_organizations o JOIN pg_catalog.pg_roles r ON r.rolname = o.role_name
	WHERE pg_catalog.pg_has_role(public.ml_caller(), r.oid, 'USAGE')
		AND (o.organization_id = public.ml_session_organization() OR public.ml_session_organization() IS NULL OR o.organization_id IS NULL)
		AND coalesce(o.organization_id, public.ml_session_organization()) IS NOT NULL;
END;
GRANT EXECUTE ON FUNCTION public.ml_visible_organizations() TO PUBLIC;

-- True, or an error: for functions that answer about one organization. May be a constant condition of a query.
CREATE FUNCTION public.ml_require_organization(p_organization_id uuid) RETURNS boolean LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF public.ml_sees_all() THEN
		RETURN true;
	END IF;
	IF p_organization_id IS NULL THEN
		RAISE EXCEPTION 'an organization is required' USING ERRCODE = 'null_value_not_allowed',
			DETAIL = format('Role "%s" does not serve all organizations.', public.ml_caller()),
			HINT = 'Give p_organization_id.';
	END IF;
	IF NOT EXISTS (SELECT FROM public.ml_visible_organizations() visible WHERE visible = p_organization_id) THEN
		RAISE EXCEPTION 'role "%" may not see organization %', public.ml_caller(), p_organization_id USING ERRCODE = 'insufficient_privilege',
			HINT = 'Who may see what is in ml_role_organizations; ml.organization_id of the session narrows it.';
	END IF;
	RETURN true;
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_require_organization(uuid) TO PUBLIC;

-- ---- updated_at ----

CREATE FUNCTION public.ml_touch_updated_at() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	NEW.updated_at := now();
	RETURN NEW;
END
$$;

CREATE TRIGGER ml_touch BEFORE UPDATE ON public.ml_vector_metadata FOR EACH ROW EXECUTE FUNCTION public.ml_touch_updated_at();
CREATE TRIGGER ml_touch BEFORE UPDATE ON public.ml_feature_store FOR EACH ROW EXECUTE FUNCTION public.ml_touch_updated_at();
CREATE TRIGGER ml_touch BEFORE UPDATE ON public.ml_models FOR EACH ROW EXECUTE FUNCTION public.ml_touch_updated_at();
CREATE TRIGGER ml_touch BEFORE UPDATE ON public.ml_predictions FOR EACH ROW EXECUTE FUNCTION public.ml_touch_updated_at();

-- ---- rights; which rows each role gets of them is decided by 016 ----

GRANT SELECT, INSERT, UPDATE, DELETE ON public.ml_vector_metadata, public.ml_feature_store, public.ml_models, public.ml_predictions TO ml_service;
GRANT SELECT, INSERT, UPDATE ON public.ml_feature_store, public.ml_models, public.ml_predictions TO ml_engineer;
GRANT SELECT ON public.ml_vector_metadata TO ml_engineer;
GRANT SELECT ON public.ml_vector_metadata, public.ml_feature_store, public.ml_models, public.ml_predictions TO data_scientist;
GRANT SELECT ON public.ml_predictions_monthly TO ml_service, ml_engineer, data_scientist;
GRANT INSERT, UPDATE, DELETE ON public.ml_predictions_monthly TO ml_service;
GRANT INSERT, UPDATE ON public.ml_predictions_monthly TO ml_engineer;
GRANT SELECT ON public.ml_feature_store_history TO ml_service, ml_engineer, data_scientist;
GRANT SELECT, INSERT, UPDATE ON public.ml_vector_metadata TO ml_proxy;
GRANT SELECT, INSERT ON public.ml_audit_logs TO ml_service;
GRANT INSERT ON public.ml_audit_logs TO ml_proxy, ml_engineer;
GRANT SELECT ON public.ml_audit_logs TO ml_auditor;
GRANT SELECT ON public.ml_vector_outbox, public.ml_vector_dead, public.ml_vector_search_stats TO ml_proxy, ml_service;
GRANT SELECT ON public.ml_encryption_keys TO ml_auditor;
GRANT SELECT ON public.ml_role_organizations TO ml_auditor;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.ml_role_organizations TO ml_migrator;

RESET ROLE;
