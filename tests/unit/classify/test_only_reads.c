/* SPDX-License-Identifier: ISC */
/* Which texts may run on a replica: tables of both kinds, and what no text may do to the reading. */
#include "classify/only_reads.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

static enum reads judge(const char *sql)
{
	size_t n = strlen(sql);
	char *exact = mem_dup(sql, n); /* sanitizers see a byte too far */
	enum reads reads = only_reads(exact, n, false);

	mem_free(exact);
	return reads;
}

static void check(const char *const *texts, size_t n, enum reads expected)
{
	for (size_t i = 0; i < n; i++)
		if (judge(texts[i]) != expected)
			fail_msg("%s: %d, expected %d", texts[i], judge(texts[i]), expected);
}

static void test_reading(void **state)
{
	static const char *const texts[] = {
		"SELECT 1",
		"select * from events where id = $1;",
		"  -- who\n SELECT count(*) FROM t ; ; /* end */",
		"/*ml_class='training'*/ SELECT 'INSERT INTO t', $$UPDATE$$, \"Delete\" FROM t",
		"WITH a AS (SELECT 1), b AS MATERIALIZED (TABLE t) SELECT * FROM a, b",
		"VALUES (1), (2)",
		"TABLE t",
		"(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1",
		"SELECT substring(a FROM 1 FOR 3) FROM t",
		"SELECT substring(a FOR b) FROM t",
		"SELECT * FROM t FOR READ ONLY",
		"SELECT pg_sleep(1), pg_catalog.pg_is_in_recovery(), pg_typeof(1)",
		"SELECT my_function(a) FROM t",
		"SELECT e'\\' INTO x' FROM t",
		"COPY t TO STDOUT",
		"COPY public.t (a, b) TO STDOUT WITH (FORMAT binary)",
		"COPY (SELECT * FROM t) TO STDOUT (FORMAT csv)",
		"COPY (SELECT * FROM t WHERE a = (SELECT max(a) FROM u)) TO STDOUT;",
		"EXPLAIN SELECT 1",
		"EXPLAIN (ANALYZE, BUFFERS, FORMAT json) SELECT 1",
		"EXPLAIN ANALYZE VERBOSE WITH a AS (SELECT 1) TABLE a",
		"EXPLAIN (SELECT 1)",
	};

	check(texts, N_ELEMENTS(texts), READS);
}

static void test_writing(void **state)
{
	static const char *const texts[] = {
		"", ";", "INSERT INTO t VALUES (1)", "UPDATE t SET a = 1", "DELETE FROM t",
		"MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE",
		"TRUNCATE t", "CREATE TABLE t (a int)", "CREATE TABLE t AS SELECT 1", "DROP TABLE t",
		"SELECT 1; SELECT 2", "SELECT 1; INSERT INTO t VALUES (1)",
		"WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a",
		"WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
		"WITH a AS (DELETE/**/FROM t RETURNING 1) SELECT 1",
		"WITH a AS (SELECT 1) UPDATE t SET a = 1", "SELECT 1 INTO t", "SELECT * INTO TEMP x FROM t",
		"SELECT * FROM t FOR UPDATE", "SELECT * FROM t FOR/**/SHARE",
		"SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED", "SELECT * FROM t FOR KEY SHARE OF t",
		"SELECT * FROM (SELECT * FROM t FOR UPDATE) x", "TABLE t FOR UPDATE",
		"SELECT nextval('s')", "SELECT \"nextval\"('s')", "SELECT NextVal('s')",
		"SELECT pg_catalog.setval('s', 1)", "SELECT currval('s')", "SELECT lastval()",
		"VALUES (nextval('s'))", "SELECT set_config('a.b', 'c', false)",
		"SELECT pg_advisory_lock(1)", "SELECT pg_try_advisory_xact_lock(1)",
		"SELECT \"pg_advisory_lock\"(1)", "SELECT U&\"pg_\\0061dvisory_lock\"(1)",
		"SELECT pg_notify('a', 'b')", "SELECT lo_create(0)", "SELECT lo_unlink(1)",
		"SELECT loread(1, 1)", "SELECT * FROM dblink('', 'INSERT') AS t(a int)",
		"SELECT dblink_exec('', 'DELETE FROM t')", "SELECT txid_current()",
		"SELECT pg_current_xact_id()", "SELECT pg_current_wal_lsn()",
		"SELECT pg_terminate_backend(1)", "SELECT pg_stat_reset()",
		"SELECT * FROM pg_stat_activity", "SELECT * FROM pg_locks",
		"SELECT * FROM information_schema.tables", "SELECT 'a",
		"COPY t FROM STDIN", "COPY t (a) FROM STDIN", "COPY t TO '/tmp/x'",
		"COPY t TO PROGRAM 'cat'", "COPY (INSERT INTO t VALUES (1) RETURNING a) TO STDOUT",
		"COPY (SELECT nextval('s')) TO STDOUT", "COPY t TO STDOUT; DELETE FROM t",
		"COPY (SELECT * FROM t FOR UPDATE) TO STDOUT",
		"EXPLAIN ANALYZE INSERT INTO t VALUES (1)", "EXPLAIN (ANALYZE) DELETE FROM t",
		"EXPLAIN ANALYZE EXECUTE p", "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
		"EXPLAIN (ANALYZE, VERBOSE) WITH a AS (DELETE FROM t RETURNING 1) SELECT 1",
		"EXPLAIN", "PREPARE p AS SELECT 1", "EXECUTE p", "CALL f()", "DO $$BEGIN END$$",
		"BEGIN", "COMMIT", "SET a = 1", "SHOW a", "LISTEN a", "NOTIFY a", "LOCK t", "VACUUM",
		"FETCH 1 FROM c", "REFRESH MATERIALIZED VIEW v", "DISCARD ALL",
		"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "DECLARE c CURSOR FOR SELECT 1 FOR UPDATE",
		"DECLARE c CURSOR FOR EXECUTE p", "DECLARE c",
	};

	check(texts, N_ELEMENTS(texts), READS_NOT);
}

static void test_in_transactions(void **state)
{
	static const char *const texts[] = {
		"DECLARE c CURSOR FOR SELECT 1",
		"DECLARE \"C\" BINARY INSENSITIVE NO SCROLL CURSOR FOR WITH a AS (TABLE t) SELECT * FROM a",
		"declare c scroll cursor for select 1;",
	};

	check(texts, N_ELEMENTS(texts), READS_IN_TRANSACTION);
}

static void test_backslashes(void **state)
{
	const char *sql = "SELECT '\\', 1 INTO t --'";

	assert_int_equal(only_reads(sql, strlen(sql), false), READS_NOT);
	/* Then the literal goes on to the last quote. */
	assert_int_equal(only_reads(sql, strlen(sql), true), READS);
}

/* Every beginning of a writing text is one more text; none of them may be taken for a reading one
 * once the word is whole that writes. */
static void test_cut_texts(void **state)
{
	static const char sql[] = "WITH a AS (INSERT INTO t VALUES ('x') RETURNING *) SELECT * FROM a";

	for (size_t n = strlen("WITH a AS (INSERT"); n < sizeof(sql); n++)
		assert_int_equal(only_reads(sql, n, false), READS_NOT);
}

static void test_begin(void **state)
{
	static const struct {
		const char *sql;
		bool plain, by_default;
	} rows[] = {
		{"BEGIN", false, true},
		{"START TRANSACTION", false, true},
		{"BEGIN READ ONLY", true, true},
		{"begin transaction isolation level repeatable read, read only", true, true},
		{"BEGIN ISOLATION LEVEL READ COMMITTED", false, true},
		{"BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY", true, true},
		{"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", true, true},
		{"BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE", false, false},
		{"BEGIN READ WRITE", false, false},
		{"BEGIN /* READ ONLY */", false, true},
	};

	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		size_t n = strlen(rows[i].sql);

		assert_int_equal(begins_read_only(rows[i].sql, n, false), rows[i].plain);
		assert_int_equal(begins_read_only(rows[i].sql, n, true), rows[i].by_default);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_writing),
		cmocka_unit_test(test_in_transactions),
		cmocka_unit_test(test_backslashes),
		cmocka_unit_test(test_cut_texts),
		cmocka_unit_test(test_begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
