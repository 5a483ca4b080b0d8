/* SPDX-License-Identifier: ISC */
/* Which statements are the same one with other values, and which are not. */
#include "pgw/fingerprint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct pgw_hash128 of(const char *sql)
{
	size_t n = strlen(sql);
	char *text = malloc(n ? n : 1); /* ASan watches its end */
	struct pgw_hash128 print;

	memcpy(text, sql, n);
	print = pgw_fingerprint(text, n);
	free(text);
	return print;
}

static bool equal(const char *a, const char *b)
{
	struct pgw_hash128 of_a = of(a);
	struct pgw_hash128 of_b = of(b);

	return of_a.lo == of_b.lo && of_a.hi == of_b.hi;
}

static void same(const char *a, const char *b)
{
	if (!equal(a, b))
		fail_msg("not the same: <%s> <%s>", a, b);
}

static void differ(const char *a, const char *b)
{
	if (equal(a, b))
		fail_msg("the same: <%s> <%s>", a, b);
}

static void test_layout(void **state)
{
	same("select 1", "SELECT 2 -- x");
	same("select 1", " select\n\t1 ; ; ");
	same("select 1", "/* a */select/* b */'x'/**/;--");
	same("select a.b from t", "SELECT A . B\nFROM T");
	same("", " ; -- x");
	differ("select 1", "");
	differ("select 1; select 2", "select 1");
	same("select 1; select 2", "select 1 ;; SELECT 2;");
	differ("select 1; select 2", "select 1 select 2");
}

static void test_constants(void **state)
{
	static const char *const constants[] = {"1", "-1", "+1.5e10", "'x'", "''", "E'\\''",
		"U&'x'", "N'x'", "$$x$$", "$1", "$22", "B'1'", "x'ff'", "0x1F", "null", "TRUE",
		"false", "'a'\n'b'"};

	for (size_t i = 0; i < COUNT(constants); i++) {
		char sql[64];

		snprintf(sql, sizeof(sql), "select a from t where b = %s and c", constants[i]);
		same("select a from t where b = 0 and c", sql);
	}
	same("select -1", "select 1");
	same("x between -1 and -2", "x between 1 and 2");
	same("case when -1 then -2 else -3", "case when 1 then 2 else 3");
}

static void test_what_stays(void **state)
{
	differ("select a", "select b");
	differ("select a", "select \"a\"");
	differ("select \"a\"", "select \"A\"");
	differ("select a", "select 'a'");
	differ("select ab", "select a b");
	differ("select a + 1", "select a - 1");
	differ("select -a", "select a");
	differ("select - (1)", "select (1)");
	differ("a <-> b", "a <=> b");
	differ("a is null", "a is true");
	differ("a is null", "a is not null");
	differ("a is null", "a is 1");
	differ("f(a, b)", "f(a), b");
	differ("(a) b", "(a b)");
	differ("(a", "a");
	differ("a)", "a");
	differ("a[1]", "a(1)");
	differ("a::int", "a::text");
	differ("1::int", "1");
	differ("select 1, 2", "select 1");
	differ("select a, 1, 2, b", "select a, 1, b");
	differ("select 1 = -", "select 1 =");
	differ("select from a_name_that_is_longer_than_16",
		"select from a_name_that_is_longer_than_17");
	differ("select a_name_of_sixteen_an", "select a_name_of_sixteen_en");
	same("select A_NAME_THAT_IS_LONGER_THAN_16", "select a_name_that_is_longer_than_16");
}

/*
 * Each length of a word once on either side of the boundaries of the words that are hashed at once.
 */
static void test_every_length_of_names(void **state)
{
	char a[64] = "";
	char b[64] = "";

	for (size_t n = 1; n < 50; n++) {
		memset(a, 'q', n);
		for (size_t i = 0; i < n; i++) {
			memcpy(b, a, sizeof(b));
			b[i] = 'Q';
			same(a, b);
			b[i] = 'r';
			differ(a, b);
		}
		memcpy(b, a, sizeof(b));
		b[n] = 'q';
		differ(a, b);
	}
}

/* Only A to Z are folded, and none of their neighbours or of the bytes beyond ASCII. */
static void test_folding_of_each_byte(void **state)
{
	for (int c = 0x80; c < 0x100; c++) {
		char a[] = { (char)c, 'x', '\0' };
		char b[] = { (char)(c ^ 0x20), 'x', '\0' };

		if ((unsigned char)b[0] >= 0x80)
			differ(a, b);
	}
	for (char c = 'A'; c <= 'Z'; c++)
		same((char[]){ c, '_', '\0' }, (char[]){ (char)(c | 0x20), '_', '\0' });
	differ("\"A\"", "\"a\"");
	differ("a@b", "a`b");
}

static void test_lists(void **state)
{
	same("x in (1)", "x in (1, 2, 3)");
	same("x in (1)", "x in ('a', NULL, -3, $1, default)");
	same("x in ($1::int)", "x in ($1::int, $2 :: INT,$3::int)");
	same("x in (1::numeric(10,2))", "x in (1::numeric(10,2), 2::numeric(4,2))");
	same("x in (date '2024-01-01')", "x in (DATE '2024-01-02', date '2024-01-03')");
	same("x in ('a'::character varying)",
		"x in ('a'::character varying, 'b'::character varying)");
	same("array[1]", "array[1,2,3]");
	same("array[[1]]", "array[[1,2],[3,4]]");
	same("f(a, 1)", "f(a, 1, 2)");
	differ("x in (1)", "x in (a)");
	differ("x in (1)", "x in (1, a)");
	differ("x in (a)", "x in (a, a)");
	differ("f(a, 1)", "f(1, a)");
	differ("x in (1::int)", "x in (1::int, 2::text)");
	differ("x in (1::int)", "x in (1::int, 2)");
	differ("x in (1, 2 + a)", "x in (1, 2)");
	differ("x in (1, 1 a)", "x in (1)");
	differ("x in (1)", "x in (select 1)");
	differ("f(a, a)", "f(a)");
	differ("(1; 2)", "(1)");
}

static void test_rows(void **state)
{
	same("insert into t values (1, 'a')",
		"insert into t values (2, 'b'), (3, 'c'), (4, null);");
	same("insert into t (a, b) values (1, now()) on conflict do nothing",
		"insert into t (a, b) values (1, now()), (2, NOW()) on conflict do nothing");
	same("values (1, f(2)) returning a",
		"values (1, f(2)), (-1, f(3)), ($1, f($2)) returning a");
	same("(a, b) in ((1, 2))", "(a, b) in ((1, 2), (3, 4), (5, 6))");
	same("values ($1::int, $2::text)", "values ($1::int, $2::text), ($3::int, $4::text)");
	differ("values (1, f(2))", "values (1, f(2)), (1, g(2))");
	differ("values (1)", "values (1) returning a");
	differ("values (1), (2), f(1)", "values (1), (2)");
	differ("select f(a), g(a)", "select f(a)");
	differ("select f(a), (a)", "select f(a)");
	differ("select f(a), f(a)", "select f(a)");
	differ("values (1) + (1)", "values (1)");
}

static char *repeated(const char *before, const char *part, size_t n, const char *after)
{
	size_t n_part = strlen(part);
	char *text = malloc(strlen(before) + n * n_part + strlen(after) + 1);
	char *at = stpcpy(text, before);

	for (size_t i = 0; i < n; i++)
		at = stpcpy(at, part);
	strcpy(at, after);
	return text;
}

static void test_long_lists(void **state)
{
	char *list = repeated("x in (1", ", 22", 100000, ")");
	char *rows = repeated("values (1, now())", ", (22, now())", 100000, " returning id");

	same("x in (1)", list);
	same("values (1, now()) returning id", rows);
	free(list);
	free(rows);
}

static void test_deep_brackets(void **state)
{
	for (size_t n = 1; n < 200; n++) {
		char *nested = repeated("", "(", n, "a");
		char *other = repeated("", "(", n, "b");
		char *deeper = repeated("", "(", n + 1, "a");
		char *closed = repeated(nested, ")", n, "");

		differ(nested, other);
		differ(nested, deeper);
		differ(closed, "a");
		free(nested);
		free(other);
		free(deeper);
		free(closed);
	}
}

static void test_bad_statements(void **state)
{
	same("select 'private", "select 'secret");
	differ("select 'private", "select");
	differ("select \\", "select {");
	differ("select 1a", "select 1b");
}

/* It is kept over restarts, and must not change unnoticed. */
static void test_is_stable(void **state)
{
	struct pgw_hash128 print = of("SELECT a, \"B\" FROM t WHERE id IN (1, 2) AND x <-> $1 < 5");

	assert_int_equal(print.lo, UINT64_C(0xbe4e61b0c32109fe));
	assert_int_equal(print.hi, UINT64_C(0xeed0028ff88a110a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_constants),
		cmocka_unit_test(test_what_stays),
		cmocka_unit_test(test_every_length_of_names),
		cmocka_unit_test(test_folding_of_each_byte),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_long_lists),
		cmocka_unit_test(test_deep_brackets),
		cmocka_unit_test(test_bad_statements),
		cmocka_unit_test(test_is_stable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
