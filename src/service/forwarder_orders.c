/* SPDX-License-Identifier: ISC */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "service/forwarder_priv.h"

#include <ctype.h>

#define GLANCE_SHARE 20u /* at most a 20th of the connection's time goes into counting a large outbox for the metrics */
#define ORDER_PATIENCE_US 3000000u /* who looks at the console does not wait for a database that is away */

static void free_order(struct forwarder *forwarder, struct order *order)
{
	if (forwarder->job_order == order)
		forwarder->job_order = NULL;
	if (order->what == OUTBOX_GLANCE && order->asked_us) {
		uint64_t now_us = clock_mono_us();

		forwarder->glance_from_us = now_us + GLANCE_SHARE * (now_us - order->asked_us);
	}
	TAILQ_REMOVE(&forwarder->orders, order, link);
	timer_stop(&order->deadline);
	mem_free(order->type);
	mem_free(order->key);
	mem_free(order);
	forwarder_look_around(forwarder);
}

/* ---- reports ---- */

static const char *state_word(const struct forwarder *forwarder)
{
	if (!forwarder_is_on(forwarder))
		return "off";
	if (forwarder->is_draining)
		return "draining";
	if (forwarder->is_paused)
		return "paused";
	if (forwarder->is_kept_out)
		return "database_paused";
	if (wv_store_refuses(forwarder->store))
		return "refused";
	if (!wv_store_works(forwarder->store))
		return "weaviate_away";
	return forwarder->database.text[0] ? "database_away" : "forwarding";
}

static struct outbox_report begin_report(struct forwarder *forwarder)
{
	struct outbox_report report = { .state = state_word(forwarder), .n_flying = forwarder->n_flights };
	const char *trouble = wv_store_works(forwarder->store) ? forwarder->class.text : wv_store_trouble(forwarder->store);

	report.n_waiting = report.n_leased = report.n_failing = report.n_dead = report.oldest_age_us = OUTBOX_NULL;
	outbox_meter_report(&forwarder->meter, &report, clock_mono_us());
	report.n_request_errors = wv_store_n_errors(forwarder->store);
	if (forwarder->database.text[0] == '\0')
		(void)snprintf(report.trouble, sizeof(report.trouble), "%s", trouble);
	else
		(void)snprintf(report.trouble, sizeof(report.trouble), "%.250s%s%.250s", forwarder->database.text, trouble[0] ? "; " : "", trouble);
	return report;
}

static void answer_order(struct forwarder *forwarder, struct order *order, const struct outbox_report *report)
{
	outbox_done *done = order->done;
	void *arg = order->arg;

	free_order(forwarder, order);
	done(arg, true, report, "");
}

void forwarder_fail_order(struct forwarder *forwarder, struct order *order, const char *text)
{
	struct outbox_report report = begin_report(forwarder);
	outbox_done *done = order->done;
	void *arg = order->arg;
	bool is_report = order->what != OUTBOX_RETRY;

	/* A report says what is known. */
	if (is_report && report.trouble[0] == '\0')
		(void)snprintf(report.trouble, sizeof(report.trouble), "%s", text);
	free_order(forwarder, order);
	done(arg, is_report, &report, text);
}

void forwarder_fail_glances(struct forwarder *forwarder)
{
	struct order *order, *next;

	TAILQ_FOREACH_SAFE(order, &forwarder->orders, link, next)
		if (order->what == OUTBOX_GLANCE)
			forwarder_fail_order(forwarder, order, "");
}

void forwarder_fail_orders(struct forwarder *forwarder, const char *text)
{
	while (!TAILQ_EMPTY(&forwarder->orders))
		forwarder_fail_order(forwarder, TAILQ_FIRST(&forwarder->orders), text);
}

static void on_deadline(struct timer *timer)
{
	struct order *order = CONTAINER_OF(timer, struct order, deadline);

	CHECK_MAGIC(order->forwarder, FORWARDER_MAGIC);
	forwarder_fail_order(order->forwarder, order, "the outbox's database does not answer");
}

/* ---- the database ---- */

void forwarder_ask_order(struct forwarder *forwarder, struct order *order)
{
	const char *values[] = { order->type, order->key };

	order->asked_us = clock_mono_us();
	if (order->what != OUTBOX_RETRY)
		pglink_ask(forwarder->link, outbox_state_sql, 0, NULL);
	else
		pglink_ask(forwarder->link, outbox_revive_sql, N_ELEMENTS(values), values);
}

static uint64_t number_cell(const PGresult *rows, int column)
{
	return PQgetisnull(rows, 0, column) ? OUTBOX_NULL : strtoull(PQgetvalue(rows, 0, column), NULL, 10);
}

void forwarder_take_order_rows(struct forwarder *forwarder, struct order *order, const PGresult *rows)
{
	struct outbox_report report = begin_report(forwarder);

	if (order->what != OUTBOX_RETRY) {
		MUST(PQnfields(rows) == STATE_COLUMNS);
		report.n_waiting = number_cell(rows, STATE_WAITING);
		report.n_leased = number_cell(rows, STATE_LEASED);
		report.n_failing = number_cell(rows, STATE_FAILING);
		report.n_dead = number_cell(rows, STATE_DEAD);
		report.oldest_age_us = number_cell(rows, STATE_AGE);
		(void)snprintf(report.dead_reasons, sizeof(report.dead_reasons), "%s", PQgetvalue(rows, 0, STATE_REASONS));
	} else {
		report.n_revived = number_cell(rows, 0);
		forwarder->is_due = true;
		log_info("RETRY OUTBOX: %llu dead notes live again", (unsigned long long)report.n_revived);
	}
	answer_order(forwarder, order, &report);
}

/* ---- what is asked ---- */

static void pause_or_resume(struct forwarder *forwarder, bool is_paused, outbox_done *done, void *arg)
{
	struct outbox_report report;

	if (forwarder->is_paused == is_paused) {
		report = begin_report(forwarder);
		done(arg, false, &report, is_paused ? "forwarding is paused already" : "forwarding is not paused");
		return;
	}
	log_info(is_paused ? "PAUSE FORWARDING" : "RESUME FORWARDING");
	forwarder->is_paused = is_paused;
	forwarder->is_due = true;
	timer_stop(&forwarder->poll);
	forwarder_look_around(forwarder);
	report = begin_report(forwarder);
	done(arg, true, &report, "");
}

/* Whoever takes samples does not wait for a database that is away. */
static bool may_glance(const struct forwarder *forwarder)
{
	return forwarder_is_on(forwarder) && !pglink_is_put_off(forwarder->link) && clock_mono_us() >= forwarder->glance_from_us;
}

static void glance_without(struct forwarder *forwarder, outbox_done *done, void *arg)
{
	struct outbox_report report = begin_report(forwarder);

	done(arg, forwarder_is_on(forwarder), &report, "");
}

/* TYPE or TYPE:KEY. false: it is neither. */
static bool take_argument(struct order *order, const char *argument)
{
	const char *colon = strchr(argument, ':');
	char *at;

	if (*argument == '\0')
		return true;
	order->type = mem_strndup(argument, colon ? (size_t)(colon - argument) : strlen(argument));
	if (colon == NULL)
		return true;
	order->key = mem_strdup(colon + 1);
	for (at = order->key; *at; at++)
		*at = (char)tolower((unsigned char)*at);
	return order->type[0] != '\0' && wv_is_id(order->key);
}

static void enqueue(struct forwarder *forwarder, struct order *order)
{
	TAILQ_INSERT_TAIL(&forwarder->orders, order, link);
	loop_timer(forwarder->loop, &order->deadline, ORDER_PATIENCE_US, on_deadline);
	forwarder_look_around(forwarder);
}

void forwarder_order(struct forwarder *forwarder, enum outbox_order what, const char *argument, outbox_done *done, void *arg)
{
	struct order *order;

	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	if (what == OUTBOX_PAUSE || what == OUTBOX_RESUME) {
		pause_or_resume(forwarder, what == OUTBOX_PAUSE, done, arg);
		return;
	}
	if (what == OUTBOX_GLANCE && !may_glance(forwarder)) {
		glance_without(forwarder, done, arg);
		return;
	}
	order = mem_zalloc(sizeof(*order));
	order->forwarder = forwarder;
	order->what = what;
	order->done = done;
	order->arg = arg;
	if (!take_argument(order, argument)) {
		TAILQ_INSERT_TAIL(&forwarder->orders, order, link);
		forwarder_fail_order(forwarder, order, "expected TYPE or TYPE:UUID");
	} else if (forwarder->is_draining || config_outbox_database(forwarder->config) == NULL) {
		TAILQ_INSERT_TAIL(&forwarder->orders, order, link);
		forwarder_fail_order(forwarder, order, forwarder->is_draining ? "pglane is shutting down" : "outbox_database is not set");
	} else if (forwarder->is_kept_out) {
		TAILQ_INSERT_TAIL(&forwarder->orders, order, link);
		forwarder_fail_order(forwarder, order, "the outbox's database is paused");
	} else {
		enqueue(forwarder, order);
	}
}
