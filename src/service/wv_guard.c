/* SPDX-License-Identifier: ISC */
#include "service/wv_guard.h"

#include "base/log.h"
#include "base/mem.h"
#include "service/wv_schema.h"

#define WV_GUARD_MAGIC 0x57474452u
#define ANSWER_MAX_BYTES (16u << 20)
#define TIMEOUT_US 5000000u

struct wv_guard {
	uint32_t magic;
	struct loop *loop;
	struct http *http;
	struct config *config;
	struct wv_classes classes; /* none: nothing is verified */
	struct wv_differences differences;
	struct strbuf told; /* what was logged last, so that it is not told again and again */
	struct http_call *call;
	struct timer timer;
	bool has_looked;
	void (*looked)(void *arg);
	void *arg;
};

bool wv_guard_has_looked(const struct wv_guard *guard)
{
	return guard->has_looked;
}

const char *wv_guard_objection(const struct wv_guard *guard, const char *collection)
{
	for (unsigned i = 0; i < guard->differences.n; i++)
		if (guard->differences.items[i].stops && strcmp(guard->differences.items[i].class->name, collection) == 0)
			return guard->differences.items[i].text;
	return NULL;
}

static void load_classes(struct wv_guard *guard)
{
	const char *directory = config_weaviate_classes(guard->config);
	struct strbuf faults = STRBUF_INIT;

	wv_differences_release(&guard->differences);
	wv_classes_release(&guard->classes);
	if (!wv_classes_load(directory, &guard->classes, &faults))
		log_warning("Weaviate's classes are not verified: %.*s", (int)strcspn(faults.data, "\n"), faults.data);
	for (unsigned i = 0; i < guard->classes.n; i++) {
		struct wv_class *class = &guard->classes.items[i];
		const struct config_collection *collection = config_find_collection(guard->config, class->name);
		if (collection != NULL)
			wv_class_set_tenants(class, collection->organization == ORGANIZATION_TENANT);
	}
	strbuf_release(&faults);
}

/* A class that is missing is nobody's trouble until objects come for it: see the forwarder. */
static void tell(struct wv_guard *guard)
{
	struct strbuf text = STRBUF_INIT;

	for (unsigned i = 0; i < guard->differences.n; i++)
		strbuf_addf(&text, "%s\n", guard->differences.items[i].text);
	bool is_news = strcmp(text.data, guard->told.data) != 0;
	for (unsigned i = 0; is_news && i < guard->differences.n; i++) {
		const struct wv_difference *difference = &guard->differences.items[i];
		if (difference->kind != WV_CLASS_MISSING)
			log_warning("Weaviate's class %s; %s", difference->text, wv_difference_advice(difference->kind));
	}
	strbuf_reset(&guard->told);
	strbuf_adds(&guard->told, text.data);
	strbuf_release(&text);
}

static void ask(struct wv_guard *guard);

static bool has_objections(const struct wv_guard *guard)
{
	for (unsigned i = 0; i < guard->differences.n; i++)
		if (guard->differences.items[i].stops)
			return true;
	return false;
}

static void on_timer(struct timer *timer)
{
	struct wv_guard *guard = CONTAINER_OF(timer, struct wv_guard, timer);

	CHECK_MAGIC(guard, WV_GUARD_MAGIC);
	ask(guard);
}

/* false: the answer says nothing about classes, and what was known stays. */
static bool take_schema(struct wv_guard *guard, const struct http_answer *answer)
{
	struct wv_differences differences = {0};

	if (answer->result != HTTP_ANSWERED || answer->status != 200 ||
		!wv_schema_compare_all(&guard->classes, answer->body, answer->n_body, &differences))
		return false;
	wv_differences_release(&guard->differences);
	guard->differences = differences;
	tell(guard);
	return true;
}

static void on_schema(void *arg, const struct http_answer *answer)
{
	struct wv_guard *guard = arg;

	CHECK_MAGIC(guard, WV_GUARD_MAGIC);
	guard->call = NULL;
	if (!take_schema(guard, answer) && answer->result == HTTP_ANSWERED && strcmp(guard->told.data, "refused") != 0) {
		log_warning("Weaviate's classes are not verified: GET %s/v1/schema: status %u", guard->config->weaviate_url, answer->status);
		strbuf_reset(&guard->told);
		strbuf_adds(&guard->told, "refused");
	}
	bool is_known = answer->result == HTTP_ANSWERED && answer->status == 200;
	if (!is_known || has_objections(guard))
		loop_timer(guard->loop, &guard->timer, is_known ? WV_GUARD_PERIOD_US : WV_GUARD_RETRY_PERIOD_US, on_timer);
	guard->has_looked = true;
	guard->looked(guard->arg);
}

static void ask(struct wv_guard *guard)
{
	const struct config *config = guard->config;

	char *url = mem_printf("%s/v1/schema", config->weaviate_url);
	struct http_request request = {
		.method = "GET",
		.url = url,
		.key = config->weaviate_key,
		.ca_file = config->weaviate_ca_file,
		.timeout_us = TIMEOUT_US,
		.max_answer_bytes = ANSWER_MAX_BYTES,
	};
	guard->call = http_send(guard->http, &request, on_schema, guard);
	mem_free(url);
}

void wv_guard_look(struct wv_guard *guard)
{
	CHECK_MAGIC(guard, WV_GUARD_MAGIC);
	timer_stop(&guard->timer);
	guard->has_looked = guard->classes.n == 0 || guard->config->weaviate_url == NULL;
	if (guard->call == NULL && !guard->has_looked)
		ask(guard);
}

void wv_guard_change(struct wv_guard *guard, struct config *config)
{
	CHECK_MAGIC(guard, WV_GUARD_MAGIC);
	http_cancel(&guard->call);
	timer_stop(&guard->timer);
	config_unref(&guard->config);
	guard->config = config_ref(config);
	strbuf_reset(&guard->told);
	if (config->weaviate_url != NULL && config_outbox_database(config) != NULL)
		load_classes(guard);
	wv_guard_look(guard);
}

struct wv_guard *wv_guard_new(struct loop *loop, struct http *http, void (*looked)(void *arg), void *arg)
{
	struct wv_guard *guard = mem_zalloc(sizeof(*guard));

	guard->magic = WV_GUARD_MAGIC;
	guard->loop = loop;
	guard->http = http;
	guard->looked = looked;
	guard->arg = arg;
	strbuf_init(&guard->told);
	return guard;
}

void wv_guard_free(struct wv_guard **guard_p)
{
	struct wv_guard *guard = *guard_p;

	*guard_p = NULL;
	if (guard == NULL)
		return;
	CHECK_MAGIC(guard, WV_GUARD_MAGIC);
	http_cancel(&guard->call);
	timer_stop(&guard->timer);
	wv_differences_release(&guard->differences);
	wv_classes_release(&guard->classes);
	strbuf_release(&guard->told);
	config_unref(&guard->config);
	guard->magic = 0;
	mem_free(guard);
}
