/* SPDX-License-Identifier: ISC */
/*
 * How a class that a server has differs from the class that a file wants. Only what changes the
 * meaning of objects or of searches counts: vectorizer with its model and dimensions, distance,
 * tenancy, types and indexes of properties. What a server has beyond that is its own affair, and
 * so are settings of speed. Pure; any thread.
 */
#ifndef SERVICE_WV_SCHEMA_H
#define SERVICE_WV_SCHEMA_H

#include "service/wv_class.h"

enum wv_difference_kind {
	WV_CLASS_MISSING,    /* POST /v1/schema with the file makes it */
	WV_PROPERTY_MISSING, /* POST /v1/schema/{class}/properties adds it */
	WV_UNCHANGEABLE,     /* the server cannot change this in a class that exists */
};

struct wv_difference {
	enum wv_difference_kind kind;
	const struct wv_class *class;
	const cJSON *property; /* of the file, when one is missing */
	bool stops;	       /* objects would be refused, or stored as something else than is wanted */
	char *text;	       /* one line: what is and what is wanted */
};

struct wv_differences {
	struct wv_difference *items;
	unsigned n;
};

/* found: the server's class, as GET /v1/schema/{class} gives it; NULL: it has none. Appends. */
void wv_schema_compare(
	const struct wv_class *wanted, const cJSON *found, struct wv_differences *differences);

/*
 * Every class that is wanted against the answer of GET /v1/schema. false: the answer is none, and
 * nothing was appended.
 */
bool wv_schema_compare_all(const struct wv_classes *wanted, const char *answer, size_t n,
	struct wv_differences *differences) WARN_UNUSED;

/* Vectors of an object of the class have as many dimensions as this; 0: the class does not say. */
unsigned wv_schema_dimensions(const cJSON *class);

const char *wv_difference_advice(enum wv_difference_kind kind); /* what to do */
void wv_differences_release(struct wv_differences *differences);

#endif
