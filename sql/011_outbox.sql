-- SPDX-License-Identifier: ISC
-- The outbox: which entities differ from their vector, and how workers bring them in line.
--
-- A note says which entity, not what it looks like; a worker reads the present state (ml_vector_object) after it has leased the note. So order does not
-- matter, ten changes cost one delivery, and delivering twice does no harm. No lock is held while the vector store works: a lease is a time in the row.
-- Only the holder of the lease may end it (lease), and a note goes away only if the entity has not changed since (gen).

SET LOCAL ROLE ml_owner;

CREATE SEQUENCE public.ml_vector_lease AS bigint;

CREATE FUNCTION public.ml_outbox_note(p_entity_type text, p_entity_id uuid, p_organization_id uuid DEFAULT NULL) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF p_entity_type IS NULL OR p_entity_id IS NULL THEN
		RAISE EXCEPTION 'p_entity_type and p_entity_id must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	PERFORM public.ml_require_source(p_entity_type);
	INSERT INTO public.ml_vector_outbox AS o (entity_type, entity_id, organization_id) VALUES (p_entity_type, p_entity_id, p_organization_id)
	ON CONFLICT (entity_type, entity_id) DO UPDATE SET op = 'U', gen = o.gen + 1, attempts = 0, next_attempt = least(o.next_attempt, now()),
		organization_id = coalesce(excluded.organization_id, o.organization_id);
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_outbox_note(text, uuid, uuid) TO ml_service, ml_engineer, ml_proxy;

-- Up to p_limit notes that are due, for p_lease; the longest due first. All rows of a call carry the same lease.
CREATE FUNCTION public.ml_outbox_lease(p_limit integer DEFAULT 100, p_lease interval DEFAULT '30 seconds') RETURNS TABLE (lease bigint, entity_type varchar, entity_id uuid,
	op char, organization_id uuid, gen bigint, attempts integer, enqueued_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	token bigint;
BEGIN
	IF p_limit IS NULL OR p_lease IS NULL THEN
		RAISE EXCEPTION 'p_limit and p_lease must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF p_limit NOT BETWEEN 1 AND 10000 OR p_lease NOT BETWEEN interval '1 millisecond' AND interval '1 hour' THEN
		RAISE EXCEPTION 'p_limit must be between 1 and 10000 and p_lease between 1 ms and 1 h' USING ERRCODE = 'invalid_parameter_value',
			DETAIL = format('They are %s and %s.', p_limit, p_lease);
	END IF;
	token := nextval('public.ml_vector_lease');
	RETURN QUERY
	WITH due AS MATERIALIZED (
		SELECT o.entity_type, o.entity_id FROM public.ml_vector_outbox o
		WHERE o.next_attempt <= clock_timestamp() AND (o.leased_until IS NULL OR o.leased_until <= clock_timestamp())
		ORDER BY o.next_attempt LIMIT p_limit FOR UPDATE SKIP LOCKED
	)
	UPDATE public.ml_vector_outbox o SET leased_until = clock_timestamp() + p_lease, lease = token
	FROM due WHERE o.entity_type = due.entity_type AND o.entity_id = due.entity_id
	RETURNING token, o.entity_type, o.entity_id, o.op, o.organization_id, o.gen, o.attempts, o.enqueued_at;
END
$$;

CREATE FUNCTION public.ml_outbox_check(p_lease bigint, p_n_types integer, p_n_ids integer, p_n_gens integer, p_n_errors integer) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	IF num_nulls(p_lease, p_n_types, p_n_ids, p_n_gens, p_n_errors) > 0 THEN
		RAISE EXCEPTION 'no argument may be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF p_n_types <> p_n_ids OR p_n_ids <> p_n_gens OR p_n_gens <> p_n_errors THEN
		RAISE EXCEPTION 'the arrays have different lengths' USING ERRCODE = 'array_subscript_error';
	END IF;
END
$$;

-- Delivered: these notes go, unless the entity changed meanwhile; then they are due at once. What another worker leased since is left alone. A row that a writer
-- holds just now is left to that writer's change. How many notes went.
CREATE FUNCTION public.ml_outbox_done(p_lease bigint, p_entity_types text[], p_entity_ids uuid[], p_gens bigint[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	n_gone integer;
BEGIN
	PERFORM public.ml_outbox_check(p_lease, cardinality(p_entity_types), cardinality(p_entity_ids), cardinality(p_gens), cardinality(p_gens));
	WITH mine AS MATERIALIZED (
		SELECT o.entity_type, o.entity_id, o.gen = claimed.gen AS is_unchanged
		FROM unnest(p_entity_types, p_entity_ids, p_gens) claimed (entity_type, entity_id, gen)
		JOIN public.ml_vector_outbox o ON o.entity_type = claimed.entity_type AND o.entity_id = claimed.entity_id
		WHERE o.lease = p_lease
		FOR UPDATE OF o SKIP LOCKED
	), gone AS (
		DELETE FROM public.ml_vector_outbox o USING mine WHERE mine.is_unchanged AND o.entity_type = mine.entity_type AND o.entity_id = mine.entity_id RETURNING 1
	), again AS (
		UPDATE public.ml_vector_outbox o SET leased_until = NULL, lease = NULL FROM mine
		WHERE NOT mine.is_unchanged AND o.entity_type = mine.entity_type AND o.entity_id = mine.entity_id
	)
	SELECT count(*) INTO n_gone FROM gone;
	RETURN n_gone;
END
$$;

-- Not delivered: tried again after 1 s, twice as long each time up to 10 min, give or take a quarter, so that many do not come back at once. After 12 attempts (about
-- 40 minutes), or at once with p_park, they go to ml_vector_dead. An entity that changed meanwhile starts anew. How many died.
CREATE FUNCTION public.ml_outbox_fail(p_lease bigint, p_entity_types text[], p_entity_ids uuid[], p_gens bigint[], p_errors text[], p_park boolean DEFAULT false) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
	max_attempts CONSTANT integer := 12;
	n_dead integer;
BEGIN
	PERFORM public.ml_outbox_check(p_lease, cardinality(p_entity_types), cardinality(p_entity_ids), cardinality(p_gens), cardinality(p_errors));
	WITH mine AS MATERIALIZED (
		SELECT o.*, o.gen = claimed.gen AS is_unchanged, left(claimed.error, 1000) AS error, (p_park OR o.attempts + 1 >= max_attempts) AND o.gen = claimed.gen AS is_dead
		FROM unnest(p_entity_types, p_entity_ids, p_gens, p_errors) claimed (entity_type, entity_id, gen, error)
		JOIN public.ml_vector_outbox o ON o.entity_type = claimed.entity_type AND o.entity_id = claimed.entity_id
		WHERE o.lease = p_lease
		FOR UPDATE OF o SKIP LOCKED
	), gone AS (
		DELETE FROM public.ml_vector_outbox o USING mine WHERE mine.is_dead AND o.entity_type = mine.entity_type AND o.entity_id = mine.entity_id
	), dead AS (
		INSERT INTO public.ml_vector_dead AS d (entity_type, entity_id, op, organization_id, gen, attempts, last_error, enqueued_at)
		SELECT entity_type, entity_id, op, organization_id, gen, attempts + 1, error, enqueued_at FROM mine WHERE is_dead
		ON CONFLICT (entity_type, entity_id) DO UPDATE SET op = excluded.op, organization_id = excluded.organization_id, gen = excluded.gen, attempts = excluded.attempts,
			last_error = excluded.last_error, enqueued_at = excluded.enqueued_at, died_at = now()
		RETURNING 1
	), again AS (
		UPDATE public.ml_vector_outbox o SET leased_until = NULL, lease = NULL, last_error = mine.error,
			attempts = CASE WHEN mine.is_unchanged THEN mine.attempts + 1 ELSE o.attempts END,
			next_attempt = CASE WHEN mine.is_unchanged
				THEN clock_timestamp() + least(power(2, mine.attempts), 600) * (0.75 + 0.5 * random()) * interval '1 second' ELSE o.next_attempt END
		FROM mine WHERE NOT mine.is_dead AND o.entity_type = mine.entity_type AND o.entity_id = mine.entity_id
	)
	SELECT count(*) INTO n_dead FROM dead;
	RETURN n_dead;
END
$$;

-- Dead notes live again: all, those of a type, or one. How many.
CREATE FUNCTION public.ml_outbox_revive(p_entity_type text DEFAULT NULL, p_entity_id uuid DEFAULT NULL) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	WITH risen AS (
		DELETE FROM public.ml_vector_dead WHERE (p_entity_type IS NULL OR entity_type = p_entity_type) AND (p_entity_id IS NULL OR entity_id = p_entity_id) RETURNING *
	), noted AS (
		INSERT INTO public.ml_vector_outbox AS o (entity_type, entity_id, op, organization_id, last_error, enqueued_at)
		SELECT entity_type, entity_id, op, organization_id, last_error, enqueued_at FROM risen
		ON CONFLICT (entity_type, entity_id) DO UPDATE SET gen = o.gen + 1, attempts = 0, next_attempt = least(o.next_attempt, now())
		RETURNING 1
	)
	SELECT count(*)::integer FROM noted
$$;

-- For a console or an alert.
CREATE FUNCTION public.ml_outbox_state(OUT waiting bigint, OUT leased bigint, OUT failing bigint, OUT dead bigint, OUT oldest_age interval)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
	SELECT count(*) FILTER (WHERE leased_until IS NULL OR leased_until <= now()), count(*) FILTER (WHERE leased_until > now()), count(*) FILTER (WHERE attempts > 0),
		(SELECT count(*) FROM public.ml_vector_dead), now() - min(enqueued_at)
	FROM public.ml_vector_outbox
$$;
GRANT EXECUTE ON FUNCTION public.ml_outbox_lease(integer, interval), public.ml_outbox_done(bigint, text[], uuid[], bigint[]),
	public.ml_outbox_fail(bigint, text[], uuid[], bigint[], text[], boolean), public.ml_outbox_revive(text, uuid), public.ml_outbox_state() TO ml_proxy;
GRANT EXECUTE ON FUNCTION public.ml_outbox_revive(text, uuid), public.ml_outbox_state() TO ml_service;

-- ---- triggers that take notes ----

-- The table's columns that the view of the type reads: a change of others is none for the vector.
CREATE FUNCTION public.ml_tracked_columns(p_table regclass, p_entity_type text) RETURNS name[] LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT array_agg(DISTINCT a.attname ORDER BY a.attname)
	FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
	JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
	WHERE r.ev_class = public.ml_require_source(p_entity_type) AND d.refobjid = p_table AND d.refobjsubid > 0
$$;

CREATE FUNCTION public.ml_track_function(p_name text, p_body text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	EXECUTE format($create$
		CREATE OR REPLACE FUNCTION public.%I() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
		BEGIN
			%s
			RETURN NULL;
		END
		$body$ $create$, p_name, p_body);
	EXECUTE format('ALTER FUNCTION public.%I() OWNER TO ml_owner', p_name);
	EXECUTE format('REVOKE ALL ON FUNCTION public.%I() FROM PUBLIC', p_name);
END
$$;

-- SQL that notes the rows (entity_type, id, op, organization_id) of a query.
CREATE FUNCTION public.ml_track_note(p_query text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT format('INSERT INTO public.ml_vector_outbox AS o (entity_type, entity_id, op, organization_id) %s
			ON CONFLICT (entity_type, entity_id) DO UPDATE SET op = excluded.op, gen = o.gen + 1, attempts = 0, next_attempt = least(o.next_attempt, now()),
				organization_id = excluded.organization_id;', p_query)
$$;

-- SQL that is true when one of the columns differs between OLD and NEW, the cheapest to compare first. Types of extensions are compared as bytes: their operators could not be
-- found without a search path.
CREATE FUNCTION public.ml_track_difference(p_table regclass, p_columns name[]) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT string_agg(CASE WHEN is_known THEN format('OLD.%1$I IS DISTINCT FROM NEW.%1$I', attname) ELSE format('ROW(OLD.%1$I)::record *<> ROW(NEW.%1$I)::record', attname) END,
		' OR ' ORDER BY is_known DESC, attlen < 0, attnum)
	FROM (SELECT attname, attlen, attnum, t.typnamespace = 'pg_catalog'::regnamespace
			AND EXISTS (SELECT FROM pg_opclass WHERE opcintype = t.oid AND opcdefault AND opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree')) AS is_known
		FROM pg_attribute JOIN pg_type t ON t.oid = atttypid WHERE attrelid = p_table AND attname = ANY (p_columns)) col
$$;

CREATE FUNCTION public.ml_vector_untrack(p_table regclass, p_entity_type text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	event text;
BEGIN
	FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
		EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', format('ml_track_%s_%s', p_entity_type, event), p_table);
		EXECUTE format('DROP FUNCTION IF EXISTS public.%I()', format('ml_track_%s_%s', p_entity_type, event));
	END LOOP;
END
$$;

-- From now on every statement that changes rows of the table notes them. Call it again after a change of the view. The caller must own the table and be
-- a member of ml_owner, or be a superuser.
--
-- INSERT and DELETE are noted once for each statement. UPDATE is looked at row by row: finding the pairs of old and new rows would take a join, whose start costs single-row updates more than
-- half of what the whole trigger does (measured: 25 us with it, 17 without; 50,000 rows at once pay 18 us a row instead of 9).
CREATE FUNCTION public.ml_vector_track(p_table regclass, p_entity_type text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET client_min_messages = warning AS $$
DECLARE
	prefix text := 'ml_track_' || p_entity_type || '_';
	columns name[];
	organization text := CASE WHEN public.ml_column_type(p_table, 'organization_id') = 'uuid'::regtype THEN '%sorganization_id' ELSE 'NULL::uuid' END;
BEGIN
	IF p_table IS NULL THEN
		RAISE EXCEPTION 'p_table must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF public.ml_column_type(p_table, 'id') IS DISTINCT FROM 'uuid'::regtype THEN
		RAISE EXCEPTION 'table % cannot be tracked: it has no column id of type uuid', p_table USING ERRCODE = 'undefined_column';
	END IF;
	columns := public.ml_tracked_columns(p_table, p_entity_type);
	IF NOT coalesce('id' = ANY (columns), false) THEN
		RAISE EXCEPTION 'entity type "%" is not made of rows of %', p_entity_type, p_table USING ERRCODE = 'invalid_parameter_value',
			DETAIL = format('The view ml_source_%s does not read its column id.', p_entity_type);
	END IF;
	PERFORM public.ml_vector_untrack(p_table, p_entity_type);
	PERFORM public.ml_track_function(prefix || 'insert',
		public.ml_track_note(format('SELECT %L, id, ''U'', %s FROM new_rows ORDER BY id', p_entity_type, format(organization, ''))));
	PERFORM public.ml_track_function(prefix || 'delete',
		public.ml_track_note(format('SELECT %L, id, ''D'', %s FROM old_rows ORDER BY id', p_entity_type, format(organization, ''))));
	PERFORM public.ml_track_function(prefix || 'update', format(E'IF %s THEN\n%s\nIF OLD.id <> NEW.id THEN\n%s\nEND IF;\nEND IF;', public.ml_track_difference(p_table, columns),
		public.ml_track_note(format('VALUES (%L, NEW.id, ''U'', %s)', p_entity_type, format(organization, 'NEW.'))),
		public.ml_track_note(format('VALUES (%L, OLD.id, ''D'', %s)', p_entity_type, format(organization, 'OLD.')))));
	-- Nobody can say which rows a TRUNCATE took: all that have a vector.
	PERFORM public.ml_track_function(prefix || 'truncate', public.ml_track_note(format(
		'SELECT DISTINCT ON (entity_id) %L, entity_id, ''D'', organization_id FROM public.ml_vector_metadata WHERE entity_type = %1$L AND deleted_at IS NULL ORDER BY entity_id', p_entity_type)));
	EXECUTE format('CREATE TRIGGER %I AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION public.%1$I()', prefix || 'insert', p_table);
	EXECUTE format('CREATE TRIGGER %I AFTER UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION public.%1$I()', prefix || 'update', p_table);
	EXECUTE format('CREATE TRIGGER %I AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION public.%1$I()', prefix || 'delete', p_table);
	EXECUTE format('CREATE TRIGGER %I AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION public.%1$I()', prefix || 'truncate', p_table);
END
$$;

-- ---- how often vectors are found ----

-- Hits of searches, many at once: p_hits[i] for p_metadata_ids[i]. Added up by hour, so that a search does not rewrite what it found. How many rows were counted; vectors that are gone are not.
CREATE FUNCTION public.ml_search_stats_add(p_metadata_ids uuid[], p_hits integer[], p_hour timestamptz DEFAULT now()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	n_rows integer;
BEGIN
	PERFORM public.ml_outbox_check(0, cardinality(p_metadata_ids), cardinality(p_metadata_ids), cardinality(p_hits), cardinality(p_hits));
	INSERT INTO public.ml_vector_search_stats AS s (hour, metadata_id, hits)
	SELECT date_trunc('hour', p_hour), m.id, sum(found.hits) FROM unnest(p_metadata_ids, p_hits) found (id, hits) JOIN public.ml_vector_metadata m ON m.id = found.id
	WHERE found.hits > 0 GROUP BY m.id ORDER BY m.id
	ON CONFLICT (hour, metadata_id) DO UPDATE SET hits = s.hits + excluded.hits;
	GET DIAGNOSTICS n_rows = ROW_COUNT;
	RETURN n_rows;
END
$$;

-- Brings search_frequency_count and last_search_used up to date and forgets hours older than 90 days. How many vectors it touched.
CREATE FUNCTION public.ml_search_stats_roll_up() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	n_rows integer;
BEGIN
	WITH counted AS (
		UPDATE public.ml_vector_search_stats s SET rolled_up = s.hits FROM (SELECT hour, metadata_id, rolled_up FROM public.ml_vector_search_stats
			WHERE hits > rolled_up ORDER BY hour, metadata_id FOR UPDATE) old
		WHERE s.hour = old.hour AND s.metadata_id = old.metadata_id RETURNING s.metadata_id, s.hits - old.rolled_up AS hits, s.hour
	)
	UPDATE public.ml_vector_metadata m SET search_frequency_count = least(m.search_frequency_count + total.hits, 2147483647)::integer,
		last_search_used = greatest(m.last_search_used, least(total.hour + interval '1 hour', now()))
	FROM (SELECT metadata_id, sum(hits) AS hits, max(hour) AS hour FROM counted GROUP BY metadata_id) total WHERE m.id = total.metadata_id;
	GET DIAGNOSTICS n_rows = ROW_COUNT;
	DELETE FROM public.ml_vector_search_stats WHERE hour < now() - interval '90 days';
	RETURN n_rows;
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_search_stats_add(uuid[], integer[], timestamptz), public.ml_search_stats_roll_up() TO ml_proxy;

RESET ROLE;
