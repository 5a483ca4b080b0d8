/* SPDX-License-Identifier: ISC */
/*
 * DEALLOCATE of statements that came by the protocol (PDO, ActiveRecord and psycopg send it). The
 * server knows them by the names of their texts, so the statement is sent on under that name. The
 * client's name goes when the statement is executed, not when it is parsed, and comes back when its
 * reply does not come.
 */
#include "base/mem.h"
#include "session/feed.h"
#include "session/server.h"
#include "session/sql_names.h"
#include "session/sql_prepared.h"

#define SQL_BYTES (STATEMENT_NAME_BYTES + 16)

static void deallocate_sql(const struct statement *statement, char sql_r[static SQL_BYTES])
{
	(void)snprintf(sql_r, SQL_BYTES, "DEALLOCATE %s", statement->name);
}

bool feed_find_deallocated(struct client *client, const struct pgw_parse *parse,
	char name_r[static CLASSIFY_NAME_BYTES])
{
	struct classify_session session;
	struct classify_result result;
	const struct statement *statement;

	if (client->names == NULL || parse->n_name_bytes > 0 || parse->n_query_bytes < 10 ||
		(parse->query[0] | 0x20) != 'd')
		return false;
	session = feed_session(client);
	classify(client->worker->settings->classifier, &session, parse->query, parse->n_query_bytes,
		&result);
	memcpy(name_r, result.prepared_name, CLASSIFY_NAME_BYTES);
	statement = client_names_find(client->names, name_r);
	return result.kind == STATEMENT_NEUTRAL && statement && !statement->of_sql;
}

/* As an unnamed statement like any other, but of the text that the server understands. */
enum step feed_parse_deallocate(
	struct feed *feed, const struct pgw_frame *frame, const char *name)
{
	static const struct statement_route neutral = {
		.priority = LANE_PRIORITY_DEFAULT, .kind = STATEMENT_NEUTRAL};
	struct client *client = feed->client;
	struct statement *statement;
	char sql[SQL_BYTES];
	enum step step = feed_want_server(feed, frame, &neutral);

	if (step != STEP_NEXT || client->state != CLIENT_LINKED)
		return step;
	deallocate_sql(client_names_find(client->names, name), sql);
	statement = statement_intern(&feed->worker->statements,
		&(struct pgw_parse){.name = "", .query = sql, .n_query_bytes = strlen(sql)},
		client_meaning(client));
	client_unnamed_is(client, statement);
	client->deallocates = mem_strdup(name);
	client->server->unnamed = statement->hash;
	inject_raw_parse(client->server, statement, "");
	expect_push(&client->server->expects,
		(struct expect){.kind = EXPECT_PARSE, .flags = EXPECT_UNNAMED});
	client_statement_begins(client, 0);
	return feed_skip_message(feed, frame);
}

void feed_bind_deallocate(
	struct client *client, const struct statement *statement, const struct pgw_bind *bind)
{
	bool all = statement && (statement->route.effects & EFFECT_DEALLOCATE_ALL),
	     one = statement && statement == client->unnamed && client->deallocates;

	if (bind->n_portal_bytes > 0) {
		if (UNLIKELY(all || one)) /* when it is executed, if ever, is not looked for */
			server_set(client->server, SERVER_RETIRE);
		if (UNLIKELY(all))
			server_set(client->server, SERVER_STATEMENTS_GOING);
		return;
	}
	client_unset(client, CLIENT_BOUND_DEALLOCATE | CLIENT_BOUND_DEALLOCATE_ALL);
	if (UNLIKELY(all))
		client_set(client, CLIENT_BOUND_DEALLOCATE_ALL);
	if (UNLIKELY(one))
		client_set(client, CLIENT_BOUND_DEALLOCATE);
}

/* Name and copy go; expect says of them that they come back if its reply does not come. */
static void take(struct client *client, const char *name, struct expect *expect)
{
	struct statement *closed =
		client_names_take(&client->names, &client->worker->statements, name);

	if (UNLIKELY(client->server->sql_names != NULL))
		sql_prepared_forget(client, name);
	server_ensure_statement(client->server, closed);
	server_copies_drop(&client->server->copies, closed->hash);
	expect->flags |= EXPECT_COPY;
	expect->hash = closed->hash;
	expect->n_names = 1;
	client_name_pending(client, name, closed);
}

static void take_all(struct client *client, struct expect *expect)
{
	const char *name;

	while ((name = client_names_any(client->names)) != NULL) {
		char *copy = mem_strdup(name);

		client_name_pending(client, copy,
			client_names_take(&client->names, &client->worker->statements, copy));
		mem_free(copy);
		expect->n_names++;
	}
	sql_names_gone_all(client->server->sql_names);
	server_copies_move(&client->server->copies_taken, &client->server->copies);
	client->server->unnamed = (struct pgw_hash128){0, 0};
	expect->flags |= EXPECT_ALL;
}

void server_copies_return(struct server *server)
{
	if (server_copies_count(&server->copies_taken) == 0)
		server_set(server, SERVER_RETIRE); /* it may have copies that are not known any more */
	server_copies_move(&server->copies, &server->copies_taken);
}

enum step feed_execute_deallocate(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;
	struct expect expect = {.kind = EXPECT_EXECUTE};
	struct pgw_execute execute;

	if (frame->n_available < frame->n_body_bytes)
		return STEP_MORE;
	if (pgw_view_execute(frame->body, frame->n_body_bytes, &execute) != PGW_OK)
		return feed_violation(feed, PGW_E_VALUE);
	if (execute.portal[0] == '\0') {
		if (client_is(client, CLIENT_BOUND_DEALLOCATE_ALL))
			take_all(client, &expect);
		else if (client->deallocates == NULL ||
			 client_names_find(client->names, client->deallocates) == NULL)
			return feed_unknown_statement(feed, frame,
				client->deallocates ? client->deallocates : "");
		else
			take(client, client->deallocates, &expect);
		client_unset(client, CLIENT_BOUND_DEALLOCATE | CLIENT_BOUND_DEALLOCATE_ALL);
	}
	expect_push(&client->server->expects, expect);
	return feed_forward(feed, frame);
}

bool feed_query_deallocate(struct feed *feed, const struct pgw_frame *frame, const char *name,
	enum step *step_r)
{
	struct client *client = feed->client;
	struct expect expect = {.kind = EXPECT_QUERY};
	char sql[SQL_BYTES];

	const struct statement *statement = client_names_find(client->names, name);

	if (statement == NULL || (statement->of_sql && client->state == CLIENT_LINKED))
		return false; /* sql_prepared.h */
	if (client->state != CLIENT_LINKED) {
		(void)client_names_drop(&client->names, &feed->worker->statements, name);
		STAT_ADD(client->pool->stats.query_count, 1);
		feed_reply_complete(client, "DEALLOCATE");
	} else {
		/* Behind what the server still owes, and unheard if that fails. */
		deallocate_sql(client_names_find(client->names, name), sql);
		take(client, name, &expect);
		inject_raw_query(client->server, sql);
		feed_query_sent(client, expect);
	}
	*step_r = feed_skip_message(feed, frame);
	return true;
}
