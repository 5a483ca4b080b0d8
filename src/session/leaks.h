/* SPDX-License-Identifier: ISC */
/*
 * Statements that were found to leave something in their session (leak.h), and which statements have been looked at: the memory of one
 * worker, bounded both ways. The least recently found goes first. Owner: the worker; others visit.
 */
#ifndef SESSION_LEAKS_H
#define SESSION_LEAKS_H

#include "base/list.h"
#include "classify/fingerprints.h"

#define LEAKS_MAX 100u
#define LEAK_WHAT_BYTES 160u
#define LEAK_FIRST_TIMES 3u /* so often a statement is new */
#define LEAK_CLEAN_TIMES 100u /* in turn with nothing found: it is not suspected any more */

struct leak {
	TAILQ_ENTRY(leak) link; /* most recently found first */
	struct pgw_hash128 key, print; /* print 0: what left it is not known */
	uint64_t n_found, last_us; /* wall */
	uint32_t n_clean; /* checks in turn that found nothing behind it */
	bool is_certain; /* once its server was known to be clean before it */
	char what[LEAK_WHAT_BYTES];
	const char *database, *user, *text; /* behind it; text: without constants */
	char texts[];
};

TAILQ_HEAD(leak_list, leak);

struct leaks {
	struct leak_list list;
	unsigned n;
	uint64_t *seen; /* NULL until the first: hashes, with how often in the lowest bits */
};

void leaks_init(struct leaks *leaks);
void leaks_release(struct leaks *leaks);
struct leak *leaks_find(const struct leaks *leaks, struct pgw_hash128 key); /* NULL: never found */
/* Finds or makes it: it was found once more, leaving `what`, which is cut. */
struct leak *leaks_found(struct leaks *leaks, const struct leak *like, const char *what);
/* Adds what another worker has of it. Without regard to LEAKS_MAX. */
void leaks_merge(struct leaks *leaks, const struct leak *from);
/* Is a statement of this key to be checked because little is known of it? Counts this time. May say so again when others took its place. */
bool leaks_is_new(struct leaks *leaks, struct pgw_hash128 key);
/* It was found before, and has not been clean often enough since. */
static inline bool leak_is_suspected(const struct leak *leak)
{
	return leak != NULL && leak->n_clean < LEAK_CLEAN_TIMES;
}

#endif
