/* SPDX-License-Identifier: ISC */
/* What is to be noted, as statements of our own ahead of what the client says next. */
#include "session/write_sync.h"

#include "base/mem.h"
#include "session/ahead.h"
#include "session/server.h"

#define OID_TEXT 25u
#define OID_TEXT_ARRAY 1009u
#define OID_UUID 2950u
#define OID_UUID_ARRAY 2951u
#define NOTE_SQL "SELECT public.ml_outbox_notes($1,$2,$3)"
#define NOTE_ONE_NOW_SQL "SELECT public.ml_outbox_note_known($1,$2,$3)" /* its type has been checked, lately */
#define NOTE_NOW_SQL "SELECT public.ml_outbox_notes_now($1,$2,$3)"
#define KNOWN_US 10000000u /* how long a type that was checked is taken to be right */
/* Names of tables mean what they mean to the client. */
#define LOADED_SQL                                                                                 \
	"SELECT public.ml_outbox_notes_loaded($1,$2::pg_catalog.text[]::pg_catalog.regclass[],$3,$4)"

static bool has_loaded(const struct entity_marks *marks)
{
	unsigned i;

	for (i = 0; i < marks->n; i++)
		if (marks->items[i].source == ENTITY_LOADED)
			return true;
	return false;
}

static void note_literals(struct write_sync *sync)
{
	unsigned i;

	for (i = 0; i < sync->marks.n; i++) {
		const struct entity_mark *mark = &sync->marks.items[i];

		if (mark->has_id)
			write_sync_note(sync, mark->type, mark->id);
	}
}

/* An element of an array's text. */
static void add_element(struct strbuf *out, const char *text, size_t n)
{
	size_t i;

	strbuf_adds(out, out->len > 1 ? ",\"" : "\"");
	for (i = 0; i < n; i++) {
		if (text[i] == '"' || text[i] == '\\')
			strbuf_addc(out, '\\');
		strbuf_addc(out, text[i]);
	}
	strbuf_addc(out, '"');
}

static struct ahead_value text_value(const struct strbuf *text)
{
	return (struct ahead_value){.text = text->data, .n_text = text->len};
}

static struct ahead_value organization_value(
	const struct write_sync *sync, char text[static ENTITY_UUID_CHARACTERS + 1])
{
	if (!sync->has_organization)
		return (struct ahead_value){NULL, 0};
	entity_uuid_write(sync->organization, text);
	return (struct ahead_value){.text = text, .n_text = ENTITY_UUID_CHARACTERS};
}

static void send_notes(struct client *client, const char *sql, const struct strbuf *types,
	const struct strbuf *ids)
{
	char organization[ENTITY_UUID_CHARACTERS + 1];
	struct ahead ahead = {.sql = sql, .n_values = 3,
		.types = {OID_TEXT_ARRAY, OID_UUID_ARRAY, OID_UUID},
		.values = {text_value(types), text_value(ids),
			organization_value(client->sync, organization)}};

	ahead_send(client->server, &ahead);
}

/* What most writes have, without the arrays of many. */
static void send_note_now(struct client *client)
{
	struct write_sync *sync = client->sync;
	const char *type = sync->types[sync->ids[0].type];
	char id[ENTITY_UUID_CHARACTERS + 1], organization[ENTITY_UUID_CHARACTERS + 1];
	struct ahead ahead = {.sql = NOTE_ONE_NOW_SQL, .n_values = 3,
		.types = {OID_TEXT, OID_UUID, OID_UUID},
		.values = {{.text = type, .n_text = strlen(type)},
			{.text = id, .n_text = ENTITY_UUID_CHARACTERS},
			organization_value(sync, organization)}};

	entity_uuid_write(sync->ids[0].id, id);
	ahead_send(client->server, &ahead);
}

static void send_collected(struct client *client, const char *sql)
{
	struct write_sync *sync = client->sync;
	struct strbuf types = STRBUF_INIT, ids = STRBUF_INIT;
	char text[ENTITY_UUID_CHARACTERS + 1];
	uint32_t i;

	strbuf_addc(&types, '{');
	strbuf_addc(&ids, '{');
	for (i = 0; i < sync->n_ids; i++) {
		const char *type = sync->types[sync->ids[i].type];

		add_element(&types, type, strlen(type));
		entity_uuid_write(sync->ids[i].id, text);
		strbuf_addf(&ids, i > 0 ? ",%s" : "%s", text);
	}
	strbuf_addc(&types, '}');
	strbuf_addc(&ids, '}');
	send_notes(client, sql, &types, &ids);
	strbuf_release(&types);
	strbuf_release(&ids);
}

void write_sync_flush(struct client *client, bool ends)
{
	struct write_sync *sync = client->sync;
	bool now = ends && !sync->has_put_down;

	if (sync->n_ids == 0)
		return;
	sync->has_put_down |= !now;
	if (now && sync->n_ids == 1)
		send_note_now(client);
	else
		send_collected(client, now ? NOTE_NOW_SQL : NOTE_SQL);
	STAT_ADD(client->worker->annotations.n_entities, sync->n_ids);
	sync->n_ids = 0;
	sync->n_types = 0;
}

/* A lone COMMIT, as drivers say it, in a Query or a Parse. Others are not worth a look: it decides no more than how early a note is locked. */
static bool is_commit(const struct pgw_frame *frame)
{
	const char *text = (const char *)frame->body, *end;
	size_t n = frame->n_available, n_commit = strlen("COMMIT");

	if (frame->type == PGW_PARSE) { /* behind the statement's name */
		end = memchr(text, '\0', n);
		n = end ? n - (size_t)(end + 1 - text) : 0;
		text = end ? end + 1 : text;
	} else if (frame->type != PGW_QUERY) {
		return false;
	}
	if (n <= n_commit || strncasecmp(text, "COMMIT", n_commit) != 0)
		return false;
	return text[n_commit] == '\0' || (n > n_commit + 1 && memcmp(text + n_commit, ";", 2) == 0);
}

bool write_sync_lets(struct client *client, const struct pgw_frame *frame)
{
	uint8_t type = frame->type;

	if (type == PGW_COPY_DATA || type == PGW_COPY_DONE || type == PGW_COPY_FAIL ||
		type == PGW_TERMINATE)
		return true;
	if (server_is(client->server, SERVER_COPY_IN)) /* PostgreSQL drops what else may come: Flush, Sync */
		return true;
	if (client->sync->is_busy)
		return false;
	write_sync_flush(client, is_commit(frame));
	return true;
}

static struct known_type *find_known(struct client *client, const char *type)
{
	struct known_type *known = client->worker->known_types;
	unsigned i;

	for (i = 0; i < KNOWN_TYPES; i++)
		if (known[i].pool == client->pool->id && strcmp(known[i].type, type) == 0)
			return &known[i];
	return NULL;
}

void write_sync_types_known(struct client *client)
{
	struct worker *worker = client->worker;
	struct write_sync *sync = client->sync;
	unsigned i;

	for (i = 0; i < sync->n_checked; i++) {
		struct known_type *known = find_known(client, sync->checked[i]);

		if (known == NULL)
			known = &worker->known_types[worker->next_known_type++ % KNOWN_TYPES];
		known->pool = client->pool->id;
		known->until_us = loop_now_us(&worker->loop) + KNOWN_US;
		memcpy(known->type, sync->checked[i], ENTITY_TYPE_BYTES);
	}
	sync->n_checked = 0;
}

/* Its type is to be checked ahead of the statement: the note itself comes behind it. */
static bool is_checked(const struct entity_mark *mark, bool waits)
{
	return mark->source == ENTITY_RETURNED || (waits && mark->has_id);
}

/* Each type was checked a moment ago. */
static bool are_known(struct client *client, const struct entity_marks *marks, bool waits)
{
	const struct known_type *known;
	unsigned i;

	for (i = 0; i < marks->n; i++) {
		if (!is_checked(&marks->items[i], waits))
			continue;
		known = find_known(client, marks->items[i].type);
		if (known == NULL || known->until_us < loop_now_us(&client->worker->loop))
			return false;
	}
	return true;
}

/* Types whose notes come when the statement has run: what is wrong with them is said before. */
static void send_check(struct client *client, bool waits)
{
	const struct entity_marks *marks = &client->sync->marks;
	struct strbuf types = STRBUF_INIT, ids = STRBUF_INIT;
	unsigned i;

	strbuf_addc(&types, '{');
	for (i = 0; i < marks->n; i++) {
		const char *type = marks->items[i].type;

		if (!is_checked(&marks->items[i], waits))
			continue;
		add_element(&types, type, strlen(type));
		if (client->sync->n_checked < KNOWN_TYPES)
			memcpy(client->sync->checked[client->sync->n_checked++], type, ENTITY_TYPE_BYTES);
	}
	strbuf_addc(&types, '}');
	strbuf_adds(&ids, "{}");
	send_notes(client, NOTE_SQL, &types, &ids);
	strbuf_release(&types);
	strbuf_release(&ids);
}

static void send_loaded(struct client *client)
{
	const struct entity_marks *marks = &client->sync->marks;
	struct strbuf types = STRBUF_INIT, tables = STRBUF_INIT, keys = STRBUF_INIT;
	char organization[ENTITY_UUID_CHARACTERS + 1];
	struct ahead ahead = {
		.sql = LOADED_SQL, .n_values = 4, .types = {OID_TEXT_ARRAY, OID_TEXT_ARRAY,
							  OID_TEXT_ARRAY, OID_UUID}};
	unsigned i;

	strbuf_addc(&types, '{');
	strbuf_addc(&tables, '{');
	strbuf_addc(&keys, '{');
	for (i = 0; i < marks->n; i++) {
		const struct entity_mark *mark = &marks->items[i];
		const char *key = write_sync_key(client, mark->type);

		if (mark->source != ENTITY_LOADED)
			continue;
		add_element(&types, mark->type, strlen(mark->type));
		add_element(&tables, mark->table, mark->n_table);
		add_element(&keys, key, strlen(key));
	}
	strbuf_addc(&types, '}');
	strbuf_addc(&tables, '}');
	strbuf_addc(&keys, '}');
	ahead.values[0] = text_value(&types);
	ahead.values[1] = text_value(&tables);
	ahead.values[2] = text_value(&keys);
	ahead.values[3] = organization_value(client->sync, organization);
	client->sync->has_put_down = true;
	ahead_send(client->server, &ahead);
	strbuf_release(&types);
	strbuf_release(&tables);
	strbuf_release(&keys);
}

static void count_marks(struct client *client)
{
	const struct entity_marks *marks = &client->sync->marks;
	bool seen[N_ENTITY_SOURCES] = {false};
	unsigned i;

	for (i = 0; i < marks->n; i++) {
		unsigned kind = marks->items[i].source;

		if (!seen[kind])
			STAT_ADD(client->worker->annotations.n_statements[kind], 1);
		seen[kind] = true;
	}
}

void write_sync_send_marks(struct client *client, bool waits)
{
	struct write_sync *sync = client->sync;

	sync->has_organization = sync->marks.has_organization;
	memcpy(sync->organization, sync->marks.organization, ENTITY_UUID_BYTES);
	note_literals(sync);
	if (!waits)
		write_sync_flush(client, false);
	if ((sync->marks.has_returned || sync->n_ids > 0) && !are_known(client, &sync->marks, waits))
		send_check(client, waits);
	if (has_loaded(&sync->marks))
		send_loaded(client);
	count_marks(client);
}
