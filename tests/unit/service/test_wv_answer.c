/* SPDX-License-Identifier: ISC */
#include "service/wv_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ID_A "6f1c1c1e-0000-4000-8000-0000000000e1"
#define ID_B "6f1c1c1e-0000-4000-8000-0000000000e2"
#define STORED(id) "{\"class\":\"C\",\"id\":\"" id "\",\"vector\":[0.1,0.2,0.3],\"result\":{\"status\":\"SUCCESS\"}}"
#define FAILED(id, text) "{\"class\":\"C\",\"id\":\"" id "\",\"result\":{\"status\":\"FAILED\",\"errors\":{\"error\":[{\"message\":\"" text "\"}]}}}"

static const char *const ids[] = { ID_A, ID_B };
static struct wv_verdict verdicts[2];

static struct http_answer said(unsigned status, const char *body)
{
	return (struct http_answer){ .result = HTTP_ANSWERED, .status = status, .body = body, .n_body = strlen(body) };
}

static struct wv_verdict read_batch(unsigned n, unsigned status, const char *body)
{
	struct http_answer answer = said(status, body);

	memset(verdicts, 0xff, sizeof(verdicts));
	return wv_read_batch(&answer, n, ids, verdicts);
}

/* The whole of it comes to that; a single object of it, which cannot be split, to that. */
static void expect_whole(unsigned status, const char *body, enum wv_outcome many, enum wv_outcome one, const char *text)
{
	struct wv_verdict verdict = read_batch(2, status, body);

	if (verdict.outcome != many || strncmp(verdict.text, text, strlen(text)) != 0)
		fail_msg("%u %s: %d %s", status, body, verdict.outcome, verdict.text);
	verdict = read_batch(1, status, body);
	if (verdict.outcome != one)
		fail_msg("%u %s: one: %d", status, body, verdict.outcome);
}

static void stored(void **state)
{
	assert_int_equal(read_batch(2, 200, "[" STORED(ID_A) "," STORED(ID_B) "]").outcome, WV_DONE);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(verdicts[i].outcome, WV_DONE);
		assert_int_equal(verdicts[i].n_dimensions, 3);
		assert_string_equal(verdicts[i].text, "");
	}
	/* Without a vector; with errors that are none. */
	assert_int_equal(read_batch(1, 200, "[{\"id\":\"" ID_A "\",\"result\":{\"status\":\"SUCCESS\",\"errors\":null}}]").outcome, WV_DONE);
	assert_int_equal(verdicts[0].outcome, WV_DONE);
	assert_int_equal(verdicts[0].n_dimensions, 0);
	assert_int_equal(read_batch(1, 200, "[{\"id\":\"" ID_A "\",\"result\":{\"status\":\"SUCCESS\",\"errors\":{}}}]").outcome, WV_DONE);
	assert_int_equal(verdicts[0].outcome, WV_DONE);
}

static void each_has_its_own(void **state)
{
	static const struct {
		const char *message;
		enum wv_outcome outcome;
		const char *text;
	} cases[] = {
		{ "invalid object: no such prop with name 'x' found", WV_PARK, "rejected: " },
		{ "property 'n' requires an integer", WV_PARK, "rejected: " },
		{ "must be RFC3339", WV_PARK, "rejected: " },
		{ "new node has a vector with length 3. Existing nodes have vectors with length 4", WV_PARK, "vector: " },
		{ "class 'X' not present in schema", WV_PARK, "collection: " },
		{ "tenant not found: \\\"t\\\"", WV_PARK, "tenant: tenant not found: \"t\"" },
		{ "not enough memory for import", WV_RETRY, "server: " },
		{ "context deadline exceeded", WV_RETRY, "timeout: " },
		{ "connection to: OpenAI API failed with status: 429", WV_RETRY, "rejected: " },
		{ "something new", WV_RETRY, "rejected: something new" },
	};
	struct strbuf body = STRBUF_INIT;

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		strbuf_reset(&body);
		strbuf_addf(&body, "[" STORED(ID_A) "," FAILED(ID_B, "%s") "]", cases[i].message);
		assert_int_equal(read_batch(2, 200, body.data).outcome, WV_DONE);
		assert_int_equal(verdicts[0].outcome, WV_DONE);
		if (verdicts[1].outcome != cases[i].outcome || strncmp(verdicts[1].text, cases[i].text, strlen(cases[i].text)) != 0)
			fail_msg("%s: %d %s", cases[i].message, verdicts[1].outcome, verdicts[1].text);
	}
	strbuf_release(&body);
}

/* SUCCESS beside errors, no status, another status, no result. */
static void what_is_no_success(void **state)
{
	static const char *const bodies[] = {
		"[{\"id\":\"" ID_A "\",\"result\":{\"status\":\"SUCCESS\",\"errors\":{\"error\":[{\"message\":\"but no\"}]}}}]",
		"[{\"id\":\"" ID_A "\",\"result\":{\"status\":\"SUCCESS\",\"errors\":{\"error\":[]}}}]",
		"[{\"id\":\"" ID_A "\",\"result\":{\"status\":\"PENDING\"}}]",
		"[{\"id\":\"" ID_A "\",\"result\":{\"status\":1}}]",
		"[{\"id\":\"" ID_A "\",\"result\":{}}]",
		"[{\"id\":\"" ID_A "\"}]",
	};

	for (size_t i = 0; i < N_ELEMENTS(bodies); i++) {
		assert_int_equal(read_batch(1, 200, bodies[i]).outcome, WV_DONE);
		assert_int_equal(verdicts[0].outcome, WV_RETRY);
		assert_true(verdicts[0].text[0]);
	}
}

/* One object says it, the others are SUCCESS, and nothing was stored. */
static void a_read_only_shard_lies(void **state)
{
	assert_int_equal(read_batch(2, 200, "[" FAILED(ID_A, "store is read-only") "," STORED(ID_B) "]").outcome, WV_STORE);
	assert_int_equal(read_batch(2, 200, "[" STORED(ID_A) "," FAILED(ID_B, "shard: STORE is Read-Only") "]").outcome, WV_STORE);
	assert_int_equal(read_batch(2, 200, "[" FAILED(ID_A, "no such prop") "," FAILED(ID_B, "store is read-only") "]").outcome, WV_STORE);
}

static void answers_about_nothing(void **state)
{
	expect_whole(200, "", WV_SPLIT, WV_RETRY, "answer: it is empty");
	expect_whole(200, "[", WV_SPLIT, WV_RETRY, "answer: ");
	expect_whole(200, "{}", WV_SPLIT, WV_RETRY, "answer: ");
	expect_whole(200, "[]", WV_SPLIT, WV_RETRY, "answer: ");
	expect_whole(200, "[1,2,3]", WV_SPLIT, WV_RETRY, "answer: ");
	expect_whole(200, "[" STORED(ID_B) "," STORED(ID_A) "]", WV_SPLIT, WV_RETRY, "answer: it is not about our objects");
	assert_int_equal(read_batch(1, 200, "[" STORED(ID_B) "]").outcome, WV_RETRY);
	assert_int_equal(read_batch(1, 200, "[{\"id\":17,\"result\":{\"status\":\"SUCCESS\"}}]").outcome, WV_RETRY);
	assert_int_equal(read_batch(2, 200, "[" STORED(ID_A) "," STORED(ID_A) "]").outcome, WV_SPLIT);
}

static void statuses(void **state)
{
	expect_whole(400, "{\"code\":400,\"message\":\"parsing body failed\"}", WV_SPLIT, WV_PARK, "rejected: 400 parsing body failed");
	expect_whole(401, "{\"code\":401,\"message\":\"anonymous access not enabled\"}", WV_REFUSED, WV_REFUSED, "permission: 401 anonymous");
	expect_whole(403, "{\"error\":[{\"message\":\"forbidden: user\"}]}", WV_REFUSED, WV_REFUSED, "permission: 403 forbidden: user");
	expect_whole(404, "", WV_SPLIT, WV_PARK, "collection: 404 no reason given");
	expect_whole(413, "<html>\n<b>too large</b>", WV_SPLIT, WV_PARK, "size: 413 <html> <b>too large</b>");
	expect_whole(418, "", WV_STORE, WV_STORE, "server: 418");
	expect_whole(422, "{\"code\":602,\"message\":\"id in body must be uuid\"}", WV_SPLIT, WV_PARK, "rejected: 422 id in body");
	expect_whole(429, "{\"errorCode\":\"USAGE_LIMIT_EXCEEDED\",\"message\":\"too many\"}", WV_STORE, WV_STORE, "server: 429 too many");
	expect_whole(500, "{\"error\":[{\"message\":\"oops\"}]}", WV_SPLIT, WV_RETRY, "server: 500 oops");
	expect_whole(502, "bad gateway", WV_UNKNOWN, WV_UNKNOWN, "timeout: 502 bad gateway");
	expect_whole(503, "\x01\xff", WV_STORE, WV_STORE, "server: 503 ??");
	expect_whole(504, "", WV_UNKNOWN, WV_UNKNOWN, "timeout: 504");
	expect_whole(301, "", WV_SPLIT, WV_PARK, "rejected: 301");
	expect_whole(507, "", WV_STORE, WV_STORE, "server: 507");
}

static void no_answers(void **state)
{
	struct http_answer answer = { .result = HTTP_NOT_SENT, .body = "", .error = "refused" };

	assert_int_equal(wv_read_batch(&answer, 2, ids, verdicts).outcome, WV_STORE);
	assert_int_equal(wv_read_delete(&answer).outcome, WV_STORE);
	answer.result = HTTP_UNKNOWN;
	assert_int_equal(wv_read_batch(&answer, 2, ids, verdicts).outcome, WV_UNKNOWN);
	assert_int_equal(wv_read_delete(&answer).outcome, WV_UNKNOWN);
	assert_string_equal(wv_read_delete(&answer).text, "timeout: refused");
	answer.result = HTTP_TOO_LARGE;
	answer.status = 200;
	assert_int_equal(wv_read_batch(&answer, 2, ids, verdicts).outcome, WV_SPLIT);
	assert_int_equal(wv_read_batch(&answer, 1, ids, verdicts).outcome, WV_RETRY);
}

static void deletes(void **state)
{
	static const struct {
		unsigned status;
		enum wv_outcome outcome;
	} cases[] = {
		{ 204, WV_DONE }, { 404, WV_DONE }, { 200, WV_RETRY }, { 202, WV_RETRY }, { 401, WV_REFUSED }, { 403, WV_REFUSED }, { 422, WV_PARK },
		{ 500, WV_RETRY }, { 503, WV_STORE }, { 504, WV_UNKNOWN },
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct http_answer answer = said(cases[i].status, "");

		assert_int_equal(wv_read_delete(&answer).outcome, cases[i].outcome);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stored),
		cmocka_unit_test(each_has_its_own),
		cmocka_unit_test(what_is_no_success),
		cmocka_unit_test(a_read_only_shard_lies),
		cmocka_unit_test(answers_about_nothing),
		cmocka_unit_test(statuses),
		cmocka_unit_test(no_answers),
		cmocka_unit_test(deletes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
