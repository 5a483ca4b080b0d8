/* SPDX-License-Identifier: ISC */
#include "session/restore.h"

#include "base/mem.h"
#include "session/replica.h"
#include "session/server.h"
#include "session/touched.h"
#include "session/walk.h"

#define AMID_MAX 16u /* that are restored in one text */
#define PORTALS_MAX 64u /* that are bound at a time */
#define STATEMENT "pglane_restore" /* and its portal */
#define MESSAGES_ROOM 256u

/* A portal that resets, until it is executed. */
struct restore {
	TAILQ_ENTRY(restore) link;
	struct reset_text text;
	char portal[];
};

/* ---- values ---- */

static bool differs(const struct param *param, const struct param_set *defaults)
{
	const char *value = param_set_get(defaults, param->name);

	/* Of a transaction; or RESET can do what SET could not, behind temporary tables. */
	if (param_is_server_fact(param->name) || touched_is_of_transaction(param->name) || strcasecmp(param->name, "temp_buffers") == 0)
		return false;
	return value == NULL || strcmp(value, param->value) != 0;
}

bool restore_is_for(const struct param_set *login, const struct param_set *defaults)
{
	unsigned i;

	for (i = 0; i < login->n; i++)
		if (differs(&login->items[i], defaults))
			return true;
	return false;
}

/* DISCARD ALL, but not RESET ALL, takes back who the session is (GUC_NO_RESET_ALL). */
static bool is_reset(const struct reset_text *text, const char *name)
{
	if (!text->all)
		return strcasecmp(name, text->name) == 0;
	return text->discards || (strcasecmp(name, "role") != 0 && strcasecmp(name, "session_authorization") != 0);
}

/* SET quotes what it is given, so that it could not make of a list what a startup packet has made of it. */
static bool is_list(const char *name)
{
	static const char *const lists[] = {"search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"};
	unsigned i;

	for (i = 0; i < N_ELEMENTS(lists); i++)
		if (strcasecmp(name, lists[i]) == 0)
			return true;
	return false;
}

/* SET takes no snapshot: behind it the transaction's isolation can still be chosen, as behind RESET. What only set_config() can say costs that. */
static void add_statement(struct strbuf *sql, const struct param *param, bool is_local)
{
	if (is_list(param->name) || param->encoding) {
		param_add_call(sql, param, is_local);
		return;
	}
	strbuf_adds(sql, is_local ? "SET LOCAL " : "SET ");
	strbuf_add_ident(sql, param->name);
	strbuf_adds(sql, " TO ");
	strbuf_add_literal(sql, param->value);
}

/* ---- messages ---- */

static void build_restore(struct pgw_writer *writer, const void *arg)
{
	const struct strbuf *sql = arg;

	pgw_build_target(writer, PGW_CLOSE, 'S', STATEMENT); /* where the last one failed it was left behind */
	pgw_build_parse(writer, STATEMENT, sql->data, sql->len, NULL, 0);
	pgw_build_bind_plain(writer, STATEMENT, STATEMENT);
	pgw_build_execute(writer, STATEMENT, 0);
	pgw_build_target(writer, PGW_CLOSE, 'P', STATEMENT);
	pgw_build_target(writer, PGW_CLOSE, 'S', STATEMENT);
}

static void expect_ours(struct server *server, const enum expect_kind *kinds, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++)
		expect_push(&server->expects, (struct expect){.kind = (uint8_t)kinds[i], .flags = EXPECT_SWALLOW});
}

static void send_restore(struct server *server, const struct param *param, bool is_local)
{
	static const enum expect_kind kinds[] = {EXPECT_CLOSE, EXPECT_PARSE, EXPECT_BIND, EXPECT_EXECUTE, EXPECT_CLOSE, EXPECT_CLOSE};
	struct strbuf sql = STRBUF_INIT;

	add_statement(&sql, param, is_local);
	inject_built(server, build_restore, &sql, MESSAGES_ROOM + sql.len);
	expect_ours(server, kinds, N_ELEMENTS(kinds));
	strbuf_release(&sql);
}

/* Of the client's login, what the text resets and the server will not have by itself: how many. */
static unsigned find_lost(const struct client *client, const struct reset_text *text, const struct param *lost[static PARAMS_MAX])
{
	const struct server *server = client->server;
	const struct param_set *login = client->params_login;
	struct param_set *defaults;
	unsigned i, n = 0;

	registry_lock();
	defaults = param_set_ref(server->pool->shared->defaults);
	registry_unlock();
	for (i = 0; i < login->n; i++) {
		const struct param *param = &login->items[i];

		if (is_reset(text, param->name) && differs(param, defaults) &&
			(server->pool == client->pool || !replica_is_our_param(param->name)))
			lost[n++] = param;
	}
	param_set_unref(&defaults);
	return n;
}

/* ---- amid others in one Query ---- */

/* Where its text was made longer, in characters: errors name places in it. */
struct restore_amid {
	STAILQ_ENTRY(restore_amid) link;
	unsigned n;
	struct {
		uint32_t at, n; /* behind so many of the client's, so many of ours */
	} places[AMID_MAX];
};

/* Of the beginning of a text, in the client's encoding. false: not known. */
static bool count_characters(const struct client *client, const char *sql, size_t n, uint32_t *n_r)
{
	static const char *const single[] = {"LATIN", "WIN", "ISO_8859", "KOI8", "SQL_ASCII"};
	const char *encoding = param_set_get(client->params, "client_encoding");
	bool is_ascii = true, is_single = false, is_utf8 = encoding && strcasecmp(encoding, "UTF8") == 0;
	size_t i;

	*n_r = 0;
	for (i = 0; i < n; i++) {
		is_ascii &= !(sql[i] & 0x80);
		*n_r += !is_utf8 || ((unsigned char)sql[i] & 0xc0) != 0x80;
	}
	for (i = 0; encoding && i < N_ELEMENTS(single); i++)
		is_single |= strncasecmp(encoding, single[i], strlen(single[i])) == 0;
	return is_ascii || is_utf8 || is_single;
}

/* Adds what goes behind one that was found; *mask: of all answers, those that are ours. */
static bool add_amid(struct client *client, const struct reset_found *found, struct strbuf *text, uint64_t *mask, unsigned *n_ours)
{
	const struct param *lost[PARAMS_MAX];
	unsigned i, n = find_lost(client, &found->text, lost);

	if (found->n_statements + *n_ours + n > 64)
		return false;
	for (i = 0; i < n; i++) {
		strbuf_adds(text, ";");
		add_statement(text, lost[i], found->text.is_local);
		*mask |= UINT64_C(1) << (found->n_statements + *n_ours + i);
	}
	*n_ours += n;
	return true;
}

/* The text with all that belongs into it. false: it goes as it is. */
static bool write_amid(struct client *client, const char *sql, size_t n, struct strbuf *text, uint64_t *mask, struct restore_amid *amid)
{
	struct reset_found found[AMID_MAX];
	unsigned i, n_ours = 0, n_found = reset_text_find(sql, n, client->params->backslash_escapes, found, AMID_MAX);
	size_t at = 0;

	for (i = 0; i < n_found; i++) {
		size_t n_before;

		strbuf_add(text, sql + at, found[i].at - at);
		at = found[i].at;
		n_before = text->len;
		if (!add_amid(client, &found[i], text, mask, &n_ours) ||
			!count_characters(client, sql, at, &amid->places[i].at))
			return false;
		amid->places[i].n = (uint32_t)(text->len - n_before);
	}
	strbuf_add(text, sql + at, n - at);
	amid->n = n_found;
	return n_ours > 0;
}

static bool send_amid(struct client *client, const char *sql, size_t n, struct expect *expect)
{
	struct restore_amid *amid = mem_zalloc(sizeof(*amid));
	struct strbuf text = STRBUF_INIT;
	uint64_t mask = 0;
	bool sends = write_amid(client, sql, n, &text, &mask, amid);

	if (sends) {
		if (!client_is(client, CLIENT_SESSION)) /* of a server that was lost */
			restore_amid_forget(client);
		STAILQ_INSERT_TAIL(&client->amids, amid, link);
		inject_raw_query(client->server, text.data);
		expect->flags |= EXPECT_MASKED;
		expect->hash = (struct pgw_hash128){.lo = mask};
	} else {
		mem_free(amid);
	}
	strbuf_release(&text);
	return sends;
}

/* Where the client has what is at this place of the longer text, both from 1. 0: it is not the client's. */
static uint32_t place_of(const struct restore_amid *amid, uint32_t place)
{
	uint32_t n_ours = 0;
	unsigned i;

	for (i = 0; i < amid->n; i++) {
		if (place <= amid->places[i].at + n_ours)
			break;
		if (place <= amid->places[i].at + n_ours + amid->places[i].n)
			return 0;
		n_ours += amid->places[i].n;
	}
	return place - n_ours;
}

/* The server's own error, with its client's place. */
static bool write_error(struct pgw_writer *writer, const struct restore_amid *amid, const struct pgw_frame *frame)
{
	const char *at = (const char *)frame->body, *end = at + frame->n_body_bytes;

	pgw_write_begin(writer, frame->type);
	while (at < end && *at != '\0') {
		size_t n = strnlen(at, (size_t)(end - at)) + 1;
		char place[16];

		(void)snprintf(place, sizeof(place), "P%u", *at == 'P' ? place_of(amid, (uint32_t)strtoul(at + 1, NULL, 10)) : 0);
		if (n > (size_t)(end - at))
			return false;
		if (*at != 'P')
			pgw_write_bytes(writer, at, n);
		else if (strcmp(place, "P0") != 0)
			pgw_write_cstr(writer, place);
		at += n;
	}
	pgw_write_u8(writer, '\0');
	pgw_write_end(writer);
	return writer->err == PGW_OK;
}

bool restore_error(const struct walk *walk, const struct pgw_frame *frame)
{
	const struct restore_amid *amid = STAILQ_FIRST(&walk->client->amids);
	struct pgw_writer writer;

	if (amid == NULL || frame->n_available < frame->n_body_bytes)
		return false;
	writer = gather_writer(walk_out(walk), GATHER_SCRATCH_BYTES / 2);
	if (!write_error(&writer, amid, frame))
		return false;
	gather_commit(walk_out(walk), &writer);
	return true;
}

bool restore_keeps(struct expect *front, uint8_t type)
{
	bool is_ours = front->hash.lo & 1;

	if (type == PGW_COMMAND_COMPLETE)
		front->hash.lo >>= 1;
	return is_ours;
}

void restore_amid_over(struct client *client)
{
	struct restore_amid *amid = STAILQ_FIRST(&client->amids);

	if (amid == NULL)
		return;
	STAILQ_REMOVE_HEAD(&client->amids, link);
	mem_free(amid);
}

void restore_amid_forget(struct client *client)
{
	while (!STAILQ_EMPTY(&client->amids))
		restore_amid_over(client);
}

/* ---- Query ---- */

struct text {
	const char *sql;
	size_t n;
};

static void build_statement(struct pgw_writer *writer, const void *arg)
{
	const struct text *text = arg;

	pgw_build_parse(writer, "", text->sql, text->n, NULL, 0);
	pgw_build_bind_plain(writer, "", "");
	pgw_build_execute(writer, "", 0);
}

/* A Query leaves neither behind. */
static void build_closes(struct pgw_writer *writer, const void *arg)
{
	pgw_build_target(writer, PGW_CLOSE, 'P', "");
	pgw_build_target(writer, PGW_CLOSE, 'S', "");
}

static void send_batch(struct server *server, const struct text *message, const struct param *const *lost, unsigned n, bool is_local)
{
	static const enum expect_kind begin[] = {EXPECT_PARSE, EXPECT_BIND}, end[] = {EXPECT_CLOSE, EXPECT_CLOSE};
	unsigned i;

	inject_built(server, build_statement, message, MESSAGES_ROOM + message->n);
	expect_ours(server, begin, N_ELEMENTS(begin));
	expect_push(&server->expects, (struct expect){.kind = EXPECT_EXECUTE});
	for (i = 0; i < n; i++)
		send_restore(server, lost[i], is_local);
	inject_built(server, build_closes, NULL, MESSAGES_ROOM);
	expect_ours(server, end, N_ELEMENTS(end));
	inject_sync(server);
}

bool restore_query(struct client *client, const char *sql, size_t n, struct expect *expect)
{
	const struct param *lost[PARAMS_MAX];
	struct text message = {sql, n};
	struct reset_text text;
	unsigned n_lost;

	if (memchr(sql, '\0', n) != NULL) /* PostgreSQL will not have it */
		return false;
	if (!reset_text_parse(sql, n, client->params->backslash_escapes, &text))
		return memchr(sql, ';', n) != NULL && send_amid(client, sql, n, expect);
	/* Behind a batch that has not ended and failed, a Query is not heard; a Sync of ours would be. */
	if (UNLIKELY(client_is(client, CLIENT_EXTENDED)))
		return send_amid(client, sql, n, expect);
	n_lost = find_lost(client, &text, lost);
	if (n_lost == 0)
		return false;
	send_batch(client->server, &message, lost, n_lost, text.is_local);
	expect->kind = EXPECT_SYNC;
	return true;
}

/* ---- portals ---- */

static struct restore *find(struct client *client, const char *portal)
{
	struct restore *found;

	TAILQ_FOREACH(found, &client->restores, link)
	{
		if (strcmp(found->portal, portal) == 0)
			return found;
	}
	return NULL;
}

static void forget(struct client *client, struct restore *old)
{
	TAILQ_REMOVE(&client->restores, old, link);
	mem_free(old);
}

void restore_bound(struct client *client, const char *portal, const char *sql, size_t n)
{
	struct restore *old = find(client, portal), *new;
	struct reset_text text;
	unsigned n_bound = 0;

	if (old)
		forget(client, old);
	if (sql == NULL || !client->brings_own ||
		!reset_text_parse(sql, n, client->params->backslash_escapes, &text))
		return;
	new = mem_alloc(sizeof(*new) + strlen(portal) + 1);
	new->text = text;
	memcpy(new->portal, portal, strlen(portal) + 1);
	TAILQ_INSERT_TAIL(&client->restores, new, link);
	TAILQ_FOREACH(old, &client->restores, link)
	n_bound++;
	if (n_bound > PORTALS_MAX) {
		forget(client, TAILQ_FIRST(&client->restores));
		server_set(client->server, SERVER_RETIRE); /* it may not have what setting.h takes it to have */
	}
}

void restore_executed(struct client *client, const char *portal)
{
	struct restore *found = find(client, portal);
	const struct param *lost[PARAMS_MAX];
	unsigned i, n;

	if (found == NULL)
		return;
	n = find_lost(client, &found->text, lost);
	for (i = 0; i < n; i++)
		send_restore(client->server, lost[i], found->text.is_local);
	forget(client, found);
}

void restore_portals_gone(struct client *client)
{
	while (!TAILQ_EMPTY(&client->restores))
		forget(client, TAILQ_FIRST(&client->restores));
}
