/* SPDX-License-Identifier: ISC */
/* Both clocks, and local time as text. */
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void monotonic_time_never_goes_back(void **state)
{
	uint64_t last_us = clock_mono_us();

	assert_true(last_us > 0);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t now_us = clock_mono_us();

		assert_true(now_us >= last_us);
		last_us = now_us;
	}
}

static void wall_time_is_of_now(void **state)
{
	uint64_t before_s = (uint64_t)time(NULL), now_us = clock_wall_us(),
		 after_s = (uint64_t)time(NULL);

	/* time(2) may read a coarser clock, a tick behind. */
	assert_in_range(now_us / 1000000u, before_s, after_s + 1);
}

static void set_zone(const char *zone)
{
	assert_int_equal(setenv("TZ", zone, 1), 0);
	tzset();
}

static void local_time_as_text(void **state)
{
	char buf[CLOCK_TEXT_BYTES];

	set_zone("UTC0");
	assert_ptr_equal(clock_format_local(buf, 0), buf);
	assert_string_equal(buf, "1970-01-01 00:00:00 UTC");
	assert_string_equal(clock_format_local(buf, UINT64_C(1709164799999999)),
		"2024-02-28 23:59:59 UTC"); /* cut, not rounded */
	assert_string_equal(
		clock_format_local(buf, UINT64_C(1709164800000000)), "2024-02-29 00:00:00 UTC");
	set_zone("EST5EDT,M3.2.0,M11.1.0");
	assert_string_equal(
		clock_format_local(buf, UINT64_C(1720000000000000)), "2024-07-03 05:46:40 EDT");
	assert_string_equal(
		clock_format_local(buf, UINT64_C(1705000000000000)), "2024-01-11 14:06:40 EST");
}

static void what_does_not_fit_is_empty(void **state)
{
	char buf[CLOCK_TEXT_BYTES] = "untouched";

	set_zone("<+ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789>0");
	assert_string_equal(clock_format_local(buf, 0), "");
	set_zone("UTC0");
	(void)snprintf(buf, sizeof(buf), "untouched");
	assert_string_equal(clock_format_local(buf, UINT64_MAX), "586524-01-19 08:01:49 UTC");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(monotonic_time_never_goes_back),
		cmocka_unit_test(wall_time_is_of_now),
		cmocka_unit_test(local_time_as_text),
		cmocka_unit_test(what_does_not_fit_is_empty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
