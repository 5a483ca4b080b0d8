/* SPDX-License-Identifier: ISC */
/*
 * The configuration as loaded: an immutable snapshot, shared by reference count. Times are microseconds whatever unit the file
 * used. Strings belong to the snapshot. Which keys exist, their units, defaults and documentation: the one table in schema.c.
 * Threads: a snapshot is read by any; config_ref/config_unref are atomic.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/base.h"
#include "base/strbuf.h"

enum pool_mode { POOL_MODE_SESSION, POOL_MODE_TRANSACTION, POOL_MODE_STATEMENT, POOL_MODE_UNSET };
enum auth_type { AUTH_TRUST, AUTH_ANY, AUTH_PLAIN, AUTH_MD5, AUTH_SCRAM, AUTH_CERT };
enum tls_mode { TLS_DISABLE, TLS_ALLOW, TLS_PREFER, TLS_REQUIRE, TLS_VERIFY_CA, TLS_VERIFY_FULL };
/* What becomes of state that a statement would leave in its session, in transaction pooling. */
enum leak_check { LEAK_CHECK_OFF, LEAK_CHECK_SAMPLED, LEAK_CHECK_ALWAYS, LEAK_CHECK_INHERIT };
enum sequence_state { SEQUENCE_STATE_LEARNED, SEQUENCE_STATE_PIN, SEQUENCE_STATE_OFF, SEQUENCE_STATE_INHERIT };
enum session_state_policy { SESSION_STATE_VIRTUALIZE, SESSION_STATE_PIN, SESSION_STATE_WARN, SESSION_STATE_ERROR, SESSION_STATE_INHERIT };
enum annotation_right { ANNOTATIONS_NONE, ANNOTATIONS_ROUTE, ANNOTATIONS_ALL };
enum weaviate_search { WEAVIATE_SEARCH_AUTO, WEAVIATE_SEARCH_REST, WEAVIATE_SEARCH_GRAPHQL };
enum collection_organization { ORGANIZATION_NONE, ORGANIZATION_FILTER, ORGANIZATION_TENANT };
enum search_failure { SEARCH_FAILURE_IS_ERROR, SEARCH_FAILURE_IS_EMPTY };
enum entity_vector { VECTOR_NONE, VECTOR_BY_VECTORIZER, VECTOR_FROM_COLUMN };
enum lane_target { TARGET_PRIMARY, TARGET_REPLICA };
enum replica_fallback { FALLBACK_PRIMARY, FALLBACK_QUEUE };

#define CONFIG_INHERIT_US UINT64_MAX /* "not set here: the next wider scope decides" */
#define CONFIG_INHERIT UINT32_MAX

#define CONFIG_LANES_MAX 32 /* the ledger's bound */
#define CONFIG_REPLICAS_MAX 16 /* of one entry of [databases] */

struct config_lane {
	char *name;
	uint32_t permits;
	uint32_t class_mask;		/* 1 << enum query_class; 0 for the urgent lane */
	bool urgent;			/* the lane `priority` */
	uint64_t statement_timeout_us;	/* 0: none; the urgent lane uses that of the statement's home lane */
	uint64_t queue_timeout_us;	/* CONFIG_INHERIT_US: the global one */
	uint32_t max_waiting;
	uint32_t max_pinned;		/* permits that pins may hold; 0: half of them */
	char *hop_to, *spill;		/* as written; NULL: none */
	uint64_t hop_after_us;		/* a statement that has run that long goes to hop_lane; 0: none does */
	int hop_lane;			/* index, or -1 */
	uint32_t spill_below;		/* permits of spill_lane in use; 0: no spill */
	uint8_t spill_lane;
	enum lane_target target;	/* where its statements that only read may go */
	uint64_t max_lag_us;		/* a replica that is further behind is not used; 0: any is */
	enum replica_fallback replica_fallback; /* when no replica can be used */
};

struct config_database {
	char *name;		/* "*" is the fallback */
	char *dbname;		/* NULL: the client's database name */
	char *host;		/* NULL: unix socket in the default directory; starts with / : socket directory; comma list */
	uint16_t port;
	char *user, *password;	/* forced server user; NULL: the client's */
	enum pool_mode pool_mode;
	enum session_state_policy on_session_state;
	enum leak_check leak_check;
	enum sequence_state sequence_state;
	uint32_t pool_size, min_pool_size, reserve_pool_size; /* pool_size caps this pool's servers when set; CONFIG_INHERIT otherwise */
	uint32_t max_db_connections, max_db_client_connections;
	uint64_t server_lifetime_us, query_wait_timeout_us;
	char *connect_query;
	char *client_encoding, *datestyle, *timezone, *application_name;
	char **replicas;	/* entries of [databases]: replicas of this one; NULL-terminated, NULL: none */
};

struct config_user {
	char *name;
	enum pool_mode pool_mode;
	uint32_t pool_size, reserve_pool_size, max_user_connections, max_user_client_connections;
	uint64_t query_timeout_us, query_wait_timeout_us, idle_transaction_timeout_us, transaction_timeout_us, client_idle_timeout_us;
	enum session_state_policy on_session_state;
	enum leak_check leak_check;
	enum annotation_right annotations;
	uint8_t max_priority;
	enum search_failure on_search_failure;
	char *organization;	/* of its searches, lower case; NULL: any */
};

/* What of the database becomes an object of Weaviate: [entity:TYPE]. */
struct config_entity {
	char *name;		/* the entity type */
	char *collection;	/* NULL: as ml_vector_objects() says */
	char *key_column;	/* of the entity's table */
	char *vector;		/* as written: see config_entity_vector() */
};

struct config_collection {	/* [collection:NAME] */
	char *name;
	enum collection_organization organization;
	bool organization_required;
};

struct config_secret { char *user; char *secret; }; /* auth_file, sorted by user: plain text, md5…, SCRAM-SHA-256$… or "" */

struct config_tls {
	enum tls_mode mode;
	char *ca_file, *cert_file, *key_file, *protocols, *ciphers, *tls13_ciphers, *ecdhcurve, *dheparams;
};

struct config {
	/* where and who */
	char *listen_addr;		/* comma list; "*" all; NULL: no TCP */
	uint16_t listen_port;
	uint32_t listen_backlog;
	char *unix_socket_dir;		/* NULL: none; "@…" abstract */
	uint32_t unix_socket_mode;
	char *unix_socket_group;
	char *user;			/* setuid to it */
	char *pidfile, *logfile;
	bool syslog;
	char *syslog_ident, *syslog_facility;
	uint32_t verbose;
	bool log_connections, log_disconnections, log_pooler_errors, log_stats;
	uint32_t workers;		/* resolved: never 0 */
	/* clients */
	uint32_t max_client_conn, max_db_client_connections, max_user_client_connections;
	uint64_t client_login_timeout_us, client_idle_timeout_us, idle_transaction_timeout_us, transaction_timeout_us;
	enum auth_type auth_type;
	char *auth_file;
	uint32_t scram_iterations;
	struct config_tls client_tls;
	char **admin_users, **stats_users, **ignore_startup_parameters; /* NULL-terminated lists */
	bool application_name_add_host;
	char *login_notify_message;
	/* pooling */
	enum pool_mode pool_mode;
	uint32_t default_pool_size, min_pool_size, reserve_pool_size, max_db_connections, max_user_connections; /* 0: the budget and the lanes decide */
	uint64_t query_timeout_us, query_wait_timeout_us;
	uint32_t query_wait_notify_s;
	char *server_reset_query;
	bool server_reset_query_always;
	uint64_t server_connect_timeout_us, server_idle_timeout_us, server_lifetime_us, server_login_retry_us, cancel_wait_timeout_us;
	enum session_state_policy on_session_state;
	enum leak_check leak_check;
	enum sequence_state sequence_state;
	uint64_t pin_idle_timeout_us;	/* 0: none */
	uint64_t autodb_idle_timeout_us; /* of pools that no entry of [databases] names; 0: never */
	struct config_tls server_tls;
	/* lanes */
	uint32_t budget;
	struct config_lane *lanes;
	unsigned n_lanes;
	uint64_t priority_aging_us;	/* of waiting that weigh as much as one step of priority; 0: none do */
	uint8_t lane_of_class[8];	/* enum query_class -> index into lanes */
	int urgent_lane;		/* index or -1 */
	uint64_t queue_timeout_us;	/* global default */
	uint64_t cancel_grace_us;
	uint32_t warm_min, scale_step, scale_threshold_permille;
	uint32_t max_server_logins; /* 0: as many as there are slots */
	uint64_t scale_down_delay_us;
	char **rules;			/* the lines of [rules], in order, NULL-terminated */
	char **rule_places;		/* "FILE:LINE" of each, for the mistakes that only their compiler can see */
	unsigned n_rules;
	bool workload_detection;	/* statements are counted by fingerprint, and learned from */
	uint32_t bulk_rows;		/* a run that returns more teaches; 0: none does */
	uint32_t max_fingerprints;	/* each worker's */
	/* protocol and memory */
	uint64_t max_packet_bytes, inspect_limit_bytes;
	uint32_t max_prepared_statements;
	uint32_t max_noted_entities;	/* whose ids one annotated statement may return */
	uint64_t max_client_prepared_bytes, max_prepared_bytes;
	uint64_t max_listen_bytes;
	uint32_t max_listen_channels;
	uint32_t tcp_keepalive, tcp_keepcnt, tcp_keepidle, tcp_keepintvl, tcp_user_timeout_ms, tcp_socket_buffer;
	bool tcp_defer_accept;
	/* replicas: they are asked how far they are behind, if any lane has target = replica */
	bool targets_replica;		/* a lane has; filled by replicas_resolve() */
	uint64_t replica_check_period_us;
	char *replica_check_user, *replica_check_password;
	/* services */
	char *metrics_database;		/* entry of [databases] whose Postgres holds db_connection_pool_metrics; NULL: no sampler */
	char *metrics_user, *metrics_password;
	uint64_t sample_period_us;
	uint64_t maintenance_period_us;	/* 0: ml_maintain() is left to others */
	uint32_t sample_backlog;	/* samples kept while the database is away */
	uint64_t slow_query_us;
	char *catalog_user, *catalog_password; /* NULL: see the key */
	uint64_t catalog_period_us;	/* 0: catalogs are not read */
	char *instance_id;		/* never NULL: the host name and port when it is not set */
	uint64_t stats_period_us;
	/* Weaviate and the outbox */
	char *weaviate_url;		/* NULL: off; without a slash at its end */
	char *weaviate_api_key, *weaviate_api_key_file;
	char *weaviate_key;		/* the one of the two that is set; NULL: none */
	char *weaviate_ca_file;
	char *weaviate_classes;		/* as written: see config_weaviate_classes() */
	enum weaviate_search weaviate_search;
	uint64_t weaviate_timeout_us, weaviate_write_timeout_us;
	uint64_t search_timeout_us, search_max_bytes;
	uint32_t search_requests, search_max_waiting; /* waiting 0: no bound */
	uint32_t search_breaker_failures;	/* 0: never opens */
	uint64_t search_breaker_pause_us;
	uint64_t search_cache_ttl_us, search_cache_bytes; /* ttl 0: off */
	uint64_t search_stats_period_us; /* 0: nothing is counted */
	char *outbox_database, *outbox_user, *outbox_password; /* as written: see config_outbox_database() */
	uint64_t outbox_poll_us, outbox_batch_bytes;
	uint32_t outbox_batch, outbox_requests;
	/* scopes */
	struct config_database *databases;
	unsigned n_databases;
	struct config_user *users;
	unsigned n_users;
	struct config_entity *entities;
	unsigned n_entities;
	struct config_collection *collections;
	unsigned n_collections;
	struct config_secret *secrets;
	unsigned n_secrets;
	char *file_name;
	bool pgbouncer_section;		/* a [pgbouncer] section was read: its defaults apply */
	char **accepted;		/* by row: the texts of keys that are accepted for compatibility and have no field */
	int refs;			/* atomic */
};

/* One mistake. All of a file's are collected; the texts are "FILE:LINE: [section] key: what is wrong; what would be right". */
struct config_problem { char *file; unsigned line; char *section; char *key; char *text; };
struct config_problems { struct config_problem *items; unsigned n, n_warnings; }; /* warnings are among the items; the others are mistakes */
void config_problems_release(struct config_problems *problems);
void config_problems_print(const struct config_problems *problems, struct strbuf *out);

/* Loads file_name with its includes and auth_file. NULL when anything is wrong (then problems has at least one mistake; else it may have warnings). Reference: 1. */
struct config *config_load(const char *file_name, struct config_problems *problems) WARN_UNUSED;
/* Says if a line is a rule, else what is wrong: rules are compiled on a floor above. lanes: of config_lane_names(). */
typedef bool config_rule_check(const char *line, const char *const *lanes, unsigned n_lanes, char error[static 256]);
/* The same; each line of [rules] that check_rule does not like is one more mistake. */
struct config *config_load_checked(const char *file_name, config_rule_check *check_rule, struct config_problems *problems) WARN_UNUSED;
struct config *config_ref(struct config *config);
void config_unref(struct config **config);

/* The entry a name means: the exact one, else "*", else NULL. A user without an entry has the defaults: CONFIG_USER_* below. */
const struct config_database *config_find_database(const struct config *config, const char *name);
const struct config_user *config_find_user(const struct config *config, const char *name);
#define CONFIG_USER_ANNOTATIONS ANNOTATIONS_ROUTE
#define CONFIG_USER_MAX_PRIORITY 10
const char *config_find_secret(const struct config *config, const char *user);		   /* NULL: unknown user */
bool config_list_has(char *const *list, const char *name);
/* NULL where there is no section of that name: the defaults hold, which the functions below give for NULL. */
const struct config_entity *config_find_entity(const struct config *config, const char *type);
const struct config_collection *config_find_collection(const struct config *config, const char *name);
enum entity_vector config_entity_vector(const struct config_entity *entity, const char **column_r); /* column_r: of VECTOR_FROM_COLUMN, else NULL */
enum collection_organization config_organization(const struct config_collection *collection);
const char *config_weaviate_classes(const struct config *config); /* never NULL */
/* The entry of [databases] with the outbox, and who reads it; NULL: none, or the entry's own. */
const char *config_outbox_database(const struct config *config);
const char *config_outbox_user(const struct config *config);
const char *config_outbox_password(const struct config *config);
/* The lanes that a rule may name, by index: NULL in place of the urgent one. The array is the caller's to free, the names are the snapshot's. */
const char **config_lane_names(const struct config *config);

/* SHOW CONFIG and conf/pglane.ini: all keys in alphabetical order. Values as text, in the file's units. */
struct config_row {
	const char *key;
	const char *default_text;	    /* in [pglane] */
	const char *default_pgbouncer_text; /* when a [pgbouncer] section is read */
	bool changeable;		    /* by SET and RELOAD */
	const char *doc;
	const char *unit;
};
unsigned config_n_rows(void);
const struct config_row *config_row(unsigned i);
void config_row_value(const struct config *config, unsigned i, struct strbuf *out); /* secrets are shown as **** */
/* SET key = value on the console: a copy of config with that one key changed; NULL and error text when not possible. */
struct config *config_with(const struct config *config, const char *key, const char *value, char error[static 256]) WARN_UNUSED;
void config_write_example(struct strbuf *out); /* conf/pglane.ini, generated */
void config_write_manual(struct strbuf *out);  /* conf/KEYS.md, generated: the manual's tables */
/* What a reload may not change (listen_port, workers …): appends "key: needs a restart" lines; the new snapshot keeps the old values. */
void config_keep_boot_values(struct config *fresh, const struct config *running, struct strbuf *notes);

#endif
