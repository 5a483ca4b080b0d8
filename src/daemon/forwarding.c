/* SPDX-License-Identifier: ISC */
#include "daemon/forwarding.h"

#include "base/log.h"
#include "base/mem.h"
#include "service/forwarder.h"

#define FORWARDING_MAGIC 0x4657444eu
#define END_PATIENCE_US 1000000u
#define PAUSE_PERIOD_US 100000u /* how often it is looked whether the database is paused */

struct forwarding {
	uint32_t magic;
	struct loop *loop;
	struct forwarder *forwarder;
	struct cluster *cluster;
	struct config *config;
	struct permit permit;
	struct shared_database *database; /* a reference, counted in its n_own; NULL: there is no connection */
	bool is_drained;
	struct timer deadline, pause;
	void (*then)(void *arg); /* NULL: nobody waits */
	void *then_arg;
};

/* ---- PAUSE: no connection of ours is left when it answers ---- */

static bool is_open(const struct cluster *cluster, const struct shared_database *database)
{
	return !__atomic_load_n(&cluster->paused_all, __ATOMIC_SEQ_CST) && (database == NULL || !__atomic_load_n(&database->paused, __ATOMIC_SEQ_CST));
}

static void end_connection(struct forwarding *forwarding)
{
	__atomic_sub_fetch(&forwarding->database->n_own, 1, __ATOMIC_SEQ_CST);
	shared_database_unref(&forwarding->database);
}

/* Counted first, then looked at: PAUSE does it the other way round, so that one of the two sees the other. */
static bool begin_connection(struct forwarding *forwarding)
{
	MUST(forwarding->database == NULL);
	forwarding->database = registry_database(config_outbox_database(forwarding->config));
	__atomic_add_fetch(&forwarding->database->n_own, 1, __ATOMIC_SEQ_CST);
	if (is_open(forwarding->cluster, forwarding->database))
		return true;
	end_connection(forwarding);
	return false;
}

static enum permit_verdict acquire(void *arg)
{
	struct forwarding *forwarding = arg;
	enum permit_verdict verdict = PERMIT_REFUSED;

	CHECK_MAGIC(forwarding, FORWARDING_MAGIC);
	if (!begin_connection(forwarding))
		return PERMIT_REFUSED;
	verdict = permit_ops.acquire(&forwarding->permit);
	if (verdict == PERMIT_REFUSED)
		end_connection(forwarding);
	return verdict;
}

static void cancel(void *arg)
{
	struct forwarding *forwarding = arg;

	permit_ops.cancel(&forwarding->permit);
	end_connection(forwarding);
}

static void closing(void *arg)
{
	struct forwarding *forwarding = arg;

	permit_ops.closing(&forwarding->permit);
}

static void closed(void *arg)
{
	struct forwarding *forwarding = arg;

	permit_ops.closed(&forwarding->permit);
	end_connection(forwarding);
}

static const struct permit_ops counted_permit = {
	.acquire = acquire,
	.cancel = cancel,
	.closing = closing,
	.closed = closed,
};

static void on_pause_period(struct timer *timer);

/* While there is an outbox; PAUSE is an atomic of the workers' and wakes nobody. */
static void watch_pause(struct forwarding *forwarding)
{
	const char *name = config_outbox_database(forwarding->config);
	struct shared_database *database = name ? registry_find_database(name) : NULL;

	forwarder_allow(forwarding->forwarder, is_open(forwarding->cluster, database));
	shared_database_unref(&database);
	timer_stop(&forwarding->pause);
	if (name && forwarding->config->weaviate_url)
		loop_timer(forwarding->loop, &forwarding->pause, PAUSE_PERIOD_US, on_pause_period);
}

static void on_pause_period(struct timer *timer)
{
	struct forwarding *forwarding = CONTAINER_OF(timer, struct forwarding, pause);

	CHECK_MAGIC(forwarding, FORWARDING_MAGIC);
	watch_pause(forwarding);
}

/* ---- life ---- */

static void on_granted(void *arg)
{
	struct forwarding *forwarding = arg;

	CHECK_MAGIC(forwarding, FORWARDING_MAGIC);
	forwarder_granted(forwarding->forwarder);
}

struct forwarding *forwarding_open(struct loop *loop, struct permits *permits, struct config *config)
{
	struct forwarding *forwarding = mem_zalloc(sizeof(*forwarding));

	forwarding->magic = FORWARDING_MAGIC;
	forwarding->loop = loop;
	forwarding->cluster = permits->cluster;
	forwarding->config = config_ref(config);
	permit_open(&forwarding->permit, permits, LANE_PRIORITY_MAX, on_granted, forwarding);
	forwarding->forwarder = forwarder_new(loop, config, &counted_permit, forwarding);
	watch_pause(forwarding);
	return forwarding;
}

void forwarding_change(struct forwarding *forwarding, struct config *config)
{
	if (forwarding == NULL)
		return;
	config_unref(&forwarding->config);
	forwarding->config = config_ref(config);
	forwarder_change(forwarding->forwarder, config);
	watch_pause(forwarding);
}

void forwarding_order(struct forwarding *forwarding, enum outbox_order order, const char *argument, outbox_done *done, void *arg)
{
	static const struct outbox_report nothing = { .state = "off" };

	if (forwarding)
		forwarder_order(forwarding->forwarder, order, argument, done, arg);
	else
		done(arg, false, &nothing, "pglane is shutting down");
}

static void tell(struct forwarding *forwarding)
{
	void (*then)(void *arg) = forwarding->then;

	timer_stop(&forwarding->deadline);
	forwarding->then = NULL;
	if (then)
		then(forwarding->then_arg);
}

static void on_drained(void *arg)
{
	struct forwarding *forwarding = arg;

	CHECK_MAGIC(forwarding, FORWARDING_MAGIC);
	forwarding->is_drained = true;
	tell(forwarding);
}

static void on_deadline(struct timer *timer)
{
	struct forwarding *forwarding = CONTAINER_OF(timer, struct forwarding, deadline);

	CHECK_MAGIC(forwarding, FORWARDING_MAGIC);
	log_info("what flies of the outbox is left to the ends of its leases");
	tell(forwarding);
}

void forwarding_drain(struct forwarding *forwarding)
{
	if (forwarding)
		forwarder_drain(forwarding->forwarder, on_drained, forwarding);
}

void forwarding_await(struct forwarding *forwarding, void (*then)(void *arg), void *arg)
{
	if (forwarding == NULL || forwarding->is_drained) {
		then(arg);
		return;
	}
	forwarding->then = then;
	forwarding->then_arg = arg;
	loop_timer(forwarding->loop, &forwarding->deadline, FORWARDING_PATIENCE_US, on_deadline);
}

void forwarding_close(struct forwarding **forwarding_p)
{
	struct forwarding *forwarding = *forwarding_p;

	*forwarding_p = NULL;
	if (forwarding == NULL)
		return;
	CHECK_MAGIC(forwarding, FORWARDING_MAGIC);
	timer_stop(&forwarding->deadline);
	timer_stop(&forwarding->pause);
	forwarding->then = NULL;
	forwarder_free(&forwarding->forwarder, END_PATIENCE_US);
	permit_close(&forwarding->permit);
	config_unref(&forwarding->config);
	forwarding->magic = 0;
	mem_free(forwarding);
}
