/* SPDX-License-Identifier: ISC */
/* Rows of the catalog's answer as columns. */
#include "service/catalog_rows.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define N_FIELDS 5

static PGresult *new_result(int n_fields)
{
	static char name[] = "f";
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc fields[N_FIELDS] = { 0 };

	for (int i = 0; i < n_fields; i++)
		fields[i].name = name;
	assert_int_equal(PQsetResultAttrs(result, n_fields, fields), 1);
	return result;
}

static void set(PGresult *result, int row, int field, const char *text)
{
	char copy[128];

	(void)snprintf(copy, sizeof(copy), "%s", text);
	assert_int_equal(PQsetvalue(result, row, field, copy, (int)strlen(copy)), 1);
}

static void add(PGresult *result, const char *name, const char *is_vector)
{
	const char *const texts[N_FIELDS] = { "public", "items", name, "public.vector(3)", is_vector };
	int row = PQntuples(result);

	for (int i = 0; i < N_FIELDS; i++)
		set(result, row, i, texts[i]);
}

static void rows_become_columns(void **state)
{
	PGresult *result = new_result(N_FIELDS);
	const struct catalog_column *column;
	struct catalog *catalog;
	bool is_cut = true;

	add(result, "v", "t");
	add(result, "embedding", "f");
	catalog = catalog_rows_read(result, &is_cut);
	PQclear(result);
	assert_false(is_cut);
	assert_int_equal(catalog_n_columns(catalog), 2);
	column = catalog_column(catalog, 0);
	assert_string_equal(column->name, "embedding");
	assert_false(column->is_vector);
	column = catalog_column(catalog, 1);
	assert_string_equal(column->schema, "public");
	assert_string_equal(column->table, "items");
	assert_string_equal(column->name, "v");
	assert_string_equal(column->type, "public.vector(3)");
	assert_true(column->is_vector);
	catalog_unref(&catalog);
}

static void no_rows_are_nothing(void **state)
{
	PGresult *result = new_result(N_FIELDS);
	bool is_cut = true;
	struct catalog *catalog = catalog_rows_read(result, &is_cut);

	assert_false(is_cut);
	assert_int_equal(catalog_n_columns(catalog), 0);
	catalog_unref(&catalog);
	PQclear(result);
}

static void there_may_be_more_than_are_kept(void **state)
{
	PGresult *result = new_result(N_FIELDS);
	struct catalog *catalog;
	char name[16];
	bool is_cut;

	for (unsigned i = 0; i < CATALOG_COLUMNS_MAX + 1; i++) {
		(void)snprintf(name, sizeof(name), "v%u", i);
		add(result, name, "t");
	}
	catalog = catalog_rows_read(result, &is_cut);
	assert_true(is_cut);
	assert_int_equal(catalog_n_columns(catalog), CATALOG_COLUMNS_MAX);
	catalog_unref(&catalog);
	PQclear(result);
}

/* Not what was asked for: a server that is something else. */
static void another_answer_is_nothing(void **state)
{
	PGresult *result = new_result(1);
	struct catalog *catalog;
	bool is_cut;

	set(result, 0, 0, "1");
	catalog = catalog_rows_read(result, &is_cut);
	assert_int_equal(catalog_n_columns(catalog), 0);
	catalog_unref(&catalog);
	PQclear(result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_become_columns),
		cmocka_unit_test(no_rows_are_nothing),
		cmocka_unit_test(there_may_be_more_than_are_kept),
		cmocka_unit_test(another_answer_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
