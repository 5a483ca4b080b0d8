/* SPDX-License-Identifier: ISC */
/*
 * Sets of parameters: equal sets are one pointer, and the difference of two is SQL that really
 * turns one into the other. That SQL is read here by a small reader of its own, which knows
 * PostgreSQL's literals.
 */
#include "session/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <pthread.h>

#include "base/mem.h"
#include "unit/random.h"

/* ---- a session, as the SQL leaves it ---- */

struct session {
	unsigned n;
	struct {
		char name[64];
		char value[256];
	} vars[PARAMS_MAX * 2];
};

static void session_reset(struct session *session, const char *name)
{
	for (unsigned i = 0; i < session->n; i++)
		if (strcasecmp(session->vars[i].name, name) == 0) {
			session->vars[i] = session->vars[--session->n];
			return;
		}
	fail_msg("RESET of %s, which was not set", name);
}

static void session_set(struct session *session, const char *name, const char *value)
{
	unsigned i;

	for (i = 0; i < session->n && strcasecmp(session->vars[i].name, name) != 0; i++)
		;
	session->n = MAX_OF(session->n, i + 1);
	(void)snprintf(session->vars[i].name, sizeof(session->vars[i].name), "%s", name);
	(void)snprintf(session->vars[i].value, sizeof(session->vars[i].value), "%s", value);
}

static void expect_text(const char **at, const char *text)
{
	if (strncmp(*at, text, strlen(text)) != 0)
		fail_msg("\"%s\" where %s was expected", *at, text);
	*at += strlen(text);
}

/* '…' or E'…' (E also with a blank before it, as it stands behind a comma) or "…". */
static void read_quoted(const char **at, char *out, size_t cap)
{
	bool escapes;
	size_t n = 0;
	char quote;

	while (**at == ' ')
		++*at;
	escapes = **at == 'E';
	*at += escapes;
	quote = *(*at)++;
	assert_true(quote == '\'' || (quote == '"' && !escapes));
	for (;;) {
		char c = *(*at)++;

		assert_true(c != '\0' && n < cap - 1);
		if (c == quote && **at != quote)
			break;
		if (c == quote || (c == '\\' && escapes)) {
			assert_true(**at == c); /* no other escape is ever written */
			++*at;
		} else {
			/* Without E a backslash means what standard_conforming_strings says: never
			 * rely on it. */
			assert_false(c == '\\' && quote == '\'');
		}
		out[n++] = c;
	}
	out[n] = '\0';
}

#define CONVERTED "pg_catalog.convert_from(pg_catalog.decode("

/* The bytes, whatever their encoding is. */
static void read_converted(const char **at, char *out, size_t cap)
{
	char hex[512], encoding[64];
	size_t n = 0;

	expect_text(at, CONVERTED);
	read_quoted(at, hex, sizeof(hex));
	expect_text(at, ",'hex'),");
	read_quoted(at, encoding, sizeof(encoding));
	expect_text(at, ")");
	for (const char *digits = hex; *digits; digits += 2) {
		unsigned byte = 0;

		assert_true(n < cap - 1 && sscanf(digits, "%2x", &byte) == 1);
		out[n++] = (char)byte;
	}
	out[n] = '\0';
}

static void session_run(struct session *session, const char *sql)
{
	char name[64], value[256];

	while (*sql) {
		if (strncmp(sql, "RESET ", 6) == 0) {
			sql += 6;
			read_quoted(&sql, name, sizeof(name));
			session_reset(session, name);
		} else {
			expect_text(&sql, "SELECT pg_catalog.set_config(");
			read_quoted(&sql, name, sizeof(name));
			expect_text(&sql, ",");
			if (strncmp(sql, CONVERTED, strlen(CONVERTED)) == 0)
				read_converted(&sql, value, sizeof(value));
			else
				read_quoted(&sql, value, sizeof(value));
			expect_text(&sql, ",false)");
			if (*sql == ' ')
				expect_text(&sql, " IS NULL");
			session_set(session, name, value);
		}
		expect_text(&sql, ";");
	}
}

static void session_of(struct session *session, const struct param_set *set)
{
	session->n = 0;
	for (unsigned i = 0; set && i < set->n; i++)
		session_set(session, set->items[i].name, set->items[i].value);
}

static void assert_session(const struct session *session, const struct param_set *set)
{
	assert_int_equal(session->n, set ? set->n : 0);
	for (unsigned i = 0; i < session->n; i++) {
		const char *value = param_set_get(set, session->vars[i].name);

		assert_non_null(value);
		assert_string_equal(session->vars[i].value, value);
	}
}

static void assert_difference_works(const struct param_set *from, const struct param_set *to)
{
	struct strbuf sql = STRBUF_INIT;
	struct session session;

	session_of(&session, from);
	param_set_difference(from, to, &sql);
	session_run(&session, sql.data);
	assert_session(&session, to);
	strbuf_release(&sql);
}

static void assert_difference(
	const struct param_set *from, const struct param_set *to, const char *expected)
{
	struct strbuf sql = STRBUF_INIT;

	param_set_difference(from, to, &sql);
	assert_string_equal(sql.data, expected);
	strbuf_release(&sql);
	assert_difference_works(from, to);
}

/* name, value, …, NULL */
static struct param_set *make(const char *name, ...)
{
	struct param_list list;
	struct param_set *set;
	va_list ap;

	param_list_init(&list, NULL);
	va_start(ap, name);
	for (; name; name = va_arg(ap, const char *))
		assert_true(param_list_set(&list, name, va_arg(ap, const char *)));
	va_end(ap);
	set = param_set_intern(&list);
	param_list_release(&list);
	return set;
}

/* ---- interning ---- */

static void equal_sets_are_one_pointer(void **state)
{
	struct param_set *a = make("TimeZone", "UTC", "application_name", "x", NULL);
	struct param_set *b =
		make("application_name", "x", "TimeZone", "UTC", NULL); /* in another order */
	struct param_set *c = make("application_name", "x", "TimeZone", "utc", NULL);
	struct param_set *other;

	assert_ptr_equal(a, b);
	assert_int_equal(a->refs, 2);
	assert_ptr_not_equal(a, c); /* values have case */
	assert_ptr_equal(param_set_ref(a), a);
	assert_int_equal(a->refs, 3);
	other = a;
	param_set_unref(&other);
	assert_null(other);
	param_set_unref(&other);
	param_set_unref(&b);
	assert_int_equal(a->refs, 1);
	param_set_unref(&a);
	param_set_unref(&c);
	assert_null(param_set_ref(NULL));

	/* It was forgotten, not kept: a new one is made. */
	a = make("TimeZone", "UTC", "application_name", "x", NULL);
	assert_int_equal(a->refs, 1);
	param_set_unref(&a);
}

/* More sets than buckets: whoever leaves one takes no neighbour along. */
static void many_sets(void **state)
{
	enum { N = 5000 };
	static struct param_set *sets[N];
	char value[16];

	for (unsigned i = 0; i < N; i++) {
		(void)snprintf(value, sizeof(value), "%u", i);
		sets[i] = param_set_with(NULL, "n", value);
	}
	for (unsigned i = 0; i < N; i += 3)
		param_set_unref(&sets[i]);
	for (unsigned i = 0; i < N; i++) {
		struct param_set *again;

		(void)snprintf(value, sizeof(value), "%u", i);
		again = param_set_with(NULL, "n", value);
		assert_int_equal(again->refs, sets[i] ? 2 : 1);
		assert_true(sets[i] == NULL || again == sets[i]);
		param_set_unref(&again);
	}
	for (unsigned i = 0; i < N; i++)
		param_set_unref(&sets[i]);
}

static void boundaries_are_not_confused(void **state)
{
	struct param_set *sets[] = {make("ab", "c", NULL), make("a", "bc", NULL),
		make("a", "b", "c", "", NULL), make("abc", "", NULL), make("a", "", "b", "c", NULL),
		make(NULL, NULL)};

	for (unsigned i = 0; i < N_ELEMENTS(sets); i++)
		for (unsigned j = 0; j < i; j++)
			assert_ptr_not_equal(sets[i], sets[j]);
	for (unsigned i = 0; i < N_ELEMENTS(sets); i++)
		param_set_unref(&sets[i]);
}

static void a_set_keeps_nothing_of_its_list(void **state)
{
	char name[] = "datestyle", value[] = "ISO";
	struct param_list list;
	struct param_set *set;

	param_list_init(&list, NULL);
	assert_true(param_list_set(&list, name, value));
	memset(name, 'x', sizeof(name) - 1);
	memset(value, 'x', sizeof(value) - 1);
	set = param_set_intern(&list);
	param_list_release(&list);
	assert_string_equal(set->items[0].name, "datestyle");
	assert_string_equal(param_set_get(set, "DATESTYLE"), "ISO");
	assert_null(param_set_get(set, "date"));
	assert_null(param_set_get(NULL, "datestyle"));
	param_set_unref(&set);
}

static void what_is_looked_up_often_is_at_hand(void **state)
{
	struct param_set *set = make("TimeZone", "UTC", NULL), *more;

	assert_string_equal(set->application_name, "");
	assert_false(set->backslash_escapes);
	more = param_set_with(set, "Application_Name", "me");
	param_set_unref(&set);
	assert_string_equal(more->application_name, "me");
	set = param_set_with(more, "standard_conforming_strings", "OFF");
	assert_true(set->backslash_escapes);
	assert_string_equal(set->application_name, "me");
	param_set_unref(&more);
	more = param_set_with(set, "standard_conforming_strings", "on");
	assert_false(more->backslash_escapes);
	param_set_unref(&more);
	more = param_set_with(set, "standard_conforming_strings", NULL);
	assert_false(more->backslash_escapes);
	param_set_unref(&more);
	param_set_unref(&set);
}

static void with_and_without(void **state)
{
	struct param_set *empty = param_set_with(NULL, "x", NULL),
			 *a = param_set_with(NULL, "x", "1");
	struct param_set *b = param_set_with(a, "y", "2"), *back = param_set_with(b, "Y", NULL);
	char *huge = mem_alloc(PARAMS_VALUE_MAX_BYTES + 2);
	struct param_set *same;

	assert_int_equal(empty->n, 0);
	assert_int_equal(b->n, 2);
	assert_ptr_equal(a, back);
	memset(huge, 'v', PARAMS_VALUE_MAX_BYTES + 1);
	huge[PARAMS_VALUE_MAX_BYTES + 1] = '\0';
	same = param_set_with(b, "x", huge); /* not tracked */
	assert_ptr_equal(same, b);
	param_set_unref(&same);
	mem_free(huge);
	param_set_unref(&empty);
	param_set_unref(&a);
	param_set_unref(&b);
	param_set_unref(&back);
}

static bool same_meaning(const struct param_set *a, const struct param_set *b)
{
	return a->meaning.lo == b->meaning.lo && a->meaning.hi == b->meaning.hi;
}

/* Sets that make the same of a text are known by it; nothing else is. */
static void what_a_text_means(void **state)
{
	static const char *const without[] = {"application_name", "Application_Name", "pglane.class", "statement_timeout"};
	static const char *const with[] = {"TimeZone", "DateStyle", "search_path", "client_encoding", "role", "x"};
	struct param_set *set = param_set_with(NULL, "geqo", "off"), *other;

	assert_true(set->meaning.lo != 0);
	for (unsigned i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
		other = param_set_with(set, without[i], "1");
		assert_ptr_not_equal(other, set);
		assert_true(same_meaning(set, other));
		param_set_unref(&other);
	}
	for (unsigned i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
		struct param_set *third = param_set_with(set, with[i], "2");

		other = param_set_with(set, with[i], "1");
		assert_false(same_meaning(set, other));
		assert_false(same_meaning(third, other));
		param_set_unref(&other);
		param_set_unref(&third);
	}
	param_set_unref(&set);
}

/* ---- lists ---- */

static void items_are_sorted_without_case(void **state)
{
	static const char *const sorted[] = {"a", "B", "c", "D.d", "e"};
	struct param_set *set = make(
		"e", "5", "D.d", "4", "a", "1", "c", "3", "B", "2", "E", "6", "d.D", "7", NULL);

	assert_int_equal(set->n, N_ELEMENTS(sorted));
	for (unsigned i = 0; i < set->n; i++)
		assert_string_equal(set->items[i].name, sorted[i]); /* as first written */
	assert_string_equal(param_set_get(set, "e"), "6");	    /* as last set */
	assert_string_equal(param_set_get(set, "D.D"), "7");
	param_set_unref(&set);
}

static void limits(void **state)
{
	char *longest = mem_alloc(PARAMS_VALUE_MAX_BYTES + 2), name[16];
	struct param_list list;
	struct param_set *set;

	memset(longest, 'v', PARAMS_VALUE_MAX_BYTES + 1);
	longest[PARAMS_VALUE_MAX_BYTES + 1] = '\0';
	param_list_init(&list, NULL);
	assert_false(param_list_set(&list, "x", longest));
	assert_false(param_list_set(&list, longest, "x"));
	assert_int_equal(list.n, 0);
	longest[PARAMS_VALUE_MAX_BYTES] = '\0';
	for (unsigned i = 0; i < PARAMS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "p%u", i);
		assert_true(param_list_set(&list, name, longest));
	}
	assert_false(param_list_set(&list, "one_more", ""));
	assert_true(param_list_set(&list, "p7", "short")); /* what is there may change */
	longest[0] = 'w';
	assert_true(param_list_set(&list, "p8", longest));
	assert_true(param_list_set(&list, "one_more", NULL)); /* not there: nothing to remove */
	assert_true(param_list_set(&list, "P9", NULL));
	assert_true(param_list_set(&list, "one_more", "fits"));
	set = param_set_intern(&list);
	param_list_release(&list);
	assert_int_equal(set->n, PARAMS_MAX);
	assert_string_equal(param_set_get(set, "p7"), "short");
	assert_string_equal(param_set_get(set, "p8"), longest);
	assert_null(param_set_get(set, "p9"));
	param_set_unref(&set);
	mem_free(longest);
}

/* The list's text moves as it grows, names and values with it; those of the set it began with stay
 * where they are. */
static void a_list_that_grows_keeps_its_strings(void **state)
{
	struct param_set *base = make("base", "from the set", "zone", "also", NULL), *set;
	char name[16], value[600];
	struct param_list list;

	param_list_init(&list, base);
	for (unsigned i = 0; i < PARAMS_MAX - 2; i++) {
		(void)snprintf(name, sizeof(name), "p%02u", i);
		(void)snprintf(value, sizeof(value), "%0*u", (int)(1 + i * 9), i);
		assert_true(param_list_set(&list, name, value));
	}
	assert_true(param_list_set(&list, "zone", "changed"));
	for (unsigned i = 0; i < PARAMS_MAX - 2; i++) {
		(void)snprintf(name, sizeof(name), "p%02u", i);
		(void)snprintf(value, sizeof(value), "%0*u", (int)(1 + i * 9), i);
		assert_string_equal(list.items[i + 1].name, name);
		assert_string_equal(list.items[i + 1].value, value);
	}
	set = param_set_intern(&list);
	param_list_release(&list);
	assert_string_equal(param_set_get(set, "base"), "from the set");
	assert_string_equal(param_set_get(set, "zone"), "changed");
	assert_string_equal(param_set_get(base, "zone"), "also");
	param_set_unref(&set);
	param_set_unref(&base);
}

/* ---- differences ---- */

static void differences(void **state)
{
	struct param_set *a = make("application_name", "one", "TimeZone", "UTC", NULL);
	struct param_set *b = make("application_name", "two", "DateStyle", "ISO, MDY", NULL);

	assert_difference(a, a, "");
	assert_difference(NULL, NULL, "");
	assert_difference(a, b,
		"SELECT pg_catalog.set_config('application_name','two',false);"
		"SELECT pg_catalog.set_config('DateStyle','ISO, MDY',false);"
		"RESET \"TimeZone\";");
	assert_difference(NULL, a,
		"SELECT pg_catalog.set_config('application_name','one',false);"
		"SELECT pg_catalog.set_config('TimeZone','UTC',false);");
	assert_difference(a, NULL, "RESET \"application_name\";RESET \"TimeZone\";");
	param_set_unref(&a);
	param_set_unref(&b);
}

static void the_same_name_in_another_case_is_no_difference(void **state)
{
	struct param_set *a = make("datestyle", "ISO", NULL), *b = make("DateStyle", "ISO", NULL);

	assert_difference(a, b, "");
	param_set_unref(&a);
	param_set_unref(&b);
}

/* What would end the literal, or mean something else inside one, on a server with either setting of
 * standard_conforming_strings. */
static void quoting(void **state)
{
	struct param_set *a = make("application_name", "it's", NULL),
			 *b = make("application_name", "back\\slash", NULL);
	struct param_set *c = make("application_name", "\\'; DROP TABLE t; --", NULL),
			 *d = make("a\"b", "", NULL);

	assert_difference(
		NULL, a, "SELECT pg_catalog.set_config('application_name','it''s',false);");
	assert_difference(NULL, b,
		"SELECT pg_catalog.set_config('application_name', E'back\\\\slash',false);");
	assert_difference(NULL, c,
		"SELECT pg_catalog.set_config('application_name', E'\\\\''; DROP TABLE t; "
		"--',false);");
	assert_difference(d, NULL, "RESET \"a\"\"b\";");
	param_set_unref(&a);
	param_set_unref(&b);
	param_set_unref(&c);
	param_set_unref(&d);
}

/* What is not ASCII means the characters that it was in its encoding, whatever that of the session is when it is set again. */
static void encodings(void **state)
{
	struct param_set *utf8 = make("client_encoding", "UTF8", "my.own", "\xc3\xbc", NULL),
			 *latin1 = make("client_encoding", "LATIN1", "my.own", "\xc3\xbc", NULL),
			 *ascii = make("client_encoding", "LATIN1", "my.own", "u", NULL), *moved;

	assert_string_equal(param_set_find(utf8, "my.own")->encoding, "UTF8");
	assert_null(param_set_find(utf8, "client_encoding")->encoding);
	assert_null(param_set_find(ascii, "my.own")->encoding);
	assert_difference(ascii, utf8,
		"SELECT pg_catalog.set_config('client_encoding','UTF8',false);"
		"SELECT pg_catalog.set_config('my.own',pg_catalog.convert_from(pg_catalog.decode('c3bc','hex'),'UTF8'),false) IS NULL;");
	assert_difference(utf8, latin1,
		"SELECT pg_catalog.set_config('client_encoding','LATIN1',false);"
		"SELECT pg_catalog.set_config('my.own',pg_catalog.convert_from(pg_catalog.decode('c3bc','hex'),'LATIN1'),false) IS NULL;");
	moved = param_set_with(utf8, "client_encoding", "LATIN1"); /* the same bytes, not the same characters */
	assert_string_equal(param_set_find(moved, "my.own")->encoding, "UTF8");
	assert_ptr_not_equal(moved, latin1);
	assert_memory_not_equal(&moved->meaning, &latin1->meaning, sizeof(moved->meaning));
	assert_difference(utf8, moved, "SELECT pg_catalog.set_config('client_encoding','LATIN1',false);");
	param_set_unref(&moved);
	moved = param_set_with_param(ascii, param_set_find(utf8, "my.own"));
	assert_string_equal(param_set_find(moved, "my.own")->encoding, "UTF8");
	param_set_unref(&moved);
	param_set_unref(&utf8);
	param_set_unref(&latin1);
	param_set_unref(&ascii);
}

static void facts_of_the_server(void **state)
{
	static const char *const facts[] = {"server_version", "SERVER_ENCODING", "is_superuser",
		"session_authorization", "integer_datetimes", "in_hot_standby"};
	static const char *const ours[] = {"TimeZone", "DateStyle", "client_encoding",
		"standard_conforming_strings", "application_name", "", "server",
		"server_version_num"};

	for (unsigned i = 0; i < N_ELEMENTS(facts); i++)
		assert_true(param_is_server_fact(facts[i]));
	for (unsigned i = 0; i < N_ELEMENTS(ours); i++)
		assert_false(param_is_server_fact(ours[i]));
}

static struct param_set *random_set(struct random *random)
{
	static const char *const names[] = {"TimeZone", "timezone", "DateStyle", "application_name",
		"Application_Name", "search_path", "x.y", "we\"ird", "it's", "role"};
	static const char alphabet[] = "ab'\\\";, \n$-";
	struct param_list list;
	struct param_set *set;
	char value[20];

	param_list_init(&list, NULL);
	for (unsigned i = 0; i < N_ELEMENTS(names); i++) {
		size_t n = random_below(random, sizeof(value));

		if (random_below(random, 2))
			continue;
		for (size_t j = 0; j < n; j++)
			value[j] = alphabet[random_below(random, sizeof(alphabet) - 1)];
		value[n] = '\0';
		assert_true(param_list_set(&list, names[i], value));
	}
	set = param_set_intern(&list);
	param_list_release(&list);
	return set;
}

static void random_differences(void **state)
{
	struct random random = random_open();
	struct param_set *from = random_set(&random);

	for (unsigned i = 0; i < 20000; i++) {
		struct param_set *to = random_set(&random);

		assert_difference_works(from, to);
		param_set_unref(&from);
		from = to;
	}
	param_set_unref(&from);
}

/* ---- threads ---- */

#define N_THREADS 4u
#define N_ROUNDS 20000u

static void *intern_and_let_go(void *arg)
{
	uint64_t seed = (uintptr_t)arg;
	struct random random = {.state = seed};

	for (unsigned i = 0; i < N_ROUNDS; i++) {
		/* Eight sets, made and freed again and again by all. */
		struct param_set *set = param_set_with(
			NULL, "n", (char[]){(char)('a' + random_below(&random, 8)), '\0'});
		struct param_set *again = param_set_ref(set);

		MUST(set->n == 1 && strlen(set->items[0].value) == 1);
		param_set_unref(&set);
		set = param_set_with(again, "n", again->items[0].value);
		MUST(set == again);
		param_set_unref(&set);
		param_set_unref(&again);
	}
	return NULL;
}

static void many_threads_share_the_table(void **state)
{
	pthread_t threads[N_THREADS];

	for (uintptr_t i = 0; i < N_THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, intern_and_let_go, (void *)(i + 1)), 0);
	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (char c = 'a'; c < 'a' + 8; c++) {
		struct param_set *set = param_set_with(NULL, "n", (char[]){c, '\0'});

		assert_int_equal(set->refs, 1);
		param_set_unref(&set);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_sets_are_one_pointer),
		cmocka_unit_test(many_sets),
		cmocka_unit_test(boundaries_are_not_confused),
		cmocka_unit_test(a_set_keeps_nothing_of_its_list),
		cmocka_unit_test(what_is_looked_up_often_is_at_hand),
		cmocka_unit_test(with_and_without),
		cmocka_unit_test(what_a_text_means),
		cmocka_unit_test(items_are_sorted_without_case),
		cmocka_unit_test(limits),
		cmocka_unit_test(a_list_that_grows_keeps_its_strings),
		cmocka_unit_test(differences),
		cmocka_unit_test(the_same_name_in_another_case_is_no_difference),
		cmocka_unit_test(quoting),
		cmocka_unit_test(encodings),
		cmocka_unit_test(facts_of_the_server),
		cmocka_unit_test(random_differences),
		cmocka_unit_test(many_threads_share_the_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
