/* SPDX-License-Identifier: ISC */
/*
 * Where an annotation may stand, what it may look like, and that whatever is not one leaves no
 * trace.
 */
#include "pgw/annotation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a lexer says that has read all: without it, nobody looks for annotations. */
static bool passes_comment(const char *sql, size_t n)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);

	while (pgw_lex(&lexer).kind != PGW_TOK_END)
		continue;
	return lexer.passed_comment;
}

/* Reads a copy that is gone afterwards: keys and values must live in the annotation. */
static void read_all(const char *sql, struct pgw_annotation *a_r)
{
	size_t n = strlen(sql);
	char *text = malloc(n ? n : 1); /* ASan watches its end */
	unsigned n_pairs;

	memcpy(text, sql, n);
	memset(a_r, 0xee, sizeof(*a_r));
	n_pairs = pgw_annotation_read(pgw_lexer_on(text, n), a_r);
	assert_int_equal(n_pairs, a_r->n);
	if (a_r->n || a_r->n_malformed)
		assert_true(passes_comment(text, n));
	free(text);
}

/* Keys and values in order, NULL at the end. */
static void found(const char *sql, ...)
{
	struct pgw_annotation a;
	unsigned n = 0;
	const char *key;
	va_list wanted;

	read_all(sql, &a);
	va_start(wanted, sql);
	while ((key = va_arg(wanted, const char *)) != NULL) {
		if (n >= a.n)
			fail_msg("<%s>: %s is missing", sql, key);
		assert_string_equal(a.keys[n], key);
		assert_string_equal(a.values[n], va_arg(wanted, const char *));
		n++;
	}
	va_end(wanted);
	if (a.n != n)
		fail_msg("<%s>: %u pairs, not %u", sql, a.n, n);
	assert_int_equal(a.n_malformed, 0);
}

static void none(const char *sql, unsigned n_malformed)
{
	struct pgw_annotation a;

	read_all(sql, &a);
	if (a.n || a.n_malformed != n_malformed)
		fail_msg("<%s>: %u pairs, %u malformed", sql, a.n, a.n_malformed);
	assert_int_equal(a.n_text, 0);
}

static void nothing(const char *sql)
{
	none(sql, 0);
}

static void malformed(const char *sql)
{
	none(sql, 1);
}

static void test_places(void **state)
{
	found("/*a='b'*/ select 1", "a", "b", NULL);
	found("  \n/*a='b'*/select 1", "a", "b", NULL);
	found("-- x\n/*a='b'*/ select 1", "a", "b", NULL);
	found("select 1 /*a='b'*/", "a", "b", NULL);
	found("select 1; /*a='b'*/", "a", "b", NULL);
	found("select 1 /*a='b'*/ ; \n", "a", "b", NULL);
	found("select 1 /*a='b'*/ ; /*c='d'*/;", "a", "b", "c", "d", NULL);
	found("select 1 /*a='b'*/ -- c", "a", "b", NULL);
	found("/*a='b'*/ /* x */ /*c='d'*/ select 1 /*e='f'*/", "a", "b", "c", "d", "e", "f", NULL);
	found("/*a='b'*/", "a", "b", NULL);
	found("/*a='b'*/ select 1; select 2", "a", "b", NULL);
	found("select 1; select 2 /*a='b'*/", "a", "b", NULL);
}

static void test_other_places(void **state)
{
	nothing("select /*ml_class='x'*/ 1");
	nothing("select 1 /*ml_class='x'*/; select 2");
	nothing("select '/*ml_class=''x''*/'");
	nothing("select $$/*ml_class='x'*/$$");
	nothing("select \"/*ml_class='x'*/\"");
	nothing("-- /*ml_class='x'*/\nselect 1");
	nothing("select 1 -- /*ml_class='x'*/");
	nothing("select E'\\'/*ml_class=\"x\"*/");
	nothing("; /*ml_class='x'*/ select 1");
	nothing("");
	nothing("select 1");
	nothing("select 1 /* prose */");
	nothing("/**/select 1");
	nothing("/*ml_class='x'");
	nothing("select 1 /*ml_class='x'");
}

static void test_forms(void **state)
{
	found("/*a='1',b='2',c='3'*/", "a", "1", "b", "2", "c", "3", NULL);
	found("/* a = '1' , b\t=\n'2' */", "a", "1", "b", "2", NULL);
	found("/*a=''*/", "a", "", NULL);
	found("/*ml_near_text='it\\'s'*/", "ml_near_text", "it's", NULL);
	found("/*a='\\'\\''*/", "a", "''", NULL);
	found("/*a='b\\c'*/", "a", "b\\c", NULL);
	found("/*a%5Fb='x%20y%2C%27z%27%c3%A9'*/", "a_b", "x y,'z'\xc3\xa9", NULL);
	found("/*a='x, y=z + *'*/", "a", "x, y=z + *", NULL);
	found("/*traceparent='00-ab-cd-01',db.driver='x~y'*/", "traceparent", "00-ab-cd-01",
		"db.driver", "x~y", NULL);
	found("/*a='/* x */'*/", "a", "/* x */", NULL);
}

static void test_first_wins(void **state)
{
	struct pgw_annotation a;

	found("/*a='1',a='2',b='3'*/", "a", "1", "b", "3", NULL);
	found("/*a='1'*/ select 1 /*a='2',b='3'*/", "a", "1", "b", "3", NULL);
	found("/*a='1'*/ select 1 /*%61='2'*/", "a", "1", NULL);
	read_all("/*a='1',a='2',a='3'*/", &a);
	assert_int_equal(a.n_text, 4); /* what loses takes no room */
}

static void test_malformed(void **state)
{
	static const char *const comments[] = {"ml_class=training", "ml_class: training",
		"ml_class:'training'", "ml_class = \"training\"", "{\"ml_class\": \"training\"}",
		"{'ml_class':'training'}", "ml_class='training", "ml_class='training\\'",
		"ml_class='training',", ",ml_class='training'", "ml_class='a' ml_priority='1'",
		"ml_class='a';ml_priority='1'", "ml_class=='a'", "ml_class='%zz'", "ml_class='%4'",
		"ml_class='a%00b'", "ml_class='%", "ml_class='a'b", "x ml_class='a'",
		"ml_class='a' x", "hint, ml_class=a", "ml_class=", "='x',ml_class='y'",
		"ml_%zz='x',ml_a='b'", "/*ml_class='x'*/"};

	for (size_t i = 0; i < COUNT(comments); i++) {
		char sql[128];

		snprintf(sql, sizeof(sql), "/*%s*/ select 1", comments[i]);
		malformed(sql);
		snprintf(sql, sizeof(sql), "select 1 /* %s */;", comments[i]);
		malformed(sql);
	}
}

/* What other tools and people write in comments is not ours to count. */
static void test_foreign_comments(void **state)
{
	static const char *const comments[] = {"", " ", "prose", "a=b", "a: b",
		"application:Foo,job:Bar", "+ IndexScan(t)", "reads ml_predictions",
		"ml_predictions, ml_class", "xml_class=1", "x.ml_class=1", "ml_", "'", "a='b", "=",
		"%", "a='1',,b='2'"};

	for (size_t i = 0; i < COUNT(comments); i++) {
		char sql[128];

		snprintf(sql, sizeof(sql), "/*%s*/ select 1", comments[i]);
		nothing(sql);
	}
}

static void test_a_bad_comment_spares_the_others(void **state)
{
	struct pgw_annotation a;
	const char *sql = "/*a='1'*/ /*b='2',ml_class=x*/ select 1 /*c='3'*/";

	assert_int_equal(pgw_annotation_read(pgw_lexer_on(sql, strlen(sql)), &a), 2);
	assert_int_equal(a.n_malformed, 1);
	assert_string_equal(pgw_annotation_get(&a, "a"), "1");
	assert_string_equal(pgw_annotation_get(&a, "c"), "3");
	assert_null(pgw_annotation_get(&a, "b"));
	assert_null(pgw_annotation_get(&a, "ml_class"));
	assert_null(pgw_annotation_get(&a, ""));
}

/*
 * A comment whose keys and values, each with its NUL, take exactly n bytes; the key is one letter.
 */
static char *comment_of(size_t n)
{
	size_t n_value = n - 3;
	char *sql = malloc(n_value + 32);
	int at = sprintf(sql, "/*m='");

	memset(sql + at, 'v', n_value);
	strcpy(sql + at + n_value, "'*/");
	return sql;
}

static void test_text_is_bounded(void **state)
{
	struct pgw_annotation a;
	char *fits = comment_of(PGW_ANNOTATION_BYTES);
	char *exceeds = comment_of(PGW_ANNOTATION_BYTES + 1);

	assert_int_equal(pgw_annotation_read(pgw_lexer_on(fits, strlen(fits)), &a), 1);
	assert_int_equal(strlen(pgw_annotation_get(&a, "m")), PGW_ANNOTATION_BYTES - 3);
	assert_int_equal(a.n_text, PGW_ANNOTATION_BYTES);
	assert_int_equal(pgw_annotation_read(pgw_lexer_on(exceeds, strlen(exceeds)), &a), 0);
	assert_int_equal(a.n_text, 0);
	assert_int_equal(a.n_malformed, 0); /* no key of ours in it */
	free(fits);
	free(exceeds);
}

static void keys_comment(char *sql, unsigned n_keys)
{
	sql += sprintf(sql, "/*");
	for (unsigned i = 0; i < n_keys; i++)
		sql += sprintf(sql, "%sml_%u='%u'", i ? "," : "", i, i);
	sprintf(sql, "*/ select 1");
}

static void test_keys_are_bounded(void **state)
{
	struct pgw_annotation a;
	char sql[2048];

	keys_comment(sql, PGW_ANNOTATION_MAX_KEYS);
	assert_int_equal(pgw_annotation_read(pgw_lexer_on(sql, strlen(sql)), &a), PGW_ANNOTATION_MAX_KEYS);
	assert_string_equal(pgw_annotation_get(&a, "ml_31"), "31");
	keys_comment(sql, PGW_ANNOTATION_MAX_KEYS + 1);
	assert_int_equal(pgw_annotation_read(pgw_lexer_on(sql, strlen(sql)), &a), 0);
	assert_int_equal(a.n_malformed, 1);
}

static void test_passed_comment(void **state)
{
	assert_false(passes_comment("", 0));
	assert_false(passes_comment("*/", 1));
	assert_false(passes_comment("select * from t where a * b / c -- x", 36));
	assert_false(passes_comment("select '/* a */'", 16));
	assert_false(passes_comment("select 1 /* a ", 14));
	assert_true(passes_comment("/**/", 4));
	assert_true(passes_comment("select * /*a='b'*/ -- x", 23));
	assert_true(passes_comment("select /* a */ 1 /* b", 21));
}

static void test_backslashes(void **state)
{
	static const char sql[] = "select 'it\\'s' /*ml_a='b'*/";
	struct pgw_lexer lexer = pgw_lexer_on(sql, sizeof(sql) - 1);
	struct pgw_annotation a;

	assert_int_equal(pgw_annotation_read(lexer, &a), 0);
	lexer.standard_conforming_strings = false;
	assert_int_equal(pgw_annotation_read(lexer, &a), 1);
}

static void test_nul_bytes(void **state)
{
	static const char sql[] = "/*ml_a='b\0c'*/";
	struct pgw_annotation a;

	assert_int_equal(pgw_annotation_read(pgw_lexer_on(sql, sizeof(sql) - 1), &a), 0);
	assert_int_equal(a.n_malformed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_other_places),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_first_wins),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_foreign_comments),
		cmocka_unit_test(test_a_bad_comment_spares_the_others),
		cmocka_unit_test(test_text_is_bounded),
		cmocka_unit_test(test_keys_are_bounded),
		cmocka_unit_test(test_passed_comment),
		cmocka_unit_test(test_backslashes),
		cmocka_unit_test(test_nul_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
