/* SPDX-License-Identifier: ISC */
/* Requests against a server of a few lines, which does by the path of a request what it is told to. */
#include "service/http.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"
#include "unit/service/fakehttp.h"

#define LONG_US 20000000u
#define SHORT_US 300000u

struct test {
	struct fakehttp server;
	int n_cut; /* atomic: requests that were read and not answered */
	struct loop loop;
	struct http *http;
	struct http_call *call;
	enum http_result result;
	unsigned status, n_done;
	char *body, *error;
	size_t n_body;
	bool inside;
	char url[128];
};

/* ---- the server ---- */

/* false: the connection is to be closed. */
static bool act(struct fakehttp *server, int fd, const char *request, size_t n)
{
	static const char half[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789";
	const char *path = strchr(request, ' ') + 1;

	if (strncmp(path, "/cut", 4) == 0) {
		__atomic_add_fetch(&((struct test *)server->arg)->n_cut, 1, __ATOMIC_RELAXED);
		return false;
	}
	if (strncmp(path, "/silent", 7) == 0) {
		fakehttp_be_silent(server, fd);
		return false;
	}
	if (strncmp(path, "/half", 5) == 0) {
		fakehttp_say(fd, half, sizeof(half) - 1);
		return false;
	}
	if (strncmp(path, "/head", 5) == 0) {
		fakehttp_say(fd, half, 20);
		return false;
	}
	if (strncmp(path, "/503", 4) == 0)
		fakehttp_answer(fd, 503, "down", 4);
	else if (strncmp(path, "/empty", 6) == 0)
		fakehttp_answer(fd, 200, "", 0);
	else
		fakehttp_answer(fd, 200, request, n);
	return true;
}

/* ---- the client ---- */

static void on_done(void *arg, const struct http_answer *said)
{
	struct test *test = arg;

	assert_false(test->inside);
	assert_int_equal(said->body[said->n_body], '\0');
	test->call = NULL;
	test->result = said->result;
	test->status = said->status;
	test->n_done++;
	mem_free(test->body);
	mem_free(test->error);
	test->body = mem_strndup(said->body, said->n_body);
	test->n_body = said->n_body;
	test->error = mem_strdup(said->error);
	loop_stop(&test->loop);
}

static void begin(struct test *test, struct http_request *request)
{
	request->method = request->method ? request->method : "GET";
	request->url = request->url ? request->url : test->url;
	request->max_answer_bytes = request->max_answer_bytes ? request->max_answer_bytes : 1000000;
	request->timeout_us = request->timeout_us ? request->timeout_us : LONG_US;
	test->inside = true;
	test->call = http_send(test->http, request, on_done, test);
	test->inside = false;
}

static void ask(struct test *test, struct http_request request)
{
	begin(test, &request);
	test->loop.stopping = false;
	loop_run(&test->loop);
}

static void get(struct test *test, const char *path, uint64_t timeout_us)
{
	(void)snprintf(test->url, sizeof(test->url), "http://127.0.0.1:%u%s", test->server.port, path);
	ask(test, (struct http_request){ .timeout_us = timeout_us });
}

static int set_up(void **state)
{
	struct test *test = mem_zalloc(sizeof(*test));

	/* Nobody listens there: who looked at it would fail. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	fakehttp_open(&test->server, act, test);
	loop_init(&test->loop);
	test->http = http_new(&test->loop);
	*state = test;
	return 0;
}

static int tear_down(void **state)
{
	struct test *test = *state;

	http_free(&test->http);
	loop_release(&test->loop);
	fakehttp_close(&test->server);
	mem_free(test->body);
	mem_free(test->error);
	mem_free(test);
	return 0;
}

/* ---- tests ---- */

static void an_answer_and_a_connection_kept(void **state)
{
	struct test *test = *state;

	for (unsigned i = 0; i < 3; i++) {
		get(test, "/hello", LONG_US);
		assert_int_equal(test->result, HTTP_ANSWERED);
		assert_int_equal(test->status, 200);
		assert_null(test->error);
		assert_ptr_equal(strstr(test->body, "GET /hello HTTP/1.1\r\n"), test->body);
		assert_null(strstr(test->body, "Authorization"));
		assert_null(strstr(test->body, "Content-Type"));
	}
	assert_int_equal(test->server.n_connections, 1);
}

static void a_body_and_a_key(void **state)
{
	struct test *test = *state;
	size_t n = 8u << 20;
	char *body = mem_alloc(n);

	memset(body, 'x', n);
	(void)snprintf(test->url, sizeof(test->url), "http://127.0.0.1:%u/up", test->server.port);
	ask(test, (struct http_request){ .method = "POST", .body = body, .n_body = n, .key = "top-secret", .max_answer_bytes = n + 1000 });
	assert_int_equal(test->result, HTTP_ANSWERED);
	assert_ptr_equal(strstr(test->body, "POST /up HTTP/1.1\r\n"), test->body);
	assert_non_null(strstr(test->body, "\r\nAuthorization: Bearer top-secret\r\n"));
	assert_non_null(strstr(test->body, "\r\nContent-Type: application/json\r\n"));
	assert_null(strstr(test->body, "Expect"));
	assert_memory_equal(test->body + test->n_body - n, body, n);
	ask(test, (struct http_request){ .method = "DELETE" });
	assert_ptr_equal(strstr(test->body, "DELETE /up HTTP/1.1\r\n"), test->body);
	mem_free(body);
}

static void statuses_are_answers(void **state)
{
	struct test *test = *state;

	get(test, "/503", LONG_US);
	assert_int_equal(test->result, HTTP_ANSWERED);
	assert_int_equal(test->status, 503);
	assert_string_equal(test->body, "down");
	get(test, "/empty", LONG_US);
	assert_int_equal(test->result, HTTP_ANSWERED);
	assert_int_equal(test->n_body, 0);
}

static void what_cannot_have_been_heard(void **state)
{
	struct test *test = *state;

	fakehttp_close(&test->server);
	get(test, "/x", LONG_US);
	assert_int_equal(test->result, HTTP_NOT_SENT);
	assert_int_equal(test->status, 0);
	assert_non_null(test->error);
	fakehttp_open(&test->server, act, test);
	(void)snprintf(test->url, sizeof(test->url), "https://127.0.0.1:%u/x", test->server.port);
	ask(test, (struct http_request){ 0 }); /* it does not speak TLS */
	assert_int_equal(test->result, HTTP_NOT_SENT);
}

static void what_may_have_been_heard(void **state)
{
	struct test *test = *state;

	get(test, "/cut", LONG_US);
	assert_int_equal(test->result, HTTP_UNKNOWN);
	get(test, "/half", LONG_US);
	assert_int_equal(test->result, HTTP_UNKNOWN);
	assert_int_equal(test->n_body, 0);
	get(test, "/head", LONG_US);
	assert_int_equal(test->result, HTTP_UNKNOWN);
	get(test, "/silent", SHORT_US);
	assert_int_equal(test->result, HTTP_UNKNOWN);
	assert_non_null(test->error);
	get(test, "/hello", LONG_US); /* and on it goes */
	assert_int_equal(test->result, HTTP_ANSWERED);
}

/*
 * curl sends again by itself what it sent on a connection that had been used before and ends without an answer: the server may have heard it.
 */
static void a_write_is_sent_once(void **state)
{
	struct test *test = *state;

	for (unsigned with_body = 0; with_body < 2; with_body++) {
		get(test, "/hello", LONG_US);
		(void)snprintf(test->url, sizeof(test->url), "http://127.0.0.1:%u/cut", test->server.port);
		ask(test, (struct http_request){ .method = with_body ? "POST" : "DELETE", .body = with_body ? "{}" : NULL, .n_body = 2 * with_body, .is_write = true });
		assert_int_equal(test->result, HTTP_UNKNOWN);
		assert_int_equal(__atomic_load_n(&test->n_cut, __ATOMIC_RELAXED), 1 + with_body);
	}
	get(test, "/hello", LONG_US);
	assert_int_equal(test->result, HTTP_ANSWERED);
}

static void too_much_is_not_read(void **state)
{
	struct test *test = *state;

	(void)snprintf(test->url, sizeof(test->url), "http://127.0.0.1:%u/echo", test->server.port);
	ask(test, (struct http_request){ .max_answer_bytes = 10 });
	assert_int_equal(test->result, HTTP_TOO_LARGE);
	assert_int_equal(test->status, 200);
	assert_int_equal(test->n_body, 0);
}

static void canceled_calls_say_nothing(void **state)
{
	struct test *test = *state;
	struct http_request request = { 0 };
	struct http_call *calls[3];

	(void)snprintf(test->url, sizeof(test->url), "http://127.0.0.1:%u/silent", test->server.port);
	for (unsigned i = 0; i < 3; i++) {
		begin(test, &request);
		calls[i] = test->call;
	}
	http_cancel(&calls[1]);
	assert_null(calls[1]);
	http_cancel(&calls[1]);
	http_cancel(&calls[0]);
	http_cancel(&calls[2]);
	get(test, "/hello", LONG_US);
	assert_int_equal(test->n_done, 1);
	/* What is under way at the end is cancelled. */
	begin(test, &request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_answer_and_a_connection_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_body_and_a_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(statuses_are_answers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_have_been_heard, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_may_have_been_heard, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_write_is_sent_once, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_much_is_not_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(canceled_calls_say_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
