/* SPDX-License-Identifier: ISC */
#include "service/replicas.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "service/lag.h"

#define REPLICAS_MAGIC 0x5245504cu

/* Functions that every role may call. */
#define QUESTION                                                                                   \
	"SELECT pg_catalog.pg_is_in_recovery(), "                                                  \
	"(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() "      \
	"ELSE pg_catalog.pg_current_wal_lsn() END - '0/0'::pg_catalog.pg_lsn)::pg_catalog.text, "  \
	"(SELECT system_identifier FROM pg_catalog.pg_control_system())"

/* A primary that was heard of so many periods ago still is where it was. */
#define PERIODS_OF_NEWS 2u

struct answer {
	bool in_recovery;
	uint64_t position;
	char cluster[24];
};

/* An entry of [databases] that others are replicas of. */
struct primary {
	LIST_ENTRY(primary) link;
	struct replicas *replicas;
	char *name;
	struct probe *probe;
	struct lag_past past;
	char cluster[24]; /* "": not known yet */
	bool wanted;	  /* by the configuration that is taken in */
};

struct replica {
	LIST_ENTRY(replica) link;
	struct replicas *replicas;
	struct primary *primary;
	char *name;
	struct probe *probe;
	struct answer answer; /* the last one */
	struct replica_report report;
	bool wanted;
};

struct replicas {
	uint32_t magic;
	struct loop *loop;
	struct resolver *resolver;
	struct config *config;
	const struct probe_permits *permits;
	const struct replicas_ops *ops;
	void *arg;
	struct probe_list closing;
	LIST_HEAD(, primary) primaries;
	LIST_HEAD(, replica) all;
};

/* ---- answers ---- */

static bool read_answer(const PGresult *result, struct answer *answer)
{
	char *end;

	if (PQntuples(result) != 1 || PQnfields(result) != 3)
		return false;
	answer->in_recovery = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
	answer->position = strtoull(PQgetvalue(result, 0, 1), &end, 10);
	(void)snprintf(answer->cluster, sizeof(answer->cluster), "%s", PQgetvalue(result, 0, 2));
	return *end == '\0';
}

static void report(struct replica *replica, const struct replica_report *report)
{
	bool is_news = report->state != replica->report.state;

	replica->report = *report;
	if (is_news)
		log_write(report->state == REPLICA_UP ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
			"replica %s of database %s is %s%s%s", replica->name,
			replica->primary->name, replica_state_name(report->state),
			report->reason[0] ? ": " : "", report->reason);
	replica->replicas->ops->report(replica->replicas->arg, replica->name, report);
}

static uint64_t lag_now(const struct replica *replica)
{
	const struct lag_past *past = &replica->primary->past;
	uint64_t lag_us = lag_of(past, clock_mono_us(), replica->answer.position);
	uint64_t news_us = PERIODS_OF_NEWS * replica->replicas->config->replica_check_period_us;

	return lag_us <= news_us && lag_bytes(past, replica->answer.position) == 0 ? 0 : lag_us;
}

/* By its last answer, and what is known of its primary. */
static void judge(struct replica *replica)
{
	const struct answer *answer = &replica->answer;
	const char *cluster = replica->primary->cluster;
	struct replica_report fresh = { .state = REPLICA_UP };

	if (!answer->in_recovery) {
		fresh.state = REPLICA_PROMOTED;
		(void)snprintf(fresh.reason, sizeof(fresh.reason), "it is not in recovery");
	} else if (cluster[0] && strcmp(cluster, answer->cluster) != 0) {
		fresh.state = REPLICA_FOREIGN;
		(void)snprintf(fresh.reason, sizeof(fresh.reason),
			"its system identifier is %s, that of %s is %s", answer->cluster,
			replica->primary->name, cluster);
	} else {
		fresh.lag_us = lag_now(replica);
		fresh.lag_bytes = lag_bytes(&replica->primary->past, answer->position);
		if (fresh.lag_us == LAG_UNKNOWN)
			(void)snprintf(fresh.reason, sizeof(fresh.reason),
				"its primary could not be asked yet");
	}
	report(replica, &fresh);
}

static void primary_answered(void *arg, const PGresult *result)
{
	struct primary *primary = arg;
	bool is_first = primary->past.n == 0;
	struct replica *replica;
	struct answer answer;

	if (!read_answer(result, &answer))
		return;
	memcpy(primary->cluster, answer.cluster, sizeof(primary->cluster));
	lag_see(&primary->past, clock_mono_us(), answer.position);
	LIST_FOREACH(replica, &primary->replicas->all, link)
		if (is_first && replica->primary == primary &&
			replica->report.state == REPLICA_UP)
			judge(replica);
}

/* Its replicas are judged by what was known of it; how old that is, is part of their lag. */
static void primary_failed(void *arg, const char *why)
{
	struct primary *primary = arg;

	log_rated(LOG_LEVEL_WARNING, "replicas: database %s cannot be asked where it is: %s",
		primary->name, why);
}

static const struct probe_ops primary_ops = {
	.answered = primary_answered,
	.failed = primary_failed,
};

static void replica_answered(void *arg, const PGresult *result)
{
	struct replica *replica = arg;
	struct replica_report fresh = {
		.state = REPLICA_DOWN, .reason = "its answer is not understood" };

	if (read_answer(result, &replica->answer))
		judge(replica);
	else
		report(replica, &fresh);
}

static void replica_failed(void *arg, const char *why)
{
	struct replica_report fresh = { .state = REPLICA_DOWN };

	(void)snprintf(fresh.reason, sizeof(fresh.reason), "%s", why);
	report(arg, &fresh);
}

static const struct probe_ops replica_ops = {
	.answered = replica_answered,
	.failed = replica_failed,
};

/* ---- who is watched ---- */

static struct probe *new_probe(struct replicas *replicas, const char *database,
	const struct probe_ops *ops, void *arg)
{
	struct probe_params params = {
		.loop = replicas->loop,
		.resolver = replicas->resolver,
		.permits = replicas->permits,
		.database = database,
		.sql = QUESTION,
		.closing = &replicas->closing,
	};

	return probe_new(&params, replicas->config, ops, arg);
}

static struct primary *want_primary(struct replicas *replicas, const char *name)
{
	struct primary *primary;

	LIST_FOREACH(primary, &replicas->primaries, link)
		if (strcmp(primary->name, name) == 0)
			break;
	if (primary == NULL) {
		primary = mem_zalloc(sizeof(*primary));
		primary->replicas = replicas;
		primary->name = mem_strdup(name);
		LIST_INSERT_HEAD(&replicas->primaries, primary, link);
	} else if (!probe_change(primary->probe, replicas->config)) {
		probe_close(&primary->probe);
		memset(&primary->past, 0, sizeof(primary->past));
		primary->cluster[0] = '\0';
	}
	primary->wanted = true;
	if (primary->probe == NULL)
		primary->probe = new_probe(replicas, name, &primary_ops, primary);
	return primary;
}

/* Of several entries that name it the first is what it is compared with. */
static void want_replica(struct replicas *replicas, struct primary *primary, const char *name)
{
	struct replica *replica;

	LIST_FOREACH(replica, &replicas->all, link)
		if (strcmp(replica->name, name) == 0)
			break;
	if (replica && replica->wanted)
		return;
	if (replica == NULL) {
		replica = mem_zalloc(sizeof(*replica));
		replica->replicas = replicas;
		replica->name = mem_strdup(name);
		LIST_INSERT_HEAD(&replicas->all, replica, link);
	} else if (!probe_change(replica->probe, replicas->config)) {
		probe_close(&replica->probe);
	}
	replica->primary = primary;
	replica->wanted = true;
	if (replica->probe == NULL) {
		replica->probe = new_probe(replicas, name, &replica_ops, replica);
		report(replica, &(struct replica_report){ .reason = "it is being asked" });
	}
}

static void drop_unwanted(struct replicas *replicas)
{
	struct primary *primary, *next_primary;
	struct replica *replica, *next;

	for (replica = LIST_FIRST(&replicas->all); replica; replica = next) {
		next = LIST_NEXT(replica, link);
		if (replica->wanted)
			continue;
		replicas->ops->forget(replicas->arg, replica->name);
		probe_close(&replica->probe);
		LIST_REMOVE(replica, link);
		mem_free(replica->name);
		mem_free(replica);
	}
	for (primary = LIST_FIRST(&replicas->primaries); primary; primary = next_primary) {
		next_primary = LIST_NEXT(primary, link);
		if (primary->wanted)
			continue;
		probe_close(&primary->probe);
		LIST_REMOVE(primary, link);
		mem_free(primary->name);
		mem_free(primary);
	}
}

static void want_none(struct replicas *replicas)
{
	struct primary *primary;
	struct replica *replica;

	LIST_FOREACH(primary, &replicas->primaries, link)
	primary->wanted = false;
	LIST_FOREACH(replica, &replicas->all, link)
	replica->wanted = false;
}

static void take_in(struct replicas *replicas)
{
	const struct config *config = replicas->config;

	want_none(replicas);
	for (unsigned i = 0; config->targets_replica && i < config->n_databases; i++) {
		const struct config_database *entry = &config->databases[i];
		struct primary *primary;

		if (entry->replicas == NULL || entry->replicas[0] == NULL)
			continue;
		primary = want_primary(replicas, entry->name);
		for (char **name = entry->replicas; *name; name++)
			want_replica(replicas, primary, *name);
	}
	drop_unwanted(replicas);
}

/* ---- life ---- */

struct replicas *replicas_new(struct loop *loop, struct config *config,
	const struct probe_permits *permits, const struct replicas_ops *ops, void *arg)
{
	struct replicas *replicas = mem_zalloc(sizeof(*replicas));

	replicas->magic = REPLICAS_MAGIC;
	replicas->loop = loop;
	replicas->resolver = resolver_new(loop);
	replicas->config = config_ref(config);
	replicas->permits = permits;
	replicas->ops = ops;
	replicas->arg = arg;
	LIST_INIT(&replicas->closing);
	LIST_INIT(&replicas->primaries);
	LIST_INIT(&replicas->all);
	take_in(replicas);
	return replicas;
}

void replicas_change(struct replicas *replicas, struct config *config)
{
	CHECK_MAGIC(replicas, REPLICAS_MAGIC);
	config_unref(&replicas->config);
	replicas->config = config_ref(config);
	take_in(replicas);
}

void replicas_free(struct replicas **replicas_p, uint64_t patience_us)
{
	struct replicas *replicas = *replicas_p;

	*replicas_p = NULL;
	if (replicas == NULL)
		return;
	CHECK_MAGIC(replicas, REPLICAS_MAGIC);
	want_none(replicas);
	drop_unwanted(replicas);
	probe_end_closing(&replicas->closing, patience_us);
	resolver_free(&replicas->resolver);
	config_unref(&replicas->config);
	replicas->magic = 0;
	mem_free(replicas);
}
