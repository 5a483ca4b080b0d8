/* SPDX-License-Identifier: ISC */
/*
 * currval() and lastval() in transaction and statement pooling. PostgreSQL keeps in a session what each sequence gave it last, and
 * nothing can move that to another one. Two rules:
 *
 * No client is ever told what another one was given. Each server knows who alone has run something on it since its session knew of no sequence
 * (sequences_of). When somebody else has, too, a currval() has "DISCARD SEQUENCES" ahead of it, in its transaction, and PostgreSQL itself
 * answers 55000. That is all that is done until a pool (a user of a database) calls one of them: then it is known to read, on
 * all workers, and the same is said ahead of whatever a client runs first on a server that others have used, so that what its session has
 * is the client's alone, also where the call hides in a function.
 *
 * What a client was given stays there for it, where it is going to be read. In a pool that reads it is learned behind which statements it does, when their
 * transaction is over (sequence_lessons.h): the 55000 that a client gets teaches the statement that moved a sequence last for it. The very first one cannot,
 * as nothing was remembered before it: then the client's next one is taken to be read. A statement that was learned gives its client a pin
 * (PIN_SEQUENCE), counted in no lane; all others go on as in any pool. Such a pin refuses nothing, ends no client, and gives way:
 * while nobody waits for its permit it lasts, and no longer than pin_idle_timeout. When somebody does (lane_is_wanted()) its server goes back as soon as it was
 * read as often as it ever was, or SEQUENCE_KEPT_US behind the statement; of those of a worker the oldest first. A transaction that reads what it moved needs no pin; if
 * its statement was not learned, it makes none.
 *
 * What remains: the first currval() of a pool, if it stands in a transaction that has moved another sequence on a server that others used, is not
 * preceded by anything, as that would lose what the transaction itself was given. sequence_state = pin takes all statements to be read, from the start and for
 * SEQUENCE_KEPT_US at least; off never pins, and does all else.
 * Owner: the client's worker; shared_pool.sequences is atomic.
 */
#ifndef SESSION_SEQUENCE_H
#define SESSION_SEQUENCE_H

#include "session/client.h"
#include "session/server.h"

#define SEQUENCES_OF_MANY UINT64_MAX /* server->sequences_of; 0: of nobody */
#define SEQUENCE_KEPT_US 100000u /* though others wait, while it was not read. The read comes a round trip behind: 0.2 ms on one machine, some ms in a network */
#define SEQUENCE_PRESUMED 1u /* client->moved_key: the next statement is taken to be read. 0: nothing is known; else a sequence_key() */

#define SEQUENCE_EFFECTS (EFFECT_SEQUENCE_MOVE | EFFECT_SEQUENCE_READ | EFFECT_CALL)

void sequence_linked_other(struct client *client, struct server *server);
/* The client's first statement on this server is about to be sent; between transactions. */
static inline void sequence_linked(struct client *client, struct server *server)
{
	if (UNLIKELY(server->sequences_of != client->id))
		sequence_linked_other(client, server);
}
/* The client's server is about to run the statement, of SEQUENCE_EFFECTS: ahead of what is expected of it. print: its fingerprint, 0 while it is not known; it
 * is filled in if it is needed. */
void sequence_place(struct client *client, uint32_t effects, const char *sql, size_t n, struct pgw_hash128 *print);
/* Its statement failed with this SQLSTATE. */
void sequence_failed(struct client *client, const char *sqlstate);
/* The session has been reset: it knows of no sequence. */
static inline void sequence_forgotten(struct server *server)
{
	server->sequences_of = 0;
}
/* The client, which has a pin, runs DISCARD ALL. */
void sequence_discarded(struct client *client);

/* Its transaction is over, and it has a pin for its sequences: does that hold on? */
bool sequence_keeps(struct client *client);
/* The pin is not for its sequences any more, or ends. */
void sequence_unpinned(struct client *client);
/* The client, which has a pin, is about to say a statement: its server goes back ahead of it if it is others' turn, if the statement is of another
 * lane and that has no permit free, or if a replica may serve it. true: it must wait until that is done. */
bool sequence_yield(struct client *client, const struct statement_route *route);
/* Somebody may have begun to wait: pins of the worker that have lasted long enough give way. */
void sequence_give_way(struct worker *worker);
/* All that can, of a pool (NULL: of all): PAUSE, RECONNECT and the like wait for none. */
void sequence_give_back(struct worker *worker, const struct pool *pool);

#endif
