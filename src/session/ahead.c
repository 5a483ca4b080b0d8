/* SPDX-License-Identifier: ISC */
#include "session/ahead.h"

#include "base/mem.h"
#include "session/client.h"
#include "session/server.h"

/* A portal of its own: the client's unnamed one may still be wanted. */
#define PORTAL "pglane_ahead"
#define MESSAGES_ROOM 512u /* of all but the values */

struct messages {
	const struct ahead *ahead;
	const char *statement;
	bool closes; /* the statement, too */
};

static void build_bind(struct pgw_writer *writer, const struct messages *messages)
{
	const struct ahead *ahead = messages->ahead;
	unsigned i;

	pgw_write_begin(writer, PGW_BIND);
	pgw_write_cstr(writer, PORTAL);
	pgw_write_cstr(writer, messages->statement);
	pgw_write_u16(writer, 0); /* all values are text */
	pgw_write_u16(writer, (uint16_t)ahead->n_values);
	for (i = 0; i < ahead->n_values; i++) {
		const struct ahead_value *value = &ahead->values[i];

		pgw_write_u32(writer, value->text ? (uint32_t)value->n_text : UINT32_MAX);
		if (value->text)
			pgw_write_bytes(writer, value->text, value->n_text);
	}
	pgw_write_u16(writer, 0);
	pgw_write_end(writer);
}

static void build_messages(struct pgw_writer *writer, const void *arg)
{
	const struct messages *messages = arg;

	build_bind(writer, messages);
	pgw_build_execute(writer, PORTAL, 0);
	pgw_build_target(writer, PGW_CLOSE, 'P', PORTAL);
	if (messages->closes)
		pgw_build_target(writer, PGW_CLOSE, 'S', messages->statement);
}

static void build_close(struct pgw_writer *writer, const void *arg)
{
	pgw_build_target(writer, PGW_CLOSE, 'S', arg);
}

static void expect_one(struct server *server, enum expect_kind kind)
{
	expect_push(&server->expects, (struct expect){.kind = (uint8_t)kind,
					      .flags = EXPECT_SWALLOW | EXPECT_AHEAD});
}

/* In session pooling the session's owner may drop the statement unseen (DEALLOCATE ALL): it is there
 * only while it is used. Where the last use failed it was left behind: it is closed before, too. */
static bool prepare(struct server *server, const struct statement *statement)
{
	bool session = client_is(server->client, CLIENT_SESSION);

	if (!session && server_copies_touch(&server->copies, statement->hash))
		return false;
	if (!session)
		server_copies_add(&server->copies, statement->hash);
	if (session) {
		inject_built(server, build_close, statement->name, MESSAGES_ROOM);
		expect_one(server, EXPECT_CLOSE);
	}
	inject_raw_parse(server, statement, statement->name);
	expect_push(&server->expects,
		(struct expect){.kind = EXPECT_PARSE,
			.flags = EXPECT_SWALLOW | EXPECT_AHEAD | (session ? 0 : EXPECT_COPY),
			.hash = statement->hash});
	return session;
}

static struct statement *intern(struct server *server, const struct ahead *ahead)
{
	uint8_t types[4 * AHEAD_VALUES_MAX];
	struct pgw_writer writer = pgw_writer_on(types, sizeof(types));
	unsigned i;

	for (i = 0; i < ahead->n_values; i++)
		pgw_write_u32(&writer, ahead->types[i]);
	return statement_intern(&server->worker->statements,
		&(struct pgw_parse){.name = "", .query = ahead->sql,
			.n_query_bytes = strlen(ahead->sql), .types = types,
			.n_types = ahead->n_values},
		(struct pgw_hash128){0, 0});
}

void ahead_send(struct server *server, const struct ahead *ahead)
{
	struct statement *statement = intern(server, ahead);
	struct messages messages = {.ahead = ahead, .statement = statement->name};
	size_t room = MESSAGES_ROOM;
	unsigned i;

	MUST(ahead->n_values <= AHEAD_VALUES_MAX);
	for (i = 0; i < ahead->n_values; i++)
		room += ahead->values[i].n_text;
	messages.closes = prepare(server, statement);
	inject_built(server, build_messages, &messages, room);
	expect_one(server, EXPECT_BIND);
	expect_one(server, EXPECT_EXECUTE);
	expect_one(server, EXPECT_CLOSE);
	if (messages.closes)
		expect_one(server, EXPECT_CLOSE);
	statement_unref(&server->worker->statements, &statement);
	inject_evictions(server);
}

bool ahead_is_why(const struct pgw_error_view *view)
{
	return strcmp(view->sqlstate, "25P02") != 0;
}

void ahead_fault(const struct pgw_error_view *view, struct pgw_fault *fault_r,
	char sqlstate_r[static AHEAD_SQLSTATE_BYTES])
{
	const char *hint = view->hint;

	if (view->detail[0])
		pgw_fault_set(fault_r, PGW_FAULT_AHEAD_FAILED, view->message, "%s", view->detail);
	else
		pgw_fault_set(fault_r, PGW_FAULT_AHEAD_FAILED, view->message, NULL);
	(void)snprintf(sqlstate_r, AHEAD_SQLSTATE_BYTES, "%s", view->sqlstate);
	fault_r->sqlstate = sqlstate_r;
	if (strcmp(sqlstate_r, "42883") == 0)
		hint = "Bring the database to pglane's schema: sql/pglane-migrate.";
	else if (strcmp(sqlstate_r, "42501") == 0)
		hint = "GRANT ml_service TO the user who changes the entities.";
	(void)snprintf(fault_r->hint, sizeof(fault_r->hint), "%s", hint);
}
