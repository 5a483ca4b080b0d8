/* SPDX-License-Identifier: ISC */
#include "session/login_turn.h"

#include "session/client.h"
#include "session/replica.h"
#include "session/server.h"

#define PART_OF_A_POOL 4u /* the fourth part of all */

/* ---- who may ---- */

static uint32_t share_of(const struct worker *worker)
{
	uint32_t n_workers = worker->cluster->n_workers;

	return (worker_config(worker)->max_server_logins + n_workers - 1) / n_workers;
}

/* A login has failed a moment ago, and none has succeeded since. */
static bool is_failing(const struct pool *pool)
{
	return STAT_READ(pool->shared->failed_until_us) > loop_now_us(&pool->worker->loop);
}

/* Where one has failed, those that are under way say whether others are worth trying. */
static bool is_its_turn(const struct pool *pool)
{
	const struct worker *worker = pool->worker;
	uint32_t n = pool->n_logins, share = share_of(worker);

	if (share == 0 || n == 0)
		return true;
	return worker->n_logins < share && n < MAX_OF(share / PART_OF_A_POOL, 1) &&
	       !is_failing(pool);
}

/* ---- who waits ---- */

static void join(struct client *client)
{
	client_set(client, CLIENT_AWAITS_LOGIN);
	TAILQ_INSERT_TAIL(&client->worker->awaiting_login, client, login_link);
	client_target(client)->n_awaiting_login++;
	pool_join(client_target(client));
}

void login_turn_leave(struct client *client)
{
	if (LIKELY(!client_is(client, CLIENT_AWAITS_LOGIN)))
		return;
	client_unset(client, CLIENT_AWAITS_LOGIN);
	TAILQ_REMOVE(&client->worker->awaiting_login, client, login_link);
	client_target(client)->n_awaiting_login--;
	pool_leave(client_target(client));
}

static void begin(struct client *client)
{
	struct server *server = server_new(client_target(client));

	server->replication = client->replication;
	server->client = client;
	client->server = server;
	server_connect(server);
}

void login_turn(struct client *client)
{
	const struct pool *pool = client_target(client);

	if (client->replication || (pool->n_awaiting_login == 0 && is_its_turn(pool))) {
		begin(client);
		return;
	}
	join(client);
	lane_login_wait(client->worker->cluster->ledger, &client->ticket,
		loop_now_us(&client->worker->loop));
}

static struct client *next_turn(const struct worker *worker)
{
	struct client *client;

	TAILQ_FOREACH(client, &worker->awaiting_login, login_link)
	{
		if (is_its_turn(client_target(client)))
			return client;
	}
	return NULL;
}

/* As if its own login had been the one that failed. */
static void fail(struct client *client)
{
	struct shared_pool *shared = client_target(client)->shared;
	struct pgw_fault fault;

	if (client->target) {
		replica_route_again(client);
	} else if (STAT_READ(shared->n_open) > 0) {
		client_wait_again(client);
	} else {
		registry_lock();
		fault = shared->last_failure;
		registry_unlock();
		client_server_failed(client, &fault);
	}
}

static void on_turn(struct task *task)
{
	struct worker *worker = CONTAINER_OF(task, struct worker, login_task);
	struct client *client;

	while ((client = next_turn(worker)) != NULL) {
		login_turn_leave(client);
		if (is_failing(client_target(client)))
			fail(client);
		else if (lane_login_begin(worker->cluster->ledger, &client->ticket,
				 loop_now_us(&worker->loop)) == LANE_GRANTED)
			begin(client);
	}
}

void login_turn_began(const struct server *server)
{
	if (UNLIKELY(server->replication))
		return;
	server->pool->n_logins++;
	server->worker->n_logins++;
}

void login_turn_over(const struct server *server)
{
	struct worker *worker = server->worker;

	if (UNLIKELY(server->replication))
		return;
	server->pool->n_logins--;
	worker->n_logins--;
	if (UNLIKELY(!TAILQ_EMPTY(&worker->awaiting_login)))
		loop_task(&worker->loop, &worker->login_task, on_turn);
}

void login_turn_init(struct worker *worker)
{
	TAILQ_INIT(&worker->awaiting_login);
}

void login_turn_release(struct worker *worker)
{
	MUST(TAILQ_EMPTY(&worker->awaiting_login) && worker->n_logins == 0);
	loop_task_drop(&worker->loop, &worker->login_task);
}
