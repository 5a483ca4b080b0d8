/* SPDX-License-Identifier: ISC */
#include "fixture.h"

static void first_grant_takes_a_slot_and_release_gives_the_server_back(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 1, 1);
	assert_int_equal(acquire(&f, 0, 0, LANE_A, 5, 0), LANE_GRANTED);
	assert_int_equal(f.t[0].state, LANE_TICKET_HOLDS);
	assert_int_equal(f.t[0].source, LANE_SOURCE_SLOT);
	assert_int_equal(f.t[0].lane, LANE_A);
	assert_int_equal(f.t[0].enqueued_us, 0);
	assert_int_equal(f.t[0].granted_us, 1000);
	assert_true(release(&f, 0, 0));
	assert_int_equal(f.t[0].state, LANE_TICKET_NONE);
	assert_int_equal(reading(&f, LANE_A).in_use, 0);
	assert_int_equal(totals(&f).n_idle, 1);
	assert_int_equal(acquire(&f, 1, 0, LANE_B, 5, 0), LANE_GRANTED);
	assert_int_equal(f.t[1].source, LANE_SOURCE_OWN_IDLE);
	assert_ptr_equal(f.t[1].idle, &f.s[0]);
	fixture_release(&f);
}

static void a_full_lane_queues_while_others_go_on(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	assert_int_equal(acquire(&f, 0, 0, LANE_A, 5, 0), LANE_GRANTED);
	assert_int_equal(acquire(&f, 1, 0, LANE_A, 5, 1), LANE_QUEUED);
	assert_int_equal(f.t[1].state, LANE_TICKET_WAITS_PERMIT);
	assert_int_equal(f.t[1].enqueued_us, 1001);
	assert_int_equal(acquire(&f, 2, 0, LANE_B, 5, 0), LANE_GRANTED);
	assert_int_equal(collect(&f, 1), 0);
	assert_true(release(&f, 2, 2));
	assert_int_equal(f.n_wakes[1], 0); /* a permit of B is not A's */
	assert_true(release(&f, 0, 0));
	assert_int_equal(f.n_wakes[1], 1);
	assert_taken(&f, 1, 1, LANE_SOURCE_FOREIGN_IDLE);
	assert_int_equal(f.t[1].state, LANE_TICKET_HOLDS);
	assert_int_equal(f.t[1].granted_us, 2000);
	fixture_release(&f);
}

static void permits_and_deliveries_come_by_priority_then_arrival(void **state)
{
	static const unsigned priorities[] = {5, 1, 7, 5, 7}, order[] = {3, 5, 1, 4, 2};
	struct fixture f;

	fixture_init(&f, 1, 0, 0);
	assert_int_equal(acquire(&f, 0, 0, LANE_A, 5, 0), LANE_GRANTED);
	for (unsigned i = 0; i < N_ELEMENTS(priorities); i++) /* the pool does not matter */
		assert_int_equal(
			acquire(&f, 1 + i, i % N_POOLS, LANE_A, priorities[i], 0), LANE_QUEUED);
	release_none(&f, 0);
	for (unsigned i = 0; i < N_ELEMENTS(order); i++) {
		assert_int_equal(collect(&f, 0), 1);
		assert_ptr_equal(f.taken[0], &f.t[order[i]]);
		abandon(&f, order[i]); /* it still waits for the slot */
	}
	fixture_release(&f);
}

static void a_port_is_woken_only_when_its_list_was_empty(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		acquire(&f, i, 0, LANE_A, 5, i / 2);
	release(&f, 0, 0);
	release(&f, 1, 1);
	assert_int_equal(f.n_wakes[1], 1);
	assert_int_equal(collect(&f, 1), 2);
	assert_ptr_equal(f.taken[0], &f.t[2]);
	assert_ptr_equal(f.taken[1], &f.t[3]);
	assert_int_equal(f.n_wakes[0], 0);
	fixture_release(&f);
}

static void the_queue_is_bounded(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	f.specs[LANE_A].max_waiting = 1;
	fixture_resize(&f, 1, 1, 0);
	assert_int_equal(acquire(&f, 0, 0, LANE_A, 5, 0), LANE_GRANTED);
	assert_int_equal(acquire(&f, 1, 0, LANE_A, 5, 0), LANE_QUEUED);
	assert_int_equal(acquire(&f, 2, 0, LANE_A, 10, 0), LANE_REFUSED);
	assert_int_equal(f.t[2].state, LANE_TICKET_NONE);
	assert_int_equal(acquire(&f, 3, 0, LANE_B, 5, 0), LANE_GRANTED);
	assert_int_equal(lane_swap(f.ledger, &f.t[3], LANE_A, 5, 1), LANE_REFUSED);
	assert_int_equal(f.t[3].state, LANE_TICKET_HOLDS);
	assert_int_equal(f.t[3].lane, LANE_B);
	assert_int_equal(reading(&f, LANE_A).n_refused, 2);
	fixture_release(&f);
}

/* A permit of lane A is held so long. */
static void hold(struct fixture *f, uint64_t us)
{
	static uint64_t now_us = 10000;

	assert_int_equal(lane_acquire(f->ledger, &f->t[9], f->pools[0], LANE_A, 5, 0, now_us),
		LANE_GRANTED);
	lane_slot_closing(f->ledger, false);
	now_us += us;
	assert_true(lane_release(f->ledger, &f->t[9], NULL, now_us));
	lane_slot_release(f->ledger, now_us);
}

static uint64_t estimate(struct fixture *f, unsigned priority)
{
	struct lane_reading lane = reading(f, LANE_A);

	return lane_estimate_wait_us(&lane, priority);
}

static void the_wait_is_estimated_by_how_long_permits_are_held(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 1, 0);
	assert_int_equal(reading(&f, LANE_A).avg_hold_us, 0);
	assert_int_equal(estimate(&f, 5), 0);
	hold(&f, 100);
	hold(&f, 300);
	assert_int_equal(reading(&f, LANE_A).avg_hold_us, 200);
	assert_int_equal(reading(&f, LANE_B).avg_hold_us, 0);
	for (unsigned i = 0; i < 5; i++)
		acquire(&f, i, 0, LANE_A, i == 4 ? 7 : 5, 0);
	assert_int_equal(reading(&f, LANE_A).waiting, 3);
	assert_int_equal(estimate(&f, 4), 4 * 200 / 2);
	assert_int_equal(estimate(&f, 5), 4 * 200 / 2);
	assert_int_equal(estimate(&f, 6), 2 * 200 / 2);
	assert_int_equal(estimate(&f, 8), 200 / 2);
	fixture_release(&f);
}

static void holds_of_long_ago_fade(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 1, 0);
	for (unsigned i = 0; i < 1000; i++)
		hold(&f, 1000000);
	assert_int_equal(reading(&f, LANE_A).avg_hold_us, 1000000);
	for (unsigned i = 0; i < 4000; i++)
		hold(&f, 10);
	assert_in_range(reading(&f, LANE_A).avg_hold_us, 10, 20);
	for (unsigned i = 0; i < 1000; i++)
		hold(&f, 0);
	for (unsigned i = 0; i < 2; i++)
		acquire(&f, i, 0, LANE_A, 5, 0);
	assert_int_equal(reading(&f, LANE_A).avg_hold_us, 1); /* 0 is "none was released" */
	assert_int_equal(estimate(&f, 5), 1);
	fixture_release(&f);
}

static void urgent_tickets_use_the_urgent_lane_when_their_own_is_full(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 1);
	assert_int_equal(acquire(&f, 0, 0, LANE_A, 9, 0), LANE_GRANTED);
	assert_int_equal(f.t[0].lane, LANE_A); /* the own one first */
	assert_int_equal(acquire(&f, 1, 0, LANE_A, 7, 0), LANE_QUEUED);
	assert_int_equal(acquire(&f, 2, 0, LANE_A, 8, 0), LANE_GRANTED);
	assert_int_equal(f.t[2].lane, LANE_PRIORITY);
	assert_int_equal(f.t[2].home_lane, LANE_A);
	assert_int_equal(acquire(&f, 3, 0, LANE_B, 5, 0), LANE_GRANTED);
	assert_int_equal(acquire(&f, 4, 0, LANE_B, 8, 0), LANE_QUEUED);
	assert_int_equal(acquire(&f, 5, 0, LANE_A, 9, 0), LANE_QUEUED);
	assert_true(release(&f, 2, 2)); /* over all lanes: priority 9 before 8, and 7 never */
	assert_taken(&f, 0, 5, LANE_SOURCE_OWN_IDLE);
	assert_int_equal(f.t[5].lane, LANE_PRIORITY);
	assert_true(release(&f, 5, 2));
	assert_taken(&f, 0, 4, LANE_SOURCE_OWN_IDLE);
	assert_true(release(&f, 4, 2));
	assert_int_equal(collect(&f, 0), 0);
	assert_int_equal(reading(&f, LANE_PRIORITY).n_granted, 3);
	fixture_release(&f);
}

static void abandoning_gives_back_in_every_state(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 0, 0);
	abandon(&f, 0); /* nothing held: nothing happens */
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 1);
	acquire(&f, 2, 0, LANE_A, 5, 1);
	acquire(&f, 3, 1, LANE_A, 5, 1);
	abandon(&f, 1); /* from the queue */
	assert_int_equal(f.t[1].state, LANE_TICKET_NONE);
	assert_true(release(&f, 0, 0));
	abandon(&f, 2); /* delivered with a server: that is then evicted for the next */
	assert_int_equal(f.t[2].state, LANE_TICKET_NONE);
	assert_taken(&f, 1, 3, LANE_SOURCE_EVICT);
	assert_ptr_equal(f.t[3].idle, &f.s[0]);
	abandon(&f, 3); /* from the slot queue: the claim has gone out and is executed */
	assert_int_equal(reading(&f, LANE_A).in_use, 0);
	close_claimed(&f, 0);
	assert_int_equal(totals(&f).slots, 0);
	assert_int_equal(reading(&f, LANE_A).n_abandoned, 3);
	fixture_release(&f);
}

static void an_abandoned_slot_goes_to_the_next(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 1);
	acquire(&f, 2, 0, LANE_A, 5, 0);
	close_held(&f);
	release_none(&f, 0); /* 1 is delivered a slot */
	assert_int_equal(totals(&f).slots, 1);
	abandon(&f, 1);
	assert_taken(&f, 0, 2, LANE_SOURCE_SLOT);
	assert_int_equal(totals(&f).slots, 1);
	fixture_release(&f);
}

static void shrinking_is_paid_as_permits_return(void **state)
{
	struct fixture f;

	fixture_init(&f, 3, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		acquire(&f, i, 0, LANE_A, 5, 0);
	acquire(&f, 4, 0, LANE_B, 5, 0);
	fixture_resize(&f, 1, 1, 0);
	assert_int_equal(reading(&f, LANE_A).in_use, 3);
	assert_false(release(&f, 0, 0)); /* above the budget */
	close_held(&f);
	assert_int_equal(
		collect(&f, 0), 0); /* B has a permit free, but the sum is still at the budget */
	assert_true(release(&f, 1, 1));
	assert_taken(&f, 0, 4, LANE_SOURCE_OWN_IDLE);
	assert_int_equal(reading(&f, LANE_A).in_use, 1);
	assert_true(release(&f, 2, 2));
	assert_taken(&f, 0, 3, LANE_SOURCE_OWN_IDLE);
	assert_int_equal(totals(&f).slots, 2);
	fixture_release(&f);
}

static void growing_serves_who_waits(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		acquire(&f, i, 0, LANE_A, 5, 0);
	fixture_resize(&f, 3, 0, 0);
	assert_int_equal(collect(&f, 0), 2);
	assert_int_equal(f.t[2].source, LANE_SOURCE_SLOT);
	assert_int_equal(reading(&f, LANE_A).waiting, 1);
	fixture_release(&f);
}

static void take_and_abandon(void *arg, struct lane_ticket *ticket)
{
	struct fixture *f = arg;

	f->taken[f->n_taken++] = ticket;
	if (ticket == &f->t[2])
		lane_abandon(f->ledger, &f->t[3], 2000);
}

static void take_may_abandon_who_comes_behind(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		acquire(&f, i, 0, LANE_A, 5, 0);
	release(&f, 0, 0);
	release(&f, 1, 1);
	assert_int_equal(lane_collect(f.ledger, 0, take_and_abandon, &f), 1);
	assert_int_equal(f.t[3].state, LANE_TICKET_NONE);
	assert_int_equal(reading(&f, LANE_A).in_use, 1);
	assert_int_equal(totals(&f).n_idle, 1);
	fixture_release(&f);
}

/* Lane B spills into A while fewer than this are in use there. */
static void let_b_spill(struct fixture *f, uint32_t below)
{
	f->specs[LANE_B].spill_lane = LANE_A;
	f->specs[LANE_B].spill_below = below;
	fixture_resize(f, f->specs[LANE_A].size, f->specs[LANE_B].size,
		f->specs[LANE_PRIORITY].size);
}

static void a_full_lane_spills_while_few_permits_are_in_use_there(void **state)
{
	struct fixture f;

	fixture_init(&f, 3, 1, 1);
	let_b_spill(&f, 2);
	assert_int_equal(acquire(&f, 0, 0, LANE_B, 5, 0), LANE_GRANTED);
	assert_int_equal(f.t[0].lane, LANE_B); /* the own one first */
	assert_int_equal(acquire(&f, 1, 0, LANE_B, 5, 0), LANE_GRANTED);
	assert_int_equal(f.t[1].lane, LANE_A);
	assert_int_equal(f.t[1].home_lane, LANE_B);
	assert_int_equal(acquire(&f, 2, 0, LANE_B, 9, 0), LANE_GRANTED);
	assert_int_equal(f.t[2].lane, LANE_PRIORITY); /* then the urgent one */
	assert_int_equal(acquire(&f, 3, 0, LANE_B, 9, 0), LANE_GRANTED);
	assert_int_equal(f.t[3].lane, LANE_A);
	assert_int_equal(acquire(&f, 4, 0, LANE_B, 5, 0), LANE_QUEUED);
	assert_int_equal(acquire(&f, 5, 0, LANE_A, 5, 0), LANE_GRANTED);
	release_none(&f, 5); /* two are in use still */
	assert_int_equal(collect(&f, 0), 0);
	release_none(&f, 1); /* back to A, whence it came, and from there to B's next */
	assert_int_equal(collect(&f, 0), 1);
	assert_int_equal(f.t[4].lane, LANE_A);
	assert_int_equal(acquire(&f, 6, 0, LANE_B, 5, 0), LANE_QUEUED);
	release_none(&f, 0); /* or its own lane has one first */
	assert_int_equal(collect(&f, 0), 1);
	assert_int_equal(f.t[6].lane, LANE_B);
	assert_int_equal(reading(&f, LANE_A).n_spilled_in, 3);
	assert_int_equal(reading(&f, LANE_A).n_granted, 1);
	assert_int_equal(reading(&f, LANE_B).n_spilled_out, 3);
	assert_int_equal(reading(&f, LANE_B).n_granted, 6);
	fixture_release(&f);
}

static void the_lanes_own_statements_go_before_spilled_ones(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	let_b_spill(&f, 1);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_B, 5, 0);
	assert_int_equal(acquire(&f, 2, 0, LANE_B, 10, 0), LANE_QUEUED);
	assert_int_equal(acquire(&f, 3, 0, LANE_A, 1, 0), LANE_QUEUED);
	release_none(&f, 0);
	assert_int_equal(collect(&f, 0), 1);
	assert_ptr_equal(f.taken[0], &f.t[3]);
	abandon(&f, 3);
	assert_int_equal(collect(&f, 0), 1);
	assert_ptr_equal(f.taken[0], &f.t[2]);
	assert_int_equal(f.t[2].lane, LANE_A);
	fixture_release(&f);
}

static void a_spill_that_is_taken_away_ends_as_permits_return(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 1, 0);
	let_b_spill(&f, 2);
	acquire(&f, 0, 0, LANE_B, 5, 0);
	assert_int_equal(acquire(&f, 1, 0, LANE_B, 5, 0), LANE_GRANTED);
	assert_int_equal(acquire(&f, 2, 0, LANE_B, 5, 0), LANE_GRANTED);
	let_b_spill(&f, 0);
	assert_int_equal(acquire(&f, 3, 0, LANE_B, 5, 0), LANE_QUEUED);
	release_none(&f, 1);
	assert_int_equal(collect(&f, 0), 0); /* A has one free, which is A's own now */
	let_b_spill(&f, 2);
	assert_int_equal(collect(&f, 0), 1); /* and with the spill it is served */
	assert_int_equal(f.t[3].lane, LANE_A);
	fixture_release(&f);
}

/* It holds a permit of the lane that its new one spills to: that will do, itself not counted. */
static void a_swap_may_keep_its_permit_as_a_spilled_one(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 1, 0);
	let_b_spill(&f, 1);
	acquire(&f, 0, 0, LANE_B, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 0);
	assert_int_equal(lane_swap(f.ledger, &f.t[1], LANE_B, 5, 2000), LANE_GRANTED);
	lane_check(f.ledger);
	assert_int_equal(f.t[1].lane, LANE_A);
	assert_int_equal(f.t[1].home_lane, LANE_B);
	acquire(&f, 2, 0, LANE_A, 5, 0);
	assert_int_equal(lane_swap(f.ledger, &f.t[2], LANE_B, 5, 2000), LANE_QUEUED);
	lane_check(f.ledger);
	release_none(&f, 0);
	assert_taken(&f, 0, 2, LANE_SOURCE_NONE);
	assert_int_equal(f.t[2].lane, LANE_B);
	fixture_release(&f);
}

static void a_hop_gives_the_lane_its_permit_back_at_once(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 0);
	assert_true(lane_hop(f.ledger, &f.t[0], LANE_B, 2000));
	lane_check(f.ledger);
	assert_int_equal(f.t[0].lane, LANE_B);
	assert_int_equal(f.t[0].home_lane, LANE_B);
	assert_int_equal(f.t[0].state, LANE_TICKET_HOLDS);
	assert_int_equal(collect(&f, 0), 1);
	assert_ptr_equal(f.taken[0], &f.t[1]);
	assert_int_equal(f.t[1].lane, LANE_A);
	assert_false(lane_hop(f.ledger, &f.t[1], LANE_B, 2000)); /* none is free: it stays */
	lane_check(f.ledger);
	assert_int_equal(f.t[1].lane, LANE_A);
	release_none(&f, 0); /* of B, where it was last */
	assert_int_equal(reading(&f, LANE_B).in_use, 0);
	assert_true(lane_hop(f.ledger, &f.t[1], LANE_B, 2000));
	assert_int_equal(reading(&f, LANE_A).n_hopped_out, 2);
	assert_int_equal(reading(&f, LANE_B).n_hopped_in, 2);
	fixture_release(&f);
}

static void a_spilled_permit_may_hop_to_where_it_is(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	let_b_spill(&f, 1);
	acquire(&f, 0, 0, LANE_B, 5, 0);
	acquire(&f, 1, 0, LANE_B, 5, 0);
	assert_true(lane_hop(f.ledger, &f.t[1], LANE_A, 2000));
	lane_check(f.ledger);
	assert_int_equal(f.t[1].lane, LANE_A);
	assert_int_equal(f.t[1].home_lane, LANE_A);
	assert_int_equal(reading(&f, LANE_A).in_use, 1);
	fixture_release(&f);
}

/* It pays the debt of a lane that was made smaller. */
static void a_hop_during_a_shrink_pays_it(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 1, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 0);
	fixture_resize(&f, 1, 1, 0);
	assert_int_equal(acquire(&f, 2, 0, LANE_B, 5, 0), LANE_QUEUED); /* the sum is at the budget */
	assert_true(lane_hop(f.ledger, &f.t[1], LANE_B, 2000));
	lane_check(f.ledger);
	assert_int_equal(reading(&f, LANE_A).in_use, 1);
	assert_int_equal(reading(&f, LANE_B).in_use, 1);
	release_none(&f, 1);
	assert_int_equal(collect(&f, 0), 1);
	fixture_release(&f);
}

static void assert_sizes(struct fixture *f, uint32_t a, uint32_t b, uint32_t urgent)
{
	struct lane_reading readings[LANE_MAX];
	struct lane_totals now;

	lane_read(f->ledger, readings, &now);
	assert_int_equal(readings[LANE_A].spec.size, a);
	assert_int_equal(readings[LANE_B].spec.size, b);
	assert_int_equal(readings[LANE_PRIORITY].spec.size, urgent);
	lane_check(f->ledger);
}

static void a_limited_budget_is_shared_in_proportion(void **state)
{
	struct fixture f;

	fixture_init(&f, 120, 50, 10);
	lane_limit_budget(f.ledger, 90);
	assert_int_equal(totals(&f).budget, 180);
	assert_int_equal(totals(&f).effective, 90);
	assert_sizes(&f, 59, 26, 5);
	lane_limit_budget(f.ledger, 200);
	assert_sizes(&f, 120, 50, 10);
	/* One permit each as long as there are that many, and beyond. */
	lane_limit_budget(f.ledger, 3);
	assert_sizes(&f, 1, 1, 1);
	lane_limit_budget(f.ledger, 1);
	assert_sizes(&f, 1, 1, 0);
	lane_limit_budget(f.ledger, 0);
	assert_sizes(&f, 1, 1, 0);
	/* A reload keeps the limit. */
	lane_limit_budget(f.ledger, 90);
	fixture_resize(&f, 180, 0, 0);
	assert_sizes(&f, 90, 0, 0);
	fixture_release(&f);
}

static void below_one_permit_per_lane_the_sum_is_limited(void **state)
{
	struct fixture f;

	fixture_init(&f, 4, 4, 0);
	lane_limit_budget(f.ledger, 1);
	assert_int_equal(acquire(&f, 0, 0, LANE_A, 5, 0), LANE_GRANTED);
	assert_int_equal(acquire(&f, 1, 0, LANE_B, 5, 0), LANE_QUEUED);
	/* The other lane's waiter is next, though its own lane always had a permit. */
	assert_true(release(&f, 0, 0));
	assert_taken(&f, 0, 1, LANE_SOURCE_OWN_IDLE);
	lane_limit_budget(f.ledger, 0);
	assert_int_equal(acquire(&f, 2, 0, LANE_A, 5, 0), LANE_QUEUED);
	assert_false(release(&f, 1, 0));
	close_held(&f);
	assert_int_equal(collect(&f, 0), 0);
	lane_limit_budget(f.ledger, UINT32_MAX);
	assert_taken(&f, 0, 2, LANE_SOURCE_SLOT);
	release_none(&f, 2);
	close_held(&f);
	fixture_release(&f);
}

static void who_is_requeued_keeps_its_place(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 0); /* its connection is refused */
	assert_int_equal(acquire(&f, 2, 0, LANE_A, 5, 0), LANE_QUEUED);
	lane_limit_budget(f.ledger, 1);
	close_held(&f);
	lane_requeue(f.ledger, &f.t[1], 1500);
	lane_check(f.ledger);
	assert_int_equal(f.t[1].state, LANE_TICKET_WAITS_PERMIT);
	assert_int_equal(f.t[1].enqueued_us, 1001); /* since it asked */
	assert_true(release(&f, 0, 0));
	assert_taken(&f, 0, 1, LANE_SOURCE_OWN_IDLE);
	assert_true(release(&f, 1, 0));
	assert_taken(&f, 0, 2, LANE_SOURCE_OWN_IDLE);
	assert_true(release(&f, 2, 0));
	assert_true(lane_idle_remove(f.ledger, &f.s[0]));
	close_held(&f);
	fixture_release(&f);
}

static void a_held_pool_makes_do_with_the_servers_it_has(void **state)
{
	struct fixture f;

	fixture_init(&f, 5, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 0); /* it cannot be had */
	lane_pool_hold(f.ledger, f.pools[0], true);
	close_held(&f);
	lane_requeue(f.ledger, &f.t[1], 1500);
	assert_int_equal(acquire(&f, 2, 0, LANE_A, 5, 0), LANE_QUEUED);
	assert_int_equal(acquire(&f, 3, 1, LANE_A, 5, 0), LANE_GRANTED); /* others go on */
	assert_int_equal(collect(&f, 0), 0);
	assert_true(release(&f, 0, 0)); /* nothing is closed for it */
	assert_taken(&f, 0, 1, LANE_SOURCE_OWN_IDLE);
	lane_pool_hold(f.ledger, f.pools[0], false);
	assert_taken(&f, 0, 2, LANE_SOURCE_SLOT);
	for (unsigned i = 1; i < 4; i++) {
		release_none(&f, i);
		close_held(&f);
	}
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_limited_budget_is_shared_in_proportion),
		cmocka_unit_test(below_one_permit_per_lane_the_sum_is_limited),
		cmocka_unit_test(who_is_requeued_keeps_its_place),
		cmocka_unit_test(a_held_pool_makes_do_with_the_servers_it_has),
		cmocka_unit_test(first_grant_takes_a_slot_and_release_gives_the_server_back),
		cmocka_unit_test(a_full_lane_queues_while_others_go_on),
		cmocka_unit_test(permits_and_deliveries_come_by_priority_then_arrival),
		cmocka_unit_test(a_port_is_woken_only_when_its_list_was_empty),
		cmocka_unit_test(the_queue_is_bounded),
		cmocka_unit_test(the_wait_is_estimated_by_how_long_permits_are_held),
		cmocka_unit_test(holds_of_long_ago_fade),
		cmocka_unit_test(urgent_tickets_use_the_urgent_lane_when_their_own_is_full),
		cmocka_unit_test(abandoning_gives_back_in_every_state),
		cmocka_unit_test(an_abandoned_slot_goes_to_the_next),
		cmocka_unit_test(shrinking_is_paid_as_permits_return),
		cmocka_unit_test(growing_serves_who_waits),
		cmocka_unit_test(take_may_abandon_who_comes_behind),
		cmocka_unit_test(a_full_lane_spills_while_few_permits_are_in_use_there),
		cmocka_unit_test(the_lanes_own_statements_go_before_spilled_ones),
		cmocka_unit_test(a_spill_that_is_taken_away_ends_as_permits_return),
		cmocka_unit_test(a_swap_may_keep_its_permit_as_a_spilled_one),
		cmocka_unit_test(a_hop_gives_the_lane_its_permit_back_at_once),
		cmocka_unit_test(a_spilled_permit_may_hop_to_where_it_is),
		cmocka_unit_test(a_hop_during_a_shrink_pays_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
