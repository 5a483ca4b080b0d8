/* SPDX-License-Identifier: ISC */
/*
 * Which message types belong to which direction once a session runs. What only a login exchanges
 * (PGW_PASSWORD, PGW_AUTHENTICATION, PGW_BACKEND_KEY_DATA, PGW_NEGOTIATE_PROTOCOL_VERSION) is in
 * neither set: the login's own state machine names what it awaits.
 */
#include "pgw/frame.h"

/* 256 bits each, so that the answer is one load and one shift whatever the type. */
#define TYPE_WORD(type, word) ((type) / 64 == (word) ? UINT64_C(1) << ((type) % 64) : 0)

#define FRONTEND_WORD(w)                                                                         \
	(TYPE_WORD(PGW_BIND, w) | TYPE_WORD(PGW_CLOSE, w) | TYPE_WORD(PGW_COPY_FAIL, w) |        \
		TYPE_WORD(PGW_DESCRIBE, w) | TYPE_WORD(PGW_EXECUTE, w) | TYPE_WORD(PGW_FLUSH, w) | \
		TYPE_WORD(PGW_FUNCTION_CALL, w) | TYPE_WORD(PGW_PARSE, w) |                      \
		TYPE_WORD(PGW_QUERY, w) | TYPE_WORD(PGW_SYNC, w) | TYPE_WORD(PGW_TERMINATE, w) | \
		TYPE_WORD(PGW_COPY_DATA, w) | TYPE_WORD(PGW_COPY_DONE, w))

#define BACKEND_WORD(w)                                                                          \
	(TYPE_WORD(PGW_BIND_COMPLETE, w) | TYPE_WORD(PGW_CLOSE_COMPLETE, w) |                    \
		TYPE_WORD(PGW_COMMAND_COMPLETE, w) | TYPE_WORD(PGW_COPY_BOTH_RESPONSE, w) |      \
		TYPE_WORD(PGW_COPY_IN_RESPONSE, w) | TYPE_WORD(PGW_COPY_OUT_RESPONSE, w) |       \
		TYPE_WORD(PGW_DATA_ROW, w) | TYPE_WORD(PGW_EMPTY_QUERY_RESPONSE, w) |            \
		TYPE_WORD(PGW_ERROR_RESPONSE, w) | TYPE_WORD(PGW_FUNCTION_CALL_RESPONSE, w) |    \
		TYPE_WORD(PGW_NO_DATA, w) | TYPE_WORD(PGW_NOTICE_RESPONSE, w) |                  \
		TYPE_WORD(PGW_NOTIFICATION_RESPONSE, w) |                                        \
		TYPE_WORD(PGW_PARAMETER_DESCRIPTION, w) |                                        \
		TYPE_WORD(PGW_PARAMETER_STATUS, w) | TYPE_WORD(PGW_PARSE_COMPLETE, w) |          \
		TYPE_WORD(PGW_PORTAL_SUSPENDED, w) | TYPE_WORD(PGW_READY_FOR_QUERY, w) |         \
		TYPE_WORD(PGW_ROW_DESCRIPTION, w) | TYPE_WORD(PGW_COPY_DATA, w) |                \
		TYPE_WORD(PGW_COPY_DONE, w))

static const uint64_t frontend_types[4] = {
	FRONTEND_WORD(0), FRONTEND_WORD(1), FRONTEND_WORD(2), FRONTEND_WORD(3),
};

static const uint64_t backend_types[4] = {
	BACKEND_WORD(0), BACKEND_WORD(1), BACKEND_WORD(2), BACKEND_WORD(3),
};

int pgw_is_frontend_type(uint8_t type)
{
	return (int)(frontend_types[type / 64] >> (type % 64) & 1);
}

int pgw_is_backend_type(uint8_t type)
{
	return (int)(backend_types[type / 64] >> (type % 64) & 1);
}
