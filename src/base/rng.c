/* SPDX-License-Identifier: ISC */
#include "base/rng.h"

#include <openssl/rand.h>

void rng_bytes(void *out, size_t n)
{
	MUST(n < INT32_MAX && RAND_bytes(out, (int)n) == 1);
}

uint64_t rng_u64(void)
{
	uint64_t value;

	rng_bytes(&value, sizeof(value));
	return value;
}
