/* SPDX-License-Identifier: ISC */
/*
 * The sampler's place in the daemon: once a sample_period it visits the workers for their counters,
 * asks the forwarder how the outbox is, makes one sample of them, and hands it to the sampler, whose connection holds a permit and a slot
 * of the budget like any other (permits.h).
 * Threads: everything here is called, and runs, on the control thread.
 */
#ifndef DAEMON_METRICS_H
#define DAEMON_METRICS_H

#include "daemon/forwarding.h"
#include "daemon/permits.h"

struct metrics;

/* The cluster's workers are made by then. settings is referenced. mailbox: the control thread's. forwarding is closed after it. */
struct metrics *metrics_open(struct cluster *cluster, struct loop *loop, struct mailbox *mailbox,
	struct permits *permits, struct forwarding *forwarding, struct settings *settings);
/* RELOAD, SET; after metrics_close() (NULL) it does nothing. */
void metrics_change(struct metrics *metrics, struct settings *fresh);
/*
 * Ends it: permit and slot are back in the ledger when this returns, after at most a moment's wait
 * for the server's end of file. Nulls; NULL is fine.
 */
void metrics_close(struct metrics **metrics);

#endif
