/* SPDX-License-Identifier: ISC */
#include "session/sql_agree.h"

#include "base/mem.h"
#include "base/strbuf.h"
#include "session/pin.h"
#include "session/server.h"
#include "session/sql_names.h"
#include "session/sql_prepared.h"

#define OURS STATEMENT_NAME_PREFIX
#define AMID OURS "prepare" /* statement and portal of a PREPARE amid a batch, whose unnamed ones may still be wanted */
#define NAMES_MAX 1000u /* of one server */
#define ROOM 512u /* of small messages */

bool sql_agree_is_ours(const char *name)
{
	return strncmp(name, OURS, sizeof(OURS) - 1) == 0;
}

bool sql_agree_is_plain(const char *name)
{
	size_t n;

	for (n = 0; name[n]; n++)
		if ((unsigned char)name[n] >= 0x80)
			return false;
	return n > 0 && n < SQL_NAME_BYTES && !sql_agree_is_ours(name);
}

/* ---- messages ---- */

struct message {
	const char *name;
	const char *sql;
	size_t n;
};

static void build_close(struct pgw_writer *writer, const void *arg)
{
	const struct message *message = arg;

	pgw_build_target(writer, PGW_CLOSE, 'S', message->name);
}

/* By name; what it is of says nothing, and it never fails. */
static void build_empty_parse(struct pgw_writer *writer, const void *arg)
{
	const struct message *message = arg;

	pgw_build_parse(writer, message->name, "", 0, NULL, 0);
}

static void build_run(struct pgw_writer *writer, const void *arg)
{
	const struct message *message = arg;

	pgw_build_parse(writer, "", message->sql, message->n, NULL, 0);
	pgw_build_bind_plain(writer, "", "");
	pgw_build_execute(writer, "", 0);
}

static void build_run_amid(struct pgw_writer *writer, const void *arg)
{
	const struct message *message = arg;

	pgw_build_target(writer, PGW_CLOSE, 'S', AMID); /* of one that failed */
	pgw_build_parse(writer, AMID, message->sql, message->n, NULL, 0);
	pgw_build_bind_plain(writer, AMID, AMID);
	pgw_build_execute(writer, AMID, 0);
	pgw_build_target(writer, PGW_CLOSE, 'P', AMID);
	pgw_build_target(writer, PGW_CLOSE, 'S', AMID);
}

static void expect_ours(struct server *server, enum expect_kind kind)
{
	expect_push(&server->expects, (struct expect){.kind = (uint8_t)kind, .flags = EXPECT_SWALLOW});
}

void sql_agree_close(struct server *server, const char *name)
{
	inject_built(server, build_close, &(struct message){.name = name}, ROOM);
	expect_ours(server, EXPECT_CLOSE);
	sql_names_gone(server->sql_names, name);
}

/* The unnamed statement and portal may still be wanted. */
static void run_amid(struct server *server, const char *sql, size_t n)
{
	static const uint8_t kinds[] = {EXPECT_CLOSE, EXPECT_PARSE, EXPECT_BIND, EXPECT_EXECUTE, EXPECT_CLOSE, EXPECT_CLOSE};
	unsigned i;

	inject_built(server, build_run_amid, &(struct message){.sql = sql, .n = n}, ROOM + n);
	for (i = 0; i < N_ELEMENTS(kinds); i++)
		expect_ours(server, (enum expect_kind)kinds[i]);
}

/* Nobody wants them: a Query is next, which drops them. */
static void run_ahead_of_query(struct server *server, const char *sql, size_t n)
{
	inject_built(server, build_run, &(struct message){.sql = sql, .n = n}, ROOM + n);
	server->unnamed = (struct pgw_hash128){0, 0};
	expect_ours(server, EXPECT_PARSE);
	expect_ours(server, EXPECT_BIND);
	expect_ours(server, EXPECT_EXECUTE);
}

/* ---- settings under which texts are read ---- */

/* All of them are reported by the server: what the client has of them is so, whatever set it. */
static const char *const reading[] = {"client_encoding", "standard_conforming_strings", "DateStyle", "IntervalStyle", "TimeZone"};

void sql_agree_add_reading(const struct client *client, struct strbuf *out)
{
	unsigned i;

	for (i = 0; i < N_ELEMENTS(reading); i++) {
		const char *value = param_set_get(client->params, reading[i]);

		if (value == NULL)
			continue;
		strbuf_add(out, reading[i], strlen(reading[i]) + 1);
		strbuf_add(out, value, strlen(value) + 1);
	}
	while (out->len % 4 != 0)
		strbuf_addc(out, '\0');
}

static void add_setting(struct strbuf *sql, const char *name, const char *value)
{
	strbuf_adds(sql, sql->len ? ", pg_catalog.set_config(" : "SELECT pg_catalog.set_config(");
	strbuf_add_literal(sql, name);
	strbuf_adds(sql, ", ");
	strbuf_add_literal(sql, value);
	strbuf_adds(sql, ", true)");
}

/* Appends what makes the settings of the PREPARE of the client's, and what puts the client's back; nothing where they agree. */
static void add_difference(const struct client *client, const struct statement *statement, struct strbuf *before, struct strbuf *behind)
{
	const char *at = (const char *)statement_types(statement), *end = at + 4u * statement->n_types, *value, *now;

	for (; at < end && *at != '\0'; at = value + strlen(value) + 1) {
		value = at + strlen(at) + 1;
		now = param_set_get(client->params, at);
		if (now == NULL || strcmp(now, value) == 0)
			continue;
		add_setting(before, at, value);
		add_setting(behind, at, now);
	}
}

static void send_prepare(const struct client *client, struct server *server, const struct statement *statement, bool amid)
{
	struct strbuf before = STRBUF_INIT, behind = STRBUF_INIT;
	void (*run)(struct server *server, const char *sql, size_t n) = amid ? run_amid : run_ahead_of_query;

	add_difference(client, statement, &before, &behind);
	if (UNLIKELY(before.len > 0))
		run(server, before.data, before.len);
	run(server, statement->text, statement->n_query - 1);
	if (UNLIKELY(behind.len > 0))
		run(server, behind.data, behind.len);
	strbuf_release(&before);
	strbuf_release(&behind);
}

/* ---- what client and server know of a name ---- */

/* What the names in a text are of, and how else it is read: as it is now. */
static const char *const meaning[] = {"search_path", "role", "session_authorization", "backslash_quote", "transform_null_equals", "array_nulls",
	"lc_monetary", "xmloption"};

struct pgw_hash128 sql_agree_key(const struct client *client, const struct statement *statement)
{
	struct pgw_hash128 key = statement->hash;
	unsigned i;

	for (i = 0; i < N_ELEMENTS(meaning); i++) {
		const char *value = param_set_get(client->params, meaning[i]);

		key = pgw_hash128_more(key, value ? value : "", value ? strlen(value) + 1 : 0);
	}
	return key;
}

/* It has none: the server is not to have one either. Of what is unknown here, only its own client may have made it. */
static void agree_on_none(struct client *client, struct server *server, const char *name)
{
	bool may_be_its_own = sql_names_own(server->sql_names) || server->xact != PGW_XACT_IDLE || pin_is_kept(client);

	switch (sql_names_state(server->sql_names, name)) {
	case SQL_NAME_HAS:
	case SQL_NAME_UNKNOWN:
		sql_agree_close(server, name);
		break;
	case SQL_NAME_NONE:
		if (!may_be_its_own)
			sql_agree_close(server, name);
		break;
	case SQL_NAME_GONE:
	default:
		break;
	}
}

void sql_agree_on_some(struct server *server, const char *name)
{
	if (sql_names_state(server->sql_names, name) == SQL_NAME_HAS) {
		sql_names_touch(server->sql_names, name);
		return;
	}
	sql_agree_close(server, name);
	inject_built(server, build_empty_parse, &(struct message){.name = name}, ROOM);
	expect_ours(server, EXPECT_PARSE);
	sql_names_made(&server->sql_names, name, (struct pgw_hash128){0, 0});
}

void sql_agree_on(struct client *client, struct server *server, const char *name, const struct statement *statement, bool amid)
{
	struct pgw_hash128 key = sql_agree_key(client, statement);

	if (sql_names_is(server->sql_names, name, key)) {
		sql_names_touch(server->sql_names, name);
		return;
	}
	sql_agree_close(server, name);
	if (server->xact == PGW_XACT_FAILED) /* it refuses the rest, and whatever runs the statement */
		return;
	if (statement->of_sql) {
		send_prepare(client, server, statement, amid);
	} else {
		inject_raw_parse(server, statement, name);
		expect_ours(server, EXPECT_PARSE);
	}
	sql_names_made(&server->sql_names, name, key);
}

void sql_agree(struct client *client, const struct prepared_use *use, bool amid)
{
	const struct statement *statement = client_names_find(client->names, use->name);

	if (!use->is_plain || sql_agree_is_ours(use->name))
		return;
	if (statement == NULL)
		agree_on_none(client, client->server, use->name);
	else if (use->verb == VERB_EXECUTE)
		sql_agree_on(client, client->server, use->name, statement, amid);
	else
		sql_agree_on_some(client->server, use->name);
}

/* Those named now are the newest: they stay. */
void sql_agree_evict(struct server *server, unsigned n_named)
{
	unsigned max = MIN_OF(MAX_OF(worker_config(server->worker)->max_prepared_statements, 1u), NAMES_MAX);
	const char *name;
	unsigned n;

	for (n = 0; n < SQL_PREPARED_USES_MAX && (name = sql_names_oldest(server->sql_names, MAX_OF(max, n_named))) != NULL; n++)
		sql_agree_close(server, name);
}

void sql_agree_linked(struct client *client, struct server *server)
{
	const char *name, *next;

	sql_names_settle(&server->sql_names, true);
	sql_names_set_own(&server->sql_names, false);
	for (name = sql_names_next(server->sql_names, NULL); name; name = next) {
		const struct statement *statement =
			client_is(client, CLIENT_SESSION) ? NULL : client_names_find(client->names, name);

		next = sql_names_next(server->sql_names, name);
		if (statement && sql_names_is(server->sql_names, name, sql_agree_key(client, statement)))
			continue;
		sql_agree_close(server, name); /* nothing is ahead of it: it will be heard */
		sql_names_drop(&server->sql_names, name);
	}
}

/* Of what its client has not, nothing in doubt is ours to close: it may be the server's own. */
static void leave_own(struct server *server)
{
	const char *name, *next;

	if (LIKELY(!sql_names_own(server->sql_names)) || server->client == NULL)
		return;
	for (name = sql_names_next(server->sql_names, NULL); name; name = next) {
		next = sql_names_next(server->sql_names, name);
		if (sql_names_state(server->sql_names, name) == SQL_NAME_UNKNOWN && !client_names_find(server->client->names, name))
			sql_names_drop(&server->sql_names, name);
	}
}

void sql_agree_settle(struct server *server, bool failed)
{
	sql_names_settle(&server->sql_names, failed);
	if (failed)
		leave_own(server);
}

void sql_agree_doubt(struct server *server, const char *name)
{
	sql_names_doubt(server->sql_names, name);
	leave_own(server);
}

void sql_agree_forget(struct server *server)
{
	bool own = sql_names_own(server->sql_names);

	sql_names_free(&server->sql_names);
	sql_names_set_own(&server->sql_names, own);
}
