/* SPDX-License-Identifier: ISC */
/* Random bytes: all of them, only them, and others in every process. */
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void every_byte_and_no_other(void **state)
{
	uint8_t seen[66] = {0}, bytes[66];

	for (unsigned round = 0; round < 100; round++) {
		memset(bytes, 0xa5, sizeof(bytes));
		rng_bytes(bytes + 1, 64);
		assert_int_equal(bytes[0], 0xa5);
		assert_int_equal(bytes[65], 0xa5);
		for (unsigned i = 1; i < 65; i++)
			seen[i] |= bytes[i] ^ 0xa5;
	}
	for (unsigned i = 1; i < 65; i++)
		assert_int_equal(seen[i], 0xff); /* each bit has changed once in a hundred */
	rng_bytes(bytes, 0);
	assert_int_equal(bytes[0], 0xa5);
}

/* Drawn ahead and handed out in pieces, across the end of what was drawn: no piece comes twice. */
static void no_piece_comes_twice(void **state)
{
	static uint8_t pieces[400][18];
	uint8_t big[3000] = {0};
	unsigned n_zeros = 0;

	for (unsigned i = 0; i < 400; i++) {
		rng_bytes(pieces[i], sizeof(pieces[i]));
		for (unsigned j = 0; j < i; j++)
			assert_memory_not_equal(pieces[i], pieces[j], sizeof(pieces[i]));
	}
	rng_bytes(big, sizeof(big));
	for (unsigned i = 0; i < sizeof(big); i++)
		n_zeros += big[i] == 0;
	assert_in_range(n_zeros, 0, 60); /* 12 by chance */
}

static void *draw_some(void *out)
{
	rng_bytes(out, 32);
	return NULL;
}

static void a_thread_has_its_own(void **state)
{
	uint8_t mine[32], theirs[32];
	pthread_t thread;

	rng_bytes(mine, sizeof(mine));
	assert_int_equal(pthread_create(&thread, NULL, draw_some, theirs), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_memory_not_equal(mine, theirs, sizeof(mine));
}

static void numbers_differ(void **state)
{
	uint64_t ones = 0, zeros = 0, last = rng_u64();

	for (unsigned i = 0; i < 100; i++) {
		uint64_t number = rng_u64();

		assert_int_not_equal(number, last);
		ones |= number;
		zeros |= ~number;
		last = number;
	}
	assert_int_equal(ones, UINT64_MAX);
	assert_int_equal(zeros, UINT64_MAX);
}

static void a_child_has_its_own(void **state)
{
	uint64_t mine, childs;
	int fds[2], status;
	pid_t child;

	(void)rng_u64(); /* seeded before the fork */
	assert_int_equal(pipe(fds), 0);
	child = fork();
	if (child == 0) {
		childs = rng_u64();
		_exit(write(fds[1], &childs, sizeof(childs)) == (ssize_t)sizeof(childs) ? 0 : 1);
	}
	mine = rng_u64();
	assert_int_equal(read(fds[0], &childs, sizeof(childs)), sizeof(childs));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_not_equal(mine, childs);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_and_no_other),
		cmocka_unit_test(no_piece_comes_twice),
		cmocka_unit_test(a_thread_has_its_own),
		cmocka_unit_test(numbers_differ),
		cmocka_unit_test(a_child_has_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
