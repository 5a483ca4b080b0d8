/* SPDX-License-Identifier: ISC */
/*
 * Replication connections: clients whose startup packet has `replication`, and speak with a walsender (PostgreSQL manual, "Streaming
 * Replication Protocol"). Each has a server of its own, opened for it with the same parameter and closed when either of the two
 * goes; nothing that they say is read, and nothing of ours is said between them. Owner: the worker of client and server.
 */
#ifndef SESSION_REPLICATION_H
#define SESSION_REPLICATION_H

#include "pgw/startup.h"
#include "session/feed.h"
#include "session/server.h"

/* In client->replication and server->replication. */
enum replication { REPLICATION_NONE, REPLICATION_PHYSICAL, REPLICATION_LOGICAL };

/* The startup parameter's value, as PostgreSQL reads it (ProcessStartupPacket()): "database", or a boolean. false: it is neither. */
bool replication_parse(const char *value, enum replication *replication_r) WARN_UNUSED;
const char *replication_name(uint8_t replication); /* as SHOW CLIENTS has it */

/* Of what a client asked for, beside the fields of its packet or in `options`: what may not stand in a startup packet of ours as the name of
 * a setting, because there it would be no setting but, say, who logs in. NULL: nothing. */
const char *replication_unfit(const struct param_list *asked);
/* What goes into the server's startup packet over the settings of its entry, of which PostgreSQL takes the last of a name, and ahead of
 * user and database: at most REPLICATION_PARAMS of them; borrowed from the client's login. Returns how many. */
#define REPLICATION_PARAMS (PARAMS_MAX + 1)
size_t replication_startup(const struct server *server, struct pgw_param params[static REPLICATION_PARAMS]);

/* A message of a client that is logged in. It is passed on as far as it is here. */
enum step replication_feed(struct feed *feed, const struct pgw_frame *frame);

/* The client goes, and its server with it: unlinked and closed by the caller. */
void replication_client_gone(struct client *client);
/* The server has gone, and is unlinked: what it said last is the last that the client hears. */
void replication_server_gone(struct client *client, const char *why);

/* It streams, which has no end of its own. */
bool replication_streams(const struct client *client);

#endif
