/* SPDX-License-Identifier: ISC */
/*
 * The naive ledger: counts by their definitions, idle servers and slots, and serving all that can
 * be served.
 */
#include "model_priv.h"

/* ---- Counts, by their definitions ---- */

/* It waits in a lane and nothing has been granted yet. */
bool model_waits_in_lane(const struct model_ticket *t)
{
	return !t->is_delivered &&
	       (t->state == LANE_TICKET_WAITS_PERMIT || t->state == LANE_TICKET_WAITS_SWAP);
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

	FOR_TICKETS(m, i)
	{
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

int64_t model__shortage(const struct model *m)
{
	return (int64_t)model_slots(m) + model_slot_waiters(m) - m->budget -
	       model_count(m, WHERE_CLOSING) - model_count(m, WHERE_EVICTING) - m->n_promised;
}

bool model__has_permit(const struct model *m, int lane)
{
	return model_in_use(m, lane) < m->lanes[lane].spec.size;
}

bool model__pool_has_room(const struct model *m, int pool)
{
	if (pool_count(m, pool, WHERE_IDLE) > 0)
		return true;
	return !m->is_held[pool] && (m->max_servers[pool] == 0 ||
					    pool_permits(m, pool) < m->max_servers[pool]);
}

static bool is_runnable(const struct model *m, const struct model_ticket *t)
{
	if (t->state == LANE_TICKET_WAITS_SWAP)
		return true;
	return model_in_use(m, -1) < m->budget && model__pool_has_room(m, t->pool);
}

int model_server_of(const struct model *m, int t)
{
	FOR_SERVERS(m, i)
	{
		const struct model_server *s = &m->servers[i];

		if (s->owner == t && (s->where == WHERE_HELD || s->where == WHERE_MOVING))
			return i;
	}
	return -1;
}

/* ---- Idle servers and slots ---- */

void model__deliver(struct model *m, struct model_ticket *t)
{
	bool was_empty = true;

	if (t->is_delivered)
		return;
	FOR_TICKETS(m, i)
	{
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

	FOR_TICKETS(m, i)
	{
		const struct model_ticket *t = &m->tickets[i];

		if (!t->in_slot_queue || (pool >= 0 && t->pool != pool) ||
			(told_only && is_untold_eviction(t)))
			continue;
		if (best < 0 || t->slot_arrival < m->tickets[best].slot_arrival)
			best = i;
	}
	return best;
}

static int first_login_waiter(const struct model *m, int pool)
{
	int best = -1;

	FOR_TICKETS(m, i)
	{
		const struct model_ticket *t = &m->tickets[i];

		if (t->state == LANE_TICKET_WAITS_LOGIN && !t->is_delivered && t->pool == pool &&
			(best < 0 || t->login_arrival < m->tickets[best].login_arrival))
			best = i;
	}
	return best;
}

/* Most recently used of the pool, on the port (-1: any). */
static int newest_idle(const struct model *m, int pool, int port)
{
	int best = -1;

	FOR_SERVERS(m, i)
	{
		const struct model_server *s = &m->servers[i];

		if (s->where == WHERE_IDLE && s->pool == pool && (port < 0 || s->port == port) &&
			(best < 0 || s->used > m->servers[best].used))
			best = i;
	}
	return best;
}

int model__oldest_idle(const struct model *m, bool above_limit_only)
{
	int best = -1;

	FOR_SERVERS(m, i)
	{
		const struct model_server *s = &m->servers[i];

		if (s->where != WHERE_IDLE)
			continue;
		if (above_limit_only &&
			(m->max_servers[s->pool] == 0 ||
				pool_permits(m, s->pool) + pool_count(m, s->pool, WHERE_IDLE) <=
					m->max_servers[s->pool]))
			continue;
		if (best < 0 || s->used < m->servers[best].used)
			best = i;
	}
	return best;
}

uint32_t model_servers(const struct model *m, int lane)
{
	uint32_t n = model_in_use(m, lane);

	FOR_SERVERS(m, i)
	n += m->servers[i].where == WHERE_IDLE && m->servers[i].share == lane;
	return n;
}

static bool has_room(const struct model *m, int lane)
{
	return model_servers(m, lane) < m->lanes[lane].spec.size;
}

/* A statement of the lane gives it back. */
void model__count_idle_for(struct model *m, int server, int lane)
{
	int before = m->servers[server].share;

	m->servers[server].where = WHERE_LOOSE;
	if (before < 0 || has_room(m, lane) || !has_room(m, before))
		m->servers[server].share = lane;
}

/* Idle servers of no lane, and of lanes that have more than permits. */
int model__oldest_beyond_share(const struct model *m)
{
	int best = -1;

	FOR_SERVERS(m, i)
	{
		const struct model_server *s = &m->servers[i];

		if (s->where == WHERE_IDLE &&
			(s->share < 0 || model_servers(m, s->share) > m->lanes[s->share].spec.size) &&
			(best < 0 || s->used < m->servers[best].used))
			best = i;
	}
	return best;
}

static int oldest_of_lane(const struct model *m, int lane)
{
	int best = -1;

	FOR_SERVERS(m, i)
	{
		const struct model_server *s = &m->servers[i];

		if (s->where == WHERE_IDLE && s->share == lane &&
			(best < 0 || s->used < m->servers[best].used))
			best = i;
	}
	return best;
}

/*
 * Why there is one beyond its share: nothing is owed, sizes and budget are the same, and all slots
 * are those of permits, of idle servers, or on their way out.
 */
static bool must_be_beyond_share(const struct model *m)
{
	uint32_t sizes = 0;

	for (int i = 0; i < m->n_lanes; i++) {
		sizes += m->lanes[i].spec.size;
		if (model_in_use(m, i) > m->lanes[i].spec.size)
			return false;
	}
	FOR_SERVERS(m, i)
	{
		const struct model_server *s = &m->servers[i];

		if (s->where == WHERE_ORPHAN || s->where == WHERE_LOOSE ||
			((s->where == WHERE_HELD || s->where == WHERE_MOVING) && s->owner < 0))
			return false;
	}
	return sizes == m->budget;
}

/* Which idle server closes for a ticket of this lane; -1: there is none. */
static int victim_for(const struct model *m, int lane)
{
	int idle = model__oldest_beyond_share(m);

	if (idle >= 0)
		return idle;
	MUST(model_count(m, WHERE_IDLE) == 0 || model__shortage(m) <= 0 || !must_be_beyond_share(m));
	idle = oldest_of_lane(m, lane);
	return idle >= 0 ? idle : model__oldest_idle(m, false);
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

int model__new_server(struct model *m, enum model_where where, int pool, int port, int owner)
{
	FOR_SERVERS(m, i)
	{
		if (m->servers[i].where != WHERE_NOWHERE)
			continue;
		m->servers[i] = (struct model_server){
			.where = where, .pool = pool, .port = port, .owner = owner, .share = -1};
		return i;
	}
	UNREACHABLE("the model has too few servers for the budget");
}

static void grant_slot(struct model *m, int t)
{
	struct model_ticket *ticket = &m->tickets[t];

	model__new_server(m, WHERE_HELD, ticket->pool, ticket->port, t);
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

static bool serve_one_slot(struct model *m);

static void register_idle(struct model *m, int server)
{
	m->servers[server].where = WHERE_IDLE;
	m->servers[server].owner = -1;
	m->servers[server].used = ++m->clock;
}

/* The slot that it did not use yet is nobody's. */
void model__give_up_login(struct model *m, int t)
{
	m->servers[model_server_of(m, t)].where = WHERE_NOWHERE;
}

/* A claim is taken back. */
void model__idle_returns(struct model *m, int server)
{
	struct model_server *s = &m->servers[server];
	int t = first_slot_waiter(m, s->pool, false);

	s->where = WHERE_LOOSE;
	if (t >= 0) {
		int freed = is_untold_eviction(&m->tickets[t]) ? m->tickets[t].coming_server : -1;

		m->tickets[t].in_slot_queue = false;
		grant_idle(m, t, server);
		model__deliver(m, &m->tickets[t]);
		if (freed >= 0)
			model__idle_returns(m, freed);
		return;
	}
	t = first_login_waiter(m, s->pool);
	if (t >= 0) {
		model__give_up_login(m, t);
		grant_idle(m, t, server);
		model__deliver(m, &m->tickets[t]);
		while (serve_one_slot(m))
			;
		return;
	}
	t = first_slot_waiter(m, -1, true);
	if (model__shortage(m) > (int64_t)model_count(m, WHERE_IDLE) && t >= 0) {
		grant_eviction(m, t, server);
		model__deliver(m, &m->tickets[t]);
		return;
	}
	register_idle(m, server);
}

/* A server becomes idle; false: it must close. */
bool model__place_idle(struct model *m, int server)
{
	struct model_server *s = &m->servers[server];

	s->where = WHERE_LOOSE;
	s->owner = -1;
	if (first_slot_waiter(m, s->pool, false) >= 0 || first_login_waiter(m, s->pool) >= 0) {
		model__idle_returns(m, server);
		return true;
	}
	if (model__shortage(m) > (int64_t)model_count(m, WHERE_IDLE))
		return false;
	if (m->max_servers[s->pool] &&
		pool_permits(m, s->pool) + pool_count(m, s->pool, WHERE_IDLE) >=
			m->max_servers[s->pool])
		return false;
	register_idle(m, server);
	return true;
}

void model__find_server(struct model *m, int t)
{
	struct model_ticket *ticket = &m->tickets[t];
	int idle = -1;

	if ((int64_t)model_count(m, WHERE_IDLE) > model__shortage(m)) {
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
	idle = model__shortage(m) > 0 ? victim_for(m, ticket->home) : -1;
	if (idle >= 0)
		grant_eviction(m, t, idle);
}

/* The owner learns what it was granted. */
void model__tell(struct model *m, int t)
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
	ticket->state = coming == LANE_SOURCE_EVICT || coming == LANE_SOURCE_AWAIT_SLOT
				? LANE_TICKET_WAITS_SLOT
				: LANE_TICKET_HOLDS;
}

/* ---- Serving everything that can be served ---- */

/* Its priority, and a step more for each aging_us that it has waited by now; in us of waiting. */
static uint64_t weight_us(const struct model *m, const struct model_ticket *t)
{
	return (uint64_t)t->priority * m->aging_us + (m->now_us - t->enqueued_us);
}

bool model__is_before(
	const struct model *m, const struct model_ticket *a, const struct model_ticket *b)
{
	if (m->aging_us && weight_us(m, a) != weight_us(m, b))
		return weight_us(m, a) > weight_us(m, b);
	return a->priority > b->priority || (a->priority == b->priority && a->arrival < b->arrival);
}

static void count_grant(struct model *m, struct model_ticket *t)
{
	uint64_t wait_us = t->enqueued_us && t->granted_us > t->enqueued_us
				   ? t->granted_us - t->enqueued_us
				   : 0;
	struct model_lane *home = &m->lanes[t->home];

	home->n_granted++;
	home->total_wait_us += wait_us;
	home->max_wait_us = MAX_OF(home->max_wait_us, wait_us);
	if (t->lane != t->home && t->lane == m->urgent)
		m->lanes[t->lane].n_granted++;
	if (t->lane != t->home && t->lane != m->urgent) {
		home->n_spilled_out++;
		m->lanes[t->lane].n_spilled_in++;
	}
}

void model__hold(struct model *m, struct model_ticket *t, int lane)
{
	t->lane = lane;
	t->granted_us = m->now_us;
	count_grant(m, t);
}

static bool has_runnable_waiter(const struct model *m, int lane)
{
	FOR_TICKETS(m, i)
	{
		const struct model_ticket *t = &m->tickets[i];

		if (model_waits_in_lane(t) && model_queue_lane(t) == lane && is_runnable(m, t))
			return true;
	}
	return false;
}

/* Of which lane a statement of this lane gets a permit now: its own, urgent, spilled; or -1. */
int model__free_lane(const struct model *m, int lane, int priority)
{
	const struct lane_spec *spec = &m->lanes[lane].spec;

	if (model__has_permit(m, lane))
		return lane;
	if (priority >= LANE_PRIORITY_URGENT && m->urgent >= 0 && model__has_permit(m, m->urgent))
		return m->urgent;
	if (model__has_permit(m, spec->spill_lane) &&
		model_in_use(m, spec->spill_lane) < spec->spill_below &&
		!has_runnable_waiter(m, spec->spill_lane))
		return spec->spill_lane;
	return -1;
}

static bool serve_one_permit(struct model *m)
{
	int best = -1, to = -1;

	FOR_TICKETS(m, i)
	{
		const struct model_ticket *t = &m->tickets[i];
		int lane;

		if (!model_waits_in_lane(t) || !is_runnable(m, t))
			continue;
		lane = model__free_lane(m, model_queue_lane(t), t->priority);
		if (lane >= 0 && (best < 0 || model__is_before(m, t, &m->tickets[best]))) {
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
	model__hold(m, &m->tickets[best], to);
	/* A permit is held from here on as far as counts go, but its server is not there yet. */
	model__deliver(m, &m->tickets[best]);
	if (m->tickets[best].state == LANE_TICKET_WAITS_PERMIT)
		model__find_server(m, best);
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
	model__deliver(m, &m->tickets[t]);
	if (freed >= 0)
		model__idle_returns(m, freed);
	return true;
}

void model__offer_idle(struct model *m, int pool, int port)
{
	int idle = newest_idle(m, pool, port);

	if (idle < 0)
		idle = newest_idle(m, pool, -1);
	if (idle >= 0)
		model__idle_returns(m, idle);
}

/* An idle server that may be handed out, and a ticket of its pool in the slot queue. */
static bool serve_one_match(struct model *m)
{
	int best = -1;

	if (model__shortage(m) >= (int64_t)model_count(m, WHERE_IDLE))
		return false;
	FOR_TICKETS(m, i)
	{
		const struct model_ticket *t = &m->tickets[i];

		if (t->in_slot_queue && newest_idle(m, t->pool, -1) >= 0 &&
			(best < 0 || t->slot_arrival < m->tickets[best].slot_arrival))
			best = i;
	}
	if (best >= 0)
		model__offer_idle(m, m->tickets[best].pool, m->tickets[best].port);
	return best >= 0;
}

/* An idle server that has to close, and a ticket that can pass that on. */
static bool serve_one_eviction(struct model *m)
{
	int t = first_slot_waiter(m, -1, true), idle;

	if (t < 0 || model__shortage(m) <= 0 || (idle = victim_for(m, m->tickets[t].home)) < 0)
		return false;
	grant_eviction(m, t, idle);
	model__deliver(m, &m->tickets[t]);
	return true;
}

void model__settle(struct model *m)
{
	do {
		while (serve_one_slot(m))
			;
		while (serve_one_permit(m))
			;
	} while (serve_one_match(m) || serve_one_eviction(m));
}
