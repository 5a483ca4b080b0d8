/* SPDX-License-Identifier: ISC */
/* Every form of a connection's first packet, good and bad, and the options parameter. */
#include "pgw/startup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "unit/wire/bytes.h"

/*
 * Parses the bytes whole, and each shorter piece of them: the verdict over a piece is "more" until
 * it is the final one. Returns the final one, and in *early_r at how many bytes it fell.
 */
static enum pgw_err parse_early(const void *bytes, size_t n, struct pgw_startup *s, size_t *early_r)
{
	enum pgw_err final = pgw_startup_parse(bytes, n, s);
	struct pgw_startup part;

	*early_r = n;
	for (size_t cut = n; cut-- > 0;) {
		uint8_t *piece = exact(bytes, cut);
		enum pgw_err err = pgw_startup_parse(piece, cut, &part);

		free(piece);
		if (err == final)
			*early_r = cut;
		else
			assert_int_equal(err, PGW_MORE);
	}
	return final;
}

static enum pgw_err parse(const void *bytes, size_t n, struct pgw_startup *s)
{
	uint8_t *copy = exact(bytes, n);
	size_t early;
	enum pgw_err err = parse_early(copy, n, s, &early);

	free(copy); /* callers of this one look at no strings */
	return err;
}

static void a_startup_message_has_parameters_in_order(void **state)
{
	static const uint8_t bytes[] = "\0\0\0\x29\0\3\0\0user\0alice\0database\0app\0a\0b\0a\0c\0";
	struct pgw_startup s;
	size_t early;

	assert_int_equal(sizeof(bytes), 0x29);
	assert_int_equal(parse_early(bytes, sizeof(bytes), &s, &early), PGW_OK);
	assert_int_equal(early, sizeof(bytes));
	assert_int_equal(s.kind, PGW_STARTUP_MESSAGE);
	assert_int_equal(s.n_bytes, sizeof(bytes));
	assert_int_equal(s.protocol, PGW_PROTOCOL_3_0);
	assert_int_equal(s.n_params, 4);
	assert_string_equal(s.params[0].name, "user");
	assert_string_equal(s.params[0].value, "alice");
	assert_string_equal(s.params[2].value, "b");
	assert_string_equal(pgw_startup_get(&s, "database"), "app");
	assert_string_equal(pgw_startup_get(&s, "a"), "c"); /* the last one wins */
	assert_null(pgw_startup_get(&s, "User"));
	assert_null(pgw_startup_get(&s, "options"));
}

static void bytes_behind_the_packet_are_not_its_own(void **state)
{
	struct pgw_startup s;

	assert_int_equal(pgw_startup_parse(BYTES("\0\0\0\x10\0\3\0\0user\0u\0\0Q\0\0"), &s), PGW_OK);
	assert_int_equal(s.n_bytes, 16);
	assert_int_equal(s.n_params, 1);
}

static void any_minor_version_of_3_is_taken_as_asked(void **state)
{
	struct pgw_startup s;

	assert_int_equal(parse(BYTES("\0\0\0\x09\0\3\0\2\0"), &s), PGW_OK);
	assert_int_equal(s.protocol, PGW_PROTOCOL_3_2);
	assert_int_equal(s.n_params, 0);
	assert_int_equal(parse(BYTES("\0\0\0\x09\0\3\x27\x0f\0"), &s), PGW_OK);
	assert_int_equal(s.protocol, PGW_PROTOCOL(3, 9999));
}

static void protocol_options_are_parameters(void **state)
{
	static const uint8_t bytes[] = "\0\0\0\x21\0\3\0\2_pq_.some_option\0on\0u\0v\0";
	struct pgw_startup s;

	assert_int_equal(sizeof(bytes), 0x21);
	assert_int_equal(pgw_startup_parse(bytes, sizeof(bytes), &s), PGW_OK);
	assert_int_equal(s.n_params, 2);
	assert_string_equal(s.params[0].name, "_pq_.some_option");
	assert_string_equal(s.params[0].value, "on");
}

static void other_versions_are_refused_at_the_eighth_byte(void **state)
{
	struct pgw_startup s;
	size_t early;

	assert_int_equal(parse_early(BYTES("\0\0\0\x20\0\2\0\0user"), &s, &early),
		PGW_E_PROTOCOL_VERSION);
	assert_int_equal(early, 8);
	assert_int_equal(parse(BYTES("\0\0\0\x20\0\4\0\0user"), &s), PGW_E_PROTOCOL_VERSION);
	assert_int_equal(parse(BYTES("\0\0\0\x08\x04\xd2\x16\x32"), &s), PGW_E_PROTOCOL_VERSION);
	assert_int_equal(parse(BYTES("\0\0\0\x08\0\0\0\0"), &s), PGW_E_PROTOCOL_VERSION);
}

static void parameter_lists_must_end_as_they_should(void **state)
{
	struct pgw_startup s;

	/* no final NUL; name without value; unterminated value; unterminated name; nothing at all */
	assert_int_equal(parse(BYTES("\0\0\0\x0f\0\3\0\0user\0u\0"), &s), PGW_E_TRUNCATED);
	assert_int_equal(parse(BYTES("\0\0\0\x0d\0\3\0\0user\0"), &s), PGW_E_TRUNCATED);
	assert_int_equal(parse(BYTES("\0\0\0\x0f\0\3\0\0user\0ux"), &s), PGW_E_TRUNCATED);
	assert_int_equal(parse(BYTES("\0\0\0\x0c\0\3\0\0user"), &s), PGW_E_TRUNCATED);
	assert_int_equal(parse(BYTES("\0\0\0\x08\0\3\0\0"), &s), PGW_E_TRUNCATED);
	/* the terminator has to be the last byte */
	assert_int_equal(parse(BYTES("\0\0\0\x11\0\3\0\0user\0u\0\0x"), &s), PGW_E_TRAILING);
	assert_int_equal(parse(BYTES("\0\0\0\x11\0\3\0\0user\0u\0\0\0"), &s), PGW_E_TRAILING);
	/* an empty value is a value */
	assert_int_equal(parse(BYTES("\0\0\0\x0f\0\3\0\0user\0\0\0"), &s), PGW_OK);
}

static size_t build_many(uint8_t *buf, size_t cap, size_t n_params)
{
	struct pgw_param params[PGW_STARTUP_MAX_PARAMS + 1];
	struct pgw_writer w = pgw_writer_on(buf, cap);

	for (size_t i = 0; i < n_params; i++)
		params[i] = (struct pgw_param){ "n", "v" };
	pgw_build_startup(&w, PGW_PROTOCOL_3_0, params, n_params);
	assert_int_equal(w.err, PGW_OK);
	return w.len;
}

static void there_is_a_most_of_parameters(void **state)
{
	uint8_t buf[4096];
	struct pgw_startup s;
	size_t n;

	n = build_many(buf, sizeof(buf), PGW_STARTUP_MAX_PARAMS);
	assert_int_equal(parse(buf, n, &s), PGW_OK);
	assert_int_equal(s.n_params, PGW_STARTUP_MAX_PARAMS);
	n = build_many(buf, sizeof(buf), PGW_STARTUP_MAX_PARAMS + 1);
	assert_int_equal(parse(buf, n, &s), PGW_E_TOO_MANY);
}

static void claimed_lengths_are_judged_at_the_fourth_byte(void **state)
{
	static const struct {
		const char *bytes;
		enum pgw_err err;
		size_t early;
	} cases[] = {
		{ "\0\0\x28\x00\0\3\0\0", PGW_E_TOO_LONG, 4 }, /* 10 KB */
		{ "\0\0\x27\x11\0\3\0\0", PGW_E_TOO_LONG, 4 }, /* one more than allowed */
		{ "\x40\0\0\0\0\3\0\0", PGW_E_TOO_LONG, 1 }, /* 1 GB: the first byte says it */
		{ "\xff\xff\xff\xff\0\3\0\0", PGW_E_TOO_LONG, 1 }, /* negative */
		{ "GET / HT", PGW_E_TOO_LONG, 1 },
		{ "\0\0\0\0\0\3\0\0", PGW_E_LENGTH, 4 },
		{ "\0\0\0\3\0\3\0\0", PGW_E_LENGTH, 4 },
		{ "\0\0\0\7\0\3\0\0", PGW_E_LENGTH, 4 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pgw_startup s;
		size_t early;

		assert_int_equal(parse_early(cases[i].bytes, 8, &s, &early), cases[i].err);
		assert_int_equal(early, cases[i].early);
	}
}

static void the_longest_packet_is_allowed(void **state)
{
	uint8_t *buf = malloc(PGW_STARTUP_MAX_BYTES);
	char value[PGW_STARTUP_MAX_BYTES];
	struct pgw_param param = { "user", value };
	struct pgw_startup s;
	struct pgw_writer w;

	assert_non_null(buf);
	memset(value, 'x', sizeof(value));
	value[PGW_STARTUP_MAX_BYTES - 8 - 5 - 2] = '\0';
	w = pgw_writer_on(buf, PGW_STARTUP_MAX_BYTES);
	pgw_build_startup(&w, PGW_PROTOCOL_3_0, &param, 1);
	assert_int_equal(w.err, PGW_OK);
	assert_int_equal(w.len, PGW_STARTUP_MAX_BYTES);
	assert_int_equal(pgw_startup_parse(buf, w.len - 1, &s), PGW_MORE);
	assert_int_equal(pgw_startup_parse(buf, w.len, &s), PGW_OK);
	assert_string_equal(pgw_startup_get(&s, "user"), value);
	free(buf);
}

static void requests_for_encryption_are_eight_bytes(void **state)
{
	struct pgw_startup s;

	assert_int_equal(parse(BYTES("\0\0\0\x08\x04\xd2\x16\x2f"), &s), PGW_OK);
	assert_int_equal(s.kind, PGW_STARTUP_SSL);
	assert_int_equal(s.n_bytes, 8);
	assert_int_equal(parse(BYTES("\0\0\0\x08\x04\xd2\x16\x30"), &s), PGW_OK);
	assert_int_equal(s.kind, PGW_STARTUP_GSSENC);
	assert_int_equal(s.n_bytes, 8);
	assert_int_equal(parse(BYTES("\0\0\0\x09\x04\xd2\x16\x2f\0"), &s), PGW_E_LENGTH);
	assert_int_equal(parse(BYTES("\0\0\0\x09\x04\xd2\x16\x30\0"), &s), PGW_E_LENGTH);
}

static void cancel_keys_have_4_to_256_bytes(void **state)
{
	uint8_t key[PGW_CANCEL_KEY_MAX_BYTES + 1], buf[300];

	for (size_t i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)(255 - i);
	for (size_t n_key = 0; n_key <= sizeof(key); n_key++) {
		struct pgw_writer w = pgw_writer_on(buf, sizeof(buf));
		struct pgw_startup s;
		enum pgw_err err;

		pgw_build_cancel(&w, 0xfedcba98, key, n_key);
		assert_int_equal(w.len, 12 + n_key);
		err = pgw_startup_parse(buf, w.len, &s);
		if (n_key < 4 || n_key > 256) {
			assert_int_equal(err, PGW_E_LENGTH);
			continue;
		}
		assert_int_equal(err, PGW_OK);
		assert_int_equal(s.kind, PGW_STARTUP_CANCEL);
		assert_int_equal(s.cancel_pid, 0xfedcba98);
		assert_int_equal(s.n_cancel_key_bytes, n_key);
		assert_memory_equal(s.cancel_key, key, n_key);
		assert_int_equal(pgw_startup_parse(buf, w.len - 1, &s), PGW_MORE);
	}
}

static void direct_tls_is_known_by_its_first_byte(void **state)
{
	struct pgw_startup s;
	size_t early;

	assert_int_equal(parse_early(BYTES("\x16\x03\x01\x02\x00\x01\x00\x01"), &s, &early), PGW_OK);
	assert_int_equal(s.kind, PGW_STARTUP_DIRECT_TLS);
	assert_int_equal(s.n_bytes, 0);
	assert_int_equal(early, 1);
}

static void what_is_built_is_what_was_meant(void **state)
{
	static const struct pgw_param params[] = { { "user", "u" }, { "options", "" } };
	uint8_t buf[64];
	struct pgw_writer w = pgw_writer_on(buf, sizeof(buf));

	pgw_build_startup(&w, PGW_PROTOCOL_3_2, params, 2);
	assert_int_equal(w.len, 25);
	assert_memory_equal(buf, "\0\0\0\x19\0\3\0\2user\0u\0options\0\0\0", 25);
	w = pgw_writer_on(buf, sizeof(buf));
	pgw_build_ssl_request(&w);
	assert_int_equal(w.len, 8);
	assert_memory_equal(buf, "\0\0\0\x08\x04\xd2\x16\x2f", 8);
	w = pgw_writer_on(buf, sizeof(buf));
	pgw_build_cancel(&w, 7, (const uint8_t *)"wxyz", 4);
	assert_memory_equal(buf, "\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\7wxyz", 16);
}

/* ---- options ---- */

static void note_setting(void *arg, const char *name, const char *value)
{
	char *seen = arg;
	size_t n = strlen(seen);

	snprintf(seen + n, 512 - n, "[%s|%s]", name, value);
}

static void options_are_read_as_the_server_reads_them(void **state)
{
	static const struct {
		const char *options;
		enum pgw_err err;
		const char *seen;
	} cases[] = {
		{ "", PGW_OK, "" },
		{ " \t\n\v\f\r", PGW_OK, "" },
		{ "-c geqo=off", PGW_OK, "[geqo|off]" },
		{ "-cgeqo=off", PGW_OK, "[geqo|off]" },
		{ "--geqo=off", PGW_OK, "[geqo|off]" },
		{ "  -c   a=1\t-cb=2 --c=3  ", PGW_OK, "[a|1][b|2][c|3]" },
		{ "-c pglane.class=training", PGW_OK, "[pglane.class|training]" },
		{ "--search-path=a-b", PGW_OK, "[search_path|a-b]" },
		{ "-c work-mem=4MB", PGW_OK, "[work_mem|4MB]" },
		{ "-c search_path=a\\ b", PGW_OK, "[search_path|a b]" },
		{ "-c a=x\\\\y", PGW_OK, "[a|x\\y]" },
		{ "-c a=\\=\\-", PGW_OK, "[a|=-]" },
		{ "\\-c a=b", PGW_OK, "[a|b]" },
		{ "-c a=b\\", PGW_OK, "[a|b]" },
		{ "-c a=b=c", PGW_OK, "[a|b=c]" },
		{ "-c a=", PGW_OK, "[a|]" },
		{ "-c a='x", PGW_OK, "[a|'x]" }, /* quotes mean nothing here */
		{ "-c a='x y'", PGW_E_VALUE, "[a|'x]" },
		{ "-c", PGW_E_VALUE, "" },
		{ "-c a", PGW_E_VALUE, "" },
		{ "-c =x", PGW_E_VALUE, "" },
		{ "--", PGW_E_VALUE, "" },
		{ "--a", PGW_E_VALUE, "" },
		{ "--=x", PGW_E_VALUE, "" },
		{ "-", PGW_E_VALUE, "" },
		{ "-d 5", PGW_E_VALUE, "" },
		{ "a=b", PGW_E_VALUE, "" },
		{ "\\", PGW_E_VALUE, "" },
		{ "-c a=1 -x", PGW_E_VALUE, "[a|1]" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char seen[512] = "";
		enum pgw_err err = pgw_options_parse(cases[i].options, note_setting, seen);

		if (err != cases[i].err || strcmp(seen, cases[i].seen) != 0)
			fail_msg("options %s: %s, %s", cases[i].options, pgw_err_text(err), seen);
	}
}

static void options_have_a_longest_length(void **state)
{
	char options[4096 + 2];
	char seen[512] = "";

	memset(options, ' ', sizeof(options));
	memcpy(options + 4096 - 6, "-c a=b", 6);
	options[4096] = '\0';
	assert_int_equal(pgw_options_parse(options, note_setting, seen), PGW_OK);
	assert_string_equal(seen, "[a|b]");
	options[4096] = ' ';
	options[4097] = '\0';
	assert_int_equal(pgw_options_parse(options, note_setting, seen), PGW_E_TOO_LONG);
}

static void a_word_as_long_as_the_options_fits(void **state)
{
	char options[4096 + 1];
	char seen[512] = "";

	memset(options, 'x', sizeof(options));
	memcpy(options, "-ca=", 4);
	options[4096] = '\0';
	assert_int_equal(pgw_options_parse(options, note_setting, seen), PGW_OK);
	assert_int_equal(strlen(seen), 511); /* cut by this test's buffer only */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_startup_message_has_parameters_in_order),
		cmocka_unit_test(bytes_behind_the_packet_are_not_its_own),
		cmocka_unit_test(any_minor_version_of_3_is_taken_as_asked),
		cmocka_unit_test(protocol_options_are_parameters),
		cmocka_unit_test(other_versions_are_refused_at_the_eighth_byte),
		cmocka_unit_test(parameter_lists_must_end_as_they_should),
		cmocka_unit_test(there_is_a_most_of_parameters),
		cmocka_unit_test(claimed_lengths_are_judged_at_the_fourth_byte),
		cmocka_unit_test(the_longest_packet_is_allowed),
		cmocka_unit_test(requests_for_encryption_are_eight_bytes),
		cmocka_unit_test(cancel_keys_have_4_to_256_bytes),
		cmocka_unit_test(direct_tls_is_known_by_its_first_byte),
		cmocka_unit_test(what_is_built_is_what_was_meant),
		cmocka_unit_test(options_are_read_as_the_server_reads_them),
		cmocka_unit_test(options_have_a_longest_length),
		cmocka_unit_test(a_word_as_long_as_the_options_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
