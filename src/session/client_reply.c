/* SPDX-License-Identifier: ISC */
/*
 * What a client is told: errors in band and fatal ones, ReadyForQuery of our own, and what its
 * server's replies mean for its state and clocks.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "pgw/frame.h"
#include "session/client.h"
#include "session/feed.h"
#include "session/listen.h"
#include "session/pin.h"
#include "session/search.h"
#include "session/server.h"
#include "session/setting.h"
#include "session/write_sync.h"

/* A hop that found no permit is tried again. */
#define HOP_RETRY_US 250000u
#define FAULT_ROOM (4u * PGW_FAULT_TEXT_BYTES)

void client_reply(struct client *client, const void *bytes, size_t n)
{
	struct gather *out = &client->worker->to_client;

	if (client->stream.fd < 0)
		return;
	if (client->pool)
		STAT_ADD(client->pool->stats.sent, n);
	if (out->stream == &client->stream)
		gather_copy(out, bytes, n);
	else
		(void)!stream_send(
			&client->stream, bytes, n); /* a broken socket is seen by its reader */
}

static void send_fault(struct client *client, const struct pgw_fault *fault)
{
	uint8_t message[FAULT_ROOM];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));

	pgw_build_fault(&writer, fault);
	client_reply(client, message, writer.len);
	if (worker_config(client->worker)->log_pooler_errors && fault->severity[0] != 'N')
		log_rated(LOG_LEVEL_WARNING, "C-%llu: %s: %s%s%s", (unsigned long long)client->id,
			fault->sqlstate, fault->message, fault->detail[0] ? ": " : "",
			fault->detail);
}

void client_notice(struct client *client, const struct pgw_fault *fault)
{
	if (client->server == NULL || !link_is_in_reply(client->server))
		send_fault(client, fault);
}

void client_fatal(struct client *client, const struct pgw_fault *fault)
{
	if (client->state == CLIENT_GONE)
		return;
	/* Nor is anything said to who asked for a cancel: nobody reads it. */
	if (client->state == CLIENT_CANCELING ||
		(client->server && link_is_in_reply(client->server))) {
		client_disconnect(client, fault->message);
		return;
	}
	send_fault(client, fault);
	client_set(client, CLIENT_LINGERS);
	client_disconnect(client, fault->message);
}

void client_send_ready(struct client *client)
{
	static const uint8_t statuses[] = {[XACT_NONE] = PGW_XACT_IDLE,
		[XACT_DEFERRED] = PGW_XACT_OPEN,
		[XACT_FAILED] = PGW_XACT_FAILED};
	uint8_t message[PGW_HEADER_BYTES + 1];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));
	uint8_t status;

	if (UNLIKELY(client->listen != NULL) && client->xact == XACT_NONE) {
		if (client->server == NULL)
			listen_flush_ahead(client);
		listen_transaction_over(client->listen);
	}
	status = client->xact == XACT_SERVER
				 ? (client->server ? client->server->xact : PGW_XACT_IDLE)
				 : statuses[client->xact];

	pgw_build_ready(&writer, (enum pgw_xact)status);
	client_reply(client, message, writer.len);
}

/* An error inside a transaction block leaves it failed. */
static void fail_transaction(struct client *client)
{
	if (client->xact == XACT_NONE)
		return;
	mem_free(client->begin);
	client->begin = NULL;
	client->xact = XACT_FAILED;
}

void client_error_simple(struct client *client, const struct pgw_fault *fault)
{
	search_drop(client);
	fail_transaction(client);
	send_fault(client, fault);
	client_send_ready(client);
}

void client_error(struct client *client, const struct pgw_fault *fault)
{
	if (!client_is(client, CLIENT_EXTENDED)) {
		client_error_simple(client, fault);
		return;
	}
	search_drop(client);
	fail_transaction(client);
	send_fault(client, fault);
	client_set(client, CLIENT_DISCARD);
}

/* The message that waited at the front of the input is answered by an error: it must not be fed
 * again. */
void client_drop_waiting_message(struct client *client)
{
	struct input *input = client->input;
	struct pgw_frame frame;
	size_t n;

	if (input == NULL || client_is(client, CLIENT_DISCARD))
		return;
	client_unset(client, CLIENT_RUNS_AGAIN);
	if (pgw_frame_read(input->data + input->at, input_bytes(input), &frame) != PGW_OK)
		return;
	n = PGW_HEADER_BYTES + frame.n_available;
	client->skip_bytes = frame.n_body_bytes - frame.n_available;
	if (client->skip_bytes)
		client_set(client, CLIENT_DROP_MESSAGE);
	input->at += n;
	if (input_bytes(input) == 0) {
		mem_free(input);
		client->input = NULL;
	}
}

void client_failed_xact_fault(struct client *client, struct pgw_fault *fault_r)
{
	if (client_is(client, CLIENT_SERVER_LOST)) {
		client_unset(client, CLIENT_SERVER_LOST);
		if (client->was_idle) {
			client->was_idle = false;
			*fault_r = pgw_fault_make(PGW_FAULT_IDLE_ROLLED_BACK);
			return;
		}
		pgw_fault_set(fault_r, PGW_FAULT_SERVER_LOST, NULL,
			"The server went away while the transaction was idle.");
		return;
	}
	*fault_r = pgw_fault_make(PGW_FAULT_IN_FAILED_TRANSACTION);
}

void client_lane_timeout_fault(struct client *client, struct pgw_fault *fault_r)
{
	const struct config *config = worker_config(client->worker);
	const struct config_lane *lane = &config->lanes[client->ticket.home_lane];

	client_unset(client, CLIENT_LANE_TIMEOUT);
	STAT_ADD(client->worker->classes[client->class].n_lane_timeouts, 1);
	pgw_fault_set(fault_r, PGW_FAULT_LANE_TIMEOUT, NULL,
		"Class %s, lane %s: the limit is %llu ms; the statement ran for %llu ms.",
		query_class_name((enum query_class)client->class), lane->name,
		(unsigned long long)(client_statement_limit_us(client) / 1000),
		(unsigned long long)((clock_mono_us() - client->query_start_us) / 1000));
}

/* ---- clocks ---- */

uint64_t client_limit_us(const struct client *client, unsigned lane, uint32_t rule_ms)
{
	const struct config *config = worker_config(client->worker);
	uint64_t lane_us = config->lanes[lane].statement_timeout_us,
		 query_us = config->query_timeout_us;
	const struct config_user *user = pool_user(client->pool);

	if (UNLIKELY(rule_ms != 0))
		lane_us = UINT64_C(1000) * rule_ms;
	if (user && user->query_timeout_us != CONFIG_INHERIT_US)
		query_us = user->query_timeout_us;
	if (lane_us == 0 || query_us == 0)
		return lane_us + query_us;
	return MIN_OF(lane_us, query_us);
}

uint64_t client_statement_limit_us(const struct client *client)
{
	return client_limit_us(client, client->ticket.home_lane, client->rule_timeout_ms);
}

/*
 * When it goes on to another lane; UINT64_MAX: never. In session pooling the permit is the
 * session's, not the statement's, and stays where it is.
 */
static uint64_t hop_due_us(const struct client *client)
{
	const struct config *config = worker_config(client->worker);
	const struct config_lane *lane = &config->lanes[client->ticket.home_lane];

	if (LIKELY(lane->hop_after_us == 0) || client_is(client, CLIENT_SESSION))
		return UINT64_MAX;
	return client->query_start_us + lane->hop_after_us;
}

static void on_statement_clock(struct timer *timer);

static void arm_statement_clock(struct client *client, uint64_t hop_us)
{
	uint64_t limit_us = client_statement_limit_us(client);
	uint64_t due_us =
		MIN_OF(hop_us, limit_us ? client->query_start_us + limit_us : UINT64_MAX);

	if (due_us != UINT64_MAX)
		loop_timer_at(&client->worker->loop, &client->timer, due_us, on_statement_clock);
}

static bool hop(struct client *client, uint64_t now_us)
{
	const struct config *config = worker_config(client->worker);
	int to = config->lanes[client->ticket.home_lane].hop_lane;

	if (!lane_hop(client->worker->cluster->ledger, &client->ticket, (unsigned)to, now_us))
		return false;
	STAT_ADD(client->worker->classes[client->class].n_hops, 1);
	tally_hop(client->server);
	return true;
}

static void cancel_statement(struct client *client)
{
	client_set(client, CLIENT_LANE_TIMEOUT);
	cancel_server(client->server, NULL);
	loop_timer(&client->worker->loop, &client->timer,
		worker_config(client->worker)->cancel_grace_us, on_statement_clock);
}

/* The statement has reached its limit, or runs so long that it is to go on to another lane. */
static void on_statement_clock(struct timer *timer)
{
	struct client *client = CONTAINER_OF(timer, struct client, timer);
	uint64_t now_us = loop_now_us(&client->worker->loop), limit_us, hop_us;

	if (client->state != CLIENT_LINKED || client->query_start_us == 0)
		return;
	if (client_is(client,
		    CLIENT_LANE_TIMEOUT)) { /* the cancel was not heard within cancel_grace */
		struct server *server = client->server;

		(void)snprintf(server->last_words, sizeof(server->last_words),
			"it did not answer the cancel request");
		link_server_lost(server, "no answer to a cancel request within cancel_grace");
		return;
	}
	limit_us = client_statement_limit_us(client);
	if (limit_us > 0 && now_us - client->query_start_us >= limit_us) {
		cancel_statement(client);
		return;
	}
	hop_us = hop_due_us(client);
	if (hop_us <= now_us)
		hop_us = hop(client, now_us) ? hop_due_us(client) : now_us + HOP_RETRY_US;
	arm_statement_clock(client, hop_us);
}

void client_statement_limited(struct client *client, uint32_t timeout_ms)
{
	uint32_t held_ms = client->rule_timeout_ms;

	if (LIKELY(client->query_start_us == 0)) {
		client->rule_timeout_ms = timeout_ms;
		return;
	}
	if (timeout_ms == 0 || (held_ms != 0 && held_ms <= timeout_ms))
		return;
	client->rule_timeout_ms = timeout_ms;
	if (!client_is(client, CLIENT_LANE_TIMEOUT) && client->ticket.state == LANE_TICKET_HOLDS)
		arm_statement_clock(client, hop_due_us(client));
}

void client_statement_begins(struct client *client, uint64_t now_us)
{
	if (client->query_start_us != 0)
		return;
	now_us = now_us ? now_us : loop_now_us(&client->worker->loop);
	if (UNLIKELY(client->search != NULL)) { /* what it took is time of the statement */
		now_us -= client->search->took_us;
		client->search->took_us = 0;
	}
	client->query_start_us = now_us;
	if (client->xact_start_us == 0)
		client->xact_start_us = now_us;
	if (client->ticket.state == LANE_TICKET_HOLDS)
		arm_statement_clock(client, hop_due_us(client));
}

void client_statement_clock(struct client *client)
{
	if (client->query_start_us != 0 && client->ticket.state == LANE_TICKET_HOLDS)
		arm_statement_clock(client, hop_due_us(client));
}

void client_statement_ends(struct client *client, uint64_t now_us, bool idle)
{
	struct class_stats *class = &client->worker->classes[client->class];
	struct pool_stats *stats = &client->pool->stats;
	uint64_t took_us, slow_us = worker_config(client->worker)->slow_query_us;

	timer_stop(&client->timer);
	client_unset(client, CLIENT_LANE_TIMEOUT);
	if (client->query_start_us) {
		took_us = now_us - client->query_start_us;
		STAT_ADD(stats->query_count, 1);
		STAT_ADD(stats->query_time, took_us);
		STAT_ADD(class->n_statements, 1);
		STAT_ADD(class->total_us, took_us);
		if (took_us > STAT_READ(class->max_us))
			STAT_SET(class->max_us, took_us);
		if (slow_us > 0 && took_us >= slow_us)
			STAT_ADD(class->n_slow, 1);
		client->query_start_us = 0;
	}
	if (idle && client->xact_start_us) {
		STAT_ADD(stats->xact_count, 1);
		STAT_ADD(stats->xact_time, now_us - client->xact_start_us);
		client->xact_start_us = 0;
	}
	client->last_active_us = now_us;
}

/* ---- what replies mean ---- */

void client_xact_over(struct client *client)
{
	client_unset(client, CLIENT_CLASS_FIXED);
	client->xact_class = 0;
	client->commit_class = 0;
	setting_meaning_ends(client);
}

/* From here to the Sync, which has not come yet, the server hears nothing; nor did it hear a Query
 * that was sent behind. */
void client_batch_failed(struct client *client)
{
	client_unset(client, CLIENT_AWAITS_READY);
	client_set(client, CLIENT_EXTENDED);
	client_set(client, CLIENT_DISCARD);
	if (client->input || (client->stream.flags & STREAM_PAUSED))
		client_resume(client);
}

void client_on_ready(struct client *client, int xact)
{
	if (client->state != CLIENT_LINKED)
		return;
	client_unset(client, CLIENT_AWAITS_READY);
	client_unset(client, CLIENT_COPY_ENDED | CLIENT_BATCH_HAS_XACT | CLIENT_REPLAYED);
	if (UNLIKELY(client->search != NULL))
		search_drop(client);
	if (UNLIKELY(client->fault != NULL)) {
		mem_free(client->fault);
		client->fault = NULL;
	}
	client->xact = xact == PGW_XACT_IDLE ? XACT_NONE : XACT_SERVER;
	if (UNLIKELY(client->sync != NULL) && xact == PGW_XACT_IDLE && client->server->expects.n == 0)
		write_sync_free(&client->sync);
	if (xact == PGW_XACT_IDLE)
		client_xact_over(client);
	if (UNLIKELY(client->listen != NULL) && xact == PGW_XACT_IDLE)
		listen_transaction_over(client->listen);
	if (UNLIKELY(client->pin != NULL))
		pin_has_run(client);
	client_statement_ends(client, loop_now_us(&client->worker->loop), xact == PGW_XACT_IDLE);
	if (client_is(client, CLIENT_SESSION) && client->server->expects.n > 0 && !client->replication)
		client_statement_begins(client, 0); /* the next of a pipeline */
	if (client->input || (client->stream.flags & STREAM_PAUSED))
		client_resume(client);
}

void client_name_pending(struct client *client, const char *name, struct statement *closed)
{
	size_t n = strlen(name) + 1;
	struct pending_name *pending = mem_alloc(sizeof(*pending) + n);

	pending->closed = closed;
	memcpy(pending->name, name, n);
	TAILQ_INSERT_TAIL(&client->pending_names, pending, link);
}

void client_names_confirmed(struct client *client, uint32_t n)
{
	struct pending_name *pending;

	for (; n > 0 && (pending = TAILQ_FIRST(&client->pending_names)) != NULL; n--) {
		TAILQ_REMOVE(&client->pending_names, pending, link);
		statement_unref(&client->worker->statements, &pending->closed);
		mem_free(pending);
	}
}

static void name_failed(struct client *client, struct pending_name *pending)
{
	TAILQ_REMOVE(&client->pending_names, pending, link);
	if (pending->closed == NULL)
		(void)client_names_drop(&client->names, &client->worker->statements, pending->name);
	else if (client_names_find(client->names, pending->name) == NULL)
		client_names_add(&client->names, pending->name, pending->closed);
	else
		statement_unref(&client->worker->statements, &pending->closed);
	mem_free(pending);
}

void client_names_failed(struct client *client, uint32_t n)
{
	struct pending_name *pending;

	for (; n > 0 && (pending = TAILQ_LAST(&client->pending_names, pending_names)) != NULL; n--)
		name_failed(client, pending);
}

void client_unnamed_is(struct client *client, struct statement *statement)
{
	statement_unref(&client->worker->statements, &client->unnamed);
	client->unnamed = statement;
	mem_free(client->deallocates);
	client->deallocates = NULL;
	client_unset(client, CLIENT_BIG_UNNAMED);
}

void client_unnamed_failed(struct client *client)
{
	client_unnamed_is(client, NULL);
}

void client_statements_deallocated(struct client *client)
{
	struct pending_name *pending;

	/* What was closed ahead of that, or behind it in one string, does not come back. */
	TAILQ_FOREACH(pending, &client->pending_names, link)
		statement_unref(&client->worker->statements, &pending->closed);
	client_names_clear(&client->names, &client->worker->statements);
}
