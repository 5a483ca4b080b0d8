/* SPDX-License-Identifier: ISC */
/* The machine's figures from the kernel's texts: good ones, old ones, broken ones, none. */
#include "service/procstat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "record/sample.h"

static void cpu_line_is_parsed(void **state)
{
	struct procstat_cpu cpu;

	assert_true(procstat_parse_cpu("cpu  10 20 30 400 50 6 7 8 1000 2000\n"
				       "cpu0 1 2 3 4 5 6 7 8 9 10\nintr 99\n",
		&cpu));
	/* Guests' time (the last two) is in user and nice already. */
	assert_int_equal(cpu.total, 10 + 20 + 30 + 400 + 50 + 6 + 7 + 8);
	assert_int_equal(cpu.idle, 400);
	assert_int_equal(cpu.iowait, 50);
}

static void fewer_columns_are_enough(void **state)
{
	struct procstat_cpu cpu;

	assert_true(procstat_parse_cpu("cpu 1 2 3 4 5\n", &cpu));
	assert_int_equal(cpu.total, 15);
	assert_int_equal(cpu.iowait, 5);
}

static void not_a_cpu_line(void **state)
{
	static const char *const texts[] = {
		"", "cpu", "cpu ", "cpu  \n", "cpu0 1 2 3 4 5 6 7 8\n", "cpu 1 2 3 4\n", "cpu 1 2 3 4 x\n",
		"cpu 1 2 3 4 -5\n", "cpu 1 2 3 4 99999999999999999999999\n", "intr 1 2 3 4 5 6 7 8\n",
		"\ncpu 1 2 3 4 5\n",
	};
	struct procstat_cpu cpu;

	for (size_t i = 0; i < N_ELEMENTS(texts); i++)
		assert_false(procstat_parse_cpu(texts[i], &cpu));
}

static void memory_is_what_is_not_available(void **state)
{
	assert_int_equal(procstat_parse_memory("MemTotal:       16000 kB\nMemFree:  100 kB\n"
					       "MemAvailable:    4000 kB\nBuffers: 1 kB\n"),
		7500);
	assert_int_equal(procstat_parse_memory("MemTotal: 3 kB\nMemAvailable: 3 kB\n"), 0);
	assert_int_equal(procstat_parse_memory("MemTotal: 3 kB\nMemAvailable: 0 kB\n"), 10000);
	assert_int_equal(procstat_parse_memory("MemTotal: 3 kB\nMemAvailable: 2 kB\n"), 3334);
	/* Some containers' limits make it look like that. */
	assert_int_equal(procstat_parse_memory("MemTotal: 3 kB\nMemAvailable: 5 kB\n"), 0);
}

static void memory_is_not_said(void **state)
{
	static const char *const texts[] = {
		"", "MemTotal: 100 kB\n", "MemAvailable: 100 kB\n", "MemTotal: 0 kB\nMemAvailable: 0 kB\n",
		"MemTotal: x kB\nMemAvailable: 1 kB\n", "xMemTotal: 5 kB\nMemAvailable: 1 kB\n",
		"MemTotalx: 5 kB\nMemAvailable: 1 kB\n", "MemTotal 5 kB\nMemAvailable: 1 kB\n",
	};

	for (size_t i = 0; i < N_ELEMENTS(texts); i++)
		assert_int_equal(procstat_parse_memory(texts[i]), SAMPLE_NULL);
}

static void busy_is_neither_idle_nor_waiting(void **state)
{
	struct procstat_cpu before = { .total = 1000, .idle = 600, .iowait = 100 };
	struct procstat_cpu after = { .total = 1400, .idle = 800, .iowait = 150 };
	uint64_t cpu, iowait;

	procstat_between(&before, &after, &cpu, &iowait);
	assert_int_equal(cpu, 3750);
	assert_int_equal(iowait, 1250);
}

static void no_tick_no_figure(void **state)
{
	struct procstat_cpu same = { .total = 1000, .idle = 600, .iowait = 100 };
	uint64_t cpu = 1, iowait = 1;

	procstat_between(&same, &same, &cpu, &iowait);
	assert_int_equal(cpu, SAMPLE_NULL);
	assert_int_equal(iowait, SAMPLE_NULL);
}

/* The kernel does not promise that iowait only grows. */
static void going_back_is_none(void **state)
{
	struct procstat_cpu before = { .total = 1000, .idle = 600, .iowait = 100 };
	struct procstat_cpu after = { .total = 1100, .idle = 700, .iowait = 90 };
	uint64_t cpu, iowait;

	procstat_between(&before, &after, &cpu, &iowait);
	assert_int_equal(cpu, 0);
	assert_int_equal(iowait, 0);
	before = (struct procstat_cpu){ .total = 1000, .idle = 0, .iowait = 0 };
	after = (struct procstat_cpu){ .total = 1100, .idle = 90, .iowait = 20 };
	procstat_between(&before, &after, &cpu, &iowait);
	assert_int_equal(cpu, 0);
	assert_int_equal(iowait, 2000);
}

/* ---- the reader, on files of our own ---- */

static char dir[] = "/tmp/test_procstat.XXXXXX";

static void write_file(const char *name, const char *text)
{
	char path[64];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static int make_dir(void **state)
{
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "%s/stat", dir);
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/meminfo", dir);
	(void)unlink(path);
	return rmdir(dir);
}

static void reads_differences(void **state)
{
	struct procstat procstat;
	uint64_t cpu, memory, iowait;

	procstat_init(&procstat, dir);
	write_file("meminfo", "MemTotal: 100 kB\nMemAvailable: 25 kB\n");
	write_file("stat", "cpu 100 0 0 100 0 0 0 0 0 0\n");
	procstat_read(&procstat, &cpu, &memory, &iowait);
	assert_int_equal(cpu, SAMPLE_NULL);
	assert_int_equal(iowait, SAMPLE_NULL);
	assert_int_equal(memory, 7500);
	write_file("stat", "cpu 130 0 0 160 10 0 0 0 0 0\n");
	procstat_read(&procstat, &cpu, &memory, &iowait);
	assert_int_equal(cpu, 3000);
	assert_int_equal(iowait, 1000);
	/* A gap: the next reading has nothing to compare with, the one after it has. */
	write_file("stat", "nonsense");
	procstat_read(&procstat, &cpu, &memory, &iowait);
	assert_int_equal(cpu, SAMPLE_NULL);
	write_file("stat", "cpu 200 0 0 200 10 0 0 0 0 0\n");
	procstat_read(&procstat, &cpu, &memory, &iowait);
	assert_int_equal(cpu, SAMPLE_NULL);
	write_file("stat", "cpu 210 0 0 200 10 0 0 0 0 0\n");
	procstat_read(&procstat, &cpu, &memory, &iowait);
	assert_int_equal(cpu, 10000);
	procstat_release(&procstat);
}

static void no_files_no_figures(void **state)
{
	struct procstat procstat;
	uint64_t cpu = 1, memory = 1, iowait = 1;

	procstat_init(&procstat, "/nonexistent");
	procstat_read(&procstat, &cpu, &memory, &iowait);
	assert_int_equal(cpu, SAMPLE_NULL);
	assert_int_equal(memory, SAMPLE_NULL);
	assert_int_equal(iowait, SAMPLE_NULL);
	procstat_release(&procstat);
}

static void this_machine_has_figures(void **state)
{
	struct procstat procstat;
	uint64_t cpu, memory, iowait;

	procstat_init(&procstat, "/proc");
	procstat_read(&procstat, &cpu, &memory, &iowait);
	assert_true(procstat.has_last && procstat.last.total > 0);
	assert_true(memory > 0 && memory <= 10000);
	procstat_release(&procstat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpu_line_is_parsed),
		cmocka_unit_test(fewer_columns_are_enough),
		cmocka_unit_test(not_a_cpu_line),
		cmocka_unit_test(memory_is_what_is_not_available),
		cmocka_unit_test(memory_is_not_said),
		cmocka_unit_test(busy_is_neither_idle_nor_waiting),
		cmocka_unit_test(no_tick_no_figure),
		cmocka_unit_test(going_back_is_none),
		cmocka_unit_test_setup_teardown(reads_differences, make_dir, remove_dir),
		cmocka_unit_test(no_files_no_figures),
		cmocka_unit_test(this_machine_has_figures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
