/* SPDX-License-Identifier: ISC */
#include "unit/config/config_test.h"

static void set_refused(
	const struct config *config, const char *key, const char *value, const char *expected)
{
	char error[256] = "";

	assert_null(config_with(config, key, value, error));
	assert_string_equal(error, expected);
}

static struct config *set_ok(const struct config *config, const char *key, const char *value)
{
	char error[256] = "";
	struct config *fresh = config_with(config, key, value, error);

	if (fresh == NULL)
		fail_msg("%s = %s: %s", key, value, error);
	return fresh;
}

static void rows_have_key_default_and_doc(void **state)
{
	bool found = false;

	for (unsigned i = 0; i < config_n_rows(); i++) {
		const struct config_row *row = config_row(i);

		assert_non_null(row->default_text);
		assert_non_null(row->default_pgbouncer_text);
		assert_true(strlen(row->doc) > 0 && strlen(row->unit) > 0);
		if (strcmp(row->key, "pool_mode") == 0) {
			found = true;
			assert_string_equal(row->default_text, "transaction");
			assert_string_equal(row->default_pgbouncer_text, "session");
			assert_true(row->changeable);
		}
		if (strcmp(row->key, "listen_port") == 0)
			assert_false(row->changeable);
	}
	assert_true(found);
}

static void values_are_shown_in_the_files_units(void **state)
{
	struct config *config = load_ok(
		"[pglane]\nserver_lifetime = 1h\nclient_idle_timeout = 500ms\nmax_packet_size = 1MB\nadmin_users = a,b\n"
		"metrics_password = secret\nunix_socket_mode = 700\nserver_check_query =\nsbuf_loopcnt = 9\n");

	assert_shown(config, "server_lifetime", "3600");
	assert_shown(config, "client_idle_timeout", "0.5");
	assert_shown(config, "max_packet_size", "1048576");
	assert_shown(config, "admin_users", "a, b");
	assert_shown(config, "metrics_password", "****");
	assert_shown(config, "unix_socket_mode", "0700");
	assert_shown(config, "server_check_query", "");
	assert_shown(config, "sbuf_loopcnt", "9");
	assert_shown(config, "pkt_buf", "4096");
	assert_shown(config, "log_stats", "1");
	assert_shown(config, "conffile", "t.ini");
	config_unref(&config);
	config = load_ok("");
	assert_shown(config, "metrics_password", "");
	config_unref(&config);
}

static void set_changes_a_copy(void **state)
{
	struct config *config = load_ok("[databases]\nm = host=x password=p\n");
	struct config *fresh = set_ok(config, "max_client_conn", "5");

	assert_int_equal(fresh->max_client_conn, 5);
	assert_int_equal(config->max_client_conn, 10000);
	assert_string_equal(config_find_database(fresh, "m")->password, "p");
	config_unref(&config);
	config = set_ok(fresh, "metrics_database", "m");
	assert_string_equal(config->metrics_database, "m");
	config_unref(&fresh);
	fresh = set_ok(config, "server_lifetime", "1min");
	assert_shown(fresh, "server_lifetime", "60");
	config_unref(&config);
	config = set_ok(fresh, "sbuf_loopcnt", "3");
	assert_shown(config, "sbuf_loopcnt", "3");
	config_unref(&fresh);
	config_unref(&config);
}

static void set_refuses_what_a_file_may_not_say(void **state)
{
	struct config *config = load_ok("");

	set_refused(config, "listen_port", "1",
		"parameter \"listen_port\" cannot be changed without a restart");
	set_refused(config, "max_client_con", "1",
		"unknown configuration parameter \"max_client_con\"; did you mean max_client_conn?");
	set_refused(config, "zzzzzzzzz", "1", "unknown configuration parameter \"zzzzzzzzz\"");
	set_refused(config, "max_client_conn", "many",
		"max_client_conn: \"many\" is not valid; expected a number from 1 to 1000000");
	set_refused(config, "metrics_database", "m",
		"metrics_database: \"m\" is no entry of [databases]; expected the name of one");
	set_refused(config, "auth_type", "hba",
		"auth_type: pglane does not have auth_type hba; expected one of trust, any, plain, md5, scram-sha-256, cert");
	set_refused(config, "auth_file", "/nonexistent",
		"auth_file: cannot read /nonexistent: No such file or directory");
	set_refused(config, "budget", "10",
		"budget: the lanes' permits add up to 180 (default 120 + ml 30 + vector 15 + training 10 + priority 5), but budget is 10; change permits or "
		"budget so that both are the same");
	config_unref(&config);
}

static void set_of_auth_file_reads_it(void **state)
{
	char *dir = make_dir();
	char *first = write_file(dir, "first", "\"a\" \"1\"\n");
	char *second = write_file(dir, "second", "\"a\" \"2\"\n\"b\" \"3\"\n");
	struct config *none = load_ok("");
	struct config *one = set_ok(none, "auth_file", first);
	struct config *two = set_ok(one, "auth_file", second);
	struct config *gone = set_ok(two, "auth_file", "");

	assert_int_equal(none->n_secrets, 0);
	assert_string_equal(config_find_secret(one, "a"), "1");
	assert_null(config_find_secret(one, "b"));
	assert_string_equal(config_find_secret(two, "a"), "2");
	assert_string_equal(config_find_secret(two, "b"), "3");
	assert_int_equal(gone->n_secrets, 0);
	config_unref(&none);
	config_unref(&one);
	config_unref(&two);
	config_unref(&gone);
	mem_free(first);
	mem_free(second);
	remove_dir(dir, (const char *const[]){ "first", "second", NULL });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_have_key_default_and_doc),
		cmocka_unit_test(values_are_shown_in_the_files_units),
		cmocka_unit_test(set_changes_a_copy),
		cmocka_unit_test(set_refuses_what_a_file_may_not_say),
		cmocka_unit_test(set_of_auth_file_reads_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
