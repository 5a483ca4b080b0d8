/* SPDX-License-Identifier: ISC */
#include "tools/repair.h"

#include "base/mem.h"
#include "tools/lookup.h"

/* In the order in which triggers take the same rows. */
static const char note_sql[] =
	"SELECT public.ml_outbox_note(entity_type, entity_id, organization_id), public.ml_outbox_revive(entity_type, entity_id)"
	" FROM (SELECT DISTINCT ON (entity_type, entity_id) * FROM unnest($1::text[], $2::uuid[], $3::uuid[]) AS noted"
	" (entity_type, entity_id, organization_id) ORDER BY entity_type, entity_id) noted";

static bool note(const struct repair *repair, struct tool *tool)
{
	const char *types[REPAIR_BATCH], *keys[REPAIR_BATCH], *organizations[REPAIR_BATCH];
	struct strbuf arrays[3] = {STRBUF_INIT, STRBUF_INIT, STRBUF_INIT};
	unsigned n = 0;

	for (unsigned i = 0; i < repair->n; i++) {
		if (repair->items[i].type == NULL)
			continue;
		types[n] = repair->items[i].type;
		keys[n] = repair->items[i].key;
		organizations[n++] = repair->items[i].organization;
	}
	lookup_add_array(&arrays[0], n, types);
	lookup_add_array(&arrays[1], n, keys);
	lookup_add_array(&arrays[2], n, organizations);
	PGresult *result = db_query(
		tool->db, note_sql, 3, (const char *const[]){arrays[0].data, arrays[1].data, arrays[2].data});
	if (result == NULL)
		(void)tool_complain("%s", db_why(tool->db));
	PQclear(result);
	for (unsigned i = 0; i < N_ELEMENTS(arrays); i++)
		strbuf_release(&arrays[i]);
	return result != NULL;
}

static bool delete_object(const struct repair_item *item, struct tool *tool)
{
	char *path = mem_printf("/v1/objects/%s/%s%s%s", item->class->name, item->id, item->tenant ? "?tenant=" : "",
		item->tenant ? item->tenant : "");
	int status = rest_call(tool->rest, "DELETE", path, NULL, NULL);

	if (status >= 200 && status < 300 && status != 204) /* 200 and nothing: a handler of the server crashed */
		(void)tool_complain("DELETE %s: Weaviate said %d, and a deletion is told by 204", path, status);
	else if (status != 204 && status != 404)
		(void)tool_complain("%s", rest_why(tool->rest));
	mem_free(path);
	return status == 204 || status == 404;
}

static void forget(struct repair *repair)
{
	for (unsigned i = 0; i < repair->n; i++) {
		mem_free(repair->items[i].id);
		mem_free(repair->items[i].type);
		mem_free(repair->items[i].key);
		mem_free(repair->items[i].organization);
		mem_free(repair->items[i].tenant);
	}
	repair->n = 0;
}

bool repair_flush(struct repair *repair, struct tool *tool)
{
	bool ok = repair->n == 0 || note(repair, tool), any = false;

	for (unsigned i = 0; ok && i < repair->n; i++) {
		if (!repair->items[i].is_there)
			continue;
		any = true;
		ok = delete_object(&repair->items[i], tool);
	}
	/* Also when a deletion failed: those before it have to be sent anew. */
	if (any)
		ok = note(repair, tool) && ok;
	if (ok)
		repair->n_done += repair->n;
	forget(repair);
	return ok;
}

bool repair_add(struct repair *repair, struct tool *tool, const struct repair_wish *wish)
{
	repair->items[repair->n++] = (struct repair_item){.class = wish->class,
		.id = mem_strdup(wish->id),
		.type = mem_strdup(wish->type),
		.key = mem_strdup(wish->key),
		.organization = mem_strdup(wish->organization),
		.tenant = mem_strdup(wish->tenant),
		.is_there = wish->is_there};
	return repair->n < REPAIR_BATCH || repair_flush(repair, tool);
}

void repair_release(struct repair *repair)
{
	forget(repair);
}
