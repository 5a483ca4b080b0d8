/* SPDX-License-Identifier: ISC */
#include "stats/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void empty_says_nothing(void **state)
{
	struct histogram histogram = { 0 };

	assert_int_equal(histogram_permille(&histogram, 500), 0);
	assert_int_equal(histogram_permille(&histogram, 1000), 0);
}

/* Whatever the only value is, every percentile is that value. */
static void one_value(void **state)
{
	for (unsigned bit = 0; bit < 64; bit++) {
		struct histogram histogram = { 0 };

		histogram_add(&histogram, UINT64_C(1) << bit);
		assert_true(histogram_permille(&histogram, 1) == UINT64_C(1) << bit);
		assert_true(histogram_permille(&histogram, 1000) == UINT64_C(1) << bit);
	}
}

/* Right to an eighth, and never too low. */
static void percentiles_of_many(void **state)
{
	struct histogram histogram = { 0 };

	for (uint64_t value = 1; value <= 100000; value++)
		histogram_add(&histogram, value);
	for (unsigned permille = 1; permille <= 1000; permille++) {
		uint64_t exact = permille * 100, said = histogram_permille(&histogram, permille);

		assert_true(said >= exact && said <= exact + exact / 8 + 1);
	}
	assert_int_equal(histogram.n, 100000);
	assert_int_equal(histogram.max, 100000);
}

static void sums(void **state)
{
	struct histogram a = { 0 }, b = { 0 };

	histogram_add(&a, 10);
	histogram_add(&b, 1000000);
	histogram_add(&b, UINT64_MAX);
	histogram_merge(&a, &b);
	assert_int_equal(a.n, 3);
	assert_true(a.max == UINT64_MAX);
	assert_int_equal(histogram_permille(&a, 333), 10);
	assert_true(histogram_permille(&a, 600) >= 1000000 && histogram_permille(&a, 600) < 1126000);
	assert_true(histogram_permille(&a, 1000) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_says_nothing),
		cmocka_unit_test(one_value),
		cmocka_unit_test(percentiles_of_many),
		cmocka_unit_test(sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
