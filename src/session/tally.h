/* SPDX-License-Identifier: ISC */
/*
 * Which statement a server's reply is of, and what it came to: the statistics of fingerprints
 * (classify/fingerprints.h), and what they teach (classify/learned.h). A simple Query is one run, up
 * to its ReadyForQuery; an Execute is one, up to what ends its reply. The rows that a portal gives
 * one Execute after the other are of one run, and so are those that are fetched from a cursor: of its
 * DECLARE, up to the end of the transaction. While workload_detection is off no reply is marked as
 * counted, and nothing is done. Owner: the server's worker.
 */
#ifndef SESSION_TALLY_H
#define SESSION_TALLY_H

#include "classify/learned.h"

/* What a statement is to the statistics. */
enum counted {
	COUNTED_NOT,
	COUNTED_RUN,
	COUNTED_DECLARE, /* of a cursor */
	COUNTED_FETCH,	 /* from one */
};

struct tally_portal {
	uint8_t counted;
	struct pgw_hash128 key;
};

struct tally {
	bool is_used;	   /* in this transaction */
	uint64_t began_us; /* when the reply under way could begin; 0: nothing was owed */
	uint64_t n_tagged; /* rows that its command tags name */
	struct fingerprint_run run; /* the reply under way */
	/* A run that goes on over several replies. */
	bool is_open;
	bool is_cursor; /* it is a DECLARE's */
	struct pgw_hash128 open_key;
	struct fingerprint_run open;
	/* The portals that were bound last, without and with a name. */
	struct tally_portal unnamed, named;
	uint64_t portal; /* hash of that name */
};

struct client;
struct expect;
struct server;
struct statement_route;
struct worker;

/* The route of a text that was decided, and whose fingerprint it has: what is to be counted, and
 * under which entry of the worker's table; what was learned decides where nothing stronger did. */
void tally_route(struct client *client, struct statement_route *route, const char *sql, size_t n);
/* The same for a route that is kept: what was learned may be another. */
void tally_route_again(
	struct client *client, struct statement_route *route, const char *sql, size_t n);

/* It is sent: a Query, a Bind, an Execute. route NULL: of what is not known. */
void tally_queried(
	struct server *server, struct expect *expect, const struct statement_route *route);
void tally_bound(
	struct server *server, const char *portal, const struct statement_route *route);
void tally_executed(struct server *server, struct expect *expect, const char *portal);

/* Of the reply at the front of what the server owes, if that is counted. */
static inline void tally_row(struct tally *tally, uint64_t n_bytes) /* or COPY data; with header */
{
	tally->run.n_returned++;
	tally->run.n_bytes += n_bytes;
}
void tally_tag(struct tally *tally, const uint8_t *tag, size_t n); /* of CommandComplete */
void tally_end(struct server *server, const struct expect *expect, bool suspended);
/* Its client's statement fails, before anything is taken from what the server owes. */
void tally_error(struct server *server, bool timed_out);
void tally_lost(struct server *server); /* and nothing more comes */
void tally_hop(struct server *server);
void tally_transaction_end(struct server *server);

void tally_settings(struct worker *worker); /* they are others */

#endif
