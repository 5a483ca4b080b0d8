/* SPDX-License-Identifier: ISC */
/*
 * Sets of run-time parameters. A set is immutable and interned: equal sets are the same pointer, so
 * that "does this server have what this client wants?" is one comparison on the data path. A
 * server's set says what its session has beyond the defaults of its role; a client's says what it
 * must find. The difference is SQL, sent ahead of the client's statement. Threads: any; the intern
 * table has its mutex, counts are atomic.
 */
#ifndef SESSION_PARAMS_H
#define SESSION_PARAMS_H

#include "base/base.h"
#include "base/strbuf.h"
#include "pgw/fingerprint.h"

#define PARAMS_MAX 64		    /* parameters in one set */
#define PARAMS_VALUE_MAX_BYTES 4096 /* one value */

struct param {
	const char *name; /* as first written; compared without case */
	const char *value;
	/* Of the bytes of both; NULL when they are ASCII, or nobody knows. */
	const char *encoding;
};

struct param_set {
	struct param_set *next; /* in its bucket; guarded by the table's mutex */
	struct pgw_hash128 hash;
	/* Keyed: of all that can change what the text of a statement means to the parser. What is known to change nothing is left out. */
	struct pgw_hash128 meaning;
	int refs;		      /* guarded by the table's mutex when it falls */
	const char *application_name; /* "" when it is not in the set */
	const char *class_name;	      /* pglane.class; NULL when it is not in the set */
	bool backslash_escapes;	      /* standard_conforming_strings is off */
	unsigned n;
	struct param items[]; /* sorted by name */
};

/* A set being made: plain memory of the caller. */
struct param_list {
	unsigned n;
	struct param items[PARAMS_MAX];
	struct strbuf text; /* of the items; released by param_list_release() */
};

void param_list_init(struct param_list *list, const struct param_set *from); /* from: may be NULL */
void param_list_release(struct param_list *list);
/*
 * value NULL removes. false: too many, or too long. Strings are copied. What is not ASCII is in the client_encoding that the list has by then: so a
 * value means the same characters wherever it is set again, whatever becomes of client_encoding.
 */
bool param_list_set(struct param_list *list, const char *name, const char *value) WARN_UNUSED;
/* The same of what is in this encoding. Short, borrowed for the call; NULL: not known. */
bool param_list_set_in(struct param_list *list, const char *name, const char *value, const char *encoding) WARN_UNUSED;

struct param_set *param_set_intern(const struct param_list *list); /* a new reference */
struct param_set *param_set_ref(struct param_set *set);
void param_set_unref(struct param_set **set); /* NULL is fine; nulls */
const char *param_set_get(
	const struct param_set *set, const char *name); /* NULL: not in it; set NULL: empty */
const struct param *param_set_find(const struct param_set *set, const char *name); /* the same */
struct param_set *param_set_with(
	const struct param_set *set, const char *name, const char *value); /* a new reference */
struct param_set *param_set_with_param(const struct param_set *set, const struct param *param); /* the same */

/* Appends the SQL that turns a session with `from` into one with `to`; both may be NULL (empty).
 * Nothing when they agree. */
void param_set_difference(
	const struct param_set *from, const struct param_set *to, struct strbuf *sql);
/* Is it ASCII? */
bool param_is_ascii(const char *s);
/* Appends an expression in ASCII that is this text, which is in this encoding (NULL: in that of the session). */
void param_add_text(struct strbuf *sql, const char *text, const char *encoding);
/* Appends a call of set_config() in ASCII, whatever the parameter is. is_local: for the transaction. */
void param_add_call(struct strbuf *sql, const struct param *param, bool is_local);

/* Is it a parameter that only the server decides (server_version …)? Those are shown to clients,
 * never set. */
bool param_is_server_fact(const char *name);

#endif
