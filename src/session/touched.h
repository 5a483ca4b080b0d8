/* SPDX-License-Identifier: ISC */
/*
 * Which run-time parameters a text sets for its session, by their names: whatever form it uses (SET, RESET, SET ROLE, SET TIME
 * ZONE, set_config()), among however many statements. Only the server knows to which values, and whether a rollback takes them
 * back: it is asked when the transaction is over (pin.h). Pure.
 * Source: PostgreSQL manual, SET, RESET, DISCARD, SET ROLE, SET SESSION AUTHORIZATION, SET TRANSACTION.
 */
#ifndef SESSION_TOUCHED_H
#define SESSION_TOUCHED_H

#include "base/base.h"
#include "base/strbuf.h"

#define TOUCHED_MAX 64u /* names; as many as a set of parameters may have */

struct touched {
	struct strbuf names; /* each with its NUL, in no order, each once */
	unsigned n;
	bool all;     /* RESET ALL, DISCARD ALL: every one that was set */
	bool listed;  /* set_config(name, …) FROM pg_settings: some of those that are listed there */
	bool ignored; /* some that leave nothing */
	bool unknown; /* some that cannot be named: set_config($1, …), names that are not ASCII, or too many */
};

void touched_init(struct touched *touched);
void touched_release(struct touched *touched);
/* Adds those of the text. backslash_escapes: standard_conforming_strings is off. */
void touched_add_text(struct touched *touched, const char *sql, size_t n, bool backslash_escapes);
/* transaction_isolation and the like: they are of the transaction, and leave nothing. */
bool touched_is_of_transaction(const char *name);
/*
 * A value that must not go to another server: temp_buffers, which no server takes that has used temporary tables, and a
 * search_path with pg_temp, by which CREATE TABLE makes one without saying so.
 */
bool touched_is_of_one_server(const char *name, const char *value);
/* What SET makes of it hangs on the value before it, which it keeps a part of (check_datestyle()). */
bool touched_is_relative(const char *name, const char *value);
void touched_add(struct touched *touched, const char *name);
bool touched_has(const struct touched *touched, const char *name); /* by its name; compared without case */
void touched_remove(struct touched *touched, const char *name);
static inline bool touched_any(const struct touched *touched)
{
	return touched->n > 0 || touched->all || touched->listed;
}
/* The name that begins at `at` of names.data; the next begins behind its NUL. */
#define TOUCHED_FOREACH(name, touched)                                                             \
	for (const char *name = (touched)->names.data;                                             \
		name < (touched)->names.data + (touched)->names.len; name += strlen(name) + 1)

#endif
