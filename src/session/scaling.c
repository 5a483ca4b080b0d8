/* SPDX-License-Identifier: ISC */
#include "session/scaling.h"

#include "base/clock.h"
#include "base/log.h"
#include "session/client.h"
#include "session/pool.h"
#include "session/server.h"
#include "session/worker.h"

void scaling_init(struct scaling *scaling)
{
	MUST(pthread_mutex_init(&scaling->lock, NULL) == 0);
	scale_init(&scaling->scale);
}

static void lock(struct scaling *scaling)
{
	MUST(pthread_mutex_lock(&scaling->lock) == 0);
}

static void unlock(struct scaling *scaling)
{
	MUST(pthread_mutex_unlock(&scaling->lock) == 0);
}

/* ---- readings ---- */

static struct scale_settings settings_of(const struct config *config)
{
	return (struct scale_settings){
		.budget = config->budget,
		.warm_min = config->warm_min,
		.step = config->scale_step,
		.threshold_permille = config->scale_threshold_permille,
		.down_delay_us = config->scale_down_delay_us,
	};
}

static struct scale_reading read_now(struct cluster *cluster)
{
	struct scale_reading reading = {.now_us = clock_mono_us()};
	struct lane_reading lanes[LANE_MAX];
	struct lane_totals totals;
	unsigned i, n = lane_read(cluster->ledger, lanes, &totals);

	for (i = 0; i < n; i++)
		reading.in_use += lanes[i].in_use;
	reading.open = totals.slots - totals.n_closing;
	for (i = 0; i < cluster->n_workers; i++) {
		reading.n_clients += STAT_READ(cluster->workers[i].n_pool_clients);
		reading.kept += STAT_READ(cluster->workers[i].n_kept);
	}
	return reading;
}

/* ---- telling; the lock is held ---- */

static void tell(struct cluster *cluster, const struct scale_decision *decision,
	const struct scale_reading *reading)
{
	struct scaling *scaling = &cluster->scaling;
	bool is_bad = decision->event == SCALE_SHRINK;

	scaling->lines[scaling->n_lines++ % SCALING_LINES] = (struct scaling_line){
		.wall_us = clock_wall_us(),
		.decision = *decision,
		.open = reading->open,
		.in_use = reading->in_use,
		.effective = scaling->scale.effective,
	};
	log_rated(is_bad ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "scaling: %s %u: %s",
		scale_event_name(decision->event), decision->n, decision->why);
}

unsigned scaling_read(struct cluster *cluster, uint32_t budget,
	struct scaling_line *present_r, struct scaling_line lines[SCALING_LINES])
{
	struct scaling *scaling = &cluster->scaling;
	struct scale_reading now = read_now(cluster);
	unsigned i, n;

	lock(scaling);
	*present_r = (struct scaling_line){
		.wall_us = clock_wall_us(),
		.open = now.open,
		.in_use = now.in_use,
		.effective = MIN_OF(budget, scaling->scale.effective),
	};
	n = (unsigned)MIN_OF(scaling->n_lines, (uint64_t)SCALING_LINES);
	for (i = 0; i < n; i++)
		lines[i] = scaling->lines[(scaling->n_lines - 1 - i) % SCALING_LINES];
	unlock(scaling);
	return n;
}

/* ---- the whole: worker 0 ---- */

static void close_surplus(struct worker *worker, uint32_t n, uint32_t keep)
{
	struct lane_idle *idle;

	while (n-- > 0 && (idle = lane_surplus_idle(worker->cluster->ledger, keep)) != NULL)
		server_claimed(worker, idle, NULL);
}

static void decide(struct worker *worker)
{
	struct cluster *cluster = worker->cluster;
	struct scaling *scaling = &cluster->scaling;
	struct scale_settings settings = settings_of(worker_config(worker));
	struct scale_reading now = read_now(cluster);
	struct scale_decision decision;
	uint32_t n_to_close = 0;

	lock(scaling);
	if (scale_probe(&scaling->scale, &settings, now.now_us, &decision)) {
		lane_limit_budget(cluster->ledger, scaling->scale.effective);
		tell(cluster, &decision, &now);
	}
	if (scale_open_or_close(&scaling->scale, &settings, &now, &decision)) {
		n_to_close = decision.event == SCALE_DOWN ? decision.n : 0;
		tell(cluster, &decision, &now);
	}
	STAT_SET(scaling->logins_are_warm, scaling->scale.aim_is_warm);
	STAT_SET(scaling->n_logins, scale_logins(&scaling->scale, &now));
	unlock(scaling);
	close_surplus(worker, n_to_close, now.open - n_to_close);
}

/* ---- opening: each worker ---- */

static bool take_login(struct scaling *scaling)
{
	uint32_t n = STAT_READ(scaling->n_logins);

	while (n > 0 && !__atomic_compare_exchange_n(&scaling->n_logins, &n, n - 1, true,
				__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return n > 0;
}

static bool may_have_more(struct pool *pool, bool is_warm)
{
	uint32_t size = pool_size_of(pool);

	return pool_may_open(pool) && pool->n_awaiting_login == 0 && (is_warm || pool->use > 0) &&
	       pool->n_servers[SERVER_CONNECTING] < SCALE_LOGINS_PER_POOL &&
	       (size == 0 || STAT_READ(pool->shared->n_open) +
					     pool->n_servers[SERVER_CONNECTING] < size);
}

/* The one that was used most lately, of those that may have one more. */
static struct pool *next_pool(const struct worker *worker, bool is_warm)
{
	struct pool *pool, *best = NULL;

	for (pool = worker->pools; pool; pool = pool->next)
		if (may_have_more(pool, is_warm) && (best == NULL || pool->use > best->use))
			best = pool;
	return best;
}

static void open_ahead(struct worker *worker)
{
	struct scaling *scaling = &worker->cluster->scaling;
	bool is_warm = STAT_READ(scaling->logins_are_warm);
	struct pool *pool;

	while (STAT_READ(scaling->n_logins) > 0 && (pool = next_pool(worker, is_warm)) != NULL &&
		take_login(scaling))
		if (!pool_open_ahead(pool))
			return;
}

static void count_pools(struct worker *worker)
{
	uint32_t n_clients = 0, n_kept = 0;
	struct pool *pool;

	for (pool = worker->pools; pool; pool = pool->next) {
		n_clients += pool->n_clients;
		n_kept += pool->n_clients > 0 ? pool_min_size(pool) : 0;
	}
	STAT_SET(worker->n_pool_clients, n_clients);
	STAT_SET(worker->n_kept, n_kept);
}

void scaling_tick(struct worker *worker)
{
	count_pools(worker);
	if (worker->index == 0)
		decide(worker);
	if (!worker->draining)
		open_ahead(worker);
}

/* ---- logins that succeed and fail ---- */

/* Others may wait for it. */
static bool serves_others(const struct server *server)
{
	return !server->replication && !server_is(server, SERVER_OF_LISTENER);
}

void scaling_server_open(struct server *server)
{
	struct cluster *cluster = server->worker->cluster;
	struct scaling *scaling = &cluster->scaling;

	server_set(server, SERVER_OPEN);
	if (LIKELY(serves_others(server)))
		__atomic_add_fetch(&server->pool->shared->n_open, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&scaling->n_alive, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&scaling->n_open, 1, __ATOMIC_RELAXED);
	lock(scaling);
	if (scale_logged_in(&scaling->scale, STAT_READ(scaling->n_open), clock_mono_us()))
		lane_limit_budget(cluster->ledger, scaling->scale.effective);
	unlock(scaling);
}

void scaling_server_closing(struct server *server)
{
	if (!server_is(server, SERVER_OPEN))
		return;
	if (LIKELY(serves_others(server)) &&
		__atomic_sub_fetch(&server->pool->shared->n_open, 1, __ATOMIC_RELAXED) == 0)
		pool_let_go(server->pool);
	__atomic_sub_fetch(&server->worker->cluster->scaling.n_alive, 1, __ATOMIC_RELAXED);
}

void scaling_server_gone(struct server *server)
{
	if (server_is(server, SERVER_OPEN))
		__atomic_sub_fetch(
			&server->worker->cluster->scaling.n_open, 1, __ATOMIC_RELAXED);
}

void scaling_refused(struct worker *worker)
{
	struct cluster *cluster = worker->cluster;
	struct scaling *scaling = &cluster->scaling;
	struct scale_settings settings = settings_of(worker_config(worker));
	struct scale_reading now = read_now(cluster);
	struct scale_decision decision;

	lock(scaling);
	if (scale_refused(&scaling->scale, &settings, STAT_READ(scaling->n_open), now.now_us,
		    &decision))
		tell(cluster, &decision, &now);
	lane_limit_budget(cluster->ledger, scaling->scale.effective);
	unlock(scaling);
}
