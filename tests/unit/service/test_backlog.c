/* SPDX-License-Identifier: ISC */
/* The backlog keeps the newest, in order, each once, and counts what gave way. */
#include "service/backlog.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void add(struct backlog *backlog, uint64_t taken)
{
	struct sample sample = { .taken_wall_us = taken };

	backlog_add(backlog, &sample);
}

static void assert_times(const struct backlog_list *list, unsigned n, const uint64_t *times)
{
	const struct backlog_entry *entry = STAILQ_FIRST(list);

	for (unsigned i = 0; i < n; i++, entry = STAILQ_NEXT(entry, link)) {
		assert_non_null(entry);
		assert_int_equal(entry->sample.taken_wall_us, times[i]);
	}
	assert_null(entry);
}

#define ASSERT_TIMES(list, ...)                                                                    \
	assert_times(list, N_ELEMENTS(((const uint64_t[]){ __VA_ARGS__ })),                        \
		(const uint64_t[]){ __VA_ARGS__ })

static void keeps_order_and_times(void **state)
{
	struct backlog backlog;

	backlog_init(&backlog, 10);
	for (uint64_t i = 1; i <= 4; i++)
		add(&backlog, i * 1000);
	assert_int_equal(backlog.n_waiting, 4);
	ASSERT_TIMES(&backlog.waiting, 1000, 2000, 3000, 4000);
	assert_int_equal(backlog.n_dropped, 0);
	backlog_release(&backlog);
}

static void oldest_give_way_and_are_counted(void **state)
{
	struct backlog backlog;

	backlog_init(&backlog, 3);
	for (uint64_t i = 1; i <= 5; i++)
		add(&backlog, i);
	ASSERT_TIMES(&backlog.waiting, 3, 4, 5);
	assert_int_equal(backlog.n_waiting, 3);
	assert_int_equal(backlog.n_dropped, 2);
	backlog_release(&backlog);
}

/* A row tells of the loss that its own arrival caused. */
static void samples_carry_the_count(void **state)
{
	struct backlog backlog;
	struct backlog_entry *entry;
	uint64_t dropped[] = { 0, 1, 2 };
	unsigned i = 0;

	backlog_init(&backlog, 3);
	for (uint64_t taken = 1; taken <= 5; taken++)
		add(&backlog, taken);
	STAILQ_FOREACH(entry, &backlog.waiting, link)
		assert_int_equal(entry->sample.n_dropped, dropped[i++]);
	assert_int_equal(i, 3);
	backlog_release(&backlog);
}

static void a_batch_is_the_oldest(void **state)
{
	struct backlog backlog;

	backlog_init(&backlog, 10);
	for (uint64_t i = 1; i <= 5; i++)
		add(&backlog, i);
	assert_int_equal(backlog_take(&backlog, 3), 3);
	ASSERT_TIMES(&backlog.flying, 1, 2, 3);
	ASSERT_TIMES(&backlog.waiting, 4, 5);
	backlog_commit(&backlog);
	assert_int_equal(backlog.n_flying, 0);
	assert_int_equal(backlog_take(&backlog, 3), 2);
	ASSERT_TIMES(&backlog.flying, 4, 5);
	backlog_commit(&backlog);
	assert_int_equal(backlog_take(&backlog, 3), 0);
	assert_int_equal(backlog.n_dropped, 0);
	backlog_release(&backlog);
}

static void given_back_to_the_front(void **state)
{
	struct backlog backlog;

	backlog_init(&backlog, 10);
	for (uint64_t i = 1; i <= 3; i++)
		add(&backlog, i);
	(void)backlog_take(&backlog, 2);
	add(&backlog, 4);
	backlog_give_back(&backlog);
	ASSERT_TIMES(&backlog.waiting, 1, 2, 3, 4);
	assert_int_equal(backlog.n_waiting, 4);
	assert_int_equal(backlog.n_flying, 0);
	add(&backlog, 5);
	ASSERT_TIMES(&backlog.waiting, 1, 2, 3, 4, 5);
	backlog_release(&backlog);
}

static void nothing_to_give_back(void **state)
{
	struct backlog backlog;

	backlog_init(&backlog, 10);
	backlog_give_back(&backlog);
	add(&backlog, 1);
	backlog_give_back(&backlog);
	ASSERT_TIMES(&backlog.waiting, 1);
	assert_int_equal(backlog.n_waiting, 1);
	backlog_release(&backlog);
}

/* What flies neither gives way nor counts as lost while it may still be committed. */
static void flying_do_not_give_way(void **state)
{
	struct backlog backlog;

	backlog_init(&backlog, 3);
	for (uint64_t i = 1; i <= 3; i++)
		add(&backlog, i);
	(void)backlog_take(&backlog, 3);
	for (uint64_t i = 4; i <= 7; i++)
		add(&backlog, i);
	ASSERT_TIMES(&backlog.flying, 1, 2, 3);
	ASSERT_TIMES(&backlog.waiting, 5, 6, 7);
	assert_int_equal(backlog.n_dropped, 1);
	backlog_give_back(&backlog);
	ASSERT_TIMES(&backlog.waiting, 5, 6, 7);
	assert_int_equal(backlog.n_dropped, 4);
	backlog_release(&backlog);
}

static void a_lower_limit_holds_at_once(void **state)
{
	struct backlog backlog;

	backlog_init(&backlog, 10);
	for (uint64_t i = 1; i <= 5; i++)
		add(&backlog, i);
	backlog_limit(&backlog, 2);
	ASSERT_TIMES(&backlog.waiting, 4, 5);
	assert_int_equal(backlog.n_dropped, 3);
	backlog_limit(&backlog, 4);
	add(&backlog, 6);
	ASSERT_TIMES(&backlog.waiting, 4, 5, 6);
	backlog_release(&backlog);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_order_and_times),
		cmocka_unit_test(oldest_give_way_and_are_counted),
		cmocka_unit_test(samples_carry_the_count),
		cmocka_unit_test(a_batch_is_the_oldest),
		cmocka_unit_test(given_back_to_the_front),
		cmocka_unit_test(nothing_to_give_back),
		cmocka_unit_test(flying_do_not_give_way),
		cmocka_unit_test(a_lower_limit_holds_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
