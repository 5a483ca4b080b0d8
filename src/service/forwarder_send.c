/* SPDX-License-Identifier: ISC */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "service/forwarder_priv.h"

#define ANSWER_SPARE_BYTES (8u << 20) /* an answer repeats its batch, and vectors that Weaviate made */

static void complain_of_weaviate(struct forwarder *forwarder, const struct wv_verdict *verdict)
{
	if (complaint_is_news(&forwarder->weaviate, verdict->text))
		log_warning("the outbox waits for Weaviate at %s: %s%s", forwarder->config->weaviate_url, verdict->text,
			verdict->outcome == WV_REFUSED ? ": see weaviate_api_key and what its user may do; asked again once a minute, and after RELOAD" : "");
}

/* ---- flights ---- */

void forwarder_set_state(struct forwarder *forwarder, struct flight *flight, enum flight_state state)
{
	forwarder->n_answers -= flight->state == FLIGHT_EXPECT_ANSWER;
	forwarder->n_answers += state == FLIGHT_EXPECT_ANSWER;
	flight->state = state;
	if (state == FLIGHT_EXPECT_OBJECTS || state == FLIGHT_EXPECT_END || state == FLIGHT_EXPECT_DONE)
		pglink_poke(forwarder->link);
}

void forwarder_drop(struct forwarder *forwarder, struct flight *flight)
{
	forwarder_set_state(forwarder, flight, FLIGHT_EXPECT_STORE);
	http_cancel(&flight->call);
	timer_stop(&flight->timer);
	if (forwarder->job_flight == flight)
		forwarder->job_flight = NULL;
	TAILQ_REMOVE(&forwarder->flights, flight, link);
	forwarder->n_flights--;
	flight_free(&flight);
	forwarder_look_around(forwarder);
}

void forwarder_drop_all(struct forwarder *forwarder)
{
	struct flight *flight, *next;

	TAILQ_FOREACH_SAFE(flight, &forwarder->flights, link, next)
		forwarder_drop(forwarder, flight);
}

void forwarder_drop_idle(struct forwarder *forwarder)
{
	struct flight *flight, *next;

	TAILQ_FOREACH_SAFE(flight, &forwarder->flights, link, next)
		if (flight->state != FLIGHT_EXPECT_ANSWER && flight->state != FLIGHT_EXPECT_END && flight->state != FLIGHT_EXPECT_DONE)
			forwarder_drop(forwarder, flight);
}

static void on_calm(struct timer *timer)
{
	struct flight *flight = CONTAINER_OF(timer, struct flight, timer);
	struct forwarder *forwarder = flight->owner;

	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	flight_calm(flight, wv_store_works(forwarder->store));
	forwarder_go_on(forwarder, flight);
}

static bool has_over(const struct flight *flight)
{
	for (unsigned i = flight->round_begin; i < flight->n_read; i++)
		if (flight->items[i].stage == ITEM_OVER)
			return true;
	return false;
}

static void on_answer(void *arg, const struct http_answer *answer);

static void send_request(struct forwarder *forwarder, struct flight *flight, enum flight_step step, const char *path)
{
	const struct config *config = forwarder->config;
	char *url = mem_printf("%s%s", config->weaviate_url, path);
	struct http_request request = {
		.method = step == FLIGHT_DELETE ? "DELETE" : "POST",
		.url = url,
		.key = config->weaviate_key,
		.ca_file = config->weaviate_ca_file,
		.is_write = true,
		.timeout_us = MIN_OF(config->weaviate_timeout_us, flight->write_timeout_us),
		.max_answer_bytes = 2 * config->outbox_batch_bytes + ANSWER_SPARE_BYTES,
	};

	if (flight->has_batch) {
		request.body = flight->batch.body.data;
		request.n_body = flight->batch.body.len;
	}
	forwarder_set_state(forwarder, flight, FLIGHT_EXPECT_ANSWER);
	flight->call = http_send(forwarder->http, &request, on_answer, flight);
	mem_free(url);
}

/*
 * A flight to a class that is missing or is another than it has to be waits for its lease's end, however often: no attempt is counted, and nothing is parked that the
 * operator's next step would have made fit.
 */
static bool class_passes(struct forwarder *forwarder, const struct flight *flight)
{
	for (unsigned i = flight->round_begin; i < flight->n_read; i++) {
		const char *collection = flight->items[i].collection;
		const char *objection = collection ? wv_guard_objection(forwarder->guard, collection) : NULL;

		if (objection == NULL)
			continue;
		if (complaint_is_news(&forwarder->class, objection))
			log_warning("objects of %s wait in the outbox: %s: run pglane-weaviate init", flight->type, objection);
		mem_free(forwarder->class_name);
		forwarder->class_name = mem_strdup(collection);
		return false;
	}
	return true;
}

/* Where there is more to send: is it time for it? Else the flight waits, or is dropped. */
static bool may_send(struct forwarder *forwarder, struct flight *flight)
{
	if (forwarder->is_draining || !flight_has_time(flight, clock_mono_us())) {
		forwarder_drop(forwarder, flight);
		return false;
	}
	if (wv_guard_has_looked(forwarder->guard) && !class_passes(forwarder, flight)) {
		forwarder_drop(forwarder, flight);
		return false;
	}
	if (wv_guard_has_looked(forwarder->guard) && wv_store_works(forwarder->store) && forwarder->n_answers < forwarder->config->outbox_requests)
		return true;
	forwarder_set_state(forwarder, flight, FLIGHT_EXPECT_STORE);
	return false;
}

static void read_more(struct forwarder *forwarder, struct flight *flight)
{
	if (flight->n_read == flight->n_items || forwarder->is_draining || !flight_has_time(flight, clock_mono_us()))
		forwarder_drop(forwarder, flight);
	else
		forwarder_set_state(forwarder, flight, FLIGHT_EXPECT_OBJECTS);
}

/* Nothing is to be sent: ends what is over, waits for what is doubtful, or takes the next round. */
static void end_round(struct forwarder *forwarder, struct flight *flight)
{
	uint64_t now_us = clock_mono_us();

	if (has_over(flight))
		forwarder_set_state(forwarder, flight, FLIGHT_EXPECT_END);
	else if (!flight_has_doubts(flight))
		read_more(forwarder, flight);
	else if (forwarder->is_draining)
		forwarder_drop(forwarder, flight);
	else {
		forwarder_set_state(forwarder, flight, FLIGHT_EXPECT_CALM);
		loop_timer(forwarder->loop, &flight->timer, flight->doubt_until_us > now_us ? flight->doubt_until_us - now_us : 1, on_calm);
	}
}

void forwarder_go_on(struct forwarder *forwarder, struct flight *flight)
{
	char *path = NULL;
	enum flight_step step = flight_next(flight, forwarder->config, forwarder->span_max, &path);

	if (step == FLIGHT_END)
		end_round(forwarder, flight);
	else if (!wv_store_works(forwarder->store) && has_over(flight))
		forwarder_set_state(forwarder, flight, FLIGHT_EXPECT_END); /* meanwhile */
	else if (may_send(forwarder, flight))
		send_request(forwarder, flight, step, path);
	mem_free(path);
}

void forwarder_wake_senders(struct forwarder *forwarder)
{
	struct flight *flight, *next;

	TAILQ_FOREACH_SAFE(flight, &forwarder->flights, link, next)
		if (flight->state == FLIGHT_EXPECT_STORE)
			forwarder_go_on(forwarder, flight);
}

/* After a request without an answer in time the next ones are smaller, until some succeed. */
static void adapt_span(struct forwarder *forwarder, enum wv_outcome outcome, unsigned n_sent)
{
	if (outcome == WV_UNKNOWN)
		forwarder->span_max = MAX_OF(n_sent / 2, 1u);
	else if (outcome == WV_DONE)
		forwarder->span_max = MIN_OF(forwarder->span_max + forwarder->span_max / 4 + 1, forwarder->config->outbox_batch);
}

static void on_answer(void *arg, const struct http_answer *answer)
{
	struct flight *flight = arg;
	struct forwarder *forwarder = flight->owner;
	unsigned n_sent = flight->n_sent;
	struct wv_verdict verdict;

	CHECK_MAGIC(forwarder, FORWARDER_MAGIC);
	flight->call = NULL;
	forwarder_set_state(forwarder, flight, FLIGHT_EXPECT_STORE);
	verdict = flight_take_answer(flight, answer, clock_mono_us() - answer->took_us);
	wv_store_note(forwarder->store, &verdict);
	adapt_span(forwarder, verdict.outcome, n_sent);
	if (verdict.outcome >= WV_STORE)
		complain_of_weaviate(forwarder, &verdict);
	else if (verdict.outcome == WV_DONE)
		complaint_end(&forwarder->weaviate, "Weaviate takes the outbox's objects again");
	forwarder_go_on(forwarder, flight);
	forwarder_wake_senders(forwarder);
}
