/* SPDX-License-Identifier: ISC */
/*
 * Where statements may go from their lane: hop_to and spill, written as names, become indices; and
 * what makes no sense of them, hop_after and the lanes' limits together is a problem.
 */
#ifndef CONFIG_MOVES_H
#define CONFIG_MOVES_H

#include "config/problems.h"
#include "config/reader.h"

/*
 * Fills hop_lane, spill_lane and spill_below of all lanes. A spill that no file gives holds only
 * where it can: not beside a [pgbouncer] section, nor into a lane smaller than its number.
 */
void moves_resolve(struct config *config, const struct config_entries *entries,
	struct config_problems *problems);

#endif
