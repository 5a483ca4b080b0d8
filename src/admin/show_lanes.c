/* SPDX-License-Identifier: ISC */
/* What PgBouncer does not have: SHOW LANES, CLASSES, QUEUE and BUDGET. */
#include "admin/show.h"

#include "base/clock.h"
#include "base/mem.h"

const struct column lanes_columns[19] = {
	COLUMN_T("lane"),
	COLUMN_I("permits"),
	COLUMN_I("in_use"),
	COLUMN_I("free"),
	COLUMN_I("waiting"),
	COLUMN_Q("oldest_wait_ms"),
	COLUMN_Q("granted"),
	COLUMN_Q("queued"),
	COLUMN_Q("refused"),
	COLUMN_Q("abandoned"),
	COLUMN_Q("avg_wait_us"),
	COLUMN_Q("max_wait_us"),
	COLUMN_Q("statement_timeout_ms"),
	COLUMN_Q("queue_timeout_ms"),
	COLUMN_I("max_waiting"),
	COLUMN_Q("hopped_in"),
	COLUMN_Q("hopped_out"),
	COLUMN_Q("spilled_in"),
	COLUMN_Q("spilled_out"),
};

const struct column classes_columns[10] = {
	COLUMN_T("class"),
	COLUMN_T("lane"),
	COLUMN_Q("statements"),
	COLUMN_Q("avg_us"),
	COLUMN_Q("max_us"),
	COLUMN_Q("slow"),
	COLUMN_Q("errors"),
	COLUMN_Q("lane_timeouts"),
	COLUMN_Q("hops"),
	COLUMN_Q("denied"),
};

const struct column queue_columns[9] = {
	COLUMN_T("lane"),
	COLUMN_I("priority"),
	COLUMN_T("database"),
	COLUMN_T("user"),
	COLUMN_Q("waited_ms"),
	COLUMN_T("waits_for"),
	COLUMN_I("id"),
	COLUMN_T("application_name"),
	COLUMN_T("addr"),
};

const struct column budget_columns[7] = {
	COLUMN_I("budget"),
	COLUMN_I("slots"),
	COLUMN_I("idle"),
	COLUMN_I("closing"),
	COLUMN_I("connecting_orphans"),
	COLUMN_I("slot_waiters"),
	COLUMN_I("effective_budget"),
};

/* ---- lanes ---- */

static uint64_t since_us(uint64_t then_us)
{
	uint64_t now_us = clock_mono_us();

	return then_us && now_us > then_us ? now_us - then_us : 0;
}

static void add_lane(struct rows *rows, const struct config *config, const struct lane_reading *reading, const struct config_lane *lane)
{
	uint64_t queue_timeout_us = config->queue_timeout_us;

	if (lane->queue_timeout_us != CONFIG_INHERIT_US)
		queue_timeout_us = lane->queue_timeout_us;
	rows_text(rows, lane->name);
	rows_number(rows, reading->spec.size);
	rows_number(rows, reading->in_use);
	rows_number(rows, reading->spec.size - MIN_OF(reading->spec.size, reading->in_use)); /* in_use is above it after a reload that shrank the lane */
	rows_number(rows, reading->waiting);
	rows_number(rows, since_us(reading->oldest_enqueued_us) / 1000);
	rows_number(rows, reading->n_granted);
	rows_number(rows, reading->n_queued);
	rows_number(rows, reading->n_refused);
	rows_number(rows, reading->n_abandoned);
	rows_number(rows, reading->n_granted ? reading->total_wait_us / reading->n_granted : 0);
	rows_number(rows, reading->max_wait_us);
	if (lane->urgent) /* there a statement has the limit of its own lane */
		rows_text(rows, NULL);
	else
		rows_number(rows, lane->statement_timeout_us / 1000);
	rows_number(rows, queue_timeout_us / 1000);
	rows_number(rows, reading->spec.max_waiting);
	rows_number(rows, reading->n_hopped_in);
	rows_number(rows, reading->n_hopped_out);
	rows_number(rows, reading->n_spilled_in);
	rows_number(rows, reading->n_spilled_out);
	rows_end(rows);
}

void show_lanes(struct run *run)
{
	const struct config *config = worker_config(run->worker);
	struct lane_reading readings[LANE_MAX];
	struct lane_totals totals;
	unsigned n = lane_read(run->cluster->ledger, readings, &totals);

	/* A reload changes neither their number nor their names. */
	for (unsigned i = 0; i < n && i < config->n_lanes; i++)
		add_lane(&run->rows, config, &readings[i], &config->lanes[i]);
	run_done(run);
}

void show_budget(struct run *run)
{
	struct lane_reading readings[LANE_MAX];
	struct lane_totals totals;

	(void)lane_read(run->cluster->ledger, readings, &totals);
	rows_number(&run->rows, totals.budget);
	rows_number(&run->rows, totals.slots);
	rows_number(&run->rows, totals.n_idle);
	rows_number(&run->rows, totals.n_closing);
	rows_number(&run->rows, totals.n_orphans);
	rows_number(&run->rows, totals.n_slot_waiters);
	rows_number(&run->rows, totals.effective);
	rows_end(&run->rows);
	run_done(run);
}

/* ---- classes ---- */

static void visit_classes(struct run *run, struct worker *worker)
{
	struct class_stats *sums = run->gathered;

	for (unsigned i = 0; i < N_QUERY_CLASSES; i++)
		class_stats_add(&sums[i], &worker->classes[i]);
}

static void visited_classes(struct run *run)
{
	const struct config *config = worker_config(run->worker);
	const struct class_stats *sums = run->gathered;

	for (unsigned i = 0; i < N_QUERY_CLASSES; i++) {
		const struct class_stats *sum = &sums[i];

		rows_text(&run->rows, query_class_name((enum query_class)i));
		rows_text(&run->rows, config->lanes[config->lane_of_class[i]].name);
		rows_number(&run->rows, sum->n_statements);
		rows_number(&run->rows, sum->n_statements ? sum->total_us / sum->n_statements : 0);
		rows_number(&run->rows, class_stats_max_us(sum));
		rows_number(&run->rows, sum->n_slow);
		rows_number(&run->rows, sum->n_errors);
		rows_number(&run->rows, sum->n_lane_timeouts);
		rows_number(&run->rows, sum->n_hops);
		rows_number(&run->rows, sum->n_denied);
		rows_end(&run->rows);
	}
	run_done(run);
}

void show_classes(struct run *run)
{
	run->gathered = mem_zalloc(N_QUERY_CLASSES * sizeof(struct class_stats));
	run_visit(run, visit_classes, visited_classes);
}

/* ---- the queue ---- */

enum waits_for { WAITS_FOR_NOTHING, WAITS_FOR_RESUME, WAITS_FOR_PERMIT, WAITS_FOR_SLOT, WAITS_FOR_LANE, WAITS_FOR_LOGIN, WAITS_FOR_SERVER, WAITS_FOR_REPLICA };

static const char *const waits_for_names[] = {
	[WAITS_FOR_RESUME] = "resume",
	[WAITS_FOR_PERMIT] = "permit",
	[WAITS_FOR_SLOT] = "slot",
	[WAITS_FOR_LANE] = "other lane",
	[WAITS_FOR_LOGIN] = "login",
	[WAITS_FOR_SERVER] = "server",
	[WAITS_FOR_REPLICA] = "replica",
};

static enum waits_for waits_for(const struct client *client)
{
	if (client->state != CLIENT_WAITING && client->state != CLIENT_EXPECT_WELCOME)
		return WAITS_FOR_NOTHING;
	if (client_is(client, CLIENT_PARKED))
		return pool_is_paused(client->pool) ? WAITS_FOR_RESUME : WAITS_FOR_REPLICA;
	switch (client->ticket.state) {
	case LANE_TICKET_WAITS_PERMIT:
		return WAITS_FOR_PERMIT;
	case LANE_TICKET_WAITS_SLOT:
		return WAITS_FOR_SLOT;
	case LANE_TICKET_WAITS_SWAP:
		return WAITS_FOR_LANE;
	case LANE_TICKET_WAITS_LOGIN:
		return WAITS_FOR_LOGIN;
	case LANE_TICKET_NONE:
	case LANE_TICKET_DELIVERED:
	case LANE_TICKET_HOLDS:
	default:
		return WAITS_FOR_SERVER;
	}
}

/* One who waits, as sorted: the order in which lanes serve. */
struct waiter {
	unsigned lane;
	unsigned priority;
	uint64_t due_us; /* as the ledger's order has it: see src/lane/README.md */
	uint64_t since_us, id;
	enum waits_for waits_for;
	struct shared_pool *pool; /* a reference */
	char *application_name;
	char addr[NETADDR_TEXT_BYTES];
};

struct waiters {
	struct waiter *items;
	unsigned n, cap;
};

static void release_waiters(void *gathered)
{
	struct waiters *waiters = gathered;

	for (unsigned i = 0; i < waiters->n; i++) {
		mem_free(waiters->items[i].application_name);
		shared_pool_unref(&waiters->items[i].pool);
	}
	mem_free(waiters->items);
}

static uint64_t due_us(const struct config *config, const struct waiter *waiter)
{
	uint64_t steps = LANE_PRIORITY_MAX - waiter->priority;

	return config->priority_aging_us ? waiter->since_us + steps * config->priority_aging_us : steps;
}

static void add_waiter(struct waiters *waiters, const struct client *client, enum waits_for what)
{
	const struct config *config = worker_config(client->worker);
	struct waiter *waiter;
	struct netaddr addr;
	uint16_t port;

	if (waiters->n == waiters->cap) {
		waiters->cap = waiters->cap ? 2 * waiters->cap : 16;
		waiters->items = mem_realloc(waiters->items, waiters->cap * sizeof(*waiters->items));
	}
	waiter = &waiters->items[waiters->n++];
	*waiter = (struct waiter){
		.lane = what == WAITS_FOR_RESUME ? config->n_lanes : what == WAITS_FOR_LANE ? client->ticket.wanted_lane : client->ticket.home_lane,
		.priority = what == WAITS_FOR_RESUME ? LANE_PRIORITY_DEFAULT : client->ticket.priority,
		.since_us = client->wait_start_us,
		.id = client->id,
		.waits_for = what,
		.pool = shared_pool_ref(client->pool->shared),
		.application_name = mem_strdup(client_application_name(client)),
	};
	waiter->due_us = due_us(config, waiter);
	if (client->stream.fd >= 0 && netaddr_of_peer(client->stream.fd, &addr))
		(void)netaddr_format(&addr, waiter->addr, &port);
}

static void visit_queue(struct run *run, struct worker *worker)
{
	const struct client *client;

	TAILQ_FOREACH(client, &worker->clients, link) {
		enum waits_for what = waits_for(client);

		if (what != WAITS_FOR_NOTHING)
			add_waiter(run->gathered, client, what);
	}
}

static int compare_waiters(const void *a, const void *b)
{
	const struct waiter *x = a, *y = b;

	if (x->lane != y->lane)
		return x->lane < y->lane ? -1 : 1;
	if (x->due_us != y->due_us)
		return x->due_us < y->due_us ? -1 : 1;
	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (x->since_us != y->since_us)
		return x->since_us < y->since_us ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static void visited_queue(struct run *run)
{
	const struct config *config = worker_config(run->worker);
	struct waiters *waiters = run->gathered;

	if (waiters->n > 1)
		qsort(waiters->items, waiters->n, sizeof(*waiters->items), compare_waiters);
	for (unsigned i = 0; i < waiters->n; i++) {
		const struct waiter *waiter = &waiters->items[i];

		rows_text(&run->rows, waiter->lane < config->n_lanes ? config->lanes[waiter->lane].name : NULL);
		rows_number(&run->rows, waiter->priority);
		rows_text(&run->rows, waiter->pool->database->name);
		rows_text(&run->rows, waiter->pool->user->name);
		rows_number(&run->rows, since_us(waiter->since_us) / 1000);
		rows_text(&run->rows, waits_for_names[waiter->waits_for]);
		rows_number(&run->rows, waiter->id);
		rows_text(&run->rows, waiter->application_name);
		rows_text(&run->rows, waiter->addr);
		rows_end(&run->rows);
	}
	run_done(run);
}

void show_queue(struct run *run)
{
	run->gathered = mem_zalloc(sizeof(struct waiters));
	run->release = release_waiters;
	run_visit(run, visit_queue, visited_queue);
}
