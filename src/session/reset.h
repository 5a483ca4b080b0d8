/* SPDX-License-Identifier: ISC */
/*
 * server_reset_query between two clients of a server, and what is known of its session then. Owner: the server's worker.
 */
#ifndef SESSION_RESET_H
#define SESSION_RESET_H

#include "base/base.h"

struct server;

/* Between transactions. true: it was sent; its ReadyForQuery comes back to link_on_ready(). */
bool server_begin_reset(struct server *server);
/* DISCARD ALL: what its session had is gone. */
void server_reset_done(struct server *server);

#endif
