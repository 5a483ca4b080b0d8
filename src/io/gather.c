/* SPDX-License-Identifier: ISC */
#include "io/gather.h"

void gather_begin(struct gather *gather, struct stream *stream)
{
	MUST(gather->n_pieces == 0);
	gather->stream = stream;
	gather->n_scratch = 0;
	gather->broken = false;
	gather->n_bytes = 0;
}

/* Small pieces side by side: one send(2) of a few hundred copied bytes costs less than a sendmsg(2)
 * of their places. */
static void join_small(struct gather *gather, uint8_t joined[static GATHER_JOIN_BYTES])
{
	size_t n = 0;
	int i;

	for (i = 0; i < gather->n_pieces; i++) {
		if (n + gather->pieces[i].iov_len > GATHER_JOIN_BYTES)
			return;
		memcpy(joined + n, gather->pieces[i].iov_base, gather->pieces[i].iov_len);
		n += gather->pieces[i].iov_len;
	}
	gather->pieces[0] = (struct iovec){.iov_base = joined, .iov_len = n};
	gather->n_pieces = 1;
}

bool gather_flush(struct gather *gather)
{
	uint8_t joined[GATHER_JOIN_BYTES];

	if (gather->n_pieces > 1)
		join_small(gather, joined);
	if (gather->n_pieces > 0 && !gather->broken &&
		!stream_sendv(gather->stream, gather->pieces, gather->n_pieces))
		gather->broken = true;
	gather->n_pieces = 0;
	gather->n_scratch = 0;
	return !gather->broken;
}

void gather_ref(struct gather *gather, const void *bytes, size_t n)
{
	union {
		const void *in;
		void *out;
	} pun = {.in = bytes};
	struct iovec *last;

	if (n == 0)
		return;
	gather->n_bytes += n;
	if (gather->n_pieces > 0) {
		last = &gather->pieces[gather->n_pieces - 1];
		if ((const uint8_t *)last->iov_base + last->iov_len == bytes) {
			last->iov_len += n;
			return;
		}
		if (gather->n_pieces == GATHER_PIECES)
			(void)gather_flush(gather);
	}
	gather->pieces[gather->n_pieces++] = (struct iovec){.iov_base = pun.out, .iov_len = n};
}

void gather_copy(struct gather *gather, const void *bytes, size_t n)
{
	if (n > GATHER_SCRATCH_BYTES) {
		gather_ref(gather, bytes, n);
		(void)gather_flush(gather);
		return;
	}
	if (gather->n_pieces == GATHER_PIECES || gather->n_scratch + n > GATHER_SCRATCH_BYTES)
		(void)gather_flush(gather);
	memcpy(gather->scratch + gather->n_scratch, bytes, n);
	gather->n_scratch += n;
	gather_ref(gather, gather->scratch + gather->n_scratch - n, n);
}

bool gather_drop(struct gather *gather)
{
	uint64_t n_bytes = 0;
	int i;

	for (i = 0; i < gather->n_pieces; i++)
		n_bytes += gather->pieces[i].iov_len;
	if (n_bytes != gather->n_bytes)
		return false;
	gather->n_pieces = 0;
	gather->n_scratch = 0;
	gather->n_bytes = 0;
	return true;
}

struct pgw_writer gather_writer(struct gather *gather, size_t n)
{
	MUST(n <= GATHER_SCRATCH_BYTES);
	if (gather->n_pieces == GATHER_PIECES || gather->n_scratch + n > GATHER_SCRATCH_BYTES)
		(void)gather_flush(gather);
	return pgw_writer_on(gather->scratch + gather->n_scratch, n);
}

void gather_commit(struct gather *gather, const struct pgw_writer *writer)
{
	MUST(writer->err == PGW_OK && writer->data == gather->scratch + gather->n_scratch);
	gather->n_scratch += writer->len;
	gather_ref(gather, writer->data, writer->len);
}
