/* SPDX-License-Identifier: ISC */
/* Extended protocol: Bind. */
#include "session/feed.h"

#include "base/mem.h"
#include "session/listen.h"
#include "session/pin.h"
#include "session/replay.h"
#include "session/restore.h"
#include "session/search.h"
#include "session/sequence.h"
#include "session/server.h"
#include "session/setting.h"
#include "session/sql_prepared.h"
#include "session/write_sync.h"

static bool is_meant(const struct statement *statement, struct pgw_hash128 meaning)
{
	return statement->meaning.lo == meaning.lo && statement->meaning.hi == meaning.hi;
}

/* Its client has other settings than at Parse: the text goes by those that hold now. */
NOINLINE static struct statement *mean_anew(
	struct client *client, const char *name, size_t n_name, struct statement *old)
{
	struct statement_table *table = &client->worker->statements;
	struct statement *statement = statement_meaning(table, old, client_meaning(client));

	if (n_name > 0) {
		client_names_change(client->names, table, name, statement);
	} else {
		statement_unref(table, &client->unnamed);
		client->unnamed = statement;
	}
	return statement;
}

/* The statement that `name` means to this client; NULL: none. */
struct statement *feed_find_statement(struct client *client, const char *name, size_t n_name)
{
	struct statement *statement =
		n_name ? client_names_find(client->names, name) : client->unnamed;

	if (statement && UNLIKELY(!is_meant(statement, client_meaning(client)) && !statement->of_sql))
		statement = mean_anew(client, name, n_name, statement);
	if (statement)
		feed_route_statement(client, statement);
	return statement;
}

static void send_bind(struct feed *feed, const struct pgw_frame *frame, const struct pgw_bind *bind,
	const char *server_name)
{
	struct gather *out = &feed->worker->to_server;
	size_t n_names = bind->n_portal_bytes + 1 + strlen(server_name) + 1;
	struct pgw_writer writer = gather_writer(out, PGW_HEADER_BYTES + n_names);
	uint32_t n_rest = frame->n_body_bytes - (uint32_t)bind->n_prefix_bytes;

	pgw_write_u8(&writer, PGW_BIND);
	pgw_write_u32(&writer, (uint32_t)(4 + n_names + n_rest));
	pgw_write_cstr(&writer, bind->portal);
	pgw_write_cstr(&writer, server_name);
	gather_commit(out, &writer);
	gather_ref(
		out, frame->body + bind->n_prefix_bytes, frame->n_available - bind->n_prefix_bytes);
	feed->client->skip_bytes = frame->n_body_bytes - frame->n_available;
	feed->at += PGW_HEADER_BYTES + frame->n_available;
}

/* What the portal is of: its Execute will be asked for by its name. */
static void note_portal(
	struct client *client, const char *portal, const struct statement *statement, const struct statement_route *route)
{
	if (UNLIKELY(client->worker->detects))
		tally_bound(client->server, portal, route);
	if (UNLIKELY(!TAILQ_EMPTY(&client->restores) || (route && (route->effects & RESTORE_EFFECTS))))
		restore_bound(client, portal, statement ? statement->text : NULL, statement ? statement->n_query - 1 : 0);
}

enum step feed_bind(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;
	struct expect expect = {.kind = EXPECT_BIND};
	const struct statement_route *route = NULL;
	struct statement_route room;
	struct statement *statement;
	bool by_its_name = false;
	struct pgw_fault fault;
	struct pgw_bind bind;
	enum pgw_err err;
	enum step step;

	if (client_is(client, CLIENT_SESSION))
		return feed_pass_bind(feed, frame);
	err = pgw_view_bind(frame->body, frame->n_available, frame->n_body_bytes, &bind);
	if (err == PGW_MORE)
		return frame->n_available > GATHER_SCRATCH_BYTES / 2
			       ? feed_violation(feed, PGW_E_TOO_LONG)
			       : STEP_MORE;
	if (err != PGW_OK || bind.n_prefix_bytes > GATHER_SCRATCH_BYTES / 2)
		return feed_violation(feed, err != PGW_OK ? err : PGW_E_TOO_LONG);
	STAT_ADD(client->pool->stats.bind_count, 1);
	statement = feed_find_statement(client, bind.statement, bind.n_statement_bytes);
	if (statement && feed_answer_lone(feed, statement, feed->at, false))
		return STEP_NEXT;
	if (statement)
		route = sql_prepared_route(client, statement, bind.portal, &room);
	if (feed_route_refused(feed, frame, route, statement ? statement->text : "",
		    statement ? statement->n_query - 1 : 0, &step))
		return step;
	if (statement && UNLIKELY(route->effects & EFFECT_NAMES) &&
		!sql_prepared_fits(feed, route, statement->text, statement->n_query - 1, &fault))
		return feed_fail_batch(feed, frame, &fault);
	if (statement && UNLIKELY(statement->route.actions & ACTION_NOTE) &&
		write_sync_bind_refused(feed, frame, &bind, &step))
		return step;
	if (statement && UNLIKELY(statement->route.actions & ACTION_SEARCH) &&
		search_holds_bind(feed, frame, statement, &bind, &step))
		return step;
	if (statement) {
		step = feed_want_server(feed, frame, route);
		if (step != STEP_NEXT || client->state != CLIENT_LINKED)
			return step;
	} else if (client->state != CLIENT_LINKED) {
		return feed_unknown_statement(feed, frame, bind.statement);
	}
	if (statement && UNLIKELY(statement->of_sql) && client->server->xact == PGW_XACT_FAILED) {
		/* Nothing can be prepared for it now: the server would say that it has no such name. */
		fault = pgw_fault_make(PGW_FAULT_IN_FAILED_TRANSACTION);
		return feed_fail_batch(feed, frame, &fault);
	}
	client_statement_begins(client, 0);
	if (UNLIKELY(client->sync != NULL))
		write_sync_bind(client, &bind,
			statement && (statement->route.actions & ACTION_NOTE));
	if (UNLIKELY(client->search != NULL) && statement &&
		(statement->route.actions & ACTION_SEARCH))
		search_place(client);
	if (statement && UNLIKELY(route->effects & SEQUENCE_EFFECTS))
		sequence_place(client, route->effects, statement->text, statement->n_query - 1, &statement->route.print);
	if (UNLIKELY(client->listen != NULL) && statement)
		listen_ahead(client, statement->route.effects);
	if (statement == NULL && UNLIKELY(client->server->sql_names != NULL))
		sql_prepared_forget(client, bind.statement);
	if (statement && UNLIKELY(statement->of_sql || (route->effects & EFFECT_NAMES)))
		by_its_name = sql_prepared_ensure(client, bind.statement, bind.n_statement_bytes, statement);
	else if (statement)
		server_ensure_statement_as(client->server, statement, bind.n_statement_bytes > 0);
	inject_evictions(client->server); /* not behind the Bind: its rest may still have to come */
	if (statement && bind.n_statement_bytes > 0 && !by_its_name) {
		expect.hash = statement->hash;
		if (client->server->expects.n_of_batch == 0 && client->xact == XACT_NONE &&
			!client_is(client, CLIENT_REPLAYED) && replay_keep(feed))
			expect.flags = EXPECT_REPLAY;
	}
	expect_push(&client->server->expects, expect);
	note_portal(client, bind.portal, statement, route);
	if (statement == NULL && bind.n_statement_bytes == 0 &&
		!client_is(client, CLIENT_BIG_UNNAMED)) {
		/* It has none; the server's may be another client's: a name that no server has
		 * brings the error. */
		send_bind(feed, frame, &bind, "pglane_no_such_unnamed_statement");
		return STEP_NEXT;
	}
	if (statement) {
		feed_log(client, route, statement->text, statement->n_query - 1);
		setting_note(client, route, statement->text, statement->n_query - 1);
		if (UNLIKELY(client->n_noted > 0))
			client_set(client, CLIENT_EXTENDED_SETS);
	}
	feed_bind_deallocate(client, statement, &bind);
	if (UNLIKELY(client->bound != NULL || (route && (route->effects & EFFECT_NAMES))))
		sql_prepared_bind(client, bind.portal, statement, route);
	if (statement == NULL || bind.n_statement_bytes == 0 || by_its_name)
		return feed_forward(feed, frame);
	send_bind(feed, frame, &bind, statement->name);
	return STEP_NEXT;
}
