/* SPDX-License-Identifier: ISC */
/* What of a statement may be shown. */
#include "pgw/printer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void becomes_of(struct pgw_lexer lexer, size_t cap, const char *expected)
{
	char *out = malloc(cap); /* ASan watches its end */

	assert_int_equal(pgw_normalize(lexer, out, cap), strlen(expected));
	assert_string_equal(out, expected);
	free(out);
}

static void becomes(const char *sql, const char *expected)
{
	becomes_of(pgw_lexer_on(sql, strlen(sql)), 200, expected);
}

static void test_layout(void **state)
{
	becomes("", "");
	becomes("  SELECT\n\t a.b ,c /* secret */ FROM  \"T x\" -- secret\n;", "SELECT a.b ,c FROM \"T x\" ;");
	becomes("select f(x)::int<=>$1", "select f(x)::int<=>$1");
}

static void test_constants(void **state)
{
	becomes("ALTER ROLE bob PASSWORD 'hunter2'", "ALTER ROLE bob PASSWORD ?");
	becomes("SELECT E'a\\'b', $x$c'd$x$, U&'e', B'1', X'f', 1.5e3, -7, N'g'", "SELECT ?, ..., -?, ...");
	becomes("SELECT 'unclosed secret", "SELECT ?");
	becomes("SELECT $t$unclosed secret", "SELECT ?");
	becomes("SELECT 'a'\n'b' x", "SELECT ? x");
	becomes("SELECT 12secret", "SELECT ?");
	becomes("SELECT /* unclosed secret", "SELECT ?");
	becomes("SELECT \"unclosed secret", "SELECT ?");
}

static void test_lists(void **state)
{
	becomes("a IN (1, 2)", "a IN (?, ...)");
	becomes("a IN (1,2,3,'x',4)", "a IN (?, ...)");
	becomes("f(1, x, 2, 3, y)", "f(?, x, ?, ..., y)");
	becomes("VALUES (1, 'a'), (2, 'b')", "VALUES (?, ...), (?, ...)");
	becomes("LIMIT 5 OFFSET 6", "LIMIT ? OFFSET ?");
	becomes("(1,)", "(?,)");
	becomes("(1,2,)", "(?, ...,)");
}

static void test_session_says_where_literals_end(void **state)
{
	static const char sql[] = "SELECT 'it\\'s secret', x";
	struct pgw_lexer lexer = pgw_lexer_on(sql, sizeof(sql) - 1);

	lexer.standard_conforming_strings = false;
	becomes_of(lexer, 100, "SELECT ?, x");
}

static void test_only_characters_are_shown(void **state)
{
	becomes("SELECT \"\xc3\xa9\xf0\x9f\x98\x80\"", "SELECT \"\xc3\xa9\xf0\x9f\x98\x80\"");
	becomes("SELECT \"\xe9\x80\xc0\xaf\xed\xa0\x80\xf5\"", "SELECT \"????????\"");
	becomes("SELECT \"a\nb\x7f\"", "SELECT \"a b \"");
}

static void test_cut(void **state)
{
	static const char sql[] = "SELECT abcdef FROM t";

	becomes_of(pgw_lexer_on(sql, sizeof(sql) - 1), sizeof(sql), sql);
	becomes_of(pgw_lexer_on(sql, sizeof(sql) - 1), sizeof(sql) - 1, "SELECT abcdef FR...");
	becomes_of(pgw_lexer_on(sql, sizeof(sql) - 1), 5, "S...");
	becomes_of(pgw_lexer_on(sql, sizeof(sql) - 1), 4, "...");
	/* between characters: of the two bytes of the last one, the first would still find room */
	becomes_of(pgw_lexer_on("ab\xc3\xa9\xc3\xa9", 6), 7, "ab\xc3\xa9\xc3\xa9");
	becomes_of(pgw_lexer_on("ab\xc3\xa9\xc3\xa9", 6), 6 + 1 - 1, "ab...");
	becomes_of(pgw_lexer_on("a\xc3\xa9\xc3\xa9", 5), 5, "a...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_constants),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_session_says_where_literals_end),
		cmocka_unit_test(test_only_characters_are_shown),
		cmocka_unit_test(test_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
