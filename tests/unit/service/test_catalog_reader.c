/* SPDX-License-Identifier: ISC */
/*
 * The reader of catalogs against a server that plays scripts and a ledger that is a few counters:
 * what is read when, what is held meanwhile, who is told.
 */
#include "service/catalog_reader.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "unit/service/fakepg.h"

#define LONG_US 20000000u
#define REFS 1000 /* of a configuration on the stack: its count never comes to 0 */

struct test {
	struct fakepg fake;
	struct loop loop;
	char user[8], name[8], other[8];
	struct config_database databases[2];
	struct config config;
	struct catalog_reader *reader;
	enum permit_verdict answer; /* of acquire */
	int permits, slots;	    /* held */
	unsigned n_acquired, n_cancelled;
	bool paused, refuses, is_reading;
	unsigned n_listed; /* of databases */
	struct catalogs *catalogs; /* the last ones */
	unsigned n_answers;
	bool ok;
	char text[256];
	struct timer bell;
};

/* ---- what the reader calls ---- */

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
}

static const struct permit_ops permits = { acquire, cancel, closing, closed };

static void list_databases(void *arg, struct catalog_reader *reader)
{
	const struct test *test = arg;

	for (unsigned i = 0; i < test->n_listed; i++)
		catalog_reader_add(reader, test->databases[i].name, NULL);
}

static bool may_read(void *arg, const char *database)
{
	const struct test *test = arg;

	return !test->paused;
}

static bool begins(void *arg, const char *database)
{
	struct test *test = arg;

	assert_false(test->is_reading);
	test->is_reading = !test->refuses;
	return test->is_reading;
}

static void ended(void *arg)
{
	struct test *test = arg;

	assert_true(test->is_reading);
	assert_int_equal(test->slots, 0);
	test->is_reading = false;
}

static void learned(void *arg, struct catalogs *catalogs)
{
	struct test *test = arg;

	catalogs_unref(&test->catalogs);
	test->catalogs = catalogs_ref(catalogs);
}

static const struct catalog_reader_ops ops = { list_databases, may_read, begins, ended, learned };

static void on_done(void *arg, bool ok, const char *text)
{
	struct test *test = arg;

	test->n_answers++;
	test->ok = ok;
	(void)snprintf(test->text, sizeof(test->text), "%s", text);
	loop_stop(&test->loop);
}

/* ---- the test's own ---- */

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof(*test));

	if (test == NULL)
		return -1;
	fakepg_open(&test->fake);
	loop_init(&test->loop);
	(void)snprintf(test->user, sizeof(test->user), "asks");
	(void)snprintf(test->name, sizeof(test->name), "shop");
	(void)snprintf(test->other, sizeof(test->other), "tmp");
	test->answer = PERMIT_GRANTED;
	test->n_listed = 1;
	test->databases[0] = (struct config_database){
		.name = test->name, .host = test->fake.dir, .port = FAKEPG_PORT };
	test->databases[1] = (struct config_database){
		.name = test->other, .host = test->fake.dir, .port = FAKEPG_PORT };
	test->config.refs = REFS;
	test->config.databases = test->databases;
	test->config.n_databases = 1;
	test->config.catalog_user = test->user;
	test->config.catalog_period_us = LONG_US;
	test->config.server_connect_timeout_us = LONG_US;
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	catalog_reader_free(&test->reader, LONG_US);
	catalogs_unref(&test->catalogs);
	assert_int_equal(test->permits, 0);
	assert_int_equal(test->slots, 0);
	assert_int_equal(test->config.refs, REFS);
	assert_false(test->is_reading);
	timer_stop(&test->bell);
	loop_release(&test->loop);
	fakepg_release(&test->fake);
	free(test);
	return 0;
}

static void start(struct test *test)
{
	test->reader = catalog_reader_new(&test->loop, &test->config, &permits, test, &ops, test);
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

/* ---- what scripts are made of ---- */

static void say_row(struct fakepg *fake)
{
	FAKEPG_SAY(fake, '1', "");
	FAKEPG_SAY(fake, '2', "");
	FAKEPG_SAY(fake, 'T',
		"\0\5"
		"s\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
		"t\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
		"c\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
		"y\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
		"v\0\0\0\0\0\0\0\0\0\0\x10\0\1\xff\xff\xff\xff\0\0");
	FAKEPG_SAY(fake, 'D', "\0\5\0\0\0\1s\0\0\0\5items\0\0\0\1v\0\0\0\6vector\0\0\0\1t");
	FAKEPG_SAY(fake, 'C', "SELECT 1\0");
	fakepg_ready(fake);
}

static void answer_once(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	say_row(fake);
	fakepg_await_end(fake);
	fakepg_close(fake);
}

static void answers(struct fakepg *fake)
{
	answer_once(fake);
}

static void answers_twice(struct fakepg *fake)
{
	answer_once(fake);
	answer_once(fake);
}

static void refuse_once(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	fakepg_error(fake, "FATAL", "57P01", "terminating connection");
	fakepg_close(fake);
}

/* The start's reading, and the one that is asked for. */
static void refuses_then_answers(struct fakepg *fake)
{
	refuse_once(fake);
	refuse_once(fake);
	answer_once(fake);
}

static bool knows(const struct test *test, const char *database)
{
	return catalogs_known(test->catalogs, database) != NULL;
}

/* ---- tests ---- */

static void read_at_the_start_and_nothing_kept(void **state)
{
	struct test *test = *state;

	fakepg_play(&test->fake, answers);
	start(test);
	assert_int_equal(test->permits, 1);
	while (!knows(test, "shop"))
		run_for(test, 10000);
	fakepg_join(&test->fake);
	assert_int_equal(test->permits + test->slots, 0);
	assert_int_equal(test->n_acquired, 1);
}

static void says_no_then_answers(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	fakepg_error(fake, "ERROR", "57014", "canceling statement due to statement timeout");
	fakepg_ready(fake);
	fakepg_await_end(fake);
	fakepg_close(fake);
	answer_once(fake);
}

/* A statement that fails is no database that is away: it is asked again in its next period, or when
 * somebody wants it. */
static void a_statement_that_fails(void **state)
{
	struct test *test = *state;

	fakepg_play(&test->fake, says_no_then_answers);
	start(test);
	while (catalogs_n(test->catalogs) == 0 || !catalogs_find(test->catalogs, "shop")->problem)
		run_for(test, 10000);
	assert_non_null(strstr(catalogs_find(test->catalogs, "shop")->problem, "statement timeout"));
	catalog_reader_ask(test->reader, "shop", on_done, test);
	run(test);
	fakepg_join(&test->fake);
	assert_true(test->ok && knows(test, "shop"));
	assert_int_equal(test->n_acquired, 2);
}

static void answers_when_told(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	__atomic_store_n(&fake->closing, 1, __ATOMIC_SEQ_CST);
	fakepg_wait_for_go(fake);
	say_row(fake);
	fakepg_await_end(fake);
	fakepg_close(fake);
	answer_once(fake);
}

/* What is asked while a reading runs is read again: it may have seen what was before. */
static void asked_while_reading(void **state)
{
	struct test *test = *state;

	fakepg_play(&test->fake, answers_when_told);
	start(test);
	while (!__atomic_load_n(&test->fake.closing, __ATOMIC_SEQ_CST))
		run_for(test, 10000);
	catalog_reader_ask(test->reader, "shop", on_done, test);
	__atomic_store_n(&test->fake.go, 1, __ATOMIC_SEQ_CST);
	run(test);
	fakepg_join(&test->fake);
	assert_true(test->ok);
	assert_int_equal(test->n_acquired, 2);
}

static void one_after_the_other(void **state)
{
	struct test *test = *state;

	test->n_listed = test->config.n_databases = 2;
	fakepg_play(&test->fake, answers_twice);
	start(test);
	while (!knows(test, "shop") || !knows(test, "tmp"))
		run_for(test, 10000);
	fakepg_join(&test->fake);
	assert_int_equal(test->n_acquired, 2);
	/* one of them is gone */
	test->n_listed = 1;
	while (catalogs_n(test->catalogs) == 2)
		run_for(test, 10000);
	assert_true(knows(test, "shop"));
}

static void a_failure_is_told_and_mended(void **state)
{
	struct test *test = *state;

	fakepg_play(&test->fake, refuses_then_answers);
	start(test);
	catalog_reader_ask(test->reader, NULL, on_done, test);
	run(test);
	assert_false(test->ok);
	assert_non_null(strstr(test->text, "shop: "));
	assert_non_null(strstr(test->text, "terminating connection"));
	assert_non_null(catalogs_find(test->catalogs, "shop")->problem);
	assert_false(knows(test, "shop"));
	while (!knows(test, "shop"))
		run_for(test, 10000);
	fakepg_join(&test->fake);
	assert_null(catalogs_find(test->catalogs, "shop")->problem);
	assert_int_equal(test->permits + test->slots, 0);
}

static void a_permit_comes_later(void **state)
{
	struct test *test = *state;

	test->answer = PERMIT_WAITS;
	fakepg_play(&test->fake, answers);
	start(test);
	catalog_reader_ask(test->reader, NULL, on_done, test);
	assert_int_equal(test->n_acquired, 1); /* it does not ask twice */
	test->permits = test->slots = 1;
	catalog_reader_granted(test->reader);
	run(test);
	fakepg_join(&test->fake);
	assert_true(test->ok && knows(test, "shop"));
}

/* It is paused between the look and the connection. */
static void not_now_after_all(void **state)
{
	struct test *test = *state;

	test->refuses = true;
	start(test);
	assert_int_equal(test->n_acquired, 1);
	assert_int_equal(test->permits + test->slots, 0);
	assert_false(knows(test, "shop"));
}

/* The permit comes when there is nothing to be read any more: it goes back at once. */
static void a_permit_comes_too_late(void **state)
{
	struct test *test = *state;

	test->answer = PERMIT_WAITS;
	start(test);
	test->paused = true;
	test->permits = test->slots = 1;
	catalog_reader_granted(test->reader);
	assert_int_equal(test->permits + test->slots, 0);
	catalog_reader_ask(test->reader, "shop", on_done, test);
	assert_int_equal(test->n_answers, 1);
	assert_string_equal(test->text, "shop: it is paused");
	assert_int_equal(test->n_acquired, 1);
}

static void no_permit_at_all(void **state)
{
	struct test *test = *state;

	test->answer = PERMIT_REFUSED;
	start(test);
	assert_string_equal(catalogs_find(test->catalogs, "shop")->problem,
		"the queue of its lane is full");
	catalog_reader_ask(test->reader, "shop", on_done, test);
	assert_int_equal(test->n_answers, 1);
	assert_false(test->ok);
}

static void nobody_to_ask_as(void **state)
{
	struct test *test = *state;

	test->config.catalog_user = NULL;
	start(test);
	assert_int_equal(test->n_acquired, 0);
	assert_non_null(strstr(catalogs_find(test->catalogs, "shop")->problem, "catalog_user"));
	catalog_reader_ask(test->reader, NULL, on_done, test);
	assert_int_equal(test->n_answers, 1);
	assert_non_null(strstr(test->text, "catalog_user"));
}

static void off_is_off(void **state)
{
	struct test *test = *state;

	test->config.catalog_period_us = 0;
	start(test);
	assert_int_equal(test->n_acquired, 0);
	assert_int_equal(catalogs_n(test->catalogs), 0);
	catalog_reader_ask(test->reader, NULL, on_done, test);
	assert_int_equal(test->n_answers, 1);
	assert_string_equal(test->text, "catalog_period is 0");
	assert_int_equal(test->loop.wheel.n_armed, 0);
}

/* Switched off while it waits for a permit: who asked is told, the permit goes back when it comes. */
static void switched_off(void **state)
{
	struct test *test = *state;

	test->answer = PERMIT_WAITS;
	start(test);
	catalog_reader_ask(test->reader, NULL, on_done, test);
	assert_int_equal(test->n_answers, 0);
	test->config.catalog_period_us = 0;
	catalog_reader_change(test->reader, &test->config);
	assert_int_equal(test->n_answers, 1);
	assert_int_equal(catalogs_n(test->catalogs), 0);
	test->permits = test->slots = 1;
	catalog_reader_granted(test->reader);
	assert_int_equal(test->permits + test->slots, 0);
}

static void ended_while_waiting(void **state)
{
	struct test *test = *state;

	test->answer = PERMIT_WAITS;
	start(test);
	catalog_reader_ask(test->reader, NULL, on_done, test);
	catalog_reader_free(&test->reader, LONG_US);
	assert_int_equal(test->n_cancelled, 1);
	assert_int_equal(test->n_answers, 1);
	assert_string_equal(test->text, "pglane is shutting down");
}

static void never_answers(struct fakepg *fake)
{
	fakepg_login(fake);
	__atomic_store_n(&fake->closing, 1, __ATOMIC_SEQ_CST);
	fakepg_await_eof(fake);
}

static void ended_while_reading(void **state)
{
	struct test *test = *state;

	fakepg_play(&test->fake, never_answers);
	start(test);
	while (!__atomic_load_n(&test->fake.closing, __ATOMIC_SEQ_CST))
		run_for(test, 10000);
	assert_int_equal(test->permits, 1);
	catalog_reader_free(&test->reader, LONG_US);
	assert_int_equal(test->permits + test->slots, 0);
	fakepg_join(&test->fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(read_at_the_start_and_nothing_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(asked_while_reading, setup, teardown),
		cmocka_unit_test_setup_teardown(one_after_the_other, setup, teardown),
		cmocka_unit_test_setup_teardown(a_failure_is_told_and_mended, setup, teardown),
		cmocka_unit_test_setup_teardown(a_statement_that_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(a_permit_comes_later, setup, teardown),
		cmocka_unit_test_setup_teardown(not_now_after_all, setup, teardown),
		cmocka_unit_test_setup_teardown(a_permit_comes_too_late, setup, teardown),
		cmocka_unit_test_setup_teardown(no_permit_at_all, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_to_ask_as, setup, teardown),
		cmocka_unit_test_setup_teardown(off_is_off, setup, teardown),
		cmocka_unit_test_setup_teardown(switched_off, setup, teardown),
		cmocka_unit_test_setup_teardown(ended_while_waiting, setup, teardown),
		cmocka_unit_test_setup_teardown(ended_while_reading, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
