/* SPDX-License-Identifier: ISC */
#include "session/sequence.h"

#include "base/log.h"
#include "session/ahead.h"
#include "session/feed.h"
#include "session/pin.h"

#define DISCARD_SEQUENCES "DISCARD SEQUENCES"

static enum sequence_state state_of(const struct client *client)
{
	const struct config_database *database = pool_entry(client->pool);

	if (database && database->sequence_state != SEQUENCE_STATE_INHERIT)
		return database->sequence_state;
	return worker_config(client->worker)->sequence_state;
}

/* The client's pool is known to call currval() or lastval(). */
static bool is_learned(const struct client *client)
{
	return STAT_READ(client->pool->shared->uses_sequences) || state_of(client) == SEQUENCE_STATE_PIN;
}

void sequence_linked_other(struct client *client, struct server *server)
{
	server->sequences_moved = false;
	if (server->sequences_of == 0) {
		server->sequences_of = client->id;
	} else if (!client_is(client, CLIENT_SESSION) && is_learned(client)) {
		inject_query(server, DISCARD_SEQUENCES, EXPECT_CLEARS);
		server->sequences_of = client->id;
	} else {
		server->sequences_of = SEQUENCES_OF_MANY;
	}
}

static void learn(const struct client *client)
{
	struct shared_pool *shared = client->pool->shared;

	if (STAT_READ(shared->uses_sequences))
		return;
	STAT_SET(shared->uses_sequences, true);
	if (state_of(client) == SEQUENCE_STATE_LEARNED)
		log_info("%s@%s calls currval() or lastval(): its clients keep their servers for it from now on",
			shared->user->name, shared->database->name);
}

static void read_sequence(struct client *client, struct server *server)
{
	static const struct ahead discard = {.sql = DISCARD_SEQUENCES};
	struct pin *pin = client->pin;

	if (!server->sequences_moved) /* else it reads what it has moved since it was given the server */
		learn(client);
	if (server->sequences_of != client->id && !server->sequences_moved) {
		ahead_send(server, &discard);
		server->sequences_of = client->id;
	}
	if (pin == NULL || !(pin->reasons & PIN_SEQUENCE))
		return;
	if (pin->has_unread)
		pin->read_us = loop_now_us(&client->worker->loop);
	pin->has_unread = false;
}

static void move_sequence(struct client *client, struct server *server, const char *sql, size_t n)
{
	struct pin *pin;

	server->sequences_moved = true;
	if (!is_learned(client) || state_of(client) == SEQUENCE_STATE_OFF || server->pool != client->pool) /* a replica has none that move */
		return;
	pin = pin_for_sequences(client, sql, n);
	pin->has_unread = true;
	pin->moved_us = loop_now_us(&client->worker->loop);
}

void sequence_place(struct client *client, uint32_t effects, const char *sql, size_t n)
{
	struct server *server = client->server;

	if (client_is(client, CLIENT_SESSION))
		return;
	if (effects & EFFECT_SEQUENCE_READ)
		read_sequence(client, server);
	if (effects & (EFFECT_SEQUENCE_MOVE | EFFECT_CALL))
		move_sequence(client, server, sql, n);
}

static void on_kept_long_enough(struct timer *timer)
{
	link_maybe_release(CONTAINER_OF(timer, struct pin, timer)->client);
}

bool sequence_keeps(struct client *client)
{
	struct pin *pin = client->pin;
	uint64_t now_us = loop_now_us(&client->worker->loop), until_us;

	if (!pin->has_unread && !pin->is_kept) /* what it moved it has read in the same transaction */
		return false;
	until_us = pin->has_unread ? pin->moved_us + SEQUENCE_KEPT_US : pin->read_us + SEQUENCE_READ_US;
	if (now_us >= until_us)
		return false;
	loop_timer_at(&client->worker->loop, &pin->timer, until_us, on_kept_long_enough);
	return true;
}

bool sequence_yield(struct client *client, uint32_t effects)
{
	const struct pin *pin = client->pin;
	uint64_t turn_us = pin->has_unread ? SEQUENCE_KEPT_US : SEQUENCE_READ_US;

	if (client->state != CLIENT_LINKED || client_is(client, CLIENT_SESSION | CLIENT_EXTENDED) || !pin->is_kept ||
		pin->reasons != PIN_SEQUENCE || (effects & EFFECT_SEQUENCE_READ) ||
		loop_now_us(&client->worker->loop) - pin->since_us < turn_us)
		return false;
	return link_yield(client);
}
