/* SPDX-License-Identifier: ISC */
#include "config/connstr.h"

#include "unit/config/config_test.h"

/* The pairs of a string as "key=[value] …", and " !error" at a fault. */
static char *pairs_of(const char *text)
{
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT, out = STRBUF_INIT;
	const char *error;
	enum connstr_event event;

	while ((event = connstr_next(&text, &key, &value, &error)) == CONNSTR_PAIR)
		strbuf_addf(&out, "%s=[%s] ", key.data, value.data);
	if (event == CONNSTR_ERROR) {
		assert_non_null(error);
		strbuf_addf(&out, "!%.20s", error);
	} else {
		assert_null(error);
		assert_string_equal(text, "");
	}
	strbuf_release(&key);
	strbuf_release(&value);
	return strbuf_detach(&out);
}

static void pairs_are_read_by_pgbouncers_rules(void **state)
{
	static const char *const cases[][2] = {
		{ "", "" },
		{ "   ", "" },
		{ "host=a", "host=[a] " },
		{ "  host=a   port=1 ", "host=[a] port=[1] " },
		{ "host = a port= 1", "host=[a] port=[1] " },
		{ "password='a b'", "password=[a b] " },
		{ "password='it''s' user=x", "password=[it's] user=[x] " },
		{ "password=''''", "password=['] " },
		{ "password='' user=x", "password=[] user=[x] " },
		{ "password=a=b;c#d\\e", "password=[a=b;c#d\\e] " },
		{ "password=a'b", "password=[a'b] " },
		{ "host=a\tport=1", "host=[a] port=[1] " },
		{ "host=", "!it has no value; ex" },
		{ "host", "!expected key=value " },
		{ "host=a port", "host=[a] !expected key=value " },
		{ "=a", "!expected key=value " },
		{ "password='abc", "!the value's closing" },
		{ "password='abc''", "!the value's closing" },
		{ "password='a'b", "!a quoted value must " },
		{ "a b=c", "!expected key=value " },
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char *found = pairs_of(cases[i][0]);

		/* Errors are compared by their beginning. */
		if (strncmp(found, cases[i][1], strcspn(cases[i][1], "!") + 15))
			fail_msg("%s: found %s, expected %s", cases[i][0], found, cases[i][1]);
		mem_free(found);
	}
}

static void long_values_are_whole(void **state)
{
	struct strbuf text = STRBUF_INIT, expected = STRBUF_INIT;
	char *found;

	strbuf_adds(&text, "options='");
	strbuf_adds(&expected, "options=[");
	for (unsigned i = 0; i < 100000; i++) {
		strbuf_adds(&text, "x''");
		strbuf_adds(&expected, "x'");
	}
	strbuf_adds(&text, "'");
	strbuf_adds(&expected, "] ");
	found = pairs_of(text.data);
	assert_string_equal(found, expected.data);
	mem_free(found);
	strbuf_release(&text);
	strbuf_release(&expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_are_read_by_pgbouncers_rules),
		cmocka_unit_test(long_values_are_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
