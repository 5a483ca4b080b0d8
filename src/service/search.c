/* SPDX-License-Identifier: ISC */
#include "service/search.h"

#include <stdio.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "base/list.h"
#include "base/log.h"
#include "service/breaker.h"
#include "service/http.h"
#include "service/search_cache.h"
#include "stats/stats.h"

#define ANSWER_BYTES_PER_HIT 1024u
#define ANSWER_BYTES_BESIDE 65536u
#define META_BYTES (1u << 20)

struct lookup { /* one search */
	TAILQ_ENTRY(lookup) link; /* of waiting or running */
	struct search_service *service;
	uint64_t id;
	const struct search_request *request;
	struct search_answer *answer;
	void (*done)(void *arg);
	void *arg;
	uint64_t asked_us, deadline_us;
	struct timer timer; /* while it waits */
	enum wv_interface interface;
	struct strbuf key; /* path and body by REST, whatever it is sent by */
	struct strbuf body;
	struct http_call *call;
};

TAILQ_HEAD(lookups, lookup);

struct search_service {
	struct loop *loop;
	struct config *config;
	struct search_counters *counters;
	void (*found)(void *arg, const char *collection, const struct wv_found *objects);
	void *found_arg;
	struct http *http;
	struct breaker breaker;
	struct search_cache *cache;
	struct lookups waiting, running;
	unsigned n_running;
	bool has_interface;
	enum wv_interface interface;
	struct http_call *meta;
};

/* ---- the console's figures ---- */

static void show(struct search_service *service)
{
	struct search_counters *counters = service->counters;
	struct search_cache_stats cache;

	search_cache_read(service->cache, &cache);
	STAT_SET(counters->n_cache_hits, cache.n_hits);
	STAT_SET(counters->n_cache_misses, cache.n_misses);
	STAT_SET(counters->n_cache_entries, cache.n_entries);
	STAT_SET(counters->n_cache_evicted, cache.n_evicted);
	STAT_SET(counters->cache_bytes, cache.n_bytes);
	STAT_SET(counters->n_running, service->n_running);
	STAT_SET(counters->n_breaker_opened, service->breaker.n_opened);
	STAT_SET(counters->breaker_open_until_us, service->breaker.open_until_us);
	STAT_SET(counters->interface,
		!service->has_interface ? 0 : service->interface == WV_REST ? 1 : 2);
}

/* ---- ends ---- */

static void count(struct search_service *service, const struct lookup *lookup)
{
	struct search_counters *counters = service->counters;
	const struct search_answer *answer = lookup->answer;
	uint64_t took_us = loop_now_us(service->loop) - lookup->asked_us;

	switch (answer->outcome) {
	case SEARCH_DONE:
		STAT_ADD(counters->n_done, 1);
		STAT_ADD(counters->n_hits, answer->n_hits);
		STAT_ADD(counters->total_us, took_us);
		if (took_us > STAT_READ(counters->max_us))
			STAT_SET(counters->max_us, took_us);
		return;
	case SEARCH_REFUSED:
	case SEARCH_UNKNOWN_COLLECTION:
		STAT_ADD(counters->n_refused, 1);
		return;
	case SEARCH_TIMED_OUT:
		STAT_ADD(counters->n_timed_out, 1);
		return;
	case SEARCH_UNAVAILABLE:
	case SEARCH_OFF:
	default:
		STAT_ADD(counters->n_failed, 1);
		return;
	}
}

/* Whether Weaviate is well, as far as this one tells. */
static void judge(struct search_service *service, enum search_outcome outcome, const char *why)
{
	const struct config *config = service->config;
	bool failed = outcome == SEARCH_UNAVAILABLE || outcome == SEARCH_TIMED_OUT;
	bool was_open = service->breaker.open_until_us != 0;
	uint64_t n_opened = service->breaker.n_opened;

	if (!failed) {
		breaker_succeeded(&service->breaker);
		if (was_open)
			log_info("search: Weaviate answers again");
		return;
	}
	breaker_failed(&service->breaker, config->search_breaker_failures,
		config->search_breaker_pause_us, loop_now_us(service->loop));
	service->has_interface = false; /* who knows what comes back */
	if (service->breaker.n_opened != n_opened)
		log_warning("search: %u failures in a row, searches fail at once for %llu ms; the "
			    "last: %s",
			service->breaker.n_failures,
			(unsigned long long)(config->search_breaker_pause_us / 1000), why);
}

static void end(struct lookup *lookup)
{
	void (*done)(void *arg) = lookup->done;
	struct search_service *service = lookup->service;
	void *arg = lookup->arg;

	timer_stop(&lookup->timer);
	http_cancel(&lookup->call);
	show(service);
	strbuf_release(&lookup->key);
	strbuf_release(&lookup->body);
	mem_free(lookup);
	done(arg);
}

static void fail(struct lookup *lookup, enum search_outcome outcome, const char *why)
{
	lookup->answer->outcome = outcome;
	(void)snprintf(lookup->answer->why, sizeof(lookup->answer->why), "%s", why);
	count(lookup->service, lookup);
	end(lookup);
}

static void stop_waiting(struct lookup *lookup)
{
	TAILQ_REMOVE(&lookup->service->waiting, lookup, link);
	STAT_ADD(lookup->service->counters->n_waiting, (uint64_t)-1);
}

static void on_waited_too_long(struct timer *timer)
{
	struct lookup *lookup = CONTAINER_OF(timer, struct lookup, timer);

	stop_waiting(lookup);
	judge(lookup->service, SEARCH_TIMED_OUT, "its turn did not come within search_timeout");
	fail(lookup, SEARCH_TIMED_OUT, "Its turn did not come within search_timeout");
}

/* ---- Weaviate's answer ---- */

static void start_waiting(struct search_service *service);

static void read_answer(struct lookup *lookup, const struct http_answer *http)
{
	struct search_service *service = lookup->service;
	struct search_answer *answer = lookup->answer;
	struct wv_found found = {NULL, 0};

	if (http->result == HTTP_ANSWERED) {
		wv_query_read(lookup->interface, lookup->request, (long)http->status, http->body,
			http->n_body, answer, &found);
	} else {
		answer->outcome = loop_now_us(service->loop) >= lookup->deadline_us
					  ? SEARCH_TIMED_OUT
					  : SEARCH_UNAVAILABLE;
		(void)snprintf(answer->why, sizeof(answer->why), "%s", http->error);
	}
	if (answer->outcome == SEARCH_DONE && service->config->search_cache_ttl_us > 0)
		search_cache_put(service->cache, lookup->key.data, lookup->key.len, answer->hits,
			answer->n_hits, service->config->search_cache_bytes,
			loop_now_us(service->loop));
	if (found.n > 0 && service->found)
		service->found(service->found_arg, lookup->request->collection, &found);
	wv_found_release(&found);
}

static void on_answer(void *arg, const struct http_answer *http)
{
	struct lookup *lookup = arg;
	struct search_service *service = lookup->service;

	lookup->call = NULL;
	read_answer(lookup, http);
	TAILQ_REMOVE(&service->running, lookup, link);
	service->n_running--;
	judge(service, lookup->answer->outcome, lookup->answer->why);
	count(service, lookup);
	end(lookup);
	start_waiting(service);
}

static void post(struct lookup *lookup)
{
	struct search_service *service = lookup->service;
	const struct config *config = service->config;
	uint64_t now_us = loop_now_us(service->loop);
	struct strbuf url = STRBUF_INIT;

	timer_stop(&lookup->timer);
	lookup->interface = service->interface;
	strbuf_adds(&url, config->weaviate_url);
	wv_query_write(lookup->interface, lookup->request, &url, &lookup->body);
	TAILQ_INSERT_TAIL(&service->running, lookup, link);
	service->n_running++;
	lookup->call = http_send(service->http,
		&(struct http_request){.method = "POST",
			.url = url.data,
			.body = lookup->body.data,
			.n_body = lookup->body.len,
			.key = config->weaviate_key,
			.ca_file = config->weaviate_ca_file,
			.timeout_us = lookup->deadline_us > now_us ? lookup->deadline_us - now_us : 1,
			.max_answer_bytes = (size_t)lookup->request->limit * ANSWER_BYTES_PER_HIT +
					    ANSWER_BYTES_BESIDE},
		on_answer, lookup);
	strbuf_release(&url);
}

/* ---- which interface ---- */

/* NULL: it is known now. */
static const char *read_meta(struct search_service *service, const struct http_answer *http)
{
	cJSON *root;
	const char *version;
	bool ok;

	if (http->result != HTTP_ANSWERED)
		return http->error;
	root = cJSON_ParseWithLength(http->body, http->n_body);
	version = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "version"));
	ok = http->status == 200 && version && wv_interface_of(version, &service->interface);
	if (ok)
		log_info("search: Weaviate %s, by %s", version,
			service->interface == WV_REST ? "REST" : "GraphQL");
	cJSON_Delete(root);
	service->has_interface = ok;
	return ok ? NULL : "/v1/meta does not say a version";
}

static void on_meta(void *arg, const struct http_answer *http)
{
	struct search_service *service = arg;
	struct lookup *lookup, *next;
	struct lookups failed = TAILQ_HEAD_INITIALIZER(failed);
	char why[SEARCH_WHY_BYTES];
	const char *trouble;

	service->meta = NULL;
	trouble = read_meta(service, http);
	if (trouble == NULL) {
		start_waiting(service);
		return;
	}
	(void)snprintf(why, sizeof(why), "%s%s", trouble,
		http->status == 401 || http->status == 403 ? " (HTTP 401 or 403: see weaviate_api_key)"
							   : "");
	judge(service, SEARCH_UNAVAILABLE, why);
	TAILQ_FOREACH_SAFE(lookup, &service->waiting, link, next)
	{
		stop_waiting(lookup);
		TAILQ_INSERT_TAIL(&failed, lookup, link);
	}
	while ((lookup = TAILQ_FIRST(&failed)) != NULL) {
		TAILQ_REMOVE(&failed, lookup, link);
		fail(lookup, SEARCH_UNAVAILABLE, why);
	}
}

static void ask_meta(struct search_service *service)
{
	struct strbuf url = STRBUF_INIT;

	if (service->meta)
		return;
	strbuf_addf(&url, "%s/v1/meta", service->config->weaviate_url);
	service->meta = http_send(service->http,
		&(struct http_request){.method = "GET",
			.url = url.data,
			.key = service->config->weaviate_key,
			.ca_file = service->config->weaviate_ca_file,
			.timeout_us = service->config->search_timeout_us,
			.max_answer_bytes = META_BYTES},
		on_meta, service);
	strbuf_release(&url);
}

static bool knows_interface(struct search_service *service)
{
	switch (service->config->weaviate_search) {
	case WEAVIATE_SEARCH_REST:
		service->interface = WV_REST;
		break;
	case WEAVIATE_SEARCH_GRAPHQL:
		service->interface = WV_GRAPHQL;
		break;
	case WEAVIATE_SEARCH_AUTO:
	default:
		return service->has_interface;
	}
	service->has_interface = true;
	return true;
}

static void start_waiting(struct search_service *service)
{
	struct lookup *lookup;

	while ((lookup = TAILQ_FIRST(&service->waiting)) != NULL &&
		service->n_running < service->config->search_requests) {
		if (!knows_interface(service)) {
			ask_meta(service);
			break;
		}
		stop_waiting(lookup);
		post(lookup);
	}
	show(service);
}

/* ---- asking ---- */

/* The text that tells searches apart. */
static void make_key(struct lookup *lookup)
{
	struct strbuf body = STRBUF_INIT;

	wv_query_write(WV_REST, lookup->request, &lookup->key, &body);
	strbuf_add(&lookup->key, body.data, body.len);
	strbuf_release(&body);
}

static bool is_known(struct lookup *lookup)
{
	struct search_service *service = lookup->service;
	struct search_answer *answer = lookup->answer;
	const char *hits;

	if (service->config->search_cache_ttl_us == 0)
		return false;
	make_key(lookup);
	hits = search_cache_find(service->cache, lookup->key.data, lookup->key.len,
		service->config->search_cache_ttl_us, loop_now_us(service->loop), &answer->n_hits);
	if (hits == NULL)
		return false;
	answer->outcome = SEARCH_DONE;
	answer->hits = mem_strdup(hits);
	return true;
}

void search_service_ask(struct search_service *service, uint64_t id,
	const struct search_request *request, struct search_answer *answer,
	void (*done)(void *arg), void *arg)
{
	struct lookup *lookup = mem_zalloc(sizeof(*lookup));

	*lookup = (struct lookup){.service = service,
		.id = id,
		.request = request,
		.answer = answer,
		.done = done,
		.arg = arg,
		.asked_us = loop_now_us(service->loop),
		.key = STRBUF_INIT,
		.body = STRBUF_INIT};
	lookup->deadline_us = lookup->asked_us + service->config->search_timeout_us;
	STAT_ADD(service->counters->n_asked, 1);
	if (service->config->weaviate_url == NULL) {
		fail(lookup, SEARCH_OFF, "weaviate_url is not set any more");
	} else if (is_known(lookup)) {
		end(lookup);
	} else if (service->config->search_max_waiting > 0 &&
		   STAT_READ(service->counters->n_waiting) >= service->config->search_max_waiting) {
		fail(lookup, SEARCH_UNAVAILABLE, "Too many searches wait (search_max_waiting)");
	} else if (!breaker_allows(&service->breaker, service->config->search_breaker_failures,
			   lookup->asked_us)) {
		STAT_ADD(service->counters->n_broken, 1);
		fail(lookup, SEARCH_UNAVAILABLE,
			"Weaviate did not answer lately, and is not asked (search_breaker_pause)");
	} else {
		TAILQ_INSERT_TAIL(&service->waiting, lookup, link);
		STAT_ADD(service->counters->n_waiting, 1);
		loop_timer_at(
			service->loop, &lookup->timer, lookup->deadline_us, on_waited_too_long);
		start_waiting(service);
	}
}

static struct lookup *find(const struct lookups *list, uint64_t id)
{
	struct lookup *lookup;

	TAILQ_FOREACH(lookup, list, link)
	{
		if (lookup->id == id)
			return lookup;
	}
	return NULL;
}

void search_service_abandon(struct search_service *service, uint64_t id)
{
	struct lookup *lookup = find(&service->running, id);

	if (lookup) {
		TAILQ_REMOVE(&service->running, lookup, link);
		service->n_running--;
	} else {
		lookup = find(&service->waiting, id);
		if (lookup == NULL)
			return;
		stop_waiting(lookup);
	}
	breaker_abstained(&service->breaker);
	STAT_ADD(service->counters->n_abandoned, 1);
	lookup->answer->outcome = SEARCH_UNAVAILABLE;
	end(lookup);
	start_waiting(service);
}

/* ---- life ---- */

struct search_service *search_service_new(struct loop *loop, struct config *config,
	struct search_counters *counters,
	void (*found)(void *arg, const char *collection, const struct wv_found *objects),
	void *found_arg)
{
	struct search_service *service = mem_zalloc(sizeof(*service));

	service->loop = loop;
	service->config = config_ref(config);
	service->counters = counters;
	service->found = found;
	service->found_arg = found_arg;
	service->http = http_new(loop);
	service->cache = search_cache_new();
	TAILQ_INIT(&service->waiting);
	TAILQ_INIT(&service->running);
	return service;
}

static bool is_elsewhere(const struct config *a, const struct config *b)
{
	const char *from = a->weaviate_url ? a->weaviate_url : "",
		   *to = b->weaviate_url ? b->weaviate_url : "";

	return strcmp(from, to) != 0;
}

void search_service_change(struct search_service *service, struct config *config)
{
	struct config *old;

	if (service == NULL)
		return;
	old = service->config;
	service->config = config_ref(config);
	if (is_elsewhere(old, config)) {
		service->breaker = (struct breaker){.n_opened = service->breaker.n_opened};
		search_cache_clear(service->cache);
	}
	if (config->search_cache_ttl_us == 0)
		search_cache_clear(service->cache);
	service->has_interface = false;
	config_unref(&old);
	show(service);
}

static void fail_all(struct search_service *service)
{
	struct lookup *lookup;

	http_cancel(&service->meta);
	while ((lookup = TAILQ_FIRST(&service->waiting)) != NULL) {
		stop_waiting(lookup);
		fail(lookup, SEARCH_UNAVAILABLE, "pglane is shutting down");
	}
	while ((lookup = TAILQ_FIRST(&service->running)) != NULL) {
		TAILQ_REMOVE(&service->running, lookup, link);
		service->n_running--;
		fail(lookup, SEARCH_UNAVAILABLE, "pglane is shutting down");
	}
}

void search_service_free(struct search_service **service_p)
{
	struct search_service *service = *service_p;

	if (service == NULL)
		return;
	*service_p = NULL;
	fail_all(service);
	http_free(&service->http);
	search_cache_free(&service->cache);
	config_unref(&service->config);
	mem_free(service);
}
