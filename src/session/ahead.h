/* SPDX-License-Identifier: ISC */
/*
 * A statement of our own ahead of a client's, in the same send and the same transaction: Parse (where the server lacks it), Bind and Execute without a
 * Sync. PostgreSQL keeps the transaction of such a batch open, and what comes behind joins it, be it a Query or the client's own batch; so both are
 * committed, or neither. Its replies are swallowed. When it fails, what is behind it does not run: the client gets one error with
 * the server's SQLSTATE, and its transaction is as failed as any.
 */
#ifndef SESSION_AHEAD_H
#define SESSION_AHEAD_H

#include "base/base.h"
#include "pgw/messages.h"

struct server;

#define AHEAD_VALUES_MAX 4u

struct ahead_value {
	const void *text; /* NULL: SQL NULL. Text format, borrowed for the call */
	size_t n_text;
};

struct ahead {
	const char *sql; /* one of few: servers keep it prepared */
	unsigned n_values;
	uint32_t types[AHEAD_VALUES_MAX]; /* OIDs; 0: inferred */
	struct ahead_value values[AHEAD_VALUES_MAX];
};

/* For the client that the server is linked to, in its feed or behind a reply. At most AHEAD_EXPECTS replies are expected
 * for it. MUST not be in the middle of a message of the client. */
#define AHEAD_EXPECTS 6u
void ahead_send(struct server *server, const struct ahead *ahead);

/* The server refused it, with this error. false: it would have refused the client's statement as well. */
bool ahead_is_why(const struct pgw_error_view *view);
#define AHEAD_SQLSTATE_BYTES 6
/* What the client is told, who did not send it. Its SQLSTATE is the server's, kept in sqlstate_r: who tries again because of it is right to. */
void ahead_fault(const struct pgw_error_view *view, struct pgw_fault *fault_r,
	char sqlstate_r[static AHEAD_SQLSTATE_BYTES]);

#endif
