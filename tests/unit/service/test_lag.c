/* SPDX-License-Identifier: ISC */
#include "service/lag.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define S 1000000u

static void unknown_without_a_primary(void **state)
{
	static const struct lag_past past;

	assert_true(lag_of(&past, 5 * S, 100) == LAG_UNKNOWN);
	assert_int_equal(lag_bytes(&past, 100), 0);
}

static void who_has_all_is_as_old_as_the_last_sighting(void **state)
{
	struct lag_past past = { 0 };

	lag_see(&past, 10 * S, 1000);
	assert_int_equal(lag_of(&past, 10 * S, 1000), 0);
	assert_int_equal(lag_of(&past, 12 * S, 1000), 2 * S);
	assert_int_equal(lag_of(&past, 12 * S, 2000), 2 * S); /* it was asked later */
	/* An idle primary: hours without a transaction are no lag. */
	lag_see(&past, 10000 * S, 1000);
	assert_int_equal(past.n, 1);
	assert_int_equal(lag_of(&past, 10001 * S, 1000), S);
}

static void who_is_behind_is_where_the_primary_was(void **state)
{
	struct lag_past past = { 0 };

	lag_see(&past, 10 * S, 1000);
	lag_see(&past, 20 * S, 1000);
	lag_see(&past, 21 * S, 2000);
	lag_see(&past, 22 * S, 3000);
	assert_int_equal(lag_of(&past, 30 * S, 1000), 10 * S); /* from when it left there */
	assert_int_equal(lag_of(&past, 30 * S, 1500), 9500000);
	assert_int_equal(lag_of(&past, 30 * S, 2000), 9 * S);
	assert_int_equal(lag_of(&past, 30 * S, 2999), 8001000);
	assert_int_equal(lag_of(&past, 30 * S, 3000), 8 * S);
	/* Before all that was seen: at least as long as that. */
	assert_int_equal(lag_of(&past, 30 * S, 500), 20 * S);
	assert_int_equal(lag_bytes(&past, 500), 2500);
	assert_int_equal(lag_bytes(&past, 4000), 0);
}

static void standing_still_behind_an_idle_primary_grows(void **state)
{
	struct lag_past past = { 0 };

	for (uint64_t t = 1; t <= 100; t++) {
		lag_see(&past, t * S, 1000);
		assert_int_equal(lag_of(&past, t * S, 999), (t - 1) * S);
	}
}

static void another_history_begins_anew(void **state)
{
	struct lag_past past = { 0 };

	lag_see(&past, 1 * S, 5000);
	lag_see(&past, 2 * S, 100);
	assert_int_equal(past.n, 1);
	assert_int_equal(lag_of(&past, 3 * S, 100), S);
}

/* However long the past is, the lag is right within the distance of the sightings that are kept. */
static void long_pasts_thin_out(void **state)
{
	struct lag_past past = { 0 };
	uint64_t last_s = 40 * LAG_SIGHTINGS;

	for (uint64_t t = 1; t <= last_s; t++) {
		lag_see(&past, t * S, t * 1000);
		assert_true(past.n <= LAG_SIGHTINGS);
		assert_int_equal(lag_of(&past, t * S, t * 1000), 0);
		if (t > 50)
			assert_int_equal(lag_of(&past, t * S, (t - 50) * 1000), 50 * S);
	}
	assert_int_equal(lag_of(&past, last_s * S, 1000), (last_s - 1) * S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_without_a_primary),
		cmocka_unit_test(who_has_all_is_as_old_as_the_last_sighting),
		cmocka_unit_test(who_is_behind_is_where_the_primary_was),
		cmocka_unit_test(standing_still_behind_an_idle_primary_grows),
		cmocka_unit_test(another_history_begins_anew),
		cmocka_unit_test(long_pasts_thin_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
