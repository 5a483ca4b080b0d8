/* SPDX-License-Identifier: ISC */
/* What the files of the world share. */
#ifndef TESTS_LANE_WORLD_PRIV_H
#define TESTS_LANE_WORLD_PRIV_H

#include <stdio.h>
#include <stdlib.h>

#include "world.h"

#define EXPECT(real, expected, what)                                                               \
	do {                                                                                       \
		long long real_ = (long long)(real), expected_ = (long long)(expected);            \
		if (real_ != expected_) {                                                          \
			fprintf(stderr, "%s: the ledger says %lld, the model %lld\n", what, real_, \
				expected_);                                                        \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

void world__compare_ticket(const struct world *w, int i);
void world__compare(struct world *w);

#endif
