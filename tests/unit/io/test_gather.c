/* SPDX-License-Identifier: ISC */
/*
 * What goes out in one send. The stream under it is a SOCK_SEQPACKET socket, so that each send(2)
 * arrives as one packet of its own and can be counted; the random histories use a byte stream.
 */
#include "io/gather.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "unit/random.h"

#define N_PACKET 180000u /* more than one flush ever sends here */

static struct loop loop;
static struct stream stream;
static struct gather gather; /* zeroed once, as in a worker */
static int peer;

static void ignore(struct stream *s)
{
}

static const struct stream_ops ops = {.on_readable = ignore, .on_drained = ignore};

static int open_with(int type)
{
	int fds[2], room = 1 << 20;

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
	peer = fds[1];
	loop_init(&loop);
	stream_open(&stream, &loop, fds[0], true, &ops);
	gather_begin(&gather, &stream);
	return 0;
}

static int packets_setup(void **state)
{
	return open_with(SOCK_SEQPACKET);
}

static int bytes_setup(void **state)
{
	return open_with(SOCK_STREAM);
}

static int teardown(void **state)
{
	(void)gather_flush(&gather);
	stream_close(&stream);
	if (peer >= 0)
		close(peer);
	loop_release(&loop);
	return 0;
}

static uint8_t packet[N_PACKET];

static size_t next_packet(void)
{
	ssize_t n = recv(peer, packet, sizeof(packet), 0);

	return n > 0 ? (size_t)n : 0;
}

static void assert_packet(const char *expected)
{
	size_t n = next_packet();

	assert_int_equal(n, strlen(expected));
	assert_memory_equal(packet, expected, n);
}

static void assert_no_packet(void)
{
	assert_int_equal(recv(peer, packet, sizeof(packet), 0), -1);
	assert_int_equal(errno, EAGAIN);
}

static void nothing_is_sent_before_the_flush(void **state)
{
	gather_ref(&gather, "abc", 3);
	gather_copy(&gather, "def", 3);
	assert_no_packet();
	assert_true(gather_flush(&gather));
	assert_packet("abcdef");
	assert_true(gather_flush(&gather));
	assert_no_packet(); /* nothing is left */
	assert_int_equal(gather.n_bytes, 6);
}

static void nothing_gathered_is_nothing_sent(void **state)
{
	gather_ref(&gather, "", 0);
	gather_copy(&gather, "", 0);
	assert_int_equal(gather.n_pieces, 0);
	assert_true(gather_flush(&gather));
	assert_no_packet();
}

static void neighbours_merge(void **state)
{
	static const char text[] = "0123456789";

	gather_ref(&gather, text, 3);
	gather_ref(&gather, text + 3, 4);
	assert_int_equal(gather.n_pieces, 1);
	gather_ref(&gather, text + 8, 2); /* one byte further on */
	assert_int_equal(gather.n_pieces, 2);
	gather_copy(&gather, "x", 1);
	gather_copy(&gather, "y", 1);
	assert_int_equal(gather.n_pieces, 3);
	assert_true(gather_flush(&gather));
	assert_packet("012345689xy");
}

static void a_copy_is_the_callers_no_more(void **state)
{
	char text[] = "before";

	gather_copy(&gather, text, 6);
	memcpy(text, "after!", 6);
	assert_true(gather_flush(&gather));
	assert_packet("before");
}

/* Pieces that are no neighbours: every other byte. */
static void pieces_beyond_the_limit_go_in_a_second_send(void **state)
{
	static uint8_t bytes[2 * (GATHER_PIECES + 1)];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (size_t i = 0; i <= GATHER_PIECES; i++)
		gather_ref(&gather, bytes + 2 * i, 1);
	assert_int_equal(next_packet(), GATHER_PIECES);
	for (size_t i = 0; i < GATHER_PIECES; i++)
		assert_int_equal(packet[i], 2 * i);
	assert_true(gather_flush(&gather));
	assert_int_equal(next_packet(), 1);
	assert_int_equal(packet[0], 2 * GATHER_PIECES);
}

static void a_full_list_still_merges(void **state)
{
	static uint8_t bytes[2 * GATHER_PIECES + 8];

	for (size_t i = 0; i < GATHER_PIECES; i++)
		gather_ref(&gather, bytes + 2 * i, 1);
	gather_ref(&gather, bytes + 2 * (GATHER_PIECES - 1) + 1, 3);
	assert_no_packet();
	assert_int_equal(gather.n_pieces, GATHER_PIECES);
	assert_true(gather_flush(&gather));
	assert_int_equal(next_packet(), GATHER_PIECES + 3);
}

static void a_copy_into_a_full_list_comes_after_it(void **state)
{
	static const char bytes[] =
		"abababababababababababababababababababababababababababababababababababababababab"
		"ababababababababababababababababababababababababab";

	for (size_t i = 0; i < GATHER_PIECES; i++)
		gather_ref(&gather, bytes + 2 * i, 1);
	gather_copy(&gather, "z", 1);
	assert_int_equal(next_packet(), GATHER_PIECES);
	assert_true(gather_flush(&gather));
	assert_packet("z");
}

/* The send in between gives the scratch memory back: the copy must not lie in what is free again.
 */
static void a_copy_into_a_full_list_keeps_its_bytes(void **state)
{
	static uint8_t bytes[2 * GATHER_PIECES], filler[200];

	gather_copy(&gather, filler, 100);
	for (size_t i = 0; i < GATHER_PIECES - 1; i++)
		gather_ref(&gather, bytes + 2 * i, 1);
	gather_copy(&gather, "z", 1);
	assert_int_equal(next_packet(), 100 + GATHER_PIECES - 1);
	gather_copy(&gather, filler, sizeof(filler));
	assert_true(gather_flush(&gather));
	assert_int_equal(next_packet(), 1 + sizeof(filler));
	assert_int_equal(packet[0], 'z');
}

static void scratch_that_is_full_is_sent(void **state)
{
	static uint8_t bytes[GATHER_SCRATCH_BYTES];

	memset(bytes, 'a', sizeof(bytes));
	gather_copy(&gather, bytes, 40000);
	memset(bytes, 'b', sizeof(bytes));
	gather_copy(&gather, bytes, GATHER_SCRATCH_BYTES - 40000); /* to the last byte */
	assert_no_packet();
	gather_copy(&gather, "c", 1);
	assert_int_equal(next_packet(), GATHER_SCRATCH_BYTES);
	assert_int_equal(packet[39999], 'a');
	assert_int_equal(packet[40000], 'b');
	assert_int_equal(packet[GATHER_SCRATCH_BYTES - 1], 'b');
	assert_true(gather_flush(&gather));
	assert_packet("c");
}

static void a_copy_larger_than_scratch_is_sent_at_once(void **state)
{
	size_t n = GATHER_SCRATCH_BYTES + 1;
	uint8_t *bytes = mem_alloc(n);

	memset(bytes, 'x', n);
	gather_ref(&gather, "head", 4);
	gather_copy(&gather, bytes, n);
	memset(bytes, '!', n); /* it is the caller's again */
	mem_free(bytes);
	assert_int_equal(next_packet(), 4 + n);
	assert_memory_equal(packet, "headxxx", 7);
	assert_int_equal(packet[3 + n], 'x');
	assert_true(gather_flush(&gather));
	assert_no_packet();
	assert_int_equal(gather.n_bytes, 4 + n);
}

/* Up to GATHER_JOIN_BYTES the pieces are copied side by side, beyond it they are sent from where
 * they lie: the bytes are the same. */
static void joined_or_not_the_bytes_are_the_same(void **state)
{
	static uint8_t bytes[2 * GATHER_JOIN_BYTES];
	static const size_t sizes[] = {1, GATHER_JOIN_BYTES / 2 - 1, GATHER_JOIN_BYTES / 2,
		GATHER_JOIN_BYTES / 2 + 1, GATHER_JOIN_BYTES - 1};

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 + i / 256);
	for (unsigned i = 0; i < N_ELEMENTS(sizes); i++) {
		size_t n = sizes[i];

		gather_ref(&gather, bytes + GATHER_JOIN_BYTES, n);
		gather_ref(&gather, bytes, GATHER_JOIN_BYTES / 2);
		assert_true(gather_flush(&gather));
		assert_int_equal(next_packet(), n + GATHER_JOIN_BYTES / 2);
		assert_memory_equal(packet, bytes + GATHER_JOIN_BYTES, n);
		assert_memory_equal(packet + n, bytes, GATHER_JOIN_BYTES / 2);
	}
}

static void messages_are_built_in_place(void **state)
{
	struct pgw_writer writer = gather_writer(&gather, 100);

	pgw_write_u32(&writer, 0x31323334);
	gather_commit(&gather, &writer); /* less than was asked for */
	writer = gather_writer(&gather, 4);
	pgw_write_u32(&writer, 0x35363738);
	gather_commit(&gather, &writer);
	writer = gather_writer(&gather, 4);
	gather_commit(&gather, &writer); /* nothing at all */
	assert_int_equal(gather.n_pieces, 1);
	assert_int_equal(gather.n_scratch, 8);
	assert_true(gather_flush(&gather));
	assert_packet("12345678");
}

static void room_for_a_message_is_made_by_sending(void **state)
{
	static uint8_t bytes[GATHER_SCRATCH_BYTES];
	struct pgw_writer writer;

	gather_copy(&gather, bytes, sizeof(bytes) - 3);
	writer = gather_writer(&gather, 4);
	assert_int_equal(next_packet(), sizeof(bytes) - 3);
	pgw_write_u32(&writer, 0x31323334);
	gather_commit(&gather, &writer);
	writer = gather_writer(&gather, GATHER_SCRATCH_BYTES); /* all of it */
	gather_commit(&gather, &writer);
	assert_packet("1234");
	assert_true(gather_flush(&gather));
	assert_no_packet();
}

static void a_broken_stream_stays_broken_until_the_next_begin(void **state)
{
	int fds[2];

	close(peer);
	peer = -1;
	gather_ref(&gather, "abc", 3);
	assert_false(gather_flush(&gather));
	assert_int_equal(gather.n_pieces, 0);
	gather_copy(&gather, "def", 3);
	assert_false(gather_flush(&gather));
	for (size_t i = 0; i < 2 * GATHER_PIECES; i++) /* flushes in between, too */
		gather_copy(&gather, i % 2 ? "a" : "b", 1);
	assert_false(gather_flush(&gather));

	/* The same gather for another stream: nothing of the old one comes out of it. */
	stream_close(&stream);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
	peer = fds[1];
	stream_open(&stream, &loop, fds[0], true, &ops);
	gather_begin(&gather, &stream);
	assert_int_equal(gather.n_bytes, 0);
	gather_copy(&gather, "new", 3);
	assert_true(gather_flush(&gather));
	assert_packet("new");
}

/* ---- random histories: the bytes that arrive are the bytes that were added, in order ---- */

#define N_SOURCE 100000u
#define N_STEPS 3000u

static void take_all(struct strbuf *got)
{
	static uint8_t some[65536];
	ssize_t n;

	do {
		while ((n = recv(peer, some, sizeof(some), 0)) > 0)
			strbuf_add(got, some, (size_t)n);
		assert_int_equal(event_base_loop(loop.base, EVLOOP_NONBLOCK), 0);
	} while (stream_is_blocked(&stream));
	while ((n = recv(peer, some, sizeof(some), 0)) > 0)
		strbuf_add(got, some, (size_t)n);
}

static void add_random(struct random *random, uint8_t *source, struct strbuf *expected)
{
	size_t n = random_below(random, random_below(random, 10) ? 300 : N_SOURCE);
	size_t at = random_below(random, N_SOURCE - n);
	struct pgw_writer writer;

	switch (random_below(random, 3)) {
	case 0:
		gather_ref(&gather, source + at, n);
		break;
	case 1:
		gather_copy(&gather, source + at, n);
		break;
	default:
		n = MIN_OF(n, (size_t)GATHER_SCRATCH_BYTES);
		writer = gather_writer(&gather, n);
		pgw_write_bytes(&writer, source + at, n);
		gather_commit(&gather, &writer);
		break;
	}
	strbuf_add(expected, source + at, n);
}

static void what_has_not_left_can_be_dropped(void **state)
{
	static const char pieces[2 * GATHER_PIECES + 2] = { 0 };

	gather_begin(&gather, &stream);
	gather_ref(&gather, pieces, 1);
	gather_copy(&gather, "copied", 6);
	assert_true(gather_drop(&gather));
	assert_int_equal(gather.n_bytes, 0);
	assert_true(gather_drop(&gather)); /* nothing is dropped like something */
	/* Once a part of it has left it is too late for the rest. */
	for (int i = 0; i <= GATHER_PIECES; i++)
		gather_ref(&gather, &pieces[2 * i], 1);
	assert_false(gather_drop(&gather));
	assert_int_equal(gather.n_bytes, GATHER_PIECES + 1);
	assert_true(gather_flush(&gather));
	assert_false(gather_drop(&gather));
}

static void random_histories(void **state)
{
	struct random random = random_open();
	struct strbuf expected = STRBUF_INIT, got = STRBUF_INIT;
	uint8_t *source = mem_alloc(N_SOURCE);

	for (unsigned step = 0; step < N_STEPS; step++) {
		if (step % 100 == 0) {
			assert_true(gather_flush(
				&gather)); /* what is borrowed may change from here on */
			for (size_t i = 0; i < N_SOURCE; i++)
				source[i] = (uint8_t)random_u64(&random);
		}
		add_random(&random, source, &expected);
		if (random_below(&random, 8) == 0)
			assert_true(gather_flush(&gather));
		if (random_below(&random, 4) == 0)
			take_all(&got);
	}
	assert_true(gather_flush(&gather));
	take_all(&got);
	assert_int_equal(gather.n_bytes, expected.len);
	assert_int_equal(got.len, expected.len);
	assert_int_equal(memcmp(got.data, expected.data, got.len), 0);
	strbuf_release(&expected);
	strbuf_release(&got);
	mem_free(source);
}

int main(void)
{
#define PACKETS_TEST(name) cmocka_unit_test_setup_teardown(name, packets_setup, teardown)
	const struct CMUnitTest tests[] = {
		PACKETS_TEST(nothing_is_sent_before_the_flush),
		PACKETS_TEST(nothing_gathered_is_nothing_sent),
		PACKETS_TEST(neighbours_merge),
		PACKETS_TEST(a_copy_is_the_callers_no_more),
		PACKETS_TEST(pieces_beyond_the_limit_go_in_a_second_send),
		PACKETS_TEST(a_full_list_still_merges),
		PACKETS_TEST(a_copy_into_a_full_list_comes_after_it),
		PACKETS_TEST(a_copy_into_a_full_list_keeps_its_bytes),
		PACKETS_TEST(scratch_that_is_full_is_sent),
		PACKETS_TEST(a_copy_larger_than_scratch_is_sent_at_once),
		PACKETS_TEST(joined_or_not_the_bytes_are_the_same),
		PACKETS_TEST(messages_are_built_in_place),
		PACKETS_TEST(room_for_a_message_is_made_by_sending),
		PACKETS_TEST(what_has_not_left_can_be_dropped),
		PACKETS_TEST(a_broken_stream_stays_broken_until_the_next_begin),
		cmocka_unit_test_setup_teardown(random_histories, bytes_setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
