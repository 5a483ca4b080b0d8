/* SPDX-License-Identifier: ISC */
/*
 * Samples that wait to be written, oldest first. At most `max` wait: one more makes the oldest give
 * way, and that is counted. What is being written is apart (at most one batch), so that it neither
 * gives way nor is lost: it is either committed or given back to the front.
 *
 *     n_waiting <= max;  added = committed + n_waiting + n_flying + n_dropped
 *
 * Owner: the sampler; one thread.
 */
#ifndef SERVICE_BACKLOG_H
#define SERVICE_BACKLOG_H

#include "base/base.h"
#include "base/list.h"
#include "record/sample.h"

struct backlog_entry {
	STAILQ_ENTRY(backlog_entry) link;
	struct sample sample;
};

STAILQ_HEAD(backlog_list, backlog_entry);

struct backlog {
	struct backlog_list waiting, flying;
	uint32_t n_waiting, n_flying;
	uint32_t max;
	uint64_t n_dropped; /* since backlog_init() */
};

void backlog_init(struct backlog *backlog, uint32_t max); /* max: at least 1 */
void backlog_release(struct backlog *backlog);
void backlog_limit(struct backlog *backlog, uint32_t max); /* what is too much now gives way */
/* Keeps a copy, with n_dropped filled in. */
void backlog_add(struct backlog *backlog, const struct sample *sample);
/* The oldest, at most n_max, begin to fly: nothing may fly yet. Returns how many. */
uint32_t backlog_take(struct backlog *backlog, uint32_t n_max);
void backlog_commit(struct backlog *backlog);	 /* what flew is written */
void backlog_give_back(struct backlog *backlog); /* it is not */

#endif
