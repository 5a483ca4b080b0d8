/* SPDX-License-Identifier: ISC */
/* The table of statements: bounded, the least recently used first to go, and merged without loss. */
#include "classify/fingerprints.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/random.h"

static struct pgw_hash128 key_of(uint64_t i)
{
	return (struct pgw_hash128){i * 0x9e3779b97f4a7c15, ~i};
}

static struct fingerprint *add(struct fingerprints *table, uint64_t i, const char *sql)
{
	return fingerprints_add(table, key_of(i), key_of(i), "d", "u", pgw_lexer_on(sql, strlen(sql)));
}

static bool has(const struct fingerprints *table, uint64_t i)
{
	return fingerprints_find(table, key_of(i)) != NULL;
}

static void an_entry(void **state)
{
	struct fingerprints table;
	struct fingerprint *entry;

	fingerprints_init(&table);
	fingerprints_limit(&table, 10);
	assert_null(fingerprints_find(&table, key_of(1)));
	assert_null(fingerprints_touch(&table, key_of(1)));
	entry = add(&table, 1, "SELECT 'secret'");
	assert_ptr_equal(fingerprints_touch(&table, key_of(1)), entry);
	assert_string_equal(entry->text, "SELECT ?");
	assert_string_equal(entry->database, "d");
	assert_string_equal(entry->user, "u");
	assert_int_equal(entry->counts.n_calls, 0);
	fingerprints_drop(&table, entry);
	assert_false(has(&table, 1));
	fingerprints_release(&table);
}

static void least_recently_used_goes(void **state)
{
	struct fingerprints table;

	fingerprints_init(&table);
	fingerprints_limit(&table, 3);
	for (uint64_t i = 1; i <= 3; i++)
		(void)add(&table, i, "SELECT");
	assert_non_null(fingerprints_touch(&table, key_of(1)));
	(void)add(&table, 4, "SELECT");
	assert_true(has(&table, 1) && !has(&table, 2) && has(&table, 3) && has(&table, 4));
	(void)fingerprints_find(&table, key_of(3)); /* to look is not to use */
	fingerprints_limit(&table, 2);
	assert_true(has(&table, 1) && !has(&table, 3) && has(&table, 4));
	fingerprints_limit(&table, 0);
	assert_int_equal(table.n, 0);
	assert_null(add(&table, 5, "SELECT"));
	fingerprints_release(&table);
	fingerprints_release(&table);
}

/* Against a plain array in order of use. */
static void random_history(void **state)
{
	struct random random = random_open();
	struct fingerprints table;
	uint64_t order[16];
	unsigned n = 0, max = 8;

	fingerprints_init(&table);
	fingerprints_limit(&table, max);
	for (unsigned turn = 0; turn < 20000; turn++) {
		uint64_t i = random_below(&random, 24);
		unsigned at = 0;

		if (random_below(&random, 500) == 0) {
			max = 1 + (unsigned)random_below(&random, 16);
			fingerprints_limit(&table, max);
			n = MIN_OF(n, max);
		}
		while (at < n && order[at] != i)
			at++;
		assert_int_equal(has(&table, i), at < n);
		if (fingerprints_touch(&table, key_of(i)) == NULL)
			assert_non_null(add(&table, i, "SELECT 1"));
		if (at == n)
			n = MIN_OF(n + 1, max);
		memmove(order + 1, order, MIN_OF(at, n - 1) * sizeof(order[0]));
		order[0] = i;
		assert_int_equal(table.n, n);
	}
	for (unsigned at = 0; at < n; at++)
		assert_true(has(&table, order[at]));
	fingerprints_release(&table);
}

static void bytes_are_bounded(void **state)
{
	static char sql[100000], name[100000];
	struct fingerprints table;

	memset(sql, 'a', sizeof(sql) - 1);
	memset(name, 'n', sizeof(name) - 1);
	fingerprints_init(&table);
	fingerprints_limit(&table, 1000);
	for (uint64_t i = 0; i < 3000; i++)
		(void)fingerprints_add(&table, key_of(i), key_of(i), name, name, pgw_lexer_on(sql, sizeof(sql) - 1));
	assert_int_equal(table.n, 1000);
	assert_true(fingerprints_bytes(&table) < 1000 * 1500); /* what the documentation says of max_fingerprints */
	fingerprints_release(&table);
}

static void names_are_cut_between_characters(void **state)
{
	struct fingerprints table;
	struct fingerprint *entry;
	char name[80];

	memset(name, 'n', sizeof(name));
	memcpy(name + 62, "\xc3\xa9\0", 3);
	fingerprints_init(&table);
	fingerprints_limit(&table, 1);
	entry = fingerprints_add(&table, key_of(1), key_of(1), name, name, pgw_lexer_on("", 0));
	assert_int_equal(strlen(entry->database), 62);
	assert_string_equal(entry->database, entry->user);
	fingerprints_release(&table);
}

static void counts(void **state)
{
	static const uint64_t times_us[] = {0, 999, 1000, 99999, 100000, 9999999, 10000000, UINT64_MAX / 2};
	static const uint64_t expected[N_FINGERPRINT_TIMES] = {2, 1, 1, 1, 1, 2};
	struct fingerprint_counts sum = {0}, twice = {0};

	for (unsigned i = 0; i < N_ELEMENTS(times_us); i++) {
		struct fingerprint_run run = {.took_us = times_us[i], .n_rows = 3, .n_bytes = 5, .hopped = i < 1, .timed_out = i < 2, .failed = i < 3};

		fingerprint_count(&sum, &run);
	}
	assert_memory_equal(sum.times, expected, sizeof(expected));
	assert_int_equal(sum.max_us, UINT64_MAX / 2);
	assert_true(sum.n_calls == 8 && sum.n_rows == 24 && sum.n_bytes == 40 && sum.n_hops == 1 && sum.n_timeouts == 2 && sum.n_errors == 3);
	fingerprint_counts_add(&twice, &sum);
	assert_memory_equal(&twice, &sum, sizeof(sum));
	fingerprint_counts_add(&twice, &sum);
	assert_true(twice.n_calls == 16 && twice.total_us == 2 * sum.total_us && twice.max_us == sum.max_us && twice.times[5] == 4);
}

static void merged(void **state)
{
	struct fingerprints tables[2], all;
	struct fingerprint *entry;

	fingerprints_init(&all);
	for (unsigned i = 0; i < 2; i++) {
		fingerprints_init(&tables[i]);
		fingerprints_limit(&tables[i], 10);
		entry = add(&tables[i], 7, "SELECT 1");
		entry->counts.n_calls = 1 + i;
		entry->used_us = 10 - i;
		entry->class = (uint8_t)(QUERY_TRAINING - i);
		(void)add(&tables[i], 100 + i, "SELECT a");
		TAILQ_FOREACH(entry, &tables[i].used, link)
		fingerprints_merge(&all, entry);
	}
	assert_int_equal(all.n, 3);
	entry = fingerprints_find(&all, key_of(7));
	assert_true(entry->counts.n_calls == 3 && entry->class == QUERY_TRAINING && entry->used_us == 10);
	assert_string_equal(entry->text, "SELECT ?");
	fingerprints_release(&tables[0]);
	fingerprints_release(&tables[1]);
	assert_string_equal(fingerprints_find(&all, key_of(101))->text, "SELECT a");
	fingerprints_release(&all);
}

static void ids(void **state)
{
	char text[FINGERPRINT_ID_BYTES];
	uint64_t id;

	fingerprint_id_text((struct pgw_hash128){1, 0x0123456789abcdef}, text);
	assert_string_equal(text, "0123456789abcdef");
	assert_true(fingerprint_id_parse("0123456789ABCdef", &id) && id == 0x0123456789abcdef);
	assert_false(fingerprint_id_parse("", &id));
	assert_false(fingerprint_id_parse("0123456789abcde", &id));
	assert_false(fingerprint_id_parse("0123456789abcdef0", &id));
	assert_false(fingerprint_id_parse("0x23456789abcdef", &id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry),
		cmocka_unit_test(least_recently_used_goes),
		cmocka_unit_test(random_history),
		cmocka_unit_test(bytes_are_bounded),
		cmocka_unit_test(names_are_cut_between_characters),
		cmocka_unit_test(counts),
		cmocka_unit_test(merged),
		cmocka_unit_test(ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
