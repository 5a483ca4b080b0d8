/* SPDX-License-Identifier: ISC */
/* Files of classes: what is taken, and what is refused with its place and a word on what to do. */
#include "service/wv_class.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <unistd.h>

/* A class with these properties and, before them, these keys. */
#define CLASS(keys, properties)                                                                    \
	"{\n\"class\": \"Thing\",\n" keys "\"properties\": [\n" properties "\n]}\n"
#define PLAIN "\"vectorizer\": \"none\",\n"
#define NAME_TEXT "{\"name\": \"a\", \"dataType\": [\"text\"]}"

static void expect_faults(const char *text, const char *faults_wanted)
{
	struct strbuf faults = STRBUF_INIT;
	struct wv_class class;

	assert_false(wv_class_parse("f.json", text, &class, &faults));
	assert_null(class.json);
	if (strstr(faults.data, faults_wanted) == NULL)
		fail_msg("\"%s\" is not in:\n%s", faults_wanted, faults.data);
	strbuf_release(&faults);
}

static void a_class_is_taken(void **state)
{
	struct strbuf faults = STRBUF_INIT;
	struct wv_class class;

	assert_true(wv_class_parse("f.json", CLASS(PLAIN, NAME_TEXT), &class, &faults));
	assert_string_equal(class.name, "Thing");
	assert_string_equal(class.file, "f.json");
	assert_int_equal(faults.len, 0);
	wv_class_release(&class);
	strbuf_release(&faults);
}

static void no_json(void **state)
{
	expect_faults("", "f.json:1: not JSON");
	expect_faults("Classes:\n  - class: Thing\n", "f.json:1: not JSON");
	expect_faults("{\"class\": \"Thing\",\n \"vectorizer\": none}", "f.json:2: not JSON");
	expect_faults(CLASS(PLAIN, NAME_TEXT) "}", "f.json:7: not JSON");
	expect_faults("[]", "f.json:1: not a JSON object");
	expect_faults("{\"Classes\": []}", "one class in each file, without \"Classes\"");
}

static void wrong_classes(void **state)
{
	expect_faults("{\"vectorizer\": \"none\"}", "\"class\": \"NAME\" is missing");
	expect_faults("{\"class\": \"thing\"}", "f.json:1: class thing: a name begins with a capital");
	expect_faults("{\"class\": \"A-b\"}", "class A-b: a name begins");
	expect_faults(CLASS("", NAME_TEXT), "f.json:2: \"vectorizer\": \"none\" or a module's name is needed");
	expect_faults(CLASS("\"vectoriser\": \"none\",\n", NAME_TEXT), "f.json:3: a class has no key \"vectoriser\"");
	expect_faults(CLASS("\"vectorizer\": \"text2vec-openai\",\n", NAME_TEXT),
		"f.json:3: vectorizer text2vec-openai needs moduleConfig.text2vec-openai");
	expect_faults(CLASS(PLAIN "\"vectorConfig\": {},\n", NAME_TEXT), "vectorizer or vectorConfig, not both");
	expect_faults(CLASS("\"vectorConfig\": {},\n", NAME_TEXT), "f.json:3: vectorConfig names no vector");
	expect_faults(CLASS("\"vectorConfig\": [],\n", NAME_TEXT), "f.json:3: vectorConfig is no JSON object");
	expect_faults(CLASS("\"vectorConfig\": {\"v\": {}},\n", NAME_TEXT), "f.json:3: vector v needs \"vectorizer\": {");
	expect_faults(CLASS(PLAIN PLAIN, NAME_TEXT), "f.json:3: the key \"vectorizer\" is there twice");
	expect_faults(CLASS(PLAIN "\"vectorIndexConfig\": {\"distance\": \"euclid\"},\n", NAME_TEXT),
		"f.json:4: unknown distance");
	expect_faults(CLASS(PLAIN, ""), "f.json:4: \"properties\": [...] is missing or empty");
}

/* What was asked for first, and no server takes, or takes for something else. */
static void wrong_properties(void **state)
{
	static const struct {
		const char *property, *fault;
	} cases[] = {
		{ "{\"dataType\": [\"text\"]}", "f.json:4: a property needs \"name\"" },
		{ "{\"name\": \"id\", \"dataType\": [\"uuid\"]}", "f.json:5: property id: a name is" },
		{ "{\"name\": \"a b\", \"dataType\": [\"uuid\"]}", "property a b: a name is" },
		{ "{\"name\": \"a\"}", "property a needs \"dataType\": [\"TYPE\"] with one type" },
		{ "{\"name\": \"a\", \"dataType\": [\"text\", \"int\"]}", "with one type" },
		{ "{\"name\": \"a\", \"dataType\": [\"string\"]}", "property a: type string is split into words" },
		{ "{\"name\": \"a\", \"dataType\": [\"geoCoordinates[]\"]}", "no lists of geoCoordinates; use object[]" },
		{ "{\"name\": \"a\", \"dataType\": [\"jsonb\"]}", "unknown data type jsonb" },
		{ "{\"name\": \"a\", \"dataType\": [\"object\"]}", "an object needs nestedProperties" },
		{ "{\"name\": \"a\", \"dataType\": [\"object\"], \"nestedProperties\": []}", "an object needs nestedProperties" },
		{ "{\"name\": \"a\", \"dataType\": [\"text\"], \"nestedProperties\": [" NAME_TEXT "]}", "only an object has nestedProperties" },
		{ "{\"name\": \"a\", \"dataType\": [\"object\"], \"nestedProperties\": [{\"name\": \"b\", \"dataType\": [\"geoCoordinates\"]}]}",
			"property b: geoCoordinates cannot be inside an object" },
		{ "{\"name\": \"a\", \"dataType\": [\"object\"], \"nestedProperties\": [{\"name\": \"b\", \"dataType\": [\"string\"]}]}",
			"property b: type string" },
		{ "{\"name\": \"a\", \"dataType\": [\"uuid\"], \"tokenization\": \"field\"}", "only text has a tokenization" },
		{ "{\"name\": \"a\", \"dataType\": [\"text\"], \"tokenization\": \"words\"}", "unknown tokenization" },
		{ "{\"name\": \"a\", \"dataType\": [\"text\"], \"tokenisation\": \"word\"}", "a property has no key \"tokenisation\"" },
		{ NAME_TEXT ", {\"name\": \"A\", \"dataType\": [\"int\"]}", "property A is there twice" },
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char text[512];
		(void)snprintf(text, sizeof(text), CLASS(PLAIN, "%s"), cases[i].property);
		expect_faults(text, cases[i].fault);
	}
}

static void all_faults_are_told_at_once(void **state)
{
	struct strbuf faults = STRBUF_INIT;
	struct wv_class class;
	unsigned n = 0;

	assert_false(wv_class_parse("f.json",
		CLASS("", "{\"name\": \"a\", \"dataType\": [\"string\"]},\n{\"name\": \"b\", \"dataType\": [\"object\"]}"), &class, &faults));
	for (const char *p = faults.data; *p; p++)
		n += *p == '\n';
	assert_int_equal(n, 3);
	strbuf_release(&faults);
}

static void tenants_on_and_off(void **state)
{
	struct strbuf faults = STRBUF_INIT;
	struct wv_class class;
	const cJSON *config;

	assert_true(wv_class_parse("f.json", CLASS(PLAIN "\"multiTenancyConfig\": {\"enabled\": false},\n", NAME_TEXT), &class, &faults));
	wv_class_set_tenants(&class, true);
	config = cJSON_GetObjectItemCaseSensitive(class.json, "multiTenancyConfig");
	assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(config, "enabled")));
	wv_class_set_tenants(&class, false);
	config = cJSON_GetObjectItemCaseSensitive(class.json, "multiTenancyConfig");
	assert_true(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(config, "enabled")));
	wv_class_release(&class);
	strbuf_release(&faults);
}

static void write_file(const char *directory, const char *name, const char *text)
{
	char path[256];
	FILE *out;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void remove_file(const char *directory, const char *name)
{
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	unlink(path);
}

static void directories(void **state)
{
	char directory[] = "/tmp/pglane-classes-XXXXXX";
	struct strbuf faults = STRBUF_INIT;
	struct wv_classes classes;

	assert_non_null(mkdtemp(directory));
	assert_false(wv_classes_load(directory, &classes, &faults));
	assert_non_null(strstr(faults.data, "there is no *.json in it"));

	strbuf_reset(&faults);
	write_file(directory, "b.json", CLASS(PLAIN, NAME_TEXT));
	write_file(directory, "a.json", "{\"class\": \"Zoo\", \"vectorizer\": \"none\", \"properties\": [" NAME_TEXT "]}");
	write_file(directory, "README.md", "no class");
	assert_true(wv_classes_load(directory, &classes, &faults));
	assert_int_equal(classes.n, 2);
	assert_string_equal(classes.items[0].name, "Thing");
	assert_string_equal(wv_classes_find(&classes, "Zoo")->name, "Zoo");
	assert_null(wv_classes_find(&classes, "zoo"));
	wv_classes_release(&classes);

	write_file(directory, "c.json", CLASS(PLAIN, NAME_TEXT));
	write_file(directory, "d.json", "{");
	assert_false(wv_classes_load(directory, &classes, &faults));
	assert_int_equal(classes.n, 0);
	assert_non_null(strstr(faults.data, "class Thing is in "));
	assert_non_null(strstr(faults.data, "d.json:1: not JSON"));
	for (const char *name = "abcd"; *name; name++)
		remove_file(directory, (char[]){ *name, '.', 'j', 's', 'o', 'n', '\0' });
	remove_file(directory, "README.md");
	rmdir(directory);

	strbuf_reset(&faults);
	assert_false(wv_classes_load(directory, &classes, &faults));
	assert_non_null(strstr(faults.data, "No such file or directory; weaviate_classes is"));
	strbuf_release(&faults);
}

/* Those that are installed. */
static void our_own(void **state)
{
	static const char *const directories[] = { PGLANE_CONF "/weaviate", PGLANE_CONF "/weaviate/own-vectors" };

	for (size_t i = 0; i < N_ELEMENTS(directories); i++) {
		struct strbuf faults = STRBUF_INIT;
		struct wv_classes classes;
		if (!wv_classes_load(directories[i], &classes, &faults))
			fail_msg("%s", faults.data);
		assert_int_equal(classes.n, 3);
		wv_classes_release(&classes);
		strbuf_release(&faults);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_class_is_taken),
		cmocka_unit_test(no_json),
		cmocka_unit_test(wrong_classes),
		cmocka_unit_test(wrong_properties),
		cmocka_unit_test(all_faults_are_told_at_once),
		cmocka_unit_test(tenants_on_and_off),
		cmocka_unit_test(directories),
		cmocka_unit_test(our_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
