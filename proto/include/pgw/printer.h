/* SPDX-License-Identifier: ISC */
/*
 * A fingerprint made token by token, by whoever lexes the statement anyway; and the statement as it may be shown to others.
 */
#ifndef PGW_PRINTER_H
#define PGW_PRINTER_H

#include "pgw/fingerprint.h"
#include "pgw/sqllex.h"

/* Brackets nested deeper than this are read as ordinary tokens. */
#define PGW_PRINTER_LEVELS 48

/* Private, as struct pgw_printer: see fingerprint.c. */
struct pgw_printer_level {
	struct pgw_hash128 sum;		 /* of all that was kept of this level */
	struct pgw_hash128 element_from; /* the sum before the present element and its comma */
	struct pgw_hash128 form;	 /* of the words of a constant element */
	struct pgw_hash128 last_form;	 /* of the element before, if last_constant */
	struct pgw_hash128 row_from;	 /* with ROW_COMMA: the sum before that comma */
	struct pgw_hash128 last_row;	 /* with ROW_CLOSED and ROW_COMMA: the row's hash */
	uint8_t element;		 /* enum element */
	uint8_t row;			 /* enum row */
	bool last_constant;
	bool is_row;			 /* no name stands before the opening bracket: not a call */
};

struct pgw_printer {
	struct pgw_printer_level levels[PGW_PRINTER_LEVELS];
	struct pgw_printer_level *level;
	unsigned n_too_deep;	/* open brackets that have no level */
	unsigned n_semicolons;	/* read, and left out unless something follows */
	struct pgw_token sign; /* a + or - in front of an operand: not yet known if of a constant */
	struct pgw_token word;	/* the last token if it was a name or key word */
	bool value_may_follow;	/* the last token was an operator, a comma or an opening bracket */
};

/* Nothing is cleared that is not used: it costs no more than its tokens. The tokens borrow from the text up to the end. */
void pgw_printer_begin(struct pgw_printer *printer);
void pgw_printer_token(struct pgw_printer *printer, const struct pgw_token *token); /* of any kind but END and COMMENT */
struct pgw_hash128 pgw_printer_end(struct pgw_printer *printer); /* that of pgw_fingerprint() */

/*
 * The text from the lexer on without its constants: ? stands for each literal, ?, ... for a list of them; white space is one blank, comments are
 * none. What is no UTF-8 becomes ?. No byte of a literal is copied, also where one does not end. NUL-terminated, cut at cap - 1 (at least 4) with ... at its end; returns
 * the length. The lexer says by standard_conforming_strings where literals end.
 */
size_t pgw_normalize(struct pgw_lexer lexer, char *out, size_t cap);

#endif
