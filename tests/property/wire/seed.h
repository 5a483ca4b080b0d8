/* SPDX-License-Identifier: ISC */
/*
 * Random numbers that can be had again: the seed is PGLANE_SEED or the fixed default, and is printed
 * first, so that any failure names what repeats it.
 */
#ifndef TESTS_PROPERTY_WIRE_SEED_H
#define TESTS_PROPERTY_WIRE_SEED_H

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed_state;

static inline void seed_init(void)
{
	const char *text = getenv("PGLANE_SEED");

	seed_state = text ? strtoull(text, NULL, 0) : 20261123;
	printf("PGLANE_SEED=%" PRIu64 "\n", seed_state);
	fflush(stdout);
}

/* splitmix64 */
static inline uint64_t seed_next(void)
{
	uint64_t z = seed_state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* 0 .. n - 1 */
static inline size_t seed_below(size_t n)
{
	return (size_t)(seed_next() % n);
}

#endif
