/* SPDX-License-Identifier: ISC */
/* Extended protocol: Describe, Close and Execute. */
#include "session/feed.h"
#include "session/restore.h"
#include "session/search.h"
#include "session/server.h"
#include "session/sql_prepared.h"
#include "session/write_sync.h"

#define MESSAGE_ROOM 512u /* of the small messages built here, names included */

static enum step unknown_portal(struct feed *feed, const struct pgw_frame *frame, const char *name)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_PORTAL_UNKNOWN, name, NULL);
	return feed_fail_batch(feed, frame, &fault);
}

static enum step describe(
	struct feed *feed, const struct pgw_frame *frame, const struct pgw_target *target)
{
	struct client *client = feed->client;
	struct statement *statement = NULL;
	const char *server_name = "pglane_no_such_unnamed_statement";
	struct pgw_writer writer;
	struct statement_route room;
	bool forwards = target->kind == 'P';
	enum step step;

	if (feed_refused(feed, frame, NULL, &step))
		return step;
	if (target->kind == 'S')
		statement = feed_find_statement(client, target->name, target->n_name_bytes);
	if (statement && feed_refused(feed, frame, statement, &step))
		return step;
	if (statement) {
		step = feed_want_server(
			feed, frame, sql_prepared_route(client, statement, "", &room));
		if (step != STEP_NEXT || client->state != CLIENT_LINKED)
			return step;
		if (UNLIKELY(statement->of_sql || (statement->route.effects & EFFECT_NAMES)))
			forwards = sql_prepared_ensure(client, target->name, target->n_name_bytes, statement);
		else
			server_ensure_statement_as(client->server, statement, target->n_name_bytes > 0);
	} else if (client->state != CLIENT_LINKED) {
		return target->kind == 'S' ? feed_unknown_statement(feed, frame, target->name)
					   : unknown_portal(feed, frame, target->name);
	}
	if (statement == NULL && target->kind == 'S' && UNLIKELY(client->server->sql_names != NULL))
		sql_prepared_forget(client, target->name);
	client_set(client, CLIENT_EXTENDED);
	client_statement_begins(client, 0);
	expect_push(&client->server->expects, (struct expect){.kind = EXPECT_DESCRIBE});
	if (forwards ||
		(statement == NULL &&
			(target->n_name_bytes > 0 || client_is(client, CLIENT_BIG_UNNAMED))) ||
		(statement && target->n_name_bytes == 0))
		return feed_forward(feed, frame);
	if (statement)
		server_name = statement->name;
	writer = gather_writer(&feed->worker->to_server, MESSAGE_ROOM);
	pgw_build_target(&writer, PGW_DESCRIBE, 'S', server_name);
	gather_commit(&feed->worker->to_server, &writer);
	return feed_skip_message(feed, frame);
}

static enum step close_target(
	struct feed *feed, const struct pgw_frame *frame, const struct pgw_target *target)
{
	struct client *client = feed->client;
	uint8_t reply[PGW_HEADER_BYTES];
	struct pgw_writer writer = pgw_writer_on(reply, sizeof(reply));
	struct expect expect = {.kind = EXPECT_CLOSE, .flags = EXPECT_LOCAL};
	struct statement *closed = NULL;

	if (client->state == CLIENT_LINKED)
		client_set(client, CLIENT_EXTENDED);
	if (target->kind == 'P' && client->state == CLIENT_LINKED) {
		if (UNLIKELY(client->sync != NULL))
			write_sync_forget_portal(client, target->name);
		expect_push(&client->server->expects, (struct expect){.kind = EXPECT_CLOSE});
		return feed_forward(feed, frame);
	}
	if (target->kind == 'S' && target->n_name_bytes > 0)
		closed = client_names_take(&client->names, &feed->worker->statements, target->name);
	else if (target->kind == 'S')
		client_unnamed_is(client, NULL);
	if (client->state == CLIENT_LINKED) {
		if (target->kind == 'S' && UNLIKELY(client->server->sql_names != NULL)) {
			if (closed == NULL && sql_prepared_closes_own(client, target->name)) {
				expect_push(&client->server->expects, (struct expect){.kind = EXPECT_CLOSE});
				return feed_forward(feed, frame);
			}
			sql_prepared_forget(client, target->name);
		}
		if (closed) { /* behind an error it did not happen */
			client_name_pending(client, target->name, closed);
			expect.n_names = 1;
		}
		expect_push(&client->server->expects, expect);
	} else {
		statement_unref(&feed->worker->statements, &closed);
		pgw_build_empty(&writer, PGW_CLOSE_COMPLETE);
		client_reply(client, reply, writer.len);
	}
	return feed_skip_message(feed, frame);
}

enum step feed_target(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;
	struct pgw_target target;
	enum pgw_err err;

	if (client_is(client, CLIENT_SESSION))
		return feed_pass_target(feed, frame);
	if (frame->n_body_bytes > GATHER_SCRATCH_BYTES / 2)
		return feed_violation(feed, PGW_E_TOO_LONG);
	if (frame->n_available < frame->n_body_bytes)
		return STEP_MORE;
	err = pgw_view_target(frame->body, frame->n_body_bytes, &target);
	if (err != PGW_OK)
		return feed_violation(feed, err);
	return frame->type == PGW_DESCRIBE ? describe(feed, frame, &target)
					   : close_target(feed, frame, &target);
}

static enum step send_execute(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;
	struct expect expect = {.kind = EXPECT_EXECUTE};
	struct pgw_execute execute;
	enum step step;

	if (UNLIKELY(client->sync != NULL) && write_sync_execute(feed, frame, &step))
		return step;
	if (client_is(client, CLIENT_SESSION))
		return feed_pass(feed, frame, EXPECT_EXECUTE);
	if (feed_refused(feed, frame, NULL, &step))
		return step;
	if (client->state != CLIENT_LINKED) {
		if (frame->n_available < frame->n_body_bytes)
			return STEP_MORE;
		if (pgw_view_execute(frame->body, frame->n_body_bytes, &execute) != PGW_OK)
			return feed_violation(feed, PGW_E_VALUE);
		return unknown_portal(feed, frame, execute.portal);
	}
	client_set(client, CLIENT_EXTENDED);
	client_statement_begins(client, 0);
	if (UNLIKELY(client->search != NULL))
		search_executed(client);
	if (UNLIKELY(client_is(client, CLIENT_BOUND_DEALLOCATE | CLIENT_BOUND_DEALLOCATE_ALL)))
		return feed_execute_deallocate(feed, frame);
	if (UNLIKELY(client->bound != NULL)) {
		if (frame->n_available < frame->n_body_bytes)
			return STEP_MORE;
		if (pgw_view_execute(frame->body, frame->n_body_bytes, &execute) != PGW_OK)
			return feed_violation(feed, PGW_E_VALUE);
		sql_prepared_execute(client, execute.portal, &expect);
	}
	if (UNLIKELY(feed->worker->detects) && frame->n_available == frame->n_body_bytes &&
		pgw_view_execute(frame->body, frame->n_body_bytes, &execute) == PGW_OK)
		tally_executed(client->server, &expect, execute.portal);
	expect_push(&client->server->expects, expect);
	return feed_forward(feed, frame);
}

enum step feed_execute(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;
	struct pgw_execute execute;
	enum step step;

	if (LIKELY(TAILQ_EMPTY(&client->restores)))
		return send_execute(feed, frame);
	if (frame->n_available < frame->n_body_bytes)
		return STEP_MORE;
	if (pgw_view_execute(frame->body, frame->n_body_bytes, &execute) != PGW_OK)
		return feed_violation(feed, PGW_E_VALUE);
	step = send_execute(feed, frame);
	if (step == STEP_NEXT && client->state == CLIENT_LINKED)
		restore_executed(client, execute.portal);
	return step;
}
