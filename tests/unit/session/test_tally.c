/* SPDX-License-Identifier: ISC */
/* What a command tag says of rows. What is counted of whole replies: tests/integ/test_fingerprints.py. */
#include "session/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t tagged(const char *tag, size_t n)
{
	struct tally tally = {0};
	uint8_t *exact = calloc(1, n ? n : 1); /* ASan watches its end */

	memcpy(exact, tag, n);
	tally_tag(&tally, exact, n);
	free(exact);
	return tally.n_tagged;
}

static void tags(void **state)
{
	static const struct {
		const char *tag;
		uint64_t n_rows;
	} cases[] = {
		{"SELECT 12", 12}, {"INSERT 0 5", 5}, {"UPDATE 0", 0}, {"COPY 1234567890123", 1234567890123},
		{"FETCH 7", 7}, {"BEGIN", 0}, {"CREATE TABLE AS", 0}, {"", 0}, {"9", 9}, {" ", 0},
	};

	for (unsigned i = 0; i < N_ELEMENTS(cases); i++)
		assert_int_equal(tagged(cases[i].tag, strlen(cases[i].tag) + 1), cases[i].n_rows);
}

/* A server may send anything. */
static void strange_tags(void **state)
{
	assert_int_equal(tagged("", 0), 0);
	assert_int_equal(tagged("SELECT 12", 9), 0); /* no NUL: not all of it is here */
	assert_true(tagged("SELECT 99999999999999999999999999999999", 40) > 0);
}

static void several_statements(void **state)
{
	struct tally tally = {0};

	tally_tag(&tally, (const uint8_t *)"INSERT 0 5", 11);
	tally_tag(&tally, (const uint8_t *)"SELECT 2", 9);
	assert_int_equal(tally.n_tagged, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tags),
		cmocka_unit_test(strange_tags),
		cmocka_unit_test(several_statements),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
