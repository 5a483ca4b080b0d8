/* SPDX-License-Identifier: ISC */
#include "config/schema.h"

#include <ctype.h>

#include "unit/config/config_test.h"

static const enum schema_scope scopes[] = { SCHEMA_MAIN, SCHEMA_DATABASE, SCHEMA_USER, SCHEMA_PEER,
	SCHEMA_LANE, SCHEMA_ENTITY, SCHEMA_COLLECTION };

/* What PgBouncer 1.25.2's SHOW CONFIG lists; tools look these up. */
static const char *const pgbouncer_keys[] = { "admin_users", "application_name_add_host",
	"auth_dbname", "auth_file", "auth_hba_file", "auth_ident_file", "auth_ldap_options",
	"auth_query", "auth_type", "auth_user", "autodb_idle_timeout", "cancel_wait_timeout",
	"client_idle_timeout", "client_login_timeout", "client_tls13_ciphers", "client_tls_ca_file",
	"client_tls_cert_file", "client_tls_ciphers", "client_tls_dheparams",
	"client_tls_ecdhcurve", "client_tls_key_file", "client_tls_protocols", "client_tls_sslmode",
	"conffile", "default_pool_size", "disable_pqexec", "dns_max_ttl", "dns_nxdomain_ttl",
	"dns_zone_check_period", "idle_transaction_timeout", "ignore_startup_parameters",
	"job_name", "listen_addr", "listen_backlog", "listen_port", "log_connections",
	"log_disconnections", "log_pooler_errors", "log_stats", "logfile", "max_client_conn",
	"max_db_client_connections", "max_db_connections", "max_packet_size",
	"max_prepared_statements", "max_user_client_connections", "max_user_connections",
	"min_pool_size", "peer_id", "pidfile", "pkt_buf", "pool_mode", "query_timeout",
	"query_wait_notify", "query_wait_timeout", "reserve_pool_size", "reserve_pool_timeout",
	"resolv_conf", "sbuf_loopcnt", "scram_iterations", "server_check_delay",
	"server_check_query", "server_connect_timeout", "server_fast_close", "server_idle_timeout",
	"server_lifetime", "server_login_retry", "server_reset_query", "server_reset_query_always",
	"server_round_robin", "server_tls13_ciphers", "server_tls_ca_file", "server_tls_cert_file",
	"server_tls_ciphers", "server_tls_key_file", "server_tls_protocols", "server_tls_sslmode",
	"service_name", "so_reuseport", "stats_period", "stats_users", "suspend_timeout", "syslog",
	"syslog_facility", "syslog_ident", "tcp_defer_accept", "tcp_keepalive", "tcp_keepcnt",
	"tcp_keepidle", "tcp_keepintvl", "tcp_socket_buffer", "tcp_user_timeout",
	"track_extra_parameters", "transaction_timeout", "unix_socket_dir", "unix_socket_group",
	"unix_socket_mode", "user", "verbose" };

static void every_key_of_pgbouncer_is_there(void **state)
{
	for (size_t i = 0; i < N_ELEMENTS(pgbouncer_keys); i++)
		if (schema_find(SCHEMA_MAIN, pgbouncer_keys[i]) == NULL)
			fail_msg("%s is missing", pgbouncer_keys[i]);
}

static void rows_are_alphabetical_and_unique(void **state)
{
	for (size_t s = 0; s < N_ELEMENTS(scopes); s++) {
		const struct schema *schema = schema_of(scopes[s]);

		for (unsigned i = 1; i < schema->n_rows; i++)
			if (strcmp(schema->rows[i - 1].key, schema->rows[i].key) >= 0)
				fail_msg("%s stands before %s", schema->rows[i - 1].key,
					schema->rows[i].key);
	}
}

static void every_row_is_documented(void **state)
{
	for (size_t s = 0; s < N_ELEMENTS(scopes); s++) {
		const struct schema *schema = schema_of(scopes[s]);

		for (unsigned i = 0; i < schema->n_rows; i++) {
			const char *doc = schema->rows[i].doc;

			if (strlen(doc) < 10 || !strchr(".)", doc[strlen(doc) - 1]) ||
				(!isupper((unsigned char)doc[0]) &&
					strncmp(doc, schema->rows[i].key,
						strlen(schema->rows[i].key))))
				fail_msg("%s: \"%s\" is no sentence", schema->rows[i].key, doc);
		}
	}
}

/* SHOW CONFIG's default column and the example are written as values are shown. */
static void defaults_are_valid_and_written_as_shown(void **state)
{
	for (size_t s = 0; s < N_ELEMENTS(scopes); s++) {
		const struct schema *schema = schema_of(scopes[s]);

		for (unsigned i = 0; i < 2 * schema->n_rows; i++) {
			const struct schema_row *row = &schema->rows[i / 2];
			const char *text = schema_default(row, i % 2);
			_Alignas(uint64_t) char field[VALUE_MAX_BYTES] = { 0 };
			struct strbuf out = STRBUF_INIT;

			if (text == NULL)
				continue;
			if (!value_set(&row->type, field, text, &out))
				fail_msg("%s = %s: %s", row->key, text, out.data);
			value_format(&row->type, field, &out);
			if (strcmp(out.data, text))
				fail_msg("%s: default %s is shown as %s", row->key, text, out.data);
			value_release(&row->type, field);
			strbuf_release(&out);
		}
	}
}

static void fields_lie_inside_their_struct_and_apart(void **state)
{
	for (size_t s = 0; s < N_ELEMENTS(scopes); s++) {
		const struct schema *schema = schema_of(scopes[s]);

		for (unsigned i = 0; i < schema->n_rows; i++) {
			const struct schema_row *a = &schema->rows[i];

			if (a->flags & SCHEMA_ACCEPTED)
				continue;
			assert_true(a->offset + value_bytes(&a->type) <= schema->object_bytes);
			for (unsigned j = 0; j < i; j++) {
				const struct schema_row *b = &schema->rows[j];

				if (b->flags & SCHEMA_ACCEPTED || strcmp(a->field, b->field) == 0)
					continue; /* an alias */
				if (a->offset < b->offset + value_bytes(&b->type) &&
					b->offset < a->offset + value_bytes(&a->type))
					fail_msg(
						"%s and %s overlap: is a type wider than its field?",
						a->key, b->key);
			}
		}
	}
}

static void words_stand_in_the_order_of_their_enums(void **state)
{
	static const struct {
		const char *key, *value;
		unsigned expected;
	} cases[] = {
		{ "auth_type", "trust", AUTH_TRUST },
		{ "auth_type", "any", AUTH_ANY },
		{ "auth_type", "plain", AUTH_PLAIN },
		{ "auth_type", "md5", AUTH_MD5 },
		{ "auth_type", "scram-sha-256", AUTH_SCRAM },
		{ "auth_type", "cert", AUTH_CERT },
		{ "pool_mode", "session", POOL_MODE_SESSION },
		{ "pool_mode", "transaction", POOL_MODE_TRANSACTION },
		{ "pool_mode", "statement", POOL_MODE_STATEMENT },
		{ "server_tls_sslmode", "disable", TLS_DISABLE },
		{ "server_tls_sslmode", "allow", TLS_ALLOW },
		{ "server_tls_sslmode", "prefer", TLS_PREFER },
		{ "server_tls_sslmode", "require", TLS_REQUIRE },
		{ "server_tls_sslmode", "verify-ca", TLS_VERIFY_CA },
		{ "server_tls_sslmode", "verify-full", TLS_VERIFY_FULL },
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		const struct schema_row *row = schema_find(SCHEMA_MAIN, cases[i].key);
		struct strbuf why = STRBUF_INIT;
		uint32_t field = 99;

		assert_true(value_set(&row->type, &field, cases[i].value, &why));
		assert_int_equal(field, cases[i].expected);
		strbuf_release(&why);
	}
}

static void near_keys_are_found_and_far_ones_are_not(void **state)
{
	assert_string_equal(schema_nearest(SCHEMA_MAIN, "listen_prot"), "listen_port");
	assert_string_equal(schema_nearest(SCHEMA_MAIN, "max_client_conns"), "max_client_conn");
	assert_string_equal(
		schema_nearest(SCHEMA_MAIN, "pool_size_default") ? "x" : "none", "none");
	assert_string_equal(schema_nearest(SCHEMA_DATABASE, "pasword"), "password");
	assert_string_equal(schema_nearest(SCHEMA_USER, "anotations"), "annotations");
	assert_null(schema_nearest(SCHEMA_MAIN, "zzzzzzzzzzzz"));
	assert_null(schema_nearest(SCHEMA_MAIN,
		"a_word_that_is_far_longer_than_any_key_and_than_the_row_of_the_matrix_that_compares_them"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_of_pgbouncer_is_there),
		cmocka_unit_test(rows_are_alphabetical_and_unique),
		cmocka_unit_test(every_row_is_documented),
		cmocka_unit_test(defaults_are_valid_and_written_as_shown),
		cmocka_unit_test(fields_lie_inside_their_struct_and_apart),
		cmocka_unit_test(words_stand_in_the_order_of_their_enums),
		cmocka_unit_test(near_keys_are_found_and_far_ones_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
