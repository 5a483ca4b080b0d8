/* SPDX-License-Identifier: ISC */
/*
 * What a statement is to the session and what it does to it: kinds, effects, names. Tables of text
 * and expectation.
 */
#include "classify/classify.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

static struct classifier *classifier;

static struct classify_result judge(const char *sql)
{
	static const struct classify_session session = {
		.user = "app",
		.database = "app",
		.application_name = "",
		.may_annotate = true,
		.max_priority = 10,
	};
	struct classify_result result;
	size_t n = strlen(sql);
	char *exact = mem_dup(sql, n);
	classify(classifier, &session, exact, n, &result);
	mem_free(exact);
	return result;
}

static void test_kinds(void **state)
{
	static const struct {
		const char *sql;
		enum statement_kind kind;
	} rows[] = {
		{"", STATEMENT_EMPTY},
		{" ; ;; -- nothing", STATEMENT_EMPTY},
		{"/* nothing */", STATEMENT_EMPTY},

		/* these cannot fail, so they may be answered before they run */
		{"BEGIN", STATEMENT_BEGIN},
		{"begin;", STATEMENT_BEGIN},
		{";BEGIN;", STATEMENT_BEGIN},
		{"BEGIN WORK", STATEMENT_BEGIN},
		{"BEGIN TRANSACTION", STATEMENT_BEGIN},
		{"START TRANSACTION", STATEMENT_BEGIN},
		{"START TRANSACTION READ ONLY", STATEMENT_BEGIN},
		{"BEGIN ISOLATION LEVEL READ COMMITTED", STATEMENT_BEGIN},
		{"BEGIN ISOLATION LEVEL REPEATABLE READ", STATEMENT_BEGIN},
		{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", STATEMENT_BEGIN},
		{"BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY;", STATEMENT_BEGIN},
		{"BEGIN /* ml_class='training' */", STATEMENT_BEGIN},

		/* these can, or are mistakes that the server must judge */
		{"BEGIN READ WRITE", STATEMENT_BEGIN_CHECKED},
		{"BEGIN ISOLATION LEVEL SERIALIZABLE", STATEMENT_BEGIN_CHECKED},
		{"BEGIN ISOLATION LEVEL READ UNCOMMITTED", STATEMENT_BEGIN_CHECKED},
		{"BEGIN ISOLATION LEVEL REPEATABLE READ, READ WRITE", STATEMENT_BEGIN_CHECKED},
		{"START TRANSACTION READ ONLY, DEFERRABLE", STATEMENT_BEGIN_CHECKED},
		{"BEGIN NOT DEFERRABLE", STATEMENT_BEGIN_CHECKED},
		{"BEGIN , READ ONLY", STATEMENT_BEGIN_CHECKED},
		{"BEGIN READ ONLY,", STATEMENT_BEGIN_CHECKED},
		{"BEGIN READ", STATEMENT_BEGIN_CHECKED},
		{"BEGIN nonsense", STATEMENT_BEGIN_CHECKED},
		{"BEGIN 'unterminated", STATEMENT_BEGIN_CHECKED},
		{"START", STATEMENT_WORK},
		{"START SLAVE", STATEMENT_WORK},

		{"COMMIT", STATEMENT_COMMIT},
		{"commit work;", STATEMENT_COMMIT},
		{"END", STATEMENT_COMMIT},
		{"END TRANSACTION", STATEMENT_COMMIT},
		{"COMMIT AND NO CHAIN", STATEMENT_COMMIT},
		{"COMMIT AND CHAIN", STATEMENT_WORK},
		{"COMMIT PREPARED 'gid'", STATEMENT_WORK},
		{"COMMIT nonsense", STATEMENT_WORK},
		{"ROLLBACK", STATEMENT_ROLLBACK},
		{"ABORT", STATEMENT_ROLLBACK},
		{"ROLLBACK TRANSACTION AND NO CHAIN;", STATEMENT_ROLLBACK},
		{"ROLLBACK AND CHAIN", STATEMENT_WORK},
		{"ROLLBACK PREPARED 'gid'", STATEMENT_WORK},
		{"ROLLBACK TO s", STATEMENT_NEUTRAL},
		{"ROLLBACK WORK TO SAVEPOINT s", STATEMENT_NEUTRAL},
		{"PREPARE TRANSACTION 'gid'", STATEMENT_WORK},

		{"SET search_path = x", STATEMENT_NEUTRAL},
		{"SET LOCAL hnsw.ef_search = 100", STATEMENT_NEUTRAL},
		{"RESET ALL", STATEMENT_NEUTRAL},
		{"SHOW server_version", STATEMENT_NEUTRAL},
		{"SAVEPOINT a", STATEMENT_NEUTRAL},
		{"RELEASE SAVEPOINT a", STATEMENT_NEUTRAL},
		{"DISCARD ALL", STATEMENT_NEUTRAL},
		{"DISCARD TEMP", STATEMENT_NEUTRAL},
		{"DEALLOCATE ALL", STATEMENT_NEUTRAL},
		{"LISTEN x", STATEMENT_NEUTRAL},
		{"UNLISTEN *", STATEMENT_NEUTRAL},
		{"CLOSE c", STATEMENT_NEUTRAL},

		{"PREPARE p AS SELECT 1", STATEMENT_PREPARE},
		{"PREPARE p (int, text) AS INSERT INTO t VALUES ($1, $2)", STATEMENT_PREPARE},
		{"EXECUTE p", STATEMENT_EXECUTE},
		{"EXECUTE p(1, 'a');", STATEMENT_EXECUTE},
		{"EXPLAIN EXECUTE p", STATEMENT_EXECUTE},
		{"EXPLAIN ANALYZE EXECUTE p(1)", STATEMENT_EXECUTE},

		{"SELECT 1", STATEMENT_WORK},
		{"(SELECT 1)", STATEMENT_WORK},
		{"FETCH 10 FROM c", STATEMENT_WORK},
		{"EXPLAIN SELECT 1", STATEMENT_WORK},
		{"\"begin\"", STATEMENT_WORK},
		{"'BEGIN'", STATEMENT_WORK},
		{"LOCK TABLE t", STATEMENT_WORK},
		{"NOTIFY x", STATEMENT_WORK},

		/* several */
		{"BEGIN; SELECT 1", STATEMENT_WORK},
		{"BEGIN; COMMIT", STATEMENT_NEUTRAL},
		{"SET a = 1; SET b = 2", STATEMENT_NEUTRAL},
		{"SET a = 1; SELECT 1; RESET a", STATEMENT_WORK},
		{"PREPARE p AS SELECT 1; EXECUTE p", STATEMENT_WORK},
	};
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++) {
		enum statement_kind kind = judge(rows[i].sql).kind;
		if (kind != rows[i].kind)
			fail_msg("%s: kind %d, wanted %d", rows[i].sql, (int)kind,
				(int)rows[i].kind);
	}
}

static void test_effects(void **state)
{
	static const struct {
		const char *sql;
		uint32_t effects;
	} rows[] = {
		{"SELECT 1", 0},
		{"SET x = 1", EFFECT_SET},
		{"SET SESSION x TO 1", EFFECT_SET},
		{"SET TIME ZONE 'UTC'", EFFECT_SET},
		{"SET ROLE r", EFFECT_SET},
		{"SET SESSION AUTHORIZATION r", EFFECT_SET},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", EFFECT_SET},
		{"SET LOCAL x = 1", EFFECT_SET_LOCAL},
		{"SET LOCAL TO 1", EFFECT_SET},
		{"SET TRANSACTION READ ONLY", 0},
		{"ROLLBACK TO a", EFFECT_ROLLBACK_TO},
		{"ROLLBACK WORK TO SAVEPOINT a", EFFECT_ROLLBACK_TO},
		{"SAVEPOINT a", 0},
		{"SET TRANSACTION READ ONLY", 0},
		{"SET CONSTRAINTS ALL DEFERRED", 0},
		{"SET local = 1", EFFECT_SET},
		{"RESET x", EFFECT_SET},
		{"SELECT set_config('a', 'b', false)", EFFECT_SET},
		{"SELECT set_config('a', 'b', true)", EFFECT_SET_LOCAL},
		{"SELECT set_config('a', 'b', $1)", EFFECT_SET},
		{"SELECT pg_catalog.set_config('search_path', '', false)", EFFECT_SET},
		{"SELECT set_config('a', 'b', true), set_config('c', 'd', false)", EFFECT_SET | EFFECT_SET_LOCAL},
		{"SELECT set_config('a', (SELECT true), false)", EFFECT_SET},
		{"SELECT 'set_config(1,2,false)'", 0},
		{"SELECT pg_advisory_lock(1)", EFFECT_ADVISORY_LOCK},
		{"SELECT pg_try_advisory_lock_shared(1, 2)", EFFECT_ADVISORY_LOCK},
		{"SELECT \"pg_advisory_lock\"(1)", EFFECT_ADVISORY_LOCK},
		{"SELECT pg_advisory_xact_lock(1)", 0},
		{"SELECT pg_try_advisory_xact_lock(1)", 0},
		{"SELECT pg_advisory_lock FROM t", 0},
		{"LISTEN a", EFFECT_LISTEN},
		{"UNLISTEN a", EFFECT_RELEASE | EFFECT_UNLISTEN},
		{"NOTIFY a", 0},
		{"LOAD 'auto_explain'", EFFECT_LOAD},
		{"CREATE TEMP TABLE t (a int)", EFFECT_TEMP_TABLE},
		{"CREATE TEMPORARY TABLE IF NOT EXISTS t (a int)", EFFECT_TEMP_TABLE},
		{"CREATE LOCAL TEMP TABLE t (a int) ON COMMIT PRESERVE ROWS", EFFECT_TEMP_TABLE},
		{"CREATE TEMP TABLE t (a int) ON COMMIT DELETE ROWS", EFFECT_TEMP_TABLE},
		{"CREATE TEMP TABLE t (a int) ON COMMIT DROP", 0},
		{"CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 1", 0},
		{"CREATE TEMP TABLE t AS SELECT 1", EFFECT_TEMP_TABLE},
		{"CREATE TEMP TABLE t (a text DEFAULT 'on commit drop')", EFFECT_TEMP_TABLE},
		{"CREATE TABLE pg_temp.t (a int)", EFFECT_TEMP_TABLE},
		{"CREATE TEMP VIEW v AS SELECT 1", EFFECT_TEMP_TABLE},
		{"CREATE OR REPLACE FUNCTION pg_temp.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'", EFFECT_TEMP_TABLE},
		{"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT pg_temp.g() $$", 0},
		{"CREATE PROCEDURE PG_TEMP.p() BEGIN ATOMIC SELECT 1; SELECT 2; END", EFFECT_TEMP_TABLE},
		{"CREATE TYPE pg_temp.mood AS ENUM ('a')", EFFECT_TEMP_TABLE},
		{"CREATE VIEW pg_temp.v AS SELECT 1", EFFECT_TEMP_TABLE},
		{"CREATE VIEW v AS SELECT * FROM pg_temp.t", 0},
		{"CREATE SEQUENCE IF NOT EXISTS pg_temp.s", EFFECT_TEMP_TABLE},
		{"CREATE STATISTICS pg_temp.st ON a, b FROM t", EFFECT_TEMP_TABLE},
		{"SELECT a INTO pg_temp.t FROM x", EFFECT_TEMP_TABLE},
		{"SELECT a INTO TABLE pg_temp.t FROM x", EFFECT_TEMP_TABLE},
		{"CREATE TEMP SEQUENCE s", EFFECT_TEMP_TABLE},
		{"CREATE TABLE t (a int)", 0},
		{"CREATE UNLOGGED TABLE t AS SELECT 1", 0},
		{"SELECT a INTO TEMP t FROM x", EFFECT_TEMP_TABLE},
		{"SELECT a INTO TEMPORARY TABLE t FROM x", EFFECT_TEMP_TABLE},
		{"SELECT a INTO t FROM x", 0},
		{"INSERT INTO temp VALUES (1)", EFFECT_WRITE | EFFECT_SEQUENCE_MOVE},
		{"WITH a AS (INSERT INTO t (a, b) VALUES (1, 2) RETURNING a) SELECT * FROM a", EFFECT_WRITE | EFFECT_SEQUENCE_MOVE},
		{"MERGE INTO t USING u ON t.a = u.a WHEN NOT MATCHED THEN INSERT VALUES (1)", EFFECT_WRITE | EFFECT_SEQUENCE_MOVE},
		{"UPDATE t SET a = 1", EFFECT_WRITE},
		{"DELETE FROM t", EFFECT_WRITE},
		{"SELECT a FROM t FOR UPDATE", 0},
		{"COPY t (a, b) FROM STDIN", EFFECT_WRITE | EFFECT_SEQUENCE_MOVE},
		{"COPY t TO STDOUT", 0},
		{"SELECT nextval('s')", EFFECT_SEQUENCE_MOVE},
		{"SELECT setval('s', 1)", EFFECT_SEQUENCE_MOVE},
		{"SELECT pg_catalog.currval('s'), \"lastval\"()", EFFECT_SEQUENCE_READ},
		{"INSERT INTO t VALUES (currval('s'))", EFFECT_WRITE | EFFECT_SEQUENCE_MOVE | EFFECT_SEQUENCE_READ},
		{"SELECT 'currval(1)', currval, lastval FROM t -- lastval()", 0},
		{"SELECT count(*), lower(a), coalesce(b, 0) FROM t AS x (a, b) WHERE c IN (1) AND d::numeric(1, 2) > 0", 0},
		{"SELECT a FROM t WHERE EXISTS (SELECT FROM u) ORDER BY row_number() OVER (PARTITION BY b)", 0},
		{"SELECT PG_stat_get_snapshot_timestamp(), inet_server_port()", 0},
		{"SELECT mine(1)", EFFECT_CALL},
		{"SELECT * FROM mine(1)", EFFECT_CALL},
		{"SELECT a FROM t WHERE \"Mine\"(a)", EFFECT_CALL},
		{"SELECT mine.lower(a), pg_catalog.lower(a)", EFFECT_CALL},
		{"SELECT match_documents($1)", EFFECT_CALL},
		{"CALL mine(1)", EFFECT_CALL},
		{"DO 'BEGIN END'", EFFECT_CALL},
		{"EXPLAIN SELECT mine(nextval('s'))", 0},
		{"DECLARE c CURSOR WITH HOLD FOR SELECT 1", EFFECT_HOLD_CURSOR},
		{"DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT 1", EFFECT_HOLD_CURSOR},
		{"DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1", 0},
		{"DECLARE c CURSOR FOR SELECT hold FROM t", 0},
		{"PREPARE p AS SELECT 1", EFFECT_PREPARE | EFFECT_NAMES},
		{"PREPARE p AS SELECT pg_advisory_lock($1)", EFFECT_PREPARE | EFFECT_NAMES | EFFECT_ADVISORY_LOCK},
		{"EXECUTE p", EFFECT_NAMES},
		{"EXPLAIN EXECUTE p", EFFECT_NAMES},
		{"EXPLAIN ANALYZE EXECUTE p", EFFECT_NAMES},
		{"CREATE TABLE t AS EXECUTE p", EFFECT_NAMES},
		{"CREATE TEMP TABLE t AS EXECUTE p", EFFECT_NAMES | EFFECT_TEMP_TABLE},
		{"EXPLAIN CREATE TABLE t AS EXECUTE p(1)", EFFECT_NAMES},
		{"PREPARE TRANSACTION 'p'", EFFECT_TRANSACTION},
		{"DEALLOCATE p", EFFECT_RELEASE | EFFECT_NAMES},
		{"DEALLOCATE ALL", EFFECT_DEALLOCATE_ALL | EFFECT_RELEASE},
		{"DEALLOCATE PREPARE ALL", EFFECT_DEALLOCATE_ALL | EFFECT_RELEASE},
		{"DEALLOCATE \"all\"", EFFECT_RELEASE | EFFECT_NAMES},
		{"DISCARD ALL", EFFECT_DISCARD_ALL | EFFECT_DEALLOCATE_ALL | EFFECT_RELEASE},
		{"DISCARD PLANS", EFFECT_RELEASE},
		{"DISCARD TEMP", EFFECT_RELEASE},
		{"DROP TABLE t", EFFECT_RELEASE},
		{"CLOSE c", EFFECT_RELEASE},
		{"SELECT pg_advisory_unlock(1)", EFFECT_RELEASE},
		{"SELECT pg_catalog.pg_advisory_unlock_all()", EFFECT_RELEASE},
		{"EXPLAIN CREATE TEMP TABLE t AS SELECT 1", 0},
		{"EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1", EFFECT_TEMP_TABLE},
		{"EXPLAIN ANALYZE SELECT pg_advisory_lock(1)", EFFECT_ADVISORY_LOCK},
		{"EXPLAIN ANALYZE DECLARE c CURSOR WITH HOLD FOR SELECT 1", 0},
		{"WITH a AS (SELECT pg_advisory_lock(1)) SELECT * FROM a", EFFECT_ADVISORY_LOCK},
		{"BEGIN", 0},
		{"BEGIN;;", 0},
		{"BEGIN; SELECT 1; COMMIT", EFFECT_TRANSACTION},
		{"BEGIN; SET x = 1", EFFECT_TRANSACTION | EFFECT_SET},
		{"SELECT 1; COMMIT AND CHAIN", EFFECT_TRANSACTION},
		{"COMMIT AND CHAIN", EFFECT_TRANSACTION},
		{"COMMIT PREPARED 'x'", EFFECT_TRANSACTION},
		{"SELECT 1; ROLLBACK TO a", EFFECT_TRANSACTION | EFFECT_ROLLBACK_TO},
		{"SELECT 1; SELECT 2", 0},
		{"SET a = 1; LISTEN b; CREATE TEMP TABLE t (a int)",
			EFFECT_SET | EFFECT_LISTEN | EFFECT_TEMP_TABLE},
		/* the semicolons of a body end no statement */
		{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT "
		 "pg_advisory_lock(1); END",
			0},
		{"CREATE PROCEDURE f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END FROM t; END; "
		 "LISTEN x",
			EFFECT_LISTEN},
		{"CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; NOTIFY x)", 0},
	};
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++) {
		uint32_t effects = judge(rows[i].sql).effects;
		if (effects != rows[i].effects)
			fail_msg("%s: effects 0x%x, wanted 0x%x", rows[i].sql, effects,
				rows[i].effects);
	}
}

static void test_names(void **state)
{
	static const struct {
		const char *sql, *name;
	} rows[] = {
		{"PREPARE Fetch_User AS SELECT 1", "fetch_user"},
		{"PREPARE \"Fetch \"\"User\" (int) AS SELECT 1", "Fetch \"User"},
		{"EXECUTE Fetch_User (1)", "fetch_user"},
		{"EXECUTE \"P\"", "P"},
		{"DEALLOCATE Fetch_User", "fetch_user"},
		{"DEALLOCATE PREPARE \"X y\"", "X y"},
		{"EXPLAIN ANALYZE EXECUTE q(1)", "q"},
		{"PREPARE prepare AS SELECT 1", "prepare"},
		{"DEALLOCATE ALL", ""},
		{"PREPARE TRANSACTION 'gid'", ""},
		{"PREPARE", ""},
		{"SELECT 1; EXECUTE q", ""},
		{"PREPARE a234567890123456789012345678901234567890123456789012345678901234567890 "
		 "AS SELECT 1",
			"a23456789012345678901234567890123456789012345678901234567890123"},
		{"EXECUTE "
		 "\"a2345678901234567890123456789012345678901234567890123456789012\xc3\xa9\"",
			"a2345678901234567890123456789012345678901234567890123456789012"},
	};
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++)
		assert_string_equal(judge(rows[i].sql).prepared_name, rows[i].name);
}

static void test_transaction_class(void **state)
{
	struct classify_result result = judge("/*ml_class='training',ml_priority='8'*/ BEGIN");
	assert_int_equal(result.kind, STATEMENT_BEGIN);
	assert_int_equal(result.class, QUERY_TRAINING);
	assert_int_equal(result.priority, 8);
	assert_string_equal(result.rule, "annotation");
}

/* Whoever asks for a search is known for it, in whatever form. */
static void test_searches(void **state)
{
	static const char *const asks[] = {"/*ml_near_text='x',ml_collection='A'*/ SELECT 1",
		"SELECT 1 /*ml_near_vector='$1'*/;", "/*ml_hybrid='x'*/ INSERT INTO t SELECT 1",
		"/*ml_collection='A'*/ SELECT 1", "/*ml_limit='3'*/ SELECT 1",
		"/*ml_class='vector',ml_max_distance='1'*/ SELECT 1", "/*ml_near_text=x*/ SELECT 1",
		"/*\"ml_hybrid\": \"x\"*/ SELECT 1"};
	static const char *const asks_not[] = {"SELECT 1", "SELECT '/*ml_near_text=''x''*/'",
		"SELECT /*ml_near_text='x'*/ 1", "-- ml_near_text='x'\nSELECT 1",
		"/* ml_near_text is what it says */ SELECT 1", "/*ml_class='vector'*/ SELECT 1",
		"/*ml_class=vector*/ SELECT 1"};

	for (size_t i = 0; i < N_ELEMENTS(asks); i++)
		if (!(judge(asks[i]).actions & ACTION_SEARCH))
			fail_msg("no search: %s", asks[i]);
	for (size_t i = 0; i < N_ELEMENTS(asks_not); i++)
		if (judge(asks_not[i]).actions & ACTION_SEARCH)
			fail_msg("a search: %s", asks_not[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_effects),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_transaction_class),
		cmocka_unit_test(test_searches),
	};
	unsigned bad_line;
	char error[256];
	classifier = classifier_new(NULL, 0, (struct classifier_lanes){0}, &bad_line, error);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	classifier_free(&classifier);
	return failed;
}
