/* SPDX-License-Identifier: ISC */
/* What can be said to the console, and how it may be spelled. */
#include "admin/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static bool parse(struct request *request, const char *text)
{
	struct pgw_fault fault;

	return request_parse(request, text, strlen(text), &fault);
}

static void check(const char *text, const char *verb, const char *noun, const char *argument)
{
	struct request request;

	if (!parse(&request, text))
		fail_msg("not understood: %s", text);
	assert_non_null(request.command);
	assert_string_equal(request.command->verb, verb);
	if (noun)
		assert_string_equal(request.command->noun, noun);
	else
		assert_null(request.command->noun);
	assert_string_equal(request.argument, argument);
	request_release(&request);
}

static void refuse(const char *text)
{
	struct request request;

	if (parse(&request, text))
		fail_msg("understood: %s", text);
	assert_null(request.command);
	assert_null(request.argument);
	assert_null(request.value);
}

/* expected: "key=value key= value", with - for a word that stands alone. */
static void filters(const char *text, const char *expected)
{
	struct request request;
	char found[200] = "";
	size_t n = 0;

	if (!parse(&request, text))
		fail_msg("not understood: %s", text);
	for (unsigned i = 0; i < request.n_filters; i++)
		n += (size_t)snprintf(found + n, sizeof(found) - n, "%s%s=%s", i > 0 ? " " : "",
			request.filters[i].key ? request.filters[i].key : "-",
			request.filters[i].value);
	assert_string_equal(found, expected);
	request_release(&request);
}

static void test_filters(void **state)
{
	filters("SHOW FINGERPRINTS", "");
	filters("SHOW FINGERPRINTS;", "");
	filters("show fingerprints 20", "-=20");
	filters("SHOW FINGERPRINTS class=training 5;", "class=training -=5");
	filters("SHOW FINGERPRINTS user = 'a b' /* who */ database=\"d\"\"1\" -- end", "user=a b database=d\"1");
	filters("SHOW FINGERPRINTS user=''", "user=");
	filters("SHOW FINGERPRINTS a b c d e f g h i j k l m n o p", "-=a -=b -=c -=d -=e -=f -=g -=h -=i -=j -=k -=l -=m -=n -=o -=p");
	refuse("SHOW FINGERPRINTS a b c d e f g h i j k l m n o p q");
	refuse("SHOW FINGERPRINTS class=");
	refuse("SHOW FINGERPRINTS class=;");
	refuse("SHOW FINGERPRINTS =training");
	refuse("SHOW FINGERPRINTS class==training");
	refuse("SHOW FINGERPRINTS 1, 2");
	refuse("SHOW FINGERPRINTS 'text'");
	refuse("SHOW FINGERPRINTS 1; 2");
	refuse("SHOW FINGERPRINTS \"open");
	check("RESET FINGERPRINT ALL", "RESET", "FINGERPRINT", "ALL");
	check("reset fingerprint 0123456789abcdef;", "RESET", "FINGERPRINT", "0123456789abcdef");
	refuse("RESET FINGERPRINT a b");
	refuse("RESET ALL");
}

static void test_show(void **state)
{
	check("SHOW POOLS", "SHOW", "POOLS", "");
	check("show pools;", "SHOW", "POOLS", "");
	check(" \t\r\nShow\n\"pools\"  ; ", "SHOW", "POOLS", "");
	check("SELECT pools", "SHOW", "POOLS", "");
	check("SHOW STATS_TOTALS", "SHOW", "STATS_TOTALS", "");
	check("SHOW standard_conforming_strings", "SHOW", "standard_conforming_strings", "");
	check("/* who */ SHOW /* nested /* twice */ */ STATS -- end", "SHOW", "STATS", "");
	check("SHOW STATE -- end\n;", "SHOW", "STATE", "");
	refuse("SHOW");
	refuse("SHOW;");
	refuse("SHOW POOL");
	refuse("SHOW POOLSX");
	refuse("SHOW POOLS CLIENTS");
	refuse("SHOW POOLS; SHOW CLIENTS");
	refuse("SHOW POOLS;;");
	refuse("SHOW 'pools'");
	refuse("SELECT 1");
	refuse("SELECT version()");
	refuse("SHOWPOOLS");
	refuse("POOLS");
	refuse("SHOW \"");
	refuse("SHOW \"pools");
	refuse("SHOW POOLS /* open");
}

static void test_control(void **state)
{
	check("PAUSE", "PAUSE", NULL, "");
	check("pause app;", "PAUSE", NULL, "app");
	check("PAUSE 2024", "PAUSE", NULL, "2024");
	check("PAUSE Mixed", "PAUSE", NULL, "Mixed");
	check("PAUSE \"with space\"", "PAUSE", NULL, "with space");
	check("PAUSE \"a \"\"quote\"\"\"", "PAUSE", NULL, "a \"quote\"");
	check("PAUSE \"\"", "PAUSE", NULL, "");
	check("PAUSE d\xc3\xa9j\xc3\xa0", "PAUSE", NULL, "d\xc3\xa9j\xc3\xa0");
	check("PAUSE FORWARDING", "PAUSE", "FORWARDING", "");
	check("resume forwarding;", "RESUME", "FORWARDING", "");
	check("PAUSE \"forwarding\"", "PAUSE", NULL, "forwarding");
	check("RESUME \"FORWARDING\"", "RESUME", NULL, "FORWARDING");
	check("PAUSE forwarding_of_mine", "PAUSE", NULL, "forwarding_of_mine");
	refuse("PAUSE FORWARDING app");
	check("RETRY OUTBOX", "RETRY", "OUTBOX", "");
	check("RETRY OUTBOX service_event", "RETRY", "OUTBOX", "service_event");
	check("RETRY OUTBOX \"service_event:6f1c1c1e-0000-4000-8000-0000000000e1\"", "RETRY", "OUTBOX", "service_event:6f1c1c1e-0000-4000-8000-0000000000e1");
	refuse("RETRY");
	refuse("RETRY OUTBOX a b");
	check("KILL_CLIENT 12", "KILL_CLIENT", NULL, "12");
	check("KILL app", "KILL", NULL, "app");
	check("SHUTDOWN WAIT_FOR_SERVERS", "SHUTDOWN", NULL, "WAIT_FOR_SERVERS");
	check("RELOAD", "RELOAD", NULL, "");
	refuse("RELOAD now");
	refuse("PAUSE a b");
	refuse("PAUSE 'app'");
	refuse("PAUSE =");
	refuse("PAUSE ;;");
	refuse("KILLS app");
	refuse("\"");
	refuse("?");
}

static void check_set(const char *text, const char *key, const char *value)
{
	struct request request;

	if (!parse(&request, text))
		fail_msg("not understood: %s", text);
	assert_string_equal(request.command->verb, "SET");
	assert_string_equal(request.argument, key);
	assert_string_equal(request.value, value);
	request_release(&request);
}

static void test_set(void **state)
{
	check_set("SET a = b", "a", "b");
	check_set("set a=b;", "a", "b");
	check_set("SET a TO b", "a", "b");
	check_set("SET a = 'it''s \"x\"'", "a", "it's \"x\"");
	check_set("SET a = ''", "a", "");
	check_set("SET \"a\" = \"b c\"", "a", "b c");
	check_set("SET a = 10", "a", "10");
	check_set("SET a = -1.5", "a", "-1.5");
	check_set("SET a = '-- no comment; /* nor here'", "a", "-- no comment; /* nor here");
	refuse("SET");
	refuse("SET a");
	refuse("SET a =");
	refuse("SET a b");
	refuse("SET = b");
	refuse("SET a = b c");
	refuse("SET a = b, c");
	refuse("SET a = 'open");
	refuse("SET \"\" = b");
}

static void check_route(const char *text, const char *database, const char *sql)
{
	struct request request;

	if (!parse(&request, text))
		fail_msg("not understood: %s", text);
	assert_string_equal(request.argument, sql);
	if (database)
		assert_string_equal(request.value, database);
	else
		assert_null(request.value);
	request_release(&request);
}

static void test_route_on_a_database(void **state)
{
	check_route("EXPLAIN ROUTE SELECT 1;", NULL, "SELECT 1");
	check_route("EXPLAIN ROUTE ON shop SELECT 1 ;", "shop", "SELECT 1");
	check_route("explain route on \"My Shop\" /*ml_class='vector'*/ SELECT 1", "My Shop", "/*ml_class='vector'*/ SELECT 1");
	check_route("EXPLAIN ROUTE /*ml_class='vector'*/ SELECT 1", NULL, "/*ml_class='vector'*/ SELECT 1");
	check_route("EXPLAIN ROUTE only SELECT 1", NULL, "only SELECT 1");
	refuse("EXPLAIN ROUTE ON");
	refuse("EXPLAIN ROUTE ON shop");
	refuse("EXPLAIN ROUTE ON 'shop' SELECT 1");
	refuse("EXPLAIN ROUTE ON ; SELECT 1");
	check("REFRESH CATALOG", "REFRESH", "CATALOG", "");
	check("refresh catalog \"My Shop\";", "REFRESH", "CATALOG", "My Shop");
	check("SHOW CATALOG", "SHOW", "CATALOG", "");
	refuse("REFRESH");
	refuse("REFRESH CATALOG a b");
}

static void check_role(const char *text, enum command_role role, const char *tag)
{
	struct request request;

	if (!parse(&request, text))
		fail_msg("not understood: %s", text);
	assert_int_equal(request.command->role, role);
	assert_string_equal(request.command->tag, tag);
	request_release(&request);
}

static void test_what_drivers_send(void **state)
{
	check_role("BEGIN", ROLE_BEGINS, "BEGIN");
	check_role("BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY;", ROLE_BEGINS, "BEGIN");
	check_role("start transaction", ROLE_BEGINS, "START TRANSACTION");
	check_role("COMMIT", ROLE_ENDS, "COMMIT");
	check_role("END", ROLE_ENDS, "COMMIT");
	check_role("ROLLBACK;", ROLE_ENDS, "ROLLBACK");
	check_role("ABORT", ROLE_ENDS, "ROLLBACK");
	check_role("DISCARD ALL", ROLE_FORGETS, "DISCARD ALL");
	check_role("DEALLOCATE \"a\"", ROLE_FORGETS, "DEALLOCATE");
	refuse("BEGIN; SELECT 1");
	refuse("BEGIN; SHOW POOLS");
	refuse("COMMIT (");
}

static void test_empty(void **state)
{
	static const char *const texts[] = { "", " ", ";", " ; ;\n", "-- ping", "/* ping */;" };
	struct request request;

	for (unsigned i = 0; i < N_ELEMENTS(texts); i++) {
		assert_true(parse(&request, texts[i]));
		assert_null(request.command);
		request_release(&request);
	}
}

static void test_explain_route_keeps_its_text(void **state)
{
	check("EXPLAIN ROUTE SELECT 1", "EXPLAIN", "ROUTE", "SELECT 1");
	check("explain route\n/*a='b'*/ SELECT ';' -- c ;  ", "EXPLAIN", "ROUTE", "/*a='b'*/ SELECT ';' -- c");
	check("EXPLAIN ROUTE SELECT 'it''s' ; \n", "EXPLAIN", "ROUTE", "SELECT 'it''s'");
	check("EXPLAIN ROUTE /*x*/", "EXPLAIN", "ROUTE", "/*x*/");
	refuse("EXPLAIN ROUTE");
	refuse("EXPLAIN ROUTE ; ");
	refuse("EXPLAIN SELECT 1");
	refuse("EXPLAIN");
}

static void test_words_are_bounded(void **state)
{
	char text[4096];

	(void)snprintf(text, sizeof(text), "PAUSE %01024d", 0);
	check(text, "PAUSE", NULL, text + 6);
	(void)snprintf(text, sizeof(text), "PAUSE %01025d", 0);
	refuse(text);
}

static void test_what_is_told(void **state)
{
	struct request request;
	struct pgw_fault fault;
	char text[1000];

	assert_false(request_parse(&request, "nonsense", 8, &fault));
	assert_int_equal(fault.id, PGW_FAULT_CONSOLE_COMMAND);
	assert_string_equal(fault.message, "invalid command 'nonsense', use SHOW HELP;");
	/* Cut between characters: 299 bytes of ASCII, and one of two. */
	memset(text, 'x', sizeof(text));
	text[299] = '\xc3';
	text[300] = '\xa9';
	assert_false(request_parse(&request, text, sizeof(text), &fault));
	assert_int_equal(strlen(fault.message), strlen("invalid command '', use SHOW HELP;") + 299);
}

/* Any bytes are an answer; a sanitizer watches. Every prefix of what is valid, and everything with one byte changed. */
static void test_any_bytes(void **state)
{
	static const char *const seeds[] = {
		"SET \"a\"\"b\" = 'it''s'", "EXPLAIN ROUTE /*a*/ SELECT 1;", "PAUSE \"x y\" -- c", "BEGIN ISOLATION LEVEL READ ONLY, x;", "/* /* */ */ SHOW STATS",
	};
	struct request request;
	struct pgw_fault fault;

	for (unsigned i = 0; i < N_ELEMENTS(seeds); i++) {
		size_t n = strlen(seeds[i]);

		for (size_t at = 0; at <= n; at++) {
			char *text = malloc(n);

			assert_non_null(text);
			memcpy(text, seeds[i], at);
			if (request_parse(&request, text, at, &fault))
				request_release(&request);
			for (unsigned byte = 0; byte < 256 && at < n; byte++) {
				memcpy(text, seeds[i], n);
				text[at] = (char)byte;
				if (request_parse(&request, text, n, &fault))
					request_release(&request);
			}
			free(text);
		}
	}
}

/* The table itself: nothing shadows anything, tags and columns are there. */
static void test_table(void **state)
{
	for (unsigned i = 0; i < n_commands; i++) {
		const struct command *command = &commands[i];

		assert_non_null(command->start);
		assert_non_null(command->tag);
		assert_true(command->columns.n <= COLUMNS_MAX);
		for (unsigned k = 0; k < command->columns.n; k++)
			assert_non_null(command->columns.items[k].name);
		for (unsigned k = 0; k < i; k++)
			if (strcmp(commands[k].verb, command->verb) == 0)
				assert_true(commands[k].noun && (command->noun == NULL || strcmp(commands[k].noun, command->noun) != 0));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_route_on_a_database),
		cmocka_unit_test(test_what_drivers_send),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_explain_route_keeps_its_text),
		cmocka_unit_test(test_words_are_bounded),
		cmocka_unit_test(test_what_is_told),
		cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
