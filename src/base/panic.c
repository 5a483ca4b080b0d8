/* SPDX-License-Identifier: ISC */
#include "base/base.h"

#include <execinfo.h>
#include <stdlib.h>
#include <unistd.h>

void base_panic(const char *file, int line, const char *func, const char *what)
{
	void *frames[64];
	int n_frames = backtrace(frames, (int)N_ELEMENTS(frames));

	fprintf(stderr, "PANIC %s:%d %s(): %s\n", file, line, func, what);
	fflush(stderr);
	backtrace_symbols_fd(frames, n_frames, STDERR_FILENO);
	abort();
}
