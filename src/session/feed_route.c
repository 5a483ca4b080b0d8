/* SPDX-License-Identifier: ISC */
/*
 * Where a statement goes: the facts that classify() is asked with, what is kept of its answer, and
 * what a rule does beside it (deny, log).
 */
#include "base/log.h"
#include "base/mem.h"
#include "session/feed.h"
#include "session/server.h"
#include "session/setting.h"
#include "session/sql_prepared.h"

#define LOGGED_BYTES 200 /* of a statement */

/* Zero while no rule asks: a decision that is kept holds for any time. */
static int64_t asked_time(const struct client *client)
{
	return UNLIKELY(classifier_asks_time(client->worker->settings->classifier))
		       ? worker_wall_s(client->worker)
		       : 0;
}

struct classify_session feed_session(const struct client *client)
{
	const struct config_user *user = pool_user(client->pool);
	struct classify_session session = {
		.user = client->pool->shared->user->name,
		.database = client->pool->shared->database->name,
		.application_name = client_application_name(client),
		.may_annotate =
			(user ? user->annotations : CONFIG_USER_ANNOTATIONS) != ANNOTATIONS_NONE,
		.max_priority = user ? user->max_priority : CONFIG_USER_MAX_PRIORITY,
		.backslash_escapes = client->params->backslash_escapes,
		.catalog = client->pool->catalog,
		.now_s = asked_time(client),
	};

	session.utc_offset_s = client->worker->utc_offset_s;
	session.has_class = setting_class(client, &session.class);
	return session;
}

struct statement_route feed_route(const struct client *client, const struct classify_result *result)
{
	return (struct statement_route){
		.class = (uint8_t)result->class,
		.priority = result->priority,
		.kind = (uint8_t)result->kind,
		.lane = result->lane,
		.has_lane = result->has_lane,
		.annotated = result->annotated,
		.actions = result->actions,
		.change = result->change,
		.changed_class = result->changed_class,
		.bad_class = result->change != CLASS_KEPT && result->bad_class,
		.source = result->source,
		.effects = result->effects,
		.timeout_ms = result->timeout_ms,
		.deny = result->deny,
		.deny_rule = result->deny_rule,
		.log_rule = result->log_rule,
	};
}

struct statement_route feed_decide_counted(struct client *client,
	const struct classify_session *session, const char *sql, size_t n,
	struct classify_result *result_r)
{
	struct statement_route route;
	struct pgw_hash128 print;

	classify_printed(
		client->worker->settings->classifier, session, sql, n, result_r, &print);
	route = feed_route(client, result_r);
	route.print = print;
	route.declares = classify_declares_cursor(result_r->features);
	tally_route(client, &route, sql, n);
	return route;
}

struct statement_route feed_session_route(const struct client *client)
{
	struct classify_session session = feed_session(client);
	struct classify_result result;
	struct statement_route route;

	session.only_session = true;
	classify(client->worker->settings->classifier, &session, "", 0, &result);
	route = feed_route(client, &result);
	route.kind = STATEMENT_WORK;
	return route;
}

void feed_route_statement(struct client *client, struct statement *statement)
{
	struct settings *settings = client->worker->settings;
	struct statement_route *route = &statement->route;
	struct pgw_hash128 params = client->params->hash;
	struct classify_session session;
	struct classify_result result;

	if (LIKELY(route->settings == settings->serial && route->pool == client->pool->id &&
		   route->params.lo == params.lo && route->params.hi == params.hi &&
		   route->xact_class == client->xact_class &&
		   route->now_s == asked_time(client))) {
		if (UNLIKELY(client->worker->detects))
			tally_route_again(
				client, route, statement->text, statement->n_query - 1);
		return;
	}
	session = feed_session(client);
	*route = feed_decide(
		client, &session, statement->text, statement->n_query - 1, &result);
	if (UNLIKELY(statement->of_sql)) { /* it is run, not prepared */
		route->kind = STATEMENT_WORK;
		route->effects &= ~(uint32_t)(EFFECT_NAMES | EFFECT_PREPARE);
	} else if (UNLIKELY(route->effects & EFFECT_NAMES)) {
		sql_prepared_follow(client, route, statement->text, statement->n_query - 1, true);
	}
	route->settings = settings->serial;
	route->pool = client->pool->id;
	route->params = params;
	route->xact_class = client->xact_class;
	route->now_s = session.now_s;
	if (UNLIKELY(settings->config->targets_replica) && !statement->writes)
		route->reads = (uint8_t)only_reads(statement->text, statement->n_query - 1,
			client->params->backslash_escapes);
	if (result.bad_annotation)
		STAT_ADD(client->worker->counters.n_bad_annotations, 1);
}

void feed_log(const struct client *client, const struct statement_route *route, const char *sql,
	size_t n)
{
	if (LIKELY(route->log_rule == NULL))
		return;
	log_rated(LOG_LEVEL_INFO, "C-%llu: %s: %s, class %s, user %s, database %s: %.*s",
		(unsigned long long)client->id, route->log_rule,
		route->deny ? "denied" : "sent", query_class_name((enum query_class)route->class),
		client->pool->shared->user->name, client->pool->shared->database->name,
		(int)MIN_OF(n, LOGGED_BYTES), sql);
}

enum step feed_deny(struct feed *feed, const struct pgw_frame *frame,
	const struct statement_route *route, const char *sql, size_t n)
{
	struct pgw_fault fault;

	feed_log(feed->client, route, sql, n);
	STAT_ADD(feed->worker->classes[route->class].n_denied, 1);
	pgw_fault_set(&fault, PGW_FAULT_DENIED, route->deny, "Rule %s.", route->deny_rule);
	return frame->type == PGW_QUERY || frame->type == PGW_FUNCTION_CALL
		       ? feed_refuse_query(feed, frame, &fault)
		       : feed_fail_batch(feed, frame, &fault);
}

bool feed_session_refused(struct feed *feed, const struct pgw_frame *frame, enum step *step_r)
{
	struct client *client = feed->client;
	struct statement_route route;

	if (LIKELY(client->state == CLIENT_LINKED && !server_is(client->server, SERVER_FRESH)))
		return false;
	route = feed_session_route(client);
	if (LIKELY(route.deny == NULL))
		return false;
	*step_r = feed_deny(feed, frame, &route, "a session", strlen("a session"));
	return true;
}
