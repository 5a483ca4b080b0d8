/* SPDX-License-Identifier: ISC */
#include "service/search_cache.h"

#include <string.h>

#include "base/mem.h"

#define uthash_malloc(n) mem_alloc(n)
#define uthash_free(p, n) mem_free(p)
#include <uthash.h>

struct entry {
	UT_hash_handle hh;
	uint64_t found_us;
	uint32_t n_hits;
	size_t n_key, n_bytes; /* n_bytes: all of it */
	char *hits;	       /* behind the key */
	char key[];
};

struct search_cache {
	struct entry *table; /* uthash keeps insertion order: the least recently used first */
	struct search_cache_stats stats;
};

struct search_cache *search_cache_new(void)
{
	return mem_zalloc(sizeof(struct search_cache));
}

static void drop(struct search_cache *cache, struct entry *entry)
{
	HASH_DEL(cache->table, entry);
	cache->stats.n_entries--;
	cache->stats.n_bytes -= entry->n_bytes;
	mem_free(entry);
}

static struct entry *find(struct search_cache *cache, const char *key, size_t n_key)
{
	struct entry *entry = NULL;

	HASH_FIND(hh, cache->table, key, n_key, entry);
	return entry;
}

const char *search_cache_find(struct search_cache *cache, const char *key, size_t n_key,
	uint64_t ttl_us, uint64_t now_us, uint32_t *n_hits_r)
{
	struct entry *entry;

	if (ttl_us == 0)
		return NULL;
	entry = find(cache, key, n_key);
	if (entry && now_us - entry->found_us >= ttl_us) {
		drop(cache, entry);
		entry = NULL;
	}
	if (entry == NULL) {
		cache->stats.n_misses++;
		return NULL;
	}
	HASH_DEL(cache->table, entry);
	HASH_ADD(hh, cache->table, key, n_key, entry);
	cache->stats.n_hits++;
	*n_hits_r = entry->n_hits;
	return entry->hits;
}

static void evict(struct search_cache *cache, uint64_t max_bytes)
{
	while (cache->stats.n_bytes > max_bytes && cache->table) {
		drop(cache, cache->table);
		cache->stats.n_evicted++;
	}
}

void search_cache_put(struct search_cache *cache, const char *key, size_t n_key, const char *hits,
	uint32_t n_hits, uint64_t max_bytes, uint64_t now_us)
{
	size_t n_text = strlen(hits) + 1, n_bytes = sizeof(struct entry) + n_key + n_text;
	struct entry *entry = find(cache, key, n_key);

	if (entry)
		drop(cache, entry);
	if (n_bytes > max_bytes)
		return;
	evict(cache, max_bytes - n_bytes);
	entry = mem_zalloc(n_bytes);
	entry->found_us = now_us;
	entry->n_hits = n_hits;
	entry->n_key = n_key;
	entry->n_bytes = n_bytes;
	entry->hits = entry->key + n_key;
	memcpy(entry->key, key, n_key);
	memcpy(entry->hits, hits, n_text);
	HASH_ADD(hh, cache->table, key, n_key, entry);
	cache->stats.n_entries++;
	cache->stats.n_bytes += n_bytes;
}

void search_cache_clear(struct search_cache *cache)
{
	while (cache->table)
		drop(cache, cache->table);
}

void search_cache_free(struct search_cache **cache_p)
{
	if (*cache_p == NULL)
		return;
	search_cache_clear(*cache_p);
	mem_free(*cache_p);
	*cache_p = NULL;
}

void search_cache_read(const struct search_cache *cache, struct search_cache_stats *stats_r)
{
	*stats_r = cache->stats;
}
