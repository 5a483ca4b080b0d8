/* SPDX-License-Identifier: ISC */
#include "stats/stats.h"

void pool_stats_add(struct pool_stats *sum, const struct pool_stats *more)
{
#define POOL_STATS_ADD(name, help) sum->name += STAT_READ(more->name);
	POOL_STATS(POOL_STATS_ADD)
#undef POOL_STATS_ADD
}

void class_stats_add(struct class_stats *sum, const struct class_stats *more)
{
	uint64_t max_us = STAT_READ(more->max_us), earlier_us = STAT_READ(more->earlier_max_us);

	sum->n_statements += STAT_READ(more->n_statements);
	sum->total_us += STAT_READ(more->total_us);
	sum->max_us = MAX_OF(sum->max_us, max_us);
	sum->earlier_max_us = MAX_OF(sum->earlier_max_us, earlier_us);
	sum->n_slow += STAT_READ(more->n_slow);
	sum->n_errors += STAT_READ(more->n_errors);
	sum->n_lane_timeouts += STAT_READ(more->n_lane_timeouts);
	sum->n_hops += STAT_READ(more->n_hops);
	sum->n_denied += STAT_READ(more->n_denied);
}

void class_stats_take_max(struct class_stats *stats)
{
	/* In this order a reader finds the maximum in both rather than in neither. */
	STAT_SET(stats->earlier_max_us, class_stats_max_us(stats));
	STAT_SET(stats->max_us, 0);
}

uint64_t class_stats_max_us(const struct class_stats *sum)
{
	return MAX_OF(sum->max_us, sum->earlier_max_us);
}
