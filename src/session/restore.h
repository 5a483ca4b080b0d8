/* SPDX-License-Identifier: ISC */
/*
 * RESET, SET … TO DEFAULT, RESET ALL and DISCARD ALL of what a client logged in with. A connection of its own goes back to the values of its startup
 * packet. A server's startup packet is pglane's, so the server goes back to its own default; the login's value is set again right behind,
 * in the same transaction and ahead of the ReadyForQuery, so that neither the client nor a statement of it ever meets that default, and
 * savepoints and rollbacks take back both. Only for a text that is such a statement and nothing else, and only for values that are not the default
 * of the server anyway: all others pay one test.
 * In the extended protocol it comes behind the Execute, in all poolings. A Query is sent as Parse, Bind, Execute and Sync, which PostgreSQL
 * answers, but for the first two, as it does a Query.
 * Owner: the client's worker.
 * Source: PostgreSQL manual, SET, RESET, DISCARD; guc.c (reset_val, GUC_LIST_QUOTE, GUC_NO_RESET_ALL).
 */
#ifndef SESSION_RESTORE_H
#define SESSION_RESTORE_H

#include "classify/classify.h"
#include "session/client.h"

/* What such a statement resets. */
struct reset_text {
	bool all;	/* name is empty then */
	bool discards;	/* DISCARD ALL */
	bool is_local;
	char name[256]; /* of a parameter */
};

/* Is the text one of those? backslash_escapes: standard_conforming_strings is off. Pure. */
bool reset_text_parse(const char *sql, size_t n, bool backslash_escapes, struct reset_text *text_r);
/* May the text be one? false is sure, and cheap. Pure. */
bool restore_may_want(const char *sql, size_t n);
/* Has a login with these parameters something to be set again where those are the defaults (NULL: not known)? */
bool restore_is_for(const struct param_set *login, const struct param_set *defaults);

#define RESTORE_EFFECTS (EFFECT_SET | EFFECT_SET_LOCAL | EFFECT_DISCARD_ALL) /* what classify() says of all such texts */

/* The client's server is about to run the whole Query. true: it was sent, as a batch. */
bool restore_query(struct client *client, const char *sql, size_t n);
/* A Bind of this statement (sql NULL: of another) is sent. */
void restore_bound(struct client *client, const char *portal, const char *sql, size_t n);
/* An Execute of the portal was sent. */
void restore_executed(struct client *client, const char *portal);
/* ReadyForQuery: portals are gone with their transaction. */
void restore_portals_gone(struct client *client);

#endif
