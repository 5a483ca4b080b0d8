/* SPDX-License-Identifier: ISC */
/* The client's side message by message: choice of mechanism, the RFC's example, hostile servers. */
#include "scram_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "unit/scram/exchange.h"

#define PLAIN "SCRAM-SHA-256\0"
#define PLUS "SCRAM-SHA-256-PLUS\0"
/* RFC 7677, section 3. */
#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SALT_AND_COUNT ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define RFC_NONCE CLIENT_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define RFC_SERVER_FIRST "r=" RFC_NONCE SALT_AND_COUNT
#define RFC_CLIENT_FINAL                                                                         \
	"c=biws,r=" RFC_NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define RFC_SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static const uint8_t nonce[PGW_SCRAM_NONCE_RAW_BYTES] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
static const uint8_t binding[32] = {0xcb, 1, 2, 3};
static const struct pgw_scram_identity pencil = {.password = "pencil"};
static char out[PGW_SCRAM_MAX_MESSAGE_BYTES];

static enum pgw_err init(struct pgw_scram_client *c, const char *list, size_t n, bool tls,
	const char **mechanism_r)
{
	return pgw_scram_client_init(c, (const uint8_t *)list, n, tls ? binding : NULL,
		tls ? sizeof(binding) : 0, mechanism_r);
}

static struct pgw_scram_client after_first(void)
{
	struct pgw_scram_client c;
	const char *mechanism;

	assert_int_equal(init(&c, PLAIN, sizeof(PLAIN), false, &mechanism), PGW_OK);
	assert_int_equal(pgw_scram_client_first(&c, nonce, out), PGW_OK);
	snprintf(c.client_nonce, sizeof(c.client_nonce), "%s", CLIENT_NONCE);
	snprintf(c.client_first_bare, sizeof(c.client_first_bare), "n=user,r=%s", CLIENT_NONCE);
	return c;
}

static enum pgw_err final(struct pgw_scram_client *c, const char *text,
	const struct pgw_scram_identity *identity, struct pgw_scram_cache *cache)
{
	return pgw_scram_client_final(c, (const uint8_t *)text, strlen(text), identity, cache, out);
}

static enum pgw_err verify(struct pgw_scram_client *c, const char *text)
{
	return pgw_scram_client_verify(c, (const uint8_t *)text, strlen(text));
}

static void rfc_7677_example(void **state)
{
	struct pgw_scram_client c = after_first();

	assert_int_equal(final(&c, RFC_SERVER_FIRST, &pencil, NULL), PGW_OK);
	assert_string_equal(out, RFC_CLIENT_FINAL);
	assert_int_equal(verify(&c, RFC_SERVER_FINAL), PGW_OK);
	assert_int_equal(c.state, PGW_SCRAM_CLIENT_DONE);
}

static void client_first_text(void **state)
{
	struct pgw_scram_client c;
	const char *mechanism;

	assert_int_equal(init(&c, PLAIN, sizeof(PLAIN), false, &mechanism), PGW_OK);
	assert_int_equal(pgw_scram_client_first(&c, nonce, out), PGW_OK);
	assert_string_equal(out, "n,,n=,r=CQgHBgUEAwIBAAAAAAAAAAAA");
	assert_int_equal(init(&c, PLAIN, sizeof(PLAIN), true, &mechanism), PGW_OK);
	assert_int_equal(pgw_scram_client_first(&c, nonce, out), PGW_OK);
	assert_string_equal(out, "y,,n=,r=CQgHBgUEAwIBAAAAAAAAAAAA");
	assert_int_equal(init(&c, PLUS PLAIN, sizeof(PLUS PLAIN), true, &mechanism), PGW_OK);
	assert_int_equal(pgw_scram_client_first(&c, nonce, out), PGW_OK);
	assert_string_equal(out, "p=tls-server-end-point,,n=,r=CQgHBgUEAwIBAAAAAAAAAAAA");
	assert_int_equal(pgw_scram_client_first(&c, nonce, out), PGW_E_SASL); /* not twice */
}

struct choice {
	const char *list;
	size_t n;
	bool tls;
	const char *want; /* NULL: PGW_E_SASL */
};

#define LIST(text) text, sizeof(text)

static const struct choice choices[] = {
	{LIST(PLAIN), false, "SCRAM-SHA-256"},
	{LIST(PLAIN), true, "SCRAM-SHA-256"},
	{LIST(PLUS PLAIN), false, "SCRAM-SHA-256"},
	{LIST(PLUS PLAIN), true, "SCRAM-SHA-256-PLUS"},
	{LIST(PLAIN PLUS), true, "SCRAM-SHA-256-PLUS"},
	{LIST("OAUTHBEARER\0" PLAIN), false, "SCRAM-SHA-256"},
	{LIST(PLUS), true, "SCRAM-SHA-256-PLUS"},
	{LIST(PLUS), false, NULL},
	{LIST("OAUTHBEARER\0"), false, NULL},
	{LIST("scram-sha-256\0"), false, NULL},
	{LIST(""), false, NULL},
	{PLAIN, 0, false, NULL},
	{PLAIN, 13, false, NULL}, /* the name has no end */
	{PLAIN, 14, false, NULL}, /* the list has no end */
	{LIST(PLAIN "\0x"), false, NULL}, /* something behind the end */
};

static void mechanism_is_chosen(void **state)
{
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		uint8_t *list = malloc(choices[i].n + 1);
		struct pgw_scram_client c;
		const char *got = NULL;
		enum pgw_err err;

		memcpy(list, choices[i].list, choices[i].n);
		list = realloc(list, choices[i].n > 0 ? choices[i].n : 1);
		err = init(&c, (const char *)list, choices[i].n, choices[i].tls, &got);
		free(list);
		if ((err == PGW_OK) != (choices[i].want != NULL))
			fail_msg("choice %zu: %d", i, err);
		if (err == PGW_OK)
			assert_string_equal(got, choices[i].want);
		else
			assert_int_equal(c.state, PGW_SCRAM_CLIENT_FAILED);
	}
}

static const char *const bad_server_first[] = {
	"",
	"x",
	"e=other-error",
	"r=" RFC_NONCE,
	"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==",
	RFC_SERVER_FIRST ",",
	RFC_SERVER_FIRST ",z=1",
	"m=ext," RFC_SERVER_FIRST,
	"r=" CLIENT_NONCE SALT_AND_COUNT, /* the server added nothing */
	"r=somebodyelsesnonceXXandmore" SALT_AND_COUNT,
	"r=rOprNGfwEbeRWgbNEkq" SALT_AND_COUNT,
	"r=" CLIENT_NONCE "a b" SALT_AND_COUNT,
	"r=" CLIENT_NONCE "\x80" SALT_AND_COUNT,
	"r=" RFC_NONCE ",s=,i=4096",
	"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ=,i=4096",
	"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gR==,i=4096",
	"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=",
	"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
	"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-1",
	"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096x",
	"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=100001", /* our CPU */
	"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4294971392", /* 4096 modulo 2^32 */
};

static void hostile_server_first(void **state)
{
	static const struct pgw_scram_client zero;

	for (size_t i = 0; i < sizeof(bad_server_first) / sizeof(bad_server_first[0]); i++) {
		struct pgw_scram_client c = after_first();

		if (final(&c, bad_server_first[i], &pencil, NULL) != PGW_E_SASL)
			fail_msg("accepted: %s", bad_server_first[i]);
		assert_int_equal(c.state, PGW_SCRAM_CLIENT_FAILED);
		assert_memory_equal(c.client_nonce, zero.client_nonce, sizeof(c.client_nonce));
		assert_string_equal(out, "");
	}
}

static void long_nonce_is_refused(void **state)
{
	char text[PGW_SCRAM_MAX_MESSAGE_BYTES];

	for (int total = 255; total <= 256; total++) {
		struct pgw_scram_client c = after_first();
		char pad[257];

		memset(pad, 'z', sizeof(pad));
		snprintf(text, sizeof(text), "r=%s%.*s%s", CLIENT_NONCE,
			total - (int)strlen(CLIENT_NONCE), pad, SALT_AND_COUNT);
		assert_int_equal(
			final(&c, text, &pencil, NULL), total < 256 ? PGW_OK : PGW_E_SASL);
	}
}

static void hostile_server_final(void **state)
{
	static const struct pgw_scram_client zero;
	static const struct {
		const char *text;
		enum pgw_err want;
	} cases[] = {
		{RFC_SERVER_FINAL, PGW_OK},
		{"", PGW_E_SASL},
		{"v=", PGW_E_SASL},
		{"v=AAAA", PGW_E_SASL},
		{RFC_SERVER_FINAL ",", PGW_E_SASL},
		{RFC_SERVER_FINAL ",z=1", PGW_E_SASL},
		{"x" RFC_SERVER_FINAL, PGW_E_SASL},
		{"p=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", PGW_E_SASL},
		{"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", PGW_E_SASL},
		{"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", PGW_E_AUTH},
		{"e=invalid-proof", PGW_E_AUTH},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pgw_scram_client c = after_first();

		assert_int_equal(final(&c, RFC_SERVER_FIRST, &pencil, NULL), PGW_OK);
		if (verify(&c, cases[i].text) != cases[i].want)
			fail_msg("%s", cases[i].text);
		assert_memory_equal(c.server_key, zero.server_key, sizeof(c.server_key));
	}
}

/* AuthenticationOk before the server has proven itself is the caller's to notice: state tells. */
static void order_is_enforced(void **state)
{
	struct pgw_scram_client c = after_first();

	assert_int_equal(verify(&c, RFC_SERVER_FINAL), PGW_E_SASL);
	c = after_first();
	assert_int_equal(final(&c, RFC_SERVER_FIRST, &pencil, NULL), PGW_OK);
	assert_int_not_equal(c.state, PGW_SCRAM_CLIENT_DONE);
	assert_int_equal(final(&c, RFC_SERVER_FIRST, &pencil, NULL), PGW_E_SASL);
	c = after_first();
	assert_int_equal(final(&c, RFC_SERVER_FIRST, &pencil, NULL), PGW_OK);
	assert_int_equal(verify(&c, RFC_SERVER_FINAL), PGW_OK);
	assert_int_equal(verify(&c, RFC_SERVER_FINAL), PGW_E_SASL);
}

static void nothing_to_prove_with(void **state)
{
	static const struct pgw_scram_identity nobody;
	struct pgw_scram_client c = after_first();

	assert_int_equal(final(&c, RFC_SERVER_FIRST, &nobody, NULL), PGW_E_AUTH);
}

/* A hit gives the same message as a derivation; the keys in it are what is used. */
static void cache_saves_the_derivation(void **state)
{
	struct pgw_scram_cache cache = {0};
	struct pgw_scram_client c = after_first();

	assert_int_equal(final(&c, RFC_SERVER_FIRST, &pencil, &cache), PGW_OK);
	assert_string_equal(out, RFC_CLIENT_FINAL);
	assert_true(cache.valid);
	c = after_first();
	assert_int_equal(final(&c, RFC_SERVER_FIRST, &pencil, &cache), PGW_OK);
	assert_string_equal(out, RFC_CLIENT_FINAL);
	assert_int_equal(verify(&c, RFC_SERVER_FINAL), PGW_OK);
	c = after_first();
	cache.client_key[0] ^= 1;
	assert_int_equal(final(&c, RFC_SERVER_FIRST, &pencil, &cache), PGW_OK);
	assert_string_not_equal(out, RFC_CLIENT_FINAL);
}

/* Each part of what a cached key belongs to makes it miss. */
static void cache_misses(void **state)
{
	static const struct pgw_scram_identity other = {.password = "pencjl"};
	static const struct {
		const char *server_first;
		const struct pgw_scram_identity *identity;
	} changes[] = {
		{"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4097", &pencil},
		{"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gA==,i=4096", &pencil},
		{"r=" RFC_NONCE ",s=W22ZaJ0SNY7soEsUEjb6,i=4096", &pencil},
		{RFC_SERVER_FIRST, &other},
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		char uncached[PGW_SCRAM_MAX_MESSAGE_BYTES];
		struct pgw_scram_cache cache = {0};
		struct pgw_scram_client c = after_first();

		assert_int_equal(final(&c, RFC_SERVER_FIRST, &pencil, &cache), PGW_OK);
		c = after_first();
		assert_int_equal(final(&c, changes[i].server_first, changes[i].identity, NULL),
			PGW_OK);
		memcpy(uncached, out, sizeof(out));
		c = after_first();
		assert_int_equal(final(&c, changes[i].server_first, changes[i].identity, &cache),
			PGW_OK);
		assert_string_equal(out, uncached);
	}
}

/* A client's login gives the keys that log in to the server behind, without any password. */
static void keys_pass_through(void **state)
{
	struct pgw_scram_secret secret;
	struct exchange front = {.identity = pencil}, back = {.identity.has_keys = true};

	assert_int_equal(pgw_scram_secret_derive("pencil", nonce, 16, 64, &secret), PGW_OK);
	pgw_scram_server_init(&front.server, &secret, false, NULL, 0);
	pgw_scram_server_init(&back.server, &secret, false, NULL, 0);
	assert_int_equal(init(&front.client, PLAIN, sizeof(PLAIN), false, &front.mechanism), PGW_OK);
	assert_int_equal(init(&back.client, PLAIN, sizeof(PLAIN), false, &back.mechanism), PGW_OK);
	assert_int_equal(exchange_run(&front), PGW_OK);
	memcpy(back.identity.client_key, front.server.client_key, PGW_SCRAM_KEY_BYTES);
	memcpy(back.identity.server_key, secret.server_key, PGW_SCRAM_KEY_BYTES);
	assert_int_equal(exchange_run(&back), PGW_OK);
	assert_memory_equal(front.server.client_key, back.server.client_key, PGW_SCRAM_KEY_BYTES);
}

/* A server that accepts anybody but does not know the secret is not believed. */
static void server_must_prove_itself(void **state)
{
	struct pgw_scram_secret secret;
	struct exchange x = {.identity = pencil};

	assert_int_equal(pgw_scram_secret_derive("pencil", nonce, 16, 64, &secret), PGW_OK);
	secret.server_key[0] ^= 1;
	pgw_scram_server_init(&x.server, &secret, false, NULL, 0);
	assert_int_equal(init(&x.client, PLAIN, sizeof(PLAIN), false, &x.mechanism), PGW_OK);
	assert_int_equal(exchange_run(&x), PGW_E_AUTH);
	assert_int_equal(x.server.state, PGW_SCRAM_SERVER_DONE);
	assert_int_equal(x.client.state, PGW_SCRAM_CLIENT_FAILED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc_7677_example),
		cmocka_unit_test(client_first_text),
		cmocka_unit_test(mechanism_is_chosen),
		cmocka_unit_test(hostile_server_first),
		cmocka_unit_test(long_nonce_is_refused),
		cmocka_unit_test(hostile_server_final),
		cmocka_unit_test(order_is_enforced),
		cmocka_unit_test(nothing_to_prove_with),
		cmocka_unit_test(cache_saves_the_derivation),
		cmocka_unit_test(cache_misses),
		cmocka_unit_test(keys_pass_through),
		cmocka_unit_test(server_must_prove_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
