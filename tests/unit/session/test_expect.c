/* SPDX-License-Identifier: ISC */
/* The ring of expected replies: first in, first out, however it grows and wherever it begins. */
#include "session/expect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/random.h"

static struct expect numbered(uint64_t number)
{
	return (struct expect){
		.kind = (uint8_t)(number % 7), .flags = (uint8_t)number, .hash = {number, ~number}};
}

static void assert_numbered(const struct expect *expect, uint64_t number)
{
	assert_non_null(expect);
	assert_int_equal(expect->hash.lo, number);
	assert_int_equal(expect->hash.hi, ~number);
	assert_int_equal(expect->kind, number % 7);
	assert_int_equal(expect->flags, (uint8_t)number);
}

static void an_empty_queue(void **state)
{
	struct expect_queue queue;

	expect_init(&queue);
	assert_int_equal(queue.n, 0);
	assert_null(expect_front(&queue));
	assert_false(expect_is_full(&queue));
	expect_clear(&queue);
	expect_release(&queue);
}

/* Each beginning of the ring, filled past its first size: what has wrapped around comes out in
 * order. */
static void growing_wherever_it_begins(void **state)
{
	for (uint32_t begin = 0; begin < EXPECT_INLINE; begin++) {
		struct expect_queue queue;
		uint64_t number = 0;

		expect_init(&queue);
		for (uint32_t i = 0; i < begin; i++) {
			expect_push(&queue, numbered(0));
			expect_pop(&queue);
		}
		assert_ptr_equal(queue.ring, queue.first);
		while (number < 5 * EXPECT_INLINE) {
			expect_push(&queue, numbered(number++));
			for (uint32_t i = 0; i < queue.n; i++)
				assert_numbered(expect_at(&queue, i), i);
		}
		assert_ptr_not_equal(queue.ring, queue.first);
		for (uint64_t i = 0; i < number; i++) {
			assert_numbered(expect_front(&queue), i);
			expect_pop(&queue);
		}
		assert_null(expect_front(&queue));
		expect_release(&queue);
	}
}

static void a_place_may_be_changed(void **state)
{
	struct expect_queue queue;

	expect_init(&queue);
	expect_push(&queue, numbered(1));
	expect_push(&queue, numbered(2));
	expect_at(&queue, 1)->flags |= EXPECT_SWALLOW;
	expect_pop(&queue);
	assert_true(expect_front(&queue)->flags & EXPECT_SWALLOW);
	expect_release(&queue);
}

static void full_is_said_in_time(void **state)
{
	struct expect_queue queue;
	uint32_t n = 0;

	expect_init(&queue);
	while (!expect_is_full(&queue))
		expect_push(&queue, numbered(n++));
	assert_int_equal(n, EXPECT_MAX - EXPECT_ROOM);
	while (n < EXPECT_MAX) /* room for what goes around one message of the client */
		expect_push(&queue, numbered(n++));
	assert_true(expect_is_full(&queue));
	assert_int_equal(queue.n, EXPECT_MAX);
	assert_int_equal(queue.cap, EXPECT_MAX);
	for (uint32_t i = 0; i < n; i++) {
		assert_numbered(expect_front(&queue), i);
		expect_pop(&queue);
	}
	expect_release(&queue);
}

static void clearing_goes_back_to_the_small_ring(void **state)
{
	struct expect_queue queue;

	expect_init(&queue);
	for (uint32_t i = 0; i < 100; i++)
		expect_push(&queue, numbered(i));
	expect_clear(&queue);
	assert_int_equal(queue.n, 0);
	assert_ptr_equal(queue.ring, queue.first);
	assert_int_equal(queue.cap, EXPECT_INLINE);
	expect_push(&queue, numbered(7));
	assert_numbered(expect_front(&queue), 7);
	expect_release(&queue);
}

/* The model is two numbers: what went in last and what comes out next. */
static void random_histories(void **state)
{
	struct random random = random_open();
	struct expect_queue queue;
	uint64_t in = 0, out = 0;

	expect_init(&queue);
	for (unsigned step = 0; step < 200000; step++) {
		unsigned n = (unsigned)random_below(&random, 12);

		if (random_below(&random, 1000) == 0) {
			expect_clear(&queue);
			out = in;
		} else if (random_below(&random, 2) && in - out + n <= 200) {
			while (n-- > 0)
				expect_push(&queue, numbered(in++));
		} else {
			for (; n > 0 && out < in; n--, out++) {
				assert_numbered(expect_front(&queue), out);
				expect_pop(&queue);
			}
		}
		assert_int_equal(queue.n, in - out);
		if (queue.n > 0) {
			assert_numbered(expect_front(&queue), out);
			assert_numbered(expect_at(&queue, queue.n - 1), in - 1);
		}
		assert_int_equal(queue.cap & (queue.cap - 1), 0);
	}
	expect_release(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_queue),
		cmocka_unit_test(growing_wherever_it_begins),
		cmocka_unit_test(a_place_may_be_changed),
		cmocka_unit_test(full_is_said_in_time),
		cmocka_unit_test(clearing_goes_back_to_the_small_ring),
		cmocka_unit_test(random_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
