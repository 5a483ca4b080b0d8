/* SPDX-License-Identifier: ISC */
/*
 * Keys and secrets of SCRAM-SHA-256, and the text helpers that both sides use.
 *
 *	SaltedPassword = PBKDF2-HMAC-SHA-256(SASLprep(password), salt, iterations)
 *	ClientKey = HMAC(SaltedPassword, "Client Key")	StoredKey = SHA-256(ClientKey)
 *	ServerKey = HMAC(SaltedPassword, "Server Key")
 *
 * The only state of the library is here: libcrypto's SHA-256, fetched once for the process (a fetch
 * per call costs more than the hash) and read-only from then on. HMAC (RFC 2104) is two hashes made
 * here: libcrypto's own spends 8,000 instructions a time on its contexts and their parameters, these
 * two 3,000.
 */
#include "scram_priv.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#define MOCK_SALT_BYTES 16 /* what PostgreSQL gives its own secrets */
#define BLOCK_BYTES 64	   /* of SHA-256 */
#define INNER_PAD 0x36
#define OUTER_PAD 0x5c

static CRYPTO_ONCE fetch_once = CRYPTO_ONCE_STATIC_INIT;
static EVP_MD *sha256;

static void require(bool ok)
{
	if (!ok)
		abort();
}

static void fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	require(sha256 != NULL);
}

const EVP_MD *pgw__sha256_md(void)
{
	require(CRYPTO_THREAD_run_once(&fetch_once, fetch) == 1);
	return sha256;
}

void pgw__sha256(const void *data, size_t n, uint8_t out[static PGW_SCRAM_KEY_BYTES])
{
	require(EVP_Digest(data, n, out, NULL, pgw__sha256_md(), NULL) == 1);
}

/* Begins a hash with the key, padded to a block; the rest of the block is zeros, so the pad itself. */
static void begin_padded(
	EVP_MD_CTX *ctx, const uint8_t key[static PGW_SCRAM_KEY_BYTES], uint8_t pad)
{
	uint8_t block[BLOCK_BYTES];

	memset(block, pad, sizeof(block));
	pgw__xor_key(block, key);
	require(EVP_DigestInit_ex(ctx, pgw__sha256_md(), NULL) == 1 &&
		EVP_DigestUpdate(ctx, block, sizeof(block)) == 1);
	OPENSSL_cleanse(block, sizeof(block));
}

void pgw__hmac(const uint8_t key[static PGW_SCRAM_KEY_BYTES], const struct pgw__bytes *parts,
	size_t n_parts, uint8_t out[static PGW_SCRAM_KEY_BYTES])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t inner[PGW_SCRAM_KEY_BYTES];

	require(ctx != NULL);
	begin_padded(ctx, key, INNER_PAD);
	for (size_t i = 0; i < n_parts; i++)
		require(EVP_DigestUpdate(ctx, parts[i].at, parts[i].n) == 1);
	require(EVP_DigestFinal_ex(ctx, inner, NULL) == 1);
	begin_padded(ctx, key, OUTER_PAD);
	require(EVP_DigestUpdate(ctx, inner, sizeof(inner)) == 1 &&
		EVP_DigestFinal_ex(ctx, out, NULL) == 1);
	EVP_MD_CTX_free(ctx); /* which wipes it */
	OPENSSL_cleanse(inner, sizeof(inner));
}

static void hmac_label(const uint8_t key[static PGW_SCRAM_KEY_BYTES], const char *label,
	const char *rest, uint8_t out[static PGW_SCRAM_KEY_BYTES])
{
	struct pgw__bytes parts[] = {{label, strlen(label)}, {rest, strlen(rest)}};

	pgw__hmac(key, parts, 2, out);
}

void pgw__xor_key(uint8_t to[static PGW_SCRAM_KEY_BYTES],
	const uint8_t with[static PGW_SCRAM_KEY_BYTES])
{
	for (size_t i = 0; i < PGW_SCRAM_KEY_BYTES; i++)
		to[i] ^= with[i];
}

enum pgw_err pgw__derive_keys(const char *password, const uint8_t *salt, size_t n_salt,
	uint32_t iterations, uint8_t client_key[static PGW_SCRAM_KEY_BYTES],
	uint8_t server_key[static PGW_SCRAM_KEY_BYTES])
{
	uint8_t salted[PGW_SCRAM_KEY_BYTES];
	struct pgw__prepared prepared;

	if (n_salt == 0 || n_salt > PGW_SCRAM_MAX_SALT_BYTES || iterations == 0 ||
		iterations > INT32_MAX)
		return PGW_E_VALUE;
	if (strnlen(password, PGW__MAX_PASSWORD_BYTES + 1) > PGW__MAX_PASSWORD_BYTES)
		return PGW_E_TOO_LONG;
	pgw__saslprep(password, &prepared);
	require(PKCS5_PBKDF2_HMAC(prepared.bytes, (int)prepared.n, salt, (int)n_salt,
			(int)iterations, pgw__sha256_md(), sizeof(salted), salted) == 1);
	pgw__prepared_release(&prepared);
	hmac_label(salted, "Client Key", "", client_key);
	hmac_label(salted, "Server Key", "", server_key);
	OPENSSL_cleanse(salted, sizeof(salted));
	return PGW_OK;
}

enum pgw_err pgw_scram_secret_derive(const char *password, const uint8_t *salt, size_t n_salt,
	uint32_t iterations, struct pgw_scram_secret *out_r)
{
	uint8_t client_key[PGW_SCRAM_KEY_BYTES];
	enum pgw_err err;

	memset(out_r, 0, sizeof(*out_r));
	err = pgw__derive_keys(password, salt, n_salt, iterations, client_key, out_r->server_key);
	if (err != PGW_OK)
		return err;
	out_r->iterations = iterations;
	memcpy(out_r->salt, salt, n_salt);
	out_r->n_salt_bytes = n_salt;
	pgw__sha256(client_key, sizeof(client_key), out_r->stored_key);
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return PGW_OK;
}

/*
 * The salt must look like any other and stay the same from one attempt to the next, as a real
 * one does; the keys only have to be unguessable.
 */
void pgw_scram_secret_mock(const char *user, const uint8_t process_key[32], uint32_t iterations,
	struct pgw_scram_secret *out_r)
{
	uint8_t salt[PGW_SCRAM_KEY_BYTES];

	memset(out_r, 0, sizeof(*out_r));
	hmac_label(process_key, "mock salt", user, salt);
	memcpy(out_r->salt, salt, MOCK_SALT_BYTES);
	out_r->n_salt_bytes = MOCK_SALT_BYTES;
	hmac_label(process_key, "mock StoredKey", user, out_r->stored_key);
	hmac_label(process_key, "mock ServerKey", user, out_r->server_key);
	out_r->iterations = iterations;
}

/* SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey> */
bool pgw_scram_secret_parse(const char *text, struct pgw_scram_secret *out_r)
{
	static const char prefix[] = PGW__MECHANISM "$";
	struct pgw_scram_secret s = {0};
	const char *salt, *stored, *server;

	if (strncmp(text, prefix, sizeof(prefix) - 1) != 0)
		return false;
	text += sizeof(prefix) - 1;
	salt = strchr(text, ':');
	stored = salt != NULL ? strchr(salt, '$') : NULL;
	server = stored != NULL ? strchr(stored, ':') : NULL;
	if (server == NULL)
		return false;
	s.iterations = pgw__read_count(text, (size_t)(salt - text), INT32_MAX);
	salt++;
	stored++;
	server++;
	if (s.iterations == 0 ||
		!pgw__b64_decode(salt, (size_t)(stored - 1 - salt), s.salt, sizeof(s.salt),
			&s.n_salt_bytes) ||
		!pgw__b64_decode_key(stored, (size_t)(server - 1 - stored), s.stored_key) ||
		!pgw__b64_decode_key(server, strlen(server), s.server_key))
		return false;
	*out_r = s;
	return true;
}

size_t pgw__b64_encode(const uint8_t *data, size_t n, char *out)
{
	return (size_t)EVP_EncodeBlock((unsigned char *)out, data, (int)n);
}

/*
 * libcrypto's decoder forgives blanks, padding in the middle and stray low bits; encoding again
 * and comparing does not.
 */
bool pgw__b64_decode(const char *text, size_t n, uint8_t *out, size_t cap, size_t *n_r)
{
	char again[PGW__B64_BYTES(PGW__B64_MAX_RAW)];
	uint8_t raw[PGW__B64_MAX_RAW + 3];
	size_t n_raw = n / 4 * 3;
	bool ok;

	if (n == 0 || n % 4 != 0 || n >= sizeof(again))
		return false;
	if (EVP_DecodeBlock(raw, (const unsigned char *)text, (int)n) != (int)n_raw)
		return false;
	n_raw -= (size_t)(text[n - 1] == '=') + (size_t)(text[n - 2] == '=');
	ok = n_raw <= cap && pgw__b64_encode(raw, n_raw, again) == n &&
	     CRYPTO_memcmp(again, text, n) == 0;
	if (ok) {
		memcpy(out, raw, n_raw);
		*n_r = n_raw;
	}
	OPENSSL_cleanse(raw, sizeof(raw));
	OPENSSL_cleanse(again, sizeof(again));
	return ok;
}

bool pgw__b64_decode_key(const char *text, size_t n, uint8_t out[static PGW_SCRAM_KEY_BYTES])
{
	size_t n_key;

	return pgw__b64_decode(text, n, out, PGW_SCRAM_KEY_BYTES, &n_key) &&
	       n_key == PGW_SCRAM_KEY_BYTES;
}

void pgw__attrs_init(struct pgw__attrs *a, const char *text, size_t n)
{
	*a = (struct pgw__attrs){.at = text, .end = text + n, .start = text, .first = true};
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static struct pgw__attr attrs_fail(struct pgw__attrs *a)
{
	a->bad = true;
	return (struct pgw__attr){.value = a->end};
}

struct pgw__attr pgw__attr_any(struct pgw__attrs *a)
{
	struct pgw__attr attr;
	const char *comma;

	if (a->bad || (a->at == a->end && !a->first))
		return (struct pgw__attr){.value = a->end};
	if (!a->first)
		a->at++; /* the comma that ended the last one */
	a->first = false;
	if (a->end - a->at < 2 || !is_alpha(a->at[0]) || a->at[1] != '=')
		return attrs_fail(a);
	a->start = a->at;
	attr.name = a->at[0];
	attr.value = a->at + 2;
	comma = memchr(attr.value, ',', (size_t)(a->end - attr.value));
	a->at = comma != NULL ? comma : a->end;
	attr.n = (size_t)(a->at - attr.value);
	return attr;
}

struct pgw__attr pgw__attr_read(struct pgw__attrs *a, char name)
{
	struct pgw__attr attr = pgw__attr_any(a);

	return attr.name == name ? attr : attrs_fail(a);
}

uint32_t pgw__read_count(const char *text, size_t n, uint32_t max)
{
	uint64_t value = 0;

	if (n == 0 || n > 10 || text[0] == '0')
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return 0;
		value = value * 10 + (uint64_t)(text[i] - '0');
	}
	return value <= max ? (uint32_t)value : 0;
}

bool pgw__is_nonce(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] < 0x21 || text[i] > 0x7e || text[i] == ',')
			return false;
	}
	return n > 0;
}
