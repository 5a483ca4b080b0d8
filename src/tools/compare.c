/* SPDX-License-Identifier: ISC */
#include "tools/compare.h"

#include "base/mem.h"
#include "service/wv_content.h"
#include "service/wv_id.h"

#define N_LOOKS 5 /* an entity that changes all the time is pending */

bool compare_needs_vectors(const struct tool_type *type)
{
	const char *column;
	return config_entity_vector(type->entity, &column) == VECTOR_FROM_COLUMN;
}

static bool contents_equal(const struct tool_type *type, const cJSON *found, const struct lookup_row *row,
	struct strbuf *why)
{
	if (!wv_content_equals(type->class->json, row->properties,
		    cJSON_GetObjectItemCaseSensitive(found, "properties"), why))
		return false;
	if (!compare_needs_vectors(type) ||
		wv_vector_equals(row->vector, cJSON_GetObjectItemCaseSensitive(found, "vector")))
		return true;
	strbuf_adds(why, "its vector is another");
	return false;
}

static bool is_recorded(const struct tool_type *type, const char *key, const struct lookup_row *row, struct strbuf *why)
{
	char id[WV_ID_BYTES];

	wv_id(type->class->name, key, id);
	if (row->vector_id == NULL)
		strbuf_adds(why, "ml_vector_metadata does not have it");
	else if (strcmp(row->vector_id, id) != 0)
		strbuf_adds(why, "ml_vector_metadata has another vector_id");
	else if (row->has_other_checksum)
		strbuf_adds(why, "ml_vector_metadata has another checksum");
	else
		return true;
	return false;
}

static enum verdict difference(const struct tool_type *type, const char *tenant, const char *key, const cJSON *found,
	const struct lookup_row *row, struct strbuf *why)
{
	bool is_elsewhere = tenant != NULL && row->exists &&
		(row->organization == NULL || strcmp(row->organization, tenant) != 0);
	bool is_here = row->exists && !is_elsewhere;

	if (found == NULL && !is_here)
		return VERDICT_SAME;
	if (found == NULL)
		return VERDICT_MISSING;
	if (is_elsewhere)
		strbuf_addf(why, "it belongs to organization %s", row->organization ? row->organization : "none");
	if (!is_here)
		return VERDICT_EXTRA;
	if (!contents_equal(type, found, row, why))
		return VERDICT_DIFFERENT;
	return is_recorded(type, key, row, why) ? VERDICT_SAME : VERDICT_UNRECORDED;
}

enum verdict compare_object(const struct tool_type *type, const char *tenant, const char *key, const cJSON *found,
	const struct lookup_row *row, struct strbuf *why)
{
	enum verdict verdict = difference(type, tenant, key, found, row, why);

	if (verdict == VERDICT_SAME)
		return verdict;
	if (row->is_pending)
		return VERDICT_PENDING;
	if (row->is_touched)
		return VERDICT_UNSETTLED;
	if (row->dead != NULL)
		strbuf_addf(why, "%sgiven up: %s", why->len > 0 ? "; " : "", row->dead);
	return verdict;
}

/* NULL and true: there is none. */
static bool read_object(struct tool *tool, const struct tool_type *type, const char *tenant, const char *key,
	cJSON **object_r)
{
	char id[WV_ID_BYTES];
	int status;

	wv_id(type->class->name, key, id);
	char *path = mem_printf("/v1/objects/%s/%s?include=vector%s%s", type->class->name, id, tenant ? "&tenant=" : "",
		tenant ? tenant : "");
	*object_r = rest_get(tool->rest, path, &status);
	mem_free(path);
	if (*object_r == NULL && status != 404)
		(void)tool_complain("%s", rest_why(tool->rest));
	return *object_r != NULL || status == 404;
}

static bool look_once(struct tool *tool, const struct tool_type *type, const char *tenant, const char *key,
	struct strbuf *why, enum verdict *verdict_r)
{
	char *since = lookup_clock(tool);
	struct lookup lookup = {0};
	cJSON *object = NULL;
	bool ok = since != NULL && read_object(tool, type, tenant, key, &object) &&
		lookup_read(&lookup, tool, type, 1, &key, since);

	strbuf_reset(why);
	if (ok)
		*verdict_r = compare_object(type, tenant, key, object, &lookup.rows[0], why);
	cJSON_Delete(object);
	lookup_release(&lookup);
	mem_free(since);
	return ok;
}

bool compare_settle(struct tool *tool, const struct tool_type *type, const char *tenant, const char *key,
	struct strbuf *why, enum verdict *verdict_r)
{
	*verdict_r = VERDICT_UNSETTLED;
	for (unsigned i = 0; i < N_LOOKS && *verdict_r == VERDICT_UNSETTLED; i++)
		if (!look_once(tool, type, tenant, key, why, verdict_r))
			return false;
	if (*verdict_r == VERDICT_UNSETTLED)
		*verdict_r = VERDICT_PENDING;
	return true;
}
