/* SPDX-License-Identifier: ISC */
/*
 * How a service accounts for a connection of pglane's own, which is one of the budget's: it holds a
 * permit and a slot like any other. The order of calls is acquire -> [granted ->] connection ->
 * closing -> closed, or acquire -> cancel.
 *
 * Filled by who owns the ledger (daemon/permits.c), who also calls the service when what it waited
 * for is there. None of these may call the service. Threads: all on the service's loop.
 */
#ifndef SERVICE_PERMIT_H
#define SERVICE_PERMIT_H

enum permit_verdict {
	PERMIT_GRANTED, /* a permit and a slot are held: connect */
	PERMIT_WAITS,	/* the service will be told, unless it cancels */
	PERMIT_REFUSED, /* nothing is held: try again later */
};

struct permit_ops {
	enum permit_verdict (*acquire)(void *permit);
	void (*cancel)(void *permit);  /* of a wait: all goes back */
	void (*closing)(void *permit); /* the permit goes back; the slot is of a closing server */
	void (*closed)(void *permit);  /* the server closed its end: the slot goes back */
};

#endif
