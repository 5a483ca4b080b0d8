/* SPDX-License-Identifier: ISC */
#include "service/wv_id.h"

#include <openssl/evp.h>
#include <string.h>

/* 6ba7b810-9dad-11d1-80b4-00c04fd430c8, RFC 4122 */
static const uint8_t namespace_dns[16] = { 0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4,
	0x30, 0xc8 };

void wv_id(const char *collection, const char *key, char id_r[static WV_ID_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned i, n = 0;

	MUST(ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1);
	MUST(EVP_DigestUpdate(ctx, namespace_dns, sizeof(namespace_dns)) == 1);
	MUST(EVP_DigestUpdate(ctx, collection, strlen(collection)) == 1);
	MUST(EVP_DigestUpdate(ctx, key, strlen(key)) == 1);
	MUST(EVP_DigestFinal_ex(ctx, hash, NULL) == 1);
	EVP_MD_CTX_free(ctx);
	hash[6] = (hash[6] & 0x0f) | 0x50; /* version 5 */
	hash[8] = (hash[8] & 0x3f) | 0x80; /* of the RFC's variant */
	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			id_r[n++] = '-';
		id_r[n++] = digits[hash[i] >> 4];
		id_r[n++] = digits[hash[i] & 15];
	}
	id_r[n] = '\0';
}

bool wv_is_id(const char *text)
{
	unsigned i;

	for (i = 0; i < WV_ID_BYTES - 1; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (text[i] != '-')
				return false;
		} else if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f'))) {
			return false;
		}
	}
	return text[i] == '\0';
}
