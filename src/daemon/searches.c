/* SPDX-License-Identifier: ISC */
#include "daemon/searches.h"

#include <stdio.h>

#include "base/mem.h"
#include "service/search.h"
#include "service/search_stats.h"

#define SEARCHES_MAGIC 0x53524348u

/* How long the end of the process waits for PostgreSQL to close its end of our connection. */
#define END_PATIENCE_US 1000000u

struct searches {
	uint32_t magic;
	struct mailbox *mailbox;
	struct search_service *service; /* NULL: closed */
	struct search_stats *stats;
	struct permit permit; /* of its connection */
};

/* What the control thread adds to a search for its time there. */
struct order {
	struct mail mail;
	struct searches *searches;
	struct search *search; /* NULL: the one with this id is nobody's any more, and perhaps no more */
	uint64_t id;
};

static void on_done(void *arg)
{
	search_answered(arg);
}

static void on_order(struct mail *mail, void *owner)
{
	struct order *order = CONTAINER_OF(mail, struct order, mail);
	struct searches *searches = order->searches;
	struct search *search = order->search;
	uint64_t id = order->id;

	CHECK_MAGIC(searches, SEARCHES_MAGIC);
	mem_free(order);
	if (search == NULL) {
		if (searches->service)
			search_service_abandon(searches->service, id);
		return;
	}
	if (searches->service) {
		search_service_ask(searches->service, id, &search->request, &search->answer,
			on_done, search);
		return;
	}
	search->answer.outcome = SEARCH_UNAVAILABLE;
	(void)snprintf(search->answer.why, sizeof(search->answer.why), "pglane is shutting down");
	search_answered(search);
}

static void post(struct searches *searches, struct search *search, uint64_t id)
{
	struct order *order = mem_zalloc(sizeof(*order));

	order->searches = searches;
	order->search = search;
	order->id = id;
	mailbox_post(searches->mailbox, &order->mail, on_order);
}

void searches_ask(struct searches *searches, struct search *search)
{
	post(searches, search, search->id);
}

void searches_abandon(struct searches *searches, uint64_t id)
{
	post(searches, NULL, id);
}

static void on_found(void *arg, const char *collection, const struct wv_found *found)
{
	struct searches *searches = arg;

	search_stats_add(searches->stats, collection, found);
}

static void on_granted(void *arg)
{
	struct searches *searches = arg;

	CHECK_MAGIC(searches, SEARCHES_MAGIC);
	search_stats_granted(searches->stats);
}

struct searches *searches_open(struct cluster *cluster, struct loop *loop, struct mailbox *mailbox,
	struct permits *permits, struct config *config)
{
	struct searches *searches = mem_zalloc(sizeof(*searches));

	searches->magic = SEARCHES_MAGIC;
	searches->mailbox = mailbox;
	permit_open(&searches->permit, permits, LANE_PRIORITY_DEFAULT, on_granted, searches);
	searches->stats = search_stats_new(
		loop, config, &cluster->searches, &permit_ops, &searches->permit);
	searches->service =
		search_service_new(loop, config, &cluster->searches, on_found, searches);
	return searches;
}

void searches_change(struct searches *searches, struct config *config)
{
	search_service_change(searches->service, config);
	search_stats_change(searches->stats, config);
}

void searches_close(struct searches *searches)
{
	search_service_free(&searches->service);
	search_stats_free(&searches->stats, END_PATIENCE_US);
	permit_close(&searches->permit);
}

void searches_free(struct searches **searches)
{
	MUST((*searches)->service == NULL);
	(*searches)->magic = 0;
	mem_free(*searches);
	*searches = NULL;
}
