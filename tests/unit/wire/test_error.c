/* SPDX-License-Identifier: ISC */
/* Each result has a text of its own, fit to stand behind a colon. */
#include "pgw/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void each_result_has_its_own_text(void **state)
{
	for (int err = PGW_E_AUTH; err <= PGW_MORE; err++) {
		const char *text = pgw_err_text((enum pgw_err)err);

		assert_non_null(text);
		assert_true(strlen(text) > 1);
		assert_string_not_equal(text, "unknown error");
		assert_int_not_equal(text[strlen(text) - 1], '.');
		for (int other = PGW_E_AUTH; other < err; other++)
			assert_string_not_equal(text, pgw_err_text((enum pgw_err)other));
	}
}

static void a_number_outside_the_enum_is_named_unknown(void **state)
{
	assert_string_equal(pgw_err_text((enum pgw_err)-13), "unknown error");
	assert_string_equal(pgw_err_text((enum pgw_err)2), "unknown error");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_result_has_its_own_text),
		cmocka_unit_test(a_number_outside_the_enum_is_named_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
