-- SPDX-License-Identifier: ISC
-- Searches in SQL: hits as rows, and places in metres.
BEGIN;
SELECT plan(33);
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;

-- ---- hits ----

SELECT is((SELECT count(*) FROM ml_vector_hits()), 0::bigint, 'no hits: no rows');
SELECT set_config('pglane.hits', format('[["%s", 0.25, 0.75], ["%s", 0.5], ["%s", null, 2]]', md5('a')::uuid, md5('b')::uuid, md5('c')::uuid), true) \g /dev/null
SELECT results_eq('SELECT id, distance, score, rank FROM ml_vector_hits()', $$VALUES (md5('a')::uuid, 0.25::real, 0.75::real, 1), (md5('b')::uuid, 0.5, NULL, 2), (md5('c')::uuid, NULL, 2, 3)$$, 'hits in their order');
SAVEPOINT s;
SELECT set_config('pglane.hits', '[]', true) \g /dev/null
SELECT is((SELECT count(*) FROM ml_vector_hits()), 0::bigint, 'none found: no rows');
ROLLBACK TO s;
SELECT is((SELECT count(*) FROM ml_vector_hits()), 3::bigint, 'what a savepoint set goes with it');
SELECT set_config('pglane.second', format('[["%s"]]', md5('d')::uuid), true) \g /dev/null
SELECT is((SELECT id FROM ml_vector_hits('second')), md5('d')::uuid, 'a second slot');
SELECT throws_ok($$SELECT set_config('pglane.broken', '[["', true); SELECT * FROM ml_vector_hits('broken')$$, '22P02', NULL, 'JSON that is none');
SELECT throws_ok($$SELECT set_config('pglane.broken', '{"a": 1}', true); SELECT * FROM ml_vector_hits('broken')$$, '22023', NULL, 'JSON that is no array');
SELECT throws_ok($$SELECT set_config('pglane.broken', '[["not a uuid", 1]]', true); SELECT * FROM ml_vector_hits('broken')$$, '22P02', NULL, 'an id that is none');
SELECT throws_ok($$SELECT set_config('pglane.broken', '[[]]', true); SELECT * FROM ml_vector_hits('broken')$$, '22P02', NULL, 'a hit without id is no row of nulls');
SELECT throws_ok($$SELECT set_config('pglane.broken', format('[["%s", "near"]]', gen_random_uuid()), true); SELECT * FROM ml_vector_hits('broken')$$, '22P02', NULL, 'a distance that is none');
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; whole text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		whole := whole || line || E'\n';
	END LOOP;
	RETURN whole;
END $$;
SELECT unalike(pg_temp.plan_of('SELECT * FROM ml_vector_hits()'), '%ml_vector_hits%', 'the function is planned into its statement');
SELECT is(pg_temp.as_role('data_scientist', 'SELECT count(*) FROM ml_vector_hits()'), '3', 'everybody may use it');

-- ---- places ----

-- 111.32 m north of the place for each thousandth of a degree; the third is far enough that degrees and metres cannot be mixed up.
INSERT INTO service_events (id, organization_id, event_type, description, location, service_date)
	SELECT md5('near' || n)::uuid, md5('1organization1')::uuid, 'pickup', 'd', ST_MakePoint(-30, 0.001 * n)::geography, now() FROM unnest('{1,4,9,1000}'::int[]) n;
INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id, vector_version) SELECT 'service_event', md5('near' || n)::uuid, 'near' || n || v, v FROM unnest('{1,4,9,1000}'::int[]) n, generate_series(1, 2) v;
SELECT results_eq($$SELECT vector_id, round(distance_m) FROM ml_spatial_candidates(-30, 0, 500)$$, $$VALUES ('near12'::varchar, 111::float8), ('near42', 442)$$, '500 m are metres; nearest first; the latest version');
SELECT is((SELECT count(*) FROM ml_spatial_candidates(-30, 0, 200000)), 4::bigint, '200 km have all four');
SELECT is((SELECT count(*) FROM ml_spatial_candidates(-30, 0, 200000, p_limit => 2)), 2::bigint, 'p_limit is a limit');
SELECT is((SELECT count(*) FROM ml_spatial_candidates(-30, 0, 500, md5('1organization2')::uuid)), 0::bigint, 'another organization has none there');
UPDATE service_events SET deleted_at = now() WHERE id = md5('near1')::uuid;
UPDATE ml_vector_metadata SET deleted_at = now() WHERE entity_id = md5('near4')::uuid AND vector_version = 2;
SELECT results_eq($$SELECT vector_id FROM ml_spatial_candidates(-30, 0, 500)$$, $$VALUES ('near41'::varchar)$$, 'no deleted entity; of the versions the latest that is not deleted');
SELECT ok((SELECT count(*) > 0 FROM ml_spatial_candidates(c.lon, c.lat, 100, p_entity_type => 'customer_behavior')), 'customers by their address') FROM (SELECT ST_X(service_address::geometry) AS lon, ST_Y(service_address::geometry) AS lat
	FROM customers JOIN ml_vector_metadata m ON m.entity_id = customers.id AND m.deleted_at IS NULL WHERE customers.deleted_at IS NULL AND service_address IS NOT NULL LIMIT 1) c;

SELECT throws_ok($$SELECT ml_spatial_candidates(NULL, 0, 500)$$, '22004', NULL, 'no place');
SELECT throws_ok($$SELECT ml_spatial_candidates(0, 91, 500)$$, '22003', NULL, 'a latitude that is a longitude');
SELECT throws_ok($$SELECT ml_spatial_candidates('NaN', 0, 500)$$, '22003', NULL, 'NaN');
SELECT throws_ok($$SELECT ml_spatial_candidates(0, 0, 0)$$, '22003', NULL, 'no radius');
SELECT throws_ok($$SELECT ml_spatial_candidates(0, 0, 'infinity')$$, '22003', NULL, 'too much of it');
SELECT throws_ok($$SELECT ml_spatial_candidates(0, 0, 500, p_entity_type => 'weather')$$, '22023', 'unknown entity type "weather"', 'an unknown type');
SELECT throws_ok($$SELECT ml_spatial_candidates(0, 0, 500, p_limit => 0)$$, '2201W', NULL, 'a limit of none');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT count(*) FROM ml_spatial_candidates(-30, 0, 500)')$$, '22004', NULL, 'an organization is required');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT count(*) FROM ml_spatial_candidates(-30, 0, 500, md5(''1organization1'')::uuid)')$$, '42501', NULL, 'a foreign one refused');
INSERT INTO ml_role_organizations VALUES ('data_scientist', md5('1organization1')::uuid);
SELECT is(pg_temp.as_role('data_scientist', 'SELECT count(*) FROM ml_spatial_candidates(-30, 0, 500, md5(''1organization1'')::uuid)'), '1', 'its own given, though it may not read service_events');

-- The same on geometry, where ST_DWithin alone would take metres for degrees.
DROP VIEW ml_source_service_event;
DROP INDEX idx_service_events_location_geog, service_events_location;
ALTER TABLE service_events ALTER location TYPE geometry(Point, 4326) USING location::geometry;
SELECT count(*) FROM ml_attach_foundation() \g /dev/null
SELECT results_eq($$SELECT vector_id, round(distance_m) FROM ml_spatial_candidates(-30, 0, 500)$$, $$VALUES ('near41'::varchar, 442::float8)$$, '500 m on geometry');
CREATE INDEX tap_geog ON service_events USING gist ((location::geography));
SET LOCAL enable_seqscan = off;
SELECT matches(pg_temp.plan_of('SELECT id FROM service_events e WHERE ST_DWithin((e.location)::geography, ml_place(-30, 0), 500)'), 'tap_geog', 'an index of the cast serves it');
ALTER TABLE service_events DROP COLUMN location CASCADE;
SELECT count(*) FROM ml_attach_foundation() \g /dev/null
SELECT throws_ok($$SELECT ml_spatial_candidates(-30, 0, 500)$$, '42703', 'entity type "service_event" has no place', 'without a column for places that is said');
SELECT is((SELECT jit FROM (SELECT 'jit=off' = ANY (proconfig) AS jit FROM pg_proc WHERE proname = 'ml_spatial_candidates') p), true, 'and nothing is compiled for it');
SELECT is((SELECT proconfig FROM pg_proc WHERE proname = 'ml_vector_hits'), NULL, 'ml_vector_hits has no SET clause, which would keep it out of the plan');

SELECT * FROM finish();
ROLLBACK;
