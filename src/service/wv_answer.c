/* SPDX-License-Identifier: ISC */
#include "service/wv_answer.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

/* ---- texts ---- */

/* PostgreSQL takes no broken UTF-8, and a log no line ends. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = *text == '\n' || *text == '\r' || *text == '\t' ? ' ' : '?';
}

struct wv_verdict wv_verdict(enum wv_outcome outcome, const char *reason, const char *text)
{
	struct wv_verdict verdict = { .outcome = outcome };

	if (reason)
		(void)snprintf(verdict.text, sizeof(verdict.text), "%s: %s", reason, text);
	make_printable(verdict.text);
	return verdict;
}

static const char *string_of(const cJSON *json, const char *key)
{
	return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
}

/* {"error":[{"message":…}]}, one or several; NULL: none. */
static const char *message_of_list(const cJSON *json)
{
	return string_of(cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "error"), 0), "message");
}

/* Handlers, the layer above them and limits each have a shape of their own; what is in front of the server may say anything. */
static struct wv_verdict refusal(enum wv_outcome outcome, const char *reason, const struct http_answer *answer)
{
	cJSON *json = cJSON_ParseWithLength(answer->body, answer->n_body);
	const char *message = message_of_list(json);
	char text[WV_TEXT_BYTES];

	if (message == NULL)
		message = string_of(json, "message");
	if (message == NULL)
		message = answer->n_body ? answer->body : "no reason given";
	(void)snprintf(text, sizeof(text), "%u %s", answer->status, message);
	cJSON_Delete(json);
	return wv_verdict(outcome, reason, text);
}

/* ---- statuses ---- */

/* About a request as a whole, unless it is 2xx. */
static struct wv_verdict read_status(const struct http_answer *answer)
{
	switch (answer->status) {
	case 401:
	case 403:
		return refusal(WV_REFUSED, "permission", answer);
	case 404:
		return refusal(WV_PARK, "collection", answer);
	case 413:
		return refusal(WV_PARK, "size", answer);
	case 408: /* the server waited for the end of the request */
	case 418: /* maintenance */
	case 425:
	case 429:
	case 503:
		return refusal(WV_STORE, "server", answer);
	case 500:
		return refusal(WV_RETRY, "server", answer);
	case 502: /* whoever stands in front of the server does not know either */
	case 504:
		return refusal(WV_UNKNOWN, "timeout", answer);
	default:
		break;
	}
	if (answer->status >= 500)
		return refusal(WV_STORE, "server", answer);
	return refusal(WV_PARK, "rejected", answer);
}

/* WV_DONE: there is an answer, with a status of 2xx. */
struct wv_verdict wv_read_status(const struct http_answer *answer)
{
	switch (answer->result) {
	case HTTP_NOT_SENT:
		return wv_verdict(WV_STORE, "server", answer->error);
	case HTTP_UNKNOWN:
		return wv_verdict(WV_UNKNOWN, "timeout", answer->error);
	case HTTP_TOO_LARGE:
		return wv_verdict(WV_RETRY, "answer", answer->error);
	case HTTP_ANSWERED:
		break;
	}
	if (answer->status < 200 || answer->status > 299)
		return read_status(answer);
	return wv_verdict(WV_DONE, NULL, NULL);
}

struct wv_verdict wv_read_delete(const struct http_answer *answer)
{
	struct wv_verdict verdict;

	if (answer->result == HTTP_ANSWERED && answer->status == 404)
		return wv_verdict(WV_DONE, NULL, NULL);
	verdict = wv_read_status(answer);
	if (verdict.outcome == WV_DONE && answer->status != 204) /* 200 and nothing: a handler of the server crashed */
		return wv_verdict(WV_RETRY, "answer", "a deletion is told by 204, and it said something else");
	return verdict;
}

/* ---- a batch's objects ---- */

/* What the server says about one object, by a piece of it. */
static const struct {
	const char *piece;
	enum wv_outcome outcome;
	const char *reason;
} sayings[] = {
	{ "read-only", WV_STORE, "server" },
	{ "read only", WV_STORE, "server" },
	{ "readonly", WV_STORE, "server" },
	{ "maintenance mode", WV_STORE, "server" },
	{ "not enough memory", WV_RETRY, "server" },
	{ "context deadline", WV_RETRY, "timeout" },
	{ "tenant not found", WV_PARK, "tenant" },
	{ "not present in schema", WV_PARK, "collection" },
	{ "vector with length", WV_PARK, "vector" },
	{ "vector lengths", WV_PARK, "vector" },
	{ "no such prop", WV_PARK, "rejected" },
	{ "requires an integer", WV_PARK, "rejected" },
	{ "RFC3339", WV_PARK, "rejected" },
};

static struct wv_verdict verdict_on(const char *message)
{
	for (size_t i = 0; i < N_ELEMENTS(sayings); i++)
		if (strcasestr(message, sayings[i].piece))
			return wv_verdict(sayings[i].outcome, sayings[i].reason, message);
	return wv_verdict(WV_RETRY, "rejected", message); /* such as an embedder's troubles */
}

/* errors may be there and hold nothing. */
static bool has_errors(const cJSON *result)
{
	const cJSON *errors = cJSON_GetObjectItemCaseSensitive(result, "errors");

	return errors && !cJSON_IsNull(errors) && !(cJSON_IsObject(errors) && errors->child == NULL);
}

static struct wv_verdict read_object(const cJSON *object)
{
	const cJSON *result = cJSON_GetObjectItemCaseSensitive(object, "result");
	const char *status = string_of(result, "status"), *message;
	struct wv_verdict verdict = wv_verdict(WV_DONE, NULL, NULL);
	int n_dimensions;

	if (has_errors(result)) {
		message = message_of_list(cJSON_GetObjectItemCaseSensitive(result, "errors"));
		return verdict_on(message ? message : "no reason given");
	}
	if (status == NULL || strcmp(status, "SUCCESS") != 0)
		return verdict_on(status ? status : "no status");
	n_dimensions = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(object, "vector"));
	verdict.n_dimensions = n_dimensions > 0 ? (unsigned)n_dimensions : 0;
	return verdict;
}

static struct wv_verdict read_objects(const cJSON *json, unsigned n, const char *const *ids, struct wv_verdict *verdicts_r)
{
	const cJSON *object;
	unsigned i = 0;

	if (!cJSON_IsArray(json) || cJSON_GetArraySize(json) != (int)n)
		return wv_verdict(WV_RETRY, "answer", "it is not about our objects: other than an array of as many");
	cJSON_ArrayForEach(object, json)
	{
		const char *id = string_of(object, "id");

		if (id == NULL || strcmp(id, ids[i]) != 0)
			return wv_verdict(WV_RETRY, "answer", "it is not about our objects: another id");
		verdicts_r[i++] = read_object(object);
	}
	for (i = 0; i < n; i++)
		if (verdicts_r[i].outcome == WV_STORE)
			return verdicts_r[i];
	return wv_verdict(WV_DONE, NULL, NULL);
}

/* What is wrong with a batch as a whole may be wrong with one of its objects only. */
static struct wv_verdict split_if_many(struct wv_verdict verdict, unsigned n)
{
	if (n > 1 && (verdict.outcome == WV_RETRY || verdict.outcome == WV_PARK))
		verdict.outcome = WV_SPLIT;
	return verdict;
}

struct wv_verdict wv_read_batch(const struct http_answer *answer, unsigned n, const char *const *ids, struct wv_verdict *verdicts_r)
{
	struct wv_verdict verdict = wv_read_status(answer);
	cJSON *json;

	if (verdict.outcome != WV_DONE)
		return split_if_many(verdict, n);
	if (answer->n_body == 0)
		return split_if_many(wv_verdict(WV_RETRY, "answer", "it is empty: a handler of the server crashed"), n);
	json = cJSON_ParseWithLength(answer->body, answer->n_body);
	verdict = split_if_many(read_objects(json, n, ids, verdicts_r), n);
	cJSON_Delete(json);
	return verdict;
}

/* ---- many deletions ---- */

/* One of ids, or n. */
static unsigned find_id(const char *id, unsigned n, const char *const *ids)
{
	unsigned i = 0;

	while (i < n && (id == NULL || strcmp(ids[i], id) != 0))
		i++;
	return i;
}

/* WV_STORE when the server says of one that it can change nothing now. */
static struct wv_verdict read_deleted(const cJSON *objects, unsigned n, const char *const *ids, struct wv_verdict *verdicts_r)
{
	struct wv_verdict done = wv_verdict(WV_DONE, NULL, NULL), verdict;
	const cJSON *object;

	cJSON_ArrayForEach(object, objects)
	{
		unsigned i = find_id(string_of(object, "id"), n, ids);
		const char *status = string_of(object, "status"), *message = NULL;

		if (i == n)
			return wv_verdict(WV_SPLIT, "answer", "it is about an object that was not to be deleted");
		if (has_errors(object)) {
			message = message_of_list(cJSON_GetObjectItemCaseSensitive(object, "errors"));
			verdict = verdict_on(message ? message : "no reason given");
			if (verdict.outcome == WV_STORE)
				return verdict;
		} else if (status && strcmp(status, "SUCCESS") == 0) {
			verdicts_r[i] = done;
		}
	}
	return done;
}

struct wv_verdict wv_read_deletes(const struct http_answer *answer, unsigned n, const char *const *ids, struct wv_verdict *verdicts_r)
{
	struct wv_verdict verdict = wv_read_status(answer);
	const cJSON *results;
	cJSON *json;

	for (unsigned i = 0; i < n; i++)
		verdicts_r[i] = wv_verdict(WV_SPLIT, "answer", "it was not found among many");
	if (verdict.outcome == WV_DONE) {
		json = cJSON_ParseWithLength(answer->body, answer->n_body);
		results = cJSON_GetObjectItemCaseSensitive(json, "results");
		verdict = cJSON_IsObject(results) && !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "dryRun"))
			? read_deleted(cJSON_GetObjectItemCaseSensitive(results, "objects"), n, ids, verdicts_r)
			: wv_verdict(WV_SPLIT, "answer", "it does not say what was deleted");
		cJSON_Delete(json);
	}
	return split_if_many(verdict, 2);
}
