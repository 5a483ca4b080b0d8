/* SPDX-License-Identifier: ISC */
/*
 * The walk over a query: which tables it reads and what leaves them, which operators stand beside
 * what, which keys are fixed.
 */
#ifndef CLASSIFY_QUERY_H
#define CLASSIFY_QUERY_H

#include "classify/features.h"

/*
 * Walks from reader->now to the end of the statement (which stays current) and adds bits and
 * effects to *statement. The bits that the head of the statement gave (COPY_TO, CURSOR, CREATE_AS
 * …) are set before. stop_at_to: it is COPY (query) TO, walked from its parenthesis; the walk ends
 * before TO.
 */
void query_walk(struct reader *reader, bool stop_at_to, struct statement *statement);

/* The kind of the table named by a word (the last part of a dotted name). */
enum table_kind query_table_kind(
	const struct words *words, const struct word *word, const struct pgw_token *token);
/* The bit that says that a table of that kind is read; 0 for TABLE_NONE and TABLE_FEATURES_MAYBE.
 */
uint64_t query_table_feature(enum table_kind kind);

/* copy.c: the current token is the one behind COPY. */
void query_copy(struct reader *reader, struct statement *statement);

#endif
