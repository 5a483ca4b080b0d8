/* SPDX-License-Identifier: ISC */
/*
 * Which statements of lanes with target = replica go to a replica, and to which. A replica is an
 * entry of [databases] that another one names; its pools are pools like any other. What is known of
 * it (struct replica_status of its shared_database) is written by the control thread, and read here
 * with relaxed loads.
 *
 * What may write never goes there: single statements only if their text surely reads (only_reads.h),
 * transactions only if they are declared READ ONLY. In the sessions of its servers every
 * transaction is read-only, also in the moment in which the replica becomes a primary.
 * Threads: the client's worker.
 */
#ifndef SESSION_REPLICA_H
#define SESSION_REPLICA_H

#include "session/feed.h"
#include "session/walk.h"

/*
 * Sets client->target for a statement that is to take a server in a lane. false: none can be used,
 * and by the lane's replica_fallback it waits until one can.
 */
bool replica_find_target(struct client *client, unsigned lane,
	const struct statement_route *route, bool neutral) WARN_UNUSED;
/* Session pooling: does its session belong on a replica? Asked when its login is over. */
bool replica_wants_session(const struct client *client);

/* A client got a server of a replica. */
void replica_linked(struct client *client, struct server *server);
/* What a session on this server must have, for this client. Borrowed. */
struct param_set *replica_params(const struct client *client);
/* The parameter that is ours there, not its client's. */
bool replica_is_our_param(const char *name);

/*
 * A single statement or batch that goes to a replica is kept until the first byte of its answer
 * leaves, so that it can run on the primary after all when the replica refuses it (25006: a function
 * of it writes; 40001: the replay of the log was in its way). What it does to the names of its client
 * is settled no sooner, and undone if it is refused.
 */
struct replica_kept {
	struct input *bytes;
	struct statement *unnamed; /* the client's before it; a reference; NULL: none */
	uint32_t n_confirmed;	   /* names, see client_names_confirmed() */
};
/* The server has come to what the message did to names. */
static inline void replica_names_confirmed(struct server *server, uint32_t n)
{
	if (UNLIKELY(server->kept != NULL))
		server->kept->n_confirmed += n;
	else
		client_names_confirmed(server->client, n);
}
/* Before the first message of it is sent. */
void replica_keep(struct client *client, const uint8_t *bytes, size_t n);
void replica_answer_left(struct server *server);
void replica_forget(struct server *server); /* there will be no answer: what it did to names stays open */
/* An error came instead of the answer. true: it is nobody's, at ReadyForQuery replica_run_again(). */
bool replica_refused(struct walk *walk, const char *sqlstate);
void replica_run_again(struct server *server);

/* A client that waits: its target cannot serve it, or one may again. Its statement is fed again and
 * asks anew; its time goes on. */
void replica_route_again(struct client *client);
void replica_leave(struct client *client); /* the same; the server it waited for could not be had */
/*
 * Something changed about replicas: who waits for one that cannot be used, or for any, is routed
 * anew. Once a second, too, while a lane has target = replica: time alone makes a replica usable again
 * whose login failed, and what the console does to one is not told here.
 */
void replica_changed(struct worker *worker);
void replica_tell(struct cluster *cluster); /* any thread: replica_changed() on all workers */

#endif
