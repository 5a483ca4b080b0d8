-- SPDX-License-Identifier: ISC
-- What pglane notes behind a write whose type it has just checked (ml_outbox_notes() without ids, 019_write_sync): the row, and nothing else. A type that is gone by then is a dead letter.

SET LOCAL ROLE ml_owner;

-- No search path is pinned, which would cost as much as a third of the row: there is nothing here that one could find. Names are qualified, operators, too; coalesce and least are none.
CREATE FUNCTION public.ml_outbox_note_known(p_entity_type text, p_entity_id uuid, p_organization_id uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	INSERT INTO public.ml_vector_outbox AS o (entity_type, entity_id, organization_id) VALUES (p_entity_type, p_entity_id, p_organization_id)
	ON CONFLICT (entity_type, entity_id) DO UPDATE SET op = 'U', gen = o.gen OPERATOR(pg_catalog.+) 1, attempts = 0, next_attempt = least(o.next_attempt, pg_catalog.now()),
		organization_id = coalesce(excluded.organization_id, o.organization_id);
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_outbox_note_known(text, uuid, uuid) TO ml_service, ml_engineer, ml_proxy;

RESET ROLE;
