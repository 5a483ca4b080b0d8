/* SPDX-License-Identifier: ISC */
#include "service/pglink.h"

#include "base/mem.h"
#include "base/rng.h"
#include "service/pgtarget.h"

#define PGLINK_MAGIC 0x50474c4bu

/* The server gives a statement up before we do, so that it is not busy with it when its slot is given back. */
#define STATEMENT_OPTIONS "-c statement_timeout=10000 -c idle_in_transaction_session_timeout=10000"

enum pglink_state {
	PGLINK_RESTS, /* not wanted, or the retry timer is armed */
	PGLINK_EXPECT_PERMIT,
	PGLINK_EXPECT_LOGIN,
	PGLINK_READY,
	PGLINK_EXPECT_ANSWER,
	PGLINK_EXPECT_CLOSED,
};

struct pglink {
	uint32_t magic;
	enum pglink_state state;
	bool is_wanted;
	bool reopens; /* close it as soon as it is ready, then open it anew */
	struct loop *loop;
	struct resolver *resolver;
	const char *application_name;
	const struct permit_ops *permits;
	void *permit;
	pglink_where *where;
	const struct pglink_ops *ops;
	void *arg;
	struct pgconn *conn;
	struct timer retry;
	struct task poke;
	unsigned n_failures; /* in a row */
	uint64_t n_attempts;
};

static void begin(struct pglink *link);

static void on_retry(struct timer *timer)
{
	struct pglink *link = CONTAINER_OF(timer, struct pglink, retry);

	CHECK_MAGIC(link, PGLINK_MAGIC);
	begin(link);
}

/* Between half and all of a delay that doubles. */
static void put_off(struct pglink *link)
{
	uint64_t delay_us = (uint64_t)PGLINK_RETRY_MIN_US << MIN_OF(link->n_failures, 16u);

	link->n_failures++;
	delay_us = MIN_OF(delay_us, (uint64_t)PGLINK_RETRY_MAX_US);
	loop_timer(link->loop, &link->retry, delay_us / 2 + rng_u64() % (delay_us / 2), on_retry);
}

static void close_connection(struct pglink *link)
{
	link->state = PGLINK_EXPECT_CLOSED;
	link->reopens = false;
	loop_task_drop(link->loop, &link->poke);
	link->permits->closing(link->permit);
	pgconn_close(link->conn);
}

static void be_ready(struct pglink *link)
{
	link->state = PGLINK_READY;
	if (link->reopens || !link->is_wanted)
		close_connection(link);
	else
		link->ops->ready(link->arg);
}

static void on_connected(void *arg)
{
	struct pglink *link = arg;

	CHECK_MAGIC(link, PGLINK_MAGIC);
	be_ready(link);
}

static void on_answered(void *arg, const PGresult *result)
{
	struct pglink *link = arg;

	CHECK_MAGIC(link, PGLINK_MAGIC);
	link->n_failures = 0;
	link->state = PGLINK_READY;
	link->ops->answered(link->arg, result);
	if (link->state == PGLINK_READY)
		be_ready(link);
}

static void on_failed(void *arg, const struct pgconn_error *error)
{
	struct pglink *link = arg;
	bool was_asked = link->state == PGLINK_EXPECT_ANSWER;

	CHECK_MAGIC(link, PGLINK_MAGIC);
	close_connection(link);
	put_off(link);
	link->ops->failed(link->arg, was_asked, error);
}

static void on_closed(void *arg)
{
	struct pglink *link = arg;

	CHECK_MAGIC(link, PGLINK_MAGIC);
	link->conn = NULL;
	link->state = PGLINK_RESTS;
	link->permits->closed(link->permit);
	link->ops->closed(link->arg);
	begin(link);
}

static const struct pgconn_ops conn_ops = {
	.connected = on_connected,
	.answered = on_answered,
	.failed = on_failed,
	.closed = on_closed,
};

static void give_back(struct pglink *link)
{
	link->state = PGLINK_RESTS;
	link->permits->closing(link->permit);
	link->permits->closed(link->permit);
}

static void fail_before(struct pglink *link, const char *text)
{
	struct pgconn_error error = { .text = text };

	put_off(link);
	link->ops->failed(link->arg, false, &error);
}

/* A permit and a slot are held. */
static void connect_now(struct pglink *link)
{
	struct pgconn_params params = { 0 };
	struct pgtarget target;
	const char *trouble = link->where(link->arg, &target, link->n_attempts++, &params.connect_timeout_us);

	if (trouble) {
		give_back(link);
		fail_before(link, trouble);
		return;
	}
	params.host = target.host;
	params.port = target.port;
	params.dbname = target.dbname;
	params.user = target.user;
	params.password = target.password;
	params.application_name = link->application_name;
	params.options = STATEMENT_OPTIONS;
	params.tls = target.tls;
	link->state = PGLINK_EXPECT_LOGIN;
	link->reopens = false;
	link->conn = pgconn_open(link->loop, link->resolver, &params, &conn_ops, link);
	pgtarget_release(&target);
}

static void begin(struct pglink *link)
{
	if (link->state != PGLINK_RESTS || timer_is_armed(&link->retry) || !link->is_wanted)
		return;
	switch (link->permits->acquire(link->permit)) {
	case PERMIT_GRANTED:
		connect_now(link);
		break;
	case PERMIT_WAITS:
		link->state = PGLINK_EXPECT_PERMIT;
		break;
	case PERMIT_REFUSED:
		fail_before(link, "the queue of its lane is full");
		break;
	}
}

void pglink_granted(struct pglink *link)
{
	CHECK_MAGIC(link, PGLINK_MAGIC);
	MUST(link->state == PGLINK_EXPECT_PERMIT);
	connect_now(link);
}

static void on_poke(struct task *task)
{
	struct pglink *link = CONTAINER_OF(task, struct pglink, poke);

	CHECK_MAGIC(link, PGLINK_MAGIC);
	if (link->state == PGLINK_READY)
		be_ready(link);
	else
		begin(link);
}

void pglink_poke(struct pglink *link)
{
	loop_task(link->loop, &link->poke, on_poke);
}

void pglink_want(struct pglink *link, bool is_wanted)
{
	CHECK_MAGIC(link, PGLINK_MAGIC);
	if (link->is_wanted == is_wanted)
		return;
	link->is_wanted = is_wanted;
	if (!is_wanted)
		timer_stop(&link->retry);
	if (!is_wanted && link->state == PGLINK_EXPECT_PERMIT) {
		link->permits->cancel(link->permit);
		link->state = PGLINK_RESTS;
	}
	pglink_poke(link);
}

void pglink_reopen(struct pglink *link)
{
	link->n_failures = 0;
	timer_stop(&link->retry);
	link->reopens = link->state != PGLINK_RESTS && link->state != PGLINK_EXPECT_PERMIT;
	pglink_poke(link);
}

bool pglink_is_ready(const struct pglink *link)
{
	return link->state == PGLINK_READY;
}

bool pglink_is_closed(const struct pglink *link)
{
	return link->state == PGLINK_RESTS;
}

bool pglink_is_put_off(const struct pglink *link)
{
	return timer_is_armed(&link->retry);
}

void pglink_ask(struct pglink *link, const char *sql, unsigned n_values, const char *const *values)
{
	CHECK_MAGIC(link, PGLINK_MAGIC);
	MUST(link->state == PGLINK_READY);
	link->state = PGLINK_EXPECT_ANSWER;
	pgconn_query(link->conn, sql, n_values, values, PGLINK_STATEMENT_TIMEOUT_US);
}

struct pglink *pglink_new(struct loop *loop, const char *application_name, const struct permit_ops *permits, void *permit, pglink_where *where,
	const struct pglink_ops *ops, void *arg)
{
	struct pglink *link = mem_zalloc(sizeof(*link));

	link->magic = PGLINK_MAGIC;
	link->loop = loop;
	link->resolver = resolver_new(loop);
	link->application_name = application_name;
	link->permits = permits;
	link->permit = permit;
	link->where = where;
	link->ops = ops;
	link->arg = arg;
	return link;
}

void pglink_free(struct pglink **link_p, uint64_t patience_us)
{
	struct pglink *link = *link_p;

	*link_p = NULL;
	if (link == NULL)
		return;
	CHECK_MAGIC(link, PGLINK_MAGIC);
	timer_stop(&link->retry);
	loop_task_drop(link->loop, &link->poke);
	if (link->state == PGLINK_EXPECT_PERMIT)
		link->permits->cancel(link->permit);
	if (link->conn) {
		if (link->state != PGLINK_EXPECT_CLOSED)
			link->permits->closing(link->permit);
		pgconn_end(&link->conn, patience_us);
		link->permits->closed(link->permit);
	}
	resolver_free(&link->resolver);
	link->magic = 0;
	mem_free(link);
}
