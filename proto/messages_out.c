/* SPDX-License-Identifier: ISC */
/*
 * Builders: each appends one whole message to the writer, or none and leaves its error. What runs
 * once a statement (ReadyForQuery, CommandComplete, messages without a body, Parse) claims its bytes
 * in one piece.
 */
#include "pgw/messages.h"

#include <string.h>

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
	return p + 4;
}

/* A whole message of a body size known beforehand: where the body goes, NULL after an error. */
static uint8_t *open_sized(struct pgw_writer *w, uint8_t type, size_t n_body)
{
	uint8_t *p;

	w->message_start = w->err ? w->message_start : w->len;
	if (n_body > INT32_MAX - 4) {
		pgw_write_fail(w, PGW_E_TOO_LONG);
		return NULL;
	}
	p = pgw_write_space(w, PGW_HEADER_BYTES + n_body);
	if (p == NULL)
		return NULL;
	w->message_start = w->len;
	p[0] = type;
	return put_u32(p + 1, (uint32_t)n_body + 4);
}

/* A message whose body is these bytes and nothing else. */
static void build_raw(struct pgw_writer *w, uint8_t type, const void *data, size_t n)
{
	uint8_t *p = open_sized(w, type, n);

	if (p && n)
		memcpy(p, data, n);
}

/* A message whose body is one string. */
static void build_text(struct pgw_writer *w, uint8_t type, const char *text, size_t n)
{
	uint8_t *p = open_sized(w, type, n + 1);

	if (p == NULL)
		return;
	if (n)
		memcpy(p, text, n);
	p[n] = '\0';
}

/* The count in front of a list; more than it can say is an error. */
static void write_count(struct pgw_writer *w, size_t n)
{
	if (n > UINT16_MAX)
		pgw_write_fail(w, PGW_E_TOO_MANY);
	else
		pgw_write_u16(w, (uint16_t)n);
}

/* ---- to a client ---- */

void pgw_build_auth(struct pgw_writer *w, enum pgw_auth_code code, const void *data, size_t n_data)
{
	pgw_write_begin(w, PGW_AUTHENTICATION);
	pgw_write_u32(w, code);
	pgw_write_bytes(w, data, n_data);
	pgw_write_end(w);
}

void pgw_build_auth_sasl(struct pgw_writer *w, const char *const *mechanisms, size_t n_mechanisms)
{
	pgw_write_begin(w, PGW_AUTHENTICATION);
	pgw_write_u32(w, PGW_AUTH_SASL);
	for (size_t i = 0; i < n_mechanisms; i++)
		pgw_write_cstr(w, mechanisms[i]);
	pgw_write_u8(w, 0);
	pgw_write_end(w);
}

void pgw_build_parameter_status(struct pgw_writer *w, const char *name, const char *value)
{
	pgw_write_begin(w, PGW_PARAMETER_STATUS);
	pgw_write_cstr(w, name);
	pgw_write_cstr(w, value);
	pgw_write_end(w);
}

void pgw_build_key_data(struct pgw_writer *w, uint32_t pid, const uint8_t *key,
	size_t n_key_bytes)
{
	pgw_write_begin(w, PGW_BACKEND_KEY_DATA);
	pgw_write_u32(w, pid);
	pgw_write_bytes(w, key, n_key_bytes);
	pgw_write_end(w);
}

void pgw_build_negotiate(struct pgw_writer *w, uint32_t minor, const char *const *unknown_options,
	size_t n_options)
{
	pgw_write_begin(w, PGW_NEGOTIATE_PROTOCOL_VERSION);
	pgw_write_u32(w, PGW_PROTOCOL(3, minor));
	if (n_options > INT32_MAX)
		pgw_write_fail(w, PGW_E_TOO_MANY);
	pgw_write_u32(w, (uint32_t)n_options);
	for (size_t i = 0; i < n_options && !w->err; i++)
		pgw_write_cstr(w, unknown_options[i]);
	pgw_write_end(w);
}

void pgw_build_ready(struct pgw_writer *w, enum pgw_xact xact)
{
	uint8_t *p = open_sized(w, PGW_READY_FOR_QUERY, 1);

	if (p)
		p[0] = (uint8_t)xact;
}

void pgw_build_command_complete(struct pgw_writer *w, const char *tag)
{
	build_text(w, PGW_COMMAND_COMPLETE, tag, strlen(tag));
}

void pgw_build_empty(struct pgw_writer *w, uint8_t type)
{
	(void)open_sized(w, type, 0);
}

static void write_field(struct pgw_writer *w, uint8_t field, const char *text)
{
	pgw_write_u8(w, field);
	pgw_write_cstr(w, text);
}

void pgw_build_fault(struct pgw_writer *w, const struct pgw_fault *fault)
{
	pgw_build_fault_with(w, fault, fault->detail);
}

void pgw_build_fault_with(struct pgw_writer *w, const struct pgw_fault *fault, const char *detail)
{
	int is_notice = pgw_fault_is_notice(fault->id);

	pgw_write_begin(w, is_notice ? PGW_NOTICE_RESPONSE : PGW_ERROR_RESPONSE);
	write_field(w, 'S', fault->severity);
	write_field(w, 'V', fault->severity);
	write_field(w, 'C', fault->sqlstate);
	write_field(w, 'M', fault->message);
	if (detail[0])
		write_field(w, 'D', detail);
	if (fault->hint[0])
		write_field(w, 'H', fault->hint);
	pgw_write_u8(w, 0);
	pgw_write_end(w);
}

/* pg_type.typlen of the types that a console or a locally answered statement describes. */
static int16_t type_length(uint32_t type_oid)
{
	switch (type_oid) {
	case 16: /* bool */
	case 18: /* "char" */
		return 1;
	case 21: /* int2 */
		return 2;
	case 23: /* int4 */
	case 26: /* oid */
	case 700: /* float4 */
	case 1082: /* date */
		return 4;
	case 20: /* int8 */
	case 701: /* float8 */
	case 1114: /* timestamp */
	case 1184: /* timestamptz */
		return 8;
	case 1186: /* interval */
	case 2950: /* uuid */
		return 16;
	case 19: /* name */
		return 64;
	default: /* text, numeric, json and all else of variable length */
		return -1;
	}
}

void pgw_build_row_description(struct pgw_writer *w, const struct pgw_column *columns,
	size_t n_columns)
{
	pgw_write_begin(w, PGW_ROW_DESCRIPTION);
	write_count(w, n_columns);
	for (size_t i = 0; i < n_columns && !w->err; i++) {
		pgw_write_cstr(w, columns[i].name);
		pgw_write_u32(w, 0); /* of no table */
		pgw_write_u16(w, 0); /* and no column of it */
		pgw_write_u32(w, columns[i].type_oid);
		pgw_write_u16(w, (uint16_t)type_length(columns[i].type_oid));
		pgw_write_u32(w, UINT32_MAX); /* type modifier: none */
		pgw_write_u16(w, 0); /* text format */
	}
	pgw_write_end(w);
}

void pgw_build_data_row(struct pgw_writer *w, const char *const *values, size_t n_values)
{
	pgw_write_begin(w, PGW_DATA_ROW);
	write_count(w, n_values);
	for (size_t i = 0; i < n_values && !w->err; i++) {
		size_t n;

		if (values[i] == NULL) {
			pgw_write_u32(w, UINT32_MAX); /* -1: SQL NULL */
			continue;
		}
		n = strlen(values[i]);
		if (n > INT32_MAX)
			pgw_write_fail(w, PGW_E_TOO_LONG);
		pgw_write_u32(w, (uint32_t)n);
		pgw_write_bytes(w, values[i], n);
	}
	pgw_write_end(w);
}

/* ---- to a server ---- */

void pgw_build_query(struct pgw_writer *w, const char *sql, size_t n_sql)
{
	build_text(w, PGW_QUERY, sql, n_sql);
}

void pgw_build_parse(struct pgw_writer *w, const char *name, const char *query, size_t n_query,
	const uint8_t *types, size_t n_types)
{
	pgw_write_begin(w, PGW_PARSE);
	pgw_write_cstr(w, name);
	pgw_write_bytes(w, query, n_query);
	pgw_write_u8(w, 0);
	write_count(w, n_types);
	pgw_write_bytes(w, types, n_types * 4);
	pgw_write_end(w);
}

void pgw_build_bind_plain(struct pgw_writer *w, const char *portal, const char *statement)
{
	pgw_write_begin(w, PGW_BIND);
	pgw_write_cstr(w, portal);
	pgw_write_cstr(w, statement);
	pgw_write_u16(w, 0); /* parameter formats */
	pgw_write_u16(w, 0); /* parameters */
	pgw_write_u16(w, 0); /* result formats: all text */
	pgw_write_end(w);
}

void pgw_build_execute(struct pgw_writer *w, const char *portal, uint32_t max_rows)
{
	pgw_write_begin(w, PGW_EXECUTE);
	pgw_write_cstr(w, portal);
	pgw_write_u32(w, max_rows);
	pgw_write_end(w);
}

void pgw_build_target(struct pgw_writer *w, uint8_t type, uint8_t kind, const char *name)
{
	pgw_write_begin(w, type);
	pgw_write_u8(w, kind);
	pgw_write_cstr(w, name);
	pgw_write_end(w);
}

void pgw_build_password(struct pgw_writer *w, const char *password)
{
	build_text(w, PGW_PASSWORD, password, strlen(password));
}

void pgw_build_sasl_initial(struct pgw_writer *w, const char *mechanism, const void *data,
	size_t n)
{
	pgw_write_begin(w, PGW_PASSWORD);
	pgw_write_cstr(w, mechanism);
	if (n > INT32_MAX)
		pgw_write_fail(w, PGW_E_TOO_LONG);
	pgw_write_u32(w, data ? (uint32_t)n : UINT32_MAX); /* -1: no initial response */
	pgw_write_bytes(w, data, data ? n : 0);
	pgw_write_end(w);
}

void pgw_build_sasl_response(struct pgw_writer *w, const void *data, size_t n)
{
	build_raw(w, PGW_PASSWORD, data, n);
}
