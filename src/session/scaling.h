/* SPDX-License-Identifier: ISC */
/*
 * Acts on what lane/scale.h decides: opens servers ahead of demand, closes what is not needed, and
 * limits the budget to what PostgreSQL grants. The whole is decided by worker 0 once a second, and
 * at each refused login by the worker that met it; each worker opens servers of its own. Decisions
 * are kept for SHOW SCALING.
 */
#ifndef SESSION_SCALING_H
#define SESSION_SCALING_H

#include <pthread.h>

#include "lane/lane.h"
#include "lane/scale.h"

#define SCALING_LINES 64u

struct server;
struct worker;
struct cluster;

/* One decision, with the figures it was taken on. */
struct scaling_line {
	uint64_t wall_us;
	struct scale_decision decision;
	uint32_t open, in_use, effective;
};

struct scaling {
	pthread_mutex_t lock; /* taken before the ledger's */
	/* Guarded: */
	struct scale scale;
	struct scaling_line lines[SCALING_LINES]; /* a ring */
	uint64_t n_lines;			  /* ever */
	/* Atomic: */
	uint32_t n_alive;   /* logged in, and not closing */
	uint32_t n_open;    /* the same, and those whose end of file was not read yet */
	uint32_t n_logins;  /* that may still begin ahead of demand in this second */
	bool logins_are_warm; /* for any pool with clients, not only those in use */
};

void scaling_init(struct scaling *scaling);
void scaling_tick(struct worker *worker); /* each worker, once a second */
void scaling_server_open(struct server *server);
void scaling_server_closing(struct server *server); /* once, before it is gone */
void scaling_server_gone(struct server *server); /* its slot is given back */
void scaling_refused(struct worker *worker);	 /* by PostgreSQL: 53300 */

/* For the console, any thread: the present, and the decisions, newest first. Returns their number. */
unsigned scaling_read(struct cluster *cluster, uint32_t budget,
	struct scaling_line *present_r, struct scaling_line lines[SCALING_LINES]);

#endif
