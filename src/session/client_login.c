/* SPDX-License-Identifier: ISC */
/*
 * A client's first words: TLS, the one StartupMessage, authentication, and the parameters it is welcomed with.
 *
 * Threat: anybody on the network. Nothing is allocated by a length the peer claims beyond PGW_STARTUP_MAX_BYTES; each step accepts just the messages it
 * awaits; bytes sent in the clear behind an SSLRequest end the connection (they could be injected); a second StartupMessage is no message type and ends
 * it too. An unknown user runs the same exchange as a wrong password. Whether the database exists is told before authentication, as
 * PgBouncer does.
 */
#include <openssl/crypto.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "io/netaddr.h"
#include "io/tls.h"
#include "pgw/frame.h"
#include "pgw/startup.h"
#include "session/client.h"
#include "session/feed.h"
#include "session/server.h"

#define PASSWORD_MESSAGE_MAX_BYTES 4096u

enum method { METHOD_TRUST, METHOD_PLAIN, METHOD_MD5, METHOD_SCRAM };

struct login {
	bool ssl_asked, gss_asked, started;
	bool console, admin_by_socket;
	enum method method;
	bool doomed;	/* unknown user: fails at the end, whatever it proves */
	bool sasl_begun;
	uint8_t salt[4];
	char *user, *database;
	char *secret;
	struct param_list asked;
	struct pgw_scram_server scram;
};

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
	param_list_release(&login->asked);
	OPENSSL_cleanse(&login->scram, sizeof(login->scram));
	mem_free(login);
	client->login = NULL;
}

static struct login *login_of(struct client *client)
{
	if (client->login == NULL) {
		client->login = mem_zalloc(sizeof(*client->login));
		param_list_init(&client->login->asked, NULL);
	}
	return client->login;
}

static void refuse(struct client *client, enum pgw_fault_id id, const char *what, const char *detail)
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
	log_info("C-%llu: %s/%s@%s:%u login%s%s", (unsigned long long)client->id, client->login->database, client->login->user, address, port,
		client->stream.ssl ? " tls=" : "", client->stream.ssl ? tls_describe(client->stream.ssl, tls, sizeof(tls)) : "");
}

/* What it was: to others' eyes it is a client from here on. */
static void finish_login(struct client *client, struct param_set *facts, struct param_set *shown)
{
	struct config *config = client->worker->settings->config;
	struct strbuf out = STRBUF_INIT;
	unsigned i;

	timer_stop(&client->timer);
	put_auth_ok(&out);
	for (i = 0; facts && i < facts->n; i++)
		put_parameter(&out, facts->items[i].name, facts->items[i].value);
	for (i = 0; i < client->params->n; i++)
		if (param_set_get(shown, client->params->items[i].name))
			put_parameter(&out, client->params->items[i].name, client->params->items[i].value);
	put_end_of_login(client, &out);
	log_login(client);
	STAT_ADD(client->pool->stats.client_login_count, 1);
	login_free(client);
	client_reply(client, out.data, out.len);
	strbuf_release(&out);
	if (config->login_notify_message && config->login_notify_message[0]) {
		struct pgw_fault notice;

		pgw_fault_set(&notice, PGW_FAULT_LOGIN_NOTICE, NULL, NULL);
		(void)snprintf(notice.message, sizeof(notice.message), "%s", config->login_notify_message);
		client_notice(client, &notice);
	}
	client->last_active_us = clock_mono_us();
	stream_resume(&client->stream);
	if (client->state == CLIENT_EXPECT_WELCOME || client->state == CLIENT_EXPECT_PASSWORD || client->state == CLIENT_EXPECT_STARTUP)
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

void login_server_welcomed(struct client *client, bool ok, const char *why)
{
	struct param_set *asked, *canonical;
	struct pgw_fault fault;

	if (!ok) {
		pgw_fault_set(&fault, PGW_FAULT_STARTUP_PARAMETER, NULL, "%s", why);
		client_fatal(client, &fault);
		return;
	}
	asked = param_set_intern(&client->login->asked);
	canonical = param_set_ref(client->server->params);
	shared_pool_learn(client->pool->shared, asked, canonical);
	welcome(client, canonical);
	param_set_unref(&asked);
	param_set_unref(&canonical);
}

/* It has a server: what the client asked for is laid over what the server reports, and tried. */
void login_server_ready(struct client *client)
{
	struct server *server = client->server;
	struct param_set *facts, *defaults = pool_defaults(client, &facts), *wanted;
	struct param_list list;
	unsigned i;
	bool ok = true;

	client_arm_login_timer(client);
	param_list_init(&list, defaults);
	for (i = 0; i < client->login->asked.n; i++)
		ok &= param_list_set(&list, client->login->asked.items[i].name, client->login->asked.items[i].value);
	wanted = param_set_intern(&list);
	param_list_release(&list);
	param_set_unref(&facts);
	param_set_unref(&defaults);
	param_set_unref(&client->params);
	client->params = wanted;
	if (!ok) {
		refuse(client, PGW_FAULT_STARTUP_PARAMETER, NULL, "Too many parameters, or one too long.");
		return;
	}
	server_set(server, SERVER_WELCOMING);
	inject_params(server, wanted);
	if (server->expects.n == 0)
		link_on_ready(server);
}

void login_failed(struct client *client, const struct pgw_fault *fault)
{
	struct pgw_fault fatal = *fault;

	fatal.severity = "FATAL";
	client_fatal(client, &fatal);
}

void login_want_server(struct client *client)
{
	if (client_want_server(client, QUERY_DEFAULT, LANE_PRIORITY_DEFAULT, false) == WANT_READY)
		login_server_ready(client);
}

/* ---- after authentication ---- */

static bool over_limit(uint32_t *counter, uint32_t limit)
{
	uint32_t n = __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);

	return limit > 0 && n > limit;
}

/* Counts it against the limits. false: it was refused. */
static bool count_client(struct client *client)
{
	const struct config *config = worker_config(client->worker);
	struct shared_pool *shared = client->pool->shared;
	const struct config_user *user = config_find_user(config, shared->user->name);
	const struct config_database *entry = pool_entry(client->pool);
	uint32_t user_limit = config->max_user_client_connections, database_limit = config->max_db_client_connections;
	bool over_user, over_database;

	if (user && user->max_user_client_connections != CONFIG_INHERIT)
		user_limit = user->max_user_client_connections;
	if (entry && entry->max_db_client_connections != CONFIG_INHERIT)
		database_limit = entry->max_db_client_connections;
	client->pool->n_clients++;
	over_user = over_limit(&shared->user->n_clients, user_limit);
	over_database = over_limit(&shared->database->n_clients, database_limit);
	if (over_user)
		refuse(client, PGW_FAULT_TOO_MANY_USER_CLIENTS, NULL, NULL);
	else if (over_database)
		refuse(client, PGW_FAULT_TOO_MANY_DB_CLIENTS, NULL, NULL);
	return !over_user && !over_database;
}

static void enter_console(struct client *client)
{
	static const struct pgw_param parameters[] = {
		{ "server_version", PGLANE_COMPAT_VERSION "/bouncer" },
		{ "client_encoding", "UTF8" },
		{ "server_encoding", "UTF8" },
		{ "DateStyle", "ISO" },
		{ "TimeZone", "GMT" },
		{ "standard_conforming_strings", "on" },
		{ "is_superuser", "on" },
	};
	const struct config *config = worker_config(client->worker);
	const char *user = client->login->user;
	bool admin = client->login->admin_by_socket || config->auth_type == AUTH_ANY || config_list_has(config->admin_users, user);
	struct strbuf out = STRBUF_INIT;
	unsigned i;

	if (!admin && !config_list_has(config->stats_users, user)) {
		refuse(client, PGW_FAULT_NOT_ADMIN, NULL, NULL);
		return;
	}
	if (admin)
		client_set(client, CLIENT_ADMIN);
	timer_stop(&client->timer);
	client->pool = pool_of(client->worker, client->login->database, user);
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

static void authenticated(struct client *client)
{
	struct login *login = client->login;
	struct param_set *asked, *canonical, *facts;
	enum pool_mode mode;

	if (login->console) {
		enter_console(client);
		return;
	}
	client->pool = pool_of(client->worker, login->database, login->user);
	if (!count_client(client))
		return;
	mode = pool_mode_of(client->pool);
	if (mode == POOL_MODE_SESSION)
		client_set(client, CLIENT_SESSION);
	else if (mode == POOL_MODE_STATEMENT)
		client_set(client, CLIENT_STATEMENT);
	lane_pool_limit(client->worker->cluster->ledger, client->pool->shared->lane_pool, pool_size_of(client->pool));
	asked = param_set_intern(&login->asked);
	if (shared_pool_welcome(client->pool->shared, asked, &canonical, &facts)) {
		welcome(client, canonical);
		param_set_unref(&canonical);
		param_set_unref(&facts);
	} else {
		client->params = param_set_ref(asked);
		client_to(client, CLIENT_EXPECT_WELCOME);
		stream_pause(&client->stream);
		login_want_server(client);
	}
	param_set_unref(&asked);
}

/* ---- authentication ---- */

static void fail_login(struct client *client)
{
	char what[160];

	(void)snprintf(what, sizeof(what), "user \"%.128s\"", client->login->user);
	refuse(client, PGW_FAULT_LOGIN_FAILED, what, NULL);
}

static void send_auth(struct client *client, enum pgw_auth_code code, const void *data, size_t n)
{
	uint8_t message[PGW_SCRAM_MAX_MESSAGE_BYTES + 16];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));

	pgw_build_auth(&writer, code, data, n);
	MUST(writer.err == PGW_OK);
	client_reply(client, message, writer.len);
}

/* The SCRAM secret of a plain password is derived once and kept with the user. */
static bool derive_secret(const struct config *config, const char *user_name, const char *secret, struct pgw_scram_secret *out_r)
{
	struct shared_user *user = registry_user(user_name);
	uint8_t salt[16];
	bool ok;

	registry_lock();
	ok = user->has_derived && user->secret && strcmp(user->secret, secret) == 0 && user->derived.iterations == config->scram_iterations;
	if (ok)
		*out_r = user->derived;
	registry_unlock();
	if (ok)
		return true;
	rng_bytes(salt, sizeof(salt));
	if (pgw_scram_secret_derive(secret, salt, sizeof(salt), config->scram_iterations, out_r) != PGW_OK)
		return false;
	registry_lock();
	mem_free(user->secret);
	user->secret = mem_strdup(secret);
	user->derived = *out_r;
	user->has_derived = true;
	registry_unlock();
	return true;
}

static void begin_scram(struct client *client)
{
	struct login *login = client->login;
	const struct config *config = worker_config(client->worker);
	uint8_t cb_data[PGW_SCRAM_MAX_CB_BYTES], message[128];
	size_t n_cb_data = client->stream.ssl ? tls_server_end_point(client->stream.ssl, true, cb_data) : 0;
	static const char *const mechanisms[] = { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256" };
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));
	struct pgw_scram_secret secret;

	if (login->secret == NULL || pgw_is_md5_secret(login->secret))
		login->doomed = true;
	if (!login->doomed && !pgw_scram_secret_parse(login->secret, &secret) && !derive_secret(config, login->user, login->secret, &secret))
		login->doomed = true;
	if (login->doomed)
		pgw_scram_secret_mock(login->user, client->worker->cluster->mock_key, config->scram_iterations, &secret);
	pgw_scram_server_init(&login->scram, &secret, login->doomed, cb_data, n_cb_data);
	OPENSSL_cleanse(&secret, sizeof(secret));
	pgw_build_auth_sasl(&writer, mechanisms + (n_cb_data ? 0 : 1), n_cb_data ? 2 : 1);
	client_reply(client, message, writer.len);
}

static bool is_scram_secret(const char *secret)
{
	struct pgw_scram_secret parsed;

	return secret && pgw_scram_secret_parse(secret, &parsed);
}

static void begin_auth(struct client *client)
{
	struct login *login = client->login;

	switch (login->method) {
	case METHOD_TRUST:
		authenticated(client);
		return;
	case METHOD_PLAIN:
		send_auth(client, PGW_AUTH_CLEARTEXT, NULL, 0);
		break;
	case METHOD_MD5:
		rng_bytes(login->salt, sizeof(login->salt));
		send_auth(client, PGW_AUTH_MD5, login->salt, sizeof(login->salt));
		break;
	case METHOD_SCRAM:
	default:
		begin_scram(client);
		break;
	}
	client_to(client, CLIENT_EXPECT_PASSWORD);
}

static bool plain_matches(const struct login *login, const char *password)
{
	char md5[PGW_MD5_TEXT_BYTES];
	struct pgw_scram_secret stored, derived;

	if (login->secret == NULL)
		return false;
	if (pgw_is_md5_secret(login->secret)) {
		pgw_md5_secret(password, login->user, md5);
		return pgw_equal_secret(login->secret, md5);
	}
	if (!pgw_scram_secret_parse(login->secret, &stored))
		return pgw_equal_secret(login->secret, password);
	return pgw_scram_secret_derive(password, stored.salt, stored.n_salt_bytes, stored.iterations, &derived) == PGW_OK &&
		CRYPTO_memcmp(stored.stored_key, derived.stored_key, sizeof(stored.stored_key)) == 0;
}

static bool md5_matches(const struct login *login, const char *response)
{
	char secret[PGW_MD5_TEXT_BYTES], expected[PGW_MD5_TEXT_BYTES];

	if (login->secret == NULL)
		return false;
	if (pgw_is_md5_secret(login->secret))
		(void)snprintf(secret, sizeof(secret), "%s", login->secret);
	else
		pgw_md5_secret(login->secret, login->user, secret);
	pgw_md5_response(secret, login->salt, expected);
	return pgw_equal_secret(expected, response);
}

static void on_password(struct client *client, const struct pgw_frame *frame)
{
	struct login *login = client->login;
	const char *password;
	bool ok;

	if (pgw_view_password(frame->body, frame->n_body_bytes, &password) != PGW_OK) {
		refuse(client, PGW_FAULT_PROTOCOL_VIOLATION, NULL, "Malformed password message.");
		return;
	}
	ok = login->method == METHOD_PLAIN ? plain_matches(login, password) : md5_matches(login, password);
	if (ok && !login->doomed)
		authenticated(client);
	else
		fail_login(client);
}

static void keep_client_key(struct login *login)
{
	struct shared_user *user = registry_user(login->user);

	registry_lock();
	memcpy(user->client_key, login->scram.client_key, sizeof(user->client_key));
	user->has_keys = true;
	registry_unlock();
}

static void on_sasl(struct client *client, const struct pgw_frame *frame)
{
	struct login *login = client->login;
	uint8_t nonce[PGW_SCRAM_NONCE_RAW_BYTES];
	char out[PGW_SCRAM_MAX_MESSAGE_BYTES];
	struct pgw_sasl_initial view = { .mechanism = NULL, .data = frame->body, .n_data = frame->n_body_bytes };
	enum pgw_err err = PGW_OK;

	if (!login->sasl_begun)
		err = pgw_view_sasl_initial(frame->body, frame->n_body_bytes, &view);
	if (err == PGW_OK && view.data == NULL)
		err = PGW_E_SASL;
	login->sasl_begun = true;
	rng_bytes(nonce, sizeof(nonce));
	if (err == PGW_OK)
		err = pgw_scram_server_step(&login->scram, view.mechanism, view.data, view.n_data, nonce, out);
	if (err == PGW_E_AUTH) {
		fail_login(client);
	} else if (err != PGW_OK) {
		refuse(client, PGW_FAULT_PROTOCOL_VIOLATION, NULL, "Malformed SASL message.");
	} else if (login->scram.state == PGW_SCRAM_SERVER_DONE) {
		send_auth(client, PGW_AUTH_SASL_FINAL, out, strlen(out));
		if (is_scram_secret(login->secret))
			keep_client_key(login);
		authenticated(client);
	} else {
		send_auth(client, PGW_AUTH_SASL_CONTINUE, out, strlen(out));
	}
}

static void on_auth_message(struct client *client, const struct pgw_frame *frame)
{
	if (frame->type != PGW_PASSWORD)
		refuse(client, PGW_FAULT_PROTOCOL_VIOLATION, NULL, "Expected a password message.");
	else if (client->login->method == METHOD_SCRAM)
		on_sasl(client, frame);
	else
		on_password(client, frame);
}

/* ---- startup ---- */

static bool is_boolean_true(const char *value)
{
	return strcasecmp(value, "true") == 0 || strcasecmp(value, "on") == 0 || strcasecmp(value, "yes") == 0 || strcmp(value, "1") == 0 ||
		strcasecmp(value, "database") == 0;
}

struct option_sink { struct client *client; bool ok; };

static void set_option(void *arg, const char *name, const char *value)
{
	struct option_sink *sink = arg;

	if (!config_list_has(worker_config(sink->client->worker)->ignore_startup_parameters, name))
		sink->ok &= param_list_set(&sink->client->login->asked, name, value);
}

static bool is_plain_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$");

	return n > 0 && name[n] == '\0' && n < 64;
}

static bool is_ignored(const struct client *client, const char *name)
{
	return config_list_has(worker_config(client->worker)->ignore_startup_parameters, name);
}

/* One parameter of the packet. false: it was refused. */
static bool take_parameter(struct client *client, const struct pgw_param *param)
{
	struct option_sink sink = { client, true };

	if (strcmp(param->name, "user") == 0 || strcmp(param->name, "database") == 0 || strncmp(param->name, "_pq_.", 5) == 0 ||
		is_ignored(client, param->name))
		return true;
	if (strcmp(param->name, "replication") == 0) {
		if (!is_boolean_true(param->value))
			return true;
		refuse(client, PGW_FAULT_STARTUP_PARAMETER, "replication", "Replication connections are not pooled.");
		return false;
	}
	if (strcmp(param->name, "options") == 0) {
		if (pgw_options_parse(param->value, set_option, &sink) == PGW_OK && sink.ok)
			return true;
	} else if (is_plain_name(param->name) && param_list_set(&client->login->asked, param->name, param->value)) {
		return true;
	}
	refuse(client, PGW_FAULT_STARTUP_PARAMETER, is_plain_name(param->name) ? param->name : NULL, NULL);
	return false;
}

static void negotiate(struct client *client, const struct pgw_startup *startup)
{
	const char *unknown[PGW_STARTUP_MAX_PARAMS];
	uint8_t message[8192];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));
	size_t n_unknown = 0;
	uint32_t i, minor = startup->protocol & 0xffff;

	for (i = 0; i < startup->n_params; i++)
		if (strncmp(startup->params[i].name, "_pq_.", 5) == 0)
			unknown[n_unknown++] = startup->params[i].name;
	if (minor >= 2)
		client_set(client, CLIENT_PROTOCOL_32);
	if ((minor == 0 || minor == 2) && n_unknown == 0)
		return;
	pgw_build_negotiate(&writer, minor >= 2 ? 2 : 0, unknown, n_unknown);
	if (writer.err == PGW_OK)
		client_reply(client, message, writer.len);
}

static bool peer_is_ourselves(const struct client *client)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return (client->stream.flags & STREAM_UNIX) && getsockopt(client->stream.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
		peer.uid == geteuid();
}

static bool cert_matches(struct client *client)
{
	char name[256];

	return client->stream.ssl && tls_client_cert_cn(client->stream.ssl, name, sizeof(name)) && strcmp(name, client->login->user) == 0;
}

static void choose_method(struct client *client)
{
	static const enum method methods[] = { [AUTH_TRUST] = METHOD_TRUST, [AUTH_ANY] = METHOD_TRUST, [AUTH_PLAIN] = METHOD_PLAIN,
		[AUTH_MD5] = METHOD_MD5, [AUTH_SCRAM] = METHOD_SCRAM, [AUTH_CERT] = METHOD_TRUST };
	const struct config *config = worker_config(client->worker);
	struct login *login = client->login;
	const char *secret = config_find_secret(config, login->user);

	login->secret = mem_strdup(secret);
	login->doomed = secret == NULL;
	login->method = methods[config->auth_type];
	/* auth_type = md5 means SCRAM for users whose secret is a SCRAM one, as in PgBouncer. */
	if (login->method == METHOD_MD5 && is_scram_secret(secret))
		login->method = METHOD_SCRAM;
	if (login->admin_by_socket)
		login->method = METHOD_TRUST;
}

/* application_name_add_host: "psql - 127.0.0.1:50432". */
static void add_host_to_name(struct client *client)
{
	char address[NETADDR_TEXT_BYTES] = "?", name[256];
	const char *asked = "app";
	struct netaddr addr;
	uint16_t port = 0;
	unsigned i;

	for (i = 0; i < client->login->asked.n; i++)
		if (strcasecmp(client->login->asked.items[i].name, "application_name") == 0)
			asked = client->login->asked.items[i].value;
	if (netaddr_of_peer(client->stream.fd, &addr))
		(void)netaddr_format(&addr, address, &port);
	(void)snprintf(name, sizeof(name), "%.160s - %s:%u", asked, address, port);
	(void)!param_list_set(&client->login->asked, "application_name", name);
}

static void on_startup(struct client *client, const struct pgw_startup *startup)
{
	const struct config *config = worker_config(client->worker);
	struct login *login = login_of(client);
	const char *user = pgw_startup_get(startup, "user"), *database = pgw_startup_get(startup, "database");
	const struct shared_database *shared;
	uint32_t i;

	if (startup->protocol >> 16 != 3) {
		refuse(client, PGW_FAULT_UNSUPPORTED_PROTOCOL, NULL, NULL);
		return;
	}
	negotiate(client, startup);
	if (user == NULL || user[0] == '\0') {
		refuse(client, PGW_FAULT_NO_USER, NULL, NULL);
		return;
	}
	login->user = mem_strdup(user);
	login->database = mem_strdup(database && database[0] ? database : user);
	client_set(client, CLIENT_COUNTED);
	if (over_limit(&client->worker->cluster->n_clients, config->max_client_conn)) {
		refuse(client, PGW_FAULT_TOO_MANY_CLIENTS, NULL, NULL);
		return;
	}
	if (config->client_tls.mode >= TLS_REQUIRE && client->stream.ssl == NULL && !(client->stream.flags & STREAM_UNIX)) {
		refuse(client, PGW_FAULT_TLS_REQUIRED, NULL, NULL);
		return;
	}
	login->console = is_console_database(login->database);
	login->admin_by_socket = login->console && peer_is_ourselves(client) &&
		is_console_database(user); /* a user of that name, too */
	if (!login->console && config_find_database(config, login->database) == NULL) {
		refuse(client, PGW_FAULT_NO_DATABASE, login->database, NULL);
		return;
	}
	shared = registry_find_database(login->database);
	if (shared && __atomic_load_n(&shared->disabled, __ATOMIC_RELAXED)) {
		refuse(client, PGW_FAULT_DATABASE_DISABLED, login->database, NULL);
		return;
	}
	for (i = 0; i < startup->n_params; i++)
		if (!take_parameter(client, &startup->params[i]))
			return;
	if (config->application_name_add_host)
		add_host_to_name(client);
	choose_method(client);
	if (!login->admin_by_socket && ((config->auth_type == AUTH_CERT && !cert_matches(client)) ||
					       (config->auth_type == AUTH_TRUST && login->doomed && config->n_secrets > 0))) {
		fail_login(client);
		return;
	}
	begin_auth(client);
}

static void answer_byte(struct client *client, char answer)
{
	client_reply(client, &answer, 1);
}

static void begin_tls(struct client *client)
{
	client->stream.ssl = tls_accept_new(client->worker->settings->client_tls, client->stream.fd);
	if (client->stream.ssl == NULL) {
		client_disconnect(client, "TLS failed");
		return;
	}
	client_to(client, CLIENT_EXPECT_TLS);
	client->stream.flags |= STREAM_READABLE;
}

/* One packet of the time before messages have types. false: the client is gone or has moved on. */
static bool on_packet(struct client *client, const struct pgw_startup *startup, bool has_more)
{
	struct login *login = login_of(client);
	bool has_tls = client->worker->settings->client_tls != NULL;

	switch (startup->kind) {
	case PGW_STARTUP_SSL:
		if (login->ssl_asked || client->stream.ssl || has_more) {
			refuse(client, PGW_FAULT_STARTUP_INVALID, NULL, has_more ? "Bytes behind an SSLRequest." : "A second SSLRequest.");
			return false;
		}
		login->ssl_asked = true;
		answer_byte(client, has_tls ? 'S' : 'N');
		if (has_tls)
			begin_tls(client);
		return !has_tls;
	case PGW_STARTUP_GSSENC:
		if (login->gss_asked || has_more) {
			refuse(client, PGW_FAULT_STARTUP_INVALID, NULL, has_more ? "Bytes behind a GSSENCRequest." : "A second GSSENCRequest.");
			return false;
		}
		login->gss_asked = true;
		answer_byte(client, 'N');
		return true;
	case PGW_STARTUP_CANCEL:
		timer_stop(&client->timer);
		client_to(client, CLIENT_CANCELING);
		cancel_request(client, startup->cancel_pid, startup->cancel_key, startup->n_cancel_key_bytes);
		return false;
	case PGW_STARTUP_MESSAGE:
		on_startup(client, startup);
		return false;
	case PGW_STARTUP_DIRECT_TLS:
	default:
		refuse(client, PGW_FAULT_STARTUP_INVALID, NULL, "TLS begins before the server said so.");
		return false;
	}
}

static void keep_input(struct client *client, const uint8_t *bytes, size_t n)
{
	if (n == 0)
		return;
	client->input = mem_alloc(sizeof(*client->input) + n);
	client->input->len = client->input->cap = n;
	memcpy(client->input->data, bytes, n);
}

static bool is_cancel(const uint8_t *bytes, size_t n)
{
	struct pgw_reader reader = pgw_reader_on(bytes, n);

	(void)pgw_read_u32(&reader);
	return pgw_read_u32(&reader) == PGW_CODE_CANCEL;
}

static void feed_startup(struct client *client, const uint8_t *bytes, size_t n)
{
	struct pgw_startup startup;
	enum pgw_err err;

	while (n > 0 && client->state == CLIENT_EXPECT_STARTUP) {
		bool go_on;

		err = pgw_startup_parse(bytes, n, &startup);
		if (err == PGW_MORE)
			break;
		if (err == PGW_E_PROTOCOL_VERSION) {
			refuse(client, PGW_FAULT_UNSUPPORTED_PROTOCOL, NULL, NULL);
			return;
		}
		if (err != PGW_OK && is_cancel(bytes, n)) { /* nobody reads an answer to one */
			client_disconnect(client, "malformed cancel request");
			return;
		}
		if (err != PGW_OK) {
			refuse(client, PGW_FAULT_STARTUP_INVALID, NULL, pgw_err_text(err));
			return;
		}
		go_on = on_packet(client, &startup, n > startup.n_bytes);
		bytes += startup.n_bytes;
		n -= startup.n_bytes;
		if (!go_on)
			break;
	}
	if (client->state == CLIENT_GONE || client->state == CLIENT_CANCELING)
		return;
	keep_input(client, bytes, n);
}

static void feed_auth(struct client *client, const uint8_t *bytes, size_t n)
{
	struct pgw_frame frame;
	enum pgw_err err;

	while (client->state == CLIENT_EXPECT_PASSWORD) {
		err = pgw_frame_read(bytes, n, &frame);
		if (err == PGW_MORE)
			break;
		if (err != PGW_OK || frame.type != PGW_PASSWORD || frame.n_body_bytes > PASSWORD_MESSAGE_MAX_BYTES) {
			refuse(client, PGW_FAULT_PROTOCOL_VIOLATION, NULL, "Expected a password message.");
			return;
		}
		if (frame.n_available < frame.n_body_bytes)
			break;
		bytes += PGW_HEADER_BYTES + frame.n_body_bytes;
		n -= PGW_HEADER_BYTES + frame.n_body_bytes;
		on_auth_message(client, &frame);
	}
	if (client->state != CLIENT_GONE)
		keep_input(client, bytes, n);
}

static bool shake_hands(struct client *client)
{
	char error[256];

	switch (tls_handshake(client->stream.ssl, error)) {
	case TLS_STEP_DONE:
		if (client->login == NULL && !tls_has_alpn(client->stream.ssl)) {
			client_disconnect(client, "direct TLS without ALPN postgresql");
			return false;
		}
		client_set(client, CLIENT_TLS);
		client->stream.flags |= STREAM_READABLE;
		client_to(client, CLIENT_EXPECT_STARTUP);
		return true;
	case TLS_STEP_WANT_READ:
	case TLS_STEP_WANT_WRITE:
		client->stream.flags &= (uint16_t)~STREAM_READABLE;
		client->stream.flags |= STREAM_TLS_WANTS_WRITE;
		return false;
	case TLS_STEP_FAILED:
	default:
		log_rated(LOG_LEVEL_INFO, "C-%llu: TLS handshake failed: %s", (unsigned long long)client->id, error);
		client_disconnect(client, "TLS handshake failed");
		return false;
	}
}

/* Direct TLS: the first byte is that of a TLS record. It is looked at without being taken. */
static bool is_direct_tls(struct client *client)
{
	uint8_t first;

	return client->input == NULL && client->login == NULL && client->stream.ssl == NULL && client->worker->settings->client_tls &&
		recv(client->stream.fd, &first, 1, MSG_PEEK) == 1 && first == 0x16;
}

static bool read_login(struct client *client)
{
	struct worker *worker = client->worker;
	struct input *old = client->input;
	size_t n_old = old ? old->len : 0, n;
	enum stream_result result;

	if (client->state == CLIENT_EXPECT_STARTUP && is_direct_tls(client)) {
		begin_tls(client);
		return true;
	}
	result = stream_recv(&client->stream, worker->rx + n_old, PGW_STARTUP_MAX_BYTES + PASSWORD_MESSAGE_MAX_BYTES, &n);
	if (result == STREAM_AGAIN)
		return false;
	if (result != STREAM_OK) {
		client_disconnect(client, "client closed during login");
		return false;
	}
	if (old) {
		memcpy(worker->rx, old->data, n_old);
		mem_free(old);
		client->input = NULL;
	}
	if (client->state == CLIENT_EXPECT_STARTUP)
		feed_startup(client, worker->rx, n_old + n);
	else
		feed_auth(client, worker->rx, n_old + n);
	return true;
}

void login_on_input(struct client *client)
{
	bool more = true;

	while (more && client->stream.fd >= 0 && stream_has_input(&client->stream) && !(client->stream.flags & STREAM_PAUSED)) {
		if (client->state == CLIENT_EXPECT_TLS)
			more = shake_hands(client);
		else if (client->state == CLIENT_EXPECT_STARTUP || client->state == CLIENT_EXPECT_PASSWORD)
			more = read_login(client);
		else
			break;
	}
	if (client->state == CLIENT_CANCELING || client->state == CLIENT_EXPECT_WELCOME)
		return;
	if (client->state == CLIENT_IDLE || client->state == CLIENT_LINKED)
		client_resume(client);
}
