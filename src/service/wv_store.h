/* SPDX-License-Identifier: ISC */
/*
 * Does Weaviate take objects now? When a request shows that it does not, nothing more is sent: after a while, which doubles up to half a minute and has jitter,
 * it is asked whether it is ready, and only then writes go on. Where it refuses us (401, 403) it is asked once a minute, and at once after a change of the
 * configuration.
 *
 * Owner: the forwarder; everything on the loop's thread.
 */
#ifndef SERVICE_WV_STORE_H
#define SERVICE_WV_STORE_H

#include "config/config.h"
#include "service/http.h"
#include "service/wv_answer.h"

#define WV_STORE_RETRY_MIN_US 250000u
#define WV_STORE_RETRY_MAX_US 30000000u
#define WV_STORE_REFUSED_US 60000000u

struct wv_store;

struct wv_store *wv_store_new(struct loop *loop, struct http *http, void (*works_again)(void *arg), void *arg);
void wv_store_free(struct wv_store **store); /* nulls; NULL is fine */
/* The configuration as of now, referenced; what was wrong may be right. */
void wv_store_change(struct wv_store *store, struct config *config);
bool wv_store_works(const struct wv_store *store);
bool wv_store_refuses(const struct wv_store *store); /* us, rather than everybody */
const char *wv_store_trouble(const struct wv_store *store); /* "" while it works */
uint64_t wv_store_n_errors(const struct wv_store *store); /* writes that came to WV_STORE, WV_REFUSED, WV_UNKNOWN, and probes that failed */
/* What a write came to: WV_STORE, WV_REFUSED and WV_UNKNOWN stop the others. */
void wv_store_note(struct wv_store *store, const struct wv_verdict *verdict);

#endif
