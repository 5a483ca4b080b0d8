/* SPDX-License-Identifier: ISC */
/*
 * How far a replica is behind, in time, by its primary's own past: the primary's position in the
 * log is kept with the time at which it was seen there, and the lag of a replica is how long ago the
 * primary was where the replica is now. Clocks of other hosts have no part in it, and a primary that
 * writes nothing is not taken for a lag, as it is by now() - pg_last_xact_replay_timestamp().
 *
 * Between two sightings the log is taken to have grown evenly. The past is bounded: when it is full,
 * every other sighting of it is dropped. Pure.
 */
#ifndef SERVICE_LAG_H
#define SERVICE_LAG_H

#include "base/base.h"

#define LAG_SIGHTINGS 256
#define LAG_UNKNOWN UINT64_MAX

struct lag_sighting {
	uint64_t first_us, last_us; /* when it was seen there, mono */
	uint64_t position;	    /* bytes of log */
};

struct lag_past {
	unsigned n;
	struct lag_sighting sightings[LAG_SIGHTINGS]; /* times and positions rise */
};

/* The primary was seen there. A position that has gone back is another history: it begins anew. */
void lag_see(struct lag_past *past, uint64_t mono_us, uint64_t position);
/*
 * How old what a replica shows may be that has replayed the log up to `position`: the age of the last
 * sighting when it has that one, too. Beyond the past that is kept, at least as long as that is.
 * LAG_UNKNOWN when the primary was never seen.
 */
uint64_t lag_of(const struct lag_past *past, uint64_t mono_us, uint64_t position);
uint64_t lag_bytes(const struct lag_past *past, uint64_t position);

#endif
