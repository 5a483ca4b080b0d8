/* SPDX-License-Identifier: ISC */
#include "session/pool.h"

#include "base/clock.h"
#include "base/mem.h"
#include "session/server.h"

#define UNUSED_MAX 1024u /* pools without members that a worker keeps for autodb_idle_timeout */

struct pool *pool_of(struct worker *worker, const char *database, const char *user)
{
	struct pool *pool;
	unsigned i;

	for (pool = worker->pools; pool; pool = pool->next)
		if (strcmp(pool->shared->database->name, database) == 0 &&
			strcmp(pool->shared->user->name, user) == 0)
			return pool;
	pool = mem_zalloc(sizeof(*pool));
	pool->id = worker_new_id(worker);
	pool->worker = worker;
	pool->shared = registry_pool(database, user);
	pool->hash = pgw_hash128_more(
		pgw_hash128(database, strlen(database), worker->cluster->hash_seed), user,
		strlen(user));
	for (i = 0; i < N_SERVER_STATES; i++)
		TAILQ_INIT(&pool->servers[i]);
	TAILQ_INIT(&pool->waiting);
	pool_learn(pool);
	pool->next = worker->pools;
	worker->pools = pool;
	return pool;
}

void pool_learn(struct pool *pool)
{
	const struct catalog *known =
		catalogs_known(pool->worker->catalogs, pool->shared->database->name);

	if (known == pool->catalog)
		return;
	pool->catalog = known;
	pool->id = worker_new_id(pool->worker);
}

void pool_each(struct worker *worker, void (*visit)(void *arg, struct pool *pool), void *arg)
{
	struct pool *pool;

	for (pool = worker->pools; pool; pool = pool->next)
		visit(arg, pool);
}

void pool_join(struct pool *pool)
{
	pool->n_members++;
	pool->unused_since_us = 0;
}

void pool_leave(struct pool *pool)
{
	pool->n_members--;
}

static void leave_replicas(struct pool *pool)
{
	unsigned i;

	for (i = 0; i < pool->n_replicas; i++)
		pool_leave(pool->replicas[i]);
	mem_free(pool->replicas);
	pool->replicas = NULL;
	pool->n_replicas = 0;
}

void pool_find_replicas(struct pool *pool)
{
	const struct config_database *entry = pool_entry(pool);
	char **names = entry ? entry->replicas : NULL;
	struct pool *replica;

	if (LIKELY(pool->replicas_of == pool->worker->settings->serial))
		return;
	pool->replicas_of = pool->worker->settings->serial;
	leave_replicas(pool);
	if (names == NULL)
		return;
	pool->replicas = mem_zalloc(CONFIG_REPLICAS_MAX * sizeof(struct pool *));
	for (; *names; names++) {
		replica = pool_of(pool->worker, *names, pool->shared->user->name);
		pool_join(replica);
		pool_limit(replica);
		pool->replicas[pool->n_replicas++] = replica;
	}
}

/* The first of the list at `at`. */
static void free_pool(struct pool **at)
{
	struct pool *pool = *at;
	unsigned i;

	*at = pool->next;
	leave_replicas(pool);
	for (i = 0; i < N_SERVER_STATES; i++)
		MUST(pool->n_servers[i] == 0);
	shared_pool_unref(&pool->shared);
	mem_free(pool);
}

void pool_free_all(struct worker *worker)
{
	struct pool *pool;

	for (pool = worker->pools; pool; pool = pool->next)
		leave_replicas(pool);
	while (worker->pools)
		free_pool(&worker->pools);
}

/* Of such names there are as many as clients can think of. */
static bool is_automatic(struct pool *pool)
{
	const struct config *config = worker_config(pool->worker);
	const struct config_database *entry = pool_entry(pool);
	const char *user = pool->shared->user->name;

	return entry == NULL || strcmp(entry->name, "*") == 0 ||
	       config_find_secret(config, user) == NULL;
}

void pool_sweep(struct worker *worker, uint64_t now_us)
{
	uint64_t limit_us = worker_config(worker)->autodb_idle_timeout_us;
	struct pool **at = &worker->pools, *pool;
	unsigned n_kept = 0;

	while ((pool = *at) != NULL) {
		if (pool->n_members == 0 && pool->unused_since_us == 0)
			pool->unused_since_us = now_us;
		if (pool->n_members == 0 && is_automatic(pool) &&
			(n_kept == UNUSED_MAX ||
				(limit_us > 0 && now_us - pool->unused_since_us >= limit_us))) {
			pool_stats_add(&worker->forgotten, &pool->stats);
			free_pool(at);
			continue;
		}
		n_kept += pool->n_members == 0 && is_automatic(pool);
		at = &pool->next;
	}
}

const struct config_database *pool_entry(struct pool *pool)
{
	const struct settings *settings = pool->worker->settings;

	if (UNLIKELY(pool->entry_of != settings->serial)) {
		pool->entry_of = settings->serial;
		pool->entry = config_find_database(settings->config, pool->shared->database->name);
	}
	return pool->entry;
}

const struct config_user *pool_user(struct pool *pool)
{
	const struct settings *settings = pool->worker->settings;

	if (UNLIKELY(pool->user_of != settings->serial)) {
		pool->user_of = settings->serial;
		pool->user = config_find_user(settings->config, pool->shared->user->name);
	}
	return pool->user;
}

bool pool_is_paused(const struct pool *pool)
{
	return STAT_READ(pool->worker->cluster->paused_all) ||
	       STAT_READ(pool->shared->database->paused);
}

enum pool_mode pool_mode_of(struct pool *pool)
{
	const struct config *config = worker_config(pool->worker);
	const struct config_user *user = config_find_user(config, pool->shared->user->name);
	const struct config_database *entry = pool_entry(pool);

	if (user && user->pool_mode != POOL_MODE_UNSET)
		return user->pool_mode;
	if (entry && entry->pool_mode != POOL_MODE_UNSET)
		return entry->pool_mode;
	return config->pool_mode;
}

static uint32_t smaller_limit(uint32_t a, uint32_t b)
{
	return a == 0 || b == 0 ? a + b : MIN_OF(a, b);
}

/* One mechanism for all limits that PgBouncer has on servers: the smallest that is set caps the
 * pool in the ledger. */
uint32_t pool_size_of(struct pool *pool)
{
	const struct config *config = worker_config(pool->worker);
	const struct config_user *user = config_find_user(config, pool->shared->user->name);
	const struct config_database *entry = pool_entry(pool);
	uint32_t size = config->default_pool_size, reserve = config->reserve_pool_size;
	uint32_t of_database = config->max_db_connections, of_user = config->max_user_connections;

	if (entry && entry->pool_size != CONFIG_INHERIT)
		size = entry->pool_size;
	if (user && user->pool_size != CONFIG_INHERIT)
		size = user->pool_size;
	if (entry && entry->reserve_pool_size != CONFIG_INHERIT)
		reserve = entry->reserve_pool_size;
	if (user && user->reserve_pool_size != CONFIG_INHERIT)
		reserve = user->reserve_pool_size;
	if (entry && entry->max_db_connections != CONFIG_INHERIT)
		of_database = entry->max_db_connections;
	if (user && user->max_user_connections != CONFIG_INHERIT)
		of_user = user->max_user_connections;
	return smaller_limit(size ? size + reserve : 0, smaller_limit(of_database, of_user));
}

void pool_limit(struct pool *pool)
{
	struct lane_pool *replication = shared_pool_replication(pool->shared, false);
	uint32_t size = pool_size_of(pool);

	lane_pool_limit(pool->worker->cluster->ledger, pool->shared->lane_pool, size);
	if (replication)
		lane_pool_limit(pool->worker->cluster->ledger, replication, size);
}

static bool is_idle_too_long(
	const struct server *server, const struct config *config, uint64_t now_us)
{
	uint64_t lifetime_us = config->server_lifetime_us;
	const struct config_database *entry = pool_entry(server->pool);

	if (entry && entry->server_lifetime_us != CONFIG_INHERIT_US)
		lifetime_us = entry->server_lifetime_us;
	return entry == NULL ||
	       (config->server_idle_timeout_us > 0 &&
		       now_us - server->idle_since_us > config->server_idle_timeout_us) ||
	       (lifetime_us > 0 && now_us - server->connect_us > lifetime_us) ||
	       server->epoch != STAT_READ(server->pool->shared->epoch);
}

uint32_t pool_min_size(struct pool *pool)
{
	const struct config_database *entry = pool_entry(pool);

	if (entry && entry->min_pool_size != CONFIG_INHERIT)
		return entry->min_pool_size;
	return worker_config(pool->worker)->min_pool_size;
}

static uint32_t n_open(const struct pool *pool)
{
	uint32_t n = 0;
	unsigned i;

	for (i = 0; i < N_SERVER_STATES; i++)
		n += i == SERVER_CLOSING || i == SERVER_LISTENING ? 0 : pool->n_servers[i];
	return n;
}

bool pool_may_open(struct pool *pool)
{
	return pool->n_clients > 0 && !pool_is_paused(pool) &&
	       STAT_READ(pool->shared->failed_until_us) <= clock_mono_us();
}

bool pool_open_ahead(struct pool *pool)
{
	struct server *server;

	if (!lane_slot_try(pool->worker->cluster->ledger))
		return false;
	server = server_new(pool);
	server_set(server, SERVER_ORPHAN);
	server_connect(server);
	return true;
}

void pool_hold(struct pool *pool)
{
	struct shared_pool *shared = pool->shared;

	STAT_SET(shared->is_held, true);
	lane_pool_hold(pool->worker->cluster->ledger, shared->lane_pool, true);
}

void pool_let_go(struct pool *pool)
{
	if (__atomic_exchange_n(&pool->shared->is_held, false, __ATOMIC_RELAXED))
		lane_pool_hold(
			pool->worker->cluster->ledger, pool->shared->lane_pool, false);
}

/* warm_min: idle servers stay as long as there are no more. */
static bool is_kept_warm(const struct pool *pool, const struct config *config)
{
	return STAT_READ(pool->shared->database->n_clients) > 0 &&
	       STAT_READ(pool->worker->cluster->scaling.n_alive) <= config->warm_min;
}

/* An eighth of what was is forgotten each second. */
static void measure_use(struct pool *pool)
{
	uint64_t n = STAT_READ(pool->stats.server_assignment_count);

	pool->use = pool->use * 7 / 8 + (n - pool->assignments_seen) +
		    pool->n_servers[SERVER_LINKED] + pool->n_waiting;
	pool->assignments_seen = n;
}

void pool_janitor(struct pool *pool, uint64_t now_us)
{
	const struct config *config = worker_config(pool->worker);
	struct server *server, *next;
	unsigned i;

	TAILQ_FOREACH_SAFE(server, &pool->servers[SERVER_IDLE], link, next)
	{
		if (pool_is_paused(pool) ||
			(is_idle_too_long(server, config, now_us) &&
				((n_open(pool) > pool_min_size(pool) &&
					 !is_kept_warm(pool, config)) ||
					pool_entry(pool) == NULL ||
					server->epoch != STAT_READ(pool->shared->epoch))))
			server_close_idle(server);
	}
	for (i = 0; i < N_SERVER_STATES; i++)
		if (i != SERVER_CONNECTING)
			TAILQ_FOREACH(server, &pool->servers[i], link)
	server_look_for_reset(server);
	measure_use(pool);
	if (now_us >= STAT_READ(pool->shared->failed_until_us))
		pool_let_go(pool);
	/* min_pool_size: one more a second. */
	if (pool_may_open(pool) && n_open(pool) < pool_min_size(pool))
		(void)pool_open_ahead(pool);
}

void pool_roll_period(struct pool *pool)
{
#define ROLL(name, help)                                                                           \
	pool->period.name = pool->stats.name - pool->period_start.name;                            \
	pool->period_start.name = pool->stats.name;
	POOL_STATS(ROLL)
#undef ROLL
}

bool pool_has_copy(const struct pool *pool, struct pgw_hash128 hash)
{
	static const enum server_state states[] = {SERVER_IDLE, SERVER_LINKED};
	const struct server *server;
	unsigned i;

	for (i = 0; i < N_ELEMENTS(states); i++) {
		TAILQ_FOREACH(server, &pool->servers[states[i]], link)
		{
			if (server_copies_has(&server->copies, hash))
				return true;
		}
	}
	return false;
}
