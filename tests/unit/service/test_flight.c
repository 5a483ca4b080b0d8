/* SPDX-License-Identifier: ISC */
/* A flight from its notes to their end: what is sent, what answers make of it, what the outbox is told. Rows are made by hand. */
#include "service/flight.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "config/load.h"

#define N_KEYS 10u
#define SECOND 1000000u
#define ORGANIZATION "6f1c1c1e-0000-4000-8000-0000000000aa"
#define OTHER "6f1c1c1e-0000-4000-8000-0000000000bb"

struct test {
	struct config *config;
	struct flight *flight;
	char keys[N_KEYS][OUTBOX_KEY_BYTES];
	char *path;
	unsigned n_lags;
};

static struct config *load(const char *text)
{
	struct config_problems problems;
	struct config *config = config_load_text("t.ini", text, strlen(text), &problems);

	assert_non_null(config);
	config_problems_release(&problems);
	return config;
}

/* rows[i] are n_columns texts; NULL is null. */
static PGresult *make_rows(unsigned n_columns, unsigned n_rows, const char *const *cells)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc columns[16];
	char name[] = "column";

	for (unsigned i = 0; i < n_columns; i++)
		columns[i] = (PGresAttDesc){ .name = name };
	assert_true(PQsetResultAttrs(result, (int)n_columns, columns));
	for (unsigned i = 0; i < n_rows * n_columns; i++) {
		char *value = mem_strdup(cells[i]);

		assert_true(PQsetvalue(result, (int)(i / n_columns), (int)(i % n_columns), value, value ? (int)strlen(value) : -1));
		mem_free(value);
	}
	return result;
}

static void open_flight(struct test *test, const char *config, unsigned n)
{
	memset(test, 0, sizeof(*test));
	test->config = load(config);
	test->flight = flight_new("17", "service_event", 100 * SECOND, 60 * SECOND);
	for (unsigned i = 0; i < n; i++) {
		const char *cells[LEASE_COLUMNS] = { "17", "service_event", test->keys[i], "U", NULL, "3", "0", "5000000" };
		PGresult *rows;

		(void)snprintf(test->keys[i], sizeof(test->keys[i]), "6f1c1c1e-0000-4000-8000-00000000000%u", i);
		rows = make_rows(LEASE_COLUMNS, 1, cells);
		flight_add_note(test->flight, rows, 0);
		PQclear(rows);
	}
}

static void close_flight(struct test *test)
{
	flight_free(&test->flight);
	config_unref(&test->config);
	mem_free(test->path);
}

/* properties NULL and is_there: too large. */
static void take(struct test *test, unsigned i, bool is_there, const char *organization, const char *properties, const char *vector, const char *old)
{
	const char *cells[READ_COLUMNS] = { test->keys[i], is_there ? "t" : "f", is_there ? "ServiceEventVector" : NULL, organization, properties, vector, "77", old };
	PGresult *rows = make_rows(READ_COLUMNS, 1, cells);
	unsigned begin = test->flight->round_begin;

	flight_take_objects(test->flight, rows, test->config);
	test->flight->round_begin = begin;
	PQclear(rows);
}

static void take_all(struct test *test)
{
	for (unsigned i = 0; i < test->flight->n_items; i++)
		take(test, i, true, ORGANIZATION, "{}", NULL, NULL);
}

static enum flight_step next(struct test *test)
{
	mem_free(test->path);
	test->path = NULL;
	return flight_next(test->flight, test->config, 100, &test->path);
}

static enum wv_outcome say(struct test *test, enum http_result result, unsigned status, const char *body)
{
	struct http_answer answer = { .result = result, .status = status, .body = body, .n_body = strlen(body), .error = "no answer", .took_us = 5000 };

	return flight_take_answer(test->flight, &answer, 101 * SECOND).outcome;
}

/* The answer that stores all that was sent, but for the one with bad_id. */
static enum wv_outcome store(struct test *test, const char *bad_id, const char *message)
{
	struct strbuf body = STRBUF_INIT;
	enum wv_outcome outcome;

	for (unsigned i = 0; i < test->flight->n_sent; i++) {
		const struct flight_item *item = &test->flight->items[test->flight->sent[i]];

		strbuf_addf(&body, "%c{\"id\":\"%s\",\"result\":{\"status\":\"SUCCESS\"", i ? ',' : '[', item->id);
		if (bad_id && strcmp(bad_id, item->id) == 0)
			strbuf_addf(&body, ",\"errors\":{\"error\":[{\"message\":\"%s\"}]}", message);
		strbuf_adds(&body, "}}");
	}
	strbuf_addc(&body, ']');
	outcome = say(test, HTTP_ANSWERED, 200, body.data);
	strbuf_release(&body);
	return outcome;
}

/* The answer that the first n of what was sent were deleted; of the next one it says text, unless it is NULL. */
static enum wv_outcome delete_some(struct test *test, unsigned n, const char *text)
{
	struct strbuf body = STRBUF_INIT;
	enum wv_outcome outcome;

	strbuf_adds(&body, "{\"dryRun\":false,\"results\":{\"objects\":[");
	for (unsigned i = 0; i < n; i++)
		strbuf_addf(&body, "%s{\"id\":\"%s\",\"status\":\"SUCCESS\"}", i ? "," : "", test->flight->items[test->flight->sent[i]].id);
	if (text)
		strbuf_addf(&body, "%s{\"id\":\"%s\",\"status\":\"FAILED\",\"errors\":{\"error\":[{\"message\":\"%s\"}]}}", n ? "," : "",
			test->flight->items[test->flight->sent[n]].id, text);
	strbuf_adds(&body, "]}}");
	outcome = say(test, HTTP_ANSWERED, 200, body.data);
	strbuf_release(&body);
	return outcome;
}

static void note_lag(void *arg, uint64_t age_us)
{
	struct test *test = arg;

	assert_int_equal(age_us, 7 * SECOND); /* 5 at the lease, 2 since */
	test->n_lags++;
}

static struct flight_counts end(struct test *test)
{
	return flight_ended(test->flight, 102 * SECOND, note_lag, test);
}

/* Parameters $3 (delivered), $5 (again), $8 (never) and $11 (stored) are keys of these items, by digit. */
static void expect_end(struct test *test, const char *delivered, const char *again, const char *never, const char *stored)
{
	static const unsigned places[] = { 2, 4, 7, 10 };
	const char *expected[] = { delivered, again, never, stored };
	struct flight_params params;

	flight_end_params(test->flight, &params);
	assert_string_equal(params.values[0], "17");
	assert_string_equal(params.values[1], "service_event");
	for (unsigned i = 0; i < 4; i++) {
		struct strbuf keys = STRBUF_INIT;

		for (const char *at = expected[i]; *at; at++)
			outbox_array_add(&keys, test->keys[*at - '0']);
		outbox_array_end(&keys);
		assert_string_equal(params.values[places[i]], keys.data);
		strbuf_release(&keys);
	}
	flight_params_release(&params);
}

/* ---- tests ---- */

static void all_is_well(void **state)
{
	struct test test;
	struct flight_counts counts;

	open_flight(&test, "", 3);
	take(&test, 0, true, ORGANIZATION, "{\"a\":1}", "[1,2]", NULL);
	take(&test, 1, false, NULL, NULL, NULL, ORGANIZATION);
	take(&test, 2, true, NULL, "{}", NULL, NULL);
	assert_int_equal(next(&test), FLIGHT_DELETE);
	assert_ptr_equal(strstr(test.path, "/v1/objects/ServiceEventVector/"), test.path);
	assert_null(strchr(test.path, '?'));
	assert_int_equal(say(&test, HTTP_ANSWERED, 204, ""), WV_DONE);
	assert_int_equal(next(&test), FLIGHT_STORE);
	assert_int_equal(test.flight->n_sent, 2);
	assert_non_null(strstr(test.flight->batch.body.data, "\"properties\":{\"a\":1},\"vector\":[1,2]}"));
	assert_int_equal(store(&test, NULL, NULL), WV_DONE);
	assert_int_equal(next(&test), FLIGHT_END);
	expect_end(&test, "012", "", "", "02");
	counts = end(&test);
	assert_int_equal(counts.n_stored, 2);
	assert_int_equal(counts.n_deleted, 1);
	assert_int_equal(test.n_lags, 3);
	test.flight->state = FLIGHT_EXPECT_DONE; /* once more, the same */
	expect_end(&test, "012", "", "", "02");
	close_flight(&test);
}

static void rounds_follow_what_was_read(void **state)
{
	struct strbuf keys = STRBUF_INIT;
	struct test test;

	open_flight(&test, "", 4);
	assert_int_equal(flight_unread(test.flight, 3, &keys), 3);
	assert_int_equal(keys.len, 3 * 38 + 2 + 2);
	take(&test, 0, true, NULL, "{}", NULL, NULL);
	strbuf_reset(&keys);
	assert_int_equal(flight_unread(test.flight, 3, &keys), 3);
	assert_ptr_equal(strstr(keys.data, test.keys[1]), keys.data + 2);
	take(&test, 1, true, NULL, "{}", NULL, NULL);
	strbuf_reset(&keys);
	assert_int_equal(flight_unread(test.flight, 3, &keys), 2);
	take(&test, 2, true, NULL, "{}", NULL, NULL);
	take(&test, 3, true, NULL, "{}", NULL, NULL);
	assert_int_equal(flight_unread(test.flight, 3, &keys), 0);
	strbuf_release(&keys);
	close_flight(&test);
}

/* One that its view cannot bear is found; one after the other that cannot, and it is the view. */
static void what_cannot_be_read(void **state)
{
	struct strbuf keys = STRBUF_INIT;
	struct test test;
	unsigned n, n_reads = 0;

	open_flight(&test, "", N_KEYS);
	while ((n = flight_unread(test.flight, 100, &keys)) > 0) {
		strbuf_reset(&keys);
		if (test.flight->n_read <= 6 && test.flight->n_read + n > 6)
			flight_fail_unread(test.flight, n, "division by zero");
		else
			for (unsigned i = 0, first = test.flight->n_read; i < n; i++)
				take(&test, first + i, true, NULL, "{}", NULL, NULL);
		assert_true(++n_reads < 12);
	}
	for (unsigned i = 0; i < N_KEYS; i++)
		assert_int_equal(test.flight->items[i].stage, i == 6 ? ITEM_OVER : ITEM_TO_STORE);
	assert_int_equal(test.flight->items[6].verdict.outcome, WV_RETRY);
	assert_string_equal(test.flight->items[6].verdict.text, "source: division by zero");
	close_flight(&test);
	open_flight(&test, "", N_KEYS);
	for (n_reads = 0; (n = flight_unread(test.flight, 100, &keys)) > 0; n_reads++)
		flight_fail_unread(test.flight, n, "no such view");
	assert_true(n_reads < 14);
	assert_int_equal(test.flight->n_read, N_KEYS);
	strbuf_release(&keys);
	close_flight(&test);
}

static void what_cannot_be_sent(void **state)
{
	struct test test;

	open_flight(&test, "", 3);
	take(&test, 0, true, NULL, NULL, NULL, NULL);
	take(&test, 1, true, NULL, "{}", "[1,NaN]", NULL);
	take(&test, 2, true, NULL, "{}", "[1]", NULL);
	assert_int_equal(next(&test), FLIGHT_STORE);
	assert_int_equal(test.flight->n_sent, 1);
	assert_int_equal(store(&test, NULL, NULL), WV_DONE);
	expect_end(&test, "2", "", "01", "2");
	assert_non_null(strstr(test.flight->items[0].verdict.text, "size: the object has 77 bytes"));
	assert_non_null(strstr(test.flight->items[1].verdict.text, "vector: "));
	close_flight(&test);
}

static void tenants(void **state)
{
	struct test test;

	open_flight(&test, "[collection:ServiceEventVector]\norganization=tenant\n", 5);
	take(&test, 0, true, ORGANIZATION, "{}", NULL, ORGANIZATION);
	take(&test, 1, true, ORGANIZATION, "{}", NULL, OTHER); /* it moved */
	take(&test, 2, true, NULL, "{}", NULL, NULL);	       /* of nobody */
	take(&test, 3, false, NULL, NULL, NULL, OTHER);
	take(&test, 4, false, NULL, NULL, NULL, NULL); /* never stored */
	assert_int_equal(next(&test), FLIGHT_DELETE);
	assert_string_equal(test.path, "/v1/batch/objects?tenant=" OTHER);
	assert_int_equal(test.flight->n_sent, 2);
	assert_int_equal(test.flight->sent[0], 1);
	assert_int_equal(test.flight->sent[1], 3);
	assert_int_equal(delete_some(&test, 1, NULL), WV_DONE);
	assert_int_equal(next(&test), FLIGHT_DELETE);
	assert_int_equal(test.flight->n_sent, 1);
	assert_int_equal(test.flight->sent[0], 3);
	assert_non_null(strstr(test.path, "?tenant=" OTHER));
	assert_int_equal(say(&test, HTTP_ANSWERED, 204, ""), WV_DONE);
	assert_int_equal(next(&test), FLIGHT_STORE);
	assert_int_equal(test.flight->n_sent, 2);
	assert_non_null(strstr(test.flight->batch.body.data, "\"tenant\":\"" ORGANIZATION "\""));
	assert_int_equal(store(&test, NULL, NULL), WV_DONE);
	expect_end(&test, "0134", "", "2", "01");
	close_flight(&test);
}

static void open_deletions(struct test *test, unsigned n)
{
	open_flight(test, "", n);
	for (unsigned i = 0; i < n; i++)
		take(test, i, false, NULL, NULL, NULL, ORGANIZATION);
	assert_int_equal(next(test), FLIGHT_DELETE);
	assert_string_equal(test->path, "/v1/batch/objects");
	assert_int_equal(test->flight->n_sent, n);
	assert_true(test->flight->has_batch);
}

/* The rest, each by itself. */
static void delete_alone(struct test *test, unsigned begin, unsigned end)
{
	for (unsigned i = begin; i < end; i++) {
		assert_int_equal(next(test), FLIGHT_DELETE);
		assert_false(test->flight->has_batch);
		assert_int_equal(test->flight->n_sent, 1);
		assert_int_equal(test->flight->sent[0], i);
		assert_non_null(strstr(test->path, test->flight->items[i].id));
		assert_int_equal(say(test, HTTP_ANSWERED, 204, ""), WV_DONE);
	}
}

/* Only what is said to be deleted is: what failed, and what was not found, is deleted by itself. */
static void many_deletions(void **state)
{
	struct test test;

	open_deletions(&test, 6);
	assert_ptr_equal(strstr(test.flight->batch.body.data, "{\"match\":{\"class\":\"ServiceEventVector\",\"where\":{\"path\":[\"id\"],\"operator\":\"ContainsAny\","
		"\"valueTextArray\":[\""), test.flight->batch.body.data);
	assert_int_equal(delete_some(&test, 3, "disk is broken"), WV_DONE);
	delete_alone(&test, 3, 6);
	assert_int_equal(next(&test), FLIGHT_END);
	expect_end(&test, "012345", "", "", "");
	close_flight(&test);
}

static void many_deletions_refused(void **state)
{
	static const struct {
		unsigned status;
		const char *body;
		enum wv_outcome outcome;
	} cases[] = {
		{ 500, "", WV_SPLIT }, { 404, "", WV_SPLIT }, { 422, "", WV_SPLIT }, { 200, "", WV_SPLIT }, { 204, "", WV_SPLIT }, { 200, "{}", WV_SPLIT },
		{ 200, "{\"dryRun\":true,\"results\":{\"objects\":null}}", WV_SPLIT },
		{ 200, "{\"results\":{\"objects\":[{\"id\":\"00000000-0000-0000-0000-000000000000\",\"status\":\"SUCCESS\"}]}}", WV_SPLIT },
		{ 200, "{\"results\":{\"matches\":0,\"objects\":null}}", WV_DONE }, { 200, "{\"results\":{\"matches\":3,\"successful\":3}}", WV_DONE },
	};
	struct test test;

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		open_deletions(&test, 3);
		assert_int_equal(say(&test, HTTP_ANSWERED, cases[i].status, cases[i].body), cases[i].outcome);
		delete_alone(&test, 0, 3);
		assert_int_equal(next(&test), FLIGHT_END);
		close_flight(&test);
	}
}

/* Nobody is to blame while the server can change nothing; without an answer all are doubtful. */
static void many_deletions_put_off(void **state)
{
	struct test test;

	open_deletions(&test, 4);
	assert_int_equal(delete_some(&test, 1, "store is read-only due to: disk"), WV_STORE);
	assert_int_equal(next(&test), FLIGHT_DELETE);
	assert_int_equal(test.flight->n_sent, 4);
	assert_int_equal(say(&test, HTTP_ANSWERED, 503, ""), WV_STORE);
	assert_int_equal(next(&test), FLIGHT_DELETE);
	assert_int_equal(test.flight->n_sent, 4);
	assert_int_equal(say(&test, HTTP_UNKNOWN, 0, ""), WV_UNKNOWN);
	assert_true(flight_has_doubts(test.flight));
	assert_int_equal(next(&test), FLIGHT_END);
	flight_calm(test.flight, true);
	expect_end(&test, "", "0123", "", "");
	close_flight(&test);
}

/* A batch is halved until the one to blame is alone; the others are stored. */
static void one_spoils_the_batch(void **state)
{
	struct test test;
	unsigned n_requests = 0;

	open_flight(&test, "", N_KEYS);
	take_all(&test);
	while (next(&test) == FLIGHT_STORE) {
		bool has_bad = false;

		for (unsigned i = 0; i < test.flight->n_sent; i++)
			has_bad |= test.flight->sent[i] == 6;
		if (has_bad)
			(void)say(&test, HTTP_ANSWERED, 422, "");
		else
			(void)store(&test, NULL, NULL);
		assert_true(++n_requests < 12);
	}
	expect_end(&test, "012345789", "", "6", "012345789");
	close_flight(&test);
}

/* When no single object can be stored, the rest of the round is not tried, either. */
static void the_server_spoils_all(void **state)
{
	struct test test;
	unsigned n_requests = 0;

	open_flight(&test, "", N_KEYS);
	take_all(&test);
	while (next(&test) == FLIGHT_STORE) {
		(void)say(&test, HTTP_ANSWERED, 500, "");
		assert_true(++n_requests < 14);
	}
	expect_end(&test, "", "0123456789", "", "");
	assert_int_equal(end(&test).n_failed, N_KEYS);
	assert_int_equal(test.n_lags, 0);
	close_flight(&test);
}

static void verdicts_of_each(void **state)
{
	struct test test;

	open_flight(&test, "", 3);
	take_all(&test);
	assert_int_equal(next(&test), FLIGHT_STORE);
	assert_int_equal(store(&test, test.flight->items[1].id, "no such prop"), WV_DONE);
	expect_end(&test, "02", "", "1", "02");
	close_flight(&test);
}

/* Nobody's fault: all stays as it was, and is sent again. */
static void the_server_is_away(void **state)
{
	struct test test;

	open_flight(&test, "", 2);
	take_all(&test);
	assert_int_equal(next(&test), FLIGHT_STORE);
	assert_int_equal(say(&test, HTTP_NOT_SENT, 0, ""), WV_STORE);
	assert_int_equal(next(&test), FLIGHT_STORE);
	assert_int_equal(say(&test, HTTP_ANSWERED, 401, ""), WV_REFUSED);
	assert_int_equal(next(&test), FLIGHT_STORE);
	assert_int_equal(store(&test, test.flight->items[0].id, "store is read-only"), WV_STORE);
	expect_end(&test, "", "", "", "");
	assert_int_equal(next(&test), FLIGHT_STORE);
	assert_int_equal(test.flight->n_sent, 2);
	close_flight(&test);
}

/* What may have arrived is neither sent again nor ended before the server's time for it is over. */
static void doubts(void **state)
{
	struct test test;

	open_flight(&test, "", 2);
	take_all(&test);
	assert_false(flight_has_doubts(test.flight));
	assert_int_equal(next(&test), FLIGHT_STORE);
	assert_int_equal(say(&test, HTTP_UNKNOWN, 0, ""), WV_UNKNOWN);
	assert_int_equal(next(&test), FLIGHT_END);
	expect_end(&test, "", "", "", "");
	assert_true(flight_has_doubts(test.flight));
	assert_int_equal(test.flight->doubt_until_us, 161 * SECOND); /* sent at 101 */
	flight_calm(test.flight, true);
	assert_false(flight_has_doubts(test.flight));
	expect_end(&test, "", "01", "", "");
	close_flight(&test);
	open_flight(&test, "", 1); /* not its fault: the lease's end decides */
	take_all(&test);
	assert_int_equal(next(&test), FLIGHT_STORE);
	assert_int_equal(say(&test, HTTP_UNKNOWN, 0, ""), WV_UNKNOWN);
	flight_calm(test.flight, false);
	expect_end(&test, "", "", "", "");
	assert_int_equal(next(&test), FLIGHT_END);
	close_flight(&test);
}

/* What begins in time is over while the lease lasts: half of the server's time, then the whole, of twice that. */
static void time_of_a_lease(void **state)
{
	struct test test;

	open_flight(&test, "", 1);
	assert_true(flight_has_time(test.flight, 129 * SECOND));
	assert_false(flight_has_time(test.flight, 130 * SECOND));
	close_flight(&test);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_is_well),
		cmocka_unit_test(rounds_follow_what_was_read),
		cmocka_unit_test(what_cannot_be_read),
		cmocka_unit_test(what_cannot_be_sent),
		cmocka_unit_test(tenants),
		cmocka_unit_test(many_deletions),
		cmocka_unit_test(many_deletions_refused),
		cmocka_unit_test(many_deletions_put_off),
		cmocka_unit_test(one_spoils_the_batch),
		cmocka_unit_test(the_server_spoils_all),
		cmocka_unit_test(verdicts_of_each),
		cmocka_unit_test(the_server_is_away),
		cmocka_unit_test(doubts),
		cmocka_unit_test(time_of_a_lease),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
