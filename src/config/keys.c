/* SPDX-License-Identifier: ISC */
/*
 * Every configuration key, once: alphabetical within its scope. Defaults are written as SHOW CONFIG
 * shows them (times in seconds). The second default is PgBouncer's own, which holds as soon as a
 * [pgbouncer] section is read; NULL where the two agree.
 */
#include "config/schema.h"

#define YEARS_100_US (3155760000ull * 1000000)
#define COUNT_MAX 1000000000ull /* below CONFIG_INHERIT, and more than anything we count */

/* clang-format off */
#define TEXT { .kind = VALUE_TEXT }
#define QUERY { .kind = VALUE_QUERY }
#define UUID { .kind = VALUE_UUID }
#define LIST { .kind = VALUE_LIST }
#define SWITCH { .kind = VALUE_BOOL }
#define PORT { .kind = VALUE_PORT, .min = 1, .max = UINT16_MAX }
#define MODE { .kind = VALUE_MODE, .max = 0777 }
#define COUNT(lo, hi) { .kind = VALUE_COUNT, .min = (lo), .max = (hi) }
#define COUNT_OR_AUTO(lo, hi) { .kind = VALUE_AUTO, .min = (lo), .max = (hi) }
#define COUNT_INHERITED { .kind = VALUE_COUNT, .max = COUNT_MAX, .inherits = true }
#define RANK(lo, hi) { .kind = VALUE_RANK, .min = (lo), .max = (hi) }
#define TIME_FROM(lo) { .kind = VALUE_TIME, .min = (lo), .max = YEARS_100_US }
#define TIME_BETWEEN(lo, hi) { .kind = VALUE_TIME, .min = (lo), .max = (hi) }
#define TIME TIME_FROM(0)
#define TIME_INHERITED { .kind = VALUE_TIME, .max = YEARS_100_US, .inherits = true }
#define SECONDS { .kind = VALUE_SECONDS, .max = COUNT_MAX }
#define MILLIS { .kind = VALUE_MILLIS, .max = COUNT_MAX }
#define RATIO(lo, hi) { .kind = VALUE_RATIO, .min = (lo), .max = (hi) }
#define SIZE(lo, hi) { .kind = VALUE_SIZE, .min = (lo), .max = (hi) }
#define CLASSES { .kind = VALUE_CLASSES }
#define WORD(list) { .kind = VALUE_WORD, .words = (list) }
#define WORD_INHERITED(list) { .kind = VALUE_WORD, .words = (list), .inherits = true }
#define ONE_OF(list) { .kind = VALUE_TEXT, .words = (list) }
/* clang-format on */

/*
 * Types have commas in them, so they may not pass through a second macro: each kind of row spells
 * itself out.
 */
#define PLACE(struct_, field_) .offset = offsetof(struct struct_, field_), .field = #field_
#define MAIN(key_, group_, type_, field_, default_, pgbouncer_, flags_, doc_)                      \
	{                                                                                          \
		.key = (key_), .group = (group_), .type = type_, PLACE(config, field_),            \
		.fallback = (default_), .fallback_pgbouncer = (pgbouncer_), .flags = (flags_),     \
		.doc = (doc_)                                                                      \
	}
#define DATABASE(key_, type_, field_, default_, flags_, doc_)                                      \
	{                                                                                          \
		.key = (key_), .group = GROUP_POOLING, .type = type_,                              \
		PLACE(config_database, field_), .fallback = (default_), .flags = (flags_),         \
		.doc = (doc_)                                                                      \
	}
#define USER(key_, type_, field_, default_, doc_)                                                  \
	{                                                                                          \
		.key = (key_), .group = GROUP_POOLING, .type = type_, PLACE(config_user, field_),  \
		.fallback = (default_), .doc = (doc_)                                              \
	}
#define LANE(key_, type_, field_, default_, doc_)                                                  \
	{                                                                                          \
		.key = (key_), .group = GROUP_LANES, .type = type_, PLACE(config_lane, field_),    \
		.fallback = (default_), .doc = (doc_)                                              \
	}
#define ENTITY(key_, type_, field_, default_, doc_)                                                \
	{                                                                                          \
		.key = (key_), .group = GROUP_WEAVIATE, .type = type_,                             \
		PLACE(config_entity, field_), .fallback = (default_), .doc = (doc_)                \
	}
#define COLLECTION(key_, type_, field_, default_, doc_)                                            \
	{                                                                                          \
		.key = (key_), .group = GROUP_WEAVIATE, .type = type_,                             \
		PLACE(config_collection, field_), .fallback = (default_), .doc = (doc_)            \
	}
#define TAKEN(key_, type_, default_, flags_, doc_)                                                 \
	{                                                                                          \
		.key = (key_), .group = GROUP_ACCEPTED, .type = type_, .fallback = (default_),     \
		.flags = SCHEMA_ACCEPTED | (flags_), .doc = "Accepted for compatibility; " doc_    \
	}

/* Word lists stand in the order of their enums in config.h. */
static const char *const pool_modes[] = { "session", "transaction", "statement", NULL };
static const char *const auth_types[] = { "trust", "any", "plain", "md5", "scram-sha-256", "cert",
	NULL };
static const char *const tls_modes[] = { "disable", "allow", "prefer", "require", "verify-ca",
	"verify-full", NULL };
static const char *const session_state_policies[] = { "virtualize", "pin", "warn", "error", NULL };
static const char *const leak_checks[] = { "off", "sampled", "always", NULL };
static const char *const sequence_states[] = { "learned", "pin", "off", NULL };
static const char *const annotation_rights[] = { "none", "route", "all", NULL };
static const char *const search_words[] = { "auto", "rest", "graphql", NULL };
static const char *const failure_words[] = { "error", "empty", NULL };
static const char *const organization_words[] = { "none", "filter", "tenant", NULL };
static const char *const balance_words[] = { "round-robin", "disable", NULL };
static const char *const lane_targets[] = { "primary", "replica", NULL };
static const char *const replica_fallbacks[] = { "primary", "queue", NULL };
static const char *const syslog_facilities[] = { "auth", "authpriv", "cron", "daemon", "ftp",
	"kern", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	"lpr", "mail", "news", "syslog", "user", "uucp", NULL };

static const struct schema_row main_rows[] = {
	MAIN("admin_users", GROUP_AUTH, LIST, admin_users, "", NULL, 0,
		"Users who may give every command on the console."),
	MAIN("application_name_add_host", GROUP_CLIENTS, SWITCH, application_name_add_host, "0",
		NULL, 0, "Append the client's address and port to application_name at login."),
	TAKEN("auth_dbname", TEXT, "", 0,
		"pglane does not run auth_query, so no database is needed for it."),
	MAIN("auth_file", GROUP_AUTH, TEXT, auth_file, "", NULL, SCHEMA_PATH,
		"File of user names and secrets: lines of \"user\" \"secret\", where a secret is a "
		"plain text password, md5… or "
		"SCRAM-SHA-256$…. A relative name is looked for beside the configuration file."),
	TAKEN("auth_hba_file", TEXT, "", 0,
		"pglane has no auth_type hba and does not read the file."),
	TAKEN("auth_ident_file", TEXT, "", 0,
		"pglane has no auth_type hba and does not read the file."),
	TAKEN("auth_ldap_options", TEXT, "", SCHEMA_SECRET, "pglane has no auth_type ldap."),
	TAKEN("auth_pam_confdir", TEXT, "", 0, "pglane has no auth_type pam."),
	TAKEN("auth_query", TEXT,
		"SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END "
		"FROM pg_authid WHERE rolname=$1 AND rolcanlogin",
		0,
		"pglane reads secrets from auth_file only; a user who is not in it cannot log in."),
	MAIN("auth_type", GROUP_AUTH, WORD(auth_types), auth_type, "scram-sha-256", "md5", 0,
		"How clients prove who they are. With md5, a user whose secret is SCRAM is asked "
		"for SCRAM."),
	TAKEN("auth_user", TEXT, "", 0,
		"pglane reads secrets from auth_file only; a file that sets auth_user must set "
		"auth_file too."),
	MAIN("autodb_idle_timeout", GROUP_POOLING, TIME, autodb_idle_timeout_us, "3600", NULL, 0,
		"Forget a pool, and its statistics, that nobody has used this long and whose database "
		"is reached through \"*\", or whose user is not in auth_file. 0: only when there are "
		"more than 1024 of them."),
	MAIN("budget", GROUP_LANES, COUNT(1, 100000), budget, "180", NULL, 0,
		"The most server connections open at any instant, for all databases and users "
		"together, pglane's own included. The "
		"permits of all lanes must add up to it."),
	MAIN("bulk_rows", GROUP_LANES, COUNT(0, COUNT_MAX), bulk_rows, "10000", NULL, 0,
		"With workload_detection: a run that returns more rows than this is one of training. "
		"0: rows teach nothing."),
	MAIN("cancel_grace", GROUP_LANES, TIME, cancel_grace_us, "5", NULL, 0,
		"How long a server may take to answer the cancel of a statement that exceeded its "
		"lane's limit; then its connection is closed."),
	MAIN("cancel_wait_timeout", GROUP_TIMEOUTS, TIME, cancel_wait_timeout_us, "10", NULL, 0,
		"How long a cancel request may take to reach its server. 0: no limit."),
	MAIN("catalog_password", GROUP_CATALOG, TEXT, catalog_password, "", NULL, SCHEMA_SECRET,
		"Password of catalog_user. Empty: that of the database's entry, or the user's in "
		"auth_file when it is plain text."),
	MAIN("catalog_period", GROUP_CATALOG, TIME, catalog_period_us, "300", NULL, 0,
		"How often each database is asked which of its columns hold vectors, so that "
		"statements are classed by the types of columns and not by their names. Also done at "
		"the start, by RELOAD and by REFRESH CATALOG. 0: never, names are guessed."),
	MAIN("catalog_user", GROUP_CATALOG, TEXT, catalog_user, "", NULL, 0,
		"User who asks; it needs no right but to connect. Empty: the entry's own user, else "
		"metrics_user, else one whose clients are there and whose password stands in "
		"auth_file in plain text."),
	MAIN("client_idle_timeout", GROUP_TIMEOUTS, TIME, client_idle_timeout_us, "0", NULL, 0,
		"Disconnect a client that has been idle this long. 0: never."),
	MAIN("client_login_timeout", GROUP_TIMEOUTS, TIME, client_login_timeout_us, "60", NULL, 0,
		"Disconnect a client that has not logged in after this long. 0: never."),
	MAIN("client_tls13_ciphers", GROUP_CLIENT_TLS, TEXT, client_tls.tls13_ciphers, "", NULL, 0,
		"TLS 1.3 cipher suites for clients, separated by colons. Empty: OpenSSL's."),
	MAIN("client_tls_ca_file", GROUP_CLIENT_TLS, TEXT, client_tls.ca_file, "", NULL,
		SCHEMA_PATH,
		"Certificates of the authorities that may have signed a client's certificate."),
	MAIN("client_tls_cert_file", GROUP_CLIENT_TLS, TEXT, client_tls.cert_file, "", NULL,
		SCHEMA_PATH, "The certificate shown to clients, with its chain."),
	MAIN("client_tls_ciphers", GROUP_CLIENT_TLS, TEXT, client_tls.ciphers, "default", NULL, 0,
		"Ciphers up to TLS 1.2 for clients: default, secure, fast, normal, all, or an "
		"OpenSSL list."),
	MAIN("client_tls_dheparams", GROUP_CLIENT_TLS, TEXT, client_tls.dheparams, "auto", NULL, 0,
		"Diffie-Hellman parameters for clients: none, auto or legacy."),
	MAIN("client_tls_ecdhcurve", GROUP_CLIENT_TLS, TEXT, client_tls.ecdhcurve, "auto", NULL, 0,
		"Elliptic curve for clients: none, auto or a curve's name."),
	MAIN("client_tls_key_file", GROUP_CLIENT_TLS, TEXT, client_tls.key_file, "", NULL,
		SCHEMA_PATH, "The private key of client_tls_cert_file."),
	MAIN("client_tls_protocols", GROUP_CLIENT_TLS, TEXT, client_tls.protocols, "secure", NULL,
		0,
		"TLS versions for clients: secure (1.2 and 1.3), all, or a list of tlsv1.0, "
		"tlsv1.1, tlsv1.2, tlsv1.3."),
	MAIN("client_tls_sslmode", GROUP_CLIENT_TLS, WORD(tls_modes), client_tls.mode, "disable",
		NULL, 0,
		"TLS towards clients. All but disable need client_tls_key_file and "
		"client_tls_cert_file; allow and prefer accept plain connections too; "
		"require refuses them; verify-ca and verify-full ask for a client certificate."),
	TAKEN("conffile", TEXT, "", 0,
		"pglane reloads the file it was started with, which is shown here."),
	MAIN("default_pool_size", GROUP_POOLING, COUNT(0, COUNT_MAX), default_pool_size, "0", "20",
		0,
		"The most servers of one pool, that is of one user and database. 0: the lanes and "
		"the budget decide."),
	TAKEN("disable_pqexec", SWITCH, "0", SCHEMA_BOOT | SCHEMA_MUST_BE_OFF,
		"pglane cannot forbid the simple query protocol, so 1 is refused rather than "
		"ignored."),
	TAKEN("dns_max_ttl", TIME, "15", 0, "pglane caches names as long as their records say."),
	TAKEN("dns_nxdomain_ttl", TIME, "15", 0, "pglane does not cache that a name is unknown."),
	TAKEN("dns_zone_check_period", TIME, "0", 0, "pglane does not watch zone serials."),
	MAIN("idle_transaction_timeout", GROUP_TIMEOUTS, TIME, idle_transaction_timeout_us, "0",
		NULL, 0,
		"Roll back a transaction that has been idle this long: the client hears of it at its "
		"next statement (25P03) and stays; in session pooling, with a pin, or amid a batch it is "
		"disconnected. 0: never."),
	MAIN("ignore_startup_parameters", GROUP_CLIENTS, LIST, ignore_startup_parameters, "", NULL,
		0,
		"Startup parameters that are accepted and dropped, such as extra_float_digits or "
		"options."),
	MAIN("inspect_limit", GROUP_PROTOCOL, SIZE(1024, 1ull << 30), inspect_limit_bytes,
		"1048576", NULL, 0,
		"How much of a statement is read to decide its class; longer ones are classed by "
		"their beginning and streamed on."),
	MAIN("instance_id", GROUP_METRICS, TEXT, instance_id, "", NULL, SCHEMA_BOOT,
		"The name of this pglane in what it writes to Postgres. Empty: host name and "
		"listen_port."),
	TAKEN("job_name", TEXT, "pgbouncer", SCHEMA_BOOT, "pglane is no Windows service."),
	MAIN("leak_check", GROUP_POOLING, WORD(leak_checks), leak_check, "sampled", NULL, 0,
		"In transaction and statement pooling: is a server asked what its session still has when a transaction is over? What "
		"a function leaves there cannot be seen in the statement that calls it. What is found is reported (SHOW LEAKS) and the server is "
		"reset. off: never. sampled: one of 100 transactions of a server, at most one a second, the first of each statement that calls a function "
		"of its own, and statements that were found before. always: behind every transaction. Entries with connect_query are "
		"not checked."),
	MAIN("listen_addr", GROUP_LISTEN, TEXT, listen_addr, "127.0.0.1", "", SCHEMA_BOOT,
		"TCP addresses to listen on, separated by commas; * is all of them. Empty: no "
		"TCP."),
	MAIN("listen_backlog", GROUP_LISTEN, COUNT(1, INT32_MAX), listen_backlog, "128", NULL,
		SCHEMA_BOOT, "How many connections the kernel queues for accept(2)."),
	MAIN("listen_port", GROUP_LISTEN, PORT, listen_port, "6432", NULL, SCHEMA_BOOT,
		"Port for TCP, and in the name of the unix socket."),
	MAIN("log_connections", GROUP_LOG, SWITCH, log_connections, "1", NULL, 0,
		"Log successful logins."),
	MAIN("log_disconnections", GROUP_LOG, SWITCH, log_disconnections, "1", NULL, 0,
		"Log why connections end."),
	MAIN("log_pooler_errors", GROUP_LOG, SWITCH, log_pooler_errors, "1", NULL, 0,
		"Log the errors that pglane itself sends to clients."),
	MAIN("log_stats", GROUP_LOG, SWITCH, log_stats, "1", NULL, 0,
		"Log the totals of each stats_period."),
	MAIN("logfile", GROUP_LOG, TEXT, logfile, "", NULL, 0,
		"File to log to; it is reopened by SIGHUP and RELOAD. Empty: none."),
	MAIN("login_notify_message", GROUP_CLIENTS, TEXT, login_notify_message, "", NULL, 0,
		"A NOTICE for every client that logs in. Empty: none."),
	MAIN("maintenance_period", GROUP_METRICS, TIME, maintenance_period_us, "3600", NULL, 0,
		"How often ml_maintain() is called in metrics_database, where that function is "
		"(sql/README.md): partitions, retention, seals. 0 leaves it to others."),
	MAIN("max_client_conn", GROUP_CLIENTS, COUNT(1, 1000000), max_client_conn, "10000", "100",
		0, "The most client connections."),
	MAIN("max_client_prepared_bytes", GROUP_PROTOCOL, SIZE(0, 1ull << 40),
		max_client_prepared_bytes, "16777216", NULL, 0,
		"The most memory for the texts of one client's prepared statements. 0: no limit of "
		"its own."),
	MAIN("max_db_client_connections", GROUP_CLIENTS, COUNT(0, COUNT_MAX),
		max_db_client_connections, "0", NULL, 0,
		"The most clients of one database. 0: no limit."),
	MAIN("max_db_connections", GROUP_POOLING, COUNT(0, COUNT_MAX), max_db_connections, "0",
		NULL, 0,
		"The most servers of each pool of a database. 0: the lanes and the budget decide."),
	MAIN("max_fingerprints", GROUP_LANES, COUNT(0, 1000000), max_fingerprints, "2000", NULL, 0,
		"With workload_detection: how many statements each worker keeps statistics of, at up to "
		"1.5 kB each; the least recently used goes first. 0: none."),
	MAIN("max_listen_bytes", GROUP_PROTOCOL, SIZE(16384, 1ull << 40), max_listen_bytes, "1048576",
		NULL, 0,
		"The most notifications, in bytes, that wait for one client which does not read, or "
		"does not end its transaction: then it is disconnected."),
	MAIN("max_listen_channels", GROUP_PROTOCOL, COUNT(0, 100000), max_listen_channels, "1000",
		NULL, 0,
		"The most channels that the listener of one pool, and hence one client, listens to in "
		"transaction pooling. 0: no listeners: LISTEN keeps the client's server."),
	MAIN("max_noted_entities", GROUP_PROTOCOL, COUNT(1, 1000000), max_noted_entities, "10000", NULL, 0,
		"The most rows that a statement with ml_entity='type' may return; one that returns more fails."),
	MAIN("max_packet_size", GROUP_PROTOCOL, SIZE(1024, INT32_MAX), max_packet_bytes,
		"2147483647", NULL, 0,
		"The largest protocol message that is let through, either way."),
	MAIN("max_prepared_bytes", GROUP_PROTOCOL, SIZE(0, 1ull << 44), max_prepared_bytes,
		"268435456", NULL, 0,
		"The most memory for the texts of all prepared statements. 0: no limit."),
	MAIN("max_prepared_statements", GROUP_PROTOCOL, COUNT(0, 1000000), max_prepared_statements,
		"200", NULL, 0,
		"How many prepared statements are kept open on each server, the least recently "
		"used closed first. 0: protocol-level "
		"prepared statements are not tracked outside session pooling."),
	MAIN("max_server_logins", GROUP_LANES, COUNT(0, 100000), max_server_logins, "32", NULL, 0,
		"How many logins to PostgreSQL may be under way at once, and a quarter of that for "
		"one pool; each worker has its part. Who has a permit waits for a turn, or for a "
		"server that comes free. A pool may always have one. 0: no bound."),
	MAIN("max_user_client_connections", GROUP_CLIENTS, COUNT(0, COUNT_MAX),
		max_user_client_connections, "0", NULL, 0,
		"The most clients of one user. 0: no limit."),
	MAIN("max_user_connections", GROUP_POOLING, COUNT(0, COUNT_MAX), max_user_connections, "0",
		NULL, 0,
		"The most servers of each pool of a user. 0: the lanes and the budget decide."),
	MAIN("metrics_database", GROUP_METRICS, TEXT, metrics_database, "", NULL, 0,
		"The entry of [databases] whose Postgres holds db_connection_pool_metrics. Empty: "
		"no samples are written."),
	MAIN("metrics_password", GROUP_METRICS, TEXT, metrics_password, "", NULL, SCHEMA_SECRET,
		"Password of metrics_user. Empty: that of the entry, or the user's in auth_file "
		"when it is plain text."),
	MAIN("metrics_user", GROUP_METRICS, TEXT, metrics_user, "", NULL, 0,
		"User who writes the samples. Empty: the entry's own user."),
	MAIN("min_pool_size", GROUP_POOLING, COUNT(0, COUNT_MAX), min_pool_size, "0", NULL, 0,
		"Keep at least this many servers of a pool that is in use."),
	MAIN("on_session_state", GROUP_POOLING, WORD(session_state_policies), on_session_state, "virtualize", NULL, 0,
		"What becomes of state that a statement would leave in its session (temporary "
		"tables, session advisory locks, LISTEN …) in transaction and statement pooling. "
		"virtualize: what can follows its client from server to server, for the rest it "
		"keeps its server (SHOW PINS). pin: it keeps its server for settings, too. warn: "
		"it ends with the transaction, and the client is warned. error: the statement is "
		"refused."),
	MAIN("outbox_batch", GROUP_WEAVIATE, COUNT(1, 1000), outbox_batch, "100", NULL, 0,
		"The most objects that are sent to Weaviate in one request."),
	MAIN("outbox_batch_bytes", GROUP_WEAVIATE, SIZE(65536, 1ull << 26), outbox_batch_bytes,
		"4194304", NULL, 0,
		"The most bytes of one request. An object that is larger cannot be sent."),
	MAIN("outbox_database", GROUP_WEAVIATE, TEXT, outbox_database, "", NULL, 0,
		"The entry of [databases] whose Postgres holds ml_vector_outbox. Empty: "
		"metrics_database."),
	MAIN("outbox_password", GROUP_WEAVIATE, TEXT, outbox_password, "", NULL, SCHEMA_SECRET,
		"Password of outbox_user. Empty: that of the entry, or the user's in auth_file when "
		"it is plain text; metrics_password where outbox_user is empty."),
	MAIN("outbox_poll", GROUP_WEAVIATE, TIME_BETWEEN(10000, 3600000000ull), outbox_poll_us, "0.25",
		NULL, 0, "How often the outbox is looked at while it is empty."),
	MAIN("outbox_requests", GROUP_WEAVIATE, COUNT(1, 16), outbox_requests, "3", NULL, 0,
		"The most requests of the outbox that Weaviate has to do with at a time."),
	MAIN("outbox_user", GROUP_WEAVIATE, TEXT, outbox_user, "", NULL, 0,
		"User who reads the outbox: a member of ml_proxy. Empty: metrics_user, or the "
		"entry's own user."),
	TAKEN("peer_id", COUNT(0, 16383), "0", 0,
		"pglane uses all cores from one process and has no peers to forward cancels to."),
	MAIN("pidfile", GROUP_PROCESS, TEXT, pidfile, "", NULL, SCHEMA_BOOT,
		"File for the process id. Empty: none."),
	MAIN("pin_idle_timeout", GROUP_TIMEOUTS, TIME, pin_idle_timeout_us, "0", NULL, 0,
		"Disconnect a client that keeps its server for what its session has, and has been "
		"idle this long. 0: never."),
	TAKEN("pkt_buf", COUNT(0, COUNT_MAX), "4096", SCHEMA_BOOT,
		"pglane has one receive buffer per worker, whatever the number of connections."),
	TAKEN("pool_idle_timeout", TIME, "0", 0,
		"pglane keeps the totals of pools that are not in use."),
	MAIN("pool_mode", GROUP_POOLING, WORD(pool_modes), pool_mode, "transaction", "session", 0,
		"When a server may serve another client: after the session, the transaction or "
		"each statement."),
	MAIN("priority_aging", GROUP_LANES, TIME, priority_aging_us, "2", NULL, 0,
		"How long a statement has to wait in its lane's queue for that to be worth one step "
		"of priority: only those overtake it who come within the difference of their "
		"priorities times this. 0: whoever has a higher priority does."),
	MAIN("query_timeout", GROUP_TIMEOUTS, TIME, query_timeout_us, "0", NULL, 0,
		"Cancel a statement that runs longer, where its lane's statement_timeout is not "
		"shorter. 0: the lanes decide."),
	MAIN("query_wait_notify", GROUP_CLIENTS, SECONDS, query_wait_notify_s, "5", NULL, 0,
		"Send a NOTICE to a client whose statement has waited this long. 0: never."),
	MAIN("query_wait_timeout", GROUP_TIMEOUTS, TIME, query_wait_timeout_us, "0", "120", 0,
		"Refuse a statement that has waited this long for a server, where queue_timeout is "
		"not shorter; the client stays. 0: queue_timeout decides."),
	MAIN("queue_timeout", GROUP_LANES, TIME, queue_timeout_us, "30", "120", 0,
		"How long a statement may wait for a permit of its lane. 0: no limit. In a file "
		"with a [pgbouncer] section it is query_wait_timeout unless it is set."),
	MAIN("replica_check_password", GROUP_SERVERS, TEXT, replica_check_password, "", NULL,
		SCHEMA_SECRET,
		"Password of replica_check_user. Empty: that of the entry, or the user's in "
		"auth_file when it is plain text."),
	MAIN("replica_check_period", GROUP_SERVERS, TIME_FROM(10000), replica_check_period_us, "1",
		NULL, 0,
		"How often replicas are asked whether they are there and how far they are behind, "
		"while a lane has target = replica."),
	MAIN("replica_check_user", GROUP_SERVERS, TEXT, replica_check_user, "", NULL, 0,
		"User who asks them; no rights are needed. Empty: metrics_user, or the entry's own "
		"user."),
	MAIN("reserve_pool_size", GROUP_POOLING, COUNT(0, COUNT_MAX), reserve_pool_size, "0", NULL,
		0, "Servers a pool may have beyond its pool size."),
	TAKEN("reserve_pool_timeout", TIME, "5", 0,
		"pglane opens reserve servers as soon as they are needed: the lanes decide who "
		"waits."),
	TAKEN("resolv_conf", TEXT, "", SCHEMA_BOOT, "pglane uses the system's resolver settings."),
	MAIN("sample_backlog", GROUP_METRICS, COUNT(1, 10000000), sample_backlog, "8640", NULL, 0,
		"How many samples are kept while metrics_database is away; beyond it the oldest "
		"are dropped and counted."),
	MAIN("sample_period", GROUP_METRICS, TIME_FROM(100000), sample_period_us, "10", NULL, 0,
		"How often a sample is taken and written."),
	TAKEN("sbuf_loopcnt", COUNT(0, COUNT_MAX), "5", 0,
		"pglane shares a worker's time between connections by bytes."),
	MAIN("scale_down_delay", GROUP_LANES, TIME, scale_down_delay_us, "300", NULL, 0,
		"Close scale_step servers, the least recently used first, each time that this long "
		"has passed with less than scale_threshold of the open ones in use. 0: never."),
	MAIN("scale_step", GROUP_LANES, COUNT(0, 100000), scale_step, "10", "0", 0,
		"How many servers are opened ahead of demand, or closed, at a time. 0: none."),
	MAIN("scale_threshold", GROUP_LANES, RATIO(10, 1000), scale_threshold_permille, "0.8", NULL, 0,
		"When this part of the open servers is in use, scale_step more are opened ahead of "
		"demand, up to the budget."),
	MAIN("scram_iterations", GROUP_AUTH, COUNT(1, 100000), scram_iterations, "4096", NULL, 0,
		"Iterations of the SCRAM secrets that are derived from plain text passwords."),
	MAIN("search_breaker_failures", GROUP_WEAVIATE, COUNT(0, COUNT_MAX),
		search_breaker_failures, "5", NULL, 0,
		"After so many failures in a row searches fail at once, for search_breaker_pause; "
		"then one tries whether Weaviate is back. 0: never."),
	MAIN("search_breaker_pause", GROUP_WEAVIATE, TIME, search_breaker_pause_us, "10", NULL, 0,
		"How long searches fail at once."),
	MAIN("search_cache_bytes", GROUP_WEAVIATE, SIZE(0, 1ull << 36), search_cache_bytes,
		"16777216", NULL, 0, "The most memory for hits that are kept."),
	MAIN("search_cache_ttl", GROUP_WEAVIATE, TIME, search_cache_ttl_us, "0", NULL, 0,
		"How long hits are given again to who asks for the very same in the same "
		"organization. 0: not at all."),
	MAIN("search_max_bytes", GROUP_WEAVIATE, SIZE(1024, 1ull << 26), search_max_bytes,
		"1048576", NULL, 0,
		"The longest text or vector that is searched for, as the client sends it."),
	MAIN("search_max_waiting", GROUP_WEAVIATE, COUNT(0, COUNT_MAX), search_max_waiting, "1000",
		NULL, 0,
		"How many searches may wait for their turn; who comes then fails at once. 0: no "
		"bound."),
	MAIN("search_requests", GROUP_WEAVIATE, COUNT(1, 1000), search_requests, "32", NULL, 0,
		"The most searches that Weaviate has to do with at a time; others wait, within "
		"search_timeout."),
	MAIN("search_stats_period", GROUP_WEAVIATE, TIME, search_stats_period_us, "10", NULL, 0,
		"How often what was found is added to ml_vector_search_stats in outbox_database. "
		"0: never."),
	MAIN("search_timeout", GROUP_WEAVIATE, TIME_BETWEEN(10000, 59000000), search_timeout_us,
		"5", NULL, 0,
		"Give up a search after this long, where its lane's limit is not shorter."),
	MAIN("sequence_state", GROUP_POOLING, WORD(sequence_states), sequence_state, "learned", NULL, 0,
		"What currval() and lastval() say in transaction and statement pooling. learned: a client keeps the server of a statement behind "
		"which the user of the database has called one before, while nobody waits for its permit, and until it has called it or for a tenth of a second when somebody does. "
		"pin: so behind every statement that may move a sequence. off: never. A value of another client is told in none of them."),
	TAKEN("server_check_delay", TIME, "30", 0,
		"pglane needs no check: it sees the end of an idle server at once."),
	TAKEN("server_check_query", TEXT, "<empty>", 0,
		"pglane needs no check: it sees the end of an idle server at once."),
	MAIN("server_connect_timeout", GROUP_SERVERS, TIME, server_connect_timeout_us, "15", NULL,
		0,
		"Give up a connection to a server that is not logged in after this long. 0: "
		"never."),
	TAKEN("server_fast_close", SWITCH, "0", 0,
		"pglane closes servers of transaction and statement pools at once, of session "
		"pools when the session ends."),
	MAIN("server_idle_timeout", GROUP_SERVERS, TIME, server_idle_timeout_us, "600", NULL, 0,
		"Close a server that has been idle this long. 0: never."),
	MAIN("server_lifetime", GROUP_SERVERS, TIME, server_lifetime_us, "3600", NULL, 0,
		"Close an unused server that has been connected this long. 0: use each once."),
	MAIN("server_login_retry", GROUP_SERVERS, TIME, server_login_retry_us, "1", "15", 0,
		"After a failed login, wait this long before the next attempt; who asks meanwhile "
		"is served by the pool's other servers, or told at once when there is none."),
	MAIN("server_reset_query", GROUP_SERVERS, TEXT, server_reset_query, "DISCARD ALL", NULL, 0,
		"The query that cleans a server after a session. Empty: none."),
	MAIN("server_reset_query_always", GROUP_SERVERS, SWITCH, server_reset_query_always, "0",
		NULL, 0, "Run server_reset_query in transaction and statement pooling too."),
	TAKEN("server_round_robin", SWITCH, "0", 0,
		"pglane always reuses the server that was used last."),
	MAIN("server_tls13_ciphers", GROUP_SERVER_TLS, TEXT, server_tls.tls13_ciphers, "", NULL, 0,
		"TLS 1.3 cipher suites for servers, separated by colons. Empty: OpenSSL's."),
	MAIN("server_tls_ca_file", GROUP_SERVER_TLS, TEXT, server_tls.ca_file, "", NULL,
		SCHEMA_PATH,
		"Certificates of the authorities that may have signed a server's certificate. "
		"Empty: the system's."),
	MAIN("server_tls_cert_file", GROUP_SERVER_TLS, TEXT, server_tls.cert_file, "", NULL,
		SCHEMA_PATH, "The certificate shown to servers that ask for one."),
	MAIN("server_tls_ciphers", GROUP_SERVER_TLS, TEXT, server_tls.ciphers, "default", NULL, 0,
		"Ciphers up to TLS 1.2 for servers: default, secure, fast, normal, all, or an "
		"OpenSSL list."),
	MAIN("server_tls_key_file", GROUP_SERVER_TLS, TEXT, server_tls.key_file, "", NULL,
		SCHEMA_PATH, "The private key of server_tls_cert_file."),
	MAIN("server_tls_protocols", GROUP_SERVER_TLS, TEXT, server_tls.protocols, "secure", NULL,
		0,
		"TLS versions for servers: secure (1.2 and 1.3), all, or a list of tlsv1.0, "
		"tlsv1.1, tlsv1.2, tlsv1.3."),
	MAIN("server_tls_sslmode", GROUP_SERVER_TLS, WORD(tls_modes), server_tls.mode, "prefer",
		NULL, 0,
		"TLS towards servers: prefer uses it where the server has it; verify-ca checks who "
		"signed the certificate, verify-full its host name too."),
	TAKEN("service_name", TEXT, "pgbouncer", SCHEMA_BOOT, "pglane is no Windows service."),
	MAIN("slow_query", GROUP_METRICS, TIME, slow_query_us, "1", NULL, 0,
		"A statement that runs longer counts as slow. 0: none does."),
	TAKEN("so_reuseport", SWITCH, "0", SCHEMA_BOOT,
		"pglane uses all cores from one process: see workers."),
	MAIN("stats_period", GROUP_LOG, TIME_FROM(1000000), stats_period_us, "60", NULL, 0,
		"The period of the averages on the console and of the totals in the log."),
	MAIN("stats_users", GROUP_AUTH, LIST, stats_users, "", NULL, 0,
		"Users who may give the SHOW commands on the console, and no others."),
	TAKEN("suspend_timeout", TIME, "10", 0, "pglane has no SUSPEND."),
	MAIN("syslog", GROUP_LOG, SWITCH, syslog, "0", NULL, 0, "Log to syslog."),
	MAIN("syslog_facility", GROUP_LOG, ONE_OF(syslog_facilities), syslog_facility, "daemon",
		NULL, 0, "The syslog facility."),
	MAIN("syslog_ident", GROUP_LOG, TEXT, syslog_ident, "pglane", "pgbouncer", 0,
		"The name in syslog lines."),
	MAIN("tcp_defer_accept", GROUP_TCP, SWITCH, tcp_defer_accept, "1", NULL, 0,
		"Let the kernel hold a new connection back until its first bytes are there."),
	MAIN("tcp_keepalive", GROUP_TCP, COUNT(0, 1), tcp_keepalive, "1", NULL, 0,
		"Probe silent TCP connections."),
	MAIN("tcp_keepcnt", GROUP_TCP, COUNT(0, COUNT_MAX), tcp_keepcnt, "0", NULL, 0,
		"Unanswered probes that end a connection. 0: the system's."),
	MAIN("tcp_keepidle", GROUP_TCP, SECONDS, tcp_keepidle, "0", NULL, 0,
		"Silence before the first probe. 0: the system's."),
	MAIN("tcp_keepintvl", GROUP_TCP, SECONDS, tcp_keepintvl, "0", NULL, 0,
		"Time between probes. 0: the system's."),
	MAIN("tcp_socket_buffer", GROUP_TCP, COUNT(0, COUNT_MAX), tcp_socket_buffer, "0", NULL, 0,
		"Bytes of the kernel's send and receive buffers. 0: the system's."),
	MAIN("tcp_user_timeout", GROUP_TCP, MILLIS, tcp_user_timeout_ms, "0", NULL, 0,
		"How long sent data may stay unacknowledged. 0: the system's."),
	TAKEN("track_extra_parameters", TEXT, "IntervalStyle", SCHEMA_BOOT,
		"pglane keeps every parameter that Postgres reports per client."),
	MAIN("transaction_timeout", GROUP_TIMEOUTS, TIME, transaction_timeout_us, "0", NULL, 0,
		"Disconnect a client whose transaction lasts longer. 0: never."),
	MAIN("unix_socket_dir", GROUP_LISTEN, TEXT, unix_socket_dir, "/tmp", NULL, SCHEMA_BOOT,
		"Directory of the unix socket, for clients and for servers without a host; @ makes "
		"it abstract. Empty: no unix socket."),
	MAIN("unix_socket_group", GROUP_LISTEN, TEXT, unix_socket_group, "", NULL, SCHEMA_BOOT,
		"Group of the unix socket. Empty: the process's."),
	MAIN("unix_socket_mode", GROUP_LISTEN, MODE, unix_socket_mode, "0777", NULL, SCHEMA_BOOT,
		"Mode of the unix socket."),
	MAIN("user", GROUP_PROCESS, TEXT, user, "", NULL, SCHEMA_BOOT,
		"Become this user after start. Empty: stay."),
	MAIN("verbose", GROUP_LOG, COUNT(0, 10), verbose, "0", NULL, 0,
		"How much more to log, as -v does. 0 to 3."),
	MAIN("warm_min", GROUP_LANES, COUNT(0, 100000), warm_min, "25", "0", 0,
		"While there are clients, up to this many servers in all are kept open, for the "
		"pools that were used last. 0: none."),
	MAIN("weaviate_api_key", GROUP_WEAVIATE, TEXT, weaviate_api_key, "", NULL, SCHEMA_SECRET,
		"The key that pglane shows to Weaviate. Empty: that in weaviate_api_key_file, or "
		"none."),
	MAIN("weaviate_api_key_file", GROUP_WEAVIATE, TEXT, weaviate_api_key_file, "", NULL,
		SCHEMA_PATH, "A file whose first line is the key; RELOAD reads it again."),
	MAIN("weaviate_ca_file", GROUP_WEAVIATE, TEXT, weaviate_ca_file, "", NULL, SCHEMA_PATH,
		"Certificates of the authorities that may have signed Weaviate's certificate. Empty: "
		"the system's."),
	MAIN("weaviate_classes", GROUP_WEAVIATE, TEXT, weaviate_classes, "", NULL, SCHEMA_PATH,
		"The directory whose *.json are the classes that Weaviate shall have. Empty: "
		"those that came with pglane."),
	MAIN("weaviate_search", GROUP_WEAVIATE, WORD(search_words), weaviate_search, "auto", NULL, 0,
		"How searches are put: by REST (Weaviate 1.39.7 and newer) or GraphQL. auto: as the "
		"server's version has it."),
	MAIN("weaviate_timeout", GROUP_WEAVIATE, TIME_BETWEEN(100000, 59000000), weaviate_timeout_us,
		"30", NULL, 0,
		"Give up a request that stores or deletes objects and is not answered after this "
		"long. Shorter than weaviate_write_timeout."),
	MAIN("weaviate_url", GROUP_WEAVIATE, TEXT, weaviate_url, "", NULL, 0,
		"Where Weaviate is: http://HOST:PORT or https://HOST. Empty: nothing is forwarded "
		"and nothing searched."),
	MAIN("weaviate_write_timeout", GROUP_WEAVIATE, TIME_BETWEEN(1000000, 1200000000),
		weaviate_write_timeout_us, "60", NULL, 0,
		"How long Weaviate may be at work with a request whose answer was not heard: its "
		"objects are not sent again before that is over. That of the server is 60 s "
		"(--write-timeout)."),
	MAIN("workers", GROUP_PROCESS, COUNT_OR_AUTO(1, 63), workers, "auto", NULL, SCHEMA_BOOT,
		"Data-plane threads. auto: half of the processors, at least one; Postgres needs "
		"the others."),
	MAIN("workload_detection", GROUP_LANES, SWITCH, workload_detection, "0", NULL, 0,
		"Keep statistics of statements by fingerprint (SHOW FINGERPRINTS), and send those to the "
		"class training whose runs keep returning more than bulk_rows, or running as long as "
		"hop_after of their lane, where nothing else gives their class."),
};

static const struct schema_row database_rows[] = {
	DATABASE("application_name", TEXT, application_name, NULL, 0,
		"Set on every server of this entry."),
	TAKEN("auth_dbname", TEXT, NULL, 0, "pglane does not run auth_query."),
	TAKEN("auth_query", TEXT, NULL, 0, "pglane does not run auth_query."),
	TAKEN("auth_user", TEXT, NULL, 0,
		"pglane reads secrets from auth_file only; a file that sets auth_user must set "
		"auth_file too."),
	DATABASE("client_encoding", TEXT, client_encoding, NULL, 0,
		"Set on every server of this entry."),
	DATABASE("connect_query", TEXT, connect_query, NULL, 0,
		"Run on every new server before its first client."),
	DATABASE("datestyle", TEXT, datestyle, NULL, 0, "Set on every server of this entry."),
	DATABASE("dbname", TEXT, dbname, NULL, 0,
		"The database's name in Postgres. Default: the name the client asked for."),
	DATABASE("host", TEXT, host, NULL, 0,
		"Name, address, directory of a unix socket (starts with / or @), or several "
		"separated by commas. Default: the unix socket in unix_socket_dir."),
	DATABASE("leak_check", WORD_INHERITED(leak_checks), leak_check, NULL, 0, "leak_check of this entry."),
	TAKEN("load_balance_hosts", ONE_OF(balance_words), NULL, 0,
		"pglane takes the hosts of an entry in turn."),
	DATABASE("max_db_client_connections", COUNT_INHERITED, max_db_client_connections, NULL, 0,
		"The most clients of this entry."),
	DATABASE("max_db_connections", COUNT_INHERITED, max_db_connections, NULL, 0,
		"The most servers of each pool of this entry."),
	DATABASE("min_pool_size", COUNT_INHERITED, min_pool_size, NULL, 0,
		"Keep at least this many servers of each pool in use."),
	DATABASE("on_session_state", WORD_INHERITED(session_state_policies), on_session_state, NULL, 0,
		"on_session_state of this entry."),
	DATABASE("password", TEXT, password, NULL, SCHEMA_SECRET, "Password for `user`."),
	DATABASE("pool_mode", WORD_INHERITED(pool_modes), pool_mode, NULL, 0,
		"pool_mode of this entry."),
	DATABASE("pool_size", COUNT_INHERITED, pool_size, NULL, 0, "The most servers of one pool."),
	DATABASE("port", PORT, port, "5432", 0, "Port of the server."),
	DATABASE("query_wait_timeout", TIME_INHERITED, query_wait_timeout_us, NULL, 0,
		"query_wait_timeout of this entry."),
	DATABASE("replicas", LIST, replicas, "", 0,
		"Other entries, separated by commas, that are streaming replicas of this one: "
		"lanes with target = replica use them."),
	DATABASE("reserve_pool", COUNT_INHERITED, reserve_pool_size, NULL, 0,
		"An older name of reserve_pool_size."),
	DATABASE("reserve_pool_size", COUNT_INHERITED, reserve_pool_size, NULL, 0,
		"Servers a pool may have beyond its pool size."),
	DATABASE("sequence_state", WORD_INHERITED(sequence_states), sequence_state, NULL, 0,
		"sequence_state of this entry."),
	DATABASE("server_lifetime", TIME_INHERITED, server_lifetime_us, NULL, 0,
		"server_lifetime of this entry."),
	DATABASE("timezone", TEXT, timezone, NULL, 0, "Set on every server of this entry."),
	DATABASE("user", TEXT, user, NULL, 0,
		"Log in to Postgres as this user, whoever the client is."),
};

static const struct schema_row user_rows[] = {
	USER("annotations", WORD(annotation_rights), annotations, "route",
		"What comments on this user's statements may do: nothing, route them, or also act "
		"on Weaviate."),
	USER("client_idle_timeout", TIME_INHERITED, client_idle_timeout_us, NULL,
		"client_idle_timeout of this user."),
	USER("idle_transaction_timeout", TIME_INHERITED, idle_transaction_timeout_us, NULL,
		"idle_transaction_timeout of this user."),
	USER("leak_check", WORD_INHERITED(leak_checks), leak_check, NULL,
		"leak_check of this user; it goes before the database's."),
	USER("max_priority", RANK(1, 10), max_priority, "10",
		"The highest priority this user's annotations may ask for."),
	USER("max_user_client_connections", COUNT_INHERITED, max_user_client_connections, NULL,
		"The most clients of this user."),
	USER("max_user_connections", COUNT_INHERITED, max_user_connections, NULL,
		"The most servers of each pool of this user."),
	USER("on_search_failure", WORD(failure_words), on_search_failure, "error",
		"When Weaviate does not answer a search of this user: the statement fails, or runs "
		"with no hits."),
	USER("on_session_state", WORD_INHERITED(session_state_policies), on_session_state, NULL,
		"on_session_state of this user; it goes before the database's."),
	USER("organization", UUID, organization, NULL,
		"This user's searches are within this organization, whatever their annotations "
		"say."),
	USER("pool_mode", WORD_INHERITED(pool_modes), pool_mode, NULL,
		"pool_mode of this user; it goes before the database's."),
	USER("pool_size", COUNT_INHERITED, pool_size, NULL,
		"The most servers of one pool; it goes before the database's."),
	USER("query_timeout", TIME_INHERITED, query_timeout_us, NULL,
		"query_timeout of this user."),
	USER("query_wait_timeout", TIME_INHERITED, query_wait_timeout_us, NULL,
		"query_wait_timeout of this user; it goes before the database's."),
	USER("reserve_pool_size", COUNT_INHERITED, reserve_pool_size, NULL,
		"Servers a pool may have beyond its pool size."),
	USER("transaction_timeout", TIME_INHERITED, transaction_timeout_us, NULL,
		"transaction_timeout of this user."),
};

static const struct schema_row peer_rows[] = {
	TAKEN("host", TEXT, NULL, 0, "pglane has no peers."),
	TAKEN("pool_size", COUNT(0, COUNT_MAX), NULL, 0, "pglane has no peers."),
	TAKEN("port", PORT, NULL, 0, "pglane has no peers."),
};

static const struct schema_row lane_rows[] = {
	LANE("classes", CLASSES, class_mask, "",
		"The classes of statements that this lane serves. Each class belongs to exactly "
		"one lane."),
	LANE("hop_after", TIME, hop_after_us, "0",
		"A statement that has run this long moves on to the lane hop_to, as soon as a "
		"permit is free there; it is not interrupted. 0: never."),
	LANE("hop_to", TEXT, hop_to, NULL,
		"The lane that statements move on to. From then on they have its "
		"statement_timeout, counted from their start."),
	LANE("max_lag", TIME, max_lag_us, "10",
		"With target = replica: a replica that is further behind the primary is not used. "
		"0: any is."),
	LANE("max_pinned", COUNT(0, COUNT_MAX), max_pinned, "0",
		"How many of its permits may be kept by clients whose sessions have state of their "
		"own (SHOW PINS); a statement that would make one more is refused. 0: half of them."),
	LANE("max_waiting", COUNT(0, COUNT_MAX), max_waiting, "0",
		"How many may wait; who comes then is refused at once. 0: no bound."),
	LANE("permits", COUNT(0, 100000), permits, "0",
		"This lane's share of the budget. A lane with 0 permits and no classes is taken "
		"away."),
	LANE("queue_timeout", TIME_INHERITED, queue_timeout_us, NULL,
		"How long a statement may wait. Default: the global queue_timeout."),
	LANE("replica_fallback", WORD(replica_fallbacks), replica_fallback, "primary",
		"With target = replica, when none can be used: the primary serves the statement, or "
		"it waits in the queue until one can."),
	LANE("spill", TEXT, spill, NULL,
		"LANE:BELOW: when this lane is full its statements take permits of that lane, "
		"while fewer than BELOW of them are in use. Lane ml has default:100 where it can; "
		"empty: never."),
	LANE("statement_timeout", TIME, statement_timeout_us, "30",
		"A statement that runs longer is cancelled. 0: never."),
	LANE("target", WORD(lane_targets), target, "primary",
		"With replica statements that only read go to the `replicas` of their database, all "
		"others to the primary."),
	LANE("urgent", SWITCH, urgent, "0",
		"This lane has no classes: it serves statements of priority 8, 9 and 10 whose own "
		"lane is full. At most one lane is."),
};

static const struct schema_row entity_rows[] = {
	ENTITY("collection", TEXT, collection, NULL,
		"The collection its objects are in. Default: what ml_vector_objects() says, "
		"ServiceEventVector for service_event."),
	ENTITY("key_column", TEXT, key_column, "id",
		"The column of the entity's table that tells its rows apart: a uuid."),
	ENTITY("vector", TEXT, vector, "vectorizer",
		"Where vectors come from: vectorizer (Weaviate makes them), none, or column NAME of "
		"the view ml_source_TYPE: a vector, or an array of numbers."),
};

static const struct schema_row collection_rows[] = {
	COLLECTION("organization", WORD(organization_words), organization, "filter",
		"How organizations are kept apart: filter (by the property organizationId), tenant "
		"(each is a tenant of the collection), or none."),
	COLLECTION("organization_required", SWITCH, organization_required, "0",
		"Refuse searches that name no organization. With tenants they always are."),
};

static const struct schema schemas[] = {
	[SCHEMA_MAIN] = { main_rows, N_ELEMENTS(main_rows), sizeof(struct config) },
	[SCHEMA_DATABASE] = { database_rows, N_ELEMENTS(database_rows), sizeof(struct config_database) },
	[SCHEMA_USER] = { user_rows, N_ELEMENTS(user_rows), sizeof(struct config_user) },
	[SCHEMA_PEER] = { peer_rows, N_ELEMENTS(peer_rows), 0 },
	[SCHEMA_LANE] = { lane_rows, N_ELEMENTS(lane_rows), sizeof(struct config_lane) },
	[SCHEMA_ENTITY] = { entity_rows, N_ELEMENTS(entity_rows), sizeof(struct config_entity) },
	[SCHEMA_COLLECTION] = { collection_rows, N_ELEMENTS(collection_rows), sizeof(struct config_collection) },
};

const struct schema *schema_of(enum schema_scope scope)
{
	MUST((size_t)scope < N_ELEMENTS(schemas));
	return &schemas[scope];
}
