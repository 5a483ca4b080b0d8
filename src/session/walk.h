/* SPDX-License-Identifier: ISC */
/*
 * Between server_feed.c (the walk over a server's bytes) and server_reply.c (what each message
 * means).
 */
#ifndef SESSION_WALK_H
#define SESSION_WALK_H

#include "pgw/frame.h"
#include "session/server.h"

struct walk {
	struct server *server;
	struct worker *worker;
	struct client *client; /* NULL: nobody listens (recovery, idle) */
	const uint8_t *at, *end;
	bool dead;
};

static inline struct gather *walk_out(const struct walk *walk)
{
	return &walk->worker->to_client;
}

static inline void walk_forward(const struct walk *walk, const struct pgw_frame *frame)
{
	if (walk->client)
		gather_ref(walk_out(walk), walk->at, PGW_HEADER_BYTES + frame->n_available);
}

/* The message that comes next is ours, or of what did not run. */
static inline bool walk_is_swallowed(const struct walk *walk)
{
	struct expect *front = expect_front(&walk->server->expects);

	return (front && (front->flags & (EXPECT_SWALLOW | EXPECT_COMMIT)) == EXPECT_SWALLOW) ||
	       server_is(walk->server, SERVER_SETUP_FAILED);
}

/* One whole message, or (stream on) the head of one. false: the server does not speak the protocol.
 */
bool walk_message(struct walk *walk, const struct pgw_frame *frame);
/* Replies to what was never sent, in their turn. client may be NULL. */
void walk_emit_locals(struct server *server, struct client *client, struct gather *out);
static inline void walk_locals(const struct walk *walk)
{
	const struct expect *front = expect_front(&walk->server->expects);

	if (UNLIKELY(front && (front->flags & EXPECT_LOCAL)))
		walk_emit_locals(walk->server, walk->client, walk_out(walk));
}
/* DEALLOCATE ALL or DISCARD ALL has run, or (failed) it is not known. */
void walk_statements_settled(struct server *server, bool failed);
void walk_notification(struct walk *walk, const struct pgw_frame *frame);
/* All of a flushed batch is answered: until more of it comes no statement runs, and no clock. */
void walk_batch_paused(struct server *server);

#endif
