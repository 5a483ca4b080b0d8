/* SPDX-License-Identifier: ISC */
/*
 * Reads the catalogs of the databases, one after the other: at the start, once a catalog_period, on
 * RELOAD and when asked. A connection is opened for one reading and closed again; between readings
 * nothing is held. What was learned is published as an immutable struct catalogs. While a database
 * is away, or refuses, what is known of it stays, and the next attempt is put off, twice as long
 * each time up to a catalog_period, with jitter; the log says so once a minute.
 *
 * Asked as catalog_user, else the entry's own user, else metrics_user, else a user whose clients are
 * there, if the auth_file has the password in plain text. No right but CONNECT is needed.
 *
 * Owner: the control thread; everything on its loop.
 */
#ifndef SERVICE_CATALOG_READER_H
#define SERVICE_CATALOG_READER_H

#include "classify/catalog.h"
#include "config/config.h"
#include "io/netaddr.h"
#include "service/permit.h"

#define CATALOG_LOOK_US 1000000u /* how often it is seen what there is and what is due */

struct catalog_reader;

/* Filled by its owner. */
struct catalog_reader_ops {
	/* Calls catalog_reader_add() for each database there is, the important ones first. */
	void (*databases)(void *arg, struct catalog_reader *reader);
	/* May it be connected to? Not while it is paused: then it may be about to be dropped. */
	bool (*may_read)(void *arg, const char *database);
	/* A connection to it is about to be made, and is closed. false: not now, after all. */
	bool (*begins)(void *arg, const char *database);
	void (*ended)(void *arg);
	/* What is known from now on: a new one; the owner takes references of its own. */
	void (*learned)(void *arg, struct catalogs *catalogs);
};

struct catalog_reader *catalog_reader_new(struct loop *loop, struct config *config,
	const struct permit_ops *permits, void *permit, const struct catalog_reader_ops *ops,
	void *arg); /* references config */
void catalog_reader_change(struct catalog_reader *reader, struct config *config); /* reads all anew */
/* user: one whose clients are there; NULL: nobody's. */
void catalog_reader_add(struct catalog_reader *reader, const char *database, const char *user);
void catalog_reader_granted(struct catalog_reader *reader); /* after PERMIT_WAITS */
/*
 * Reads a database (NULL: all of them) now. done is called once, from here or later: ok, or text
 * says what could not be read and why.
 */
void catalog_reader_ask(struct catalog_reader *reader, const char *database,
	void (*done)(void *done_arg, bool ok, const char *text), void *done_arg);
/*
 * The end. Permit and slot are given back before it returns, after waiting at most patience_us for
 * the server; who asked is answered. Nulls; NULL is fine.
 */
void catalog_reader_free(struct catalog_reader **reader, uint64_t patience_us);

#endif
