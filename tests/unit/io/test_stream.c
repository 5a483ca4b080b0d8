/* SPDX-License-Identifier: ISC */
/*
 * A stream against a peer that is a plain socket, on unix sockets, TCP over the loopback and TLS
 * over that. Buffers are as small as the kernel allows, so that little is needed to block.
 */
#include "io/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "io/netaddr.h"
#include "io/tls.h"
#include "unit/io/certs.h"
#include "unit/random.h"

#define HANG_S 50
#define BULK_BYTES 1000000u

enum kind { UNIX, TCP, TLS };

struct pair {
	struct stream stream; /* first: a pair is recovered from it */
	struct loop loop;
	enum kind kind;
	int peer; /* -1: closed */
	SSL *peer_ssl;
	unsigned n_readable, n_drained, n_connected, n_hangup;
	int connect_error;
	bool close_when_readable, close_when_drained;
};

static struct tls_context *accepting, *connecting;

/* ---- callbacks ---- */

static struct pair *pair_of(struct stream *stream)
{
	return CONTAINER_OF(stream, struct pair, stream);
}

static void on_readable(struct stream *stream)
{
	struct pair *p = pair_of(stream);

	p->n_readable++;
	if (p->close_when_readable)
		stream_close(stream);
}

static void on_drained(struct stream *stream)
{
	struct pair *p = pair_of(stream);

	assert_false(stream_is_blocked(stream));
	p->n_drained++;
	if (p->close_when_drained) {
		stream_close(stream);
		p->n_readable = 0;
	}
}

static void on_connected(struct stream *stream, int error_number)
{
	struct pair *p = pair_of(stream);

	p->n_connected++;
	p->connect_error = error_number;
}

static void on_hangup(struct stream *stream)
{
	pair_of(stream)->n_hangup++;
}

static const struct stream_ops ops = {on_readable, on_drained, on_connected, on_hangup};

/* ---- turns ---- */

static void turn(struct loop *loop)
{
	assert_int_equal(event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NONBLOCK), 0);
}

static void turns(struct loop *loop, unsigned n)
{
	while (n-- > 0)
		turn(loop);
}

/* The loopback is no other machine, but it may take its time. */
static void wait_for(int fd, short what)
{
	struct pollfd ask = {.fd = fd, .events = what};

	while (poll(&ask, 1, -1) < 0)
		assert_int_equal(errno, EINTR);
}

/* Until the peer can read or the stream can write. */
static void wait_for_movement(const struct pair *p)
{
	struct pollfd ask[2] = {
		{.fd = p->peer, .events = POLLIN}, {.fd = p->stream.fd, .events = POLLOUT}};

	while (poll(ask, 2, -1) < 0)
		assert_int_equal(errno, EINTR);
}

/* ---- making pairs ---- */

static void set_small(int fd)
{
	int least = 1;	 /* the kernel makes it its minimum */
	int few = 32768; /* TCP waits for its timers when a window opens by less than a segment */

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof(few)), 0);
}

static int listen_tcp(struct netaddr *addr_r)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0 && netaddr_literal("127.0.0.1", 0, addr_r));
	assert_int_equal(bind(fd, &addr_r->sa, addr_r->len), 0);
	set_small(fd);
	assert_int_equal(listen(fd, 8), 0);
	assert_true(netaddr_of_local(fd, addr_r));
	return fd;
}

static void tcp_pair(int fds[static 2])
{
	struct netaddr addr;
	int listener = listen_tcp(&addr);

	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fds[0] >= 0);
	set_small(fds[0]);
	assert_int_equal(connect(fds[0], &addr.sa, addr.len), 0);
	fds[1] = accept(listener, NULL, NULL);
	assert_true(fds[1] >= 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	close(listener);
}

static void shake_hands(struct pair *p, int fd)
{
	enum tls_step step = TLS_STEP_WANT_READ, peer_step = TLS_STEP_WANT_READ;
	SSL *ssl = tls_accept_new(accepting, fd);
	char error[TLS_ERROR_BYTES];

	p->peer_ssl = tls_connect_new(connecting, p->peer, "localhost");
	while (step != TLS_STEP_DONE || peer_step != TLS_STEP_DONE) {
		if (peer_step != TLS_STEP_DONE)
			peer_step = tls_handshake(p->peer_ssl, error);
		if (step != TLS_STEP_DONE)
			step = tls_handshake(ssl, error);
		assert_true(step != TLS_STEP_FAILED && peer_step != TLS_STEP_FAILED);
	}
	p->stream.ssl = ssl;
}

static void pair_open(struct pair *p, enum kind kind)
{
	int fds[2];

	memset(p, 0, sizeof(*p));
	p->kind = kind;
	loop_init(&p->loop);
	if (kind == UNIX) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		set_small(fds[0]);
		set_small(fds[1]);
	} else {
		tcp_pair(fds);
	}
	p->peer = fds[1];
	stream_open(&p->stream, &p->loop, fds[0], kind == UNIX, &ops);
	if (kind == TLS)
		shake_hands(p, fds[0]);
	turns(&p->loop, 3); /* the edges of the registration */
	p->n_readable = 0;
	p->stream.flags &= (uint16_t)~STREAM_READABLE;
}

static void peer_close(struct pair *p)
{
	SSL_free(p->peer_ssl);
	p->peer_ssl = NULL;
	if (p->peer >= 0)
		close(p->peer);
	p->peer = -1;
}

static void peer_reset(struct pair *p)
{
	struct linger at_once = {.l_onoff = 1};

	assert_int_equal(setsockopt(p->peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	peer_close(p);
	wait_for(p->stream.fd, POLLERR);
}

static void pair_close(struct pair *p)
{
	stream_close(&p->stream);
	peer_close(p);
	loop_release(&p->loop);
}

/* ---- the peer's bytes ---- */

/* Up to n bytes appended to got; false: nothing to read now. */
static bool peer_take(struct pair *p, size_t n, struct strbuf *got)
{
	ssize_t done;

	strbuf_reserve(got, n);
	done = p->peer_ssl ? SSL_read(p->peer_ssl, got->data + got->len, (int)n)
			   : recv(p->peer, got->data + got->len, n, 0);
	if (done <= 0)
		return false;
	got->len += (size_t)done;
	got->data[got->len] = '\0';
	return true;
}

/* Up to n bytes; how many went. */
static size_t peer_give(struct pair *p, const void *bytes, size_t n)
{
	ssize_t done = p->peer_ssl ? SSL_write(p->peer_ssl, bytes, (int)n)
				   : send(p->peer, bytes, n, MSG_NOSIGNAL);

	return done > 0 ? (size_t)done : 0;
}

static void peer_take_until(struct pair *p, size_t n, struct strbuf *got, size_t n_at_once)
{
	while (got->len < n) {
		if (peer_take(p, n_at_once, got))
			continue;
		wait_for_movement(p);
		turn(&p->loop);
	}
	turns(&p->loop, 3);
}

static uint8_t *make_bulk(void)
{
	uint8_t *bulk = mem_alloc(BULK_BYTES);
	struct random random = {.state = 1};

	for (size_t i = 0; i < BULK_BYTES; i++)
		bulk[i] = (uint8_t)random_u64(&random);
	return bulk;
}

static void fill(struct pair *p)
{
	static uint8_t filler[100000];

	for (unsigned i = 0; i < 100 && !stream_is_blocked(&p->stream); i++)
		assert_true(stream_send(&p->stream, filler, sizeof(filler)));
	assert_true(stream_is_blocked(&p->stream));
}

#define EACH_KIND(p)                                                                               \
	for (enum kind kind_ = UNIX; kind_ <= TLS && (pair_open(&(p), kind_), true);               \
		pair_close(&(p)), kind_++)
#define EACH_PLAIN_KIND(p)                                                                         \
	for (enum kind kind_ = UNIX; kind_ <= TCP && (pair_open(&(p), kind_), true);               \
		pair_close(&(p)), kind_++)

/* ---- writing ---- */

static void what_fits_is_sent_at_once(void **state)
{
	struct iovec pieces[] = {{.iov_base = (char[]){"one "}, .iov_len = 4},
		{.iov_base = (char[]){""}}, {.iov_base = (char[]){"two"}, .iov_len = 3}};
	struct strbuf got = STRBUF_INIT;
	struct pair p;

	EACH_KIND(p)
	{
		struct iovec copy[N_ELEMENTS(pieces)];

		memcpy(copy, pieces, sizeof(pieces));
		strbuf_reset(&got);
		assert_true(stream_sendv(&p.stream, copy, (int)N_ELEMENTS(copy)));
		assert_true(stream_send(&p.stream, "", 0));
		assert_false(stream_is_blocked(&p.stream));
		assert_int_equal(stream_spill_bytes(&p.stream), 0);
		wait_for(p.peer, POLLIN);
		assert_true(peer_take(&p, 100, &got)); /* TLS: one record, not one for each piece */
		assert_string_equal(got.data, "one two");
		turns(&p.loop, 3);
		assert_int_equal(p.n_drained, 0);
	}
	strbuf_release(&got);
}

static void what_does_not_fit_waits_in_order(void **state)
{
	struct strbuf got = STRBUF_INIT;
	uint8_t *bulk = make_bulk();
	struct pair p;

	EACH_KIND(p)
	{
		size_t at = 0, piece = 1;

		strbuf_reset(&got);
		while (at < BULK_BYTES) { /* most of it behind what is kept already */
			size_t n = MIN_OF(piece, BULK_BYTES - at);

			assert_true(stream_send(&p.stream, bulk + at, n));
			at += n;
			piece = piece * 3 + 1;
		}
		assert_true(stream_is_blocked(&p.stream));
		assert_true(stream_spill_bytes(&p.stream) > BULK_BYTES / 2);
		turns(&p.loop, 5);
		assert_int_equal(p.n_drained, 0); /* nobody has read yet */
		peer_take_until(&p, BULK_BYTES, &got, 3000);
		assert_int_equal(got.len, BULK_BYTES);
		assert_int_equal(memcmp(got.data, bulk, BULK_BYTES), 0);
		assert_false(stream_is_blocked(&p.stream));
		assert_int_equal(stream_spill_bytes(&p.stream), 0);
		assert_int_equal(p.n_drained, 1);

		/* And once more: a stream blocks as often as it likes. */
		fill(&p);
		strbuf_reset(&got);
		peer_take_until(&p, 100000, &got, 50000);
		assert_int_equal(p.n_drained, 2);
	}
	strbuf_release(&got);
	mem_free(bulk);
}

static void large_and_small_pieces_in_one_call(void **state)
{
	struct strbuf got = STRBUF_INIT;
	uint8_t *bulk = make_bulk();
	struct pair p;

	EACH_KIND(p)
	{
		struct iovec pieces[] = {{bulk, 10}, {bulk + 10, 100}, {bulk + 110, 40000},
			{bulk + 40110, 5}, {bulk + 40115, 200000}, {bulk + 240115, 0},
			{bulk + 240115, 1}};

		strbuf_reset(&got);
		assert_true(stream_sendv(&p.stream, pieces, (int)N_ELEMENTS(pieces)));
		assert_true(stream_is_blocked(&p.stream));
		peer_take_until(&p, 240116, &got, 10000);
		assert_int_equal(got.len, 240116);
		assert_int_equal(memcmp(got.data, bulk, got.len), 0);
	}
	strbuf_release(&got);
	mem_free(bulk);
}

/* ---- reading ---- */

static void a_short_read_means_drained(void **state)
{
	uint8_t buf[100];
	struct pair p;
	size_t n;

	EACH_PLAIN_KIND(p)
	{
		assert_int_equal(peer_give(&p, "abc", 3), 3);
		wait_for(p.stream.fd, POLLIN);
		turns(&p.loop, 3);
		assert_int_equal(p.n_readable, 1); /* an edge, not a level */
		assert_true(stream_has_input(&p.stream));
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_OK);
		assert_int_equal(n, 3);
		assert_false(stream_has_input(&p.stream));
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_AGAIN);

		/* A full buffer means nothing. */
		assert_int_equal(peer_give(&p, "abcdef", 6), 6);
		wait_for(p.stream.fd, POLLIN);
		turns(&p.loop, 3);
		assert_int_equal(p.n_readable, 2);
		assert_int_equal(stream_recv(&p.stream, buf, 3, &n), STREAM_OK);
		assert_true(stream_has_input(&p.stream));
		assert_int_equal(stream_recv(&p.stream, buf, 3, &n), STREAM_OK);
		assert_true(stream_has_input(&p.stream));
		assert_int_equal(stream_recv(&p.stream, buf, 3, &n), STREAM_AGAIN);
		assert_false(stream_has_input(&p.stream));
	}
}

static void data_and_end_of_file_in_one_edge(void **state)
{
	uint8_t buf[100];
	struct pair p;
	size_t n;

	EACH_PLAIN_KIND(p)
	{
		assert_int_equal(peer_give(&p, "bye", 3), 3);
		peer_close(&p);
		wait_for(p.stream.fd, POLLRDHUP);
		turns(&p.loop, 3);
		assert_int_equal(p.n_readable, 1);
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_OK);
		assert_int_equal(n, 3);
		assert_true(stream_has_input(&p.stream)); /* although the read was short */
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_EOF);
		assert_false(stream_has_input(&p.stream));
	}
}

static void end_of_file_after_the_data(void **state)
{
	uint8_t buf[100];
	struct pair p;
	size_t n;

	EACH_KIND(p)
	{
		assert_int_equal(peer_give(&p, "bye", 3), 3);
		wait_for(p.stream.fd, POLLIN);
		turns(&p.loop, 3);
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_OK);
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_AGAIN);
		assert_int_equal(p.n_readable, 1);
		if (p.peer_ssl)
			assert_int_equal(SSL_shutdown(p.peer_ssl), 0);
		peer_close(&p);
		wait_for(p.stream.fd, POLLRDHUP);
		turns(&p.loop, 3);
		assert_true(p.n_readable >= 2);
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_EOF);
	}
}

static void half_closed(void **state)
{
	struct strbuf got = STRBUF_INIT;
	uint8_t buf[100];
	struct pair p;
	size_t n;

	EACH_PLAIN_KIND(p)
	{
		stream_shutdown(&p.stream);
		wait_for(p.peer, POLLIN);
		assert_int_equal(recv(p.peer, buf, sizeof(buf), 0), 0);
		assert_int_equal(peer_give(&p, "last words", 10), 10);
		wait_for(p.stream.fd, POLLIN);
		turns(&p.loop, 3);
		assert_int_equal(p.n_readable, 1);
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_OK);
		assert_int_equal(n, 10);
	}
	strbuf_release(&got);
}

/* ---- pausing ---- */

static void a_paused_stream_remembers_its_edge(void **state)
{
	uint8_t buf[100];
	struct pair p;
	size_t n;

	EACH_KIND(p)
	{
		stream_pause(&p.stream);
		assert_int_equal(peer_give(&p, "abc", 3), 3);
		wait_for(p.stream.fd, POLLIN);
		turns(&p.loop, 3);
		assert_int_equal(p.n_readable, 0);
		assert_int_equal(p.n_hangup, 0);
		stream_resume(&p.stream);
		assert_true(stream_has_input(&p.stream)); /* its owner looks: no edge comes again */
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_OK);
		assert_int_equal(n, 3);
		assert_int_equal(peer_give(&p, "d", 1), 1);
		wait_for(p.stream.fd, POLLIN);
		turns(&p.loop, 3);
		assert_int_equal(p.n_readable, 1);
	}
}

static void a_paused_stream_hears_its_peer_hang_up(void **state)
{
	uint8_t buf[100];
	struct pair p;
	size_t n;

	EACH_KIND(p)
	{
		stream_pause(&p.stream);
		assert_int_equal(peer_give(&p, "abc", 3), 3);
		wait_for(p.stream.fd, POLLIN);
		turns(&p.loop, 3);
		peer_close(&p);
		wait_for(p.stream.fd, POLLRDHUP);
		turns(&p.loop, 3);
		assert_int_equal(p.n_hangup, 1);
		assert_int_equal(p.n_readable, 0);
		stream_resume(&p.stream);
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_OK);
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_EOF);
	}
}

/* A process that is killed with unread bytes resets its connections instead of ending them. */
static void a_paused_stream_hears_its_peer_reset(void **state)
{
	struct pair p;

	EACH_KIND(p)
	{
		stream_pause(&p.stream);
		assert_int_equal(peer_give(&p, "abc", 3), 3);
		assert_true(stream_send(&p.stream, "unread", 6));
		wait_for(p.stream.fd, POLLIN);
		turns(&p.loop, 3);
		assert_int_equal(p.n_hangup, 0);
		if (p.kind == UNIX)
			peer_close(&p);
		else
			peer_reset(&p);
		turns(&p.loop, 3);
		assert_int_equal(p.n_hangup, 1);
		assert_int_equal(p.n_readable, 0);
	}
}

static void a_paused_stream_that_is_blocked_hears_it_too(void **state)
{
	struct pair p;

	EACH_KIND(p)
	{
		stream_pause(&p.stream);
		fill(&p);
		turns(&p.loop, 3);
		assert_int_equal(p.n_hangup, 0);
		if (p.kind == UNIX)
			peer_close(&p);
		else
			peer_reset(&p);
		turns(&p.loop, 3);
		assert_true(p.n_hangup >= 1);
		assert_int_equal(p.n_drained, 0);
	}
}

/* ---- edges, not levels: also while it is blocked, and after ---- */

static void a_blocked_stream_does_not_spin(void **state)
{
	struct strbuf got = STRBUF_INIT;
	struct pair p;

	EACH_KIND(p)
	{
		strbuf_reset(&got);
		assert_int_equal(peer_give(&p, "abc", 3), 3);
		wait_for(p.stream.fd, POLLIN);
		turns(&p.loop, 20);
		assert_int_equal(p.n_readable, 1);
		fill(&p);
		turns(&p.loop, 20);
		assert_in_range(p.n_readable, 1, 2); /* to ask for another event repeats the edge */
		peer_take_until(&p, 100000, &got, 50000);
		assert_int_equal(p.n_drained, 1);
		turns(&p.loop, 20);
		assert_in_range(p.n_readable, 1, 40);
		p.n_readable = 0;
		turns(&p.loop, 20);
		assert_int_equal(p.n_readable, 0);
	}
	strbuf_release(&got);
}

/* ---- breaking ---- */

static void writing_to_a_peer_that_is_gone(void **state)
{
	uint8_t buf[8];
	struct pair p;
	size_t n;

	EACH_KIND(p)
	{
		if (p.kind == UNIX)
			peer_close(&p);
		else
			peer_reset(&p);
		assert_false(stream_send(&p.stream, "abc", 3));
		assert_false(stream_send(&p.stream, "abc", 3));
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_ERROR);
		assert_false(stream_is_blocked(&p.stream));
	}
}

static void a_blocked_stream_whose_peer_goes(void **state)
{
	uint8_t buf[8];
	struct pair p;
	size_t n;

	EACH_KIND(p)
	{
		fill(&p);
		turns(&p.loop, 2);
		p.n_readable = 0;
		if (p.kind == UNIX)
			peer_close(&p);
		else
			peer_reset(&p);
		turns(&p.loop, 3);
		assert_true(p.n_readable >= 1);
		assert_int_equal(p.n_drained, 0);
		assert_int_not_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_OK);
		assert_false(stream_send(&p.stream, "abc", 3));
	}
}

/* ---- closing ---- */

static void nothing_is_called_after_close(void **state)
{
	uint8_t buf[8];
	struct pair p;
	size_t n;

	EACH_KIND(p)
	{
		fill(&p);
		assert_int_equal(peer_give(&p, "abc", 3), 3);
		wait_for(p.stream.fd, POLLIN);
		stream_close(&p.stream);
		stream_close(&p.stream);
		assert_int_equal(p.stream.fd, -1);
		assert_false(stream_is_blocked(&p.stream));
		peer_close(&p);
		event_base_loop(p.loop.base, EVLOOP_NONBLOCK);
		assert_int_equal(p.n_readable + p.n_drained + p.n_hangup, 0);
		assert_false(stream_send(&p.stream, "abc", 3));
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_ERROR);
	}
}

static void closing_inside_callbacks(void **state)
{
	struct strbuf got = STRBUF_INIT;
	struct pair p;

	EACH_KIND(p)
	{
		p.close_when_readable = true;
		assert_int_equal(peer_give(&p, "abc", 3), 3);
		wait_for(p.stream.fd, POLLIN);
		turns(&p.loop, 1);
		assert_int_equal(p.n_readable, 1);
		assert_int_equal(p.stream.fd, -1);
	}
	EACH_KIND(p)
	{
		p.close_when_drained = true;
		strbuf_reset(&got);
		fill(&p);
		while (p.stream.fd >= 0) {
			if (peer_take(&p, 50000, &got))
				continue;
			if (p.stream.fd >= 0)
				wait_for_movement(&p);
			if (got.len > 0) /* with the edge of the last bytes comes one of input */
				(void)peer_give(&p, "x", 1);
			event_base_loop(p.loop.base, EVLOOP_NONBLOCK);
		}
		assert_int_equal(p.n_drained, 1);
		assert_int_equal(p.n_readable, 0); /* not any more */
	}
	strbuf_release(&got);
}

static void closing_says_goodbye(void **state)
{
	struct pair p;
	char c;

	EACH_KIND(p)
	{
		stream_close(&p.stream);
		wait_for(p.peer, POLLIN);
		if (p.peer_ssl) {
			(void)SSL_clear_options(p.peer_ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
			assert_int_equal(SSL_read(p.peer_ssl, &c, 1), 0);
			assert_int_equal(SSL_get_error(p.peer_ssl, 0), SSL_ERROR_ZERO_RETURN);
		} else {
			assert_int_equal(recv(p.peer, &c, 1, 0), 0);
		}
	}
}

/* ---- from one loop to another ---- */

static void moving_between_loops(void **state)
{
	struct strbuf got = STRBUF_INIT;
	struct loop other;
	uint8_t buf[100];
	struct pair p;
	size_t n;

	loop_init(&other);
	EACH_KIND(p)
	{
		strbuf_reset(&got);
		stream_detach(&p.stream);
		assert_null(p.stream.loop);
		assert_int_equal(peer_give(&p, "abc", 3), 3);
		wait_for(p.stream.fd, POLLIN);
		event_base_loop(p.loop.base, EVLOOP_NONBLOCK);
		assert_int_equal(p.n_readable, 0);

		stream_attach(&p.stream, &other); /* the edge fell between */
		turns(&other, 3);
		assert_int_equal(p.n_readable, 1);
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_OK);
		assert_int_equal(n, 3);

		/* It blocks and drains on its new loop. */
		fill(&p);
		while (stream_is_blocked(&p.stream)) {
			if (!peer_take(&p, 50000, &got))
				wait_for_movement(&p);
			turn(&other);
		}
		assert_int_equal(p.n_drained, 1);
		stream_detach(&p.stream);
		stream_attach(&p.stream, &p.loop);
		turns(&p.loop, 1);
	}
	/* Somebody hangs up between two loops. */
	EACH_PLAIN_KIND(p)
	{
		stream_detach(&p.stream);
		peer_close(&p);
		wait_for(p.stream.fd, POLLRDHUP);
		stream_attach(&p.stream, &other);
		turns(&other, 3);
		assert_int_equal(p.n_readable, 1);
		assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_EOF);
	}
	loop_release(&other);
	strbuf_release(&got);
}

static void closing_while_it_has_no_loop(void **state)
{
	struct pair p;

	EACH_KIND(p)
	{
		stream_detach(&p.stream);
		stream_close(&p.stream);
		assert_int_equal(p.stream.fd, -1);
	}
}

/* ---- connecting ---- */

static void connecting_over_tcp(void **state)
{
	struct pair p = {.kind = TCP};
	struct netaddr addr;
	int listener = listen_tcp(&addr);
	uint8_t buf[8];
	size_t n;

	loop_init(&p.loop);
	assert_true(stream_connect(&p.stream, &p.loop, &addr.sa, addr.len, &ops));
	assert_int_equal(p.n_connected, 0); /* never from inside */
	p.peer = accept(listener, NULL, NULL);
	assert_int_equal(send(p.peer, "hi", 2, 0), 2);
	wait_for(p.stream.fd, POLLIN); /* both come with one edge */
	turns(&p.loop, 3);
	assert_int_equal(p.n_connected, 1);
	assert_int_equal(p.connect_error, 0);
	assert_true(stream_has_input(&p.stream)); /* on_connected looks */
	assert_int_equal(stream_recv(&p.stream, buf, sizeof(buf), &n), STREAM_OK);
	assert_true(stream_send(&p.stream, "abc", 3));
	assert_int_equal(recv(p.peer, buf, sizeof(buf), 0), 3);
	assert_int_equal(send(p.peer, "ho", 2, 0), 2);
	wait_for(p.stream.fd, POLLIN);
	turns(&p.loop, 3);
	assert_int_equal(p.n_readable, 1);
	assert_int_equal(p.n_connected, 1);
	pair_close(&p);
	close(listener);
}

static void a_refusal_over_tcp(void **state)
{
	struct pair p = {.kind = TCP, .peer = -1};
	struct netaddr addr;
	int listener = listen_tcp(&addr);

	close(listener); /* nobody is there any more */
	loop_init(&p.loop);
	p.stream.fd = -1;
	if (stream_connect(&p.stream, &p.loop, &addr.sa, addr.len, &ops)) {
		wait_for(p.stream.fd, POLLERR);
		turns(&p.loop, 1);
		assert_int_equal(p.n_connected, 1);
		assert_int_equal(p.connect_error, ECONNREFUSED);
	} else {
		assert_int_equal(errno, ECONNREFUSED);
	}
	pair_close(&p);
}

static void connecting_over_a_unix_socket(void **state)
{
	struct pair p = {.kind = UNIX};
	struct netaddr addr;
	char dir[64];
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(dir, sizeof(dir), "@pglane-test-%d", (int)getpid());
	assert_true(netaddr_unix(dir, 1, &addr));
	loop_init(&p.loop);
	p.stream.fd = -1;
	assert_false(stream_connect(&p.stream, &p.loop, &addr.sa, addr.len, &ops));
	assert_int_equal(errno, ECONNREFUSED);

	assert_int_equal(bind(listener, &addr.sa, addr.len), 0);
	assert_int_equal(listen(listener, 4), 0);
	assert_true(stream_connect(&p.stream, &p.loop, &addr.sa, addr.len, &ops));
	assert_int_equal(p.n_connected, 0);
	turns(&p.loop, 3);
	assert_int_equal(p.n_connected, 1);
	assert_int_equal(p.connect_error, 0);
	/* From here on a read of the peer wakes nobody. */
	assert_false(event_get_events(&p.stream.event) & EV_WRITE);
	p.peer = accept(listener, NULL, NULL);
	assert_int_equal(send(p.peer, "abc", 3, 0), 3);
	turns(&p.loop, 3);
	assert_int_equal(p.n_readable, 1);
	assert_int_equal(p.n_connected, 1);
	pair_close(&p);
	close(listener);
}

/* ---- random histories: both ways at once, every kind, every size ---- */

#define N_STEPS 4000u

struct way {
	struct strbuf sent, got;
};

static void stream_gives(
	struct pair *p, struct random *random, const uint8_t *bulk, struct way *out)
{
	struct iovec pieces[5];
	int n_pieces = 1 + (int)random_below(random, 5);

	if (stream_is_blocked(&p->stream) && random_below(random, 4))
		return;
	for (int i = 0; i < n_pieces; i++) {
		size_t n = random_below(random, random_below(random, 20) ? 500 : 60000);
		union {
			const uint8_t *in;
			void *out;
		} at = {.in = bulk + random_below(random, BULK_BYTES - n)};

		pieces[i] = (struct iovec){at.out, n};
		strbuf_add(&out->sent, at.in, n);
	}
	assert_true(stream_sendv(&p->stream, pieces, n_pieces));
}

static void stream_takes(struct pair *p, struct random *random, struct way *in)
{
	size_t cap = 1 + random_below(random, 20000), n = 0;

	if (!stream_has_input(&p->stream))
		return;
	strbuf_reserve(&in->got, cap);
	if (stream_recv(&p->stream, in->got.data + in->got.len, cap, &n) == STREAM_OK) {
		assert_in_range(n, 1, cap);
		in->got.len += n;
	}
}

/* A TLS peer must say the same again until it is taken: it always sends from the first byte not
 * taken. */
static void peer_gives(
	struct pair *p, struct random *random, const uint8_t *bulk, struct way *in, size_t *n_taken)
{
	if (*n_taken == in->sent.len) {
		size_t n = 1 + random_below(random, 30000);

		strbuf_add(&in->sent, bulk + random_below(random, BULK_BYTES - n), n);
	}
	*n_taken += peer_give(p, in->sent.data + *n_taken, in->sent.len - *n_taken);
}

static void assert_same_way(const struct way *way)
{
	assert_int_equal(way->got.len, way->sent.len);
	assert_int_equal(memcmp(way->got.data, way->sent.data, way->got.len), 0);
}

static void random_history(struct pair *p, struct random *random, const uint8_t *bulk)
{
	struct way in = {STRBUF_INIT, STRBUF_INIT}, out = {STRBUF_INIT, STRBUF_INIT};
	unsigned n_unblocked = 0;
	size_t n_taken = 0;

	for (unsigned step = 0; step < N_STEPS; step++) {
		bool was_blocked = stream_is_blocked(&p->stream);

		switch (random_below(random, 6)) {
		case 0:
			stream_gives(p, random, bulk, &out);
			break;
		case 1:
			stream_takes(p, random, &in);
			break;
		case 2:
			peer_gives(p, random, bulk, &in, &n_taken);
			break;
		case 3:
			(void)peer_take(p, 1 + random_below(random, 50000), &out.got);
			break;
		default:
			turn(&p->loop);
			break;
		}
		n_unblocked += was_blocked && !stream_is_blocked(&p->stream);
		assert_int_equal(p->n_drained, n_unblocked);
	}
	while (out.got.len < out.sent.len || in.got.len < in.sent.len) {
		if (n_taken < in.sent.len)
			peer_gives(p, random, bulk, &in, &n_taken);
		stream_takes(p, random, &in);
		(void)peer_take(p, 50000, &out.got);
		turn(&p->loop);
	}
	assert_same_way(&in);
	assert_same_way(&out);
	strbuf_release(&in.sent);
	strbuf_release(&in.got);
	strbuf_release(&out.sent);
	strbuf_release(&out.got);
}

static void random_histories(void **state)
{
	struct random random = random_open();
	uint8_t *bulk = make_bulk();
	struct pair p;

	EACH_KIND(p)
	random_history(&p, &random, bulk);
	mem_free(bulk);
}

static struct cert server;

static int tls_setup(void **state)
{
	char error[TLS_ERROR_BYTES];
	struct config_tls cfg = {.mode = TLS_REQUIRE};

	assert_non_null(mkdtemp(certs_dir));
	server = cert_make((struct cert_request){.name = "server", .cn = "localhost"}, NULL);
	cfg.cert_file = server.cert_file;
	cfg.key_file = server.key_file;
	accepting = tls_context_new(&cfg, true, error);
	cfg.cert_file = cfg.key_file = NULL;
	connecting = tls_context_new(&cfg, false, error);
	assert_true(accepting != NULL && connecting != NULL);
	return 0;
}

static int tls_teardown(void **state)
{
	tls_context_unref(&accepting);
	tls_context_unref(&connecting);
	cert_free(&server);
	certs_remove_dir();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_fits_is_sent_at_once),
		cmocka_unit_test(what_does_not_fit_waits_in_order),
		cmocka_unit_test(large_and_small_pieces_in_one_call),
		cmocka_unit_test(a_short_read_means_drained),
		cmocka_unit_test(data_and_end_of_file_in_one_edge),
		cmocka_unit_test(end_of_file_after_the_data),
		cmocka_unit_test(half_closed),
		cmocka_unit_test(a_paused_stream_remembers_its_edge),
		cmocka_unit_test(a_paused_stream_hears_its_peer_hang_up),
		cmocka_unit_test(a_paused_stream_hears_its_peer_reset),
		cmocka_unit_test(a_paused_stream_that_is_blocked_hears_it_too),
		cmocka_unit_test(a_blocked_stream_does_not_spin),
		cmocka_unit_test(writing_to_a_peer_that_is_gone),
		cmocka_unit_test(a_blocked_stream_whose_peer_goes),
		cmocka_unit_test(nothing_is_called_after_close),
		cmocka_unit_test(closing_inside_callbacks),
		cmocka_unit_test(closing_says_goodbye),
		cmocka_unit_test(moving_between_loops),
		cmocka_unit_test(closing_while_it_has_no_loop),
		cmocka_unit_test(connecting_over_tcp),
		cmocka_unit_test(a_refusal_over_tcp),
		cmocka_unit_test(connecting_over_a_unix_socket),
		cmocka_unit_test(random_histories),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does: OpenSSL writes without MSG_NOSIGNAL */
	alarm(HANG_S);
	return cmocka_run_group_tests(tests, tls_setup, tls_teardown);
}
