/* SPDX-License-Identifier: ISC */
/*
 * What a logged-in server says. Rows and COPY data are walked by their headers and leave from the
 * receive buffer; the other messages settle the queue of expected replies (server_reply.c). Bytes
 * are never looked at for meaning except at a message's first byte, so that no payload can be taken
 * for protocol.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "session/client.h"
#include "session/feed.h"
#include "session/listen_server.h"
#include "session/replica.h"
#include "session/walk.h"

#define ROUNDS_PER_EVENT 4
#define WHOLE_MAX_BYTES 65536u /* messages that are looked at are kept whole up to this */

/* Messages whose bodies are read here. */
static bool must_be_whole(uint8_t type)
{
	return type == PGW_READY_FOR_QUERY || type == PGW_PARAMETER_STATUS ||
	       type == PGW_ERROR_RESPONSE || type == PGW_COMMAND_COMPLETE ||
	       type == PGW_NOTIFICATION_RESPONSE;
}

/*
 * Whole messages that only pass, as one piece: the loop that bulk results, and the answers to most
 * simple queries, spend their time in. Rows and COPY data always pass; what describes and ends a
 * result does when nothing but ReadyForQuery settles its reply.
 */
enum { PASSES_ROW = 1, PASSES_RESULT = 2 };
static const uint8_t passing_kinds[256] = {
	[PGW_DATA_ROW] = PASSES_ROW,
	[PGW_COPY_DATA] = PASSES_ROW,
	[PGW_ROW_DESCRIPTION] = PASSES_RESULT,
	[PGW_COMMAND_COMPLETE] = PASSES_RESULT,
	[PGW_EMPTY_QUERY_RESPONSE] = PASSES_RESULT,
};

/* Bytes of the message at `at` if it is whole and passes; else 0. */
static inline size_t passing_bytes(const uint8_t *at, const uint8_t *end, unsigned passing)
{
	uint32_t length;

	if (end - at < PGW_HEADER_BYTES || !(passing_kinds[*at] & passing))
		return 0;
	length = (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 8 | at[4];
	if (length < 4 || (size_t)(end - at) < (size_t)length + 1)
		return 0;
	return (size_t)length + 1;
}

static const uint8_t *skip_passing(const uint8_t *at, const uint8_t *end, unsigned passing)
{
	size_t n;

	while ((n = passing_bytes(at, end, passing)) > 0)
		at += n;
	return at;
}

/* The same of a reply that is counted: rows by their headers, command tags by their numbers. */
NOINLINE static const uint8_t *count_passing(
	struct tally *tally, const uint8_t *at, const uint8_t *end, unsigned passing)
{
	size_t n;

	for (; (n = passing_bytes(at, end, passing)) > 0; at += n) {
		if (passing_kinds[*at] == PASSES_ROW)
			tally_row(tally, n);
		else if (*at == PGW_COMMAND_COMPLETE)
			tally_tag(tally, at + PGW_HEADER_BYTES, n - PGW_HEADER_BYTES);
	}
	return at;
}

/* A message is over: its client may have sent a Flush behind what is answered here. */
static void emit_locals_behind(struct walk *walk)
{
	const struct expect *front = expect_front(&walk->server->expects);

	if (UNLIKELY(front && (front->flags & EXPECT_LOCAL) && walk->server->skip_bytes == 0)) {
		walk_emit_locals(walk->server, walk->client, walk_out(walk));
		walk_batch_paused(walk->server);
	}
}

static void walk_rest(struct walk *walk)
{
	struct server *server = walk->server;
	size_t n = MIN_OF((size_t)(walk->end - walk->at), server->skip_bytes);

	if (walk->client && !server_is(server, SERVER_SKIP_SWALLOW))
		gather_ref(walk_out(walk), walk->at, n);
	walk->at += n;
	server->skip_bytes -= n;
	emit_locals_behind(walk);
}

void walk_batch_paused(struct server *server)
{
	struct client *client = server->client;

	if (server->expects.n == 0)
		server->tally.began_us = 0; /* no time passes for what comes next */
	if (server->expects.n == 0 && client && client->state == CLIENT_LINKED)
		client_statement_ends(client, loop_now_us(&server->worker->loop), false);
}

/* Short, hence whole. A client's may be the listener's to pass. */
void walk_notification(struct walk *walk, const struct pgw_frame *frame)
{
	struct server *server = walk->server;

	if (UNLIKELY(server->listener != NULL)) {
		if (frame->n_available == frame->n_body_bytes)
			listen_server_hears(server, walk->at, PGW_HEADER_BYTES + frame->n_available);
		return;
	}
	if (UNLIKELY(walk->client && walk->client->listen) &&
		listen_takes(walk->client, walk->at, frame->body, frame->n_available))
		server_set(server, SERVER_SKIP_SWALLOW);
	else
		walk_forward(walk, frame);
}

/* false: no more can be done with what is here. */
static bool walk_one(struct walk *walk)
{
	struct server *server = walk->server;
	const struct expect *front = expect_front(&server->expects);
	struct pgw_frame frame;
	enum pgw_err err;

	if (server->skip_bytes > 0) {
		walk_rest(walk);
		return walk->at < walk->end;
	}
	if (front && !(front->flags & (EXPECT_SWALLOW | EXPECT_LOCAL | EXPECT_WATCH | EXPECT_MASKED)) &&
		LIKELY(!server_is(server, SERVER_SETUP_FAILED))) {
		bool of_query = front->kind == EXPECT_QUERY && front->n_names == 0 &&
				!server_is(server, SERVER_COPY_IN | SERVER_COPY_BOTH) &&
				!(walk->client && walk->client->commit_class != 0);
		unsigned passing = of_query ? PASSES_ROW | PASSES_RESULT : PASSES_ROW;
		const uint8_t *rows =
			UNLIKELY(front->counted)
				? count_passing(&server->tally, walk->at, walk->end, passing)
				: skip_passing(walk->at, walk->end, passing);

		if (walk->client)
			gather_ref(walk_out(walk), walk->at, (size_t)(rows - walk->at));
		walk->at = rows;
		if (rows == walk->end)
			return false;
	}
	err = pgw_frame_read(walk->at, (size_t)(walk->end - walk->at), &frame);
	if (err == PGW_MORE)
		return false;
	if (err == PGW_OK &&
		(must_be_whole(frame.type) ||
			(front && (front->flags & (EXPECT_ANSWER | EXPECT_WATCH | EXPECT_MASKED)))) &&
		frame.n_available < MIN_OF(frame.n_body_bytes, WHOLE_MAX_BYTES))
		return false;
	server_unset(server, SERVER_SKIP_SWALLOW);
	/* What nobody gets the head of, nobody gets the rest of, whoever has the server by then. */
	if (walk->client == NULL || (walk_is_swallowed(walk) && frame.type != PGW_NOTIFICATION_RESPONSE))
		server_set(server, SERVER_SKIP_SWALLOW);
	if (err != PGW_OK || !walk_message(walk, &frame)) {
		walk->dead = true;
		return false;
	}
	walk->at += PGW_HEADER_BYTES + frame.n_available;
	server->skip_bytes = frame.n_body_bytes - frame.n_available;
	emit_locals_behind(walk);
	return walk->at < walk->end;
}

static void protocol_broken(struct server *server)
{
	log_error("S-%llu: unexpected message from the server %s: closing it",
		(unsigned long long)server->id, server->host ? server->host : "");
	(void)snprintf(
		server->last_words, sizeof(server->last_words), "it sent an unexpected message");
	link_server_lost(server, "protocol violation of the server");
}

/* A swap of lanes, or a search, waits with its server: what an open batch was answered is still the client's. */
static bool is_listening(const struct client *client)
{
	return client->state == CLIENT_LINKED || client->state == CLIENT_WAITING ||
	       client->state == CLIENT_SEARCHING;
}

static void walk_bytes(struct server *server, const uint8_t *bytes, size_t n)
{
	struct worker *worker = server->worker;
	struct client *client =
		server->client && is_listening(server->client) ? server->client : NULL;
	struct walk walk = {.server = server,
		.worker = worker,
		.client = client,
		.at = bytes,
		.end = bytes + n};
	bool sent = true, was_full = expect_is_full(&server->expects);

	if (client)
		gather_begin(&worker->to_client, &client->stream);
	while (walk_one(&walk))
		;
	if (client) {
		STAT_ADD(client->pool->stats.sent, worker->to_client.n_bytes);
		if (UNLIKELY(server->kept != NULL) && worker->to_client.n_bytes > 0)
			replica_answer_left(server);
		sent = gather_flush(&worker->to_client);
		worker->to_client.stream = NULL;
	}
	if (walk.dead) {
		protocol_broken(server);
		return;
	}
	server->partial = input_new(walk.at, (size_t)(walk.end - walk.at));
	if (client && !sent)
		client_disconnect(client, "the client's socket broke");
	else if (client && server->client == client && stream_is_blocked(&client->stream))
		stream_pause(&server->stream); /* until the client has read what is kept for it */
	else if (UNLIKELY(was_full) && client && client->state == CLIENT_LINKED &&
		!expect_is_full(&server->expects))
		client_resume(client); /* it waited with the rest of its batch */
}

/* false: nothing came, or the server is gone. */
static bool read_more(struct server *server)
{
	struct worker *worker = server->worker;
	struct input *old = server->partial;
	size_t n_old = old ? old->len : 0, n = 0;
	enum stream_result result =
		stream_recv(&server->stream, worker->rx + n_old, WORKER_RX_BYTES - n_old, &n);

	if (result == STREAM_AGAIN)
		return false;
	server->quiet_ticks = 0;
	if (result != STREAM_OK) {
		server_set(server, SERVER_ENDED);
		link_server_lost(server, "server closed the connection");
		return false;
	}
	if (old) {
		memcpy(worker->rx, old->data, n_old);
		mem_free(old);
		server->partial = NULL;
	}
	walk_bytes(server, worker->rx, n_old + n);
	return true;
}

void server_on_input(struct server *server)
{
	int round;

	if (server->state == SERVER_CONNECTING) {
		server_login_on_input(server);
		return;
	}
	if (server->state == SERVER_CLOSING) {
		server_drain(server);
		return;
	}
	for (round = 0; round < ROUNDS_PER_EVENT; round++) {
		if (!read_more(server) || server->stream.fd < 0 || server->state == SERVER_CLOSING)
			return;
		if ((server->stream.flags & STREAM_PAUSED) || !stream_has_input(&server->stream))
			return;
	}
	server_resume(server); /* the others have their turn first */
}
