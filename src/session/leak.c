/* SPDX-License-Identifier: ISC */
#include "session/leak.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "pgw/fingerprint.h"
#include "pgw/printer.h"
#include "session/client.h"
#include "session/pin.h"
#include "session/replica.h"
#include "session/server.h"
#include "session/sql_names.h"

#define EQ " OPERATOR(pg_catalog.=) "

/*
 * Two columns: what, and its name. Each question is a statement that the server keeps prepared: planning it takes longer than running it. Operators are
 * named with their schema, because the session's search_path is its client's. Temporary objects depend on the schema of their
 * session; 2615 is pg_namespace.
 */
#define ASK_STATE                                                                                  \
	"SELECT 'temporary objects', NULL::pg_catalog.text WHERE EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid" EQ \
	"2615 AND refobjid" EQ "pg_catalog.pg_my_temp_schema())"                                   \
	" UNION ALL SELECT 'cursor with hold', name FROM pg_catalog.pg_cursors WHERE is_holdable" \
	" UNION ALL SELECT 'advisory lock', NULL WHERE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype" EQ                \
	"'advisory' AND pid" EQ "pg_catalog.pg_backend_pid())"                                     \
	" UNION ALL SELECT 'listen', c FROM pg_catalog.pg_listening_channels() c"                  \
	" UNION ALL SELECT 'prepare', name FROM pg_catalog.pg_prepared_statements WHERE from_sql"

/* A role that every session begins with is none that was set in it. */
#define ASK_SETTINGS                                                                               \
	"SELECT 'setting', name FROM pg_catalog.pg_settings WHERE source" EQ "'session'"          \
	" UNION ALL SELECT 'role', r FROM pg_catalog.current_setting('role') r WHERE NOT r" EQ "'none'" \
	" AND NOT EXISTS (SELECT FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) s"   \
	" WHERE pg_catalog.starts_with(s, 'role='))"                                               \
	" UNION ALL SELECT 'session_authorization', session_user::pg_catalog.text"

#define RESET_SETTINGS "RESET SESSION AUTHORIZATION;RESET ROLE;RESET ALL"

struct leak_suspect {
	struct pgw_hash128 key, print;
	unsigned rank;
	char text[FINGERPRINT_TEXT_BYTES]; /* without constants */
};

void leak_read_policy(struct pool *pool)
{
	const struct config *config = worker_config(pool->worker);
	const struct config_user *user = config_find_user(config, pool->shared->user->name);
	const struct config_database *database = pool_entry(pool);
	enum leak_check check = config->leak_check;

	if (database && database->leak_check != LEAK_CHECK_INHERIT)
		check = database->leak_check;
	if (user && user->leak_check != LEAK_CHECK_INHERIT)
		check = user->leak_check;
	if (database && database->connect_query) /* what that has set would be taken for a leak */
		check = LEAK_CHECK_OFF;
	pool->leak_check = (uint8_t)check;
	pool->leak_check_of = pool->worker->settings->serial;
}

/* ---- when ---- */

static void make_due(struct server *server, bool lists)
{
	struct server_leaks *leaks = &server->leaks;

	leaks->is_due = leaks->watches = true;
	leaks->lists |= lists;
}

/* Settings are asked for so often, and in `sampled` nothing is asked without them. */
static bool is_sampled(struct server *server)
{
	struct server_leaks *leaks = &server->leaks;

	return ++leaks->n_unlisted >= LEAK_SAMPLE &&
	       loop_now_us(&server->worker->loop) - leaks->listed_us >= LEAK_SAMPLE_US;
}

void leak_linked(struct client *client, struct server *server)
{
	struct pool *pool = client->pool;
	bool sampled = is_sampled(server);

	server->leaks.n_since++;
	server->leaks.watches |= client->worker->leaks.n > 0;
	if (UNLIKELY(pool->n_leak_hunt > 0)) {
		pool->n_leak_hunt--;
		sampled = true;
	}
	if (sampled || pool->leak_check == LEAK_CHECK_ALWAYS)
		make_due(server, sampled);
}

static unsigned rank_of(const struct statement_route *route)
{
	if (route->effects & EFFECT_CALL)
		return 3;
	if (route->effects & EFFECT_WRITE)
		return 2;
	return route->kind == STATEMENT_WORK ? 1 : 0;
}

static void suspect(struct client *client, struct server_leaks *leaks, struct pgw_hash128 print, unsigned rank,
	const char *sql, size_t n)
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);

	if (leaks->suspect == NULL)
		leaks->suspect = mem_zalloc(sizeof(*leaks->suspect));
	lexer.standard_conforming_strings = !client->params->backslash_escapes;
	leaks->suspect->print = print;
	leaks->suspect->key = fingerprint_key(print, client->pool->hash);
	leaks->suspect->rank = rank;
	(void)pgw_normalize(lexer, leaks->suspect->text, sizeof(leaks->suspect->text));
}

void leak_note(struct client *client, const struct statement_route *route, const char *sql, size_t n)
{
	struct server *server = client->server;
	struct server_leaks *leaks = &server->leaks;
	struct leaks *known = &client->worker->leaks;
	bool calls = (route->effects & EFFECT_CALL) != 0;
	struct pgw_hash128 print, key;
	unsigned rank = rank_of(route);

	if (client->pool->leak_check == LEAK_CHECK_OFF ||
		(leaks->suspect && leaks->suspect->rank >= rank && !calls && known->n == 0))
		return;
	print = route->counted ? route->print : pgw_fingerprint(sql, n);
	key = fingerprint_key(print, client->pool->hash);
	if ((calls && leaks_is_new(known, key)) || leak_is_suspected(leaks_find(known, key)))
		make_due(server, true);
	if (leaks->is_due && (leaks->suspect == NULL || leaks->suspect->rank < rank))
		suspect(client, leaks, print, rank, sql, n);
}

/* ---- the question ---- */

static void ask(struct server *server)
{
	struct server_leaks *leaks = &server->leaks;

	server_set(server, SERVER_ASKED);
	inject_question(server, ASK_STATE);
	if (leaks->lists) {
		inject_question(server, ASK_SETTINGS);
		leaks->n_unlisted = 0;
		leaks->listed_us = loop_now_us(&server->worker->loop);
	}
	inject_question_ends(server);
	inject_query(server, RESET_SETTINGS, 0);
}

/* ---- the answer ---- */

/* Who the server logged in as. */
static const char *login_of(const struct server *server)
{
	const struct config_database *entry = pool_entry(server->pool);

	return entry && entry->user ? entry->user : server->pool->shared->user->name;
}

/* Set by us for the client. */
static bool is_known(const struct server *server, const char *what, const char *name)
{
	const char *set;

	if (strcmp(what, "setting") == 0)
		return param_set_get(server->params, name) != NULL ||
		       (server->client && server->client->pool != server->pool && replica_is_our_param(name));
	if (strcmp(what, "prepare") == 0)
		return sql_names_state(server->sql_names, name) != SQL_NAME_NONE;
	if (strcmp(what, "session_authorization") != 0 && strcmp(what, "role") != 0)
		return false;
	set = param_set_get(server->params, what);
	return strcmp(name, set ? set : strcmp(what, "role") == 0 ? "none" : login_of(server)) == 0;
}

void leak_row(struct server *server, const char *what, const char *name)
{
	struct server_leaks *leaks = &server->leaks;
	char *before = leaks->found;

	if ((name && is_known(server, what, name)) || (before && strlen(before) >= LEAK_WHAT_BYTES))
		return;
	leaks->found = mem_printf("%s%s%s%s%s", before ? before : "", before ? ", " : "", what, name ? " " : "", name ? name : "");
	mem_free(before);
}

/* Whoever it was: in a while it will be known. */
static void hunt(struct pool *pool)
{
	uint64_t now_us = loop_now_us(&pool->worker->loop);

	if (pool->leak_hunt_us != 0 && now_us - pool->leak_hunt_us < LEAK_HUNT_US)
		return;
	pool->leak_hunt_us = now_us;
	pool->n_leak_hunt = LEAK_HUNT;
}

static void found(struct server *server)
{
	const struct server_leaks *leaks = &server->leaks;
	const struct leak_suspect *suspect = leaks->suspect;
	struct pool *pool = server->client ? server->client->pool : server->pool;
	struct leak like = {.key = suspect ? suspect->key : pool->hash,
		.is_certain = suspect && leaks->n_since == 1,
		.last_us = clock_wall_us(),
		.database = pool->shared->database->name,
		.user = pool->shared->user->name,
		.text = suspect ? suspect->text : ""};
	char id[FINGERPRINT_ID_BYTES];

	if (suspect)
		like.print = suspect->print;
	(void)leaks_found(&server->worker->leaks, &like, leaks->found);
	if (!like.is_certain)
		hunt(pool);
	fingerprint_id_text(like.print, id);
	log_rated(LOG_LEVEL_WARNING, "S-%llu: %s@%s left in its session: %s; %s fingerprint %s: %.200s",
		(unsigned long long)server->id, like.user, like.database, leaks->found,
		like.is_certain ? "behind" : "behind, or before,", id, like.text);
}

/* Nothing but DISCARD ALL, or the end of its session, is known to clean it. */
static void must_clean(struct server *server)
{
	const char *reset = worker_config(server->worker)->server_reset_query;

	server_set(server, SERVER_TAINTED);
	if (reset == NULL || strcasestr(reset, "DISCARD ALL") == NULL)
		server_set(server, SERVER_RETIRE);
}

void leak_answered(struct server *server, bool failed)
{
	struct server_leaks *leaks = &server->leaks;
	struct leak *leak;

	if (failed) {
		log_rated(LOG_LEVEL_WARNING, "S-%llu: it did not say what its session has, and is closed", (unsigned long long)server->id);
		server_set(server, SERVER_RETIRE);
		return;
	}
	if (leaks->found) {
		found(server);
		must_clean(server);
		return;
	}
	leak = leaks->suspect ? leaks_find(&server->worker->leaks, leaks->suspect->key) : NULL;
	if (leak)
		leak->n_clean++;
}

/* The RESET behind the question is over, too. */
static void settle(struct server *server)
{
	server_unset(server, SERVER_ASKED);
	leak_forget(server);
	server->leaks.n_since = 0;
	param_set_unref(&server->params);
	registry_lock();
	server->params = param_set_ref(server->pool->shared->defaults);
	registry_unlock();
}

bool leak_keeps(struct client *client, struct server *server)
{
	if (server_is(server, SERVER_ASKED)) {
		settle(server);
		return false;
	}
	if (server_is(server, SERVER_TAINTED | SERVER_RETIRE)) /* it is reset, or closed, anyway */
		return false;
	ask(server);
	return true;
}

void leak_orphaned(struct server *server)
{
	if (server_is(server, SERVER_ASKED))
		settle(server);
	else
		must_clean(server);
	leak_forget(server);
}

void leak_forget(struct server *server)
{
	struct server_leaks *leaks = &server->leaks;

	mem_free(leaks->suspect);
	mem_free(leaks->found);
	leaks->suspect = NULL;
	leaks->found = NULL;
	leaks->is_due = leaks->lists = leaks->watches = false;
}
