/* SPDX-License-Identifier: ISC */
/*
 * How far something is, on standard error: a bar on a terminal, elsewhere a line now and then and
 * one at the end. One at a time; one thread.
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include "base/base.h"

struct progress {
	const char *what;
	uint64_t n, n_total; /* n_total 0: not known */
	uint64_t shown_us;   /* when it was shown last */
	bool is_shown, is_bar;
};

void progress_start(struct progress *progress, bool is_shown, const char *what, uint64_t n_total);
void progress_add(struct progress *progress, uint64_t n);
void progress_clear(struct progress *progress); /* before something else is printed */
void progress_end(struct progress *progress);

#endif
