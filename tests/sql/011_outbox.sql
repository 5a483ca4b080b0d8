-- SPDX-License-Identifier: ISC
-- The outbox in one session: what makes a note, what a lease is, how notes end. What happens between sessions is in test_outbox.py.
BEGIN;
SELECT plan(48);
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;
SELECT ml_vector_track('service_events', 'service_event') \g /dev/null
SELECT ml_vector_track('service_events', 'service_event') \g /dev/null
DELETE FROM ml_vector_outbox;
CREATE FUNCTION pg_temp.notes() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(op || gen, ',' ORDER BY entity_id) FROM ml_vector_outbox $$;
CREATE FUNCTION pg_temp.event(n int) RETURNS uuid LANGUAGE sql AS $$ SELECT id FROM service_events WHERE deleted_at IS NULL ORDER BY id OFFSET n LIMIT 1 $$;

-- ---- triggers ----

SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'service_events'::regclass AND tgname LIKE 'ml_track%'), 4::bigint, 'tracking twice makes one set of triggers');
UPDATE service_events SET description = 'x' WHERE id = pg_temp.event(0);
SELECT is(pg_temp.notes(), 'U1', 'a change is noted');
SELECT is((SELECT organization_id FROM ml_vector_outbox), (SELECT organization_id FROM service_events WHERE id = pg_temp.event(0)), 'with its organization');
UPDATE service_events SET description = 'y' WHERE id = pg_temp.event(0);
SELECT is(pg_temp.notes(), 'U2', 'ten changes are one note');
UPDATE service_events SET notes = 'z', contact_phone = '1' WHERE id = pg_temp.event(1);
SELECT is(pg_temp.notes(), 'U2', 'a change of what the vector does not see is none');
UPDATE service_events SET location = 'POINT(1 1)' WHERE id = pg_temp.event(0);
SELECT is(pg_temp.notes(), 'U3', 'a change of place is one, though geography has no operator in the search path');
UPDATE service_events SET deleted_at = now() WHERE id = pg_temp.event(0);
SELECT is(pg_temp.notes(), 'U4', 'so is a soft delete');
DELETE FROM ml_vector_outbox;
DELETE FROM service_events WHERE id = pg_temp.event(0);
SELECT is(pg_temp.notes(), 'D1', 'a delete is noted');
DELETE FROM ml_vector_outbox;
UPDATE service_events SET fill_percent = 7 WHERE fill_percent IS DISTINCT FROM 7;
SELECT ok((SELECT count(*) FROM ml_vector_outbox) > 400, 'one statement, many notes');
SELECT is((SELECT count(*) FROM ml_vector_outbox WHERE gen > 1), 0::bigint, 'each once');
DELETE FROM ml_vector_outbox;
UPDATE service_events SET id = md5('renamed')::uuid WHERE id = pg_temp.event(0);
SELECT is((SELECT string_agg(op, '' ORDER BY op) FROM ml_vector_outbox), 'DU', 'a new id is one entity less and one more');
DELETE FROM ml_vector_outbox;
INSERT INTO service_events (id, organization_id, event_type, description, location, service_date) VALUES (md5('made')::uuid, md5('1organization1')::uuid, 'pickup', 'd', 'POINT(1 1)', now());
SELECT is(pg_temp.notes(), 'U1', 'an insert is noted');
DELETE FROM ml_vector_outbox;
TRUNCATE service_events CASCADE;
SELECT is((SELECT count(*) FROM ml_vector_outbox WHERE op = 'D'), (SELECT count(DISTINCT entity_id) FROM ml_vector_metadata WHERE entity_type = 'service_event' AND deleted_at IS NULL), 'TRUNCATE takes all that have a vector');
SELECT throws_ok($$SELECT ml_vector_track('service_events', 'weather')$$, '22023', NULL, 'an unknown type');
SELECT throws_ok($$SELECT ml_vector_track('bins', 'service_event')$$, '22023', NULL, 'a table that the type is not made of');
SELECT throws_ok($$SELECT ml_vector_track('audit_logs', 'service_event')$$, '42703', NULL, 'a table without uuid');
SELECT throws_ok($$SELECT ml_vector_track(NULL, 'service_event')$$, '22004', NULL, 'no table');
SELECT is_empty($$SELECT proname FROM pg_proc WHERE proname LIKE 'ml\_track\_%\_%' AND prosecdef AND (proowner <> 'ml_owner'::regrole OR proconfig IS DISTINCT FROM '{"search_path=pg_catalog, pg_temp"}' OR proacl::text LIKE '%{=X%')$$,
	'the functions it makes are pinned, ml_owner''s and nobody else''s');
SELECT lives_ok($$SELECT ml_vector_untrack('service_events', 'service_event')$$, 'tracking ends');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'service_events'::regclass AND tgname LIKE 'ml_track%'), 0::bigint, 'and leaves no trigger');

-- ---- leases ----

DELETE FROM ml_vector_outbox;
SELECT ml_outbox_note('service_event', md5(n::text)::uuid) FROM generate_series(1, 5) n \g /dev/null
SELECT is((SELECT count(*) FROM ml_vector_outbox), 5::bigint, 'a note without a trigger');
CREATE TEMP TABLE held AS SELECT * FROM ml_outbox_lease(3);
SELECT is((SELECT count(DISTINCT lease)::text || count(*) FROM held), '13', 'three notes, one lease');
SELECT is((SELECT count(*) FROM ml_outbox_lease(100)), 2::bigint, 'the next gets the others');
SELECT is((SELECT count(*) FROM ml_outbox_lease(100)), 0::bigint, 'and then there are none');
SELECT ml_outbox_note('service_event', entity_id) FROM held LIMIT 1 \g /dev/null
SELECT is((SELECT count(*) FROM ml_outbox_lease(100)), 0::bigint, 'a change during the lease does not give it to a second worker');
SELECT is((SELECT ml_outbox_done(max(lease) + 100, array_agg(entity_type), array_agg(entity_id), array_agg(gen)) FROM held), 0, 'another lease than theirs ends nothing');
SELECT is((SELECT ml_outbox_done(max(lease), array_agg(entity_type), array_agg(entity_id), array_agg(gen)) FROM held), 2, 'done: those that did not change go');
SELECT is((SELECT count(*) FROM ml_outbox_lease(100)), 1::bigint, 'the other is due at once');
SELECT is((SELECT ml_outbox_done(max(lease), array_agg(entity_type), array_agg(entity_id), array_agg(gen)) FROM held), 0, 'done twice is done once');

-- ---- failures ----

DELETE FROM ml_vector_outbox;
SELECT ml_outbox_note('service_event', md5('f')::uuid) \g /dev/null
CREATE FUNCTION pg_temp.fail(error text, park boolean DEFAULT false) RETURNS int LANGUAGE sql AS $$
	SELECT ml_outbox_fail(max(lease), array_agg(entity_type), array_agg(entity_id), array_agg(gen), array_agg(error), park) FROM ml_outbox_lease(1)
$$;
SELECT is(pg_temp.fail('no route ' || repeat('x', 5000)), 0, 'a failure');
SELECT is((SELECT attempts::text || length(last_error) || (leased_until IS NULL) FROM ml_vector_outbox), '11000true', 'is counted, its text cut, its lease over');
SELECT ok((SELECT next_attempt - clock_timestamp() BETWEEN interval '0' AND interval '1.3 s' FROM ml_vector_outbox), 'and waits a second, more or less');
UPDATE ml_vector_outbox SET attempts = 8, next_attempt = now();
SELECT pg_temp.fail('e') \g /dev/null
SELECT ok((SELECT next_attempt - clock_timestamp() BETWEEN interval '190 s' AND interval '321 s' FROM ml_vector_outbox), 'the ninth about 256 s');
SELECT ml_outbox_note('service_event', md5('f')::uuid) \g /dev/null
SELECT is((SELECT attempts::text || (next_attempt <= now()) FROM ml_vector_outbox), '0true', 'a new change starts anew, at once');
UPDATE ml_vector_outbox SET attempts = 11, next_attempt = now();
SELECT is(pg_temp.fail('the last'), 1, 'the twelfth is the last');
SELECT is((SELECT attempts || last_error FROM ml_vector_dead), '12the last', 'it is dead, with the reason');
SELECT is((SELECT dead FROM ml_outbox_state()), 1::bigint, 'which can be seen');
SELECT is(ml_outbox_revive('service_event'), 1, 'and lives again');
SELECT is((SELECT ROW(waiting, dead)::text FROM ml_outbox_state()), '(1,0)', 'as a note that is due');
SELECT is(pg_temp.fail('422 no such prop', true), 1, 'what can never work is parked at once');

-- ---- wrong calls ----

SELECT throws_ok($$SELECT ml_outbox_lease(NULL)$$, '22004', NULL, 'no limit');
SELECT throws_ok($$SELECT ml_outbox_lease(0)$$, '22023', NULL, 'a limit of none');
SELECT throws_ok($$SELECT ml_outbox_done(1, '{a}', '{}', '{1}')$$, '2202E', NULL, 'arrays that do not fit');
SELECT throws_ok($$SELECT ml_outbox_note('weather', md5('f')::uuid)$$, '22023', 'unknown entity type "weather"', 'an unknown type');
SELECT throws_ok($$SELECT ml_outbox_note('service_event', NULL)$$, '22004', NULL, 'no entity');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT count(*) FROM ml_outbox_lease(1)')$$, '42501', NULL, 'leases are the proxy''s');

-- ---- search statistics ----

SELECT ml_search_stats_add((SELECT array_agg(id) FROM (SELECT id FROM ml_vector_metadata ORDER BY id LIMIT 2) v), '{3,4}') \g /dev/null
SELECT ml_search_stats_add((SELECT array_agg(id) FROM (SELECT id FROM ml_vector_metadata ORDER BY id LIMIT 1) v) || gen_random_uuid(), '{2,9}') \g /dev/null
SELECT ml_search_stats_roll_up() \g /dev/null
SELECT is((SELECT ml_search_stats_roll_up()), 0, 'a second roll-up finds nothing');
SELECT is((SELECT array_agg(search_frequency_count) FROM (SELECT search_frequency_count FROM ml_vector_metadata ORDER BY id LIMIT 2) v), '{5,4}', 'hits are counted once, those of vectors that are gone not at all');

SELECT * FROM finish();
ROLLBACK;
