/* SPDX-License-Identifier: ISC */
/* Requests as the reference has them, answers read strictly. */
#include "service/wv_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define ORGANIZATION "6f1c1c1e-0000-4000-8000-0000000000aa"
#define OBJECT "11111111-2222-5333-8444-555555555555"
#define ROW "6f1c1c1e-0000-4000-8000-0000000000e1"

static char collection[] = "ServiceEventVector";
static float vector[] = { 0.25f, -0.5f, 0.125f };
static char overflow[] = "overflow \"bin\"\n\\";

static struct search_request near_vector(void)
{
	return (struct search_request){ .kind = SEARCH_NEAR_VECTOR, .collection = collection,
		.vector = vector, .n_vector = 3, .limit = 50 };
}

static struct search_request text_of(enum search_kind kind)
{
	return (struct search_request){ .kind = kind, .collection = collection, .text = overflow, .limit = 50 };
}

static void assert_writes(enum wv_interface interface, const struct search_request *request,
	const char *path, const char *body)
{
	struct strbuf path_of = STRBUF_INIT, body_of = STRBUF_INIT;

	wv_query_write(interface, request, &path_of, &body_of);
	assert_string_equal(path_of.data, path);
	assert_string_equal(body_of.data, body);
	strbuf_release(&path_of);
	strbuf_release(&body_of);
}

static void within(struct search_request *request, enum search_scope scope)
{
	request->scope = scope;
	memcpy(request->organization, ORGANIZATION, sizeof(ORGANIZATION));
}

static void writes_rest(void **state)
{
	struct search_request request = near_vector();

	(void)state;
	assert_writes(WV_REST, &request, "/v1/search/ServiceEventVector/near-vector",
		"{\"vector\":[0.25,-0.5,0.125],\"limit\":50,\"returnProperties\":[\"postgresqlId\"],\"returnMetadata\":[\"distance\"]}");
	within(&request, SEARCH_FILTERED);
	request.has_max_distance = true;
	request.max_distance = 0.2;
	assert_writes(WV_REST, &request, "/v1/search/ServiceEventVector/near-vector",
		"{\"vector\":[0.25,-0.5,0.125],\"limit\":50,\"distance\":0.2,"
		"\"where\":{\"path\":[\"organizationId\"],\"operator\":\"Equal\",\"valueText\":\"" ORGANIZATION "\"},"
		"\"returnProperties\":[\"postgresqlId\"],\"returnMetadata\":[\"distance\"]}");
	request = text_of(SEARCH_NEAR_TEXT);
	within(&request, SEARCH_IN_TENANT);
	assert_writes(WV_REST, &request, "/v1/search/ServiceEventVector/near-text",
		"{\"query\":[\"overflow \\\"bin\\\"\\u000a\\\\\"],\"limit\":50,\"tenant\":\"" ORGANIZATION "\","
		"\"returnProperties\":[\"postgresqlId\"],\"returnMetadata\":[\"distance\"]}");
	request = text_of(SEARCH_HYBRID);
	assert_writes(WV_REST, &request, "/v1/search/ServiceEventVector/hybrid",
		"{\"query\":\"overflow \\\"bin\\\"\\u000a\\\\\",\"limit\":50,\"returnProperties\":[\"postgresqlId\"],\"returnMetadata\":[\"score\"]}");
}

static void writes_graphql(void **state)
{
	struct search_request request = near_vector();

	(void)state;
	assert_writes(WV_GRAPHQL, &request, "/v1/graphql",
		"{\"query\":\"{Get{ServiceEventVector(limit:50,nearVector:{vector:[0.25,-0.5,0.125]})"
		"{postgresqlId _additional{id distance}}}}\"}");
	request = text_of(SEARCH_NEAR_TEXT);
	within(&request, SEARCH_FILTERED);
	request.has_max_distance = true;
	request.max_distance = 1;
	assert_writes(WV_GRAPHQL, &request, "/v1/graphql",
		"{\"query\":\"{Get{ServiceEventVector(limit:50,nearText:{concepts:[\\\"overflow \\\\\\\"bin\\\\\\\"\\\\u000a\\\\\\\\\\\"],distance:1},"
		"where:{path:[\\\"organizationId\\\"],operator:Equal,valueText:\\\"" ORGANIZATION "\\\"}){postgresqlId _additional{id distance}}}}\"}");
	request = text_of(SEARCH_HYBRID);
	within(&request, SEARCH_IN_TENANT);
	assert_writes(WV_GRAPHQL, &request, "/v1/graphql",
		"{\"query\":\"{Get{ServiceEventVector(limit:50,tenant:\\\"" ORGANIZATION "\\\",hybrid:{query:\\\"overflow \\\\\\\"bin\\\\\\\"\\\\u000a\\\\\\\\\\\"})"
		"{postgresqlId _additional{id score}}}}\"}");
}

static struct search_answer read_answer(enum wv_interface interface, const struct search_request *request, long status,
	const char *body, uint32_t n_found)
{
	struct search_answer answer;
	struct wv_found found;

	wv_query_read(interface, request, status, body, strlen(body), &answer, &found);
	assert_int_equal(found.n, n_found);
	if (n_found)
		assert_string_equal(found.ids[0], OBJECT);
	wv_found_release(&found);
	return answer;
}

static void assert_hits(enum wv_interface interface, const char *body, uint32_t n, const char *hits)
{
	struct search_request request = near_vector();
	struct search_answer answer = read_answer(interface, &request, 200, body, n);

	assert_int_equal(answer.outcome, SEARCH_DONE);
	assert_int_equal(answer.n_hits, n);
	assert_string_equal(answer.hits, hits);
	search_answer_release(&answer);
}

static void reads_hits(void **state)
{
	(void)state;
	assert_hits(WV_REST, "{\"results\":[],\"tookMs\":1}", 0, "[]");
	assert_hits(WV_REST,
		"{\"results\":[{\"id\":\"" OBJECT "\",\"properties\":{\"postgresqlId\":\"" ROW "\"},\"metadata\":{\"distance\":0.12}},"
		"{\"id\":\"" OBJECT "\"}],\"tookMs\":3}",
		2, "[[\"" ROW "\",0.12,null],[\"" OBJECT "\",null,null]]");
	assert_hits(WV_GRAPHQL,
		"{\"data\":{\"Get\":{\"ServiceEventVector\":[{\"postgresqlId\":\"6F1C1C1E-0000-4000-8000-0000000000E1\","
		"\"_additional\":{\"id\":\"" OBJECT "\",\"distance\":1e-7,\"score\":\"0.75\"}},"
		"{\"postgresqlId\":null,\"_additional\":{\"id\":\"" OBJECT "\",\"score\":\"much\"}}]}}}",
		2, "[[\"" ROW "\",1e-07,0.75],[\"" OBJECT "\",null,null]]");
}

static void gives_no_more_than_was_asked_for(void **state)
{
	struct search_request request = near_vector();
	struct search_answer answer;

	(void)state;
	request.limit = 1;
	answer = read_answer(WV_REST, &request, 200, "{\"results\":[{\"id\":\"" OBJECT "\"},{\"id\":\"" ROW "\"}]}", 1);
	assert_string_equal(answer.hits, "[[\"" OBJECT "\",null,null]]");
	search_answer_release(&answer);
}

static void tells_failures(void **state)
{
	static const struct {
		enum wv_interface interface;
		long status;
		const char *body;
		enum search_outcome outcome;
		const char *why;
	} cases[] = {
		{ WV_REST, 200, "", SEARCH_UNAVAILABLE, "its answer is empty" },
		{ WV_REST, 200, "<html>", SEARCH_UNAVAILABLE, "its answer is no JSON" },
		{ WV_REST, 200, "{}", SEARCH_UNAVAILABLE, "its answer has no list of hits" },
		{ WV_REST, 200, "{\"results\":[{}]}", SEARCH_UNAVAILABLE, "a hit has no id that is a uuid" },
		{ WV_REST, 200, "{\"results\":[{\"id\":\"" OBJECT "\",\"properties\":{\"postgresqlId\":\"7\"}}]}", SEARCH_UNAVAILABLE,
			"a hit's postgresqlId is no uuid" },
		{ WV_REST, 404, "{\"error\":[{\"message\":\"collection X not found\"}]}", SEARCH_UNKNOWN_COLLECTION, "HTTP 404: collection X not found" },
		{ WV_REST, 404, "{\"code\":404,\"message\":\"path /v1/search was not found\"}", SEARCH_UNAVAILABLE, "HTTP 404: path /v1/search was not found" },
		{ WV_REST, 422, "{\"error\":[{\"message\":\"vector\\nlength\"}]}", SEARCH_REFUSED, "HTTP 422: vector length" },
		{ WV_REST, 422, "{\"error\":[{\"message\":\"rest search api is disabled\"}]}", SEARCH_UNAVAILABLE, "HTTP 422: rest search api is disabled" },
		{ WV_REST, 401, "{\"code\":401,\"message\":\"invalid api key\"}", SEARCH_UNAVAILABLE, "HTTP 401: invalid api key" },
		{ WV_REST, 502, "", SEARCH_UNAVAILABLE, "HTTP 502: it says no more about it" },
		{ WV_REST, 404, "{\"error\":[{\"message\":\"tenant not found: x\"}]}", SEARCH_UNKNOWN_COLLECTION, "HTTP 404: tenant not found: x" },
		{ WV_GRAPHQL, 200, "{\"data\":{\"Get\":{\"ServiceEventVector\":[]}},\"errors\":[{\"message\":\"429 Too many requests\"}]}", SEARCH_UNAVAILABLE,
			"HTTP 200: 429 Too many requests" },
		{ WV_GRAPHQL, 200, "{\"errors\":[{\"message\":\"Cannot query field \\\"X\\\" on type \\\"GetObjectsObj\\\".\"}]}", SEARCH_UNKNOWN_COLLECTION,
			"HTTP 200: Cannot query field \"X\" on type \"GetObjectsObj\"." },
		{ WV_GRAPHQL, 200, "{\"errors\":[{\"message\":\"Unknown argument \\\"nearText\\\"\"}]}", SEARCH_REFUSED, "HTTP 200: Unknown argument \"nearText\"" },
		{ WV_GRAPHQL, 200, "{\"errors\":[]}", SEARCH_UNAVAILABLE, "HTTP 200: it says no more about it" },
		{ WV_GRAPHQL, 200, "{\"data\":{\"Get\":{\"Other\":[]}}}", SEARCH_UNAVAILABLE, "its answer has no list of hits" },
	};
	struct search_request request = near_vector();

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		struct search_answer answer = read_answer(cases[i].interface, &request, cases[i].status, cases[i].body, 0);

		assert_string_equal(answer.why, cases[i].why);
		assert_int_equal(answer.outcome, cases[i].outcome);
		assert_null(answer.hits);
	}
}

static void an_unknown_tenant_has_no_hits(void **state)
{
	struct search_request request = near_vector();
	struct search_answer answer;

	(void)state;
	within(&request, SEARCH_IN_TENANT);
	answer = read_answer(WV_REST, &request, 404, "{\"error\":[{\"message\":\"tenant not found: \\\"x\\\"\"}]}", 0);
	assert_int_equal(answer.outcome, SEARCH_DONE);
	assert_string_equal(answer.hits, "[]");
	search_answer_release(&answer);
}

static void long_reasons_are_cut(void **state)
{
	struct search_request request = near_vector();
	struct strbuf body = STRBUF_INIT;
	struct search_answer answer;

	(void)state;
	strbuf_adds(&body, "{\"error\":[{\"message\":\"");
	for (unsigned i = 0; i < 1000; i++)
		strbuf_adds(&body, "ab");
	strbuf_adds(&body, "\"}]}");
	answer = read_answer(WV_REST, &request, 500, body.data, 0);
	assert_int_equal(strlen(answer.why), SEARCH_WHY_BYTES - 1);
	strbuf_release(&body);
}

static void chooses_by_version(void **state)
{
	static const struct {
		const char *version;
		bool ok;
		enum wv_interface interface;
	} cases[] = { { "1.21.2", true, WV_GRAPHQL }, { "1.39.11", true, WV_GRAPHQL }, { "1.40.0", true, WV_REST }, { "1.40.1-rc.0", true, WV_REST },
		{ "1.100.0", true, WV_REST }, { "2.0.0", true, WV_REST }, { "", false, WV_REST }, { "v1.40", false, WV_REST }, { "1", false, WV_REST },
		{ "1.x", false, WV_REST } };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		enum wv_interface interface = WV_REST;

		assert_int_equal(wv_interface_of(cases[i].version, &interface), cases[i].ok);
		assert_int_equal(interface, cases[i].interface);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_rest),
		cmocka_unit_test(writes_graphql),
		cmocka_unit_test(reads_hits),
		cmocka_unit_test(gives_no_more_than_was_asked_for),
		cmocka_unit_test(tells_failures),
		cmocka_unit_test(an_unknown_tenant_has_no_hits),
		cmocka_unit_test(long_reasons_are_cut),
		cmocka_unit_test(chooses_by_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
