/* SPDX-License-Identifier: ISC */
/* Exact keys, an age, a bound, and the least recently used goes first. */
#include "service/search_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define TTL_US 1000
#define ROOM 100000

static const char *find(struct search_cache *cache, const char *key, uint64_t now_us)
{
	uint32_t n = 0;
	const char *hits = search_cache_find(cache, key, strlen(key), TTL_US, now_us, &n);

	assert_true(hits == NULL || n == 7);
	return hits;
}

static void put(struct search_cache *cache, const char *key, const char *hits, uint64_t max_bytes, uint64_t now_us)
{
	search_cache_put(cache, key, strlen(key), hits, 7, max_bytes, now_us);
}

static void keeps_until_it_is_old(void **state)
{
	struct search_cache *cache = search_cache_new();
	struct search_cache_stats stats;

	(void)state;
	put(cache, "/a{1}", "[1]", ROOM, 100);
	assert_string_equal(find(cache, "/a{1}", 100), "[1]");
	assert_null(find(cache, "/a{1", 100));
	assert_null(find(cache, "/a{1}1", 100));
	put(cache, "/a{1}", "[2]", ROOM, 200);
	assert_string_equal(find(cache, "/a{1}", 1199), "[2]");
	assert_null(find(cache, "/a{1}", 1200));
	search_cache_read(cache, &stats);
	assert_int_equal(stats.n_entries, 0);
	assert_int_equal(stats.n_bytes, 0);
	assert_int_equal(stats.n_hits, 2);
	assert_int_equal(stats.n_misses, 3);
	search_cache_free(&cache);
	assert_null(cache);
}

static void gives_way_by_use(void **state)
{
	struct search_cache *cache = search_cache_new();
	struct search_cache_stats stats;
	uint64_t one;

	(void)state;
	put(cache, "a", "[1]", ROOM, 1);
	search_cache_read(cache, &stats);
	one = stats.n_bytes;
	put(cache, "b", "[2]", 3 * one, 1);
	put(cache, "c", "[3]", 3 * one, 1);
	assert_non_null(find(cache, "a", 2)); /* used: b is the oldest now */
	put(cache, "d", "[4]", 3 * one, 2);
	assert_null(find(cache, "b", 2));
	assert_non_null(find(cache, "a", 2));
	assert_non_null(find(cache, "c", 2));
	assert_non_null(find(cache, "d", 2));
	search_cache_read(cache, &stats);
	assert_int_equal(stats.n_bytes, 3 * one);
	assert_int_equal(stats.n_evicted, 1);
	put(cache, "e", "[555555]", one, 2); /* larger than all there is: not kept, and nobody goes */
	assert_null(find(cache, "e", 2));
	assert_non_null(find(cache, "a", 2));
	search_cache_free(&cache);
}

static void never_grows_beyond_its_bound(void **state)
{
	struct search_cache *cache = search_cache_new();
	struct search_cache_stats stats;
	char key[32];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(key, sizeof(key), "%u", i * 7919 % 500);
		put(cache, key, "[]", 2000, i);
		search_cache_read(cache, &stats);
		assert_true(stats.n_bytes <= 2000);
	}
	search_cache_clear(cache);
	search_cache_read(cache, &stats);
	assert_int_equal(stats.n_entries + stats.n_bytes, 0);
	search_cache_free(&cache);
}

static void may_be_off(void **state)
{
	struct search_cache *cache = search_cache_new();
	struct search_cache_stats stats;
	uint32_t n;

	(void)state;
	put(cache, "a", "[]", ROOM, 1);
	assert_null(search_cache_find(cache, "a", 1, 0, 1, &n));
	search_cache_read(cache, &stats);
	assert_int_equal(stats.n_misses, 0);
	search_cache_free(&cache);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps_until_it_is_old),
		cmocka_unit_test(gives_way_by_use),
		cmocka_unit_test(never_grows_beyond_its_bound),
		cmocka_unit_test(may_be_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
