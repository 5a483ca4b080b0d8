/* SPDX-License-Identifier: ISC */
/*
 * Views of message bodies. A view never copies: its strings point into the body and live as long as
 * it. Each view but Bind's demands that the body ends with the last field.
 */
#include "pgw/messages.h"

#include <string.h>

enum pgw_err pgw_view_parse(const uint8_t *body, size_t n, struct pgw_parse *out_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);

	out_r->name = pgw_read_cstr(&r, &out_r->n_name_bytes);
	out_r->query = pgw_read_cstr(&r, &out_r->n_query_bytes);
	out_r->n_types = pgw_read_u16(&r);
	out_r->types = pgw_read_bytes(&r, out_r->n_types * 4);
	return pgw_read_end(&r);
}

enum pgw_err pgw_view_bind(const uint8_t *body, size_t n_available, size_t n_body,
	struct pgw_bind *out_r)
{
	struct pgw_reader r = pgw_reader_on(body, n_available < n_body ? n_available : n_body);

	out_r->portal = pgw_read_cstr(&r, &out_r->n_portal_bytes);
	out_r->statement = pgw_read_cstr(&r, &out_r->n_statement_bytes);
	out_r->n_prefix_bytes = out_r->n_portal_bytes + out_r->n_statement_bytes + 2;
	if (r.err == PGW_E_TRUNCATED && n_available < n_body)
		return PGW_MORE;
	return r.err;
}

/* The value that the reader stands before. */
static void read_value(struct pgw_reader *r, struct pgw_value *out_r)
{
	uint32_t length = pgw_read_u32(r);

	out_r->at = NULL;
	out_r->n = 0;
	if (r->err || length == UINT32_MAX)
		return;
	out_r->at = pgw_read_bytes(r, length);
	out_r->n = length;
}

enum pgw_err pgw_view_bind_value(const uint8_t *body, size_t n_available, size_t n_body,
	size_t n_prefix, unsigned index, struct pgw_value *out_r)
{
	size_t n = n_available < n_body ? n_available : n_body;
	struct pgw_reader r = pgw_reader_on(body, n);
	uint16_t n_formats, n_values, format = 0;
	unsigned i;

	(void)pgw_read_bytes(&r, n_prefix);
	n_formats = pgw_read_u16(&r);
	for (i = 0; i < n_formats; i++) {
		uint16_t one = pgw_read_u16(&r);

		if (i == index || n_formats == 1)
			format = one;
	}
	n_values = pgw_read_u16(&r);
	if (!r.err && index >= n_values)
		return PGW_E_TOO_MANY;
	for (i = 0; i <= index && !r.err; i++)
		read_value(&r, out_r);
	out_r->binary = format == 1;
	return r.err == PGW_E_TRUNCATED && n_available < n_body ? PGW_MORE : r.err;
}

enum pgw_err pgw_view_target(const uint8_t *body, size_t n, struct pgw_target *out_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);

	out_r->kind = pgw_read_u8(&r);
	out_r->name = pgw_read_cstr(&r, &out_r->n_name_bytes);
	if (!r.err && out_r->kind != 'S' && out_r->kind != 'P')
		return PGW_E_VALUE;
	return pgw_read_end(&r);
}

enum pgw_err pgw_view_execute(const uint8_t *body, size_t n, struct pgw_execute *out_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);

	out_r->portal = pgw_read_cstr(&r, NULL);
	out_r->max_rows = pgw_read_u32(&r);
	return pgw_read_end(&r);
}

enum pgw_err pgw_view_query(const uint8_t *body, size_t n, const char **sql_r, size_t *n_sql_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);

	*sql_r = pgw_read_cstr(&r, n_sql_r);
	return pgw_read_end(&r);
}

enum pgw_err pgw_view_password(const uint8_t *body, size_t n, const char **password_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);

	*password_r = pgw_read_cstr(&r, NULL);
	return pgw_read_end(&r);
}

enum pgw_err pgw_view_sasl_initial(const uint8_t *body, size_t n,
	struct pgw_sasl_initial *out_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);
	uint32_t n_data;

	out_r->mechanism = pgw_read_cstr(&r, NULL);
	n_data = pgw_read_u32(&r);
	if (n_data == UINT32_MAX) { /* -1: no initial response */
		out_r->data = NULL;
		out_r->n_data = 0;
	} else {
		out_r->n_data = n_data;
		out_r->data = pgw_read_bytes(&r, n_data);
	}
	return pgw_read_end(&r);
}

/* How many bytes follow the code of the requests that have a fixed form; SIZE_MAX: any number. */
static size_t auth_data_bytes(uint32_t code)
{
	switch (code) {
	case PGW_AUTH_OK:
	case PGW_AUTH_CLEARTEXT:
		return 0;
	case PGW_AUTH_MD5:
		return 4;
	default:
		return SIZE_MAX;
	}
}

enum pgw_err pgw_view_auth(const uint8_t *body, size_t n, struct pgw_auth_request *out_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);
	size_t n_data;

	out_r->code = pgw_read_u32(&r);
	n_data = auth_data_bytes(out_r->code);
	out_r->n_data = n_data == SIZE_MAX ? pgw_reader_left(&r) : n_data;
	out_r->data = pgw_read_bytes(&r, out_r->n_data);
	return pgw_read_end(&r);
}

enum pgw_err pgw_view_key_data(const uint8_t *body, size_t n, uint32_t *pid_r,
	const uint8_t **key_r, size_t *n_key_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);

	*pid_r = pgw_read_u32(&r);
	*n_key_r = pgw_reader_left(&r);
	*key_r = pgw_read_bytes(&r, *n_key_r);
	if (!r.err && (*n_key_r < PGW_CANCEL_KEY_MIN_BYTES || *n_key_r > PGW_CANCEL_KEY_MAX_BYTES))
		return PGW_E_LENGTH;
	return pgw_read_end(&r);
}

enum pgw_err pgw_view_parameter_status(const uint8_t *body, size_t n, const char **name_r,
	const char **value_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);

	*name_r = pgw_read_cstr(&r, NULL);
	*value_r = pgw_read_cstr(&r, NULL);
	return pgw_read_end(&r);
}

int pgw_find_column(
	const uint8_t *body, size_t n, const char *name, uint32_t *type_oid_r, bool *binary_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);
	uint16_t n_columns = pgw_read_u16(&r), i;

	for (i = 0; i < n_columns; i++) {
		const char *column = pgw_read_cstr(&r, NULL);
		uint32_t type_oid;
		uint16_t format;

		(void)pgw_read_bytes(&r, 6); /* table, its column */
		type_oid = pgw_read_u32(&r);
		(void)pgw_read_bytes(&r, 6); /* length, modifier */
		format = pgw_read_u16(&r);
		if (r.err)
			return -1;
		if (strcmp(column, name) == 0) {
			*type_oid_r = type_oid;
			*binary_r = format == 1;
			return i;
		}
	}
	return -1;
}

enum pgw_err pgw_view_column(
	const uint8_t *body, size_t n, unsigned index, struct pgw_value *out_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);
	unsigned n_columns = pgw_read_u16(&r), i;

	if (!r.err && index >= n_columns)
		return PGW_E_TOO_MANY;
	for (i = 0; i <= index && !r.err; i++)
		read_value(&r, out_r);
	return r.err;
}

enum pgw_err pgw_view_ready(const uint8_t *body, size_t n, enum pgw_xact *xact_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);
	uint8_t status = pgw_read_u8(&r);

	if (!r.err && status != PGW_XACT_IDLE && status != PGW_XACT_OPEN &&
		status != PGW_XACT_FAILED)
		return PGW_E_VALUE;
	*xact_r = (enum pgw_xact)status;
	return pgw_read_end(&r);
}

enum pgw_err pgw_view_command_complete(const uint8_t *body, size_t n, const char **tag_r,
	size_t *n_tag_r)
{
	return pgw_view_query(body, n, tag_r, n_tag_r); /* the same single string */
}

enum pgw_err pgw_view_error(const uint8_t *body, size_t n, struct pgw_error_view *out_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);
	const char *localized = "";
	uint8_t field;

	*out_r = (struct pgw_error_view){ "", "", "", "", "", "" };
	while ((field = pgw_read_u8(&r)) != 0) {
		const char *text = pgw_read_cstr(&r, NULL);

		switch (field) {
		case 'S':
			localized = text;
			break;
		case 'V':
			out_r->severity = text;
			break;
		case 'C':
			out_r->sqlstate = text;
			break;
		case 'M':
			out_r->message = text;
			break;
		case 'D':
			out_r->detail = text;
			break;
		case 'H':
			out_r->hint = text;
			break;
		case 'R':
			out_r->routine = text;
			break;
		default: /* the protocol asks to ignore what one does not know */
			break;
		}
	}
	if (out_r->severity[0] == '\0') /* servers before 9.6 send only the localized one */
		out_r->severity = localized;
	return pgw_read_end(&r);
}

enum pgw_err pgw_view_negotiate(const uint8_t *body, size_t n, struct pgw_negotiate *out_r)
{
	struct pgw_reader r = pgw_reader_on(body, n);
	uint32_t n_options;

	out_r->protocol = pgw_read_u32(&r);
	n_options = pgw_read_u32(&r);
	out_r->n_options = n_options;
	out_r->options = (const char *)r.at;
	/* Each option is a byte at least: a claimed count costs nothing beyond the body. */
	for (uint32_t i = 0; i < n_options && !r.err; i++)
		(void)pgw_read_cstr(&r, NULL);
	return pgw_read_end(&r);
}
