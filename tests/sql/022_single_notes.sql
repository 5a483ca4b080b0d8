-- SPDX-License-Identifier: ISC
-- One entity is noted as many are: by the end of the transaction, or at once, with the same answers.
BEGIN;
SELECT plan(11);
CREATE FUNCTION pg_temp.notes() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(entity_type || gen || coalesce(organization_id::text, '-'), ',' ORDER BY entity_type, entity_id) FROM ml_vector_outbox $$;
DELETE FROM ml_vector_outbox;

-- ---- at once ----

SELECT ml_outbox_note('service_event', md5('1')::uuid) \g /dev/null
SELECT is(pg_temp.notes(), 'service_event1-', 'a note');
SELECT ml_outbox_note('service_event', md5('1')::uuid, md5('o')::uuid) \g /dev/null
SELECT ml_outbox_note('service_event', md5('1')::uuid) \g /dev/null
SELECT is(pg_temp.notes(), 'service_event3' || md5('o')::uuid, 'once more is another change, and the organization stays');
SELECT throws_ok($$SELECT ml_outbox_note('weather', md5('1')::uuid)$$, '22023', 'unknown entity type "weather"', 'an unknown type');
SELECT throws_ok($$SELECT ml_outbox_note('serv"ice', md5('1')::uuid)$$, '22023', 'unknown entity type "serv"ice"', 'one that is no name');
SELECT throws_ok($$SELECT ml_outbox_note(NULL, md5('1')::uuid)$$, '22004', 'p_entity_type and p_entity_id must not be null', 'no type');
SELECT throws_ok($$SELECT ml_outbox_note('service_event', NULL)$$, '22004', 'p_entity_type and p_entity_id must not be null', 'no entity');
SELECT is((SELECT proconfig FROM pg_proc WHERE proname = 'ml_outbox_note'), '{"search_path=pg_catalog, pg_temp"}', 'its path is pinned');
DELETE FROM ml_vector_outbox;

-- ---- at the end of the transaction ----

SELECT ml_outbox_notes('{service_event}', ARRAY[md5('1')::uuid], md5('o')::uuid) \g /dev/null
SELECT is(pg_temp.notes(), NULL, 'nothing is noted before the end');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT is(pg_temp.notes(), 'service_event1' || md5('o')::uuid, 'then it is');
SET CONSTRAINTS ALL DEFERRED;
SELECT ml_outbox_notes('{service_event}', ARRAY[md5('1')::uuid]) \g /dev/null
SELECT ml_outbox_notes('{customer_behavior,customer_behavior}', ARRAY[md5('2')::uuid, md5('1')::uuid]) \g /dev/null
SAVEPOINT s;
SELECT ml_outbox_notes('{service_event}', ARRAY[md5('3')::uuid]) \g /dev/null
ROLLBACK TO s;
SET CONSTRAINTS ALL IMMEDIATE;
SELECT is(pg_temp.notes(), 'customer_behavior1-,customer_behavior1-,service_event2' || md5('o')::uuid, 'one among many, without what was rolled back');
SELECT is((SELECT count(*) FROM ml_vector_pending), 0::bigint, 'and no trace is left');
SELECT * FROM finish();
ROLLBACK;
