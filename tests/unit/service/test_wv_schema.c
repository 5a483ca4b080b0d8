/* SPDX-License-Identifier: ISC */
/* A class of a server against the one that is wanted: what differs, in words, and what can be done. */
#include "service/wv_schema.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char wanted_text[] =
	"{\"class\": \"Thing\", \"vectorizer\": \"text2vec-openai\", \"vectorIndexConfig\": {\"distance\": \"cosine\", \"efConstruction\": 256},"
	"\"moduleConfig\": {\"text2vec-openai\": {\"model\": \"text-embedding-3-small\", \"dimensions\": 1536}},"
	"\"properties\": ["
	"{\"name\": \"eventType\", \"dataType\": [\"text\"], \"tokenization\": \"field\", \"indexSearchable\": false,"
	" \"moduleConfig\": {\"text2vec-openai\": {\"skip\": true}}},"
	"{\"name\": \"organizationId\", \"dataType\": [\"uuid\"]},"
	"{\"name\": \"metrics\", \"dataType\": [\"object\"], \"indexFilterable\": false,"
	" \"nestedProperties\": [{\"name\": \"seconds\", \"dataType\": [\"number\"]}]}]}";

static int setup(void **state)
{
	struct strbuf faults = STRBUF_INIT;
	static struct wv_class wanted;

	assert_true(wv_class_parse("thing.json", wanted_text, &wanted, &faults));
	strbuf_release(&faults);
	*state = &wanted;
	return 0;
}

static int teardown(void **state)
{
	wv_class_release(*state);
	return 0;
}

/* The class as the server has it: the wanted text with one part replaced by another. */
static cJSON *server_class(const char *part, const char *other)
{
	char text[2048];
	const char *at = strstr(wanted_text, part);

	assert_non_null(at);
	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - wanted_text), wanted_text, other, at + strlen(part));
	cJSON *json = cJSON_Parse(text);
	if (json == NULL)
		fail_msg("no JSON: %s", text);
	return json;
}

static void nothing_differs(void **state)
{
	struct wv_differences differences = { 0 };
	cJSON *same = server_class("", "");
	cJSON *more = server_class("\"properties\": [", "\"description\": \"x\", \"properties\": [{\"name\": \"other\", \"dataType\": [\"int\"]},");
	cJSON *faster = server_class("\"efConstruction\": 256", "\"efConstruction\": 64");

	wv_schema_compare(*state, same, &differences);
	wv_schema_compare(*state, more, &differences);
	wv_schema_compare(*state, faster, &differences);
	assert_int_equal(differences.n, 0);
	cJSON_Delete(same);
	cJSON_Delete(more);
	cJSON_Delete(faster);
	wv_differences_release(&differences);
}

static void each_difference_is_told(void **state)
{
	static const struct {
		const char *part, *other, *text;
		enum wv_difference_kind kind;
	} cases[] = {
		{ "\"vectorizer\": \"text2vec-openai\"", "\"vectorizer\": \"none\"", "Thing: vectorizer is none, wanted is text2vec-openai", WV_UNCHANGEABLE },
		{ "cosine", "dot", "Thing: distance is dot, wanted is cosine", WV_UNCHANGEABLE },
		{ "\"model\": \"text-embedding-3-small\"", "\"model\": \"ada\"", "Thing: model of text2vec-openai is \"ada\", wanted is \"text-embedding-3-small\"", WV_UNCHANGEABLE },
		{ ", \"dimensions\": 1536", "", "Thing: dimensions of text2vec-openai is not set, wanted is 1536", WV_UNCHANGEABLE },
		{ "1536", "512", "Thing: dimensions of text2vec-openai is 512, wanted is 1536", WV_UNCHANGEABLE },
		{ "\"class\"", "\"vectorIndexType\": \"flat\", \"class\"", "Thing: vectorIndexType is flat, wanted is hnsw", WV_UNCHANGEABLE },
		{ "\"class\"", "\"multiTenancyConfig\": {\"enabled\": true}, \"class\"", "Thing: it is made for tenants, wanted is without", WV_UNCHANGEABLE },
		{ "\"class\"", "\"vectorConfig\": {\"v\": {}}, \"class\"", "Thing: it has named vectors, wanted is one vector", WV_UNCHANGEABLE },
		{ "\"field\"", "\"word\"", "Thing.eventType: tokenization is word, wanted is field", WV_UNCHANGEABLE },
		{ ", \"tokenization\": \"field\"", "", "Thing.eventType: tokenization is word, wanted is field", WV_UNCHANGEABLE },
		{ "\"skip\": true", "\"skip\": false", "Thing.eventType: skip of text2vec-openai is false, wanted is true", WV_UNCHANGEABLE },
		{ "[\"uuid\"]", "[\"text\"]", "Thing.organizationId: the type is text, wanted is uuid", WV_UNCHANGEABLE },
		{ "[\"uuid\"]", "[\"uuid\"], \"indexFilterable\": false", "Thing.organizationId: indexFilterable is false, wanted is true", WV_UNCHANGEABLE },
		{ "{\"name\": \"organizationId\", \"dataType\": [\"uuid\"]},", "", "Thing.organizationId: the property is missing", WV_PROPERTY_MISSING },
		{ "\"seconds\", \"dataType\": [\"number\"]", "\"seconds\", \"dataType\": [\"int\"]", "Thing.metrics.seconds: the type is int, wanted is number", WV_UNCHANGEABLE },
		{ "\"seconds\"", "\"hours\"", "Thing.metrics.seconds: it is missing, and an object cannot be given more", WV_UNCHANGEABLE },
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct wv_differences differences = { 0 };
		cJSON *found = server_class(cases[i].part, cases[i].other);
		wv_schema_compare(*state, found, &differences);
		assert_true(differences.n >= 1);
		assert_string_equal(differences.items[0].text, cases[i].text);
		assert_int_equal(differences.items[0].kind, cases[i].kind);
		assert_ptr_equal(differences.items[0].class, *state);
		/* Indexes and what is embedded can be wrong without an object being so. */
		bool is_soft = strstr(cases[i].text, "tokenization") || strstr(cases[i].text, "skip") || strstr(cases[i].text, "ndex");
		assert_int_equal(differences.items[0].stops, !is_soft);
		assert_int_equal(differences.items[0].property != NULL, cases[i].kind == WV_PROPERTY_MISSING);
		assert_non_null(strstr(wv_difference_advice(cases[i].kind), "pglane-weaviate"));
		cJSON_Delete(found);
		wv_differences_release(&differences);
	}
}

static void every_difference_is_told(void **state)
{
	struct wv_differences differences = { 0 };
	cJSON *found = cJSON_Parse("{\"class\": \"Thing\", \"vectorizer\": \"none\"}");

	wv_schema_compare(*state, found, &differences);
	assert_int_equal(differences.n, 1 + 2 + 3); /* vectorizer, its two settings, three properties */
	cJSON_Delete(found);
	wv_differences_release(&differences);
}

static void named_vectors(void **state)
{
	static const char text[] = "{\"class\": \"Thing\", \"vectorConfig\": {\"title\": {\"vectorizer\": {\"none\": {}}, \"vectorIndexConfig\": {\"distance\": \"dot\"}}},"
		"\"properties\": [{\"name\": \"a\", \"dataType\": [\"int\"]}]}";
	struct strbuf faults = STRBUF_INIT;
	struct wv_differences differences = { 0 };
	struct wv_class wanted;

	assert_true(wv_class_parse("f.json", text, &wanted, &faults));
	cJSON *found = cJSON_Parse(text);
	wv_schema_compare(&wanted, found, &differences);
	assert_int_equal(differences.n, 0);
	cJSON *vector = cJSON_GetObjectItem(cJSON_GetObjectItem(found, "vectorConfig"), "title");
	cJSON_DeleteItemFromObject(vector, "vectorIndexConfig");
	cJSON_DeleteItemFromObject(vector, "vectorizer");
	wv_schema_compare(&wanted, found, &differences);
	assert_int_equal(differences.n, 2);
	assert_string_equal(differences.items[0].text, "Thing, vector title: distance is cosine, wanted is dot");
	assert_string_equal(differences.items[1].text, "Thing, vector title: its vectorizer or the settings of it are others");
	cJSON_DeleteItemFromObject(cJSON_GetObjectItem(found, "vectorConfig"), "title");
	cJSON_AddItemToObject(cJSON_GetObjectItem(found, "vectorConfig"), "other", cJSON_CreateObject());
	wv_schema_compare(&wanted, found, &differences);
	assert_string_equal(differences.items[2].text, "Thing, vector title: it is missing");
	cJSON_Delete(found);
	wv_differences_release(&differences);
	wv_class_release(&wanted);
	strbuf_release(&faults);
}

/* The answer of GET /v1/schema as a whole, and what is no such answer. */
static void whole_answers(void **state)
{
	struct wv_classes wanted = { *state, 1 };
	struct wv_differences differences = { 0 };
	char answer[2048];
	static const char *const no_answers[] = { "", "null", "[]", "{}", "{\"classes\": 1}", "{\"classes\": [", "{\"error\": [{\"message\": \"x\"}]}" };

	(void)snprintf(answer, sizeof(answer), "{\"classes\": [{\"class\": \"Other\"}, %s]}", wanted_text);
	assert_true(wv_schema_compare_all(&wanted, answer, strlen(answer), &differences));
	assert_int_equal(differences.n, 0);
	for (size_t i = 0; i < N_ELEMENTS(no_answers); i++)
		assert_false(wv_schema_compare_all(&wanted, no_answers[i], strlen(no_answers[i]), &differences));
	assert_int_equal(differences.n, 0);
	assert_true(wv_schema_compare_all(&wanted, "{\"classes\": []}", 15, &differences));
	assert_true(wv_schema_compare_all(&wanted, "{\"classes\": null}", 17, &differences));
	assert_int_equal(differences.n, 2);
	assert_int_equal(differences.items[0].kind, WV_CLASS_MISSING);
	assert_string_equal(differences.items[0].text, "Thing: the class is missing");
	wv_differences_release(&differences);
}

static void dimensions(void **state)
{
	const struct wv_class *wanted = *state;
	cJSON *none = cJSON_Parse("{\"vectorizer\": \"none\"}");

	assert_int_equal(wv_schema_dimensions(wanted->json), 1536);
	assert_int_equal(wv_schema_dimensions(none), 0);
	assert_int_equal(wv_schema_dimensions(NULL), 0);
	cJSON_Delete(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_differs),
		cmocka_unit_test(each_difference_is_told),
		cmocka_unit_test(every_difference_is_told),
		cmocka_unit_test(named_vectors),
		cmocka_unit_test(whole_answers),
		cmocka_unit_test(dimensions),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
