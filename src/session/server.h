/* SPDX-License-Identifier: ISC */
/*
 * One connection to PostgreSQL. Life: server_login.c brings it up, server_feed.c relays its
 * replies, link.c gives it to clients and takes it back, server.c ends it. Owner: its worker; an
 * idle one moves to another worker as a mail. It holds one slot of the budget until its end of file
 * was read.
 */
#ifndef SESSION_SERVER_H
#define SESSION_SERVER_H

#include "io/netaddr.h"
#include "io/stream.h"
#include "session/expect.h"
#include "session/leak.h"
#include "session/pool.h"
#include "session/tally.h"

enum server_flag {
	SERVER_SKIP_SWALLOW = 1 << 0,	  /* skip_bytes are dropped */
	SERVER_COPY_IN = 1 << 1,	  /* reads CopyData: Sync and Flush are ignored by it */
	SERVER_COPY_BOTH = 1 << 2,	  /* replication */
	SERVER_RETIRE = 1 << 3,		  /* close it instead of reusing it */
	SERVER_SETUP_FAILED = 1 << 4, /* the parameters of its client could not be applied: up to
					 ReadyForQuery nothing runs */
	SERVER_STATEMENTS_GOING = 1 << 5, /* DEALLOCATE ALL or DISCARD ALL is under way */
	SERVER_ORPHAN = 1 << 6,		  /* connecting without a client */
	SERVER_TLS = 1 << 7,
	SERVER_BATCH_FAILED = 1 << 8, /* an ErrorResponse came since the last ReadyForQuery */
	SERVER_WELCOMING = 1 << 9,    /* its client's login waits for its parameters */
	SERVER_RESET_SENT = 1 << 10,
	SERVER_DIED_IDLE = 1 << 11,
	SERVER_FREED =
		1
		<< 12, /* its slot is given back; the memory goes when no cancel request needs it */
	SERVER_TAINTED = 1 << 14, /* its session has something of its client's: reset before reuse */
	SERVER_ENDED = 1 << 13, /* its end of file, or an error, was read */
	SERVER_FRESH = 1 << 15, /* linked; the parameters of its client are still to be applied */
	SERVER_OPEN = 1 << 18,	      /* logged in: PostgreSQL counts it, until SERVER_FREED */
	SERVER_VIOLATED = 1 << 17, /* it ends because its client broke the protocol */
	SERVER_ROLLS_BACK = 1 << 16, /* ends the transaction in which they could not be */
	SERVER_HAS_STALE = 1 << 22,  /* server->stale is still to be closed */
	SERVER_MUST_RESET = 1 << 21, /* what taints it is no pin's */
	/* Of ours, to be sent behind the message of its client of which a part was sent */
	SERVER_OWES_SYNC = 1 << 19,
	SERVER_OWES_ROLLBACK = 1 << 20,
	SERVER_ASKED = 1 << 29, /* what its session has, see leak.h; a RESET is under way behind it */
	SERVER_RUNS_AGAIN = 1 << 28, /* it refused what the primary will run: nobody hears of it */
	SERVER_OF_LISTENER = 1 << 23, /* it serves no statement */
};

struct server_login; /* server_login.c */
struct replica_kept; /* replica.h */
struct listen_server; /* listen_server.h */
struct sql_names;

struct server {
	uint32_t magic;
	uint32_t flags;
	uint8_t state;	       /* enum server_state: only server_to() */
	uint8_t xact;	       /* enum pgw_xact, of the last ReadyForQuery */
	uint8_t quiet_ticks;   /* of the janitor since its last input, up to QUIET_TICKS */
	uint8_t replication;   /* enum replication (replication.h): of its client, and of nobody after it */
	struct worker *worker; /* NULL while it travels */
	struct pool *pool;
	struct client *client;
	struct listen_server *listener; /* it is its connection; NULL: a server as any */
	struct stream stream;
	struct lane_idle idle;
	TAILQ_ENTRY(server) link; /* of pool->servers[state] */
	struct expect_queue expects;
	struct pgw_hash128 stale;	 /* a copy that was forgotten, see replay.h */
	struct tally tally; /* of its replies */
	struct server_leaks leaks;
	struct param_set *params;	 /* what its session has */
	struct param_set *facts; /* with replication, until its client was told: what only the server decides */
	struct param_set *params_before; /* of a change that is under way: what holds if it fails */
	struct server_copies copies;
	struct sql_names *sql_names; /* prepared statements of SQL; NULL: none */
	uint32_t n_names_ran; /* PREPAREs and DEALLOCATEs of the Query under way, see sql_prepared.h */
	struct server_copies copies_taken; /* by the last EXPECT_ALL: they come back when it fails */
	struct pgw_hash128 unnamed; /* hash of its unnamed statement; zero: none of ours */
	struct replica_kept *kept; /* of a replica: what it runs, until the answer leaves */
	struct input *partial;	    /* part of a message that must be seen whole */
	uint64_t skip_bytes;
	uint32_t n_cancels; /* cancel requests aimed at it that have not finished */
	uint32_t pid;
	uint16_t n_key_bytes;
	uint8_t *key;
	struct server_login *login;
	struct timer timer;  /* connect, cancel grace, close */
	struct task task;    /* free, or read on */
	struct netaddr addr; /* where it is connected: cancels go there */
	char *host;
	uint64_t id;
	uint32_t epoch; /* of shared_pool.epoch at its birth */
	uint64_t sequences_of; /* whose currval() and lastval() its session knows: id of a client, see sequence.h */
	bool sequences_moved;  /* by the one that has it, since others had it */
	uint32_t copies_epoch; /* of shared_pool.copies_epoch, when it had no copies */
	uint64_t connect_wall_us, connect_us, request_us, idle_since_us;
	char last_words[128]; /* of a FATAL it sent */
};

#define SERVER_MAGIC 0x53525652u

/* flags: enum server_flag, one or more; any of them */
static inline bool server_is(const struct server *server, uint32_t flag)
{
	return (server->flags & flag) != 0;
}
static inline void server_set(struct server *server, uint32_t flag)
{
	server->flags |= flag;
}
static inline void server_unset(struct server *server, uint32_t flag)
{
	server->flags &= ~flag;
}

/* server.c */
struct server *server_new(struct pool *pool); /* state CONNECTING; the caller holds its slot */
void server_to(struct server *server, enum server_state next);
const char *server_state_name(const struct server *server); /* PgBouncer's words */
/* Ends it: Terminate, half-close, wait for its end of file, then the slot goes back. Its client
 * must be unlinked before. */
void server_close(struct server *server, const char *reason);
void server_dead(struct server *server,
	const char *reason); /* its end of file or an error was read: the slot goes back now */
void server_close_claimed(
	struct server *server); /* idle and claimed by a ticket that wants its slot */
void server_close_idle(struct server *server); /* registered: unless another worker claimed it */
void server_bury(struct server *server);   /* it died while it was delivered to a ticket of ours */
void server_drain(struct server *server);  /* CLOSING: reads on to its end of file */
void server_detach(struct server *server); /* leaves its worker: IDLE and claimed */
void server_attach(struct server *server, struct worker *worker, struct pool *pool);
void server_cancel_done(struct server *server); /* one cancel request aimed at it is over */
extern const struct stream_ops server_ops;

/* server_login.c */
void server_connect(
	struct server *server); /* starts; ends in link_server_ready() or link_server_failed() */
void server_login_on_input(struct server *server);
void server_login_on_connected(struct server *server, int error_number);
void server_login_free(struct server *server);
bool server_asks_for_tls(const struct server *server); /* of connections to where it is: its own, and those of cancels */

/* server_feed.c */
void server_on_input(struct server *server);
void server_look_for_reset(struct server *server); /* once a second */
void server_resume(
	struct server *server); /* its client has read: read on, at the end of this turn */

/* inject.c: messages of our own, into worker->to_server or straight to the stream when no feed is
 * under way */
void inject_params(struct server *server, struct param_set *wanted); /* nothing when it has them */
void inject_begin(struct server *server, const char *begin);
void inject_query(struct server *server, const char *sql, uint16_t expect_flags);
void inject_raw_query(struct server *server, const char *sql); /* the caller pushes what it expects */
void inject_bytes(struct server *server, const uint8_t *bytes, size_t n); /* small; as inject_raw_query() */
/* Messages that build() writes, at most `room` bytes; the caller pushes what it expects. */
void inject_built(struct server *server, void (*build)(struct pgw_writer *writer, const void *arg),
	const void *arg, size_t room);
void inject_sync(struct server *server);
void inject_flush(struct server *server);
void inject_failure(struct server *server); /* its error is replaced by client->fault */
/* A question of ours, which the server keeps prepared: its rows go to pin_answer(). Several may stand together; behind the last comes the end, whose
 * ReadyForQuery goes to pin_answered(). */
void inject_question(struct server *server, const char *sql);
void inject_question_ends(struct server *server);
void inject_raw_parse(struct server *server, const struct statement *statement,
	const char *name);		      /* the caller pushes what it expects */
void server_copies_return(struct server *server); /* what an EXPECT_ALL took and did not drop */
void inject_evictions(struct server *server); /* closes its copies beyond max_prepared_statements */
/* The server has the statement when the next message arrives there: under its own name, or as the
 * unnamed one. */
void server_ensure_statement(struct server *server, const struct statement *statement);
void server_ensure_statement_as(
	struct server *server, const struct statement *statement, bool named);
/* Its copy, if it has one, is closed ahead of what is sent next. */
void server_close_statement(struct server *server, const struct statement *statement);

/* link.c */
void link_client(struct client *client,
	struct server *server); /* an idle or fresh server; sends the parameters ahead */
void link_part(struct client *client, struct server *server); /* the pair, and nothing else */
void link_server_ready(struct server *server); /* it is logged in */
void link_server_failed(struct server *server,
	const struct pgw_fault *fault); /* it never was, or no more: closes it */
/* PostgreSQL has no room for it: closes it; its client waits on. */
void link_server_refused(struct server *server, const struct pgw_fault *fault);
/* Half a message of it went out to its client: nothing may be said behind it. */
bool link_is_in_reply(const struct server *server);
void link_on_ready(struct server
		*server); /* ReadyForQuery, nothing outstanding: release, or on with the recovery */
void link_server_lost(
	struct server *server, const char *why); /* end of file in the middle of something */
void link_client_gone(
	struct client *client); /* its client vanished: cancel, rollback, reset, or close */
/* If nothing is under way the server goes back, and what pins it ends: ahead of a statement in its feed, or unasked. true: that is under way, the
 * statement must wait. */
bool link_yield(struct client *client);
/* It is not to serve anybody else: too old, outdated, or its entry is gone. */
bool link_must_retire(const struct server *server, uint64_t now_us);
void link_cancel_finished(struct server *server);
void link_server_drained(struct server *server); /* its spill is empty again */
void link_login_done(struct client *client); /* its login is over: the server that helped goes back
						(or stays, in session pooling) */
/* The client's transaction is idle for too long: rolled back, and its next statement hears of it.
 * false: not in this state (session pooling, an open batch). */
bool link_roll_back_idle(struct client *client);
/* The client's transaction cannot go on: its server is closed, its permit given back; the client is
 * not told here. */
void link_abort_transaction(struct client *client);

/* cancel.c */
void cancel_request(struct client *canceller, uint32_t pid, const uint8_t *key,
	size_t n_key); /* from a client connection: any worker */
void cancel_server(struct server *server,
	struct client
		*canceller); /* sends a CancelRequest; the server is fenced until it is over */
void cancel_client(
	struct client *client, struct client *canceller); /* what the client runs, or waits for */
void cancel_register(struct client *client);		  /* gives it its key */
void cancel_forget(struct client *client);
size_t cancel_key_bytes(const struct client *client);
void cancel_close_all(struct worker *worker);

#endif
