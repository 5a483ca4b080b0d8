/* SPDX-License-Identifier: ISC */
/*
 * Extended protocol. Unnamed statements pass as they are, and are remembered so that they can be
 * replayed on another server; named ones travel under the name of their text (statements.h). Errors
 * that PostgreSQL would report are left to it whenever a server is linked, so that they come in
 * order and abort what they must; only without a server they are made here.
 */
#include "session/feed.h"

#include "base/mem.h"
#include "session/listen.h"
#include "session/pin.h"
#include "session/replay.h"
#include "session/search.h"
#include "session/replica.h"
#include "session/sequence.h"
#include "session/server.h"
#include "session/setting.h"
#include "session/sql_agree.h"
#include "session/sql_prepared.h"
#include "session/write_sync.h"

enum step feed_fail_batch(
	struct feed *feed, const struct pgw_frame *frame, const struct pgw_fault *fault)
{
	client_set(feed->client, CLIENT_EXTENDED);
	if (feed->client->state == CLIENT_LINKED) {
		/* The server has its part of the batch, perhaps a transaction: it must fail there,
		 * in its turn. */
		if (feed->client->fault == NULL)
			feed->client->fault = mem_dup(fault, sizeof(*fault));
		inject_failure(feed->client->server);
		return feed_skip_message(feed, frame);
	}
	client_error(feed->client, fault);
	return feed->client->state == CLIENT_GONE ? STEP_GONE : feed_skip_message(feed, frame);
}

enum step feed_unknown_statement(struct feed *feed, const struct pgw_frame *frame, const char *name)
{
	struct pgw_fault fault;

	if (name[0])
		pgw_fault_set(&fault, PGW_FAULT_STATEMENT_UNKNOWN, name, NULL);
	else
		pgw_fault_set(&fault, PGW_FAULT_UNNAMED_STATEMENT_UNKNOWN, NULL, NULL);
	return feed_fail_batch(feed, frame, &fault);
}

/* ---- classes ---- */

/* Does this message of the batch decide a class? Parse of work does, and Bind of a prepared one. */
static bool message_decides(
	struct client *client, const struct pgw_frame *frame, struct statement_route *route_r)
{
	struct classify_session session;
	struct classify_result result;
	struct pgw_parse parse;
	struct pgw_bind bind;
	struct statement *statement;

	if (frame->type == PGW_PARSE &&
		pgw_view_parse(frame->body, frame->n_available, &parse) == PGW_OK) {
		session = feed_session(client);
		*route_r = feed_decide(
			client, &session, parse.query, parse.n_query_bytes, &result);
		if (UNLIKELY(route_r->effects & EFFECT_NAMES))
			sql_prepared_merge(client, route_r, parse.query, parse.n_query_bytes);
	} else if (frame->type == PGW_BIND &&
		   pgw_view_bind(frame->body, frame->n_available, frame->n_body_bytes, &bind) ==
			   PGW_OK &&
		   bind.n_statement_bytes > 0) {
		statement = client_names_find(client->names, bind.statement);
		if (statement == NULL)
			return false;
		feed_route_statement(client, statement);
		*route_r = statement->route;
	} else {
		return false;
	}
	/* SET pglane.class is neutral, but says what its transaction is. */
	return route_r->change != CLASS_KEPT ||
	       !feed_is_neutral(route_r);
}

/* A batch that begins with BEGIN or SET: what is here of the rest may decide its lane. */
static void look_ahead(
	const struct feed *feed, const struct pgw_frame *first, struct statement_route *route)
{
	const uint8_t *at = feed->at + PGW_HEADER_BYTES + first->n_available;
	struct statement_route found;
	struct pgw_frame frame;

	while (pgw_frame_read(at, (size_t)(feed->end - at), &frame) == PGW_OK &&
		frame.n_available == frame.n_body_bytes && frame.type != PGW_SYNC) {
		if (message_decides(feed->client, &frame, &found)) {
			*route = found;
			route->reads = READS_NOT; /* of the message that comes first */
			return;
		}
		at += PGW_HEADER_BYTES + frame.n_body_bytes;
	}
}

/* The batch is a transaction of its own, and this is its first message that a server gets. */
static bool begins_alone(const struct client *client)
{
	return client->xact == XACT_NONE && !client_is(client, CLIENT_SESSION) &&
	       (client->state != CLIENT_LINKED || server_is(client->server, SERVER_FRESH));
}

enum step feed_want_server(
	struct feed *feed, const struct pgw_frame *frame, const struct statement_route *given)
{
	struct client *client = feed->client;
	struct statement_route route = *given;
	const uint8_t *batch_end = NULL;
	enum want want;

	if (UNLIKELY(client->pin != NULL) && sequence_yield(client, given))
		return STEP_WAIT;
	if (client_is(client, CLIENT_SESSION)) {
		if (LIKELY(client->state == CLIENT_LINKED &&
			   !server_is(client->server, SERVER_FRESH)))
			return STEP_NEXT;
		route = feed_session_route(client);
		given = &route;
	} else if (client->state != CLIENT_LINKED && feed_is_neutral(&route)) {
		look_ahead(feed, frame, &route);
	}
	if (UNLIKELY(worker_config(feed->worker)->targets_replica) &&
		feed_targets_replica(client, &route) && begins_alone(client)) {
		batch_end = feed_batch_reads(feed);
		route.reads = batch_end ? READS : READS_NOT;
	}
	if (frame->type != PGW_QUERY)
		client_set(client, CLIENT_EXTENDED);
	want = client_want_server(client, &route, feed_is_neutral(&route));
	if (want == WANT_WAIT)
		return STEP_WAIT;
	if (want == WANT_FAILED)
		return client->state == CLIENT_GONE || client->stream.fd < 0
			       ? STEP_GONE
			       : feed_skip_message(feed, frame);
	if (UNLIKELY(batch_end != NULL) && client->server->pool != client->pool)
		replica_keep(client, feed->at, (size_t)(batch_end - feed->at));
	client->class = route.class;
	client_statement_limited(client, given->timeout_ms);
	if (given == &route)
		feed_log(client, given, "a session", strlen("a session"));
	return STEP_NEXT;
}

static enum step refuse_failed(
	struct feed *feed, const struct pgw_frame *frame, const struct statement_route *route)
{
	struct client *client = feed->client;
	struct pgw_fault fault;

	if (route && route->kind == STATEMENT_COMMIT) {
		/* It was not told before that nothing is committed. */
		client->xact = XACT_NONE;
		client_xact_over(client);
	}
	client_failed_xact_fault(client, &fault);
	return feed_fail_batch(feed, frame, &fault);
}

bool feed_route_refused(struct feed *feed, const struct pgw_frame *frame,
	const struct statement_route *route, const char *sql, size_t n, enum step *step_r)
{
	struct client *client = feed->client;

	if (UNLIKELY(client->xact == XACT_FAILED)) {
		if (route && (route->kind == STATEMENT_ROLLBACK ||
				     ((route->kind == STATEMENT_COMMIT ||
					      (route->effects & EFFECT_TRANSACTION)) &&
					     !client_is(client, CLIENT_SERVER_LOST)))) {
			client_unset(client, CLIENT_SERVER_LOST);
			return false; /* prepare_server() makes a failed one for it to end */
		}
		*step_r = refuse_failed(feed, frame, route);
		return true;
	}
	if (route == NULL)
		return false;
	if (UNLIKELY(client_is(client, CLIENT_STATEMENT)) &&
		(route->kind == STATEMENT_BEGIN || route->kind == STATEMENT_BEGIN_CHECKED)) {
		struct pgw_fault fault = pgw_fault_make(PGW_FAULT_STATEMENT_POOLING);

		*step_r = feed_fail_batch(feed, frame, &fault);
		return true;
	}
	if (UNLIKELY(route->deny != NULL)) {
		*step_r = feed_deny(feed, frame, route, sql, n);
		return true;
	}
	if (UNLIKELY(route->actions & ACTION_NOTE) &&
		write_sync_refused(feed, frame, route, sql, n, step_r))
		return true;
	if (UNLIKELY(route->effects & PIN_EFFECTS) && frame->type != PGW_DESCRIBE) {
		struct pgw_fault fault;

		*step_r = STEP_WAIT;
		if (UNLIKELY(route->effects & EFFECT_LISTEN) && listen_holds(client, route->effects))
			return true;
		if (pin_allows(client, route, sql, n, &fault))
			return false;
		*step_r = feed_fail_batch(feed, frame, &fault);
		return true;
	}
	return false;
}

bool feed_refused(struct feed *feed, const struct pgw_frame *frame,
	const struct statement *statement, enum step *step_r)
{
	return statement ? feed_route_refused(feed, frame, &statement->route, statement->text,
				   statement->n_query - 1, step_r)
			 : feed_route_refused(feed, frame, NULL, "", 0, step_r);
}

/* ---- BEGIN, or the end of what failed here, by itself ---- */

/* The batch from `at` on is Bind, perhaps Describe of the portal, Execute and Sync, all here: its
 * end, NULL when it is anything else. */
static const uint8_t *lone_execution(const uint8_t *at, const uint8_t *end, bool *described_r)
{
	static const uint8_t order[] = {PGW_BIND, PGW_EXECUTE, PGW_SYNC};
	struct pgw_frame frame;
	unsigned i = 0;

	*described_r = false;
	while (i < sizeof(order)) {
		if (pgw_frame_read(at, (size_t)(end - at), &frame) != PGW_OK ||
			frame.n_available < frame.n_body_bytes)
			return NULL;
		at += PGW_HEADER_BYTES + frame.n_body_bytes;
		if (frame.type == order[i])
			i++;
		else if (i == 1 && frame.type == PGW_DESCRIBE && frame.n_body_bytes > 0 &&
			 frame.body[0] == 'P' && !*described_r)
			*described_r = true;
		else
			return NULL;
	}
	return at;
}

/* What a statement that is alone in its batch is answered with, without a server; NULL: it needs one. It has happened then. */
static const char *lone_tag(struct client *client, const struct statement *statement)
{
	const struct statement_route *route = &statement->route;

	if (client->xact == XACT_FAILED &&
		(route->kind == STATEMENT_ROLLBACK ||
			(route->kind == STATEMENT_COMMIT && !client_is(client, CLIENT_SERVER_LOST)))) {
		client->xact = XACT_NONE;
		client_unset(client, CLIENT_SERVER_LOST);
		client_xact_over(client);
		return "ROLLBACK";
	}
	if (client->xact != XACT_NONE || route->kind != STATEMENT_BEGIN ||
		(route->actions & (ACTION_NOTE | ACTION_SEARCH)) ||
		!feed_defer_begin(client, statement->text, statement->n_query - 1, route->annotated,
			(enum query_class)route->class, route->priority))
		return NULL;
	return feed_begin_tag(statement->text, statement->n_query - 1);
}

/* `at` is where its Bind must be. */
bool feed_answer_lone(
	struct feed *feed, const struct statement *statement, const uint8_t *at, bool parsed)
{
	struct client *client = feed->client;
	uint8_t replies[64];
	struct pgw_writer writer = pgw_writer_on(replies, sizeof(replies));
	bool described;
	const uint8_t *end;
	const char *tag;

	if (client->state == CLIENT_LINKED || client_is(client, CLIENT_STATEMENT) ||
		LIKELY(statement->route.kind != STATEMENT_BEGIN && client->xact != XACT_FAILED))
		return false;
	end = lone_execution(at, feed->end, &described);
	tag = end ? lone_tag(client, statement) : NULL;
	if (tag == NULL)
		return false;
	if (parsed)
		pgw_build_empty(&writer, PGW_PARSE_COMPLETE);
	pgw_build_empty(&writer, PGW_BIND_COMPLETE);
	if (described)
		pgw_build_empty(&writer, PGW_NO_DATA);
	pgw_build_command_complete(&writer, tag);
	client_reply(client, replies, writer.len);
	client_unset(client, CLIENT_EXTENDED);
	client_send_ready(client);
	feed->at = end;
	return true;
}

/* ---- Parse ---- */

bool feed_within_memory(
	struct feed *feed, const struct pgw_parse *parse, struct pgw_fault *fault)
{
	const struct config *config = worker_config(feed->worker);
	struct client *client = feed->client;
	uint64_t own = client_names_bytes(client->names) + parse->n_query_bytes;

	if (config->max_client_prepared_bytes && own > config->max_client_prepared_bytes) {
		pgw_fault_set(fault, PGW_FAULT_STATEMENT_MEMORY, NULL,
			"This client would hold %llu bytes; max_client_prepared_bytes is %llu.",
			(unsigned long long)own,
			(unsigned long long)config->max_client_prepared_bytes);
		return false;
	}
	if (config->max_prepared_bytes && feed->worker->statements.n_bytes + parse->n_query_bytes >
						  config->max_prepared_bytes / config->workers) {
		pgw_fault_set(fault, PGW_FAULT_STATEMENT_MEMORY, NULL,
			"All clients together would hold more than max_prepared_bytes (%llu).",
			(unsigned long long)config->max_prepared_bytes);
		return false;
	}
	return true;
}

static void remember_name(struct client *client, const char *name, struct statement *statement)
{
	client_name_pending(client, name, NULL);
	client_names_add(&client->names, name, statement);
}

static void send_named_parse(struct feed *feed, const char *name, struct statement *statement)
{
	struct client *client = feed->client;
	struct server *server = client->server;
	struct expect expect = {
		.kind = EXPECT_PARSE, .n_names = 1, .hash = statement->hash};

	if (UNLIKELY(server->xact == PGW_XACT_FAILED)) /* it refuses what it is asked, whatever it has */
		server_close_statement(server, statement);
	if (UNLIKELY(server->sql_names != NULL) && sql_prepared_parse_own(client, name, statement)) {
		expect.hash = (struct pgw_hash128){0, 0};
	} else if (server_copies_touch(&server->copies, statement->hash)) {
		expect.flags |= EXPECT_LOCAL;
	} else {
		expect.flags |= EXPECT_COPY;
		inject_raw_parse(server, statement, statement->name);
		server_copies_add(&server->copies, statement->hash);
	}
	expect_push(&server->expects, expect);
	remember_name(client, name, statement);
	inject_evictions(server);
}

/* The name is taken: let the server say so, in order, by a Parse of a name that it has. */
static void send_duplicate_parse(struct feed *feed, const char *name,
	const struct statement *taken, const struct statement *statement)
{
	struct server *server = feed->client->server;

	if (taken->of_sql) {
		sql_agree_on_some(server, name);
	} else {
		server_ensure_statement(server, taken);
		name = taken->name;
	}
	inject_raw_parse(server, statement, name);
	expect_push(&server->expects, (struct expect){.kind = EXPECT_PARSE});
}

/* The message that follows; the frame has all of its body. */
static const uint8_t *behind(const struct feed *feed, const struct pgw_frame *frame)
{
	return feed->at + PGW_HEADER_BYTES + frame->n_body_bytes;
}

/* It is a batch by itself: Parse and Sync. */
static bool is_alone(const struct feed *feed, const struct pgw_frame *frame)
{
	const uint8_t *at = behind(feed, frame);
	struct pgw_frame next;

	return !client_is(feed->client, CLIENT_EXTENDED) &&
	       pgw_frame_read(at, (size_t)(feed->end - at), &next) == PGW_OK &&
	       next.type == PGW_SYNC && next.n_body_bytes == 0;
}

/*
 * A Parse by itself, of what a server of the pool has parsed before: it needs none now. So who prepares what others have prepared
 * waits for nobody, not even in a deferred transaction (pgbench -M prepared prepares with all its clients waiting). What has become
 * of the tables since is told by Bind, as with every copy.
 */
static bool prepared_here(struct feed *feed, const struct pgw_frame *frame, const char *name, struct statement *statement)
{
	struct client *client = feed->client;
	uint8_t reply[PGW_HEADER_BYTES];
	struct pgw_writer writer = pgw_writer_on(reply, sizeof(reply));

	if (client->state != CLIENT_IDLE || !is_alone(feed, frame) ||
		!pool_has_copy(client->pool, statement->hash))
		return false;
	client_names_add(&client->names, name, statement);
	pgw_build_empty(&writer, PGW_PARSE_COMPLETE);
	client_reply(client, reply, writer.len);
	return true;
}

/* true: a server is linked, the Parse may be sent. Else *step_r says what became of it. */
static bool parse_has_server(struct feed *feed, const struct pgw_frame *frame,
	const struct statement *statement, const char *name, enum step *step_r)
{
	struct statement_route room;

	if (UNLIKELY(statement->route.actions & ACTION_SEARCH) &&
		search_holds_parse(feed, frame, statement, name, step_r))
		return false;
	*step_r = feed_want_server(
		feed, frame, sql_prepared_route(feed->client, statement, "", &room));
	return *step_r == STEP_NEXT && feed->client->state == CLIENT_LINKED;
}

static enum step parse_named(
	struct feed *feed, const struct pgw_frame *frame, const struct pgw_parse *parse)
{
	struct client *client = feed->client;
	struct statement *taken = client_names_find(client->names, parse->name), *statement;
	struct pgw_fault fault;
	enum step step;

	if (!taken && !feed_within_memory(feed, parse, &fault))
		return feed_fail_batch(feed, frame, &fault);
	statement = statement_intern(&feed->worker->statements, parse, client_meaning(client));
	feed_route_statement(client, statement);
	if (!taken && feed_answer_lone(feed, statement, behind(feed, frame), true)) {
		client_names_add(&client->names, parse->name, statement);
		return STEP_NEXT;
	}
	if (feed_refused(feed, frame, statement, &step)) {
		statement_unref(&feed->worker->statements, &statement);
		return step;
	}
	if (taken && client->state != CLIENT_LINKED) {
		statement_unref(&feed->worker->statements, &statement);
		pgw_fault_set(&fault, PGW_FAULT_STATEMENT_EXISTS, parse->name, NULL);
		return feed_fail_batch(feed, frame, &fault);
	}
	if (!taken && prepared_here(feed, frame, parse->name, statement))
		return feed_skip_message(feed, frame);
	if (!parse_has_server(feed, frame, statement, parse->name, &step)) {
		statement_unref(&feed->worker->statements, &statement);
		return step;
	}
	client_statement_begins(client, 0);
	if (taken) {
		send_duplicate_parse(feed, parse->name, taken, statement);
		statement_unref(&feed->worker->statements, &statement);
	} else {
		send_named_parse(feed, parse->name, statement);
	}
	return feed_skip_message(feed, frame);
}

static enum step parse_unnamed(
	struct feed *feed, const struct pgw_frame *frame, const struct pgw_parse *parse)
{
	struct client *client = feed->client;
	struct statement *statement = statement_intern(&feed->worker->statements, parse, client_meaning(client));
	enum step step;

	feed_route_statement(client, statement);
	if (feed_answer_lone(feed, statement, behind(feed, frame), true)) {
		client_unnamed_is(client, statement);
		return STEP_NEXT;
	}
	if (feed_refused(feed, frame, statement, &step) ||
		!parse_has_server(feed, frame, statement, parse->name, &step)) {
		statement_unref(&feed->worker->statements, &statement);
		return step;
	}
	client_unnamed_is(client, statement);
	if (UNLIKELY(statement->route.effects & EFFECT_NAMES))
		sql_prepared_parse(client, statement);
	client->server->unnamed = statement->hash;
	expect_push(&client->server->expects,
		(struct expect){.kind = EXPECT_PARSE, .flags = EXPECT_UNNAMED});
	client_statement_begins(client, 0);
	return feed_forward(feed, frame);
}

/* Longer than what is kept: it goes on as it comes, and only this server will have it. */
static enum step parse_big(struct feed *feed, const struct pgw_frame *frame)
{
	struct client *client = feed->client;
	struct classify_session session = feed_session(client);
	struct classify_result result;
	struct statement_route route;
	struct pgw_fault fault;
	enum step step;

	if (frame->body[0] != '\0') {
		pgw_fault_set(&fault, PGW_FAULT_STATEMENT_MEMORY, NULL,
			"A named statement of %u bytes; max_client_prepared_bytes is the most that "
			"is kept.",
			frame->n_body_bytes);
		return feed_fail_batch(feed, frame, &fault);
	}
	route = feed_decide(client, &session, (const char *)frame->body + 1,
		frame->n_available - 1, &result);
	route.kind = STATEMENT_WORK;
	if (UNLIKELY(route.effects & EFFECT_NAMES))
		sql_prepared_merge(client, &route, (const char *)frame->body + 1, frame->n_available - 1);
	if (UNLIKELY(route.actions & ACTION_SEARCH)) { /* its Bind would not find the annotation */
		pgw_fault_set(&fault, PGW_FAULT_SEARCH_UNSUPPORTED, NULL,
			"The statement is longer than inspect_limit.");
		return feed_fail_batch(feed, frame, &fault);
	}
	if (feed_route_refused(feed, frame, &route, (const char *)frame->body + 1,
		    frame->n_available - 1, &step))
		return step;
	if (UNLIKELY(route.actions & ACTION_NOTE) && client->sync && client->sync->marks.n > 0) {
		pgw_fault_set(&fault, PGW_FAULT_ANNOTATION_PLACE, NULL,
			"The statement is longer than inspect_limit.");
		return feed_fail_batch(feed, frame, &fault);
	}
	step = feed_want_server(feed, frame, &route);
	if (step != STEP_NEXT || client->state != CLIENT_LINKED)
		return step;
	client_unnamed_is(client, NULL);
	client_set(client, CLIENT_BIG_UNNAMED);
	if (UNLIKELY(route.effects & EFFECT_NAMES))
		sql_prepared_parse_big(client, &route, (const char *)frame->body + 1, frame->n_available - 1);
	/* Its Bind does not know what it leaves. */
	setting_note(client, &route, (const char *)frame->body + 1, frame->n_available - 1);
	if (UNLIKELY(route.effects & SEQUENCE_EFFECTS)) /* its Bind will not find them */
		sequence_place(client, route.effects, (const char *)frame->body + 1, frame->n_available - 1, &route.print);
	client->server->unnamed = (struct pgw_hash128){0, 0};
	expect_push(&client->server->expects,
		(struct expect){.kind = EXPECT_PARSE, .flags = EXPECT_UNNAMED});
	client_statement_begins(client, 0);
	return feed_forward(feed, frame);
}

enum step feed_parse(struct feed *feed, const struct pgw_frame *frame)
{
	char deallocated[CLASSIFY_NAME_BYTES];
	struct pgw_parse parse;
	enum pgw_err err;

	if (client_is(feed->client, CLIENT_SESSION))
		return feed_pass_parse(feed, frame);
	if (frame->n_available < frame->n_body_bytes) {
		const struct config *config = worker_config(feed->worker);
		/* A named statement is kept, so it is taken whole up to what a client may hold. */
		bool named = frame->n_available > 0 && frame->body[0] != '\0';
		uint64_t limit = named ? MAX_OF(config->max_client_prepared_bytes,
						 config->inspect_limit_bytes)
				       : config->inspect_limit_bytes;

		if (frame->n_available == 0 ||
			(frame->n_available < limit && (!named || frame->n_body_bytes <= limit)))
			return STEP_MORE;
		return parse_big(feed, frame);
	}
	err = pgw_view_parse(frame->body, frame->n_body_bytes, &parse);
	if (err != PGW_OK)
		return feed_violation(feed, err);
	STAT_ADD(feed->client->pool->stats.client_parse_count, 1);
	if (feed_find_deallocated(feed->client, &parse, deallocated) &&
		feed->client->xact != XACT_FAILED)
		return feed_parse_deallocate(feed, frame, deallocated);
	return parse.n_name_bytes ? parse_named(feed, frame, &parse)
				  : parse_unnamed(feed, frame, &parse);
}
