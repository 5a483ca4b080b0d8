/* SPDX-License-Identifier: ISC */
/* Which texts take parameters back to what the session began with. */
#include "session/reset_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/random.h"

static const struct {
	const char *sql, *name; /* NULL: it is none; "*": all; "**": DISCARD ALL; "local " in front */
} rows[] = {
	{"RESET work_mem", "work_mem"},
	{"reset Work_Mem;", "work_mem"},
	{" ;RESET\tmy . own ; ;", "my.own"},
	{"RESET \"Work_Mem\"", "Work_Mem"},
	{"/* x */ RESET -- y\nwork_mem -- z", "work_mem"},
	{"RESET ALL", "*"},
	{"RESET ALL;", "*"},
	{"DISCARD ALL", "**"},
	{"RESET TIME ZONE", "TimeZone"},
	{"RESET role", "role"},
	{"RESET names", "names"},
	{"SET work_mem TO DEFAULT", "work_mem"},
	{"SET work_mem = default", "work_mem"},
	{"SET SESSION my.own TO DEFAULT;", "my.own"},
	{"SET LOCAL work_mem = DEFAULT", "local work_mem"},
	{"SET TIME ZONE DEFAULT", "TimeZone"},
	{"SET TIME ZONE LOCAL", "TimeZone"},
	{"SET LOCAL TIME ZONE LOCAL", "local TimeZone"},
	{"SET NAMES", "client_encoding"},
	{"SET NAMES DEFAULT", "client_encoding"},
	{"SET names = DEFAULT", "names"},
	{"SET time TO DEFAULT", "time"},
	{"", NULL},
	{"RESET", NULL},
	{"RESET ;", NULL},
	{"RESET work_mem x", NULL},
	{"RESET work_mem, TimeZone", NULL},
	{"RESET a.", NULL},
	{"RESET 'a'", NULL},
	{"RESET SESSION AUTHORIZATION", NULL},
	{"RESET ALL; SELECT 1", NULL},
	{"RESETS work_mem", NULL},
	{"DISCARD PLANS", NULL},
	{"DISCARD", NULL},
	{"SET work_mem = 1", NULL},
	{"SET work_mem = 'default'", NULL},
	{"SET work_mem = \"default\"", NULL},
	{"SET work_mem = DEFAULT, 1", NULL},
	{"SET work_mem DEFAULT", NULL},
	{"SET TIME ZONE 'local'", NULL},
	{"SET NAMES 'UTF8'", NULL},
	{"SET NAMES LOCAL", NULL},
	{"SET ROLE NONE", NULL},
	{"SET SESSION AUTHORIZATION DEFAULT", NULL},
	{"SET TRANSACTION READ ONLY", NULL},
	{"SELECT 1", NULL},
	{"UPDATE t SET a = DEFAULT", NULL},
	{"RESET \"unterminated", NULL},
};

static void forms(void **state)
{
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++) {
		struct reset_text text;
		bool is_one = reset_text_parse(rows[i].sql, strlen(rows[i].sql), false, &text);
		const char *name = rows[i].name;

		if (is_one != (name != NULL))
			fail_msg("%s: is %sone", rows[i].sql, is_one ? "" : "not ");
		if (!is_one)
			continue;
		assert_true(reset_text_may_be(rows[i].sql, strlen(rows[i].sql)));
		assert_int_equal(text.all, name[0] == '*');
		assert_int_equal(text.discards, strcmp(name, "**") == 0);
		assert_int_equal(text.is_local, strncmp(name, "local ", 6) == 0);
		assert_string_equal(text.name, text.all ? "" : text.is_local ? name + 6 : name);
	}
}

static void may_be(void **state)
{
	static const char *const others[] = {"", " ", "s", "SELECT 1", "se", "SET", "RESET", "INSERT", "show all", "  update"};

	for (unsigned i = 0; i < N_ELEMENTS(others); i++)
		assert_false(reset_text_may_be(others[i], strlen(others[i])));
}

/* "name@behind which of the answers|name@…"; at is checked to be the end of what was found. */
static void amid(void **state)
{
	static const struct {
		const char *sql, *found;
	} texts[] = {
		{"SELECT 1; RESET a; SELECT 2", "a@2|"},
		{"RESET a;RESET b", "a@1|b@2|"},
		{";; SELECT 1;; ;RESET ALL ;", "@2|"},
		{"SELECT ';RESET a;', $x$;RESET b;$x$; SET c TO DEFAULT -- ;RESET d", "c@2|"},
		{"SET a TO DEFAULT; SET a = 1; SET LOCAL b = DEFAULT", "a@1|b@3|"},
		{"SELECT 1; DISCARD ALL; RESET a", "a@3|"},
		{"SELECT 1; RESET a b; SELECT 2", ""},
		{"CREATE RULE r AS ON INSERT TO t DO (SELECT 1; RESET a); RESET b", ""},
		{"CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; RESET b", ""},
		{"RESET a; SELECT 'unterminated", ""},
		{"SELECT (1); RESET a", "a@2|"},
		{"RESET a;RESET a;RESET a;RESET a;RESET a", ""}, /* more than are wanted */
	};

	for (unsigned i = 0; i < N_ELEMENTS(texts); i++) {
		struct reset_found found[4];
		unsigned n = reset_text_find(texts[i].sql, strlen(texts[i].sql), false, found, N_ELEMENTS(found));
		char said[512] = "";

		for (unsigned j = 0; j < n; j++) {
			size_t len = strlen(said);

			(void)snprintf(said + len, sizeof(said) - len, "%s@%u|", found[j].text.name, found[j].n_statements);
			assert_true(found[j].at <= strlen(texts[i].sql));
			assert_true(strchr("; \0", texts[i].sql[found[j].at]) != NULL);
		}
		if (strcmp(said, texts[i].found) != 0)
			fail_msg("%s: %s and not %s", texts[i].sql, said, texts[i].found);
	}
}

/* A name of any length is whole, or not taken. */
static void long_names(void **state)
{
	char sql[1100], name[1024];

	for (unsigned n = 1; n < 600; n++) {
		struct reset_text text;

		memset(name, 'n', n);
		name[n] = '\0';
		(void)snprintf(sql, sizeof(sql), "RESET %s", name);
		if (reset_text_parse(sql, strlen(sql), false, &text))
			assert_string_equal(text.name, name);
		else
			assert_true(n > 200);
		(void)snprintf(sql, sizeof(sql), "RESET a.%s", name);
		if (reset_text_parse(sql, strlen(sql), false, &text))
			assert_string_equal(text.name + 2, name);
		else
			assert_true(n > 200);
	}
}

/* Pieces of all rows, put together at random: nothing is read beyond the end, and what stands alone is found amid others. */
static void random_texts(void **state)
{
	struct random random = random_open();

	for (unsigned round = 0; round < 20000; round++) {
		const char *sql = rows[random_below(&random, N_ELEMENTS(rows))].sql;
		size_t from = random_below(&random, (unsigned)strlen(sql) + 1), n = random_below(&random, (unsigned)(strlen(sql) - from) + 1);
		struct reset_found found[4];
		struct reset_text text;
		char *piece = malloc(n + 1); /* of its own, so that a sanitizer sees its end */

		memcpy(piece, sql + from, n);
		if (reset_text_parse(piece, n, random_below(&random, 2), &text) && !text.discards)
			assert_int_equal(reset_text_find(piece, n, false, found, N_ELEMENTS(found)), 1);
		free(piece);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(may_be),
		cmocka_unit_test(amid),
		cmocka_unit_test(long_names),
		cmocka_unit_test(random_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
