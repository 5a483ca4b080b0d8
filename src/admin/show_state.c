/* SPDX-License-Identifier: ISC */
/* SHOW LISTS, MEM, STATE, VERSION, HELP, and the parameters that drivers ask of any server. */
#include "admin/show.h"

#include "base/mem.h"
#include "session/server.h"

const struct column lists_columns[2] = { COLUMN_T("list"), COLUMN_I("items") };
const struct column state_columns[2] = { COLUMN_T("key"), COLUMN_T("value") };
const struct column version_columns[1] = { COLUMN_T("version") };

const struct column mem_columns[5] = {
	COLUMN_T("name"), COLUMN_I("size"), COLUMN_I("used"), COLUMN_I("free"), COLUMN_I("memtotal"),
};

const struct column peers_columns[4] = { COLUMN_I("peer_id"), COLUMN_T("host"), COLUMN_I("port"), COLUMN_I("pool_size") };

const struct column peer_pools_columns[5] = {
	COLUMN_I("peer_id"), COLUMN_I("cl_active_cancel_req"), COLUMN_I("cl_waiting_cancel_req"), COLUMN_I("sv_active_cancel"), COLUMN_I("sv_login"),
};

const struct column dns_hosts_columns[3] = { COLUMN_T("hostname"), COLUMN_Q("ttl"), COLUMN_T("addrs") };
const struct column dns_zones_columns[3] = { COLUMN_T("zonename"), COLUMN_Q("serial"), COLUMN_I("count") };

/* ---- counts ---- */

struct counts {
	uint64_t n_clients, n_logging_in, n_servers, n_local_pools, n_statements, n_statement_bytes;
	uint64_t n_fingerprints, n_fingerprint_bytes;
	uint64_t n_pools, n_databases; /* of all workers together */
};

static void visit_counts(struct run *run, struct worker *worker)
{
	struct counts *counts = run->gathered;
	const struct client *client;
	const struct pool *pool;

	TAILQ_FOREACH(client, &worker->clients, link) {
		counts->n_clients++;
		counts->n_logging_in += client->pool == NULL;
	}
	for (pool = worker->pools; pool; pool = pool->next) {
		counts->n_local_pools++;
		for (unsigned i = 0; i < N_SERVER_STATES; i++)
			counts->n_servers += pool->n_servers[i];
	}
	counts->n_statements += worker->statements.n;
	counts->n_statement_bytes += worker->statements.n_bytes;
	counts->n_fingerprints += worker->fingerprints.n;
	counts->n_fingerprint_bytes += fingerprints_bytes(&worker->fingerprints);
}

static void count_pool(void *arg, struct shared_pool *pool)
{
	struct counts *counts = arg;

	counts->n_pools++;
}

static void count_database(void *arg, struct shared_database *database)
{
	struct counts *counts = arg;

	counts->n_databases++;
}

static void gather_counts(struct run *run, void (*then)(struct run *run))
{
	run->gathered = mem_zalloc(sizeof(struct counts));
	run_visit(run, visit_counts, then);
}

/* ---- lists ---- */

static void add_item(struct run *run, const char *list, uint64_t n)
{
	rows_text(&run->rows, list);
	rows_number(&run->rows, n);
	rows_end(&run->rows);
}

static void finish_lists(struct run *run)
{
	const struct config *config = worker_config(run->worker);
	struct counts *counts = run->gathered;
	struct user_names users;

	user_names_gather(&users, config);
	registry_each_pool(count_pool, counts);
	add_item(run, "databases", count_databases(config));
	add_item(run, "users", users.n);
	add_item(run, "peers", 0);
	add_item(run, "pools", counts->n_pools);
	add_item(run, "peer_pools", 0);
	add_item(run, "free_clients", 0); /* nothing is kept for later */
	add_item(run, "used_clients", counts->n_clients);
	add_item(run, "login_clients", counts->n_logging_in);
	add_item(run, "free_servers", 0);
	add_item(run, "used_servers", counts->n_servers);
	add_item(run, "dns_names", 0); /* names are resolved for each connection */
	add_item(run, "dns_zones", 0);
	add_item(run, "dns_queries", 0);
	add_item(run, "dns_pending", 0);
	user_names_release(&users);
	run_done(run);
}

void show_lists(struct run *run)
{
	gather_counts(run, finish_lists);
}

/* ---- memory ---- */

static void add_objects(struct run *run, const char *name, uint64_t size, uint64_t n)
{
	rows_text(&run->rows, name);
	rows_number(&run->rows, size);
	rows_number(&run->rows, n);
	rows_number(&run->rows, 0);
	rows_number(&run->rows, size * n);
	rows_end(&run->rows);
}

static void finish_mem(struct run *run)
{
	struct counts *counts = run->gathered;
	struct user_names users;

	user_names_gather(&users, worker_config(run->worker));
	registry_each_database(count_database, counts);
	add_objects(run, "user_cache", sizeof(struct shared_user), users.n);
	add_objects(run, "db_cache", sizeof(struct shared_database), counts->n_databases);
	add_objects(run, "pool_cache", sizeof(struct pool), counts->n_local_pools);
	add_objects(run, "client_cache", sizeof(struct client), counts->n_clients);
	add_objects(run, "server_cache", sizeof(struct server), counts->n_servers);
	add_objects(run, "statement_cache", counts->n_statements ? counts->n_statement_bytes / counts->n_statements : 0, counts->n_statements);
	add_objects(run, "fingerprint_cache", counts->n_fingerprints ? counts->n_fingerprint_bytes / counts->n_fingerprints : 0, counts->n_fingerprints);
	user_names_release(&users);
	run_done(run);
}

void show_mem(struct run *run)
{
	gather_counts(run, finish_mem);
}

/* ---- state, version, nothing ---- */

static void add_state(struct run *run, const char *key, bool value)
{
	rows_text(&run->rows, key);
	rows_text(&run->rows, value ? "yes" : "no");
	rows_end(&run->rows);
}

void show_state(struct run *run)
{
	bool paused = STAT_READ(run->cluster->paused_all);

	add_state(run, "active", !paused);
	add_state(run, "paused", paused);
	add_state(run, "suspended", false);
	run_done(run);
}

/* Exactly what PgBouncer says: tools take it apart by position. Our own version is in SHOW HELP. */
void show_version(struct run *run)
{
	rows_text(&run->rows, "PgBouncer " PGLANE_COMPAT_VERSION);
	rows_end(&run->rows);
	run_done(run);
}

void show_nothing(struct run *run)
{
	run_done(run);
}

/* ---- help ---- */

#define HELP_COLUMNS 64u

static bool is_noun(const struct command *command)
{
	return strcmp(command->verb, "SHOW") == 0 && command->usage && command->usage[0] == '\0';
}

/* What a line may hold: as many lines as there must be, about equally long. */
static size_t help_columns(void)
{
	size_t total = 0;

	for (unsigned i = 0; i < n_commands; i++)
		if (is_noun(&commands[i]))
			total += strlen(commands[i].noun) + 1;
	return total / (total / HELP_COLUMNS + 1) + sizeof("\n\tSHOW") - 1;
}

static void add_nouns(struct strbuf *out)
{
	size_t columns = help_columns(), line_start = 0;
	const char *before = "\n\tSHOW ";

	for (unsigned i = 0; i < n_commands; i++) {
		if (!is_noun(&commands[i]))
			continue;
		if (before[0] == '\n')
			line_start = out->len;
		strbuf_addf(out, "%s%s", before, commands[i].noun);
		before = out->len - line_start < columns ? "|" : "\n\tSHOW ";
	}
}

static void add_verbs(struct strbuf *out)
{
	for (unsigned i = 0; i < n_commands; i++) {
		const struct command *command = &commands[i];

		if (command->usage && (command->usage[0] || strcmp(command->verb, "SHOW") != 0))
			strbuf_addf(out, "\n\t%s%s%s", command->verb, command->usage[0] ? " " : "", command->usage);
	}
}

/* One notice, as PgBouncer has it: tools look for its title. */
void show_help(struct run *run)
{
	struct strbuf text = STRBUF_INIT;
	struct pgw_fault notice = pgw_fault_make(PGW_FAULT_CONSOLE_USAGE);

	add_nouns(&text);
	add_verbs(&text);
	strbuf_adds(&text, "\n\n\tpglane " PGLANE_VERSION);
	run_notice_with(run, &notice, text.data);
	strbuf_release(&text);
	run_done(run);
}

/* ---- parameters ---- */

/* What drivers look at or set without being asked to, and tools before they begin. */
static const struct {
	const char *name, *value;
} fake_parameters[] = {
	{ "application_name", "" },
	{ "client_encoding", "UTF-8" },
	{ "client_min_messages", "notice" },
	{ "datestyle", "ISO" },
	{ "default_transaction_isolation", "read committed" },
	{ "default_transaction_read_only", "off" },
	{ "extra_float_digits", "2" },
	{ "intervalstyle", "postgres" },
	{ "search_path", "public" },
	{ "standard_conforming_strings", "on" },
	{ "statement_timeout", "0" },
	{ "timezone", "GMT" },
	{ "transaction_isolation", "read committed" },
};

const char *fake_parameter(const char *name)
{
	for (unsigned i = 0; i < N_ELEMENTS(fake_parameters); i++)
		if (strcasecmp(fake_parameters[i].name, name) == 0)
			return fake_parameters[i].value;
	return NULL;
}

void show_parameter(struct run *run)
{
	const char *name = run->rows.columns.items[0].name;
	const char *own = param_set_get(run->client->params, name);

	rows_text(&run->rows, own && strcmp(name, "application_name") == 0 ? own : fake_parameter(name));
	rows_end(&run->rows);
	run_done(run);
}
