/* SPDX-License-Identifier: ISC */
#include "service/probe.h"

#include "base/clock.h"
#include "base/mem.h"
#include "service/pgconn.h"
#include "service/pgtarget.h"

#define PROBE_MAGIC 0x50524f42u

/* The server gives up first, so that it is not busy when its slot is given back. */
#define PROBE_OPTIONS "-c statement_timeout=4000"
#define ANSWER_TIMEOUT_US 5000000u
#define PAUSE_MIN_US 500000u /* between attempts to connect */

enum probe_state {
	PROBE_RESTS, /* no connection; the timer is armed, unless it is about to go */
	PROBE_EXPECT_PERMIT,
	PROBE_EXPECT_LOGIN,
	PROBE_IDLE, /* logged in; the timer is armed */
	PROBE_EXPECT_ANSWER,
	PROBE_EXPECT_CLOSED,
};

struct probe {
	uint32_t magic;
	enum probe_state state;
	LIST_ENTRY(probe) link; /* of closing ones */
	struct probe_params params;
	struct config *config;
	const struct probe_ops *ops; /* NULL: nobody is told any more */
	void *arg;
	void *permit;
	char *database;
	struct pgconn *conn;
	struct timer timer;
	uint64_t asked_us;
};

static void begin(struct probe *probe);
static void ask(struct probe *probe);

/* ---- where it goes ---- */

static const char *find_target(
	const struct probe *probe, const struct config *config, struct pgtarget *target)
{
	const struct config_database *entry = config_find_database(config, probe->database);
	const char *user = config->replica_check_user, *password = config->replica_check_password;

	if (user == NULL && entry && entry->user == NULL) {
		user = config->metrics_user;
		password = password ? password : config->metrics_password;
	}
	return pgtarget_init(target, config, probe->database, user, password, 0);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_target(const struct probe *probe, const struct config *fresh)
{
	struct pgtarget was, is;
	const char *no_was = find_target(probe, probe->config, &was);
	const char *no_is = find_target(probe, fresh, &is);
	bool same = no_was == NULL && no_is == NULL && same_text(was.host, is.host) &&
		    was.port == is.port && same_text(was.dbname, is.dbname) &&
		    same_text(was.user, is.user) && same_text(was.password, is.password) &&
		    was.tls->mode == is.tls->mode;

	pgtarget_release(&was);
	pgtarget_release(&is);
	return same;
}

/* ---- the clock ---- */

static void on_timer(struct timer *timer)
{
	struct probe *probe = CONTAINER_OF(timer, struct probe, timer);

	CHECK_MAGIC(probe, PROBE_MAGIC);
	if (probe->state == PROBE_IDLE)
		ask(probe);
	else if (probe->state == PROBE_RESTS)
		begin(probe);
}

static void arm(struct probe *probe, uint64_t delay_us)
{
	loop_timer(probe->params.loop, &probe->timer, delay_us, on_timer);
}

static uint64_t pause_us(const struct probe *probe)
{
	return MAX_OF(probe->config->replica_check_period_us, (uint64_t)PAUSE_MIN_US);
}

static void tell_failed(struct probe *probe, const char *why)
{
	if (probe->ops)
		probe->ops->failed(probe->arg, why);
}

/* ---- one connection ---- */

static void free_probe(struct probe *probe)
{
	timer_stop(&probe->timer);
	probe->params.permits->free(probe->permit);
	config_unref(&probe->config);
	mem_free(probe->database);
	probe->magic = 0;
	mem_free(probe);
}

static void close_connection(struct probe *probe)
{
	timer_stop(&probe->timer);
	probe->state = PROBE_EXPECT_CLOSED;
	probe->params.permits->ops->closing(probe->permit);
	pgconn_close(probe->conn);
}

static void ask(struct probe *probe)
{
	probe->state = PROBE_EXPECT_ANSWER;
	probe->asked_us = clock_mono_us();
	pgconn_query(probe->conn, probe->params.sql, 0, NULL, ANSWER_TIMEOUT_US);
}

static void on_connected(void *arg)
{
	struct probe *probe = arg;

	CHECK_MAGIC(probe, PROBE_MAGIC);
	ask(probe);
}

static void on_answered(void *arg, const PGresult *result)
{
	struct probe *probe = arg;
	uint64_t due_us = probe->asked_us + probe->config->replica_check_period_us;
	uint64_t now_us = clock_mono_us();

	CHECK_MAGIC(probe, PROBE_MAGIC);
	probe->state = PROBE_IDLE;
	arm(probe, due_us > now_us ? due_us - now_us : 0);
	if (probe->ops)
		probe->ops->answered(probe->arg, result);
}

static void on_failed(void *arg, const struct pgconn_error *error)
{
	struct probe *probe = arg;

	CHECK_MAGIC(probe, PROBE_MAGIC);
	close_connection(probe);
	tell_failed(probe, error->text);
}

static void on_closed(void *arg)
{
	struct probe *probe = arg;

	CHECK_MAGIC(probe, PROBE_MAGIC);
	probe->conn = NULL;
	probe->state = PROBE_RESTS;
	probe->params.permits->ops->closed(probe->permit);
	if (probe->ops) {
		arm(probe, pause_us(probe));
		return;
	}
	LIST_REMOVE(probe, link);
	free_probe(probe);
}

static const struct pgconn_ops conn_ops = {
	.connected = on_connected,
	.answered = on_answered,
	.failed = on_failed,
	.closed = on_closed,
};

/* A permit and a slot are held, and go back. */
static void give_back(struct probe *probe)
{
	probe->state = PROBE_RESTS;
	probe->params.permits->ops->closing(probe->permit);
	probe->params.permits->ops->closed(probe->permit);
}

static void connect_now(struct probe *probe)
{
	struct pgconn_params params;
	struct pgtarget target;
	const char *trouble = find_target(probe, probe->config, &target);

	if (trouble) {
		give_back(probe);
		arm(probe, pause_us(probe));
		tell_failed(probe, trouble);
		return;
	}
	params = (struct pgconn_params){
		.host = target.host,
		.port = target.port,
		.dbname = target.dbname,
		.user = target.user,
		.password = target.password,
		.application_name = "pglane replica check",
		.options = PROBE_OPTIONS,
		.tls = target.tls,
		.connect_timeout_us = probe->config->server_connect_timeout_us,
	};
	probe->state = PROBE_EXPECT_LOGIN;
	probe->conn = pgconn_open(
		probe->params.loop, probe->params.resolver, &params, &conn_ops, probe);
	pgtarget_release(&target);
}

static void on_granted(void *arg)
{
	struct probe *probe = arg;

	CHECK_MAGIC(probe, PROBE_MAGIC);
	MUST(probe->state == PROBE_EXPECT_PERMIT);
	connect_now(probe);
}

static void begin(struct probe *probe)
{
	switch (probe->params.permits->ops->acquire(probe->permit)) {
	case PERMIT_GRANTED:
		connect_now(probe);
		break;
	case PERMIT_WAITS:
		probe->state = PROBE_EXPECT_PERMIT;
		break;
	case PERMIT_REFUSED:
	default:
		arm(probe, pause_us(probe));
		tell_failed(probe, "it cannot be asked: the queue of pglane's own lane is full");
		break;
	}
}

/* ---- life ---- */

struct probe *probe_new(const struct probe_params *params, struct config *config,
	const struct probe_ops *ops, void *arg)
{
	struct probe *probe = mem_zalloc(sizeof(*probe));

	probe->magic = PROBE_MAGIC;
	probe->params = *params;
	probe->database = mem_strdup(params->database);
	probe->params.database = probe->database;
	probe->config = config_ref(config);
	probe->ops = ops;
	probe->arg = arg;
	probe->permit = params->permits->new(params->permits->arg, on_granted, probe);
	arm(probe, 0);
	return probe;
}

bool probe_change(struct probe *probe, struct config *config)
{
	CHECK_MAGIC(probe, PROBE_MAGIC);
	if (!same_target(probe, config))
		return false;
	config_unref(&probe->config);
	probe->config = config_ref(config);
	if (probe->state == PROBE_IDLE || probe->state == PROBE_RESTS)
		arm(probe, 0);
	return true;
}

void probe_close(struct probe **probe_p)
{
	struct probe *probe = *probe_p;

	*probe_p = NULL;
	CHECK_MAGIC(probe, PROBE_MAGIC);
	probe->ops = NULL;
	timer_stop(&probe->timer);
	if (probe->state == PROBE_EXPECT_PERMIT)
		probe->params.permits->ops->cancel(probe->permit);
	if (probe->conn == NULL) {
		free_probe(probe);
		return;
	}
	LIST_INSERT_HEAD(probe->params.closing, probe, link);
	if (probe->state != PROBE_EXPECT_CLOSED)
		close_connection(probe);
}

void probe_end_closing(struct probe_list *closing, uint64_t patience_us)
{
	struct probe *probe;

	while ((probe = LIST_FIRST(closing)) != NULL) {
		LIST_REMOVE(probe, link);
		pgconn_end(&probe->conn, patience_us);
		probe->params.permits->ops->closed(probe->permit);
		free_probe(probe);
	}
}
