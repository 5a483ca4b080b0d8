/* SPDX-License-Identifier: ISC */
/* Tables: cells, order, and what they are on the wire. */
#include "admin/rows.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "pgw/cursor.h"

static const struct column columns[] = { COLUMN_T("name"), COLUMN_I("four"), COLUMN_Q("eight"), COLUMN_N("many") };

static void open_rows(struct rows *rows)
{
	rows_init(rows, (struct columns)COLUMNS_OF(columns));
}

static void add(struct rows *rows, const char *name, uint64_t number)
{
	rows_text(rows, name);
	rows_number(rows, number);
	rows_number(rows, number);
	rows_number(rows, number);
	rows_end(rows);
}

static void test_cells(void **state)
{
	struct rows rows;

	open_rows(&rows);
	add(&rows, "a", 7);
	add(&rows, NULL, UINT64_MAX);
	add(&rows, "", 0);
	assert_int_equal(rows.n, 3);
	assert_string_equal(rows_cell(&rows, 0, 0), "a");
	assert_string_equal(rows_cell(&rows, 0, 1), "7");
	assert_null(rows_cell(&rows, 1, 0));
	assert_string_equal(rows_cell(&rows, 1, 1), "2147483647");
	assert_string_equal(rows_cell(&rows, 1, 2), "9223372036854775807");
	assert_string_equal(rows_cell(&rows, 1, 3), "18446744073709551615");
	assert_string_equal(rows_cell(&rows, 2, 0), "");
	rows_release(&rows);
}

static void test_time(void **state)
{
	static const struct column time_columns[] = { COLUMN_T("never"), COLUMN_T("then") };
	struct rows rows;

	rows_init(&rows, (struct columns)COLUMNS_OF(time_columns));
	rows_time(&rows, 0);
	rows_time(&rows, 1000000u);
	rows_end(&rows);
	assert_null(rows_cell(&rows, 0, 0));
	assert_int_equal(rows_cell(&rows, 0, 1)[10], ' ');
	rows_release(&rows);
}

static void check_order(const struct rows *rows, const char *const *names, unsigned n)
{
	assert_int_equal(rows->n, n);
	for (unsigned i = 0; i < n; i++) {
		const char *name = rows_cell(rows, i, 0);

		if (names[i])
			assert_string_equal(name, names[i]);
		else
			assert_null(name);
	}
}

static void test_order(void **state)
{
	static const unsigned by_name[] = { 0 }, by_number[] = { 1 }, by_both[] = { 1, 0 };
	struct rows rows;

	open_rows(&rows);
	add(&rows, "b", 10);
	add(&rows, NULL, 9);
	add(&rows, "a", 10);
	add(&rows, "c", 100);
	rows_sort(&rows, by_number, 1); /* as numbers: 9 before 10; equal ones as they came */
	check_order(&rows, (const char *const[]){ NULL, "b", "a", "c" }, 4);
	rows_sort(&rows, by_both, 2);
	check_order(&rows, (const char *const[]){ NULL, "a", "b", "c" }, 4);
	rows_sort(&rows, by_name, 1);
	check_order(&rows, (const char *const[]){ "a", "b", "c", NULL }, 4);
	rows_release(&rows);
}

static void test_order_is_stable(void **state)
{
	static const unsigned by_name[] = { 0 };
	struct rows rows;

	open_rows(&rows);
	for (unsigned i = 0; i < 1000; i++)
		add(&rows, i % 2 ? "x" : "y", i);
	rows_sort(&rows, by_name, 1);
	for (unsigned i = 0; i < 1000; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "%u", i < 500 ? 2 * i + 1 : 2 * (i - 500));
		assert_string_equal(rows_cell(&rows, i, 1), text);
	}
	rows_release(&rows);
}

/* ---- messages ---- */

static struct pgw_reader message(const struct strbuf *out, char type)
{
	struct pgw_reader r = pgw_reader_on(out->data, out->len);

	assert_int_equal(pgw_read_u8(&r), type);
	assert_int_equal(pgw_read_u32(&r), out->len - 1);
	return r;
}

static void test_description(void **state)
{
	static const struct {
		const char *name;
		unsigned oid;
		uint16_t length;
	} expected[] = { { "name", 25, 0xffff }, { "four", 23, 4 }, { "eight", 20, 8 }, { "many", 1700, 0xffff } };
	struct strbuf out = STRBUF_INIT;
	struct pgw_reader r;

	columns_describe((struct columns)COLUMNS_OF(columns), 1u << 1, &out);
	r = message(&out, 'T');
	assert_int_equal(pgw_read_u16(&r), 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_string_equal(pgw_read_cstr(&r, NULL), expected[i].name);
		assert_int_equal(pgw_read_u32(&r), 0);
		assert_int_equal(pgw_read_u16(&r), 0);
		assert_int_equal(pgw_read_u32(&r), expected[i].oid);
		assert_int_equal(pgw_read_u16(&r), expected[i].length);
		assert_int_equal(pgw_read_u32(&r), UINT32_MAX);
		assert_int_equal(pgw_read_u16(&r), i == 1);
	}
	assert_int_equal(pgw_read_end(&r), PGW_OK);
	strbuf_release(&out);
}

static void expect_cell(struct pgw_reader *r, const void *bytes, size_t n)
{
	const uint8_t *got;

	assert_int_equal(pgw_read_u32(r), n);
	got = pgw_read_bytes(r, n);
	assert_non_null(got);
	if (n > 0)
		assert_memory_equal(got, bytes, n);
}

static void test_text_row(void **state)
{
	struct strbuf out = STRBUF_INIT;
	struct pgw_reader r;
	struct rows rows;

	open_rows(&rows);
	add(&rows, "skipped", 1);
	rows_text(&rows, NULL);
	rows_number(&rows, 12);
	rows_text(&rows, NULL);
	rows_number(&rows, 0);
	rows_end(&rows);
	rows_render(&rows, 1, 1, 0, &out);
	r = message(&out, 'D');
	assert_int_equal(pgw_read_u16(&r), 4);
	assert_int_equal(pgw_read_u32(&r), UINT32_MAX);
	expect_cell(&r, "12", 2);
	assert_int_equal(pgw_read_u32(&r), UINT32_MAX);
	expect_cell(&r, "0", 1);
	assert_int_equal(pgw_read_end(&r), PGW_OK);
	rows_release(&rows);
	strbuf_release(&out);
}

/* The numeric is what PostgreSQL's numeric_send() gives for these: digits of base 10000 without zeros at the end. */
static void check_binary(uint64_t number, const char *eight, const char *numeric, size_t n_numeric)
{
	struct strbuf out = STRBUF_INIT;
	struct pgw_reader r;
	struct rows rows;

	open_rows(&rows);
	add(&rows, "text", number);
	rows_render(&rows, 0, 1, UINT64_MAX, &out);
	r = message(&out, 'D');
	assert_int_equal(pgw_read_u16(&r), 4);
	expect_cell(&r, "text", 4);
	assert_int_equal(pgw_read_u32(&r), 4);
	assert_int_equal(pgw_read_u32(&r), number > INT32_MAX ? INT32_MAX : number);
	expect_cell(&r, eight, 8);
	expect_cell(&r, numeric, n_numeric);
	assert_int_equal(pgw_read_end(&r), PGW_OK);
	rows_release(&rows);
	strbuf_release(&out);
}

static void test_binary_row(void **state)
{
	check_binary(0, "\0\0\0\0\0\0\0\0", "\0\0\0\0\0\0\0\0", 8);
	check_binary(1, "\0\0\0\0\0\0\0\1", "\0\1\0\0\0\0\0\0\0\1", 10);
	check_binary(9999, "\0\0\0\0\0\0\x27\x0f", "\0\1\0\0\0\0\0\0\x27\x0f", 10);
	check_binary(10000, "\0\0\0\0\0\0\x27\x10", "\0\1\0\1\0\0\0\0\0\1", 10);
	check_binary(10001, "\0\0\0\0\0\0\x27\x11", "\0\2\0\1\0\0\0\0\0\1\0\1", 12);
	check_binary(100000000, "\0\0\0\0\x05\xf5\xe1\0", "\0\1\0\2\0\0\0\0\0\1", 10);
	check_binary(UINT64_MAX, "\x7f\xff\xff\xff\xff\xff\xff\xff", "\0\5\0\4\0\0\0\0\x07\x34\x1a\x58\x02\xe1\x03\xbb\x06\x4f", 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_time),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_order_is_stable),
		cmocka_unit_test(test_description),
		cmocka_unit_test(test_text_row),
		cmocka_unit_test(test_binary_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
