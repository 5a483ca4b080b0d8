/* SPDX-License-Identifier: ISC */
#include "classify/catalog.h"

#include "base/mem.h"
#include "classify/names.h"

struct catalog {
	struct catalog_filter filter; /* first: see catalog_name() */
	int refs;		      /* atomic */
	unsigned n_columns, n_names;
	struct catalog_column *columns; /* by name, table, schema */
	struct catalog_name *names;
	uint32_t *slots; /* indices into names, and 1; 0: empty */
	uint32_t mask;	 /* of slots */
};

/* ---- one database ---- */

static bool is_name(const char *text)
{
	size_t n = strlen(text);

	return n > 0 && n < CATALOG_NAME_BYTES;
}

static int compare_columns(const void *a, const void *b)
{
	const struct catalog_column *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	if (order == 0)
		order = strcmp(x->table, y->table);
	return order ? order : strcmp(x->schema, y->schema);
}

static uint64_t tail_of(const char *text, size_t n)
{
	struct pgw_token token = { .kind = PGW_TOK_WORD, .at = text, .len = (uint32_t)n };

	return name_tail(&token);
}

static uint32_t slot_of(const struct catalog *catalog, uint64_t tail, uint32_t n_bytes)
{
	return (uint32_t)((tail + n_bytes) * UINT64_C(0x9e3779b97f4a7c15) >> 32) & catalog->mask;
}

static void add_name(struct catalog *catalog, uint32_t first)
{
	const char *text = catalog->columns[first].name;
	size_t n = strlen(text);
	struct catalog_name *name = &catalog->names[catalog->n_names++];
	uint32_t slot;

	*name = (struct catalog_name){
		.tail = tail_of(text, n), .text = text, .n_bytes = (uint32_t)n, .first = first };
	catalog->filter.lengths |= UINT64_C(1) << n;
	slot = slot_of(catalog, name->tail, name->n_bytes);
	while (catalog->slots[slot] != 0)
		slot = (slot + 1) & catalog->mask;
	catalog->slots[slot] = catalog->n_names;
}

/* The columns are there, sorted. */
static void index_names(struct catalog *catalog)
{
	uint32_t n_slots = 8;

	while (n_slots < 2 * catalog->n_columns)
		n_slots *= 2;
	catalog->mask = n_slots - 1;
	catalog->slots = mem_zalloc(n_slots * sizeof(*catalog->slots));
	catalog->names = mem_zalloc(catalog->n_columns * sizeof(*catalog->names));
	for (uint32_t i = 0; i < catalog->n_columns; i++) {
		const struct catalog_column *column = &catalog->columns[i];
		struct catalog_name *name;

		if (i == 0 || strcmp(column->name, column[-1].name) != 0)
			add_name(catalog, i);
		name = &catalog->names[catalog->n_names - 1];
		name->n++;
		name->n_vectors += column->is_vector;
	}
}

struct catalog *catalog_new(const struct catalog_column *columns, unsigned n)
{
	struct catalog *catalog = mem_zalloc(sizeof(*catalog));

	n = MIN_OF(n, CATALOG_COLUMNS_MAX);
	catalog->refs = 1;
	catalog->columns = mem_zalloc(n * sizeof(*catalog->columns));
	for (unsigned i = 0; i < n; i++) {
		const struct catalog_column *column = &columns[i];

		if (!is_name(column->schema) || !is_name(column->table) || !is_name(column->name))
			continue;
		catalog->columns[catalog->n_columns++] = (struct catalog_column){
			.schema = mem_strdup(column->schema),
			.table = mem_strdup(column->table),
			.name = mem_strdup(column->name),
			.type = mem_strndup(column->type,
				strnlen(column->type, CATALOG_TYPE_BYTES - 1)),
			.is_vector = column->is_vector,
		};
	}
	if (catalog->n_columns > 1)
		qsort(catalog->columns, catalog->n_columns, sizeof(*catalog->columns),
			compare_columns);
	index_names(catalog);
	return catalog;
}

struct catalog *catalog_ref(struct catalog *catalog)
{
	__atomic_add_fetch(&catalog->refs, 1, __ATOMIC_RELAXED);
	return catalog;
}

static void free_text(const char *text)
{
	mem_free((char *)(uintptr_t)text);
}

void catalog_unref(struct catalog **catalog_p)
{
	struct catalog *catalog = *catalog_p;

	*catalog_p = NULL;
	if (catalog == NULL || __atomic_sub_fetch(&catalog->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (unsigned i = 0; i < catalog->n_columns; i++) {
		free_text(catalog->columns[i].schema);
		free_text(catalog->columns[i].table);
		free_text(catalog->columns[i].name);
		free_text(catalog->columns[i].type);
	}
	mem_free(catalog->columns);
	mem_free(catalog->names);
	mem_free(catalog->slots);
	mem_free(catalog);
}

bool catalog_equal(const struct catalog *a, const struct catalog *b)
{
	if (a->n_columns != b->n_columns)
		return false;
	for (unsigned i = 0; i < a->n_columns; i++) {
		const struct catalog_column *x = &a->columns[i], *y = &b->columns[i];

		if (compare_columns(x, y) != 0 || strcmp(x->type, y->type) != 0 ||
			x->is_vector != y->is_vector)
			return false;
	}
	return true;
}

unsigned catalog_n_columns(const struct catalog *catalog)
{
	return catalog->n_columns;
}

const struct catalog_column *catalog_column(const struct catalog *catalog, unsigned i)
{
	MUST(i < catalog->n_columns);
	return &catalog->columns[i];
}

const struct catalog_name *catalog_find_name(
	const struct catalog *catalog, const struct pgw_token *token)
{
	uint32_t n_bytes = token->len - 2u * (token->kind == PGW_TOK_QUOTED_IDENT);
	uint64_t tail = name_tail(token);
	char text[CATALOG_NAME_BYTES];

	for (uint32_t slot = slot_of(catalog, tail, n_bytes); catalog->slots[slot] != 0;
		slot = (slot + 1) & catalog->mask) {
		const struct catalog_name *name = &catalog->names[catalog->slots[slot] - 1];

		/* The tail does not tell _ from DEL, nor the case of a quoted name. */
		if (name->tail == tail && name->n_bytes == n_bytes &&
			pgw_token_ident(token, text, sizeof(text)) == n_bytes &&
			memcmp(text, name->text, n_bytes) == 0)
			return name;
	}
	return NULL;
}

/* The first column of the name that is of that table or a later one. */
static uint32_t first_of_table(
	const struct catalog *catalog, const struct catalog_name *name, const char *table)
{
	uint32_t from = name->first, to = name->first + name->n;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (strcmp(catalog->columns[middle].table, table) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

enum catalog_verdict catalog_ask(const struct catalog *catalog, const struct catalog_name *name,
	const char *schema, const char *table)
{
	uint32_t end = name->first + name->n, n = 0, n_vectors = 0;

	for (uint32_t i = first_of_table(catalog, name, table); i < end; i++) {
		const struct catalog_column *column = &catalog->columns[i];

		if (strcmp(column->table, table) != 0)
			break;
		if (schema != NULL && strcmp(column->schema, schema) != 0)
			continue;
		n++;
		n_vectors += column->is_vector;
	}
	if (n == 0 || (n_vectors != 0 && n_vectors != n))
		return CATALOG_UNKNOWN;
	return n_vectors == n ? CATALOG_VECTOR : CATALOG_OTHER;
}

/* ---- all databases ---- */

struct catalogs {
	int refs; /* atomic */
	unsigned n;
	struct catalogs_entry entries[]; /* by database */
};

static int compare_entries(const void *a, const void *b)
{
	const struct catalogs_entry *x = a, *y = b;

	return strcmp(x->database, y->database);
}

struct catalogs *catalogs_new(const struct catalogs_entry *entries, unsigned n)
{
	struct catalogs *catalogs =
		mem_zalloc(sizeof(*catalogs) + n * sizeof(catalogs->entries[0]));

	catalogs->refs = 1;
	catalogs->n = n;
	for (unsigned i = 0; i < n; i++)
		catalogs->entries[i] = (struct catalogs_entry){
			.database = mem_strdup(entries[i].database),
			.catalog = entries[i].catalog ? catalog_ref(entries[i].catalog) : NULL,
			.refreshed_wall_us = entries[i].refreshed_wall_us,
			.problem = entries[i].problem ? mem_strdup(entries[i].problem) : NULL,
		};
	if (n > 1)
		qsort(catalogs->entries, n, sizeof(catalogs->entries[0]), compare_entries);
	return catalogs;
}

struct catalogs *catalogs_ref(struct catalogs *catalogs)
{
	__atomic_add_fetch(&catalogs->refs, 1, __ATOMIC_RELAXED);
	return catalogs;
}

void catalogs_unref(struct catalogs **catalogs_p)
{
	struct catalogs *catalogs = *catalogs_p;

	*catalogs_p = NULL;
	if (catalogs == NULL || __atomic_sub_fetch(&catalogs->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (unsigned i = 0; i < catalogs->n; i++) {
		free_text(catalogs->entries[i].database);
		free_text(catalogs->entries[i].problem);
		catalog_unref(&catalogs->entries[i].catalog);
	}
	mem_free(catalogs);
}

unsigned catalogs_n(const struct catalogs *catalogs)
{
	return catalogs ? catalogs->n : 0;
}

const struct catalogs_entry *catalogs_entry(const struct catalogs *catalogs, unsigned i)
{
	MUST(i < catalogs->n);
	return &catalogs->entries[i];
}

const struct catalogs_entry *catalogs_find(const struct catalogs *catalogs, const char *database)
{
	struct catalogs_entry key = { .database = database };

	if (catalogs_n(catalogs) == 0)
		return NULL;
	return bsearch(&key, catalogs->entries, catalogs->n, sizeof(key), compare_entries);
}

const struct catalog *catalogs_known(const struct catalogs *catalogs, const char *database)
{
	const struct catalogs_entry *entry = catalogs_find(catalogs, database);

	return entry && entry->catalog && entry->catalog->n_columns > 0 ? entry->catalog : NULL;
}
