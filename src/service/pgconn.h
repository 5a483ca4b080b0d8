/* SPDX-License-Identifier: ISC */
/*
 * One connection of pglane's own to PostgreSQL: libpq, non-blocking, on a loop. Nothing here ever
 * waits: names are resolved by the loop's resolver, connecting, asking and closing go on by events,
 * and each has a deadline.
 *
 * Life: pgconn_open -> connected -> [pgconn_query -> answered]... -> pgconn_close -> closed.
 * `failed` may come instead of `connected` or `answered`, or between them; the connection is then
 * of no more use, and its owner calls pgconn_close(). Callbacks are called by the loop, one at a
 * time, never from within a call of the owner's; each may call back (pgconn_query, pgconn_close).
 *
 * Closed means that the server closed its end: until then it counts us among its connections, and
 * so must the owner. It is waited for at most PGCONN_CLOSE_PATIENCE_US.
 *
 * Owner: whoever opened it; everything on the loop's thread.
 */
#ifndef SERVICE_PGCONN_H
#define SERVICE_PGCONN_H

#include <libpq-fe.h>

#include "config/config.h"
#include "io/netaddr.h"

#define PGCONN_CLOSE_PATIENCE_US 5000000u

/* Where and as whom. All borrowed, for the time of pgconn_open() only. */
struct pgconn_params {
	const char *host; /* a name, an address, or a directory of unix sockets */
	uint16_t port;
	const char *dbname, *user;
	const char *password; /* NULL: none */
	const char *application_name;
	const char *options; /* as PGOPTIONS: "-c statement_timeout=10000"; may be NULL */
	const struct config_tls *tls;
	uint64_t connect_timeout_us; /* to the end of the login */
};

struct pgconn_error {
	char sqlstate[6]; /* "" when it is not PostgreSQL who says it */
	const char *text; /* one line; the callback's only */
};

struct pgconn_ops {
	void (*connected)(void *arg); /* logged in: ask */
	/*
	 * The statement ended well and its transaction is committed. result is its last one; it is
	 * the connection's and lives until the callback returns.
	 */
	void (*answered)(void *arg, const PGresult *result);
	void (*failed)(void *arg, const struct pgconn_error *error); /* at most once */
	void (*closed)(void *arg); /* the last; the struct is gone when it returns */
};

struct pgconn;

struct pgconn *pgconn_open(struct loop *loop, struct resolver *resolver,
	const struct pgconn_params *params, const struct pgconn_ops *ops, void *arg);
/* One statement with text parameters (NULL is null); only after connected or answered. */
void pgconn_query(struct pgconn *conn, const char *sql, unsigned n_values,
	const char *const *values, uint64_t timeout_us);
/* In any state, once. */
void pgconn_close(struct pgconn *conn);
/*
 * Ends it here and now, whatever it was at (closing too), without any callback: waits at most
 * patience_us for the server to close its end. For a process that is about to end. Nulls; NULL is
 * fine.
 */
void pgconn_end(struct pgconn **conn, uint64_t patience_us);

/* libpq's sslmode, sslrootcert, sslcert and sslkey for a configuration; borrowed from it. */
struct pgconn_tls {
	const char *mode, *authorities, *certificate, *key;
};
struct pgconn_tls pgconn_tls_of(const struct config_tls *tls);

#endif
