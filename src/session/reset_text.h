/* SPDX-License-Identifier: ISC */
/*
 * Texts that take parameters back to what a session began with: RESET, SET … TO DEFAULT, RESET ALL, DISCARD ALL. Pure.
 * Source: PostgreSQL manual, SET, RESET, DISCARD; VariableSetStmt and VariableResetStmt of gram.y.
 */
#ifndef SESSION_RESET_TEXT_H
#define SESSION_RESET_TEXT_H

#include "base/base.h"

/* What such a statement resets. */
struct reset_text {
	bool all;	/* name is empty then */
	bool discards;	/* DISCARD ALL */
	bool is_local;
	char name[256]; /* of a parameter */
};

/* Is the text one of those, and nothing else? backslash_escapes: standard_conforming_strings is off. */
bool reset_text_parse(const char *sql, size_t n, bool backslash_escapes, struct reset_text *text_r);
/* May the text begin with one? false is sure, and cheap. */
bool reset_text_may_be(const char *sql, size_t n);

/* One amid others, in a text of several statements. */
struct reset_found {
	struct reset_text text;
	size_t at;	       /* the byte behind its last token */
	unsigned n_statements; /* it is the so manyth that PostgreSQL answers */
};

/* How many there are, but DISCARD ALL, which may not stand amid others. 0: none, more than max, or it cannot be told where statements end. */
unsigned reset_text_find(const char *sql, size_t n, bool backslash_escapes, struct reset_found *found_r, unsigned max);

#endif
