/* SPDX-License-Identifier: ISC */
/* One meaning in two spellings is no difference; anything else is. */
#include "service/wv_content.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char class_text[] = "{\"properties\": ["
	"{\"name\": \"text\", \"dataType\": [\"text\"]}, {\"name\": \"texts\", \"dataType\": [\"text[]\"]},"
	"{\"name\": \"uuid\", \"dataType\": [\"uuid\"]}, {\"name\": \"date\", \"dataType\": [\"date\"]}, {\"name\": \"dates\", \"dataType\": [\"date[]\"]},"
	"{\"name\": \"number\", \"dataType\": [\"number\"]}, {\"name\": \"place\", \"dataType\": [\"geoCoordinates\"]},"
	"{\"name\": \"yes\", \"dataType\": [\"boolean\"]},"
	"{\"name\": \"object\", \"dataType\": [\"object\"], \"nestedProperties\": [{\"name\": \"when\", \"dataType\": [\"date\"]}, {\"name\": \"n\", \"dataType\": [\"int\"]}]},"
	"{\"name\": \"objects\", \"dataType\": [\"object[]\"], \"nestedProperties\": [{\"name\": \"id\", \"dataType\": [\"uuid\"]}]}]}";

/* why NULL: they are equal. */
static void expect(const char *sent_text, const char *found_text, const char *why_wanted)
{
	struct strbuf why = STRBUF_INIT;
	cJSON *class = cJSON_Parse(class_text), *sent = cJSON_Parse(sent_text), *found = cJSON_Parse(found_text);

	assert_non_null(class);
	assert_non_null(sent);
	assert_non_null(found);
	bool equal = wv_content_equals(class, sent, found, &why);
	if (equal != (why_wanted == NULL) || strcmp(why.data, why_wanted ? why_wanted : "") != 0)
		fail_msg("%s and %s: \"%s\", not \"%s\"", sent_text, found_text, why.data, why_wanted ? why_wanted : "equal");
	cJSON_Delete(class);
	cJSON_Delete(sent);
	cJSON_Delete(found);
	strbuf_release(&why);
}

static void equal_by_value(void **state)
{
	static const char *const cases[][2] = {
		{ "{}", "{}" },
		{ "{\"text\": \"a\", \"number\": 1}", "{\"number\": 1.0, \"text\": \"a\"}" },
		{ "{\"text\": null, \"texts\": [], \"object\": {}}", "{}" },
		{ "{\"object\": {\"n\": null}}", "{\"object\": {}}" },
		{ "{}", "{\"text\": null}" },
		{ "{\"uuid\": \"6F1C1C1E-0000-4000-8000-0000000000AA\"}", "{\"uuid\": \"6f1c1c1e-0000-4000-8000-0000000000aa\"}" },
		{ "{\"date\": \"2026-01-31T10:00:00+00:00\"}", "{\"date\": \"2026-01-31T10:00:00Z\"}" },
		{ "{\"date\": \"2026-01-31T11:30:00.5+01:30\"}", "{\"date\": \"2026-01-31T10:00:00.500Z\"}" },
		{ "{\"dates\": [\"2026-01-31T23:00:00-01:00\"]}", "{\"dates\": [\"2026-02-01T00:00:00Z\"]}" },
		{ "{\"number\": 0.1}", "{\"number\": 0.10000000000000001}" },
		{ "{\"place\": {\"latitude\": 52.520008123, \"longitude\": 13.404954987}}", "{\"place\": {\"longitude\": 13.404955, \"latitude\": 52.520008}}" },
		{ "{\"object\": {\"when\": \"2026-01-31T10:00:00+00:00\", \"n\": 1}}", "{\"object\": {\"n\": 1, \"when\": \"2026-01-31T10:00:00Z\"}}" },
		{ "{\"objects\": [{\"id\": \"6F1C1C1E-0000-4000-8000-0000000000AA\"}]}", "{\"objects\": [{\"id\": \"6f1c1c1e-0000-4000-8000-0000000000aa\"}]}" },
		{ "{\"unknown\": {\"a\": [1, \"x\"]}}", "{\"unknown\": {\"a\": [1, \"x\"]}}" },
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		expect(cases[i][0], cases[i][1], NULL);
		expect(cases[i][1], cases[i][0], NULL);
	}
}

static void different(void **state)
{
	static const char *const cases[][3] = {
		{ "{\"text\": \"a\"}", "{\"text\": \"b\"}", "text is \"b\" there and \"a\" here" },
		{ "{\"text\": \"a\"}", "{\"text\": \"A\"}", "text is \"A\" there and \"a\" here" },
		{ "{\"text\": \"a\"}", "{}", "text is nothing there and \"a\" here" },
		{ "{}", "{\"text\": \"a\"}", "text is \"a\" there and nothing here" },
		{ "{\"text\": null}", "{\"Text\": \"a\"}", "Text is \"a\" there and nothing here" },
		{ "{\"text\": \"a\"}", "[\"text\"]", "text is nothing there and \"a\" here" },
		{ "[\"text\"]", "{\"text\": \"a\"}", "text is \"a\" there and nothing here" },
		{ "{\"text\": \"1\"}", "{\"text\": 1}", "text is 1 there and \"1\" here" },
		{ "{\"texts\": [\"a\", \"b\"]}", "{\"texts\": [\"b\", \"a\"]}", "texts is [\"b\",\"a\"] there and [\"a\",\"b\"] here" },
		{ "{\"texts\": [\"a\"]}", "{\"texts\": [\"a\", \"b\"]}", "texts is [\"a\",\"b\"] there and [\"a\"] here" },
		{ "{\"yes\": true}", "{\"yes\": false}", "yes is false there and true here" },
		{ "{\"number\": 1}", "{\"number\": 1.0000001}", "number is 1.0000001 there and 1 here" },
		{ "{\"date\": \"2026-01-31T10:00:00Z\"}", "{\"date\": \"2026-01-31T10:00:00.001Z\"}",
			"date is \"2026-01-31T10:00:00.001Z\" there and \"2026-01-31T10:00:00Z\" here" },
		{ "{\"place\": {\"latitude\": 52.52, \"longitude\": 13.40}}", "{\"place\": {\"latitude\": 52.53, \"longitude\": 13.40}}",
			"place is {\"latitude\":52.53,\"longitude\":13.4} there and {\"latitude\":52.52,\"longitude\":13.4} here" },
		{ "{\"object\": {\"n\": 1}}", "{\"object\": {\"n\": 2}}", "object is {\"n\":2} there and {\"n\":1} here" },
		{ "{\"object\": {\"n\": 1}}", "{\"object\": {\"n\": 1, \"m\": 1}}", "object is {\"n\":1,\"m\":1} there and {\"n\":1} here" },
		{ "{\"text\": \"0123456789012345678901234567890123456789012345678901234567890123456789\"}", "{}",
			"text is nothing there and \"01234567890123456789012345678901234567890123456789012345678... here" },
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		expect(cases[i][0], cases[i][1], cases[i][2]);
}

static void nothing_at_all(void **state)
{
	struct strbuf why = STRBUF_INIT;
	cJSON *one = cJSON_Parse("{\"a\": 1}");

	assert_true(wv_content_equals(NULL, NULL, NULL, &why));
	assert_false(wv_content_equals(NULL, one, NULL, &why));
	assert_false(wv_content_equals(NULL, NULL, one, &why));
	cJSON_Delete(one);
	strbuf_release(&why);
}

static bool vectors(const char *sent_text, const char *found_text)
{
	cJSON *sent = cJSON_Parse(sent_text), *found = cJSON_Parse(found_text);
	bool equal = wv_vector_equals(sent, found);

	cJSON_Delete(sent);
	cJSON_Delete(found);
	return equal;
}

static void vectors_are_float32(void **state)
{
	assert_true(vectors("[0.1, -2.5]", "[0.10000000149, -2.5]"));
	assert_true(vectors("[]", "[]"));
	assert_true(wv_vector_equals(NULL, NULL));
	assert_false(vectors("[0.1]", "[0.1001]"));
	assert_false(vectors("[0.1]", "[0.1, 0]"));
	assert_false(vectors("[0.1, 0]", "[0.1]"));
	assert_false(vectors("[0.1]", "[\"0.1\"]"));
}

static void dates(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1970-01-01 00:00:00+00", 0 },
		{ "1970-01-01t00:00:01.25z", 1250000000 },
		{ "1970-01-01T00:00:00.0000000019Z", 1 },
		{ "1969-12-31T23:59:59Z", -1000000000 },
		{ "1970-01-01T00:00:00-0130", 5400000000000 },
	};
	static const char *const bad[] = { "", "1970", "1970-01-01", "1970-01-01T00:00:00", "1970-13-01T00:00:00Z", "1970-01-01T00:00:00.Z",
		"1970-01-01T00:00:00Zx", "1970-01-01T00:00:00+0", "1970-01-01T00:00:00+01:3", "x970-01-01T00:00:00Z", "9999-01-01T00:00:00Z" };
	int64_t ns;

	for (size_t i = 0; i < N_ELEMENTS(good); i++) {
		assert_true(wv_date_parse(good[i].text, &ns));
		assert_int_equal(ns, good[i].ns);
	}
	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		assert_false(wv_date_parse(bad[i], &ns));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_by_value),
		cmocka_unit_test(different),
		cmocka_unit_test(nothing_at_all),
		cmocka_unit_test(vectors_are_float32),
		cmocka_unit_test(dates),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
