/* SPDX-License-Identifier: ISC */
/* Allocation that never gives NULL: it gives memory, or it ends the process. */
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void nothing_is_memory_too(void **state)
{
	void *p = mem_alloc(0), *q = mem_zalloc(0), *r = mem_realloc(NULL, 0), *s = mem_dup("x", 0);

	assert_true(p && q && r && s);
	mem_free(p);
	mem_free(q);
	mem_free(mem_realloc(r, 0)); /* not a free(3) */
	mem_free(s);
	mem_free(NULL);
}

static void memory(void **state)
{
	char *p = mem_zalloc(1000), *q = mem_dup("a\0b", 4);

	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(p[i], 0);
	memset(p, 'x', 1000);
	p = mem_realloc(p, 100000);
	assert_int_equal(p[999], 'x');
	memset(p, 'y', 100000);
	assert_memory_equal(q, "a\0b", 4);
	mem_free(p);
	mem_free(q);
}

static void strings(void **state)
{
	char *copies[] = {mem_strdup("text"), mem_strdup(""), mem_strndup("text", 2),
		mem_strndup("text", 0), mem_printf("%d %s", 7, "x")};
	static const char *const expected[] = {"text", "", "te", "", "7 x"};

	for (unsigned i = 0; i < N_ELEMENTS(copies); i++) {
		assert_string_equal(copies[i], expected[i]);
		mem_free(copies[i]);
	}
	assert_null(mem_strdup(NULL));
}

/* What a child that does this ends with; its complaint goes nowhere. */
static int status_of(void (*act)(size_t huge))
{
	volatile size_t huge = SIZE_MAX / 2;
	pid_t child = fork();
	int status;

	if (child == 0) {
		int fd = open("/dev/null", O_WRONLY);

		(void)dup2(fd, STDERR_FILENO);
		signal(SIGABRT, SIG_DFL);
		act(huge);
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void alloc_huge(size_t huge)
{
	mem_free(mem_alloc(huge));
}

static void zalloc_huge(size_t huge)
{
	mem_free(mem_zalloc(huge));
}

static void realloc_huge(size_t huge)
{
	mem_free(mem_realloc(NULL, huge));
}

static void out_of_memory_ends_the_process(void **state)
{
	assert_int_not_equal(status_of(alloc_huge), 0);
	assert_int_not_equal(status_of(zalloc_huge), 0);
	assert_int_not_equal(status_of(realloc_huge), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_memory_too),
		cmocka_unit_test(memory),
		cmocka_unit_test(strings),
		cmocka_unit_test(out_of_memory_ends_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
