/* SPDX-License-Identifier: ISC */
/*
 * From an annotation, and the values of a Bind, to the request of a search. Everything that can be
 * wrong is found here, before anything is sent to anybody.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "pgw/annotation.h"
#include "pgw/vector.h"
#include "session/search.h"

#define VALUE_SHOWN_BYTES 60 /* of a wrong value, in an error */

/* What one is made of, and what goes wrong with it. */
struct draft {
	const struct client *client;
	const struct config *config;
	const struct pgw_annotation *annotation;
	const struct search_bind *bind;
	struct search_request *request;
	struct pgw_fault *fault;
	const char *key, *value; /* ml_near_text … and its value */
};

#define FAIL(draft, id, what, ...)                                                                 \
	(pgw_fault_set((draft)->fault, id, what, __VA_ARGS__), false)

/* ---- who may ---- */

static bool may_search(struct draft *draft)
{
	const char *name = draft->client->pool->shared->user->name;
	const struct config_user *user = config_find_user(draft->config, name);
	enum annotation_right right = user ? user->annotations : CONFIG_USER_ANNOTATIONS;

	if (right != ANNOTATIONS_ALL)
		return FAIL(draft, PGW_FAULT_SEARCH_DENIED, NULL, "User %.100s has annotations = %s.", name,
			right == ANNOTATIONS_NONE ? "none" : "route");
	if (draft->config->weaviate_url == NULL)
		return FAIL(draft, PGW_FAULT_SEARCH_OFF, NULL, NULL);
	if (draft->annotation->malformed_search)
		return FAIL(draft, PGW_FAULT_SEARCH_ANNOTATION, "a comment is malformed",
			"Expected /*key='value',…*/ with values percent-encoded.");
	return true;
}

/* ---- what ---- */

static bool choose_kind(struct draft *draft)
{
	static const struct {
		const char *key;
		enum search_kind kind;
	} kinds[] = {{"ml_near_text", SEARCH_NEAR_TEXT}, {"ml_near_vector", SEARCH_NEAR_VECTOR},
		{"ml_hybrid", SEARCH_HYBRID}};
	const char *value;
	size_t i;

	for (i = 0; i < N_ELEMENTS(kinds); i++) {
		value = pgw_annotation_get(draft->annotation, kinds[i].key);
		if (value && draft->key)
			return FAIL(draft, PGW_FAULT_SEARCH_ANNOTATION, "there are two searches",
				"%s and %s stand in one statement.", draft->key, kinds[i].key);
		if (value == NULL)
			continue;
		draft->key = kinds[i].key;
		draft->value = value;
		draft->request->kind = kinds[i].kind;
	}
	if (draft->key == NULL)
		return FAIL(draft, PGW_FAULT_SEARCH_ANNOTATION, "nothing is searched for",
			"Expected ml_near_text, ml_near_vector or ml_hybrid.");
	return true;
}

static bool is_collection_name(const char *name)
{
	const char *at;

	for (at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && *at != '_')
			return false;
	return name[0] >= 'A' && name[0] <= 'Z' && at - name <= 255;
}

static bool read_collection(struct draft *draft)
{
	const char *name = pgw_annotation_get(draft->annotation, "ml_collection");

	if (name == NULL || name[0] == '\0')
		return FAIL(draft, PGW_FAULT_SEARCH_ANNOTATION, "ml_collection is missing", NULL);
	if (!is_collection_name(name))
		return FAIL(draft, PGW_FAULT_SEARCH_COLLECTION, NULL,
			"\"%.*s\" names none: expected letters, digits and _, a capital first.",
			VALUE_SHOWN_BYTES, name);
	draft->request->collection = mem_strdup(name);
	return true;
}

static bool read_limit(struct draft *draft)
{
	const char *text = pgw_annotation_get(draft->annotation, "ml_limit");
	size_t n = text ? strlen(text) : 0;
	unsigned long limit = SEARCH_DEFAULT_LIMIT;

	if (text)
		limit = n > 0 && n <= 5 && strspn(text, "0123456789") == n
				? strtoul(text, NULL, 10)
				: 0;
	if (limit < 1 || limit > SEARCH_MAX_LIMIT)
		return FAIL(draft, PGW_FAULT_SEARCH_ANNOTATION, "ml_limit",
			"\"%.*s\" is no number from 1 to %u.", VALUE_SHOWN_BYTES, text,
			SEARCH_MAX_LIMIT);
	draft->request->limit = (uint32_t)limit;
	return true;
}

static bool read_max_distance(struct draft *draft)
{
	const char *text = pgw_annotation_get(draft->annotation, "ml_max_distance");
	char *end;

	if (text == NULL)
		return true;
	if (draft->request->kind == SEARCH_HYBRID)
		return FAIL(draft, PGW_FAULT_SEARCH_ANNOTATION, "ml_max_distance",
			"Hits of ml_hybrid have a score, not a distance.");
	draft->request->max_distance = strtod(text, &end);
	if (end == text || *end || strpbrk(text, "xX") || !isfinite(draft->request->max_distance) ||
		fabs(draft->request->max_distance) > 3e38)
		return FAIL(draft, PGW_FAULT_SEARCH_ANNOTATION, "ml_max_distance", "\"%.*s\" is no number.",
			VALUE_SHOWN_BYTES, text);
	draft->request->has_max_distance = true;
	return true;
}

/* ---- in which organization ---- */

static const char *known_organization(const struct draft *draft, const char *asked)
{
	const struct config_user *user =
		config_find_user(draft->config, draft->client->pool->shared->user->name);

	return user && user->organization ? user->organization : asked;
}

static bool is_uuid(const char *text)
{
	size_t i;

	for (i = 0; i < 36 && text[i]; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? text[i] != '-'
							    : !isxdigit((unsigned char)text[i]))
			return false;
	return i == 36 && text[36] == '\0';
}

static bool read_organization(struct draft *draft)
{
	const char *asked = pgw_annotation_get(draft->annotation, "ml_organization"), *known;
	const struct config_collection *collection =
		config_find_collection(draft->config, draft->request->collection);
	enum collection_organization mode = config_organization(collection);
	struct search_request *request = draft->request;
	size_t i;

	if (asked && !is_uuid(asked))
		return FAIL(draft, PGW_FAULT_SEARCH_ANNOTATION, "ml_organization", "\"%.*s\" is no uuid.",
			VALUE_SHOWN_BYTES, asked);
	known = known_organization(draft, asked);
	if (known && asked && strcasecmp(known, asked) != 0)
		return FAIL(draft, PGW_FAULT_SEARCH_FOREIGN_ORGANIZATION, NULL,
			"User %.100s searches in organization %s only.",
			draft->client->pool->shared->user->name, known);
	if (known == NULL && (mode == ORGANIZATION_TENANT ||
				     (collection && collection->organization_required)))
		return FAIL(draft, PGW_FAULT_SEARCH_NO_ORGANIZATION, NULL,
			"Collection %.100s is searched within one only.", request->collection);
	request->scope = known == NULL || mode == ORGANIZATION_NONE ? SEARCH_EVERYWHERE
			 : mode == ORGANIZATION_TENANT		    ? SEARCH_IN_TENANT
								    : SEARCH_FILTERED;
	for (i = 0; known && i < sizeof(request->organization) - 1; i++)
		request->organization[i] = (char)tolower((unsigned char)known[i]);
	return true;
}

/* ---- for what: a literal, or $n ---- */

/* 0: a literal. */
static unsigned long parameter_number(const char *value)
{
	size_t n = strlen(value);

	if (n < 2 || n > 6 || value[0] != '$' || strspn(value + 1, "0123456789") != n - 1)
		return 0;
	return strtoul(value + 1, NULL, 10);
}

static bool find_parameter(struct draft *draft, unsigned long number, struct pgw_value *value_r)
{
	const struct search_bind *bind = draft->bind;
	enum pgw_err err = bind ? pgw_view_bind_value(bind->body, bind->n_body, bind->n_body,
					  bind->view->n_prefix_bytes, (unsigned)number - 1, value_r)
				: PGW_E_TOO_MANY;

	if (err != PGW_OK)
		return FAIL(draft, PGW_FAULT_SEARCH_PARAMETER, NULL,
			bind == NULL	       ? "%s is $%lu, and a simple query has no parameters."
			: err == PGW_E_TOO_MANY ? "%s is $%lu, and Bind brings fewer."
						: "%s is $%lu, and Bind is malformed.",
			draft->key, number);
	if (value_r->at == NULL)
		return FAIL(draft, PGW_FAULT_SEARCH_PARAMETER_NULL, NULL, "%s is $%lu.", draft->key, number);
	return true;
}

static bool take_text(struct draft *draft, const struct pgw_value *value)
{
	if (value->n == 0)
		return FAIL(draft, PGW_FAULT_SEARCH_ANNOTATION, draft->key, "There is no text in it.");
	if (memchr(value->at, '\0', value->n) ||
		!pgw_is_utf8(value->at, value->n))
		return FAIL(draft, PGW_FAULT_SEARCH_TEXT, NULL, NULL);
	draft->request->text = mem_strndup((const char *)value->at, value->n);
	return true;
}

static bool take_vector(struct draft *draft, const struct pgw_value *value)
{
	/* Two bytes are the shortest text of a number, with its comma. */
	size_t cap = MIN_OF((size_t)PGW_VECTOR_MAX, value->n / 2 + 1), n;
	float *vector = mem_alloc(cap * sizeof(*vector));
	enum pgw_err err = pgw_read_vector(value, vector, cap, &n);

	draft->request->vector = vector;
	draft->request->n_vector = (uint32_t)n;
	if (err == PGW_OK)
		return true;
	if (err == PGW_E_TOO_LONG)
		return FAIL(draft, PGW_FAULT_SEARCH_TOO_LONG, NULL,
			"A vector has at most %u dimensions.", PGW_VECTOR_MAX);
	return FAIL(draft, PGW_FAULT_SEARCH_VECTOR, NULL,
		value->binary ? "In binary it is a float4[], a float8[] or a vector."
				 : "As text it is [1,2.5,…] or {1,2.5,…}.");
}

static bool read_value(struct draft *draft)
{
	unsigned long number = parameter_number(draft->value);
	struct pgw_value value = {.at = (const uint8_t *)draft->value,
		.n = (uint32_t)strlen(draft->value)};

	if (number > 0 && !find_parameter(draft, number, &value))
		return false;
	if (value.n > draft->config->search_max_bytes)
		return FAIL(draft, PGW_FAULT_SEARCH_TOO_LONG, NULL,
			"%s has %u bytes; search_max_bytes is %llu.", draft->key, value.n,
			(unsigned long long)draft->config->search_max_bytes);
	return draft->request->kind == SEARCH_NEAR_VECTOR ? take_vector(draft, &value)
							  : take_text(draft, &value);
}

bool search_request_make(const struct client *client, const char *sql, size_t n_sql,
	const struct search_bind *bind, struct search_request *request_r, struct pgw_fault *fault_r)
{
	struct pgw_annotation annotation;
	struct pgw_lexer lexer = pgw_lexer_on(sql, n_sql);
	struct draft draft = {.client = client,
		.config = worker_config(client->worker),
		.annotation = &annotation,
		.bind = bind,
		.request = request_r,
		.fault = fault_r};

	memset(request_r, 0, sizeof(*request_r));
	lexer.standard_conforming_strings = !client->params->backslash_escapes;
	pgw_annotation_read(lexer, &annotation);
	if (may_search(&draft) && choose_kind(&draft) && read_collection(&draft) &&
		read_limit(&draft) && read_max_distance(&draft) && read_organization(&draft) &&
		read_value(&draft))
		return true;
	search_request_release(request_r);
	return false;
}
