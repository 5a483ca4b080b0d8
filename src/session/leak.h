/* SPDX-License-Identifier: ISC */
/*
 * What hides in a function. A function that calls set_config(), takes an advisory lock or makes a temporary table leaves that in the session, and the
 * statement that calls it does not show it: nothing pins, and whoever has the server next finds it. With leak_check the server is asked, when a
 * transaction is over, before it goes back (link.c): one swallowed batch of statements that it keeps prepared. `sampled` asks behind
 * one in LEAK_SAMPLE links of a server, at most once a second; behind the first LEAK_FIRST_TIMES of each statement with EFFECT_CALL; behind each
 * that was found before; and, when something was found and it is not sure whose, behind the next LEAK_HUNT of the pool. `always` asks behind every
 * link in which something was sent. Until the answer is there its client's next statement waits, as for a pin's (pin.h).
 *
 * What is found is counted for a statement of the transaction (leaks.h, SHOW LEAKS): its first one that calls what is not known, else its first that writes, else
 * its first. That is certain if the server was known to be clean when the transaction began. Then the server is reset with DISCARD ALL, or closed
 * where server_reset_query is something else.
 *
 * Settings cost most of the question (PostgreSQL makes the text of all of them), so `always` asks for them as often as `sampled` would; and custom ones are
 * listed by no version. So whatever the answer, every question is followed by RESET of role and settings: what is set unseen is
 * gone, and the next client's parameters are sent as to a new server.
 *
 * Not seen: libraries (LOAD), and what a function does to prepared statements of the protocol (server_reply.c meets that). Sequences: sequence.h.
 * Owner: the server's worker.
 */
#ifndef SESSION_LEAK_H
#define SESSION_LEAK_H

#include "base/base.h"

#define LEAK_SAMPLE 100u
#define LEAK_SAMPLE_US 1000000u
#define LEAK_HUNT 100u
#define LEAK_HUNT_US 10000000u

struct client;
struct leak_suspect;
struct pool;
struct server;
struct statement_route;

struct server_leaks {
	bool is_due;	  /* it is asked before it goes back */
	bool lists;	  /* for its settings, too */
	bool watches;	  /* statements are looked at */
	uint32_t n_since; /* links since its session was known to be clean, this one among them */
	uint32_t n_unlisted; /* links since it was asked for its settings */
	uint64_t listed_us;  /* mono */
	struct leak_suspect *suspect; /* of this link, while it is due */
	char *found;	     /* what the answer named so far; NULL: nothing */
};

/* What the pool's leak_check is now: pool->leak_check. */
void leak_read_policy(struct pool *pool);
/* The client's first statement on this server is about to be sent. */
void leak_linked(struct client *client, struct server *server);
/* The client's server is about to run the statement; while it watches, or of one with EFFECT_CALL. */
void leak_note(struct client *client, const struct statement_route *route, const char *sql, size_t n);
/* It is at rest between transactions, with is_due. true: it is being asked. Else nothing is due any more; it is tainted if something was found. */
bool leak_keeps(struct client *client, struct server *server);
/* The same of a server whose client has gone: it is not asked but reset. */
void leak_orphaned(struct server *server);
/* A row of the answer. */
void leak_row(struct server *server, const char *name, const char *value);
void leak_answered(struct server *server, bool failed);
/* It was reset, or leaves its client: nothing is due any more. */
void leak_forget(struct server *server);

#endif
