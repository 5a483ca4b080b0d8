/* SPDX-License-Identifier: ISC */
#include "fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lane/lane_priv.h"

static void a_reading_is_what_happened(void **state)
{
	struct fixture f;
	struct lane_reading r;

	fixture_init(&f, 1, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 3, 0);
	acquire(&f, 2, 1, LANE_A, 3, 0);
	acquire(&f, 3, 0, LANE_A, 6, 0);
	r = reading(&f, LANE_A);
	assert_string_equal(r.spec.name, "a");
	assert_int_equal(r.in_use, 1);
	assert_int_equal(r.waiting, 3);
	assert_int_equal(r.waiting_by_priority[3], 2);
	assert_int_equal(r.waiting_by_priority[6], 1);
	assert_int_equal(r.oldest_enqueued_us, 1001);
	assert_int_equal(r.n_granted, 1);
	assert_int_equal(r.n_queued, 3);
	assert_int_equal(r.total_wait_us, 0);
	assert_true(release(&f, 0, 0));
	abandon(&f, 2);
	r = reading(&f, LANE_A);
	assert_int_equal(r.n_granted, 2);
	assert_int_equal(r.total_wait_us, 2000 - 1003);
	assert_int_equal(r.max_wait_us, 2000 - 1003);
	assert_int_equal(r.n_abandoned, 1);
	fixture_release(&f);
}

/* Whether lane_check() ends the process after the ledger was spoiled. */
static bool notices(void (*spoil)(struct lane_ledger *ledger))
{
	struct fixture f;
	int status;
	pid_t pid;

	fixture_init(&f, 1, 2, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 0);
	acquire(&f, 2, 1, LANE_B, 5, 0);
	assert_true(release(&f, 2, 2));
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		const struct rlimit no_core = {0, 0};

		setrlimit(RLIMIT_CORE, &no_core);
		signal(SIGABRT, SIG_DFL);
		if (freopen("/dev/null", "w", stderr) == NULL)
			_exit(0);
		spoil(f.ledger);
		lane_check(f.ledger);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	fixture_release(&f);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void nothing(struct lane_ledger *l)
{
	(void)l;
}

static void lose_a_permit(struct lane_ledger *l)
{
	l->lanes[LANE_A].in_use--;
}

static void invent_a_permit(struct lane_ledger *l)
{
	l->lanes[LANE_B].spec.size++;
}

static void lose_a_slot(struct lane_ledger *l)
{
	l->slots--;
}

static void miscount_idle(struct lane_ledger *l)
{
	l->n_idle++;
	l->slots++;
}

static void forget_a_waiter(struct lane_ledger *l)
{
	l->lanes[LANE_A].n_waiting--;
}

static void leave_a_waiter_beside_a_permit(struct lane_ledger *l)
{
	l->lanes[LANE_A].spec.size++;
	l->budget++;
}

static void misplace_an_idle_server(struct lane_ledger *l)
{
	TAILQ_FIRST(&l->shares[LANE_B + 1].idle)->port = 1;
}

static void count_an_idle_server_for_another_lane(struct lane_ledger *l)
{
	TAILQ_FIRST(&l->shares[LANE_B + 1].idle)->share = LANE_A + 1;
}

static void spoiled_books_are_noticed(void **state)
{
	assert_false(notices(nothing));
	assert_true(notices(lose_a_permit));
	assert_true(notices(invent_a_permit));
	assert_true(notices(lose_a_slot));
	assert_true(notices(miscount_idle));
	assert_true(notices(forget_a_waiter));
	assert_true(notices(leave_a_waiter_beside_a_permit));
	assert_true(notices(misplace_an_idle_server));
	assert_true(notices(count_an_idle_server_for_another_lane));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reading_is_what_happened),
		cmocka_unit_test(spoiled_books_are_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
