/* SPDX-License-Identifier: ISC */
/*
 * From an authenticated user to a client: limits, its pool or the console, and the parameters it is
 * welcomed with. What a client asked for is tried on a server once; from then on the set is known
 * for all who ask for the same.
 */
#include <openssl/crypto.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/netaddr.h"
#include "io/tls.h"
#include "pgw/startup.h"
#include "session/feed.h"
#include "session/login.h"
#include "session/replication.h"
#include "session/restore.h"
#include "session/server.h"

#define WELCOME_BYTES 512u /* mostly enough */

void login_free(struct client *client)
{
	struct login *login = client->login;

	if (login == NULL)
		return;
	mem_free(login->user);
	mem_free(login->database);
	if (login->secret)
		OPENSSL_cleanse(login->secret, strlen(login->secret));
	mem_free(login->secret);
	mem_free(login->refusal);
	param_list_release(&login->asked);
	if (login->method == METHOD_SCRAM)
		pgw_scram_server_wipe(&login->scram);
	mem_free(login);
	client->login = NULL;
}

void login_refuse(struct client *client, enum pgw_fault_id id, const char *what, const char *detail)
{
	struct pgw_fault fault;

	STAT_ADD(client->worker->counters.n_rejected_clients, 1);
	pgw_fault_set(&fault, id, what, detail ? "%s" : NULL, detail);
	client_fatal(client, &fault);
}

/* ---- welcome ---- */

static void put_parameter(struct strbuf *out, const char *name, const char *value)
{
	size_t room = PGW_HEADER_BYTES + strlen(name) + strlen(value) + 2;
	struct pgw_writer writer;

	strbuf_reserve(out, room);
	writer = pgw_writer_on(out->data + out->len, room);
	pgw_build_parameter_status(&writer, name, value);
	out->len += writer.len;
}

/* Of its parameters those that servers of its pool report. Both are sorted. */
static void put_shown(struct strbuf *out, const struct param_set *params, const struct param_set *shown)
{
	unsigned i, j = 0, n_shown = shown ? shown->n : 0;

	for (i = 0; i < params->n && j < n_shown; i++) {
		int order = -1;

		while (j < n_shown &&
			(order = strcasecmp(shown->items[j].name, params->items[i].name)) < 0)
			j++;
		if (order == 0)
			put_parameter(out, params->items[i].name, params->items[i].value);
	}
}

static void put_end_of_login(struct client *client, struct strbuf *out)
{
	struct pgw_writer writer;

	cancel_register(client);
	strbuf_reserve(out, 128);
	writer = pgw_writer_on(out->data + out->len, 128);
	pgw_build_key_data(&writer, client->key_pid, client->key, cancel_key_bytes(client));
	pgw_build_ready(&writer, PGW_XACT_IDLE);
	out->len += writer.len;
}

static void put_auth_ok(struct strbuf *out)
{
	struct pgw_writer writer;

	strbuf_reserve(out, 16);
	writer = pgw_writer_on(out->data + out->len, 16);
	pgw_build_auth(&writer, PGW_AUTH_OK, NULL, 0);
	out->len += writer.len;
}

static void log_login(struct client *client)
{
	char address[NETADDR_TEXT_BYTES] = "?", tls[96];
	struct netaddr addr;
	uint16_t port = 0;

	if (!worker_config(client->worker)->log_connections)
		return;
	if (netaddr_of_peer(client->stream.fd, &addr))
		(void)netaddr_format(&addr, address, &port);
	log_info("C-%llu: %s/%s@%s:%u login%s%s", (unsigned long long)client->id,
		client->login->database, client->login->user, address, port,
		client->stream.ssl ? " tls=" : "",
		client->stream.ssl ? tls_describe(client->stream.ssl, tls, sizeof(tls)) : "");
}

/* What it was: to others' eyes it is a client from here on. */
static void finish_login(struct client *client, struct param_set *facts, struct param_set *shown)
{
	struct config *config = client->worker->settings->config;
	struct strbuf out = STRBUF_INIT;
	unsigned i;

	timer_stop(&client->timer);
	client->params_login = param_set_ref(client->params);
	client->brings_own = restore_is_for(client->params_login, shown);
	strbuf_reserve(&out, WELCOME_BYTES);
	put_auth_ok(&out);
	for (i = 0; facts && i < facts->n; i++)
		put_parameter(&out, facts->items[i].name, facts->items[i].value);
	put_shown(&out, client->params, shown);
	put_end_of_login(client, &out);
	log_login(client);
	STAT_ADD(client->pool->stats.client_login_count, 1);
	login_free(client);
	client_reply(client, out.data, out.len);
	strbuf_release(&out);
	if (config->login_notify_message && config->login_notify_message[0]) {
		struct pgw_fault notice;

		pgw_fault_set(&notice, PGW_FAULT_LOGIN_NOTICE, NULL, NULL);
		(void)snprintf(
			notice.message, sizeof(notice.message), "%s", config->login_notify_message);
		client_notice(client, &notice);
	}
	client->last_active_us = clock_mono_us();
	stream_resume(&client->stream);
	if (client->state == CLIENT_EXPECT_WELCOME || client->state == CLIENT_EXPECT_PASSWORD ||
		client->state == CLIENT_EXPECT_STARTUP)
		client_to(client, CLIENT_IDLE);
	client_resume(client);
}

static struct param_set *pool_defaults(struct client *client, struct param_set **facts_r)
{
	struct shared_pool *shared = client->pool->shared;
	struct param_set *defaults;

	registry_lock();
	defaults = param_set_ref(shared->defaults);
	*facts_r = param_set_ref(shared->facts);
	registry_unlock();
	return defaults;
}

/*
 * application_name is as good as it was sent when PostgreSQL would not change it: printable ASCII
 * (check_application_name() of guc.c). Then it needs no server to say what it becomes, and is left
 * out of what is remembered.
 */
static const char *plain_name(const struct param_list *asked)
{
	const char *name = NULL, *at;
	unsigned i;

	for (i = 0; i < asked->n; i++)
		if (strcasecmp(asked->items[i].name, "application_name") == 0)
			name = asked->items[i].value;
	for (at = name; at && *at; at++)
		if (*at < ' ' || *at > '~')
			return NULL;
	return name;
}

/* What was asked for, without a plain application_name. */
static struct param_set *intern_asked(const struct param_list *asked)
{
	struct param_set *all = param_set_intern(asked), *rest;

	if (plain_name(asked) == NULL)
		return all;
	rest = param_set_with(all, "application_name", NULL);
	param_set_unref(&all);
	return rest;
}

static void welcome(struct client *client, struct param_set *canonical)
{
	struct param_set *facts, *defaults = pool_defaults(client, &facts);

	param_set_unref(&client->params);
	client->params = param_set_ref(canonical);
	if (client->server)
		link_login_done(client);
	finish_login(client, facts, defaults);
	param_set_unref(&facts);
	param_set_unref(&defaults);
}

/* The set is known but for the name. */
static void welcome_known(struct client *client, struct param_set *canonical)
{
	const char *name = plain_name(&client->login->asked);
	struct param_set *set = name ? param_set_with(canonical, "application_name", name)
				     : param_set_ref(canonical);

	welcome(client, set);
	param_set_unref(&set);
}

/* What a direct connection would say; of a parameter that PostgreSQL does not know, how to do without. */
void login_server_refused(struct client *client, const struct pgw_error_view *view)
{
	struct login *login = client->login;
	struct startup_refusal *refusal;
	const char *hint = view->hint;

	if (login == NULL || login->refusal)
		return;
	refusal = login->refusal = mem_alloc(sizeof(*refusal));
	if (view->detail[0])
		pgw_fault_set(&refusal->fault, PGW_FAULT_STARTUP_REFUSED, view->message, "%s", view->detail);
	else
		pgw_fault_set(&refusal->fault, PGW_FAULT_STARTUP_REFUSED, view->message, NULL);
	(void)snprintf(refusal->sqlstate, sizeof(refusal->sqlstate), "%s", view->sqlstate);
	refusal->fault.sqlstate = refusal->sqlstate;
	if (hint[0] == '\0' && strcmp(refusal->sqlstate, "42704") == 0)
		hint = "See ignore_startup_parameters.";
	(void)snprintf(refusal->fault.hint, sizeof(refusal->fault.hint), "%s", hint);
}

/* `why`: of a server that was lost meanwhile. */
static void welcome_failed(struct client *client, const char *why)
{
	struct pgw_fault fault;

	if (client->login && client->login->refusal) {
		fault = client->login->refusal->fault;
		fault.sqlstate = client->login->refusal->sqlstate;
	} else {
		pgw_fault_set(&fault, PGW_FAULT_SERVER_LOST_FATAL, NULL, "%s", why);
	}
	client_fatal(client, &fault);
}

void login_server_welcomed(struct client *client, bool ok, const char *why)
{
	struct param_set *asked, *canonical, *defaults, *facts;

	if (!ok) {
		welcome_failed(client, why);
		return;
	}
	asked = intern_asked(&client->login->asked);
	defaults = pool_defaults(client, &facts);
	if (plain_name(&client->login->asked))
		canonical = param_set_with(client->server->params, "application_name",
			param_set_get(defaults, "application_name"));
	else
		canonical = param_set_ref(client->server->params);
	shared_pool_learn(client->pool->shared, asked, canonical);
	welcome(client, client->server->params);
	param_set_unref(&asked);
	param_set_unref(&canonical);
	param_set_unref(&defaults);
	param_set_unref(&facts);
}

/* Its server has heard in its startup packet what this client asked for, and is nobody else's: what it reports is what the client is told. */
static void welcome_replication(struct client *client)
{
	struct server *server = client->server;
	struct param_set *facts = server->facts, *params = param_set_ref(server->params);

	server->facts = NULL;
	server_unset(server, SERVER_FRESH); /* no SET may be sent to a walsender */
	param_set_unref(&client->params);
	client->params = param_set_ref(params);
	link_login_done(client);
	finish_login(client, facts, params);
	param_set_unref(&facts);
	param_set_unref(&params);
}

/* It has a server: what the client asked for is laid over what the server reports, and tried. */
static void try_parameters(struct client *client)
{
	struct server *server = client->server;
	struct param_set *facts, *defaults = pool_defaults(client, &facts), *wanted;
	struct param_list list;
	unsigned i;
	bool ok = true;

	client_arm_login_timer(client);
	param_list_init(&list, defaults);
	/* PostgreSQL takes a startup packet as it is, whatever client_encoding it asks for. */
	for (i = 0; i < client->login->asked.n; i++)
		ok &= param_list_set_in(&list, client->login->asked.items[i].name,
			client->login->asked.items[i].value, param_set_get(facts, "server_encoding"));
	wanted = param_set_intern(&list);
	param_list_release(&list);
	param_set_unref(&facts);
	param_set_unref(&defaults);
	param_set_unref(&client->params);
	client->params = wanted;
	if (!ok) {
		login_refuse(client, PGW_FAULT_STARTUP_PARAMETER, NULL,
			"Too many parameters, or one too long.");
		return;
	}
	server_set(server, SERVER_WELCOMING);
	inject_params(server, wanted);
	if (server->expects.n == 0)
		link_on_ready(server);
}

void login_server_ready(struct client *client)
{
	if (client->replication)
		welcome_replication(client);
	else
		try_parameters(client);
}

void login_failed(struct client *client, const struct pgw_fault *fault)
{
	struct pgw_fault fatal = *fault;

	fatal.severity = "FATAL";
	client_fatal(client, &fatal);
}

/* A rule denies the whole of it: there is no statement to say so of. true: it was told. */
static bool replication_denied(struct client *client, const struct statement_route *route)
{
	static const char what[] = "a replication connection";
	struct pgw_fault fault;

	feed_log(client, route, what, strlen(what));
	if (LIKELY(route->deny == NULL))
		return false;
	STAT_ADD(client->worker->classes[route->class].n_denied, 1);
	pgw_fault_set(&fault, PGW_FAULT_DENIED, route->deny, "Rule %s.", route->deny_rule);
	login_failed(client, &fault);
	return true;
}

void login_want_server(struct client *client)
{
	struct statement_route route = {.class = QUERY_DEFAULT, .priority = LANE_PRIORITY_MAX};

	if (client_is(client, CLIENT_SESSION)) { /* it keeps the permit: that of its lane */
		route = feed_session_route(client);
		client->class = route.class;
	}
	if (client->replication && replication_denied(client, &route))
		return;
	if (client_want_server(client, &route, false) == WANT_READY)
		login_server_ready(client);
}

/* ---- after authentication ---- */

bool login_over_limit(uint32_t *counter, uint32_t limit)
{
	uint32_t n = __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);

	return limit > 0 && n > limit;
}

static void join_pool(struct client *client, const char *database, const char *user)
{
	client->pool = pool_of(client->worker, database, user);
	pool_join(client->pool);
}

/* Counts it against the limits. false: it was refused. */
static bool count_client(struct client *client)
{
	const struct config *config = worker_config(client->worker);
	struct shared_pool *shared = client->pool->shared;
	const struct config_user *user = config_find_user(config, shared->user->name);
	const struct config_database *entry = pool_entry(client->pool);
	uint32_t user_limit = config->max_user_client_connections,
		 database_limit = config->max_db_client_connections;
	bool over_user, over_database;

	if (user && user->max_user_client_connections != CONFIG_INHERIT)
		user_limit = user->max_user_client_connections;
	if (entry && entry->max_db_client_connections != CONFIG_INHERIT)
		database_limit = entry->max_db_client_connections;
	client->pool->n_clients++;
	over_user = login_over_limit(&shared->user->n_clients, user_limit);
	over_database = login_over_limit(&shared->database->n_clients, database_limit);
	if (over_user)
		login_refuse(client, PGW_FAULT_TOO_MANY_USER_CLIENTS, NULL, NULL);
	else if (over_database)
		login_refuse(client, PGW_FAULT_TOO_MANY_DB_CLIENTS, NULL, NULL);
	return !over_user && !over_database;
}

static void enter_console(struct client *client)
{
	static const struct pgw_param parameters[] = {
		{"server_version", PGLANE_COMPAT_VERSION "/bouncer"},
		{"client_encoding", "UTF8"},
		{"server_encoding", "UTF8"},
		{"DateStyle", "ISO"},
		{"TimeZone", "GMT"},
		{"standard_conforming_strings", "on"},
		{"is_superuser", "on"},
	};
	const struct config *config = worker_config(client->worker);
	const char *user = client->login->user;
	bool admin = client->login->admin_by_socket || config->auth_type == AUTH_ANY ||
		     config_list_has(config->admin_users, user);
	struct strbuf out = STRBUF_INIT;
	unsigned i;

	if (!admin && !config_list_has(config->stats_users, user)) {
		login_refuse(client, PGW_FAULT_NOT_ADMIN, NULL, NULL);
		return;
	}
	if (admin)
		client_set(client, CLIENT_ADMIN);
	timer_stop(&client->timer);
	join_pool(client, client->login->database, user);
	client->pool->n_clients++;
	__atomic_add_fetch(&client->pool->shared->user->n_clients, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&client->pool->shared->database->n_clients, 1, __ATOMIC_RELAXED);
	client->params = param_set_intern(&client->login->asked);
	put_auth_ok(&out);
	for (i = 0; i < N_ELEMENTS(parameters); i++)
		put_parameter(&out, parameters[i].name, parameters[i].value);
	put_end_of_login(client, &out);
	log_login(client);
	login_free(client);
	client_to(client, CLIENT_CONSOLE);
	client_reply(client, out.data, out.len);
	strbuf_release(&out);
	if (client->input)
		console_on_input(client);
}

/* Takes over the reference. */
static void ask_server(struct client *client, struct param_set *asked)
{
	client->params = asked;
	client_to(client, CLIENT_EXPECT_WELCOME);
	stream_pause(&client->stream);
	login_want_server(client);
}

void login_authenticated(struct client *client)
{
	struct login *login = client->login;
	struct param_set *asked, *canonical, *facts;
	enum pool_mode mode;

	if (login->console) {
		enter_console(client);
		return;
	}
	join_pool(client, login->database, login->user);
	if (!count_client(client))
		return;
	mode = client->replication ? POOL_MODE_SESSION : pool_mode_of(client->pool);
	if (mode == POOL_MODE_SESSION)
		client_set(client, CLIENT_SESSION);
	else if (mode == POOL_MODE_STATEMENT)
		client_set(client, CLIENT_STATEMENT);
	if (client->replication)
		(void)shared_pool_replication(client->pool->shared, true);
	pool_limit(client->pool);
	if (client->replication) {
		ask_server(client, param_set_intern(&login->asked));
		return;
	}
	asked = intern_asked(&login->asked);
	if (shared_pool_welcome(client->pool->shared, asked, &canonical, &facts)) {
		welcome_known(client, canonical);
		param_set_unref(&canonical);
		param_set_unref(&facts);
		param_set_unref(&asked);
	} else {
		ask_server(client, asked);
	}
}
