/* SPDX-License-Identifier: ISC */
/*
 * sqlcommenter annotations: block comments of key='value' pairs before the first token or behind the last one (also behind a final ;). Keys and values are
 * percent-decoded, \' is a quote inside a value, white space is allowed around keys, = and commas. Anything else (unquoted, unterminated, colon or JSON
 * forms, line comments, comments amid the statement) is no annotation.
 */
#ifndef PGW_ANNOTATION_H
#define PGW_ANNOTATION_H

#include "pgw/sqllex.h"

#define PGW_ANNOTATION_MAX_KEYS 32
#define PGW_ANNOTATION_BYTES 4096 /* of decoded keys and values together; what does not fit is malformed */

struct pgw_annotation {
	unsigned n;
	const char *keys[PGW_ANNOTATION_MAX_KEYS];   /* decoded, into `text` */
	const char *values[PGW_ANNOTATION_MAX_KEYS];
	unsigned n_malformed;	/* comments that look like an annotation (have an ml_ key) but are not well formed */
	bool malformed_entity;	/* one of them has the key ml_entity: it asks for more than a route */
	bool malformed_search;	/* one of them names a key that asks for a search */
	size_t n_text;
	char text[PGW_ANNOTATION_BYTES];
};

/*
 * Reads all annotations of the statement that the lexer stands before, by the lexer's rules for backslashes; the first occurrence of a key wins. Returns how
 * many pairs were found. A text without a block comment has none: a lexer that has read it all tells by passed_comment.
 */
unsigned pgw_annotation_read(struct pgw_lexer lexer, struct pgw_annotation *out_r);
/* The same comment by comment, for who walks the tokens himself: init, then each comment. A comment that is not well formed adds nothing. */
void pgw_annotation_init(struct pgw_annotation *a);
void pgw_annotation_add(struct pgw_annotation *a, const struct pgw_token *comment);
const char *pgw_annotation_get(const struct pgw_annotation *a, const char *key); /* NULL when absent */

#endif
