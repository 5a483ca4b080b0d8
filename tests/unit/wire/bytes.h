/* SPDX-License-Identifier: ISC */
/* Bytes for the wire tests: literals with their length, and heap blocks without a byte to spare. */
#ifndef TESTS_UNIT_WIRE_BYTES_H
#define TESTS_UNIT_WIRE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A literal as (bytes, length), its closing NUL left out. */
#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

/* A copy that ends where the allocation ends: a read behind it is seen by ASan. Caller frees. */
static inline uint8_t *exact(const void *bytes, size_t n)
{
	uint8_t *copy = calloc(1, n ? n : 1);

	if (copy == NULL)
		abort();
	if (n)
		memcpy(copy, bytes, n);
	return copy;
}

#endif
