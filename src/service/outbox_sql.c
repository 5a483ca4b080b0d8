/* SPDX-License-Identifier: ISC */
#include "service/outbox_sql.h"

#include <ctype.h>

#include "base/mem.h"

const char outbox_lease_sql[] =
	"SELECT l.lease, l.entity_type, l.entity_id, l.op, l.organization_id, l.gen, l.attempts, "
	"greatest(0, (extract(epoch FROM clock_timestamp() - l.enqueued_at) * 1000000)::bigint) "
	"FROM public.ml_outbox_lease($1::integer, $2::interval) l";

void outbox_read_sql(struct strbuf *sql, const char *type, const char *vector_column)
{
	strbuf_adds(sql, "SELECT id, is_there, collection, organization, CASE WHEN n_bytes <= $4::bigint THEN properties END, "
			 "CASE WHEN n_bytes <= $4::bigint THEN vector END, n_bytes, old_organization FROM ("
			 "SELECT *, sum(n_bytes) OVER (ORDER BY nr) - n_bytes AS n_before FROM ("
			 "SELECT *, coalesce(octet_length(properties), 0) + coalesce(octet_length(vector), 0) AS n_bytes FROM ("
			 "SELECT i.nr, i.id, o.entity_id IS NOT NULL AS is_there, o.object ->> 'collection' AS collection, "
			 "o.object ->> 'organization_id' AS organization, m.organization_id AS old_organization, ");
	if (vector_column) {
		/* What is a vector is no property; text of arrays and of extensions' types is a JSON array either way. */
		strbuf_adds(sql, "((o.object -> 'properties') #- ARRAY['properties', ");
		strbuf_add_literal(sql, vector_column);
		strbuf_adds(sql, "])::text AS properties, to_jsonb(s.");
		strbuf_add_ident(sql, vector_column);
		strbuf_adds(sql, ") #>> '{}' AS vector ");
	} else {
		strbuf_adds(sql, "(o.object -> 'properties')::text AS properties, NULL::text AS vector ");
	}
	strbuf_adds(sql, "FROM unnest($2::uuid[]) WITH ORDINALITY i (id, nr) LEFT JOIN public.ml_vector_objects($1::text, $2::uuid[]) o ON o.entity_id = i.id "
			 "LEFT JOIN public.ml_vector_metadata m ON m.entity_type = $1::text AND m.entity_id = i.id AND m.vector_version = 1 AND m.deleted_at IS NULL ");
	if (vector_column) {
		char *view = mem_printf("ml_source_%s", type);

		strbuf_adds(sql, "LEFT JOIN public.");
		strbuf_add_ident(sql, view);
		strbuf_adds(sql, " s ON s.id = i.id ");
		mem_free(view);
	}
	strbuf_adds(sql, ") a) b) c WHERE n_before < $3::bigint OR nr = 1 ORDER BY nr");
}

#define DONE_CALL "public.ml_outbox_done($1::bigint, array_fill($2::text, ARRAY[cardinality($3::uuid[])]), $3::uuid[], $4::bigint[])"
#define FAIL_CALL(keys, gens, errors, park)                                                                                                        \
	"public.ml_outbox_fail($1::bigint, array_fill($2::text, ARRAY[cardinality(" keys "::uuid[])]), " keys "::uuid[], " gens "::bigint[], " errors "::text[], " park ")"
#define FINISH_CALLS "SELECT " DONE_CALL ", " FAIL_CALL("$5", "$6", "$7", "false") ", " FAIL_CALL("$8", "$9", "$10", "true")

const char outbox_finish_sql[] =
	"WITH stored AS (INSERT INTO public.ml_vector_metadata AS m (entity_type, entity_id, vector_id, vector_dimensions, vector_checksum, generation_time_ms, organization_id) "
	"SELECT $2::text, s.* FROM unnest($11::uuid[], $12::text[], $13::integer[], $14::text[], $15::integer[], $16::uuid[]) s ORDER BY 2 "
	"ON CONFLICT ON CONSTRAINT ml_vector_metadata_entity_unique DO UPDATE SET vector_id = excluded.vector_id, vectorization_timestamp = now(), "
	"vector_dimensions = excluded.vector_dimensions, vector_checksum = excluded.vector_checksum, generation_time_ms = excluded.generation_time_ms, "
	"organization_id = excluded.organization_id), "
	"removed AS (UPDATE public.ml_vector_metadata SET deleted_at = clock_timestamp() WHERE entity_type = $2::text AND deleted_at IS NULL "
	"AND entity_id = ANY ($3::uuid[]) AND NOT entity_id = ANY ($11::uuid[])) " FINISH_CALLS;

const char outbox_finish_only_sql[] = FINISH_CALLS;

/* The count is of before the call: of a statement's own snapshot. */
const char outbox_done_sql[] = "SELECT " DONE_CALL ", (SELECT count(*) FROM public.ml_vector_outbox WHERE lease = $1::bigint AND entity_type = $2::text "
			       "AND entity_id = ANY ($3::uuid[]))";

/* A note whose transaction began after ours may be there already: its age is a moment, and no negative one. */
const char outbox_state_sql[] =
	"SELECT waiting, leased, failing, dead, abs((extract(epoch FROM oldest_age) * 1000000)::bigint), "
	"(SELECT string_agg(format('%s=%s', reason, n), ', ' ORDER BY n DESC, reason) FROM ("
	"SELECT split_part(coalesce(last_error, 'unknown'), ':', 1) AS reason, count(*) AS n FROM public.ml_vector_dead GROUP BY 1 ORDER BY 2 DESC LIMIT 12) r) "
	"FROM public.ml_outbox_state()";

const char outbox_revive_sql[] = "SELECT public.ml_outbox_revive($1::text, $2::uuid)";

/* ---- arrays ---- */

void outbox_array_add(struct strbuf *array, const char *element)
{
	strbuf_addc(array, array->len ? ',' : '{');
	if (element == NULL) {
		strbuf_adds(array, "NULL");
		return;
	}
	strbuf_addc(array, '"');
	for (; *element; element++) {
		if (*element == '"' || *element == '\\')
			strbuf_addc(array, '\\');
		strbuf_addc(array, *element);
	}
	strbuf_addc(array, '"');
}

void outbox_array_end(struct strbuf *array)
{
	strbuf_adds(array, array->len ? "}" : "{}");
}

/* ---- names ---- */

char *outbox_collection_of(const char *type)
{
	struct strbuf name = STRBUF_INIT;
	bool begins = true;

	for (; *type; type++) {
		if (*type == '_') {
			begins = true;
			continue;
		}
		strbuf_addc(&name, (char)(begins ? toupper((unsigned char)*type) : tolower((unsigned char)*type)));
		begins = !isalnum((unsigned char)*type);
	}
	strbuf_adds(&name, "Vector");
	return strbuf_detach(&name);
}
