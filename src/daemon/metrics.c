/* SPDX-License-Identifier: ISC */
#include "daemon/metrics.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "classify/classify.h"
#include "record/sample.h"
#include "service/procstat.h"
#include "service/sampler.h"

#define METRICS_MAGIC 0x4d455452u

/* How long the end of the process waits for the server to close its end of our connection. */
#define END_PATIENCE_US 1000000u

/* What is added up over all workers; from the start of the process on, but for the maxima. */
struct totals {
	struct class_stats classes[N_QUERY_CLASSES];
	uint64_t n_connection_errors;
	uint64_t n_hopped, n_spilled; /* the ledger's */
	uint64_t n_delivered, n_failed, n_request_errors; /* the forwarder's */
};

/* One visit of the workers, and what the forwarder says. It outlives its metrics: both come home after metrics_close(). */
struct round {
	struct metrics *metrics; /* NULL when they are closed; control thread only */
	unsigned n_awaited;	 /* of the two; control thread only */
	bool is_baseline;	 /* the beginning of the first period: no sample is made of it */
	bool has_outbox;	 /* else nothing is forwarded */
	struct sample sample;	 /* the outbox's part */
	struct totals totals;
};

struct metrics {
	uint32_t magic;
	struct cluster *cluster;
	struct loop *loop;
	struct mailbox *mailbox;
	struct settings *settings;
	struct sampler *sampler;
	struct procstat procstat;
	struct timer timer;
	uint64_t next_us;     /* when the next sample is due, mono */
	struct round *round;  /* NULL: none is under way */
	struct totals last;   /* at the end of the period before */
	struct permits *permits;
	struct forwarding *forwarding;
	struct permit permit; /* of the connection that writes */
};

static void on_granted(void *arg)
{
	struct metrics *metrics = arg;

	CHECK_MAGIC(metrics, METRICS_MAGIC);
	sampler_granted(metrics->sampler);
}

/* ---- one sample ---- */

/* On the worker's thread. */
static void visit_worker(void *arg, struct worker *worker)
{
	struct round *round = arg;
	unsigned i;

	for (i = 0; i < N_QUERY_CLASSES; i++) {
		struct class_stats *class = &worker->classes[i];

		class_stats_add(&round->totals.classes[i], class);
		class_stats_take_max(class);
	}
	round->totals.n_connection_errors += STAT_READ(worker->counters.n_connection_errors);
}

/* What the class did between the two, added to sum. */
static void add_times(struct class_stats *sum, const struct totals *now,
	const struct totals *before, enum query_class class)
{
	const struct class_stats *a = &now->classes[class], *b = &before->classes[class];

	sum->n_statements += a->n_statements - b->n_statements;
	sum->total_us += a->total_us - b->total_us;
	sum->n_slow += a->n_slow - b->n_slow;
	sum->max_us = MAX_OF(sum->max_us, a->max_us);
}

static struct sample_times times_of(const struct class_stats *stats)
{
	if (stats->n_statements == 0)
		return (struct sample_times){ SAMPLE_NULL, SAMPLE_NULL };
	return (struct sample_times){ stats->total_us / stats->n_statements, stats->max_us };
}

static struct sample_times class_times(const struct totals *now, const struct totals *before,
	enum query_class class)
{
	struct class_stats stats = { 0 };

	add_times(&stats, now, before, class);
	return times_of(&stats);
}

static void fill_times(struct sample *sample, const struct totals *now, const struct totals *before)
{
	struct class_stats all = { 0 };
	unsigned i;

	for (i = 0; i < N_QUERY_CLASSES; i++)
		add_times(&all, now, before, (enum query_class)i);
	sample->all = times_of(&all);
	sample->n_slow = all.n_slow;
	sample->n_connection_errors = now->n_connection_errors - before->n_connection_errors;
	sample->serving = class_times(now, before, QUERY_SERVING);
	sample->vector = class_times(now, before, QUERY_VECTOR);
	sample->hybrid = class_times(now, before, QUERY_HYBRID);
	sample->training = class_times(now, before, QUERY_TRAINING);
	sample->others = class_times(now, before, QUERY_DEFAULT);
}

/* What moved and what was refused in the period. */
static void fill_moves(
	struct sample *sample, const struct totals *now, const struct totals *before)
{
	unsigned i;

	sample->n_hopped = now->n_hopped - before->n_hopped;
	sample->n_spilled = now->n_spilled - before->n_spilled;
	for (i = 0; i < N_QUERY_CLASSES; i++)
		sample->n_denied += now->classes[i].n_denied - before->classes[i].n_denied;
}

/* The lanes as they stand; what they have counted goes into now. */
static void fill_lanes(struct sample *sample, struct metrics *metrics, struct totals *now)
{
	const uint8_t *lane_of_class = metrics->settings->config->lane_of_class;
	struct lane_reading lanes[LANE_MAX];
	struct lane_totals totals;
	uint64_t n_permits = 0, n_waiting = 0;
	unsigned i, n = lane_read(metrics->cluster->ledger, lanes, &totals);

	for (i = 0; i < n; i++) {
		now->n_hopped += lanes[i].n_hopped_out;
		now->n_spilled += lanes[i].n_spilled_out;
		n_permits += lanes[i].in_use;
		n_waiting += lanes[i].waiting;
	}
	n_waiting -= MIN_OF(n_waiting, (uint64_t)permits_n_waiting(metrics->permits));
	/* Who waits for a slot holds a permit and no connection yet. */
	n_permits -= MIN_OF(n_permits, (uint64_t)totals.n_slot_waiters);
	sample->n_connections = totals.slots;
	sample->n_active = MIN_OF(n_permits, (uint64_t)totals.slots);
	sample->n_idle = sample->n_connections - sample->n_active;
	sample->n_waiting = n_waiting;
	sample->n_ml = lanes[lane_of_class[QUERY_SERVING]].in_use;
	sample->n_vector = lanes[lane_of_class[QUERY_VECTOR]].in_use;
	sample->n_training = lanes[lane_of_class[QUERY_TRAINING]].in_use;
}

/* What the forwarder did in the period. Its counts stand still while nothing is forwarded. */
static void fill_forwarded(struct sample *sample, struct round *round, const struct totals *before)
{
	const struct totals *now = &round->totals;

	if (!round->has_outbox) {
		round->totals.n_delivered = before->n_delivered;
		round->totals.n_failed = before->n_failed;
		round->totals.n_request_errors = before->n_request_errors;
		return;
	}
	sample->n_outbox_delivered = now->n_delivered - before->n_delivered;
	sample->n_outbox_failed = now->n_failed - before->n_failed;
	sample->n_outbox_request_errors = now->n_request_errors - before->n_request_errors;
}

static void end_period(struct metrics *metrics, struct round *round)
{
	struct sample sample = round->sample;

	sample.taken_wall_us = clock_wall_us();
	fill_forwarded(&sample, round, &metrics->last);
	fill_lanes(&sample, metrics, &round->totals);
	procstat_read(&metrics->procstat, &sample.cpu, &sample.memory, &sample.iowait);
	if (sampler_is_on(metrics->sampler) && !round->is_baseline) {
		rng_bytes(sample.id, sizeof(sample.id));
		fill_moves(&sample, &round->totals, &metrics->last);
		fill_times(&sample, &round->totals, &metrics->last);
		sampler_add(metrics->sampler, &sample);
	}
	metrics->last = round->totals;
}

/* One of what the round waits for has come. */
static void come_home(struct round *round)
{
	struct metrics *metrics = round->metrics;

	if (--round->n_awaited > 0)
		return;
	if (metrics) {
		CHECK_MAGIC(metrics, METRICS_MAGIC);
		metrics->round = NULL;
		end_period(metrics, round);
	}
	mem_free(round);
}

static void on_visited(void *arg)
{
	come_home(arg);
}

static void on_outbox(void *arg, bool ok, const struct outbox_report *report, const char *text)
{
	struct round *round = arg;

	round->has_outbox = ok;
	if (ok) {
		round->sample.outbox_depth = OUTBOX_NULL;
		if (report->n_waiting != OUTBOX_NULL)
			round->sample.outbox_depth = report->n_waiting + report->n_leased;
		round->sample.outbox_dead = report->n_dead;
		round->sample.outbox_oldest_age_us = report->oldest_age_us;
		round->sample.outbox_lag_p50_us = report->lag_p50_us;
		round->sample.outbox_lag_p99_us = report->lag_p99_us;
		round->totals.n_delivered = report->n_stored + report->n_deleted;
		round->totals.n_failed = report->n_failed + report->n_parked;
		round->totals.n_request_errors = report->n_request_errors;
	}
	come_home(round);
}

/* ---- the period ---- */

static struct round *round_new(struct metrics *metrics, bool is_baseline)
{
	struct round *round = mem_zalloc(sizeof(*round));
	struct sample *sample = &round->sample;

	round->metrics = metrics;
	round->n_awaited = 2;
	round->is_baseline = is_baseline;
	sample->outbox_depth = sample->outbox_dead = sample->outbox_oldest_age_us = SAMPLE_NULL;
	sample->outbox_lag_p50_us = sample->outbox_lag_p99_us = SAMPLE_NULL;
	sample->n_outbox_delivered = sample->n_outbox_failed = SAMPLE_NULL;
	sample->n_outbox_request_errors = SAMPLE_NULL;
	return round;
}

static void visit(struct metrics *metrics, bool is_baseline)
{
	struct round *round;

	if (metrics->round) /* the workers, or the outbox, are busy: the next sample covers this period, too */
		return;
	round = metrics->round = round_new(metrics, is_baseline);
	cluster_visit(metrics->cluster, metrics->mailbox, visit_worker, on_visited, round);
	forwarding_order(metrics->forwarding, OUTBOX_GLANCE, "", on_outbox, round);
}

static void on_period(struct timer *timer);

/* The next multiple of the period from the last due time on: no drift, and none is made up for. */
static void arm(struct metrics *metrics)
{
	uint64_t period_us = metrics->settings->config->sample_period_us, now_us = clock_mono_us();

	metrics->next_us += period_us;
	if (metrics->next_us <= now_us)
		metrics->next_us = now_us + period_us;
	loop_timer_at(metrics->loop, &metrics->timer, metrics->next_us, on_period);
}

static void on_period(struct timer *timer)
{
	struct metrics *metrics = CONTAINER_OF(timer, struct metrics, timer);

	CHECK_MAGIC(metrics, METRICS_MAGIC);
	arm(metrics);
	visit(metrics, false);
}

static void start_or_stop(struct metrics *metrics)
{
	timer_stop(&metrics->timer);
	metrics->next_us = clock_mono_us();
	if (!sampler_is_on(metrics->sampler))
		return;
	visit(metrics, true);
	arm(metrics);
}

/* ---- life ---- */

struct metrics *metrics_open(struct cluster *cluster, struct loop *loop, struct mailbox *mailbox,
	struct permits *permits, struct forwarding *forwarding, struct settings *settings)
{
	struct metrics *metrics = mem_zalloc(sizeof(*metrics));

	metrics->magic = METRICS_MAGIC;
	metrics->cluster = cluster;
	metrics->loop = loop;
	metrics->mailbox = mailbox;
	metrics->settings = settings_ref(settings);
	metrics->permits = permits;
	metrics->forwarding = forwarding;
	permit_open(&metrics->permit, permits, LANE_PRIORITY_MAX, on_granted, metrics);
	procstat_init(&metrics->procstat, "/proc");
	metrics->sampler = sampler_new(loop, settings->config, &permit_ops, &metrics->permit);
	start_or_stop(metrics);
	return metrics;
}

void metrics_change(struct metrics *metrics, struct settings *fresh)
{
	uint64_t period_us;
	bool was_on;

	if (metrics == NULL)
		return;
	CHECK_MAGIC(metrics, METRICS_MAGIC);
	period_us = metrics->settings->config->sample_period_us;
	was_on = sampler_is_on(metrics->sampler);
	settings_unref(&metrics->settings);
	metrics->settings = settings_ref(fresh);
	sampler_change(metrics->sampler, fresh->config);
	if (was_on != sampler_is_on(metrics->sampler) || period_us != fresh->config->sample_period_us)
		start_or_stop(metrics);
}

void metrics_close(struct metrics **metrics_p)
{
	struct metrics *metrics = *metrics_p;

	if (metrics == NULL)
		return;
	*metrics_p = NULL;
	CHECK_MAGIC(metrics, METRICS_MAGIC);
	timer_stop(&metrics->timer);
	if (metrics->round)
		metrics->round->metrics = NULL;
	sampler_free(&metrics->sampler, END_PATIENCE_US);
	permit_close(&metrics->permit);
	procstat_release(&metrics->procstat);
	settings_unref(&metrics->settings);
	metrics->magic = 0;
	mem_free(metrics);
}
