/* SPDX-License-Identifier: ISC */
/*
 * What the replica watch learns, brought to the data path: into the replica_status of the registry,
 * and by a mail to the workers whenever a lane may use a replica that it could not, or no more.
 * Threads: everything here is called, and runs, on the control thread.
 */
#ifndef DAEMON_REPLICAS_H
#define DAEMON_REPLICAS_H

#include "daemon/permits.h"

struct replica_watch;

/* The cluster's workers are made by then. settings is referenced. */
struct replica_watch *replica_watch_open(struct cluster *cluster, struct loop *loop,
	struct permits *permits, struct settings *settings);
/* RELOAD, SET; behind the mails that tell the workers. NULL is fine. */
void replica_watch_change(struct replica_watch *watch, struct settings *fresh);
/* Permits and slots are back in the ledger when it returns. Nulls; NULL is fine. */
void replica_watch_close(struct replica_watch **watch);

#endif
