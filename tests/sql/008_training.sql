-- SPDX-License-Identifier: ISC
-- Training data: the right rows, of those that may be seen, and an error instead of an answer that is none.
BEGIN;
SELECT plan(34);
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;
CREATE FUNCTION pg_temp.rows_of(organization text, OUT n bigint, OUT n_ids bigint) LANGUAGE sql AS $$
	SELECT count(*), count(DISTINCT entity_id) FROM get_ml_training_dataset('service_event', md5(organization)::uuid, NULL, NULL, 100000)
$$;

-- ---- which rows ----

SELECT is((SELECT n FROM pg_temp.rows_of('1organization1')), (SELECT n_ids FROM pg_temp.rows_of('1organization1')), 'one row an entity, however many versions');
SELECT ok(EXISTS (SELECT FROM ml_vector_metadata WHERE vector_version = 2), 'though there are second versions');
SELECT is((SELECT count(*) FROM get_ml_training_dataset('service_event', NULL, NULL, NULL, 100000) d JOIN ml_vector_metadata m ON m.entity_id = d.entity_id AND m.entity_type = 'service_event'
	WHERE m.vector_version > (d.vector_metadata ->> 'vector_version')::int), 0::bigint, 'the latest');
SELECT is((SELECT count(*) FROM get_ml_training_dataset('service_event', NULL, NULL, NULL, 100000) d JOIN service_events e ON e.id = d.entity_id WHERE e.deleted_at IS NOT NULL), 0::bigint, 'no deleted entity');
SELECT ok(EXISTS (SELECT FROM service_events JOIN ml_vector_metadata m ON m.entity_id = service_events.id AND m.deleted_at IS NULL WHERE service_events.deleted_at IS NOT NULL), 'though there are such with a vector');
INSERT INTO ml_vector_metadata (entity_type, entity_id, vector_id) VALUES ('service_event', gen_random_uuid(), 'orphan');
SELECT is((SELECT count(*) FROM get_ml_training_dataset('service_event', NULL, NULL, NULL, 100000) WHERE entity_data IS NULL), 0::bigint, 'no row without data for an entity that is gone');
SELECT ok((SELECT count(*) FILTER (WHERE spatial_context -> 'customer_location' ->> 'type' = 'Point') > 0 FROM get_ml_training_dataset('service_event', md5('1organization1')::uuid)), 'events know where their customer is');
SELECT ok((SELECT bool_and(spatial_context #>> '{location,type}' = 'Point' AND jsonb_typeof(spatial_context #> '{location,coordinates,0}') = 'number') FROM get_ml_training_dataset('service_event', md5('1organization1')::uuid)), 'and where they were, as GeoJSON');
SELECT ok((SELECT bool_and(NOT entity_data ?| '{contact_email,contact_phone,contact_name,notes,performed_by}') FROM get_ml_training_dataset('service_event', md5('1organization1')::uuid)), 'no personal data of events');
SELECT ok((SELECT bool_and(NOT entity_data ?| '{name,contact_email,contact_phone,contact_name,street,notes}') FROM get_ml_training_dataset('customer_behavior', md5('1organization1')::uuid)), 'nor of customers');
SELECT ok((SELECT bool_and(spatial_context #>> '{route_geometry,type}' = 'LineString') FROM get_ml_training_dataset('route_optimization', md5('1organization1')::uuid)), 'routes have their line');
SELECT is((SELECT count(DISTINCT entity_data ->> 'organization_id') FROM get_ml_training_dataset('service_event', md5('1organization1')::uuid)), 1::bigint, 'one organization''s rows are its own');
SELECT is((SELECT count(*) FROM get_ml_training_dataset('service_event', NULL, NULL, NULL, 7)), 7::bigint, 'p_limit is a limit');
SELECT results_eq($$SELECT entity_id FROM get_ml_training_dataset('service_event', NULL, NULL, NULL, 50)$$,
	$$SELECT entity_id FROM get_ml_training_dataset('service_event', NULL, NULL, NULL, 100000) ORDER BY (vector_metadata ->> 'vectorization_timestamp')::timestamptz DESC, vector_metadata ->> 'id' LIMIT 50$$, 'the newest, in an order that is always the same');
SELECT is((SELECT count(*) FROM get_ml_training_dataset('service_event', NULL, now() + interval '10 years')), 0::bigint, 'p_date_range_start is about vectorization');
SELECT is((SELECT count(*) FROM get_ml_training_dataset('service_event', p_event_from => '2020-01-01', p_event_to => '2020-02-01')), 0::bigint, 'p_event_from and p_event_to about the event');
SELECT is((SELECT provolatile FROM pg_proc WHERE proname = 'get_ml_training_dataset'), 's', 'it is stable');

-- ---- typed ----

SELECT bag_eq($$SELECT entity_id, event_type, round(longitude::numeric, 5) FROM ml_training_service_events(md5('1organization1')::uuid)$$,
	$$SELECT entity_id, entity_data ->> 'event_type', round((spatial_context #>> '{location,coordinates,0}')::numeric, 5) FROM get_ml_training_dataset('service_event', md5('1organization1')::uuid)$$, 'typed events are the same rows');
SELECT bag_eq($$SELECT entity_id, service_tier FROM ml_training_customers(md5('1organization1')::uuid)$$, $$SELECT entity_id, entity_data ->> 'service_tier' FROM get_ml_training_dataset('customer_behavior', md5('1organization1')::uuid)$$, 'and customers');
SELECT bag_eq($$SELECT entity_id, route_geometry FROM ml_training_routes(md5('1organization1')::uuid)$$, $$SELECT entity_id, spatial_context -> 'route_geometry' FROM get_ml_training_dataset('route_optimization', md5('1organization1')::uuid)$$, 'and routes');

-- ---- wrong questions ----

SELECT throws_ok($$SELECT get_ml_training_dataset('weather')$$, '22023', 'unknown entity type "weather"', 'an unknown type is an error, not an empty answer');
SELECT throws_ok($$SELECT get_ml_training_dataset(NULL)$$, '22004', NULL, 'no type');
SELECT throws_ok($$SELECT get_ml_training_dataset('service_event', p_limit => NULL)$$, '22004', 'p_limit must not be null', 'no limit is an error, not all rows');
SELECT throws_ok($$SELECT get_ml_training_dataset('service_event', p_limit => 0)$$, '2201W', NULL, 'a limit of none');
SELECT throws_ok($$SELECT get_ml_training_dataset('service_event', p_date_range_start => now(), p_date_range_end => now() - interval '1 day')$$, '22023', NULL, 'a range that ends before it begins');
SELECT throws_ok($$SELECT ml_training_service_events(p_event_from => now(), p_event_to => now())$$, '22023', NULL, 'an empty range of events');
SELECT throws_ok($$SELECT ml_training_routes(p_limit => NULL)$$, '22004', NULL, 'the typed ones ask the same');

-- ---- who ----

SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT count(*) FROM get_ml_training_dataset(''service_event'')')$$, '22004', 'an organization is required', 'who serves no organization cannot leave it out');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT count(*) FROM get_ml_training_dataset(''service_event'', md5(''1organization1'')::uuid)')$$, '42501', NULL, 'nor take a foreign one');
INSERT INTO ml_role_organizations VALUES ('data_scientist', md5('1organization1')::uuid);
SELECT is(pg_temp.as_role('data_scientist', 'SELECT count(*) FROM get_ml_training_dataset(''service_event'', md5(''1organization1'')::uuid, p_limit => 100000)')::bigint, (SELECT n FROM pg_temp.rows_of('1organization1')), 'its own it gets whole');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT count(*) FROM ml_training_service_events(md5(''1organization2'')::uuid)')$$, '42501', NULL, 'and no other');
SELECT isnt(pg_temp.as_role('ml_service', 'SELECT count(*) FROM get_ml_training_dataset(''service_event'')'), '0', 'a role that serves all may leave it out');
SELECT throws_ok($$SELECT pg_temp.as_role('ml_auditor', 'SELECT count(*) FROM get_ml_training_dataset(''service_event'')')$$, '42501', NULL, 'an auditor has no training data');
DROP VIEW ml_source_service_event;
SELECT throws_ok($$SELECT get_ml_training_dataset('service_event')$$, '42P01', NULL, 'where the source is missing, that is said');

SELECT * FROM finish();
ROLLBACK;
