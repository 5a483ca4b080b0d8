/* SPDX-License-Identifier: ISC */
#include "service/backlog.h"

#include "base/mem.h"

static void drop_first(struct backlog_list *list)
{
	struct backlog_entry *entry = STAILQ_FIRST(list);

	STAILQ_REMOVE_HEAD(list, link);
	mem_free(entry);
}

static void drop_excess(struct backlog *backlog)
{
	for (; backlog->n_waiting > backlog->max; backlog->n_waiting--) {
		drop_first(&backlog->waiting);
		backlog->n_dropped++;
	}
}

void backlog_init(struct backlog *backlog, uint32_t max)
{
	MUST(max > 0);
	memset(backlog, 0, sizeof(*backlog));
	STAILQ_INIT(&backlog->waiting);
	STAILQ_INIT(&backlog->flying);
	backlog->max = max;
}

void backlog_release(struct backlog *backlog)
{
	while (!STAILQ_EMPTY(&backlog->flying))
		drop_first(&backlog->flying);
	while (!STAILQ_EMPTY(&backlog->waiting))
		drop_first(&backlog->waiting);
	backlog->n_waiting = backlog->n_flying = 0;
}

void backlog_limit(struct backlog *backlog, uint32_t max)
{
	MUST(max > 0);
	backlog->max = max;
	drop_excess(backlog);
}

void backlog_add(struct backlog *backlog, const struct sample *sample)
{
	struct backlog_entry *entry = mem_alloc(sizeof(*entry));

	entry->sample = *sample;
	STAILQ_INSERT_TAIL(&backlog->waiting, entry, link);
	backlog->n_waiting++;
	/* max is at least 1: the one just added stays, and tells of the one that gave way for it. */
	drop_excess(backlog);
	entry->sample.n_dropped = backlog->n_dropped;
}

uint32_t backlog_take(struct backlog *backlog, uint32_t n_max)
{
	struct backlog_entry *entry;

	MUST(backlog->n_flying == 0);
	while (backlog->n_flying < n_max && (entry = STAILQ_FIRST(&backlog->waiting)) != NULL) {
		STAILQ_REMOVE_HEAD(&backlog->waiting, link);
		STAILQ_INSERT_TAIL(&backlog->flying, entry, link);
		backlog->n_waiting--;
		backlog->n_flying++;
	}
	return backlog->n_flying;
}

void backlog_commit(struct backlog *backlog)
{
	while (!STAILQ_EMPTY(&backlog->flying))
		drop_first(&backlog->flying);
	backlog->n_flying = 0;
}

void backlog_give_back(struct backlog *backlog)
{
	STAILQ_CONCAT(&backlog->flying, &backlog->waiting);
	STAILQ_CONCAT(&backlog->waiting, &backlog->flying);
	backlog->n_waiting += backlog->n_flying;
	backlog->n_flying = 0;
	drop_excess(backlog);
}
