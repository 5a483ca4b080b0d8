-- SPDX-License-Identifier: ISC
-- The note of a type that is known: the row of ml_outbox_note(), whatever the caller's search path finds.
BEGIN;
SELECT plan(8);
CREATE FUNCTION pg_temp.notes() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(entity_type || gen || op || coalesce(organization_id::text, '-'), ',' ORDER BY entity_type, entity_id) FROM public.ml_vector_outbox $$;
CREATE FUNCTION pg_temp.as_role(who name, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
	EXECUTE format('SET LOCAL ROLE %I', who);
	EXECUTE statement INTO answer;
	RESET ROLE;
	RETURN answer;
END $$;
DELETE FROM ml_vector_outbox;

SELECT ml_outbox_note_known('service_event', md5('1')::uuid) \g /dev/null
SELECT is(pg_temp.notes(), 'service_event1U-', 'a note');
SELECT ml_outbox_note_known('service_event', md5('1')::uuid, md5('o')::uuid) \g /dev/null
SELECT ml_outbox_note_known('service_event', md5('1')::uuid) \g /dev/null
SELECT is(pg_temp.notes(), 'service_event3U' || md5('o')::uuid, 'once more is another change, and the organization stays');
SELECT throws_ok($$SELECT ml_outbox_note_known(NULL, md5('1')::uuid)$$, '23502', NULL, 'no type');
SELECT throws_ok($$SELECT ml_outbox_note_known('service_event', NULL)$$, '23502', NULL, 'no entity');
SELECT throws_ok($$SELECT pg_temp.as_role('data_scientist', 'SELECT ml_outbox_note_known(''service_event'', gen_random_uuid())')$$, '42501', NULL, 'who only reads takes no notes');
SELECT lives_ok($$SELECT pg_temp.as_role('ml_service', 'SELECT ml_outbox_note_known(''service_event'', md5(''2'')::uuid)')$$, 'who writes does');
DELETE FROM ml_vector_outbox;

-- ---- a path of the caller's own ----

CREATE SCHEMA evil;
CREATE TABLE evil.found (what text);
CREATE TABLE evil.ml_vector_outbox (LIKE public.ml_vector_outbox INCLUDING ALL);
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.found VALUES ('now'); RETURN 'infinity'; END $$;
CREATE FUNCTION evil.plus(bigint, integer) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.found VALUES ('+'); RETURN 666; END $$;
CREATE OPERATOR evil.+ (LEFTARG = bigint, RIGHTARG = integer, FUNCTION = evil.plus);
CREATE FUNCTION evil.least(timestamptz, timestamptz) RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.found VALUES ('least'); RETURN 'infinity'; END $$;
CREATE FUNCTION evil.same(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO evil.found VALUES ('='); RETURN true; END $$;
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
GRANT ALL ON SCHEMA evil TO PUBLIC;
GRANT ALL ON ALL TABLES IN SCHEMA evil TO PUBLIC;
SET LOCAL search_path = evil, pg_catalog;
SELECT public.ml_outbox_note_known('service_event', pg_catalog.md5('1')::pg_catalog.uuid) FROM pg_catalog.generate_series(1, 3) \g /dev/null
RESET search_path;
SELECT is(pg_temp.notes(), 'service_event3U-', 'the row is in the outbox');
SELECT is((SELECT count(*) FROM evil.found) + (SELECT count(*) FROM evil.ml_vector_outbox), 0::bigint, 'and nothing of the path was found');
SELECT * FROM finish();
ROLLBACK;
