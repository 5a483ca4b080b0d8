/* SPDX-License-Identifier: ISC */
/* Statements over columns that the catalog knows: the column's type decides, not its name. */
#include "classify/classify.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "classify/catalog.h"
#include "classify/features.h"

/*
 * items.v, docs.v and "Docs"."MyCol" are vectors; notes.v is text. embedding is a text in notes and
 * a vector in docs. x is a vector wherever it is; name_vec is never one. location is one in items.
 */
static const struct catalog_column columns[] = {
	{ "public", "items", "v", "vector(3)", true },
	{ "public", "docs", "v", "halfvec(3)", true },
	{ "public", "notes", "v", "text", false },
	{ "public", "Docs", "MyCol", "vector(3)", true },
	{ "public", "docs", "embedding", "vector(3)", true },
	{ "public", "notes", "embedding", "text", false },
	{ "public", "items", "x", "vector(3)", true },
	{ "public", "people", "name_vec", "tsvector", false },
	{ "public", "items", "location", "vector(3)", true },
	{ "public", "places", "location", "geometry", false },
	{ "a", "same", "y", "vector", true },
	{ "b", "same", "y", "cube", false },
};

static struct catalog *catalog;
static struct classifier *classifier;

static struct classify_result judge_with(const struct catalog *known, const char *sql)
{
	struct classify_session session = {
		.user = "app",
		.database = "shop",
		.application_name = "web",
		.catalog = known,
	};
	struct classify_result result;
	size_t n = strlen(sql);
	char *exact = mem_dup(sql, n);
	classify(classifier, &session, exact, n, &result);
	mem_free(exact);
	return result;
}

/* With the catalog, and, where it says otherwise, without. */
static void check(const char *sql, enum query_class with, enum query_class without)
{
	struct classify_result known = judge_with(catalog, sql), guessed = judge_with(NULL, sql);
	if (known.class != with)
		fail_msg("%s (%s), not %s: %s", query_class_name(known.class), known.rule,
			query_class_name(with), sql);
	if (guessed.class != without)
		fail_msg("without a catalog %s (%s), not %s: %s", query_class_name(guessed.class),
			guessed.rule, query_class_name(without), sql);
}

#define LEARNED(sql) check(sql, QUERY_VECTOR, QUERY_DEFAULT)
#define UNLEARNED(sql) check(sql, QUERY_DEFAULT, QUERY_VECTOR)
#define DEFAULT(sql) check(sql, QUERY_DEFAULT, QUERY_DEFAULT)
#define VECTOR(sql) check(sql, QUERY_VECTOR, QUERY_VECTOR)

static void a_name_that_only_vectors_have(void **state)
{
	LEARNED("SELECT id FROM items ORDER BY x <-> $1 LIMIT 5");
	LEARNED("SELECT id FROM items ORDER BY X <#> $1 LIMIT 5");
	LEARNED("SELECT id FROM items ORDER BY $1 <=> x LIMIT 5");
	LEARNED("SELECT id FROM items i ORDER BY i.x <-> $1");
	LEARNED("SELECT id FROM public.items ORDER BY items.x <-> $1");
	LEARNED("SELECT id FROM items ORDER BY x <-> (SELECT x FROM items WHERE id = $1)");
	LEARNED("SELECT id FROM items WHERE $1 <-> (SELECT x FROM items WHERE id = $2) < 0.5");
	LEARNED("SELECT 1 - (x <=> $1) FROM items");
	LEARNED("SELECT id FROM items ORDER BY (x) <-> $1");
	LEARNED("SELECT id FROM items ORDER BY coalesce(x, $2) <-> $1");
	LEARNED("SELECT id FROM items ORDER BY x OPERATOR(public.<->) $1");
	LEARNED("DELETE FROM items WHERE x <-> $1 < 0.1");
	LEARNED("UPDATE items SET n = 1 WHERE x <-> $1 < 0.1");
	LEARNED("SELECT \"x\" <-> ? FROM items");
	LEARNED("SELECT \"MyCol\" <-> $1 FROM \"Docs\"");
	/* also where the tables do not say: a temporary one, a function's rows */
	LEARNED("SELECT id FROM found($1) f ORDER BY f.x <-> $2");
	DEFAULT("SELECT \"X\" <-> $1 FROM items");
	DEFAULT("SELECT mycol FROM \"Docs\" ORDER BY title <-> $1");
	DEFAULT("SELECT x FROM items WHERE id = $1");
	DEFAULT("SELECT id FROM items ORDER BY title <-> $1");
	DEFAULT("SELECT a <-> $1 AS x FROM trips");
	/* unless the statement itself calls something else so */
	DEFAULT("WITH t AS (SELECT title AS x FROM books) SELECT * FROM t ORDER BY x <-> $1");
	DEFAULT("SELECT * FROM (SELECT title AS x FROM books) t ORDER BY t.x <-> $1");
	LEARNED("SELECT * FROM (SELECT x AS x FROM items) t ORDER BY t.x <-> $1");
	LEARNED("SELECT i.x <-> $1 AS x FROM items i");
	LEARNED("SELECT 1 FROM items AS x ORDER BY x.x <-> $1");
}

static void the_table_decides(void **state)
{
	LEARNED("SELECT id FROM items ORDER BY v <-> $1");
	LEARNED("SELECT id FROM docs ORDER BY v <-> $1");
	DEFAULT("SELECT id FROM notes ORDER BY v <-> $1");
	DEFAULT("SELECT id FROM trips ORDER BY v <-> $1");
	/* the qualifier says which */
	LEARNED("SELECT n.id FROM notes n JOIN items i ON i.id = n.id ORDER BY i.v <-> $1");
	LEARNED("SELECT n.id FROM notes AS n JOIN items AS i ON i.id = n.id ORDER BY i.v <-> $1");
	LEARNED("SELECT notes.id FROM notes, items WHERE items.v <-> $1 < 1");
	LEARNED("SELECT 1 FROM notes \"N\" JOIN items \"I\" ON true ORDER BY \"I\".\"v\" <-> $1");
	DEFAULT("SELECT n.id FROM notes n JOIN items i ON i.id = n.id ORDER BY n.v <-> $1");
	DEFAULT("SELECT n.id FROM items i JOIN notes AS n ON i.id = n.id ORDER BY n.v <-> $1");
	DEFAULT("SELECT 1 FROM items \"n\" JOIN notes \"N\" ON true ORDER BY \"N\".v <-> $1");
	/* unqualified beside both: nobody knows */
	DEFAULT("SELECT 1 FROM items NATURAL JOIN notes ORDER BY v <-> $1");
	/* its own query's tables first, then the others' */
	LEARNED("SELECT id FROM items WHERE id IN (SELECT id FROM notes) ORDER BY v <-> $1");
	DEFAULT("SELECT id FROM notes WHERE id IN (SELECT id FROM items) ORDER BY v <-> $1");
	LEARNED("SELECT id FROM items WHERE EXISTS (SELECT 1 FROM trips WHERE v <-> $1 < 1)");
	LEARNED("SELECT id FROM notes n WHERE EXISTS (SELECT 1 FROM items n WHERE n.v <-> $1 < 1)");
	LEARNED("SELECT s.v <-> $1 FROM (SELECT v FROM items) s");
	DEFAULT("SELECT s.v <-> $1 FROM (SELECT v FROM notes) s");
	LEARNED("WITH near AS (SELECT id FROM items ORDER BY v <-> $1 LIMIT 9) SELECT * FROM near");
	DEFAULT("WITH items AS (SELECT * FROM notes) SELECT * FROM items ORDER BY v <-> $1");
	LEARNED("UPDATE items AS i SET n = 1 FROM notes n WHERE i.v <-> $1 < 1");
	DEFAULT("UPDATE items AS i SET n = 1 FROM notes AS n WHERE n.v <-> $1 < 1");
	/* the list comes before the tables */
	LEARNED("SELECT v <-> $1 AS distance FROM items");
	DEFAULT("SELECT v <-> $1 AS distance FROM notes");
	/* schemas */
	LEARNED("SELECT 1 FROM a.same ORDER BY y <-> $1");
	DEFAULT("SELECT 1 FROM b.same ORDER BY y <-> $1");
	DEFAULT("SELECT 1 FROM same ORDER BY y <-> $1");
	DEFAULT("SELECT 1 FROM nowhere.items ORDER BY v <-> $1");
}

static void a_type_beats_the_name(void **state)
{
	VECTOR("SELECT id FROM docs ORDER BY embedding <-> $1");
	UNLEARNED("SELECT id FROM notes ORDER BY embedding <-> $1");
	UNLEARNED("SELECT n.id FROM notes n, docs d ORDER BY n.embedding <-> $1");
	VECTOR("SELECT n.id FROM notes n, docs d ORDER BY d.embedding <-> $1");
	UNLEARNED("SELECT id FROM people ORDER BY name_vec <=> $1");
	UNLEARNED("SELECT id FROM people ORDER BY $1 <=> name_vec");
	UNLEARNED("SELECT id FROM people p, sample s ORDER BY p.name_vec <=> s.query_vec");
	/* a cast, or an operator that nobody else has, says more than the column */
	VECTOR("SELECT id FROM notes ORDER BY embedding::vector <-> $1");
	VECTOR("SELECT id FROM notes ORDER BY embedding <-> '[1,2,3]'");
	VECTOR("SELECT id FROM notes ORDER BY embedding <~> $1");
	/* what the catalog does not know goes by its name */
	VECTOR("SELECT id FROM scratch ORDER BY embedding <-> $1");
	VECTOR("SELECT id FROM scratch ORDER BY title_vec <-> $1");
	VECTOR("SELECT q.embedding <-> d.other_vec FROM q, d");
}

static void places_stay_places(void **state)
{
	DEFAULT("SELECT id FROM places ORDER BY geom <-> ST_Point($1, $2)");
	DEFAULT("SELECT id FROM places ORDER BY location <-> $1");
	DEFAULT("SELECT id FROM places p, items i ORDER BY p.location <-> $1");
	LEARNED("SELECT id FROM items ORDER BY location <-> $1");
	check("SELECT id FROM items WHERE ST_DWithin(geom, $1, 10) ORDER BY x <-> $2",
		QUERY_HYBRID, QUERY_DEFAULT);
	check("SELECT id, x FROM items WHERE ST_DWithin(geom, $1, 10)", QUERY_HYBRID, QUERY_DEFAULT);
	check("SELECT id, embedding FROM notes WHERE ST_DWithin(geom, $1, 10)", QUERY_DEFAULT,
		QUERY_HYBRID);
}

static void columns_count_where_they_are_named(void **state)
{
	check("COPY (SELECT id, x FROM items) TO STDOUT", QUERY_TRAINING, QUERY_DEFAULT);
	check("COPY (SELECT id, v FROM notes) TO STDOUT", QUERY_DEFAULT, QUERY_DEFAULT);
	check("COPY (SELECT id, embedding FROM notes) TO STDOUT", QUERY_DEFAULT, QUERY_TRAINING);
	check("COPY (SELECT id, embedding FROM scratch) TO STDOUT", QUERY_TRAINING, QUERY_TRAINING);
	assert_true(judge_with(catalog, "SELECT x FROM items").features & FEATURE(VECTOR_COLUMN));
	assert_false(judge_with(catalog, "SELECT 1 FROM items x").features & FEATURE(VECTOR_COLUMN));
	assert_false(judge_with(catalog, "SELECT 1 AS x FROM t").features & FEATURE(VECTOR_COLUMN));
	LEARNED("SELECT * FROM match_rows((SELECT x FROM items WHERE id = $1), 5)");
}

/* More columns, tables and operators than are kept: a decision still, and the right one where the
 * name alone tells. */
static void beyond_the_bounds(void **state)
{
	struct strbuf sql = STRBUF_INIT;
	strbuf_adds(&sql, "SELECT 1");
	for (unsigned i = 0; i < 100; i++)
		strbuf_adds(&sql, ", embedding, name_vec");
	strbuf_adds(&sql, " FROM t0");
	for (unsigned i = 0; i < 100; i++)
		strbuf_adds(&sql, ", notes");
	strbuf_adds(&sql, " WHERE true");
	for (unsigned i = 0; i < 100; i++)
		strbuf_adds(&sql, " AND v <-> $1 < 2 AND name_vec <-> $1 < 2");
	check(sql.data, QUERY_DEFAULT, QUERY_VECTOR);
	strbuf_adds(&sql, " AND x <-> $1 < 3");
	check(sql.data, QUERY_VECTOR, QUERY_VECTOR);
	strbuf_release(&sql);
}

static void several_statements(void **state)
{
	LEARNED("SELECT 1 FROM notes; SELECT id FROM items ORDER BY v <-> $1");
	DEFAULT("SELECT 1 FROM items; SELECT id FROM notes ORDER BY v <-> $1");
	DEFAULT("EXPLAIN SELECT id FROM items ORDER BY v <-> $1");
	LEARNED("EXPLAIN ANALYZE SELECT id FROM items ORDER BY v <-> $1");
	LEARNED("PREPARE p AS SELECT id FROM items ORDER BY v <-> $1");
}

static int setup(void **state)
{
	unsigned bad_line;
	char error[256];
	catalog = catalog_new(columns, N_ELEMENTS(columns));
	classifier = classifier_new(NULL, 0, (struct classifier_lanes){0}, &bad_line, error);
	return 0;
}

static int teardown(void **state)
{
	catalog_unref(&catalog);
	classifier_free(&classifier);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_that_only_vectors_have),
		cmocka_unit_test(the_table_decides),
		cmocka_unit_test(a_type_beats_the_name),
		cmocka_unit_test(places_stay_places),
		cmocka_unit_test(columns_count_where_they_are_named),
		cmocka_unit_test(beyond_the_bounds),
		cmocka_unit_test(several_statements),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
