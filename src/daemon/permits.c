/* SPDX-License-Identifier: ISC */
#include "daemon/permits.h"

#include "base/clock.h"
#include "base/mem.h"
#include "session/client.h"

#define PERMIT_MAGIC 0x5045524du

struct eviction {
	struct mail mail;
	struct lane_idle *idle;
};

static void on_eviction(struct mail *mail, void *owner)
{
	struct eviction *eviction = CONTAINER_OF(mail, struct eviction, mail);

	server_claimed(owner, eviction->idle, NULL);
	mem_free(eviction);
}

/* An idle server is closed for us, by the worker that owns it. */
static void evict(struct cluster *cluster, struct lane_idle *idle)
{
	struct eviction *eviction = mem_zalloc(sizeof(*eviction));

	eviction->idle = idle;
	mailbox_post(&cluster->workers[idle->port].mailbox, &eviction->mail, on_eviction);
}

/* true: the slot is there, too. */
static bool has_slot(struct permit *permit)
{
	switch (permit->ticket.source) {
	case LANE_SOURCE_SLOT:
		return true;
	case LANE_SOURCE_EVICT:
		evict(permit->permits->cluster, permit->ticket.idle);
		return false;
	case LANE_SOURCE_AWAIT_SLOT:
		return false;
	case LANE_SOURCE_NONE:
	case LANE_SOURCE_OWN_IDLE:
	case LANE_SOURCE_FOREIGN_IDLE:
	default:
		UNREACHABLE("a pool of the control thread's has an idle server");
	}
}

static enum permit_verdict acquire(void *arg)
{
	struct permit *permit = arg;
	struct permits *permits = permit->permits;
	struct cluster *cluster = permits->cluster;

	CHECK_MAGIC(permit, PERMIT_MAGIC);
	switch (lane_acquire(cluster->ledger, &permit->ticket, permit->lane_pool, permits->lane,
		permit->priority, cluster->control_port, clock_mono_us())) {
	case LANE_GRANTED:
		return has_slot(permit) ? PERMIT_GRANTED : PERMIT_WAITS;
	case LANE_QUEUED:
		return PERMIT_WAITS;
	case LANE_REFUSED:
	default:
		return PERMIT_REFUSED;
	}
}

static void cancel(void *arg)
{
	struct permit *permit = arg;

	lane_abandon(permit->permits->cluster->ledger, &permit->ticket, clock_mono_us());
}

static void closing(void *arg)
{
	struct permit *permit = arg;
	struct lane_ledger *ledger = permit->permits->cluster->ledger;
	bool stays = lane_release(ledger, &permit->ticket, NULL, clock_mono_us());

	MUST(stays); /* there is no server to refuse */
	lane_slot_closing(ledger, false);
}

static void closed(void *arg)
{
	struct permit *permit = arg;

	lane_slot_release(permit->permits->cluster->ledger, clock_mono_us());
}

const struct permit_ops permit_ops = {
	.acquire = acquire,
	.cancel = cancel,
	.closing = closing,
	.closed = closed,
};

static void take_delivery(void *arg, struct lane_ticket *ticket)
{
	struct permit *permit = CONTAINER_OF(ticket, struct permit, ticket);

	CHECK_MAGIC(permit, PERMIT_MAGIC);
	if (has_slot(permit))
		permit->granted(permit->arg);
}

void permits_on_delivery(struct permits *permits)
{
	(void)lane_collect(permits->cluster->ledger, permits->cluster->control_port, take_delivery,
		NULL);
}

unsigned permits_n_waiting(const struct permits *permits)
{
	const struct permit *permit;
	unsigned n = 0;

	LIST_FOREACH(permit, &permits->all, link)
	n += permit->ticket.state == LANE_TICKET_WAITS_PERMIT;
	return n;
}

/* ---- life ---- */

void permits_open(struct permits *permits, struct cluster *cluster, const struct config *config)
{
	permits->cluster = cluster;
	LIST_INIT(&permits->all);
	permits_change(permits, config);
}

void permits_change(struct permits *permits, const struct config *config)
{
	permits->lane = config->lane_of_class[QUERY_DEFAULT];
}

void permit_open(struct permit *permit, struct permits *permits, unsigned priority,
	void (*granted)(void *arg), void *arg)
{
	memset(permit, 0, sizeof(*permit));
	permit->magic = PERMIT_MAGIC;
	permit->permits = permits;
	permit->lane_pool = lane_pool_new(permits->cluster->ledger);
	permit->priority = priority;
	permit->granted = granted;
	permit->arg = arg;
	LIST_INSERT_HEAD(&permits->all, permit, link);
}

void permit_close(struct permit *permit)
{
	CHECK_MAGIC(permit, PERMIT_MAGIC);
	LIST_REMOVE(permit, link);
	lane_pool_free(permit->permits->cluster->ledger, &permit->lane_pool);
	permit->magic = 0;
}
