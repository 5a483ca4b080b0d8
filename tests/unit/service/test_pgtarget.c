/* SPDX-License-Identifier: ISC */
/* Where a service connects to, and whose password it uses. */
#include "service/pgtarget.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A text of its own: the structures of a configuration are not for constants. */
#define S(text) ((char[]){ text })

/* Sorted by name, as a snapshot has them. */
static struct config_database databases[] = {
	{ .name = S("anonymous"), .host = S("/run/pg"), .port = 5435, .password = S("anybody's") },
	{ .name = S("full"), .dbname = S("real"), .host = S("a,b,c"), .port = 5434,
		.user = S("owner"), .password = S("owner's") },
	{ .name = S("plain"), .port = 5433 },
};

static struct config_secret secrets[] = {
	{ S("empty"), S("") },
	{ S("hashed"), S("md5900150983cd24fb0d6963f7d28e17f72") },
	{ S("plainly"), S("secret") },
	{ S("scram"), S("SCRAM-SHA-256$4096:c2FsdA==$AAAA:BBBB") },
};

static struct config config = {
	.databases = databases,
	.n_databases = N_ELEMENTS(databases),
	.secrets = secrets,
	.n_secrets = N_ELEMENTS(secrets),
};

static void defaults_of_an_entry(void **state)
{
	struct pgtarget target;

	assert_null(pgtarget_init(&target, &config, "plain", "plainly", NULL, 0));
	assert_string_equal(target.host, "/var/run/postgresql");
	assert_int_equal(target.port, 5433);
	assert_string_equal(target.dbname, "plain");
	assert_string_equal(target.user, "plainly");
	assert_ptr_equal(target.tls, &config.server_tls);
	pgtarget_release(&target);
}

static void the_entrys_own_values(void **state)
{
	struct pgtarget target;

	assert_null(pgtarget_init(&target, &config, "full", NULL, NULL, 0));
	assert_string_equal(target.dbname, "real");
	assert_string_equal(target.user, "owner");
	assert_string_equal(target.password, "owner's");
	pgtarget_release(&target);
}

static void hosts_take_turns(void **state)
{
	static const char *const hosts[] = { "a", "b", "c", "a" };
	struct pgtarget target;

	for (uint64_t i = 0; i < N_ELEMENTS(hosts); i++) {
		assert_null(pgtarget_init(&target, &config, "full", NULL, NULL, i));
		assert_string_equal(target.host, hosts[i]);
		pgtarget_release(&target);
	}
}

static void whose_password(void **state)
{
	static const struct {
		const char *database, *user, *given, *password;
	} cases[] = {
		{ "full", NULL, "given", "given" },
		{ "full", "owner", NULL, "owner's" },
		{ "full", "plainly", NULL, "secret" }, /* never another user's */
		{ "full", "unknown", NULL, NULL },
		{ "anonymous", "unknown", NULL, "anybody's" },
		{ "plain", "plainly", NULL, "secret" },
		{ "plain", "plainly", "given", "given" },
		{ "plain", "hashed", NULL, NULL },
		{ "plain", "scram", NULL, NULL },
		{ "plain", "empty", NULL, NULL },
	};
	struct pgtarget target;

	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		assert_null(pgtarget_init(&target, &config, cases[i].database, cases[i].user, cases[i].given, 0));
		if (cases[i].password)
			assert_string_equal(target.password, cases[i].password);
		else
			assert_null(target.password);
		pgtarget_release(&target);
	}
}

static void cannot_be(void **state)
{
	struct pgtarget target;

	assert_non_null(strstr(pgtarget_init(&target, &config, "nowhere", "u", NULL, 0), "[databases]"));
	pgtarget_release(&target);
	assert_non_null(strstr(pgtarget_init(&target, &config, "plain", NULL, NULL, 0), "user"));
	pgtarget_release(&target);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_of_an_entry),
		cmocka_unit_test(the_entrys_own_values),
		cmocka_unit_test(hosts_take_turns),
		cmocka_unit_test(whose_password),
		cmocka_unit_test(cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
