/* SPDX-License-Identifier: ISC */
/*
 * Random logins, client against server: the right password always gets in and both sides agree on
 * the keys; a flipped bit anywhere, a cut anywhere, another password or another channel never does.
 * Seed: PGLANE_SEED, else a fixed one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/sha.h>

#include "unit/scram/exchange.h"

#define N_TAMPERED_LOGINS 8
#define N_LOGINS 400

static uint64_t seed = 20260101;

static uint32_t rnd(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)((seed * UINT64_C(0x2545F4914F6CDD1D)) >> 33) % below;
}

static void fill(uint8_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)rnd(256);
}

/* Everything about one login that does not change while it is repeated. */
struct login {
	char password[33];
	struct pgw_scram_secret secret;
	struct pgw_scram_cache cache;
	uint8_t cb_data[PGW_SCRAM_MAX_CB_BYTES];
	size_t n_cb_data;
	bool client_binds;
	uint8_t client_nonce[PGW_SCRAM_NONCE_RAW_BYTES];
	uint8_t server_nonce[PGW_SCRAM_NONCE_RAW_BYTES];
};

static void make_login(struct login *l)
{
	uint8_t salt[PGW_SCRAM_MAX_SALT_BYTES];
	size_t n = rnd(sizeof(l->password) - 1);

	memset(l, 0, sizeof(*l));
	for (size_t i = 0; i < n; i++) /* mostly not UTF-8, often UTF-8 */
		l->password[i] = (char)(rnd(4) == 0 ? 1 + rnd(255) : ' ' + rnd(95));
	fill(salt, sizeof(salt));
	fill(l->cb_data, sizeof(l->cb_data));
	fill(l->client_nonce, sizeof(l->client_nonce));
	fill(l->server_nonce, sizeof(l->server_nonce));
	l->n_cb_data = rnd(2) ? 1 + rnd(sizeof(l->cb_data)) : 0;
	l->client_binds = l->n_cb_data > 0 && rnd(2);
	assert_int_equal(pgw_scram_secret_derive(l->password, salt, 1 + rnd(sizeof(salt)),
				 1 + rnd(50), &l->secret),
		PGW_OK);
}

static void set_up(struct exchange *x, struct login *l)
{
	static const char both[] = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0";
	static const char plain[] = "SCRAM-SHA-256\0";
	const char *list = l->n_cb_data > 0 ? both : plain;

	memset(x, 0, sizeof(*x));
	x->identity.password = l->password;
	x->cache = &l->cache;
	memcpy(x->client_nonce, l->client_nonce, sizeof(x->client_nonce));
	memcpy(x->server_nonce, l->server_nonce, sizeof(x->server_nonce));
	pgw_scram_server_init(&x->server, &l->secret, false, l->cb_data, l->n_cb_data);
	assert_int_equal(pgw_scram_client_init(&x->client, (const uint8_t *)list,
				 list == both ? sizeof(both) : sizeof(plain), l->cb_data,
				 l->client_binds ? l->n_cb_data : 0, &x->mechanism),
		PGW_OK);
}

static void check_success(struct exchange *x, struct login *l)
{
	uint8_t hash[SHA256_DIGEST_LENGTH];

	set_up(x, l);
	assert_int_equal(exchange_run(x), PGW_OK);
	assert_int_equal(x->server.state, PGW_SCRAM_SERVER_DONE);
	assert_int_equal(x->client.state, PGW_SCRAM_CLIENT_DONE);
	assert_int_equal(x->server.plus, l->client_binds);
	SHA256(x->server.client_key, PGW_SCRAM_KEY_BYTES, hash);
	assert_memory_equal(hash, l->secret.stored_key, sizeof(hash));
	assert_memory_equal(x->server.client_key, l->cache.client_key, PGW_SCRAM_KEY_BYTES);
}

static void flip_bit(struct exchange *x, int message, char *text, size_t *n)
{
	text[x->at / 8] = (char)(text[x->at / 8] ^ (1 << x->at % 8));
}

static void cut(struct exchange *x, int message, char *text, size_t *n)
{
	*n = x->at;
}

static void duplicate_tail(struct exchange *x, int message, char *text, size_t *n)
{
	size_t n_tail = *n - x->at;

	memmove(text + *n, text + x->at, n_tail);
	*n += n_tail;
}

typedef void tamper_fn(struct exchange *x, int message, char *text, size_t *n);

static void must_fail(struct login *l, int message, tamper_fn *tamper, size_t at)
{
	struct exchange x;

	set_up(&x, l);
	x.tamper = tamper;
	x.tampered_message = message;
	x.at = at;
	if (exchange_run(&x) == PGW_OK)
		fail_msg("message %d tampered at %zu got in: %s", message, at, x.sent[message]);
	assert_int_not_equal(x.client.state, PGW_SCRAM_CLIENT_DONE);
	if (message < SERVER_FINAL)
		assert_int_not_equal(x.server.state, PGW_SCRAM_SERVER_DONE);
}

static void right_password_gets_in(void **state)
{
	for (int i = 0; i < N_LOGINS; i++) {
		struct exchange x;
		struct login l;

		make_login(&l);
		check_success(&x, &l);
		check_success(&x, &l); /* from the cache */
	}
}

static void any_flipped_bit_fails(void **state)
{
	for (int i = 0; i < N_TAMPERED_LOGINS; i++) {
		struct exchange x;
		struct login l;

		make_login(&l);
		check_success(&x, &l);
		for (int m = 0; m < N_EXCHANGE_MESSAGES; m++) {
			for (size_t bit = 0; bit < 8 * strlen(x.sent[m]); bit++)
				must_fail(&l, m, flip_bit, bit);
		}
	}
}

static void any_cut_or_doubled_tail_fails(void **state)
{
	for (int i = 0; i < N_TAMPERED_LOGINS; i++) {
		struct exchange x;
		struct login l;

		make_login(&l);
		check_success(&x, &l);
		for (int m = 0; m < N_EXCHANGE_MESSAGES; m++) {
			for (size_t at = 0; at < strlen(x.sent[m]); at++) {
				must_fail(&l, m, cut, at);
				must_fail(&l, m, duplicate_tail, at);
			}
		}
	}
}

static void another_password_fails(void **state)
{
	for (int i = 0; i < N_LOGINS; i++) {
		struct exchange x;
		struct login l;

		make_login(&l);
		set_up(&x, &l);
		l.password[0] = l.password[0] == 'a' ? 'b' : 'a';
		assert_int_equal(exchange_run(&x), PGW_E_AUTH);
		assert_int_equal(x.server.state, PGW_SCRAM_SERVER_FAILED);
	}
}

static void a_doomed_login_fails(void **state)
{
	for (int i = 0; i < N_LOGINS; i++) {
		struct exchange x;
		struct login l;

		make_login(&l);
		set_up(&x, &l);
		x.server.doomed = true;
		assert_int_equal(exchange_run(&x), PGW_E_AUTH);
	}
}

static void another_channel_fails(void **state)
{
	for (int i = 0; i < N_LOGINS; i++) {
		struct exchange x;
		struct login l;

		do
			make_login(&l);
		while (!l.client_binds);
		set_up(&x, &l);
		x.client.cb_data[rnd((uint32_t)l.n_cb_data)] ^= (uint8_t)(1 << rnd(8));
		assert_int_equal(exchange_run(&x), PGW_E_AUTH);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_password_gets_in),
		cmocka_unit_test(any_flipped_bit_fails),
		cmocka_unit_test(any_cut_or_doubled_tail_fails),
		cmocka_unit_test(another_password_fails),
		cmocka_unit_test(a_doomed_login_fails),
		cmocka_unit_test(another_channel_fails),
	};
	const char *from_env = getenv("PGLANE_SEED");

	if (from_env != NULL)
		seed = strtoull(from_env, NULL, 0) | 1;
	printf("PGLANE_SEED=%llu\n", (unsigned long long)seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
