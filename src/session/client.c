/* SPDX-License-Identifier: ISC */
/* A client's beginning and end, and the events of its socket. */
#include "session/client.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "session/feed.h"
#include "session/listen.h"
#include "session/pin.h"
#include "session/search.h"
#include "session/restore.h"
#include "session/server.h"
#include "session/setting.h"
#include "session/write_sync.h"

#define LINGER_US 2000000u
#define LINGER_MAX_BYTES (1u << 20)

static const struct stream_ops client_ops;

void client_to(struct client *client, enum client_state next)
{
	if (client->pool) {
		if (client->state == CLIENT_LINKED)
			client->pool->n_active_clients--;
		if (next == CLIENT_LINKED)
			client->pool->n_active_clients++;
	}
	client->state = (uint8_t)next;
}

const char *client_state_name(const struct client *client)
{
	switch ((enum client_state)client->state) {
	case CLIENT_WAITING:
	case CLIENT_SEARCHING:
	case CLIENT_EXPECT_WELCOME:
		return "waiting";
	case CLIENT_LINKED:
	case CLIENT_CONSOLE:
		return "active";
	case CLIENT_CANCELING:
		return "active_cancel_req";
	case CLIENT_EXPECT_STARTUP:
	case CLIENT_EXPECT_TLS:
	case CLIENT_EXPECT_PASSWORD:
		return "login";
	case CLIENT_IDLE:
	case CLIENT_GONE:
	case N_CLIENT_STATES:
	default:
		return "idle";
	}
}

const char *client_application_name(const struct client *client)
{
	return client->params ? client->params->application_name : "";
}

static void on_login_deadline(struct timer *timer)
{
	struct client *client = CONTAINER_OF(timer, struct client, timer);
	struct pgw_fault fault = pgw_fault_make(PGW_FAULT_LOGIN_TIMEOUT);

	client_fatal(client, &fault);
}

void client_arm_login_timer(struct client *client)
{
	uint64_t limit_us = worker_config(client->worker)->client_login_timeout_us;

	if (limit_us > 0)
		loop_timer(&client->worker->loop, &client->timer, limit_us, on_login_deadline);
}

/* On the worker that will own it. */
static void adopt(struct worker *worker, int fd, bool is_unix)
{
	struct client *client;

	if (worker->draining) { /* perhaps nothing looks at its sockets any more */
		close(fd);
		return;
	}
	client = mem_zalloc(sizeof(*client));
	client->magic = CLIENT_MAGIC;
	client->worker = worker;
	client->state = CLIENT_EXPECT_STARTUP;
	client->id = worker_new_id(worker);
	client->connect_wall_us = clock_wall_us();
	client->last_active_us = clock_mono_us();
	TAILQ_INIT(&client->pending_names);
	TAILQ_INIT(&client->restores);
	STAILQ_INIT(&client->amids);
	TAILQ_INSERT_TAIL(&worker->clients, client, link);
	STAT_ADD(worker->n_clients, 1);
	socket_tune(fd, is_unix, worker_config(worker));
	stream_open(&client->stream, &worker->loop, fd, is_unix, &client_ops);
	client_arm_login_timer(client);
}

struct arrival {
	struct mail mail;
	int fd;
	bool is_unix;
};

static void on_arrival(struct mail *mail, void *owner)
{
	struct arrival *arrival = CONTAINER_OF(mail, struct arrival, mail);

	adopt(owner, arrival->fd, arrival->is_unix);
	mem_free(arrival);
}

/* The worker with the fewest clients; ourselves unless somebody has clearly fewer. */
static struct worker *least_loaded(struct worker *self)
{
	struct cluster *cluster = self->cluster;
	struct worker *best = self;
	unsigned i;

	for (i = 0; i < cluster->n_workers; i++)
		if (STAT_READ(cluster->workers[i].n_clients) + 1 <
			STAT_READ(best->n_clients) + (best == self ? 0u : 1u))
			best = &cluster->workers[i];
	return best;
}

void client_accept(struct worker *worker, int fd, bool is_unix)
{
	struct worker *target = least_loaded(worker);
	struct arrival *arrival;

	if (target == worker) {
		adopt(worker, fd, is_unix);
		return;
	}
	arrival = mem_zalloc(sizeof(*arrival));
	arrival->fd = fd;
	arrival->is_unix = is_unix;
	mailbox_post(&target->mailbox, &arrival->mail, on_arrival);
}

/* ---- the end ---- */

static void forget_statements(struct client *client)
{
	client_names_confirmed(client, UINT32_MAX);
	client_names_clear(&client->names, &client->worker->statements);
	client_unnamed_is(client, NULL);
	statement_unref(&client->worker->statements, &client->bound);
}

static void free_client(struct task *task)
{
	struct client *client = CONTAINER_OF(task, struct client, task);

	CHECK_MAGIC(client, CLIENT_MAGIC);
	MUST(client->ticket.state == LANE_TICKET_NONE && client->server == NULL);
	timer_stop(&client->timer);
	stream_close(&client->stream);
	TAILQ_REMOVE(&client->worker->clients, client, link);
	STAT_ADD(client->worker->n_clients, (uint32_t)-1);
	forget_statements(client);
	param_set_unref(&client->params);
	param_set_unref(&client->params_before);
	param_set_unref(&client->params_login);
	setting_forget_resets(client);
	restore_portals_gone(client);
	restore_amid_forget(client);
	if (client->target)
		pool_leave(client->target);
	if (client->pool)
		pool_leave(client->pool);
	mem_free(client->input);
	mem_free(client->begin);
	mem_free(client->fault);
	mem_free(client->replay);
	write_sync_free(&client->sync);
	client->magic = 0;
	mem_free(client);
}

void client_maybe_free(struct client *client)
{
	if (client->state != CLIENT_GONE || client->server ||
		client->ticket.state != LANE_TICKET_NONE || client_is(client, CLIENT_PROMISED) ||
		client_is(client, CLIENT_LINGERS) || client_is(client, CLIENT_CANCEL_RUNS))
		return;
	loop_task(&client->worker->loop, &client->task, free_client);
}

static void stop_lingering(struct client *client)
{
	timer_stop(&client->timer);
	client_unset(client, CLIENT_LINGERS);
	stream_close(&client->stream);
	client_maybe_free(client);
}

static void on_linger_deadline(struct timer *timer)
{
	stop_lingering(CONTAINER_OF(timer, struct client, timer));
}

/* What it still sends is read and dropped: closing on unread bytes would take our last words from
 * it (RFC 1122, 4.2.2.13). */
static void linger(struct client *client)
{
	enum stream_result result;
	size_t n;

	do {
		result = stream_recv(&client->stream, client->worker->rx, WORKER_RX_BYTES, &n);
		if (result == STREAM_OK)
			client->skip_bytes += n;
	} while (result == STREAM_OK && stream_has_input(&client->stream) &&
		 client->skip_bytes < LINGER_MAX_BYTES);
	if (result == STREAM_EOF || result == STREAM_ERROR ||
		client->skip_bytes >= LINGER_MAX_BYTES)
		stop_lingering(client);
}

static void on_linger_task(struct task *task)
{
	struct client *client = CONTAINER_OF(task, struct client, task);

	if (client_is(client, CLIENT_LINGERS))
		linger(client);
}

static void uncount(struct client *client)
{
	struct cluster *cluster = client->worker->cluster;

	if (!client_is(client, CLIENT_COUNTED))
		return;
	client_unset(client, CLIENT_COUNTED);
	__atomic_sub_fetch(&cluster->n_clients, 1, __ATOMIC_RELAXED);
	if (client->pool == NULL)
		return;
	client->pool->n_clients--;
	__atomic_sub_fetch(&client->pool->shared->database->n_clients, 1, __ATOMIC_RELAXED);
	__atomic_sub_fetch(&client->pool->shared->user->n_clients, 1, __ATOMIC_RELAXED);
}

static void log_end(struct client *client, const char *reason)
{
	if (worker_config(client->worker)->log_disconnections && client->pool)
		log_info("C-%llu: %s/%s: closing because: %s (age=%llus)",
			(unsigned long long)client->id, client->pool->shared->database->name,
			client->pool->shared->user->name, reason,
			(unsigned long long)((clock_wall_us() - client->connect_wall_us) /
					     1000000u));
}

void client_disconnect(struct client *client, const char *reason)
{
	struct gather *out = &client->worker->to_client;
	bool was_console = client->state == CLIENT_CONSOLE;

	if (client->state == CLIENT_GONE)
		return;
	log_end(client, reason);
	if (out->stream == &client->stream) {
		(void)gather_flush(out);
		out->stream = NULL;
	}
	login_free(client);
	client_stop_waiting(client);
	search_drop(client);
	listen_end(client);
	timer_stop(&client->timer);
	cancel_forget(client);
	uncount(client);
	client_to(client, CLIENT_GONE);
	if (was_console)
		client->worker->cluster->console->gone(client);
	if (client->server) /* its skip_bytes are still those of the message that was cut */
		link_client_gone(client);
	loop_task_drop(&client->worker->loop, &client->task);
	if (client_is(client, CLIENT_LINGERS) && client->stream.fd >= 0 && !client->stream.ssl) {
		client->skip_bytes = 0;
		if (!stream_is_blocked(&client->stream)) /* else on_drained(), behind its last words */
			stream_shutdown(&client->stream);
		stream_resume(&client->stream);
		loop_timer(&client->worker->loop, &client->timer, LINGER_US, on_linger_deadline);
		loop_task(&client->worker->loop, &client->task, on_linger_task);
		return;
	}
	client_unset(client, CLIENT_LINGERS);
	stream_close(&client->stream);
	client_maybe_free(client);
}

/* ---- events ---- */

static struct client *client_of(struct stream *stream)
{
	struct client *client = CONTAINER_OF(stream, struct client, stream);

	CHECK_MAGIC(client, CLIENT_MAGIC);
	return client;
}

static void on_readable(struct stream *stream)
{
	struct client *client = client_of(stream);

	switch ((enum client_state)client->state) {
	case CLIENT_EXPECT_STARTUP:
	case CLIENT_EXPECT_TLS:
	case CLIENT_EXPECT_PASSWORD:
	case CLIENT_EXPECT_WELCOME:
	case CLIENT_CANCELING:
		login_on_input(client);
		break;
	case CLIENT_CONSOLE:
		console_on_input(client);
		break;
	case CLIENT_GONE:
		if (client_is(client, CLIENT_LINGERS))
			linger(client);
		break;
	case CLIENT_IDLE:
	case CLIENT_LINKED:
		client_on_input(client);
		break;
	case CLIENT_WAITING:
	case CLIENT_SEARCHING:
	case N_CLIENT_STATES:
	default:
		break;
	}
}

static void on_drained(struct stream *stream)
{
	struct client *client = client_of(stream);
	struct server *server = client->server;

	if (client_is(client, CLIENT_LINGERS))
		stream_shutdown(&client->stream);
	else if (client->state == CLIENT_CONSOLE)
		console_on_input(client);
	else if (server && (server->stream.flags & STREAM_PAUSED))
		server_resume(server);
	if (UNLIKELY(client->listen != NULL))
		listen_flush(client);
	/* Its own statements wait, too, while it does not read. */
	if ((client->state == CLIENT_IDLE || client->state == CLIENT_LINKED) &&
		(client->input || (client->stream.flags & STREAM_PAUSED)))
		client_resume(client);
}

void client_on_hangup(struct client *client)
{
	if (client->state == CLIENT_WAITING || client->state == CLIENT_LINKED ||
		client->state == CLIENT_SEARCHING ||
		(client->state == CLIENT_IDLE && stream_is_blocked(&client->stream)) ||
		client->state == CLIENT_EXPECT_WELCOME || client->state == CLIENT_CONSOLE)
		client_disconnect(client, "client unexpected eof");
}

static void on_hangup(struct stream *stream)
{
	client_on_hangup(client_of(stream));
}

static const struct stream_ops client_ops = {
	.on_readable = on_readable,
	.on_drained = on_drained,
	.on_hangup = on_hangup,
};

static void on_resume(struct task *task)
{
	struct client *client = CONTAINER_OF(task, struct client, task);

	if (client->state != CLIENT_IDLE && client->state != CLIENT_LINKED)
		return;
	if (client->server && stream_is_blocked(&client->server->stream))
		return; /* its on_drained comes here again */
	stream_resume(&client->stream);
	client_feed_kept(client);
}

void client_resume(struct client *client)
{
	loop_task(&client->worker->loop, &client->task, on_resume);
}

/* ---- time limits ---- */

static uint64_t user_limit(uint64_t global_us, uint64_t user_us)
{
	return user_us == CONFIG_INHERIT_US ? global_us : user_us;
}

static void end_with(struct client *client, enum pgw_fault_id id)
{
	struct pgw_fault fault = pgw_fault_make(id);

	client_fatal(client, &fault);
}

static void end_idle_transaction(struct client *client)
{
	if (!link_roll_back_idle(client))
		end_with(client, PGW_FAULT_IDLE_TRANSACTION);
}

static void notify_waiting(struct client *client, uint64_t now_us)
{
	const struct config *config = worker_config(client->worker);
	struct pgw_fault notice;

	if (config->query_wait_notify_s == 0 || client_is(client, CLIENT_WAIT_NOTIFIED) ||
		now_us - client->wait_start_us < config->query_wait_notify_s * (uint64_t)1000000)
		return;
	client_set(client, CLIENT_WAIT_NOTIFIED);
	pgw_fault_set(&notice, PGW_FAULT_QUEUED_NOTICE, NULL, "Lane %s, for %llu s now.",
		config->lanes[client->ticket.home_lane].name,
		(unsigned long long)((now_us - client->wait_start_us) / 1000000));
	client_notice(client, &notice);
}

/* One look a while after the last input finds those who are gone. */
static void look_for_reset(struct client *client)
{
	if (client->quiet_ticks >= QUIET_TICKS || ++client->quiet_ticks < QUIET_TICKS)
		return;
	if ((client->state != CLIENT_IDLE && client->state != CLIENT_LINKED) ||
		(client->stream.flags & STREAM_PAUSED))
		return;
	client->stream.flags |= STREAM_READABLE;
	client_on_input(client);
	client->quiet_ticks = QUIET_TICKS;
}

void client_janitor(struct client *client, uint64_t now_us)
{
	const struct config *config = worker_config(client->worker);
	const struct config_user *user;
	uint64_t idle_us, xact_idle_us, xact_us, quiet_us = now_us - client->last_active_us;
	bool in_xact = client->state == CLIENT_LINKED && client->xact == XACT_SERVER;

	if (client->pool == NULL || client->state == CLIENT_GONE)
		return;
	if (client->replication) { /* a stream is quiet, and has no end: no time limit is for it */
		look_for_reset(client);
		return;
	}
	if (client->state == CLIENT_WAITING && client->wait_start_us)
		notify_waiting(client, now_us);
	else
		client_unset(client, CLIENT_WAIT_NOTIFIED);
	user = config_find_user(config, client->pool->shared->user->name);
	idle_us = user_limit(config->client_idle_timeout_us,
		user ? user->client_idle_timeout_us : CONFIG_INHERIT_US);
	xact_idle_us = user_limit(config->idle_transaction_timeout_us,
		user ? user->idle_transaction_timeout_us : CONFIG_INHERIT_US);
	xact_us = user_limit(config->transaction_timeout_us,
		user ? user->transaction_timeout_us : CONFIG_INHERIT_US);
	if (UNLIKELY(client->pin != NULL) && pin_janitor(client, now_us))
		return;
	if (UNLIKELY(client->listen != NULL) && listen_janitor(client, now_us))
		return;
	if (idle_us && quiet_us > idle_us && client->query_start_us == 0 &&
		(client->state == CLIENT_IDLE || (pin_is_kept(client) && !in_xact)))
		end_with(client, PGW_FAULT_IDLE_CLIENT);
	else if (xact_idle_us && quiet_us > xact_idle_us && in_xact && client->query_start_us == 0)
		end_idle_transaction(client);
	else if (xact_us && client->xact_start_us && now_us - client->xact_start_us > xact_us)
		end_with(client, PGW_FAULT_TRANSACTION_TIMEOUT);
	else
		look_for_reset(client);
}
