/* SPDX-License-Identifier: ISC */
/* Which entity type a collection's objects are of; the rest is tested against PostgreSQL. */
#include "service/search_stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void assert_type(const struct config *config, const char *collection, const char *type)
{
	char found[ENTITY_TYPE_MAX_BYTES];
	bool is_known = search_stats_type(config, collection, found);

	assert_int_equal(is_known, type != NULL);
	if (type)
		assert_string_equal(found, type);
}

static void types_of_names(void **state)
{
	struct config config = { .n_entities = 0 };

	(void)state;
	assert_type(&config, "ServiceEventVector", "service_event");
	assert_type(&config, "RouteVector", "route");
	assert_type(&config, "A2bVector", "a2b");
	assert_type(&config, "Vector", NULL);
	assert_type(&config, "ServiceEvent", NULL);
	assert_type(&config, "Service_EventVector", NULL);
	assert_type(&config, "AbcdefghijAbcdefghijAbcdefghijAbcdefghijAbcdefghijVector", NULL);
	assert_type(&config, "AbcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuVector",
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstu");
}

static void types_of_the_configuration(void **state)
{
	static char route[] = "route", event[] = "event", other[] = "Other";
	struct config_entity entities[] = { { .name = route }, { .name = event, .collection = other } };
	struct config config = { .entities = entities, .n_entities = 2 };

	(void)state;
	assert_type(&config, "Other", "event");
	assert_type(&config, "RouteVector", "route");
	assert_type(&config, "Another", NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_of_names),
		cmocka_unit_test(types_of_the_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
