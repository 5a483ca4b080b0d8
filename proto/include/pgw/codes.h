/* SPDX-License-Identifier: ISC */
/* Every byte and number of the PostgreSQL protocol 3.x that we name. Source: PostgreSQL manual, "Message Formats". */
#ifndef PGW_CODES_H
#define PGW_CODES_H

enum pgw_frontend {
	PGW_BIND = 'B', PGW_CLOSE = 'C', PGW_COPY_FAIL = 'f', PGW_DESCRIBE = 'D', PGW_EXECUTE = 'E', PGW_FLUSH = 'H',
	PGW_FUNCTION_CALL = 'F', PGW_PARSE = 'P', PGW_PASSWORD = 'p' /* also GSS and SASL responses */, PGW_QUERY = 'Q', PGW_SYNC = 'S',
	PGW_TERMINATE = 'X',
};

enum pgw_both { PGW_COPY_DATA = 'd', PGW_COPY_DONE = 'c' };

enum pgw_backend {
	PGW_AUTHENTICATION = 'R', PGW_BACKEND_KEY_DATA = 'K', PGW_BIND_COMPLETE = '2', PGW_CLOSE_COMPLETE = '3', PGW_COMMAND_COMPLETE = 'C',
	PGW_COPY_BOTH_RESPONSE = 'W', PGW_COPY_IN_RESPONSE = 'G', PGW_COPY_OUT_RESPONSE = 'H', PGW_DATA_ROW = 'D', PGW_EMPTY_QUERY_RESPONSE = 'I',
	PGW_ERROR_RESPONSE = 'E', PGW_FUNCTION_CALL_RESPONSE = 'V', PGW_NEGOTIATE_PROTOCOL_VERSION = 'v', PGW_NO_DATA = 'n', PGW_NOTICE_RESPONSE = 'N',
	PGW_NOTIFICATION_RESPONSE = 'A', PGW_PARAMETER_DESCRIPTION = 't', PGW_PARAMETER_STATUS = 'S', PGW_PARSE_COMPLETE = '1',
	PGW_PORTAL_SUSPENDED = 's', PGW_READY_FOR_QUERY = 'Z', PGW_ROW_DESCRIPTION = 'T',
};

enum pgw_auth_code {
	PGW_AUTH_OK = 0, PGW_AUTH_CLEARTEXT = 3, PGW_AUTH_MD5 = 5, PGW_AUTH_GSS = 7, PGW_AUTH_SSPI = 9, PGW_AUTH_SASL = 10,
	PGW_AUTH_SASL_CONTINUE = 11, PGW_AUTH_SASL_FINAL = 12,
};

enum pgw_xact { PGW_XACT_IDLE = 'I', PGW_XACT_OPEN = 'T', PGW_XACT_FAILED = 'E' };

#define PGW_PROTOCOL(major, minor) (((unsigned)(major) << 16) | (unsigned)(minor))
#define PGW_PROTOCOL_3_0 PGW_PROTOCOL(3, 0)
#define PGW_PROTOCOL_3_2 PGW_PROTOCOL(3, 2)
#define PGW_CODE_CANCEL PGW_PROTOCOL(1234, 5678)
#define PGW_CODE_SSL PGW_PROTOCOL(1234, 5679)
#define PGW_CODE_GSSENC PGW_PROTOCOL(1234, 5680)

#define PGW_HEADER_BYTES 5 /* type byte and int32 length; the length counts itself and the body */
#define PGW_CANCEL_KEY_MIN_BYTES 4
#define PGW_CANCEL_KEY_MAX_BYTES 256 /* protocol 3.2: 4 to 256; 3.0: exactly 4 */
#define PGW_STARTUP_MAX_BYTES 10000 /* with its length field; PostgreSQL's MAX_STARTUP_PACKET_LENGTH allows 10004 */

#endif
