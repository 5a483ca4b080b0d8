/* SPDX-License-Identifier: ISC */
/* The server's side message by message: the RFC's example, and everything that must be refused. */
#include "scram_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "unit/scram/exchange.h"

/* RFC 7677, section 3. */
#define RFC_NONCE "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_SERVER_FIRST "r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define RFC_CLIENT_FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define RFC_UNPROVEN "c=biws,r=" RFC_NONCE
#define RFC_PROOF "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static const uint8_t nonce[PGW_SCRAM_NONCE_RAW_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
static const uint8_t binding[32] = {0xcb, 1, 2, 3};
static char out[PGW_SCRAM_MAX_MESSAGE_BYTES];

static struct pgw_scram_secret rfc_secret(void)
{
	struct pgw_scram_secret secret;
	uint8_t salt[16];
	size_t n;

	assert_true(pgw__b64_decode("W22ZaJ0SNY7soEsUEjb6gQ==", 24, salt, sizeof(salt), &n));
	assert_int_equal(pgw_scram_secret_derive("pencil", salt, n, 4096, &secret), PGW_OK);
	return secret;
}

static enum pgw_err step(struct pgw_scram_server *s, const char *mechanism, const char *text)
{
	size_t n = strlen(text);
	uint8_t *bytes = malloc(n > 0 ? n : 1);
	enum pgw_err err;

	memcpy(bytes, text, n);
	err = pgw_scram_server_step(s, mechanism, bytes, n, nonce, out);
	free(bytes);
	return err;
}

/* A server that has heard client-first in the RFC's example. */
static struct pgw_scram_server after_first(bool doomed)
{
	struct pgw_scram_secret secret = rfc_secret();
	struct pgw_scram_server s;

	pgw_scram_server_init(&s, &secret, doomed, NULL, 0);
	assert_int_equal(step(&s, "SCRAM-SHA-256", RFC_CLIENT_FIRST), PGW_OK);
	assert_int_equal(s.state, PGW_SCRAM_SERVER_EXPECT_FINAL);
	/* The RFC's nonce is not base64 of 18 bytes, so it is put in place by hand. */
	snprintf(s.nonce, sizeof(s.nonce), "%s", RFC_NONCE);
	snprintf(s.server_first, sizeof(s.server_first), "%s", RFC_SERVER_FIRST);
	return s;
}

static void rfc_7677_example(void **state)
{
	struct pgw_scram_server s = after_first(false);
	uint8_t hash[PGW_SCRAM_KEY_BYTES];

	assert_int_equal(step(&s, NULL, RFC_UNPROVEN "," RFC_PROOF), PGW_OK);
	assert_string_equal(out, RFC_SERVER_FINAL);
	assert_int_equal(s.state, PGW_SCRAM_SERVER_DONE);
	pgw__sha256(s.client_key, sizeof(s.client_key), hash);
	assert_memory_equal(hash, s.secret.stored_key, sizeof(hash));
}

static void server_first_carries_nonce_salt_and_count(void **state)
{
	struct pgw_scram_secret secret = rfc_secret();
	struct pgw_scram_server s;

	pgw_scram_server_init(&s, &secret, false, NULL, 0);
	assert_int_equal(step(&s, "SCRAM-SHA-256", RFC_CLIENT_FIRST), PGW_OK);
	assert_string_equal(out, "r=rOprNGfwEbeRWgbNEkqOAQIDBAUGBwgJAAAAAAAAAAAA,"
				 "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
}

/* Everything fits, and it fails all the same: as late, and as mute, as a wrong password. */
static void doomed_fails_at_the_end(void **state)
{
	struct pgw_scram_server s = after_first(true);

	assert_int_equal(step(&s, NULL, RFC_UNPROVEN "," RFC_PROOF), PGW_E_AUTH);
	assert_int_equal(s.state, PGW_SCRAM_SERVER_FAILED);
	assert_string_equal(out, "");
}

static void failure_leaves_no_secret(void **state)
{
	struct pgw_scram_server s = after_first(false);
	static const struct pgw_scram_server zero;

	assert_int_equal(step(&s, NULL, "nonsense"), PGW_E_SASL);
	assert_int_equal(s.state, PGW_SCRAM_SERVER_FAILED);
	assert_memory_equal(&s.secret, &zero.secret, sizeof(s.secret));
	assert_memory_equal(s.client_key, zero.client_key, sizeof(s.client_key));
	assert_int_equal(step(&s, "SCRAM-SHA-256", RFC_CLIENT_FIRST), PGW_E_SASL);
}

static void a_wipe_leaves_no_secret(void **state)
{
	struct pgw_scram_server s = after_first(false);
	static const struct pgw_scram_server zero;

	assert_int_equal(step(&s, NULL, RFC_UNPROVEN "," RFC_PROOF), PGW_OK);
	assert_memory_not_equal(s.client_key, zero.client_key, sizeof(s.client_key));
	pgw_scram_server_wipe(&s);
	assert_memory_equal(&s.secret, &zero.secret, sizeof(s.secret));
	assert_memory_equal(s.client_key, zero.client_key, sizeof(s.client_key));
}

/* What was in the memory before means nothing to a server that begins there. */
static void any_memory_will_do(void **state)
{
	struct pgw_scram_secret secret = rfc_secret();
	struct pgw_scram_server s;

	memset(&s, 0xa5, sizeof(s));
	pgw_scram_server_init(&s, &secret, false, NULL, 0);
	assert_int_equal(step(&s, "SCRAM-SHA-256", RFC_CLIENT_FIRST), PGW_OK);
	snprintf(s.nonce, sizeof(s.nonce), "%s", RFC_NONCE);
	snprintf(s.server_first, sizeof(s.server_first), "%s", RFC_SERVER_FIRST);
	assert_int_equal(step(&s, NULL, RFC_UNPROVEN "," RFC_PROOF), PGW_OK);
	assert_string_equal(out, RFC_SERVER_FINAL);
}

static void nothing_follows_done(void **state)
{
	struct pgw_scram_server s = after_first(false);

	assert_int_equal(step(&s, NULL, RFC_UNPROVEN "," RFC_PROOF), PGW_OK);
	assert_int_equal(step(&s, NULL, RFC_UNPROVEN "," RFC_PROOF), PGW_E_SASL);
	assert_int_equal(s.state, PGW_SCRAM_SERVER_FAILED);
}

struct first_case {
	const char *mechanism;
	const char *text; /* NULL: no initial response */
	bool tls;
	enum pgw_err want;
};

static const struct first_case first_cases[] = {
	{"SCRAM-SHA-256", "n,,n=user,r=abc", false, PGW_OK},
	{"SCRAM-SHA-256", "n,,n=user,r=abc", true, PGW_OK}, /* a client without binding */
	{"SCRAM-SHA-256", "y,,n=,r=abc", false, PGW_OK},
	{"SCRAM-SHA-256", "y,,n=,r=abc", true, PGW_E_AUTH}, /* our offer was cut: downgrade */
	{"SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc", true, PGW_OK},
	{"SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc", false, PGW_E_SASL},
	{"SCRAM-SHA-256-PLUS", "n,,n=,r=abc", true, PGW_E_SASL},
	{"SCRAM-SHA-256-PLUS", "y,,n=,r=abc", true, PGW_E_SASL},
	{"SCRAM-SHA-256-PLUS", "p=tls-unique,,n=,r=abc", true, PGW_E_SASL},
	{"SCRAM-SHA-256-PLUS", "p=tls-exporter,,n=,r=abc", true, PGW_E_SASL},
	{"SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abc", true, PGW_E_SASL},
	{"SCRAM-SHA-256", "p=tls-server-end-point,,n=,r=abc", false, PGW_E_SASL},
	{"SCRAM-SHA-1", "n,,n=,r=abc", false, PGW_E_SASL},
	{"scram-sha-256", "n,,n=,r=abc", false, PGW_E_SASL},
	{"", "n,,n=,r=abc", false, PGW_E_SASL},
	{NULL, "n,,n=,r=abc", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,,", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "x,,n=,r=abc", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,a=bob,n=,r=abc", false, PGW_E_SASL}, /* authorization identity */
	{"SCRAM-SHA-256", "n,,m=ext,n=,r=abc", false, PGW_E_SASL}, /* mandatory extension */
	{"SCRAM-SHA-256", "n,,n=,m=ext,r=abc", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,,n=,r=abc,z=ignored", false, PGW_OK},
	{"SCRAM-SHA-256", "n,,n=,r=abc,", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,,n=,r=abc,zz", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,,n=", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,,r=abc", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,,r=abc,n=", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,,n=,r=", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,,n=,r=a b", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,,n=,r=a\x7f", false, PGW_E_SASL},
	{"SCRAM-SHA-256", "n,,n=,r=\xc3\xa4", false, PGW_E_SASL},
	{"SCRAM-SHA-256", NULL, false, PGW_OK},
	{"SCRAM-SHA-512", NULL, false, PGW_E_SASL},
};

static void client_first_table(void **state)
{
	struct pgw_scram_secret secret = rfc_secret();

	for (size_t i = 0; i < sizeof(first_cases) / sizeof(first_cases[0]); i++) {
		const struct first_case *c = &first_cases[i];
		struct pgw_scram_server s;
		enum pgw_err err;

		pgw_scram_server_init(&s, &secret, false, binding, c->tls ? sizeof(binding) : 0);
		err = c->text != NULL ? step(&s, c->mechanism, c->text) :
			pgw_scram_server_step(&s, c->mechanism, NULL, 0, nonce, out);
		if (err != c->want)
			fail_msg("%s %s: %d", c->mechanism, c->text, err);
		assert_int_equal(s.state == PGW_SCRAM_SERVER_FAILED, err != PGW_OK);
	}
}

static void first_message_may_come_later(void **state)
{
	struct pgw_scram_secret secret = rfc_secret();
	struct pgw_scram_server s;

	pgw_scram_server_init(&s, &secret, false, NULL, 0);
	assert_int_equal(pgw_scram_server_step(&s, "SCRAM-SHA-256", NULL, 0, nonce, out), PGW_OK);
	assert_string_equal(out, "");
	assert_int_equal(s.state, PGW_SCRAM_SERVER_EXPECT_FIRST);
	assert_int_equal(step(&s, NULL, RFC_CLIENT_FIRST), PGW_OK);
	assert_int_equal(s.state, PGW_SCRAM_SERVER_EXPECT_FINAL);

	pgw_scram_server_init(&s, &secret, false, NULL, 0);
	assert_int_equal(pgw_scram_server_step(&s, "SCRAM-SHA-256", NULL, 0, nonce, out), PGW_OK);
	assert_int_equal(pgw_scram_server_step(&s, NULL, NULL, 0, nonce, out), PGW_E_SASL);
}

static void nul_and_length_are_refused(void **state)
{
	static const uint8_t with_nul[] = "n,,n=a\0b,r=abc";
	struct pgw_scram_secret secret = rfc_secret();
	uint8_t longest[PGW_SCRAM_MAX_MESSAGE_BYTES];
	struct pgw_scram_server s;

	pgw_scram_server_init(&s, &secret, false, NULL, 0);
	assert_int_equal(pgw_scram_server_step(&s, "SCRAM-SHA-256", with_nul, sizeof(with_nul) - 1,
				 nonce, out),
		PGW_E_SASL);
	memset(longest, 'u', sizeof(longest));
	memcpy(longest, "n,,n=", 5);
	memcpy(longest + 1023 - 6, ",r=abc", 6);
	pgw_scram_server_init(&s, &secret, false, NULL, 0);
	assert_int_equal(
		pgw_scram_server_step(&s, "SCRAM-SHA-256", longest, 1023, nonce, out), PGW_OK);
	memcpy(longest + 1024 - 7, "u,r=abc", 7);
	pgw_scram_server_init(&s, &secret, false, NULL, 0);
	assert_int_equal(
		pgw_scram_server_step(&s, "SCRAM-SHA-256", longest, 1024, nonce, out), PGW_E_SASL);
}

/* The client's nonce fills the room beside ours, and not a byte more. */
static void nonce_has_a_limit(void **state)
{
	struct pgw_scram_secret secret = rfc_secret();
	const size_t most = sizeof(((struct pgw_scram_server *)0)->nonce) - PGW__NONCE_TEXT_BYTES;
	struct pgw_scram_server s;
	char text[512];

	memset(text, 'x', sizeof(text));
	memcpy(text, "n,,n=,r=", 8);
	for (size_t n = most; n <= most + 1; n++) {
		text[8 + n] = '\0';
		text[8 + n - 1] = 'x';
		pgw_scram_server_init(&s, &secret, false, NULL, 0);
		assert_int_equal(step(&s, "SCRAM-SHA-256", text), n == most ? PGW_OK : PGW_E_SASL);
		text[8 + n] = 'x';
	}
}

struct final_case {
	const char *text;
	enum pgw_err want;
};

static const struct final_case final_cases[] = {
	{RFC_UNPROVEN "," RFC_PROOF, PGW_OK},
	{"", PGW_E_SASL},
	{RFC_PROOF, PGW_E_SASL},
	{RFC_UNPROVEN, PGW_E_SASL},
	{RFC_UNPROVEN ",", PGW_E_SASL},
	{RFC_UNPROVEN "," RFC_PROOF ",", PGW_E_SASL},
	{RFC_UNPROVEN "," RFC_PROOF ",z=1", PGW_E_SASL},
	{RFC_UNPROVEN "," RFC_PROOF "," RFC_PROOF, PGW_E_SASL},
	{RFC_UNPROVEN ",z=1," RFC_PROOF, PGW_E_AUTH}, /* well-formed, but not what was signed */
	{"c=biws,r=" RFC_NONCE "x," RFC_PROOF, PGW_E_SASL},
	{"c=biws,r=rOprNGfwEbeRWgbNEkqO," RFC_PROOF, PGW_E_SASL},
	{"c=biws,r=," RFC_PROOF, PGW_E_SASL},
	{"c=eSws,r=" RFC_NONCE "," RFC_PROOF, PGW_E_AUTH}, /* 'y' now, 'n' before */
	{"c=,r=" RFC_NONCE "," RFC_PROOF, PGW_E_AUTH},
	{"c=bi w,r=" RFC_NONCE "," RFC_PROOF, PGW_E_AUTH},
	{RFC_UNPROVEN ",p=", PGW_E_SASL},
	{RFC_UNPROVEN ",p=AAAA", PGW_E_SASL},
	{RFC_UNPROVEN ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVR=", PGW_E_SASL},
	{RFC_UNPROVEN ",p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", PGW_E_AUTH},
};

static void client_final_table(void **state)
{
	for (size_t i = 0; i < sizeof(final_cases) / sizeof(final_cases[0]); i++) {
		struct pgw_scram_server s = after_first(false);
		enum pgw_err err = step(&s, NULL, final_cases[i].text);

		if (err != final_cases[i].want)
			fail_msg("%s: %d", final_cases[i].text, err);
	}
}

static void set_up_plus(struct exchange *x, const char *mechanisms, size_t n)
{
	struct pgw_scram_secret secret = rfc_secret();

	memset(x, 0, sizeof(*x));
	x->identity.password = "pencil";
	pgw_scram_server_init(&x->server, &secret, false, binding, sizeof(binding));
	assert_int_equal(pgw_scram_client_init(&x->client, (const uint8_t *)mechanisms, n, binding,
				 sizeof(binding), &x->mechanism),
		PGW_OK);
}

static void plus_binds_to_the_certificate(void **state)
{
	static const char both[] = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0";
	struct exchange x;

	set_up_plus(&x, both, sizeof(both));
	assert_string_equal(x.mechanism, "SCRAM-SHA-256-PLUS");
	assert_int_equal(exchange_run(&x), PGW_OK);
	assert_true(x.server.plus);

	set_up_plus(&x, both, sizeof(both));
	x.client.cb_data[31] ^= 1; /* the client looks at another certificate: a man in the middle */
	assert_int_equal(exchange_run(&x), PGW_E_AUTH);
	set_up_plus(&x, both, sizeof(both));
	x.client.n_cb_data--;
	assert_int_equal(exchange_run(&x), PGW_E_AUTH);
}

static void cut_mechanism_list_is_noticed(void **state)
{
	static const char only_plain[] = "SCRAM-SHA-256\0";
	struct exchange x;

	set_up_plus(&x, only_plain, sizeof(only_plain));
	assert_string_equal(x.mechanism, "SCRAM-SHA-256");
	assert_int_equal(exchange_run(&x), PGW_E_AUTH);
	assert_int_equal(x.server.state, PGW_SCRAM_SERVER_FAILED);
	assert_int_equal(x.client.state, PGW_SCRAM_CLIENT_EXPECT_FIRST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_7677_example),
		cmocka_unit_test(server_first_carries_nonce_salt_and_count),
		cmocka_unit_test(doomed_fails_at_the_end),
		cmocka_unit_test(failure_leaves_no_secret),
		cmocka_unit_test(a_wipe_leaves_no_secret),
		cmocka_unit_test(any_memory_will_do),
		cmocka_unit_test(nothing_follows_done),
		cmocka_unit_test(client_first_table),
		cmocka_unit_test(first_message_may_come_later),
		cmocka_unit_test(nul_and_length_are_refused),
		cmocka_unit_test(nonce_has_a_limit),
		cmocka_unit_test(client_final_table),
		cmocka_unit_test(plus_binds_to_the_certificate),
		cmocka_unit_test(cut_mechanism_list_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
