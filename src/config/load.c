/* SPDX-License-Identifier: ISC */
#include "config/load.h"

#include <errno.h>
#include <sched.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "config/connstr.h"
#include "config/duplicates.h"
#include "config/file.h"
#include "config/lanes.h"
#include "config/moves.h"
#include "config/replicas.h"
#include "config/snapshot.h"
#include "config/userlist.h"
#include "config/weaviate.h"

struct loader {
	struct config *config;
	const struct config_entries *entries;
	struct config_problems *problems;
	bool may_read_files;
	size_t databases_cap, users_cap;
};

static struct config_place place_of(const struct config_entry *entry)
{
	return (struct config_place){ entry->file, entry->line, entry->section, entry->key };
}

/* ---- the main sections ---- */

static bool is_main(const char *section)
{
	return strcmp(section, "pglane") == 0 || strcmp(section, "pgbouncer") == 0;
}

/*
 * auth_type's of PgBouncer that pglane does not have: to start without them would let the wrong
 * people in, or nobody.
 */
static bool refuse_foreign_auth(const struct schema_row *row, const char *value, struct strbuf *why)
{
	static const char *const foreign[] = { "hba", "pam", "ldap", "peer", "crypt", NULL };

	if (strcmp(row->key, "auth_type"))
		return false;
	for (unsigned i = 0; foreign[i]; i++) {
		if (strcasecmp(value, foreign[i]))
			continue;
		strbuf_addf(why,
			"pglane does not have auth_type %s; expected one of trust, any, plain, md5, scram-sha-256, cert",
			foreign[i]);
		return true;
	}
	return false;
}

/*
 * A key without a field: its value must still be one, and is kept as it was written for SHOW
 * CONFIG.
 */
static bool set_accepted(
	struct config *config, const struct schema_row *row, const char *value, struct strbuf *why)
{
	size_t index = (size_t)(row - schema_of(SCHEMA_MAIN)->rows);
	_Alignas(uint64_t) char scratch[VALUE_MAX_BYTES] = { 0 };
	struct strbuf text = STRBUF_INIT;

	if (!value_set(&row->type, scratch, value, why))
		return false;
	value_format(&row->type, scratch, &text);
	value_release(&row->type, scratch);
	if (row->flags & SCHEMA_MUST_BE_OFF && strcmp(text.data, "0")) {
		strbuf_adds(why,
			"pglane cannot give the protection that this asks for; set it to 0 or remove the line");
		strbuf_release(&text);
		return false;
	}
	mem_free(config->accepted[index]);
	config->accepted[index] = strbuf_detach(&text);
	return true;
}

bool load_set_main(struct config *config, const struct schema_row *row, const char *file_name,
	const char *value, struct strbuf *why)
{
	char *path = NULL;
	bool ok;

	if (refuse_foreign_auth(row, value, why))
		return false;
	if (row->flags & SCHEMA_ACCEPTED)
		return set_accepted(config, row, value, why);
	if (file_name && *value && row->flags & SCHEMA_PATH)
		path = file_resolve(file_name, value);
	ok = value_set(&row->type, schema_field(row, config), path ? path : value, why);
	mem_free(path);
	return ok;
}

static void unknown_key(struct loader *l, enum schema_scope scope, const struct config_place *place,
	const char *what, const char *key)
{
	const char *nearest = schema_nearest(scope, key);

	if (nearest)
		config_problem_add(l->problems, place, "unknown %s \"%.60s\"; did you mean %s?",
			what, key, nearest);
	else
		config_problem_add(l->problems, place,
			"unknown %s \"%.60s\"; conf/KEYS.md lists the known ones", what, key);
}

static void take_main(struct loader *l, const struct config_entry *entry)
{
	const struct schema_row *row = schema_find(SCHEMA_MAIN, entry->key);
	struct config_place place = place_of(entry);
	struct strbuf why = STRBUF_INIT;

	if (row == NULL)
		unknown_key(l, SCHEMA_MAIN, &place, "key", entry->key);
	else if (!load_set_main(l->config, row, l->may_read_files ? entry->file : NULL,
			 entry->value, &why))
		config_problem_add(l->problems, &place, "%s", why.data);
	strbuf_release(&why);
}

/* ---- connection strings ---- */

static void set_param(struct loader *l, enum schema_scope scope, void *object,
	const struct config_place *place, const char *key, const char *value)
{
	const struct schema_row *row = schema_find(scope, key);
	_Alignas(uint64_t) char scratch[VALUE_MAX_BYTES] = { 0 };
	struct strbuf why = STRBUF_INIT;
	bool accepted;

	if (row == NULL) {
		unknown_key(l, scope, place, "parameter", key);
		return;
	}
	accepted = row->flags & SCHEMA_ACCEPTED;
	if (!value_set(&row->type, accepted ? scratch : schema_field(row, object), value, &why))
		config_problem_add(l->problems, place, "parameter %s: %s", key, why.data);
	if (accepted)
		value_release(&row->type, scratch);
	strbuf_release(&why);
}

static void take_params(
	struct loader *l, enum schema_scope scope, void *object, const struct config_entry *entry)
{
	struct config_place place = place_of(entry);
	struct strbuf key = STRBUF_INIT, value = STRBUF_INIT, last = STRBUF_INIT;
	const char *p = entry->value, *error;
	enum connstr_event event;

	while ((event = connstr_next(&p, &key, &value, &error)) == CONNSTR_PAIR) {
		set_param(l, scope, object, &place, key.data, value.data);
		strbuf_reset(&last);
		strbuf_adds(&last, key.data);
	}
	/* What cannot be read may be a piece of a password: the last good key says where it is. */
	if (event == CONNSTR_ERROR && last.len)
		config_problem_add(l->problems, &place, "after parameter %s: %s", last.data, error);
	else if (event == CONNSTR_ERROR)
		config_problem_add(l->problems, &place, "%s", error);
	strbuf_release(&last);
	strbuf_release(&value);
	strbuf_release(&key);
}

static void take_database(struct loader *l, const struct config_entry *entry)
{
	struct config *config = l->config;
	struct config_place place = place_of(entry);
	struct config_database *database;

	if (strcmp(entry->key, "pgbouncer") == 0 || strcmp(entry->key, "pglane") == 0) {
		config_problem_add(l->problems, &place,
			"the name is reserved for the console; give the entry another name and dbname=%s",
			entry->key);
		return;
	}
	if (config->n_databases == l->databases_cap) {
		l->databases_cap = MAX_OF(l->databases_cap * 2, (size_t)16);
		config->databases =
			mem_realloc(config->databases, l->databases_cap * sizeof(*database));
	}
	database = &config->databases[config->n_databases++];
	*database = (struct config_database){ .name = mem_strdup(entry->key) };
	schema_set_defaults(SCHEMA_DATABASE, database, false);
	take_params(l, SCHEMA_DATABASE, database, entry);
}

static void take_user(struct loader *l, const struct config_entry *entry)
{
	struct config *config = l->config;
	struct config_user *user;

	if (config->n_users == l->users_cap) {
		l->users_cap = MAX_OF(l->users_cap * 2, (size_t)16);
		config->users = mem_realloc(config->users, l->users_cap * sizeof(*user));
	}
	user = &config->users[config->n_users++];
	*user = (struct config_user){ .name = mem_strdup(entry->key) };
	schema_set_defaults(SCHEMA_USER, user, false);
	take_params(l, SCHEMA_USER, user, entry);
}

static void take_peer(struct loader *l, const struct config_entry *entry)
{
	struct config_place place = place_of(entry);
	char *end;
	long id = strtol(entry->key, &end, 10);

	if (*end || id < 1 || id > 16383)
		config_problem_add(l->problems, &place,
			"a peer's name is its peer_id; expected a number from 1 to 16383");
	take_params(l, SCHEMA_PEER, NULL, entry);
}

static void take_rule(struct loader *l, const struct config_entry *entry)
{
	struct config *config = l->config;
	unsigned n = config->n_rules;

	config->rules = mem_realloc(config->rules, (n + 2) * sizeof(char *));
	config->rule_places = mem_realloc(config->rule_places, (n + 2) * sizeof(char *));
	config->rules[n] = mem_strdup(entry->value);
	config->rule_places[n] = mem_printf("%s:%u", entry->file, entry->line);
	config->rules[n + 1] = config->rule_places[n + 1] = NULL;
	config->n_rules = n + 1;
}

/* ---- sections ---- */

static bool is_lane(const char *section)
{
	return strncmp(section, LANES_SECTION_PREFIX, sizeof(LANES_SECTION_PREFIX) - 1) == 0;
}

static void check_section(struct loader *l, const struct config_entry *entry)
{
	static const char *const known[] = { "pglane", "pgbouncer", "databases", "users", "peers",
		"rules", NULL };
	struct config_place place = place_of(entry);
	const char *nearest;

	if (is_lane(entry->section) || weaviate_has_section(entry->section) ||
		config_list_has((char *const *)(uintptr_t)known, entry->section))
		return;
	nearest = schema_nearest_word(known, entry->section);
	if (nearest)
		config_problem_add(
			l->problems, &place, "unknown section; did you mean [%s]?", nearest);
	else
		config_problem_add(l->problems, &place,
			"unknown section; expected [pglane], [pgbouncer], [databases], [users], [lane:NAME], [entity:TYPE], [collection:NAME], [rules] or [peers]");
}

static void take_entry(struct loader *l, const struct config_entry *entry)
{
	struct config_place place = place_of(entry);

	if (entry->kind == ENTRY_SECTION)
		check_section(l, entry);
	else if (entry->kind == ENTRY_RULE)
		take_rule(l, entry);
	else if (entry->section[0] == '\0')
		config_problem_add(l->problems, &place,
			"this key stands above the first section; write [pglane] above it");
	else if (is_main(entry->section))
		take_main(l, entry);
	else if (strcmp(entry->section, "databases") == 0)
		take_database(l, entry);
	else if (strcmp(entry->section, "users") == 0)
		take_user(l, entry);
	else if (strcmp(entry->section, "peers") == 0)
		take_peer(l, entry);
	/*
	 * Lanes are read all at once by lanes.c, entities and collections by weaviate.c; keys of an
	 * unknown section are not worth a line each.
	 */
}

/* ---- what follows from all of it ---- */

struct config_place load_place_of_key(
	const struct config *config, const struct config_entries *entries, const char *key)
{
	for (size_t i = entries ? entries->n : 0; i-- > 0;)
		if (entries->items[i].kind == ENTRY_PAIR && is_main(entries->items[i].section) &&
			strcmp(entries->items[i].key, key) == 0)
			return place_of(&entries->items[i]);
	return (struct config_place){ .file = entries ? config->file_name : NULL, .key = key };
}

/* Where the sum of lanes went wrong: the last permits or budget that was written. */
static struct config_place place_of_sum(
	const struct config *config, const struct config_entries *entries)
{
	for (size_t i = entries ? entries->n : 0; i-- > 0;) {
		const struct config_entry *entry = &entries->items[i];

		if (entry->kind != ENTRY_PAIR)
			continue;
		if (is_lane(entry->section)
				? strcmp(entry->key, "permits") == 0
				: is_main(entry->section) && strcmp(entry->key, "budget") == 0)
			return place_of(entry);
	}
	return (struct config_place){ .file = entries ? config->file_name : NULL, .key = "budget" };
}

static void check_file(const struct config *config, const struct config_entries *entries,
	const char *key, const char *path, struct config_problems *problems)
{
	struct config_place place = load_place_of_key(config, entries, key);

	if (path && access(path, R_OK) != 0)
		config_problem_add(
			problems, &place, "cannot read %s: %s", path, file_error_text(-errno));
}

static void check_tls(const struct config *config, const struct config_entries *entries,
	struct config_problems *problems)
{
	const struct config_tls *client = &config->client_tls, *server = &config->server_tls;
	struct config_place place = load_place_of_key(config, entries, "client_tls_sslmode");

	if (client->mode != TLS_DISABLE && (client->key_file == NULL || client->cert_file == NULL))
		config_problem_add(problems, &place,
			"TLS towards clients needs a certificate; set client_tls_key_file and client_tls_cert_file");
	if (config->auth_type == AUTH_CERT && client->mode != TLS_VERIFY_CA &&
		client->mode != TLS_VERIFY_FULL) {
		place = load_place_of_key(config, entries, "auth_type");
		config_problem_add(problems, &place,
			"auth_type cert takes the user from a verified certificate; set client_tls_sslmode = verify-full");
	}
	if ((server->key_file == NULL) != (server->cert_file == NULL)) {
		place = load_place_of_key(config, entries,
			server->key_file ? "server_tls_key_file" : "server_tls_cert_file");
		config_problem_add(problems, &place,
			"a certificate and its key belong together; set both server_tls_key_file and server_tls_cert_file");
	}
}

static void check_tls_files(const struct config *config, const struct config_entries *entries,
	struct config_problems *problems)
{
	const struct config_tls *client = &config->client_tls, *server = &config->server_tls;

	if (client->mode != TLS_DISABLE) {
		check_file(config, entries, "client_tls_ca_file", client->ca_file, problems);
		check_file(config, entries, "client_tls_cert_file", client->cert_file, problems);
		check_file(config, entries, "client_tls_key_file", client->key_file, problems);
	}
	if (server->mode != TLS_DISABLE) {
		check_file(config, entries, "server_tls_ca_file", server->ca_file, problems);
		check_file(config, entries, "server_tls_cert_file", server->cert_file, problems);
		check_file(config, entries, "server_tls_key_file", server->key_file, problems);
	}
}

static void check_sockets(const struct config *config, const struct config_entries *entries,
	struct config_problems *problems)
{
	struct config_place place = load_place_of_key(config, entries, "unix_socket_dir");
	const size_t room =
		sizeof(((struct sockaddr_un *)NULL)->sun_path) - sizeof("/.s.PGSQL.65535");

	if (config->unix_socket_dir && strlen(config->unix_socket_dir) > room)
		config_problem_add(problems, &place,
			"the name is too long for a unix socket; %zu bytes is the most", room);
	if (config->unix_socket_dir == NULL && config->listen_addr == NULL)
		config_problem_add(problems, &place,
			"there is nowhere to listen; set listen_addr or unix_socket_dir");
}

/* The users of auth_query are unknown here, and without a file so is everybody. */
static void check_auth_query(const struct config *config, const struct config_entries *entries,
	struct config_problems *problems)
{
	const struct schema_row *row = schema_find(SCHEMA_MAIN, "auth_user");
	const char *auth_user = config->accepted[row - schema_of(SCHEMA_MAIN)->rows];
	struct config_place place = load_place_of_key(config, entries, "auth_user");

	if (auth_user && *auth_user && config->auth_file == NULL)
		config_problem_add(problems, &place,
			"pglane does not look up secrets with auth_query, so nobody could log in; write the users into an auth_file");
}

void load_check(const struct config *config, const struct config_entries *entries,
	bool may_read_files, struct config_problems *problems)
{
	struct config_place place = place_of_sum(config, entries);

	lanes_check_sum(config, &place, problems);
	check_tls(config, entries, problems);
	if (may_read_files)
		check_tls_files(config, entries, problems);
	check_sockets(config, entries, problems);
	check_auth_query(config, entries, problems);
	if (config->min_pool_size > config->budget) {
		place = load_place_of_key(config, entries, "min_pool_size");
		config_problem_add(problems, &place,
			"%u servers cannot be kept open with a budget of %u", config->min_pool_size,
			config->budget);
	}
	if (config->metrics_database &&
		config_find_database(config, config->metrics_database) == NULL) {
		place = load_place_of_key(config, entries, "metrics_database");
		config_problem_add(problems, &place,
			"\"%s\" is no entry of [databases]; expected the name of one",
			config->metrics_database);
	}
	weaviate_check(config, entries, problems);
}

void load_secrets(
	struct config *config, const struct config_place *place, struct config_problems *problems)
{
	struct strbuf text = STRBUF_INIT;
	int err;

	snapshot_release_secrets(config);
	if (config->auth_file == NULL)
		return;
	err = file_read(config->auth_file, &text);
	if (err)
		config_problem_add(problems, place, "cannot read %s: %s", config->auth_file,
			file_error_text(err));
	else
		userlist_parse(config->auth_file, text.data, text.len, &config->secrets,
			&config->n_secrets, problems);
	explicit_bzero(text.data, text.len);
	strbuf_release(&text);
	snapshot_sort_secrets(config);
}

/* ---- loading ---- */

static uint32_t automatic_workers(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
		return 1;
	return (uint32_t)MIN_OF(MAX_OF(CPU_COUNT(&cpus) / 2, 1), 63);
}

static bool has_key(const struct config_entries *entries, const char *key)
{
	for (size_t i = 0; i < entries->n; i++)
		if (entries->items[i].kind == ENTRY_PAIR && is_main(entries->items[i].section) &&
			strcmp(entries->items[i].key, key) == 0)
			return true;
	return false;
}

static bool has_lane_key(
	const struct config_entries *entries, const char *lane, const char *key)
{
	for (size_t i = 0; i < entries->n; i++) {
		const struct config_entry *entry = &entries->items[i];

		if (entry->kind == ENTRY_PAIR && strncmp(entry->section, "lane:", 5) == 0 &&
			strcmp(entry->section + 5, lane) == 0 && strcmp(entry->key, key) == 0)
			return true;
	}
	return false;
}

/* PgBouncer ends no statement unless it is told to: neither do the lanes of its files. */
static void lift_lane_timeouts(struct loader *l)
{
	for (unsigned i = 0; i < l->config->n_lanes; i++) {
		struct config_lane *lane = &l->config->lanes[i];

		if (!has_lane_key(l->entries, lane->name, "statement_timeout"))
			lane->statement_timeout_us = 0;
	}
}

/* Defaults that depend on other values or on the machine. */
static void resolve_defaults(struct loader *l)
{
	struct config *config = l->config;
	const struct schema_row *conffile = schema_find(SCHEMA_MAIN, "conffile");
	char **conffile_text = &config->accepted[conffile - schema_of(SCHEMA_MAIN)->rows];
	char host[256] = "pglane";

	if (config->workers == 0)
		config->workers = automatic_workers();
	if (config->pgbouncer_section && !has_key(l->entries, "queue_timeout"))
		config->queue_timeout_us = config->query_wait_timeout_us;
	if (config->pgbouncer_section)
		lift_lane_timeouts(l);
	if (config->instance_id == NULL) {
		(void)gethostname(host, sizeof(host) - 1);
		config->instance_id = mem_printf("%s:%u", host, config->listen_port);
	}
	if (*conffile_text == NULL)
		*conffile_text = mem_strdup(config->file_name);
}

static bool has_pgbouncer_section(const struct config_entries *entries)
{
	for (size_t i = 0; i < entries->n; i++)
		if (entries->items[i].kind == ENTRY_SECTION &&
			strcmp(entries->items[i].section, "pgbouncer") == 0)
			return true;
	return false;
}

static struct config *load_entries(const char *name, const struct config_entries *entries,
	config_rule_check *check_rule, bool may_read_files, struct config_problems *problems)
{
	struct loader l = {
		.entries = entries, .problems = problems, .may_read_files = may_read_files
	};
	struct config_place place;

	l.config = snapshot_new(has_pgbouncer_section(entries));
	l.config->file_name = mem_strdup(name);
	for (size_t i = 0; i < entries->n; i++)
		take_entry(&l, &entries->items[i]);
	snapshot_sort_databases(l.config);
	snapshot_sort_users(l.config);
	lanes_load(l.config, entries, problems);
	if (check_rule)
		lanes_check_rules(l.config, entries, check_rule, problems);
	weaviate_load(l.config, entries, problems);
	resolve_defaults(&l);
	moves_resolve(l.config, entries, problems);
	replicas_resolve(l.config, entries, problems);
	if (may_read_files) {
		place = load_place_of_key(l.config, entries, "auth_file");
		load_secrets(l.config, &place, problems);
	}
	weaviate_settle(l.config, entries, may_read_files, problems);
	load_check(l.config, entries, may_read_files, problems);
	duplicates_warn(entries, problems);
	config_problems_sort(problems);
	if (problems->n > problems->n_warnings)
		config_unref(&l.config);
	return l.config;
}

struct config *config_load(const char *file_name, struct config_problems *problems)
{
	return config_load_checked(file_name, NULL, problems);
}

struct config *config_load_checked(
	const char *file_name, config_rule_check *check_rule, struct config_problems *problems)
{
	struct config_entries entries = { .items = NULL };
	struct config *config = NULL;

	*problems = (struct config_problems){ .items = NULL };
	reader_load_file(file_name, &entries, problems);
	if (entries.n || problems->n == 0)
		config = load_entries(file_name, &entries, check_rule, true, problems);
	config_entries_release(&entries);
	return config;
}

struct config *config_load_text(
	const char *name, const char *text, size_t n, struct config_problems *problems)
{
	struct config_entries entries = { .items = NULL };
	struct config *config;

	*problems = (struct config_problems){ .items = NULL };
	reader_load_text(name, text, n, &entries, problems);
	config = load_entries(name, &entries, NULL, false, problems);
	config_entries_release(&entries);
	return config;
}
