/* SPDX-License-Identifier: ISC */
/*
 * A connection of its own reads what was notified when it is idle, ahead of the next thing it is told: so a client has heard, when its
 * transaction begins, of all that was committed before it was said; and what comes from there on is of the transaction, for the channels
 * that it leaves (async.c: ProcessNotifyInterrupt(), AtCommit_Notify()). A client that the listener serves has the same: its transaction
 * waits until the listener has answered a Sync, ahead of which it passes what was notified before it. One is under way for all
 * clients of a pool in a worker, who comes meanwhile waits for the next.
 */
#include "pgw/messages.h"
#include "session/feed.h"
#include "session/listen.h"
#include "session/server.h"

#define LATE_US 2000000u /* the longest that one may take; then nobody waits until it has come */

/* ---- one at a time ---- */

static void ask(struct listen_hub *hub)
{
	struct listen *listen;

	TAILQ_FOREACH(listen, &hub->fences_next, of_fence)
	listen->fence = FENCE_ASKED;
	TAILQ_CONCAT(&hub->fences_asked, &hub->fences_next, of_fence);
	hub->fence = worker_new_id(hub->worker);
	hub->fence_since_us = loop_now_us(&hub->worker->loop);
	hub_ask_for_fence(hub, hub->fence);
}

static void join(struct listen *listen)
{
	listen->fence = FENCE_WAITS;
	TAILQ_INSERT_TAIL(&listen->hub->fences_next, listen, of_fence);
	if (listen->hub->fence == 0)
		ask(listen->hub);
}

void listen_fence_end(struct listen *listen)
{
	if (listen->fence == FENCE_WAITS)
		TAILQ_REMOVE(&listen->hub->fences_next, listen, of_fence);
	else if (listen->fence == FENCE_ASKED)
		TAILQ_REMOVE(&listen->hub->fences_asked, listen, of_fence);
	listen->fence = FENCE_NONE;
}

static void pass(struct listen *listen)
{
	listen_fence_end(listen);
	listen->fence = FENCE_PASSED;
	client_resume(listen->client);
}

static void pass_asked(struct listen_hub *hub)
{
	struct listen *listen;

	while ((listen = TAILQ_FIRST(&hub->fences_asked)) != NULL)
		pass(listen);
}

static void pass_all(struct listen_hub *hub)
{
	struct listen *listen;

	pass_asked(hub);
	while ((listen = TAILQ_FIRST(&hub->fences_next)) != NULL)
		pass(listen);
}

void listen_fence_passed(struct listen_hub *hub, uint64_t number)
{
	if (number != hub->fence)
		return;
	hub->fence = 0;
	hub->is_fence_late = false;
	pass_asked(hub);
	if (!TAILQ_EMPTY(&hub->fences_next))
		ask(hub);
}

void listen_fences_open(struct listen_hub *hub)
{
	hub->fence = 0;
	hub->is_fence_late = false;
	pass_all(hub);
}

void listen_fence_janitor(struct listen *listen, uint64_t now_us)
{
	struct listen_hub *hub = listen->hub;

	if ((listen->fence != FENCE_WAITS && listen->fence != FENCE_ASKED) || now_us - hub->fence_since_us <= LATE_US)
		return;
	hub->is_fence_late = true;
	pass_all(hub);
}

/* ---- its client ---- */

/* A Flush begins nothing. What was heard and does not leave, as the client does not read, is before its transaction, too. */
static bool is_fenced(struct client *client, uint8_t type)
{
	struct listen *listen = client->listen;

	if (type == PGW_FLUSH || !listen->is_served || listen->n_subscriptions == 0 || !listen_is_at_rest(client))
		return true;
	if (listen->fence == FENCE_NONE && listen->hub->state == HUB_UP && !listen->hub->is_fence_late)
		join(listen);
	if (listen->fence == FENCE_WAITS || listen->fence == FENCE_ASKED)
		return false;
	listen_flush(client);
	return listen->queue.n == 0;
}

bool listen_holds_back(struct client *client, uint8_t type)
{
	return (client->state == CLIENT_LINKED && listen_is_moving(client)) || !is_fenced(client, type);
}

void listen_transaction_over(struct listen *listen)
{
	if (listen->fence == FENCE_PASSED)
		listen->fence = FENCE_NONE;
}
