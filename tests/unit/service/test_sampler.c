/* SPDX-License-Identifier: ISC */
/*
 * The sampler against a server that plays scripts and a ledger that is a few counters: what is
 * written, when it leaves the backlog, what is held meanwhile.
 */
#include "service/sampler.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "service/sample_rows.h"
#include "unit/service/fakepg.h"

#define LONG_US 20000000u

/* A moment of 2023; samples are taken a second apart. */
#define EPOCH_US 1700000000000000u

struct test {
	struct fakepg fake;
	struct loop loop;
	char name[8];
	struct config_database database;
	struct config config;
	struct sampler *sampler;
	enum permit_verdict answer; /* of acquire */
	int permits, slots;	    /* held */
	unsigned n_acquired, n_cancelled, n_closed;
	unsigned stop_after; /* closed that often: the loop stops */
	struct timer bell;
};

/* Every configuration of these tests is on a stack: its count never comes to 0. */
#define REFS 1000

static enum permit_verdict acquire(void *arg)
{
	struct test *test = arg;

	assert_int_equal(test->permits, 0);
	assert_int_equal(test->slots, 0);
	test->n_acquired++;
	if (test->answer == PERMIT_GRANTED)
		test->permits = test->slots = 1;
	return test->answer;
}

static void cancel(void *arg)
{
	struct test *test = arg;

	assert_int_equal(test->permits, 0);
	test->n_cancelled++;
}

static void closing(void *arg)
{
	struct test *test = arg;

	assert_int_equal(test->permits, 1);
	test->permits = 0;
}

static void closed(void *arg)
{
	struct test *test = arg;

	assert_int_equal(test->permits, 0);
	assert_int_equal(test->slots, 1);
	test->slots = 0;
	if (++test->n_closed == test->stop_after)
		loop_stop(&test->loop);
}

static const struct permit_ops permits = { acquire, cancel, closing, closed };

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof(*test));

	if (test == NULL)
		return -1;
	fakepg_open(&test->fake);
	loop_init(&test->loop);
	(void)snprintf(test->name, sizeof(test->name), "metrics");
	test->answer = PERMIT_GRANTED;
	test->stop_after = 1;
	test->database = (struct config_database){
		.name = test->name, .host = test->fake.dir, .port = FAKEPG_PORT,
	};
	test->config.refs = REFS;
	test->config.databases = &test->database;
	test->config.n_databases = 1;
	test->config.metrics_database = test->name;
	test->config.metrics_user = test->name;
	test->config.instance_id = test->name;
	test->config.sample_backlog = 100;
	test->config.server_connect_timeout_us = LONG_US;
	test->sampler = sampler_new(&test->loop, &test->config, &permits, test);
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	sampler_free(&test->sampler, LONG_US);
	assert_int_equal(test->permits, 0);
	assert_int_equal(test->slots, 0);
	assert_int_equal(test->config.refs, REFS);
	timer_stop(&test->bell);
	loop_release(&test->loop);
	fakepg_release(&test->fake);
	free(test);
	return 0;
}

/* Sample i is taken i seconds after the epoch. */
static void add(struct test *test, unsigned i)
{
	struct sample sample = { .id = { (uint8_t)i }, .taken_wall_us = EPOCH_US + i * 1000000u };

	sampler_add(test->sampler, &sample);
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

/* ---- what scripts expect ---- */

/* The statement under way writes exactly these samples, in order. */
static void expect_batch(struct fakepg *fake, unsigned first, unsigned last)
{
	char text[4096] = "{";

	for (unsigned i = first; i <= last; i++) {
		size_t n = strlen(text);

		(void)snprintf(text + n, sizeof(text) - n, "%s\"2023-11-14 22:13:%02u.000000+00\"",
			i > first ? "," : "", 20 + i);
	}
	(void)snprintf(text + strlen(text), 2, "}");
	fakepg_await_statement(fake);
	MUST(memmem(fake->body, fake->n_body, text, strlen(text)) != NULL);
}

static void write_batch(struct fakepg *fake, unsigned first, unsigned last)
{
	expect_batch(fake, first, last);
	fakepg_done(fake);
	fakepg_ready(fake);
}

static void end_session(struct fakepg *fake)
{
	fakepg_await_end(fake);
	fakepg_close(fake);
}

/* ---- good times ---- */

static void writes_one(struct fakepg *fake)
{
	fakepg_login(fake);
	write_batch(fake, 1, 1);
	end_session(fake);
}

static void a_sample_is_written_and_nothing_kept(void **state)
{
	struct test *test = *state;

	fakepg_play(&test->fake, writes_one);
	add(test, 1);
	run(test);
	fakepg_join(&test->fake);
	assert_int_equal(test->n_acquired, 1);
	/* There is nothing more: it holds nothing and asks for nothing. */
	sampler_change(test->sampler, &test->config);
	assert_int_equal(test->n_acquired, 1);
}

static void writes_one_then_the_rest(struct fakepg *fake)
{
	fakepg_login(fake);
	expect_batch(fake, 1, 1);
	__atomic_store_n(&fake->closing, 1, __ATOMIC_SEQ_CST);
	fakepg_wait_for_go(fake);
	fakepg_done(fake);
	fakepg_ready(fake);
	write_batch(fake, 2, 3);
	end_session(fake);
}

/* What comes while a batch flies goes over the same connection. */
static void one_connection_writes_all(void **state)
{
	struct test *test = *state;

	fakepg_play(&test->fake, writes_one_then_the_rest);
	add(test, 1);
	while (!__atomic_load_n(&test->fake.closing, __ATOMIC_SEQ_CST))
		run_for(test, 10000);
	add(test, 2);
	add(test, 3);
	__atomic_store_n(&test->fake.go, 1, __ATOMIC_SEQ_CST);
	run(test);
	fakepg_join(&test->fake);
	assert_int_equal(test->n_acquired, 1);
}

static void is_slow_to_close(struct fakepg *fake)
{
	fakepg_login(fake);
	write_batch(fake, 1, 1);
	fakepg_await_end(fake);
	__atomic_store_n(&fake->closing, 1, __ATOMIC_SEQ_CST);
	fakepg_wait_for_go(fake);
	fakepg_close(fake);
	fakepg_login(fake);
	write_batch(fake, 2, 2);
	end_session(fake);
}

/* What comes while the connection closes does not wait for what comes after it. */
static void added_while_closing(void **state)
{
	struct test *test = *state;

	test->stop_after = 2;
	fakepg_play(&test->fake, is_slow_to_close);
	add(test, 1);
	while (!__atomic_load_n(&test->fake.closing, __ATOMIC_SEQ_CST))
		run_for(test, 10000);
	assert_int_equal(test->permits, 0);
	assert_int_equal(test->slots, 1);
	add(test, 2);
	__atomic_store_n(&test->fake.go, 1, __ATOMIC_SEQ_CST);
	run(test);
	fakepg_join(&test->fake);
	assert_int_equal(test->n_acquired, 2);
}

/* ---- bad times ---- */

static void refuses_then_writes(struct fakepg *fake)
{
	fakepg_login(fake);
	expect_batch(fake, 1, 1);
	fakepg_error(fake, "ERROR", "42P01", "relation \"db_connection_pool_metrics\" does not exist");
	fakepg_ready(fake);
	end_session(fake);
	fakepg_login(fake);
	write_batch(fake, 1, 2);
	end_session(fake);
}

static void refused_samples_are_written_later(void **state)
{
	struct test *test = *state;

	fakepg_play(&test->fake, refuses_then_writes);
	add(test, 1);
	run(test);
	add(test, 2); /* it is not the time yet */
	assert_int_equal(test->n_acquired, 1);
	test->stop_after = 2;
	run(test);
	fakepg_join(&test->fake);
	assert_int_equal(test->n_acquired, 2);
}

static void dies_before_commit_then_writes(struct fakepg *fake)
{
	char body[sizeof(fake->body)];
	size_t n;

	fakepg_login(fake);
	expect_batch(fake, 1, 2);
	n = fake->n_body;
	memcpy(body, fake->body, n);
	fakepg_done(fake); /* CommandComplete, and never ReadyForQuery */
	fakepg_close(fake);
	fakepg_login(fake);
	expect_batch(fake, 1, 2);
	/* The same ids too: were the first one committed, this one would write nothing. */
	MUST(n == fake->n_body && memcmp(body, fake->body, n) == 0);
	fakepg_done(fake);
	fakepg_ready(fake);
	end_session(fake);
}

static void only_a_commit_empties_the_backlog(void **state)
{
	struct test *test = *state;

	test->answer = PERMIT_WAITS;
	fakepg_play(&test->fake, dies_before_commit_then_writes);
	add(test, 1);
	add(test, 2);
	assert_int_equal(test->n_acquired, 1);
	test->permits = test->slots = 1;
	test->answer = PERMIT_GRANTED;
	sampler_granted(test->sampler);
	test->stop_after = 2;
	run(test);
	fakepg_join(&test->fake);
}

static void writes_the_newest(struct fakepg *fake)
{
	fakepg_login(fake);
	write_batch(fake, 4, 5);
	/* Three gave way to two, and the rows say so. */
	MUST(memmem(fake->body, fake->n_body, "{2,3}", 5) != NULL);
	end_session(fake);
}

static void oldest_give_way(void **state)
{
	struct test *test = *state;
	struct config small = test->config;

	small.sample_backlog = 2;
	sampler_change(test->sampler, &small);
	test->answer = PERMIT_WAITS;
	for (unsigned i = 1; i <= 5; i++)
		add(test, i);
	assert_int_equal(test->n_acquired, 1);
	fakepg_play(&test->fake, writes_the_newest);
	test->permits = test->slots = 1;
	sampler_granted(test->sampler);
	run(test);
	fakepg_join(&test->fake);
	sampler_change(test->sampler, &test->config);
}

static void nobody_there_is_tried_again(void **state)
{
	struct test *test = *state;
	struct config_database away = test->database;
	char nowhere[] = "/tmp/no such directory";

	away.host = nowhere;
	test->config.databases = &away;
	test->stop_after = 2;
	add(test, 1);
	run(test);
	assert_int_equal(test->n_acquired, 2);
}

static void writes_two(struct fakepg *fake)
{
	fakepg_login(fake);
	write_batch(fake, 1, 2);
	end_session(fake);
}

static void a_refusal_is_not_for_ever(void **state)
{
	struct test *test = *state;

	test->answer = PERMIT_REFUSED;
	add(test, 1);
	add(test, 2);
	assert_int_equal(test->n_acquired, 1);
	test->answer = PERMIT_GRANTED;
	fakepg_play(&test->fake, writes_two);
	run(test);
	fakepg_join(&test->fake);
	assert_int_equal(test->n_acquired, 2);
}

/* ---- changes and ends ---- */

static void without_a_database_nothing_is_asked(void **state)
{
	struct test *test = *state;
	struct config off = test->config;

	off.metrics_database = NULL;
	sampler_change(test->sampler, &off);
	assert_false(sampler_is_on(test->sampler));
	add(test, 1);
	add(test, 2);
	assert_int_equal(test->n_acquired, 0);
	fakepg_play(&test->fake, writes_two);
	sampler_change(test->sampler, &test->config);
	assert_true(sampler_is_on(test->sampler));
	run(test);
	fakepg_join(&test->fake);
}

static void switched_off_while_waiting(void **state)
{
	struct test *test = *state;
	struct config off = test->config;

	off.metrics_database = NULL;
	test->answer = PERMIT_WAITS;
	add(test, 1);
	sampler_change(test->sampler, &off);
	test->permits = test->slots = 1;
	sampler_granted(test->sampler);
	assert_int_equal(test->slots, 0);
	sampler_change(test->sampler, &test->config);
	assert_int_equal(test->n_acquired, 2);
}

/* A reload ends the wait for the next attempt. */
static void a_change_is_tried_at_once(void **state)
{
	struct test *test = *state;

	test->answer = PERMIT_REFUSED;
	add(test, 1);
	for (unsigned i = 2; i <= 5; i++) {
		sampler_change(test->sampler, &test->config);
		assert_int_equal(test->n_acquired, i);
	}
}

static void no_user(void **state)
{
	struct test *test = *state;
	struct config anonymous = test->config;

	anonymous.metrics_user = NULL;
	sampler_change(test->sampler, &anonymous);
	add(test, 1);
	assert_int_equal(test->n_acquired, 1);
	assert_int_equal(test->slots, 0);
	sampler_change(test->sampler, &test->config); /* the reference goes back */
	assert_int_equal(test->n_acquired, 2);
}

static void ended_while_waiting(void **state)
{
	struct test *test = *state;

	test->answer = PERMIT_WAITS;
	add(test, 1);
	sampler_free(&test->sampler, LONG_US);
	assert_int_equal(test->n_cancelled, 1);
	sampler_free(&test->sampler, LONG_US);
}

static void is_left_in_mid_statement(struct fakepg *fake)
{
	fakepg_login(fake);
	expect_batch(fake, 1, 1);
	__atomic_store_n(&fake->closing, 1, __ATOMIC_SEQ_CST);
	fakepg_await_eof(fake);
}

static void ended_in_mid_statement(void **state)
{
	struct test *test = *state;

	fakepg_play(&test->fake, is_left_in_mid_statement);
	add(test, 1);
	while (!__atomic_load_n(&test->fake.closing, __ATOMIC_SEQ_CST))
		run_for(test, 10000);
	assert_int_equal(test->permits, 1);
	sampler_free(&test->sampler, LONG_US);
	assert_int_equal(test->n_closed, 1);
	fakepg_join(&test->fake);
}

static void is_left_while_closing(struct fakepg *fake)
{
	fakepg_login(fake);
	write_batch(fake, 1, 1);
	fakepg_await_end(fake);
	__atomic_store_n(&fake->closing, 1, __ATOMIC_SEQ_CST);
	fakepg_wait_for_go(fake);
	fakepg_close(fake);
}

static void ended_while_closing(void **state)
{
	struct test *test = *state;

	fakepg_play(&test->fake, is_left_while_closing);
	add(test, 1);
	while (!__atomic_load_n(&test->fake.closing, __ATOMIC_SEQ_CST))
		run_for(test, 10000);
	__atomic_store_n(&test->fake.go, 1, __ATOMIC_SEQ_CST);
	sampler_free(&test->sampler, LONG_US);
	assert_int_equal(test->n_closed, 1);
	fakepg_join(&test->fake);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_sample_is_written_and_nothing_kept),
		TEST(one_connection_writes_all),
		TEST(added_while_closing),
		TEST(refused_samples_are_written_later),
		TEST(only_a_commit_empties_the_backlog),
		TEST(oldest_give_way),
		TEST(nobody_there_is_tried_again),
		TEST(a_refusal_is_not_for_ever),
		TEST(without_a_database_nothing_is_asked),
		TEST(switched_off_while_waiting),
		TEST(a_change_is_tried_at_once),
		TEST(no_user),
		TEST(ended_while_waiting),
		TEST(ended_in_mid_statement),
		TEST(ended_while_closing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
