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
/* value NULL removes. false: too many, or too long. Strings are copied. */
bool param_list_set(struct param_list *list, const char *name, const char *value) WARN_UNUSED;

struct param_set *param_set_intern(const struct param_list *list); /* a new reference */
struct param_set *param_set_ref(struct param_set *set);
void param_set_unref(struct param_set **set); /* NULL is fine; nulls */
const char *param_set_get(
	const struct param_set *set, const char *name); /* NULL: not in it; set NULL: empty */
struct param_set *param_set_with(
	const struct param_set *set, const char *name, const char *value); /* a new reference */

/* Appends the SQL that turns a session with `from` into one with `to`; both may be NULL (empty).
 * Nothing when they agree. */
void param_set_difference(
	const struct param_set *from, const struct param_set *to, struct strbuf *sql);

/* Is it a parameter that only the server decides (server_version …)? Those are shown to clients,
 * never set. */
bool param_is_server_fact(const char *name);

#endif
