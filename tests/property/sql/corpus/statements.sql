/*ml_class='training'*/ SELECT id, embedding <=> '[1,2,3]'::vector AS distance FROM items WHERE tenant_id = $1 ORDER BY embedding <=> $2 LIMIT 10;
COPY (SELECT * FROM service_events WHERE created_at >= now() - interval '30 days') TO STDOUT WITH (FORMAT csv, HEADER);
INSERT INTO t (a, "B c", d) VALUES (1, 'x', NULL), (-2, E'it\'s', DEFAULT) ON CONFLICT (a) DO UPDATE SET d = EXCLUDED.d RETURNING id;
CREATE FUNCTION f(a int DEFAULT 1, VARIADIC b text[] = '{}') RETURNS text LANGUAGE plpgsql AS $fn$
DECLARE r record; -- it's
BEGIN
	FOR r IN SELECT 1..10 LOOP RAISE NOTICE '%', $1; END LOOP;
	EXECUTE format($q$SELECT %I FROM %L$q$, a, b); /* " */
	RETURN $1 || $$'$$;
END $fn$;
UPDATE t SET j = j #- '{a,b}' || jsonb_build_object('k', j->'x'->>'y'), a[1:2] = ARRAY[[1,2],[3,4]] WHERE j @? '$.a[*] ? (@ > 1)' AND j ?| array['a','b'];
SELECT ST_DWithin(geom, ST_SetSRID(ST_MakePoint(-71.06, 42.36), 4326)::geography, 1000), geom <-> 'SRID=4326;POINT(-71 42)'::geometry FROM places p;
SELECT x FROM generate_series(1,10,2) AS s(x) WHERE x BETWEEN -1 AND +1 AND NOT x = ANY('{1,2}'::int[]) OFFSET 1*-1;
SELECT n.nspname, c.relname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default;
PREPARE p (int, text) AS SELECT $1, $2; EXECUTE p (1, N'x'); DECLARE c CURSOR WITH HOLD FOR SELECT U&"d\0061ta" FROM t;
select 1;select 2 ; ; -- done
