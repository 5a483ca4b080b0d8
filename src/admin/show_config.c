/* SPDX-License-Identifier: ISC */
/* SHOW DATABASES, USERS, CONFIG: what was configured, beside how much of it is used. */
#include "admin/show.h"

#include "base/mem.h"

const struct column databases_columns[17] = {
	COLUMN_T("name"),
	COLUMN_T("host"),
	COLUMN_I("port"),
	COLUMN_T("database"),
	COLUMN_T("force_user"),
	COLUMN_I("pool_size"),
	COLUMN_I("min_pool_size"),
	COLUMN_I("reserve_pool_size"),
	COLUMN_I("server_lifetime"),
	COLUMN_T("pool_mode"),
	COLUMN_T("load_balance_hosts"),
	COLUMN_I("max_connections"),
	COLUMN_I("current_connections"),
	COLUMN_I("max_client_connections"),
	COLUMN_I("current_client_connections"),
	COLUMN_I("paused"),
	COLUMN_I("disabled"),
};

const struct column users_columns[8] = {
	COLUMN_T("name"),
	COLUMN_T("pool_size"),
	COLUMN_T("reserve_pool_size"),
	COLUMN_T("pool_mode"),
	COLUMN_I("max_user_connections"),
	COLUMN_I("current_connections"),
	COLUMN_I("max_user_client_connections"),
	COLUMN_I("current_client_connections"),
};

const struct column config_columns[4] = { COLUMN_T("key"), COLUMN_T("value"), COLUMN_T("default"), COLUMN_T("changeable") };

/* NULL: the next wider scope decides. */
static const char *mode_name(enum pool_mode mode)
{
	switch (mode) {
	case POOL_MODE_SESSION:
		return "session";
	case POOL_MODE_TRANSACTION:
		return "transaction";
	case POOL_MODE_STATEMENT:
		return "statement";
	case POOL_MODE_UNSET:
	default:
		return NULL;
	}
}

static uint32_t or_global(uint32_t own, uint32_t global)
{
	return own == CONFIG_INHERIT ? global : own;
}

/* ---- databases ---- */

static void add_database(struct run *run, const char *name, const struct config_database *entry, const struct shared_database *known)
{
	const struct config *config = worker_config(run->worker);
	struct rows *rows = &run->rows;
	uint64_t lifetime_us = entry->server_lifetime_us == CONFIG_INHERIT_US ? config->server_lifetime_us : entry->server_lifetime_us;

	rows_text(rows, name);
	rows_text(rows, entry->host);
	rows_number(rows, entry->port);
	rows_text(rows, entry->dbname ? entry->dbname : name);
	rows_text(rows, entry->user);
	rows_number(rows, or_global(entry->pool_size, config->default_pool_size));
	rows_number(rows, or_global(entry->min_pool_size, config->min_pool_size));
	rows_number(rows, or_global(entry->reserve_pool_size, config->reserve_pool_size));
	rows_number(rows, lifetime_us / 1000000u);
	rows_text(rows, mode_name(entry->pool_mode));
	rows_text(rows, entry->host && strchr(entry->host, ',') ? "round-robin" : NULL);
	rows_number(rows, or_global(entry->max_db_connections, config->max_db_connections));
	rows_number(rows, known ? STAT_READ(known->n_servers) : 0);
	rows_number(rows, or_global(entry->max_db_client_connections, config->max_db_client_connections));
	rows_number(rows, known ? STAT_READ(known->n_clients) : 0);
	rows_number(rows, known ? STAT_READ(known->paused) : 0);
	rows_number(rows, known ? STAT_READ(known->disabled) : 0);
	rows_end(rows);
}

static void add_known_database(struct run *run, const char *name, const struct config_database *entry)
{
	struct shared_database *known = registry_find_database(name);

	add_database(run, name, entry, known);
	shared_database_unref(&known);
}

/* The console itself, under the name by which PgBouncer's tools know to skip it. */
static void add_console(struct run *run)
{
	const struct config_database entry = {
		.port = worker_config(run->worker)->listen_port,
		.user = (char[]){ CONSOLE_DATABASE_COMPAT },
		.pool_mode = POOL_MODE_STATEMENT,
		.pool_size = 2,
		.max_db_connections = CONFIG_INHERIT,
		.max_db_client_connections = CONFIG_INHERIT,
	};

	add_known_database(run, CONSOLE_DATABASE_COMPAT, &entry);
}

struct database_count {
	const struct config *config;
	unsigned n;
};

/* Databases that clients reached through the entry "*". */
static void add_by_fallback(void *arg, struct shared_database *database)
{
	struct run *run = arg;
	const struct config_database *entry = config_find_database(worker_config(run->worker), database->name);

	if (entry && strcmp(entry->name, "*") == 0 && !is_console_database(database->name))
		add_database(run, database->name, entry, database);
}

static void count_by_fallback(void *arg, struct shared_database *database)
{
	struct database_count *count = arg;
	const struct config_database *entry = config_find_database(count->config, database->name);

	count->n += entry && strcmp(entry->name, "*") == 0 && !is_console_database(database->name);
}

unsigned count_databases(const struct config *config)
{
	struct database_count count = { config, 1 }; /* the console */

	for (unsigned i = 0; i < config->n_databases; i++)
		count.n += strcmp(config->databases[i].name, "*") != 0;
	registry_each_database(count_by_fallback, &count);
	return count.n;
}

void show_databases(struct run *run)
{
	static const unsigned keys[] = { 0 };
	const struct config *config = worker_config(run->worker);

	for (unsigned i = 0; i < config->n_databases; i++) {
		const struct config_database *entry = &config->databases[i];

		if (strcmp(entry->name, "*") != 0)
			add_known_database(run, entry->name, entry);
	}
	registry_each_database(add_by_fallback, run);
	add_console(run);
	rows_sort(&run->rows, keys, N_ELEMENTS(keys));
	run_done(run);
}

/* ---- users ---- */

/* Empty where the user has no size of its own; right-aligned as PgBouncer has it. */
static void add_size(struct rows *rows, const struct config_user *entry, uint32_t size)
{
	char text[16] = "";

	if (entry && size != CONFIG_INHERIT)
		(void)snprintf(text, sizeof(text), "%9u", size);
	rows_text(rows, text);
}

static void add_user(struct run *run, const char *name)
{
	const struct config *config = worker_config(run->worker);
	const struct config_user *entry = config_find_user(config, name);
	struct shared_user *known = registry_find_user(name);
	struct rows *rows = &run->rows;

	rows_text(rows, name);
	add_size(rows, entry, entry ? entry->pool_size : 0);
	add_size(rows, entry, entry ? entry->reserve_pool_size : 0);
	rows_text(rows, mode_name(entry ? entry->pool_mode : POOL_MODE_UNSET));
	rows_number(rows, or_global(entry ? entry->max_user_connections : CONFIG_INHERIT, config->max_user_connections));
	rows_number(rows, known ? STAT_READ(known->n_servers) : 0);
	rows_number(rows, or_global(entry ? entry->max_user_client_connections : CONFIG_INHERIT, config->max_user_client_connections));
	rows_number(rows, known ? STAT_READ(known->n_clients) : 0);
	rows_end(rows);
	shared_user_unref(&known);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_name(struct user_names *names, const char *name)
{
	if (names->n == names->cap) {
		names->cap = names->cap ? 2 * names->cap : 64;
		names->items = mem_realloc(names->items, names->cap * sizeof(*names->items));
	}
	names->items[names->n++] = mem_strdup(name);
}

static void add_known(void *arg, struct shared_user *user)
{
	add_name(arg, user->name);
}

void user_names_gather(struct user_names *names, const struct config *config)
{
	unsigned n = 0;

	*names = (struct user_names){ NULL };
	for (unsigned i = 0; i < config->n_users; i++)
		if (strcmp(config->users[i].name, "*") != 0)
			add_name(names, config->users[i].name);
	for (unsigned i = 0; i < config->n_secrets; i++)
		add_name(names, config->secrets[i].user);
	registry_each_user(add_known, names);
	if (names->n > 1)
		qsort(names->items, names->n, sizeof(*names->items), compare_names);
	for (unsigned i = 0; i < names->n; i++)
		if (n == 0 || strcmp(names->items[n - 1], names->items[i]) != 0)
			names->items[n++] = names->items[i];
		else
			mem_free(names->items[i]);
	names->n = n;
}

void user_names_release(struct user_names *names)
{
	for (unsigned i = 0; i < names->n; i++)
		mem_free(names->items[i]);
	mem_free(names->items);
	names->items = NULL;
}

void show_users(struct run *run)
{
	struct user_names names;

	user_names_gather(&names, worker_config(run->worker));
	for (unsigned i = 0; i < names.n; i++)
		add_user(run, names.items[i]);
	user_names_release(&names);
	run_done(run);
}

/* ---- configuration ---- */

void show_config(struct run *run)
{
	const struct config *config = worker_config(run->worker);
	struct strbuf value = STRBUF_INIT;

	for (unsigned i = 0; i < config_n_rows(); i++) {
		const struct config_row *row = config_row(i);
		const char *fallback = config->pgbouncer_section ? row->default_pgbouncer_text : row->default_text;

		strbuf_reset(&value);
		config_row_value(config, i, &value);
		rows_text(&run->rows, row->key);
		rows_text(&run->rows, value.data);
		rows_text(&run->rows, fallback ? fallback : "");
		rows_text(&run->rows, row->changeable ? "yes" : "no");
		rows_end(&run->rows);
	}
	strbuf_release(&value);
	run_done(run);
}
