/* SPDX-License-Identifier: ISC */
#include "config/weaviate.h"

#include "unit/config/config_test.h"

static void off_by_default(void **state)
{
	struct config *config = load_ok("");
	const char *column;

	assert_null(config->weaviate_url);
	assert_null(config->weaviate_key);
	assert_null(config_outbox_database(config));
	assert_null(config_outbox_user(config));
	assert_null(config_find_entity(config, "service_event"));
	assert_int_equal(config_entity_vector(NULL, &column), VECTOR_BY_VECTORIZER);
	assert_null(column);
	assert_int_equal(config_organization(NULL), ORGANIZATION_FILTER);
	assert_true(config->weaviate_timeout_us < config->weaviate_write_timeout_us);
	config_unref(&config);
}

static void sections(void **state)
{
	struct config *config = load_ok("[entity:b]\n[entity:service_event]\ncollection = Events\nvector = column  the vector\n"
					"[entity:a]\nvector=none\nkey_column=nr\n[entity:service_event]\nkey_column=uid\n"
					"[collection:Events]\norganization=tenant\norganization_required=1\n[collection:Alpha]\norganization=none\n");
	const struct config_entity *entity = config_find_entity(config, "service_event");
	const char *column;

	assert_int_equal(config->n_entities, 3);
	assert_string_equal(entity->collection, "Events");
	assert_string_equal(entity->key_column, "uid");
	assert_int_equal(config_entity_vector(entity, &column), VECTOR_FROM_COLUMN);
	assert_string_equal(column, "the vector");
	entity = config_find_entity(config, "a");
	assert_null(entity->collection);
	assert_string_equal(entity->key_column, "nr");
	assert_int_equal(config_entity_vector(entity, &column), VECTOR_NONE);
	assert_int_equal(config_entity_vector(config_find_entity(config, "b"), &column), VECTOR_BY_VECTORIZER);
	assert_string_equal(config_find_entity(config, "b")->key_column, "id");
	assert_int_equal(config_organization(config_find_collection(config, "Events")), ORGANIZATION_TENANT);
	assert_true(config_find_collection(config, "Events")->organization_required);
	assert_int_equal(config_organization(config_find_collection(config, "Alpha")), ORGANIZATION_NONE);
	assert_null(config_find_collection(config, "Beta"));
	config_unref(&config);
}

static void wrong_sections(void **state)
{
	load_bad("[entity:Service]\nvector=none\n", "t.ini:1: [entity:Service]: \"Service\" cannot name an entity type");
	load_bad("[collection:events]\n", "t.ini:1: [collection:events]: \"events\" cannot name a collection");
	load_bad("[collection:]\n", "t.ini:1: [collection:]: \"\" cannot name a collection");
	load_bad("[entity:a]\nvektor=none\n", "t.ini:2: [entity:a] vektor: unknown key; did you mean vector?");
	load_bad("[entity:a]\nvector=embedding\n", "t.ini:2: [entity:a] vector: expected vectorizer, none, or column");
	load_bad("[entity:a]\nvector=column \n", "t.ini:2: [entity:a] vector: expected vectorizer, none, or column");
	load_bad("[entity:a]\nkey_column=\n", "t.ini:2: [entity:a] key_column: this cannot name a column");
	load_bad("[entity:a]\ncollection=my events\n", "t.ini:2: [entity:a] collection: this cannot name a collection");
	load_bad("[collection:A]\norganization=some\n", "t.ini:2: [collection:A] organization: ");
	load_bad("[entities:a]\n", "t.ini:1: [entities:a]: unknown section");
}

static void url_has_one_form(void **state)
{
	struct config *config = load_ok("[pglane]\nweaviate_url = http://127.0.0.1:8080/\n");

	assert_string_equal(config->weaviate_url, "http://127.0.0.1:8080");
	config_unref(&config);
	config = load_ok("[pglane]\nweaviate_url = https://w.example/prefix\n");
	config_unref(&config);
	load_bad("[pglane]\nweaviate_url = 127.0.0.1:8080\n", "t.ini:2: [pglane] weaviate_url: expected http://HOST:PORT");
	load_bad("[pglane]\nweaviate_url = http://:8080\n", "t.ini:2: [pglane] weaviate_url: the host is missing");
	load_bad("[pglane]\nweaviate_url = http://key@host\n", "t.ini:2: [pglane] weaviate_url: a URL is shown on the console");
	load_bad("[pglane]\nweaviate_url = http://host/?a=b\n", "t.ini:2: [pglane] weaviate_url: there is a character");
}

static void keys_of_the_server(void **state)
{
	char *dir = make_dir();
	char *path = write_file(dir, "key", "from-file\nsecond line\n");
	char *bad = write_file(dir, "bad", "has blanks\n");
	char *text = mem_printf("[pglane]\nweaviate_api_key_file = %s\n[databases]\n", path);
	char *ini = write_file(dir, "p.ini", text);
	struct config_problems problems;
	struct config *config = config_load(ini, &problems), *changed;
	char error[256];

	assert_int_equal(problems.n, 0);
	assert_string_equal(config->weaviate_key, "from-file");
	changed = config_with(config, "weaviate_api_key_file", "", error);
	assert_non_null(changed);
	assert_null(changed->weaviate_key);
	config_unref(&changed);
	assert_null(config_with(config, "weaviate_api_key_file", bad, error));
	assert_non_null(strstr(error, "this is no API key"));
	assert_null(config_with(config, "weaviate_api_key", "x", error));
	assert_non_null(strstr(error, "one of the two is enough"));
	config_unref(&config);
	load_bad("[pglane]\nweaviate_api_key_file=/x\nweaviate_api_key=y\n", "t.ini:2: [pglane] weaviate_api_key_file: weaviate_api_key is set, too");
	remove_dir(dir, (const char *const[]){ "key", "bad", "p.ini", NULL });
	mem_free(path);
	mem_free(bad);
	mem_free(text);
	mem_free(ini);
}

static void who_reads_the_outbox(void **state)
{
	struct config *config = load_ok("[pglane]\nmetrics_database=a\nmetrics_user=m\nmetrics_password=s\n[databases]\na=\nb=\n");

	assert_string_equal(config_outbox_database(config), "a");
	assert_string_equal(config_outbox_user(config), "m");
	assert_string_equal(config_outbox_password(config), "s");
	config_unref(&config);
	config = load_ok("[pglane]\nmetrics_database=a\nmetrics_user=m\nmetrics_password=s\noutbox_database=b\n[databases]\na=\nb=\n");
	assert_string_equal(config_outbox_database(config), "b");
	assert_null(config_outbox_user(config));
	assert_null(config_outbox_password(config));
	config_unref(&config);
	config = load_ok("[pglane]\nmetrics_database=a\nmetrics_user=m\nmetrics_password=s\noutbox_user=o\n[databases]\na=\n");
	assert_string_equal(config_outbox_user(config), "o");
	assert_null(config_outbox_password(config));
	config_unref(&config);
	load_bad("[pglane]\noutbox_database=b\n[databases]\na=\n", "t.ini:2: [pglane] outbox_database: \"b\" is no entry of [databases]");
}

static void what_must_fit_together(void **state)
{
	load_bad("[pglane]\nweaviate_timeout=10\nweaviate_write_timeout=10\n",
		"t.ini:2: [pglane] weaviate_timeout: it must be shorter than weaviate_write_timeout");
	load_bad("[pglane]\nweaviate_url=http://h\noutbox_database=a\nbudget=61\n[lane:default]\npermits=1\n[databases]\na=\n",
		"t.ini:3: [pglane] outbox_database: forwarding holds a permit of lane default, which has no other");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(off_by_default),
		cmocka_unit_test(sections),
		cmocka_unit_test(wrong_sections),
		cmocka_unit_test(url_has_one_form),
		cmocka_unit_test(keys_of_the_server),
		cmocka_unit_test(who_reads_the_outbox),
		cmocka_unit_test(what_must_fit_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
