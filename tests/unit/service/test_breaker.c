/* SPDX-License-Identifier: ISC */
/* Open after failures in a row, half open after the pause, closed by a success. */
#include "service/breaker.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define FAILURES 3
#define PAUSE_US 1000

static void fails(struct breaker *breaker, uint64_t now_us)
{
	breaker_failed(breaker, FAILURES, PAUSE_US, now_us);
}

static void opens_after_failures_in_a_row(void **state)
{
	struct breaker breaker = { 0 };

	(void)state;
	fails(&breaker, 1);
	fails(&breaker, 2);
	breaker_succeeded(&breaker);
	fails(&breaker, 3);
	fails(&breaker, 4);
	assert_true(breaker_allows(&breaker, FAILURES, 5));
	assert_string_equal(breaker_state(&breaker, 5), "closed");
	fails(&breaker, 5);
	assert_false(breaker_allows(&breaker, FAILURES, 6));
	assert_string_equal(breaker_state(&breaker, 6), "open");
	assert_int_equal(breaker.n_opened, 1);
}

static void lets_one_try(void **state)
{
	struct breaker breaker = { 0 };

	(void)state;
	for (uint64_t i = 1; i <= FAILURES; i++)
		fails(&breaker, i);
	assert_false(breaker_allows(&breaker, FAILURES, FAILURES + PAUSE_US - 1));
	assert_string_equal(breaker_state(&breaker, FAILURES + PAUSE_US), "half-open");
	assert_true(breaker_allows(&breaker, FAILURES, FAILURES + PAUSE_US));
	assert_false(breaker_allows(&breaker, FAILURES, FAILURES + PAUSE_US));
	/* It fails at once again, for another pause. */
	fails(&breaker, 5000);
	assert_false(breaker_allows(&breaker, FAILURES, 5000 + PAUSE_US - 1));
	assert_true(breaker_allows(&breaker, FAILURES, 5000 + PAUSE_US));
	breaker_succeeded(&breaker);
	assert_true(breaker_allows(&breaker, FAILURES, 5001 + PAUSE_US));
	assert_true(breaker_allows(&breaker, FAILURES, 5001 + PAUSE_US));
	assert_int_equal(breaker.n_opened, 2);
}

/* What began before it opened and fails then does not make the pause longer. */
static void late_failures_tell_nothing(void **state)
{
	struct breaker breaker = { 0 };

	(void)state;
	for (uint64_t i = 1; i <= FAILURES + 5; i++)
		fails(&breaker, i);
	assert_int_equal(breaker.n_opened, 1);
	assert_true(breaker_allows(&breaker, FAILURES, FAILURES + PAUSE_US));
	breaker_abstained(&breaker);
	assert_true(breaker_allows(&breaker, FAILURES, FAILURES + PAUSE_US));
}

static void may_be_off(void **state)
{
	struct breaker breaker = { 0 };

	(void)state;
	for (uint64_t i = 1; i <= 100; i++)
		breaker_failed(&breaker, 0, PAUSE_US, i);
	assert_true(breaker_allows(&breaker, 0, 101));
	assert_int_equal(breaker.n_opened, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_after_failures_in_a_row),
		cmocka_unit_test(lets_one_try),
		cmocka_unit_test(late_failures_tell_nothing),
		cmocka_unit_test(may_be_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
