/* SPDX-License-Identifier: ISC */
/*
 * Slots of the budget, the registry of idle servers, and how a holder of a permit comes to its
 * server. A slot is in exactly one account (idle, moving, evicting, held, orphan, closing) and only
 * the functions of this file move it.
 */
#include "lane/lane_priv.h"

/* ---- The registry ---- */

static void idle_register(struct lane_ledger *l, struct lane_idle *idle)
{
	struct lane_pool *pool = idle->pool;

	idle->state = LANE_IDLE_REGISTERED;
	idle->used = ++l->n_uses;
	TAILQ_INSERT_HEAD(&pool->idle[idle->port], idle, of_pool);
	pool->ports_filled |= UINT64_C(1) << idle->port;
	pool->n_idle++;
	TAILQ_INSERT_TAIL(&l->shares[idle->share].idle, idle, of_lane);
	l->shares[idle->share].n_idle++;
	l->n_idle++;
	if (pool->max_servers && pool->n_waiting)
		l->lanes_to_serve |= lane__all(l);
}

static void idle_unregister(struct lane_ledger *l, struct lane_idle *idle)
{
	struct lane_pool *pool = idle->pool;

	TAILQ_REMOVE(&pool->idle[idle->port], idle, of_pool);
	if (TAILQ_EMPTY(&pool->idle[idle->port]))
		pool->ports_filled &= ~(UINT64_C(1) << idle->port);
	pool->n_idle--;
	TAILQ_REMOVE(&l->shares[idle->share].idle, idle, of_lane);
	l->shares[idle->share].n_idle--;
	l->n_idle--;
}

static void idle_claim(struct lane_ledger *l, struct lane_idle *idle, bool to_close)
{
	idle->state = LANE_IDLE_CLAIMED;
	idle->claimed_to_close = to_close;
	idle->pool->n_claimed++;
	if (to_close)
		l->n_evicting++;
	else
		l->n_moving++;
}

static void idle_unclaim(struct lane_ledger *l, struct lane_idle *idle)
{
	MUST(idle->state == LANE_IDLE_CLAIMED);
	idle->state = LANE_IDLE_OUT;
	idle->pool->n_claimed--;
	if (idle->claimed_to_close)
		l->n_evicting--;
	else
		l->n_moving--;
}

/* The pool's most recently used idle server of this port, else of any port. */
static struct lane_idle *pool_best_idle(struct lane_pool *pool, unsigned port)
{
	struct lane_idle *best = TAILQ_FIRST(&pool->idle[port]);

	if (best)
		return best;
	for (uint64_t left = pool->ports_filled; left; left &= left - 1) {
		struct lane_idle *idle = TAILQ_FIRST(&pool->idle[__builtin_ctzll(left)]);

		if (best == NULL || idle->used > best->used)
			best = idle;
	}
	return best;
}

/* ---- The slot queue ---- */

static void join_slot_queue(struct lane_ledger *l, struct lane_ticket *t)
{
	TAILQ_INSERT_TAIL(&l->slot_waiters, t, slot_queued);
	l->n_slot_waiters++;
	t->pool->n_slot_waiters++;
}

void lane__leave_slot_queue(struct lane_ledger *l, struct lane_ticket *t)
{
	TAILQ_REMOVE(&l->slot_waiters, t, slot_queued);
	l->n_slot_waiters--;
	t->pool->n_slot_waiters--;
}

static struct lane_ticket *slot_waiter_of(struct lane_ledger *l, struct lane_pool *pool)
{
	struct lane_ticket *t;

	if (pool->n_slot_waiters == 0)
		return NULL;
	TAILQ_FOREACH(t, &l->slot_waiters, slot_queued) {
		if (t->pool == pool)
			return t;
	}
	UNREACHABLE("a pool counts slot waiters that are not queued");
}

/*
 * The first to whom a slot, or a claim to pass on, is worth most: one whose own claim cannot be
 * taken back any more.
 */
static struct lane_ticket *first_told_waiter(struct lane_ledger *l)
{
	struct lane_ticket *t;

	TAILQ_FOREACH(t, &l->slot_waiters, slot_queued) {
		if (!lane__is_untold_eviction(t))
			return t;
	}
	return NULL;
}

/* ---- Coming to a server ---- */

static uint32_t is_own(const struct lane_ticket *t, const struct lane_idle *idle)
{
	return idle->port == t->port;
}

static void give_idle(struct lane_ledger *l, struct lane_ticket *t, struct lane_idle *idle)
{
	idle_claim(l, idle, false);
	t->coming = is_own(t, idle) ? LANE_SOURCE_OWN_IDLE : LANE_SOURCE_FOREIGN_IDLE;
	t->coming_idle = idle;
}

static void give_slot(struct lane_ledger *l, struct lane_ticket *t)
{
	l->slots++;
	l->n_held++;
	t->coming = LANE_SOURCE_SLOT;
	t->coming_idle = NULL;
}

static void give_eviction(struct lane_ledger *l, struct lane_ticket *t, struct lane_idle *idle)
{
	idle_claim(l, idle, true);
	t->coming = LANE_SOURCE_EVICT;
	t->coming_idle = idle;
}

/* For a ticket that has just got its permit, or lost its server: fills coming and coming_idle. */
void lane__find_server(struct lane_ledger *l, struct lane_ticket *t)
{
	struct lane_idle *idle = NULL;

	if (LIKELY(lane__shortage(l) < (int64_t)l->n_idle))
		idle = pool_best_idle(t->pool, t->port);
	if (idle) {
		idle_unregister(l, idle);
		give_idle(l, t, idle);
		return;
	}
	if (l->slots < l->budget) {
		MUST(l->n_slot_waiters == 0);
		give_slot(l, t);
		return;
	}
	join_slot_queue(l, t);
	t->coming = LANE_SOURCE_AWAIT_SLOT;
	t->coming_idle = NULL;
	if (l->n_idle && lane__shortage(l) > 0) {
		idle = lane__victim_for(l, t->home_lane);
		idle_unregister(l, idle);
		give_eviction(l, t, idle);
	}
}

/* On the owner's thread: it is told what was granted. From here a claim has been acted upon. */
void lane__take_coming(struct lane_ledger *l, struct lane_ticket *t)
{
	bool waits = t->coming == LANE_SOURCE_EVICT || t->coming == LANE_SOURCE_AWAIT_SLOT;

	if (t->coming == LANE_SOURCE_OWN_IDLE) {
		idle_unclaim(l, t->coming_idle);
		l->n_held++;
	}
	t->source = t->coming;
	t->idle = t->coming_idle;
	t->coming = LANE_SOURCE_NONE;
	t->coming_idle = NULL;
	t->standing = waits ? LANE_TICKET_WAITS_SLOT : LANE_TICKET_HOLDS;
	t->state = t->standing;
}

/*
 * A claimed server comes back with nobody at hand who could close it: a ticket of its pool takes
 * it, one that waits for a slot or for its login; or a waiter is told to close it, or it is registered; then if there is a shortage left it is
 * a shrink's, and lane_excess_idle() finds it.
 */
static void idle_return(struct lane_ledger *l, struct lane_idle *idle)
{
	while (idle) {
		struct lane_ticket *t = slot_waiter_of(l, idle->pool);
		struct lane_idle *freed = NULL;

		idle_unclaim(l, idle);
		if (t == NULL && (t = TAILQ_FIRST(&idle->pool->login_waiters)) != NULL) {
			lane__give_up_login(l, t);
			give_idle(l, t, idle);
			lane__deliver(l, t);
			lane__serve_slots(l);
		} else if (t) {
			if (lane__is_untold_eviction(t))
				freed = t->coming_idle;
			lane__leave_slot_queue(l, t);
			give_idle(l, t, idle);
			lane__deliver(l, t);
		} else if (lane__shortage(l) > (int64_t)l->n_idle &&
			   (t = first_told_waiter(l)) != NULL) {
			give_eviction(l, t, idle);
			lane__deliver(l, t);
		} else {
			idle_register(l, idle);
		}
		idle = freed;
	}
}

/*
 * A server became idle (in no account at this moment). false: it must close; the caller puts it
 * back into its account and promises that it will.
 */
bool lane__place_idle(struct lane_ledger *l, struct lane_idle *idle)
{
	struct lane_pool *pool = idle->pool;

	if (UNLIKELY(pool->n_slot_waiters + pool->n_login_waiters > 0)) {
		idle_claim(l, idle, false);
		idle_return(l, idle);
		return true;
	}
	if (UNLIKELY(lane__shortage(l) > (int64_t)l->n_idle))
		return false;
	if (UNLIKELY(pool->max_servers && pool->n_permits + pool->n_idle >= pool->max_servers))
		return false;
	idle_register(l, idle);
	return true;
}

/*
 * Slots below the budget go to who waits for one. One whose claim is untold comes last: taking it
 * back costs nothing.
 */
void lane__serve_slots(struct lane_ledger *l)
{
	while (l->n_slot_waiters && l->slots < l->budget) {
		struct lane_ticket *t = first_told_waiter(l);
		struct lane_idle *freed = NULL;

		if (t == NULL) {
			t = TAILQ_FIRST(&l->slot_waiters);
			freed = t->coming_idle;
		}
		lane__leave_slot_queue(l, t);
		give_slot(l, t);
		lane__deliver(l, t);
		if (freed)
			idle_return(l, freed);
	}
}

void lane__offer_idle(struct lane_ledger *l, struct lane_pool *pool, unsigned port)
{
	struct lane_idle *idle = pool_best_idle(pool, port);

	if (idle == NULL)
		return;
	idle_unregister(l, idle);
	idle_claim(l, idle, false);
	idle_return(l, idle);
}

static void match_pools(struct lane_ledger *l)
{
	struct lane_ticket *t, *next;

	TAILQ_FOREACH_SAFE(t, &l->slot_waiters, slot_queued, next) {
		if (lane__shortage(l) >= (int64_t)l->n_idle)
			return;
		if (t->pool->n_idle == 0)
			continue;
		lane__offer_idle(l, t->pool, t->port);
		next = TAILQ_FIRST(&l->slot_waiters);
	}
}

/*
 * Only a shrink lets idle servers and a shortage, or an idle server and a slot waiter of its pool,
 * exist at once. As soon as such a server may be handed out again it is the waiter's; and one that
 * the shortage needs is closed through a waiter, if there is one.
 */
void lane__match_slot_waiters(struct lane_ledger *l)
{
	struct lane_ticket *t;

	match_pools(l);
	while (l->n_idle && lane__shortage(l) > 0 && (t = first_told_waiter(l)) != NULL) {
		struct lane_idle *idle = lane__victim_for(l, t->home_lane);

		idle_unregister(l, idle);
		give_eviction(l, t, idle);
		lane__deliver(l, t);
	}
}

/* The owner of a delivered ticket never learns of it: what was coming goes back. */
void lane__give_back_coming(struct lane_ledger *l, struct lane_ticket *t)
{
	struct lane_idle *idle = t->coming_idle;
	enum lane_source source = t->coming;

	t->coming = LANE_SOURCE_NONE;
	t->coming_idle = NULL;
	switch (source) {
	case LANE_SOURCE_NONE:
		break;
	case LANE_SOURCE_EVICT:
		lane__leave_slot_queue(l, t);
		idle_return(l, idle);
		break;
	case LANE_SOURCE_AWAIT_SLOT:
		lane__leave_slot_queue(l, t);
		break;
	case LANE_SOURCE_OWN_IDLE:
	case LANE_SOURCE_FOREIGN_IDLE:
		idle_return(l, idle);
		break;
	case LANE_SOURCE_SLOT:
		MUST(l->n_held > 0 && l->slots > 0);
		l->n_held--;
		l->slots--;
		lane__serve_slots(l);
		break;
	}
}

/* ---- The life of a slot ---- */

bool lane_slot_try(struct lane_ledger *l)
{
	bool ok;

	lane__lock(l, 0);
	ok = l->slots < l->budget; /* so nobody waits for one */
	if (ok) {
		l->slots++;
		l->n_orphans++;
	}
	lane__finish(l);
	return ok;
}

void lane_slot_orphan(struct lane_ledger *l)
{
	lane__lock(l, 0);
	MUST(l->n_held > 0);
	l->n_held--;
	l->n_orphans++;
	lane__finish(l);
}

void lane_slot_adopt(struct lane_ledger *l)
{
	lane__lock(l, 0);
	MUST(l->n_orphans > 0);
	l->n_orphans--;
	l->n_held++;
	lane__finish(l);
}

bool lane_orphan_idle(struct lane_ledger *l, struct lane_idle *idle, uint64_t mono_us)
{
	bool ok;

	lane__lock(l, mono_us);
	MUST(l->n_orphans > 0 && idle->state == LANE_IDLE_OUT);
	l->n_orphans--;
	ok = lane__place_idle(l, idle);
	if (!ok) {
		l->n_orphans++;
		l->n_promised++;
	}
	lane__finish(l);
	return ok;
}

void lane_slot_closing(struct lane_ledger *l, bool was_orphan)
{
	uint32_t *account = was_orphan ? &l->n_orphans : &l->n_held;

	lane__lock(l, 0);
	MUST(*account > 0);
	(*account)--;
	l->n_closing++;
	if (l->n_promised)
		l->n_promised--;
	lane__finish(l);
}

void lane_slot_release(struct lane_ledger *l, uint64_t mono_us)
{
	lane__lock(l, mono_us);
	MUST(l->n_closing > 0 && l->slots > 0);
	l->n_closing--;
	l->slots--;
	lane__serve_slots(l);
	lane__finish(l);
}

/* ---- Taking idle servers out ---- */

bool lane_idle_remove(struct lane_ledger *l, struct lane_idle *idle)
{
	bool ok;

	lane__lock(l, 0);
	MUST(idle->state != LANE_IDLE_OUT);
	ok = idle->state == LANE_IDLE_REGISTERED;
	if (ok) {
		idle_unregister(l, idle);
		idle->state = LANE_IDLE_OUT;
		l->n_held++;
	}
	lane__finish(l);
	return ok;
}

void lane_claim_closing(struct lane_ledger *l, struct lane_idle *idle)
{
	lane__lock(l, 0);
	idle_unclaim(l, idle);
	l->n_closing++;
	lane__finish(l);
}

void lane_claim_moved(struct lane_ledger *l, struct lane_idle *idle, unsigned new_port)
{
	lane__lock(l, 0);
	MUST(new_port < l->n_ports && !idle->claimed_to_close);
	idle_unclaim(l, idle);
	l->n_held++;
	idle->port = (uint8_t)new_port;
	lane__finish(l);
}

bool lane_claim_undo(struct lane_ledger *l, struct lane_idle *idle, uint64_t mono_us)
{
	bool ok;

	lane__lock(l, mono_us);
	MUST(!idle->claimed_to_close);
	idle_unclaim(l, idle);
	ok = lane__place_idle(l, idle);
	if (!ok)
		idle_claim(l, idle, true);
	lane__finish(l);
	return ok;
}

struct lane_idle *lane_excess_idle(struct lane_ledger *l)
{
	struct lane_idle *idle;

	lane__lock(l, 0);
	if (lane__shortage(l) <= 0)
		idle = lane__idle_above_limit(l);
	else if ((idle = lane__oldest_idle(l, true)) == NULL)
		idle = lane__oldest_idle(l, false);
	if (idle) {
		idle_unregister(l, idle);
		idle_claim(l, idle, true);
	}
	lane__finish(l);
	return idle;
}

struct lane_idle *lane_surplus_idle(struct lane_ledger *l, uint32_t keep)
{
	struct lane_idle *idle = NULL;

	lane__lock(l, 0);
	if (l->n_slot_waiters == 0 && l->slots - l->n_closing - l->n_evicting > keep)
		idle = lane__oldest_idle(l, false);
	if (idle) {
		idle_unregister(l, idle);
		idle_claim(l, idle, true);
	}
	lane__finish(l);
	return idle;
}
