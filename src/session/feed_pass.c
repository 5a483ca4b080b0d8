/* SPDX-License-Identifier: ISC */
/*
 * Session pooling: the session has its lane, and messages pass as they are. Nobody reads its texts,
 * but those that may ask for a note (write_sync.h), or reset what the client logged in with (restore.h): of these the client's names are kept, so that
 * an execution of them is known for what it is.
 */
#include "base/mem.h"
#include "session/feed.h"
#include "session/restore.h"
#include "session/search.h"
#include "session/server.h"
#include "session/write_sync.h"

static bool has_comment(const char *sql, size_t n)
{
	const char *at = sql, *end = sql + n;

	while ((at = memchr(at, '/', (size_t)(end - at))) != NULL)
		if (++at < end && *at == '*')
			return true;
	return false;
}

static bool search_may_be_asked(const char *sql, size_t n)
{
	return UNLIKELY(has_comment(sql, n)) && memmem(sql, n, "ml_", 3) != NULL;
}

static bool has(const char *sql, size_t n, const char *word)
{
	return memmem(sql, n, word, strlen(word)) != NULL;
}

bool feed_acts_on_nothing(const char *sql, size_t n)
{
	return LIKELY(!has_comment(sql, n)) ||
	       (!entity_is_asked_for(sql, n) && !has(sql, n, "ml_near") && !has(sql, n, "ml_hybrid"));
}

static bool asks_for_nothing(const char *sql, size_t n)
{
	return LIKELY(!has_comment(sql, n)) ||
	       (!entity_is_asked_for(sql, n) && !search_may_be_asked(sql, n));
}

static bool may_ask(const char *sql, size_t n)
{
	return UNLIKELY(has_comment(sql, n)) && entity_is_asked_for(sql, n);
}

/* The session has a route of its own. */
static const struct statement_route any;

/* true: it has a server, and may go on to it. */
static bool may_pass(struct feed *feed, const struct pgw_frame *frame, enum step *step_r)
{
	if (feed_session_refused(feed, frame, step_r))
		return false;
	*step_r = feed_want_server(feed, frame, &any);
	return *step_r == STEP_NEXT && feed->client->state == CLIENT_LINKED;
}

static enum step pass(struct feed *feed, const struct pgw_frame *frame, struct expect expect)
{
	expect_push(&feed->client->server->expects, expect);
	client_statement_begins(feed->client, 0);
	return feed_forward(feed, frame);
}

enum step feed_pass(struct feed *feed, const struct pgw_frame *frame, enum expect_kind kind)
{
	enum step step;

	client_set(feed->client, CLIENT_EXTENDED);
	if (!may_pass(feed, frame, &step))
		return step;
	return pass(feed, frame, (struct expect){.kind = (uint8_t)kind});
}

enum step feed_pass_query(struct feed *feed, const struct pgw_frame *frame)
{
	const char *sql = (const char *)frame->body;
	size_t n = frame->n_available;
	enum step step;

	n -= frame->n_available == frame->n_body_bytes; /* its NUL */
	if (search_may_be_asked(sql, n) &&
		search_refused_in_session(feed, frame, sql, n, &step))
		return step;
	if (UNLIKELY(may_ask(sql, n))) {
		if (write_sync_text_refused(feed, frame, sql, n, &step))
			return step;
	} else if (UNLIKELY(feed->client->sync != NULL)) {
		write_sync_no_marks(feed->client->sync);
	}
	return may_pass(feed, frame, &step) ? feed_send_query(feed, frame, &any) : step;
}

/* The name means this statement now, or none that is kept; both if the server agrees. */
static void name_is(struct client *client, const struct pgw_parse *parse,
	struct statement *statement, struct expect *expect)
{
	struct statement *old;

	if (parse->n_name_bytes == 0) {
		client_unnamed_is(client, statement);
		expect->flags |= EXPECT_UNNAMED;
		return;
	}
	old = client_names_take(&client->names, &client->worker->statements, parse->name);
	if (old) {
		client_name_pending(client, parse->name, old);
		expect->n_names++;
	}
	if (statement) {
		client_name_pending(client, parse->name, NULL);
		client_names_add(&client->names, parse->name, statement);
		expect->n_names++;
	}
}

/* Its text is not read: what it is named was another statement, if one. */
static enum step pass_long_parse(struct feed *feed, const struct pgw_frame *frame)
{
	struct pgw_parse parse = {.name = (const char *)frame->body};
	const char *nul = memchr(frame->body, '\0', frame->n_available);
	struct expect expect = {.kind = EXPECT_PARSE};
	enum step step;

	if (nul == NULL)
		return feed_violation(feed, PGW_E_TOO_LONG);
	parse.n_name_bytes = (size_t)(nul - parse.name);
	client_set(feed->client, CLIENT_EXTENDED);
	if (!may_pass(feed, frame, &step))
		return step;
	if (feed->client->names != NULL || feed->client->unnamed != NULL)
		name_is(feed->client, &parse, NULL, &expect);
	return pass(feed, frame, expect);
}

static bool may_reset(const struct pgw_frame *frame)
{
	const uint8_t *nul = memchr(frame->body, '\0', frame->n_available), *end = frame->body + frame->n_available;

	return nul && reset_text_may_be((const char *)nul + 1, (size_t)(end - nul - 1));
}

enum step feed_pass_parse(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;
	struct expect expect = {.kind = EXPECT_PARSE};
	struct statement *statement = NULL;
	struct reset_text text;
	struct pgw_fault fault;
	struct pgw_parse parse;
	bool is_kept = false;
	enum pgw_err err;
	enum step step;

	if (frame->n_available < frame->n_body_bytes &&
		frame->n_available < worker_config(feed->worker)->inspect_limit_bytes)
		return STEP_MORE;
	if (UNLIKELY(frame->n_available < frame->n_body_bytes))
		return pass_long_parse(feed, frame);
	if (LIKELY(client->names == NULL && client->unnamed == NULL &&
		   asks_for_nothing((const char *)frame->body, frame->n_available)) &&
		!(UNLIKELY(client->brings_own) && may_reset(frame)))
		return feed_pass(feed, frame, EXPECT_PARSE);
	err = pgw_view_parse(frame->body, frame->n_body_bytes, &parse);
	if (err != PGW_OK)
		return feed_violation(feed, err);
	if (search_may_be_asked(parse.query, parse.n_query_bytes) &&
		search_refused_in_session(feed, frame, parse.query, parse.n_query_bytes, &step))
		return step;
	client_set(client, CLIENT_EXTENDED);
	if (UNLIKELY(may_ask(parse.query, parse.n_query_bytes))) {
		if (write_sync_text_refused(
			    feed, frame, parse.query, parse.n_query_bytes, &step))
			return step;
		is_kept = true;
	} else if (UNLIKELY(client->brings_own) && reset_text_may_be(parse.query, parse.n_query_bytes)) {
		is_kept = reset_text_parse(parse.query, parse.n_query_bytes, client->params->backslash_escapes, &text);
	}
	if (UNLIKELY(is_kept)) {
		if (!feed_within_memory(feed, &parse, &fault))
			return feed_fail_batch(feed, frame, &fault);
		statement = statement_intern(&feed->worker->statements, &parse, (struct pgw_hash128){0, 0});
	}
	if (!may_pass(feed, frame, &step)) {
		statement_unref(&feed->worker->statements, &statement);
		return step;
	}
	if (UNLIKELY(statement != NULL || client->names != NULL || client->unnamed != NULL))
		name_is(client, &parse, statement, &expect);
	return pass(feed, frame, expect);
}

enum step feed_pass_bind(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;
	const struct statement *statement;
	struct pgw_bind bind;
	bool is_annotated;
	enum pgw_err err;
	enum step step;

	if (LIKELY(client->names == NULL && client->unnamed == NULL && client->sync == NULL &&
		   TAILQ_EMPTY(&client->restores)))
		return feed_pass(feed, frame, EXPECT_BIND);
	err = pgw_view_bind(frame->body, frame->n_available, frame->n_body_bytes, &bind);
	if (err == PGW_MORE)
		return STEP_MORE;
	if (err != PGW_OK)
		return feed_violation(feed, err);
	statement = bind.n_statement_bytes ? client_names_find(client->names, bind.statement)
					   : client->unnamed;
	is_annotated = statement && may_ask(statement->text, statement->n_query - 1);
	client_set(client, CLIENT_EXTENDED);
	if (is_annotated && (write_sync_text_refused(feed, frame, statement->text,
				  statement->n_query - 1, &step) ||
				 write_sync_bind_refused(feed, frame, &bind, &step)))
		return step;
	if (!may_pass(feed, frame, &step))
		return step;
	if (client->sync)
		write_sync_bind(client, &bind, is_annotated);
	restore_bound(client, bind.portal, statement && !is_annotated ? statement->text : NULL,
		statement ? statement->n_query - 1 : 0);
	return pass(feed, frame, (struct expect){.kind = EXPECT_BIND});
}

enum step feed_pass_target(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;
	struct expect expect = {.kind = EXPECT_CLOSE};
	struct statement *closed = NULL;
	struct pgw_target target;
	enum pgw_err err;
	enum step step;

	if (frame->type == PGW_DESCRIBE)
		return feed_pass(feed, frame, EXPECT_DESCRIBE);
	if (LIKELY(client->names == NULL && client->unnamed == NULL && client->sync == NULL))
		return feed_pass(feed, frame, EXPECT_CLOSE);
	if (frame->n_available < frame->n_body_bytes)
		return STEP_MORE;
	err = pgw_view_target(frame->body, frame->n_body_bytes, &target);
	if (err != PGW_OK)
		return feed_violation(feed, err);
	client_set(client, CLIENT_EXTENDED);
	if (!may_pass(feed, frame, &step))
		return step;
	if (target.kind == 'P' && client->sync)
		write_sync_forget_portal(client, target.name);
	if (target.kind == 'S' && target.n_name_bytes > 0)
		closed = client_names_take(
			&client->names, &feed->worker->statements, target.name);
	else if (target.kind == 'S')
		client_unnamed_is(client, NULL);
	if (closed) {
		client_name_pending(client, target.name, closed);
		expect.n_names = 1;
	}
	return pass(feed, frame, expect);
}
