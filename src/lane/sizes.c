/* SPDX-License-Identifier: ISC */
/*
 * The ledger made and freed, and what it is measured by: the sizes of lanes, the budget in effect,
 * the limits of pools, the weight of waiting.
 */
#include <string.h>

#include "base/mem.h"
#include "lane/lane_priv.h"

/*
 * Sizes for the effective budget: one permit for each ordinary lane that has any, so that none
 * starves, and the rest in proportion to what is configured beyond that. Rounding carries over to
 * the next lane, so the sum is exact; no lane gets more than it is configured to have.
 */
static void set_sizes(struct lane_ledger *l)
{
	uint32_t n_first = 0, rest, weights;
	uint64_t carry = 0;

	for (unsigned i = 0; i < l->n_lanes; i++)
		n_first += l->lanes[i].full_size > 0 && (int)i != l->urgent;
	l->budget = MIN_OF(l->full_budget, l->limit);
	rest = l->budget > n_first ? l->budget - n_first : 0;
	weights = l->full_budget - n_first;
	l->n_owed = l->n_permits = 0;
	for (unsigned i = 0; i < l->n_lanes; i++) {
		struct lane *lane = &l->lanes[i];
		uint32_t first = lane->full_size > 0 && (int)i != l->urgent;

		carry += (uint64_t)(lane->full_size - first) * rest;
		lane->spec.size = first + (uint32_t)(weights ? carry / weights : 0);
		carry = weights ? carry % weights : 0;
		l->n_permits += lane->spec.size;
		if (lane->in_use > lane->spec.size)
			l->n_owed += lane->in_use - lane->spec.size;
	}
}

static void set_specs(
	struct lane_ledger *l, const struct lane_spec *specs, unsigned n_lanes, uint32_t budget)
{
	uint64_t sum = 0;

	l->urgent = -1;
	for (unsigned i = 0; i < n_lanes; i++)
		l->lanes[i].spillers = 0;
	for (unsigned i = 0; i < n_lanes; i++) {
		l->lanes[i].spec = specs[i];
		l->lanes[i].full_size = specs[i].size;
		sum += specs[i].size;
		if (specs[i].urgent) {
			MUST(l->urgent < 0);
			l->urgent = (int)i;
		}
		if (specs[i].spill_below) {
			unsigned to = specs[i].spill_lane;

			MUST(to < n_lanes && to != i && !specs[to].urgent && !specs[i].urgent);
			l->lanes[to].spillers |= UINT32_C(1) << i;
		}
	}
	MUST(sum == budget);
	l->full_budget = budget;
	set_sizes(l);
}

struct lane_ledger *lane_ledger_new(const struct lane_spec *specs, unsigned n_lanes,
	uint32_t budget, unsigned n_ports, void (*wake)(void *arg, unsigned port), void *arg)
{
	struct lane_ledger *l = mem_zalloc(sizeof(*l));

	MUST(n_lanes > 0 && n_lanes <= LANE_MAX && n_ports > 0 && n_ports <= LANE_PORTS_MAX &&
		wake != NULL);
	MUST(pthread_mutex_init(&l->lock, NULL) == 0);
	l->n_lanes = n_lanes;
	l->n_ports = n_ports;
	l->wake = wake;
	l->wake_arg = arg;
	for (unsigned i = 0; i < n_lanes; i++) {
		lane__waitq_init(&l->lanes[i].q);
		TAILQ_INIT(&l->lanes[i].groups);
	}
	for (unsigned i = 0; i < n_ports; i++)
		TAILQ_INIT(&l->ports[i].delivered);
	for (unsigned i = 0; i <= LANE_MAX; i++)
		TAILQ_INIT(&l->shares[i].idle);
	TAILQ_INIT(&l->slot_waiters);
	TAILQ_INIT(&l->pools);
	l->limit = UINT32_MAX;
	set_specs(l, specs, n_lanes, budget);
	return l;
}

void lane_ledger_free(struct lane_ledger **ledger)
{
	struct lane_ledger *l = *ledger;

	if (l == NULL)
		return;
	for (unsigned i = 0; i < l->n_lanes; i++)
		MUST(l->lanes[i].in_use == 0 && l->lanes[i].n_waiting == 0);
	MUST(l->n_idle == 0 && l->n_moving == 0 && l->n_evicting == 0 && l->n_held == 0 &&
		l->n_slot_waiters == 0);
	MUST(TAILQ_EMPTY(&l->pools));
	MUST(pthread_mutex_destroy(&l->lock) == 0);
	mem_free(l);
	*ledger = NULL;
}

void lane_resize(
	struct lane_ledger *l, const struct lane_spec *specs, unsigned n_lanes, uint32_t budget)
{
	lane__lock(l, 0);
	MUST(n_lanes == l->n_lanes);
	for (unsigned i = 0; i < n_lanes; i++)
		MUST(strcmp(specs[i].name, l->lanes[i].spec.name) == 0 &&
			specs[i].urgent == l->lanes[i].spec.urgent);
	set_specs(l, specs, n_lanes, budget);
	lane__serve_slots(l);
	l->lanes_to_serve = lane__all(l);
	lane__finish(l);
}

void lane_set_aging(struct lane_ledger *l, uint64_t step_us)
{
	MUST(step_us <= LANE_AGING_MAX_US);
	lane__lock(l, 0);
	l->aging_us = step_us;
	lane__finish(l);
}

void lane_limit_budget(struct lane_ledger *l, uint32_t limit)
{
	lane__lock(l, 0);
	l->limit = limit;
	set_sizes(l);
	lane__serve_slots(l);
	l->lanes_to_serve = lane__all(l);
	lane__finish(l);
}

struct lane_pool *lane_pool_new(struct lane_ledger *l)
{
	struct lane_pool *pool = mem_zalloc(sizeof(*pool) + l->n_ports * sizeof(pool->idle[0]));

	for (unsigned i = 0; i < l->n_ports; i++)
		TAILQ_INIT(&pool->idle[i]);
	TAILQ_INIT(&pool->login_waiters);
	lane__lock(l, 0);
	TAILQ_INSERT_TAIL(&l->pools, pool, of_ledger);
	lane__finish(l);
	return pool;
}

void lane_pool_free(struct lane_ledger *l, struct lane_pool **pool_p)
{
	struct lane_pool *pool = *pool_p;

	if (pool == NULL)
		return;
	lane__lock(l, 0);
	MUST(pool->n_permits == 0 && pool->n_waiting == 0 && pool->n_idle == 0 &&
		pool->n_claimed == 0);
	TAILQ_REMOVE(&l->pools, pool, of_ledger);
	lane__finish(l);
	mem_free(pool->groups);
	mem_free(pool);
	*pool_p = NULL;
}

/* Waiters of a pool that may be unable to use a permit wait in groups of their own. */
static void set_limit(struct lane_ledger *l, struct lane_pool *pool, uint32_t limit, bool is_held)
{
	if (limit == pool->limit && is_held == pool->is_held)
		return;
	pool->limit = limit;
	pool->is_held = is_held;
	lane__regroup(l, pool, is_held && limit == 0 ? UINT32_MAX : limit);
	l->lanes_to_serve = lane__all(l);
}

void lane_pool_limit(struct lane_ledger *l, struct lane_pool *pool, uint32_t max_servers)
{
	lane__lock(l, 0);
	set_limit(l, pool, max_servers, pool->is_held);
	lane__finish(l);
}

void lane_pool_hold(struct lane_ledger *l, struct lane_pool *pool, bool is_held)
{
	lane__lock(l, 0);
	set_limit(l, pool, pool->limit, is_held);
	lane__finish(l);
}
