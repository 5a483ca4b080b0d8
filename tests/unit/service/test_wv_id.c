/* SPDX-License-Identifier: ISC */
#include "service/wv_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void expect(const char *collection, const char *key, const char *expected)
{
	char id[WV_ID_BYTES];

	wv_id(collection, key, id);
	assert_string_equal(id, expected);
	assert_true(wv_is_id(id));
}

/* What Python's uuid.uuid5(uuid.NAMESPACE_DNS, collection + key) gives. */
static void as_the_clients_make_them(void **state)
{
	expect("", "python.org", "886313e1-3b8a-5372-9b90-0c9aee199e5d");
	expect("ServiceEventVector", "6f1c1c1e-0000-4000-8000-0000000000e1", "112c498a-07b2-5f40-a2a1-9234b72cbf60");
	expect("CustomerBehaviorVector", "6f1c1c1e-0000-4000-8000-0000000000e1", "4dd55ee7-ed1a-583a-9e1d-836d4905b278");
}

static void what_is_an_id(void **state)
{
	assert_true(wv_is_id("6f1c1c1e-0000-4000-8000-0000000000e1"));
	assert_false(wv_is_id(""));
	assert_false(wv_is_id("6F1c1c1e-0000-4000-8000-0000000000e1"));
	assert_false(wv_is_id("6f1c1c1e-0000-4000-8000-0000000000e"));
	assert_false(wv_is_id("6f1c1c1e-0000-4000-8000-0000000000e1 "));
	assert_false(wv_is_id("6f1c1c1e000004000-8000-0000000000e1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_clients_make_them),
		cmocka_unit_test(what_is_an_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
