/* SPDX-License-Identifier: ISC */
#include "io/loop.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"

static void on_ticker(evutil_socket_t fd, short what, void *arg)
{
	struct ticker *ticker = arg;
	uint64_t n_times;

	if (read(fd, &n_times, sizeof(n_times)) == sizeof(n_times)) /* else it was set anew */
		ticker->fire(ticker->arg);
}

void ticker_open(struct ticker *ticker, struct loop *loop, void (*fire)(void *arg), void *arg)
{
	memset(ticker, 0, sizeof(*ticker));
	ticker->fire = fire;
	ticker->arg = arg;
	ticker->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	MUST(ticker->fd >= 0);
	MUST(event_assign(&ticker->event, loop->base, ticker->fd, EV_READ | EV_PERSIST, on_ticker,
		     ticker) == 0);
	MUST(event_add(&ticker->event, NULL) == 0);
}

static struct timespec timespec_of(uint64_t us)
{
	return (struct timespec){
		.tv_sec = (time_t)(us / 1000000u), .tv_nsec = (long)(us % 1000000u) * 1000};
}

void ticker_every(struct ticker *ticker, uint64_t period_us)
{
	struct itimerspec setting = {
		.it_interval = timespec_of(period_us), .it_value = timespec_of(period_us)};

	MUST(timerfd_settime(ticker->fd, 0, &setting, NULL) == 0);
}

void ticker_at(struct ticker *ticker, uint64_t mono_us)
{
	struct itimerspec setting = {.it_value = timespec_of(mono_us)};

	MUST(timerfd_settime(ticker->fd, TFD_TIMER_ABSTIME, &setting, NULL) == 0);
}

void ticker_close(struct ticker *ticker)
{
	event_del(&ticker->event);
	close(ticker->fd);
}

/* A wheel that turned all the time would wake an idle thread a hundred times a second. It is turned
 * when its first timer may be due. */
static void set_tick(struct loop *loop, uint64_t at_us)
{
	loop->tick_us = at_us;
	ticker_at(&loop->tick, at_us);
}

static void on_tick(void *arg)
{
	struct loop *loop = arg;
	uint64_t next_us;

	loop->tick_us = 0;
	timer_wheel_advance(&loop->wheel, clock_mono_us());
	next_us = timer_wheel_next_us(&loop->wheel);
	if (next_us > 0)
		set_tick(loop, next_us);
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
	ticker_open(&loop->tick, loop, on_tick, loop);
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

		loop->n_turns++;
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
	if (UNLIKELY(loop->tick_us == 0 || timer_slot_us(timer) < loop->tick_us))
		set_tick(loop, timer_slot_us(timer));
}
