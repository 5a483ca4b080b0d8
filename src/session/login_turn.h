/* SPDX-License-Identifier: ISC */
/*
 * Turns to log in: at most max_server_logins connections to PostgreSQL are being made at the same
 * time, and a quarter of these for one pool; each worker has its part of both. Who has a permit and a
 * slot, and no turn, waits: for one of the worker's logins to end, or for an idle server of its pool,
 * whatever is first. A pool without a login under way is never made to wait: a host that does not
 * answer holds up nobody else's. Replication connections wait for no turn and count in none: a server
 * of theirs is nobody else's. Owner: the worker.
 */
#ifndef SESSION_LOGIN_TURN_H
#define SESSION_LOGIN_TURN_H

struct client;
struct server;
struct worker;

void login_turn_init(struct worker *worker);
void login_turn_release(struct worker *worker);
/* It holds a permit and a slot: it connects, now or in its turn. */
void login_turn(struct client *client);
void login_turn_leave(struct client *client); /* if it waits for one: no more */
void login_turn_began(const struct server *server);
void login_turn_over(const struct server *server); /* whatever became of it */

#endif
