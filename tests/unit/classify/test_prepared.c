/* SPDX-License-Identifier: ISC */
/* Which prepared statements a text names: verbs, names, where each statement is, and what cannot be followed. */
#include "classify/prepared.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/strbuf.h"

#define MAX 4

static struct classifier *classifier;

/* "P:name" (EXECUTE is E, DEALLOCATE D), with "!" if the name is not plain, "." if its statement is the last; commas between; "~": may set. */
static void describe(const char *sql, struct strbuf *out)
{
	struct prepared_use uses[MAX];
	size_t n = strlen(sql);
	char *exact = mem_dup(sql, n);
	struct prepared_uses found = prepared_uses(classifier, false, exact, n, uses, MAX);
	unsigned i;

	for (i = 0; i < found.n && i < MAX; i++) {
		assert_true(uses[i].at + uses[i].n <= n);
		strbuf_addf(out, "%s%c:%s%s%s", i ? "," : "", "PED"[uses[i].verb], uses[i].name, uses[i].is_plain ? "" : "!", uses[i].is_last ? "." : "");
	}
	if (found.n > MAX)
		strbuf_addf(out, ",+%u", found.n - MAX);
	if (found.may_set)
		strbuf_addc(out, '~');
	mem_free(exact);
}

static void test_uses(void **state)
{
	static const struct {
		const char *sql, *uses;
	} rows[] = {
		{"SELECT 1", ""},
		{"", ""},
		{"PREPARE a AS SELECT 1", "P:a."},
		{"prepare A (int, text) as select $1;;", "P:a."},
		{"PREPARE \"A b\"\"c\" AS SELECT 1", "P:A b\"c."},
		{"PREPARE a", "E:a."}, /* a mistake: the server will say so */
		{"PREPARE \"\" AS SELECT 1", ""},
		{"PREPARE U&\"\\0061\" AS SELECT 1", "P:a!."},
		{"PREPARE u&\"a\" UESCAPE '!' AS SELECT 1", "P:a!."},
		{"PREPARE \xc3\xa9 AS SELECT 1", "P:\xc3\xa9!."},
		{"EXECUTE a", "E:a."},
		{"EXECUTE a(1, 'b;c')", "E:a."},
		{"EXPLAIN EXECUTE a", "E:a."},
		{"EXPLAIN (ANALYZE, COSTS off) EXECUTE a(1)", "E:a."},
		{"EXPLAIN ANALYZE VERBOSE EXECUTE a", "E:a."},
		{"CREATE TABLE t AS EXECUTE a(1) WITH NO DATA", "E:a."},
		{"CREATE TEMP TABLE IF NOT EXISTS s.t (x, y) WITH (fillfactor = 10) ON COMMIT DROP AS EXECUTE a", "E:a."},
		{"EXPLAIN CREATE TABLE t AS EXECUTE a", "E:a."},
		{"DEALLOCATE a", "D:a."},
		{"DEALLOCATE PREPARE a", "D:a."},
		{"DEALLOCATE prepare", "~"}, /* a mistake */
		{"DEALLOCATE ALL", "~"},
		{"DEALLOCATE \"ALL\"", "D:ALL."},
		{"PREPARE TRANSACTION 'a'", "~"},
		{"SELECT 'EXECUTE a'; SELECT execute FROM prepare", ""},
		{"/* EXECUTE a */ EXECUTE b -- c\n;", "E:b."},
		{"SELECT 1; EXECUTE a", "E:a."},
		{"EXECUTE a; SELECT 1", "E:a"},
		{"EXECUTE a; EXECUTE b; EXECUTE a", "E:a,E:b"},
		{"PREPARE a AS SELECT 1; EXECUTE a; DEALLOCATE a;", "P:a,D:a."},
		{"PREPARE a AS SELECT 1; SET x = 1", "P:a~"},
		{"SET LOCAL x = 1; PREPARE a AS SELECT 1", "P:a.~"},
		{"SELECT set_config('x', 'y', true), set_config('x', 'y', false); PREPARE a AS SELECT 1", "P:a.~"},
		{"BEGIN; PREPARE a AS SELECT 1", "P:a."},
		{"BEGIN; PREPARE a AS SELECT 1; COMMIT", "P:a~"},
		{"ROLLBACK TO s; PREPARE a AS SELECT 1", "P:a.~"},
		{"PREPARE a AS SELECT 1; PREPARE b AS SELECT 2; PREPARE c AS SELECT 3; PREPARE d AS SELECT 4; PREPARE e AS SELECT 5", "P:a,P:b,P:c,P:d,+1"},
		{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; EXECUTE a", "E:a."},
		/* cut like PostgreSQL cuts it */
		{"EXECUTE aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg", "E:aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg."},
	};
	unsigned i;

	for (i = 0; i < N_ELEMENTS(rows); i++) {
		struct strbuf out = STRBUF_INIT;

		describe(rows[i].sql, &out);
		if (strcmp(out.data, rows[i].uses) != 0)
			fail_msg("%s: %s, wanted %s", rows[i].sql, out.data, rows[i].uses);
		strbuf_release(&out);
	}
}

/* What is kept of each PREPARE is a whole statement, and nothing of the next. */
static void test_places(void **state)
{
	static const char sql[] = "/* a */ PREPARE a AS SELECT ';'; -- b\nPREPARE b AS SELECT $$;$$ ; EXECUTE a";
	struct prepared_use uses[MAX];
	struct prepared_uses found = prepared_uses(classifier, false, sql, sizeof(sql) - 1, uses, MAX);

	assert_int_equal(found.n, 2);
	assert_int_equal(uses[0].at, 0);
	assert_memory_equal(sql + uses[0].at + uses[0].n, "PREPARE b", 9);
	assert_int_equal(uses[1].at, uses[0].n);
	assert_memory_equal(sql + uses[1].at + uses[1].n, "EXECUTE a", 9);
}

/* Strings end where the session has them end. */
static void test_backslashes(void **state)
{
	static const char sql[] = "SELECT '\\'; EXECUTE a; --'";
	struct prepared_use uses[MAX];

	assert_int_equal(prepared_uses(classifier, false, sql, sizeof(sql) - 1, uses, MAX).n, 1);
	assert_int_equal(prepared_uses(classifier, true, sql, sizeof(sql) - 1, uses, MAX).n, 0);
}

static int setup(void **state)
{
	char error[256];
	unsigned line;

	classifier = classifier_new(NULL, 0, (struct classifier_lanes){0}, &line, error);
	return classifier == NULL;
}

static int teardown(void **state)
{
	classifier_free(&classifier);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_uses),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_backslashes),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
