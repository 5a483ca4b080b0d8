-- SPDX-License-Identifier: ISC
-- Partitions by month: which tables have them, how many are made ahead, how long they are kept, and the function that sees to it.
--
-- pglane calls ml_maintain() (015) hourly; cron may as well. A second run finds nothing to do. What it cannot lock within two seconds it reports as
-- "busy" and leaves to the next run, so that it never makes an application wait for longer.

SET LOCAL ROLE ml_owner;

CREATE TABLE public.ml_partition_policy (
	table_name name PRIMARY KEY,
	months_ahead integer NOT NULL DEFAULT 3 CHECK (months_ahead BETWEEN 1 AND 24),
	-- Null: kept for ever.
	retention_months integer CHECK (retention_months >= 1),
	-- Months are dropped only after they were sealed (014).
	seal boolean NOT NULL DEFAULT false
);
INSERT INTO public.ml_partition_policy VALUES
	('ml_predictions', 3, 24, false), ('ml_audit_logs', 3, NULL, true), ('db_connection_pool_metrics', 3, 3, false);
GRANT SELECT ON public.ml_partition_policy TO ml_proxy, ml_auditor, ml_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.ml_partition_policy TO ml_migrator;

-- The months of a table that have a partition, bounds in UTC; the default partition has none.
CREATE FUNCTION public.ml_partitions(p_table regclass) RETURNS TABLE (partition regclass, beginning timestamptz, ending timestamptz)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
	SELECT c.oid::regclass, bound[1]::timestamptz, bound[2]::timestamptz
	FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
		LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)') bound
	WHERE i.inhparent = p_table
	ORDER BY 2
$$;

CREATE FUNCTION public.ml_default_partition(p_table regclass) RETURNS regclass
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT nullif(partdefid, 0)::regclass FROM pg_partitioned_table WHERE partrelid = p_table
$$;

CREATE FUNCTION public.ml_partition_column(p_table regclass) RETURNS name
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
	SELECT attname FROM pg_partitioned_table JOIN pg_attribute ON attrelid = partrelid AND attnum = partattrs[0] WHERE partrelid = p_table
$$;

-- What a partition does not take over from its parent by being attached: triggers for each statement, and the refusal of direct access.
CREATE FUNCTION public.ml_guard_partition(p_table regclass, p_partition regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	missing record;
BEGIN
	FOR missing IN SELECT t.tgname, t.tgfoid::regprocedure AS function FROM pg_trigger t
			WHERE t.tgrelid = p_table AND NOT t.tgisinternal AND t.tgtype & 1 = 0 AND t.tgtype & 32 <> 0
			AND NOT EXISTS (SELECT FROM pg_trigger own WHERE own.tgrelid = p_partition AND own.tgname = t.tgname) LOOP
		EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s', missing.tgname, p_partition, missing.function);
	END LOOP;
	-- Policies of the parent do not hold for a partition that is named directly. Row security without a policy refuses everybody but the owner.
	IF (SELECT relrowsecurity FROM pg_class WHERE oid = p_table) AND NOT (SELECT relrowsecurity FROM pg_class WHERE oid = p_partition) THEN
		EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', p_partition);
	END IF;
END
$$;

-- Makes the partition of one month; rows of it that the default partition holds move there. Number of rows moved.
-- Readers go on, unlike with CREATE ... PARTITION OF. Writers wait for the moment that it takes: one that had chosen the default partition for its row would otherwise be refused
-- ("violates partition constraint") when the new one is attached before it gets there.
CREATE FUNCTION public.ml_make_partition(p_table regclass, p_beginning timestamptz) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	parent name := (SELECT relname FROM pg_class WHERE oid = p_table);
	home name := (SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = p_table);
	part text := format('%I.%I', home, parent || to_char(p_beginning, '_YYYY_MM'));
	ending timestamptz := p_beginning + interval '1 month';
	key name := public.ml_partition_column(p_table);
	remainder regclass := public.ml_default_partition(p_table);
	n_moved bigint := 0;
BEGIN
	EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL)', part, p_table);
	EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', p_table);
	IF remainder IS NOT NULL THEN
		EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', remainder);
		PERFORM set_config('ml.maintenance', 'on', true);
		EXECUTE format('WITH moved AS (DELETE FROM %s WHERE %I >= $1 AND %2$I < $2 RETURNING *) INSERT INTO %s SELECT * FROM moved', remainder, key, part)
			USING p_beginning, ending;
		GET DIAGNOSTICS n_moved = ROW_COUNT;
		PERFORM set_config('ml.maintenance', '', true);
	END IF;
	EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', p_table, part, p_beginning, ending);
	PERFORM public.ml_guard_partition(p_table, part::regclass);
	RETURN n_moved;
END
$$;

-- The months that shall have a partition and have none: from the present one on, and those of rows in the default partition. Rows of a farther
-- future stay in the default partition until their time comes.
CREATE FUNCTION public.ml_missing_months(p_table regclass, p_now timestamptz, p_months_ahead integer) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
	this_month timestamptz := date_trunc('month', p_now);
	remainder regclass := public.ml_default_partition(p_table);
BEGIN
	RETURN QUERY EXECUTE format($query$
		SELECT DISTINCT wanted FROM (
			SELECT $1 + make_interval(months => i) AS wanted FROM generate_series(0, $2) i
			%s) month
		WHERE NOT EXISTS (SELECT FROM public.ml_partitions($3) p WHERE p.beginning < wanted + interval '1 month' AND p.ending > wanted)
		ORDER BY wanted$query$,
		CASE WHEN remainder IS NOT NULL THEN
			format('UNION ALL SELECT date_trunc(''month'', %I) FROM %s WHERE %1$I < $1 AND isfinite(%1$I)', public.ml_partition_column(p_table), remainder)
		END)
		USING this_month, p_months_ahead, p_table;
END
$$;

CREATE FUNCTION public.ml_maintain_partitions(p_now timestamptz DEFAULT now()) RETURNS TABLE (action text, relation text, n_rows bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
	policy record;
	parent regclass;
	month timestamptz;
	old record;
BEGIN
	IF p_now IS NULL THEN
		RAISE EXCEPTION 'p_now must not be null' USING ERRCODE = 'null_value_not_allowed';
	END IF;
	-- Who could name any time could have everything dropped.
	IF abs(extract(epoch FROM p_now - now())) > 86400 AND NOT pg_has_role(public.ml_caller(), 'ml_owner', 'MEMBER') THEN
		RAISE EXCEPTION 'only members of ml_owner may maintain partitions as of another day' USING ERRCODE = 'insufficient_privilege',
			DETAIL = format('p_now is %s.', p_now);
	END IF;
	IF NOT pg_try_advisory_xact_lock(hashtextextended('ml_maintain_partitions', 0)) THEN
		RETURN QUERY SELECT 'busy', 'another run', 0::bigint;
		RETURN;
	END IF;
	FOR policy IN SELECT * FROM public.ml_partition_policy ORDER BY table_name LOOP
		parent := to_regclass(format('public.%I', policy.table_name));
		IF parent IS NULL OR NOT EXISTS (SELECT FROM pg_partitioned_table WHERE partrelid = parent) THEN
			RETURN QUERY SELECT 'not partitioned', policy.table_name::text, 0::bigint;
			CONTINUE;
		END IF;
		FOR month IN SELECT * FROM public.ml_missing_months(parent, p_now, policy.months_ahead) LOOP
			relation := policy.table_name || to_char(month, '_YYYY_MM');
			BEGIN
				n_rows := public.ml_make_partition(parent, month);
				action := 'created';
			EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
				action := 'busy';
				n_rows := 0;
			END;
			RETURN NEXT;
		END LOOP;
		FOR old IN SELECT p.partition, (SELECT relname FROM pg_class WHERE oid = p.partition) AS name FROM public.ml_partitions(parent) p
				WHERE p.ending <= date_trunc('month', p_now) - make_interval(months => policy.retention_months) LOOP
			relation := old.name;
			n_rows := 0;
			IF policy.seal AND NOT public.ml_partition_is_sealed(old.partition) THEN
				action := 'kept unsealed';
			ELSE
				BEGIN
					EXECUTE format('DROP TABLE %s', old.partition);
					IF policy.seal THEN
						PERFORM public.ml_partition_dropped(old.name);
					END IF;
					action := 'dropped';
				EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
					action := 'busy';
				END;
			END IF;
			RETURN NEXT;
		END LOOP;
		IF public.ml_default_partition(parent) IS NOT NULL THEN
			EXECUTE format('SELECT count(*) FROM %s', public.ml_default_partition(parent)) INTO n_rows;
			IF n_rows > 0 THEN
				action := 'rows in default';
				relation := policy.table_name;
				RAISE WARNING '% rows of % fit no partition', n_rows, policy.table_name USING HINT = 'Their time is in a far future, or ml_maintain_partitions() has not run.';
				RETURN NEXT;
			END IF;
		END IF;
	END LOOP;
END
$$;
GRANT EXECUTE ON FUNCTION public.ml_maintain_partitions(timestamptz) TO ml_proxy, ml_migrator;

-- No month is sealed before there are seals; 014 puts the real ones here.
CREATE FUNCTION public.ml_partition_is_sealed(p_partition regclass) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS
	'SELECT false';
CREATE FUNCTION public.ml_partition_dropped(p_name name) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS
	'BEGIN END';

SELECT public.ml_maintain_partitions();

RESET ROLE;
