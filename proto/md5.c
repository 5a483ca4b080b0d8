/* SPDX-License-Identifier: ISC */
/*
 * PostgreSQL's md5 password method. MD5 is broken as a hash; it is here because existing secrets
 * and servers use it. A host that forbids MD5 (FIPS) would make every such login fail, so it is
 * then taken from a library context of its own that holds the default provider.
 */
#include "pgw/scram.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#define MD5_BYTES 16
#define MD5_PREFIX "md5"
#define MD5_PREFIX_LEN 3
#define MD5_HEX_LEN 32

static CRYPTO_ONCE fetch_once = CRYPTO_ONCE_STATIC_INIT;
static EVP_MD *md5;

static void fetch(void)
{
	OSSL_LIB_CTX *own;

	md5 = EVP_MD_fetch(NULL, "MD5", NULL);
	if (md5 != NULL)
		return;
	own = OSSL_LIB_CTX_new();
	if (own != NULL && OSSL_PROVIDER_load(own, "default") != NULL)
		md5 = EVP_MD_fetch(own, "MD5", NULL);
}

/* "md5" + hex(md5(a, b)) */
static void md5_text(const void *a, size_t n_a, const void *b, size_t n_b, char *out)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t raw[MD5_BYTES];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	if (ctx == NULL || CRYPTO_THREAD_run_once(&fetch_once, fetch) != 1 || md5 == NULL ||
		EVP_DigestInit_ex2(ctx, md5, NULL) != 1 || EVP_DigestUpdate(ctx, a, n_a) != 1 ||
		EVP_DigestUpdate(ctx, b, n_b) != 1 || EVP_DigestFinal_ex(ctx, raw, NULL) != 1)
		abort(); /* any text written instead could be guessed and sent as an answer */
	EVP_MD_CTX_free(ctx);
	memcpy(out, MD5_PREFIX, MD5_PREFIX_LEN);
	out += MD5_PREFIX_LEN;
	for (size_t i = 0; i < MD5_BYTES; i++) {
		*out++ = hex[raw[i] >> 4];
		*out++ = hex[raw[i] & 15];
	}
	*out = '\0';
	OPENSSL_cleanse(raw, sizeof(raw));
}

void pgw_md5_secret(const char *password, const char *user, char out[static PGW_MD5_TEXT_BYTES])
{
	md5_text(password, strlen(password), user, strlen(user), out);
}

void pgw_md5_response(const char *secret, const uint8_t salt[4],
	char out[static PGW_MD5_TEXT_BYTES])
{
	if (!pgw_is_md5_secret(secret))
		abort(); /* the caller's fault; an answer to a made-up secret could be computed */
	md5_text(secret + MD5_PREFIX_LEN, MD5_HEX_LEN, salt, 4, out);
}

bool pgw_is_md5_secret(const char *text)
{
	return strncmp(text, MD5_PREFIX, MD5_PREFIX_LEN) == 0 &&
	       strspn(text + MD5_PREFIX_LEN, "0123456789abcdef") == MD5_HEX_LEN &&
	       text[MD5_PREFIX_LEN + MD5_HEX_LEN] == '\0';
}

bool pgw_equal_secret(const char *a, const char *b)
{
	size_t n_a = strlen(a), n_b = strlen(b);
	volatile unsigned difference = n_a != n_b;

	/* Past its end b is compared with its own NUL, so that the time does not tell where it ends. */
	for (size_t i = 0; i < n_a; i++)
		difference |= (unsigned char)a[i] ^ (unsigned char)b[i < n_b ? i : n_b];
	return difference == 0;
}
