/* SPDX-License-Identifier: ISC */
#include "io/stream.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#define TLS_COALESCE_BYTES 16384u /* one TLS record */

struct spill {
	struct event writable; /* unix sockets: armed while blocked */
	bool writable_armed;
	size_t at; /* first byte not sent */
	size_t len;
	size_t cap;
	uint8_t *data;
};

static void on_event(evutil_socket_t fd, short what, void *arg);
static void on_unix_writable(evutil_socket_t fd, short what, void *arg);

static void register_events(struct stream *stream)
{
	short what = EV_READ | EV_CLOSED | EV_ET | EV_PERSIST;

	if (!(stream->flags & STREAM_UNIX) || (stream->flags & STREAM_CONNECTING))
		what |= EV_WRITE;
	MUST(event_assign(&stream->event, stream->loop->base, stream->fd, what, on_event, stream) ==
		0);
	MUST(event_add(&stream->event, NULL) == 0);
}

void stream_open(struct stream *stream, struct loop *loop, int fd, bool is_unix,
	const struct stream_ops *ops)
{
	memset(stream, 0, sizeof(*stream));
	stream->ops = ops;
	stream->loop = loop;
	stream->fd = fd;
	stream->flags = (uint16_t)(STREAM_WRITABLE | (is_unix ? STREAM_UNIX : 0));
	register_events(stream);
}

bool stream_connect(struct stream *stream, struct loop *loop, const struct sockaddr *addr,
	unsigned addr_len, const struct stream_ops *ops)
{
	bool is_unix = addr->sa_family == AF_UNIX;
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return false;
	/* A unix socket whose backlog is full says EAGAIN and will not tell when it is not: that is
	 * a refusal. */
	if (connect(fd, addr, addr_len) < 0 && errno != EINPROGRESS) {
		int saved = errno;

		close(fd);
		errno = saved;
		return false;
	}
	memset(stream, 0, sizeof(*stream));
	stream->ops = ops;
	stream->loop = loop;
	stream->fd = fd;
	stream->flags = (uint16_t)(STREAM_CONNECTING | (is_unix ? STREAM_UNIX : 0));
	register_events(stream);
	return true;
}

static void free_spill(struct stream *stream)
{
	if (stream->spill == NULL)
		return;
	if (stream->spill->writable_armed)
		event_del(&stream->spill->writable);
	mem_free(stream->spill->data);
	mem_free(stream->spill);
	stream->spill = NULL;
}

void stream_close(struct stream *stream)
{
	if (stream->fd < 0)
		return;
	if (stream->loop)
		event_del(&stream->event);
	free_spill(stream);
	if (stream->ssl) {
		if (!(stream->flags & STREAM_BROKEN) && SSL_is_init_finished(stream->ssl))
			(void)SSL_shutdown(stream->ssl);
		SSL_free(stream->ssl);
		stream->ssl = NULL;
		ERR_clear_error();
	}
	close(stream->fd);
	stream->fd = -1;
}

void stream_detach(struct stream *stream)
{
	MUST(stream->spill == NULL);
	event_del(&stream->event);
	stream->loop = NULL;
}

void stream_attach(struct stream *stream, struct loop *loop)
{
	/* epoll reports an edge for what is ready at registration. */
	stream->loop = loop;
	register_events(stream);
}

static bool is_transient(int error_number)
{
	return error_number == EAGAIN || error_number == EWOULDBLOCK || error_number == EINTR;
}

static enum stream_result recv_tls(struct stream *stream, void *buf, size_t cap, size_t *n_r)
{
	int n, error;

	stream->flags &= (uint16_t)~STREAM_TLS_WANTS_WRITE;
	ERR_clear_error();
	n = SSL_read(stream->ssl, buf, (int)MIN_OF(cap, (size_t)INT32_MAX));
	if (n > 0) {
		*n_r = (size_t)n;
		return STREAM_OK;
	}
	error = SSL_get_error(stream->ssl, n);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		if (error == SSL_ERROR_WANT_WRITE)
			stream->flags |= STREAM_TLS_WANTS_WRITE;
		stream->flags &= (uint16_t)~STREAM_READABLE;
		return STREAM_AGAIN;
	}
	stream->flags &= (uint16_t)~STREAM_READABLE;
	return error == SSL_ERROR_ZERO_RETURN ? STREAM_EOF : STREAM_ERROR;
}

enum stream_result stream_recv(struct stream *stream, void *buf, size_t cap, size_t *n_r)
{
	ssize_t n;

	if (UNLIKELY(stream->fd < 0 || (stream->flags & STREAM_BROKEN)))
		return STREAM_ERROR;
	if (stream->ssl)
		return recv_tls(stream, buf, cap, n_r);
	n = recv(stream->fd, buf, cap, 0);
	if (LIKELY(n > 0)) {
		/* Short means drained, unless the end of file shares the edge with the data. */
		if ((size_t)n < cap && !(stream->flags & STREAM_PEER_CLOSED))
			stream->flags &= (uint16_t)~STREAM_READABLE;
		*n_r = (size_t)n;
		return STREAM_OK;
	}
	if (n < 0 && errno == EINTR)
		return stream_recv(stream, buf, cap, n_r);
	stream->flags &= (uint16_t)~STREAM_READABLE;
	if (n == 0)
		return STREAM_EOF;
	return is_transient(errno) ? STREAM_AGAIN : STREAM_ERROR;
}

static void spill_append(struct stream *stream, const void *bytes, size_t n)
{
	struct spill *spill = stream->spill;

	if (n == 0)
		return;
	if (spill == NULL)
		spill = stream->spill = mem_zalloc(sizeof(*spill));
	if (spill->len + n > spill->cap && spill->at > 0) {
		memmove(spill->data, spill->data + spill->at, spill->len - spill->at);
		spill->len -= spill->at;
		spill->at = 0;
	}
	if (spill->len + n > spill->cap) {
		spill->cap = MAX_OF(spill->len + n, spill->cap * 2);
		spill->data = mem_realloc(spill->data, spill->cap);
	}
	memcpy(spill->data + spill->len, bytes, n);
	spill->len += n;
	if ((stream->flags & STREAM_UNIX) && !spill->writable_armed) {
		MUST(event_assign(&spill->writable, stream->loop->base, stream->fd,
			     EV_WRITE | EV_ET | EV_PERSIST, on_unix_writable, stream) == 0);
		MUST(event_add(&spill->writable, NULL) == 0);
		spill->writable_armed = true;
	}
}

/* >= 0: bytes taken; -1: the stream is broken. Clears STREAM_WRITABLE when the socket is full. */
static ssize_t send_tls(struct stream *stream, const void *bytes, size_t n)
{
	int done, error;

	ERR_clear_error();
	done = SSL_write(stream->ssl, bytes, (int)MIN_OF(n, (size_t)INT32_MAX));
	if (done > 0)
		return done;
	error = SSL_get_error(stream->ssl, done);
	if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) {
		stream->flags &= (uint16_t)~STREAM_WRITABLE;
		return 0;
	}
	stream->flags |= STREAM_BROKEN;
	return -1;
}

static ssize_t send_plain(struct stream *stream, struct iovec *iov, int n_iov)
{
	struct msghdr message = {.msg_iov = iov, .msg_iovlen = (size_t)n_iov};
	ssize_t n;

	do {
		n = n_iov == 1 ? send(stream->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL)
			       : sendmsg(stream->fd, &message, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (is_transient(errno)) {
		stream->flags &= (uint16_t)~STREAM_WRITABLE;
		return 0;
	}
	stream->flags |= STREAM_BROKEN;
	return -1;
}

static bool spill_rest(struct stream *stream, struct iovec *iov, int n_iov, size_t n_sent)
{
	int i;

	for (i = 0; i < n_iov; i++) {
		size_t skip = MIN_OF(n_sent, iov[i].iov_len);

		n_sent -= skip;
		spill_append(
			stream, (const uint8_t *)iov[i].iov_base + skip, iov[i].iov_len - skip);
	}
	return true;
}

/* TLS: small pieces are put into one record; large ones go as they are. */
static bool sendv_tls(struct stream *stream, struct iovec *iov, int n_iov)
{
	uint8_t record[TLS_COALESCE_BYTES];
	size_t n = 0;
	int i;

	for (i = 0; i < n_iov && n + iov[i].iov_len <= sizeof(record); i++) {
		memcpy(record + n, iov[i].iov_base, iov[i].iov_len);
		n += iov[i].iov_len;
	}
	if (n > 0) {
		ssize_t done = send_tls(stream, record, n);

		if (done < 0)
			return false;
		if ((size_t)done < n)
			spill_append(stream, record + done, n - (size_t)done);
	}
	for (; i < n_iov; i++) {
		size_t at = 0;

		while (at < iov[i].iov_len && stream->spill == NULL) {
			ssize_t done = send_tls(
				stream, (uint8_t *)iov[i].iov_base + at, iov[i].iov_len - at);

			if (done < 0)
				return false;
			if (done == 0)
				break;
			at += (size_t)done;
		}
		spill_append(stream, (uint8_t *)iov[i].iov_base + at, iov[i].iov_len - at);
	}
	return true;
}

bool stream_sendv(struct stream *stream, struct iovec *iov, int n_iov)
{
	size_t total = 0;
	ssize_t n;
	int i;

	if (UNLIKELY(stream->fd < 0 || (stream->flags & STREAM_BROKEN)))
		return false;
	if (UNLIKELY(stream->spill != NULL))
		return spill_rest(stream, iov, n_iov, 0);
	if (stream->ssl)
		return sendv_tls(stream, iov, n_iov);
	n = send_plain(stream, iov, n_iov);
	if (UNLIKELY(n < 0))
		return false;
	for (i = 0; i < n_iov; i++)
		total += iov[i].iov_len;
	if (LIKELY((size_t)n == total))
		return true;
	return spill_rest(stream, iov, n_iov, (size_t)n);
}

bool stream_send(struct stream *stream, const void *bytes, size_t n)
{
	union {
		const void *in;
		void *out;
	} pun = {.in = bytes};
	struct iovec iov = {.iov_base = pun.out, .iov_len = n};

	return n == 0 || stream_sendv(stream, &iov, 1);
}

size_t stream_spill_bytes(const struct stream *stream)
{
	return stream->spill ? stream->spill->len - stream->spill->at : 0;
}

/* Sends what was kept; calls on_drained when that was all. */
static void flush_spill(struct stream *stream)
{
	struct spill *spill = stream->spill;

	while (spill->at < spill->len) {
		struct iovec iov = {
			.iov_base = spill->data + spill->at, .iov_len = spill->len - spill->at};
		ssize_t n = stream->ssl ? send_tls(stream, iov.iov_base, iov.iov_len)
					: send_plain(stream, &iov, 1);

		if (n < 0) {
			stream->ops->on_readable(stream); /* the owner finds STREAM_ERROR there */
			return;
		}
		if (n == 0)
			return;
		spill->at += (size_t)n;
	}
	free_spill(stream);
	stream->ops->on_drained(stream);
}

static void on_unix_writable(evutil_socket_t fd, short what, void *arg)
{
	struct stream *stream = arg;

	stream->loop->now_us = 0;
	stream->flags |= STREAM_WRITABLE;
	flush_spill(stream);
}

static void finish_connect(struct stream *stream)
{
	int error_number = 0;
	socklen_t len = sizeof(error_number);

	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error_number, &len) < 0)
		error_number = errno;
	stream->flags &= (uint16_t)~STREAM_CONNECTING;
	stream->flags |= STREAM_WRITABLE;
	if (stream->flags & STREAM_UNIX) { /* without EV_WRITE from here on */
		event_del(&stream->event);
		register_events(stream);
	}
	stream->ops->on_connected(stream, error_number);
}

/*
 * A reset is an error of the socket, which libevent reports as readable and writable, without
 * EV_CLOSED. Unix sockets are not asked whether they are writable, so there it is readable alone.
 */
static bool is_hangup(struct stream *stream, short what)
{
	int error_number = 0;
	socklen_t len = sizeof(error_number);

	if (what & EV_CLOSED)
		return true;
	if (stream->flags & STREAM_BROKEN)
		return true; /* writing has met the error already, and used it up */
	if (!(what & EV_READ) || !((what & EV_WRITE) || (stream->flags & STREAM_UNIX)))
		return false;
	return getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error_number, &len) == 0 &&
		error_number != 0;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct stream *stream = arg;

	stream->loop->now_us = 0;
	if (UNLIKELY(stream->flags & STREAM_CONNECTING)) {
		if (what & (EV_READ | EV_CLOSED))
			stream->flags |=
				STREAM_READABLE | ((what & EV_CLOSED) ? STREAM_PEER_CLOSED : 0);
		finish_connect(stream);
		return;
	}
	if (what & EV_CLOSED)
		stream->flags |= STREAM_PEER_CLOSED | STREAM_READABLE;
	if (what & EV_READ)
		stream->flags |= STREAM_READABLE;
	if (what & EV_WRITE) {
		stream->flags |= STREAM_WRITABLE;
		if (UNLIKELY(stream->flags & STREAM_TLS_WANTS_WRITE))
			stream->flags |= STREAM_READABLE;
		if (UNLIKELY(stream->spill != NULL)) {
			flush_spill(stream);
			if (stream->fd < 0)
				return;
		}
	}
	if (stream->flags & STREAM_PAUSED) {
		if (stream->ops->on_hangup && is_hangup(stream, what))
			stream->ops->on_hangup(stream);
	} else if (stream->flags & STREAM_READABLE) {
		stream->ops->on_readable(stream);
	}
}

void stream_pause(struct stream *stream)
{
	stream->flags |= STREAM_PAUSED;
}

void stream_resume(struct stream *stream)
{
	stream->flags &= (uint16_t)~STREAM_PAUSED;
}

void stream_shutdown(struct stream *stream)
{
	if (stream->fd < 0)
		return;
	/* A write behind the half-close would break the stream before its peer has ended. */
	free_spill(stream);
	if (stream->ssl && SSL_is_init_finished(stream->ssl))
		(void)SSL_shutdown(stream->ssl);
	(void)shutdown(stream->fd, SHUT_WR);
}
