/* SPDX-License-Identifier: ISC */
/* The memory of leaks: counts, bounds, what is new and what is suspected. */
#include "session/leaks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct leak like(uint64_t n)
{
	return (struct leak){.key = {n, ~n}, .print = {n, 1}, .last_us = n, .database = "db", .user = "me", .text = "SELECT ?"};
}

static void test_found(void **state)
{
	struct leaks leaks;
	struct leak one = like(1);
	const struct leak *leak;
	char what[2 * LEAK_WHAT_BYTES];

	leaks_init(&leaks);
	assert_null(leaks_find(&leaks, one.key));
	assert_false(leak_is_suspected(NULL));
	leaks_found(&leaks, &one, "listen")->n_clean = LEAK_CLEAN_TIMES;
	leak = leaks_find(&leaks, one.key);
	assert_false(leak_is_suspected(leak));
	assert_false(leak->is_certain);
	memset(what, 'x', sizeof(what) - 1);
	what[sizeof(what) - 1] = '\0';
	one.is_certain = true;
	one.last_us = 7;
	assert_ptr_equal(leaks_found(&leaks, &one, what), leak);
	one.is_certain = false;
	leaks_found(&leaks, &one, what);
	assert_true(leak_is_suspected(leak) && leak->is_certain);
	assert_int_equal(leak->n_found, 3);
	assert_int_equal(leak->last_us, 7);
	assert_int_equal(strlen(leak->what), LEAK_WHAT_BYTES - 1);
	assert_string_equal(leak->text, "SELECT ?");
	leaks_release(&leaks);
	assert_int_equal(leaks.n, 0);
}

static void test_bound(void **state)
{
	struct leaks leaks, all;
	struct leak one;
	const struct leak *leak;

	leaks_init(&leaks);
	for (uint64_t i = 0; i < LEAKS_MAX; i++) {
		one = like(i);
		leaks_found(&leaks, &one, "role");
	}
	one = like(0); /* found last */
	leaks_found(&leaks, &one, "role");
	one = like(LEAKS_MAX);
	leaks_found(&leaks, &one, "role");
	assert_int_equal(leaks.n, LEAKS_MAX);
	assert_null(leaks_find(&leaks, like(1).key));
	assert_non_null(leaks_find(&leaks, like(0).key));
	leaks_init(&all);
	for (unsigned i = 0; i < 2; i++)
		TAILQ_FOREACH(leak, &leaks.list, link)
			leaks_merge(&all, leak);
	assert_int_equal(all.n, LEAKS_MAX);
	assert_int_equal(leaks_find(&all, like(0).key)->n_found, 4);
	assert_string_equal(leaks_find(&all, like(0).key)->what, "role");
	leaks_release(&all);
	leaks_release(&leaks);
}

static void test_new(void **state)
{
	struct leaks leaks;
	struct pgw_hash128 key = {5, 0x1234567890abcdef}, same_slot = {5, 0x1234567890abcd00};

	leaks_init(&leaks);
	for (unsigned i = 0; i < LEAK_FIRST_TIMES; i++)
		assert_true(leaks_is_new(&leaks, key));
	assert_false(leaks_is_new(&leaks, key));
	assert_true(leaks_is_new(&leaks, same_slot));
	assert_true(leaks_is_new(&leaks, key));
	leaks_release(&leaks);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
