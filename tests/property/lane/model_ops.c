/* SPDX-License-Identifier: ISC */
/* The naive ledger: its operations. Each changes what it is about and then settles everything. */
#include "model_priv.h"

#include <string.h>

/* ---- Tickets ---- */

static enum lane_verdict wait_in_lane(
	struct model *m, struct model_ticket *t, int lane, enum lane_ticket_state state)
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
	if (state == LANE_TICKET_WAITS_SWAP)
		t->arrival = ++m->clock;
	t->enqueued_us = m->now_us;
	return LANE_QUEUED;
}

enum lane_verdict model_acquire(struct model *m, int t, int pool, int lane, int priority, int port)
{
	struct model_ticket *ticket = &m->tickets[t];
	int to = model__free_lane(m, lane, priority);

	*ticket = (struct model_ticket){.pool = pool,
		.port = port,
		.lane = lane,
		.home = lane,
		.wanted = lane,
		.priority = priority,
		.arrival = ++m->clock,
		.server = -1,
		.coming_server = -1};
	if (to < 0 || model_in_use(m, -1) >= m->budget || !model__pool_has_room(m, pool))
		return wait_in_lane(m, ticket, lane, LANE_TICKET_WAITS_PERMIT);
	model__hold(m, ticket, to);
	ticket->state = LANE_TICKET_HOLDS;
	model__find_server(m, t);
	model__tell(m, t);
	model__settle(m);
	return LANE_GRANTED;
}

static bool has_swap(const struct model *m, int held, int wanted, int *first_r)
{
	int best = -1;

	FOR_TICKETS(m, i)
	{
		const struct model_ticket *t = &m->tickets[i];

		if (t->state == LANE_TICKET_WAITS_SWAP && !t->is_delivered && t->lane == held &&
			t->wanted == wanted && (best < 0 || model__is_before(m, t, &m->tickets[best])))
			best = i;
	}
	*first_r = best;
	return best >= 0;
}

/* Whether swaps lead from lane `from` to the lane that t holds; if so all of them are done. */
static bool swap_round(struct model *m, struct model_ticket *t, int from)
{
	int todo[MODEL_LANES], came_from[MODEL_LANES], n_todo = 0, first;
	bool seen[MODEL_LANES] = {false};

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
		model__hold(m, &m->tickets[first], to);
		model__deliver(m, &m->tickets[first]);
	}
	t->home = from;
	model__hold(m, t, from);
	return true;
}

enum lane_verdict model_swap(struct model *m, int t, int lane, int priority)
{
	struct model_ticket *ticket = &m->tickets[t];
	bool keeps = ticket->lane == lane ||
		     (!model__has_permit(m, lane) && model__free_lane(m, lane, priority) == ticket->lane);
	uint64_t granted_us = ticket->granted_us;

	ticket->priority = priority;
	ticket->wanted = lane;
	ticket->was_swapped = true;
	ticket->source = LANE_SOURCE_NONE;
	ticket->server = -1;
	ticket->enqueued_us = 0;
	if (!keeps && model__free_lane(m, lane, priority) < 0) {
		const struct lane_spec *spec = &m->lanes[lane].spec;

		keeps = (ticket->lane == m->urgent && priority >= LANE_PRIORITY_URGENT) ||
			(ticket->lane == spec->spill_lane &&
				model_in_use(m, ticket->lane) - 1 < spec->spill_below);
		if (!keeps && swap_round(m, ticket, lane)) {
			model__settle(m);
			return LANE_GRANTED;
		}
		if (!keeps)
			return wait_in_lane(m, ticket, lane, LANE_TICKET_WAITS_SWAP);
	}
	ticket->home = lane;
	model__hold(m, ticket, keeps ? ticket->lane : model__free_lane(m, lane, priority));
	if (keeps)
		ticket->granted_us = granted_us;
	model__settle(m);
	return LANE_GRANTED;
}

bool model_hop(struct model *m, int t, int lane)
{
	struct model_ticket *ticket = &m->tickets[t];

	if (ticket->lane != lane) {
		if (!model__has_permit(m, lane))
			return false;
		ticket->lane = lane;
		ticket->granted_us = m->now_us;
	}
	m->lanes[ticket->home].n_hopped_out++;
	m->lanes[lane].n_hopped_in++;
	ticket->home = lane;
	ticket->was_swapped = true; /* it is not in the lane that it asked for */
	model__settle(m);
	return true;
}

enum lane_verdict model_again(struct model *m, int t)
{
	model__find_server(m, t);
	model__tell(m, t);
	model__settle(m);
	return LANE_GRANTED;
}

void model_requeue(struct model *m, int t)
{
	struct model_ticket *ticket = &m->tickets[t];

	if (ticket->state == LANE_TICKET_WAITS_LOGIN) {
		if (ticket->is_delivered)
			return;
		model__give_up_login(m, t);
	}
	ticket->state = LANE_TICKET_WAITS_PERMIT;
	ticket->source = LANE_SOURCE_NONE;
	ticket->server = -1;
	if (ticket->enqueued_us == 0)
		ticket->enqueued_us = ticket->granted_us;
	m->lanes[ticket->home].n_queued++;
	model__settle(m);
}

void model_login_wait(struct model *m, int t)
{
	struct model_ticket *ticket = &m->tickets[t];

	ticket->state = LANE_TICKET_WAITS_LOGIN;
	ticket->login_arrival = ++m->clock;
	model__offer_idle(m, ticket->pool, ticket->port);
	model__settle(m);
}

enum lane_verdict model_login_begin(struct model *m, int t)
{
	struct model_ticket *ticket = &m->tickets[t];

	if (ticket->is_delivered)
		return LANE_QUEUED;
	if (model_slots(m) > m->budget) {
		model_requeue(m, t);
		return LANE_QUEUED;
	}
	ticket->state = LANE_TICKET_HOLDS;
	ticket->source = LANE_SOURCE_SLOT;
	ticket->server = -1;
	return LANE_GRANTED;
}

static void give_back(struct model *m, int t)
{
	struct model_ticket *ticket = &m->tickets[t];
	bool was_delivered = ticket->is_delivered, waited_login = ticket->state == LANE_TICKET_WAITS_LOGIN;
	int server = ticket->coming_server, slot = model_server_of(m, t);

	ticket->is_delivered = false;
	ticket->in_slot_queue = false;
	ticket->state = LANE_TICKET_NONE;
	if (!was_delivered && waited_login)
		m->servers[slot].where = WHERE_NOWHERE;
	if (!was_delivered)
		return;
	if (ticket->coming == LANE_SOURCE_SLOT)
		m->servers[slot].where = WHERE_NOWHERE;
	else if (server >= 0)
		model__idle_returns(m, server);
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
	model__settle(m);
}

bool model_release(struct model *m, int t, int server)
{
	struct model_lane *lane = &m->lanes[m->tickets[t].lane];
	bool stays = true;

	lane->held_us += m->now_us - m->tickets[t].granted_us;
	if (++lane->n_held == 256) {
		lane->held_us /= 2;
		lane->n_held = 128;
	}
	m->tickets[t].state = LANE_TICKET_NONE;
	FOR_SERVERS(m, i)
	{
		if (m->servers[i].owner == t)
			m->servers[i].owner = -1;
	}
	if (server >= 0) {
		model__count_idle_for(m, server, m->tickets[t].home);
		stays = model__place_idle(m, server);
		if (!stays) {
			m->servers[server].where = WHERE_HELD;
			m->servers[server].must_close = true;
			m->n_promised++;
		}
	}
	model__settle(m);
	return stays;
}

int model_collect(struct model *m, int port)
{
	int first = -1;

	FOR_TICKETS(m, i)
	{
		const struct model_ticket *t = &m->tickets[i];

		if (t->is_delivered && t->port == port &&
			(first < 0 || t->delivery < m->tickets[first].delivery))
			first = i;
	}
	if (first >= 0)
		model__tell(m, first);
	model__settle(m);
	return first;
}

/* ---- Sizes ---- */

void model_init(struct model *m, const struct lane_spec *specs, int n_lanes, uint32_t budget,
	int n_ports, int n_pools)
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
	model__settle(m);
}

void model_limit(struct model *m, int pool, uint32_t max_servers)
{
	m->max_servers[pool] = max_servers;
	model__settle(m);
}

void model_aging(struct model *m, uint64_t step_us)
{
	m->aging_us = step_us;
	model__settle(m);
}

void model_hold(struct model *m, int pool, bool is_held)
{
	m->is_held[pool] = is_held;
	model__settle(m);
}

int model_excess_idle(struct model *m)
{
	int server = model__oldest_idle(m, true);

	if (model__shortage(m) > 0 && (server = model__oldest_beyond_share(m)) < 0)
		server = model__oldest_idle(m, false);
	if (server >= 0) {
		m->servers[server].where = WHERE_EVICTING;
		m->servers[server].owner = -1;
	}
	model__settle(m);
	return server;
}

int model_surplus_idle(struct model *m, uint32_t keep)
{
	uint32_t n_open = model_slots(m) - model_count(m, WHERE_CLOSING) -
			  model_count(m, WHERE_EVICTING);
	int server = -1;

	if (model_slot_waiters(m) == 0 && n_open > keep)
		server = model__oldest_idle(m, false);
	if (server >= 0) {
		m->servers[server].where = WHERE_EVICTING;
		m->servers[server].owner = -1;
	}
	model__settle(m);
	return server;
}

/* ---- Slots ---- */

bool model_slot_try(struct model *m, int pool, int port, int *server_r)
{
	if (model_slots(m) >= m->budget || model_slot_waiters(m) > 0)
		return false;
	*server_r = model__new_server(m, WHERE_ORPHAN, pool, port, -1);
	return true;
}

bool model_orphan_idle(struct model *m, int server)
{
	bool stays = model__place_idle(m, server);

	if (!stays) {
		m->servers[server].where = WHERE_ORPHAN;
		m->servers[server].must_close = true;
		m->n_promised++;
	}
	model__settle(m);
	return stays;
}

void model_closing(struct model *m, int server)
{
	m->servers[server].where = WHERE_CLOSING;
	m->servers[server].owner = -1;
	m->servers[server].must_close = false;
	if (m->n_promised)
		m->n_promised--;
	model__settle(m);
}

void model_eof(struct model *m, int server)
{
	m->servers[server].where = WHERE_NOWHERE;
	model__settle(m);
}

bool model_idle_remove(struct model *m, int server)
{
	if (m->servers[server].where != WHERE_IDLE)
		return false;
	m->servers[server].where = WHERE_HELD;
	model__settle(m);
	return true;
}

void model_claim_closing(struct model *m, int server)
{
	m->servers[server].where = WHERE_CLOSING;
	m->servers[server].owner = -1;
	model__settle(m);
}

void model_claim_moved(struct model *m, int server)
{
	struct model_server *s = &m->servers[server];

	s->where = WHERE_HELD;
	if (s->owner >= 0)
		s->port = m->tickets[s->owner].port;
	model__settle(m);
}

bool model_claim_undo(struct model *m, int server)
{
	bool stays = model__place_idle(m, server);

	if (!stays)
		m->servers[server].where = WHERE_EVICTING;
	model__settle(m);
	return stays;
}
