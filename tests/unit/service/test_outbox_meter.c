/* SPDX-License-Identifier: ISC */
#include "service/outbox_meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000)

static void counts_never_fall(void **state)
{
	struct outbox_meter meter;
	struct outbox_report report = { 0 };
	struct flight_counts counts = { 4, 3, 2, 1 };

	outbox_meter_init(&meter, 1000 * SECOND);
	outbox_meter_count(&meter, &counts);
	outbox_meter_count(&meter, &counts);
	outbox_meter_report(&meter, &report, 5000 * SECOND);
	assert_int_equal(report.n_stored, 8);
	assert_int_equal(report.n_deleted, 6);
	assert_int_equal(report.n_failed, 4);
	assert_int_equal(report.n_parked, 2);
	assert_true(report.lag_p50_us == OUTBOX_NULL && report.lag_p99_us == OUTBOX_NULL && report.lag_max_us == OUTBOX_NULL);
}

static void lag_and_rate_are_of_the_last_minutes(void **state)
{
	struct outbox_meter meter;
	struct outbox_report report = { 0 };

	outbox_meter_init(&meter, 1000 * SECOND);
	for (unsigned i = 0; i < 100; i++)
		outbox_meter_lag(&meter, i < 98 ? 10 : 5 * SECOND, 1000 * SECOND);
	outbox_meter_report(&meter, &report, 1010 * SECOND);
	assert_int_equal(report.rate_permille, 10000); /* ten a second */
	assert_int_equal(report.lag_p50_us, 10);
	assert_true(report.lag_p99_us > 4 * SECOND && report.lag_max_us == 5 * SECOND);
	outbox_meter_lag(&meter, 7, 1061 * SECOND); /* a new window: the one before counts, too */
	outbox_meter_report(&meter, &report, 1062 * SECOND);
	assert_int_equal(report.lag_max_us, 5 * SECOND);
	outbox_meter_lag(&meter, 7, 1122 * SECOND);
	outbox_meter_report(&meter, &report, 1123 * SECOND);
	assert_int_equal(report.lag_max_us, 7);
	outbox_meter_report(&meter, &report, 9000 * SECOND);
	assert_int_equal(report.rate_permille, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_never_fall),
		cmocka_unit_test(lag_and_rate_are_of_the_last_minutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
