/* SPDX-License-Identifier: ISC */
/* Between daemon.c and orders.c. Owner: the control thread. */
#ifndef DAEMON_DAEMON_PRIV_H
#define DAEMON_DAEMON_PRIV_H

#include "daemon/catalogs.h"
#include "daemon/daemon.h"
#include "daemon/forwarding.h"
#include "daemon/metrics.h"
#include "daemon/permits.h"
#include "daemon/replicas.h"
#include "daemon/searches.h"
#include "session/worker.h"

struct daemon {
	struct cluster cluster;
	struct loop loop;
	struct mailbox mailbox;
	struct settings *settings;
	struct permits permits;
	struct metrics *metrics;
	struct forwarding *forwarding;
	struct searches *searches;
	struct catalog_service *catalogs;
	struct replica_watch *replicas;
	struct event *signals[8];
	unsigned n_signals;
	unsigned n_quiet;
	struct timer deadline;
	bool delivery; /* atomic: the ledger put something into the control port */
	const struct daemon_options *options;
	char *config_file; /* absolute: the daemon changes directory */
	int exit_code;
};

/* A new configuration, whose reference is taken; what a reload may not change is in *text. false: it is refused. */
bool daemon_apply(struct daemon *daemon, struct settings *fresh, struct strbuf *text);
/* Loads the file anew. false: the old one stays; *text says why. */
bool daemon_reload(struct daemon *daemon, struct strbuf *text);
/* Fills what the console asks of the control thread by mails, but for the shutdown. */
void daemon_take_orders(struct daemon *daemon);

#endif
