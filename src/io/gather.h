/* SPDX-License-Identifier: ISC */
/*
 * What goes out in one send: pieces of the receive buffer as they lie there, and small messages of
 * our own beside them. Pieces are borrowed until gather_flush(); neighbours merge. One per
 * direction and thread; it empties itself into its stream when it is full.
 */
#ifndef IO_GATHER_H
#define IO_GATHER_H

#include "io/stream.h"
#include "pgw/cursor.h"

#define GATHER_PIECES 64
#define GATHER_SCRATCH_BYTES 65536u
#define GATHER_JOIN_BYTES 4096u

struct gather {
	struct stream *stream;
	struct iovec pieces[GATHER_PIECES];
	int n_pieces;
	size_t n_scratch;
	bool broken;	  /* a send failed: what comes after is dropped */
	uint64_t n_bytes; /* added since gather_begin() */
	uint8_t scratch[GATHER_SCRATCH_BYTES];
};

void gather_begin(struct gather *gather, struct stream *stream);
void gather_ref(struct gather *gather, const void *bytes, size_t n); /* borrowed until the flush */
void gather_copy(struct gather *gather, const void *bytes,
	size_t n); /* copied when it fits, else sent at once */
/* Room for a message of at most n <= GATHER_SCRATCH_BYTES bytes: build it with the writer, then
 * gather_commit(). */
struct pgw_writer gather_writer(struct gather *gather, size_t n);
void gather_commit(struct gather *gather,
	const struct pgw_writer *writer); /* the writer's bytes; MUST: no error in it */
/* Takes back what was added since gather_begin(). false: some of it has left already. */
bool gather_drop(struct gather *gather) WARN_UNUSED;
bool gather_flush(struct gather *gather); /* false: the stream is broken */

#endif
