/* SPDX-License-Identifier: ISC */
/*
 * What the two sides of SCRAM share: the key schedule of RFC 5802, strict base64, the attribute
 * reader of its messages, SASLprep. Private to proto/.
 *
 * Hashing cannot fail for a reason a peer controls: libcrypto fails only without memory or without
 * SHA-256. Then the process aborts, because going on would mean deciding a login on garbage.
 */
#ifndef PGW_SCRAM_PRIV_H
#define PGW_SCRAM_PRIV_H

#include <openssl/evp.h>

#include "pgw/scram.h"

#define PGW__MECHANISM "SCRAM-SHA-256"
#define PGW__MECHANISM_PLUS "SCRAM-SHA-256-PLUS"
#define PGW__GS2_PLUS "p=tls-server-end-point,,"
#define PGW__MAX_PASSWORD_BYTES 4096
#define PGW__NONCE_TEXT_BYTES PGW__B64_BYTES(PGW_SCRAM_NONCE_RAW_BYTES)
/* Text of n bytes in base64, with its NUL. */
#define PGW__B64_BYTES(n) (((n) + 2) / 3 * 4 + 1)
/* The longest thing that travels in base64: the gs2 header with the channel-binding data. */
#define PGW__B64_MAX_RAW (sizeof(PGW__GS2_PLUS) - 1 + PGW_SCRAM_MAX_CB_BYTES)

struct pgw__bytes {
	const void *at;
	size_t n;
};

const EVP_MD *pgw__sha256_md(void);
void pgw__sha256(const void *data, size_t n, uint8_t out[static PGW_SCRAM_KEY_BYTES]);
/* HMAC-SHA-256 under a 32-byte key over the parts in order; out may be the key. */
void pgw__hmac(const uint8_t key[static PGW_SCRAM_KEY_BYTES], const struct pgw__bytes *parts,
	size_t n_parts, uint8_t out[static PGW_SCRAM_KEY_BYTES]);
void pgw__xor_key(uint8_t to[static PGW_SCRAM_KEY_BYTES],
	const uint8_t with[static PGW_SCRAM_KEY_BYTES]);
/* ClientKey and ServerKey of a plain password. PGW_E_VALUE: salt or iterations out of range. */
enum pgw_err pgw__derive_keys(const char *password, const uint8_t *salt, size_t n_salt,
	uint32_t iterations, uint8_t client_key[static PGW_SCRAM_KEY_BYTES],
	uint8_t server_key[static PGW_SCRAM_KEY_BYTES]) PGW_WARN_UNUSED;

/* out takes PGW__B64_BYTES(n); returns the text's length. */
size_t pgw__b64_encode(const uint8_t *data, size_t n, char *out);
/* Only the one canonical spelling decodes: no blanks, full padding, unused bits zero. */
bool pgw__b64_decode(const char *text, size_t n, uint8_t *out, size_t cap, size_t *n_r);
bool pgw__b64_decode_key(const char *text, size_t n, uint8_t out[static PGW_SCRAM_KEY_BYTES]);

/*
 * Reads "x=value,y=value". A reader that met something else is bad and stays bad, so a caller reads
 * all it expects and looks once. A comma must be followed by another attribute.
 */
struct pgw__attrs {
	const char *at;
	const char *end;
	const char *start; /* where the attribute just read began, its comma excluded */
	bool first;
	bool bad;
};
struct pgw__attr {
	const char *value; /* not terminated */
	size_t n;
	char name; /* 0: the text is exhausted, or bad */
};

void pgw__attrs_init(struct pgw__attrs *a, const char *text, size_t n);
struct pgw__attr pgw__attr_any(struct pgw__attrs *a);
struct pgw__attr pgw__attr_read(struct pgw__attrs *a, char name); /* bad if it has another name */
/* Positive, no sign, no leading zero; 0 when it is not, or above max. */
uint32_t pgw__read_count(const char *text, size_t n, uint32_t max);
bool pgw__is_nonce(const char *text, size_t n); /* printable ASCII but comma, and not empty */

/*
 * The bytes that get hashed for a password. `owned` is NULL when that is the password itself.
 * Release wipes.
 */
struct pgw__prepared {
	const char *bytes;
	size_t n;
	char *owned;
	size_t cap;
};

void pgw__saslprep(const char *password, struct pgw__prepared *out_r);
void pgw__prepared_release(struct pgw__prepared *p);

#endif
