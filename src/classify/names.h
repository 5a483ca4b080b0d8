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

#endif
