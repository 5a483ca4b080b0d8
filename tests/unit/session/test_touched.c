/* SPDX-License-Identifier: ISC */
/* Which parameters a text sets, by their names. */
#include "session/touched.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_names(void **state)
{
	static const struct {
		const char *sql, *names; /* with commas between; "+" in front: unknown ones too; "*": all; "#": in pg_settings */
	} rows[] = {
		{"SELECT 1", ""},
		{"SET work_mem = '1MB'", "work_mem"},
		{"SET SESSION Work_Mem TO 1", "work_mem"},
		{"SET \"Work_Mem\" TO 1", "Work_Mem"},
		{"SET my.own = 1", "my.own"},
		{"SET my . own = 1", "my.own"},
		{"SET LOCAL work_mem = 1", ""},
		{"RESET my.own", "my.own"},
		{"RESET ALL", "*"},
		{"DISCARD ALL", "*"},
		{"DISCARD PLANS", ""},
		{"SET TIME ZONE 'UTC'", "TimeZone"},
		{"SET SESSION TIME ZONE INTERVAL '1' HOUR TO MINUTE", "TimeZone"},
		{"SET NAMES 'UTF8'", "client_encoding"},
		{"SET SCHEMA 'x'", "search_path"},
		{"SET XML OPTION DOCUMENT", "xmloption"},
		{"SET ROLE app", "role"},
		{"SET SESSION ROLE app", "role"},
		{"RESET ROLE", "role"},
		{"SET SESSION AUTHORIZATION app", "session_authorization,role"},
		{"RESET SESSION AUTHORIZATION", "session_authorization,role"},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
			"default_transaction_isolation,default_transaction_read_only,default_transaction_deferrable"},
		{"SET TRANSACTION READ ONLY", ""},
		{"SET CONSTRAINTS ALL DEFERRED", ""},
		{"SET a = 1; SET b = 2; RESET a", "a,b"},
		{"BEGIN; SET a = 1; SELECT 1; COMMIT", "a"},
		{"/* SET x = 1 */ SET a = 'b; SET c = 1' -- SET d = 1", "a"},
		{"SELECT 'SET a = 1', set, reset FROM t", ""},
		{"UPDATE t SET a = 1", ""},
		{"SELECT set_config('my.own', $1, false)", "my.own"},
		{"SELECT pg_catalog.Set_Config ( 'a' , 'b', true), \"set_config\"('c', 'd', false)", "a,c"},
		{"SELECT set_config(E'a\\x62', 'b', false)", "ab"},
		{"SELECT set_config($1, 'b', false)", "+"},
		{"SELECT set_config('a' || 'b', 'c', false)", "+"},
		{"SELECT set_config(name, 'c', false) FROM t", "+"},
		{"SELECT set_config(name, 'c', false) FROM pg_settings WHERE name = 'x'", "#"},
		{"SELECT set_config(upper(name), 'c', false) FROM pg_settings", "+"},
		{"SELECT set_config FROM t", ""},
		{"SET", ""},
		{"SET ;", ""},
		{"RESET", ""},
		{"SET a.", "a."},
	};

	for (unsigned i = 0; i < N_ELEMENTS(rows); i++) {
		struct touched touched;
		struct strbuf names = STRBUF_INIT;

		touched_init(&touched);
		touched_add_text(&touched, rows[i].sql, strlen(rows[i].sql), false);
		if (touched.all)
			strbuf_adds(&names, "*");
		if (touched.listed)
			strbuf_adds(&names, "#");
		if (touched.unknown)
			strbuf_adds(&names, "+");
		TOUCHED_FOREACH(name, &touched) {
			if (name != touched.names.data)
				strbuf_adds(&names, ",");
			strbuf_adds(&names, name);
		}
		if (strcmp(names.data, rows[i].names) != 0)
			fail_msg("%s: %s, wanted %s", rows[i].sql, names.data, rows[i].names);
		strbuf_release(&names);
		touched_release(&touched);
	}
}

static void test_backslashes_as_the_session_has_them(void **state)
{
	static const char sql[] = "SELECT 'a\\'; SET b = 1; --'";
	struct touched touched;

	touched_init(&touched);
	touched_add_text(&touched, sql, strlen(sql), true);
	assert_int_equal(touched.n, 0);
	touched_add_text(&touched, sql, strlen(sql), false);
	assert_int_equal(touched.n, 1);
	touched_release(&touched);
}

static void test_of_one_server(void **state)
{
	assert_true(touched_is_of_one_server("Temp_Buffers", "8MB"));
	assert_true(touched_is_of_one_server("search_path", "\"$user\", PG_TEMP"));
	assert_false(touched_is_of_one_server("search_path", "public"));
	assert_false(touched_is_of_one_server("my.path", "pg_temp"));
}

static void test_bounded(void **state)
{
	struct touched touched;
	char name[16];

	touched_init(&touched);
	for (unsigned i = 0; i < TOUCHED_MAX; i++) {
		(void)snprintf(name, sizeof(name), "my.p%u", i);
		touched_add(&touched, name);
		touched_add(&touched, name);
	}
	assert_int_equal(touched.n, TOUCHED_MAX);
	assert_false(touched.unknown);
	touched_add(&touched, "MY.P3");
	assert_false(touched.unknown);
	touched_add(&touched, "one.more");
	assert_true(touched.unknown);
	touched_release(&touched);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_backslashes_as_the_session_has_them),
		cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_of_one_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
