/* SPDX-License-Identifier: ISC */
#include "service/procstat.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#include "record/sample.h"

/* The line of all processors is the first of /proc/stat; meminfo is 1.5 kB. */
#define READ_BYTES 4096u
#define HUNDREDTHS 10000u

/* The columns of /proc/stat's cpu line. Guests' time is in user and nice already. */
enum {
	CPU_USER,
	CPU_NICE,
	CPU_SYSTEM,
	CPU_IDLE,
	CPU_IOWAIT,
	CPU_IRQ,
	CPU_SOFTIRQ,
	CPU_STEAL,
	N_CPU
};

/* ---- parsing ---- */

/* Decimal digits behind blanks. NULL: there are none, or too many. */
static const char *read_number(const char *at, uint64_t *value_r)
{
	char *end;

	at += strspn(at, " \t");
	if (*at < '0' || *at > '9')
		return NULL;
	errno = 0;
	*value_r = strtoull(at, &end, 10);
	return errno == 0 ? end : NULL;
}

bool procstat_parse_cpu(const char *text, struct procstat_cpu *cpu_r)
{
	uint64_t ticks[N_CPU] = { 0 };
	unsigned n = 0;

	if (strncmp(text, "cpu ", 4) != 0)
		return false;
	for (text += 4; n < N_CPU && text != NULL; n += text != NULL)
		text = read_number(text, &ticks[n]);
	if (n <= CPU_IOWAIT)
		return false;
	*cpu_r = (struct procstat_cpu){ .idle = ticks[CPU_IDLE], .iowait = ticks[CPU_IOWAIT] };
	for (unsigned i = 0; i < n; i++)
		cpu_r->total += ticks[i];
	return true;
}

/* The number behind NAME: at the beginning of a line. */
static bool find_field(const char *text, const char *name, uint64_t *value_r)
{
	size_t n = strlen(name);

	while (text) {
		if (strncmp(text, name, n) == 0 && text[n] == ':')
			return read_number(text + n + 1, value_r) != NULL;
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return false;
}

/* part of whole; 128 bits, for the numbers are whatever a file says. */
static uint64_t share(uint64_t part, uint64_t whole)
{
	return (uint64_t)((unsigned __int128)MIN_OF(part, whole) * HUNDREDTHS / whole);
}

uint64_t procstat_parse_memory(const char *text)
{
	uint64_t total, available;

	if (!find_field(text, "MemTotal", &total) || total == 0 ||
		!find_field(text, "MemAvailable", &available))
		return SAMPLE_NULL;
	return HUNDREDTHS - share(available, total);
}

/* The kernel's figures of one tick may go back a little (iowait does): that is none. */
static uint64_t grown(uint64_t before, uint64_t after)
{
	return after > before ? after - before : 0;
}

void procstat_between(const struct procstat_cpu *before, const struct procstat_cpu *after,
	uint64_t *cpu_r, uint64_t *iowait_r)
{
	uint64_t total = grown(before->total, after->total);
	uint64_t iowait = grown(before->iowait, after->iowait);
	uint64_t idle = grown(before->idle, after->idle);

	*cpu_r = *iowait_r = SAMPLE_NULL;
	if (total == 0)
		return;
	*cpu_r = HUNDREDTHS - share(idle + iowait, total);
	*iowait_r = share(iowait, total);
}

/* ---- reading ---- */

void procstat_init(struct procstat *procstat, const char *dir)
{
	memset(procstat, 0, sizeof(*procstat));
	procstat->stat_file = mem_printf("%s/stat", dir);
	procstat->meminfo_file = mem_printf("%s/meminfo", dir);
}

void procstat_release(struct procstat *procstat)
{
	mem_free(procstat->stat_file);
	mem_free(procstat->meminfo_file);
	procstat->stat_file = procstat->meminfo_file = NULL;
}

/* The beginning of a file; "" when it cannot be read. */
static void read_beginning(const char *file, char text[static READ_BYTES])
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, READ_BYTES - 1);

	text[MAX_OF(n, (ssize_t)0)] = '\0';
	if (fd >= 0)
		close(fd);
}

void procstat_read(struct procstat *procstat, uint64_t *cpu_r, uint64_t *memory_r,
	uint64_t *iowait_r)
{
	struct procstat_cpu now;
	char text[READ_BYTES];
	bool has_now;

	*cpu_r = *iowait_r = SAMPLE_NULL;
	read_beginning(procstat->meminfo_file, text);
	*memory_r = procstat_parse_memory(text);
	read_beginning(procstat->stat_file, text);
	has_now = procstat_parse_cpu(text, &now);
	if (has_now && procstat->has_last)
		procstat_between(&procstat->last, &now, cpu_r, iowait_r);
	procstat->has_last = has_now;
	if (has_now)
		procstat->last = now;
}
