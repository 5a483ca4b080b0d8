/* SPDX-License-Identifier: ISC */
/* md5 secrets as PostgreSQL 15 stores them, what travels for them, and comparison of secrets. */
#include "pgw/scram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void secret_as_postgres_stores_it(void **state)
{
	char out[PGW_MD5_TEXT_BYTES];

	pgw_md5_secret("pa'ss w\xc3\xb6rd", "Al ice", out);
	assert_string_equal(out, "md57e4905e7ea0c28632011e94b24fc3b59");
	assert_true(pgw_is_md5_secret(out));
	pgw_md5_secret("", "", out); /* the MD5 of nothing, RFC 1321 */
	assert_string_equal(out, "md5d41d8cd98f00b204e9800998ecf8427e");
}

/* md5("abc") split over secret and user, RFC 1321 again. */
static void password_comes_before_user(void **state)
{
	char out[PGW_MD5_TEXT_BYTES];

	pgw_md5_secret("a", "bc", out);
	assert_string_equal(out, "md5900150983cd24fb0d6963f7d28e17f72");
	pgw_md5_secret("bc", "a", out);
	assert_string_not_equal(out, "md5900150983cd24fb0d6963f7d28e17f72");
}

static void response_depends_on_every_salt_byte(void **state)
{
	const char *secret = "md57e4905e7ea0c28632011e94b24fc3b59";
	char first[PGW_MD5_TEXT_BYTES], out[PGW_MD5_TEXT_BYTES];
	uint8_t salt[4] = {0, 1, 2, 3};

	pgw_md5_response(secret, salt, first);
	assert_string_equal(first, "md5082dfcbfabb043a19bce6f3c8f17eedc");
	assert_true(pgw_is_md5_secret(first));
	for (size_t i = 0; i < sizeof(salt); i++) {
		salt[i] ^= 0x80;
		pgw_md5_response(secret, salt, out);
		assert_string_not_equal(first, out);
		salt[i] ^= 0x80;
	}
}

static void what_is_a_secret(void **state)
{
	assert_false(pgw_is_md5_secret(""));
	assert_false(pgw_is_md5_secret("md5"));
	assert_false(pgw_is_md5_secret("md57e4905e7ea0c28632011e94b24fc3b5"));
	assert_false(pgw_is_md5_secret("md57e4905e7ea0c28632011e94b24fc3b590"));
	assert_false(pgw_is_md5_secret("md57E4905E7EA0C28632011E94B24FC3B59"));
	assert_false(pgw_is_md5_secret("md57e4905e7ea0c28632011e94b24fc3b5g"));
	assert_false(pgw_is_md5_secret("md57e4905e7ea0c28632011e94b24fc3b59 "));
	assert_false(pgw_is_md5_secret("MD57e4905e7ea0c28632011e94b24fc3b59"));
}

static void equal_means_equal(void **state)
{
	assert_true(pgw_equal_secret("", ""));
	assert_true(pgw_equal_secret("abc", "abc"));
	assert_false(pgw_equal_secret("abc", "abd"));
	assert_false(pgw_equal_secret("bbc", "abc"));
	assert_false(pgw_equal_secret("abc", "ab"));
	assert_false(pgw_equal_secret("ab", "abc"));
	assert_false(pgw_equal_secret("", "a"));
	assert_false(pgw_equal_secret("a", ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secret_as_postgres_stores_it),
		cmocka_unit_test(password_comes_before_user),
		cmocka_unit_test(response_depends_on_every_salt_byte),
		cmocka_unit_test(what_is_a_secret),
		cmocka_unit_test(equal_means_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
