/* SPDX-License-Identifier: ISC */
/* What the server says to an annotated statement: ids are taken from its rows, and what the client may not believe yet is kept. */
#include "base/mem.h"
#include "session/server.h"
#include "session/setting.h"
#include "session/walk.h"
#include "session/write_sync.h"

#define OID_UUID 2950u
#define OID_TEXT 25u
#define OID_VARCHAR 1043u

const char *write_sync_key(const struct client *client, const char *type)
{
	const struct config_entity *entity =
		config_find_entity(worker_config(client->worker), type);

	return entity ? entity->key_column : "id";
}

/* The statement is to fail, when its reply is over. */
static void broken(struct client *client, const struct pgw_fault *fault)
{
	client->sync->is_broken = true;
	client->sync->n_ids = 0;
	STAT_ADD(client->worker->annotations.n_refused, 1);
	if (client->fault == NULL)
		client->fault = mem_dup(fault, sizeof(*fault));
}

/* ---- rows ---- */

static bool is_looked_for(const struct write_sync *sync, const struct returned *returned)
{
	return sync->watching->portal || returned->statement == sync->statement;
}

static void learn_columns(struct client *client, const struct pgw_frame *frame)
{
	struct write_sync *sync = client->sync;
	struct pgw_fault fault;
	unsigned i;

	for (i = 0; i < sync->watching->n; i++) {
		struct returned *returned = &sync->watching->items[i];
		const char *key = write_sync_key(client, returned->type);
		uint32_t type_oid = OID_UUID;

		if (!is_looked_for(sync, returned))
			continue;
		returned->column = pgw_find_column(
			frame->body, frame->n_available, key, &type_oid, &returned->binary);
		if (type_oid == OID_UUID || type_oid == OID_TEXT || type_oid == OID_VARCHAR)
			continue;
		pgw_fault_set(&fault, PGW_FAULT_ANNOTATION_KEY_TYPE, NULL,
			"Column \"%s\" of entity type %s has the type of OID %u.", key,
			returned->type, type_oid);
		broken(client, &fault);
	}
}

/* false: *fault_r says why not. */
static bool take_id(const struct client *client, const struct returned *returned,
	const struct pgw_frame *frame, uint8_t id_r[static ENTITY_UUID_BYTES],
	struct pgw_fault *fault_r)
{
	const char *key = write_sync_key(client, returned->type);
	struct pgw_value value;

	if (pgw_view_column(frame->body, frame->n_available, (unsigned)returned->column, &value) !=
		PGW_OK) {
		pgw_fault_set(fault_r, PGW_FAULT_ANNOTATION_LIMIT, NULL,
			"Column \"%s\" of entity type %s is not in the first %zu bytes of a row.",
			key, returned->type, frame->n_available);
		return false;
	}
	if (returned->binary && value.at && value.n == ENTITY_UUID_BYTES) {
		memcpy(id_r, value.at, ENTITY_UUID_BYTES);
		return true;
	}
	if (value.at && entity_uuid_parse((const char *)value.at, value.n, id_r))
		return true;
	pgw_fault_set(fault_r, PGW_FAULT_ANNOTATION_UUID, NULL,
		"Column \"%s\" of a row of entity type %s is %.*s.", key, returned->type,
		value.at ? (int)MIN_OF(value.n, 100u) : 4,
		value.at ? (const char *)value.at : "NULL");
	return false;
}

static void take_row(struct client *client, const struct pgw_frame *frame)
{
	const struct config *config = worker_config(client->worker);
	struct write_sync *sync = client->sync;
	uint8_t id[ENTITY_UUID_BYTES];
	struct pgw_fault fault;
	unsigned i;

	for (i = 0; i < sync->watching->n && !sync->is_broken; i++) {
		const struct returned *returned = &sync->watching->items[i];

		if (!is_looked_for(sync, returned) || returned->column < 0)
			continue;
		if (sync->n_ids >= config->max_noted_entities) {
			pgw_fault_set(&fault, PGW_FAULT_ANNOTATION_LIMIT, NULL,
				"The statement returns more than max_noted_entities (%u) rows.",
				config->max_noted_entities);
			broken(client, &fault);
		} else if (!take_id(client, returned, frame, id, &fault)) {
			broken(client, &fault);
		} else {
			write_sync_note(sync, returned->type, id);
		}
	}
}

/* A statement's reply is over: were its ids in it? */
static void statement_over(struct client *client)
{
	struct write_sync *sync = client->sync;
	struct pgw_fault fault;
	unsigned i;

	for (i = 0; i < sync->watching->n && !sync->is_broken; i++) {
		const struct returned *returned = &sync->watching->items[i];

		if (!is_looked_for(sync, returned) || returned->column >= 0)
			continue;
		pgw_fault_set(&fault, PGW_FAULT_ANNOTATION_KEY, NULL,
			"Entity type %s: there is no column \"%s\" in what it returns.",
			returned->type, write_sync_key(client, returned->type));
		broken(client, &fault);
	}
	sync->statement++;
}

/* ---- what is held ---- */

static void hold(struct write_sync *sync, const struct walk *walk, const struct pgw_frame *frame)
{
	strbuf_add(&sync->held, walk->at, PGW_HEADER_BYTES + frame->n_available);
}

static void release_held(const struct walk *walk, struct write_sync *sync)
{
	if (sync->held.len == 0)
		return;
	if (walk->client)
		gather_copy(walk_out(walk), sync->held.data, sync->held.len);
	strbuf_reset(&sync->held);
}

bool write_sync_holds(struct walk *walk, const struct pgw_frame *frame)
{
	struct client *client = walk->server->client;
	const struct expect *front = expect_front(&walk->server->expects);

	if (client == NULL || client->sync == NULL || client->sync->held.len == 0 || front == NULL ||
		!(front->flags & EXPECT_WATCH))
		return false;
	hold(client->sync, walk, frame);
	return true;
}

bool write_sync_keeps(struct walk *walk, const struct pgw_frame *frame, struct expect *front)
{
	struct client *client = walk->server->client;
	struct write_sync *sync = client ? client->sync : NULL;
	bool ours = (front->flags & EXPECT_SWALLOW) != 0; /* our Describe */

	if (sync == NULL || sync->watching == NULL)
		return ours;
	if (front->kind == EXPECT_QUERY)
		release_held(walk, sync);
	switch (frame->type) {
	case PGW_ROW_DESCRIPTION:
		learn_columns(client, frame);
		return ours;
	case PGW_DATA_ROW:
		take_row(client, frame);
		return false;
	case PGW_COMMAND_COMPLETE:
	case PGW_EMPTY_QUERY_RESPONSE:
	case PGW_PORTAL_SUSPENDED:
		statement_over(client);
		if (front->kind == EXPECT_QUERY && (sync->wraps || sync->is_broken)) {
			hold(sync, walk, frame);
			return true;
		}
		return sync->is_broken;
	default:
		return ours;
	}
}

void write_sync_reply_over(struct walk *walk)
{
	struct client *client = walk->server->client;

	if (client == NULL || client->sync == NULL || client->state != CLIENT_LINKED)
		return;
	client->sync->watching = NULL;
	client->sync->is_busy = false;
	if (client->sync->is_broken) {
		client->sync->is_broken = false;
		inject_failure(walk->server);
	}
	client_resume(client);
}

void write_sync_error(struct walk *walk, const struct expect *front)
{
	struct client *client = walk->server->client;
	struct write_sync *sync = client ? client->sync : NULL;

	if (front && (front->flags & EXPECT_AHEAD))
		STAT_ADD(walk->worker->annotations.n_failed, 1);
	if (sync == NULL)
		return;
	if (front && front->kind == EXPECT_QUERY && (front->flags & EXPECT_WATCH))
		release_held(walk, sync); /* of statements before the one that failed */
	strbuf_reset(&sync->held);
	sync->n_ids = 0;
	sync->n_types = 0;
	sync->n_checked = 0;
	sync->watching = NULL;
	sync->is_broken = false;
	sync->is_busy = sync->in_query;
}

/* ---- ReadyForQuery ---- */

/* The client had no transaction, and has none: ours is rolled back behind its back. */
static void roll_back(struct walk *walk, struct client *client)
{
	struct server *server = walk->server;

	if (server_is(server, SERVER_STATEMENTS_GOING))
		walk_statements_settled(server, true); /* a rollback does not bring them back */
	setting_settled(client, true);
	client_on_ready(client, PGW_XACT_IDLE);
	client_send_ready(client);
	server_set(server, SERVER_ROLLS_BACK);
	if (client->skip_bytes > 0 && !client_is(client, CLIENT_DROP_MESSAGE))
		server_set(server, SERVER_OWES_ROLLBACK);
	else
		inject_query(server, "ROLLBACK", 0);
}

static void fail(struct server *server)
{
	inject_failure(server);
	expect_push(&server->expects, (struct expect){.kind = EXPECT_SYNC});
	inject_sync(server);
}

static void give_ready(
	struct walk *walk, struct client *client, const struct pgw_frame *frame, enum pgw_xact xact,
	bool failed)
{
	if (!failed) {
		release_held(walk, client->sync);
		write_sync_types_known(client);
	}
	if (server_is(walk->server, SERVER_STATEMENTS_GOING))
		walk_statements_settled(walk->server, failed);
	setting_settled(client, failed);
	walk_forward(walk, frame);
	client_on_ready(client, xact);
}

bool write_sync_ready(struct walk *walk, const struct pgw_frame *frame, const struct expect *expect,
	enum pgw_xact xact, bool failed)
{
	struct server *server = walk->server;
	struct client *client = server->client;
	struct write_sync *sync = client->sync;

	if (client->state != CLIENT_LINKED)
		return false;
	sync->watching = NULL;
	if ((expect->flags & EXPECT_WATCH) && sync->is_broken) {
		sync->is_broken = false;
		strbuf_reset(&sync->held);
		fail(server);
		return true;
	}
	if (!sync->wraps) {
		if (xact == PGW_XACT_IDLE && !failed)
			write_sync_types_known(client);
		sync->in_query = sync->is_busy = false;
		return false;
	}
	if (xact == PGW_XACT_FAILED) {
		roll_back(walk, client);
		return true;
	}
	if ((expect->flags & EXPECT_WATCH) && xact == PGW_XACT_OPEN) {
		write_sync_flush(client, true);
		inject_query(server, "COMMIT", EXPECT_COMMIT);
		return true;
	}
	give_ready(walk, client, frame, xact, failed);
	return true;
}
