/* SPDX-License-Identifier: ISC */
/*
 * SHOW FINGERPRINTS [n] [id=…] [class=…] [chosen=…] [database=…] [user=…]: the statements that took most time, of all workers together.
 * RESET FINGERPRINT id|ALL: their statistics, and what was learned of them, are gone.
 */
#include "admin/show.h"

#include "base/mem.h"

#define ROWS_DEFAULT 100u

const struct column fingerprints_columns[21] = {
	COLUMN_T("id"),
	COLUMN_T("database"),
	COLUMN_T("user"),
	COLUMN_T("class"),
	COLUMN_T("chosen"),
	COLUMN_Q("calls"),
	COLUMN_Q("rows"),
	COLUMN_Q("bytes"),
	COLUMN_Q("total_us"),
	COLUMN_Q("mean_us"),
	COLUMN_Q("max_us"),
#define FINGERPRINT_TIME_COLUMN(field, name, below) COLUMN_Q(name),
	FINGERPRINT_TIMES(FINGERPRINT_TIME_COLUMN)
#undef FINGERPRINT_TIME_COLUMN
	COLUMN_Q("hops"),
	COLUMN_Q("timeouts"),
	COLUMN_Q("errors"),
	COLUMN_T("query"),
};

struct shown {
	struct fingerprints table; /* what all workers have */
	uint64_t n_max;
	bool has_id, has_class, has_source;
	uint64_t id;
	enum query_class class;
	enum class_source source;
	const char *database, *user; /* the request's; NULL: any */
};

static void release_shown(void *gathered)
{
	struct shown *shown = gathered;

	fingerprints_release(&shown->table);
}

/* ---- filters ---- */

static bool parse_count(const char *text, uint64_t *n_r)
{
	char *end;

	*n_r = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *n_r > 0;
}

/* What would be right; NULL: the filter is taken. */
static const char *take_filter(struct shown *shown, const char *key, const char *value)
{
	if (key == NULL)
		return parse_count(value, &shown->n_max) ? NULL : "a number of rows, or id=, class=, chosen=, database=, user=";
	if (strcasecmp(key, "id") == 0) {
		shown->has_id = true;
		return fingerprint_id_parse(value, &shown->id) ? NULL : "id= 16 hex digits";
	}
	if (strcasecmp(key, "class") == 0) {
		shown->has_class = true;
		return query_class_parse(value, strlen(value), &shown->class) ? NULL : "class= default, serving, vector, hybrid or training";
	}
	if (strcasecmp(key, "chosen") == 0) {
		shown->has_source = true;
		return class_source_parse(value, &shown->source) ? NULL
								 : "chosen= default, learned, built-in, rule, setting or annotation";
	}
	if (strcasecmp(key, "database") == 0)
		shown->database = value;
	else if (strcasecmp(key, "user") == 0)
		shown->user = value;
	else
		return "id=, class=, chosen=, database= or user=";
	return NULL;
}

/* false: the client was told what is wrong. */
static bool take_filters(struct run *run, struct shown *shown)
{
	for (unsigned i = 0; i < run->request.n_filters; i++) {
		const struct filter *filter = &run->request.filters[i];
		const char *expected = take_filter(shown, filter->key, filter->value);
		char *text;

		if (expected == NULL)
			continue;
		text = mem_printf("%s%s%s; expected %s", filter->key ? filter->key : "", filter->key ? "=" : "", filter->value, expected);
		run_fail(run, PGW_FAULT_CONSOLE_ARGUMENT, text);
		mem_free(text);
		return false;
	}
	return true;
}

/* ---- what is shown ---- */

static void visit_fingerprints(struct run *run, struct worker *worker)
{
	struct shown *shown = run->gathered;
	const struct fingerprint *entry;

	TAILQ_FOREACH(entry, &worker->fingerprints.used, link)
		if (entry->counts.n_calls > 0 && (!shown->has_id || fingerprint_id(entry->print) == shown->id) &&
			(shown->database == NULL || strcmp(shown->database, entry->database) == 0) &&
			(shown->user == NULL || strcmp(shown->user, entry->user) == 0))
			fingerprints_merge(&shown->table, entry);
}

static int compare_entries(const void *a, const void *b)
{
	const struct fingerprint *x = *(struct fingerprint *const *)a, *y = *(struct fingerprint *const *)b;

	if (x->counts.total_us != y->counts.total_us)
		return x->counts.total_us > y->counts.total_us ? -1 : 1;
	if (x->counts.n_calls != y->counts.n_calls)
		return x->counts.n_calls > y->counts.n_calls ? -1 : 1;
	return (x->key.lo > y->key.lo) - (x->key.lo < y->key.lo);
}

/* As the next run will be classed, not as the last one was. */
static void look_up_lesson(struct lessons *lessons, struct fingerprint *entry)
{
	bool learned;

	if (entry->source > SOURCE_LEARNED)
		return;
	learned = lessons_of(lessons, entry->key) == LESSON_TRAINING;
	entry->class = learned ? QUERY_TRAINING : QUERY_DEFAULT;
	entry->source = learned ? SOURCE_LEARNED : SOURCE_DEFAULT;
}

static void add_entry(struct rows *rows, const struct fingerprint *entry)
{
	const struct fingerprint_counts *counts = &entry->counts;
	char id[FINGERPRINT_ID_BYTES];

	fingerprint_id_text(entry->print, id);
	rows_text(rows, id);
	rows_text(rows, entry->database);
	rows_text(rows, entry->user);
	rows_text(rows, query_class_name((enum query_class)entry->class));
	rows_text(rows, class_source_name((enum class_source)entry->source));
	rows_number(rows, counts->n_calls);
	rows_number(rows, counts->n_rows);
	rows_number(rows, counts->n_bytes);
	rows_number(rows, counts->total_us);
	rows_number(rows, counts->total_us / counts->n_calls);
	rows_number(rows, counts->max_us);
	for (unsigned i = 0; i < N_FINGERPRINT_TIMES; i++)
		rows_number(rows, counts->times[i]);
	rows_number(rows, counts->n_hops);
	rows_number(rows, counts->n_timeouts);
	rows_number(rows, counts->n_errors);
	rows_text(rows, entry->text);
	rows_end(rows);
}

static void visited_fingerprints(struct run *run)
{
	struct shown *shown = run->gathered;
	struct fingerprint **sorted = mem_alloc((shown->table.n + 1) * sizeof(struct fingerprint *)), *entry;
	uint64_t n_shown = 0;
	size_t n = 0;

	TAILQ_FOREACH(entry, &shown->table.used, link) {
		look_up_lesson(run->cluster->lessons, entry);
		if ((!shown->has_class || shown->class == (enum query_class)entry->class) &&
			(!shown->has_source || shown->source == (enum class_source)entry->source))
			sorted[n++] = entry;
	}
	qsort(sorted, n, sizeof(struct fingerprint *), compare_entries);
	for (; n_shown < n && n_shown < shown->n_max; n_shown++)
		add_entry(&run->rows, sorted[n_shown]);
	mem_free(sorted);
	run_done(run);
}

static void tell_if_off(struct run *run)
{
	struct pgw_fault notice = pgw_fault_make(PGW_FAULT_FINGERPRINTS_OFF);

	if (!run->worker->detects)
		run_notice(run, &notice);
}

void show_fingerprints(struct run *run)
{
	struct shown *shown = run->gathered = mem_zalloc(sizeof(*shown));

	fingerprints_init(&shown->table);
	run->release = release_shown;
	shown->n_max = ROWS_DEFAULT;
	if (!take_filters(run, shown)) {
		run_done(run);
		return;
	}
	tell_if_off(run);
	run_visit(run, visit_fingerprints, visited_fingerprints);
}

/* ---- reset ---- */

struct reset {
	bool all, found;
	uint64_t id;
};

static void visit_reset(struct run *run, struct worker *worker)
{
	struct reset *reset = run->gathered;
	struct fingerprint *entry, *next;

	TAILQ_FOREACH_SAFE(entry, &worker->fingerprints.used, link, next) {
		if (!reset->all && fingerprint_id(entry->print) != reset->id)
			continue;
		reset->found = true;
		fingerprints_drop(&worker->fingerprints, entry);
	}
}

/* Behind the visits: a run that ended meanwhile may have taught something. */
static void visited_reset(struct run *run)
{
	const struct reset *reset = run->gathered;

	if (reset->all)
		lessons_forget_all(run->cluster->lessons);
	else if (!lessons_forget(run->cluster->lessons, reset->id) && !reset->found)
		run_fail(run, PGW_FAULT_CONSOLE_NO_FINGERPRINT, run->request.argument);
	run_done(run);
}

void control_reset_fingerprint(struct run *run)
{
	struct reset *reset = run->gathered = mem_zalloc(sizeof(*reset));
	const char *text = run->request.argument;

	reset->all = strcasecmp(text, "all") == 0;
	if (!reset->all && !fingerprint_id_parse(text, &reset->id)) {
		run_fail(run, PGW_FAULT_CONSOLE_ARGUMENT, "the id of a fingerprint (16 hex digits), or ALL, is required");
		run_done(run);
		return;
	}
	run_visit(run, visit_reset, visited_reset);
}
