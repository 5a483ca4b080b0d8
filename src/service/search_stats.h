/* SPDX-License-Identifier: ISC */
/*
 * How often objects were found, kept in memory and added up in ml_vector_search_stats of
 * outbox_database once a search_stats_period: one connection of the budget for a batch, none between.
 * Bounded: objects beyond SEARCH_STATS_MAX that were not found before are not counted.
 * A batch whose fate is not known is not written again: no hit counts twice.
 *
 * Owner: the control thread; everything on its loop.
 */
#ifndef SERVICE_SEARCH_STATS_H
#define SERVICE_SEARCH_STATS_H

#include "config/config.h"
#include "io/loop.h"
#include "record/search.h"
#include "service/permit.h"
#include "service/wv_query.h"

#define SEARCH_STATS_MAX 100000u
#define SEARCH_STATS_BATCH 10000u

struct search_stats;

struct search_stats *search_stats_new(struct loop *loop, struct config *config,
	struct search_counters *counters, const struct permit_ops *permits, void *permit);
void search_stats_change(struct search_stats *stats, struct config *config);
void search_stats_add(struct search_stats *stats, const char *collection,
	const struct wv_found *found);
void search_stats_granted(struct search_stats *stats); /* after PERMIT_WAITS */
/* The end: what was not written is lost. Waits at most patience_us for the server. Nulls; NULL is fine. */
void search_stats_free(struct search_stats **stats, uint64_t patience_us);

/* The entity type whose objects are in the collection: an [entity:TYPE] that names it, or the type of which sql/ makes this name
 * (ServiceEventVector: service_event). false: none. Pure. */
#define ENTITY_TYPE_MAX_BYTES 51u
bool search_stats_type(const struct config *config, const char *collection,
	char type_r[static ENTITY_TYPE_MAX_BYTES]);

#endif
