/* SPDX-License-Identifier: ISC */
#include "service/http.h"

#include <curl/curl.h>

#include "base/clock.h"
#include "base/mem.h"

#define HTTP_MAGIC 0x48545450u
#define HTTP_CALL_MAGIC 0x48435443u
#define CONNECT_TIMEOUT_MS 5000L
#define CONNECTIONS_KEPT 8L
#define IDLE_CONNECTION_S 5L /* below what servers wait (Weaviate: 10 s): one that closes does not meet our request */

/* One of curl's sockets. */
struct watch {
	LIST_ENTRY(watch) link;
	struct http *http;
	struct event *event;
	short what;
};

struct http {
	uint32_t magic;
	struct loop *loop;
	CURLM *multi;
	struct timer timer;
	struct task kick;  /* curl wants to be called at once: the timer's tick would be a while */
	struct task sweep; /* what has ended is told from here */
	LIST_HEAD(, watch) watches;
	LIST_HEAD(, http_call) calls;
};

struct http_call {
	uint32_t magic;
	LIST_ENTRY(http_call) link;
	struct http *http;
	CURL *easy;
	struct curl_slist *headers;
	struct strbuf answer;
	size_t max_answer_bytes;
	bool is_too_large;
	bool has_head; /* the answer's headers came to their end */
	bool is_sent;
	uint64_t began_us;
	http_done *done;
	void *arg;
	char error[CURL_ERROR_SIZE];
};

/* ---- the end of a call ---- */

static void free_call(struct http_call *call)
{
	LIST_REMOVE(call, link);
	(void)curl_multi_remove_handle(call->http->multi, call->easy);
	curl_easy_cleanup(call->easy);
	for (struct curl_slist *header = call->headers; header; header = header->next)
		explicit_bzero(header->data, strlen(header->data)); /* the key is in one of them */
	curl_slist_free_all(call->headers);
	strbuf_release(&call->answer);
	call->magic = 0;
	mem_free(call);
}

/* A request of which no byte went out cannot have been heard. */
static enum http_result result_of(const struct http_call *call, CURLcode code)
{
	long n_sent = 0;

	/* An end amid the headers is no error to curl. */
	if (code == CURLE_OK)
		return call->has_head ? HTTP_ANSWERED : HTTP_UNKNOWN;
	if (call->is_too_large)
		return HTTP_TOO_LARGE;
	if (call->is_sent)
		return HTTP_UNKNOWN;
	(void)curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &n_sent);
	return n_sent == 0 ? HTTP_NOT_SENT : HTTP_UNKNOWN;
}

static const char *error_of(struct http_call *call, CURLcode code)
{
	if (code == CURLE_OK)
		return call->has_head ? NULL : "the connection ended amid the answer";
	if (call->is_too_large)
		return "the answer is larger than expected";
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return "the connection ended before the answer";
	call->error[strcspn(call->error, "\r\n")] = '\0';
	return call->error[0] ? call->error : curl_easy_strerror(code);
}

static void end_call(struct http_call *call, CURLcode code)
{
	struct http_answer answer = { .result = result_of(call, code) };
	http_done *done = call->done;
	void *arg = call->arg;
	long status = 0;

	(void)curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (answer.result != HTTP_ANSWERED)
		strbuf_reset(&call->answer);
	answer.status = (unsigned)status;
	answer.body = call->answer.data;
	answer.n_body = call->answer.len;
	answer.error = error_of(call, code);
	answer.took_us = clock_mono_us() - call->began_us;
	done(arg, &answer);
	free_call(call);
}

/* A callback may cancel another call that has ended, so each is looked for anew. */
static void on_sweep(struct task *task)
{
	struct http *http = CONTAINER_OF(task, struct http, sweep);
	struct http_call *call;
	CURLMsg *message;
	int n_left;

	CHECK_MAGIC(http, HTTP_MAGIC);
	while ((message = curl_multi_info_read(http->multi, &n_left)) != NULL) {
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		MUST(curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call) ==
			CURLE_OK);
		CHECK_MAGIC(call, HTTP_CALL_MAGIC);
		end_call(call, code);
	}
}

/* ---- curl on the loop ---- */

static void drive(struct http *http, curl_socket_t socket, int what)
{
	int n_running;

	(void)curl_multi_socket_action(http->multi, socket, what, &n_running);
	loop_task(http->loop, &http->sweep, on_sweep);
}

static void on_socket_event(evutil_socket_t fd, short what, void *arg)
{
	struct http *http = arg;

	CHECK_MAGIC(http, HTTP_MAGIC);
	drive(http, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(struct timer *timer)
{
	struct http *http = CONTAINER_OF(timer, struct http, timer);

	CHECK_MAGIC(http, HTTP_MAGIC);
	drive(http, CURL_SOCKET_TIMEOUT, 0);
}

static void on_kick(struct task *task)
{
	struct http *http = CONTAINER_OF(task, struct http, kick);

	CHECK_MAGIC(http, HTTP_MAGIC);
	drive(http, CURL_SOCKET_TIMEOUT, 0);
}

static void free_watch(struct watch *watch)
{
	LIST_REMOVE(watch, link);
	if (watch->event)
		event_free(watch->event);
	mem_free(watch);
}

static void set_watch(struct watch *watch, curl_socket_t fd, short what)
{
	if (watch->event && watch->what == what && event_get_fd(watch->event) == fd)
		return;
	if (watch->event)
		event_free(watch->event);
	watch->what = what;
	watch->event = event_new(
		watch->http->loop->base, fd, (short)(what | EV_PERSIST), on_socket_event, watch->http);
	MUST(watch->event != NULL && event_add(watch->event, NULL) == 0);
}

/* curl: this socket is to be watched so. */
static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct http *http = arg;
	struct watch *watch = socket_arg;

	if (what == CURL_POLL_REMOVE) {
		if (watch)
			free_watch(watch);
		return 0;
	}
	if (watch == NULL) {
		watch = mem_zalloc(sizeof(*watch));
		watch->http = http;
		LIST_INSERT_HEAD(&http->watches, watch, link);
		(void)curl_multi_assign(http->multi, fd, watch);
	}
	set_watch(watch, fd, (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0)));
	return 0;
}

/* curl: call me then; -1: never mind. */
static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http *http = arg;

	timer_stop(&http->timer);
	if (timeout_ms == 0)
		loop_task(http->loop, &http->kick, on_kick);
	else if (timeout_ms > 0)
		loop_timer(http->loop, &http->timer, (uint64_t)timeout_ms * 1000u, on_timer);
	return 0;
}

/* ---- a call ---- */

static size_t on_body(char *bytes, size_t one, size_t n, void *arg)
{
	struct http_call *call = arg;

	CHECK_MAGIC(call, HTTP_CALL_MAGIC);
	if (n > call->max_answer_bytes - call->answer.len) {
		call->is_too_large = true;
		return 0; /* curl gives the transfer up */
	}
	strbuf_add(&call->answer, bytes, n);
	return n;
}

/* One line of the head; the last one is empty. An interim answer (100 …) has a head of its own; trailers belong to none. */
static size_t on_head(char *line, size_t one, size_t n, void *arg)
{
	struct http_call *call = arg;

	CHECK_MAGIC(call, HTTP_CALL_MAGIC);
	if (n >= 5 && memcmp(line, "HTTP/", 5) == 0)
		call->has_head = false;
	else if (n > 0 && (line[0] == '\r' || line[0] == '\n'))
		call->has_head = true;
	return n;
}

/* curl is about to send it, perhaps once more. */
static int on_send(void *arg, char *peer, char *own, int peer_port, int own_port)
{
	struct http_call *call = arg;

	CHECK_MAGIC(call, HTTP_CALL_MAGIC);
	if (call->is_sent)
		return CURL_PREREQFUNC_ABORT;
	call->is_sent = true;
	return CURL_PREREQFUNC_OK;
}

static void add_header(struct http_call *call, const char *header)
{
	struct curl_slist *longer = curl_slist_append(call->headers, header);

	MUST(longer != NULL);
	call->headers = longer;
}

static void add_headers(struct http_call *call, const struct http_request *request)
{
	char *header;

	/* An answer "100 Continue" would be waited for before a large body. */
	add_header(call, "Expect:");
	add_header(call, "Accept: application/json");
	if (request->body)
		add_header(call, "Content-Type: application/json");
	if (request->key == NULL)
		return;
	header = mem_printf("Authorization: Bearer %s", request->key);
	add_header(call, header);
	explicit_bzero(header, strlen(header));
	mem_free(header);
}

#define SET_OPTION(easy, option, value) MUST(curl_easy_setopt(easy, option, value) == CURLE_OK)

static void set_options(struct http_call *call, const struct http_request *request)
{
	CURL *easy = call->easy;
	long timeout_ms = (long)((request->timeout_us + 999) / 1000);

	SET_OPTION(easy, CURLOPT_URL, request->url);
	SET_OPTION(easy, CURLOPT_PRIVATE, call);
	SET_OPTION(easy, CURLOPT_ERRORBUFFER, call->error);
	SET_OPTION(easy, CURLOPT_NOSIGNAL, 1L);
	SET_OPTION(easy, CURLOPT_PROXY, ""); /* none, whatever the environment says */
	SET_OPTION(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	SET_OPTION(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET_OPTION(easy, CURLOPT_USERAGENT, "pglane/" PGLANE_VERSION);
	SET_OPTION(easy, CURLOPT_CUSTOMREQUEST, request->method);
	SET_OPTION(easy, CURLOPT_HTTPHEADER, call->headers);
	SET_OPTION(easy, CURLOPT_CONNECTTIMEOUT_MS, MIN_OF(timeout_ms, CONNECT_TIMEOUT_MS));
	SET_OPTION(easy, CURLOPT_TIMEOUT_MS, timeout_ms);
	SET_OPTION(easy, CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_S);
	SET_OPTION(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	SET_OPTION(easy, CURLOPT_HEADERFUNCTION, on_head);
	SET_OPTION(easy, CURLOPT_HEADERDATA, call);
	SET_OPTION(easy, CURLOPT_WRITEFUNCTION, on_body);
	SET_OPTION(easy, CURLOPT_WRITEDATA, call);
	if (request->is_write) {
		SET_OPTION(easy, CURLOPT_PREREQFUNCTION, on_send);
		SET_OPTION(easy, CURLOPT_PREREQDATA, call);
	}
	if (request->ca_file)
		SET_OPTION(easy, CURLOPT_CAINFO, request->ca_file);
	if (request->body) {
		SET_OPTION(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->n_body);
		SET_OPTION(easy, CURLOPT_POSTFIELDS, request->body);
	}
}

struct http_call *http_send(struct http *http, const struct http_request *request, http_done *done,
	void *arg)
{
	struct http_call *call = mem_zalloc(sizeof(*call));

	CHECK_MAGIC(http, HTTP_MAGIC);
	MUST(request->timeout_us > 0);
	call->magic = HTTP_CALL_MAGIC;
	call->http = http;
	call->max_answer_bytes = request->max_answer_bytes;
	call->began_us = clock_mono_us();
	call->done = done;
	call->arg = arg;
	strbuf_init(&call->answer);
	call->easy = curl_easy_init();
	MUST(call->easy != NULL);
	add_headers(call, request);
	set_options(call, request);
	LIST_INSERT_HEAD(&http->calls, call, link);
	MUST(curl_multi_add_handle(http->multi, call->easy) == CURLM_OK); /* arms the timer */
	return call;
}

void http_cancel(struct http_call **call_p)
{
	struct http_call *call = *call_p;

	*call_p = NULL;
	if (call == NULL)
		return;
	CHECK_MAGIC(call, HTTP_CALL_MAGIC);
	free_call(call);
}

/* ---- life ---- */

struct http *http_new(struct loop *loop)
{
	struct http *http = mem_zalloc(sizeof(*http));

	http->magic = HTTP_MAGIC;
	http->loop = loop;
	LIST_INIT(&http->watches);
	LIST_INIT(&http->calls);
	MUST(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); /* counted: undone by as many */
	http->multi = curl_multi_init();
	MUST(http->multi != NULL);
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
	(void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
	(void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	(void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
	(void)curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	return http;
}

void http_free(struct http **http_p)
{
	struct http *http = *http_p;
	struct http_call *call;
	struct watch *watch;

	*http_p = NULL;
	if (http == NULL)
		return;
	CHECK_MAGIC(http, HTTP_MAGIC);
	while ((call = LIST_FIRST(&http->calls)) != NULL)
		free_call(call);
	(void)curl_multi_cleanup(http->multi);
	while ((watch = LIST_FIRST(&http->watches)) != NULL)
		free_watch(watch);
	timer_stop(&http->timer);
	loop_task_drop(http->loop, &http->kick);
	loop_task_drop(http->loop, &http->sweep);
	curl_global_cleanup();
	http->magic = 0;
	mem_free(http);
}
