/* SPDX-License-Identifier: ISC */
/*
 * Classes of Weaviate are held against weaviate_classes before objects are sent: at the start, after each change of the configuration, and when Weaviate has been away.
 * What differs is logged with what to do. Objects of a class that is missing, or would refuse them or store them as something else, are not sent; it is looked
 * at again now and then.
 *
 * Where files or the server's classes cannot be read, that is logged and everything passes: Weaviate refuses what is wrong, too, only later.
 *
 * Owner: the forwarder; everything on the loop's thread.
 */
#ifndef SERVICE_WV_GUARD_H
#define SERVICE_WV_GUARD_H

#include "config/config.h"
#include "service/http.h"

#define WV_GUARD_PERIOD_US 1000000u	   /* while a class does not pass: somebody is about to make it */
#define WV_GUARD_RETRY_PERIOD_US 30000000u /* while the server does not say what it has */

struct wv_guard;

/* looked: the classes were looked at, or that was tried. */
struct wv_guard *wv_guard_new(struct loop *loop, struct http *http, void (*looked)(void *arg), void *arg);
void wv_guard_free(struct wv_guard **guard); /* nulls; NULL is fine */
/* The configuration as of now, referenced; all is read anew, files too. */
void wv_guard_change(struct wv_guard *guard, struct config *config);
void wv_guard_look(struct wv_guard *guard); /* Weaviate was away, and may be another than it was */

bool wv_guard_has_looked(const struct wv_guard *guard); /* false: nothing should be sent yet */
/* NULL: its objects may be sent. Else why not, one line; the guard's until it looks again. */
const char *wv_guard_objection(const struct wv_guard *guard, const char *collection);

#endif
