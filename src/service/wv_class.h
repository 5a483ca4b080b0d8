/* SPDX-License-Identifier: ISC */
/*
 * Classes of Weaviate as the files of a directory want them (conf/weaviate): one class as JSON in
 * each, in the form that POST /v1/schema takes. What the server would refuse, or take and mean
 * something else by, is a fault of the file here. Owner: whoever declared the struct. Any thread.
 */
#ifndef SERVICE_WV_CLASS_H
#define SERVICE_WV_CLASS_H

#include "base/base.h"
#include "base/strbuf.h"

#include <cjson/cJSON.h>

struct wv_class {
	char *name;
	char *file;
	cJSON *json;
};

struct wv_classes {
	struct wv_class *items; /* sorted by name */
	unsigned n;
};

/*
 * Reads every *.json of the directory. false: faults has one line for each fault, "FILE:LINE: what
 * is wrong; what would be right", and classes is empty.
 */
bool wv_classes_load(
	const char *directory, struct wv_classes *classes, struct strbuf *faults) WARN_UNUSED;
void wv_classes_release(struct wv_classes *classes);
struct wv_class *wv_classes_find(const struct wv_classes *classes, const char *name); /* or NULL */

/* One class of a text. false: faults says why, and class is empty. */
bool wv_class_parse(const char *file, const char *text, struct wv_class *class,
	struct strbuf *faults) WARN_UNUSED;
void wv_class_release(struct wv_class *class);

/* From here on the class wants a shard for each tenant, or one for all. */
void wv_class_set_tenants(struct wv_class *class, bool enabled);

#endif
