/* SPDX-License-Identifier: ISC */
/*
 * SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS: the counters of pools, summed over users and workers. Averages are of the last whole
 * stats_period: counts and bytes per second, times per transaction, statement or assignment.
 */
#include "admin/show.h"

#include "base/mem.h"
#include "session/pool.h"

/*
 * X(counter, how it is averaged) in PgBouncer's order. Its version has no column for logins, so that counter is not among them.
 */
#define SHOWN_STATS(X)                                                                             \
	X(server_assignment_count, PER_SECOND)                                                     \
	X(xact_count, PER_SECOND)                                                                  \
	X(query_count, PER_SECOND)                                                                 \
	X(received, PER_SECOND)                                                                    \
	X(sent, PER_SECOND)                                                                        \
	X(xact_time, PER_XACT)                                                                     \
	X(query_time, PER_QUERY)                                                                   \
	X(wait_time, PER_ASSIGNMENT)                                                               \
	X(client_parse_count, PER_SECOND)                                                          \
	X(server_parse_count, PER_SECOND)                                                          \
	X(bind_count, PER_SECOND)

enum { N_SHOWN_STATS = 11 };

#define COUNTER_COLUMNS(prefix, received, sent)                                                                                                  \
	COLUMN_N(prefix "server_assignment_count"), COLUMN_N(prefix "xact_count"), COLUMN_N(prefix "query_count"), COLUMN_N(prefix received),    \
		COLUMN_N(prefix sent), COLUMN_N(prefix "xact_time"), COLUMN_N(prefix "query_time"), COLUMN_N(prefix "wait_time")
#define PARSE_COLUMNS(prefix) COLUMN_N(prefix "client_parse_count"), COLUMN_N(prefix "server_parse_count"), COLUMN_N(prefix "bind_count")

const struct column stats_columns[23] = {
	COLUMN_T("database"),
	COUNTER_COLUMNS("total_", "received", "sent"),
	PARSE_COLUMNS("total_"),
	COUNTER_COLUMNS("avg_", "recv", "sent"),
	PARSE_COLUMNS("avg_"),
};

const struct column stats_totals_columns[12] = {
	COLUMN_T("database"),
	COUNTER_COLUMNS("", "bytes_received", "bytes_sent"),
	PARSE_COLUMNS(""),
};

const struct column stats_averages_columns[12] = {
	COLUMN_T("database"),
	COUNTER_COLUMNS("", "bytes_received", "bytes_sent"),
	PARSE_COLUMNS("avg_"),
};

const struct column totals_columns[2] = { COLUMN_T("name"), COLUMN_N("value") };

/* SHOW TOTALS has names of its own for some. */
static const char *const totals_names[N_SHOWN_STATS] = {
	"server_assignment_count", "xact_count", "query_count", "client_bytes", "server_bytes", "xact_time", "query_time", "wait_time",
	"ps_client_parse_count", "ps_server_parse_count", "ps_bind_count",
};

struct database_sum {
	struct shared_database *database; /* a reference */
	struct pool_stats total, period;
};

struct database_sums {
	struct database_sum *items;
	unsigned n;
	struct pool_stats forgotten; /* of pools that are no more */
	uint64_t period_us;
};

static void release_sums(void *gathered)
{
	struct database_sums *sums = gathered;

	for (unsigned i = 0; i < sums->n; i++)
		shared_database_unref(&sums->items[i].database);
	mem_free(sums->items);
}

static struct database_sum *sum_of(struct database_sums *sums, struct shared_database *database)
{
	for (unsigned i = 0; i < sums->n; i++)
		if (sums->items[i].database == database)
			return &sums->items[i];
	sums->items = mem_realloc(sums->items, (sums->n + 1) * sizeof(*sums->items));
	sums->items[sums->n] = (struct database_sum){ .database = shared_database_ref(database) };
	return &sums->items[sums->n++];
}

static void add_pool(void *arg, struct pool *pool)
{
	struct database_sum *sum = sum_of(arg, pool->shared->database);

	pool_stats_add(&sum->total, &pool->stats);
	pool_stats_add(&sum->period, &pool->period);
}

static void visit(struct run *run, struct worker *worker)
{
	struct database_sums *sums = run->gathered;

	sums->period_us = MAX_OF(sums->period_us, worker->period_us);
	pool_each(worker, add_pool, sums);
	pool_stats_add(&sums->forgotten, &worker->forgotten);
}

/* count * 1,000,000 cannot overflow before a period has seen 18 terabytes. */
static uint64_t per_second(uint64_t count, uint64_t period_us)
{
	return period_us ? count * 1000000u / period_us : 0;
}

static uint64_t per(uint64_t sum, uint64_t n)
{
	return n ? sum / n : 0;
}

static void totals_of(const struct pool_stats *stats, uint64_t out[static N_SHOWN_STATS])
{
	unsigned i = 0;

#define COPY(name, how) out[i++] = stats->name;
	SHOWN_STATS(COPY)
#undef COPY
}

static void averages_of(const struct pool_stats *period, uint64_t period_us, uint64_t out[static N_SHOWN_STATS])
{
	unsigned i = 0;

#define PER_SECOND(value) per_second(value, period_us)
#define PER_XACT(value) per(value, period->xact_count)
#define PER_QUERY(value) per(value, period->query_count)
#define PER_ASSIGNMENT(value) per(value, period->server_assignment_count)
#define AVERAGE(name, how) out[i++] = how(period->name);
	SHOWN_STATS(AVERAGE)
#undef AVERAGE
}

static void add_numbers(struct rows *rows, const uint64_t numbers[static N_SHOWN_STATS])
{
	for (unsigned i = 0; i < N_SHOWN_STATS; i++)
		rows_number(rows, numbers[i]);
}

static void finish(struct run *run, bool totals, bool averages)
{
	static const unsigned keys[] = { 0 };
	const struct database_sums *sums = run->gathered;
	uint64_t numbers[N_SHOWN_STATS];

	for (unsigned i = 0; i < sums->n; i++) {
		rows_text(&run->rows, sums->items[i].database->name);
		if (totals) {
			totals_of(&sums->items[i].total, numbers);
			add_numbers(&run->rows, numbers);
		}
		if (averages) {
			averages_of(&sums->items[i].period, sums->period_us, numbers);
			add_numbers(&run->rows, numbers);
		}
		rows_end(&run->rows);
	}
	rows_sort(&run->rows, keys, N_ELEMENTS(keys));
	run_done(run);
}

static void finish_stats(struct run *run)
{
	finish(run, true, true);
}

static void finish_totals(struct run *run)
{
	finish(run, true, false);
}

static void finish_averages(struct run *run)
{
	finish(run, false, true);
}

static void add_named(struct rows *rows, const char *prefix, const uint64_t numbers[static N_SHOWN_STATS])
{
	char name[64];

	for (unsigned i = 0; i < N_SHOWN_STATS; i++) {
		(void)snprintf(name, sizeof(name), "%s%s", prefix, totals_names[i]);
		rows_text(rows, name);
		rows_number(rows, numbers[i]);
		rows_end(rows);
	}
}

static void finish_overall(struct run *run)
{
	const struct database_sums *sums = run->gathered;
	struct pool_stats total = sums->forgotten, period = { 0 };
	uint64_t numbers[N_SHOWN_STATS];

	for (unsigned i = 0; i < sums->n; i++) {
		pool_stats_add(&total, &sums->items[i].total);
		pool_stats_add(&period, &sums->items[i].period);
	}
	totals_of(&total, numbers);
	add_named(&run->rows, "total_", numbers);
	averages_of(&period, sums->period_us, numbers);
	add_named(&run->rows, "avg_", numbers);
	run_done(run);
}

static void gather(struct run *run, void (*then)(struct run *run))
{
	run->gathered = mem_zalloc(sizeof(struct database_sums));
	run->release = release_sums;
	run_visit(run, visit, then);
}

void show_stats(struct run *run)
{
	gather(run, finish_stats);
}

void show_stats_totals(struct run *run)
{
	gather(run, finish_totals);
}

void show_stats_averages(struct run *run)
{
	gather(run, finish_averages);
}

void show_totals(struct run *run)
{
	gather(run, finish_overall);
}
