/* SPDX-License-Identifier: ISC */
/*
 * Hits that were found a moment ago, by the request that found them: the text of path and body, in
 * which class, organization, query and limit all are, so that no two searches that differ can share
 * an entry. Bounded by bytes, the least recently used goes first; an entry older than the TTL is
 * none. Pure: the present time comes in. One thread.
 */
#ifndef SERVICE_SEARCH_CACHE_H
#define SERVICE_SEARCH_CACHE_H

#include "base/base.h"

struct search_cache;

struct search_cache_stats {
	uint64_t n_entries, n_bytes, n_hits, n_misses, n_evicted;
};

struct search_cache *search_cache_new(void);
void search_cache_free(struct search_cache **cache);
/* The hits, borrowed until the next call; NULL: none are kept. ttl_us 0: the cache is off. */
const char *search_cache_find(struct search_cache *cache, const char *key, size_t n_key,
	uint64_t ttl_us, uint64_t now_us, uint32_t *n_hits_r);
/* Keeps a copy, in place of an older one. What is larger than max_bytes alone is not kept. */
void search_cache_put(struct search_cache *cache, const char *key, size_t n_key, const char *hits,
	uint32_t n_hits, uint64_t max_bytes, uint64_t now_us);
void search_cache_clear(struct search_cache *cache);
void search_cache_read(const struct search_cache *cache, struct search_cache_stats *stats_r);

#endif
