/* SPDX-License-Identifier: ISC */
/* SHOW LISTENERS: the connections that listen for clients in transaction pooling, and for how many. */
#include "admin/show.h"

#include "base/mem.h"
#include "session/listen_server.h"
#include "session/server.h"

const struct column listeners_columns[9] = {
	COLUMN_T("database"),
	COLUMN_T("user"),
	COLUMN_T("state"),
	COLUMN_Q("remote_pid"),
	COLUMN_Q("channels"),
	COLUMN_Q("clients"),
	COLUMN_T("since"),
	COLUMN_Q("reconnects"),
	COLUMN_Q("notifications"),
};

/* A listener as its worker saw it, or (state NULL) what another worker has clients for. */
struct seen {
	struct shared_pool *pool; /* a reference */
	const char *state;
	uint64_t pid, n_channels, n_clients, since_wall_us, n_reconnects, n_notifications;
};

struct seen_list {
	struct seen *items;
	unsigned n, cap;
};

static void release_seen(void *gathered)
{
	struct seen_list *list = gathered;

	for (unsigned i = 0; i < list->n; i++)
		shared_pool_unref(&list->items[i].pool);
	mem_free(list->items);
}

static struct seen *seen_of(struct seen_list *list, struct shared_pool *pool)
{
	for (unsigned i = 0; i < list->n; i++)
		if (list->items[i].pool == pool)
			return &list->items[i];
	if (list->n == list->cap) {
		list->cap = list->cap ? 2 * list->cap : 16;
		list->items = mem_realloc(list->items, list->cap * sizeof(*list->items));
	}
	list->items[list->n] = (struct seen){ .pool = shared_pool_ref(pool) };
	return &list->items[list->n++];
}

static void visit_listeners(struct run *run, struct worker *worker)
{
	const struct listen_server *listener;
	const struct listen_hub *hub;
	const struct listen *listen;
	struct seen *seen;

	LIST_FOREACH(listener, &worker->listeners, link) {
		seen = seen_of(run->gathered, listener->pool->shared);
		seen->state = listen_server_state_name(listener);
		seen->pid = listener->server ? listener->server->pid : 0;
		seen->n_channels = listener->n_channels;
		seen->since_wall_us = listener->since_wall_us;
		seen->n_reconnects = listener->n_reconnects;
		seen->n_notifications = listener->n_notifications;
	}
	LIST_FOREACH(hub, &worker->hubs, link) {
		seen = seen_of(run->gathered, hub->shared);
		TAILQ_FOREACH(listen, &hub->listens, of_hub)
			seen->n_clients += listen->is_served && listen->n_subscriptions > 0;
	}
}

static void add_row(struct run *run, const struct seen *seen)
{
	rows_text(&run->rows, seen->pool->database->name);
	rows_text(&run->rows, seen->pool->user->name);
	rows_text(&run->rows, seen->state);
	rows_number(&run->rows, seen->pid);
	rows_number(&run->rows, seen->n_channels);
	rows_number(&run->rows, seen->n_clients);
	rows_time(&run->rows, seen->since_wall_us);
	rows_number(&run->rows, seen->n_reconnects);
	rows_number(&run->rows, seen->n_notifications);
	rows_end(&run->rows);
}

static void visited_listeners(struct run *run)
{
	static const unsigned keys[] = { 0, 1 };
	const struct seen_list *list = run->gathered;

	for (unsigned i = 0; i < list->n; i++)
		if (list->items[i].state)
			add_row(run, &list->items[i]);
	rows_sort(&run->rows, keys, N_ELEMENTS(keys));
	run_done(run);
}

void show_listeners(struct run *run)
{
	run->gathered = mem_zalloc(sizeof(struct seen_list));
	run->release = release_seen;
	run_visit(run, visit_listeners, visited_listeners);
}
