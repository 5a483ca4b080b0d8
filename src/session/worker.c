/* SPDX-License-Identifier: ISC */
#include "session/replay.h"
#include "session/worker.h"

#include <signal.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "session/client.h"
#include "session/listen_server.h"
#include "session/login_turn.h"
#include "session/replica.h"
#include "session/replication.h"
#include "session/sequence.h"
#include "session/server.h"

#define JANITOR_PERIOD_US 1000000u

/* Which worker this thread is: the ledger's wake needs no eventfd for ourselves. */
static _Thread_local struct worker *current;

uint64_t worker_new_id(struct worker *worker)
{
	return ++worker->next_id * worker->cluster->n_workers + worker->index;
}

static void close_idle_servers(struct worker *worker);
static void report_quiet(struct worker *worker);

/* ---- what the ledger delivers ---- */

void worker_wake_port(void *arg, unsigned port)
{
	struct cluster *cluster = arg;

	if (port >= cluster->n_workers) {
		if (cluster->wake_control)
			cluster->wake_control(cluster->daemon_arg);
		return;
	}
	__atomic_store_n(&cluster->workers[port].delivery, true, __ATOMIC_RELEASE);
	if (current != &cluster->workers[port])
		mailbox_wake(&cluster->workers[port].mailbox);
}

static void take_delivery(void *arg, struct lane_ticket *ticket)
{
	struct client *client = CONTAINER_OF(ticket, struct client, ticket);

	if (UNLIKELY(ticket->is_of_listener)) {
		listen_server_delivered(ticket);
		return;
	}
	CHECK_MAGIC(client, CLIENT_MAGIC);
	client_delivered(client);
}

static void on_turn_end(void *arg)
{
	struct worker *worker = arg;

	while (__atomic_load_n(&worker->delivery, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&worker->delivery, false, __ATOMIC_RELEASE);
		(void)lane_collect(worker->cluster->ledger, worker->index, take_delivery, worker);
		if (UNLIKELY(worker->sequence_pins.watches))
			sequence_give_way(worker);
	}
	if (UNLIKELY(worker->draining) && TAILQ_EMPTY(&worker->clients)) {
		listen_server_drain(worker);
		close_idle_servers(worker);
		report_quiet(worker);
	}
}

/* ---- once a second ---- */

static void visit_pool(void *arg, struct pool *pool)
{
	pool_janitor(pool, *(uint64_t *)arg);
}

static void close_excess(struct worker *worker)
{
	struct lane_idle *idle;

	while ((idle = lane_excess_idle(worker->cluster->ledger)) != NULL)
		server_claimed(worker, idle, NULL);
}

static void close_when_quiet(struct worker *worker);

static void log_period(const struct worker *worker, const struct pool *pool)
{
	const struct pool_stats *period = &pool->period;
	uint64_t period_s = MAX_OF(worker->period_us / 1000000u, (uint64_t)1);

	log_info("stats: %s/%s: %llu xacts/s, %llu queries/s, in %llu B/s, out %llu B/s, xact %llu "
		 "us, query %llu us, wait %llu us",
		pool->shared->database->name, pool->shared->user->name,
		(unsigned long long)(period->xact_count / period_s),
		(unsigned long long)(period->query_count / period_s),
		(unsigned long long)(period->received / period_s),
		(unsigned long long)(period->sent / period_s),
		(unsigned long long)(period->xact_time / MAX_OF(period->xact_count, (uint64_t)1)),
		(unsigned long long)(period->query_time / MAX_OF(period->query_count, (uint64_t)1)),
		(unsigned long long)(period->wait_time));
}

static void on_janitor(void *arg)
{
	struct worker *worker = arg;
	struct client *client, *next;
	uint64_t now_us = clock_mono_us();
	uint64_t period_us = worker_config(worker)->stats_period_us;
	struct pool *pool;

	TAILQ_FOREACH_SAFE(client, &worker->clients, link, next)
	client_janitor(client, now_us);
	pool_each(worker, visit_pool, &now_us);
	listen_server_tick(worker);
	pool_sweep(worker, now_us);
	close_excess(worker);
	scaling_tick(worker);
	if (worker_config(worker)->targets_replica)
		replica_changed(worker);
	if (now_us - worker->period_began_us >= period_us) {
		worker->period_us = now_us - worker->period_began_us;
		worker->period_began_us = now_us;
		for (pool = worker->pools; pool; pool = pool->next) {
			pool_roll_period(pool);
			if (worker_config(worker)->log_stats && pool->period.query_count > 0)
				log_period(worker, pool);
		}
	}
	if (worker->draining)
		close_when_quiet(worker);
}

struct input *input_new(const uint8_t *bytes, size_t n)
{
	struct input *input;

	if (n == 0)
		return NULL;
	input = mem_alloc(sizeof(*input) + n);
	input->at = 0;
	input->len = input->cap = n;
	memcpy(input->data, bytes, n);
	return input;
}

/* ---- shutdown ---- */

static void close_idle_servers(struct worker *worker)
{
	struct server *server, *next;
	struct pool *pool;

	for (pool = worker->pools; pool; pool = pool->next)
		TAILQ_FOREACH_SAFE(server, &pool->servers[SERVER_IDLE], link, next)
	server_close_idle(server);
}

static bool is_quiet(const struct worker *worker)
{
	const struct pool *pool;
	unsigned i;

	if (!TAILQ_EMPTY(&worker->clients) || !LIST_EMPTY(&worker->cancels) ||
		!LIST_EMPTY(&worker->listeners))
		return false;
	for (pool = worker->pools; pool; pool = pool->next)
		for (i = 0; i < N_SERVER_STATES; i++)
			if (pool->n_servers[i] > 0)
				return false;
	return true;
}

static void report_quiet(struct worker *worker)
{
	if (worker->reported_quiet || !is_quiet(worker))
		return;
	worker->reported_quiet = true;
	if (worker->cluster->quiet)
		worker->cluster->quiet(worker->cluster->daemon_arg, worker->index);
}

/* Does this client still have work that the mode of shutdown lets it finish? */
static bool may_stay(const struct client *client, enum shutdown_mode mode)
{
	if (mode == SHUTDOWN_WAIT_FOR_CLIENTS)
		return true;
	return mode == SHUTDOWN_WAIT_FOR_SERVERS &&
	       (client->server != NULL || client->state == CLIENT_CONSOLE);
}

/* Does it hold up a shutdown? A stream has no end, and who reads it comes back to where it was. */
static bool holds_up(const struct client *client)
{
	return client->state != CLIENT_CONSOLE && !replication_streams(client);
}

static bool anybody_holds_up(const struct cluster *cluster)
{
	unsigned i;

	for (i = 0; i < cluster->n_workers; i++)
		if (STAT_READ(cluster->workers[i].n_holding) > 0)
			return true;
	return false;
}

static void close_when_quiet(struct worker *worker)
{
	enum shutdown_mode mode = (enum shutdown_mode)__atomic_load_n(
		&worker->cluster->shutdown_mode, __ATOMIC_RELAXED);
	struct pgw_fault fault = pgw_fault_make(PGW_FAULT_SHUTTING_DOWN);
	struct client *client, *next;
	unsigned n_holding = 0, n_streams = 0;

	if (mode == SHUTDOWN_WAIT_FOR_SERVERS)
		sequence_give_back(worker, NULL);
	TAILQ_FOREACH_SAFE(client, &worker->clients, link, next)
	{
		if (client->state == CLIENT_GONE)
			continue;
		if (!may_stay(client, mode)) {
			client_fatal(client, &fault);
			continue;
		}
		n_holding += holds_up(client);
		n_streams += replication_streams(client);
	}
	STAT_SET(worker->n_holding, n_holding);
	/* Another worker's base backup may need this one's stream. */
	if (n_holding > 0 || (n_streams > 0 && anybody_holds_up(worker->cluster)))
		return;
	TAILQ_FOREACH_SAFE(client, &worker->clients, link, next)
	if (client->state != CLIENT_GONE)
		client_fatal(client, &fault);
	listen_server_drain(worker);
	close_idle_servers(worker);
	report_quiet(worker);
}

static void on_drain(struct mail *mail, void *owner)
{
	struct worker *worker = owner;
	unsigned i;

	mem_free(mail);
	if (!worker->draining) {
		worker->draining = true;
		for (i = 0; i < worker->n_watches; i++)
			listener_watch_close(&worker->watches[i]);
		worker->n_watches = 0;
		/* The last one to look away closes them: new connections are refused, not left in
		 * the backlog. */
		if (__atomic_sub_fetch(&worker->cluster->n_watching, 1, __ATOMIC_ACQ_REL) == 0)
			listeners_close(&worker->cluster->listeners);
	}
	close_when_quiet(worker);
}

void worker_drain(struct worker *worker)
{
	struct mail *mail = mem_zalloc(sizeof(*mail));

	mailbox_post(&worker->mailbox, mail, on_drain);
}

/* ---- mails ---- */

static void on_stop(struct mail *mail, void *owner)
{
	struct worker *worker = owner;

	mem_free(mail);
	loop_stop(&worker->loop);
}

void worker_stop(struct worker *worker)
{
	struct mail *mail = mem_zalloc(sizeof(*mail));

	mailbox_post(&worker->mailbox, mail, on_stop);
}

struct change {
	struct mail mail;
	struct settings *settings;
};

static void on_change(struct mail *mail, void *owner)
{
	struct change *change = CONTAINER_OF(mail, struct change, mail);
	struct worker *worker = owner;
	struct pool *pool;

	settings_unref(&worker->settings);
	worker->settings = change->settings;
	tally_settings(worker);
	for (pool = worker->pools; pool; pool = pool->next)
		pool_limit(pool);
	replica_changed(worker);
	mem_free(change);
}

void worker_change_settings(struct worker *worker, struct settings *settings)
{
	struct change *change = mem_zalloc(sizeof(*change));

	change->settings = settings_ref(settings);
	mailbox_post(&worker->mailbox, &change->mail, on_change);
}

struct catalog_lesson {
	struct mail mail;
	struct catalogs *catalogs;
};

/* The old ones go when no pool looks at them any more. */
static void on_lesson(struct mail *mail, void *owner)
{
	struct catalog_lesson *lesson = CONTAINER_OF(mail, struct catalog_lesson, mail);
	struct worker *worker = owner;
	struct catalogs *old = worker->catalogs;
	struct pool *pool;

	worker->catalogs = lesson->catalogs;
	for (pool = worker->pools; pool; pool = pool->next)
		pool_learn(pool);
	catalogs_unref(&old);
	mem_free(lesson);
}

void worker_change_catalogs(struct worker *worker, struct catalogs *catalogs)
{
	struct catalog_lesson *lesson = mem_zalloc(sizeof(*lesson));

	lesson->catalogs = catalogs_ref(catalogs);
	mailbox_post(&worker->mailbox, &lesson->mail, on_lesson);
}

struct visit {
	struct mail mail;
	struct cluster *cluster;
	struct mailbox *home;
	unsigned next;
	void (*visit)(void *arg, struct worker *worker);
	void (*done)(void *arg);
	void *arg;
};

static void on_visited(struct mail *mail, void *owner)
{
	struct visit *visit = CONTAINER_OF(mail, struct visit, mail);

	visit->done(visit->arg);
	mem_free(visit);
}

static void on_visit(struct mail *mail, void *owner)
{
	struct visit *visit = CONTAINER_OF(mail, struct visit, mail);

	visit->visit(visit->arg, owner);
	if (++visit->next < visit->cluster->n_workers)
		mailbox_post(&visit->cluster->workers[visit->next].mailbox, &visit->mail, on_visit);
	else if (visit->home)
		mailbox_post(visit->home, &visit->mail, on_visited);
	else
		on_visited(mail, owner);
}

void cluster_visit(struct cluster *cluster, struct mailbox *home,
	void (*visit)(void *arg, struct worker *worker), void (*done)(void *arg), void *arg)
{
	struct visit *round = mem_zalloc(sizeof(*round));

	round->cluster = cluster;
	round->home = home;
	round->visit = visit;
	round->done = done;
	round->arg = arg;
	mailbox_post(&cluster->workers[0].mailbox, &round->mail, on_visit);
}

/* ---- life ---- */

static void on_accepted(void *arg, int fd, bool is_unix)
{
	client_accept(arg, fd, is_unix);
}

void worker_init(
	struct worker *worker, struct cluster *cluster, unsigned index, struct settings *settings)
{
	unsigned i;

	memset(worker, 0, sizeof(*worker));
	worker->magic = WORKER_MAGIC;
	worker->index = index;
	worker->cluster = cluster;
	worker->settings = settings_ref(settings);
	loop_init(&worker->loop);
	worker->loop.turn_end = on_turn_end;
	worker->loop.turn_end_arg = worker;
	mailbox_open(&worker->mailbox, &worker->loop, worker);
	worker->resolver = resolver_new(&worker->loop);
	worker->n_holding = 1;
	TAILQ_INIT(&worker->clients);
	LIST_INIT(&worker->cancels);
	login_turn_init(worker);
	LIST_INIT(&worker->hubs);
	LIST_INIT(&worker->listeners);
	statement_table_init(&worker->statements);
	fingerprints_init(&worker->fingerprints);
	leaks_init(&worker->leaks);
	TAILQ_INIT(&worker->sequence_pins.list);
	tally_settings(worker);
	worker->rx = mem_alloc(WORKER_RX_BYTES);
	worker->period_began_us = clock_mono_us();
	ticker_open(&worker->janitor, &worker->loop, on_janitor, worker);
	ticker_every(&worker->janitor, JANITOR_PERIOD_US);
	for (i = 0; i < cluster->listeners.n; i++)
		listener_watch_open(&worker->watches[i], &worker->loop,
			&cluster->listeners.items[i], on_accepted, worker);
	worker->n_watches = cluster->listeners.n;
	__atomic_add_fetch(&cluster->n_watching, 1, __ATOMIC_RELAXED);
}

static void *run_worker(void *arg)
{
	struct worker *worker = arg;
	sigset_t all;

	/* Signals are the control thread's. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, NULL);
	current = worker;
	loop_run(&worker->loop);
	return NULL;
}

void worker_start(struct worker *worker)
{
	MUST(pthread_create(&worker->thread, NULL, run_worker, worker) == 0);
}

void worker_join(struct worker *worker)
{
	MUST(pthread_join(worker->thread, NULL) == 0);
}

void worker_release(struct worker *worker)
{
	worker->loop.stopping = false;
	login_turn_release(worker);
	pool_free_all(worker);
	param_set_unref(&worker->replica_asked);
	param_set_unref(&worker->replica_params);
	statement_table_release(&worker->statements);
	fingerprints_release(&worker->fingerprints);
	leaks_release(&worker->leaks);
	timer_stop(&worker->sequence_pins.timer);
	ticker_close(&worker->janitor);
	resolver_free(&worker->resolver);
	mailbox_close(&worker->mailbox);
	loop_release(&worker->loop);
	settings_unref(&worker->settings);
	catalogs_unref(&worker->catalogs);
	mem_free(worker->keys);
	mem_free(worker->rx);
	replay_ring_release(&worker->replay);
}

int64_t worker_wall_s(struct worker *worker)
{
	time_t now = (time_t)(clock_wall_us() / 1000000);
	struct tm local;

	if (now != worker->wall_s) {
		worker->wall_s = now;
		worker->utc_offset_s =
			localtime_r(&now, &local) ? (int32_t)local.tm_gmtoff : 0;
	}
	return now;
}
