/* SPDX-License-Identifier: ISC */
/* Prepared statements: one copy of a text for all names, names of their own for each client, copies
 * on servers by age. */
#include "session/statements.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "unit/random.h"

static struct statement_table table;

static int table_setup(void **state)
{
	statement_table_init(&table);
	return 0;
}

static int table_teardown(void **state)
{
	assert_int_equal(table.n, 0);
	assert_int_equal(table.n_bytes, 0);
	statement_table_release(&table);
	return 0;
}

static struct statement *intern_typed(
	const char *query, size_t n_query, const void *types, size_t n_types)
{
	struct pgw_parse parse = {.name = "",
		.query = query,
		.n_query_bytes = n_query,
		.types = types,
		.n_types = n_types};

	return statement_intern(&table, &parse, (struct pgw_hash128){0, 0});
}

static struct statement *intern(const char *query)
{
	return intern_typed(query, strlen(query), NULL, 0);
}

static struct pgw_hash128 hash_number(uint64_t number)
{
	return pgw_hash128(&number, sizeof(number), 42);
}

/* ---- names on servers ---- */

static void tell_name(int fd)
{
	char name[STATEMENT_NAME_BYTES];
	struct statement *s;

	statement_table_init(&table);
	s = intern("SELECT 1");
	statement_name(s->hash, name);
	_exit(write(fd, name, sizeof(name)) == (ssize_t)sizeof(name) ? 0 : 1);
}

/*
 * Texts are found on servers by their hash alone. Who could work out a text with the hash of
 * somebody else's statement would have it run in that one's place, so the hash depends on a secret
 * of the process.
 */
static void names_cannot_be_foretold(void **state)
{
	char names[2][STATEMENT_NAME_BYTES];

	for (unsigned i = 0; i < 2; i++) {
		int fds[2], status;
		pid_t child;

		assert_int_equal(pipe(fds), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0)
			tell_name(fds[1]);
		assert_int_equal(
			read(fds[0], names[i], STATEMENT_NAME_BYTES), STATEMENT_NAME_BYTES);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		close(fds[0]);
		close(fds[1]);
	}
	assert_string_not_equal(names[0], names[1]);
}

static void a_name_is_the_hash_in_hex(void **state)
{
	char name[STATEMENT_NAME_BYTES];

	statement_name(
		(struct pgw_hash128){.hi = 0x0123456789abcdefu, .lo = 0xfedcba9876543210u}, name);
	assert_string_equal(name, "pglane_0123456789abcdeffedcba9876543210");
	statement_name((struct pgw_hash128){0, 0}, name);
	assert_string_equal(name, "pglane_00000000000000000000000000000000");
}

/* What PostgreSQL reads into a text at Parse depends on the settings: the same text under others is another statement. */
static void settings_tell_statements_apart(void **state)
{
	struct pgw_hash128 here = {1, 2}, there = {1, 3};
	static const uint8_t types[8] = {0, 0, 0, 23, 0, 0, 0, 25};
	struct statement *plain = intern_typed("SELECT $1", 9, types, 2), *one, *two, *again;
	struct client_names *names = NULL;

	plain->writes = true;
	one = statement_meaning(&table, plain, here);
	two = statement_meaning(&table, one, there);
	again = statement_meaning(&table, two, here);
	assert_ptr_equal(one, again);
	assert_ptr_not_equal(one, two);
	assert_string_not_equal(one->name, two->name);
	assert_string_not_equal(one->name, plain->name);
	assert_string_equal(two->text, "SELECT $1");
	assert_int_equal(two->n_types, 2);
	assert_memory_equal(statement_types(two), types, sizeof(types));
	assert_true(two->writes);

	client_names_add(&names, "s", one);
	client_names_change(names, &table, "s", two);
	assert_ptr_equal(client_names_find(names, "s"), two);
	assert_int_equal(again->refs, 1);
	client_names_clear(&names, &table);
	statement_unref(&table, &again);
	statement_unref(&table, &plain);
}

/* All workers agree: a server's copies were made by any of them. */
static void tables_agree_on_hashes(void **state)
{
	struct statement_table mine = table, other;
	struct statement *a = intern("SELECT 1"), *b;
	struct pgw_hash128 hash = a->hash;

	statement_unref(&table, &a);
	mine = table;
	statement_table_init(&other);
	table = other;
	b = intern("SELECT 1");
	assert_memory_equal(&b->hash, &hash, sizeof(hash));
	statement_unref(&table, &b);
	statement_table_release(&table);
	table = mine;
}

/* ---- interning ---- */

static void equal_statements_are_one(void **state)
{
	static const uint32_t types[] = {23, 25};
	struct statement *a = intern("SELECT $1"), *b = intern("SELECT $1"),
			 *c = intern("SELECT $2");
	struct statement *d = intern_typed("SELECT $1", 9, types, 1),
			 *e = intern_typed("SELECT $1", 9, types, 2),
			 *f = intern_typed("SELECT $1", 9, types + 1, 1),
			 *g = intern_typed("SELECT $1", 9, types, 2);

	assert_ptr_equal(a, b);
	assert_int_equal(a->refs, 2);
	assert_ptr_not_equal(a, c);
	assert_ptr_not_equal(a, d); /* the same text with other types is another statement */
	assert_ptr_not_equal(d, e);
	assert_ptr_not_equal(d, f);
	assert_ptr_equal(e, g);
	assert_int_equal(table.n, 5);
	assert_string_equal(a->text, "SELECT $1");
	assert_int_equal(a->n_query, 10);
	assert_int_equal(a->n_types, 0);
	assert_int_equal(e->n_types, 2);
	assert_memory_equal(statement_types(e), types, sizeof(types));
	assert_int_equal(statement_bytes(e), sizeof(*e) + 10 + 8);
	assert_int_equal(table.n_bytes, statement_bytes(a) + statement_bytes(c) +
						statement_bytes(d) + statement_bytes(e) +
						statement_bytes(f));
	assert_true(a->route.settings == 0);

	statement_unref(&table, &b);
	assert_null(b);
	statement_unref(&table, &b);
	assert_int_equal(table.n, 5);
	statement_unref(&table, &a);
	assert_int_equal(table.n, 4);
	statement_unref(&table, &c);
	statement_unref(&table, &d);
	statement_unref(&table, &e);
	statement_unref(&table, &f);
	statement_unref(&table, &g);
}

/* Where the text ends and the types begin is part of it. */
static void text_and_types_are_not_confused(void **state)
{
	static const char bytes[] = "SELECT 1----";
	struct statement *a = intern_typed(bytes, 12, NULL, 0),
			 *b = intern_typed(bytes, 8, bytes + 8, 1),
			 *c = intern_typed("", 0, bytes, 3);

	assert_int_equal(table.n, 3);
	assert_memory_not_equal(&a->hash, &b->hash, sizeof(a->hash));
	assert_memory_not_equal(&a->hash, &c->hash, sizeof(a->hash));
	assert_memory_not_equal(&b->hash, &c->hash, sizeof(b->hash));
	statement_unref(&table, &a);
	statement_unref(&table, &b);
	statement_unref(&table, &c);
}

static void the_table_grows(void **state)
{
	enum { N = 3000 };
	static struct statement *all[N];
	uint32_t n_first = table.n_buckets;
	char query[32];

	for (unsigned i = 0; i < N; i++) {
		(void)snprintf(query, sizeof(query), "SELECT %u", i);
		all[i] = intern(query);
	}
	assert_int_equal(table.n, N);
	assert_true(table.n_buckets > n_first && table.n_buckets >= N);
	for (unsigned i = 0; i < N; i++) {
		struct statement *again;

		(void)snprintf(query, sizeof(query), "SELECT %u", i);
		again = intern(query);
		assert_ptr_equal(again, all[i]); /* found again after the move */
		statement_unref(&table, &again);
	}
	for (unsigned i = 0; i < N; i++)
		statement_unref(&table, &all[i]);
}

static void what_is_known_of_it_stays_with_it(void **state)
{
	struct statement *a = intern("SELECT 1"), *b;

	a->route.settings = 1;
	a->route.class = 3;
	b = intern("SELECT 1");
	assert_int_equal(b->route.class, 3);
	statement_unref(&table, &a);
	statement_unref(&table, &b);
	a = intern("SELECT 1"); /* forgotten with the last reference */
	assert_true(a->route.settings == 0);
	statement_unref(&table, &a);
}

/* ---- a client's names ---- */

static void names_of_a_client(void **state)
{
	struct client_names *names = NULL;
	struct statement *one = intern("SELECT 1"), *two = intern("SELECT 2");

	assert_null(client_names_find(names, "a"));
	assert_int_equal(client_names_count(names), 0);
	assert_int_equal(client_names_bytes(names), 0);
	assert_false(client_names_drop(&names, &table, "a"));
	client_names_clear(&names, &table);

	client_names_add(&names, "a", one);
	client_names_add(&names, "b", two);
	client_names_add(
		&names, "A", intern("SELECT 1")); /* names have case; a text may have two */
	assert_ptr_equal(client_names_find(names, "a"), one);
	assert_ptr_equal(client_names_find(names, "b"), two);
	assert_ptr_equal(client_names_find(names, "A"), one);
	assert_null(client_names_find(names, "ab"));
	assert_null(client_names_find(names, ""));
	assert_int_equal(client_names_count(names), 3);
	assert_int_equal(one->refs, 2);
	assert_true(client_names_bytes(names) >= 2 * statement_bytes(one) + statement_bytes(two));

	assert_true(client_names_drop(&names, &table, "a"));
	assert_false(client_names_drop(&names, &table, "a"));
	assert_null(client_names_find(names, "a"));
	assert_int_equal(one->refs, 1);

	/* The same name for another text: dropped first. */
	client_names_add(&names, "a", intern("SELECT 3"));
	assert_string_equal(client_names_find(names, "a")->text, "SELECT 3");
	client_names_clear(&names, &table);
	assert_null(names);
	assert_int_equal(table.n, 0);
}

static void the_last_name_frees_the_map(void **state)
{
	struct client_names *names = NULL;

	client_names_add(&names, "a", intern("SELECT 1"));
	assert_non_null(names);
	assert_true(client_names_drop(&names, &table, "a"));
	assert_null(names);
}

static void two_clients_with_one_name(void **state)
{
	struct client_names *mine = NULL, *yours = NULL;

	client_names_add(&mine, "s", intern("SELECT 'mine'"));
	client_names_add(&yours, "s", intern("SELECT 'yours'"));
	assert_string_equal(client_names_find(mine, "s")->text, "SELECT 'mine'");
	assert_string_equal(client_names_find(yours, "s")->text, "SELECT 'yours'");
	client_names_clear(&mine, &table);
	assert_string_equal(client_names_find(yours, "s")->text, "SELECT 'yours'");
	client_names_clear(&yours, &table);
}

/* Random names against a model; what is counted is what is there, and nothing is left in the end.
 */
static void random_names(void **state)
{
	enum { N_NAMES = 300, N_TEXTS = 40 };
	static int text_of[N_NAMES]; /* -1: not there */
	struct random random = random_open();
	struct client_names *names = NULL;
	uint64_t n_empty_bytes = 0;
	unsigned n = 0;

	for (unsigned i = 0; i < N_NAMES; i++)
		text_of[i] = -1;
	for (unsigned step = 0; step < 50000; step++) {
		unsigned i = (unsigned)random_below(&random, N_NAMES);
		char name[16], query[100];
		uint64_t n_before = client_names_bytes(names);

		(void)snprintf(name, sizeof(name), "s%u", i);
		if (text_of[i] < 0) {
			struct statement *s;

			text_of[i] = (int)random_below(&random, N_TEXTS);
			(void)snprintf(
				query, sizeof(query), "SELECT %*d", text_of[i] + 1, text_of[i]);
			s = intern(query);
			client_names_add(&names, name, s);
			assert_true(client_names_bytes(names) >=
				    n_before + statement_bytes(s) + strlen(name));
			n++;
		} else if (random_below(&random, 3)) {
			struct statement *s = client_names_find(names, name);

			(void)snprintf(
				query, sizeof(query), "SELECT %*d", text_of[i] + 1, text_of[i]);
			assert_string_equal(s->text, query);
		} else {
			assert_true(client_names_drop(&names, &table, name));
			assert_true(client_names_bytes(names) < n_before);
			text_of[i] = -1;
			n--;
		}
		assert_int_equal(client_names_count(names), n);
		assert_true(table.n <= N_TEXTS);
	}
	for (unsigned i = 0; i < N_NAMES; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(client_names_drop(&names, &table, name), text_of[i] >= 0);
	}
	assert_int_equal(client_names_bytes(names), n_empty_bytes);
}

/* ---- a server's copies ---- */

static void the_least_recently_used_goes_first(void **state)
{
	struct server_copies copies = {NULL};
	struct pgw_hash128 gone, hash[4];

	for (unsigned i = 0; i < 4; i++)
		hash[i] = hash_number(i);
	assert_false(server_copies_touch(&copies, hash[0]));
	assert_false(server_copies_evict(&copies, 0, &gone));
	for (unsigned i = 0; i < 4; i++)
		server_copies_add(&copies, hash[i]);
	server_copies_add(&copies, hash[0]); /* is there: used again, not twice */
	assert_int_equal(server_copies_count(&copies), 4);
	assert_true(server_copies_touch(&copies, hash[1]));
	assert_true(server_copies_touch(&copies, hash[1]));
	assert_false(server_copies_evict(&copies, 4, &gone));

	assert_true(server_copies_evict(&copies, 3, &gone)); /* 2 3 0 1 */
	assert_memory_equal(&gone, &hash[2], sizeof(gone));
	assert_false(server_copies_evict(&copies, 3, &gone));
	assert_false(server_copies_touch(&copies, hash[2]));
	assert_true(server_copies_evict(&copies, 0, &gone));
	assert_memory_equal(&gone, &hash[3], sizeof(gone));
	assert_true(server_copies_evict(&copies, 0, &gone));
	assert_memory_equal(&gone, &hash[0], sizeof(gone));
	assert_true(server_copies_evict(&copies, 0, &gone));
	assert_memory_equal(&gone, &hash[1], sizeof(gone));
	assert_int_equal(server_copies_count(&copies), 0);
}

static void dropping_copies(void **state)
{
	struct server_copies copies = {NULL};

	server_copies_drop(&copies, hash_number(1));
	server_copies_add(&copies, hash_number(1));
	server_copies_add(&copies, hash_number(2));
	server_copies_drop(&copies, hash_number(1));
	assert_false(server_copies_touch(&copies, hash_number(1)));
	assert_true(server_copies_touch(&copies, hash_number(2)));
	server_copies_clear(&copies);
	assert_int_equal(server_copies_count(&copies), 0);
	server_copies_clear(&copies);
	server_copies_add(&copies, hash_number(1)); /* usable again */
	assert_int_equal(server_copies_count(&copies), 1);
	server_copies_clear(&copies);
}

static void random_copies(void **state)
{
	enum { N_HASHES = 60, CAP = 20 };
	uint64_t used_at[N_HASHES] = {0}; /* 0: not there */
	struct random random = random_open();
	struct server_copies copies = {NULL};
	struct pgw_hash128 gone;
	unsigned n = 0;

	for (uint64_t now = 1; now < 50000; now++) {
		unsigned i = (unsigned)random_below(&random, N_HASHES), oldest = 0;

		if (random_below(&random, 10) == 0) {
			server_copies_drop(&copies, hash_number(i));
			n -= used_at[i] != 0;
			used_at[i] = 0;
		} else if (random_below(&random, 2)) {
			assert_int_equal(
				server_copies_touch(&copies, hash_number(i)), used_at[i] != 0);
			if (used_at[i])
				used_at[i] = now;
		} else {
			server_copies_add(&copies, hash_number(i));
			n += used_at[i] == 0;
			used_at[i] = now;
		}
		assert_int_equal(server_copies_count(&copies), n);
		if (!server_copies_evict(&copies, CAP, &gone)) {
			assert_true(n <= CAP);
			continue;
		}
		while (used_at[oldest] == 0)
			oldest++;
		for (unsigned j = oldest; j < N_HASHES; j++)
			if (used_at[j] && used_at[j] < used_at[oldest])
				oldest = j;
		assert_int_equal(gone.lo, hash_number(oldest).lo);
		used_at[oldest] = 0;
		n--;
	}
	server_copies_clear(&copies);
}

/* A PREPARE of SQL, and a Parse of the same text, are two statements, whatever stands in place of the types. */
static void sql_and_protocol_are_not_confused(void **state)
{
	static const char text[] = "PREPARE a AS SELECT 1";
	const struct pgw_parse parse = {.name = "", .query = text, .n_query_bytes = sizeof(text) - 1},
			       typed = {.name = "", .query = text, .n_query_bytes = sizeof(text) - 1, .types = (const uint8_t *)"SQL", .n_types = 1};
	const struct pgw_hash128 usual = {0, 0};
	struct statement *statements[] = {statement_intern(&table, &parse, usual), statement_intern_sql(&table, &parse), statement_intern(&table, &typed, usual),
		statement_intern_sql(&table, &typed)};
	struct statement *again = statement_intern_sql(&table, &parse);
	unsigned i, j;

	assert_ptr_equal(again, statements[1]);
	statement_unref(&table, &again);
	for (i = 0; i < N_ELEMENTS(statements); i++) {
		assert_int_equal(statements[i]->of_sql, i % 2);
		for (j = 0; j < i; j++)
			assert_memory_not_equal(&statements[i]->hash, &statements[j]->hash, sizeof(statements[i]->hash));
	}
	for (i = 0; i < N_ELEMENTS(statements); i++)
		statement_unref(&table, &statements[i]);
}

int main(void)
{
#define TABLE_TEST(name) cmocka_unit_test_setup_teardown(name, table_setup, table_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_cannot_be_foretold), /* first: no table was made in this
							       process yet */
		cmocka_unit_test(a_name_is_the_hash_in_hex),
		TABLE_TEST(tables_agree_on_hashes),
		TABLE_TEST(equal_statements_are_one),
		TABLE_TEST(text_and_types_are_not_confused),
		TABLE_TEST(sql_and_protocol_are_not_confused),
		TABLE_TEST(settings_tell_statements_apart),
		TABLE_TEST(the_table_grows),
		TABLE_TEST(what_is_known_of_it_stays_with_it),
		TABLE_TEST(names_of_a_client),
		TABLE_TEST(the_last_name_frees_the_map),
		TABLE_TEST(two_clients_with_one_name),
		TABLE_TEST(random_names),
		cmocka_unit_test(the_least_recently_used_goes_first),
		cmocka_unit_test(dropping_copies),
		cmocka_unit_test(random_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
