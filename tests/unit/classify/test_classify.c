/* SPDX-License-Identifier: ISC */
/*
 * Who wins: annotation, setting, operator's rules, built-in rules; several statements; what
 * features are shown; and that any bytes get a decision.
 */
#include "classify/classify.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "classify/features.h"

static const struct classify_session anybody = {
	.user = "app",
	.database = "shop",
	.application_name = "web",
	.may_annotate = true,
	.max_priority = 10,
};

static const char *const lane_names[] = {"default", "ml", NULL, "training"};
static const struct classifier_lanes lanes = {lane_names, N_ELEMENTS(lane_names)};

static struct classifier *new_classifier(const char *const *rules, unsigned n)
{
	unsigned bad_line;
	char error[256];
	struct classifier *classifier = classifier_new(rules, n, lanes, &bad_line, error);
	assert_non_null(classifier);
	return classifier;
}

static struct classify_result judge(const struct classifier *classifier,
	const struct classify_session *session, const char *sql)
{
	struct classify_result result;
	size_t n = strlen(sql);
	char *exact = mem_dup(sql, n);
	classify(classifier, session, exact, n, &result);
	mem_free(exact);
	return result;
}

static void assert_decision(
	const struct classify_result *result, enum query_class class, const char *rule)
{
	assert_string_equal(result->rule, rule);
	assert_int_equal(result->class, class);
}

#define SEARCH "SELECT id FROM items ORDER BY embedding <=> $1 LIMIT 5"

static void test_precedence(void **state)
{
	static const char *const rules[] = {
		"serving if user=app", "training priority 2 if user=etl"};
	struct classifier *plain = new_classifier(NULL, 0),
			  *ruled = new_classifier(rules, N_ELEMENTS(rules));
	struct classify_session set = anybody;
	set.has_class = true;
	set.class = QUERY_HYBRID;
	struct classify_session etl = anybody;
	etl.user = "etl";

	struct classify_result r = judge(plain, &anybody, "SELECT 1");
	assert_decision(&r, QUERY_DEFAULT, "default");
	assert_int_equal(r.priority, 5);
	r = judge(plain, &anybody, SEARCH);
	assert_decision(&r, QUERY_VECTOR, "vector-distance");
	r = judge(ruled, &anybody, SEARCH);
	assert_decision(&r, QUERY_SERVING, "rules:1");
	r = judge(ruled, &etl, "SELECT 1");
	assert_decision(&r, QUERY_TRAINING, "rules:2");
	assert_int_equal(r.priority, 2);
	r = judge(ruled, &set, SEARCH);
	assert_decision(&r, QUERY_HYBRID, "setting");
	r = judge(ruled, &set, "/*ml_class='training'*/" SEARCH);
	assert_decision(&r, QUERY_TRAINING, "annotation");
	/* session-level facts alone, as session pooling asks for them */
	r = judge(ruled, &etl, "");
	assert_decision(&r, QUERY_TRAINING, "rules:2");
	assert_int_equal(r.kind, STATEMENT_EMPTY);
	classifier_free(&plain);
	classifier_free(&ruled);
	assert_null(ruled);
	classifier_free(&ruled);
}

/* What may be learned of: only what nothing but the last built-in rule gave its class. */
static void test_source(void **state)
{
	static const char *const rules[] = {"lane ml if user=l", "training if user=c",
		"priority 3 timeout 1s if user=p", "default if user=d"};
	static const struct {
		const char *user, *sql;
		enum class_source source;
	} cases[] = {
		{"app", "SELECT 1", SOURCE_DEFAULT},
		{"app", "", SOURCE_DEFAULT},
		{"app", "SELECT 1; SELECT 2", SOURCE_DEFAULT},
		{"app", SEARCH, SOURCE_BUILT_IN},
		{"app", "CREATE TABLE t (a int)", SOURCE_BUILT_IN},
		{"app", "SELECT 1; " SEARCH, SOURCE_BUILT_IN},
		{"l", "SELECT 1", SOURCE_RULE},
		{"l", SEARCH, SOURCE_RULE},
		{"c", "SELECT 1", SOURCE_RULE},
		{"d", "SELECT 1", SOURCE_RULE},
		{"p", "SELECT 1", SOURCE_DEFAULT},
		{"p", SEARCH, SOURCE_BUILT_IN},
		{"c", "SET LOCAL pglane.class = vector; SELECT 1", SOURCE_SETTING},
		{"c", "/*ml_class='default'*/ SELECT 1", SOURCE_ANNOTATION},
		{"app", "/*ml_priority='3'*/ SELECT 1", SOURCE_DEFAULT},
	};
	struct classifier *classifier = new_classifier(rules, N_ELEMENTS(rules));
	for (unsigned i = 0; i < N_ELEMENTS(cases); i++) {
		struct classify_session session = anybody;
		session.user = cases[i].user;
		struct classify_result r = judge(classifier, &session, cases[i].sql);
		if (r.source != cases[i].source)
			fail_msg("%s by %s: %s", cases[i].sql, cases[i].user,
				class_source_name((enum class_source)r.source));
		enum class_source parsed;
		assert_true(class_source_parse(class_source_name(cases[i].source), &parsed));
		assert_int_equal(parsed, cases[i].source);
	}
	enum class_source none;
	assert_false(class_source_parse("", &none));
	assert_false(class_source_parse("Learned", &none));
	classifier_free(&classifier);
}

/* What rules do beside a class, and what of it an annotation or a setting takes away. */
static void test_actions(void **state)
{
	static const char *const rules[] = {"log if write", "deny 'no exports' if copy-to user=app",
		"lane training timeout 2min priority 7 if vector-distance",
		"serving lane ml log if database=crm", "log timeout 5s if where"};
	struct classifier *c = new_classifier(rules, N_ELEMENTS(rules));
	struct classify_session crm = anybody, set = anybody;
	crm.database = "crm";
	set.has_class = true;
	set.class = QUERY_HYBRID;

	struct classify_result r = judge(c, &anybody, "COPY t TO STDOUT");
	assert_string_equal(r.deny, "no exports");
	assert_string_equal(r.deny_rule, "rules:2");
	r = judge(c, &anybody, "/*ml_class='serving'*/ COPY t TO STDOUT");
	assert_non_null(r.deny);
	r = judge(c, &set, "BEGIN; SELECT 1; COPY t TO STDOUT; COMMIT");
	assert_non_null(r.deny);
	r = judge(c, &crm, "COPY t FROM STDIN");
	assert_null(r.deny);
	assert_decision(&r, QUERY_SERVING, "rules:4");
	assert_true(r.has_lane);
	assert_int_equal(r.lane, 1);
	assert_string_equal(r.log_rule, "rules:4");

	r = judge(c, &anybody, SEARCH); /* no CLASS: that of the built-in table */
	assert_decision(&r, QUERY_VECTOR, "rules:3");
	assert_true(r.has_lane);
	assert_int_equal(r.lane, 3);
	assert_int_equal(r.priority, 7);
	assert_int_equal(r.timeout_ms, 120000);
	assert_null(r.log_rule);
	r = judge(c, &anybody, "/*ml_class='training'*/" SEARCH);
	assert_decision(&r, QUERY_TRAINING, "annotation");
	assert_false(r.has_lane);
	assert_int_equal(r.timeout_ms, 120000);
	r = judge(c, &set, SEARCH);
	assert_decision(&r, QUERY_HYBRID, "setting");
	assert_false(r.has_lane);

	r = judge(c, &crm, "DELETE FROM t"); /* the first that logs, the first that decides */
	assert_string_equal(r.log_rule, "rules:1");
	assert_decision(&r, QUERY_SERVING, "rules:4");
	r = judge(c, &anybody, "DELETE FROM t WHERE a = 1");
	assert_string_equal(r.log_rule, "rules:1");
	assert_decision(&r, QUERY_DEFAULT, "rules:5"); /* it does more than log */
	assert_int_equal(r.timeout_ms, 5000);
	classifier_free(&c);
}

/* Who is denied everything can still end a transaction. */
static void test_transactions_end(void **state)
{
	static const char *const rules[] = {"deny 'closed' if user=app"};
	static const char *const open[] = {
		"BEGIN", "COMMIT", "ROLLBACK", "ROLLBACK TO a", "", ";", "ROLLBACK AND CHAIN"};
	static const char *const denied[] = {"SELECT 1", "SET a = 1", "BEGIN; SELECT 1", "SAVEPOINT a"};
	struct classifier *c = new_classifier(rules, N_ELEMENTS(rules));
	struct classify_session session = anybody;
	for (unsigned i = 0; i < N_ELEMENTS(open); i++)
		if (judge(c, &anybody, open[i]).deny != NULL)
			fail_msg("%s is denied", open[i]);
	for (unsigned i = 0; i < N_ELEMENTS(denied); i++)
		if (judge(c, &anybody, denied[i]).deny == NULL)
			fail_msg("%s is not denied", denied[i]);
	session.only_session = true;
	assert_non_null(judge(c, &session, "").deny);
	classifier_free(&c);
}

/* A session is judged by what is known without a statement. */
static void test_only_session(void **state)
{
	static const char *const rules[] = {
		"deny 'a' if !where", "training if user=app !vector-distance", "serving if user=app"};
	struct classifier *c = new_classifier(rules, N_ELEMENTS(rules));
	struct classify_session session = anybody;
	session.only_session = true;
	struct classify_result r = judge(c, &session, "");
	assert_null(r.deny);
	assert_decision(&r, QUERY_SERVING, "rules:3");
	classifier_free(&c);
}

#define ORGANIZATION "1b4e28ba-2fa1-11d2-883f-0016d3cca427"

static void test_organization_rules(void **state)
{
	static const char *const rules[] = {"training if organization=" ORGANIZATION,
		"serving if !organization=" ORGANIZATION " !user=bob"};
	struct classifier *c = new_classifier(rules, N_ELEMENTS(rules));
	struct classify_session mute = anybody;
	mute.may_annotate = false;
	struct classify_result r =
		judge(c, &anybody, "SELECT 1 /*ml_organization='" ORGANIZATION "'*/");
	assert_decision(&r, QUERY_TRAINING, "rules:1");
	r = judge(c, &anybody, "/*ml_organization='1B4E28BA-2FA1-11D2-883F-0016D3CCA427'*/ SELECT 1");
	assert_decision(&r, QUERY_TRAINING, "rules:1");
	r = judge(c, &mute, "SELECT 1 /*ml_organization='" ORGANIZATION "'*/");
	assert_decision(&r, QUERY_SERVING, "rules:2");
	r = judge(c, &anybody, "SELECT '/*ml_organization=''" ORGANIZATION "''*/'");
	assert_decision(&r, QUERY_SERVING, "rules:2");
	r = judge(c, &anybody, "SELECT 1");
	assert_decision(&r, QUERY_SERVING, "rules:2");
	classifier_free(&c);
}

static void test_time_is_asked(void **state)
{
	static const char *const rules[] = {"training if hour=22-6"};
	struct classifier *c = new_classifier(rules, N_ELEMENTS(rules)),
			  *plain = new_classifier(NULL, 0);
	struct classify_session night = anybody;
	night.now_s = 3600;
	assert_true(classifier_asks_time(c));
	assert_false(classifier_asks_time(plain));
	assert_int_equal(judge(c, &night, "SELECT 1").class, QUERY_TRAINING);
	night.utc_offset_s = 8 * 3600;
	assert_int_equal(judge(c, &night, "SELECT 1").class, QUERY_DEFAULT);
	classifier_free(&c);
	classifier_free(&plain);
}

static void test_class_in_the_text(void **state)
{
	static const struct {
		const char *sql;
		enum query_class class;
		enum class_change change;
		unsigned to;
	} rows[] = {
		{"SET LOCAL pglane.class = 'training'", QUERY_TRAINING, CLASS_SET_LOCAL,
			QUERY_TRAINING},
		{"set local \"pglane\".\"Class\" to vector;", QUERY_VECTOR, CLASS_SET_LOCAL,
			QUERY_VECTOR},
		{"SET pglane.class = 'default'", QUERY_DEFAULT, CLASS_SET, QUERY_DEFAULT},
		{"SET SESSION PGLANE.CLASS TO 'hybrid'", QUERY_HYBRID, CLASS_SET, QUERY_HYBRID},
		{"SET pglane.class TO DEFAULT", QUERY_DEFAULT, CLASS_SET, N_QUERY_CLASSES},
		{"RESET pglane.class", QUERY_DEFAULT, CLASS_SET, N_QUERY_CLASSES},
		{"SET pglane.class = 'fast'", QUERY_DEFAULT, CLASS_SET, N_QUERY_CLASSES},
		{"SET pglane.class = faster_than_anything", QUERY_DEFAULT, CLASS_SET, N_QUERY_CLASSES},
		{"SET pglane.class = ''", QUERY_DEFAULT, CLASS_SET, N_QUERY_CLASSES},
		{"SET pglane.class = fast; SET pglane.class = vector", QUERY_VECTOR, CLASS_SET, QUERY_VECTOR},
		{"BEGIN; SET LOCAL pglane.class = 'training'; SELECT 1", QUERY_TRAINING,
			CLASS_SET_LOCAL, QUERY_TRAINING},
		{"BEGIN; SET LOCAL pglane.class = 'training'; SELECT 1; COMMIT", QUERY_TRAINING,
			CLASS_KEPT, 0},
		{"BEGIN; SET pglane.class = 'training'; COMMIT", QUERY_TRAINING, CLASS_SET,
			QUERY_TRAINING},
		{"BEGIN; SET pglane.class = 'training'; ROLLBACK", QUERY_TRAINING, CLASS_KEPT, 0},
		{"SET LOCAL pglane.klass = 'training'", QUERY_DEFAULT, CLASS_KEPT, 0},
		{"SET LOCAL pglane = 'training'", QUERY_DEFAULT, CLASS_KEPT, 0},
		{"SET LOCAL pglane.class", QUERY_DEFAULT, CLASS_KEPT, 0},
		{"SET LOCAL pglane.", QUERY_DEFAULT, CLASS_KEPT, 0},
		{"SET LOCAL pglane.class =", QUERY_DEFAULT, CLASS_KEPT, 0},
		{"SELECT 'SET LOCAL pglane.class = x'", QUERY_DEFAULT, CLASS_KEPT, 0},
	};
	struct classifier *c = new_classifier(NULL, 0);
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++) {
		struct classify_result r = judge(c, &anybody, rows[i].sql);
		if (r.class != rows[i].class || r.change != rows[i].change ||
			(r.change != CLASS_KEPT &&
				(r.changed_class != rows[i].to || r.bad_class != (rows[i].to == N_QUERY_CLASSES && strstr(rows[i].sql, "fast")))))
			fail_msg("%s: class %d, change %d to %d", rows[i].sql, (int)r.class,
				(int)r.change, (int)r.changed_class);
	}
	classifier_free(&c);
}

static void test_annotation_rights(void **state)
{
	struct classifier *c = new_classifier(NULL, 0);
	struct classify_session nobody = anybody, modest = anybody, none = anybody;
	nobody.may_annotate = false;
	modest.max_priority = 6;
	none.max_priority = 0;

	struct classify_result r = judge(c, &nobody, "/*ml_class='training'*/ SELECT 1");
	assert_decision(&r, QUERY_DEFAULT, "default");
	assert_true(r.bad_annotation);
	r = judge(c, &nobody, "/*traceparent='x'*/ SELECT 1");
	assert_false(r.bad_annotation);

	r = judge(c, &modest, "/*ml_priority='6'*/ SELECT 1");
	assert_int_equal(r.priority, 6);
	assert_false(r.bad_annotation);
	r = judge(c, &modest, "/*ml_priority='9'*/ SELECT 1");
	assert_int_equal(r.priority, 6);
	assert_true(r.bad_annotation);
	r = judge(c, &none, "/*ml_priority='1'*/ SELECT 1");
	assert_int_equal(r.priority, 5);
	assert_true(r.bad_annotation);
	classifier_free(&c);
}

static void test_annotation_values(void **state)
{
	static const struct {
		const char *sql;
		unsigned priority;
		bool bad;
	} rows[] = {
		{"/*ml_priority='1'*/ SELECT 1", 1, false},
		{"/*ml_priority='10'*/ SELECT 1", 10, false},
		{"SELECT 1 /* ml_priority = '7' */", 7, false},
		{"/*ml_priority='0'*/ SELECT 1", 5, true},
		{"/*ml_priority='11'*/ SELECT 1", 5, true},
		{"/*ml_priority='-1'*/ SELECT 1", 5, true},
		{"/*ml_priority='1 '*/ SELECT 1", 5, true},
		{"/*ml_priority='high'*/ SELECT 1", 5, true},
		{"/*ml_priority=''*/ SELECT 1", 5, true},
		{"/*ml_priority=3*/ SELECT 1", 5, true},
		{"/*ml_class='best'*/ SELECT 1", 5, true},
		{"/*ml_class='VECTOR'*/ SELECT 1", 5, true},
		{"-- ml_priority='9'\nSELECT 1", 5, false},
		{"SELECT '/*ml_priority=''9''*/'", 5, false},
	};
	struct classifier *c = new_classifier(NULL, 0);
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++) {
		struct classify_result r = judge(c, &anybody, rows[i].sql);
		if (r.priority != rows[i].priority || r.bad_annotation != rows[i].bad ||
			r.class != QUERY_DEFAULT)
			fail_msg("%s: priority %u, bad %d, class %d", rows[i].sql, r.priority,
				r.bad_annotation, (int)r.class);
	}
	classifier_free(&c);
}

/* Where a backslash escapes, the text's literals end elsewhere: a comment behind one is found, a
 * comment inside one is not. */
static void test_annotation_with_backslashes(void **state)
{
	struct classifier *c = new_classifier(NULL, 0);
	struct classify_session escapes = anybody;
	escapes.backslash_escapes = true;

	struct classify_result r =
		judge(c, &escapes, "SELECT 'it\\'s' /*ml_class='training'*/");
	assert_decision(&r, QUERY_TRAINING, "annotation");
	r = judge(c, &escapes, "SELECT 'a\\'/*ml_class=', 'training', '*/;--'");
	assert_decision(&r, QUERY_DEFAULT, "default");
	r = judge(c, &anybody, "SELECT 'it\\' /*ml_class='training'*/");
	assert_decision(&r, QUERY_TRAINING, "annotation");
	classifier_free(&c);
}

static void test_organization(void **state)
{
	struct classifier *c = new_classifier(NULL, 0);
	struct classify_result r = judge(
		c, &anybody, "/*ml_organization='1b4e28ba-2fa1-11d2-883f-0016d3cca427'*/ SELECT 1");
	assert_true(r.has_organization);
	assert_string_equal(r.organization, "1b4e28ba-2fa1-11d2-883f-0016d3cca427");
	assert_false(r.bad_annotation);
	r = judge(
		c, &anybody, "/*ml_organization='1b4e28ba-2fa1-11d2-883f-0016d3cca42'*/ SELECT 1");
	assert_false(r.has_organization);
	assert_true(r.bad_annotation);
	r = judge(
		c, &anybody, "/*ml_organization='1b4e28ba_2fa1_11d2_883f_0016d3cca427'*/ SELECT 1");
	assert_true(r.bad_annotation);
	classifier_free(&c);
}

static void test_heaviest(void **state)
{
	static const struct {
		const char *sql;
		enum query_class class;
	} rows[] = {
		{"SELECT 1; " SEARCH, QUERY_VECTOR},
		{SEARCH "; SELECT features FROM ml_feature_store WHERE entity_id = $1",
			QUERY_VECTOR},
		{"SELECT id FROM p WHERE ST_DWithin(g, $1, 2) ORDER BY embedding <=> $2; " SEARCH,
			QUERY_HYBRID},
		{SEARCH "; TABLE ml_feature_store; SELECT 1", QUERY_TRAINING},
	};
	struct classifier *c = new_classifier(NULL, 0);
	for (unsigned i = 0; i < N_ELEMENTS(rows); i++)
		assert_int_equal(judge(c, &anybody, rows[i].sql).class, rows[i].class);
	classifier_free(&c);
}

/* Without standard_conforming_strings a backslash hides a quote. */
static void test_backslash_escapes(void **state)
{
	static const char sql[] = "SELECT 'it\\'s' , embedding <=> '[1,2]' FROM items -- '";
	struct classifier *c = new_classifier(NULL, 0);
	struct classify_session old = anybody;
	old.backslash_escapes = true;
	assert_int_equal(judge(c, &old, sql).class, QUERY_VECTOR);
	assert_int_equal(judge(c, &anybody, sql).class, QUERY_DEFAULT);
	classifier_free(&c);
}

static void test_feature_names(void **state)
{
	struct strbuf names = STRBUF_INIT;
	struct classifier *c = new_classifier(NULL, 0);
	classify_feature_names(
		judge(c, &anybody,
			"SELECT id FROM a WHERE ST_Within(g, $1) ORDER BY embedding <=> $1")
			.features,
		&names);
	assert_string_equal(names.data, "vector-distance,vector-column,spatial,where");
	strbuf_reset(&names);
	classify_feature_names(0, &names);
	assert_string_equal(names.data, "");
	for (unsigned i = 0; i < N_FEATURES; i++) {
		uint64_t bit;
		assert_true(feature_parse(feature_name(i), strlen(feature_name(i)), &bit));
		assert_true(bit == UINT64_C(1) << i);
	}
	strbuf_release(&names);
	classifier_free(&c);
}

static void test_bad_rules(void **state)
{
	static const char *const rules[] = {
		"serving if user=a", "serving if", "training if user=b"};
	unsigned bad_line = 99;
	char error[256] = "";
	assert_null(classifier_new(rules, N_ELEMENTS(rules), lanes, &bad_line, error));
	assert_int_equal(bad_line, 1);
	assert_string_equal(error, "column 11: a condition is wanted, but the line ends");
}

/* ---- any bytes ---- */

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static const char *const pieces[] = {
	"SELECT ",
	"FROM ",
	"(",
	")",
	",",
	";",
	"'",
	"\"",
	"$$",
	"/*",
	"*/",
	"--",
	"\n",
	"[",
	"]",
	".",
	"embedding ",
	"<=> ",
	"OPERATOR(",
	"::vector ",
	"WITH ",
	"AS ",
	"ml_feature_store ",
	"CREATE TABLE ",
	"EXPLAIN ",
	"EXPLAIN (",
	"ANALYZE ",
	"PREPARE ",
	"x ",
	"COPY ",
	"TO ",
	"BEGIN ",
	"ATOMIC ",
	"END ",
	"CASE ",
	"LIMIT ",
	"FETCH ",
	"FIRST ",
	"1 ",
	"$1 ",
	"E'\\",
	"U&\"",
	"IN ",
	"= ",
	"LATERAL ",
	"INTO TEMP ",
	"set_config(",
	"true",
	"DECLARE ",
	"CURSOR FOR ",
	"/*ml_class='",
	"DISTINCT ON ",
	"ST_DWithin(",
	"MERGE INTO ",
	"\0",
	"\xff",
	":",
	"?",
	"t.ts <= u.ts ",
	"FILTER (",
	"OVER ",
};

static size_t random_text(uint64_t *seed, char *out, size_t cap)
{
	size_t n = 0, wanted = next_random(seed) % cap;
	bool bytes = next_random(seed) % 4 == 0;
	while (n < wanted) {
		if (bytes) {
			out[n++] = (char)next_random(seed);
			continue;
		}
		const char *piece = pieces[next_random(seed) % N_ELEMENTS(pieces)];
		size_t len = MAX_OF(strlen(piece), 1);
		if (n + len > wanted)
			break;
		memcpy(out + n, piece, len);
		n += len;
	}
	return n;
}

static uint64_t first_seed(void)
{
	const char *given = getenv("PGLANE_SEED");
	uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : clock_mono_us();
	print_message("PGLANE_SEED=%llu\n", (unsigned long long)seed);
	return seed | 1;
}

static void test_any_bytes(void **state)
{
	static const char *const rules[] = {"training if user=nobody vector-distance"};
	struct classifier *c = new_classifier(rules, 1);
	uint64_t seed = first_seed();
	char text[600];
	for (unsigned i = 0; i < 60000; i++) {
		size_t n = random_text(&seed, text, sizeof(text));
		char *exact = mem_dup(text, n); /* ASan sees each read beyond it */
		struct classify_result r;
		classify(c, &anybody, exact, n, &r);
		mem_free(exact);
		assert_in_range(r.class, 0, N_QUERY_CLASSES - 1);
		assert_in_range(r.priority, 1, 10);
		assert_true(strlen(r.rule) > 0);
		assert_true(strnlen(r.prepared_name, sizeof(r.prepared_name)) <
			    sizeof(r.prepared_name));
	}
	classifier_free(&c);
}

static void fill(char *text, size_t n, const char *piece)
{
	size_t len = strlen(piece);
	for (size_t i = 0; i < n; i++)
		text[i] = piece[i % len];
}

/* A megabyte of one thing: no recursion, no quadratic cost (a test that never ends would show it).
 */
static void test_long(void **state)
{
	static const char *const repeated[] = {"(", ")", "[", "EXPLAIN ", "PREPARE a AS ",
		"SELECT (", "WITH a AS (", "a.", "((embedding <=> ", ";", "x,", "OPERATOR(", "/*",
		"'", "EXPLAIN (", "DECLARE ", "COPY (", "match_documents("};
	struct classifier *c = new_classifier(NULL, 0);
	size_t n = 1 << 20;
	char *text = mem_alloc(n);
	for (unsigned i = 0; i < N_ELEMENTS(repeated); i++) {
		struct classify_result r;
		fill(text, n, repeated[i]);
		classify(c, &anybody, text, n, &r);
	}
	mem_free(text);
	classifier_free(&c);
}

/* Parentheses deeper than the walk keeps count of hide nothing that stands outside them. */
static void test_deep(void **state)
{
	struct strbuf sql = STRBUF_INIT;
	struct classifier *c = new_classifier(NULL, 0);
	strbuf_adds(&sql, "SELECT ");
	for (unsigned i = 0; i < 300; i++)
		strbuf_addc(&sql, '(');
	strbuf_addc(&sql, '1');
	for (unsigned i = 0; i < 300; i++)
		strbuf_addc(&sql, ')');
	strbuf_adds(&sql, " FROM items ORDER BY embedding <=> $1");
	assert_int_equal(judge(c, &anybody, sql.data).class, QUERY_VECTOR);
	strbuf_release(&sql);
	classifier_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_precedence),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_actions),
		cmocka_unit_test(test_transactions_end),
		cmocka_unit_test(test_only_session),
		cmocka_unit_test(test_organization_rules),
		cmocka_unit_test(test_time_is_asked),
		cmocka_unit_test(test_class_in_the_text),
		cmocka_unit_test(test_annotation_rights),
		cmocka_unit_test(test_annotation_values),
		cmocka_unit_test(test_annotation_with_backslashes),
		cmocka_unit_test(test_organization),
		cmocka_unit_test(test_heaviest),
		cmocka_unit_test(test_backslash_escapes),
		cmocka_unit_test(test_feature_names),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_deep),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
