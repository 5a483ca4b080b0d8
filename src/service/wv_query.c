/* SPDX-License-Identifier: ISC */
/*
 * Threat: text of a client becomes part of a query in two languages, one inside the other. So there
 * is one writer of strings; everything else that is written is a number, a name that was checked or
 * a constant; and a whole GraphQL query passes the writer once more, as the string of JSON it is.
 */
#include "service/wv_query.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cjson/cJSON.h>

#include "service/wv_id.h"

#define CLASS_NAME_MAX_BYTES 255u
/* The first version whose REST search has all of our searches: near-vector came last. */
#define REST_SINCE_MAJOR 1
#define REST_SINCE_MINOR 40

/* ---- strings ---- */

/* The two grammars meet in \" \\ \uXXXX and in that neither takes a raw control character. */
void wv_string(struct strbuf *out, const char *text)
{
	const char *plain = text, *at;

	strbuf_addc(out, '"');
	for (at = text; *at; at++) {
		unsigned char c = (unsigned char)*at;

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
			continue;
		strbuf_add(out, plain, (size_t)(at - plain));
		plain = at + 1;
		if (c == '"' || c == '\\') {
			strbuf_addc(out, '\\');
			strbuf_addc(out, (char)c);
		} else {
			strbuf_addf(out, "\\u%04x", c);
		}
	}
	strbuf_add(out, plain, (size_t)(at - plain));
	strbuf_addc(out, '"');
}

static bool is_class_name(const char *name)
{
	const char *at;

	if (name[0] < 'A' || name[0] > 'Z')
		return false;
	for (at = name; *at; at++)
		if (!isalnum((unsigned char)*at) && *at != '_')
			return false;
	return (size_t)(at - name) <= CLASS_NAME_MAX_BYTES;
}

/* ---- requests ---- */

static void add_vector(struct strbuf *out, const struct search_request *request)
{
	uint32_t i;

	strbuf_addc(out, '[');
	for (i = 0; i < request->n_vector; i++) {
		MUST(isfinite(request->vector[i]));
		strbuf_addf(out, i ? ",%.9g" : "%.9g", (double)request->vector[i]);
	}
	strbuf_addc(out, ']');
}

static void add_rest(struct strbuf *out, const struct search_request *request)
{
	strbuf_adds(out, request->kind == SEARCH_NEAR_VECTOR ? "{\"vector\":" : "{\"query\":");
	switch (request->kind) {
	case SEARCH_NEAR_VECTOR:
		add_vector(out, request);
		break;
	case SEARCH_NEAR_TEXT: /* a list of concepts */
		strbuf_addc(out, '[');
		wv_string(out, request->text);
		strbuf_addc(out, ']');
		break;
	case SEARCH_HYBRID:
	default:
		wv_string(out, request->text);
		break;
	}
	strbuf_addf(out, ",\"limit\":%u", request->limit);
	if (request->has_max_distance)
		strbuf_addf(out, ",\"distance\":%.9g", request->max_distance);
	if (request->scope == SEARCH_IN_TENANT)
		strbuf_addf(out, ",\"tenant\":\"%s\"", request->organization);
	if (request->scope == SEARCH_FILTERED)
		strbuf_addf(out,
			",\"where\":{\"path\":[\"" WV_ORGANIZATION_PROPERTY
			"\"],\"operator\":\"Equal\",\"valueText\":\"%s\"}",
			request->organization);
	strbuf_addf(out, ",\"returnProperties\":[\"" WV_KEY_PROPERTY "\"],\"returnMetadata\":[\"%s\"]}",
		request->kind == SEARCH_HYBRID ? "score" : "distance");
}

static void add_operator(struct strbuf *out, const struct search_request *request)
{
	switch (request->kind) {
	case SEARCH_NEAR_VECTOR:
		strbuf_adds(out, "nearVector:{vector:");
		add_vector(out, request);
		break;
	case SEARCH_NEAR_TEXT:
		strbuf_adds(out, "nearText:{concepts:[");
		wv_string(out, request->text);
		strbuf_addc(out, ']');
		break;
	case SEARCH_HYBRID:
	default:
		strbuf_adds(out, "hybrid:{query:");
		wv_string(out, request->text);
		break;
	}
	if (request->has_max_distance)
		strbuf_addf(out, ",distance:%.9g", request->max_distance);
	strbuf_addc(out, '}');
}

static void add_graphql(struct strbuf *out, const struct search_request *request)
{
	strbuf_addf(out, "{Get{%s(limit:%u,", request->collection, request->limit);
	if (request->scope == SEARCH_IN_TENANT)
		strbuf_addf(out, "tenant:\"%s\",", request->organization);
	add_operator(out, request);
	if (request->scope == SEARCH_FILTERED)
		strbuf_addf(out,
			",where:{path:[\"" WV_ORGANIZATION_PROPERTY
			"\"],operator:Equal,valueText:\"%s\"}",
			request->organization);
	strbuf_addf(out, "){" WV_KEY_PROPERTY " _additional{id %s}}}}",
		request->kind == SEARCH_HYBRID ? "score" : "distance");
}

void wv_query_write(enum wv_interface interface, const struct search_request *request,
	struct strbuf *path, struct strbuf *body)
{
	static const char *const names[] = {[SEARCH_NEAR_TEXT] = "near-text",
		[SEARCH_NEAR_VECTOR] = "near-vector",
		[SEARCH_HYBRID] = "hybrid"};
	struct strbuf query = STRBUF_INIT;

	MUST(is_class_name(request->collection));
	MUST(request->scope == SEARCH_EVERYWHERE || wv_is_id(request->organization));
	if (interface == WV_REST) {
		strbuf_addf(path, "/v1/search/%s/%s", request->collection, names[request->kind]);
		add_rest(body, request);
		return;
	}
	strbuf_adds(path, "/v1/graphql");
	add_graphql(&query, request);
	strbuf_adds(body, "{\"query\":");
	wv_string(body, query.data);
	strbuf_addc(body, '}');
	strbuf_release(&query);
}

/* ---- answers ---- */

void wv_found_release(struct wv_found *found)
{
	mem_free(found->ids);
	found->ids = NULL;
	found->n = 0;
}

static void fail(struct search_answer *answer, enum search_outcome outcome, const char *why)
{
	size_t i;

	answer->outcome = outcome;
	(void)snprintf(answer->why, sizeof(answer->why), "%s", why);
	for (i = 0; answer->why[i]; i++)
		if ((unsigned char)answer->why[i] < 0x20)
			answer->why[i] = ' ';
}

static const cJSON *get(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* false: there is none, or it is no uuid. */
static bool read_uuid(const cJSON *value, char out[static SEARCH_UUID_BYTES])
{
	const char *text = cJSON_GetStringValue(value);
	size_t i;

	if (text == NULL || strlen(text) != SEARCH_UUID_BYTES - 1)
		return false;
	for (i = 0; i < SEARCH_UUID_BYTES; i++)
		out[i] = (char)tolower((unsigned char)text[i]);
	return wv_is_id(out);
}

/* A number, or the same as a string: GraphQL gives scores so. */
static void add_number(struct strbuf *out, const cJSON *value)
{
	const char *text = cJSON_GetStringValue(value);
	char *end = NULL;
	double number = cJSON_IsNumber(value) ? value->valuedouble : text ? strtod(text, &end) : NAN;

	if (text && (end == text || *end))
		number = NAN;
	if (isfinite(number) && fabs(number) <= 3e38) /* a real takes no more */
		strbuf_addf(out, "%.9g", number);
	else
		strbuf_adds(out, "null");
}

/* Where each interface has what it says of a hit. */
struct places {
	const cJSON *id, *key, *numbers;
};

static struct places places_of(enum wv_interface interface, const cJSON *hit)
{
	const cJSON *additional = get(hit, "_additional");

	if (interface == WV_REST)
		return (struct places){get(hit, "id"), get(get(hit, "properties"), WV_KEY_PROPERTY),
			get(hit, "metadata")};
	return (struct places){get(additional, "id"), get(hit, WV_KEY_PROPERTY), additional};
}

static const char *add_hit(enum wv_interface interface, const cJSON *hit, struct strbuf *out,
	char id_r[static SEARCH_UUID_BYTES])
{
	struct places places = places_of(interface, hit);
	char key[SEARCH_UUID_BYTES];

	if (!read_uuid(places.id, id_r))
		return "a hit has no id that is a uuid";
	memcpy(key, id_r, sizeof(key));
	if (places.key && !cJSON_IsNull(places.key) && !read_uuid(places.key, key))
		return "a hit's " WV_KEY_PROPERTY " is no uuid";
	strbuf_addf(out, "%s[\"%s\",", out->len > 1 ? "," : "", key);
	add_number(out, get(places.numbers, "distance"));
	strbuf_addc(out, ',');
	add_number(out, get(places.numbers, "score"));
	strbuf_addc(out, ']');
	return NULL;
}

static void read_hits(enum wv_interface interface, const struct search_request *request,
	const cJSON *list, struct search_answer *answer, struct wv_found *found)
{
	struct strbuf hits = STRBUF_INIT;
	const char *trouble = NULL;
	const cJSON *hit;
	uint32_t n = 0;

	if (!cJSON_IsArray(list)) {
		fail(answer, SEARCH_UNAVAILABLE, "its answer has no list of hits");
		return;
	}
	found->ids = mem_alloc((size_t)request->limit * SEARCH_UUID_BYTES);
	strbuf_addc(&hits, '[');
	cJSON_ArrayForEach(hit, list)
	{
		if (n == request->limit)
			break;
		trouble = add_hit(interface, hit, &hits, found->ids[n]);
		if (trouble)
			break;
		n++;
	}
	strbuf_addc(&hits, ']');
	if (trouble) {
		fail(answer, SEARCH_UNAVAILABLE, trouble);
		strbuf_release(&hits);
		return;
	}
	answer->outcome = SEARCH_DONE;
	answer->n_hits = found->n = n;
	answer->hits = strbuf_detach(&hits);
}

/* The first message of {"error":[{"message"}]}, {"errors":[…]} or {"message"}; NULL: none. */
static const char *message_of(const cJSON *root)
{
	const cJSON *list = get(root, "errors");
	const char *text;

	if (!cJSON_IsArray(list))
		list = get(root, "error");
	text = cJSON_GetStringValue(get(cJSON_GetArrayItem(list, 0), "message"));
	return text ? text : cJSON_GetStringValue(get(root, "message"));
}

/* GraphQL has no codes: what the client can mend is told by its words. */
static enum search_outcome outcome_of_message(const char *text)
{
	static const char *const mendable[] = {"vector length", "lengths don't match",
		"vectors with length", "Unknown argument", "Cannot query field", "Syntax Error",
		"dimension", "no such prop"};
	size_t i;

	if (strstr(text, "Cannot query field") && strstr(text, "\"GetObjectsObj\""))
		return SEARCH_UNKNOWN_COLLECTION;
	for (i = 0; i < N_ELEMENTS(mendable); i++)
		if (strcasestr(text, mendable[i]))
			return SEARCH_REFUSED;
	return SEARCH_UNAVAILABLE;
}

static enum search_outcome outcome_of_status(long status, const cJSON *root, const char *text)
{
	switch (status) {
	case 400:
	case 422: /* an interface that is switched off says so with a 422 */
		return text && strstr(text, "api is disabled") ? SEARCH_UNAVAILABLE
							       : SEARCH_REFUSED;
	case 404: /* {"code":404} is a path that it does not have: there is no such interface */
		return get(root, "code") ? SEARCH_UNAVAILABLE : SEARCH_UNKNOWN_COLLECTION;
	default:
		return SEARCH_UNAVAILABLE;
	}
}

static void read_failure(const struct search_request *request, long status, const cJSON *root,
	struct search_answer *answer)
{
	const char *text = message_of(root);
	char why[SEARCH_WHY_BYTES];

	/* An organization that nothing was stored for yet has no tenant, and no hits. */
	if (request->scope == SEARCH_IN_TENANT && text && strstr(text, "tenant not found")) {
		answer->outcome = SEARCH_DONE;
		answer->hits = mem_strdup("[]");
		return;
	}
	(void)snprintf(why, sizeof(why), "HTTP %ld: %s", status,
		text ? text : "it says no more about it");
	fail(answer,
		status == 200 ? outcome_of_message(text ? text : "") : outcome_of_status(status, root, text),
		why);
}

void wv_query_read(enum wv_interface interface, const struct search_request *request, long status,
	const char *body, size_t n, struct search_answer *answer_r, struct wv_found *found_r)
{
	struct wv_found found = {NULL, 0};
	cJSON *root = cJSON_ParseWithLength(body, n);

	memset(answer_r, 0, sizeof(*answer_r));
	if (status != 200 || get(root, "errors"))
		read_failure(request, status, root, answer_r);
	else if (root == NULL) /* also what is left of a panic of its: 200 and nothing */
		fail(answer_r, SEARCH_UNAVAILABLE,
			n ? "its answer is no JSON" : "its answer is empty");
	else
		read_hits(interface, request,
			interface == WV_REST
				? get(root, "results")
				: get(get(get(root, "data"), "Get"), request->collection),
			answer_r, &found);
	cJSON_Delete(root);
	if (found_r && answer_r->outcome == SEARCH_DONE)
		*found_r = found;
	else
		wv_found_release(&found);
	if (found_r && answer_r->outcome != SEARCH_DONE)
		*found_r = (struct wv_found){NULL, 0};
}

bool wv_interface_of(const char *version, enum wv_interface *interface_r)
{
	unsigned long major, minor;
	char *end;

	if (!isdigit((unsigned char)*version))
		return false;
	major = strtoul(version, &end, 10);
	if (*end != '.' || !isdigit((unsigned char)end[1]))
		return false;
	minor = strtoul(end + 1, NULL, 10);
	*interface_r = major > REST_SINCE_MAJOR ||
				       (major == REST_SINCE_MAJOR && minor >= REST_SINCE_MINOR)
			       ? WV_REST
			       : WV_GRAPHQL;
	return true;
}
