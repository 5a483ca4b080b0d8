/* SPDX-License-Identifier: ISC */
/* Which statements are read behind: learned by a read, forgotten when servers were kept in vain. */
#include "session/sequence_lessons.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static uint64_t key(uint64_t n)
{
	return sequence_key((struct pgw_hash128){.hi = n << 32});
}

static void test_key(void **state)
{
	assert_int_equal(sequence_key((struct pgw_hash128){.hi = 0}), SEQUENCE_KEY_MIN);
	assert_int_equal(sequence_key((struct pgw_hash128){.hi = 255}), SEQUENCE_KEY_MIN);
	assert_int_equal(sequence_key((struct pgw_hash128){.lo = 7, .hi = 0x12345}), 0x12300);
}

static void test_learned_and_forgotten(void **state)
{
	struct sequence_lessons lessons = {0};

	assert_int_equal(sequence_lessons_reads(NULL, key(1)), 0);
	assert_int_equal(sequence_lessons_reads(&lessons, key(1)), 0);
	sequence_lessons_kept(&lessons, key(1), 0); /* of what was never learned */
	assert_int_equal(sequence_lessons_reads(&lessons, key(1)), 0);
	sequence_lessons_add(&lessons, key(1), 1);
	assert_int_equal(sequence_lessons_reads(&lessons, key(1)), 1);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < SEQUENCE_VAIN_TIMES - 1; i++)
			sequence_lessons_kept(&lessons, key(1), 0);
		sequence_lessons_kept(&lessons, key(1), 1); /* not in turn */
	}
	assert_int_equal(sequence_lessons_reads(&lessons, key(1)), 1);
	for (unsigned i = 0; i < SEQUENCE_VAIN_TIMES; i++)
		sequence_lessons_kept(&lessons, key(1), 0);
	assert_int_equal(sequence_lessons_reads(&lessons, key(1)), 0);
	sequence_lessons_add(&lessons, key(1), 1);
	assert_int_equal(sequence_lessons_reads(&lessons, key(1)), 1);
}

static void test_how_many(void **state)
{
	struct sequence_lessons lessons = {0};

	sequence_lessons_add(&lessons, key(1), 3);
	sequence_lessons_add(&lessons, key(1), 2);
	assert_int_equal(sequence_lessons_reads(&lessons, key(1)), 3);
	for (unsigned i = 0; i < SEQUENCE_VAIN_TIMES; i++)
		sequence_lessons_kept(&lessons, key(1), 1);
	assert_int_equal(sequence_lessons_reads(&lessons, key(1)), 1); /* what came the last time */
	sequence_lessons_add(&lessons, key(1), 100);
	assert_int_equal(sequence_lessons_reads(&lessons, key(1)), SEQUENCE_READS_MAX);
	sequence_lessons_kept(&lessons, key(1), 100);
	assert_int_equal(sequence_lessons_reads(&lessons, key(1)), SEQUENCE_READS_MAX);
}

/* However many there are, the last one has its place, and what is in vain goes first. */
static void test_bound(void **state)
{
	struct sequence_lessons lessons = {0};
	unsigned n_known = 0;

	for (uint64_t i = 1; i <= 1000; i++) {
		uint64_t one = sequence_key((struct pgw_hash128){.hi = i * UINT64_C(0x9e3779b97f4a7c15)});

		sequence_lessons_add(&lessons, one, 1);
		assert_int_equal(sequence_lessons_reads(&lessons, one), 1);
	}
	for (uint64_t i = 1; i <= 1000; i++)
		n_known += sequence_lessons_reads(&lessons, sequence_key((struct pgw_hash128){.hi = i * UINT64_C(0x9e3779b97f4a7c15)}));
	assert_int_equal(n_known, SEQUENCE_LESSONS_MAX);
	memset(&lessons, 0, sizeof(lessons));
	for (uint64_t i = 1; i <= 4; i++) /* all of one set */
		sequence_lessons_add(&lessons, key(i), 1);
	sequence_lessons_kept(&lessons, key(3), 0);
	sequence_lessons_add(&lessons, key(5), 1);
	assert_int_equal(sequence_lessons_reads(&lessons, key(3)), 0);
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(sequence_lessons_reads(&lessons, key(i)), i != 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_learned_and_forgotten),
		cmocka_unit_test(test_how_many),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
