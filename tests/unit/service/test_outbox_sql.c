/* SPDX-License-Identifier: ISC */
#include "service/outbox_sql.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void arrays(void **state)
{
	struct strbuf array = STRBUF_INIT;

	outbox_array_end(&array);
	assert_string_equal(array.data, "{}");
	strbuf_reset(&array);
	outbox_array_add(&array, "a");
	outbox_array_add(&array, NULL);
	outbox_array_add(&array, "NULL");
	outbox_array_add(&array, "");
	outbox_array_add(&array, "\"quoted\\\", {and} so, on");
	outbox_array_end(&array);
	assert_string_equal(array.data, "{\"a\",NULL,\"NULL\",\"\",\"\\\"quoted\\\\\\\", {and} so, on\"}");
	strbuf_release(&array);
}

static void expect_collection(const char *type, const char *expected)
{
	char *name = outbox_collection_of(type);

	assert_string_equal(name, expected);
	mem_free(name);
}

/* As replace(initcap(replace(type, '_', ' ')), ' ', '') || 'Vector' gives them. */
static void collections(void **state)
{
	expect_collection("service_event", "ServiceEventVector");
	expect_collection("a", "AVector");
	expect_collection("a__b_", "ABVector");
	expect_collection("a1b_2c", "A1b2cVector");
	expect_collection("Some_THING", "SomeThingVector");
}

/* Names of others cannot leave their quotes. */
static void names_are_quoted(void **state)
{
	struct strbuf sql = STRBUF_INIT;

	outbox_read_sql(&sql, "x", NULL);
	assert_null(strstr(sql.data, "ml_source_"));
	assert_non_null(strstr(sql.data, "NULL::text AS vector"));
	strbuf_reset(&sql);
	outbox_read_sql(&sql, "a\"b", "c\"'d");
	assert_non_null(strstr(sql.data, "public.\"ml_source_a\"\"b\" s"));
	assert_non_null(strstr(sql.data, "s.\"c\"\"'d\""));
	assert_non_null(strstr(sql.data, "'c\"''d'"));
	strbuf_release(&sql);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arrays),
		cmocka_unit_test(collections),
		cmocka_unit_test(names_are_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
