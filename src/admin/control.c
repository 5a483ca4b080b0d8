/* SPDX-License-Identifier: ISC */
/*
 * Commands that change what the data plane does with databases: PAUSE, RESUME, RECONNECT, KILL, DISABLE, ENABLE, WAIT_CLOSE. The flags are atomics
 * that workers look at before a statement gets a server; what is open already is dealt with by visits.
 */
#include "admin/console.h"
#include "admin/show.h"
#include "base/mem.h"
#include "session/listen_server.h"
#include "session/sequence.h"
#include "session/server.h"

/* What a command is about. */
struct target {
	struct shared_database *database; /* NULL: all but the console's */
	struct shared_pool **pools;	  /* all there are, when they were asked for */
	unsigned n_pools;
	uint64_t id; /* KILL_CLIENT */
	bool found;
};

static void release_target(void *gathered)
{
	struct target *target = gathered;

	for (unsigned i = 0; i < target->n_pools; i++)
		shared_pool_unref(&target->pools[i]);
	mem_free(target->pools);
	shared_database_unref(&target->database);
}

static bool covers(const struct target *target, const struct shared_database *database)
{
	return target->database ? target->database == database : !is_console_database(database->name);
}

/* A database that is configured by that name, or that clients came for through "*". */
static struct shared_database *find_database(const struct run *run, const char *name)
{
	const struct config_database *entry = config_find_database(worker_config(run->worker), name);

	return entry && strcmp(entry->name, name) == 0 ? registry_database(name) : registry_find_database(name);
}

/* false: the client was told what is wrong with the argument. */
static bool take_target(struct run *run, bool required)
{
	struct target *target = run->gathered = mem_zalloc(sizeof(*target));
	const char *name = run->request.argument;

	run->release = release_target;
	if (name[0] == '\0' && !required)
		return true;
	if (name[0] == '\0')
		run_fail(run, PGW_FAULT_CONSOLE_ARGUMENT, "a database is required");
	else if (is_console_database(name))
		run_fail(run, PGW_FAULT_CONSOLE_OWN_DATABASE, name);
	else if ((target->database = find_database(run, name)) == NULL)
		run_fail(run, PGW_FAULT_CONSOLE_NO_DATABASE, name);
	if (!run->failed)
		return true;
	run_done(run);
	return false;
}

static void fail(struct run *run, enum pgw_fault_id id, const char *what)
{
	run_fail(run, id, what);
	run_done(run);
}

/* ---- what is done on each worker ---- */

static void close_idle(struct pool *pool)
{
	struct server *server, *next;

	sequence_give_back(pool->worker, pool);
	TAILQ_FOREACH_SAFE(server, &pool->servers[SERVER_IDLE], link, next)
		server_close_idle(server);
	listen_server_look(pool);
}

static void visit_close_idle(struct run *run, struct worker *worker)
{
	struct pool *pool;

	for (pool = worker->pools; pool; pool = pool->next)
		if (covers(run->gathered, pool->shared->database))
			close_idle(pool);
}

static bool is_paused(const struct run *run, const struct target *target)
{
	return target->database ? STAT_READ(target->database->paused) : STAT_READ(run->cluster->paused_all);
}

struct own {
	const struct target *target;
	uint64_t n;
};

static void count_own(void *arg, struct shared_database *database)
{
	struct own *own = arg;

	if (covers(own->target, database))
		own->n += __atomic_load_n(&database->n_own, __ATOMIC_SEQ_CST);
}

/* Servers count until PostgreSQL has closed its end: then a database may be dropped. So do connections of pglane's own. */
static void visit_drain(struct run *run, struct worker *worker)
{
	struct own own = { .target = run->gathered };
	struct pool *pool;

	if (!is_paused(run, run->gathered)) /* by RESUME meanwhile: nothing is to be closed any more */
		return;
	if (worker->index == 0) { /* once */
		registry_each_database(count_own, &own);
		run->n_left += own.n;
	}
	for (pool = worker->pools; pool; pool = pool->next) {
		if (!covers(run->gathered, pool->shared->database))
			continue;
		close_idle(pool);
		for (unsigned i = 0; i < N_SERVER_STATES; i++)
			run->n_left += pool->n_servers[i];
	}
}

static void visit_unpark(struct run *run, struct worker *worker)
{
	client_unpark_all(worker);
}

/* ---- PAUSE, RESUME ---- */

static void set_paused(const struct run *run, const struct target *target, bool paused)
{
	if (target->database)
		__atomic_store_n(&target->database->paused, paused, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&run->cluster->paused_all, paused, __ATOMIC_SEQ_CST);
}

/* A cancel request during PAUSE takes it back; a client that just leaves does not: who stops a database must not start it by losing a terminal. */
static void undo_pause(struct run *run)
{
	set_paused(run, run->gathered, false);
	run_visit(run, visit_unpark, run_done);
}

static void finish_pause(struct run *run)
{
	const struct target *target = run->gathered;

	if (!is_paused(run, target)) /* who waits for PAUSE must not believe in it */
		run_fail(run, target->database ? PGW_FAULT_CONSOLE_DATABASE_NOT_PAUSED : PGW_FAULT_CONSOLE_NOT_PAUSED,
			target->database ? target->database->name : NULL);
	run_done(run);
}

void control_pause(struct run *run)
{
	if (!take_target(run, false))
		return;
	if (STAT_READ(run->cluster->paused_all)) {
		fail(run, PGW_FAULT_CONSOLE_PAUSED, NULL);
		return;
	}
	set_paused(run, run->gathered, true);
	run_poll(run, visit_drain, finish_pause, undo_pause);
}

void control_resume(struct run *run)
{
	const struct target *target;

	if (!take_target(run, false))
		return;
	target = run->gathered;
	if (__atomic_load_n(&run->cluster->shutdown_mode, __ATOMIC_RELAXED) != SHUTDOWN_NONE) {
		fail(run, PGW_FAULT_CONSOLE_SHUTDOWN, NULL);
	} else if (target->database && !is_paused(run, target)) {
		fail(run, PGW_FAULT_CONSOLE_DATABASE_NOT_PAUSED, target->database->name);
	} else if (!target->database && !is_paused(run, target)) {
		fail(run, PGW_FAULT_CONSOLE_NOT_PAUSED, NULL);
	} else {
		set_paused(run, target, false);
		run_visit(run, visit_unpark, run_done);
	}
}

/* ---- RECONNECT, WAIT_CLOSE ---- */

/* Servers of an older epoch are closed as soon as they are idle. */
static void begin_epoch(struct target *target)
{
	target->pools = registry_all_pools(&target->n_pools);
	for (unsigned i = 0; i < target->n_pools; i++) {
		if (!covers(target, target->pools[i]->database))
			continue;
		__atomic_add_fetch(&target->pools[i]->epoch, 1, __ATOMIC_RELAXED);
		shared_pool_forget(target->pools[i]);
	}
}

void control_reconnect(struct run *run)
{
	if (!take_target(run, false))
		return;
	begin_epoch(run->gathered);
	run_visit(run, visit_close_idle, run_done);
}

static bool is_outdated(const struct server *server)
{
	return server_is(server, SERVER_RETIRE) || server->epoch != STAT_READ(server->pool->shared->epoch);
}

static void visit_outdated(struct run *run, struct worker *worker)
{
	const struct server *server;
	const struct pool *pool;

	for (pool = worker->pools; pool; pool = pool->next) {
		if (!covers(run->gathered, pool->shared->database))
			continue;
		for (unsigned i = 0; i < N_SERVER_STATES; i++)
			TAILQ_FOREACH(server, &pool->servers[i], link)
				run->n_left += is_outdated(server);
	}
}

void control_wait_close(struct run *run)
{
	if (take_target(run, false))
		run_poll(run, visit_outdated, run_done, NULL);
}

/* ---- KILL, KILL_CLIENT ---- */

static void kill_client(struct client *client)
{
	struct pgw_fault fault = pgw_fault_make(PGW_FAULT_KILLED);

	client_fatal(client, &fault);
}

static void visit_kill(struct run *run, struct worker *worker)
{
	struct client *client, *next;

	TAILQ_FOREACH_SAFE(client, &worker->clients, link, next)
		if (client->state != CLIENT_GONE && client->pool && covers(run->gathered, client->pool->shared->database))
			kill_client(client);
	visit_close_idle(run, worker);
}

static void pause_one(void *arg, struct shared_database *database)
{
	if (covers(arg, database))
		__atomic_store_n(&database->paused, true, __ATOMIC_RELAXED);
}

/* Databases stay paused, each by itself, until RESUME names them. */
void control_kill(struct run *run)
{
	if (!take_target(run, false))
		return;
	if (STAT_READ(run->cluster->paused_all)) {
		fail(run, PGW_FAULT_CONSOLE_PAUSED, NULL);
		return;
	}
	registry_each_database(pause_one, run->gathered);
	begin_epoch(run->gathered);
	run_visit(run, visit_kill, run_done);
}

static void visit_kill_client(struct run *run, struct worker *worker)
{
	struct target *target = run->gathered;
	struct client *client, *next;

	TAILQ_FOREACH_SAFE(client, &worker->clients, link, next) {
		if (client->state == CLIENT_GONE || client->id != target->id)
			continue;
		target->found = true;
		kill_client(client);
	}
}

static void finish_kill_client(struct run *run)
{
	const struct target *target = run->gathered;

	if (!target->found)
		run_fail(run, PGW_FAULT_CONSOLE_NO_CLIENT, run->request.argument);
	run_done(run);
}

void control_kill_client(struct run *run)
{
	struct target *target = run->gathered = mem_zalloc(sizeof(*target));
	const char *text = run->request.argument;
	char *end;

	target->id = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end)
		fail(run, PGW_FAULT_CONSOLE_ARGUMENT, "the id of a client is required");
	else
		run_visit(run, visit_kill_client, finish_kill_client);
}

/* ---- DISABLE, ENABLE ---- */

static void set_disabled(struct run *run, bool disabled)
{
	const struct target *target;

	if (!take_target(run, true))
		return;
	target = run->gathered;
	__atomic_store_n(&target->database->disabled, disabled, __ATOMIC_RELAXED);
	run_done(run);
}

void control_disable(struct run *run)
{
	set_disabled(run, true);
}

void control_enable(struct run *run)
{
	set_disabled(run, false);
}

/* ---- by signal ---- */

static void close_idle_of_all(void *arg, struct worker *worker)
{
	struct pool *pool;

	for (pool = worker->pools; pool; pool = pool->next)
		close_idle(pool);
}

static void unpark_all(void *arg, struct worker *worker)
{
	client_unpark_all(worker);
}

static void nothing(void *arg)
{
}

void console_pause_all(struct cluster *cluster)
{
	__atomic_store_n(&cluster->paused_all, true, __ATOMIC_RELAXED);
	cluster_visit(cluster, NULL, close_idle_of_all, nothing, cluster);
}

void console_resume_all(struct cluster *cluster)
{
	__atomic_store_n(&cluster->paused_all, false, __ATOMIC_RELAXED);
	cluster_visit(cluster, NULL, unpark_all, nothing, cluster);
}
