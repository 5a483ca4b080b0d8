/* SPDX-License-Identifier: ISC */
/*
 * Permits and slots of the connections that pglane makes on its own behalf: of the default class's
 * lane, at the control thread's port. A permit is one connection at a time of one service, which
 * knows it only as the argument of permit_ops.
 * Threads: the control thread.
 */
#ifndef DAEMON_PERMITS_H
#define DAEMON_PERMITS_H

#include "service/permit.h"
#include "session/worker.h"

struct permits {
	struct cluster *cluster;
	unsigned lane;
	LIST_HEAD(, permit) all;
};

struct permit {
	uint32_t magic;
	LIST_ENTRY(permit) link;
	struct permits *permits;
	struct lane_pool *lane_pool; /* never has idle servers: a connection lives for one errand */
	struct lane_ticket ticket;
	unsigned priority;
	void (*granted)(void *arg); /* after PERMIT_WAITS */
	void *arg;
};

extern const struct permit_ops permit_ops; /* of a struct permit */

void permits_open(struct permits *permits, struct cluster *cluster, const struct config *config);
void permits_change(struct permits *permits, const struct config *config); /* RELOAD, SET */
/* The ledger delivered something to the control port. */
void permits_on_delivery(struct permits *permits);
/* How many wait in the queue of the lane: they are no statements. */
unsigned permits_n_waiting(const struct permits *permits);

void permit_open(struct permit *permit, struct permits *permits, unsigned priority,
	void (*granted)(void *arg), void *arg);
void permit_close(struct permit *permit); /* MUST hold nothing */

#endif
