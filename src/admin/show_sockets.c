/* SPDX-License-Identifier: ISC */
/*
 * SHOW CLIENTS, SERVERS, SOCKETS and ACTIVE_SOCKETS: one row for each connection. `ptr` and `link`, which are addresses of memory in PgBouncer, are
 * made of ids: unique all the same, and nothing to attack with.
 */
#include <inttypes.h>
#include <sys/socket.h>

#include "admin/show.h"
#include "base/clock.h"
#include "session/replication.h"

const struct column socket_columns[28] = {
	COLUMN_T("type"),
	COLUMN_T("user"),
	COLUMN_T("database"),
	COLUMN_T("replication"),
	COLUMN_T("state"),
	COLUMN_T("addr"),
	COLUMN_I("port"),
	COLUMN_T("local_addr"),
	COLUMN_I("local_port"),
	COLUMN_T("connect_time"),
	COLUMN_T("request_time"),
	COLUMN_I("wait"),
	COLUMN_I("wait_us"),
	COLUMN_I("close_needed"),
	COLUMN_T("ptr"),
	COLUMN_T("link"),
	COLUMN_I("remote_pid"),
	COLUMN_T("tls"),
	COLUMN_T("application_name"),
	COLUMN_I("prepared_statements"),
	COLUMN_I("id"),
	/* Of SHOW SOCKETS only. */
	COLUMN_I("recv_pos"),
	COLUMN_I("pkt_pos"),
	COLUMN_I("pkt_remain"),
	COLUMN_I("send_pos"),
	COLUMN_I("send_remain"),
	COLUMN_I("pkt_avail"),
	COLUMN_I("send_avail"),
};

enum { TYPE_AT = 0, USER_AT = 1, DATABASE_AT = 2, ID_AT = 20 };

static const unsigned order[] = { DATABASE_AT, USER_AT, TYPE_AT, ID_AT };

/* What a row says, whatever end of the proxy the connection is of. */
struct socket_facts {
	const char *type, *user, *database, *state;
	const struct stream *stream;
	uint64_t connect_wall_us, request_wall_us, wait_us;
	uint8_t replication;
	bool close_needed;
	uint64_t id, link_id; /* link_id 0: none */
	uint64_t remote_pid;
	const char *application_name;
	unsigned n_prepared;
	uint64_t n_input, n_skip;
};

/* ---- addresses ---- */

static void add_address(struct run *run, bool known, const struct netaddr *addr)
{
	char text[NETADDR_TEXT_BYTES];
	uint16_t port = 0;

	if (!known) {
		rows_text(&run->rows, "");
		rows_number(&run->rows, 0);
		return;
	}
	rows_text(&run->rows, netaddr_format(addr, text, &port));
	rows_number(&run->rows, port ? port : worker_config(run->worker)->listen_port);
}

static void add_addresses(struct run *run, const struct stream *stream)
{
	struct netaddr addr;
	bool known = stream->fd >= 0 && netaddr_of_peer(stream->fd, &addr);

	add_address(run, known, &addr);
	known = stream->fd >= 0 && netaddr_of_local(stream->fd, &addr);
	add_address(run, known, &addr);
}

/* The process at the other end of a unix socket. */
static uint64_t unix_peer_pid(const struct stream *stream)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (stream->fd < 0 || !(stream->flags & STREAM_UNIX) || getsockopt(stream->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return 0;
	return (uint64_t)peer.pid;
}

/* ---- rows ---- */

static void add_id(struct rows *rows, uint64_t id)
{
	char text[24] = "";

	if (id)
		(void)snprintf(text, sizeof(text), "0x%" PRIx64, id);
	rows_text(rows, text);
}

static void add_tls(struct rows *rows, const struct stream *stream)
{
	char text[128];

	if (stream->ssl == NULL) {
		rows_text(rows, "");
		return;
	}
	(void)snprintf(text, sizeof(text), "%s/%s", SSL_get_version(stream->ssl), SSL_get_cipher_name(stream->ssl));
	rows_text(rows, text);
}

static void add_buffers(struct rows *rows, const struct socket_facts *facts)
{
	rows_number(rows, facts->n_input);
	rows_number(rows, 0);
	rows_number(rows, facts->n_skip);
	rows_number(rows, 0);
	rows_number(rows, stream_spill_bytes(facts->stream));
	rows_number(rows, facts->n_input);
	rows_number(rows, stream_spill_bytes(facts->stream));
}

static void add_row(struct run *run, const struct socket_facts *facts)
{
	struct rows *rows = &run->rows;

	rows_text(rows, facts->type);
	rows_text(rows, facts->user);
	rows_text(rows, facts->database);
	rows_text(rows, replication_name(facts->replication));
	rows_text(rows, facts->state);
	add_addresses(run, facts->stream);
	rows_time(rows, facts->connect_wall_us);
	rows_time(rows, facts->request_wall_us);
	rows_number(rows, facts->wait_us / 1000000u);
	rows_number(rows, facts->wait_us % 1000000u);
	rows_number(rows, facts->close_needed);
	add_id(rows, facts->id);
	add_id(rows, facts->link_id);
	rows_number(rows, facts->remote_pid);
	add_tls(rows, facts->stream);
	rows_text(rows, facts->application_name);
	rows_number(rows, facts->n_prepared);
	rows_number(rows, facts->id);
	if (rows->columns.n > SOCKET_COLUMNS_N)
		add_buffers(rows, facts);
	rows_end(rows);
}

/* A moment of the monotonic clock as one of the calendar. */
static uint64_t to_wall_us(uint64_t mono_us)
{
	return clock_wall_us() - (clock_mono_us() - mono_us);
}

/* ---- clients ---- */

static bool is_logging_in(const struct client *client)
{
	return client->state == CLIENT_EXPECT_STARTUP || client->state == CLIENT_EXPECT_TLS || client->state == CLIENT_EXPECT_PASSWORD;
}

/* PgBouncer calls a client active only while it has a server; the console's clients never have one. */
static const char *client_state(const struct client *client)
{
	return client->state == CLIENT_CONSOLE ? "idle" : client_state_name(client);
}

static const char *client_socket_state(const struct client *client)
{
	if (is_logging_in(client))
		return "cl_login";
	return client->state == CLIENT_WAITING || client->state == CLIENT_SEARCHING || client->state == CLIENT_EXPECT_WELCOME ? "cl_waiting" : "cl_active";
}

static void describe_client(const struct client *client, struct socket_facts *facts_r)
{
	uint64_t now_us = clock_mono_us();

	*facts_r = (struct socket_facts){
		.type = "C",
		.user = client->pool ? client->pool->shared->user->name : "(nouser)",
		.database = client->pool ? client->pool->shared->database->name : "(nodb)",
		.replication = client->replication,
		.state = client_state(client),
		.stream = &client->stream,
		.connect_wall_us = client->connect_wall_us,
		.request_wall_us = to_wall_us(MAX_OF(client->query_start_us, client->last_active_us)),
		.wait_us = client->wait_start_us && now_us > client->wait_start_us ? now_us - client->wait_start_us : 0,
		.id = client->id,
		.link_id = client->server ? client->server->id : 0,
		.remote_pid = unix_peer_pid(&client->stream),
		.application_name = client_application_name(client),
		.n_prepared = client_names_count(client->names),
		.n_input = input_bytes(client->input),
		.n_skip = client->skip_bytes,
	};
}

static void add_clients(struct run *run, struct worker *worker)
{
	const struct client *client;
	struct socket_facts facts;

	TAILQ_FOREACH(client, &worker->clients, link) {
		if (client->state == CLIENT_GONE || is_logging_in(client))
			continue;
		describe_client(client, &facts);
		add_row(run, &facts);
	}
}

/* ---- servers ---- */

static const char *server_socket_state(const struct server *server)
{
	switch ((enum server_state)server->state) {
	case SERVER_CONNECTING:
		return "sv_login";
	case SERVER_IDLE:
		return "sv_idle";
	case SERVER_FENCED:
		return "sv_being_canceled";
	case SERVER_LINKED:
	case SERVER_LISTENING:
	case SERVER_RECOVERING:
	case SERVER_CLOSING:
	case N_SERVER_STATES:
	default:
		return "sv_active";
	}
}

static void describe_server(const struct server *server, struct socket_facts *facts_r)
{
	const char *name = param_set_get(server->params, "application_name");

	*facts_r = (struct socket_facts){
		.type = "S",
		.user = server->pool->shared->user->name,
		.database = server->pool->shared->database->name,
		.replication = server->replication,
		.state = server_state_name(server),
		.stream = &server->stream,
		.connect_wall_us = server->connect_wall_us,
		.request_wall_us = server->request_us ? to_wall_us(server->request_us) : server->connect_wall_us,
		.close_needed = server_is(server, SERVER_RETIRE) || server->epoch != STAT_READ(server->pool->shared->epoch),
		.id = server->id,
		.link_id = server->client ? server->client->id : 0,
		.remote_pid = server->pid,
		.application_name = name ? name : "",
		.n_prepared = server_copies_count(&server->copies),
		.n_input = input_bytes(server->partial),
		.n_skip = server->skip_bytes,
	};
}

/* Those that are being closed are not listed, as PgBouncer forgets them: SHOW BUDGET counts them. */
static void each_server(struct run *run, struct worker *worker, void (*add)(struct run *run, const struct server *server))
{
	const struct server *server;
	const struct pool *pool;
	unsigned state;

	for (pool = worker->pools; pool; pool = pool->next)
		for (state = 0; state < SERVER_CLOSING; state++)
			TAILQ_FOREACH(server, &pool->servers[state], link)
				add(run, server);
}

static void add_server(struct run *run, const struct server *server)
{
	struct socket_facts facts;

	describe_server(server, &facts);
	add_row(run, &facts);
}

static void add_servers(struct run *run, struct worker *worker)
{
	each_server(run, worker, add_server);
}

/* ---- both ---- */

static void add_server_socket(struct run *run, const struct server *server)
{
	struct socket_facts facts;

	describe_server(server, &facts);
	facts.state = server_socket_state(server);
	add_row(run, &facts);
}

static void add_sockets(struct run *run, struct worker *worker)
{
	const struct client *client;
	struct socket_facts facts;

	TAILQ_FOREACH(client, &worker->clients, link) {
		if (client->state == CLIENT_GONE)
			continue;
		describe_client(client, &facts);
		facts.state = client_socket_state(client);
		add_row(run, &facts);
	}
	each_server(run, worker, add_server_socket);
}

static bool has_bytes(const struct socket_facts *facts)
{
	return facts->n_input > 0 || facts->n_skip > 0 || stream_is_blocked(facts->stream);
}

static void add_active_server(struct run *run, const struct server *server)
{
	struct socket_facts facts;

	describe_server(server, &facts);
	facts.state = server_socket_state(server);
	if (has_bytes(&facts))
		add_row(run, &facts);
}

static void add_active_sockets(struct run *run, struct worker *worker)
{
	const struct client *client;
	struct socket_facts facts;

	TAILQ_FOREACH(client, &worker->clients, link) {
		if (client->state == CLIENT_GONE)
			continue;
		describe_client(client, &facts);
		facts.state = client_socket_state(client);
		if (has_bytes(&facts))
			add_row(run, &facts);
	}
	each_server(run, worker, add_active_server);
}

static void visited(struct run *run)
{
	rows_sort(&run->rows, order, N_ELEMENTS(order));
	run_done(run);
}

void show_clients(struct run *run)
{
	run_visit(run, add_clients, visited);
}

void show_servers(struct run *run)
{
	run_visit(run, add_servers, visited);
}

void show_sockets(struct run *run)
{
	run_visit(run, add_sockets, visited);
}

void show_active_sockets(struct run *run)
{
	run_visit(run, add_active_sockets, visited);
}
