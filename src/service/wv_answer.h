/* SPDX-License-Identifier: ISC */
/*
 * What Weaviate's answers to writes mean. They are not to be taken at their word:
 *
 *  - 200 with an empty body is a handler that crashed, and nothing may have been stored;
 *  - a batch whose answer is not an array with exactly our ids, in our order, says nothing;
 *  - in many versions a shard that has become read-only stores nothing, and yet only one object of the batch says so, while the others are
 *    SUCCESS: one such object speaks for all;
 *  - SUCCESS beside errors is none.
 *
 * Pure; any thread.
 */
#ifndef SERVICE_WV_ANSWER_H
#define SERVICE_WV_ANSWER_H

#include "service/http.h"

enum wv_outcome {
	WV_DONE,
	WV_RETRY,   /* not stored, which counts as an attempt; later it may be */
	WV_PARK,    /* not stored, and never will be as it is */
	/* The following are about a whole request, never about one object of a batch. */
	WV_SPLIT,   /* somebody in the batch is to blame: send fewer. For a single object it never comes */
	WV_STORE,   /* the server can store nothing now: nobody is to blame, all stays as it was */
	WV_REFUSED, /* the server does not want us: somebody has to change a key or a right */
	WV_UNKNOWN, /* perhaps it is stored yet: nothing of it may be sent again before weaviate_write_timeout */
};

#define WV_TEXT_BYTES 240u

/* text: "reason: what the server said", printable ASCII; "" with WV_DONE. The reasons are few: SHOW OUTBOX counts by them. */
struct wv_verdict {
	enum wv_outcome outcome;
	char text[WV_TEXT_BYTES];
	unsigned n_dimensions; /* of the vector that was stored, as far as the answer shows it; 0: not known */
};

/*
 * The answer to a batch of n objects with these ids. WV_DONE: it could be read, and each object has its verdict; else what is true for all.
 */
struct wv_verdict wv_read_batch(const struct http_answer *answer, unsigned n, const char *const *ids, struct wv_verdict *verdicts_r);
/* The answer to the DELETE of one object: that it is not there is what was wanted. */
struct wv_verdict wv_read_delete(const struct http_answer *answer);
/*
 * The answer to the DELETE of n objects by their ids. WV_DONE: it could be read, and says of those objects whose verdict is WV_DONE that they were there and
 * are gone; the others' is WV_SPLIT: what a filter did not find may be there all the same, and is to be deleted by itself. Else what is true for all.
 */
struct wv_verdict wv_read_deletes(const struct http_answer *answer, unsigned n, const char *const *ids, struct wv_verdict *verdicts_r);
/* The answer to anything else, by its status alone: 2xx is WV_DONE, and 404 is WV_PARK. */
struct wv_verdict wv_read_status(const struct http_answer *answer);
/* A verdict of our own about an object. */
struct wv_verdict wv_verdict(enum wv_outcome outcome, const char *reason, const char *text);

#endif
