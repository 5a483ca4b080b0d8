/* SPDX-License-Identifier: ISC */
/*
 * One sample of the pool: what a row of db_connection_pool_metrics says. A plain value, copied from
 * hand to hand. Everything is a uint64_t, so that one table can name the fields
 * (service/sample_rows.c); SAMPLE_NULL stands for "there is nothing to say", which is not zero.
 */
#ifndef RECORD_SAMPLE_H
#define RECORD_SAMPLE_H

#include "base/base.h"

#define SAMPLE_NULL UINT64_MAX
#define SAMPLE_ID_BYTES 16u

/* Of the statements of one kind that ended within the period; both NULL when there were none. */
struct sample_times {
	uint64_t mean_us, max_us;
};

struct sample {
	uint8_t id[SAMPLE_ID_BYTES]; /* the row's id: writing it twice makes one row */
	uint64_t taken_wall_us;
	uint64_t n_connections; /* n_active + n_idle */
	uint64_t n_active, n_idle, n_waiting;
	uint64_t n_ml, n_vector, n_training; /* permits in use of the lanes of these classes */
	uint64_t n_slow, n_connection_errors;
	struct sample_times all, serving, vector, hybrid, training, others; /* others: class default */
	uint64_t cpu, memory, iowait; /* hundredths of a percent */
	uint64_t n_dropped;	      /* samples lost since start, when this one was kept */
	uint64_t n_hopped, n_spilled, n_denied; /* statements, in the period */
	/* The outbox as it stands; NULL: nothing is forwarded, or its database did not say. */
	uint64_t outbox_depth, outbox_dead, outbox_oldest_age_us;
	uint64_t outbox_lag_p50_us, outbox_lag_p99_us; /* of what was delivered in the last minute or two */
	uint64_t n_outbox_delivered, n_outbox_failed, n_outbox_request_errors; /* in the period */
};

#endif
