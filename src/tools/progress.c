/* SPDX-License-Identifier: ISC */
#include "tools/progress.h"

#include "base/clock.h"

#include <inttypes.h>
#include <unistd.h>

#define BAR_COLUMNS 30
#define BAR_PERIOD_US 100000u
#define LINE_PERIOD_US 10000000u

static void show_bar(const struct progress *progress)
{
	uint64_t n = MIN_OF(progress->n, progress->n_total);
	int filled = progress->n_total ? (int)(n * BAR_COLUMNS / progress->n_total) : 0;

	fprintf(stderr, "\r[%.*s%*s] %3d%% %" PRIu64 "/%" PRIu64 " %s\033[K", filled,
		"##############################", BAR_COLUMNS - filled, "",
		progress->n_total ? (int)(n * 100 / progress->n_total) : 0, progress->n,
		progress->n_total, progress->what);
}

static void show(struct progress *progress)
{
	if (progress->is_bar)
		show_bar(progress);
	else
		fprintf(stderr, "%s: %" PRIu64 " of %" PRIu64 "\n", progress->what, progress->n,
			progress->n_total);
	progress->shown_us = clock_mono_us();
}

void progress_start(struct progress *progress, bool is_shown, const char *what, uint64_t n_total)
{
	*progress = (struct progress){.what = what,
		.n_total = n_total,
		.shown_us = clock_mono_us(),
		.is_shown = is_shown,
		.is_bar = isatty(STDERR_FILENO) == 1};
	if (is_shown && progress->is_bar)
		show(progress);
}

void progress_add(struct progress *progress, uint64_t n)
{
	progress->n += n;
	if (progress->is_shown && clock_mono_us() - progress->shown_us >=
				      (progress->is_bar ? BAR_PERIOD_US : LINE_PERIOD_US))
		show(progress);
}

void progress_clear(struct progress *progress)
{
	if (progress->is_shown && progress->is_bar)
		fputs("\r\033[K", stderr);
}

void progress_end(struct progress *progress)
{
	progress_clear(progress);
	if (progress->is_shown && !progress->is_bar)
		show(progress);
}
