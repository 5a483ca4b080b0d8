/* SPDX-License-Identifier: ISC */
/*
 * A client's first words: TLS, the one StartupMessage, authentication, and the parameters it is
 * welcomed with.
 *
 * Threat: anybody on the network. Nothing is allocated by a length the peer claims beyond
 * PGW_STARTUP_MAX_BYTES; each step accepts just the messages it awaits; bytes sent in the clear
 * behind an SSLRequest end the connection (they could be injected); a second StartupMessage is no
 * message type and ends it too. An unknown user runs the same exchange as a wrong password. Whether
 * the database exists is told before authentication, as PgBouncer does.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/netaddr.h"
#include "io/tls.h"
#include "pgw/startup.h"
#include "session/login.h"
#include "session/replication.h"
#include "session/server.h"

#define PASSWORD_MESSAGE_MAX_BYTES 4096u
#define CONSOLE_DATABASE "pglane"
#define CONSOLE_DATABASE_COMPAT "pgbouncer"

static struct login *login_of(struct client *client)
{
	if (client->login == NULL) {
		client->login = mem_alloc(sizeof(*client->login));
		memset(client->login, 0, offsetof(struct login, asked));
		param_list_init(&client->login->asked, NULL);
	}
	return client->login;
}

struct option_sink {
	struct client *client;
	bool ok;
};

static void set_option(void *arg, const char *name, const char *value)
{
	struct option_sink *sink = arg;

	if (!config_list_has(worker_config(sink->client->worker)->ignore_startup_parameters, name))
		sink->ok &= param_list_set(&sink->client->login->asked, name, value);
}

static bool is_plain_name(const char *name)
{
	size_t n =
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$");

	return n > 0 && name[n] == '\0' && n < 64;
}

static bool is_ignored(const struct client *client, const char *name)
{
	return config_list_has(worker_config(client->worker)->ignore_startup_parameters, name);
}

static bool take_replication(struct client *client, const char *value)
{
	enum replication replication;
	char quoted[64];

	if (!replication_parse(value, &replication)) {
		(void)snprintf(quoted, sizeof(quoted), "\"%s\"", value);
		login_refuse(client, PGW_FAULT_REPLICATION_VALUE, quoted, NULL);
		return false;
	}
	if (replication != REPLICATION_NONE && client->login->console) {
		login_refuse(client, PGW_FAULT_STARTUP_PARAMETER, "replication",
			"The console has no replication.");
		return false;
	}
	client->replication = (uint8_t)replication;
	return true;
}

/* One parameter of the packet. false: it was refused. */
static bool take_parameter(struct client *client, const struct pgw_param *param)
{
	struct option_sink sink = {client, true};

	if (strcmp(param->name, "replication") == 0)
		return take_replication(client, param->value);
	if (strcmp(param->name, "user") == 0 || strcmp(param->name, "database") == 0 ||
		strncmp(param->name, "_pq_.", 5) == 0 || is_ignored(client, param->name))
		return true;
	if (strcmp(param->name, "options") == 0) {
		if (pgw_options_parse(param->value, set_option, &sink) == PGW_OK && sink.ok)
			return true;
	} else if (is_plain_name(param->name) &&
		   param_list_set(&client->login->asked, param->name, param->value)) {
		return true;
	}
	login_refuse(client, PGW_FAULT_STARTUP_PARAMETER,
		is_plain_name(param->name) ? param->name : NULL, NULL);
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

	return (client->stream.flags & STREAM_UNIX) &&
	       getsockopt(client->stream.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
	       peer.uid == geteuid();
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
	const char *user = pgw_startup_get(startup, "user"),
		   *database = pgw_startup_get(startup, "database"), *unfit;
	uint32_t i;

	if (startup->protocol >> 16 != 3) {
		login_refuse(client, PGW_FAULT_UNSUPPORTED_PROTOCOL, NULL, NULL);
		return;
	}
	negotiate(client, startup);
	if (user == NULL || user[0] == '\0') {
		login_refuse(client, PGW_FAULT_NO_USER, NULL, NULL);
		return;
	}
	login->user = mem_strdup(user);
	login->database = mem_strdup(database && database[0] ? database : user);
	client_set(client, CLIENT_COUNTED);
	if (login_over_limit(&client->worker->cluster->n_clients, config->max_client_conn)) {
		login_refuse(client, PGW_FAULT_TOO_MANY_CLIENTS, NULL, NULL);
		return;
	}
	if (config->client_tls.mode >= TLS_REQUIRE && client->stream.ssl == NULL &&
		!(client->stream.flags & STREAM_UNIX)) {
		login_refuse(client, PGW_FAULT_TLS_REQUIRED, NULL, NULL);
		return;
	}
	login->console = is_console_database(login->database);
	login->admin_by_socket = login->console && peer_is_ourselves(client) &&
				 is_console_database(user); /* a user of that name, too */
	if (!login->console && config_find_database(config, login->database) == NULL) {
		login_refuse(client, PGW_FAULT_NO_DATABASE, login->database, NULL);
		return;
	}
	if (registry_is_disabled(login->database)) {
		login_refuse(client, PGW_FAULT_DATABASE_DISABLED, login->database, NULL);
		return;
	}
	for (i = 0; i < startup->n_params; i++)
		if (!take_parameter(client, &startup->params[i]))
			return;
	unfit = client->replication ? replication_unfit(&login->asked) : NULL;
	if (unfit) {
		login_refuse(client, PGW_FAULT_STARTUP_PARAMETER, is_plain_name(unfit) ? unfit : NULL, NULL);
		return;
	}
	if (config->application_name_add_host)
		add_host_to_name(client);
	login_choose_method(client);
	if (!login->admin_by_socket &&
		((config->auth_type == AUTH_CERT && !login_cert_matches(client)) ||
			(config->auth_type == AUTH_TRUST && login->doomed &&
				config->n_secrets > 0))) {
		login_fail(client);
		return;
	}
	login_begin_auth(client);
}

static void answer_byte(struct client *client, char answer)
{
	client_reply(client, &answer, 1);
	(void)gather_flush(&client->worker->to_client); /* in the clear: TLS may begin behind it */
}

static void begin_tls(struct client *client)
{
	client->stream.ssl =
		tls_accept_new(client->worker->settings->client_tls, client->stream.fd);
	if (client->stream.ssl == NULL) {
		client_disconnect(client, "TLS failed");
		return;
	}
	client_to(client, CLIENT_EXPECT_TLS);
	client->stream.flags |= STREAM_READABLE;
}

/* On a unix socket nobody is in between: TLS is declined there, as PostgreSQL does. */
static bool offers_tls(const struct client *client)
{
	return client->worker->settings->client_tls && !(client->stream.flags & STREAM_UNIX);
}

/* One packet of the time before messages have types. false: the client is gone or has moved on. */
static bool on_packet(struct client *client, const struct pgw_startup *startup, bool has_more)
{
	struct login *login = login_of(client);
	bool has_tls = offers_tls(client);

	switch (startup->kind) {
	case PGW_STARTUP_SSL:
		if (login->ssl_asked || client->stream.ssl || has_more) {
			login_refuse(client, PGW_FAULT_STARTUP_INVALID, NULL,
				has_more ? "Bytes behind an SSLRequest." : "A second SSLRequest.");
			return false;
		}
		login->ssl_asked = true;
		answer_byte(client, has_tls ? 'S' : 'N');
		if (has_tls)
			begin_tls(client);
		return !has_tls;
	case PGW_STARTUP_GSSENC:
		if (login->gss_asked || has_more) {
			login_refuse(client, PGW_FAULT_STARTUP_INVALID, NULL,
				has_more ? "Bytes behind a GSSENCRequest."
					 : "A second GSSENCRequest.");
			return false;
		}
		login->gss_asked = true;
		answer_byte(client, 'N');
		return true;
	case PGW_STARTUP_CANCEL:
		timer_stop(&client->timer);
		client_to(client, CLIENT_CANCELING);
		cancel_request(client, startup->cancel_pid, startup->cancel_key,
			startup->n_cancel_key_bytes);
		return false;
	case PGW_STARTUP_MESSAGE:
		on_startup(client, startup);
		return false;
	case PGW_STARTUP_DIRECT_TLS:
	default:
		login_refuse(client, PGW_FAULT_STARTUP_INVALID, NULL,
			"TLS begins before the server said so.");
		return false;
	}
}

static void feed_auth(struct client *client, const uint8_t *bytes, size_t n);

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
			login_refuse(client, PGW_FAULT_UNSUPPORTED_PROTOCOL, NULL, NULL);
			return;
		}
		if (err != PGW_OK && is_cancel(bytes, n)) { /* nobody reads an answer to one */
			client_disconnect(client, "malformed cancel request");
			return;
		}
		if (err != PGW_OK) {
			login_refuse(client, PGW_FAULT_STARTUP_INVALID, NULL, pgw_err_text(err));
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
	/* What a client sends ahead of the answer is judged now: no further read may come. */
	if (client->state == CLIENT_EXPECT_PASSWORD)
		feed_auth(client, bytes, n);
	else
		client->input = input_new(bytes, n);
}

static void feed_auth(struct client *client, const uint8_t *bytes, size_t n)
{
	struct pgw_frame frame;
	enum pgw_err err;

	while (client->state == CLIENT_EXPECT_PASSWORD) {
		err = pgw_frame_read(bytes, n, &frame);
		if (err == PGW_MORE)
			break;
		if (err != PGW_OK || frame.type != PGW_PASSWORD ||
			frame.n_body_bytes > PASSWORD_MESSAGE_MAX_BYTES) {
			login_refuse(client, PGW_FAULT_PROTOCOL_VIOLATION, NULL,
				"Expected a password message.");
			return;
		}
		if (frame.n_available < frame.n_body_bytes)
			break;
		bytes += PGW_HEADER_BYTES + frame.n_body_bytes;
		n -= PGW_HEADER_BYTES + frame.n_body_bytes;
		login_on_auth_message(client, &frame);
	}
	if (client->state != CLIENT_GONE)
		client->input = input_new(bytes, n);
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
		log_rated(LOG_LEVEL_INFO, "C-%llu: TLS handshake failed: %s",
			(unsigned long long)client->id, error);
		client_disconnect(client, "TLS handshake failed");
		return false;
	}
}

/* Direct TLS: the first byte is that of a TLS record. It is looked at without being taken. */
static bool is_direct_tls(struct client *client)
{
	uint8_t first;

	return client->input == NULL && client->login == NULL && client->stream.ssl == NULL &&
	       offers_tls(client) && recv(client->stream.fd, &first, 1, MSG_PEEK) == 1 && first == 0x16;
}

/* The answers to one read leave in one send. */
static void flush_answers(struct client *client)
{
	struct worker *worker = client->worker;

	if (worker->to_server.stream) { /* its parameters, tried on a server that was idle */
		(void)gather_flush(&worker->to_server);
		worker->to_server.stream = NULL;
	}
	if (worker->to_client.stream) {
		bool ok = gather_flush(&worker->to_client);

		worker->to_client.stream = NULL;
		if (!ok)
			client_disconnect(client, "the client's socket broke");
	}
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
	result = stream_recv(&client->stream, worker->rx + n_old,
		PGW_STARTUP_MAX_BYTES + PASSWORD_MESSAGE_MAX_BYTES, &n);
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
	gather_begin(&worker->to_client, &client->stream);
	if (client->state == CLIENT_EXPECT_STARTUP)
		feed_startup(client, worker->rx, n_old + n);
	else
		feed_auth(client, worker->rx, n_old + n);
	flush_answers(client);
	return true;
}

void login_on_input(struct client *client)
{
	bool more = true;

	while (more && client->stream.fd >= 0 && stream_has_input(&client->stream) &&
		!(client->stream.flags & STREAM_PAUSED)) {
		if (client->state == CLIENT_EXPECT_TLS)
			more = shake_hands(client);
		else if (client->state == CLIENT_EXPECT_STARTUP ||
			 client->state == CLIENT_EXPECT_PASSWORD)
			more = read_login(client);
		else
			break;
	}
	if (client->state == CLIENT_CANCELING || client->state == CLIENT_EXPECT_WELCOME)
		return;
	if (client->state == CLIENT_IDLE || client->state == CLIENT_LINKED)
		client_resume(client);
	else if (client->state == CLIENT_CONSOLE)
		console_on_input(client);
}
