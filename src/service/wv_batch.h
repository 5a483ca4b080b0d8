/* SPDX-License-Identifier: ISC */
/*
 * The bodies of POST /v1/batch/objects, and of its DELETE. What PostgreSQL gives as JSON goes in as it is: a number that is read and written again may not be the
 * same. Pure; any thread.
 */
#ifndef SERVICE_WV_BATCH_H
#define SERVICE_WV_BATCH_H

#include "base/strbuf.h"

struct wv_object {
	const char *collection, *id;
	const char *properties; /* a JSON object */
	const char *vector;	/* a JSON array of numbers; NULL: none, or Weaviate makes it */
	const char *tenant;	/* NULL: the collection has none */
};

struct wv_batch {
	struct strbuf body; /* whole after wv_batch_finish() */
	unsigned n;
	/* Not to be exceeded; set by wv_batch_init(). */
	unsigned max_objects;
	size_t max_bytes;
};

void wv_batch_init(struct wv_batch *batch, unsigned max_objects, size_t max_bytes);
void wv_batch_release(struct wv_batch *batch);
/* false: there is no room for it, and nothing was added; in an empty batch: it is too large for any. */
bool wv_batch_add(struct wv_batch *batch, const struct wv_object *object) WARN_UNUSED;
void wv_batch_finish(struct wv_batch *batch);

/* The body of DELETE /v1/batch/objects: those objects of a class with one of n ids, each named in the answer. */
void wv_deletion(struct strbuf *out, const char *collection, unsigned n, const char *const *ids);

/* Appends text between double quotes. It must be UTF-8, as what PostgreSQL gives is. */
void wv_add_string(struct strbuf *out, const char *text);

#define WV_DIMENSIONS_MAX 65535u

/*
 * Is text a JSON array of 1 to WV_DIMENSIONS_MAX numbers that a float holds? The number of them; 0: it is not, and *why_r says what is wrong.
 */
unsigned wv_vector_dimensions(const char *text, const char **why_r);

#endif
