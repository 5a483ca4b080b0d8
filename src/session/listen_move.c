/* SPDX-License-Identifier: ISC */
/* Who says what a client hears: from its server to the listener, and back. See listen.h. */
#include "base/mem.h"
#include "base/rng.h"
#include "pgw/messages.h"
#include "session/listen.h"
#include "session/listen_server.h"
#include "session/pin.h"
#include "session/server.h"

#define RETRY_US 1000000u
#define BACK_US 5000000u /* the longest that the listener may take to say what came before the marker */
#define STATEMENT "pglane_listen"

bool listen_view(const uint8_t *body, size_t n, const char **channel_r, const char **payload_r)
{
	const uint8_t *nul;

	if (n < 4 + 2)
		return false;
	*channel_r = (const char *)body + 4;
	nul = memchr(body + 4, '\0', n - 4);
	if (nul == NULL || nul + 1 == body + n)
		return false;
	*payload_r = (const char *)nul + 1;
	return memchr(nul + 1, '\0', (size_t)(body + n - nul - 1)) == body + n - 1;
}

bool listen_is_moving(const struct client *client)
{
	return client->listen->step != STEP_NONE || pin_is_asking(client);
}

static bool awaits_marker(const struct listen *listen)
{
	return listen->marker != 0 && !listen->has_heard;
}

/* ---- to the listener ---- */

static bool is_listened(const struct listen *listen)
{
	const struct subscription *subscription;

	TAILQ_FOREACH(subscription, &listen->subscriptions, of_client)
	{
		if (subscription->topic->state != TOPIC_LISTENED)
			return false;
	}
	return listen->hub->state == HUB_UP;
}

static void send_marker(struct listen *listen, struct server *server)
{
	struct worker *worker = server->worker;
	struct strbuf sql = STRBUF_INIT;

	listen->marker = worker_new_id(worker);
	listen->step = STEP_MARK;
	listen->has_passed = listen->has_heard = listen->must_restart = listen->is_live = false;
	strbuf_addf(&sql, "LISTEN \"%s\";NOTIFY \"%s\",'%u.%llu'", listen->hub->marker, listen->hub->marker,
		worker->index, (unsigned long long)listen->marker);
	inject_query(server, sql.data, EXPECT_LISTEN);
	strbuf_release(&sql);
}

static void send_unlisten(struct listen *listen, struct server *server)
{
	listen->step = STEP_UNLISTEN;
	inject_query(server, listen->mark[0] ? "UNLISTEN *;RESET pglane.listen" : "UNLISTEN *",
		EXPECT_LISTEN);
}

bool listen_moves(struct client *client, struct server *server)
{
	struct listen *listen = client->listen;
	bool any;

	if (listen == NULL)
		return false;
	if (listen->step == STEP_BACK) /* listen_marked() comes back */
		return true;
	if (!listen->is_answered || listen->is_over || listen->back ||
		loop_now_us(&server->worker->loop) < listen->retry_us)
		return false;
	any = !listen->is_served && listen->n_subscriptions > 0;
	if (any && (!is_listened(listen) || awaits_marker(listen)))
		return false;
	if (any)
		send_marker(listen, server);
	else
		send_unlisten(listen, server);
	return true;
}

/* Its server goes on: what the listener has said comes from there as well. */
static void abandon(struct listen *listen)
{
	note_queue_release(&listen->later);
	listen->step = STEP_NONE;
	listen->is_live = false;
	listen->marker = 0;
	listen->retry_us = loop_now_us(&listen->client->worker->loop) + RETRY_US;
}

static void step_over(struct client *client, struct server *server, bool failed)
{
	struct listen *listen = client->listen;

	if (listen->step == STEP_MARK) {
		if (listen->has_passed)
			send_unlisten(listen, server);
		else
			abandon(listen);
		return;
	}
	if (listen->step != STEP_UNLISTEN)
		return;
	listen->step = STEP_NONE;
	if (failed) {
		listen->retry_us = loop_now_us(&server->worker->loop) + RETRY_US;
		return;
	}
	listen->mark[0] = '\0';
	if (client->pin)
		client->pin->reasons &= (uint8_t)~PIN_LISTEN;
}

void listen_query_over(struct server *server, const struct expect *expect, bool failed)
{
	struct client *client = server->client;

	if (server->listener)
		listen_server_answered(server, expect, failed);
	else if (client && client->listen && client->state != CLIENT_GONE)
		step_over(client, server, failed);
}

/* ---- back ---- */

static void build_put_back(struct pgw_writer *writer, const void *arg)
{
	const char *text = arg;

	pgw_build_target(writer, PGW_CLOSE, 'S', STATEMENT); /* left behind where it failed */
	pgw_build_parse(writer, STATEMENT, text, strlen(text), NULL, 0);
	pgw_build_bind_plain(writer, STATEMENT, STATEMENT);
	pgw_build_execute(writer, STATEMENT, 0);
	pgw_build_target(writer, PGW_CLOSE, 'P', STATEMENT); /* it would live on in its transaction */
	pgw_build_target(writer, PGW_CLOSE, 'S', STATEMENT);
}

/*
 * All that it listens to, the marker, and a setting as a mark: what takes back the one takes back the others. So the mark says in the
 * end whether its transaction was committed; and, when a savepoint was rolled back, whether it has to be said again. Where it was not
 * rolled back, saying it again would undo an UNLISTEN.
 */
static void put_back_text(const struct listen *listen, struct strbuf *sql)
{
	const struct subscription *subscription;
	const char *marker = listen->hub->marker;
	struct strbuf body = STRBUF_INIT;

	strbuf_addf(&body,
		"BEGIN IF pg_catalog.current_setting('pglane.listen', true) IS DISTINCT FROM '%s' THEN "
		"PERFORM pg_catalog.set_config('pglane.listen', '%s', false);",
		listen->mark, listen->mark);
	TAILQ_FOREACH(subscription, &listen->subscriptions, of_client)
	{
		strbuf_adds(&body, "LISTEN ");
		strbuf_add_ident(&body, subscription->topic->name);
		strbuf_addc(&body, ';');
	}
	/* The server hears the marker, too, unless UNLISTEN * was said behind the last LISTEN. */
	strbuf_addf(&body, "NOTIFY \"%s\", '%u.%llu';END IF;LISTEN \"%s\";END", marker, listen->client->worker->index,
		(unsigned long long)listen->back, marker);
	strbuf_adds(sql, "DO LANGUAGE plpgsql ");
	strbuf_add_literal(sql, body.data);
	strbuf_release(&body);
}

/* What a listener that comes again says may be behind the marker, which it does not hear then. */
static void lose_back(struct listen *listen)
{
	listen->is_back_lost = true;
	listen->is_live = false;
}

void listen_put_back(struct listen *listen, struct server *server)
{
	static const enum expect_kind kinds[] = {
		EXPECT_CLOSE, EXPECT_PARSE, EXPECT_BIND, EXPECT_EXECUTE, EXPECT_CLOSE, EXPECT_CLOSE};
	struct strbuf sql = STRBUF_INIT;
	unsigned i;

	if (listen->back == 0) {
		listen->back = worker_new_id(server->worker);
		listen->is_back_heard = listen->is_back_passed = listen->is_back_lost = listen->is_back_marked = false;
		listen->n_early = 0;
		if (listen->hub->state != HUB_UP)
			lose_back(listen);
		(void)snprintf(listen->mark, sizeof(listen->mark), "%016llx", (unsigned long long)rng_u64());
	}
	put_back_text(listen, &sql);
	inject_built(server, build_put_back, sql.data, sql.len + 256);
	for (i = 0; i < N_ELEMENTS(kinds); i++)
		expect_push(&server->expects,
			(struct expect){.kind = (uint8_t)kinds[i], .flags = EXPECT_SWALLOW});
	strbuf_release(&sql);
}

/* Both are over it: from here on it is the server. */
static void end_back(struct listen *listen)
{
	if (!listen->is_back_heard || !listen->is_back_passed)
		return;
	listen->back = 0;
	if (listen->step == STEP_BACK) {
		listen->step = STEP_NONE;
		listen_take_answer(listen);
	}
	listen_join(listen);
}

/* The listener has said what came before. */
static void hear_back(struct listen *listen)
{
	listen->is_back_heard = true;
	listen->is_served = listen->is_live = false;
	listen->marker = 0;
	end_back(listen);
}

void listen_settle_back(struct listen *listen)
{
	if (listen->back == 0) {
		listen_take_answer(listen);
	} else if (!listen->has_mark && !listen->is_back_heard) { /* it was rolled back */
		listen->back = 0;
		listen->mark[0] = '\0';
		if (listen->is_back_lost && listen->hub->state == HUB_UP) {
			listen->is_live = true;
			listen_notice_loss(listen, 0);
		}
		listen_part_again(listen);
		listen_take_answer(listen);
	} else {
		listen->step = STEP_BACK;
		listen->is_back_passed = true; /* it unlistened to all: the marker, too */
		listen->back_since_us = loop_now_us(&listen->client->worker->loop);
		if (listen->is_back_lost)
			listen_lost(listen);
		else
			end_back(listen);
	}
}

void listen_lost(struct listen *listen)
{
	if (listen->back && !listen->is_back_heard)
		lose_back(listen);
	if (listen->step != STEP_BACK)
		return;
	if (!listen->is_back_heard)
		listen_notice_loss(listen, 0);
	hear_back(listen);
}

void listen_move_janitor(struct listen *listen, uint64_t now_us)
{
	if (listen->step == STEP_BACK && now_us - listen->back_since_us > BACK_US)
		listen_lost(listen);
}

/* ---- markers ---- */

static bool is_number(const struct listen *listen, const char *payload, uint64_t number)
{
	char own[48];

	(void)snprintf(own, sizeof(own), "%u.%llu", listen->client->worker->index, (unsigned long long)number);
	return number != 0 && strcmp(own, payload) == 0;
}

static void hear_server_marker(struct listen *listen, const char *payload)
{
	if (is_number(listen, payload, listen->back)) {
		listen->is_back_marked = listen->is_back_passed = true;
		listen->n_early = listen->later.n;
		end_back(listen);
	} else if (listen->step == STEP_MARK && !listen->must_restart && is_number(listen, payload, listen->marker)) {
		listen->has_passed = listen->is_served = true;
		listen_later_is_now(listen);
	}
}

bool listen_takes(struct client *client, const uint8_t *at, const uint8_t *body, size_t n)
{
	struct listen *listen = client->listen;
	const struct subscription *subscription;
	const char *channel, *payload;

	if (!listen_view(body, n, &channel, &payload))
		return false;
	if (listen->hub->marker[0] && strcmp(channel, listen->hub->marker) == 0) {
		hear_server_marker(listen, payload);
		return true;
	}
	subscription = listen_find(listen, channel);
	if (listen->back == 0 && listen->is_served)
		return subscription != NULL;
	if (listen->back == 0 && listen->queue.n == 0)
		return false;
	listen_keep(listen, at, (size_t)(body - at) + n, subscription ? subscription->topic : NULL, listen->back != 0);
	return true;
}

bool listen_marked(struct listen *listen, uint64_t number)
{
	if (number == listen->back) {
		if (!listen->is_back_lost) /* else the answer decides */
			hear_back(listen);
		return true;
	}
	if (!awaits_marker(listen) || number != listen->marker)
		return false;
	listen->has_heard = true;
	listen->is_live = !(listen->back && listen->is_back_lost);
	return true;
}

bool listen_is_back(struct listen *listen)
{
	if (!awaits_marker(listen)) {
		listen->is_live = listen->is_served && !(listen->back && listen->is_back_lost);
		return false;
	}
	if (listen->step == STEP_MARK && !listen->has_passed) {
		listen->must_restart = true;
		return false;
	}
	return true;
}

void listen_stop(struct listen *listen)
{
	if (listen->step == STEP_MARK && !listen->has_passed)
		abandon(listen);
	listen->step = STEP_NONE;
	listen->back = 0;
	if (!listen->is_served)
		listen->marker = 0;
	listen->mark[0] = '\0';
	listen->is_answered = listen->is_over = listen->discards = false;
	note_queue_release(&listen->later);
}
