/* SPDX-License-Identifier: ISC */
/*
 * The forwarder from inside, for its own files only: forwarder.c has its life and what it asks of the database, forwarder_send.c what it asks of Weaviate,
 * forwarder_orders.c what the console asks of it.
 */
#ifndef SERVICE_FORWARDER_PRIV_H
#define SERVICE_FORWARDER_PRIV_H

#include "service/flight.h"
#include "service/forwarder.h"
#include "service/outbox_meter.h"
#include "service/pglink.h"
#include "service/wv_guard.h"
#include "service/wv_store.h"

#define FORWARDER_MAGIC 0x46574452u

/* The statement under way. STALE: of an outbox that is not ours any more. */
enum job { JOB_NONE, JOB_LEASE, JOB_FLIGHT, JOB_ORDER, JOB_STALE };

struct order {
	TAILQ_ENTRY(order) link;
	struct forwarder *forwarder;
	enum outbox_order what;
	char *type, *key; /* OUTBOX_RETRY; NULL: all */
	outbox_done *done;
	void *arg;
	uint64_t asked_us; /* of the database; 0: not yet */
	struct timer deadline;
};

TAILQ_HEAD(flight_list, flight);
TAILQ_HEAD(order_list, order);

struct complaint {
	char text[OUTBOX_TEXT_BYTES]; /* the last one; "": all is well */
	uint64_t said_us;
};

struct forwarder {
	uint32_t magic;
	struct loop *loop;
	struct config *config;
	struct http *http;
	struct wv_store *store;
	struct wv_guard *guard;
	struct pglink *link;
	struct flight_list flights;
	unsigned n_flights, n_answers; /* of them, those that wait for Weaviate's answer */
	struct order_list orders;
	enum job job;
	struct flight *job_flight; /* NULL: it was dropped meanwhile */
	struct order *job_order;
	uint64_t asked_us; /* JOB_LEASE */
	unsigned n_asked;  /* the most notes, or keys */
	uint64_t glance_from_us; /* the database is not asked for the metrics' sake before */
	struct timer poll;
	bool is_due, is_paused, is_draining, is_kept_out;
	unsigned span_max; /* less than outbox_batch after requests that were not answered in time */
	struct complaint database, weaviate, class;
	char *class_name; /* what the last is about */
	struct outbox_meter meter;
	void (*drained)(void *arg);
	void *drained_arg;
};

bool forwarder_is_on(const struct forwarder *forwarder);
/* After anything that may have changed what is wanted of the database: it is asked at the end of this turn. */
void forwarder_look_around(struct forwarder *forwarder);

/* false: the same was said within the last minute. */
bool complaint_is_news(struct complaint *complaint, const char *text);
void complaint_end(struct complaint *complaint, const char *what); /* what: a line for the log, if there was one */

/* ---- forwarder_send.c ---- */

void forwarder_set_state(struct forwarder *forwarder, struct flight *flight, enum flight_state state);
/* The next step of a flight that waits for nothing. It may be gone when this returns. */
void forwarder_go_on(struct forwarder *forwarder, struct flight *flight);
/* What is not ended stays leased until the lease is over. */
void forwarder_drop(struct forwarder *forwarder, struct flight *flight);
void forwarder_drop_all(struct forwarder *forwarder);
void forwarder_drop_idle(struct forwarder *forwarder); /* those that neither have been sent nor have an end to tell */
void forwarder_wake_senders(struct forwarder *forwarder); /* flights that wait for their turn to send */

/* ---- forwarder_orders.c ---- */

void forwarder_ask_order(struct forwarder *forwarder, struct order *order); /* the link is ready */
void forwarder_take_order_rows(struct forwarder *forwarder, struct order *order, const PGresult *rows);
void forwarder_fail_order(struct forwarder *forwarder, struct order *order, const char *text); /* frees it */
void forwarder_fail_glances(struct forwarder *forwarder); /* the database is away: they do not wait for it */
void forwarder_fail_orders(struct forwarder *forwarder, const char *text);

#endif
