/* SPDX-License-Identifier: ISC */
#include "session/sequence.h"

#include "base/log.h"
#include "base/mem.h"
#include "pgw/fingerprint.h"
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

static struct sequence_lessons *lessons_for(const struct client *client)
{
	return __atomic_load_n(&client->pool->shared->sequences, __ATOMIC_ACQUIRE);
}

/* The client's pool is known to call currval() or lastval(). */
static bool reads(const struct client *client)
{
	return lessons_for(client) != NULL || state_of(client) == SEQUENCE_STATE_PIN;
}

void sequence_linked_other(struct client *client, struct server *server)
{
	server->sequences_moved = false;
	if (server->sequences_of == 0) {
		server->sequences_of = client->id;
	} else if (!client_is(client, CLIENT_SESSION) && reads(client)) {
		inject_query(server, DISCARD_SEQUENCES, EXPECT_CLEARS);
		server->sequences_of = client->id;
	} else {
		server->sequences_of = SEQUENCES_OF_MANY;
	}
}

/* ---- what is learned ---- */

static void learn_pool(const struct client *client)
{
	struct shared_pool *shared = client->pool->shared;
	struct sequence_lessons *lessons, *none = NULL;

	if (lessons_for(client))
		return;
	lessons = mem_zalloc(sizeof(*lessons));
	if (!__atomic_compare_exchange_n(&shared->sequences, &none, lessons, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		mem_free(lessons); /* another worker's is there */
		return;
	}
	if (state_of(client) == SEQUENCE_STATE_LEARNED)
		log_info("%s@%s calls currval() or lastval(): statements that are read behind keep their servers from now on",
			shared->user->name, shared->database->name);
}

void sequence_failed(struct client *client, const char *sqlstate)
{
	struct sequence_lessons *lessons = lessons_for(client);

	/* object_not_in_prerequisite_state: it wanted a value that no session of its own has any more */
	if (lessons == NULL || strcmp(sqlstate, "55000") != 0 || client_is(client, CLIENT_SESSION) || state_of(client) == SEQUENCE_STATE_OFF)
		return;
	if (client->moved_key < SEQUENCE_KEY_MIN) {
		client->moved_key = SEQUENCE_PRESUMED;
		return;
	}
	client->n_moved_reads = (uint8_t)MIN_OF(client->n_moved_reads + 1u, SEQUENCE_READS_MAX);
	sequence_lessons_add(lessons, client->moved_key, client->n_moved_reads);
	if (client->moved_before) /* the last one may be the very one that read */
		sequence_lessons_add(lessons, client->moved_before, client->n_moved_reads);
}

static void remember(struct client *client, uint64_t key, bool is_certain, unsigned n_reads)
{
	if (client->moved_key != key)
		client->moved_before = !is_certain && client->moved_key >= SEQUENCE_KEY_MIN ? client->moved_key : 0;
	client->moved_key = key;
	client->n_moved_reads = (uint8_t)n_reads;
}

/* What was moved has been read as often as it will be. */
static void settle(const struct client *client, struct pin_sequence *moved)
{
	struct sequence_lessons *lessons = lessons_for(client);

	for (unsigned i = 0; lessons && i < moved->n_keys; i++)
		sequence_lessons_kept(lessons, moved->keys[i], moved->n_reads);
	moved->n_keys = moved->n_reads = moved->n_expected = 0;
	moved->is_learned = false;
}

/* ---- statements ---- */

static void note_read(const struct client *client, struct pin_sequence *moved)
{
	struct sequence_lessons *lessons = lessons_for(client);

	if (moved->in_xact) {
		moved->was_read = true;
		return;
	}
	if (moved->n_reads < SEQUENCE_READS_MAX)
		moved->n_reads++;
	if (moved->n_reads <= moved->n_expected && moved->is_learned)
		return;
	moved->n_expected = moved->n_reads;
	moved->is_learned = true;
	for (unsigned i = 0; lessons && i < moved->n_keys; i++)
		sequence_lessons_add(lessons, moved->keys[i], moved->n_reads);
}

static void read_sequence(struct client *client, struct server *server)
{
	static const struct ahead discard = {.sql = DISCARD_SEQUENCES};

	if (!server->sequences_moved) /* else it reads what it has moved since it was given the server */
		learn_pool(client);
	if (server->sequences_of != client->id && !server->sequences_moved) {
		ahead_send(server, &discard);
		server->sequences_of = client->id;
	}
	if (client->pin && (client->pin->reasons & PIN_SEQUENCE))
		note_read(client, &client->pin->sequence);
}

static bool has_key(const struct pin_sequence *moved, uint64_t key)
{
	for (unsigned i = 0; i < moved->n_keys; i++)
		if (moved->keys[i] == key)
			return true;
	return false;
}

/* It may be read behind, n_reads times if that is known. */
static void note_move(struct client *client, struct pin_sequence *moved, uint64_t key, unsigned n_reads, bool learned)
{
	uint64_t now_us = loop_now_us(&client->worker->loop);
	bool known = has_key(moved, key);

	if (moved->n_keys == 0 || (moved->n_reads > 0 && !moved->in_xact))
		moved->unread_since_us = now_us;
	if (!moved->in_xact && (moved->n_reads > 0 || known || moved->n_keys == PIN_SEQUENCE_KEYS)) {
		settle(client, moved);
		known = false;
	}
	if (!known && moved->n_keys < PIN_SEQUENCE_KEYS)
		moved->keys[moved->n_keys++] = key;
	moved->n_expected = (uint8_t)MAX_OF(moved->n_expected, n_reads);
	moved->is_learned |= learned;
	moved->in_xact = true;
	moved->was_read = moved->is_discarded = false;
	moved->moved_us = now_us;
}

static void move_sequence(struct client *client, struct server *server, uint32_t effects, const char *sql, size_t n, struct pgw_hash128 *print)
{
	bool presumed = client->moved_key == SEQUENCE_PRESUMED;
	enum sequence_state state = state_of(client);
	unsigned n_reads;
	uint64_t key;

	server->sequences_moved = true;
	if (!reads(client) || state == SEQUENCE_STATE_OFF || server->pool != client->pool) /* a replica has none that move */
		return;
	if (print->lo == 0 && print->hi == 0)
		*print = pgw_fingerprint(sql, n);
	key = sequence_key(*print);
	n_reads = sequence_lessons_reads(lessons_for(client), key);
	if (n_reads > 0 || presumed || state == SEQUENCE_STATE_PIN)
		note_move(client, &pin_for_sequences(client, sql, n)->sequence, key, MAX_OF(n_reads, presumed ? 1u : 0u), n_reads > 0);
	if (presumed || client->pin == NULL || !(client->pin->reasons & PIN_SEQUENCE))
		remember(client, key, (effects & EFFECT_SEQUENCE_MOVE) != 0, 0);
}

void sequence_place(struct client *client, uint32_t effects, const char *sql, size_t n, struct pgw_hash128 *print)
{
	struct server *server = client->server;

	if (client_is(client, CLIENT_SESSION))
		return;
	if (effects & EFFECT_SEQUENCE_READ)
		read_sequence(client, server);
	if (effects & (EFFECT_SEQUENCE_MOVE | EFFECT_CALL))
		move_sequence(client, server, effects, sql, n, print);
}

void sequence_discarded(struct client *client)
{
	if (client->xact == XACT_NONE)
		client->pin->sequence.is_discarded = true;
}

/* ---- how long ---- */

static uint64_t due_us(const struct client *client)
{
	const struct pin_sequence *moved = &client->pin->sequence;
	bool was_read = moved->is_learned && moved->n_reads >= moved->n_expected;

	return was_read && state_of(client) != SEQUENCE_STATE_PIN ? 0 : moved->moved_us + SEQUENCE_KEPT_US;
}

static bool is_wanted(struct client *client)
{
	return lane_is_wanted(client->worker->cluster->ledger, &client->ticket);
}

static void on_due(struct timer *timer)
{
	sequence_give_way(CONTAINER_OF(timer, struct worker, sequence_pins.timer));
}

static void look_again_at(struct worker *worker, uint64_t when_us)
{
	struct timer *timer = &worker->sequence_pins.timer;

	if (!timer_is_armed(timer) || when_us < timer->deadline_us)
		loop_timer_at(&worker->loop, timer, when_us, on_due);
}

static void unlist(struct client *client)
{
	struct pin *pin = client->pin;

	if (pin->sequence.listed_us == 0)
		return;
	TAILQ_REMOVE(&client->worker->sequence_pins.list, pin, sequence.link);
	pin->sequence.listed_us = 0;
}

/* In the order of what they moved last. */
static void list(struct client *client)
{
	struct sequence_pins *pins = &client->worker->sequence_pins;
	struct pin *pin = client->pin;

	if (pin->sequence.listed_us == pin->sequence.moved_us)
		return;
	unlist(client);
	pin->sequence.listed_us = pin->sequence.moved_us;
	TAILQ_INSERT_TAIL(&pins->list, pin, sequence.link);
	if (!pins->watches)
		lane_watch(client->worker->cluster->ledger, client->worker->index, true);
	pins->watches = true;
}

bool sequence_keeps(struct client *client)
{
	struct pin_sequence *moved = &client->pin->sequence;
	uint64_t now_us = loop_now_us(&client->worker->loop), until_us = due_us(client);

	moved->in_xact = false;
	if (moved->is_discarded || (moved->was_read && !moved->is_learned) || pool_is_paused(client->pool) ||
		link_must_retire(client->server, now_us))
		return false;
	list(client); /* before it asks: who comes later wakes this worker */
	if (!is_wanted(client))
		return true;
	if (now_us < until_us)
		look_again_at(client->worker, until_us);
	return now_us < until_us;
}

void sequence_unpinned(struct client *client)
{
	struct pin_sequence *moved = &client->pin->sequence;

	client->pin->reasons &= (uint8_t)~PIN_SEQUENCE;
	unlist(client);
	if (moved->n_keys == 0)
		return;
	remember(client, moved->keys[moved->n_keys - 1], true, moved->n_reads);
	settle(client, moved);
}

/* Its server is kept for nothing else, and nothing is under way there. */
static bool can_go(const struct client *client)
{
	return client->state == CLIENT_LINKED && !client_is(client, CLIENT_SESSION | CLIENT_EXTENDED) && client->pin->is_kept &&
	       client->pin->reasons == PIN_SEQUENCE && client->server->xact == PGW_XACT_IDLE;
}

void sequence_give_way(struct worker *worker)
{
	struct sequence_pins *pins = &worker->sequence_pins;
	uint64_t now_us = loop_now_us(&worker->loop), next_us = UINT64_MAX;
	struct pin *pin, *next;

	TAILQ_FOREACH_SAFE(pin, &pins->list, sequence.link, next) {
		uint64_t until_us = due_us(pin->client);

		if (now_us < until_us)
			next_us = MIN_OF(next_us, until_us);
		else if (can_go(pin->client) && is_wanted(pin->client))
			(void)link_yield(pin->client);
	}
	if (next_us != UINT64_MAX)
		look_again_at(worker, next_us);
	if (pins->watches && TAILQ_EMPTY(&pins->list)) {
		lane_watch(worker->cluster->ledger, worker->index, false);
		pins->watches = false;
	}
}

void sequence_give_back(struct worker *worker, const struct pool *pool)
{
	struct pin *pin, *next;

	TAILQ_FOREACH_SAFE(pin, &worker->sequence_pins.list, sequence.link, next)
		if ((pool == NULL || pin->client->pool == pool) && can_go(pin->client))
			(void)link_yield(pin->client);
}

/* Its next transaction is of another lane than its permit. */
static bool is_of_other_lane(const struct client *client, const struct statement_route *route, unsigned *lane_r)
{
	const struct config *config = worker_config(client->worker);

	*lane_r = route->has_lane ? route->lane : config->lane_of_class[route->class];
	return client_is(client, CLIENT_LANE_NEUTRAL) && !feed_is_neutral(route) && *lane_r != client->ticket.home_lane;
}

/* A replica may serve it, and what was moved was read, or had its time. */
static bool is_for_replica(const struct client *client, const struct statement_route *route, uint64_t now_us)
{
	return worker_config(client->worker)->targets_replica && !(route->effects & (EFFECT_WRITE | SEQUENCE_EFFECTS)) && !feed_is_neutral(route) &&
	       feed_targets_replica(client, route) && now_us >= due_us(client);
}

bool sequence_yield(struct client *client, const struct statement_route *route)
{
	const struct pin *pin = client->pin;
	uint64_t now_us = loop_now_us(&client->worker->loop);
	unsigned lane;

	if (!can_go(client) || (route->effects & EFFECT_SEQUENCE_READ))
		return false;
	if (UNLIKELY(is_for_replica(client, route, now_us)))
		return link_yield(client);
	if (is_of_other_lane(client, route, &lane) && !lane_hop(client->worker->cluster->ledger, &client->ticket, lane, now_us))
		return link_yield(client);
	if (!(route->effects & (EFFECT_SEQUENCE_MOVE | EFFECT_CALL)))
		return false;
	/* What it moves begins its time anew: those who never read would never give way. */
	if (due_us(client) != 0 && now_us - pin->sequence.unread_since_us < SEQUENCE_KEPT_US)
		return false;
	return is_wanted(client) && link_yield(client);
}
