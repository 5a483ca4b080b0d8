/* SPDX-License-Identifier: ISC */
/*
 * currval() and lastval() in transaction and statement pooling. PostgreSQL keeps in a session what each sequence gave it last, and
 * nothing can move that to another one. Two rules:
 *
 * No client is ever told what another one was given. Each server knows who alone has run something on it since its session knew of no sequence
 * (sequences_of). When somebody else has, too, a currval() has "DISCARD SEQUENCES" ahead of it, in its transaction, and PostgreSQL itself
 * answers 55000. That is all that is done until a pool (a user of a database) calls one of them: then it has been learned, for
 * all workers, and the same is said ahead of whatever a client runs first on a server that others have used, so that what its session has
 * is the client's alone, also where the call hides in a function.
 *
 * What a client was given stays there for it. In a pool that was learned, a statement that may move a sequence gives its client a pin
 * (PIN_SEQUENCE) that is over soon: SEQUENCE_KEPT_US behind the last one, SEQUENCE_READ_US behind the first currval() that follows. It is counted in no lane and
 * refuses nothing. When others may have waited long enough (the same times, from its beginning), the client gives its server up ahead of its next
 * statement, and queues like everybody. A transaction that reads what it moved needs no pin and makes none.
 *
 * What remains: the first currval() of a pool, if it stands in a transaction that has moved another sequence on a server that others used, is not
 * preceded by anything, as that would lose what the transaction itself was given. sequence_state = pin knows from the start; off never pins, and
 * does all else.
 * Owner: the client's worker; shared_pool.uses_sequences is atomic.
 */
#ifndef SESSION_SEQUENCE_H
#define SESSION_SEQUENCE_H

#include "session/client.h"
#include "session/server.h"

#define SEQUENCES_OF_MANY UINT64_MAX /* server->sequences_of; 0: of nobody */
#define SEQUENCE_KEPT_US 1000000u
#define SEQUENCE_READ_US 100000u

#define SEQUENCE_EFFECTS (EFFECT_SEQUENCE_MOVE | EFFECT_SEQUENCE_READ | EFFECT_CALL)

void sequence_linked_other(struct client *client, struct server *server);
/* The client's first statement on this server is about to be sent; between transactions. */
static inline void sequence_linked(struct client *client, struct server *server)
{
	if (UNLIKELY(server->sequences_of != client->id))
		sequence_linked_other(client, server);
}
/* The client's server is about to run the statement, of SEQUENCE_EFFECTS: ahead of what is expected of it. */
void sequence_place(struct client *client, uint32_t effects, const char *sql, size_t n);
/* The session has been reset: it knows of no sequence. */
static inline void sequence_forgotten(struct server *server)
{
	server->sequences_of = 0;
}
/* Its transaction is over, and it has a pin for its sequences: does that hold on? Comes back by link_maybe_release() when not. */
bool sequence_keeps(struct client *client);
/* The client, which has a pin, is about to say a statement: its server goes back ahead of it if it is others' turn. true: it must wait
 * until that is done. */
bool sequence_yield(struct client *client, uint32_t effects);

#endif
