/* SPDX-License-Identifier: ISC */
/*
 * What the forwarder says of itself and of the outbox, and what it can be told: plain values that cross threads. Times are microseconds; OUTBOX_NULL: not known.
 */
#ifndef RECORD_OUTBOX_H
#define RECORD_OUTBOX_H

#include "base/base.h"

#define OUTBOX_NULL UINT64_MAX
#define OUTBOX_TEXT_BYTES 512u

enum outbox_order {
	OUTBOX_REPORT,
	OUTBOX_GLANCE, /* a report for the metrics: of what is known, where the database is away; fails where nothing is forwarded */
	OUTBOX_RETRY,  /* dead notes live again: the argument says which */
	OUTBOX_PAUSE,  /* nothing more is leased; what flies is finished */
	OUTBOX_RESUME,
};

struct outbox_report {
	const char *state; /* one word; a literal */
	/* Of the database, as of now. */
	uint64_t n_waiting, n_leased, n_failing, n_dead;
	uint64_t oldest_age_us; /* OUTBOX_NULL: the outbox is empty, too */
	/* Of this process, since its start. */
	uint64_t n_stored, n_deleted, n_failed, n_parked;
	uint64_t n_request_errors; /* requests that Weaviate did not answer, or refused as a whole */
	uint64_t n_flying;
	/* Of the last minute or two. */
	uint64_t rate_permille; /* delivered in 1000 s */
	uint64_t lag_p50_us, lag_p99_us, lag_max_us;
	char dead_reasons[OUTBOX_TEXT_BYTES]; /* "rejected=3, vector=1" */
	char trouble[OUTBOX_TEXT_BYTES];      /* what keeps it from forwarding; "": nothing */
	uint64_t n_revived;		      /* answer to OUTBOX_RETRY */
};

/* text: why it failed, where ok is false. Both are the callback's only. On the control thread. */
typedef void outbox_done(void *arg, bool ok, const struct outbox_report *report, const char *text);

#endif
