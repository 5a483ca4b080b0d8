/* SPDX-License-Identifier: ISC */
#include "model.h"

#include <string.h>

#define FOR_TICKETS(m, i) for (int i = 0; i < MODEL_TICKETS; i++)
#define FOR_SERVERS(m, i) for (int i = 0; i < MODEL_SERVERS; i++)

/* ---- Counts, by their definitions ---- */

/* It waits in a lane and nothing has been granted yet. */
bool model_waits_in_lane(const struct model_ticket *t)
{
	return !t->is_delivered && (t->state == LANE_TICKET_WAITS_PERMIT || t->state == LANE_TICKET_WAITS_SWAP);
}

bool model_holds_permit(const struct model_ticket *t)
{
	if (t->state == LANE_TICKET_WAITS_PERMIT)
		return t->is_delivered;
	return t->state != LANE_TICKET_NONE;
}

int model_queue_lane(const struct model_ticket *t)
{
	return t->state == LANE_TICKET_WAITS_SWAP ? t->wanted : t->home;
}

uint32_t model_in_use(const struct model *m, int lane)
{
	uint32_t n = 0;

	FOR_TICKETS(m, i) {
		if (model_holds_permit(&m->tickets[i]) && (lane < 0 || m->tickets[i].lane == lane))
			n++;
	}
	return n;
}

uint32_t model_count(const struct model *m, enum model_where where)
{
	uint32_t n = 0;

	FOR_SERVERS(m, i)
		n += m->servers[i].where == where;
	return n;
}

uint32_t model_slots(const struct model *m)
{
	return MODEL_SERVERS - model_count(m, WHERE_NOWHERE);
}

uint32_t model_slot_waiters(const struct model *m)
{
	uint32_t n = 0;

	FOR_TICKETS(m, i)
		n += m->tickets[i].in_slot_queue;
	return n;
}

static uint32_t pool_count(const struct model *m, int pool, enum model_where where)
{
	uint32_t n = 0;

	FOR_SERVERS(m, i)
		n += m->servers[i].where == where && m->servers[i].pool == pool;
	return n;
}

static uint32_t pool_permits(const struct model *m, int pool)
{
	uint32_t n = 0;

	FOR_TICKETS(m, i)
		n += model_holds_permit(&m->tickets[i]) && m->tickets[i].pool == pool;
	return n;
}

static int64_t shortage(const struct model *m)
{
	return (int64_t)model_slots(m) + model_slot_waiters(m) - m->budget - model_count(m, WHERE_CLOSING) -
		model_count(m, WHERE_EVICTING) - m->n_promised;
}

static bool has_permit(const struct model *m, int lane)
{
	return model_in_use(m, lane) < m->lanes[lane].spec.size;
}

static bool pool_has_room(const struct model *m, int pool)
{
	return m->max_servers[pool] == 0 || pool_count(m, pool, WHERE_IDLE) > 0 ||
		pool_permits(m, pool) < m->max_servers[pool];
}

static bool is_runnable(const struct model *m, const struct model_ticket *t)
{
	if (t->state == LANE_TICKET_WAITS_SWAP)
		return true;
	return model_in_use(m, -1) < m->budget && pool_has_room(m, t->pool);
}

int model_server_of(const struct model *m, int t)
{
	FOR_SERVERS(m, i) {
		const struct model_server *s = &m->servers[i];

		if (s->owner == t && (s->where == WHERE_HELD || s->where == WHERE_MOVING))
			return i;
	}
	return -1;
}

/* ---- Idle servers and slots ---- */

static void deliver(struct model *m, struct model_ticket *t)
{
	bool was_empty = true;

	if (t->is_delivered)
		return;
	FOR_TICKETS(m, i) {
		if (m->tickets[i].is_delivered && m->tickets[i].port == t->port)
			was_empty = false;
	}
	if (was_empty)
		m->woken |= 1u << t->port;
	t->is_delivered = true;
	t->delivery = ++m->clock;
}

static bool is_untold_eviction(const struct model_ticket *t)
{
	return t->is_delivered && t->coming == LANE_SOURCE_EVICT;
}

static int first_slot_waiter(const struct model *m, int pool, bool told_only)
{
	int best = -1;

	FOR_TICKETS(m, i) {
		const struct model_ticket *t = &m->tickets[i];

		if (!t->in_slot_queue || (pool >= 0 && t->pool != pool) || (told_only && is_untold_eviction(t)))
			continue;
		if (best < 0 || t->slot_arrival < m->tickets[best].slot_arrival)
			best = i;
	}
	return best;
}

/* Most recently used of the pool, on the port (-1: any). */
static int newest_idle(const struct model *m, int pool, int port)
{
	int best = -1;

	FOR_SERVERS(m, i) {
		const struct model_server *s = &m->servers[i];

		if (s->where == WHERE_IDLE && s->pool == pool && (port < 0 || s->port == port) &&
			(best < 0 || s->used > m->servers[best].used))
			best = i;
	}
	return best;
}

static int oldest_idle(const struct model *m, bool above_limit_only)
{
	int best = -1;

	FOR_SERVERS(m, i) {
		const struct model_server *s = &m->servers[i];

		if (s->where != WHERE_IDLE)
			continue;
		if (above_limit_only && (m->max_servers[s->pool] == 0 ||
			pool_permits(m, s->pool) + pool_count(m, s->pool, WHERE_IDLE) <= m->max_servers[s->pool]))
			continue;
		if (best < 0 || s->used < m->servers[best].used)
			best = i;
	}
	return best;
}

static void grant_idle(struct model *m, int t, int server)
{
	struct model_ticket *ticket = &m->tickets[t];
	struct model_server *s = &m->servers[server];

	s->where = WHERE_MOVING;
	s->owner = t;
	ticket->coming = s->port == ticket->port ? LANE_SOURCE_OWN_IDLE : LANE_SOURCE_FOREIGN_IDLE;
	ticket->coming_server = server;
}

static int new_server(struct model *m, enum model_where where, int pool, int port, int owner)
{
	FOR_SERVERS(m, i) {
		if (m->servers[i].where != WHERE_NOWHERE)
			continue;
		m->servers[i] = (struct model_server){ .where = where, .pool = pool, .port = port, .owner = owner };
		return i;
	}
	UNREACHABLE("the model has too few servers for the budget");
}

static void grant_slot(struct model *m, int t)
{
	struct model_ticket *ticket = &m->tickets[t];

	new_server(m, WHERE_HELD, ticket->pool, ticket->port, t);
	ticket->coming = LANE_SOURCE_SLOT;
	ticket->coming_server = -1;
}

static void grant_eviction(struct model *m, int t, int server)
{
	m->servers[server].where = WHERE_EVICTING;
	m->servers[server].owner = t;
	m->tickets[t].coming = LANE_SOURCE_EVICT;
	m->tickets[t].coming_server = server;
}

static void register_idle(struct model *m, int server)
{
	m->servers[server].where = WHERE_IDLE;
	m->servers[server].owner = -1;
	m->servers[server].used = ++m->clock;
}

/* A claim is taken back. */
static void idle_returns(struct model *m, int server)
{
	struct model_server *s = &m->servers[server];
	int t = first_slot_waiter(m, s->pool, false);

	s->where = WHERE_LOOSE;
	if (t >= 0) {
		int freed = is_untold_eviction(&m->tickets[t]) ? m->tickets[t].coming_server : -1;

		m->tickets[t].in_slot_queue = false;
		grant_idle(m, t, server);
		deliver(m, &m->tickets[t]);
		if (freed >= 0)
			idle_returns(m, freed);
		return;
	}
	t = first_slot_waiter(m, -1, true);
	if (shortage(m) > (int64_t)model_count(m, WHERE_IDLE) && t >= 0) {
		grant_eviction(m, t, server);
		deliver(m, &m->tickets[t]);
		return;
	}
	register_idle(m, server);
}

/* A server becomes idle; false: it must close. */
static bool place_idle(struct model *m, int server)
{
	struct model_server *s = &m->servers[server];

	s->where = WHERE_LOOSE;
	s->owner = -1;
	if (first_slot_waiter(m, s->pool, false) >= 0) {
		idle_returns(m, server);
		return true;
	}
	if (shortage(m) > (int64_t)model_count(m, WHERE_IDLE))
		return false;
	if (m->max_servers[s->pool] &&
		pool_permits(m, s->pool) + pool_count(m, s->pool, WHERE_IDLE) >= m->max_servers[s->pool])
		return false;
	register_idle(m, server);
	return true;
}

static void find_server(struct model *m, int t)
{
	struct model_ticket *ticket = &m->tickets[t];
	int idle = -1;

	if ((int64_t)model_count(m, WHERE_IDLE) > shortage(m)) {
		idle = newest_idle(m, ticket->pool, ticket->port);
		if (idle < 0)
			idle = newest_idle(m, ticket->pool, -1);
	}
	if (idle >= 0) {
		grant_idle(m, t, idle);
		return;
	}
	if (model_slots(m) < m->budget && model_slot_waiters(m) == 0) {
		grant_slot(m, t);
		return;
	}
	ticket->in_slot_queue = true;
	ticket->slot_arrival = ++m->clock;
	ticket->coming = LANE_SOURCE_AWAIT_SLOT;
	ticket->coming_server = -1;
	idle = oldest_idle(m, false);
	if (idle >= 0 && shortage(m) > 0)
		grant_eviction(m, t, idle);
}

/* The owner learns what it was granted. */
static void tell(struct model *m, int t)
{
	struct model_ticket *ticket = &m->tickets[t];
	enum lane_source coming = ticket->coming;

	if (coming == LANE_SOURCE_OWN_IDLE)
		m->servers[ticket->coming_server].where = WHERE_HELD;
	if (coming == LANE_SOURCE_EVICT)
		m->servers[ticket->coming_server].owner = -1;
	ticket->source = coming;
	ticket->server = ticket->coming_server;
	ticket->coming = LANE_SOURCE_NONE;
	ticket->coming_server = -1;
	ticket->is_delivered = false;
	ticket->state = coming == LANE_SOURCE_EVICT || coming == LANE_SOURCE_AWAIT_SLOT ? LANE_TICKET_WAITS_SLOT
										       : LANE_TICKET_HOLDS;
}

/* ---- Serving everything that can be served ---- */

static bool is_before(const struct model_ticket *a, const struct model_ticket *b)
{
	return a->priority > b->priority || (a->priority == b->priority && a->arrival < b->arrival);
}

static void count_grant(struct model *m, struct model_ticket *t)
{
	uint64_t wait_us = t->enqueued_us && t->granted_us > t->enqueued_us ? t->granted_us - t->enqueued_us : 0;
	struct model_lane *home = &m->lanes[t->home];

	home->n_granted++;
	home->total_wait_us += wait_us;
	home->max_wait_us = MAX_OF(home->max_wait_us, wait_us);
	if (t->lane != t->home)
		m->lanes[t->lane].n_granted++;
}

static void hold(struct model *m, struct model_ticket *t, int lane)
{
	t->lane = lane;
	t->granted_us = m->now_us;
	count_grant(m, t);
}

static bool serve_one_permit(struct model *m)
{
	int best = -1, to = -1;

	FOR_TICKETS(m, i) {
		const struct model_ticket *t = &m->tickets[i];
		int home = model_queue_lane(t), lane = -1;

		if (!model_waits_in_lane(t) || !is_runnable(m, t))
			continue;
		if (has_permit(m, home))
			lane = home;
		else if (t->priority >= LANE_PRIORITY_URGENT && m->urgent >= 0 && has_permit(m, m->urgent))
			lane = m->urgent;
		if (lane >= 0 && (best < 0 || is_before(t, &m->tickets[best]))) {
			best = i;
			to = lane;
		}
	}
	if (best < 0)
		return false;
	if (m->tickets[best].state == LANE_TICKET_WAITS_SWAP) {
		m->tickets[best].home = m->tickets[best].wanted;
		m->tickets[best].coming = LANE_SOURCE_NONE;
		m->tickets[best].coming_server = -1;
	}
	hold(m, &m->tickets[best], to);
	/* A permit is held from here on as far as counts go, but its server is not there yet. */
	if (m->tickets[best].state == LANE_TICKET_WAITS_PERMIT)
		find_server(m, best);
	deliver(m, &m->tickets[best]);
	return true;
}

static bool serve_one_slot(struct model *m)
{
	int t = first_slot_waiter(m, -1, true);
	int freed = -1;

	if (model_slots(m) >= m->budget || model_slot_waiters(m) == 0)
		return false;
	if (t < 0) {
		t = first_slot_waiter(m, -1, false);
		freed = m->tickets[t].coming_server;
	}
	m->tickets[t].in_slot_queue = false;
	grant_slot(m, t);
	deliver(m, &m->tickets[t]);
	if (freed >= 0)
		idle_returns(m, freed);
	return true;
}

/* An idle server that may be handed out, and a ticket of its pool in the slot queue. */
static bool serve_one_match(struct model *m)
{
	int best = -1;

	if (shortage(m) >= (int64_t)model_count(m, WHERE_IDLE))
		return false;
	FOR_TICKETS(m, i) {
		const struct model_ticket *t = &m->tickets[i];

		if (t->in_slot_queue && newest_idle(m, t->pool, -1) >= 0 &&
			(best < 0 || t->slot_arrival < m->tickets[best].slot_arrival))
			best = i;
	}
	if (best >= 0) {
		int idle = newest_idle(m, m->tickets[best].pool, m->tickets[best].port);

		idle_returns(m, idle >= 0 ? idle : newest_idle(m, m->tickets[best].pool, -1));
	}
	return best >= 0;
}

/* An idle server that has to close, and a ticket that can pass that on. */
static bool serve_one_eviction(struct model *m)
{
	int t = first_slot_waiter(m, -1, true), idle = oldest_idle(m, false);

	if (t < 0 || idle < 0 || shortage(m) <= 0)
		return false;
	grant_eviction(m, t, idle);
	deliver(m, &m->tickets[t]);
	return true;
}

static void settle(struct model *m)
{
	do {
		while (serve_one_slot(m))
			;
		while (serve_one_permit(m))
			;
	} while (serve_one_match(m) || serve_one_eviction(m));
}

/* ---- Tickets ---- */

static enum lane_verdict wait_in_lane(struct model *m, struct model_ticket *t, int lane, enum lane_ticket_state state)
{
	uint32_t n = 0;

	FOR_TICKETS(m, i)
		n += model_waits_in_lane(&m->tickets[i]) && model_queue_lane(&m->tickets[i]) == lane;
	if (m->lanes[lane].spec.max_waiting && n >= m->lanes[lane].spec.max_waiting) {
		m->lanes[lane].n_refused++;
		return LANE_REFUSED;
	}
	m->lanes[lane].n_queued++;
	t->state = state;
	t->arrival = ++m->clock;
	t->enqueued_us = m->now_us;
	return LANE_QUEUED;
}

static int free_lane(const struct model *m, int lane, int priority)
{
	if (has_permit(m, lane))
		return lane;
	if (priority >= LANE_PRIORITY_URGENT && m->urgent >= 0 && has_permit(m, m->urgent))
		return m->urgent;
	return -1;
}

enum lane_verdict model_acquire(struct model *m, int t, int pool, int lane, int priority, int port)
{
	struct model_ticket *ticket = &m->tickets[t];
	int to = free_lane(m, lane, priority);

	*ticket = (struct model_ticket){ .pool = pool, .port = port, .lane = lane, .home = lane, .wanted = lane,
		.priority = priority, .server = -1, .coming_server = -1 };
	if (to < 0 || model_in_use(m, -1) >= m->budget || !pool_has_room(m, pool))
		return wait_in_lane(m, ticket, lane, LANE_TICKET_WAITS_PERMIT);
	hold(m, ticket, to);
	ticket->state = LANE_TICKET_HOLDS;
	find_server(m, t);
	tell(m, t);
	settle(m);
	return LANE_GRANTED;
}

static bool has_swap(const struct model *m, int held, int wanted, int *first_r)
{
	int best = -1;

	FOR_TICKETS(m, i) {
		const struct model_ticket *t = &m->tickets[i];

		if (t->state == LANE_TICKET_WAITS_SWAP && !t->is_delivered && t->lane == held && t->wanted == wanted &&
			(best < 0 || is_before(t, &m->tickets[best])))
			best = i;
	}
	*first_r = best;
	return best >= 0;
}

/* Whether swaps lead from lane `from` to the lane that t holds; if so all of them are done. */
static bool swap_round(struct model *m, struct model_ticket *t, int from)
{
	int todo[MODEL_LANES], came_from[MODEL_LANES], n_todo = 0, first;
	bool seen[MODEL_LANES] = { false };

	todo[n_todo++] = from;
	seen[from] = true;
	for (int n = 0; n < n_todo; n++) {
		for (int i = 0; i < m->n_lanes; i++) {
			if (seen[i] || !has_swap(m, todo[n], i, &first))
				continue;
			seen[i] = true;
			came_from[i] = todo[n];
			todo[n_todo++] = i;
		}
	}
	if (!seen[t->lane])
		return false;
	for (int to = t->lane; to != from; to = came_from[to]) {
		MUST(has_swap(m, came_from[to], to, &first));
		m->tickets[first].home = to;
		m->tickets[first].coming = LANE_SOURCE_NONE;
		m->tickets[first].coming_server = -1;
		hold(m, &m->tickets[first], to);
		deliver(m, &m->tickets[first]);
	}
	t->home = from;
	hold(m, t, from);
	return true;
}

enum lane_verdict model_swap(struct model *m, int t, int lane, int priority)
{
	struct model_ticket *ticket = &m->tickets[t];
	bool keeps = ticket->lane == lane || (!has_permit(m, lane) && free_lane(m, lane, priority) == ticket->lane);
	uint64_t granted_us = ticket->granted_us;

	ticket->priority = priority;
	ticket->wanted = lane;
	ticket->source = LANE_SOURCE_NONE;
	ticket->server = -1;
	ticket->enqueued_us = 0;
	if (!keeps && free_lane(m, lane, priority) < 0) {
		keeps = ticket->lane == m->urgent && priority >= LANE_PRIORITY_URGENT;
		if (!keeps && swap_round(m, ticket, lane)) {
			settle(m);
			return LANE_GRANTED;
		}
		if (!keeps)
			return wait_in_lane(m, ticket, lane, LANE_TICKET_WAITS_SWAP);
	}
	ticket->home = lane;
	hold(m, ticket, keeps ? ticket->lane : free_lane(m, lane, priority));
	if (keeps)
		ticket->granted_us = granted_us;
	settle(m);
	return LANE_GRANTED;
}

enum lane_verdict model_again(struct model *m, int t)
{
	find_server(m, t);
	tell(m, t);
	settle(m);
	return LANE_GRANTED;
}

static void give_back(struct model *m, int t)
{
	struct model_ticket *ticket = &m->tickets[t];
	bool was_delivered = ticket->is_delivered;
	int server = ticket->coming_server, slot = model_server_of(m, t);

	ticket->is_delivered = false;
	ticket->in_slot_queue = false;
	ticket->state = LANE_TICKET_NONE;
	if (!was_delivered)
		return;
	if (ticket->coming == LANE_SOURCE_SLOT)
		m->servers[slot].where = WHERE_NOWHERE;
	else if (server >= 0)
		idle_returns(m, server);
}

void model_abandon(struct model *m, int t)
{
	struct model_ticket *ticket = &m->tickets[t];
	bool is_swap = ticket->state == LANE_TICKET_WAITS_SWAP;

	if (ticket->state == LANE_TICKET_NONE)
		return;
	m->lanes[is_swap ? ticket->wanted : ticket->home].n_abandoned++;
	if (is_swap) {
		ticket->state = LANE_TICKET_HOLDS;
		ticket->is_delivered = false;
	} else {
		give_back(m, t);
	}
	settle(m);
}

bool model_release(struct model *m, int t, int server)
{
	bool stays = true;

	m->tickets[t].state = LANE_TICKET_NONE;
	FOR_SERVERS(m, i) {
		if (m->servers[i].owner == t)
			m->servers[i].owner = -1;
	}
	if (server >= 0) {
		stays = place_idle(m, server);
		if (!stays) {
			m->servers[server].where = WHERE_HELD;
			m->servers[server].must_close = true;
			m->n_promised++;
		}
	}
	settle(m);
	return stays;
}

int model_collect(struct model *m, int port)
{
	int first = -1;

	FOR_TICKETS(m, i) {
		const struct model_ticket *t = &m->tickets[i];

		if (t->is_delivered && t->port == port && (first < 0 || t->delivery < m->tickets[first].delivery))
			first = i;
	}
	if (first >= 0)
		tell(m, first);
	settle(m);
	return first;
}

/* ---- Sizes ---- */

void model_init(struct model *m, const struct lane_spec *specs, int n_lanes, uint32_t budget, int n_ports, int n_pools)
{
	memset(m, 0, sizeof(*m));
	m->n_lanes = n_lanes;
	m->n_ports = n_ports;
	m->n_pools = n_pools;
	m->urgent = -1;
	for (int i = 0; i < n_lanes; i++) {
		if (specs[i].urgent)
			m->urgent = i;
	}
	model_resize(m, specs, budget);
}

void model_resize(struct model *m, const struct lane_spec *specs, uint32_t budget)
{
	for (int i = 0; i < m->n_lanes; i++)
		m->lanes[i].spec = specs[i];
	m->budget = budget;
	settle(m);
}

void model_limit(struct model *m, int pool, uint32_t max_servers)
{
	m->max_servers[pool] = max_servers;
	settle(m);
}

int model_excess_idle(struct model *m)
{
	int server = oldest_idle(m, shortage(m) <= 0);

	if (server >= 0) {
		m->servers[server].where = WHERE_EVICTING;
		m->servers[server].owner = -1;
	}
	settle(m);
	return server;
}

/* ---- Slots ---- */

bool model_slot_try(struct model *m, int pool, int port, int *server_r)
{
	if (model_slots(m) >= m->budget || model_slot_waiters(m) > 0)
		return false;
	*server_r = new_server(m, WHERE_ORPHAN, pool, port, -1);
	return true;
}

bool model_orphan_idle(struct model *m, int server)
{
	bool stays = place_idle(m, server);

	if (!stays) {
		m->servers[server].where = WHERE_ORPHAN;
		m->servers[server].must_close = true;
		m->n_promised++;
	}
	settle(m);
	return stays;
}

void model_closing(struct model *m, int server)
{
	m->servers[server].where = WHERE_CLOSING;
	m->servers[server].owner = -1;
	m->servers[server].must_close = false;
	if (m->n_promised)
		m->n_promised--;
	settle(m);
}

void model_eof(struct model *m, int server)
{
	m->servers[server].where = WHERE_NOWHERE;
	settle(m);
}

bool model_idle_remove(struct model *m, int server)
{
	if (m->servers[server].where != WHERE_IDLE)
		return false;
	m->servers[server].where = WHERE_HELD;
	settle(m);
	return true;
}

void model_claim_closing(struct model *m, int server)
{
	m->servers[server].where = WHERE_CLOSING;
	m->servers[server].owner = -1;
	settle(m);
}

void model_claim_moved(struct model *m, int server)
{
	struct model_server *s = &m->servers[server];

	s->where = WHERE_HELD;
	if (s->owner >= 0)
		s->port = m->tickets[s->owner].port;
	settle(m);
}

bool model_claim_undo(struct model *m, int server)
{
	bool stays = place_idle(m, server);

	if (!stays)
		m->servers[server].where = WHERE_EVICTING;
	settle(m);
	return stays;
}
