/* SPDX-License-Identifier: ISC */
#include "session/sql_prepared.h"

#include "base/mem.h"
#include "base/strbuf.h"
#include "classify/prepared.h"
#include "session/pin.h"
#include "session/server.h"
#include "session/sql_agree.h"
#include "session/sql_names.h"

#define OURS STATEMENT_NAME_PREFIX
#define ROOM 512u /* of small messages */

static struct prepared_uses uses_of(const struct client *client, const char *sql, size_t n, struct prepared_use uses[static SQL_PREPARED_USES_MAX])
{
	return prepared_uses(client->worker->settings->classifier, client->params->backslash_escapes, sql, n, uses, SQL_PREPARED_USES_MAX);
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
			(!uses[i].is_plain || sql_agree_is_ours(uses[i].name) || (uses[i].is_last && !whole)))
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

/* ---- what a statement does to names ---- */

static void nothing_named(struct client *client)
{
	client_name_pending(client, "", NULL);
}

static void prepares(struct client *client, const char *name, const char *sql, size_t n)
{
	struct strbuf settings = STRBUF_INIT;
	struct statement *statement;

	sql_agree_add_reading(client, &settings);
	statement = statement_intern_sql(&client->worker->statements,
		&(struct pgw_parse){.name = "", .query = sql, .n_query_bytes = n, .types = (const uint8_t *)settings.data, .n_types = settings.len / 4});
	strbuf_release(&settings);
	client_name_pending(client, name, NULL);
	client_names_add(&client->names, name, statement);
	sql_names_made(&client->server->sql_names, name, sql_agree_key(client, statement));
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
	bool is_followed = follows && use->is_plain && !sql_agree_is_ours(use->name), has = client_names_find(client->names, use->name) != NULL;

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
			sql_agree(client, &uses[i], false);
	sql_agree_evict(server, n_uses);
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
		sql_agree_doubt(server, NULL);
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
		sql_agree(client, &use, true);
}

void sql_prepared_parse_big(struct client *client, const struct statement_route *route, const char *sql, size_t n)
{
	struct prepared_use uses[SQL_PREPARED_USES_MAX];

	if (route->effects & EFFECT_PREPARE)
		sql_names_set_own(&client->server->sql_names, true);
	else if (uses_of(client, sql, n, uses).n == 1 && uses[0].verb == VERB_EXECUTE)
		sql_agree(client, &uses[0], true);
}

bool sql_prepared_ensure(struct client *client, const char *name, size_t n_name, const struct statement *statement)
{
	struct server *server = client->server;
	struct prepared_use use;

	if (statement->of_sql) {
		sql_agree_on(client, server, name, statement, true);
		sql_agree_evict(server, 1);
		return true;
	}
	if (UNLIKELY(use_of(client, statement, &use))) {
		sql_agree(client, &use, true);
		sql_agree_evict(server, 1);
		/* How it is described was settled when it was parsed, perhaps for another client's statement. */
		if (use.verb == VERB_EXECUTE && n_name > 0)
			server_close_statement(server, statement);
	}
	server_ensure_statement_as(server, statement, n_name > 0);
	return false;
}

void sql_prepared_forget(struct client *client, const char *name)
{
	enum sql_name_state state = sql_names_state(client->server->sql_names, name);

	if (state == SQL_NAME_HAS || state == SQL_NAME_UNKNOWN)
		sql_agree_close(client->server, name);
}

bool sql_prepared_closes_own(struct client *client, const char *name)
{
	if (!sql_names_own(client->server->sql_names) || !sql_agree_is_plain(name))
		return false;
	sql_names_gone(client->server->sql_names, name);
	return true;
}

bool sql_prepared_parse_own(struct client *client, const char *name, const struct statement *statement)
{
	struct server *server = client->server;

	if (!sql_names_own(server->sql_names) || !sql_agree_is_plain(name))
		return false;
	sql_prepared_forget(client, name);
	inject_raw_parse(server, statement, name);
	sql_names_made(&server->sql_names, name, sql_agree_key(client, statement));
	sql_agree_evict(server, 1);
	return true;
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
		sql_agree_doubt(server, use.name);
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

static bool is_tag(const uint8_t *tag, size_t n, const char *text)
{
	return n == strlen(text) + 1 && memcmp(tag, text, n) == 0;
}

bool sql_prepared_tag(struct server *server, const uint8_t *tag, size_t n)
{
	server->n_names_ran += is_tag(tag, n, "PREPARE") || is_tag(tag, n, "DEALLOCATE");
	return is_tag(tag, n, "DEALLOCATE ALL") || is_tag(tag, n, "DISCARD ALL");
}

uint32_t sql_prepared_ran(struct server *server, const struct expect *query, bool failed)
{
	uint32_t n_ran = server->n_names_ran;

	server->n_names_ran = 0;
	return failed ? MIN_OF(n_ran, query->n_names) : query->n_names;
}

void sql_prepared_stale(struct server *server)
{
	sql_agree_doubt(server, NULL);
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
