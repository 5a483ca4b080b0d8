/* SPDX-License-Identifier: ISC */
/* Builders: the bytes of each message, and that one that does not fit leaves nothing behind. */
#include "pgw/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/wire/bytes.h"

/* ---- one call of each builder, with its bytes ---- */

static void put_auth(struct pgw_writer *w)
{
	pgw_build_auth(w, PGW_AUTH_MD5, "salt", 4);
}

static void put_auth_ok(struct pgw_writer *w)
{
	pgw_build_auth(w, PGW_AUTH_OK, NULL, 0);
}

static void put_auth_sasl(struct pgw_writer *w)
{
	pgw_build_auth_sasl(w, (const char *const[]){ "AB", "C" }, 2);
}

static void put_parameter_status(struct pgw_writer *w)
{
	pgw_build_parameter_status(w, "DateStyle", "ISO");
}

static void put_key_data(struct pgw_writer *w)
{
	pgw_build_key_data(w, 0x01020304, (const uint8_t *)"abcde", 5);
}

static void put_negotiate(struct pgw_writer *w)
{
	pgw_build_negotiate(w, 2, (const char *const[]){ "_pq_.x" }, 1);
}

static void put_ready(struct pgw_writer *w)
{
	pgw_build_ready(w, PGW_XACT_FAILED);
}

static void put_command_complete(struct pgw_writer *w)
{
	pgw_build_command_complete(w, "BEGIN");
}

static void put_empty(struct pgw_writer *w)
{
	pgw_build_empty(w, PGW_SYNC);
}

static void put_row_description(struct pgw_writer *w)
{
	static const struct pgw_column columns[] = { { "id", 20 }, { "t", 25 } };

	pgw_build_row_description(w, columns, 2);
}

static void put_data_row(struct pgw_writer *w)
{
	pgw_build_data_row(w, (const char *const[]){ "ab", NULL, "" }, 3);
}

static void put_query(struct pgw_writer *w)
{
	pgw_build_query(w, "select 1; junk", 8);
}

static void put_parse(struct pgw_writer *w)
{
	pgw_build_parse(w, "s", "select $1 and more", 9, (const uint8_t *)"\0\0\0\x17", 1);
}

static void put_bind_plain(struct pgw_writer *w)
{
	pgw_build_bind_plain(w, "p", "s");
}

static void put_execute(struct pgw_writer *w)
{
	pgw_build_execute(w, "p", 256);
}

static void put_target(struct pgw_writer *w)
{
	pgw_build_target(w, PGW_CLOSE, 'S', "s1");
}

static void put_password(struct pgw_writer *w)
{
	pgw_build_password(w, "pw");
}

static void put_sasl_initial(struct pgw_writer *w)
{
	pgw_build_sasl_initial(w, "M", "n,,", 3);
}

static void put_sasl_initial_none(struct pgw_writer *w)
{
	pgw_build_sasl_initial(w, "M", NULL, 0);
}

static void put_sasl_response(struct pgw_writer *w)
{
	pgw_build_sasl_response(w, "c=biws", 6);
}

static void put_fault(struct pgw_writer *w)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_LOGIN_FAILED, "user \"x\"", NULL);
	pgw_build_fault(w, &fault);
}

static void put_fault_with_all(struct pgw_writer *w)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_QUEUE_FULL, NULL, "d%d", 1);
	pgw_build_fault(w, &fault);
}

static void put_notice(struct pgw_writer *w)
{
	struct pgw_fault fault = pgw_fault_make(PGW_FAULT_SET_IGNORED);

	pgw_build_fault(w, &fault);
}

static const struct builder_case {
	const char *name;
	void (*put)(struct pgw_writer *w);
	const uint8_t *bytes;
	size_t n;
} cases[] = {
	{ "auth", put_auth, BYTES("R\0\0\0\x0c\0\0\0\5salt") },
	{ "auth ok", put_auth_ok, BYTES("R\0\0\0\x08\0\0\0\0") },
	{ "auth sasl", put_auth_sasl, BYTES("R\0\0\0\x0e\0\0\0\x0a" "AB\0C\0\0") },
	{ "parameter status", put_parameter_status, BYTES("S\0\0\0\x12" "DateStyle\0ISO\0") },
	{ "key data", put_key_data, BYTES("K\0\0\0\x0d\1\2\3\4abcde") },
	{ "negotiate", put_negotiate, BYTES("v\0\0\0\x13\0\3\0\2\0\0\0\1_pq_.x\0") },
	{ "ready", put_ready, BYTES("Z\0\0\0\5E") },
	{ "command complete", put_command_complete, BYTES("C\0\0\0\x0a" "BEGIN\0") },
	{ "empty", put_empty, BYTES("S\0\0\0\4") },
	{ "row description", put_row_description,
		BYTES("T\0\0\0\x2f\0\2"
		      "id\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\0"
		      "t\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0") },
	{ "data row", put_data_row, BYTES("D\0\0\0\x14\0\3\0\0\0\2ab\xff\xff\xff\xff\0\0\0\0") },
	{ "query", put_query, BYTES("Q\0\0\0\x0dselect 1\0") },
	{ "parse", put_parse, BYTES("P\0\0\0\x16s\0select $1\0\0\1\0\0\0\x17") },
	{ "bind", put_bind_plain, BYTES("B\0\0\0\x0ep\0s\0\0\0\0\0\0\0") },
	{ "execute", put_execute, BYTES("E\0\0\0\x0ap\0\0\0\1\0") },
	{ "close", put_target, BYTES("C\0\0\0\x08Ss1\0") },
	{ "password", put_password, BYTES("p\0\0\0\7pw\0") },
	{ "sasl initial", put_sasl_initial, BYTES("p\0\0\0\x0dM\0\0\0\0\3n,,") },
	{ "sasl initial none", put_sasl_initial_none, BYTES("p\0\0\0\x0aM\0\xff\xff\xff\xff") },
	{ "sasl response", put_sasl_response, BYTES("p\0\0\0\x0a" "c=biws") },
	{ "fault", put_fault,
		BYTES("E\0\0\0\x44SFATAL\0VFATAL\0C28P01\0"
		      "Mpassword authentication failed: user \"x\"\0\0") },
	{ "fault with all", put_fault_with_all,
		BYTES("E\0\0\0\x44SERROR\0VERROR\0C53300\0Mlane queue is full\0"
		      "Dd1\0HSee max_waiting.\0\0") },
	{ "notice", put_notice, BYTES("N\0\0\0\x29SNOTICE\0VNOTICE\0C00000\0MSET ignored\0\0") },
};

#define N_CASES (sizeof(cases) / sizeof(cases[0]))

static void messages_have_these_bytes(void **state)
{
	for (size_t i = 0; i < N_CASES; i++) {
		uint8_t *mem = exact(cases[i].bytes, cases[i].n);
		struct pgw_writer w = pgw_writer_on(mem, cases[i].n);

		memset(mem, 0xee, cases[i].n);
		cases[i].put(&w);
		if (w.err != PGW_OK || w.len != cases[i].n)
			fail_msg("%s: %s, %zu bytes", cases[i].name, pgw_err_text(w.err), w.len);
		if (memcmp(mem, cases[i].bytes, cases[i].n) != 0)
			fail_msg("%s: other bytes", cases[i].name);
		free(mem);
	}
}

/* With each smaller room: nothing written past it, the message before it kept, the error sticky. */
static void a_message_that_does_not_fit_is_not_there(void **state)
{
	for (size_t i = 0; i < N_CASES; i++)
		for (size_t room = 0; room < cases[i].n; room++) {
			uint8_t *mem = malloc(6 + room);
			struct pgw_writer w = pgw_writer_on(mem, 6 + room);

			assert_non_null(mem);
			pgw_build_ready(&w, PGW_XACT_IDLE);
			cases[i].put(&w);
			assert_int_equal(w.err, PGW_E_NO_SPACE);
			assert_int_equal(w.len, 6);
			pgw_build_empty(&w, PGW_SYNC);
			cases[i].put(&w);
			assert_int_equal(w.err, PGW_E_NO_SPACE);
			assert_int_equal(w.len, 6);
			assert_memory_equal(mem, "Z\0\0\0\5I", 6);
			free(mem);
		}
}

/* The same for bytes that are no message: a bare answer before one, a failed write behind one. */
static void only_the_message_that_failed_is_taken_back(void **state)
{
	for (size_t i = 0; i < N_CASES; i++) {
		uint8_t mem[256];
		struct pgw_writer w = pgw_writer_on(mem, cases[i].n);

		pgw_write_u8(&w, 'N');
		cases[i].put(&w);
		assert_int_equal(w.err, PGW_E_NO_SPACE);
		assert_int_equal(w.len, 1);
		w = pgw_writer_on(mem, cases[i].n);
		cases[i].put(&w);
		pgw_write_u8(&w, 'N');
		assert_int_equal(w.err, PGW_E_NO_SPACE);
		assert_int_equal(w.len, cases[i].n);
	}
}

static void messages_follow_each_other(void **state)
{
	uint8_t mem[4096];
	struct pgw_writer w = pgw_writer_on(mem, sizeof(mem));
	size_t at = 0;

	for (size_t i = 0; i < N_CASES; i++)
		cases[i].put(&w);
	assert_int_equal(w.err, PGW_OK);
	for (size_t i = 0; i < N_CASES; at += cases[i].n, i++)
		assert_memory_equal(mem + at, cases[i].bytes, cases[i].n);
	assert_int_equal(at, w.len);
}

static void lengths_follow_the_type(void **state)
{
	static const struct {
		uint32_t oid;
		int16_t n_bytes;
	} types[] = { { 16, 1 }, { 18, 1 }, { 19, 64 }, { 20, 8 }, { 21, 2 }, { 23, 4 }, { 25, -1 },
		{ 26, 4 }, { 114, -1 }, { 700, 4 }, { 701, 8 }, { 1082, 4 }, { 1114, 8 },
		{ 1184, 8 }, { 1186, 16 }, { 1700, -1 }, { 2950, 16 }, { 99999, -1 } };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct pgw_column column = { "c", types[i].oid };
		uint8_t mem[64];
		struct pgw_writer w = pgw_writer_on(mem, sizeof(mem));

		pgw_build_row_description(&w, &column, 1);
		assert_int_equal(w.err, PGW_OK);
		assert_int_equal((int16_t)(mem[19] << 8 | mem[20]), types[i].n_bytes);
	}
}

/* A count is 16 bits: what it cannot say must not be said wrongly. */
static void counts_beyond_their_field_are_refused(void **state)
{
	const size_t n = 65536;
	const char **values = calloc(n, sizeof(*values));
	uint8_t *types = calloc(n, 4);
	uint8_t *mem = malloc(n * 8);
	struct pgw_writer w;

	assert_true(values && types && mem);
	w = pgw_writer_on(mem, n * 8);
	pgw_build_data_row(&w, values, n);
	assert_int_equal(w.err, PGW_E_TOO_MANY);
	assert_int_equal(w.len, 0);
	w = pgw_writer_on(mem, n * 8);
	pgw_build_data_row(&w, values, n - 1);
	assert_int_equal(w.err, PGW_OK);
	assert_int_equal(w.len, 7 + 4 * (n - 1));
	w = pgw_writer_on(mem, n * 8);
	pgw_build_parse(&w, "", "", 0, types, n);
	assert_int_equal(w.err, PGW_E_TOO_MANY);
	assert_int_equal(w.len, 0);
	free(values);
	free(types);
	free(mem);
}

/* No memory is touched for these: the sizes alone are refused. */
static void sizes_beyond_their_field_are_refused(void **state)
{
	uint8_t mem[64];
	struct pgw_writer w = pgw_writer_on(mem, sizeof(mem));

	pgw_build_query(&w, "x", (size_t)INT32_MAX);
	assert_int_equal(w.err, PGW_E_TOO_LONG);
	w = pgw_writer_on(mem, sizeof(mem));
	pgw_build_sasl_response(&w, "x", SIZE_MAX);
	assert_int_equal(w.err, PGW_E_TOO_LONG);
	w = pgw_writer_on(mem, sizeof(mem));
	pgw_build_sasl_initial(&w, "M", "x", (size_t)INT32_MAX + 1);
	assert_int_equal(w.err, PGW_E_TOO_LONG);
	assert_int_equal(w.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_have_these_bytes),
		cmocka_unit_test(a_message_that_does_not_fit_is_not_there),
		cmocka_unit_test(only_the_message_that_failed_is_taken_back),
		cmocka_unit_test(messages_follow_each_other),
		cmocka_unit_test(lengths_follow_the_type),
		cmocka_unit_test(counts_beyond_their_field_are_refused),
		cmocka_unit_test(sizes_beyond_their_field_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
