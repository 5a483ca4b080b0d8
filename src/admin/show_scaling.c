/* SPDX-License-Identifier: ISC */
/* SHOW SCALING: how many servers are open and in use, and what was decided about that lately. */
#include "admin/show.h"

const struct column scaling_columns[10] = {
	COLUMN_T("time"),
	COLUMN_T("event"),
	COLUMN_I("servers"),
	COLUMN_T("why"),
	COLUMN_I("open"),
	COLUMN_I("in_use"),
	COLUMN_N("ratio"),
	COLUMN_I("warm_min"),
	COLUMN_I("budget"),
	COLUMN_I("effective_budget"),
};

static void add_figures(struct rows *rows, const struct config *config, const struct scaling_line *line)
{
	char ratio[32];
	uint32_t hundredths = line->open ? (uint32_t)((uint64_t)line->in_use * 100 / line->open) : 0;

	(void)snprintf(ratio, sizeof(ratio), "%u.%02u", hundredths / 100, hundredths % 100);
	rows_number(rows, line->open);
	rows_number(rows, line->in_use);
	rows_text(rows, ratio);
	rows_number(rows, config->warm_min);
	rows_number(rows, config->budget);
	rows_number(rows, MIN_OF(line->effective, config->budget));
	rows_end(rows);
}

/* The present first, then the decisions, newest first. */
void show_scaling(struct run *run)
{
	const struct config *config = worker_config(run->worker);
	struct scaling_line present, lines[SCALING_LINES];
	unsigned n = scaling_read(run->cluster, config->budget, &present, lines);

	rows_time(&run->rows, present.wall_us);
	rows_text(&run->rows, "now");
	rows_text(&run->rows, NULL);
	rows_text(&run->rows, NULL);
	add_figures(&run->rows, config, &present);
	for (unsigned i = 0; i < n; i++) {
		rows_time(&run->rows, lines[i].wall_us);
		rows_text(&run->rows, scale_event_name(lines[i].decision.event));
		rows_number(&run->rows, lines[i].decision.n);
		rows_text(&run->rows, lines[i].decision.why);
		add_figures(&run->rows, config, &lines[i]);
	}
	run_done(run);
}
