/* SPDX-License-Identifier: ISC */
/*
 * What Postgres knows of entities at one instant: how the object of each shall be, whether a note of
 * it waits, and whether something was delivered of it since a given time. Owner: the caller.
 */
#ifndef TOOLS_LOOKUP_H
#define TOOLS_LOOKUP_H

#include "tools/tool.h"

struct lookup_row {
	bool exists;
	bool is_pending; /* a note waits */
	bool is_touched; /* its metadata changed since */
	cJSON *properties;
	cJSON *vector;	    /* NULL: none, or Weaviate makes it */
	char *organization; /* NULL: none */
	char *dead;	    /* why it was given up; NULL: it was not */
	char *vector_id;    /* of ml_vector_metadata; NULL: it is not recorded there */
	bool has_other_checksum; /* recorded, of something else than properties and vector */
};

struct lookup {
	struct lookup_row *rows; /* one for each key, in their order */
	unsigned n;
};

/* The database's clock, for `since`. NULL: told. The caller frees. */
char *lookup_clock(struct tool *tool);
/* keys: uuids. false: told. */
bool lookup_read(struct lookup *lookup, struct tool *tool, const struct tool_type *type, unsigned n,
	const char *const *keys, const char *since) WARN_UNUSED;
void lookup_release(struct lookup *lookup);

/* The next ids of the type's entities behind `after`, in order. NULL: told. */
PGresult *lookup_keys(struct tool *tool, const struct tool_type *type, const char *after, unsigned limit);
bool lookup_count(struct tool *tool, const struct tool_type *type, uint64_t *n_r) WARN_UNUSED;

/* Appends {a,b,NULL} of uuids or names that need no quotes. */
void lookup_add_array(struct strbuf *out, unsigned n, const char *const *items);

#endif
