/* SPDX-License-Identifier: ISC */
/*
 * A set of ids (uuids as bytes) of any size in bounded memory: added in any order, read once, in
 * the order of their bytes, which is PostgreSQL's order of uuids. What memory does not hold goes
 * sorted to an unnamed temporary file (TMPDIR). Owner: the caller; one thread.
 */
#ifndef SERVICE_WV_SEEN_H
#define SERVICE_WV_SEEN_H

#include "base/base.h"

#define WV_SEEN_BYTES 16

struct wv_seen;

struct wv_seen *wv_seen_new(size_t max_bytes); /* of memory; at least one id */
void wv_seen_free(struct wv_seen **seen);
/* 0, or -errno of the temporary file: the set is useless then. Not after wv_seen_sort(). */
int wv_seen_add(struct wv_seen *seen, const uint8_t id[static WV_SEEN_BYTES]) WARN_UNUSED;
int wv_seen_sort(struct wv_seen *seen) WARN_UNUSED;
/*
 * Whether it has id; after wv_seen_sort(). Asked in ascending order only. 1, 0, or -errno.
 */
int wv_seen_has(struct wv_seen *seen, const uint8_t id[static WV_SEEN_BYTES]) WARN_UNUSED;
uint64_t wv_seen_n(const struct wv_seen *seen); /* as often as was added */

#endif
