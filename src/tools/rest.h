/* SPDX-License-Identifier: ISC */
/*
 * Weaviate by HTTP for a program that has nothing else to do: a call waits for its answer. What can
 * be repeated without harm (GET, DELETE) is, while the server is busy or away, for a few seconds.
 * Owner: the caller; one thread.
 */
#ifndef TOOLS_REST_H
#define TOOLS_REST_H

#include "config/config.h"

#include <cjson/cJSON.h>

#define REST_NO_ANSWER 0 /* in place of a status: nothing came, or nothing that makes sense */

struct rest;

struct rest *rest_new(const struct config *config);
void rest_free(struct rest **rest);

/*
 * path: "/v1/...", all of it fit for a URL. body: JSON, or NULL. The answer's status; json_r (may be
 * NULL) is its JSON, the caller's to delete, or NULL when it has none. Where the status is not what
 * the caller hoped for, rest_why() tells in words.
 */
int rest_call(
	struct rest *rest, const char *method, const char *path, const char *body, cJSON **json_r);
/* GET of JSON: only 200 with an object in it is an answer, else NULL (status_r may be NULL). */
cJSON *rest_get(struct rest *rest, const char *path, int *status_r);
/* The same once, without patience: for asking whether a server is there. */
int rest_probe(struct rest *rest, const char *path);

/* What the last call came to: "GET URL: 422: class X not found", and what to do if that is known. */
const char *rest_why(const struct rest *rest);

#endif
