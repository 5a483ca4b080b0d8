/* SPDX-License-Identifier: ISC */
/*
 * The queue of replies a server still owes, in order. It says whose each message is: the client's,
 * or ours to swallow (replayed Parse, parameters, BEGIN, reset), or one we answer ourselves because
 * nothing was sent (local). There is no other such mechanism. Pure. Owner: the server's worker.
 */
#ifndef SESSION_EXPECT_H
#define SESSION_EXPECT_H

#include "base/base.h"
#include "pgw/fingerprint.h"

/* Replies that end each kind, by the PostgreSQL manual's "Message Flow". */
enum expect_kind {
	EXPECT_QUERY,	 /* … ReadyForQuery (simple query, function call) */
	EXPECT_PARSE,	 /* ParseComplete */
	EXPECT_BIND,	 /* BindComplete */
	EXPECT_DESCRIBE, /* RowDescription or NoData (a statement's ParameterDescription comes
			    before) */
	EXPECT_EXECUTE,	 /* CommandComplete, EmptyQueryResponse or PortalSuspended */
	EXPECT_CLOSE,	 /* CloseComplete */
	EXPECT_SYNC,	 /* ReadyForQuery */
};

enum expect_flag {
	EXPECT_SWALLOW = 1 << 0, /* ours: the client sees nothing of it, errors of what it asked for
				    excepted */
	EXPECT_LOCAL = 1 << 1,	 /* nothing was sent: its reply is made here, in its turn */
	/* PARSE: `hash` was put into the server's copies when it was sent; CLOSE, and EXECUTE or
	 * QUERY of a DEALLOCATE: taken out of them */
	EXPECT_COPY = 1 << 2,
	EXPECT_ALL = 1 << 3,	 /* EXECUTE of DEALLOCATE ALL: all copies were taken out */
	EXPECT_UNNAMED = 1 << 4, /* PARSE: of the unnamed statement */
	EXPECT_AFTER_COPY = 1 << 6, /* SYNC: sent behind a CopyDone or CopyFail */
	EXPECT_SETUP = 1 << 5,	    /* QUERY: parameters; a failure of it is the client's */
	EXPECT_FAULT = 1 << 7,	    /* BIND: of nothing; its client is told client->fault instead */
	EXPECT_MASKED = 1 << 14,    /* QUERY: some of its statements are ours, by the bits of hash.lo, see restore.h */
	EXPECT_LISTEN = 1 << 13,    /* QUERY: of listen_move.c, or of a listener; SYNC: a fence of a listener, of worker hash.hi and number hash.lo */
	EXPECT_REPLAY = 1 << 12,    /* BIND: its batch was kept, see replay.h */
	EXPECT_CLEARS = 1 << 15,    /* QUERY: of ours; what is behind it must not have run when it fails */
	EXPECT_ANSWER = 1 << 8,	    /* of a question of pin_ask.c or leak.c, which reads the rows: an error of it is ours, too */
	EXPECT_AHEAD = 1 << 9,	    /* of ahead.h: what is behind it does not run when it fails */
	EXPECT_WATCH = 1 << 10,	    /* its rows are looked at, see write_sync.h */
	EXPECT_COMMIT = 1 << 11,    /* QUERY: ours, but what is heard meanwhile is the client's */
};

struct expect {
	uint8_t kind;
	uint8_t counted; /* QUERY, EXECUTE: enum counted (tally.h); `hash` is the key of its statement then */
	uint16_t flags;
	uint32_t n_names; /* of the client's pending names: it gave or took so many, in order */
	struct pgw_hash128 hash; /* BIND: of the copy it uses; else of the flag COPY */
};

#define EXPECT_INLINE 8u
#define EXPECT_MAX                                                                                 \
	16384u /* PostgreSQL may hold back 8 kB of replies, 5 bytes each: a pause before that      \
		  would never end */

#define EXPECT_ROOM 672u /* the most that one message of a client brings, with what goes ahead of it */

struct expect_queue {
	uint32_t head, n, cap; /* a ring; cap is a power of two */
	uint32_t n_of_batch; /* the client's, answered or not, of the batches whose ReadyForQuery is to come */
	struct expect *ring;   /* `first` until it grows */
	struct expect first[EXPECT_INLINE];
};

void expect_init(struct expect_queue *queue);
void expect_release(struct expect_queue *queue);
void expect_push(struct expect_queue *queue, struct expect expect); /* MUST: n < EXPECT_MAX */
static inline bool expect_is_full(const struct expect_queue *queue)
{
	return queue->n >= EXPECT_MAX - EXPECT_ROOM;
}
static inline struct expect *expect_front(struct expect_queue *queue)
{
	return queue->n ? &queue->ring[queue->head] : NULL;
}
static inline struct expect *expect_at(struct expect_queue *queue, uint32_t i)
{
	return &queue->ring[(queue->head + i) & (queue->cap - 1)];
}
static inline void expect_pop(struct expect_queue *queue)
{
	MUST(queue->n > 0);
	queue->head = (queue->head + 1) & (queue->cap - 1);
	queue->n--;
}
/* A ReadyForQuery of the client's came. In session pooling more of its batches may be behind. */
void expect_batch_over(struct expect_queue *queue);
void expect_clear(struct expect_queue *queue); /* empty, and back to the inline ring */

#endif
