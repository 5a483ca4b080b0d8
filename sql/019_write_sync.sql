-- SPDX-License-Identifier: ISC
-- What pglane sends ahead of, or behind, an annotated write (ml_entity), in the transaction of that write.
--
-- What is to be noted is put down at once and noted when the transaction ends, by a deferred trigger: all of it in the order of its keys. A note taken ahead of its statement would lock the
-- note first and the row second, while whoever has the row already locks them the other way round, and they would wait for each other.

SET LOCAL ROLE ml_owner;

-- There are rows only while a transaction is open, and nobody but it ever sees them: after a crash there is nothing to keep.
CREATE UNLOGGED TABLE public.ml_vector_pending (
	xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
	entity_types text[] NOT NULL,
	entity_ids uuid[], -- of notes
	tables regclass[], -- of loads, with
	key_columns text[],
	organization_id uuid
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ml_vector_pending_xact ON public.ml_vector_pending (xact);

-- Many notes at once: p_entity_types[i] with p_entity_ids[i]. Without ids only the types are checked.
CREATE FUNCTION public.ml_outbox_notes(p_entity_types text[], p_entity_ids uuid[], p_organization_id uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	wanted text;
	checked text;
BEGIN
	IF p_entity_types IS NULL OR p_entity_ids IS NULL OR array_position(p_entity_types, NULL) IS NOT NULL OR array_position(p_entity_ids, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'p_entity_types and p_entity_ids must not be or hold null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF cardinality(p_entity_ids) NOT IN (0, cardinality(p_entity_types)) THEN
		RAISE EXCEPTION 'the arrays have different lengths' USING ERRCODE = 'array_subscript_error';
	END IF;
	FOREACH wanted IN ARRAY p_entity_types LOOP
		IF wanted IS DISTINCT FROM checked THEN
			-- The whole check reads pg_class; it is for who has no view by that name.
			IF to_regclass(format('public.%I', 'ml_source_' || wanted)) IS NULL THEN
				PERFORM public.ml_require_source(wanted);
			END IF;
			checked := wanted;
		END IF;
	END LOOP;
	IF cardinality(p_entity_ids) > 0 THEN
		INSERT INTO public.ml_vector_pending (entity_types, entity_ids, organization_id) VALUES (p_entity_types, p_entity_ids, p_organization_id);
	END IF;
END
$$;

-- Notes taken at once, in the order of their keys: for a transaction that does nothing more than to end, and has put down no others.
CREATE FUNCTION public.ml_outbox_notes_now(p_entity_types text[], p_entity_ids uuid[], p_organization_id uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
BEGIN
	IF p_entity_ids IS NULL OR array_position(p_entity_ids, NULL) IS NOT NULL THEN
		RAISE EXCEPTION 'p_entity_ids must not be or hold null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF cardinality(p_entity_ids) <> cardinality(p_entity_types) THEN
		RAISE EXCEPTION 'the arrays have different lengths' USING ERRCODE = 'array_subscript_error';
	END IF;
	PERFORM public.ml_outbox_notes(p_entity_types, '{}');
	INSERT INTO public.ml_vector_outbox AS o (entity_type, entity_id, organization_id)
	SELECT DISTINCT ON (changed.entity_id, changed.entity_type) changed.entity_type, changed.entity_id, p_organization_id
	FROM unnest(p_entity_types, p_entity_ids) changed (entity_type, entity_id) ORDER BY changed.entity_id, changed.entity_type
	ON CONFLICT (entity_type, entity_id) DO UPDATE SET op = 'U', gen = o.gen + 1, attempts = 0, next_attempt = least(o.next_attempt, now()),
		organization_id = coalesce(excluded.organization_id, o.organization_id);
END
$$;

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
	-- The client may have said SET CONSTRAINTS ALL IMMEDIATE, which would look for rows before they are there.
	SET CONSTRAINTS public.ml_vector_pending_note DEFERRED;
	INSERT INTO public.ml_vector_pending (entity_types, tables, key_columns, organization_id) VALUES (p_entity_types, p_tables, p_key_columns, p_organization_id);
END
$$;

-- Notes the rows of a table that this transaction wrote: those that it sees and whose xmin is not older than itself. Rows of transactions that began later and are committed may be
-- among them: one note too many does no harm.
CREATE FUNCTION public.ml_outbox_note_written(p_entity_type text, p_table regclass, p_key_column text, p_organization_id uuid) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = on AS $$
BEGIN
	EXECUTE format('INSERT INTO public.ml_vector_outbox AS o (entity_type, entity_id, organization_id)
			SELECT DISTINCT ON (t.%1$I) $1, t.%1$I, %2$s FROM %3$s t WHERE age(t.xmin) <= age(pg_current_xact_id()::xid) AND t.%1$I IS NOT NULL ORDER BY t.%1$I
			ON CONFLICT (entity_type, entity_id) DO UPDATE SET op = ''U'', gen = o.gen + 1, attempts = 0, next_attempt = least(o.next_attempt, now()),
				organization_id = coalesce(excluded.organization_id, o.organization_id)',
			p_key_column, CASE WHEN public.ml_column_type(p_table, 'organization_id') = 'uuid'::regtype THEN 'coalesce($2, t.organization_id)' ELSE '$2' END, p_table)
		USING p_entity_type, p_organization_id;
END
$$;

-- The transaction ends. The first row that comes here does the work of all. A plan is kept for as long as the session, and the table is small at times and full of dead rows at others: its rows
-- are to be found by their index.
CREATE FUNCTION public.ml_vector_pending_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off AS $$
DECLARE
	mine public.ml_vector_pending[];
BEGIN
	WITH gone AS (DELETE FROM public.ml_vector_pending WHERE xact = NEW.xact RETURNING *)
	SELECT array_agg(gone) INTO mine FROM gone;
	INSERT INTO public.ml_vector_outbox AS o (entity_type, entity_id, organization_id)
	SELECT DISTINCT ON (changed.entity_id, changed.entity_type) changed.entity_type, changed.entity_id, m.organization_id
	FROM unnest(mine) m, unnest(m.entity_types, m.entity_ids) changed (entity_type, entity_id) WHERE m.entity_ids IS NOT NULL
	ORDER BY changed.entity_id, changed.entity_type, m.organization_id
	ON CONFLICT (entity_type, entity_id) DO UPDATE SET op = 'U', gen = o.gen + 1, attempts = 0, next_attempt = least(o.next_attempt, now()),
		organization_id = coalesce(excluded.organization_id, o.organization_id);
	IF array_length(mine, 1) > 1 OR mine[1].tables IS NOT NULL THEN
		PERFORM public.ml_outbox_note_written(l.entity_type, l.table_name, l.key_column, l.organization_id)
		FROM (SELECT DISTINCT w.entity_type, w.table_name, w.key_column, m.organization_id
			FROM unnest(mine) m, unnest(m.entity_types, m.tables, m.key_columns) w (entity_type, table_name, key_column) WHERE m.tables IS NOT NULL ORDER BY 1, 2, 3, 4) l;
	END IF;
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER ml_vector_pending_note AFTER INSERT ON public.ml_vector_pending DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.ml_vector_pending_note();

GRANT EXECUTE ON FUNCTION public.ml_outbox_notes(text[], uuid[], uuid), public.ml_outbox_notes_now(text[], uuid[], uuid), public.ml_outbox_notes_loaded(text[], regclass[], text[], uuid) TO ml_service, ml_engineer, ml_proxy;

RESET ROLE;
