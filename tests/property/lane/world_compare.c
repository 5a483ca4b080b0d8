/* SPDX-License-Identifier: ISC */
/* Everything that can be seen of the ledger, against the model; and what holds of both. */
#include "world_priv.h"

void world__compare_ticket(const struct world *w, int i)
{
	const struct lane_ticket *real = &w->tickets[i];
	const struct model_ticket *t = &w->model.tickets[i];

	EXPECT(real->state, t->state, "state of a ticket");
	if (t->state == LANE_TICKET_NONE)
		return;
	if (t->state == LANE_TICKET_HOLDS || t->state == LANE_TICKET_WAITS_SLOT) {
		EXPECT(real->lane, t->lane, "lane of a ticket");
		EXPECT(real->home_lane, t->home, "home lane of a ticket");
		EXPECT(real->source, t->source, "source of a ticket");
		EXPECT(real->idle ? real->idle - w->idle : -1, t->server, "server of a ticket");
		EXPECT(real->granted_us, t->granted_us, "time of a grant");
	}
	EXPECT(real->enqueued_us, t->enqueued_us, "time of an arrival");
}

static void compare_lane(struct world *w, int i, const struct lane_reading *real)
{
	const struct model_lane *lane = &w->model.lanes[i];
	uint32_t waiting[LANE_PRIORITY_MAX + 1] = { 0 }, n_waiting = 0;
	uint64_t oldest_us = 0;
	uint32_t in_use = model_in_use(&w->model, i);

	for (int k = 0; k < MODEL_TICKETS; k++) {
		const struct model_ticket *t = &w->model.tickets[k];

		if (!model_waits_in_lane(t) || model_queue_lane(t) != i)
			continue;
		waiting[t->priority]++;
		n_waiting++;
		if (oldest_us == 0 || t->enqueued_us < oldest_us)
			oldest_us = t->enqueued_us;
	}
	EXPECT(real->in_use, in_use, "permits in use");
	EXPECT(real->waiting, n_waiting, "waiting");
	for (int p = 0; p <= LANE_PRIORITY_MAX; p++)
		EXPECT(real->waiting_by_priority[p], waiting[p], "waiting of a priority");
	EXPECT(real->oldest_enqueued_us, oldest_us, "oldest arrival");
	EXPECT(real->avg_hold_us, lane->n_held ? MAX_OF(lane->held_us / lane->n_held, 1) : 0,
		"mean hold");
	EXPECT(real->n_granted, lane->n_granted, "granted");
	EXPECT(real->n_queued, lane->n_queued, "queued");
	EXPECT(real->n_refused, lane->n_refused, "refused");
	EXPECT(real->n_abandoned, lane->n_abandoned, "abandoned");
	EXPECT(real->total_wait_us, lane->total_wait_us, "total wait");
	EXPECT(real->max_wait_us, lane->max_wait_us, "longest wait");
	EXPECT(real->n_spilled_out, lane->n_spilled_out, "spilled out");
	EXPECT(real->n_spilled_in, lane->n_spilled_in, "spilled in");
	EXPECT(real->n_hopped_out, lane->n_hopped_out, "hopped out");
	EXPECT(real->n_hopped_in, lane->n_hopped_in, "hopped in");
	/* Invariant 1: never above the size, but for a shrink, which only falls. */
	MUST(in_use <= MAX_OF(lane->spec.size, w->last_in_use[i]));
	w->last_in_use[i] = in_use;
}

/* Invariant 3: each one that waits for a slot has a server that nobody with a permit holds. */
static void check_counting_argument(const struct model *m)
{
	uint32_t n_replaceable = 0;

	for (int i = 0; i < m->n_lanes; i++) {
		if (model_in_use(m, i) > m->lanes[i].spec.size)
			return; /* the argument starts again when the shrink is paid */
	}
	if (model_in_use(m, -1) > m->budget)
		return;
	for (int i = 0; i < MODEL_SERVERS; i++) {
		const struct model_server *s = &m->servers[i];

		n_replaceable +=
			s->where != WHERE_NOWHERE &&
			((s->where != WHERE_HELD && s->where != WHERE_MOVING) || s->owner < 0);
	}
	MUST(model_slot_waiters(m) <= n_replaceable);
}

/* Whom the servers count for: of those that are the ledger's at this moment. */
static void compare_shares(const struct world *w)
{
	for (int i = 0; i < MODEL_SERVERS; i++) {
		const struct model_server *s = &w->model.servers[i];

		if (s->where == WHERE_IDLE || s->where == WHERE_MOVING || s->where == WHERE_EVICTING)
			EXPECT(w->idle[i].share, s->share + 1, "share of a server");
	}
}

void world__compare(struct world *w)
{
	struct lane_reading readings[LANE_MAX];
	struct lane_totals totals;
	const struct model *m = &w->model;
	uint32_t slots = model_slots(m);

	lane_check(w->ledger);
	EXPECT(lane_read(w->ledger, readings, &totals), m->n_lanes, "lanes");
	for (int i = 0; i < m->n_lanes; i++)
		compare_lane(w, i, &readings[i]);
	for (int i = 0; i < w->n_tickets; i++)
		world__compare_ticket(w, i);
	EXPECT(totals.slots, slots, "slots");
	EXPECT(totals.n_idle, model_count(m, WHERE_IDLE), "idle");
	EXPECT(totals.n_closing, model_count(m, WHERE_CLOSING), "closing");
	EXPECT(totals.n_orphans, model_count(m, WHERE_ORPHAN), "orphans");
	EXPECT(totals.n_slot_waiters, model_slot_waiters(m), "slot waiters");
	EXPECT(w->woken, m->woken, "ports woken");
	/* Invariant 2: never above the budget, but for a shrink, which only falls. */
	MUST(slots <= MAX_OF(m->budget, w->last_slots));
	w->last_slots = slots;
	check_counting_argument(m);
	compare_shares(w);
}
