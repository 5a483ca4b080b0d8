/* SPDX-License-Identifier: ISC */
/* Names of statements and portals, and their bounds. */
#include "admin/portal.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_statements(void **state)
{
	struct names names;
	struct prepared *first;

	names_init(&names);
	assert_null(names_find_prepared(&names, ""));
	first = names_prepare(&names, "a", "SHOW POOLS");
	assert_non_null(first);
	assert_non_null(names_prepare(&names, "", "SHOW STATS"));
	assert_ptr_equal(names_find_prepared(&names, "a"), first);
	assert_non_null(names_prepare(&names, "", "SHOW STATE"));
	assert_string_equal(names_find_prepared(&names, "")->text, "SHOW STATE");
	assert_int_equal(names.n, 2);
	assert_int_equal(names.n_bytes, 1 + 10 + 10);
	names_drop_prepared(&names, "nobody");
	names_drop_prepared(&names, "a");
	assert_null(names_find_prepared(&names, "a"));
	names_release(&names);
	assert_int_equal(names.n, 0);
}

static void test_portals_outlive_their_statement(void **state)
{
	struct names names;
	struct portal *portal;

	names_init(&names);
	portal = names_bind(&names, "p", names_prepare(&names, "s", "SHOW STATE")->text);
	names_drop_all_prepared(&names);
	assert_string_equal(portal->text, "SHOW STATE");
	portal->tag = mem_strdup("SHOW");
	assert_ptr_equal(names_find_portal(&names, "p"), portal);
	names_drop_portal(&names, "p");
	assert_null(names_find_portal(&names, "p"));
	names_release(&names);
}

static void test_number_of_names(void **state)
{
	struct names names;
	char name[16];

	names_init(&names);
	for (unsigned i = 0; i < NAMES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "s%u", i);
		assert_non_null(names_prepare(&names, name, ""));
	}
	assert_null(names_prepare(&names, "more", ""));
	assert_null(names_bind(&names, "more", ""));
	assert_non_null(names_prepare(&names, "s0", "takes its own place"));
	names_drop_all_prepared(&names);
	for (unsigned i = 0; i < PORTALS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "p%u", i);
		assert_non_null(names_bind(&names, name, ""));
	}
	assert_null(names_bind(&names, "more", ""));
	assert_non_null(names_prepare(&names, "s", ""));
	names_drop_all_portals(&names);
	assert_non_null(names_bind(&names, "more", ""));
	names_release(&names);
}

static void test_bytes_of_texts(void **state)
{
	struct names names;
	char *text = mem_alloc(NAMES_MAX_BYTES);

	memset(text, 'x', NAMES_MAX_BYTES);
	text[NAMES_MAX_BYTES - 1] = '\0';
	names_init(&names);
	assert_non_null(names_prepare(&names, "a", text));
	assert_null(names_prepare(&names, "b", ""));
	assert_null(names_bind(&names, "b", ""));
	assert_non_null(names_prepare(&names, "", ""));
	names_drop_prepared(&names, "a");
	assert_non_null(names_prepare(&names, "b", ""));
	names_drop_all_prepared(&names);
	text[NAMES_MAX_BYTES / 2] = '\0';
	assert_non_null(names_prepare(&names, "", text));
	assert_null(names_bind(&names, "p", text));
	assert_non_null(names_bind(&names, "", text));
	names_release(&names);
	mem_free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statements),
		cmocka_unit_test(test_portals_outlive_their_statement),
		cmocka_unit_test(test_number_of_names),
		cmocka_unit_test(test_bytes_of_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
