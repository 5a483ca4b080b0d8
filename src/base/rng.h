/* SPDX-License-Identifier: ISC */
/* Random bytes from the operating system's generator (OpenSSL RAND_bytes). Any thread. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include "base/base.h"

void rng_bytes(void *out, size_t n);
uint64_t rng_u64(void);

#endif
