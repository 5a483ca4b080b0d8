/* SPDX-License-Identifier: ISC */
/* How many objects the classes of a server have, as its nodes say: roughly, and once a replica. */
#ifndef TOOLS_COUNTS_H
#define TOOLS_COUNTS_H

#include "tools/rest.h"

struct counts {
	cJSON *json; /* NULL: not known */
};

void counts_read(struct counts *counts, struct rest *rest);
void counts_release(struct counts *counts);
bool counts_of(const struct counts *counts, const char *class, uint64_t *n_r);
/* The number, or "?". Returns text. */
#define COUNT_TEXT_BYTES 24
const char *counts_text(const struct counts *counts, const char *class, char text[static COUNT_TEXT_BYTES]);

#endif
