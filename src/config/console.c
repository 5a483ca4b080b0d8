/* SPDX-License-Identifier: ISC */
/* The keys as the console sees them: rows of SHOW CONFIG, and SET. */
#include <pthread.h>

#include "base/mem.h"
#include "config/load.h"
#include "config/snapshot.h"
#include "config/weaviate.h"

#define ROWS_MAX 192

static struct config_row rows[ROWS_MAX]; /* written once, by make_rows() */
static pthread_once_t rows_once = PTHREAD_ONCE_INIT;

static void make_rows(void)
{
	const struct schema *schema = schema_of(SCHEMA_MAIN);

	MUST(schema->n_rows <= ROWS_MAX);
	for (unsigned i = 0; i < schema->n_rows; i++) {
		const struct schema_row *row = &schema->rows[i];

		rows[i] = (struct config_row){
			.key = row->key,
			.default_text = schema_default(row, false),
			.default_pgbouncer_text = schema_default(row, true),
			.changeable = !(row->flags & SCHEMA_BOOT),
			.doc = row->doc,
			.unit = value_unit(&row->type),
		};
	}
}

unsigned config_n_rows(void)
{
	return schema_of(SCHEMA_MAIN)->n_rows;
}

const struct config_row *config_row(unsigned i)
{
	MUST(i < config_n_rows());
	(void)pthread_once(&rows_once, make_rows);
	return &rows[i];
}

void config_row_value(const struct config *config, unsigned i, struct strbuf *out)
{
	const struct schema_row *row = &schema_of(SCHEMA_MAIN)->rows[i];
	size_t before = out->len;

	MUST(i < config_n_rows());
	if (row->flags & SCHEMA_ACCEPTED)
		strbuf_adds(out, config->accepted[i]
					 ? config->accepted[i]
					 : schema_default(row, config->pgbouncer_section));
	else
		value_format(&row->type, schema_field_const(row, config), out);
	if (row->flags & SCHEMA_SECRET && out->len > before) {
		out->len = before;
		strbuf_adds(out, "****");
	}
}

/* A problem's text without a place is what the console should say. */
static void take_first(const struct config_problems *problems, char error[static 256])
{
	(void)snprintf(error, 256, "%s", problems->items[0].text);
}

static bool set_key(struct config *config, const struct schema_row *row, const char *value,
	char error[static 256])
{
	struct config_problems problems = { .items = NULL };
	struct config_place place = { .key = row->key };
	struct strbuf why = STRBUF_INIT;
	bool ok = load_set_main(config, row, config->file_name, value, &why);

	if (!ok)
		(void)snprintf(error, 256, "%s: %s", row->key, why.data);
	strbuf_release(&why);
	if (!ok)
		return false;
	if (strcmp(row->key, "auth_file") == 0)
		load_secrets(config, &place, &problems);
	weaviate_settle(config, NULL, true, &problems);
	load_check(config, NULL, true, &problems);
	ok = problems.n == 0;
	if (!ok)
		take_first(&problems, error);
	config_problems_release(&problems);
	return ok;
}

struct config *config_with(
	const struct config *config, const char *key, const char *value, char error[static 256])
{
	const struct schema_row *row = schema_find(SCHEMA_MAIN, key);
	const char *nearest;
	struct config *copy;

	if (row == NULL) {
		nearest = schema_nearest(SCHEMA_MAIN, key);
		(void)snprintf(error, 256, "unknown configuration parameter \"%.60s\"%s%s%s", key,
			nearest ? "; did you mean " : "", nearest ? nearest : "",
			nearest ? "?" : "");
		return NULL;
	}
	if (row->flags & SCHEMA_BOOT) {
		(void)snprintf(error, 256, "parameter \"%s\" cannot be changed without a restart",
			row->key);
		return NULL;
	}
	copy = snapshot_copy(config);
	if (!set_key(copy, row, value, error))
		config_unref(&copy);
	return copy;
}
