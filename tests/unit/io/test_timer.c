/* SPDX-License-Identifier: ISC */
/* The timer wheel on a clock of our own: never early, never lost, whatever callbacks do to it. */
#include "io/timer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "unit/random.h"

#define ROUND_US ((uint64_t)TIMER_SLOTS * TIMER_TICK_US)
#define START_US 123456789u
#define N_MANY 20000u

struct probe {
	struct timer timer; /* first: a probe is recovered from it */
	unsigned n_fired;
	unsigned order;	   /* the how-manieth of all to fire last */
	uint64_t again_us; /* deadline to start with again when it fires; 0: none */
	struct probe *stops;
	struct probe *starts;
	uint64_t starts_us;
};

static struct timer_wheel wheel;
static uint64_t now_us;
static unsigned n_fired_of_all;

static int wheel_setup(void **state)
{
	now_us = START_US;
	n_fired_of_all = 0;
	timer_wheel_init(&wheel, now_us);
	return 0;
}

static void advance_to(uint64_t us)
{
	now_us = us;
	timer_wheel_advance(&wheel, us);
}

static void fire(struct timer *timer)
{
	struct probe *probe = CONTAINER_OF(timer, struct probe, timer);

	assert_false(timer_is_armed(timer)); /* may be started anew from here */
	probe->n_fired++;
	probe->order = ++n_fired_of_all;
	if (probe->stops)
		timer_stop(&probe->stops->timer);
	if (probe->starts)
		timer_start(&wheel, &probe->starts->timer, probe->starts_us, fire);
	if (probe->again_us)
		timer_start(&wheel, timer, probe->again_us, fire);
}

static void never_early_and_soon_after(void **state)
{
	for (uint64_t delay_us = 0; delay_us < 5 * TIMER_TICK_US; delay_us += 777) {
		struct probe probe = {.n_fired = 0};
		uint64_t deadline_us = now_us + delay_us;

		timer_start(&wheel, &probe.timer, deadline_us, fire);
		assert_true(timer_is_armed(&probe.timer));
		for (; now_us < deadline_us; now_us++) {
			timer_wheel_advance(&wheel, now_us);
			assert_int_equal(probe.n_fired, 0);
		}
		advance_to(deadline_us + TIMER_TICK_US);
		assert_int_equal(probe.n_fired, 1);
		assert_false(timer_is_armed(&probe.timer));
		advance_to(now_us + 2 * ROUND_US);
		assert_int_equal(probe.n_fired, 1);
	}
	assert_int_equal(wheel.n_armed, 0);
}

static void a_deadline_of_zero_is_in_the_past(void **state)
{
	struct probe probe = {.n_fired = 0};

	timer_start(&wheel, &probe.timer, 0, fire);
	assert_true(timer_is_armed(&probe.timer));
	advance_to(now_us + TIMER_TICK_US);
	assert_int_equal(probe.n_fired, 1);
}

static void one_sweep_after_a_long_pause_finds_all(void **state)
{
	static struct probe probes[5 * TIMER_SLOTS];

	memset(probes, 0, sizeof(probes));
	for (unsigned i = 0; i < N_ELEMENTS(probes); i++)
		timer_start(&wheel, &probes[i].timer, now_us + i * (uint64_t)TIMER_TICK_US, fire);
	advance_to(now_us + 100 * ROUND_US + 12345);
	for (unsigned i = 0; i < N_ELEMENTS(probes); i++)
		assert_int_equal(probes[i].n_fired, 1);
	assert_int_equal(wheel.n_armed, 0);
}

/* A whole round is swept then, the slot of what is due in a moment with it. */
static void nothing_is_early_after_a_long_pause(void **state)
{
	struct probe probe = {.n_fired = 0};
	uint64_t deadline_us = now_us + 3 * ROUND_US + TIMER_TICK_US / 2;

	timer_start(&wheel, &probe.timer, deadline_us, fire);
	advance_to(deadline_us - 1);
	assert_int_equal(probe.n_fired, 0);
	advance_to(deadline_us + TIMER_TICK_US);
	assert_int_equal(probe.n_fired, 1);
}

static void the_same_slot_of_a_later_round_stays(void **state)
{
	struct probe soon = {.n_fired = 0}, later = {.n_fired = 0}, last = {.n_fired = 0};
	uint64_t at_us = now_us + 5 * TIMER_TICK_US;

	timer_start(&wheel, &later.timer, at_us + ROUND_US, fire);
	timer_start(&wheel, &soon.timer, at_us, fire);
	timer_start(&wheel, &last.timer, at_us + 3 * ROUND_US, fire);
	advance_to(at_us + TIMER_TICK_US);
	assert_int_equal(soon.n_fired, 1);
	assert_int_equal(later.n_fired, 0);
	advance_to(at_us + ROUND_US - 1);
	assert_int_equal(later.n_fired, 0);
	advance_to(at_us + ROUND_US + TIMER_TICK_US);
	assert_int_equal(later.n_fired, 1);
	assert_int_equal(last.n_fired, 0);
	advance_to(at_us + 3 * ROUND_US + TIMER_TICK_US);
	assert_int_equal(last.n_fired, 1);
}

static void starting_again_moves_it(void **state)
{
	struct probe probe = {.n_fired = 0};
	uint64_t begin_us = now_us;

	timer_start(&wheel, &probe.timer, begin_us + 2 * TIMER_TICK_US, fire);
	timer_start(&wheel, &probe.timer, begin_us + 50 * TIMER_TICK_US, fire);
	assert_int_equal(wheel.n_armed, 1);
	advance_to(begin_us + 49 * TIMER_TICK_US);
	assert_int_equal(probe.n_fired, 0);
	timer_start(&wheel, &probe.timer, begin_us + 49 * TIMER_TICK_US, fire); /* and earlier */
	advance_to(begin_us + 50 * TIMER_TICK_US);
	assert_int_equal(probe.n_fired, 1);
	advance_to(begin_us + 60 * TIMER_TICK_US);
	assert_int_equal(probe.n_fired, 1);
}

static void stopping(void **state)
{
	struct probe probe = {.n_fired = 0};

	timer_stop(&probe.timer); /* not armed, never was */
	timer_start(&wheel, &probe.timer, now_us, fire);
	timer_stop(&probe.timer);
	timer_stop(&probe.timer);
	assert_false(timer_is_armed(&probe.timer));
	assert_int_equal(wheel.n_armed, 0);
	advance_to(now_us + ROUND_US);
	assert_int_equal(probe.n_fired, 0);
}

static void a_callback_starts_its_timer_again(void **state)
{
	struct probe probe = {.n_fired = 0};
	unsigned n;

	timer_start(&wheel, &probe.timer, now_us, fire);
	for (n = 1; n < 3 * TIMER_SLOTS; n++) {
		uint64_t due_us = now_us + TIMER_TICK_US;

		probe.again_us = due_us + 1; /* the tick after the one that comes */
		advance_to(due_us);
		assert_int_equal(probe.n_fired, n);
		advance_to(due_us + 1);
		assert_int_equal(probe.n_fired, n);
	}
	probe.again_us = 0;
	advance_to(now_us + ROUND_US);
	assert_int_equal(probe.n_fired, n);
}

/* What is overdue for ever costs one call a tick, not an endless sweep. */
static void starting_again_in_the_past_waits_for_the_next_tick(void **state)
{
	struct probe probe = {.again_us = 1};

	timer_start(&wheel, &probe.timer, 1, fire);
	for (unsigned n = 1; n < 10; n++) {
		advance_to(now_us + TIMER_TICK_US);
		assert_int_equal(probe.n_fired, n);
		timer_wheel_advance(&wheel, now_us); /* no time has passed */
		assert_int_equal(probe.n_fired, n);
	}
	timer_stop(&probe.timer);
}

static void a_callback_stops_a_neighbour(void **state)
{
	struct probe first = {.n_fired = 0}, second = {.n_fired = 0};

	/* Either may be the one that fires first: both are due in one slot and each stops the
	 * other. */
	first.stops = &second;
	second.stops = &first;
	timer_start(&wheel, &first.timer, now_us, fire);
	timer_start(&wheel, &second.timer, now_us, fire);
	advance_to(now_us + ROUND_US);
	assert_int_equal(first.n_fired + second.n_fired, 1);
	assert_int_equal(wheel.n_armed, 0);
}

static void a_callback_puts_a_neighbour_off(void **state)
{
	struct probe early = {.n_fired = 0}, neighbour = {.n_fired = 0};
	uint64_t begin_us = now_us;

	/* To the same slot, one round on. */
	early.starts = &neighbour;
	early.starts_us = begin_us + ROUND_US;
	timer_start(&wheel, &early.timer, begin_us, fire);
	timer_start(&wheel, &neighbour.timer, begin_us, fire);
	advance_to(begin_us + TIMER_TICK_US);
	assert_int_equal(early.n_fired, 1);
	assert_int_equal(neighbour.n_fired, 0);
	advance_to(begin_us + ROUND_US - TIMER_TICK_US);
	assert_int_equal(neighbour.n_fired, 0);
	advance_to(begin_us + ROUND_US + TIMER_TICK_US);
	assert_int_equal(neighbour.n_fired, 1);
}

static void who_was_first_to_start_is_first_to_fire(void **state)
{
	struct probe due[16], later[16];

	memset(due, 0, sizeof(due));
	memset(later, 0, sizeof(later));
	for (unsigned i = 0; i < N_ELEMENTS(due); i++) {
		timer_start(&wheel, &due[i].timer, now_us, fire);
		timer_start(&wheel, &later[i].timer, now_us + ROUND_US, fire);
	}
	advance_to(now_us + TIMER_TICK_US);
	for (unsigned i = 0; i < N_ELEMENTS(due); i++)
		assert_int_equal(due[i].order, i + 1);
	advance_to(now_us + ROUND_US);
	for (unsigned i = 0; i < N_ELEMENTS(later); i++)
		assert_int_equal(later[i].order, N_ELEMENTS(due) + i + 1);
}

static void fire_and_free(struct timer *timer)
{
	n_fired_of_all++;
	mem_free(timer);
}

static void a_callback_may_free_its_timer(void **state)
{
	for (unsigned i = 0; i < 100; i++) {
		struct timer *timer = mem_zalloc(sizeof(*timer));

		timer_start(&wheel, timer, now_us + i % 3, fire_and_free);
	}
	advance_to(now_us + TIMER_TICK_US);
	assert_int_equal(n_fired_of_all, 100);
}

/* One slot, two rounds, in turns: the ones that stay must not be walked again for each that goes.
 */
static void thousands_at_once(void **state)
{
	struct probe *probes = mem_zalloc(N_MANY * sizeof(*probes));

	for (unsigned i = 0; i < N_MANY; i++)
		timer_start(&wheel, &probes[i].timer, now_us + (i % 2) * ROUND_US, fire);
	assert_int_equal(wheel.n_armed, N_MANY);
	advance_to(now_us + TIMER_TICK_US);
	assert_int_equal(n_fired_of_all, N_MANY / 2);
	assert_int_equal(wheel.n_armed, N_MANY / 2);
	advance_to(now_us + ROUND_US);
	assert_int_equal(n_fired_of_all, N_MANY);
	for (unsigned i = 0; i < N_MANY; i++)
		assert_int_equal(probes[i].n_fired, 1);
	mem_free(probes);
}

/* ---- random histories against a model: one number for each timer, the tick that must fire it ----
 */

#define N_MODEL 200u
#define N_STEPS 20000u

struct model {
	struct probe probe;
	uint64_t deadline_us;
	uint64_t due_tick; /* 0: not armed */
	unsigned n_expected;
};

static void model_start(struct model *m, struct random *random, uint64_t done_tick)
{
	uint64_t span_us = random_below(random, 2) ? 20u * TIMER_TICK_US : 3u * ROUND_US;
	uint64_t deadline_us = now_us + random_below(random, span_us);

	if (random_below(random, 8) == 0)
		deadline_us = now_us - random_below(random, 5u * TIMER_TICK_US);
	timer_start(&wheel, &m->probe.timer, deadline_us, fire);
	m->deadline_us = deadline_us;
	m->due_tick = MAX_OF(deadline_us / TIMER_TICK_US, done_tick) + 1;
}

static void model_advance(struct model *models, struct random *random)
{
	uint64_t step_us = random_below(random, 3) ? 3u * TIMER_TICK_US : 2u * ROUND_US;

	advance_to(now_us + random_below(random, step_us));
	for (unsigned i = 0; i < N_MODEL; i++) {
		struct model *m = &models[i];
		/* After a whole round the sweep may meet it one tick sooner: late enough is enough.
		 */
		bool may = m->deadline_us <= now_us && !timer_is_armed(&m->probe.timer);

		if (m->due_tick && (m->due_tick <= now_us / TIMER_TICK_US || may)) {
			m->due_tick = 0;
			m->n_expected++;
		}
	}
}

static void random_histories(void **state)
{
	static struct model models[N_MODEL];
	struct random random = random_open();

	for (unsigned step = 0; step < N_STEPS; step++) {
		struct model *m = &models[random_below(&random, N_MODEL)];
		unsigned n_armed = 0;

		switch (random_below(&random, 4)) {
		case 0:
			timer_stop(&m->probe.timer);
			m->due_tick = 0;
			break;
		case 1:
			model_advance(models, &random);
			break;
		default:
			model_start(m, &random, now_us / TIMER_TICK_US);
			break;
		}
		for (unsigned i = 0; i < N_MODEL; i++) {
			assert_int_equal(models[i].probe.n_fired, models[i].n_expected);
			assert_int_equal(
				timer_is_armed(&models[i].probe.timer), models[i].due_tick != 0);
			n_armed += models[i].due_tick != 0;
		}
		assert_int_equal(wheel.n_armed, n_armed);
	}
}

int main(void)
{
#define WHEEL_TEST(name) cmocka_unit_test_setup(name, wheel_setup)
	const struct CMUnitTest tests[] = {
		WHEEL_TEST(never_early_and_soon_after),
		WHEEL_TEST(a_deadline_of_zero_is_in_the_past),
		WHEEL_TEST(one_sweep_after_a_long_pause_finds_all),
		WHEEL_TEST(nothing_is_early_after_a_long_pause),
		WHEEL_TEST(the_same_slot_of_a_later_round_stays),
		WHEEL_TEST(starting_again_moves_it),
		WHEEL_TEST(stopping),
		WHEEL_TEST(a_callback_starts_its_timer_again),
		WHEEL_TEST(starting_again_in_the_past_waits_for_the_next_tick),
		WHEEL_TEST(a_callback_stops_a_neighbour),
		WHEEL_TEST(a_callback_puts_a_neighbour_off),
		WHEEL_TEST(who_was_first_to_start_is_first_to_fire),
		WHEEL_TEST(a_callback_may_free_its_timer),
		WHEEL_TEST(thousands_at_once),
		WHEEL_TEST(random_histories),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
