/* SPDX-License-Identifier: ISC */
/*
 * Samples as rows of db_connection_pool_metrics: one INSERT for any number of them, with an array
 * per column. Pure.
 */
#ifndef SERVICE_SAMPLE_ROWS_H
#define SERVICE_SAMPLE_ROWS_H

#include "base/strbuf.h"
#include "record/sample.h"

#define SAMPLE_TABLE "db_connection_pool_metrics"
#define SAMPLE_ROWS_PARAMS 40u /* a parameter per column */

/*
 * INSERT ... SELECT ... FROM unnest($1 ...) ON CONFLICT DO NOTHING: a sample whose commit was not
 * heard of is written again and makes no second row.
 */
void sample_rows_statement(struct strbuf *sql);

struct sample_rows {
	struct strbuf texts[SAMPLE_ROWS_PARAMS - 2]; /* instance and pool are no arrays */
	const char *values[SAMPLE_ROWS_PARAMS];
	unsigned n_rows;
};

void sample_rows_init(struct sample_rows *rows);
void sample_rows_release(struct sample_rows *rows);
void sample_rows_add(struct sample_rows *rows, const struct sample *sample);
/* Ends the arrays and fills values: borrowed from rows, instance and pool. */
void sample_rows_finish(struct sample_rows *rows, const char *instance, const char *pool);

#endif
