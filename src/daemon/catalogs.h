/* SPDX-License-Identifier: ISC */
/*
 * The reader of catalogs' place in the daemon: which databases there are, its permit, and what it
 * learns for the workers, each by a mail with a reference to one immutable struct catalogs.
 * Threads: everything here is called, and runs, on the control thread.
 */
#ifndef DAEMON_CATALOGS_H
#define DAEMON_CATALOGS_H

#include "daemon/permits.h"

struct catalog_service;

/* The cluster's workers are made by then. settings is referenced. */
struct catalog_service *catalogs_open(
	struct cluster *cluster, struct loop *loop, struct permits *permits, struct settings *settings);
/* RELOAD, SET: all are read anew. After catalogs_close() (NULL) it does nothing. */
void catalogs_change(struct catalog_service *service, struct settings *fresh);
/* As catalog_reader_ask(); after catalogs_close() (NULL) the answer is no. */
void catalogs_refresh(struct catalog_service *service, const char *database,
	void (*done)(void *done_arg, bool ok, const char *text), void *done_arg);
/* Permit and slot are back in the ledger when this returns. Nulls; NULL is fine. */
void catalogs_close(struct catalog_service **service);

#endif
