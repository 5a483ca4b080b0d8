/* SPDX-License-Identifier: ISC */
/* Time. mono_us never goes back and is for durations; wall_us is microseconds since 1970 UTC. Any
 * thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

uint64_t clock_mono_us(void);
uint64_t clock_wall_us(void);

/* Writes local time as "YYYY-MM-DD HH:MM:SS TZ" (PgBouncer's console format); returns buf. */
#define CLOCK_TEXT_BYTES 40
char *clock_format_local(char buf[static CLOCK_TEXT_BYTES], uint64_t wall_us);

#endif
