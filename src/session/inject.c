/* SPDX-License-Identifier: ISC */
/*
 * Messages of our own to a server. During a feed they join what leaves in the same send; otherwise
 * they leave at once. What is expected of each is pushed here, so that no reply of it reaches a
 * client by mistake.
 */
#include "base/mem.h"
#include "session/client.h"
#include "session/server.h"

/* The gather to write into; true: the caller's feed flushes it. */
static bool open_gather(struct server *server)
{
	struct gather *out = &server->worker->to_server;
	bool in_feed = out->stream == &server->stream;

	if (!in_feed) {
		MUST(out->stream == NULL);
		gather_begin(out, &server->stream);
	}
	return in_feed;
}

static void close_gather(struct server *server, bool in_feed)
{
	struct gather *out = &server->worker->to_server;

	if (in_feed)
		return;
	(void)gather_flush(out); /* a broken socket is seen by its reader */
	out->stream = NULL;
}

static void put(struct server *server, void (*build)(struct pgw_writer *writer, const void *arg),
	const void *arg, size_t room)
{
	struct gather *out = &server->worker->to_server;
	struct pgw_writer writer;

	if (room <= GATHER_SCRATCH_BYTES) {
		writer = gather_writer(out, room);
		build(&writer, arg);
		gather_commit(out, &writer);
	} else {
		uint8_t *mem = mem_alloc(room);

		writer = pgw_writer_on(mem, room);
		build(&writer, arg);
		MUST(writer.err == PGW_OK);
		gather_ref(out, mem, writer.len);
		(void)gather_flush(out);
		mem_free(mem);
	}
}

void inject_built(struct server *server, void (*build)(struct pgw_writer *writer, const void *arg),
	const void *arg, size_t room)
{
	bool in_feed = open_gather(server);

	put(server, build, arg, room);
	close_gather(server, in_feed);
}

static void build_query(struct pgw_writer *writer, const void *arg)
{
	const char *sql = arg;

	pgw_build_query(writer, sql, strlen(sql));
}

void inject_raw_query(struct server *server, const char *sql)
{
	bool in_feed = open_gather(server);

	put(server, build_query, sql, PGW_HEADER_BYTES + strlen(sql) + 1);
	server->unnamed = (struct pgw_hash128){0, 0};
	close_gather(server, in_feed);
}

void inject_query(struct server *server, const char *sql, uint16_t expect_flags)
{
	bool in_feed = open_gather(server);

	inject_raw_query(server, sql);
	expect_push(&server->expects, (struct expect){.kind = EXPECT_QUERY,
					      .flags = (uint16_t)(EXPECT_SWALLOW | expect_flags)});
	close_gather(server, in_feed);
}

void inject_params(struct server *server, struct param_set *wanted)
{
	struct strbuf sql = STRBUF_INIT;
	size_t n_begin;

	if (server->params == wanted)
		return;
	/* In a block of its own, so that a failure leaves a failed transaction: then what is behind
	 * it does not run. */
	strbuf_adds(&sql, "BEGIN;");
	n_begin = sql.len;
	param_set_difference(server->params, wanted, &sql);
	param_set_unref(&server->params_before);
	server->params_before = server->params;
	server->params = param_set_ref(wanted);
	if (sql.len > n_begin) {
		strbuf_adds(&sql, "COMMIT");
		inject_query(server, sql.data, EXPECT_SETUP);
	}
	strbuf_release(&sql);
}

static void build_begin(struct pgw_writer *writer, const void *arg)
{
	const char *begin = arg;

	pgw_build_parse(writer, "", begin, strlen(begin), NULL, 0);
	pgw_build_bind_plain(writer, "", "");
	pgw_build_execute(writer, "", 0);
}

void inject_begin(struct server *server, const char *begin)
{
	bool in_feed = open_gather(server);

	/* Without a Sync of its own: its replies come with those of the statement behind it, in one
	 * read. */
	put(server, build_begin, begin, 128 + strlen(begin));
	server->unnamed = (struct pgw_hash128){0, 0};
	expect_push(
		&server->expects, (struct expect){.kind = EXPECT_PARSE, .flags = EXPECT_SWALLOW});
	expect_push(
		&server->expects, (struct expect){.kind = EXPECT_BIND, .flags = EXPECT_SWALLOW});
	expect_push(
		&server->expects, (struct expect){.kind = EXPECT_EXECUTE, .flags = EXPECT_SWALLOW});
	close_gather(server, in_feed);
}

void inject_bytes(struct server *server, const uint8_t *bytes, size_t n)
{
	bool in_feed = open_gather(server);

	gather_copy(&server->worker->to_server, bytes, n);
	close_gather(server, in_feed);
}

static void build_sync(struct pgw_writer *writer, const void *arg)
{
	pgw_build_empty(writer, PGW_SYNC);
}

void inject_sync(struct server *server)
{
	inject_built(server, build_sync, NULL, PGW_HEADER_BYTES);
}

static void build_flush(struct pgw_writer *writer, const void *arg)
{
	pgw_build_empty(writer, PGW_FLUSH);
}

void inject_flush(struct server *server)
{
	inject_built(server, build_flush, NULL, PGW_HEADER_BYTES);
}

static void build_failure(struct pgw_writer *writer, const void *arg)
{
	pgw_build_bind_plain(writer, "", "pglane_refused_statement");
}

/* The server fails the batch and its transaction as it would with an error of its own. */
void inject_failure(struct server *server)
{
	bool in_feed = open_gather(server);

	put(server, build_failure, NULL, 128);
	expect_push(&server->expects, (struct expect){.kind = EXPECT_BIND, .flags = EXPECT_FAULT});
	close_gather(server, in_feed);
}

struct parse_arg {
	const struct statement *statement;
	const char *name;
};

static void build_parse(struct pgw_writer *writer, const void *arg)
{
	const struct parse_arg *parse = arg;
	const struct statement *statement = parse->statement;

	pgw_build_parse(writer, parse->name, statement->text, statement->n_query - 1,
		statement_types(statement), statement->n_types);
}

void inject_raw_parse(struct server *server, const struct statement *statement, const char *name)
{
	struct parse_arg arg = {statement, name};
	bool in_feed = open_gather(server);

	STAT_ADD(server->pool->stats.server_parse_count, 1);
	put(server, build_parse, &arg,
		64 + strlen(name) + statement->n_query + 4u * statement->n_types);
	close_gather(server, in_feed);
}

void server_ensure_statement(struct server *server, const struct statement *statement)
{
	server_ensure_statement_as(server, statement, true);
}

void server_ensure_statement_as(
	struct server *server, const struct statement *statement, bool named)
{
	struct expect expect = {
		.kind = EXPECT_PARSE, .flags = EXPECT_SWALLOW, .hash = statement->hash};
	const char *name = "";

	if (named) {
		if (server_copies_touch(&server->copies, statement->hash))
			return;
		expect.flags |= EXPECT_COPY;
		name = statement->name;
		server_copies_add(&server->copies, statement->hash);
	} else {
		if (server->unnamed.lo == statement->hash.lo &&
			server->unnamed.hi == statement->hash.hi)
			return;
		server->unnamed = statement->hash;
	}
	inject_raw_parse(server, statement, name);
	expect_push(&server->expects, expect);
}

static void build_close(struct pgw_writer *writer, const void *arg)
{
	pgw_build_target(writer, PGW_CLOSE, 'S', arg);
}

void server_close_statement(struct server *server, const struct statement *statement)
{
	if (!server_copies_has(&server->copies, statement->hash))
		return;
	server_copies_drop(&server->copies, statement->hash);
	inject_built(server, build_close, statement->name, 64 + STATEMENT_NAME_BYTES);
	expect_push(&server->expects,
		(struct expect){.kind = EXPECT_CLOSE, .flags = EXPECT_SWALLOW | EXPECT_COPY, .hash = statement->hash});
}

void inject_evictions(struct server *server)
{
	unsigned max = MAX_OF(worker_config(server->worker)->max_prepared_statements, 1u);
	char name[STATEMENT_NAME_BYTES];
	struct pgw_hash128 hash;

	while (!expect_is_full(&server->expects) &&
		server_copies_evict(&server->copies, max, &hash)) {
		bool in_feed = open_gather(server);

		/* In order behind what uses it: PostgreSQL keeps the plan of an open portal. */
		statement_name(hash, name);
		put(server, build_close, name, 64 + sizeof(name));
		expect_push(&server->expects, (struct expect){.kind = EXPECT_CLOSE,
						      .flags = EXPECT_SWALLOW | EXPECT_COPY,
						      .hash = hash});
		close_gather(server, in_feed);
	}
}

/* ---- questions of ours, whose rows are read ---- */

#define QUESTION_ROOM 256u

static void build_question(struct pgw_writer *writer, const void *arg)
{
	pgw_build_bind_plain(writer, "", arg);
	pgw_build_execute(writer, "", 0);
}

static void expect_one(struct server *server, enum expect_kind kind)
{
	expect_push(&server->expects,
		(struct expect){.kind = (uint8_t)kind, .flags = EXPECT_SWALLOW | EXPECT_ANSWER});
}

void inject_question(struct server *server, const char *sql)
{
	struct statement *statement = statement_intern(&server->worker->statements,
		&(struct pgw_parse){.name = "", .query = sql, .n_query_bytes = strlen(sql), .types = (const uint8_t *)""},
		(struct pgw_hash128){0, 0}); /* it means the same under all settings */

	if (!server_copies_touch(&server->copies, statement->hash)) {
		server_copies_add(&server->copies, statement->hash);
		inject_raw_parse(server, statement, statement->name);
		expect_push(&server->expects, (struct expect){.kind = EXPECT_PARSE,
						      .flags = EXPECT_SWALLOW | EXPECT_ANSWER | EXPECT_COPY,
						      .hash = statement->hash});
	}
	inject_built(server, build_question, statement->name, QUESTION_ROOM);
	expect_one(server, EXPECT_BIND);
	expect_one(server, EXPECT_EXECUTE);
	statement_unref(&server->worker->statements, &statement);
}

void inject_question_ends(struct server *server)
{
	inject_evictions(server); /* nothing but the Sync brings their answers */
	inject_sync(server);
	expect_one(server, EXPECT_SYNC);
}
