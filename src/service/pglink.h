/* SPDX-License-Identifier: ISC */
/*
 * A connection of pglane's own that is kept: opened while it is wanted, opened again when it is lost, with a permit and a slot for all that time. While the
 * database is away the next attempt is put off, twice as long each time up to PGLINK_RETRY_MAX_US, with jitter.
 *
 * One statement at a time: ready -> [pglink_ask -> answered or failed] -> ready … Every call back may call pglink_ask() (where ready or answered says so) and
 * pglink_want().
 *
 * Owner: who made it; everything on the loop's thread.
 */
#ifndef SERVICE_PGLINK_H
#define SERVICE_PGLINK_H

#include "service/permit.h"
#include "service/pgconn.h"

#define PGLINK_RETRY_MIN_US 200000u
#define PGLINK_RETRY_MAX_US 15000000u
#define PGLINK_STATEMENT_TIMEOUT_US 15000000u

struct pglink_ops {
	/* There is a connection and nothing under way: pglink_ask(), or wait for pglink_poke(). */
	void (*ready)(void *arg);
	/* The statement is committed; result is the callback's only. ready follows. */
	void (*answered)(void *arg, const PGresult *result);
	/*
	 * The statement, or the connection: was_asked says whether one was under way. With an SQLSTATE it is PostgreSQL who refused it; without one nobody knows
	 * whether it was carried out. The connection is opened anew.
	 */
	void (*failed)(void *arg, bool was_asked, const struct pgconn_error *error);
	/* The connection is gone, all of it is given back. */
	void (*closed)(void *arg);
};

/* Where to: filled for each attempt. target's strings live as long as config. Returns NULL, or why there is nowhere to go. */
struct pgtarget;
typedef const char *pglink_where(void *arg, struct pgtarget *target_r, uint64_t n_attempts, uint64_t *connect_timeout_us_r);

struct pglink;

struct pglink *pglink_new(struct loop *loop, const char *application_name, const struct permit_ops *permits, void *permit, pglink_where *where,
	const struct pglink_ops *ops, void *arg);
/* From now on it is wanted, or not: then it is closed as soon as nothing is under way. */
void pglink_want(struct pglink *link, bool is_wanted);
void pglink_granted(struct pglink *link); /* the permit is there, after PERMIT_WAITS */
bool pglink_is_ready(const struct pglink *link);
bool pglink_is_closed(const struct pglink *link); /* holds nothing, and waits for nothing but time */
bool pglink_is_put_off(const struct pglink *link); /* the last attempt failed, the next is not due */
/* Only when it is ready. Parameters as text; NULL is null. */
void pglink_ask(struct pglink *link, const char *sql, unsigned n_values, const char *const *values);
/* ready will be called soon, if it is then. */
void pglink_poke(struct pglink *link);
/* The next attempt need not wait; what is open is closed first and opened anew: it may go elsewhere by now. */
void pglink_reopen(struct pglink *link);
/* The end: all is given back when it returns, after waiting at most patience_us for the server. Nulls; NULL is fine. */
void pglink_free(struct pglink **link, uint64_t patience_us);

#endif
