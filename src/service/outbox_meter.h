/* SPDX-License-Identifier: ISC */
/*
 * What the forwarder has done: counts since its start; rate and lag of the last minute or two. Pure; times are mono_us.
 */
#ifndef SERVICE_OUTBOX_METER_H
#define SERVICE_OUTBOX_METER_H

#include "record/outbox.h"
#include "service/flight.h"
#include "stats/histogram.h"

struct outbox_window {
	struct histogram lag_us;
	uint64_t began_us, ended_us; /* ended_us 0: it is the present one */
};

struct outbox_meter {
	uint64_t n_stored, n_deleted, n_failed, n_parked;
	struct outbox_window present, last;
};

void outbox_meter_init(struct outbox_meter *meter, uint64_t now_us);
void outbox_meter_count(struct outbox_meter *meter, const struct flight_counts *counts);
void outbox_meter_lag(struct outbox_meter *meter, uint64_t age_us, uint64_t now_us);
void outbox_meter_report(struct outbox_meter *meter, struct outbox_report *report, uint64_t now_us);

#endif
