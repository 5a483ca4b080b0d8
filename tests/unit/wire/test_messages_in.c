/* SPDX-License-Identifier: ISC */
/* Views of bodies: whole, one byte short at each place, one byte too many, forbidden values. */
#include "pgw/messages.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/wire/bytes.h"

/* ---- views called for their verdict alone ---- */

static enum pgw_err of_parse(const uint8_t *body, size_t n)
{
	struct pgw_parse v;

	return pgw_view_parse(body, n, &v);
}

static enum pgw_err of_target(const uint8_t *body, size_t n)
{
	struct pgw_target v;

	return pgw_view_target(body, n, &v);
}

static enum pgw_err of_execute(const uint8_t *body, size_t n)
{
	struct pgw_execute v;

	return pgw_view_execute(body, n, &v);
}

static enum pgw_err of_query(const uint8_t *body, size_t n)
{
	const char *sql;
	size_t n_sql;

	return pgw_view_query(body, n, &sql, &n_sql);
}

static enum pgw_err of_password(const uint8_t *body, size_t n)
{
	const char *password;

	return pgw_view_password(body, n, &password);
}

static enum pgw_err of_sasl_initial(const uint8_t *body, size_t n)
{
	struct pgw_sasl_initial v;

	return pgw_view_sasl_initial(body, n, &v);
}

static enum pgw_err of_auth(const uint8_t *body, size_t n)
{
	struct pgw_auth_request v;

	return pgw_view_auth(body, n, &v);
}

static enum pgw_err of_key_data(const uint8_t *body, size_t n)
{
	const uint8_t *key;
	uint32_t pid;
	size_t n_key;

	return pgw_view_key_data(body, n, &pid, &key, &n_key);
}

static enum pgw_err of_parameter_status(const uint8_t *body, size_t n)
{
	const char *name, *value;

	return pgw_view_parameter_status(body, n, &name, &value);
}

static enum pgw_err of_ready(const uint8_t *body, size_t n)
{
	enum pgw_xact xact;

	return pgw_view_ready(body, n, &xact);
}

static enum pgw_err of_command_complete(const uint8_t *body, size_t n)
{
	const char *tag;
	size_t n_tag;

	return pgw_view_command_complete(body, n, &tag, &n_tag);
}

static enum pgw_err of_error(const uint8_t *body, size_t n)
{
	struct pgw_error_view v;

	return pgw_view_error(body, n, &v);
}

static enum pgw_err of_negotiate(const uint8_t *body, size_t n)
{
	struct pgw_negotiate v;

	return pgw_view_negotiate(body, n, &v);
}

/* Bodies that are right; every shorter piece ends inside a field, one byte more trails. */
static void a_body_is_exactly_its_fields(void **state)
{
	static const struct {
		const char *name;
		enum pgw_err (*verdict)(const uint8_t *body, size_t n);
		const uint8_t *body;
		size_t n;
	} cases[] = {
		{ "parse", of_parse, BYTES("s\0select $1\0\0\2\0\0\0\x17\0\0\0\x19") },
		{ "describe", of_target, BYTES("Ss1\0") },
		{ "execute", of_execute, BYTES("p\0\0\0\0\x64") },
		{ "query", of_query, BYTES("select 1\0") },
		{ "password", of_password, BYTES("secret\0") },
		{ "sasl initial", of_sasl_initial, BYTES("SCRAM-SHA-256\0\0\0\0\3n,,") },
		{ "sasl none", of_sasl_initial, BYTES("SCRAM-SHA-256\0\xff\xff\xff\xff") },
		{ "auth ok", of_auth, BYTES("\0\0\0\0") },
		{ "auth cleartext", of_auth, BYTES("\0\0\0\3") },
		{ "auth md5", of_auth, BYTES("\0\0\0\5salt") },
		{ "parameter status", of_parameter_status, BYTES("TimeZone\0UTC\0") },
		{ "ready", of_ready, BYTES("T") },
		{ "command complete", of_command_complete, BYTES("SELECT 1\0") },
		{ "error", of_error, BYTES("SERROR\0C42601\0Mno\0\0") },
		{ "negotiate", of_negotiate, BYTES("\0\3\0\0\0\0\0\2_pq_.a\0_pq_.b\0") },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t n = cases[i].n;

		for (size_t cut = 0; cut <= n + 1; cut++) {
			enum pgw_err want = cut < n ? PGW_E_TRUNCATED :
				cut == n	    ? PGW_OK :
						      PGW_E_TRAILING;
			/* the byte behind a literal is its NUL: good enough to trail */
			uint8_t *body = exact(cases[i].body, cut);
			enum pgw_err err = cases[i].verdict(body, cut);

			free(body);
			if (err != want)
				fail_msg("%s, %zu of %zu bytes: %s", cases[i].name, cut, n,
					pgw_err_text(err));
		}
	}
}

static void parse_shows_texts_and_types(void **state)
{
	static const uint8_t body[] = "stmt\0select $1\0\0\1\0\0\0\x17";
	struct pgw_parse v;

	assert_int_equal(pgw_view_parse(body, sizeof(body) - 1, &v), PGW_OK);
	assert_ptr_equal(v.name, body);
	assert_int_equal(v.n_name_bytes, 4);
	assert_string_equal(v.query, "select $1");
	assert_int_equal(v.n_query_bytes, 9);
	assert_int_equal(v.n_types, 1);
	assert_memory_equal(v.types, "\0\0\0\x17", 4);
	assert_int_equal(pgw_view_parse(BYTES("\0\0\0\0"), &v), PGW_OK);
	assert_int_equal(v.n_name_bytes + v.n_query_bytes + v.n_types, 0);
	/* 65535 types claimed, one there */
	assert_int_equal(of_parse(BYTES("\0\0\xff\xff\0\0\0\x17")), PGW_E_TRUNCATED);
}

static void bind_shows_its_names_as_soon_as_they_are_there(void **state)
{
	static const uint8_t body[] = "port\0stmt\0\0\0\0\1\0\0\0\2hi\0\0";
	const size_t n = sizeof(body) - 1;
	struct pgw_bind v;

	for (size_t available = 0; available <= n; available++) {
		uint8_t *piece = exact(body, available);
		enum pgw_err err = pgw_view_bind(piece, available, n, &v);

		assert_int_equal(err, available < 10 ? PGW_MORE : PGW_OK);
		if (err == PGW_OK) {
			assert_string_equal(v.portal, "port");
			assert_string_equal(v.statement, "stmt");
			assert_int_equal(v.n_portal_bytes, 4);
			assert_int_equal(v.n_statement_bytes, 4);
			assert_int_equal(v.n_prefix_bytes, 10);
		}
		free(piece);
	}
}

static void bind_without_names_will_never_have_them(void **state)
{
	struct pgw_bind v;

	assert_int_equal(pgw_view_bind(BYTES("port\0stm"), 8, &v), PGW_E_TRUNCATED);
	assert_int_equal(pgw_view_bind(BYTES("portal"), 6, &v), PGW_E_TRUNCATED);
	assert_int_equal(pgw_view_bind(BYTES(""), 0, &v), PGW_E_TRUNCATED);
	/* bytes of the next message are not looked at, even when they would end a name */
	assert_int_equal(pgw_view_bind(BYTES("p\0s\0"), 3, &v), PGW_E_TRUNCATED);
	assert_int_equal(pgw_view_bind(BYTES("\0\0"), 2, &v), PGW_OK);
	assert_int_equal(v.n_prefix_bytes, 2);
}

static void a_value_of_bind_is_found_behind_formats_and_others(void **state)
{
	/* text, binary, text; NULL, 2 bytes, none */
	static const char body[] = "p\0s\0\0\3\0\0\0\1\0\0\0\3\xff\xff\xff\xff\0\0\0\2ab\0\0\0\0\0\0";
	size_t n = sizeof(body) - 1;
	struct pgw_value v;

	assert_int_equal(pgw_view_bind_value((const uint8_t *)body, n, n, 4, 0, &v), PGW_OK);
	assert_null(v.at);
	assert_false(v.binary);
	for (size_t available = 0; available <= n; available++) {
		uint8_t *piece = exact(body, available);
		enum pgw_err err = pgw_view_bind_value(piece, available, n, 4, 1, &v);

		assert_int_equal(err, available < 24 ? PGW_MORE : PGW_OK);
		if (err == PGW_OK) {
			assert_true(v.binary);
			assert_int_equal(v.n, 2);
			assert_memory_equal(v.at, "ab", 2);
		}
		free(piece);
	}
	assert_int_equal(pgw_view_bind_value((const uint8_t *)body, n, n, 4, 2, &v), PGW_OK);
	assert_non_null(v.at);
	assert_int_equal(v.n, 0);
	assert_int_equal(pgw_view_bind_value((const uint8_t *)body, n, n, 4, 3, &v), PGW_E_TOO_MANY);
	assert_int_equal(pgw_view_bind_value((const uint8_t *)body, 22, 22, 4, 1, &v), PGW_E_TRUNCATED);
}

static void one_format_is_that_of_all_values(void **state)
{
	static const char body[] = "\0\0\0\1\0\1\0\2\0\0\0\1a\0\0\0\1b\0\0";
	struct pgw_value v;

	assert_int_equal(pgw_view_bind_value((const uint8_t *)body, sizeof(body) - 1, sizeof(body) - 1, 2, 1, &v), PGW_OK);
	assert_true(v.binary);
	assert_memory_equal(v.at, "b", 1);
}

static void a_column_is_found_by_name(void **state)
{
	static const char body[] = "\0\2"
				   "name\0\0\0\0\1\0\1\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
				   "id\0\0\0\0\1\0\2\0\0\x0b\x86\0\x10\xff\xff\xff\xff\0\1";
	size_t n = sizeof(body) - 1;
	uint32_t type_oid = 0;
	bool binary = false;

	for (size_t available = 0; available <= n; available++) {
		uint8_t *piece = exact(body, available);

		assert_int_equal(pgw_find_column(piece, available, "id", &type_oid, &binary),
			available < n ? -1 : 1);
		free(piece);
	}
	assert_int_equal(type_oid, 2950);
	assert_true(binary);
	assert_int_equal(pgw_find_column((const uint8_t *)body, n, "ID", &type_oid, &binary), -1);
	assert_int_equal(pgw_find_column((const uint8_t *)body, n, "name", &type_oid, &binary), 0);
	assert_int_equal(type_oid, 25);
	assert_false(binary);
}

static void a_column_of_a_row_needs_only_what_is_before_it(void **state)
{
	static const char body[] = "\0\3\xff\xff\xff\xff\0\0\0\3abc\0\0\0\x05wxyz!";
	struct pgw_value v;

	for (size_t available = 0; available < sizeof(body); available++) {
		uint8_t *piece = exact(body, available);
		enum pgw_err err = pgw_view_column(piece, available, 1, &v);

		assert_int_equal(err, available < 13 ? PGW_E_TRUNCATED : PGW_OK);
		if (err == PGW_OK)
			assert_memory_equal(v.at, "abc", 3);
		free(piece);
	}
	assert_int_equal(pgw_view_column((const uint8_t *)body, sizeof(body) - 1, 0, &v), PGW_OK);
	assert_null(v.at);
	assert_int_equal(pgw_view_column((const uint8_t *)body, sizeof(body) - 1, 3, &v), PGW_E_TOO_MANY);
}

static void targets_are_statements_or_portals(void **state)
{
	struct pgw_target v;

	assert_int_equal(pgw_view_target(BYTES("Pc1\0"), &v), PGW_OK);
	assert_int_equal(v.kind, 'P');
	assert_string_equal(v.name, "c1");
	assert_int_equal(v.n_name_bytes, 2);
	assert_int_equal(of_target(BYTES("S\0")), PGW_OK);
	assert_int_equal(of_target(BYTES("s\0")), PGW_E_VALUE);
	assert_int_equal(of_target(BYTES("\0\0")), PGW_E_VALUE);
}

static void execute_shows_portal_and_row_limit(void **state)
{
	struct pgw_execute v;

	assert_int_equal(pgw_view_execute(BYTES("p\0\x80\0\0\1"), &v), PGW_OK);
	assert_string_equal(v.portal, "p");
	assert_int_equal(v.max_rows, 0x80000001u);
}

static void a_query_is_one_string(void **state)
{
	const char *sql;
	size_t n_sql;

	assert_int_equal(pgw_view_query(BYTES("select 1\0"), &sql, &n_sql), PGW_OK);
	assert_string_equal(sql, "select 1");
	assert_int_equal(n_sql, 8);
	/* what stands behind a NUL would be run by nobody and seen by nobody: refused */
	assert_int_equal(of_query(BYTES("a\0b\0")), PGW_E_TRAILING);
	assert_int_equal(of_query(BYTES("")), PGW_E_TRUNCATED);
}

static void a_password_is_one_string(void **state)
{
	const char *password;

	assert_int_equal(pgw_view_password(BYTES("pa ss\0"), &password), PGW_OK);
	assert_string_equal(password, "pa ss");
}

static void sasl_initial_knows_absent_from_empty(void **state)
{
	struct pgw_sasl_initial v;

	assert_int_equal(pgw_view_sasl_initial(BYTES("M\0\0\0\0\2ab"), &v), PGW_OK);
	assert_string_equal(v.mechanism, "M");
	assert_int_equal(v.n_data, 2);
	assert_memory_equal(v.data, "ab", 2);
	assert_int_equal(pgw_view_sasl_initial(BYTES("M\0\0\0\0\0"), &v), PGW_OK);
	assert_non_null(v.data);
	assert_int_equal(v.n_data, 0);
	assert_int_equal(pgw_view_sasl_initial(BYTES("M\0\xff\xff\xff\xff"), &v), PGW_OK);
	assert_null(v.data);
	assert_int_equal(v.n_data, 0);
	assert_int_equal(of_sasl_initial(BYTES("M\0\xff\xff\xff\xfe" "ab")), PGW_E_TRUNCATED);
	assert_int_equal(of_sasl_initial(BYTES("M\0\x7f\xff\xff\xff" "ab")), PGW_E_TRUNCATED);
}

static void auth_requests_carry_what_their_code_says(void **state)
{
	struct pgw_auth_request v;

	assert_int_equal(pgw_view_auth(BYTES("\0\0\0\5salt"), &v), PGW_OK);
	assert_int_equal(v.code, PGW_AUTH_MD5);
	assert_int_equal(v.n_data, 4);
	assert_memory_equal(v.data, "salt", 4);
	assert_int_equal(pgw_view_auth(BYTES("\0\0\0\x0aSCRAM-SHA-256\0\0"), &v), PGW_OK);
	assert_int_equal(v.code, PGW_AUTH_SASL);
	assert_int_equal(v.n_data, 15);
	assert_int_equal(pgw_view_auth(BYTES("\0\0\0\x0b"), &v), PGW_OK);
	assert_int_equal(v.n_data, 0);
	/* unknown codes are for the caller to refuse */
	assert_int_equal(pgw_view_auth(BYTES("\0\0\0\x63zz"), &v), PGW_OK);
	assert_int_equal(v.code, 99);
	assert_int_equal(v.n_data, 2);
}

static void key_data_has_4_to_256_bytes(void **state)
{
	uint8_t body[4 + 257] = "\0\0\1\2";

	for (size_t n_key = 0; n_key <= 257; n_key++) {
		const uint8_t *key;
		uint32_t pid;
		size_t n;
		enum pgw_err err = pgw_view_key_data(body, 4 + n_key, &pid, &key, &n);

		if (n_key < 4 || n_key > 256) {
			assert_int_equal(err, PGW_E_LENGTH);
			continue;
		}
		assert_int_equal(err, PGW_OK);
		assert_int_equal(pid, 0x0102);
		assert_int_equal(n, n_key);
		assert_ptr_equal(key, body + 4);
	}
	assert_int_equal(of_key_data(body, 3), PGW_E_TRUNCATED);
}

static void parameter_status_is_a_pair(void **state)
{
	const char *name, *value;

	assert_int_equal(pgw_view_parameter_status(BYTES("a\0\0"), &name, &value), PGW_OK);
	assert_string_equal(name, "a");
	assert_string_equal(value, "");
}

static void ready_has_three_states(void **state)
{
	for (int c = 0; c < 256; c++) {
		uint8_t body = (uint8_t)c;
		enum pgw_xact xact;
		enum pgw_err err = pgw_view_ready(&body, 1, &xact);

		if (c == 'I' || c == 'T' || c == 'E') {
			assert_int_equal(err, PGW_OK);
			assert_int_equal(xact, c);
		} else {
			assert_int_equal(err, PGW_E_VALUE);
		}
	}
}

static void command_complete_is_a_tag(void **state)
{
	const char *tag;
	size_t n_tag;

	assert_int_equal(pgw_view_command_complete(BYTES("COPY 100\0"), &tag, &n_tag), PGW_OK);
	assert_string_equal(tag, "COPY 100");
	assert_int_equal(n_tag, 8);
}

static void error_fields_are_found_in_any_order(void **state)
{
	struct pgw_error_view v;

	assert_int_equal(pgw_view_error(BYTES("Hh\0Ffile\0Mm\0VFATAL\0SFATALE\0Dd\0C28P01\0L1\0\0"),
		&v), PGW_OK);
	assert_string_equal(v.severity, "FATAL"); /* the one that is not translated */
	assert_string_equal(v.sqlstate, "28P01");
	assert_string_equal(v.message, "m");
	assert_string_equal(v.detail, "d");
	assert_string_equal(v.hint, "h");
	assert_int_equal(pgw_view_error(BYTES("SFEHLER\0\0"), &v), PGW_OK);
	assert_string_equal(v.severity, "FEHLER");
	assert_string_equal(v.sqlstate, "");
	assert_string_equal(v.detail, "");
	assert_int_equal(pgw_view_error(BYTES("\0"), &v), PGW_OK);
	assert_string_equal(v.message, "");
}

static void negotiate_lists_what_was_not_known(void **state)
{
	struct pgw_negotiate v;

	assert_int_equal(pgw_view_negotiate(BYTES("\0\3\0\2\0\0\0\2_pq_.a\0b\0"), &v), PGW_OK);
	assert_int_equal(v.protocol, PGW_PROTOCOL_3_2);
	assert_int_equal(v.n_options, 2);
	assert_string_equal(v.options, "_pq_.a");
	assert_string_equal(v.options + 7, "b");
	assert_int_equal(of_negotiate(BYTES("\0\3\0\0\xff\xff\xff\xff" "a\0")), PGW_E_TRUNCATED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_is_exactly_its_fields),
		cmocka_unit_test(parse_shows_texts_and_types),
		cmocka_unit_test(bind_shows_its_names_as_soon_as_they_are_there),
		cmocka_unit_test(bind_without_names_will_never_have_them),
		cmocka_unit_test(a_value_of_bind_is_found_behind_formats_and_others),
		cmocka_unit_test(one_format_is_that_of_all_values),
		cmocka_unit_test(a_column_is_found_by_name),
		cmocka_unit_test(a_column_of_a_row_needs_only_what_is_before_it),
		cmocka_unit_test(targets_are_statements_or_portals),
		cmocka_unit_test(execute_shows_portal_and_row_limit),
		cmocka_unit_test(a_query_is_one_string),
		cmocka_unit_test(a_password_is_one_string),
		cmocka_unit_test(sasl_initial_knows_absent_from_empty),
		cmocka_unit_test(auth_requests_carry_what_their_code_says),
		cmocka_unit_test(key_data_has_4_to_256_bytes),
		cmocka_unit_test(parameter_status_is_a_pair),
		cmocka_unit_test(ready_has_three_states),
		cmocka_unit_test(command_complete_is_a_tag),
		cmocka_unit_test(error_fields_are_found_in_any_order),
		cmocka_unit_test(negotiate_lists_what_was_not_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
