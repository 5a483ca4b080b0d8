/* SPDX-License-Identifier: ISC */
/*
 * What single constructs show: for each statement the bits that must be set and those that must
 * not. The corpus says whether classes come out right; this says why.
 */
#include "classify/features.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

struct row {
	const char *sql;
	uint64_t set, clear;
};

static struct words words;

static uint64_t features_of(const char *sql)
{
	size_t n = strlen(sql);
	char *exact = mem_dup(sql, n);
	struct reader reader;
	struct statement statement;
	reader_init(&reader, &words, exact, n, false, NULL);
	assert_true(features_next(&reader, &statement));
	assert_false(features_next(&reader, &statement));
	reader_init(&reader, &words, exact, n, false, NULL);
	assert_true(features_next(&reader, &statement));
	mem_free(exact);
	return statement.features;
}

static void check(const struct row *rows, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		uint64_t features = features_of(rows[i].sql);
		for (unsigned bit = 0; bit < N_FEATURES; bit++) {
			if (rows[i].set >> bit & 1 && !(features >> bit & 1))
				fail_msg("%s: %s is not set", rows[i].sql, feature_name(bit));
			if (rows[i].clear >> bit & 1 && features >> bit & 1)
				fail_msg("%s: %s is set", rows[i].sql, feature_name(bit));
		}
	}
}
#define CHECK(rows) check(rows, N_ELEMENTS(rows))
#define F(bit) FEATURE(bit)

static void test_distances(void **state)
{
	static const struct row rows[] = {
		{"SELECT a <-> b FROM t", 0, F(VECTOR_DISTANCE) | F(SPATIAL)},
		{"SELECT a <-> b::vector FROM t", F(VECTOR_DISTANCE), F(SPATIAL)},
		{"SELECT a::public.vector(3) <-> b FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT CAST(a AS vector(3)) <-> b FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT vector '[1]' <-> b FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT a <-> '[1,2]' FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT a <-> E'[1,2]' FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT a <-> '[(1,2),(3,4)]' FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT a <-> '(1,2)' FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT a <-> '[' FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT a <-> '' FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT a <#> '{1:2}/3' FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT '[1,2]' <=> a FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT (t.embedding)::vector <=> $1 FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT (title_vec) <=> $1 FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT 2 * (title_vec <=> $1) FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT $1 <=> title_vec FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT title_vec + 1, a <=> $1 FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT a <=> $1, title_vec FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT a <=> $1 AND title_vec FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT encoding <=> $1 FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT encoding <=>? FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT a FROM t WHERE data @? '$.a'", 0, F(FULL_TEXT) | F(SPATIAL)},
		{"SELECT encoding <=> b FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT embedding <=> (SELECT embedding FROM u WHERE geom = $1) FROM t",
			F(VECTOR_DISTANCE), 0},
		{"SELECT embedding <-> to_tsquery('a') FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT embedding OPERATOR(x.<=>) $1 FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT g OPERATOR(x.<->) ST_Point(1,2) FROM t", F(SPATIAL), F(VECTOR_DISTANCE)},
		{"SELECT name <-> $1::text FROM t", 0, F(VECTOR_DISTANCE) | F(SPATIAL)},
		{"SELECT geom <-> $1 FROM t", F(SPATIAL), F(VECTOR_DISTANCE)},
		{"SELECT geom <-> $1::geometry FROM t", F(SPATIAL), F(VECTOR_DISTANCE)},
		{"SELECT embedding <-> ST_Point(1,2) FROM t", F(SPATIAL), F(VECTOR_DISTANCE)},
		{"SELECT ST_Point(1,2) <-> '[1,2]' FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT position <-> '[1,2]' FROM t", F(VECTOR_DISTANCE), F(SPATIAL)},
		{"SELECT a <+> b FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT a <% b, a %> b, a <<-> b, a <->> b FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT a.v <-> b.v FROM a, (SELECT $1::vector AS v) b", F(VECTOR_DISTANCE), 0},
		{"SELECT a.v <=> $1 FROM doc_embeddings a", F(VECTOR_DISTANCE), 0},
		{"SELECT cosine_distance(a, b) FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT cosine_distance FROM t", 0, F(VECTOR_DISTANCE)},
		{"SELECT embedding <=> ? FROM t", F(VECTOR_DISTANCE), 0},
		{"SELECT encoding <=> :q FROM t", F(VECTOR_DISTANCE), 0},
	};
	CHECK(rows);
}

static void test_places_and_texts(void **state)
{
	static const struct row rows[] = {
		{"SELECT ST_AsText(geom), ST_X(geom) FROM t", 0, F(SPATIAL)},
		{"SELECT 1 FROM t WHERE postgis.ST_DWithin(a, b, 1)", F(SPATIAL), 0},
		{"SELECT 1 FROM t WHERE geom && $1", F(SPATIAL), 0},
		{"SELECT 1 FROM t WHERE location && ARRAY['a']", 0, F(SPATIAL)},
		{"SELECT 1 FROM t WHERE a && ST_MakeEnvelope(1,2,3,4)", F(SPATIAL), 0},
		{"SELECT 1 FROM t WHERE location @> '{\"a\":1}'", 0, F(SPATIAL)},
		{"SELECT 1 FROM t WHERE point(a, b) <@ $1", F(SPATIAL), 0},
		{"SELECT 1 FROM t WHERE a @@ $1", F(FULL_TEXT), 0},
		{"SELECT 1 FROM t WHERE a @@ '$.b > 1'", 0, F(FULL_TEXT)},
		{"SELECT 1 FROM t WHERE a @@ $1::jsonpath", 0, F(FULL_TEXT)},
		{"SELECT 1 FROM t WHERE metadata @@ $1", 0, F(FULL_TEXT)},
		{"SELECT 1 FROM t WHERE a @@@ 'b'", F(FULL_TEXT), 0},
		{"SELECT ts_rank(a, b) FROM t", F(FULL_TEXT), 0},
		{"SELECT paradedb.score(id) FROM t", F(FULL_TEXT), 0},
		{"SELECT bm25_score FROM t", F(FULL_TEXT), 0},
	};
	CHECK(rows);
}

static void test_tables(void **state)
{
	static const struct row rows[] = {
		{"SELECT * FROM a, ml_predictions", F(PREDICTIONS), 0},
		{"SELECT * FROM (a JOIN ml_predictions p ON p.x = a.x)", F(PREDICTIONS) | F(JOIN),
			0},
		{"SELECT * FROM (a CROSS JOIN b), ml_predictions", F(PREDICTIONS), 0},
		{"SELECT * FROM ONLY public.ml_predictions", F(PREDICTIONS), 0},
		{"SELECT * FROM \"ml_predictions\"", F(PREDICTIONS), 0},
		{"SELECT * FROM a AS ml_predictions", 0, F(PREDICTIONS)},
		{"SELECT ml_predictions.x FROM a", 0, F(PREDICTIONS)},
		{"SELECT EXTRACT(day FROM ml_predictions) FROM a", 0, F(PREDICTIONS)},
		{"SELECT 1 FROM a WHERE b IS DISTINCT FROM ml_predictions", 0, F(PREDICTIONS)},
		{"SELECT TRIM(BOTH FROM ml_predictions) FROM a", 0, F(PREDICTIONS)},
		{"WITH ml_predictions AS (SELECT 1) SELECT * FROM ml_predictions", 0,
			F(PREDICTIONS)},
		{"WITH a AS (SELECT 1), ml_predictions (x) AS (SELECT 2) TABLE ml_predictions", 0,
			F(PREDICTIONS)},
		{"WITH ml_predictions AS (SELECT 1) SELECT * FROM public.ml_predictions",
			F(PREDICTIONS), 0},
		{"TABLE ml_predictions", F(PREDICTIONS), 0},
		{"UPDATE ml_predictions SET a = 1", F(WRITE), F(PREDICTIONS)},
		{"UPDATE a SET b = 1 FROM ml_predictions p", F(WRITE) | F(PREDICTIONS), 0},
		{"DELETE FROM ml_predictions", F(WRITE), F(PREDICTIONS)},
		{"DELETE FROM a USING ml_predictions p", F(WRITE) | F(PREDICTIONS), 0},
		{"DELETE FROM a WHERE b IN (SELECT c FROM ml_predictions)", F(PREDICTIONS), 0},
		{"MERGE INTO a USING ml_predictions p ON true WHEN MATCHED THEN DELETE",
			F(WRITE) | F(PREDICTIONS), 0},
		{"INSERT INTO ml_predictions VALUES (1)", F(WRITE) | F(PREDICTION_INSERT),
			F(PREDICTIONS)},
		{"INSERT INTO a SELECT * FROM ml_predictions", F(WRITE) | F(PREDICTIONS),
			F(PREDICTION_INSERT)},
		{"INSERT INTO a WITH b AS (SELECT * FROM ml_predictions) SELECT * FROM b",
			F(WRITE) | F(PREDICTIONS), 0},
		{"SELECT * FROM a FOR UPDATE OF ml_predictions", 0, F(WRITE) | F(PREDICTIONS)},
		{"INSERT INTO a VALUES (1) ON CONFLICT DO UPDATE SET b = 1", F(WRITE), 0},
		{"SELECT * FROM feature_store.daily", F(FEATURE_SET), 0},
		{"SELECT * FROM ad_impressions", F(EVENTS), 0},
		{"SELECT * FROM features", 0, F(FEATURE_SET)},
		{"SELECT entity_id FROM features", F(FEATURE_SET), 0},
		{"SELECT * FROM user_features", F(FEATURE_SET), 0},
		{"SELECT feature FROM user_features", 0, F(FEATURE_SET)},
		{"SELECT * FROM user_features WHERE organization_id = $1", F(SCOPE_KEY),
			F(FEATURE_SET)},
		{"SELECT * FROM ml_features WHERE organization_id = $1", F(FEATURE_SET), 0},
	};
	CHECK(rows);
}

/* user_features is a model's inputs or what each user has paid for: what stands beside it says
 * which. */
static void test_feature_sets(void **state)
{
#define SET F(FEATURE_SET)
	static const struct row rows[] = {
		/* nothing but the name: all of it, where no ORM wrote it */
		{"SELECT * FROM user_features", SET, 0},
		{"TABLE user_features", SET, 0},
		{"SELECT * FROM \"user_features\"", 0, SET},
		{"SELECT \"user_features\".* FROM \"user_features\"", 0, SET},
		{"SELECT * FROM user_features WHERE supported_by", 0, SET},
		{"SELECT * FROM user_features ORDER BY id", 0, SET},
		{"SELECT * FROM user_features LIMIT $1", 0, SET},
		{"SELECT * FROM user_features LIMIT ALL", SET, 0},
		{"SELECT f.*, u.x FROM user_features f JOIN u ON u.id = f.user_id", 0, SET},
		{"SELECT user_id, seats FROM user_features", 0, SET},
		/* what only a set has beats what anything has */
		{"SELECT user_id, x FROM user_features WHERE snapshot_date = $1", SET, 0},
		{"SELECT features, enabled FROM user_features", SET, 0},
		{"SELECT feature_name, feature_value, as_of FROM user_features", SET, 0},
		{"SELECT x, computed_at FROM user_features", SET, 0},
		{"SELECT x, enabled, computed_at FROM user_features", 0, SET},
		{"SELECT user_id, split, x FROM user_features", SET, 0},
		{"SELECT user_id, split, granted FROM user_features", 0, SET},
		/* a table of features, of which these users have some */
		{"SELECT f.x, u.computed_at FROM user_features u JOIN features f ON true", 0, SET},
		{"SELECT x AS features FROM user_features WHERE feature = 'a'", 0, SET},
		{"SELECT x AS features FROM user_features", SET, 0},
		/* labels */
		{"SELECT x, is_fraud FROM user_features", SET, 0},
		{"SELECT x, label FROM user_features", 0, SET},
		{"SELECT x AS label FROM user_features", 0, SET},
		{"SELECT f.*, c.x AS label FROM user_features f JOIN c ON true", SET, 0},
		{"SELECT f.x, l.y FROM user_features f JOIN churn_labels l ON true", SET, 0},
		/* from one time to another */
		{"SELECT * FROM user_features WHERE created_at >= $1 AND created_at < $2", SET, 0},
		{"SELECT x FROM user_features WHERE updated_at BETWEEN $1 AND $2", SET, 0},
		{"SELECT * FROM user_features WHERE created_at > $1", 0, SET},
		{"SELECT * FROM user_features WHERE created_at >= $1 AND updated_at < $2", 0, SET},
		{"SELECT * FROM user_features WHERE trial_ends_at BETWEEN $1 AND $2", 0, SET},
		{"SELECT * FROM \"user_features\" WHERE created_at BETWEEN $1 AND $2", 0, SET},
		/* computed */
		{"SELECT user_id, spend_30d FROM user_features", SET, 0},
		{"SELECT user_id, avg_x, y_ratio FROM user_features", SET, 0},
		{"SELECT user_id, avg_x FROM user_features WHERE avg_x > 1", 0, SET},
		{"SELECT user_id, spend_30d, quota FROM user_features", 0, SET},
		{"SELECT user_id, $$spend_30d$$ FROM user_features -- spend_30d", 0, SET},
		/* bulk */
		{"COPY user_features TO STDOUT", SET, 0},
		{"COPY user_features (user_id, x) TO STDOUT", SET, 0},
		{"COPY user_features (user_id, feature_id) TO STDOUT", F(COPY_TO), SET},
		{"DECLARE c CURSOR FOR SELECT user_id, x FROM user_features", SET, 0},
		{"DECLARE c CURSOR FOR SELECT feature_id FROM user_features", 0, SET},
		/* with a key */
		{"SELECT seats FROM user_features WHERE user_id = $1", SET, 0},
		{"SELECT feature_key FROM user_features WHERE user_id = $1", F(ENTITY_KEY), SET},
		{"SELECT feature_name FROM user_features WHERE user_id = $1", 0, SET},
		{"SELECT 1 FROM user_features WHERE feature_key = $1", 0, F(ENTITY_KEY) | SET},
		/* features_maybe */
		{"SELECT entity_id FROM acl_features", SET, 0},
		{"SELECT entity_id, feature FROM acl_features", 0, SET},
		{"SELECT entity_id, name FROM acl_features", 0, SET},
	};
#undef SET
	CHECK(rows);
}

static void test_calendars(void **state)
{
	static const struct row rows[] = {
		{"SELECT id, title FROM events", F(EVENTS), 0},
		{"SELECT id, starts_at FROM events", 0, F(EVENTS)},
		{"SELECT * FROM events WHERE venue_id = 1", 0, F(EVENTS)},
		{"COPY events (id, kind) TO STDOUT", F(EVENTS), 0},
		{"COPY events (id, starts_at) TO STDOUT", 0, F(EVENTS)},
		{"SELECT x AS fold FROM events", F(SAMPLE), 0},
		{"SELECT fold FROM events", 0, F(SAMPLE)},
		{"DECLARE c CURSOR FOR SELECT * FROM events", F(CURSOR), 0},
		{"DECLARE \"_django_curs_1_sync_2\" CURSOR FOR SELECT * FROM events", F(EVENTS),
			F(CURSOR)},
		{"SELECT 1 FROM a JOIN b ON b.ts < a.ts WHERE is_fraud LIMIT 5", 0, F(FEW_ROWS)},
		{"SELECT is_fraud FROM a LIMIT 5", F(LABEL_COLUMN) | F(FEW_ROWS), 0},
	};
	CHECK(rows);
}

#define NONE_OUT (F(AGGREGATE) | F(FEW_ROWS))

static void test_rows_out(void **state)
{
	static const struct row rows[] = {
		{"SELECT * FROM ml_features", 0, NONE_OUT},
		{"SELECT count(*) FROM ml_features", F(AGGREGATE), 0},
		{"SELECT count(*) OVER (), x FROM ml_features", 0, NONE_OUT},
		{"SELECT count(*) FILTER (WHERE a) OVER (), x FROM ml_features", 0, NONE_OUT},
		{"SELECT count(*) FILTER (WHERE a) FROM ml_features", F(AGGREGATE), 0},
		{"SELECT x FROM ml_features ORDER BY count(*)", 0, NONE_OUT},
		{"SELECT x FROM ml_features GROUP BY x", F(AGGREGATE), 0},
		{"SELECT DISTINCT x FROM ml_features", F(AGGREGATE), 0},
		{"SELECT DISTINCT ON (y) x FROM ml_features", 0, NONE_OUT},
		{"SELECT json_agg(f), count(*) FROM ml_features f", 0, NONE_OUT},
		{"SELECT count(*) FROM (SELECT * FROM ml_features) t", F(AGGREGATE), 0},
		{"WITH a AS (SELECT * FROM ml_features) SELECT count(*) FROM a", F(AGGREGATE), 0},
		{"SELECT * FROM a WHERE EXISTS (SELECT 1 FROM ml_features)", F(AGGREGATE), 0},
		{"SELECT * FROM a WHERE b IN (SELECT c FROM ml_features)", F(AGGREGATE), 0},
		{"SELECT * FROM a WHERE b IN (SELECT c FROM ml_vector_metadata)",
			F(VECTOR_METADATA), NONE_OUT},
		{"SELECT x FROM ml_features WHERE t = (SELECT max(t) FROM ml_features)", 0,
			NONE_OUT},
		{"SELECT * FROM ml_features WHERE a LIMIT 100", F(FEW_ROWS), 0},
		{"SELECT * FROM ml_features WHERE a LIMIT 101", 0, NONE_OUT},
		{"SELECT * FROM ml_features LIMIT 2000", F(FEW_ROWS), 0},
		{"SELECT * FROM ml_features LIMIT 2001", 0, NONE_OUT},
		{"SELECT * FROM ml_features LIMIT 99999999999999999999999", 0, NONE_OUT},
		{"SELECT * FROM ml_features LIMIT 1e9", 0, NONE_OUT},
		{"SELECT * FROM ml_features LIMIT ALL", 0, NONE_OUT},
		{"SELECT * FROM ml_features LIMIT $1", 0, NONE_OUT},
		{"SELECT * FROM ml_features FETCH FIRST 5 ROWS ONLY", F(FEW_ROWS), 0},
		{"SELECT * FROM ml_features FETCH NEXT ROW ONLY", F(FEW_ROWS) | F(MODEL_KEY), 0},
		{"SELECT * FROM a, LATERAL (SELECT * FROM ml_features LIMIT 1) f", F(LATERAL),
			NONE_OUT},
		{"COPY (SELECT user_id, count(*) FROM events GROUP BY user_id) TO STDOUT",
			F(COPY_TO), NONE_OUT},
		{"COPY (SELECT day, count(*) FROM events GROUP BY day) TO STDOUT",
			F(COPY_TO) | F(AGGREGATE), 0},
		{"SELECT id, created_at FROM ml_features", F(KEYS_ONLY), 0},
		{"SELECT id, x FROM ml_features", 0, F(KEYS_ONLY)},
		{"SELECT f.* FROM ml_features f", 0, F(KEYS_ONLY)},
		{"SELECT * FROM ml_features", 0, F(KEYS_ONLY)},
		{"TABLE ml_features", 0, F(KEYS_ONLY)},
	};
	CHECK(rows);
}

static void test_keys(void **state)
{
	static const struct row rows[] = {
		{"SELECT 1 FROM t WHERE user_id = $1", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE t.user_id = 'x'", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE user_id::text = $1", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE user_id = CAST($1 AS uuid)", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE user_id = ANY ($1)", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE user_id = ANY (ARRAY[1,2])", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE user_id IN (1,2)", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE \"userId\" = $1", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE user_id=?", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE user_id = :id", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE (kind, user_id) = ('a', $1)", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE (kind, user_id) IN (('a', $1))", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE user_id = (SELECT id FROM u)", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE user_id IN (SELECT id FROM u)", 0, F(ENTITY_KEY)},
		{"SELECT 1 FROM t WHERE user_id IN (SELECT unnest($1))", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE user_id NOT IN (1,2)", 0, F(ENTITY_KEY)},
		{"SELECT 1 FROM t WHERE user_id > $1", 0, F(ENTITY_KEY)},
		{"SELECT 1 FROM t WHERE user_id <> $1", 0, F(ENTITY_KEY)},
		{"SELECT 1 FROM t JOIN u ON t.user_id = u.user_id", 0, F(ENTITY_KEY)},
		{"SELECT 1 FROM t JOIN u ON t.user_id = u.user_id AND u.user_id = 5", F(ENTITY_KEY),
			0},
		{"SELECT user_id = 5 FROM t", 0, F(ENTITY_KEY)},
		{"UPDATE t SET user_id = 5", 0, F(ENTITY_KEY)},
		{"SELECT 1 FROM t JOIN (VALUES ($1)) AS k(id) ON k.id = t.id", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM unnest($1) k JOIN t ON t.id = k", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE id = $1", F(ROW_KEY), F(ENTITY_KEY)},
		{"SELECT 1 FROM t WHERE t.id = $1", F(ROW_KEY), F(ENTITY_KEY)},
		{"SELECT 1 FROM u JOIN t ON t.user_id = u.id WHERE u.id = $1", F(ENTITY_KEY), 0},
		{"SELECT 1 FROM t WHERE tenant_id = $1", F(SCOPE_KEY), F(ENTITY_KEY)},
		{"SELECT 1 FROM models WHERE name = $1 AND stage = 'Production'",
			F(MODEL_KEY) | F(PRODUCTION), 0},
		{"SELECT 1 FROM models WHERE stage = 'archived'", 0, F(MODEL_KEY) | F(PRODUCTION)},
		{"SELECT 1 FROM models WHERE stage = $1", F(PRODUCTION), 0},
		{"SELECT 1 FROM models WHERE stage IN ('production', 'staging')", 0, F(PRODUCTION)},
		{"SELECT 1 FROM models WHERE is_active", F(PRODUCTION), 0},
		{"SELECT 1 FROM models WHERE NOT is_active", 0, F(PRODUCTION)},
	};
	CHECK(rows);
}

static void test_times_and_columns(void **state)
{
	static const struct row rows[] = {
		{"SELECT 1 FROM a JOIN b ON b.ts <= a.event_time", F(TIME_JOIN), F(LABEL_TIME)},
		{"SELECT 1 FROM a JOIN b ON a.event_time > b.ts", F(TIME_JOIN), 0},
		{"SELECT 1 FROM a JOIN b ON b.ts < a.label_ts", F(TIME_JOIN) | F(LABEL_TIME), 0},
		{"SELECT 1 FROM a JOIN b ON b.ts BETWEEN a.ts - interval '1 day' AND a.ts",
			F(TIME_JOIN), 0},
		{"SELECT 1 FROM a WHERE a.created_at <= a.updated_at", 0, F(TIME_JOIN)},
		{"SELECT 1 FROM a JOIN b ON b.size <= a.size", 0, F(TIME_JOIN)},
		{"SELECT 1 FROM a WHERE a.ts <= now() AND b.ts", 0, F(TIME_JOIN)},
		{"SELECT 1 FROM a JOIN b ON b.ts = a.ts", 0, F(TIME_JOIN)},
		{"SELECT x AS label FROM a", F(LABEL_COLUMN), 0},
		{"SELECT x AS churn_label FROM a", F(LABEL_COLUMN), 0},
		{"SELECT x FROM a WHERE label = 1", 0, F(LABEL_COLUMN)},
		{"SELECT id AS value, x AS label FROM a", 0, F(LABEL_COLUMN)},
		{"SELECT input_features, actual_outcome FROM a", F(OUTCOME_COLUMN), 0},
		{"SELECT actual_outcome FROM a", 0, F(OUTCOME_COLUMN)},
		{"SELECT 1 FROM a TABLESAMPLE SYSTEM (1)", F(SAMPLE), 0},
		{"INSERT INTO predictions (user_id, match_id) VALUES (1, 2)", 0,
			F(PREDICTION_INSERT)},
	};
	CHECK(rows);
}

static void test_heads(void **state)
{
	static const struct row rows[] = {
		{"EXPLAIN SELECT 1", F(EXPLAIN), 0},
		{"EXPLAIN ANALYZE SELECT 1", 0, F(EXPLAIN)},
		{"EXPLAIN ANALYSE VERBOSE SELECT 1", 0, F(EXPLAIN)},
		{"EXPLAIN VERBOSE SELECT 1", F(EXPLAIN), 0},
		{"EXPLAIN (ANALYZE) SELECT 1", 0, F(EXPLAIN)},
		{"EXPLAIN (ANALYZE, BUFFERS off) SELECT 1", 0, F(EXPLAIN)},
		{"EXPLAIN (ANALYZE off, BUFFERS) SELECT 1", F(EXPLAIN), 0},
		{"EXPLAIN (ANALYZE 'false') SELECT 1", F(EXPLAIN), 0},
		{"EXPLAIN (ANALYZE 0) SELECT 1", F(EXPLAIN), 0},
		{"EXPLAIN (SELECT embedding <=> $1 FROM t)", F(EXPLAIN) | F(VECTOR_DISTANCE), 0},
		{"EXPLAIN ANALYZE CREATE TABLE a AS TABLE ml_features",
			F(CREATE_AS) | F(FEATURE_SET), F(SCHEMA)},
		{"COPY a TO STDOUT", F(COPY_TO) | F(COPY_TABLE), F(COPY_FROM)},
		{"COPY a (b, c) FROM STDIN", F(COPY_FROM), F(COPY_TO)},
		{"COPY BINARY events TO STDOUT", F(COPY_TO) | F(EVENTS), 0},
		{"COPY public.events TO STDOUT", F(COPY_TO) | F(EVENTS), 0},
		{"COPY (SELECT 1) TO STDOUT", F(COPY_TO), F(COPY_TABLE)},
		{"DECLARE c CURSOR FOR SELECT 1", F(CURSOR), 0},
		{"CREATE TABLE a AS SELECT 1", F(CREATE_AS), F(SCHEMA)},
		{"CREATE TABLE a (b int)", F(SCHEMA), F(CREATE_AS)},
		{"CREATE TABLE IF NOT EXISTS x.training_set AS (SELECT 1)",
			F(CREATE_AS) | F(TRAINING_TARGET), F(SCHEMA)},
		{"SELECT 1 INTO a FROM b", F(CREATE_AS), 0},
		{"CREATE VIEW a AS SELECT embedding <=> $1 FROM b", F(SCHEMA), F(VECTOR_DISTANCE)},
		{"GRANT SELECT ON ml_features TO a", F(SCHEMA), F(FEATURE_SET)},
		{"CALL pgml.train('a')", F(TRAIN_CALL), F(SCHEMA)},
	};
	CHECK(rows);
}

/* As deep as levels are told apart, scopes are. */
static void test_depth(void **state)
{
	char sql[1024] = "";
	size_t n = 0;
	for (unsigned i = 0; i < 40; i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, "SELECT * FROM (");
	n += (size_t)snprintf(sql + n, sizeof(sql) - n, "SELECT count(*) FROM ml_features");
	for (unsigned i = 0; i < 40; i++)
		n += (size_t)snprintf(sql + n, sizeof(sql) - n, ") t");
	assert_true(features_of(sql) & FEATURE(AGGREGATE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distances),
		cmocka_unit_test(test_places_and_texts),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_feature_sets),
		cmocka_unit_test(test_calendars),
		cmocka_unit_test(test_rows_out),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_times_and_columns),
		cmocka_unit_test(test_heads),
		cmocka_unit_test(test_depth),
	};
	words_init(&words);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	return failed;
}
