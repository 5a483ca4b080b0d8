/* SPDX-License-Identifier: ISC */
/*
 * A hashed timer wheel: arming and stopping are O(1) list operations without a system call, so that
 * every statement may have a deadline. Resolution is TIMER_TICK_US; a timer never fires early.
 * Pure: the present time comes in. One thread.
 */
#ifndef IO_TIMER_H
#define IO_TIMER_H

#include "base/base.h"
#include "base/list.h"

#define TIMER_TICK_US 10000u
#define TIMER_SLOTS 1024u

struct timer {
	LIST_ENTRY(timer) link;
	uint64_t deadline_us; /* 0: not armed */
	void (*fire)(struct timer *timer);
	struct timer_wheel *wheel;
};

struct timer_wheel {
	LIST_HEAD(, timer) slots[TIMER_SLOTS];
	uint64_t done_tick; /* all slots up to this tick were swept */
	uint32_t n_armed;
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_us);
void timer_start(struct timer_wheel *wheel, struct timer *timer, uint64_t deadline_us,
	void (*fire)(struct timer *timer)); /* re-arms if armed */
void timer_stop(struct timer *timer);	    /* nothing when not armed */
static inline bool timer_is_armed(const struct timer *timer)
{
	return timer->deadline_us != 0;
}
/* When to call timer_wheel_advance() next: a timer in that slot may be due, and none is before. 0: none is armed. */
uint64_t timer_wheel_next_us(const struct timer_wheel *wheel);
/* The same for one timer that is armed. */
uint64_t timer_slot_us(const struct timer *timer);
/* Fires what is due at now_us. Timers may be started and stopped by the callbacks. */
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_us);

#endif
