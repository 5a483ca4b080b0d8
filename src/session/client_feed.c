/* SPDX-License-Identifier: ISC */
/*
 * What a logged-in client says. Messages are framed where they lie in the receive buffer and leave
 * from there in one send; only what must wait (half a message, a statement that queues for a
 * permit) is kept in client->input.
 *
 * In transaction pooling nothing is sent beyond a Query or Sync until its ReadyForQuery has come:
 * only then is it known whether the next statement belongs to the same transaction, or must ask for
 * a permit of its own lane.
 */
#include "session/client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "session/feed.h"
#include "session/listen.h"
#include "session/pin.h"
#include "session/replication.h"
#include "session/sequence.h"
#include "session/server.h"
#include "session/write_sync.h"

#define ROUNDS_PER_EVENT 8

enum step feed_skip_message(struct feed *feed, const struct pgw_frame *frame)
{
	feed->client->skip_bytes = frame->n_body_bytes - frame->n_available;
	if (feed->client->skip_bytes)
		client_set(feed->client, CLIENT_DROP_MESSAGE);
	feed->at += PGW_HEADER_BYTES + frame->n_available;
	return STEP_NEXT;
}

/* Sends the message on as it is, as far as it is here; the rest follows as it comes. */
enum step feed_forward(struct feed *feed, const struct pgw_frame *frame)
{
	gather_ref(&feed->worker->to_server, feed->at, PGW_HEADER_BYTES + frame->n_available);
	feed->client->skip_bytes = frame->n_body_bytes - frame->n_available;
	feed->at += PGW_HEADER_BYTES + frame->n_available;
	return STEP_NEXT;
}

static enum step violation(struct feed *feed, const char *what)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_PROTOCOL_VIOLATION, NULL, "%s", what);
	client_fatal(feed->client, &fault);
	return STEP_GONE;
}

enum step feed_violation(struct feed *feed, enum pgw_err err)
{
	return violation(feed, pgw_err_text(err));
}

static bool is_linked(const struct client *client)
{
	return client->state == CLIENT_LINKED;
}

static enum step feed_sync(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;

	if (frame->n_body_bytes != 0)
		return violation(feed, "Sync has a body");
	if (is_linked(client) && server_is(client->server, SERVER_COPY_IN))
		return feed_forward(feed, frame); /* the server drops it: the batch goes on */
	client_unset(client, CLIENT_DISCARD | CLIENT_EXTENDED | CLIENT_RUNS_AGAIN);
	if (!is_linked(client)) {
		client_send_ready(client);
		return feed_skip_message(feed, frame);
	}
	expect_push(&client->server->expects,
		(struct expect){.kind = EXPECT_SYNC,
			.flags = client_is(client, CLIENT_COPY_ENDED) ? EXPECT_AFTER_COPY : 0});
	client_set(client, CLIENT_AWAITS_READY);
	client_statement_begins(client, 0);
	return feed_forward(feed, frame);
}

static enum step feed_flush(struct feed *feed, const struct pgw_frame *frame)
{
	if (frame->n_body_bytes != 0)
		return violation(feed, "Flush has a body");
	if (!is_linked(feed->client))
		return feed_skip_message(feed, frame);
	server_emit_locals(feed->client->server);
	return feed_forward(feed, frame);
}

static enum step feed_copy(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;

	/* What comes after a COPY that failed is no longer wanted; PostgreSQL drops it too. */
	if (!is_linked(client) ||
		(client->server->expects.n == 0 && !server_is(client->server, SERVER_COPY_BOTH)))
		return feed_skip_message(feed, frame);
	/* Ahead of the answer to its COPY: half of it must not be amid what we say if there is none. */
	if (!server_is(client->server, SERVER_COPY_IN | SERVER_COPY_BOTH) &&
		frame->n_available < frame->n_body_bytes)
		return STEP_WAIT;
	if (frame->type != PGW_COPY_DATA) {
		server_unset(client->server, SERVER_COPY_IN);
		client_set(client, CLIENT_COPY_ENDED);
	}
	return feed_forward(feed, frame);
}

static enum step feed_function_call(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;
	static const char call[] = "a function call";
	struct statement_route route;
	struct pgw_fault fault;
	enum want want;

	if (client->xact == XACT_FAILED) {
		client_failed_xact_fault(client, &fault);
		client_error_simple(client, &fault);
		return feed_skip_message(feed, frame);
	}
	/* It has no text: what is known of its session decides. */
	route = feed_session_route(client);
	if (UNLIKELY(route.deny != NULL))
		return feed_deny(feed, frame, &route, call, strlen(call));
	want = client_want_server(client, &route, false);
	if (want != WANT_READY)
		return want == WANT_WAIT ? STEP_WAIT : feed_skip_message(feed, frame);
	client->class = route.class;
	client_statement_limited(client, route.timeout_ms);
	feed_log(client, &route, call, strlen(call));
	sequence_place(client, EFFECT_CALL, call, strlen(call), &route.print);
	expect_push(&client->server->expects, (struct expect){.kind = EXPECT_QUERY});
	client_set(client, CLIENT_AWAITS_READY);
	client_unset(client, CLIENT_EXTENDED);
	client_statement_begins(client, 0);
	return feed_forward(feed, frame);
}

/* Its server, a replica's, has done what it was taken for. */
static bool is_done(const struct client *client)
{
	return client->server->xact == PGW_XACT_IDLE && !server_is(client->server, SERVER_FRESH) &&
	       !client_is(client, CLIENT_EXTENDED | CLIENT_SESSION);
}

/* Until ReadyForQuery, only COPY's messages and the end may pass. */
static bool must_wait(struct client *client, uint8_t type)
{
	const struct server *server = client->server;

	if (type == PGW_COPY_DATA || type == PGW_COPY_DONE || type == PGW_COPY_FAIL ||
		type == PGW_TERMINATE)
		return false;
	if (stream_is_blocked(&client->stream)) /* it does not read: nothing more is answered */
		return true;
	if (UNLIKELY(client->listen != NULL) && listen_holds_back(client, type))
		return true;
	if (!is_linked(client))
		return false;
	if (server_is(server, SERVER_RESET_SENT | SERVER_ROLLS_BACK | SERVER_ASKED)) /* it is not itself yet */
		return true;
	if (UNLIKELY(pin_is_asking(client)) && pin_holds_up(client))
		return true;
	if (server_is(server, SERVER_COPY_IN)) /* what may not come is not heard later either */
		return false;
	if (expect_is_full(&server->expects))
		return true;
	/* A cancel request that is still under way must not hit the next statement, nor may that go
	 * to a replica only because it could not be released yet. */
	if ((server->expects.n_of_batch == 0 && server->n_cancels > 0) ||
		(server->pool != client->pool && is_done(client)))
		return true;
	/* A session's statements may run on, but where each has a time limit: a cancel must hit the
	 * one whose time is over. */
	return client_is(client, CLIENT_AWAITS_READY) &&
	       (!client_is(client, CLIENT_SESSION) || client_statement_limit_us(client) > 0);
}

/* Too much is expected of the server to send more. What is answered here waits for what the server
 * answers before it, and the server may hold that back: a Flush brings it. */
static bool makes_room(struct client *client)
{
	struct server *server = client->server;

	if (!is_linked(client) || !expect_is_full(&server->expects))
		return false;
	server_emit_locals(server);
	if (!expect_is_full(&server->expects))
		return true;
	inject_flush(server);
	return false;
}

/* PostgreSQL, too, ends the connection of who says anything else (CopyGetData()). */
static bool belongs_to_copy(uint8_t type)
{
	return type == PGW_COPY_DATA || type == PGW_COPY_DONE || type == PGW_COPY_FAIL ||
	       type == PGW_SYNC || type == PGW_FLUSH || type == PGW_TERMINATE;
}

static enum step feed_message(struct feed *feed, const struct pgw_frame *frame)
{
	if (UNLIKELY(is_linked(feed->client) && server_is(feed->client->server, SERVER_COPY_IN) &&
		     !belongs_to_copy(frame->type)))
		return violation(feed, "unexpected message during COPY from the client");
	switch (frame->type) {
	case PGW_QUERY:
		return feed_query(feed, frame);
	case PGW_PARSE:
		return feed_parse(feed, frame);
	case PGW_BIND:
		return feed_bind(feed, frame);
	case PGW_DESCRIBE:
	case PGW_CLOSE:
		return feed_target(feed, frame);
	case PGW_EXECUTE:
		return feed_execute(feed, frame);
	case PGW_SYNC:
		return feed_sync(feed, frame);
	case PGW_FLUSH:
		return feed_flush(feed, frame);
	case PGW_COPY_DATA:
	case PGW_COPY_DONE:
	case PGW_COPY_FAIL:
		return feed_copy(feed, frame);
	case PGW_FUNCTION_CALL:
		return feed_function_call(feed, frame);
	case PGW_TERMINATE:
		client_disconnect(feed->client, "client close request");
		return STEP_GONE;
	default:
		return violation(feed, frame->type == PGW_PASSWORD ? "password message after login"
								   : "unknown message type");
	}
}

/* What waited for the end of the message. */
static void send_owed(struct server *server)
{
	if (UNLIKELY(server_is(server, SERVER_OWES_SYNC)))
		inject_sync(server);
	if (UNLIKELY(server_is(server, SERVER_OWES_ROLLBACK)))
		inject_query(server, "ROLLBACK", 0);
	server_unset(server, SERVER_OWES_SYNC | SERVER_OWES_ROLLBACK);
}

/* The rest of a message whose head has gone on. */
static enum step feed_rest(struct feed *feed)
{
	struct client *client = feed->client;
	size_t n = MIN_OF((size_t)(feed->end - feed->at), client->skip_bytes);

	if (n == 0)
		return STEP_MORE;
	if (!client_is(client, CLIENT_DROP_MESSAGE))
		gather_ref(&feed->worker->to_server, feed->at, n);
	feed->at += n;
	client->skip_bytes -= n;
	if (client->skip_bytes == 0) {
		client_unset(client, CLIENT_DROP_MESSAGE);
		if (is_linked(client))
			send_owed(client->server);
	}
	return STEP_NEXT;
}

static enum step feed_one(struct feed *feed)
{
	struct client *client = feed->client;
	struct pgw_frame frame;
	enum pgw_err err;

	if (UNLIKELY(client->skip_bytes > 0))
		return feed_rest(feed);
	err = pgw_frame_read(feed->at, (size_t)(feed->end - feed->at), &frame);
	if (err == PGW_MORE)
		return STEP_MORE;
	if (UNLIKELY(err != PGW_OK))
		return violation(feed, "impossible message length");
	if (UNLIKELY(frame.n_body_bytes > worker_config(feed->worker)->max_packet_bytes)) {
		struct pgw_fault fault;

		pgw_fault_set(&fault, PGW_FAULT_PACKET_TOO_LONG, NULL,
			"%u bytes in a message of type %c.", frame.n_body_bytes, frame.type);
		client_fatal(client, &fault);
		return STEP_GONE;
	}
	if (UNLIKELY(client_is(client, CLIENT_DISCARD) && frame.type != PGW_SYNC &&
		     frame.type != PGW_TERMINATE))
		return feed_skip_message(feed, &frame);
	if (UNLIKELY(client->replication))
		return replication_feed(feed, &frame);
	if (UNLIKELY(must_wait(client, frame.type)) &&
		!(makes_room(client) && !must_wait(client, frame.type)))
		return STEP_WAIT;
	if (UNLIKELY(client->sync != NULL) && is_linked(client) && !write_sync_lets(client, &frame))
		return STEP_WAIT;
	return feed_message(feed, &frame);
}

/* Keeps what was not used for later. `bytes` may lie in `old`, which then goes on from there. */
static void keep(struct client *client, struct input *old, const uint8_t *bytes, size_t n)
{
	if (n > 0 && old && bytes >= old->data && bytes < old->data + old->len) {
		old->at = (size_t)(bytes - old->data);
		client->input = old;
		return;
	}
	client->input = input_new(bytes, n);
	mem_free(old);
}

/* Feeds bytes of the receive buffer, or (old not NULL) of the kept input. false: the client is
 * gone, or waits. */
static bool feed_bytes(struct client *client, struct input *old, const uint8_t *bytes, size_t n)
{
	struct worker *worker = client->worker;
	struct feed feed = {.client = client, .worker = worker, .at = bytes, .end = bytes + n};
	struct server *server;
	enum step step;

	gather_begin(&worker->to_client, &client->stream);
	if (client->state == CLIENT_LINKED)
		gather_begin(&worker->to_server, &client->server->stream);
	do {
		step = feed_one(&feed);
	} while (step == STEP_NEXT && feed.at < feed.end);
	server = client->server;
	if (worker->to_server.stream) {
		bool ok = gather_flush(&worker->to_server);

		worker->to_server.stream = NULL;
		if (!ok && server && client->state == CLIENT_LINKED) {
			link_server_lost(server, "the server's socket broke");
			server = NULL;
		}
	}
	if (worker->to_client.stream) {
		bool ok = gather_flush(&worker->to_client);

		worker->to_client.stream = NULL;
		if (!ok)
			client_disconnect(client, "the client's socket broke");
	}
	if (step == STEP_GONE || client->state == CLIENT_GONE || client->stream.fd < 0) {
		mem_free(old);
		return false;
	}
	keep(client, old, feed.at, (size_t)(feed.end - feed.at));
	if (client->state == CLIENT_LINKED && server && stream_is_blocked(&server->stream))
		step = STEP_WAIT;
	if (step == STEP_WAIT) {
		stream_pause(&client->stream);
		/* The end of file may have been seen before we stopped to look. */
		if ((client->stream.flags & STREAM_PEER_CLOSED) && client->stream.ssl == NULL)
			client_on_hangup(client);
	}
	if (client->state == CLIENT_LINKED)
		link_maybe_release(client);
	return step != STEP_WAIT;
}

/* One read behind what is kept. false: nothing came, or the client is gone. */
static bool read_more(struct client *client, bool *fed_r)
{
	struct worker *worker = client->worker;
	struct input *old = client->input;
	size_t n_old = input_bytes(old), n = 0;
	enum stream_result result;
	bool in_place = n_old > WORKER_RX_BYTES / 2;

	if (in_place) { /* a long message: read behind its beginning */
		size_t cap = n_old + WORKER_RX_BYTES;

		memmove(old->data, old->data + old->at, old->at > 0 ? n_old : 0);
		old->at = 0;

		if (old->cap < cap) {
			cap = MAX_OF(cap, old->cap * 2);
			old = client->input = mem_realloc(old, sizeof(*old) + cap);
			old->cap = cap;
		}
		result = stream_recv(&client->stream, old->data + n_old, old->cap - n_old, &n);
	} else {
		result = stream_recv(
			&client->stream, worker->rx + n_old, WORKER_RX_BYTES - n_old, &n);
	}
	if (result == STREAM_AGAIN)
		return false;
	if (result != STREAM_OK) {
		client_disconnect(client,
			result == STREAM_EOF ? "client unexpected eof" : "client socket error");
		return false;
	}
	if (client->pool)
		STAT_ADD(client->pool->stats.received, n);
	client->input = NULL;
	if (in_place) {
		old->len = n_old + n;
		*fed_r = feed_bytes(client, old, old->data, old->len);
		return *fed_r;
	}
	if (old) {
		memcpy(worker->rx, old->data + old->at, n_old);
		mem_free(old);
	}
	*fed_r = feed_bytes(client, NULL, worker->rx, n_old + n);
	return *fed_r;
}

static void read_on(struct client *client)
{
	bool fed = true;
	int round;

	for (round = 0; round < ROUNDS_PER_EVENT; round++) {
		if (!read_more(client, &fed))
			return;
		if (client->stream.fd < 0 || (client->stream.flags & STREAM_PAUSED) ||
			!stream_has_input(&client->stream))
			return;
		if (client->state != CLIENT_IDLE && client->state != CLIENT_LINKED)
			break;
	}
	client_resume(client); /* the others have their turn first */
}

void client_on_input(struct client *client)
{
	client->quiet_ticks = 0;
	if (client->state == CLIENT_IDLE || client->state == CLIENT_LINKED)
		read_on(client);
}

void client_feed_kept(struct client *client)
{
	struct input *old = client->input;

	if (old) {
		bool fed;

		client->input = NULL;
		fed = feed_bytes(client, old, old->data + old->at, input_bytes(old));
		if (client->state != CLIENT_WAITING && client->pool)
			client_waited(client);
		if (!fed)
			return;
	}
	if (stream_has_input(&client->stream) && !(client->stream.flags & STREAM_PAUSED))
		client_on_input(client);
}
