/* SPDX-License-Identifier: ISC */
#include "session/replica.h"

#include "base/clock.h"
#include "base/mem.h"
#include "classify/only_reads.h"
#include "session/server.h"
#include "session/walk.h"

#define READ_ONLY_PARAM "default_transaction_read_only"

/* ---- which statements ---- */

static bool param_is(const struct client *client, const char *name, const char *value)
{
	const char *found = param_set_get(client->params, name);

	return found && strcasecmp(found, value) == 0;
}

static bool is_read_only_session(const struct client *client)
{
	return param_is(client, READ_ONLY_PARAM, "on");
}

/* A hot standby has no serializable transactions. */
static bool is_serializable(const struct client *client)
{
	return param_is(client, "default_transaction_isolation", "serializable");
}

static bool may_serve(
	const struct client *client, const struct statement_route *route, bool neutral)
{
	if (client->state == CLIENT_EXPECT_WELCOME || client_is(client, CLIENT_RUNS_AGAIN) ||
		is_serializable(client) || route->actions != 0) /* notes are writes, and hits are of the session */
		return false;
	if (client_is(client, CLIENT_SESSION))
		return is_read_only_session(client);
	if (neutral)
		return false;
	switch ((enum client_xact)client->xact) {
	case XACT_NONE:
		return route->reads == READS;
	case XACT_DEFERRED:
		return route->reads != READS_NOT &&
		       begins_read_only(client->begin, strlen(client->begin),
			       is_read_only_session(client));
	case XACT_SERVER:
	case XACT_FAILED:
	default:
		return false;
	}
}

bool replica_wants_session(const struct client *client)
{
	const struct config *config = worker_config(client->worker);
	struct statement_route route;

	if (!client_is(client, CLIENT_SESSION) || client->replication || !config->targets_replica ||
		!is_read_only_session(client) || is_serializable(client))
		return false;
	route = feed_session_route(client);
	return feed_targets_replica(client, &route);
}

/* ---- which replica ---- */

static bool is_usable(const struct pool *pool, const struct config_lane *lane)
{
	const struct shared_pool *shared = pool->shared;
	const struct replica_status *status = &shared->database->replica;

	return STAT_READ(status->state) == REPLICA_UP &&
	       (lane->max_lag_us == 0 || STAT_READ(status->lag_us) <= lane->max_lag_us) &&
	       !STAT_READ(shared->database->disabled) && !pool_is_paused(pool) &&
	       STAT_READ(shared->failed_until_us) <= loop_now_us(&pool->worker->loop);
}

static uint32_t n_busy(const struct pool *pool)
{
	return pool->n_servers[SERVER_LINKED] + pool->n_servers[SERVER_CONNECTING];
}

/* The one that this worker has least in use, of several in turn. */
static struct pool *least_in_use(struct pool *primary, const struct config_lane *lane)
{
	struct pool *best = NULL, *pool;
	unsigned i, at;

	for (i = 0; i < primary->n_replicas; i++) {
		at = (primary->next_replica + i) % primary->n_replicas;
		pool = primary->replicas[at];
		if (!is_usable(pool, lane) || (best && n_busy(pool) >= n_busy(best)))
			continue;
		best = pool;
	}
	primary->next_replica++;
	return best;
}

enum choice {
	CHOICE_PRIMARY, /* the statement's place, or that of all when no replica can be used */
	CHOICE_REPLICA,
	CHOICE_WAIT, /* replica_fallback = queue, and none can be used */
};

static void count_fallback(const struct pool *primary)
{
	unsigned i;

	for (i = 0; i < primary->n_replicas; i++)
		__atomic_add_fetch(&primary->replicas[i]->shared->database->replica.n_fallbacks, 1,
			__ATOMIC_RELAXED);
}

static enum choice choose(const struct client *client, const struct config_lane *lane,
	const struct statement_route *route, bool neutral, struct pool **pool_r)
{
	struct pool *primary = client->pool, *replica;

	*pool_r = primary;
	if (!may_serve(client, route, neutral))
		return CHOICE_PRIMARY;
	pool_find_replicas(primary);
	if (primary->n_replicas == 0)
		return CHOICE_PRIMARY;
	replica = least_in_use(primary, lane);
	if (replica) {
		*pool_r = replica;
		return CHOICE_REPLICA;
	}
	if (lane->replica_fallback == FALLBACK_QUEUE)
		return CHOICE_WAIT;
	count_fallback(primary);
	return CHOICE_PRIMARY;
}

/* It stays a member of the pool, which must be there as long as its ticket is. */
static void set_target(struct client *client, struct pool *pool)
{
	struct pool *target = pool == client->pool ? NULL : pool;

	if (target)
		pool_join(target);
	if (client->target)
		pool_leave(client->target);
	client->target = target;
}

bool replica_find_target(struct client *client, unsigned lane,
	const struct statement_route *route, bool neutral)
{
	const struct config_lane *its = &worker_config(client->worker)->lanes[lane];
	struct pool *pool = client->pool;
	enum choice choice = CHOICE_PRIMARY;

	if (its->target == TARGET_REPLICA)
		choice = choose(client, its, route, neutral, &pool);
	set_target(client, pool);
	return choice != CHOICE_WAIT;
}

void replica_linked(struct client *client, struct server *server)
{
	MUST(server->pool == client->target);
	__atomic_add_fetch(
		&server->pool->shared->database->replica.n_statements, 1, __ATOMIC_RELAXED);
}

struct param_set *replica_params(const struct client *client)
{
	struct worker *worker = client->worker;

	if (worker->replica_asked != client->params) {
		param_set_unref(&worker->replica_asked);
		param_set_unref(&worker->replica_params);
		worker->replica_asked = param_set_ref(client->params);
		worker->replica_params = param_set_with(client->params, READ_ONLY_PARAM, "on");
	}
	return worker->replica_params;
}

bool replica_is_our_param(const char *name)
{
	return strcmp(name, READ_ONLY_PARAM) == 0;
}

/* ---- on the primary after all ---- */

void replica_keep(struct client *client, const uint8_t *bytes, size_t n)
{
	struct server *server = client->server;

	MUST(server->kept == NULL);
	server->kept = mem_zalloc(sizeof(*server->kept));
	server->kept->bytes = input_new(bytes, n);
	server->kept->unnamed = client->unnamed;
	if (client->unnamed)
		client->unnamed->refs++;
}

void replica_forget(struct server *server)
{
	statement_unref(&server->worker->statements, &server->kept->unnamed);
	mem_free(server->kept->bytes);
	mem_free(server->kept);
	server->kept = NULL;
}

void replica_answer_left(struct server *server)
{
	uint32_t n_confirmed = server->kept->n_confirmed;

	replica_forget(server);
	if (server->client)
		client_names_confirmed(server->client, n_confirmed);
}

static bool is_of_replicas_only(const char *sqlstate)
{
	return strcmp(sqlstate, "25006") == 0 || strcmp(sqlstate, "40001") == 0;
}

/* The statement's own reply is at the front, and its ReadyForQuery will come. */
static bool will_be_ready(struct server *server)
{
	const struct expect *expect;
	uint32_t i;

	for (i = 0; i < server->expects.n; i++) {
		expect = expect_at(&server->expects, i);
		if (expect->kind == EXPECT_QUERY || expect->kind == EXPECT_SYNC)
			return !(expect->flags & EXPECT_SWALLOW);
	}
	return false;
}

bool replica_refused(struct walk *walk, const char *sqlstate)
{
	struct server *server = walk->server;
	struct client *client = walk->client;

	if (client == NULL || client->state != CLIENT_LINKED || server->n_cancels > 0 ||
		!is_of_replicas_only(sqlstate) || !will_be_ready(server) ||
		!gather_drop(walk_out(walk)))
		return false;
	server_set(server, SERVER_RUNS_AGAIN);
	if (strcmp(sqlstate, "25006") == 0)
		feed_batch_writes(client, server->kept->bytes);
	client_names_failed(client, UINT32_MAX);
	__atomic_add_fetch(
		&server->pool->shared->database->replica.n_reruns, 1, __ATOMIC_RELAXED);
	return true;
}

void replica_run_again(struct server *server)
{
	struct client *client = server->client;
	struct input *kept, *waiting;
	size_t n_kept, n_waiting;

	server_unset(server, SERVER_RUNS_AGAIN);
	if (client == NULL || client->state != CLIENT_LINKED)
		return;
	kept = server->kept->bytes;
	client_unnamed_is(client, server->kept->unnamed);
	server->kept->bytes = NULL;
	server->kept->unnamed = NULL;
	replica_forget(server);
	waiting = client->input;
	n_kept = input_bytes(kept);
	n_waiting = input_bytes(waiting);
	client_unset(client, CLIENT_AWAITS_READY | CLIENT_EXTENDED);
	timer_stop(&client->timer);
	client->query_start_us = client->xact_start_us = 0;
	client_set(client, CLIENT_RUNS_AGAIN);
	client->input = kept;
	if (n_waiting > 0) {
		client->input = mem_realloc(kept, sizeof(*kept) + n_kept + n_waiting);
		client->input->cap = client->input->len = n_kept + n_waiting;
		memcpy(client->input->data + n_kept, waiting->data + waiting->at, n_waiting);
	}
	mem_free(waiting);
}

/* ---- news ---- */

void replica_route_again(struct client *client)
{
	uint64_t since_us = client->wait_start_us;

	client->wait_start_us = 0; /* the wait goes on: it is counted when it is over */
	client_stop_waiting(client);
	client->wait_start_us = since_us;
	client_to(client, CLIENT_IDLE);
	client_resume(client);
}

void replica_leave(struct client *client)
{
	client->server = NULL;
	(void)!lane_release(client->worker->cluster->ledger, &client->ticket, NULL,
		loop_now_us(&client->worker->loop));
	replica_route_again(client);
}

static bool waits_in_vain(const struct client *client)
{
	const struct config *config = worker_config(client->worker);

	/* What is promised arrives; a server that is its own, it waits with for another lane. */
	if (client->target == NULL || client_is(client, CLIENT_PROMISED) ||
		(client->server && client->server->state != SERVER_CONNECTING))
		return false;
	return !is_usable(client->target, &config->lanes[client->ticket.home_lane]);
}

void replica_changed(struct worker *worker)
{
	struct client *client, *next;
	struct pool *pool;

	for (pool = worker->pools; pool; pool = pool->next)
		TAILQ_FOREACH_SAFE(client, &pool->waiting, wait_link, next)
		{
			if (client->state == CLIENT_WAITING &&
				(client_is(client, CLIENT_PARKED) ? !pool_is_paused(pool)
								  : waits_in_vain(client)))
				replica_route_again(client);
		}
}

static void on_changed(struct mail *mail, void *owner)
{
	mem_free(mail);
	replica_changed(owner);
}

void replica_tell(struct cluster *cluster)
{
	unsigned i;

	for (i = 0; i < cluster->n_workers; i++) {
		struct mail *mail = mem_zalloc(sizeof(*mail));

		mailbox_post(&cluster->workers[i].mailbox, mail, on_changed);
	}
}
