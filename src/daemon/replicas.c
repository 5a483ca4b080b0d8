/* SPDX-License-Identifier: ISC */
#include "daemon/replicas.h"

#include "base/mem.h"
#include "service/replicas.h"
#include "session/replica.h"

#define WATCH_MAGIC 0x57415443u

/* How long the end of the process waits for each server to close its end. */
#define END_PATIENCE_US 1000000u

struct watched {
	LIST_ENTRY(watched) link;
	struct shared_database *database; /* a reference: what is known stays while it is watched */
	uint32_t lanes;			  /* 1 << lane that may use it */
};

struct replica_watch {
	uint32_t magic;
	struct cluster *cluster;
	struct permits *permits;
	struct settings *settings;
	struct replicas *replicas;
	LIST_HEAD(, watched) all;
	struct probe_permits probe_permits;
};

/* ---- permits ---- */

static void *new_permit(void *arg, void (*granted)(void *probe), void *probe)
{
	struct replica_watch *watch = arg;
	struct permit *permit = mem_zalloc(sizeof(*permit));

	/* It is kept for long: none of the urgent lane's. */
	permit_open(permit, watch->permits, LANE_PRIORITY_URGENT - 1, granted, probe);
	return permit;
}

static void free_permit(void *arg)
{
	struct permit *permit = arg;

	permit_close(permit);
	mem_free(permit);
}

/* ---- reports ---- */

static struct watched *watched_of(struct replica_watch *watch, const char *name)
{
	struct watched *watched;

	LIST_FOREACH(watched, &watch->all, link)
		if (strcmp(watched->database->name, name) == 0)
			return watched;
	watched = mem_zalloc(sizeof(*watched));
	watched->database = registry_database(name);
	LIST_INSERT_HEAD(&watch->all, watched, link);
	return watched;
}

static uint32_t lanes_of(const struct config *config, const struct replica_report *report)
{
	uint32_t lanes = 0;

	for (unsigned i = 0; i < config->n_lanes; i++) {
		const struct config_lane *lane = &config->lanes[i];

		if (report->state == REPLICA_UP && lane->target == TARGET_REPLICA &&
			(lane->max_lag_us == 0 || report->lag_us <= lane->max_lag_us))
			lanes |= UINT32_C(1) << i;
	}
	return lanes;
}

/* It can be reached, whatever failed a moment ago. */
static void close_circuit(void *arg, struct shared_pool *pool)
{
	if (pool->database == arg)
		STAT_SET(pool->failed_until_us, 0);
}

static void on_report(void *arg, const char *name, const struct replica_report *report)
{
	struct replica_watch *watch = arg;
	struct watched *watched = watched_of(watch, name);
	struct replica_status *status = &watched->database->replica;
	uint32_t lanes = lanes_of(watch->settings->config, report);

	if (report->state == REPLICA_UP && STAT_READ(status->state) != REPLICA_UP)
		registry_each_pool(close_circuit, watched->database);
	STAT_SET(status->lag_us, report->lag_us);
	STAT_SET(status->lag_bytes, report->lag_bytes);
	STAT_SET(status->state, report->state);
	registry_lock();
	memcpy(watched->database->replica_reason, report->reason, sizeof(report->reason));
	registry_unlock();
	if (lanes != watched->lanes)
		replica_tell(watch->cluster);
	watched->lanes = lanes;
}

static void drop(struct watched *watched)
{
	STAT_SET(watched->database->replica.state, REPLICA_UNKNOWN);
	shared_database_unref(&watched->database);
	LIST_REMOVE(watched, link);
	mem_free(watched);
}

static void on_forget(void *arg, const char *name)
{
	struct replica_watch *watch = arg;

	drop(watched_of(watch, name));
	replica_tell(watch->cluster);
}

static const struct replicas_ops ops = {
	.report = on_report,
	.forget = on_forget,
};

/* ---- life ---- */

struct replica_watch *replica_watch_open(struct cluster *cluster, struct loop *loop,
	struct permits *permits, struct settings *settings)
{
	struct replica_watch *watch = mem_zalloc(sizeof(*watch));

	watch->magic = WATCH_MAGIC;
	watch->cluster = cluster;
	watch->permits = permits;
	watch->settings = settings_ref(settings);
	LIST_INIT(&watch->all);
	watch->probe_permits = (struct probe_permits){
		.ops = &permit_ops,
		.new = new_permit,
		.free = free_permit,
		.arg = watch,
	};
	watch->replicas =
		replicas_new(loop, settings->config, &watch->probe_permits, &ops, watch);
	return watch;
}

void replica_watch_change(struct replica_watch *watch, struct settings *fresh)
{
	if (watch == NULL)
		return;
	CHECK_MAGIC(watch, WATCH_MAGIC);
	settings_unref(&watch->settings);
	watch->settings = settings_ref(fresh);
	replicas_change(watch->replicas, fresh->config);
}

void replica_watch_close(struct replica_watch **watch_p)
{
	struct replica_watch *watch = *watch_p;

	*watch_p = NULL;
	if (watch == NULL)
		return;
	CHECK_MAGIC(watch, WATCH_MAGIC);
	replicas_free(&watch->replicas, END_PATIENCE_US);
	MUST(LIST_EMPTY(&watch->all));
	settings_unref(&watch->settings);
	watch->magic = 0;
	mem_free(watch);
}
