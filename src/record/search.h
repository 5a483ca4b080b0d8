/* SPDX-License-Identifier: ISC */
/*
 * One search that a statement asks for, and what became of it. Plain values that cross threads: the
 * worker that makes the request gives it to the control thread and gets both back. One owner at a
 * time; what they point to is theirs.
 */
#ifndef RECORD_SEARCH_H
#define RECORD_SEARCH_H

#include "base/base.h"
#include "base/mem.h"

#define SEARCH_UUID_BYTES 37u /* with its NUL */
#define SEARCH_WHY_BYTES 256u
#define SEARCH_DEFAULT_LIMIT 100u
#define SEARCH_MAX_LIMIT 10000u /* more is not answered: QUERY_MAXIMUM_RESULTS */

enum search_kind { SEARCH_NEAR_TEXT, SEARCH_NEAR_VECTOR, SEARCH_HYBRID };

/* How the hits are kept within an organization. */
enum search_scope {
	SEARCH_EVERYWHERE,
	SEARCH_FILTERED, /* by the property organizationId */
	SEARCH_IN_TENANT,
};

struct search_request {
	enum search_kind kind;
	enum search_scope scope;
	char organization[SEARCH_UUID_BYTES]; /* lower case; unless SEARCH_EVERYWHERE */
	char *collection;		      /* a valid name of a class */
	char *text;			      /* valid UTF-8; NULL for SEARCH_NEAR_VECTOR */
	float *vector;			      /* finite; NULL but for SEARCH_NEAR_VECTOR */
	uint32_t n_vector;
	uint32_t limit; /* 1 .. SEARCH_MAX_LIMIT */
	bool has_max_distance;
	double max_distance;
};

enum search_outcome {
	SEARCH_DONE,		   /* hits */
	SEARCH_OFF,		   /* no Weaviate is configured */
	SEARCH_UNAVAILABLE,	   /* it did not answer, or not with an answer */
	SEARCH_TIMED_OUT,	   /* not within search_timeout */
	SEARCH_REFUSED,		   /* it says that the search cannot be: a vector of the wrong length … */
	SEARCH_UNKNOWN_COLLECTION, /* it has none of that name */
};

struct search_answer {
	enum search_outcome outcome;
	char *hits; /* if SEARCH_DONE: what ml_vector_hits() reads */
	uint32_t n_hits;
	char why[SEARCH_WHY_BYTES]; /* else */
};

/* What the console shows; written by the control thread alone, read by any with STAT_READ(). */
struct search_counters {
	uint64_t n_asked, n_done, n_refused, n_failed, n_timed_out, n_broken; /* broken: the breaker was open */
	uint64_t n_abandoned; /* nobody waited for them any more */
	uint64_t n_hits, total_us, max_us;		 /* of those that Weaviate answered */
	uint64_t n_running, n_waiting;
	uint64_t n_cache_hits, n_cache_misses, n_cache_entries, cache_bytes, n_cache_evicted;
	uint64_t n_breaker_opened, breaker_open_until_us; /* mono; 0: closed */
	uint64_t interface;				  /* 0: not known, 1: REST, 2: GraphQL */
	/* hits for ml_vector_search_stats: objects that wait; hits counted there, and lost */
	uint64_t n_found_waiting, n_found_counted, n_found_dropped;
};

static inline void search_request_release(struct search_request *request)
{
	mem_free(request->collection);
	mem_free(request->text);
	mem_free(request->vector);
	request->collection = request->text = NULL;
	request->vector = NULL;
}

static inline void search_answer_release(struct search_answer *answer)
{
	mem_free(answer->hits);
	answer->hits = NULL;
}

#endif
