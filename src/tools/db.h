/* SPDX-License-Identifier: ISC */
/*
 * The database with the outbox, for a program that has nothing else to do: a statement waits for
 * its answer. It goes to PostgreSQL itself, past pglane's pools. Owner: the caller; one thread.
 */
#ifndef TOOLS_DB_H
#define TOOLS_DB_H

#include "config/config.h"

#include <libpq-fe.h>

struct db;

/* NULL: why has one line. */
struct db *db_open(const struct config *config, struct strbuf *why) WARN_UNUSED;
void db_close(struct db **db);

/* One statement with text parameters (NULL is null). NULL: db_why() tells. The caller clears it. */
PGresult *db_query(
	struct db *db, const char *sql, unsigned n_values, const char *const *values) WARN_UNUSED;
const char *db_why(const struct db *db);

/* Of a row and column; "" where it is null. */
const char *db_text(const PGresult *result, int row, int column);
uint64_t db_number(const PGresult *result, int row, int column);
bool db_is_true(const PGresult *result, int row, int column);

#endif
