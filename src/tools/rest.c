/* SPDX-License-Identifier: ISC */
/*
 * Errors of Weaviate come in several shapes; message_of() knows them. An empty answer with status
 * 200 is what a crashed handler of the server gives, so it is none.
 */
#include "tools/rest.h"

#include "base/mem.h"

#include <curl/curl.h>

#define ANSWER_BYTES_MAX ((size_t)1 << 29)
#define CONNECT_TIMEOUT_MS 10000L
#define N_ATTEMPTS 5
#define FIRST_PAUSE_MS 250u
#define MESSAGE_BYTES_MAX 300

struct rest {
	CURL *curl;
	struct curl_slist *headers;
	char *base;
	struct strbuf body, why;
	char curl_error[CURL_ERROR_SIZE];
};

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct rest *rest = arg;

	if (rest->body.len + size * n > ANSWER_BYTES_MAX)
		return 0;
	strbuf_add(&rest->body, bytes, size * n);
	return size * n;
}

static void add_header(struct rest *rest, const char *header)
{
	struct curl_slist *list = curl_slist_append(rest->headers, header);
	MUST(list != NULL); /* no memory */
	rest->headers = list;
}

struct rest *rest_new(const struct config *config)
{
	struct rest *rest = mem_zalloc(sizeof(*rest));

	strbuf_init(&rest->body);
	strbuf_init(&rest->why);
	rest->base = mem_strdup(config->weaviate_url);
	rest->curl = curl_easy_init();
	MUST(rest->curl != NULL);
	add_header(rest, "Content-Type: application/json");
	add_header(rest, "Expect:");
	if (config->weaviate_key != NULL) {
		char *header = mem_printf("Authorization: Bearer %s", config->weaviate_key);
		add_header(rest, header);
		mem_free(header);
	}
	curl_easy_setopt(rest->curl, CURLOPT_HTTPHEADER, rest->headers);
	curl_easy_setopt(rest->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(rest->curl, CURLOPT_WRITEDATA, rest);
	curl_easy_setopt(rest->curl, CURLOPT_ERRORBUFFER, rest->curl_error);
	curl_easy_setopt(rest->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(rest->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(rest->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(rest->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
	curl_easy_setopt(rest->curl, CURLOPT_TIMEOUT_MS, (long)(config->weaviate_timeout_us / 1000));
	if (config->weaviate_ca_file != NULL)
		curl_easy_setopt(rest->curl, CURLOPT_CAINFO, config->weaviate_ca_file);
	return rest;
}

void rest_free(struct rest **rest)
{
	if (*rest == NULL)
		return;
	curl_easy_cleanup((*rest)->curl);
	curl_slist_free_all((*rest)->headers);
	mem_free((*rest)->base);
	strbuf_release(&(*rest)->body);
	strbuf_release(&(*rest)->why);
	mem_free(*rest);
	*rest = NULL;
}

/* {"error":[{"message"}]}, {"message"}; NULL: none of them. */
static const char *message_of(const cJSON *json)
{
	const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, "error"), 0);
	const char *message =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(first, "message"));

	if (message == NULL)
		message = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "message"));
	return message;
}

static const char *advice_for(int status)
{
	switch (status) {
	case REST_NO_ANSWER:
		return "; see weaviate_url";
	case 401:
	case 403:
		return "; see weaviate_api_key, and the rights of its user";
	case 429:
		return "; the server limits requests or objects";
	default:
		return "";
	}
}

static void explain(struct rest *rest, const char *method, const char *path, int status,
	const char *what)
{
	strbuf_reset(&rest->why);
	strbuf_addf(&rest->why, "%s %s%s: ", method, rest->base, path);
	if (status != REST_NO_ANSWER)
		strbuf_addf(&rest->why, "%d: ", status);
	for (size_t i = 0; what[i] != '\0' && i < MESSAGE_BYTES_MAX; i++)
		strbuf_addc(&rest->why, (unsigned char)what[i] < ' ' ? ' ' : what[i]);
	strbuf_adds(&rest->why, advice_for(status));
}

static int call_once(
	struct rest *rest, const char *method, const char *path, const char *body, cJSON **json_r)
{
	char *url = mem_printf("%s%s", rest->base, path);
	long status = REST_NO_ANSWER;

	*json_r = NULL;
	strbuf_reset(&rest->body);
	rest->curl_error[0] = '\0';
	curl_easy_setopt(rest->curl, CURLOPT_URL, url);
	curl_easy_setopt(rest->curl, CURLOPT_HTTPGET, 1L);
	if (body != NULL) {
		curl_easy_setopt(rest->curl, CURLOPT_POST, 1L);
		curl_easy_setopt(rest->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
		curl_easy_setopt(rest->curl, CURLOPT_POSTFIELDS, body);
	}
	curl_easy_setopt(rest->curl, CURLOPT_CUSTOMREQUEST, method);
	CURLcode code = curl_easy_perform(rest->curl);
	mem_free(url);
	if (code != CURLE_OK) {
		explain(rest, method, path, REST_NO_ANSWER,
			rest->curl_error[0] != '\0' ? rest->curl_error : curl_easy_strerror(code));
		return REST_NO_ANSWER;
	}
	curl_easy_getinfo(rest->curl, CURLINFO_RESPONSE_CODE, &status);
	*json_r = cJSON_ParseWithLength(rest->body.data, rest->body.len);
	const char *message = message_of(*json_r);
	explain(rest, method, path, (int)status,
		message != NULL ? message : status < 300 ? "the answer makes no sense" : rest->body.data);
	return (int)status;
}

static bool is_passing(int status)
{
	return status == REST_NO_ANSWER || status == 418 || status == 429 || status == 502 ||
		status == 503 || status == 504;
}

static void pause_ms(unsigned ms)
{
	struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
	while (nanosleep(&time, &time) != 0)
		continue;
}

int rest_call(
	struct rest *rest, const char *method, const char *path, const char *body, cJSON **json_r)
{
	unsigned n = strcmp(method, "POST") == 0 ? 1 : N_ATTEMPTS, ms = FIRST_PAUSE_MS;
	cJSON *json = NULL;
	int status = REST_NO_ANSWER;

	for (unsigned i = 0; i < n; i++, ms *= 2) {
		if (i > 0)
			pause_ms(ms);
		cJSON_Delete(json);
		status = call_once(rest, method, path, body, &json);
		if (!is_passing(status))
			break;
	}
	if (json_r != NULL)
		*json_r = json;
	else
		cJSON_Delete(json);
	return status;
}

cJSON *rest_get(struct rest *rest, const char *path, int *status_r)
{
	cJSON *json;
	int status = rest_call(rest, "GET", path, NULL, &json);

	if (status_r != NULL)
		*status_r = status;
	if (status == 200 && cJSON_IsObject(json))
		return json;
	cJSON_Delete(json);
	return NULL;
}

int rest_probe(struct rest *rest, const char *path)
{
	cJSON *json;
	int status = call_once(rest, "GET", path, NULL, &json);

	cJSON_Delete(json);
	return status;
}

const char *rest_why(const struct rest *rest)
{
	return rest->why.data;
}
