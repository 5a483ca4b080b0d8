/* SPDX-License-Identifier: ISC */
#include "config/load.h"

#include <errno.h>

#include "unit/config/config_test.h"

static void nothing_given_is_pglane(void **state)
{
	struct config *config = load_ok("");

	assert_false(config->pgbouncer_section);
	assert_int_equal(config->pool_mode, POOL_MODE_TRANSACTION);
	assert_int_equal(config->listen_port, 6432);
	assert_string_equal(config->listen_addr, "127.0.0.1");
	assert_int_equal(config->auth_type, AUTH_SCRAM);
	assert_int_equal(config->max_client_conn, 10000);
	assert_int_equal(config->default_pool_size, 0);
	assert_true(config->workers >= 1 && config->workers <= 63);
	assert_int_equal(config->server_login_retry_us, 1000000);
	assert_int_equal(config->client_login_timeout_us, 60000000);
	assert_int_equal(config->server_tls.mode, TLS_PREFER);
	assert_int_equal(config->client_tls.mode, TLS_DISABLE);
	assert_int_equal(config->max_prepared_statements, 200);
	assert_int_equal(config->inspect_limit_bytes, 1048576);
	assert_int_equal(config->max_packet_bytes, 2147483647);
	assert_int_equal(config->budget, 180);
	assert_int_equal(config->queue_timeout_us, 30000000);
	assert_int_equal(config->query_wait_timeout_us, 0);
	assert_int_equal(config->cancel_grace_us, 5000000);
	assert_null(config->metrics_database);
	assert_int_equal(config->sample_period_us, 10000000);
	assert_int_equal(config->sample_backlog, 8640);
	assert_int_equal(config->slow_query_us, 1000000);
	assert_non_null(strstr(config->instance_id, ":6432"));
	assert_int_equal(config->n_rules, 0);
	assert_null(config->rules[0]);
	config_unref(&config);
}

static void a_pgbouncer_section_brings_pgbouncers_defaults(void **state)
{
	struct config *config = load_ok("[pgbouncer]\n");

	assert_true(config->pgbouncer_section);
	assert_int_equal(config->pool_mode, POOL_MODE_SESSION);
	assert_int_equal(config->max_client_conn, 100);
	assert_int_equal(config->auth_type, AUTH_MD5);
	assert_string_equal(config->unix_socket_dir, "/tmp");
	assert_int_equal(config->default_pool_size, 20);
	assert_null(config->listen_addr);
	assert_int_equal(config->server_login_retry_us, 15000000);
	assert_int_equal(config->query_wait_timeout_us, 120000000);
	assert_int_equal(config->queue_timeout_us, 120000000);
	assert_int_equal(config->budget, 180);
	config_unref(&config);
}

static void both_sections_may_stand_in_one_file(void **state)
{
	struct config *config = load_ok(
		"[pglane]\nbudget = 180\nmax_client_conn = 7\n[pgbouncer]\nquery_wait_timeout = 9\nmax_client_conn = 8\n");

	assert_int_equal(config->pool_mode, POOL_MODE_SESSION);
	assert_int_equal(config->max_client_conn, 8);
	assert_int_equal(config->queue_timeout_us, 9000000);
	config_unref(&config);
	config = load_ok("[pgbouncer]\nquery_wait_timeout = 9\n[pglane]\nqueue_timeout=2\n");
	assert_int_equal(config->queue_timeout_us, 2000000);
	config_unref(&config);
}

static struct config *load_path_ok(const char *path)
{
	struct config_problems problems;
	struct config *config = config_load(path, &problems);

	for (unsigned i = 0; i < problems.n; i++)
		print_error("%s\n", problems.items[i].text);
	assert_int_equal(problems.n, 0);
	assert_non_null(config);
	return config;
}

static void every_key_of_pgbouncer_loads(void **state)
{
	struct config *config = load_path_ok(TEST_DATA "/pgbouncer.ini");
	const struct config_database *app = config_find_database(config, "app");

	assert_string_equal(config->file_name, TEST_DATA "/pgbouncer.ini");
	assert_string_equal(app->password, "it's; a #secret");
	assert_string_equal(app->connect_query, "SELECT 1; SELECT 2");
	assert_string_equal(app->user, "app");
	assert_int_equal(app->port, 5433);
	assert_string_equal(config->listen_addr, "*");
	assert_int_equal(config->listen_port, 6543);
	assert_int_equal(config->pool_mode, POOL_MODE_TRANSACTION);
	assert_int_equal(config->client_login_timeout_us, 60500000);
	assert_int_equal(config->queue_timeout_us, 33000000);
	assert_int_equal(config->unix_socket_mode, 0770);
	assert_true(config->tcp_defer_accept);
	assert_string_equal(config->login_notify_message, "welcome: mind the gap");
	assert_true(config_list_has(config->ignore_startup_parameters, "options"));
	assert_true(config_list_has(config->admin_users, "dba"));
	assert_int_equal(config->n_secrets, 3);
	assert_string_equal(
		config_find_secret(config, "app"), "md545f2603610af569b6155c45067268c6b");
	assert_shown(config, "auth_query",
		"SELECT usename, passwd FROM pg_shadow WHERE usename=$1 -- ; no comment here");
	assert_shown(config, "auth_ldap_options", "****");
	assert_shown(config, "peer_id", "1");
	assert_shown(config, "conffile", "/etc/pgbouncer/pgbouncer.ini");
	assert_shown(config, "server_fast_close", "0");
	config_unref(&config);
}

/* The file as Debian's package installs it. */
static void debians_pgbouncer_ini_loads(void **state)
{
	static const char path[] = "/etc/pgbouncer/pgbouncer.ini";
	struct config *config;

	if (access(path, R_OK) != 0) {
		print_message("%s: %s; the file of every key stands in for it\n", path,
			strerrordesc_np(errno));
		skip();
	}
	config = load_path_ok(path);
	assert_true(config->pgbouncer_section);
	assert_string_equal(config->listen_addr, "localhost");
	assert_int_equal(config->max_client_conn, 100);
	config_unref(&config);
}

static void databases_have_their_parameters(void **state)
{
	struct config *config = load_ok(
		"[databases]\n* = host=fallback\n"
		"tuned = host=a,b port=1 pool_mode=statement pool_size=5 min_pool_size=1 reserve_pool=2 max_db_connections=3 "
		"max_db_client_connections=4 server_lifetime=5 query_wait_timeout=0.5 client_encoding=UTF8 datestyle=ISO timezone=UTC "
		"application_name='my app' dbname=\"x\"\nbare =\nminus = pool_size=-1\n");
	const struct config_database *db = config_find_database(config, "tuned");

	assert_string_equal(db->host, "a,b");
	assert_int_equal(db->port, 1);
	assert_int_equal(db->pool_mode, POOL_MODE_STATEMENT);
	assert_int_equal(db->pool_size, 5);
	assert_int_equal(db->min_pool_size, 1);
	assert_int_equal(db->reserve_pool_size, 2);
	assert_int_equal(db->max_db_connections, 3);
	assert_int_equal(db->max_db_client_connections, 4);
	assert_int_equal(db->server_lifetime_us, 5000000);
	assert_int_equal(db->query_wait_timeout_us, 500000);
	assert_string_equal(db->application_name, "my app");
	assert_string_equal(db->dbname, "\"x\"");

	db = config_find_database(config, "bare");
	assert_string_equal(db->name, "bare");
	assert_null(db->host);
	assert_null(db->dbname);
	assert_null(db->user);
	assert_int_equal(db->port, 5432);
	assert_int_equal(db->pool_mode, POOL_MODE_UNSET);
	assert_true(db->pool_size == CONFIG_INHERIT);
	assert_true(db->server_lifetime_us == CONFIG_INHERIT_US);
	assert_true(config_find_database(config, "minus")->pool_size == CONFIG_INHERIT);

	assert_string_equal(config_find_database(config, "unheard of")->host, "fallback");
	config_unref(&config);
	config = load_ok("[databases]\na=\n");
	assert_null(config_find_database(config, "b"));
	config_unref(&config);
}

static void the_last_of_a_name_counts(void **state)
{
	struct config *config = load_ok(
		"[databases]\nb = host=1\na = host=2 user=u\nb = host=3 password=x\na = host=4\nc=\n[users]\nu=pool_size=1\nu=pool_size=2\n"
		"[pglane]\nlisten_port=1\nlisten_port=2\nadmin_users=x\nadmin_users=y,z\n");

	assert_int_equal(config->n_databases, 3);
	assert_string_equal(config_find_database(config, "a")->host, "4");
	assert_null(config_find_database(config, "a")->user);
	assert_string_equal(config_find_database(config, "b")->host, "3");
	assert_int_equal(config->n_users, 1);
	assert_int_equal(config_find_user(config, "u")->pool_size, 2);
	assert_int_equal(config->listen_port, 2);
	assert_false(config_list_has(config->admin_users, "x"));
	assert_true(config_list_has(config->admin_users, "z"));
	config_unref(&config);
}

static void users_have_their_parameters(void **state)
{
	struct config *config = load_ok(
		"[users]\nbatch = pool_mode=session annotations=all max_priority=3 query_timeout=1 transaction_timeout=2\nplain=\n");
	const struct config_user *user = config_find_user(config, "batch");

	assert_int_equal(user->pool_mode, POOL_MODE_SESSION);
	assert_int_equal(user->annotations, ANNOTATIONS_ALL);
	assert_int_equal(user->max_priority, 3);
	assert_int_equal(user->query_timeout_us, 1000000);
	assert_int_equal(user->transaction_timeout_us, 2000000);
	assert_true(user->client_idle_timeout_us == CONFIG_INHERIT_US);
	user = config_find_user(config, "plain");
	assert_int_equal(user->pool_mode, POOL_MODE_UNSET);
	assert_int_equal(user->annotations, CONFIG_USER_ANNOTATIONS);
	assert_int_equal(user->max_priority, CONFIG_USER_MAX_PRIORITY);
	assert_null(config_find_user(config, "nobody"));
	config_unref(&config);
	config = load_ok("[users]\n* = annotations=none\n");
	assert_int_equal(config_find_user(config, "nobody")->annotations, ANNOTATIONS_NONE);
	config_unref(&config);
}

static void what_is_given_twice_is_told(void **state)
{
	static const char text[] = "[databases]\nshop = dbname=a\nother = dbname=b\n[pgbouncer]\nmin_pool_size = 1\n"
				   "[lane:ml]\nmax_waiting = 1\n[databases]\nshop = dbname=c\n[pglane]\nmin_pool_size = 2\n"
				   "[lane:ml]\nmax_waiting = 3\n[lane:vector]\nmax_waiting = 5\n[databases]\nshop = dbname=d\n";
	static const char told[] =
		"t.ini:9: [databases] shop: warning: given twice: what stands at t.ini:2 does not count\n"
		"t.ini:11: [pglane] min_pool_size: warning: given twice: what stands at t.ini:5 does not count\n"
		"t.ini:13: [lane:ml] max_waiting: warning: given twice: what stands at t.ini:7 does not count\n"
		"t.ini:17: [databases] shop: warning: given twice: what stands at t.ini:9 does not count\n";
	struct strbuf out = STRBUF_INIT;
	struct config_problems problems;
	struct config *config = config_load_text("t.ini", text, sizeof(text) - 1, &problems);

	config_problems_print(&problems, &out);
	assert_string_equal(out.data, told);
	assert_int_equal(problems.n_warnings, 4);
	assert_non_null(config);
	assert_string_equal(config_find_database(config, "shop")->dbname, "d");
	assert_int_equal(config->min_pool_size, 2);
	for (unsigned i = 0; i < config->n_lanes; i++)
		if (strcmp(config->lanes[i].name, "ml") == 0)
			assert_int_equal(config->lanes[i].max_waiting, 3);
	strbuf_release(&out);
	config_problems_release(&problems);
	config_unref(&config);
}

static void rules_keep_text_and_place(void **state)
{
	struct config *config = load_ok("[rules]\n; one\nuser = etl -> training\n\nfrom x ; y\n");

	assert_int_equal(config->n_rules, 2);
	assert_string_equal(config->rules[0], "user = etl -> training");
	assert_string_equal(config->rule_places[0], "t.ini:3");
	assert_string_equal(config->rules[1], "from x ; y");
	assert_string_equal(config->rule_places[1], "t.ini:5");
	assert_null(config->rules[2]);
	config_unref(&config);
}

static void each_mistake_has_its_text(void **state)
{
	static const char *const cases[][2] = {
		{ "k = v\n",
			"t.ini:1: k: this key stands above the first section; write [pglane] above it" },
		{ "[pglane]\nlisten_prot = 1\n",
			"t.ini:2: [pglane] listen_prot: unknown key \"listen_prot\"; did you mean listen_port?" },
		{ "[pgbouncer]\nzzzzzzzz = 1\n",
			"t.ini:2: [pgbouncer] zzzzzzzz: unknown key \"zzzzzzzz\"; conf/KEYS.md lists the known ones" },
		{ "[pglane]\nlisten_port = 0\n",
			"t.ini:2: [pglane] listen_port: \"0\" is not valid; expected a number from 1 to 65535" },
		{ "[pglane]\nworkers = 0\n",
			"t.ini:2: [pglane] workers: \"0\" is not valid; expected auto or a number from 1 to 63" },
		{ "[pglane]\nauth_type = hba\n",
			"t.ini:2: [pglane] auth_type: pglane does not have auth_type hba; expected one of trust, any, plain, md5, scram-sha-256, cert" },
		{ "[pglane]\nauth_type = PAM\n",
			"t.ini:2: [pglane] auth_type: pglane does not have auth_type pam; " },
		{ "[pglane]\nauth_type = ldap\n",
			"t.ini:2: [pglane] auth_type: pglane does not have auth_type ldap; " },
		{ "[pglane]\nauth_type = kerberos\n",
			"t.ini:2: [pglane] auth_type: \"kerberos\" is not valid; expected one of trust, any" },
		{ "[pgbouncer]\ndisable_pqexec = 1\n",
			"t.ini:2: [pgbouncer] disable_pqexec: pglane cannot give the protection that this asks for; set it to 0" },
		{ "[pgbouncer]\npkt_buf = much\n",
			"t.ini:2: [pgbouncer] pkt_buf: \"much\" is not valid; expected a number from 0 to " },
		{ "[pgbouncer]\nauth_user = x\n",
			"t.ini:2: [pgbouncer] auth_user: pglane does not look up secrets with auth_query, so nobody could log in; write the users into an auth_file" },
		{ "[pglane]\nsyslog_facility = deamon\n",
			"t.ini:2: [pglane] syslog_facility: \"deamon\" is not valid; expected one of auth, " },
		{ "[pglane]\nclient_tls_sslmode = require\n",
			"t.ini:2: [pglane] client_tls_sslmode: TLS towards clients needs a certificate; set client_tls_key_file" },
		{ "[pglane]\nserver_tls_key_file = /k\n",
			"t.ini:2: [pglane] server_tls_key_file: a certificate and its key belong together; set both" },
		{ "[pglane]\nauth_type = cert\n",
			"t.ini:2: [pglane] auth_type: auth_type cert takes the user from a verified certificate; set client_tls_sslmode = verify-full" },
		{ "[pglane]\nmin_pool_size = 181\n",
			"t.ini:2: [pglane] min_pool_size: 181 servers cannot be kept open with a budget of 180" },
		{ "[pglane]\nmetrics_database = m\n",
			"t.ini:2: [pglane] metrics_database: \"m\" is no entry of [databases]; expected the name of one" },
		{ "[pglane]\nlisten_addr =\nunix_socket_dir =\n",
			"t.ini:3: [pglane] unix_socket_dir: there is nowhere to listen; set listen_addr or unix_socket_dir" },
		{ "[pglane]\nunix_socket_dir = /0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\n",
			"t.ini:2: [pglane] unix_socket_dir: the name is too long for a unix socket; 92 bytes is the most" },
		{ "[databases]\npgbouncer = host=x\n",
			"t.ini:2: [databases] pgbouncer: the name is reserved for the console; " },
		{ "[databases]\npglane =\n",
			"t.ini:2: [databases] pglane: the name is reserved for the console; " },
		{ "[databases]\na = host=x hots=y\n",
			"t.ini:2: [databases] a: unknown parameter \"hots\"; did you mean host?" },
		{ "[databases]\na = port=x\n",
			"t.ini:2: [databases] a: parameter port: \"x\" is not valid; expected a number from 1 to 65535" },
		{ "[databases]\na = load_balance_hosts=maybe\n",
			"t.ini:2: [databases] a: parameter load_balance_hosts: \"maybe\" is not valid; expected one of round-robin, disable" },
		{ "[databases]\na = user=u password='se cret\n",
			"t.ini:2: [databases] a: after parameter user: the value's closing single quote is missing" },
		{ "[databases]\na = password=top secret\n",
			"t.ini:2: [databases] a: after parameter password: expected key=value pairs separated by blanks; " },
		{ "[users]\nu = max_priority=11\n",
			"t.ini:2: [users] u: parameter max_priority: \"11\" is not valid; expected a number from 1 to 10" },
		{ "[users]\nu = annotation=all\n",
			"t.ini:2: [users] u: unknown parameter \"annotation\"; did you mean annotations?" },
		{ "[peers]\nx = host=y\n",
			"t.ini:2: [peers] x: a peer's name is its peer_id; expected a number from 1 to 16383" },
		{ "[database]\na = host=x\n",
			"t.ini:1: [database]: unknown section; did you mean [databases]?" },
		{ "[something]\na = host=x\nb=y\n",
			"t.ini:1: [something]: unknown section; expected [pglane], [pgbouncer], [databases], [users], [lane:NAME], [entity:TYPE], [collection:NAME], [rules] or [peers]" },
		{ "[pglane]\nx\x1b[2J = y\n",
			"t.ini:2: [pglane] x\\x1b[2J: a key that is more than letters, digits" },
	};

	for (size_t i = 0; i < N_ELEMENTS(cases); i++)
		load_bad(cases[i][0], cases[i][1]);
}

static void all_mistakes_are_told_in_order(void **state)
{
	static const char text[] =
		"[pglane]\nlisten_port = x\nnonsense\n[lane:ml]\npermits = 31\n[databases]\na = b\n[pglane]\nbadkey = 1\n";
	struct config_problems problems;
	struct strbuf out = STRBUF_INIT;

	assert_null(config_load_text("t.ini", text, sizeof(text) - 1, &problems));
	assert_int_equal(problems.n, 5);
	for (unsigned i = 0; i < problems.n; i++) {
		static const unsigned lines[] = { 2, 3, 5, 7, 9 };

		assert_int_equal(problems.items[i].line, lines[i]);
		assert_string_equal(problems.items[i].file, "t.ini");
	}
	assert_string_equal(problems.items[0].section, "pglane");
	assert_string_equal(problems.items[0].key, "listen_port");
	config_problems_print(&problems, &out);
	assert_int_equal(strncmp(out.data, "t.ini:2: [pglane] listen_port: ", 31), 0);
	assert_non_null(strstr(out.data, "\nt.ini:9: "));
	strbuf_release(&out);
	config_problems_release(&problems);
	assert_int_equal(problems.n, 0);
}

static void thousands_of_mistakes_are_bounded(void **state)
{
	struct strbuf text = STRBUF_INIT;
	struct config_problems problems;

	for (unsigned i = 0; i < 5000; i++)
		strbuf_addf(&text, "junk %u\n", i);
	assert_null(config_load_text("t.ini", text.data, text.len, &problems));
	assert_int_equal(problems.n, CONFIG_PROBLEMS_MAX + 1);
	assert_string_equal(problems.items[CONFIG_PROBLEMS_MAX].text,
		"more mistakes follow; they are not listed");
	config_problems_release(&problems);
	strbuf_release(&text);
}

static void files_are_looked_for_beside_the_configuration(void **state)
{
	char *dir = make_dir();
	char *ini = write_file(dir, "c.ini",
		"[pglane]\nauth_file = users\nclient_tls_sslmode = allow\nclient_tls_key_file = k\nclient_tls_cert_file = c\n");
	char *users = write_file(dir, "users", "\"b\" \"1\"\n\"a\" \"2\"\n\"b\" \"3\"\n");
	char *key = write_file(dir, "k", "x");
	struct config_problems problems;
	struct config *config = config_load(ini, &problems);
	char *expected = mem_printf(
		"%s:5: [pglane] client_tls_cert_file: cannot read %s/c: No such file or directory",
		ini, dir);

	assert_null(config);
	assert_int_equal(problems.n, 1);
	assert_string_equal(problems.items[0].text, expected);
	config_problems_release(&problems);
	mem_free(write_file(dir, "c", "x"));
	config = load_path_ok(ini);
	assert_string_equal(config->auth_file, users);
	assert_string_equal(config->client_tls.key_file, key);
	assert_int_equal(config->n_secrets, 2);
	assert_string_equal(config_find_secret(config, "b"), "3");
	assert_string_equal(config_find_secret(config, "a"), "2");
	assert_null(config_find_secret(config, "c"));
	config_unref(&config);
	mem_free(expected);
	mem_free(key);
	mem_free(users);
	mem_free(ini);
	remove_dir(dir, (const char *const[]){ "c.ini", "users", "k", "c", NULL });
}

static void mistakes_of_all_files_are_told(void **state)
{
	char *dir = make_dir();
	char *ini = write_file(dir, "c.ini", "[pglane]\nauth_file = users\n%include more\nfoo=1\n");
	char *more = write_file(dir, "more", "\nbar = 1\n");
	char *users = write_file(dir, "users", "ok\n");
	struct config_problems problems;

	assert_null(config_load(ini, &problems));
	assert_int_equal(problems.n, 3);
	assert_string_equal(problems.items[0].file, more);
	assert_int_equal(problems.items[0].line, 2);
	assert_string_equal(problems.items[1].file, ini);
	assert_int_equal(problems.items[1].line, 4);
	assert_string_equal(problems.items[2].file, users);
	assert_int_equal(problems.items[2].line, 1);
	config_problems_release(&problems);
	unlink(users);
	assert_null(config_load(ini, &problems));
	assert_int_equal(problems.n, 3);
	config_problems_release(&problems);
	assert_null(config_load("/nonexistent.ini", &problems));
	assert_int_equal(problems.n, 1);
	config_problems_release(&problems);
	mem_free(users);
	mem_free(more);
	mem_free(ini);
	remove_dir(dir, (const char *const[]){ "c.ini", "more", NULL });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_given_is_pglane),
		cmocka_unit_test(a_pgbouncer_section_brings_pgbouncers_defaults),
		cmocka_unit_test(both_sections_may_stand_in_one_file),
		cmocka_unit_test(every_key_of_pgbouncer_loads),
		cmocka_unit_test(debians_pgbouncer_ini_loads),
		cmocka_unit_test(databases_have_their_parameters),
		cmocka_unit_test(the_last_of_a_name_counts),
		cmocka_unit_test(users_have_their_parameters),
		cmocka_unit_test(what_is_given_twice_is_told),
		cmocka_unit_test(rules_keep_text_and_place),
		cmocka_unit_test(each_mistake_has_its_text),
		cmocka_unit_test(all_mistakes_are_told_in_order),
		cmocka_unit_test(thousands_of_mistakes_are_bounded),
		cmocka_unit_test(files_are_looked_for_beside_the_configuration),
		cmocka_unit_test(mistakes_of_all_files_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
