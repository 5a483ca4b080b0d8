/* SPDX-License-Identifier: ISC */
/* Both sides are told as far as they answer: it is asked for when something is wrong. */
#include "base/mem.h"
#include "tools/counts.h"
#include "tools/tool.h"

static const char outbox_sql[] = "SELECT waiting, leased, failing, dead, coalesce(date_trunc('second', oldest_age)::text, 'none') FROM public.ml_outbox_state()";
static const char dead_sql[] =
	"SELECT entity_type, count(*), regexp_replace(left(coalesce(last_error, 'no reason'), 100), '[[:cntrl:]]', ' ', 'g') AS reason"
	" FROM public.ml_vector_dead GROUP BY entity_type, reason ORDER BY count(*) DESC, entity_type, reason LIMIT 20";
static const char metadata_sql[] =
	"SELECT entity_type, count(*) FILTER (WHERE deleted_at IS NULL), count(*) FILTER (WHERE deleted_at IS NOT NULL),"
	" coalesce(date_trunc('second', max(vectorization_timestamp))::text, 'never') FROM public.ml_vector_metadata GROUP BY entity_type ORDER BY entity_type";

/* "1.39.7" as numbers; what follows them does not matter. */
static bool has_rest_search(const char *version)
{
	static const unsigned long since[] = {1, 39, 7};

	for (size_t i = 0; i < N_ELEMENTS(since); i++) {
		char *end;
		unsigned long part = strtoul(version, &end, 10);
		if (part != since[i])
			return part > since[i];
		version = *end == '.' ? end + 1 : end;
	}
	return true;
}

static const char *search_interface(const struct config *config, const char *version)
{
	switch (config->weaviate_search) {
	case WEAVIATE_SEARCH_REST:
		return "rest";
	case WEAVIATE_SEARCH_GRAPHQL:
		return "graphql";
	case WEAVIATE_SEARCH_AUTO:
		return has_rest_search(version) ? "rest" : "graphql";
	}
	UNREACHABLE("search interface");
}

static const cJSON *find_class(const cJSON *schema, const char *name)
{
	const cJSON *class;

	cJSON_ArrayForEach(class, cJSON_GetObjectItemCaseSensitive(schema, "classes")) {
		const char *is = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(class, "class"));
		if (is != NULL && strcmp(is, name) == 0)
			return class;
	}
	return NULL;
}

static void show_class(const struct wv_class *class, const cJSON *schema, const struct counts *counts)
{
	struct wv_differences differences = {0};
	char text[COUNT_TEXT_BYTES];
	const cJSON *found = find_class(schema, class->name);

	wv_schema_compare(class, found, &differences);
	if (found != NULL)
		printf("class %-30s %s objects, %s\n", class->name, counts_text(counts, class->name, text),
			differences.n > 0 ? "differs" : "as it should be");
	for (unsigned i = 0; i < differences.n; i++)
		printf("  %s; %s\n", differences.items[i].text, wv_difference_advice(differences.items[i].kind));
	wv_differences_release(&differences);
}

static int show_server(struct tool *tool)
{
	struct counts counts;
	cJSON *meta = rest_get(tool->rest, "/v1/meta", NULL);

	if (meta == NULL)
		return tool_fail("%s", rest_why(tool->rest));
	const char *version = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(meta, "version"));
	printf("weaviate %s version %s, search by %s\n", tool->config->weaviate_url, version ? version : "unknown",
		search_interface(tool->config, version ? version : ""));
	cJSON_Delete(meta);
	cJSON *schema = rest_get(tool->rest, "/v1/schema", NULL);
	if (schema == NULL)
		return tool_fail("%s", rest_why(tool->rest));
	counts_read(&counts, tool->rest);
	for (unsigned i = 0; i < tool->classes.n; i++)
		show_class(&tool->classes.items[i], schema, &counts);
	counts_release(&counts);
	cJSON_Delete(schema);
	return EXIT_FINE;
}

static bool show_rows(struct tool *tool, const char *sql, void (*show)(const PGresult *result, int row))
{
	PGresult *result = db_query(tool->db, sql, 0, NULL);

	for (int i = 0; i < PQntuples(result); i++)
		show(result, i);
	if (result == NULL)
		(void)tool_complain("%s", db_why(tool->db));
	PQclear(result);
	return result != NULL;
}

static void show_outbox(const PGresult *result, int row)
{
	printf("outbox %s waiting, %s leased, %s failing, %s given up, oldest %s\n", db_text(result, row, 0),
		db_text(result, row, 1), db_text(result, row, 2), db_text(result, row, 3), db_text(result, row, 4));
}

static void show_dead(const PGresult *result, int row)
{
	printf("given up %s %s: %s\n", db_text(result, row, 0), db_text(result, row, 1), db_text(result, row, 2));
}

static void show_metadata(const PGresult *result, int row)
{
	printf("delivered %s %s, deleted %s, last %s\n", db_text(result, row, 0), db_text(result, row, 1),
		db_text(result, row, 2), db_text(result, row, 3));
}

int command_status(struct tool *tool)
{
	int status = show_server(tool);

	if (!tool_open_db(tool) || !show_rows(tool, outbox_sql, show_outbox) || !show_rows(tool, dead_sql, show_dead) ||
		!show_rows(tool, metadata_sql, show_metadata))
		status = EXIT_TROUBLE;
	return status;
}
