/* SPDX-License-Identifier: ISC */
/*
 * The client's side of SCRAM-SHA-256(-PLUS): logs in to a server, and does not believe it before
 * it has proven that it knows the secret too.
 *
 *	START --client-first--> EXPECT_FIRST --server-first--> EXPECT_FINAL --server-final--> DONE
 *
 * and FAILED from anywhere. A server is trusted with nothing until DONE: its texts are bounded and
 * the work that it may ask for (iterations) has a limit.
 */
#include "scram_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#define MAX_NONCE_BYTES 256 /* client's and server's together */

static enum pgw_err fail(struct pgw_scram_client *c, enum pgw_err err)
{
	OPENSSL_cleanse(c, sizeof(*c));
	c->state = PGW_SCRAM_CLIENT_FAILED;
	return err;
}

/* The list is strings with their NUL, ended by an empty one. */
static bool read_mechanisms(const uint8_t *list, size_t n, bool *has_scram_r, bool *has_plus_r)
{
	const char *at = (const char *)list;
	const char *end = at + n;

	*has_scram_r = *has_plus_r = false;
	while (at < end) {
		size_t len = strnlen(at, (size_t)(end - at));

		if (at + len == end)
			return false;
		if (len == 0)
			return at + 1 == end;
		*has_scram_r |= strcmp(at, PGW__MECHANISM) == 0;
		*has_plus_r |= strcmp(at, PGW__MECHANISM_PLUS) == 0;
		at += len + 1;
	}
	return false;
}

enum pgw_err pgw_scram_client_init(struct pgw_scram_client *c, const uint8_t *mechanisms, size_t n,
	const uint8_t *cb_data, size_t n_cb_data, const char **mechanism_r)
{
	bool has_scram, has_plus;

	assert(n_cb_data <= sizeof(c->cb_data));
	memset(c, 0, sizeof(*c));
	if (!read_mechanisms(mechanisms, n, &has_scram, &has_plus))
		return fail(c, PGW_E_SASL);
	if (has_plus && n_cb_data > 0) {
		c->plus = true;
		memcpy(c->cb_data, cb_data, n_cb_data);
		c->n_cb_data = n_cb_data;
		*mechanism_r = PGW__MECHANISM_PLUS;
	} else if (has_scram) {
		c->tls_without_plus = n_cb_data > 0;
		*mechanism_r = PGW__MECHANISM;
	} else {
		return fail(c, PGW_E_SASL);
	}
	c->state = PGW_SCRAM_CLIENT_START;
	return PGW_OK;
}

static const char *gs2_header(const struct pgw_scram_client *c)
{
	if (c->plus)
		return PGW__GS2_PLUS;
	return c->tls_without_plus ? "y,," : "n,,";
}

/* The user name stays empty: the server takes it from the startup packet. */
enum pgw_err pgw_scram_client_first(struct pgw_scram_client *c,
	const uint8_t raw_nonce[PGW_SCRAM_NONCE_RAW_BYTES],
	char out[static PGW_SCRAM_MAX_MESSAGE_BYTES])
{
	out[0] = '\0';
	if (c->state != PGW_SCRAM_CLIENT_START)
		return fail(c, PGW_E_SASL);
	pgw__b64_encode(raw_nonce, PGW_SCRAM_NONCE_RAW_BYTES, c->client_nonce);
	snprintf(c->client_first_bare, sizeof(c->client_first_bare), "n=,r=%s", c->client_nonce);
	snprintf(out, PGW_SCRAM_MAX_MESSAGE_BYTES, "%s%s", gs2_header(c), c->client_first_bare);
	c->state = PGW_SCRAM_CLIENT_EXPECT_FIRST;
	return PGW_OK;
}

struct server_first {
	struct pgw__attr nonce;
	uint8_t salt[PGW_SCRAM_MAX_SALT_BYTES];
	size_t n_salt;
	uint32_t iterations;
};

/* r=our nonce and more, s=salt, i=iterations, and nothing behind them. */
static bool read_server_first(const struct pgw_scram_client *c, const char *text, size_t n,
	struct server_first *out_r)
{
	struct pgw__attr salt, iterations;
	struct pgw__attrs attrs;
	size_t n_ours = strlen(c->client_nonce);

	pgw__attrs_init(&attrs, text, n);
	out_r->nonce = pgw__attr_read(&attrs, 'r');
	salt = pgw__attr_read(&attrs, 's');
	iterations = pgw__attr_read(&attrs, 'i');
	if (attrs.bad || attrs.at != attrs.end)
		return false;
	if (out_r->nonce.n <= n_ours || out_r->nonce.n >= MAX_NONCE_BYTES ||
		memcmp(out_r->nonce.value, c->client_nonce, n_ours) != 0 ||
		!pgw__is_nonce(out_r->nonce.value, out_r->nonce.n))
		return false;
	out_r->iterations =
		pgw__read_count(iterations.value, iterations.n, PGW_SCRAM_MAX_ITERATIONS);
	return out_r->iterations > 0 && pgw__b64_decode(salt.value, salt.n, out_r->salt,
						sizeof(out_r->salt), &out_r->n_salt);
}

static bool cache_fits(const struct pgw_scram_cache *cache, const struct server_first *first,
	const uint8_t password_hash[static PGW_SCRAM_KEY_BYTES])
{
	return cache->valid && cache->iterations == first->iterations &&
	       cache->n_salt_bytes == first->n_salt &&
	       memcmp(cache->salt, first->salt, first->n_salt) == 0 &&
	       CRYPTO_memcmp(cache->password_hash, password_hash, PGW_SCRAM_KEY_BYTES) == 0;
}

static enum pgw_err fill_cache(struct pgw_scram_cache *cache, const char *password,
	const struct server_first *first, const uint8_t password_hash[static PGW_SCRAM_KEY_BYTES])
{
	enum pgw_err err;

	cache->valid = false;
	err = pgw__derive_keys(password, first->salt, first->n_salt, first->iterations,
		cache->client_key, cache->server_key);
	if (err != PGW_OK)
		return err;
	cache->iterations = first->iterations;
	memcpy(cache->salt, first->salt, first->n_salt);
	cache->n_salt_bytes = first->n_salt;
	memcpy(cache->password_hash, password_hash, sizeof(cache->password_hash));
	cache->valid = true;
	return PGW_OK;
}

/* The keys of a password: from the cache, or derived (into it, if there is one). */
static enum pgw_err password_keys(struct pgw_scram_client *c, const char *password,
	const struct server_first *first, struct pgw_scram_cache *cache, uint8_t *client_key)
{
	uint8_t password_hash[PGW_SCRAM_KEY_BYTES];
	enum pgw_err err = PGW_OK;

	if (cache == NULL)
		return pgw__derive_keys(password, first->salt, first->n_salt, first->iterations,
			client_key, c->server_key);
	pgw__sha256(password, strlen(password), password_hash);
	if (!cache_fits(cache, first, password_hash))
		err = fill_cache(cache, password, first, password_hash);
	if (err == PGW_OK) {
		memcpy(client_key, cache->client_key, PGW_SCRAM_KEY_BYTES);
		memcpy(c->server_key, cache->server_key, PGW_SCRAM_KEY_BYTES);
	}
	OPENSSL_cleanse(password_hash, sizeof(password_hash));
	return err;
}

static enum pgw_err identity_keys(struct pgw_scram_client *c,
	const struct pgw_scram_identity *identity, const struct server_first *first,
	struct pgw_scram_cache *cache, uint8_t *client_key)
{
	if (identity->password != NULL)
		return password_keys(c, identity->password, first, cache, client_key);
	if (!identity->has_keys)
		return PGW_E_AUTH;
	memcpy(client_key, identity->client_key, PGW_SCRAM_KEY_BYTES);
	memcpy(c->server_key, identity->server_key, PGW_SCRAM_KEY_BYTES);
	return PGW_OK;
}

/* Writes client-final without its proof to out and completes the AuthMessage. Returns its length. */
static size_t build_unproven(struct pgw_scram_client *c, const char *text, size_t n,
	const struct pgw__attr *nonce, char *out)
{
	char binding[PGW__B64_BYTES(PGW__B64_MAX_RAW)];
	uint8_t raw[PGW__B64_MAX_RAW];
	const char *header = gs2_header(c);
	size_t n_header = strlen(header);
	int len, n_auth;

	memcpy(raw, header, n_header);
	memcpy(raw + n_header, c->cb_data, c->n_cb_data);
	pgw__b64_encode(raw, n_header + c->n_cb_data, binding);
	len = snprintf(out, PGW_SCRAM_MAX_MESSAGE_BYTES, "c=%s,r=%.*s", binding, (int)nonce->n,
		nonce->value);
	n_auth = snprintf(c->auth_message, sizeof(c->auth_message), "%s,%.*s,%s",
		c->client_first_bare, (int)n, text, out);
	assert(len > 0 && n_auth > 0 && (size_t)n_auth < sizeof(c->auth_message));
	return (size_t)len;
}

static void append_proof(const struct pgw_scram_client *c,
	const uint8_t client_key[static PGW_SCRAM_KEY_BYTES], char *at)
{
	struct pgw__bytes message = {c->auth_message, strlen(c->auth_message)};
	uint8_t proof[PGW_SCRAM_KEY_BYTES];

	pgw__sha256(client_key, PGW_SCRAM_KEY_BYTES, proof); /* StoredKey */
	pgw__hmac(proof, &message, 1, proof);
	pgw__xor_key(proof, client_key);
	memcpy(at, ",p=", 3);
	pgw__b64_encode(proof, sizeof(proof), at + 3);
}

enum pgw_err pgw_scram_client_final(struct pgw_scram_client *c, const uint8_t *data, size_t n,
	const struct pgw_scram_identity *identity, struct pgw_scram_cache *cache,
	char out[static PGW_SCRAM_MAX_MESSAGE_BYTES])
{
	const char *text = (const char *)data;
	uint8_t client_key[PGW_SCRAM_KEY_BYTES];
	struct server_first first;
	enum pgw_err err;
	size_t len;

	out[0] = '\0';
	if (c->state != PGW_SCRAM_CLIENT_EXPECT_FIRST || n == 0 ||
		n >= PGW_SCRAM_MAX_MESSAGE_BYTES || memchr(text, '\0', n) != NULL ||
		!read_server_first(c, text, n, &first))
		return fail(c, PGW_E_SASL);
	err = identity_keys(c, identity, &first, cache, client_key);
	if (err != PGW_OK)
		return fail(c, err);
	len = build_unproven(c, text, n, &first.nonce, out);
	append_proof(c, client_key, out + len);
	OPENSSL_cleanse(client_key, sizeof(client_key));
	c->state = PGW_SCRAM_CLIENT_EXPECT_FINAL;
	return PGW_OK;
}

enum pgw_err pgw_scram_client_verify(struct pgw_scram_client *c, const uint8_t *data, size_t n)
{
	const char *text = (const char *)data;
	struct pgw__bytes message = {c->auth_message, strlen(c->auth_message)};
	uint8_t want[PGW_SCRAM_KEY_BYTES], got[PGW_SCRAM_KEY_BYTES];
	struct pgw__attr attr;
	struct pgw__attrs attrs;

	if (c->state != PGW_SCRAM_CLIENT_EXPECT_FINAL || n == 0 ||
		n >= PGW_SCRAM_MAX_MESSAGE_BYTES)
		return fail(c, PGW_E_SASL);
	pgw__attrs_init(&attrs, text, n);
	attr = pgw__attr_any(&attrs);
	if (attrs.bad || attrs.at != attrs.end)
		return fail(c, PGW_E_SASL);
	if (attr.name == 'e') /* the server says why it refuses us; its ErrorResponse follows */
		return fail(c, PGW_E_AUTH);
	if (attr.name != 'v' || !pgw__b64_decode_key(attr.value, attr.n, got))
		return fail(c, PGW_E_SASL);
	pgw__hmac(c->server_key, &message, 1, want);
	if (CRYPTO_memcmp(want, got, sizeof(want)) != 0)
		return fail(c, PGW_E_AUTH);
	OPENSSL_cleanse(c, sizeof(*c));
	c->state = PGW_SCRAM_CLIENT_DONE;
	return PGW_OK;
}
