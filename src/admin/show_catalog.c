/* SPDX-License-Identifier: ISC */
/* SHOW CATALOG: the vector columns that are known, as this worker classifies by them; and REFRESH CATALOG, which has them read anew. */
#include "admin/show.h"

#include "classify/catalog.h"

const struct column catalog_columns[7] = {
	COLUMN_T("database"),
	COLUMN_T("schema"),
	COLUMN_T("table"),
	COLUMN_T("column"),
	COLUMN_T("type"),
	COLUMN_T("refreshed"),
	COLUMN_T("problem"),
};

/* column NULL: the database has none that is known. */
static void add_row(struct rows *rows, const struct catalogs_entry *entry, const struct catalog_column *column)
{
	rows_text(rows, entry->database);
	rows_text(rows, column ? column->schema : NULL);
	rows_text(rows, column ? column->table : NULL);
	rows_text(rows, column ? column->name : NULL);
	rows_text(rows, column ? column->type : NULL);
	rows_time(rows, entry->refreshed_wall_us);
	rows_text(rows, entry->problem);
	rows_end(rows);
}

static void add_database(struct rows *rows, const struct catalogs_entry *entry)
{
	unsigned n = entry->catalog ? catalog_n_columns(entry->catalog) : 0, n_vectors = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct catalog_column *column = catalog_column(entry->catalog, i);

		if (!column->is_vector)
			continue;
		add_row(rows, entry, column);
		n_vectors++;
	}
	if (n_vectors == 0)
		add_row(rows, entry, NULL);
}

void show_catalog(struct run *run)
{
	const unsigned keys[] = { 0, 1, 2, 3 };
	const struct catalogs *catalogs = run->worker->catalogs;

	for (unsigned i = 0; i < catalogs_n(catalogs); i++)
		add_database(&run->rows, catalogs_entry(catalogs, i));
	rows_sort(&run->rows, keys, N_ELEMENTS(keys));
	run_done(run);
}

/* ---- REFRESH CATALOG ---- */

static void visit_nothing(struct run *run, struct worker *worker)
{
}

/* A visit comes behind the mail that what was read is in: who has the answer can rely on every worker. */
static void refreshed(struct run *run)
{
	if (!run->answer_ok) {
		run->failed = true;
		pgw_fault_set(&run->fault, PGW_FAULT_CONSOLE_NOT_REFRESHED, NULL, "%s", run->answer);
	}
	run_visit(run, visit_nothing, run_done);
}

/* The answer comes when all has been read, or tried. */
void control_refresh_catalog(struct run *run)
{
	const char *database = run->request.argument;

	run_ask(run, refreshed);
	run->cluster->refresh_catalog(run->cluster->daemon_arg, database[0] ? database : NULL, run_answer, run);
}
