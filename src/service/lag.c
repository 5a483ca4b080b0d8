/* SPDX-License-Identifier: ISC */
#include "service/lag.h"

static void thin_out(struct lag_past *past)
{
	unsigned i;

	for (i = 0; 2 * i < past->n; i++)
		past->sightings[i] = past->sightings[2 * i];
	past->n = i;
}

void lag_see(struct lag_past *past, uint64_t mono_us, uint64_t position)
{
	if (past->n > 0 && position < past->sightings[past->n - 1].position)
		past->n = 0;
	if (past->n == LAG_SIGHTINGS)
		thin_out(past);
	if (past->n > 0 && past->sightings[past->n - 1].position == position)
		past->sightings[past->n - 1].last_us = mono_us;
	else
		past->sightings[past->n++] = (struct lag_sighting){ mono_us, mono_us, position };
}

/* When the primary was at the position, between two sightings of which only the second is beyond. */
static uint64_t time_between(
	const struct lag_sighting *a, const struct lag_sighting *b, uint64_t position)
{
	double part = (double)(position - a->position) / (double)(b->position - a->position);

	return a->last_us + (uint64_t)(part * (double)(b->first_us - a->last_us));
}

uint64_t lag_of(const struct lag_past *past, uint64_t mono_us, uint64_t position)
{
	uint64_t then_us;
	unsigned i = past->n;

	if (i == 0)
		return LAG_UNKNOWN;
	while (i > 0 && past->sightings[i - 1].position > position)
		i--;
	if (i == 0)
		then_us = past->sightings[0].first_us;
	else if (i == past->n)
		then_us = past->sightings[i - 1].last_us;
	else
		then_us = time_between(
			&past->sightings[i - 1], &past->sightings[i], position);
	return mono_us > then_us ? mono_us - then_us : 0;
}

uint64_t lag_bytes(const struct lag_past *past, uint64_t position)
{
	uint64_t last = past->n > 0 ? past->sightings[past->n - 1].position : 0;

	return last > position ? last - position : 0;
}
