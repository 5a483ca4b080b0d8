/* SPDX-License-Identifier: ISC */
/* SHOW PINS: which clients keep their server between transactions, and why. */
#include "admin/show.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "session/pin.h"

const struct column pins_columns[9] = {
	COLUMN_I("id"),
	COLUMN_T("database"),
	COLUMN_T("user"),
	COLUMN_T("application_name"),
	COLUMN_T("lane"),
	COLUMN_T("reason"),
	COLUMN_Q("pinned_ms"),
	COLUMN_Q("idle_ms"),
	COLUMN_T("statement"),
};

/* A pin, as its worker saw it. */
struct seen {
	uint64_t id, since_us, idle_since_us; /* idle_since_us 0: it runs something */
	unsigned lane;
	uint8_t reasons;
	struct shared_pool *pool; /* a reference */
	char *application_name, *statement;
};

struct seen_list {
	struct seen *items;
	unsigned n, cap;
};

static void release_seen(void *gathered)
{
	struct seen_list *list = gathered;

	for (unsigned i = 0; i < list->n; i++) {
		mem_free(list->items[i].application_name);
		mem_free(list->items[i].statement);
		shared_pool_unref(&list->items[i].pool);
	}
	mem_free(list->items);
}

static void add(struct seen_list *list, const struct client *client)
{
	if (list->n == list->cap) {
		list->cap = list->cap ? 2 * list->cap : 16;
		list->items = mem_realloc(list->items, list->cap * sizeof(*list->items));
	}
	list->items[list->n++] = (struct seen){
		.id = client->id,
		.since_us = client->pin->since_us,
		.idle_since_us = client->xact == XACT_NONE && client->query_start_us == 0 ? client->last_active_us : 0,
		.lane = client->pin->is_counted ? client->pin->lane : client->ticket.home_lane,
		.reasons = client->pin->reasons,
		.pool = shared_pool_ref(client->pool->shared),
		.application_name = mem_strdup(client_application_name(client)),
		.statement = mem_strdup(client->pin->statement),
	};
}

static void visit_pins(struct run *run, struct worker *worker)
{
	const struct client *client;

	TAILQ_FOREACH(client, &worker->clients, link) {
		if (pin_is_kept(client))
			add(run->gathered, client);
	}
}

static int compare_seen(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;

	return x->since_us != y->since_us ? (x->since_us < y->since_us ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

static void add_row(struct run *run, const struct seen *seen, uint64_t now_us)
{
	const struct config *config = worker_config(run->worker);
	struct strbuf reasons = STRBUF_INIT;

	pin_reason_names(seen->reasons, &reasons);
	rows_number(&run->rows, seen->id);
	rows_text(&run->rows, seen->pool->database->name);
	rows_text(&run->rows, seen->pool->user->name);
	rows_text(&run->rows, seen->application_name);
	rows_text(&run->rows, seen->lane < config->n_lanes ? config->lanes[seen->lane].name : NULL);
	rows_text(&run->rows, reasons.data);
	rows_number(&run->rows, (now_us - MIN_OF(now_us, seen->since_us)) / 1000);
	rows_number(&run->rows, seen->idle_since_us ? (now_us - MIN_OF(now_us, seen->idle_since_us)) / 1000 : 0);
	rows_text(&run->rows, seen->statement);
	rows_end(&run->rows);
	strbuf_release(&reasons);
}

static void visited_pins(struct run *run)
{
	struct seen_list *list = run->gathered;
	uint64_t now_us = clock_mono_us();

	if (list->n > 1)
		qsort(list->items, list->n, sizeof(*list->items), compare_seen);
	for (unsigned i = 0; i < list->n; i++)
		add_row(run, &list->items[i], now_us);
	run_done(run);
}

void show_pins(struct run *run)
{
	run->gathered = mem_zalloc(sizeof(struct seen_list));
	run->release = release_seen;
	run_visit(run, visit_pins, visited_pins);
}
