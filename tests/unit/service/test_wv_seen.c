/* SPDX-License-Identifier: ISC */
/* A set of ids that is larger than its memory. */
#include "service/wv_seen.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* The n-th id in the order of bytes. */
static void make_id(uint8_t id[WV_SEEN_BYTES], uint32_t n)
{
	memset(id, 0, WV_SEEN_BYTES);
	for (int i = 0; i < 4; i++)
		id[i] = (uint8_t)(n >> (24 - 8 * i));
}

/* Every even number below 2 * n_ids goes in, in a scattered order; then every number is asked for. */
static void evens(uint32_t n_ids, size_t max_bytes)
{
	struct wv_seen *seen = wv_seen_new(max_bytes);
	uint8_t id[WV_SEEN_BYTES];

	for (uint32_t i = 0; i < n_ids; i++) {
		make_id(id, 2 * (uint32_t)((uint64_t)i * 7919 % n_ids));
		assert_int_equal(wv_seen_add(seen, id), 0);
	}
	assert_int_equal(wv_seen_n(seen), n_ids);
	assert_int_equal(wv_seen_sort(seen), 0);
	for (uint32_t i = 0; i < 2 * n_ids + 2; i++) {
		make_id(id, i);
		assert_int_equal(wv_seen_has(seen, id), i % 2 == 0 && i < 2 * n_ids);
	}
	wv_seen_free(&seen);
	assert_null(seen);
}

static void all_in_memory(void **state)
{
	evens(0, 1024);
	evens(1, 1024);
	evens(1000, 1000 * WV_SEEN_BYTES);
}

static void most_in_a_file(void **state)
{
	evens(3, 1);
	evens(1001, 100 * WV_SEEN_BYTES);
	evens(50000, 1000 * WV_SEEN_BYTES); /* runs longer than their buffers */
}

static void the_same_id_twice(void **state)
{
	struct wv_seen *seen = wv_seen_new(2 * WV_SEEN_BYTES);
	uint8_t id[WV_SEEN_BYTES];

	for (int i = 0; i < 5; i++) {
		make_id(id, 7);
		assert_int_equal(wv_seen_add(seen, id), 0);
	}
	assert_int_equal(wv_seen_sort(seen), 0);
	assert_int_equal(wv_seen_has(seen, id), 1);
	make_id(id, 8);
	assert_int_equal(wv_seen_has(seen, id), 0);
	wv_seen_free(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_in_memory),
		cmocka_unit_test(most_in_a_file),
		cmocka_unit_test(the_same_id_twice),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
