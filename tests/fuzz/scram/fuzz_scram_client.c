/* SPDX-License-Identifier: ISC */
/*
 * A server that says anything, against the client. Input: one byte of flags, the mechanism list with
 * '|' for NUL, server-first, server-final, each behind a newline. Whatever comes: what we send is a
 * short text, an error is final, and DONE is reached by the right signature alone.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "pgw/scram.h"

enum { WITH_TLS = 1 };

static const uint8_t binding[32] = {0xcb, 1, 2, 3};

/* The next line as a heap block of exactly its length (one byte for none). */
static uint8_t *next_line(const uint8_t **at, const uint8_t *end, size_t *n_r)
{
	const uint8_t *newline = *at == end ? NULL : memchr(*at, '\n', (size_t)(end - *at));
	uint8_t *line;

	*n_r = (size_t)((newline != NULL ? newline : end) - *at);
	line = malloc(*n_r > 0 ? *n_r : 1);
	FUZZ_CHECK(line != NULL);
	if (*n_r > 0)
		memcpy(line, *at, *n_r);
	*at = newline != NULL ? newline + 1 : end;
	return line;
}

static void check_state(const struct pgw_scram_client *c, enum pgw_err err, const char *out)
{
	FUZZ_CHECK(memchr(out, '\0', PGW_SCRAM_MAX_MESSAGE_BYTES) != NULL);
	FUZZ_CHECK((err != PGW_OK) == (c->state == PGW_SCRAM_CLIENT_FAILED));
	FUZZ_CHECK(err == PGW_OK || err == PGW_E_SASL || err == PGW_E_AUTH);
}

static enum pgw_err choose(struct pgw_scram_client *c, uint8_t *list, size_t n, bool tls)
{
	const char *mechanism = NULL;
	enum pgw_err err;

	for (size_t i = 0; i < n; i++) {
		if (list[i] == '|')
			list[i] = '\0';
	}
	err = pgw_scram_client_init(c, list, n, tls ? binding : NULL, tls ? sizeof(binding) : 0,
		&mechanism);
	FUZZ_CHECK((err == PGW_OK) == (mechanism != NULL));
	FUZZ_CHECK(err != PGW_OK || c->plus == (strcmp(mechanism, "SCRAM-SHA-256-PLUS") == 0));
	FUZZ_CHECK(!c->plus || tls);
	return err;
}

/* Keys instead of a password: no derivation, so that the fuzzer is fast. */
static void log_in(struct pgw_scram_client *c, const uint8_t *at, const uint8_t *end)
{
	static const uint8_t nonce[PGW_SCRAM_NONCE_RAW_BYTES] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
	static const struct pgw_scram_identity identity = {.has_keys = true, .client_key = {1},
		.server_key = {2}};
	char out[PGW_SCRAM_MAX_MESSAGE_BYTES];
	size_t n_line;
	uint8_t *line;
	enum pgw_err err;

	FUZZ_CHECK(pgw_scram_client_first(c, nonce, out) == PGW_OK);
	check_state(c, PGW_OK, out);
	line = next_line(&at, end, &n_line);
	err = pgw_scram_client_final(c, line, n_line, &identity, NULL, out);
	free(line);
	check_state(c, err, out);
	if (err != PGW_OK)
		return;
	line = next_line(&at, end, &n_line);
	err = pgw_scram_client_verify(c, line, n_line);
	free(line);
	check_state(c, err, "");
	FUZZ_CHECK((err == PGW_OK) == (c->state == PGW_SCRAM_CLIENT_DONE));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *at = data + 1, *end = data + n;
	struct pgw_scram_client c;
	enum pgw_err err;
	uint8_t *list;
	size_t n_list;

	if (n < 2)
		return 0;
	list = next_line(&at, end, &n_list);
	err = choose(&c, list, n_list, (data[0] & WITH_TLS) != 0);
	free(list);
	if (err == PGW_OK)
		log_in(&c, at, end);
	return 0;
}
