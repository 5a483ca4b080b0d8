/* SPDX-License-Identifier: ISC */
/*
 * A search in the words of Weaviate's two interfaces, and their answers read. What a client says
 * reaches a request through one function only: wv_string(). Pure; any thread.
 *
 * An answer counts only if it is whole: HTTP 200 with errors in it is a failure even if there is
 * data beside them, and so is a hit without an id. A hit's id is that of the entity: the property
 * postgresqlId, or the object's own where it has none.
 */
#ifndef SERVICE_WV_QUERY_H
#define SERVICE_WV_QUERY_H

#include "base/strbuf.h"
#include "record/search.h"

#define WV_KEY_PROPERTY "postgresqlId"
#define WV_ORGANIZATION_PROPERTY "organizationId"

enum wv_interface { WV_REST, WV_GRAPHQL };

/* Appends text as a string of JSON and of GraphQL alike, quotes included. text is valid UTF-8. */
void wv_string(struct strbuf *out, const char *text);

/* Appends where the request is posted, and what. MUST: the request is valid (record/search.h). */
void wv_query_write(enum wv_interface interface, const struct search_request *request,
	struct strbuf *path, struct strbuf *body);

/* The objects that were found, for who counts them. */
struct wv_found {
	char (*ids)[SEARCH_UUID_BYTES]; /* lower case */
	uint32_t n;
};
void wv_found_release(struct wv_found *found);

/* What an answer with this HTTP status says. found_r may be NULL. Both are the caller's to release. */
void wv_query_read(enum wv_interface interface, const struct search_request *request, long status,
	const char *body, size_t n, struct search_answer *answer_r, struct wv_found *found_r);

/* The interface for a server of this version ("1.36.5", as /v1/meta says); false: it is none. */
bool wv_interface_of(const char *version, enum wv_interface *interface_r);

#endif
