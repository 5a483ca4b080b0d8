/* SPDX-License-Identifier: ISC */
/* SHOW LEAKS: statements that were found to leave something in their session that nothing in their text shows (session/leak.h). */
#include "admin/show.h"

#include "base/mem.h"
#include "session/leaks.h"

const struct column leaks_columns[8] = {
	COLUMN_T("fingerprint"), /* NULL: not known of what */
	COLUMN_T("database"),
	COLUMN_T("user"),
	COLUMN_T("what"), /* the last time */
	COLUMN_Q("count"),
	COLUMN_I("certain"), /* 0: it, or one before it on the same server */
	COLUMN_T("last"),
	COLUMN_T("query"),
};

static void release_leaks(void *gathered)
{
	leaks_release(gathered);
}

/* Each worker has found its own. */
static void visit_leaks(struct run *run, struct worker *worker)
{
	struct leaks *all = run->gathered;
	const struct leak *leak;

	TAILQ_FOREACH(leak, &worker->leaks.list, link)
		leaks_merge(all, leak);
}

static int compare_leaks(const void *a, const void *b)
{
	const struct leak *x = *(const struct leak *const *)a, *y = *(const struct leak *const *)b;

	return x->last_us != y->last_us ? (x->last_us > y->last_us ? -1 : 1) : 0;
}

static void add_row(struct rows *rows, const struct leak *leak)
{
	char id[FINGERPRINT_ID_BYTES];

	fingerprint_id_text(leak->print, id);
	rows_text(rows, leak->print.lo || leak->print.hi ? id : NULL);
	rows_text(rows, leak->database);
	rows_text(rows, leak->user);
	rows_text(rows, leak->what);
	rows_number(rows, leak->n_found);
	rows_number(rows, leak->is_certain);
	rows_time(rows, leak->last_us);
	rows_text(rows, leak->text);
	rows_end(rows);
}

static void visited_leaks(struct run *run)
{
	struct leaks *all = run->gathered;
	const struct leak **sorted = mem_zalloc((all->n + 1) * sizeof(struct leak *)), *leak;
	unsigned n = 0;

	TAILQ_FOREACH(leak, &all->list, link)
		sorted[n++] = leak;
	qsort(sorted, n, sizeof(struct leak *), compare_leaks);
	for (unsigned i = 0; i < n; i++)
		add_row(&run->rows, sorted[i]);
	mem_free(sorted);
	run_done(run);
}

void show_leaks(struct run *run)
{
	run->gathered = mem_zalloc(sizeof(struct leaks));
	leaks_init(run->gathered);
	run->release = release_leaks;
	run_visit(run, visit_leaks, visited_leaks);
}
