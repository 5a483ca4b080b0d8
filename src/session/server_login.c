/* SPDX-License-Identifier: ISC */
/*
 * From a slot to a server that may serve: address, connect(2), TLS, startup, authentication,
 * parameters, connect_query. Threat: whoever answers at that address may be hostile. Lengths are
 * bounded, the SCRAM signature of the server is verified, a password in clear is only given to a
 * server that asks for it by its own protocol, and nothing it sends here reaches a client except
 * the text of its error.
 */
#include <errno.h>
#include <openssl/crypto.h>

#include "base/mem.h"
#include "io/listener.h"
#include "io/tls.h"
#include "pgw/frame.h"
#include "pgw/startup.h"
#include "session/login_turn.h"
#include "session/replication.h"
#include "session/server_login.h"

#define LOGIN_MESSAGE_MAX_BYTES 65536u
#define LOGIN_BUFFER_BYTES 16384u

void server_login_free(struct server *server)
{
	struct server_login *login = server->login;

	if (login == NULL)
		return;
	resolve_cancel(&login->resolve);
	param_list_release(&login->facts);
	param_list_release(&login->params);
	OPENSSL_cleanse(&login->scram, sizeof(login->scram));
	mem_free(login);
	server->login = NULL;
}

void server_login_fail(struct server *server, enum pgw_fault_id id, const char *what)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, id, NULL, "%s:%u: %s", server->host ? server->host : "?",
		pool_entry(server->pool) ? pool_entry(server->pool)->port : 0, what);
	timer_stop(&server->timer);
	link_server_failed(server, &fault);
}

bool server_login_refuse(struct server *server, const char *what)
{
	server_login_fail(server, PGW_FAULT_SERVER_LOGIN_FAILED, what);
	return false;
}

static void on_login_deadline(struct timer *timer)
{
	server_login_fail(CONTAINER_OF(timer, struct server, timer), PGW_FAULT_SERVER_UNREACHABLE,
		"no login within server_connect_timeout");
}

/* Trouble found while server_connect() is still on its caller's stack is told at the end of the
 * turn. */
static void on_early_failure(struct task *task)
{
	struct server *server = CONTAINER_OF(task, struct server, task);

	server_login_fail(server, PGW_FAULT_SERVER_UNREACHABLE, server->last_words);
}

static void fail_later(struct server *server, const char *what)
{
	(void)snprintf(server->last_words, sizeof(server->last_words), "%s", what);
	loop_task(&server->worker->loop, &server->task, on_early_failure);
}

static void open_socket(struct server *server)
{
	char text[128] = "";

	server->login->phase = PHASE_CONNECT;
	if (!stream_connect(&server->stream, &server->worker->loop, &server->addr.sa,
		    server->addr.len, &server_ops)) {
		fail_later(server, strerror_r(errno, text, sizeof(text)));
		return;
	}
	socket_tune(server->stream.fd, server->addr.sa.sa_family == AF_UNIX,
		worker_config(server->worker));
}

static void on_resolved(void *arg, const struct netaddr *addr, const char *error)
{
	struct server *server = arg;

	server->login->resolve = NULL;
	if (addr == NULL) {
		fail_later(server, error);
		return;
	}
	server->addr = *addr;
	open_socket(server);
}

/* The next of the entry's hosts, in turn. */
static char *choose_host(struct server *server, const char *list)
{
	uint64_t n = 1, choice, i;
	const char *at = list;

	for (; *at; at++)
		n += *at == ',';
	choice = server->pool->next_host++ % n;
	for (at = list, i = 0; i < choice; i++)
		at = strchr(at, ',') + 1;
	return mem_strndup(at, strcspn(at, ","));
}

void server_connect(struct server *server)
{
	const struct config *config = worker_config(server->worker);
	const struct config_database *entry = pool_entry(server->pool);

	server->login = mem_zalloc(sizeof(*server->login));
	login_turn_began(server);
	param_list_init(&server->login->facts, NULL);
	param_list_init(&server->login->params, NULL);
	loop_timer(&server->worker->loop, &server->timer, config->server_connect_timeout_us,
		on_login_deadline);
	if (entry == NULL) {
		fail_later(server, "the database is no longer configured");
		return;
	}
	server->host =
		entry->host ? choose_host(server, entry->host) : mem_strdup("/var/run/postgresql");
	if (server->host[0] == '/' || server->host[0] == '@') {
		if (netaddr_unix(server->host, entry->port, &server->addr))
			open_socket(server);
		else
			fail_later(server, "the socket's path is too long");
	} else if (netaddr_literal(server->host, entry->port, &server->addr)) {
		open_socket(server);
	} else {
		server->login->phase = PHASE_RESOLVE;
		server->login->resolve = resolver_ask(
			server->worker->resolver, server->host, entry->port, on_resolved, server);
	}
}

void server_login_send(struct server *server, const struct pgw_writer *writer)
{
	MUST(writer->err == PGW_OK);
	(void)!stream_send(&server->stream, writer->data,
		writer->len); /* a broken socket is seen by its reader */
}

const char *server_login_user(const struct server *server)
{
	const struct config_database *entry = pool_entry(server->pool);

	return entry && entry->user ? entry->user : server->pool->shared->user->name;
}

static void send_startup(struct server *server)
{
	const struct config_database *entry = pool_entry(server->pool);
	struct pgw_param params[8 + REPLICATION_PARAMS];
	uint8_t message[PGW_STARTUP_MAX_BYTES];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));
	size_t n = 0;

	if (entry && entry->client_encoding)
		params[n++] = (struct pgw_param){"client_encoding", entry->client_encoding};
	if (entry && entry->datestyle)
		params[n++] = (struct pgw_param){"datestyle", entry->datestyle};
	if (entry && entry->timezone)
		params[n++] = (struct pgw_param){"timezone", entry->timezone};
	if (entry && entry->application_name)
		params[n++] = (struct pgw_param){"application_name", entry->application_name};
	if (server->replication)
		n += replication_startup(server, params + n);
	/* Of a name that is there twice, PostgreSQL takes the last: these are ours alone to say. */
	params[n++] = (struct pgw_param){"database",
		entry && entry->dbname ? entry->dbname : server->pool->shared->database->name};
	params[n++] = (struct pgw_param){"user", server_login_user(server)};
	pgw_build_startup(&writer, PGW_PROTOCOL_3_0, params, n);
	server->login->phase = PHASE_EXPECT_AUTH;
	if (writer.err != PGW_OK) {
		server_login_fail(server, PGW_FAULT_SERVER_UNREACHABLE,
			"user, database and parameters are too long");
		return;
	}
	server_login_send(server, &writer);
}

bool server_asks_for_tls(const struct server *server)
{
	return server->addr.sa.sa_family != AF_UNIX &&
	       worker_config(server->worker)->server_tls.mode > TLS_ALLOW &&
	       server->worker->settings->server_tls != NULL;
}

void server_login_on_connected(struct server *server, int error_number)
{
	uint8_t message[8];
	struct pgw_writer writer = pgw_writer_on(message, sizeof(message));
	char text[128] = "";

	if (error_number != 0) {
		server_login_fail(server, PGW_FAULT_SERVER_UNREACHABLE,
			strerror_r(error_number, text, sizeof(text)));
		return;
	}
	if (!server_asks_for_tls(server)) {
		send_startup(server);
	} else {
		server->login->phase = PHASE_EXPECT_TLS_ANSWER;
		pgw_build_ssl_request(&writer);
		server_login_send(server, &writer);
	}
	if (server->login && stream_has_input(&server->stream))
		server_login_on_input(server);
}

/* ---- TLS ---- */

static bool shake_hands(struct server *server)
{
	char error[256];

	switch (tls_handshake(server->stream.ssl, error)) {
	case TLS_STEP_DONE:
		server_set(server, SERVER_TLS);
		server->stream.flags |= STREAM_READABLE;
		send_startup(server);
		return true;
	case TLS_STEP_WANT_READ:
	case TLS_STEP_WANT_WRITE:
		server->stream.flags &= (uint16_t)~STREAM_READABLE;
		server->stream.flags |= STREAM_TLS_WANTS_WRITE;
		return false;
	case TLS_STEP_FAILED:
	default:
		server_login_fail(server, PGW_FAULT_SERVER_UNREACHABLE, error);
		return false;
	}
}

/* One byte, and not one more: what follows an 'S' in the clear is not the server's
 * (CVE-2021-23222). */
static bool read_tls_answer(struct server *server)
{
	enum tls_mode mode = worker_config(server->worker)->server_tls.mode;
	uint8_t answer;
	size_t n;
	enum stream_result result = stream_recv(&server->stream, &answer, 1, &n);

	if (result == STREAM_AGAIN)
		return false;
	if (result != STREAM_OK) {
		server_login_fail(
			server, PGW_FAULT_SERVER_UNREACHABLE, "server closed the connection");
		return false;
	}
	if (answer == 'S') {
		server->stream.ssl = tls_connect_new(
			server->worker->settings->server_tls, server->stream.fd, server->host);
		server->login->phase = PHASE_TLS;
		return shake_hands(server);
	}
	if (answer == 'N' && mode < TLS_REQUIRE) {
		send_startup(server);
		return true;
	}
	server_login_fail(server, PGW_FAULT_SERVER_UNREACHABLE,
		answer == 'N' ? "server does not offer TLS, and server_tls_sslmode demands it"
			      : "unexpected answer to SSLRequest");
	return false;
}

/* ---- the rest of the login ---- */

/*
 * max_connections, or what it leaves to ordinary roles. Limits of a role or of a database have the
 * same SQLSTATE, and texts are translated: only the place that raised it tells them apart. They are
 * no reason to open fewer for others.
 */
static bool is_full(const struct pgw_error_view *view)
{
	return strcmp(view->sqlstate, "53300") == 0 &&
	       strcmp(view->routine, "InitializeSessionUserId") != 0 &&
	       strcmp(view->routine, "CheckMyDatabase") != 0;
}

static bool on_error(struct server *server, const struct pgw_frame *frame)
{
	struct server_login *login = server->login;
	struct pgw_error_view view;
	struct pgw_fault fault;

	if (pgw_view_error(frame->body, frame->n_body_bytes, &view) != PGW_OK)
		return server_login_refuse(server, "malformed error");
	if (login->phase == PHASE_EXPECT_SETUP)
		login->setup_failed = true;
	/* The server's own words: a client that logs in to a database that is not there should see
	 * the usual text. */
	pgw_fault_set(&fault, PGW_FAULT_SERVER_LOGIN_FAILED, NULL, "%s (%s)", view.message,
		view.sqlstate);
	timer_stop(&server->timer);
	if (login->phase < PHASE_EXPECT_SETUP && is_full(&view))
		link_server_refused(server, &fault);
	else
		link_server_failed(server, &fault);
	return false;
}

static bool on_parameter(struct server *server, const struct pgw_frame *frame)
{
	struct server_login *login = server->login;
	const char *name, *value;

	if (pgw_view_parameter_status(frame->body, frame->n_body_bytes, &name, &value) != PGW_OK)
		return server_login_refuse(server, "malformed ParameterStatus");
	if (!param_list_set(
		    param_is_server_fact(name) ? &login->facts : &login->params, name, value))
		return server_login_refuse(server, "too many parameters");
	return true;
}

static bool on_key(struct server *server, const struct pgw_frame *frame)
{
	const uint8_t *key;
	size_t n_key;

	if (pgw_view_key_data(frame->body, frame->n_body_bytes, &server->pid, &key, &n_key) !=
			PGW_OK ||
		n_key > PGW_CANCEL_KEY_MAX_BYTES)
		return server_login_refuse(server, "malformed BackendKeyData");
	mem_free(server->key);
	server->key = mem_dup(key, n_key);
	server->n_key_bytes = (uint16_t)n_key;
	return true;
}

static bool on_ready(struct server *server)
{
	struct server_login *login = server->login;
	const struct config_database *entry = pool_entry(server->pool);

	if (login->phase == PHASE_EXPECT_READY && entry && entry->connect_query &&
		entry->connect_query[0] && server->replication != REPLICATION_PHYSICAL) {
		struct strbuf message = STRBUF_INIT;
		struct pgw_writer writer;
		size_t n = strlen(entry->connect_query);

		strbuf_reserve(&message, n + 16);
		writer = pgw_writer_on(message.data, n + 16);
		pgw_build_query(&writer, entry->connect_query, n);
		login->phase = PHASE_EXPECT_SETUP;
		server_login_send(server, &writer);
		strbuf_release(&message);
		return true;
	}
	if (login->phase < PHASE_EXPECT_READY || login->phase == PHASE_READY)
		return server_login_refuse(server, "ReadyForQuery out of order");
	login->phase = PHASE_READY;
	return true;
}

/* From here on it is server_feed.c that reads; a message of which a part has come goes on there. */
static void finish_login(struct server *server)
{
	struct param_set *facts = param_set_intern(&server->login->facts);

	server->params = param_set_intern(&server->login->params);
	if (server->replication) { /* its client's alone */
		server->facts = facts;
	} else {
		shared_pool_set_facts(server->pool->shared, facts, server->params);
		param_set_unref(&facts);
	}
	server_login_free(server);
	timer_stop(&server->timer);
	link_server_ready(server);
	/* There may be more, and no other edge tells of it. */
	if (server->stream.fd >= 0 && server->state != SERVER_CLOSING &&
		stream_has_input(&server->stream) && !(server->stream.flags & STREAM_PAUSED))
		server_resume(server);
}

/* true: go on with the next message. */
static bool on_message(struct server *server, const struct pgw_frame *frame)
{
	switch (frame->type) {
	case PGW_AUTHENTICATION:
		return server_login_on_auth(server, frame);
	case PGW_ERROR_RESPONSE:
		return on_error(server, frame);
	case PGW_PARAMETER_STATUS:
		return on_parameter(server, frame);
	case PGW_BACKEND_KEY_DATA:
		return on_key(server, frame);
	case PGW_READY_FOR_QUERY:
		return on_ready(server);
	case PGW_NOTICE_RESPONSE:
	case PGW_NEGOTIATE_PROTOCOL_VERSION:
		return true;
	default:
		if (server->login->phase == PHASE_EXPECT_SETUP) /* results of connect_query */
			return true;
		return server_login_refuse(server, "unexpected message during login");
	}
}

/*
 * Messages of a login are small: they are taken whole from what was kept and what came. A server may say more behind its ReadyForQuery, in
 * the same read: a parameter that has changed is what its session has, and an error is the end of the login.
 */
static void feed_messages(struct server *server, const uint8_t *bytes, size_t n)
{
	size_t at = 0;
	struct pgw_frame frame;
	enum pgw_err err;

	while ((err = pgw_frame_read(bytes + at, n - at, &frame)) == PGW_OK &&
		frame.n_available == frame.n_body_bytes) {
		at += PGW_HEADER_BYTES + frame.n_body_bytes;
		if (!on_message(server, &frame))
			return;
	}
	if (err < 0 || (err == PGW_OK && frame.n_body_bytes > LOGIN_MESSAGE_MAX_BYTES)) {
		(void)server_login_refuse(server, "malformed message during login");
		return;
	}
	server->partial = input_new(bytes + at, n - at);
	if (server->login->phase == PHASE_READY)
		finish_login(server);
}

static bool read_messages(struct server *server)
{
	struct worker *worker = server->worker;
	struct input *old = server->partial;
	size_t n_old = old ? old->len : 0, n;
	enum stream_result result =
		stream_recv(&server->stream, worker->rx + n_old, LOGIN_BUFFER_BYTES, &n);

	if (result == STREAM_AGAIN)
		return false;
	if (result != STREAM_OK) {
		server_set(server, SERVER_ENDED);
		server_login_fail(server, PGW_FAULT_SERVER_UNREACHABLE,
			"server closed the connection during login");
		return false;
	}
	if (old) {
		memcpy(worker->rx, old->data, n_old);
		mem_free(old);
		server->partial = NULL;
	}
	feed_messages(server, worker->rx, n_old + n);
	return true;
}

void server_login_on_input(struct server *server)
{
	bool more = true;

	while (more && server->state == SERVER_CONNECTING && server->login &&
		server->stream.fd >= 0 && stream_has_input(&server->stream)) {
		if (server->login->phase == PHASE_EXPECT_TLS_ANSWER)
			more = read_tls_answer(server);
		else if (server->login->phase == PHASE_TLS)
			more = shake_hands(server);
		else
			more = read_messages(server);
	}
}
