/* SPDX-License-Identifier: ISC */
/* Lines of an auth_file: a secret that is taken, printed again, is the same text. */
#include "fuzz/fuzz.h"

#include <string.h>

#include <openssl/evp.h>

#include "pgw/scram.h"

static void check_text(const char *text, const struct pgw_scram_secret *s)
{
	char salt[PGW_SCRAM_MAX_SALT_BYTES * 2], stored[64], server[64], again[512];

	FUZZ_CHECK(s->n_salt_bytes > 0 && s->n_salt_bytes <= PGW_SCRAM_MAX_SALT_BYTES);
	EVP_EncodeBlock((unsigned char *)salt, s->salt, (int)s->n_salt_bytes);
	EVP_EncodeBlock((unsigned char *)stored, s->stored_key, PGW_SCRAM_KEY_BYTES);
	EVP_EncodeBlock((unsigned char *)server, s->server_key, PGW_SCRAM_KEY_BYTES);
	snprintf(again, sizeof(again), "SCRAM-SHA-256$%u:%s$%s:%s", s->iterations, salt, stored,
		server);
	FUZZ_CHECK(strcmp(text, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t salt[4] = {1, 2, 3, 4};
	struct pgw_scram_secret secret;
	char out[PGW_MD5_TEXT_BYTES];
	char *text = malloc(n + 1);

	FUZZ_CHECK(text != NULL);
	memcpy(text, data, n);
	text[n] = '\0';
	if (pgw_scram_secret_parse(text, &secret)) {
		FUZZ_CHECK(!pgw_is_md5_secret(text));
		check_text(text, &secret);
	}
	if (pgw_is_md5_secret(text)) {
		pgw_md5_response(text, salt, out);
		FUZZ_CHECK(pgw_is_md5_secret(out));
	}
	FUZZ_CHECK(pgw_equal_secret(text, text));
	/* Whatever the password is, preparing it neither fails nor reads astray. */
	if (pgw_scram_secret_derive(text, salt, sizeof(salt), 1, &secret) != PGW_OK)
		FUZZ_CHECK(n > 4096);
	free(text);
	return 0;
}
