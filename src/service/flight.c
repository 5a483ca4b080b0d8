/* SPDX-License-Identifier: ISC */
#include "service/flight.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdlib.h>

#include "base/mem.h"

#define FLIGHT_MAGIC 0x464c5931u
#define SPAN_MAX 1000u
#define BATCH_PATH "/v1/batch/objects"
#define BLAMED_MAX 8u /* single objects in a row that could not be read or stored: it is not they */

/* ---- notes ---- */

struct flight *flight_new(const char *lease, const char *type, uint64_t now_us, uint64_t write_timeout_us)
{
	struct flight *flight = mem_zalloc(sizeof(*flight));

	flight->magic = FLIGHT_MAGIC;
	(void)snprintf(flight->lease, sizeof(flight->lease), "%s", lease);
	(void)snprintf(flight->type, sizeof(flight->type), "%s", type);
	flight->leased_us = now_us;
	flight->write_timeout_us = write_timeout_us;
	flight->span = flight->read_span = SPAN_MAX;
	return flight;
}

static void forget_texts(struct flight_item *item)
{
	mem_free(item->collection);
	mem_free(item->properties);
	mem_free(item->vector);
	item->collection = item->properties = item->vector = NULL;
}

static void forget_request(struct flight *flight)
{
	if (flight->has_batch)
		wv_batch_release(&flight->batch);
	flight->has_batch = flight->deletes = false;
	flight->n_sent = 0;
}

void flight_free(struct flight **flight_p)
{
	struct flight *flight = *flight_p;

	*flight_p = NULL;
	if (flight == NULL)
		return;
	CHECK_MAGIC(flight, FLIGHT_MAGIC);
	forget_request(flight);
	for (unsigned i = 0; i < flight->n_items; i++)
		forget_texts(&flight->items[i]);
	mem_free(flight->items);
	mem_free(flight->sent);
	flight->magic = 0;
	mem_free(flight);
}

static void copy_cell(char *to, size_t n_to, const PGresult *rows, int row, int column)
{
	(void)snprintf(to, n_to, "%s", PQgetvalue(rows, row, column));
}

static char *text_cell(const PGresult *rows, int row, int column)
{
	return PQgetisnull(rows, row, column) ? NULL : mem_strdup(PQgetvalue(rows, row, column));
}

void flight_add_note(struct flight *flight, const PGresult *rows, int row)
{
	struct flight_item *item;

	flight->items = mem_realloc(flight->items, (flight->n_items + 1) * sizeof(*item));
	flight->sent = mem_realloc(flight->sent, (flight->n_items + 1) * sizeof(flight->sent[0]));
	item = &flight->items[flight->n_items++];
	memset(item, 0, sizeof(*item));
	copy_cell(item->key, sizeof(item->key), rows, row, LEASE_KEY);
	copy_cell(item->gen, sizeof(item->gen), rows, row, LEASE_GEN);
	copy_cell(item->organization, sizeof(item->organization), rows, row, LEASE_ORGANIZATION);
	item->age_us = strtoull(PQgetvalue(rows, row, LEASE_AGE), NULL, 10);
}

bool flight_has_time(const struct flight *flight, uint64_t now_us)
{
	return now_us < flight->leased_us + flight->write_timeout_us / 2;
}

unsigned flight_unread(const struct flight *flight, unsigned n_max, struct strbuf *keys)
{
	unsigned n = MIN_OF(MIN_OF(n_max, flight->read_span), flight->n_items - flight->n_read);

	for (unsigned i = 0; i < n; i++)
		outbox_array_add(keys, flight->items[flight->n_read + i].key);
	outbox_array_end(keys);
	return n;
}

/* ---- objects ---- */

static void end_item(struct flight_item *item, struct wv_verdict verdict)
{
	item->stage = ITEM_OVER;
	item->verdict = verdict;
	mem_free(item->properties);
	mem_free(item->vector);
	item->properties = item->vector = NULL;
}

static void sum_up(struct flight_item *item)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t hash[EVP_MAX_MD_SIZE];

	MUST(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1);
	MUST(EVP_DigestUpdate(ctx, item->properties, strlen(item->properties)) == 1);
	if (item->vector)
		MUST(EVP_DigestUpdate(ctx, item->vector, strlen(item->vector)) == 1);
	MUST(EVP_DigestFinal_ex(ctx, hash, NULL) == 1);
	EVP_MD_CTX_free(ctx);
	for (unsigned i = 0; i < 32; i++)
		(void)snprintf(item->checksum + 2 * i, 3, "%02x", hash[i]);
}

static bool has_tenants(const struct config *config, const struct flight_item *item)
{
	return config_organization(config_find_collection(config, item->collection)) == ORGANIZATION_TENANT;
}

/* Gone, or never there. Where it is among tenants, the last time it was stored says, or the note. */
static void take_absence(struct flight_item *item, const struct config *config, const char *old_organization)
{
	item->is_gone = true;
	item->stage = ITEM_TO_DELETE;
	if (!has_tenants(config, item))
		return;
	(void)snprintf(item->old_tenant, sizeof(item->old_tenant), "%s", *old_organization ? old_organization : item->organization);
	if (item->old_tenant[0] == '\0') /* then nothing was ever stored */
		end_item(item, wv_verdict(WV_DONE, NULL, NULL));
}

static void park(struct flight_item *item, const char *reason, const char *text)
{
	end_item(item, wv_verdict(WV_PARK, reason, text));
}

static void take_presence(struct flight_item *item, const struct config *config, const char *n_bytes, const char *old_organization)
{
	char text[WV_TEXT_BYTES];
	const char *why;

	if (item->properties == NULL) {
		(void)snprintf(text, sizeof(text), "the object has %s bytes, more than outbox_batch_bytes (%llu)", n_bytes,
			(unsigned long long)config->outbox_batch_bytes);
		park(item, "size", text);
		return;
	}
	if (item->vector) {
		item->n_dimensions = wv_vector_dimensions(item->vector, &why);
		if (item->n_dimensions == 0) {
			park(item, "vector", why);
			return;
		}
	}
	sum_up(item);
	item->stage = ITEM_TO_STORE;
	if (!has_tenants(config, item))
		return;
	if (item->organization[0] == '\0') {
		park(item, "tenant", "it has no organization, whose tenant it would be in");
		return;
	}
	memcpy(item->tenant, item->organization, sizeof(item->tenant));
	if (*old_organization && strcmp(old_organization, item->organization) != 0) {
		(void)snprintf(item->old_tenant, sizeof(item->old_tenant), "%s", old_organization);
		item->stage = ITEM_TO_DELETE;
	}
}

static void take_object(struct flight_item *item, const PGresult *rows, int row, const struct config *config, const struct flight *flight)
{
	const struct config_entity *entity = config_find_entity(config, flight->type);
	const char *old_organization = PQgetvalue(rows, row, READ_OLD_ORGANIZATION);

	if (strcmp(item->key, PQgetvalue(rows, row, READ_KEY)) != 0) {
		end_item(item, wv_verdict(WV_RETRY, "source", "the database answered about another entity"));
		return;
	}
	item->collection = entity && entity->collection ? mem_strdup(entity->collection) : text_cell(rows, row, READ_COLLECTION);
	if (item->collection == NULL || item->collection[0] == '\0') {
		mem_free(item->collection);
		item->collection = outbox_collection_of(flight->type);
	}
	wv_id(item->collection, item->key, item->id);
	if (PQgetvalue(rows, row, READ_IS_THERE)[0] != 't') {
		take_absence(item, config, old_organization);
		return;
	}
	copy_cell(item->organization, sizeof(item->organization), rows, row, READ_ORGANIZATION);
	item->properties = text_cell(rows, row, READ_PROPERTIES);
	item->vector = text_cell(rows, row, READ_VECTOR);
	take_presence(item, config, PQgetvalue(rows, row, READ_BYTES), old_organization);
}

void flight_take_objects(struct flight *flight, const PGresult *rows, const struct config *config)
{
	int n = PQntuples(rows);

	flight->round_begin = flight->n_read;
	flight->n_waits = flight->n_unreadable = 0;
	flight->read_span = MIN_OF(flight->read_span * 2, SPAN_MAX);
	for (int row = 0; row < n && flight->n_read < flight->n_items; row++)
		take_object(&flight->items[flight->n_read++], rows, row, config, flight);
}

void flight_fail_unread(struct flight *flight, unsigned n, const char *text)
{
	flight->round_begin = flight->n_read;
	flight->read_span = MAX_OF(n / 2, 1u);
	if (n == 1 && ++flight->n_unreadable == BLAMED_MAX)
		n = flight->n_items - flight->n_read;
	else if (n > 1)
		return;
	for (; n > 0; n--)
		end_item(&flight->items[flight->n_read++], wv_verdict(WV_RETRY, "source", text));
}

/* ---- requests ---- */

static void add_escaped(struct strbuf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if ((c < 128 && isalnum(c)) || c == '_' || c == '-' || c == '.')
			strbuf_addc(out, (char)c);
		else
			strbuf_addf(out, "%%%02X", c);
	}
}

static char *delete_path(const struct flight_item *item, bool is_single)
{
	struct strbuf path = STRBUF_INIT;

	if (is_single) {
		strbuf_adds(&path, "/v1/objects/");
		add_escaped(&path, item->collection);
		strbuf_addf(&path, "/%s", item->id);
	} else {
		strbuf_adds(&path, BATCH_PATH);
	}
	if (item->old_tenant[0]) {
		strbuf_adds(&path, "?tenant=");
		add_escaped(&path, item->old_tenant);
	}
	return strbuf_detach(&path);
}

/* false: the batch is full. What is too large for any batch is over. */
static bool add_to_batch(struct flight *flight, unsigned index)
{
	struct flight_item *item = &flight->items[index];
	const struct wv_object object = {
		.collection = item->collection,
		.id = item->id,
		.properties = item->properties,
		.vector = item->vector,
		.tenant = item->tenant[0] ? item->tenant : NULL,
	};

	if (wv_batch_add(&flight->batch, &object)) {
		flight->sent[flight->n_sent++] = index;
		return true;
	}
	if (flight->n_sent > 0)
		return false;
	park(item, "size", "the object is larger than outbox_batch_bytes");
	return true;
}

/* The ids of what is sent; they live as long as the items. The caller frees the array. */
static const char **sent_ids(const struct flight *flight)
{
	const char **ids = mem_alloc(flight->n_sent * sizeof(*ids));

	for (unsigned i = 0; i < flight->n_sent; i++)
		ids[i] = flight->items[flight->sent[i]].id;
	return ids;
}

/* May it go with the first one? */
static bool goes_with(const struct flight_item *first, const struct flight_item *item)
{
	return item->stage == ITEM_TO_DELETE && !item->goes_alone && strcmp(item->collection, first->collection) == 0 &&
		strcmp(item->old_tenant, first->old_tenant) == 0;
}

/* The next object to be deleted, with others of its class and tenant. false: there is none. */
static bool next_deletion(struct flight *flight, unsigned n_max, char **path_r)
{
	const struct flight_item *first = NULL;
	const char **ids;

	for (unsigned i = flight->round_begin; i < flight->n_read && flight->n_sent < n_max; i++) {
		const struct flight_item *item = &flight->items[i];

		if (first ? !goes_with(first, item) : item->stage != ITEM_TO_DELETE)
			continue;
		flight->sent[flight->n_sent++] = i;
		if (item->goes_alone)
			break;
		first = first ? first : item;
	}
	if (flight->n_sent == 0)
		return false;
	flight->deletes = true;
	*path_r = delete_path(&flight->items[flight->sent[0]], flight->n_sent == 1);
	if (flight->n_sent == 1)
		return true;
	ids = sent_ids(flight);
	memset(&flight->batch, 0, sizeof(flight->batch));
	strbuf_init(&flight->batch.body);
	wv_deletion(&flight->batch.body, first->collection, flight->n_sent, ids);
	flight->has_batch = true;
	mem_free(ids);
	return true;
}

enum flight_step flight_next(struct flight *flight, const struct config *config, unsigned span_max, char **path_r)
{
	unsigned i;

	CHECK_MAGIC(flight, FLIGHT_MAGIC);
	forget_request(flight);
	*path_r = NULL;
	if (next_deletion(flight, span_max, path_r))
		return FLIGHT_DELETE;
	wv_batch_init(&flight->batch, MIN_OF(flight->span, span_max), config->outbox_batch_bytes);
	flight->has_batch = true;
	for (i = flight->round_begin; i < flight->n_read; i++)
		if (flight->items[i].stage == ITEM_TO_STORE && !add_to_batch(flight, i))
			break;
	wv_batch_finish(&flight->batch);
	if (flight->n_sent == 0)
		return FLIGHT_END;
	*path_r = mem_strdup(BATCH_PATH);
	return FLIGHT_STORE;
}

/* ---- answers ---- */

static void doubt(struct flight *flight, struct wv_verdict verdict, uint64_t sent_us)
{
	for (unsigned i = 0; i < flight->n_sent; i++) {
		struct flight_item *item = &flight->items[flight->sent[i]];

		end_item(item, verdict);
		item->stage = ITEM_DOUBTFUL;
	}
	flight->doubt_until_us = MAX_OF(flight->doubt_until_us, sent_us + flight->write_timeout_us);
}

static void blame(struct flight *flight, struct wv_verdict verdict)
{
	end_item(&flight->items[flight->sent[0]], verdict);
	if (verdict.outcome != WV_RETRY || ++flight->n_blamed < BLAMED_MAX)
		return;
	for (unsigned i = flight->round_begin; i < flight->n_read; i++)
		if (flight->items[i].stage == ITEM_TO_STORE)
			end_item(&flight->items[i], verdict);
}

static void take_deleted(struct flight_item *item, struct wv_verdict done)
{
	if (item->is_gone) {
		end_item(item, done);
	} else {
		item->old_tenant[0] = '\0';
		item->stage = ITEM_TO_STORE;
	}
}

static struct wv_verdict take_delete_answer(struct flight *flight, const struct http_answer *answer)
{
	struct wv_verdict verdict = wv_read_delete(answer);

	if (verdict.outcome == WV_DONE)
		take_deleted(&flight->items[flight->sent[0]], verdict);
	else if (verdict.outcome == WV_RETRY || verdict.outcome == WV_PARK)
		blame(flight, verdict);
	return verdict;
}

/* Whoever was not said to be deleted is asked to be by itself, whatever is wrong. */
static struct wv_verdict take_deletes_answer(struct flight *flight, const struct http_answer *answer)
{
	const char **ids = sent_ids(flight);
	struct wv_verdict *verdicts = mem_alloc(flight->n_sent * sizeof(*verdicts)), whole;

	whole = wv_read_deletes(answer, flight->n_sent, ids, verdicts);
	for (unsigned i = 0; i < flight->n_sent && (whole.outcome == WV_DONE || whole.outcome == WV_SPLIT); i++) {
		struct flight_item *item = &flight->items[flight->sent[i]];

		if (whole.outcome == WV_DONE && verdicts[i].outcome == WV_DONE)
			take_deleted(item, verdicts[i]);
		else
			item->goes_alone = true;
	}
	mem_free(ids);
	mem_free(verdicts);
	return whole;
}

static void take_verdicts(struct flight *flight, const struct wv_verdict *verdicts, uint64_t took_us)
{
	for (unsigned i = 0; i < flight->n_sent; i++) {
		struct flight_item *item = &flight->items[flight->sent[i]];

		item->took_us = took_us;
		if (verdicts[i].n_dimensions)
			item->n_dimensions = verdicts[i].n_dimensions;
		end_item(item, verdicts[i]);
	}
	flight->n_blamed = 0;
	flight->span = MIN_OF(flight->span * 2, SPAN_MAX);
}

static struct wv_verdict read_answer(struct flight *flight, const struct http_answer *answer)
{
	const char **ids = sent_ids(flight);
	struct wv_verdict *verdicts = mem_alloc(flight->n_sent * sizeof(*verdicts)), whole;

	whole = wv_read_batch(answer, flight->n_sent, ids, verdicts);
	if (whole.outcome == WV_DONE)
		take_verdicts(flight, verdicts, answer->took_us);
	mem_free(ids);
	mem_free(verdicts);
	return whole;
}

struct wv_verdict flight_take_answer(struct flight *flight, const struct http_answer *answer, uint64_t sent_us)
{
	struct wv_verdict whole;

	if (flight->deletes)
		whole = flight->has_batch ? take_deletes_answer(flight, answer) : take_delete_answer(flight, answer);
	else
		whole = read_answer(flight, answer);
	switch (whole.outcome) {
	case WV_DONE:
		break;
	case WV_RETRY:
	case WV_PARK:
		if (!flight->deletes)
			blame(flight, whole);
		break;
	case WV_SPLIT:
		if (!flight->deletes)
			flight->span = MAX_OF(flight->n_sent / 2, 1u);
		break;
	case WV_UNKNOWN:
		doubt(flight, whole, sent_us);
		break;
	case WV_STORE:
	case WV_REFUSED:
		break;
	}
	forget_request(flight);
	return whole;
}

bool flight_has_doubts(const struct flight *flight)
{
	for (unsigned i = flight->round_begin; i < flight->n_read; i++)
		if (flight->items[i].stage == ITEM_DOUBTFUL)
			return true;
	return false;
}

void flight_calm(struct flight *flight, bool is_their_fault)
{
	for (unsigned i = flight->round_begin; i < flight->n_read; i++) {
		struct flight_item *item = &flight->items[i];

		if (item->stage != ITEM_DOUBTFUL)
			continue;
		item->verdict.outcome = WV_RETRY;
		item->stage = is_their_fault ? ITEM_OVER : ITEM_ENDED;
	}
}

/* ---- the end of notes ---- */

static void add_failure(struct strbuf *arrays, const struct flight_item *item)
{
	outbox_array_add(&arrays[0], item->key);
	outbox_array_add(&arrays[1], item->gen);
	outbox_array_add(&arrays[2], item->verdict.text);
}

static void add_stored(struct strbuf *arrays, const struct flight_item *item)
{
	char dimensions[16], took[24];

	(void)snprintf(dimensions, sizeof(dimensions), "%u", item->n_dimensions);
	(void)snprintf(took, sizeof(took), "%llu", (unsigned long long)(item->took_us / 1000));
	outbox_array_add(&arrays[0], item->key);
	outbox_array_add(&arrays[1], item->id);
	outbox_array_add(&arrays[2], item->n_dimensions ? dimensions : NULL);
	outbox_array_add(&arrays[3], item->checksum);
	outbox_array_add(&arrays[4], took);
	outbox_array_add(&arrays[5], item->organization[0] ? item->organization : NULL);
}

static void add_item(struct strbuf *texts, const struct flight_item *item)
{
	if (item->verdict.outcome == WV_RETRY) {
		add_failure(&texts[4], item);
	} else if (item->verdict.outcome == WV_PARK) {
		add_failure(&texts[7], item);
	} else {
		MUST(item->verdict.outcome == WV_DONE);
		outbox_array_add(&texts[2], item->key);
		outbox_array_add(&texts[3], item->gen);
		if (!item->is_gone)
			add_stored(&texts[10], item);
	}
}

/* What is OVER; or, once that has ended, what was delivered in this round. */
void flight_end_params(const struct flight *flight, struct flight_params *params)
{
	bool is_again = flight->state == FLIGHT_EXPECT_DONE;
	unsigned i;

	for (i = 0; i < OUTBOX_PARAMS_MAX; i++)
		strbuf_init(&params->texts[i]);
	for (i = flight->round_begin; i < flight->n_read; i++) {
		const struct flight_item *item = &flight->items[i];

		if (item->stage == (is_again ? ITEM_ENDED : ITEM_OVER) && (!is_again || item->verdict.outcome == WV_DONE))
			add_item(params->texts, item);
	}
	for (i = 0; i < OUTBOX_PARAMS_MAX; i++) {
		outbox_array_end(&params->texts[i]);
		params->values[i] = params->texts[i].data;
	}
	params->values[0] = flight->lease;
	params->values[1] = flight->type;
}

void flight_params_release(struct flight_params *params)
{
	for (unsigned i = 0; i < OUTBOX_PARAMS_MAX; i++)
		strbuf_release(&params->texts[i]);
}

static void count(struct flight_counts *counts, const struct flight_item *item)
{
	counts->n_failed += item->verdict.outcome == WV_RETRY;
	counts->n_parked += item->verdict.outcome == WV_PARK;
	counts->n_stored += item->verdict.outcome == WV_DONE && !item->is_gone;
	counts->n_deleted += item->verdict.outcome == WV_DONE && item->is_gone;
}

struct flight_counts flight_ended(struct flight *flight, uint64_t now_us, void (*lag)(void *arg, uint64_t age_us), void *arg)
{
	struct flight_counts counts = { 0 };

	for (unsigned i = flight->round_begin; i < flight->n_read; i++) {
		struct flight_item *item = &flight->items[i];

		if (item->stage != ITEM_OVER)
			continue;
		count(&counts, item);
		if (item->verdict.outcome == WV_DONE)
			lag(arg, item->age_us + (now_us - flight->leased_us));
		item->stage = ITEM_ENDED;
	}
	return counts;
}
