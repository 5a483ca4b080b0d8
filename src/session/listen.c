/* SPDX-License-Identifier: ISC */
#include "session/listen.h"

#include "base/mem.h"
#include "pgw/sqllex.h"
#include "session/feed.h"
#include "session/listen_server.h"
#include "session/pin.h"
#include "session/server.h"

#define HOLD_US 5000000u /* the longest that a LISTEN waits for the listener; then its server keeps it */
#define CHANNEL_BYTES 256u

/* ---- may it be the listener's? ---- */

bool listen_encoding_fits(const struct client *client)
{
	const char *own = param_set_get(client->params, "client_encoding"), *pools = NULL;
	bool fits;

	registry_lock();
	if (client->pool->shared->defaults)
		pools = param_set_get(client->pool->shared->defaults, "client_encoding");
	fits = own && pools && strcmp(own, pools) == 0;
	registry_unlock();
	return fits;
}

static bool may_be_served(const struct client *client)
{
	const struct config *config = worker_config(client->worker);

	return config->max_listen_channels > 0 && !client_is(client, CLIENT_SESSION) &&
	       client->state != CLIENT_GONE && pin_is_virtualized(client) &&
	       !client->worker->draining &&
	       config->lanes[config->lane_of_class[QUERY_DEFAULT]].permits >= 2;
}

static struct listen *listen_of(struct client *client)
{
	struct listen *listen = client->listen;

	if (listen)
		return listen;
	listen = mem_zalloc(sizeof(*listen));
	listen->client = client;
	TAILQ_INIT(&listen->subscriptions);
	strbuf_init(&listen->answer);
	client->listen = listen;
	listen->hub = hub_join(client);
	TAILQ_INSERT_TAIL(&listen->hub->listens, listen, of_hub);
	return listen;
}

static void free_listen(struct client *client)
{
	struct listen *listen = client->listen;

	listen_fence_end(listen);
	hub_leave(listen);
	note_queue_release(&listen->queue);
	note_queue_release(&listen->later);
	strbuf_release(&listen->answer);
	mem_free(listen);
	client->listen = NULL;
}

/* ---- ahead of a statement ---- */

bool listen_holds(struct client *client, uint32_t effects)
{
	bool may = may_be_served(client), was_held;
	struct listen *listen;

	if (!(effects & EFFECT_LISTEN) || (!may && client->listen == NULL))
		return false;
	listen = listen_of(client);
	was_held = listen->is_held;
	listen->is_held = false;
	if (may && listen->hub->state == HUB_NEW)
		hub_ask(listen->hub);
	if (!may || listen->hub->state != HUB_ASKED || listen->may_pass || pool_is_paused(client->pool)) {
		listen->may_pass = false;
		return false;
	}
	if (!was_held)
		listen->held_since_us = loop_now_us(&client->worker->loop);
	listen->is_held = true;
	return true;
}

bool listen_is_served(const struct client *client)
{
	const struct subscription *subscription;

	if (client->listen == NULL || client->listen->hub->state != HUB_UP || client->listen->is_over ||
		!may_be_served(client))
		return false;
	TAILQ_FOREACH(subscription, &client->listen->subscriptions, of_client)
	{
		if (subscription->topic->state == TOPIC_REFUSED)
			return false;
	}
	return true;
}

/* The channel of a LISTEN by itself. */
static bool channel_of(const char *sql, size_t n, char channel_r[static CHANNEL_BYTES])
{
	struct pgw_lexer lexer = pgw_lexer_on(sql, n);
	struct pgw_token word = pgw_lex(&lexer), name = pgw_lex(&lexer), end = pgw_lex(&lexer);

	if (!pgw_word_is(&word, "listen") || name.len >= CHANNEL_BYTES ||
		(name.kind != PGW_TOK_WORD && name.kind != PGW_TOK_QUOTED_IDENT) ||
		(end.kind != PGW_TOK_END && (end.len != 1 || end.at[0] != ';')))
		return false;
	(void)pgw_token_ident(&name, channel_r, CHANNEL_BYTES);
	return true;
}

bool listen_is_refused(const struct client *client, const char *sql, size_t n, struct pgw_fault *fault_r)
{
	uint32_t max = worker_config(client->worker)->max_listen_channels;
	char channel[CHANNEL_BYTES];

	if (client->listen == NULL || max == 0 || client->listen->n_subscriptions < max ||
		(channel_of(sql, n, channel) && listen_find(client->listen, channel)))
		return false;
	pgw_fault_set(fault_r, PGW_FAULT_TOO_MANY_CHANNELS, NULL,
		"This client listens to %u; max_listen_channels is %u.", client->listen->n_subscriptions, max);
	return true;
}

void listen_ahead(struct client *client, uint32_t effects)
{
	static const char text[] = "UNLISTEN";
	struct listen *listen = client->listen;
	struct server *server = client->server;

	if (effects & EFFECT_DISCARD_ALL) /* which nothing may be ahead of */
		listen->discards = true;
	if (!(effects & (EFFECT_LISTEN | EFFECT_UNLISTEN)) || !listen->is_served ||
		listen->n_subscriptions == 0 || server->pool != client->pool || server->xact == PGW_XACT_FAILED)
		return;
	listen_put_back(listen, server);
	server_set(server, SERVER_TAINTED);
	pin_note(client, EFFECT_LISTEN, text, sizeof(text) - 1);
}

/* ---- the answer ---- */

struct subscription *listen_find(const struct listen *listen, const char *channel)
{
	const struct topic *topic = hub_find(listen->hub, channel);
	struct subscription *subscription;

	if (topic == NULL)
		return NULL;
	TAILQ_FOREACH(subscription, &listen->subscriptions, of_client)
	{
		if (subscription->topic == topic)
			return subscription;
	}
	return NULL;
}

static void add(struct listen *listen, const char *channel)
{
	struct subscription *subscription = mem_zalloc(sizeof(*subscription));

	subscription->listen = listen;
	subscription->is_answered = true;
	subscription->topic = hub_topic(listen->hub, channel);
	TAILQ_INSERT_TAIL(&subscription->topic->members, subscription, of_topic);
	TAILQ_INSERT_TAIL(&listen->subscriptions, subscription, of_client);
	listen->n_subscriptions++;
}

static void drop(struct subscription *subscription)
{
	struct listen *listen = subscription->listen;
	struct topic *topic = subscription->topic;

	listen_forget(listen, topic);
	TAILQ_REMOVE(&listen->subscriptions, subscription, of_client);
	TAILQ_REMOVE(&topic->members, subscription, of_topic);
	listen->n_subscriptions--;
	mem_free(subscription);
	hub_topic_left(topic);
}

void listen_ask(struct client *client, struct strbuf *sql)
{
	if (client->listen) {
		strbuf_reset(&client->listen->answer);
		client->listen->is_answered = client->listen->has_mark = false;
	} else if (!may_be_served(client)) {
		return;
	}
	strbuf_adds(sql, " UNION ALL SELECT '" LISTEN_COLUMN "', 'c' || channel "
			 "FROM pg_catalog.pg_listening_channels() AS channel");
	if (client->listen && client->listen->mark[0])
		strbuf_adds(sql, " UNION ALL SELECT '" LISTEN_COLUMN "', "
				 "'m' || pg_catalog.current_setting('pglane.listen', true)");
}

void listen_answer(struct client *client, const char *value)
{
	const char *marker, *channel = value + 1;
	struct listen *listen;

	if (client->state == CLIENT_GONE)
		return;
	listen = listen_of(client);
	marker = listen->hub->marker;
	if (value[0] == 'm')
		listen->has_mark |= strcmp(channel, listen->mark) == 0;
	else if (marker[0] == '\0' || strncmp(channel, marker, strlen(marker)) != 0)
		strbuf_add(&listen->answer, channel, strlen(channel) + 1);
}

static void drop_what_is_gone(struct listen *listen)
{
	struct subscription *subscription, *next;

	TAILQ_FOREACH_SAFE(subscription, &listen->subscriptions, of_client, next)
	{
		if (!subscription->is_answered && !listen->is_served)
			drop(subscription);
		else
			subscription->is_answered = false;
	}
}

/* Of who is served already it can only have what was listened to in a way that was not seen. */
void listen_take_answer(struct listen *listen)
{
	uint32_t max = worker_config(listen->client->worker)->max_listen_channels;
	const char *at = listen->answer.data, *end = at + listen->answer.len;
	struct subscription *subscription;
	bool may_be_more = !listen->is_served && may_be_served(listen->client) && listen_encoding_fits(listen->client);

	listen->is_over = false;
	for (; at < end; at += strlen(at) + 1) {
		subscription = listen_find(listen, at);
		if (subscription)
			subscription->is_answered = true;
		else if (may_be_more && listen->n_subscriptions < max)
			add(listen, at);
		else
			listen->is_over = true;
	}
	drop_what_is_gone(listen);
	listen->is_answered = true;
}

void listen_answered(struct client *client, bool failed)
{
	if (client->listen && !failed && client->state != CLIENT_GONE)
		listen_settle_back(client->listen);
}

void listen_settled(struct client *client, bool failed)
{
	struct listen *listen = client->listen;
	struct subscription *subscription, *next;

	if (!listen->discards)
		return;
	listen->discards = false;
	if (failed)
		return;
	TAILQ_FOREACH_SAFE(subscription, &listen->subscriptions, of_client, next)
	drop(subscription);
	listen->is_served = listen->is_live = false;
	listen_stop(listen);
}

bool listen_has_state(const struct client *client)
{
	const struct listen *listen = client->listen;

	return listen && (listen->step != STEP_NONE || (!listen->is_served && listen->n_subscriptions > 0));
}

/* ---- life ---- */

bool listen_janitor(struct client *client, uint64_t now_us)
{
	struct listen *listen = client->listen;
	struct subscription *subscription;
	struct pgw_fault fault;

	if (UNLIKELY(listen->is_slow)) {
		listen_end_slow(client);
		return true;
	}
	if (UNLIKELY(listen->is_unreadable)) {
		pgw_fault_set(&fault, PGW_FAULT_LISTEN_ENCODING, NULL,
			"It changed client_encoding after LISTEN; notifications come in that of the pool's sessions.");
		client_fatal(client, &fault);
		return true;
	}
	if (listen->is_held && now_us - listen->held_since_us > HOLD_US) {
		listen->may_pass = true;
		client_resume(client);
	}
	TAILQ_FOREACH(subscription, &listen->subscriptions, of_client)
	{
		if (subscription->topic->state == TOPIC_REFUSED)
			hub_ask_again(subscription->topic);
	}
	listen_move_janitor(listen, now_us);
	listen_fence_janitor(listen, now_us);
	if (client->state == CLIENT_LINKED)
		link_on_ready(client->server);
	listen_flush(client);
	if (client->listen && listen->n_subscriptions == 0 && listen->queue.n == 0 && !listen->is_held &&
		listen->fence == FENCE_NONE && client->state == CLIENT_IDLE)
		free_listen(client);
	return false;
}

void listen_parted(struct client *client)
{
	struct listen *listen = client->listen;
	struct subscription *subscription, *next;

	listen_stop(listen);
	TAILQ_FOREACH_SAFE(subscription, &listen->subscriptions, of_client, next)
	{
		if (!listen->is_served)
			drop(subscription);
	}
}

void listen_end(struct client *client)
{
	struct listen *listen = client->listen;
	struct subscription *subscription, *next;

	if (listen == NULL)
		return;
	TAILQ_FOREACH_SAFE(subscription, &listen->subscriptions, of_client, next)
	drop(subscription);
	free_listen(client);
}
