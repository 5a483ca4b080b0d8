/* SPDX-License-Identifier: ISC */
/*
 * TLS on both sides: what the client_tls_* and server_tls_* keys say becomes a context, a context makes sessions. A session is a plain SSL that
 * reads and writes a non-blocking socket of its owner; streams take it over after the handshake.
 *
 * "Server role" is towards our clients, the other one towards PostgreSQL servers. A context never changes and is shared by all threads;
 * a reload makes a new one, and running sessions keep what they were made from.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include <openssl/ssl.h>

#include "base/base.h"
#include "config/config.h"

#define TLS_ERROR_BYTES 256
#define TLS_END_POINT_BYTES 64
#define TLS_DESCRIPTION_BYTES 64
#define TLS_ALPN_PROTOCOL "postgresql"

struct tls_context;

/*
 * NULL: error says which key is wrong, and why. cfg->mode is not TLS_DISABLE; nothing of cfg is kept. Reads the files. Reference: 1.
 *
 * Verification, as PgBouncer's sslmodes mean it. Server role: verify-ca and verify-full demand a client certificate of ca_file (verify-ca without
 * one: of the system's authorities); the weaker modes verify one that is shown if there is a ca_file, and ask for none if there is not.
 * Client role: verify-ca checks the chain against ca_file or else the system's authorities, verify-full the host name too; the
 * weaker modes check nothing.
 */
struct tls_context *tls_context_new(const struct config_tls *cfg, bool server_role, char error[static TLS_ERROR_BYTES]) WARN_UNUSED;
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context **context);

/* A session on a connected non-blocking socket, which stays the caller's. SSL_free() ends it. */
SSL *tls_accept_new(struct tls_context *context, int fd) WARN_UNUSED;
/*
 * host is the name or address the operator wrote: the server name indication (names only) and, for verify-full, what the certificate must
 * say. NULL is only for modes below verify-full.
 */
SSL *tls_connect_new(struct tls_context *context, int fd, const char *host) WARN_UNUSED;

enum tls_step { TLS_STEP_DONE, TLS_STEP_WANT_READ, TLS_STEP_WANT_WRITE, TLS_STEP_FAILED };

/* Goes on as far as the socket allows. FAILED: error says why; the session can only be freed. */
enum tls_step tls_handshake(SSL *ssl, char error[static TLS_ERROR_BYTES]) WARN_UNUSED;

/* ---- after DONE ---- */

/* The client spoke ALPN and meant us: what a TLS handshake without an SSLRequest in front must show. */
bool tls_has_alpn(const SSL *ssl);
/* The tls-server-end-point of RFC 5929, the same on both sides: the hash's length, 0 if the certificate has none (Ed25519). */
size_t tls_server_end_point(SSL *ssl, bool we_are_server, uint8_t out[static TLS_END_POINT_BYTES]);
/* The common name of a client certificate that was shown and verified. false: none, none verified, or it does not fit. */
bool tls_client_cert_cn(SSL *ssl, char *buf, size_t cap);
/* "TLSv1.3/TLS_AES_256_GCM_SHA384": the column tls of SHOW CLIENTS. Returns buf. */
const char *tls_describe(SSL *ssl, char *buf, size_t cap);

#endif
