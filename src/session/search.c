/* SPDX-License-Identifier: ISC */
#include "session/search.h"

#include "base/log.h"
#include "base/mem.h"
#include "session/ahead.h"
#include "session/server.h"

#define HITS "SELECT pg_catalog.set_config('pglane.hits', $1, true)"

/* What may lie between a Parse and its Bind in a batch, beside what a Bind may have. */
#define BATCH_ROOM_BYTES 65536u

/* ---- life ---- */

static void free_search(struct search *search)
{
	search_request_release(&search->request);
	search_answer_release(&search->answer);
	mem_free(search->fault);
	mem_free(search);
}

void search_drop(struct client *client)
{
	struct search *search = client->search;

	if (LIKELY(search == NULL))
		return;
	client->search = NULL;
	if (client->state == CLIENT_SEARCHING)
		timer_stop(&client->timer);
	if (search->flies) { /* its answer is dropped when it comes */
		struct cluster *cluster = client->worker->cluster;

		search->client = NULL;
		cluster->search_abandon(cluster->daemon_arg, search->id);
	} else {
		free_search(search);
	}
}

void search_again(struct client *client)
{
	if (client->search)
		client->search->placed = false;
}

void search_executed(struct client *client)
{
	if (client->search->placed)
		search_drop(client);
}

/* ---- the way back ---- */

/* The client goes on with the message that waited, which search_holds() sees again. */
static void settle(struct search *search)
{
	struct client *client = search->client;

	timer_stop(&client->timer);
	search->took_us = loop_now_us(&client->worker->loop) - search->began_us;
	client_to(client, client->server ? CLIENT_LINKED : CLIENT_IDLE);
	client_statement_clock(client);
	client_resume(client);
}

static void fail(struct search *search, const struct pgw_fault *fault)
{
	search->fault = mem_dup(fault, sizeof(*fault));
	settle(search);
}

/* What may be made up for by no hits: that Weaviate does not answer, not what the client asked for. */
static bool is_made_up_for(struct search *search)
{
	const struct client *client = search->client;
	const struct config_user *user = config_find_user(
		worker_config(client->worker), client->pool->shared->user->name);

	if (user == NULL || user->on_search_failure != SEARCH_FAILURE_IS_EMPTY)
		return false;
	log_rated(LOG_LEVEL_WARNING, "C-%llu: search failed, its statement runs without hits: %s",
		(unsigned long long)client->id, search->answer.why);
	STAT_ADD(client->worker->counters.n_searches_empty, 1);
	search->answer.hits = mem_strdup("[]");
	search->answer.outcome = SEARCH_DONE;
	return true;
}

static void answer_fault(const struct search *search, struct pgw_fault *fault_r)
{
	const struct search_answer *answer = &search->answer;

	switch (answer->outcome) {
	case SEARCH_OFF:
		pgw_fault_set(fault_r, PGW_FAULT_SEARCH_OFF, NULL, NULL);
		return;
	case SEARCH_UNKNOWN_COLLECTION:
		pgw_fault_set(fault_r, PGW_FAULT_SEARCH_COLLECTION, search->request.collection,
			"%s.", answer->why);
		return;
	case SEARCH_REFUSED:
		pgw_fault_set(fault_r, PGW_FAULT_SEARCH_REFUSED, NULL, "%s.", answer->why);
		return;
	case SEARCH_DONE:
	case SEARCH_UNAVAILABLE:
	case SEARCH_TIMED_OUT:
	default:
		pgw_fault_set(fault_r, PGW_FAULT_SEARCH_FAILED, NULL, "%s.", answer->why);
		return;
	}
}

static void on_answered(struct mail *mail, void *owner)
{
	struct search *search = CONTAINER_OF(mail, struct search, mail);
	enum search_outcome outcome = search->answer.outcome;
	struct pgw_fault fault;

	search->flies = false;
	if (search->client == NULL) {
		free_search(search);
		return;
	}
	if (search->fault) /* a cancel or the lane's limit was there first */
		return;
	if (outcome == SEARCH_DONE ||
		((outcome == SEARCH_UNAVAILABLE || outcome == SEARCH_TIMED_OUT) &&
			is_made_up_for(search))) {
		settle(search);
		return;
	}
	answer_fault(search, &fault);
	fail(search, &fault);
}

void search_answered(struct search *search)
{
	mailbox_post(search->home, &search->mail, on_answered);
}

void search_cancel(struct client *client)
{
	struct pgw_fault fault;

	pgw_fault_set(&fault, PGW_FAULT_QUEUE_CANCELED, NULL,
		"It was waiting for a search in collection %.100s.",
		client->search->request.collection);
	fail(client->search, &fault);
}

/* ---- the way there ---- */

static unsigned lane_of(const struct client *client, const struct statement_route *route)
{
	const struct config *config = worker_config(client->worker);

	if (client->ticket.state == LANE_TICKET_HOLDS &&
		!client_is(client, CLIENT_LANE_NEUTRAL))
		return client->ticket.home_lane;
	if (client_is(client, CLIENT_CLASS_FIXED))
		return config->lane_of_class[client->begin_class];
	return route->has_lane ? route->lane : config->lane_of_class[route->class];
}

static void on_limit(struct timer *timer)
{
	struct client *client = CONTAINER_OF(timer, struct client, timer);
	struct search *search = client->search;
	struct pgw_fault fault;

	STAT_ADD(client->worker->classes[client->class].n_lane_timeouts, 1);
	pgw_fault_set(&fault, PGW_FAULT_LANE_TIMEOUT, NULL,
		"Class %s: its search was not answered within the limit of the statement; it took "
		"%llu ms.",
		query_class_name((enum query_class)client->class),
		(unsigned long long)((loop_now_us(&client->worker->loop) - search->began_us) / 1000));
	fail(search, &fault);
}

/* The statement's clock begins with its search, or with the batch that it is in. */
static void arm_limit(struct client *client, const struct statement_route *route, uint64_t now_us)
{
	uint64_t limit_us = client_limit_us(client, lane_of(client, route), route->timeout_ms),
		 start_us = client->query_start_us ? client->query_start_us : now_us;

	timer_stop(&client->timer);
	if (limit_us > 0)
		loop_timer_at(&client->worker->loop, &client->timer, start_us + limit_us, on_limit);
}

static void begin(struct client *client, const struct statement_route *route,
	struct search_request *request, struct pgw_hash128 asked_by)
{
	struct cluster *cluster = client->worker->cluster;
	struct search *search = mem_zalloc(sizeof(*search));

	search->id = __atomic_add_fetch(&cluster->next_search, 1, __ATOMIC_RELAXED);
	search->home = &client->worker->mailbox;
	search->request = *request;
	search->client = client;
	search->asked_by = asked_by;
	search->flies = true;
	search->began_us = loop_now_us(&client->worker->loop);
	client->search = search;
	client->class = route->class;
	client_to(client, CLIENT_SEARCHING);
	arm_limit(client, route, search->began_us);
	STAT_ADD(client->worker->counters.n_searches, 1);
	cluster->search(cluster->daemon_arg, search);
}

/* ---- the gate ---- */

static bool refuse(struct feed *feed, const struct pgw_frame *frame, const struct pgw_fault *fault,
	enum step *step_r)
{
	struct pgw_fault copy = *fault; /* it may be the search's own */

	search_drop(feed->client);
	STAT_ADD(feed->worker->counters.n_searches_refused, 1);
	*step_r = frame->type == PGW_QUERY ? feed_refuse_query(feed, frame, &copy)
					 : feed_fail_batch(feed, frame, &copy);
	return true;
}

static struct pgw_hash128 hash_of(
	const char *sql, size_t n_sql, const struct search_bind *bind)
{
	struct pgw_hash128 hash = pgw_hash128(sql, n_sql, 0);

	return bind ? pgw_hash128_more(hash, bind->body, bind->n_body) : hash;
}

/* Most of all BEGIN, whose other annotations hold for its transaction. */
bool search_is_misplaced(struct feed *feed, const struct pgw_frame *frame,
	enum statement_kind kind, enum step *step_r)
{
	struct pgw_fault fault;

	if (kind == STATEMENT_WORK || kind == STATEMENT_EXECUTE ||
		feed->client->xact == XACT_FAILED)
		return false;
	pgw_fault_set(&fault, PGW_FAULT_SEARCH_UNSUPPORTED, NULL,
		"The statement that asks for it does not read hits.");
	return refuse(feed, frame, &fault, step_r);
}

bool search_holds(struct feed *feed, const struct pgw_frame *frame,
	const struct statement_route *route, const char *sql, size_t n_sql,
	const struct search_bind *bind, enum step *step_r)
{
	struct client *client = feed->client;
	struct pgw_hash128 asked_by = hash_of(sql, n_sql, bind);
	struct search *search = client->search;
	struct search_request request;
	struct pgw_fault fault;

	if (search && search->placed) {
		pgw_fault_set(&fault, PGW_FAULT_SEARCH_UNSUPPORTED, NULL,
			"A portal of this batch waits with hits of its own: Execute it before the next "
			"Bind that searches.");
		return refuse(feed, frame, &fault, step_r);
	}
	if (search && search->asked_by.lo == asked_by.lo && search->asked_by.hi == asked_by.hi)
		return search->fault && refuse(feed, frame, search->fault, step_r);
	search_drop(client);
	if (search_is_misplaced(feed, frame, (enum statement_kind)route->kind, step_r))
		return true;
	if (!search_request_make(client, sql, n_sql, bind, &request, &fault))
		return refuse(feed, frame, &fault, step_r);
	begin(client, route, &request, asked_by);
	*step_r = STEP_WAIT;
	return true;
}

bool search_holds_bind(struct feed *feed, const struct pgw_frame *frame,
	const struct statement *statement, const struct pgw_bind *view, enum step *step_r)
{
	struct search_bind bind = {frame->body, frame->n_body_bytes, view};
	uint64_t max_bytes = worker_config(feed->worker)->search_max_bytes + GATHER_SCRATCH_BYTES;
	struct pgw_fault fault;

	client_set(feed->client, CLIENT_EXTENDED);
	if (frame->n_body_bytes > max_bytes) {
		pgw_fault_set(&fault, PGW_FAULT_SEARCH_TOO_LONG, NULL,
			"Its Bind has %u bytes; search_max_bytes and %u are the most.",
			frame->n_body_bytes, GATHER_SCRATCH_BYTES);
		*step_r = feed_fail_batch(feed, frame, &fault);
		return true;
	}
	*step_r = STEP_MORE;
	return frame->n_available < frame->n_body_bytes ||
	       search_holds(feed, frame, &statement->route, statement->text,
		       statement->n_query - 1, &bind, step_r);
}

enum bind_search {
	BIND_FOUND,
	BIND_AWAITED, /* it may come yet */
	BIND_NONE,    /* not in this batch, or too far away */
};

/* The Bind of `name` in the rest of the batch. */
static enum bind_search find_bind(const struct feed *feed, const struct pgw_frame *first,
	const char *name, struct pgw_frame *bind_r, struct pgw_bind *view_r)
{
	const uint8_t *from = feed->at + PGW_HEADER_BYTES + first->n_body_bytes, *at = from;
	size_t room = worker_config(feed->worker)->search_max_bytes + BATCH_ROOM_BYTES;

	while (pgw_frame_read(at, (size_t)(feed->end - at), bind_r) == PGW_OK) {
		if (bind_r->type == PGW_SYNC || bind_r->type == PGW_FLUSH ||
			bind_r->type == PGW_QUERY || bind_r->type == PGW_TERMINATE ||
			(size_t)(at - from) + bind_r->n_body_bytes > room)
			return BIND_NONE;
		if (bind_r->n_available < bind_r->n_body_bytes)
			return BIND_AWAITED;
		if (bind_r->type == PGW_BIND &&
			pgw_view_bind(bind_r->body, bind_r->n_available, bind_r->n_body_bytes,
				view_r) == PGW_OK &&
			strcmp(view_r->statement, name) == 0)
			return BIND_FOUND;
		at += PGW_HEADER_BYTES + bind_r->n_body_bytes;
	}
	return BIND_AWAITED;
}

bool search_holds_parse(struct feed *feed, const struct pgw_frame *frame,
	const struct statement *statement, const char *name, enum step *step_r)
{
	struct pgw_frame found;
	struct pgw_bind view;
	struct search_bind bind;

	if (feed->client->state == CLIENT_LINKED) /* what it holds, it holds */
		return false;
	switch (find_bind(feed, frame, name, &found, &view)) {
	case BIND_AWAITED:
		*step_r = STEP_MORE;
		return true;
	case BIND_FOUND:
		bind = (struct search_bind){found.body, found.n_body_bytes, &view};
		client_set(feed->client, CLIENT_EXTENDED);
		return search_holds(feed, frame, &statement->route, statement->text,
			statement->n_query - 1, &bind, step_r);
	case BIND_NONE: /* it is only prepared */
	default:
		return false;
	}
}

/* ---- the hits ---- */

void search_place(struct client *client)
{
	struct search *search = client->search;
	struct ahead ahead = {.sql = HITS, .n_values = 1};

	if (search->placed)
		return;
	ahead.values[0] = (struct ahead_value){search->answer.hits, strlen(search->answer.hits)};
	ahead_send(client->server, &ahead);
	search->placed = true;
}

bool search_refused_in_session(struct feed *feed, const struct pgw_frame *frame, const char *sql,
	size_t n_sql, enum step *step_r)
{
	struct classify_session session = feed_session(feed->client);
	struct classify_result result;
	struct pgw_fault fault;

	classify(feed->worker->settings->classifier, &session, sql, n_sql, &result);
	if (!(result.actions & ACTION_SEARCH))
		return false;
	pgw_fault_set(&fault, PGW_FAULT_SEARCH_UNSUPPORTED, NULL,
		"Statements are not looked into in session pooling; see pool_mode.");
	return refuse(feed, frame, &fault, step_r);
}
