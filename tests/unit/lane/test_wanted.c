/* SPDX-License-Identifier: ISC */
#include "fixture.h"

static bool is_wanted(struct fixture *f, unsigned t)
{
	bool wanted = lane_is_wanted(f->ledger, &f->t[t]);

	lane_check(f->ledger);
	return wanted;
}

static void who_waits_in_its_lane_wants_it(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_B, 5, 0);
	assert_false(is_wanted(&f, 0) || is_wanted(&f, 1));
	assert_int_equal(acquire(&f, 2, 0, LANE_A, 5, 1), LANE_QUEUED);
	assert_true(is_wanted(&f, 0));
	assert_false(is_wanted(&f, 1));
	assert_true(release(&f, 0, 0));
	assert_int_equal(collect(&f, 1), 1);
	assert_false(is_wanted(&f, 2) || is_wanted(&f, 1));
	fixture_release(&f);
}

static void an_urgent_permit_is_wanted_by_who_may_use_it(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 0, 1);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 9, 0);
	assert_int_equal(f.t[1].lane, LANE_PRIORITY);
	acquire(&f, 2, 0, LANE_A, 5, 0);
	assert_true(is_wanted(&f, 0));
	assert_false(is_wanted(&f, 1));
	acquire(&f, 3, 0, LANE_A, 8, 0);
	assert_true(is_wanted(&f, 1));
	lane_pool_limit(f.ledger, f.pools[0], 5); /* they wait apart now */
	assert_true(is_wanted(&f, 0) && is_wanted(&f, 1));
	fixture_release(&f);
}

static void a_spill_wants_it_as_far_as_it_may(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 1, 0);
	f.specs[LANE_B].spill_lane = LANE_A;
	f.specs[LANE_B].spill_below = 1;
	fixture_resize(&f, 2, 1, 0);
	acquire(&f, 0, 0, LANE_B, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 0);
	acquire(&f, 2, 0, LANE_A, 5, 0);
	acquire(&f, 3, 0, LANE_B, 5, 0);
	assert_true(is_wanted(&f, 0));
	assert_false(is_wanted(&f, 1)); /* one would be in use still */
	release_none(&f, 2);
	assert_true(is_wanted(&f, 1));
	fixture_release(&f);
}

static void who_waits_for_room_in_its_pool_wants_its_own(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	lane_pool_limit(f.ledger, f.pools[0], 1);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 1, LANE_B, 5, 0);
	assert_int_equal(acquire(&f, 2, 0, LANE_B, 5, 0), LANE_QUEUED);
	assert_false(is_wanted(&f, 0)); /* what it lacks is the other's permit first */
	assert_true(is_wanted(&f, 1));
	release_none(&f, 1);
	assert_true(is_wanted(&f, 0)); /* and then this */
	release_none(&f, 0);
	assert_int_equal(collect(&f, 0), 1);
	fixture_release(&f);
}

static void the_sum_of_permits_wants_any(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 2, 0);
	for (unsigned i = 0; i < 2; i++)
		acquire(&f, i, 0, LANE_A, 5, 0);
	lane_limit_budget(f.ledger, 2); /* one each: A is above it */
	lane_check(f.ledger);
	assert_int_equal(acquire(&f, 2, 0, LANE_B, 5, 0), LANE_QUEUED);
	assert_true(is_wanted(&f, 0));
	release_none(&f, 0);
	assert_int_equal(collect(&f, 0), 1);
	fixture_release(&f);
}

static void a_port_that_watches_is_woken(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 0);
	assert_int_equal(f.n_wakes[1], 0);
	lane_watch(f.ledger, 1, true);
	acquire(&f, 2, 0, LANE_A, 5, 0);
	assert_int_equal(f.n_wakes[1], 1);
	assert_int_equal(f.n_wakes[0], 0);
	assert_int_equal(collect(&f, 1), 0);
	lane_watch(f.ledger, 1, false);
	acquire(&f, 3, 0, LANE_A, 5, 0);
	assert_int_equal(f.n_wakes[1], 1);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_waits_in_its_lane_wants_it),
		cmocka_unit_test(an_urgent_permit_is_wanted_by_who_may_use_it),
		cmocka_unit_test(a_spill_wants_it_as_far_as_it_may),
		cmocka_unit_test(who_waits_for_room_in_its_pool_wants_its_own),
		cmocka_unit_test(the_sum_of_permits_wants_any),
		cmocka_unit_test(a_port_that_watches_is_woken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
