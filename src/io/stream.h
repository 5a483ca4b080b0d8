/* SPDX-License-Identifier: ISC */
/*
 * One connected socket, plain or TLS, edge-triggered and registered once. Reads go into the
 * caller's buffer; writes go out at once, and only what the socket does not take is kept, in the
 * stream's spill. Who writes to a stream whose spill is not empty must stop reading its source
 * until on_drained (backpressure): the spill then never holds more than one read of the source and
 * what pglane itself adds.
 *
 * Owner: the object it is embedded in; thread: that of the loop it is attached to. A stream can be
 * detached and attached to another loop (idle servers move between workers).
 */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include <openssl/ssl.h>
#include <sys/uio.h>

#include "io/loop.h"

struct stream;

struct stream_ops {
	void (*on_readable)(struct stream *stream); /* bytes, end of file or an error may be read:
						       stream_recv() until it says AGAIN */
	void (*on_drained)(struct stream *stream);  /* the spill was not empty and now is */
	void (*on_connected)(
		struct stream *stream, int error_number); /* after stream_connect(); 0: connected */
	void (*on_hangup)(struct stream *stream); /* the peer closed its end while the stream is
						     paused; may be NULL */
};

enum stream_flag {
	STREAM_READABLE = 1 << 0, /* the last read did not drain the socket */
	STREAM_WRITABLE = 1 << 1,
	STREAM_PEER_CLOSED = 1 << 2, /* the kernel saw the peer's end of file: a short read does not
					mean drained */
	STREAM_BROKEN = 1 << 3,	     /* a write failed; reads say STREAM_ERROR */
	STREAM_CONNECTING = 1 << 4,
	STREAM_PAUSED = 1 << 5, /* on_readable is not called; the edge is remembered */
	STREAM_UNIX = 1 << 6,	/* unix sockets signal writability on every read of the peer: asked
				   for only when blocked */
	STREAM_TLS_WANTS_WRITE = 1 << 7, /* SSL_read waits for the socket to be writable */
};

struct spill; /* bytes waiting for the socket; NULL almost always */

struct stream {
	struct event event;
	const struct stream_ops *ops;
	struct loop *loop;
	SSL *ssl; /* never on a unix socket, which is not watched for writability */
	struct spill *spill;
	int fd; /* -1: closed */
	uint16_t flags;
};

enum stream_result { STREAM_OK, STREAM_AGAIN, STREAM_EOF, STREAM_ERROR };

/* Takes a connected or connecting non-blocking socket. */
void stream_open(struct stream *stream, struct loop *loop, int fd, bool is_unix,
	const struct stream_ops *ops);
/* Starts connect(2) to addr; on_connected is called later, never from here. false: failed at once
 * (errno). */
struct sockaddr;
bool stream_connect(struct stream *stream, struct loop *loop, const struct sockaddr *addr,
	unsigned addr_len, const struct stream_ops *ops) WARN_UNUSED;
void stream_close(struct stream
		*stream); /* idempotent; frees the spill and the SSL; no callback comes after it */
void stream_detach(struct stream *stream); /* from its loop: spill must be empty */
void stream_attach(
	struct stream *stream, struct loop *loop); /* an edge that fell between is delivered */

/* STREAM_OK: *n_r > 0 bytes. STREAM_AGAIN: wait for on_readable. */
enum stream_result stream_recv(
	struct stream *stream, void *buf, size_t cap, size_t *n_r) WARN_UNUSED;
/* Sends or spills all of it. false: the stream is broken (its owner hears of it through on_readable
 * or this result). iov is changed. */
bool stream_sendv(struct stream *stream, struct iovec *iov, int n_iov) WARN_UNUSED;
bool stream_send(struct stream *stream, const void *bytes, size_t n) WARN_UNUSED;
static inline bool stream_is_blocked(const struct stream *stream)
{
	return stream->spill != NULL;
}
size_t stream_spill_bytes(const struct stream *stream);
void stream_pause(struct stream *stream);  /* no on_readable until stream_resume() */
void stream_resume(struct stream *stream); /* on_readable is called at the end of this turn by the
					      owner's task if it returns true */
static inline bool stream_has_input(const struct stream *stream)
{
	return (stream->flags & STREAM_READABLE) || (stream->ssl && SSL_pending(stream->ssl) > 0);
}
/* Half-close: we send nothing more, not even what is kept; the peer's end of file is still read. */
void stream_shutdown(struct stream *stream);

#endif
