/* SPDX-License-Identifier: ISC */
#include "session/sql_names.h"

#include "base/mem.h"

#define uthash_malloc(n) mem_alloc(n)
#define uthash_free(p, n) mem_free(p)
#include <uthash.h>

struct sql_name {
	UT_hash_handle hh;
	struct pgw_hash128 key;
	uint8_t state; /* enum sql_name_state */
	bool is_open;  /* not settled */
	char name[SQL_NAME_BYTES];
};

/* uthash keeps the order of insertion, so the first is the least recently used. */
struct sql_names {
	struct sql_name *table;
	unsigned n_open;
	bool own;
};

static struct sql_name *find(const struct sql_names *names, const char *name)
{
	struct sql_name *entry = NULL;

	if (names)
		HASH_FIND_STR(names->table, name, entry);
	return entry;
}

static void add(struct sql_names *names, struct sql_name *entry)
{
	HASH_ADD_STR(names->table, name, entry);
}

static void open_entry(struct sql_names *names, struct sql_name *entry)
{
	names->n_open += !entry->is_open;
	entry->is_open = true;
}

static void drop(struct sql_names *names, struct sql_name *entry)
{
	names->n_open -= entry->is_open;
	HASH_DEL(names->table, entry);
	mem_free(entry);
}

static struct sql_names *make(struct sql_names **names)
{
	if (*names == NULL)
		*names = mem_zalloc(sizeof(**names));
	return *names;
}

static void free_if_empty(struct sql_names **names)
{
	if (*names && (*names)->table == NULL && !(*names)->own) {
		mem_free(*names);
		*names = NULL;
	}
}

enum sql_name_state sql_names_state(const struct sql_names *names, const char *name)
{
	const struct sql_name *entry = find(names, name);

	return entry ? (enum sql_name_state)entry->state : SQL_NAME_NONE;
}

bool sql_names_is(const struct sql_names *names, const char *name, struct pgw_hash128 key)
{
	const struct sql_name *entry = find(names, name);

	return entry && entry->state == SQL_NAME_HAS && entry->key.lo == key.lo && entry->key.hi == key.hi;
}

void sql_names_made(struct sql_names **names, const char *name, struct pgw_hash128 key)
{
	struct sql_name *entry = find(make(names), name);

	if (entry == NULL) {
		MUST(strlen(name) < SQL_NAME_BYTES);
		entry = mem_zalloc(sizeof(*entry));
		(void)snprintf(entry->name, sizeof(entry->name), "%s", name);
		add(*names, entry);
	}
	entry->key = key;
	entry->state = SQL_NAME_HAS;
	open_entry(*names, entry);
	sql_names_touch(*names, name);
}

void sql_names_gone(struct sql_names *names, const char *name)
{
	struct sql_name *entry = find(names, name);

	if (entry == NULL)
		return;
	entry->state = SQL_NAME_GONE;
	open_entry(names, entry);
}

void sql_names_gone_all(struct sql_names *names)
{
	struct sql_name *entry, *next;

	if (names == NULL)
		return;
	HASH_ITER(hh, names->table, entry, next)
	{
		entry->state = SQL_NAME_GONE;
		open_entry(names, entry);
	}
}

void sql_names_touch(struct sql_names *names, const char *name)
{
	struct sql_name *entry = find(names, name);

	if (entry == NULL || entry->hh.next == NULL)
		return;
	HASH_DEL(names->table, entry);
	add(names, entry);
}

void sql_names_settle(struct sql_names **names, bool failed)
{
	struct sql_name *entry, *next;

	if (*names == NULL || (*names)->n_open == 0)
		return;
	HASH_ITER(hh, (*names)->table, entry, next)
	{
		if (!entry->is_open)
			continue;
		entry->is_open = false;
		if (failed)
			entry->state = SQL_NAME_UNKNOWN;
		else if (entry->state == SQL_NAME_GONE)
			drop(*names, entry);
	}
	(*names)->n_open = 0;
	free_if_empty(names);
}

void sql_names_doubt(struct sql_names *names, const char *name)
{
	struct sql_name *entry, *next;

	if (names == NULL)
		return;
	HASH_ITER(hh, names->table, entry, next)
	{
		if (name == NULL || strcmp(entry->name, name) == 0)
			entry->state = SQL_NAME_UNKNOWN;
	}
}

void sql_names_drop(struct sql_names **names, const char *name)
{
	struct sql_name *entry = find(*names, name);

	if (entry == NULL)
		return;
	drop(*names, entry);
	free_if_empty(names);
}

void sql_names_free(struct sql_names **names)
{
	struct sql_name *entry, *next;

	if (*names == NULL)
		return;
	HASH_ITER(hh, (*names)->table, entry, next)
	drop(*names, entry);
	mem_free(*names);
	*names = NULL;
}

const char *sql_names_oldest(const struct sql_names *names, unsigned max)
{
	const struct sql_name *entry, *oldest = NULL;
	unsigned n = 0;

	if (LIKELY(sql_names_count(names) <= max))
		return NULL;
	for (entry = names->table; entry; entry = entry->hh.next) {
		n += entry->state != SQL_NAME_GONE;
		if (oldest == NULL && entry->state != SQL_NAME_GONE)
			oldest = entry;
	}
	return n > max ? oldest->name : NULL;
}

const char *sql_names_next(const struct sql_names *names, const char *name)
{
	const struct sql_name *entry;

	if (names == NULL)
		return NULL;
	entry = name ? find(names, name)->hh.next : names->table;
	return entry ? entry->name : NULL;
}

unsigned sql_names_count(const struct sql_names *names)
{
	return names ? HASH_COUNT(names->table) : 0;
}

void sql_names_set_own(struct sql_names **names, bool own)
{
	if (own || *names)
		make(names)->own = own;
	free_if_empty(names);
}

bool sql_names_own(const struct sql_names *names)
{
	return names && names->own;
}
