-- SPDX-License-Identifier: ISC
-- The audit log takes rows and gives none back: no UPDATE, DELETE or TRUNCATE, of the table or of a partition. A superuser can switch that off, so a month that has
-- ended is also sealed: a digest over its rows and over the seal before it. Copy the seals elsewhere, and a change shows to whoever has the copy.

SET LOCAL ROLE ml_owner;

CREATE FUNCTION public.ml_audit_refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- Rows that move from the default partition into their month, or the note that retention dropped one; both by ml_maintain_partitions().
	IF current_user = 'ml_owner' AND current_setting('ml.maintenance', true) = 'on' THEN
		RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
	END IF;
	RAISE EXCEPTION '% is append-only', CASE WHEN TG_TABLE_NAME LIKE 'ml\_audit\_logs%' THEN 'ml_audit_logs' ELSE TG_TABLE_NAME END
		USING ERRCODE = 'insufficient_privilege', DETAIL = format('%s of %s was refused.', TG_OP, TG_TABLE_NAME),
		HINT = 'What has become too old is dropped by the month: ml_partition_policy.';
END
$$;

CREATE TABLE public.ml_audit_seals (
	id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	month date NOT NULL UNIQUE,
	partition name NOT NULL,
	n_rows bigint NOT NULL,
	-- Those that the digest is over, in their order: a column added later is none of it.
	columns text[] NOT NULL,
	digest bytea NOT NULL,
	previous bytea,
	sealed_at timestamptz NOT NULL DEFAULT now(),
	sealed_by name NOT NULL DEFAULT session_user,
	dropped_at timestamptz
);
GRANT SELECT ON public.ml_audit_seals TO ml_auditor, ml_service;

CREATE TRIGGER ml_append_only BEFORE UPDATE OR DELETE ON public.ml_audit_logs FOR EACH ROW EXECUTE FUNCTION public.ml_audit_refuse();
CREATE TRIGGER ml_append_only_truncate BEFORE TRUNCATE ON public.ml_audit_logs FOR EACH STATEMENT EXECUTE FUNCTION public.ml_audit_refuse();
CREATE TRIGGER ml_append_only BEFORE UPDATE OR DELETE ON public.ml_audit_seals FOR EACH ROW EXECUTE FUNCTION public.ml_audit_refuse();
CREATE TRIGGER ml_append_only_truncate BEFORE TRUNCATE ON public.ml_audit_seals FOR EACH STATEMENT EXECUTE FUNCTION public.ml_audit_refuse();
SELECT public.ml_guard_partition('public.ml_audit_logs', inhrelid) FROM pg_catalog.pg_inherits WHERE inhparent = 'public.ml_audit_logs'::regclass;

CREATE FUNCTION public.ml_audit_refuse_late() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RAISE EXCEPTION 'the month of % is sealed', NEW.timestamp USING ERRCODE = 'object_not_in_prerequisite_state', DETAIL = format('%s takes no more rows.', TG_TABLE_NAME);
END
$$;

-- Digest over rows in the order of time and id; each row as PostgreSQL writes a record, in which no two rows read the same. By day, then over the days.
CREATE FUNCTION public.ml_audit_digest(p_partition regclass, p_columns text[], p_previous bytea, OUT n_rows bigint, OUT digest bytea)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET bytea_output = 'hex'
SET extra_float_digits = 1 AS $$
BEGIN
	EXECUTE format($query$
		SELECT coalesce(sum(n), 0), sha256(coalesce($1, '') || convert_to($2, 'UTF8') || coalesce(string_agg(hash, ''::bytea ORDER BY day), ''))
		FROM (SELECT date_trunc('day', timestamp) AS day, count(*) AS n, sha256(string_agg(sha256(convert_to(ROW(%s)::text, 'UTF8')), ''::bytea ORDER BY timestamp, id)) AS hash
			FROM %s GROUP BY 1) by_day$query$, (SELECT string_agg(quote_ident(col), ', ') FROM unnest(p_columns) col), p_partition)
		INTO n_rows, digest USING p_previous, array_to_string(p_columns, ',');
END
$$;

CREATE FUNCTION public.ml_audit_seal(p_month date) RETURNS bytea LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
	beginning timestamptz := date_trunc('month', p_month::timestamp) AT TIME ZONE 'UTC';
	part regclass;
	sealed public.ml_audit_seals;
BEGIN
	IF p_month IS NULL THEN
		RAISE EXCEPTION 'p_month must not be null' USING ERRCODE = 'null_value_not_allowed';
	ELSIF beginning + interval '1 month' > now() THEN
		RAISE EXCEPTION 'the month of % has not ended', p_month USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;
	LOCK TABLE public.ml_audit_seals IN SHARE ROW EXCLUSIVE MODE;
	SELECT * INTO sealed FROM public.ml_audit_seals WHERE month = beginning::date;
	IF FOUND THEN
		RETURN sealed.digest;
	END IF;
	SELECT partition INTO part FROM public.ml_partitions('public.ml_audit_logs') p WHERE p.beginning = date_trunc('month', p_month::timestamp) AT TIME ZONE 'UTC';
	IF part IS NULL THEN
		RAISE EXCEPTION 'ml_audit_logs has no partition for the month of %', p_month USING ERRCODE = 'undefined_table', HINT = 'If it has rows, ml_maintain_partitions() makes one.';
	END IF;
	EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', part);
	IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = part AND tgname = 'ml_sealed') THEN
		EXECUTE format('CREATE TRIGGER ml_sealed BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION public.ml_audit_refuse_late()', part);
	END IF;
	sealed.previous := (SELECT digest FROM public.ml_audit_seals ORDER BY id DESC LIMIT 1);
	sealed.columns := (SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute WHERE attrelid = part AND attnum > 0 AND NOT attisdropped);
	SELECT * INTO sealed.n_rows, sealed.digest FROM public.ml_audit_digest(part, sealed.columns, sealed.previous);
	INSERT INTO public.ml_audit_seals (month, partition, n_rows, columns, digest, previous)
	VALUES (beginning::date, (SELECT relname FROM pg_class WHERE oid = part), sealed.n_rows, sealed.columns, sealed.digest, sealed.previous);
	RETURN sealed.digest;
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_audit_seal(date) TO ml_migrator;

-- Every seal, or that of one month, held against the rows. ok is null for a month that retention has dropped.
CREATE FUNCTION public.ml_audit_verify(p_month date DEFAULT NULL) RETURNS TABLE (month date, partition name, ok boolean, problem text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	seal record;
	part regclass;
	now_n bigint;
	now_digest bytea;
BEGIN
	IF p_month IS NOT NULL AND NOT EXISTS (SELECT FROM public.ml_audit_seals s WHERE s.month = date_trunc('month', p_month)::date) THEN
		RAISE EXCEPTION 'the month of % was never sealed', p_month USING ERRCODE = 'undefined_object';
	END IF;
	FOR seal IN SELECT s.*, lag(s.digest) OVER (ORDER BY s.id) AS chain FROM public.ml_audit_seals s ORDER BY s.id LOOP
		CONTINUE WHEN p_month IS NOT NULL AND seal.month <> date_trunc('month', p_month)::date;
		month := seal.month;
		partition := seal.partition;
		problem := NULL;
		part := to_regclass(format('public.%I', seal.partition));
		IF seal.chain IS DISTINCT FROM seal.previous THEN
			problem := 'the seal before it was changed or removed';
		ELSIF part IS NULL AND seal.dropped_at IS NOT NULL THEN
			ok := NULL;
			problem := format('dropped by retention at %s', seal.dropped_at);
			RETURN NEXT;
			CONTINUE;
		ELSIF part IS NULL THEN
			problem := 'the partition is missing';
		ELSE
			BEGIN
				SELECT d.n_rows, d.digest INTO now_n, now_digest FROM public.ml_audit_digest(part, seal.columns, seal.previous) d;
				problem := CASE WHEN now_n <> seal.n_rows THEN format('%s rows were sealed and %s are there', seal.n_rows, now_n)
					WHEN now_digest <> seal.digest THEN 'rows were changed' END;
			EXCEPTION WHEN undefined_column THEN
				problem := 'a column was removed: ' || SQLERRM;
			END;
		END IF;
		ok := problem IS NULL;
		RETURN NEXT;
	END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_audit_verify(date) TO ml_auditor, ml_migrator;

-- For ml_maintain_partitions(): a month may be dropped once it is sealed, and the seal says so.
CREATE OR REPLACE FUNCTION public.ml_partition_is_sealed(p_partition regclass) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT EXISTS (SELECT FROM public.ml_audit_seals s JOIN pg_class c ON c.relname = s.partition WHERE c.oid = p_partition)
$$;

CREATE OR REPLACE FUNCTION public.ml_partition_dropped(p_name name) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM set_config('ml.maintenance', 'on', true);
	UPDATE public.ml_audit_seals SET dropped_at = now() WHERE partition = p_name;
	PERFORM set_config('ml.maintenance', '', true);
END
$$;

RESET ROLE;
