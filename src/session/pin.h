/* SPDX-License-Identifier: ISC */
/*
 * Pins, in transaction and statement pooling: a client keeps its server behind the end of its transaction while the session
 * there has something that cannot move to another one: temporary tables, cursors WITH HOLD, session advisory locks, LISTEN,
 * a PREPARE that sql_prepared.h cannot follow, LOAD. A statement that may leave such state makes a pin; what is really there is asked of the server itself
 * when the transaction is over (one swallowed query), so a rollback, DROP TABLE, pg_advisory_unlock() or a lock that was not
 * granted end it. Other statements cost nothing; what they may have ended unseen is asked when the client has been quiet for a
 * second.
 * Settings that setting.h cannot follow by their text alone (in a transaction, of a role, by set_config()) are asked for in the
 * same query, by name: their values, whatever savepoints and rollbacks have made of them, become parameters of the client and
 * the server goes back. Only those that cannot be named pin.
 * Owner: the client's worker. What pins hold of each lane is counted in struct cluster (atomic).
 */
#ifndef SESSION_PIN_H
#define SESSION_PIN_H

#include "classify/classify.h"
#include "session/client.h"
#include "session/touched.h"

/* X(reason, bit, its name on the console); those up to PREPARE are what the server can be asked for, see CHECK in pin.c */
#define PIN_REASONS(X)                                                                             \
	X(TEMP_TABLE, 0, "temporary objects")                                                      \
	X(HOLD_CURSOR, 1, "cursor with hold")                                                      \
	X(ADVISORY_LOCK, 2, "advisory lock")                                                       \
	X(LISTEN, 3, "listen")                                                                     \
	X(PREPARE, 4, "prepare")                                                                   \
	X(SETTING, 5, "setting")                                                                   \
	X(LOAD, 6, "load")                                                                         \
	X(SEQUENCE, 7, "sequence")

enum pin_reason {
#define PIN_REASON_ENUM(reason, bit, name) PIN_##reason = 1 << (bit),
	PIN_REASONS(PIN_REASON_ENUM)
#undef PIN_REASON_ENUM
};
#define PIN_ASKED (PIN_TEMP_TABLE | PIN_HOLD_CURSOR | PIN_ADVISORY_LOCK | PIN_LISTEN | PIN_PREPARE)

/* What a statement may leave in a session. */
#define PIN_EFFECTS                                                                                \
	(EFFECT_SET | EFFECT_LISTEN | EFFECT_TEMP_TABLE | EFFECT_ADVISORY_LOCK |                   \
		EFFECT_HOLD_CURSOR | EFFECT_LOAD | EFFECT_PREPARE)

/* What PIN_SEQUENCE is about, see sequence.h. Times are mono. */
#define PIN_SEQUENCE_KEYS 4u
struct pin_sequence {
	TAILQ_ENTRY(pin) link; /* of worker->sequence_pins, while listed_us is not 0 */
	uint64_t listed_us;    /* moved_us as it was then */
	uint64_t keys[PIN_SEQUENCE_KEYS]; /* statements that moved one, unread since the first of them but for n_reads */
	uint8_t n_keys, n_reads, n_expected; /* reads in later transactions, and how many may come */
	bool is_learned;	  /* one of keys is */
	bool in_xact;		  /* moved in the transaction under way */
	bool was_read;		  /* there, since then */
	bool is_discarded;	  /* since then, too */
	uint64_t moved_us, unread_since_us; /* the last of the statements; the first that nobody has read behind */
};

struct pin {
	uint8_t reasons;    /* enum pin_reason: what is there, or may be */
	uint8_t lane;	    /* it counts there */
	bool is_counted;    /* in its lane: not for settings that will be followed */
	bool is_kept;	    /* its server was kept behind a transaction */
	bool must_ask;	    /* at the end of the transaction: state may have come or gone */
	uint8_t n_failures; /* of the question */
	bool may_end;	    /* state may have gone, none has come */
	bool is_asking;	    /* the query is under way */
	bool has_run;	    /* a transaction has, since the last answer */
	struct touched touched; /* settings, since the last answer */
	struct param_set *before; /* what the client had when the first of them was touched; NULL: none was */
	struct param_list *answered; /* while it is asking; NULL: nobody asked for settings */
	uint64_t since_us;  /* mono: the statement that made it */
	struct pin_sequence sequence;
	struct client *client;
	char statement[];   /* the beginning of its text */
};

/*
 * May the statement be sent? false: on_session_state forbids what it leaves, or its lane has too many pins; *fault_r says so.
 * lane: that of its route. Call it with one of PIN_EFFECTS only.
 */
bool pin_allows(const struct client *client, const struct statement_route *route, const char *sql,
	size_t n, struct pgw_fault *fault_r);
/* on_session_state = virtualize: what can be served without its server is. */
bool pin_is_virtualized(const struct client *client);
/* How many pins a lane has room for. */
uint32_t pin_max(const struct config *config, unsigned lane);
/* false: on_session_state = pin, where settings do not follow the client either. */
bool pin_follows_settings(const struct client *client);
/* The client's server, tainted by it, runs the statement. */
void pin_note(struct client *client, uint32_t effects, const char *sql, size_t n);
/* A setting of this name is its transaction's. */
void pin_touch(struct client *client, const char *name);
/* RESET ALL or DISCARD ALL has run: there are no settings of its own any more. */
void pin_settings_gone(struct client *client);
/* Its transaction is over. */
void pin_has_run(struct client *client);
/* Asks what is there. pin_ask.c */
void pin_ask(struct client *client, struct server *server);
/* The server is at rest between transactions. true: it stays with its client, or is asked whether it must. */
bool pin_keeps(struct client *client, struct server *server);
/* A row of the answer, to a question of leak.h, too. false: it is none. */
bool pin_answer(struct server *server, const uint8_t *body, size_t n, bool whole);
/* The answer is over, or (failed) there is none. */
void pin_answered(struct server *server, bool failed);
/* Once a second; true: the client was ended (pin_idle_timeout). */
bool pin_janitor(struct client *client, uint64_t now_us);
/* The client has gone, and its server is yet to be reset: it counts no more. */
void pin_uncount(struct client *client);
/* The pair is parted. */
void pin_end(struct client *client);
/* Its session has state that is gone when the server is. */
static inline bool pin_is_kept(const struct client *client)
{
	return client->pin && client->pin->is_kept;
}
/* The same, of what is worth a client's connection: it can go on without what its sequences gave it. */
static inline bool pin_has_state(const struct client *client)
{
	return pin_is_kept(client) && client->pin->reasons != PIN_SEQUENCE;
}
/* Its pin, which has PIN_SEQUENCE from now on. */
struct pin *pin_for_sequences(struct client *client, const char *sql, size_t n);
static inline bool pin_is_asking(const struct client *client)
{
	return client->pin && client->pin->is_asking;
}
/* While it is asking: the next statement may be of another lane, or needs the settings that are asked for. */
static inline bool pin_holds_up(const struct client *client)
{
	return !client->pin->is_kept || client->pin->answered != NULL;
}
struct strbuf;
void pin_reason_names(uint8_t reasons, struct strbuf *out); /* separated by ", " */

#endif
