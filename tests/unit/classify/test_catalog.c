/* SPDX-License-Identifier: ISC */
/* What is known of a database's columns: kept, bounded, found by name, asked by table; and of all databases. */
#include "classify/catalog.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <pthread.h>
#include <regex.h>

#include "base/mem.h"
#include "classify/names.h"

#define COLUMN(schema, table, name, is_vector) { schema, table, name, "vector(3)", is_vector }

static const struct catalog_column shop[] = {
	COLUMN("public", "items", "emb", true),
	COLUMN("public", "notes", "emb", false),
	COLUMN("crm", "items", "emb", true),
	COLUMN("old", "docs", "x", true),
	COLUMN("new", "docs", "x", false),
	COLUMN("public", "Mixed", "TitleVec", true),
	COLUMN("public", "items", "a", true),
};

static const struct catalog_name *find(const struct catalog *catalog, const char *text)
{
	size_t n = strlen(text);
	char *exact = mem_dup(text, n);
	struct pgw_lexer lexer = pgw_lexer_on(exact, n);
	struct pgw_token token = pgw_lex(&lexer);
	const struct catalog_name *name = catalog_name(catalog, &token);

	mem_free(exact);
	return name;
}

static void names_are_found_as_postgresql_would(void **state)
{
	struct catalog *catalog = catalog_new(shop, N_ELEMENTS(shop));

	assert_int_equal(catalog_n_columns(catalog), N_ELEMENTS(shop));
	assert_non_null(find(catalog, "emb"));
	assert_non_null(find(catalog, "EMB"));
	assert_non_null(find(catalog, "\"emb\""));
	assert_null(find(catalog, "\"EMB\""));
	assert_null(find(catalog, "TitleVec"));
	assert_non_null(find(catalog, "\"TitleVec\""));
	assert_null(find(catalog, "\"titlevec\""));
	assert_non_null(find(catalog, "a"));
	assert_null(find(catalog, "b"));
	assert_null(find(catalog, "em\x7f"));
	assert_null(find(catalog, "\"\""));
	assert_null(find(catalog, "embedding_of_a_name_that_is_longer_than_postgresql_ever_keeps_one"));
	assert_int_equal(find(catalog, "emb")->n, 3);
	assert_int_equal(find(catalog, "emb")->n_vectors, 2);
	catalog_unref(&catalog);
	assert_null(catalog);
	catalog_unref(&catalog);
}

static void tables_tell_columns_of_one_name_apart(void **state)
{
	struct catalog *catalog = catalog_new(shop, N_ELEMENTS(shop));
	const struct catalog_name *emb = find(catalog, "emb"), *x = find(catalog, "x");

	assert_int_equal(catalog_ask(catalog, emb, NULL, "items"), CATALOG_VECTOR);
	assert_int_equal(catalog_ask(catalog, emb, "crm", "items"), CATALOG_VECTOR);
	assert_int_equal(catalog_ask(catalog, emb, "new", "items"), CATALOG_UNKNOWN);
	assert_int_equal(catalog_ask(catalog, emb, NULL, "notes"), CATALOG_OTHER);
	assert_int_equal(catalog_ask(catalog, emb, NULL, "docs"), CATALOG_UNKNOWN);
	assert_int_equal(catalog_ask(catalog, emb, NULL, ""), CATALOG_UNKNOWN);
	assert_int_equal(catalog_ask(catalog, emb, NULL, "zzz"), CATALOG_UNKNOWN);
	assert_int_equal(catalog_ask(catalog, x, NULL, "docs"), CATALOG_UNKNOWN);
	assert_int_equal(catalog_ask(catalog, x, "old", "docs"), CATALOG_VECTOR);
	assert_int_equal(catalog_ask(catalog, x, "new", "docs"), CATALOG_OTHER);
	catalog_unref(&catalog);
}

static void what_it_keeps_is_bounded(void **state)
{
	struct catalog_column *many = mem_zalloc(2 * CATALOG_COLUMNS_MAX * sizeof(*many));
	static char names[2 * CATALOG_COLUMNS_MAX][16], long_name[200], long_type[400];
	struct catalog_column odd[4] = {
		COLUMN("public", "t", long_name, true),
		COLUMN("public", long_name, "v", true),
		COLUMN("", "t", "v", true),
		{ "public", "t", "v", long_type, true },
	};
	struct catalog *catalog;

	for (unsigned i = 0; i < 2 * CATALOG_COLUMNS_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "v%u", i);
		many[i] = (struct catalog_column)COLUMN("public", "t", names[i], true);
	}
	catalog = catalog_new(many, 2 * CATALOG_COLUMNS_MAX);
	assert_int_equal(catalog_n_columns(catalog), CATALOG_COLUMNS_MAX);
	for (unsigned i = 0; i < 2 * CATALOG_COLUMNS_MAX; i++)
		assert_int_equal(find(catalog, names[i]) != NULL, i < CATALOG_COLUMNS_MAX);
	catalog_unref(&catalog);
	mem_free(many);

	memset(long_name, 'n', 64);
	memset(long_type, 't', sizeof(long_type) - 1);
	catalog = catalog_new(odd, N_ELEMENTS(odd));
	assert_int_equal(catalog_n_columns(catalog), 1);
	assert_int_equal(strlen(catalog_column(catalog, 0)->type), CATALOG_TYPE_BYTES - 1);
	catalog_unref(&catalog);
	long_name[63] = '\0'; /* the longest there is */
	catalog = catalog_new(odd, 2);
	assert_int_equal(catalog_n_columns(catalog), 2);
	assert_non_null(find(catalog, long_name));
	catalog_unref(&catalog);
}

static void an_empty_one_knows_nothing(void **state)
{
	struct catalog *catalog = catalog_new(NULL, 0);

	assert_int_equal(catalog_n_columns(catalog), 0);
	assert_null(find(catalog, "emb"));
	catalog_unref(&catalog);
}

static void equal_is_what_was_read_the_same(void **state)
{
	struct catalog_column other[N_ELEMENTS(shop)];
	struct catalog *a = catalog_new(shop, N_ELEMENTS(shop)), *b;

	for (unsigned i = 0; i < N_ELEMENTS(shop); i++)
		other[i] = shop[N_ELEMENTS(shop) - 1 - i];
	b = catalog_new(other, N_ELEMENTS(other));
	assert_true(catalog_equal(a, b));
	catalog_unref(&b);
	b = catalog_new(other, N_ELEMENTS(other) - 1);
	assert_false(catalog_equal(a, b));
	catalog_unref(&b);
	other[0].is_vector = false;
	b = catalog_new(other, N_ELEMENTS(other));
	assert_false(catalog_equal(a, b));
	catalog_unref(&b);
	other[0].is_vector = true;
	other[0].type = "vector(4)";
	b = catalog_new(other, N_ELEMENTS(other));
	assert_false(catalog_equal(a, b));
	catalog_unref(&b);
	catalog_unref(&a);
}

/* ---- all databases ---- */

static void databases_are_apart(void **state)
{
	struct catalog *of_shop = catalog_new(shop, N_ELEMENTS(shop)), *empty = catalog_new(NULL, 0);
	const struct catalogs_entry entries[] = {
		{ "shop", of_shop, 5, NULL },
		{ "away", NULL, 0, "connection refused" },
		{ "plain", empty, 7, NULL },
	};
	struct catalogs *catalogs = catalogs_new(entries, N_ELEMENTS(entries)), *again;

	catalog_unref(&of_shop);
	catalog_unref(&empty);
	assert_int_equal(catalogs_n(catalogs), 3);
	assert_string_equal(catalogs_entry(catalogs, 0)->database, "away");
	assert_string_equal(catalogs_find(catalogs, "away")->problem, "connection refused");
	assert_int_equal(catalogs_find(catalogs, "shop")->refreshed_wall_us, 5);
	assert_null(catalogs_find(catalogs, "sho"));
	assert_non_null(catalogs_known(catalogs, "shop"));
	assert_null(catalogs_known(catalogs, "away"));
	assert_null(catalogs_known(catalogs, "plain"));
	assert_null(catalogs_known(catalogs, "other"));
	again = catalogs_ref(catalogs);
	catalogs_unref(&catalogs);
	assert_non_null(find(catalogs_known(again, "shop"), "emb"));
	catalogs_unref(&again);
	assert_int_equal(catalogs_n(NULL), 0);
	assert_null(catalogs_find(NULL, "shop"));
	assert_null(catalogs_known(NULL, "shop"));
	catalogs_unref(&again);
}

#define N_THREADS 4
#define N_TURNS 2000

static void *reads_and_drops(void *arg)
{
	struct catalogs *catalogs = arg;

	for (unsigned i = 0; i < N_TURNS; i++) {
		struct catalogs *mine = catalogs_ref(catalogs);

		MUST(catalogs_known(mine, "shop") != NULL);
		catalogs_unref(&mine);
	}
	catalogs_unref(&catalogs);
	return NULL;
}

/* Each thread has a reference; the last one frees it, whoever that is. */
static void threads_share_it(void **state)
{
	struct catalog *of_shop = catalog_new(shop, N_ELEMENTS(shop));
	const struct catalogs_entry entry = { "shop", of_shop, 1, NULL };
	struct catalogs *catalogs = catalogs_new(&entry, 1);
	pthread_t threads[N_THREADS];

	catalog_unref(&of_shop);
	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reads_and_drops,
			catalogs_ref(catalogs)), 0);
	catalogs_unref(&catalogs);
	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* ---- names that are guessed ---- */

static void the_catalog_is_asked_for_every_guessed_name(void **state)
{
	struct words *words = mem_zalloc_lines(sizeof(*words));
	regex_t guessed;
	unsigned n = 0;

	words_init(words);
	assert_int_equal(regcomp(&guessed, CATALOG_GUESSED, REG_EXTENDED | REG_ICASE | REG_NOSUB), 0);
	for (unsigned i = 0; i < WORD_SLOTS; i++) {
		const struct word_entry *entry = &words->all.entries[i];
		char text[64] = "";

		if (entry->word.column != COLUMN_VECTOR && entry->word.column != COLUMN_VECTOR_WEAK)
			continue;
		memcpy(text, &entry->first, 8);
		memcpy(text + 8, &entry->second, 8);
		if (entry->longer)
			(void)snprintf(text, sizeof(text), "%s", entry->longer);
		if (regexec(&guessed, text, 0, NULL, 0) != 0)
			fail_msg("nobody asks the catalog for %s", text);
		n++;
	}
	assert_true(n > 10);
	regfree(&guessed);
	mem_free(words);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found_as_postgresql_would),
		cmocka_unit_test(tables_tell_columns_of_one_name_apart),
		cmocka_unit_test(what_it_keeps_is_bounded),
		cmocka_unit_test(an_empty_one_knows_nothing),
		cmocka_unit_test(equal_is_what_was_read_the_same),
		cmocka_unit_test(databases_are_apart),
		cmocka_unit_test(threads_share_it),
		cmocka_unit_test(the_catalog_is_asked_for_every_guessed_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
