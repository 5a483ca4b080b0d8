/* SPDX-License-Identifier: ISC */
#include "admin/command.h"

#include "admin/show.h"

#define SHOW(noun, columns, start) SHOW_FIRST(noun, columns, N_ELEMENTS(columns), start)
#define SHOW_FIRST(noun, columns, n, start) { "SHOW", noun, "", "SHOW", ARGUMENT_NONE, false, ROLE_PLAIN, { columns, n }, start }
#define CONTROL(verb, usage, argument, start) { verb, NULL, usage, verb, argument, true, ROLE_PLAIN, { NULL, 0 }, start }
#define ABOUT(verb, noun, usage, argument, start) { verb, noun, usage, verb " " noun, argument, true, ROLE_PLAIN, { NULL, 0 }, start }
#define SESSION(verb, tag, argument, role) { verb, NULL, NULL, tag, argument, false, role, { NULL, 0 }, control_session }
#define PARAMETER(name) { "SHOW", #name, NULL, "SHOW", ARGUMENT_NONE, false, ROLE_PLAIN, COLUMNS_OF(name##_column), show_parameter }

/* Each is named as it was asked for. */
static const struct column application_name_column[] = { COLUMN_T("application_name") };
static const struct column client_encoding_column[] = { COLUMN_T("client_encoding") };
static const struct column datestyle_column[] = { COLUMN_T("datestyle") };
static const struct column default_transaction_isolation_column[] = { COLUMN_T("default_transaction_isolation") };
static const struct column extra_float_digits_column[] = { COLUMN_T("extra_float_digits") };
static const struct column standard_conforming_strings_column[] = { COLUMN_T("standard_conforming_strings") };
static const struct column timezone_column[] = { COLUMN_T("timezone") };
static const struct column transaction_isolation_column[] = { COLUMN_T("transaction_isolation") };

const struct command commands[] = {
	SHOW_FIRST("HELP", NULL, 0, show_help),
	SHOW("CONFIG", config_columns, show_config),
	SHOW("DATABASES", databases_columns, show_databases),
	SHOW("POOLS", pools_columns, show_pools),
	SHOW_FIRST("CLIENTS", socket_columns, SOCKET_COLUMNS_N, show_clients),
	SHOW_FIRST("SERVERS", socket_columns, SOCKET_COLUMNS_N, show_servers),
	SHOW("USERS", users_columns, show_users),
	SHOW("VERSION", version_columns, show_version),
	SHOW("PEERS", peers_columns, show_nothing),
	SHOW("PEER_POOLS", peer_pools_columns, show_nothing),
	SHOW("SOCKETS", socket_columns, show_sockets),
	SHOW("ACTIVE_SOCKETS", socket_columns, show_active_sockets),
	SHOW("LISTS", lists_columns, show_lists),
	SHOW("MEM", mem_columns, show_mem),
	SHOW("STATE", state_columns, show_state),
	SHOW("DNS_HOSTS", dns_hosts_columns, show_nothing),
	SHOW("DNS_ZONES", dns_zones_columns, show_nothing),
	SHOW("STATS", stats_columns, show_stats),
	SHOW("STATS_TOTALS", stats_totals_columns, show_stats_totals),
	SHOW("STATS_AVERAGES", stats_averages_columns, show_stats_averages),
	SHOW("TOTALS", totals_columns, show_totals),
	SHOW("LANES", lanes_columns, show_lanes),
	SHOW("CLASSES", classes_columns, show_classes),
	SHOW("QUEUE", queue_columns, show_queue),
	SHOW("BUDGET", budget_columns, show_budget),
	SHOW("SCALING", scaling_columns, show_scaling),
	SHOW("LISTENERS", listeners_columns, show_listeners),
	SHOW("PINS", pins_columns, show_pins),
	SHOW("LEAKS", leaks_columns, show_leaks),
	SHOW("OUTBOX", outbox_columns, show_outbox),
	SHOW("ANNOTATIONS", annotations_columns, show_annotations),
	SHOW("SEARCHES", searches_columns, show_searches),
	SHOW("CATALOG", catalog_columns, show_catalog),
	{ "SHOW", "FINGERPRINTS", "FINGERPRINTS [<n>] [id|class|chosen|database|user=<value>]", "SHOW", ARGUMENT_FILTERS, false, ROLE_PLAIN,
		COLUMNS_OF(fingerprints_columns), show_fingerprints },
	SHOW("REPLICAS", replicas_columns, show_replicas),
	PARAMETER(application_name),
	PARAMETER(client_encoding),
	PARAMETER(datestyle),
	PARAMETER(default_transaction_isolation),
	PARAMETER(extra_float_digits),
	PARAMETER(standard_conforming_strings),
	PARAMETER(timezone),
	PARAMETER(transaction_isolation),
	{ "EXPLAIN", "ROUTE", "ROUTE [ON <db>] <sql>", "EXPLAIN", ARGUMENT_SQL, false, ROLE_PLAIN, COLUMNS_OF(explain_columns), explain_route },
	{ "SET", NULL, "key = value", "SET", ARGUMENT_SETTING, false, ROLE_PLAIN, { NULL, 0 }, control_set },
	CONTROL("RELOAD", "", ARGUMENT_NONE, control_reload),
	/* Before those that take a word there: a database of that name is paused as "forwarding", in quotes. */
	ABOUT("PAUSE", "FORWARDING", "FORWARDING", ARGUMENT_NONE, control_pause_forwarding),
	ABOUT("RESUME", "FORWARDING", "FORWARDING", ARGUMENT_NONE, control_resume_forwarding),
	{ "RETRY", "OUTBOX", "OUTBOX [<type>|\"<type>:<id>\"]", "RETRY OUTBOX", ARGUMENT_OPTIONAL, true, ROLE_PLAIN, COLUMNS_OF(retry_outbox_columns), control_retry_outbox },
	CONTROL("PAUSE", "[<db>]", ARGUMENT_OPTIONAL, control_pause),
	CONTROL("RESUME", "[<db>]", ARGUMENT_OPTIONAL, control_resume),
	CONTROL("DISABLE", "<db>", ARGUMENT_OPTIONAL, control_disable),
	CONTROL("ENABLE", "<db>", ARGUMENT_OPTIONAL, control_enable),
	CONTROL("RECONNECT", "[<db>]", ARGUMENT_OPTIONAL, control_reconnect),
	CONTROL("KILL", "[<db>]", ARGUMENT_OPTIONAL, control_kill),
	CONTROL("KILL_CLIENT", "<client_id>", ARGUMENT_OPTIONAL, control_kill_client),
	{ "REFRESH", "CATALOG", "CATALOG [<db>]", "REFRESH", ARGUMENT_OPTIONAL, true, ROLE_PLAIN, { NULL, 0 }, control_refresh_catalog },
	{ "RESET", "FINGERPRINT", "FINGERPRINT <id>|ALL", "RESET", ARGUMENT_OPTIONAL, true, ROLE_PLAIN, { NULL, 0 }, control_reset_fingerprint },
	CONTROL("SHUTDOWN", "[WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS]", ARGUMENT_OPTIONAL, control_shutdown),
	CONTROL("WAIT_CLOSE", "[<db>]", ARGUMENT_OPTIONAL, control_wait_close),
	SESSION("BEGIN", "BEGIN", ARGUMENT_WORDS, ROLE_BEGINS),
	SESSION("START", "START TRANSACTION", ARGUMENT_WORDS, ROLE_BEGINS),
	SESSION("COMMIT", "COMMIT", ARGUMENT_WORDS, ROLE_ENDS),
	SESSION("END", "COMMIT", ARGUMENT_WORDS, ROLE_ENDS),
	SESSION("ROLLBACK", "ROLLBACK", ARGUMENT_WORDS, ROLE_ENDS),
	SESSION("ABORT", "ROLLBACK", ARGUMENT_WORDS, ROLE_ENDS),
	SESSION("DEALLOCATE", "DEALLOCATE", ARGUMENT_OPTIONAL, ROLE_FORGETS),
	SESSION("DISCARD", "DISCARD ALL", ARGUMENT_OPTIONAL, ROLE_FORGETS),
};

const unsigned n_commands = N_ELEMENTS(commands);
