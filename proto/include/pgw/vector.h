/* SPDX-License-Identifier: ISC */
/*
 * Values of bind parameters, as far as pglane looks into them: texts that must be UTF-8, and vectors in the forms in which clients have them. Pure.
 */
#ifndef PGW_VECTOR_H
#define PGW_VECTOR_H

#include "pgw/messages.h"

#define PGW_VECTOR_MAX 65535u /* dimensions: what Weaviate takes */

/* Well-formed: no overlong forms, no surrogates, nothing above U+10FFFF. NUL is a character here. */
bool pgw_is_utf8(const void *bytes, size_t n);

/*
 * Numbers of a vector. Text: [1,2.5,-3e2] as pgvector writes it, or {1,2.5,-3e2} as PostgreSQL writes an array. Binary: a float4[] or float8[] of one
 * dimension, or pgvector's own. PGW_E_VALUE: it is none of these, empty, or a number is null or not finite as a float; PGW_E_TOO_LONG: more than cap.
 */
enum pgw_err pgw_read_vector(const struct pgw_value *value, float *out, size_t cap, size_t *n_r) PGW_WARN_UNUSED;

#endif
