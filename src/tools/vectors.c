/* SPDX-License-Identifier: ISC */
#include "tools/vectors.h"

#include "base/mem.h"
#include "tools/tenants.h"

/* Dimensions of any one object's vector in r; 0: there is none. false: told. */
static bool dimensions_there(struct tool *tool, const struct wv_class *class, unsigned *dimensions_r)
{
	struct tenants tenants;

	*dimensions_r = 0;
	if (!tenants_read(&tenants, tool, class))
		return false;
	bool ok = true;
	for (int i = 0; ok && i < tenants.n && *dimensions_r == 0; i++) {
		char *path = mem_printf("/v1/objects?class=%s&limit=1&include=vector%s%s", class->name,
			tenants.names[i] ? "&tenant=" : "", tenants.names[i] ? tenants.names[i] : "");
		cJSON *answer = rest_get(tool->rest, path, NULL);
		const cJSON *object =
			cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(answer, "objects"), 0);
		*dimensions_r = (unsigned)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(object, "vector"));
		ok = answer != NULL || tool_complain("%s", rest_why(tool->rest));
		cJSON_Delete(answer);
		mem_free(path);
	}
	tenants_release(&tenants);
	return ok;
}

/* Of any one row's vector; 0: there is none. */
static bool dimensions_here(struct tool *tool, const char *type, const char *column, unsigned *dimensions_r)
{
	struct strbuf sql = STRBUF_INIT;
	char *view = mem_printf("ml_source_%s", type);

	if (!tool_open_db(tool)) {
		mem_free(view);
		return false;
	}
	strbuf_adds(&sql, "SELECT cardinality(string_to_array(");
	strbuf_add_ident(&sql, column);
	strbuf_adds(&sql, "::text, ',')) FROM public.");
	strbuf_add_ident(&sql, view);
	strbuf_adds(&sql, " WHERE ");
	strbuf_add_ident(&sql, column);
	strbuf_adds(&sql, " IS NOT NULL LIMIT 1");
	PGresult *result = db_query(tool->db, sql.data, 0, NULL);
	*dimensions_r = result != NULL && PQntuples(result) > 0 ? (unsigned)db_number(result, 0, 0) : 0;
	if (result == NULL)
		(void)tool_complain("[entity:%s] vector: %s", type, db_why(tool->db));
	PQclear(result);
	strbuf_release(&sql);
	mem_free(view);
	return result != NULL;
}

static bool has_vectorizer(const struct wv_class *class)
{
	const char *vectorizer =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(class->json, "vectorizer"));
	return vectorizer == NULL || strcmp(vectorizer, "none") != 0;
}

/* there: dimensions of the class, 0 when nobody knows yet. */
static bool verify_entity(struct tool *tool, const struct wv_class *class,
	const struct config_entity *entity, unsigned there, unsigned *n_differences)
{
	const char *column;
	unsigned here = 0;

	switch (config_entity_vector(entity, &column)) {
	case VECTOR_BY_VECTORIZER:
		if (!has_vectorizer(class)) {
			(*n_differences)++;
			printf("%s: the class has no vectorizer, and [entity:%s] leaves vectors to it; set vector = column NAME "
			       "there, or use a class with a vectorizer\n", class->name, entity->name);
		}
		return true;
	case VECTOR_FROM_COLUMN:
		if (!dimensions_here(tool, entity->name, column, &here))
			return false;
		if (here != 0 && there != 0 && here != there) {
			(*n_differences)++;
			printf("%s: vectors have %u dimensions there, and %u in column %s of ml_source_%s; fill the column "
			       "from the same model, or make the class anew\n", class->name, there, here, column, entity->name);
		}
		return true;
	case VECTOR_NONE:
		return true;
	}
	UNREACHABLE("source of vectors");
}

bool vectors_verify(struct tool *tool, const struct wv_class *class, unsigned *n_differences)
{
	unsigned wanted = wv_schema_dimensions(class->json), there;
	bool ok = dimensions_there(tool, class, &there);

	if (ok && wanted != 0 && there != 0 && wanted != there) {
		(*n_differences)++;
		printf("%s: vectors have %u dimensions, wanted are %u; %s\n", class->name, there, wanted,
			wv_difference_advice(WV_UNCHANGEABLE));
	}
	for (unsigned i = 0; ok && i < tool->config->n_entities; i++) {
		const struct config_entity *entity = &tool->config->entities[i];
		char *name = tool_class_name(tool->config, entity->name);
		if (strcmp(name, class->name) == 0)
			ok = verify_entity(tool, class, entity, there != 0 ? there : wanted, n_differences);
		mem_free(name);
	}
	return ok;
}
