/* SPDX-License-Identifier: ISC */
/* Message headers: when there are enough bytes, which lengths are possible, which types are known. */
#include "pgw/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "unit/wire/bytes.h"

static void less_than_a_header_asks_for_more(void **state)
{
	struct pgw_frame frame;

	for (size_t n = 0; n < PGW_HEADER_BYTES; n++) {
		uint8_t *bytes = exact("Q\xff\xff\xff\xff", n);

		assert_int_equal(pgw_frame_read(bytes, n, &frame), PGW_MORE);
		free(bytes);
	}
}

static void a_body_may_come_in_part(void **state)
{
	static const uint8_t bytes[] = "Q\0\0\0\x0dselect 1\0Zrest";
	struct pgw_frame frame;

	for (size_t n = PGW_HEADER_BYTES; n <= sizeof(bytes); n++) {
		assert_int_equal(pgw_frame_read(bytes, n, &frame), PGW_OK);
		assert_int_equal(frame.type, PGW_QUERY);
		assert_int_equal(frame.n_body_bytes, 9);
		assert_ptr_equal(frame.body, bytes + 5);
		assert_int_equal(frame.n_available, n - 5 < 9 ? n - 5 : 9);
	}
}

static void an_empty_body_is_whole_at_once(void **state)
{
	struct pgw_frame frame;

	assert_int_equal(pgw_frame_read(BYTES("S\0\0\0\4"), &frame), PGW_OK);
	assert_int_equal(frame.n_body_bytes, 0);
	assert_int_equal(frame.n_available, 0);
	assert_int_equal(pgw_frame_read(BYTES("S\0\0\0\4X"), &frame), PGW_OK);
	assert_int_equal(frame.n_available, 0);
}

static void lengths_below_four_and_negative_are_impossible(void **state)
{
	struct pgw_frame frame;

	assert_int_equal(pgw_frame_read(BYTES("Q\0\0\0\0"), &frame), PGW_E_LENGTH);
	assert_int_equal(pgw_frame_read(BYTES("Q\0\0\0\3"), &frame), PGW_E_LENGTH);
	assert_int_equal(pgw_frame_read(BYTES("Q\x80\0\0\0"), &frame), PGW_E_LENGTH);
	assert_int_equal(pgw_frame_read(BYTES("Q\xff\xff\xff\xff"), &frame), PGW_E_LENGTH);
}

static void the_largest_length_is_possible(void **state)
{
	struct pgw_frame frame;

	assert_int_equal(pgw_frame_read(BYTES("d\x7f\xff\xff\xff" "abc"), &frame), PGW_OK);
	assert_int_equal(frame.n_body_bytes, 0x7fffffff - 4);
	assert_int_equal(frame.n_available, 3);
}

static void known_types_are_exactly_these(void **state)
{
	static const char frontend[] = "BCDEFHPQSXcdf";
	static const char backend[] = "123ACDEGHINSTVWZcdnst";

	for (int type = 0; type < 256; type++) {
		int is_text = type != 0;

		assert_int_equal(pgw_is_frontend_type((uint8_t)type),
			is_text && strchr(frontend, type) != NULL);
		assert_int_equal(pgw_is_backend_type((uint8_t)type),
			is_text && strchr(backend, type) != NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(less_than_a_header_asks_for_more),
		cmocka_unit_test(a_body_may_come_in_part),
		cmocka_unit_test(an_empty_body_is_whole_at_once),
		cmocka_unit_test(lengths_below_four_and_negative_are_impossible),
		cmocka_unit_test(the_largest_length_is_possible),
		cmocka_unit_test(known_types_are_exactly_these),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
