/* SPDX-License-Identifier: ISC */
/*
 * How busy the machine is, from /proc/stat and /proc/meminfo. Parsing is pure: text in, numbers
 * out. Percentages are in hundredths, 0 to 10000; SAMPLE_NULL where the kernel does not say.
 */
#ifndef SERVICE_PROCSTAT_H
#define SERVICE_PROCSTAT_H

#include "base/base.h"

/* Ticks of all processors since boot. */
struct procstat_cpu {
	uint64_t total, idle, iowait;
};

/* false: not /proc/stat, or one too old to tell idle from waiting. */
bool procstat_parse_cpu(const char *text, struct procstat_cpu *cpu_r) WARN_UNUSED;
/* Of /proc/meminfo: what is not available to programs. SAMPLE_NULL when it does not say. */
uint64_t procstat_parse_memory(const char *text) WARN_UNUSED;
/* Between two readings: busy is neither idle nor waiting for I/O. NULL when no tick passed. */
void procstat_between(const struct procstat_cpu *before, const struct procstat_cpu *after,
	uint64_t *cpu_r, uint64_t *iowait_r);

struct procstat {
	char *stat_file, *meminfo_file;
	bool has_last;
	struct procstat_cpu last;
};

void procstat_init(struct procstat *procstat, const char *dir); /* "/proc" */
void procstat_release(struct procstat *procstat);
/* Since the last call; the first one has no CPU figures. What cannot be read is SAMPLE_NULL. */
void procstat_read(struct procstat *procstat, uint64_t *cpu_r, uint64_t *memory_r,
	uint64_t *iowait_r);

#endif
