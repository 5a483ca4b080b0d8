/* SPDX-License-Identifier: ISC */
/*
 * However a stream of messages is cut into pieces, the same frames come out: types, lengths and
 * bodies. The reader here works as the data path does: it keeps no body, only a header cut in two.
 */
#include "pgw/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "pgw/cursor.h"
#include "property/wire/seed.h"

#define MAX_MESSAGES 24
#define MAX_STREAM_BYTES 8192
#define N_STREAMS 3000

struct message {
	uint8_t type;
	uint32_t n_body_bytes;
	uint64_t hash; /* of the body, FNV-1a */
};

struct framer {
	uint8_t header[PGW_HEADER_BYTES];
	size_t n_header;
	uint32_t n_left; /* body bytes still to come */
	struct message seen[MAX_MESSAGES + 1];
	size_t n_seen;
};

static uint64_t hash_more(uint64_t hash, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

#define HASH_START UINT64_C(0xcbf29ce484222325)

/* A header, from the bytes alone or behind what an earlier piece left. Returns bytes used. */
static size_t take_header(struct framer *f, const uint8_t *bytes, size_t n)
{
	size_t n_take = PGW_HEADER_BYTES - f->n_header;
	struct pgw_frame frame = { 0 };
	enum pgw_err err;

	if (n_take > n)
		n_take = n;
	memcpy(f->header + f->n_header, bytes, n_take);
	f->n_header += n_take;
	err = pgw_frame_read(f->header, f->n_header, &frame);
	if (f->n_header < PGW_HEADER_BYTES) {
		assert_int_equal(err, PGW_MORE);
		return n_take;
	}
	assert_int_equal(err, PGW_OK);
	assert_true(f->n_seen < MAX_MESSAGES);
	f->seen[f->n_seen++] = (struct message){ frame.type, frame.n_body_bytes, HASH_START };
	f->n_left = frame.n_body_bytes;
	f->n_header = 0;
	return n_take;
}

static void feed(struct framer *f, const uint8_t *bytes, size_t n)
{
	while (n > 0) {
		size_t n_used;

		if (f->n_left == 0) {
			n_used = take_header(f, bytes, n);
		} else {
			struct message *last = &f->seen[f->n_seen - 1];

			n_used = f->n_left < n ? f->n_left : n;
			last->hash = hash_more(last->hash, bytes, n_used);
			f->n_left -= (uint32_t)n_used;
		}
		bytes += n_used;
		n -= n_used;
	}
}

/* Messages of random bytes, so that bodies hold what looks like headers; short ones most often. */
static size_t make_stream(uint8_t *stream, struct message *made, size_t *n_made_r)
{
	struct pgw_writer w = pgw_writer_on(stream, MAX_STREAM_BYTES);
	size_t n = 1 + seed_below(MAX_MESSAGES);

	for (size_t i = 0; i < n; i++) {
		static const size_t limits[] = { 1, 4, 16, 300 };
		size_t n_body = seed_below(limits[seed_below(4)]);
		size_t start = w.len + PGW_HEADER_BYTES;

		made[i].type = (uint8_t)(1 + seed_below(255));
		made[i].n_body_bytes = (uint32_t)n_body;
		pgw_write_begin(&w, made[i].type);
		while (n_body-- > 0)
			pgw_write_u8(&w, (uint8_t)(seed_below(3) ? seed_next() : 0));
		pgw_write_end(&w);
		made[i].hash = hash_more(HASH_START, stream + start, w.len - start);
	}
	assert_int_equal(w.err, PGW_OK);
	*n_made_r = n;
	return w.len;
}

static void assert_same(const struct framer *f, const struct message *made, size_t n_made)
{
	assert_int_equal(f->n_left, 0);
	assert_int_equal(f->n_header, 0);
	assert_int_equal(f->n_seen, n_made);
	for (size_t i = 0; i < n_made; i++) {
		assert_int_equal(f->seen[i].type, made[i].type);
		assert_int_equal(f->seen[i].n_body_bytes, made[i].n_body_bytes);
		assert_true(f->seen[i].hash == made[i].hash);
	}
}

static void feed_in_pieces(struct framer *f, const uint8_t *stream, size_t n, size_t max_piece)
{
	size_t at = 0;

	memset(f, 0, sizeof(*f));
	while (at < n) {
		size_t n_piece = 1 + seed_below(max_piece);

		if (n_piece > n - at)
			n_piece = n - at;
		feed(f, stream + at, n_piece);
		at += n_piece;
	}
}

static void any_cutting_gives_the_same_frames(void **state)
{
	static const size_t max_pieces[] = { 1, 2, 5, 7, 64, 1000, MAX_STREAM_BYTES };
	static uint8_t stream[MAX_STREAM_BYTES];
	struct message made[MAX_MESSAGES];
	struct framer f;

	for (int round = 0; round < N_STREAMS; round++) {
		size_t n_made;
		size_t n = make_stream(stream, made, &n_made);

		for (size_t i = 0; i < sizeof(max_pieces) / sizeof(max_pieces[0]); i++) {
			feed_in_pieces(&f, stream, n, max_pieces[i]);
			assert_same(&f, made, n_made);
		}
	}
}

static void each_single_cut_gives_the_same_frames(void **state)
{
	static uint8_t stream[MAX_STREAM_BYTES];
	struct message made[MAX_MESSAGES];
	struct framer f;

	for (int round = 0; round < 20; round++) {
		size_t n_made;
		size_t n = make_stream(stream, made, &n_made);

		for (size_t cut = 0; cut <= n; cut++) {
			memset(&f, 0, sizeof(f));
			feed(&f, stream, cut);
			feed(&f, stream + cut, n - cut);
			assert_same(&f, made, n_made);
		}
	}
}

/* Framing in place, as over a receive buffer: the part of the body that is there is named exactly. */
static void a_prefix_shows_the_part_of_the_body_it_has(void **state)
{
	static uint8_t stream[MAX_STREAM_BYTES];
	struct message made[MAX_MESSAGES];

	for (int round = 0; round < 200; round++) {
		size_t n_made;
		size_t n = make_stream(stream, made, &n_made);

		for (size_t have = 0; have <= n; have++) {
			size_t there = have < PGW_HEADER_BYTES ? 0 : have - PGW_HEADER_BYTES;
			struct pgw_frame frame = { 0 };
			enum pgw_err err = pgw_frame_read(stream, have, &frame);

			assert_int_equal(err, have < PGW_HEADER_BYTES ? PGW_MORE : PGW_OK);
			if (err != PGW_OK)
				continue;
			assert_ptr_equal(frame.body, stream + PGW_HEADER_BYTES);
			assert_int_equal(frame.n_body_bytes, made[0].n_body_bytes);
			assert_int_equal(frame.n_available,
				there < made[0].n_body_bytes ? there : made[0].n_body_bytes);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_cutting_gives_the_same_frames),
		cmocka_unit_test(each_single_cut_gives_the_same_frames),
		cmocka_unit_test(a_prefix_shows_the_part_of_the_body_it_has),
	};

	seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
