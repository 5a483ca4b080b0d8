-- SPDX-License-Identifier: ISC
-- One entity is what most annotated writes change: it is noted without what many need, arrays and an order of keys. See 011_outbox and 019_write_sync.

SET LOCAL ROLE ml_owner;

CREATE OR REPLACE FUNCTION public.ml_outbox_note(p_entity_type text, p_entity_id uuid, p_organization_id uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_entity_type IS NULL OR p_entity_id IS NULL OR to_regclass(format('public.%I', 'ml_source_' || p_entity_type)) IS NULL THEN
		IF p_entity_type IS NULL OR p_entity_id IS NULL THEN
			RAISE EXCEPTION 'p_entity_type and p_entity_id must not be null' USING ERRCODE = 'null_value_not_allowed';
		END IF;
		-- The whole check reads pg_class; it is for who has no view by that name.
		PERFORM public.ml_require_source(p_entity_type);
	END IF;
	INSERT INTO public.ml_vector_outbox AS o (entity_type, entity_id, organization_id) VALUES (p_entity_type, p_entity_id, p_organization_id)
	ON CONFLICT (entity_type, entity_id) DO UPDATE SET op = 'U', gen = o.gen + 1, attempts = 0, next_attempt = least(o.next_attempt, now()),
		organization_id = coalesce(excluded.organization_id, o.organization_id);
END
$$;

-- As in 019_write_sync, with a shorter way for one row of one entity.
CREATE OR REPLACE FUNCTION public.ml_vector_pending_note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET enable_seqscan = off AS $$
DECLARE
	mine public.ml_vector_pending[];
BEGIN
	WITH gone AS (DELETE FROM public.ml_vector_pending WHERE xact = NEW.xact RETURNING *)
	SELECT array_agg(gone) INTO mine FROM gone;
	IF cardinality(mine) = 1 AND cardinality(NEW.entity_ids) = 1 THEN -- it is NEW
		INSERT INTO public.ml_vector_outbox AS o (entity_type, entity_id, organization_id) VALUES (NEW.entity_types[1], NEW.entity_ids[1], NEW.organization_id)
		ON CONFLICT (entity_type, entity_id) DO UPDATE SET op = 'U', gen = o.gen + 1, attempts = 0, next_attempt = least(o.next_attempt, now()),
			organization_id = coalesce(excluded.organization_id, o.organization_id);
		RETURN NULL;
	END IF;
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

RESET ROLE;
