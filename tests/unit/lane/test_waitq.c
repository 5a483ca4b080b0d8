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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pool_at_its_limit_waits_aside_and_keeps_its_place),
		cmocka_unit_test(a_pool_gets_its_room_back_in_whatever_lane_it_waits),
		cmocka_unit_test(a_limit_may_come_change_and_go_while_tickets_wait),
		cmocka_unit_test(raising_a_limit_serves_at_once),
		cmocka_unit_test(lowering_a_limit_closes_what_is_above),
		cmocka_unit_test(other_pools_wait_for_none_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
