/* SPDX-License-Identifier: ISC */
#include "config/weaviate.h"

#include <ctype.h>

#include "base/mem.h"
#include "config/file.h"
#include "config/load.h"
#include "config/snapshot.h"

#define ENTITY_PREFIX "entity:"
#define COLLECTION_PREFIX "collection:"
#define COLUMN_WORD "column "
#define COLUMN_MAX_BYTES 63 /* of a name of PostgreSQL */
#define KEY_MAX_BYTES 4096u

static bool begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool weaviate_has_section(const char *section)
{
	return begins_with(section, ENTITY_PREFIX) || begins_with(section, COLLECTION_PREFIX);
}

/* ---- sections ---- */

/* What SQL can say without quotes: ml_source_TYPE is a view. */
static bool is_entity_name(const char *name)
{
	for (const char *p = name; *p; p++)
		if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '_')
			return false;
	return *name != '\0';
}

static bool is_collection_name(const char *name)
{
	for (const char *p = name; *p; p++)
		if (!isalnum((unsigned char)*p) && *p != '_')
			return false;
	return isupper((unsigned char)*name);
}

static struct config_entity *open_entity(struct config *config, const char *name)
{
	struct config_entity *entity;

	for (unsigned i = 0; i < config->n_entities; i++)
		if (strcmp(config->entities[i].name, name) == 0)
			return &config->entities[i];
	config->entities = mem_realloc(
		config->entities, (config->n_entities + 1) * sizeof(config->entities[0]));
	entity = &config->entities[config->n_entities++];
	*entity = (struct config_entity){ .name = mem_strdup(name) };
	schema_set_defaults(SCHEMA_ENTITY, entity, false);
	return entity;
}

static struct config_collection *open_collection(struct config *config, const char *name)
{
	struct config_collection *collection;

	for (unsigned i = 0; i < config->n_collections; i++)
		if (strcmp(config->collections[i].name, name) == 0)
			return &config->collections[i];
	config->collections = mem_realloc(config->collections,
		(config->n_collections + 1) * sizeof(config->collections[0]));
	collection = &config->collections[config->n_collections++];
	*collection = (struct config_collection){ .name = mem_strdup(name) };
	schema_set_defaults(SCHEMA_COLLECTION, collection, false);
	return collection;
}

static const char *column_of(const char *vector)
{
	return vector && begins_with(vector, COLUMN_WORD)
		? vector + strlen(COLUMN_WORD) + strspn(vector + strlen(COLUMN_WORD), " ")
		: NULL;
}

/* NULL: fine. */
static const char *wrong_value(const char *key, const char *value)
{
	const char *column = column_of(value);

	if (strcmp(key, "collection") == 0 && *value && !is_collection_name(value))
		return "this cannot name a collection; expected letters, digits and _, a capital first";
	if (strcmp(key, "key_column") == 0 && (*value == '\0' || strlen(value) > COLUMN_MAX_BYTES))
		return "this cannot name a column";
	if (strcmp(key, "vector") || strcmp(value, "none") == 0 ||
		strcmp(value, "vectorizer") == 0 ||
		(column && *column && strlen(column) <= COLUMN_MAX_BYTES))
		return NULL;
	return "expected vectorizer, none, or column and its name";
}

static void set_key(enum schema_scope scope, void *object, const struct config_entry *entry,
	const struct config_place *place, struct config_problems *problems)
{
	const struct schema_row *row = schema_find(scope, entry->key);
	const char *wrong = row ? wrong_value(entry->key, entry->value) : NULL;
	struct strbuf why = STRBUF_INIT;
	const char *nearest;

	if (row == NULL) {
		nearest = schema_nearest(scope, entry->key);
		config_problem_add(problems, place, "unknown key; %s%s%s",
			nearest ? "did you mean " : "see conf/KEYS.md for those of this section",
			nearest ? nearest : "", nearest ? "?" : "");
	} else if (wrong) {
		config_problem_add(problems, place, "%s", wrong);
	} else if (!value_set(&row->type, schema_field(row, object), entry->value, &why)) {
		config_problem_add(problems, place, "%s", why.data);
	}
	strbuf_release(&why);
}

static void take_entry(struct config *config, const struct config_entry *entry,
	struct config_problems *problems)
{
	bool is_entity = begins_with(entry->section, ENTITY_PREFIX);
	const char *name = strchr(entry->section, ':') + 1;
	struct config_place place = { entry->file, entry->line, entry->section, entry->key };

	if (!(is_entity ? is_entity_name(name) : is_collection_name(name))) {
		if (entry->kind == ENTRY_SECTION)
			config_problem_add(problems, &place,
				is_entity ? "\"%s\" cannot name an entity type; expected lower-case "
					    "letters, digits and _"
					  : "\"%s\" cannot name a collection; expected letters, "
					    "digits and _, a capital first",
				name);
		return;
	}
	if (is_entity) {
		struct config_entity *entity = open_entity(config, name);

		if (entry->kind == ENTRY_PAIR)
			set_key(SCHEMA_ENTITY, entity, entry, &place, problems);
	} else {
		struct config_collection *collection = open_collection(config, name);

		if (entry->kind == ENTRY_PAIR)
			set_key(SCHEMA_COLLECTION, collection, entry, &place, problems);
	}
}

void weaviate_load(struct config *config, const struct config_entries *entries,
	struct config_problems *problems)
{
	for (size_t i = 0; i < entries->n; i++)
		if (weaviate_has_section(entries->items[i].section))
			take_entry(config, &entries->items[i], problems);
	snapshot_sort_entities(config);
}

/* ---- what follows from keys ---- */

enum entity_vector config_entity_vector(const struct config_entity *entity, const char **column_r)
{
	const char *vector = entity ? entity->vector : NULL;

	*column_r = column_of(vector);
	if (*column_r)
		return VECTOR_FROM_COLUMN;
	return vector && strcmp(vector, "none") == 0 ? VECTOR_NONE : VECTOR_BY_VECTORIZER;
}

enum collection_organization config_organization(const struct config_collection *collection)
{
	return collection ? collection->organization : ORGANIZATION_FILTER;
}

const char *config_weaviate_classes(const struct config *config)
{
	return config->weaviate_classes ? config->weaviate_classes : PGLANE_CLASSES;
}

const char *config_outbox_database(const struct config *config)
{
	return config->outbox_database ? config->outbox_database : config->metrics_database;
}

/* Who writes the metrics is known there only where the two share a database. */
static bool uses_metrics_user(const struct config *config)
{
	return config->outbox_user == NULL && config->metrics_database &&
		strcmp(config_outbox_database(config), config->metrics_database) == 0;
}

const char *config_outbox_user(const struct config *config)
{
	return uses_metrics_user(config) ? config->metrics_user : config->outbox_user;
}

const char *config_outbox_password(const struct config *config)
{
	return config->outbox_password || !uses_metrics_user(config) ? config->outbox_password
								     : config->metrics_password;
}

static bool is_printable(const char *text)
{
	for (; *text; text++)
		if (*text <= ' ' || *text > '~')
			return false;
	return true;
}

static char *read_key(const char *path, const struct config_place *place,
	struct config_problems *problems)
{
	struct strbuf text = STRBUF_INIT;
	int err = file_read(path, &text);
	char *key = NULL;

	if (err)
		config_problem_add(problems, place, "cannot read %s: %s", path, file_error_text(err));
	else
		key = mem_strndup(text.data, strcspn(text.data, "\r\n"));
	explicit_bzero(text.data, text.len);
	strbuf_release(&text);
	return key;
}

/* Into a header goes only what is one word of it. */
static void check_key(const struct config *config, const struct config_place *place,
	struct config_problems *problems)
{
	const char *key = config->weaviate_key;

	if (key && (*key == '\0' || strlen(key) > KEY_MAX_BYTES || !is_printable(key)))
		config_problem_add(problems, place,
			"this is no API key: expected 1 to %u printable characters without blanks",
			KEY_MAX_BYTES);
}

static void trim_url(char *url)
{
	size_t n = url ? strlen(url) : 0;

	while (n > 0 && url[n - 1] == '/')
		url[--n] = '\0';
}

void weaviate_settle(struct config *config, const struct config_entries *entries,
	bool may_read_files, struct config_problems *problems)
{
	const char *path = config->weaviate_api_key_file;
	struct config_place place = load_place_of_key(
		config, entries, path ? "weaviate_api_key_file" : "weaviate_api_key");

	trim_url(config->weaviate_url);
	snapshot_release_weaviate_key(config);
	if (path && config->weaviate_api_key)
		config_problem_add(problems, &place,
			"weaviate_api_key is set, too; one of the two is enough");
	else if (config->weaviate_api_key)
		config->weaviate_key = mem_strdup(config->weaviate_api_key);
	else if (path && may_read_files)
		config->weaviate_key = read_key(path, &place, problems);
	check_key(config, &place, problems);
}

/* ---- checks ---- */

/* SCHEME://HOST[:PORT][/PATH]; NULL: it is. */
static const char *wrong_url(const char *url)
{
	const char *host;
	size_t n;

	if (strncasecmp(url, "http://", 7) == 0)
		host = url + 7;
	else if (strncasecmp(url, "https://", 8) == 0)
		host = url + 8;
	else
		return "expected http://HOST:PORT or https://HOST";
	n = strcspn(host, "/");
	if (n == 0 || *host == ':')
		return "the host is missing; expected http://HOST:PORT or https://HOST";
	if (memchr(host, '@', n))
		return "a URL is shown on the console and may hold no secrets; use weaviate_api_key";
	if (!is_printable(url) || strpbrk(url, "?#\"<>\\^`{|}"))
		return "there is a character in it that has no place in a URL";
	return NULL;
}

static void check_times(const struct config *config, const struct config_entries *entries,
	struct config_problems *problems)
{
	struct config_place place;

	if (config->weaviate_timeout_us < config->weaviate_write_timeout_us)
		return;
	place = load_place_of_key(config, entries, "weaviate_timeout");
	config_problem_add(problems, &place,
		"it must be shorter than weaviate_write_timeout: what has timed out is sent again "
		"only after that");
}

static void check_outbox(const struct config *config, const struct config_entries *entries,
	struct config_problems *problems)
{
	const struct config_lane *lane = &config->lanes[config->lane_of_class[0]];
	struct config_place place = load_place_of_key(config, entries, "outbox_database");

	if (config->outbox_database &&
		config_find_database(config, config->outbox_database) == NULL)
		config_problem_add(problems, &place,
			"\"%s\" is no entry of [databases]; expected the name of one",
			config->outbox_database);
	if (config->weaviate_url && config_outbox_database(config) && lane->permits < 2)
		config_problem_add(problems, &place,
			"forwarding holds a permit of lane %s, which has no other; give the lane more "
			"permits",
			lane->name);
}

void weaviate_check(const struct config *config, const struct config_entries *entries,
	struct config_problems *problems)
{
	const char *wrong = config->weaviate_url ? wrong_url(config->weaviate_url) : NULL;
	struct config_place place = load_place_of_key(config, entries, "weaviate_url");

	if (wrong)
		config_problem_add(problems, &place, "%s", wrong);
	check_times(config, entries, problems);
	if (config->n_lanes > 0)
		check_outbox(config, entries, problems);
}
