/* SPDX-License-Identifier: ISC */
/*
 * Clients and servers in pairs: how one is given, when it is taken back, and what happens when
 * either end goes away in the middle. A server goes back to the registry only in a state in which
 * it may serve anybody: no reply owed, no transaction open, no cancel request on its way to it,
 * nothing of a session left.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "session/client.h"
#include "session/feed.h"
#include "session/listen_server.h"
#include "session/pin.h"
#include "session/replica.h"
#include "session/reset.h"
#include "session/replication.h"
#include "session/sequence.h"
#include "session/server.h"

void link_client(struct client *client, struct server *server)
{
	struct pool *pool = client->pool;

	MUST(server->expects.n == 0);
	if (UNLIKELY(server->pool != pool))
		replica_linked(client, server);
	if (server->state != SERVER_LINKED)
		server_to(server, SERVER_LINKED);
	server_set(server, SERVER_FRESH);
	server->client = client;
	client->server = server;
	server->expects.n_of_batch = 0; /* of who had it before */
	server->request_us = loop_now_us(&client->worker->loop);
	STAT_ADD(server->pool->stats.server_assignment_count, 1);
	if (client->state == CLIENT_GONE)
		return;
	if (client->state != CLIENT_EXPECT_WELCOME)
		client_to(client, CLIENT_LINKED);
	timer_stop(&client->timer);
	/* Within a feed, what the client says next leaves through the gather. */
	if (client->worker->to_client.stream == &client->stream &&
		client->worker->to_server.stream == NULL)
		gather_begin(&client->worker->to_server, &server->stream);
}

void link_part(struct client *client, struct server *server)
{
	struct gather *out = &client->worker->to_server;

	if (out->stream == &server->stream) {
		(void)gather_flush(out);
		out->stream = NULL;
	}
	pin_end(client);
	if (UNLIKELY(server->leaks.watches))
		leak_forget(server);
	if (UNLIKELY(client->listen != NULL))
		listen_parted(client);
	server->client = NULL;
	client->server = NULL;
	if (UNLIKELY(server->kept != NULL))
		replica_forget(server);
	if (server->stream.flags & STREAM_PAUSED) /* its client does not read: the next one does */
		server_resume(server);
	server_unset(server, SERVER_FRESH | SERVER_SETUP_FAILED | SERVER_ROLLS_BACK |
				     SERVER_OWES_SYNC | SERVER_OWES_ROLLBACK |
				     SERVER_RUNS_AGAIN | SERVER_ASKED);
}

bool link_must_retire(const struct server *server, uint64_t now_us)
{
	const struct config *config = worker_config(server->worker);
	const struct config_database *entry = pool_entry(server->pool);
	uint64_t lifetime_us = entry && entry->server_lifetime_us != CONFIG_INHERIT_US
				       ? entry->server_lifetime_us
				       : config->server_lifetime_us;

	return server_is(server, SERVER_RETIRE | SERVER_STATEMENTS_GOING) || entry == NULL ||
	       server->epoch != STAT_READ(server->pool->shared->epoch) || server->stream.fd < 0 ||
	       (lifetime_us > 0 && now_us - server->connect_us > lifetime_us);
}

/* The server has nothing of its client left: permit and server go back together. */
static void release(struct client *client, struct server *server)
{
	struct lane_ledger *ledger = client->worker->cluster->ledger;
	uint64_t now_us = loop_now_us(&client->worker->loop);

	if (UNLIKELY(server->kept != NULL))
		replica_answer_left(server); /* with what this read has brought */
	link_part(client, server);
	client_unset(client, CLIENT_BIG_UNNAMED);
	if (link_must_retire(server, now_us)) {
		(void)!lane_release(ledger, &client->ticket, NULL, now_us);
		server_close(server, "retired");
	} else {
		server_to(server, SERVER_IDLE);
		server->idle_since_us = now_us;
		if (!lane_release(ledger, &client->ticket, &server->idle, now_us))
			server_close(server, "its slot is wanted elsewhere");
	}
	if (client->state == CLIENT_GONE) {
		client_maybe_free(client);
		return;
	}
	if (client->state == CLIENT_LINKED)
		client_to(client, CLIENT_IDLE);
	if (UNLIKELY(client->listen != NULL))
		listen_flush(client);
	if (client->input || (client->stream.flags & STREAM_PAUSED))
		client_resume(client);
}

/* ---- recovery: the client is gone, the server is to be made fit for others ---- */

static void on_recovery_deadline(struct timer *timer)
{
	struct server *server = CONTAINER_OF(timer, struct server, timer);

	link_server_lost(server, "recovery took longer than cancel_grace");
}

static void recover(struct client *client, struct server *server)
{
	const struct config *config = worker_config(server->worker);

	if (server->state != SERVER_RECOVERING) {
		server_to(server, SERVER_RECOVERING);
		loop_timer(&server->worker->loop, &server->timer, config->cancel_grace_us,
			on_recovery_deadline);
	}
	if (server->expects.n > 0)
		return;
	if (server->xact != PGW_XACT_IDLE) {
		inject_query(server, "ROLLBACK", 0);
		return;
	}
	if (server->n_cancels > 0) { /* a late one must not hit the reset either */
		server_to(server, SERVER_FENCED);
		return;
	}
	if (UNLIKELY(server->leaks.is_due))
		leak_orphaned(server);
	if ((client_is(client, CLIENT_SESSION) || config->server_reset_query_always ||
		    server_is(server, SERVER_TAINTED)) &&
		config->server_reset_query && config->server_reset_query[0] &&
		!server_is(server, SERVER_RESET_SENT)) {
		server_set(server, SERVER_RESET_SENT);
		inject_query(server, config->server_reset_query, 0);
		return;
	}
	if (stream_is_blocked(&server->stream)) /* link_server_drained() comes back here */
		return;
	if (server_is(server, SERVER_RESET_SENT))
		server_reset_done(server);
	timer_stop(&server->timer);
	release(client, server);
}

void link_client_gone(struct client *client)
{
	struct server *server = client->server;

	if (server == NULL)
		return;
	pin_uncount(client);
	/* A login that it helped with is over; it welcomes nobody else. */
	server_unset(server, SERVER_WELCOMING);
	server_unset(server, SERVER_SETUP_FAILED);
	if (client->replication)
		replication_client_gone(client);
	if (server->state == SERVER_CONNECTING || client->skip_bytes > 0 || client->replication) {
		/* Half a message was sent on: the server waits for the rest, which nobody has. */
		struct lane_ledger *ledger = client->worker->cluster->ledger;

		link_part(client, server);
		(void)!lane_release(ledger, &client->ticket, NULL, clock_mono_us());
		server_close(server, client->replication ? "its client disconnected"
							 : "client disconnected in the middle of a message");
		client_maybe_free(client);
		return;
	}
	if (server->stream.flags & STREAM_PAUSED)
		server_resume(server);
	if (server_is(server, SERVER_COPY_IN | SERVER_COPY_BOTH)) {
		static const char copy_fail[] = "f\0\0\0\x10"
						"client gone"; /* with its NUL */

		(void)!stream_send(&server->stream, copy_fail, sizeof(copy_fail));
		server_unset(server, SERVER_COPY_IN);
	}
	if (client_is(client, CLIENT_EXTENDED) && !client_is(client, CLIENT_AWAITS_READY)) {
		inject_failure(server); /* PostgreSQL commits nothing of a batch without its Sync */
		expect_push(&server->expects,
			(struct expect){.kind = EXPECT_SYNC,
				.flags = EXPECT_SWALLOW |
					 (client_is(client, CLIENT_COPY_ENDED) ? EXPECT_AFTER_COPY
									       : 0)});
		inject_sync(server);
	}
	if (server->expects.n > 0 && !server_is(server, SERVER_ASKED)) /* what is ours is soon over */
		cancel_server(server, NULL);
	recover(client, server);
}

/* ---- ReadyForQuery ---- */

static bool is_at_rest(const struct client *client, const struct server *server)
{
	return server->expects.n == 0 && server->xact == PGW_XACT_IDLE && client->skip_bytes == 0 &&
	       !client_is(client, CLIENT_EXTENDED) && !stream_is_blocked(&server->stream) &&
	       !server_is(server, SERVER_COPY_IN | SERVER_COPY_BOTH);
}

static void welcomed(struct client *client, struct server *server)
{
	bool failed = server_is(server, SERVER_SETUP_FAILED);
	char why[sizeof(server->last_words)];

	server_unset(server, SERVER_WELCOMING);
	server_unset(server, SERVER_SETUP_FAILED);
	memcpy(why, server->last_words, sizeof(why));
	server->last_words[0] = '\0';
	login_server_welcomed(client, !failed, why);
}

void link_on_ready(struct server *server)
{
	struct client *client = server->client;

	if (client == NULL)
		return;
	if (client->state == CLIENT_GONE) {
		recover(client, server);
		return;
	}
	if (server_is(server, SERVER_WELCOMING)) {
		welcomed(client, server);
		return;
	}
	link_maybe_release(client);
	if (UNLIKELY(client->listen != NULL))
		listen_flush(client);
	if (client->state == CLIENT_LINKED &&
		(client->input || (client->stream.flags & STREAM_PAUSED)))
		client_resume(client);
}

void link_maybe_release(struct client *client)
{
	struct server *server = client->server;

	if (server == NULL || client_is(client, CLIENT_SESSION) || client->state != CLIENT_LINKED ||
		!is_at_rest(client, server))
		return;
	if (server->n_cancels > 0) /* link_cancel_finished() comes back here */
		return;
	if (UNLIKELY(server_is(server, SERVER_RESET_SENT)))
		server_reset_done(server);
	else if (UNLIKELY(client->pin != NULL) && pin_keeps(client, server))
		return;
	else if (UNLIKELY(server->leaks.is_due) && leak_keeps(client, server))
		return;
	else if (UNLIKELY(server_is(server, SERVER_TAINTED) ||
			  worker_config(client->worker)->server_reset_query_always) &&
		 server_begin_reset(server))
		return;
	release(client, server);
}

bool link_yield(struct client *client)
{
	if (!is_at_rest(client, client->server) || client->server->n_cancels > 0)
		return false;
	pin_end(client);
	link_maybe_release(client);
	return client->state == CLIENT_LINKED;
}

void link_login_done(struct client *client)
{
	struct server *server = client->server;

	if (server == NULL)
		return;
	bool stays = client_is(client, CLIENT_SESSION) && !replica_wants_session(client);

	client_to(client, stays ? CLIENT_LINKED : CLIENT_IDLE);
	if (!stays)
		release(client, server);
}

void link_cancel_finished(struct server *server)
{
	struct client *client = server->client;

	if (server->n_cancels > 0 || client == NULL)
		return;
	if (client->state == CLIENT_GONE) {
		if (server->state == SERVER_FENCED)
			server_to(server, SERVER_RECOVERING);
		recover(client, server);
		return;
	}
	link_maybe_release(client);
	if (client->state == CLIENT_LINKED &&
		(client->input || (client->stream.flags & STREAM_PAUSED)))
		client_resume(client);
}

/* It has taken what was kept for it. What it had not read of a failed COPY may outlast the reply.
 */
void link_server_drained(struct server *server)
{
	struct client *client = server->client;

	if (client == NULL)
		return;
	if (client->state == CLIENT_GONE && server->expects.n == 0 &&
		server->state == SERVER_RECOVERING)
		recover(client, server);
	else if (client->state == CLIENT_LINKED) {
		link_maybe_release(client);
		client_resume(client);
	}
}

/* ---- new servers ---- */

void link_server_ready(struct server *server)
{
	struct client *client = server->client;
	struct lane_ledger *ledger = server->worker->cluster->ledger;

	if (LIKELY(!server->replication)) {
		STAT_SET(server->pool->shared->failed_until_us, 0);
		pool_let_go(server->pool);
	}
	scaling_server_open(server);
	if (UNLIKELY(server->listener != NULL)) {
		listen_server_ready(server);
		return;
	}
	if (client) {
		link_client(client, server);
		client_server_ready(client);
		return;
	}
	server_to(server, SERVER_IDLE);
	server->idle_since_us = clock_mono_us();
	if (lane_orphan_idle(ledger, &server->idle, server->idle_since_us))
		server_unset(server, SERVER_ORPHAN);
	else /* its slot is an orphan's still */
		server_close(server, "its slot is wanted elsewhere");
}

static void end_failed(struct server *server, const struct pgw_fault *fault)
{
	const struct shared_pool *shared = server->pool->shared;

	STAT_ADD(server->worker->counters.n_connection_errors, 1);
	log_rated(LOG_LEVEL_WARNING, "S-%llu: %s@%s: %s: %s", (unsigned long long)server->id,
		shared->user->name, shared->database->name, fault->message, fault->detail);
	server->client = NULL;
	if (server_is(server, SERVER_ENDED))
		server_dead(server, fault->message);
	else
		server_close(server, fault->message);
}

void link_server_failed(struct server *server, const struct pgw_fault *fault)
{
	struct client *client = server->client;
	struct pool *pool = server->pool;
	bool has_others = STAT_READ(pool->shared->n_open) > 0;
	bool of_replica = client && client->target == pool;

	if (server->replication) { /* says nothing of logins that are none */
		end_failed(server, fault);
		if (client)
			client_server_failed(client, fault);
		return;
	}
	/* Who waits for it, too, is better served elsewhere. */
	if (of_replica && STAT_READ(pool->shared->failed_until_us) <= clock_mono_us())
		replica_tell(server->worker->cluster);
	registry_lock();
	pool->shared->last_failure = *fault;
	pool->shared->last_failure_us = clock_mono_us();
	registry_unlock();
	STAT_SET(pool->shared->failed_until_us,
		clock_mono_us() + worker_config(server->worker)->server_login_retry_us);
	if (has_others)
		pool_hold(pool);
	else
		pool_let_go(pool);
	if (UNLIKELY(server->listener != NULL))
		listen_server_lost(server, fault->message, true);
	end_failed(server, fault);
	if (of_replica)
		replica_leave(client);
	else if (client && has_others)
		client_wait_again(client);
	else if (client)
		client_server_failed(client, fault);
}

void link_server_refused(struct server *server, const struct pgw_fault *fault)
{
	struct client *client = server->client;
	struct worker *worker = server->worker;
	struct listen_server *listener = server->listener;

	/* Our budget is the primary's; what a replica has no room for the primary serves. Walsenders have
	 * a limit of their own (max_wal_senders), with the same SQLSTATE. */
	if ((client && client->target == server->pool) || server->replication) {
		link_server_failed(server, fault);
		return;
	}
	scaling_refused(worker);
	if (UNLIKELY(listener != NULL))
		listen_server_refused(server);
	end_failed(server, fault);
	if (UNLIKELY(listener != NULL))
		lane_requeue(worker->cluster->ledger, &listener->ticket, clock_mono_us());
	if (client)
		client_wait_again(client);
}
