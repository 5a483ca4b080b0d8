/* SPDX-License-Identifier: ISC */
/* SHOW OUTBOX, RETRY OUTBOX, PAUSE FORWARDING, RESUME FORWARDING: what the control thread's forwarder says and is told. */
#include "admin/show.h"
#include "base/mem.h"

const struct column outbox_columns[18] = {
	COLUMN_T("state"),
	COLUMN_Q("waiting"),
	COLUMN_Q("leased"),
	COLUMN_Q("failing"),
	COLUMN_Q("dead"),
	COLUMN_N("oldest_age_s"),
	COLUMN_Q("flights"),
	COLUMN_Q("stored"),
	COLUMN_Q("deleted"),
	COLUMN_Q("failed"),
	COLUMN_Q("parked"),
	COLUMN_N("rate"),
	COLUMN_N("lag_p50_ms"),
	COLUMN_N("lag_p99_ms"),
	COLUMN_N("lag_max_ms"),
	COLUMN_T("dead_reasons"),
	COLUMN_T("trouble"),
	COLUMN_T("database"),
};

const struct column retry_outbox_columns[1] = { COLUMN_Q("revived") };

/* On the control thread: the run waits and touches none of it until run_answer(). */
static void on_outbox(void *arg, bool ok, const struct outbox_report *report, const char *text)
{
	struct run *run = arg;

	*(struct outbox_report *)run->gathered = *report;
	run_answer(run, ok, text);
}

static void order(struct run *run, enum outbox_order what, const char *argument, void (*then)(struct run *run))
{
	run->gathered = mem_zalloc(sizeof(struct outbox_report));
	run_ask(run, then);
	run->cluster->outbox(run->cluster->daemon_arg, what, argument, on_outbox, run);
}

static bool has_failed(struct run *run)
{
	if (run->answer_ok)
		return false;
	run->failed = true;
	pgw_fault_set(&run->fault, PGW_FAULT_CONSOLE_OUTBOX, NULL, "%s", run->answer);
	run_done(run);
	return true;
}

static void add_count(struct rows *rows, uint64_t count)
{
	if (count == OUTBOX_NULL)
		rows_text(rows, NULL);
	else
		rows_number(rows, count);
}

/* Thousandths as a number with three decimals. */
static void add_thousandths(struct rows *rows, uint64_t value)
{
	char text[40];

	if (value == OUTBOX_NULL) {
		rows_text(rows, NULL);
		return;
	}
	(void)snprintf(text, sizeof(text), "%llu.%03llu", (unsigned long long)(value / 1000), (unsigned long long)(value % 1000));
	rows_text(rows, text);
}

static void add_report(struct rows *rows, const struct outbox_report *report)
{
	const char *reasons = report->n_dead == OUTBOX_NULL ? NULL : report->dead_reasons;

	rows_text(rows, report->state);
	add_count(rows, report->n_waiting);
	add_count(rows, report->n_leased);
	add_count(rows, report->n_failing);
	add_count(rows, report->n_dead);
	add_thousandths(rows, report->oldest_age_us == OUTBOX_NULL ? OUTBOX_NULL : report->oldest_age_us / 1000);
	rows_number(rows, report->n_flying);
	rows_number(rows, report->n_stored);
	rows_number(rows, report->n_deleted);
	rows_number(rows, report->n_failed);
	rows_number(rows, report->n_parked);
	add_thousandths(rows, report->rate_permille);
	add_thousandths(rows, report->lag_p50_us);
	add_thousandths(rows, report->lag_p99_us);
	add_thousandths(rows, report->lag_max_us);
	rows_text(rows, reasons);
	rows_text(rows, report->trouble);
}

static void show_report(struct run *run)
{
	if (has_failed(run))
		return;
	add_report(&run->rows, run->gathered);
	rows_text(&run->rows, config_outbox_database(worker_config(run->worker)));
	rows_end(&run->rows);
	run_done(run);
}

void show_outbox(struct run *run)
{
	order(run, OUTBOX_REPORT, "", show_report);
}

static void show_revived(struct run *run)
{
	const struct outbox_report *report = run->gathered;

	if (has_failed(run))
		return;
	rows_number(&run->rows, report->n_revived);
	rows_end(&run->rows);
	run_done(run);
}

void control_retry_outbox(struct run *run)
{
	order(run, OUTBOX_RETRY, run->request.argument, show_revived);
}

static void end_order(struct run *run)
{
	if (!has_failed(run))
		run_done(run);
}

void control_pause_forwarding(struct run *run)
{
	order(run, OUTBOX_PAUSE, "", end_order);
}

void control_resume_forwarding(struct run *run)
{
	order(run, OUTBOX_RESUME, "", end_order);
}
