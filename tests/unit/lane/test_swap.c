/* SPDX-License-Identifier: ISC */
#include "fixture.h"

static enum lane_verdict swap(struct fixture *f, unsigned t, unsigned lane, unsigned priority)
{
	enum lane_verdict verdict = lane_swap(f->ledger, &f->t[t], lane, priority, 1500);

	lane_check(f->ledger);
	return verdict;
}

static void a_free_permit_is_swapped_at_once_and_the_old_one_serves(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 1);
	assert_int_equal(swap(&f, 0, LANE_B, 5), LANE_GRANTED);
	assert_int_equal(f.t[0].state, LANE_TICKET_HOLDS);
	assert_int_equal(f.t[0].lane, LANE_B);
	assert_int_equal(f.t[0].home_lane, LANE_B);
	assert_int_equal(f.t[0].source, LANE_SOURCE_NONE);
	assert_taken(&f, 1, 1, LANE_SOURCE_SLOT);
	fixture_release(&f);
}

static void a_waiting_swap_keeps_its_permit_until_it_is_served(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_B, 5, 0);
	acquire(&f, 2, 0, LANE_A, 5, 1);
	assert_int_equal(swap(&f, 0, LANE_B, 5), LANE_QUEUED);
	assert_int_equal(f.t[0].state, LANE_TICKET_WAITS_SWAP);
	assert_int_equal(reading(&f, LANE_A).in_use, 1);
	assert_int_equal(reading(&f, LANE_B).waiting, 1);
	assert_int_equal(collect(&f, 1), 0);
	assert_true(release(&f, 1, 1));
	assert_taken(&f, 0, 0, LANE_SOURCE_NONE);
	assert_int_equal(f.t[0].state, LANE_TICKET_HOLDS);
	assert_int_equal(f.t[0].lane, LANE_B);
	assert_taken(&f, 1, 2, LANE_SOURCE_FOREIGN_IDLE); /* the permit it left */
	fixture_release(&f);
}

static void an_abandoned_swap_holds_what_it_has(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_B, 5, 0);
	assert_int_equal(swap(&f, 0, LANE_B, 5), LANE_QUEUED);
	abandon(&f, 0);
	assert_int_equal(f.t[0].state, LANE_TICKET_HOLDS);
	assert_int_equal(f.t[0].lane, LANE_A);
	assert_int_equal(swap(&f, 0, LANE_B, 5), LANE_QUEUED);
	assert_true(release(&f, 1, 1));
	abandon(&f, 0); /* delivered: it has changed lanes already */
	assert_int_equal(f.t[0].state, LANE_TICKET_HOLDS);
	assert_int_equal(f.t[0].lane, LANE_B);
	assert_int_equal(reading(&f, LANE_A).in_use, 0);
	assert_int_equal(collect(&f, 0), 0);
	fixture_release(&f);
}

static void swaps_in_a_ring_exchange(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_B, 5, 1);
	acquire(&f, 2, 0, LANE_B, 10, 1); /* waits before them in B, and loses nothing */
	assert_int_equal(swap(&f, 0, LANE_B, 5), LANE_QUEUED);
	assert_int_equal(swap(&f, 1, LANE_A, 5), LANE_GRANTED);
	assert_int_equal(f.t[1].lane, LANE_A);
	assert_taken(&f, 0, 0, LANE_SOURCE_NONE);
	assert_int_equal(f.t[0].lane, LANE_B);
	assert_true(release(&f, 0, 0));
	assert_taken(&f, 1, 2, LANE_SOURCE_FOREIGN_IDLE);
	fixture_release(&f);
}

static void urgent_swaps_use_the_urgent_lane(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 1);
	acquire(&f, 0, 0, LANE_A, 9, 0);
	acquire(&f, 1, 0, LANE_B, 5, 0);
	assert_int_equal(swap(&f, 0, LANE_B, 9), LANE_GRANTED);
	assert_int_equal(f.t[0].lane, LANE_PRIORITY);
	assert_int_equal(f.t[0].home_lane, LANE_B);
	assert_int_equal(swap(&f, 0, LANE_B, 8), LANE_GRANTED); /* stays where it is */
	assert_int_equal(f.t[0].lane, LANE_PRIORITY);
	assert_int_equal(swap(&f, 0, LANE_B, 7), LANE_QUEUED); /* no longer entitled to it */
	assert_true(release(&f, 1, 1));
	assert_taken(&f, 0, 0, LANE_SOURCE_NONE);
	assert_int_equal(f.t[0].lane, LANE_B);
	assert_int_equal(reading(&f, LANE_PRIORITY).in_use, 0);
	fixture_release(&f);
}

static void a_swap_to_its_own_lane_is_nothing(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	assert_int_equal(swap(&f, 0, LANE_A, 3), LANE_GRANTED);
	assert_int_equal(f.t[0].lane, LANE_A);
	assert_int_equal(reading(&f, LANE_A).in_use, 1);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_free_permit_is_swapped_at_once_and_the_old_one_serves),
		cmocka_unit_test(a_waiting_swap_keeps_its_permit_until_it_is_served),
		cmocka_unit_test(an_abandoned_swap_holds_what_it_has),
		cmocka_unit_test(swaps_in_a_ring_exchange),
		cmocka_unit_test(urgent_swaps_use_the_urgent_lane),
		cmocka_unit_test(a_swap_to_its_own_lane_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
