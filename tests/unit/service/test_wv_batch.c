/* SPDX-License-Identifier: ISC */
#include "service/wv_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#define ID "6f1c1c1e-0000-4000-8000-0000000000e1"

static void one_of_each(void **state)
{
	struct wv_batch batch;

	wv_batch_init(&batch, 10, 10000);
	assert_true(wv_batch_add(&batch, &(struct wv_object){ "A", ID, "{\"n\": 12345678901234567890}", NULL, NULL }));
	assert_true(wv_batch_add(&batch, &(struct wv_object){ "B", ID, "{}", "[0.1,-2e3]", "t\"\\\x01" }));
	wv_batch_finish(&batch);
	assert_int_equal(batch.n, 2);
	/* Numbers stay as they were written. */
	assert_string_equal(batch.body.data, "{\"objects\":[{\"class\":\"A\",\"id\":\"" ID "\",\"properties\":{\"n\": 12345678901234567890}},"
					     "{\"class\":\"B\",\"id\":\"" ID "\",\"tenant\":\"t\\\"\\\\\\u0001\",\"properties\":{},\"vector\":[0.1,-2e3]}]}");
	wv_batch_release(&batch);
}

static void no_more_than_so_many(void **state)
{
	struct wv_batch batch;
	struct wv_object object = { "A", ID, "{}", NULL, NULL };

	wv_batch_init(&batch, 2, 10000);
	assert_true(wv_batch_add(&batch, &object));
	assert_true(wv_batch_add(&batch, &object));
	assert_false(wv_batch_add(&batch, &object));
	assert_int_equal(batch.n, 2);
	wv_batch_release(&batch);
}

/* The bound is of the whole body, to the byte. */
static void no_more_than_so_many_bytes(void **state)
{
	struct wv_batch batch;
	struct wv_object object = { "A", ID, "{}", NULL, NULL };
	size_t n_one, n_two;

	wv_batch_init(&batch, 9, 10000);
	assert_true(wv_batch_add(&batch, &object));
	n_one = batch.body.len + 2;
	assert_true(wv_batch_add(&batch, &object));
	n_two = batch.body.len + 2;
	wv_batch_release(&batch);
	wv_batch_init(&batch, 9, n_two);
	assert_true(wv_batch_add(&batch, &object));
	assert_true(wv_batch_add(&batch, &object));
	wv_batch_finish(&batch);
	assert_int_equal(batch.body.len, n_two);
	wv_batch_release(&batch);
	wv_batch_init(&batch, 9, n_two - 1);
	assert_true(wv_batch_add(&batch, &object));
	assert_false(wv_batch_add(&batch, &object));
	wv_batch_finish(&batch);
	assert_int_equal(batch.body.len, n_one);
	wv_batch_release(&batch);
	wv_batch_init(&batch, 9, n_one - 1);
	assert_false(wv_batch_add(&batch, &object));
	wv_batch_release(&batch);
}

static void strings_survive(void **state)
{
	struct strbuf out = STRBUF_INIT;
	char text[300], *at = text;
	cJSON *json;

	for (int c = 1; c < 128; c++)
		*at++ = (char)c;
	memcpy(at, "\xc3\xa4", 3);
	wv_add_string(&out, text);
	json = cJSON_Parse(out.data);
	assert_string_equal(cJSON_GetStringValue(json), text);
	cJSON_Delete(json);
	strbuf_release(&out);
}

static void vectors(void **state)
{
	static const struct {
		const char *text;
		unsigned n;
	} cases[] = {
		{ "[1]", 1 }, { "[0.25,-0.5, 0.125]", 3 }, { " [ 1e5 , 2E-7,0 ]\n", 3 }, { "[3.4e38]", 1 }, { "[1e-400]", 1 },
		{ "", 0 }, { "[]", 0 }, { "[1,]", 0 }, { "[,1]", 0 }, { "[1", 0 }, { "1", 0 }, { "[1]]", 0 }, { "[1][2]", 0 }, { "[\"1\"]", 0 },
		{ "[null]", 0 }, { "[NaN]", 0 }, { "[Infinity]", 0 }, { "[3.5e38]", 0 }, { "[1e999]", 0 }, { "[01]", 0 }, { "[.5]", 0 },
		{ "[1.]", 0 }, { "[1e]", 0 }, { "[0x10]", 0 }, { "[--1]", 0 }, { "{1,2}", 0 }, { "{1:1}/3", 0 }, { "[1 2]", 0 },
	};
	struct strbuf many = STRBUF_INIT;
	const char *why;

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		why = NULL;
		if (wv_vector_dimensions(cases[i].text, &why) != cases[i].n)
			fail_msg("%s", cases[i].text);
		assert_int_equal(why == NULL, cases[i].n > 0);
	}
	for (unsigned i = 0; i < WV_DIMENSIONS_MAX; i++)
		strbuf_adds(&many, i ? ",1" : "[1");
	strbuf_addc(&many, ']');
	assert_int_equal(wv_vector_dimensions(many.data, &why), WV_DIMENSIONS_MAX);
	many.data[many.len - 1] = ',';
	strbuf_adds(&many, "1]");
	assert_int_equal(wv_vector_dimensions(many.data, &why), 0);
	assert_string_equal(why, "it has too many dimensions");
	strbuf_release(&many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_of_each),
		cmocka_unit_test(no_more_than_so_many),
		cmocka_unit_test(no_more_than_so_many_bytes),
		cmocka_unit_test(strings_survive),
		cmocka_unit_test(vectors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
