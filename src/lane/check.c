/* SPDX-License-Identifier: ISC */
/*
 * Every invariant of README.md, recounted from the lists and asserted; and the consistent copy that
 * console and sampler read.
 */
#include "lane/lane_priv.h"

#include <string.h>

/* ---- Reading ---- */

static void read_waitq(const struct lane_waitq *q, struct lane_reading *out)
{
	for (uint32_t left = q->filled; left; left &= left - 1) {
		unsigned p = (unsigned)__builtin_ctz(left);
		uint64_t first_us = TAILQ_FIRST(&q->by_priority[p])->enqueued_us;

		out->waiting_by_priority[p] += q->n_by_priority[p];
		if (out->oldest_enqueued_us == 0 || first_us < out->oldest_enqueued_us)
			out->oldest_enqueued_us = first_us;
	}
}

static void read_lane(const struct lane *lane, struct lane_reading *out)
{
	const struct lane_group *group;

	memset(out, 0, sizeof(*out));
	out->spec = lane->spec;
	out->in_use = lane->in_use;
	out->waiting = lane->n_waiting;
	out->n_granted = lane->n_granted;
	out->n_queued = lane->n_queued;
	out->n_refused = lane->n_refused;
	out->n_abandoned = lane->n_abandoned;
	out->total_wait_us = lane->total_wait_us;
	out->max_wait_us = lane->max_wait_us;
	out->n_spilled_out = lane->n_spilled_out;
	out->n_spilled_in = lane->n_spilled_in;
	out->n_hopped_out = lane->n_hopped_out;
	out->n_hopped_in = lane->n_hopped_in;
	out->avg_hold_us = lane->n_held ? MAX_OF(lane->held_us / lane->n_held, 1) : 0;
	read_waitq(&lane->q, out);
	TAILQ_FOREACH(group, &lane->groups, of_lane)
	read_waitq(&group->q, out);
}

unsigned lane_read(
	struct lane_ledger *l, struct lane_reading out[LANE_MAX], struct lane_totals *totals_r)
{
	lane__lock(l, 0);
	for (unsigned i = 0; i < l->n_lanes; i++)
		read_lane(&l->lanes[i], &out[i]);
	*totals_r = (struct lane_totals){
		.budget = l->full_budget,
		.effective = l->budget,
		.slots = l->slots,
		.n_idle = l->n_idle,
		.n_closing = l->n_closing,
		.n_orphans = l->n_orphans,
		.n_slot_waiters = l->n_slot_waiters,
	};
	lane__finish(l);
	return l->n_lanes;
}

uint64_t lane_estimate_wait_us(const struct lane_reading *reading, unsigned priority)
{
	uint64_t n_before = 0, n_returning = MAX_OF(reading->in_use, 1);

	for (unsigned p = priority; p <= LANE_PRIORITY_MAX; p++)
		n_before += reading->waiting_by_priority[p];
	return ((n_before + 1) * reading->avg_hold_us + n_returning - 1) / n_returning;
}

/* ---- Checking ---- */

struct tally {
	uint32_t n_waiting, n_swaps;
	uint32_t swaps[LANE_MAX][LANE_MAX];
};

static void check_ticket(struct lane_ledger *l, const struct lane_ticket *t,
	const struct lane *lane, bool in_group, struct tally *tally)
{
	bool is_swap = t->standing == LANE_TICKET_WAITS_SWAP;

	MUST(is_swap || t->standing == LANE_TICKET_WAITS_PERMIT);
	MUST(t->state == t->standing && t->enqueued_us != 0);
	MUST(lane__queue_lane(l, t) == lane);
	MUST(in_group == (!is_swap && t->pool->max_servers > 0));
	tally->n_waiting++;
	if (is_swap) {
		tally->n_swaps++;
		tally->swaps[t->lane][t->wanted_lane]++;
	}
}

static void check_waitq(struct lane_ledger *l, const struct lane_waitq *q, const struct lane *lane,
	bool in_group, struct tally *tally)
{
	const struct lane_ticket *t;

	for (unsigned p = 0; p <= LANE_PRIORITY_MAX; p++) {
		uint64_t last = 0, last_us = 0;
		uint32_t n = 0;

		TAILQ_FOREACH(t, &q->by_priority[p], queued) {
			MUST(t->priority == p && t->arrival > last);
			MUST(t->enqueued_us >= last_us);
			last = t->arrival;
			last_us = t->enqueued_us;
			n++;
			check_ticket(l, t, lane, in_group, tally);
		}
		MUST(n == q->n_by_priority[p] && (n > 0) == !!(q->filled & UINT32_C(1) << p));
	}
}

static void check_lane(struct lane_ledger *l, struct lane *lane, struct tally *tally)
{
	struct lane_group *group;
	uint32_t n_before = tally->n_waiting, n_swaps_before = tally->n_swaps;
	bool is_urgent = lane - l->lanes == l->urgent;

	check_waitq(l, &lane->q, lane, false, tally);
	TAILQ_FOREACH(group, &lane->groups, of_lane) {
		MUST(group->q.filled != 0 && group->pool->max_servers > 0);
		check_waitq(l, &group->q, lane, true, tally);
	}
	MUST(lane->n_waiting == tally->n_waiting - n_before &&
		lane->n_swaps == tally->n_swaps - n_swaps_before);
	MUST(!is_urgent || lane->n_waiting == 0);
	MUST(lane->n_held < LANE_HOLDS_REMEMBERED);
	/* A free permit and somebody who could use it do not coexist. */
	if (lane__has_permit(lane) || lane__may_spill(l, lane))
		MUST(lane__first_runnable(l, lane, LANE_PRIORITY_MIN) == NULL);
	if (l->urgent >= 0 && lane__has_permit(&l->lanes[l->urgent]))
		MUST(lane__first_runnable(l, lane, LANE_PRIORITY_URGENT) == NULL);
}

static void check_permits(struct lane_ledger *l)
{
	struct tally tally = { 0 };
	uint64_t size = 0, full_size = 0, in_use = 0, owed = 0, n_first = 0;

	for (unsigned i = 0; i < l->n_lanes; i++) {
		struct lane *lane = &l->lanes[i];

		check_lane(l, lane, &tally);
		MUST(lane->spec.size <= lane->full_size);
		size += lane->spec.size;
		full_size += lane->full_size;
		n_first += lane->full_size > 0 && (int)i != l->urgent;
		in_use += lane->in_use;
		if (lane->in_use > lane->spec.size)
			owed += lane->in_use - lane->spec.size;
	}
	MUST(full_size == l->full_budget && l->budget == MIN_OF(l->full_budget, l->limit));
	MUST(size == MAX_OF(l->budget, n_first) && size == l->n_permits);
	MUST(in_use == l->in_use && owed == l->n_owed);
	MUST(in_use <= size + owed);
	MUST(memcmp(tally.swaps, l->swaps, sizeof(tally.swaps)) == 0);
}

static void check_pool(struct lane_ledger *l, struct lane_pool *pool)
{
	const struct lane_idle *idle;
	uint32_t n = 0;

	for (unsigned i = 0; i < l->n_ports; i++) {
		uint64_t last = UINT64_MAX;

		TAILQ_FOREACH(idle, &pool->idle[i], of_pool) {
			MUST(idle->state == LANE_IDLE_REGISTERED && idle->pool == pool &&
				idle->port == i);
			MUST(idle->used < last);
			last = idle->used;
			n++;
		}
		MUST(TAILQ_EMPTY(&pool->idle[i]) == !(pool->ports_filled & UINT64_C(1) << i));
	}
	MUST(n == pool->n_idle);
	/* Who waits for a login takes what comes. */
	MUST(pool->n_login_waiters == 0 || n == 0);
	if (pool->max_servers == 0 && pool->groups) {
		for (unsigned i = 0; i < l->n_lanes; i++)
			MUST(pool->groups[i].q.filled == 0);
	}
}

static uint32_t count_login_waiters(const struct lane_pool *pool)
{
	const struct lane_ticket *t;
	uint32_t n = 0;

	TAILQ_FOREACH(t, &pool->login_waiters, slot_queued) {
		MUST(t->standing == LANE_TICKET_WAITS_LOGIN && t->state == t->standing &&
			t->pool == pool);
		n++;
	}
	MUST(n == pool->n_login_waiters);
	return n;
}

/* An idle server of a pool goes to who waits for a slot on its behalf: the two do not coexist. */
static void check_pools(struct lane_ledger *l)
{
	uint64_t n_permits = 0, n_idle = 0, n_claimed = 0, n_slot_waiters = 0, n_waiting = 0,
		 n_in_lanes = 0, n_login_waiters = 0;
	struct lane_pool *pool;

	TAILQ_FOREACH(pool, &l->pools, of_ledger) {
		check_pool(l, pool);
		MUST(pool->n_slot_waiters == 0 || pool->n_idle == 0 ||
			lane__shortage(l) >= (int64_t)l->n_idle);
		n_permits += pool->n_permits;
		n_idle += pool->n_idle;
		n_claimed += pool->n_claimed;
		n_slot_waiters += pool->n_slot_waiters;
		n_login_waiters += count_login_waiters(pool);
		n_waiting += pool->n_waiting;
	}
	for (unsigned i = 0; i < l->n_lanes; i++)
		n_in_lanes += l->lanes[i].n_waiting - l->lanes[i].n_swaps;
	MUST(n_permits == l->in_use && n_idle == l->n_idle &&
		n_claimed == (uint64_t)l->n_moving + l->n_evicting);
	MUST(n_slot_waiters == l->n_slot_waiters && n_waiting == n_in_lanes);
	MUST(n_login_waiters == l->n_login_waiters && n_login_waiters <= l->n_held);
}

static uint32_t count_idle(const struct lane_ledger *l)
{
	const struct lane_idle *idle;
	uint32_t n_all = 0;

	for (unsigned i = 0; i <= LANE_MAX; i++) {
		uint64_t last = 0;
		uint32_t n = 0;

		TAILQ_FOREACH(idle, &l->shares[i].idle, of_lane) {
			MUST(idle->used > last && idle->share == i && i <= l->n_lanes);
			last = idle->used;
			n++;
		}
		MUST(n == l->shares[i].n_idle);
		n_all += n;
	}
	return n_all;
}

static void check_slots(const struct lane_ledger *l)
{
	const struct lane_ticket *t;
	uint32_t n = 0, n_told = 0;

	MUST((uint64_t)l->slots == (uint64_t)l->n_idle + l->n_moving + l->n_evicting + l->n_held +
					   l->n_orphans + l->n_closing);
	MUST(count_idle(l) == l->n_idle);
	TAILQ_FOREACH(t, &l->slot_waiters, slot_queued) {
		MUST(t->standing == LANE_TICKET_WAITS_SLOT ||
			(t->standing == LANE_TICKET_DELIVERED &&
				(t->coming == LANE_SOURCE_EVICT ||
					t->coming == LANE_SOURCE_AWAIT_SLOT)));
		n++;
		n_told += !lane__is_untold_eviction(t);
	}
	MUST(n == l->n_slot_waiters);
	/*
	 * A free slot and somebody who waits for one do not coexist; nor do a server to close for
	 * somebody and somebody to say so.
	 */
	MUST(n == 0 || l->slots >= l->budget);
	MUST(l->n_idle == 0 || n_told == 0 || lane__shortage(l) <= 0);
}

static void check_ports(const struct lane_ledger *l)
{
	const struct lane_ticket *t;

	for (unsigned i = 0; i < l->n_ports; i++) {
		TAILQ_FOREACH(t, &l->ports[i].delivered, queued) {
			MUST(t->standing == LANE_TICKET_DELIVERED && t->port == i);
			MUST((t->coming == LANE_SOURCE_OWN_IDLE ||
				     t->coming == LANE_SOURCE_FOREIGN_IDLE ||
				     t->coming == LANE_SOURCE_EVICT) == (t->coming_idle != NULL));
			if (t->coming_idle) {
				MUST(t->coming_idle->state == LANE_IDLE_CLAIMED);
				MUST(t->coming_idle->claimed_to_close ==
					(t->coming == LANE_SOURCE_EVICT));
			}
		}
	}
	MUST(l->ports_to_wake == 0 && l->lanes_to_serve == 0);
}

void lane_check(struct lane_ledger *l)
{
	lane__lock(l, 0);
	check_permits(l);
	check_pools(l);
	check_slots(l);
	check_ports(l);
	lane__finish(l);
}
