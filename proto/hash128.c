/* SPDX-License-Identifier: ISC */
/*
 * A keyed hash for tables and names. The seed is in both factors of every multiplication, so
 * somebody who does not know it cannot prepare texts that collide; against one who can see hashes
 * it promises nothing.
 */
#include "pgw/fingerprint.h"

#include "hash_priv.h"

static struct pgw_hash128 hash(struct pgw_hash128 state, const unsigned char *p, size_t n)
{
	size_t left = n;
	uint64_t x;
	uint64_t y;

	for (; left > 16; p += 16, left -= 16)
		pgw__stir(&state, pgw__load8(p), pgw__load8(p + 8));
	pgw__load_tail(p, left, &x, &y);
	pgw__stir(&state, x, y);
	state.lo += n;
	return pgw__settle(state);
}

struct pgw_hash128 pgw_hash128(const void *bytes, size_t n, uint64_t seed)
{
	struct pgw_hash128 state = { .lo = seed ^ PGW__ROOT_2, .hi = seed ^ PGW__ROOT_5 };

	pgw__stir(&state, PGW__ROOT_3, PGW__ROOT_7);
	return hash(state, bytes, n);
}

struct pgw_hash128 pgw_hash128_more(struct pgw_hash128 so_far, const void *bytes, size_t n)
{
	return hash(so_far, bytes, n);
}
