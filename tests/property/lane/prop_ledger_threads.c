/* SPDX-License-Identifier: ISC */
/*
 * Workers for real: each thread has a port, clients and servers, and does at random what a worker
 * does; claims travel as messages in mailboxes. What a single history cannot show is shown here:
 * that nothing is lost between threads (every ticket gets served, every claim arrives), that no
 * instant sees more permits or slots than there are, and, in the build with TSan, that every field
 * has its guard.
 *
 *   PGLANE_SEED=N           (the threads' order of events differs all the same)
 *   PGLANE_TRANSACTIONS=N   of each thread
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "lane/lane.h"
#include "world.h"

#define N_WORKERS 4
#define N_CLIENTS 12 /* of each worker */
#define N_POOLS 3
#define BUDGET 12
#define TRANSACTIONS_DEFAULT 10000
#define SEED_DEFAULT 20240607

enum server_state { SERVER_CONNECTING, SERVER_READY, SERVER_CLOSING };

struct server {
	TAILQ_ENTRY(server) of_worker; /* its worker's list of closing or connecting orphans */
	struct lane_idle idle;
	enum server_state state;
};

struct client {
	struct lane_ticket ticket;
	struct server *server; /* NULL too while it is on its way from another worker */
};

enum message_kind { MESSAGE_CLOSE, MESSAGE_HAND_OVER, MESSAGE_HERE_IT_IS, MESSAGE_IT_IS_DEAD };

struct message {
	STAILQ_ENTRY(message) queued;
	enum message_kind kind;
	struct lane_idle *idle;
	struct client *client;
	unsigned client_port;
};

struct worker {
	unsigned port;
	pthread_t thread;
	uint64_t rng;
	struct client clients[N_CLIENTS];
	TAILQ_HEAD(, server) closing;
	TAILQ_HEAD(, server) orphans;
	pthread_mutex_t mail_lock;
	STAILQ_HEAD(, message) mail;
	atomic_bool is_woken;
	uint64_t n_served;
};

static struct lane_ledger *ledger;
static struct lane_pool *pools[N_POOLS];
static struct worker workers[N_WORKERS];
static uint64_t n_transactions; /* for each worker to serve */
static atomic_int n_open;	/* servers as Postgres would count them */
static atomic_uint n_working;	/* workers that still start new work */
static atomic_int n_clients_busy;

static void on_wake(void *arg, unsigned port)
{
	(void)arg;
	atomic_store(&workers[port].is_woken, true);
}

static unsigned below(struct worker *w, unsigned n)
{
	return (unsigned)(mix64(&w->rng) % n);
}

static void post(unsigned port, enum message_kind kind, struct lane_idle *idle,
	struct client *client, unsigned client_port)
{
	struct message *m = mem_zalloc(sizeof(*m));

	*m = (struct message){
		.kind = kind, .idle = idle, .client = client, .client_port = client_port};
	MUST(pthread_mutex_lock(&workers[port].mail_lock) == 0);
	STAILQ_INSERT_TAIL(&workers[port].mail, m, queued);
	MUST(pthread_mutex_unlock(&workers[port].mail_lock) == 0);
}

static struct message *next_message(struct worker *w)
{
	struct message *m;

	MUST(pthread_mutex_lock(&w->mail_lock) == 0);
	m = STAILQ_FIRST(&w->mail);
	if (m)
		STAILQ_REMOVE_HEAD(&w->mail, queued);
	MUST(pthread_mutex_unlock(&w->mail_lock) == 0);
	return m;
}

/* ---- Servers ---- */

static struct server *server_connect(struct worker *w, struct lane_pool *pool)
{
	struct server *s = mem_zalloc(sizeof(*s));

	s->idle.pool = pool;
	s->idle.port = (uint8_t)w->port;
	MUST(atomic_fetch_add(&n_open, 1) < BUDGET);
	return s;
}

static void server_start_closing(struct worker *w, struct server *s)
{
	s->state = SERVER_CLOSING;
	TAILQ_INSERT_TAIL(&w->closing, s, of_worker);
}

static void server_close(struct worker *w, struct server *s, bool was_orphan)
{
	lane_slot_closing(ledger, was_orphan);
	server_start_closing(w, s);
}

/* Postgres closed its end: only now the slot is free. */
static void server_end(struct worker *w)
{
	struct server *s = TAILQ_FIRST(&w->closing);

	if (s == NULL)
		return;
	TAILQ_REMOVE(&w->closing, s, of_worker);
	mem_free(s);
	atomic_fetch_sub(&n_open, 1);
	lane_slot_release(ledger, clock_mono_us());
}

static void orphan_ready(struct worker *w)
{
	struct server *s = TAILQ_FIRST(&w->orphans);

	if (s == NULL)
		return;
	TAILQ_REMOVE(&w->orphans, s, of_worker);
	s->state = SERVER_READY;
	if (below(w, 8) == 0 || !lane_orphan_idle(ledger, &s->idle, clock_mono_us()))
		server_close(w, s, true);
}

/* ---- Clients ---- */

static void follow(struct worker *w, struct client *c)
{
	struct lane_ticket *t = &c->ticket;

	switch (t->source) {
	case LANE_SOURCE_NONE:
	case LANE_SOURCE_AWAIT_SLOT:
		break;
	case LANE_SOURCE_OWN_IDLE:
		c->server = CONTAINER_OF(t->idle, struct server, idle);
		MUST(t->idle->port == w->port && c->server->idle.pool == t->pool);
		break;
	case LANE_SOURCE_FOREIGN_IDLE:
		post(t->idle->port, MESSAGE_HAND_OVER, t->idle, c, w->port);
		break;
	case LANE_SOURCE_SLOT:
		if (below(w, 2)) {
			lane_login_wait(ledger, t, clock_mono_us());
			break;
		}
		c->server = server_connect(w, t->pool);
		c->server->state = SERVER_READY;
		break;
	case LANE_SOURCE_EVICT:
		post(t->idle->port, MESSAGE_CLOSE, t->idle, NULL, 0);
		break;
	}
}

static void on_take(void *arg, struct lane_ticket *t)
{
	struct worker *w = arg;

	MUST(t->port == w->port &&
		(t->state == LANE_TICKET_HOLDS || t->state == LANE_TICKET_WAITS_SLOT));
	follow(w, CONTAINER_OF(t, struct client, ticket));
}

static void start(struct worker *w, struct client *c)
{
	unsigned priority = 1 + below(w, 10), lane = below(w, 2);

	atomic_fetch_add(&n_clients_busy, 1);
	switch (lane_acquire(ledger, &c->ticket, pools[below(w, N_POOLS)], lane, priority, w->port,
		clock_mono_us())) {
	case LANE_GRANTED:
		follow(w, c);
		break;
	case LANE_QUEUED:
		break;
	case LANE_REFUSED:
		atomic_fetch_sub(&n_clients_busy, 1);
		break;
	}
}

static void finish(struct worker *w, struct client *c)
{
	struct server *s = c->server;
	unsigned how = below(w, 16);

	c->server = NULL;
	w->n_served++;
	atomic_fetch_sub(&n_clients_busy, 1);
	if (how == 0) { /* the server died with it */
		lane_slot_closing(ledger, false);
		MUST(lane_release(ledger, &c->ticket, NULL, clock_mono_us()));
		server_start_closing(w, s);
	} else if (how == 1) { /* the client left while it was connecting */
		MUST(lane_release(ledger, &c->ticket, NULL, clock_mono_us()));
		lane_slot_orphan(ledger);
		TAILQ_INSERT_TAIL(&w->orphans, s, of_worker);
	} else if (!lane_release(ledger, &c->ticket, &s->idle, clock_mono_us())) {
		server_close(w, s, false);
	}
}

static void work(struct worker *w, struct client *c)
{
	unsigned how = below(w, 16);

	if (how == 0) {
		server_close(w, c->server, false);
		c->server = NULL;
		MUST(lane_again(ledger, &c->ticket, clock_mono_us()) == LANE_GRANTED);
		follow(w, c);
	} else if (how < 4) {
		(void)!lane_swap(
			ledger, &c->ticket, below(w, 2), 1 + below(w, 10), clock_mono_us());
	} else if (how < 6) {
		(void)!lane_hop(ledger, &c->ticket, below(w, 2), clock_mono_us());
	} else {
		finish(w, c);
	}
}

/* Its turn to log in; or a server is on its way to it. */
static void log_in(struct worker *w, struct client *c)
{
	if (lane_login_begin(ledger, &c->ticket, clock_mono_us()) != LANE_GRANTED)
		return;
	c->server = server_connect(w, c->ticket.pool);
	c->server->state = SERVER_READY;
}

/* A swap that is given up leaves permit and server as they were. */
static void give_up(struct client *c)
{
	bool is_swap = c->ticket.state == LANE_TICKET_WAITS_SWAP;

	lane_abandon(ledger, &c->ticket, clock_mono_us());
	MUST(c->ticket.state == (is_swap ? LANE_TICKET_HOLDS : LANE_TICKET_NONE));
	if (!is_swap)
		atomic_fetch_sub(&n_clients_busy, 1);
}

static void step_client(struct worker *w, struct client *c, bool starts_new)
{
	switch (c->ticket.state) {
	case LANE_TICKET_NONE:
		if (starts_new)
			start(w, c);
		break;
	case LANE_TICKET_HOLDS:
		if (c->server)
			work(w, c);
		else
			sched_yield();
		break;
	case LANE_TICKET_WAITS_PERMIT:
	case LANE_TICKET_WAITS_SLOT:
	case LANE_TICKET_WAITS_SWAP:
	case LANE_TICKET_WAITS_LOGIN:
		if (c->ticket.state == LANE_TICKET_WAITS_LOGIN && below(w, 4) == 0)
			log_in(w, c);
		else if (starts_new && below(w, 16) == 0)
			give_up(c);
		else
			sched_yield();
		break;
	case LANE_TICKET_DELIVERED:
		UNREACHABLE("an owner never sees what another thread granted");
	}
}

/* ---- Messages ---- */

/* A server is asked to go to another worker: mostly it does, sometimes it was just found dead. */
static void hand_over(struct worker *w, struct message *m)
{
	if (below(w, 8) == 0) {
		struct server *s = CONTAINER_OF(m->idle, struct server, idle);

		lane_claim_closing(ledger, m->idle);
		server_start_closing(w, s);
		post(m->client_port, MESSAGE_IT_IS_DEAD, NULL, m->client, 0);
	} else {
		post(m->client_port, MESSAGE_HERE_IT_IS, m->idle, m->client, 0);
	}
}

static void read_message(struct worker *w, struct message *m)
{
	switch (m->kind) {
	case MESSAGE_CLOSE:
		lane_claim_closing(ledger, m->idle);
		server_start_closing(w, CONTAINER_OF(m->idle, struct server, idle));
		break;
	case MESSAGE_HAND_OVER:
		hand_over(w, m);
		break;
	case MESSAGE_HERE_IT_IS:
		lane_claim_moved(ledger, m->idle, w->port);
		m->client->server = CONTAINER_OF(m->idle, struct server, idle);
		break;
	case MESSAGE_IT_IS_DEAD:
		MUST(lane_again(ledger, &m->client->ticket, clock_mono_us()) == LANE_GRANTED);
		follow(w, m->client);
		break;
	}
	mem_free(m);
}

/* ---- Workers ---- */

static void check_totals(void)
{
	struct lane_reading readings[LANE_MAX];
	struct lane_totals totals;
	unsigned n = lane_read(ledger, readings, &totals);

	MUST(totals.slots <= BUDGET);
	for (unsigned i = 0; i < n; i++)
		MUST(readings[i].in_use <= readings[i].spec.size);
}

static void step(struct worker *w, bool starts_new)
{
	struct message *m;

	if (atomic_exchange(&w->is_woken, false))
		lane_collect(ledger, w->port, on_take, w);
	while ((m = next_message(w)) != NULL)
		read_message(w, m);
	if (below(w, 2))
		server_end(w);
	if (below(w, 4) == 0)
		orphan_ready(w);
	if (starts_new && below(w, 64) == 0 && lane_slot_try(ledger)) {
		struct server *s = server_connect(w, pools[below(w, N_POOLS)]);

		TAILQ_INSERT_TAIL(&w->orphans, s, of_worker);
	}
	if (below(w, 64) == 0)
		check_totals();
	if (below(w, 256) == 0)
		lane_check(ledger);
	step_client(w, &w->clients[below(w, N_CLIENTS)], starts_new);
}

static void *run(void *arg)
{
	struct worker *w = arg;

	while (w->n_served < n_transactions)
		step(w, true);
	atomic_fetch_sub(&n_working, 1);
	/*
	 * Nobody gives up any more, so everybody has to be served: a loss of any kind shows as an
	 * endless wait.
	 */
	while (atomic_load(&n_working) || atomic_load(&n_clients_busy))
		step(w, false);
	return NULL;
}

/* One thread again: what is left is idle, closing, an orphan, or a message about one of them. */
static void close_everything(void)
{
	struct lane_totals totals;
	struct lane_reading readings[LANE_MAX];
	static const struct lane_spec nothing[] = {
		{.name = "default"}, {.name = "ml"}, {.name = "priority", .urgent = true}};
	struct lane_idle *idle;

	lane_resize(ledger, nothing, N_ELEMENTS(nothing), 0);
	do {
		while ((idle = lane_excess_idle(ledger)) != NULL)
			post(idle->port, MESSAGE_CLOSE, idle, NULL, 0);
		for (unsigned i = 0; i < N_WORKERS; i++) {
			struct message *m;

			while ((m = next_message(&workers[i])) != NULL)
				read_message(&workers[i], m);
			orphan_ready(&workers[i]);
			server_end(&workers[i]);
		}
		lane_check(ledger);
		(void)lane_read(ledger, readings, &totals);
	} while (totals.slots);
	MUST(atomic_load(&n_open) == 0);
}

/* What is to be shown has happened. */
static void check_moves(void)
{
	struct lane_reading readings[LANE_MAX];
	struct lane_totals totals;

	(void)lane_read(ledger, readings, &totals);
	MUST(readings[0].n_hopped_out > 0 && readings[1].n_spilled_out > 0 &&
		readings[0].n_spilled_in == readings[1].n_spilled_out);
}

static uint64_t from_env(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 10) : otherwise;
}

static void init_worker(unsigned i, uint64_t seed)
{
	struct worker *w = &workers[i];

	w->port = i;
	w->rng = seed + i * UINT64_C(0x1000000000000001);
	TAILQ_INIT(&w->closing);
	TAILQ_INIT(&w->orphans);
	STAILQ_INIT(&w->mail);
	MUST(pthread_mutex_init(&w->mail_lock, NULL) == 0);
}

int main(void)
{
	static const struct lane_spec specs[] = {
		{.name = "default", .size = 6},
		{.name = "ml", .size = 4, .max_waiting = 20, .spill_lane = 0, .spill_below = 5},
		{.name = "priority", .size = 2, .urgent = true},
	};
	uint64_t seed = from_env("PGLANE_SEED", SEED_DEFAULT), n_served = 0;

	n_transactions = from_env("PGLANE_TRANSACTIONS", TRANSACTIONS_DEFAULT);
	printf("PGLANE_SEED=%llu\n", (unsigned long long)seed);
	ledger = lane_ledger_new(specs, N_ELEMENTS(specs), BUDGET, N_WORKERS, on_wake, NULL);
	for (unsigned i = 0; i < N_POOLS; i++)
		pools[i] = lane_pool_new(ledger);
	lane_pool_limit(ledger, pools[1], 2);
	lane_set_aging(ledger, 100);
	for (unsigned i = 0; i < N_WORKERS; i++)
		init_worker(i, seed);
	atomic_store(&n_working, N_WORKERS);
	for (unsigned i = 0; i < N_WORKERS; i++)
		MUST(pthread_create(&workers[i].thread, NULL, run, &workers[i]) == 0);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		MUST(pthread_join(workers[i].thread, NULL) == 0);
		n_served += workers[i].n_served;
	}
	check_moves();
	close_everything();
	for (unsigned i = 0; i < N_POOLS; i++)
		lane_pool_free(ledger, &pools[i]);
	lane_ledger_free(&ledger);
	printf("%llu transactions served: fine\n", (unsigned long long)n_served);
	return 0;
}
