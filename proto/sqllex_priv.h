/* SPDX-License-Identifier: ISC */
/* What the readers of a token's value (sqlvalue.c) share with the lexer that found it. */
#ifndef PGW_SQLLEX_PRIV_H
#define PGW_SQLLEX_PRIV_H

/*
 * A literal whose closing quote stands before p goes on in the next quote if nothing but white
 * space with at least one newline in it, and line comments, lie between. Returns the byte behind
 * that opening quote, NULL if the literal ends at p.
 */
const char *pgw__literal_goes_on(const char *p, const char *end);

#endif
