/* SPDX-License-Identifier: ISC */
/* What a server has of prepared statements of SQL: assumed, settled, in doubt, and the oldest first to go. */
#include "session/sql_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct pgw_hash128 one = {1, 1}, two = {2, 2};

static void test_settled(void **state)
{
	struct sql_names *names = NULL;

	sql_names_made(&names, "a", one);
	assert_true(sql_names_is(names, "a", one));
	assert_false(sql_names_is(names, "a", two));
	assert_false(sql_names_is(names, "b", one));
	sql_names_settle(&names, false);
	assert_true(sql_names_is(names, "a", one));
	sql_names_gone(names, "a");
	assert_int_equal(sql_names_state(names, "a"), SQL_NAME_GONE);
	sql_names_settle(&names, false);
	assert_null(names);
	sql_names_gone(names, "a");
	sql_names_settle(&names, true);
	assert_null(names);
}

static void test_failed(void **state)
{
	struct sql_names *names = NULL;

	sql_names_made(&names, "kept", one);
	sql_names_settle(&names, false);
	sql_names_made(&names, "made", one);
	sql_names_made(&names, "changed", one);
	sql_names_gone(names, "changed");
	sql_names_settle(&names, true);
	assert_true(sql_names_is(names, "kept", one));
	assert_int_equal(sql_names_state(names, "made"), SQL_NAME_UNKNOWN);
	assert_int_equal(sql_names_state(names, "changed"), SQL_NAME_UNKNOWN);
	sql_names_settle(&names, false);
	assert_int_equal(sql_names_state(names, "made"), SQL_NAME_UNKNOWN);
	sql_names_made(&names, "made", two);
	sql_names_settle(&names, false);
	assert_true(sql_names_is(names, "made", two));
	sql_names_doubt(names, NULL);
	assert_int_equal(sql_names_state(names, "kept"), SQL_NAME_UNKNOWN);
	sql_names_free(&names);
	assert_null(names);
}

/* Where names may be there that are not here, it stays when nothing is left in it. */
static void test_own(void **state)
{
	struct sql_names *names = NULL;

	sql_names_set_own(&names, false);
	assert_null(names);
	sql_names_set_own(&names, true);
	sql_names_made(&names, "a", one);
	sql_names_settle(&names, true);
	assert_int_equal(sql_names_state(names, "a"), SQL_NAME_UNKNOWN);
	sql_names_drop(&names, "a");
	assert_true(sql_names_own(names));
	sql_names_set_own(&names, false);
	assert_null(names);
}

static void test_all_gone(void **state)
{
	struct sql_names *names = NULL;
	unsigned failed;

	sql_names_gone_all(names);
	for (failed = 0; failed < 2; failed++) {
		sql_names_made(&names, "a", one);
		sql_names_made(&names, "b", two);
		sql_names_settle(&names, false);
		sql_names_gone_all(names);
		assert_int_equal(sql_names_state(names, "a"), SQL_NAME_GONE);
		sql_names_made(&names, "b", one);
		sql_names_settle(&names, failed == 1);
		assert_int_equal(sql_names_state(names, "a"), failed ? SQL_NAME_UNKNOWN : SQL_NAME_NONE);
		assert_int_equal(sql_names_is(names, "b", one), failed == 0);
	}
	sql_names_free(&names);
}

static void test_oldest(void **state)
{
	struct sql_names *names = NULL;
	const char *name = NULL;
	unsigned n = 0;

	assert_null(sql_names_oldest(names, 0));
	sql_names_made(&names, "a", one);
	sql_names_made(&names, "b", one);
	sql_names_made(&names, "c", one);
	assert_null(sql_names_oldest(names, 3));
	assert_string_equal(sql_names_oldest(names, 2), "a");
	sql_names_touch(names, "a");
	assert_string_equal(sql_names_oldest(names, 2), "b");
	sql_names_gone(names, "b");
	assert_null(sql_names_oldest(names, 2));
	assert_string_equal(sql_names_oldest(names, 1), "c");
	while ((name = sql_names_next(names, name)) != NULL)
		n++;
	assert_int_equal(n, sql_names_count(names));
	assert_int_equal(n, 3);
	sql_names_free(&names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settled),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_all_gone),
		cmocka_unit_test(test_oldest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
