/* SPDX-License-Identifier: ISC */
/* Texts of libpgwire's results: short, lower case, no period, fit to stand behind a colon. */
#include "pgw/error.h"

const char *pgw_err_text(enum pgw_err err)
{
	switch (err) {
	case PGW_OK:
		return "ok";
	case PGW_MORE:
		return "message is incomplete";
	case PGW_E_LENGTH:
		return "impossible message length";
	case PGW_E_TOO_LONG:
		return "message is too long";
	case PGW_E_TRUNCATED:
		return "message ends inside a field";
	case PGW_E_TRAILING:
		return "message has bytes behind its last field";
	case PGW_E_TYPE:
		return "unknown message type";
	case PGW_E_VALUE:
		return "forbidden field value";
	case PGW_E_PROTOCOL_VERSION:
		return "unsupported protocol version";
	case PGW_E_TOO_MANY:
		return "too many fields";
	case PGW_E_NO_SPACE:
		return "message does not fit its buffer";
	case PGW_E_UTF8:
		return "invalid UTF-8";
	case PGW_E_SASL:
		return "malformed SASL message";
	case PGW_E_AUTH:
		return "authentication failed";
	}
	return "unknown error"; /* a value outside the enum */
}
