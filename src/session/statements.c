/* SPDX-License-Identifier: ISC */
#include "session/statements.h"

#include <pthread.h>
#include <stddef.h>

#include "base/mem.h"
#include "base/rng.h"

/* The keys are hashes already: their low word is the hash value. */
#undef HASH_FUNCTION
#define HASH_FUNCTION(keyptr, keylen, hashv) ((hashv) = *(const unsigned *)(const void *)(keyptr))
#define uthash_malloc(n) mem_alloc(n)
#define uthash_free(p, n) mem_free(p)
#include <uthash.h>

#define FIRST_BUCKETS 256u

/*
 * A server's copies are told apart by hash alone, so nobody may be able to work out a text with the
 * hash of another: it begins with a secret. One for the process: servers move between workers.
 */
static struct pgw_hash128 secret;
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void make_secret(void)
{
	rng_bytes(&secret, sizeof(secret));
}

void statement_table_init(struct statement_table *table)
{
	MUST(pthread_once(&secret_once, make_secret) == 0);
	memset(table, 0, sizeof(*table));
	table->n_buckets = FIRST_BUCKETS;
	table->buckets = mem_zalloc(table->n_buckets * sizeof(struct statement *));
}

void statement_table_release(struct statement_table *table)
{
	MUST(table->n == 0);
	mem_free(table->buckets);
	table->buckets = NULL;
}

void statement_name(struct pgw_hash128 hash, char out[static STATEMENT_NAME_BYTES])
{
	static const char hex[] = "0123456789abcdef";
	unsigned i;

	memcpy(out, "pglane_", 7);
	for (i = 0; i < 16; i++) {
		out[7 + i] = hex[(hash.hi >> (60 - 4 * i)) & 15];
		out[23 + i] = hex[(hash.lo >> (60 - 4 * i)) & 15];
	}
	out[39] = '\0';
}

static struct statement **bucket_of(struct statement_table *table, struct pgw_hash128 hash)
{
	return &table->buckets[hash.lo & (table->n_buckets - 1)];
}

static void grow(struct statement_table *table)
{
	struct statement_table old = *table;
	uint32_t i;

	table->n_buckets *= 2;
	table->buckets = mem_zalloc(table->n_buckets * sizeof(struct statement *));
	for (i = 0; i < old.n_buckets; i++) {
		struct statement *s, *next;

		for (s = old.buckets[i]; s; s = next) {
			struct statement **bucket = bucket_of(table, s->hash);

			next = s->next;
			s->next = *bucket;
			*bucket = s;
		}
	}
	mem_free(old.buckets);
}

static bool is_same(const struct statement *s, const struct pgw_parse *parse, struct pgw_hash128 meaning, bool of_sql)
{
	return s->of_sql == of_sql && s->meaning.lo == meaning.lo && s->meaning.hi == meaning.hi &&
	       s->n_query == parse->n_query_bytes + 1 && s->n_types == parse->n_types &&
	       memcmp(s->text, parse->query, parse->n_query_bytes) == 0 &&
	       (s->n_types == 0 || memcmp(statement_types(s), parse->types, 4u * s->n_types) == 0);
}

static struct statement *intern(struct statement_table *table, const struct pgw_parse *parse,
	struct pgw_hash128 meaning, struct pgw_hash128 hash, bool of_sql)
{
	struct statement **bucket = bucket_of(table, hash), *s;

	for (s = *bucket; s; s = s->next)
		if (s->hash.lo == hash.lo && s->hash.hi == hash.hi && is_same(s, parse, meaning, of_sql)) {
			s->refs++;
			return s;
		}
	s = mem_alloc(sizeof(*s) + parse->n_query_bytes + 1 + 4u * parse->n_types);
	memset(s, 0, sizeof(*s));
	s->hash = hash;
	s->meaning = meaning;
	statement_name(hash, s->name);
	s->refs = 1;
	s->of_sql = of_sql;
	s->n_query = (uint32_t)parse->n_query_bytes + 1;
	s->n_types = (uint32_t)parse->n_types;
	memcpy(s->text, parse->query, parse->n_query_bytes);
	s->text[parse->n_query_bytes] = '\0';
	if (s->n_types)
		memcpy(s->text + s->n_query, parse->types, 4u * s->n_types);
	s->next = *bucket;
	*bucket = s;
	table->n_bytes += statement_bytes(s);
	if (++table->n > table->n_buckets)
		grow(table);
	return s;
}

static struct pgw_hash128 hash_of(struct pgw_hash128 begin, const struct pgw_parse *parse)
{
	return pgw_hash128_more(
		pgw_hash128_more(begin, parse->query, parse->n_query_bytes), parse->types, 4u * parse->n_types);
}

struct statement *statement_intern(
	struct statement_table *table, const struct pgw_parse *parse, struct pgw_hash128 meaning)
{
	return intern(table, parse, meaning, hash_of(pgw_hash128_more(secret, &meaning, sizeof(meaning)), parse), false);
}

struct statement *statement_intern_sql(struct statement_table *table, const struct pgw_parse *parse)
{
	static const struct pgw_hash128 in_types; /* what it means is among its types */

	return intern(table, parse, in_types, pgw_hash128_more(hash_of(secret, parse), "SQL", 3), true);
}

struct statement *statement_meaning(struct statement_table *table,
	const struct statement *statement, struct pgw_hash128 meaning)
{
	struct statement *s = statement_intern(table,
		&(struct pgw_parse){.name = "", .query = statement->text,
			.n_query_bytes = statement->n_query - 1,
			.types = statement_types(statement), .n_types = statement->n_types},
		meaning);

	s->writes |= statement->writes;
	return s;
}

void statement_unref(struct statement_table *table, struct statement **statement)
{
	struct statement *s = *statement, **at;

	*statement = NULL;
	if (s == NULL || --s->refs > 0)
		return;
	for (at = bucket_of(table, s->hash); *at != s; at = &(*at)->next)
		;
	*at = s->next;
	table->n--;
	table->n_bytes -= statement_bytes(s);
	mem_free(s);
}

/* ---- a client's names ---- */

struct client_name {
	UT_hash_handle hh;
	struct pgw_hash128 key; /* of the name */
	struct statement *statement;
	char name[];
};

struct client_names {
	struct client_name *table;
	uint64_t n_bytes;
};

static struct client_name *find_name(const struct client_names *names, const char *name)
{
	struct pgw_hash128 key = pgw_hash128_more(secret, name, strlen(name));
	struct client_name *entry = NULL;

	if (names)
		HASH_FIND(hh, names->table, &key, sizeof(key), entry);
	/* 128 keyed bits do not collide by chance; the name is compared all the same. */
	return entry && strcmp(entry->name, name) == 0 ? entry : NULL;
}

struct statement *client_names_find(const struct client_names *names, const char *name)
{
	struct client_name *entry = find_name(names, name);

	return entry ? entry->statement : NULL;
}

void client_names_add(struct client_names **names, const char *name, struct statement *statement)
{
	size_t n_name = strlen(name) + 1;
	struct client_name *entry = mem_alloc(sizeof(*entry) + n_name);

	MUST(find_name(*names, name) == NULL);
	if (*names == NULL)
		*names = mem_zalloc(sizeof(**names));
	memset(entry, 0, sizeof(*entry));
	memcpy(entry->name, name, n_name);
	entry->key = pgw_hash128_more(secret, name, n_name - 1);
	entry->statement = statement;
	HASH_ADD(hh, (*names)->table, key, sizeof(entry->key), entry);
	(*names)->n_bytes += sizeof(*entry) + n_name + statement_bytes(statement);
}

void client_names_change(struct client_names *names, struct statement_table *table,
	const char *name, struct statement *statement)
{
	struct client_name *entry = find_name(names, name);

	MUST(entry != NULL && statement_bytes(entry->statement) == statement_bytes(statement));
	statement_unref(table, &entry->statement);
	entry->statement = statement;
}

static void drop_entry(
	struct client_names *names, struct statement_table *table, struct client_name *entry)
{
	HASH_DEL(names->table, entry);
	names->n_bytes -=
		sizeof(*entry) + strlen(entry->name) + 1 + statement_bytes(entry->statement);
	statement_unref(table, &entry->statement);
	mem_free(entry);
}

bool client_names_drop(struct client_names **names, struct statement_table *table, const char *name)
{
	struct client_name *entry = find_name(*names, name);

	if (entry == NULL)
		return false;
	drop_entry(*names, table, entry);
	if ((*names)->table == NULL) {
		mem_free(*names);
		*names = NULL;
	}
	return true;
}

struct statement *client_names_take(
	struct client_names **names, struct statement_table *table, const char *name)
{
	struct statement *statement = client_names_find(*names, name);

	if (statement) {
		statement->refs++;
		(void)client_names_drop(names, table, name);
	}
	return statement;
}

const char *client_names_any(const struct client_names *names)
{
	return names && names->table ? names->table->name : NULL;
}

void client_names_clear(struct client_names **names, struct statement_table *table)
{
	struct client_name *entry, *next;

	if (*names == NULL)
		return;
	HASH_ITER(hh, (*names)->table, entry, next)
	drop_entry(*names, table, entry);
	mem_free(*names);
	*names = NULL;
}

uint64_t client_names_bytes(const struct client_names *names)
{
	return names ? names->n_bytes : 0;
}

unsigned client_names_count(const struct client_names *names)
{
	return names ? HASH_COUNT(names->table) : 0;
}

/* ---- a server's copies: uthash keeps insertion order, so the first is the least recently used
 * ---- */

struct server_copy {
	UT_hash_handle hh;
	struct pgw_hash128 hash;
};

static struct server_copy *find_copy(const struct server_copies *copies, struct pgw_hash128 hash)
{
	struct server_copy *copy = NULL;

	HASH_FIND(hh, copies->table, &hash, sizeof(hash), copy);
	return copy;
}

bool server_copies_has(const struct server_copies *copies, struct pgw_hash128 hash)
{
	return find_copy(copies, hash) != NULL;
}

bool server_copies_touch(struct server_copies *copies, struct pgw_hash128 hash)
{
	struct server_copy *copy = find_copy(copies, hash);

	if (copy == NULL)
		return false;
	if (copy->hh.next != NULL) { /* not the newest already */
		HASH_DEL(copies->table, copy);
		HASH_ADD(hh, copies->table, hash, sizeof(copy->hash), copy);
	}
	return true;
}

void server_copies_add(struct server_copies *copies, struct pgw_hash128 hash)
{
	struct server_copy *copy;

	if (server_copies_touch(copies, hash))
		return;
	copy = mem_zalloc(sizeof(*copy));
	copy->hash = hash;
	HASH_ADD(hh, copies->table, hash, sizeof(copy->hash), copy);
}

void server_copies_drop(struct server_copies *copies, struct pgw_hash128 hash)
{
	struct server_copy *copy = find_copy(copies, hash);

	if (copy == NULL)
		return;
	HASH_DEL(copies->table, copy);
	mem_free(copy);
}

bool server_copies_evict(struct server_copies *copies, unsigned max, struct pgw_hash128 *hash_r)
{
	if (HASH_COUNT(copies->table) <= max)
		return false;
	*hash_r = copies->table->hash;
	server_copies_drop(copies, *hash_r);
	return true;
}

unsigned server_copies_count(const struct server_copies *copies)
{
	return HASH_COUNT(copies->table);
}

void server_copies_clear(struct server_copies *copies)
{
	struct server_copy *copy, *next;

	HASH_ITER(hh, copies->table, copy, next)
	{
		HASH_DEL(copies->table, copy);
		mem_free(copy);
	}
}

void server_copies_move(struct server_copies *to, struct server_copies *from)
{
	server_copies_clear(to);
	*to = *from;
	from->table = NULL;
}
