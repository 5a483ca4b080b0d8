/* SPDX-License-Identifier: ISC */
/*
 * Sorted runs lie one behind the other in one file, and each is read through a small buffer of its
 * own. They are never merged: who asks in ascending order passes all of them in step.
 */
#include "service/wv_seen.h"

#include "base/mem.h"

#include <errno.h>
#include <unistd.h>

#define RUN_BUFFER_IDS 256

struct run {
	uint64_t next, end;	/* ids of the file, not yet in the buffer */
	unsigned at, n;		/* the buffer's */
	uint8_t buffer[RUN_BUFFER_IDS][WV_SEEN_BYTES];
};

struct wv_seen {
	uint8_t (*ids)[WV_SEEN_BYTES]; /* not yet in a run */
	size_t n_ids, max_ids;
	uint64_t n_added, n_in_file;
	FILE *file;
	struct run *runs;
	unsigned n_runs;
};

struct wv_seen *wv_seen_new(size_t max_bytes)
{
	struct wv_seen *seen = mem_zalloc(sizeof(*seen));

	seen->max_ids = MAX_OF(max_bytes / WV_SEEN_BYTES, 1);
	seen->ids = mem_alloc(seen->max_ids * WV_SEEN_BYTES);
	return seen;
}

void wv_seen_free(struct wv_seen **seen)
{
	if (*seen == NULL)
		return;
	if ((*seen)->file != NULL)
		fclose((*seen)->file);
	mem_free((*seen)->ids);
	mem_free((*seen)->runs);
	mem_free(*seen);
	*seen = NULL;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, WV_SEEN_BYTES);
}

static void add_run(struct wv_seen *seen, uint64_t next, uint64_t end)
{
	seen->runs = mem_realloc(seen->runs, (seen->n_runs + 1) * sizeof(seen->runs[0]));
	struct run *run = &seen->runs[seen->n_runs++];
	run->next = next;
	run->end = end;
	run->at = run->n = 0;
}

/* Sorts what is in memory and appends it to the file. */
static int spill(struct wv_seen *seen)
{
	qsort(seen->ids, seen->n_ids, WV_SEEN_BYTES, by_bytes);
	if (seen->file == NULL)
		seen->file = tmpfile();
	if (seen->file == NULL)
		return -errno;
	if (fwrite(seen->ids, WV_SEEN_BYTES, seen->n_ids, seen->file) != seen->n_ids)
		return -errno;
	add_run(seen, seen->n_in_file, seen->n_in_file + seen->n_ids);
	seen->n_in_file += seen->n_ids;
	seen->n_ids = 0;
	return 0;
}

int wv_seen_add(struct wv_seen *seen, const uint8_t id[static WV_SEEN_BYTES])
{
	int error = seen->n_ids == seen->max_ids ? spill(seen) : 0;

	if (error != 0)
		return error;
	memcpy(seen->ids[seen->n_ids++], id, WV_SEEN_BYTES);
	seen->n_added++;
	return 0;
}

/* The last ids stay in memory, as one more run without a file. */
int wv_seen_sort(struct wv_seen *seen)
{
	qsort(seen->ids, seen->n_ids, WV_SEEN_BYTES, by_bytes);
	seen->max_ids = seen->n_ids; /* from here on: the end; n_ids counts what is taken */
	seen->n_ids = 0;
	return seen->file != NULL && fflush(seen->file) != 0 ? -errno : 0;
}

static int fill(struct wv_seen *seen, struct run *run)
{
	size_t n_bytes = MIN_OF(run->end - run->next, RUN_BUFFER_IDS) * WV_SEEN_BYTES;
	ssize_t n = n_bytes > 0 ? pread(fileno(seen->file), run->buffer, n_bytes,
					  (off_t)(run->next * WV_SEEN_BYTES))
				: 0;

	if (n != (ssize_t)n_bytes)
		return n < 0 ? -errno : -EIO;
	run->at = 0;
	run->n = (unsigned)(n_bytes / WV_SEEN_BYTES);
	run->next += run->n;
	return 0;
}

/* Passes ids below id; whether the run's next one is it. */
static int run_has(struct wv_seen *seen, struct run *run, const uint8_t *id)
{
	for (;;) {
		if (run->at == run->n) {
			int error = fill(seen, run);
			if (error != 0 || run->n == 0)
				return error;
		}
		int order = memcmp(run->buffer[run->at], id, WV_SEEN_BYTES);
		if (order >= 0)
			return order == 0;
		run->at++;
	}
}

static bool memory_has(struct wv_seen *seen, const uint8_t *id)
{
	while (seen->n_ids < seen->max_ids && memcmp(seen->ids[seen->n_ids], id, WV_SEEN_BYTES) < 0)
		seen->n_ids++;
	return seen->n_ids < seen->max_ids && memcmp(seen->ids[seen->n_ids], id, WV_SEEN_BYTES) == 0;
}

int wv_seen_has(struct wv_seen *seen, const uint8_t id[static WV_SEEN_BYTES])
{
	int has = memory_has(seen, id);

	for (unsigned i = 0; i < seen->n_runs && has == 0; i++)
		has = run_has(seen, &seen->runs[i], id);
	return has;
}

uint64_t wv_seen_n(const struct wv_seen *seen)
{
	return seen->n_added;
}
