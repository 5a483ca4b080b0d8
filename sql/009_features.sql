-- SPDX-License-Identifier: ISC
-- Features: their history, and reading them as they are or as they were known at a time, so that training does not see the future.
--
-- The history says what a set of features was from its extraction_timestamp on. It is written by statement triggers, one insert for each statement however many
-- rows it changes; counters and other columns that change without the features leave no trace in it.

SET LOCAL ROLE ml_owner;

CREATE FUNCTION public.ml_feature_history_insert() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO public.ml_feature_store_history (feature_id, feature_set_name, feature_version, entity_type, entity_id, organization_id, features, extraction_timestamp, expires_at)
	SELECT id, feature_set_name, feature_version, entity_type, entity_id, organization_id, CASE WHEN deleted_at IS NULL THEN features END, extraction_timestamp, expires_at FROM new_rows;
	RETURN NULL;
END
$$;

-- A deletion counts from when it was made, a change of the features from their extraction. What a row was called before a change of its name ends now.
CREATE FUNCTION public.ml_feature_history_update() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO public.ml_feature_store_history (feature_id, feature_set_name, feature_version, entity_type, entity_id, organization_id, features, extraction_timestamp)
	SELECT o.id, o.feature_set_name, o.feature_version, o.entity_type, o.entity_id, o.organization_id, NULL, now() FROM old_rows o LEFT JOIN new_rows n USING (id)
	WHERE ROW(o.feature_set_name, o.feature_version, o.entity_type, o.entity_id, o.organization_id)::record *<>
		ROW(n.feature_set_name, n.feature_version, n.entity_type, n.entity_id, n.organization_id)::record;
	INSERT INTO public.ml_feature_store_history (feature_id, feature_set_name, feature_version, entity_type, entity_id, organization_id, features, extraction_timestamp, expires_at)
	SELECT n.id, n.feature_set_name, n.feature_version, n.entity_type, n.entity_id, n.organization_id, CASE WHEN n.deleted_at IS NULL THEN n.features END,
		coalesce(n.deleted_at, n.extraction_timestamp), n.expires_at
	FROM new_rows n LEFT JOIN old_rows o USING (id)
	WHERE ROW(o.feature_set_name, o.feature_version, o.entity_type, o.entity_id, o.organization_id, o.features, o.extraction_timestamp, o.expires_at, o.deleted_at)::record *<>
		ROW(n.feature_set_name, n.feature_version, n.entity_type, n.entity_id, n.organization_id, n.features, n.extraction_timestamp, n.expires_at, n.deleted_at)::record;
	RETURN NULL;
END
$$;

CREATE FUNCTION public.ml_feature_history_delete() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	INSERT INTO public.ml_feature_store_history (feature_id, feature_set_name, feature_version, entity_type, entity_id, organization_id, features, extraction_timestamp)
	SELECT id, feature_set_name, feature_version, entity_type, entity_id, organization_id, NULL, now() FROM old_rows WHERE deleted_at IS NULL;
	RETURN NULL;
END
$$;

CREATE TRIGGER ml_history_insert AFTER INSERT ON public.ml_feature_store REFERENCING NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION public.ml_feature_history_insert();
CREATE TRIGGER ml_history_update AFTER UPDATE ON public.ml_feature_store REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
	FOR EACH STATEMENT EXECUTE FUNCTION public.ml_feature_history_update();
CREATE TRIGGER ml_history_delete AFTER DELETE ON public.ml_feature_store REFERENCING OLD TABLE AS old_rows
	FOR EACH STATEMENT EXECUTE FUNCTION public.ml_feature_history_delete();

-- True, or an error; a constant condition of the functions below, which are planned into the statement that calls them.
CREATE FUNCTION public.ml_features_check(p_feature_set_name text, p_feature_version text, p_entity_type text, p_entity_ids uuid[], p_at timestamptz[],
	p_organization_id uuid) RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF num_nulls(p_feature_set_name, p_feature_version, p_entity_type, p_entity_ids, p_at) > 0 THEN
		RAISE EXCEPTION 'name and version of the feature set, type and ids of the entities and times must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF cardinality(p_at) > 0 AND cardinality(p_at) <> cardinality(p_entity_ids) THEN
		RAISE EXCEPTION '% entities and % times', cardinality(p_entity_ids), cardinality(p_at) USING ERRCODE = 'array_subscript_error', HINT = 'Each entity needs its time.';
	ELSIF array_position(p_at, NULL) IS NOT NULL OR array_position(p_entity_ids, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'neither an entity nor a time may be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	IF p_organization_id IS NOT NULL THEN
		PERFORM public.ml_require_organization(p_organization_id);
	END IF;
	IF NOT EXISTS (SELECT FROM public.ml_feature_store_history h WHERE h.feature_set_name = p_feature_set_name AND h.feature_version = p_feature_version AND h.entity_type = p_entity_type) THEN
		RAISE EXCEPTION 'there is no feature set "%" version "%" for entity type "%"', p_feature_set_name, p_feature_version, p_entity_type USING ERRCODE = 'invalid_parameter_value',
			DETAIL = 'At least, none that this role may see.';
	END IF;
	RETURN true;
END
$$;

-- The present features of entities; those without any are not among the rows. Row security decides what the caller sees.
CREATE FUNCTION public.ml_features(p_feature_set_name text, p_feature_version text, p_entity_type text, p_entity_ids uuid[], p_organization_id uuid DEFAULT NULL)
RETURNS TABLE (entity_id uuid, features jsonb, extraction_timestamp timestamptz, expires_at timestamptz) LANGUAGE sql STABLE AS $$
	SELECT f.entity_id, f.features, f.extraction_timestamp, f.expires_at
	FROM public.ml_feature_store f
	WHERE public.ml_features_check(p_feature_set_name, p_feature_version, p_entity_type, p_entity_ids, '{}', p_organization_id)
		AND f.feature_set_name = p_feature_set_name AND f.feature_version = p_feature_version AND f.entity_type = p_entity_type
		AND f.entity_id = ANY (p_entity_ids) AND f.deleted_at IS NULL AND (p_organization_id IS NULL OR f.organization_id = p_organization_id)
$$;

-- The features of each entity as they were known at its time: one row for each pair, in their order; features are null when there were none, when they had
-- expired, or when they were older than p_max_age.
CREATE FUNCTION public.ml_features_at(p_feature_set_name text, p_feature_version text, p_entity_type text, p_entity_ids uuid[], p_at timestamptz[],
	p_organization_id uuid DEFAULT NULL, p_max_age interval DEFAULT NULL)
RETURNS TABLE (entity_id uuid, at timestamptz, features jsonb, extraction_timestamp timestamptz) LANGUAGE sql STABLE AS $$
	SELECT wanted.entity_id, wanted.at, known.features, known.extraction_timestamp
	FROM ROWS FROM (pg_catalog.unnest(p_entity_ids), pg_catalog.unnest(p_at)) WITH ORDINALITY wanted (entity_id, at, place)
	LEFT JOIN LATERAL (
		SELECT CASE WHEN usable THEN latest.features END AS features, CASE WHEN usable THEN latest.extraction_timestamp END AS extraction_timestamp
		FROM (SELECT h.features, h.extraction_timestamp, h.features IS NOT NULL AND (h.expires_at IS NULL OR h.expires_at > wanted.at)
				AND (p_max_age IS NULL OR h.extraction_timestamp > wanted.at - p_max_age) AS usable
			FROM public.ml_feature_store_history h
			WHERE h.feature_set_name = p_feature_set_name AND h.feature_version = p_feature_version AND h.entity_type = p_entity_type
				AND h.entity_id = wanted.entity_id AND h.extraction_timestamp <= wanted.at AND (p_organization_id IS NULL OR h.organization_id = p_organization_id)
			ORDER BY h.extraction_timestamp DESC, h.id DESC LIMIT 1) latest) known ON true
	WHERE public.ml_features_check(p_feature_set_name, p_feature_version, p_entity_type, p_entity_ids, p_at, p_organization_id)
	ORDER BY wanted.place
$$;

GRANT EXECUTE ON FUNCTION public.ml_features_check(text, text, text, uuid[], timestamptz[], uuid), public.ml_features(text, text, text, uuid[], uuid),
	public.ml_features_at(text, text, text, uuid[], timestamptz[], uuid, interval) TO ml_service, ml_engineer, data_scientist;

RESET ROLE;
