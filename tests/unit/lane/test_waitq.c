/* SPDX-License-Identifier: ISC */
#include "fixture.h"

static void a_pool_at_its_limit_waits_aside_and_keeps_its_place(void **state)
{
	struct fixture f;

	fixture_init(&f, 3, 0, 0);
	lane_pool_limit(f.ledger, f.pools[0], 1);
	assert_int_equal(acquire(&f, 0, 0, LANE_A, 5, 0), LANE_GRANTED);
	assert_int_equal(acquire(&f, 1, 0, LANE_A, 9, 0),
		LANE_QUEUED); /* permits are free, its pool is not */
	assert_int_equal(acquire(&f, 2, 1, LANE_A, 1, 0), LANE_GRANTED);
	assert_int_equal(acquire(&f, 3, 1, LANE_A, 1, 0), LANE_GRANTED);
	assert_int_equal(acquire(&f, 4, 1, LANE_A, 1, 0), LANE_QUEUED);
	assert_int_equal(reading(&f, LANE_A).waiting, 2);
	assert_int_equal(reading(&f, LANE_A).waiting_by_priority[9], 1);
	assert_true(release(&f, 2, 2));
	assert_taken(&f, 0, 4, LANE_SOURCE_OWN_IDLE); /* 1 cannot use the permit */
	assert_true(release(&f, 0, 0));
	assert_taken(&f, 0, 1, LANE_SOURCE_OWN_IDLE);
	fixture_release(&f);
}

static void a_pool_gets_its_room_back_in_whatever_lane_it_waits(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 1);
	lane_pool_limit(f.ledger, f.pools[0], 1);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	assert_int_equal(acquire(&f, 1, 0, LANE_B, 5, 0), LANE_QUEUED);
	assert_int_equal(acquire(&f, 2, 0, LANE_A, 9, 0),
		LANE_QUEUED); /* nor does the urgent lane get round it */
	assert_true(release(&f, 0, 0));
	assert_taken(&f, 0, 2, LANE_SOURCE_OWN_IDLE);
	assert_true(release(&f, 2, 0));
	assert_taken(&f, 0, 1, LANE_SOURCE_OWN_IDLE);
	fixture_release(&f);
}

static void a_limit_may_come_change_and_go_while_tickets_wait(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 0, 0);
	acquire(&f, 0, 1, LANE_A, 5, 0);
	for (unsigned i = 1; i < 6; i++)
		acquire(&f, i, i % 2, LANE_A, 5, 0);
	lane_pool_limit(f.ledger, f.pools[0], 1);
	lane_check(f.ledger);
	assert_int_equal(reading(&f, LANE_A).waiting, 5);
	lane_pool_limit(f.ledger, f.pools[0], 0);
	lane_check(f.ledger);
	for (unsigned i = 0; i < 5; i++) { /* the order is what it was */
		close_held(&f);
		release_none(&f, i);
		assert_taken(&f, 0, i + 1, LANE_SOURCE_SLOT);
	}
	fixture_release(&f);
}

static void raising_a_limit_serves_at_once(void **state)
{
	struct fixture f;

	fixture_init(&f, 3, 0, 0);
	lane_pool_limit(f.ledger, f.pools[0], 1);
	for (unsigned i = 0; i < 4; i++)
		acquire(&f, i, 0, LANE_A, 5, 0);
	lane_pool_limit(f.ledger, f.pools[0], 2);
	assert_taken(&f, 0, 1, LANE_SOURCE_SLOT);
	lane_pool_limit(f.ledger, f.pools[0], 0);
	assert_taken(&f, 0, 2, LANE_SOURCE_SLOT);
	fixture_release(&f);
}

static void lowering_a_limit_closes_what_is_above(void **state)
{
	struct fixture f;

	fixture_init(&f, 4, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		acquire(&f, i, 0, LANE_A, 5, 0);
	for (unsigned i = 0; i < 2; i++)
		assert_true(release(&f, i, i));
	lane_pool_limit(f.ledger, f.pools[0], 2);
	assert_ptr_equal(lane_excess_idle(f.ledger), &f.s[0]);
	assert_ptr_equal(lane_excess_idle(f.ledger), &f.s[1]);
	assert_null(lane_excess_idle(f.ledger));
	lane_pool_limit(f.ledger, f.pools[0], 1);
	assert_false(release(&f, 2, 2));
	assert_true(release(&f, 3, 3));
	fixture_release(&f);
}

static void other_pools_wait_for_none_of_it(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 0, 0);
	lane_pool_limit(f.ledger, f.pools[0], 1);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	for (unsigned i = 1; i < 8; i++)
		assert_int_equal(acquire(&f, i, 0, LANE_A, 10, 0), LANE_QUEUED);
	for (unsigned n = 0; n < 3; n++) {
		assert_int_equal(acquire(&f, 8, 1, LANE_A, 1, 0), LANE_GRANTED);
		assert_true(release(&f, 8, 8));
	}
	fixture_release(&f);
}

static void assert_order(struct fixture *f, const unsigned *order, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(collect(f, 0), 1);
		assert_ptr_equal(f->taken[0], &f->t[order[i]]);
		abandon(f, order[i]);
	}
}

/* Priority 10 keeps coming; who waits with 1 is overtaken for nine steps and no longer. */
static void one_waits_and_three_of_priority_10_come(struct fixture *f)
{
	static const uint64_t came_us[] = {3000, 3899, 3900, 3901};

	fixture_init(f, 1, 0, 0);
	assert_int_equal(acquire(f, 0, 0, LANE_A, 5, 0), LANE_GRANTED);
	for (unsigned i = 0; i < N_ELEMENTS(came_us); i++)
		assert_int_equal(lane_acquire(f->ledger, &f->t[1 + i], f->pools[i % 2], LANE_A,
					 i == 0 ? 1 : 10, 0, came_us[i]),
			LANE_QUEUED);
	lane_check(f->ledger);
}

static void waiting_is_worth_priority(void **state)
{
	static const unsigned aged[] = {2, 3, 1, 4}, strict[] = {2, 3, 4, 1};
	struct fixture f;

	one_waits_and_three_of_priority_10_come(&f);
	lane_set_aging(f.ledger, 100);
	release_none(&f, 0);
	assert_order(&f, aged, N_ELEMENTS(aged));
	fixture_release(&f);
	one_waits_and_three_of_priority_10_come(&f); /* without, 1 comes last */
	release_none(&f, 0);
	assert_order(&f, strict, N_ELEMENTS(strict));
	fixture_release(&f);
}

/* The urgent lane looks for priorities 8 to 10 behind who is first by now. */
static void an_aged_ticket_does_not_hide_an_urgent_one(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 0, 1);
	lane_set_aging(f.ledger, 10);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 9, 0);
	acquire(&f, 2, 0, LANE_A, 1, 0);
	assert_int_equal(
		lane_acquire(f.ledger, &f.t[3], f.pools[0], LANE_A, 8, 0, 5000), LANE_QUEUED);
	lane_check(f.ledger);
	release_none(&f, 1);
	assert_int_equal(collect(&f, 0), 1);
	assert_ptr_equal(f.taken[0], &f.t[3]);
	assert_int_equal(f.t[3].lane, LANE_PRIORITY);
	release_none(&f, 0);
	assert_int_equal(collect(&f, 0), 1);
	assert_ptr_equal(f.taken[0], &f.t[2]);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pool_at_its_limit_waits_aside_and_keeps_its_place),
		cmocka_unit_test(a_pool_gets_its_room_back_in_whatever_lane_it_waits),
		cmocka_unit_test(a_limit_may_come_change_and_go_while_tickets_wait),
		cmocka_unit_test(raising_a_limit_serves_at_once),
		cmocka_unit_test(lowering_a_limit_closes_what_is_above),
		cmocka_unit_test(other_pools_wait_for_none_of_it),
		cmocka_unit_test(waiting_is_worth_priority),
		cmocka_unit_test(an_aged_ticket_does_not_hide_an_urgent_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
