/* SPDX-License-Identifier: ISC */
/*
 * What a builder writes, the view of the same message reads: for random values of every message that
 * has both. Damaged bodies are the business of tests/fuzz/wire.
 */
#include "pgw/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "pgw/frame.h"
#include "property/wire/seed.h"

#define N_ROUNDS 20000
#define MAX_TEXT 80

/* One message at a time: built into `bytes`, and its body again without a byte to spare. */
struct box {
	uint8_t bytes[2048];
	struct pgw_writer w;
	uint8_t *body;
	size_t n;
};

static void box_open(struct box *box)
{
	box->w = pgw_writer_on(box->bytes, sizeof(box->bytes));
}

static void box_close(struct box *box, uint8_t type)
{
	struct pgw_frame frame = { 0 };

	assert_int_equal(box->w.err, PGW_OK);
	assert_int_equal(pgw_frame_read(box->bytes, box->w.len, &frame), PGW_OK);
	assert_int_equal(frame.type, type);
	assert_int_equal(frame.n_body_bytes + PGW_HEADER_BYTES, box->w.len);
	box->n = frame.n_body_bytes;
	box->body = calloc(1, box->n ? box->n : 1);
	assert_non_null(box->body);
	memcpy(box->body, frame.body, box->n);
}

static void box_free(struct box *box)
{
	free(box->body);
	box->body = NULL;
}

/* Any bytes but NUL, often none. */
static void random_text(char text[static MAX_TEXT])
{
	size_t n = seed_below(3) ? seed_below(MAX_TEXT) : 0;

	for (size_t i = 0; i < n; i++)
		text[i] = (char)(1 + seed_below(255));
	text[n] = '\0';
}

static size_t random_bytes(uint8_t *bytes, size_t max)
{
	size_t n = seed_below(max + 1);

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)seed_next();
	return n;
}

static void round_parse(struct box *box)
{
	char name[MAX_TEXT], query[MAX_TEXT];
	uint8_t types[400];
	size_t n_types = random_bytes(types, sizeof(types)) / 4;
	struct pgw_parse v;

	random_text(name);
	random_text(query);
	pgw_build_parse(&box->w, name, query, strlen(query), types, n_types);
	box_close(box, PGW_PARSE);
	assert_int_equal(pgw_view_parse(box->body, box->n, &v), PGW_OK);
	assert_string_equal(v.name, name);
	assert_int_equal(v.n_name_bytes, strlen(name));
	assert_string_equal(v.query, query);
	assert_int_equal(v.n_query_bytes, strlen(query));
	assert_int_equal(v.n_types, n_types);
	assert_memory_equal(v.types, types, n_types * 4);
}

static void round_bind(struct box *box)
{
	char portal[MAX_TEXT], statement[MAX_TEXT];
	struct pgw_bind v;

	random_text(portal);
	random_text(statement);
	pgw_build_bind_plain(&box->w, portal, statement);
	box_close(box, PGW_BIND);
	assert_int_equal(pgw_view_bind(box->body, box->n, box->n, &v), PGW_OK);
	assert_string_equal(v.portal, portal);
	assert_string_equal(v.statement, statement);
	assert_int_equal(v.n_prefix_bytes + 6, box->n);
}

static void round_target(struct box *box)
{
	uint8_t type = seed_below(2) ? PGW_DESCRIBE : PGW_CLOSE;
	uint8_t kind = seed_below(2) ? 'S' : 'P';
	char name[MAX_TEXT];
	struct pgw_target v;

	random_text(name);
	pgw_build_target(&box->w, type, kind, name);
	box_close(box, type);
	assert_int_equal(pgw_view_target(box->body, box->n, &v), PGW_OK);
	assert_int_equal(v.kind, kind);
	assert_string_equal(v.name, name);
	assert_int_equal(v.n_name_bytes, strlen(name));
}

static void round_execute(struct box *box)
{
	uint32_t max_rows = (uint32_t)seed_next();
	char portal[MAX_TEXT];
	struct pgw_execute v;

	random_text(portal);
	pgw_build_execute(&box->w, portal, max_rows);
	box_close(box, PGW_EXECUTE);
	assert_int_equal(pgw_view_execute(box->body, box->n, &v), PGW_OK);
	assert_string_equal(v.portal, portal);
	assert_int_equal(v.max_rows, max_rows);
}

static void round_query(struct box *box)
{
	char sql[MAX_TEXT];
	const char *seen;
	size_t n_seen;

	random_text(sql);
	pgw_build_query(&box->w, sql, strlen(sql));
	box_close(box, PGW_QUERY);
	assert_int_equal(pgw_view_query(box->body, box->n, &seen, &n_seen), PGW_OK);
	assert_string_equal(seen, sql);
	assert_int_equal(n_seen, strlen(sql));
}

static void round_password(struct box *box)
{
	char password[MAX_TEXT];
	const char *seen;

	random_text(password);
	pgw_build_password(&box->w, password);
	box_close(box, PGW_PASSWORD);
	assert_int_equal(pgw_view_password(box->body, box->n, &seen), PGW_OK);
	assert_string_equal(seen, password);
}

static void round_sasl_initial(struct box *box)
{
	char mechanism[MAX_TEXT];
	uint8_t data[300];
	size_t n_data = random_bytes(data, sizeof(data));
	int is_absent = seed_below(4) == 0;
	struct pgw_sasl_initial v;

	random_text(mechanism);
	pgw_build_sasl_initial(&box->w, mechanism, is_absent ? NULL : data, n_data);
	box_close(box, PGW_PASSWORD);
	assert_int_equal(pgw_view_sasl_initial(box->body, box->n, &v), PGW_OK);
	assert_string_equal(v.mechanism, mechanism);
	assert_int_equal(v.data == NULL, is_absent);
	assert_int_equal(v.n_data, is_absent ? 0 : n_data);
	if (!is_absent)
		assert_memory_equal(v.data, data, n_data);
}

static void round_auth(struct box *box)
{
	static const enum pgw_auth_code codes[] = { PGW_AUTH_OK, PGW_AUTH_CLEARTEXT, PGW_AUTH_MD5,
		PGW_AUTH_SASL_CONTINUE, PGW_AUTH_SASL_FINAL };
	enum pgw_auth_code code = codes[seed_below(5)];
	uint8_t data[300];
	size_t n_data = random_bytes(data, sizeof(data));
	struct pgw_auth_request v;

	if (code == PGW_AUTH_OK || code == PGW_AUTH_CLEARTEXT)
		n_data = 0;
	if (code == PGW_AUTH_MD5)
		n_data = 4;
	memset(data + n_data, 0, sizeof(data) - n_data);
	pgw_build_auth(&box->w, code, data, n_data);
	box_close(box, PGW_AUTHENTICATION);
	assert_int_equal(pgw_view_auth(box->body, box->n, &v), PGW_OK);
	assert_int_equal(v.code, code);
	assert_int_equal(v.n_data, n_data);
	assert_memory_equal(v.data, data, n_data);
}

static void round_key_data(struct box *box)
{
	uint32_t pid = (uint32_t)seed_next(), seen_pid;
	uint8_t key[PGW_CANCEL_KEY_MAX_BYTES] = { 0 };
	size_t n_key = random_bytes(key, sizeof(key)), n_seen;
	const uint8_t *seen;

	if (n_key < PGW_CANCEL_KEY_MIN_BYTES)
		n_key = PGW_CANCEL_KEY_MIN_BYTES;
	pgw_build_key_data(&box->w, pid, key, n_key);
	box_close(box, PGW_BACKEND_KEY_DATA);
	assert_int_equal(pgw_view_key_data(box->body, box->n, &seen_pid, &seen, &n_seen), PGW_OK);
	assert_int_equal(seen_pid, pid);
	assert_int_equal(n_seen, n_key);
	assert_memory_equal(seen, key, n_key);
}

static void round_parameter_status(struct box *box)
{
	char name[MAX_TEXT], value[MAX_TEXT];
	const char *seen_name, *seen_value;

	random_text(name);
	random_text(value);
	pgw_build_parameter_status(&box->w, name, value);
	box_close(box, PGW_PARAMETER_STATUS);
	assert_int_equal(pgw_view_parameter_status(box->body, box->n, &seen_name, &seen_value),
		PGW_OK);
	assert_string_equal(seen_name, name);
	assert_string_equal(seen_value, value);
}

static void round_ready(struct box *box)
{
	static const enum pgw_xact states[] = { PGW_XACT_IDLE, PGW_XACT_OPEN, PGW_XACT_FAILED };
	enum pgw_xact xact = states[seed_below(3)], seen;

	pgw_build_ready(&box->w, xact);
	box_close(box, PGW_READY_FOR_QUERY);
	assert_int_equal(pgw_view_ready(box->body, box->n, &seen), PGW_OK);
	assert_int_equal(seen, xact);
}

static void round_command_complete(struct box *box)
{
	char tag[MAX_TEXT];
	const char *seen;
	size_t n_seen;

	random_text(tag);
	pgw_build_command_complete(&box->w, tag);
	box_close(box, PGW_COMMAND_COMPLETE);
	assert_int_equal(pgw_view_command_complete(box->body, box->n, &seen, &n_seen), PGW_OK);
	assert_string_equal(seen, tag);
	assert_int_equal(n_seen, strlen(tag));
}

static void round_fault(struct box *box)
{
	enum pgw_fault_id id = (enum pgw_fault_id)seed_below(PGW_N_FAULTS);
	char what[MAX_TEXT], detail[MAX_TEXT];
	struct pgw_fault fault;
	struct pgw_error_view v;

	random_text(what);
	random_text(detail);
	pgw_fault_set(&fault, id, seed_below(2) ? what : NULL, "%s", detail);
	pgw_build_fault(&box->w, &fault);
	box_close(box, pgw_fault_is_notice(id) ? PGW_NOTICE_RESPONSE : PGW_ERROR_RESPONSE);
	assert_int_equal(pgw_view_error(box->body, box->n, &v), PGW_OK);
	assert_string_equal(v.severity, fault.severity);
	assert_string_equal(v.sqlstate, fault.sqlstate);
	assert_string_equal(v.message, fault.message);
	assert_string_equal(v.detail, detail);
	assert_string_equal(v.hint, fault.hint);
}

static void round_negotiate(struct box *box)
{
	char texts[3][MAX_TEXT];
	const char *options[3] = { NULL };
	size_t n_options = seed_below(4);
	struct pgw_negotiate v;
	const char *at;

	for (size_t i = 0; i < n_options; i++) {
		random_text(texts[i]);
		options[i] = texts[i];
	}
	pgw_build_negotiate(&box->w, 2, options, n_options);
	box_close(box, PGW_NEGOTIATE_PROTOCOL_VERSION);
	assert_int_equal(pgw_view_negotiate(box->body, box->n, &v), PGW_OK);
	assert_int_equal(v.protocol, PGW_PROTOCOL_3_2);
	assert_int_equal(v.n_options, n_options);
	at = v.options;
	for (size_t i = 0; i < n_options; i++, at += strlen(at) + 1)
		assert_string_equal(at, texts[i]);
}

static void (*const rounds[])(struct box *box) = {
	round_auth,
	round_bind,
	round_command_complete,
	round_execute,
	round_fault,
	round_key_data,
	round_negotiate,
	round_parameter_status,
	round_parse,
	round_password,
	round_query,
	round_ready,
	round_sasl_initial,
	round_target,
};

static void views_read_what_builders_wrote(void **state)
{
	struct box box;

	for (int i = 0; i < N_ROUNDS; i++) {
		box_open(&box);
		rounds[(size_t)i % (sizeof(rounds) / sizeof(rounds[0]))](&box);
		box_free(&box);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(views_read_what_builders_wrote),
	};

	seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
