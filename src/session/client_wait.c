/* SPDX-License-Identifier: ISC */
/*
 * From a statement to its server: the permit of its lane, then an idle server, one of another
 * worker, or a new one in a slot. The ledger decides; this file carries it out. Whatever happens to
 * the client meanwhile, everything it was given goes back.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "session/client.h"
#include "session/feed.h"
#include "session/login_turn.h"
#include "session/pin.h"
#include "session/replay.h"
#include "session/replica.h"
#include "session/replication.h"
#include "session/sequence.h"
#include "session/server.h"
#include "session/sql_agree.h"

/* Its error is read in PostgreSQL's log. */
#define FAILED_TRANSACTION "BEGIN;SELECT 'this transaction failed in pglane'::pg_catalog.int4"

static void enter_queue(struct client *client)
{
	if (client_is(client, CLIENT_QUEUED_HERE))
		return;
	client_set(client, CLIENT_QUEUED_HERE);
	TAILQ_INSERT_TAIL(&client->pool->waiting, client, wait_link);
	client->pool->n_waiting++;
}

static void leave_queue(struct client *client)
{
	login_turn_leave(client);
	if (!client_is(client, CLIENT_QUEUED_HERE))
		return;
	client_unset(client, CLIENT_QUEUED_HERE);
	TAILQ_REMOVE(&client->pool->waiting, client, wait_link);
	client->pool->n_waiting--;
}

/* The longest it may wait: user over database over lane over the whole. */
static uint64_t queue_timeout_us(const struct client *client, unsigned lane)
{
	const struct config *config = worker_config(client->worker);
	const struct config_user *user = config_find_user(config, client->pool->shared->user->name);
	const struct config_database *database = pool_entry(client->pool);

	if (user && user->query_wait_timeout_us != CONFIG_INHERIT_US)
		return user->query_wait_timeout_us;
	if (database && database->query_wait_timeout_us != CONFIG_INHERIT_US)
		return database->query_wait_timeout_us;
	if (config->lanes[lane].queue_timeout_us != CONFIG_INHERIT_US)
		return config->lanes[lane].queue_timeout_us;
	if (config->query_wait_timeout_us > 0)
		return MIN_OF(config->query_wait_timeout_us,
			config->queue_timeout_us ? config->queue_timeout_us : UINT64_MAX);
	return config->queue_timeout_us;
}

static void queue_fault(
	struct client *client, enum pgw_fault_id id, unsigned lane, struct pgw_fault *fault_r)
{
	const struct config *config = worker_config(client->worker);
	struct lane_reading readings[LANE_MAX];
	struct lane_totals totals;
	char shrunk[96] = "";
	uint64_t waited_us = client->wait_start_us
				     ? loop_now_us(&client->worker->loop) - client->wait_start_us
				     : 0;
	char estimate[40] = "unknown, none ended yet";
	uint64_t estimated_us;

	(void)lane_read(client->worker->cluster->ledger, readings, &totals);
	estimated_us = lane_estimate_wait_us(&readings[lane], client->ticket.priority);
	if (estimated_us > 0)
		(void)snprintf(estimate, sizeof(estimate), "%" PRIu64 " ms",
			(estimated_us + 999) / 1000);
	if (totals.effective < totals.budget)
		(void)snprintf(shrunk, sizeof(shrunk),
			" PostgreSQL refuses connections: %u of a budget of %u can be used.",
			totals.effective, totals.budget);
	pgw_fault_set(fault_r, id, NULL,
		"Lane %s: %u permit%s, %u in use, %u waiting; this statement waited %" PRIu64
		" ms; estimated wait of a new one: %s.%s",
		config->lanes[lane].name, readings[lane].spec.size,
		readings[lane].spec.size == 1 ? "" : "s", readings[lane].in_use,
		readings[lane].waiting, waited_us / 1000, estimate, shrunk);
}

/* The statement that waits is answered by an error; the client goes on with what it sent behind it.
 */
static void fail_waiting(struct client *client, const struct pgw_fault *fault)
{
	client_stop_waiting(client);
	if (client->state == CLIENT_EXPECT_WELCOME) {
		login_failed(client, fault);
		return;
	}
	if (client->server) /* a swap of lanes inside a transaction: that is lost */
		link_abort_transaction(client);
	if (client->state == CLIENT_GONE)
		return;
	client_to(client, CLIENT_IDLE);
	client_error(client, fault);
	client_drop_waiting_message(client);
	if (client->state == CLIENT_IDLE)
		client_resume(client);
}

static void parked_fault(const struct client *client, struct pgw_fault *fault_r)
{
	const char *database = client->pool->shared->database->name;
	uint64_t waited_us = loop_now_us(&client->worker->loop) - client->wait_start_us;

	if (pool_is_paused(client->pool))
		pgw_fault_set(fault_r, PGW_FAULT_DATABASE_PAUSED, database, NULL);
	else
		pgw_fault_set(fault_r, PGW_FAULT_QUEUE_TIMEOUT, NULL,
			"No replica of database %s can be used (SHOW REPLICAS says why); this "
			"statement waited %" PRIu64 " ms.",
			database, waited_us / 1000);
}

static void on_queue_timeout(struct timer *timer)
{
	struct client *client = CONTAINER_OF(timer, struct client, timer);
	struct pgw_fault fault;

	if (client_is(client, CLIENT_PROMISED)) { /* its server is on the way from another worker */
		loop_timer(&client->worker->loop, timer, TIMER_TICK_US, on_queue_timeout);
		return;
	}
	if (client_is(client, CLIENT_PARKED))
		parked_fault(client, &fault);
	else
		queue_fault(client, PGW_FAULT_QUEUE_TIMEOUT, client->ticket.home_lane, &fault);
	fail_waiting(client, &fault);
}

void client_cancel_waiting(struct client *client)
{
	struct pgw_fault fault;

	if (client_is(client, CLIENT_PROMISED))
		return; /* too late for the queue, too early for the server */
	pgw_fault_set(&fault, PGW_FAULT_QUEUE_CANCELED, NULL,
		"It was waiting for a permit of lane %s.",
		worker_config(client->worker)->lanes[client->ticket.home_lane].name);
	fail_waiting(client, &fault);
}

static void begin_waiting(struct client *client, unsigned lane)
{
	uint64_t limit_us = queue_timeout_us(client, lane);

	if (client->state != CLIENT_EXPECT_WELCOME) {
		client_to(client, CLIENT_WAITING);
		stream_pause(&client->stream);
	}
	enter_queue(client);
	if (client->wait_start_us == 0)
		client->wait_start_us = loop_now_us(&client->worker->loop);
	if (limit_us > 0 && !timer_is_armed(&client->timer))
		loop_timer_at(&client->worker->loop, &client->timer,
			client->wait_start_us + limit_us, on_queue_timeout);
}

/* ---- how the holder of a permit comes to its server ---- */

struct handover {
	struct mail mail;
	struct lane_idle *idle;
	struct client *client; /* NULL: close it */
	struct worker *to;
	struct server *server; /* the answer */
};

static void handover_answered(struct mail *mail, void *owner)
{
	struct handover *handover = CONTAINER_OF(mail, struct handover, mail);
	struct client *client = handover->client;
	struct server *server = handover->server;

	if (server)
		server_attach(server, handover->to, client_target(client));
	mem_free(handover);
	client_handover_arrived(client, server);
}

/* On the worker that owns the server: it was claimed for another one, or to make room. */
static void handover_asked(struct mail *mail, void *owner)
{
	struct handover *handover = CONTAINER_OF(mail, struct handover, mail);
	struct server *server = CONTAINER_OF(handover->idle, struct server, idle);
	struct worker *worker = owner;

	CHECK_MAGIC(server, SERVER_MAGIC);
	if (handover->client == NULL || server_is(server, SERVER_DIED_IDLE)) {
		server_close_claimed(server);
		handover->server = NULL;
	} else {
		server_detach(server);
		lane_claim_moved(worker->cluster->ledger, &server->idle, handover->to->index);
		handover->server = server;
	}
	if (handover->client == NULL)
		mem_free(handover);
	else
		mailbox_post(&handover->to->mailbox, &handover->mail, handover_answered);
}

/* Asks the owner of a claimed idle server for it (client), or to close it (NULL). */
void server_claimed(struct worker *worker, struct lane_idle *idle, struct client *client)
{
	struct cluster *cluster = worker->cluster;
	struct handover *handover;

	if (idle->port == worker->index && client == NULL) {
		server_close_claimed(CONTAINER_OF(idle, struct server, idle));
		return;
	}
	handover = mem_zalloc(sizeof(*handover));
	handover->idle = idle;
	handover->client = client;
	handover->to = worker;
	if (client)
		client_set(client, CLIENT_PROMISED);
	mailbox_post(&cluster->workers[idle->port].mailbox, &handover->mail, handover_asked);
}

/* The ticket holds its permit: act on its source. */
static enum want follow_source(struct client *client)
{
	struct lane_ticket *ticket = &client->ticket;
	struct worker *worker = client->worker;
	struct server *server;

	switch (ticket->source) {
	case LANE_SOURCE_OWN_IDLE:
		server = CONTAINER_OF(ticket->idle, struct server, idle);
		if (LIKELY(!server_is(server, SERVER_DIED_IDLE))) {
			link_client(client, server);
			return WANT_READY;
		}
		/* It died between the delivery and now. */
		server_bury(server);
		return lane_again(worker->cluster->ledger, ticket,
			       loop_now_us(&client->worker->loop)) == LANE_GRANTED
			       ? follow_source(client)
			       : WANT_WAIT;
	case LANE_SOURCE_FOREIGN_IDLE:
		server_claimed(worker, ticket->idle, client);
		return WANT_WAIT;
	case LANE_SOURCE_SLOT:
		login_turn(client);
		return WANT_WAIT;
	case LANE_SOURCE_EVICT:
		server_claimed(worker, ticket->idle, NULL);
		return WANT_WAIT;
	case LANE_SOURCE_AWAIT_SLOT:
		return WANT_WAIT;
	case LANE_SOURCE_NONE:
	default:
		return WANT_READY;
	}
}

void client_waited(struct client *client)
{
	if (client->wait_start_us) {
		STAT_ADD(client->pool->stats.wait_time,
			loop_now_us(&client->worker->loop) - client->wait_start_us);
		client->wait_start_us = 0;
	}
}

static void end_waiting(struct client *client)
{
	leave_queue(client);
	timer_stop(&client->timer);
	client_waited(client);
}

/* ---- the ways in ---- */

static enum want refuse(struct client *client, const struct pgw_fault *fault)
{
	if (client->state == CLIENT_EXPECT_WELCOME)
		login_failed(client, fault);
	else
		client_error(client, fault);
	client->wait_start_us = 0;
	return WANT_FAILED;
}

/* Connecting to this pool's server failed a moment ago, and none is there: say so at once. */
static bool circuit_is_open(struct client *client, struct pgw_fault *fault_r)
{
	struct shared_pool *shared = client_target(client)->shared;
	uint64_t until_us = STAT_READ(shared->failed_until_us);
	uint64_t now_us = loop_now_us(&client->worker->loop);

	/* What fails for one walsender need not for another, nor for those who are none. */
	if (until_us == 0 || client->replication || now_us >= until_us ||
		STAT_READ(shared->n_open) > 0)
		return false;
	shared_pool_last_failure(shared, now_us, until_us - now_us, fault_r);
	return true;
}

static enum want want_other_lane(struct client *client, unsigned lane, unsigned priority)
{
	struct lane_ticket *ticket = &client->ticket;
	struct pgw_fault fault;

	client_unset(client, CLIENT_LANE_NEUTRAL);
	if (lane == ticket->home_lane)
		return WANT_READY;
	if (UNLIKELY(pin_is_kept(client))) {
		/* It has a permit, and may not lose its server: the right lane's if one is free. */
		(void)!lane_hop(client->worker->cluster->ledger, ticket, lane,
			loop_now_us(&client->worker->loop));
		return WANT_READY;
	}
	/* In the middle of a batch a clock may run: that of the other lane begins with this one. */
	timer_stop(&client->timer);
	client->query_start_us = 0;
	switch (lane_swap(client->worker->cluster->ledger, ticket, lane, priority,
		loop_now_us(&client->worker->loop))) {
	case LANE_GRANTED:
		return WANT_READY;
	case LANE_QUEUED:
		begin_waiting(client, lane);
		return WANT_WAIT;
	case LANE_REFUSED:
	default:
		queue_fault(client, PGW_FAULT_QUEUE_FULL, lane, &fault);
		link_abort_transaction(client);
		return client->state == CLIENT_GONE ? WANT_FAILED : refuse(client, &fault);
	}
}

static void apply_params(struct client *client, struct server *server)
{
	inject_params(server,
		server->pool == client->pool ? client->params : replica_params(client));
}

static void watch_leaks(struct client *client, struct server *server)
{
	struct pool *pool = client->pool;

	if (UNLIKELY(pool->leak_check_of != client->worker->settings->serial))
		leak_read_policy(pool);
	if (pool->leak_check != LEAK_CHECK_OFF && !client_is(client, CLIENT_SESSION))
		leak_linked(client, server);
}

/* What must be sent ahead of its next statement. */
static enum want prepare_server(struct client *client)
{
	struct server *server = client->server;

	if (client->state == CLIENT_EXPECT_WELCOME)
		return WANT_READY; /* the login says what its parameters are */
	/* Once for each link: in a transaction of the client's they would end it. */
	if (server_is(server, SERVER_FRESH) && LIKELY(server->xact == PGW_XACT_IDLE)) {
		server_unset(server, SERVER_FRESH);
		replay_drop_old_copies(server);
		if (UNLIKELY(server->sql_names != NULL))
			sql_agree_linked(client, server);
		sequence_linked(client, server);
		watch_leaks(client, server);
		if (UNLIKELY(server->params != client->params || server->pool != client->pool))
			apply_params(client, server);
	}
	if (UNLIKELY(client->xact == XACT_FAILED)) {
		/* It failed here, and is ended by the extended protocol: the answer is that to the
		 * end of a failed transaction. */
		inject_query(server, FAILED_TRANSACTION, 0);
		client->xact = XACT_SERVER;
	}
	if (client->xact == XACT_DEFERRED) {
		inject_begin(server, client->begin);
		mem_free(client->begin);
		client->begin = NULL;
		client->xact = XACT_SERVER;
		STAT_ADD(client->pool->stats.query_count, 1);
	}
	return WANT_READY;
}

/* Its ticket's: in that of replication connections there is never an idle server. */
static struct lane_pool *account_of(const struct client *client)
{
	struct shared_pool *shared = client_target(client)->shared;

	return LIKELY(client->replication == REPLICATION_NONE)
		       ? shared->lane_pool
		       : shared_pool_replication(shared, true);
}

static enum want acquire(struct client *client, unsigned lane, unsigned priority)
{
	struct worker *worker = client->worker;
	struct pgw_fault fault;
	enum want want;

	switch (lane_acquire(worker->cluster->ledger, &client->ticket, account_of(client), lane,
		priority, worker->index, loop_now_us(&client->worker->loop))) {
	case LANE_GRANTED:
		want = follow_source(client);
		/* A server that could not even be tried has told the client already. */
		if (want == WANT_WAIT && client->state != CLIENT_GONE &&
			client->ticket.state == LANE_TICKET_NONE)
			return WANT_FAILED;
		if (want == WANT_WAIT)
			begin_waiting(client, lane);
		return want;
	case LANE_QUEUED:
		begin_waiting(client, lane);
		return WANT_WAIT;
	case LANE_REFUSED:
	default:
		queue_fault(client, PGW_FAULT_QUEUE_FULL, lane, &fault);
		return refuse(client, &fault);
	}
}

enum want client_want_server(
	struct client *client, const struct statement_route *route, bool neutral)
{
	const struct config *config = worker_config(client->worker);
	unsigned lane = route->has_lane ? route->lane : config->lane_of_class[route->class],
		 priority = route->priority;
	struct pgw_fault fault;
	enum want want;

	if (client_is(client, CLIENT_CLASS_FIXED)) {
		lane = config->lane_of_class[client->begin_class];
		priority = client->begin_priority;
		neutral = false;
	}
	if (client->state == CLIENT_LINKED) {
		want = WANT_READY;
		if (UNLIKELY(client_is(client, CLIENT_LANE_NEUTRAL) && !neutral))
			want = want_other_lane(client, lane, priority);
		return want == WANT_READY ? prepare_server(client) : want;
	}
	if (UNLIKELY(pool_is_paused(client->pool))) {
		client_set(client, CLIENT_PARKED);
		begin_waiting(client, lane);
		return WANT_WAIT;
	}
	if (UNLIKELY(config->targets_replica || client->target) &&
		!replica_find_target(client, lane, route, neutral)) {
		client_set(client, CLIENT_PARKED);
		begin_waiting(client, lane);
		return WANT_WAIT;
	}
	if (UNLIKELY(circuit_is_open(client, &fault)))
		return refuse(client, &fault);
	if (neutral && !client_is(client, CLIENT_SESSION))
		client_set(client, CLIENT_LANE_NEUTRAL);
	else
		client_unset(client, CLIENT_LANE_NEUTRAL);
	want = acquire(client, lane, priority);
	return want == WANT_READY ? prepare_server(client) : want;
}

/* ---- what comes later ---- */

void client_delivered(struct client *client)
{
	login_turn_leave(client);
	if (client->ticket.source == LANE_SOURCE_NONE) { /* a swap */
		end_waiting(client);
		client_to(client, CLIENT_LINKED);
		client_resume(client);
		return;
	}
	if (follow_source(client) == WANT_READY)
		client_server_ready(client);
}

void client_server_ready(struct client *client)
{
	end_waiting(client);
	if (client->state == CLIENT_EXPECT_WELCOME)
		login_server_ready(client);
	else
		client_resume(client);
}

static void unpark(struct client *client)
{
	client_unset(client, CLIENT_PARKED);
	end_waiting(client);
	if (client->state == CLIENT_EXPECT_WELCOME) {
		login_want_server(client);
		return;
	}
	client_to(client, CLIENT_IDLE);
	client_resume(client);
}

void client_unpark_all(struct worker *worker)
{
	struct client *client, *next;

	TAILQ_FOREACH_SAFE(client, &worker->clients, link, next)
	{
		if (client_is(client, CLIENT_PARKED) && !pool_is_paused(client->pool))
			unpark(client);
	}
}

void client_server_failed(struct client *client, const struct pgw_fault *fault)
{
	/* The server took its slot with it; the permit goes back. */
	client->server = NULL;
	if (client->ticket.state == LANE_TICKET_HOLDS)
		(void)!lane_release(client->worker->cluster->ledger, &client->ticket, NULL,
			loop_now_us(&client->worker->loop));
	fail_waiting(client, fault);
}

void client_wait_again(struct client *client)
{
	client->server = NULL;
	lane_requeue(client->worker->cluster->ledger, &client->ticket,
		loop_now_us(&client->worker->loop));
}

void client_handover_arrived(struct client *client, struct server *server)
{
	struct lane_ledger *ledger = client->worker->cluster->ledger;

	client_unset(client, CLIENT_PROMISED);
	if (server) {
		link_client(client, server);
		if (client->state == CLIENT_GONE)
			link_client_gone(client);
		else
			client_server_ready(client);
		return;
	}
	if (client->state == CLIENT_GONE) {
		(void)!lane_release(
			ledger, &client->ticket, NULL, loop_now_us(&client->worker->loop));
		client_maybe_free(client);
		return;
	}
	if (lane_again(ledger, &client->ticket, loop_now_us(&client->worker->loop)) ==
			LANE_GRANTED &&
		follow_source(client) == WANT_READY)
		client_server_ready(client);
}

void client_stop_waiting(struct client *client)
{
	struct lane_ledger *ledger = client->worker->cluster->ledger;
	uint64_t now_us = loop_now_us(&client->worker->loop);
	struct server *server = client->server;

	client_unset(client, CLIENT_PARKED);
	if (client->pool)
		end_waiting(client);
	if (client->ticket.state == LANE_TICKET_NONE || client_is(client, CLIENT_PROMISED))
		return; /* what is promised is given back when it arrives */
	if (client->ticket.state != LANE_TICKET_HOLDS) {
		lane_abandon(ledger, &client->ticket, now_us);
		return;
	}
	if (server && server->state == SERVER_CONNECTING && !server->replication) {
		/* It goes on connecting, for whoever is next. */
		server->client = NULL;
		client->server = NULL;
		server_set(server, SERVER_ORPHAN);
		lane_slot_orphan(ledger);
		(void)!lane_release(ledger, &client->ticket, NULL, now_us);
	}
}
