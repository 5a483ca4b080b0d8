/* SPDX-License-Identifier: ISC */
/*
 * Asks one server one question, again and again, over one connection that stays open between the
 * questions: so its end is seen at once, and asking is cheap. A connection that fails is closed and
 * made anew after the pause; each failure is told.
 *
 * The connection is one of the budget's: see permit.h. Owner: the control thread; everything on its
 * loop. No callback is called from within a call of the owner's.
 */
#ifndef SERVICE_PROBE_H
#define SERVICE_PROBE_H

#include <libpq-fe.h>

#include "base/list.h"
#include "config/config.h"
#include "io/netaddr.h"
#include "service/permit.h"

/* Filled by who has the permits: one for each probe. */
struct probe_permits {
	const struct permit_ops *ops;
	void *(*new)(void *arg, void (*granted)(void *probe), void *probe);
	void (*free)(void *permit);
	void *arg;
};

struct probe_ops {
	void (*answered)(void *arg, const PGresult *result); /* the callback's only */
	void (*failed)(void *arg, const char *why);
};

LIST_HEAD(probe_list, probe);

struct probe_params {
	struct loop *loop;
	struct resolver *resolver;
	const struct probe_permits *permits; /* outlives the probe */
	const char *database;		     /* an entry of [databases]; copied */
	const char *sql;		     /* a constant */
	struct probe_list *closing;	     /* where it is from probe_close() to its end */
};

/* Asks at once, then once a period of the configuration's. */
struct probe *probe_new(const struct probe_params *params, struct config *config,
	const struct probe_ops *ops, void *arg);
/* false: the server, or the user, is another one now; nothing was changed. */
bool probe_change(struct probe *probe, struct config *config) WARN_UNUSED;
/* It is told nothing more, and goes when its connection is closed. Nulls. */
void probe_close(struct probe **probe);
/* The end of the process: all that are closing, here and now, after waiting at most patience_us for
 * the server of each. */
void probe_end_closing(struct probe_list *closing, uint64_t patience_us);

#endif
