/* SPDX-License-Identifier: ISC */
/*
 * What a client sends before messages have types: StartupMessage, SSLRequest, GSSENCRequest, CancelRequest, or a TLS
 * ClientHello (direct TLS). Source: PostgreSQL manual "Start-up", "SSL Session Encryption"; protocol 3.2 cancel keys.
 */
#ifndef PGW_STARTUP_H
#define PGW_STARTUP_H

#include "pgw/codes.h"
#include "pgw/cursor.h"

enum pgw_startup_kind { PGW_STARTUP_MESSAGE, PGW_STARTUP_SSL, PGW_STARTUP_GSSENC, PGW_STARTUP_CANCEL, PGW_STARTUP_DIRECT_TLS };

#define PGW_STARTUP_MAX_PARAMS 256

struct pgw_param { const char *name; const char *value; }; /* borrowed from the packet */

struct pgw_startup {
	enum pgw_startup_kind kind;
	size_t n_bytes;			/* how long the packet is; 0 for PGW_STARTUP_DIRECT_TLS (nothing is consumed) */
	uint32_t protocol;		/* STARTUP_MESSAGE: as asked, PGW_PROTOCOL(3, x) */
	uint32_t n_params;
	struct pgw_param params[PGW_STARTUP_MAX_PARAMS]; /* in order, `_pq_.` options too; duplicates kept: the last wins */
	uint32_t cancel_pid;		/* CANCEL */
	const uint8_t *cancel_key;
	size_t n_cancel_key_bytes;	/* 4..256 */
};

/*
 * Parses the first packet of a connection. PGW_OK: *out_r is filled. PGW_MORE: give the same bytes again with more
 * behind them. Errors: PGW_E_LENGTH (below 8, or not a startup packet at all), PGW_E_TOO_LONG (> PGW_STARTUP_MAX_BYTES; said as soon as
 * the length field is read), PGW_E_PROTOCOL_VERSION, PGW_E_TRUNCATED/TRAILING (parameter list malformed, no final NUL), PGW_E_TOO_MANY.
 * A first byte of 0x16 is a TLS record: PGW_STARTUP_DIRECT_TLS.
 */
enum pgw_err pgw_startup_parse(const uint8_t *bytes, size_t n, struct pgw_startup *out_r) PGW_WARN_UNUSED;
const char *pgw_startup_get(const struct pgw_startup *s, const char *name); /* last value of that name or NULL */

/* Builders, into a writer. */
void pgw_build_startup(struct pgw_writer *w, uint32_t protocol, const struct pgw_param *params, size_t n_params);
void pgw_build_ssl_request(struct pgw_writer *w);
void pgw_build_cancel(struct pgw_writer *w, uint32_t pid, const uint8_t *key, size_t n_key_bytes);

/*
 * The `options` startup parameter: words split at blanks, backslash escapes the next character; -c NAME=VALUE, -cNAME=VALUE and
 * --NAME=VALUE (dashes of NAME become underscores) set a parameter. Calls set(arg, name, value) for each; strings live for the call.
 * PGW_E_VALUE when a word is none of these, PGW_E_TOO_LONG past 4 kB.
 */
enum pgw_err pgw_options_parse(const char *options, void (*set)(void *arg, const char *name, const char *value), void *arg) PGW_WARN_UNUSED;

#endif
