/* SPDX-License-Identifier: ISC */
/* SHOW ANNOTATIONS: what became of annotations that ask for something, by annotation and outcome, since the start. */
#include "admin/show.h"

#include "base/mem.h"

const struct column annotations_columns[3] = {
	COLUMN_T("annotation"),
	COLUMN_T("outcome"),
	COLUMN_Q("count"),
};

struct sums {
	struct annotation_stats notes;
	uint64_t n_bad;
};

static void visit(struct run *run, struct worker *worker)
{
	struct sums *sums = run->gathered;

	for (unsigned i = 0; i < N_ENTITY_SOURCES; i++)
		sums->notes.n_statements[i] += STAT_READ(worker->annotations.n_statements[i]);
	sums->notes.n_entities += STAT_READ(worker->annotations.n_entities);
	sums->notes.n_refused += STAT_READ(worker->annotations.n_refused);
	sums->notes.n_failed += STAT_READ(worker->annotations.n_failed);
	sums->n_bad += STAT_READ(worker->counters.n_bad_annotations);
}

static void add(struct run *run, const char *annotation, const char *outcome, uint64_t n)
{
	rows_text(&run->rows, annotation);
	rows_text(&run->rows, outcome);
	rows_number(&run->rows, n);
	rows_end(&run->rows);
}

static void visited(struct run *run)
{
	static const char *const outcomes[N_ENTITY_SOURCES] = {
		[ENTITY_LITERAL] = "named by id",
		[ENTITY_PARAMETER] = "named by parameter",
		[ENTITY_RETURNED] = "ids in rows",
		[ENTITY_LOADED] = "copy",
	};
	const struct sums *sums = run->gathered;

	add(run, "route", "malformed or not allowed", sums->n_bad);
	for (unsigned i = 0; i < N_ENTITY_SOURCES; i++)
		add(run, "ml_entity", outcomes[i], sums->notes.n_statements[i]);
	add(run, "ml_entity", "entities", sums->notes.n_entities);
	add(run, "ml_entity", "refused", sums->notes.n_refused);
	add(run, "ml_entity", "failed", sums->notes.n_failed);
	run_done(run);
}

void show_annotations(struct run *run)
{
	run->gathered = mem_zalloc(sizeof(struct sums));
	run_visit(run, visit, visited);
}
