/* SPDX-License-Identifier: ISC */
#include "daemon/forwarding.h"

#include "base/log.h"
#include "base/mem.h"
#include "service/forwarder.h"

#define FORWARDING_MAGIC 0x4657444eu
#define END_PATIENCE_US 1000000u

struct forwarding {
	uint32_t magic;
	struct loop *loop;
	struct forwarder *forwarder;
	struct permit permit;
	bool is_drained;
	struct timer deadline;
	void (*then)(void *arg); /* NULL: nobody waits */
	void *then_arg;
};

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
	permit_open(&forwarding->permit, permits, LANE_PRIORITY_MAX, on_granted, forwarding);
	forwarding->forwarder = forwarder_new(loop, config, &permit_ops, &forwarding->permit);
	return forwarding;
}

void forwarding_change(struct forwarding *forwarding, struct config *config)
{
	if (forwarding)
		forwarder_change(forwarding->forwarder, config);
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
	forwarding->then = NULL;
	forwarder_free(&forwarding->forwarder, END_PATIENCE_US);
	permit_close(&forwarding->permit);
	forwarding->magic = 0;
	mem_free(forwarding);
}
