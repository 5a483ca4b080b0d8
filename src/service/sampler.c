/* SPDX-License-Identifier: ISC */
#include "service/sampler.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "service/backlog.h"
#include "service/pgconn.h"
#include "service/pgtarget.h"
#include "service/sample_rows.h"

#define SAMPLER_MAGIC 0x53414d50u
#define POOL_NAME "all" /* the rows are about all pools together */

/*
 * The server gives a statement up before we do, so that it is not still busy with it when its
 * connection's slot is given back.
 */
#define STATEMENT_OPTIONS "-c statement_timeout=10000"
#define STATEMENT_TIMEOUT_US 15000000u

/* Maintenance moves and drops partitions and refreshes a view: a long statement on a large table. */
#define MAINTENANCE_PATIENCE "SET statement_timeout = '10min'"
#define MAINTENANCE_TIMEOUT_US 615000000u
/* A database with no more than the table of samples has nothing to be maintained. */
#define MAINTENANCE                                                                                \
	"DO $$ BEGIN IF to_regprocedure('public.ml_maintain(timestamptz)') IS NOT NULL THEN "      \
	"PERFORM public.ml_maintain(); END IF; END $$"

/* The same complaint again only after this; a new one at once. */
#define COMPLAINT_PERIOD_US 60000000u

enum sampler_state {
	SAMPLER_RESTS,	       /* nothing to write, or the retry timer is armed */
	SAMPLER_EXPECT_PERMIT,
	SAMPLER_EXPECT_LOGIN,
	SAMPLER_EXPECT_COMMIT, /* a batch flies */
	SAMPLER_EXPECT_PATIENCE, /* the session's time limit is made that of maintenance */
	SAMPLER_EXPECT_MAINTENANCE,
	SAMPLER_EXPECT_CLOSED,
};

struct sampler {
	uint32_t magic;
	enum sampler_state state;
	struct loop *loop;
	struct resolver *resolver;
	struct config *config;
	const struct permit_ops *permits;
	void *permit;
	struct backlog backlog;
	struct pgconn *conn;
	struct strbuf statement;
	struct timer retry;
	unsigned n_failures; /* in a row */
	uint64_t n_attempts;
	uint64_t complained_us;
	uint64_t maintained_us; /* when it was last begun; 0: not yet */
	char *complaint; /* the last one, until a batch was written */
};

static void begin(struct sampler *sampler);

/* ---- trouble ---- */

/* What the operator can do about what PostgreSQL said. */
static const char *advice_of(const char *sqlstate)
{
	static const struct {
		const char *sqlstate, *advice;
	} table[] = {
		{ "42P01", ": run sql/pglane-migrate there" },                   /* undefined_table */
		{ "42703", ": run sql/pglane-migrate of this release there" },   /* undefined_column */
		{ "42501", ": grant INSERT on the table to it" },                /* insufficient_privilege */
	};

	for (size_t i = 0; i < N_ELEMENTS(table); i++)
		if (strcmp(table[i].sqlstate, sqlstate) == 0)
			return table[i].advice;
	return "";
}

static void complain(struct sampler *sampler, const char *text, const char *advice)
{
	const struct config *config = sampler->config;
	uint64_t now_us = clock_mono_us();

	if (sampler->complaint && strcmp(sampler->complaint, text) == 0 &&
		now_us - sampler->complained_us < COMPLAINT_PERIOD_US)
		return;
	mem_free(sampler->complaint);
	sampler->complaint = mem_strdup(text);
	sampler->complained_us = now_us;
	log_warning("samples cannot be written to " SAMPLE_TABLE
		    " of %s as user %s: %s%s (%u are kept, %llu were dropped)",
		config->metrics_database, config->metrics_user ? config->metrics_user : "of the entry",
		text, advice, sampler->backlog.n_waiting,
		(unsigned long long)sampler->backlog.n_dropped);
}

static void on_retry(struct timer *timer)
{
	struct sampler *sampler = CONTAINER_OF(timer, struct sampler, retry);

	CHECK_MAGIC(sampler, SAMPLER_MAGIC);
	begin(sampler);
}

/*
 * Between half and all of a delay that doubles: many pglanes do not come back at the same moment.
 */
static void put_off(struct sampler *sampler)
{
	uint64_t delay_us = (uint64_t)SAMPLER_RETRY_MIN_US << MIN_OF(sampler->n_failures, 16u);

	sampler->n_failures++;
	delay_us = MIN_OF(delay_us, (uint64_t)SAMPLER_RETRY_MAX_US);
	delay_us = delay_us / 2 + rng_u64() % (delay_us / 2);
	loop_timer(sampler->loop, &sampler->retry, delay_us, on_retry);
}

/* ---- one connection ---- */

static void close_connection(struct sampler *sampler)
{
	sampler->state = SAMPLER_EXPECT_CLOSED;
	sampler->permits->closing(sampler->permit);
	pgconn_close(sampler->conn);
}

/* Once a maintenance_period, behind the samples, while there is a connection anyway. */
static bool maintenance_begins(struct sampler *sampler)
{
	uint64_t now_us = clock_mono_us(), period_us = sampler->config->maintenance_period_us;

	if (period_us == 0 ||
		(sampler->maintained_us > 0 && now_us - sampler->maintained_us < period_us))
		return false;
	sampler->maintained_us = now_us;
	sampler->state = SAMPLER_EXPECT_PATIENCE;
	pgconn_query(sampler->conn, MAINTENANCE_PATIENCE, 0, NULL, STATEMENT_TIMEOUT_US);
	return true;
}

static void write_batch(struct sampler *sampler)
{
	struct sample_rows rows;
	struct backlog_entry *entry;

	if (backlog_take(&sampler->backlog, SAMPLER_BATCH) == 0) {
		if (!maintenance_begins(sampler))
			close_connection(sampler);
		return;
	}
	sample_rows_init(&rows);
	STAILQ_FOREACH(entry, &sampler->backlog.flying, link)
		sample_rows_add(&rows, &entry->sample);
	sample_rows_finish(&rows, sampler->config->instance_id, POOL_NAME);
	sampler->state = SAMPLER_EXPECT_COMMIT;
	pgconn_query(sampler->conn, sampler->statement.data, SAMPLE_ROWS_PARAMS, rows.values,
		STATEMENT_TIMEOUT_US);
	sample_rows_release(&rows);
}

static void on_connected(void *arg)
{
	struct sampler *sampler = arg;

	CHECK_MAGIC(sampler, SAMPLER_MAGIC);
	write_batch(sampler);
}

static void on_answered(void *arg, const PGresult *result)
{
	struct sampler *sampler = arg;

	CHECK_MAGIC(sampler, SAMPLER_MAGIC);
	if (sampler->state == SAMPLER_EXPECT_PATIENCE) {
		sampler->state = SAMPLER_EXPECT_MAINTENANCE;
		pgconn_query(sampler->conn, MAINTENANCE, 0, NULL, MAINTENANCE_TIMEOUT_US);
		return;
	}
	if (sampler->state == SAMPLER_EXPECT_MAINTENANCE) {
		close_connection(sampler); /* another is opened if samples came meanwhile */
		return;
	}
	if (sampler->complaint)
		log_info("samples are written again, %u that were kept first", sampler->backlog.n_flying);
	mem_free(sampler->complaint);
	sampler->complaint = NULL;
	sampler->n_failures = 0;
	backlog_commit(&sampler->backlog);
	write_batch(sampler);
}

static void on_failed(void *arg, const struct pgconn_error *error)
{
	struct sampler *sampler = arg;

	CHECK_MAGIC(sampler, SAMPLER_MAGIC);
	if (sampler->state == SAMPLER_EXPECT_PATIENCE ||
		sampler->state == SAMPLER_EXPECT_MAINTENANCE) { /* tried again in its next period */
		log_warning("ml_maintain() failed in %s: %s", sampler->config->metrics_database,
			error->text);
		close_connection(sampler);
		return;
	}
	backlog_give_back(&sampler->backlog);
	complain(sampler, error->text, advice_of(error->sqlstate));
	put_off(sampler);
	close_connection(sampler);
}

static void on_closed(void *arg)
{
	struct sampler *sampler = arg;

	CHECK_MAGIC(sampler, SAMPLER_MAGIC);
	sampler->conn = NULL;
	sampler->state = SAMPLER_RESTS;
	sampler->permits->closed(sampler->permit);
	begin(sampler);
}

static const struct pgconn_ops conn_ops = {
	.connected = on_connected,
	.answered = on_answered,
	.failed = on_failed,
	.closed = on_closed,
};

/* A permit and a slot are held. */
static void connect_now(struct sampler *sampler)
{
	const struct config *config = sampler->config;
	struct pgconn_params params;
	struct pgtarget target;
	const char *trouble = pgtarget_init(&target, config, config->metrics_database,
		config->metrics_user, config->metrics_password, sampler->n_attempts++);

	if (trouble) {
		sampler->state = SAMPLER_RESTS;
		sampler->permits->closing(sampler->permit);
		sampler->permits->closed(sampler->permit);
		complain(sampler, trouble, "");
		put_off(sampler);
		return;
	}
	params = (struct pgconn_params){
		.host = target.host,
		.port = target.port,
		.dbname = target.dbname,
		.user = target.user,
		.password = target.password,
		.application_name = "pglane metrics",
		.options = STATEMENT_OPTIONS,
		.tls = target.tls,
		.connect_timeout_us = config->server_connect_timeout_us,
	};
	sampler->state = SAMPLER_EXPECT_LOGIN;
	sampler->conn = pgconn_open(sampler->loop, sampler->resolver, &params, &conn_ops, sampler);
	pgtarget_release(&target);
}

/* Starts writing if there is something to write, and no reason not to. */
static void begin(struct sampler *sampler)
{
	if (sampler->state != SAMPLER_RESTS || timer_is_armed(&sampler->retry) ||
		sampler->backlog.n_waiting == 0 || !sampler_is_on(sampler))
		return;
	switch (sampler->permits->acquire(sampler->permit)) {
	case PERMIT_GRANTED:
		connect_now(sampler);
		break;
	case PERMIT_WAITS:
		sampler->state = SAMPLER_EXPECT_PERMIT;
		break;
	case PERMIT_REFUSED:
		complain(sampler, "the queue of its lane is full", "");
		put_off(sampler);
		break;
	}
}

void sampler_granted(struct sampler *sampler)
{
	CHECK_MAGIC(sampler, SAMPLER_MAGIC);
	MUST(sampler->state == SAMPLER_EXPECT_PERMIT);
	if (sampler_is_on(sampler)) {
		connect_now(sampler);
		return;
	}
	sampler->state = SAMPLER_RESTS;
	sampler->permits->closing(sampler->permit);
	sampler->permits->closed(sampler->permit);
}

void sampler_add(struct sampler *sampler, const struct sample *sample)
{
	backlog_add(&sampler->backlog, sample);
	begin(sampler);
}

/* ---- life ---- */

struct sampler *sampler_new(struct loop *loop, struct config *config,
	const struct permit_ops *permits, void *permit)
{
	struct sampler *sampler = mem_zalloc(sizeof(*sampler));

	sampler->magic = SAMPLER_MAGIC;
	sampler->loop = loop;
	sampler->resolver = resolver_new(loop);
	sampler->config = config_ref(config);
	sampler->permits = permits;
	sampler->permit = permit;
	backlog_init(&sampler->backlog, config->sample_backlog);
	strbuf_init(&sampler->statement);
	sample_rows_statement(&sampler->statement);
	return sampler;
}

bool sampler_is_on(const struct sampler *sampler)
{
	return sampler->config->metrics_database != NULL;
}

/*
 * What is under way with the old values ends by itself, at its deadline at the latest. A new
 * attempt need not wait for the old one's punishment.
 */
void sampler_change(struct sampler *sampler, struct config *config)
{
	CHECK_MAGIC(sampler, SAMPLER_MAGIC);
	config_unref(&sampler->config);
	sampler->config = config_ref(config);
	backlog_limit(&sampler->backlog, config->sample_backlog);
	timer_stop(&sampler->retry);
	sampler->n_failures = 0;
	mem_free(sampler->complaint);
	sampler->complaint = NULL;
	begin(sampler);
}

void sampler_free(struct sampler **sampler_p, uint64_t patience_us)
{
	struct sampler *sampler = *sampler_p;

	*sampler_p = NULL;
	if (sampler == NULL)
		return;
	CHECK_MAGIC(sampler, SAMPLER_MAGIC);
	timer_stop(&sampler->retry);
	if (sampler->state == SAMPLER_EXPECT_PERMIT)
		sampler->permits->cancel(sampler->permit);
	if (sampler->conn) {
		if (sampler->state != SAMPLER_EXPECT_CLOSED)
			sampler->permits->closing(sampler->permit);
		pgconn_end(&sampler->conn, patience_us);
		sampler->permits->closed(sampler->permit);
	}
	resolver_free(&sampler->resolver);
	config_unref(&sampler->config);
	backlog_release(&sampler->backlog);
	strbuf_release(&sampler->statement);
	mem_free(sampler->complaint);
	sampler->magic = 0;
	mem_free(sampler);
}
