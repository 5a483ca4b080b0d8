/* SPDX-License-Identifier: ISC */
/*
 * What a statement leaves behind in its server's session, in transaction and statement pooling. A
 * plain SET or RESET outside a transaction becomes part of the client's parameters, so that it
 * finds its value on whichever server comes next and nobody else does; RESET goes back to what the
 * client logged in with. Everything else that would
 * outlast the transaction (SET inside one, SET ROLE, LISTEN, temporary tables, session advisory
 * locks, LOAD, cursors WITH HOLD, a PREPARE that sql_prepared.h cannot follow) taints the server: its client keeps it (pin.h), and it is
 * reset with server_reset_query before it serves anybody else.
 *
 * pglane.class alone is also followed inside transactions, by what the server says: SET LOCAL holds
 * up to ReadyForQuery outside of one; so does SET, which the session keeps unless the end was
 * ROLLBACK (the tag of COMMIT, too, when the transaction had failed). ROLLBACK TO SAVEPOINT does not
 * take it back.
 */
#ifndef SESSION_SETTING_H
#define SESSION_SETTING_H

#include "session/client.h"

/* The client's server is about to run the statement. */
void setting_note(struct client *client, const struct statement_route *route, const char *sql,
	size_t n);
/* ReadyForQuery of it came. */
void setting_settled(struct client *client, bool failed);
/* CommandComplete of the extended protocol came, while what was bound is not settled: of a SET? n with the NUL. */
void setting_ran(struct client *client, const uint8_t *tag, size_t n);
/* A parameter that it connected with has been reset: setting_take_resets() gives the client its login's value, which the server has not. */
void setting_was_reset(struct client *client, const char *name);
void setting_take_resets(struct client *client, const struct server *server);
/* What the batch under way has reset does not matter any more. */
void setting_forget_resets(struct client *client);
/* Its transaction is over: its statements mean what the settings of the session make of them, unless its server keeps some that nobody can name. */
void setting_meaning_ends(struct client *client);
/* The class that the session, or its transaction by SET [LOCAL], asks for. false: none. */
bool setting_class(const struct client *client, enum query_class *class_r);
/* CommandComplete came while a SET pglane.class of the transaction is open. n with the NUL. */
void setting_tag(struct client *client, const uint8_t *tag, size_t n);
/* "SET name TO value", "RESET name": fills name and value; *reset_r for RESET and DEFAULT.
 * backslash_escapes: standard_conforming_strings is off. false: any other form. Pure. */
bool setting_parse(const char *sql, size_t n, bool backslash_escapes, struct strbuf *name,
	struct strbuf *value, bool *reset_r);

#endif
