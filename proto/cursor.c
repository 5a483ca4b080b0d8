/* SPDX-License-Identifier: ISC */
/* The part of the cursors that is not worth a copy at each call site. */
#include "pgw/cursor.h"

#include <string.h>

const char *pgw_read_cstr(struct pgw_reader *r, size_t *len_r)
{
	size_t left = pgw_reader_left(r);
	const uint8_t *at = r->at;
	const uint8_t *nul = left ? memchr(at, '\0', left) : NULL;

	if (nul == NULL) {
		if (!r->err)
			r->err = PGW_E_TRUNCATED;
		if (len_r)
			*len_r = 0;
		return "";
	}
	if (len_r)
		*len_r = (size_t)(nul - at);
	r->at = nul + 1;
	return (const char *)at;
}

enum pgw_err pgw_read_end(struct pgw_reader *r)
{
	if (!r->err && r->at != r->end)
		r->err = PGW_E_TRAILING;
	return r->err;
}

void pgw_write_bytes(struct pgw_writer *w, const void *bytes, size_t n)
{
	uint8_t *p;

	if (n == 0) /* `bytes` may be NULL */
		return;
	p = pgw_write_space(w, n);
	if (p)
		memcpy(p, bytes, n);
}

void pgw_write_cstr(struct pgw_writer *w, const char *s)
{
	pgw_write_bytes(w, s, strlen(s) + 1);
}

void pgw_write_begin(struct pgw_writer *w, uint8_t type)
{
	if (w->err)
		return;
	w->message_start = w->len;
	if (type)
		pgw_write_u8(w, type);
	w->message_at = w->len;
	pgw_write_u32(w, 0);
}

void pgw_write_end(struct pgw_writer *w)
{
	size_t length = w->len - w->message_at;
	uint8_t *p;

	if (w->err)
		return;
	if (length > INT32_MAX) { /* the length field is a signed number to the peer */
		pgw_write_fail(w, PGW_E_TOO_LONG);
		return;
	}
	p = w->data + w->message_at;
	p[0] = (uint8_t)(length >> 24);
	p[1] = (uint8_t)(length >> 16);
	p[2] = (uint8_t)(length >> 8);
	p[3] = (uint8_t)length;
	w->message_start = w->len;
}
