/* SPDX-License-Identifier: ISC */
/*
 * What the classifier asks by short cuts (a whole machine word at once, a perfect hash, a filter
 * before the patterns), asked plainly: by strings, letter by letter.
 */
#ifndef PROPERTY_CLASSIFY_NAIVE_H
#define PROPERTY_CLASSIFY_NAIVE_H

#include "classify/walk.h"

/* The text between a name's quotes, or all of it, as written; cut at cap - 1. */
size_t naive_text(const struct pgw_token *token, char *text, size_t cap);
/* Must the lexer have folded it? Then folded holds the 16 bytes. */
bool naive_folded(const struct pgw_token *token, char folded[static 16]);
enum fixes naive_fixes(const struct pgw_token *token, const struct word *word);
/* By every pattern, whatever the roots of the name. */
enum table_kind naive_table_kind(const struct words *words, const struct pgw_token *token);

#endif
