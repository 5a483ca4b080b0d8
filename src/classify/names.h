/* SPDX-License-Identifier: ISC */
/*
 * Names that no dictionary can list: what a table, column or function is for, told by the parts of its name. Asked only for a name in a position
 * where the answer matters. A name is folded to lower case with its humps divided ("UserFeatures" is user_features).
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
 * Could the functions below say anything of a table or function with this name? Nearly always no, at the cost of a look at each letter.
 */
bool name_has_root(const struct pgw_token *token);

enum table_kind name_table_kind(const struct name *name);
enum function_kind name_function_kind(const struct name *name, enum schema_kind schema);
bool name_is_vector_column(const struct name *name);
bool name_is_spatial_column(const struct name *name);
bool name_is_time_column(const struct name *name);

#endif
