/* SPDX-License-Identifier: ISC */
/*
 * Notes of one entity type under one lease, from the outbox to Weaviate and back. Pure: what is read of them, what is to be sent next, what an answer
 * means for each, and how it ends in the outbox. The forwarder does the asking.
 *
 * A flight goes in rounds: the objects of as many notes as one batch has room for are read, sent, and their notes ended, before the next are read.
 *
 * An item's life: UNREAD -> TO_DELETE -> TO_STORE -> OVER -> ENDED, where each but the first and last may be left out: gone or of another organization's
 * tenant before is TO_DELETE, there is TO_STORE; what cannot be sent is OVER at once. DOUBTFUL: it was sent and not answered.
 *
 * Times are mono_us. Owner: the forwarder; the loop's thread.
 */
#ifndef SERVICE_FLIGHT_H
#define SERVICE_FLIGHT_H

#include <libpq-fe.h>

#include "base/list.h"
#include "config/config.h"
#include "io/loop.h"
#include "service/outbox_sql.h"
#include "service/wv_answer.h"
#include "service/wv_batch.h"
#include "service/wv_id.h"

#define FLIGHT_TYPE_BYTES 201u /* 50 characters */

enum flight_stage { ITEM_UNREAD, ITEM_TO_DELETE, ITEM_TO_STORE, ITEM_DOUBTFUL, ITEM_OVER, ITEM_ENDED };

struct flight_item {
	enum flight_stage stage;
	char key[OUTBOX_KEY_BYTES], gen[24], id[WV_ID_BYTES];
	char organization[OUTBOX_KEY_BYTES]; /* the note's until the object is read; "": none */
	char tenant[OUTBOX_KEY_BYTES];	     /* where it is to be; "": the collection has none */
	char old_tenant[OUTBOX_KEY_BYTES];   /* where it is to be deleted */
	bool is_gone;			     /* deleted, or never there */
	bool goes_alone;		     /* many at once were deleted, and it was not said to be among them */
	char *collection, *properties, *vector;
	char checksum[65];
	uint64_t age_us; /* of the note when it was leased */
	uint64_t took_us; /* the request that stored it */
	unsigned n_dimensions;
	struct wv_verdict verdict; /* DONE, RETRY or PARK, once it is OVER */
};

/* The list a flight is on follows from it; see forwarder.c. */
enum flight_state {
	FLIGHT_EXPECT_OBJECTS, /* waits for the database's turn, or its answer */
	FLIGHT_EXPECT_STORE,   /* for Weaviate to work again, or for its turn to send */
	FLIGHT_EXPECT_ANSWER,
	FLIGHT_EXPECT_CALM, /* for what was sent and not answered to be over for certain */
	FLIGHT_EXPECT_END,  /* of notes: as EXPECT_OBJECTS */
	FLIGHT_EXPECT_WRITER, /* a writer holds a note that was delivered: a while, then once more */
	FLIGHT_EXPECT_DONE,   /* as EXPECT_OBJECTS */
};

struct flight {
	uint32_t magic;
	TAILQ_ENTRY(flight) link;
	enum flight_state state;
	char lease[24], type[FLIGHT_TYPE_BYTES];
	uint64_t leased_us, write_timeout_us; /* the lease is twice the latter */
	struct flight_item *items;
	unsigned n_items, n_read; /* the first n_read are read; those below round_begin have ended */
	unsigned round_begin;
	/* The request under way, or next. */
	struct wv_batch batch;
	unsigned *sent; /* indices of items */
	unsigned n_sent;
	unsigned span;	   /* the most objects in the next batch */
	unsigned n_blamed; /* single objects in a row that the server could not store */
	unsigned read_span, n_unreadable; /* the same of reading */
	uint64_t doubt_until_us;
	unsigned n_waits; /* for writers, in this round */
	bool has_batch; /* batch.body is the request's */
	bool deletes;	/* it is of deletions */
	bool no_metadata;
	/* The forwarder's. */
	void *owner;
	struct http_call *call;
	struct timer timer;
};

struct flight *flight_new(const char *lease, const char *type, uint64_t now_us, uint64_t write_timeout_us);
void flight_free(struct flight **flight); /* nulls; the forwarder's fields are its own to end first */
/* A row of outbox_lease_sql. */
void flight_add_note(struct flight *flight, const PGresult *rows, int row);
/* May more be read or sent, so that it is over while the lease lasts? */
bool flight_has_time(const struct flight *flight, uint64_t now_us);
/* Keys of the notes to be read next, at most n_max, as an array. How many; 0: all have been read. */
unsigned flight_unread(const struct flight *flight, unsigned n_max, struct strbuf *keys);
/* The rows of outbox_read_sql: the beginning of what was asked for. */
void flight_take_objects(struct flight *flight, const PGresult *rows, const struct config *config);
/*
 * The n that were asked for could not be read, because of one of them, perhaps: fewer are asked for next, until a single one is over with this text; and the rest too, when
 * several in a row are.
 */
void flight_fail_unread(struct flight *flight, unsigned n, const char *text);

enum flight_step { FLIGHT_DELETE, FLIGHT_STORE, FLIGHT_END };
/* What is next; *path_r (the caller frees it; NULL at the END) is what follows the URL, and batch.body is to be sent, if has_batch. */
enum flight_step flight_next(struct flight *flight, const struct config *config, unsigned span_max, char **path_r);
/*
 * The answer to it. What it came to as a whole: of WV_STORE, WV_REFUSED and WV_UNKNOWN the forwarder has to think; after the others flight_next() goes on.
 */
struct wv_verdict flight_take_answer(struct flight *flight, const struct http_answer *answer, uint64_t sent_us);
/* Nothing that was sent can arrive any more: doubtful ones count as failed, or stay with the lease, where somebody else is to blame. */
void flight_calm(struct flight *flight, bool is_their_fault);
bool flight_has_doubts(const struct flight *flight);

/* Parameters of a statement, and what they point at. */
struct flight_params {
	struct strbuf texts[OUTBOX_PARAMS_MAX];
	const char *values[OUTBOX_PARAMS_MAX];
};
void flight_end_params(const struct flight *flight, struct flight_params *params); /* of items that are OVER: FINISH_PARAMS */
void flight_params_release(struct flight_params *params);

struct flight_counts {
	unsigned n_stored, n_deleted, n_failed, n_parked;
};
/* OVER becomes ENDED; lag_us is called with the age of each note that was delivered. */
struct flight_counts flight_ended(struct flight *flight, uint64_t now_us, void (*lag)(void *arg, uint64_t age_us), void *arg);

#endif
