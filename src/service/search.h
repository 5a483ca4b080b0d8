/* SPDX-License-Identifier: ISC */
/*
 * Searches in Weaviate. Each is asked once and answered once. At most search_requests of them are
 * under way, the others wait in order; each has search_timeout for all of it. Which interface the
 * server has is asked of /v1/meta ahead of the first, and again after a failure. A breaker answers
 * at once while Weaviate is down, a cache (off by default) while the answer is known.
 *
 * Owner: the control thread; everything on its loop.
 */
#ifndef SERVICE_SEARCH_H
#define SERVICE_SEARCH_H

#include "config/config.h"
#include "io/loop.h"
#include "record/search.h"
#include "service/wv_query.h"

struct search_service;

/* found: what was found, for who counts it; may be NULL. */
struct search_service *search_service_new(struct loop *loop, struct config *config,
	struct search_counters *counters,
	void (*found)(void *arg, const char *collection, const struct wv_found *objects),
	void *found_arg); /* references config */
void search_service_change(struct search_service *service, struct config *config);
/* request and answer are borrowed until done, which may be called before this returns. id: no other
 * search has it. */
void search_service_ask(struct search_service *service, uint64_t id,
	const struct search_request *request, struct search_answer *answer,
	void (*done)(void *arg), void *arg);
/* Nobody waits for it any more: its place is another's, and it is answered now. Nothing if it was answered. */
void search_service_abandon(struct search_service *service, uint64_t id);
/* What was not answered is answered: it failed. Nulls; NULL is fine. */
void search_service_free(struct search_service **service);

#endif
