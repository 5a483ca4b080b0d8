/* SPDX-License-Identifier: ISC */
/*
 * Holders of a permit and a slot that wait for their turn to log in. What their slots count as does
 * not change by it: held.
 */
#include "lane/lane_priv.h"

void lane__leave_login_queue(struct lane_ledger *l, struct lane_ticket *t)
{
	TAILQ_REMOVE(&t->pool->login_waiters, t, slot_queued);
	t->pool->n_login_waiters--;
	l->n_login_waiters--;
}

void lane__give_up_login(struct lane_ledger *l, struct lane_ticket *t)
{
	lane__leave_login_queue(l, t);
	MUST(l->n_held > 0 && l->slots > 0);
	l->n_held--;
	l->slots--;
}

void lane_login_wait(struct lane_ledger *l, struct lane_ticket *t, uint64_t mono_us)
{
	MUST(t->state == LANE_TICKET_HOLDS && t->source == LANE_SOURCE_SLOT);
	lane__lock(l, mono_us);
	t->state = t->standing = LANE_TICKET_WAITS_LOGIN;
	t->source = LANE_SOURCE_NONE;
	TAILQ_INSERT_TAIL(&t->pool->login_waiters, t, slot_queued);
	t->pool->n_login_waiters++;
	l->n_login_waiters++;
	lane__offer_idle(l, t->pool, t->port);
	lane__finish(l);
}

enum lane_verdict lane_login_begin(struct lane_ledger *l, struct lane_ticket *t, uint64_t mono_us)
{
	enum lane_verdict verdict = LANE_QUEUED;

	MUST(t->state == LANE_TICKET_WAITS_LOGIN);
	lane__lock(l, mono_us);
	if (t->standing == LANE_TICKET_WAITS_LOGIN && l->slots <= l->budget) {
		lane__leave_login_queue(l, t);
		t->state = t->standing = LANE_TICKET_HOLDS;
		t->source = LANE_SOURCE_SLOT;
		verdict = LANE_GRANTED;
	} else if (t->standing == LANE_TICKET_WAITS_LOGIN) {
		lane__give_up_login(l, t);
		lane__requeue(l, t);
	}
	lane__finish(l);
	return verdict;
}
