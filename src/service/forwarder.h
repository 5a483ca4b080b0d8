/* SPDX-License-Identifier: ISC */
/*
 * Brings Weaviate in line with the outbox (sql/README.md): leases notes, reads the entities' present state, sends it, ends the notes. See README.md for the
 * states and for what is promised.
 *
 * On while weaviate_url and an outbox's database are configured. Its connection to the database is kept, with its permit, while it is on.
 *
 * Owner: the control thread; everything on its loop.
 */
#ifndef SERVICE_FORWARDER_H
#define SERVICE_FORWARDER_H

#include "config/config.h"
#include "io/loop.h"
#include "record/outbox.h"
#include "service/permit.h"

struct forwarder;

struct forwarder *forwarder_new(struct loop *loop, struct config *config, const struct permit_ops *permits, void *permit); /* references config */
void forwarder_change(struct forwarder *forwarder, struct config *config);
/* May it have a connection? Not while the database is paused: what it has is closed as soon as nothing is under way on it. At first it may. */
void forwarder_allow(struct forwarder *forwarder, bool is_allowed);
void forwarder_granted(struct forwarder *forwarder); /* the permit is there, after PERMIT_WAITS */
/*
 * What the console asks. argument: of OUTBOX_RETRY, "TYPE", "TYPE:KEY" or "" for all. done is called once, from here or later; at the latest when the forwarder
 * is freed.
 */
void forwarder_order(struct forwarder *forwarder, enum outbox_order order, const char *argument, outbox_done *done, void *arg);
/*
 * Nothing more is begun; what has been sent is waited for, and its notes are ended. drained is called once nothing is open any more, from here or later, unless it is
 * freed before; it must not free the forwarder.
 */
void forwarder_drain(struct forwarder *forwarder, void (*drained)(void *arg), void *arg);
/*
 * The end: what flies is left to its lease's end. Permit and slot are given back before it returns, after waiting at most patience_us for the server. Nulls; NULL
 * is fine.
 */
void forwarder_free(struct forwarder **forwarder, uint64_t patience_us);

#endif
