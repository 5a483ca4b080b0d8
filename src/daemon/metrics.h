/* SPDX-License-Identifier: ISC */
/*
 * The sampler's place in the daemon: once a sample_period it visits the workers for their counters,
 * makes one sample of them, and hands it to the sampler, whose connection holds a permit of the
 * default class's lane and a slot of the budget like any other.
 * Threads: everything here is called, and runs, on the control thread.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "session/worker.h"

struct metrics;

/* The cluster's workers are made by then. settings is referenced. mailbox: the control thread's. */
struct metrics *metrics_open(struct cluster *cluster, struct loop *loop, struct mailbox *mailbox,
	struct settings *settings);
/* RELOAD, SET; after metrics_close() (NULL) it does nothing. */
void metrics_change(struct metrics *metrics, struct settings *fresh);
/* The ledger delivered something to the control port. */
void metrics_on_delivery(struct metrics *metrics);
/*
 * Ends it: permit and slot are back in the ledger when this returns, after at most a moment's wait
 * for the server's end of file. Nulls; NULL is fine.
 */
void metrics_close(struct metrics **metrics);

#endif
