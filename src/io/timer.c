/* SPDX-License-Identifier: ISC */
#include "io/timer.h"

static uint64_t tick_of(uint64_t us)
{
	return us / TIMER_TICK_US;
}

/* The tick after the deadline, so that it never fires early; never a slot that was swept already. */
static uint64_t slot_tick(const struct timer *timer)
{
	return MAX_OF(tick_of(timer->deadline_us) + 1, timer->wheel->done_tick + 1);
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_us)
{
	unsigned i;

	for (i = 0; i < TIMER_SLOTS; i++)
		LIST_INIT(&wheel->slots[i]);
	wheel->done_tick = tick_of(now_us);
	wheel->n_armed = 0;
}

void timer_start(struct timer_wheel *wheel, struct timer *timer, uint64_t deadline_us,
	void (*fire)(struct timer *timer))
{
	timer_stop(timer);
	timer->deadline_us = MAX_OF(deadline_us, (uint64_t)1);
	timer->fire = fire;
	timer->wheel = wheel;
	LIST_INSERT_HEAD(&wheel->slots[slot_tick(timer) % TIMER_SLOTS], timer, link);
	wheel->n_armed++;
}

void timer_stop(struct timer *timer)
{
	if (timer->deadline_us == 0)
		return;
	LIST_REMOVE(timer, link);
	timer->deadline_us = 0;
	timer->wheel->n_armed--;
}

uint64_t timer_slot_us(const struct timer *timer)
{
	return slot_tick(timer) * TIMER_TICK_US;
}

uint64_t timer_wheel_next_us(const struct timer_wheel *wheel)
{
	uint64_t tick = wheel->done_tick + 1;

	if (wheel->n_armed == 0)
		return 0;
	while (LIST_EMPTY(&wheel->slots[tick % TIMER_SLOTS]))
		tick++;
	return tick * TIMER_TICK_US;
}

/*
 * Timers of later rounds share the slot and stay. What is due is set apart first, so that the sweep
 * is linear whatever the callbacks stop and start; a timer that one of them stops is taken off that
 * list. The slot's newest is at its head: turned round, who came first is first.
 */
static void sweep_slot(struct timer_wheel *wheel, unsigned slot, uint64_t now_us)
{
	LIST_HEAD(, timer) due = LIST_HEAD_INITIALIZER(due);
	struct timer *timer, *next;

	LIST_FOREACH_SAFE(timer, &wheel->slots[slot], link, next) {
		if (timer->deadline_us > now_us)
			continue;
		LIST_REMOVE(timer, link);
		LIST_INSERT_HEAD(&due, timer, link);
	}
	while ((timer = LIST_FIRST(&due)) != NULL) {
		timer_stop(timer);
		timer->fire(timer);
	}
}

void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_us)
{
	uint64_t now_tick = tick_of(now_us);
	uint64_t n_ticks;

	if (now_tick <= wheel->done_tick)
		return;
	/* After a long pause one round over all slots finds everything that is due. */
	n_ticks = MIN_OF(now_tick - wheel->done_tick, (uint64_t)TIMER_SLOTS);
	while (n_ticks-- > 0) {
		uint64_t tick = now_tick - n_ticks;

		wheel->done_tick = tick;
		sweep_slot(wheel, (unsigned)(tick % TIMER_SLOTS), now_us);
	}
}
