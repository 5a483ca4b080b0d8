/* SPDX-License-Identifier: ISC */
/*
 * Whether the properties that a server has of an object are those that were sent. By value, in the
 * sense of each property's type in the class: a place is a float32, a date is an instant whatever
 * its spelling, a uuid has no case, null and absent are the same. Pure; any thread.
 */
#ifndef SERVICE_WV_CONTENT_H
#define SERVICE_WV_CONTENT_H

#include "base/base.h"
#include "base/strbuf.h"

#include <cjson/cJSON.h>

/*
 * sent, found: the objects' "properties"; NULL is none. class: as a file has it. false: the first
 * property that differs and how is appended to why.
 */
bool wv_content_equals(const cJSON *class, const cJSON *sent, const cJSON *found,
	struct strbuf *why) WARN_UNUSED;

/* Vectors as the server keeps them: each number a float32. */
bool wv_vector_equals(const cJSON *sent, const cJSON *found) WARN_UNUSED;

/* "2026-01-31T10:00:00.5+01:00" (T or a space, Z or an offset) as nanoseconds since 1970 UTC. */
bool wv_date_parse(const char *text, int64_t *ns_r) WARN_UNUSED;

#endif
