/* SPDX-License-Identifier: ISC */
#include "service/outbox_meter.h"

#include <string.h>

#define WINDOW_US 60000000u

void outbox_meter_init(struct outbox_meter *meter, uint64_t now_us)
{
	memset(meter, 0, sizeof(*meter));
	meter->present.began_us = meter->last.began_us = meter->last.ended_us = now_us;
}

/* Two windows: a report covers the present one and the whole one before it. */
static void move(struct outbox_meter *meter, uint64_t now_us)
{
	if (now_us - meter->present.began_us < WINDOW_US)
		return;
	meter->last = meter->present;
	meter->last.ended_us = now_us;
	memset(&meter->present, 0, sizeof(meter->present));
	meter->present.began_us = now_us;
}

void outbox_meter_count(struct outbox_meter *meter, const struct flight_counts *counts)
{
	meter->n_stored += counts->n_stored;
	meter->n_deleted += counts->n_deleted;
	meter->n_failed += counts->n_failed;
	meter->n_parked += counts->n_parked;
}

void outbox_meter_lag(struct outbox_meter *meter, uint64_t age_us, uint64_t now_us)
{
	move(meter, now_us);
	histogram_add(&meter->present.lag_us, age_us);
}

void outbox_meter_report(struct outbox_meter *meter, struct outbox_report *report, uint64_t now_us)
{
	struct histogram lag_us;
	uint64_t elapsed_us;

	/* What is older than the window before the present one says nothing of now. */
	move(meter, now_us);
	if (now_us - meter->last.ended_us > WINDOW_US)
		memset(&meter->last.lag_us, 0, sizeof(meter->last.lag_us));
	lag_us = meter->last.lag_us;
	histogram_merge(&lag_us, &meter->present.lag_us);
	elapsed_us = now_us - meter->last.began_us;
	report->n_stored = meter->n_stored;
	report->n_deleted = meter->n_deleted;
	report->n_failed = meter->n_failed;
	report->n_parked = meter->n_parked;
	report->rate_permille = elapsed_us ? lag_us.n * UINT64_C(1000000000) / elapsed_us : 0;
	report->lag_p50_us = lag_us.n ? histogram_permille(&lag_us, 500) : OUTBOX_NULL;
	report->lag_p99_us = lag_us.n ? histogram_permille(&lag_us, 990) : OUTBOX_NULL;
	report->lag_max_us = lag_us.n ? lag_us.max : OUTBOX_NULL;
}
