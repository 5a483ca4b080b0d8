/* SPDX-License-Identifier: ISC */
#include "session/sql_prepared.h"

#include "base/mem.h"
#include "base/strbuf.h"
#include "classify/prepared.h"
#include "session/pin.h"
#include "session/server.h"
#include "session/sql_names.h"

#define OURS STATEMENT_NAME_PREFIX
#define AMID OURS "prepare" /* statement and portal of a PREPARE amid a batch, whose unnamed ones may still be wanted */
#define NAMES_MAX 1000u /* of one server */
#define ROOM 512u /* of small messages */

static struct prepared_uses uses_of(const struct client *client, const char *sql, size_t n, struct prepared_use uses[static SQL_PREPARED_USES_MAX])
{
	return prepared_uses(client->worker->settings->classifier, client->params->backslash_escapes, sql, n, uses, SQL_PREPARED_USES_MAX);
}

static bool is_ours(const char *name)
{
	return strncmp(name, OURS, sizeof(OURS) - 1) == 0;
}

/* ---- routes ---- */

void sql_prepared_follow(const struct client *client, struct statement_route *route, const char *sql, size_t n, bool whole)
{
	struct prepared_use uses[SQL_PREPARED_USES_MAX];
	struct prepared_uses found;
	unsigned i;

	if (!(route->effects & EFFECT_PREPARE) || client_is(client, CLIENT_SESSION) || !pin_follows_settings(client) ||
		(route->effects & EFFECT_DEALLOCATE_ALL))
		return;
	found = uses_of(client, sql, n, uses);
	if (found.n > SQL_PREPARED_USES_MAX || found.may_set)
		return;
	for (i = 0; i < found.n; i++)
		if (uses[i].verb == VERB_PREPARE &&
			(!uses[i].is_plain || is_ours(uses[i].name) || (uses[i].is_last && !whole)))
			return;
	route->effects &= ~(uint32_t)EFFECT_PREPARE;
	if (route->kind == STATEMENT_PREPARE) /* what it does is done by EXECUTE */
		route->effects &= ~(uint32_t)PIN_EFFECTS;
}

static void merge(struct statement_route *route, const struct statement_route *of)
{
	bool is_heavier = route->source <= SOURCE_BUILT_IN &&
			  (of->class > route->class || route->source <= SOURCE_LEARNED);

	route->effects |= of->effects & ~(uint32_t)EFFECT_NAMES;
	/* Parse may make a statement of what PREPARE cannot: a PREPARE, a DEALLOCATE. */
	if (of->effects & (EFFECT_NAMES | EFFECT_DEALLOCATE_ALL))
		route->effects |= EFFECT_PREPARE;
	if (route->deny == NULL) {
		route->deny = of->deny;
		route->deny_rule = of->deny_rule;
	}
	if (!is_heavier)
		return;
	route->class = of->class;
	route->priority = of->priority;
	route->lane = of->lane;
	route->has_lane = of->has_lane;
	route->source = of->source;
	route->timeout_ms = of->timeout_ms;
}

const struct statement_route *sql_prepared_bound_route(
	struct client *client, const struct statement *statement, const char *portal, struct statement_route *room)
{
	*room = statement->route;
	sql_prepared_merge(client, room, statement->text, statement->n_query - 1);
	if (portal[0] != '\0' && room->kind == STATEMENT_PREPARE)
		room->effects |= EFFECT_PREPARE;
	return room;
}

void sql_prepared_merge(struct client *client, struct statement_route *route, const char *sql, size_t n)
{
	struct prepared_use uses[SQL_PREPARED_USES_MAX];
	unsigned n_uses, i;

	if (client->names == NULL)
		return;
	n_uses = MIN_OF(uses_of(client, sql, n, uses).n, SQL_PREPARED_USES_MAX);
	for (i = 0; i < n_uses; i++) {
		struct statement *statement = uses[i].verb == VERB_EXECUTE
						      ? client_names_find(client->names, uses[i].name)
						      : NULL;

		if (statement == NULL)
			continue;
		feed_route_statement(client, statement);
		merge(route, &statement->route);
	}
}

bool sql_prepared_fits(struct feed *feed, const struct statement_route *route, const char *sql, size_t n, struct pgw_fault *fault)
{
	struct prepared_use uses[SQL_PREPARED_USES_MAX];
	struct pgw_parse parse = {.name = ""};
	unsigned n_uses, i;

	if (route->effects & EFFECT_PREPARE)
		return true;
	n_uses = MIN_OF(uses_of(feed->client, sql, n, uses).n, SQL_PREPARED_USES_MAX);
	for (i = 0; i < n_uses; i++)
		if (uses[i].verb == VERB_PREPARE && client_names_find(feed->client->names, uses[i].name) == NULL)
			parse.n_query_bytes += uses[i].n;
	return parse.n_query_bytes == 0 || feed_within_memory(feed, &parse, fault);
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

static void send_close(struct server *server, const char *name)
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

/* Name, NUL, value, NUL, …; filled up with NULs to words of four bytes. */
static void add_reading(const struct client *client, struct strbuf *out)
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

static struct pgw_hash128 key_of(const struct client *client, const struct statement *statement)
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
		send_close(server, name);
		break;
	case SQL_NAME_NONE:
		if (!may_be_its_own)
			send_close(server, name);
		break;
	case SQL_NAME_GONE:
	default:
		break;
	}
}

/* It has one: so is the server to, whatever it is of. Nobody will run it. */
static void agree_on_some(struct server *server, const char *name)
{
	if (sql_names_state(server->sql_names, name) == SQL_NAME_HAS) {
		sql_names_touch(server->sql_names, name);
		return;
	}
	send_close(server, name);
	inject_built(server, build_empty_parse, &(struct message){.name = name}, ROOM);
	expect_ours(server, EXPECT_PARSE);
	sql_names_made(&server->sql_names, name, (struct pgw_hash128){0, 0});
}

static void agree_on(struct client *client, struct server *server, const char *name, const struct statement *statement, bool amid)
{
	struct pgw_hash128 key = key_of(client, statement);

	if (sql_names_is(server->sql_names, name, key)) {
		sql_names_touch(server->sql_names, name);
		return;
	}
	send_close(server, name);
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

static void agree(struct client *client, const struct prepared_use *use, bool amid)
{
	const struct statement *statement = client_names_find(client->names, use->name);

	if (!use->is_plain || is_ours(use->name))
		return;
	if (statement == NULL)
		agree_on_none(client, client->server, use->name);
	else if (use->verb == VERB_EXECUTE)
		agree_on(client, client->server, use->name, statement, amid);
	else
		agree_on_some(client->server, use->name);
}

/* Those named now are the newest: they stay. */
static void evict(struct server *server, unsigned n_named)
{
	unsigned max = MIN_OF(MAX_OF(worker_config(server->worker)->max_prepared_statements, 1u), NAMES_MAX);
	const char *name;
	unsigned n;

	for (n = 0; n < SQL_PREPARED_USES_MAX && (name = sql_names_oldest(server->sql_names, MAX_OF(max, n_named))) != NULL; n++)
		send_close(server, name);
}

void sql_prepared_linked(struct client *client, struct server *server)
{
	const char *name, *next;

	sql_names_settle(&server->sql_names, true);
	sql_names_set_own(&server->sql_names, false);
	for (name = sql_names_next(server->sql_names, NULL); name; name = next) {
		const struct statement *statement =
			client_is(client, CLIENT_SESSION) ? NULL : client_names_find(client->names, name);

		next = sql_names_next(server->sql_names, name);
		if (statement && sql_names_is(server->sql_names, name, key_of(client, statement)))
			continue;
		send_close(server, name); /* nothing is ahead of it: it will be heard */
		sql_names_drop(&server->sql_names, name);
	}
}

/* ---- what a statement does to names ---- */

static void nothing_named(struct client *client)
{
	client_name_pending(client, "", NULL);
}

static void prepares(struct client *client, const char *name, const char *sql, size_t n)
{
	struct strbuf settings = STRBUF_INIT;
	struct statement *statement;

	add_reading(client, &settings);
	statement = statement_intern_sql(&client->worker->statements,
		&(struct pgw_parse){.name = "", .query = sql, .n_query_bytes = n, .types = (const uint8_t *)settings.data, .n_types = settings.len / 4});
	strbuf_release(&settings);
	client_name_pending(client, name, NULL);
	client_names_add(&client->names, name, statement);
	sql_names_made(&client->server->sql_names, name, key_of(client, statement));
}

static void deallocates(struct client *client, const char *name)
{
	struct statement *statement = client_names_take(&client->names, &client->worker->statements, name);

	client_name_pending(client, name, statement);
	sql_names_gone(client->server->sql_names, name);
}

/* One pending name for each, whatever it does: so its tag can be counted. */
static void apply(struct client *client, const struct prepared_use *use, const char *sql, bool follows)
{
	bool is_followed = follows && use->is_plain && !is_ours(use->name), has = client_names_find(client->names, use->name) != NULL;

	if (use->verb == VERB_PREPARE && is_followed && !has)
		prepares(client, use->name, sql + use->at, use->n);
	else if (use->verb == VERB_DEALLOCATE && has)
		deallocates(client, use->name);
	else
		nothing_named(client);
}

static bool is_first(const struct prepared_use *uses, unsigned i)
{
	unsigned j;

	for (j = 0; j < i; j++)
		if (strcmp(uses[j].name, uses[i].name) == 0)
			return false;
	return true;
}

uint32_t sql_prepared_query(struct client *client, const struct statement_route *route, const char *sql, size_t n)
{
	struct prepared_use uses[SQL_PREPARED_USES_MAX];
	unsigned n_all = uses_of(client, sql, n, uses).n, n_uses = MIN_OF(n_all, SQL_PREPARED_USES_MAX), i;
	struct server *server = client->server;
	bool follows = !(route->effects & EFFECT_PREPARE);
	uint32_t n_names = 0;

	for (i = 0; i < n_uses; i++)
		if (is_first(uses, i))
			agree(client, &uses[i], false);
	evict(server, n_uses);
	if (!follows)
		sql_names_set_own(&server->sql_names, true);
	server->n_names_ran = 0;
	for (i = 0; i < n_uses; i++) {
		if (uses[i].verb == VERB_EXECUTE)
			continue;
		apply(client, &uses[i], sql, follows);
		n_names++;
	}
	if (UNLIKELY(n_all > n_uses)) /* more may be deallocated than is known here */
		sql_names_doubt(server->sql_names, NULL);
	return n_names;
}

/* ---- the extended protocol: a text is one statement ---- */

static bool use_of(const struct client *client, const struct statement *statement, struct prepared_use *use_r)
{
	struct prepared_use uses[SQL_PREPARED_USES_MAX];

	if (!(statement->route.effects & EFFECT_NAMES) || (statement == client->unnamed && client->deallocates) ||
		uses_of(client, statement->text, statement->n_query - 1, uses).n != 1)
		return false;
	*use_r = uses[0];
	return true;
}

void sql_prepared_parse(struct client *client, const struct statement *statement)
{
	struct prepared_use use;

	if (use_of(client, statement, &use) && use.verb == VERB_EXECUTE)
		agree(client, &use, true);
}

void sql_prepared_parse_big(struct client *client, const struct statement_route *route, const char *sql, size_t n)
{
	struct prepared_use uses[SQL_PREPARED_USES_MAX];

	if (route->effects & EFFECT_PREPARE)
		sql_names_set_own(&client->server->sql_names, true);
	else if (uses_of(client, sql, n, uses).n == 1 && uses[0].verb == VERB_EXECUTE)
		agree(client, &uses[0], true);
}

static void build_close_copy(struct pgw_writer *writer, const void *arg)
{
	pgw_build_target(writer, PGW_CLOSE, 'S', arg);
}

/* How an EXECUTE is described was settled when it was parsed, perhaps for another client's statement. */
static void parse_anew(struct server *server, const struct statement *statement)
{
	if (!server_copies_has(&server->copies, statement->hash))
		return;
	server_copies_drop(&server->copies, statement->hash);
	inject_built(server, build_close_copy, statement->name, ROOM);
	expect_push(&server->expects,
		(struct expect){.kind = EXPECT_CLOSE, .flags = EXPECT_SWALLOW | EXPECT_COPY, .hash = statement->hash});
}

bool sql_prepared_ensure(struct client *client, const char *name, size_t n_name, const struct statement *statement)
{
	struct server *server = client->server;
	struct prepared_use use;

	if (statement->of_sql) {
		agree_on(client, server, name, statement, true);
		evict(server, 1);
		return true;
	}
	if (UNLIKELY(use_of(client, statement, &use))) {
		agree(client, &use, true);
		evict(server, 1);
		if (use.verb == VERB_EXECUTE && n_name > 0)
			parse_anew(server, statement);
	}
	server_ensure_statement_as(server, statement, n_name > 0);
	return false;
}

void sql_prepared_forget(struct client *client, const char *name)
{
	enum sql_name_state state = sql_names_state(client->server->sql_names, name);

	if (state == SQL_NAME_HAS || state == SQL_NAME_UNKNOWN)
		send_close(client->server, name);
}

void sql_prepared_unbind(struct client *client)
{
	statement_unref(&client->worker->statements, &client->bound);
}

void sql_prepared_bind(struct client *client, const char *portal, struct statement *statement, const struct statement_route *route)
{
	struct server *server = client->server;
	struct prepared_use use;

	if (portal[0] == '\0')
		sql_prepared_unbind(client);
	if (statement == NULL || LIKELY(!(route->effects & EFFECT_NAMES)) || !use_of(client, statement, &use))
		return;
	if (route->effects & EFFECT_PREPARE)
		sql_names_set_own(&server->sql_names, true);
	if (use.verb == VERB_EXECUTE)
		return;
	if (portal[0] != '\0' || (route->effects & EFFECT_PREPARE)) {
		/* When it is executed, if ever, is not looked for. */
		sql_names_doubt(server->sql_names, use.name);
		return;
	}
	statement->refs++;
	client->bound = statement;
}

void sql_prepared_execute(struct client *client, const char *portal, struct expect *expect)
{
	struct prepared_use use;

	if (portal[0] != '\0')
		return;
	if (use_of(client, client->bound, &use)) {
		apply(client, &use, client->bound->text, true);
		expect->n_names = 1;
	}
	sql_prepared_unbind(client); /* a second time it cannot be run */
}

/* ---- what becomes of them ---- */

void sql_prepared_tag(struct server *server, const uint8_t *tag, size_t n)
{
	static const char prepare[] = "PREPARE", deallocate[] = "DEALLOCATE";

	server->n_names_ran += (n == sizeof(prepare) && memcmp(tag, prepare, n) == 0) ||
			       (n == sizeof(deallocate) && memcmp(tag, deallocate, n) == 0);
}

uint32_t sql_prepared_ran(struct server *server, const struct expect *query, bool failed)
{
	uint32_t n_ran = server->n_names_ran;

	server->n_names_ran = 0;
	return failed ? MIN_OF(n_ran, query->n_names) : query->n_names;
}

void sql_prepared_stale(struct server *server)
{
	sql_names_doubt(server->sql_names, NULL);
	(void)__atomic_add_fetch(&server->pool->shared->copies_epoch, 1, __ATOMIC_RELAXED);
}

void sql_prepared_add_condition(const struct client *client, const struct server *server, struct strbuf *sql)
{
	const char *name = NULL;

	strbuf_adds(sql, "(from_sql OR pg_catalog.left(name, 7) <> '" OURS "') AND name NOT IN (''");
	while ((name = sql_names_next(server->sql_names, name)) != NULL) {
		if (sql_names_state(server->sql_names, name) != SQL_NAME_HAS && !client_names_find(client->names, name))
			continue;
		strbuf_adds(sql, ", ");
		strbuf_add_literal(sql, name);
	}
	strbuf_addc(sql, ')');
}
