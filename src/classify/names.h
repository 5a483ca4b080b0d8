/* SPDX-License-Identifier: ISC */
/*
 * Names that no dictionary can list: what a table, column or function is for, told by the parts of
 * its name. Asked only for a name in a position where the answer matters. A name is folded to lower
 * case with its humps divided ("UserFeatures" is user_features).
 */
#ifndef CLASSIFY_NAMES_H
#define CLASSIFY_NAMES_H

#include "classify/words.h"
#include "pgw/sqllex.h"

#define NAME_BYTES 64 /* PostgreSQL cuts names at 63 bytes */

struct name {
	char text[NAME_BYTES]; /* ends in NUL */
	unsigned len;
};

/* From a WORD or QUOTED_IDENT token. */
void name_of_token(const struct pgw_token *token, struct name *name_r);

/*
 * The last eight bytes of a WORD's or QUOTED_IDENT's text, folded, the last one highest; zero where
 * it is shorter. All that a name's ending can be asked costs one comparison each then.
 */
uint64_t name_tail(const struct pgw_token *token);

/* The i-th letter of a literal, or nothing behind its end. */
#define NAME_LETTER(lower, i)                                                                      \
	((i) < sizeof(lower) - 1 ? (uint64_t)(unsigned char)(lower)[(i) % sizeof(lower)] << 8 * (i)     \
				 : 0)
/* A literal of 1 to 8 letters, digits and _, where name_tail() has it; a constant. */
#define NAME_ENDING(lower)                                                                         \
	((NAME_LETTER(lower, 0) | NAME_LETTER(lower, 1) | NAME_LETTER(lower, 2) |                  \
		 NAME_LETTER(lower, 3) | NAME_LETTER(lower, 4) | NAME_LETTER(lower, 5) |           \
		 NAME_LETTER(lower, 6) | NAME_LETTER(lower, 7) | WORD_FOLD)                        \
		<< (64 - 8 * (sizeof(lower) - 1)))
/* Does a name with that tail end with the literal? Is it the literal, of at most 7 bytes? */
#define NAME_ENDS(tail, lower)                                                                     \
	(((tail) ^ NAME_ENDING(lower)) >> (64 - 8 * (sizeof(lower) - 1)) == 0)
#define NAME_IS(tail, lower) ((tail) == NAME_ENDING(lower))

/* Which patterns could a name match? */
enum name_root {
	NAME_ROOT_FEATURE = 1 << 0,
	NAME_ROOT_PREDICTION = 1 << 1,
	NAME_ROOT_TRAINING = 1 << 2,
	NAME_ROOT_MODEL = 1 << 3,
	NAME_ROOT_EMBEDDING = 1 << 4,
	NAME_ROOT_LABEL = 1 << 5,
	NAME_ROOT_EVENT = 1 << 6,
	NAME_ROOT_FUNCTION = 1 << 7, /* name_function_kind() may have something to say */
};
#define NAME_ROOTS_OF_TABLES (NAME_ROOT_FUNCTION - 1)

/* Nearly always 0, at the cost of a look at each letter: then the functions below need not be
 * asked. */
unsigned name_roots(const struct pgw_token *token);

enum table_kind name_table_kind(const struct words *words, const struct name *name, unsigned roots);
enum function_kind name_function_kind(const struct name *name, enum schema_kind schema);
bool name_is_vector_column(const struct name *name);
bool name_is_spatial_column(const struct name *name);
bool name_is_time_column(const struct name *name);
/* Is it computed, as a model's inputs are? Names of a weight of NAME_COMPUTED together say so: spend_30d
 * alone, avg_rating only beside another one. Of a WORD or QUOTED_IDENT, humps do not count. */
#define NAME_COMPUTED 2
unsigned name_computed_weight(const struct pgw_token *token);

#endif
