/* SPDX-License-Identifier: ISC */
#include "daemon/metrics.h"

#include "base/mem.h"

#define METRICS_MAGIC 0x4d455452u

struct metrics {
	uint32_t magic;
	struct cluster *cluster;
	struct loop *loop;
	struct mailbox *mailbox;
	struct settings *settings;
	struct timer timer;
	struct lane_pool *lane_pool;
	struct lane_ticket ticket;
};

static void take_delivery(void *arg, struct lane_ticket *ticket)
{
	MUST(ticket == &((struct metrics *)arg)->ticket);
}

struct metrics *metrics_open(struct cluster *cluster, struct loop *loop, struct mailbox *mailbox,
	struct settings *settings)
{
	struct metrics *metrics = mem_zalloc(sizeof(*metrics));

	metrics->magic = METRICS_MAGIC;
	metrics->cluster = cluster;
	metrics->loop = loop;
	metrics->mailbox = mailbox;
	metrics->settings = settings_ref(settings);
	metrics->lane_pool = lane_pool_new(cluster->ledger);
	return metrics;
}

void metrics_change(struct metrics *metrics, struct settings *fresh)
{
	if (metrics == NULL)
		return;
	settings_unref(&metrics->settings);
	metrics->settings = settings_ref(fresh);
}

void metrics_on_delivery(struct metrics *metrics)
{
	CHECK_MAGIC(metrics, METRICS_MAGIC);
	(void)lane_collect(
		metrics->cluster->ledger, metrics->cluster->control_port, take_delivery, metrics);
}

void metrics_close(struct metrics **metrics_p)
{
	struct metrics *metrics = *metrics_p;

	if (metrics == NULL)
		return;
	*metrics_p = NULL;
	CHECK_MAGIC(metrics, METRICS_MAGIC);
	lane_pool_free(metrics->cluster->ledger, &metrics->lane_pool);
	settings_unref(&metrics->settings);
	mem_free(metrics);
}
