/* SPDX-License-Identifier: ISC */
#include "world_priv.h"

#include <stdio.h>

#include "base/mem.h"

#define BUDGET_MAX 14

/* ---- Making ---- */

static void on_wake(void *arg, unsigned port)
{
	struct world *w = arg;

	w->woken |= 1u << port;
}

static bool may_spill(const struct world *w, uint32_t lane)
{
	uint32_t to = w->specs[lane].spill_lane;

	return to != lane && !w->specs[lane].urgent && !w->specs[to].urgent;
}

/* Sizes for all lanes; at_least for each but the urgent one. Returns their sum. */
static uint32_t random_specs(struct world *w, uint64_t seed, uint32_t at_least)
{
	uint32_t n_lanes = (uint32_t)w->model.n_lanes, budget = 0;

	for (uint32_t i = 0; i < n_lanes; i++) {
		uint64_t r = mix64(&seed);

		w->specs[i].size = (uint32_t)(r % (BUDGET_MAX / n_lanes + 1));
		w->specs[i].size = MAX_OF(w->specs[i].size, at_least);
		w->specs[i].max_waiting = (r >> 32) % 4 ? 0 : (uint32_t)(r >> 40) % 6;
		w->specs[i].spill_lane = (uint8_t)((r >> 48) % n_lanes);
		w->specs[i].spill_below = may_spill(w, i) ? (uint32_t)(r >> 56) % 6 : 0;
		budget += w->specs[i].size;
	}
	return budget;
}

struct world *world_new(uint64_t seed)
{
	struct world *w = mem_zalloc(sizeof(*w));
	int n_lanes = 1 + (int)(mix64(&seed) % MODEL_LANES),
	    n_ports = 1 + (int)(mix64(&seed) % MODEL_PORTS);
	int n_pools = 1 + (int)(mix64(&seed) % MODEL_POOLS);
	uint32_t budget;

	w->n_tickets = 2 + (int)(mix64(&seed) % (MODEL_TICKETS - 1));
	w->model.n_lanes = n_lanes;
	for (int i = 0; i < n_lanes; i++)
		snprintf(w->specs[i].name, sizeof(w->specs[i].name), "lane%d", i);
	if (n_lanes > 1 && mix64(&seed) % 3)
		w->specs[mix64(&seed) % (unsigned)n_lanes].urgent = true;
	w->budget = budget = random_specs(w, mix64(&seed), 0);
	w->limit = UINT32_MAX;
	model_init(&w->model, w->specs, n_lanes, budget, n_ports, n_pools);
	w->ledger =
		lane_ledger_new(w->specs, (unsigned)n_lanes, budget, (unsigned)n_ports, on_wake, w);
	for (int i = 0; i < n_pools; i++)
		w->pools[i] = lane_pool_new(w->ledger);
	w->now_us = 1000;
	return w;
}

/* The time this step brings; the ledger goes by the latest it has seen. */
static uint64_t at(struct world *w)
{
	w->model.now_us = MAX_OF(w->model.now_us, w->now_us);
	return w->now_us;
}

/* ---- Operations on tickets ---- */

static bool is_in(const struct world *w, int t, enum lane_ticket_state state)
{
	return w->model.tickets[t].state == state;
}

static int ticket_of(const struct world *w, struct step s)
{
	return s.a % w->n_tickets;
}

/* The server that t holds, in its hands (not on its way); or -1. */
static int held_by(const struct world *w, int t)
{
	int server = model_server_of(&w->model, t);

	return server >= 0 && w->model.servers[server].where == WHERE_HELD ? server : -1;
}

static struct lane_idle *idle_entry(struct world *w, int server)
{
	struct lane_idle *idle = &w->idle[server];

	idle->pool = w->pools[w->model.servers[server].pool];
	idle->port = (uint8_t)w->model.servers[server].port;
	if (w->model.servers[server].share < 0) /* another server was in its place */
		idle->share = 0;
	return idle;
}

static bool op_acquire(struct world *w, struct step s)
{
	int t = ticket_of(w, s), pool = s.b % w->model.n_pools, lane = s.c % w->model.n_lanes;
	int priority = 1 + s.d % 10, port = t % w->model.n_ports;

	if (!is_in(w, t, LANE_TICKET_NONE) || lane == w->model.urgent)
		return false;
	EXPECT(lane_acquire(w->ledger, &w->tickets[t], w->pools[pool], (unsigned)lane,
		       (unsigned)priority, (unsigned)port, at(w)),
		model_acquire(&w->model, t, pool, lane, priority, port), "acquire");
	return true;
}

static bool op_release_idle(struct world *w, struct step s)
{
	int t = ticket_of(w, s), server;

	if (!is_in(w, t, LANE_TICKET_HOLDS) || (server = held_by(w, t)) < 0)
		return false;
	EXPECT(lane_release(w->ledger, &w->tickets[t], idle_entry(w, server), at(w)),
		model_release(&w->model, t, server), "release with a server");
	return true;
}

/* Its server, if any, stays behind: to be closed, orphaned, or on its way here. */
static bool op_release_none(struct world *w, struct step s)
{
	int t = ticket_of(w, s);

	if (!is_in(w, t, LANE_TICKET_HOLDS))
		return false;
	EXPECT(lane_release(w->ledger, &w->tickets[t], NULL, at(w)),
		model_release(&w->model, t, -1), "release without a server");
	return true;
}

static bool op_abandon(struct world *w, struct step s)
{
	int t = ticket_of(w, s);

	if (is_in(w, t, LANE_TICKET_HOLDS))
		return false;
	/* For a ticket that has nothing the ledger does not even look at the time. */
	lane_abandon(w->ledger, &w->tickets[t], is_in(w, t, LANE_TICKET_NONE) ? w->now_us : at(w));
	model_abandon(&w->model, t);
	return true;
}

static bool op_swap(struct world *w, struct step s)
{
	int t = ticket_of(w, s), lane = s.c % w->model.n_lanes, priority = 1 + s.d % 10;

	if (!is_in(w, t, LANE_TICKET_HOLDS) || lane == w->model.urgent)
		return false;
	EXPECT(lane_swap(w->ledger, &w->tickets[t], (unsigned)lane, (unsigned)priority, at(w)),
		model_swap(&w->model, t, lane, priority), "swap");
	return true;
}

static bool op_hop(struct world *w, struct step s)
{
	int t = ticket_of(w, s), lane = s.c % w->model.n_lanes;

	if (!is_in(w, t, LANE_TICKET_HOLDS) || lane == w->model.urgent)
		return false;
	EXPECT(lane_hop(w->ledger, &w->tickets[t], (unsigned)lane, at(w)),
		model_hop(&w->model, t, lane), "hop");
	return true;
}

/* The holder's server dies before, or is only known dead after, it asks for another. */
static bool op_again(struct world *w, struct step s)
{
	int t = ticket_of(w, s), server;

	if (!is_in(w, t, LANE_TICKET_HOLDS) ||
		((server = model_server_of(&w->model, t)) >= 0 && s.b % 8))
		return false;
	if (server >= 0)
		w->model.servers[server].owner = -1;
	EXPECT(lane_again(w->ledger, &w->tickets[t], at(w)), model_again(&w->model, t), "again");
	return true;
}

/* A connection that PostgreSQL refused: its slot closes, its ticket waits again. */
static bool op_requeue(struct world *w, struct step s)
{
	int t = ticket_of(w, s), server;

	if (is_in(w, t, LANE_TICKET_WAITS_LOGIN)) {
		lane_requeue(w->ledger, &w->tickets[t], at(w));
		model_requeue(&w->model, t);
		return true;
	}
	if (!is_in(w, t, LANE_TICKET_HOLDS) || w->model.tickets[t].source != LANE_SOURCE_SLOT ||
		w->model.tickets[t].was_swapped)
		return false;
	server = held_by(w, t);
	if (server < 0 && model_server_of(&w->model, t) >= 0)
		return false;
	if (server >= 0) {
		lane_slot_closing(w->ledger, false);
		model_closing(&w->model, server);
	}
	lane_requeue(w->ledger, &w->tickets[t], at(w));
	model_requeue(&w->model, t);
	return true;
}

static bool op_login_wait(struct world *w, struct step s)
{
	int t = ticket_of(w, s);

	if (!is_in(w, t, LANE_TICKET_HOLDS) || w->model.tickets[t].source != LANE_SOURCE_SLOT ||
		w->model.tickets[t].was_swapped || held_by(w, t) < 0)
		return false;
	lane_login_wait(w->ledger, &w->tickets[t], at(w));
	model_login_wait(&w->model, t);
	return true;
}

static bool op_login_begin(struct world *w, struct step s)
{
	int t = ticket_of(w, s);

	if (!is_in(w, t, LANE_TICKET_WAITS_LOGIN))
		return false;
	EXPECT(lane_login_begin(w->ledger, &w->tickets[t], at(w)), model_login_begin(&w->model, t),
		"turn to log in");
	return true;
}

static void on_take(void *arg, struct lane_ticket *real)
{
	struct world *w = arg;
	int t = model_collect(&w->model, real->port);

	EXPECT(real - w->tickets, t, "ticket delivered next");
	world__compare_ticket(w, t);
}

static bool op_collect(struct world *w, struct step s)
{
	int port = s.a % w->model.n_ports;

	lane_collect(w->ledger, (unsigned)port, on_take, w);
	EXPECT(-1, model_collect(&w->model, port), "ticket delivered after the last");
	return true;
}

/* ---- Operations on servers ---- */

static int server_in(const struct world *w, struct step s, enum model_where where)
{
	int server = s.a % MODEL_SERVERS;

	return w->model.servers[server].where == where ? server : -1;
}

/*
 * Its slot was granted, but the owner has not collected that: there is no server yet to close or to
 * orphan.
 */
static bool is_only_granted(const struct world *w, int server)
{
	int owner = w->model.servers[server].owner;

	return owner >= 0 && !is_in(w, owner, LANE_TICKET_HOLDS) &&
	       !is_in(w, owner, LANE_TICKET_WAITS_SWAP);
}

static bool op_slot_try(struct world *w, struct step s)
{
	int server;

	EXPECT(lane_slot_try(w->ledger),
		model_slot_try(&w->model, s.a % w->model.n_pools, s.b % w->model.n_ports, &server),
		"slot ahead of demand");
	return true;
}

static bool op_orphan(struct world *w, struct step s)
{
	int server = server_in(w, s, WHERE_HELD);

	if (server < 0 || w->model.servers[server].must_close || is_only_granted(w, server))
		return false;
	lane_slot_orphan(w->ledger);
	w->model.servers[server].where = WHERE_ORPHAN;
	w->model.servers[server].owner = -1;
	return true;
}

static bool op_adopt(struct world *w, struct step s)
{
	int server = server_in(w, s, WHERE_ORPHAN), t = s.b % w->n_tickets;

	if (server < 0 || w->model.servers[server].must_close || !is_in(w, t, LANE_TICKET_HOLDS) ||
		model_server_of(&w->model, t) >= 0 ||
		w->model.tickets[t].pool != w->model.servers[server].pool)
		return false;
	lane_slot_adopt(w->ledger);
	w->model.servers[server].where = WHERE_HELD;
	w->model.servers[server].owner = t;
	return true;
}

static bool op_orphan_idle(struct world *w, struct step s)
{
	int server = server_in(w, s, WHERE_ORPHAN);

	if (server < 0 || w->model.servers[server].must_close)
		return false;
	EXPECT(lane_orphan_idle(w->ledger, idle_entry(w, server), at(w)),
		model_orphan_idle(&w->model, server), "orphan logged in");
	return true;
}

static bool op_closing(struct world *w, struct step s)
{
	int server = s.a % MODEL_SERVERS;
	enum model_where where = w->model.servers[server].where;

	if (where != WHERE_HELD && where != WHERE_ORPHAN)
		return false;
	if (is_only_granted(w, server))
		return false;
	lane_slot_closing(w->ledger, where == WHERE_ORPHAN);
	model_closing(&w->model, server);
	return true;
}

static bool op_eof(struct world *w, struct step s)
{
	int server = server_in(w, s, WHERE_CLOSING);

	if (server < 0)
		return false;
	lane_slot_release(w->ledger, at(w));
	model_eof(&w->model, server);
	return true;
}

static bool op_idle_remove(struct world *w, struct step s)
{
	int server = s.a % MODEL_SERVERS;
	enum model_where where = w->model.servers[server].where;

	if (where != WHERE_IDLE && where != WHERE_MOVING && where != WHERE_EVICTING)
		return false;
	EXPECT(lane_idle_remove(w->ledger, &w->idle[server]), model_idle_remove(&w->model, server),
		"idle removed");
	return true;
}

/* The claimer has been told: its message can have arrived at the server's worker. */
static bool is_claim_told(const struct world *w, int server)
{
	const struct model_server *s = &w->model.servers[server];

	if (s->where == WHERE_EVICTING)
		return s->owner < 0;
	return s->where == WHERE_MOVING &&
	       (s->owner < 0 || !w->model.tickets[s->owner].is_delivered ||
		       w->model.tickets[s->owner].state == LANE_TICKET_WAITS_SWAP);
}

static bool op_claim_closing(struct world *w, struct step s)
{
	int server = s.a % MODEL_SERVERS;

	if (!is_claim_told(w, server))
		return false;
	lane_claim_closing(w->ledger, &w->idle[server]);
	model_claim_closing(&w->model, server);
	return true;
}

static bool op_claim_moved(struct world *w, struct step s)
{
	int server = server_in(w, s, WHERE_MOVING);

	if (server < 0 || !is_claim_told(w, server))
		return false;
	model_claim_moved(&w->model, server);
	lane_claim_moved(w->ledger, &w->idle[server], (unsigned)w->model.servers[server].port);
	EXPECT(w->idle[server].port, w->model.servers[server].port, "port of a server");
	return true;
}

static bool op_claim_undo(struct world *w, struct step s)
{
	int server = server_in(w, s, WHERE_MOVING);

	if (server < 0 || w->model.servers[server].owner >= 0)
		return false;
	EXPECT(lane_claim_undo(w->ledger, &w->idle[server], at(w)),
		model_claim_undo(&w->model, server), "claim undone");
	return true;
}

/* ---- Operations on sizes ---- */

/* The sizes that lanes have under the limit: said once more, each share by its own division. */
static void resize_model(struct world *w)
{
	struct lane_spec specs[MODEL_LANES];
	const struct model *m = &w->model;
	uint64_t n_first = 0, before = 0, budget = MIN_OF(w->budget, w->limit);

	for (int i = 0; i < m->n_lanes; i++)
		n_first += w->specs[i].size > 0 && i != m->urgent;
	for (int i = 0; i < m->n_lanes; i++) {
		uint64_t first = w->specs[i].size > 0 && i != m->urgent;
		uint64_t rest = budget > n_first ? budget - n_first : 0;
		uint64_t all = MAX_OF(w->budget - n_first, 1);
		uint64_t upto = before + w->specs[i].size - first;

		specs[i] = w->specs[i];
		specs[i].size = (uint32_t)(first + upto * rest / all - before * rest / all);
		before = upto;
		MUST(specs[i].size <= w->specs[i].size);
	}
	model_resize(&w->model, specs, (uint32_t)budget);
}

static bool op_resize(struct world *w, struct step s)
{
	uint64_t seed = (uint64_t)s.a << 16 | (uint64_t)s.b << 8 | s.c;

	w->budget = random_specs(w, seed, 0);
	lane_resize(w->ledger, w->specs, (unsigned)w->model.n_lanes, w->budget);
	resize_model(w);
	return true;
}

static bool op_limit_budget(struct world *w, struct step s)
{
	w->limit = s.a % 4 == 0 ? UINT32_MAX : s.b % (BUDGET_MAX + 2);
	lane_limit_budget(w->ledger, w->limit);
	resize_model(w);
	return true;
}

static bool op_surplus(struct world *w, struct step s)
{
	uint32_t keep = s.a % (BUDGET_MAX + 1);
	struct lane_idle *idle = lane_surplus_idle(w->ledger, keep);

	EXPECT(idle ? idle - w->idle : -1, model_surplus_idle(&w->model, keep), "surplus idle");
	return true;
}

static bool op_limit(struct world *w, struct step s)
{
	int pool = s.a % w->model.n_pools;
	uint32_t max_servers = s.b % 3 == 0 ? 0 : 1 + s.c % 4;

	lane_pool_limit(w->ledger, w->pools[pool], max_servers);
	model_limit(&w->model, pool, max_servers);
	return true;
}

static bool op_aging(struct world *w, struct step s)
{
	uint64_t step_us = s.a % 3 == 0 ? 0 : 1 + s.b % 64;

	lane_set_aging(w->ledger, step_us);
	model_aging(&w->model, step_us);
	return true;
}

static bool op_hold(struct world *w, struct step s)
{
	int pool = s.a % w->model.n_pools;

	lane_pool_hold(w->ledger, w->pools[pool], s.b % 2);
	model_hold(&w->model, pool, s.b % 2);
	return true;
}

static bool op_excess(struct world *w, struct step s)
{
	struct lane_idle *idle = lane_excess_idle(w->ledger);

	(void)s;
	EXPECT(idle ? idle - w->idle : -1, model_excess_idle(&w->model), "idle in excess");
	return true;
}

static const struct {
	const char *name;
	unsigned weight;
	bool (*apply)(struct world *w, struct step s);
} ops[] = {
	{"acquire", 60, op_acquire},
	{"release_idle", 70, op_release_idle},
	{"release_none", 6, op_release_none},
	{"abandon", 8, op_abandon},
	{"swap", 16, op_swap},
	{"hop", 12, op_hop},
	{"again", 20, op_again},
	{"requeue", 6, op_requeue},
	{"login_wait", 24, op_login_wait},
	{"login_begin", 12, op_login_begin},
	{"collect", 40, op_collect},
	{"slot_try", 4, op_slot_try},
	{"orphan", 6, op_orphan},
	{"adopt", 20, op_adopt},
	{"orphan_idle", 20, op_orphan_idle},
	{"closing", 8, op_closing},
	{"eof", 80, op_eof},
	{"idle_remove", 8, op_idle_remove},
	{"claim_closing", 60, op_claim_closing},
	{"claim_moved", 60, op_claim_moved},
	{"claim_undo", 20, op_claim_undo},
	{"resize", 1, op_resize},
	{"limit_budget", 2, op_limit_budget},
	{"limit", 2, op_limit},
	{"aging", 2, op_aging},
	{"hold", 3, op_hold},
	{"surplus", 4, op_surplus},
	{"excess", 4, op_excess},
};

unsigned world_n_ops(void)
{
	return N_ELEMENTS(ops);
}

const char *world_op_name(unsigned op)
{
	return ops[op].name;
}

unsigned world_op_weight(unsigned op)
{
	return ops[op].weight;
}

bool world_apply(struct world *w, struct step step)
{
	w->woken = w->model.woken = 0;
	/* Threads read the clock before they lock: time may seem to go back a little. */
	w->now_us = 1000 + w->n_applied * 3 + step.d % 10;
	if (!ops[step.op].apply(w, step))
		return false;
	w->n_applied++;
	world__compare(w);
	return true;
}

/* ---- The end ---- */

static bool try_op(struct world *w, bool (*apply)(struct world *w, struct step s), int a)
{
	w->woken = w->model.woken = 0;
	if (!apply(w, (struct step){.a = (uint8_t)a, .b = 0, .d = 4}))
		return false;
	world__compare(w);
	return true;
}

static void drain_round(struct world *w)
{
	for (int i = 0; i < w->model.n_ports; i++)
		try_op(w, op_collect, i);
	for (int i = 0; i < MODEL_SERVERS; i++) {
		if (w->model.servers[i].owner < 0)
			try_op(w, op_closing, i);
		if (!try_op(w, op_claim_moved, i))
			try_op(w, op_claim_closing, i);
		try_op(w, op_eof, i);
	}
	for (int i = 0; i < w->n_tickets; i++) {
		if (is_in(w, i, LANE_TICKET_HOLDS) && model_server_of(&w->model, i) < 0)
			try_op(w, op_again, i);
		else if (is_in(w, i, LANE_TICKET_WAITS_LOGIN))
			try_op(w, op_login_begin, i);
		else
			try_op(w, op_release_idle, i);
	}
	try_op(w, op_excess, 0);
}

static bool is_at_rest(const struct world *w)
{
	for (int i = 0; i < w->n_tickets; i++) {
		if (!is_in(w, i, LANE_TICKET_NONE))
			return false;
	}
	return model_slots(&w->model) == model_count(&w->model, WHERE_IDLE);
}

void world_drain(struct world *w)
{
	w->woken = w->model.woken = 0;
	/*
	 * Whatever PostgreSQL takes, as long as it is one, and not less than is open and held: what
	 * lane_limit_budget() asks for, so that nobody waits for ever. Shares may be overdrawn.
	 */
	w->limit = MAX_OF(w->limit, 1u);
	w->limit = MAX_OF(w->limit, MAX_OF(model_slots(&w->model), model_in_use(&w->model, -1)));
	lane_limit_budget(w->ledger, w->limit);
	resize_model(w);
	world__compare(w);
	w->woken = w->model.woken = 0;
	w->budget = random_specs(w, 1, 1);
	lane_resize(w->ledger, w->specs, (unsigned)w->model.n_lanes, w->budget);
	resize_model(w);
	for (int i = 0; i < w->model.n_pools; i++)
		try_op(w, op_hold, i);
	for (int n = 0; n < 200 && !is_at_rest(w); n++)
		drain_round(w);
	MUST(is_at_rest(w));
	for (int i = 0; i < MODEL_SERVERS; i++) {
		if (try_op(w, op_idle_remove, i)) {
			try_op(w, op_closing, i);
			try_op(w, op_eof, i);
		}
	}
	for (int i = 0; i < w->model.n_pools; i++)
		lane_pool_free(w->ledger, &w->pools[i]);
	lane_ledger_free(&w->ledger);
	mem_free(w);
}
