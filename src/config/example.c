/* SPDX-License-Identifier: ISC */
/*
 * conf/pglane.ini and conf/KEYS.md, written from the table of keys. A test compares them with what
 * stands in the tree.
 */
#include "config/lanes.h"
#include "config/schema.h"

#define WRAP_COLUMNS 100

static const char *const group_titles[N_GROUPS] = {
	[GROUP_LISTEN] = "Where to listen",
	[GROUP_PROCESS] = "The process",
	[GROUP_AUTH] = "Who may log in",
	[GROUP_CLIENTS] = "Clients",
	[GROUP_POOLING] = "Pools",
	[GROUP_LANES] = "Lanes and the budget",
	[GROUP_SERVERS] = "Servers",
	[GROUP_TIMEOUTS] = "Timeouts",
	[GROUP_LOG] = "Log and averages",
	[GROUP_CLIENT_TLS] = "TLS towards clients",
	[GROUP_SERVER_TLS] = "TLS towards servers",
	[GROUP_PROTOCOL] = "Protocol and memory",
	[GROUP_TCP] = "TCP",
	[GROUP_METRICS] = "Metrics in Postgres",
	[GROUP_WEAVIATE] = "Weaviate and the outbox",
	[GROUP_CATALOG] = "Vector columns, from the databases' catalogs",
	[GROUP_ACCEPTED] = "Accepted for compatibility, without effect",
};

/* Appends text in lines of at most WRAP_COLUMNS that each begin with prefix. */
static void add_wrapped(struct strbuf *out, const char *prefix, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (column == 0 || column + 1 + n > WRAP_COLUMNS) {
			strbuf_addf(out, "%s%s ", column ? "\n" : "", prefix);
			column = strlen(prefix) + 1;
		} else {
			strbuf_addc(out, ' ');
			column++;
		}
		strbuf_add(out, text, n);
		column += n;
		text += n;
		text += strspn(text, " ");
	}
	strbuf_addc(out, '\n');
}

static void add_words(struct strbuf *out, const struct value_type *type)
{
	for (unsigned i = 0; type->words && type->words[i]; i++)
		strbuf_addf(out, "%s%s", i ? ", " : "", type->words[i]);
}

/* "seconds" matters, "text" does not. */
static void add_form(struct strbuf *out, const struct value_type *type)
{
	if (type->words)
		add_words(out, type);
	else if (type->kind != VALUE_TEXT && type->kind != VALUE_QUERY)
		strbuf_adds(out, value_unit(type));
}

/* ---- conf/pglane.ini ---- */

static void add_key_comment(struct strbuf *out, const struct schema_row *row)
{
	struct strbuf form = STRBUF_INIT, facts = STRBUF_INIT;

	add_wrapped(out, ";;", row->doc);
	add_form(&form, &row->type);
	if (form.len)
		strbuf_addf(&facts, "(%s)", form.data);
	if (row->fallback_pgbouncer)
		strbuf_addf(&facts, "%sIn a [pgbouncer] section the default is %s.",
			facts.len ? " " : "",
			*row->fallback_pgbouncer ? row->fallback_pgbouncer : "empty");
	if (row->flags & SCHEMA_BOOT)
		strbuf_addf(&facts, "%sA change needs a restart.", facts.len ? " " : "");
	if (facts.len)
		add_wrapped(out, ";;", facts.data);
	strbuf_release(&facts);
	strbuf_release(&form);
}

static void add_main_key(struct strbuf *out, const struct schema_row *row)
{
	const char *text = schema_default(row, false);

	add_key_comment(out, row);
	strbuf_addf(out, ";%s =%s%s\n\n", row->key, *text ? " " : "", text);
}

static void add_group(struct strbuf *out, enum schema_group group)
{
	const struct schema *schema = schema_of(SCHEMA_MAIN);

	strbuf_addf(out, ";;;\n;;; %s\n;;;\n\n", group_titles[group]);
	for (unsigned i = 0; i < schema->n_rows; i++)
		if (schema->rows[i].group == group)
			add_main_key(out, &schema->rows[i]);
}

/* The keys of a section in which they do not stand at the start of a line. */
static void add_params(struct strbuf *out, enum schema_scope scope)
{
	const struct schema *schema = schema_of(scope);
	struct strbuf text = STRBUF_INIT;

	for (unsigned i = 0; i < schema->n_rows; i++) {
		const struct schema_row *row = &schema->rows[i];

		strbuf_reset(&text);
		strbuf_addf(&text, "%s: %s", row->key, row->doc);
		if (row->fallback && *row->fallback)
			strbuf_addf(&text, " Default: %s.", row->fallback);
		if (row->type.words) {
			strbuf_adds(&text, " (");
			add_words(&text, &row->type);
			strbuf_addc(&text, ')');
		}
		add_wrapped(out, ";;  ", text.data);
	}
	strbuf_release(&text);
}

static void add_scopes(struct strbuf *out)
{
	strbuf_adds(out,
		";;;\n;;; Databases: what clients may ask for, and where it is\n;;;\n"
		";; name = parameters, or just `name =`. The entry * stands for every other name. A name that is more than letters,\n"
		";; digits and _ . - stands in double quotes; a value with blanks in single ones, with '' for a quote.\n");
	add_params(out, SCHEMA_DATABASE);
	strbuf_adds(out,
		"[databases]\n* = host=127.0.0.1 port=5432\n"
		";reports = host=10.0.0.7 dbname=app user=reporting password='it''s secret' pool_size=5\n\n");
	strbuf_adds(out,
		";;;\n;;; Users: what differs for some. The entry * stands for every other user.\n;;;\n");
	add_params(out, SCHEMA_USER);
	strbuf_adds(out,
		"[users]\n;exporter = pool_mode=session annotations=none max_user_connections=5\n\n");
	strbuf_adds(out,
		";;;\n;;; Lanes: the shares of the budget. A section changes only the keys it gives; a new name adds a lane.\n;;;\n");
	add_params(out, SCHEMA_LANE);
	lanes_write_defaults(out);
	strbuf_adds(out,
		";;;\n;;; Entities: which rows become objects of Weaviate. A type without a section has the defaults.\n;;;\n");
	add_params(out, SCHEMA_ENTITY);
	strbuf_adds(out,
		";[entity:service_event]\n;collection = ServiceEventVector\n;vector = column embedding\n\n"
		";;;\n;;; Collections of Weaviate: how they keep organizations apart.\n;;;\n");
	add_params(out, SCHEMA_COLLECTION);
	strbuf_adds(out, ";[collection:ServiceEventVector]\n;organization = tenant\n\n");
	strbuf_adds(out,
		";;;\n;;; Rules: your own, one on a line, asked in order before the built-in ones.\n;;;\n"
		";; ACTION … if CONDITION …, where all conditions must hold. Actions: a class, priority N, lane NAME, timeout TIME, deny\n"
		";; 'message', log. Conditions, with ! for the opposite: user=, database=, application_name= (* for any characters),\n"
		";; organization=UUID, hour=22-6, weekday=mon-fri (zone=UTC: not local time), or a feature that EXPLAIN ROUTE names.\n"
		"[rules]\n;training if user=etl_*\n;serving priority 7 if application_name='web shop' database=app\n"
		";deny 'exports run at night' if copy-to hour=7-20 weekday=mon-fri\n\n"
		";; More configuration from another file, looked for beside this one:\n;%include local.ini\n");
}

void config_write_example(struct strbuf *out)
{
	strbuf_adds(out,
		";;;\n;;; pglane configuration: every key with its default. Generated from the table of keys in src/config/keys.c.\n;;;\n"
		";; A line is a comment only when it starts with ; or #. Times are seconds, or have a unit: 500ms, 10s, 5min, 1h.\n"
		";; A pgbouncer.ini works as it is: name the section [pgbouncer], and PgBouncer's defaults hold.\n\n"
		"[pglane]\n\n");
	for (unsigned group = 0; group < N_GROUPS; group++)
		add_group(out, (enum schema_group)group);
	add_scopes(out);
}

/* ---- conf/KEYS.md ---- */

/* Text into a cell: a bar would end it. */
static void add_cell(struct strbuf *out, const char *text)
{
	for (; *text; text++)
		strbuf_addf(out, "%s%c", *text == '|' ? "\\" : "", *text);
}

static void add_default_cell(struct strbuf *out, const char *text)
{
	if (text && *text) {
		strbuf_addc(out, '`');
		add_cell(out, text);
		strbuf_addc(out, '`');
	}
	strbuf_adds(out, " | ");
}

static void add_table_row(struct strbuf *out, const struct schema_row *row, bool is_main)
{
	strbuf_addf(out, "| `%s` | ", row->key);
	add_default_cell(out, row->fallback);
	if (is_main) {
		add_default_cell(out, row->fallback_pgbouncer);
		strbuf_adds(out, row->flags & SCHEMA_BOOT ? "restart | " : " | ");
	}
	add_form(out, &row->type);
	strbuf_adds(out, " | ");
	add_cell(out, row->doc);
	strbuf_adds(out, " |\n");
}

static void add_main_table(struct strbuf *out, enum schema_group group)
{
	const struct schema *schema = schema_of(SCHEMA_MAIN);

	strbuf_addf(out,
		"\n## %s\n\n| key | default | in [pgbouncer] | | form | meaning |\n|---|---|---|---|---|---|\n",
		group_titles[group]);
	for (unsigned i = 0; i < schema->n_rows; i++)
		if (schema->rows[i].group == group)
			add_table_row(out, &schema->rows[i], true);
}

static void add_scope_table(struct strbuf *out, enum schema_scope scope, const char *title)
{
	const struct schema *schema = schema_of(scope);

	strbuf_addf(
		out, "\n## %s\n\n| key | default | form | meaning |\n|---|---|---|---|\n", title);
	for (unsigned i = 0; i < schema->n_rows; i++)
		add_table_row(out, &schema->rows[i], false);
}

void config_write_manual(struct strbuf *out)
{
	strbuf_adds(out,
		"# Configuration keys\n\n"
		"Generated from the table in `src/config/keys.c`; `conf/pglane.ini` is the same as a file to start from. Times are seconds, or have a "
		"unit (`500ms`, `10s`, `5min`, `1h`); sizes are bytes, or have `kB`, `MB`, `GB`. The column *in [pgbouncer]* gives the default that "
		"holds once a `[pgbouncer]` section is read, where it differs. An empty cell is an empty value, or \"as in the wider scope\".\n");
	for (unsigned group = 0; group < N_GROUPS; group++)
		add_main_table(out, (enum schema_group)group);
	add_scope_table(out, SCHEMA_DATABASE, "Parameters of [databases]");
	add_scope_table(out, SCHEMA_USER, "Parameters of [users]");
	add_scope_table(out, SCHEMA_LANE, "Keys of [lane:NAME]");
	add_scope_table(out, SCHEMA_ENTITY, "Keys of [entity:TYPE]");
	add_scope_table(out, SCHEMA_COLLECTION, "Keys of [collection:NAME]");
	add_scope_table(out, SCHEMA_PEER, "Parameters of [peers]");
}
