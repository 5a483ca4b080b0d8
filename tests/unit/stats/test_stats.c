/* SPDX-License-Identifier: ISC */
/* Counters: every field of the tables is merged, and one thread may write what another reads. */
#include "stats/stats.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

static void each_total_is_added(void **state)
{
	struct pool_stats sum, more, expected;
	uint64_t n = 1;

#define FILL(name, help)                                                                           \
	sum.name = n * 1000;                                                                       \
	more.name = n;                                                                             \
	expected.name = n * 1001;                                                                  \
	n++;
	POOL_STATS(FILL)
#undef FILL
	assert_int_equal(n - 1, POOL_STATS_N);
	assert_int_equal(
		sizeof(sum), POOL_STATS_N * sizeof(uint64_t)); /* the table is all there is */
	pool_stats_add(&sum, &more);
	assert_memory_equal(&sum, &expected, sizeof(sum));
	pool_stats_add(&sum, &(struct pool_stats){0});
	assert_memory_equal(&sum, &expected, sizeof(sum));
}

static void of_classes_the_maximum_is_kept(void **state)
{
	struct class_stats sum = {1, 2, 30, 4, 5, 6, 7, 8, 9}, more = {10, 20, 20, 40, 50, 60, 70, 80, 7};
	struct class_stats expected = {11, 22, 30, 44, 55, 66, 77, 88, 9};

	class_stats_add(&sum, &more);
	assert_memory_equal(&sum, &expected, sizeof(sum));
	more = (struct class_stats){.max_us = 31};
	expected.max_us = 31;
	class_stats_add(&sum, &more);
	assert_memory_equal(&sum, &expected, sizeof(sum));
}

static void the_maximum_outlives_its_period(void **state)
{
	struct class_stats stats = {.max_us = 30}, sum = {0};

	class_stats_take_max(&stats);
	assert_int_equal(stats.max_us, 0);
	stats.max_us = 20;
	class_stats_take_max(&stats);
	stats.max_us = 10;
	class_stats_add(&sum, &stats);
	assert_int_equal(sum.max_us, 10);
	assert_int_equal(class_stats_max_us(&sum), 30);
	class_stats_add(&sum, &(struct class_stats){.max_us = 40});
	assert_int_equal(class_stats_max_us(&sum), 40);
}

#define N_ADDED 200000u

static void *count(void *arg)
{
	struct class_stats *stats = arg;

	for (uint64_t i = 1; i <= N_ADDED; i++) {
		STAT_ADD(stats->n_statements, 1);
		STAT_ADD(stats->total_us, 3);
		STAT_SET(stats->max_us, i);
	}
	return NULL;
}

static void reading_while_it_is_written(void **state)
{
	struct class_stats stats = {0};
	uint64_t last = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, count, &stats), 0);
	while (last < N_ADDED) {
		struct class_stats sum = {0};

		class_stats_add(&sum, &stats);
		assert_true(sum.n_statements >= last);
		last = sum.n_statements;
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(stats.total_us, 3 * N_ADDED);
	assert_int_equal(stats.max_us, N_ADDED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_total_is_added),
		cmocka_unit_test(of_classes_the_maximum_is_kept),
		cmocka_unit_test(the_maximum_outlives_its_period),
		cmocka_unit_test(reading_while_it_is_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
