/* SPDX-License-Identifier: ISC */
/* What stops writes, what is asked meanwhile, and what lets them go on. */
#include "service/wv_store.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "unit/service/fakehttp.h"

#define REFS 1000 /* the configuration is on the test's own: its count never comes to 0 */

struct test {
	struct fakehttp server;
	struct loop loop;
	struct http *http;
	struct wv_store *store;
	struct config config;
	struct timer bell;
	char url[64];
	int ready_status, meta_status;	 /* atomic: what is answered */
	int n_ready, n_meta, n_with_key; /* atomic: what was asked */
	unsigned n_works;
};

static bool act(struct fakehttp *server, int fd, const char *request, size_t n)
{
	struct test *test = server->arg;
	bool is_ready = strncmp(request, "GET /v1/.well-known/ready HTTP/1.1\r\n", 36) == 0;

	MUST(is_ready || strncmp(request, "GET /v1/meta HTTP/1.1\r\n", 23) == 0);
	__atomic_add_fetch(is_ready ? &test->n_ready : &test->n_meta, 1, __ATOMIC_SEQ_CST);
	if (memmem(request, n, "Bearer the-key\r\n", 16))
		__atomic_add_fetch(&test->n_with_key, 1, __ATOMIC_SEQ_CST);
	fakehttp_answer(fd, (unsigned)__atomic_load_n(is_ready ? &test->ready_status : &test->meta_status, __ATOMIC_SEQ_CST), "", 0);
	return true;
}

static void on_works(void *arg)
{
	struct test *test = arg;

	test->n_works++;
	loop_stop(&test->loop);
}

static int setup(void **state)
{
	struct test *test = mem_zalloc(sizeof(*test));

	test->ready_status = test->meta_status = 200;
	fakehttp_open(&test->server, act, test);
	(void)snprintf(test->url, sizeof(test->url), "http://127.0.0.1:%u", test->server.port);
	test->config.refs = REFS;
	test->config.weaviate_url = test->url;
	test->config.weaviate_key = mem_strdup("the-key");
	loop_init(&test->loop);
	test->http = http_new(&test->loop);
	test->store = wv_store_new(&test->loop, test->http, on_works, test);
	wv_store_change(test->store, &test->config);
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	wv_store_free(&test->store);
	http_free(&test->http);
	timer_stop(&test->bell);
	loop_release(&test->loop);
	fakehttp_close(&test->server);
	assert_int_equal(test->config.refs, REFS);
	mem_free(test->config.weaviate_key);
	mem_free(test);
	return 0;
}

static void run(struct test *test)
{
	test->loop.stopping = false;
	loop_run(&test->loop);
}

static void on_bell(struct timer *timer)
{
	loop_stop(&CONTAINER_OF(timer, struct test, bell)->loop);
}

static void run_for(struct test *test, uint64_t us)
{
	loop_timer(&test->loop, &test->bell, us, on_bell);
	run(test);
}

static void came_to(struct test *test, enum wv_outcome outcome)
{
	struct wv_verdict verdict = wv_verdict(outcome, "server", "as it is");

	wv_store_note(test->store, &verdict);
}

/* ---- tests ---- */

static void what_is_about_objects_stops_nobody(void **state)
{
	struct test *test = *state;

	assert_true(wv_store_works(test->store));
	came_to(test, WV_DONE);
	came_to(test, WV_RETRY);
	came_to(test, WV_PARK);
	came_to(test, WV_SPLIT);
	assert_true(wv_store_works(test->store));
	assert_string_equal(wv_store_trouble(test->store), "");
}

static void it_is_asked_whether_it_is_ready(void **state)
{
	struct test *test = *state;

	test->ready_status = 503;
	came_to(test, WV_STORE);
	came_to(test, WV_UNKNOWN); /* of another request: nothing more */
	assert_false(wv_store_works(test->store));
	assert_false(wv_store_refuses(test->store));
	assert_string_equal(wv_store_trouble(test->store), "server: as it is");
	run_for(test, 2 * WV_STORE_RETRY_MIN_US);
	assert_true(__atomic_load_n(&test->n_ready, __ATOMIC_SEQ_CST) >= 1);
	assert_false(wv_store_works(test->store));
	assert_non_null(strstr(wv_store_trouble(test->store), "503"));
	__atomic_store_n(&test->ready_status, 200, __ATOMIC_SEQ_CST);
	run(test);
	assert_int_equal(test->n_works, 1);
	assert_true(wv_store_works(test->store));
	assert_string_equal(wv_store_trouble(test->store), "");
	assert_int_equal(test->n_meta + test->n_with_key, 0);
}

/* It says that it is ready and yet stores nothing: each time it takes longer. A write that succeeds starts anew. */
static void pauses_grow_until_something_is_stored(void **state)
{
	struct test *test = *state;
	uint64_t began_us = clock_mono_us();
	unsigned i;

	for (i = 0; i < 3; i++) {
		came_to(test, WV_STORE);
		run(test);
	}
	assert_true(clock_mono_us() - began_us >= WV_STORE_RETRY_MIN_US / 2 * (1 + 2 + 4));
	came_to(test, WV_DONE);
	came_to(test, WV_STORE);
	run_for(test, WV_STORE_RETRY_MIN_US * 2);
	assert_int_equal(test->n_works, 4);
}

static void a_wrong_address_is_no_readiness(void **state)
{
	struct test *test = *state;

	test->ready_status = 404;
	came_to(test, WV_STORE);
	run_for(test, 2 * WV_STORE_RETRY_MIN_US);
	assert_non_null(strstr(wv_store_trouble(test->store), "weaviate_url"));
	assert_int_equal(test->n_works, 0);
}

/* Once a minute, and at once after a change. */
static void who_is_refused_waits_for_another_key(void **state)
{
	struct test *test = *state;

	came_to(test, WV_REFUSED);
	assert_true(wv_store_refuses(test->store));
	run_for(test, 2 * WV_STORE_RETRY_MIN_US);
	assert_int_equal(test->n_ready + test->n_meta, 0);
	wv_store_change(test->store, &test->config);
	assert_int_equal(test->n_works, 1);
	assert_true(wv_store_works(test->store));
	assert_false(wv_store_refuses(test->store));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_about_objects_stops_nobody, setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_asked_whether_it_is_ready, setup, teardown),
		cmocka_unit_test_setup_teardown(pauses_grow_until_something_is_stored, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wrong_address_is_no_readiness, setup, teardown),
		cmocka_unit_test_setup_teardown(who_is_refused_waits_for_another_key, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
