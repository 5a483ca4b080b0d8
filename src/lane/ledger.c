/* SPDX-License-Identifier: ISC */
/*
 * Permits: who holds them, who gets the next one, and the calls by which a ticket lives. Each call
 * locks once; what it grants to others it puts into their ports, and the ports' threads are woken
 * after the mutex is free again.
 */
#include "lane/lane_priv.h"

void lane__lock(struct lane_ledger *l, uint64_t mono_us)
{
	MUST(pthread_mutex_lock(&l->lock) == 0);
	if (mono_us > l->now_us)
		l->now_us = mono_us;
}

void lane__deliver(struct lane_ledger *l, struct lane_ticket *t)
{
	struct lane_port *port = &l->ports[t->port];

	if (t->standing == LANE_TICKET_DELIVERED)
		return;
	t->standing = LANE_TICKET_DELIVERED;
	if (TAILQ_EMPTY(&port->delivered))
		l->ports_to_wake |= UINT64_C(1) << t->port;
	TAILQ_INSERT_TAIL(&port->delivered, t, queued);
}

/* ---- The account of permits ---- */

static void permit_take(struct lane_ledger *l, struct lane_ticket *t, unsigned to)
{
	struct lane *lane = &l->lanes[to];

	lane->in_use++;
	l->in_use++;
	t->pool->n_permits++;
	t->lane = (uint8_t)to;
	t->granted_us = l->now_us;
	MUST(lane->in_use <= lane->spec.size);
}

/*
 * Somebody may be served now: in this lane; in any while a shrink's debt or the pool's limit held
 * back others.
 */
static void permit_return(struct lane_ledger *l, struct lane_ticket *t)
{
	struct lane *lane = &l->lanes[t->lane];
	struct lane_pool *pool = t->pool;
	bool was_held_back = l->n_owed > 0 || (pool->max_servers && pool->n_waiting > 0) ||
			     UNLIKELY(l->n_permits > l->budget);

	MUST(lane->in_use > 0 && l->in_use > 0 && pool->n_permits > 0);
	if (lane->in_use > lane->spec.size)
		l->n_owed--;
	lane->in_use--;
	l->in_use--;
	pool->n_permits--;
	l->lanes_to_serve |= was_held_back ? lane__all(l) : UINT32_C(1) << t->lane;
}

/*
 * Counted for the lane whose statement it is; the urgent lane counts what it helped out with as
 * well.
 */
void lane__count_grant(struct lane_ledger *l, struct lane_ticket *t)
{
	struct lane *home = &l->lanes[t->home_lane];
	uint64_t wait_us = 0;

	if (t->enqueued_us && t->granted_us > t->enqueued_us)
		wait_us = t->granted_us - t->enqueued_us;
	home->n_granted++;
	home->total_wait_us += wait_us;
	home->max_wait_us = MAX_OF(home->max_wait_us, wait_us);
	if (LIKELY(t->lane == t->home_lane))
		return;
	if (t->lane == l->urgent) {
		l->lanes[t->lane].n_granted++;
	} else {
		home->n_spilled_out++;
		l->lanes[t->lane].n_spilled_in++;
	}
}

/* What a permit was used for is over: its share of the rate at which waiters will be served. */
static void count_hold(struct lane_ledger *l, const struct lane_ticket *t)
{
	struct lane *lane = &l->lanes[t->lane];

	lane->held_us += l->now_us - t->granted_us;
	if (UNLIKELY(++lane->n_held == LANE_HOLDS_REMEMBERED)) {
		lane->held_us /= 2;
		lane->n_held /= 2;
	}
}

/* Where a newcomer of this lane and priority would get a permit now, or -1. */
static int free_lane(const struct lane_ledger *l, unsigned lane, unsigned priority)
{
	if (LIKELY(lane__has_permit(&l->lanes[lane])))
		return (int)lane;
	if (priority >= LANE_PRIORITY_URGENT && l->urgent >= 0 &&
		lane__has_permit(&l->lanes[l->urgent]))
		return l->urgent;
	return lane__may_spill(l, &l->lanes[lane]) ? l->lanes[lane].spec.spill_lane : -1;
}

/* ---- Serving ---- */

static struct lane_ticket *first_urgent(struct lane_ledger *l)
{
	struct lane_ticket *best = NULL;

	for (unsigned i = 0; i < l->n_lanes; i++) {
		struct lane_ticket *t =
			lane__first_runnable(l, &l->lanes[i], LANE_PRIORITY_URGENT);

		if (t && (best == NULL || lane__is_before(l, t, best)))
			best = t;
	}
	return best;
}

/* Of the lanes that spill into this one. */
static struct lane_ticket *first_spilling(struct lane_ledger *l, const struct lane *to)
{
	struct lane_ticket *best = NULL;

	for (uint32_t left = to->spillers; left; left &= left - 1) {
		struct lane *lane = &l->lanes[__builtin_ctz(left)];
		struct lane_ticket *t = NULL;

		if (lane->n_waiting > 0 && lane__may_spill(l, lane))
			t = lane__first_runnable(l, lane, LANE_PRIORITY_MIN);
		if (t && (best == NULL || lane__is_before(l, t, best)))
			best = t;
	}
	return best;
}

/* Who is to get a permit of this lane: its own statements go before those of lanes that spill. */
static struct lane_ticket *first_for(struct lane_ledger *l, unsigned i)
{
	struct lane *lane = &l->lanes[i];
	struct lane_ticket *t = NULL;

	if (!lane__has_permit(lane))
		return NULL;
	if ((int)i == l->urgent)
		return first_urgent(l);
	if (lane->n_waiting > 0)
		t = lane__first_runnable(l, lane, LANE_PRIORITY_MIN);
	return t || lane->spillers == 0 ? t : first_spilling(l, lane);
}

/* Where a waiter that could have permits of several lanes gets it: its own, urgent, spilled. */
static unsigned choice(const struct lane_ledger *l, const struct lane_ticket *t, unsigned lane)
{
	unsigned own = t->standing == LANE_TICKET_WAITS_SWAP ? t->wanted_lane : t->home_lane;

	return lane == own ? 0 : (int)lane == l->urgent ? 1 : 2;
}

/* Hands a free permit of lane `to` to a waiter. */
static void grant_waiter(struct lane_ledger *l, struct lane_ticket *t, unsigned to)
{
	lane__dequeue(l, t);
	if (t->standing == LANE_TICKET_WAITS_SWAP) {
		permit_return(l, t);
		permit_take(l, t, to);
		t->home_lane = t->wanted_lane;
		t->coming = LANE_SOURCE_NONE;
		t->coming_idle = NULL;
	} else {
		permit_take(l, t, to);
		lane__find_server(l, t);
	}
	lane__count_grant(l, t);
	lane__deliver(l, t);
}

/*
 * Of the lanes to serve, the one whose first waiter comes first over all; lanes with nothing to do
 * are struck off.
 */
static struct lane_ticket *next_to_serve(struct lane_ledger *l, unsigned *to_r)
{
	struct lane_ticket *best = NULL;

	for (uint32_t left = l->lanes_to_serve; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctz(left);
		struct lane_ticket *t = first_for(l, i);

		if (t == NULL) {
			l->lanes_to_serve &= ~(UINT32_C(1) << i);
		} else if (best == NULL ||
			   (t == best ? choice(l, t, i) < choice(l, t, *to_r)
				      : lane__is_before(l, t, best))) {
			best = t;
			*to_r = i;
		}
	}
	return best;
}

void lane__finish(struct lane_ledger *l)
{
	struct lane_ticket *t;
	uint64_t ports;
	unsigned to = 0;

	do {
		while ((t = next_to_serve(l, &to)) != NULL)
			grant_waiter(l, t, to);
		if (UNLIKELY(l->n_slot_waiters && l->n_idle))
			lane__match_slot_waiters(l);
	} while (UNLIKELY(l->lanes_to_serve));
	ports = l->ports_to_wake;
	l->ports_to_wake = 0;
	MUST(pthread_mutex_unlock(&l->lock) == 0);
	for (; UNLIKELY(ports); ports &= ports - 1)
		l->wake(l->wake_arg, (unsigned)__builtin_ctzll(ports));
}

/* ---- The life of a ticket ---- */

static bool is_full(const struct lane *lane)
{
	return lane->spec.max_waiting && lane->n_waiting >= lane->spec.max_waiting;
}

static void start_ticket(struct lane_ticket *t, struct lane_pool *pool, unsigned lane,
	unsigned priority, unsigned port)
{
	t->pool = pool;
	t->lane = t->home_lane = t->wanted_lane = (uint8_t)lane;
	t->priority = (uint8_t)priority;
	t->port = (uint8_t)port;
	t->source = t->coming = LANE_SOURCE_NONE;
	t->idle = t->coming_idle = NULL;
	t->enqueued_us = t->granted_us = 0;
}

static enum lane_verdict enqueue_or_refuse(struct lane_ledger *l, struct lane_ticket *t,
	struct lane *lane, enum lane_ticket_state waits)
{
	if (is_full(lane)) {
		lane->n_refused++;
		return LANE_REFUSED;
	}
	t->state = t->standing = waits;
	if (waits == LANE_TICKET_WAITS_SWAP)
		t->arrival = ++l->n_arrivals;
	t->enqueued_us = MAX_OF(l->now_us, 1);
	lane__enqueue(l, t);
	lane->n_queued++;
	return LANE_QUEUED;
}

enum lane_verdict lane_acquire(struct lane_ledger *l, struct lane_ticket *t, struct lane_pool *pool,
	unsigned lane, unsigned priority, unsigned port, uint64_t mono_us)
{
	enum lane_verdict verdict = LANE_GRANTED;
	int to = -1;

	MUST(t->state == LANE_TICKET_NONE && port < l->n_ports);
	MUST(priority >= LANE_PRIORITY_MIN && priority <= LANE_PRIORITY_MAX);
	start_ticket(t, pool, lane, priority, port);
	lane__lock(l, mono_us);
	t->arrival = ++l->n_arrivals;
	MUST(lane < l->n_lanes && (int)lane != l->urgent);
	if (LIKELY(l->in_use < l->budget && lane__pool_has_room(pool)))
		to = free_lane(l, lane, priority);
	if (LIKELY(to >= 0)) {
		MUST(to == l->urgent ||
			lane__first_runnable(l, &l->lanes[lane], LANE_PRIORITY_MIN) == NULL);
		permit_take(l, t, (unsigned)to);
		lane__count_grant(l, t);
		lane__find_server(l, t);
		lane__take_coming(l, t);
	} else {
		verdict = enqueue_or_refuse(l, t, &l->lanes[lane], LANE_TICKET_WAITS_PERMIT);
	}
	lane__finish(l);
	return verdict;
}

static void swap_now(struct lane_ledger *l, struct lane_ticket *t, unsigned lane, unsigned to)
{
	if (to != t->lane) {
		permit_return(l, t);
		permit_take(l, t, to);
	}
	t->home_lane = (uint8_t)lane;
	lane__count_grant(l, t);
}

enum lane_verdict lane_swap(struct lane_ledger *l, struct lane_ticket *t, unsigned lane,
	unsigned priority, uint64_t mono_us)
{
	enum lane_verdict verdict = LANE_GRANTED;
	int to;

	MUST(t->state == LANE_TICKET_HOLDS && lane < l->n_lanes && (int)lane != l->urgent);
	MUST(priority >= LANE_PRIORITY_MIN && priority <= LANE_PRIORITY_MAX);
	lane__lock(l, mono_us);
	t->priority = (uint8_t)priority;
	t->wanted_lane = (uint8_t)lane;
	t->source = LANE_SOURCE_NONE;
	t->idle = NULL;
	t->enqueued_us = 0;
	to = lane == t->lane ? (int)lane : free_lane(l, lane, priority);
	if (to < 0 && t->lane == l->urgent && priority >= LANE_PRIORITY_URGENT)
		to = l->urgent;
	/* It counts itself among those in use where it would spill to. */
	if (to < 0 && t->lane == l->lanes[lane].spec.spill_lane &&
		l->lanes[t->lane].in_use <= l->lanes[lane].spec.spill_below)
		to = t->lane;
	if (to >= 0)
		swap_now(l, t, lane, (unsigned)to);
	else if (!lane__swap_round(l, t, lane))
		verdict = enqueue_or_refuse(l, t, &l->lanes[lane], LANE_TICKET_WAITS_SWAP);
	lane__finish(l);
	return verdict;
}

/* Adds nothing to the sum of permits, so no budget stands in its way; nor a pool's limit. */
bool lane_hop(struct lane_ledger *l, struct lane_ticket *t, unsigned to, uint64_t mono_us)
{
	bool moves;

	MUST(t->state == LANE_TICKET_HOLDS && to < l->n_lanes);
	lane__lock(l, mono_us);
	MUST((int)to != l->urgent);
	/* At rest nobody waits for a permit that is free. */
	moves = t->lane == to || lane__has_permit(&l->lanes[to]);
	if (moves) {
		if (t->lane != to) {
			permit_return(l, t);
			permit_take(l, t, to);
		}
		l->lanes[t->home_lane].n_hopped_out++;
		l->lanes[to].n_hopped_in++;
		t->home_lane = (uint8_t)to;
	}
	lane__finish(l);
	return moves;
}

unsigned lane_collect(struct lane_ledger *l, unsigned port,
	void (*take)(void *arg, struct lane_ticket *ticket), void *arg)
{
	struct lane_ticket_list *delivered = &l->ports[port].delivered;
	struct lane_ticket *t;

	MUST(port < l->n_ports);
	/* One at a time: take() may abandon a ticket that lies behind this one. */
	for (unsigned n = 0;; n++) {
		lane__lock(l, 0);
		t = TAILQ_FIRST(delivered);
		if (t) {
			TAILQ_REMOVE(delivered, t, queued);
			lane__take_coming(l, t);
		}
		lane__finish(l);
		if (t == NULL)
			return n;
		take(arg, t);
	}
}

/* A ticket that has a permit and gives it up, with all that came or was to come with it. */
static void abandon_grant(struct lane_ledger *l, struct lane_ticket *t)
{
	permit_return(l, t);
	if (t->standing == LANE_TICKET_DELIVERED) {
		TAILQ_REMOVE(&l->ports[t->port].delivered, t, queued);
		lane__give_back_coming(l, t);
	} else if (t->standing == LANE_TICKET_WAITS_LOGIN) {
		lane__give_up_login(l, t);
		lane__serve_slots(l);
	} else {
		lane__leave_slot_queue(l, t);
	}
	t->state = t->standing = LANE_TICKET_NONE;
}

static void abandon_swap(struct lane_ledger *l, struct lane_ticket *t)
{
	if (t->standing == LANE_TICKET_DELIVERED)
		TAILQ_REMOVE(&l->ports[t->port].delivered, t, queued);
	else
		lane__dequeue(l, t);
	t->state = t->standing = LANE_TICKET_HOLDS;
}

void lane_abandon(struct lane_ledger *l, struct lane_ticket *t, uint64_t mono_us)
{
	if (t->state == LANE_TICKET_NONE)
		return;
	lane__lock(l, mono_us);
	l->lanes[t->state == LANE_TICKET_WAITS_SWAP ? t->wanted_lane : t->home_lane].n_abandoned++;
	switch (t->state) {
	case LANE_TICKET_WAITS_PERMIT:
		if (t->standing == LANE_TICKET_DELIVERED) {
			abandon_grant(l, t);
			break;
		}
		lane__dequeue(l, t);
		t->state = t->standing = LANE_TICKET_NONE;
		break;
	case LANE_TICKET_WAITS_SLOT:
	case LANE_TICKET_WAITS_LOGIN:
		abandon_grant(l, t);
		break;
	case LANE_TICKET_WAITS_SWAP:
		abandon_swap(l, t);
		break;
	case LANE_TICKET_NONE:
	case LANE_TICKET_DELIVERED:
	case LANE_TICKET_HOLDS:
		UNREACHABLE("a ticket that waits for nothing is abandoned");
	}
	lane__finish(l);
}

bool lane_release(
	struct lane_ledger *l, struct lane_ticket *t, struct lane_idle *idle, uint64_t mono_us)
{
	bool stays = true;

	MUST(t->state == LANE_TICKET_HOLDS);
	lane__lock(l, mono_us);
	count_hold(l, t);
	permit_return(l, t);
	t->state = t->standing = LANE_TICKET_NONE;
	if (idle) {
		MUST(idle->pool == t->pool && idle->state == LANE_IDLE_OUT && l->n_held > 0);
		l->n_held--;
		if (LIKELY(lane__servers(l, t->home_lane) < l->lanes[t->home_lane].spec.size))
			idle->share = (uint8_t)(t->home_lane + 1);
		else
			lane__count_idle_for(l, idle, t->home_lane);
		stays = lane__place_idle(l, idle);
		if (!stays) {
			l->n_held++;
			l->n_promised++;
		}
	}
	lane__finish(l);
	return stays;
}

enum lane_verdict lane_again(struct lane_ledger *l, struct lane_ticket *t, uint64_t mono_us)
{
	MUST(t->state == LANE_TICKET_HOLDS);
	lane__lock(l, mono_us);
	lane__find_server(l, t);
	lane__take_coming(l, t);
	lane__finish(l);
	return LANE_GRANTED;
}

void lane__requeue(struct lane_ledger *l, struct lane_ticket *t)
{
	permit_return(l, t);
	t->source = LANE_SOURCE_NONE;
	t->idle = NULL;
	t->state = t->standing = LANE_TICKET_WAITS_PERMIT;
	if (t->enqueued_us == 0) /* granted when it asked */
		t->enqueued_us = MAX_OF(t->granted_us, 1);
	lane__enqueue(l, t);
	l->lanes[t->home_lane].n_queued++;
	l->lanes_to_serve = lane__all(l); /* the permit may have been the urgent lane's */
	lane__serve_slots(l);
}

void lane_requeue(struct lane_ledger *l, struct lane_ticket *t, uint64_t mono_us)
{
	bool waits_login = t->state == LANE_TICKET_WAITS_LOGIN;

	MUST(waits_login || (t->state == LANE_TICKET_HOLDS && t->source == LANE_SOURCE_SLOT));
	lane__lock(l, mono_us);
	if (!waits_login || t->standing == LANE_TICKET_WAITS_LOGIN) {
		if (waits_login)
			lane__give_up_login(l, t);
		lane__requeue(l, t);
	}
	lane__finish(l);
}
