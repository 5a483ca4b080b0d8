/* SPDX-License-Identifier: ISC */
#include "fixture.h"

/* Servers 0 .. n-1 of the pool become idle on the port, in this order. */
static void make_idle(struct fixture *f, unsigned first, unsigned n, unsigned pool, unsigned port)
{
	for (unsigned i = first; i < first + n; i++) {
		assert_int_equal(acquire(f, i, pool, LANE_A, 5, port), LANE_GRANTED);
		assert_int_equal(f->t[i].source, LANE_SOURCE_SLOT);
	}
	for (unsigned i = first; i < first + n; i++)
		assert_true(release(f, i, i));
}

static void reuse_is_newest_first_and_prefers_the_own_port(void **state)
{
	struct fixture f;

	fixture_init(&f, 6, 0, 0);
	for (unsigned i = 0; i < 4; i++)
		acquire(&f, i, 0, LANE_A, 5, i / 2);
	for (unsigned i = 0; i < 4; i++)
		assert_true(release(&f, i, i));
	acquire(&f, 8, 0, LANE_A, 5, 0);
	assert_int_equal(f.t[8].source, LANE_SOURCE_OWN_IDLE);
	assert_ptr_equal(f.t[8].idle, &f.s[1]);
	assert_int_equal(f.s[1].state, LANE_IDLE_OUT);
	acquire(&f, 9, 0, LANE_A, 5, 0);
	assert_ptr_equal(f.t[9].idle, &f.s[0]);
	acquire(&f, 10, 0, LANE_A, 5, 0);
	assert_int_equal(f.t[10].source, LANE_SOURCE_FOREIGN_IDLE);
	assert_ptr_equal(f.t[10].idle, &f.s[3]);
	assert_int_equal(f.s[3].state, LANE_IDLE_CLAIMED);
	lane_claim_moved(f.ledger, &f.s[3], 0);
	assert_int_equal(f.s[3].port, 0);
	assert_int_equal(f.s[3].state, LANE_IDLE_OUT);
	acquire(&f, 11, 1, LANE_A, 5, 0);
	assert_int_equal(f.t[11].source,
		LANE_SOURCE_SLOT); /* another pool's idle is not used while slots are free */
	fixture_release(&f);
}

static void eviction_takes_the_longest_idle_of_any_pool(void **state)
{
	struct fixture f;

	fixture_init(&f, 3, 0, 0);
	make_idle(&f, 0, 1, 1, 1);
	make_idle(&f, 1, 2, 0, 0);
	assert_int_equal(acquire(&f, 8, 2, LANE_A, 5, 0), LANE_GRANTED);
	assert_int_equal(f.t[8].source, LANE_SOURCE_EVICT);
	assert_int_equal(f.t[8].state, LANE_TICKET_WAITS_SLOT);
	assert_ptr_equal(f.t[8].idle, &f.s[0]);
	lane_claim_closing(f.ledger, &f.s[0]);
	assert_int_equal(totals(&f).n_closing, 1);
	assert_int_equal(collect(&f, 0), 0);
	lane_slot_release(f.ledger, 2000);
	assert_taken(&f, 0, 8, LANE_SOURCE_SLOT);
	assert_int_equal(totals(&f).slots, 3);
	fixture_release(&f);
}

static void serve_once(struct fixture *f, unsigned pool, unsigned lane, unsigned server)
{
	assert_int_equal(acquire(f, 15, pool, lane, 5, 0), LANE_GRANTED);
	assert_true(release(f, 15, server));
}

static void eviction_spares_a_lane_that_has_permits_for_its_servers(void **state)
{
	struct fixture f;

	fixture_init(&f, 3, 1, 0);
	serve_once(&f, 0, LANE_B, 0); /* the longest idle from here on */
	make_idle(&f, 1, 3, 1, 0);
	acquire(&f, 8, 2, LANE_A, 5, 0);
	assert_int_equal(f.t[8].source, LANE_SOURCE_EVICT);
	assert_ptr_equal(f.t[8].idle, &f.s[1]); /* lane A has four servers with this one, and three permits */
	close_claimed(&f, 1);
	assert_taken(&f, 0, 8, LANE_SOURCE_SLOT);
	assert_true(release(&f, 8, 1));
	acquire(&f, 9, 2, LANE_B, 5, 1); /* idle there, and taken: the same for lane B now */
	assert_int_equal(f.t[9].source, LANE_SOURCE_FOREIGN_IDLE);
	acquire(&f, 10, 2, LANE_A, 5, 0);
	assert_int_equal(f.t[10].source, LANE_SOURCE_EVICT);
	assert_ptr_equal(f.t[10].idle, &f.s[0]); /* lane B's one permit is in use */
	lane_claim_moved(f.ledger, &f.s[1], 1);
	close_claimed(&f, 0);
	collect(&f, 0);
	release_none(&f, 9);
	close_held(&f);
	fixture_release(&f);
}

static void a_borrowed_server_is_still_counted_for_its_lane(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 1, 0);
	serve_once(&f, 0, LANE_B, 0);
	serve_once(&f, 0, LANE_A, 0);
	assert_int_equal(f.s[0].share, LANE_A + 1); /* as A has none */
	serve_once(&f, 0, LANE_B, 0);
	assert_int_equal(f.s[0].share, LANE_B + 1);
	make_idle(&f, 1, 2, 1, 0);
	serve_once(&f, 0, LANE_A, 0);
	assert_int_equal(f.s[0].share, LANE_B + 1); /* A has two others */
	fixture_release(&f);
}

static void a_server_that_served_nobody_goes_before_those_of_lanes(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	serve_once(&f, 0, LANE_B, 0);
	assert_true(lane_slot_try(f.ledger));
	f.s[1].pool = f.pools[1];
	assert_true(lane_orphan_idle(f.ledger, &f.s[1], 2000));
	acquire(&f, 8, 2, LANE_A, 5, 0);
	assert_int_equal(f.t[8].source, LANE_SOURCE_EVICT);
	assert_ptr_equal(f.t[8].idle, &f.s[1]);
	fixture_release(&f);
}

static void a_closing_server_is_awaited_before_another_is_evicted(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 0, 0);
	make_idle(&f, 0, 2, 0, 0);
	assert_true(lane_idle_remove(f.ledger, &f.s[0]));
	lane_slot_closing(f.ledger, false);
	acquire(&f, 8, 1, LANE_A, 5, 0);
	assert_int_equal(f.t[8].source, LANE_SOURCE_AWAIT_SLOT);
	acquire(&f, 9, 1, LANE_A, 5, 0);
	assert_int_equal(f.t[9].source, LANE_SOURCE_EVICT); /* that one is spoken for */
	lane_slot_release(f.ledger, 2000);
	assert_taken(&f, 0, 8, LANE_SOURCE_SLOT); /* in the order they came */
	fixture_release(&f);
}

static void a_slot_waiter_takes_an_idle_server_of_its_pool(void **state)
{
	struct fixture f;

	fixture_init(&f, 3, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 1);
	make_idle(&f, 1, 2, 1, 0);
	acquire(&f, 8, 0, LANE_A, 5, 0);
	assert_ptr_equal(f.t[8].idle, &f.s[1]);
	assert_int_equal(f.t[8].source, LANE_SOURCE_EVICT);
	assert_true(release(&f, 0, 0));
	assert_taken(&f, 0, 8, LANE_SOURCE_FOREIGN_IDLE);
	assert_ptr_equal(f.t[8].idle, &f.s[0]);
	close_claimed(&f, 1); /* the eviction goes through: its slot is free for others */
	assert_int_equal(totals(&f).slots, 2);
	acquire(&f, 9, 0, LANE_A, 5, 0);
	assert_int_equal(f.t[9].source, LANE_SOURCE_SLOT);
	fixture_release(&f);
}

static void a_waiter_of_another_pool_gets_the_freed_slot(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 1, LANE_A, 5, 0);
	acquire(&f, 2, 0, LANE_A, 5, 0);
	assert_true(release(&f, 0, 0));
	assert_taken(&f, 0, 1, LANE_SOURCE_EVICT); /* before 2, whose pool the server is of */
	assert_ptr_equal(f.t[1].idle, &f.s[0]);
	close_claimed(&f, 0);
	assert_taken(&f, 0, 1, LANE_SOURCE_SLOT);
	fixture_release(&f);
}

static void a_server_that_somebody_needs_the_slot_of_does_not_stay(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 0);
	release_none(&f, 1); /* its server is about to close */
	acquire(&f, 2, 1, LANE_A, 5, 0);
	assert_int_equal(f.t[2].source, LANE_SOURCE_AWAIT_SLOT);
	assert_false(release(&f, 0, 0));
	assert_int_equal(f.s[0].state, LANE_IDLE_OUT);
	close_held(&f);
	assert_taken(&f, 0, 2, LANE_SOURCE_SLOT);
	close_held(&f);
	assert_int_equal(totals(&f).slots, 1);
	fixture_release(&f);
}

static void an_untold_claim_is_taken_back(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 1, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_B, 5, 0);
	acquire(&f, 2, 1, LANE_A, 5, 1);
	assert_true(release(&f, 0, 0)); /* 2 is delivered the eviction of server 0 */
	assert_int_equal(f.s[0].state, LANE_IDLE_CLAIMED);
	close_held(&f); /* server 1: a slot is free before 2 was told */
	assert_int_equal(f.s[0].state, LANE_IDLE_REGISTERED);
	assert_taken(&f, 1, 2, LANE_SOURCE_SLOT);
	assert_int_equal(f.t[2].state, LANE_TICKET_HOLDS);
	fixture_release(&f);
}

static void begins_login(struct fixture *f, unsigned t, enum lane_verdict expected)
{
	assert_int_equal(lane_login_begin(f->ledger, &f->t[t], 2000), expected);
	lane_check(f->ledger);
}

static void waits_for_login(struct fixture *f, unsigned t, unsigned pool)
{
	acquire(f, t, pool, LANE_A, 5, 0);
	assert_int_equal(f->t[t].source, LANE_SOURCE_SLOT);
	lane_login_wait(f->ledger, &f->t[t], 2000);
	lane_check(f->ledger);
	assert_int_equal(f->t[t].state, LANE_TICKET_WAITS_LOGIN);
}

static void who_waits_for_a_login_takes_an_idle_server_and_leaves_the_slot(void **state)
{
	struct fixture f;

	fixture_init(&f, 4, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	waits_for_login(&f, 1, 0);
	waits_for_login(&f, 2, 0);
	waits_for_login(&f, 3, 1);
	assert_int_equal(totals(&f).slots, 4);
	acquire(&f, 4, 1, LANE_A, 5, 0); /* all permits are in use */
	assert_int_equal(f.t[4].state, LANE_TICKET_WAITS_PERMIT);
	assert_true(release(&f, 0, 0));
	assert_int_equal(totals(&f).slots, 4); /* the first one's slot is that of the next permit */
	begins_login(&f, 1, LANE_QUEUED);
	assert_int_equal(collect(&f, 0), 2);
	assert_ptr_equal(f.taken[0], &f.t[1]);
	assert_int_equal(f.t[1].source, LANE_SOURCE_OWN_IDLE);
	assert_ptr_equal(f.t[1].idle, &f.s[0]);
	assert_int_equal(f.t[4].source, LANE_SOURCE_SLOT);
	begins_login(&f, 2, LANE_GRANTED);
	assert_int_equal(f.t[2].state, LANE_TICKET_HOLDS);
	assert_int_equal(f.t[2].source, LANE_SOURCE_SLOT);
	abandon(&f, 3); /* with its slot */
	assert_int_equal(totals(&f).slots, 3);
	fixture_release(&f);
}

static void a_server_that_became_idle_meanwhile_is_taken_at_once(void **state)
{
	struct fixture f;

	fixture_init(&f, 3, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 1);
	acquire(&f, 1, 0, LANE_A, 5, 0);
	assert_true(release(&f, 0, 0));
	lane_login_wait(f.ledger, &f.t[1], 2000);
	assert_taken(&f, 0, 1, LANE_SOURCE_FOREIGN_IDLE);
	lane_claim_moved(f.ledger, &f.s[0], 0);
	assert_int_equal(totals(&f).slots, 1);
	fixture_release(&f);
}

static void a_shrink_takes_the_slot_of_who_waits_for_a_login(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	waits_for_login(&f, 1, 0);
	fixture_resize(&f, 1, 0, 0);
	begins_login(&f, 1, LANE_QUEUED);
	assert_int_equal(f.t[1].state, LANE_TICKET_WAITS_PERMIT);
	assert_int_equal(totals(&f).slots, 1);
	assert_true(release(&f, 0, 0));
	assert_taken(&f, 0, 1, LANE_SOURCE_OWN_IDLE);
	fixture_release(&f);
}

static void a_dead_promise_is_asked_again(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 0, 0);
	make_idle(&f, 0, 1, 0, 1);
	acquire(&f, 8, 0, LANE_A, 5, 0);
	assert_int_equal(f.t[8].source, LANE_SOURCE_FOREIGN_IDLE);
	assert_false(lane_idle_remove(
		f.ledger, &f.s[0])); /* its own worker finds it dead: it is claimed */
	close_claimed(&f, 0);
	assert_int_equal(lane_again(f.ledger, &f.t[8], 2000), LANE_GRANTED);
	assert_int_equal(f.t[8].source, LANE_SOURCE_SLOT);
	assert_int_equal(totals(&f).slots, 1);
	fixture_release(&f);
}

static void an_own_idle_server_cannot_be_removed_while_it_is_on_its_way(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 0, 0);
	acquire(&f, 0, 0, LANE_A, 5, 0);
	acquire(&f, 1, 0, LANE_A, 5, 0);
	assert_true(release(&f, 0, 0));
	assert_false(lane_idle_remove(f.ledger, &f.s[0]));
	assert_taken(&f, 0, 1, LANE_SOURCE_OWN_IDLE);
	assert_int_equal(f.s[0].state, LANE_IDLE_OUT);
	fixture_release(&f);
}

static void a_claimer_that_left_gives_the_server_back(void **state)
{
	struct fixture f;

	fixture_init(&f, 1, 0, 0);
	make_idle(&f, 0, 1, 0, 1);
	acquire(&f, 8, 0, LANE_A, 5, 0);
	assert_int_equal(f.t[8].source, LANE_SOURCE_FOREIGN_IDLE);
	release_none(&f, 8);
	assert_true(lane_claim_undo(f.ledger, &f.s[0], 2000));
	assert_int_equal(f.s[0].state, LANE_IDLE_REGISTERED);
	acquire(&f, 8, 0, LANE_A, 5, 0);
	release_none(&f, 8);
	acquire(&f, 9, 1, LANE_A, 5, 0);
	assert_int_equal(f.t[9].source, LANE_SOURCE_AWAIT_SLOT);
	assert_false(lane_claim_undo(f.ledger, &f.s[0], 2000)); /* somebody needs its slot now */
	close_claimed(&f, 0);
	assert_taken(&f, 0, 9, LANE_SOURCE_SLOT);
	fixture_release(&f);
}

static void orphans_come_home(void **state)
{
	struct fixture f;

	fixture_init(&f, 2, 0, 0);
	assert_true(lane_slot_try(f.ledger));
	assert_true(lane_slot_try(f.ledger));
	assert_false(lane_slot_try(f.ledger));
	acquire(&f, 0, 0, LANE_A, 5, 1);
	assert_int_equal(f.t[0].source, LANE_SOURCE_AWAIT_SLOT);
	f.s[0].pool = f.pools[0];
	f.s[1].pool = f.pools[1];
	assert_false(lane_orphan_idle(
		f.ledger, &f.s[1], 2000)); /* of another pool: its slot is wanted */
	assert_true(lane_orphan_idle(f.ledger, &f.s[0], 2000));
	assert_taken(&f, 1, 0, LANE_SOURCE_FOREIGN_IDLE);
	assert_int_equal(totals(&f).n_orphans, 1);
	lane_slot_closing(f.ledger, true);
	lane_slot_release(f.ledger, 2000);
	acquire(&f, 1, 0, LANE_A, 5, 0);
	lane_slot_orphan(f.ledger); /* its client left while it was connecting */
	release_none(&f, 1);
	assert_int_equal(totals(&f).n_orphans, 1);
	lane_slot_adopt(f.ledger);
	assert_int_equal(totals(&f).n_orphans, 0);
	fixture_release(&f);
}

static void servers_above_a_smaller_budget_are_closed_not_used(void **state)
{
	struct fixture f;

	fixture_init(&f, 4, 0, 0);
	make_idle(&f, 0, 4, 0, 0);
	assert_null(lane_excess_idle(f.ledger));
	fixture_resize(&f, 2, 0, 0);
	assert_ptr_equal(lane_excess_idle(f.ledger), &f.s[0]);
	assert_ptr_equal(lane_excess_idle(f.ledger), &f.s[1]);
	assert_null(lane_excess_idle(f.ledger));
	acquire(&f, 8, 0, LANE_A, 5, 0);
	assert_ptr_equal(f.t[8].idle, &f.s[3]);
	assert_false(lane_slot_try(f.ledger));
	close_claimed(&f, 0);
	close_claimed(&f, 1);
	assert_int_equal(totals(&f).slots, 2);
	assert_false(lane_slot_try(f.ledger));
	fixture_release(&f);
}

static void surplus_is_closed_oldest_first_unless_somebody_waits(void **state)
{
	struct fixture f;

	fixture_init(&f, 3, 0, 0);
	for (unsigned i = 0; i < 3; i++)
		acquire(&f, i, 0, LANE_A, 5, 0);
	assert_null(lane_surplus_idle(f.ledger, 0)); /* none is idle */
	assert_true(release(&f, 0, 0));
	assert_true(release(&f, 1, 1));
	assert_null(lane_surplus_idle(f.ledger, 3));
	assert_ptr_equal(lane_surplus_idle(f.ledger, 2), &f.s[0]);
	lane_check(f.ledger);
	assert_null(lane_surplus_idle(f.ledger, 2)); /* it counts no more */
	close_claimed(&f, 0);
	acquire(&f, 3, 1, LANE_A, 5, 0);
	acquire(&f, 4, 1, LANE_A, 5, 0);
	assert_int_equal(f.t[4].source, LANE_SOURCE_EVICT);
	assert_null(lane_surplus_idle(f.ledger, 0));
	close_claimed(&f, 1);
	assert_taken(&f, 0, 4, LANE_SOURCE_SLOT);
	for (unsigned i = 2; i < 5; i++) {
		release_none(&f, i);
		close_held(&f);
	}
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(surplus_is_closed_oldest_first_unless_somebody_waits),
		cmocka_unit_test(reuse_is_newest_first_and_prefers_the_own_port),
		cmocka_unit_test(eviction_takes_the_longest_idle_of_any_pool),
		cmocka_unit_test(eviction_spares_a_lane_that_has_permits_for_its_servers),
		cmocka_unit_test(a_borrowed_server_is_still_counted_for_its_lane),
		cmocka_unit_test(a_server_that_served_nobody_goes_before_those_of_lanes),
		cmocka_unit_test(a_closing_server_is_awaited_before_another_is_evicted),
		cmocka_unit_test(a_slot_waiter_takes_an_idle_server_of_its_pool),
		cmocka_unit_test(a_waiter_of_another_pool_gets_the_freed_slot),
		cmocka_unit_test(a_server_that_somebody_needs_the_slot_of_does_not_stay),
		cmocka_unit_test(an_untold_claim_is_taken_back),
		cmocka_unit_test(who_waits_for_a_login_takes_an_idle_server_and_leaves_the_slot),
		cmocka_unit_test(a_server_that_became_idle_meanwhile_is_taken_at_once),
		cmocka_unit_test(a_shrink_takes_the_slot_of_who_waits_for_a_login),
		cmocka_unit_test(a_dead_promise_is_asked_again),
		cmocka_unit_test(an_own_idle_server_cannot_be_removed_while_it_is_on_its_way),
		cmocka_unit_test(a_claimer_that_left_gives_the_server_back),
		cmocka_unit_test(orphans_come_home),
		cmocka_unit_test(servers_above_a_smaller_budget_are_closed_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
