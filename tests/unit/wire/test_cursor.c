/* SPDX-License-Identifier: ISC */
/* The last byte, the first byte past it, and that the first error stays. */
#include "pgw/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/wire/bytes.h"

static void integers_are_big_endian(void **state)
{
	struct pgw_reader r = pgw_reader_on("\x01\x02\x03\xff\xfe\xfd\xfc", 7);

	assert_int_equal(pgw_read_u8(&r), 1);
	assert_int_equal(pgw_read_u16(&r), 0x0203);
	assert_int_equal(pgw_read_u32(&r), 0xfffefdfcu);
	assert_int_equal(pgw_reader_left(&r), 0);
	assert_int_equal(pgw_read_end(&r), PGW_OK);
}

static void each_read_stops_at_the_end(void **state)
{
	for (size_t n = 0; n < 5; n++) {
		uint8_t *bytes = exact("\x11\x22\x33\x44", n);
		struct pgw_reader r = pgw_reader_on(bytes, n);

		assert_int_equal(pgw_read_u32(&r), n == 4 ? 0x11223344 : 0);
		assert_int_equal(r.err, n == 4 ? PGW_OK : PGW_E_TRUNCATED);
		r = pgw_reader_on(bytes, n);
		assert_int_equal(pgw_read_u16(&r), n >= 2 ? 0x1122 : 0);
		assert_int_equal(r.err, n >= 2 ? PGW_OK : PGW_E_TRUNCATED);
		r = pgw_reader_on(bytes, n);
		assert_int_equal(pgw_read_u8(&r), n >= 1 ? 0x11 : 0);
		assert_int_equal(r.err, n >= 1 ? PGW_OK : PGW_E_TRUNCATED);
		free(bytes);
	}
}

static void the_first_error_stays(void **state)
{
	struct pgw_reader r = pgw_reader_on("abcdef\0", 7);
	size_t len = 99;

	assert_null(pgw_read_bytes(&r, 8));
	assert_int_equal(r.err, PGW_E_TRUNCATED);
	/* What would succeed on its own does not any more, and reads nothing. */
	assert_int_equal(pgw_read_u8(&r), 0);
	assert_int_equal(pgw_read_u16(&r), 0);
	assert_int_equal(pgw_read_u32(&r), 0);
	assert_null(pgw_read_bytes(&r, 1));
	assert_null(pgw_read_bytes(&r, 0));
	assert_string_equal(pgw_read_cstr(&r, &len), "");
	assert_int_equal(len, 0);
	assert_int_equal(pgw_reader_left(&r), 0);
	assert_int_equal(pgw_read_end(&r), PGW_E_TRUNCATED);
	r.err = PGW_E_VALUE;
	(void)pgw_read_cstr(&r, NULL);
	(void)pgw_read_bytes(&r, 100);
	assert_int_equal(pgw_read_end(&r), PGW_E_VALUE);
}

static void strings_need_their_nul(void **state)
{
	uint8_t *bytes = exact("ab\0c", 4);
	struct pgw_reader r = pgw_reader_on(bytes, 4);
	size_t len;

	assert_string_equal(pgw_read_cstr(&r, &len), "ab");
	assert_int_equal(len, 2);
	assert_int_equal(pgw_reader_left(&r), 1);
	assert_string_equal(pgw_read_cstr(&r, &len), "");
	assert_int_equal(r.err, PGW_E_TRUNCATED);
	free(bytes);
}

static void an_empty_string_is_one_byte(void **state)
{
	struct pgw_reader r = pgw_reader_on("\0\0", 2);
	size_t len = 9;

	assert_string_equal(pgw_read_cstr(&r, &len), "");
	assert_int_equal(len, 0);
	assert_string_equal(pgw_read_cstr(&r, NULL), "");
	assert_int_equal(pgw_read_end(&r), PGW_OK);
	(void)pgw_read_cstr(&r, NULL);
	assert_int_equal(pgw_read_end(&r), PGW_E_TRUNCATED);
}

static void bytes_are_borrowed(void **state)
{
	const uint8_t bytes[3] = { 1, 2, 3 };
	struct pgw_reader r = pgw_reader_on(bytes, 3);

	assert_ptr_equal(pgw_read_bytes(&r, 0), bytes);
	assert_ptr_equal(pgw_read_bytes(&r, 2), bytes);
	assert_ptr_equal(pgw_read_bytes(&r, 1), bytes + 2);
	assert_int_equal(pgw_read_end(&r), PGW_OK);
	r = pgw_reader_on(bytes, 3);
	assert_null(pgw_read_bytes(&r, SIZE_MAX)); /* no sum that wraps */
}

static void nothing_at_all_is_readable_as_nothing(void **state)
{
	struct pgw_reader r = pgw_reader_on(NULL, 0);

	assert_int_equal(pgw_reader_left(&r), 0);
	assert_int_equal(pgw_read_end(&r), PGW_OK);
	assert_string_equal(pgw_read_cstr(&r, NULL), "");
	assert_int_equal(r.err, PGW_E_TRUNCATED);
}

static void bytes_left_are_an_error(void **state)
{
	struct pgw_reader r = pgw_reader_on("ab", 2);

	(void)pgw_read_u8(&r);
	assert_int_equal(pgw_read_end(&r), PGW_E_TRAILING);
}

static void a_message_fills_the_last_byte(void **state)
{
	uint8_t *mem = exact("................", 16);
	struct pgw_writer w = pgw_writer_on(mem, 16);

	pgw_write_begin(&w, 'T');
	pgw_write_u8(&w, 0xaa);
	pgw_write_u16(&w, 0x0102);
	pgw_write_u32(&w, 0x03040506);
	pgw_write_cstr(&w, "abc");
	pgw_write_end(&w);
	assert_int_equal(w.err, PGW_OK);
	assert_int_equal(w.len, 16);
	assert_memory_equal(mem, "T\0\0\0\x0f\xaa\1\2\3\4\5\6abc\0", 16);
	free(mem);
}

static void the_byte_past_the_end_is_not_written(void **state)
{
	for (size_t cap = 0; cap < 16; cap++) {
		uint8_t *mem = exact("................", cap);
		struct pgw_writer w = pgw_writer_on(mem, cap);

		pgw_write_begin(&w, 'T');
		pgw_write_u8(&w, 0xaa);
		pgw_write_u16(&w, 0x0102);
		pgw_write_u32(&w, 0x03040506);
		pgw_write_cstr(&w, "abc");
		pgw_write_end(&w);
		assert_int_equal(w.err, PGW_E_NO_SPACE);
		assert_int_equal(w.len, 0);
		free(mem);
	}
}

static void a_failed_message_is_taken_back_whole(void **state)
{
	uint8_t mem[16];
	struct pgw_writer w = pgw_writer_on(mem, sizeof(mem));

	pgw_write_begin(&w, 'A');
	pgw_write_u8(&w, 1);
	pgw_write_end(&w);
	pgw_write_begin(&w, 'B');
	pgw_write_bytes(&w, "0123456789", 10);
	assert_int_equal(w.err, PGW_E_NO_SPACE);
	assert_int_equal(w.len, 6);
	pgw_write_u8(&w, 1); /* would fit, but the message is gone */
	pgw_write_end(&w);
	pgw_write_begin(&w, 'C');
	pgw_write_end(&w);
	assert_int_equal(w.len, 6);
	assert_int_equal(w.err, PGW_E_NO_SPACE);
	assert_memory_equal(mem, "A\0\0\0\5\1", 6);
}

static void bytes_outside_messages_stand_by_themselves(void **state)
{
	uint8_t mem[16];
	struct pgw_writer w = pgw_writer_on(mem, 6);

	pgw_write_u8(&w, 'N'); /* the answer to a GSSENCRequest: a bare byte */
	pgw_write_begin(&w, 'B');
	pgw_write_u8(&w, 1);
	assert_int_equal(w.err, PGW_E_NO_SPACE);
	assert_int_equal(w.len, 1); /* only the message is taken back */
	w = pgw_writer_on(mem, 6);
	pgw_write_begin(&w, 'A');
	pgw_write_end(&w);
	pgw_write_u32(&w, 1);
	assert_int_equal(w.err, PGW_E_NO_SPACE);
	assert_int_equal(w.len, 5); /* the whole message before it is not */
}

static void a_message_without_type_counts_its_length_only(void **state)
{
	uint8_t mem[16];
	struct pgw_writer w = pgw_writer_on(mem, sizeof(mem));

	pgw_write_begin(&w, 0);
	pgw_write_u32(&w, 7);
	pgw_write_end(&w);
	pgw_write_begin(&w, 'Z');
	pgw_write_end(&w);
	assert_int_equal(w.len, 13);
	assert_memory_equal(mem, "\0\0\0\x08\0\0\0\x07Z\0\0\0\4", 13);
}

static void a_refusal_from_outside_is_an_error_like_any(void **state)
{
	uint8_t mem[16];
	struct pgw_writer w = pgw_writer_on(mem, sizeof(mem));

	pgw_write_begin(&w, 'A');
	pgw_write_end(&w);
	pgw_write_begin(&w, 'B');
	pgw_write_fail(&w, PGW_E_TOO_MANY);
	pgw_write_fail(&w, PGW_E_VALUE);
	pgw_write_end(&w);
	assert_int_equal(w.err, PGW_E_TOO_MANY);
	assert_int_equal(w.len, 5);
}

static void zero_bytes_may_come_from_nowhere(void **state)
{
	struct pgw_writer w = pgw_writer_on(NULL, 0);

	pgw_write_bytes(&w, NULL, 0);
	assert_int_equal(w.err, PGW_OK);
	pgw_write_u8(&w, 0);
	assert_int_equal(w.err, PGW_E_NO_SPACE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers_are_big_endian),
		cmocka_unit_test(each_read_stops_at_the_end),
		cmocka_unit_test(the_first_error_stays),
		cmocka_unit_test(strings_need_their_nul),
		cmocka_unit_test(an_empty_string_is_one_byte),
		cmocka_unit_test(bytes_are_borrowed),
		cmocka_unit_test(nothing_at_all_is_readable_as_nothing),
		cmocka_unit_test(bytes_left_are_an_error),
		cmocka_unit_test(a_message_fills_the_last_byte),
		cmocka_unit_test(the_byte_past_the_end_is_not_written),
		cmocka_unit_test(a_failed_message_is_taken_back_whole),
		cmocka_unit_test(bytes_outside_messages_stand_by_themselves),
		cmocka_unit_test(a_message_without_type_counts_its_length_only),
		cmocka_unit_test(a_refusal_from_outside_is_an_error_like_any),
		cmocka_unit_test(zero_bytes_may_come_from_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
