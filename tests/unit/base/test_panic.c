/* SPDX-License-Identifier: ISC */
/* MUST(): silent when true, in every build; when false it says where and ends the process. */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

struct thing {
	uint32_t magic;
	int value;
};

static void fail_must(int one)
{
	MUST(one == 1);
	MUST(one + one == 3);
}

static void fail_unreachable(int one)
{
	UNREACHABLE("a state that cannot be");
}

static void fail_magic(int one)
{
	struct thing thing = {.magic = 7};

	CHECK_MAGIC(&thing, 7u);
	CHECK_MAGIC(&thing, 8u);
}

static void fail_magic_of_nothing(int one)
{
	struct thing *none = one ? NULL : (struct thing[]){{7, 0}};

	CHECK_MAGIC(none, 7u);
}

/* Runs act in a child, which must abort and have said text. */
static void assert_panics(void (*act)(int one), const char *text)
{
	char said[8192];
	size_t n_said = 0;
	int fds[2], status;
	pid_t child;
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		(void)dup2(fds[1], STDERR_FILENO);
		act(1);
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], said + n_said, sizeof(said) - 1 - n_said)) > 0)
		n_said += (size_t)n;
	said[n_said] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	if (strstr(said, text) == NULL || strncmp(said, "PANIC ", 6) != 0)
		fail_msg("\"%s\" instead of \"%s\"", said, text);
	assert_non_null(strstr(said, "test_panic.c:"));
}

static void our_own_faults(void **state)
{
	assert_panics(fail_must, "fail_must(): one + one == 3");
	assert_panics(fail_unreachable, "fail_unreachable(): a state that cannot be");
	assert_panics(fail_magic, "fail_magic(): ");
	assert_panics(fail_magic_of_nothing, "fail_magic_of_nothing(): ");
}

static void what_contains_a_member(void **state)
{
	struct thing thing = {.value = 3};

	assert_ptr_equal(CONTAINER_OF(&thing.value, struct thing, value), &thing);
	assert_int_equal(MIN_OF(2, 1), 1);
	assert_int_equal(MAX_OF(2, 1), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_own_faults),
		cmocka_unit_test(what_contains_a_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
