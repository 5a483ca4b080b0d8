/* SPDX-License-Identifier: ISC */
/*
 * Which prepared statements a text names, and to what end: PREPARE name, EXECUTE name (also under EXPLAIN and CREATE TABLE … AS),
 * DEALLOCATE name. Asked only of texts with EFFECT_NAMES. Pure.
 */
#ifndef CLASSIFY_PREPARED_H
#define CLASSIFY_PREPARED_H

#include "classify/classify.h"

enum prepared_verb { VERB_PREPARE, VERB_EXECUTE, VERB_DEALLOCATE };

struct prepared_use {
	uint8_t verb;	/* enum prepared_verb */
	/* The name is ASCII and written without escapes, so it is the same bytes in every encoding; name[] is what PostgreSQL makes of it. */
	bool is_plain;
	bool is_last;	/* nothing follows its statement but white space and semicolons */
	size_t at, n;	/* its statement within the text, up to the next one; the first has what is before it, too */
	char name[CLASSIFY_NAME_BYTES];
};

struct prepared_uses {
	unsigned n;	 /* may be more than were asked for */
	bool may_set;	 /* another statement of the text may change settings (SET, SET LOCAL, ROLLBACK TO, COMMIT …) */
};

/*
 * The first max, in order, are in uses; of several EXECUTEs of a name that was named before none is there, as it says nothing new.
 * backslash_escapes: standard_conforming_strings is off.
 */
struct prepared_uses prepared_uses(const struct classifier *classifier, bool backslash_escapes, const char *sql, size_t n,
	struct prepared_use *uses, unsigned max);

#endif
