/* SPDX-License-Identifier: ISC */
/* One statement reads objects, notes and metadata, so that they are of one snapshot. */
#include "tools/lookup.h"

#include "base/mem.h"

char *lookup_clock(struct tool *tool)
{
	PGresult *result = db_query(tool->db, "SELECT clock_timestamp()", 0, NULL);
	char *text = result != NULL ? mem_strdup(db_text(result, 0, 0)) : NULL;

	if (result == NULL)
		(void)tool_complain("%s", db_why(tool->db));
	PQclear(result);
	return text;
}

void lookup_add_array(struct strbuf *out, unsigned n, const char *const *items)
{
	strbuf_addc(out, '{');
	for (unsigned i = 0; i < n; i++)
		strbuf_addf(out, "%s%s", i > 0 ? "," : "", items[i] != NULL ? items[i] : "NULL");
	strbuf_addc(out, '}');
}

static void add_view(struct strbuf *sql, const struct tool_type *type)
{
	char *view = mem_printf("ml_source_%s", type->name);

	strbuf_adds(sql, "public.");
	strbuf_add_ident(sql, view);
	mem_free(view);
}

/* What the forwarder sends of an entity, and its sum: properties (a vector is none of them), and the vector, whatever its type, as JSON. */
static void add_sent(struct strbuf *sql, const char *column)
{
	if (column == NULL) {
		strbuf_adds(sql, "o.object -> 'properties' AS properties, NULL::text AS vector");
		return;
	}
	strbuf_adds(sql, "(o.object -> 'properties') #- ARRAY['properties', ");
	strbuf_add_literal(sql, column);
	strbuf_adds(sql, "] AS properties, to_jsonb(v.");
	strbuf_add_ident(sql, column);
	strbuf_adds(sql, ") #>> '{}' AS vector");
}

static void make_sql(struct strbuf *sql, const struct tool_type *type)
{
	const char *column;

	(void)config_entity_vector(type->entity, &column);
	strbuf_adds(sql, "SELECT s.is_there, s.properties, s.organization, s.vector,"
		" EXISTS (SELECT FROM public.ml_vector_outbox n WHERE n.entity_type = $1 AND n.entity_id = s.id),"
		" EXISTS (SELECT FROM public.ml_vector_metadata m WHERE m.entity_type = $1 AND m.entity_id = s.id AND m.updated_at >= $3),"
		" (SELECT coalesce(d.last_error, '') FROM public.ml_vector_dead d WHERE d.entity_type = $1 AND d.entity_id = s.id),"
		" m.vector_id, m.vector_checksum <> encode(sha256(convert_to(s.properties::text || coalesce(s.vector, ''), 'UTF8')), 'hex')"
		" FROM (SELECT k.id, k.place, o.entity_id IS NOT NULL AS is_there, o.object ->> 'organization_id' AS organization, ");
	add_sent(sql, column);
	strbuf_adds(sql, " FROM unnest($2::uuid[]) WITH ORDINALITY k (id, place)"
		" LEFT JOIN public.ml_vector_objects($1, $2::uuid[]) o ON o.entity_id = k.id");
	if (column != NULL) {
		strbuf_adds(sql, " LEFT JOIN ");
		add_view(sql, type);
		strbuf_adds(sql, " v ON v.id = k.id");
	}
	strbuf_adds(sql, ") s LEFT JOIN public.ml_vector_metadata m ON m.entity_type = $1 AND m.entity_id = s.id AND m.vector_version = 1"
		" AND m.deleted_at IS NULL ORDER BY s.place");
}

static char *text_or_null(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : mem_strdup(db_text(result, row, column));
}

static void read_row(struct lookup_row *row, const PGresult *result, int i)
{
	row->exists = db_is_true(result, i, 0);
	row->properties = cJSON_Parse(db_text(result, i, 1));
	row->organization = text_or_null(result, i, 2);
	row->vector = cJSON_Parse(db_text(result, i, 3));
	row->is_pending = db_is_true(result, i, 4);
	row->is_touched = db_is_true(result, i, 5);
	row->dead = text_or_null(result, i, 6);
	row->vector_id = text_or_null(result, i, 7);
	row->has_other_checksum = db_is_true(result, i, 8);
}

bool lookup_read(struct lookup *lookup, struct tool *tool, const struct tool_type *type, unsigned n,
	const char *const *keys, const char *since)
{
	struct strbuf sql = STRBUF_INIT, array = STRBUF_INIT;

	*lookup = (struct lookup){0};
	make_sql(&sql, type);
	lookup_add_array(&array, n, keys);
	PGresult *result = db_query(tool->db, sql.data, 3, (const char *const[]){type->name, array.data, since});
	if (result == NULL) {
		(void)tool_complain("entity type %s: %s", type->name, db_why(tool->db));
	} else {
		MUST(PQntuples(result) == (int)n);
		lookup->rows = mem_zalloc((n + 1) * sizeof(lookup->rows[0]));
		lookup->n = n;
		for (unsigned i = 0; i < n; i++)
			read_row(&lookup->rows[i], result, (int)i);
	}
	PQclear(result);
	strbuf_release(&sql);
	strbuf_release(&array);
	return lookup->rows != NULL;
}

void lookup_release(struct lookup *lookup)
{
	for (unsigned i = 0; i < lookup->n; i++) {
		cJSON_Delete(lookup->rows[i].properties);
		cJSON_Delete(lookup->rows[i].vector);
		mem_free(lookup->rows[i].organization);
		mem_free(lookup->rows[i].dead);
		mem_free(lookup->rows[i].vector_id);
	}
	mem_free(lookup->rows);
	*lookup = (struct lookup){0};
}

static PGresult *ask_view(struct tool *tool, const struct tool_type *type, const char *select, const char *rest,
	unsigned n_values, const char *const *values)
{
	struct strbuf sql = STRBUF_INIT;

	strbuf_adds(&sql, select);
	add_view(&sql, type);
	strbuf_adds(&sql, rest);
	PGresult *result = db_query(tool->db, sql.data, n_values, values);
	if (result == NULL)
		(void)tool_complain("entity type %s: %s", type->name, db_why(tool->db));
	strbuf_release(&sql);
	return result;
}

/* "id > null" would be none, and an OR would cost the index: before the first stands the least of all. */
PGresult *lookup_keys(struct tool *tool, const struct tool_type *type, const char *after, unsigned limit)
{
	const char *op = after == NULL ? ">=" : ">";
	const char *bound = after == NULL ? "00000000-0000-0000-0000-000000000000" : after;
	char rest[100];

	(void)snprintf(rest, sizeof(rest), " WHERE id %s $1::uuid ORDER BY id LIMIT %u", op, limit);
	return ask_view(tool, type, "SELECT id FROM ", rest, 1, &bound);
}

bool lookup_count(struct tool *tool, const struct tool_type *type, uint64_t *n_r)
{
	PGresult *result = ask_view(tool, type, "SELECT count(*) FROM ", "", 0, NULL);

	*n_r = result != NULL ? db_number(result, 0, 0) : 0;
	PQclear(result);
	return result != NULL;
}
