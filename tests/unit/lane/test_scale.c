/* SPDX-License-Identifier: ISC */
/* What is decided on given readings; the clock is a variable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lane/scale.h"

#define SECOND UINT64_C(1000000)

static const struct scale_settings DEFAULTS = {
	.budget = 180, .warm_min = 25, .step = 10, .threshold_permille = 800, .down_delay_us = 300 * SECOND};

static struct scale_reading reading(uint64_t s, uint32_t open, uint32_t in_use)
{
	return (struct scale_reading){.now_us = (1000 + s) * SECOND, .open = open, .in_use = in_use, .n_clients = 5};
}

static bool decide(struct scale *scale, const struct scale_settings *settings, struct scale_reading now,
	struct scale_decision *out)
{
	*out = (struct scale_decision){.n = 0};
	return scale_open_or_close(scale, settings, &now, out);
}

static void warm_min_is_opened_while_there_are_clients(void **state)
{
	struct scale scale;
	struct scale_decision d;
	struct scale_reading now = reading(0, 3, 1);

	scale_init(&scale);
	now.n_clients = 0;
	assert_false(decide(&scale, &DEFAULTS, now, &d));
	assert_int_equal(scale_logins(&scale, &now), 0);
	now.n_clients = 1;
	assert_true(decide(&scale, &DEFAULTS, now, &d));
	assert_int_equal(d.event, SCALE_WARM);
	assert_int_equal(d.n, 22);
	assert_int_equal(scale_logins(&scale, &now), SCALE_LOGINS_PER_S);
	assert_true(scale.aim_is_warm);
	/* Said once; it goes on until that many are open. */
	now = reading(1, 20, 1);
	assert_false(decide(&scale, &DEFAULTS, now, &d));
	assert_int_equal(scale_logins(&scale, &now), 5);
	now = reading(2, 25, 1);
	assert_false(decide(&scale, &DEFAULTS, now, &d));
	assert_int_equal(scale_logins(&scale, &now), 0);
}

static void at_the_threshold_a_step_is_opened(void **state)
{
	struct scale scale;
	struct scale_decision d;
	struct scale_reading now;

	scale_init(&scale);
	assert_false(decide(&scale, &DEFAULTS, reading(0, 30, 23), &d));
	assert_true(decide(&scale, &DEFAULTS, now = reading(1, 30, 24), &d));
	assert_int_equal(d.event, SCALE_UP);
	assert_int_equal(d.n, 10);
	assert_false(scale.aim_is_warm);
	assert_string_equal(d.why, "24 of 30 open in use, threshold 0.800");
	/* Not again before these are there. */
	assert_false(decide(&scale, &DEFAULTS, reading(2, 35, 34), &d));
	assert_true(decide(&scale, &DEFAULTS, reading(3, 40, 39), &d));
	assert_int_equal(d.n, 10);
}

static void the_ceiling_is_the_budget_or_what_postgresql_grants(void **state)
{
	struct scale scale;
	struct scale_decision d;

	scale_init(&scale);
	assert_true(decide(&scale, &DEFAULTS, reading(0, 176, 176), &d));
	assert_int_equal(d.n, 4);
	assert_false(decide(&scale, &DEFAULTS, reading(1, 180, 180), &d));
	scale_init(&scale);
	assert_true(scale_refused(&scale, &DEFAULTS, 40, 1000 * SECOND, &d));
	assert_false(decide(&scale, &DEFAULTS, reading(1, 40, 40), &d));
	assert_true(decide(&scale, &DEFAULTS, reading(2, 38, 38), &d));
	assert_int_equal(d.n, 2);
	/* An aim from before the refusal is not pursued beyond it. */
	scale_init(&scale);
	assert_true(decide(&scale, &DEFAULTS, reading(0, 40, 40), &d));
	assert_true(scale_refused(&scale, &DEFAULTS, 40, 1000 * SECOND, &d));
	assert_false(decide(&scale, &DEFAULTS, reading(1, 40, 40), &d));
	assert_int_equal(scale_logins(&scale, &(struct scale_reading){.open = 40}), 0);
}

static void an_aim_that_is_not_reached_is_given_up(void **state)
{
	struct scale scale;
	struct scale_decision d;
	struct scale_reading now;

	scale_init(&scale);
	assert_true(decide(&scale, &DEFAULTS, reading(0, 30, 30), &d));
	now = reading(SCALE_PATIENCE_US / SECOND, 32, 1);
	assert_false(decide(&scale, &DEFAULTS, now, &d));
	assert_int_equal(scale_logins(&scale, &now), 0);
	/* As long as no more can be had it is not tried, nor told, again. */
	assert_false(decide(&scale, &DEFAULTS, reading(100, 32, 32), &d));
	assert_true(decide(&scale, &DEFAULTS, reading(101, 33, 33), &d));
	assert_int_equal(d.event, SCALE_UP);
}

static void a_step_is_closed_each_time_the_delay_has_passed(void **state)
{
	struct scale scale;
	struct scale_decision d;

	scale_init(&scale);
	assert_false(decide(&scale, &DEFAULTS, reading(0, 60, 5), &d));
	assert_false(decide(&scale, &DEFAULTS, reading(299, 60, 5), &d));
	assert_true(decide(&scale, &DEFAULTS, reading(300, 60, 5), &d));
	assert_int_equal(d.event, SCALE_DOWN);
	assert_int_equal(d.n, 10);
	assert_false(decide(&scale, &DEFAULTS, reading(301, 50, 5), &d));
	/* One moment at the threshold, and the time begins anew. */
	assert_true(decide(&scale, &DEFAULTS, reading(500, 50, 45), &d));
	assert_int_equal(d.event, SCALE_UP);
	assert_false(decide(&scale, &DEFAULTS, reading(600, 50, 5), &d));
	assert_false(decide(&scale, &DEFAULTS, reading(899, 50, 5), &d));
	assert_true(decide(&scale, &DEFAULTS, reading(900, 50, 5), &d));
}

static void closing_stops_at_what_is_kept_and_needed(void **state)
{
	struct scale scale;
	struct scale_decision d;
	struct scale_reading now = reading(300, 60, 5);

	scale_init(&scale);
	assert_false(decide(&scale, &DEFAULTS, reading(0, 28, 5), &d));
	assert_true(decide(&scale, &DEFAULTS, reading(300, 28, 5), &d));
	assert_int_equal(d.n, 3); /* warm_min */
	assert_false(decide(&scale, &DEFAULTS, reading(900, 25, 5), &d));
	scale_init(&scale);
	now.now_us -= 300 * SECOND;
	now.kept = 58; /* min_pool_size */
	assert_false(decide(&scale, &DEFAULTS, now, &d));
	now.now_us += 300 * SECOND;
	assert_true(decide(&scale, &DEFAULTS, now, &d));
	assert_int_equal(d.n, 2);
	/* 40 in use: 51 open are below 0.8, 50 would be at it and open ten again. */
	scale_init(&scale);
	assert_false(decide(&scale, &DEFAULTS, reading(0, 55, 40), &d));
	assert_true(decide(&scale, &DEFAULTS, reading(300, 55, 40), &d));
	assert_int_equal(d.n, 4);
}

static void nothing_is_done_in_pgbouncers_way(void **state)
{
	struct scale_settings plain = DEFAULTS;
	struct scale scale;
	struct scale_decision d;

	plain.warm_min = plain.step = 0;
	scale_init(&scale);
	assert_false(decide(&scale, &plain, reading(0, 1, 1), &d));
	assert_false(decide(&scale, &plain, reading(1, 60, 0), &d));
	assert_false(decide(&scale, &plain, reading(9999, 60, 0), &d));
}

static void a_refusal_shrinks_to_what_is_open(void **state)
{
	struct scale scale;
	struct scale_decision d;

	scale_init(&scale);
	assert_true(scale_refused(&scale, &DEFAULTS, 97, 1000 * SECOND, &d));
	assert_int_equal(d.event, SCALE_SHRINK);
	assert_int_equal(d.n, 97);
	assert_int_equal(scale.effective, 97);
	/* The others that were under way are no news. */
	assert_false(scale_refused(&scale, &DEFAULTS, 97, 1000 * SECOND, &d));
	/* Never below what is open. */
	assert_true(scale_logged_in(&scale, 98, 1000 * SECOND));
	assert_int_equal(scale.effective, 98);
	assert_false(scale_logged_in(&scale, 60, 1000 * SECOND));
	assert_true(scale_refused(&scale, &DEFAULTS, 0, 1000 * SECOND, &d));
	assert_int_equal(scale.effective, 0);
}

static void probes_back_off_while_they_are_refused(void **state)
{
	static const uint64_t waits_s[] = {1, 2, 4, 8, 16, 32, 60, 60};
	struct scale scale;
	struct scale_decision d;
	uint64_t now_us = 1000 * SECOND;

	scale_init(&scale);
	assert_true(scale_refused(&scale, &DEFAULTS, 50, now_us, &d));
	for (unsigned i = 0; i < sizeof(waits_s) / sizeof(waits_s[0]); i++) {
		assert_false(scale_probe(&scale, &DEFAULTS, now_us + waits_s[i] * SECOND - 1, &d));
		now_us += waits_s[i] * SECOND;
		assert_true(scale_probe(&scale, &DEFAULTS, now_us, &d));
		assert_int_equal(d.event, SCALE_PROBE);
		assert_int_equal(d.n, 51);
		assert_true(scale_refused(&scale, &DEFAULTS, 50, now_us, &d));
		assert_int_equal(scale.effective, 50);
	}
}

static void one_more_than_was_refused_speeds_recovery_up(void **state)
{
	struct scale scale;
	struct scale_decision d;
	uint64_t now_us = 1000 * SECOND;
	uint32_t expected[] = {51, 53, 57, 65, 75, 85};

	scale_init(&scale);
	(void)scale_refused(&scale, &DEFAULTS, 50, now_us, &d);
	for (unsigned i = 0; i < 5; i++) {
		now_us = scale.probe_us;
		assert_true(scale_probe(&scale, &DEFAULTS, now_us, &d));
		(void)scale_refused(&scale, &DEFAULTS, 50, now_us, &d);
	}
	assert_int_equal(scale.backoff_us, 32 * SECOND);
	now_us = scale.probe_us;
	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_true(scale_probe(&scale, &DEFAULTS, now_us, &d));
		assert_int_equal(d.n, expected[i]);
		assert_false(scale_logged_in(&scale, expected[i], now_us));
		assert_int_equal(scale.backoff_us, SECOND);
		now_us += SECOND;
	}
	while (scale_probe(&scale, &DEFAULTS, now_us, &d) && d.event == SCALE_PROBE)
		now_us += SECOND;
	assert_int_equal(d.event, SCALE_RECOVER);
	assert_int_equal(d.n, 180);
	assert_int_equal(scale.effective, SCALE_WHOLE);
	assert_false(scale_probe(&scale, &DEFAULTS, now_us + 9999 * SECOND, &d));
}

/* One short of the budget, each probe looks like recovery: it must not begin at a second each time. */
static void a_refusal_soon_after_recovery_backs_off_further(void **state)
{
	struct scale scale;
	struct scale_decision d;
	uint64_t now_us = 1000 * SECOND;

	scale_init(&scale);
	(void)scale_refused(&scale, &DEFAULTS, 179, now_us, &d);
	for (uint64_t wait_s = 1; wait_s <= 32; wait_s *= 2) {
		assert_int_equal(scale.backoff_us, wait_s * SECOND);
		now_us += wait_s * SECOND;
		assert_true(scale_probe(&scale, &DEFAULTS, now_us, &d));
		assert_int_equal(d.event, SCALE_RECOVER);
		assert_true(scale_refused(&scale, &DEFAULTS, 179, now_us, &d));
	}
	now_us = scale.probe_us;
	assert_true(scale_probe(&scale, &DEFAULTS, now_us, &d));
	(void)scale_refused(&scale, &DEFAULTS, 179, now_us + 3600 * SECOND, &d);
	assert_int_equal(scale.backoff_us, SECOND);
}

static void a_budget_lowered_below_it_ends_the_shrink(void **state)
{
	struct scale_settings lowered = DEFAULTS;
	struct scale scale;
	struct scale_decision d;

	scale_init(&scale);
	(void)scale_refused(&scale, &DEFAULTS, 100, 1000 * SECOND, &d);
	lowered.budget = 60;
	assert_true(scale_probe(&scale, &lowered, 1000 * SECOND, &d));
	assert_int_equal(d.event, SCALE_RECOVER);
	assert_int_equal(d.n, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(warm_min_is_opened_while_there_are_clients),
		cmocka_unit_test(at_the_threshold_a_step_is_opened),
		cmocka_unit_test(the_ceiling_is_the_budget_or_what_postgresql_grants),
		cmocka_unit_test(an_aim_that_is_not_reached_is_given_up),
		cmocka_unit_test(a_step_is_closed_each_time_the_delay_has_passed),
		cmocka_unit_test(closing_stops_at_what_is_kept_and_needed),
		cmocka_unit_test(nothing_is_done_in_pgbouncers_way),
		cmocka_unit_test(a_refusal_shrinks_to_what_is_open),
		cmocka_unit_test(probes_back_off_while_they_are_refused),
		cmocka_unit_test(one_more_than_was_refused_speeds_recovery_up),
		cmocka_unit_test(a_refusal_soon_after_recovery_backs_off_further),
		cmocka_unit_test(a_budget_lowered_below_it_ends_the_shrink),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
