/* SPDX-License-Identifier: ISC */
/* SHOW POOLS: one row for each pool, over all workers. */
#include "admin/show.h"

#include "base/clock.h"
#include "base/mem.h"
#include "session/server.h"

const struct column pools_columns[17] = {
	COLUMN_T("database"),
	COLUMN_T("user"),
	COLUMN_I("cl_active"),
	COLUMN_I("cl_waiting"),
	COLUMN_I("cl_active_cancel_req"),
	COLUMN_I("cl_waiting_cancel_req"),
	COLUMN_I("sv_active"),
	COLUMN_I("sv_active_cancel"),
	COLUMN_I("sv_being_canceled"),
	COLUMN_I("sv_idle"),
	COLUMN_I("sv_used"),
	COLUMN_I("sv_tested"),
	COLUMN_I("sv_login"),
	COLUMN_I("maxwait"),
	COLUMN_I("maxwait_us"),
	COLUMN_T("pool_mode"),
	COLUMN_T("load_balance_hosts"),
};

struct pool_sum {
	struct shared_pool *pool; /* a reference */
	uint32_t n_clients, n_waiting, n_cancels;
	uint32_t n_servers[N_SERVER_STATES];
	uint64_t longest_wait_us;
	const char *mode, *balance;
};

struct pool_sums {
	struct pool_sum *items;
	unsigned n;
};

static void release_sums(void *gathered)
{
	struct pool_sums *sums = gathered;

	for (unsigned i = 0; i < sums->n; i++)
		shared_pool_unref(&sums->items[i].pool);
	mem_free(sums->items);
}

static struct pool_sum *sum_of(struct pool_sums *sums, struct shared_pool *pool)
{
	for (unsigned i = 0; i < sums->n; i++)
		if (sums->items[i].pool == pool)
			return &sums->items[i];
	sums->items = mem_realloc(sums->items, (sums->n + 1) * sizeof(*sums->items));
	sums->items[sums->n] = (struct pool_sum){ .pool = shared_pool_ref(pool) };
	return &sums->items[sums->n++];
}

static const char *mode_name(struct pool *pool)
{
	switch (is_console_database(pool->shared->database->name) ? POOL_MODE_STATEMENT : pool_mode_of(pool)) {
	case POOL_MODE_SESSION:
		return "session";
	case POOL_MODE_STATEMENT:
		return "statement";
	case POOL_MODE_TRANSACTION:
	case POOL_MODE_UNSET:
	default:
		return "transaction";
	}
}

/* NULL unless its entry has a list of hosts. */
static const char *balance_of(struct pool *pool)
{
	const struct config_database *entry = is_console_database(pool->shared->database->name) ? NULL : pool_entry(pool);

	return entry && entry->host && strchr(entry->host, ',') ? "round-robin" : NULL;
}

/* Cancel requests on their way to servers of the pool: clients' and those of lanes whose time limit was reached. */
static uint32_t count_cancels(const struct pool *pool)
{
	const struct server *server;
	uint32_t n = 0;
	unsigned i;

	for (i = 0; i < N_SERVER_STATES; i++)
		TAILQ_FOREACH(server, &pool->servers[i], link)
			n += server->n_cancels;
	return n;
}

static void add_pool(void *arg, struct pool *pool)
{
	struct pool_sum *sum = sum_of(arg, pool->shared);
	const struct client *first = TAILQ_FIRST(&pool->waiting);
	uint64_t now_us = clock_mono_us();
	unsigned i;

	sum->n_clients += pool->n_clients;
	sum->n_waiting += pool->n_waiting;
	sum->n_cancels += count_cancels(pool);
	for (i = 0; i < N_SERVER_STATES; i++)
		sum->n_servers[i] += pool->n_servers[i];
	if (first && first->wait_start_us && now_us > first->wait_start_us)
		sum->longest_wait_us = MAX_OF(sum->longest_wait_us, now_us - first->wait_start_us);
	sum->mode = mode_name(pool);
	sum->balance = balance_of(pool);
}

static void visit(struct run *run, struct worker *worker)
{
	pool_each(worker, add_pool, run->gathered);
}

static void add_row(struct rows *rows, const struct pool_sum *sum)
{
	rows_text(rows, sum->pool->database->name);
	rows_text(rows, sum->pool->user->name);
	rows_number(rows, sum->n_clients - MIN_OF(sum->n_clients, sum->n_waiting));
	rows_number(rows, sum->n_waiting);
	rows_number(rows, sum->n_cancels);
	rows_number(rows, 0); /* a cancel request never waits for a permit */
	rows_number(rows, sum->n_servers[SERVER_LINKED] + sum->n_servers[SERVER_RECOVERING] + sum->n_servers[SERVER_LISTENING]);
	rows_number(rows, sum->n_cancels);
	rows_number(rows, sum->n_servers[SERVER_FENCED]);
	rows_number(rows, sum->n_servers[SERVER_IDLE]);
	rows_number(rows, 0); /* idle servers are not set aside for a check */
	rows_number(rows, 0);
	rows_number(rows, sum->n_servers[SERVER_CONNECTING]);
	rows_number(rows, sum->longest_wait_us / 1000000u);
	rows_number(rows, sum->longest_wait_us % 1000000u);
	rows_text(rows, sum->mode);
	rows_text(rows, sum->balance);
	rows_end(rows);
}

static void visited(struct run *run)
{
	static const unsigned keys[] = { 0, 1 };
	const struct pool_sums *sums = run->gathered;

	for (unsigned i = 0; i < sums->n; i++)
		add_row(&run->rows, &sums->items[i]);
	rows_sort(&run->rows, keys, N_ELEMENTS(keys));
	run_done(run);
}

void show_pools(struct run *run)
{
	run->gathered = mem_zalloc(sizeof(struct pool_sums));
	run->release = release_sums;
	run_visit(run, visit, visited);
}
