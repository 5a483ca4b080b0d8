-- SPDX-License-Identifier: ISC
-- Searches that meet in SQL: the hits of a vector search as rows, and the entities near a place with their vectors.

SET LOCAL ROLE ml_owner;

-- The hits that pglane has put into the transaction: [["uuid", distance, score], ...] in the setting pglane.<slot>. None are set: no rows.
-- It has no SET clause, so that it is planned into the statement that uses it; therefore every name is qualified.
-- Hits carry no authority: anybody may set them, and they only pick among rows that the statement may read anyway.
CREATE FUNCTION public.ml_vector_hits(slot text DEFAULT 'hits') RETURNS TABLE (id uuid, distance real, score real, rank integer)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 100 AS $$
	SELECT coalesce(hit ->> 0, '')::uuid, (hit ->> 1)::real, (hit ->> 2)::real, place::integer
	FROM pg_catalog.jsonb_array_elements(nullif(pg_catalog.current_setting(pg_catalog.concat('pglane.', slot), true), '')::pg_catalog.jsonb)
		WITH ORDINALITY list (hit, place)
$$;
GRANT EXECUTE ON FUNCTION public.ml_vector_hits(text) TO PUBLIC;

-- Entities within p_radius_m metres of a place that have a vector, nearest first, each with its latest version. Without p_limit it gives all: cutting off before
-- similarity is known would drop the best ones.
-- It reads the application's table as its owner, with the organization as a condition of its own: row security on that table would keep the spatial index from
-- being used.
CREATE FUNCTION public.ml_spatial_candidates(p_longitude float8, p_latitude float8, p_radius_m float8, p_organization_id uuid DEFAULT NULL,
	p_entity_type text DEFAULT 'service_event', p_limit integer DEFAULT NULL)
RETURNS TABLE (entity_id uuid, vector_id varchar, vector_version integer, distance_m float8)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
	gis text := public.ml_postgis();
	place record;
	base regclass;
	location text;
BEGIN
	PERFORM public.ml_require_source(p_entity_type);
	PERFORM public.ml_require_organization(p_organization_id);
	IF num_nulls(p_longitude, p_latitude, p_radius_m) > 0 THEN
		RAISE EXCEPTION 'p_longitude, p_latitude and p_radius_m must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF p_longitude NOT BETWEEN -180 AND 180 OR p_latitude NOT BETWEEN -90 AND 90 THEN
		RAISE EXCEPTION 'longitude % and latitude % are no place', p_longitude, p_latitude USING ERRCODE = 'numeric_value_out_of_range',
			HINT = 'Longitude comes first, from -180 to 180; latitude is from -90 to 90.';
	ELSIF NOT (p_radius_m > 0 AND p_radius_m <= 20037508) THEN
		RAISE EXCEPTION 'p_radius_m must be metres between 0 and half the Earth''s circumference, not %', p_radius_m USING ERRCODE = 'numeric_value_out_of_range';
	ELSIF p_limit < 1 THEN
		RAISE EXCEPTION 'p_limit must be at least 1, not %', p_limit USING ERRCODE = 'invalid_row_count_in_limit_clause';
	END IF;
	SELECT * INTO place FROM public.ml_entity_tables() t WHERE t.entity_type = p_entity_type;
	base := to_regclass(format('public.%I', place.table_name));
	IF base IS NULL OR NOT public.ml_is_spatial(base, place.location_column) THEN
		RAISE EXCEPTION 'entity type "%" has no place', p_entity_type USING ERRCODE = 'undefined_column',
			DETAIL = format('The column %s.%s is missing or is neither geography nor geometry.', place.table_name, place.location_column);
	END IF;
	location := format('e.%I', place.location_column);
	IF public.ml_column_type(base, place.location_column) <> format('%s.geography', gis)::regtype THEN
		-- In the spelling of the index that 017 makes.
		location := format('(%s)::%s.geography', public.ml_geometry_sql(base, 'e', place.location_column), gis);
	END IF;
	RETURN QUERY EXECUTE format($query$
		SELECT e.id, m.vector_id, m.vector_version, %1$s.ST_Distance(%2$s, $1)
		FROM %3$s e JOIN public.ml_vector_metadata m ON m.entity_type = $3 AND m.entity_id = e.id AND m.deleted_at IS NULL
		WHERE %1$s.ST_DWithin(%2$s, $1, $2) AND %4$s %5$s
			AND NOT EXISTS (SELECT FROM public.ml_vector_metadata newer WHERE newer.entity_type = $3 AND newer.entity_id = e.id AND newer.deleted_at IS NULL
				AND newer.vector_version > m.vector_version)
		ORDER BY 4, 1 LIMIT $5$query$,
		gis, location, base, public.ml_live_sql(base, 'e'), CASE WHEN p_organization_id IS NOT NULL THEN 'AND e.organization_id = $4' END)
		USING public.ml_place(p_longitude, p_latitude), p_radius_m, p_entity_type, p_organization_id, p_limit;
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_spatial_candidates(float8, float8, float8, uuid, text, integer) TO ml_service, ml_engineer, data_scientist;

RESET ROLE;

-- A place as a geography. Bound when it is made, wherever PostGIS lives.
DO $$
BEGIN
	EXECUTE format('CREATE FUNCTION public.ml_place(float8, float8) RETURNS %1$s.geography LANGUAGE sql IMMUTABLE PARALLEL SAFE
		RETURN %1$s.ST_SetSRID(%1$s.ST_MakePoint($1, $2), 4326)::%1$s.geography', public.ml_postgis());
END
$$;
ALTER FUNCTION public.ml_place(float8, float8) OWNER TO ml_owner;
GRANT EXECUTE ON FUNCTION public.ml_place(float8, float8) TO PUBLIC;
