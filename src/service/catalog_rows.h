/* SPDX-License-Identifier: ISC */
/*
 * Vector columns as PostgreSQL's own catalog has them: the one statement that asks for them, and its
 * rows as a struct catalog. Any role that may connect can ask. Pure.
 */
#ifndef SERVICE_CATALOG_ROWS_H
#define SERVICE_CATALOG_ROWS_H

#include <libpq-fe.h>

#include "base/strbuf.h"
#include "classify/catalog.h"

/*
 * Columns of the types vector, halfvec and sparsevec, of domains over these, and those with an hnsw
 * or ivfflat index whatever their type (bit); and the columns that have the name of one of these, or
 * one that would be taken for a vector. No rows where there is no such type: nothing can be a
 * vector there. It has no parameters.
 */
void catalog_rows_statement(struct strbuf *out);
/* One reference. *is_cut_r: there are more than CATALOG_COLUMNS_MAX. */
struct catalog *catalog_rows_read(const PGresult *result, bool *is_cut_r);

#endif
