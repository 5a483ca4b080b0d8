/* SPDX-License-Identifier: ISC */
/*
 * RESET, SET … TO DEFAULT, RESET ALL and DISCARD ALL of what a client logged in with. A connection of its own goes back to the values of its startup
 * packet. A server's startup packet is pglane's, so the server goes back to its own default; the login's value is set again right behind,
 * in the same transaction and ahead of the ReadyForQuery, so that neither the client nor a statement of it ever meets that default, and
 * savepoints and rollbacks take back both. Only for values that are not the default of the server anyway: who brought none pays one test.
 * - In the extended protocol it comes behind the Execute.
 * - A Query that is such a statement is sent as Parse, Bind, Execute and Sync, which PostgreSQL answers, but for the first two, as it does a Query.
 * - In a Query of several statements it is written behind each of them; the answers to what was written are nobody's, and errors name places of the
 *   client's own text. Where that cannot be known (SQL-standard function bodies, encodings of more than one byte that are not UTF8, more than
 *   64 statements, or than 16 that reset) the text goes as it is, and in transaction pooling the server is asked what came of it (pin.h).
 * Owner: the client's worker.
 * Source: PostgreSQL manual, SET, RESET, DISCARD; guc.c (reset_val, GUC_LIST_QUOTE, GUC_NO_RESET_ALL).
 */
#ifndef SESSION_RESTORE_H
#define SESSION_RESTORE_H

#include "classify/classify.h"
#include "pgw/frame.h"
#include "session/client.h"
#include "session/expect.h"
#include "session/reset_text.h"

/* Has a login with these parameters something to be set again where those are the defaults (NULL: not known)? */
bool restore_is_for(const struct param_set *login, const struct param_set *defaults);

struct walk;

#define RESTORE_EFFECTS (EFFECT_SET | EFFECT_SET_LOCAL | EFFECT_DISCARD_ALL) /* what classify() says of all such texts */

/* The client's server is about to run the whole Query. true: it was sent, in another form, and this is to be expected of it. */
bool restore_query(struct client *client, const char *sql, size_t n, struct expect *expect);
/* A message of a reply with EXPECT_MASKED. true: it answers what the client did not send. */
bool restore_keeps(struct expect *front, uint8_t type);
/* An error there, which its client is told as its own text would have had it. false: it may have it as it is. */
bool restore_error(const struct walk *walk, const struct pgw_frame *frame);
void restore_amid_over(struct client *client); /* ReadyForQuery of it */
void restore_amid_forget(struct client *client);
/* A Bind of this statement (sql NULL: of another) is sent. */
void restore_bound(struct client *client, const char *portal, const char *sql, size_t n);
/* An Execute of the portal was sent. */
void restore_executed(struct client *client, const char *portal);
/* ReadyForQuery: portals are gone with their transaction. */
void restore_portals_gone(struct client *client);

#endif
