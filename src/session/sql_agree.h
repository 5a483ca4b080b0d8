/* SPDX-License-Identifier: ISC */
/*
 * A server is made to agree with its client about names of prepared statements (sql_prepared.h), ahead of what names them: what it has
 * of a name is closed, and what the client has is prepared there, in the same send and without a Sync. Names here are ASCII, and not ours.
 *
 * A name is either followed (it is among its client's) or its server's own (sql_names_own()), never both: so what a client has may be
 * closed and prepared anew at any time, and what it has not is left alone where it may be its server's own.
 * Owner: the worker.
 */
#ifndef SESSION_SQL_AGREE_H
#define SESSION_SQL_AGREE_H

#include "classify/prepared.h"
#include "session/client.h"

bool sql_agree_is_ours(const char *name); /* such are the names of copies on servers */
/* A protocol name may be anything: can it be one that a server knows by itself? */
bool sql_agree_is_plain(const char *name);

/* About the one name of a use. amid: the unnamed statement and portal may still be wanted. */
void sql_agree(struct client *client, const struct prepared_use *use, bool amid);
/* It has this statement of the client's. */
void sql_agree_on(struct client *client, struct server *server, const char *name, const struct statement *statement, bool amid);
/* It has one, whatever it is of: nobody will run it. */
void sql_agree_on_some(struct server *server, const char *name);
/* It has none. */
void sql_agree_close(struct server *server, const char *name);
/* Closes the least recently used beyond what a server keeps, but not the n_named used last. */
void sql_agree_evict(struct server *server, unsigned n_named);
/* A server is linked, nothing is expected of it: it loses what its client has not. */
void sql_agree_linked(struct client *client, struct server *server);
/* ReadyForQuery, once its client's names are as they were left. Only where server->sql_names is not NULL. */
void sql_agree_settle(struct server *server, bool failed);
/* It has none at all; but whether names are its own stays: more may be prepared behind that, in one string. */
void sql_agree_forget(struct server *server);
/* What the server has of the name is not known any more; NULL: of all. */
void sql_agree_doubt(struct server *server, const char *name);

/* What the text means now: with that of another moment it is another statement. */
struct pgw_hash128 sql_agree_key(const struct client *client, const struct statement *statement);
struct strbuf;
/* Appends the settings under which PostgreSQL reads a text: name, NUL, value, NUL, …; filled up with NULs to words of four bytes. */
void sql_agree_add_reading(const struct client *client, struct strbuf *out);

#endif
