/* SPDX-License-Identifier: ISC */
/*
 * Protocol-level prepared statements in transaction pooling. A statement is its text, its parameter
 * types and what the settings of the session make of them: at Parse PostgreSQL reads constants (by
 * TimeZone, DateStyle, client_encoding …) and finds the types of parameters (by search_path), and
 * keeps both. Its name on servers is derived from the hash of all three, so that any server's copy
 * serves any client that means the same. Each worker interns the texts its clients hold; a client maps its names to them; a server
 * remembers by hash what it has, least recently used first to go.
 * Threads: the table and the clients' maps belong to one worker; a server's set moves with the
 * server.
 */
#ifndef SESSION_STATEMENTS_H
#define SESSION_STATEMENTS_H

#include "base/base.h"
#include "base/list.h"
#include "classify/classify.h"
#include "pgw/messages.h"

#define STATEMENT_NAME_PREFIX "pglane_"
#define STATEMENT_NAME_BYTES 40 /* the prefix, 32 hex digits, and NUL */

/* What classify() said at Parse, kept for every execution as long as what it was asked with holds:
 * texts are the settings'. */
struct statement_route {
	uint8_t class;
	uint8_t priority;
	uint8_t kind;
	uint8_t lane; /* if has_lane */
	bool has_lane; /* a rule's, not that of the class */
	bool annotated; /* its class comes from an annotation */
	uint8_t actions; /* enum annotation_action */
	uint8_t source; /* enum class_source */
	uint8_t counted; /* enum counted; NOT while workload_detection is off */
	bool declares;	/* a cursor */
	uint8_t change, changed_class; /* enum class_change */
	uint32_t effects;
	uint32_t timeout_ms; /* a rule's; 0: the lane's */
	const char *deny, *deny_rule, *log_rule;
	/* classify() was asked with these; settings 0: never */
	uint8_t xact_class;
	bool bad_class; /* if change: as in struct classify_result */
	uint8_t reads; /* enum reads; READS_NOT while no lane has target = replica */
	uint64_t settings, pool;
	int64_t now_s; /* 0: no rule asks for the time */
	struct pgw_hash128 params;
	struct pgw_hash128 print; /* its fingerprint, where it is counted, or sequence.h needed it; 0: not known */
};

struct statement {
	struct statement *next; /* in its bucket */
	struct pgw_hash128 hash;
	struct pgw_hash128 meaning; /* of the settings; see client_meaning() */
	uint32_t refs;
	uint32_t n_query; /* with NUL */
	uint32_t n_types;
	bool writes; /* a replica refused it */
	bool of_sql; /* the text is a PREPARE, see sql_prepared.h; else it is that of a Parse */
	struct statement_route route;
	char name[STATEMENT_NAME_BYTES]; /* on servers: statement_name() of its hash */
	char text[];			 /* query, NUL, types */
};

struct statement_table {
	struct statement **buckets;
	uint32_t n_buckets; /* a power of two */
	uint32_t n;
	uint64_t n_bytes;
};

void statement_table_init(struct statement_table *table);
void statement_table_release(struct statement_table *table); /* MUST be empty */
/* The statement of a Parse under settings of this meaning: a new reference. */
struct statement *statement_intern(struct statement_table *table, const struct pgw_parse *parse,
	struct pgw_hash128 meaning);
/* The statement that a PREPARE makes (of_sql): a new reference. Where a Parse has types it has the settings under which its text
 * was read, n_types of four bytes. Another one than a Parse of that text. */
struct statement *statement_intern_sql(struct statement_table *table, const struct pgw_parse *parse);
/* The same text and types under settings of another meaning: a new reference. */
struct statement *statement_meaning(struct statement_table *table,
	const struct statement *statement, struct pgw_hash128 meaning);
void statement_unref(
	struct statement_table *table, struct statement **statement); /* NULL is fine; nulls */
static inline size_t statement_bytes(const struct statement *s)
{
	return sizeof(*s) + s->n_query + 4u * s->n_types;
}
static inline const uint8_t *statement_types(const struct statement *s)
{
	return (const uint8_t *)s->text + s->n_query;
}
void statement_name(struct pgw_hash128 hash, char out[static STATEMENT_NAME_BYTES]);

/* ---- a client's names ---- */

struct client_names; /* NULL until the first named statement */
struct statement *client_names_find(const struct client_names *names, const char *name);
/* Takes over the reference. MUST not exist yet. */
void client_names_add(struct client_names **names, const char *name, struct statement *statement);
/* The name MUST be there; it means this statement from now on, the same text and types under other
 * settings. Takes over the reference. */
void client_names_change(struct client_names *names, struct statement_table *table,
	const char *name, struct statement *statement);
/* Forgets it; false when it is not there. */
bool client_names_drop(
	struct client_names **names, struct statement_table *table, const char *name);
/* Forgets it; a reference of the caller's own, NULL when it is not there. */
struct statement *client_names_take(
	struct client_names **names, struct statement_table *table, const char *name);
/* One of them, whichever; NULL: there is none. Valid until it is dropped. */
const char *client_names_any(const struct client_names *names);
void client_names_clear(struct client_names **names, struct statement_table *table);
uint64_t client_names_bytes(const struct client_names *names);
unsigned client_names_count(const struct client_names *names);

/* ---- a server's copies ---- */

struct server_copy;
struct server_copies {
	struct server_copy *table;
};
bool server_copies_has(const struct server_copies *copies, struct pgw_hash128 hash);
/* Marks it used now. false: the server does not have it. */
bool server_copies_touch(struct server_copies *copies, struct pgw_hash128 hash);
void server_copies_add(struct server_copies *copies, struct pgw_hash128 hash); /* used now */
void server_copies_drop(struct server_copies *copies, struct pgw_hash128 hash);
/* The least recently used one when there are more than max: removed from the set, to be closed on
 * the server. */
bool server_copies_evict(struct server_copies *copies, unsigned max, struct pgw_hash128 *hash_r);
unsigned server_copies_count(const struct server_copies *copies);
void server_copies_clear(struct server_copies *copies);
void server_copies_move(struct server_copies *to, struct server_copies *from); /* what was in `to` is forgotten */

#endif
