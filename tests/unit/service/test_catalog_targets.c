/* SPDX-License-Identifier: ISC */
/* The databases whose catalogs are read: which there are, when each is due, what is known of it. */
#include "service/catalog_targets.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define NOW_US 1000000000u
#define MINUTE_US 60000000u
#define PERIOD_US (5 * UINT64_C(60000000))

static struct catalog *one_vector(const char *table)
{
	struct catalog_column column = { "public", table, "v", "vector", true };

	return catalog_new(&column, 1);
}

static int setup(void **state)
{
	static struct catalog_targets targets;

	catalog_targets_init(&targets);
	*state = &targets;
	return 0;
}

static int teardown(void **state)
{
	catalog_targets_release(*state);
	return 0;
}

static void who_is_gone_is_forgotten(void **state)
{
	struct catalog_targets *targets = *state;
	struct catalog_target *shop = catalog_targets_list(targets, "shop");

	assert_ptr_equal(catalog_targets_list(targets, "shop"), shop);
	(void)catalog_targets_list(targets, "crm");
	(void)catalog_targets_list(targets, "old");
	assert_int_equal(targets->n, 3);
	assert_int_equal(shop->due_us, 0);
	catalog_targets_unlist(targets);
	assert_ptr_equal(catalog_targets_list(targets, "shop"), shop);
	/* not the one that is being read */
	assert_int_equal(catalog_targets_drop(targets, TAILQ_NEXT(shop, link)), 1);
	assert_int_equal(targets->n, 2);
	assert_int_equal(catalog_targets_drop(targets, NULL), 1);
	assert_int_equal(targets->n, 1);
}

static void there_are_not_too_many(void **state)
{
	struct catalog_targets *targets = *state;
	char name[16];

	for (unsigned i = 0; i < CATALOG_DATABASES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "d%u", i);
		assert_non_null(catalog_targets_list(targets, name));
	}
	assert_null(catalog_targets_list(targets, "one more"));
	assert_non_null(catalog_targets_list(targets, "d7"));
}

static void failures_are_put_off_longer_and_longer(void **state)
{
	struct catalog_target *target = catalog_targets_list(*state, "shop");
	uint64_t most_us = CATALOG_RETRY_MIN_US;

	for (unsigned i = 0; i < 40; i++) {
		catalog_target_failed(target, "connection refused", false, PERIOD_US, NOW_US);
		assert_in_range(target->due_us - NOW_US, most_us / 2, most_us);
		most_us = MIN_OF(2 * most_us, PERIOD_US);
	}
	assert_true(target->failed);
	assert_string_equal(target->problem, "connection refused");
	/* a short period is no reason to ask without a pause */
	catalog_target_failed(target, "connection refused", false, 1, NOW_US);
	assert_in_range(target->due_us - NOW_US, CATALOG_RETRY_MAX_US / 2, CATALOG_RETRY_MAX_US);
	/* who asks does not wait for that, and the count begins anew */
	catalog_target_wanted(target, NOW_US);
	assert_int_equal(target->due_us, 0);
	catalog_target_failed(target, "connection refused", false, PERIOD_US, NOW_US);
	assert_in_range(target->due_us - NOW_US, CATALOG_RETRY_MIN_US / 2, CATALOG_RETRY_MIN_US);
	catalog_target_failed(target, "statement timeout", true, PERIOD_US, NOW_US);
	assert_int_equal(target->due_us - NOW_US, PERIOD_US);
}

static void the_log_hears_of_it_once_a_minute(void **state)
{
	struct catalog_target *target = catalog_targets_list(*state, "shop");

	catalog_target_failed(target, "away", false, PERIOD_US, NOW_US);
	assert_int_equal(target->complained_us, NOW_US);
	catalog_target_failed(target, "away", false, PERIOD_US, NOW_US + MINUTE_US - 1);
	assert_int_equal(target->complained_us, NOW_US);
	catalog_target_failed(target, "away", false, PERIOD_US, NOW_US + MINUTE_US);
	assert_int_equal(target->complained_us, NOW_US + MINUTE_US);
	catalog_target_failed(target, "refused", false, PERIOD_US, NOW_US + MINUTE_US + 1);
	assert_int_equal(target->complained_us, NOW_US + MINUTE_US + 1);
}

static void what_is_known_stays_through_failures(void **state)
{
	struct catalog_targets *targets = *state;
	struct catalog_target *target = catalog_targets_list(targets, "shop");
	struct catalogs *catalogs;

	catalog_target_read(target, one_vector("items"), false, 7);
	assert_int_equal(target->due_us, 7);
	assert_null(target->problem);
	catalog_target_failed(target, "away", false, PERIOD_US, NOW_US);
	catalogs = catalog_targets_known(targets);
	assert_string_equal(catalogs_find(catalogs, "shop")->problem, "away");
	assert_true(catalogs_find(catalogs, "shop")->refreshed_wall_us > 0);
	assert_non_null(catalogs_known(catalogs, "shop"));
	catalogs_unref(&catalogs);
	catalog_target_read(target, one_vector("items"), true, 8);
	assert_false(target->failed);
	assert_int_equal(target->n_failures, 0);
	assert_non_null(target->problem); /* it was cut */
	catalog_target_unreadable(target, "nobody", 9);
	assert_true(target->failed);
	assert_int_equal(target->due_us, 9);
	assert_non_null(target->catalog);
}

/* Workers compare addresses: what says the same is the same. */
static void nothing_new_is_the_same_catalog(void **state)
{
	struct catalog_target *target = catalog_targets_list(*state, "shop");
	struct catalog *first;

	catalog_target_read(target, one_vector("items"), false, 1);
	first = catalog_ref(target->catalog);
	catalog_target_read(target, one_vector("items"), false, 2);
	assert_ptr_equal(target->catalog, first);
	catalog_target_read(target, one_vector("notes"), false, 3);
	assert_ptr_not_equal(target->catalog, first);
	catalog_unref(&first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_is_gone_is_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(there_are_not_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_are_put_off_longer_and_longer, setup, teardown),
		cmocka_unit_test_setup_teardown(the_log_hears_of_it_once_a_minute, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_known_stays_through_failures, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_new_is_the_same_catalog, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
