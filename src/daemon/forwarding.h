/* SPDX-License-Identifier: ISC */
/*
 * The forwarder's place in the daemon: the permit of its connection, what the console asks of it, and its end.
 * Threads: everything here is called, and runs, on the control thread.
 */
#ifndef DAEMON_FORWARDING_H
#define DAEMON_FORWARDING_H

#include "daemon/permits.h"
#include "record/outbox.h"

struct forwarding;

struct forwarding *forwarding_open(struct loop *loop, struct permits *permits, struct config *config);
void forwarding_change(struct forwarding *forwarding, struct config *config); /* RELOAD, SET */
/* done is called once; forwarding may be NULL: it has ended. */
void forwarding_order(struct forwarding *forwarding, enum outbox_order order, const char *argument, outbox_done *done, void *arg);
/* Nothing more is begun; what has been sent is waited for. */
void forwarding_drain(struct forwarding *forwarding);
/* Calls then once nothing flies any more, or FORWARDING_PATIENCE_US later; from here or later. forwarding_close() may come first. */
#define FORWARDING_PATIENCE_US 3000000u
void forwarding_await(struct forwarding *forwarding, void (*then)(void *arg), void *arg);
/* Ends it: permit and slot are back in the ledger when this returns. Nulls; NULL is fine. */
void forwarding_close(struct forwarding **forwarding);

#endif
