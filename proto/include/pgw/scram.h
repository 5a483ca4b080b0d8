/* SPDX-License-Identifier: ISC */
/*
 * SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677, tls-server-end-point of RFC 5929), both sides, and the md5 password
 * hash of PostgreSQL. Sans I/O: random bytes come in as arguments. Deviations from the RFCs and the error policy are in proto/README.md.
 */
#ifndef PGW_SCRAM_H
#define PGW_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgw/error.h"

#define PGW_SCRAM_KEY_BYTES 32
#define PGW_SCRAM_NONCE_RAW_BYTES 18
#define PGW_SCRAM_MAX_SALT_BYTES 64
#define PGW_SCRAM_MAX_MESSAGE_BYTES 1024
#define PGW_SCRAM_DEFAULT_ITERATIONS 4096
#define PGW_SCRAM_MAX_ITERATIONS 100000 /* a server that asks for more is refused: CPU is ours */
#define PGW_SCRAM_MAX_CB_BYTES 64 /* tls-server-end-point hash */

/* A stored secret: what `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>` holds. */
struct pgw_scram_secret {
	uint32_t iterations;
	uint8_t salt[PGW_SCRAM_MAX_SALT_BYTES];
	size_t n_salt_bytes;
	uint8_t stored_key[PGW_SCRAM_KEY_BYTES];
	uint8_t server_key[PGW_SCRAM_KEY_BYTES];
};

bool pgw_scram_secret_parse(const char *text, struct pgw_scram_secret *out_r); /* false: not such a secret */
/* Derives the secret of a plain password (SASLprep as PostgreSQL does: raw bytes when it fails). Costs `iterations` HMACs: about 1 ms at 4096. */
enum pgw_err pgw_scram_secret_derive(const char *password, const uint8_t *salt, size_t n_salt, uint32_t iterations,
	struct pgw_scram_secret *out_r) PGW_WARN_UNUSED;
/* A secret that no password fits, the same for the same (user, process key), so that an unknown user looks like a known one. */
void pgw_scram_secret_mock(const char *user, const uint8_t process_key[32], uint32_t iterations, struct pgw_scram_secret *out_r);

/* ---- server side (we check a client) ---- */

enum pgw_scram_server_state { PGW_SCRAM_SERVER_EXPECT_FIRST, PGW_SCRAM_SERVER_EXPECT_FINAL, PGW_SCRAM_SERVER_DONE, PGW_SCRAM_SERVER_FAILED };

struct pgw_scram_server {
	enum pgw_scram_server_state state;
	struct pgw_scram_secret secret;
	bool doomed;	/* mock: run the whole exchange, then fail */
	uint8_t cb_data[PGW_SCRAM_MAX_CB_BYTES]; /* tls-server-end-point; n_cb_data 0: no TLS, -PLUS is not offered */
	size_t n_cb_data;
	bool has_mechanism; /* the client named one (an empty first response names it alone) */
	bool plus;	/* the client chose SCRAM-SHA-256-PLUS */
	char gs2_header[32];
	char client_first_bare[PGW_SCRAM_MAX_MESSAGE_BYTES];
	char server_first[PGW_SCRAM_MAX_MESSAGE_BYTES];
	char nonce[256];	/* client's and ours */
	uint8_t client_key[PGW_SCRAM_KEY_BYTES]; /* after DONE: for pass-through to the server */
};

/* raw_nonce: PGW_SCRAM_NONCE_RAW_BYTES random bytes. cb_data may be NULL. */
void pgw_scram_server_init(struct pgw_scram_server *s, const struct pgw_scram_secret *secret, bool doomed, const uint8_t *cb_data, size_t n_cb_data);
/*
 * Feeds the client's message of the present state; writes the answer (NUL-terminated text) to out. mechanism is only read in EXPECT_FIRST.
 * data NULL: a SASLInitialResponse without a response (length -1); the answer is empty and the client's first message comes in the next step.
 * PGW_OK: send `out` (server-first, then server-final). PGW_E_SASL: malformed; PGW_E_AUTH: wrong proof, channel binding, or doomed. After an error
 * the state is FAILED and nothing may be sent but the error.
 */
enum pgw_err pgw_scram_server_step(struct pgw_scram_server *s, const char *mechanism, const uint8_t *data, size_t n,
	const uint8_t raw_nonce[PGW_SCRAM_NONCE_RAW_BYTES], char out[static PGW_SCRAM_MAX_MESSAGE_BYTES]) PGW_WARN_UNUSED;

/* Before the memory is given back: leaves nothing secret in it, in whatever state it is after init. */
void pgw_scram_server_wipe(struct pgw_scram_server *s);

/* ---- client side (we log in to a server) ---- */

/* What we prove with: a password, or keys taken from a client's login (pass-through). */
struct pgw_scram_identity {
	const char *password;		/* NULL: the keys below */
	bool has_keys;
	uint8_t client_key[PGW_SCRAM_KEY_BYTES];
	uint8_t server_key[PGW_SCRAM_KEY_BYTES];
};
/* Cache of the last derivation, so that a thousand logins hash once. Owner: the caller; zero-initialised. */
struct pgw_scram_cache {
	bool valid;
	uint32_t iterations;
	uint8_t salt[PGW_SCRAM_MAX_SALT_BYTES];
	size_t n_salt_bytes;
	uint8_t password_hash[32]; /* SHA-256 of the password it belongs to */
	uint8_t client_key[PGW_SCRAM_KEY_BYTES];
	uint8_t server_key[PGW_SCRAM_KEY_BYTES];
};

enum pgw_scram_client_state { PGW_SCRAM_CLIENT_START, PGW_SCRAM_CLIENT_EXPECT_FIRST, PGW_SCRAM_CLIENT_EXPECT_FINAL, PGW_SCRAM_CLIENT_DONE, PGW_SCRAM_CLIENT_FAILED };

struct pgw_scram_client {
	enum pgw_scram_client_state state;
	bool plus;		/* speak -PLUS with cb_data */
	bool tls_without_plus;	/* we have TLS but the server offered no -PLUS: gs2 flag 'y' */
	uint8_t cb_data[PGW_SCRAM_MAX_CB_BYTES];
	size_t n_cb_data;
	char client_first_bare[256];
	char client_nonce[64];
	char auth_message[3 * PGW_SCRAM_MAX_MESSAGE_BYTES];
	uint8_t server_key[PGW_SCRAM_KEY_BYTES];
};

/* Chooses from the server's mechanism list (NUL-separated, ends with an empty one): writes the mechanism's name; PGW_E_SASL when none fits. */
enum pgw_err pgw_scram_client_init(struct pgw_scram_client *c, const uint8_t *mechanisms, size_t n, const uint8_t *cb_data, size_t n_cb_data,
	const char **mechanism_r) PGW_WARN_UNUSED;
enum pgw_err pgw_scram_client_first(struct pgw_scram_client *c, const uint8_t raw_nonce[PGW_SCRAM_NONCE_RAW_BYTES], char out[static PGW_SCRAM_MAX_MESSAGE_BYTES]) PGW_WARN_UNUSED;
/* server-first in, client-final out. cache may be NULL. */
enum pgw_err pgw_scram_client_final(struct pgw_scram_client *c, const uint8_t *data, size_t n, const struct pgw_scram_identity *identity,
	struct pgw_scram_cache *cache, char out[static PGW_SCRAM_MAX_MESSAGE_BYTES]) PGW_WARN_UNUSED;
/* server-final in: verifies the server's signature. */
enum pgw_err pgw_scram_client_verify(struct pgw_scram_client *c, const uint8_t *data, size_t n) PGW_WARN_UNUSED;

/* ---- md5 ---- */

#define PGW_MD5_TEXT_BYTES 36 /* "md5", 32 hex digits, NUL */
/* "md5" + hex(md5(password + user)) */
void pgw_md5_secret(const char *password, const char *user, char out[static PGW_MD5_TEXT_BYTES]);
/* What travels: "md5" + hex(md5(hex part of the secret + salt)). */
void pgw_md5_response(const char *secret, const uint8_t salt[4], char out[static PGW_MD5_TEXT_BYTES]);
bool pgw_is_md5_secret(const char *text);
bool pgw_equal_secret(const char *a, const char *b); /* constant time in the length of a */

#endif
