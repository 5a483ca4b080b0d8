/* SPDX-License-Identifier: ISC */
/*
 * The one table of configuration keys. Reading, SHOW CONFIG, SET, what a reload may change, copying
 * and freeing a snapshot, conf/pglane.ini and the manual's tables all come from it: a key is added
 * by adding its row. Immutable; any thread.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "config/values.h"

/* Which struct a row's offset is into, and in which section its key is written. */
enum schema_scope {
	SCHEMA_MAIN,	 /* [pglane] or [pgbouncer]; struct config */
	SCHEMA_DATABASE, /* the connection strings of [databases]; struct config_database */
	SCHEMA_USER,	 /* those of [users]; struct config_user */
	SCHEMA_PEER,	 /* those of [peers]; no struct */
	SCHEMA_LANE,	 /* [lane:NAME]; struct config_lane */
	SCHEMA_ENTITY,	 /* [entity:TYPE]; struct config_entity */
	SCHEMA_COLLECTION, /* [collection:NAME]; struct config_collection */
};

/* The chapters of the manual, in their order. */
enum schema_group {
	GROUP_LISTEN,
	GROUP_PROCESS,
	GROUP_AUTH,
	GROUP_CLIENTS,
	GROUP_POOLING,
	GROUP_LANES,
	GROUP_SERVERS,
	GROUP_TIMEOUTS,
	GROUP_LOG,
	GROUP_CLIENT_TLS,
	GROUP_SERVER_TLS,
	GROUP_PROTOCOL,
	GROUP_TCP,
	GROUP_METRICS,
	GROUP_WEAVIATE,
	GROUP_CATALOG,
	GROUP_ACCEPTED,
	N_GROUPS
};

#define SCHEMA_BOOT (1u << 0)	  /* needs a restart */
#define SCHEMA_ACCEPTED (1u << 1) /* PgBouncer's, checked and shown, without effect: no field */
#define SCHEMA_SECRET (1u << 2)	  /* shown as **** */
#define SCHEMA_MUST_BE_OFF                                                                         \
	(1u << 3) /* accepted as long as it is 0: its protection would be lost silently */
#define SCHEMA_PATH                                                                                \
	(1u << 4) /* a file that must be there: relative names are looked for beside the           \
		     configuration */

struct schema_row {
	const char *key;
	enum schema_group group;
	struct value_type type;
	size_t offset;
	const char *field;		/* its name, for the check that nobody ignores it; NULL when
					   SCHEMA_ACCEPTED */
	const char *fallback;		/* default; NULL: inherits, or stays empty */
	const char *fallback_pgbouncer; /* default once a [pgbouncer] section was read; NULL: the
					   same */
	unsigned flags;
	const char *doc;
};

struct schema {
	const struct schema_row *rows; /* alphabetical */
	unsigned n_rows;
	size_t object_bytes; /* of the struct the offsets are into; 0: none */
};

const struct schema *schema_of(enum schema_scope scope);
const struct schema_row *schema_find(enum schema_scope scope, const char *key); /* NULL: none */
const char *schema_nearest(
	enum schema_scope scope, const char *key); /* a known key that looks like it, or NULL */
const char *schema_nearest_word(
	const char *const *words, const char *word); /* the same over a NULL-terminated list */
const char *schema_default(const struct schema_row *row, bool pgbouncer);

/* The field of an object of the row's scope. The object's type is the caller's knowledge. */
void *schema_field(const struct schema_row *row, void *object);
const void *schema_field_const(const struct schema_row *row, const void *object);

/* All fields of an object of the scope at once. */
void schema_set_defaults(enum schema_scope scope, void *object, bool pgbouncer);
void schema_copy_fields(enum schema_scope scope, void *to,
	const void *from); /* pointers in `to` are overwritten, not freed */
void schema_release_fields(enum schema_scope scope, void *object);

#endif
