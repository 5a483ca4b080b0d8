-- SPDX-License-Identifier: ISC
-- Sources: what may leave, and what happens where the application's tables are missing, late or of other types.
BEGIN;
SELECT plan(35);
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;

-- ---- what may leave ----

SELECT is_empty($$SELECT attrelid::regclass, attname FROM pg_attribute WHERE attrelid::regclass::text ~ '^ml_source_' AND attnum > 0 AND attname ~ 'name|email|phone|street|city|postal|notes|performed_by|driver|created_by|resolution'$$,
	'no name, address, number, free note or person is in a source');
INSERT INTO service_events (id, organization_id, customer_id, event_type, description, location, service_date, contact_phone, notes)
	SELECT md5('tap')::uuid, organization_id, id, 'pickup', 'a bin', 'POINT(13.4 52.5)', now(), '+49 30 111111', 'secret note' FROM customers WHERE deleted_at IS NULL AND service_address IS NOT NULL LIMIT 1;
SELECT unalike((SELECT to_jsonb(s)::text FROM ml_source_service_event s WHERE id = md5('tap')::uuid), '%111111%', 'a telephone number stays');
ALTER TABLE service_events ADD COLUMN added_later text DEFAULT 'leaks';
SELECT unalike((SELECT to_jsonb(s)::text FROM ml_source_service_event s WHERE id = md5('tap')::uuid), '%leaks%', 'and so does a column that was added later');
SELECT ok((SELECT customer_longitude IS NOT NULL AND spatial_context -> 'customer_location' ->> 'type' = 'Point' FROM ml_source_service_event WHERE id = md5('tap')::uuid), 'an event knows where its customer is');
UPDATE customers SET deleted_at = now() WHERE id = (SELECT customer_id FROM service_events WHERE id = md5('tap')::uuid);
SELECT ok((SELECT customer_longitude IS NULL AND customer_id IS NOT NULL FROM ml_source_service_event WHERE id = md5('tap')::uuid), 'but not where a deleted one was');
SELECT isnt(ml_vector_object('service_event', md5('tap')::uuid), NULL, 'an entity is an object');
SELECT is(ml_vector_object('service_event', md5('tap')::uuid) #> '{properties,location}', '{"latitude": 52.5, "longitude": 13.4}', 'latitude and longitude are not swapped');
SELECT is(ml_vector_object('service_event', md5('tap')::uuid) ->> 'collection', 'ServiceEventVector', 'of a collection');
UPDATE service_events SET deleted_at = now() WHERE id = md5('tap')::uuid;
SELECT is(ml_vector_object('service_event', md5('tap')::uuid), NULL, 'a deleted one is none');
SELECT is((SELECT count(*) FROM ml_vector_objects('customer_behavior', (SELECT array_agg(id) FROM customers WHERE deleted_at IS NULL))), (SELECT count(*) FROM customers WHERE deleted_at IS NULL), 'many at once');
SELECT ok((SELECT object #> '{properties,routeGeometry,0}' ?& '{lat,lon}' FROM ml_vector_objects('route_optimization', (SELECT array_agg(id) FROM routes WHERE route_geometry IS NOT NULL AND deleted_at IS NULL)) LIMIT 1), 'a route has its points');

-- ---- asking wrongly ----

SELECT throws_ok($$SELECT ml_vector_object('weather', md5('tap')::uuid)$$, '22023', 'unknown entity type "weather"', 'an unknown type');
SELECT throws_ok($$SELECT ml_vector_object('service_event"; DROP TABLE users; --', md5('tap')::uuid)$$, '22023', NULL, 'a type that is more than a type');
SELECT throws_ok($$SELECT ml_vector_object(NULL, md5('tap')::uuid)$$, '22004', NULL, 'no type');
SELECT throws_ok($$SELECT ml_vector_object('service_event', NULL)$$, '22004', NULL, 'no entity');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT ml_vector_object(''service_event'', md5(''tap'')::uuid)')$$, '42501', NULL, 'a role that is not for it');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT count(*) FROM ml_source_service_event')$$, '42501', NULL, 'nor for the views, which show all organizations');
SELECT is(pg_temp.as_role('ml_engineer', 'SELECT ml_vector_object(''service_event'', md5(''1event1'')::uuid)'), NULL, 'without an organization an engineer sees no object');
SELECT isnt(pg_temp.as_role('ml_proxy', 'SELECT count(*) FROM ml_source_service_event'), '0', 'the proxy sees them');

-- ---- tables that are missing, late or of other types ----

SELECT is((SELECT array_agg(DISTINCT result) FROM ml_attach_foundation()), '{there}', 'attaching twice changes nothing');
DROP VIEW ml_source_service_event, ml_source_customer_behavior, ml_source_route_optimization;
DROP TABLE audit_logs, user_security, service_events, bins, routes, vehicles CASCADE;
SELECT throws_ok($$SELECT ml_vector_object('service_event', md5('tap')::uuid)$$, '42P01', 'entity type "service_event" has no source: there is no view ml_source_service_event', 'a missing table is named');
SELECT is((SELECT result FROM ml_attach_foundation() WHERE what = 'ml_source_service_event'), 'no table service_events', 'and attaching says so');
CREATE TABLE service_events (id int, organization_id uuid);
SELECT is((SELECT result FROM ml_attach_foundation() WHERE what = 'ml_source_service_event'), 'skipped: service_events needs id and organization_id, both uuid', 'as it does of ids that are no uuid');
DROP TABLE service_events;
CREATE TABLE service_events (id uuid PRIMARY KEY, organization_id uuid NOT NULL, location geometry(Point, 4326), service_date date, duration_minutes interval, weight_kg text, event_type varchar(20));
INSERT INTO service_events VALUES (md5('tap')::uuid, md5('1organization1')::uuid, 'SRID=4326;POINT(13.4 52.5)', '2026-01-01', '90 minutes', 'heavy', 'pickup');
SELECT is((SELECT result FROM ml_attach_foundation() WHERE what = 'ml_source_service_event'), 'made', 'a table with few columns and geometry has a source');
SELECT is((SELECT ROW(longitude, latitude, event_time AT TIME ZONE 'UTC', duration_minutes, weight_kg, event_type, description)::text FROM ml_source_service_event),
	'(13.4,52.5,"2026-01-01 00:00:00",90,,pickup,)', 'types are brought into line, what does not fit is null');
SELECT is((SELECT spatial_context -> 'location' FROM ml_source_service_event), '{"type": "Point", "coordinates": [13.4, 52.5]}', 'geometry is GeoJSON without a query for each row');
DROP TABLE service_events CASCADE;
CREATE TABLE service_events (id uuid PRIMARY KEY, organization_id uuid NOT NULL, location geometry(Point, 3857), service_date timestamp);
INSERT INTO service_events VALUES (md5('tap')::uuid, md5('1organization1')::uuid, ST_Transform('SRID=4326;POINT(13.4 52.5)'::geometry, 3857), '2026-01-01');
SELECT count(*) FROM ml_attach_foundation() \g /dev/null
SELECT is((SELECT ROW(round(longitude::numeric, 6), round(latitude::numeric, 6))::text FROM ml_source_service_event), '(13.400000,52.500000)', 'another projection becomes longitude and latitude');
CREATE OR REPLACE VIEW ml_source_weather AS SELECT id, organization_id, service_date::timestamptz AS event_time FROM service_events;
GRANT SELECT ON ml_source_weather TO ml_owner;
SELECT ok('weather' = ANY (ml_entity_types()), 'an operator''s view is a new type');
SELECT isnt(ml_vector_object('weather', md5('tap')::uuid), NULL, 'which has objects');
SELECT is((SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0 AND confrelid IN ('users'::regclass, 'organizations'::regclass) AND conrelid::regclass::text ~ '^(ml_|db_)'), 12::bigint, 'foreign keys to users and organizations');
SELECT is((SELECT confdeltype FROM pg_constraint WHERE conname = 'ml_models_trained_by_fkey'), 'n', 'a user who goes is let go of');
SELECT is((SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = 'ml_audit_logs'::regclass), 0::bigint, 'the audit log refers to nothing');
SELECT lives_ok($$UPDATE ml_models SET created_by = md5('1user1')::uuid; DELETE FROM users WHERE id = md5('1user1')::uuid$$, 'a user can be erased');
SELECT is((SELECT count(*) FROM ml_models WHERE created_by IS NOT NULL), 0::bigint, 'and is');
SELECT is((SELECT bool_and(viewowner = 'ml_owner') FROM pg_views WHERE viewname ~ '^ml_source_(service|cust|route)'), true, 'ml_owner owns the views');

SELECT * FROM finish();
ROLLBACK;
