/* SPDX-License-Identifier: ISC */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "service/forwarder_priv.h"
#include "service/pgtarget.h"

#define WRITER_PATIENCE_US 100000u /* twice as long each time, up to 32 times that */
#define COMPLAINT_PERIOD_US 60000000u /* the same again only after this */
#define FLIGHTS_PER_REQUEST 4u	      /* some wait for their doubts to end */

bool forwarder_is_on(const struct forwarder *forwarder)
{
	return forwarder->config->weaviate_url && config_outbox_database(forwarder->config);
}

/* ---- complaints ---- */

/* What the operator can do about what PostgreSQL said. */
static const char *advice_of(const char *sqlstate)
{
	static const struct {
		const char *sqlstate, *advice;
	} table[] = {
		{ "42883", ": run sql/pglane-migrate there" }, /* undefined_function */
		{ "42P01", ": run sql/pglane-migrate there" }, /* undefined_table */
		{ "42703", ": is the column of [entity:…] vector one of its view?" }, /* undefined_column */
		{ "42501", ": grant ml_proxy to it" }, /* insufficient_privilege */
	};

	for (size_t i = 0; i < N_ELEMENTS(table); i++)
		if (strcmp(table[i].sqlstate, sqlstate) == 0)
			return table[i].advice;
	return "";
}

bool complaint_is_news(struct complaint *complaint, const char *text)
{
	uint64_t now_us = clock_mono_us();

	if (strcmp(complaint->text, text) == 0 && now_us - complaint->said_us < COMPLAINT_PERIOD_US)
		return false;
	(void)snprintf(complaint->text, sizeof(complaint->text), "%s", text);
	complaint->said_us = now_us;
	return true;
}

static void complain_of_database(struct forwarder *forwarder, const struct pgconn_error *error)
{
	const char *user = config_outbox_user(forwarder->config);

	if (complaint_is_news(&forwarder->database, error->text))
		log_warning("the outbox of %s cannot be forwarded as user %s: %s%s", config_outbox_database(forwarder->config),
			user ? user : "of the entry", error->text, advice_of(error->sqlstate));
}

void complaint_end(struct complaint *complaint, const char *what)
{
	if (complaint->text[0])
		log_info("%s", what);
	complaint->text[0] = '\0';
}

/* ---- leasing ---- */

static bool may_lease(const struct forwarder *forwarder)
{
	unsigned n_requests = forwarder->config->outbox_requests;
	const struct flight *flight;
	unsigned n_busy = 0;

	if (!forwarder_is_on(forwarder) || forwarder->is_paused || forwarder->is_draining || !wv_store_works(forwarder->store) ||
		!wv_guard_has_looked(forwarder->guard) || forwarder->n_flights >= n_requests * FLIGHTS_PER_REQUEST)
		return false;
	TAILQ_FOREACH(flight, &forwarder->flights, link)
		n_busy += flight->state != FLIGHT_EXPECT_CALM && flight->state != FLIGHT_EXPECT_WRITER;
	return n_busy < n_requests;
}

static void on_poll(struct timer *timer)
{
	struct forwarder *forwarder = CONTAINER_OF(timer, struct forwarder, poll);

	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	forwarder->is_due = true;
	forwarder_look_around(forwarder);
}

/* Several pglanes do not look at the same moments. */
static void arm_poll(struct forwarder *forwarder)
{
	uint64_t period_us = forwarder->config->outbox_poll_us;

	if (!timer_is_armed(&forwarder->poll))
		loop_timer(forwarder->loop, &forwarder->poll, period_us * 9 / 10 + rng_u64() % (period_us / 5), on_poll);
}

static void ask_lease(struct forwarder *forwarder)
{
	char limit[16], lease[40];
	const char *values[] = { limit, lease };

	forwarder->job = JOB_LEASE;
	forwarder->asked_us = clock_mono_us();
	forwarder->n_asked = MIN_OF(forwarder->config->outbox_batch, forwarder->span_max * 2);
	(void)snprintf(limit, sizeof(limit), "%u", forwarder->n_asked);
	(void)snprintf(lease, sizeof(lease), "%llu milliseconds", (unsigned long long)(forwarder->config->weaviate_write_timeout_us / 500));
	pglink_ask(forwarder->link, outbox_lease_sql, N_ELEMENTS(values), values);
}

static struct flight *flight_of_type(struct forwarder *forwarder, const char *lease, const char *type)
{
	struct flight *flight;

	TAILQ_FOREACH(flight, &forwarder->flights, link)
		if (strcmp(flight->lease, lease) == 0 && strcmp(flight->type, type) == 0)
			return flight;
	flight = flight_new(lease, type, forwarder->asked_us, forwarder->config->weaviate_write_timeout_us);
	flight->owner = forwarder;
	flight->state = FLIGHT_EXPECT_OBJECTS;
	TAILQ_INSERT_TAIL(&forwarder->flights, flight, link);
	forwarder->n_flights++;
	return flight;
}

static void take_lease(struct forwarder *forwarder, const PGresult *rows)
{
	int n = PQntuples(rows);

	MUST(PQnfields(rows) == LEASE_COLUMNS);
	for (int row = 0; row < n; row++)
		flight_add_note(flight_of_type(forwarder, PQgetvalue(rows, row, LEASE_LEASE), PQgetvalue(rows, row, LEASE_TYPE)), rows, row);
	forwarder->is_due = (unsigned)n == forwarder->n_asked; /* there may be more */
}

/* ---- statements of flights ---- */

static void ask_objects(struct forwarder *forwarder, struct flight *flight)
{
	const struct config *config = forwarder->config;
	const char *column;
	struct strbuf sql = STRBUF_INIT, keys = STRBUF_INIT;
	char bytes[24];
	const char *values[4] = { flight->type, NULL, bytes, bytes };

	(void)config_entity_vector(config_find_entity(config, flight->type), &column);
	outbox_read_sql(&sql, flight->type, column);
	forwarder->n_asked = flight_unread(flight, config->outbox_batch, &keys);
	MUST(forwarder->n_asked > 0);
	values[1] = keys.data;
	(void)snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)config->outbox_batch_bytes);
	pglink_ask(forwarder->link, sql.data, N_ELEMENTS(values), values);
	strbuf_release(&sql);
	strbuf_release(&keys);
}

static void ask_end(struct forwarder *forwarder, struct flight *flight)
{
	struct flight_params params;

	flight_end_params(flight, &params);
	if (flight->state == FLIGHT_EXPECT_DONE)
		pglink_ask(forwarder->link, outbox_done_sql, DONE_PARAMS, params.values);
	else if (flight->no_metadata)
		pglink_ask(forwarder->link, outbox_finish_only_sql, FINISH_ONLY_PARAMS, params.values);
	else
		pglink_ask(forwarder->link, outbox_finish_sql, FINISH_PARAMS, params.values);
	flight_params_release(&params);
}

static bool wants_database(const struct flight *flight)
{
	return flight->state == FLIGHT_EXPECT_OBJECTS || flight->state == FLIGHT_EXPECT_END || flight->state == FLIGHT_EXPECT_DONE;
}

/* While the database was away leases may have ended. */
static bool is_too_late(const struct flight *flight, uint64_t now_us)
{
	return flight->state == FLIGHT_EXPECT_OBJECTS ? !flight_has_time(flight, now_us) : now_us >= flight->leased_us + 2 * flight->write_timeout_us;
}

static struct flight *next_for_database(struct forwarder *forwarder)
{
	uint64_t now_us = clock_mono_us();
	struct flight *flight, *next;

	TAILQ_FOREACH_SAFE(flight, &forwarder->flights, link, next)
	{
		if (!wants_database(flight))
			continue;
		if (!is_too_late(flight, now_us))
			return flight;
		forwarder_drop(forwarder, flight);
	}
	return NULL;
}

static void note_lag(void *arg, uint64_t age_us)
{
	outbox_meter_lag(arg, age_us, clock_mono_us());
}

static void on_writer(struct timer *timer)
{
	struct flight *flight = CONTAINER_OF(timer, struct flight, timer);

	forwarder_set_state(flight->owner, flight, FLIGHT_EXPECT_DONE);
}

/* Some have changed meanwhile, and are due again; others a writer may hold just now: once it has ended they are to go, or due again, not only when the lease ends. */
static void await_writer(struct forwarder *forwarder, struct flight *flight)
{
	forwarder->is_due = true;
	forwarder_set_state(forwarder, flight, FLIGHT_EXPECT_WRITER);
	loop_timer(forwarder->loop, &flight->timer, (uint64_t)WRITER_PATIENCE_US << MIN_OF(flight->n_waits++, 5u), on_writer);
}

static void take_end(struct forwarder *forwarder, struct flight *flight, const PGresult *rows)
{
	struct flight_counts counts = flight_ended(flight, clock_mono_us(), note_lag, &forwarder->meter);
	unsigned n_gone = (unsigned)strtoul(PQgetvalue(rows, 0, FINISH_GONE), NULL, 10);

	MUST(PQnfields(rows) == FINISH_COLUMNS);
	outbox_meter_count(&forwarder->meter, &counts);
	if (n_gone == counts.n_stored + counts.n_deleted)
		forwarder_go_on(forwarder, flight);
	else
		await_writer(forwarder, flight);
}

static void take_done(struct forwarder *forwarder, struct flight *flight, const PGresult *rows)
{
	MUST(PQnfields(rows) == DONE_COLUMNS);
	if (strcmp(PQgetvalue(rows, 0, DONE_OURS), "0") == 0)
		forwarder_go_on(forwarder, flight);
	else
		await_writer(forwarder, flight);
}

static void take_flight_rows(struct forwarder *forwarder, struct flight *flight, const PGresult *rows)
{
	switch (flight->state) {
	case FLIGHT_EXPECT_OBJECTS:
		MUST(PQnfields(rows) == READ_COLUMNS);
		flight_take_objects(flight, rows, forwarder->config);
		forwarder_go_on(forwarder, flight);
		break;
	case FLIGHT_EXPECT_END:
		take_end(forwarder, flight, rows);
		break;
	case FLIGHT_EXPECT_DONE:
		take_done(forwarder, flight, rows);
		break;
	case FLIGHT_EXPECT_STORE:
	case FLIGHT_EXPECT_ANSWER:
	case FLIGHT_EXPECT_CALM:
	case FLIGHT_EXPECT_WRITER:
		UNREACHABLE("a flight that asked nothing of the database");
	}
}

/* PostgreSQL refused the statement itself: to ask again would be the same again. */
static void fail_flight(struct forwarder *forwarder, struct flight *flight, const struct pgconn_error *error)
{
	if (flight->state == FLIGHT_EXPECT_OBJECTS) {
		flight_fail_unread(flight, forwarder->n_asked, error->text);
		pglink_reopen(forwarder->link); /* at once: the database is well */
		forwarder_go_on(forwarder, flight);
	} else if (flight->state == FLIGHT_EXPECT_END && !flight->no_metadata) {
		flight->no_metadata = true; /* the notes' end does not depend on it */
	} else {
		forwarder_drop(forwarder, flight);
	}
}


/* ---- the database ---- */

static bool has_work(const struct forwarder *forwarder)
{
	if (forwarder->is_kept_out)
		return false;
	return !TAILQ_EMPTY(&forwarder->flights) || !TAILQ_EMPTY(&forwarder->orders) ||
		(forwarder_is_on(forwarder) && !forwarder->is_paused && !forwarder->is_draining);
}

static void end_drain(struct forwarder *forwarder)
{
	void (*drained)(void *arg) = forwarder->drained;

	if (drained == NULL || has_work(forwarder) || !pglink_is_closed(forwarder->link))
		return;
	forwarder->drained = NULL;
	drained(forwarder->drained_arg);
}

void forwarder_look_around(struct forwarder *forwarder)
{
	pglink_want(forwarder->link, has_work(forwarder));
	pglink_poke(forwarder->link);
	end_drain(forwarder);
}

/* Who has to be asked first: the console, then what flies, then the outbox. */
static void on_ready(void *arg)
{
	struct forwarder *forwarder = arg;
	struct flight *flight;

	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	forwarder->job = JOB_NONE;
	forwarder->job_order = TAILQ_FIRST(&forwarder->orders);
	if (forwarder->job_order) {
		forwarder->job = JOB_ORDER;
		forwarder_ask_order(forwarder, forwarder->job_order);
		return;
	}
	flight = next_for_database(forwarder);
	if (flight) {
		forwarder->job = JOB_FLIGHT;
		forwarder->job_flight = flight;
		if (flight->state == FLIGHT_EXPECT_OBJECTS)
			ask_objects(forwarder, flight);
		else
			ask_end(forwarder, flight);
	} else if (!may_lease(forwarder)) {
		pglink_want(forwarder->link, has_work(forwarder));
	} else if (forwarder->is_due) {
		ask_lease(forwarder);
	} else {
		arm_poll(forwarder);
	}
}

static void on_answered(void *arg, const PGresult *rows)
{
	struct forwarder *forwarder = arg;
	enum job job = forwarder->job;

	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	forwarder->job = JOB_NONE;
	switch (job) {
	case JOB_LEASE:
		complaint_end(&forwarder->database, "the outbox is forwarded again");
		take_lease(forwarder, rows);
		break;
	case JOB_FLIGHT:
		if (forwarder->job_flight)
			take_flight_rows(forwarder, forwarder->job_flight, rows);
		break;
	case JOB_ORDER:
		if (forwarder->job_order)
			forwarder_take_order_rows(forwarder, forwarder->job_order, rows);
		break;
	case JOB_STALE:
		break;
	case JOB_NONE:
		UNREACHABLE("nothing was asked");
	}
}

/* The server is away or busy, or nobody knows: another time the same statement may go well. */
static bool is_transient(const char *sqlstate)
{
	return sqlstate[0] == '\0' || strncmp(sqlstate, "08", 2) == 0 || strncmp(sqlstate, "40", 2) == 0 || strncmp(sqlstate, "53", 2) == 0 ||
		strncmp(sqlstate, "57P", 3) == 0;
}

static void on_failed(void *arg, bool was_asked, const struct pgconn_error *error)
{
	struct forwarder *forwarder = arg;
	enum job job = was_asked ? forwarder->job : JOB_NONE;

	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	forwarder->job = JOB_NONE;
	if (job == JOB_ORDER) {
		if (forwarder->job_order)
			forwarder_fail_order(forwarder, forwarder->job_order, error->text);
		return;
	}
	forwarder_fail_glances(forwarder);
	complain_of_database(forwarder, error);
	if (job == JOB_LEASE) /* what it leased, if it did, stays so until the lease is over */
		forwarder->is_due = true;
	else if (job == JOB_FLIGHT && forwarder->job_flight && !is_transient(error->sqlstate))
		fail_flight(forwarder, forwarder->job_flight, error);
}

static void on_link_closed(void *arg)
{
	struct forwarder *forwarder = arg;

	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	end_drain(forwarder);
}

static const char *where_to(void *arg, struct pgtarget *target_r, uint64_t n_attempts, uint64_t *connect_timeout_us_r)
{
	struct forwarder *forwarder = arg;
	const struct config *config = forwarder->config;

	*connect_timeout_us_r = config->server_connect_timeout_us;
	if (config_outbox_database(config) == NULL)
		return "outbox_database is not set";
	return pgtarget_init(target_r, config, config_outbox_database(config), config_outbox_user(config), config_outbox_password(config), n_attempts);
}

static const struct pglink_ops link_ops = {
	.ready = on_ready,
	.answered = on_answered,
	.failed = on_failed,
	.closed = on_link_closed,
};

/* ---- life ---- */

static void on_store_works(void *arg)
{
	struct forwarder *forwarder = arg;

	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	forwarder->is_due = true;
	wv_guard_look(forwarder->guard);
	forwarder_wake_senders(forwarder);
	forwarder_look_around(forwarder);
}

static void on_classes_looked_at(void *arg)
{
	struct forwarder *forwarder = arg;

	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	if (forwarder->class_name && wv_guard_objection(forwarder->guard, forwarder->class_name) == NULL)
		complaint_end(&forwarder->class, "no objects wait for their class any more");
	forwarder_wake_senders(forwarder);
	forwarder_look_around(forwarder);
}

static void announce(const struct forwarder *forwarder)
{
	if (forwarder_is_on(forwarder))
		log_info("the outbox of %s is forwarded to %s", config_outbox_database(forwarder->config), forwarder->config->weaviate_url);
	else if (forwarder->config->weaviate_url)
		log_info("no outbox is forwarded to Weaviate: outbox_database is not set");
}

struct forwarder *forwarder_new(struct loop *loop, struct config *config, const struct permit_ops *permits, void *permit)
{
	struct forwarder *forwarder = mem_zalloc(sizeof(*forwarder));

	forwarder->magic = FORWARDER_MAGIC;
	forwarder->loop = loop;
	forwarder->config = config_ref(config);
	TAILQ_INIT(&forwarder->flights);
	TAILQ_INIT(&forwarder->orders);
	forwarder->is_due = true;
	forwarder->span_max = config->outbox_batch;
	outbox_meter_init(&forwarder->meter, clock_mono_us());
	forwarder->http = http_new(loop);
	forwarder->store = wv_store_new(loop, forwarder->http, on_store_works, forwarder);
	forwarder->link = pglink_new(loop, "pglane outbox", permits, permit, where_to, &link_ops, forwarder);
	wv_store_change(forwarder->store, config);
	announce(forwarder);
	forwarder->guard = wv_guard_new(loop, forwarder->http, on_classes_looked_at, forwarder);
	wv_guard_change(forwarder->guard, config);
	forwarder_look_around(forwarder);
	return forwarder;
}

void forwarder_allow(struct forwarder *forwarder, bool is_allowed)
{
	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	if (forwarder->is_kept_out == !is_allowed)
		return;
	log_info(is_allowed ? "the outbox's database is not paused any more" : "the outbox's database is paused: nothing is forwarded");
	forwarder->is_kept_out = !is_allowed;
	forwarder->is_due = true;
	forwarder_look_around(forwarder);
}

void forwarder_granted(struct forwarder *forwarder)
{
	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	pglink_granted(forwarder->link);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

/* Is the outbox the same one, read by the same user? */
static bool same_outbox(const struct config *a, const struct config *b)
{
	struct pgtarget x, y;
	const char *name_a = config_outbox_database(a), *name_b = config_outbox_database(b);
	bool same;

	if (name_a == NULL || name_b == NULL)
		return name_a == name_b;
	if (pgtarget_init(&x, a, name_a, config_outbox_user(a), config_outbox_password(a), 0) != NULL ||
		pgtarget_init(&y, b, name_b, config_outbox_user(b), config_outbox_password(b), 0) != NULL)
		return false;
	same = strcmp(x.host, y.host) == 0 && x.port == y.port && strcmp(x.dbname, y.dbname) == 0 && strcmp(x.user, y.user) == 0 &&
		same_text(x.password, y.password);
	pgtarget_release(&x);
	pgtarget_release(&y);
	return same;
}

/* What flies goes on with the new values, unless its outbox or its Weaviate is not ours any more: leases end by themselves. */
void forwarder_change(struct forwarder *forwarder, struct config *config)
{
	bool stays = same_outbox(forwarder->config, config) && same_text(forwarder->config->weaviate_url, config->weaviate_url);
	struct config *old = forwarder->config;

	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	if (!stays)
		forwarder_drop_all(forwarder);
	forwarder->config = config_ref(config);
	config_unref(&old);
	if (!stays) {
		forwarder->job = forwarder->job == JOB_NONE ? JOB_NONE : JOB_STALE;
		pglink_reopen(forwarder->link);
		announce(forwarder);
	}
	forwarder->span_max = config->outbox_batch;
	forwarder->is_due = true;
	forwarder->database.text[0] = forwarder->weaviate.text[0] = forwarder->class.text[0] = '\0';
	timer_stop(&forwarder->poll);
	wv_guard_change(forwarder->guard, config);
	wv_store_change(forwarder->store, config);
	forwarder_look_around(forwarder);
}

void forwarder_drain(struct forwarder *forwarder, void (*drained)(void *arg), void *arg)
{
	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	forwarder->is_draining = true;
	forwarder->drained = drained;
	forwarder->drained_arg = arg;
	timer_stop(&forwarder->poll);
	forwarder_fail_orders(forwarder, "pglane is shutting down");
	forwarder_drop_idle(forwarder);
	forwarder_look_around(forwarder);
}

void forwarder_free(struct forwarder **forwarder_p, uint64_t patience_us)
{
	struct forwarder *forwarder = *forwarder_p;

	*forwarder_p = NULL;
	if (forwarder == NULL)
		return;
	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	forwarder->is_draining = true;
	forwarder->drained = NULL;
	timer_stop(&forwarder->poll);
	forwarder_fail_orders(forwarder, "pglane is shutting down");
	forwarder_drop_all(forwarder);
	pglink_free(&forwarder->link, patience_us);
	wv_guard_free(&forwarder->guard);
	mem_free(forwarder->class_name);
	wv_store_free(&forwarder->store);
	http_free(&forwarder->http);
	config_unref(&forwarder->config);
	forwarder->magic = 0;
	mem_free(forwarder);
}
