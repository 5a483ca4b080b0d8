-- SPDX-License-Identifier: ISC
-- How the ML tables meet the application's tables: foreign keys, and one view for each kind of entity that says what of it may leave.
--
-- ml_source_TYPE is the only place where that is decided, for training data and for vectors alike. The views made here list columns by name, so that a
-- column added to a table later does not leave by itself, and they hold no names, addresses, telephone numbers or free notes. An operator may
-- CREATE OR REPLACE them, or make one for a new type: it needs the columns id, organization_id and event_time, rows only of what is not deleted, and
-- SELECT for ml_owner.
--
-- The application's tables need not be there, nor all of them: a superuser says SELECT ml_attach_foundation() when they came later. What is there already
-- it leaves as it is.

SET LOCAL ROLE ml_owner;

-- The schema of PostGIS, quoted; the functions here do not look for it in a search path.
CREATE FUNCTION public.ml_postgis() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
	SELECT quote_ident(nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE extname = 'postgis'
$$;

CREATE FUNCTION public.ml_column_type(p_table regclass, p_column name) RETURNS regtype LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN typtype = 'd' THEN typbasetype ELSE t.oid END::regtype
	FROM pg_attribute JOIN pg_type t ON t.oid = atttypid WHERE attrelid = p_table AND attname = p_column AND attnum > 0 AND NOT attisdropped
$$;

CREATE FUNCTION public.ml_is_spatial(p_table regclass, p_column name) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT coalesce((SELECT typname IN ('geometry', 'geography') FROM pg_type WHERE oid = public.ml_column_type(p_table, p_column)), false)
$$;

-- SQL for a column as one of uuid, text, int4, float8, date, timestamptz; NULL of that type where the column is missing or is something else.
-- Times without a zone are UTC, intervals become minutes.
CREATE FUNCTION public.ml_column_sql(p_table regclass, p_alias text, p_column name, p_type text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	found text := public.ml_column_type(p_table, p_column);
	category "char" := (SELECT typcategory FROM pg_type WHERE oid = public.ml_column_type(p_table, p_column));
	col text := format('%s.%I', p_alias, p_column);
BEGIN
	RETURN CASE
		WHEN found IS NULL THEN format('NULL::%s', p_type)
		WHEN p_type = 'text' OR found = p_type::regtype::text THEN format('%s::%s', col, p_type)
		WHEN p_type IN ('int4', 'float8') AND category = 'N' THEN format('%s::%s', col, p_type)
		WHEN p_type = 'float8' AND found = 'interval' THEN format('(extract(epoch FROM %s) / 60)::float8', col)
		WHEN p_type = 'timestamptz' AND found IN ('date', 'timestamp without time zone') THEN format('(%s::timestamp AT TIME ZONE ''UTC'')', col)
		WHEN p_type = 'date' AND found = 'timestamp without time zone' THEN format('%s::date', col)
		WHEN p_type = 'date' AND found = 'timestamp with time zone' THEN format('(%s AT TIME ZONE ''UTC'')::date', col)
		ELSE format('NULL::%s', p_type)
	END;
END
$$;

-- SQL for a column as a geometry in longitude and latitude, null where it is not spatial.
CREATE FUNCTION public.ml_geometry_sql(p_table regclass, p_alias text, p_column name) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	gis text := public.ml_postgis();
	col text := format('%s.%I', p_alias, p_column);
	srid integer;
BEGIN
	IF NOT public.ml_is_spatial(p_table, p_column) THEN
		RETURN NULL;
	END IF;
	IF public.ml_column_type(p_table, p_column) = format('%s.geography', gis)::regtype THEN
		RETURN format('%s::%s.geometry', col, gis);
	END IF;
	EXECUTE format('SELECT %s.postgis_typmod_srid(atttypmod) FROM pg_catalog.pg_attribute WHERE attrelid = $1 AND attname = $2', gis)
		INTO srid USING p_table, p_column;
	RETURN CASE srid
		WHEN 4326 THEN col
		WHEN 0 THEN format('CASE %s.ST_SRID(%s) WHEN 4326 THEN %2$s WHEN 0 THEN %1$s.ST_SetSRID(%2$s, 4326) ELSE %1$s.ST_Transform(%2$s, 4326) END', gis, col)
		ELSE format('%s.ST_Transform(%s, 4326)', gis, col)
	END;
END
$$;

CREATE FUNCTION public.ml_longitude_latitude_sql(p_table regclass, p_alias text, p_column name, p_prefix text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN point IS NULL THEN format('NULL::float8 AS %slongitude, NULL::float8 AS %1$slatitude', p_prefix)
		ELSE format('%1$s.ST_X(%2$s) AS %3$slongitude, %1$s.ST_Y(%2$s) AS %3$slatitude', gis, point, p_prefix) END
	FROM (SELECT gis, CASE WHEN shape IS NULL OR kind = 'ST_Point' THEN shape ELSE format('%s.ST_Centroid(%s)', gis, shape) END AS point
		FROM (SELECT public.ml_postgis() AS gis, public.ml_geometry_sql(p_table, p_alias, p_column) AS shape,
			CASE WHEN pg_catalog.format_type(atttypid, atttypmod) ~* '\(point' THEN 'ST_Point' END AS kind
			FROM (SELECT) one LEFT JOIN pg_attribute ON attrelid = p_table AND attname = p_column) found) shaped
$$;

-- SQL for GeoJSON of a column, as the value of a key.
CREATE FUNCTION public.ml_geojson_sql(p_table regclass, p_alias text, p_column name) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN shape IS NULL THEN 'NULL::jsonb' ELSE format('%s.ST_AsGeoJSON(%s, 7)::jsonb', public.ml_postgis(), shape) END
	FROM (SELECT public.ml_geometry_sql(p_table, p_alias, p_column) AS shape) found
$$;

CREATE FUNCTION public.ml_live_sql(p_table regclass, p_alias text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT CASE WHEN public.ml_column_type(p_table, 'deleted_at') IS NULL THEN 'true' ELSE format('%s.deleted_at IS NULL', p_alias) END
$$;

-- SELECT lists, one line a column.
CREATE FUNCTION public.ml_select_list(p_table regclass, p_alias text, p_columns text[]) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(format('%s AS %I', public.ml_column_sql(p_table, p_alias, split_part(wanted, ' ', 1)::name, split_part(wanted, ' ', 2)),
		split_part(wanted, ' ', 1)), E',\n\t' ORDER BY place)
	FROM unnest(p_columns) WITH ORDINALITY list (wanted, place)
$$;

CREATE FUNCTION public.ml_source_sql(p_entity_type text) RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	events regclass := to_regclass('public.service_events');
	customers regclass := to_regclass('public.customers');
	routes regclass := to_regclass('public.routes');
	has_customer boolean := customers IS NOT NULL AND public.ml_column_type(events, 'customer_id') = 'uuid'::regtype AND public.ml_column_type(customers, 'id') = 'uuid'::regtype;
BEGIN
	RETURN CASE p_entity_type
	WHEN 'service_event' THEN format(E'SELECT %s,\n\t%s AS event_time,\n\t%s,\n\t%s,\n\tjsonb_build_object(''location'', %s, ''customer_location'', %s) AS spatial_context\nFROM %s e%s\nWHERE %s',
		public.ml_select_list(events, 'e', '{id uuid,organization_id uuid,customer_id uuid,bin_id uuid,route_id uuid,vehicle_id uuid,event_type text,status text,priority int4,service_date timestamptz,description text,duration_minutes float8,weight_kg float8,fill_percent float8,created_at timestamptz}'),
		public.ml_column_sql(events, 'e', 'service_date', 'timestamptz'),
		public.ml_longitude_latitude_sql(events, 'e', 'location', ''),
		public.ml_longitude_latitude_sql(CASE WHEN has_customer THEN customers END, 'c', 'service_address', 'customer_'),
		public.ml_geojson_sql(events, 'e', 'location'), public.ml_geojson_sql(CASE WHEN has_customer THEN customers END, 'c', 'service_address'), events,
		CASE WHEN has_customer THEN format(E'\nLEFT JOIN %s c ON c.id = e.customer_id AND %s', customers, public.ml_live_sql(customers, 'c')) END,
		public.ml_live_sql(events, 'e'))
	WHEN 'customer_behavior' THEN format(E'SELECT %s,\n\t%s AS event_time,\n\t%s,\n\t''{}''::jsonb AS spatial_context\nFROM %s e\nWHERE %s',
		public.ml_select_list(customers, 'e', '{id uuid,organization_id uuid,customer_type text,service_tier text,status text,contract_start date,monthly_fee float8,created_at timestamptz}'),
		public.ml_column_sql(customers, 'e', 'created_at', 'timestamptz'), public.ml_longitude_latitude_sql(customers, 'e', 'service_address', ''),
		customers, public.ml_live_sql(customers, 'e'))
	WHEN 'route_optimization' THEN format(E'SELECT %s,\n\t%s AS event_time,\n\t%s,\n\tjsonb_build_object(''route_geometry'', %s, ''start_location'', %s) AS spatial_context\nFROM %s e\nWHERE %s',
		public.ml_select_list(routes, 'e', '{id uuid,organization_id uuid,vehicle_id uuid,status text,route_date date,total_distance float8,total_duration float8,stop_count int4,created_at timestamptz}'),
		public.ml_column_sql(routes, 'e', 'route_date', 'timestamptz'), public.ml_longitude_latitude_sql(routes, 'e', 'start_location', 'start_'),
		public.ml_geojson_sql(routes, 'e', 'route_geometry'), public.ml_geojson_sql(routes, 'e', 'start_location'), routes, public.ml_live_sql(routes, 'e'))
	END;
END
$$;

-- The table that a type's rows come from, and the column that says where they are.
CREATE FUNCTION public.ml_entity_tables() RETURNS TABLE (entity_type text, table_name name, location_column name) LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
	VALUES ('service_event', 'service_events'::name, 'location'::name), ('customer_behavior', 'customers', 'service_address'), ('route_optimization', 'routes', 'start_location')
$$;

-- ---- attaching ----

CREATE FUNCTION public.ml_attach_key(p_table regclass, p_column name, p_target text, p_on_delete text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	target regclass := to_regclass('public.' || p_target);
BEGIN
	IF target IS NULL THEN
		RETURN format('no table %s', p_target);
	ELSIF public.ml_column_type(target, 'id') IS DISTINCT FROM 'uuid'::regtype THEN
		RETURN format('skipped: %s.id is not a uuid', p_target);
	ELSIF NOT EXISTS (SELECT FROM pg_index WHERE indrelid = target AND indisunique AND indpred IS NULL AND indnkeyatts = 1
			AND indkey[0] = (SELECT attnum FROM pg_attribute WHERE attrelid = target AND attname = 'id')) THEN
		RETURN format('skipped: %s.id is not unique', p_target);
	ELSIF EXISTS (SELECT FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
			WHERE contype = 'f' AND conrelid = p_table AND confrelid = target AND attname = p_column) THEN
		RETURN 'there';
	END IF;
	EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I FOREIGN KEY (%I) REFERENCES %s (id) %s', p_table,
		(SELECT relname FROM pg_class WHERE oid = p_table) || '_' || p_column || '_fkey', p_column, target, p_on_delete);
	RETURN 'made';
END
$$;

CREATE FUNCTION public.ml_attach_source(p_entity_type text, p_table name) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	source regclass := to_regclass(format('public.%I', p_table));
	view text := format('public.%I', 'ml_source_' || p_entity_type);
BEGIN
	IF to_regclass(view) IS NOT NULL THEN
		RETURN 'there';
	ELSIF source IS NULL THEN
		RETURN format('no table %s', p_table);
	ELSIF public.ml_column_type(source, 'id') IS DISTINCT FROM 'uuid'::regtype OR public.ml_column_type(source, 'organization_id') IS DISTINCT FROM 'uuid'::regtype THEN
		RETURN format('skipped: %s needs id and organization_id, both uuid', p_table);
	END IF;
	EXECUTE format('CREATE VIEW %s AS %s', view, public.ml_source_sql(p_entity_type));
	EXECUTE format('ALTER VIEW %s OWNER TO ml_owner', view);
	EXECUTE format('GRANT SELECT ON %s TO ml_proxy, ml_service', view);
	EXECUTE format('COMMENT ON VIEW %s IS %L', view, 'pglane: what of a ' || p_entity_type || ' may leave for vectors and training');
	RETURN 'made';
END
$$;

CREATE FUNCTION public.ml_attach_foundation() RETURNS TABLE (what text, result text) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	wanted record;
BEGIN
	FOR wanted IN SELECT * FROM (VALUES
			('ml_vector_metadata', 'organization_id', 'organizations', ''), ('ml_vector_metadata', 'created_by', 'users', 'ON DELETE SET NULL'),
			('ml_feature_store', 'organization_id', 'organizations', ''), ('ml_feature_store', 'created_by', 'users', 'ON DELETE SET NULL'),
			('ml_models', 'organization_id', 'organizations', ''), ('ml_models', 'created_by', 'users', 'ON DELETE SET NULL'),
			('ml_models', 'trained_by', 'users', 'ON DELETE SET NULL'), ('ml_models', 'deployed_by', 'users', 'ON DELETE SET NULL'),
			('ml_predictions', 'organization_id', 'organizations', ''), ('ml_predictions', 'requested_by', 'users', 'ON DELETE SET NULL'),
			('ml_encryption_keys', 'created_by', 'users', 'ON DELETE SET NULL'),
			('db_connection_pool_metrics', 'organization_id', 'organizations', 'ON DELETE SET NULL')) key (owner, col, target, on_delete) LOOP
		what := format('%s.%s -> %s', wanted.owner, wanted.col, wanted.target);
		result := public.ml_attach_key(format('public.%I', wanted.owner)::regclass, wanted.col, wanted.target, wanted.on_delete);
		RETURN NEXT;
	END LOOP;
	FOR wanted IN SELECT * FROM public.ml_entity_tables() LOOP
		IF to_regclass(format('public.%I', wanted.table_name)) IS NOT NULL THEN
			EXECUTE format('GRANT SELECT ON public.%I TO ml_owner', wanted.table_name);
		END IF;
		what := 'ml_source_' || wanted.entity_type;
		result := public.ml_attach_source(wanted.entity_type, wanted.table_name);
		RETURN NEXT;
	END LOOP;
END
$$;

-- ---- asking for a type ----

CREATE FUNCTION public.ml_entity_types() RETURNS text[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_agg(name ORDER BY name) FROM (SELECT entity_type FROM public.ml_entity_tables()
		UNION SELECT substr(relname, 11) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm') AND relname LIKE 'ml\_source\__%') type (name)
$$;
GRANT EXECUTE ON FUNCTION public.ml_entity_types() TO PUBLIC;

-- The view of a type, or an error that says what is missing.
CREATE FUNCTION public.ml_require_source(p_entity_type text) RETURNS regclass LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	source regclass := to_regclass(format('public.%I', 'ml_source_' || p_entity_type));
BEGIN
	IF p_entity_type IS NULL THEN
		RAISE EXCEPTION 'p_entity_type must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF NOT (p_entity_type = ANY (public.ml_entity_types())) THEN
		RAISE EXCEPTION 'unknown entity type "%"', p_entity_type USING ERRCODE = 'invalid_parameter_value',
			HINT = format('Known are: %s.', array_to_string(public.ml_entity_types(), ', '));
	ELSIF source IS NULL THEN
		RAISE EXCEPTION 'entity type "%" has no source: there is no view %', p_entity_type, 'ml_source_' || p_entity_type USING ERRCODE = 'undefined_table',
			DETAIL = format('It reads the table %s.', (SELECT table_name FROM public.ml_entity_tables() t WHERE t.entity_type = p_entity_type)),
			HINT = 'When the table is there: SELECT * FROM ml_attach_foundation(), which also says what is not right about it.';
	END IF;
	RETURN source;
END
$$;

-- ---- what a vector store is told ----

-- The objects of those entities that are there and not deleted: the collection and properties as the schemas of the vector store name them.
CREATE FUNCTION public.ml_vector_objects(p_entity_type text, p_entity_ids uuid[]) RETURNS TABLE (entity_id uuid, object jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	source regclass := public.ml_require_source(p_entity_type);
	properties text := CASE p_entity_type
		WHEN 'service_event' THEN $p$'eventType', s.event_type, 'description', s.description, 'customerId', s.customer_id, 'routeId', s.route_id, 'location',
			CASE WHEN s.latitude IS NOT NULL THEN jsonb_build_object('latitude', s.latitude, 'longitude', s.longitude) END,
			'performanceMetrics', jsonb_strip_nulls(jsonb_build_object('durationSeconds', s.duration_minutes * 60,
				'success', CASE s.status WHEN 'completed' THEN true WHEN 'failed' THEN false END))$p$
		WHEN 'customer_behavior' THEN $p$'servicePattern', nullif(concat_ws(' ', s.customer_type, s.service_tier, s.status), ''), 'locationContext',
			CASE WHEN s.latitude IS NOT NULL THEN jsonb_build_object('latitude', s.latitude, 'longitude', s.longitude) END$p$
		WHEN 'route_optimization' THEN $p$'startLocation',
			CASE WHEN s.start_latitude IS NOT NULL THEN jsonb_build_object('latitude', s.start_latitude, 'longitude', s.start_longitude) END,
			'routeGeometry', (SELECT jsonb_agg(jsonb_build_object('lat', point -> 1, 'lon', point -> 0) ORDER BY place)
				FROM jsonb_array_elements(CASE jsonb_typeof(s.spatial_context #> '{route_geometry,coordinates,0}') WHEN 'array'
					THEN s.spatial_context #> '{route_geometry,coordinates}' END) WITH ORDINALITY point (point, place)),
			'performanceData', jsonb_strip_nulls(jsonb_build_object('totalDistance', s.total_distance, 'totalDuration', s.total_duration))$p$
		ELSE $p$'properties', to_jsonb(s)$p$
	END;
BEGIN
	IF p_entity_ids IS NULL OR array_position(p_entity_ids, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'p_entity_ids must not be or hold null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	RETURN QUERY EXECUTE format($query$
		SELECT s.id, jsonb_build_object('collection', %L, 'organization_id', s.organization_id, 'properties', jsonb_strip_nulls(
			jsonb_build_object('postgresqlId', s.id, 'organizationId', s.organization_id, %s)))
		FROM %s s WHERE s.id = ANY ($1)
			AND (public.ml_sees_all() OR pg_has_role(public.ml_caller(), 'ml_proxy', 'USAGE') OR s.organization_id IN (SELECT public.ml_visible_organizations()))
		$query$, replace(initcap(replace(p_entity_type, '_', ' ')), ' ', '') || 'Vector', properties, source)
		USING p_entity_ids;
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_vector_objects(text, uuid[]) TO ml_proxy, ml_service, ml_engineer;
COMMENT ON FUNCTION public.ml_vector_objects(text, uuid[]) IS 'what a vector store is told about entities; those that are missing or deleted are not among the rows';

-- The same for one; null when it is missing or deleted.
CREATE FUNCTION public.ml_vector_object(p_entity_type text, p_entity_id uuid) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT object FROM public.ml_vector_objects(p_entity_type, ARRAY[p_entity_id])
$$;
GRANT EXECUTE ON FUNCTION public.ml_vector_object(text, uuid) TO ml_proxy, ml_service, ml_engineer;

RESET ROLE;

SELECT public.ml_attach_foundation();
