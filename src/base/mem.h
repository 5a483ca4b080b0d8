/* SPDX-License-Identifier: ISC */
/*
 * Allocation for small objects of our own making: these never return NULL, they end the process
 * (base_panic) when memory is gone. What a peer sizes is capped by its caller first.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/base.h"

void *mem_alloc(size_t n_bytes) WARN_UNUSED;		/* uninitialised */
void *mem_zalloc(size_t n_bytes) WARN_UNUSED;		/* zeroed */
void *mem_zalloc_lines(size_t n_bytes) WARN_UNUSED;	/* zeroed; begins on a cache line */
void *mem_realloc(void *p, size_t n_bytes) WARN_UNUSED; /* p may be NULL */
void *mem_dup(const void *p, size_t n_bytes) WARN_UNUSED;
char *mem_strdup(const char *s) WARN_UNUSED; /* s NULL gives NULL */
char *mem_strndup(const char *s, size_t len) WARN_UNUSED;
char *mem_printf(const char *fmt, ...) WARN_UNUSED PRINTF_LIKE(1, 2);
void mem_free(void *p); /* NULL is fine */

#endif
