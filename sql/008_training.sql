-- SPDX-License-Identifier: ISC
-- Training data: get_ml_training_dataset() as it was asked for, in JSON, and functions that give typed rows, several times faster in bulk.
--
-- One row an entity that is there and not deleted: that of the latest version of its vector that is not deleted. What is known of it is what its
-- ml_source view shows. p_date_range_start and _end are about vectorization_timestamp, as they always were; p_event_from and p_event_to about the time of the
-- event itself, from inclusive, to exclusive.

SET LOCAL ROLE ml_owner;

-- Refuses what would otherwise come back as an empty or unbounded answer. The view that is to be read.
CREATE FUNCTION public.ml_training_check(p_entity_type text, p_organization_id uuid, p_date_range_start timestamptz, p_date_range_end timestamptz, p_limit integer,
	p_event_from timestamptz, p_event_to timestamptz) RETURNS regclass LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	source regclass := public.ml_require_source(p_entity_type);
BEGIN
	PERFORM public.ml_require_organization(p_organization_id);
	IF p_limit IS NULL THEN
		RAISE EXCEPTION 'p_limit must not be null' USING ERRCODE = 'null_value_not_allowed', HINT = 'Say how many rows you want at most; the default is 10000.';
	ELSIF p_limit < 1 THEN
		RAISE EXCEPTION 'p_limit must be at least 1, not %', p_limit USING ERRCODE = 'invalid_row_count_in_limit_clause';
	ELSIF p_date_range_start > p_date_range_end THEN
		RAISE EXCEPTION 'p_date_range_start (%) is after p_date_range_end (%)', p_date_range_start, p_date_range_end USING ERRCODE = 'invalid_parameter_value';
	ELSIF p_event_from >= p_event_to THEN
		RAISE EXCEPTION 'p_event_from (%) is not before p_event_to (%)', p_event_from, p_event_to USING ERRCODE = 'invalid_parameter_value';
	END IF;
	RETURN source;
END
$$;

-- A query over m (ml_vector_metadata) and s (the source). $1 type, $2 organization, $3 and $4 vectorized from and to, $5 limit, $6 and $7 event from and to.
-- Conditions on what is null are left out, so that each call is planned for what it asks.
CREATE FUNCTION public.ml_training_sql(p_source regclass, p_select text, p_organization_id uuid, p_date_range_start timestamptz, p_date_range_end timestamptz,
	p_event_from timestamptz, p_event_to timestamptz) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('SELECT %s FROM public.ml_vector_metadata m JOIN %s s ON s.id = m.entity_id WHERE m.entity_type = $1 AND m.deleted_at IS NULL
		AND NOT EXISTS (SELECT FROM public.ml_vector_metadata newer WHERE newer.entity_type = $1 AND newer.entity_id = m.entity_id AND newer.deleted_at IS NULL
			AND newer.vector_version > m.vector_version)', p_select, p_source)
		|| CASE WHEN p_organization_id IS NOT NULL THEN ' AND s.organization_id = $2' ELSE '' END
		|| CASE WHEN p_date_range_start IS NOT NULL THEN ' AND m.vectorization_timestamp >= $3' ELSE '' END
		|| CASE WHEN p_date_range_end IS NOT NULL THEN ' AND m.vectorization_timestamp <= $4' ELSE '' END
		|| CASE WHEN p_event_from IS NOT NULL THEN ' AND s.event_time >= $6' ELSE '' END
		|| CASE WHEN p_event_to IS NOT NULL THEN ' AND s.event_time < $7' ELSE '' END
		|| ' ORDER BY m.vectorization_timestamp DESC, m.id LIMIT $5'
$$;

-- The function without the two last parameters, if somebody made it by hand: calls would be ambiguous.
DROP FUNCTION IF EXISTS public.get_ml_training_dataset(varchar, uuid, timestamptz, timestamptz, integer);

CREATE FUNCTION public.get_ml_training_dataset(
	p_entity_type varchar(50), p_organization_id uuid DEFAULT NULL, p_date_range_start timestamptz DEFAULT NULL, p_date_range_end timestamptz DEFAULT NULL,
	p_limit integer DEFAULT 10000, p_event_from timestamptz DEFAULT NULL, p_event_to timestamptz DEFAULT NULL
) RETURNS TABLE (entity_id uuid, entity_data jsonb, vector_metadata jsonb, spatial_context jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET jit = off AS $$
DECLARE
	source regclass := public.ml_training_check(p_entity_type, p_organization_id, p_date_range_start, p_date_range_end, p_limit, p_event_from, p_event_to);
	columns text := (SELECT string_agg(format('s.%I', attname), ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = source AND attnum > 0 AND NOT attisdropped AND attname NOT IN ('event_time', 'spatial_context')
			-- Places are in spatial_context already, and numbers are what JSON is slow at.
			AND (attname !~ '(^|_)(longitude|latitude)$' OR public.ml_column_type(source, 'spatial_context') IS NULL));
	spatial text := CASE WHEN public.ml_column_type(source, 'spatial_context') IS NULL THEN '''{}''::jsonb' ELSE 's.spatial_context' END;
BEGIN
	RETURN QUERY EXECUTE public.ml_training_sql(source,
		format('m.entity_id, (SELECT to_jsonb(data) FROM (SELECT %s) data), to_jsonb(m), %s', columns, spatial),
		p_organization_id, p_date_range_start, p_date_range_end, p_event_from, p_event_to)
		USING p_entity_type, p_organization_id, p_date_range_start, p_date_range_end, p_limit, p_event_from, p_event_to;
END
$$;

CREATE FUNCTION public.ml_training_service_events(
	p_organization_id uuid DEFAULT NULL, p_date_range_start timestamptz DEFAULT NULL, p_date_range_end timestamptz DEFAULT NULL,
	p_limit integer DEFAULT 10000, p_event_from timestamptz DEFAULT NULL, p_event_to timestamptz DEFAULT NULL
) RETURNS TABLE (entity_id uuid, organization_id uuid, customer_id uuid, bin_id uuid, route_id uuid, vehicle_id uuid, event_type text, status text, priority integer,
	service_date timestamptz, description text, duration_minutes float8, weight_kg float8, fill_percent float8, longitude float8, latitude float8,
	customer_longitude float8, customer_latitude float8, vector_id varchar, vector_version integer, embedding_model varchar, vectorization_timestamp timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET jit = off AS $$
BEGIN
	RETURN QUERY EXECUTE public.ml_training_sql(
		public.ml_training_check('service_event', p_organization_id, p_date_range_start, p_date_range_end, p_limit, p_event_from, p_event_to),
		's.id, s.organization_id, s.customer_id, s.bin_id, s.route_id, s.vehicle_id, s.event_type, s.status, s.priority, s.service_date, s.description, s.duration_minutes, s.weight_kg,
		s.fill_percent, s.longitude, s.latitude, s.customer_longitude, s.customer_latitude, m.vector_id, m.vector_version, m.embedding_model, m.vectorization_timestamp',
		p_organization_id, p_date_range_start, p_date_range_end, p_event_from, p_event_to)
		USING 'service_event', p_organization_id, p_date_range_start, p_date_range_end, p_limit, p_event_from, p_event_to;
END
$$;

CREATE FUNCTION public.ml_training_customers(
	p_organization_id uuid DEFAULT NULL, p_date_range_start timestamptz DEFAULT NULL, p_date_range_end timestamptz DEFAULT NULL,
	p_limit integer DEFAULT 10000, p_event_from timestamptz DEFAULT NULL, p_event_to timestamptz DEFAULT NULL
) RETURNS TABLE (entity_id uuid, organization_id uuid, customer_type text, service_tier text, status text, contract_start date, monthly_fee float8, created_at timestamptz,
	longitude float8, latitude float8, vector_id varchar, vector_version integer, embedding_model varchar, vectorization_timestamp timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET jit = off AS $$
BEGIN
	RETURN QUERY EXECUTE public.ml_training_sql(
		public.ml_training_check('customer_behavior', p_organization_id, p_date_range_start, p_date_range_end, p_limit, p_event_from, p_event_to),
		's.id, s.organization_id, s.customer_type, s.service_tier, s.status, s.contract_start, s.monthly_fee, s.created_at, s.longitude, s.latitude,
		m.vector_id, m.vector_version, m.embedding_model, m.vectorization_timestamp',
		p_organization_id, p_date_range_start, p_date_range_end, p_event_from, p_event_to)
		USING 'customer_behavior', p_organization_id, p_date_range_start, p_date_range_end, p_limit, p_event_from, p_event_to;
END
$$;

CREATE FUNCTION public.ml_training_routes(
	p_organization_id uuid DEFAULT NULL, p_date_range_start timestamptz DEFAULT NULL, p_date_range_end timestamptz DEFAULT NULL,
	p_limit integer DEFAULT 10000, p_event_from timestamptz DEFAULT NULL, p_event_to timestamptz DEFAULT NULL
) RETURNS TABLE (entity_id uuid, organization_id uuid, vehicle_id uuid, status text, route_date date, total_distance float8, total_duration float8, stop_count integer,
	start_longitude float8, start_latitude float8, route_geometry jsonb, vector_id varchar, vector_version integer, embedding_model varchar, vectorization_timestamp timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET work_mem = '64MB' SET jit = off AS $$
BEGIN
	RETURN QUERY EXECUTE public.ml_training_sql(
		public.ml_training_check('route_optimization', p_organization_id, p_date_range_start, p_date_range_end, p_limit, p_event_from, p_event_to),
		's.id, s.organization_id, s.vehicle_id, s.status, s.route_date, s.total_distance, s.total_duration, s.stop_count, s.start_longitude, s.start_latitude,
		s.spatial_context -> ''route_geometry'', m.vector_id, m.vector_version, m.embedding_model, m.vectorization_timestamp',
		p_organization_id, p_date_range_start, p_date_range_end, p_event_from, p_event_to)
		USING 'route_optimization', p_organization_id, p_date_range_start, p_date_range_end, p_limit, p_event_from, p_event_to;
END
$$;

GRANT EXECUTE ON FUNCTION public.get_ml_training_dataset(varchar, uuid, timestamptz, timestamptz, integer, timestamptz, timestamptz),
	public.ml_training_service_events(uuid, timestamptz, timestamptz, integer, timestamptz, timestamptz),
	public.ml_training_customers(uuid, timestamptz, timestamptz, integer, timestamptz, timestamptz),
	public.ml_training_routes(uuid, timestamptz, timestamptz, integer, timestamptz, timestamptz)
	TO ml_service, ml_engineer, data_scientist;

RESET ROLE;
