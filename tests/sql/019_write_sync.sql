-- SPDX-License-Identifier: ISC
-- Notes in numbers, and of tables that are loaded, in one session. The end of a transaction is played by SET CONSTRAINTS.
BEGIN;
SELECT plan(31);
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;
CREATE FUNCTION pg_temp.notes() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(entity_type || gen, ',' ORDER BY entity_type, entity_id) FROM ml_vector_outbox $$;
DELETE FROM ml_vector_outbox;

-- ---- many at once ----

SELECT ml_outbox_notes('{service_event,service_event,customer_behavior}', ARRAY[md5('1')::uuid, md5('2')::uuid, md5('1')::uuid], md5('o')::uuid) \g /dev/null
SELECT is(pg_temp.notes(), NULL, 'nothing is noted before the end');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT is(pg_temp.notes(), 'customer_behavior1,service_event1,service_event1', 'each pair is a note');
SELECT is((SELECT array_agg(DISTINCT organization_id) FROM ml_vector_outbox), ARRAY[md5('o')::uuid], 'with the organization');
SET CONSTRAINTS ALL DEFERRED;
SELECT ml_outbox_notes('{service_event,service_event}', ARRAY[md5('1')::uuid, md5('1')::uuid]) \g /dev/null
SELECT ml_outbox_notes('{service_event}', ARRAY[md5('1')::uuid]) \g /dev/null
SET CONSTRAINTS ALL IMMEDIATE;
SELECT is((SELECT gen::text || organization_id FROM ml_vector_outbox WHERE entity_type = 'service_event' AND entity_id = md5('1')::uuid), '2' || md5('o')::uuid,
	'twice in one transaction is once, and keeps the organization');
DELETE FROM ml_vector_outbox;
SELECT lives_ok($$SELECT ml_outbox_notes('{service_event}', '{}')$$, 'without ids the types are checked');
SELECT is(pg_temp.notes(), NULL, 'and nothing is noted');
SELECT throws_ok($$SELECT ml_outbox_notes('{service_event,weather}', '{}')$$, '22023', 'unknown entity type "weather"', 'an unknown type');
SELECT throws_ok($$SELECT ml_outbox_notes('{service_event}', ARRAY[md5('1')::uuid, md5('2')::uuid])$$, '2202E', NULL, 'arrays that do not fit');
SELECT throws_ok($$SELECT ml_outbox_notes(NULL, '{}')$$, '22004', NULL, 'no types');
SELECT throws_ok($$SELECT ml_outbox_notes('{NULL}', '{}')$$, '22004', NULL, 'a type that is null');
SELECT throws_ok($$SELECT ml_outbox_notes('{service_event}', '{NULL}')$$, '22004', NULL, 'an id that is null');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT ml_outbox_notes(''{}'', ''{}'')')$$, '42501', NULL, 'who only reads takes no notes');
SELECT lives_ok($$SELECT pg_temp.as_role('ml_engineer', 'SELECT ml_outbox_notes(''{service_event}'', ''{}'')')$$, 'who writes does');

-- ---- at once ----

SELECT ml_outbox_notes_now('{service_event,customer_behavior,service_event}', ARRAY[md5('1')::uuid, md5('1')::uuid, md5('1')::uuid], md5('o')::uuid) \g /dev/null
SELECT is(pg_temp.notes(), 'customer_behavior1,service_event1', 'notes are there at once, each once');
SELECT is((SELECT count(*) FROM ml_vector_pending), 0::bigint, 'and none is put down');
SELECT throws_ok($$SELECT ml_outbox_notes_now('{weather}', ARRAY[md5('1')::uuid])$$, '22023', 'unknown entity type "weather"', 'an unknown type');
SELECT throws_ok($$SELECT ml_outbox_notes_now('{service_event}', '{}')$$, '2202E', NULL, 'arrays that do not fit');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT ml_outbox_notes_now(''{}'', ''{}'')')$$, '42501', NULL, 'who only reads takes no notes');
DELETE FROM ml_vector_outbox;

-- ---- tables that are loaded ----

SET CONSTRAINTS ALL DEFERRED;
SELECT is(pg_temp.as_role('ml_service', $$SELECT ml_outbox_notes_loaded('{service_event}', '{service_events}', '{id}')$$), '', 'a load begins');
INSERT INTO service_events (id, organization_id, event_type, description, location, service_date)
SELECT md5('load' || n)::uuid, md5('1organization1')::uuid, 'pickup', 'd', 'POINT(1 1)', now() FROM generate_series(1, 3) n;
SELECT is(pg_temp.notes(), NULL, 'nothing is noted before the end');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT is(pg_temp.notes(), 'service_event1,service_event1,service_event1', 'then what was written is, and nothing else');
SELECT is((SELECT array_agg(DISTINCT organization_id) FROM ml_vector_outbox), ARRAY[md5('1organization1')::uuid], 'with the organization of the row');
SELECT is((SELECT count(*) FROM ml_vector_pending), 0::bigint, 'and no trace is left');
DELETE FROM ml_vector_outbox;
SELECT ml_outbox_notes_loaded('{service_event,service_event}', '{service_events,service_events}', '{id,id}', md5('o')::uuid) \g /dev/null
SELECT is((SELECT count(*) FROM ml_vector_pending), 1::bigint, 'IMMEDIATE does not hold for a load that comes');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT is(pg_temp.notes(), 'service_event1,service_event1,service_event1', 'two loads of one table are one look');
SELECT is((SELECT array_agg(DISTINCT organization_id) FROM ml_vector_outbox), ARRAY[md5('o')::uuid], 'the organization may be given');
SELECT throws_ok($$SELECT ml_outbox_notes_loaded('{service_event}', '{bins}', '{id}')$$, '22023', NULL, 'a table that the type is not made of');
SELECT throws_ok($$SELECT ml_outbox_notes_loaded('{weather}', '{bins}', '{id}')$$, '22023', NULL, 'an unknown type');
SELECT throws_ok($$SELECT ml_outbox_notes_loaded('{service_event}', '{service_events}', '{description}')$$, '42804', NULL, 'a key that is no uuid');
SELECT throws_ok($$SELECT ml_outbox_notes_loaded('{service_event}', '{NULL}', '{id}')$$, '22004', NULL, 'no table');
SELECT throws_ok($$SELECT pg_temp.as_role('ml_service', 'SELECT * FROM ml_vector_pending')$$, '42501', NULL, 'nobody looks into it');

SELECT * FROM finish();
ROLLBACK;
