/* SPDX-License-Identifier: ISC */
/* A configuration made ready for use: what is compiled from it, and every mistake that only the
 * compiling finds. */
#include "session/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "config/load.h"

static struct strbuf problems;

static int reset(void **state)
{
	strbuf_reset(&problems);
	return 0;
}

static struct config *load(const char *text)
{
	struct config_problems mistakes;
	struct config *config = config_load_text("t.ini", text, strlen(text), &mistakes);

	for (unsigned i = 0; i < mistakes.n; i++)
		print_error("%s\n", mistakes.items[i].text);
	assert_non_null(config);
	config_problems_release(&mistakes);
	return config;
}

static void assert_problem(const char *text)
{
	if (strstr(problems.data, text) == NULL)
		fail_msg("\"%s\" instead of \"%s\"", problems.data, text);
}

static unsigned n_lines(void)
{
	unsigned n = 0;

	for (size_t i = 0; i < problems.len; i++)
		n += problems.data[i] == '\n';
	return n;
}

static void a_plain_configuration(void **state)
{
	struct config *config = config_ref(load("[pglane]\nserver_tls_sslmode = disable\n"));
	struct settings *settings = settings_new(config, &problems), *other;

	assert_non_null(settings);
	assert_int_equal(problems.len, 0);
	assert_ptr_equal(settings->config, config);
	assert_non_null(settings->classifier);
	assert_null(settings->client_tls);
	assert_null(settings->server_tls);
	assert_int_equal(config->refs, 2); /* the test's and the one it took over */

	other = settings_ref(settings);
	assert_ptr_equal(other, settings);
	settings_unref(&other);
	assert_null(other);
	settings_unref(&other);
	assert_int_equal(config->refs, 2);
	settings_unref(&settings);
	assert_int_equal(config->refs, 1);
	config_unref(&config);
}

static void tls_contexts_where_the_modes_want_them(void **state)
{
	struct settings *settings =
		settings_new(load("[pglane]\nserver_tls_sslmode = prefer\n"), &problems);

	assert_non_null(settings);
	assert_null(settings->client_tls);
	assert_non_null(settings->server_tls);
	settings_unref(&settings);
}

/* The place of a rule is known from the file; a number among the rules would have to be counted
 * there. */
static void a_bad_rule_is_shown_by_file_and_line(void **state)
{
	struct config *config = config_ref(
		load("[pglane]\nserver_tls_sslmode = disable\n\n[rules]\n"
		     "training if user=etl_*\n; a comment\n\ntraining when user=etl_*\n"));

	assert_null(settings_new(config, &problems));
	assert_problem("t.ini:8: [rules] ");
	assert_int_equal(n_lines(), 1);
	assert_int_equal(config->refs, 1);
	config_unref(&config);
}

static void every_mistake_has_its_line(void **state)
{
	struct settings *settings = settings_new(
		load("[pglane]\nclient_tls_sslmode = require\nclient_tls_cert_file = "
		     "/nonexistent/a.crt\n"
		     "client_tls_key_file = /nonexistent/a.key\nserver_tls_sslmode = verify-ca\n"
		     "server_tls_ca_file = /nonexistent/ca.crt\n[rules]\ntraining when "
		     "user=etl_*\n"),
		&problems);

	assert_null(settings);
	assert_int_equal(n_lines(), 3);
	assert_problem("t.ini:8: [rules] ");
	assert_problem("client_tls_*: cert_file \"/nonexistent/a.crt\"");
	assert_problem("server_tls_*: ca_file \"/nonexistent/ca.crt\"");
}

static int group_setup(void **state)
{
	strbuf_init(&problems);
	return 0;
}

static int group_teardown(void **state)
{
	strbuf_release(&problems);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_plain_configuration, reset),
		cmocka_unit_test_setup(tls_contexts_where_the_modes_want_them, reset),
		cmocka_unit_test_setup(a_bad_rule_is_shown_by_file_and_line, reset),
		cmocka_unit_test_setup(every_mistake_has_its_line, reset),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
