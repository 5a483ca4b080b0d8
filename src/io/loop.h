/* SPDX-License-Identifier: ISC */
/*
 * One thread's event loop: an event_base without libevent locks, a timer wheel, and tasks that run
 * at the end of a turn. A turn is one epoll_wait and the callbacks of what it returned. Objects are
 * never freed inside a callback: their owner queues a task, and the task frees them when the turn's
 * callbacks are over. Threads: everything here belongs to the loop's thread, except loop_stop() and
 * what mailbox.h offers.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/base.h"
#include "base/clock.h"
#include "base/list.h"
#include "io/timer.h"

struct task {
	STAILQ_ENTRY(task) link;
	bool queued;
	void (*run)(struct task *task);
};

/*
 * Calls `fire` at a time, or every period. A timerfd, not a timer of libevent's: with one of those
 * pending every epoll_wait has a time limit, and the kernel sets up and takes down a timer for it.
 */
struct ticker {
	struct event event;
	int fd;
	void (*fire)(void *arg);
	void *arg;
};

struct loop;
void ticker_open(
	struct ticker *ticker, struct loop *loop, void (*fire)(void *arg), void *arg); /* rests */
void ticker_every(struct ticker *ticker, uint64_t period_us);
void ticker_at(struct ticker *ticker, uint64_t mono_us); /* once, at once when that is over */
void ticker_close(struct ticker *ticker);

struct loop {
	struct event_base *base;
	struct timer_wheel wheel;
	STAILQ_HEAD(, task) tasks;
	struct ticker tick;
	uint64_t tick_us; /* when it comes: not after the first timer; 0: it rests */
	uint64_t n_turns;
	bool stopping;
	uint64_t now_us; /* see loop_now_us(); 0: to be read anew */
	void (*turn_end)(
		void *arg); /* after the callbacks of a turn, and after its tasks; may be NULL */
	void *turn_end_arg;
};

void loop_init(struct loop *loop);
void loop_release(struct loop *loop);
void loop_run(struct loop *loop);  /* until loop_stop() */
void loop_stop(struct loop *loop); /* from the loop's thread */

/* mono_us as of the callback under way: read once for each event of a stream, and once for the rest
 * of a turn. */
static inline uint64_t loop_now_us(struct loop *loop)
{
	if (loop->now_us == 0)
		loop->now_us = clock_mono_us();
	return loop->now_us;
}

/* Queues the task for the end of this turn; queueing it again before it ran changes nothing. */
void loop_task(struct loop *loop, struct task *task, void (*run)(struct task *task));
void loop_task_drop(struct loop *loop, struct task *task);

/* Arms (or re-arms) a timer: `fire` runs on this loop within TIMER_TICK_US after delay_us.
 * timer_stop() ends it. */
void loop_timer(struct loop *loop, struct timer *timer, uint64_t delay_us,
	void (*fire)(struct timer *timer));
void loop_timer_at(struct loop *loop, struct timer *timer, uint64_t deadline_us,
	void (*fire)(struct timer *timer)); /* mono_us */

#endif
