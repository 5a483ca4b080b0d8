/* SPDX-License-Identifier: ISC */
/*
 * A file of a class, an answer of GET /v1/schema, or two objects' properties with a line end between them; the first byte says which. A class that is taken does not
 * differ from itself, and whatever differs is told.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "base/mem.h"
#include "service/wv_content.h"
#include "service/wv_schema.h"

static const char class_text[] =
	"{\"class\": \"Thing\", \"vectorizer\": \"text2vec-openai\", \"moduleConfig\": {\"text2vec-openai\": {\"dimensions\": 1536}}, \"properties\": ["
	"{\"name\": \"text\", \"dataType\": [\"text\"], \"moduleConfig\": {\"text2vec-openai\": {\"skip\": true}}}, {\"name\": \"date\", \"dataType\": [\"date\"]},"
	"{\"name\": \"uuids\", \"dataType\": [\"uuid[]\"]}, {\"name\": \"place\", \"dataType\": [\"geoCoordinates\"]},"
	"{\"name\": \"object\", \"dataType\": [\"object\"], \"nestedProperties\": [{\"name\": \"n\", \"dataType\": [\"int\"]}]}]}";

static void check_differences(struct wv_differences *differences)
{
	for (unsigned i = 0; i < differences->n; i++) {
		FUZZ_CHECK(differences->items[i].text[0] != '\0' && differences->items[i].class != NULL);
		FUZZ_CHECK((differences->items[i].property != NULL) == (differences->items[i].kind == WV_PROPERTY_MISSING));
		FUZZ_CHECK(wv_difference_advice(differences->items[i].kind)[0] != '\0');
	}
	wv_differences_release(differences);
}

static void take_class(const char *text)
{
	struct wv_differences differences = { 0 };
	struct strbuf faults = STRBUF_INIT;
	struct wv_class class;

	if (wv_class_parse("f", text, &class, &faults)) {
		FUZZ_CHECK(faults.len == 0 && class.name[0] >= 'A' && class.name[0] <= 'Z');
		wv_schema_compare(&class, class.json, &differences);
		FUZZ_CHECK(differences.n == 0);
		(void)wv_schema_dimensions(class.json);
		wv_class_set_tenants(&class, true);
		wv_class_release(&class);
	} else {
		FUZZ_CHECK(faults.len > 0 && faults.data[faults.len - 1] == '\n' && class.json == NULL);
	}
	strbuf_release(&faults);
}

static void take_answer(struct wv_class *class, const char *text)
{
	struct wv_classes wanted = { class, 1 };
	struct wv_differences differences = { 0 };

	if (!wv_schema_compare_all(&wanted, text, strlen(text), &differences))
		FUZZ_CHECK(differences.n == 0);
	check_differences(&differences);
}

static void take_objects(const struct wv_class *class, char *text)
{
	struct strbuf why = STRBUF_INIT;
	char *second = strchr(text, '\n');
	int64_t ns;

	if (second != NULL)
		*second++ = '\0';
	cJSON *a = cJSON_Parse(text), *b = cJSON_Parse(second);
	FUZZ_CHECK(wv_content_equals(class->json, a, b, &why) == (why.len == 0));
	(void)!wv_vector_equals(a, b);
	(void)!wv_date_parse(text, &ns);
	cJSON_Delete(a);
	cJSON_Delete(b);
	strbuf_release(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data)
{
	struct strbuf faults = STRBUF_INIT;
	struct wv_class class;

	if (n_data < 1)
		return 0;
	char *text = mem_strndup((const char *)data + 1, n_data - 1);
	FUZZ_CHECK(wv_class_parse("own", class_text, &class, &faults));
	if (data[0] % 3 == 0)
		take_class(text);
	else if (data[0] % 3 == 1)
		take_answer(&class, text);
	else
		take_objects(&class, text);
	wv_class_release(&class);
	strbuf_release(&faults);
	mem_free(text);
	return 0;
}
