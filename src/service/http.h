/* SPDX-License-Identifier: ISC */
/*
 * HTTP requests on a loop: curl's multi interface over libevent. Nothing here waits: names are
 * looked up by curl's own thread, everything else goes on by events, and each request has a
 * deadline. Connections are kept and used again.
 *
 * Life of a request: http_send() -> done, once, always from the loop and never from within a call of
 * the owner's; or http_cancel(), after which done is not called. The call is gone when done is called;
 * done may send, and cancel others.
 *
 * What is the same for all: certificates and host names are verified, proxies and .netrc of the
 * environment are not looked at, redirects are answers like others, no signals are used.
 *
 * Owner: one thread, that of the loop. A process may have several.
 */
#ifndef SERVICE_HTTP_H
#define SERVICE_HTTP_H

#include "base/strbuf.h"
#include "io/loop.h"

struct http;
struct http_call;

/* All borrowed, for the time of http_send() only, but for the body. */
struct http_request {
	const char *method; /* GET, POST, DELETE … */
	const char *url;    /* the whole of it */
	const char *body;   /* JSON; NULL: none. Borrowed until done or http_cancel() */
	size_t n_body;
	const char *key;     /* goes into Authorization: Bearer; NULL: none */
	const char *ca_file; /* authorities; NULL: the system's */
	uint64_t timeout_us; /* for all of it, to the last byte of the answer */
	/*
	 * Never send it twice: where a connection that was used before ends without an answer, others are sent once more on a new one, which for a write would be a
	 * second one beside the first.
	 */
	bool is_write;
	size_t max_answer_bytes;
};

enum http_result {
	HTTP_ANSWERED,	/* the answer was read to its end, whatever its status */
	HTTP_NOT_SENT,	/* no connection, or no TLS: the server cannot have heard of it */
	HTTP_UNKNOWN,	/* it was sent, or in part, and not answered: perhaps it is carried out yet */
	HTTP_TOO_LARGE, /* answered, with more than max_answer_bytes: status is there, no body */
};

struct http_answer {
	enum http_result result;
	unsigned status; /* 0: none came */
	const char *body; /* never NULL; '\0' behind its end; the callback's only */
	size_t n_body;
	const char *error; /* one line for people, unless HTTP_ANSWERED; the callback's only */
	uint64_t took_us;  /* since http_send() */
};

typedef void http_done(void *arg, const struct http_answer *answer);

struct http *http_new(struct loop *loop);
/* Requests under way are cancelled. Nulls; NULL is fine. */
void http_free(struct http **http);

struct http_call *http_send(struct http *http, const struct http_request *request, http_done *done,
	void *arg);
void http_cancel(struct http_call **call); /* nulls; NULL is fine */

#endif
