/* SPDX-License-Identifier: ISC */
/*
 * The step that both hashes are made of. The state is two words; 16 bytes of input go into it, the
 * two words are multiplied and the 128-bit product is spread over them again. The old words stay
 * in (turned by half, because the low bits of a product say little), so that a factor of zero
 * loses nothing. One multiplication for 16 bytes is the whole cost.
 */
#ifndef PGW_HASH_PRIV_H
#define PGW_HASH_PRIV_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pgw/fingerprint.h"

/* Fractional parts of square roots of primes: bits without a pattern, and nothing up our sleeve. */
#define PGW__ROOT_2 UINT64_C(0x6a09e667f3bcc908)
#define PGW__ROOT_3 UINT64_C(0xbb67ae8584caa73b)
#define PGW__ROOT_5 UINT64_C(0x3c6ef372fe94f82b)
#define PGW__ROOT_7 UINT64_C(0xa54ff53a5f1d36f1)

static inline uint64_t pgw__half_turn(uint64_t x)
{
	return x << 32 | x >> 32;
}

static inline void pgw__stir(struct pgw_hash128 *state, uint64_t x, uint64_t y)
{
	uint64_t u = state->lo ^ x;
	uint64_t v = state->hi ^ y;
	__extension__ unsigned __int128 product = (unsigned __int128)u * v;

	state->lo = pgw__half_turn(u) ^ (uint64_t)product;
	state->hi = pgw__half_turn(v) ^ (uint64_t)(product >> 64);
}

/* Every bit of the state reaches every bit of the result. */
static inline struct pgw_hash128 pgw__settle(struct pgw_hash128 state)
{
	pgw__stir(&state, PGW__ROOT_2, PGW__ROOT_3);
	pgw__stir(&state, PGW__ROOT_5, PGW__ROOT_7);
	pgw__stir(&state, PGW__ROOT_3, PGW__ROOT_2);
	return state;
}

static inline uint64_t pgw__load8(const unsigned char *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return le64toh(x);
}

static inline uint64_t pgw__load4(const unsigned char *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return le32toh(x);
}

/* At most 16 bytes as two words; no two texts of the same length give the same pair. */
static inline void pgw__load_tail(const unsigned char *p, size_t n, uint64_t *x_r, uint64_t *y_r)
{
	if (n >= 8) {
		*x_r = pgw__load8(p);
		*y_r = pgw__load8(p + n - 8);
	} else if (n >= 4) {
		*x_r = pgw__load4(p);
		*y_r = pgw__load4(p + n - 4);
	} else {
		*x_r = n ? (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1] : 0;
		*y_r = 0;
	}
}

#endif
