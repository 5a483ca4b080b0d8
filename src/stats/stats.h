/* SPDX-License-Identifier: ISC */
/*
 * Counters. Each block is written by one worker only, with STAT_ADD; other threads read it with
 * STAT_READ (relaxed: a counter may be a moment old, never torn). Merging is addition. Times are
 * microseconds.
 */
#ifndef STATS_STATS_H
#define STATS_STATS_H

#include "base/base.h"

#define STAT_ADD(field, n) __atomic_store_n(&(field), (field) + (n), __ATOMIC_RELAXED)
#define STAT_SET(field, n) __atomic_store_n(&(field), (n), __ATOMIC_RELAXED)
#define STAT_READ(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)

/* X(name, help): the totals of one pool, in the order of SHOW STATS_TOTALS. */
#define POOL_STATS(X)                                                                              \
	X(server_assignment_count, "times a server was linked to a client")                        \
	X(xact_count, "transactions")                                                              \
	X(query_count, "statements")                                                               \
	X(received, "bytes read from clients")                                                     \
	X(sent, "bytes sent to clients")                                                           \
	X(xact_time, "time in transactions")                                                       \
	X(query_time, "time in statements")                                                        \
	X(wait_time, "time clients waited for a server")                                           \
	X(client_parse_count, "Parse messages from clients")                                       \
	X(server_parse_count, "Parse messages to servers")                                         \
	X(bind_count, "Bind messages")                                                             \
	X(client_login_count, "logins")

struct pool_stats {
#define POOL_STATS_FIELD(name, help) uint64_t name;
	POOL_STATS(POOL_STATS_FIELD)
#undef POOL_STATS_FIELD
};

#define POOL_STATS_N 12u

/* Per class and worker. */
struct class_stats {
	uint64_t n_statements;
	uint64_t total_us;
	uint64_t max_us; /* since the sampler last took it */
	uint64_t n_slow;   /* at or above slow_query_threshold */
	uint64_t n_errors; /* ErrorResponse from the server */
	uint64_t n_lane_timeouts;
	uint64_t n_hops;
	uint64_t n_denied; /* by a rule; they are no statements */
	uint64_t earlier_max_us; /* of all the time before */
};

void pool_stats_add(
	struct pool_stats *sum, const struct pool_stats *more); /* reads `more` with STAT_READ */
void class_stats_add(struct class_stats *sum, const struct class_stats *more);
/* A new period of max_us begins. On the thread that writes them. */
void class_stats_take_max(struct class_stats *stats);
/* Since the start, as the other members. */
uint64_t class_stats_max_us(const struct class_stats *sum);

#endif
