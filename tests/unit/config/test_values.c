/* SPDX-License-Identifier: ISC */
#include "config/values.h"

#include "unit/config/config_test.h"

#include "classify/classify.h"

static const char *const words[] = { "session", "transaction", "statement", NULL };

static const struct value_type time_type = { .kind = VALUE_TIME, .max = 3600ull * 1000000 };
static const struct value_type size_type = { .kind = VALUE_SIZE, .max = 1ull << 40 };
static const struct value_type count_type = { .kind = VALUE_COUNT, .min = 1, .max = 1000 };

static void set(const struct value_type *type, void *field, const char *text)
{
	struct strbuf why = STRBUF_INIT;

	if (!value_set(type, field, text, &why))
		fail_msg("\"%s\": %s", text, why.data);
	strbuf_release(&why);
}

static void set_refused(
	const struct value_type *type, void *field, const char *text, const char *expected)
{
	struct strbuf why = STRBUF_INIT;

	assert_false(value_set(type, field, text, &why));
	assert_string_equal(why.data, expected);
	strbuf_release(&why);
}

static void assert_formatted(const struct value_type *type, const void *field, const char *expected)
{
	struct strbuf out = STRBUF_INIT;

	value_format(type, field, &out);
	assert_string_equal(out.data, expected);
	strbuf_release(&out);
}

static void times_have_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t us;
		const char *shown;
	} cases[] = {
		{ "0", 0, "0" },
		{ "15", 15000000, "15" },
		{ "0.5", 500000, "0.5" },
		{ "1.25", 1250000, "1.25" },
		{ "0.0000019", 1, "0.000001" },
		{ "500ms", 500000, "0.5" },
		{ "10s", 10000000, "10" },
		{ "10 s", 10000000, "10" },
		{ "5min", 300000000, "300" },
		{ "1h", 3600000000, "3600" },
		{ "7us", 7, "0.000007" },
		{ "1.5min", 90000000, "90" },
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		uint64_t field = 1, again = 1;

		set(&time_type, &field, cases[i].text);
		assert_int_equal(field, cases[i].us);
		assert_formatted(&time_type, &field, cases[i].shown);
		set(&time_type, &again, cases[i].shown);
		assert_int_equal(again, field);
	}
}

static void wrong_times_are_refused(void **state)
{
	static const char *const wrong[] = { "", "s", "-1", "1x", "5m", "1 2", "1..2", ".5", "3601",
		"2h", "18446744073709551615", "18446744073709551616s", "99999999999999999999d",
		"5124095577h" /* 2^64 us and 3490 s */ };
	uint64_t field = 42;

	for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
		struct strbuf why = STRBUF_INIT;

		if (value_set(&time_type, &field, wrong[i], &why))
			fail_msg("\"%s\" is taken for a time", wrong[i]);
		assert_int_equal(field, 42);
		strbuf_release(&why);
	}
	set_refused(&time_type, &field, "soon",
		"\"soon\" is not valid; expected seconds, or a number with us, ms, s, min, h or d, from 0 to 3600");
}

static void whole_seconds_and_milliseconds(void **state)
{
	const struct value_type seconds = { .kind = VALUE_SECONDS, .max = 100 };
	const struct value_type millis = { .kind = VALUE_MILLIS, .max = 100 };
	uint32_t field = 0;

	set(&seconds, &field, "5");
	assert_int_equal(field, 5);
	set(&seconds, &field, "1min");
	assert_int_equal(field, 60);
	set_refused(&seconds, &field, "0.5",
		"\"0.5\" is not valid; expected whole seconds from 0 to 100");
	set(&millis, &field, "30");
	assert_int_equal(field, 30);
	assert_formatted(&millis, &field, "30");
}

static void fractions_are_kept_as_thousandths(void **state)
{
	const struct value_type ratio = { .kind = VALUE_RATIO, .min = 10, .max = 1000 };
	uint32_t field = 0;

	set(&ratio, &field, "0.8");
	assert_int_equal(field, 800);
	assert_formatted(&ratio, &field, "0.8");
	set(&ratio, &field, "1");
	assert_int_equal(field, 1000);
	assert_formatted(&ratio, &field, "1");
	set(&ratio, &field, "0.125");
	assert_formatted(&ratio, &field, "0.125");
	set_refused(&ratio, &field, "80", "\"80\" is not valid; expected a fraction from 0.01 to 1");
	set_refused(&ratio, &field, "80%", "\"80%\" is not valid; expected a fraction from 0.01 to 1");
}

static void sizes_have_units(void **state)
{
	uint64_t field;

	set(&size_type, &field, "2147483647");
	assert_int_equal(field, 2147483647);
	set(&size_type, &field, "1MB");
	assert_int_equal(field, 1048576);
	assert_formatted(&size_type, &field, "1048576");
	set(&size_type, &field, "1.5kB");
	assert_int_equal(field, 1536);
	set(&size_type, &field, "2 GB");
	assert_int_equal(field, 2147483648);
	set_refused(&size_type, &field, "2TB",
		"\"2TB\" is not valid; expected bytes, or a number with kB, MB or GB, from 0 to 1099511627776");
}

static void numbers_keep_their_range(void **state)
{
	uint32_t field = 7;

	set(&count_type, &field, "1");
	assert_int_equal(field, 1);
	set(&count_type, &field, "1000");
	assert_int_equal(field, 1000);
	set_refused(
		&count_type, &field, "0", "\"0\" is not valid; expected a number from 1 to 1000");
	set_refused(&count_type, &field, "1001",
		"\"1001\" is not valid; expected a number from 1 to 1000");
	set_refused(&count_type, &field, "4294967297",
		"\"4294967297\" is not valid; expected a number from 1 to 1000");
	set_refused(
		&count_type, &field, "-1", "\"-1\" is not valid; expected a number from 1 to 1000");
	set_refused(&count_type, &field, "010",
		"\"010\" is not valid; expected a number without leading zeros, from 1 to 1000");
	set_refused(&count_type, &field, "", "no value is given; expected a number from 1 to 1000");
	assert_int_equal(field, 1000);
}

static void long_values_are_quoted_in_part(void **state)
{
	char text[200], expected[300];
	uint32_t field = 7;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	(void)snprintf(expected, sizeof(expected),
		"\"%.60s…\" is not valid; expected a number from 1 to 1000", text);
	set_refused(&count_type, &field, text, expected);
}

static void narrow_fields_are_not_overrun(void **state)
{
	const struct value_type port = { .kind = VALUE_PORT, .min = 1, .max = 65535 };
	const struct value_type rank = { .kind = VALUE_RANK, .min = 1, .max = 10 };
	struct {
		uint16_t port, guard;
	} p = { 0, 0xabcd };
	struct {
		uint8_t rank, guard;
	} r = { 0, 0xab };

	set(&port, &p.port, "65535");
	assert_int_equal(p.port, 65535);
	assert_int_equal(p.guard, 0xabcd);
	set(&rank, &r.rank, "10");
	assert_int_equal(r.rank, 10);
	assert_int_equal(r.guard, 0xab);
	assert_formatted(&rank, &r.rank, "10");
}

static void modes_are_octal(void **state)
{
	const struct value_type mode = { .kind = VALUE_MODE, .max = 0777 };
	uint32_t field;

	set(&mode, &field, "0777");
	assert_int_equal(field, 0777);
	set(&mode, &field, "700");
	assert_int_equal(field, 0700);
	assert_formatted(&mode, &field, "0700");
	set_refused(&mode, &field, "0888",
		"\"0888\" is not valid; expected an octal mode from 0000 to 0777");
	set_refused(&mode, &field, "1000",
		"\"1000\" is not valid; expected an octal mode from 0000 to 0777");
}

static void switches_take_numbers_and_words(void **state)
{
	static const char *const on[] = { "1", "2", "on", "YES", "true", "t", "y" };
	static const char *const off[] = { "0", "off", "No", "FALSE", "f", "n" };
	const struct value_type type = { .kind = VALUE_BOOL };
	bool field;

	for (size_t i = 0; i < N_ELEMENTS(on); i++) {
		field = false;
		set(&type, &field, on[i]);
		assert_true(field);
	}
	for (size_t i = 0; i < N_ELEMENTS(off); i++) {
		field = true;
		set(&type, &field, off[i]);
		assert_false(field);
	}
	assert_formatted(&type, &field, "0");
	set_refused(&type, &field, "perhaps", "\"perhaps\" is not valid; expected 0 or 1");
}

static void words_are_enums(void **state)
{
	const struct value_type type = { .kind = VALUE_WORD, .words = words };
	uint32_t field = 0;

	set(&type, &field, "Transaction");
	assert_int_equal(field, POOL_MODE_TRANSACTION);
	assert_formatted(&type, &field, "transaction");
	set_refused(&type, &field, "trans",
		"\"trans\" is not valid; expected one of session, transaction, statement");
}

static void unset_is_a_value(void **state)
{
	const struct value_type word = { .kind = VALUE_WORD, .words = words, .inherits = true };
	const struct value_type count = { .kind = VALUE_COUNT, .max = 10, .inherits = true };
	const struct value_type time = { .kind = VALUE_TIME, .max = 10, .inherits = true };
	uint32_t narrow = 0;
	uint64_t wide = 0;

	value_set_inherited(&word, &narrow);
	assert_int_equal(narrow, POOL_MODE_UNSET);
	assert_formatted(&word, &narrow, "");
	value_set_inherited(&count, &narrow);
	assert_true(narrow == CONFIG_INHERIT);
	assert_formatted(&count, &narrow, "");
	value_set_inherited(&time, &wide);
	assert_true(wide == CONFIG_INHERIT_US);
	assert_formatted(&time, &wide, "");
	set(&count, &narrow, "3");
	set(&count, &narrow, "-1");
	assert_true(narrow == CONFIG_INHERIT);
}

static void uuids_are_kept_in_lower_case(void **state)
{
	const struct value_type uuid = { .kind = VALUE_UUID };
	char *field = NULL, *copied = NULL;

	set(&uuid, &field, "6F1C1C1E-0000-4000-8000-0000000000AA");
	assert_string_equal(field, "6f1c1c1e-0000-4000-8000-0000000000aa");
	value_copy(&uuid, &copied, &field);
	set_refused(&uuid, &field, "6f1c1c1e", "\"6f1c1c1e\" is not valid; expected a uuid");
	set_refused(&uuid, &field, "6f1c1c1e-0000-4000-8000-0000000000aaa",
		"\"6f1c1c1e-0000-4000-8000-0000000000aaa\" is not valid; expected a uuid");
	set_refused(&uuid, &field, "6f1c1c1e00000-4000-8000-0000000000aa",
		"\"6f1c1c1e00000-4000-8000-0000000000aa\" is not valid; expected a uuid");
	set(&uuid, &field, "");
	assert_null(field);
	assert_formatted(&uuid, &copied, "6f1c1c1e-0000-4000-8000-0000000000aa");
	value_release(&uuid, &copied);
	assert_null(copied);
}

static void texts_queries_and_lists(void **state)
{
	const struct value_type text = { .kind = VALUE_TEXT }, query = { .kind = VALUE_QUERY },
				list = { .kind = VALUE_LIST };
	char *field = NULL, *copied = NULL;
	char **names = NULL, **names_copied = NULL;

	set(&text, &field, "a ; b # c");
	assert_string_equal(field, "a ; b # c");
	value_copy(&text, &copied, &field);
	set(&text, &field, "");
	assert_null(field);
	assert_string_equal(copied, "a ; b # c");
	value_release(&text, &copied);

	set(&query, &field, "<empty>");
	assert_string_equal(field, "");
	assert_formatted(&query, &field, "<empty>");
	set(&query, &field, "");
	assert_null(field);
	set(&query, &field, "select 1");
	assert_formatted(&query, &field, "select 1");
	value_release(&query, &field);
	assert_null(field);

	set(&list, &names, "old");
	set(&list, &names, " alice ,bob,, \"c d\" ,");
	assert_formatted(&list, &names, "alice, bob, \"c d\"");
	value_copy(&list, &names_copied, &names);
	value_release(&list, &names);
	assert_true(config_list_has(names_copied, "bob"));
	assert_false(config_list_has(names_copied, "bo"));
	value_release(&list, &names_copied);
	assert_null(names_copied);
}

static void classes_have_the_order_of_their_enum(void **state)
{
	const struct value_type type = { .kind = VALUE_CLASSES };
	uint32_t mask = 0;

	for (int class = 0; class < N_QUERY_CLASSES; class ++) {
		set(&type, &mask, value_class_names[class]);
		assert_int_equal(mask, 1u << class);
	}
	assert_null(value_class_names[N_QUERY_CLASSES]);
	assert_string_equal(value_class_names[QUERY_DEFAULT], "default");
	assert_string_equal(value_class_names[QUERY_SERVING], "serving");
	assert_string_equal(value_class_names[QUERY_VECTOR], "vector");
	assert_string_equal(value_class_names[QUERY_HYBRID], "hybrid");
	assert_string_equal(value_class_names[QUERY_TRAINING], "training");
	set(&type, &mask, "hybrid,serving");
	assert_formatted(&type, &mask, "serving, hybrid");
	set_refused(&type, &mask, "hybrid, fast",
		"\"fast\" is not valid; expected one of default, serving, vector, hybrid, training");
	set(&type, &mask, "");
	assert_int_equal(mask, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_have_units),
		cmocka_unit_test(wrong_times_are_refused),
		cmocka_unit_test(whole_seconds_and_milliseconds),
		cmocka_unit_test(fractions_are_kept_as_thousandths),
		cmocka_unit_test(sizes_have_units),
		cmocka_unit_test(numbers_keep_their_range),
		cmocka_unit_test(long_values_are_quoted_in_part),
		cmocka_unit_test(narrow_fields_are_not_overrun),
		cmocka_unit_test(modes_are_octal),
		cmocka_unit_test(switches_take_numbers_and_words),
		cmocka_unit_test(words_are_enums),
		cmocka_unit_test(unset_is_a_value),
		cmocka_unit_test(uuids_are_kept_in_lower_case),
		cmocka_unit_test(texts_queries_and_lists),
		cmocka_unit_test(classes_have_the_order_of_their_enum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
