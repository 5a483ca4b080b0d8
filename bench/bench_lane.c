/* SPDX-License-Identifier: ISC */
/*
 * What the ledger costs per transaction: acquire and release of a permit with an idle server of the
 * caller's own, by one thread and by several at once. Usage: bench_lane [THREADS [ROUNDS]]. Prints
 * nanoseconds per call, best of five rounds.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "lane/lane.h"

#define N_THREADS_MAX 16

struct bench_thread {
	struct lane_ledger *ledger;
	struct lane_pool *pool;
	pthread_barrier_t *start;
	unsigned port;
	unsigned long n_rounds;
	uint64_t took_us;
};

static void wake_nobody(void *arg, unsigned port)
{
	(void)arg;
	(void)port;
}

static void give_idle(struct bench_thread *b, struct lane_idle *idle)
{
	struct lane_ticket ticket = { 0 };

	MUST(lane_acquire(b->ledger, &ticket, b->pool, 0, LANE_PRIORITY_DEFAULT, b->port, 1) ==
		LANE_GRANTED);
	MUST(ticket.source == LANE_SOURCE_SLOT);
	idle->pool = b->pool;
	idle->port = (uint8_t)b->port;
	MUST(lane_release(b->ledger, &ticket, idle, 1));
}

static void *run(void *arg)
{
	struct bench_thread *b = arg;
	struct lane_ticket ticket = { 0 };
	uint64_t begin_us;

	pthread_barrier_wait(b->start);
	begin_us = clock_mono_us();
	for (unsigned long i = 0; i < b->n_rounds; i++) {
		MUST(lane_acquire(b->ledger, &ticket, b->pool, 0, LANE_PRIORITY_DEFAULT, b->port,
			     i) == LANE_GRANTED);
		MUST(ticket.source == LANE_SOURCE_OWN_IDLE);
		MUST(lane_release(b->ledger, &ticket, ticket.idle, i));
	}
	b->took_us = clock_mono_us() - begin_us;
	return NULL;
}

static void take_out(struct lane_ledger *ledger, struct lane_idle *idle)
{
	MUST(lane_idle_remove(ledger, idle));
	lane_slot_closing(ledger, false);
	lane_slot_release(ledger, 1);
}

/* Nanoseconds per call, as each of the threads sees it. */
static double round_ns(struct lane_ledger *ledger, unsigned n_threads, unsigned long n_rounds)
{
	struct bench_thread threads[N_THREADS_MAX];
	struct lane_idle idle[N_THREADS_MAX] = { 0 };
	pthread_t ids[N_THREADS_MAX];
	pthread_barrier_t start;
	uint64_t took_us = 0;

	MUST(pthread_barrier_init(&start, NULL, n_threads) == 0);
	for (unsigned i = 0; i < n_threads; i++) {
		threads[i] = (struct bench_thread){.ledger = ledger,
			.pool = lane_pool_new(ledger),
			.start = &start,
			.port = i,
			.n_rounds = n_rounds};
		give_idle(&threads[i], &idle[i]);
	}
	for (unsigned i = 0; i < n_threads; i++)
		MUST(pthread_create(&ids[i], NULL, run, &threads[i]) == 0);
	for (unsigned i = 0; i < n_threads; i++) {
		MUST(pthread_join(ids[i], NULL) == 0);
		took_us = MAX_OF(took_us, threads[i].took_us);
		take_out(ledger, &idle[i]);
		lane_pool_free(ledger, &threads[i].pool);
	}
	pthread_barrier_destroy(&start);
	return (double)took_us * 1000.0 / (double)n_rounds / 2.0;
}

int main(int argc, char **argv)
{
	const struct lane_spec specs[] = {
		{.name = "default", .size = 175},
		{.name = "priority", .size = 5, .urgent = true},
	};
	unsigned n_threads = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
	unsigned long n_rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 5000000;
	struct lane_ledger *ledger;
	double best_ns = 0;

	if (n_threads < 1 || n_threads > N_THREADS_MAX || n_rounds == 0) {
		fprintf(stderr, "usage: bench_lane [THREADS [ROUNDS]]\n");
		return 1;
	}
	ledger = lane_ledger_new(specs, N_ELEMENTS(specs), 180, N_THREADS_MAX, wake_nobody, NULL);
	for (unsigned i = 0; i < 5; i++) {
		double ns = round_ns(ledger, n_threads, n_rounds);

		best_ns = i == 0 ? ns : MIN_OF(best_ns, ns);
	}
	printf("%u thread(s): %.1f ns per call (acquire or release)\n", n_threads, best_ns);
	lane_ledger_free(&ledger);
	return 0;
}
