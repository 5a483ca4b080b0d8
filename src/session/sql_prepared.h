/* SPDX-License-Identifier: ISC */
/*
 * Prepared statements of SQL in transaction and statement pooling: PREPARE, EXECUTE (also under EXPLAIN and CREATE TABLE … AS),
 * DEALLOCATE. A client keeps its names with those of the protocol (PostgreSQL has one space of names for both): name -> the text of
 * its PREPARE, once that has run. A server keeps what it has of them (sql_names.h). Ahead of whatever names one, in the same send, the
 * server is made to agree with its client about that name (sql_agree.h): Close, and PREPARE as Parse, Bind and Execute without a Sync; so
 * it is the server that says 42P05 and 26000, and no text is changed.
 *
 * While a server is linked to a client it has no name that this client has not, with the same text and the same settings that decide
 * what the text means: others are closed ahead of its first statement. So nobody can run or see what another prepared, not even from
 * where a name is not seen (in a function).
 *
 * PostgreSQL reads a text once, at PREPARE: its encoding, its strings, the literals of dates and times. Another server is to read it
 * in the same way: where the client's settings have changed since, it has the old ones for as long as PREPARE takes (set_config()
 * ahead of it and behind). Names of tables are looked up anew by PostgreSQL itself.
 *
 * What cannot be followed pins, as before: on_session_state = pin, a text that is not here whole, a name that is not ASCII,
 * DEALLOCATE ALL in one string with others, a portal with a name. Such statements are their server's own and unknown here; where there may
 * be some, the protocol's Parse and Close of what is unknown here go to the server under the client's own names.
 * Owner: the worker.
 */
#ifndef SESSION_SQL_PREPARED_H
#define SESSION_SQL_PREPARED_H

#include "session/feed.h"

#define SQL_PREPARED_USES_MAX 32u /* different names, PREPAREs and DEALLOCATEs of one string that can be followed */
/* Replies that are expected for one name: Close, PREPARE, and the settings before and behind it. */
#define SQL_PREPARED_EXPECTS 19u

/* ---- routes; all of them only for texts with EFFECT_NAMES ---- */

/* Takes EFFECT_PREPARE out of the effects of what is followed. whole: all of the text is here. */
void sql_prepared_follow(const struct client *client, struct statement_route *route, const char *sql, size_t n, bool whole);
/* What the text executes gives the route its class, lane and effects, unless it has a class of its own. */
void sql_prepared_merge(struct client *client, struct statement_route *route, const char *sql, size_t n);
/* The same of a statement that is kept, which others share: in *room if it must be another one. portal: of its Bind, else "". */
const struct statement_route *sql_prepared_bound_route(
	struct client *client, const struct statement *statement, const char *portal, struct statement_route *room);
static inline const struct statement_route *sql_prepared_route(
	struct client *client, const struct statement *statement, const char *portal, struct statement_route *room)
{
	return LIKELY(!(statement->route.effects & EFFECT_NAMES)) ? &statement->route
								  : sql_prepared_bound_route(client, statement, portal, room);
}
/* May the client keep what the text prepares? Else *fault says why not. */
bool sql_prepared_fits(struct feed *feed, const struct statement_route *route, const char *sql, size_t n, struct pgw_fault *fault);

/* ---- the client's server is about to get it ---- */

/* A Query of that text. Returns how many of its client's names it gives and takes, for what is expected of it. */
uint32_t sql_prepared_query(struct client *client, const struct statement_route *route, const char *sql, size_t n);
/* Parse of the unnamed statement: what it executes decides how it is described. */
void sql_prepared_parse(struct client *client, const struct statement *statement);
/* The same of one that is too long to be kept: only this server will have it, and what it prepares. */
void sql_prepared_parse_big(struct client *client, const struct statement_route *route, const char *sql, size_t n);
/* Describe or Bind of the client's statement; n_name 0: the unnamed one. true: the server knows it by the client's name. */
bool sql_prepared_ensure(struct client *client, const char *name, size_t n_name, const struct statement *statement);
/* The client has no statement of that name (any more): nor is its server to, whose names are not NULL. */
void sql_prepared_forget(struct client *client, const char *name);
/*
 * Where names may be the server's own (sql_names_own()) it is asked, under the client's own names. Both only where the client has no such
 * name, and server->sql_names is not NULL; false: it goes the way of all others.
 */
bool sql_prepared_closes_own(struct client *client, const char *name); /* a Close of it is to be sent on */
bool sql_prepared_parse_own(struct client *client, const char *name, const struct statement *statement); /* Parse was sent */
/* Bind, behind sql_prepared_ensure(), with its sql_prepared_route(). statement may be NULL. */
void sql_prepared_bind(struct client *client, const char *portal, struct statement *statement, const struct statement_route *route);
/* Execute, while something of that kind is bound (client->bound). */
void sql_prepared_execute(struct client *client, const char *portal, struct expect *expect);
void sql_prepared_unbind(struct client *client);
/* A tag came in answer to a Query that gives or takes names. n with the NUL. true: it has taken all of them. */
bool sql_prepared_tag(struct server *server, const uint8_t *tag, size_t n);
/*
 * Its ReadyForQuery: how many of its names hold. Those of a Query that failed whose tags had come, as PostgreSQL takes nothing back;
 * else all, or none.
 */
uint32_t sql_prepared_ran(struct server *server, const struct expect *query, bool failed);
/* It cannot be run because the tables have changed: it is prepared anew, here and on all servers of the pool. */
void sql_prepared_stale(struct server *server);
/* Appends, for a query, the condition that a row of pg_prepared_statements is of SQL and not followed. */
struct strbuf;
void sql_prepared_add_condition(const struct client *client, const struct server *server, struct strbuf *sql);

#endif
