/* SPDX-License-Identifier: ISC */
#include "config/snapshot.h"

#include <pthread.h>

#include "unit/config/config_test.h"

static char *dump(const struct config *config)
{
	struct strbuf out = STRBUF_INIT;

	for (unsigned i = 0; i < config_n_rows(); i++) {
		strbuf_addf(&out, "%s=", config_row(i)->key);
		config_row_value(config, i, &out);
		strbuf_addc(&out, '\n');
	}
	for (unsigned i = 0; i < config->n_lanes; i++)
		strbuf_addf(&out, "%s %u %x\n", config->lanes[i].name, config->lanes[i].permits,
			config->lanes[i].class_mask);
	for (unsigned i = 0; i < config->n_databases; i++)
		strbuf_addf(&out, "%s %s %u\n", config->databases[i].name,
			config->databases[i].host, config->databases[i].pool_size);
	for (unsigned i = 0; i < config->n_users; i++)
		strbuf_addf(&out, "%s %u\n", config->users[i].name, config->users[i].max_priority);
	for (unsigned i = 0; i < config->n_secrets; i++)
		strbuf_addf(&out, "%s %s\n", config->secrets[i].user, config->secrets[i].secret);
	for (unsigned i = 0; i < config->n_rules; i++)
		strbuf_addf(&out, "%s %s\n", config->rules[i], config->rule_places[i]);
	strbuf_addf(&out, "%s %d %d %u\n", config->file_name, config->pgbouncer_section,
		config->urgent_lane, config->lane_of_class[3]);
	return strbuf_detach(&out);
}

static struct config *load_data(void)
{
	struct config_problems problems;
	struct config *config = config_load(TEST_DATA "/pgbouncer.ini", &problems);

	assert_non_null(config);
	return config;
}

static void check_copy(struct config *config)
{
	struct config *copy = snapshot_copy(config);
	char *expected = dump(config), *found;

	config_unref(&config);
	assert_null(config);
	found = dump(copy);
	assert_string_equal(found, expected);
	mem_free(found);
	mem_free(expected);
	config_unref(&copy);
}

static void a_copy_is_equal_and_independent(void **state)
{
	check_copy(load_data());
	check_copy(
		load_ok("[rules]\none\ntwo\n[pglane]\nadmin_users = a, b\nserver_check_query =\n"));
}

static void the_last_reference_frees(void **state)
{
	struct config *config = load_ok("");
	struct config *mine = config_ref(config);
	struct config *none = NULL;

	config_unref(&config);
	assert_null(config);
	assert_int_equal(mine->listen_port, 6432); /* a fault under ASan if it is gone */
	config_unref(&mine);
	config_unref(&none);
}

static void *take_and_give(void *arg)
{
	for (unsigned i = 0; i < 10000; i++) {
		struct config *mine = config_ref(arg);

		config_unref(&mine);
	}
	return NULL;
}

static void references_are_counted_across_threads(void **state)
{
	struct config *config = load_ok("");
	pthread_t threads[4];

	for (size_t i = 0; i < N_ELEMENTS(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, config), 0);
	for (size_t i = 0; i < N_ELEMENTS(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(config->refs, 1);
	config_unref(&config);
}

static void names_are_found_among_many(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct config *config;
	char name[32];

	strbuf_adds(&text, "[databases]\n");
	for (unsigned i = 0; i < 5000; i++)
		strbuf_addf(&text, "db%u = host=h%u\n", i * 7919 % 5000, i * 7919 % 5000);
	config = load_ok(text.data);
	assert_int_equal(config->n_databases, 5000);
	for (unsigned i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), "db%u", i);
		assert_string_equal(config_find_database(config, name)->host + 1, name + 2);
	}
	assert_null(config_find_database(config, "db5000"));
	assert_null(config_find_database(config, ""));
	config_unref(&config);
	strbuf_release(&text);
}

static void lists_may_be_empty(void **state)
{
	assert_false(config_list_has(NULL, "a"));
	assert_false(config_list_has((char *const[]){ NULL }, "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_copy_is_equal_and_independent),
		cmocka_unit_test(the_last_reference_frees),
		cmocka_unit_test(references_are_counted_across_threads),
		cmocka_unit_test(names_are_found_among_many),
		cmocka_unit_test(lists_may_be_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
