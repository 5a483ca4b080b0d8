/* SPDX-License-Identifier: ISC */
#include "stats/histogram.h"

#define SUB_BITS 3u
#define SUB (1u << SUB_BITS)

/* Small values have a bucket each; then the three bits behind the highest one choose. */
static unsigned index_of(uint64_t value)
{
	unsigned shift;

	if (value < SUB)
		return (unsigned)value;
	shift = 63u - (unsigned)__builtin_clzll(value) - SUB_BITS;
	return MIN_OF((shift + 1) * SUB + (unsigned)(value >> shift & (SUB - 1)), HISTOGRAM_BUCKETS - 1);
}

static uint64_t upper_end(unsigned index)
{
	unsigned shift;

	if (index < SUB)
		return index;
	shift = index / SUB - 1;
	return (((uint64_t)SUB + index % SUB + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
	histogram->n++;
	histogram->max = MAX_OF(histogram->max, value);
	histogram->buckets[index_of(value)]++;
}

void histogram_merge(struct histogram *sum, const struct histogram *more)
{
	sum->n += more->n;
	sum->max = MAX_OF(sum->max, more->max);
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		sum->buckets[i] += more->buckets[i];
}

uint64_t histogram_permille(const struct histogram *histogram, unsigned permille)
{
	uint64_t wanted = (histogram->n * permille + 999) / 1000, seen = 0;

	if (histogram->n == 0)
		return 0;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
		seen += histogram->buckets[i];
		if (seen >= MAX_OF(wanted, (uint64_t)1))
			return MIN_OF(upper_end(i), histogram->max);
	}
	return histogram->max;
}
