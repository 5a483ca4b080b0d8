/* SPDX-License-Identifier: ISC */
/*
 * How times are spread: eight buckets for each doubling, so that a percentile is right to an eighth. Plain memory of one thread; zeroed is empty.
 */
#ifndef STATS_HISTOGRAM_H
#define STATS_HISTOGRAM_H

#include "base/base.h"

#define HISTOGRAM_BUCKETS 336u

struct histogram {
	uint64_t n;
	uint64_t max; /* exact */
	uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value); /* above 2^43 is counted there: three months in microseconds */
void histogram_merge(struct histogram *sum, const struct histogram *more);
/* The value that permille of all are not above: the upper end of its bucket, never above max; 0 when there are none. */
uint64_t histogram_permille(const struct histogram *histogram, unsigned permille);

#endif
