/* SPDX-License-Identifier: ISC */
/* A loop's turns: what runs when, and what time it is meanwhile. */
#include "io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <unistd.h>

#define HANG_S 20 /* a turn that never comes ends the program */

static struct loop loop;
static char order[64];
static size_t n_order;

static void note(char c)
{
	assert_true(n_order < sizeof(order) - 1);
	order[n_order++] = c;
	order[n_order] = '\0';
}

static int loop_setup(void **state)
{
	loop_init(&loop);
	n_order = 0;
	order[0] = '\0';
	return 0;
}

static int loop_teardown(void **state)
{
	loop_release(&loop);
	return 0;
}

/* One event that is ready at once: the first turn of the loop. */
static void on_now(evutil_socket_t fd, short what, void *arg)
{
	void (*act)(void) = *(void (**)(void))arg;

	act();
}

static void run_with(void (*act)(void))
{
	struct event *event = event_new(loop.base, -1, 0, on_now, &act);

	assert_non_null(event);
	event_active(event, EV_READ, 0);
	loop_run(&loop);
	event_free(event);
}

struct letter {
	struct task task;
	char c;
	struct letter *next; /* queued by this one */
	bool stop;
};

static void run_letter(struct task *task)
{
	struct letter *letter = CONTAINER_OF(task, struct letter, task);

	note(letter->c);
	if (letter->next)
		loop_task(&loop, &letter->next->task, run_letter);
	if (letter->stop)
		loop_stop(&loop);
}

static struct letter a = {.c = 'a'}, b = {.c = 'b'}, c = {.c = 'c', .stop = true};

static void queue_abc(void)
{
	note('(');
	loop_task(&loop, &a.task, run_letter);
	loop_task(&loop, &b.task, run_letter);
	loop_task(&loop, &a.task, run_letter); /* is queued already */
	loop_task(&loop, &c.task, run_letter);
	note(')');
}

static void tasks_run_once_in_order_after_the_callbacks(void **state)
{
	run_with(queue_abc);
	assert_string_equal(order, "()abc");
}

static void queue_chain(void)
{
	note('(');
	loop_task(&loop, &a.task, run_letter);
	loop_task(&loop, &b.task, run_letter);
	note(')');
}

static void note_turn_end(void *arg)
{
	note(*(const char *)arg);
}

static char mark = '|';

static void what_a_task_queues_is_for_the_next_turn(void **state)
{
	a.next = &c;
	loop.turn_end = note_turn_end;
	loop.turn_end_arg = &mark;
	run_with(queue_chain);
	a.next = NULL;
	assert_string_equal(order, "()|ab||c|");
}

/* A task that queues itself for ever leaves the sockets their turns, and the loop does not sleep
 * meanwhile. */
static struct task busy;
static struct event *sign;
static unsigned n_busy;
static bool over;

static void on_sign(evutil_socket_t fd, short what, void *arg)
{
	over = true;
}

static void be_busy(struct task *task)
{
	if (++n_busy == 10)
		event_active(sign, EV_READ, 0);
	if (over)
		loop_stop(&loop);
	else
		loop_task(&loop, task, be_busy);
}

static void start_busy(void)
{
	loop_task(&loop, &busy, be_busy);
}

static void a_busy_task_starves_nobody(void **state)
{
	n_busy = 0;
	over = false;
	sign = event_new(loop.base, -1, 0, on_sign, NULL);
	run_with(start_busy);
	event_free(sign);
	assert_in_range(n_busy, 10, 12);
}

static void queue_chain_and_stop(void)
{
	queue_chain();
	loop_stop(&loop);
}

static void a_loop_that_stops_runs_what_is_queued(void **state)
{
	a.next = &c;
	run_with(queue_chain_and_stop);
	a.next = NULL;
	assert_string_equal(order, "()abc");
	assert_true(STAILQ_EMPTY(&loop.tasks));
}

static void queue_and_drop(void)
{
	queue_abc();
	loop_task_drop(&loop, &b.task);
	loop_task_drop(&loop, &b.task);
	assert_false(b.task.queued);
}

static void a_dropped_task_does_not_run(void **state)
{
	run_with(queue_and_drop);
	assert_string_equal(order, "()ac");
	loop_task(&loop, &b.task, run_letter); /* and may be queued again */
	assert_true(b.task.queued);
	loop_task_drop(&loop, &b.task);
}

static void a_turn_ends_before_and_after_its_tasks(void **state)
{
	loop.turn_end = note_turn_end;
	loop.turn_end_arg = &mark;
	run_with(queue_abc);
	assert_string_equal(order, "()|abc|");
}

/* What a turn's end queues still belongs to this turn. */
static void queue_c_at_the_end(void *arg)
{
	note('|');
	if (!c.task.queued && strchr(order, 'c') == NULL)
		loop_task(&loop, &c.task, run_letter);
}

static void nothing(void)
{
}

static void the_end_of_a_turn_may_queue_tasks(void **state)
{
	loop.turn_end = queue_c_at_the_end;
	run_with(nothing);
	assert_string_equal(order, "|c|");
}

static uint64_t seen_us;

static void stop_after_looking(struct task *task)
{
	assert_true(loop_now_us(&loop) > seen_us); /* the callback's moment is over */
	loop_stop(&loop);
}

static void look_at_the_time(void)
{
	static struct task task;
	uint64_t before_us = clock_mono_us();

	seen_us = loop_now_us(&loop);
	assert_true(seen_us >= before_us);
	while (clock_mono_us() == seen_us)
		;
	assert_int_equal(loop_now_us(&loop), seen_us);
	loop_task(&loop, &task, stop_after_looking);
}

static void time_stands_still_for_a_callback_only(void **state)
{
	run_with(look_at_the_time);
	while (clock_mono_us() == seen_us)
		;
	assert_true(loop_now_us(&loop) > seen_us);
}

struct alarm {
	struct timer timer;
	uint64_t deadline_us;
	unsigned n_left;
};

static void on_alarm(struct timer *timer)
{
	struct alarm *alarm = CONTAINER_OF(timer, struct alarm, timer);

	assert_true(clock_mono_us() >= alarm->deadline_us);
	note('t');
	if (--alarm->n_left == 0) {
		loop_stop(&loop);
		return;
	}
	alarm->deadline_us = clock_mono_us() + 1000;
	loop_timer(&loop, timer, 1000, on_alarm);
}

static void timers_fire_after_their_time(void **state)
{
	struct alarm alarm = {.deadline_us = clock_mono_us() + 5000, .n_left = 3};

	loop_timer_at(&loop, &alarm.timer, alarm.deadline_us, on_alarm);
	loop_run(&loop);
	assert_string_equal(order, "ttt");
}

static void never(struct timer *timer)
{
	fail();
}

/* A loop whose timers are far away, logins' and statements' limits, sleeps until the first is due; one that comes later and is due
 * sooner is heard in its time. */
static void the_tick_waits_for_the_first_timer(void **state)
{
	struct alarm alarm = {.deadline_us = clock_mono_us() + 200000, .n_left = 1};
	struct timer far = {.deadline_us = 0}, farther = {.deadline_us = 0};

	loop_timer(&loop, &farther, 400000000, never);
	loop_timer(&loop, &far, 60000000, never);
	loop_timer_at(&loop, &alarm.timer, alarm.deadline_us, on_alarm);
	loop_run(&loop);
	assert_string_equal(order, "t");
	assert_true(clock_mono_us() < alarm.deadline_us + 10 * TIMER_TICK_US + 1000000);
	/* One for the alarm, and one for each of the others whose slot, as the wheel turns, happens to lie before its. */
	assert_in_range(loop.n_turns, 1, 8); /* a tick may be a moment early, and come again */
	timer_stop(&far);
	timer_stop(&farther);
}

/* An idle loop sleeps: the tick is armed only while a timer is. */
static void the_tick_rests_without_timers(void **state)
{
	struct alarm alarm = {.deadline_us = 1, .n_left = 2};

	assert_int_equal(loop.tick_us, 0);
	loop_timer(&loop, &alarm.timer, 0, on_alarm);
	assert_int_not_equal(loop.tick_us, 0);
	loop_run(&loop);
	assert_string_equal(order, "tt");
	assert_int_equal(loop.tick_us, 0);

	/* And it wakes up again after it has rested. */
	alarm.n_left = 1;
	loop.stopping = false;
	loop_timer(&loop, &alarm.timer, 0, on_alarm);
	loop_run(&loop);
	assert_string_equal(order, "ttt");
}

int main(void)
{
#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, loop_setup, loop_teardown)
	const struct CMUnitTest tests[] = {
		LOOP_TEST(tasks_run_once_in_order_after_the_callbacks),
		LOOP_TEST(what_a_task_queues_is_for_the_next_turn),
		LOOP_TEST(a_busy_task_starves_nobody),
		LOOP_TEST(a_loop_that_stops_runs_what_is_queued),
		LOOP_TEST(a_dropped_task_does_not_run),
		LOOP_TEST(a_turn_ends_before_and_after_its_tasks),
		LOOP_TEST(the_end_of_a_turn_may_queue_tasks),
		LOOP_TEST(time_stands_still_for_a_callback_only),
		LOOP_TEST(timers_fire_after_their_time),
		LOOP_TEST(the_tick_rests_without_timers),
		LOOP_TEST(the_tick_waits_for_the_first_timer),
	};

	alarm(HANG_S);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
