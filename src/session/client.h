/* SPDX-License-Identifier: ISC */
/*
 * One application connection. Life: startup and login (client_login.c), statements (client_feed.c),
 * the wait for a permit and a server (client_wait.c), the end (client.c). Owner: its worker; freed
 * by a task at the end of a turn.
 */
#ifndef SESSION_CLIENT_H
#define SESSION_CLIENT_H

#include "io/stream.h"
#include "pgw/fault.h"
#include "session/pool.h"

/* X(state, what is awaited) */
#define CLIENT_STATES(X)                                                                           \
	X(EXPECT_STARTUP, "SSLRequest, CancelRequest, StartupMessage")                             \
	X(EXPECT_TLS, "the TLS handshake")                                                         \
	X(EXPECT_PASSWORD, "a password or SASL message")                                           \
	X(EXPECT_WELCOME, "a server that says what the parameters are")                            \
	X(IDLE, "a statement")                                                                     \
	X(WAITING, "a permit, or the server that comes with it")                                   \
	X(SEARCHING, "Weaviate's answer: it has the server of its transaction, if it is in one")   \
	X(LINKED, "it has a server")                                                               \
	X(CONSOLE, "a console command")                                                            \
	X(CANCELING, "the end of a cancel request it asked for")                                   \
	X(GONE, "disconnected; its server or permit is being cleaned")

enum client_state {
#define CLIENT_STATE_ENUM(state, doc) CLIENT_##state,
	CLIENT_STATES(CLIENT_STATE_ENUM)
#undef CLIENT_STATE_ENUM
		N_CLIENT_STATES
};

enum client_flag {
	CLIENT_TLS = 1 << 0,
	CLIENT_ADMIN = 1 << 1,	 /* console: may change things */
	CLIENT_DISCARD = 1 << 2, /* drop its messages up to Sync: an extended batch failed here */
	CLIENT_AWAITS_READY =
		1 << 3, /* a Query or Sync was sent on; what follows waits for ReadyForQuery */
	CLIENT_EXTENDED =
		1 << 4, /* the batch under way is of the extended protocol, its Sync has not come */
	CLIENT_LANE_NEUTRAL =
		1
		<< 5, /* it holds its permit by neutral statements only: the lane is not decided */
	CLIENT_LANE_TIMEOUT =
		1 << 6, /* the lane's timeout sent a cancel; 57014 of the server becomes ours */
	CLIENT_SERVER_LOST = 1 << 7, /* the next statement of the failed transaction hears of it */
	CLIENT_AWAITS_LOGIN = 1 << 8, /* on worker->awaiting_login */
	CLIENT_LINGERS =
		1 << 9, /* told a FATAL: what it still sends is dropped until its end of file */
	CLIENT_WAIT_NOTIFIED = 1 << 10,
	CLIENT_PROTOCOL_32 = 1 << 11,
	CLIENT_DROP_MESSAGE = 1 << 12, /* skip_bytes are dropped, not forwarded */
	CLIENT_HAS_KEY = 1 << 13,
	CLIENT_COUNTED = 1 << 14,   /* in the limits' counters */
	CLIENT_SESSION = 1 << 15,   /* session pooling */
	CLIENT_STATEMENT = 1 << 16, /* statement pooling */
	CLIENT_PARKED = 1 << 18,      /* waits for RESUME */
	CLIENT_CLASS_FIXED = 1 << 19, /* an annotation on BEGIN decided the transaction's class */
	CLIENT_BIG_UNNAMED =
		1 << 20, /* its unnamed statement was too long to keep: only this server has it */
	CLIENT_PROMISED = 1 << 21,    /* another worker is handing a server over */
	CLIENT_CANCEL_RUNS = 1 << 23, /* a cancel request of this connection is under way */
	CLIENT_COPY_ENDED = 1 << 24,  /* it sent CopyDone or CopyFail in this batch */
	CLIENT_QUEUED_HERE = 1 << 22, /* on pool->waiting */
	/* The unnamed portal is of a DEALLOCATE: of client->deallocates, or ALL. */
	CLIENT_BOUND_DEALLOCATE = 1 << 25,
	CLIENT_BOUND_DEALLOCATE_ALL = 1 << 26,
	CLIENT_EXTENDED_SETS = 1 << 29, /* what is noted was bound, and may not be executed */
	CLIENT_REPLAYS = 1u << 30,  /* its batch will be said again: it hears nothing of this one */
	CLIENT_REPLAYED = 1u << 31, /* it was said again: not once more */
	CLIENT_RESETS_ALL = 1 << 28, /* RESET ALL or DISCARD ALL is under way */
	CLIENT_BATCH_HAS_XACT =
		1 << 27, /* BEGIN, COMMIT or ROLLBACK is in what its server has not answered yet */
	/* A replica refused its statement or batch, which comes once more, for the primary. */
	CLIENT_RUNS_AGAIN = 1 << 17,
};

/* How a transaction stands as the client was told. */
enum client_xact {
	XACT_NONE,     /* idle */
	XACT_DEFERRED, /* BEGIN was answered here, no server yet */
	XACT_SERVER,   /* the server says T or E */
	XACT_FAILED,   /* failed here: only ROLLBACK and COMMIT are heard */
};

/* What a message did to the client's names that the server has not come to yet. */
struct pending_name {
	TAILQ_ENTRY(pending_name) link;
	struct statement *closed; /* Close: what the name was of; NULL: a Parse */
	char name[];
};

struct pin;   /* pin.h */
struct touched;
struct restore;
struct restore_amid;
struct listen; /* listen.h */
struct write_sync;
struct login; /* client_login.c; freed when the login is over */
#define CLIENT_KEY_BYTES 32u

struct client {
	uint32_t magic;
	uint32_t flags;
	uint8_t state;			     /* enum client_state */
	uint8_t xact;			     /* enum client_xact */
	uint8_t class;			     /* enum query_class of the statement under way */
	uint8_t begin_class, begin_priority; /* with CLIENT_CLASS_FIXED */
	uint8_t quiet_ticks; /* of the janitor since its last input, up to QUIET_TICKS */
	bool brings_own; /* its login has values that are not the defaults of its servers: see restore.h */
	bool was_idle; /* with CLIENT_SERVER_LOST: its transaction was rolled back for being idle */
	/* pglane.class as SET in this transaction gave it, and as the session has it when it commits:
	 * see setting.h. 0: no SET did. */
	uint8_t xact_class, commit_class;
	uint8_t n_noted, n_ran; /* settings of the batch under way that were bound, and that ran */
	uint8_t n_moved_reads; /* reads that were seen behind moved_key */
	uint8_t replication; /* enum replication (replication.h): it speaks with a walsender */
	struct worker *worker;
	struct pool *pool;     /* NULL before login */
	struct server *server; /* linked, or connecting for us */
	struct stream stream;
	TAILQ_ENTRY(client) link;      /* of worker->clients */
	TAILQ_ENTRY(client) wait_link; /* of pool->waiting */
	TAILQ_ENTRY(client) login_link; /* of worker->awaiting_login */
	struct lane_ticket ticket;
	struct timer timer; /* login, queue or statement deadline: one at a time */
	struct task task;   /* resume, or free */
	struct input *input;
	uint64_t skip_bytes;		 /* of the message that is being forwarded as it comes */
	struct param_set *params;	 /* what its session must have */
	struct param_set *params_before; /* a SET is under way: what holds if it fails */
	struct param_set *params_login;	 /* what RESET ALL and DISCARD ALL go back to */
	struct touched *resets; /* parameters of params_login that its server says it has at their defaults; NULL: none */
	TAILQ_HEAD(restores, restore) restores; /* portals that reset such values, see restore.h */
	STAILQ_HEAD(amids, restore_amid) amids; /* of the Queries under way that have text of ours in them, in order */
	struct pgw_hash128 xact_meaning; /* its transaction, or batch, has settings of its own; else 0 */
	struct login *login;
	char *begin; /* the text of a deferred BEGIN */
	struct statement *unnamed;
	char *deallocates; /* its own name for what `unnamed`, a DEALLOCATE, is of; else NULL */
	struct client_names *names;
	struct statement *bound; /* of the unnamed portal: a PREPARE or DEALLOCATE that is still to be executed, see sql_prepared.h */
	TAILQ_HEAD(pending_names, pending_name) pending_names; /* in order */
	struct write_sync *sync; /* write_sync.h; NULL: nothing annotated is under way */
	struct pgw_fault *fault; /* see feed_fail_batch(); until ReadyForQuery */
	struct search *search;	 /* of its statement; see search.h */
	struct listen *listen;	 /* what it listens to, outside of session pooling; NULL: nothing */
	struct pin *pin;	 /* why it keeps its server between transactions; NULL: it does not */
	union {
		void *console; /* of a client of the console, its own; NULL when it is gone */
		struct pool *target; /* of the others: of the replica that their ticket is, or was last, for; NULL: `pool` */
	};
	uint64_t id;
	/* The statement that moved a sequence last, where no pin knows it; if that only may have, the one before it. See sequence.h. */
	uint64_t moved_key, moved_before;
	uint64_t connect_wall_us;
	uint64_t wait_start_us, query_start_us, xact_start_us, last_active_us; /* mono */
	struct client *next_key; /* in its bucket of worker->keys */
	uint64_t replay_at; /* in worker->replay */
	uint16_t n_replay;
	struct input *replay; /* with CLIENT_REPLAYS: what will be said again */
	uint32_t rule_timeout_ms; /* of the statement under way; 0: no rule gave one */
	uint32_t key_pid;
	uint8_t key[CLIENT_KEY_BYTES];
};

#define CLIENT_MAGIC 0x434c4e54u

/* flags: enum client_flag, one or more; any of them */
static inline bool client_is(const struct client *client, uint32_t flags)
{
	return (client->flags & flags) != 0;
}
/* What the settings make of its statements: the same for all clients whose settings are the same, and nobody else's while a transaction has
 * some that are not of the session. */
static inline struct pgw_hash128 client_meaning(const struct client *client)
{
	return UNLIKELY(client->xact_meaning.lo != 0) ? client->xact_meaning : client->params->meaning;
}
static inline void client_set(struct client *client, uint32_t flags)
{
	client->flags |= flags;
}
static inline void client_unset(struct client *client, uint32_t flags)
{
	client->flags &= ~flags;
}

/* Whose server its ticket is for, or was last. */
static inline struct pool *client_target(const struct client *client)
{
	return UNLIKELY(client->target != NULL) ? client->target : client->pool;
}

/* client.c */
void client_accept(struct worker *worker, int fd, bool is_unix);
void client_to(struct client *client, enum client_state next);
const char *client_state_name(
	const struct client *client); /* PgBouncer's words: active, idle, waiting … */
/* The client is to end. Its stream is closed now (flushing nothing more); its server is cleaned or
 * closed; freed later. Idempotent. */
void client_disconnect(struct client *client, const char *reason);
/* Sends a FATAL and ends it. */
void client_fatal(struct client *client, const struct pgw_fault *fault);
void client_reply(struct client *client, const void *bytes,
	size_t n); /* straight to its stream; trouble ends it */
/* Feeds what is kept, and reads on, at the end of this turn. */
void client_resume(struct client *client);
void client_janitor(struct client *client, uint64_t now_us);
const char *client_application_name(const struct client *client);
void client_maybe_free(
	struct client *client); /* GONE, and nothing held any more: freed at the end of this turn */

/* client_startup.c, client_auth.c, client_login.c */
void login_on_input(struct client *client);
void login_want_server(struct client *client); /* EXPECT_WELCOME: asks for one */
struct pgw_error_view;
/* EXPECT_WELCOME: the server's error about its parameters; login_server_welcomed() tells it. */
void login_server_refused(struct client *client, const struct pgw_error_view *view);
void login_server_welcomed(
	struct client *client, bool ok, const char *why); /* its parameters were applied, or not */
void login_server_ready(struct client *client); /* EXPECT_WELCOME: its server has its parameters */
void login_failed(struct client *client,
	const struct pgw_fault *fault); /* EXPECT_WELCOME: no server can be had */
void login_free(struct client *client);

void client_arm_login_timer(struct client *client);
/* console_client.c */
void console_on_input(struct client *client); /* whole messages to the console */
void client_console_pause(
	struct client *client); /* its next command waits: the answer comes later */
void client_console_resume(struct client *client);

/* client_feed.c */
void client_on_input(struct client *client);

/* client_reply.c: what its server's replies mean to it */
void client_on_ready(
	struct client *client, int xact);	 /* enum pgw_xact of a ReadyForQuery that it gets */
void client_batch_failed(struct client *client); /* an error, and no Sync is under way */
void client_name_pending(struct client *client, const char *name, struct statement *closed);
void client_names_confirmed(struct client *client, uint32_t n); /* the oldest */
void client_names_failed(struct client *client, uint32_t n);	/* the newest */
void client_unnamed_failed(struct client *client);
/* Its unnamed statement is this one now; takes over the reference. NULL: none. */
void client_unnamed_is(struct client *client, struct statement *statement);
void client_statements_deallocated(struct client *client);
void client_lane_timeout_fault(struct client *client, struct pgw_fault *fault_r);

/* client_wait.c */
enum want { WANT_READY, WANT_WAIT, WANT_FAILED };
/* The client's statement needs a server, in the lane of its route. READY: client->server may be
 * written to. FAILED: it was told. */
enum want client_want_server(
	struct client *client, const struct statement_route *route, bool neutral);
void client_delivered(struct client *client); /* its ticket was delivered at our port */
void client_server_ready(
	struct client *client); /* the server it waited for is linked and logged in */
void client_wait_again(struct client *client); /* its server could not be had, but others may
						  be: it keeps its place and its time */
/* A wait that replica_route_again() broke off did not go on. */
void client_waited(struct client *client);
void client_server_failed(struct client *client,
	const struct pgw_fault *fault);		   /* the server it waited for cannot be had */
void client_cancel_waiting(struct client *client); /* by its own cancel request */
void client_unpark_all(struct worker *worker);	   /* RESUME */
/* The owner of a claimed idle server is asked for it (client), or to close it (NULL). */
void server_claimed(struct worker *worker, struct lane_idle *idle, struct client *client);
void client_stop_waiting(
	struct client *client); /* gives back ticket, promise and place in the queue */
void client_handover_arrived(struct client *client,
	struct server *server); /* from another worker; NULL: it died there */

/* client_error.c */
/* An error in band: as the server would have sent it, with the ReadyForQuery that follows. The
 * session lives. */
void client_error(struct client *client, const struct pgw_fault *fault);
void client_error_simple(
	struct client *client, const struct pgw_fault *fault); /* it answers a Query */
/* What a statement in a transaction that failed here is told. */
void client_failed_xact_fault(struct client *client, struct pgw_fault *fault_r);
void client_send_ready(struct client *client);
void client_notice(struct client *client, const struct pgw_fault *fault);
void client_drop_waiting_message(
	struct client *client); /* the kept message at the front was answered by an error */
/* What it heard of its transaction is over: nothing that held for it holds on. */
void client_xact_over(struct client *client);
/* A rule's limit for the statement that is about to begin, or joins the batch under way: the
 * shortest of a batch holds. 0: no rule gives one. */
void client_statement_limited(struct client *client, uint32_t timeout_ms);
/* Of a statement in that lane, by a rule (0: none gives one), the lane and query_timeout. 0: none. */
uint64_t client_limit_us(const struct client *client, unsigned lane, uint32_t rule_ms);
/* The rule's timeout, else the lane's; or query_timeout of the user or of all when that is
 * shorter. 0: none. */
uint64_t client_statement_limit_us(const struct client *client);
void client_statement_begins(struct client *client, uint64_t now_us); /* clock and lane timer */
void client_statement_clock(struct client *client); /* its timer served something else meanwhile */
void client_statement_ends(struct client *client, uint64_t now_us, bool idle);

#endif
