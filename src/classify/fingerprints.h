/* SPDX-License-Identifier: ISC */
/*
 * Statistics of statements, by fingerprint, user and database: how often it ran, what it returned, how long it took, what became of it. A table is
 * bounded by a number of entries, of which the least recently used goes first, and an entry by the lengths below.
 * Threads: a table belongs to one worker; others read by visiting it, and add up.
 */
#ifndef CLASSIFY_FINGERPRINTS_H
#define CLASSIFY_FINGERPRINTS_H

#include "base/list.h"
#include "classify/classify.h"
#include "pgw/sqllex.h"

#define FINGERPRINT_TEXT_BYTES 1024u /* of a statement without its constants, with NUL */
#define FINGERPRINT_NAME_BYTES 64u   /* of a user or database, with NUL */
#define FINGERPRINT_ID_BYTES 17u     /* 16 hex digits and NUL */

/* X(field, name, below us): how many runs took less than that, and not less than the one before. */
#define FINGERPRINT_TIMES(X)                                                                       \
	X(LT_1MS, "lt_1ms", UINT64_C(1000))                                                        \
	X(LT_10MS, "lt_10ms", UINT64_C(10000))                                                     \
	X(LT_100MS, "lt_100ms", UINT64_C(100000))                                                  \
	X(LT_1S, "lt_1s", UINT64_C(1000000))                                                       \
	X(LT_10S, "lt_10s", UINT64_C(10000000))                                                    \
	X(GE_10S, "ge_10s", UINT64_MAX)

enum fingerprint_time {
#define FINGERPRINT_TIME_ENUM(field, name, below) FINGERPRINT_TIME_##field,
	FINGERPRINT_TIMES(FINGERPRINT_TIME_ENUM)
#undef FINGERPRINT_TIME_ENUM
	N_FINGERPRINT_TIMES
};

struct fingerprint_counts {
	uint64_t n_calls, n_rows, n_bytes, total_us, max_us;
	uint64_t n_hops, n_timeouts, n_errors; /* timeouts are errors, too */
	uint64_t times[N_FINGERPRINT_TIMES];
};

/* One run that is over. */
struct fingerprint_run {
	uint64_t n_rows;     /* returned or affected */
	uint64_t n_returned; /* rows, and pieces of COPY data, that went to the client */
	uint64_t n_bytes;    /* of those, with their headers */
	uint64_t began_us, took_us;
	bool hopped, timed_out, failed;
};

struct fingerprint {
	struct fingerprint *next; /* in its bucket */
	TAILQ_ENTRY(fingerprint) link; /* of table->used */
	struct pgw_hash128 key;
	struct pgw_hash128 print;
	uint64_t used_us; /* mono, of the last decision */
	struct fingerprint_counts counts;
	uint64_t lesson_epoch; /* learned.h: `lesson` was read then */
	uint8_t lesson;	       /* enum lesson */
	uint8_t class, source; /* of the last decision: enum query_class, enum class_source */
	const char *database, *user, *text; /* behind it */
	char texts[];
};

struct fingerprints {
	struct fingerprint **buckets; /* NULL until the first */
	uint32_t n_buckets;	      /* a power of two */
	uint32_t n, max;
	uint64_t secret; /* so that nobody can choose what falls into one bucket */
	TAILQ_HEAD(fingerprint_list, fingerprint) used; /* most recently first */
};

void fingerprints_init(struct fingerprints *table);
void fingerprints_release(struct fingerprints *table); /* empty, and usable again */
void fingerprints_limit(struct fingerprints *table, uint32_t max); /* those beyond it go */
/* NULL: it is not there. touch: the one that was used last is this one. */
struct fingerprint *fingerprints_find(const struct fingerprints *table, struct pgw_hash128 key);
struct fingerprint *fingerprints_touch(struct fingerprints *table, struct pgw_hash128 key);
/* MUST not be there. The least recently used makes room. lexer: on the statement's text. NULL: max is 0. */
struct fingerprint *fingerprints_add(struct fingerprints *table, struct pgw_hash128 key, struct pgw_hash128 print, const char *database,
	const char *user, struct pgw_lexer lexer);
/* Adds what another table has of the statement; the later decision holds. Without regard to max. */
void fingerprints_merge(struct fingerprints *table, const struct fingerprint *from);
void fingerprints_drop(struct fingerprints *table, struct fingerprint *entry);
uint64_t fingerprints_bytes(const struct fingerprints *table);

void fingerprint_count(struct fingerprint_counts *counts, const struct fingerprint_run *run);
void fingerprint_counts_add(struct fingerprint_counts *sum, const struct fingerprint_counts *more);

/* The statement of a pool: `pool` is a secret hash of database and user. */
static inline struct pgw_hash128 fingerprint_key(struct pgw_hash128 print, struct pgw_hash128 pool)
{
	return (struct pgw_hash128){print.lo ^ pool.lo, print.hi ^ pool.hi};
}
/* What the console calls it: the first half of the fingerprint. */
static inline uint64_t fingerprint_id(struct pgw_hash128 print)
{
	return print.hi;
}
void fingerprint_id_text(struct pgw_hash128 print, char text[static FINGERPRINT_ID_BYTES]);
bool fingerprint_id_parse(const char *text, uint64_t *id_r);

#endif
