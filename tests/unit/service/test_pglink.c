/* SPDX-License-Identifier: ISC */
/* A kept connection against a server that plays scripts and a ledger that is two counters: ready, asked, lost, opened again, given back. */
#include "service/pglink.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "service/pgtarget.h"
#include "unit/service/fakepg.h"

#define LONG_US 20000000u

static const struct config_tls no_tls = { .mode = TLS_DISABLE };

struct test {
	struct fakepg fake;
	struct loop loop;
	struct pglink *link;
	enum permit_verdict verdict;
	int permits, slots; /* held */
	unsigned n_acquired, n_cancelled;
	char happened[64]; /* a letter for each call back */
	char stop_at;	   /* the loop stops at this letter */
	char sqlstate[6];
	bool is_played, was_asked, asks, has_nowhere, unwants;
	struct timer bell;
};

static enum permit_verdict acquire(void *arg)
{
	struct test *test = arg;

	assert_int_equal(test->permits + test->slots, 0);
	test->n_acquired++;
	if (test->verdict == PERMIT_GRANTED)
		test->permits = test->slots = 1;
	return test->verdict;
}

static void cancel(void *arg)
{
	struct test *test = arg;

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

static void note(struct test *test, char what)
{
	size_t n = strlen(test->happened);

	assert_true(n + 1 < sizeof(test->happened));
	test->happened[n] = what;
	if (what == test->stop_at)
		loop_stop(&test->loop);
}

static void on_ready(void *arg)
{
	struct test *test = arg;

	note(test, 'r');
	if (test->asks)
		pglink_ask(test->link, "INSERT", 0, NULL);
	test->asks = false;
}

static void on_answered(void *arg, const PGresult *result)
{
	struct test *test = arg;

	note(test, 'a');
	if (test->unwants)
		pglink_want(test->link, false);
}

static void on_failed(void *arg, bool was_asked, const struct pgconn_error *error)
{
	struct test *test = arg;

	memcpy(test->sqlstate, error->sqlstate, sizeof(test->sqlstate));
	test->was_asked = was_asked;
	note(test, 'f');
}

static void on_closed(void *arg)
{
	note(arg, 'c');
}

static const struct pglink_ops ops = { on_ready, on_answered, on_failed, on_closed };

static const char *where(void *arg, struct pgtarget *target_r, uint64_t n_attempts, uint64_t *connect_timeout_us_r)
{
	struct test *test = arg;

	if (test->has_nowhere)
		return "there is nowhere to go";
	*target_r = (struct pgtarget){ .host = mem_strdup(test->fake.dir), .port = FAKEPG_PORT, .dbname = "d", .user = "u", .tls = &no_tls };
	*connect_timeout_us_r = LONG_US;
	return NULL;
}

static int setup(void **state)
{
	struct test *test = calloc(1, sizeof(*test));

	if (test == NULL)
		return -1;
	fakepg_open(&test->fake);
	loop_init(&test->loop);
	test->verdict = PERMIT_GRANTED;
	test->link = pglink_new(&test->loop, "test", &permits, test, where, &ops, test);
	*state = test;
	return 0;
}

static int teardown(void **state)
{
	struct test *test = *state;

	pglink_free(&test->link, LONG_US);
	assert_int_equal(test->permits + test->slots, 0);
	timer_stop(&test->bell);
	loop_release(&test->loop);
	if (test->is_played)
		fakepg_join(&test->fake);
	fakepg_release(&test->fake);
	free(test);
	return 0;
}

static void run_to(struct test *test, char letter)
{
	memset(test->happened, 0, sizeof(test->happened));
	test->stop_at = letter;
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
	run_to(test, '\0');
}

/* ---- scripts ---- */

static void play(struct test *test, void (*script)(struct fakepg *fake))
{
	assert_false(test->is_played);
	test->is_played = true;
	fakepg_play(&test->fake, script);
}

/* Another connection is to come. */
static void close_one(struct fakepg *fake)
{
	fakepg_close(fake);
	__atomic_store_n(&fake->closing, 0, __ATOMIC_SEQ_CST);
}

static void play_one(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	fakepg_done(fake);
	fakepg_ready(fake);
	fakepg_await_end(fake);
}

/* The first statement is refused, or its connection lost; then all is well. */
static void play_refusal(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	fakepg_error(fake, "ERROR", "42501", "no");
	fakepg_ready(fake);
	fakepg_await_end(fake);
	close_one(fake);
	play_one(fake);
}

static void play_loss(struct fakepg *fake)
{
	fakepg_login(fake);
	fakepg_await_statement(fake);
	close_one(fake);
	play_one(fake);
}

/* ---- tests ---- */

static void kept_until_it_is_not_wanted(void **state)
{
	struct test *test = *state;

	play(test, play_one);
	run_for(test, 50000);
	assert_int_equal(test->n_acquired, 0); /* nobody wants it */
	test->asks = true;
	pglink_want(test->link, true);
	run_to(test, 'a');
	assert_string_equal(test->happened, "rar"); /* at once it could be asked again */
	run_for(test, 50000);
	assert_true(pglink_is_ready(test->link));
	assert_int_equal(test->permits, 1);
	pglink_poke(test->link);
	run_to(test, 'r');
	pglink_want(test->link, false);
	run_to(test, 'c');
	assert_true(pglink_is_closed(test->link));
	assert_int_equal(test->permits + test->slots, 0);
}

static void what_failed_is_told_and_it_is_opened_again(struct test *test, void (*script)(struct fakepg *fake), const char *sqlstate)
{
	play(test, script);
	test->asks = true;
	pglink_want(test->link, true);
	run_to(test, 'f');
	assert_ptr_equal(strstr(test->happened, "rf"), test->happened); /* perhaps it is closed already */
	assert_true(test->was_asked);
	assert_string_equal(test->sqlstate, sqlstate);
	test->asks = test->unwants = true;
	run_to(test, 'a');
	assert_non_null(strstr(test->happened, "ra"));
	run_to(test, 'c'); /* wanted no more in the answer */
	assert_int_equal(test->n_acquired, 2);
}

static void refused(void **state)
{
	what_failed_is_told_and_it_is_opened_again(*state, play_refusal, "42501");
}

static void lost(void **state)
{
	what_failed_is_told_and_it_is_opened_again(*state, play_loss, "");
}

/* Each time twice as late; a change of mind starts anew. */
static void nowhere_to_go(void **state)
{
	struct test *test = *state;
	uint64_t began_us = clock_mono_us();

	test->has_nowhere = true;
	pglink_want(test->link, true);
	for (unsigned i = 0; i < 3; i++) {
		run_to(test, 'f');
		assert_false(test->was_asked);
		assert_int_equal(test->permits + test->slots, 0);
	}
	assert_true(clock_mono_us() - began_us >= PGLINK_RETRY_MIN_US / 2 + PGLINK_RETRY_MIN_US);
	test->has_nowhere = false;
	play(test, play_one);
	test->asks = true;
	pglink_reopen(test->link);
	run_to(test, 'a');
	assert_string_equal(test->happened, "rar");
}

static void it_waits_for_its_permit(void **state)
{
	struct test *test = *state;

	test->verdict = PERMIT_WAITS;
	pglink_want(test->link, true);
	run_for(test, 50000);
	assert_int_equal(test->n_acquired, 1);
	assert_false(pglink_is_closed(test->link));
	test->permits = test->slots = 1;
	play(test, play_one);
	test->asks = true;
	pglink_granted(test->link);
	run_to(test, 'a');
	pglink_want(test->link, false);
	run_to(test, 'c');
	/* Who is not wanted any more does not wait on. */
	pglink_want(test->link, true);
	run_for(test, 50000);
	pglink_want(test->link, false);
	assert_int_equal(test->n_cancelled, 1);
	assert_true(pglink_is_closed(test->link));
	/* Freed while it waits. */
	pglink_want(test->link, true);
	run_for(test, 50000);
	pglink_free(&test->link, LONG_US);
	assert_int_equal(test->n_cancelled, 2);
}

static void refused_by_its_lane(void **state)
{
	struct test *test = *state;

	test->verdict = PERMIT_REFUSED;
	pglink_want(test->link, true);
	run_to(test, 'f');
	assert_string_equal(test->happened, "f");
	test->verdict = PERMIT_GRANTED;
	play(test, play_one);
	test->asks = true;
	run_to(test, 'a'); /* freed with the connection open */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kept_until_it_is_not_wanted, setup, teardown),
		cmocka_unit_test_setup_teardown(refused, setup, teardown),
		cmocka_unit_test_setup_teardown(lost, setup, teardown),
		cmocka_unit_test_setup_teardown(nowhere_to_go, setup, teardown),
		cmocka_unit_test_setup_teardown(it_waits_for_its_permit, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_by_its_lane, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
