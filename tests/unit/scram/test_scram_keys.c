/* SPDX-License-Identifier: ISC */
/* Secrets: what PostgreSQL made of a password is what we make of it; nothing else is a secret. */
#include "scram_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define SALT "9Al379H2wneuYG3fVISNqg=="
#define STORED "faL585UCLPdJgyvUf98UxznRwWpt71JXZbVBIQ/jL64="
#define SERVER "Z8BC/BTn3Jz3pcXyqFP6lXI2zVVlLqWuacvqRF4dScY="
#define PENCIL "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER

/* What PostgreSQL 15 stored for `CREATE ROLE ... PASSWORD`. */
static void postgres_secret_is_derived_again(void **state)
{
	struct pgw_scram_secret parsed, derived;

	assert_true(pgw_scram_secret_parse(PENCIL, &parsed));
	assert_int_equal(parsed.iterations, 4096);
	assert_int_equal(parsed.n_salt_bytes, 16);
	assert_int_equal(pgw_scram_secret_derive("pencil", parsed.salt, parsed.n_salt_bytes, 4096,
				 &derived),
		PGW_OK);
	assert_memory_equal(&parsed, &derived, sizeof(parsed));
}

static void other_texts_are_no_secrets(void **state)
{
	static const char *const texts[] = {
		"",
		"pencil",
		"md57e4905e7ea0c28632011e94b24fc3b59",
		"SCRAM-SHA-256",
		"SCRAM-SHA-256$",
		"SCRAM-SHA-256$4096",
		"SCRAM-SHA-256$4096:" SALT,
		"SCRAM-SHA-256$4096:" SALT "$" STORED,
		"SCRAM-SHA-256$4096:" SALT "$" STORED ":",
		"SCRAM-SHA-256$4096:" SALT "$:" SERVER,
		"SCRAM-SHA-256$4096:$" STORED ":" SERVER,
		"SCRAM-SHA-256$:" SALT "$" STORED ":" SERVER,
		"SCRAM-SHA-256$0:" SALT "$" STORED ":" SERVER,
		"SCRAM-SHA-256$-1:" SALT "$" STORED ":" SERVER,
		"SCRAM-SHA-256$04096:" SALT "$" STORED ":" SERVER,
		"SCRAM-SHA-256$2147483648:" SALT "$" STORED ":" SERVER,
		"SCRAM-SHA-256$99999999999999999999:" SALT "$" STORED ":" SERVER,
		"SCRAM-SHA-1$4096:" SALT "$" STORED ":" SERVER,
		"scram-sha-256$4096:" SALT "$" STORED ":" SERVER,
		" " PENCIL,
		PENCIL " ",
		PENCIL ":",
		"SCRAM-SHA-256$4096:" SALT "$" SALT ":" SERVER,
		"SCRAM-SHA-256$4096:" SALT ":" STORED "$" SERVER,
	};
	struct pgw_scram_secret secret;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (pgw_scram_secret_parse(texts[i], &secret))
			fail_msg("taken for a secret: %s", texts[i]);
	}
}

static void secret_limits_of_salt(void **state)
{
	char salt[PGW__B64_BYTES(PGW_SCRAM_MAX_SALT_BYTES + 1)], text[512];
	uint8_t raw[PGW_SCRAM_MAX_SALT_BYTES + 1] = {7};
	struct pgw_scram_secret secret;

	for (size_t n = PGW_SCRAM_MAX_SALT_BYTES; n <= sizeof(raw); n++) {
		pgw__b64_encode(raw, n, salt);
		snprintf(text, sizeof(text), "SCRAM-SHA-256$1:%s$" STORED ":" SERVER, salt);
		assert_int_equal(pgw_scram_secret_parse(text, &secret),
			n <= PGW_SCRAM_MAX_SALT_BYTES);
		assert_int_equal(pgw_scram_secret_derive("x", raw, n, 1, &secret),
			n <= PGW_SCRAM_MAX_SALT_BYTES ? PGW_OK : PGW_E_VALUE);
	}
	assert_int_equal(pgw_scram_secret_derive("x", raw, 0, 1, &secret), PGW_E_VALUE);
	assert_int_equal(pgw_scram_secret_derive("x", raw, 16, 0, &secret), PGW_E_VALUE);
}

static void password_has_a_limit(void **state)
{
	static char password[PGW__MAX_PASSWORD_BYTES + 2];
	struct pgw_scram_secret secret;

	memset(password, 'a', PGW__MAX_PASSWORD_BYTES);
	assert_int_equal(pgw_scram_secret_derive(password, (const uint8_t *)"salt", 4, 1, &secret),
		PGW_OK);
	password[PGW__MAX_PASSWORD_BYTES] = 'a';
	assert_int_equal(pgw_scram_secret_derive(password, (const uint8_t *)"salt", 4, 1, &secret),
		PGW_E_TOO_LONG);
}

static void mock_is_stable_per_user_and_key(void **state)
{
	struct pgw_scram_secret a, b, other_user, other_key;
	uint8_t key[32] = {1}, key2[32] = {2};

	pgw_scram_secret_mock("alice", key, 4096, &a);
	pgw_scram_secret_mock("alice", key, 4096, &b);
	pgw_scram_secret_mock("alicf", key, 4096, &other_user);
	pgw_scram_secret_mock("alice", key2, 4096, &other_key);
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(a.n_salt_bytes, 16); /* as PostgreSQL's own: not told apart by length */
	assert_int_equal(a.iterations, 4096);
	assert_memory_not_equal(a.salt, other_user.salt, 16);
	assert_memory_not_equal(a.salt, other_key.salt, 16);
	assert_memory_not_equal(a.stored_key, other_user.stored_key, sizeof(a.stored_key));
	assert_memory_not_equal(a.stored_key, a.server_key, sizeof(a.stored_key));
	assert_memory_not_equal(a.stored_key, a.salt, 16);
}

static void base64_round_trip(void **state)
{
	char text[PGW__B64_BYTES(PGW__B64_MAX_RAW)];
	uint8_t raw[PGW__B64_MAX_RAW], back[PGW__B64_MAX_RAW];
	size_t n_back;

	for (size_t i = 0; i < sizeof(raw); i++)
		raw[i] = (uint8_t)(i * 37 + 255);
	for (size_t n = 1; n <= sizeof(raw); n++) {
		assert_int_equal(pgw__b64_encode(raw, n, text), PGW__B64_BYTES(n) - 1);
		assert_true(pgw__b64_decode(text, strlen(text), back, n, &n_back));
		assert_int_equal(n_back, n);
		assert_memory_equal(raw, back, n);
		assert_false(pgw__b64_decode(text, strlen(text), back, n - 1, &n_back));
	}
}

static void base64_has_one_spelling(void **state)
{
	static const char *const bad[] = {"", "A", "AA", "AAA", "AAAAA", "AA==AAAA", "A===", "====",
		"AB==", "AAB=", "A=AA", " AAA", "AAA ", "AA\nA", "AA-_", "AAAA====", "AAAA\n",
		"AA=", "\xc3\xa4\x41\x41", "AAA,"};
	uint8_t raw[16];
	size_t n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (pgw__b64_decode(bad[i], strlen(bad[i]), raw, sizeof(raw), &n))
			fail_msg("decoded: %s", bad[i]);
	}
	assert_false(pgw__b64_decode("AA\0A", 4, raw, sizeof(raw), &n));
	assert_true(pgw__b64_decode("AA==", 4, raw, sizeof(raw), &n));
	assert_int_equal(n, 1);
}

static void attributes_are_strict(void **state)
{
	static const char *const bad[] = {"", "n", "=", "n:", "1=x", ",n=", "n=,", "n=,,r=", "n=x,r",
		"n=x,=y"};
	struct pgw__attrs a;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		pgw__attrs_init(&a, bad[i], strlen(bad[i]));
		while (pgw__attr_any(&a).name != 0)
			;
		if (!a.bad)
			fail_msg("read: %s", bad[i]);
	}
}

static void attributes_are_read_in_order(void **state)
{
	struct pgw__attrs a;
	struct pgw__attr attr;

	pgw__attrs_init(&a, "n=,r=a=b,z=1", 12);
	attr = pgw__attr_read(&a, 'n');
	assert_int_equal(attr.n, 0);
	attr = pgw__attr_read(&a, 'r');
	assert_int_equal(attr.n, 3);
	assert_memory_equal(attr.value, "a=b", 3);
	assert_memory_equal(a.start, "r=", 2);
	assert_false(a.bad);
	pgw__attr_read(&a, 's');
	assert_true(a.bad);
	assert_int_equal(pgw__attr_any(&a).name, 0);
}

static void counts(void **state)
{
	assert_int_equal(pgw__read_count("1", 1, 10), 1);
	assert_int_equal(pgw__read_count("10", 2, 10), 10);
	assert_int_equal(pgw__read_count("11", 2, 10), 0);
	assert_int_equal(pgw__read_count("4294967295", 10, UINT32_MAX), UINT32_MAX);
	assert_int_equal(pgw__read_count("4294967296", 10, UINT32_MAX), 0);
	assert_int_equal(pgw__read_count("10000000000", 11, UINT32_MAX), 0);
	assert_int_equal(pgw__read_count("", 0, 10), 0);
	assert_int_equal(pgw__read_count("0", 1, 10), 0);
	assert_int_equal(pgw__read_count("01", 2, 10), 0);
	assert_int_equal(pgw__read_count("+1", 2, 10), 0);
	assert_int_equal(pgw__read_count("1 ", 2, 10), 0);
	assert_int_equal(pgw__read_count("1:", 2, 1000), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(postgres_secret_is_derived_again),
		cmocka_unit_test(other_texts_are_no_secrets),
		cmocka_unit_test(secret_limits_of_salt),
		cmocka_unit_test(password_has_a_limit),
		cmocka_unit_test(mock_is_stable_per_user_and_key),
		cmocka_unit_test(base64_round_trip),
		cmocka_unit_test(base64_has_one_spelling),
		cmocka_unit_test(attributes_are_strict),
		cmocka_unit_test(attributes_are_read_in_order),
		cmocka_unit_test(counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
