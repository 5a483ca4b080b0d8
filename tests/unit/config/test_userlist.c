/* SPDX-License-Identifier: ISC */
#include "config/userlist.h"

#include "unit/config/config_test.h"

#define KEY "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define SCRAM "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0c2FsdA==$" KEY ":" KEY

/* "user=secret " of each entry, then "!line text" of each problem. */
static char *parse(const char *text, size_t n)
{
	struct config_secret *secrets = NULL;
	unsigned n_secrets = 0;
	struct config_problems problems = { .items = NULL };
	struct strbuf out = STRBUF_INIT;

	userlist_parse("u.txt", text, n, &secrets, &n_secrets, &problems);
	for (unsigned i = 0; i < n_secrets; i++) {
		strbuf_addf(&out, "%s=%s ", secrets[i].user, secrets[i].secret);
		mem_free(secrets[i].user);
		mem_free(secrets[i].secret);
	}
	mem_free(secrets);
	for (unsigned i = 0; i < problems.n; i++)
		strbuf_addf(&out, "!%u %s ", problems.items[i].line, problems.items[i].text);
	config_problems_release(&problems);
	return strbuf_detach(&out);
}

static void expect(const char *text, const char *expected)
{
	char *found = parse(text, strlen(text));

	assert_string_equal(found, expected);
	mem_free(found);
}

static void lines_are_user_and_secret(void **state)
{
	expect("", "");
	expect("\"a\" \"b\"", "a=b ");
	expect("\"a\" \"b\"\n\n;\"no\" \"no\"\n  ; no\n  \"c\"\t\"d\" \"ignored\" x\r\n",
		"a=b c=d ");
	expect("\"a b\" \"c;d#e\"\n", "a b=c;d#e ");
	expect("\"a\"\"b\" \"c\"\"\"\n", "a\"b=c\" ");
	expect("\"a\" \"\"\n", "a= ");
	expect("\"a\"\"b\"\n\"c\" \"d\"\n",
		"c=d !1 u.txt:1: expected a secret in double quotes after the user name; \"\" when there is none ");
}

static void long_scram_secrets_are_whole(void **state)
{
	expect("\"a\" \"" SCRAM "\"\n", "a=" SCRAM " ");
}

static void damaged_secrets_are_no_passwords(void **state)
{
	static const char *const damaged[] = { "SCRAM-SHA-256$", "SCRAM-SHA-256$4096",
		"SCRAM-SHA-256$4096:c2FsdA==", "SCRAM-SHA-256$4096:c2FsdA==$" KEY,
		"SCRAM-SHA-256$x:c2FsdA==$" KEY ":" KEY, "SCRAM-SHA-256$4096:c2FsdA==$QQ==:" KEY };

	for (size_t i = 0; i < N_ELEMENTS(damaged); i++) {
		char *text = mem_printf("\"a\" \"%s\"\n", damaged[i]);

		expect(text,
			"!1 u.txt:1: the secret is cut short or damaged; expected SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> ");
		mem_free(text);
	}
}

static void every_broken_line_is_told_and_no_secret(void **state)
{
	char *found = parse(
		"alice \"hunter2\"\n\"bob\" hunter2\n\"carol\" \"hunter2\n\"dave\" \"x\"\n\"\" \"hunter2\"\n",
		strlen("alice \"hunter2\"\n\"bob\" hunter2\n\"carol\" \"hunter2\n\"dave\" \"x\"\n\"\" \"hunter2\"\n"));

	assert_null(strstr(found, "hunter2"));
	assert_non_null(strstr(found, "dave=x "));
	assert_non_null(
		strstr(found, "!1 u.txt:1: expected \"user\" \"secret\", each in double quotes "));
	assert_non_null(strstr(found, "!2 u.txt:2: expected a secret "));
	assert_non_null(strstr(found, "!3 u.txt:3: expected a secret "));
	assert_non_null(strstr(found, "!5 u.txt:5: the user name is empty "));
	mem_free(found);
}

static void names_and_secrets_have_a_length(void **state)
{
	char *user = mem_zalloc(200), *secret = mem_zalloc(3000), *text, *found;

	memset(user, 'u', USERLIST_USER_MAX_BYTES);
	memset(secret, 's', USERLIST_SECRET_MAX_BYTES);
	text = mem_printf(
		"\"%s\" \"%s\"\n\"%su\" \"\"\n\"v\" \"%ss\"\n", user, secret, user, secret);
	found = parse(text, strlen(text));
	assert_int_equal(strncmp(found, user, strlen(user)), 0);
	assert_non_null(
		strstr(found, "!2 u.txt:2: the user name is too long; 127 bytes is the most "));
	assert_non_null(
		strstr(found, "!3 u.txt:3: the secret is too long; 2047 bytes is the most "));
	mem_free(found);
	mem_free(text);
	mem_free(secret);
	mem_free(user);
}

static void a_zero_byte_is_told(void **state)
{
	static const char text[] = "\"a\" \"b\0c\"\n";
	char *found = parse(text, sizeof(text) - 1);

	assert_string_equal(found, "!1 u.txt:1: there is a zero byte in this line ");
	mem_free(found);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_user_and_secret),
		cmocka_unit_test(long_scram_secrets_are_whole),
		cmocka_unit_test(damaged_secrets_are_no_passwords),
		cmocka_unit_test(every_broken_line_is_told_and_no_secret),
		cmocka_unit_test(names_and_secrets_have_a_length),
		cmocka_unit_test(a_zero_byte_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
