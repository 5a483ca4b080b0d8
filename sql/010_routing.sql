-- SPDX-License-Identifier: ISC
-- route_ml_query(): which lane a statement of a kind would get now. It answers from the rules that pglane itself follows and from what its instances said of
-- themselves in the last minute. What pglane does is decided by its configuration; ml_lanes has the default sizes and is to be kept like it.

SET LOCAL ROLE ml_owner;

CREATE TABLE public.ml_lanes (
	lane text PRIMARY KEY,
	pool_name text NOT NULL,
	size integer NOT NULL CHECK (size >= 0),
	statement_timeout_ms integer CHECK (statement_timeout_ms > 0),
	-- A full lane takes permits of spill_to while fewer than spill_below of those are in use.
	spill_to text REFERENCES public.ml_lanes,
	spill_below integer CHECK (spill_below >= 0)
);
INSERT INTO public.ml_lanes VALUES ('default', 'default', 120, 30000, NULL, NULL), ('ml', 'ml_dedicated', 30, 30000, 'default', 100),
	('vector', 'vector', 15, 5000, NULL, NULL), ('training', 'training', 10, 300000, NULL, NULL), ('priority', 'high_priority', 5, NULL, NULL, NULL);
GRANT SELECT ON public.ml_lanes TO ml_service, ml_proxy, ml_engineer, data_scientist;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.ml_lanes TO ml_migrator;

-- Permits in use, over all instances whose last word is younger than a minute. The rows of metrics do not tell default from priority.
CREATE FUNCTION public.ml_present_load(OUT n_instances integer, OUT default_in_use bigint, OUT ml_in_use bigint, OUT vector_in_use bigint, OUT training_in_use bigint,
	OUT waiting bigint) LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT count(*), sum(active_connections - ml_dedicated_active - vector_operation_active - training_job_active), sum(ml_dedicated_active), sum(vector_operation_active),
		sum(training_job_active), sum(waiting_connections)
	FROM (SELECT DISTINCT ON (instance_id, pool_name) active_connections, coalesce(ml_dedicated_active, 0) AS ml_dedicated_active,
			coalesce(vector_operation_active, 0) AS vector_operation_active, coalesce(training_job_active, 0) AS training_job_active, waiting_connections
		FROM public.db_connection_pool_metrics WHERE timestamp > now() - interval '1 minute' AND timestamp <= now() + interval '1 minute'
		ORDER BY instance_id, pool_name, timestamp DESC) newest
$$;

CREATE FUNCTION public.route_ml_query(p_query_type varchar(50), p_organization_id uuid, p_priority integer DEFAULT 5) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	class text := CASE p_query_type WHEN 'vector_search' THEN 'vector' WHEN 'ml_training' THEN 'training' WHEN 'spatial_ml_hybrid' THEN 'hybrid'
		WHEN 'prediction_serving' THEN 'serving' WHEN 'vector' THEN 'vector' WHEN 'training' THEN 'training' WHEN 'hybrid' THEN 'hybrid' WHEN 'serving' THEN 'serving'
		ELSE 'default' END;
	home public.ml_lanes;
	given public.ml_lanes;
	other public.ml_lanes;
	load record;
	in_use jsonb;
	is_free boolean := true;
BEGIN
	IF p_query_type IS NULL OR p_priority IS NULL THEN
		RAISE EXCEPTION 'p_query_type and p_priority must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF p_priority NOT BETWEEN 1 AND 10 THEN
		RAISE EXCEPTION 'p_priority must be between 1 and 10, not %', p_priority USING ERRCODE = 'invalid_parameter_value';
	END IF;
	IF p_organization_id IS NOT NULL THEN
		PERFORM public.ml_require_organization(p_organization_id);
	END IF;
	SELECT * INTO STRICT home FROM public.ml_lanes WHERE lane = CASE WHEN class IN ('hybrid', 'serving') THEN 'ml' ELSE class END;
	SELECT * INTO load FROM public.ml_present_load();
	in_use := jsonb_build_object('default', load.default_in_use, 'ml', load.ml_in_use, 'vector', load.vector_in_use, 'training', load.training_in_use);
	given := home;
	-- As pglane does: its own lane, else the urgent one, else where it may spill, else it waits for its own.
	IF load.n_instances > 0 AND (in_use ->> home.lane)::bigint >= home.size::bigint * load.n_instances THEN
		is_free := false;
		IF p_priority >= 8 THEN
			SELECT * INTO other FROM public.ml_lanes WHERE lane = 'priority' AND size > 0;
			is_free := FOUND;
		END IF;
		IF NOT is_free AND home.spill_to IS NOT NULL AND (in_use ->> home.spill_to)::bigint < home.spill_below::bigint * load.n_instances THEN
			SELECT * INTO STRICT other FROM public.ml_lanes WHERE lane = home.spill_to;
			is_free := true;
		END IF;
		IF is_free THEN
			given := other;
		END IF;
	END IF;
	RETURN jsonb_build_object(
		'routing_strategy', CASE class WHEN 'vector' THEN 'vector_optimized' WHEN 'training' THEN 'training_dedicated' WHEN 'hybrid' THEN 'hybrid_optimized'
			WHEN 'serving' THEN 'low_latency' ELSE 'default' END,
		'recommended_pool', given.pool_name,
		'cache_strategy', CASE class WHEN 'vector' THEN 'vector_cache' WHEN 'serving' THEN 'prediction_cache' ELSE 'default_cache' END,
		'timeout_ms', home.statement_timeout_ms,
		'class', class, 'lane', given.lane, 'priority', p_priority, 'would_wait', NOT is_free,
		'basis', CASE WHEN load.n_instances > 0 THEN 'live' ELSE 'no_metrics' END,
		'instances', load.n_instances);
END
$$;
GRANT EXECUTE ON FUNCTION public.route_ml_query(varchar, uuid, integer) TO ml_service, ml_engineer, data_scientist, ml_proxy;

RESET ROLE;
