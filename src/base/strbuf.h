/* SPDX-License-Identifier: ISC */
/*
 * A growing byte string. Invariants: after strbuf_init() `data` is never NULL, data[len] is '\0'
 * and cap > len or data is the shared empty string (cap 0). Fields may be read, never written.
 * Owner: whoever declared it; release with strbuf_release().
 */
#ifndef BASE_STRBUF_H
#define BASE_STRBUF_H

#include <stdarg.h>

#include "base/base.h"

struct strbuf {
	char *data;
	size_t len;
	size_t cap;
};

extern char strbuf_empty[1];
#define STRBUF_INIT                                                                                \
	{                                                                                          \
		strbuf_empty, 0, 0                                                                 \
	}

void strbuf_init(struct strbuf *sb);
void strbuf_release(struct strbuf *sb);		       /* frees, back to empty */
void strbuf_reset(struct strbuf *sb);		       /* keeps the memory */
void strbuf_reserve(struct strbuf *sb, size_t n_more); /* room for n_more bytes */
void strbuf_add(struct strbuf *sb, const void *bytes, size_t n);
void strbuf_adds(struct strbuf *sb, const char *s);
void strbuf_addc(struct strbuf *sb, char c);
void strbuf_addf(struct strbuf *sb, const char *fmt, ...) PRINTF_LIKE(2, 3);
void strbuf_vaddf(struct strbuf *sb, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* Appends s between single quotes as a standard-conforming SQL literal (E'' when it has a
 * backslash). */
void strbuf_add_literal(struct strbuf *sb, const char *s);
/* Appends s between double quotes as an SQL identifier. */
void strbuf_add_ident(struct strbuf *sb, const char *s);
char *strbuf_detach(struct strbuf *sb) WARN_UNUSED; /* the caller frees with mem_free() */

#endif
