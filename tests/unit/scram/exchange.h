/* SPDX-License-Identifier: ISC */
/*
 * One login: our client against our server in memory, every message open to a man in the middle.
 * Users fill the server and the identity, then run. Messages are handed over as heap blocks of
 * exactly their length, so that ASan sees a read behind one.
 */
#ifndef UNIT_SCRAM_EXCHANGE_H
#define UNIT_SCRAM_EXCHANGE_H

#include <stdlib.h>
#include <string.h>

#include "pgw/scram.h"

enum { CLIENT_FIRST, SERVER_FIRST, CLIENT_FINAL, SERVER_FINAL, N_EXCHANGE_MESSAGES };

struct exchange {
	struct pgw_scram_server server;
	struct pgw_scram_client client;
	struct pgw_scram_identity identity;
	struct pgw_scram_cache *cache;
	const char *mechanism;
	uint8_t client_nonce[PGW_SCRAM_NONCE_RAW_BYTES];
	uint8_t server_nonce[PGW_SCRAM_NONCE_RAW_BYTES];
	/* What the man in the middle does to one message; NULL: nothing. May change its length. */
	void (*tamper)(struct exchange *x, int message, char *text, size_t *n);
	size_t at; /* for tamper */
	int tampered_message;
	/* What travelled, before tampering. */
	char sent[N_EXCHANGE_MESSAGES][PGW_SCRAM_MAX_MESSAGE_BYTES];
};

static inline uint8_t *exchange_carry(struct exchange *x, int message, size_t *n_r)
{
	char text[PGW_SCRAM_MAX_MESSAGE_BYTES];
	size_t n = strlen(x->sent[message]);
	uint8_t *bytes;

	memcpy(text, x->sent[message], n);
	if (x->tamper != NULL && x->tampered_message == message)
		x->tamper(x, message, text, &n);
	bytes = malloc(n > 0 ? n : 1);
	memcpy(bytes, text, n);
	*n_r = n;
	return bytes;
}

static inline enum pgw_err exchange_server(struct exchange *x, int message)
{
	size_t n;
	uint8_t *bytes = exchange_carry(x, message, &n);
	enum pgw_err err = pgw_scram_server_step(&x->server,
		message == CLIENT_FIRST ? x->mechanism : NULL, bytes, n, x->server_nonce,
		x->sent[message + 1]);

	free(bytes);
	return err;
}

/* The first error that either side finds, PGW_OK when both are DONE. */
static inline enum pgw_err exchange_run(struct exchange *x)
{
	uint8_t *bytes;
	enum pgw_err err;
	size_t n;

	err = pgw_scram_client_first(&x->client, x->client_nonce, x->sent[CLIENT_FIRST]);
	if (err == PGW_OK)
		err = exchange_server(x, CLIENT_FIRST);
	if (err != PGW_OK)
		return err;
	bytes = exchange_carry(x, SERVER_FIRST, &n);
	err = pgw_scram_client_final(&x->client, bytes, n, &x->identity, x->cache,
		x->sent[CLIENT_FINAL]);
	free(bytes);
	if (err == PGW_OK)
		err = exchange_server(x, CLIENT_FINAL);
	if (err != PGW_OK)
		return err;
	bytes = exchange_carry(x, SERVER_FINAL, &n);
	err = pgw_scram_client_verify(&x->client, bytes, n);
	free(bytes);
	return err;
}

#endif
