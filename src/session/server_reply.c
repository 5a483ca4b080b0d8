/* SPDX-License-Identifier: ISC */
/*
 * What each message of a server means: it settles the queue of expected replies, and goes to the
 * client, or is ours to swallow.
 */
#include "base/mem.h"
#include "session/ahead.h"
#include "session/client.h"
#include "session/feed.h"
#include "session/listen.h"
#include "session/pin.h"
#include "session/replay.h"
#include "session/replica.h"
#include "session/restore.h"
#include "session/sequence.h"
#include "session/setting.h"
#include "session/sql_agree.h"
#include "session/sql_prepared.h"
#include "session/walk.h"
#include "session/write_sync.h"

void walk_emit_locals(struct server *server, struct client *client, struct gather *out)
{
	struct expect *front;

	while ((front = expect_front(&server->expects)) != NULL && (front->flags & EXPECT_LOCAL)) {
		uint8_t type =
			front->kind == EXPECT_PARSE ? PGW_PARSE_COMPLETE : PGW_CLOSE_COMPLETE;

		if (client) {
			struct pgw_writer writer = gather_writer(out, PGW_HEADER_BYTES);

			pgw_build_empty(&writer, type);
			gather_commit(out, &writer);
			replica_names_confirmed(server, front->n_names);
		}
		expect_pop(&server->expects);
	}
}

void server_emit_locals(struct server *server)
{
	/* In its client's feed, whose gather is open. Behind half a message: when its rest has come. */
	if (server->skip_bytes == 0)
		walk_emit_locals(server, server->client, &server->worker->to_client);
}

/* A reply that will not come: what was taken for granted when its message was sent is taken back.
 */
static void undo(struct walk *walk, const struct expect *expect)
{
	struct server *server = walk->server;

	if (expect->n_names && server->client)
		client_names_failed(server->client, expect->n_names);
	if (expect->flags & EXPECT_ALL)
		server_copies_return(server);
	if (expect->kind != EXPECT_PARSE) {
		if (expect->flags & EXPECT_COPY)
			server_copies_add(&server->copies, expect->hash);
		return;
	}
	if (expect->flags & EXPECT_COPY)
		server_copies_drop(&server->copies, expect->hash);
	if (expect->flags & EXPECT_UNNAMED) {
		server->unnamed = (struct pgw_hash128){0, 0};
		if (server->client)
			client_unnamed_failed(server->client);
	}
	if ((expect->flags & EXPECT_SWALLOW) && !(expect->flags & EXPECT_COPY))
		server->unnamed = (struct pgw_hash128){0, 0};
}

/* n replies will not come. The last first: a name may have been closed and given anew. */
static void undo_front(struct walk *walk, uint32_t n)
{
	struct expect_queue *expects = &walk->server->expects;
	uint32_t i;

	for (i = n; i > 0; i--)
		undo(walk, expect_at(expects, i - 1));
	for (i = 0; i < n; i++)
		expect_pop(expects);
}

/* Half a message of its client went to the server: what we say now would become its rest. */
static bool is_amid_message(const struct client *client)
{
	return client && client->skip_bytes > 0 && !client_is(client, CLIENT_DROP_MESSAGE);
}

/* An extended batch failed: the server is deaf up to the next Sync. */
static void drop_to_sync(struct walk *walk)
{
	struct expect_queue *expects = &walk->server->expects;
	bool had_query = false, ours = (expect_front(expects)->flags & EXPECT_SWALLOW) != 0;
	uint32_t n;

	for (n = 0; n < expects->n && expect_at(expects, n)->kind != EXPECT_SYNC; n++)
		had_query |= expect_at(expects, n)->kind == EXPECT_QUERY;
	undo_front(walk, n);
	if (expects->n > 0)
		return;
	if (had_query && (ours || walk->client == NULL)) {
		/* Our own BEGIN ahead of a simple query failed, and the query went unheard. */
		expect_push(expects, (struct expect){.kind = EXPECT_SYNC});
		if (is_amid_message(walk->server->client))
			server_set(walk->server, SERVER_OWES_SYNC);
		else
			inject_sync(walk->server);
	} else if (walk->client) {
		client_batch_failed(walk->client);
	}
}

void walk_statements_settled(struct server *server, bool failed)
{
	server_unset(server, SERVER_STATEMENTS_GOING);
	if (failed) {
		server_set(server, SERVER_RETIRE); /* who knows which statements it still has */
		return;
	}
	server_copies_clear(&server->copies);
	sql_agree_forget(server);
	server->unnamed = (struct pgw_hash128){0, 0};
	if (server->client)
		client_statements_deallocated(server->client);
}

/* What is behind parameters that could not be applied fails in their transaction. Its client has
 * heard why: what the server says of it is ours, and no name was given or taken. */
static void nothing_runs(struct walk *walk)
{
	struct expect_queue *expects = &walk->server->expects;
	uint32_t n = 0;

	while (n < expects->n && expect_at(expects, n)->kind != EXPECT_SYNC &&
		expect_at(expects, n)->kind != EXPECT_QUERY)
		n++;
	for (; n > 0 && walk->server->client; n--) {
		struct expect *expect = expect_at(expects, n - 1);

		client_names_failed(walk->server->client, expect->n_names);
		if (expect->kind == EXPECT_PARSE && (expect->flags & EXPECT_UNNAMED))
			client_unnamed_failed(walk->server->client);
		expect->n_names = 0;
		expect->flags &= (uint16_t)~EXPECT_UNNAMED;
	}
}

/* Parameters of ours were applied, or not. */
static void setup_settled(struct walk *walk, bool failed)
{
	struct server *server = walk->server;

	if (failed && server->params_before) {
		param_set_unref(&server->params);
		server->params = server->params_before;
		server->params_before = NULL;
		/* What it has may be in the way of everybody: it is reset before it serves again. */
		server_set(server, SERVER_SETUP_FAILED | SERVER_TAINTED | SERVER_MUST_RESET);
		if (!server_is(server, SERVER_WELCOMING))
			nothing_runs(walk);
	}
	param_set_unref(&server->params_before);
}

/*
 * ReadyForQuery of what did not run. A client that had no transaction has none now: ours is rolled
 * back behind its back, and the next statement tries again. Else the transaction is its own to end.
 */
static bool setup_refused(struct walk *walk, enum pgw_xact xact)
{
	struct server *server = walk->server;
	struct client *client = server->client;
	bool in_xact;

	server_unset(server, SERVER_SETUP_FAILED);
	server_set(server, SERVER_FRESH);
	if (client == NULL || xact == PGW_XACT_IDLE)
		return false;
	in_xact = client->xact != XACT_NONE;
	server_unset(server, SERVER_STATEMENTS_GOING); /* they stay */
	setting_settled(client, true);
	client_on_ready(client, in_xact ? PGW_XACT_FAILED : PGW_XACT_IDLE);
	if (in_xact) /* its own to end, but not there */
		client->xact = XACT_FAILED;
	client_send_ready(client);
	server_set(server, SERVER_ROLLS_BACK);
	if (is_amid_message(client))
		server_set(server, SERVER_OWES_ROLLBACK);
	else
		inject_query(server, "ROLLBACK", 0);
	return true;
}

/* ReadyForQuery of a batch that met a stale copy. */
static void said_again(struct server *server)
{
	struct client *client = server->client;

	if (UNLIKELY(server->kept != NULL))
		replica_forget(server);
	client_unset(client, CLIENT_REPLAYS);
	client_set(client, CLIENT_REPLAYED);
	replay_close_stale(server);
	replay_input(client);
}

/* ReadyForQuery: a counted Query is over, and perhaps its transaction. */
NOINLINE static void settle_tally(struct server *server, const struct expect *expect, bool ran)
{
	if (expect->counted && ran)
		tally_end(server, expect, false);
	if (server->expects.n > 0) /* ours, ahead of what is counted */
		return;
	server->tally.began_us = 0;
	if (server->xact == PGW_XACT_IDLE)
		tally_transaction_end(server);
}

/* true: its client does not get this ReadyForQuery. */
static bool nobody_hears(struct walk *walk, enum pgw_xact xact)
{
	struct server *server = walk->server;

	if (!server_is(server, SERVER_RUNS_AGAIN))
		return setup_refused(walk, xact);
	replica_run_again(server);
	return true;
}

static bool on_ready_for_query(struct walk *walk, const struct pgw_frame *frame)
{
	struct server *server = walk->server;
	struct expect_queue *expects = &server->expects;
	bool failed = server_is(server, SERVER_BATCH_FAILED),
	     ran = !server_is(server, SERVER_SETUP_FAILED | SERVER_RUNS_AGAIN);
	struct expect expect;
	enum pgw_xact xact;
	uint32_t n = 0;

	if (pgw_view_ready(frame->body, frame->n_body_bytes, &xact) != PGW_OK)
		return false;
	walk_locals(walk);
	while (n < expects->n && expect_at(expects, n)->kind != EXPECT_SYNC &&
		expect_at(expects, n)->kind != EXPECT_QUERY)
		n++;
	undo_front(walk, n);
	if (expects->n == 0)
		return false;
	expect = *expect_front(expects);
	expect_pop(expects);
	if (LIKELY(!(expect.flags & EXPECT_SWALLOW)))
		expect_batch_over(expects);
	server->xact = (uint8_t)xact;
	if (UNLIKELY(server->tally.is_used))
		settle_tally(server, &expect, ran);
	if (UNLIKELY(expect.flags & EXPECT_MASKED) && server->client)
		restore_amid_over(server->client);
	server_unset(server, SERVER_BATCH_FAILED);
	server_unset(server, SERVER_COPY_IN | SERVER_COPY_BOTH);
	if (UNLIKELY(expect.n_names) && server->client) {
		uint32_t n_ran = sql_prepared_ran(server, &expect, failed);

		replica_names_confirmed(server, n_ran);
		expect.n_names -= n_ran;
	}
	if (UNLIKELY(expect.n_names) && failed)
		undo(walk, &expect);
	if (UNLIKELY(server->sql_names != NULL) && (failed || !(expect.flags & EXPECT_SWALLOW)))
		sql_agree_settle(server, failed);
	if (UNLIKELY(server->client && server->client->sync) &&
		(expect.flags & (EXPECT_SWALLOW | EXPECT_COMMIT)) != EXPECT_SWALLOW &&
		!server_is(server, SERVER_SETUP_FAILED) &&
		write_sync_ready(walk, frame, &expect, xact, failed)) {
		; /* the client has it, or is not to have it yet */
	} else if (UNLIKELY(expect.flags & EXPECT_SWALLOW)) {
		if (expect.flags & EXPECT_ANSWER)
			pin_answered(server, failed);
		else if (expect.flags & EXPECT_LISTEN)
			listen_query_over(server, &expect, failed);
		else if (expect.flags & EXPECT_SETUP)
			setup_settled(walk, failed);
		else if (UNLIKELY(failed && (expect.flags & EXPECT_CLEARS)))
			return false; /* what is behind it may be told another client's values */
		else if (failed && server_is(server, SERVER_RESET_SENT | SERVER_ASKED))
			server_set(server, SERVER_RETIRE); /* who knows what it still has */
		server_unset(server, SERVER_ROLLS_BACK);
	} else if (UNLIKELY(server->client && client_is(server->client, CLIENT_REPLAYS))) {
		said_again(server);
		return true;
	} else if (LIKELY(!server_is(server, SERVER_SETUP_FAILED | SERVER_RUNS_AGAIN)) ||
		   !nobody_hears(walk, xact)) {
		if (UNLIKELY(server_is(server, SERVER_STATEMENTS_GOING)))
			walk_statements_settled(server, failed);
		if (server->client)
			setting_settled(server->client, failed);
		if (UNLIKELY(walk->client && walk->client->listen) && xact == PGW_XACT_IDLE)
			listen_flush_ahead(walk->client);
		walk_forward(walk, frame);
		if (server->client)
			client_on_ready(server->client, xact);
	}
	if (UNLIKELY(server_is(server, SERVER_HAS_STALE)) && !is_amid_message(server->client))
		replay_close_stale(server);
	if (expects->n == 0) {
		link_on_ready(server);
		if (server->client != walk->client)
			walk->client =
				NULL; /* released: what may follow in this read is nobody's */
	}
	return true;
}

/* CopyInResponse in the extended protocol: the Sync that was sent with the Execute will not be
 * answered. */
static void copy_in_begins(struct walk *walk)
{
	struct server *server = walk->server;
	struct expect *front = expect_front(&server->expects);

	/* A client that did not wait for this message may have ended the COPY already. */
	if (server->client == NULL || !client_is(server->client, CLIENT_COPY_ENDED))
		server_set(server, SERVER_COPY_IN);
	if (server->client && server->client->state == CLIENT_LINKED && server->client->input)
		client_resume(server->client); /* what waits there cannot belong to a COPY */
	if (front == NULL || front->kind != EXPECT_EXECUTE || server->expects.n < 2 ||
		expect_at(&server->expects, 1)->kind != EXPECT_SYNC ||
		(expect_at(&server->expects, 1)->flags & EXPECT_AFTER_COPY))
		return;
	*expect_at(&server->expects, 1) = *front;
	expect_pop(&server->expects);
	if (server->client && server->client->state == CLIENT_LINKED) {
		client_unset(server->client, CLIENT_AWAITS_READY);
		client_set(server->client, CLIENT_EXTENDED);
		client_resume(server->client);
	}
}

static bool on_parameter_status(struct walk *walk, const struct pgw_frame *frame)
{
	struct server *server = walk->server;
	const struct expect *front;
	const char *name, *value;
	struct param_set *set;

	if (frame->n_available < frame->n_body_bytes) { /* too long to be kept track of */
		if (!walk_is_swallowed(walk))
			walk_forward(walk, frame);
		return true;
	}
	if (pgw_view_parameter_status(frame->body, frame->n_body_bytes, &name, &value) != PGW_OK)
		return false;
	if (!param_is_server_fact(name)) {
		set = param_set_with(server->params, name, value);
		param_set_unref(&server->params);
		server->params = set;
	}
	front = expect_front(&server->expects);
	if (walk_is_swallowed(walk) && !(front && (front->flags & EXPECT_SETUP)))
		return true;
	/* Of its own parameters, too: what it asked for may have another spelling, and two sets
	 * that differ would be sent again in the middle of a batch. */
	if (walk->client && !param_is_server_fact(name)) {
		bool is_primary = server->pool == walk->client->pool;

		if (!is_primary && walk_is_swallowed(walk) && replica_is_our_param(name))
			return true;
		set = param_set_with(walk->client->params, name, value);
		param_set_unref(&walk->client->params);
		walk->client->params = set;
	}
	if (!walk_is_swallowed(walk) && !write_sync_holds(walk, frame))
		walk_forward(walk, frame);
	return true;
}

static void send_fault(struct walk *walk, const struct pgw_fault *fault)
{
	struct pgw_writer writer = gather_writer(walk_out(walk), 4 * PGW_FAULT_TEXT_BYTES);

	pgw_build_fault(&writer, fault);
	gather_commit(walk_out(walk), &writer);
}

static void send_ahead_failed(struct walk *walk, const struct pgw_error_view *view)
{
	char sqlstate[AHEAD_SQLSTATE_BYTES];
	struct pgw_fault fault;

	ahead_fault(view, &fault, sqlstate);
	send_fault(walk, &fault);
}

static void send_lane_timeout(struct walk *walk)
{
	struct pgw_fault fault;

	client_lane_timeout_fault(walk->client, &fault);
	send_fault(walk, &fault);
}

static bool on_error(struct walk *walk, const struct pgw_frame *frame)
{
	struct server *server = walk->server;
	struct expect *front;
	struct pgw_error_view view;
	bool swallow;

	/* Of a long one only the beginning is here; severity and SQLSTATE come first. */
	if (pgw_view_error(frame->body, frame->n_available, &view) != PGW_OK &&
		frame->n_available == frame->n_body_bytes)
		return false;
	server_set(server, SERVER_BATCH_FAILED);
	server_unset(server, SERVER_COPY_IN | SERVER_COPY_BOTH);
	server_set(server, SERVER_SKIP_SWALLOW); /* the rest of a long one that is not sent on */
	if (strcmp(view.severity, "FATAL") == 0 || strcmp(view.severity, "PANIC") == 0) {
		(void)snprintf(server->last_words, sizeof(server->last_words), "%s (%s)",
			view.message, view.sqlstate);
		if (strcmp(view.sqlstate, "08P01") == 0)
			server_set(server, SERVER_VIOLATED);
		if (walk->client == NULL || !client_is(walk->client, CLIENT_SESSION))
			return true; /* the end of file comes next: the client hears of it then */
	}
	walk_locals(walk);
	front = expect_front(&server->expects);
	/* Errors of what was sent for the client's statement are the client's; those of whole
	 * queries of our own are not, but that of its parameters is. */
	swallow = front && (front->kind == EXPECT_QUERY || (front->flags & EXPECT_ANSWER)) &&
		  (front->flags & EXPECT_SWALLOW) && !(front->flags & (EXPECT_SETUP | EXPECT_COMMIT));
	if (UNLIKELY(server->client && server->client->sync))
		write_sync_error(walk, front);
	if (server_is(server, SERVER_WELCOMING)) {
		if (server->client)
			login_server_refused(server->client, &view);
		swallow = true;
	}
	if (server_is(server, SERVER_SETUP_FAILED))
		swallow = true; /* it has heard why */
	if (UNLIKELY(replay_is_stale(front, &view)) && replay_begins(server, front))
		swallow = true; /* it will be said again */
	if (UNLIKELY(server->sql_names != NULL) && replay_says_stale(&view))
		sql_prepared_stale(server);
	if (UNLIKELY(replay_has_other_copies(front, &view)))
		server_set(server, SERVER_RETIRE);
	if (UNLIKELY(server->kept != NULL) && !swallow && replica_refused(walk, view.sqlstate)) {
		swallow = true; /* At ReadyForQuery it goes to the primary. */
	}
	if (UNLIKELY(server->tally.is_used) && !swallow)
		tally_error(server, walk->client &&
					    client_is(walk->client, CLIENT_LANE_TIMEOUT) &&
					    strcmp(view.sqlstate, "57014") == 0);
	if (walk->client && !swallow) {
		STAT_ADD(walk->worker->classes[walk->client->class].n_errors, 1);
		sequence_failed(walk->client, view.sqlstate);
		if (UNLIKELY(client_is(walk->client, CLIENT_LANE_TIMEOUT) &&
			     strcmp(view.sqlstate, "57014") == 0))
			send_lane_timeout(walk);
		else if (UNLIKELY(front && (front->flags & EXPECT_FAULT) && walk->client->fault))
			send_fault(walk, walk->client->fault);
		else if (UNLIKELY(front && (front->flags & EXPECT_AHEAD)) &&
			 ahead_is_why(&view))
			send_ahead_failed(walk, &view);
		else if (!UNLIKELY(front && (front->flags & EXPECT_MASKED)) || !restore_error(walk, frame)) {
			server_unset(server, SERVER_SKIP_SWALLOW); /* its rest follows, too */
			walk_forward(walk, frame);
		}
	}
	if (front && front->kind != EXPECT_QUERY && front->kind != EXPECT_SYNC)
		drop_to_sync(walk);
	walk_batch_paused(server);
	return true;
}

/* Of a counted reply, what did not pass in one piece with others. */
NOINLINE static void count_message(struct server *server, const struct pgw_frame *frame)
{
	if (frame->type == PGW_DATA_ROW || frame->type == PGW_COPY_DATA)
		tally_row(&server->tally, PGW_HEADER_BYTES + (uint64_t)frame->n_body_bytes);
	else if (frame->type == PGW_COMMAND_COMPLETE)
		tally_tag(&server->tally, frame->body, frame->n_available);
}

/* Messages that belong to the reply at the front; `ends` when it is the last of it. */
static bool on_reply(
	struct walk *walk, const struct pgw_frame *frame, enum expect_kind kind, bool ends)
{
	struct server *server = walk->server;
	struct expect *front;
	bool kept, watched;

	walk_locals(walk);
	front = expect_front(&server->expects);
	if (UNLIKELY(front == NULL))
		return false;
	if (UNLIKELY(front->n_names) && front->kind == EXPECT_QUERY && frame->type == PGW_COMMAND_COMPLETE &&
		sql_prepared_tag(server, frame->body, frame->n_available) && server_is(server, SERVER_STATEMENTS_GOING))
		walk_statements_settled(server, false); /* done, whatever becomes of the rest of its string */
	watched = (front->flags & EXPECT_WATCH) != 0;
	kept = UNLIKELY(watched) ? write_sync_keeps(walk, frame, front)
				 : (front->flags & EXPECT_SWALLOW) != 0;
	if (UNLIKELY(front->flags & EXPECT_MASKED))
		kept = restore_keeps(front, frame->type);
	if (UNLIKELY(front->counted))
		count_message(server, frame);
	if (!kept && LIKELY(!server_is(server, SERVER_SETUP_FAILED)))
		walk_forward(walk, frame);
	if (!ends || front->kind == EXPECT_QUERY)
		return true;
	if (UNLIKELY(front->kind != kind))
		return false;
	watched &= kind == EXPECT_EXECUTE;
	if (UNLIKELY(front->n_names) && server->client)
		replica_names_confirmed(server, front->n_names);
	if (UNLIKELY(front->counted))
		tally_end(server, front, frame->type == PGW_PORTAL_SUSPENDED);
	expect_pop(&server->expects);
	if (UNLIKELY(watched))
		write_sync_reply_over(walk);
	if (UNLIKELY(server->expects.n == 0))
		walk_batch_paused(server);
	return true;
}

/* To a question of our own. */
static bool is_answer(const struct walk *walk)
{
	const struct expect *front = expect_front(&walk->server->expects);

	return front && (front->flags & EXPECT_ANSWER);
}

bool walk_message(struct walk *walk, const struct pgw_frame *frame)
{
	struct server *server = walk->server;

	switch (frame->type) {
	case PGW_PARSE_COMPLETE:
		return on_reply(walk, frame, EXPECT_PARSE, true);
	case PGW_BIND_COMPLETE:
		return on_reply(walk, frame, EXPECT_BIND, true);
	case PGW_CLOSE_COMPLETE:
		return on_reply(walk, frame, EXPECT_CLOSE, true);
	case PGW_ROW_DESCRIPTION:
	case PGW_NO_DATA: {
		struct expect *front;

		walk_locals(walk);
		front = expect_front(&server->expects);
		return on_reply(
			walk, frame, EXPECT_DESCRIBE, front && front->kind == EXPECT_DESCRIBE);
	}
	case PGW_COMMAND_COMPLETE:
	case PGW_EMPTY_QUERY_RESPONSE:
	case PGW_PORTAL_SUSPENDED:
		server_unset(server, SERVER_COPY_IN);
		server_unset(server, SERVER_COPY_BOTH);
		if (UNLIKELY(walk->client && walk->client->commit_class != 0) &&
			!walk_is_swallowed(walk))
			setting_tag(walk->client, frame->body, frame->n_available);
		if (UNLIKELY(walk->client && client_is(walk->client, CLIENT_EXTENDED_SETS)) &&
			!walk_is_swallowed(walk))
			setting_ran(walk->client, frame->body, frame->n_available);
		return on_reply(walk, frame, EXPECT_EXECUTE, true);
	case PGW_COPY_IN_RESPONSE:
		copy_in_begins(walk);
		return on_reply(walk, frame, EXPECT_EXECUTE, false);
	case PGW_COPY_BOTH_RESPONSE:
		server_set(server, SERVER_COPY_BOTH);
		return on_reply(walk, frame, EXPECT_EXECUTE, false);
	case PGW_DATA_ROW:
		if (UNLIKELY(is_answer(walk)))
			return pin_answer(server, frame->body, frame->n_available,
				frame->n_available == frame->n_body_bytes);
		return on_reply(walk, frame, EXPECT_EXECUTE, false);
	case PGW_COPY_DATA:
	case PGW_COPY_DONE:
	case PGW_COPY_OUT_RESPONSE:
	case PGW_PARAMETER_DESCRIPTION:
	case PGW_FUNCTION_CALL_RESPONSE:
		return on_reply(walk, frame, EXPECT_EXECUTE, false);
	case PGW_ERROR_RESPONSE:
		return on_error(walk, frame);
	case PGW_READY_FOR_QUERY:
		return on_ready_for_query(walk, frame);
	case PGW_PARAMETER_STATUS:
		return on_parameter_status(walk, frame);
	case PGW_NOTICE_RESPONSE:
		if (!walk_is_swallowed(walk))
			walk_forward(walk, frame);
		return true;
	case PGW_NOTIFICATION_RESPONSE:
		walk_notification(walk, frame);
		return true;
	default:
		return false;
	}
}
