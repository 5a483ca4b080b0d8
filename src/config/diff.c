/* SPDX-License-Identifier: ISC */
/*
 * What a reload may not change: sockets, threads and the set of lanes exist for the life of the
 * process.
 */
#include "base/mem.h"
#include "config/schema.h"
#include "config/snapshot.h"

static void note(struct strbuf *notes, const char *key, const char *running, const char *fresh)
{
	strbuf_addf(
		notes, "%s: needs a restart to become \"%s\"; \"%s\" stays\n", key, fresh, running);
}

static void keep_row(struct config *fresh, const struct config *running,
	const struct schema_row *row, struct strbuf *notes)
{
	struct strbuf was = STRBUF_INIT, is = STRBUF_INIT;

	value_format(&row->type, schema_field_const(row, running), &was);
	value_format(&row->type, schema_field_const(row, fresh), &is);
	if (strcmp(was.data, is.data)) {
		note(notes, row->key, was.data, is.data);
		value_release(&row->type, schema_field(row, fresh));
		value_copy(&row->type, schema_field(row, fresh), schema_field_const(row, running));
	}
	strbuf_release(&was);
	strbuf_release(&is);
}

/* Lanes are sorted, so the same set has the same order. */
static bool same_lanes(const struct config *a, const struct config *b)
{
	if (a->n_lanes != b->n_lanes)
		return false;
	for (unsigned i = 0; i < a->n_lanes; i++)
		if (strcmp(a->lanes[i].name, b->lanes[i].name) ||
			a->lanes[i].urgent != b->lanes[i].urgent)
			return false;
	return true;
}

static void add_names(const struct config *config, struct strbuf *out)
{
	for (unsigned i = 0; i < config->n_lanes; i++)
		strbuf_addf(out, "%s%s", i ? ", " : "", config->lanes[i].name);
}

static void keep_lanes(struct config *fresh, const struct config *running, struct strbuf *notes)
{
	struct strbuf was = STRBUF_INIT, is = STRBUF_INIT;

	if (same_lanes(fresh, running))
		return;
	add_names(running, &was);
	add_names(fresh, &is);
	note(notes, "lanes", was.data, is.data);
	snapshot_release_lanes(fresh);
	snapshot_copy_lanes(fresh, running);
	strbuf_release(&was);
	strbuf_release(&is);
}

void config_keep_boot_values(
	struct config *fresh, const struct config *running, struct strbuf *notes)
{
	const struct schema *schema = schema_of(SCHEMA_MAIN);

	for (unsigned i = 0; i < schema->n_rows; i++) {
		const struct schema_row *row = &schema->rows[i];

		if (row->flags & SCHEMA_BOOT && !(row->flags & SCHEMA_ACCEPTED))
			keep_row(fresh, running, row, notes);
	}
	keep_lanes(fresh, running, notes);
}
