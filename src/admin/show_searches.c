/* SPDX-License-Identifier: ISC */
/* SHOW SEARCHES: what statements asked of Weaviate, and what became of it. */
#include "admin/show.h"

#include "base/clock.h"

const struct column searches_columns[26] = {
	COLUMN_T("interface"),
	COLUMN_T("breaker"),
	COLUMN_I("running"),
	COLUMN_I("waiting"),
	COLUMN_Q("statements"),
	COLUMN_Q("errors"),
	COLUMN_Q("made_empty"),
	COLUMN_Q("searches"),
	COLUMN_Q("found"),
	COLUMN_Q("refused"),
	COLUMN_Q("failed"),
	COLUMN_Q("timed_out"),
	COLUMN_Q("broken"),
	COLUMN_Q("hits"),
	COLUMN_Q("avg_us"),
	COLUMN_Q("max_us"),
	COLUMN_Q("breaker_opened"),
	COLUMN_Q("cache_hits"),
	COLUMN_Q("cache_misses"),
	COLUMN_Q("cache_entries"),
	COLUMN_Q("cache_bytes"),
	COLUMN_Q("cache_evicted"),
	COLUMN_Q("to_count"),
	COLUMN_Q("counted"),
	COLUMN_Q("not_counted"),
	COLUMN_Q("abandoned"),
};

static const char *breaker_of(const struct search_counters *counters)
{
	uint64_t until_us = STAT_READ(counters->breaker_open_until_us);

	if (until_us == 0)
		return "closed";
	return clock_mono_us() < until_us ? "open" : "half-open";
}

/* Of all workers: statements that searched, that were refused, that ran without hits. */
static void add_statements(struct rows *rows, const struct cluster *cluster)
{
	uint64_t n_searches = 0, n_refused = 0, n_empty = 0;

	for (unsigned i = 0; i < cluster->n_workers; i++) {
		const struct worker_counters *counters = &cluster->workers[i].counters;

		n_searches += STAT_READ(counters->n_searches);
		n_refused += STAT_READ(counters->n_searches_refused);
		n_empty += STAT_READ(counters->n_searches_empty);
	}
	rows_number(rows, n_searches);
	rows_number(rows, n_refused);
	rows_number(rows, n_empty);
}

void show_searches(struct run *run)
{
	static const char *const interfaces[] = { "unknown", "rest", "graphql" };
	const struct search_counters *counters = &run->cluster->searches;
	uint64_t n_done = STAT_READ(counters->n_done);
	struct rows *rows = &run->rows;

	rows_text(rows, worker_config(run->worker)->weaviate_url ? interfaces[STAT_READ(counters->interface)] : "off");
	rows_text(rows, breaker_of(counters));
	rows_number(rows, STAT_READ(counters->n_running));
	rows_number(rows, STAT_READ(counters->n_waiting));
	add_statements(rows, run->cluster);
	rows_number(rows, STAT_READ(counters->n_asked));
	rows_number(rows, n_done);
	rows_number(rows, STAT_READ(counters->n_refused));
	rows_number(rows, STAT_READ(counters->n_failed));
	rows_number(rows, STAT_READ(counters->n_timed_out));
	rows_number(rows, STAT_READ(counters->n_broken));
	rows_number(rows, STAT_READ(counters->n_hits));
	rows_number(rows, STAT_READ(counters->total_us) / MAX_OF(n_done, (uint64_t)1));
	rows_number(rows, STAT_READ(counters->max_us));
	rows_number(rows, STAT_READ(counters->n_breaker_opened));
	rows_number(rows, STAT_READ(counters->n_cache_hits));
	rows_number(rows, STAT_READ(counters->n_cache_misses));
	rows_number(rows, STAT_READ(counters->n_cache_entries));
	rows_number(rows, STAT_READ(counters->cache_bytes));
	rows_number(rows, STAT_READ(counters->n_cache_evicted));
	rows_number(rows, STAT_READ(counters->n_found_waiting));
	rows_number(rows, STAT_READ(counters->n_found_counted));
	rows_number(rows, STAT_READ(counters->n_found_dropped));
	rows_number(rows, STAT_READ(counters->n_abandoned));
	rows_end(rows);
	run_done(run);
}
