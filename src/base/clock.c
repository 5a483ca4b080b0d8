/* SPDX-License-Identifier: ISC */
#include "base/clock.h"

static uint64_t read_us(clockid_t id)
{
	struct timespec ts;

	MUST(clock_gettime(id, &ts) == 0);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_wall_us(void)
{
	return read_us(CLOCK_REALTIME);
}

char *clock_format_local(char buf[static CLOCK_TEXT_BYTES], uint64_t wall_us)
{
	time_t seconds = (time_t)(wall_us / 1000000u);
	struct tm tm;

	if (localtime_r(&seconds, &tm) == NULL ||
		strftime(buf, CLOCK_TEXT_BYTES, "%Y-%m-%d %H:%M:%S %Z", &tm) == 0)
		buf[0] = '\0';
	return buf;
}
