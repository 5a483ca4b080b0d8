/* SPDX-License-Identifier: ISC */
#include "session/pin.h"

#include <inttypes.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "pgw/messages.h"
#include "session/listen.h"
#include "session/replica.h"
#include "session/sequence.h"
#include "session/server.h"
#include "session/setting.h"
#include "session/sql_prepared.h"

#define STATEMENT_BYTES 200u /* that are kept of the text */
#define ASK_AFTER_US 1000000u /* of quiet, what was not seen to end */

static const struct config_user *user_of(const struct client *client)
{
	return config_find_user(worker_config(client->worker), client->pool->shared->user->name);
}

/* The user's word goes before the database's. */
static enum session_state_policy policy_of(const struct client *client)
{
	const struct config_user *user = user_of(client);
	const struct config_database *database = pool_entry(client->pool);

	if (user && user->on_session_state != SESSION_STATE_INHERIT)
		return user->on_session_state;
	if (database && database->on_session_state != SESSION_STATE_INHERIT)
		return database->on_session_state;
	return worker_config(client->worker)->on_session_state;
}

bool pin_follows_settings(const struct client *client)
{
	return policy_of(client) != SESSION_STATE_PIN;
}

bool pin_is_virtualized(const struct client *client)
{
	return policy_of(client) == SESSION_STATE_VIRTUALIZE;
}

uint32_t pin_max(const struct config *config, unsigned lane)
{
	const struct config_lane *spec = &config->lanes[lane];

	return spec->max_pinned ? spec->max_pinned : (spec->permits + 1) / 2;
}

static unsigned lane_of(const struct client *client, const struct statement_route *route)
{
	if (client->state == CLIENT_LINKED)
		return client->ticket.home_lane;
	return route->has_lane ? route->lane
			       : worker_config(client->worker)->lane_of_class[route->class];
}

/* Settings that can be named and nothing else: they follow their client. */
static bool only_sets(const struct client *client, uint32_t effects, const char *sql, size_t n)
{
	struct touched touched;
	bool named;

	if ((effects & PIN_EFFECTS) != EFFECT_SET || !pin_follows_settings(client))
		return false;
	touched_init(&touched);
	touched_add_text(&touched, sql, n, client->params->backslash_escapes);
	named = (touched_any(&touched) || touched.ignored) && !touched.unknown;
	touched_release(&touched);
	return named;
}

bool pin_allows(const struct client *client, const struct statement_route *route, const char *sql,
	size_t n, struct pgw_fault *fault_r)
{
	const struct config *config = worker_config(client->worker);
	enum session_state_policy policy = policy_of(client);
	unsigned lane = lane_of(client, route);
	uint32_t n_pinned = STAT_READ(client->worker->cluster->n_pinned[lane]);

	if (client_is(client, CLIENT_SESSION) || only_sets(client, route->effects, sql, n))
		return true;
	if (UNLIKELY(route->effects & EFFECT_LISTEN) && listen_is_refused(client, sql, n, fault_r))
		return false;
	if (policy == SESSION_STATE_ERROR) {
		pgw_fault_set(fault_r, PGW_FAULT_SESSION_STATE, NULL,
			"It would outlast its transaction, and on_session_state is \"error\".");
		return false;
	}
	if ((route->effects & PIN_EFFECTS) == EFFECT_LISTEN && listen_is_served(client))
		return true;
	if (policy == SESSION_STATE_WARN || n_pinned < pin_max(config, lane) ||
		(client->pin && (client->pin->is_counted || pin_has_state(client))))
		return true;
	pgw_fault_set(fault_r, PGW_FAULT_TOO_MANY_PINS, NULL,
		"Lane %s: %" PRIu32 " of %" PRIu32 " permits are pinned by sessions with state of their own; max_pinned is %" PRIu32 ".",
		config->lanes[lane].name, n_pinned, config->lanes[lane].permits,
		pin_max(config, lane));
	return false;
}

static void add_to_lane(const struct client *client, unsigned lane, int change)
{
	(void)__atomic_add_fetch(
		&client->worker->cluster->n_pinned[lane], (uint32_t)change, __ATOMIC_RELAXED);
}

static void uncount(const struct client *client, struct pin *pin)
{
	if (pin->is_counted)
		add_to_lane(client, pin->lane, -1);
	pin->is_counted = false;
}

/* In the lane where its permit is now. */
static void count(const struct client *client, struct pin *pin)
{
	if (pin->is_counted && pin->lane == client->ticket.home_lane)
		return;
	uncount(client, pin);
	pin->is_counted = true;
	pin->lane = client->ticket.home_lane;
	add_to_lane(client, pin->lane, 1);
}

static struct pin *pin_of(struct client *client, const char *sql, size_t n)
{
	struct pin *pin = client->pin;
	size_t n_kept = MIN_OF(n, STATEMENT_BYTES);

	if (pin)
		return pin;
	while (n_kept < n && n_kept > 0 && ((unsigned char)sql[n_kept] & 0xC0) == 0x80)
		n_kept--; /* no half characters */
	pin = mem_zalloc(sizeof(*pin) + n_kept + 1);
	memcpy(pin->statement, sql, n_kept);
	pin->since_us = loop_now_us(&client->worker->loop);
	pin->client = client;
	touched_init(&pin->touched);
	client->pin = pin;
	return pin;
}

static uint8_t reasons_of(uint32_t effects)
{
	static const struct {
		uint32_t effect;
		uint8_t reason;
	} reasons[] = {
		{EFFECT_SET, PIN_SETTING},
		{EFFECT_LISTEN, PIN_LISTEN},
		{EFFECT_TEMP_TABLE, PIN_TEMP_TABLE},
		{EFFECT_ADVISORY_LOCK, PIN_ADVISORY_LOCK},
		{EFFECT_HOLD_CURSOR, PIN_HOLD_CURSOR},
		{EFFECT_LOAD, PIN_LOAD},
		{EFFECT_PREPARE, PIN_PREPARE},
	};
	uint8_t found = 0;
	unsigned i;

	for (i = 0; i < N_ELEMENTS(reasons); i++)
		if (effects & reasons[i].effect)
			found |= reasons[i].reason;
	return found;
}

/* Before the server says what has become of them. */
static void remember_params(struct client *client)
{
	if (client->pin->before == NULL)
		client->pin->before = param_set_ref(client->params_before ? client->params_before : client->params);
}

static void note_settings(struct client *client, const char *sql, size_t n)
{
	struct touched *touched = &client->pin->touched;

	remember_params(client);
	if (pin_follows_settings(client))
		touched_add_text(touched, sql, n, client->params->backslash_escapes);
	if (!touched_any(touched) && !touched->ignored) /* the text does not say which */
		touched->unknown = true;
}

static bool may_pin(struct client *client, uint32_t effects, const char *sql, size_t n)
{
	enum session_state_policy policy = policy_of(client);
	struct pgw_fault warning;

	if (policy == SESSION_STATE_VIRTUALIZE || policy == SESSION_STATE_PIN ||
		only_sets(client, effects, sql, n))
		return true;
	if (policy == SESSION_STATE_WARN) {
		pgw_fault_set(&warning, PGW_FAULT_SESSION_STATE_ENDS, NULL,
			"The server is reset then, before it serves anybody else.");
		client_notice(client, &warning);
	}
	return false;
}

/* Settings will be followed, and channels will be the listener's. */
static bool takes_place(const struct client *client, const struct pin *pin)
{
	uint8_t others = pin->reasons & (uint8_t)~PIN_SETTING;

	return pin->touched.unknown || (others & ~PIN_LISTEN) || (others && !listen_is_served(client));
}

void pin_note(struct client *client, uint32_t effects, const char *sql, size_t n)
{
	struct pin *pin;

	if (effects & EFFECT_LOAD) /* nothing takes a library out of a process again */
		server_set(client->server, SERVER_RETIRE);
	if ((effects & PIN_EFFECTS) == 0) {
		if (client->pin)
			client->pin->must_ask = client->pin->may_end = true;
		return;
	}
	if (!may_pin(client, effects, sql, n)) {
		server_set(client->server, SERVER_MUST_RESET);
		return;
	}
	pin = pin_of(client, sql, n);
	pin->reasons |= reasons_of(effects);
	pin->must_ask = true;
	pin->may_end = false;
	if (effects & EFFECT_SET)
		note_settings(client, sql, n);
	if (takes_place(client, pin))
		count(client, pin);
}

struct pin *pin_for_sequences(struct client *client, const char *sql, size_t n)
{
	struct pin *pin = pin_of(client, sql, n);

	pin->reasons |= PIN_SEQUENCE;
	return pin;
}

void pin_touch(struct client *client, const char *name)
{
	struct pin *pin = pin_of(client, "SET", 3);

	pin->reasons |= PIN_SETTING;
	pin->must_ask = true;
	remember_params(client);
	touched_add(&pin->touched, name);
}

void pin_settings_gone(struct client *client)
{
	if (client->pin == NULL)
		return;
	client->pin->reasons &= (uint8_t)~PIN_SETTING;
	touched_release(&client->pin->touched);
	client->pin->must_ask = true;
}

void pin_has_run(struct client *client)
{
	client->pin->has_run = true;
}

void pin_uncount(struct client *client)
{
	if (client->pin)
		uncount(client, client->pin);
}

void pin_end(struct client *client)
{
	if (client->pin == NULL)
		return;
	uncount(client, client->pin);
	sequence_unpinned(client);
	touched_release(&client->pin->touched);
	param_set_unref(&client->pin->before);
	if (client->pin->answered)
		param_list_release(client->pin->answered);
	mem_free(client->pin->answered);
	mem_free(client->pin);
	client->pin = NULL;
	if (client->xact == XACT_NONE)
		setting_meaning_ends(client);
}

bool pin_keeps(struct client *client, struct server *server)
{
	struct pin *pin = client->pin;

	if (pin == NULL)
		return false;
	MUST(!pin->is_asking);
	if (UNLIKELY(server_is(server, SERVER_FRESH) && pin->must_ask)) { /* its parameters were refused: nothing ran */
		touched_release(&pin->touched);
		pin->reasons &= (uint8_t)~PIN_SETTING;
	}
	if (!touched_any(&pin->touched) && !pin->touched.unknown)
		pin->reasons &= (uint8_t)~PIN_SETTING;
	if (UNLIKELY(server->params != client->params && server->pool == client->pool))
		server_set(server, SERVER_FRESH); /* what it reset is to be as at its login */
	if ((pin->reasons & PIN_SEQUENCE) && !sequence_keeps(client))
		sequence_unpinned(client);
	if (pin->must_ask && ((pin->reasons & PIN_ASKED) || touched_any(&pin->touched))) {
		pin_ask(client, server);
		return true;
	}
	if (client->listen && client->listen->mark[0]) /* what was put back there is still to be taken away */
		pin->reasons |= PIN_LISTEN;
	if (pin->reasons == 0) {
		pin_end(client);
		if (!server_is(server, SERVER_MUST_RESET))
			server_unset(server, SERVER_TAINTED);
		return false;
	}
	if (server->pool != client->pool) { /* a replica's: what it has ends, as its client's next may write */
		pin_end(client);
		return false;
	}
	pin->is_kept = true;
	if ((pin->reasons & PIN_LISTEN) && listen_moves(client, server))
		return true;
	if (pin->reasons == PIN_LISTEN && listen_is_served(client))
		uncount(client, pin);
	else if (pin->reasons != PIN_SEQUENCE)
		count(client, pin);
	client_set(client, CLIENT_LANE_NEUTRAL); /* the next transaction may be of another lane */
	return true;
}

static bool is_idle(const struct client *client)
{
	return client->state == CLIENT_LINKED && client->xact == XACT_NONE &&
	       client->server->expects.n == 0 && client->query_start_us == 0 &&
	       client->skip_bytes == 0 && client->server->n_cancels == 0 &&
	       !server_is(client->server, SERVER_COPY_IN | SERVER_COPY_BOTH) &&
	       !client_is(client, CLIENT_EXTENDED);
}

bool pin_janitor(struct client *client, uint64_t now_us)
{
	const struct config *config = worker_config(client->worker);
	uint64_t limit_us = config->pin_idle_timeout_us;
	struct pgw_fault fault;

	if (!pin_is_kept(client) || !is_idle(client))
		return false;
	if (client->pin->reasons == PIN_SEQUENCE) { /* the client can go on without */
		if (limit_us && now_us - client->last_active_us > limit_us)
			(void)link_yield(client);
		else
			link_maybe_release(client);
		return false;
	}
	if (limit_us && now_us - client->last_active_us > limit_us) {
		struct strbuf reasons = STRBUF_INIT;

		pin_reason_names(client->pin->reasons, &reasons);
		pgw_fault_set(&fault, PGW_FAULT_IDLE_PIN, NULL, "It kept a server for: %s.", reasons.data);
		strbuf_release(&reasons);
		client_fatal(client, &fault);
		return true;
	}
	if (client->pin->has_run && (client->pin->reasons & PIN_ASKED) && now_us - client->last_active_us >= ASK_AFTER_US)
		pin_ask(client, client->server);
	return false;
}

void pin_reason_names(uint8_t reasons, struct strbuf *out)
{
	static const char *const names[] = {
#define PIN_REASON_NAME(reason, bit, name) [bit] = (name),
		PIN_REASONS(PIN_REASON_NAME)
#undef PIN_REASON_NAME
	};
	unsigned i;

	for (i = 0; i < N_ELEMENTS(names); i++) {
		if (!(reasons & 1U << i))
			continue;
		if (out->len > 0)
			strbuf_adds(out, ", ");
		strbuf_adds(out, names[i]);
	}
}
