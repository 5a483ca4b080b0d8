/* SPDX-License-Identifier: ISC */
#include "service/pgconn.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/strbuf.h"

#define PGCONN_MAGIC 0x5047434eu

enum pgconn_state {
	PGCONN_EXPECT_ADDRESS, /* of the host's name */
	PGCONN_EXPECT_LOGIN,   /* PQconnectPoll() goes on */
	PGCONN_IDLE,	       /* for its owner to ask */
	PGCONN_EXPECT_RESULT,
	PGCONN_FAILED,	   /* for its owner to close; `failed` was called or will be by the task */
	PGCONN_EXPECT_EOF, /* closing: libpq is done with it, `fd` is what is left */
};

struct pgconn {
	uint32_t magic;
	enum pgconn_state state;
	struct loop *loop;
	const struct pgconn_ops *ops;
	void *arg;
	struct resolve *resolve;
	struct timer deadline;
	struct task task; /* what may not be said from within a call of the owner's */
	struct event *event;
	short event_what;
	PGconn *pq;
	PGresult *result; /* the last of the statement under way */
	int fd;		  /* EXPECT_EOF: -1 when there is nothing to wait for */
	/* Copies, for libpq is told only when the address is known. */
	char *host, *dbname, *user, *password, *application_name, *options;
	uint16_t port;
	struct strbuf error_text;
	char sqlstate[6];
	const char *sslmode;
	char *sslrootcert, *sslcert, *sslkey;
};

/* ---- errors ---- */

/* libpq's messages have several lines; the first one is what happened, the others are guesses. */
static void set_error(struct pgconn *conn, const char *sqlstate, const char *text)
{
	(void)snprintf(conn->sqlstate, sizeof(conn->sqlstate), "%s", sqlstate ? sqlstate : "");
	strbuf_reset(&conn->error_text);
	strbuf_add(&conn->error_text, text, strcspn(text, "\n"));
}

static void unwatch(struct pgconn *conn)
{
	if (conn->event)
		event_free(conn->event);
	conn->event = NULL;
	conn->event_what = 0;
}

/* Nothing of it goes on; the owner is told. Only from the loop. */
static void tell_failure(struct pgconn *conn)
{
	struct pgconn_error error = { .text = conn->error_text.data };

	memcpy(error.sqlstate, conn->sqlstate, sizeof(error.sqlstate));
	conn->ops->failed(conn->arg, &error);
}

static void stop_all(struct pgconn *conn)
{
	unwatch(conn);
	timer_stop(&conn->deadline);
	loop_task_drop(conn->loop, &conn->task);
	resolve_cancel(&conn->resolve);
	PQclear(conn->result);
	conn->result = NULL;
}

static void fail(struct pgconn *conn, const char *sqlstate, const char *text)
{
	set_error(conn, sqlstate, text);
	stop_all(conn);
	conn->state = PGCONN_FAILED;
	tell_failure(conn);
}

static void on_late_failure(struct task *task)
{
	struct pgconn *conn = CONTAINER_OF(task, struct pgconn, task);

	tell_failure(conn);
}

/* From within a call of the owner's: told at the end of the turn. */
static void fail_later(struct pgconn *conn, const char *text)
{
	set_error(conn, NULL, text);
	stop_all(conn);
	conn->state = PGCONN_FAILED;
	loop_task(conn->loop, &conn->task, on_late_failure);
}

static void on_deadline(struct timer *timer)
{
	struct pgconn *conn = CONTAINER_OF(timer, struct pgconn, deadline);

	CHECK_MAGIC(conn, PGCONN_MAGIC);
	switch (conn->state) {
	case PGCONN_EXPECT_ADDRESS:
		fail(conn, NULL, "the host name was not resolved in time");
		break;
	case PGCONN_EXPECT_LOGIN:
		fail(conn, NULL, "connecting took too long");
		break;
	case PGCONN_EXPECT_RESULT:
		fail(conn, NULL, "the server did not answer in time");
		break;
	case PGCONN_IDLE:
	case PGCONN_FAILED:
	case PGCONN_EXPECT_EOF:
		UNREACHABLE("a deadline where nothing is awaited");
	}
}

/* ---- statements ---- */

static void watch(struct pgconn *conn, int fd, short what, event_callback_fn on_event)
{
	if (conn->event && conn->event_what == what && event_get_fd(conn->event) == fd)
		return;
	unwatch(conn);
	conn->event = event_new(conn->loop->base, fd, (short)(what | EV_PERSIST), on_event, conn);
	MUST(conn->event != NULL && event_add(conn->event, NULL) == 0);
	conn->event_what = what;
}

static void fail_by_libpq(struct pgconn *conn)
{
	fail(conn, NULL, PQerrorMessage(conn->pq));
}

static void fail_by_result(struct pgconn *conn, const PGresult *result)
{
	const char *primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	fail(conn, PQresultErrorField(result, PG_DIAG_SQLSTATE),
		primary ? primary : PQresultErrorMessage(result));
}

static bool is_good(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* The last result was read: the server is ready again, so what it did is committed. */
static void end_statement(struct pgconn *conn)
{
	PGresult *result = conn->result;

	timer_stop(&conn->deadline);
	conn->result = NULL;
	if (result == NULL) {
		fail(conn, NULL, "the server answered nothing");
		return;
	}
	if (is_good(result)) {
		conn->state = PGCONN_IDLE;
		conn->ops->answered(conn->arg, result);
	} else {
		fail_by_result(conn, result);
	}
	PQclear(result);
}

/* The first error stays: what the server says behind it is about the connection. */
static void keep_result(struct pgconn *conn, PGresult *result)
{
	if (conn->result && !is_good(conn->result)) {
		PQclear(result);
		return;
	}
	PQclear(conn->result);
	conn->result = result;
}

static void read_results(struct pgconn *conn)
{
	PGresult *result;

	while (!PQisBusy(conn->pq)) {
		result = PQgetResult(conn->pq);
		if (result == NULL) {
			end_statement(conn);
			return;
		}
		keep_result(conn, result);
	}
}

static void on_io(evutil_socket_t fd, short what, void *arg);

static void on_input(struct pgconn *conn)
{
	if (!PQconsumeInput(conn->pq) && conn->state == PGCONN_IDLE) {
		fail_by_libpq(conn);
		return;
	}
	/* Where the connection is lost, its last words come as a result. */
	if (conn->state == PGCONN_EXPECT_RESULT)
		read_results(conn);
}

static void watch_socket(struct pgconn *conn, short what)
{
	watch(conn, PQsocket(conn->pq), what, on_io);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct pgconn *conn = arg;
	int unsent = 0;

	CHECK_MAGIC(conn, PGCONN_MAGIC);
	if (conn->state == PGCONN_EXPECT_RESULT)
		unsent = PQflush(conn->pq);
	/* A flush that failed may have left the reason in what the server sent. */
	if (unsent <= 0)
		watch_socket(conn, EV_READ);
	if (what & EV_READ || unsent < 0)
		on_input(conn);
}

void pgconn_query(struct pgconn *conn, const char *sql, unsigned n_values,
	const char *const *values, uint64_t timeout_us)
{
	int unsent;

	CHECK_MAGIC(conn, PGCONN_MAGIC);
	MUST(conn->state == PGCONN_IDLE);
	if (!PQsendQueryParams(conn->pq, sql, (int)n_values, NULL, values, NULL, NULL, 0)) {
		fail_later(conn, PQerrorMessage(conn->pq));
		return;
	}
	conn->state = PGCONN_EXPECT_RESULT;
	loop_timer(conn->loop, &conn->deadline, timeout_us, on_deadline);
	unsent = PQflush(conn->pq);
	if (unsent < 0)
		fail_later(conn, PQerrorMessage(conn->pq));
	else
		watch_socket(conn, unsent ? EV_READ | EV_WRITE : EV_READ);
}

/* ---- connecting ---- */

static void ignore_notice(void *arg, const char *text)
{
	log_debug("notice on a connection of pglane's own: %s", text);
}

static void on_login_event(evutil_socket_t fd, short what, void *arg)
{
	struct pgconn *conn = arg;
	PostgresPollingStatusType poll_status;

	CHECK_MAGIC(conn, PGCONN_MAGIC);
	/* libpq may close this socket and go on with another of the same number. */
	unwatch(conn);
	poll_status = PQconnectPoll(conn->pq);
	switch (poll_status) {
	case PGRES_POLLING_READING:
		watch(conn, PQsocket(conn->pq), EV_READ, on_login_event);
		break;
	case PGRES_POLLING_WRITING:
		watch(conn, PQsocket(conn->pq), EV_WRITE, on_login_event);
		break;
	case PGRES_POLLING_OK:
		timer_stop(&conn->deadline);
		MUST(PQsetnonblocking(conn->pq, 1) == 0);
		watch_socket(conn, EV_READ);
		conn->state = PGCONN_IDLE;
		conn->ops->connected(conn->arg);
		break;
	case PGRES_POLLING_FAILED:
	case PGRES_POLLING_ACTIVE:
	default:
		fail_by_libpq(conn);
		break;
	}
}

static const char *sslmode_of(enum tls_mode mode)
{
	switch (mode) {
	case TLS_ALLOW:
		return "allow";
	case TLS_PREFER:
		return "prefer";
	case TLS_REQUIRE:
		return "require";
	case TLS_VERIFY_CA:
		return "verify-ca";
	case TLS_VERIFY_FULL:
		return "verify-full";
	case TLS_DISABLE:
	default:
		return "disable";
	}
}

/*
 * What is not configured is not looked for in somebody's home directory either: after a change of
 * user HOME may even be unreadable, which libpq takes for an error. It takes a path below a file
 * for "there is none".
 */
#define NO_FILE "/dev/null/none"

static const char *file_or_none(const char *file)
{
	return file ? file : NO_FILE;
}

/* The authorities of the system stand in for those that are not configured, where any are asked. */
static const char *authorities_of(const struct config_tls *tls)
{
	if (tls->ca_file)
		return tls->ca_file;
	return tls->mode >= TLS_VERIFY_CA ? X509_get_default_cert_file() : NO_FILE;
}

struct pgconn_tls pgconn_tls_of(const struct config_tls *tls)
{
	return (struct pgconn_tls){ .mode = sslmode_of(tls->mode),
		.authorities = authorities_of(tls),
		.certificate = file_or_none(tls->cert_file),
		.key = file_or_none(tls->key_file) };
}

/* address NULL: the host is a directory. Entries whose value is NULL are libpq's defaults. */
static PGconn *start_libpq(const struct pgconn *conn, const char *address)
{
	char port[8];
	const struct {
		const char *key, *value;
	} options[] = {
		{ "host", conn->host },
		{ "hostaddr", address },
		{ "port", port },
		{ "dbname", conn->dbname },
		{ "user", conn->user },
		{ "password", conn->password },
		{ "application_name", conn->application_name },
		{ "options", conn->options },
		{ "client_encoding", "UTF8" },
		{ "gssencmode", "disable" },
		{ "sslmode", conn->sslmode },
		{ "passfile", NO_FILE },
		{ "sslcrl", NO_FILE },
		{ "sslrootcert", conn->sslrootcert },
		{ "sslcert", conn->sslcert },
		{ "sslkey", conn->sslkey },
	};
	const char *keys[N_ELEMENTS(options) + 1] = { NULL }, *values[N_ELEMENTS(options) + 1] = { NULL };
	size_t i, n = 0;

	(void)snprintf(port, sizeof(port), "%u", conn->port);
	for (i = 0; i < N_ELEMENTS(options); i++) {
		if (options[i].value == NULL)
			continue;
		keys[n] = options[i].key;
		values[n++] = options[i].value;
	}
	return PQconnectStartParams(keys, values, 0);
}

static void connect_to(struct pgconn *conn, const char *address)
{
	conn->pq = start_libpq(conn, address);
	MUST(conn->pq != NULL); /* no memory */
	if (PQstatus(conn->pq) == CONNECTION_BAD) {
		fail_later(conn, PQerrorMessage(conn->pq));
		return;
	}
	(void)PQsetNoticeProcessor(conn->pq, ignore_notice, NULL);
	conn->state = PGCONN_EXPECT_LOGIN;
	/* Before the first poll, libpq wants to be treated as if it had said that it writes. */
	watch(conn, PQsocket(conn->pq), EV_WRITE, on_login_event);
}

static void on_address(void *arg, const struct netaddr *addr, const char *error)
{
	struct pgconn *conn = arg;
	char text[NETADDR_TEXT_BYTES];
	uint16_t port;

	conn->resolve = NULL;
	if (addr)
		connect_to(conn, netaddr_format(addr, text, &port));
	else
		fail_later(conn, error);
}

struct pgconn *pgconn_open(struct loop *loop, struct resolver *resolver,
	const struct pgconn_params *params, const struct pgconn_ops *ops, void *arg)
{
	struct pgconn *conn = mem_zalloc(sizeof(*conn));
	struct pgconn_tls tls;
	struct netaddr addr;

	conn->magic = PGCONN_MAGIC;
	conn->state = PGCONN_EXPECT_ADDRESS;
	conn->loop = loop;
	conn->ops = ops;
	conn->arg = arg;
	conn->fd = -1;
	conn->host = mem_strdup(params->host);
	conn->port = params->port;
	conn->dbname = mem_strdup(params->dbname);
	conn->user = mem_strdup(params->user);
	conn->password = mem_strdup(params->password);
	conn->application_name = mem_strdup(params->application_name);
	conn->options = mem_strdup(params->options);
	tls = pgconn_tls_of(params->tls);
	conn->sslmode = tls.mode;
	conn->sslrootcert = mem_strdup(tls.authorities);
	conn->sslcert = mem_strdup(tls.certificate);
	conn->sslkey = mem_strdup(tls.key);
	strbuf_init(&conn->error_text);
	loop_timer(loop, &conn->deadline, params->connect_timeout_us, on_deadline);
	if (conn->host[0] == '/' || conn->host[0] == '@')
		connect_to(conn, NULL);
	else if (netaddr_literal(conn->host, conn->port, &addr))
		connect_to(conn, conn->host);
	else /* libpq itself would wait for the answer */
		conn->resolve = resolver_ask(resolver, conn->host, conn->port, on_address, conn);
	return conn;
}

/* ---- the end ---- */

static void free_conn(struct pgconn *conn)
{
	stop_all(conn);
	if (conn->pq)
		PQfinish(conn->pq);
	if (conn->fd >= 0)
		close(conn->fd);
	mem_free(conn->host);
	mem_free(conn->dbname);
	mem_free(conn->user);
	mem_free(conn->password);
	mem_free(conn->application_name);
	mem_free(conn->options);
	mem_free(conn->sslrootcert);
	mem_free(conn->sslcert);
	mem_free(conn->sslkey);
	strbuf_release(&conn->error_text);
	conn->magic = 0;
	mem_free(conn);
}

/*
 * libpq says Terminate and closes; a duplicate of its descriptor lets us read on to the server's
 * end of file. Without one (no descriptors left), or where libpq closed it already because the
 * server did, there is nothing to wait for.
 */
static void finish_libpq(struct pgconn *conn)
{
	int fd = conn->pq ? PQsocket(conn->pq) : -1;

	stop_all(conn);
	conn->state = PGCONN_EXPECT_EOF;
	conn->fd = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && conn->fd < 0)
		log_warning("no descriptor is free: a connection of pglane's own is closed without "
			    "waiting for the server");
	if (conn->pq)
		PQfinish(conn->pq);
	conn->pq = NULL;
	if (conn->fd >= 0 && shutdown(conn->fd, SHUT_WR) < 0) {
		/* It was never connected, or is reset. */
		close(conn->fd);
		conn->fd = -1;
	}
}

/* true: the server's end of file, or an error, was read. */
static bool has_ended(int fd)
{
	char bytes[4096];
	ssize_t n;

	do
		n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	while (n > 0 || (n < 0 && errno == EINTR));
	return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static void tell_closed(struct pgconn *conn)
{
	conn->ops->closed(conn->arg);
	free_conn(conn);
}

static void on_closed_task(struct task *task)
{
	tell_closed(CONTAINER_OF(task, struct pgconn, task));
}

static void on_eof_event(evutil_socket_t fd, short what, void *arg)
{
	struct pgconn *conn = arg;

	CHECK_MAGIC(conn, PGCONN_MAGIC);
	if (has_ended(conn->fd))
		tell_closed(conn);
}

static void on_eof_deadline(struct timer *timer)
{
	struct pgconn *conn = CONTAINER_OF(timer, struct pgconn, deadline);

	log_warning("the server did not close its end of a connection of pglane's own within %u s",
		PGCONN_CLOSE_PATIENCE_US / 1000000u);
	tell_closed(conn);
}

void pgconn_close(struct pgconn *conn)
{
	CHECK_MAGIC(conn, PGCONN_MAGIC);
	MUST(conn->state != PGCONN_EXPECT_EOF);
	finish_libpq(conn);
	if (conn->fd < 0) {
		loop_task(conn->loop, &conn->task, on_closed_task);
		return;
	}
	watch(conn, conn->fd, EV_READ, on_eof_event);
	loop_timer(conn->loop, &conn->deadline, PGCONN_CLOSE_PATIENCE_US, on_eof_deadline);
}

void pgconn_end(struct pgconn **conn_p, uint64_t patience_us)
{
	struct pgconn *conn = *conn_p;
	uint64_t now_us = clock_mono_us(), until_us = now_us + patience_us;

	*conn_p = NULL;
	if (conn == NULL)
		return;
	CHECK_MAGIC(conn, PGCONN_MAGIC);
	if (conn->state != PGCONN_EXPECT_EOF)
		finish_libpq(conn);
	for (; conn->fd >= 0 && !has_ended(conn->fd) && now_us < until_us; now_us = clock_mono_us()) {
		struct pollfd wait = { .fd = conn->fd, .events = POLLIN };

		(void)poll(&wait, 1, (int)((until_us - now_us + 999) / 1000));
	}
	free_conn(conn);
}
