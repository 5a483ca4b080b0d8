/* SPDX-License-Identifier: ISC */
/*
 * Whatever the text, a request has the shape that it has with any other text, and the text is in it
 * as it is. Whatever the answer, what is made of it is hits that can be read, or a reason.
 *
 * The first byte says what is tried: bit 0 an answer, bit 1 GraphQL, bits 2 and 3 the kind, bits 4
 * and 5 the scope, bit 6 status 200.
 */
#include "service/wv_query.h"

#include <string.h>

#include <cjson/cJSON.h>

#include "fuzz/fuzz.h"
#include "pgw/vector.h"
#include "service/wv_id.h"

static struct search_request request_of(uint8_t flags, char *text, float *vector)
{
	static const enum search_kind kinds[] = { SEARCH_NEAR_TEXT, SEARCH_HYBRID,
		SEARCH_NEAR_VECTOR, SEARCH_NEAR_TEXT };
	static char collection[] = "ServiceEventVector";
	struct search_request request = { .kind = kinds[flags >> 2 & 3],
		.scope = (enum search_scope)((flags >> 4 & 3) % 3),
		.organization = "6f1c1c1e-0000-4000-8000-0000000000aa",
		.collection = collection,
		.limit = 3 };

	if (request.kind == SEARCH_NEAR_VECTOR) {
		request.vector = vector;
		request.n_vector = 2;
	} else {
		request.text = text;
	}
	return request;
}

/* The document without what is inside of its strings; what is inside of the first one of unknown content goes to text. */
static void take_apart(const char *document, const char *marker, char *skeleton, char *text)
{
	bool in_string = false, is_ours = false;

	*text = '\0';
	for (const char *p = document; *p; p++) {
		if (!in_string) {
			is_ours = *p == '"' && p - document >= (ptrdiff_t)strlen(marker) &&
				strncmp(p - strlen(marker), marker, strlen(marker)) == 0;
			in_string = *p == '"';
			*skeleton++ = *p;
			continue;
		}
		FUZZ_CHECK((unsigned char)*p >= 0x20);
		if (*p == '"') {
			in_string = false;
			*skeleton++ = *p;
		} else if (!is_ours) {
			*skeleton++ = *p;
		} else if (*p != '\\') {
			*text++ = *p;
		} else if (*++p == 'u') {
			FUZZ_CHECK(strspn(p + 1, "0123456789abcdef") >= 4);
			*text++ = (char)strtoul((char[]){ p[3], p[4], '\0' }, NULL, 16);
			p += 4;
		} else {
			FUZZ_CHECK(*p == '"' || *p == '\\');
			*text++ = *p;
		}
	}
	FUZZ_CHECK(!in_string);
	*skeleton = *text = '\0';
}

static char *graphql_of(const struct search_request *request)
{
	struct strbuf path = STRBUF_INIT, body = STRBUF_INIT;
	cJSON *root;
	char *query;

	wv_query_write(WV_GRAPHQL, request, &path, &body);
	root = cJSON_ParseWithLength(body.data, body.len);
	FUZZ_CHECK(root && cJSON_GetArraySize(root) == 1);
	query = strdup(cJSON_GetStringValue(cJSON_GetObjectItem(root, "query")));
	cJSON_Delete(root);
	strbuf_release(&path);
	strbuf_release(&body);
	return query;
}

static void check_graphql(uint8_t flags, char *text)
{
	float vector[] = { 1.5f, -2e-9f };
	char plain[] = "x";
	struct search_request request = request_of(flags, text, vector),
			      other = request_of(flags, plain, vector);
	const char *marker = request.kind == SEARCH_HYBRID ? "query:" : "concepts:[";
	char *document = graphql_of(&request), *expected = graphql_of(&other);
	char *skeleton = malloc(strlen(document) + 1), *found = malloc(strlen(document) + 1);
	char *other_skeleton = malloc(strlen(expected) + 1), *x = malloc(strlen(expected) + 1);

	take_apart(document, marker, skeleton, found);
	take_apart(expected, marker, other_skeleton, x);
	FUZZ_CHECK(strcmp(skeleton, other_skeleton) == 0);
	FUZZ_CHECK(request.text == NULL || strcmp(found, text) == 0);
	free(document);
	free(expected);
	free(skeleton);
	free(found);
	free(other_skeleton);
	free(x);
}

static void check_rest(uint8_t flags, char *text)
{
	float vector[] = { 1.5f, -2e-9f };
	struct search_request request = request_of(flags, text, vector);
	struct strbuf path = STRBUF_INIT, body = STRBUF_INIT;
	const cJSON *query;
	cJSON *root;

	wv_query_write(WV_REST, &request, &path, &body);
	root = cJSON_ParseWithLength(body.data, body.len);
	FUZZ_CHECK(root != NULL);
	FUZZ_CHECK(cJSON_GetArraySize(root) == 4 + (request.scope != SEARCH_EVERYWHERE));
	query = cJSON_GetObjectItem(root, "query");
	if (request.kind == SEARCH_NEAR_TEXT)
		query = cJSON_GetArrayItem(query, 0);
	if (request.text)
		FUZZ_CHECK(strcmp(cJSON_GetStringValue(query), text) == 0);
	FUZZ_CHECK(strchr(path.data, '"') == NULL);
	cJSON_Delete(root);
	strbuf_release(&path);
	strbuf_release(&body);
}

static void check_answer(uint8_t flags, const char *body, size_t n)
{
	float vector[] = { 1 };
	char text[] = "x";
	struct search_request request = request_of(flags, text, vector);
	struct search_answer answer;
	struct wv_found found;
	cJSON *hits, *hit;

	wv_query_read(flags & 2 ? WV_GRAPHQL : WV_REST, &request, flags & 64 ? 200 : 422, body, n,
		&answer, &found);
	if (answer.outcome == SEARCH_DONE) {
		hits = cJSON_Parse(answer.hits);
		FUZZ_CHECK(cJSON_IsArray(hits));
		FUZZ_CHECK((uint32_t)cJSON_GetArraySize(hits) == answer.n_hits);
		FUZZ_CHECK(answer.n_hits == found.n && found.n <= request.limit);
		cJSON_ArrayForEach(hit, hits)
		{
			FUZZ_CHECK(cJSON_GetArraySize(hit) == 3);
			FUZZ_CHECK(wv_is_id(cJSON_GetStringValue(cJSON_GetArrayItem(hit, 0))));
		}
		for (uint32_t i = 0; i < found.n; i++)
			FUZZ_CHECK(wv_is_id(found.ids[i]));
		cJSON_Delete(hits);
	} else {
		FUZZ_CHECK(answer.why[0] && answer.hits == NULL && found.n == 0);
	}
	search_answer_release(&answer);
	wv_found_release(&found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	char *text;

	if (n < 1)
		return 0;
	if (data[0] & 1) {
		check_answer(data[0], (const char *)data + 1, n - 1);
		return 0;
	}
	if (memchr(data + 1, '\0', n - 1) || !pgw_is_utf8(data + 1, n - 1))
		return 0;
	text = calloc(1, n);
	memcpy(text, data + 1, n - 1);
	if (data[0] & 2)
		check_graphql(data[0], text);
	else
		check_rest(data[0], text);
	free(text);
	return 0;
}
