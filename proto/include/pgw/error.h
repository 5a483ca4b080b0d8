/* SPDX-License-Identifier: ISC */
/*
 * Results of libpgwire. 0 is fine; PGW_MORE (positive) asks for more bytes and is not an error;
 * negative values are errors with one text each. Nothing in libpgwire logs, exits, reads a clock or does I/O.
 */
#ifndef PGW_ERROR_H
#define PGW_ERROR_H

#define PGW_WARN_UNUSED __attribute__((warn_unused_result))

enum pgw_err {
	PGW_OK = 0,
	PGW_MORE = 1,		   /* the message is not complete yet */
	PGW_E_LENGTH = -1,	   /* a length field is impossible for its message */
	PGW_E_TOO_LONG = -2,	   /* longer than the caller's limit */
	PGW_E_TRUNCATED = -3,	   /* the body ends inside a field */
	PGW_E_TRAILING = -4,	   /* bytes behind the last field */
	PGW_E_TYPE = -5,	   /* unknown message type */
	PGW_E_VALUE = -6,	   /* a field holds a forbidden value */
	PGW_E_PROTOCOL_VERSION = -7, /* StartupMessage of a major version other than 3 */
	PGW_E_TOO_MANY = -8,	   /* more fields than any client sends */
	PGW_E_NO_SPACE = -9,	   /* the writer's buffer is full */
	PGW_E_UTF8 = -10,	   /* not the encoding it claims */
	PGW_E_SASL = -11,	   /* malformed SASL message */
	PGW_E_AUTH = -12,	   /* the proof or signature is wrong */
};

const char *pgw_err_text(enum pgw_err err); /* static, never NULL */

#endif
