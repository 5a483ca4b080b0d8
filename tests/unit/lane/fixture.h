/* SPDX-License-Identifier: ISC */
/*
 * A small ledger, tickets and servers for the tests of src/lane. After every call of these helpers
 * the ledger is checked.
 */
#ifndef TESTS_LANE_FIXTURE_H
#define TESTS_LANE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "lane/lane.h"

enum { LANE_A, LANE_B, LANE_PRIORITY, N_LANES };
enum { N_PORTS = 2, N_POOLS = 3, N_TICKETS = 16, N_IDLE = 16 };

struct fixture {
	struct lane_ledger *ledger;
	struct lane_spec specs[N_LANES];
	struct lane_pool *pools[N_POOLS];
	struct lane_ticket t[N_TICKETS];
	struct lane_idle s[N_IDLE];
	unsigned n_wakes[N_PORTS];
	struct lane_ticket *taken[N_TICKETS];
	unsigned n_taken;
};

static inline void fixture_on_wake(void *arg, unsigned port)
{
	((struct fixture *)arg)->n_wakes[port]++;
}

/* Lanes A, B and the urgent one. */
static inline void fixture_init(struct fixture *f, uint32_t a, uint32_t b, uint32_t urgent)
{
	*f = (struct fixture){.specs = {{.name = "a", .size = a}, {.name = "b", .size = b},
				      {.name = "priority", .size = urgent, .urgent = true}}};
	f->ledger = lane_ledger_new(f->specs, N_LANES, a + b + urgent, N_PORTS, fixture_on_wake, f);
	for (unsigned i = 0; i < N_POOLS; i++)
		f->pools[i] = lane_pool_new(f->ledger);
}

static inline void fixture_resize(struct fixture *f, uint32_t a, uint32_t b, uint32_t urgent)
{
	f->specs[LANE_A].size = a;
	f->specs[LANE_B].size = b;
	f->specs[LANE_PRIORITY].size = urgent;
	lane_resize(f->ledger, f->specs, N_LANES, a + b + urgent);
	lane_check(f->ledger);
}

static inline enum lane_verdict acquire(struct fixture *f, unsigned t, unsigned pool, unsigned lane,
	unsigned priority, unsigned port)
{
	enum lane_verdict verdict =
		lane_acquire(f->ledger, &f->t[t], f->pools[pool], lane, priority, port, 1000 + t);

	lane_check(f->ledger);
	return verdict;
}

/* The server of a ticket of this pool and port becomes idle with the permit's return. */
static inline bool release(struct fixture *f, unsigned t, unsigned server)
{
	bool stays;

	f->s[server].pool = f->t[t].pool;
	if (f->t[t].source != LANE_SOURCE_FOREIGN_IDLE)
		f->s[server].port = f->t[t].port;
	stays = lane_release(f->ledger, &f->t[t], &f->s[server], 2000);
	lane_check(f->ledger);
	return stays;
}

static inline void release_none(struct fixture *f, unsigned t)
{
	assert_true(lane_release(f->ledger, &f->t[t], NULL, 2000));
	lane_check(f->ledger);
}

static inline void abandon(struct fixture *f, unsigned t)
{
	lane_abandon(f->ledger, &f->t[t], 2000);
	lane_check(f->ledger);
}

/* The server of somebody who holds it closes, and Postgres closes its end. */
static inline void close_held(struct fixture *f)
{
	lane_slot_closing(f->ledger, false);
	lane_slot_release(f->ledger, 2000);
	lane_check(f->ledger);
}

static inline void close_claimed(struct fixture *f, unsigned server)
{
	lane_claim_closing(f->ledger, &f->s[server]);
	lane_slot_release(f->ledger, 2000);
	lane_check(f->ledger);
}

static inline void fixture_on_take(void *arg, struct lane_ticket *ticket)
{
	struct fixture *f = arg;

	f->taken[f->n_taken++] = ticket;
}

/* Collects the port; taken[] then has what came. */
static inline unsigned collect(struct fixture *f, unsigned port)
{
	unsigned n;

	f->n_taken = 0;
	n = lane_collect(f->ledger, port, fixture_on_take, f);
	assert_int_equal(n, f->n_taken);
	lane_check(f->ledger);
	return f->n_taken;
}

static inline void assert_taken(
	struct fixture *f, unsigned port, unsigned ticket, enum lane_source source)
{
	assert_int_equal(collect(f, port), 1);
	assert_ptr_equal(f->taken[0], &f->t[ticket]);
	assert_int_equal(f->t[ticket].source, source);
}

static inline struct lane_totals totals(struct fixture *f)
{
	struct lane_reading readings[LANE_MAX];
	struct lane_totals out;

	lane_read(f->ledger, readings, &out);
	return out;
}

static inline struct lane_reading reading(struct fixture *f, unsigned lane)
{
	struct lane_reading readings[LANE_MAX];
	struct lane_totals out;

	assert_int_equal(lane_read(f->ledger, readings, &out), N_LANES);
	return readings[lane];
}

/* Everything back, then the ledger must let itself be freed: nothing was lost on the way. */
static inline void fixture_release(struct fixture *f)
{
	struct lane_idle *idle;

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < N_TICKETS; i++) {
			if (f->t[i].state != LANE_TICKET_HOLDS)
				abandon(f, i);
			if (f->t[i].state == LANE_TICKET_HOLDS)
				release_none(f, i);
		}
	}
	fixture_resize(f, 0, 0, 0);
	while ((idle = lane_excess_idle(f->ledger)) != NULL)
		lane_claim_closing(f->ledger, idle);
	for (unsigned i = 0; i < N_IDLE; i++) {
		if (f->s[i].state == LANE_IDLE_CLAIMED)
			lane_claim_closing(f->ledger, &f->s[i]);
	}
	while (totals(f).n_closing)
		lane_slot_release(f->ledger, 3000);
	while (totals(f).n_orphans) {
		lane_slot_closing(f->ledger, true);
		lane_slot_release(f->ledger, 3000);
	}
	while (totals(f).slots)
		close_held(f);
	for (unsigned i = 0; i < N_POOLS; i++)
		lane_pool_free(f->ledger, &f->pools[i]);
	lane_ledger_free(&f->ledger);
	assert_null(f->ledger);
}

#endif
