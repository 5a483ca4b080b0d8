/* SPDX-License-Identifier: ISC */
/* What literals and identifiers stand for, and that a buffer is never overrun. */
#include "pgw/sqllex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct pgw_token first(const char *sql)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, strlen(sql));

	return pgw_lex(&lexer);
}

static void value_is(size_t (*read)(const struct pgw_token *, char *, size_t), const char *sql,
	const char *value)
{
	struct pgw_token token = first(sql);
	size_t n_value = strlen(value);
	char whole[128];

	assert_int_equal(token.len, strlen(sql));
	assert_int_equal(read(&token, whole, sizeof(whole)), n_value);
	assert_string_equal(whole, value);
	for (size_t cap = 0; cap <= n_value + 1; cap++) {
		char *cut = malloc(cap ? cap : 1); /* ASan watches its end */
		size_t n = cap ? cap - 1 : 0;

		assert_int_equal(read(&token, cut, cap), n);
		if (cap) {
			assert_memory_equal(cut, value, n);
			assert_int_equal(cut[n], '\0');
		}
		free(cut);
	}
}

static void string_is(const char *sql, const char *value)
{
	value_is(pgw_token_string, sql, value);
}

static void ident_is(const char *sql, const char *value)
{
	value_is(pgw_token_ident, sql, value);
}

static void test_plain_strings(void **state)
{
	string_is("''", "");
	string_is("'abc'", "abc");
	string_is("'it''s'", "it's");
	string_is("''''", "'");
	string_is("'a\\b'", "a\\b");
	string_is("N'a\\'", "a\\");
	string_is("'a' -- it's\n'b'\n 'c'", "abc");
}

static void test_c_escapes(void **state)
{
	string_is("E'a\\'b''c\\\\'", "a'b'c\\");
	string_is("e'\\b\\f\\n\\r\\t\\q'", "\b\f\n\r\tq");
	string_is("E'\\101\\1012\\x41\\x4g\\xg'", "AA2A\4gxg");
	string_is("E'\\u00e9\\U0001F600'", "\xc3\xa9\xf0\x9f\x98\x80");
	string_is("E'\\uD83D\\uDE00'", "\xf0\x9f\x98\x80");
	string_is("E'\\u20ac'", "\xe2\x82\xac");
	string_is("E'a'\n'\\x62'", "ab");
}

static void test_malformed_escapes_stay(void **state)
{
	string_is("E'\\u00'", "u00");
	string_is("E'\\uD83Dx'", "uD83Dx");
	string_is("E'\\uD83D\\u0041'", "uD83DA");
	string_is("E'\\uDE00'", "uDE00");
	string_is("E'\\uDE00\\uDE00'", "uDE00uDE00");
	string_is("E'\\UFFFFFFFF'", "UFFFFFFFF");
	string_is("U&'\\00g1 \\+11FFFF'", "\\00g1 \\+11FFFF");
	string_is("U&'\\D83D\\'", "\\D83D\\");
}

static void test_unicode_escapes(void **state)
{
	string_is("U&'d\\0061t\\+000061\\\\'", "data\\");
	string_is("u&'\\D83D\\DE00'", "\xf0\x9f\x98\x80");
	ident_is("U&\"d\\0061t\"\"a\"", "dat\"a");
}

static void test_dollar_quotes(void **state)
{
	string_is("$$$$", "");
	string_is("$$it's$$", "it's");
	string_is("$a$ $b$ \\ $a$", " $b$ \\ ");
}

static void test_identifiers(void **state)
{
	ident_is("Select", "select");
	ident_is("FOO$Bar_Z", "foo$bar_z");
	ident_is("\xc3\x89T\xc3\x89", "\xc3\x89t\xc3\x89");
	ident_is("\"Foo\"\"Bar\"", "Foo\"Bar");
}

static void test_other_kinds_have_none(void **state)
{
	struct pgw_token number = first("42");
	struct pgw_token word = first("abc");
	struct pgw_token string = first("'abc'");
	char buf[8] = "old";

	assert_int_equal(pgw_token_string(&number, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "");
	assert_int_equal(pgw_token_string(&word, buf, sizeof(buf)), 0);
	assert_int_equal(pgw_token_ident(&string, buf, sizeof(buf)), 0);
}

static void test_word_is(void **state)
{
	struct pgw_token select = first("SeLeCt");
	struct pgw_token quoted = first("\"select\"");
	struct pgw_token at = first("@");

	assert_true(pgw_word_is(&select, "select"));
	assert_false(pgw_word_is(&select, "selec"));
	assert_false(pgw_word_is(&select, "selects"));
	assert_false(pgw_word_is(&select, ""));
	assert_false(pgw_word_is(&quoted, "select"));
	assert_false(pgw_word_is(&at, "`"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_strings),
		cmocka_unit_test(test_c_escapes),
		cmocka_unit_test(test_malformed_escapes_stay),
		cmocka_unit_test(test_unicode_escapes),
		cmocka_unit_test(test_dollar_quotes),
		cmocka_unit_test(test_identifiers),
		cmocka_unit_test(test_other_kinds_have_none),
		cmocka_unit_test(test_word_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
