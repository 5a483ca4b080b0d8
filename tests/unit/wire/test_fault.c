/* SPDX-License-Identifier: ISC */
/* The table of faults keeps its own rules; messages are composed and cut as promised. */
#include "pgw/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <ctype.h>
#include <string.h>
#include <cmocka.h>

static void rows_are_well_formed(void **state)
{
	for (int id = 0; id < PGW_N_FAULTS; id++) {
		struct pgw_fault fault = pgw_fault_make((enum pgw_fault_id)id);
		int is_notice = strcmp(fault.severity, "NOTICE") == 0 ||
				strcmp(fault.severity, "WARNING") == 0;

		assert_int_equal(fault.id, id);
		assert_true(is_notice || strcmp(fault.severity, "ERROR") == 0 ||
			strcmp(fault.severity, "FATAL") == 0);
		assert_int_equal(pgw_fault_is_notice((enum pgw_fault_id)id), is_notice);
		assert_int_equal(strlen(fault.sqlstate), 5);
		for (const char *c = fault.sqlstate; *c; c++)
			assert_true(isdigit((unsigned char)*c) || isupper((unsigned char)*c));
		/* Class 00 is success and 01 a warning: right for a notice, and for nothing else. */
		assert_int_equal(strncmp(fault.sqlstate, "00", 2) == 0 ||
					 strncmp(fault.sqlstate, "01", 2) == 0,
			is_notice);
		assert_true(strlen(pgw_fault_name((enum pgw_fault_id)id)) > 0);
		assert_string_equal(fault.detail, "");
	}
}

/* The style of PostgreSQL's messages: no period behind the message, one behind the hint. */
static void rows_follow_the_message_style(void **state)
{
	for (int id = 0; id < PGW_N_FAULTS; id++) {
		struct pgw_fault fault = pgw_fault_make((enum pgw_fault_id)id);
		size_t n_message = strlen(fault.message);
		size_t n_hint = strlen(fault.hint);

		if (n_message > 0)
			assert_int_not_equal(fault.message[n_message - 1], '.');
		if (n_hint > 0)
			assert_int_equal(fault.hint[n_hint - 1], '.');
	}
}

static void a_fault_is_its_row(void **state)
{
	struct pgw_fault fault = pgw_fault_make(PGW_FAULT_QUEUE_TIMEOUT);

	assert_string_equal(fault.severity, "ERROR");
	assert_string_equal(fault.sqlstate, "53300");
	assert_string_equal(fault.message, "canceling statement due to queue timeout");
	assert_string_equal(fault.hint, "See queue_timeout.");
	assert_string_equal(pgw_fault_name(PGW_FAULT_QUEUE_TIMEOUT), "QUEUE_TIMEOUT");
}

static void what_stands_behind_a_colon(void **state)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_LOGIN_FAILED, "user \"x\"", NULL);
	assert_string_equal(fault.message, "password authentication failed: user \"x\"");
	assert_string_equal(fault.detail, "");
	pgw_fault_set(&fault, PGW_FAULT_LOGIN_FAILED, NULL, "%d of %s", 3, "four");
	assert_string_equal(fault.message, "password authentication failed");
	assert_string_equal(fault.detail, "3 of four");
	/* What an earlier use left behind is gone. */
	pgw_fault_set(&fault, PGW_FAULT_PROTOCOL_VIOLATION, NULL, NULL);
	assert_string_equal(fault.detail, "");
	assert_string_equal(fault.hint, "");
}

/* Word for word what PostgreSQL says: clients compare. */
static void what_stands_where_the_message_has_a_place(void **state)
{
	char what[2 * PGW_FAULT_TEXT_BYTES];
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_STATEMENT_UNKNOWN, "s %s 1", NULL);
	assert_string_equal(fault.message, "prepared statement \"s %s 1\" does not exist");
	pgw_fault_set(&fault, PGW_FAULT_PORTAL_UNKNOWN, "", "more");
	assert_string_equal(fault.message, "portal \"\" does not exist");
	assert_string_equal(fault.detail, "more");
	fault = pgw_fault_make(PGW_FAULT_STATEMENT_EXISTS);
	assert_string_equal(fault.message, "prepared statement \"\" already exists");
	memset(what, 'x', sizeof(what));
	what[sizeof(what) - 1] = '\0';
	pgw_fault_set(&fault, PGW_FAULT_STATEMENT_UNKNOWN, what, NULL);
	assert_int_equal(strlen(fault.message), PGW_FAULT_TEXT_BYTES - 1);
}

static void a_row_without_message_is_what_alone(void **state)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_LOGIN_NOTICE, "hello", NULL);
	assert_string_equal(fault.message, "hello");
}

static void percent_signs_in_what_are_text(void **state)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_NO_DATABASE, "%s%n", NULL);
	assert_string_equal(fault.message, "no such database: %s%n");
}

static void texts_are_cut_at_their_size(void **state)
{
	static const char prefix[] = "no such database: ";
	struct pgw_fault fault;
	char what[2 * PGW_FAULT_TEXT_BYTES];

	memset(what, 'x', sizeof(what));
	what[sizeof(what) - 1] = '\0';
	pgw_fault_set(&fault, PGW_FAULT_NO_DATABASE, what, "%s", what);
	assert_int_equal(strlen(fault.message), PGW_FAULT_TEXT_BYTES - 1);
	assert_int_equal(strlen(fault.detail), PGW_FAULT_TEXT_BYTES - 1);
	/* One that just fits is whole. */
	what[PGW_FAULT_TEXT_BYTES - sizeof(prefix)] = '\0';
	pgw_fault_set(&fault, PGW_FAULT_NO_DATABASE, what, NULL);
	assert_int_equal(strlen(fault.message), PGW_FAULT_TEXT_BYTES - 1);
	assert_string_equal(fault.message + sizeof(prefix) - 1, what);
}

/* Is the text whole characters only? Checks the structure of UTF-8, not the code points. */
static int is_whole_utf8(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	while (*c) {
		int n_follow = *c >= 0xF0 ? 3 : *c >= 0xE0 ? 2 : *c >= 0xC0 ? 1 : 0;

		if (*c >= 0x80 && *c < 0xC0)
			return 0;
		for (c++; n_follow > 0; n_follow--, c++)
			if ((*c & 0xC0) != 0x80)
				return 0;
	}
	return 1;
}

static void a_cut_goes_between_characters(void **state)
{
	static const char *const characters[] = { "\u00e9", "\u20ac", "\U0001F418" };

	for (size_t i = 0; i < 3; i++) {
		size_t n = strlen(characters[i]);

		for (size_t shift = 0; shift < 4; shift++) {
			char what[2 * PGW_FAULT_TEXT_BYTES] = "";
			struct pgw_fault fault;

			memset(what, 'x', shift);
			for (size_t at = shift; at + n < sizeof(what) - 1; at += n)
				memcpy(what + at, characters[i], n);
			pgw_fault_set(&fault, PGW_FAULT_NO_DATABASE, what, "%s", what);
			assert_true(is_whole_utf8(fault.message));
			assert_true(is_whole_utf8(fault.detail));
			/* and takes no whole character with it */
			assert_true(strlen(fault.message) > PGW_FAULT_TEXT_BYTES - 1 - n);
			assert_true(strlen(fault.detail) > PGW_FAULT_TEXT_BYTES - 1 - n);
		}
	}
}

static void a_cut_through_stray_bytes_stays_inside(void **state)
{
	char what[2 * PGW_FAULT_TEXT_BYTES];
	struct pgw_fault fault;

	memset(what, 0x80, sizeof(what)); /* nothing but bytes that continue a character */
	what[sizeof(what) - 1] = '\0';
	pgw_fault_set(&fault, PGW_FAULT_LOGIN_NOTICE, what, "%s", what);
	assert_int_equal(strlen(fault.message), PGW_FAULT_TEXT_BYTES - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_are_well_formed),
		cmocka_unit_test(rows_follow_the_message_style),
		cmocka_unit_test(a_fault_is_its_row),
		cmocka_unit_test(what_stands_behind_a_colon),
		cmocka_unit_test(what_stands_where_the_message_has_a_place),
		cmocka_unit_test(a_row_without_message_is_what_alone),
		cmocka_unit_test(percent_signs_in_what_are_text),
		cmocka_unit_test(texts_are_cut_at_their_size),
		cmocka_unit_test(a_cut_goes_between_characters),
		cmocka_unit_test(a_cut_through_stray_bytes_stays_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
