/* SPDX-License-Identifier: ISC */
/*
 * A server connection's life and its slot. A slot is given back only when the server's end of file
 * was read: until then PostgreSQL may still count the connection, and the budget is what PostgreSQL
 * counts.
 */
#include "session/server.h"
#include "session/sql_names.h"

#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/listener.h"
#include "session/client.h"
#include "session/feed.h"
#include "session/login_turn.h"

#define CLOSE_PATIENCE_US 10000000u /* then the operator hears of it, and it of a cancel request */

static struct lane_ledger *ledger_of(const struct server *server)
{
	return server->worker->cluster->ledger;
}

struct server *server_new(struct pool *pool)
{
	struct server *server = mem_zalloc(sizeof(*server));

	server->magic = SERVER_MAGIC;
	server->worker = pool->worker;
	server->pool = pool;
	pool_join(pool);
	server->state = SERVER_CONNECTING;
	server->xact = PGW_XACT_IDLE;
	server->stream.fd = -1;
	server->idle.pool = pool->shared->lane_pool;
	server->idle.port = (uint8_t)pool->worker->index;
	server->id = worker_new_id(pool->worker);
	server->epoch = STAT_READ(pool->shared->epoch);
	server->copies_epoch = STAT_READ(pool->shared->copies_epoch);
	server->connect_wall_us = clock_wall_us();
	server->connect_us = clock_mono_us();
	expect_init(&server->expects);
	TAILQ_INSERT_HEAD(&pool->servers[SERVER_CONNECTING], server, link);
	pool->n_servers[SERVER_CONNECTING]++;
	__atomic_add_fetch(&pool->shared->database->n_servers, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&pool->shared->user->n_servers, 1, __ATOMIC_RELAXED);
	return server;
}

static void leave_list(struct server *server)
{
	TAILQ_REMOVE(&server->pool->servers[server->state], server, link);
	server->pool->n_servers[server->state]--;
	if (server->state == SERVER_CONNECTING)
		login_turn_over(server);
}

void server_to(struct server *server, enum server_state next)
{
	if (next == SERVER_CLOSING)
		scaling_server_closing(server);
	leave_list(server);
	server->state = (uint8_t)next;
	TAILQ_INSERT_HEAD(&server->pool->servers[next], server, link);
	server->pool->n_servers[next]++;
}

const char *server_state_name(const struct server *server)
{
	static const char *const names[N_SERVER_STATES] = {
		[SERVER_CONNECTING] = "new",
		[SERVER_LINKED] = "active",
		[SERVER_RECOVERING] = "active",
		[SERVER_FENCED] = "being_canceled",
		[SERVER_IDLE] = "idle",
		[SERVER_LISTENING] = "active",
		[SERVER_CLOSING] = "closing",
	};

	return server->n_cancels > 0 ? "being_canceled" : names[server->state];
}

static void free_server(struct task *task)
{
	struct server *server = CONTAINER_OF(task, struct server, task);

	CHECK_MAGIC(server, SERVER_MAGIC);
	MUST(server->client == NULL && server->n_cancels == 0 && server->kept == NULL);
	server_login_free(server);
	expect_release(&server->expects);
	param_set_unref(&server->params);
	param_set_unref(&server->params_before);
	param_set_unref(&server->facts);
	server_copies_clear(&server->copies);
	sql_names_free(&server->sql_names);
	server_copies_clear(&server->copies_taken);
	pool_leave(server->pool);
	mem_free(server->partial);
	mem_free(server->key);
	mem_free(server->host);
	server->magic = 0;
	mem_free(server);
}

void server_dead(struct server *server, const char *why)
{
	if (server_is(server, SERVER_FREED))
		return;
	stream_close(&server->stream);
	timer_stop(&server->timer);
	loop_task_drop(&server->worker->loop, &server->task);
	if (server->state == SERVER_IDLE && !lane_idle_remove(ledger_of(server), &server->idle)) {
		server_set(server,
			SERVER_DIED_IDLE); /* claimed by another worker, whose mail ends it */
		return;
	}
	log_debug("S-%llu: closed: %s", (unsigned long long)server->id, why);
	if (server->state != SERVER_CLOSING) {
		scaling_server_closing(server);
		lane_slot_closing(ledger_of(server), server_is(server, SERVER_ORPHAN));
	}
	lane_slot_release(ledger_of(server), clock_mono_us());
	server_set(server, SERVER_FREED);
	scaling_server_gone(server);
	__atomic_sub_fetch(&server->pool->shared->database->n_servers, 1, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&server->pool->shared->user->n_servers, 1, __ATOMIC_RELAXED);
	leave_list(server);
	if (server->n_cancels == 0)
		loop_task(&server->worker->loop, &server->task, free_server);
}

void server_cancel_done(struct server *server)
{
	server->n_cancels--;
	if (server->n_cancels > 0)
		return;
	if (server_is(server, SERVER_FREED))
		loop_task(&server->worker->loop, &server->task, free_server);
	else
		link_cancel_finished(server);
}

/*
 * PostgreSQL sees the end only when it reads or writes: a backend that still works goes on, and
 * counts, so its slot is not given up. When its host is gone, the kernel says so in time.
 */
static void on_close_deadline(struct timer *timer)
{
	struct server *server = CONTAINER_OF(timer, struct server, timer);

	if (server->worker->draining) { /* our own end closes it as well */
		server_dead(server, "has not closed its end");
		return;
	}
	log_warning("S-%llu: backend %u has not closed its end yet; its slot stays taken",
		(unsigned long long)server->id, server->pid);
	loop_timer(&server->worker->loop, &server->timer, CLOSE_PATIENCE_US, on_close_deadline);
	cancel_server(server, NULL);
}

/* The slot is counted as closing already. */
static void begin_close(struct server *server, const char *reason)
{
	static const uint8_t terminate[] = {PGW_TERMINATE, 0, 0, 0, 4};
	bool logged_in = server->state != SERVER_CONNECTING;

	log_debug("S-%llu: closing: %s", (unsigned long long)server->id, reason);
	server_login_free(server);
	server_to(server, SERVER_CLOSING);
	if (server->stream.fd < 0 || (server->stream.flags & STREAM_CONNECTING)) {
		server_dead(server, reason);
		return;
	}
	/* Terminate behind half a message would be read as its rest: then the half-close alone says
	 * it. */
	if (logged_in && !stream_is_blocked(&server->stream) && server->expects.n == 0)
		(void)!stream_send(&server->stream, terminate, sizeof(terminate));
	stream_shutdown(&server->stream);
	socket_watch_end(server->stream.fd);
	stream_resume(&server->stream);
	loop_timer(&server->worker->loop, &server->timer, CLOSE_PATIENCE_US, on_close_deadline);
	if (stream_has_input(&server->stream))
		server_resume(server);
}

void server_close(struct server *server, const char *reason)
{
	if (server->state == SERVER_CLOSING)
		return;
	MUST(server->client == NULL && server->idle.state == LANE_IDLE_OUT);
	lane_slot_closing(ledger_of(server), server_is(server, SERVER_ORPHAN));
	server_unset(server, SERVER_ORPHAN);
	begin_close(server, reason);
}

void server_close_idle(struct server *server)
{
	if (lane_idle_remove(ledger_of(server), &server->idle))
		server_close(server, "idle");
}

void server_close_claimed(struct server *server)
{
	lane_claim_closing(ledger_of(server), &server->idle);
	if (server_is(server, SERVER_DIED_IDLE)) {
		server_to(server, SERVER_CLOSING);
		server_dead(server, "died while idle");
		return;
	}
	begin_close(server, "its slot is wanted elsewhere");
}

void server_bury(struct server *server)
{
	lane_slot_closing(ledger_of(server), false);
	server_to(server, SERVER_CLOSING);
	server_dead(server, "died while idle");
}

void server_drain(struct server *server)
{
	enum stream_result result;
	size_t n;

	do {
		result = stream_recv(&server->stream, server->worker->rx, WORKER_RX_BYTES, &n);
	} while (result == STREAM_OK && stream_has_input(&server->stream));
	if (result == STREAM_EOF || result == STREAM_ERROR)
		server_dead(server, "closed");
}

void server_detach(struct server *server)
{
	MUST(server->state == SERVER_IDLE && server->client == NULL && server->n_cancels == 0);
	loop_task_drop(&server->worker->loop, &server->task);
	timer_stop(&server->timer);
	stream_detach(&server->stream);
	leave_list(server);
	pool_leave(server->pool);
	server->worker = NULL;
	server->pool = NULL;
}

void server_attach(struct server *server, struct worker *worker, struct pool *pool)
{
	server->worker = worker;
	server->pool = pool;
	pool_join(pool);
	server->idle.port = (uint8_t)worker->index;
	TAILQ_INSERT_HEAD(&pool->servers[SERVER_IDLE], server, link);
	pool->n_servers[SERVER_IDLE]++;
	stream_attach(&server->stream, &worker->loop);
}

/* ---- reading on ---- */

static void on_read_task(struct task *task)
{
	struct server *server = CONTAINER_OF(task, struct server, task);

	if (stream_has_input(&server->stream) && !(server->stream.flags & STREAM_PAUSED))
		server_on_input(server);
}

/* A crashed backend's warning and its reset come at once. One look a while after the last input. */
void server_look_for_reset(struct server *server)
{
	if (server->quiet_ticks >= QUIET_TICKS || ++server->quiet_ticks < QUIET_TICKS ||
		server->stream.fd < 0 || (server->stream.flags & STREAM_PAUSED))
		return;
	server->stream.flags |= STREAM_READABLE;
	loop_task(&server->worker->loop, &server->task, on_read_task);
}

void server_resume(struct server *server)
{
	stream_resume(&server->stream);
	loop_task(&server->worker->loop, &server->task, on_read_task);
}

/* ---- stream callbacks ---- */

static struct server *server_of(struct stream *stream)
{
	struct server *server = CONTAINER_OF(stream, struct server, stream);

	CHECK_MAGIC(server, SERVER_MAGIC);
	return server;
}

static void on_readable(struct stream *stream)
{
	server_on_input(server_of(stream));
}

static void on_drained(struct stream *stream)
{
	link_server_drained(server_of(stream));
}

static void on_connected(struct stream *stream, int error_number)
{
	server_login_on_connected(server_of(stream), error_number);
}

const struct stream_ops server_ops = {
	.on_readable = on_readable,
	.on_drained = on_drained,
	.on_connected = on_connected,
};
