-- SPDX-License-Identifier: ISC
-- What pglane sends ahead of, or behind, an annotated write (ml_entity), in the transaction of that write.

SET LOCAL ROLE ml_owner;

-- Many notes at once: p_entity_types[i] with p_entity_ids[i]. Without ids only the types are checked. In the order of the keys, so that two writers do
-- not wait for each other in a circle.
CREATE FUNCTION public.ml_outbox_notes(p_entity_types text[], p_entity_ids uuid[], p_organization_id uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	wanted text;
BEGIN
	IF p_entity_types IS NULL OR p_entity_ids IS NULL OR array_position(p_entity_types, NULL) IS NOT NULL OR array_position(p_entity_ids, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'p_entity_types and p_entity_ids must not be or hold null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF cardinality(p_entity_ids) NOT IN (0, cardinality(p_entity_types)) THEN
		RAISE EXCEPTION 'the arrays have different lengths' USING ERRCODE = 'array_subscript_error';
	END IF;
	FOR wanted IN SELECT DISTINCT entity_type FROM unnest(p_entity_types) entity_type LOOP
		PERFORM public.ml_require_source(wanted);
	END LOOP;
	INSERT INTO public.ml_vector_outbox AS o (entity_type, entity_id, organization_id)
	SELECT DISTINCT changed.entity_type, changed.entity_id, p_organization_id FROM unnest(p_entity_types, p_entity_ids) changed (entity_type, entity_id)
	WHERE changed.entity_id IS NOT NULL ORDER BY changed.entity_id, changed.entity_type
	ON CONFLICT (entity_type, entity_id) DO UPDATE SET op = 'U', gen = o.gen + 1, attempts = 0, next_attempt = least(o.next_attempt, now()),
		organization_id = coalesce(excluded.organization_id, o.organization_id);
END
$$;

-- Tables that are being loaded: there is a row between a COPY and the end of its transaction, and nobody else ever sees one.
CREATE UNLOGGED TABLE public.ml_vector_loading (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
	entity_type text NOT NULL,
	table_name regclass NOT NULL,
	key_column name NOT NULL,
	organization_id uuid
);

-- Says that p_tables[i] is going to be loaded: at the end of this transaction all rows that it wrote there are noted, each as an entity of p_entity_types[i] whose id
-- is in p_key_columns[i]. The end reads the table once.
CREATE FUNCTION public.ml_outbox_notes_loaded(p_entity_types text[], p_tables regclass[], p_key_columns text[], p_organization_id uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	loading record;
BEGIN
	FOR loading IN SELECT * FROM unnest(p_entity_types, p_tables, p_key_columns) l (entity_type, table_name, key_column) LOOP
		PERFORM public.ml_require_source(loading.entity_type);
		IF loading.table_name IS NULL OR loading.key_column IS NULL THEN
			RAISE EXCEPTION 'p_tables and p_key_columns must not hold null' USING ERRCODE = 'null_value_not_allowed';
		ELSIF NOT coalesce(loading.key_column = ANY (public.ml_tracked_columns(loading.table_name, loading.entity_type)), false) THEN
			RAISE EXCEPTION 'entity type "%" is not made of rows of %', loading.entity_type, loading.table_name USING ERRCODE = 'invalid_parameter_value',
				DETAIL = format('The view ml_source_%s does not read its column %s.', loading.entity_type, loading.key_column);
		ELSIF public.ml_column_type(loading.table_name, loading.key_column) IS DISTINCT FROM 'uuid'::regtype THEN
			RAISE EXCEPTION 'column % of % is no uuid', loading.key_column, loading.table_name USING ERRCODE = 'datatype_mismatch';
		END IF;
	END LOOP;
	-- The client may have said SET CONSTRAINTS ALL IMMEDIATE; this one is of no use before the load.
	SET CONSTRAINTS public.ml_vector_loading_ends DEFERRED;
	INSERT INTO public.ml_vector_loading (entity_type, table_name, key_column, organization_id)
	SELECT l.entity_type, l.table_name, l.key_column, p_organization_id FROM unnest(p_entity_types, p_tables, p_key_columns) l (entity_type, table_name, key_column);
END
$$;

-- Rows of this transaction are those that it sees and whose xmin is not older than it. Rows of transactions that began later and are committed may be
-- among them: one note too many does no harm.
CREATE FUNCTION public.ml_vector_loading_ends() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	organization text;
BEGIN
	-- Several loads of one table are looked for once.
	DELETE FROM public.ml_vector_loading l WHERE l.xact = NEW.xact AND l.table_name = NEW.table_name AND l.entity_type = NEW.entity_type AND l.key_column = NEW.key_column
		AND l.organization_id IS NOT DISTINCT FROM NEW.organization_id;
	IF NOT FOUND THEN
		RETURN NULL;
	END IF;
	organization := CASE WHEN public.ml_column_type(NEW.table_name, 'organization_id') = 'uuid'::regtype THEN 'coalesce($2, t.organization_id)' ELSE '$2' END;
	EXECUTE format('INSERT INTO public.ml_vector_outbox AS o (entity_type, entity_id, organization_id)
			SELECT DISTINCT ON (t.%1$I) $1, t.%1$I, %2$s FROM %3$s t WHERE age(t.xmin) <= age(pg_current_xact_id()::xid) AND t.%1$I IS NOT NULL ORDER BY t.%1$I
			ON CONFLICT (entity_type, entity_id) DO UPDATE SET op = ''U'', gen = o.gen + 1, attempts = 0, next_attempt = least(o.next_attempt, now()),
				organization_id = coalesce(excluded.organization_id, o.organization_id)', NEW.key_column, organization, NEW.table_name)
		USING NEW.entity_type, NEW.organization_id;
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER ml_vector_loading_ends AFTER INSERT ON public.ml_vector_loading DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.ml_vector_loading_ends();

GRANT EXECUTE ON FUNCTION public.ml_outbox_notes(text[], uuid[], uuid), public.ml_outbox_notes_loaded(text[], regclass[], text[], uuid) TO ml_service, ml_engineer, ml_proxy;

RESET ROLE;
