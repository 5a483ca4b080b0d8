/* SPDX-License-Identifier: ISC */
#include "base/mem.h"

#include <stdarg.h>
#include <stdlib.h>

static void *or_die(void *p)
{
	if (UNLIKELY(p == NULL))
		base_panic(__FILE__, __LINE__, __func__, "out of memory");
	return p;
}

void *mem_alloc(size_t n_bytes)
{
	return or_die(malloc(n_bytes ? n_bytes : 1));
}

void *mem_zalloc(size_t n_bytes)
{
	return or_die(calloc(1, n_bytes ? n_bytes : 1));
}

void *mem_zalloc_lines(size_t n_bytes)
{
	const size_t line_bytes = 64;
	size_t n_whole = (n_bytes / line_bytes + 1) * line_bytes;
	void *p = or_die(aligned_alloc(line_bytes, n_whole));

	memset(p, 0, n_whole);
	return p;
}

void *mem_realloc(void *p, size_t n_bytes)
{
	return or_die(realloc(p, n_bytes ? n_bytes : 1));
}

void *mem_dup(const void *p, size_t n_bytes)
{
	void *copy = mem_alloc(n_bytes);

	if (n_bytes)
		memcpy(copy, p, n_bytes);
	return copy;
}

char *mem_strdup(const char *s)
{
	return s ? mem_dup(s, strlen(s) + 1) : NULL;
}

char *mem_strndup(const char *s, size_t len)
{
	char *copy = mem_alloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *out = NULL;

	va_start(ap, fmt);
	if (vasprintf(&out, fmt, ap) < 0)
		out = NULL;
	va_end(ap);
	return or_die(out);
}

void mem_free(void *p)
{
	free(p);
}
