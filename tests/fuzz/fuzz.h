/* SPDX-License-Identifier: ISC */
/*
 * What every fuzz target shares. A target is one file that defines LLVMFuzzerTestOneInput(): linked
 * with -fsanitize=fuzzer it searches, linked with replay_main.c it runs a corpus. See README.md.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* data is a heap block of exactly n bytes: a read behind it is a fault that ASan reports. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A property that must hold for any input; on in every build. */
#define FUZZ_CHECK(expr)                                                                         \
	do {                                                                                     \
		if (!(expr)) {                                                                   \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__,        \
				#expr);                                                          \
			abort();                                                                 \
		}                                                                                \
	} while (0)

#endif
