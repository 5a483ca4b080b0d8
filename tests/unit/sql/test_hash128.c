/* SPDX-License-Identifier: ISC */
/*
 * That the hash spreads, that its seed and every byte count, and that no byte beyond the end does.
 */
#include "pgw/fingerprint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEED UINT64_C(0x243f6a8885a308d3)

static unsigned bits_between(struct pgw_hash128 a, struct pgw_hash128 b)
{
	return (unsigned)(__builtin_popcountll(a.lo ^ b.lo) + __builtin_popcountll(a.hi ^ b.hi));
}

static void test_every_bit_counts(void **state)
{
	unsigned char bytes[80];
	unsigned long n_flips = 0;
	unsigned long n_bits = 0;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 37);
	for (size_t n = 1; n <= sizeof(bytes); n++) {
		struct pgw_hash128 before = pgw_hash128(bytes, n, SEED);

		for (size_t bit = 0; bit < n * 8; bit++) {
			unsigned changed;

			bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
			changed = bits_between(before, pgw_hash128(bytes, n, SEED));
			bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
			assert_in_range(changed, 32, 96); /* 64 +- 5.6 standard deviations */
			n_flips++;
			n_bits += changed;
		}
	}
	assert_in_range(n_bits * 1000 / n_flips, 63700, 64300);
}

/* Each bit of the result follows each bit of the input in half of the cases. */
static void test_no_bit_is_tied_to_another(void **state)
{
	static unsigned flips[64][128];
	const unsigned n_rounds = 4000;

	for (uint64_t round = 0; round < n_rounds; round++) {
		struct pgw_hash128 before = pgw_hash128(&round, 8, SEED);

		for (unsigned in = 0; in < 64; in++) {
			uint64_t other = round ^ UINT64_C(1) << in;
			struct pgw_hash128 after = pgw_hash128(&other, 8, SEED);

			for (unsigned out = 0; out < 64; out++) {
				flips[in][out] += (before.lo ^ after.lo) >> out & 1;
				flips[in][64 + out] += (before.hi ^ after.hi) >> out & 1;
			}
		}
	}
	for (unsigned in = 0; in < 64; in++)
		for (unsigned out = 0; out < 128; out++)
			assert_in_range(flips[in][out], n_rounds / 2 - 190, n_rounds / 2 + 190);
}

static void test_seed_counts(void **state)
{
	for (unsigned bit = 0; bit < 64; bit++)
		for (size_t n = 0; n < 40; n++) {
			static const char zeros[40];
			struct pgw_hash128 a = pgw_hash128(zeros, n, 0);
			struct pgw_hash128 b = pgw_hash128(zeros, n, UINT64_C(1) << bit);

			assert_in_range(bits_between(a, b), 32, 96);
		}
}

static void test_length_counts(void **state)
{
	static const char zeros[100];
	struct pgw_hash128 seen[100];

	for (size_t n = 0; n < 100; n++) {
		seen[n] = pgw_hash128(zeros, n, SEED);
		for (size_t i = 0; i < n; i++)
			assert_in_range(bits_between(seen[i], seen[n]), 32, 96);
	}
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Names as programs number them: no collision in either half, and buckets as full as chance makes
 * them.
 */
static void spreads(const char *format)
{
	enum { N = 200000, N_BUCKETS = 1024 };
	static uint64_t halves[2][N];
	static unsigned low[N_BUCKETS];
	static unsigned high[N_BUCKETS];

	memset(low, 0, sizeof(low));
	memset(high, 0, sizeof(high));
	for (unsigned i = 0; i < N; i++) {
		char name[64];
		int n = snprintf(name, sizeof(name), "%s%u", format, i);
		struct pgw_hash128 h = pgw_hash128(name, (size_t)n, SEED);

		halves[0][i] = h.lo;
		halves[1][i] = h.hi;
		low[h.lo % N_BUCKETS]++;
		high[h.hi >> 54]++;
	}
	for (int half = 0; half < 2; half++) {
		qsort(halves[half], N, sizeof(halves[half][0]), compare_u64);
		for (unsigned i = 1; i < N; i++)
			assert_true(halves[half][i - 1] != halves[half][i]);
	}
	for (unsigned i = 0; i < N_BUCKETS; i++) { /* 195 +- 6 standard deviations */
		assert_in_range(low[i], 110, 280);
		assert_in_range(high[i], 110, 280);
	}
}

static void test_spreads(void **state)
{
	spreads("");
	spreads("S_");
	spreads("SELECT * FROM accounts WHERE id = ");
}

static void test_ends_where_it_ends(void **state)
{
	for (size_t n = 0; n < 70; n++) {
		char *exact = malloc(n ? n : 1); /* ASan watches its end */
		char longer[80];
		struct pgw_hash128 a;
		struct pgw_hash128 b;

		memset(exact, 'x', n);
		memset(longer, 'x', sizeof(longer));
		a = pgw_hash128(exact, n, SEED);
		b = pgw_hash128(longer, n, SEED);
		assert_int_equal(bits_between(a, b), 0);
		free(exact);
	}
}

static void test_parts_are_not_their_concatenation(void **state)
{
	const char *text = "abcdefghijklmnopqrstuvwxyz0123456789";
	size_t n = strlen(text);
	struct pgw_hash128 so_far = pgw_hash128("x", 1, SEED);
	struct pgw_hash128 cut[40];

	for (size_t at = 0; at <= n; at++) {
		cut[at] = pgw_hash128_more(
			pgw_hash128_more(so_far, text, at), text + at, n - at);
		for (size_t i = 0; i < at; i++)
			assert_in_range(bits_between(cut[i], cut[at]), 32, 96);
		assert_in_range(bits_between(cut[at], pgw_hash128_more(so_far, text, n)), 32, 96);
	}
	assert_in_range(bits_between(so_far, pgw_hash128_more(so_far, "", 0)), 32, 96);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_no_bit_is_tied_to_another),
		cmocka_unit_test(test_seed_counts),
		cmocka_unit_test(test_length_counts),
		cmocka_unit_test(test_spreads),
		cmocka_unit_test(test_ends_where_it_ends),
		cmocka_unit_test(test_parts_are_not_their_concatenation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
