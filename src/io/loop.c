/* SPDX-License-Identifier: ISC */
#include "io/loop.h"

#include "base/clock.h"

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct loop *loop = arg;
	static const struct timeval interval = {0, TIMER_TICK_US};

	loop->tick_armed = false;
	timer_wheel_advance(&loop->wheel, clock_mono_us());
	if (loop->wheel.n_armed > 0 && !loop->tick_armed) {
		MUST(event_add(loop->tick, &interval) == 0);
		loop->tick_armed = true;
	}
}

void loop_init(struct loop *loop)
{
	struct event_config *config = event_config_new();

	MUST(config != NULL);
	/* One thread owns the base: no locks. ET and EV_CLOSED are needed by stream.c. */
	MUST(event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK) == 0);
	MUST(event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE) == 0);
	memset(loop, 0, sizeof(*loop));
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	MUST(loop->base != NULL);
	timer_wheel_init(&loop->wheel, clock_mono_us());
	STAILQ_INIT(&loop->tasks);
	loop->tick = evtimer_new(loop->base, on_tick, loop);
	MUST(loop->tick != NULL);
}

void loop_release(struct loop *loop)
{
	event_free(loop->tick);
	event_base_free(loop->base);
	loop->base = NULL;
}

void loop_task(struct loop *loop, struct task *task, void (*run)(struct task *task))
{
	task->run = run;
	if (task->queued)
		return;
	task->queued = true;
	STAILQ_INSERT_TAIL(&loop->tasks, task, link);
}

void loop_task_drop(struct loop *loop, struct task *task)
{
	if (!task->queued)
		return;
	STAILQ_REMOVE(&loop->tasks, task, task, link);
	task->queued = false;
}

static void run_tasks(struct loop *loop)
{
	struct task *task, last = {.queued = true};

	/* What they queue themselves is for after the next look at the sockets: others have their
	 * turn. */
	STAILQ_INSERT_TAIL(&loop->tasks, &last, link);
	while ((task = STAILQ_FIRST(&loop->tasks)) != &last) {
		STAILQ_REMOVE_HEAD(&loop->tasks, link);
		task->queued = false;
		task->run(task);
	}
	STAILQ_REMOVE_HEAD(&loop->tasks, link);
}

static void end_turn(struct loop *loop)
{
	if (loop->turn_end)
		loop->turn_end(loop->turn_end_arg);
}

void loop_run(struct loop *loop)
{
	while (!loop->stopping) {
		int wait = STAILQ_EMPTY(&loop->tasks) ? 0 : EVLOOP_NONBLOCK;

		MUST(event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY | wait) >=
			0);
		loop->now_us = 0;
		end_turn(loop);
		run_tasks(loop);
		end_turn(loop); /* what the tasks have brought about does not wait for the next
				   event */
		loop->now_us = 0;
	}
	while (!STAILQ_EMPTY(&loop->tasks))
		run_tasks(loop);
}

void loop_stop(struct loop *loop)
{
	loop->stopping = true;
	event_base_loopbreak(loop->base);
}

void loop_timer(struct loop *loop, struct timer *timer, uint64_t delay_us,
	void (*fire)(struct timer *timer))
{
	loop_timer_at(loop, timer, clock_mono_us() + delay_us, fire);
}

void loop_timer_at(struct loop *loop, struct timer *timer, uint64_t deadline_us,
	void (*fire)(struct timer *timer))
{
	static const struct timeval interval = {0, TIMER_TICK_US};

	timer_start(&loop->wheel, timer, deadline_us, fire);
	if (LIKELY(loop->tick_armed))
		return;
	/* The wheel stood still while nothing was armed. */
	MUST(event_add(loop->tick, &interval) == 0);
	loop->tick_armed = true;
}
