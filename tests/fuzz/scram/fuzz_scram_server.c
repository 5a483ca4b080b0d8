/* SPDX-License-Identifier: ISC */
/*
 * A client that says anything, against the server. Input: one byte of flags, the mechanism's name,
 * then the client's messages, each behind a newline. Whatever comes: an answer is a short text, an
 * error is final and leaves no key, and DONE means that the client has shown the key.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include <openssl/sha.h>

#include "pgw/scram.h"

enum { WITH_TLS = 1, DOOMED = 2 };

static const char secret_text[] =
	"SCRAM-SHA-256$4096:9Al379H2wneuYG3fVISNqg==$"
	"faL585UCLPdJgyvUf98UxznRwWpt71JXZbVBIQ/jL64=:Z8BC/BTn3Jz3pcXyqFP6lXI2zVVlLqWuacvqRF4dScY=";

static void check_step(const struct pgw_scram_server *s, const struct pgw_scram_secret *secret,
	enum pgw_err err, const char *out)
{
	static const struct pgw_scram_server zero;
	uint8_t hash[SHA256_DIGEST_LENGTH];

	FUZZ_CHECK(memchr(out, '\0', PGW_SCRAM_MAX_MESSAGE_BYTES) != NULL);
	FUZZ_CHECK((err != PGW_OK) == (s->state == PGW_SCRAM_SERVER_FAILED));
	FUZZ_CHECK(err == PGW_OK || err == PGW_E_SASL || err == PGW_E_AUTH);
	if (err != PGW_OK) {
		FUZZ_CHECK(out[0] == '\0');
		FUZZ_CHECK(memcmp(s->client_key, zero.client_key, sizeof(s->client_key)) == 0);
		FUZZ_CHECK(memcmp(&s->secret, &zero.secret, sizeof(s->secret)) == 0);
	}
	if (s->state == PGW_SCRAM_SERVER_DONE) {
		SHA256(s->client_key, sizeof(s->client_key), hash);
		FUZZ_CHECK(memcmp(hash, secret->stored_key, sizeof(hash)) == 0);
		FUZZ_CHECK(!s->doomed);
	}
}

/* The next line as a heap block of its own; NULL at the end. */
static uint8_t *next_line(const uint8_t **at, const uint8_t *end, size_t *n_r)
{
	const uint8_t *newline;
	uint8_t *line;

	if (*at == end)
		return NULL;
	newline = memchr(*at, '\n', (size_t)(end - *at));
	*n_r = (size_t)((newline != NULL ? newline : end) - *at);
	line = malloc(*n_r + 1);
	FUZZ_CHECK(line != NULL);
	memcpy(line, *at, *n_r);
	line[*n_r] = '\0';
	*at = newline != NULL ? newline + 1 : end;
	return line;
}

/* A message without the NUL that next_line() adds, so that a read behind it is seen. */
static enum pgw_err feed(struct pgw_scram_server *s, const char *mechanism, const uint8_t *line,
	size_t n, char *out)
{
	static const uint8_t nonce[PGW_SCRAM_NONCE_RAW_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	uint8_t *exact = malloc(n > 0 ? n : 1);
	enum pgw_err err;

	FUZZ_CHECK(exact != NULL);
	memcpy(exact, line, n);
	err = pgw_scram_server_step(s, mechanism, exact, n, nonce, out);
	free(exact);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const uint8_t binding[32] = {0xcb, 1, 2, 3};
	const uint8_t *at = data + 1, *end = data + n;
	char out[PGW_SCRAM_MAX_MESSAGE_BYTES];
	struct pgw_scram_secret secret;
	struct pgw_scram_server s;
	uint8_t *mechanism, *line;
	size_t n_line;

	if (n < 2)
		return 0;
	FUZZ_CHECK(pgw_scram_secret_parse(secret_text, &secret));
	pgw_scram_server_init(&s, &secret, (data[0] & DOOMED) != 0, binding,
		(data[0] & WITH_TLS) != 0 ? sizeof(binding) : 0);
	mechanism = next_line(&at, end, &n_line);
	while ((line = next_line(&at, end, &n_line)) != NULL) {
		enum pgw_err err = feed(&s, (const char *)mechanism, line, n_line, out);

		free(line);
		check_step(&s, &secret, err, out);
	}
	free(mechanism);
	return 0;
}
