/* SPDX-License-Identifier: ISC */
#include "session/listen_server.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "session/pin.h"
#include "session/server.h"

#define LISTEN_LINGER_TICKS 3u /* seconds without a channel, until it goes */
#define UNDER_WAY_MAX 4096u    /* mails, until its connection is not read */
#define RETRY_SOON_US 20000u
#define RETRY_PAUSED_US 500000u
/* The highest that may not use the urgent lane, which it would keep. */
#define PRIORITY (LANE_PRIORITY_URGENT - 1)

static struct lane_ledger *ledger_of(const struct listen_server *listener)
{
	return listener->worker->cluster->ledger;
}

const char *listen_server_state_name(const struct listen_server *listener)
{
	static const char *const names[] = {[LISTENER_WAITS] = "waiting", [LISTENER_CONNECTS] = "login",
		[LISTENER_STARTS] = "login", [LISTENER_UP] = "active", [LISTENER_RETRIES] = "lost"};

	return names[listener->state];
}

/* ---- permit, slot, connection ---- */

static void on_retry(struct timer *timer);

static void retry(struct listen_server *listener, uint64_t after_us)
{
	listener->state = LISTENER_RETRIES;
	loop_timer(&listener->worker->loop, &listener->timer, after_us, on_retry);
}

/* Who listens keeps its own server as long. */
static void failed(struct listen_server *listener)
{
	listener->has_failed = true;
	listener_tell_those(listener, listener->workers, LISTEN_DOWN, HUB_FAILED, "");
	retry(listener, MAX_OF(worker_config(listener->worker)->server_login_retry_us, (uint64_t)RETRY_PAUSED_US));
}

static void connect_server(struct listen_server *listener)
{
	struct server *server = server_new(listener->pool);

	server->listener = listener;
	server_set(server, SERVER_OF_LISTENER);
	listener->server = server;
	listener->state = LISTENER_CONNECTS;
	server_connect(server);
}

static void follow_source(struct listen_server *listener)
{
	listener->state = LISTENER_WAITS;
	switch (listener->ticket.source) {
	case LANE_SOURCE_SLOT:
		connect_server(listener);
		return;
	case LANE_SOURCE_EVICT:
		server_claimed(listener->worker, listener->ticket.idle, NULL);
		return;
	case LANE_SOURCE_AWAIT_SLOT:
		return;
	case LANE_SOURCE_NONE:
	case LANE_SOURCE_OWN_IDLE:
	case LANE_SOURCE_FOREIGN_IDLE:
	default:
		UNREACHABLE("a listener's account has an idle server");
	}
}

/* Half of the lane is for statements, whoever listens. */
static bool take_pin(struct listen_server *listener)
{
	const struct config *config = worker_config(listener->worker);
	unsigned lane = config->lane_of_class[QUERY_DEFAULT];
	uint32_t *n_pinned = &listener->worker->cluster->n_pinned[lane];

	if (__atomic_add_fetch(n_pinned, 1, __ATOMIC_RELAXED) > pin_max(config, lane) ||
		config->lanes[lane].permits < 2) {
		(void)__atomic_sub_fetch(n_pinned, 1, __ATOMIC_RELAXED);
		return false;
	}
	listener->is_pinned = true;
	listener->lane = (uint8_t)lane;
	return true;
}

static void give_pin(struct listen_server *listener)
{
	if (listener->is_pinned)
		(void)__atomic_sub_fetch(&listener->worker->cluster->n_pinned[listener->lane], 1, __ATOMIC_RELAXED);
	listener->is_pinned = false;
}

static void acquire(struct listen_server *listener)
{
	if (!listener->is_pinned && !take_pin(listener)) {
		failed(listener);
		return;
	}
	listener->state = LISTENER_WAITS;
	switch (lane_acquire(ledger_of(listener), &listener->ticket, listener->lane_pool, listener->lane, PRIORITY,
		listener->worker->index, clock_mono_us())) {
	case LANE_GRANTED:
		follow_source(listener);
		return;
	case LANE_QUEUED:
		return;
	case LANE_REFUSED:
	default:
		give_pin(listener);
		failed(listener);
	}
}

/* Its permit it has, or has not asked for. */
static void connect_again(struct listen_server *listener)
{
	if (listener->ticket.state == LANE_TICKET_NONE) {
		acquire(listener);
		return;
	}
	(void)!lane_again(ledger_of(listener), &listener->ticket, clock_mono_us());
	follow_source(listener);
}

static void on_retry(struct timer *timer)
{
	struct listen_server *listener = CONTAINER_OF(timer, struct listen_server, timer);

	if (pool_is_paused(listener->pool))
		retry(listener, RETRY_PAUSED_US);
	else
		connect_again(listener);
}

void listen_server_delivered(struct lane_ticket *ticket)
{
	follow_source(CONTAINER_OF(ticket, struct listen_server, ticket));
}

/* ---- life ---- */

static struct listen_server *find(struct worker *worker, const struct shared_pool *shared)
{
	struct listen_server *listener;

	LIST_FOREACH(listener, &worker->listeners, link)
	{
		if (listener->pool->shared == shared)
			return listener;
	}
	return NULL;
}

static struct listen_server *open_listener(struct worker *worker, const struct shared_pool *shared)
{
	struct listen_server *listener = mem_zalloc(sizeof(*listener));

	listener->worker = worker;
	listener->pool = pool_of(worker, shared->database->name, shared->user->name);
	pool_join(listener->pool);
	MUST(listener->pool->shared == shared);
	listener->lane_pool = lane_pool_new(worker->cluster->ledger);
	listener->ticket.is_of_listener = true;
	(void)snprintf(listener->marker, sizeof(listener->marker), "pglane:%016" PRIx64 "%016" PRIx64, rng_u64(), rng_u64());
	LIST_INSERT_HEAD(&worker->listeners, listener, link);
	return listener;
}

static void end_listener(struct listen_server *listener)
{
	struct server *server = listener->server;

	listener_tell_those(listener, listener->workers, LISTEN_DOWN, HUB_NEW, "");
	timer_stop(&listener->timer);
	if (listener->ticket.state == LANE_TICKET_HOLDS)
		(void)!lane_release(ledger_of(listener), &listener->ticket, NULL, clock_mono_us());
	else
		lane_abandon(ledger_of(listener), &listener->ticket, clock_mono_us());
	if (server) {
		server->listener = NULL;
		server_close(server, "nobody listens any more");
	}
	give_pin(listener);
	channels_clear(listener);
	LIST_REMOVE(listener, link);
	lane_pool_free(ledger_of(listener), &listener->lane_pool);
	pool_leave(listener->pool);
	mem_free(listener);
}

/* ---- what its connection says ---- */

void listen_server_ready(struct server *server)
{
	struct listen_server *listener = server->listener;

	server_to(server, SERVER_LISTENING);
	listener->state = LISTENER_STARTS;
	listener->since_wall_us = clock_wall_us();
	channels_listen(listener);
}

static void is_up(struct listen_server *listener)
{
	bool was_up = listener->was_up;

	listener->state = LISTENER_UP;
	listener->was_up = true;
	listener->has_failed = false;
	listener->n_reconnects += was_up;
	listener_tell_those(listener, listener->workers, LISTEN_UP, 0, listener->marker);
	if (was_up)
		listener_tell_those(listener, listener->workers, LISTEN_BACK, clock_mono_us() - listener->lost_us, "");
}

void listen_server_answered(struct server *server, const struct expect *expect, bool has_failed)
{
	struct listen_server *listener = server->listener;

	if (expect->kind == EXPECT_SYNC) {
		listener_tell(listener, (unsigned)expect->hash.hi, LISTEN_FENCED, expect->hash.lo, "");
		return;
	}
	listener->is_asking = false;
	if (has_failed) { /* a standby, or out of memory */
		listen_server_lost(server, "LISTEN failed", true);
		server_close(server, "LISTEN failed");
		return;
	}
	channels_settle(listener);
	if (listener->state == LISTENER_STARTS)
		is_up(listener);
	channels_listen(listener);
}

void listen_server_hears(struct server *server, const uint8_t *message, size_t n)
{
	struct listen_server *listener = server->listener;
	const char *channel_name, *payload;
	const struct channel *channel;
	unsigned i, worker;
	char *end;

	if (!listen_view(message + PGW_HEADER_BYTES, n - PGW_HEADER_BYTES, &channel_name, &payload))
		return;
	if (strcmp(channel_name, listener->marker) == 0) {
		worker = (unsigned)strtoul(payload, &end, 10);
		if (*end == '.' && worker < listener->worker->cluster->n_workers)
			listener_tell(listener, worker, LISTEN_MARKED, strtoull(end + 1, NULL, 10), "");
		return;
	}
	channel = channel_find(listener, channel_name);
	if (channel == NULL)
		return;
	listener->n_notifications++;
	for (i = 0; i < listener->worker->cluster->n_workers; i++) {
		if (!(channel->workers & UINT64_C(1) << i))
			continue;
		listener->n_under_way++;
		listen_post(listener->worker, i, listener->pool->shared, LISTEN_HEARD, 0, message, n);
	}
	if (listener->n_under_way >= UNDER_WAY_MAX)
		stream_pause(&server->stream);
}

/* ---- when it goes ---- */

void listen_server_lost(struct server *server, const char *why, bool could_not_connect)
{
	struct listen_server *listener = server->listener;
	bool was_up = listener->state == LISTENER_UP;

	server->listener = NULL;
	listener->server = NULL;
	listener->is_asking = false;
	listener->since_wall_us = 0;
	if (was_up)
		listener->lost_us = clock_mono_us();
	log_rated(LOG_LEVEL_WARNING, "listener of %s/%s: %s", listener->pool->shared->database->name,
		listener->pool->shared->user->name, why);
	channels_reset(listener);
	if (could_not_connect || !was_up) {
		failed(listener);
		return;
	}
	listener_tell_those(listener, listener->workers, LISTEN_DOWN, HUB_ASKED, "");
	retry(listener, RETRY_SOON_US);
}

void listen_server_refused(struct server *server)
{
	struct listen_server *listener = server->listener;

	server->listener = NULL;
	listener->server = NULL;
	listener->state = LISTENER_WAITS;
	listener->has_failed = true;
	listener_tell_those(listener, listener->workers, LISTEN_DOWN, HUB_FAILED, "");
}

void listen_server_look(struct pool *pool)
{
	struct listen_server *listener = find(pool->worker, pool->shared);
	struct server *server = listener ? listener->server : NULL;

	if (server == NULL ||
		(!pool_is_paused(pool) && server->epoch == STAT_READ(pool->shared->epoch)))
		return;
	listen_server_lost(server, "closed by PAUSE, KILL or RECONNECT", false);
	server_close(server, "closed by PAUSE, KILL or RECONNECT");
}

void listen_server_tick(struct worker *worker)
{
	struct listen_server *listener, *next;

	LIST_FOREACH_SAFE(listener, &worker->listeners, link, next)
	{
		listener->empty_ticks = (uint8_t)(listener->n_channels > 0 ? 0 : listener->empty_ticks + 1);
		if (listener->empty_ticks > LISTEN_LINGER_TICKS)
			end_listener(listener);
		else
			listen_server_look(listener->pool);
	}
}

void listen_server_drain(struct worker *worker)
{
	struct listen_server *listener, *next;

	LIST_FOREACH_SAFE(listener, &worker->listeners, link, next)
	{
		if (!channels_are_wanted(listener))
			end_listener(listener);
	}
}

/* ---- mails of other workers ---- */

/* Somebody wants it: made when it is not there. NULL: no more. */
static struct listen_server *wanted(struct worker *worker, const struct listen_mail *mail)
{
	struct listen_server *listener = find(worker, mail->shared);
	bool is_new = listener == NULL;

	if (is_new && worker->draining) {
		listen_post(worker, mail->from, mail->shared, LISTEN_DOWN, HUB_FAILED, "", 0);
		return NULL;
	}
	if (is_new)
		listener = open_listener(worker, mail->shared);
	listener->empty_ticks = 0;
	if (!(listener->workers & UINT64_C(1) << mail->from) || mail->kind == LISTEN_OPEN) {
		listener->workers |= UINT64_C(1) << mail->from;
		if (listener->state == LISTENER_UP)
			listener_tell(listener, mail->from, LISTEN_UP, 0, listener->marker);
		else if (listener->has_failed)
			listener_tell(listener, mail->from, LISTEN_DOWN, HUB_FAILED, "");
	}
	if (is_new)
		acquire(listener);
	return listener;
}

static void want(struct worker *worker, const struct listen_mail *mail)
{
	struct listen_server *listener = wanted(worker, mail);
	struct channel *channel;

	if (listener == NULL)
		return;
	channel = channel_find(listener, mail->text);
	if (channel == NULL) {
		if (listener->n_channels >= worker_config(worker)->max_listen_channels) {
			listener_tell(listener, mail->from, LISTEN_REFUSED, mail->number, mail->text);
			return;
		}
		channel = channel_add(listener, mail->text);
	}
	channel->workers |= UINT64_C(1) << mail->from;
	channel->numbers[mail->from] = mail->number;
	if (channel->state == CHANNEL_LISTENED)
		listener_tell(listener, mail->from, LISTEN_LISTENED, mail->number, channel->name);
	channels_listen(listener);
}

static void unwant(struct worker *worker, const struct listen_mail *mail)
{
	struct listen_server *listener = find(worker, mail->shared);
	struct channel *channel = listener ? channel_find(listener, mail->text) : NULL;

	if (channel == NULL)
		return;
	channel->workers &= ~(UINT64_C(1) << mail->from);
	if (channel->workers == 0 && channel->state == CHANNEL_NEW)
		channel_drop(listener, channel);
	channels_listen(listener);
}

/* Behind what it has missed, and what it has not: the same marker, which its worker may have heard before. */
static void mark(struct worker *worker, const struct listen_mail *mail)
{
	struct listen_server *listener = find(worker, mail->shared);
	struct strbuf sql = STRBUF_INIT;

	if (listener && listener->state == LISTENER_UP) { /* else it comes again when it is */
		strbuf_addf(&sql, "NOTIFY \"%s\", '%u.%llu'", listener->marker, mail->from, (unsigned long long)mail->number);
		inject_query(listener->server, sql.data, 0);
	}
	strbuf_release(&sql);
}

/* Its connection passes what was notified before, and then answers: as it would ahead of any statement. No transaction, no work. */
static void fence(struct worker *worker, const struct listen_mail *mail)
{
	struct listen_server *listener = find(worker, mail->shared);

	if (listener == NULL || listener->state != LISTENER_UP) /* its end was told */
		return;
	expect_push(&listener->server->expects, (struct expect){.kind = EXPECT_SYNC,
							.flags = EXPECT_SWALLOW | EXPECT_LISTEN,
							.hash = {.lo = mail->number, .hi = mail->from}});
	inject_sync(listener->server);
}

static void taken(struct worker *worker, const struct listen_mail *mail)
{
	struct listen_server *listener = find(worker, mail->shared);

	if (listener == NULL || listener->n_under_way == 0) /* of one before it */
		return;
	listener->n_under_way--;
	if (listener->server && (listener->server->stream.flags & STREAM_PAUSED) &&
		listener->n_under_way < UNDER_WAY_MAX / 2)
		server_resume(listener->server);
}

void listen_server_take(struct worker *worker, struct listen_mail *mail)
{
	switch ((enum listen_mail_kind)mail->kind) {
	case LISTEN_OPEN:
		(void)wanted(worker, mail);
		break;
	case LISTEN_WANT:
		want(worker, mail);
		break;
	case LISTEN_UNWANT:
		unwant(worker, mail);
		break;
	case LISTEN_MARK:
		mark(worker, mail);
		break;
	case LISTEN_FENCE:
		fence(worker, mail);
		break;
	case LISTEN_TAKEN:
		taken(worker, mail);
		break;
	case LISTEN_UP:
	case LISTEN_DOWN:
	case LISTEN_LISTENED:
	case LISTEN_REFUSED:
	case LISTEN_HEARD:
	case LISTEN_MARKED:
	case LISTEN_FENCED:
	case LISTEN_BACK:
	default:
		break;
	}
	if (UNLIKELY(worker->draining))
		listen_server_drain(worker);
}
