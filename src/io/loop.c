/* SPDX-License-Identifier: ISC */
#include "io/loop.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

static void on_ticker(evutil_socket_t fd, short what, void *arg)
{
	struct ticker *ticker = arg;
	uint64_t n_periods;

	if (read(fd, &n_periods, sizeof(n_periods)) == sizeof(n_periods)) /* else it was stopped */
		ticker->fire(ticker->arg);
}

void ticker_open(struct ticker *ticker, struct loop *loop, uint64_t period_us,
	void (*fire)(void *arg), void *arg)
{
	memset(ticker, 0, sizeof(*ticker));
	ticker->period_us = period_us;
	ticker->fire = fire;
	ticker->arg = arg;
	ticker->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	MUST(ticker->fd >= 0);
	MUST(event_assign(&ticker->event, loop->base, ticker->fd, EV_READ | EV_PERSIST, on_ticker,
		     ticker) == 0);
	MUST(event_add(&ticker->event, NULL) == 0);
}

void ticker_run(struct ticker *ticker, bool run)
{
	struct timespec period = {.tv_sec = (time_t)(ticker->period_us / 1000000u),
		.tv_nsec = (long)(ticker->period_us % 1000000u) * 1000};
	struct itimerspec setting = {.it_interval = period, .it_value = period};
	static const struct itimerspec off;

	MUST(timerfd_settime(ticker->fd, 0, run ? &setting : &off, NULL) == 0);
	ticker->running = run;
}

void ticker_close(struct ticker *ticker)
{
	event_del(&ticker->event);
	close(ticker->fd);
}

static void on_tick(void *arg)
{
	struct loop *loop = arg;

	timer_wheel_advance(&loop->wheel, clock_mono_us());
	if (loop->wheel.n_armed == 0)
		ticker_run(&loop->tick, false);
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
	ticker_open(&loop->tick, loop, TIMER_TICK_US, on_tick, loop);
}

void loop_release(struct loop *loop)
{
	ticker_close(&loop->tick);
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
	timer_start(&loop->wheel, timer, deadline_us, fire);
	if (UNLIKELY(!loop->tick.running)) /* the wheel stood still while nothing was armed */
		ticker_run(&loop->tick, true);
}
