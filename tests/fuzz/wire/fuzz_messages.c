/* SPDX-License-Identifier: ISC */
/*
 * All views of message bodies. The first byte chooses the view, the rest is the body. A view that
 * says PGW_OK must have handed out only what lies inside the body, and where there is a builder of
 * the same message, building it from the view must give the body back.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "pgw/frame.h"
#include "pgw/messages.h"

struct input {
	const uint8_t *body;
	size_t n;
	struct pgw_writer w; /* room for the message built again */
};

static void check_text(const struct input *in, const char *text)
{
	const uint8_t *at = (const uint8_t *)text;

	FUZZ_CHECK(at >= in->body && at + strlen(text) < in->body + in->n);
}

static void check_same(struct input *in, uint8_t type)
{
	struct pgw_frame frame;

	FUZZ_CHECK(in->w.err == PGW_OK);
	FUZZ_CHECK(pgw_frame_read(in->w.data, in->w.len, &frame) == PGW_OK);
	FUZZ_CHECK(frame.type == type && frame.n_body_bytes == in->n);
	FUZZ_CHECK(frame.n_available == in->n);
	FUZZ_CHECK(in->n == 0 || memcmp(frame.body, in->body, in->n) == 0);
}

static void try_parse(struct input *in)
{
	struct pgw_parse v;

	if (pgw_view_parse(in->body, in->n, &v) != PGW_OK)
		return;
	pgw_build_parse(&in->w, v.name, v.query, v.n_query_bytes, v.types, v.n_types);
	check_same(in, PGW_PARSE);
}

static void try_bind(struct input *in)
{
	struct pgw_bind v, part;
	enum pgw_err err = pgw_view_bind(in->body, in->n, in->n, &v);

	FUZZ_CHECK(err == PGW_OK || err == PGW_E_TRUNCATED);
	for (size_t cut = 0; cut < in->n && cut < 600; cut++) {
		enum pgw_err early = pgw_view_bind(in->body, cut, in->n, &part);

		FUZZ_CHECK(early == PGW_MORE || early == err);
		FUZZ_CHECK(early != PGW_OK || part.n_prefix_bytes == v.n_prefix_bytes);
	}
	if (err != PGW_OK)
		return;
	check_text(in, v.portal);
	check_text(in, v.statement);
	FUZZ_CHECK(v.n_prefix_bytes == strlen(v.portal) + strlen(v.statement) + 2);
}

static void try_target(struct input *in)
{
	struct pgw_target v;

	if (pgw_view_target(in->body, in->n, &v) != PGW_OK)
		return;
	FUZZ_CHECK(strlen(v.name) == v.n_name_bytes);
	pgw_build_target(&in->w, PGW_DESCRIBE, v.kind, v.name);
	check_same(in, PGW_DESCRIBE);
}

static void try_execute(struct input *in)
{
	struct pgw_execute v;

	if (pgw_view_execute(in->body, in->n, &v) != PGW_OK)
		return;
	pgw_build_execute(&in->w, v.portal, v.max_rows);
	check_same(in, PGW_EXECUTE);
}

static void try_query(struct input *in)
{
	const char *sql;
	size_t n_sql;

	if (pgw_view_query(in->body, in->n, &sql, &n_sql) != PGW_OK)
		return;
	pgw_build_query(&in->w, sql, n_sql);
	check_same(in, PGW_QUERY);
}

static void try_password(struct input *in)
{
	const char *password;

	if (pgw_view_password(in->body, in->n, &password) != PGW_OK)
		return;
	pgw_build_password(&in->w, password);
	check_same(in, PGW_PASSWORD);
}

static void try_sasl_initial(struct input *in)
{
	struct pgw_sasl_initial v;

	if (pgw_view_sasl_initial(in->body, in->n, &v) != PGW_OK)
		return;
	pgw_build_sasl_initial(&in->w, v.mechanism, v.data, v.n_data);
	check_same(in, PGW_PASSWORD);
}

static void try_auth(struct input *in)
{
	struct pgw_auth_request v;

	if (pgw_view_auth(in->body, in->n, &v) != PGW_OK)
		return;
	FUZZ_CHECK(v.code != PGW_AUTH_MD5 || v.n_data == 4);
	pgw_build_auth(&in->w, (enum pgw_auth_code)v.code, v.data, v.n_data);
	check_same(in, PGW_AUTHENTICATION);
}

static void try_key_data(struct input *in)
{
	const uint8_t *key;
	uint32_t pid;
	size_t n_key;

	if (pgw_view_key_data(in->body, in->n, &pid, &key, &n_key) != PGW_OK)
		return;
	FUZZ_CHECK(n_key >= PGW_CANCEL_KEY_MIN_BYTES && n_key <= PGW_CANCEL_KEY_MAX_BYTES);
	pgw_build_key_data(&in->w, pid, key, n_key);
	check_same(in, PGW_BACKEND_KEY_DATA);
}

static void try_parameter_status(struct input *in)
{
	const char *name, *value;

	if (pgw_view_parameter_status(in->body, in->n, &name, &value) != PGW_OK)
		return;
	pgw_build_parameter_status(&in->w, name, value);
	check_same(in, PGW_PARAMETER_STATUS);
}

static void try_ready(struct input *in)
{
	enum pgw_xact xact;

	if (pgw_view_ready(in->body, in->n, &xact) != PGW_OK)
		return;
	FUZZ_CHECK(xact == PGW_XACT_IDLE || xact == PGW_XACT_OPEN || xact == PGW_XACT_FAILED);
	pgw_build_ready(&in->w, xact);
	check_same(in, PGW_READY_FOR_QUERY);
}

static void try_command_complete(struct input *in)
{
	const char *tag;
	size_t n_tag;

	if (pgw_view_command_complete(in->body, in->n, &tag, &n_tag) != PGW_OK)
		return;
	FUZZ_CHECK(strlen(tag) == n_tag);
	pgw_build_command_complete(&in->w, tag);
	check_same(in, PGW_COMMAND_COMPLETE);
}

/* Fields may be absent, doubled and in any order: only their whereabouts can be checked. */
static void try_error(struct input *in)
{
	struct pgw_error_view v;
	const char *fields[5];

	if (pgw_view_error(in->body, in->n, &v) != PGW_OK)
		return;
	memcpy(fields, (const char *[]){ v.severity, v.sqlstate, v.message, v.detail, v.hint },
		sizeof(fields));
	for (size_t i = 0; i < 5; i++)
		if (fields[i][0])
			check_text(in, fields[i]);
}

static void try_negotiate(struct input *in)
{
	struct pgw_negotiate v;
	const char *at;

	if (pgw_view_negotiate(in->body, in->n, &v) != PGW_OK)
		return;
	at = v.options;
	for (uint32_t i = 0; i < v.n_options; i++) {
		check_text(in, at);
		at += strlen(at) + 1;
	}
	FUZZ_CHECK((const uint8_t *)at == in->body + in->n);
}

/* New views go to the end: the position is the first byte of the corpus files. */
static void (*const views[])(struct input *) = {
	try_parse, /* 0 */
	try_bind, /* 1 */
	try_target, /* 2 */
	try_execute, /* 3 */
	try_query, /* 4 */
	try_password, /* 5 */
	try_sasl_initial, /* 6 */
	try_auth, /* 7 */
	try_key_data, /* 8 */
	try_parameter_status, /* 9 */
	try_ready, /* 10 */
	try_command_complete, /* 11 */
	try_error, /* 12 */
	try_negotiate, /* 13 */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in;
	uint8_t *room;

	if (n == 0)
		return 0;
	room = malloc(n + 64);
	if (room == NULL)
		return 0;
	in = (struct input){ .body = data + 1, .n = n - 1, .w = pgw_writer_on(room, n + 64) };
	views[data[0] % (sizeof(views) / sizeof(views[0]))](&in);
	free(room);
	return 0;
}
