/* SPDX-License-Identifier: ISC */
/* Seeded numbers for property tests: PGLANE_SEED=N repeats a run; the seed is printed. */
#ifndef UNIT_RANDOM_H
#define UNIT_RANDOM_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define RANDOM_SEED_DEFAULT 20240611u

struct random {
	uint64_t state;
};

static inline struct random random_open(void)
{
	const char *text = getenv("PGLANE_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 10) : RANDOM_SEED_DEFAULT;

	printf("PGLANE_SEED=%" PRIu64 "\n", seed);
	return (struct random){.state = seed};
}

/* splitmix64 */
static inline uint64_t random_u64(struct random *random)
{
	uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* 0 … n - 1 */
static inline uint64_t random_below(struct random *random, uint64_t n)
{
	return random_u64(random) % n;
}

#endif
