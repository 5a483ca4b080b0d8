/* SPDX-License-Identifier: ISC */
/*
 * The forwarder's statements: SQL and parameters as text, and what their rows mean. Pure.
 *
 * Notes are leased and their objects read in two statements, never in one: within one, the objects would be those of its snapshot, which may be older than
 * the row that carries the note's number of changes (gen); a change between the two would be taken for delivered.
 */
#ifndef SERVICE_OUTBOX_SQL_H
#define SERVICE_OUTBOX_SQL_H

#include "base/strbuf.h"
#include "config/config.h"

#define OUTBOX_KEY_BYTES 37u
#define OUTBOX_PARAMS_MAX 16u

/* $1 how many, $2 for how long. Columns: lease, entity_type, entity_id, op, organization_id, gen, attempts, age in microseconds. */
extern const char outbox_lease_sql[];
enum { LEASE_LEASE, LEASE_TYPE, LEASE_KEY, LEASE_OP, LEASE_ORGANIZATION, LEASE_GEN, LEASE_ATTEMPTS, LEASE_AGE, LEASE_COLUMNS };

/*
 * The present objects of entities of one type, in the order asked for, as many as max_bytes have room for, the first in any case.
 * $1 type, $2 keys, $3 bytes of all, $4 bytes of one: what is larger comes without its texts.
 */
void outbox_read_sql(struct strbuf *sql, const char *type, const char *vector_column); /* vector_column NULL: none */
enum { READ_KEY, READ_IS_THERE, READ_COLLECTION, READ_ORGANIZATION, READ_PROPERTIES, READ_VECTOR, READ_BYTES, READ_OLD_ORGANIZATION, READ_COLUMNS };

/*
 * The end of notes of one type, in one transaction: delivered ones go and have their metadata, others are put off or die.
 * $1 lease, $2 type; $3 keys and $4 gens of delivered ones; $5 to $7 keys, gens and errors to be tried again, $8 to $10 of those that never will do;
 * of the stored ones $11 keys, $12 ids, $13 dimensions, $14 checksums, $15 milliseconds, $16 organizations. Those of $3 that are not in $11 were deleted.
 * Columns: how many notes went, how many died.
 */
extern const char outbox_finish_sql[];
enum { FINISH_GONE, FINISH_DEAD_TRIED, FINISH_DEAD_PARKED, FINISH_COLUMNS };
#define FINISH_PARAMS 16u
/* Where the metadata cannot be had: $1 to $10 of the same. */
extern const char outbox_finish_only_sql[];
#define FINISH_ONLY_PARAMS 10u
/* Once more for delivered ones that a writer held: $1 to $4. Columns: how many went, how many were still ours before. */
extern const char outbox_done_sql[];
enum { DONE_GONE, DONE_OURS, DONE_COLUMNS };
#define DONE_PARAMS 4u

/* Columns: waiting, leased, failing, dead, age of the oldest in microseconds, the dead by reason. */
extern const char outbox_state_sql[];
enum { STATE_WAITING, STATE_LEASED, STATE_FAILING, STATE_DEAD, STATE_AGE, STATE_REASONS, STATE_COLUMNS };
/* $1 type, $2 key, both may be null. Column: how many. */
extern const char outbox_revive_sql[];

/* One parameter that is an array, built element by element; outbox_array_end() before it is used. */
void outbox_array_add(struct strbuf *array, const char *element); /* NULL: null. Any text */
void outbox_array_end(struct strbuf *array);

/* The collection of a type that nothing is configured for: what ml_vector_objects() calls it. */
char *outbox_collection_of(const char *type) WARN_UNUSED; /* the caller frees it */

#endif
