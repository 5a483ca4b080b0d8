/* SPDX-License-Identifier: ISC */
#include "config/snapshot.h"

#include <stdlib.h>

#include "base/mem.h"
#include "config/schema.h"

static char **copy_texts(char *const *texts, unsigned n)
{
	char **copy = mem_zalloc((n + 1) * sizeof(char *));

	for (unsigned i = 0; i < n; i++)
		copy[i] = mem_strdup(texts[i]);
	return copy;
}

static void free_texts(char **texts, unsigned n)
{
	for (unsigned i = 0; texts && i < n; i++)
		mem_free(texts[i]);
	mem_free(texts);
}

struct config *snapshot_new(bool pgbouncer)
{
	struct config *config = mem_zalloc(sizeof(*config));

	config->refs = 1;
	config->pgbouncer_section = pgbouncer;
	config->urgent_lane = -1;
	config->accepted = mem_zalloc((config_n_rows() + 1) * sizeof(char *));
	config->rules = mem_zalloc(sizeof(char *));
	config->rule_places = mem_zalloc(sizeof(char *));
	schema_set_defaults(SCHEMA_MAIN, config, pgbouncer);
	return config;
}

/* ---- lanes ---- */

void snapshot_release_lanes(struct config *config)
{
	for (unsigned i = 0; i < config->n_lanes; i++) {
		mem_free(config->lanes[i].name);
		schema_release_fields(SCHEMA_LANE, &config->lanes[i]);
	}
	mem_free(config->lanes);
	config->lanes = NULL;
	config->n_lanes = 0;
}

void snapshot_copy_lanes(struct config *to, const struct config *from)
{
	to->budget = from->budget;
	to->urgent_lane = from->urgent_lane;
	to->targets_replica = from->targets_replica;
	memcpy(to->lane_of_class, from->lane_of_class, sizeof(to->lane_of_class));
	to->n_lanes = from->n_lanes;
	to->lanes = mem_zalloc(from->n_lanes * sizeof(from->lanes[0]));
	for (unsigned i = 0; i < from->n_lanes; i++) {
		to->lanes[i].name = mem_strdup(from->lanes[i].name);
		schema_copy_fields(SCHEMA_LANE, &to->lanes[i], &from->lanes[i]);
		to->lanes[i].hop_lane = from->lanes[i].hop_lane;
		to->lanes[i].spill_lane = from->lanes[i].spill_lane;
		to->lanes[i].spill_below = from->lanes[i].spill_below;
	}
}

/* ---- copies ---- */

static void copy_weaviate(struct config *to, const struct config *from)
{
	to->weaviate_key = mem_strdup(from->weaviate_key);
	to->n_entities = from->n_entities;
	to->entities = mem_zalloc(from->n_entities * sizeof(from->entities[0]));
	for (unsigned i = 0; i < from->n_entities; i++) {
		to->entities[i].name = mem_strdup(from->entities[i].name);
		schema_copy_fields(SCHEMA_ENTITY, &to->entities[i], &from->entities[i]);
	}
	to->n_collections = from->n_collections;
	to->collections = mem_zalloc(from->n_collections * sizeof(from->collections[0]));
	for (unsigned i = 0; i < from->n_collections; i++) {
		to->collections[i].name = mem_strdup(from->collections[i].name);
		schema_copy_fields(SCHEMA_COLLECTION, &to->collections[i], &from->collections[i]);
	}
}

static void copy_scopes(struct config *to, const struct config *from)
{
	to->n_databases = from->n_databases;
	to->databases = mem_zalloc(from->n_databases * sizeof(from->databases[0]));
	for (unsigned i = 0; i < from->n_databases; i++) {
		to->databases[i].name = mem_strdup(from->databases[i].name);
		schema_copy_fields(SCHEMA_DATABASE, &to->databases[i], &from->databases[i]);
	}
	to->n_users = from->n_users;
	to->users = mem_zalloc(from->n_users * sizeof(from->users[0]));
	for (unsigned i = 0; i < from->n_users; i++) {
		to->users[i].name = mem_strdup(from->users[i].name);
		schema_copy_fields(SCHEMA_USER, &to->users[i], &from->users[i]);
	}
	to->n_secrets = from->n_secrets;
	to->secrets = mem_zalloc(from->n_secrets * sizeof(from->secrets[0]));
	for (unsigned i = 0; i < from->n_secrets; i++) {
		to->secrets[i].user = mem_strdup(from->secrets[i].user);
		to->secrets[i].secret = mem_strdup(from->secrets[i].secret);
	}
}

struct config *snapshot_copy(const struct config *config)
{
	struct config *copy = mem_zalloc(sizeof(*copy));

	schema_copy_fields(SCHEMA_MAIN, copy, config);
	snapshot_copy_lanes(copy, config);
	copy_scopes(copy, config);
	copy_weaviate(copy, config);
	copy->accepted = copy_texts(config->accepted, config_n_rows());
	copy->rules = copy_texts(config->rules, config->n_rules);
	copy->rule_places = copy_texts(config->rule_places, config->n_rules);
	copy->n_rules = config->n_rules;
	copy->file_name = mem_strdup(config->file_name);
	copy->pgbouncer_section = config->pgbouncer_section;
	copy->refs = 1;
	return copy;
}

/* ---- end ---- */

static void release_database(void *entry)
{
	struct config_database *database = entry;

	mem_free(database->name);
	schema_release_fields(SCHEMA_DATABASE, database);
}

static void release_user(void *entry)
{
	struct config_user *user = entry;

	mem_free(user->name);
	schema_release_fields(SCHEMA_USER, user);
}

static void release_secret(void *entry)
{
	struct config_secret *secret = entry;

	mem_free(secret->user);
	explicit_bzero(secret->secret, strlen(secret->secret));
	mem_free(secret->secret);
}

void snapshot_release_secrets(struct config *config)
{
	for (unsigned i = 0; i < config->n_secrets; i++)
		release_secret(&config->secrets[i]);
	mem_free(config->secrets);
	config->secrets = NULL;
	config->n_secrets = 0;
}

static void release_weaviate(struct config *config)
{
	snapshot_release_weaviate_key(config);
	for (unsigned i = 0; i < config->n_entities; i++) {
		mem_free(config->entities[i].name);
		schema_release_fields(SCHEMA_ENTITY, &config->entities[i]);
	}
	mem_free(config->entities);
	for (unsigned i = 0; i < config->n_collections; i++) {
		mem_free(config->collections[i].name);
		schema_release_fields(SCHEMA_COLLECTION, &config->collections[i]);
	}
	mem_free(config->collections);
}

void snapshot_release_weaviate_key(struct config *config)
{
	if (config->weaviate_key)
		explicit_bzero(config->weaviate_key, strlen(config->weaviate_key));
	mem_free(config->weaviate_key);
	config->weaviate_key = NULL;
}

static void free_snapshot(struct config *config)
{
	release_weaviate(config);
	snapshot_release_lanes(config);
	for (unsigned i = 0; i < config->n_databases; i++)
		release_database(&config->databases[i]);
	mem_free(config->databases);
	for (unsigned i = 0; i < config->n_users; i++)
		release_user(&config->users[i]);
	mem_free(config->users);
	snapshot_release_secrets(config);
	free_texts(config->accepted, config_n_rows());
	free_texts(config->rules, config->n_rules);
	free_texts(config->rule_places, config->n_rules);
	schema_release_fields(SCHEMA_MAIN, config);
	mem_free(config->file_name);
	mem_free(config);
}

struct config *config_ref(struct config *config)
{
	int before = __atomic_fetch_add(&config->refs, 1, __ATOMIC_RELAXED);

	MUST(before > 0);
	return config;
}

void config_unref(struct config **config)
{
	int before;

	if (*config == NULL)
		return;
	before = __atomic_fetch_sub(&(*config)->refs, 1, __ATOMIC_ACQ_REL);
	MUST(before > 0);
	if (before == 1)
		free_snapshot(*config);
	*config = NULL;
}

/* ---- names: every entry of a scope begins with its name ---- */

struct named {
	const char *name;
	size_t index;
};

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->index > y->index) - (x->index < y->index);
}

static const char *name_of(const void *entry)
{
	const char *name;

	memcpy(&name, entry, sizeof(name));
	return name;
}

/*
 * Sorts by name; of several with one name the last stays, the others go to release. Returns how
 * many stay.
 */
static unsigned sort_unique(void *entries, unsigned n, size_t n_bytes, void (*release)(void *entry))
{
	struct named *order = mem_alloc(n * sizeof(*order));
	char *from = entries;
	char *sorted = mem_alloc(n * n_bytes);
	unsigned n_kept = 0;

	for (size_t i = 0; i < n; i++)
		order[i] = (struct named){ name_of(from + i * n_bytes), i };
	if (n)
		qsort(order, n, sizeof(*order), compare_named);
	for (size_t i = 0; i < n; i++) {
		char *entry = from + order[i].index * n_bytes;

		/* Looks ahead only, so what was released before is not compared again. */
		if (i + 1 < n && strcmp(order[i].name, order[i + 1].name) == 0)
			release(entry);
		else
			memcpy(sorted + n_kept++ * n_bytes, entry, n_bytes);
	}
	if (n_kept)
		memcpy(from, sorted, n_kept * n_bytes);
	mem_free(sorted);
	mem_free(order);
	return n_kept;
}

void snapshot_sort_databases(struct config *config)
{
	config->n_databases = sort_unique(config->databases, config->n_databases,
		sizeof(config->databases[0]), release_database);
}

void snapshot_sort_users(struct config *config)
{
	config->n_users =
		sort_unique(config->users, config->n_users, sizeof(config->users[0]), release_user);
}

void snapshot_sort_secrets(struct config *config)
{
	config->n_secrets = sort_unique(
		config->secrets, config->n_secrets, sizeof(config->secrets[0]), release_secret);
}

/* weaviate.c leaves no name twice. */
static void never_released(void *entry)
{
	UNREACHABLE("two sections of one name");
}

void snapshot_sort_entities(struct config *config)
{
	config->n_entities = sort_unique(config->entities, config->n_entities,
		sizeof(config->entities[0]), never_released);
	config->n_collections = sort_unique(config->collections, config->n_collections,
		sizeof(config->collections[0]), never_released);
}

static int compare_name(const void *name, const void *entry)
{
	return strcmp(name, name_of(entry));
}

static const void *find_named(const void *entries, unsigned n, size_t n_bytes, const char *name)
{
	return n ? bsearch(name, entries, n, n_bytes, compare_name) : NULL;
}

const struct config_database *config_find_database(const struct config *config, const char *name)
{
	size_t n_bytes = sizeof(config->databases[0]);
	const struct config_database *found =
		find_named(config->databases, config->n_databases, n_bytes, name);

	return found ? found : find_named(config->databases, config->n_databases, n_bytes, "*");
}

const struct config_user *config_find_user(const struct config *config, const char *name)
{
	size_t n_bytes = sizeof(config->users[0]);
	const struct config_user *found = find_named(config->users, config->n_users, n_bytes, name);

	return found ? found : find_named(config->users, config->n_users, n_bytes, "*");
}

const char *config_find_secret(const struct config *config, const char *user)
{
	const struct config_secret *found =
		find_named(config->secrets, config->n_secrets, sizeof(config->secrets[0]), user);

	return found ? found->secret : NULL;
}

const struct config_entity *config_find_entity(const struct config *config, const char *type)
{
	return find_named(config->entities, config->n_entities, sizeof(config->entities[0]), type);
}

const struct config_collection *config_find_collection(
	const struct config *config, const char *name)
{
	return find_named(
		config->collections, config->n_collections, sizeof(config->collections[0]), name);
}

bool config_list_has(char *const *list, const char *name)
{
	for (; list && *list; list++)
		if (strcmp(*list, name) == 0)
			return true;
	return false;
}

const char **config_lane_names(const struct config *config)
{
	const char **names = mem_zalloc((config->n_lanes + 1) * sizeof(*names));

	for (unsigned i = 0; i < config->n_lanes; i++)
		names[i] = config->lanes[i].urgent ? NULL : config->lanes[i].name;
	return names;
}
