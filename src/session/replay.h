/* SPDX-License-Identifier: ISC */
/*
 * "cached plan must not change result type": a prepared statement whose tables have changed since it was parsed. PostgreSQL says so
 * at Bind, before anything has run. Outside a transaction, when Bind is the first message of its batch and the batch describes its portal,
 * the client never hears of it: the server's copy is closed, and what the client said is said again, once; then the statement is
 * parsed anew. A client that does not ask for the description relies on an old one (pgjdbc): it must hear of it. Everywhere but there
 * the error is the client's, and preparing again helps, as it does without pglane: the copy is closed, and all other servers of the
 * pool drop theirs before they serve the next client (copies_epoch).
 * Batches that may be said again are copied as they are sent into one ring for each worker: no allocation, no cost to an idle client.
 * What the ring has overwritten cannot be said again.
 * Owner: the worker.
 */
#ifndef SESSION_REPLAY_H
#define SESSION_REPLAY_H

#include "pgw/messages.h"
#include "session/feed.h"

#define REPLAY_RING_BYTES 262144u
#define REPLAY_BATCH_BYTES 8192u

void replay_ring_release(struct replay_ring *ring);
/* The client's batch begins at feed->at with the Bind of a named statement. true: it is all here, and was copied. */
bool replay_keep(struct feed *feed);
/* Is this what PostgreSQL says of a statement whose tables have changed? */
bool replay_says_stale(const struct pgw_error_view *error);
/* It says so of an expected Bind of a copy. */
bool replay_is_stale(const struct expect *front, const struct pgw_error_view *error);
/* Does the error say that the server has not the copies that are known of? A client used their names, or dropped them in a function. */
bool replay_has_other_copies(const struct expect *front, const struct pgw_error_view *view);
/* It said so of the expected Bind: true: the client must not hear of it. The copy is forgotten. */
bool replay_begins(struct server *server, const struct expect *bind);
/* ReadyForQuery of that batch: the client's input begins with it again. */
void replay_input(struct client *client);
/* A server is linked: copies from before another server's was stale are dropped. */
void replay_drop_old_copies(struct server *server);
/* ReadyForQuery: the server closes the stale copy. */
void replay_close_stale(struct server *server);

#endif
