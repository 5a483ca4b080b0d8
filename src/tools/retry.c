/* SPDX-License-Identifier: ISC */
/* Notes that were given up live again. */
#include "tools/tool.h"

#include <inttypes.h>

static const char count_sql[] =
	"SELECT count(*) FROM public.ml_vector_dead WHERE ($1::text IS NULL OR entity_type = $1) AND ($2::uuid IS NULL OR entity_id = $2)";
static const char revive_sql[] = "SELECT public.ml_outbox_revive($1::text, $2::uuid)";

int command_retry(struct tool *tool)
{
	const struct tool_options *options = tool->options;
	const char *const values[] = {options->n_names > 0 ? options->names[0] : NULL,
		options->n_names > 1 ? options->names[1] : NULL};

	if (!tool_open_db(tool))
		return EXIT_TROUBLE;
	PGresult *result = db_query(tool->db, options->dry_run ? count_sql : revive_sql, 2, values);
	if (result == NULL)
		return tool_fail("%s", db_why(tool->db));
	printf("%" PRIu64 " %s\n", db_number(result, 0, 0), options->dry_run ? "would be tried again" : "will be tried again");
	PQclear(result);
	return EXIT_FINE;
}
