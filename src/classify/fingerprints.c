/* SPDX-License-Identifier: ISC */
#include "classify/fingerprints.h"

#include "base/mem.h"
#include "base/rng.h"
#include "pgw/printer.h"

#define FIRST_BUCKETS 64u

void fingerprints_init(struct fingerprints *table)
{
	memset(table, 0, sizeof(*table));
	table->secret = rng_u64();
	TAILQ_INIT(&table->used);
}

void fingerprints_release(struct fingerprints *table)
{
	while (!TAILQ_EMPTY(&table->used))
		fingerprints_drop(table, TAILQ_FIRST(&table->used));
	mem_free(table->buckets);
	table->buckets = NULL;
	table->n_buckets = 0;
}

static struct fingerprint **bucket_of(const struct fingerprints *table, struct pgw_hash128 key)
{
	__extension__ unsigned __int128 product =
		(unsigned __int128)(key.lo ^ table->secret) * (key.hi | 1);

	return &table->buckets[((uint64_t)(product >> 64) ^ (uint64_t)product) &
			       (table->n_buckets - 1)];
}

static void resize(struct fingerprints *table, uint32_t n_buckets)
{
	struct fingerprint *entry;

	mem_free(table->buckets);
	table->n_buckets = n_buckets;
	table->buckets = mem_zalloc(n_buckets * sizeof(struct fingerprint *));
	TAILQ_FOREACH(entry, &table->used, link)
	{
		struct fingerprint **bucket = bucket_of(table, entry->key);

		entry->next = *bucket;
		*bucket = entry;
	}
}

struct fingerprint *fingerprints_find(const struct fingerprints *table, struct pgw_hash128 key)
{
	struct fingerprint *entry;

	if (table->n == 0)
		return NULL;
	for (entry = *bucket_of(table, key); entry; entry = entry->next)
		if (entry->key.lo == key.lo && entry->key.hi == key.hi)
			return entry;
	return NULL;
}

struct fingerprint *fingerprints_touch(struct fingerprints *table, struct pgw_hash128 key)
{
	struct fingerprint *entry = fingerprints_find(table, key);

	if (entry && entry != TAILQ_FIRST(&table->used)) {
		TAILQ_REMOVE(&table->used, entry, link);
		TAILQ_INSERT_HEAD(&table->used, entry, link);
	}
	return entry;
}

void fingerprints_drop(struct fingerprints *table, struct fingerprint *entry)
{
	struct fingerprint **at;

	for (at = bucket_of(table, entry->key); *at != entry; at = &(*at)->next)
		;
	*at = entry->next;
	TAILQ_REMOVE(&table->used, entry, link);
	table->n--;
	mem_free(entry);
}

void fingerprints_limit(struct fingerprints *table, uint32_t max)
{
	table->max = max;
	while (table->n > max)
		fingerprints_drop(table, TAILQ_LAST(&table->used, fingerprint_list));
}

/* Up to cap - 1 bytes of it, whole characters. */
static size_t name_length(const char *name, size_t cap)
{
	size_t n = strnlen(name, cap);

	if (n == cap)
		for (n = cap - 1; n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80; n--)
			;
	return n;
}

static void insert(struct fingerprints *table, struct fingerprint *entry)
{
	struct fingerprint **bucket;

	TAILQ_INSERT_HEAD(&table->used, entry, link);
	if (++table->n > table->n_buckets) {
		resize(table, table->n_buckets ? 2 * table->n_buckets : FIRST_BUCKETS);
		return;
	}
	bucket = bucket_of(table, entry->key);
	entry->next = *bucket;
	*bucket = entry;
}

static const char *put_text(char **at, const char *text, size_t n)
{
	char *copy = *at;

	memcpy(copy, text, n);
	copy[n] = '\0';
	*at += n + 1;
	return copy;
}

struct fingerprint *fingerprints_add(struct fingerprints *table, struct pgw_hash128 key,
	struct pgw_hash128 print, const char *database, const char *user, struct pgw_lexer lexer)
{
	char text[FINGERPRINT_TEXT_BYTES], *at;
	size_t n_text, n_database = name_length(database, FINGERPRINT_NAME_BYTES),
		       n_user = name_length(user, FINGERPRINT_NAME_BYTES);
	struct fingerprint *entry;

	MUST(fingerprints_find(table, key) == NULL);
	if (table->max == 0)
		return NULL;
	while (table->n >= table->max)
		fingerprints_drop(table, TAILQ_LAST(&table->used, fingerprint_list));
	n_text = pgw_normalize(lexer, text, sizeof(text));
	entry = mem_alloc(sizeof(*entry) + n_text + n_database + n_user + 3);
	memset(entry, 0, sizeof(*entry));
	entry->key = key;
	entry->print = print;
	at = entry->texts;
	entry->database = put_text(&at, database, n_database);
	entry->user = put_text(&at, user, n_user);
	entry->text = put_text(&at, text, n_text);
	insert(table, entry);
	return entry;
}

void fingerprints_merge(struct fingerprints *table, const struct fingerprint *from)
{
	struct fingerprint *entry = fingerprints_find(table, from->key);
	size_t n_texts = (size_t)(from->text - from->texts) + strlen(from->text) + 1;

	if (entry == NULL) {
		entry = mem_dup(from, sizeof(*from) + n_texts);
		entry->database = entry->texts + (from->database - from->texts);
		entry->user = entry->texts + (from->user - from->texts);
		entry->text = entry->texts + (from->text - from->texts);
		insert(table, entry);
		return;
	}
	fingerprint_counts_add(&entry->counts, &from->counts);
	if (from->used_us < entry->used_us)
		return;
	entry->used_us = from->used_us;
	entry->class = from->class;
	entry->source = from->source;
}

uint64_t fingerprints_bytes(const struct fingerprints *table)
{
	uint64_t n_bytes = table->n_buckets * sizeof(struct fingerprint *);
	const struct fingerprint *entry;

	TAILQ_FOREACH(entry, &table->used, link)
	n_bytes += sizeof(*entry) + strlen(entry->database) + strlen(entry->user) +
		   strlen(entry->text) + 3;
	return n_bytes;
}

/* ---- counts ---- */

static enum fingerprint_time time_of(uint64_t took_us)
{
	static const uint64_t below_us[N_FINGERPRINT_TIMES] = {
#define FINGERPRINT_TIME_BELOW(field, name, below) below,
		FINGERPRINT_TIMES(FINGERPRINT_TIME_BELOW)
#undef FINGERPRINT_TIME_BELOW
	};
	unsigned i = 0;

	while (i < N_FINGERPRINT_TIMES - 1 && took_us >= below_us[i])
		i++;
	return (enum fingerprint_time)i;
}

void fingerprint_count(struct fingerprint_counts *counts, const struct fingerprint_run *run)
{
	counts->n_calls++;
	counts->n_rows += run->n_rows;
	counts->n_bytes += run->n_bytes;
	counts->total_us += run->took_us;
	counts->max_us = MAX_OF(counts->max_us, run->took_us);
	counts->n_hops += run->hopped;
	counts->n_timeouts += run->timed_out;
	counts->n_errors += run->failed;
	counts->times[time_of(run->took_us)]++;
}

void fingerprint_counts_add(struct fingerprint_counts *sum, const struct fingerprint_counts *more)
{
	sum->n_calls += more->n_calls;
	sum->n_rows += more->n_rows;
	sum->n_bytes += more->n_bytes;
	sum->total_us += more->total_us;
	sum->max_us = MAX_OF(sum->max_us, more->max_us);
	sum->n_hops += more->n_hops;
	sum->n_timeouts += more->n_timeouts;
	sum->n_errors += more->n_errors;
	for (unsigned i = 0; i < N_FINGERPRINT_TIMES; i++)
		sum->times[i] += more->times[i];
}

/* ---- ids ---- */

void fingerprint_id_text(struct pgw_hash128 print, char text[static FINGERPRINT_ID_BYTES])
{
	static const char hex[] = "0123456789abcdef";
	uint64_t id = fingerprint_id(print);

	for (unsigned i = 0; i < FINGERPRINT_ID_BYTES - 1; i++)
		text[i] = hex[id >> (60 - 4 * i) & 15];
	text[FINGERPRINT_ID_BYTES - 1] = '\0';
}

bool fingerprint_id_parse(const char *text, uint64_t *id_r)
{
	if (strlen(text) != FINGERPRINT_ID_BYTES - 1 ||
		strspn(text, "0123456789abcdefABCDEF") != FINGERPRINT_ID_BYTES - 1)
		return false;
	*id_r = strtoull(text, NULL, 16);
	return true;
}
