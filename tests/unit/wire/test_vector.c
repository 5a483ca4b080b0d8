/* SPDX-License-Identifier: ISC */
/* UTF-8, and vectors in every form. */
#include "pgw/vector.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "unit/wire/bytes.h"

#define CAP 8

static struct pgw_value text_of(const char *text)
{
	return (struct pgw_value){ .at = (const uint8_t *)text, .n = (uint32_t)strlen(text) };
}

static void knows_utf8(void **state)
{
	static const char *const good[] = { "", "a", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf4\x8f\xbf\xbf", "\xee\x80\x80" };
	static const char *const bad[] = { "\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", ("a\xe4" "b"), "\xe2\x82" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(pgw_is_utf8(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(pgw_is_utf8(bad[i], strlen(bad[i])));
	assert_true(pgw_is_utf8("a\0b", 3));
}

static void reads_vectors_of_text(void **state)
{
	static const char *const good[] = { "[1,2.5,-300]", "{1,2.5,-300}", " [ 1.0 ,\t2.5e0, -3E2 ] ", "{+1,2.5,-300.}" };
	static const char *const bad[] = { "", "[]", "{}", "[", "[1,2", "1,2", "[1,2}", "{1,2]", "[1,,2]", "[1,2,]", "[,1]", "[1 2]", "[x]", "[0x10]",
		"[nan]", "[inf]", "[1e39]", "{NULL}", "{{1,2}}", "[\"1\"]", "[1]]", "[1] x" };
	float out[CAP + 1];
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct pgw_value value = text_of(good[i]);

		assert_int_equal(pgw_read_vector(&value, out, CAP, &n), PGW_OK);
		assert_int_equal(n, 3);
		assert_true(out[0] == 1 && out[1] == 2.5f && out[2] == -300);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pgw_value value = text_of(bad[i]);

		assert_int_equal(pgw_read_vector(&value, out, CAP, &n), PGW_E_VALUE);
	}
	struct pgw_value long_one = text_of("[1,2,3,4,5,6,7,8,9]");

	assert_int_equal(pgw_read_vector(&long_one, out, CAP, &n), PGW_E_TOO_LONG);
	assert_int_equal(pgw_read_vector(&long_one, out, CAP + 1, &n), PGW_OK);
}

static enum pgw_err read_binary(const void *bytes, size_t n_bytes, float *out, size_t *n_r)
{
	uint8_t *copy = exact(bytes, n_bytes);
	struct pgw_value value = { .at = copy, .n = (uint32_t)n_bytes, .binary = true };
	enum pgw_err err = pgw_read_vector(&value, out, CAP, n_r);

	free(copy);
	return err;
}

static void reads_binary_vectors(void **state)
{
	static const char array[] = "\0\0\0\1\0\0\0\0\0\0\2\xbc\0\0\0\2\0\0\0\1\0\0\0\4\x3f\x80\0\0\0\0\0\4\xc0\0\0\0";
	static const char doubles[] = "\0\0\0\1\0\0\0\0\0\0\2\xbd\0\0\0\1\0\0\0\1\0\0\0\x8\x3f\xf8\0\0\0\0\0\0";
	static const char pgvector[] = "\0\2\0\0\x3f\x80\0\0\xc0\0\0\0";
	float out[CAP + 1];
	char bad[sizeof(array)];
	size_t n;

	(void)state;
	assert_int_equal(read_binary(array, sizeof(array) - 1, out, &n), PGW_OK);
	assert_true(n == 2 && out[0] == 1 && out[1] == -2);
	assert_int_equal(read_binary(pgvector, sizeof(pgvector) - 1, out, &n), PGW_OK);
	assert_true(n == 2 && out[0] == 1 && out[1] == -2);
	assert_int_equal(read_binary(doubles, sizeof(doubles) - 1, out, &n), PGW_OK);
	assert_true(n == 1 && out[0] == 1.5f);
	for (size_t cut = 0; cut < sizeof(array) - 1; cut++)
		assert_int_equal(read_binary(array, cut, out, &n), PGW_E_VALUE);
	for (size_t cut = 0; cut < sizeof(pgvector) - 1; cut++)
		assert_int_equal(read_binary(pgvector, cut, out, &n), PGW_E_VALUE);
	assert_int_equal(read_binary("\0\2\0\0\x3f\x80\0\0\xc0\0\0\0\0", 13, out, &n), PGW_E_VALUE);
	memcpy(bad, array, sizeof(array)); /* a null among them */
	memset(bad + 20, 0xff, 4);
	assert_int_equal(read_binary(bad, sizeof(array) - 1, out, &n), PGW_E_VALUE);
	memcpy(bad, array, sizeof(array)); /* not a number */
	memcpy(bad + 24, "\x7f\xc0\0\0", 4);
	assert_int_equal(read_binary(bad, sizeof(array) - 1, out, &n), PGW_E_VALUE);
	memcpy(bad, array, sizeof(array)); /* of int4 */
	bad[11] = 23;
	assert_int_equal(read_binary(bad, sizeof(array) - 1, out, &n), PGW_E_VALUE);
	memcpy(bad, array, sizeof(array)); /* more than there is room for */
	bad[15] = CAP + 1;
	assert_int_equal(read_binary(bad, sizeof(array) - 1, out, &n), PGW_E_TOO_LONG);
	assert_int_equal(read_binary("\0\x9\0\0", 4, out, &n), PGW_E_TOO_LONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_utf8),
		cmocka_unit_test(reads_vectors_of_text),
		cmocka_unit_test(reads_binary_vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
