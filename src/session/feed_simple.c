/* SPDX-License-Identifier: ISC */
/*
 * Simple protocol. A Query is gathered whole up to inspect_limit, classed, and sent on as it lies
 * in the buffer. BEGIN is answered here and travels with the first statement; a transaction that
 * failed here (its lane was full, its server died) is told so until it ends.
 */
#include "session/feed.h"

#include "base/mem.h"
#include "pgw/sqllex.h"
#include "session/listen.h"
#include "session/pin.h"
#include "session/search.h"
#include "session/replica.h"
#include "session/restore.h"
#include "session/sequence.h"
#include "session/server.h"
#include "session/setting.h"
#include "session/sql_prepared.h"
#include "session/write_sync.h"

#define BEGIN_MAX_BYTES 256u /* longer ones (comments) are not deferred */

void feed_reply_complete(struct client *client, const char *tag)
{
	uint8_t message[64];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));

	pgw_build_command_complete(&writer, tag);
	client_reply(client, message, writer.len);
	client_send_ready(client);
}

static bool starts_with_start(const char *sql, size_t n)
{
	/* The lexer decided that it is a BEGIN: only the first letter of its key word is left to
	 * see. */
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	struct pgw_token token = pgw_lex(&lexer);

	return pgw_word_is(&token, "start");
}

const char *feed_begin_tag(const char *sql, size_t n)
{
	return starts_with_start(sql, n) ? "START TRANSACTION" : "BEGIN";
}

bool feed_defer_begin(struct client *client, const char *sql, size_t n, bool class_fixed,
	enum query_class class, unsigned priority)
{
	if (n > BEGIN_MAX_BYTES)
		return false;
	client->begin = mem_strndup(sql, n);
	client->xact = XACT_DEFERRED;
	if (class_fixed) {
		client->begin_class = (uint8_t) class;
		client->begin_priority = (uint8_t)priority;
		client_set(client, CLIENT_CLASS_FIXED);
	}
	return true;
}

static enum step end_deferred(struct feed *feed, const struct pgw_frame *frame, const char *tag)
{
	struct client *client = feed->client;

	mem_free(client->begin);
	client->begin = NULL;
	client->xact = XACT_NONE;
	client_xact_over(client);
	STAT_ADD(client->pool->stats.xact_count, 1);
	STAT_ADD(client->pool->stats.query_count, 2);
	feed_reply_complete(client, tag);
	return feed_skip_message(feed, frame);
}

static enum step query_of_failed(
	struct feed *feed, const struct pgw_frame *frame, const struct classify_result *result)
{
	struct client *client = feed->client;
	struct pgw_fault fault;

	if (result->kind == STATEMENT_COMMIT || result->kind == STATEMENT_ROLLBACK) {
		client->xact = XACT_NONE;
		client_xact_over(client);
		if (result->kind == STATEMENT_ROLLBACK || !client_is(client, CLIENT_SERVER_LOST)) {
			client_unset(client, CLIENT_SERVER_LOST);
			feed_reply_complete(client, "ROLLBACK");
			return feed_skip_message(feed, frame);
		}
		/* Nobody reads the tag of a COMMIT: who was not told before is told now. */
	}
	client_failed_xact_fault(client, &fault);
	client_error_simple(client, &fault);
	return feed_skip_message(feed, frame);
}

enum step feed_refuse_query(
	struct feed *feed, const struct pgw_frame *frame, const struct pgw_fault *fault)
{
	struct client *client = feed->client;

	if (client->state != CLIENT_LINKED) {
		client_error_simple(client, fault);
		return feed_skip_message(feed, frame);
	}
	if (client->fault == NULL)
		client->fault = mem_dup(fault, sizeof(*fault));
	inject_failure(client->server);
	expect_push(&client->server->expects, (struct expect){.kind = EXPECT_SYNC});
	inject_sync(client->server);
	client_set(client, CLIENT_AWAITS_READY);
	client_unset(client, CLIENT_EXTENDED);
	return feed_skip_message(feed, frame);
}

/* Statements that are answered without a server. true: *step_r. */
static bool answered_here(struct feed *feed, const struct pgw_frame *frame, const char *sql,
	size_t n, const struct classify_result *result, enum step *step_r)
{
	struct client *client = feed->client;

	if (client->xact == XACT_FAILED) {
		if (UNLIKELY(result->effects & EFFECT_TRANSACTION) &&
			!client_is(client, CLIENT_SERVER_LOST))
			return false; /* "ROLLBACK; BEGIN": prepare_server() makes a failed one for it */
		*step_r = query_of_failed(feed, frame, result);
		return true;
	}
	if (client_is(client, CLIENT_STATEMENT) &&
		(result->kind == STATEMENT_BEGIN || result->kind == STATEMENT_BEGIN_CHECKED ||
			(result->effects & EFFECT_TRANSACTION))) {
		struct pgw_fault fault = pgw_fault_make(PGW_FAULT_STATEMENT_POOLING);

		*step_r = feed_refuse_query(feed, frame, &fault);
		return true;
	}
	if (result->kind == STATEMENT_NEUTRAL && UNLIKELY(result->prepared_name[0]) &&
		feed_query_deallocate(feed, frame, result->prepared_name, step_r))
		return true;
	if (client->state == CLIENT_LINKED)
		return false;
	if (result->kind == STATEMENT_BEGIN && client->xact == XACT_NONE &&
		feed_defer_begin(client, sql, n, result->annotated,
			result->class, result->priority)) {
		feed_reply_complete(client, feed_begin_tag(sql, n));
		*step_r = feed_skip_message(feed, frame);
		return true;
	}
	if (client->xact == XACT_DEFERRED && !(result->actions & ACTION_NOTE) &&
		(result->kind == STATEMENT_COMMIT || result->kind == STATEMENT_ROLLBACK)) {
		*step_r = end_deferred(
			feed, frame, result->kind == STATEMENT_COMMIT ? "COMMIT" : "ROLLBACK");
		return true;
	}
	return false;
}

bool feed_is_neutral(const struct statement_route *route)
{
	switch ((enum statement_kind)route->kind) {
	case STATEMENT_BEGIN:
	case STATEMENT_BEGIN_CHECKED:
		return !route->annotated; /* which decides the whole transaction */
	case STATEMENT_NEUTRAL:
	case STATEMENT_EMPTY:
	case STATEMENT_COMMIT:
	case STATEMENT_ROLLBACK:
		return true;
	case STATEMENT_WORK:
	case STATEMENT_PREPARE:
	case STATEMENT_EXECUTE:
	default:
		return false;
	}
}

void feed_query_sent(struct client *client, struct expect expect)
{
	expect_push(&client->server->expects, expect);
	client_set(client, CLIENT_AWAITS_READY);
	/* Its ReadyForQuery ends a batch, too. */
	client_unset(client, CLIENT_EXTENDED | CLIENT_RUNS_AGAIN);
	/* A simple query drops the unnamed statement, here and there. */
	client->server->unnamed = (struct pgw_hash128){0, 0};
	client_unset(client, CLIENT_BIG_UNNAMED);
	if (client->unnamed)
		client_unnamed_is(client, NULL);
	client_statement_begins(client, 0);
}

/* It resets what the client logged in with: it was sent in another form. */
static bool query_restores(
	struct client *client, const struct pgw_frame *frame, const struct statement_route *route, struct expect *expect)
{
	const char *sql = (const char *)frame->body;
	size_t n = frame->n_body_bytes - 1;

	if (frame->n_available < frame->n_body_bytes)
		return false;
	if (client_is(client, CLIENT_SESSION) ? !reset_text_may_be(sql, n) && memchr(sql, ';', n) == NULL
					       : !(route->effects & RESTORE_EFFECTS))
		return false;
	return restore_query(client, sql, n, expect);
}

enum step feed_send_query(
	struct feed *feed, const struct pgw_frame *frame, const struct statement_route *route)
{
	struct client *client = feed->client;
	struct expect expect = {.kind = EXPECT_QUERY};
	bool restores;

	if (UNLIKELY(route->effects & EFFECT_NAMES))
		expect.n_names = sql_prepared_query(client, route, (const char *)frame->body,
			frame->n_available - (frame->n_available == frame->n_body_bytes)); /* its NUL */
	if (UNLIKELY(client->sync != NULL))
		expect.flags = write_sync_query_ahead(client);
	restores = UNLIKELY(client->brings_own) && expect.flags == 0 && expect.n_names == 0 &&
		   query_restores(client, frame, route, &expect);
	if (UNLIKELY(route->counted) && !restores)
		tally_queried(client->server, &expect, route);
	if (UNLIKELY(route->effects & EFFECT_DEALLOCATE_ALL)) {
		server_set(client->server, SERVER_STATEMENTS_GOING);
		if (expect.kind == EXPECT_QUERY) { /* so that its tag is looked at */
			client_name_pending(client, "", NULL);
			expect.n_names++;
		}
	}
	feed_query_sent(client, expect);
	return restores ? feed_skip_message(feed, frame) : feed_forward(feed, frame);
}

static enum step fail_query(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;

	client_unset(client, CLIENT_RUNS_AGAIN);
	return client->state == CLIENT_GONE || client->stream.fd < 0
		       ? STEP_GONE
		       : feed_skip_message(feed, frame);
}

enum step feed_query(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;
	bool whole = frame->n_available == frame->n_body_bytes;
	const char *sql = (const char *)frame->body;
	struct classify_session session;
	struct classify_result result;
	struct statement_route route;
	struct pgw_fault fault;
	enum step step;
	enum want want;
	size_t n;

	if (!whole && frame->n_available < worker_config(feed->worker)->inspect_limit_bytes)
		return STEP_MORE;
	if (whole && (frame->n_body_bytes == 0 || frame->body[frame->n_body_bytes - 1] != '\0'))
		return feed_violation(feed, PGW_E_TRUNCATED);
	if (client_is(client, CLIENT_SESSION))
		return feed_pass_query(feed, frame);
	n = whole ? frame->n_body_bytes - 1 : frame->n_available;
	session = feed_session(client);
	route = feed_decide(client, &session, sql, n, &result);
	if (result.bad_annotation)
		STAT_ADD(feed->worker->counters.n_bad_annotations, 1);
	if (UNLIKELY(result.actions & ACTION_NOTE)) {
		if (write_sync_refused(feed, frame, &route, sql, n, &step))
			return step;
	} else if (UNLIKELY(client->sync != NULL)) {
		write_sync_no_marks(client->sync);
	}
	if (UNLIKELY(result.actions & ACTION_SEARCH) &&
		search_is_misplaced(feed, frame, result.kind, &step))
		return step;
	if (answered_here(feed, frame, sql, n, &result, &step))
		return step;
	if (UNLIKELY(route.effects & EFFECT_NAMES)) {
		sql_prepared_follow(client, &route, sql, n, whole);
		sql_prepared_merge(client, &route, sql, n);
	}
	if (UNLIKELY(route.deny != NULL))
		return feed_deny(feed, frame, &route, sql, n);
	if (UNLIKELY(client->pin != NULL) && sequence_yield(client, &route))
		return STEP_WAIT;
	if (UNLIKELY(route.effects & EFFECT_NAMES) && !sql_prepared_fits(feed, &route, sql, n, &fault))
		return feed_refuse_query(feed, frame, &fault);
	if (UNLIKELY(route.effects & EFFECT_LISTEN) && listen_holds(client, route.effects))
		return STEP_WAIT;
	if (UNLIKELY(route.effects & PIN_EFFECTS) && !pin_allows(client, &route, sql, n, &fault))
		return feed_refuse_query(feed, frame, &fault);
	if (UNLIKELY(route.actions & ACTION_SEARCH) &&
		search_holds(feed, frame, &route, sql, n, NULL, &step))
		return step;
	if (UNLIKELY(worker_config(feed->worker)->targets_replica) && whole)
		route.reads = (uint8_t)feed_reads(client, &route, sql, n);
	want = client_want_server(client, &route, feed_is_neutral(&route));
	if (want == WANT_WAIT)
		return STEP_WAIT;
	if (want == WANT_FAILED)
		return fail_query(feed, frame);
	if (UNLIKELY(client->server->pool != client->pool) && client->xact == XACT_NONE)
		replica_keep(client, feed->at, PGW_HEADER_BYTES + frame->n_body_bytes);
	client->class = route.class;
	client_statement_limited(client, route.timeout_ms);
	if (UNLIKELY(route.log_rule != NULL))
		feed_log(client, &route, sql, n);
	if (UNLIKELY(client->listen != NULL))
		listen_ahead(client, route.effects);
	setting_note(client, &route, sql, n);
	if (UNLIKELY(route.effects & SEQUENCE_EFFECTS))
		sequence_place(client, route.effects, sql, n, &route.print);
	if (UNLIKELY(client->search != NULL) && (route.actions & ACTION_SEARCH))
		search_place(client);
	return feed_send_query(feed, frame, &route);
}
