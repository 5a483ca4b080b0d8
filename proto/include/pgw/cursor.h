/* SPDX-License-Identifier: ISC */
/*
 * Bounded reader and writer over bytes with a sticky error: after the first failure each call is
 * a no-op, so that a parser is written straight down and checks `err` once. Integers are big-endian.
 * Bytes are borrowed, never copied or owned. What runs once a message is inline.
 */
#ifndef PGW_CURSOR_H
#define PGW_CURSOR_H

#include <stddef.h>
#include <stdint.h>

#include "pgw/error.h"

struct pgw_reader {
	const uint8_t *at;
	const uint8_t *end;
	enum pgw_err err;
};

static inline struct pgw_reader pgw_reader_on(const void *bytes, size_t n)
{
	const uint8_t *p = (const uint8_t *)bytes;

	return (struct pgw_reader){ .at = p, .end = n ? p + n : p };
}

static inline size_t pgw_reader_left(const struct pgw_reader *r)
{
	return r->err ? 0 : (size_t)(r->end - r->at);
}

/* n bytes, borrowed; NULL after an error. */
static inline const uint8_t *pgw_read_bytes(struct pgw_reader *r, size_t n)
{
	const uint8_t *at = r->at;

	if (r->err)
		return NULL;
	if (n > (size_t)(r->end - at)) {
		r->err = PGW_E_TRUNCATED;
		return NULL;
	}
	if (n)
		r->at = at + n;
	return at;
}

/* Integers are 0 after an error. */
static inline uint8_t pgw_read_u8(struct pgw_reader *r)
{
	const uint8_t *p = pgw_read_bytes(r, 1);

	return p ? p[0] : 0;
}

static inline uint16_t pgw_read_u16(struct pgw_reader *r)
{
	const uint8_t *p = pgw_read_bytes(r, 2);

	return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

static inline uint32_t pgw_read_u32(struct pgw_reader *r)
{
	const uint8_t *p = pgw_read_bytes(r, 4);

	return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

/*
 * A NUL-terminated string inside the bytes: borrowed; "" after an error. *len_r (may be NULL)
 * excludes the NUL.
 */
const char *pgw_read_cstr(struct pgw_reader *r, size_t *len_r);
/* PGW_OK when nothing failed and nothing is left; PGW_E_TRAILING when bytes are left. */
enum pgw_err pgw_read_end(struct pgw_reader *r) PGW_WARN_UNUSED;

/*
 * Writes into the caller's memory; `len` is what was written. The first failure is sticky and takes
 * the open message back: data[0..len) always holds whole messages once every one has been ended.
 */
struct pgw_writer {
	uint8_t *data;
	size_t cap;
	size_t len;
	size_t message_at; /* where the open message's length field is, for pgw_write_end() */
	size_t message_start; /* where the open message starts: len after a failure */
	enum pgw_err err;
};

static inline struct pgw_writer pgw_writer_on(void *mem, size_t cap)
{
	return (struct pgw_writer){ .data = (uint8_t *)mem, .cap = cap };
}

/* Fails the writer from outside, when a builder is given what no message can hold. */
static inline void pgw_write_fail(struct pgw_writer *w, enum pgw_err err)
{
	if (w->err)
		return;
	w->err = err;
	w->len = w->message_start;
}

/* n more bytes of the message, to be filled by the caller; NULL after an error. */
static inline uint8_t *pgw_write_space(struct pgw_writer *w, size_t n)
{
	uint8_t *p;

	if (w->err)
		return NULL;
	if (n > w->cap - w->len) {
		pgw_write_fail(w, PGW_E_NO_SPACE);
		return NULL;
	}
	p = w->data + w->len;
	w->len += n;
	return p;
}

static inline void pgw_write_u8(struct pgw_writer *w, uint8_t v)
{
	uint8_t *p = pgw_write_space(w, 1);

	if (p)
		p[0] = v;
}

static inline void pgw_write_u16(struct pgw_writer *w, uint16_t v)
{
	uint8_t *p = pgw_write_space(w, 2);

	if (!p)
		return;
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void pgw_write_u32(struct pgw_writer *w, uint32_t v)
{
	uint8_t *p = pgw_write_space(w, 4);

	if (!p)
		return;
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

void pgw_write_bytes(struct pgw_writer *w, const void *bytes, size_t n);
void pgw_write_cstr(struct pgw_writer *w, const char *s); /* with its NUL */
/*
 * Opens a message: type byte (0: none, as startup forms have) and a length that pgw_write_end()
 * patches. Messages do not nest.
 */
void pgw_write_begin(struct pgw_writer *w, uint8_t type);
void pgw_write_end(struct pgw_writer *w);

#endif
