/* SPDX-License-Identifier: ISC */
/*
 * Bounded reader and writer over bytes with a sticky error: after the first failure each call is
 * a no-op, so that a parser is written straight down and checks `err` once. Integers are big-endian.
 * Bytes are borrowed, never copied or owned.
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

	return (struct pgw_reader){ .at = p, .end = p + n };
}

uint8_t pgw_read_u8(struct pgw_reader *r);   /* 0 after an error */
uint16_t pgw_read_u16(struct pgw_reader *r);
uint32_t pgw_read_u32(struct pgw_reader *r);
/* A NUL-terminated string inside the bytes: borrowed; "" after an error. *len_r (may be NULL) excludes the NUL. */
const char *pgw_read_cstr(struct pgw_reader *r, size_t *len_r);
/* n bytes, borrowed; NULL after an error. */
const uint8_t *pgw_read_bytes(struct pgw_reader *r, size_t n);
static inline size_t pgw_reader_left(const struct pgw_reader *r) { return r->err ? 0 : (size_t)(r->end - r->at); }
/* PGW_OK when nothing failed and nothing is left; PGW_E_TRAILING when bytes are left. */
enum pgw_err pgw_read_end(struct pgw_reader *r) PGW_WARN_UNUSED;

/* Writes into the caller's memory; `len` is what was written; PGW_E_NO_SPACE is sticky. */
struct pgw_writer {
	uint8_t *data;
	size_t cap;
	size_t len;
	size_t message_at; /* where the open message's length field is, for pgw_write_end() */
	enum pgw_err err;
};

static inline struct pgw_writer pgw_writer_on(void *mem, size_t cap)
{
	return (struct pgw_writer){ .data = (uint8_t *)mem, .cap = cap };
}

void pgw_write_u8(struct pgw_writer *w, uint8_t v);
void pgw_write_u16(struct pgw_writer *w, uint16_t v);
void pgw_write_u32(struct pgw_writer *w, uint32_t v);
void pgw_write_bytes(struct pgw_writer *w, const void *bytes, size_t n);
void pgw_write_cstr(struct pgw_writer *w, const char *s); /* with its NUL */
/* Opens a message: type byte (0: none, as startup forms have) and a length that pgw_write_end() patches. */
void pgw_write_begin(struct pgw_writer *w, uint8_t type);
void pgw_write_end(struct pgw_writer *w);

#endif
