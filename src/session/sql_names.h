/* SPDX-License-Identifier: ISC */
/*
 * The prepared statements that a server has under names of SQL (PREPARE name), or under a client's own name of the protocol. What
 * was sent is taken to have happened; when its batch fails, what it did to names is not known (UNKNOWN) and is asked of nobody: the
 * next who needs the name closes it first, which never fails. A name that is not here is not there.
 * Owner: the server; moves with it. Pure.
 */
#ifndef SESSION_SQL_NAMES_H
#define SESSION_SQL_NAMES_H

#include "base/base.h"
#include "pgw/fingerprint.h"

#define SQL_NAME_BYTES 64 /* PostgreSQL's NAMEDATALEN */

enum sql_name_state {
	SQL_NAME_NONE,
	SQL_NAME_HAS,
	SQL_NAME_GONE,	  /* once its batch succeeds; then NONE */
	SQL_NAME_UNKNOWN, /* it may be there, and be anything */
};

struct sql_names; /* NULL: none */

enum sql_name_state sql_names_state(const struct sql_names *names, const char *name);
bool sql_names_is(const struct sql_names *names, const char *name, struct pgw_hash128 key); /* HAS, and this one */
/* Sent, not settled yet: the server has it (used now), or not any more. */
void sql_names_made(struct sql_names **names, const char *name, struct pgw_hash128 key);
void sql_names_gone(struct sql_names *names, const char *name);
void sql_names_gone_all(struct sql_names *names);
void sql_names_touch(struct sql_names *names, const char *name); /* used now */
/* ReadyForQuery of what was sent, or (failed) it cannot be known. Nulls when nothing is left. */
void sql_names_settle(struct sql_names **names, bool failed);
void sql_names_doubt(struct sql_names *names, const char *name); /* UNKNOWN from now on; NULL: all that are there */
void sql_names_drop(struct sql_names **names, const char *name);
void sql_names_free(struct sql_names **names); /* NULL is fine; nulls */

/* The least recently used one when there are more than max, else NULL. Valid until it is changed. */
const char *sql_names_oldest(const struct sql_names *names, unsigned max);
/* All of them, one behind the other; NULL begins and ends. The one given may be dropped once the next is known. */
const char *sql_names_next(const struct sql_names *names, const char *name);
unsigned sql_names_count(const struct sql_names *names);

/* The client prepares on this server what is not followed: what is not here may be there, and is its own. Until the names are freed. */
void sql_names_set_own(struct sql_names **names, bool own);
bool sql_names_own(const struct sql_names *names);

#endif
