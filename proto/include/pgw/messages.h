/* SPDX-License-Identifier: ISC */
/*
 * Views of complete message bodies, and builders of messages. Views borrow from the body. Each view checks that the body
 * ends exactly with the last field.
 */
#ifndef PGW_MESSAGES_H
#define PGW_MESSAGES_H

#include <stdbool.h>

#include "pgw/codes.h"
#include "pgw/cursor.h"
#include "pgw/fault.h"

/* ---- from the client ---- */

struct pgw_parse { const char *name; const char *query; size_t n_name_bytes; size_t n_query_bytes; const uint8_t *types; size_t n_types; /* 4 bytes each */ };
enum pgw_err pgw_view_parse(const uint8_t *body, size_t n, struct pgw_parse *out_r) PGW_WARN_UNUSED;

/* The names at the start of Bind; what is behind them (formats, values, result formats) is never looked at. */
struct pgw_bind { const char *portal; const char *statement; size_t n_portal_bytes; size_t n_statement_bytes; size_t n_prefix_bytes; /* both names with NULs */ };
/* PGW_MORE when n < the body's length and the names are not complete within n; PGW_E_TRUNCATED when they never can be. */
enum pgw_err pgw_view_bind(const uint8_t *body, size_t n_available, size_t n_body, struct pgw_bind *out_r) PGW_WARN_UNUSED;

/* A value in a message: NULL is at == NULL. */
struct pgw_value { const uint8_t *at; uint32_t n; bool binary; };
/* Bind's parameter number `index`, from 0, behind the names (n_prefix bytes). PGW_MORE as above; PGW_E_TOO_MANY: it has fewer. */
enum pgw_err pgw_view_bind_value(const uint8_t *body, size_t n_available, size_t n_body, size_t n_prefix, unsigned index, struct pgw_value *out_r) PGW_WARN_UNUSED;

struct pgw_target { uint8_t kind; /* 'S' statement, 'P' portal */ const char *name; size_t n_name_bytes; }; /* Describe, Close */
enum pgw_err pgw_view_target(const uint8_t *body, size_t n, struct pgw_target *out_r) PGW_WARN_UNUSED;

struct pgw_execute { const char *portal; uint32_t max_rows; };
enum pgw_err pgw_view_execute(const uint8_t *body, size_t n, struct pgw_execute *out_r) PGW_WARN_UNUSED;

enum pgw_err pgw_view_query(const uint8_t *body, size_t n, const char **sql_r, size_t *n_sql_r) PGW_WARN_UNUSED;

/* A PasswordMessage; the same type byte carries SASL messages, of which only the login's state can tell. */
enum pgw_err pgw_view_password(const uint8_t *body, size_t n, const char **password_r) PGW_WARN_UNUSED;
/* SASLInitialResponse; data NULL: without one. A SASLResponse is the body itself. */
struct pgw_sasl_initial { const char *mechanism; const uint8_t *data; size_t n_data; };
enum pgw_err pgw_view_sasl_initial(const uint8_t *body, size_t n, struct pgw_sasl_initial *out_r) PGW_WARN_UNUSED;

/* ---- from the server ---- */

/* OK and CLEARTEXT have no data, MD5 has exactly 4 bytes of salt: anything else is an error. Codes we do not name pass as they are. */
struct pgw_auth_request { uint32_t code; const uint8_t *data; size_t n_data; }; /* md5 salt, SASL mechanisms, SASL data */
enum pgw_err pgw_view_auth(const uint8_t *body, size_t n, struct pgw_auth_request *out_r) PGW_WARN_UNUSED;
enum pgw_err pgw_view_key_data(const uint8_t *body, size_t n, uint32_t *pid_r, const uint8_t **key_r, size_t *n_key_r) PGW_WARN_UNUSED;
enum pgw_err pgw_view_parameter_status(const uint8_t *body, size_t n, const char **name_r, const char **value_r) PGW_WARN_UNUSED;
enum pgw_err pgw_view_ready(const uint8_t *body, size_t n, enum pgw_xact *xact_r) PGW_WARN_UNUSED;
enum pgw_err pgw_view_command_complete(const uint8_t *body, size_t n, const char **tag_r, size_t *n_tag_r) PGW_WARN_UNUSED;
/* NegotiateProtocolVersion: the newest version it speaks, and n_options strings one behind the other: what it did not know. */
struct pgw_negotiate { uint32_t protocol; const char *options; uint32_t n_options; };
enum pgw_err pgw_view_negotiate(const uint8_t *body, size_t n, struct pgw_negotiate *out_r) PGW_WARN_UNUSED;
/* RowDescription's first column of that name within n bytes: its index, or -1. */
int pgw_find_column(const uint8_t *body, size_t n, const char *name, uint32_t *type_oid_r, bool *binary_r);
/* DataRow's column `index`, from 0, within n bytes; `binary` is not written. PGW_E_TOO_MANY: it has fewer. */
enum pgw_err pgw_view_column(const uint8_t *body, size_t n, unsigned index, struct pgw_value *out_r) PGW_WARN_UNUSED;
/* Fields of an ErrorResponse or NoticeResponse; absent ones are "". */
struct pgw_error_view { const char *severity; const char *sqlstate; const char *message; const char *detail; const char *hint; const char *routine; };
enum pgw_err pgw_view_error(const uint8_t *body, size_t n, struct pgw_error_view *out_r) PGW_WARN_UNUSED;

/* ---- builders: to a client ---- */

void pgw_build_auth(struct pgw_writer *w, enum pgw_auth_code code, const void *data, size_t n_data);
void pgw_build_auth_sasl(struct pgw_writer *w, const char *const *mechanisms, size_t n_mechanisms);
void pgw_build_parameter_status(struct pgw_writer *w, const char *name, const char *value);
void pgw_build_key_data(struct pgw_writer *w, uint32_t pid, const uint8_t *key, size_t n_key_bytes);
/* NegotiateProtocolVersion. The manual says "minor version", but servers send and libpq reads the whole number 3.minor: so do we. */
void pgw_build_negotiate(struct pgw_writer *w, uint32_t minor, const char *const *unknown_options, size_t n_options);
void pgw_build_ready(struct pgw_writer *w, enum pgw_xact xact);
void pgw_build_command_complete(struct pgw_writer *w, const char *tag);
void pgw_build_empty(struct pgw_writer *w, uint8_t type); /* messages without a body: '1' '2' '3' 'n' 's' 'I' 'S' 'H' 'c' 'X' */
/* ErrorResponse ('E') or NoticeResponse ('N') from a fault, fields S V C M D H in this order, D and H only when not empty. */
void pgw_build_fault(struct pgw_writer *w, const struct pgw_fault *fault);
/* The same with another DETAIL, of any length; "": none. */
void pgw_build_fault_with(struct pgw_writer *w, const struct pgw_fault *fault, const char *detail);
struct pgw_column { const char *name; uint32_t type_oid; };
void pgw_build_row_description(struct pgw_writer *w, const struct pgw_column *columns, size_t n_columns); /* text format, typlen by oid */
void pgw_build_data_row(struct pgw_writer *w, const char *const *values, size_t n_values); /* NULL pointer = SQL NULL */

/* ---- builders: to a server ---- */

void pgw_build_query(struct pgw_writer *w, const char *sql, size_t n_sql);
void pgw_build_parse(struct pgw_writer *w, const char *name, const char *query, size_t n_query, const uint8_t *types, size_t n_types);
void pgw_build_bind_plain(struct pgw_writer *w, const char *portal, const char *statement); /* no parameters, text results */
void pgw_build_execute(struct pgw_writer *w, const char *portal, uint32_t max_rows);
void pgw_build_target(struct pgw_writer *w, uint8_t type, uint8_t kind, const char *name); /* Describe, Close */
void pgw_build_password(struct pgw_writer *w, const char *password);
void pgw_build_sasl_initial(struct pgw_writer *w, const char *mechanism, const void *data, size_t n);
void pgw_build_sasl_response(struct pgw_writer *w, const void *data, size_t n);

#endif
