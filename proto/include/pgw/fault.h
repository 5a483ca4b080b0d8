/* SPDX-License-Identifier: ISC */
/*
 * Every error and notice that a client of pglane can see is one row of the table below: id, severity, SQLSTATE,
 * message, hint. DETAIL is formatted at the site. A test finds each id used and each used id here.
 */
#ifndef PGW_FAULT_H
#define PGW_FAULT_H

#include <stddef.h>

#define PGW_FAULT_TEXT_BYTES 512

/*
 * X(id, severity, sqlstate, message, hint) - messages follow PostgreSQL's Error Message Style Guide. A message with `%s` has what is known at the
 * site there and not behind its end: such rows say word for word what PostgreSQL says, because clients compare.
 */
#define PGW_FAULTS(X)                                                                                                                    \
	X(PROTOCOL_VIOLATION, "FATAL", "08P01", "protocol violation", "")                                                                \
	X(UNSUPPORTED_PROTOCOL, "FATAL", "0A000", "unsupported frontend protocol", "pglane speaks protocol 3.0 and 3.2.")                \
	X(PACKET_TOO_LONG, "FATAL", "08P01", "message is longer than allowed", "See max_packet_size.")                                   \
	X(STARTUP_INVALID, "FATAL", "08P01", "invalid startup packet", "")                                                               \
	X(STARTUP_PARAMETER, "FATAL", "08P01", "unsupported startup parameter", "See ignore_startup_parameters.")                       \
	X(STARTUP_REFUSED, "FATAL", "22023", "", "")                                                                                     \
	X(REPLICATION_VALUE, "FATAL", "22023", "invalid value for parameter \"replication\"", "Valid values are: \"false\", 0, \"true\", 1, \"database\".") \
	X(NO_USER, "FATAL", "28000", "no PostgreSQL user name specified in startup packet", "")                                          \
	X(NO_DATABASE, "FATAL", "3D000", "no such database", "Databases are named in [databases].")                                      \
	X(DATABASE_DISABLED, "FATAL", "3D000", "database is disabled", "")                                                               \
	X(LOGIN_FAILED, "FATAL", "28P01", "password authentication failed", "")                                                          \
	X(TLS_REQUIRED, "FATAL", "28000", "TLS connection is required", "Set sslmode=require or stronger in the connection string.")     \
	X(LOGIN_TIMEOUT, "FATAL", "08P01", "login timed out", "See client_login_timeout.")                                               \
	X(TOO_MANY_CLIENTS, "FATAL", "53300", "no more connections allowed", "See max_client_conn.")                                     \
	X(TOO_MANY_USER_CLIENTS, "FATAL", "53300", "no more connections allowed for this user", "See max_user_client_connections.")      \
	X(TOO_MANY_DB_CLIENTS, "FATAL", "53300", "no more connections allowed for this database", "See max_db_client_connections.")      \
	X(NOT_ADMIN, "FATAL", "42501", "not allowed to use the console", "See admin_users and stats_users.")                             \
	X(SHUTTING_DOWN, "FATAL", "57P01", "pglane is shutting down", "")                                                                \
	X(KILLED, "FATAL", "57P01", "terminating connection due to administrator command", "")                                           \
	X(IDLE_CLIENT, "FATAL", "57P05", "terminating connection due to client_idle_timeout", "")                                        \
	X(IDLE_TRANSACTION, "FATAL", "25P03", "terminating connection due to idle-in-transaction timeout", "")                           \
	X(IDLE_ROLLED_BACK, "ERROR", "25P03", "transaction was rolled back because it was idle for too long", "See idle_transaction_timeout.") \
	X(TRANSACTION_TIMEOUT, "FATAL", "25P04", "terminating connection due to transaction timeout", "")                                \
	X(SERVER_UNREACHABLE, "ERROR", "08006", "could not connect to the server", "")                                                   \
	X(SERVER_LOGIN_FAILED, "ERROR", "08006", "server refused the login", "")                                                         \
	X(SERVER_LOST, "ERROR", "08006", "server closed the connection unexpectedly", "The transaction is rolled back; run it again.")   \
	X(COMMIT_UNKNOWN, "ERROR", "08007", "server closed the connection unexpectedly", "Whether the statement was committed is not known: look before you run it again.") \
	X(SERVER_LOST_FATAL, "FATAL", "08006", "server closed the connection unexpectedly", "")                                          \
	X(QUEUE_TIMEOUT, "ERROR", "53300", "canceling statement due to queue timeout", "See queue_timeout.")                                              \
	X(QUEUE_FULL, "ERROR", "53300", "lane queue is full", "See max_waiting.")                                                        \
	X(LANE_TIMEOUT, "ERROR", "57014", "canceling statement due to lane timeout", "")                                                 \
	X(QUEUE_CANCELED, "ERROR", "57014", "canceling statement due to user request", "")                                               \
	X(DENIED, "ERROR", "42501", "statement denied", "See [rules].")                                                                  \
	X(ANNOTATION_DENIED, "ERROR", "42501", "annotation is not allowed", "Set annotations = all for the user in [users].")             \
	X(ANNOTATION_INVALID, "ERROR", "22023", "invalid annotation", "Write ml_entity='type:uuid', ml_entity='type:$1', several separated by commas, or ml_entity='type' with RETURNING.") \
	X(ANNOTATION_UUID, "ERROR", "22P02", "invalid uuid in an annotation", "")                                                        \
	X(ANNOTATION_PARAMETER, "ERROR", "42P02", "annotation names a parameter that the statement does not have", "")                   \
	X(ANNOTATION_NULL, "ERROR", "22004", "parameter of an annotation must not be null", "")                                          \
	X(ANNOTATION_PLACE, "ERROR", "0A000", "annotation cannot be honoured on this statement", "")                                     \
	X(ANNOTATION_LIMIT, "ERROR", "54000", "annotation notes too many entities", "")                                                  \
	X(ANNOTATION_KEY, "ERROR", "42703", "annotated statement does not return the key of its entities", "Add RETURNING, or name the entity: ml_entity='type:uuid'.") \
	X(ANNOTATION_KEY_TYPE, "ERROR", "42804", "key of the annotated statement's entities is no uuid", "")                             \
	X(AHEAD_FAILED, "ERROR", "XX000", "annotation could not be honoured", "")                                                        \
	X(STATEMENT_POOLING, "ERROR", "0A000", "transactions are not allowed in statement pooling", "See pool_mode.")                    \
	X(SESSION_STATE, "ERROR", "0A000", "statement leaves state in its session", "Use pool_mode = session for this user, or see on_session_state.") \
	X(TOO_MANY_PINS, "ERROR", "53300", "too many sessions keep a server", "Drop temporary objects, release locks, or see max_pinned and SHOW PINS.") \
	X(CLASS_UNKNOWN, "WARNING", "01000", "pglane.class decides nothing: its value is no class", "Classes are default, serving, vector, hybrid and training.") \
	X(SESSION_STATE_ENDS, "WARNING", "01000", "what this statement leaves in its session ends with the transaction", "See on_session_state.") \
	X(IDLE_PIN, "FATAL", "57P05", "terminating connection due to pin_idle_timeout", "") \
	X(TOO_MANY_CHANNELS, "ERROR", "53400", "too many channels are listened to", "See max_listen_channels.") \
	X(LISTEN_BACKLOG, "FATAL", "53400", "terminating connection because too many notifications wait", "See max_listen_bytes.") \
	X(LISTEN_ENCODING, "FATAL", "22021", "notification cannot be converted to the client's encoding", "Set client_encoding before LISTEN.") \
	X(LISTENER_WAS_LOST, "NOTICE", "01000", "notifications may have been missed", "") \
	X(STATEMENT_EXISTS, "ERROR", "42P05", "prepared statement \"%s\" already exists", "")                                            \
	X(STATEMENT_UNKNOWN, "ERROR", "26000", "prepared statement \"%s\" does not exist", "")                                           \
	X(UNNAMED_STATEMENT_UNKNOWN, "ERROR", "26000", "unnamed prepared statement does not exist", "")                                  \
	X(PORTAL_UNKNOWN, "ERROR", "34000", "portal \"%s\" does not exist", "")                                                          \
	X(IN_FAILED_TRANSACTION, "ERROR", "25P02", "current transaction is aborted, commands ignored until end of transaction block", "") \
	X(STATEMENT_MEMORY, "ERROR", "53200", "too much memory in prepared statements", "See max_client_prepared_bytes.")                \
	X(DATABASE_PAUSED, "ERROR", "57P03", "database is paused", "")                                                                   \
	X(SEARCH_OFF, "ERROR", "55000", "no Weaviate is configured", "See weaviate_url.")                                                            \
	X(SEARCH_DENIED, "ERROR", "42501", "searches are not allowed for this user", "See annotations in [users].")                                  \
	X(SEARCH_ANNOTATION, "ERROR", "22023", "invalid annotation of a search", "")                                                                 \
	X(SEARCH_UNSUPPORTED, "ERROR", "0A000", "no search is possible here", "")                                                                    \
	X(SEARCH_COLLECTION, "ERROR", "42704", "collection does not exist", "")                                                                      \
	X(SEARCH_PARAMETER, "ERROR", "42P02", "parameter of the search does not exist", "")                                                          \
	X(SEARCH_PARAMETER_NULL, "ERROR", "22004", "parameter of the search is null", "")                                                            \
	X(SEARCH_TEXT, "ERROR", "22021", "text of the search is not UTF-8", "Set client_encoding to UTF8.")                                          \
	X(SEARCH_VECTOR, "ERROR", "22P02", "invalid vector of the search", "")                                                                       \
	X(SEARCH_TOO_LONG, "ERROR", "54000", "search is too long", "")                                                                               \
	X(SEARCH_NO_ORGANIZATION, "ERROR", "22023", "search names no organization", "Name it in ml_organization, or see organization in [users].")   \
	X(SEARCH_FOREIGN_ORGANIZATION, "ERROR", "42501", "search in another organization", "")                                                       \
	X(SEARCH_REFUSED, "ERROR", "22023", "Weaviate refused the search", "")                                                                       \
	X(SEARCH_FAILED, "ERROR", "58000", "search failed", "See on_search_failure in [users].")                                                     \
	X(CONSOLE_COMMAND, "ERROR", "08P01", "invalid command", "")                                                                      \
	X(CONSOLE_DENIED, "ERROR", "42501", "admin access needed", "")                                                                   \
	X(CONSOLE_ARGUMENT, "ERROR", "22023", "invalid argument", "")                                                                    \
	X(CONSOLE_NO_DATABASE, "ERROR", "3D000", "no such database", "Databases are named in [databases].")                              \
	X(CONSOLE_OWN_DATABASE, "ERROR", "55000", "not possible for the console's own database", "")                                     \
	X(CONSOLE_NO_CLIENT, "ERROR", "22023", "client not found", "See the column id of SHOW CLIENTS.")                                 \
	X(CONSOLE_NO_FINGERPRINT, "ERROR", "22023", "fingerprint not found", "See the column id of SHOW FINGERPRINTS.")                  \
	X(CONSOLE_PAUSED, "ERROR", "55000", "already suspended/paused", "")                                                              \
	X(CONSOLE_NOT_PAUSED, "ERROR", "55000", "pooler is not paused/suspended", "")                                                    \
	X(CONSOLE_DATABASE_NOT_PAUSED, "ERROR", "55000", "database is not paused", "")                                                   \
	X(CONSOLE_SHUTDOWN, "ERROR", "57P01", "pooler is shutting down", "")                                                             \
	X(CONSOLE_SET_FAILED, "ERROR", "22023", "SET failed", "")                                                                        \
	X(CONSOLE_OUTBOX, "ERROR", "55000", "the outbox cannot do that now", "See SHOW OUTBOX.")                                         \
	X(CONSOLE_NOT_REFRESHED, "ERROR", "58000", "catalogs could not be read", "What was read before is kept; see SHOW CATALOG.")      \
	X(CONSOLE_CANCELED, "ERROR", "57014", "canceling command due to user request", "")                                               \
	X(CONSOLE_MEMORY, "ERROR", "53200", "too many prepared statements and portals", "")                                              \
	X(CONSOLE_PROTOCOL, "ERROR", "0A000", "the console does not support this message", "")                                          \
	X(RELOAD_FAILED, "ERROR", "F0000", "configuration was not reloaded", "")                                                         \
	X(RELOAD_NOTICE, "NOTICE", "00000", "configuration was reloaded", "")                                                            \
	X(CONSOLE_USAGE, "NOTICE", "00000", "Console usage", "")                                                                         \
	X(SET_IGNORED, "NOTICE", "00000", "SET ignored", "")                                                                             \
	X(FINGERPRINTS_OFF, "NOTICE", "00000", "no statement is counted", "Set workload_detection = on.")                               \
	X(QUEUED_NOTICE, "NOTICE", "00000", "waiting for a permit of the lane", "")                                                      \
	X(LOGIN_NOTICE, "NOTICE", "00000", "", "")

enum pgw_fault_id {
#define PGW_FAULT_ENUM(id, severity, sqlstate, message, hint) PGW_FAULT_##id,
	PGW_FAULTS(PGW_FAULT_ENUM)
#undef PGW_FAULT_ENUM
	PGW_N_FAULTS
};

/* A value: the row, with what is known at the site. Texts are copied in and cut at PGW_FAULT_TEXT_BYTES. */
struct pgw_fault {
	enum pgw_fault_id id;
	const char *severity;
	const char *sqlstate;
	char message[PGW_FAULT_TEXT_BYTES];
	char detail[PGW_FAULT_TEXT_BYTES];
	char hint[PGW_FAULT_TEXT_BYTES];
};

struct pgw_fault pgw_fault_make(enum pgw_fault_id id); /* the row as it stands */
/*
 * The row with `: what` behind its message when what is not NULL, or what in the place of its %s, and a formatted DETAIL (format NULL: none). What
 * does not fit is cut between UTF-8 characters. Neither text may point into *fault.
 */
void pgw_fault_set(struct pgw_fault *fault, enum pgw_fault_id id, const char *what, const char *detail_format, ...)
	__attribute__((format(printf, 4, 5)));
int pgw_fault_is_notice(enum pgw_fault_id id); /* a NoticeResponse, not an ErrorResponse */
const char *pgw_fault_name(enum pgw_fault_id id);

#endif
