/* SPDX-License-Identifier: ISC */
/* Random bytes for keys, nonces and salts, of OpenSSL's generator. Any thread; a child of fork(2) has its own. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include "base/base.h"

void rng_bytes(void *out, size_t n);
uint64_t rng_u64(void);

#endif
