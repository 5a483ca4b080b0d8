/* SPDX-License-Identifier: ISC */
#include "config/schema.h"

#include "base/mem.h"

#define NEAREST_MAX_BYTES 64 /* longer words are no slips of ours */

const struct schema_row *schema_find(enum schema_scope scope, const char *key)
{
	const struct schema *schema = schema_of(scope);

	for (unsigned i = 0; i < schema->n_rows; i++)
		if (strcmp(schema->rows[i].key, key) == 0)
			return &schema->rows[i];
	return NULL;
}

/* Levenshtein's distance, by one row of the matrix. */
static unsigned edit_distance(const char *a, const char *b)
{
	unsigned row[NEAREST_MAX_BYTES + 1];
	size_t n = strlen(b);

	for (unsigned j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1]; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= n; j++) {
			unsigned change = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			row[j] = MIN_OF(change, MIN_OF(row[j], row[j - 1]) + 1);
		}
	}
	return row[n];
}

/* Better than the best so far, and near enough to be a slip rather than another word? */
static bool is_nearer(const char *word, const char *known, unsigned *best)
{
	unsigned distance;

	if (strlen(word) > NEAREST_MAX_BYTES || strlen(known) > NEAREST_MAX_BYTES)
		return false;
	distance = edit_distance(word, known);
	if (distance > strlen(known) / 3 + 1 || distance >= *best)
		return false;
	*best = distance;
	return true;
}

const char *schema_nearest(enum schema_scope scope, const char *key)
{
	const struct schema *schema = schema_of(scope);
	const char *nearest = NULL;
	unsigned best = UINT32_MAX;

	for (unsigned i = 0; i < schema->n_rows; i++)
		if (is_nearer(key, schema->rows[i].key, &best))
			nearest = schema->rows[i].key;
	return nearest;
}

const char *schema_nearest_word(const char *const *words, const char *word)
{
	const char *nearest = NULL;
	unsigned best = UINT32_MAX;

	for (; *words; words++)
		if (is_nearer(word, *words, &best))
			nearest = *words;
	return nearest;
}

const char *schema_default(const struct schema_row *row, bool pgbouncer)
{
	return pgbouncer && row->fallback_pgbouncer ? row->fallback_pgbouncer : row->fallback;
}

void *schema_field(const struct schema_row *row, void *object)
{
	MUST(!(row->flags & SCHEMA_ACCEPTED));
	return (char *)object + row->offset;
}

const void *schema_field_const(const struct schema_row *row, const void *object)
{
	MUST(!(row->flags & SCHEMA_ACCEPTED));
	return (const char *)object + row->offset;
}

static void set_default(const struct schema_row *row, void *field, const char *text)
{
	struct strbuf why = STRBUF_INIT;

	if (text) {
		bool ok = value_set(&row->type, field, text, &why);

		MUST(ok); /* the table's own defaults are valid */
	} else if (row->type.inherits) {
		value_set_inherited(&row->type, field);
	}
	strbuf_release(&why);
}

void schema_set_defaults(enum schema_scope scope, void *object, bool pgbouncer)
{
	const struct schema *schema = schema_of(scope);

	for (unsigned i = 0; i < schema->n_rows; i++) {
		const struct schema_row *row = &schema->rows[i];

		if (!(row->flags & SCHEMA_ACCEPTED))
			set_default(row, schema_field(row, object), schema_default(row, pgbouncer));
	}
}

void schema_copy_fields(enum schema_scope scope, void *to, const void *from)
{
	const struct schema *schema = schema_of(scope);

	for (unsigned i = 0; i < schema->n_rows; i++) {
		const struct schema_row *row = &schema->rows[i];

		if (!(row->flags & SCHEMA_ACCEPTED))
			value_copy(
				&row->type, schema_field(row, to), schema_field_const(row, from));
	}
}

void schema_release_fields(enum schema_scope scope, void *object)
{
	const struct schema *schema = schema_of(scope);

	for (unsigned i = 0; i < schema->n_rows; i++) {
		const struct schema_row *row = &schema->rows[i];

		if (!(row->flags & SCHEMA_ACCEPTED))
			value_release(&row->type, schema_field(row, object));
	}
}
