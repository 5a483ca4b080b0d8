/* SPDX-License-Identifier: ISC */
#include "service/wv_store.h"

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

#define WV_STORE_MAGIC 0x57565354u
#define PROBE_TIMEOUT_US 5000000u
#define PROBE_ANSWER_MAX_BYTES (1u << 20)

enum wv_store_state {
	WV_STORE_WORKS,
	WV_STORE_RESTS, /* the timer runs */
	WV_STORE_EXPECT_PROBE,
};

struct wv_store {
	uint32_t magic;
	enum wv_store_state state;
	bool refuses;
	struct loop *loop;
	struct http *http;
	struct http_call *probe;
	struct config *config;
	struct timer timer;
	unsigned n_failures; /* since a write succeeded */
	uint64_t n_errors;   /* since the start */
	char trouble[WV_TEXT_BYTES];
	void (*works_again)(void *arg);
	void *arg;
};

static void on_timer(struct timer *timer);

static void rest(struct wv_store *store)
{
	uint64_t delay_us = (uint64_t)WV_STORE_RETRY_MIN_US << MIN_OF(store->n_failures, 16u);

	delay_us = store->refuses ? WV_STORE_REFUSED_US : MIN_OF(delay_us, (uint64_t)WV_STORE_RETRY_MAX_US);
	store->n_failures++;
	store->state = WV_STORE_RESTS;
	loop_timer(store->loop, &store->timer, delay_us / 2 + rng_u64() % (delay_us / 2), on_timer);
}

static void take_trouble(struct wv_store *store, const struct wv_verdict *verdict)
{
	memcpy(store->trouble, verdict->text, sizeof(store->trouble));
	store->refuses = verdict->outcome == WV_REFUSED;
}

static void work(struct wv_store *store)
{
	store->state = WV_STORE_WORKS;
	store->refuses = false;
	store->trouble[0] = '\0';
	store->works_again(store->arg);
}

static void on_probed(void *arg, const struct http_answer *answer)
{
	struct wv_store *store = arg;
	struct wv_verdict verdict = wv_read_status(answer);

	CHECK_MAGIC(store, WV_STORE_MAGIC);
	store->probe = NULL;
	if (verdict.outcome == WV_DONE) {
		work(store);
		return;
	}
	if (answer->status == 404)
		verdict = wv_verdict(WV_STORE, "server", "404: is weaviate_url the address of a Weaviate?");
	store->n_errors++;
	take_trouble(store, &verdict);
	rest(store);
}

/* Readiness is said to anybody; whether we are welcome only shows where a key is asked for. */
static void probe(struct wv_store *store)
{
	const struct config *config = store->config;
	char *url = mem_printf("%s%s", config->weaviate_url, store->refuses ? "/v1/meta" : "/v1/.well-known/ready");
	struct http_request request = {
		.method = "GET",
		.url = url,
		.key = store->refuses ? config->weaviate_key : NULL,
		.ca_file = config->weaviate_ca_file,
		.timeout_us = PROBE_TIMEOUT_US,
		.max_answer_bytes = PROBE_ANSWER_MAX_BYTES,
	};

	store->state = WV_STORE_EXPECT_PROBE;
	store->probe = http_send(store->http, &request, on_probed, store);
	mem_free(url);
}

static void on_timer(struct timer *timer)
{
	struct wv_store *store = CONTAINER_OF(timer, struct wv_store, timer);

	CHECK_MAGIC(store, WV_STORE_MAGIC);
	probe(store);
}

void wv_store_note(struct wv_store *store, const struct wv_verdict *verdict)
{
	CHECK_MAGIC(store, WV_STORE_MAGIC);
	switch (verdict->outcome) {
	case WV_DONE:
		store->n_failures = 0;
		return;
	case WV_RETRY:
	case WV_PARK:
	case WV_SPLIT:
		return;
	case WV_STORE:
	case WV_REFUSED:
	case WV_UNKNOWN:
		break;
	}
	store->n_errors++;
	if (store->state != WV_STORE_WORKS) /* of a request that was under way with the others */
		return;
	take_trouble(store, verdict);
	rest(store);
}

void wv_store_change(struct wv_store *store, struct config *config)
{
	CHECK_MAGIC(store, WV_STORE_MAGIC);
	config_unref(&store->config);
	store->config = config_ref(config);
	http_cancel(&store->probe);
	timer_stop(&store->timer);
	store->n_failures = 0;
	if (store->state != WV_STORE_WORKS)
		work(store);
}

bool wv_store_works(const struct wv_store *store)
{
	return store->state == WV_STORE_WORKS;
}

bool wv_store_refuses(const struct wv_store *store)
{
	return store->refuses;
}

uint64_t wv_store_n_errors(const struct wv_store *store)
{
	return store->n_errors;
}

const char *wv_store_trouble(const struct wv_store *store)
{
	return store->trouble;
}

struct wv_store *wv_store_new(struct loop *loop, struct http *http, void (*works_again)(void *arg), void *arg)
{
	struct wv_store *store = mem_zalloc(sizeof(*store));

	store->magic = WV_STORE_MAGIC;
	store->loop = loop;
	store->http = http;
	store->works_again = works_again;
	store->arg = arg;
	return store;
}

void wv_store_free(struct wv_store **store_p)
{
	struct wv_store *store = *store_p;

	*store_p = NULL;
	if (store == NULL)
		return;
	CHECK_MAGIC(store, WV_STORE_MAGIC);
	http_cancel(&store->probe);
	timer_stop(&store->timer);
	config_unref(&store->config);
	store->magic = 0;
	mem_free(store);
}
